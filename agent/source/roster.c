/* roster.c - see roster.h. */
#include "agent/source/roster.h"

enum { MASK = 2 * KLUIS_PARTIES_MAX - 1 };
_Static_assert((MASK & (MASK + 1)) == 0, "a power of two");

/* A text that is empty says no more than one that is not there. */
static struct kluis_str given(struct kluis_str s) { return s.ptr == NULL || s.len == 0 ? (struct kluis_str){ NULL, 0 } : s; }

static uint32_t hash(struct kluis_str id, struct kluis_str name) { return (uint32_t)kluis_str_hash(name, kluis_str_hash(id, 0)); }

kluis_status roster_open(struct roster *r, size_t bytes, struct kluis_err *err)
{
    r->arena = kluis_arena_new(bytes);
    r->list = kluis_calloc(KLUIS_PARTIES_MAX, sizeof *r->list);
    r->members = kluis_calloc(KLUIS_PARTIES_MAX, sizeof *r->members);
    if (r->arena == NULL || r->list == NULL || r->members == NULL) {
        roster_close(r);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again");
    }
    for (uint32_t i = 0; i < KLUIS_PARTIES_MAX; i++) { r->members[i] = i; }
    return KLUIS_OK;
}

void roster_close(struct roster *r)
{
    kluis_free(r->list);
    kluis_free(r->members);
    kluis_arena_free(r->arena);
    r->list = NULL;
    r->members = NULL;
    r->arena = NULL;
}

void roster_clear(struct roster *r)
{
    kluis_arena_clear(r->arena);
    for (uint32_t i = 0; i < r->n; i++) { r->slots[r->slot_of[i]] = 0; }
    r->n = 0;
    r->several_names = r->overflow = false;
}

static uint32_t find(const struct roster *r, struct kluis_str id, struct kluis_str name, uint32_t *slot)
{
    uint32_t k = hash(id, name) & MASK;
    for (; r->slots[k] != 0; k = (k + 1) & MASK) {
        const struct kluis_party *p = &r->list[r->slots[k] - 1];
        if (kluis_str_eq(p->id, id) && kluis_str_eq(p->name, name)) { return r->slots[k] - 1; }
    }
    *slot = k;
    return KLUIS_NO_PARTY;
}

uint32_t roster_find(const struct roster *r, struct kluis_str id, struct kluis_str name)
{
    uint32_t slot;
    id = given(id);
    name = given(name);
    return id.ptr == NULL && name.ptr == NULL ? KLUIS_NO_PARTY : find(r, id, name, &slot);
}

uint32_t roster_note(struct roster *r, struct kluis_str id, struct kluis_str name, struct kluis_str number)
{
    uint32_t slot = 0;
    id = given(id);
    name = given(name);
    if (id.ptr == NULL && name.ptr == NULL) { return KLUIS_NO_PARTY; }
    uint32_t at = find(r, id, name, &slot);
    if (at != KLUIS_NO_PARTY) { return at; }
    if (r->n == KLUIS_PARTIES_MAX) {
        r->overflow = true;
        return KLUIS_NO_PARTY;
    }
    for (uint32_t i = 0; id.ptr != NULL && i < r->n && !r->several_names; i++) { r->several_names = kluis_str_eq(r->list[i].id, id); }
    struct kluis_party *p = &r->list[r->n];
    *p = (struct kluis_party){ .id = kluis_arena_str(r->arena, id),
                               .name = kluis_arena_str(r->arena, name),
                               .number = kluis_arena_str(r->arena, number) };
    if ((id.ptr != NULL && p->id.ptr == NULL) || (name.ptr != NULL && p->name.ptr == NULL)) {
        r->overflow = true;
        return KLUIS_NO_PARTY;
    }
    r->slot_of[r->n] = slot;
    r->slots[slot] = ++r->n;
    return r->n - 1;
}

uint32_t roster_called(const struct roster *r, struct kluis_str id_or_name)
{
    uint32_t named = KLUIS_NO_PARTY;
    for (uint32_t i = 0; id_or_name.ptr != NULL && i < r->n; i++) {
        if (kluis_str_eq(r->list[i].id, id_or_name)) { return i; }
        if (named == KLUIS_NO_PARTY && kluis_str_eq(r->list[i].name, id_or_name)) { named = i; }
    }
    return named;
}
