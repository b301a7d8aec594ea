/* server/register/journal.c - entries of the register's journal: written, numbered, chained, done again.  See journal.h. */
#include "server/register/journal.h"

#include "kluis/db.h"

static const char ENTRY[] = "chatkluis-register-entry-v1", CHAIN[] = "chatkluis-register-v1"; /* the chain's with its NUL */
enum kind { OFFICIAL = 1, DEVICE = 2, SUSPENSION = 3 };

/* ---- the list ---- */

kluis_status journal_length(struct kluis_db *db, uint64_t *out, struct kluis_err *err)
{
    struct sqlite3_stmt *st;
    KLUIS_TRY(kluis_db_query(db, &st, err, "SELECT ifnull(max(number),0) FROM journal", ""));
    kluis_status rc = kluis_db_step(db, st, err);
    *out = rc == KLUIS_OK ? (uint64_t)kluis_db_int(st, 0) : 0;
    kluis_db_done(st);
    return rc;
}

kluis_status journal_mark(struct kluis_db *db, uint64_t entries, struct reg_journal_mark *out, struct kluis_err *err)
{
    struct sqlite3_stmt *st;
    *out = (struct reg_journal_mark){ .entries = entries };
    if (entries == 0) { return KLUIS_OK; }
    if (entries > INT64_MAX) { return KLUIS_E_NOTFOUND; }
    KLUIS_TRY(kluis_db_query(db, &st, err, "SELECT chain FROM journal WHERE number=?", "i", (int64_t)entries));
    kluis_status rc = kluis_db_step(db, st, err);
    bool whole = rc == KLUIS_OK && kluis_db_fixed(st, 0, out->chain, sizeof out->chain);
    kluis_db_done(st);
    if (rc == KLUIS_END) { return KLUIS_E_NOTFOUND; }
    KLUIS_TRY(rc);
    return whole ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_CORRUPT, "entry %llu of the register's journal is damaged", (unsigned long long)entries);
}

kluis_status journal_get(struct kluis_db *db, uint64_t number, struct kluis_buf *entry, struct kluis_err *err)
{
    struct sqlite3_stmt *st;
    KLUIS_TRY(kluis_db_query(db, &st, err, "SELECT entry FROM journal WHERE number=?", "i", (int64_t)number));
    kluis_status rc = kluis_db_step(db, st, err);
    if (rc == KLUIS_OK) {
        struct kluis_bytes b = kluis_db_blob(st, 0);
        kluis_buf_add(entry, b.ptr, b.len);
        rc = kluis_buf_ok(entry, err);
    }
    kluis_db_done(st);
    return rc == KLUIS_END ? KLUIS_E_NOTFOUND : rc;
}

kluis_status journal_append(struct kluis_db *db, struct kluis_bytes entry, struct kluis_err *err)
{
    struct reg_journal_mark m;
    uint64_t n;
    KLUIS_TRY(journal_length(db, &n, err));
    KLUIS_TRY(journal_mark(db, n, &m, err));
    struct kluis_sha256 *h = kluis_sha256_new();
    if (h == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    kluis_sha256_add(h, CHAIN, sizeof CHAIN);
    kluis_sha256_add(h, m.chain, sizeof m.chain);
    kluis_sha256_add(h, entry.ptr, entry.len);
    kluis_sha256_end(h, m.chain);
    kluis_sha256_free(h);
    return kluis_db_run(db, NULL, err, "INSERT INTO journal(number,entry,chain) VALUES(?,?,?)", "ibh", (int64_t)n + 1, entry, m.chain);
}

kluis_status journal_cut(struct kluis_db *db, uint64_t common, struct kluis_buf *tail, struct kluis_err *err)
{
    struct sqlite3_stmt *st;
    KLUIS_TRY(kluis_db_query(db, &st, err, "SELECT entry FROM journal WHERE number>? ORDER BY number", "i", (int64_t)common));
    kluis_status rc;
    while ((rc = kluis_db_step(db, st, err)) == KLUIS_OK) {
        struct kluis_bytes b = kluis_db_blob(st, 0);
        kluis_wire_field(tail, b.ptr, b.len);
    }
    kluis_db_done(st);
    if (rc != KLUIS_END) { return rc; }
    KLUIS_TRY(kluis_buf_ok(tail, err));
    return kluis_db_run(db, NULL, err, "DELETE FROM journal WHERE number>?", "i", (int64_t)common);
}

/* ---- writing ---- */

static void begin(struct kluis_buf *b, enum kind kind)
{
    kluis_wire_label(b, ENTRY);
    kluis_wire_u32(b, (uint32_t)kind);
}

static void text(struct kluis_buf *b, const char *s) { kluis_wire_str(b, kluis_str_of(s)); }

static kluis_status add(struct kluis_db *db, struct kluis_buf *b, struct kluis_err *err)
{
    KLUIS_TRY(kluis_buf_ok(b, err));
    return journal_append(db, kluis_buf_bytes(b), err);
}

kluis_status journal_official(struct kluis_db *db, const struct reg_official *o, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(b, REG_JOURNAL_ENTRY_MAX);
    begin(&b, OFFICIAL);
    text(&b, o->id);
    text(&b, o->name);
    text(&b, o->function);
    text(&b, o->from);
    text(&b, o->to);
    kluis_wire_u32(&b, (uint32_t)(o->grace_days + 1)); /* 0: the regime's */
    return add(db, &b, err);
}

kluis_status journal_device(struct kluis_db *db, const uint8_t code_id[16], const struct reg_device *d, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(b, REG_JOURNAL_ENTRY_MAX);
    begin(&b, DEVICE);
    kluis_wire_field(&b, code_id, 16);
    text(&b, d->id);
    text(&b, d->official);
    kluis_wire_field(&b, d->identity, sizeof d->identity);
    kluis_wire_field(&b, d->cert.ptr, d->cert.len);
    kluis_wire_field(&b, d->login_spki.ptr, d->login_spki.len);
    kluis_wire_u64(&b, (uint64_t)d->enrolled_us);
    return add(db, &b, err);
}

kluis_status journal_suspension(struct kluis_db *db, const char *id, const char *reason, int64_t at_us, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(b, REG_JOURNAL_ENTRY_MAX);
    begin(&b, SUSPENSION);
    text(&b, id);
    text(&b, reason);
    kluis_wire_u64(&b, (uint64_t)at_us);
    return add(db, &b, err);
}

/* ---- doing again ---- */

static bool take_text(struct kluis_wire *w, char *out, size_t cap)
{
    struct kluis_bytes b = kluis_wire_get(w, cap - 1);
    if (w->bad || memchr(b.len == 0 ? "" : (const char *)b.ptr, 0, b.len) != NULL) { return false; }
    if (b.len > 0) { memcpy(out, b.ptr, b.len); }
    out[b.len] = '\0';
    return true;
}

static kluis_status redo_official(struct kluis_db *db, struct kluis_wire *w, char what[JOURNAL_WHAT], int64_t *changed, struct kluis_err *err)
{
    struct reg_official o;
    bool ok = take_text(w, o.id, sizeof o.id) && take_text(w, o.name, sizeof o.name) && take_text(w, o.function, sizeof o.function) &&
              take_text(w, o.from, sizeof o.from) && take_text(w, o.to, sizeof o.to);
    uint32_t grace = kluis_wire_get_u32(w);
    KLUIS_TRY(kluis_wire_end(w, "an official in the journal", err));
    if (!ok || grace > 3651) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "an official in the journal is none"); }
    (void)snprintf(what, JOURNAL_WHAT, "official %s", o.id);
    return kluis_db_run(db, changed, err, "INSERT OR IGNORE INTO official(id,name,function,starts,ends,grace_days) VALUES(?,?,?,?,?,?)", "sssssi",
                        o.id, o.name, o.function, o.from, o.to, (int64_t)grace - 1);
}

