/* What comes in at the vault's command socket, over a real socket. */
#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/control/control.h"
#include "server/local/local.h"
#include "tests/fuzz/fuzz.h"

static struct control *served;
static struct sockaddr_un address;

static kluis_status handle(KLUIS_UNUSED void *ctx, int argc, const char *const *argv, const struct control_output *out, struct kluis_err *err)
{
    MUST(argc >= 0 && argc <= CONTROL_ARGS_MAX);
    for (int i = 0; i < argc; i++) {
        MUST(strlen(argv[i]) <= CONTROL_REQUEST_MAX);
        KLUIS_TRY(out->line(out->ctx, 'o', kluis_str_of(argv[i]), err));
    }
    return KLUIS_OK;
}

static void stop(void) { control_stop(served); }

void fuzz_setup(void)
{
    address.sun_family = AF_UNIX;
    MUST((size_t)snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", fuzz_dir()) < sizeof address.sun_path);
    int fd = -1;
    MUST(local_listen(address.sun_path, &fd, NULL) == KLUIS_OK && control_start(&served, fd, handle, NULL, NULL) == KLUIS_OK);
    MUST(atexit(stop) == 0); /* its thread, its pipe and its socket */
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    uint8_t answer[4096], last[6] = { 0 };
    size_t got = 0;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0);
    for (size_t at = 0; at < n;) {
        ssize_t w = send(fd, p + at, n - at, MSG_NOSIGNAL);
        if (w <= 0) { break; } /* it may have heard enough */
        at += (size_t)w;
    }
    MUST(shutdown(fd, SHUT_WR) == 0 || n > 0);
    ssize_t r;
    for (; (r = recv(fd, answer, sizeof answer, 0)) > 0; got += (size_t)r) {
        for (ssize_t i = 0; i < r; i++) {
            memmove(last, last + 1, 5);
            last[5] = answer[i];
        }
    }
    /* Whatever was asked, the last frame is an exit code; a reset may lose it where bytes were left unread. */
    static const uint8_t exit_frame[5] = { 'x', 0, 0, 0, 1 };
    MUST((r < 0 && errno == ECONNRESET) || got == 0 || memcmp(last, exit_frame, 5) == 0);
    (void)close(fd);
    return 0;
}
