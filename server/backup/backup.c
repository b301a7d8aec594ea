/* server/backup/backup.c - from snapshot and store to the operator's folder. */
#include "server/backup/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "kluis/db.h"
#include "server/backup/files.h"

enum { SHELVES = 256, FLUSH = 1 << 16 };

struct backing {
    char to[KLUIS_PATH_MAX], part[KLUIS_PATH_MAX], snapshot[KLUIS_PATH_MAX], store[KLUIS_PATH_MAX], kept[KLUIS_PATH_MAX];
    bool read_data, shelf[SHELVES];
    int sums_fd;
    char sums_path[KLUIS_PATH_MAX];
    struct kluis_buf line; /* of SHA256SUMS, not written yet */
    struct kluis_sha256 *sums;
    const struct backup_report *report;
    struct backup_result *out;
    uint64_t total, ledger;
};

/* ---- SHA256SUMS ---- */

static kluis_status sums_flush(struct backing *b, struct kluis_err *err)
{
    KLUIS_TRY(kluis_buf_ok(&b->line, err));
    kluis_sha256_add(b->sums, b->line.data, b->line.len);
    KLUIS_TRY(kluis_write_all(b->sums_fd, b->line.data, b->line.len, b->sums_path, err));
    kluis_buf_clear(&b->line);
    return KLUIS_OK;
}

static kluis_status sums_add(struct backing *b, const uint8_t sha256[32], const char *name, uint64_t size, struct kluis_err *err)
{
    char hex[65];
    kluis_hex(sha256, 32, hex);
    kluis_buf_fmt(&b->line, "%s  %s\n", hex, name);
    b->out->bytes += size;
    return b->line.len >= FLUSH ? sums_flush(b, err) : KLUIS_OK;
}

/* ---- the small files ---- */

static kluis_status take(struct backing *b, const char *from_dir, const char *name, struct kluis_err *err)
{
    char from[KLUIS_PATH_MAX], to[KLUIS_PATH_MAX];
    uint8_t sha256[32];
    uint64_t size = 0;
    KLUIS_TRY(kluis_path(from, sizeof from, from_dir, name, err));
    KLUIS_TRY(kluis_path(to, sizeof to, b->part, name, err));
    KLUIS_TRY(file_copy(from, to, NULL, sha256, &size, err));
    return sums_add(b, sha256, name, size, err);
}

static kluis_status take_audit(void *ctx, const char *name, struct kluis_err *err)
{
    struct backing *b = ctx;
    char path[96];
    int n = snprintf(path, sizeof path, "audit/%s", name);
    if (n < 0 || (size_t)n >= sizeof path) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "a file of the audit trail has too long a name"); }
    return take(b, b->snapshot, path, err);
}

static kluis_status take_folder(struct backing *b, struct kluis_err *err)
{
    char audit[KLUIS_PATH_MAX], to[KLUIS_PATH_MAX];
    KLUIS_TRY(kluis_path(audit, sizeof audit, b->snapshot, "audit", err));
    KLUIS_TRY(kluis_path(to, sizeof to, b->part, "audit", err));
    KLUIS_TRY(kluis_make_dir(to, err));
    KLUIS_TRY(take(b, b->snapshot, "custody.db", err));
    KLUIS_TRY(take(b, b->snapshot, "register.db", err));
    KLUIS_TRY(folder_each(audit, b, take_audit, err));
    return kluis_fsync_dir(to, err);
}

/* SQLite's own check, of the copy. */
static kluis_status sound(const struct backing *b, const char *name, struct kluis_db **out, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_path(path, sizeof path, b->part, name, err));
    KLUIS_TRY(kluis_db_open_copy(out, path, err));
    KLUIS_TRY(kluis_db_query(*out, &st, err, "PRAGMA integrity_check(1)", ""));
    kluis_status rc = kluis_db_step(*out, st, err);
    bool good = rc == KLUIS_OK && kluis_str_is(kluis_db_text(st, 0), "ok");
    kluis_db_done(st);
    KLUIS_TRY(rc);
    return good ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_CORRUPT, "'%s' is damaged: run check", path);
}

/* ---- ciphertext ---- */

