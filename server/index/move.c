/* server/index/move.c - closed months from the hot file to period files, a bounded piece at a time.  See internal.h.
 *
 * Plan: the closed records of the fullest stretch of time and, if that stretch has a file, what is in it, sorted by key.  Copy: rows and FTS5
 * entries into new files, some thousand a call, while packages go on arriving.  Swap: one transaction of the hot file, synced, that
 * takes the copied rows out of it and puts the new files into the catalogue.  What changed since it was copied (its `ver` says so, or
 * a shadow on the old file) stays in the hot file and is shadowed in the new one.  So a search sees every record once,
 * before and after; a crash leaves files that the catalogue does not name, which the next opening removes.
 */
#include "server/index/internal.h"

#include <dirent.h>
#include <errno.h>
#include <sqlite3.h>

enum { STEP = 5000, OUTPUTS = 64, SHRINK_PAGES = 8192 };

struct entry {
    struct ikey key;
    int64_t file, row, ver, lead, lead_at, new_row;
    int out;
    bool several;
};
struct output {
    struct iperiod period;
    struct kluis_db *db;
};
struct imove {
    struct entry *list;
    size_t n, cap, next;
    size_t *by_source; /* positions in list, by file and row */
    struct output out[OUTPUTS];
    int n_out;
    struct iperiod old;
    bool has_old;
};

static const char INSERT_FTS[] = "INSERT INTO fts(rowid, text, side, meta) VALUES(?1, ?2, ?3, ?4)";

static int64_t month_start(int64_t us, int months_on)
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

void imove_free(struct index *ix)
{
    struct imove *mv = ix->move;
    ix->move = NULL;
    if (mv == NULL) { return; }
    for (int i = 0; i < mv->n_out; i++) {
        struct kluis_err ignored = { 0 };
        kluis_db_free(mv->out[i].db);
        if (istore_delete(ix, mv->out[i].period.name, &ignored) != KLUIS_OK) { continue; } /* the next opening removes it */
    }
    kluis_free(mv->list);
    kluis_free(mv->by_source);
    kluis_free(mv);
}

/* ---- plan ---- */

static kluis_status push(struct imove *mv, const struct entry *e, struct kluis_err *err)
{
    if (mv->n == mv->cap) {
        size_t cap = mv->cap == 0 ? 4096 : mv->cap * 2;
        struct entry *grown = kluis_realloc(mv->list, cap * sizeof *grown);
        if (grown == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
        mv->list = grown;
        mv->cap = cap;
    }
    mv->list[mv->n++] = *e;
    return KLUIS_OK;
}

static kluis_status load(struct imove *mv, struct kluis_db *unit, struct iconn *c, int64_t file, int64_t before, struct kluis_err *err)
{
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(
        unit, &q, err,
        "SELECT r.id, r.at, r.tie, r.ver, r.lead, CASE WHEN r.lead IS NULL THEN r.at ELSE (SELECT l.at FROM rec l WHERE l.id=r.lead) END FROM rec r",
        ""));
    kluis_status st = KLUIS_OK;
    while ((st = kluis_db_step(unit, q, err)) == KLUIS_OK) {
        struct entry e = { .file = file,
                           .row = kluis_db_int(q, 0),
                           .key = { kluis_db_int(q, 1), kluis_db_int(q, 2) },
                           .ver = kluis_db_int(q, 3),
                           .lead = kluis_db_int(q, 4),
                           .lead_at = kluis_db_int(q, 5) };
        if (e.lead_at >= before) { continue; }
        bool hidden = false;
        if (file != 0) { KLUIS_TRY(ihidden(c, file, e.row, &hidden, err)); }
        if (!hidden) { KLUIS_TRY(push(mv, &e, err)); }
    }
    return st == KLUIS_END ? KLUIS_OK : st;
}

static int by_key(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int k = ikey_cmp(x->key, y->key);
    if (k != 0) { return k; }
    if (x->file != y->file) { return x->file < y->file ? -1 : 1; }
    return x->row < y->row ? -1 : x->row > y->row;
}

