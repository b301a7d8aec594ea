/* A WhatsApp chat as text: however few bytes a read gives, the records are the same and can be written. */
#include "agent/source/whatsapp_text/wa.h"
#include "tests/fuzz/source_sink.h"

struct memory {
    const uint8_t *p;
    size_t n, at, step;
};

static ssize_t memory_read(void *ctx, void *to, size_t n, KLUIS_UNUSED struct kluis_err *err)
{
    struct memory *m = ctx;
    size_t k = m->n - m->at;
    if (m->step != 0 && k > m->step) { k = m->step; }
    if (k > n) { k = n; }
    if (k > 0) { memcpy(to, m->p + m->at, k); }
    m->at += k;
    return (ssize_t)k;
}
static kluis_status memory_open(void *ctx, struct kluis_input *in, KLUIS_UNUSED struct kluis_err *err)
{
    ((struct memory *)ctx)->at = 0;
    *in = (struct kluis_input){ ctx, memory_read };
    return KLUIS_OK;
}
static void memory_close(KLUIS_UNUSED void *ctx) {}

static struct wa_settings settings;
static struct wa_place none;

void fuzz_setup(void)
{
    static const struct source_option options[] = { { .key = "zone", .value = "Europe/Amsterdam" } };
    const struct source_request q = { "chat.txt", options, 0 };
    MUST(wa_settings_of(&q, &settings, NULL) == KLUIS_OK);
}

static kluis_status once(const uint8_t *p, size_t n, size_t step, struct kluis_buf *lines)
{
    struct memory m = { p, n, 0, step };
    const struct wa_opener open = { &m, memory_open, memory_close };
    struct source_seen seen = { .lines = *lines };
    const struct source_sink sink = SOURCE_SINK(&seen);
    struct kluis_err err = { 0 };
    kluis_status rc = wa_read_chat(&open, "chat.txt", "Overleg", &settings, &none, &sink, &err);
    *lines = seen.lines;
    MUST(rc == err.code && (rc != KLUIS_OK || !seen.open));
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    KLUIS_AUTO_BUF(whole, 64 << 20);
    KLUIS_AUTO_BUF(pieces, 64 << 20);
    kluis_status a = once(p, n, 0, &whole), b = once(p, n, 3, &pieces);
    MUST(a == b && whole.len == pieces.len && (whole.len == 0 || memcmp(whole.data, pieces.data, whole.len) == 0));
    return 0;
}
