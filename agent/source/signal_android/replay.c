/* replay.c - a backup's statements as a database of our own: rows of the tables that are read, where attachments lie, what was lost.
 *
 * The database is a scratch file: nameless, enciphered under a key of this run.
 */
#include "agent/source/signal_android/backup.h"

#include <sqlite3.h>

static const char *const wanted[] = { "message",
                                      "mms",
                                      "sms",
                                      "part",
                                      "attachment",
                                      "recipient",
                                      "thread",
                                      "groups",
                                      "mention",
                                      "reaction",
                                      "group_membership",
                                      "group_receipts",
                                      "poll",
                                      "poll_option",
                                      "poll_vote",
                                      "call",
                                      "identities",
                                      "call_link",
                                      "distribution_list" };

struct table {
    unsigned n;
    sqlite3_stmt *insert;
};
struct replaying {
    struct sa_replay *r;
    struct sa_stream *s;
    struct table table[SA_TABLES];
    struct sa_statement statement;
    struct sa_blob blob;
};

static int table_of(const char *name)
{
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        if (strcmp(wanted[i], name) == 0) { return (int)i; }
    }
    return -1;
}

static kluis_status damage(struct replaying *p, uint64_t at, enum sa_lost why, struct kluis_err *err)
{
    return kluis_db_run(p->r->db, NULL, err, "INSERT INTO k_damage(at, number, why) VALUES(?1, ?2, ?3)", "iii", (int64_t)at, (int64_t)p->s->number,
                        (int64_t)why);
}

static kluis_status refused(const struct replaying *p, const char *what, struct kluis_err *err)
{
    return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: frame %llu: %s; let Signal make the backup again", p->s->path, (unsigned long long)p->s->number,
                      what);
}

static kluis_status make_table(struct replaying *p, int t, struct kluis_err *err)
{
    const struct sa_statement *st = &p->statement;
    KLUIS_AUTO_BUF(sql, 64 << 10);
    if (p->table[t].n > 0) { return refused(p, "a table that was there already", err); }
    kluis_buf_fmt(&sql, "CREATE TABLE \"%s\"(", st->name);
    for (unsigned i = 0; i < st->n; i++) {
        kluis_buf_fmt(&sql, "%s\"%s\"%s", i > 0 ? "," : "", st->column[i], strcmp(st->column[i], "_id") == 0 ? " INTEGER PRIMARY KEY" : "");
    }
    kluis_buf_add(&sql, ")", 2); /* with its end */
    KLUIS_TRY(kluis_buf_ok(&sql, err));
    KLUIS_TRY(kluis_db_exec(p->r->db, (const char *)sql.data, err));
    kluis_buf_clear(&sql);
    kluis_buf_fmt(&sql, "INSERT OR IGNORE INTO \"%s\" VALUES(", st->name);
    for (unsigned i = 0; i < st->n; i++) { kluis_buf_cstr(&sql, i > 0 ? ",?" : "?"); }
    kluis_buf_add(&sql, ")", 2);
    KLUIS_TRY(kluis_buf_ok(&sql, err));
    int rc = sqlite3_prepare_v3(kluis_db_handle(p->r->db), (const char *)sql.data, -1, SQLITE_PREPARE_PERSISTENT, &p->table[t].insert, NULL);
    if (rc != SQLITE_OK) { return kluis_db_fail(p->r->db, rc, "a table of the private copy", err); }
    p->table[t].n = st->n;
    return KLUIS_OK;
}

/* One parameter: string 1, integer 2, double 3, blob 4, null 5. */
static int bind(sqlite3_stmt *st, int i, struct kluis_bytes parameter)
{
    struct pb m = pb_open(parameter);
    struct pb_field f;
    double d;
    int rc = sqlite3_bind_null(st, i), more;
    while ((more = pb_next(&m, &f)) == 1 && rc == SQLITE_OK) {
        if (f.number == 1 && f.type == PB_BYTES) {
            rc = sqlite3_bind_text(st, i, (const char *)f.bytes.ptr, (int)f.bytes.len, SQLITE_STATIC);
        } else if (f.number == 2 && f.type == PB_VARINT) {
            rc = sqlite3_bind_int64(st, i, (int64_t)f.value);
        } else if (f.number == 3 && f.type == PB_FIXED64) {
            memcpy(&d, &f.value, sizeof d);
            rc = sqlite3_bind_double(st, i, d);
        } else if (f.number == 4 && f.type == PB_BYTES) {
            rc = sqlite3_bind_blob(st, i, f.bytes.ptr, (int)f.bytes.len, SQLITE_STATIC);
        } else if (f.number != 5) {
            return SQLITE_MISMATCH;
        }
    }
    return more < 0 ? SQLITE_MISMATCH : rc;
}

