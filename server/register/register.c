/* server/register/register.c - register.db: officials, codes, devices; and what of the audit trail has to do with them.  See register.h.
 *
 * An entry that stands in one transaction with what it records is put into audit_due by that transaction, under a number, and goes to the
 * trail after the commit.  The trail keeps the number: a stop in between is made up for at the next opening, and none is entered twice.
 */
#include "server/register/register.h"

#include "kluis/db.h"
#include "server/register/journal.h"
#include "server/register/trail.h"

#include <pthread.h>

struct reg {
    struct kluis_db *db;
    struct trail *trail;
    struct trail_mark mark; /* as in audit_mark */
    pthread_mutex_t lock;
};

static struct reg *locked(struct reg *r)
{
    (void)pthread_mutex_lock(&r->lock); /* recursive and initialised: cannot fail */
    return r;
}

static void unlock(struct reg **r) { (void)pthread_mutex_unlock(&(*r)->lock); }

/* Holds the register until the function returns. */
#define HOLD(r) __attribute__((cleanup(unlock), unused)) struct reg *held_ = locked(r)

static const char *const SCHEMA[] = {
    "CREATE TABLE official(id TEXT PRIMARY KEY, name TEXT NOT NULL, function TEXT NOT NULL, starts TEXT NOT NULL, ends TEXT NOT NULL DEFAULT '',"
    " grace_days INTEGER NOT NULL DEFAULT -1) STRICT, WITHOUT ROWID;"
    "CREATE TABLE code(id BLOB PRIMARY KEY, official TEXT NOT NULL REFERENCES official(id), secret BLOB, expires_us INTEGER NOT NULL,"
    " used INTEGER NOT NULL DEFAULT 0, reply BLOB) STRICT, WITHOUT ROWID;"
    "CREATE TABLE device(id TEXT PRIMARY KEY, official TEXT NOT NULL REFERENCES official(id), state INTEGER NOT NULL, identity BLOB NOT NULL,"
    " cert BLOB NOT NULL, login_spki BLOB NOT NULL, enrolled_us INTEGER NOT NULL, suspended_why TEXT NOT NULL DEFAULT '') STRICT, WITHOUT ROWID;"
    "CREATE INDEX device_official ON device(official);",
    "CREATE TABLE audit_due(no INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, purpose TEXT NOT NULL,"
    " detail TEXT NOT NULL) STRICT;"
    "CREATE TABLE audit_mark(one INTEGER PRIMARY KEY CHECK(one=1), seq INTEGER NOT NULL, hash BLOB NOT NULL) STRICT;",
    /* Suspended before the time was kept: not later than now. */
    ("ALTER TABLE device ADD COLUMN suspended_us INTEGER NOT NULL DEFAULT 0;"
     "UPDATE device SET suspended_us=CAST(strftime('%s','now') AS INTEGER)*1000000 WHERE state=2;"),
    "CREATE TABLE journal(number INTEGER PRIMARY KEY, entry BLOB NOT NULL, chain BLOB NOT NULL) STRICT;",
};

/* ---- the audit trail ---- */

enum { MOVE_AT_ONCE = 200 };

static kluis_status mark_set(struct reg *r, const struct trail_mark *m, struct kluis_err *err)
{
    if (m->seq == r->mark.seq) { return KLUIS_OK; }
    KLUIS_TRY(kluis_db_run(r->db, NULL, err, "INSERT OR REPLACE INTO audit_mark(one,seq,hash) VALUES(1,?,?)", "ih", (int64_t)m->seq, m->hash));
    r->mark = *m;
    return KLUIS_OK;
}

static kluis_status mark_get(struct reg *r, struct kluis_err *err)
{
    struct sqlite3_stmt *st;
    r->mark = (struct trail_mark){ 0 };
    KLUIS_TRY(kluis_db_query(r->db, &st, err, "SELECT seq,hash FROM audit_mark", ""));
    kluis_status rc = kluis_db_step(r->db, st, err);
    if (rc == KLUIS_END) { return KLUIS_OK; }
    KLUIS_TRY(rc);
    r->mark.seq = (uint64_t)kluis_db_int(st, 0);
    bool ok = kluis_db_fixed(st, 1, r->mark.hash, 32);
    kluis_db_done(st);
    return ok ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the register's mark of the audit trail is damaged: restore register.db");
}

