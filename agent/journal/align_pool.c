/* agent/journal/align_pool.c - candidates of one window.  See align_pool.h.
 *
 * Candidates lie sorted by slot (fingerprint), author, tolerance, level, time and place: a group of the first four is a run in order of
 * time.  A second order has the hint before the time.  In both, `next` leads over taken ones to the next that is free, with path
 * compression, so that a minute of ten thousand equal lines costs each of them a few steps. */
#include "agent/journal/align_pool.h"

enum { SLOTS = 2 * ALIGN_WINDOW, EXACT = 2 * ALIGN_POOL, NEAR = 60, TOLERANCES = 2 };
static const int32_t tolerances[TOLERANCES] = { 1, 60 };

struct slot {
    uint64_t fp;
    int64_t lo, hi; /* times of the window's entries */
    uint32_t need;  /* how many they are                                            */
    uint32_t seen, fit;
    uint32_t first, n; /* its run in the pool, after end */
    uint32_t tag;
    uint8_t level; /* the highest of its entries */
    bool used, mixed /* several authors: nothing surely fits all */;
};

struct order {
    uint32_t *at;   /* pool index by place in this order */
    uint32_t *next; /* place -> a place that is not before the next free one */
};

struct align_pool {
    struct candidate c[ALIGN_POOL];
    struct slot slot[SLOTS];
    struct {
        uint64_t key;
        uint32_t n;
    } exact[EXACT];
    uint32_t next_time[ALIGN_POOL + 1], by_hint[ALIGN_POOL], next_hint[ALIGN_POOL + 1];
    size_t n, n_slots, n_fit;
    bool learning, overflow, hints;
    uint64_t *steps;
};

struct align_pool *align_pool_new(uint64_t *steps)
{
    struct align_pool *p = kluis_calloc(1, sizeof *p);
    if (p != NULL) { p->steps = steps; }
    return p;
}

void align_pool_free(struct align_pool *p) { kluis_free(p); }

static struct slot *find(struct align_pool *p, uint64_t fp)
{
    size_t i = (size_t)(fp ^ fp >> 29) & (SLOTS - 1);
    while (p->slot[i].used && p->slot[i].fp != fp) {
        i = (i + 1) & (SLOTS - 1);
        (*p->steps)++;
    }
    return &p->slot[i];
}

void align_pool_begin(struct align_pool *p, bool learning)
{
    memset(p->slot, 0, sizeof p->slot);
    memset(p->exact, 0, sizeof p->exact);
    p->n = p->n_slots = p->n_fit = 0;
    p->learning = learning;
    p->overflow = p->hints = false;
}

void align_pool_want(struct align_pool *p, const struct align_entry *e, uint32_t author)
{
    struct slot *s = find(p, e->fp);
    if (!s->used) {
        *s = (struct slot){ .fp = e->fp, .lo = e->t, .hi = e->t, .tag = author, .used = true };
        p->n_slots++;
    }
    if (e->t < s->lo) { s->lo = e->t; }
    if (e->t > s->hi) { s->hi = e->t; }
    if (e->level > s->level) { s->level = e->level; }
    s->mixed = s->mixed || author != s->tag;
    s->need++;
    p->hints = p->hints || e->level > 0;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
}

/* How many were added that are equal in everything; a collision of two kinds would only make one of them look more common. */
static uint32_t *equals(struct align_pool *p, const struct align_entry *e, int32_t tolerance)
{
    uint64_t key = mix(mix(mix(mix(0, e->fp), (uint64_t)e->t), (uint64_t)e->tag << 32 | (uint32_t)tolerance), (uint64_t)e->level << 16 | e->hint) | 1;
    size_t i = (size_t)(key >> 7) & (EXACT - 1);
    while (p->exact[i].key != 0 && p->exact[i].key != key) {
        i = (i + 1) & (EXACT - 1);
        (*p->steps)++;
    }
    p->exact[i].key = key;
    return &p->exact[i].n;
}

void align_pool_add(struct align_pool *p, const struct align_entry *e, uint32_t span, uint32_t at, int32_t tolerance)
{
    struct slot *s = find(p, e->fp);
    if (!s->used) { return; }
    s->seen++;
    if (p->n == ALIGN_POOL) {
        p->overflow = true;
        return;
    }
    uint32_t *same = equals(p, e, tolerance);
    if (*same >= (p->learning ? 1 : s->need)) { return; }
    ++*same;
    p->c[p->n++] = (struct candidate){
        .t = e->t, .slot = (uint32_t)(s - p->slot), .tag = e->tag, .tolerance = tolerance, .span = span, .at = at, .hint = e->hint, .level = e->level
    };
    bool fits = !s->mixed && e->tag == s->tag && e->level >= s->level && e->t - s->lo <= tolerance && s->hi - e->t <= tolerance &&
                s->lo - e->t <= tolerance && e->t - s->hi <= tolerance;
    if (fits && !p->learning && ++s->fit == s->need) { p->n_fit++; }
}

bool align_pool_overflow(const struct align_pool *p) { return p->overflow; }

bool align_pool_full(const struct align_pool *p) { return p->overflow || (p->n_fit == p->n_slots && !p->learning); }

/* ---- sorting ---- */

#define DIFFER(x, y)                                                                                                                                 \
    if ((x) != (y)) { return (x) < (y) ? -1 : 1; }

static int by_group(const struct candidate *x, const struct candidate *y)
{
    DIFFER(x->slot, y->slot);
    DIFFER(x->tag, y->tag);
    DIFFER(x->tolerance, y->tolerance);
    DIFFER(x->level, y->level);
    return 0;
}

static int by_place(const struct candidate *x, const struct candidate *y)
{
    DIFFER(x->t, y->t);
    DIFFER(x->span, y->span);
    DIFFER(x->at, y->at);
    return 0;
}

