/* json_items.c - see json_items.h. */
#include "agent/source/json_items.h"

enum { BEGINNINGS = 8, BEGINNING_MAX = 32 };
/* Looking whether what stands at a place is one may mean looking at all that follows: of hostile bytes, at every place.  So that it stays
 * proportional to the document, places are left out once more was looked at than so many times what was passed over. */
enum { LOOKS = 64, LOOKS_FREE = 16 << 20 };

struct beginnings { /* members that elements seen so far began with */
    char text[BEGINNINGS][BEGINNING_MAX];
    const char *list[BEGINNINGS + 1];
    size_t n;
};

static void learn(struct beginnings *b, struct kluis_str key)
{
    if (key.ptr == NULL || key.len == 0 || key.len >= BEGINNING_MAX) { return; }
    for (size_t i = 0; i < b->n; i++) {
        if (kluis_str_is(key, b->list[i])) { return; }
    }
    if (b->n == BEGINNINGS || memchr(key.ptr, 0, key.len) != NULL) { return; }
    memcpy(b->text[b->n], key.ptr, key.len);
    b->text[b->n][key.len] = '\0';
    b->list[b->n] = b->text[b->n];
    b->n++;
}

/* NULL: no object that is one. */
static struct json *read_one(const struct json_items *i, struct kluis_str raw)
{
    struct json *m = NULL;
    kluis_arena_clear(i->tree);
    if (json_read_loose(raw, i->tree, &m, NULL) != KLUIS_OK || m->type != JSON_OBJECT) { return NULL; }
    return i->is_one == NULL || i->is_one(m) ? m : NULL;
}

/* Most objects stand whole in what is buffered already: those are read without looking for their ends first.  NULL: this one is not one of
 * them, or none; nothing has changed. */
static struct json *read_ahead(const struct json_items *i, struct kluis_str *raw)
{
    struct kluis_str ahead = json_stream_ahead(i->stream);
    struct json *m = NULL;
    size_t n = 0;
    if (ahead.len == 0 || ahead.ptr[0] != '{') { return NULL; }
    kluis_arena_clear(i->tree);
    if (json_read_first(ahead, i->tree, &m, &n, NULL) != KLUIS_OK || n > i->stream->value_max || (i->is_one != NULL && !i->is_one(m))) {
        return NULL;
    }
    *raw = (struct kluis_str){ ahead.ptr, n };
    return m;
}

static bool refusal(kluis_status rc) { return rc == KLUIS_E_REJECT || rc == KLUIS_E_LIMIT; }

kluis_status json_items(struct json_items *i, enum json_items_end *end, struct kluis_err *err)
{
    struct json_stream *s = i->stream;
    struct beginnings seen = { .n = 0 };
    bool lost = false; /* after damage: the stream stands at what may be one */
    uint64_t from = 0, work = 0;
    learn(&seen, kluis_str_of(i->first));
    *end = JSON_ITEMS_CLOSED;
    for (;;) {
        struct kluis_err why = { 0 };
        struct kluis_str key, raw = { NULL, 0 };
        struct json *m = NULL;
        uint64_t at = json_stream_at(s);
        kluis_status rc = lost ? KLUIS_OK : json_stream_next(s, &key, &why);
        if (rc == KLUIS_END) { return KLUIS_OK; }
        if (rc == KLUIS_OK && !lost) { m = read_ahead(i, &raw); }
        if (m != NULL) {
            at = json_stream_at(s);
            rc = json_stream_drop(s, raw.len, &why); /* it is there: nothing moves */
        }
        if (rc == KLUIS_OK && m == NULL) { rc = json_stream_take(s, &raw, &at, &why); }
        if (rc == KLUIS_OK && m == NULL) { m = read_one(i, raw); }
        if (m != NULL) {
            if (lost && i->damage != NULL) { KLUIS_TRY(i->damage(i->ctx, from, at - from, false, err)); }
            lost = false;
            if (m->child != NULL) { learn(&seen, m->child->key); }
            KLUIS_TRY(i->item(i->ctx, m, raw, at, err));
            continue;
        }
        if (rc != KLUIS_OK && !refusal(rc)) {
            if (err != NULL) { *err = why; }
            return rc;
        }
        if (rc == KLUIS_OK) { json_stream_untake(s, raw.len); } /* its brackets may have swallowed others */
        if (!lost) {
            from = json_stream_at(s);
            work = s->work;
        }
        lost = true;
        bool at_outer = false;
        kluis_err_clear(&why);
        uint64_t due = (s->work - work - (s->work - work < LOOKS_FREE ? s->work - work : LOOKS_FREE)) / LOOKS, gone = json_stream_at(s) - from;
        rc = due > gone ? json_stream_drop(s, due - gone, &why) : KLUIS_OK;
        if (rc == KLUIS_OK) { rc = json_stream_resync(s, seen.list, i->outer, &at_outer, &why); }
        if (rc != KLUIS_OK && rc != KLUIS_END) {
            if (err != NULL) { *err = why; }
            return rc;
        }
        if (rc != KLUIS_END && !at_outer) { continue; }
        *end = rc == KLUIS_END ? JSON_ITEMS_DOCUMENT : JSON_ITEMS_OUTER;
        return i->damage == NULL ? KLUIS_OK : i->damage(i->ctx, from, json_stream_at(s) - from, rc == KLUIS_END, err);
    }
}
