/* agent/journal/align.c - windowed one-to-one alignment of fingerprints.  See align.h. */
#include "agent/journal/align.h"

#include "kluis/record.h"

enum {
    QUARTER = 900,
    SHIFT_MAX = 26 * 3600,
    SHIFTS = 2 * (SHIFT_MAX / QUARTER) + 1,
    POOL = 1 << 16,  /* stored entries looked at for one window                         */
    SLOTS = 1 << 13, /* hash table over the window's fingerprints; twice ALIGN_WINDOW   */
    CACHE = 4,       /* decoded chunks kept                                             */
    NAMES = 1 << 14, /* pairs (new author, old author) voted on; a power of two         */
    COMMON = 8,      /* an entry with more equals than this says nothing about a shift  */
    SHIFT_RUN = 6,
    SHIFT_VOTES = 3,
    NAME_VOTES = 2
};
_Static_assert(SLOTS == 2 * ALIGN_WINDOW, "the table is half full at most");

struct candidate {
    int64_t t;
    uint32_t tag, next;
    uint32_t span, at;
    int32_t tolerance;
    uint16_t hint;
    uint8_t level;
    bool taken;
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
    uint8_t **consumed; /* a bit an entry, per span; made when first needed */
    struct chunk cache[CACHE];
    uint64_t clock;
    int64_t last_shift;
    struct candidate *pool;
    size_t n_pool;
    struct {
        uint64_t fp;
        uint32_t head, count;
        bool used;
    } * slot;
    uint32_t *order; /* the window's entries by time */
    struct vote *votes;
    size_t n_votes;
    bool overflow;
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
    put64(out + 16, (uint64_t)e->tag << 32 | (uint64_t)e->hint << 16 | (uint64_t)e->level << 8 | e->has_id);
}

void align_get(const uint8_t in[ALIGN_ENTRY_WIRE], struct align_entry *e)
{
    uint64_t x = get64(in + 16);
    *e = (struct align_entry){ .t = (int64_t)get64(in),
                               .fp = get64(in + 8),
                               .tag = (uint32_t)(x >> 32),
                               .hint = (uint16_t)(x >> 16),
                               .level = (uint8_t)(x >> 8),
                               .has_id = (uint8_t)x };
}

