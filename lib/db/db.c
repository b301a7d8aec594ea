/* lib/db/db.c - one way to use SQLite.  See kluis/db.h. */
#include "kluis/db.h"
#include "lib/db/ready.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>

enum { CACHE = 128, GUESSES = 256, BUSY_MS = 10000 };

struct kluis_db {
    sqlite3 *db;
    struct {
        const char *sql;
        sqlite3_stmt *st;
    } cache[CACHE];
    size_t cached;
    uint8_t guess[GUESSES]; /* by the address of a statement's text: where it stood last in the cache */
    sqlite3_stmt *rollback; /* made before a transaction is: the way back needs no memory */
    bool open_tx, torn;     /* torn: it could not be rolled back even so */
};

/* Nobody asks SQLite how much memory it has: counting takes a lock that all connections share, for each of the allocations that a
 * statement makes (Debian's build has no lookaside), a twentieth of the index's time.  Where SQLite runs already it is refused, which costs
 * that time and nothing else. */
static void set_once(void) { (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); }

void db_ready(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, set_once);
}

kluis_status kluis_db_status(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW: return KLUIS_OK;
    case SQLITE_DONE: return KLUIS_END;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return KLUIS_E_BUSY;
    case SQLITE_NOMEM: return KLUIS_E_NOMEM;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return KLUIS_E_CORRUPT;
    case SQLITE_CONSTRAINT: return KLUIS_E_EXISTS;
    case SQLITE_MISUSE:
    case SQLITE_RANGE: return KLUIS_E_BUG;
    default: return KLUIS_E_IO;
    }
}

/* SQLite gives a read that the device refused out as a malformed database.  Its files know better: the database, and the log (which in this mode is
 * the journal that can be asked for).  They remember such a read for as long as they are open. */
static bool read_failed(sqlite3 *db)
{
    int e = 0;
    sqlite3_file *log = NULL;
    (void)sqlite3_file_control(db, "main", SQLITE_FCNTL_LAST_ERRNO, &e);
    if (e == EIO || e == ENXIO || e == ERANGE) { return true; }
    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, (void *)&log) != SQLITE_OK || log == NULL || log->pMethods == NULL) {
        return false;
    }
    (void)log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &e);
    return e == EIO || e == ENXIO || e == ERANGE;
}

kluis_status kluis_db_fail(struct kluis_db *db, int rc, const char *what, struct kluis_err *err)
{
    if ((rc & 0xff) == SQLITE_CORRUPT && db->db != NULL && read_failed(db->db)) { rc = SQLITE_IOERR_READ; }
    /* errstr, not errmsg: the latter may quote a value. */
    const char *file = db->db == NULL ? NULL : sqlite3_db_filename(db->db, "main");
    const char *name = file == NULL ? "database" : strrchr(file, '/') != NULL ? strrchr(file, '/') + 1 : file;
    return kluis_fail_at(err, KLUIS_WHERE, kluis_db_status(rc), 0, "cannot %s in %s: %s (%d)", what, name, sqlite3_errstr(rc), rc);
}

kluis_status kluis_db_exec(struct kluis_db *db, const char *sql, struct kluis_err *err)
{
    int rc = sqlite3_exec(db->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? KLUIS_OK : kluis_db_fail(db, sqlite3_extended_errcode(db->db), "run a script", err);
}

static kluis_status migrate(struct kluis_db *db, const char *const *schema, size_t n, struct kluis_err *err)
{
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(db->db, "PRAGMA user_version", -1, &st, NULL) != SQLITE_OK || sqlite3_step(st) != SQLITE_ROW) {
        int rc = sqlite3_extended_errcode(db->db);
        sqlite3_finalize(st);
        return kluis_db_fail(db, rc, "read the schema version", err);
    }
    int64_t version = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    if (version < 0 || (uint64_t)version > n) {
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the database has schema %lld, this program knows up to %zu: use the newer program",
                          (long long)version, n);
    }
    for (size_t i = (size_t)version; i < n; i++) {
        char set[64];
        (void)snprintf(set, sizeof set, "PRAGMA user_version=%zu", i + 1);
        KLUIS_TRY(kluis_db_begin(db, err));
        kluis_status rc = kluis_db_exec(db, schema[i], err);
        if (rc == KLUIS_OK) { rc = kluis_db_exec(db, set, err); }
        if (rc != KLUIS_OK) {
            kluis_db_rollback(db);
            return rc;
        }
        KLUIS_TRY(kluis_db_commit(db, "db.schema", err));
    }
    return KLUIS_OK;
}

