/* server/index/store.c - files and connections of the index, and the keys of its hot rows in memory.  See internal.h. */
#include "server/index/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

/* FTS_PAGE: of FTS5's own pages, four to one of SQLite's.  Newest first, FTS5 reads a page's numbers from its beginning before it gives the last of
 * them, so small pages are less work; and its own choice of 4050 does not fit a page of which the cipher has some bytes. */
enum { SCHEMA = 8, HASH_BYTES = 64 << 20, FTS_PAGE = 990 };

/* rec.lead: row of the group's first sighting, NULL when it is this one.  source: what packages have in common, so that small ones stay small.
 * fts has no content of its own: text, side and meta can be made again from rec, and only the leader of a group is in it.  gone: hot rows that a
 * period file has by now, a bit each.  In a period file a row's number says when it was, so its indices need not.  norm: how many words, see rank.c;
 * of a period in one row, a byte a record. */
#define REC                                                                                                                                          \
    "CREATE TABLE rec(id INTEGER PRIMARY KEY, pkg INTEGER NOT NULL, tie INTEGER NOT NULL, conv INTEGER NOT NULL, at INTEGER NOT NULL, "              \
    "hash INTEGER NOT NULL, bits INTEGER NOT NULL, lead INTEGER, idkey INTEGER, text TEXT, extra BLOB"
#define FTS "CREATE VIRTUAL TABLE fts USING fts5(text, side, meta, content='', columnsize=0, tokenize='kluis');"
static const char HOT_RECORDS[] = REC ", norm INTEGER NOT NULL);" FTS;
static const char PERIOD_RECORDS[] = REC ");" FTS "CREATE TABLE norm(words BLOB NOT NULL);";
static const char HOT_INDICES[] = "CREATE INDEX rec_conv ON rec(conv, at, tie, norm);" /* all that is in memory of a row: read at the start */
                                  "CREATE INDEX rec_hash ON rec(hash, at, tie) WHERE idkey IS NULL;"
                                  "CREATE INDEX rec_said ON rec(hash, at, tie) WHERE idkey IS NOT NULL AND lead IS NULL;"
                                  "CREATE INDEX rec_id ON rec(idkey) WHERE idkey IS NOT NULL;"
                                  "CREATE INDEX rec_lead ON rec(lead) WHERE lead IS NOT NULL;";
static const char PERIOD_INDICES[] = "CREATE INDEX rec_conv ON rec(conv);"
                                     "CREATE INDEX rec_hash ON rec(hash) WHERE idkey IS NULL;"
                                     "CREATE INDEX rec_said ON rec(hash) WHERE idkey IS NOT NULL AND lead IS NULL;"
                                     "CREATE INDEX rec_id ON rec(idkey) WHERE idkey IS NOT NULL;"
                                     "CREATE INDEX rec_lead ON rec(lead) WHERE lead IS NOT NULL;";