void align_free(struct aligner *a)
{
    if (a == NULL) { return; }
    for (size_t i = 0; a->consumed != NULL && i < a->store.n_spans; i++) { kluis_free(a->consumed[i]); }
    for (size_t i = 0; i < CACHE; i++) { kluis_free(a->cache[i].e); }
    kluis_free(a->consumed);
    kluis_free(a->pool);
    kluis_free(a->slot);
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
    a->pool = kluis_calloc(POOL, sizeof *a->pool);
    a->slot = kluis_calloc(SLOTS, sizeof *a->slot);
    a->order = kluis_calloc(ALIGN_WINDOW, sizeof *a->order);
    if (a->consumed == NULL || a->pool == NULL || a->slot == NULL || a->order == NULL) {
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
    c->taken = true;
    return KLUIS_OK;
}

/* One second, or the coarser precision where the two differ: a minute covers its seconds. */
static int32_t tolerance(int a, int b)
{
    if (a == b || (a != KLUIS_PRECISION_MINUTE && b != KLUIS_PRECISION_MINUTE)) { return 1; }
    return 60;
}

/* ---- the window's table ---- */

static size_t find(const struct aligner *a, uint64_t fp)
{
    size_t i = (size_t)(fp ^ fp >> 29) & (SLOTS - 1);
    while (a->slot[i].used && a->slot[i].fp != fp) { i = (i + 1) & (SLOTS - 1); }
    return i;
}

/* Collects the stored, unconsumed entries that could match the window: pool, chained per fingerprint in stored order. */
static kluis_status gather(struct aligner *a, const struct align_entry *e, size_t n, int64_t slack, bool with_consumed, struct kluis_err *err)
{
    int64_t lo = INT64_MAX, hi = INT64_MIN;
    memset(a->slot, 0, SLOTS * sizeof *a->slot);
    a->n_pool = 0;
    a->overflow = false;
    for (size_t i = 0; i < n; i++) {
        size_t s = find(a, e[i].fp);
        a->slot[s].used = true;
        a->slot[s].fp = e[i].fp;
        a->slot[s].head = UINT32_MAX;
        a->slot[s].count = 0;
        if (e[i].t < lo) { lo = e[i].t; }
        if (e[i].t > hi) { hi = e[i].t; }
    }
    /* A seconds reading against a minutes chunk may differ by a whole minute. */
    int64_t from = lo - slack - 60, to = hi + slack + 60;
    for (size_t k = a->store.n_spans; k-- > 0;) { /* backwards: each chain then runs in stored order */
        const struct align_span *span = &a->store.spans[k];
        if (span->last < from || span->first > to) { continue; }
        struct align_entry *o = NULL;
        KLUIS_TRY(load(a, k, &o, err));
        for (uint32_t i = span->n; i-- > 0;) {
            if (o[i].t < from || o[i].t > to || (!with_consumed && is_consumed(a, k, i))) { continue; }
            size_t s = find(a, o[i].fp);
            if (!a->slot[s].used) { continue; }
            if (a->n_pool == POOL) {
                a->overflow = true;
                return KLUIS_OK;
            }
            a->pool[a->n_pool] = (struct candidate){ .t = o[i].t,
                                                     .tag = o[i].tag,
                                                     .next = a->slot[s].head,
                                                     .span = (uint32_t)k,
                                                     .at = i,
                                                     .tolerance = tolerance(span->precision, a->precision),
                                                     .hint = o[i].hint,
                                                     .level = o[i].level };
            a->slot[s].head = (uint32_t)a->n_pool++;
            a->slot[s].count++;
        }
    }
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
        size_t s = find(a, e[i].fp);
        if (!e[i].has_id && a->slot[s].count > 0 && a->slot[s].count <= COMMON) {
            for (uint32_t c = a->slot[s].head; c != UINT32_MAX; c = a->pool[c].next) {
                bool ok = false;
                int64_t q = quarter(e[i].t - a->pool[c].t, a->pool[c].tolerance, &ok);
                if (!ok || a->pool[c].taken || a->pool[c].tag != align_author(a, e[i].tag)) { continue; }
                size_t k = (size_t)(q / QUARTER + SHIFTS / 2);
                if (stamp[k] == (uint32_t)i + 1) { continue; }
                run[k] = stamp[k] != 0 && stamp[k] == (uint32_t)i ? run[k] + 1 : 1; /* the record before voted so too */
                stamp[k] = (uint32_t)i + 1;
                votes[k]++;
                if (run[k] > best_run[k]) { best_run[k] = run[k]; }
            }
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
        uint32_t author = x->has_id ? x->tag : align_author(a, x->tag);
        struct candidate *best = NULL;
        size_t s = find(a, x->fp);
        for (uint32_t c = a->slot[s].head; c != UINT32_MAX; c = a->pool[c].next) {
            struct candidate *o = &a->pool[c];
            int64_t d = x->t - shift - o->t;
            if (o->taken || o->tag != author || o->level < x->level || d > o->tolerance || d < -o->tolerance) { continue; }
            bool better = best == NULL || o->t < best->t;
            if (best != NULL && x->level > 0 && (o->hint == x->hint) != (best->hint == x->hint)) { better = o->hint == x->hint; }
            if (better) { best = o; }
        }
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
    if (a->overflow && may_shift) { return match(a, e, n, known, false, err); }
    if (a->overflow && n > 1) { /* very many equal lines: smaller windows keep memory bounded */
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
    }
    return take(a, e, known, n, 0, err);
}

kluis_status align_match(struct aligner *a, const struct align_entry *e, size_t n, bool *known, struct kluis_err *err)
{
    if (n > ALIGN_WINDOW) { return KLUIS_FAIL(err, KLUIS_E_BUG, "a window of %zu records", n); }
    return n == 0 ? KLUIS_OK : match(a, e, n, known, a->may_shift, err);
}

/* ---- renamed authors ---- */

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
        size_t s = find(a, e[i].fp);
        uint32_t last = 0;
        bool any = false;
        for (uint32_t c = a->slot[s].head; c != UINT32_MAX; c = a->pool[c].next) {
            int64_t d = e[i].t - a->pool[c].t;
            if (d > a->pool[c].tolerance || d < -a->pool[c].tolerance || (any && a->pool[c].tag == last)) { continue; }
            struct vote *v = vote_of(a, e[i].tag, a->pool[c].tag);
            if (v != NULL) { v->votes++; }
            last = a->pool[c].tag;
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