static void noting(void *ctx, const struct trail_mark *m)
{
    struct reg *r = ctx;
    HOLD(r);
    struct kluis_err ignored = { 0 };
    if (mark_set(r, m, &ignored) != KLUIS_OK) { return; } /* an older mark stands: it says less, and nothing that is wrong */
}

/* Entries of the table in which register.db kept the trail before, as they are, hashes included; then the table goes. */
static kluis_status move_entries(struct reg *r, struct trail *t, struct kluis_err *err)
{
    struct trail_entry list[MOVE_AT_ONCE];
    int64_t last = 0;
    size_t n = MOVE_AT_ONCE;
    while (n == MOVE_AT_ONCE) {
        KLUIS_AUTO(kluis_arena) a = kluis_arena_new((size_t)MOVE_AT_ONCE * (TRAIL_ENTRY_MAX + 1024));
        if (a == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
        struct sqlite3_stmt *st;
        kluis_status rc;
        n = 0;
        KLUIS_TRY(kluis_db_query(r->db, &st, err, "SELECT seq,time_us,actor,action,purpose,detail,hash FROM audit WHERE seq>? ORDER BY seq LIMIT 200",
                                 "i", last));
        while ((rc = kluis_db_step(r->db, st, err)) == KLUIS_OK) {
            struct trail_entry *e = &list[n++];
            *e = (struct trail_entry){ .seq = (uint64_t)kluis_db_int(st, 0),
                                       .time_us = kluis_db_int(st, 1),
                                       .moved = true,
                                       .actor = kluis_arena_str(a, kluis_db_text(st, 2)),
                                       .action = kluis_arena_str(a, kluis_db_text(st, 3)),
                                       .purpose = kluis_arena_str(a, kluis_db_text(st, 4)),
                                       .detail = kluis_arena_str(a, kluis_db_text(st, 5)) };
            last = (int64_t)e->seq;
            if (!kluis_db_fixed(st, 6, e->hash, 32) || e->actor.ptr == NULL || e->action.ptr == NULL || e->purpose.ptr == NULL ||
                e->detail.ptr == NULL) {
                kluis_db_done(st);
                return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "audit entry %llu is damaged: restore register.db from a backup", (unsigned long long)e->seq);
            }
        }
        if (rc != KLUIS_END) { return rc; }
        KLUIS_TRY(trail_add(t, list, n, err));
    }
    return KLUIS_OK;
}

static kluis_status move_table(struct reg *r, const char *vault_dir, struct kluis_err *err)
{
    static const struct trail_mark none = { 0 };
    struct sqlite3_stmt *st;
    KLUIS_TRY(kluis_db_query(r->db, &st, err, "SELECT 1 FROM sqlite_master WHERE type='table' AND name='audit'", ""));
    kluis_status rc = kluis_db_step(r->db, st, err);
    kluis_db_done(st);
    if (rc == KLUIS_END) { return KLUIS_OK; }
    KLUIS_TRY(rc);
    KLUIS_AUTO(trail) t = NULL;
    struct trail_mark head;
    KLUIS_TRY(trail_remove(vault_dir, err)); /* of an attempt that did not come to this function's end */
    KLUIS_TRY(trail_open(&t, vault_dir, &none, NULL, NULL, err));
    KLUIS_TRY(move_entries(r, t, err));
    trail_head(t, &head);
    KLUIS_TRY(kluis_db_begin(r->db, err));
    rc = mark_set(r, &head, err);
    if (rc == KLUIS_OK) { rc = kluis_db_exec(r->db, "DROP TABLE audit", err); }
    if (rc != KLUIS_OK) {
        kluis_db_rollback(r->db);
        return rc;
    }
    return kluis_db_commit(r->db, "register.trail.moved", err);
}

