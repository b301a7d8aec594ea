/* server/index/search.c - hits of the hot file and the closed periods, as if they were one.  See index.h.
 *
 * A period's rows are numbered in the order of their keys: FTS5 streams them newest or oldest first and the search stops when its page is full.
 * The hot file's rows are numbered as they arrived; their keys are in memory, with the newest of every block of rows and before, so that
 * a newest-first search of an archive that grows in time order stops early, and any other looks at 250,000 numbers at most.
 *
 * Relevance and an exact count must look at every hit: a second thread, with a connection and a page of its own, takes periods in turn.
 */
#include "server/index/internal.h"

#include <sqlite3.h>
#include <stdatomic.h>

enum { PAGE_BYTES = 1 << 20 }; /* of one search: the question and what is kept of records */

struct found {
    struct ikey key;
    int64_t score, file, row;
    struct kluis_db *unit;
    const struct irecord *record; /* as the row came by; NULL: to be read */
};
struct search {
    struct index *ix;
    struct iconn *c;
    const struct index_query *q;
    const char *match;
    struct found *heap; /* the worst on top */
    size_t n, cap;
    bool has_cursor, counting, several; /* counting: rows of the hot file; several: words or phrases, as far as counting has found out */
    struct found cursor;
    int64_t from, to;       /* [from, to) */
    uint64_t counted, most; /* most: counting ends there */
};

/* What is found comes with its record: in a period hits come in order, and few of them are not shown. */
#define WITH_RECORDS                                                                                                                                 \
    "SELECT f.rowid, " IRECORD_FIRST " FROM fts f CROSS JOIN rec r ON r.id=f.rowid WHERE f.fts MATCH ?1 AND f.rowid>=?2 AND f.rowid<=?3 "
static const char DESC_RECORDS[] = WITH_RECORDS "ORDER BY f.rowid DESC";
static const char ASC_RECORDS[] = WITH_RECORDS "ORDER BY f.rowid ASC";
static const char DESC[] = "SELECT rowid FROM fts WHERE fts MATCH ?1 AND rowid>=?2 AND rowid<=?3 ORDER BY rowid DESC";
static const char RANK[] = "SELECT rowid, kluis_rank(fts, ?4) FROM fts WHERE fts MATCH ?1 AND rowid>=?2 AND rowid<=?3 ORDER BY rowid DESC";
static const char COUNT[] = "SELECT count(*) FROM (SELECT 1 FROM fts WHERE fts MATCH ?1 AND rowid>=?2 AND rowid<=?3 LIMIT ?4)";

/* Below 0: a comes before b. */
static int order(enum index_order o, const struct found *a, const struct found *b)
{
    if (o == INDEX_RELEVANCE && a->score != b->score) { return a->score > b->score ? -1 : 1; }
    int k = ikey_cmp(a->key, b->key);
    return o == INDEX_OLDEST ? k : -k;
}

static bool full(const struct search *s) { return s->n == s->cap; }

static void sift(struct search *s, size_t i)
{
    for (;;) {
        size_t worst = i, l = 2 * i + 1, r = l + 1;
        if (l < s->n && order(s->q->order, &s->heap[l], &s->heap[worst]) > 0) { worst = l; }
        if (r < s->n && order(s->q->order, &s->heap[r], &s->heap[worst]) > 0) { worst = r; }
        if (worst == i) { return; }
        struct found t = s->heap[i];
        s->heap[i] = s->heap[worst];
        s->heap[worst] = t;
        i = worst;
    }
}

/* Does it belong on this page, as far as is known? */
static bool wanted(const struct search *s, const struct found *f)
{
    if (f->key.at < s->from || f->key.at >= s->to) { return false; }
    if (s->has_cursor && order(s->q->order, f, &s->cursor) <= 0) { return false; }
    return !full(s) || order(s->q->order, f, &s->heap[0]) < 0;
}

