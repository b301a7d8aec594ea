/* agent/terminal.c - asking a person for a secret.  See command.h. */
#include "agent/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

static volatile sig_atomic_t caught;

static void on_signal(int sig) { caught = sig; }

static const int ending[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
enum { ENDING = sizeof ending / sizeof *ending };

/* One line, without its end; a signal, or no line at all, is no answer.  Signals come while it waits and at no other time (`open`): one that came a
 * moment before is not forgotten. */
static kluis_status read_line(int fd, const sigset_t *open, struct kluis_buf *out, struct kluis_err *err)
{
    struct pollfd typed = { .fd = fd, .events = POLLIN };
    for (char c = 0;;) {
        ssize_t n = ppoll(&typed, 1, NULL, open) < 0 || caught != 0 ? -1 : read(fd, &c, 1);
        if (n < 0 && errno == EINTR && caught == 0) { continue; }
        if (n < 0) { return KLUIS_FAIL(err, KLUIS_E_IO, "nothing was typed: the terminal was left"); }
        if (n == 0 || c == '\n') { break; }
        kluis_buf_byte(out, (uint8_t)c);
    }
    KLUIS_TRY(kluis_buf_ok(out, err));
    return out->len > 0 ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_USAGE, "nothing was typed");
}

/* A signal that comes while the echo is off first has the terminal put back as it was, and then ends the program as it would have. */
static kluis_status ask_on(int fd, const char *question, struct kluis_buf *out, struct kluis_err *err)
{
    struct termios before, quiet;
    struct sigaction wait = { 0 }, were[ENDING];
    sigset_t shut, open;
    if (tcgetattr(fd, &before) != 0) { return KLUIS_FAIL(err, KLUIS_E_IO, "cannot switch off the terminal's echo"); }
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    wait.sa_handler = on_signal; /* no SA_RESTART: it ends the reading */
    (void)sigemptyset(&wait.sa_mask);
    caught = 0;
    (void)sigemptyset(&shut);
    for (size_t i = 0; i < ENDING; i++) { (void)sigaddset(&shut, ending[i]); }
    (void)pthread_sigmask(SIG_BLOCK, &shut, &open);
    for (size_t i = 0; i < ENDING; i++) { (void)sigaction(ending[i], &wait, &were[i]); } /* cannot fail: numbers and pointers are good */
    kluis_status rc = tcsetattr(fd, TCSAFLUSH, &quiet) == 0 ? kluis_write_all(fd, question, strlen(question), "the terminal", err)
                                                            : KLUIS_FAIL(err, KLUIS_E_IO, "cannot switch off the terminal's echo");
    if (rc == KLUIS_OK) { rc = read_line(fd, &open, out, err); }
    if (tcsetattr(fd, TCSAFLUSH, &before) != 0) { complain("the terminal stays without echo: type 'stty echo'"); }
    kluis_status ended = kluis_write_all(fd, "\n", 1, "the terminal", rc == KLUIS_OK ? err : NULL);
    for (size_t i = 0; i < ENDING; i++) { (void)sigaction(ending[i], &were[i], NULL); }
    if (caught != 0) {
        if (out->data != NULL) { kluis_wipe(out->data, out->cap); }
        (void)raise(caught);
    }
    (void)pthread_sigmask(SIG_SETMASK, &open, NULL); /* one that came since then ends the program here */
    return rc == KLUIS_OK ? ended : rc;
}

kluis_status terminal_ask(const char *what, const char *otherwise, struct kluis_buf *out, struct kluis_err *err)
{
    char question[96];
    int fd = kluis_io_open("/dev/tty", O_RDWR | O_NOCTTY, 0);
    if (fd < 0) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "there is no terminal to ask for the %.80s: use %s", what, otherwise); }
    (void)snprintf(question, sizeof question, "%.80s: ", what);
    /* Room for all of it at once: what grows leaves copies behind. */
    kluis_status rc = kluis_buf_reserve(out, out->max - out->len) == NULL ? kluis_buf_ok(out, err) : ask_on(fd, question, out, err);
    kluis_close_quiet(&fd);
    return rc;
}
