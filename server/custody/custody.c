/* server/custody/custody.c - opening, transactions, and the small tables. */
#include "server/custody/custody_internal.h"

#include <assert.h>
#include <stdarg.h>

static const char *const query_text[Q_COUNT_OF_QUERIES] = {
#define X(name, sql) [Q_##name] = (sql),
    CUSTODY_QUERIES(X)
#undef X
};

/* Numbers and states in here can never change meaning; a new form is a new user_version. */
static const char *const schema[] = {
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE session(tbl INTEGER, key TEXT, value BLOB NOT NULL, PRIMARY KEY(tbl,key)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE inbox(number INTEGER PRIMARY KEY, device TEXT NOT NULL, message BLOB NOT NULL, body BLOB NOT NULL,"
    " package BLOB NOT NULL, sequence INTEGER NOT NULL, previous BLOB NOT NULL, length INTEGER NOT NULL,"
    " cipher_length INTEGER NOT NULL, cipher_sha256 BLOB NOT NULL, received_us INTEGER NOT NULL, state INTEGER NOT NULL,"
    " UNIQUE(device,sequence)) STRICT;"
    "CREATE UNIQUE INDEX inbox_message ON inbox(device,message);"
    "CREATE INDEX inbox_body ON inbox(body);"
    "CREATE UNIQUE INDEX inbox_package ON inbox(package);"
    "CREATE INDEX inbox_waiting ON inbox(number) WHERE state=0;"
    "CREATE TABLE handled(device TEXT NOT NULL, message BLOB NOT NULL, body BLOB NOT NULL, package BLOB NOT NULL,"
    " PRIMARY KEY(body,device)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX handled_message ON handled(device,message);"
    "CREATE TABLE content_key(delivery INTEGER PRIMARY KEY REFERENCES inbox(number), wrapped BLOB NOT NULL) STRICT;"
    "CREATE TABLE package(sequence INTEGER PRIMARY KEY, delivery INTEGER NOT NULL UNIQUE REFERENCES inbox(number),"
    " official TEXT NOT NULL, records_root BLOB NOT NULL, device_cert BLOB NOT NULL, n_records INTEGER NOT NULL,"
    " verdict TEXT NOT NULL, leaf INTEGER NOT NULL UNIQUE REFERENCES leaf(idx), receipt_size INTEGER NOT NULL,"
    " receipt_stamped INTEGER NOT NULL) STRICT;"
    "CREATE INDEX package_unstamped ON package(sequence) WHERE receipt_stamped=0;"
    "CREATE TABLE refusal(number INTEGER PRIMARY KEY, delivery INTEGER UNIQUE REFERENCES inbox(number), device TEXT NOT NULL,"
    " package BLOB NOT NULL, sequence INTEGER NOT NULL, layer TEXT NOT NULL, reason TEXT NOT NULL, refused_us INTEGER NOT NULL,"
    " statement BLOB NOT NULL) STRICT;"
    "CREATE TABLE outbox(number INTEGER PRIMARY KEY, message BLOB NOT NULL UNIQUE, device TEXT NOT NULL, kind INTEGER NOT NULL,"
    " package BLOB NOT NULL, package_sequence INTEGER NOT NULL, tree_size INTEGER NOT NULL, body BLOB NOT NULL, state INTEGER NOT NULL) STRICT;"
    "CREATE INDEX outbox_waiting ON outbox(state,number) WHERE state<2;"
    "CREATE INDEX outbox_package ON outbox(package);"
    "CREATE TABLE leaf(idx INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;"
    "CREATE TABLE node(level INTEGER, idx INTEGER, hash BLOB NOT NULL, PRIMARY KEY(level,idx)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE checkpoint(size INTEGER PRIMARY KEY, stamped INTEGER NOT NULL, made_us INTEGER NOT NULL, text TEXT NOT NULL,"
    " seal BLOB NOT NULL) STRICT;",
    /* Leaves that came back from the gate's mirror and wait for their packages to be sent again. */
    "CREATE TABLE awaited(package BLOB PRIMARY KEY, leaf INTEGER NOT NULL UNIQUE REFERENCES leaf(idx)) STRICT, WITHOUT ROWID;",
    /* Who brought back a package of an earlier enrolment, and SHA-256 of the certificate that the ledger names for it. */
    "ALTER TABLE inbox ADD COLUMN via TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE inbox ADD COLUMN signer BLOB NOT NULL DEFAULT x'';"
    "DROP INDEX inbox_message;"
    "CREATE UNIQUE INDEX inbox_message ON inbox(device,message) WHERE via='';"
    "CREATE UNIQUE INDEX inbox_via ON inbox(via,message) WHERE via<>'';",
};

kluis_status custody_sql_error(struct custody *c, const char *what, struct kluis_err *err)
{
    return kluis_db_fail(c->db, sqlite3_extended_errcode(kluis_db_handle(c->db)), what, err);
}

sqlite3_stmt *custody_bind(struct custody *c, enum custody_query q, struct kluis_err *err, const char *types, ...)
{
    if (c->q[q] == NULL && sqlite3_prepare_v3(kluis_db_handle(c->db), query_text[q], -1, SQLITE_PREPARE_PERSISTENT, &c->q[q], NULL) != SQLITE_OK) {
        (void)custody_sql_error(c, "prepare a statement", err);
        return NULL;
    }
    sqlite3_stmt *st = c->q[q];
    int rc = SQLITE_OK, at = 1;
    va_list ap;
    va_start(ap, types);
    for (const char *t = types; *t != 0 && rc == SQLITE_OK; t++, at++) {
        if (*t == 'i') {
            rc = sqlite3_bind_int64(st, at, va_arg(ap, sqlite3_int64));
        } else if (*t == 't') {
            rc = sqlite3_bind_text(st, at, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
        } else if (*t == 'b') {
            const void *p = va_arg(ap, const void *);
            size_t n = va_arg(ap, size_t);
            rc = sqlite3_bind_blob64(st, at, p == NULL ? "" : p, n, SQLITE_TRANSIENT);
        } else {
            assert(*t == 'n');
            rc = sqlite3_bind_null(st, at);
        }
    }
    va_end(ap);
    if (rc != SQLITE_OK) {
        (void)custody_sql_error(c, "bind a value", err);
        return NULL;
    }
    return st;
}

void custody_done(sqlite3_stmt *st)
{
    (void)sqlite3_reset(st); /* repeats the error of the step, which was already told */
    (void)sqlite3_clear_bindings(st);
}

kluis_status custody_run(struct custody *c, sqlite3_stmt *st, struct kluis_err *err)
{
    if (st == NULL) { return err != NULL && err->code != KLUIS_OK ? err->code : KLUIS_E_IO; }
    int rc = sqlite3_step(st);
    kluis_status s = rc == SQLITE_DONE || rc == SQLITE_ROW ? KLUIS_OK : custody_sql_error(c, "write", err);
    custody_done(st);
    return s;
}

kluis_status custody_row(struct custody *c, sqlite3_stmt *st, struct kluis_err *err)
{
    if (st == NULL) { return err != NULL && err->code != KLUIS_OK ? err->code : KLUIS_E_IO; }
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) { return KLUIS_OK; }
    return rc == SQLITE_DONE ? KLUIS_E_NOTFOUND : custody_sql_error(c, "read", err);
}

struct kluis_bytes custody_col_bytes(sqlite3_stmt *st, int col)
{
    const void *p = sqlite3_column_blob(st, col);
    int n = sqlite3_column_bytes(st, col);
    return (struct kluis_bytes){ p == NULL ? (const uint8_t *)"" : p, n < 0 ? 0 : (size_t)n };
}

kluis_status custody_col_fixed(sqlite3_stmt *st, int col, void *out, size_t n, struct kluis_err *err)
{
    struct kluis_bytes b = custody_col_bytes(st, col);
    if (b.len != n) {
        memset(out, 0, n);
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "custody.db: column %s has %zu bytes instead of %zu; restore it", sqlite3_column_name(st, col), b.len,
                          n);
    }
    memcpy(out, b.ptr, n);
    return KLUIS_OK;
}

kluis_status custody_col_text(sqlite3_stmt *st, int col, char *out, size_t cap, struct kluis_err *err)
{
    struct kluis_bytes b = custody_col_bytes(st, col);
    if (b.len >= cap || memchr(b.ptr, 0, b.len) != NULL) {
        out[0] = 0;
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "custody.db: column %s holds too long a text; restore it", sqlite3_column_name(st, col));
    }
    memcpy(out, b.ptr, b.len);
    out[b.len] = 0;
    return KLUIS_OK;
}