/* Enters what decisions have left to be entered. */
static kluis_status enter_due(struct reg *r, struct kluis_err *err)
{
    struct sqlite3_stmt *st;
    KLUIS_TRY(kluis_db_query(r->db, &st, err, "SELECT no,time_us,actor,action,purpose,detail FROM audit_due WHERE no>? ORDER BY no", "i",
                             (int64_t)trail_due(r->trail)));
    kluis_status rc;
    while ((rc = kluis_db_step(r->db, st, err)) == KLUIS_OK) {
        struct trail_entry e = { .due = (uint64_t)kluis_db_int(st, 0),
                                 .time_us = kluis_db_int(st, 1),
                                 .actor = kluis_db_text(st, 2),
                                 .action = kluis_db_text(st, 3),
                                 .purpose = kluis_db_text(st, 4),
                                 .detail = kluis_db_text(st, 5) };
        rc = trail_add(r->trail, &e, 1, err);
        if (rc != KLUIS_OK) { break; }
    }
    kluis_db_done(st);
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

/* In the caller's transaction: what is decided and the entry that says so come together or not at all. */
static kluis_status audit_add(struct reg *r, const char *actor, const char *action, const char *purpose, const char *detail, struct kluis_err *err)
{
    struct trail_mark head;
    int64_t due = (int64_t)trail_due(r->trail);
    trail_head(r->trail, &head);
    KLUIS_TRY(mark_set(r, &head, err));
    KLUIS_TRY(kluis_db_run(r->db, NULL, err, "DELETE FROM audit_due WHERE no<=?", "i", due));
    return kluis_db_run(
        r->db, NULL, err,
        "INSERT INTO audit_due(no,time_us,actor,action,purpose,detail) VALUES(max(?1,(SELECT ifnull(max(no),0) FROM audit_due))+1,?2,?3,?4,?5,?6)",
        "iissss", due, kluis_now_us(), actor, action, purpose, detail);
}

/* Nothing of a decision that could not be made stays. */
static void give_up(struct reg *r)
{
    struct kluis_err ignored = { 0 };
    kluis_db_rollback(r->db);
    if (mark_get(r, &ignored) != KLUIS_OK) { r->mark = (struct trail_mark){ 0 }; } /* it is noted anew */
}

/* Commits a decision with its entry; the entry goes to the trail.  When that fails the decision and its entry stand in register.db, and whoever adds
 * to the trail next is told. */
static kluis_status decide(struct reg *r, const char *step, struct kluis_err *err)
{
    kluis_status rc = kluis_db_commit(r->db, step, err);
    if (rc != KLUIS_OK) {
        give_up(r);
        return rc;
    }
    struct kluis_err ignored = { 0 };
    if (enter_due(r, &ignored) != KLUIS_OK) { return KLUIS_OK; }
    return KLUIS_OK;
}

/* ---- the journal ---- */

static kluis_status journal_what_was(struct reg *r, struct kluis_err *err);

/* What was decided before there was a journal becomes its beginning. */
static kluis_status journal_found(struct reg *r, struct kluis_err *err)
{
    uint64_t n;
    KLUIS_TRY(journal_length(r->db, &n, err));
    if (n > 0) { return KLUIS_OK; }
    KLUIS_TRY(kluis_db_begin(r->db, err));
    kluis_status rc = journal_what_was(r, err);
    if (rc == KLUIS_OK) { return kluis_db_commit(r->db, "register.journal.founded", err); }
    kluis_db_rollback(r->db);
    return rc;
}

kluis_status reg_open(struct reg **out, const char *vault_dir, struct kluis_err *err)
{
    *out = NULL;
    char path[KLUIS_PATH_MAX];
    KLUIS_TRY(kluis_path(path, sizeof path, vault_dir, "register.db", err));
    struct reg *r = kluis_calloc(1, sizeof *r);
    if (r == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    kluis_status rc = kluis_db_open(&r->db, path, KLUIS_DB_FULL, SCHEMA, sizeof SCHEMA / sizeof *SCHEMA, err);
    pthread_mutexattr_t attr;
    if (rc == KLUIS_OK && (pthread_mutexattr_init(&attr) != 0 || pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE) != 0 ||
                           pthread_mutex_init(&r->lock, &attr) != 0)) {
        kluis_db_free(r->db);
        rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot make a lock");
    }
    if (rc != KLUIS_OK) {
        kluis_free(r);
        return rc;
    }
    rc = mark_get(r, err);
    if (rc == KLUIS_OK) { rc = move_table(r, vault_dir, err); }
    if (rc == KLUIS_OK) { rc = trail_open(&r->trail, vault_dir, &r->mark, noting, r, err); }
    if (rc == KLUIS_OK) { rc = enter_due(r, err); }
    if (rc == KLUIS_OK) { rc = journal_found(r, err); }
    if (rc != KLUIS_OK) {
        reg_free(r);
        return rc;
    }
    *out = r;
    return KLUIS_OK;
}

void reg_free(struct reg *r)
{
    if (r == NULL) { return; }
    if (r->trail != NULL) {
        struct trail_mark head;
        trail_head(r->trail, &head);
        trail_free(r->trail);
        noting(r, &head);
    }
    kluis_db_free(r->db);
    (void)pthread_mutex_destroy(&r->lock);
    kluis_free(r);
}

/* ---- officials ---- */

/* An id is used in file names of exports and on command lines: letters, digits, '.', '_', '-'. */
static bool id_ok(const char *s)
{
    size_t n = strlen(s);
    return n > 0 && n < 64 && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n && s[0] != '-' && s[0] != '.';
}

static bool date_ok(const char *s)
{
    char full[32];
    int64_t us;
    int offset, fraction;
    if (strlen(s) != 10) { return false; }
    (void)snprintf(full, sizeof full, "%sT00:00:00Z", s); /* length checked above */
    return kluis_time_parse(kluis_str_of(full), &us, &offset, &fraction);
}

static bool line_ok(const char *s)
{
    size_t n = strlen(s);
    if (n == 0 || kluis_utf8_valid(s, n) != n) { return false; }
    for (; *s != '\0'; s++) {
        if ((unsigned char)*s < 0x20 || *s == 0x7f) { return false; }
    }
    return true;
}

kluis_status reg_official_add(struct reg *r, const struct reg_official *o, struct kluis_err *err)
{
    HOLD(r);
    if (!id_ok(o->id)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "official id '%s': use 1-63 letters, digits, '.', '_' or '-'", o->id); }
    if (!line_ok(o->name)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "official '%s': the name must be one line of readable text", o->id); }
    if (!line_ok(o->function)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "official '%s': the function code must be one line of text", o->id); }
    if (!date_ok(o->from)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "official '%s': from-date '%s' is no date; write YYYY-MM-DD", o->id, o->from); }
    if (o->to[0] != '\0' && (!date_ok(o->to) || strcmp(o->to, o->from) < 0)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "official '%s': to-date '%s' is no date or lies before %s", o->id, o->to, o->from);
    }
    if (o->grace_days < -1 || o->grace_days > 3650) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "official '%s': grace days must be 0 to 3650", o->id); }
    KLUIS_TRY(kluis_db_begin(r->db, err));
    kluis_status rc = kluis_db_run(r->db, NULL, err, "INSERT INTO official(id,name,function,starts,ends,grace_days) VALUES(?,?,?,?,?,?)", "sssssi",
                                   o->id, o->name, o->function, o->from, o->to, (int64_t)o->grace_days);
    if (rc == KLUIS_OK) { rc = journal_official(r->db, o, err); }
    if (rc == KLUIS_OK) { rc = audit_add(r, "command", "official.add", "", o->id, err); }
    if (rc != KLUIS_OK) {
        give_up(r);
        if (rc == KLUIS_E_EXISTS) {
            kluis_err_clear(err);
            return KLUIS_FAIL(err, KLUIS_E_EXISTS, "official '%s' is already registered", o->id);
        }
        return rc;
    }
    return decide(r, "register.official", err);
}