static kluis_status redo_device(struct kluis_db *db, struct kluis_wire *w, char what[JOURNAL_WHAT], int64_t *changed, struct kluis_err *err)
{
    uint8_t code[16], identity[33];
    char id[33], official[64];
    (void)kluis_wire_fixed(w, code, sizeof code);
    bool ok = take_text(w, id, sizeof id) && take_text(w, official, sizeof official);
    (void)kluis_wire_fixed(w, identity, sizeof identity);
    struct kluis_bytes cert = kluis_wire_get(w, REG_JOURNAL_ENTRY_MAX), login = kluis_wire_get(w, REG_JOURNAL_ENTRY_MAX);
    uint64_t at = kluis_wire_get_u64(w);
    KLUIS_TRY(kluis_wire_end(w, "a device in the journal", err));
    if (!ok || at > INT64_MAX) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "a device in the journal is none"); }
    (void)snprintf(what, JOURNAL_WHAT, "device %s of %s", id, official);
    KLUIS_TRY(kluis_db_run(db, NULL, err, "UPDATE code SET used=1, secret=NULL WHERE id=? AND used=0", "b", (struct kluis_bytes){ code, 16 }));
    return kluis_db_run(db, changed, err,
                        "INSERT OR IGNORE INTO device(id,official,state,identity,cert,login_spki,enrolled_us) VALUES(?,?,1,?,?,?,?)", "ssbbbi", id,
                        official, (struct kluis_bytes){ identity, 33 }, cert, login, (int64_t)at);
}

static kluis_status redo_suspension(struct kluis_db *db, struct kluis_wire *w, char what[JOURNAL_WHAT], int64_t *changed, struct kluis_err *err)
{
    char id[33], reason[KLUIS_ERR_MSG];
    bool ok = take_text(w, id, sizeof id) && take_text(w, reason, sizeof reason);
    uint64_t at = kluis_wire_get_u64(w);
    KLUIS_TRY(kluis_wire_end(w, "a suspension in the journal", err));
    if (!ok || at > INT64_MAX) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "a suspension in the journal is none"); }
    (void)snprintf(what, JOURNAL_WHAT, "suspension of %s", id);
    return kluis_db_run(db, changed, err, "UPDATE device SET state=2, suspended_why=?, suspended_us=max(?,enrolled_us) WHERE id=? AND state=1", "sis",
                        reason, (int64_t)at, id);
}

kluis_status journal_redo(struct kluis_db *db, struct kluis_bytes entry, char what[JOURNAL_WHAT], struct kluis_err *err)
{
    struct kluis_wire w = kluis_wire_open(entry);
    int64_t changed = 0;
    (void)kluis_wire_is(&w, ENTRY);
    uint32_t kind = kluis_wire_get_u32(&w);
    kluis_status rc = kind == OFFICIAL     ? redo_official(db, &w, what, &changed, err)
                      : kind == DEVICE     ? redo_device(db, &w, what, &changed, err)
                      : kind == SUSPENSION ? redo_suspension(db, &w, what, &changed, err)
                                           : KLUIS_FAIL(err, KLUIS_E_REJECT, "of a kind that this program does not know: install the newer one");
    if (rc == KLUIS_E_REJECT) {
        kluis_err_prefix(err, "the register's journal");
        if (err != NULL) { err->code = KLUIS_E_CORRUPT; }
        return KLUIS_E_CORRUPT;
    }
    if (changed == 0) { what[0] = '\0'; }
    return rc;
}
