/* order.c - see order.h. */
#include "agent/source/order.h"

#include "kluis/scratch.h"

enum { PIECE = 256 }; /* items of a run read at once: 8 KiB, for 64 runs half a MiB */

struct run {
    uint64_t first, n; /* items, in the scratch file */
    uint64_t at, mark; /* next one of this run */
    struct order_item *piece;
    uint64_t piece_at, piece_n; /* what of the run is in piece */
};
struct order {
    struct order_item *items;
    size_t n, cap, at, mark;
    struct kluis_scratch *scratch;
    struct run runs[ORDER_RUNS];
    size_t n_runs;
    uint64_t stored;
};

kluis_status order_new(struct order **out, struct kluis_err *err)
{
    *out = kluis_calloc(1, sizeof **out);
    return *out == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again") : KLUIS_OK;
}

void order_clear(struct order *o)
{
    for (size_t i = 0; i < o->n_runs; i++) { kluis_free(o->runs[i].piece); }
    memset(o->runs, 0, sizeof o->runs);
    kluis_scratch_free(o->scratch);
    o->scratch = NULL;
    o->n = o->at = o->mark = o->n_runs = 0;
    o->stored = 0;
}

void order_free(struct order *o)
{
    if (o == NULL) { return; }
    order_clear(o);
    kluis_free(o->items);
    kluis_free(o);
}

static int compare(const void *a, const void *b)
{
    const struct order_item *x = a, *y = b;
    if (x->conversation != y->conversation) { return x->conversation < y->conversation ? -1 : 1; }
    if (x->when != y->when) { return x->when < y->when ? -1 : 1; }
    if (x->file != y->file) { return x->file > y->file ? -1 : 1; }
    return x->at > y->at ? -1 : x->at < y->at;
}

/* Mostly they come exactly the other way round. */
static void sort(struct order_item *p, size_t n)
{
    bool falling = true, rising = true;
    for (size_t i = 1; i < n && (falling || rising); i++) {
        int c = compare(&p[i - 1], &p[i]);
        falling = falling && c > 0;
        rising = rising && c <= 0;
    }
    if (rising || n < 2) { return; }
    if (!falling) {
        qsort(p, n, sizeof *p, compare);
        return;
    }
    for (size_t i = 0; i < n / 2; i++) {
        struct order_item t = p[i];
        p[i] = p[n - 1 - i];
        p[n - 1 - i] = t;
    }
}

static kluis_status store(struct order *o, struct kluis_err *err)
{
    if (o->n_runs == ORDER_RUNS) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "more than %d messages at once: read the parts one by one", ORDER_RUN * ORDER_RUNS);
    }
    if (o->scratch == NULL) { KLUIS_TRY(kluis_scratch_new(&o->scratch, err)); }
    struct run *r = &o->runs[o->n_runs];
    *r = (struct run){ .first = o->stored, .n = o->n, .piece = kluis_malloc(PIECE * sizeof *r->piece) };
    if (r->piece == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    o->n_runs++;
    sort(o->items, o->n);
    KLUIS_TRY(kluis_scratch_write(o->scratch, o->items, o->n * sizeof *o->items, o->stored * sizeof *o->items, err));
    o->stored += o->n;
    o->n = 0;
    return KLUIS_OK;
}

kluis_status order_add(struct order *o, const struct order_item *it, struct kluis_err *err)
{
    if (o->n == ORDER_RUN) { KLUIS_TRY(store(o, err)); }
    if (o->n == o->cap) {
        size_t cap = o->cap == 0 ? 1024 : o->cap * 2;
        struct order_item *p = kluis_realloc(o->items, cap * sizeof *p);
        if (p == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
        o->items = p;
        o->cap = cap;
    }
    o->items[o->n++] = *it;
    return KLUIS_OK;
}

kluis_status order_done(struct order *o, struct kluis_err *err)
{
    if (o->n_runs > 0) { return store(o, err); }
    sort(o->items, o->n);
    return KLUIS_OK;
}

static kluis_status head(struct order *o, struct run *r, const struct order_item **it, struct kluis_err *err)
{
    if (r->at < r->piece_at || r->at >= r->piece_at + r->piece_n) {
        uint64_t n = r->n - r->at < PIECE ? r->n - r->at : PIECE;
        size_t got = 0, want = (size_t)n * sizeof *r->piece;
        KLUIS_TRY(kluis_scratch_read(o->scratch, r->piece, want, (r->first + r->at) * sizeof *r->piece, &got, err));
        if (got != want) { return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a scratch file ends too early"); }
        r->piece_at = r->at;
        r->piece_n = n;
    }
    *it = &r->piece[r->at - r->piece_at];
    return KLUIS_OK;
}

kluis_status order_next(struct order *o, struct order_item *it, struct kluis_err *err)
{
    struct run *least = NULL;
    const struct order_item *best = NULL, *h = NULL;
    if (o->n_runs == 0) {
        if (o->at == o->n) { return KLUIS_END; }
        *it = o->items[o->at++];
        return KLUIS_OK;
    }
    for (size_t i = 0; i < o->n_runs; i++) {
        if (o->runs[i].at == o->runs[i].n) { continue; }
        KLUIS_TRY(head(o, &o->runs[i], &h, err));
        if (best != NULL && compare(best, h) <= 0) { continue; }
        best = h;
        least = &o->runs[i];
    }
    if (least == NULL) { return KLUIS_END; }
    *it = *best;
    least->at++;
    return KLUIS_OK;
}

void order_mark(struct order *o)
{
    o->mark = o->at;
    for (size_t i = 0; i < o->n_runs; i++) { o->runs[i].mark = o->runs[i].at; }
}

void order_back(struct order *o)
{
    o->at = o->mark;
    for (size_t i = 0; i < o->n_runs; i++) { o->runs[i].at = o->runs[i].mark; }
}
