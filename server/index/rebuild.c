/* server/index/rebuild.c - a new hot file under a new key: what was deleted from the former one is gone with it.  See internal.h. */
#include "server/index/internal.h"

#include <sqlite3.h>

static kluis_status fill(struct index *ix, struct kluis_db *db, const char *old, bool erased, struct kluis_err *err)
{
    static const char *const tables[] = { "platform", "official", "device", "link",   "conv",   "conv_link",
                                          "alias",    "source",   "pkg",    "period", "shadow", "rec" };
    KLUIS_AUTO_BUF(sql, 4096);
    char path[KLUIS_PATH_MAX];
    KLUIS_TRY(kluis_path(path, sizeof path, ix->dir, old, err));
    KLUIS_TRY(kluis_db_run(db, NULL, err, "ATTACH ?1 AS old", "s", path));
    KLUIS_TRY(kluis_db_begin(db, err));
    kluis_buf_cstr(&sql, "DELETE FROM main.meta; INSERT INTO main.meta SELECT * FROM old.meta; UPDATE main.meta SET v=v+1 WHERE k='catalog';");
    if (erased) { kluis_buf_cstr(&sql, "UPDATE main.meta SET v=0 WHERE k='erase';"); }
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        kluis_buf_fmt(&sql, "INSERT INTO main.%s SELECT * FROM old.%s;", tables[i], tables[i]);
    }
    kluis_buf_byte(&sql, 0);
    KLUIS_TRY(kluis_buf_ok(&sql, err));
    KLUIS_TRY(kluis_db_exec(db, (const char *)sql.data, err));
    struct iconn fresh = { .hot = db };
    kluis_status st = ifts_refill(&fresh, err);
    ipackage_forget(&fresh);
    KLUIS_TRY(st);
    KLUIS_TRY(kluis_db_commit(db, "index.rebuilt", err));
    return kluis_db_exec(db, "DETACH old; PRAGMA wal_checkpoint(TRUNCATE);", err);
}

kluis_status irebuild_hot(struct index *ix, bool erased, struct kluis_err *err)
{
    char old[IKEYS_NAME], name[IKEYS_NAME];
    int64_t next = istore_number(ix);
    ikeys_hot(ix->keys, old);
    KLUIS_TRY(istore_set(ix->w.hot, "next_file", istore_number(ix), err));
    (void)snprintf(name, sizeof name, "hot-%06lld.db", (long long)next);
    KLUIS_TRY(ikeys_add(ix->keys, name, err));
    struct kluis_db *db = NULL;
    KLUIS_TRY(istore_create(ix, name, true, &db, err));
    kluis_status st = fill(ix, db, old, erased, err);
    kluis_db_free(db);
    if (st != KLUIS_OK) { return st; }
    (void)pthread_rwlock_wrlock(&ix->life);
    (void)pthread_mutex_lock(&ix->lock);
    for (size_t i = 0; i < ix->n_readers; i++) { istore_close(ix->readers[i]); }
    ix->epoch++;
    (void)pthread_mutex_unlock(&ix->lock);
    istore_close(&ix->w);
    ix->w.cache = ICACHE_PERIODS;
    st = ikeys_switch_hot(ix->keys, name, err); /* from here on the old file is noise */
    if (st == KLUIS_OK) { st = istore_delete(ix, old, err); }
    if (st == KLUIS_OK) { st = istore_connect(ix, name, ICONN_WRITER, &ix->w.hot, err); }
    if (st == KLUIS_OK) { st = istore_catalog(&ix->w, err); }
    if (st == KLUIS_OK) { st = ihot_load(ix, err); }
    (void)pthread_rwlock_unlock(&ix->life);
    return st;
}
