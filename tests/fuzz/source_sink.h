/* tests/fuzz/source_sink.h - takes what a chat source gives: every header and record must be one that can be written. */
#ifndef FUZZ_SOURCE_SINK_H
#define FUZZ_SOURCE_SINK_H

#include "agent/source/source.h"
#include "tests/fuzz/fuzz.h"

struct source_seen {
    const struct kluis_header *h;
    struct kluis_buf lines;
    bool open;
};

static kluis_status on_begin(void *ctx, const struct kluis_header *h, KLUIS_UNUSED struct kluis_err *err)
{
    struct source_seen *s = ctx;
    MUST(!s->open);
    s->open = true;
    s->h = h;
    MUST(kluis_header_write(h, &s->lines, NULL) == KLUIS_OK);
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
#define SOURCE_SINK(seen)                                                                                                                            \
    {                                                                                                                                                \
        (seen), on_begin, on_record, on_end, on_skipped                                                                                              \
    }

#endif