static kluis_status official_row(struct sqlite3_stmt *st, struct reg_official *o, struct kluis_err *err)
{
    if (!kluis_db_copy(st, 0, o->id, sizeof o->id) || !kluis_db_copy(st, 1, o->name, sizeof o->name) ||
        !kluis_db_copy(st, 2, o->function, sizeof o->function) || !kluis_db_copy(st, 3, o->from, sizeof o->from) ||
        !kluis_db_copy(st, 4, o->to, sizeof o->to)) {
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "an official in the register is longer than can be");
    }
    o->grace_days = (int)kluis_db_int(st, 5);
    return KLUIS_OK;
}

kluis_status reg_official_get(struct reg *r, const char *id, struct reg_official *out, struct kluis_err *err)
{
    HOLD(r);
    struct sqlite3_stmt *st;
    KLUIS_TRY(kluis_db_query(r->db, &st, err, "SELECT id,name,function,starts,ends,grace_days FROM official WHERE id=?", "s", id));
    kluis_status rc = kluis_db_step(r->db, st, err);
    if (rc == KLUIS_END) { return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "official '%s' is not registered: add it with 'official add'", id); }
    KLUIS_TRY(rc);
    rc = official_row(st, out, err);
    kluis_db_done(st);
    return rc;
}

kluis_status reg_officials(struct reg *r, void *ctx, kluis_status (*each)(void *, const struct reg_official *, struct kluis_err *),
                           struct kluis_err *err)
{
    HOLD(r);
    struct sqlite3_stmt *st;
    KLUIS_TRY(kluis_db_query(r->db, &st, err, "SELECT id,name,function,starts,ends,grace_days FROM official ORDER BY id", ""));
    kluis_status rc;
    while ((rc = kluis_db_step(r->db, st, err)) == KLUIS_OK) {
        struct reg_official o;
        rc = official_row(st, &o, err);
        if (rc == KLUIS_OK) { rc = each(ctx, &o, err); }
        if (rc != KLUIS_OK) { break; }
    }
    kluis_db_done(st);
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

/* ---- enrolment codes ---- */

kluis_status reg_code_add(struct reg *r, const char *official, const uint8_t id[16], const uint8_t secret[16], int64_t expires_us,
                          struct kluis_err *err)
{
    HOLD(r);
    struct reg_official o;
    KLUIS_TRY(reg_official_get(r, official, &o, err));
    KLUIS_TRY(kluis_db_begin(r->db, err));
    /* Secrets of codes that can no longer be used have no reason to exist. */
    kluis_status rc = kluis_db_run(r->db, NULL, err, "UPDATE code SET secret=NULL WHERE expires_us<?", "i", kluis_now_us());
    if (rc == KLUIS_OK) {
        rc = kluis_db_run(r->db, NULL, err, "INSERT INTO code(id,official,secret,expires_us) VALUES(?,?,?,?)", "bsbi", (struct kluis_bytes){ id, 16 },
                          official, (struct kluis_bytes){ secret, 16 }, expires_us);
    }
    if (rc == KLUIS_OK) { rc = audit_add(r, "command", "enrol.code", "", official, err); }
    if (rc != KLUIS_OK) {
        give_up(r);
        return rc;
    }
    return decide(r, "register.code", err);
}

kluis_status reg_code_find(struct reg *r, const uint8_t id[16], int64_t now_us, char official[64], uint8_t secret[16], struct kluis_err *err)
{
    HOLD(r);
    struct sqlite3_stmt *st;
    KLUIS_TRY(kluis_db_query(r->db, &st, err, "SELECT official,secret,expires_us,used FROM code WHERE id=?", "b", (struct kluis_bytes){ id, 16 }));
    kluis_status rc = kluis_db_step(r->db, st, err);
    if (rc == KLUIS_END) { return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "unknown enrolment code: make a new one with 'enrol'"); }
    KLUIS_TRY(rc);
    if (kluis_db_int(st, 3) != 0) {
        rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "used enrolment code: make a new one with 'enrol'");
    } else if (kluis_db_int(st, 2) <= now_us) {
        rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "expired enrolment code: make a new one with 'enrol'");
    } else if (!kluis_db_copy(st, 0, official, 64) || !kluis_db_fixed(st, 1, secret, 16)) {
        rc = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "an enrolment code in the register is damaged");
    }
    kluis_db_done(st);
    return rc;
}

