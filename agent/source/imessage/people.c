/* people.c - see imessage.h.
 */
#include "agent/source/imessage/imessage.h"

enum { NAMES = 1 << 20 };

kluis_status im_people_new(struct im_people *p, struct kluis_err *err)
{
    *p = (struct im_people){ .arena = kluis_arena_new(NAMES) };
    p->party = kluis_calloc(KLUIS_PARTIES_MAX, sizeof *p->party);
    p->members = kluis_calloc(KLUIS_PARTIES_MAX, sizeof *p->members);
    return p->arena == NULL || p->party == NULL || p->members == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again") : KLUIS_OK;
}

void im_people_free(struct im_people *p)
{
    kluis_arena_free(p->arena);
    kluis_free(p->party);
    kluis_free(p->members);
    *p = (struct im_people){ 0 };
}

void im_people_clear(struct im_people *p)
{
    kluis_arena_clear(p->arena);
    p->n = p->n_members = 0;
    p->full = false;
}

static void join(struct im_people *p, uint32_t who)
{
    for (uint32_t i = 0; i < p->n_members; i++) {
        if (p->members[i] == who) { return; }
    }
    p->members[p->n_members++] = who;
}

uint32_t im_party_find(const struct im_people *p, struct kluis_str address)
{
    for (uint32_t i = 0; address.len > 0 && i < p->n; i++) {
        if (p->party[i].id.ptr != NULL && kluis_str_eq(p->party[i].id, address)) { return i; }
    }
    return KLUIS_NO_PARTY;
}

static uint32_t add(struct im_people *p, struct kluis_party party, bool member)
{
    if (p->n == KLUIS_PARTIES_MAX) {
        p->full = true;
        return KLUIS_NO_PARTY;
    }
    p->party[p->n] = party;
    if (member) { join(p, p->n); }
    return p->n++;
}

uint32_t im_party(struct im_people *p, struct kluis_str address, bool member)
{
    const uint32_t have = im_party_find(p, address);
    if (have != KLUIS_NO_PARTY) {
        if (member) { join(p, have); }
        return have;
    }
    const struct kluis_str id =
        address.len == 0 || address.len >= IM_ADDRESS ? (struct kluis_str){ NULL, 0 } : kluis_arena_str(p->arena, wdb_utf8(p->arena, address));
    if (id.ptr == NULL) { return KLUIS_NO_PARTY; }
    struct kluis_party party = { .id = id };
    size_t digits = 0;
    while (digits + 1 < id.len && id.ptr[digits + 1] >= '0' && id.ptr[digits + 1] <= '9') { digits++; }
    if (id.ptr[0] == '+' && digits == id.len - 1 && digits >= 4 && digits <= 15) { party.number = id; }
    return add(p, party, member);
}

uint32_t im_party_named(struct im_people *p, const char *name, bool member)
{
    return add(p, (struct kluis_party){ .name = kluis_str_of(name) }, member);
}
