/* fileset_archive.c - see fileset_archive.h.  libarchive does zip, zip64, WinZip's AES, tar and gzip.
 *
 * A zip is read by its directory, which knows sizes; one that is cut off, or has more entries than a directory in memory should, is read as it
 * comes.  An entry that cannot be read whole is kept as far as it goes, and says so.
 */
#include "agent/source/fileset_archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>

enum { RATIO_MAX = 200, PIECE = 128 << 10, END_MAX = 65557, DIRECTORY_MAX = 65535 };
static const uint64_t RATIO_FROM = 64u << 20;         /* bytes before a ratio says anything */
static const uint64_t KEPT_MAX = (uint64_t)256 << 30; /* bytes kept of one archive */

static kluis_status broken(const struct fileset *f, struct kluis_err *err)
{
    return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s is a damaged archive: make the %s again", f->path, f->what);
}

/* How many entries a zip's own directory counts, as far as the short form can say; 0: there is none. */
static unsigned directory_of(int fd, uint64_t size)
{
    size_t n = size < END_MAX ? (size_t)size : END_MAX;
    uint8_t *p = kluis_malloc(n + 1);
    unsigned count = 0;
    ssize_t got = p == NULL ? -1 : kluis_io_pread(fd, p, n, size - n);
    for (ssize_t i = got - 22; i >= 0 && count == 0; i--) {
        if (memcmp(p + i, "PK\x05\x06", 4) == 0) { count = (unsigned)p[i + 10] | (unsigned)p[i + 11] << 8; }
    }
    kluis_free(p);
    return count;
}

static kluis_status open_archive(const struct fileset *f, bool by_directory, int *fd, struct archive **out, struct kluis_err *err)
{
    *fd = kluis_io_open(f->path, O_RDONLY | O_NOCTTY, 0);
    if (*fd < 0) { return KLUIS_FAIL_SYS(err, errno == ENOENT ? KLUIS_E_NOTFOUND : KLUIS_E_IO, "cannot open %s", f->path); }
    unsigned entries = by_directory ? directory_of(*fd, f->packed) : 0;
    struct archive *a = archive_read_new();
    if (a == NULL) {
        kluis_close_quiet(fd);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again");
    }
    archive_read_support_filter_gzip(a);
    archive_read_support_format_tar(a);
    if (entries > 0 && entries < DIRECTORY_MAX) {
        archive_read_support_format_zip_seekable(a);
    } else {
        archive_read_support_format_zip_streamable(a);
    }
    if (f->passphrase != NULL) { archive_read_add_passphrase(a, f->passphrase); }
    if (archive_read_open_fd(a, *fd, PIECE) != ARCHIVE_OK) {
        archive_read_free(a);
        kluis_close_quiet(fd);
        return broken(f, err);
    }
    *out = a;
    return KLUIS_OK;
}

static const char *name_of(struct archive_entry *e)
{
    const char *n = archive_entry_pathname_utf8(e);
    return n != NULL ? n : archive_entry_pathname(e);
}

static kluis_status locked(const struct fileset *f, struct kluis_err *err)
{
    return f->passphrase == NULL
               ? KLUIS_FAIL(err, KLUIS_E_REJECT, "%s is encrypted: put its password in a file and use --option password=@FILE", f->path)
               : KLUIS_FAIL(err, KLUIS_E_REJECT, "%s does not open with this password: it is another one, or the file is damaged", f->path);
}

static kluis_status keep_entry(struct fileset *f, struct archive *a, struct archive_entry *e, struct fileset_entry *to, uint8_t *piece,
                               struct kluis_err *err)
{
    to->at = kluis_scratch_size(f->kept);
    to->size = 0;
    to->kept = true;
    for (;;) {
        la_ssize_t n = archive_read_data(a, piece, PIECE);
        if (n == 0) { return KLUIS_OK; }
        if (n < 0 && archive_entry_is_data_encrypted(e) > 0 && to->size == 0 && (f->passphrase == NULL || n == ARCHIVE_FAILED)) {
            return locked(f, err);
        }
        if (n < 0) {
            to->damaged = true;
            return n == ARCHIVE_FATAL ? KLUIS_END : KLUIS_OK;
        }
        KLUIS_TRY(kluis_scratch_write(f->kept, piece, (size_t)n, to->at + to->size, err));
        to->size += (uint64_t)n;
        uint64_t all = to->at + to->size;
        if (all > KEPT_MAX || (all > RATIO_FROM && all / RATIO_MAX > f->packed)) {
            return KLUIS_FAIL(err, KLUIS_E_LIMIT, "%s unpacks to more than %d times its size: refused as a bomb", f->path, (int)RATIO_MAX);
        }
    }
}

