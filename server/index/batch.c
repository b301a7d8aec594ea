/* server/index/batch.c - the open transaction of the hot file, and what FTS5 has of its rows.  See index.h and internal.h. */
#include "server/index/internal.h"

#include <sqlite3.h>

static const char DAMAGED[] = "a record of the index is damaged: delete the index and rebuild it";

static kluis_status mixed_links(struct index *ix, struct kluis_err *err)
{
    sqlite3_stmt *q = NULL;
    imap_clear(&ix->b.mixed);
    KLUIS_TRY(kluis_db_query(ix->w.hot, &q, err, "SELECT no FROM link WHERE kinds=3", ""));
    kluis_status st = KLUIS_OK;
    while ((st = kluis_db_step(ix->w.hot, q, err)) == KLUIS_OK) { KLUIS_TRY(imap_put(&ix->b.mixed, kluis_db_int(q, 0), 0, err)); }
    return st == KLUIS_END ? KLUIS_OK : st;
}

kluis_status ibatch_begin(struct index *ix, struct kluis_err *err)
{
    struct ibatch *b = &ix->b;
    if (b->open) { return KLUIS_OK; }
    KLUIS_TRY(kluis_db_begin(ix->w.hot, err));
    b->open = true;
    kluis_status st = istore_meta(ix->w.hot, "next_row", &b->next_row, err);
    if (st == KLUIS_OK) { st = istore_meta(ix->w.hot, "watermark", &b->sequence, err); }
    if (st == KLUIS_OK) { st = istore_meta(ix->w.hot, "sightings", &b->sightings, err); }
    if (st == KLUIS_OK) { st = istore_meta(ix->w.hot, "groups", &b->groups, err); }
    if (st == KLUIS_OK) { st = istore_meta(ix->w.hot, "conflicts", &b->conflicts, err); }
    if (st == KLUIS_OK) { st = istore_catalog(&ix->w, err); }
    if (st == KLUIS_OK) { st = mixed_links(ix, err); }
    b->first = b->next_row;
    if (st != KLUIS_OK) { ibatch_rollback(ix); }
    return st;
}

static void clear(struct ibatch *b)
{
    for (size_t i = 0; i < b->n_dirty; i++) { kluis_free(b->dirty[i].meta); }
    b->n = b->n_dirty = 0;
    imap_clear(&b->dirty_at);
    kluis_buf_clear(&b->text);
}

static void forget_near(struct ibatch *b)
{
    b->n_near = 0;
    b->nearing = false;
    imap_clear(&b->near_done);
    imap_clear(&b->pulled);
}

void ibatch_rollback(struct index *ix)
{
    kluis_db_rollback(ix->w.hot);
    ix->b.open = false;
    clear(&ix->b);
    forget_near(&ix->b);
    ix->w.catalog.version = -1;
    int64_t next = 0;
    struct kluis_err ignored = { 0 };
    if (istore_meta(ix->w.hot, "next_row", &next, &ignored) == KLUIS_OK) {
        ihot_cut(&ix->hot, next);
    } /* else: too many keys, which nobody asks for */
}