static const char HOT[] =
    "CREATE TABLE meta(k TEXT PRIMARY KEY, v INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE platform(no INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    "CREATE TABLE official(no INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    "CREATE TABLE device(no INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    "CREATE TABLE link(no INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, device INTEGER NOT NULL, several INTEGER NOT NULL, kinds INTEGER NOT NULL);"
    "CREATE INDEX link_mixed ON link(no) WHERE kinds=3;" /* 1: records with an id, 2: messages without */
    "CREATE TABLE conv(no INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE);"
    "CREATE TABLE conv_link(link INTEGER NOT NULL, conv INTEGER NOT NULL, PRIMARY KEY(link, conv)) WITHOUT ROWID;"
    "CREATE TABLE alias(id TEXT NOT NULL, platform INTEGER NOT NULL, conv INTEGER NOT NULL, PRIMARY KEY(id, platform, conv)) WITHOUT ROWID;"
    "CREATE TABLE source(no INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, platform INTEGER NOT NULL, conv INTEGER NOT NULL, link INTEGER NOT NULL,"
    " conv_id TEXT NOT NULL, conv_name TEXT, type INTEGER NOT NULL, precision INTEGER NOT NULL, provenance TEXT, self INTEGER, parties BLOB NOT "
    "NULL);"
    "CREATE TABLE pkg(no INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, seq INTEGER NOT NULL, official INTEGER NOT NULL, device INTEGER NOT NULL,"
    " source INTEGER NOT NULL, verdict TEXT, received INTEGER, first INTEGER NOT NULL, last INTEGER NOT NULL);"
    "CREATE TABLE period(file INTEGER PRIMARY KEY, name TEXT NOT NULL, begins INTEGER NOT NULL, ends INTEGER NOT NULL, rows INTEGER NOT NULL, "
    "shadows INTEGER NOT NULL, low INTEGER NOT NULL, high INTEGER NOT NULL);"
    "CREATE TABLE shadow(file INTEGER NOT NULL, row INTEGER NOT NULL, PRIMARY KEY(file, row)) WITHOUT ROWID;"
    "CREATE TABLE gone(block INTEGER PRIMARY KEY, bits BLOB NOT NULL);"
    "INSERT INTO meta "
    "VALUES('watermark',0),('next_row',1),('next_file',1),('catalog',0),('sightings',0),('groups',0),('conflicts',0),('erase',0);";

int64_t itie(const uint8_t package[32], uint64_t ordinal)
{
    uint64_t v = 0;
    for (int i = 0; i < 5; i++) { v = v << 8 | package[i]; }
    return (int64_t)(v >> 1 << 24 | (ordinal & INDEX_ORDINAL_MAX));
}

static kluis_status told(int rc, const char *what, const char *name, struct kluis_err *err)
{
    return kluis_fail_at(err, KLUIS_WHERE, kluis_db_status(rc), 0, "cannot %s index file %s: %s (%d)%s", what, name, sqlite3_errstr(rc), rc,
                         kluis_db_status(rc) == KLUIS_E_CORRUPT ? "; delete the index and rebuild it" : "");
}

/* file: URI of a path; only what a URI would misread is escaped. */
static kluis_status uri_of(const struct index *ix, const char *name, bool immutable, struct kluis_buf *out, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    KLUIS_TRY(kluis_path(path, sizeof path, ix->dir, name, err));
    kluis_buf_cstr(out, "file:");
    for (const char *p = path; *p != '\0'; p++) {
        if (*p == '%' || *p == '?' || *p == '#') {
            kluis_buf_fmt(out, "%%%02x", (unsigned char)*p);
        } else {
            kluis_buf_byte(out, (uint8_t)*p);
        }
    }
    kluis_buf_cstr(out, immutable ? "?immutable=1" : "");
    kluis_buf_byte(out, 0);
    return kluis_buf_ok(out, err);
}

static kluis_status open_raw(struct index *ix, const char *name, int flags, bool immutable, sqlite3 **out, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(uri, (size_t)3 * KLUIS_PATH_MAX);
    KLUIS_TRY(uri_of(ix, name, immutable, &uri, err));
    sqlite3 *db = NULL;
    int rc =
        sqlite3_open_v2((const char *)uri.data, &db, flags | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, kluis_vfs_name(ix->vfs));
    if (rc == SQLITE_OK) { rc = itoken_register(db); }
    if (rc == SQLITE_OK) { rc = sqlite3_busy_timeout(db, 10000); }
    if (rc == SQLITE_OK) { rc = sqlite3_exec(db, "PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF;", NULL, NULL, NULL); }
    if (rc != SQLITE_OK) {
        (void)sqlite3_close_v2(db);
        return told(rc, "open", name, err);
    }
    *out = db;
    return KLUIS_OK;
}

static kluis_status cache_size(struct kluis_db *db, size_t bytes, struct kluis_err *err)
{
    char sql[64];
    (void)snprintf(sql, sizeof sql, "PRAGMA cache_size=-%zu", bytes >> 10 > 64 ? bytes >> 10 : 64);
    return kluis_db_exec(db, sql, err);
}

kluis_status istore_create(struct index *ix, const char *name, bool hot, struct kluis_db **out, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    *out = NULL;
    KLUIS_TRY(kluis_path(path, sizeof path, ix->dir, name, err));
    /* By hand, for its mode: log and shared memory inherit it. */
    int fd = kluis_io_open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0) { return KLUIS_FAIL(err, KLUIS_E_IO, "cannot create index file '%s'", path); }
    kluis_close_quiet(&fd);
    sqlite3 *raw = NULL;
    KLUIS_TRY(open_raw(ix, name, SQLITE_OPEN_READWRITE, false, &raw, err));
    int reserve = KLUIS_VFS_RESERVE;
    int rc = sqlite3_file_control(raw, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserve);
    KLUIS_TRY(kluis_db_adopt(out, raw, err));
    if (rc != SQLITE_OK) { return told(rc, "create", name, err); }
    /* Memory first: the switch to a log writes through a rollback journal, which would be a plaintext file.  A period file is made in
     * one go and named nowhere before it is on disk: it needs no journal at all. */
    kluis_status st = kluis_db_exec(*out,
                                    hot ? "PRAGMA page_size=4096; PRAGMA journal_mode=MEMORY; PRAGMA synchronous=FULL; PRAGMA secure_delete=OFF;"
                                        : "PRAGMA page_size=4096; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA locking_mode=EXCLUSIVE;",
                                    err);
    if (st == KLUIS_OK && !hot) { st = cache_size(*out, ICACHE_OUTPUT, err); }
    if (st == KLUIS_OK) { st = kluis_db_begin(*out, err); }
    if (st == KLUIS_OK) { st = kluis_db_exec(*out, hot ? HOT_RECORDS : PERIOD_RECORDS, err); }
    if (st == KLUIS_OK && hot) { st = kluis_db_exec(*out, HOT_INDICES, err); }
    if (st == KLUIS_OK && hot) { st = kluis_db_exec(*out, HOT, err); }
    char sql[160];
    (void)snprintf(sql, sizeof sql, "INSERT INTO fts(fts, rank) VALUES('hashsize', %d), ('pgsz', %d); PRAGMA user_version=%d;", HASH_BYTES, FTS_PAGE,
                   SCHEMA);
    if (st == KLUIS_OK) { st = kluis_db_exec(*out, sql, err); }
    if (st == KLUIS_OK && hot) { st = kluis_db_commit(*out, "index.create", err); }
    if (st == KLUIS_OK && hot) { st = kluis_db_exec(*out, "PRAGMA journal_mode=WAL", err); }
    if (st == KLUIS_OK && hot) { st = kluis_fsync_dir(ix->dir, err); }
    if (st != KLUIS_OK) {
        kluis_db_free(*out);
        *out = NULL;
    }
    return st;
}

