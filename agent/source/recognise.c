/* recognise.c - what kind of source lies at a path: every kind is asked about every file, the heads are read once.
 *
 * A folder or zip of an export holds mostly media.  Files that name themselves as pictures, film or sound come last, so that a ceiling on
 * the number of files costs those first; what a file is, its content says.
 */
#include "agent/source/source.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <strings.h>
#include <sys/stat.h>

enum { NAMES_MAX = 65536, ASKED_MAX = 4096, LEVELS = 7, NAMES_BYTES = 16 << 20 };

struct look {
    const char *path;
    struct kluis_arena *arena;
    const char **names;
    size_t n_names, cap;
    uint8_t *head;
    enum source_sure best[SOURCE_GUESSES_MAX];
    struct kluis_err *err;
};

const char *source_sure_name(enum source_sure s)
{
    static const char *const name[] = { "no", "perhaps", "likely", "certain" };
    return name[s];
}

static void ask(struct look *l, const struct source_file *f)
{
    size_t n = 0;
    const struct source_kind *const *k = source_kinds(&n);
    for (size_t i = 0; i < n && i < SOURCE_GUESSES_MAX; i++) {
        if (k[i]->probe == NULL || l->best[i] == SOURCE_CERTAIN) { continue; }
        enum source_sure s = k[i]->probe(f);
        if (s > l->best[i]) { l->best[i] = s; }
    }
}

/* ---- a folder ---- */

static bool is_media(const char *name)
{
    static const char *const ext[] = { "jpg", "jpeg", "png", "gif", "webp", "heic", "mp4", "mov", "3gp", "opus", "ogg", "m4a", "mp3", "aac", "pdf" };
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot != NULL && i < sizeof ext / sizeof *ext; i++) {
        if (strcasecmp(dot + 1, ext[i]) == 0) { return true; }
    }
    return false;
}

static int by_promise(const void *a, const void *b)
{
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    int m = (int)is_media(x) - (int)is_media(y), dx = 0, dy = 0;
    for (const char *p = x; *p != '\0'; p++) { dx += *p == '/'; }
    for (const char *p = y; *p != '\0'; p++) { dy += *p == '/'; }
    return m != 0 ? m : dx != dy ? dx - dy : strcmp(x, y);
}

static kluis_status add_name(struct look *l, const char *name)
{
    if (l->n_names == NAMES_MAX) { return KLUIS_OK; }
    if (l->n_names == l->cap) {
        size_t cap = l->cap == 0 ? 256 : l->cap * 2;
        const char **p = kluis_realloc(l->names, cap * sizeof *p);
        if (p == NULL) { return KLUIS_FAIL(l->err, KLUIS_E_NOMEM, "out of memory; try again"); }
        l->names = p;
        l->cap = cap;
    }
    l->names[l->n_names] = kluis_arena_strndup(l->arena, name, strlen(name));
    if (l->names[l->n_names] != NULL) { l->n_names++; }
    return KLUIS_OK; /* names past the arena's ceiling are left out: the media at the end of the list */
}

static kluis_status names_of(struct look *l, int fd, const char *below, int level)
{
    DIR *d = fdopendir(fd);
    if (d == NULL) {
        kluis_close_quiet(&fd);
        return KLUIS_FAIL_SYS(l->err, KLUIS_E_IO, "cannot read the folder %s", l->path);
    }
    kluis_status rc = KLUIS_OK;
    char name[KLUIS_PATH_MAX];
    for (const char *entry; kluis_dir_next(d, l->path, &entry, &rc, l->err);) {
        struct stat st;
        int w = snprintf(name, sizeof name, "%s%s%s", below, below[0] != '\0' ? "/" : "", entry);
        if (w < 0 || (size_t)w >= sizeof name || !kluis_dir_look(d, l->path, entry, AT_SYMLINK_NOFOLLOW, &st, &rc, l->err)) { continue; }
        if (S_ISREG(st.st_mode)) {
            rc = add_name(l, name);
        } else if (S_ISDIR(st.st_mode) && level < LEVELS) {
            int sub;
            if (kluis_dir_down(d, l->path, entry, &sub, &rc, l->err)) { rc = names_of(l, sub, name, level + 1); }
        }
    }
    (void)closedir(d); /* only read */
    return rc;
}

static void ask_about(struct look *l, const char *name, const char *path)
{
    struct stat st;
    int fd = kluis_io_open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0);
    if (fd < 0) { return; }
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        ssize_t n = kluis_io_pread(fd, l->head, SOURCE_HEAD_MAX, 0);
        if (n >= 0) {
            struct source_file f = { name, path, (uint64_t)st.st_size, { l->head, (size_t)n } };
            ask(l, &f);
        }
    }
    kluis_close_quiet(&fd);
}