kluis_status reg_code_reply(struct reg *r, const uint8_t id[16], struct kluis_buf *reply, struct kluis_err *err)
{
    HOLD(r);
    struct sqlite3_stmt *st;
    KLUIS_TRY(kluis_db_query(r->db, &st, err, "SELECT reply FROM code WHERE id=? AND used=1 AND expires_us>?", "bi", (struct kluis_bytes){ id, 16 },
                             kluis_now_us()));
    kluis_status rc = kluis_db_step(r->db, st, err);
    if (rc == KLUIS_END) { return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "no reply was made for this code"); }
    KLUIS_TRY(rc);
    struct kluis_bytes b = kluis_db_blob(st, 0);
    if (b.len > 0) { kluis_buf_add(reply, b.ptr, b.len); }
    kluis_db_done(st);
    return kluis_buf_ok(reply, err);
}

/* ---- devices ---- */

kluis_status reg_enrol(struct reg *r, const uint8_t code_id[16], const struct reg_device *d, struct kluis_bytes reply, struct kluis_err *err)
{
    HOLD(r);
    int64_t changed = 0;
    KLUIS_TRY(kluis_db_begin(r->db, err));
    kluis_status rc = kluis_db_run(r->db, &changed, err, "UPDATE code SET used=1, secret=NULL, reply=? WHERE id=? AND used=0 AND official=?", "bbs",
                                   reply, (struct kluis_bytes){ code_id, 16 }, d->official);
    if (rc == KLUIS_OK && changed != 1) { rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "used enrolment code: make a new one with 'enrol'"); }
    if (rc == KLUIS_OK) {
        rc = kluis_db_run(r->db, NULL, err, "INSERT INTO device(id,official,state,identity,cert,login_spki,enrolled_us) VALUES(?,?,?,?,?,?,?)",
                          "ssibbbi", d->id, d->official, (int64_t)d->state, (struct kluis_bytes){ d->identity, 33 }, d->cert, d->login_spki,
                          d->enrolled_us);
    }
    if (rc == KLUIS_OK) { rc = journal_device(r->db, code_id, d, err); }
    if (rc == KLUIS_OK) { rc = audit_add(r, "vault", "enrol", d->official, d->id, err); }
    if (rc != KLUIS_OK) {
        give_up(r);
        return rc;
    }
    return decide(r, "register.enrol", err);
}

