/* media.c - media beside a database: by their path, else by size and content.  See wdb.h. */
#include "agent/source/whatsapp_db/wdb.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { ROOTS = 4, LISTED_MAX = 200000, PATHS_MAX = 24 << 20, LEVELS = 12, HASH_TRIES = 8 };

struct listed {
    int64_t size;
    const char *path; /* "<root>/<path below it>" */
};
struct wdb_media {
    int root[ROOTS];
    size_t n;
    struct kluis_arena *arena;
    struct listed *list; /* by size */
    size_t n_list, cap;
    bool listed;
};

kluis_status wdb_media_open(struct wdb_media **out, const char *const *roots, size_t n, struct kluis_err *err)
{
    struct wdb_media *m = kluis_calloc(1, sizeof *m);
    *out = m;
    if (m == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    for (size_t i = 0; i < n && m->n < ROOTS; i++) {
        m->root[m->n] = roots[i] == NULL ? -1 : kluis_io_open(roots[i], O_RDONLY | O_DIRECTORY, 0);
        m->n++; /* one that is not there keeps its number: references name it */
    }
    return KLUIS_OK;
}

void wdb_media_free(struct wdb_media *m)
{
    if (m == NULL) { return; }
    for (size_t i = 0; i < m->n; i++) { kluis_close_quiet(&m->root[i]); }
    kluis_arena_free(m->arena);
    kluis_free(m->list);
    kluis_free(m);
}

/* Below the root, component by component, through no link and no "..". */
static int open_below(int root, const char *path)
{
    int fd = -1, at = root;
    char part[256];
    while (*path == '/') { path++; }
    while (*path != '\0') {
        const char *slash = strchr(path, '/');
        size_t n = slash == NULL ? strlen(path) : (size_t)(slash - path);
        if (n >= sizeof part || (n == 2 && path[0] == '.' && path[1] == '.')) { break; }
        memcpy(part, path, n);
        part[n] = '\0';
        fd = kluis_io_openat(at, part, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | (slash == NULL ? 0 : O_DIRECTORY), 0);
        if (at != root) { kluis_close_quiet(&at); }
        if (fd < 0) { return -1; }
        if (slash == NULL) {
            struct stat st;
            if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) { return fd; }
            kluis_close_quiet(&fd);
            return -1;
        }
        at = fd;
        path = slash + 1;
        while (*path == '/') { path++; }
    }
    if (at != root) { kluis_close_quiet(&at); }
    return -1;
}

int wdb_media_get(const struct wdb_media *m, struct kluis_str ref)
{
    char path[KLUIS_PATH_MAX];
    if (ref.len < 3 || ref.len >= sizeof path || ref.ptr[1] != '/' || memchr(ref.ptr, 0, ref.len) != NULL) { return -1; }
    size_t root = (size_t)(ref.ptr[0] - '0');
    if (root >= m->n || m->root[root] < 0) { return -1; }
    memcpy(path, ref.ptr + 2, ref.len - 2);
    path[ref.len - 2] = '\0';
    return open_below(m->root[root], path);
}

static kluis_status list_folder(struct wdb_media *m, size_t root, int fd, const char *below, int level, struct kluis_err *err)
{
    DIR *d = fdopendir(fd);
    if (d == NULL) {
        kluis_close_quiet(&fd);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again");
    }
    kluis_status rc = KLUIS_OK;
    for (const char *name; m->n_list < LISTED_MAX && kluis_dir_next(d, below, &name, &rc, err);) {
        char path[KLUIS_PATH_MAX];
        struct stat st;
        if (name[0] == '.' || !kluis_dir_look(d, below, name, AT_SYMLINK_NOFOLLOW, &st, &rc, err)) { continue; }
        int w = snprintf(path, sizeof path, "%s/%s", below, name);
        if (w < 0 || (size_t)w >= sizeof path) { continue; }
        if (S_ISDIR(st.st_mode) && level < LEVELS) {
            int sub;
            if (kluis_dir_down(d, below, name, &sub, &rc, err)) { rc = list_folder(m, root, sub, path, level + 1, err); }
        } else if (S_ISREG(st.st_mode)) {
            if (m->n_list == m->cap) {
                size_t cap = m->cap == 0 ? 1024 : m->cap * 2;
                struct listed *grown = kluis_realloc(m->list, cap * sizeof *grown);
                if (grown == NULL) { break; }
                m->list = grown;
                m->cap = cap;
            }
            const char *kept = kluis_arena_strndup(m->arena, path, strlen(path));
            if (kept == NULL) { break; } /* so many files that the rest is found by name alone */
            m->list[m->n_list++] = (struct listed){ (int64_t)st.st_size, kept };
        }
    }
    (void)closedir(d); /* only read */
    return rc;
}