static kluis_status look_in_folder(struct look *l, int fd)
{
    char path[KLUIS_PATH_MAX];
    KLUIS_TRY(names_of(l, fd, "", 1));
    if (l->n_names > 1) { qsort(l->names, l->n_names, sizeof *l->names, by_promise); }
    for (size_t i = 0; i < l->n_names && i < ASKED_MAX; i++) {
        struct kluis_err too_long = { 0 };
        if (kluis_path(path, sizeof path, l->path, l->names[i], &too_long) == KLUIS_OK) { ask_about(l, l->names[i], path); }
    }
    return KLUIS_OK;
}

/* ---- a zip ---- */

static kluis_status look_in_zip(struct look *l, int fd)
{
    struct archive *a = archive_read_new();
    struct archive_entry *e = NULL;
    if (a == NULL) { return KLUIS_FAIL(l->err, KLUIS_E_NOMEM, "out of memory; try again"); }
    archive_read_support_format_zip_seekable(a);
    int rc = archive_read_open_fd(a, fd, 65536);
    for (size_t i = 0; rc == ARCHIVE_OK && i < ASKED_MAX; i++) {
        rc = archive_read_next_header(a, &e);
        if (rc == ARCHIVE_WARN) { rc = ARCHIVE_OK; }
        if (rc != ARCHIVE_OK) { break; }
        const char *name = archive_entry_pathname_utf8(e);
        if (name == NULL) { name = archive_entry_pathname(e); }
        if (name == NULL || archive_entry_filetype(e) != AE_IFREG || archive_entry_is_encrypted(e) > 0) { continue; }
        la_ssize_t n = is_media(name) ? 0 : archive_read_data(a, l->head, SOURCE_HEAD_MAX);
        if (n <= 0) { continue; }
        struct source_file f = { name, NULL, archive_entry_size_is_set(e) ? (uint64_t)archive_entry_size(e) : 0, { l->head, (size_t)n } };
        ask(l, &f);
    }
    archive_read_free(a);
    return KLUIS_OK; /* a damaged zip is what the kinds say it is: nothing */
}

/* ---- any path ---- */

static kluis_status look(struct look *l)
{
    struct stat st;
    int fd = kluis_io_open(l->path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0);
    if (fd < 0) {
        return errno == ENOENT || errno == ENOTDIR
                   ? KLUIS_FAIL(l->err, KLUIS_E_NOTFOUND, "there is nothing at '%.200s': give the export's file or folder", l->path)
                   : KLUIS_FAIL_SYS(l->err, KLUIS_E_IO, "cannot open %s", l->path);
    }
    kluis_status rc = KLUIS_OK;
    if (fstat(fd, &st) != 0) {
        rc = KLUIS_FAIL_SYS(l->err, KLUIS_E_IO, "cannot read %s", l->path);
    } else if (S_ISDIR(st.st_mode)) {
        rc = look_in_folder(l, fd);
        fd = -1; /* closed with the folder */
    } else {
        uint8_t magic[4] = { 0 };
        ask_about(l, "", l->path);
        if (kluis_io_pread(fd, magic, sizeof magic, 0) == 4 && memcmp(magic, "PK\x03\x04", 4) == 0) { rc = look_in_zip(l, fd); }
    }
    kluis_close_quiet(&fd);
    return rc;
}

kluis_status source_recognise(const char *path, struct source_guess found[SOURCE_GUESSES_MAX], size_t *n, struct kluis_err *err)
{
    struct look l = { .path = path, .err = err };
    *n = 0;
    l.arena = kluis_arena_new(NAMES_BYTES);
    l.head = kluis_malloc(SOURCE_HEAD_MAX);
    kluis_status rc = l.arena == NULL || l.head == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again") : look(&l);
    size_t kinds = 0;
    const struct source_kind *const *k = source_kinds(&kinds);
    for (int s = SOURCE_CERTAIN; rc == KLUIS_OK && s > SOURCE_NO; s--) {
        for (size_t i = 0; i < kinds && i < SOURCE_GUESSES_MAX; i++) {
            if (l.best[i] == (enum source_sure)s) { found[(*n)++] = (struct source_guess){ k[i], (enum source_sure)s }; }
        }
    }
    kluis_free(l.names);
    kluis_free(l.head);
    kluis_arena_free(l.arena);
    return rc;
}