static void put(struct search *s, const struct found *f)
{
    if (full(s)) {
        s->heap[0] = *f;
        sift(s, 0);
        return;
    }
    size_t i = s->n++;
    s->heap[i] = *f;
    while (i > 0 && order(s->q->order, &s->heap[i], &s->heap[(i - 1) / 2]) > 0) {
        struct found t = s->heap[i];
        s->heap[i] = s->heap[(i - 1) / 2];
        s->heap[(i - 1) / 2] = t;
        i = (i - 1) / 2;
    }
}

/* ---- hot ---- */

/* One row of the hot file, whose lock is held.  true: nothing that follows matters. */
static bool see(struct search *s, int64_t row, int64_t score)
{
    const struct ihot *h = &s->ix->hot;
    if (row < h->base || row >= h->base + (int64_t)h->n || igone(s->c, row)) { return false; }
    const size_t i = (size_t)(row - h->base);
    const struct found f = { .key = h->keys[i], .row = row, .unit = s->c->hot, .score = score };
    if (s->counting) { return f.key.at >= s->from && f.key.at < s->to && ++s->counted >= s->most; }
    if (s->q->order == INDEX_NEWEST && full(s) && h->newest[i / IBLOCK] < s->heap[0].key.at) { return true; }
    if (wanted(s, &f)) { put(s, &f); }
    return false;
}

/* Rows of a file without SQLite handing them over, where the question allows it. */
static kluis_status scan(struct search *s, struct kluis_db *unit, const struct ieach *each, bool *done, struct kluis_err *err)
{
    static const char EACH[] = "SELECT kluis_each(fts, ?2) FROM fts WHERE fts MATCH ?1 LIMIT 1";
    sqlite3_stmt *q = NULL;
    *done = false;
    if (s->several) { return KLUIS_OK; }
    KLUIS_TRY(kluis_db_query(unit, &q, err, EACH, "s", s->match));
    KLUIS_TRY(ieach_bind(q, 2, each, err));
    kluis_status st = kluis_db_step(unit, q, err);
    *done = st == KLUIS_END || (st == KLUIS_OK && sqlite3_column_type(q, 0) != SQLITE_NULL);
    s->several = !*done;
    kluis_db_done(q);
    return st == KLUIS_END ? KLUIS_OK : st;
}

struct before {
    struct search *s;
    int64_t row;
};
static bool see_before(void *ctx, int64_t row)
{
    const struct before *b = ctx;
    return row >= b->row || see(b->s, row, 0);
}

/* Newest first ends soon where records came about in the order of time.  Where it does not, all rows must be looked at, and that is cheaper the other
 * way. */
static kluis_status hot_rows(struct search *s, bool counting, struct kluis_err *err)
{
    enum { SOON = 500 };
    struct ihot *h = &s->ix->hot;
    sqlite3_stmt *q = NULL;
    const char *sql = s->q->order == INDEX_RELEVANCE && !counting ? RANK : DESC;
    const struct inorms norms = { .first = h->base, .words = h->norms, .n = h->n }; /* of the hot file, whose lock is held */
    struct before rest = { s, INT64_MAX };
    const struct ieach each = { see_before, &rest };
    bool done = false, soon = sql == DESC && !counting && s->q->order == INDEX_NEWEST;
    s->counting = counting;
    if (sql == DESC && !soon) { KLUIS_TRY(scan(s, s->c->hot, &each, &done, err)); }
    if (done) { return KLUIS_OK; }
    KLUIS_TRY(kluis_db_query(s->c->hot, &q, err, sql, "sii", s->match, (int64_t)0, INT64_MAX));
    if (sql == RANK) { KLUIS_TRY(irank_bind(q, 4, &norms, err)); }
    kluis_status st = KLUIS_OK;
    for (int n = 1; !done && (st = kluis_db_step(s->c->hot, q, err)) == KLUIS_OK; n++) {
        rest.row = kluis_db_int(q, 0);
        done = see(s, rest.row, sql == RANK ? kluis_db_int(q, 1) : 0);
        if (!done && soon && n == SOON) { st = scan(s, s->c->hot, &each, &done, err); }
        if (st != KLUIS_OK) { break; }
    }
    kluis_db_done(q);
    return st == KLUIS_END ? KLUIS_OK : st;
}

