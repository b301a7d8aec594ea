/* server/index/index.c - opening, closing, figures.  See index.h. */
#include "server/index/internal.h"

#include <errno.h>
#include <sqlite3.h>
#include <sys/stat.h>

static kluis_status make(struct index *ix, struct kluis_err *err)
{
    KLUIS_TRY(istore_delete(ix, "hot-000000.db", err)); /* what an interrupted first start left */
    KLUIS_TRY(ikeys_add(ix->keys, "hot-000000.db", err));
    struct kluis_db *db = NULL;
    KLUIS_TRY(istore_create(ix, "hot-000000.db", true, &db, err));
    kluis_db_free(db);
    return ikeys_switch_hot(ix->keys, "hot-000000.db", err);
}

static bool find_key(void *ctx, const char *name, size_t len, uint8_t key[32]) { return ikeys_find(ctx, name, len, key); }

static kluis_status open_files(struct index *ix, const uint8_t master[32], struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX], hot[IKEYS_NAME];
    KLUIS_TRY(kluis_make_dir(ix->dir, err));
    KLUIS_TRY(kluis_path(path, sizeof path, ix->dir, "keys", err));
    struct stat st;
    bool there; /* keys that cannot be looked for are not absent: made anew they would open nothing */
    KLUIS_TRY(kluis_exists(path, &there, err));
    KLUIS_TRY(ikeys_open(&ix->keys, ix->dir, master, !there, err));
    KLUIS_TRY(kluis_vfs_new(&ix->vfs, &(struct kluis_vfs_keys){ ix->keys, find_key, "index.sync" }, err));
    ikeys_hot(ix->keys, hot);
    if (hot[0] == '\0') {
        KLUIS_TRY(make(ix, err));
        ikeys_hot(ix->keys, hot);
    }
    KLUIS_TRY(kluis_path(path, sizeof path, ix->dir, hot, err));
    bool gone = stat(path, &st) != 0;
    if (gone && errno != ENOENT) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot look at index file %s", hot); }
    if (gone || st.st_size == 0) { return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "index file %s is gone: delete the index and rebuild it", hot); }
    KLUIS_TRY(istore_connect(ix, hot, ICONN_WRITER, &ix->w.hot, err));
    KLUIS_TRY(istore_catalog(&ix->w, err));
    for (size_t i = 0; i < ix->w.catalog.n; i++) {
        struct kluis_db *unit = NULL;
        kluis_status rc = istore_period(ix, &ix->w, &ix->w.catalog.list[i], &unit, err);
        if (rc == KLUIS_E_IO) {
            return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "index file %s is gone: delete the index and rebuild it", ix->w.catalog.list[i].name);
        }
        KLUIS_TRY(rc);
    }
    KLUIS_TRY(imove_clean(ix, err));
    KLUIS_TRY(istore_meta(ix->w.hot, "watermark", &ix->watermark, err));
    KLUIS_TRY(istore_meta(ix->w.hot, "next_file", &ix->next_file, err));
    return ihot_load(ix, err);
}

