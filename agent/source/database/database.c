/* database.c - private copies of databases, taken whole and kept while nothing changes.  See database.h. */
#include "agent/source/database/database.h"
#include "agent/source/file_state.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

enum { CHUNK = 256 << 10, TRIES = 6, SETTLE_US = 30000 };

struct kept {
    uint8_t identity[32];
    struct kluis_db *db;
    bool open;
    uint64_t used;
};
static struct kept kept[DATABASE_KEPT];
static uint64_t clock_, made;

/* Of all files together. */
static kluis_status state_of(const char *const *files, size_t n, uint8_t out[32], struct kluis_err *err)
{
    KLUIS_AUTO(kluis_sha256) h = kluis_sha256_new();
    if (h == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    for (size_t i = 0; i < n; i++) {
        struct file_state s;
        KLUIS_TRY(file_state_look(files[i], &s, err));
        for (int k = 0; k < 4 && !file_state_settled(&s, SETTLE_US); k++) {
            kluis_sleep_us(SETTLE_US);
            KLUIS_TRY(file_state_look(files[i], &s, err));
        }
        file_state_add(h, files[i], &s);
    }
    kluis_sha256_end(h, out);
    return KLUIS_OK;
}

static size_t count_of(const struct database_form *f)
{
    size_t n = 0;
    while (n < DATABASE_FILES_MAX && f->files[n] != NULL) { n++; }
    return n;
}

static kluis_status identify(const struct database_form *f, uint8_t out[32], struct kluis_err *err)
{
    KLUIS_AUTO(kluis_sha256) h = kluis_sha256_new();
    uint8_t state[32];
    struct file_state first;
    if (h == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    KLUIS_TRY(file_state_look(f->files[0], &first, err));
    if (!first.there) { return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "%s: not there", f->files[0]); }
    if (!S_ISREG(first.st.st_mode)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: not a file", f->files[0]); }
    KLUIS_TRY(state_of(f->files, count_of(f), state, err));
    kluis_sha256_add(h, f->name, strlen(f->name) + 1);
    kluis_sha256_add(h, state, sizeof state);
    if (f->secret.len > 0) { kluis_sha256_add(h, f->secret.ptr, f->secret.len); }
    kluis_sha256_end(h, out);
    return KLUIS_OK;
}

/* ---- keeping ---- */

static struct kept *oldest(void)
{
    struct kept *best = NULL;
    for (size_t i = 0; i < DATABASE_KEPT; i++) {
        if (kept[i].db == NULL) { return &kept[i]; }
        if (!kept[i].open && (best == NULL || kept[i].used < best->used)) { best = &kept[i]; }
    }
    return best;
}

static void drop(struct kept *k)
{
    kluis_scratch_sqlite_close(k->db);
    *k = (struct kept){ 0 };
}

void database_forget(void)
{
    for (size_t i = 0; i < DATABASE_KEPT; i++) {
        if (!kept[i].open) { drop(&kept[i]); }
    }
}

uint64_t database_copies_made(void) { return made; }

void database_close(struct kluis_db *db)
{
    if (db == NULL) { return; }
    for (size_t i = 0; i < DATABASE_KEPT; i++) {
        if (kept[i].db == db) {
            (void)sqlite3_db_release_memory(kluis_db_handle(db)); /* its pages: a copy that is kept is a file */
            kept[i].open = false;
            kept[i].used = ++clock_;
            return;
        }
    }
    kluis_scratch_sqlite_close(db);
}

/* ---- taking ---- */

static kluis_status take(struct kluis_db **out, const struct database_form *f, struct kluis_err *err)
{
    KLUIS_AUTO(kluis_scratch) file = NULL;
    KLUIS_AUTO(kluis_scratch) log = NULL;
    KLUIS_TRY(kluis_scratch_new(&file, err));
    KLUIS_TRY(kluis_scratch_new(&log, err));
    made++;
    KLUIS_TRY(f->fill(f->ctx, file, log, err));
    /* A rollback journal in place of a log is told apart by its first bytes (SQLite file format, §3). */
    static const uint8_t magic[8] = { 0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7 };
    uint8_t head[8];
    size_t got = 0;
    KLUIS_TRY(kluis_scratch_read(log, head, sizeof head, 0, &got, err));
    bool journal = got == sizeof head && memcmp(head, magic, sizeof magic) == 0;
    struct kluis_scratch *a = file, *b = log;
    file = log = NULL;
    if (got == 0) {
        kluis_scratch_free(b);
        b = NULL;
    }
    kluis_status rc = kluis_scratch_sqlite(out, a, journal ? NULL : b, journal ? b : NULL, err);
    /* One reading: else each statement begins and ends one of its own, which costs as much as a row.  If that fails the copy goes with its handle. */
    if (rc == KLUIS_OK) { rc = kluis_db_exec(*out, "BEGIN; SELECT count(*) FROM sqlite_schema", err); }
    if (rc != KLUIS_OK) {
        kluis_scratch_sqlite_close(*out);
        *out = NULL;
    }
    if (rc != KLUIS_E_CORRUPT) { return rc; }
    kluis_err_prefix(err, "%s", f->files[0]); /* the source's fault, not a store of ours */
    if (err != NULL) { err->code = KLUIS_E_REJECT; }
    return KLUIS_E_REJECT;
}

kluis_status database_open(struct kluis_db **out, const struct database_form *f, struct kluis_err *err)
{
    uint8_t identity[32], after[32];
    *out = NULL;
    for (int i = 0; i < TRIES; i++) {
        struct kluis_err why = { 0 };
        KLUIS_TRY(identify(f, identity, err));
        for (size_t k = 0; k < DATABASE_KEPT; k++) {
            if (kept[k].db != NULL && !kept[k].open && memcmp(kept[k].identity, identity, 32) == 0) {
                kept[k].open = true;
                *out = kept[k].db;
                return KLUIS_OK;
            }
        }
        struct kluis_db *db = NULL;
        kluis_status rc = take(&db, f, &why);
        if (identify(f, after, NULL) == KLUIS_OK && memcmp(identity, after, 32) == 0) {
            if (rc != KLUIS_OK) {
                if (err != NULL) { *err = why; }
                return rc;
            }
            struct kept *place = oldest();
            if (place != NULL) {
                drop(place);
                *place = (struct kept){ .db = db, .open = true };
                memcpy(place->identity, identity, 32);
            }
            *out = db;
            return KLUIS_OK;
        }
        kluis_scratch_sqlite_close(db); /* torn by whoever writes there: once more */
        if (rc == KLUIS_E_NOMEM || rc == KLUIS_E_BUG) {
            if (err != NULL) { *err = why; }
            return rc;
        }
        kluis_sleep_us((int64_t)SETTLE_US << i);
    }
    return KLUIS_FAIL(err, KLUIS_E_BUSY, "%s: it kept changing while it was copied; it is read at the next run", f->files[0]);
}

/* ---- plain databases ---- */

struct plain {
    char file[KLUIS_PATH_MAX], wal[KLUIS_PATH_MAX], journal[KLUIS_PATH_MAX];
};

static kluis_status copy_file(const char *path, bool must, struct kluis_scratch *to, struct kluis_err *err)
{
    int fd = kluis_io_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0 && !must && errno == ENOENT) { return KLUIS_OK; }
    if (fd < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot be opened", path); }
    uint8_t *chunk = kluis_malloc(CHUNK);
    kluis_status rc = chunk == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again") : KLUIS_OK;
    for (uint64_t at = 0; rc == KLUIS_OK;) {
        ssize_t n = kluis_io_pread(fd, chunk, CHUNK, at);
        if (n < 0) { rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot be read", path); }
        if (n <= 0) { break; }
        rc = kluis_scratch_write(to, chunk, (size_t)n, at, err);
        at += (uint64_t)n;
    }
    kluis_free(chunk);
    kluis_close_quiet(&fd);
    return rc;
}

static kluis_status fill_plain(void *ctx, struct kluis_scratch *file, struct kluis_scratch *log, struct kluis_err *err)
{
    const struct plain *p = ctx;
    struct file_state s;
    KLUIS_TRY(copy_file(p->file, true, file, err));
    KLUIS_TRY(file_state_look(p->journal, &s, err));
    /* Both beside one database: the log is a leftover, for SQLite rolls back before it looks at a log. */
    return copy_file(s.there && s.st.st_size > 0 ? p->journal : p->wal, false, log, err);
}

kluis_status database_open_plain(struct kluis_db **out, const char *path, struct kluis_err *err)
{
    *out = NULL;
    struct plain *p = kluis_calloc(1, sizeof *p);
    if (p == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    kluis_status rc = KLUIS_OK;
    if (strlen(path) + 16 > sizeof p->file) {
        rc = KLUIS_FAIL(err, KLUIS_E_USAGE, "the path is too long");
    } else {
        (void)snprintf(p->file, sizeof p->file, "%s", path);
        (void)snprintf(p->wal, sizeof p->wal, "%s-wal", path);
        (void)snprintf(p->journal, sizeof p->journal, "%s-journal", path);
        struct database_form form = { .name = "plain", .files = { p->file, p->wal, p->journal }, .ctx = p, .fill = fill_plain };
        rc = database_open(out, &form, err);
    }
    kluis_free(p);
    return rc;
}
