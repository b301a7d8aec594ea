/* agent/pack/fill.c - attachments, then records, into one package.  See internal.h.
 *
 * The writer wants attachments first, because records carry their digests.  The source delivers them in its own order. */
#include "agent/pack/internal.h"

static kluis_status no_memory(struct kluis_err *err) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory to fill a package"); }

void fill_clear(struct fill *f)
{
    for (size_t i = f->from; f->before != NULL && i < f->to; i++) { f->slice->items[i].r->attachments = f->before[i - f->from]; }
    kluis_free(f->before);
    kluis_free(f->wants);
    kluis_free(f->refs);
    kluis_free(f->found);
    kluis_free(f->bad);
    kluis_arena_free(f->scratch);
    f->before = NULL;
    f->wants = NULL;
    f->refs = NULL;
    f->found = f->bad = NULL;
    f->scratch = NULL;
}

static int by_ref(const void *x, const void *y)
{
    const struct want *a = x, *b = y;
    size_t n = a->ref.len < b->ref.len ? a->ref.len : b->ref.len;
    int d = n == 0 ? 0 : memcmp(a->ref.ptr, b->ref.ptr, n);
    return d != 0 ? d : a->ref.len < b->ref.len ? -1 : a->ref.len > b->ref.len ? 1 : 0;
}

kluis_status fill_plan(struct fill *f, struct kluis_err *err)
{
    size_t n = 0;
    for (size_t i = f->from; i < f->to; i++) { n += f->slice->items[i].r->n_attachments; }
    f->scratch = kluis_arena_new(16 << 20);
    f->wants = kluis_calloc(n + 1, sizeof *f->wants);
    f->refs = kluis_calloc(n + 1, sizeof *f->refs);
    f->found = kluis_calloc(n + 1, 1);
    f->bad = kluis_calloc(n + 1, 1);
    f->before = kluis_calloc(f->to - f->from, sizeof *f->before);
    for (size_t i = f->from; f->before != NULL && i < f->to; i++) { f->before[i - f->from] = f->slice->items[i].r->attachments; }
    if (f->scratch == NULL || f->before == NULL || f->wants == NULL || f->refs == NULL || f->found == NULL || f->bad == NULL) {
        return no_memory(err);
    }
    for (size_t i = f->from; i < f->to; i++) {
        struct kluis_record *r = f->slice->items[i].r;
        if (r->n_attachments == 0) { continue; }
        struct kluis_attachment *files = kluis_arena_alloc(f->scratch, r->n_attachments * sizeof *files);
        if (files == NULL) { return no_memory(err); }
        memcpy(files, r->attachments, r->n_attachments * sizeof *files);
        r->attachments = files; /* until fill_clear: a slice that has to be cut in two starts again from the source's view */
        for (size_t k = 0; k < r->n_attachments; k++) {
            if (files[k].source_ref.ptr != NULL && files[k].loss.ptr == NULL) {
                f->wants[f->n_wants++] = (struct want){ files[k].source_ref, &files[k], 0 };
            }
        }
    }
    qsort(f->wants, f->n_wants, sizeof *f->wants, by_ref);
    for (size_t i = 0; i < f->n_wants; i++) {
        if (i == 0 || by_ref(&f->wants[i - 1], &f->wants[i]) != 0) { f->refs[f->n_refs++] = f->wants[i].ref; }
        f->wants[i].index = f->n_refs - 1;
    }
    return people_narrow(f, err);
}

/* ---- attachments ---- */

/* One part of an input; `more` tells whether it went on. */
struct window {
    const struct kluis_input *in;
    uint64_t skip, left;
    bool more, peeked;
    uint8_t first;
};

static ssize_t window_read(void *ctx, void *p, size_t n, struct kluis_err *err)
{
    struct window *w = ctx;
    if (w->peeked && n > 0) {
        *(uint8_t *)p = w->first;
        w->peeked = false;
        return 1;
    }
    while (w->skip > 0) {
        uint8_t waste[16384];
        size_t want = w->skip < sizeof waste ? (size_t)w->skip : sizeof waste;
        ssize_t got = w->in->read(w->in->ctx, waste, want, err);
        if (got <= 0) { return got; }
        w->skip -= (uint64_t)got;
    }
    if (w->left == 0) {
        uint8_t one = 0;
        if (n == 0 || w->more) { return 0; }
        ssize_t got = w->in->read(w->in->ctx, &one, 1, err);
        if (got > 0) { w->more = true; }
        return got < 0 ? got : 0;
    }
    if (n > w->left) { n = (size_t)w->left; }
    ssize_t got = w->in->read(w->in->ctx, p, n, err);
    if (got > 0) { w->left -= (uint64_t)got; }
    return got;
}