static int by_size(const void *a, const void *b)
{
    const struct listed *x = a, *y = b;
    return x->size != y->size ? (x->size < y->size ? -1 : 1) : strcmp(x->path, y->path);
}

static kluis_status list_all(struct wdb_media *m, struct kluis_err *err)
{
    if (m->listed) { return KLUIS_OK; }
    m->listed = true;
    m->arena = kluis_arena_new(PATHS_MAX);
    for (size_t i = 0; m->arena != NULL && i < m->n; i++) {
        char name[2] = { (char)('0' + i), '\0' };
        int fd = m->root[i] < 0 ? -1 : kluis_io_openat(m->root[i], ".", O_RDONLY | O_DIRECTORY, 0);
        if (fd >= 0) { KLUIS_TRY(list_folder(m, i, fd, name, 1, err)); }
    }
    if (m->n_list > 1) { qsort(m->list, m->n_list, sizeof *m->list, by_size); }
    return KLUIS_OK;
}

static kluis_status digest(int fd, uint8_t out[32], struct kluis_err *err)
{
    KLUIS_AUTO(kluis_sha256) h = kluis_sha256_new();
    uint8_t *chunk = kluis_malloc(128 << 10);
    kluis_status rc = h == NULL || chunk == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again") : KLUIS_OK;
    for (uint64_t at = 0; rc == KLUIS_OK;) {
        ssize_t n = kluis_io_pread(fd, chunk, 128 << 10, at);
        if (n < 0) { rc = KLUIS_E_NOTFOUND; } /* unreadable is not the one looked for */
        if (n <= 0) { break; }
        kluis_sha256_add(h, chunk, (size_t)n);
        at += (uint64_t)n;
    }
    if (rc == KLUIS_OK) { kluis_sha256_end(h, out); }
    kluis_free(chunk);
    return rc;
}

static kluis_status by_hash(struct wdb_media *m, int64_t size, const uint8_t *sha256, struct kluis_arena *arena, struct kluis_attachment *a,
                            struct kluis_err *err)
{
    KLUIS_TRY(list_all(m, err));
    size_t lo = 0, hi = m->n_list;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (m->list[mid].size < size) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    for (size_t i = lo; i < m->n_list && i < lo + HASH_TRIES && m->list[i].size == size; i++) {
        struct kluis_str ref = kluis_str_of(m->list[i].path);
        uint8_t sha[32];
        int fd = wdb_media_get(m, ref);
        if (fd < 0) { continue; }
        kluis_status rc = digest(fd, sha, err);
        kluis_close_quiet(&fd);
        if (rc == KLUIS_E_NOMEM) { return rc; }
        if (rc == KLUIS_OK && memcmp(sha, sha256, 32) == 0) {
            a->source_ref = kluis_arena_str(arena, ref);
            a->size = size;
            return KLUIS_OK;
        }
    }
    return KLUIS_OK;
}

kluis_status wdb_media_find(struct wdb_media *m, struct kluis_str path, int64_t size, const uint8_t *sha256, struct kluis_arena *arena,
                            struct kluis_attachment *a, struct kluis_err *err)
{
    a->source_ref = a->loss = (struct kluis_str){ NULL, 0 };
    for (size_t i = 0; path.len > 0 && path.len < KLUIS_PATH_MAX - 8 && i < m->n; i++) {
        char text[KLUIS_PATH_MAX];
        struct stat st;
        (void)snprintf(text, sizeof text, "%zu/%.*s", i, (int)path.len, path.ptr);
        int fd = wdb_media_get(m, kluis_str_of(text));
        if (fd < 0) { continue; }
        if (fstat(fd, &st) == 0) {
            a->size = (int64_t)st.st_size;
            a->source_ref = kluis_arena_str(arena, kluis_str_of(text));
        }
        kluis_close_quiet(&fd);
        if (a->source_ref.ptr != NULL) { return KLUIS_OK; }
    }
    if (sha256 != NULL && size > 0) { KLUIS_TRY(by_hash(m, size, sha256, arena, a, err)); }
    if (a->source_ref.ptr != NULL) { return KLUIS_OK; }
    a->loss = KLUIS_STR_LIT("missing");
    a->size = size > 0 ? size : -1;
    if (sha256 != NULL && a->size > 0) {
        a->has_sha256 = true;
        memcpy(a->sha256, sha256, 32);
    }
    return KLUIS_OK;
}
