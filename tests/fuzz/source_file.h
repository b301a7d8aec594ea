/* tests/fuzz/source_file.h - the target of a source of files: whatever is in them, every record can be written, every attachment that a record names
 * can be read to its end or says why not.
 *
 * FUZZ_SOURCE_FILES(kind, given, name…) is the whole target: a folder of its own with files of these names.  `given` is what the reader is given: ""
 * (the folder) or one of the names.  An input is the files' contents in that order, with the byte 0x1e between them; files past its last are not
 * there. */
#ifndef FUZZ_SOURCE_FILE_H
#define FUZZ_SOURCE_FILE_H

#include <fcntl.h>
#include <unistd.h>

#include "tests/fuzz/source_sink.h"

enum { SOURCE_FILES = 12, SOURCE_BETWEEN = 0x1e };

struct source_files {
    char root[KLUIS_PATH_MAX], given[KLUIS_PATH_MAX];
    char path[SOURCE_FILES][KLUIS_PATH_MAX];
    size_t n;
};

static void source_files_setup(struct source_files *f, const char *given, const char *const *names, size_t n)
{
    MUST(n <= SOURCE_FILES && kluis_path(f->root, sizeof f->root, fuzz_dir(), "it", NULL) == KLUIS_OK && kluis_io_mkdir(f->root, 0700) == 0);
    for (f->n = 0; f->n < n; f->n++) {
        char *p = f->path[f->n];
        MUST(kluis_path(p, KLUIS_PATH_MAX, f->root, names[f->n], NULL) == KLUIS_OK);
        for (char *slash = p + strlen(f->root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
            *slash = '\0';
            MUST(kluis_io_mkdir(p, 0700) == 0 || access(p, F_OK) == 0);
            *slash = '/';
        }
    }
    if (given[0] == '\0') {
        (void)memcpy(f->given, f->root, sizeof f->given);
    } else {
        MUST(kluis_path(f->given, sizeof f->given, f->root, given, NULL) == KLUIS_OK);
    }
}

/* The files of an input; of the first, where it ends. */
static size_t source_files_put(const struct source_files *f, const uint8_t *p, size_t n)
{
    size_t first = n;
    for (size_t i = 0; i < f->n; i++) {
        if (p == NULL) {
            MUST(unlink(f->path[i]) == 0 || access(f->path[i], F_OK) != 0);
            continue;
        }
        const uint8_t *end = i + 1 == f->n || n == 0 ? NULL : memchr(p, SOURCE_BETWEEN, n);
        size_t len = end == NULL ? n : (size_t)(end - p);
        int fd = kluis_io_open(f->path[i], O_WRONLY | O_CREAT | O_TRUNC, 0600);
        MUST(fd >= 0 && kluis_io_pwrite(fd, p, len, 0) == (ssize_t)len);
        kluis_close_quiet(&fd);
        if (i == 0) { first = len; }
        p = end == NULL ? NULL : end + 1;
        n = end == NULL ? 0 : n - len - 1;
    }
    return first;
}

static int source_files_one(const struct source_files *f, const struct source_kind *k, const char *name, const uint8_t *p, size_t n)
{
    static const uint8_t nothing[1];
    size_t first = source_files_put(f, n == 0 ? nothing : p, n);
    const struct source_request q = { .path = f->given };
    struct source_seen seen = { 0 };
    kluis_buf_init(&seen.lines, 64 << 20);
    const struct source_sink sink = SOURCE_SINK(&seen);
    struct kluis_err err = { 0 };
    kluis_status rc = k->read(&q, &sink, &err);
    MUST(rc == err.code && (rc != KLUIS_OK || !seen.open) && rc != KLUIS_E_BUG && rc != KLUIS_E_IO && rc != KLUIS_E_BUSY);
    kluis_buf_free(&seen.lines);
    source_drain(k, &q, &seen);
    struct source_file file = { name, f->path[0], first, { p, first < SOURCE_HEAD_MAX ? first : SOURCE_HEAD_MAX } };
    (void)k->probe(&file);
    return 0;
}

#define FUZZ_SOURCE_FILES(kind, given, ...)                                                                                                          \
    static struct source_files source_files;                                                                                                         \
    static const char *const source_names[] = { __VA_ARGS__ };                                                                                       \
    void fuzz_setup(void) { source_files_setup(&source_files, (given), source_names, sizeof source_names / sizeof *source_names); }                  \
    int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) { return source_files_one(&source_files, &(kind), source_names[0], p, n); }               \
    _Static_assert(sizeof source_names > 0, "a source has files")

#endif
