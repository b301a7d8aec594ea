/* A file of SMS Backup & Restore: every record of it can be written, every attachment can be read to its end. */
#include "tests/fuzz/source_sink.h"

static int fd = -1;
static char path[KLUIS_PATH_MAX];
static struct kluis_arena *refs;
static struct kluis_str ref[64];
static size_t n_refs;
static struct source_seen seen;

void fuzz_setup(void)
{
    MUST(kluis_path(path, sizeof path, fuzz_dir(), "sms.xml", NULL) == KLUIS_OK);
    fd = fuzz_file(path);
    refs = kluis_arena_new(1 << 20);
    MUST(refs != NULL);
}

static kluis_status with_refs(void *ctx, const struct kluis_record *r, struct kluis_bytes raw, struct kluis_err *err)
{
    for (size_t i = 0; i < r->n_attachments && n_refs < 64; i++) {
        if (r->attachments[i].source_ref.ptr != NULL) { ref[n_refs++] = kluis_arena_str(refs, r->attachments[i].source_ref); }
    }
    return on_record(ctx, r, raw, err);
}

static kluis_status drain(void *ctx, size_t index, const struct kluis_input *in, struct kluis_err *err)
{
    uint8_t b[1000];
    ssize_t n;
    (void)ctx;
    (void)index;
    while ((n = in->read(in->ctx, b, sizeof b, err)) > 0) { continue; }
    MUST(n == 0);
    return KLUIS_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    MUST(kluis_io_ftruncate(fd, 0) == 0 && kluis_io_pwrite(fd, p, n, 0) == (ssize_t)n);
    const struct source_request q = { .path = path };
    kluis_arena_clear(refs);
    n_refs = 0;
    seen = (struct source_seen){ 0 };
    kluis_buf_init(&seen.lines, 64 << 20);
    const struct source_sink sink = { &seen, on_begin, with_refs, on_end, on_skipped };
    const struct source_attachment_sink attachments = { NULL, drain };
    struct kluis_err err = { 0 };
    kluis_status rc = source_sms.read(&q, &sink, &err);
    MUST(rc == err.code && (rc != KLUIS_OK || !seen.open) && rc != KLUIS_E_BUG && rc != KLUIS_E_IO);
    kluis_buf_free(&seen.lines);
    struct source_file f = { "", path, n, { p, n < SOURCE_HEAD_MAX ? n : SOURCE_HEAD_MAX } };
    (void)source_sms.probe(&f);
    return source_sms.attachments(&q, KLUIS_STR_LIT(""), ref, n_refs, &attachments, NULL) != KLUIS_OK;
}
