/* tests/fuzz/source_sink.h - takes what a chat source gives: every header and record must be one that can be written; then every attachment that
 * they named can be read to its end, or says why not. */
#ifndef FUZZ_SOURCE_SINK_H
#define FUZZ_SOURCE_SINK_H

#include "agent/source/source.h"
#include "tests/fuzz/fuzz.h"

enum { SOURCE_REFS = 64, SOURCE_REF_MAX = 512, SOURCE_ID_MAX = 512 };
struct source_seen {
    const struct kluis_header *h;
    struct kluis_buf lines;
    bool open;
    char ref[SOURCE_REFS][SOURCE_REF_MAX]; /* what the attachments of the first conversation that has any name, each so long */
    size_t ref_len[SOURCE_REFS], n_refs;
    char id[SOURCE_ID_MAX]; /* of that conversation */
    size_t id_len;
};

static kluis_status on_begin(void *ctx, const struct kluis_header *h, KLUIS_UNUSED struct kluis_err *err)
{
    struct source_seen *s = ctx;
    MUST(!s->open);
    s->open = true;
    s->h = h;
    struct kluis_err why = { 0 };
    if (kluis_header_write(h, &s->lines, &why) != KLUIS_OK) {
        (void)fprintf(stderr, "a header that cannot be written: %s\n", why.msg);
        abort();
    }
    return KLUIS_OK;
}
static kluis_status on_record(void *ctx, const struct kluis_record *r, struct kluis_bytes raw, KLUIS_UNUSED struct kluis_err *err)
{
    struct source_seen *s = ctx;
    struct kluis_err why = { 0 };
    MUST(s->open);
    size_t before = s->lines.len;
    if (kluis_record_write(r, s->h, &s->lines, &why) != KLUIS_OK) {
        (void)fprintf(stderr, "a record that cannot be written: %s\n", why.msg);
        abort();
    }
    /* Many records of a few bytes: what matters of them is their digest. */
    uint8_t sum[32];
    kluis_sha256_of(s->lines.data + before, s->lines.len - before, sum);
    s->lines.len = before;
    kluis_buf_add(&s->lines, sum, 8);
    kluis_sha256_of(raw.ptr, raw.len, sum);
    kluis_buf_add(&s->lines, sum, 8);
    MUST(s->lines.status == KLUIS_OK);
    for (size_t i = 0; i < r->n_attachments && s->n_refs < SOURCE_REFS; i++) {
        struct kluis_str ref = r->attachments[i].source_ref;
        const struct kluis_str id = s->h->conversation_id;
        if (ref.ptr == NULL || ref.len > SOURCE_REF_MAX || id.len > SOURCE_ID_MAX) { continue; }
        if (s->n_refs == 0) {
            if (id.len > 0) { memcpy(s->id, id.ptr, id.len); }
            s->id_len = id.len;
        }
        if (id.len != s->id_len || (id.len > 0 && memcmp(id.ptr, s->id, id.len) != 0)) { continue; }
        memcpy(s->ref[s->n_refs], ref.ptr, ref.len);
        s->ref_len[s->n_refs++] = ref.len;
    }
    return KLUIS_OK;
}
static kluis_status on_end(void *ctx, KLUIS_UNUSED struct kluis_err *err)
{
    struct source_seen *s = ctx;
    MUST(s->open);
    s->open = false;
    return KLUIS_OK;
}
static kluis_status on_skipped(void *ctx, const struct source_skip *k, KLUIS_UNUSED struct kluis_err *err)
{
    struct source_seen *s = ctx;
    kluis_buf_fmt(&s->lines, "%s %s %s", k->what, k->where, k->why);
    return KLUIS_OK;
}

static kluis_status on_attachment(void *ctx, size_t index, const struct kluis_input *in, struct kluis_err *err)
{
    uint8_t b[1000];
    ssize_t n;
    MUST(index < ((const struct source_seen *)ctx)->n_refs);
    while ((n = in->read(in->ctx, b, sizeof b, err)) > 0) { MUST((size_t)n <= sizeof b); }
    MUST(n == 0 || err->code != KLUIS_OK);
    return n == 0 ? KLUIS_OK : err->code;
}
static inline void source_drain(const struct source_kind *k, const struct source_request *q, struct source_seen *s)
{
    struct kluis_str wanted[SOURCE_REFS];
    struct kluis_err err = { 0 };
    const struct source_attachment_sink to = { s, on_attachment };
    for (size_t i = 0; i < s->n_refs; i++) { wanted[i] = (struct kluis_str){ s->ref[i], s->ref_len[i] }; }
    kluis_status rc = k->attachments(q, (struct kluis_str){ s->id, s->id_len }, wanted, s->n_refs, &to, &err);
    MUST(rc == err.code && rc != KLUIS_E_BUG);
}
#define SOURCE_SINK(seen)                                                                                                                            \
    {                                                                                                                                                \
        (seen), on_begin, on_record, on_end, on_skipped                                                                                              \
    }

#endif