/* ---- periods ---- */

/* The rows of a period that can be on the page, or in the count. */
static kluis_status range(const struct search *s, const struct iperiod *p, struct kluis_db *unit, bool with_cursor, int64_t *lo, int64_t *hi,
                          struct kluis_err *err)
{
    *lo = 1;
    *hi = p->rows;
    struct ikey low = { s->from, INT64_MIN }, high = { s->to, INT64_MIN };
    if (with_cursor && s->has_cursor && s->q->order == INDEX_NEWEST && ikey_cmp(s->cursor.key, high) < 0) { high = s->cursor.key; }
    if (with_cursor && s->has_cursor && s->q->order == INDEX_OLDEST && ikey_cmp(s->cursor.key, low) > 0) { low = s->cursor.key; }
    if (low.at > p->from) { KLUIS_TRY(iperiod_bound(unit, p, low, lo, err)); }
    if (high.at < p->to) {
        KLUIS_TRY(iperiod_bound(unit, p, high, hi, err));
        --*hi;
    }
    return KLUIS_OK;
}

/* norms: of the period, where the order is by relevance. */
static kluis_status rows_between(struct search *s, const struct iperiod *p, struct kluis_db *unit, int64_t lo, int64_t hi, const struct inorms *norms,
                                 struct kluis_err *err)
{
    enum index_order o = s->q->order;
    bool ranked = o == INDEX_RELEVANCE;
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(unit, &q, err, ranked ? RANK : o == INDEX_OLDEST ? ASC_RECORDS : DESC_RECORDS, "sii", s->match, lo, hi));
    if (ranked) { KLUIS_TRY(irank_bind(q, 4, norms, err)); }
    kluis_status st = KLUIS_OK;
    while ((st = kluis_db_step(unit, q, err)) == KLUIS_OK) {
        struct found f = { .file = p->file, .row = kluis_db_int(q, 0), .unit = unit, .score = ranked ? kluis_db_int(q, 1) : 0 };
        /* Worse, or as good but later in the stream than one of a period: no need to look its key up. */
        if (ranked && s->has_cursor && f.score > s->cursor.score) { continue; }
        if (ranked && full(s) && (f.score < s->heap[0].score || (f.score == s->heap[0].score && s->heap[0].file != 0))) { continue; }
        bool hidden = false;
        if (p->shadows > 0) { KLUIS_TRY(ihidden(s->c, p->file, f.row, &hidden, err)); }
        if (hidden) { continue; }
        if (ranked) {
            KLUIS_TRY(iperiod_key(unit, f.row, &f.key, err));
        } else {
            f.key = (struct ikey){ kluis_db_int(q, 1), kluis_db_int(q, 2) };
        }
        if (wanted(s, &f)) {
            if (!ranked) { KLUIS_TRY(irecord_keep(q, 1, s->c->page, &f.record, err)); }
            put(s, &f);
        }
        if (!ranked && full(s) && order(o, &f, &s->heap[0]) >= 0) { break; } /* what follows is worse */
    }
    kluis_db_done(q);
    return st == KLUIS_END ? KLUIS_OK : st;
}

static kluis_status period_rows(struct search *s, const struct iperiod *p, struct kluis_db *unit, struct kluis_err *err)
{
    int64_t lo = 0, hi = 0;
    struct inorms norms = { 0 };
    KLUIS_TRY(range(s, p, unit, true, &lo, &hi, err));
    if (lo > hi) { return KLUIS_OK; }
    if (s->q->order == INDEX_RELEVANCE) { KLUIS_TRY(inorms_take(s->ix, unit, p, &norms, err)); }
    kluis_status st = rows_between(s, p, unit, lo, hi, &norms, err);
    inorms_done(&norms);
    return st;
}

