/* agent/journal/copy.c - deep copies into an arena.  See copy.h.
 *
 * One sticky flag instead of a test after every string: nothing is read back before it was looked at. */
#include "agent/journal/copy.h"

struct copier {
    struct kluis_arena *a;
    bool full;
};

static struct kluis_str str(struct copier *c, struct kluis_str s)
{
    struct kluis_str r = kluis_arena_str(c->a, s);
    if (s.ptr != NULL && r.ptr == NULL) { c->full = true; }
    return r;
}

static void *array(struct copier *c, const void *p, size_t n, size_t size)
{
    if (n == 0) { return NULL; }
    void *q = n > SIZE_MAX / size ? NULL : kluis_arena_alloc(c->a, n * size);
    if (q == NULL) {
        c->full = true;
        return NULL;
    }
    memcpy(q, p, n * size);
    return q;
}

static const struct kluis_str *strings(struct copier *c, const struct kluis_str *p, size_t n)
{
    struct kluis_str *q = array(c, p, n, sizeof *p);
    for (size_t i = 0; q != NULL && i < n; i++) { q[i] = str(c, p[i]); }
    return q;
}

static kluis_status done(const struct copier *c, struct kluis_err *err)
{
    return c->full ? KLUIS_FAIL(err, KLUIS_E_LIMIT, "one conversation's header or record is larger than the agent holds") : KLUIS_OK;
}

kluis_status copy_header(struct kluis_arena *a, const struct kluis_header *h, struct kluis_header *out, struct kluis_err *err)
{
    struct copier c = { a, false };
    *out = *h;
    out->platform = str(&c, h->platform);
    out->conversation_id = str(&c, h->conversation_id);
    out->conversation_name = str(&c, h->conversation_name);
    struct kluis_party *parties = array(&c, h->parties, h->n_parties, sizeof *h->parties);
    for (uint32_t i = 0; parties != NULL && i < h->n_parties; i++) {
        parties[i].id = str(&c, h->parties[i].id);
        parties[i].name = str(&c, h->parties[i].name);
        parties[i].number = str(&c, h->parties[i].number);
    }
    out->parties = parties;
    out->participants = array(&c, h->participants, h->n_participants, sizeof *h->participants);
    out->provenance.source = str(&c, h->provenance.source);
    out->provenance.app = str(&c, h->provenance.app);
    out->provenance.app_version = str(&c, h->provenance.app_version);
    out->provenance.os = str(&c, h->provenance.os);
    out->provenance.device = str(&c, h->provenance.device);
    out->provenance.reader = str(&c, h->provenance.reader);
    out->zone_name = str(&c, h->zone_name);
    out->loss = strings(&c, h->loss, h->n_loss);
    return done(&c, err);
}

kluis_status copy_bytes(struct kluis_arena *a, struct kluis_bytes b, struct kluis_bytes *out, struct kluis_err *err)
{
    struct copier c = { a, false };
    struct kluis_str s = str(&c, (struct kluis_str){ (const char *)b.ptr, b.len });
    *out = (struct kluis_bytes){ (const uint8_t *)s.ptr, s.len };
    return done(&c, err);
}

kluis_status copy_record(struct kluis_arena *a, const struct kluis_record *r, struct kluis_record *out, struct kluis_err *err)
{
    struct copier c = { a, false };
    *out = *r;
    out->id = str(&c, r->id);
    struct kluis_time_field *times = array(&c, r->times, r->n_times, sizeof *r->times);
    for (size_t i = 0; times != NULL && i < r->n_times; i++) { times[i].name = str(&c, r->times[i].name); }
    out->times = times;
    out->text = str(&c, r->text);
    struct kluis_str raw = str(&c, (struct kluis_str){ (const char *)r->text_raw.ptr, r->text_raw.len });
    out->text_raw = (struct kluis_bytes){ (const uint8_t *)raw.ptr, raw.len };
    struct kluis_attachment *files = array(&c, r->attachments, r->n_attachments, sizeof *r->attachments);
    for (size_t i = 0; files != NULL && i < r->n_attachments; i++) {
        files[i].name = str(&c, r->attachments[i].name);
        files[i].type = str(&c, r->attachments[i].type);
        files[i].source_ref = str(&c, r->attachments[i].source_ref);
        files[i].loss = str(&c, r->attachments[i].loss);
    }
    out->attachments = files;
    out->target = str(&c, r->target);
    out->quote = str(&c, r->quote);
    out->value = str(&c, r->value);
    out->event = str(&c, r->event);
    out->options = strings(&c, r->options, r->n_options);
    struct kluis_field *fields = array(&c, r->fields, r->n_fields, sizeof *r->fields);
    for (size_t i = 0; fields != NULL && i < r->n_fields; i++) {
        fields[i].name = str(&c, r->fields[i].name);
        fields[i].value = str(&c, r->fields[i].value);
    }
    out->fields = fields;
    out->loss = strings(&c, r->loss, r->n_loss);
    return done(&c, err);
}
