/* A database of WhatsApp with damage anywhere: every record that comes out can be written, and whoever is at fault is told. */
#include "agent/source/database/database.h"
#include "tests/fuzz/source_sink.h"

static char path[KLUIS_PATH_MAX];
static int fd = -1;

void fuzz_setup(void)
{
    MUST(setenv("TMPDIR", fuzz_dir(), 1) == 0);
    MUST(kluis_path(path, sizeof path, fuzz_dir(), "it.db", NULL) == KLUIS_OK);
    fd = fuzz_file(path);
    MUST(atexit(database_forget) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const struct source_kind *const kinds[] = { &source_whatsapp_android, &source_whatsapp_ios };
    const struct source_kind *kind = kinds[fuzz_which(&p, &n, 2)];
    database_forget();
    MUST(kluis_io_ftruncate(fd, 0) == 0 && kluis_io_pwrite(fd, p, n, 0) == (ssize_t)n);
    const struct source_request q = { .path = path };
    struct source_seen seen = { 0 };
    kluis_buf_init(&seen.lines, 64 << 20);
    const struct source_sink sink = SOURCE_SINK(&seen);
    struct kluis_err err = { 0 };
    kluis_status rc = kind->read(&q, &sink, &err);
    MUST((rc != KLUIS_OK || !seen.open) && rc != KLUIS_E_BUG && rc != KLUIS_E_USAGE);
    kluis_buf_free(&seen.lines);
    source_drain(kind, &q, &seen);
    return 0;
}