static bool outside(const struct search *s, const struct iperiod *p)
{
    if (p->from >= s->to || p->to <= s->from) { return true; }
    if (s->has_cursor && s->q->order == INDEX_NEWEST) { return p->from > s->cursor.key.at; }
    if (s->has_cursor && s->q->order == INDEX_OLDEST) { return p->to <= s->cursor.key.at; }
    return false;
}

static bool count_row(void *ctx, KLUIS_UNUSED int64_t row)
{
    struct search *s = ctx;
    return ++s->counted >= s->most;
}

/* whole: rows lo to hi are all that the file has. */
static kluis_status count_in(struct search *s, struct kluis_db *unit, int64_t lo, int64_t hi, bool whole, struct kluis_err *err)
{
    const struct ieach each = { count_row, s };
    sqlite3_stmt *q = NULL;
    bool done = false;
    if (whole) { KLUIS_TRY(scan(s, unit, &each, &done, err)); }
    if (done) { return KLUIS_OK; }
    KLUIS_TRY(kluis_db_query(unit, &q, err, COUNT, "siii", s->match, lo, hi, (int64_t)(s->most - s->counted)));
    KLUIS_TRY(kluis_db_step(unit, q, err));
    s->counted += (uint64_t)kluis_db_int(q, 0);
    kluis_db_done(q);
    return KLUIS_OK;
}

static kluis_status count_period(struct search *s, const struct iperiod *p, struct kluis_db *unit, struct kluis_err *err)
{
    int64_t lo = 0, hi = 0;
    KLUIS_TRY(range(s, p, unit, false, &lo, &hi, err));
    if (p->shadows == 0) { return count_in(s, unit, lo, hi, lo == 1 && hi == p->rows, err); }
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(unit, &q, err, DESC, "sii", s->match, lo, hi));
    kluis_status st = KLUIS_OK;
    while (s->counted < s->most && (st = kluis_db_step(unit, q, err)) == KLUIS_OK) {
        bool hidden = false;
        KLUIS_TRY(ihidden(s->c, p->file, kluis_db_int(q, 0), &hidden, err));
        s->counted += hidden ? 0 : 1;
    }
    kluis_db_done(q);
    return st == KLUIS_OK || st == KLUIS_END ? KLUIS_OK : st;
}

/* ---- two at work ---- */

typedef kluis_status visit_fn(struct search *s, const struct iperiod *p, struct kluis_db *unit, struct kluis_err *err);
struct fan {
    visit_fn *visit;
    const struct icatalog *cat; /* the first's */
    atomic_bool *taken;         /* of each period */
    struct search second;
    kluis_status rc; /* the second's */
    struct kluis_err err;
};

/* Newest first, as alone: of equal scores the first that comes is the better.  What is hidden in a period only the first's snapshot knows. */
static kluis_status share(struct fan *f, struct search *s, bool first, struct kluis_err *err)
{
    for (size_t k = f->cat->n; k-- > 0 && s->counted < s->most;) {
        const struct iperiod *p = &f->cat->list[k];
        struct kluis_db *unit = NULL;
        if (outside(s, p) || (!first && p->shadows > 0) || atomic_exchange(&f->taken[k], true)) { continue; }
        KLUIS_TRY(istore_period(s->ix, s->c, p, &unit, err));
        KLUIS_TRY(f->visit(s, p, unit, err));
    }
    return KLUIS_OK;
}

static void *help(void *arg)
{
    struct fan *f = arg;
    f->rc = share(f, &f->second, false, &f->err);
    return NULL;
}

/* What the second found, in the first's hands: its connection goes back. */
static kluis_status merge(struct search *s, struct fan *f, struct kluis_err *err)
{
    s->counted += f->second.counted;
    for (size_t i = 0; i < f->second.n; i++) {
        struct found *found = &f->second.heap[i];
        for (size_t k = 0; k < f->cat->n; k++) {
            if (f->cat->list[k].file == found->file) { KLUIS_TRY(istore_period(s->ix, s->c, &f->cat->list[k], &found->unit, err)); }
        }
        if (wanted(s, found)) { put(s, found); }
    }
    return KLUIS_OK;
}

