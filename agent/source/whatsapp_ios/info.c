/* info.c - reactions and quotes, which stand as protobuf in cells.  See ios.h. */
#include "agent/source/whatsapp_ios/ios.h"

#include "agent/source/protobuf.h"

static struct kluis_str text_of(const struct pb_field *f)
{
    return f->type == PB_BYTES ? (struct kluis_str){ (const char *)f->bytes.ptr, f->bytes.len } : (struct kluis_str){ NULL, 0 };
}

/* 7.1: key, JID, emoji, ms.  7.2: key, emoji, ms. */
static bool reaction(struct kluis_bytes b, bool with_jid, struct ios_reaction *r)
{
    struct pb m = pb_open(b);
    struct pb_field f;
    int more;
    memset(r, 0, sizeof *r);
    while ((more = pb_next(&m, &f)) == 1) {
        uint32_t n = with_jid || f.number == 1 ? f.number : f.number + 1;
        if (n == 1) { r->key = text_of(&f); }
        if (n == 2 && with_jid) { r->jid = text_of(&f); }
        if (n == 3) { r->emoji = text_of(&f); }
        if (n == 4 && f.type == PB_VARINT && f.value <= INT64_MAX) { r->ms = (int64_t)f.value; }
    }
    return more == 0 && (r->emoji.len > 0 || r->key.len > 0);
}

bool ios_reactions(struct kluis_bytes blob, void (*fn)(void *ctx, const struct ios_reaction *r), void *ctx)
{
    struct pb m = pb_open(blob);
    struct pb_field f, g;
    int more, inner = 0;
    while ((more = pb_next(&m, &f)) == 1) {
        if (f.number != 7 || f.type != PB_BYTES) { continue; }
        struct pb s = pb_open(f.bytes);
        while ((inner = pb_next(&s, &g)) == 1) {
            struct ios_reaction r;
            if (g.type == PB_BYTES && (g.number == 1 || g.number == 2) && reaction(g.bytes, g.number == 1, &r)) { fn(ctx, &r); }
        }
        if (inner < 0) { return false; }
    }
    return more == 0;
}

bool ios_quote(struct kluis_bytes blob, struct ios_quote *out)
{
    struct pb m = pb_open(blob);
    struct pb_field f, g;
    memset(out, 0, sizeof *out);
    while (pb_next(&m, &f) == 1) {
        if (f.number == 5) { out->key = text_of(&f); }
        if (f.number == 6) { out->jid = text_of(&f); }
        if (f.number == 19 && f.type == PB_BYTES) {
            struct pb s = pb_open(f.bytes);
            while (pb_next(&s, &g) == 1) {
                if (g.number == 1 && out->text.ptr == NULL) { out->text = text_of(&g); }
            }
        }
    }
    /* Ordinary media has other things under other numbers; a message's id has no bytes but these. */
    for (size_t i = 0; i < out->key.len; i++) {
        char c = out->key.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_')) { return false; }
    }
    return out->key.len >= 8 && out->key.len <= 128;
}
