/* tests/fuzz/source_file.h - the target of a source that is one file: whatever is in it, every record of it can be written.
 *
 * FUZZ_SOURCE_FILE(kind, name) is the whole target; the file stands under this name in a folder of its own. */
#ifndef FUZZ_SOURCE_FILE_H
#define FUZZ_SOURCE_FILE_H

#include <fcntl.h>

#include "tests/fuzz/source_sink.h"

static int source_fd = -1;

static void source_file_setup(const char *name)
{
    char path[KLUIS_PATH_MAX];
    MUST(kluis_path(path, sizeof path, fuzz_dir(), name, NULL) == KLUIS_OK);
    source_fd = kluis_io_open(path, O_RDWR | O_CREAT, 0600);
    MUST(source_fd >= 0);
}

static int source_file_one(const struct source_kind *k, const char *name, const uint8_t *p, size_t n)
{
    MUST(kluis_io_ftruncate(source_fd, 0) == 0 && kluis_io_pwrite(source_fd, p, n, 0) == (ssize_t)n);
    const struct source_request q = { .path = fuzz_dir() };
    struct source_seen seen = { 0 };
    kluis_buf_init(&seen.lines, 64 << 20);
    const struct source_sink sink = SOURCE_SINK(&seen);
    struct kluis_err err = { 0 };
    kluis_status rc = k->read(&q, &sink, &err);
    MUST(rc == err.code && (rc != KLUIS_OK || !seen.open) && rc != KLUIS_E_BUG && rc != KLUIS_E_IO && rc != KLUIS_E_BUSY);
    kluis_buf_free(&seen.lines);
    struct source_file f = { name, "x", n, { p, n < SOURCE_HEAD_MAX ? n : SOURCE_HEAD_MAX } };
    (void)k->probe(&f);
    return 0;
}

#define FUZZ_SOURCE_FILE(kind, name)                                                                                                                 \
    void fuzz_setup(void) { source_file_setup(name); }                                                                                               \
    int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) { return source_file_one(&(kind), name, p, n); }                                          \
    _Static_assert(sizeof(name) > 1, "a file has a name")

#endif