static int in_time(const void *a, const void *b, void *ctx)
{
    struct align_pool *p = ctx;
    (*p->steps)++;
    int d = by_group(a, b);
    return d != 0 ? d : by_place(a, b);
}

static int in_hint(const void *a, const void *b, void *ctx)
{
    struct align_pool *p = ctx;
    const struct candidate *x = &p->c[*(const uint32_t *)a], *y = &p->c[*(const uint32_t *)b];
    (*p->steps)++;
    int d = by_group(x, y);
    if (d != 0) { return d; }
    DIFFER(x->hint, y->hint);
    return by_place(x, y);
}

/* For names: by fingerprint and time, whoever wrote it. */
static int in_talk(const void *a, const void *b, void *ctx)
{
    struct align_pool *p = ctx;
    const struct candidate *x = a, *y = b;
    (*p->steps)++;
    DIFFER(x->slot, y->slot);
    DIFFER(x->t, y->t);
    DIFFER(x->tag, y->tag);
    return by_place(x, y);
}

void align_pool_end(struct align_pool *p)
{
    qsort_r(p->c, p->n, sizeof *p->c, p->learning ? in_talk : in_time, p);
    for (uint32_t i = 0; i < p->n; i++) {
        struct slot *s = &p->slot[p->c[i].slot];
        if (s->n++ == 0) { s->first = i; }
    }
    for (uint32_t i = 0; i <= p->n; i++) { p->next_time[i] = p->next_hint[i] = i; }
    if (!p->hints || p->learning) { return; }
    for (uint32_t i = 0; i < p->n; i++) { p->by_hint[i] = i; }
    qsort_r(p->by_hint, p->n, sizeof *p->by_hint, in_hint, p);
}

/* ---- looking up ---- */

size_t align_pool_same(struct align_pool *p, uint64_t fp, struct candidate **first)
{
    const struct slot *s = find(p, fp);
    *first = &p->c[s->first];
    return s->seen > s->n ? s->seen : s->n;
}

size_t align_pool_near(struct align_pool *p, const struct align_entry *e, struct candidate **first)
{
    const struct slot *s = find(p, e->fp);
    uint32_t lo = s->first, hi = s->first + s->n, end = hi;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        (*p->steps)++;
        if (p->c[mid].t < e->t - NEAR) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    *first = &p->c[lo];
    size_t n = 0;
    while (lo + n < end && p->c[lo + n].t <= e->t + NEAR && n <= (size_t)NEAR * 4) {
        n++;
        (*p->steps)++;
    }
    return n;
}

/* The first place in an order, within a slot's run, whose candidate is not before `key` (hints: of this hint). */
static uint32_t not_before(struct align_pool *p, const struct slot *s, const struct candidate *key, bool hints)
{
    uint32_t lo = s->first, hi = s->first + s->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        const struct candidate *c = &p->c[hints ? p->by_hint[mid] : mid];
        (*p->steps)++;
        int d = by_group(c, key);
        if (d == 0 && hints) { d = c->hint < key->hint ? -1 : c->hint > key->hint; }
        if (d < 0 || (d == 0 && c->t < key->t)) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

/* The next place from `at` on whose candidate is free; p->n: none. */
static uint32_t free_from(struct align_pool *p, uint32_t at, bool hints)
{
    uint32_t *next = hints ? p->next_hint : p->next_time, i = at;
    for (;;) {
        (*p->steps)++;
        if (next[i] != i) {
            i = next[i];
        } else if (i < p->n && p->c[hints ? p->by_hint[i] : i].taken) {
            next[i] = i + 1;
            i++;
        } else {
            break;
        }
    }
    while (next[at] != i && at != i) {
        uint32_t then = next[at];
        next[at] = i;
        at = then;
    }
    return i;
}

/* The earliest free one of key's group (and hint) from key's time on to `until`. */
static struct candidate *earliest(struct align_pool *p, const struct slot *s, const struct candidate *key, int64_t until, bool hints)
{
    uint32_t i = free_from(p, not_before(p, s, key, hints), hints);
    if (i >= s->first + s->n) { return NULL; }
    struct candidate *c = &p->c[hints ? p->by_hint[i] : i];
    return by_group(c, key) == 0 && (!hints || c->hint == key->hint) && c->t <= until ? c : NULL;
}

static struct candidate *sooner(struct candidate *x, struct candidate *y)
{
    if (x == NULL || y == NULL) { return x == NULL ? y : x; }
    return by_place(x, y) <= 0 ? x : y;
}

struct candidate *align_pool_best(struct align_pool *p, const struct align_entry *x, uint32_t author, int64_t t)
{
    const struct slot *s = find(p, x->fp);
    struct candidate *best = NULL, *hinted = NULL;
    if (s->n == 0) { return NULL; }
    for (size_t k = 0; k < TOLERANCES; k++) {
        for (unsigned level = x->level; level <= UINT8_MAX; level++) { /* levels that occur, one by one */
            struct candidate key = { .slot = (uint32_t)(s - p->slot), .tag = author, .tolerance = tolerances[k], .level = (uint8_t)level };
            key.t = INT64_MIN;
            uint32_t at = not_before(p, s, &key, false);
            if (at == s->first + s->n) { break; }
            const struct candidate *c = &p->c[at];
            if (c->tag != author || c->tolerance != tolerances[k]) { break; }
            level = key.level = c->level;
            key.t = t - tolerances[k];
            key.hint = x->hint;
            best = sooner(best, earliest(p, s, &key, t + tolerances[k], false));
            if (x->level > 0) { hinted = sooner(hinted, earliest(p, s, &key, t + tolerances[k], true)); }
        }
    }
    return hinted != NULL ? hinted : best;
}
