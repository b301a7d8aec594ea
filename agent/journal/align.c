/* agent/journal/align.c - windowed one-to-one alignment of fingerprints.  See align.h. */
#include "agent/journal/align_pool.h"

#include "kluis/record.h"

enum {
    QUARTER = 900,
    SHIFT_MAX = 26 * 3600,
    SHIFTS = 2 * (SHIFT_MAX / QUARTER) + 1,
    CACHE = 4,         /* decoded chunks kept                                             */
    NAMES = 1 << 14,   /* pairs (new author, old author) voted on; a power of two         */
    COMMON = 8,        /* an entry with more equals than this says nothing about a shift  */
    TALKATIVE = 64,    /* an entry that so many may have written says nothing about a name */
    WINDOW_LEAST = 64, /* windows are not cut smaller                                     */
    SHIFT_RUN = 6,
    SHIFT_VOTES = 3,
    NAME_VOTES = 2,
    /* the last byte on the wire */
    HAS_ID = 1,
    KIND_SHIFT = 1,
    KIND_MASK = 15,
    OWN = 32,
    KNOWN = 64,
    EDITED = 128
};

struct vote {
    uint32_t from, to, votes, chances;
};
struct chunk {
    struct align_entry *e;
    size_t span;
    uint64_t used;
};

struct aligner {
    struct align_store store;
    int precision;
    bool may_shift;
    uint8_t **consumed;   /* a bit an entry, per span; made when first needed */
    uint32_t *n_consumed; /* per span */
    struct chunk cache[CACHE];
    uint64_t clock;
    int64_t last_shift;
    bool shifted;
    struct align_pool *pool;
    uint32_t *order; /* the window's entries by time */
    struct vote *votes;
    size_t n_votes;
    uint64_t steps;
};

static void put64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++) { p[i] = (uint8_t)(v >> (56 - 8 * i)); }
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) { v = v << 8 | p[i]; }
    return v;
}

void align_put(uint8_t out[ALIGN_ENTRY_WIRE], const struct align_entry *e)
{
    put64(out, (uint64_t)e->t);
    put64(out + 8, e->fp);
    uint8_t flags =
        (uint8_t)((e->has_id ? HAS_ID : 0) | e->kind << KIND_SHIFT | (e->own ? OWN : 0) | (e->known ? KNOWN : 0) | (e->edited ? EDITED : 0));
    put64(out + 16, (uint64_t)e->tag << 32 | (uint64_t)e->hint << 16 | (uint64_t)e->level << 8 | flags);
}

void align_get(const uint8_t in[ALIGN_ENTRY_WIRE], struct align_entry *e)
{
    uint64_t x = get64(in + 16);
    *e = (struct align_entry){ .t = (int64_t)get64(in),
                               .fp = get64(in + 8),
                               .tag = (uint32_t)(x >> 32),
                               .hint = (uint16_t)(x >> 16),
                               .level = (uint8_t)(x >> 8),
                               .has_id = (x & HAS_ID) != 0,
                               .kind = (uint8_t)(x >> KIND_SHIFT & KIND_MASK),
                               .own = (x & OWN) != 0,
                               .edited = (x & EDITED) != 0,
                               .known = (x & KNOWN) != 0 };
}

void align_free(struct aligner *a)
{
    if (a == NULL) { return; }
    for (size_t i = 0; a->consumed != NULL && i < a->store.n_spans; i++) { kluis_free(a->consumed[i]); }
    for (size_t i = 0; i < CACHE; i++) { kluis_free(a->cache[i].e); }
    kluis_free(a->consumed);
    kluis_free(a->n_consumed);
    align_pool_free(a->pool);
    kluis_free(a->order);
    kluis_free(a->votes);
    kluis_free(a);
}