/* Every period that may have to do with it; shared: by two, where that can be. */
static kluis_status all_periods(struct search *s, visit_fn *visit, bool shared, struct kluis_err *err)
{
    struct fan f = { .visit = visit, .cat = &s->c->catalog, .second = *s };
    size_t n = f.cat->n;
    pthread_t thread;
    f.taken = kluis_arena_alloc(s->c->page, (n + 1) * sizeof *f.taken);
    f.second.heap = kluis_arena_alloc(s->c->page, s->cap * sizeof *s->heap);
    if (f.taken == NULL || f.second.heap == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    for (size_t k = 0; k < n; k++) { atomic_init(&f.taken[k], false); }
    f.second.n = 0;
    f.second.counted = 0;
    f.second.c = shared && n > 1 ? istore_second(s->ix) : NULL;
    bool two = f.second.c != NULL && pthread_create(&thread, NULL, help, &f) == 0;
    kluis_status st = share(&f, s, true, err);
    if (two) { (void)pthread_join(thread, NULL); }
    if (st == KLUIS_OK && two && f.rc != KLUIS_OK) {
        *err = f.err;
        st = f.rc;
    }
    if (st == KLUIS_OK && two) { st = merge(s, &f, err); }
    if (f.second.c != NULL) { istore_return(s->ix, f.second.c); }
    return st;
}

/* ---- all of it ---- */

static kluis_status gather(struct search *s, struct kluis_err *err)
{
    struct icatalog *cat = &s->c->catalog;
    (void)pthread_rwlock_rdlock(&s->ix->hot.lock);
    kluis_status st = hot_rows(s, false, err);
    (void)pthread_rwlock_unlock(&s->ix->hot.lock);
    KLUIS_TRY(st);
    if (s->q->order == INDEX_RELEVANCE) { return all_periods(s, period_rows, true, err); }
    for (size_t k = 0; k < cat->n; k++) {
        const struct iperiod *p = &cat->list[s->q->order == INDEX_OLDEST ? k : cat->n - 1 - k];
        if (outside(s, p)) { continue; }
        if (full(s) && s->q->order == INDEX_NEWEST && s->heap[0].key.at >= p->to) { break; }
        if (full(s) && s->q->order == INDEX_OLDEST && s->heap[0].key.at < p->from) { break; }
        struct kluis_db *unit = NULL;
        KLUIS_TRY(istore_period(s->ix, s->c, p, &unit, err));
        KLUIS_TRY(period_rows(s, p, unit, err));
    }
    return KLUIS_OK;
}

/* How many there are, wherever a page begins. */
static kluis_status count_all(const struct search *question, struct index_result *out, struct kluis_err *err)
{
    struct search s = *question;
    bool open = s.from == INT64_MIN && s.to == INT64_MAX && s.c->gone.n == 0;
    s.has_cursor = false;
    s.n = 0; /* nothing is put on a page */
    s.counted = 0;
    s.most = s.q->count == INDEX_COUNT_EXACT ? INT64_MAX : INDEX_COUNT_CAP;
    if (open) {
        KLUIS_TRY(count_in(&s, s.c->hot, 0, INT64_MAX, true, err));
    } else {
        (void)pthread_rwlock_rdlock(&s.ix->hot.lock);
        kluis_status st = hot_rows(&s, true, err);
        (void)pthread_rwlock_unlock(&s.ix->hot.lock);
        KLUIS_TRY(st);
    }
    KLUIS_TRY(all_periods(&s, count_period, s.q->count == INDEX_COUNT_EXACT, err));
    out->counted = true;
    out->capped = s.counted >= s.most;
    out->count = s.counted;
    return KLUIS_OK;
}

/* ---- the question ---- */

/* meta : ("x1" OR "x2"), or *none when nothing is there to match. */
static kluis_status tokens(struct iconn *c, struct kluis_buf *b, char letter, const char *sql, struct kluis_str a, struct kluis_str k, bool *none,
                           struct kluis_err *err)
{
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(c->hot, &q, err, sql, "tt", a, k));
    size_t n = 0;
    kluis_status st = KLUIS_OK;
    while (n < 200 && (st = kluis_db_step(c->hot, q, err)) == KLUIS_OK) {
        kluis_buf_fmt(b, "%s\"%c%lld\"", n == 0 ? "(meta : (" : " OR ", letter, (long long)kluis_db_int(q, 0));
        n++;
    }
    kluis_db_done(q);
    if (n == 200) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "more than 199 conversations of one id: name the platform as well"); }
    if (st != KLUIS_END) { return st; }
    kluis_buf_cstr(b, n == 0 ? "" : "))");
    *none = n == 0;
    return KLUIS_OK;
}

