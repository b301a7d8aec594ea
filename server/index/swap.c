/* server/index/swap.c - period files in place of hot rows, and what becomes of those rows.  See internal.h.
 *
 * The swap is one transaction of the hot file, synced: the new files into the catalogue, the copied hot rows into `gone`, which hides them as
 * `shadow` hides rows of a period.  What changed since it was copied stays in the hot file and is shadowed in the new one.  So a search sees every
 * record once, before and after.  Hidden hot rows are taken out afterwards, some at a time; when little else is left, all at once.
 */
#include "server/index/internal.h"

#include <dirent.h>
#include <errno.h>
#include <sqlite3.h>

enum {
    STEP = 400,        /* hidden rows taken out in one call            */
    WAIT_US = 2000,    /* how long one call waits for the copying      */
    CLEAR_MIN = 4000,  /* all at once from here on, when …             */
    CLEAR_LEFT = 2000, /* … at most so many rows stay, or …            */
    CLEAR_SHARE = 50,  /* … at most one of so many                     */
    SHRINK_PAGES = 8192
};

/* ---- the swap ---- */

/* Adds rows (rising) to those that are hidden. */
static kluis_status hide_rows(struct index *ix, const struct imove *mv, struct kluis_err *err)
{
    uint8_t bits[IGONE_ROWS / 8];
    int64_t block = -1;
    for (size_t i = 0; i <= mv->n; i++) {
        const struct ientry *e = i == mv->n ? NULL : &mv->list[mv->by_source[i]];
        if (e != NULL && (e->file != 0 || e->new_row == 0)) { continue; }
        int64_t next = e == NULL ? -1 : e->row / IGONE_ROWS;
        if (next != block) {
            if (block >= 0) {
                KLUIS_TRY(kluis_db_run(ix->w.hot, NULL, err, "INSERT OR REPLACE INTO gone(block, bits) VALUES(?1, ?2)", "ib", block,
                                       (struct kluis_bytes){ bits, sizeof bits }));
            }
            block = next;
            for (int64_t r = 0; block >= 0 && r < IGONE_ROWS; r += 8) {
                uint8_t b = 0;
                for (int64_t k = 0; k < 8; k++) { b |= (uint8_t)(igone(&ix->w, block * IGONE_ROWS + r + k) ? 1U << k : 0U); }
                bits[r / 8] = b;
            }
        }
        if (e != NULL) { bits[e->row % IGONE_ROWS / 8] |= (uint8_t)(1U << (e->row % 8)); }
    }
    return KLUIS_OK;
}

