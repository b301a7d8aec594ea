/* media.c - attachments: what a message says of one, and the name under which Signal keeps its bytes.
 */
#include "agent/source/signal_model/model.h"

bool media_stem(struct json *locator, const uint8_t hash[MEDIA_HASH], char stem[MEDIA_STEM + 1], uint8_t *key, size_t *key_len)
{
    uint8_t bytes[MEDIA_HASH + MEDIA_LOCAL_KEY_MAX], digest[MEDIA_HASH];
    size_t n = 0;
    const struct json *v = json_get(locator, "localKey");
    if (v == NULL || v->type != JSON_STRING || !kluis_unbase64(v->text, bytes + MEDIA_HASH, MEDIA_LOCAL_KEY_MAX, &n) || n == 0) { return false; }
    memcpy(bytes, hash, MEDIA_HASH);
    kluis_sha256_of(bytes, MEDIA_HASH + n, digest);
    kluis_hex(digest, MEDIA_HASH, stem);
    if (key != NULL) {
        memcpy(key, bytes + MEDIA_HASH, n);
        *key_len = n;
    }
    kluis_wipe(bytes, sizeof bytes);
    return true;
}

static struct kluis_str last_component(struct kluis_str name)
{
    for (size_t i = name.len; i > 0; i--) {
        if (name.ptr[i - 1] == '/' || name.ptr[i - 1] == '\\') { return (struct kluis_str){ name.ptr + i, name.len - i }; }
    }
    return name;
}

kluis_status media_attachment(struct model *m, struct json *pointer, struct kluis_arena *arena, struct kluis_attachment *a, struct kluis_err *err)
{
    static const char *const transport[] = { "width", "height", "blurHash", "incrementalMac", "incrementalMacChunkSize" };
    struct json *locator = json_whole(json_object(pointer, "locatorInfo"));
    uint8_t stated[MEDIA_HASH];
    uint64_t size = 0;
    memset(a, 0, sizeof *a);
    a->size = -1;
    a->name = json_string(pointer, "fileName");
    if (a->name.ptr != NULL) { a->name = last_component(a->name); }
    if (a->name.len == 0) { a->name = (struct kluis_str){ NULL, 0 }; }
    a->type = json_string(pointer, "contentType");
    for (size_t i = 0; i < sizeof transport / sizeof *transport; i++) { json_ignore(pointer, transport[i]); }
    if (json_u64(locator, "size", &size) && size <= (uint64_t)KLUIS_INT_MAX_JSON) { a->size = (int64_t)size; }
    bool has_hash = json_bytes(json_get(locator, "plaintextHash"), stated, MEDIA_HASH);
    a->loss = m->media.find != NULL ? KLUIS_STR_LIT("missing") : KLUIS_STR_LIT("omitted");
    if (has_hash && a->size >= 0) {
        a->has_sha256 = true;
        memcpy(a->sha256, stated, MEDIA_HASH);
    }
    return m->media.find == NULL ? KLUIS_OK : m->media.find(m->media.ctx, locator, has_hash ? stated : NULL, arena, a, err);
}