static kluis_status keep(struct backing *b, const uint8_t package[32], uint64_t length, const uint8_t sha256[32], struct kluis_err *err)
{
    char hex[65], name[96], from[KLUIS_PATH_MAX], to[KLUIS_PATH_MAX], shelf[KLUIS_PATH_MAX];
    uint8_t got[32];
    uint64_t size = 0;
    struct stat st;
    kluis_hex(package, 32, hex);
    (void)snprintf(name, sizeof name, "%.2s/%s.ckc", hex, hex);
    KLUIS_TRY(kluis_path(from, sizeof from, b->store, name, err));
    KLUIS_TRY(kluis_path(to, sizeof to, b->kept, name, err));
    bool there = stat(to, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == length;
    if (there && b->read_data) {
        KLUIS_TRY(file_digest(to, got, &size, err));
        if (memcmp(got, sha256, 32) != 0) {
            return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "'%s', of an earlier backup, has changed: this medium cannot be trusted", to);
        }
    } else if (!there) { /* also one that is there with another length: written anew */
        (void)snprintf(name, sizeof name, "%.2s", hex);
        KLUIS_TRY(kluis_path(shelf, sizeof shelf, b->kept, name, err));
        KLUIS_TRY(kluis_make_dir(shelf, err));
        kluis_status rc = file_copy(from, to, sha256, got, &size, err);
        if (rc == KLUIS_E_NOTFOUND) { return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "'%s' is missing from the store: run check", from); }
        KLUIS_TRY(rc);
        b->out->copied++;
    }
    b->shelf[package[0]] = true; /* synced below, also for what was there: a backup that was killed may have named it and not synced the name */
    (void)snprintf(name, sizeof name, "../storage/%.2s/%s.ckc", hex, hex);
    b->out->files++;
    if (b->report != NULL) { b->report->done(b->report->ctx, b->out->files, b->total, b->out->bytes); }
    return sums_add(b, sha256, name, size, err);
}

static kluis_status count(struct kluis_db *db, const char *sql, uint64_t *out, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(db, &st, err, sql, ""));
    kluis_status rc = kluis_db_step(db, st, err);
    if (rc == KLUIS_OK) { *out = (uint64_t)kluis_db_int(st, 0); }
    kluis_db_done(st);
    return rc;
}

/* Whatever the copied custody names: accepted, refused and waiting packages alike. */
static kluis_status keep_all(struct backing *b, struct kluis_db *custody, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(count(custody, "SELECT count(*) FROM inbox", &b->total, err));
    KLUIS_TRY(count(custody, "SELECT coalesce(max(sequence),0) FROM package", &b->out->packages, err));
    KLUIS_TRY(count(custody, "SELECT coalesce(max(idx)+1,0) FROM leaf", &b->ledger, err));
    KLUIS_TRY(kluis_db_query(custody, &st, err, "SELECT package,cipher_length,cipher_sha256 FROM inbox ORDER BY number", ""));
    kluis_status rc;
    while ((rc = kluis_db_step(custody, st, err)) == KLUIS_OK) {
        uint8_t package[32], sha256[32];
        if (!kluis_db_fixed(st, 0, package, 32) || !kluis_db_fixed(st, 2, sha256, 32)) {
            rc = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a row of custody.db is damaged: run check");
        } else {
            rc = keep(b, package, (uint64_t)kluis_db_int(st, 1), sha256, err);
        }
        if (rc != KLUIS_OK) { break; }
    }
    kluis_db_done(st);
    if (rc != KLUIS_END) { return rc; }
    for (unsigned i = 0; i < SHELVES; i++) {
        char name[3], shelf[KLUIS_PATH_MAX];
        if (!b->shelf[i]) { continue; }
        (void)snprintf(name, sizeof name, "%02x", i);
        KLUIS_TRY(kluis_path(shelf, sizeof shelf, b->kept, name, err));
        KLUIS_TRY(kluis_fsync_dir(shelf, err));
    }
    return kluis_fsync_dir(b->kept, err);
}

/* ---- the whole ---- */

static kluis_status facts(struct backing *b, struct kluis_err *err)
{
    char when[KLUIS_TIME_TEXT], path[KLUIS_PATH_MAX];
    uint8_t sha256[32];
    KLUIS_AUTO_BUF(json, 1024);
    (void)kluis_time_text(when, b->out->made_us, 0, 0);
    kluis_buf_fmt(&json, "{\"format\":\"chatkluis-backup-v1\",\"made\":\"%s\",\"packages\":%llu,\"ciphertexts\":%llu,\"ledger\":%llu}\n", when,
                  (unsigned long long)b->out->packages, (unsigned long long)b->out->files, (unsigned long long)b->ledger);
    KLUIS_TRY(kluis_buf_ok(&json, err));
    KLUIS_TRY(kluis_path(path, sizeof path, b->part, "backup.json", err));
    KLUIS_TRY(kluis_write_file(path, json.data, json.len, 0600, err));
    kluis_sha256_of(json.data, json.len, sha256);
    return sums_add(b, sha256, "backup.json", json.len, err);
}

