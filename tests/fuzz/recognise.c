/* One file of any kind, zip or database too: asked what it is, then read by every kind that thinks so, with its attachments. */
#include <fcntl.h>
#include <unistd.h>

#include "agent/source/database/database.h"
#include "tests/fuzz/source_sink.h"

static const char *const names[] = { "chat.zip", "WhatsApp Chat - Overleg.txt", "mmssms.db", "x.json", "x.xml", "x" };
enum { NAMES = sizeof names / sizeof *names };
static char path[NAMES][KLUIS_PATH_MAX];

void fuzz_setup(void)
{
    MUST(setenv("TMPDIR", fuzz_dir(), 1) == 0);
    for (size_t i = 0; i < NAMES; i++) { MUST(kluis_path(path[i], sizeof path[i], fuzz_dir(), names[i], NULL) == KLUIS_OK); }
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static struct source_seen seen;
    const char *it = path[fuzz_which(&p, &n, NAMES)];
    struct source_guess found[SOURCE_GUESSES_MAX];
    struct kluis_err err = { 0 };
    size_t n_found = 0;
    int fd = kluis_io_open(it, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    MUST(fd >= 0 && kluis_io_pwrite(fd, p, n, 0) == (ssize_t)n);
    kluis_close_quiet(&fd);
    kluis_status rc = source_recognise(it, found, &n_found, &err);
    MUST(rc == err.code && n_found <= SOURCE_GUESSES_MAX && rc != KLUIS_E_BUG);
    for (size_t i = 0; rc == KLUIS_OK && i < n_found; i++) {
        const struct source_request q = { .path = it };
        const struct source_sink sink = SOURCE_SINK(&seen);
        MUST(found[i].kind != NULL && found[i].sure != SOURCE_NO && (i == 0 || found[i].sure <= found[i - 1].sure));
        database_forget();
        memset(&seen, 0, sizeof seen);
        kluis_buf_init(&seen.lines, 64 << 20);
        kluis_err_clear(&err);
        kluis_status read = found[i].kind->read(&q, &sink, &err);
        MUST((read != KLUIS_OK || !seen.open) && read != KLUIS_E_BUG && (read != KLUIS_E_USAGE || strstr(err.msg, "--option") != NULL)); /* a key */
        kluis_buf_free(&seen.lines);
        source_drain(found[i].kind, &q, &seen);
    }
    MUST(unlink(it) == 0);
    return 0;
}