/* SQLite opens a file, its log and its shared memory for reading only when they cannot be opened for writing, and so they stay as long as the handle
 * lives: a disk that failed once would be a database that never takes anything again. */
static kluis_status writable(struct kluis_db *db, struct kluis_err *err)
{
    int rc = sqlite3_db_readonly(db->db, "main") == 1 ? SQLITE_READONLY : sqlite3_exec(db->db, "BEGIN IMMEDIATE; ROLLBACK", NULL, NULL, NULL);
    return rc == SQLITE_OK || (rc & 0xff) == SQLITE_BUSY /* who writes now shows that one can */ ? KLUIS_OK : kluis_db_fail(db, rc, "open", err);
}

kluis_status kluis_db_open(struct kluis_db **out, const char *path, enum kluis_db_sync sync, const char *const *schema, size_t n,
                           struct kluis_err *err)
{
    *out = NULL;
    struct kluis_db *db = kluis_calloc(1, sizeof *db);
    if (db == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    db_ready();
    /* Created by hand first: SQLite would use the umask, and journals inherit the database's mode. */
    int fd = kluis_io_open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0) {
        kluis_free(db);
        return KLUIS_FAIL(err, KLUIS_E_IO, "cannot open '%s': check that the directory is there and writable", path);
    }
    kluis_close_quiet(&fd);
    kluis_status rc = KLUIS_E_BUG;
    int r = sqlite3_open_v2(path, &db->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (r != SQLITE_OK) {
        rc = kluis_db_fail(db, r, "open", err);
        goto fail;
    }
    (void)sqlite3_busy_timeout(db->db, BUSY_MS);
    rc = kluis_db_exec(
        db, "PRAGMA journal_mode=WAL; PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF; PRAGMA secure_delete=ON;", err);
    if (rc == KLUIS_OK) { rc = kluis_db_exec(db, sync == KLUIS_DB_FULL ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", err); }
    if (rc == KLUIS_OK) { rc = migrate(db, schema, n, err); }
    if (rc == KLUIS_OK) { rc = writable(db, err); }
    if (rc != KLUIS_OK) { goto fail; }
    *out = db;
    return KLUIS_OK;
fail:
    kluis_db_free(db);
    return rc;
}

kluis_status kluis_db_adopt(struct kluis_db **out, sqlite3 *connection, struct kluis_err *err)
{
    *out = kluis_calloc(1, sizeof **out);
    if (*out == NULL) {
        (void)sqlite3_close_v2(connection);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory");
    }
    (*out)->db = connection;
    return KLUIS_OK;
}

static atomic_uint_fast64_t freed;

uint64_t kluis_db_freed(void) { return atomic_load_explicit(&freed, memory_order_relaxed); }

void kluis_db_free(struct kluis_db *db)
{
    if (db == NULL) { return; }
    atomic_fetch_add_explicit(&freed, 1, memory_order_relaxed);
    if (db->open_tx) { kluis_db_rollback(db); }
    for (size_t i = 0; i < db->cached; i++) { sqlite3_finalize(db->cache[i].st); }
    sqlite3_finalize(db->rollback);
    (void)sqlite3_close_v2(db->db); /* commits happened before; closing adds nothing durable */
    kluis_free(db);
}

struct sqlite3 *kluis_db_handle(struct kluis_db *db) { return db->db; }

kluis_status kluis_db_begin(struct kluis_db *db, struct kluis_err *err)
{
    int rc = db->rollback != NULL ? SQLITE_OK : sqlite3_prepare_v3(db->db, "ROLLBACK", -1, SQLITE_PREPARE_PERSISTENT, &db->rollback, NULL);
    if (rc != SQLITE_OK) { return kluis_db_fail(db, sqlite3_extended_errcode(db->db), "begin", err); }
    if (db->torn) { kluis_db_rollback(db); }
    KLUIS_TRY(kluis_db_exec(db, "BEGIN IMMEDIATE", err));
    db->open_tx = true;
    return KLUIS_OK;
}

kluis_status kluis_db_commit(struct kluis_db *db, const char *step, struct kluis_err *err)
{
    kluis_status rc = kluis_db_exec(db, "COMMIT", err);
    if (rc != KLUIS_OK) {
        kluis_db_rollback(db);
        return rc;
    }
    db->open_tx = false;
    if (step != NULL) { kluis_durable_step(step); }
    return KLUIS_OK;
}

/* VACUUM INTO reads in one transaction and writes no page that holds nothing: what was deleted is not in the copy either. */
kluis_status kluis_db_copy_out(struct kluis_db *db, const char *path, struct kluis_err *err)
{
    char dir[KLUIS_PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (slash == NULL || (size_t)(slash - path) >= sizeof dir) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "path too long: '%s'", path); }
    memcpy(dir, path, (size_t)(slash - path));
    dir[slash - path] = '\0';
    int fd = kluis_io_open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600); /* SQLite fills an empty file and keeps its mode */
    if (fd < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot create '%s'", path); }
    kluis_status rc = kluis_db_run(db, NULL, err, "VACUUM INTO ?1", "s", path);
    if (rc == KLUIS_OK) {
        rc = kluis_close_durable(&fd, path, err);
    } else {
        kluis_close_quiet(&fd);
    }
    if (rc == KLUIS_OK) { rc = kluis_fsync_dir(dir, err); }
    if (rc != KLUIS_OK && kluis_io_unlink(path) != 0) { return rc; /* the failure is told; the next attempt asks for another name */ }
    return rc;
}

kluis_status kluis_db_open_copy(struct kluis_db **out, const char *path, struct kluis_err *err)
{
    char uri[3 * KLUIS_PATH_MAX + 32] = "file:";
    size_t n = 5;
    *out = NULL;
    for (const char *p = path; *p != '\0' && n + 4 < sizeof uri; p++) { /* RFC 3986: what a URI gives a meaning is written as its number */
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || strchr("/._-", *p) != NULL;
        n += (size_t)snprintf(uri + n, sizeof uri - n, plain ? "%c" : "%%%02x", plain ? *p : (unsigned char)*p);
    }
    (void)snprintf(uri + n, sizeof uri - n, "?immutable=1");
    struct kluis_db *db = kluis_calloc(1, sizeof *db);
    if (db == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    db_ready();
    int r = sqlite3_open_v2(uri, &db->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    kluis_status rc =
        r == SQLITE_OK ? kluis_db_exec(db, "PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF;", err) : kluis_db_fail(db, r, "open a copy", err);
    if (rc != KLUIS_OK) {
        kluis_db_free(db);
        return rc;
    }
    *out = db;
    return KLUIS_OK;
}

static kluis_status bind(struct kluis_db *db, sqlite3_stmt *st, const char *types, va_list ap, struct kluis_err *err)
{
    int rc = SQLITE_OK;
    for (int i = 1; types[i - 1] != '\0' && rc == SQLITE_OK; i++) {
        switch (types[i - 1]) {
        case 'i': rc = sqlite3_bind_int64(st, i, va_arg(ap, int64_t)); break;
        case 's': rc = sqlite3_bind_text(st, i, va_arg(ap, const char *), -1, SQLITE_STATIC); break;
        case 't': {
            struct kluis_str s = va_arg(ap, struct kluis_str);
            rc = sqlite3_bind_text64(st, i, s.ptr, s.len, SQLITE_STATIC, SQLITE_UTF8);
            break;
        }
        case 'b': {
            struct kluis_bytes b = va_arg(ap, struct kluis_bytes);
            rc = sqlite3_bind_blob64(st, i, b.ptr, b.len, SQLITE_STATIC);
            break;
        }
        case 'h': rc = sqlite3_bind_blob(st, i, va_arg(ap, const uint8_t *), 32, SQLITE_STATIC); break;
        case 'n': rc = sqlite3_bind_null(st, i); break;
        default: return KLUIS_FAIL(err, KLUIS_E_BUG, "unknown binding '%c'", types[i - 1]);
        }
    }
    return rc == SQLITE_OK ? KLUIS_OK : kluis_db_fail(db, rc, "bind a value", err);
}

static kluis_status query(struct kluis_db *db, sqlite3_stmt **out, struct kluis_err *err, const char *sql, const char *types, va_list ap)
{
    sqlite3_stmt *st = NULL;
    uint8_t *guess = &db->guess[((uintptr_t)sql >> 4 ^ (uintptr_t)sql) % GUESSES];
    if (db->cached > 0 && db->cache[*guess].sql == sql) { st = db->cache[*guess].st; }
    for (size_t i = 0; i < db->cached && st == NULL; i++) {
        if (db->cache[i].sql != sql) { continue; }
        st = db->cache[i].st;
        *guess = (uint8_t)i;
    }
    if (st == NULL) {
        if (db->cached == CACHE) { return KLUIS_FAIL(err, KLUIS_E_BUG, "more than %d statements on one handle", CACHE); }
        int rc = sqlite3_prepare_v3(db->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL);
        if (rc != SQLITE_OK) { return kluis_db_fail(db, rc, "prepare a statement", err); }
        db->cache[db->cached].sql = sql;
        db->cache[db->cached++].st = st;
    } else {
        (void)sqlite3_reset(st); /* repeats the error of the last step, which was told then */
        (void)sqlite3_clear_bindings(st);
    }
    KLUIS_TRY(bind(db, st, types, ap, err));
    *out = st;
    return KLUIS_OK;
}

kluis_status kluis_db_query(struct kluis_db *db, struct sqlite3_stmt **out, struct kluis_err *err, const char *sql, const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    kluis_status rc = query(db, out, err, sql, types, ap);
    va_end(ap);
    return rc;
}

kluis_status kluis_db_step(struct kluis_db *db, struct sqlite3_stmt *st, struct kluis_err *err)
{
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) { return KLUIS_OK; }
    kluis_status status = rc == SQLITE_DONE ? KLUIS_END : kluis_db_fail(db, rc, "run a statement", err);
    (void)sqlite3_reset(st); /* repeats the error above */
    return status;
}

void kluis_db_rollback(struct kluis_db *db)
{
    for (size_t i = 0; i < db->cached; i++) { (void)sqlite3_reset(db->cache[i].st); } /* a running statement would keep it open */
    if (!sqlite3_get_autocommit(db->db)) {                                            /* the error is told already */
        int rc = db->rollback == NULL ? SQLITE_ERROR : sqlite3_step(db->rollback);
        if (db->rollback != NULL) { (void)sqlite3_reset(db->rollback); }
        if (rc != SQLITE_DONE) { (void)sqlite3_exec(db->db, "ROLLBACK", NULL, NULL, NULL); }
    }
    db->torn = !sqlite3_get_autocommit(db->db);
    db->open_tx = false;
}

void kluis_db_done(struct sqlite3_stmt *st)
{
    if (st != NULL) { (void)sqlite3_reset(st); }
}

kluis_status kluis_db_run(struct kluis_db *db, int64_t *changes, struct kluis_err *err, const char *sql, const char *types, ...)
{
    sqlite3_stmt *st = NULL;
    va_list ap;
    va_start(ap, types);
    kluis_status rc = query(db, &st, err, sql, types, ap);
    va_end(ap);
    KLUIS_TRY(rc);
    do {
        rc = kluis_db_step(db, st, err);
    } while (rc == KLUIS_OK);
    if (rc != KLUIS_END) { return rc; }
    (void)sqlite3_clear_bindings(st); /* bound memory is the caller's and may go now */
    if (changes != NULL) { *changes = sqlite3_changes64(db->db); }
    if (!db->open_tx && !sqlite3_stmt_readonly(st)) { kluis_durable_step("db.autocommit"); }
    return KLUIS_OK;
}

int64_t kluis_db_int(struct sqlite3_stmt *st, int column) { return sqlite3_column_int64(st, column); }

struct kluis_str kluis_db_text(struct sqlite3_stmt *st, int column)
{
    const char *p = (const char *)sqlite3_column_text(st, column);
    return (struct kluis_str){ p, p == NULL ? 0 : (size_t)sqlite3_column_bytes(st, column) };
}

struct kluis_bytes kluis_db_blob(struct sqlite3_stmt *st, int column)
{
    static const uint8_t empty[1];
    if (sqlite3_column_type(st, column) == SQLITE_NULL) { return (struct kluis_bytes){ NULL, 0 }; }
    const uint8_t *p = sqlite3_column_blob(st, column);
    return (struct kluis_bytes){ p == NULL ? empty : p, p == NULL ? 0 : (size_t)sqlite3_column_bytes(st, column) };
}

bool kluis_db_fixed(struct sqlite3_stmt *st, int column, void *out, size_t n)
{
    struct kluis_bytes b = kluis_db_blob(st, column);
    if (b.ptr == NULL || b.len != n) { return false; }
    memcpy(out, b.ptr, n);
    return true;
}

bool kluis_db_copy(struct sqlite3_stmt *st, int column, char *out, size_t cap)
{
    struct kluis_str s = kluis_db_text(st, column);
    if (s.len >= cap || (s.len > 0 && memchr(s.ptr, 0, s.len) != NULL)) { return false; }
    if (s.len > 0) { memcpy(out, s.ptr, s.len); }
    out[s.len] = '\0';
    return true;
}

kluis_status kluis_db_take(struct sqlite3_stmt *st, kluis_status rc, struct kluis_buf *out, struct kluis_err *err)
{
    if (rc == KLUIS_OK) {
        struct kluis_bytes b = kluis_db_blob(st, 0);
        kluis_buf_add(out, b.ptr, b.len);
        rc = kluis_buf_ok(out, err);
    }
    kluis_db_done(st);
    return rc;
}