kluis_status index_open(struct index **out, const char *dir, const uint8_t master_key[32], struct kluis_err *err)
{
    *out = NULL;
    struct index *ix = kluis_calloc(1, sizeof *ix);
    if (ix == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    (void)pthread_rwlock_init(&ix->hot.lock, NULL);
    /* Whoever waits to remove a file goes before the searches that come after it. */
    pthread_rwlockattr_t attr;
    (void)pthread_rwlockattr_init(&attr);
    (void)pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    (void)pthread_rwlock_init(&ix->life, &attr);
    (void)pthread_rwlockattr_destroy(&attr);
    (void)pthread_mutex_init(&ix->lock, NULL);
    (void)pthread_cond_init(&ix->free_reader, NULL);
    kluis_buf_init(&ix->b.text, 1 << 30);
    ix->move_min = 2000;
    ix->target_rows = 200000;
    ix->norms_max = INORMS_MAX;
    ix->w.cache = ICACHE_PERIODS;
    kluis_status rc = KLUIS_E_LIMIT;
    if ((size_t)snprintf(ix->dir, sizeof ix->dir, "%s", dir) >= sizeof ix->dir) {
        (void)KLUIS_FAIL(err, rc, "the index's path is too long");
    } else {
        rc = open_files(ix, master_key, err);
    }
    if (rc != KLUIS_OK) {
        index_close(ix);
        return rc;
    }
    *out = ix;
    return KLUIS_OK;
}

void index_close(struct index *ix)
{
    if (ix == NULL) { return; }
    if (ix->b.open) { ibatch_rollback(ix); }
    imove_free(ix);
    for (size_t i = 0; i < ix->n_readers; i++) {
        istore_close(ix->readers[i]);
        kluis_free(ix->readers[i]);
    }
    istore_close(&ix->w);
    kluis_vfs_free(ix->vfs);
    ikeys_free(ix->keys);
    kluis_buf_free(&ix->b.text);
    kluis_free(ix->b.pending);
    kluis_free(ix->b.dirty);
    imap_clear(&ix->b.dirty_at);
    imap_clear(&ix->b.settled);
    imap_clear(&ix->b.mixed);
    imap_clear(&ix->b.near_done);
    imap_clear(&ix->b.pulled);
    kluis_free(ix->b.near);
    imap_clear(&ix->b.lengthy);
    kluis_free(ix->hot.keys);
    kluis_free(ix->hot.norms);
    inorms_free(ix);
    kluis_free(ix->hot.newest);
    (void)pthread_rwlock_destroy(&ix->hot.lock);
    (void)pthread_rwlock_destroy(&ix->life);
    (void)pthread_mutex_destroy(&ix->lock);
    (void)pthread_cond_destroy(&ix->free_reader);
    kluis_free(ix);
}

void index_tune(struct index *ix, int64_t move_min, int64_t target_rows)
{
    ix->move_min = move_min;
    ix->target_rows = target_rows;
}

uint64_t index_watermark(struct index *ix)
{
    (void)pthread_mutex_lock(&ix->lock);
    int64_t w = ix->watermark;
    (void)pthread_mutex_unlock(&ix->lock);
    return (uint64_t)w;
}

/* ---- figures ---- */

static kluis_status statistics(struct index *ix, struct iconn *c, struct index_stats *out, struct kluis_err *err)
{
    static const char *const keys[] = { "groups", "sightings", "conflicts" };
    int64_t v[3] = { 0 };
    KLUIS_TRY(kluis_db_exec(c->hot, "BEGIN", err));
    for (size_t i = 0; i < 3; i++) { KLUIS_TRY(istore_meta(c->hot, keys[i], &v[i], err)); }
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(c->hot, &q, err, "SELECT count(*) FROM pkg", ""));
    KLUIS_TRY(kluis_db_step(c->hot, q, err));
    *out = (struct index_stats){
        .records = (uint64_t)v[0], .sightings = (uint64_t)v[1], .conflicts = (uint64_t)v[2], .packages = (uint64_t)kluis_db_int(q, 0)
    };
    kluis_db_done(q);
    char(*names)[IKEYS_NAME] = kluis_calloc(IKEYS_MAX, IKEYS_NAME);
    if (names == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    size_t n = ikeys_list(ix->keys, names, IKEYS_MAX);
    for (size_t i = 0; i < n; i++) {
        char path[KLUIS_PATH_MAX + 8];
        struct stat st;
        for (int wal = 0; wal < 2; wal++) {
            (void)snprintf(path, sizeof path, "%s/%s%s", ix->dir, names[i], wal != 0 ? "-wal" : "");
            if (stat(path, &st) == 0) { out->bytes += (uint64_t)st.st_size; }
        }
    }
    kluis_free(names);
    return KLUIS_OK;
}

kluis_status index_statistics(struct index *ix, struct index_stats *out, struct kluis_err *err)
{
    (void)pthread_rwlock_rdlock(&ix->life);
    struct iconn *c = NULL;
    kluis_status rc = istore_reader(ix, &c, err);
    if (rc == KLUIS_OK) {
        rc = statistics(ix, c, out, err);
        istore_return(ix, c);
    }
    (void)pthread_rwlock_unlock(&ix->life);
    return rc;
}

struct sum {
    uint64_t lane[4], n;
};

/* Groups of one file, each as the digest of its sightings in order, added up: addition does not care about order. */
static kluis_status digest_file(struct iconn *c, struct kluis_db *unit, int64_t file, struct sum *sum, struct kluis_err *err)
{
    sqlite3_stmt *q = NULL, *m = NULL;
    KLUIS_TRY(kluis_db_query(unit, &q, err, "SELECT id, bits FROM rec WHERE lead IS NULL", ""));
    KLUIS_AUTO_BUF(work, 16 << 20);
    kluis_status st = KLUIS_OK;
    while ((st = kluis_db_step(unit, q, err)) == KLUIS_OK) {
        int64_t row = kluis_db_int(q, 0);
        bool hidden = false;
        KLUIS_TRY(ihidden(c, file, row, &hidden, err));
        if (hidden) { continue; }
        kluis_buf_clear(&work);
        kluis_buf_byte(&work, (kluis_db_int(q, 1) & IBITS_CONFLICT) != 0);
        KLUIS_TRY(kluis_db_query(unit, &m, err, "SELECT pkg, tie, at FROM rec WHERE id=?1 OR lead=?1 ORDER BY at, tie", "i", row));
        while ((st = kluis_db_step(unit, m, err)) == KLUIS_OK) {
            const struct ipackage *from = NULL;
            KLUIS_TRY(ipackage_of(c, kluis_db_int(m, 0), &from, err));
            kluis_buf_add(&work, from->id, 32);
            kluis_buf_fmt(&work, " %lld %lld\n", (long long)(kluis_db_int(m, 1) & INDEX_ORDINAL_MAX), (long long)kluis_db_int(m, 2));
        }
        if (st != KLUIS_END) { return st; }
        KLUIS_TRY(kluis_buf_ok(&work, err));
        uint64_t d[4];
        kluis_sha256_of(work.data, work.len, (uint8_t *)d);
        for (int i = 0; i < 4; i++) { sum->lane[i] += d[i]; }
        sum->n++;
    }
    return st == KLUIS_END ? KLUIS_OK : st;
}

static kluis_status digest(struct index *ix, struct iconn *c, uint8_t out[32], struct kluis_err *err)
{
    struct sum sum = { 0 };
    KLUIS_TRY(kluis_db_exec(c->hot, "BEGIN", err));
    KLUIS_TRY(istore_catalog(c, err));
    KLUIS_TRY(digest_file(c, c->hot, 0, &sum, err));
    for (size_t i = 0; i < c->catalog.n; i++) {
        struct kluis_db *unit = NULL;
        KLUIS_TRY(istore_period(ix, c, &c->catalog.list[i], &unit, err));
        KLUIS_TRY(digest_file(c, unit, c->catalog.list[i].file, &sum, err));
    }
    kluis_sha256_of(&sum, sizeof sum, out);
    return KLUIS_OK;
}

kluis_status index_groups_digest(struct index *ix, uint8_t out[32], struct kluis_err *err)
{
    (void)pthread_rwlock_rdlock(&ix->life);
    struct iconn *c = NULL;
    kluis_status rc = istore_reader(ix, &c, err);
    if (rc == KLUIS_OK) {
        rc = digest(ix, c, out, err);
        istore_return(ix, c);
    }
    (void)pthread_rwlock_unlock(&ix->life);
    return rc;
}
