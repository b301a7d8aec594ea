/* Cells of an iPhone's WhatsApp that hold protobuf: reactions and quotes lie within the cell. */
#include "agent/source/whatsapp_ios/ios.h"
#include "tests/fuzz/fuzz.h"

static const uint8_t *from, *to;
static void within(struct kluis_str s) { MUST(s.ptr == NULL || ((const uint8_t *)s.ptr >= from && (const uint8_t *)s.ptr + s.len <= to)); }
static void one(KLUIS_UNUSED void *ctx, const struct ios_reaction *r)
{
    within(r->key);
    within(r->jid);
    within(r->emoji);
    MUST(r->ms >= 0 && (r->key.len > 0 || r->emoji.len > 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct ios_quote q;
    from = p;
    to = p + n;
    (void)ios_reactions((struct kluis_bytes){ p, n }, one, NULL);
    if (ios_quote((struct kluis_bytes){ p, n }, &q)) {
        within(q.key);
        within(q.jid);
        within(q.text);
        MUST(q.key.len >= 8 && q.key.len <= 128);
    }
    return 0;
}
