/* files.c - attachments.noindex: files as they are (version 1), or sealed under a local key (version 2).
 *
 * A source_ref is "<path>#<size>#<key in hex, or nothing>"; it lives in the memory of one pass only.
 */
#include "agent/source/signal_desktop/desktop.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { PATH_LEN = 200 };

/* ab/abcdef…: parts of letters, digits, '-', '_' and '.', none of which begins with a dot. */
static bool path_ok(struct kluis_str p)
{
    if (p.len == 0 || p.len >= PATH_LEN) { return false; }
    for (size_t i = 0; i < p.len; i++) {
        const char c = p.ptr[i] == '\\' ? '/' : p.ptr[i];
        const bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
        const bool begins = i == 0 || p.ptr[i - 1] == '/' || p.ptr[i - 1] == '\\';
        if (!word && (begins || (c != '/' && c != '.'))) { return false; }
    }
    return p.ptr[p.len - 1] != '/';
}

static int open_path(const struct desktop_files *f, struct kluis_str p)
{
    char path[PATH_LEN];
    struct stat st;
    if (f->dir < 0 || !path_ok(p)) { return -1; }
    for (size_t i = 0; i < p.len; i++) { path[i] = p.ptr[i] == '\\' ? '/' : p.ptr[i]; }
    path[p.len] = '\0';
    int fd = kluis_io_openat(f->dir, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) { kluis_close_quiet(&fd); }
    return fd;
}

kluis_status desktop_file(const struct desktop_files *f, struct kluis_str ref,
                          kluis_status (*fn)(void *ctx, const struct kluis_input *in, struct kluis_err *err), void *ctx, struct kluis_err *err)
{
    uint8_t key[SEALED_KEY];
    uint64_t size = 0;
    const char *end = ref.ptr + ref.len, *a = ref.ptr == NULL ? NULL : memchr(ref.ptr, '#', ref.len);
    const char *b = a == NULL ? NULL : memchr(a + 1, '#', (size_t)(end - a - 1));
    if (b == NULL) { return KLUIS_OK; }
    for (const char *p = a + 1; p < b; p++) {
        if (*p < '0' || *p > '9' || size > UINT64_MAX / 10 - 10) { return KLUIS_OK; }
        size = size * 10 + (uint64_t)(*p - '0');
    }
    const struct kluis_str hex = { b + 1, (size_t)(end - b - 1) };
    int fd = open_path(f, (struct kluis_str){ ref.ptr, (size_t)(a - ref.ptr) });
    if (fd < 0) { return KLUIS_OK; }
    if (hex.len == 0) {
        struct kluis_input_fd state = { .fd = fd, .what = "an attachment" };
        const struct kluis_input in = kluis_input_from_fd(&state);
        kluis_status rc = fn(ctx, &in, err);
        kluis_close_quiet(&fd);
        return rc;
    }
    KLUIS_AUTO(sealed) s = NULL;
    if (!kluis_unhex(hex, key, sizeof key)) {
        kluis_close_quiet(&fd);
        return KLUIS_OK;
    }
    kluis_status rc = sealed_open(&s, fd, key, size, NULL);
    kluis_wipe(key, sizeof key);
    if (rc != KLUIS_OK) { return rc == KLUIS_E_NOMEM ? KLUIS_FAIL(err, rc, "out of memory; try again") : KLUIS_OK; }
    const struct kluis_input in = sealed_input(s);
    return fn(ctx, &in, err);
}

struct digest {
    uint8_t sha[MEDIA_HASH];
    uint64_t size;
    bool whole;
};

static kluis_status take_digest(void *ctx, const struct kluis_input *in, KLUIS_UNUSED struct kluis_err *err)
{
    struct digest *d = ctx;
    KLUIS_AUTO(kluis_sha256) h = kluis_sha256_new();
    uint8_t piece[32 << 10];
    ssize_t n = -1;
    if (h == NULL) { return KLUIS_E_NOMEM; }
    while ((n = in->read(in->ctx, piece, sizeof piece, NULL)) > 0) {
        kluis_sha256_add(h, piece, (size_t)n);
        d->size += (uint64_t)n;
    }
    kluis_sha256_end(h, d->sha);
    d->whole = n == 0;
    return KLUIS_OK;
}

static kluis_status find(void *ctx, struct json *locator, const uint8_t *hash, struct kluis_arena *arena, struct kluis_attachment *a,
                         struct kluis_err *err)
{
    const struct desktop_files *f = ctx;
    uint8_t key[SEALED_KEY];
    char hex[2 * SEALED_KEY + 1] = "";
    size_t n = 0;
    uint64_t size = 0, version = 1;
    const struct kluis_str path = json_string(locator, "path"), local = json_string(locator, "localKey");
    (void)json_u64(locator, "version", &version);
    (void)json_u64(locator, "size", &size);
    if (path.ptr == NULL) { return KLUIS_OK; }
    if (version >= 2) {
        if (local.ptr == NULL || !kluis_unbase64(local, key, sizeof key, &n) || n != SEALED_KEY) { return KLUIS_OK; }
        kluis_hex(key, sizeof key, hex);
        kluis_wipe(key, sizeof key);
    }
    int fd = open_path(f, path);
    if (fd < 0) { return KLUIS_OK; }
    kluis_close_quiet(&fd);
    const struct kluis_str ref = arena_fmt(arena, "%.*s#%llu#%s", (int)path.len, path.ptr, (unsigned long long)size, hex);
    struct digest d = { .size = 0 };
    kluis_wipe(hex, sizeof hex);
    if (ref.ptr == NULL || desktop_file(f, ref, take_digest, &d, err) != KLUIS_OK) {
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again");
    }
    if (!d.whole || (hash != NULL && memcmp(hash, d.sha, MEDIA_HASH) != 0) || (version >= 2 && d.size != size)) {
        a->loss = KLUIS_STR_LIT("changed"); /* what lies there is not what was kept */
        return KLUIS_OK;
    }
    a->source_ref = ref;
    a->size = (int64_t)d.size;
    a->has_sha256 = true;
    memcpy(a->sha256, d.sha, MEDIA_HASH);
    a->loss = (struct kluis_str){ NULL, 0 };
    return KLUIS_OK;
}

static kluis_status take_text(void *ctx, const struct kluis_input *in, KLUIS_UNUSED struct kluis_err *err)
{
    char piece[4096];
    ssize_t n;
    while ((n = in->read(in->ctx, piece, sizeof piece, NULL)) > 0) { kluis_buf_add(ctx, piece, (size_t)n); }
    return n == 0 ? KLUIS_OK : KLUIS_E_IO;
}

static struct kluis_str text(void *ctx, struct kluis_str ref, struct kluis_arena *arena, size_t max)
{
    const struct kluis_str none = { NULL, 0 };
    KLUIS_AUTO_BUF(b, max);
    if (desktop_file(ctx, ref, take_text, &b, NULL) != KLUIS_OK || b.status != KLUIS_OK || b.len == 0) { return none; }
    const char *p = kluis_arena_strndup(arena, (const char *)b.data, b.len);
    return p != NULL && kluis_utf8_valid(p, b.len) == b.len ? (struct kluis_str){ p, b.len } : none;
}

struct media desktop_media(struct desktop_files *f) { return (struct media){ .ctx = f, .find = find, .text = text }; }