static kluis_status device_row(struct sqlite3_stmt *st, struct kluis_arena *arena, struct reg_device *d, struct kluis_err *err)
{
    *d = (struct reg_device){ 0 };
    if (!kluis_db_copy(st, 0, d->id, sizeof d->id) || !kluis_db_copy(st, 1, d->official, sizeof d->official) ||
        !kluis_db_fixed(st, 3, d->identity, 33)) {
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a device in the register is damaged");
    }
    d->state = kluis_db_int(st, 2) == REG_DEVICE_ACTIVE ? REG_DEVICE_ACTIVE : REG_DEVICE_SUSPENDED;
    d->enrolled_us = kluis_db_int(st, 6);
    d->suspended_us = kluis_db_int(st, 7);
    struct kluis_bytes parts[2] = { kluis_db_blob(st, 4), kluis_db_blob(st, 5) }, *to[2] = { &d->cert, &d->login_spki };
    for (int i = 0; i < 2; i++) {
        uint8_t *p = (uint8_t *)kluis_arena_strndup(arena, (const char *)parts[i].ptr, parts[i].len);
        if (p == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
        *to[i] = (struct kluis_bytes){ p, parts[i].len };
    }
    return KLUIS_OK;
}

kluis_status reg_device_get(struct reg *r, const char *id, struct kluis_arena *arena, struct reg_device *out, struct kluis_err *err)
{
    HOLD(r);
    struct sqlite3_stmt *st;
    KLUIS_TRY(kluis_db_query(r->db, &st, err, "SELECT id,official,state,identity,cert,login_spki,enrolled_us,suspended_us FROM device WHERE id=?",
                             "s", id));
    kluis_status rc = kluis_db_step(r->db, st, err);
    if (rc == KLUIS_END) { return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "device '%s' is not registered", id); }
    KLUIS_TRY(rc);
    rc = device_row(st, arena, out, err);
    kluis_db_done(st);
    return rc;
}