kluis_status custody_open(struct custody **out, const char *vault_dir, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    kluis_status rc = kluis_path(path, sizeof path, vault_dir, "custody.db", err);
    *out = NULL;
    KLUIS_TRY(rc);
    struct custody *c = kluis_calloc(1, sizeof *c);
    if (c == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot open custody.db: out of memory"); }
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&c->lock, &attr);
    pthread_mutexattr_destroy(&attr);
    memcpy(c->path, path, sizeof c->path);
    rc = kluis_db_open(&c->db, path, KLUIS_DB_FULL, schema, sizeof schema / sizeof *schema, err);
    if (rc == KLUIS_OK) {
        rc =
            kluis_db_exec(c->db, "PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF; PRAGMA cache_size=-16000; PRAGMA wal_autocheckpoint=4000;", err);
    }
    if (rc != KLUIS_OK) {
        custody_free(c);
        return rc;
    }
    *out = c;
    return KLUIS_OK;
}

void custody_free(struct custody *c)
{
    if (c == NULL) { return; }
    if (c->in_transaction) { custody_rollback(c); }
    for (int i = 0; i < Q_COUNT_OF_QUERIES; i++) { (void)sqlite3_finalize(c->q[i]); }
    kluis_db_free(c->db);
    pthread_mutex_destroy(&c->lock);
    kluis_free(c);
}

