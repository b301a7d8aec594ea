/* folder.c - the files of an export: where it put the bytes that a message points at.
 *
 * Signal names a file under files/ by hex(SHA-256(plaintext hash || local key)), in a folder of its first two digits, with an
 * extension of its own choosing.  What is found is hashed here: a record tells the digest of bytes that were read.
 */
#include "agent/source/signal_export/export.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STEM = MEDIA_STEM, REF_MAX = 300 };

static bool hex_digits(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f'))) { return false; }
    }
    return true;
}

/* files/xx/<64 hex digits>[.extension], nothing else: a reference comes back from the journal and is not trusted. */
static bool ref_ok(struct kluis_str r)
{
    if (r.ptr == NULL || r.len < 9 + STEM || r.len >= REF_MAX || memcmp(r.ptr, "files/", 6) != 0 || r.ptr[8] != '/') { return false; }
    if (!hex_digits(r.ptr + 6, 2) || !hex_digits(r.ptr + 9, STEM)) { return false; }
    for (size_t i = 9 + STEM; i < r.len; i++) {
        if (r.ptr[i] == '/' || r.ptr[i] == '\0') { return false; }
    }
    return r.len == 9 + STEM || r.ptr[9 + STEM] == '.';
}

int folder_open(int dir, struct kluis_str ref)
{
    char path[REF_MAX];
    struct stat st;
    if (dir < 0 || !ref_ok(ref)) { return -1; }
    memcpy(path, ref.ptr, ref.len);
    path[ref.len] = '\0';
    int fd = kluis_io_openat(dir, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) { kluis_close_quiet(&fd); }
    return fd;
}

/* The name in files/xx that is the stem, alone or with an extension; the smallest one, so that the choice does not depend on the disk. */
static kluis_status find_stem(int dir, const char *stem, char ref[REF_MAX], bool *found, struct kluis_err *err)
{
    char folder[16], best[256] = "";
    *found = false;
    (void)snprintf(folder, sizeof folder, "files/%.2s", stem);
    int fd = kluis_io_openat(dir, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0) {
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP
                   ? KLUIS_OK
                   : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot open the folder %s of the export", folder);
    }
    DIR *d = fdopendir(fd);
    if (d == NULL) {
        kluis_close_quiet(&fd);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again");
    }
    kluis_status rc = KLUIS_OK;
    for (const char *name; kluis_dir_next(d, folder, &name, &rc, err);) {
        size_t n = strlen(name);
        if (n < STEM || n > 200 || memcmp(name, stem, STEM) != 0 || (n > STEM && name[STEM] != '.')) { continue; }
        if (best[0] == '\0' || strcmp(name, best) < 0) { memcpy(best, name, n + 1); }
    }
    (void)closedir(d);
    *found = rc == KLUIS_OK && best[0] != '\0' && snprintf(ref, REF_MAX, "%s/%s", folder, best) < REF_MAX;
    return rc;
}

static kluis_status hash_file(int fd, uint8_t sha[32], uint64_t *size, struct kluis_err *err)
{
    KLUIS_AUTO(kluis_sha256) h = kluis_sha256_new();
    uint8_t piece[32 << 10];
    *size = 0;
    if (h == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    for (;;) {
        ssize_t n = kluis_io_pread(fd, piece, sizeof piece, *size);
        if (n < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "an attachment cannot be read"); }
        if (n == 0) { break; }
        kluis_sha256_add(h, piece, (size_t)n);
        *size += (uint64_t)n;
    }
    kluis_sha256_end(h, sha);
    return KLUIS_OK;
}

/* The export's own way: a file under that name, or under the bare digest. */
static kluis_status find(void *ctx, struct json *locator, const uint8_t *hash, struct kluis_arena *arena, struct kluis_attachment *a,
                         struct kluis_err *err)
{
    const struct folder *f = ctx;
    char stem[MEDIA_STEM + 1], ref[REF_MAX];
    uint64_t size = 0;
    if (hash == NULL) { return KLUIS_OK; }
    bool found = false;
    if (media_stem(locator, hash, stem, NULL, NULL)) { KLUIS_TRY(find_stem(f->dir, stem, ref, &found, err)); }
    if (!found) {
        kluis_hex(hash, MEDIA_HASH, stem);
        KLUIS_TRY(find_stem(f->dir, stem, ref, &found, err));
    }
    int fd = found ? folder_open(f->dir, kluis_str_of(ref)) : -1;
    if (fd < 0) { return KLUIS_OK; }
    uint8_t sha[MEDIA_HASH];
    kluis_status rc = hash_file(fd, sha, &size, err);
    kluis_close_quiet(&fd);
    KLUIS_TRY(rc);
    if (memcmp(sha, hash, MEDIA_HASH) != 0) {
        a->loss = KLUIS_STR_LIT("changed"); /* a file of that name with other bytes is not what was sent */
        return KLUIS_OK;
    }
    a->source_ref = arena_fmt(arena, "%s", ref);
    if (a->source_ref.ptr == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    a->size = (int64_t)size;
    a->has_sha256 = true;
    memcpy(a->sha256, sha, MEDIA_HASH);
    a->loss = (struct kluis_str){ NULL, 0 };
    return KLUIS_OK;
}

static struct kluis_str text(void *ctx, struct kluis_str ref, struct kluis_arena *arena, size_t max)
{
    const struct folder *f = ctx;
    const struct kluis_str none = { NULL, 0 };
    struct stat st;
    int fd = folder_open(f->dir, ref);
    char *p = NULL;
    size_t n = 0;
    if (fd < 0) { return none; }
    if (fstat(fd, &st) == 0 && st.st_size > 0 && (uint64_t)st.st_size <= max) {
        n = (size_t)st.st_size;
        p = kluis_arena_alloc(arena, n);
    }
    bool ok = p != NULL && kluis_pread_all(fd, p, n, 0, "long text", NULL) == KLUIS_OK && kluis_utf8_valid(p, n) == n;
    kluis_close_quiet(&fd);
    return ok ? (struct kluis_str){ p, n } : none;
}

struct media folder_media(struct folder *f) { return (struct media){ .ctx = f, .find = find, .text = text }; }
