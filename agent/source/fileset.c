/* fileset.c - see fileset.h: the list, and reading from a folder.  Archives: fileset_archive.c. */
#include "agent/source/fileset_archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

const char *fileset_base(const char *name)
{
    const char *s = strrchr(name, '/');
    return s == NULL ? name : s + 1;
}

bool fileset_safe(const char *p)
{
    if (p[0] == '/' || p[0] == '\\' || p[0] == '\0') { return false; }
    if (((p[0] >= 'A' && p[0] <= 'Z') || (p[0] >= 'a' && p[0] <= 'z')) && p[1] == ':') { return false; }
    for (const char *s = p; *s != '\0';) {
        size_t k = strcspn(s, "/\\");
        if (k == 2 && s[0] == '.' && s[1] == '.') { return false; }
        s += k + (s[k] != '\0');
    }
    return true;
}

static int by_bytes(const char *name, struct kluis_str s)
{
    size_t n = strlen(name), k = n < s.len ? n : s.len;
    int c = memcmp(name, s.ptr, k);
    return c != 0 ? c : n < s.len ? -1 : n > s.len;
}

uint32_t fileset_from(const struct fileset *f, struct kluis_str prefix)
{
    uint32_t lo = 0, hi = f->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (by_bytes(f->list[mid].name, prefix) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

uint32_t fileset_base_from(const struct fileset *f, struct kluis_str prefix)
{
    uint32_t lo = 0, hi = f->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (by_bytes(fileset_base(f->list[f->by_base[mid]].name), prefix) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

uint32_t fileset_find(const struct fileset *f, struct kluis_str name)
{
    uint32_t i = name.ptr == NULL ? f->n : fileset_from(f, name);
    return i < f->n && by_bytes(f->list[i].name, name) == 0 ? i : FILESET_NONE;
}

uint32_t fileset_named(const struct fileset *f, struct kluis_str base, bool *several)
{
    *several = false;
    if (base.len == 0) { return FILESET_NONE; }
    uint32_t k = fileset_base_from(f, base);
    if (k == f->n || by_bytes(fileset_base(f->list[f->by_base[k]].name), base) != 0) { return FILESET_NONE; }
    *several = k + 1 < f->n && by_bytes(fileset_base(f->list[f->by_base[k + 1]].name), base) == 0;
    return *several ? FILESET_NONE : f->by_base[k];
}

kluis_status fileset_add(struct fileset *f, const char *name, uint64_t size, struct fileset_entry **out, struct kluis_err *err)
{
    if (f->n == f->cap) {
        uint32_t cap = f->cap == 0 ? 256 : f->cap * 2 > FILESET_MAX ? FILESET_MAX : f->cap * 2;
        if (f->n == FILESET_MAX) {
            return KLUIS_FAIL(err, KLUIS_E_LIMIT, "%s holds more than %d files: give a part of this %s at a time", f->path, (int)FILESET_MAX,
                              f->what);
        }
        struct fileset_entry *p = kluis_realloc(f->list, cap * sizeof *p);
        if (p == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
        f->list = p;
        f->cap = cap;
    }
    char *copy = kluis_arena_strndup(f->names, name, strlen(name));
    if (copy == NULL) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "%s: the names of its files are longer than %d MiB: give a part of this %s at a time", f->path,
                          FILESET_NAMES_MAX >> 20, f->what);
    }
    f->list[f->n] = (struct fileset_entry){ .name = copy, .size = size };
    if (out != NULL) { *out = &f->list[f->n]; }
    f->n++;
    return KLUIS_OK;
}

/* levels: of folders still to go into.  A file beside the one that was given: what is too much is left out. */
static kluis_status list_folder(struct fileset *f, int fd, const char *below, int levels, bool beside, struct kluis_err *err)
{
    DIR *d = fdopendir(fd);
    if (d == NULL) {
        kluis_close_quiet(&fd);
        return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot read the folder %s", f->path);
    }
    kluis_status rc = KLUIS_OK;
    char name[KLUIS_PATH_MAX];
    for (const char *entry; kluis_dir_next(d, f->path, &entry, &rc, err);) {
        struct stat st;
        if (beside && f->n >= FILESET_BESIDE_MAX) { continue; }
        int w = snprintf(name, sizeof name, "%s%s%s", below, below[0] != '\0' ? "/" : "", entry);
        if (w < 0 || (size_t)w >= sizeof name || !kluis_dir_look(d, f->path, entry, AT_SYMLINK_NOFOLLOW, &st, &rc, err)) { continue; }
        if (S_ISREG(st.st_mode)) {
            struct fileset_entry *new = NULL;
            rc = fileset_add(f, name, (uint64_t)st.st_size, &new, err);
            if (rc == KLUIS_OK) { new->kept = true; }
        } else if (S_ISDIR(st.st_mode) && levels > 1) {
            int sub;
            if (kluis_dir_down(d, f->path, entry, &sub, &rc, err)) { rc = list_folder(f, sub, name, levels - 1, beside, err); }
        }
    }
    (void)closedir(d); /* only read */
    return rc;
}

static kluis_status open_folder(struct fileset *f, const char *folder, const char *given, struct kluis_err *err)
{
    f->dir = kluis_io_open(folder, O_RDONLY | O_DIRECTORY, 0);
    int fd = f->dir < 0 ? -1 : kluis_io_openat(f->dir, ".", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot open the folder %s", folder); }
    if (given != NULL) { /* first, so that it is there whatever lies beside it */
        struct fileset_entry *one = NULL;
        struct stat st;
        if (fstatat(f->dir, given, &st, 0) != 0 || !S_ISREG(st.st_mode)) {
            kluis_close_quiet(&fd);
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s is no file: give the %s's file or folder", f->path, f->what);
        }
        kluis_status rc = fileset_add(f, given, (uint64_t)st.st_size, &one, err);
        if (rc != KLUIS_OK) {
            kluis_close_quiet(&fd);
            return rc;
        }
        one->kept = true;
    }
    return list_folder(f, fd, "", given != NULL ? 3 : FILESET_LEVELS, given != NULL, err);
}

static int by_name(const void *a, const void *b) { return strcmp(((const struct fileset_entry *)a)->name, ((const struct fileset_entry *)b)->name); }

static int by_last(const void *a, const void *b, void *ctx)
{
    const struct fileset *f = ctx;
    const char *x = f->list[*(const uint32_t *)a].name, *y = f->list[*(const uint32_t *)b].name;
    int c = strcmp(fileset_base(x), fileset_base(y));
    return c != 0 ? c : strcmp(x, y);
}

static kluis_status sort(struct fileset *f, const char *given, struct kluis_err *err)
{
    uint32_t k = 0;
    if (f->n > 1) { qsort(f->list, f->n, sizeof *f->list, by_name); }
    for (uint32_t i = 0; i < f->n; i++) { /* a name twice: the later one, as whoever unpacks has it; beside a file that is the very one */
        if (k > 0 && strcmp(f->list[k - 1].name, f->list[i].name) == 0) { k--; }
        f->list[k++] = f->list[i];
    }
    f->n = k;
    f->by_base = kluis_malloc(((size_t)f->n + 1) * sizeof *f->by_base);
    if (f->by_base == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    for (uint32_t i = 0; i < f->n; i++) { f->by_base[i] = i; }
    if (f->n > 1) { qsort_r(f->by_base, f->n, sizeof *f->by_base, by_last, f); }
    if (given != NULL) { f->one = fileset_find(f, kluis_str_of(given)); }
    return KLUIS_OK;
}

static bool is_archive(const uint8_t *h, size_t n)
{
    bool zip = n >= 4 && h[0] == 'P' && h[1] == 'K' && ((h[2] == 3 && h[3] == 4) || (h[2] == 5 && h[3] == 6));
    return zip || (n >= 2 && h[0] == 0x1f && h[1] == 0x8b) || (n >= 262 && memcmp(h + 257, "ustar", 5) == 0);
}

enum form { FORM_FOLDER, FORM_ARCHIVE, FORM_FILE };

/* What lies at f->path, and the folder it is or lies in. */
static kluis_status look(struct fileset *f, enum form *form, char folder[KLUIS_PATH_MAX], struct kluis_err *err)
{
    struct stat st;
    uint8_t head[512];
    int fd = kluis_io_open(f->path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0);
    if (fd < 0) {
        return errno == ENOENT || errno == ENOTDIR
                   ? KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "there is nothing at %s: give the %s's file or folder", f->path, f->what)
                   : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot open %s", f->path);
    }
    bool ok = fstat(fd, &st) == 0;
    ssize_t n = ok && S_ISREG(st.st_mode) ? kluis_io_pread(fd, head, sizeof head, 0) : 0;
    kluis_close_quiet(&fd);
    if (!ok || n < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot read %s", f->path); }
    f->packed = (uint64_t)st.st_size;
    *form = S_ISDIR(st.st_mode) ? FORM_FOLDER : is_archive(head, (size_t)n) ? FORM_ARCHIVE : FORM_FILE;
    const char *base = fileset_base(f->path);
    size_t k = *form == FORM_FOLDER ? strlen(f->path) : (size_t)(base - f->path);
    if (k >= KLUIS_PATH_MAX) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "the path is longer than %d bytes", (int)KLUIS_PATH_MAX); }
    memcpy(folder, k == 0 ? "." : f->path, k == 0 ? 1 : k);
    folder[k == 0 ? 1 : k] = '\0';
    return KLUIS_OK;
}

static kluis_status open_any(struct fileset *f, const struct fileset_how *how, struct kluis_err *err)
{
    char folder[KLUIS_PATH_MAX];
    enum form form = FORM_FILE;
    KLUIS_TRY(look(f, &form, folder, err));
    const char *given = form == FORM_FILE ? fileset_base(f->path) : NULL;
    f->archive = form == FORM_ARCHIVE;
    KLUIS_TRY(f->archive ? fileset_archive_open(f, how->keep, err) : open_folder(f, folder, given, err));
    return sort(f, given, err);
}

kluis_status fileset_open(struct fileset *f, const char *path, const struct fileset_how *how, struct kluis_err *err)
{
    *f = (struct fileset){
        .path = path, .what = how->what, .passphrase = how->passphrase, .dir = -1, .open_fd = -1, .open = FILESET_NONE, .one = FILESET_NONE
    };
    f->names = kluis_arena_new(FILESET_NAMES_MAX);
    kluis_status rc = f->names == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again") : open_any(f, how, err);
    if (rc != KLUIS_OK) { fileset_close(f); }
    return rc;
}

void fileset_close(struct fileset *f)
{
    if (f->names == NULL) { return; }
    kluis_close_quiet(&f->dir);
    kluis_close_quiet(&f->open_fd);
    kluis_free(f->list);
    kluis_free(f->by_base);
    kluis_arena_free(f->names);
    kluis_scratch_free(f->kept);
    *f = (struct fileset){ .dir = -1, .open_fd = -1 };
}

static int open_entry(struct fileset *f, uint32_t i)
{
    struct stat st;
    int fd = kluis_io_openat(f->dir, f->list[i].name, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW, 0);
    if (fd < 0 && i == f->one) {
        fd = kluis_io_openat(f->dir, f->list[i].name, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0);
    } /* a link that was given itself */
    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) { kluis_close_quiet(&fd); }
    if (fd >= 0) { f->open_size = (uint64_t)st.st_size; }
    return fd;
}

kluis_status fileset_read_at(struct fileset *f, uint32_t i, void *p, size_t n, uint64_t at, size_t *got, struct kluis_err *err)
{
    const struct fileset_entry *e = &f->list[i];
    *got = 0;
    if (!e->kept) { return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "%s: %s was not kept to be read", f->path, e->name); }
    if (f->archive) {
        if (at >= e->size) { return KLUIS_OK; }
        return kluis_scratch_read(f->kept, p, n > e->size - at ? (size_t)(e->size - at) : n, e->at + at, got, err);
    }
    if (f->open != i) {
        kluis_close_quiet(&f->open_fd);
        f->open = FILESET_NONE;
        f->open_fd = open_entry(f, i);
        if (f->open_fd < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot open %s in %s", e->name, f->path); }
        f->open = i;
    }
    while (*got < n && at + *got < f->open_size) { /* asking what comes behind the end would double the readings of a small file */
        ssize_t k = kluis_io_pread(f->open_fd, (uint8_t *)p + *got, n - *got, at + *got);
        if (k < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot read %s in %s", e->name, f->path); }
        if (k == 0) { break; }
        *got += (size_t)k;
    }
    return KLUIS_OK;
}

static ssize_t read_stream(void *ctx, void *p, size_t n, struct kluis_err *err)
{
    struct fileset_stream *s = ctx;
    size_t got = 0;
    if (fileset_read_at(s->files, s->i, p, n, s->at, &got, err) != KLUIS_OK) { return -1; }
    s->at += got;
    return (ssize_t)got;
}

kluis_status fileset_input(struct fileset *f, uint32_t i, uint64_t at, struct fileset_stream *s, struct kluis_input *in, struct kluis_err *err)
{
    *s = (struct fileset_stream){ f, i, at };
    *in = (struct kluis_input){ s, read_stream };
    return f->list[i].kept ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "%s: %s was not kept to be read", f->path, f->list[i].name);
}

static kluis_status give_beside(int dir, const struct kluis_str *wanted, size_t n, const struct source_attachment_sink *sink, struct kluis_err *err)
{
    for (size_t k = 0; k < n; k++) {
        char name[KLUIS_PATH_MAX];
        struct stat st;
        if (wanted[k].len == 0 || wanted[k].len >= sizeof name || memchr(wanted[k].ptr, 0, wanted[k].len) != NULL) { continue; }
        memcpy(name, wanted[k].ptr, wanted[k].len);
        name[wanted[k].len] = '\0';
        struct kluis_input_fd file = { .fd = -1, .what = "an attachment" };
        if (fileset_safe(name)) { file.fd = kluis_io_openat(dir, name, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW, 0); }
        if (file.fd >= 0 && (fstat(file.fd, &st) != 0 || !S_ISREG(st.st_mode))) { kluis_close_quiet(&file.fd); }
        if (file.fd < 0) { continue; }
        struct kluis_input in = kluis_input_from_fd(&file);
        kluis_status rc = sink->attachment(sink->ctx, k, &in, err);
        kluis_close_quiet(&file.fd);
        KLUIS_TRY(rc);
    }
    return KLUIS_OK;
}

kluis_status fileset_give(const char *path, const struct fileset_how *how, const struct kluis_str *wanted, size_t n,
                          const struct source_attachment_sink *sink, struct kluis_err *err)
{
    struct fileset f = { .path = path, .what = how->what, .passphrase = how->passphrase };
    enum form form = FORM_FILE;
    char folder[KLUIS_PATH_MAX];
    KLUIS_TRY(look(&f, &form, folder, err));
    if (form == FORM_ARCHIVE) { return fileset_archive_give(&f, wanted, n, sink, err); }
    int dir = kluis_io_open(folder, O_RDONLY | O_DIRECTORY, 0);
    if (dir < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot open the folder %s", folder); }
    kluis_status rc = give_beside(dir, wanted, n, sink, err);
    kluis_close_quiet(&dir);
    return rc;
}