static kluis_status insert(struct replaying *p, int t, struct kluis_bytes statement, struct kluis_err *err)
{
    struct pb m = pb_open(statement);
    struct pb_field f;
    sqlite3_stmt *st = p->table[t].insert;
    unsigned n = 0;
    int rc = SQLITE_OK;
    if (st == NULL) { return refused(p, "a row of a table that was not made", err); }
    while (rc == SQLITE_OK && pb_next(&m, &f) == 1) {
        if (f.number != 2 || f.type != PB_BYTES) { continue; }
        rc = ++n > p->table[t].n ? SQLITE_MISMATCH : bind(st, (int)n, f.bytes);
    }
    if (rc == SQLITE_OK && (n != p->table[t].n || p->statement.n != n)) { rc = SQLITE_MISMATCH; }
    if (rc == SQLITE_OK) { rc = sqlite3_step(st); }
    const bool kept = rc == SQLITE_DONE && sqlite3_changes(kluis_db_handle(p->r->db)) == 1;
    (void)sqlite3_reset(st);
    (void)sqlite3_clear_bindings(st);
    if (rc == SQLITE_MISMATCH || (rc == SQLITE_DONE && !kept)) { return damage(p, p->s->at, SA_LOST_ROW, err); }
    return rc == SQLITE_DONE ? KLUIS_OK : kluis_db_fail(p->r->db, rc, "a row of the private copy", err);
}

static kluis_status statement(struct replaying *p, struct kluis_bytes b, struct kluis_err *err)
{
    struct pb m = pb_open(b);
    struct pb_field f;
    struct kluis_str sql = { NULL, 0 };
    int more;
    while ((more = pb_next(&m, &f)) == 1) {
        if (f.number == 1 && f.type == PB_BYTES) { sql = (struct kluis_str){ (const char *)f.bytes.ptr, f.bytes.len }; }
    }
    if (more < 0 || sql.ptr == NULL) { return damage(p, p->s->at, SA_LOST_STATEMENT, err); }
    sa_sql_read(sql, &p->statement);
    if (p->statement.kind == SA_SQL_OTHER) { return refused(p, "a statement that no backup of Signal holds", err); }
    const int t = p->statement.kind == SA_SQL_INDEX ? -1 : table_of(p->statement.name);
    if (t < 0) { return KLUIS_OK; } /* of tables that tell nothing of a conversation */
    return p->statement.kind == SA_SQL_TABLE ? make_table(p, t, err) : insert(p, t, b, err);
}

/* Attachment, avatar, sticker: their bytes follow.  Only an attachment is looked for later. */
static kluis_status blob(struct replaying *p, uint32_t kind, struct kluis_bytes b, struct kluis_err *err)
{
    struct pb m = pb_open(b);
    struct pb_field f;
    uint64_t row = 0, unique = 0, length = 0;
    const uint32_t length_at = kind == 4 ? 3 : 2;
    while (pb_next(&m, &f) == 1) {
        if (f.type != PB_VARINT) { continue; }
        if (f.number == length_at) {
            length = f.value;
        } else if (f.number == 1) {
            row = f.value;
        } else if (f.number == 2) {
            unique = f.value;
        }
    }
    sa_stream_skip(p->s, length, &p->blob);
    if (kind != 4) { return KLUIS_OK; }
    return kluis_db_run(p->r->db, NULL, err, "INSERT OR IGNORE INTO k_blob(row, uniq, at, length, counter) VALUES(?1, ?2, ?3, ?4, ?5)", "iiiii",
                        (int64_t)row, (int64_t)unique, (int64_t)p->blob.at, (int64_t)p->blob.length, (int64_t)p->blob.counter);
}

static void keep(char *out, size_t cap, struct kluis_bytes v)
{
    if (v.len == 0 || v.len >= cap || memchr(v.ptr, 0, v.len) != NULL || kluis_utf8_valid((const char *)v.ptr, v.len) != v.len) { return; }
    memcpy(out, v.ptr, v.len);
    out[v.len] = '\0';
}