static int source_cmp(const struct entry *e, int64_t file, int64_t row)
{
    if (e->file != file) { return e->file < file ? -1 : 1; }
    return e->row < row ? -1 : e->row > row;
}

static int by_source(const void *a, const void *b, void *list)
{
    const struct entry *y = (const struct entry *)list + *(const size_t *)b;
    return source_cmp((const struct entry *)list + *(const size_t *)a, y->file, y->row);
}

static struct entry *source(struct imove *mv, int64_t file, int64_t row)
{
    size_t lo = 0, hi = mv->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (source_cmp(&mv->list[mv->by_source[mid]], file, row) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    if (lo == mv->n || source_cmp(&mv->list[mv->by_source[lo]], file, row) != 0) { return NULL; }
    return &mv->list[mv->by_source[lo]];
}

static int by_number(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* Cuts [from, to) at ends of months into pieces of about target rows. */
static kluis_status cut(struct index *ix, struct imove *mv, int64_t from, int64_t to, struct kluis_err *err)
{
    int64_t *at = kluis_calloc(mv->n + 1, sizeof *at);
    if (at == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    for (size_t i = 0; i < mv->n; i++) { at[i] = mv->list[i].lead_at; }
    qsort(at, mv->n, sizeof *at, by_number);
    size_t i = 0;
    while (mv->n_out < OUTPUTS) {
        struct iperiod *p = &mv->out[mv->n_out++].period;
        *p = (struct iperiod){ .from = from, .to = to, .low = INT64_MAX, .high = INT64_MIN };
        size_t end = i + (size_t)ix->target_rows;
        if (end >= mv->n || mv->n_out == OUTPUTS) { break; }
        int64_t edge = month_start(at[end], 0);
        if (edge <= at[i]) { edge = month_start(at[end], 1); }
        if (edge >= to || at[mv->n - 1] < edge) { break; }
        p->to = from = edge;
        while (at[i] < edge) { i++; }
    }
    kluis_free(at);
    for (size_t k = 0; k < mv->n; k++) {
        while (mv->list[k].out + 1 < mv->n_out && mv->list[k].lead_at >= mv->out[mv->list[k].out].period.to) { mv->list[k].out++; }
    }
    return KLUIS_OK;
}

static kluis_status create_outputs(struct index *ix, struct imove *mv, struct kluis_err *err)
{
    int64_t next = 0;
    KLUIS_TRY(istore_meta(ix->w.hot, "next_file", &next, err));
    for (int i = 0; i < mv->n_out; i++) {
        struct iperiod *p = &mv->out[i].period;
        int64_t first = INT64_MAX;
        for (size_t k = 0; k < mv->n; k++) {
            if (mv->list[k].out == i && mv->list[k].lead_at < first) { first = mv->list[k].lead_at; }
        }
        int y = 0, m = 0, d = 0;
        const int64_t day = INT64_C(86400000000);
        if (first == INT64_MAX) { first = p->from == INT64_MIN ? 0 : p->from; }
        kluis_civil_from_days(first / day - (first % day < 0 ? 1 : 0), &y, &m, &d);
        /* Names are never used again: a late reader of an old file cannot open a new one. */
        KLUIS_TRY(istore_set(ix->w.hot, "next_file", next + 1, err));
        p->file = next++;
        (void)snprintf(p->name, sizeof p->name, "period-%04d-%02d-%06lld.db", y, m, (long long)p->file);
        KLUIS_TRY(ikeys_add(ix->keys, p->name, err));
        KLUIS_TRY(istore_create(ix, p->name, false, &mv->out[i].db, err));
    }
    return KLUIS_OK;
}

static kluis_status plan(struct index *ix, bool *none, struct kluis_err *err)
{
    *none = true;
    struct icatalog *cat = &ix->w.catalog;
    int64_t closed = month_start(kluis_now_us(), 0), erase = 0;
    KLUIS_TRY(istore_catalog(&ix->w, err));
    KLUIS_TRY(istore_meta(ix->w.hot, "erase", &erase, err));
    struct imove *mv = kluis_calloc(1, sizeof *mv);
    size_t *count = kluis_calloc(cat->n + 1, sizeof *count);
    ix->move = mv;
    kluis_status st = mv == NULL || count == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory") : load(mv, ix->w.hot, &ix->w, 0, closed, err);
    if (st != KLUIS_OK || mv == NULL || count == NULL) {
        kluis_free(count);
        imove_free(ix);
        return st;
    }
    /* Which stretch: a file's, or the one after the last file. */
    size_t best = cat->n;
    for (size_t i = 0; i < mv->n; i++) {
        size_t k = 0;
        while (k < cat->n && mv->list[i].lead_at >= cat->list[k].to) { k++; }
        count[k]++;
    }
    for (size_t k = 0; k < cat->n; k++) {
        if (count[k] > count[best]) { best = k; }
    }
    bool wanted = count[best] > 0 && ((int64_t)count[best] >= ix->move_min || ix->hot.n > INDEX_HOT_RECORDS_MAX);
    for (size_t k = 0; k < cat->n && erase != 0; k++) {
        if (cat->list[k].shadows > 0) {
            best = k;
            wanted = true;
        }
    }
    kluis_free(count);
    if (!wanted) {
        imove_free(ix);
        return KLUIS_OK;
    }
    int64_t from = cat->n == 0 ? INT64_MIN : cat->list[cat->n - 1].to, to = closed;
    if (best == cat->n && cat->n > 0 && cat->list[cat->n - 1].rows < ix->target_rows / 2) {
        mv->has_old = true; /* a small last file grows instead of getting a neighbour */
        mv->old = cat->list[cat->n - 1];
        from = mv->old.from;
    } else if (best < cat->n) {
        mv->has_old = true;
        mv->old = cat->list[best];
        from = mv->old.from;
        to = mv->old.to;
    }
    size_t kept = 0;
    for (size_t i = 0; i < mv->n; i++) {
        if (mv->list[i].lead_at >= from && mv->list[i].lead_at < to) { mv->list[kept++] = mv->list[i]; }
    }
    mv->n = kept;
    struct kluis_db *unit = NULL;
    if (mv->has_old) {
        st = istore_period(ix, &ix->w, &mv->old, &unit, err);
        if (st == KLUIS_OK) { st = load(mv, unit, &ix->w, mv->old.file, INT64_MAX, err); }
    }
    if (st == KLUIS_OK) {
        if (mv->n > 0) { qsort(mv->list, mv->n, sizeof *mv->list, by_key); }
        mv->by_source = kluis_calloc(mv->n + 1, sizeof *mv->by_source);
        if (mv->by_source == NULL) { st = KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    }
    if (st == KLUIS_OK) {
        for (size_t i = 0; i < mv->n; i++) { mv->by_source[i] = i; }
        qsort_r(mv->by_source, mv->n, sizeof *mv->by_source, by_source, mv->list);
        for (size_t i = 0; i < mv->n; i++) {
            struct entry *leader = mv->list[i].lead == 0 ? NULL : source(mv, mv->list[i].file, mv->list[i].lead);
            if (leader != NULL) { leader->several = true; }
        }
        st = cut(ix, mv, from, to, err);
    }
    if (st == KLUIS_OK) { st = create_outputs(ix, mv, err); }
    if (st != KLUIS_OK) { imove_free(ix); }
    *none = false;
    return st;
}

/* ---- copy ---- */

static kluis_status copy(struct index *ix, struct imove *mv, struct entry *e, struct kluis_buf *work, struct kluis_err *err)
{
    struct kluis_db *unit = ix->w.hot;
    sqlite3_stmt *q = NULL;
    if (e->file != 0) {
        bool hidden = false;
        KLUIS_TRY(ihidden(&ix->w, e->file, e->row, &hidden, err));
        if (hidden) { return KLUIS_OK; } /* came back to the hot file meanwhile */
        KLUIS_TRY(istore_period(ix, &ix->w, &mv->old, &unit, err));
    }
    KLUIS_TRY(kluis_db_query(unit, &q, err, "SELECT pkg, tie, conv, at, hash, bits, idkey, text, extra, ver FROM rec WHERE id=?1", "i", e->row));
    kluis_status st = kluis_db_step(unit, q, err);
    if (st == KLUIS_END || (st == KLUIS_OK && e->file == 0 && kluis_db_int(q, 9) != e->ver)) {
        kluis_db_done(q);
        return KLUIS_OK; /* changed meanwhile: stays where it is */
    }
    KLUIS_TRY(st);
    struct output *out = &mv->out[e->out];
    int64_t row = out->period.rows + 1;
    struct kluis_str text = kluis_db_text(q, 7), extra[IEXTRAS];
    struct kluis_bytes blob = kluis_db_blob(q, 8);
    if (!iextra_read(blob, extra)) { return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a record of the index is damaged: delete the index and rebuild it"); }
    sqlite3_stmt *in = NULL;
    KLUIS_TRY(kluis_db_query(out->db, &in, err,
                             "INSERT INTO rec(id, pkg, tie, conv, at, hash, bits, lead, text, extra, idkey) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, "
                             "NULLIF(?8, 0), ?9, ?10, ?11)",
                             "iiiiiiiitb", row, kluis_db_int(q, 0), kluis_db_int(q, 1), kluis_db_int(q, 2), kluis_db_int(q, 3), kluis_db_int(q, 4),
                             kluis_db_int(q, 5), e->lead == 0 ? (int64_t)0 : (int64_t)-1, text, blob));
    if (sqlite3_column_type(q, 6) != SQLITE_NULL && sqlite3_bind_int64(in, 11, kluis_db_int(q, 6)) != SQLITE_OK) {
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory");
    }
    st = kluis_db_step(out->db, in, err);
    if (st != KLUIS_END) { return st; }
    if (e->lead == 0) {
        kluis_buf_clear(work);
        iside_write(work, extra);
        size_t side = work->len;
        KLUIS_AUTO_BUF(meta, 1 << 16);
        if (e->several) {
            KLUIS_TRY(imeta_of(&ix->w, unit, e->row, &meta, err));
        } else {
            const struct ipackage *p = NULL;
            KLUIS_TRY(ipackage_of(&ix->w, kluis_db_int(q, 0), &p, err));
            kluis_buf_fmt(&meta, "c%lld o%lld p%lld", (long long)p->conv, (long long)p->official_no, (long long)p->platform_no);
        }
        KLUIS_TRY(kluis_buf_ok(&meta, err));
        KLUIS_TRY(kluis_buf_ok(work, err));
        KLUIS_TRY(kluis_db_run(out->db, NULL, err, INSERT_FTS, "ittt", row, text,
                               (struct kluis_str){ side == 0 ? NULL : (const char *)work->data, side },
                               (struct kluis_str){ (const char *)meta.data, meta.len }));
    }
    kluis_db_done(q);
    if (e->key.at < out->period.low) { out->period.low = e->key.at; }
    if (e->key.at > out->period.high) { out->period.high = e->key.at; }
    e->new_row = out->period.rows = row;
    return KLUIS_OK;
}

static kluis_status finish_outputs(struct index *ix, struct imove *mv, struct kluis_err *err)
{
    for (size_t i = 0; i < mv->n; i++) {
        const struct entry *e = &mv->list[i], *leader = e->lead == 0 || e->new_row == 0 ? NULL : source(mv, e->file, e->lead);
        /* A leader that changed meanwhile changed with all of its group: the swap shadows this row, whatever it points at. */
        if (leader == NULL || leader->new_row == 0 || leader->out != e->out) { continue; }
        KLUIS_TRY(kluis_db_run(mv->out[e->out].db, NULL, err, "UPDATE rec SET lead=?2 WHERE id=?1", "ii", e->new_row, leader->new_row));
    }
    for (int i = 0; i < mv->n_out; i++) { KLUIS_TRY(istore_finish(ix, mv->out[i].period.name, &mv->out[i].db, err)); }
    return KLUIS_OK;
}

/* ---- swap ---- */

kluis_status imove_refill(struct iconn *c, struct kluis_err *err)
{
    struct kluis_db *hot = c->hot;
    sqlite3_stmt *q = NULL;
    KLUIS_AUTO_BUF(side, 8 << 20);
    KLUIS_AUTO_BUF(meta, 1 << 16);
    KLUIS_TRY(kluis_db_exec(hot, "INSERT INTO fts(fts) VALUES('delete-all')", err));
    KLUIS_TRY(kluis_db_query(hot, &q, err, "SELECT id, text, extra FROM rec WHERE lead IS NULL ORDER BY id", ""));
    kluis_status st = KLUIS_OK;
    while ((st = kluis_db_step(hot, q, err)) == KLUIS_OK) {
        struct kluis_str extra[IEXTRAS];
        kluis_buf_clear(&side);
        kluis_buf_clear(&meta);
        if (!iextra_read(kluis_db_blob(q, 2), extra)) {
            return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a record of the index is damaged: delete the index and rebuild it");
        }
        iside_write(&side, extra);
        KLUIS_TRY(kluis_buf_ok(&side, err));
        KLUIS_TRY(imeta_of(c, hot, kluis_db_int(q, 0), &meta, err));
        KLUIS_TRY(kluis_db_run(hot, NULL, err, INSERT_FTS, "ittt", kluis_db_int(q, 0), kluis_db_text(q, 1),
                               (struct kluis_str){ side.len == 0 ? NULL : (const char *)side.data, side.len },
                               (struct kluis_str){ (const char *)meta.data, meta.len }));
    }
    return st == KLUIS_END ? KLUIS_OK : st;
}

kluis_status imove_unindex(struct iconn *c, int64_t row, const char *meta, struct kluis_err *err)
{
    struct kluis_db *hot = c->hot;
    sqlite3_stmt *q = NULL;
    KLUIS_AUTO_BUF(side, 8 << 20);
    KLUIS_AUTO_BUF(now, 1 << 16);
    KLUIS_TRY(kluis_db_query(hot, &q, err, "SELECT text, extra FROM rec WHERE id=?1", "i", row));
    KLUIS_TRY(kluis_db_step(hot, q, err));
    struct kluis_str extra[IEXTRAS];
    if (!iextra_read(kluis_db_blob(q, 1), extra)) {
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a record of the index is damaged: delete the index and rebuild it");
    }
    iside_write(&side, extra);
    KLUIS_TRY(kluis_buf_ok(&side, err));
    if (meta == NULL) { KLUIS_TRY(imeta_of(c, hot, row, &now, err)); }
    struct kluis_str m = meta == NULL ? (struct kluis_str){ (const char *)now.data, now.len } : kluis_str_of(meta);
    KLUIS_TRY(kluis_db_run(hot, NULL, err, "INSERT INTO fts(fts, rowid, text, side, meta) VALUES('delete', ?1, ?2, ?3, ?4)", "ittt", row,
                           kluis_db_text(q, 0), (struct kluis_str){ side.len == 0 ? NULL : (const char *)side.data, side.len }, m));
    kluis_db_done(q);
    return KLUIS_OK;
}

static kluis_status take_out(struct index *ix, struct imove *mv, struct kluis_err *err)
{
    struct kluis_db *hot = ix->w.hot;
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(hot, &q, err, "SELECT count(*) FROM rec", ""));
    KLUIS_TRY(kluis_db_step(hot, q, err));
    int64_t total = kluis_db_int(q, 0), moved = 0;
    kluis_db_done(q);
    for (size_t i = 0; i < mv->n; i++) { moved += mv->list[i].file == 0 && mv->list[i].new_row != 0; }
    /* Taking an entry out of FTS5 costs as much as putting it in: whichever is less. */
    bool refill = moved > total - moved;
    for (size_t i = 0; i < mv->n; i++) {
        struct entry *e = &mv->list[mv->by_source[i]]; /* ascending rows */
        struct iperiod *p = &mv->out[e->out].period;
        bool stale = false;
        if (e->new_row == 0) { continue; }
        if (e->file == 0) {
            KLUIS_TRY(kluis_db_query(hot, &q, err, "SELECT 1 FROM rec WHERE id=?1 AND ver=?2", "ii", e->row, e->ver));
            kluis_status st = kluis_db_step(hot, q, err);
            kluis_db_done(q);
            if (st != KLUIS_OK && st != KLUIS_END) { return st; }
            stale = st == KLUIS_END;
            if (!stale && !refill && e->lead == 0) { KLUIS_TRY(imove_unindex(&ix->w, e->row, NULL, err)); }
        } else {
            KLUIS_TRY(ihidden(&ix->w, e->file, e->row, &stale, err));
        }
        if (stale) {
            KLUIS_TRY(kluis_db_run(hot, NULL, err, "INSERT INTO shadow(file, row) VALUES(?1, ?2)", "ii", p->file, e->new_row));
            p->shadows++;
            e->new_row = 0;
        }
    }
    /* After all entries are out: an entry's tokens come from its whole group.  When most rows go, emptying the table and putting the
     * few back is far less work than taking them out of three trees one by one. */
    if (refill) { KLUIS_TRY(kluis_db_exec(hot, "CREATE TEMP TABLE moved(id INTEGER PRIMARY KEY)", err)); }
    for (size_t i = 0; i < mv->n; i++) {
        const struct entry *e = &mv->list[mv->by_source[i]];
        if (e->file != 0 || e->new_row == 0) { continue; }
        KLUIS_TRY(refill ? kluis_db_run(hot, NULL, err, "INSERT INTO temp.moved VALUES(?1)", "i", e->row)
                         : kluis_db_run(hot, NULL, err, "DELETE FROM rec WHERE id=?1", "i", e->row));
    }
    if (!refill) { return KLUIS_OK; }
    KLUIS_TRY(kluis_db_exec(hot,
                            "CREATE TEMP TABLE keep AS SELECT * FROM rec WHERE id NOT IN (SELECT id FROM temp.moved); DELETE FROM rec;"
                            "INSERT INTO rec SELECT * FROM temp.keep; DROP TABLE temp.keep; DROP TABLE temp.moved;",
                            err));
    return imove_refill(&ix->w, err);
}

static kluis_status publish(struct index *ix, struct imove *mv, struct kluis_err *err)
{
    struct kluis_db *hot = ix->w.hot;
    KLUIS_TRY(take_out(ix, mv, err));
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
    return kluis_db_run(hot, NULL, err, "UPDATE meta SET v=v+1 WHERE k='catalog'", "");
}

/* Nobody searches while this runs: connections and keys of what is gone go too. */
static kluis_status settle_memory(struct index *ix, const char *gone, struct kluis_err *err)
{
    (void)pthread_rwlock_wrlock(&ix->life);
    (void)pthread_mutex_lock(&ix->lock);
    for (size_t i = 0; i < ix->n_readers; i++) { istore_close(ix->readers[i]); }
    (void)pthread_mutex_unlock(&ix->lock);
    kluis_status st = istore_catalog(&ix->w, err);
    if (st == KLUIS_OK) { st = ihot_load(ix, err); }
    if (st == KLUIS_OK && gone != NULL) { st = istore_delete(ix, gone, err); }
    (void)pthread_rwlock_unlock(&ix->life);
    return st;
}

static kluis_status swap(struct index *ix, struct kluis_err *err)
{
    struct imove *mv = ix->move;
    kluis_status st = kluis_db_exec(ix->w.hot, "PRAGMA synchronous=FULL", err); /* the old file goes only when this is on disk */
    if (st == KLUIS_OK) { st = kluis_db_begin(ix->w.hot, err); }
    if (st == KLUIS_OK) { st = publish(ix, mv, err); }
    if (st == KLUIS_OK) {
        st = kluis_db_commit(ix->w.hot, "index.moved", err);
    } else {
        kluis_db_rollback(ix->w.hot);
    }
    if (st != KLUIS_OK) {
        imove_free(ix);
        return st;
    }
    char old[IKEYS_NAME];
    memcpy(old, mv->old.name, sizeof old);
    bool has_old = mv->has_old;
    mv->n_out = 0; /* they are in use now */
    imove_free(ix);
    KLUIS_TRY(kluis_db_exec(ix->w.hot, "PRAGMA synchronous=NORMAL", err));
    KLUIS_TRY(settle_memory(ix, has_old ? old : NULL, err));
    /* Free pages stay in the file: when they are most of it, a new one is cheaper than keeping them. */
    sqlite3_stmt *q = NULL;
    int64_t pages[2] = { 0 };
    static const char *const ask[2] = { "PRAGMA freelist_count", "PRAGMA page_count" };
    for (int i = 0; i < 2; i++) {
        KLUIS_TRY(kluis_db_query(ix->w.hot, &q, err, ask[i], ""));
        KLUIS_TRY(kluis_db_step(ix->w.hot, q, err));
        pages[i] = kluis_db_int(q, 0);
        kluis_db_done(q);
    }
    return pages[0] > SHRINK_PAGES && pages[0] > pages[1] / 2 ? imove_rebuild_hot(ix, false, err) : KLUIS_OK;
}

bool index_crowded(struct index *ix)
{
    (void)pthread_rwlock_rdlock(&ix->hot.lock);
    size_t n = ix->hot.n;
    (void)pthread_rwlock_unlock(&ix->hot.lock);
    return n >= (size_t)4 * INDEX_HOT_RECORDS_MAX;
}

kluis_status index_maintain(struct index *ix, bool *more, struct kluis_err *err)
{
    *more = false;
    KLUIS_TRY(index_commit(ix, err));
    if (ix->move == NULL) {
        bool none = false;
        KLUIS_TRY(plan(ix, &none, err));
        int64_t erase = 0;
        if (none) { KLUIS_TRY(istore_meta(ix->w.hot, "erase", &erase, err)); }
        if (none && erase != 0) { return imove_rebuild_hot(ix, true, err); }
        *more = !none;
        return KLUIS_OK;
    }
    *more = true;
    KLUIS_AUTO_BUF(work, 8 << 20);
    struct imove *mv = ix->move;
    kluis_status st = KLUIS_OK;
    /* One read transaction: a statement of its own for each row would open and close one each time. */
    st = kluis_db_exec(ix->w.hot, "BEGIN", err);
    for (size_t i = 0; i < STEP && mv->next < mv->n && st == KLUIS_OK; i++) { st = copy(ix, mv, &mv->list[mv->next++], &work, err); }
    struct kluis_err ignored = { 0 };
    kluis_status ended = kluis_db_exec(ix->w.hot, "COMMIT", st == KLUIS_OK ? err : &ignored);
    if (st == KLUIS_OK) { st = ended; }
    if (st == KLUIS_OK && mv->next == mv->n) {
        st = finish_outputs(ix, mv, err);
        if (st == KLUIS_OK) { return swap(ix, err); }
    }
    if (st != KLUIS_OK) { imove_free(ix); }
    return st;
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
    const struct dirent *e = NULL;
    // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is this thread's own
    while (st == KLUIS_OK && (e = readdir(d)) != NULL) {
        const char *end = strstr(e->d_name, ".db");
        uint8_t key[32];
        bool ours = end != NULL && (strncmp(e->d_name, "period-", 7) == 0 || strncmp(e->d_name, "hot-", 4) == 0);
        if (!ours || ikeys_find(ix->keys, e->d_name, (size_t)(end - e->d_name) + 3, key)) { continue; }
        char path[KLUIS_PATH_MAX];
        st = kluis_path(path, sizeof path, ix->dir, e->d_name, err);
        if (st == KLUIS_OK && kluis_io_unlink(path) != 0 && errno != ENOENT) {
            st = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot remove index file '%s'", path);
        }
    }
    (void)closedir(d);
    return st;
}