static kluis_status question(struct search *s, struct kluis_arena *arena, struct kluis_buf *out, struct iquery *parsed, bool *none,
                             struct kluis_err *err)
{
    static const char BY_CONVERSATION[] =
        "SELECT DISTINCT conv FROM alias WHERE id=?1 AND (?2 IS NULL OR platform=(SELECT no FROM platform WHERE name=?2))";
    static const char BY_OFFICIAL[] = "SELECT no FROM official WHERE name=?1 OR name=?2";
    static const char BY_PLATFORM[] = "SELECT no FROM platform WHERE name=?1 OR name=?2";
    static const char ALL_PLATFORMS[] = "SELECT no FROM platform WHERE ?1 IS NULL OR ?2 IS NULL";
    const struct index_query *q = s->q;
    const struct kluis_str absent = { NULL, 0 };
    KLUIS_AUTO_BUF(everything, 1 << 16);
    KLUIS_AUTO_BUF(filter, 1 << 16);
    KLUIS_TRY(tokens(s->c, &everything, 'p', ALL_PLATFORMS, absent, absent, none, err));
    if (*none) {
        /* Nothing to find, but a query that cannot be understood is still refused. */
        kluis_buf_cstr(&everything, "\"x\"");
    }
    kluis_buf_byte(&everything, 0);
    KLUIS_TRY(kluis_buf_ok(&everything, err));
    KLUIS_TRY(iquery_parse(q->text, (const char *)everything.data, arena, out, parsed, err));
    const struct {
        struct kluis_str value, second;
        char letter;
        const char *sql;
    } by[] = { { q->conversation, q->platform, 'c', BY_CONVERSATION },
               { q->official, absent, 'o', BY_OFFICIAL },
               { q->platform, absent, 'p', BY_PLATFORM } };
    for (size_t i = 0; i < 3 && !*none; i++) {
        if (by[i].value.ptr == NULL) { continue; }
        if (filter.len > 0) { kluis_buf_cstr(&filter, " AND "); }
        KLUIS_TRY(tokens(s->c, &filter, by[i].letter, by[i].sql, by[i].value, by[i].second, none, err));
    }
    KLUIS_TRY(kluis_buf_ok(&filter, err));
    if (filter.len > 0 && !*none) {
        bool all = out->len + 1 == everything.len && memcmp(out->data, everything.data, out->len) == 0;
        if (all) {
            kluis_buf_clear(out);
        } else {
            kluis_buf_cstr(out, " AND ");
        }
        kluis_buf_add(out, filter.data, filter.len);
    }
    kluis_buf_byte(out, 0);
    return kluis_buf_ok(out, err);
}

static bool read_hex(const char *p, int64_t *out)
{
    uint64_t v = 0;
    for (int i = 0; i < 16; i++) {
        char c = p[i];
        bool digit = c >= '0' && c <= '9', letter = c >= 'a' && c <= 'f';
        if (!digit && !letter) { return false; }
        v = v << 4 | (uint64_t)(digit ? c - '0' : c - 'a' + 10);
    }
    *out = (int64_t)v;
    return true;
}

