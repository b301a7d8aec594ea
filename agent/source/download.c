/* download.c - see download.h. */
#include "agent/source/download.h"

#include "kluis/scratch.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BESIDE_LEVELS = 2 };                   /* of folders listed beside a file that was given itself */
enum { WINDOW = 256 << 10, REACH = 4 << 10 }; /* read along at most, and after a jump */

static kluis_status no_memory(struct kluis_err *err) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }

static int by_text(struct kluis_str a, struct kluis_str b)
{
    int c = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
    return c != 0 ? c : a.len < b.len ? -1 : a.len > b.len;
}
static int by_name(const void *a, const void *b) { return by_text(((const struct download_file *)a)->name, ((const struct download_file *)b)->name); }

/* *out NULL: there is no room for it. */
static kluis_status add(struct download *d, const char *name, uint64_t size, struct download_file **out, struct kluis_err *err)
{
    *out = NULL;
    if (d->n == d->cap) {
        size_t cap = d->cap == 0 ? 256 : d->cap * 2;
        struct download_file *p = cap > DOWNLOAD_FILES ? NULL : kluis_realloc(d->files, cap * sizeof *p);
        if (p == NULL && cap <= DOWNLOAD_FILES) { return no_memory(err); }
        d->full = d->full || p == NULL;
        if (p == NULL) { return KLUIS_OK; }
        d->files = p;
        d->cap = cap;
    }
    struct kluis_str own = kluis_arena_str(d->names, kluis_str_of(name));
    d->full = d->full || own.ptr == NULL;
    if (own.ptr == NULL) { return KLUIS_OK; }
    *out = &d->files[d->n++];
    **out = (struct download_file){ .name = own, .size = size };
    return KLUIS_OK;
}

/* ---- a folder ---- */

static kluis_status list_folder(struct download *d, int fd, const char *below, int levels, bool (*wanted)(struct kluis_str), struct kluis_err *err)
{
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        kluis_close_quiet(&fd);
        return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot read the folder %s", d->path);
    }
    kluis_status rc = KLUIS_OK;
    char name[KLUIS_PATH_MAX];
    for (const char *entry; kluis_dir_next(dir, d->path, &entry, &rc, err);) {
        struct stat st;
        int w = snprintf(name, sizeof name, "%s%s%s", below, below[0] != '\0' ? "/" : "", entry);
        if (w < 0 || (size_t)w >= sizeof name || !kluis_dir_look(dir, d->path, entry, AT_SYMLINK_NOFOLLOW, &st, &rc, err)) { continue; }
        if (S_ISREG(st.st_mode)) {
            struct download_file *f;
            rc = add(d, name, (uint64_t)st.st_size, &f, err);
            if (f != NULL) { f->wanted = wanted != NULL && wanted(f->name); }
        } else if (S_ISDIR(st.st_mode) && levels > 1) {
            int sub;
            if (kluis_dir_down(dir, d->path, entry, &sub, &rc, err)) { rc = list_folder(d, sub, name, levels - 1, wanted, err); }
        }
    }
    (void)closedir(dir); /* only read */
    return rc;
}