/* Pages of deleted rows are not cleared: the file is ciphertext, and what is erased goes with the file's key (erase.c). */
kluis_status istore_connect(struct index *ix, const char *name, enum iconn_kind kind, struct kluis_db **out, struct kluis_err *err)
{
    static const char *const pragmas[] = {
        [ICONN_WRITER] = "PRAGMA synchronous=NORMAL; PRAGMA secure_delete=OFF; PRAGMA wal_autocheckpoint=20000;",
        [ICONN_READER] = "PRAGMA query_only=ON;",
        [ICONN_PERIOD] = "PRAGMA query_only=ON;",
        [ICONN_COPIER] = "PRAGMA query_only=ON;",
    };
    static const size_t cache[] = { [ICONN_WRITER] = ICACHE_WRITER, [ICONN_COPIER] = ICACHE_COPIER }; /* the others: as they are shared out */
    *out = NULL;
    sqlite3 *raw = NULL;
    bool period = kind == ICONN_PERIOD;
    KLUIS_TRY(open_raw(ix, name, period ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE, period, &raw, err));
    KLUIS_TRY(kluis_db_adopt(out, raw, err));
    kluis_status st = kluis_db_exec(*out, pragmas[kind], err);
    if (st == KLUIS_OK && (kind == ICONN_WRITER || kind == ICONN_COPIER)) { st = cache_size(*out, cache[kind], err); }
    sqlite3_stmt *q = NULL;
    if (st == KLUIS_OK) { st = kluis_db_query(*out, &q, err, "PRAGMA user_version", ""); }
    if (st == KLUIS_OK) { st = kluis_db_step(*out, q, err); }
    if (st == KLUIS_OK) {
        int64_t version = kluis_db_int(q, 0);
        kluis_db_done(q);
        if (version != SCHEMA) {
            st =
                KLUIS_FAIL(err, KLUIS_E_CORRUPT, "index file %s has schema %lld, this program's is %d: the index must be made anew from the packages",
                           name, (long long)version, SCHEMA);
        }
    }
    if (st != KLUIS_OK) {
        kluis_db_free(*out);
        *out = NULL;
    }
    return st;
}

