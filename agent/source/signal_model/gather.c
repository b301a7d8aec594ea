/* gather.c - frames of several chats, read in the order in which they stand and kept, to be given chat by chat.
 *
 * Chats stand mixed: one by one, each frame would be a reading of its own.  What is kept shares one ceiling with the offsets.
 */
#include "agent/source/signal_model/model.h"

enum { AHEAD = 3 };

struct place {
    uint64_t at;
    uint32_t i; /* among the kept ones, chat after chat */
};
struct kept {
    uint32_t from, len; /* its bytes */
};

static int by_place(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return x->at < y->at ? -1 : x->at > y->at;
}

void gather_free(struct gather *g)
{
    kluis_free(g->bytes);
    kluis_free(g->frames);
    *g = (struct gather){ 0 };
}

static kluis_status changed(const struct model *m, struct kluis_err *err)
{
    return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: it changed while it was read; try again", m->path);
}

/* Bytes that the frames of a chat take here; sorting takes the places once more. */
static uint64_t size_of(const struct chat *c) { return c->bytes + c->items * (2 * sizeof(struct place) + sizeof(struct kept)); }

static kluis_status read_frames(struct gather *g, struct model *m, const struct place *places, uint64_t bytes, struct kluis_err *err)
{
    uint64_t used = 0;
    for (uint32_t k = 0; k < g->n; k++) {
        struct frame f;
        KLUIS_TRY(m->frames.seek(m->frames.ctx, places[k].at, err));
        kluis_status rc = m->frames.raw(m->frames.ctx, &f, err);
        if (rc != KLUIS_OK && rc != KLUIS_END) { return rc; }
        if (rc == KLUIS_END || f.damage != NULL || f.at != places[k].at || f.raw.len > bytes - used) { return changed(m, err); }
        g->frames[places[k].i] = (struct kept){ (uint32_t)used, (uint32_t)f.raw.len };
        if (f.raw.len > 0) { memcpy(g->bytes + used, f.raw.ptr, f.raw.len); }
        used += f.raw.len;
    }
    return KLUIS_OK;
}

kluis_status gather_fill(struct gather *g, struct model *m, uint32_t first, uint32_t end, struct kluis_err *err)
{
    const uint64_t room = m->offsets_held < OFFSETS_MAX ? OFFSETS_MAX - m->offsets_held : 0;
    uint64_t bytes = 0, items = 0, taken = 0;
    uint32_t last = first;
    gather_free(g);
    if (m->frames.raw == NULL) { return KLUIS_OK; }
    for (; last < end && size_of(&m->chat[last]) <= room - taken && (m->chat[last].items == 0 || m->chat[last].offsets != NULL); last++) {
        taken += size_of(&m->chat[last]);
        bytes += m->chat[last].bytes;
        items += m->chat[last].items;
    }
    if (last - first < 2 || items == 0) { return KLUIS_OK; } /* one alone is read as well where it stands */
    struct place *places = kluis_malloc(items * sizeof *places);
    g->bytes = kluis_malloc(bytes + 1);
    g->frames = kluis_malloc(items * sizeof *g->frames);
    kluis_status rc = places == NULL || g->bytes == NULL || g->frames == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again") : KLUIS_OK;
    for (uint32_t c = first; rc == KLUIS_OK && c < last; c++) {
        const uint32_t before = g->n;
        uint64_t at = 0;
        for (size_t next = 0; g->n < items && chat_offset(&m->chat[c], &next, &at); g->n++) { places[g->n] = (struct place){ at, g->n }; }
        if (g->n - before != m->chat[c].items) { rc = changed(m, err); }
    }
    if (rc == KLUIS_OK) {
        qsort(places, g->n, sizeof *places, by_place);
        rc = read_frames(g, m, places, bytes, err);
    }
    kluis_free(places);
    g->first = g->chat = first;
    g->end = last;
    if (rc != KLUIS_OK) { gather_free(g); }
    return rc;
}

bool gather_holds(const struct gather *g, uint32_t chat) { return chat >= g->first && chat < g->end; }

void gather_turn(struct gather *g, const struct model *m, uint32_t chat)
{
    for (; g->chat < chat; g->chat++) { g->start += (uint32_t)m->chat[g->chat].items; }
    g->next = g->start;
    g->stop = g->start + (uint32_t)m->chat[chat].items;
}

kluis_status gather_next(struct gather *g, struct model *m, struct frame *f, struct kluis_err *err)
{
    if (g->next == g->stop) { return KLUIS_END; }
    const struct kept *k = &g->frames[g->next++];
    if (g->next + AHEAD < g->n) { /* frames of a chat lie far from each other */
        const struct kept *far = &g->frames[g->next + AHEAD];
        for (uint32_t i = 0; i < far->len && i < 1024; i += 64) { __builtin_prefetch(g->bytes + far->from + i); }
    }
    *f = (struct frame){ .raw = { (const char *)g->bytes + k->from, k->len }, .at = UINT64_MAX };
    kluis_status rc = m->frames.tree(m->frames.ctx, f, m->tree, NULL);
    if (rc == KLUIS_E_NOMEM) { return KLUIS_FAIL(err, rc, "out of memory; try again"); }
    return rc != KLUIS_OK || f->tree == NULL ? changed(m, err) : KLUIS_OK;
}