static kluis_status open_folder(struct download *d, const char *folder, int levels, bool (*wanted)(struct kluis_str), struct kluis_err *err)
{
    d->dir = kluis_io_open(folder, O_RDONLY | O_DIRECTORY, 0);
    int again = d->dir < 0 ? -1 : kluis_io_openat(d->dir, ".", O_RDONLY | O_DIRECTORY, 0);
    if (again < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot open the folder %s", folder); }
    return list_folder(d, again, "", levels, wanted, err);
}

/* ---- a zip ---- */

/* Of the very bytes in the list, not a place on this machine's disk. */
static const char *name_of(struct archive_entry *e)
{
    const char *name = archive_entry_pathname_utf8(e);
    if (name == NULL) { name = archive_entry_pathname(e); }
    while (name != NULL && (name[0] == '/' || (name[0] == '.' && name[1] == '/'))) { name += name[0] == '/' ? 1 : 2; }
    return name;
}

static kluis_status unpack(struct download *d, struct archive *a, struct download_file *f, struct kluis_err *err)
{
    if (d->scratch == NULL) { KLUIS_TRY(kluis_scratch_new(&d->scratch, err)); }
    if (d->window == NULL) {
        d->window = kluis_malloc(WINDOW);
        d->window_cap = d->window != NULL ? WINDOW : 0;
        if (d->window == NULL) { return no_memory(err); }
    }
    f->at = kluis_scratch_size(d->scratch);
    f->size = 0;
    f->wanted = true;
    for (;;) {
        la_ssize_t n = archive_read_data(a, d->window, WINDOW);
        if (n <= 0) { return KLUIS_OK; } /* a damaged one goes as far as it goes: the reader meets its end */
        KLUIS_TRY(kluis_scratch_write(d->scratch, d->window, (size_t)n, f->at + f->size, err));
        f->size += (uint64_t)n;
    }
}

typedef kluis_status (*on_entry)(void *ctx, struct archive *a, struct archive_entry *e, const char *name, struct kluis_err *err);

/* Every file of the zip, in its order. */
static kluis_status each_entry(const char *path, int fd, on_entry call, void *ctx, struct kluis_err *err)
{
    struct archive *a = archive_read_new();
    struct archive_entry *e = NULL;
    kluis_status rc = KLUIS_OK;
    if (a == NULL) { return no_memory(err); }
    archive_read_support_format_zip_seekable(a);
    int st = archive_read_open_fd(a, fd, 65536);
    while (rc == KLUIS_OK && st == ARCHIVE_OK) {
        st = archive_read_next_header(a, &e);
        if (st == ARCHIVE_WARN) { st = ARCHIVE_OK; }
        if (st != ARCHIVE_OK) { break; }
        const char *name = archive_entry_filetype(e) == AE_IFREG ? name_of(e) : NULL;
        if (name == NULL || name[0] == '\0') { continue; }
        if (archive_entry_is_encrypted(e) > 0) {
            rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "%s is locked with a password: unpack it and give the folder", path);
        } else {
            rc = call(ctx, a, e, name, err);
        }
    }
    if (rc == KLUIS_OK && st != ARCHIVE_EOF) {
        const char *why = archive_error_string(a);
        rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "%s is no zip that can be read (%.120s): download it again", path, why == NULL ? "damaged" : why);
    }
    archive_read_free(a);
    return rc;
}

struct listing {
    struct download *d;
    bool (*wanted)(struct kluis_str name);
};

static kluis_status list_entry(void *ctx, struct archive *a, struct archive_entry *e, const char *name, struct kluis_err *err)
{
    const struct listing *l = ctx;
    struct download_file *f = NULL;
    KLUIS_TRY(add(l->d, name, archive_entry_size_is_set(e) ? (uint64_t)archive_entry_size(e) : 0, &f, err));
    return f != NULL && l->wanted != NULL && l->wanted(f->name) ? unpack(l->d, a, f, err) : KLUIS_OK;
}

/* ---- any path ---- */

static bool is_zip(int fd)
{
    uint8_t magic[4] = { 0 };
    return kluis_io_pread(fd, magic, sizeof magic, 0) == 4 && memcmp(magic, "PK\x03\x04", 4) == 0;
}

/* That a file lies in. */
static kluis_status folder_of(const char *path, char folder[KLUIS_PATH_MAX], struct kluis_err *err)
{
    const char *slash = strrchr(path, '/');
    int w = snprintf(folder, KLUIS_PATH_MAX, "%.*s", slash == NULL || slash == path ? 1 : (int)(slash - path), slash == NULL ? "." : path);
    return w < 0 || w >= KLUIS_PATH_MAX ? KLUIS_FAIL(err, KLUIS_E_USAGE, "the path is too long") : KLUIS_OK;
}

static kluis_status open_file(struct download *d, const char *path, int fd, bool (*wanted)(struct kluis_str), struct kluis_err *err)
{
    const char *slash = strrchr(path, '/');
    char folder[KLUIS_PATH_MAX];
    d->zip = is_zip(fd);
    if (d->zip) {
        struct listing l = { d, wanted };
        return each_entry(path, fd, list_entry, &l, err);
    }
    KLUIS_TRY(folder_of(path, folder, err));
    KLUIS_TRY(open_folder(d, folder, BESIDE_LEVELS, NULL, err));
    for (size_t i = 0; i < d->n; i++) { d->files[i].wanted = kluis_str_is(d->files[i].name, slash == NULL ? path : slash + 1); }
    return KLUIS_OK;
}

