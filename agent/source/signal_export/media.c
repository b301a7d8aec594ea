/* media.c - attachments: where the export put the bytes that a message points at.
 *
 * Signal names a file under files/ by hex(SHA-256(plaintext hash || local key)), in a folder of its first two digits, with an
 * extension of its own choosing.  What is found is hashed here: a record tells the digest of bytes that were read.
 */
#include "agent/source/signal_export/model.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HASH = 32, LOCAL_KEY_MAX = 256, STEM = 2 * HASH, REF_MAX = 300 };

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

int media_open(int dir, struct kluis_str ref)
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
static bool find_stem(int dir, const char *stem, char ref[REF_MAX])
{
    char folder[16], best[256] = "";
    (void)snprintf(folder, sizeof folder, "files/%.2s", stem);
    int fd = kluis_io_openat(dir, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0) { return false; }
    DIR *d = fdopendir(fd);
    if (d == NULL) {
        kluis_close_quiet(&fd);
        return false;
    }
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) { /* NOLINT(concurrency-mt-unsafe): one stream, one thread */
        size_t n = strlen(e->d_name);
        if (n < STEM || n > 200 || memcmp(e->d_name, stem, STEM) != 0 || (n > STEM && e->d_name[STEM] != '.')) { continue; }
        if (best[0] == '\0' || strcmp(e->d_name, best) < 0) { memcpy(best, e->d_name, n + 1); }
    }
    (void)closedir(d);
    return best[0] != '\0' && snprintf(ref, REF_MAX, "%s/%s", folder, best) < REF_MAX;
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

/* Stem of the file that Signal made for these bytes; false: the export says too little. */
static bool stem_of(struct json *locator, const uint8_t hash[HASH], char stem[STEM + 1])
{
    uint8_t bytes[HASH + LOCAL_KEY_MAX], digest[HASH];
    size_t n = 0;
    const struct json *key = json_get(locator, "localKey");
    if (key == NULL || key->type != JSON_STRING || !kluis_unbase64(key->text, bytes + HASH, LOCAL_KEY_MAX, &n) || n == 0) { return false; }
    memcpy(bytes, hash, HASH);
    kluis_sha256_of(bytes, HASH + n, digest);
    kluis_hex(digest, HASH, stem);
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
    uint8_t stated[HASH];
    uint64_t size = 0;
    char stem[STEM + 1], ref[REF_MAX];
    memset(a, 0, sizeof *a);
    a->size = -1;
    a->name = json_string(pointer, "fileName");
    if (a->name.ptr != NULL) { a->name = last_component(a->name); }
    if (a->name.len == 0) { a->name = (struct kluis_str){ NULL, 0 }; }
    a->type = json_string(pointer, "contentType");
    for (size_t i = 0; i < sizeof transport / sizeof *transport; i++) { json_ignore(pointer, transport[i]); }
    if (json_u64(locator, "size", &size) && size <= (uint64_t)KLUIS_INT_MAX_JSON) { a->size = (int64_t)size; }
    bool has_hash = json_bytes(json_get(locator, "plaintextHash"), stated, HASH);
    a->loss = m->has_files ? KLUIS_STR_LIT("missing") : KLUIS_STR_LIT("omitted");
    if (!has_hash) { return KLUIS_OK; }
    if (a->size >= 0) {
        a->has_sha256 = true;
        memcpy(a->sha256, stated, HASH);
    }
    if (!m->has_files) { return KLUIS_OK; }
    bool found = stem_of(locator, stated, stem) && find_stem(m->dir, stem, ref);
    if (!found) {
        kluis_hex(stated, HASH, stem);
        found = find_stem(m->dir, stem, ref);
    }
    int fd = found ? media_open(m->dir, kluis_str_of(ref)) : -1;
    if (fd < 0) { return KLUIS_OK; }
    uint8_t sha[HASH];
    kluis_status rc = hash_file(fd, sha, &size, err);
    kluis_close_quiet(&fd);
    KLUIS_TRY(rc);
    if (memcmp(sha, stated, HASH) != 0) {
        a->loss = KLUIS_STR_LIT("changed"); /* a file of that name with other bytes is not what was sent */
        return KLUIS_OK;
    }
    a->source_ref = arena_fmt(arena, "%s", ref);
    if (a->source_ref.ptr == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    a->size = (int64_t)size;
    a->has_sha256 = true;
    memcpy(a->sha256, sha, HASH);
    a->loss = (struct kluis_str){ NULL, 0 };
    return KLUIS_OK;
}

struct kluis_str media_text(const struct model *m, struct kluis_str ref, struct kluis_arena *arena, size_t max)
{
    const struct kluis_str none = { NULL, 0 };
    struct stat st;
    int fd = media_open(m->dir, ref);
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