kluis_status ibatch_pend(struct index *ix, const struct ipending *p, struct kluis_str text, struct kluis_str side, struct ikey key,
                         struct kluis_err *err)
{
    struct ibatch *b = &ix->b;
    if (b->n == b->cap) {
        size_t cap = b->cap == 0 ? 1024 : b->cap * 2;
        struct ipending *grown = kluis_realloc(b->pending, cap * sizeof *grown);
        if (grown == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
        b->pending = grown;
        b->cap = cap;
    }
    struct ipending *n = &b->pending[b->n++];
    *n = *p;
    n->key = key;
    n->text = b->text.len;
    n->text_len = text.len;
    kluis_buf_str(&b->text, text);
    n->side = b->text.len;
    n->side_len = side.len;
    kluis_buf_str(&b->text, side);
    return kluis_buf_ok(&b->text, err);
}

struct ipending *ipending_of(struct index *ix, int64_t row)
{
    if (row < ix->b.first) { return NULL; }
    size_t lo = 0, hi = ix->b.n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (ix->b.pending[mid].row < row) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < ix->b.n && ix->b.pending[lo].row == row ? &ix->b.pending[lo] : NULL;
}

struct idirty *idirty_of(struct ibatch *b, int64_t row)
{
    size_t i = 0;
    return imap_get(&b->dirty_at, row, &i) ? &b->dirty[i] : NULL;
}

kluis_status idirty_add(struct ibatch *b, const struct idirty *d, struct kluis_err *err)
{
    if (b->n_dirty == b->cap_dirty) {
        size_t cap = b->cap_dirty == 0 ? 256 : b->cap_dirty * 2;
        struct idirty *grown = kluis_realloc(b->dirty, cap * sizeof *grown);
        if (grown == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
        b->dirty = grown;
        b->cap_dirty = cap;
    }
    KLUIS_TRY(imap_put(&b->dirty_at, d->row, b->n_dirty, err));
    b->dirty[b->n_dirty++] = *d;
    return KLUIS_OK;
}

static int by_row(const void *a, const void *b)
{
    const struct idirty *x = a, *y = b;
    return x->row < y->row ? -1 : x->row > y->row;
}

static int by_number(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* By hand: some for every record. */
static void token(struct kluis_buf *out, char letter, int64_t no)
{
    char digits[24], *p = digits + sizeof digits;
    uint64_t left = (uint64_t)no; /* row numbers, none below 1 */
    do {
        *--p = (char)('0' + left % 10);
    } while ((left /= 10) > 0);
    *--p = letter;
    if (out->len > 0) { *--p = ' '; }
    kluis_buf_add(out, p, (size_t)(digits + sizeof digits - p));
}

void imeta_alone(struct kluis_buf *out, int64_t conv, int64_t official, int64_t platform)
{
    token(out, 'c', conv);
    token(out, 'o', official);
    token(out, 'p', platform);
}

enum { MEMBERS = 256 }; /* further sightings of one message are found by what the first ones have */
struct places {
    int64_t no[3][MEMBERS], pkg[MEMBERS]; /* conversation, official, platform */
    size_t n;
};

static kluis_status places_of(struct iconn *c, struct kluis_db *unit, const char *sql, int64_t leader, struct places *at, struct kluis_err *err)
{
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(unit, &q, err, sql, "i", leader));
    kluis_status st = KLUIS_OK;
    while (at->n < MEMBERS && (st = kluis_db_step(unit, q, err)) == KLUIS_OK) {
        const int64_t pkg = kluis_db_int(q, 0);
        const struct ipackage *p = NULL;
        size_t k = 0;
        while (k < at->n && at->pkg[k] != pkg) { k++; }
        if (k < at->n) { continue; }
        st = ipackage_of(c, pkg, &p, err);
        if (st != KLUIS_OK) { break; }
        at->pkg[at->n] = pkg;
        at->no[0][at->n] = p->conv;
        at->no[1][at->n] = p->official_no;
        at->no[2][at->n++] = p->platform_no;
    }
    kluis_db_done(q);
    return st == KLUIS_END ? KLUIS_OK : st;
}

kluis_status imeta_of(struct iconn *c, struct kluis_db *unit, int64_t leader, struct kluis_buf *out, struct kluis_err *err)
{
    struct places at;
    int64_t(*no)[MEMBERS] = at.no;
    at.n = 0;
    /* Two statements: asked for both at once, SQLite sorts. */
    KLUIS_TRY(places_of(c, unit, "SELECT pkg FROM rec WHERE id=?1", leader, &at, err));
    KLUIS_TRY(places_of(c, unit, "SELECT pkg FROM rec WHERE lead=?1", leader, &at, err));
    const size_t n = at.n;
    for (int i = 0; i < 3; i++) {
        if (n > 1) { qsort(no[i], n, sizeof no[i][0], by_number); }
        for (size_t k = 0; k < n; k++) {
            if (k == 0 || no[i][k] != no[i][k - 1]) { token(out, "cop"[i], no[i][k]); }
        }
    }
    return kluis_buf_ok(out, err);
}

static const char INSERT_FTS[] = "INSERT INTO fts(rowid, text, side, meta) VALUES(?1, ?2, ?3, ?4)";
static const char DELETE_FTS[] = "INSERT INTO fts(fts, rowid, text, side, meta) VALUES('delete', ?1, ?2, ?3, ?4)";

/* The words of `now` that `was` lacks, each string one of imeta_of's.  false: `was` has some that `now` lacks. */
static bool added(struct kluis_str was, struct kluis_str now, struct kluis_buf *out)
{
    size_t i = 0, k = 0;
    while (k < now.len) {
        const char *end = memchr(now.ptr + k, ' ', now.len - k);
        const size_t n = end == NULL ? now.len - k : (size_t)(end - now.ptr) - k;
        const bool had = was.len - i >= n && memcmp(was.ptr + i, now.ptr + k, n) == 0 && (was.len - i == n || was.ptr[i + n] == ' ');
        if (had) {
            i += was.len - i == n ? n : n + 1;
        } else {
            if (out->len > 0) { kluis_buf_byte(out, ' '); }
            kluis_buf_add(out, now.ptr + k, n);
        }
        k += n + 1;
    }
    return i == was.len;
}

/* An old row whose group changed: its entry goes, comes, or gets other tokens.  A group that grew only gets the tokens it had not: FTS5 without
 * content takes a row's words in parts, and takes them out all together (ifts_remove), a tenth of the work of entering the text anew. */
static kluis_status refresh(struct index *ix, const struct idirty *d, struct kluis_err *err)
{
    struct kluis_db *db = ix->w.hot;
    KLUIS_AUTO_BUF(meta, 1 << 16);
    KLUIS_AUTO_BUF(side, 8 << 20);
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(db, &q, err, "SELECT lead, text, extra FROM rec WHERE id=?1", "i", d->row));
    kluis_status st = kluis_db_step(db, q, err);
    if (st == KLUIS_END) { return KLUIS_OK; } /* erased, its entry with it */
    KLUIS_TRY(st);
    bool leader = sqlite3_column_type(q, 0) == SQLITE_NULL;
    struct kluis_str text = kluis_db_text(q, 1), extra[IEXTRAS];
    if (!iextra_read(kluis_db_blob(q, 2), extra)) {
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a record of the index is damaged: delete it and rebuild");
    }
    iside_write(&side, extra);
    if (leader) { KLUIS_TRY(imeta_of(&ix->w, db, d->row, &meta, err)); }
    KLUIS_TRY(kluis_buf_ok(&side, err));
    const struct kluis_str s = { (const char *)side.data, side.len }, m = { (const char *)meta.data, meta.len };
    const bool stays = d->had && leader && d->meta != NULL;
    if (stays && kluis_str_is(m, d->meta)) {
        kluis_db_done(q);
        return KLUIS_OK;
    }
    KLUIS_AUTO_BUF(more, 1 << 16);
    if (stays && added(kluis_str_of(d->meta), m, &more)) {
        kluis_db_done(q);
        KLUIS_TRY(kluis_buf_ok(&more, err));
        const struct kluis_str none = { NULL, 0 };
        return kluis_db_run(db, NULL, err, INSERT_FTS, "ittt", d->row, none, none, (struct kluis_str){ (const char *)more.data, more.len });
    }
    if (d->had) { KLUIS_TRY(kluis_db_run(db, NULL, err, DELETE_FTS, "itts", d->row, text, s, d->meta)); }
    if (leader) { KLUIS_TRY(kluis_db_run(db, NULL, err, INSERT_FTS, "ittt", d->row, text, s, m)); }
    kluis_db_done(q);
    return KLUIS_OK;
}

/* Ascending rows only: FTS5 writes out its memory whenever a row goes back. */
kluis_status ibatch_fts(struct index *ix, struct kluis_err *err)
{
    struct ibatch *b = &ix->b;
    if (b->n_dirty > 0) { qsort(b->dirty, b->n_dirty, sizeof *b->dirty, by_row); }
    for (size_t i = 0; i < b->n_dirty; i++) { KLUIS_TRY(refresh(ix, &b->dirty[i], err)); }
    KLUIS_AUTO_BUF(meta, 1 << 16);
    for (size_t i = 0; i < b->n; i++) {
        const struct ipending *p = &b->pending[i];
        if (!p->leader) { continue; }
        kluis_buf_clear(&meta);
        if (p->several) {
            KLUIS_TRY(imeta_of(&ix->w, ix->w.hot, p->row, &meta, err));
        } else {
            imeta_alone(&meta, p->conv, p->official, p->platform);
        }
        KLUIS_TRY(kluis_buf_ok(&meta, err));
        const char *base = (const char *)b->text.data;
        const struct kluis_str text = { p->text_len == 0 ? "" : base + p->text, p->text_len },
                               side = { p->side_len == 0 ? NULL : base + p->side, p->side_len };
        KLUIS_TRY(
            kluis_db_run(ix->w.hot, NULL, err, INSERT_FTS, "ittt", p->row, text, side, (struct kluis_str){ (const char *)meta.data, meta.len }));
    }
    /* In memory before the commit, so that no reader can see a row whose key is not there. */
    struct ikey *keys = kluis_calloc(b->n + 1, sizeof *keys);
    uint8_t *norms = kluis_calloc(b->n + 1, 1);
    kluis_status st = keys == NULL || norms == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory") : KLUIS_OK;
    for (size_t i = 0; i < b->n && st == KLUIS_OK; i++) {
        keys[i] = b->pending[i].key;
        norms[i] = b->pending[i].norm;
    }
    if (b->n > 0 && st == KLUIS_OK) { st = ihot_append(&ix->hot, keys, norms, b->n, b->first, err); }
    kluis_free(keys);
    kluis_free(norms);
    KLUIS_TRY(st);
    clear(b);
    b->first = b->next_row;
    return KLUIS_OK;
}

/* ---- FTS5 of the hot file ---- */

kluis_status ifts_refill(struct iconn *c, struct kluis_err *err)
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
        if (!iextra_read(kluis_db_blob(q, 2), extra)) { return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "%s", DAMAGED); }
        iside_write(&side, extra);
        KLUIS_TRY(kluis_buf_ok(&side, err));
        KLUIS_TRY(imeta_of(c, hot, kluis_db_int(q, 0), &meta, err));
        KLUIS_TRY(kluis_db_run(hot, NULL, err, INSERT_FTS, "ittt", kluis_db_int(q, 0), kluis_db_text(q, 1),
                               (struct kluis_str){ side.len == 0 ? NULL : (const char *)side.data, side.len },
                               (struct kluis_str){ (const char *)meta.data, meta.len }));
    }
    return st == KLUIS_END ? KLUIS_OK : st;
}