kluis_status reg_devices(struct reg *r, struct kluis_arena *arena, void *ctx,
                         kluis_status (*each)(void *, const struct reg_device *, struct kluis_err *), struct kluis_err *err)
{
    HOLD(r);
    struct sqlite3_stmt *st;
    KLUIS_TRY(
        kluis_db_query(r->db, &st, err, "SELECT id,official,state,identity,cert,login_spki,enrolled_us,suspended_us FROM device ORDER BY id", ""));
    kluis_status rc;
    while ((rc = kluis_db_step(r->db, st, err)) == KLUIS_OK) {
        struct reg_device d;
        rc = device_row(st, arena, &d, err);
        if (rc == KLUIS_OK) { rc = each(ctx, &d, err); }
        if (rc != KLUIS_OK) { break; }
    }
    kluis_db_done(st);
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

kluis_status reg_device_suspend(struct reg *r, const char *id, const char *reason, int64_t not_before_us, struct kluis_err *err)
{
    HOLD(r);
    KLUIS_TRY(kluis_db_begin(r->db, err));
    int64_t changed = 0, now = kluis_now_us(), at = now > not_before_us ? now : not_before_us; /* absent is the least number */
    kluis_status rc =
        kluis_db_run(r->db, &changed, err, "UPDATE device SET state=2, suspended_why=?, suspended_us=max(?,enrolled_us) WHERE id=? AND state=1",
                     "sis", reason, at, id);
    if (rc == KLUIS_OK && changed > 0) { rc = journal_suspension(r->db, id, reason, at, err); }
    if (rc == KLUIS_OK && changed > 0) { rc = audit_add(r, "vault", "suspend", reason, id, err); }
    if (rc != KLUIS_OK) {
        give_up(r);
        return rc;
    }
    return decide(r, "register.suspend", err);
}

/* ---- the journal, for whoever keeps it elsewhere ---- */

static kluis_status found_official(void *ctx, const struct reg_official *o, struct kluis_err *err)
{
    struct reg *r = ctx;
    return journal_official(r->db, o, err);
}

static kluis_status found_device(void *ctx, const struct reg_device *d, struct kluis_err *err)
{
    static const uint8_t no_code[16];
    struct reg *r = ctx;
    KLUIS_TRY(journal_device(r->db, no_code, d, err));
    return d->state == REG_DEVICE_SUSPENDED ? journal_suspension(r->db, d->id, "", d->suspended_us, err) : KLUIS_OK;
}

static kluis_status journal_what_was(struct reg *r, struct kluis_err *err)
{
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(512 << 20);
    if (arena == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    KLUIS_TRY(reg_officials(r, r, found_official, err));
    return reg_devices(r, arena, r, found_device, err);
}

kluis_status reg_journal_length(struct reg *r, uint64_t *entries, struct kluis_err *err)
{
    HOLD(r);
    return journal_length(r->db, entries, err);
}

kluis_status reg_journal_mark(struct reg *r, uint64_t entries, struct reg_journal_mark *out, struct kluis_err *err)
{
    HOLD(r);
    return journal_mark(r->db, entries, out, err);
}

kluis_status reg_journal_get(struct reg *r, uint64_t number, struct kluis_buf *entry, struct kluis_err *err)
{
    HOLD(r);
    return journal_get(r->db, number, entry, err);
}

/* In a transaction. */
static kluis_status redo(struct reg *r, const struct kluis_bytes *entry, size_t n, struct kluis_err *err)
{
    char what[JOURNAL_WHAT];
    for (size_t i = 0; i < n; i++) {
        KLUIS_TRY(journal_append(r->db, entry[i], err));
        KLUIS_TRY(journal_redo(r->db, entry[i], what, err));
        if (what[0] != '\0') { KLUIS_TRY(audit_add(r, "vault", "register.replayed", "", what, err)); }
    }
    return KLUIS_OK;
}

kluis_status reg_journal_join(struct reg *r, uint64_t common, const struct kluis_bytes *entry, size_t n, struct kluis_err *err)
{
    HOLD(r);
    KLUIS_AUTO_BUF(tail, REG_JOURNAL_TAIL_MAX);
    KLUIS_TRY(kluis_db_begin(r->db, err));
    kluis_status rc = journal_cut(r->db, common, &tail, err);
    if (rc == KLUIS_OK) { rc = redo(r, entry, n, err); }
    struct kluis_wire w = kluis_wire_open(kluis_buf_bytes(&tail));
    while (rc == KLUIS_OK && kluis_wire_more(&w)) { rc = journal_append(r->db, kluis_wire_get(&w, REG_JOURNAL_ENTRY_MAX), err); }
    if (rc != KLUIS_OK) {
        give_up(r);
        return rc;
    }
    return decide(r, "register.journal.joined", err);
}

/* ---- audit ---- */

void reg_audit_begin(struct reg *r, struct reg_note *note, const char *actor, const char *action, const char *purpose, const char *detail)
{
    /* Not held: those who wait for the disk at the same time share it. */
    note->entry = (struct trail_entry){
        .actor = kluis_str_of(actor), .action = kluis_str_of(action), .purpose = kluis_str_of(purpose), .detail = kluis_str_of(detail)
    };
    trail_begin(r->trail, &note->ticket, &note->entry);
}

kluis_status reg_audit_end(struct reg *r, struct reg_note *note, struct kluis_err *err) { return trail_end(r->trail, &note->ticket, err); }

kluis_status reg_audit(struct reg *r, const char *actor, const char *action, const char *purpose, const char *detail, struct kluis_err *err)
{
    struct trail_entry e = {
        .actor = kluis_str_of(actor), .action = kluis_str_of(action), .purpose = kluis_str_of(purpose), .detail = kluis_str_of(detail)
    };
    return trail_add(r->trail, &e, 1, err);
}

struct reading {
    void *ctx;
    kluis_status (*each)(void *ctx, const struct reg_audit_entry *e, struct kluis_err *err);
};

static kluis_status read_one(void *ctx, const struct trail_entry *e, struct kluis_err *err)
{
    const struct reading *to = ctx;
    struct reg_audit_entry out = { e->seq, e->time_us, e->actor, e->action, e->purpose, e->detail, { 0 } };
    memcpy(out.hash, e->hash, 32);
    return to->each(to->ctx, &out, err);
}

kluis_status reg_audit_each(struct reg *r, void *ctx, kluis_status (*each)(void *, const struct reg_audit_entry *, struct kluis_err *),
                            uint64_t *entries, struct kluis_err *err)
{
    struct trail_mark mark;
    struct reading to = { ctx, each };
    *entries = 0;
    {
        HOLD(r);
        KLUIS_TRY(enter_due(r, err));
        mark = r->mark;
    }
    return trail_walk(r->trail, &mark, &to, each == NULL ? NULL : read_one, entries, err);
}

kluis_status reg_audit_check(struct reg *r, uint64_t *entries, struct kluis_err *err) { return reg_audit_each(r, NULL, NULL, entries, err); }

kluis_status reg_copy(struct reg *r, const char *dir, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX], audit[KLUIS_PATH_MAX];
    KLUIS_TRY(kluis_path(path, sizeof path, dir, "register.db", err));
    KLUIS_TRY(kluis_path(audit, sizeof audit, dir, "audit", err));
    HOLD(r);
    KLUIS_TRY(enter_due(r, err));
    /* The database first: a trail that goes further than the decisions beside it is whole, the other way round entries would be missing. */
    KLUIS_TRY(kluis_db_copy_out(r->db, path, err));
    return trail_copy(r->trail, audit, err);
}