/* What was given, open: a folder or a file. */
static kluis_status open_given(const char *path, int *fd, struct stat *st, struct kluis_err *err)
{
    *fd = kluis_io_open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0);
    if (*fd < 0) {
        return errno == ENOENT || errno == ENOTDIR
                   ? KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "there is nothing at %s: give the download's folder or zip", path)
                   : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot open %s", path);
    }
    kluis_status rc = fstat(*fd, st) != 0                              ? KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot read %s", path)
                      : !S_ISDIR(st->st_mode) && !S_ISREG(st->st_mode) ? KLUIS_FAIL(err, KLUIS_E_REJECT, "%s is neither folder nor file", path)
                                                                       : KLUIS_OK;
    if (rc != KLUIS_OK) { kluis_close_quiet(fd); }
    return rc;
}

kluis_status download_open(struct download *d, const char *path, bool (*wanted)(struct kluis_str name), struct kluis_err *err)
{
    struct stat st;
    *d = (struct download){ .path = path, .dir = -1 };
    for (size_t i = 0; i < DOWNLOAD_FDS; i++) { d->open[i].fd = -1; }
    d->names = kluis_arena_new(DOWNLOAD_NAMES);
    if (d->names == NULL) { return no_memory(err); }
    int fd = -1;
    KLUIS_TRY(open_given(path, &fd, &st, err));
    kluis_status rc = S_ISDIR(st.st_mode) ? open_folder(d, path, DOWNLOAD_LEVELS, wanted, err) : open_file(d, path, fd, wanted, err);
    kluis_close_quiet(&fd);
    if (rc == KLUIS_OK && d->n > 1) { qsort(d->files, d->n, sizeof *d->files, by_name); }
    return rc;
}

void download_close(struct download *d)
{
    if (d->names == NULL) { return; }
    for (size_t i = 0; i < DOWNLOAD_FDS; i++) { kluis_close_quiet(&d->open[i].fd); }
    kluis_close_quiet(&d->dir);
    kluis_scratch_free(d->scratch);
    kluis_arena_free(d->names);
    kluis_free(d->files);
    kluis_free(d->window);
    *d = (struct download){ .dir = -1 };
}