static kluis_status publish(struct index *ix, struct imove *mv, struct kluis_err *err)
{
    struct kluis_db *hot = ix->w.hot;
    /* What changed meanwhile stays where it is and is hidden in the new file; a group changes as a whole. */
    for (size_t i = 0; i < mv->n && mv->changed_hot.n + mv->changed_old.n > 0; i++) {
        struct ientry *e = &mv->list[i];
        if (!imap_get(e->file == 0 ? &mv->changed_hot : &mv->changed_old, e->row, NULL)) { continue; }
        struct iperiod *p = &mv->out[e->out].period;
        KLUIS_TRY(kluis_db_run(hot, NULL, err, "INSERT INTO shadow(file, row) VALUES(?1, ?2)", "ii", p->file, e->new_row));
        p->shadows++;
        e->new_row = 0;
    }
    KLUIS_TRY(hide_rows(ix, mv, err));
    if (mv->has_old) {
        KLUIS_TRY(kluis_db_run(hot, NULL, err, "DELETE FROM shadow WHERE file=?1", "i", mv->old.file));
        KLUIS_TRY(kluis_db_run(hot, NULL, err, "DELETE FROM period WHERE file=?1", "i", mv->old.file));
    }
    for (int i = 0; i < mv->n_out; i++) {
        const struct iperiod *p = &mv->out[i].period;
        KLUIS_TRY(kluis_db_run(hot, NULL, err,
                               "INSERT INTO period(file, name, begins, ends, rows, shadows, low, high) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                               "isiiiiii", p->file, p->name, p->from, p->to, p->rows, p->shadows, p->low, p->high));
    }
    KLUIS_TRY(istore_set(hot, "next_file", istore_number(ix), err));
    return kluis_db_run(hot, NULL, err, "UPDATE meta SET v=v+1 WHERE k='catalog'", "");
}

/* Nobody searches while this runs: what the rows were by in memory goes, and a file that is in no catalogue, with the connections to it. */
static kluis_status settle(struct index *ix, struct imove *mv, struct kluis_err *err)
{
    kluis_status st = KLUIS_OK;
    (void)pthread_rwlock_wrlock(&ix->life);
    ihot_hide(&ix->hot, mv);
    if (mv->has_old) {
        (void)pthread_mutex_lock(&ix->lock);
        for (size_t i = 0; i < ix->n_readers; i++) { istore_drop(ix->readers[i], mv->old.file); }
        (void)pthread_mutex_unlock(&ix->lock);
        istore_drop(&ix->w, mv->old.file);
        inorms_drop(ix, mv->old.file);
        st = istore_delete(ix, mv->old.name, err);
    }
    (void)pthread_rwlock_unlock(&ix->life);
    return st;
}

static kluis_status swap(struct index *ix, struct kluis_err *err)
{
    struct imove *mv = ix->move;
    kluis_status st = kluis_db_exec(ix->w.hot, "PRAGMA synchronous=FULL", err); /* the old file goes only when this is on disk */
    if (st == KLUIS_OK) { st = kluis_db_begin(ix->w.hot, err); }
    if (st == KLUIS_OK) { st = istore_catalog(&ix->w, err); }
    if (st == KLUIS_OK) { st = publish(ix, mv, err); }
    if (st == KLUIS_OK) {
        st = kluis_db_commit(ix->w.hot, "index.moved", err);
    } else {
        kluis_db_rollback(ix->w.hot);
    }
    if (st != KLUIS_OK) {
        ix->w.catalog.version = -1;
        imove_free(ix);
        return st;
    }
    mv->in_use = true;
    ix->taken = 0; /* among what is hidden now may be rows before the place that was reached */
    st = settle(ix, mv, err);
    imove_free(ix);
    KLUIS_TRY(st);
    KLUIS_TRY(kluis_db_exec(ix->w.hot, "PRAGMA synchronous=NORMAL", err));
    return istore_catalog(&ix->w, err);
}

/* ---- taking hidden rows out ---- */

/* Free pages stay in the file: when they are most of it, a new one is cheaper than keeping them. */
static kluis_status shrink(struct index *ix, struct kluis_err *err)
{
    sqlite3_stmt *q = NULL;
    int64_t pages[2] = { 0 };
    static const char *const ask[2] = { "PRAGMA freelist_count", "PRAGMA page_count" };
    for (int i = 0; i < 2; i++) {
        KLUIS_TRY(kluis_db_query(ix->w.hot, &q, err, ask[i], ""));
        KLUIS_TRY(kluis_db_step(ix->w.hot, q, err));
        pages[i] = kluis_db_int(q, 0);
        kluis_db_done(q);
    }
    return pages[0] > SHRINK_PAGES && pages[0] > pages[1] / 2 ? irebuild_hot(ix, false, err) : KLUIS_OK;
}

/* All of them: the tables are emptied and what stays is put back. */
static kluis_status clear_out(struct index *ix, struct kluis_err *err)
{
    struct kluis_db *hot = ix->w.hot;
    KLUIS_TRY(kluis_db_exec(hot, "CREATE TEMP TABLE keep AS SELECT * FROM rec LIMIT 0", err));
    for (int64_t row = ihot_next(&ix->hot, 0); row != 0; row = ihot_next(&ix->hot, row + 1)) {
        KLUIS_TRY(kluis_db_run(hot, NULL, err, "INSERT INTO temp.keep SELECT * FROM rec WHERE id=?1", "i", row));
    }
    KLUIS_TRY(kluis_db_exec(hot, "DELETE FROM rec; INSERT INTO rec SELECT * FROM temp.keep; DROP TABLE temp.keep; DELETE FROM gone;", err));
    return ifts_refill(&ix->w, err);
}

/* A group goes as a whole: its entry's words come from all of it. */
static kluis_status take_group(struct index *ix, int64_t row, struct kluis_err *err)
{
    struct kluis_db *hot = ix->w.hot;
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(hot, &q, err, "SELECT lead FROM rec WHERE id=?1", "i", row));
    kluis_status st = kluis_db_step(hot, q, err);
    if (st == KLUIS_END) { return KLUIS_OK; } /* with its group before */
    KLUIS_TRY(st);
    int64_t lead = kluis_db_int(q, 0);
    kluis_db_done(q);
    if (lead == 0) { lead = row; }
    KLUIS_TRY(ifts_remove(&ix->w, lead, NULL, err));
    KLUIS_TRY(kluis_db_run(hot, NULL, err, "DELETE FROM rec WHERE lead=?1", "i", lead));
    return kluis_db_run(hot, NULL, err, "DELETE FROM rec WHERE id=?1", "i", lead);
}

static kluis_status take_some(struct index *ix, struct kluis_err *err)
{
    int64_t first = ix->w.gone.first * IGONE_ROWS, end = first + (int64_t)ix->w.gone.blocks * IGONE_ROWS, at = ix->taken;
    if (at < first) { at = first; }
    for (int n = 0; at < end && n < STEP; at++) {
        if (igone(&ix->w, at)) {
            KLUIS_TRY(take_group(ix, at, err));
            n++;
        }
        if ((at + 1) % IGONE_ROWS == 0) { KLUIS_TRY(kluis_db_run(ix->w.hot, NULL, err, "DELETE FROM gone WHERE block=?1", "i", at / IGONE_ROWS)); }
    }
    ix->taken = at;
    if (at < end) { return KLUIS_OK; }
    return kluis_db_exec(ix->w.hot, "DELETE FROM gone; UPDATE meta SET v=v+1 WHERE k='catalog'", err);
}

static kluis_status clean(struct index *ix, struct kluis_err *err)
{
    int64_t gone = ix->w.gone.n, stay = ihot_live(&ix->hot);
    bool all = gone >= CLEAR_MIN && (stay <= CLEAR_LEFT || stay <= gone / CLEAR_SHARE);
    KLUIS_TRY(kluis_db_begin(ix->w.hot, err));
    kluis_status st = all ? clear_out(ix, err) : take_some(ix, err);
    if (st == KLUIS_OK && all) { st = kluis_db_exec(ix->w.hot, "UPDATE meta SET v=v+1 WHERE k='catalog'", err); }
    if (st != KLUIS_OK) {
        kluis_db_rollback(ix->w.hot);
        ix->taken = 0;
        return st;
    }
    KLUIS_TRY(kluis_db_commit(ix->w.hot, "index.taken", err));
    KLUIS_TRY(istore_catalog(&ix->w, err));
    if (ix->w.gone.n > 0) { return KLUIS_OK; }
    ix->taken = 0;
    ihot_trim(&ix->hot);
    return shrink(ix, err);
}

/* ---- what to do next ---- */

/* Which stretch is worth a rebuild: a file's, or the one after the last file. */
static kluis_status choose(struct index *ix, bool *none, struct kluis_err *err)
{
    struct icatalog *cat = &ix->w.catalog;
    int64_t closed = imonth_start(kluis_now_us(), 0), erase = 0;
    KLUIS_TRY(istore_catalog(&ix->w, err));
    KLUIS_TRY(istore_meta(ix->w.hot, "erase", &erase, err));
    size_t *count = kluis_calloc(cat->n + 1, sizeof *count);
    if (count == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    ihot_count(&ix->hot, cat, closed, count);
    size_t best = cat->n;
    for (size_t k = 0; k < cat->n; k++) {
        if (count[k] > count[best]) { best = k; }
    }
    bool wanted = count[best] > 0 && ((int64_t)count[best] >= ix->move_min || ihot_live(&ix->hot) > INDEX_HOT_RECORDS_MAX);
    for (size_t k = 0; k < cat->n && erase != 0; k++) {
        if (cat->list[k].shadows > 0) {
            best = k;
            wanted = true;
        }
    }
    kluis_free(count);
    *none = !wanted;
    if (!wanted) { return KLUIS_OK; }
    const struct iperiod *old = NULL;
    int64_t from = cat->n == 0 ? INT64_MIN : cat->list[cat->n - 1].to, to = closed;
    if (best < cat->n) {
        old = &cat->list[best];
        from = old->from;
        to = old->to;
    } else if (cat->n > 0 && cat->list[cat->n - 1].rows < ix->target_rows / 2) {
        old = &cat->list[cat->n - 1]; /* a small last file grows instead of getting a neighbour */
        from = old->from;
    }
    return imove_start(ix, old, from, to, err);
}

bool index_crowded(struct index *ix) { return ihot_live(&ix->hot) >= (int64_t)4 * INDEX_HOT_RECORDS_MAX; }

kluis_status index_maintain(struct index *ix, bool *more, struct kluis_err *err)
{
    *more = true;
    KLUIS_TRY(index_commit(ix, err));
    if (ix->move != NULL) {
        if (!imove_wait(ix, WAIT_US)) { return KLUIS_OK; }
        if (ix->move->rc == KLUIS_OK) { return swap(ix, err); }
        kluis_status st = ix->move->rc;
        if (err != NULL) { *err = ix->move->err; }
        imove_free(ix);
        return st;
    }
    bool none = true;
    /* Hidden rows wait while there is more to move: then many can go at once. */
    if (ix->w.gone.n < INT64_C(2) * INDEX_HOT_RECORDS_MAX) { KLUIS_TRY(choose(ix, &none, err)); }
    if (!none) { return KLUIS_OK; }
    if (ix->w.gone.n > 0) { return clean(ix, err); }
    int64_t erase = 0;
    KLUIS_TRY(istore_meta(ix->w.hot, "erase", &erase, err));
    *more = false;
    return erase != 0 ? irebuild_hot(ix, true, err) : KLUIS_OK;
}

/* ---- files nobody names ---- */

kluis_status imove_clean(struct index *ix, struct kluis_err *err)
{
    char(*names)[IKEYS_NAME] = kluis_calloc(IKEYS_MAX, IKEYS_NAME), hot[IKEYS_NAME];
    if (names == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    size_t n = ikeys_list(ix->keys, names, IKEYS_MAX);
    ikeys_hot(ix->keys, hot);
    kluis_status st = KLUIS_OK;
    for (size_t i = 0; i < n && st == KLUIS_OK; i++) {
        bool named = strcmp(names[i], hot) == 0;
        for (size_t k = 0; k < ix->w.catalog.n && !named; k++) { named = strcmp(names[i], ix->w.catalog.list[k].name) == 0; }
        if (!named) { st = istore_delete(ix, names[i], err); }
    }
    kluis_free(names);
    KLUIS_TRY(st);
    /* Files without a key are noise already. */
    DIR *d = opendir(ix->dir);
    if (d == NULL) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot list '%s'", ix->dir); }
    for (const char *name; kluis_dir_next(d, ix->dir, &name, &st, err);) {
        const char *end = strstr(name, ".db");
        uint8_t key[32];
        bool ours = end != NULL && (strncmp(name, "period-", 7) == 0 || strncmp(name, "hot-", 4) == 0);
        if (!ours || ikeys_find(ix->keys, name, (size_t)(end - name) + 3, key)) { continue; }
        char path[KLUIS_PATH_MAX];
        st = kluis_path(path, sizeof path, ix->dir, name, err);
        if (st == KLUIS_OK && kluis_io_unlink(path) != 0 && errno != ENOENT) {
            st = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot remove index file '%s'", path);
        }
    }
    (void)closedir(d);
    return st;
}