kluis_status istore_finish(struct index *ix, const char *name, struct kluis_db **db, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    KLUIS_TRY(kluis_path(path, sizeof path, ix->dir, name, err));
    kluis_status st = kluis_db_exec(*db, PERIOD_INDICES, err);
    if (st == KLUIS_OK) { st = kluis_db_commit(*db, "index.built", err); }
    kluis_db_free(*db);
    *db = NULL;
    KLUIS_TRY(st);
    int fd = kluis_io_open(path, O_RDWR, 0);
    if (fd < 0) { return KLUIS_FAIL(err, KLUIS_E_IO, "cannot open index file '%s'", path); }
    KLUIS_TRY(kluis_close_durable(&fd, path, err));
    return kluis_fsync_dir(ix->dir, err);
}

kluis_status istore_delete(struct index *ix, const char *name, struct kluis_err *err)
{
    static const char *const tails[] = { "", "-wal", "-shm" };
    char path[KLUIS_PATH_MAX], file[IKEYS_NAME + 8];
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(file, sizeof file, "%s%s", name, tails[i]);
        KLUIS_TRY(kluis_path(path, sizeof path, ix->dir, file, err));
        if (kluis_io_unlink(path) != 0 && errno != ENOENT) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot remove index file '%s'", path); }
    }
    return ikeys_drop(ix->keys, name, err);
}

kluis_status istore_meta(struct kluis_db *hot, const char *key, int64_t *value, struct kluis_err *err)
{
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(hot, &q, err, "SELECT v FROM meta WHERE k=?1", "s", key));
    kluis_status st = kluis_db_step(hot, q, err);
    if (st == KLUIS_END) { return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the index lacks its '%s'", key); }
    KLUIS_TRY(st);
    *value = kluis_db_int(q, 0);
    kluis_db_done(q);
    return KLUIS_OK;
}

kluis_status istore_set(struct kluis_db *hot, const char *key, int64_t value, struct kluis_err *err)
{
    return kluis_db_run(hot, NULL, err, "UPDATE meta SET v=?2 WHERE k=?1", "si", key, value);
}

int64_t istore_number(struct index *ix)
{
    (void)pthread_mutex_lock(&ix->lock);
    int64_t n = ix->next_file++;
    (void)pthread_mutex_unlock(&ix->lock);
    return n;
}

/* ---- hidden rows ---- */

bool igone(const struct iconn *c, int64_t row)
{
    int64_t block = row / IGONE_ROWS - c->gone.first;
    if (c->gone.n == 0 || block < 0 || block >= (int64_t)c->gone.blocks) { return false; }
    return (c->gone.bits[block * (IGONE_ROWS / 8) + row % IGONE_ROWS / 8] >> (row % 8) & 1) != 0;
}