static kluis_status fill(struct backing *b, const char *home, struct kluis_err *err)
{
    KLUIS_AUTO(kluis_db) custody = NULL;
    KLUIS_AUTO(kluis_db) reg = NULL;
    KLUIS_TRY(take_folder(b, err));
    KLUIS_TRY(take(b, home, "trust.json", err));
    KLUIS_TRY(sound(b, "register.db", &reg, err));
    KLUIS_TRY(sound(b, "custody.db", &custody, err));
    KLUIS_TRY(keep_all(b, custody, err));
    KLUIS_TRY(facts(b, err));
    KLUIS_TRY(sums_flush(b, err));
    kluis_sha256_end(b->sums, b->out->sums);
    return kluis_close_durable(&b->sums_fd, b->sums_path, err);
}

static kluis_status paths(struct backing *b, const char *home, const char *to, struct kluis_err *err)
{
    char name[BACKUP_NAME + 8], when[KLUIS_TIME_TEXT];
    size_t n = 0;
    (void)kluis_time_text(when, b->out->made_us, 0, 0);
    for (const char *p = when; *p != '\0' && n + 1 < sizeof b->out->name; p++) {
        if (*p != '-' && *p != ':') { b->out->name[n++] = *p; }
    }
    b->out->name[n] = '\0';
    (void)snprintf(name, sizeof name, "%s.part", b->out->name);
    KLUIS_TRY(kluis_path(b->part, sizeof b->part, to, name, err));
    KLUIS_TRY(kluis_path(b->to, sizeof b->to, to, b->out->name, err));
    KLUIS_TRY(kluis_path(b->kept, sizeof b->kept, to, "storage", err));
    KLUIS_TRY(kluis_path(b->snapshot, sizeof b->snapshot, home, "vault/snapshot", err));
    KLUIS_TRY(kluis_path(b->store, sizeof b->store, home, "vault/storage", err));
    return kluis_path(b->sums_path, sizeof b->sums_path, b->part, "SHA256SUMS", err);
}

struct sweeping {
    const char *to;
};

/* What an interrupted backup left. */
static kluis_status sweep(void *ctx, const char *name, struct kluis_err *err)
{
    const struct sweeping *s = ctx;
    char path[KLUIS_PATH_MAX];
    size_t n = strlen(name);
    if (n != 16 + 5 || strcmp(name + 16, ".part") != 0) { return KLUIS_OK; }
    KLUIS_TRY(kluis_path(path, sizeof path, s->to, name, err));
    return folder_remove(path, err);
}

static kluis_status run(struct backing *b, const char *home, const char *to, struct kluis_err *err)
{
    struct sweeping s = { to };
    bool there;
    KLUIS_TRY(folder_each(to, &s, sweep, err));
    KLUIS_TRY(kluis_exists(b->to, &there, err));
    if (there) { return KLUIS_FAIL(err, KLUIS_E_BUSY, "'%s' was made within this second: try again", b->to); }
    KLUIS_TRY(kluis_make_dir(b->kept, err));
    KLUIS_TRY(kluis_make_dir(b->part, err));
    if ((b->sums_fd = kluis_io_open(b->sums_path, O_WRONLY | O_CREAT | O_EXCL, 0600)) < 0) {
        return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot create '%s'", b->sums_path);
    }
    kluis_status rc = fill(b, home, err);
    kluis_close_quiet(&b->sums_fd);
    if (rc == KLUIS_OK) { rc = kluis_fsync_dir(b->part, err); }
    if (rc == KLUIS_OK) { rc = kluis_publish_file(b->part, b->to, "backup.named", err); }
    return rc;
}

kluis_status backup_run(const char *home, const char *to, bool read_data, const struct backup_report *report, struct backup_result *out,
                        struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    memset(out, 0, sizeof *out);
    out->made_us = kluis_now_us();
    struct backing *b = kluis_calloc(1, sizeof *b);
    if (b == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot make a backup: out of memory"); }
    *b = (struct backing){ .read_data = read_data, .sums_fd = -1, .report = report, .out = out, .sums = kluis_sha256_new() };
    kluis_buf_init(&b->line, 2 * (size_t)FLUSH);
    int lock = -1;
    kluis_status rc = b->sums == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot make a backup: out of memory") : paths(b, home, to, err);
    if (rc == KLUIS_OK) { rc = kluis_make_dir(to, err); }
    if (rc == KLUIS_OK) { rc = kluis_path(path, sizeof path, to, "lock", err); }
    if (rc == KLUIS_OK && (lock = kluis_io_open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600)) < 0) {
        rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot open '%s'", path);
    }
    if (rc == KLUIS_OK && flock(lock, LOCK_EX | LOCK_NB) != 0) {
        rc = errno == EWOULDBLOCK ? KLUIS_FAIL(err, KLUIS_E_BUSY, "another backup goes to '%s' now", to)
                                  : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot lock '%s'", path);
    }
    if (rc == KLUIS_OK) { rc = run(b, home, to, err); }
    kluis_close_quiet(&lock);
    kluis_buf_free(&b->line);
    kluis_sha256_free(b->sums);
    kluis_free(b);
    return rc;
}