const struct download_file *download_find(const struct download *d, struct kluis_str name)
{
    size_t lo = 0, hi = d->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = by_text(d->files[mid].name, name);
        if (c == 0) { return &d->files[mid]; }
        if (c < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return NULL;
}

static bool begins(struct kluis_str s, struct kluis_str with) { return s.len >= with.len && memcmp(s.ptr, with.ptr, with.len) == 0; }

const struct download_file *download_find_begin(const struct download *d, struct kluis_str begin, size_t *n)
{
    size_t lo = 0, hi = d->n;
    *n = 0;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (by_text(d->files[mid].name, begin) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    while (lo + *n < d->n && begins(d->files[lo + *n].name, begin)) { ++*n; }
    return *n > 0 ? &d->files[lo] : NULL;
}

const struct download_file *download_find_end(const struct download *d, struct kluis_str end)
{
    for (size_t i = 0; end.len > 0 && i < d->n; i++) {
        struct kluis_str n = d->files[i].name;
        if (n.len < end.len || memcmp(n.ptr + n.len - end.len, end.ptr, end.len) != 0) { continue; }
        if (n.len == end.len || n.ptr[n.len - end.len - 1] == '/') { return &d->files[i]; }
    }
    return NULL;
}

/* ---- bytes ---- */

static int open_listed(const struct download *d, const struct download_file *f)
{
    struct stat st;
    int fd = kluis_io_openat(d->dir, f->name.ptr, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW, 0);
    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) { kluis_close_quiet(&fd); }
    return fd;
}

kluis_status download_read(struct download *d, const struct download_file *f, uint64_t at, void *p, size_t n, size_t *got, struct kluis_err *err)
{
    *got = 0;
    if (d->zip) {
        n = at >= f->size ? 0 : f->size - at < n ? (size_t)(f->size - at) : n;
        return n == 0 ? KLUIS_OK : kluis_scratch_read(d->scratch, p, n, f->at + at, got, err);
    }
    size_t slot = (size_t)(f - d->files) % DOWNLOAD_FDS;
    if (d->open[slot].file != f || d->open[slot].fd < 0) {
        kluis_close_quiet(&d->open[slot].fd);
        d->open[slot].fd = open_listed(d, f);
        d->open[slot].file = f;
        if (d->open[slot].fd < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot open %.200s", f->name.ptr); }
    }
    while (*got < n) {
        ssize_t k = kluis_io_pread(d->open[slot].fd, (uint8_t *)p + *got, n - *got, at + *got);
        if (k < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot read %.200s", f->name.ptr); }
        if (k == 0) { break; }
        *got += (size_t)k;
    }
    return KLUIS_OK;
}

kluis_status download_bytes(struct download *d, const struct download_file *f, uint64_t at, size_t len, struct kluis_str *out, struct kluis_err *err)
{
    bool there = d->window_file == f && at >= d->window_at && at + len <= d->window_at + d->window_len;
    if (!there) {
        const uint64_t window_end = d->window_at + d->window_len;
        const bool backwards = d->window_file == f && at < d->window_at;
        const bool near = d->window_file == f && (backwards ? at + len + d->reach >= d->window_at : at <= window_end + d->reach);
        d->reach = near && d->reach >= REACH ? (d->reach < WINDOW ? d->reach * 2 : WINDOW) : REACH; /* more each time it goes on from there */
        size_t need = len > d->reach ? len : d->reach;
        if (need > d->window_cap) {
            uint8_t *p = kluis_realloc(d->window, need);
            if (p == NULL) { return no_memory(err); }
            d->window = p;
            d->window_cap = need;
        }
        d->window_file = NULL;
        d->window_at = !backwards ? at : at + len > need ? at + len - need : 0;
        KLUIS_TRY(download_read(d, f, d->window_at, d->window, need, &d->window_len, err));
        d->window_file = f;
    }
    size_t skip = (size_t)(at - d->window_at), have = skip < d->window_len ? d->window_len - skip : 0;
    *out = (struct kluis_str){ (const char *)d->window + skip, have < len ? have : len };
    return KLUIS_OK;
}

static ssize_t input_read(void *ctx, void *p, size_t n, struct kluis_err *err)
{
    struct download_input *s = ctx;
    size_t got = 0;
    if (download_read(s->d, s->file, s->at, p, n, &got, err) != KLUIS_OK) { return -1; }
    s->at += got;
    return (ssize_t)got;
}

struct kluis_input download_input(struct download_input *state) { return (struct kluis_input){ state, input_read }; }

/* ---- attachments ---- */

struct wish {
    struct kluis_str name;
    size_t index;
    bool given;
};
struct wishes {
    struct wish *list;
    size_t n;
    bool again; /* an entry that was just given is wished for once more */
    const struct source_attachment_sink *sink;
};

static int wish_order(const void *a, const void *b) { return by_text(((const struct wish *)a)->name, ((const struct wish *)b)->name); }

static ssize_t entry_read(void *ctx, void *p, size_t n, struct kluis_err *err)
{
    la_ssize_t k = archive_read_data(ctx, p, n);
    if (k >= 0) { return k; }
    (void)KLUIS_FAIL(err, KLUIS_E_IO, "an attachment in the zip is damaged");
    return -1;
}

static kluis_status give_entry(void *ctx, struct archive *a, struct archive_entry *e, const char *name, struct kluis_err *err)
{
    struct wishes *w = ctx;
    struct wish key = { kluis_str_of(name), 0, false }, *end = w->list + w->n;
    struct wish *found = bsearch(&key, w->list, w->n, sizeof *w->list, wish_order);
    struct kluis_input in = { a, entry_read };
    (void)e;
    if (found == NULL) { return KLUIS_OK; }
    while (found > w->list && wish_order(found - 1, &key) == 0) { found--; }
    while (found < end && wish_order(found, &key) == 0 && found->given) { found++; }
    if (found == end || wish_order(found, &key) != 0) { return KLUIS_OK; }
    found->given = true;
    w->again = w->again || (found + 1 < end && wish_order(found + 1, &key) == 0);
    return w->sink->attachment(w->sink->ctx, found->index, &in, err);
}

static kluis_status give_zip(const char *path, struct wishes *w, struct kluis_err *err)
{
    int fd = kluis_io_open(path, O_RDONLY | O_NOCTTY, 0);
    if (fd < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot open %s", path); }
    kluis_status rc = KLUIS_OK;
    do {
        w->again = false;
        if (lseek(fd, 0, SEEK_SET) != 0) { rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot read %s", path); }
        if (rc == KLUIS_OK) { rc = each_entry(path, fd, give_entry, w, err); }
    } while (rc == KLUIS_OK && w->again);
    kluis_close_quiet(&fd);
    return rc;
}

/* What a list of `levels` folders deep would hold under this name: a file below dir, reached through no link. */
static int open_named(int dir, struct kluis_str name, int levels)
{
    struct stat st;
    int at = dir;
    char part[256];
    for (size_t from = 0; levels > 0; levels--) {
        const char *slash = memchr(name.ptr + from, '/', name.len - from);
        size_t n = slash == NULL ? name.len - from : (size_t)(slash - name.ptr) - from;
        bool plain = n > 0 && n < sizeof part && memchr(name.ptr + from, 0, n) == NULL &&
                     !(name.ptr[from] == '.' && (n == 1 || (n == 2 && name.ptr[from + 1] == '.')));
        memcpy(part, name.ptr + from, plain ? n : 0);
        part[plain ? n : 0] = '\0';
        int fd = plain ? kluis_io_openat(at, part, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW | (slash == NULL ? 0 : O_DIRECTORY), 0) : -1;
        if (at != dir) { kluis_close_quiet(&at); }
        if (fd >= 0 && slash == NULL && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) { kluis_close_quiet(&fd); }
        if (fd < 0 || slash == NULL) { return fd; }
        at = fd;
        from += n + 1;
    }
    if (at != dir) { kluis_close_quiet(&at); }
    return -1;
}

static kluis_status give_files(int dir, int levels, const struct wishes *w, struct kluis_err *err)
{
    for (size_t i = 0; i < w->n; i++) {
        const struct kluis_str name = w->list[i].name;
        struct kluis_input_fd file = { .fd = name.ptr == NULL ? -1 : open_named(dir, name, levels), .what = "an attachment" };
        if (file.fd < 0) { continue; }
        struct kluis_input in = kluis_input_from_fd(&file);
        kluis_status rc = w->sink->attachment(w->sink->ctx, w->list[i].index, &in, err);
        kluis_close_quiet(&file.fd);
        KLUIS_TRY(rc);
    }
    return KLUIS_OK;
}

/* Asked for once a package: nothing is listed again, each file is opened by its name. */
static kluis_status give(const char *path, struct wishes *w, struct kluis_err *err)
{
    struct stat st;
    char folder[KLUIS_PATH_MAX];
    int fd;
    KLUIS_TRY(open_given(path, &fd, &st, err));
    kluis_status rc = KLUIS_OK;
    if (S_ISDIR(st.st_mode)) {
        rc = give_files(fd, DOWNLOAD_LEVELS, w, err);
    } else if (is_zip(fd)) {
        rc = give_zip(path, w, err);
    } else {
        rc = folder_of(path, folder, err);
        int dir = rc == KLUIS_OK ? kluis_io_open(folder, O_RDONLY | O_DIRECTORY, 0) : -1;
        if (rc == KLUIS_OK && dir < 0) { rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot open the folder %s", folder); }
        if (rc == KLUIS_OK) { rc = give_files(dir, BESIDE_LEVELS, w, err); }
        kluis_close_quiet(&dir);
    }
    kluis_close_quiet(&fd);
    return rc;
}

kluis_status download_attachments(const struct source_request *q, struct kluis_str conversation_id, const struct kluis_str *wanted, size_t n,
                                  const struct source_attachment_sink *sink, struct kluis_err *err)
{
    struct wishes w = { .list = kluis_calloc(n + 1, sizeof *w.list), .n = n, .sink = sink };
    (void)conversation_id; /* a reference is a name in the list */
    if (w.list == NULL) { return no_memory(err); }
    for (size_t i = 0; i < n; i++) { w.list[i] = (struct wish){ wanted[i], i, false }; }
    qsort(w.list, n, sizeof *w.list, wish_order);
    kluis_status rc = give(q->path, &w, err);
    kluis_free(w.list);
    return rc;
}