static kluis_status list_all(struct fileset *f, struct archive *a, bool (*keep)(const char *name), uint8_t *piece, struct kluis_err *err)
{
    for (;;) {
        struct archive_entry *e = NULL;
        int rc = archive_read_next_header(a, &e);
        if (rc == ARCHIVE_EOF) { return KLUIS_OK; }
        if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN) {
            f->ended_early = true;
            return f->n == 0 ? broken(f, err) : KLUIS_OK;
        }
        const char *name = name_of(e);
        if (name == NULL || !fileset_safe(name)) {
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: a file in it has no readable name, an absolute path or '..' in it; no %s has: refused",
                              f->path, f->what);
        }
        while (name[0] == '.' && name[1] == '/') { name += 2; }
        if (archive_entry_filetype(e) != AE_IFREG || name[0] == '\0' || strncmp(name, "__MACOSX/", 9) == 0) { continue; }
        struct fileset_entry *to = NULL;
        int64_t size = archive_entry_size_is_set(e) ? archive_entry_size(e) : -1;
        KLUIS_TRY(fileset_add(f, name, size < 0 ? FILESET_SIZE_UNKNOWN : (uint64_t)size, &to, err));
        if (keep == NULL || !keep(name)) { continue; }
        kluis_status rc2 = keep_entry(f, a, e, to, piece, err);
        if (rc2 == KLUIS_END) {
            f->ended_early = true;
            return KLUIS_OK;
        }
        KLUIS_TRY(rc2);
    }
}

kluis_status fileset_archive_open(struct fileset *f, bool (*keep)(const char *name), struct kluis_err *err)
{
    struct archive *a = NULL;
    int fd = -1;
    KLUIS_TRY(kluis_scratch_new(&f->kept, err));
    uint8_t *piece = kluis_malloc(PIECE);
    kluis_status rc = piece == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again") : open_archive(f, true, &fd, &a, err);
    if (rc == KLUIS_OK) {
        rc = list_all(f, a, keep, piece, err);
        archive_read_free(a);
        kluis_close_quiet(&fd);
    }
    kluis_free(piece);
    return rc;
}

/* ---- attachments ------------------------------------------------------------------------------------------------------------- */

struct wanted {
    struct kluis_str name;
    size_t index;
    bool done;
};
static int by_text(const void *x, const void *y)
{
    const struct wanted *a = x, *b = y;
    size_t n = a->name.len < b->name.len ? a->name.len : b->name.len;
    int c = memcmp(a->name.ptr, b->name.ptr, n);
    return c != 0 ? c : a->name.len < b->name.len ? -1 : a->name.len > b->name.len;
}

struct entry_stream {
    const struct fileset *files;
    struct archive *archive;
    uint64_t given;
};
static ssize_t read_entry(void *ctx, void *p, size_t n, struct kluis_err *err)
{
    struct entry_stream *s = ctx;
    la_ssize_t got = archive_read_data(s->archive, p, n);
    if (got < 0) {
        (void)broken(s->files, err);
        return -1;
    }
    s->given += (uint64_t)got;
    if (s->given > RATIO_FROM && s->given / RATIO_MAX > s->files->packed) {
        (void)KLUIS_FAIL(err, KLUIS_E_LIMIT, "%s unpacks to more than %d times its size: refused as a bomb", s->files->path, (int)RATIO_MAX);
        return -1;
    }
    return (ssize_t)got;
}

/* The first that wants this and has not got it, or NULL. */
static struct wanted *who_wants(struct wanted *w, size_t n, const char *name)
{
    struct wanted key = { .name = kluis_str_of(name) };
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (by_text(&w[mid], &key) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    while (lo < n && w[lo].done && by_text(&w[lo], &key) == 0) { lo++; }
    return lo < n && by_text(&w[lo], &key) == 0 ? &w[lo] : NULL;
}

/* *left: somebody wants what was given to another: an entry is read once only. */
static kluis_status one_round(struct fileset *f, struct wanted *w, size_t n, const struct source_attachment_sink *sink, bool *left,
                              struct kluis_err *err)
{
    struct archive *a = NULL;
    struct archive_entry *e = NULL;
    int fd = -1;
    *left = false;
    KLUIS_TRY(open_archive(f, true, &fd, &a, err));
    kluis_status rc = KLUIS_OK;
    for (int next; rc == KLUIS_OK && ((next = archive_read_next_header(a, &e)) == ARCHIVE_OK || next == ARCHIVE_WARN);) {
        const char *name = name_of(e);
        while (name != NULL && name[0] == '.' && name[1] == '/') { name += 2; }
        struct wanted *to = name == NULL || archive_entry_filetype(e) != AE_IFREG ? NULL : who_wants(w, n, name);
        if (to == NULL) { continue; }
        struct entry_stream s = { f, a, 0 };
        struct kluis_input in = { &s, read_entry };
        to->done = true;
        rc = sink->attachment(sink->ctx, to->index, &in, err);
        *left |= who_wants(w, n, name) != NULL;
    }
    archive_read_free(a);
    kluis_close_quiet(&fd);
    return rc;
}

kluis_status fileset_archive_give(struct fileset *f, const struct kluis_str *wanted, size_t n, const struct source_attachment_sink *sink,
                                  struct kluis_err *err)
{
    struct wanted *w = kluis_calloc(n + 1, sizeof *w);
    bool left = n > 0;
    kluis_status rc = KLUIS_OK;
    if (w == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    for (size_t i = 0; i < n; i++) { w[i] = (struct wanted){ wanted[i].ptr == NULL ? KLUIS_STR_LIT("") : wanted[i], i, false }; }
    if (n > 1) { qsort(w, n, sizeof *w, by_text); }
    while (rc == KLUIS_OK && left) { rc = one_round(f, w, n, sink, &left, err); }
    kluis_free(w);
    return rc;
}