kluis_status custody_begin(struct custody *c, struct kluis_err *err)
{
    pthread_mutex_lock(&c->lock);
    assert(!c->in_transaction);
    kluis_status rc = kluis_db_begin(c->db, err);
    if (rc != KLUIS_OK) {
        pthread_mutex_unlock(&c->lock);
        return rc;
    }
    c->in_transaction = true;
    return KLUIS_OK;
}

kluis_status custody_commit(struct custody *c, const char *step, struct kluis_err *err)
{
    assert(c->in_transaction);
    kluis_status rc = kluis_db_commit(c->db, step, err);
    c->in_transaction = false;
    pthread_mutex_unlock(&c->lock);
    return rc;
}

void custody_rollback(struct custody *c)
{
    assert(c->in_transaction);
    kluis_db_rollback(c->db);
    c->in_transaction = false;
    pthread_mutex_unlock(&c->lock);
}

/* What a vault that was set back must not go on with: agents start anew, say what they hold, and are answered again. */
static const char FORGET[] = "DELETE FROM session; DELETE FROM outbox WHERE state<>0;"
                             "DELETE FROM meta WHERE key IN('epoch','next-prekey','signed-prekey','signed-prekey-made');";

kluis_status custody_forget_sessions(struct custody *c, struct kluis_err *err)
{
    assert(c->in_transaction);
    CUSTODY_LOCKED(c);
    return kluis_db_exec(c->db, FORGET, err);
}

static kluis_status strip(const char *path, struct kluis_err *err)
{
    KLUIS_AUTO(kluis_db) db = NULL; /* deletes over what it deletes (secure_delete) */
    KLUIS_TRY(kluis_db_open(&db, path, KLUIS_DB_FULL, schema, sizeof schema / sizeof *schema, err));
    KLUIS_TRY(kluis_db_begin(db, err));
    kluis_status rc = kluis_db_exec(db, FORGET, err);
    if (rc == KLUIS_OK) { rc = kluis_db_exec(db, "INSERT OR REPLACE INTO meta(key,value) VALUES('" CUSTODY_SET_BACK "',1)", err); }
    if (rc != KLUIS_OK) {
        kluis_db_rollback(db);
        return rc;
    }
    KLUIS_TRY(kluis_db_commit(db, "vault.copy.stripped", err));
    return kluis_db_exec(db, "PRAGMA journal_mode=DELETE", err); /* one file again, all of it on disk */
}

