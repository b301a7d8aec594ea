/* files.c - attachments of a local archive: files/xx/<name>, sealed under the local key that the message's frame states.
 *
 * A source_ref is "files/xx/<name>#<size>#<key in hex>": it lives in the memory of one pass, is never written anywhere, and spares the second
 * way through the archive that finding the key again would be.
 */
#include "agent/source/signal_archive/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static bool hex_digits(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f'))) { return false; }
    }
    return true;
}

static int open_stem(int dir, const char *stem)
{
    char path[MEDIA_STEM + 4];
    struct stat st;
    if (dir < 0 || !hex_digits(stem, MEDIA_STEM)) { return -1; }
    (void)snprintf(path, sizeof path, "%.2s/%.64s", stem, stem);
    int fd = kluis_io_openat(dir, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) { kluis_close_quiet(&fd); }
    return fd;
}

kluis_status files_open(int dir, struct kluis_str ref, struct sealed **out, struct kluis_err *err)
{
    uint8_t key[SEALED_KEY];
    uint64_t size = 0;
    *out = NULL;
    const char *hash = ref.ptr == NULL || ref.len < 9 + MEDIA_STEM + 3 ? NULL : memchr(ref.ptr + 9 + MEDIA_STEM + 1, '#', ref.len - 10 - MEDIA_STEM);
    if (hash == NULL || memcmp(ref.ptr, "files/", 6) != 0 || ref.ptr[9 + MEDIA_STEM] != '#') { return KLUIS_OK; }
    for (const char *p = ref.ptr + 10 + MEDIA_STEM; p < hash; p++) {
        if (*p < '0' || *p > '9' || size > UINT64_MAX / 10 - 10) { return KLUIS_OK; }
        size = size * 10 + (uint64_t)(*p - '0');
    }
    hash++;
    if (!kluis_unhex((struct kluis_str){ hash, ref.len - (size_t)(hash - ref.ptr) }, key, sizeof key)) { return KLUIS_OK; }
    int fd = open_stem(dir, ref.ptr + 9);
    kluis_status rc = fd < 0 ? KLUIS_OK : sealed_open(out, fd, key, size, NULL);
    kluis_wipe(key, sizeof key);
    return rc == KLUIS_E_NOMEM ? KLUIS_FAIL(err, rc, "out of memory; try again") : KLUIS_OK;
}

static kluis_status digest(struct sealed *s, uint8_t sha[32], uint64_t *size, struct kluis_err *err)
{
    KLUIS_AUTO(kluis_sha256) h = kluis_sha256_new();
    const struct kluis_input in = sealed_input(s);
    uint8_t piece[32 << 10];
    ssize_t n;
    *size = 0;
    if (h == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    while ((n = in.read(in.ctx, piece, sizeof piece, err)) > 0) {
        kluis_sha256_add(h, piece, (size_t)n);
        *size += (uint64_t)n;
    }
    kluis_sha256_end(h, sha);
    return n == 0 ? KLUIS_OK : KLUIS_E_IO;
}

static kluis_status find(void *ctx, struct json *locator, const uint8_t *hash, struct kluis_arena *arena, struct kluis_attachment *a,
                         struct kluis_err *err)
{
    const struct archive_files *f = ctx;
    uint8_t key[MEDIA_LOCAL_KEY_MAX], sha[MEDIA_HASH];
    char stem[MEDIA_STEM + 1], hex[2 * SEALED_KEY + 1];
    size_t n = 0;
    uint64_t size = 0, got = 0;
    if (hash == NULL || !media_stem(locator, hash, stem, key, &n) || n != SEALED_KEY || !json_u64(locator, "size", &size)) { return KLUIS_OK; }
    int fd = open_stem(f->dir, stem);
    if (fd < 0) { return KLUIS_OK; }
    KLUIS_AUTO(sealed) s = NULL;
    kluis_status rc = sealed_open(&s, fd, key, size, NULL);
    if (rc == KLUIS_OK) { rc = digest(s, sha, &got, NULL); }
    kluis_hex(key, SEALED_KEY, hex);
    kluis_wipe(key, sizeof key);
    if (rc == KLUIS_E_NOMEM) { return KLUIS_FAIL(err, rc, "out of memory; try again"); }
    if (rc != KLUIS_OK || got != size || memcmp(sha, hash, MEDIA_HASH) != 0) {
        a->loss = KLUIS_STR_LIT("changed"); /* what lies there is not what was sent */
        return KLUIS_OK;
    }
    a->source_ref = arena_fmt(arena, "files/%.2s/%s#%llu#%s", stem, stem, (unsigned long long)size, hex);
    kluis_wipe(hex, sizeof hex);
    if (a->source_ref.ptr == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    a->size = (int64_t)size;
    a->has_sha256 = true;
    memcpy(a->sha256, sha, MEDIA_HASH);
    a->loss = (struct kluis_str){ NULL, 0 };
    return KLUIS_OK;
}

static struct kluis_str text(void *ctx, struct kluis_str ref, struct kluis_arena *arena, size_t max)
{
    const struct archive_files *f = ctx;
    const struct kluis_str none = { NULL, 0 };
    KLUIS_AUTO(sealed) s = NULL;
    KLUIS_AUTO_BUF(b, max);
    if (files_open(f->dir, ref, &s, NULL) != KLUIS_OK || s == NULL) { return none; }
    const struct kluis_input in = sealed_input(s);
    char piece[4096];
    ssize_t n;
    while ((n = in.read(in.ctx, piece, sizeof piece, NULL)) > 0) { kluis_buf_add(&b, piece, (size_t)n); }
    const char *p = n == 0 && b.status == KLUIS_OK && b.len > 0 ? kluis_arena_strndup(arena, (const char *)b.data, b.len) : NULL;
    return p != NULL && kluis_utf8_valid(p, b.len) == b.len ? (struct kluis_str){ p, b.len } : none;
}

struct media files_media(struct archive_files *f) { return (struct media){ .ctx = f, .find = find, .text = text }; }