kluis_status align_new(struct aligner **out, const struct align_store *store, int precision, bool may_shift, struct kluis_err *err)
{
    *out = NULL;
    struct aligner *a = kluis_calloc(1, sizeof *a);
    if (a == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    a->store = *store;
    a->precision = precision;
    a->may_shift = may_shift;
    a->consumed = kluis_calloc(store->n_spans + 1, sizeof *a->consumed);
    a->n_consumed = kluis_calloc(store->n_spans + 1, sizeof *a->n_consumed);
    a->pool = align_pool_new(&a->steps);
    a->order = kluis_calloc(ALIGN_WINDOW, sizeof *a->order);
    if (a->consumed == NULL || a->n_consumed == NULL || a->pool == NULL || a->order == NULL) {
        align_free(a);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory to compare with earlier readings");
    }
    *out = a;
    return KLUIS_OK;
}

/* ---- stored entries ---- */

static kluis_status load(struct aligner *a, size_t span, struct align_entry **out, struct kluis_err *err)
{
    struct chunk *oldest = &a->cache[0];
    for (size_t i = 0; i < CACHE; i++) {
        struct chunk *c = &a->cache[i];
        if (c->e != NULL && c->span == span) {
            c->used = ++a->clock;
            *out = c->e;
            return KLUIS_OK;
        }
        if (c->used < oldest->used) { oldest = c; }
    }
    const struct align_span *s = &a->store.spans[span];
    if (s->n > ALIGN_CHUNK_MAX) { return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a chunk of the journal is larger than it can be"); }
    if (oldest->e == NULL) {
        oldest->e = kluis_calloc(ALIGN_CHUNK_MAX, sizeof *oldest->e);
        if (oldest->e == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory to read the journal"); }
    }
    oldest->used = 0;
    oldest->span = SIZE_MAX; /* not valid until filled */
    KLUIS_TRY(a->store.load(a->store.ctx, s->id, s->n, oldest->e, err));
    oldest->span = span;
    oldest->used = ++a->clock;
    *out = oldest->e;
    return KLUIS_OK;
}

static bool is_consumed(const struct aligner *a, size_t span, uint32_t at)
{
    return a->consumed[span] != NULL && (a->consumed[span][at >> 3] >> (at & 7) & 1) != 0;
}

static kluis_status consume(struct aligner *a, struct candidate *c, struct kluis_err *err)
{
    if (a->consumed[c->span] == NULL) {
        a->consumed[c->span] = kluis_calloc(a->store.spans[c->span].n / 8 + 1, 1);
        if (a->consumed[c->span] == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory to compare with earlier readings"); }
    }
    a->consumed[c->span][c->at >> 3] = (uint8_t)(a->consumed[c->span][c->at >> 3] | 1u << (c->at & 7));
    a->n_consumed[c->span]++;
    c->taken = true;
    return KLUIS_OK;
}

/* A minute covers its seconds. */
int32_t align_tolerance(int a, int b)
{
    if (a == b || (a != KLUIS_PRECISION_MINUTE && b != KLUIS_PRECISION_MINUTE)) { return 1; }
    return 60;
}

/* Collects the stored entries that could match the window; those taken already only for learning names. */
static kluis_status gather(struct aligner *a, const struct align_entry *e, size_t n, int64_t slack, bool learning, struct kluis_err *err)
{
    int64_t lo = INT64_MAX, hi = INT64_MIN;
    struct align_pool *p = a->pool;
    align_pool_begin(p, learning);
    for (size_t i = 0; i < n; i++) {
        align_pool_want(p, &e[i], e[i].has_id ? e[i].tag : align_author(a, e[i].tag));
        if (e[i].t < lo) { lo = e[i].t; }
        if (e[i].t > hi) { hi = e[i].t; }
    }
    /* A seconds reading against a minutes chunk may differ by a whole minute. */
    int64_t from = lo - slack - 60, to = hi + slack + 60;
    for (size_t k = a->store.n_spans; k-- > 0 && !align_pool_full(p);) {
        const struct align_span *span = &a->store.spans[k];
        if (span->last < from || span->first > to || (!learning && a->n_consumed[k] == span->n)) { continue; }
        struct align_entry *o = NULL;
        KLUIS_TRY(load(a, k, &o, err));
        int32_t may_differ = align_tolerance(span->precision, a->precision);
        for (uint32_t i = span->n; i-- > 0 && !align_pool_full(p);) {
            a->steps++;
            if (o[i].t < from || o[i].t > to || o[i].own || (!learning && is_consumed(a, k, i))) { continue; }
            align_pool_add(p, &o[i], (uint32_t)k, i, may_differ);
        }
    }
    align_pool_end(p);
    return KLUIS_OK;
}

/* ---- zones ---- */

static int64_t quarter(int64_t d, int32_t tol, bool *ok)
{
    int64_t q = (d >= 0 ? (d + QUARTER / 2) / QUARTER : -((-d + QUARTER / 2) / QUARTER)) * QUARTER;
    int64_t rest = d - q;
    *ok = q <= SHIFT_MAX && q >= -SHIFT_MAX && rest <= tol && rest >= -tol;
    return q;
}

/* The shift that explains most of what is not explained yet; 0 when none is sure.  A shift must be carried by half of the
 * window or by an unbroken run: single equal lines a quarter of an hour apart are everyday chat. */
static int64_t find_shift(struct aligner *a, const struct align_entry *e, const bool *known, size_t n)
{
    uint32_t votes[SHIFTS] = { 0 }, run[SHIFTS] = { 0 }, best_run[SHIFTS] = { 0 };
    uint32_t stamp[SHIFTS] = { 0 };
    uint32_t left = 0;
    for (size_t i = 0; i < n; i++) {
        if (known[i]) { continue; }
        left++;
        struct candidate *c = NULL;
        size_t many = align_pool_same(a->pool, e[i].fp, &c);
        for (size_t k = 0; k < many && many <= COMMON && !e[i].has_id; k++, c++) {
            bool ok = false;
            a->steps++;
            int64_t q = quarter(e[i].t - c->t, c->tolerance, &ok);
            if (!ok || c->taken || c->tag != align_author(a, e[i].tag)) { continue; }
            size_t at = (size_t)(q / QUARTER + SHIFTS / 2);
            if (stamp[at] == (uint32_t)i + 1) { continue; }
            run[at] = stamp[at] != 0 && stamp[at] == (uint32_t)i ? run[at] + 1 : 1; /* the record before voted so too */
            stamp[at] = (uint32_t)i + 1;
            votes[at]++;
            if (run[at] > best_run[at]) { best_run[at] = run[at]; }
        }
    }
    size_t zero = SHIFTS / 2, best = zero;
    for (size_t k = 0; k < SHIFTS; k++) {
        if (votes[k] > votes[best]) { best = k; }
    }
    int64_t shift = ((int64_t)best - (int64_t)zero) * QUARTER;
    if (best == zero || votes[best] <= 2 * votes[zero]) { return 0; }
    bool sure = (votes[best] >= SHIFT_VOTES && 2 * votes[best] >= left) || best_run[best] >= SHIFT_RUN || shift == a->last_shift;
    return sure ? shift : 0;
}

/* ---- matching ---- */

struct by_time {
    const struct align_entry *e;
};

static int later(const void *x, const void *y, void *ctx)
{
    const struct align_entry *e = ((const struct by_time *)ctx)->e;
    uint32_t i = *(const uint32_t *)x, j = *(const uint32_t *)y;
    if (e[i].t != e[j].t) { return e[i].t < e[j].t ? -1 : 1; }
    return i < j ? -1 : i > j ? 1 : 0;
}

/* In order of time, each takes the earliest candidate it may have: for intervals of one length that is the most that can be
 * matched.  An equal hint goes first among the attachments of a minute. */
static kluis_status take(struct aligner *a, const struct align_entry *e, bool *known, size_t n, int64_t shift, struct kluis_err *err)
{
    for (size_t k = 0; k < n; k++) {
        const struct align_entry *x = &e[a->order[k]];
        if (known[a->order[k]]) { continue; }
        struct candidate *best = align_pool_best(a->pool, x, x->has_id ? x->tag : align_author(a, x->tag), x->t - shift);
        if (best == NULL) { continue; }
        KLUIS_TRY(consume(a, best, err));
        known[a->order[k]] = true;
    }
    return KLUIS_OK;
}

static kluis_status match(struct aligner *a, const struct align_entry *e, size_t n, bool *known, bool may_shift, struct kluis_err *err)
{
    memset(known, 0, n * sizeof *known);
    KLUIS_TRY(gather(a, e, n, may_shift ? SHIFT_MAX : 0, false, err));
    bool overflow = align_pool_overflow(a->pool);
    if (overflow && may_shift) { return match(a, e, n, known, false, err); }
    /* More than the pool holds could match: smaller windows look at less.  What does not fit beside the smallest counts as new: a record
     * twice is better than one never. */
    if (overflow && n > WINDOW_LEAST) {
        KLUIS_TRY(match(a, e, n / 2, known, false, err));
        return match(a, e + n / 2, n - n / 2, known + n / 2, false, err);
    }
    for (uint32_t i = 0; i < n; i++) { a->order[i] = i; }
    struct by_time ctx = { e };
    qsort_r(a->order, n, sizeof *a->order, later, &ctx);
    int64_t shift = may_shift ? find_shift(a, e, known, n) : 0;
    if (shift != 0) {
        KLUIS_TRY(take(a, e, known, n, shift, err));
        int64_t second = find_shift(a, e, known, n); /* a window over a change of summer time holds two */
        if (second != 0 && second != shift) { KLUIS_TRY(take(a, e, known, n, second, err)); }
        a->last_shift = shift;
        a->shifted = true;
    }
    return take(a, e, known, n, 0, err);
}

kluis_status align_match(struct aligner *a, const struct align_entry *e, size_t n, bool *known, struct kluis_err *err)
{
    if (n > ALIGN_WINDOW) { return KLUIS_FAIL(err, KLUIS_E_BUG, "a window of %zu records", n); }
    return n == 0 ? KLUIS_OK : match(a, e, n, known, a->may_shift, err);
}

/* ---- renamed authors ---- */

uint64_t align_steps(const struct aligner *a) { return a->steps; }

uint32_t align_count(const struct aligner *a, size_t span) { return a->n_consumed[span]; }

bool align_has(const struct aligner *a, size_t span, uint32_t at) { return is_consumed(a, span, at); }

bool align_shifted(const struct aligner *a) { return a->shifted; }

bool align_is_new_author(const struct aligner *a, uint32_t tag)
{
    size_t lo = 0, hi = a->store.n_tags;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (a->store.tags[mid] < tag) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo == a->store.n_tags || a->store.tags[lo] != tag;
}

static struct vote *vote_of(struct aligner *a, uint32_t from, uint32_t to)
{
    size_t i = (from * 2654435761u ^ to) & (NAMES - 1);
    for (size_t k = 0; k < NAMES; k++, i = (i + 1) & (NAMES - 1)) {
        struct vote *v = &a->votes[i];
        if (v->votes == 0 && v->chances == 0) {
            if (a->n_votes >= NAMES / 2) { return NULL; } /* full enough: further pairs stay unlearned */
            a->n_votes++;
            v->from = from;
            v->to = to;
            return v;
        }
        if (v->from == from && v->to == to) { return v; }
    }
    return NULL;
}

kluis_status align_learn(struct aligner *a, const struct align_entry *e, size_t n, struct kluis_err *err)
{
    if (a->votes == NULL) {
        a->votes = kluis_calloc(NAMES, sizeof *a->votes);
        if (a->votes == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory to compare authors"); }
    }
    KLUIS_TRY(gather(a, e, n, 0, true, err));
    for (size_t i = 0; i < n; i++) {
        if (e[i].has_id || !align_is_new_author(a, e[i].tag)) { continue; }
        struct candidate *c = NULL;
        uint32_t last = 0;
        bool any = false;
        size_t many = align_pool_near(a->pool, &e[i], &c);
        for (size_t k = 0; k < many && many <= TALKATIVE; k++, c++) { /* in order of authors */
            int64_t d = e[i].t - c->t;
            a->steps++;
            if (d > c->tolerance || d < -c->tolerance || (any && c->tag == last)) { continue; }
            struct vote *v = vote_of(a, e[i].tag, c->tag);
            if (v != NULL) { v->votes++; }
            last = c->tag;
            any = true;
        }
        struct vote *all = vote_of(a, e[i].tag, e[i].tag); /* (new, new): how often this author had a chance to match */
        if (any && all != NULL) { all->chances++; }
    }
    return KLUIS_OK;
}

/* Keeps, of each new author, the one that explains more than half of the chances. */
void align_learned(struct aligner *a)
{
    for (size_t i = 0; a->votes != NULL && i < NAMES; i++) {
        struct vote *v = &a->votes[i];
        if (v->votes == 0 || v->from == v->to) { continue; }
        struct vote *all = vote_of(a, v->from, v->from);
        bool sure = all != NULL && v->votes >= NAME_VOTES && 2 * v->votes > all->chances;
        if (sure && all->to == v->from) {
            all->votes = v->to;
            all->chances = UINT32_MAX;
        }
    }
}

uint32_t align_author(const struct aligner *a, uint32_t tag)
{
    if (a->votes == NULL) { return tag; }
    size_t i = (tag * 2654435761u ^ tag) & (NAMES - 1);
    for (size_t k = 0; k < NAMES; k++, i = (i + 1) & (NAMES - 1)) {
        const struct vote *v = &a->votes[i];
        if (v->votes == 0 && v->chances == 0) { return tag; }
        if (v->from == tag && v->to == tag) { return v->chances == UINT32_MAX ? v->votes : tag; }
    }
    return tag;
}
