/* Threema: every record can be written, whatever a chat's file in the backup holds. */
#include <fcntl.h>

#include "tests/fuzz/source_sink.h"

static int fd = -1;

void fuzz_setup(void)
{
    static const char contacts[] = "\"identity\",\"firstname\"\n\"ECHOECHO\",\"Bram\"\n";
    static const char ballots[] = "\"id\",\"aid\",\"creator\",\"name\"\n\"3\",\"b\",\"ME\",\"Wat?\"\n";
    char path[KLUIS_PATH_MAX];
    MUST(kluis_path(path, sizeof path, fuzz_dir(), "contacts.csv", NULL) == KLUIS_OK);
    MUST(kluis_write_file(path, contacts, sizeof contacts - 1, 0600, NULL) == KLUIS_OK);
    MUST(kluis_path(path, sizeof path, fuzz_dir(), "ballot.csv", NULL) == KLUIS_OK);
    MUST(kluis_write_file(path, ballots, sizeof ballots - 1, 0600, NULL) == KLUIS_OK);
    MUST(kluis_path(path, sizeof path, fuzz_dir(), "message_ECHOECHO.csv", NULL) == KLUIS_OK);
    fd = kluis_io_open(path, O_RDWR | O_CREAT, 0600);
    MUST(fd >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    MUST(kluis_io_ftruncate(fd, 0) == 0 && kluis_io_pwrite(fd, p, n, 0) == (ssize_t)n);
    const struct source_request q = { .path = fuzz_dir() };
    struct source_seen seen = { 0 };
    kluis_buf_init(&seen.lines, 64 << 20);
    const struct source_sink sink = SOURCE_SINK(&seen);
    struct kluis_err err = { 0 };
    kluis_status rc = source_threema.read(&q, &sink, &err);
    MUST(rc == err.code && (rc != KLUIS_OK || !seen.open) && rc != KLUIS_E_BUG && rc != KLUIS_E_IO);
    kluis_buf_free(&seen.lines);
    struct source_file f = { "", "x", n, { p, n < SOURCE_HEAD_MAX ? n : SOURCE_HEAD_MAX } };
    (void)source_threema.probe(&f);
    return 0;
}