kluis_status ifts_remove(struct iconn *c, int64_t row, const char *meta, struct kluis_err *err)
{
    struct kluis_db *hot = c->hot;
    sqlite3_stmt *q = NULL;
    KLUIS_AUTO_BUF(side, 8 << 20);
    KLUIS_AUTO_BUF(now, 1 << 16);
    KLUIS_TRY(kluis_db_query(hot, &q, err, "SELECT text, extra FROM rec WHERE id=?1", "i", row));
    KLUIS_TRY(kluis_db_step(hot, q, err));
    struct kluis_str extra[IEXTRAS];
    if (!iextra_read(kluis_db_blob(q, 1), extra)) { return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "%s", DAMAGED); }
    iside_write(&side, extra);
    KLUIS_TRY(kluis_buf_ok(&side, err));
    if (meta == NULL) { KLUIS_TRY(imeta_of(c, hot, row, &now, err)); }
    struct kluis_str m = meta == NULL ? (struct kluis_str){ (const char *)now.data, now.len } : kluis_str_of(meta);
    KLUIS_TRY(kluis_db_run(hot, NULL, err, "INSERT INTO fts(fts, rowid, text, side, meta) VALUES('delete', ?1, ?2, ?3, ?4)", "ittt", row,
                           kluis_db_text(q, 0), (struct kluis_str){ side.len == 0 ? NULL : (const char *)side.data, side.len }, m));
    kluis_db_done(q);
    return KLUIS_OK;
}

/* ---- the end of it ---- */

kluis_status index_commit(struct index *ix, struct kluis_err *err)
{
    struct ibatch *b = &ix->b;
    if (!b->open) { return KLUIS_OK; }
    struct kluis_db *db = ix->w.hot;
    kluis_status st = ibatch_fts(ix, err);
    if (st == KLUIS_OK) { st = istore_set(db, "watermark", b->sequence, err); }
    if (st == KLUIS_OK) { st = istore_set(db, "next_row", b->next_row, err); }
    if (st == KLUIS_OK) { st = istore_set(db, "sightings", b->sightings, err); }
    if (st == KLUIS_OK) { st = istore_set(db, "groups", b->groups, err); }
    if (st == KLUIS_OK) { st = istore_set(db, "conflicts", b->conflicts, err); }
    if (st == KLUIS_OK) { st = kluis_db_commit(db, "index.commit", err); }
    if (st != KLUIS_OK) {
        ibatch_rollback(ix);
        return st;
    }
    b->open = false;
    (void)pthread_mutex_lock(&ix->lock);
    ix->watermark = b->sequence;
    (void)pthread_mutex_unlock(&ix->lock);
    return KLUIS_OK;
}