static kluis_status attachment(void *ctx, size_t index, const struct kluis_input *in, struct kluis_err *err)
{
    struct fill *f = ctx;
    uint8_t sha[32];
    uint64_t size = 0;
    if (index >= f->n_refs) { return KLUIS_FAIL(err, KLUIS_E_BUG, "the source delivered an attachment nobody asked for"); }
    if (f->found[index] || f->bad[index]) { return KLUIS_OK; }
    size_t first = 0;
    while (f->wants[first].index != index) { first++; }
    const struct kluis_attachment *a = f->wants[first].file;
    char name[KLUIS_PACKAGE_NAME_MAX + 1];
    struct kluis_str stored = a->name;
    struct window w = { in, f->part * f->p->s.part_bytes, f->split ? f->p->s.part_bytes : UINT64_MAX, false, false, 0 };
    struct kluis_input cut = { &w, window_read };
    if (f->split) {
        size_t room = sizeof name - 12, len = a->name.len < room ? a->name.len : room;
        len = kluis_utf8_valid(a->name.ptr == NULL ? "" : a->name.ptr, len);
        int n = snprintf(name, sizeof name, "%.*s.part%03u", (int)len, a->name.ptr == NULL ? "" : a->name.ptr, (unsigned)f->part + 1);
        stored = kluis_arena_str(f->scratch, (struct kluis_str){ name, n < 0 ? 0 : (size_t)n });
        if (stored.ptr == NULL) { return no_memory(err); }
    }
    if (f->part > 0) { /* the shorter ones among several have ended before this part */
        ssize_t got = window_read(&w, &w.first, 1, err);
        if (got < 0) {
            f->failed = index;
            return KLUIS_E_REJECT;
        }
        w.peeked = got == 1;
        if (got == 0) { f->found[index] = true; }
        for (size_t i = first; got == 0 && i < f->n_wants && f->wants[i].index == index; i++) { f->wants[i].file->has_sha256 = false; }
        if (got == 0) { return KLUIS_OK; }
    }
    kluis_status rc = kluis_package_attachment(f->writer, stored, a->type, &cut, sha, &size, err);
    if (rc != KLUIS_OK) {
        f->failed = index;
        return rc;
    }
    f->found[index] = true;
    f->more = f->more || w.more;
    for (size_t i = first; i < f->n_wants && f->wants[i].index == index; i++) {
        struct kluis_attachment *file = f->wants[i].file;
        if (f->split && (f->part > 0 || w.more)) { file->name = stored; }
        file->size = (int64_t)size;
        file->has_sha256 = true;
        memcpy(file->sha256, sha, sizeof sha);
    }
    return KLUIS_OK;
}

static kluis_status fetch(struct fill *f, struct kluis_err *err)
{
    struct pack *p = f->p;
    struct source_attachment_sink sink = { f, attachment };
    memset(f->found, 0, f->n_refs);
    f->failed = SIZE_MAX;
    f->more = false;
    uint64_t mark = kluis_memory_mark();
    if (f->n_refs > 0) { KLUIS_TRY(p->s.kind->attachments(p->s.request, p->header.conversation_id, f->refs, f->n_refs, &sink, err)); }
    if (kluis_memory_refused(mark)) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for attachments: try again"); } /* not: "damaged" */
    for (size_t i = 0; i < f->n_wants; i++) {
        struct kluis_attachment *file = f->wants[i].file;
        file->loss = (struct kluis_str){ NULL, 0 };
        if (f->found[f->wants[i].index]) { continue; }
        file->has_sha256 = false;
        file->loss = f->bad[f->wants[i].index] ? KLUIS_STR_LIT("unreadable") : KLUIS_STR_LIT("missing");
    }
    return KLUIS_OK;
}

/* ---- records ---- */

/* A later part of a split attachment stands in an event of its own that points at the message. */
static kluis_status part_record(struct fill *f, const struct kluis_record *r, struct kluis_record *out, struct kluis_err *err)
{
    struct kluis_attachment *files = kluis_arena_alloc(f->scratch, (r->n_attachments + 1) * sizeof *files);
    struct kluis_field *field = kluis_arena_alloc(f->scratch, sizeof *field);
    if (files == NULL || field == NULL) { return no_memory(err); }
    size_t n = 0;
    for (size_t i = 0; i < r->n_attachments; i++) {
        if (r->attachments[i].has_sha256 && r->attachments[i].size > 0) { files[n++] = r->attachments[i]; }
    }
    *field = (struct kluis_field){ .name = KLUIS_STR_LIT("part"), .number = (int64_t)f->part + 1, .is_int = true };
    *out = (struct kluis_record){ .kind = KLUIS_EVENT,
                                  .author = r->author,
                                  .sent = r->sent,
                                  .zone = r->zone,
                                  .target = r->id,
                                  .target_author = r->author,
                                  .target_sent = r->sent,
                                  .event = KLUIS_STR_LIT("attachment-part"),
                                  .attachments = files,
                                  .n_attachments = n,
                                  .fields = field,
                                  .n_fields = 1 };
    return KLUIS_OK;
}

uint64_t fill_records(const struct fill *f) { return f->to - f->from; }

kluis_status fill_write(struct fill *f, uint8_t root[32], struct kluis_err *err)
{
    KLUIS_TRY(fetch(f, err));
    KLUIS_TRY(kluis_package_records_begin(f->writer, err));
    for (size_t i = f->from; i < f->to; i++) {
        const struct item *it = &f->slice->items[i];
        struct kluis_record r = *it->r;
        if (f->part > 0) { KLUIS_TRY(part_record(f, it->r, &r, err)); }
        r.author = people_party(f, r.author);
        r.target_author = people_party(f, r.target_author);
        KLUIS_TRY(kluis_package_record(f->writer, &r, f->part > 0 ? (struct kluis_bytes){ NULL, 0 } : it->raw, err));
    }
    return kluis_package_records_end(f->writer, root, err);
}