kluis_status custody_copy(struct custody *c, const char *path, struct kluis_err *err)
{
    KLUIS_AUTO(kluis_db) db = NULL; /* a connection of its own: the vault's is never waited for */
    KLUIS_TRY(kluis_db_open(&db, c->path, KLUIS_DB_FULL, schema, sizeof schema / sizeof *schema, err));
    KLUIS_TRY(kluis_db_copy_out(db, path, err));
    return strip(path, err);
}

kluis_status custody_integrity(struct custody *c, struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    sqlite3_stmt *st = custody_bind(c, Q_INTEGRITY, err, "");
    kluis_status rc = custody_row(c, st, err);
    if (rc == KLUIS_OK) {
        struct kluis_bytes b = custody_col_bytes(st, 0);
        if (b.len != 2 || memcmp(b.ptr, "ok", 2) != 0) {
            rc = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "custody.db is damaged: %.*s; restore it", (int)(b.len > 200 ? 200 : b.len), (const char *)b.ptr);
        }
    }
    if (st != NULL) { custody_done(st); }
    return rc;
}

kluis_status custody_number_get(struct custody *c, const char *key, uint64_t absent, uint64_t *out, struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    sqlite3_stmt *st = custody_bind(c, Q_NUMBER_GET, err, "t", key);
    kluis_status rc = custody_row(c, st, err);
    *out = absent;
    if (rc == KLUIS_OK) {
        *out = (uint64_t)sqlite3_column_int64(st, 0);
    } else if (rc == KLUIS_E_NOTFOUND) {
        rc = KLUIS_OK;
    }
    if (st != NULL) { custody_done(st); }
    return rc;
}

kluis_status custody_number_set(struct custody *c, const char *key, uint64_t value, struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    return custody_run(c, custody_bind(c, Q_NUMBER_SET, err, "ti", key, (sqlite3_int64)value), err);
}

/* The one blob of a row into out. */
static kluis_status one_blob(struct custody *c, sqlite3_stmt *st, struct kluis_buf *out, struct kluis_err *err)
{
    kluis_status rc = custody_row(c, st, err);
    if (rc == KLUIS_OK) {
        struct kluis_bytes b = custody_col_bytes(st, 0);
        kluis_buf_add(out, b.ptr, b.len);
        rc = kluis_buf_ok(out, err);
    }
    if (st != NULL) { custody_done(st); }
    return rc;
}

kluis_status custody_session_get(struct custody *c, int table, const char *key, struct kluis_buf *out, struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    return one_blob(c, custody_bind(c, Q_SESSION_GET, err, "it", (sqlite3_int64)table, key), out, err);
}

kluis_status custody_session_put(struct custody *c, int table, const char *key, struct kluis_bytes value, struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    return custody_run(c, custody_bind(c, Q_SESSION_PUT, err, "itb", (sqlite3_int64)table, key, value.ptr, value.len), err);
}

kluis_status custody_session_del(struct custody *c, int table, const char *key, struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    return custody_run(c, custody_bind(c, Q_SESSION_DEL, err, "it", (sqlite3_int64)table, key), err);
}

kluis_status custody_leaf_get(struct custody *c, uint64_t index, struct kluis_buf *out, struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    return one_blob(c, custody_bind(c, Q_LEAF_GET, err, "i", (sqlite3_int64)index), out, err);
}

kluis_status custody_refusal_by_delivery(struct custody *c, uint64_t delivery, struct kluis_buf *statement, struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    return one_blob(c, custody_bind(c, Q_REFUSAL_DELIVERY, err, "i", (sqlite3_int64)delivery), statement, err);
}

kluis_status custody_count(struct custody *c, struct custody_counts *out, struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    memset(out, 0, sizeof *out);
    sqlite3_stmt *st = custody_bind(c, Q_COUNT, err, "");
    kluis_status rc = custody_row(c, st, err);
    if (rc == KLUIS_OK) {
        uint64_t *const to[] = { &out->packages, &out->records, &out->leaves,   &out->waiting,   &out->refused,
                                 &out->to_make,  &out->to_post, &out->receipts, &out->unstamped, &out->awaited };
        for (int i = 0; i < (int)(sizeof to / sizeof *to); i++) { *to[i] = (uint64_t)sqlite3_column_int64(st, i); }
    }
    if (st != NULL) { custody_done(st); }
    return rc;
}