static kluis_status check(struct search *s, struct kluis_err *err)
{
    const struct index_query *q = s->q;
    if (q->limit < 1 || q->limit > INDEX_PAGE_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "a page of %u; it must be 1 to %d", q->limit, INDEX_PAGE_MAX);
    }
    if (q->order != INDEX_NEWEST && q->order != INDEX_OLDEST && q->order != INDEX_RELEVANCE) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "an unknown order");
    }
    s->from = q->from_us == KLUIS_TIME_ABSENT ? INT64_MIN : q->from_us;
    s->to = q->to_us == KLUIS_TIME_ABSENT ? INT64_MAX : q->to_us;
    if (q->cursor.ptr == NULL || q->cursor.len == 0) { return KLUIS_OK; }
    if (q->cursor.len != 49 || q->cursor.ptr[0] != "nor"[q->order] || !read_hex(q->cursor.ptr + 1, &s->cursor.score) ||
        !read_hex(q->cursor.ptr + 17, &s->cursor.key.at) || !read_hex(q->cursor.ptr + 33, &s->cursor.key.tie)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "a cursor that no page of this order gave");
    }
    s->has_cursor = true;
    return KLUIS_OK;
}

static kluis_status show(struct search *s, const struct iquery *parsed, const struct index_sink *sink, struct index_result *out,
                         struct kluis_err *err)
{
    /* Heap to list, best first. */
    size_t total = s->n;
    while (s->n > 1) {
        struct found t = s->heap[0];
        s->heap[0] = s->heap[--s->n];
        s->heap[s->n] = t;
        sift(s, 0);
    }
    size_t n = total > s->q->limit ? s->q->limit : total;
    for (size_t i = 0; i < n; i++) {
        const struct found *f = &s->heap[i];
        KLUIS_TRY(ihit_emit(s->ix, s->c, f->unit, f->row, f->record, parsed, sink, err));
    }
    if (total > n && n > 0) {
        const struct found *f = &s->heap[n - 1];
        (void)snprintf(out->next, sizeof out->next, "%c%016llx%016llx%016llx", "nor"[s->q->order], (unsigned long long)f -> score,
                       (unsigned long long)f -> key.at, (unsigned long long)f->key.tie);
    }
    return KLUIS_OK;
}

static kluis_status search(struct search *s, const struct index_sink *sink, struct index_result *out, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(match, 1 << 18);
    if (s->c->page == NULL && (s->c->page = kluis_arena_new(PAGE_BYTES)) == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    struct kluis_arena *arena = s->c->page;
    kluis_arena_clear(arena);
    struct iquery *parsed = kluis_arena_alloc(arena, sizeof *parsed);
    s->cap = s->q->limit + 1;
    s->heap = kluis_arena_alloc(arena, s->cap * sizeof *s->heap);
    if (parsed == NULL || s->heap == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    KLUIS_TRY(kluis_db_run(s->c->hot, NULL, err, "BEGIN", "")); /* one snapshot for everything below */
    KLUIS_TRY(istore_catalog(s->c, err));
    bool none = false;
    KLUIS_TRY(question(s, arena, &match, parsed, &none, err));
    if (none) {
        out->counted = s->q->count != INDEX_COUNT_NONE;
        return KLUIS_OK;
    }
    s->match = (const char *)match.data;
    KLUIS_TRY(gather(s, err));
    if (s->q->count != INDEX_COUNT_NONE) { KLUIS_TRY(count_all(s, out, err)); }
    return show(s, parsed, sink, out, err);
}

kluis_status index_search(struct index *ix, const struct index_query *q, const struct index_sink *sink, struct index_result *out,
                          struct kluis_err *err)
{
    *out = (struct index_result){ 0 };
    struct search s = { .ix = ix, .q = q, .most = UINT64_MAX };
    KLUIS_TRY(check(&s, err));
    (void)pthread_rwlock_rdlock(&ix->life);
    kluis_status rc = istore_reader(ix, &s.c, err);
    if (rc == KLUIS_OK) {
        rc = search(&s, sink, out, err);
        istore_return(ix, s.c);
    }
    (void)pthread_rwlock_unlock(&ix->life);
    return rc;
}
