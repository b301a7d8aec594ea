/* HTML of a message: its text is as long as it can be and no longer, valid where the input was, whatever its tags. */
#include "agent/source/html.h"
#include "tests/fuzz/fuzz.h"

void fuzz_setup(void) {}

static enum html_do on_tag(void *ctx, const struct html_tag *t, struct kluis_buf *text)
{
    struct kluis_arena *a = ctx;
    static const char *const names[] = { "href", "alt", "itemid" };
    for (size_t i = 0; i < 3; i++) {
        struct kluis_str v = html_attr(t, names[i], a);
        if (i == 2 && v.len > 0) { kluis_buf_str(text, v); }
    }
    kluis_arena_clear(a);
    return html_is(t, "blockquote") ? HTML_ASIDE : html_is(t, "x") ? HTML_SKIP : html_is(t, "y") ? HTML_DONE : HTML_USUAL;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    KLUIS_AUTO(kluis_arena) a = kluis_arena_new(8 << 20);
    const struct html_hook hook = { a, on_tag };
    bool valid = kluis_utf8_valid((const char *)p, n) == n;
    for (int keep = 0; keep < 2; keep++) {
        KLUIS_AUTO_BUF(text, 64 << 20);
        KLUIS_AUTO_BUF(aside, 64 << 20);
        html_text((struct kluis_str){ (const char *)p, n }, keep != 0, &hook, &text, &aside);
        MUST(text.status == KLUIS_OK && aside.status == KLUIS_OK);
        MUST(text.len + aside.len <= 16 * n + 64);
        if (valid && text.len > 0) { MUST(kluis_utf8_valid((const char *)text.data, text.len) == text.len); }
    }
    struct kluis_str v = html_inside((struct kluis_str){ (const char *)p, n }, "value", a);
    MUST(v.ptr == NULL || v.len <= 4 * n);
    return 0;
}