/* The few settings that say who the owner is. */
static void setting(struct sa_replay *r, struct kluis_bytes b, uint32_t key_at, uint32_t text_at)
{
    struct pb m = pb_open(b);
    struct pb_field f;
    struct kluis_str key = { NULL, 0 };
    struct kluis_bytes text = { NULL, 0 }, bytes = { NULL, 0 };
    while (pb_next(&m, &f) == 1) {
        if (f.type != PB_BYTES) { continue; }
        if (f.number == key_at) { key = (struct kluis_str){ (const char *)f.bytes.ptr, f.bytes.len }; }
        if (f.number == text_at) { text = f.bytes; }
        if (f.number == 2 && key_at == 1) { bytes = f.bytes; }
    }
    if (kluis_str_is(key, "account.aci") || kluis_str_is(key, "pref_local_uuid")) { keep(r->self_aci, sizeof r->self_aci, text); }
    if (kluis_str_is(key, "account.e164") || kluis_str_is(key, "pref_local_number")) { keep(r->self_number, sizeof r->self_number, text); }
    if (kluis_str_is(key, "account.aci_identity_public_key") && bytes.len > 0 && bytes.len <= SA_SELF_KEY) {
        memcpy(r->self_key, bytes.ptr, bytes.len);
        r->self_key_len = bytes.len;
    }
}

static kluis_status frame(struct replaying *p, struct kluis_bytes b, struct kluis_err *err)
{
    struct pb m = pb_open(b), inner;
    struct pb_field f, g;
    int more;
    while ((more = pb_next(&m, &f)) == 1) {
        if (f.number == 6 && f.type == PB_VARINT) {
            p->r->ended = f.value != 0;
            continue;
        }
        if (f.type != PB_BYTES) { continue; }
        switch (f.number) {
        case 2: KLUIS_TRY(statement(p, f.bytes, err)); break;
        case 3: setting(p->r, f.bytes, 2, 3); break;
        case 5:
            inner = pb_open(f.bytes);
            while (pb_next(&inner, &g) == 1) {
                if (g.number == 1 && g.type == PB_VARINT) { p->r->version = g.value; }
            }
            break;
        case 4:
        case 7:
        case 8: KLUIS_TRY(blob(p, f.number, f.bytes, err)); break;
        case 9: setting(p->r, f.bytes, 1, 7); break;
        default: break; /* of a later version; what follows it would be noticed as damage */
        }
    }
    return more < 0 ? damage(p, p->s->at, SA_LOST_STATEMENT, err) : KLUIS_OK;
}

static kluis_status all_frames(struct replaying *p, struct kluis_err *err)
{
    struct sa_replay *r = p->r;
    KLUIS_TRY(kluis_db_exec(r->db,
                            "CREATE TABLE k_blob(row INTEGER, uniq INTEGER, at INTEGER, length INTEGER, counter INTEGER, PRIMARY KEY(row, uniq)) "
                            "WITHOUT ROWID;"
                            "CREATE TABLE k_damage(id INTEGER PRIMARY KEY, at INTEGER, number INTEGER, why INTEGER); BEGIN",
                            err));
    while (!r->ended) {
        enum sa_got got;
        struct kluis_bytes b;
        uint64_t lost;
        KLUIS_TRY(sa_stream_next(p->s, &got, &b, &lost, err));
        if (got == SA_END) { break; }
        if (got == SA_DAMAGED) {
            KLUIS_TRY(damage(p, lost, SA_LOST_FRAMES, err));
        } else {
            KLUIS_TRY(frame(p, b, err));
        }
    }
    if (!r->ended) { KLUIS_TRY(damage(p, p->s->size, SA_LOST_END, err)); }
    return kluis_db_exec(r->db, "COMMIT", err);
}

kluis_status sa_replay(struct sa_replay *r, struct sa_stream *s, struct kluis_err *err)
{
    struct replaying *p = kluis_calloc(1, sizeof *p);
    if (p == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    p->r = r;
    p->s = s;
    kluis_status rc = kluis_scratch_work(&r->db, err);
    if (rc == KLUIS_OK) { rc = all_frames(p, err); }
    for (size_t i = 0; i < SA_TABLES; i++) { (void)sqlite3_finalize(p->table[i].insert); }
    kluis_free(p);
    return rc;
}