static kluis_status load_gone(struct iconn *c, struct kluis_err *err)
{
    kluis_free(c->gone.bits);
    c->gone = (struct igone){ 0 };
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(c->hot, &q, err, "SELECT min(block), max(block) FROM gone", ""));
    KLUIS_TRY(kluis_db_step(c->hot, q, err));
    bool none = sqlite3_column_type(q, 0) == SQLITE_NULL;
    int64_t first = kluis_db_int(q, 0), last = kluis_db_int(q, 1);
    kluis_db_done(q);
    if (none) { return KLUIS_OK; }
    if (first < 0 || last - first > INT32_MAX / IGONE_ROWS) { return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the index's hidden rows are damaged"); }
    c->gone.first = first;
    c->gone.blocks = (size_t)(last - first + 1);
    c->gone.bits = kluis_calloc(c->gone.blocks, IGONE_ROWS / 8);
    if (c->gone.bits == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    KLUIS_TRY(kluis_db_query(c->hot, &q, err, "SELECT block, bits FROM gone", ""));
    kluis_status st = KLUIS_OK;
    while ((st = kluis_db_step(c->hot, q, err)) == KLUIS_OK) {
        uint8_t *to = c->gone.bits + (kluis_db_int(q, 0) - first) * (IGONE_ROWS / 8);
        if (!kluis_db_fixed(q, 1, to, IGONE_ROWS / 8)) { return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the index's hidden rows are damaged"); }
        for (size_t i = 0; i < IGONE_ROWS / 8; i++) { c->gone.n += __builtin_popcount(to[i]); }
    }
    return st == KLUIS_END ? KLUIS_OK : st;
}

kluis_status ihidden(struct iconn *c, int64_t file, int64_t row, bool *hidden, struct kluis_err *err)
{
    if (file == 0) {
        *hidden = igone(c, row);
        return KLUIS_OK;
    }
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(c->hot, &q, err, "SELECT 1 FROM shadow WHERE file=?1 AND row=?2", "ii", file, row));
    kluis_status st = kluis_db_step(c->hot, q, err);
    kluis_db_done(q);
    *hidden = st == KLUIS_OK;
    return st == KLUIS_END ? KLUIS_OK : st;
}

/* ---- catalogue and period files ---- */

kluis_status istore_catalog(struct iconn *c, struct kluis_err *err)
{
    int64_t version = 0;
    KLUIS_TRY(istore_meta(c->hot, "catalog", &version, err));
    if (c->catalog.list != NULL && version == c->catalog.version) { return KLUIS_OK; }
    if (c->catalog.list == NULL) { c->catalog.list = kluis_calloc(IPERIODS_MAX, sizeof *c->catalog.list); }
    if (c->catalog.list == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    ipackage_forget(c);
    c->catalog.n = 0;
    c->catalog.version = -1;
    KLUIS_TRY(load_gone(c, err));
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(c->hot, &q, err, "SELECT file, name, begins, ends, rows, shadows, low, high FROM period ORDER BY begins", ""));
    kluis_status st = KLUIS_OK;
    while ((st = kluis_db_step(c->hot, q, err)) == KLUIS_OK) {
        if (c->catalog.n == IPERIODS_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "more than %d period files", IPERIODS_MAX); }
        struct iperiod *p = &c->catalog.list[c->catalog.n++];
        *p = (struct iperiod){ .file = kluis_db_int(q, 0),
                               .from = kluis_db_int(q, 2),
                               .to = kluis_db_int(q, 3),
                               .rows = kluis_db_int(q, 4),
                               .shadows = kluis_db_int(q, 5),
                               .low = kluis_db_int(q, 6),
                               .high = kluis_db_int(q, 7) };
        if (!kluis_db_copy(q, 1, p->name, sizeof p->name)) { return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a period file has no proper name"); }
    }
    if (st != KLUIS_END) { return st; }
    c->catalog.version = version;
    size_t kept = 0;
    for (size_t i = 0; i < c->n_open; i++) {
        size_t j = 0;
        while (j < c->catalog.n && c->catalog.list[j].file != c->open[i].file) { j++; }
        if (j < c->catalog.n) {
            c->open[kept++] = c->open[i];
        } else {
            kluis_db_free(c->open[i].db);
        }
    }
    c->n_open = kept;
    return KLUIS_OK;
}

/* What its period files may keep, in equal parts; how many parts changes seldom, so that opening many files is no work of its own. */
static kluis_status share_out(struct iconn *c, struct kluis_err *err)
{
    size_t parts = 1;
    while (parts < c->n_open) { parts *= 2; }
    for (size_t i = parts == c->parts && c->n_open > 0 ? c->n_open - 1 : 0; i < c->n_open; i++) {
        KLUIS_TRY(cache_size(c->open[i].db, c->cache / parts, err));
    }
    c->parts = parts;
    return KLUIS_OK;
}

/* A reader's part of what all of them may keep. */
static kluis_status reader_share(struct iconn *c, size_t bytes, struct kluis_err *err)
{
    if (c->cache == bytes - bytes / 4) { return KLUIS_OK; }
    c->cache = bytes - bytes / 4;
    c->parts = 0;
    KLUIS_TRY(cache_size(c->hot, bytes / 4, err));
    return share_out(c, err);
}

kluis_status istore_period(struct index *ix, struct iconn *c, const struct iperiod *p, struct kluis_db **out, struct kluis_err *err)
{
    for (size_t i = 0; i < c->n_open; i++) {
        if (c->open[i].file == p->file) {
            *out = c->open[i].db;
            return KLUIS_OK;
        }
    }
    if (c->n_open == c->cap_open) {
        size_t cap = c->cap_open == 0 ? 16 : c->cap_open * 2;
        void *grown = kluis_realloc(c->open, cap * sizeof *c->open);
        if (grown == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
        c->open = grown;
        c->cap_open = cap;
    }
    KLUIS_TRY(istore_connect(ix, p->name, ICONN_PERIOD, out, err));
    c->open[c->n_open].file = p->file;
    c->open[c->n_open++].db = *out;
    return share_out(c, err);
}

void istore_close(struct iconn *c)
{
    for (size_t i = 0; i < c->n_open; i++) { kluis_db_free(c->open[i].db); }
    kluis_free(c->open);
    kluis_free(c->catalog.list);
    kluis_free(c->gone.bits);
    ipackage_forget(c);
    kluis_arena_free(c->scratch);
    kluis_arena_free(c->page);
    kluis_db_free(c->hot);
    *c = (struct iconn){ 0 };
}

void istore_drop(struct iconn *c, int64_t file)
{
    for (size_t i = 0; i < c->n_open; i++) {
        if (c->open[i].file != file) { continue; }
        kluis_db_free(c->open[i].db);
        c->open[i] = c->open[--c->n_open];
        return;
    }
}

/* ---- readers ---- */

static void shrink(struct iconn *c, size_t share)
{
    struct kluis_err unsaid = { 0 };
    if (c->hot != NULL && reader_share(c, share, &unsaid) != KLUIS_OK) { c->cache = 0; } /* told when it is asked for again */
}

static kluis_status reader(struct index *ix, bool wait, struct iconn **out, struct kluis_err *err)
{
    *out = NULL;
    struct iconn *c = NULL;
    (void)pthread_mutex_lock(&ix->lock);
    while (ix->n_readers == 0 && ix->n_made == IREADERS_MAX) {
        if (!wait) {
            (void)pthread_mutex_unlock(&ix->lock);
            return KLUIS_FAIL(err, KLUIS_E_BUSY, "all readers of the index are in use");
        }
        (void)pthread_cond_wait(&ix->free_reader, &ix->lock);
    }
    if (ix->n_readers > 0) {
        c = ix->readers[--ix->n_readers];
    } else {
        ix->n_made++;
        ix->share = ICACHE_READERS / ix->n_made;
        /* Those that nobody uses give up theirs at once, the others when they come back. */
        for (size_t i = 0; i < ix->n_readers; i++) { shrink(ix->readers[i], ix->share); }
    }
    uint64_t epoch = ix->epoch;
    size_t share = ix->share;
    (void)pthread_mutex_unlock(&ix->lock);
    kluis_status st = KLUIS_OK;
    if (c != NULL && c->epoch != epoch) { istore_close(c); }
    if (c == NULL) {
        c = kluis_calloc(1, sizeof *c);
        if (c == NULL) { st = KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    }
    if (st == KLUIS_OK && c != NULL && c->hot == NULL) {
        char name[IKEYS_NAME];
        ikeys_hot(ix->keys, name);
        c->epoch = epoch;
        st = istore_connect(ix, name, ICONN_READER, &c->hot, err);
    }
    if (st == KLUIS_OK && c != NULL) { st = reader_share(c, share, err); }
    if (st != KLUIS_OK) {
        if (c != NULL) { istore_close(c); }
        kluis_free(c);
        (void)pthread_mutex_lock(&ix->lock);
        ix->n_made--;
        (void)pthread_cond_signal(&ix->free_reader);
        (void)pthread_mutex_unlock(&ix->lock);
        return st;
    }
    *out = c;
    return KLUIS_OK;
}

kluis_status istore_reader(struct index *ix, struct iconn **out, struct kluis_err *err) { return reader(ix, true, out, err); }

struct iconn *istore_second(struct index *ix)
{
    struct iconn *c = NULL;
    struct kluis_err unsaid = { 0 };
    return reader(ix, false, &c, &unsaid) == KLUIS_OK ? c : NULL;
}

void istore_return(struct index *ix, struct iconn *c)
{
    kluis_db_rollback(c->hot); /* ends the snapshot */
    (void)pthread_mutex_lock(&ix->lock);
    shrink(c, ix->share);
    ix->readers[ix->n_readers++] = c;
    (void)pthread_cond_signal(&ix->free_reader);
    (void)pthread_mutex_unlock(&ix->lock);
}

/* ---- keys of the hot rows ---- */

static bool live(struct ikey k) { return k.at != INT64_MIN; }

/* newest[] of blocks from that of row i on.  Under the lock. */
static void bound(struct ihot *h, size_t i)
{
    for (i -= i % IBLOCK; i < h->n; i++) {
        size_t block = i / IBLOCK;
        if (i % IBLOCK == 0) { h->newest[block] = block == 0 ? INT64_MIN : h->newest[block - 1]; }
        if (h->keys[i].at > h->newest[block]) { h->newest[block] = h->keys[i].at; }
    }
}

kluis_status ihot_append(struct ihot *h, const struct ikey *keys, const uint8_t *norms, size_t n, int64_t first, struct kluis_err *err)
{
    kluis_status st = KLUIS_OK;
    (void)pthread_rwlock_wrlock(&h->lock);
    if (h->n == 0) { h->base = first; }
    size_t need = (size_t)(first - h->base) + n, from = h->n;
    if (need > h->cap) {
        size_t cap = h->cap == 0 ? 4096 : h->cap;
        while (cap < need) { cap *= 2; }
        struct ikey *grown = kluis_realloc(h->keys, cap * sizeof *grown);
        if (grown != NULL) { h->keys = grown; }
        uint8_t *wide = grown == NULL ? NULL : kluis_realloc(h->norms, cap);
        if (wide != NULL) { h->norms = wide; }
        int64_t *newest = wide == NULL ? NULL : kluis_realloc(h->newest, (cap / IBLOCK + 1) * sizeof *newest);
        if (newest == NULL) {
            st = KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory");
        } else {
            h->newest = newest;
            h->cap = cap;
        }
    }
    if (st == KLUIS_OK) {
        for (size_t i = from; i < need; i++) {
            h->keys[i] = i < need - n ? (struct ikey){ INT64_MIN, 0 } : keys[i - (need - n)];
            h->norms[i] = i < need - n ? 0 : norms[i - (need - n)];
            h->live += live(h->keys[i]);
        }
        h->n = need;
        bound(h, from);
    }
    (void)pthread_rwlock_unlock(&h->lock);
    return st;
}

/* newest[] may stay too high for the last block: it is only a bound. */
void ihot_cut(struct ihot *h, int64_t next)
{
    (void)pthread_rwlock_wrlock(&h->lock);
    size_t keep = h->n == 0 || next <= h->base ? 0 : (size_t)(next - h->base);
    for (; h->n > keep; h->n--) { h->live -= live(h->keys[h->n - 1]); }
    (void)pthread_rwlock_unlock(&h->lock);
}

void ihot_hide(struct ihot *h, struct imove *mv)
{
    (void)pthread_rwlock_wrlock(&h->lock);
    for (size_t i = 0; i < mv->n; i++) {
        const struct ientry *e = &mv->list[i];
        size_t at = (size_t)(e->row - h->base);
        if (e->file != 0 || e->new_row == 0 || e->row < h->base || at >= h->n || !live(h->keys[at])) { continue; }
        h->keys[at].at = INT64_MIN;
        h->norms[at] = 0;
        h->live--;
    }
    if (h->n > 0) { bound(h, 0); }
    (void)pthread_rwlock_unlock(&h->lock);
}

void ihot_forget(struct ihot *h, int64_t row)
{
    (void)pthread_rwlock_wrlock(&h->lock);
    size_t at = (size_t)(row - h->base);
    if (row >= h->base && at < h->n && live(h->keys[at])) {
        h->keys[at].at = INT64_MIN;
        h->norms[at] = 0;
        h->live--;
    }
    (void)pthread_rwlock_unlock(&h->lock);
}

void ihot_trim(struct ihot *h)
{
    (void)pthread_rwlock_wrlock(&h->lock);
    size_t dead = 0;
    while (dead < h->n && !live(h->keys[dead])) { dead++; }
    if (dead > 0) {
        memmove(h->keys, h->keys + dead, (h->n - dead) * sizeof *h->keys);
        memmove(h->norms, h->norms + dead, h->n - dead);
        h->n -= dead;
        h->base += (int64_t)dead;
        if (h->n > 0) { bound(h, 0); }
    }
    (void)pthread_rwlock_unlock(&h->lock);
}

int64_t ihot_live(struct ihot *h)
{
    (void)pthread_rwlock_rdlock(&h->lock);
    int64_t n = h->live;
    (void)pthread_rwlock_unlock(&h->lock);
    return n;
}

int64_t ihot_next(struct ihot *h, int64_t row)
{
    int64_t out = 0;
    (void)pthread_rwlock_rdlock(&h->lock);
    for (size_t i = row <= h->base ? 0 : (size_t)(row - h->base); i < h->n && out == 0; i++) {
        if (live(h->keys[i])) { out = h->base + (int64_t)i; }
    }
    (void)pthread_rwlock_unlock(&h->lock);
    return out;
}

void ihot_count(struct ihot *h, const struct icatalog *cat, int64_t closed, size_t *count)
{
    (void)pthread_rwlock_rdlock(&h->lock);
    for (size_t i = 0; i < h->n; i++) {
        int64_t at = h->keys[i].at;
        if (!live(h->keys[i]) || at >= closed) { continue; }
        size_t lo = 0, hi = cat->n;
        while (lo < hi) {
            size_t mid = (lo + hi) / 2;
            if (at >= cat->list[mid].to) {
                lo = mid + 1;
            } else {
                hi = mid;
            }
        }
        count[lo]++;
    }
    (void)pthread_rwlock_unlock(&h->lock);
}

kluis_status ihot_load(struct index *ix, struct kluis_err *err)
{
    ihot_cut(&ix->hot, INT64_MIN);
    sqlite3_stmt *q = NULL;
    int64_t low = 0, high = 0;
    KLUIS_TRY(kluis_db_query(ix->w.hot, &q, err, "SELECT (SELECT min(id) FROM rec), (SELECT max(id) FROM rec)", ""));
    KLUIS_TRY(kluis_db_step(ix->w.hot, q, err));
    low = kluis_db_int(q, 0);
    high = kluis_db_int(q, 1);
    kluis_db_done(q);
    if (high == 0) { return KLUIS_OK; }
    size_t n = (size_t)(high - low + 1);
    struct ikey *keys = kluis_calloc(n, sizeof *keys);
    uint8_t *norms = kluis_calloc(n, 1);
    kluis_status st = keys == NULL || norms == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory") : KLUIS_OK;
    for (size_t i = 0; st == KLUIS_OK && i < n; i++) { keys[i].at = INT64_MIN; }
    if (st == KLUIS_OK) { st = kluis_db_query(ix->w.hot, &q, err, "SELECT id, at, tie, norm FROM rec INDEXED BY rec_conv", ""); }
    while (st == KLUIS_OK && (st = kluis_db_step(ix->w.hot, q, err)) == KLUIS_OK) {
        int64_t id = kluis_db_int(q, 0);
        if (id < low || id > high) {
            st = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the index disagrees with itself: delete it and rebuild");
            break;
        }
        if (igone(&ix->w, id)) { continue; }
        keys[id - low] = (struct ikey){ kluis_db_int(q, 1), kluis_db_int(q, 2) };
        norms[id - low] = (uint8_t)kluis_db_int(q, 3);
    }
    if (st == KLUIS_END) { st = ihot_append(&ix->hot, keys, norms, n, low, err); }
    kluis_free(keys);
    kluis_free(norms);
    return st;
}

int64_t imonth_start(int64_t us, int months_on)
{
    const int64_t day = INT64_C(86400000000);
    int64_t days = us / day - (us % day < 0 ? 1 : 0), out = 0;
    int y = 0, m = 0, d = 0;
    kluis_civil_from_days(days, &y, &m, &d);
    m += months_on;
    if (m > 12) {
        m = 1;
        y++;
    }
    return kluis_days_from_civil(y, m, 1, &out) ? out * day : INT64_MAX;
}
