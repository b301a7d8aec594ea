/* cast.c - see cast.h.  Three tables with open addressing: words of conversations, of people, and pairs of both. */
#include "agent/source/cast.h"

struct word {
    struct kluis_str id, name;
};
struct words {
    struct word *list;
    uint32_t *slots; /* index + 1 */
    uint32_t n, cap, max;
};
struct cast {
    struct kluis_arena *arena;
    struct words conversations, people;
    uint64_t *pairs; /* a set while noting: conversation << 32 | person, + 1; then sorted */
    size_t n_pairs, n_slots;
    bool full, done;
};

static uint64_t mix(uint64_t h)
{
    h = (h ^ h >> 31) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 29;
}

kluis_status cast_new(struct cast **out, struct kluis_err *err)
{
    struct cast *c = kluis_calloc(1, sizeof *c);
    *out = c;
    if (c != NULL) {
        c->arena = kluis_arena_new(CAST_BYTES);
        c->conversations.max = CAST_CONVERSATIONS;
        c->people.max = CAST_PEOPLE;
    }
    if (c != NULL && c->arena != NULL) { return KLUIS_OK; }
    cast_free(c);
    *out = NULL;
    return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again");
}

void cast_free(struct cast *c)
{
    if (c == NULL) { return; }
    kluis_arena_free(c->arena);
    kluis_free(c->conversations.list);
    kluis_free(c->conversations.slots);
    kluis_free(c->people.list);
    kluis_free(c->people.slots);
    kluis_free(c->pairs);
    kluis_free(c);
}

static uint64_t hash_of(struct kluis_str id, struct kluis_str name) { return kluis_str_hash(name, kluis_str_hash(id, 0)); }

static bool grow(struct words *w)
{
    uint32_t cap = w->cap == 0 ? 64 : w->cap * 2;
    struct word *list = w->cap >= w->max ? NULL : kluis_realloc(w->list, cap * sizeof *list);
    if (list == NULL) { return false; }
    w->list = list;
    uint32_t *slots = kluis_calloc(2 * (size_t)cap, sizeof *slots);
    if (slots == NULL) { return false; }
    kluis_free(w->slots);
    w->slots = slots;
    w->cap = cap;
    for (uint32_t i = 0; i < w->n; i++) {
        size_t k = hash_of(w->list[i].id, w->list[i].name) & (2 * (size_t)cap - 1);
        while (slots[k] != 0) { k = (k + 1) & (2 * (size_t)cap - 1); }
        slots[k] = i + 1;
    }
    return true;
}

static uint32_t number(struct cast *c, struct words *w, struct kluis_str id, struct kluis_str name)
{
    size_t k = 0, mask = 2 * (size_t)w->cap - 1;
    if (w->cap > 0) {
        for (k = hash_of(id, name) & mask; w->slots[k] != 0; k = (k + 1) & mask) {
            const struct word *q = &w->list[w->slots[k] - 1];
            if (kluis_str_eq(q->id, id) && kluis_str_eq(q->name, name)) { return w->slots[k] - 1; }
        }
    }
    if (w->n == w->cap) {
        if (!grow(w)) {
            c->full = true;
            return CAST_NONE;
        }
        mask = 2 * (size_t)w->cap - 1;
        for (k = hash_of(id, name) & mask; w->slots[k] != 0;) { k = (k + 1) & mask; }
    }
    struct word own = { kluis_arena_str(c->arena, id), kluis_arena_str(c->arena, name) };
    if ((id.ptr != NULL && own.id.ptr == NULL) || (name.ptr != NULL && own.name.ptr == NULL)) {
        c->full = true;
        return CAST_NONE;
    }
    w->list[w->n] = own;
    w->slots[k] = ++w->n;
    return w->n - 1;
}

uint32_t cast_conversation(struct cast *c, struct kluis_str id) { return number(c, &c->conversations, id, (struct kluis_str){ NULL, 0 }); }
uint32_t cast_conversations(const struct cast *c) { return c->conversations.n; }
struct kluis_str cast_id(const struct cast *c, uint32_t conversation) { return c->conversations.list[conversation].id; }
bool cast_full(const struct cast *c) { return c->full; }

static bool more_pairs(struct cast *c)
{
    size_t slots = c->n_slots == 0 ? 256 : c->n_slots * 2;
    uint64_t *p = slots > 2 * (size_t)CAST_PAIRS ? NULL : kluis_calloc(slots, sizeof *p);
    if (p == NULL) { return false; }
    for (size_t i = 0; i < c->n_slots; i++) {
        if (c->pairs[i] == 0) { continue; }
        size_t k = mix(c->pairs[i]) & (slots - 1);
        while (p[k] != 0) { k = (k + 1) & (slots - 1); }
        p[k] = c->pairs[i];
    }
    kluis_free(c->pairs);
    c->pairs = p;
    c->n_slots = slots;
    return true;
}

void cast_note(struct cast *c, uint32_t conversation, struct kluis_str id, struct kluis_str name)
{
    if (id.len == 0) { id = (struct kluis_str){ NULL, 0 }; }
    if (name.len == 0) { name = (struct kluis_str){ NULL, 0 }; }
    if (conversation == CAST_NONE || (id.ptr == NULL && name.ptr == NULL)) { return; }
    uint32_t who = number(c, &c->people, id, name);
    if (who == CAST_NONE) { return; }
    if (c->n_pairs * 2 >= c->n_slots && !more_pairs(c)) {
        c->full = true;
        return;
    }
    uint64_t pair = ((uint64_t)conversation << 32 | who) + 1;
    size_t k = mix(pair) & (c->n_slots - 1);
    while (c->pairs[k] != 0 && c->pairs[k] != pair) { k = (k + 1) & (c->n_slots - 1); }
    if (c->pairs[k] == pair) { return; }
    c->pairs[k] = pair;
    c->n_pairs++;
}

static int pair_order(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

void cast_done(struct cast *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_slots; i++) {
        if (c->pairs[i] != 0) { c->pairs[n++] = c->pairs[i]; }
    }
    if (n > 1) { qsort(c->pairs, n, sizeof *c->pairs, pair_order); }
    c->done = true;
}

void cast_fill(const struct cast *c, uint32_t conversation, struct roster *r)
{
    size_t lo = 0, hi = c->n_pairs;
    uint64_t first = ((uint64_t)conversation << 32) + 1;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c->pairs[mid] < first) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    for (; lo < c->n_pairs && (c->pairs[lo] - 1) >> 32 == conversation; lo++) {
        const struct word *w = &c->people.list[(uint32_t)(c->pairs[lo] - 1)];
        (void)roster_note(r, w->id, w->name, (struct kluis_str){ NULL, 0 });
    }
}

bool cast_everywhere(const struct cast *c, struct kluis_str *id, struct kluis_str *name)
{
    uint32_t *in = kluis_calloc((size_t)c->people.n + 1, sizeof *in), best = 0;
    bool alone = false;
    if (in == NULL || c->people.n == 0) {
        kluis_free(in);
        return false;
    }
    for (size_t i = 0; i < c->n_pairs; i++) { in[(uint32_t)(c->pairs[i] - 1)]++; }
    for (uint32_t i = 0; i < c->people.n; i++) {
        if (i == 0 || in[i] > in[best]) {
            best = i;
            alone = true;
        } else if (in[i] == in[best]) {
            alone = false;
        }
    }
    alone = alone && in[best] >= 2 && in[best] > c->conversations.n / 2;
    *id = c->people.list[best].id;
    *name = c->people.list[best].name;
    kluis_free(in);
    return alone;
}
