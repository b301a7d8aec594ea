/* agent/pack/people.c - who is named in a package: the members the source knows, and whoever occurs in its records.  See internal.h.
 *
 * A source's header names everybody of the whole reading.  Of a text export nobody is known to be a member: its people are those seen
 * writing, perhaps years before this slice, and so a package of it names those of its own records alone (DESIGN §5: never a contact list;
 * docs/FORMAT.md §3.3). */
#include "agent/pack/internal.h"

static bool names(struct kluis_str text, struct kluis_str name)
{
    return name.len > 0 && text.len >= name.len && memmem(text.ptr, text.len, name.ptr, name.len) != NULL;
}

/* A system line names people in words; the reader has cut out the part that does. */
static void named_in_event(const struct kluis_header *h, const struct kluis_record *r, bool *occurs)
{
    static const char *const fields[] = { "actor", "member", "shown-as" };
    for (size_t k = 0; k < r->n_fields; k++) {
        bool speaks = false;
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) { speaks = speaks || kluis_str_is(r->fields[k].name, fields[i]); }
        for (uint32_t i = 0; speaks && !r->fields[k].is_int && i < h->n_parties; i++) {
            const struct kluis_party *p = &h->parties[i];
            occurs[i] = occurs[i] || names(r->fields[k].value, p->name) || names(r->fields[k].value, p->number);
        }
    }
}

static bool occurring(const struct fill *f, const struct kluis_header *h, bool *occurs)
{
    for (size_t i = f->from; i < f->to; i++) {
        const struct kluis_record *r = f->slice->items[i].r;
        if ((r->author != KLUIS_NO_PARTY && r->author >= h->n_parties) || (r->target_author != KLUIS_NO_PARTY && r->target_author >= h->n_parties)) {
            return false;
        }
        if (r->author != KLUIS_NO_PARTY) { occurs[r->author] = true; }
        if (r->target_author != KLUIS_NO_PARTY) { occurs[r->target_author] = true; }
        if (r->kind == KLUIS_EVENT) { named_in_event(h, r, occurs); }
    }
    return true;
}

kluis_status people_narrow(struct fill *f, struct kluis_err *err)
{
    const struct kluis_header *h = &f->p->header;
    struct kluis_header *out = &f->header;
    size_t room = (size_t)h->n_parties + 1;
    bool *occurs = kluis_arena_alloc(f->scratch, room * sizeof *occurs);
    struct kluis_party *parties = kluis_arena_alloc(f->scratch, room * sizeof *parties);
    uint32_t *members = kluis_arena_alloc(f->scratch, room * sizeof *members);
    f->party = kluis_arena_alloc(f->scratch, room * sizeof *f->party);
    if (occurs == NULL || parties == NULL || members == NULL || f->party == NULL) {
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory to fill a package");
    }
    if (!occurring(f, h, occurs)) { return KLUIS_FAIL(err, KLUIS_E_BUG, "a record names a person past the header's table"); }
    bool writers = f->p->s.kind->people_are_writers;
    *out = *h;
    out->parties = parties;
    out->participants = members;
    out->n_parties = out->n_participants = 0;
    uint32_t at = 0; /* in the participants, which ascend */
    for (uint32_t i = 0; i < h->n_parties; i++) {
        bool member = at < h->n_participants && h->participants[at] == i;
        if (member) { at++; }
        f->party[i] = KLUIS_NO_PARTY;
        if (!occurs[i] && (writers || !member)) { continue; }
        if (member) { members[out->n_participants++] = out->n_parties; }
        f->party[i] = out->n_parties;
        parties[out->n_parties++] = h->parties[i];
    }
    if (out->self != KLUIS_NO_PARTY) { out->self = out->self < h->n_parties ? f->party[out->self] : KLUIS_NO_PARTY; }
    return KLUIS_OK;
}

uint32_t people_party(const struct fill *f, uint32_t party) { return party == KLUIS_NO_PARTY ? party : f->party[party]; }
