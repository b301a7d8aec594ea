/* agent/command_run.c - run: unattended.  A pass at every interval and after a source changed; back-off when the gate is away. */
#include "agent/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum { INTERVAL_S = 900, SETTLE_S = 5, BACKOFF_FIRST_S = 30, BACKOFF_MAX_S = 3600, ANSWER_S = 60, WATCHES_MAX = 256 };

static volatile sig_atomic_t stop_signal;
static int stop_pipe[2] = { -1, -1 };
static volatile int stop_flag;

static void on_signal(int sig)
{
    int saved = errno;
    stop_signal = sig;
    stop_flag = 1;
    ssize_t n = write(stop_pipe[1], "", 1); /* full means that it was told already */
    (void)n;
    errno = saved;
}

static kluis_status catch_signals(struct kluis_err *err)
{
    struct sigaction sa = { 0 };
    if (pipe2(stop_pipe, O_CLOEXEC | O_NONBLOCK) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot make a pipe"); }
    sa.sa_handler = on_signal;
    (void)sigemptyset(&sa.sa_mask);
    if (sigaction(SIGTERM, &sa, NULL) != 0 || sigaction(SIGINT, &sa, NULL) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot catch signals"); }
    return KLUIS_OK;
}

/* A folder is watched itself, a file through its folder: exports replace files.  What cannot be watched is read at the interval. */
static void watch_sources(struct home *h, int fd)
{
    struct home_source s;
    int64_t after = 0;
    size_t n = 0;
    while (n++ < WATCHES_MAX && home_source_next(h, after, &s, NULL) == KLUIS_OK) {
        struct stat st;
        after = s.id;
        char *slash = strrchr(s.path, '/');
        if ((stat(s.path, &st) != 0 || !S_ISDIR(st.st_mode)) && slash != NULL && slash != s.path) { *slash = '\0'; }
        if (inotify_add_watch(fd, s.path, IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_ONLYDIR) < 0) {
            complain("source %lld cannot be watched: it is read at every interval", (long long)after);
        }
        home_source_clear(&s);
    }
}

/* Drops what has come in; true if there was anything. */
static bool drain(int fd)
{
    char waste[8192];
    bool any = false;
    while (read(fd, waste, sizeof waste) > 0) { any = true; }
    return any;
}

/* A fifth up or down, so that a thousand agents do not knock together. */
static int64_t jitter(int64_t s)
{
    uint32_t r = 0;
    kluis_random(&r, sizeof r);
    return s * 1000 * (800 + (int64_t)(r % 401)) / 1000;
}

/* Waits for time, a changed source, or the end.  True: go on. */
static bool wait_for(int watch_fd, int64_t ms)
{
    struct pollfd p[2] = { { stop_pipe[0], POLLIN, 0 }, { watch_fd, POLLIN, 0 } };
    int64_t until = kluis_monotonic_us() + ms * 1000;
    for (;;) {
        int64_t left = (until - kluis_monotonic_us()) / 1000;
        if (stop_flag != 0) { return false; }
        if (left <= 0) { return true; }
        int n = poll(p, watch_fd < 0 ? 1 : 2, left > 3600000 ? 3600000 : (int)left);
        if (n < 0 && errno != EINTR) { return true; }
        if (stop_flag != 0) { return false; }
        if (n > 0 && watch_fd >= 0 && (p[1].revents & POLLIN) != 0 && drain(watch_fd)) {
            do { /* an export is written in many steps: quiet first */
                if (poll(p, 1, SETTLE_S * 1000) > 0) { return false; }
            } while (drain(watch_fd));
            return true;
        }
    }
}

kluis_status command_run(const struct args *a, int *exit_code, struct kluis_err *err)
{
    char dir[KLUIS_PATH_MAX];
    int64_t interval = INTERVAL_S, grace = -1, keep, wait = ANSWER_S, backoff = 0;
    KLUIS_AUTO(home) h = NULL;
    KLUIS_TRY(kluis_options_number("run", "--interval", a->interval_s, 1, 86400, INTERVAL_S, &interval, err));
    KLUIS_TRY(kluis_options_number("run", "--grace-days", a->grace_days, 0, 3650, -1, &grace, err));
    KLUIS_TRY(kluis_options_number("run", "--keep-days", a->keep_days, KEEP_DAYS, KEEP_DAYS_MAX, KEEP_DAYS, &keep, err));
    KLUIS_TRY(kluis_options_number("run", "--wait", a->wait_s, 0, 86400, ANSWER_S, &wait, err));
    KLUIS_TRY(args_home(a, false, dir, err));
    KLUIS_TRY(home_open(&h, dir, HOME_LOCKED, err));
    KLUIS_TRY(catch_signals(err));
    int watch_fd = -1;
    while (stop_flag == 0) {
        struct pass p = { .grace_days = (int)grace, .keep_days = (int)keep, .wait_s = (int)wait, .stop = &stop_flag, .quiet = true };
        struct kluis_err why = { 0 };
        kluis_close_quiet(&watch_fd); /* sources may have come or gone */
        watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (watch_fd >= 0) { watch_sources(h, watch_fd); }
        kluis_status rc = archive_pass(h, &p, &why);
        if (rc != KLUIS_OK) { complain("%s", why.msg); }
        if (rc == KLUIS_E_CORRUPT || rc == KLUIS_E_BUG || rc == KLUIS_E_NOTFOUND || rc == KLUIS_E_USAGE) { /* nothing that time heals */
            kluis_close_quiet(&watch_fd);
            *exit_code = kluis_exit_code(rc);
            return KLUIS_OK;
        }
        if (p.packages > 0 || p.acknowledged > 0) {
            KLUIS_TRY(put_line(err, "archived %llu records in %llu packages; acknowledged %llu, waiting %llu", (unsigned long long)p.records,
                               (unsigned long long)p.packages, (unsigned long long)p.acknowledged, (unsigned long long)p.unanswered));
            (void)fflush(stdout);
        }
        bool again = rc != KLUIS_OK || p.exit_code == 75 || p.exit_code == 74;
        backoff = !again ? 0 : backoff == 0 ? BACKOFF_FIRST_S : 2 * backoff > BACKOFF_MAX_S ? BACKOFF_MAX_S : 2 * backoff;
        int64_t pause = again && backoff < interval ? backoff : again && backoff > interval ? backoff : interval;
        if (p.retry_after_s > pause) { pause = p.retry_after_s; }
        if (!wait_for(watch_fd, jitter(pause))) { break; }
    }
    kluis_close_quiet(&watch_fd);
    *exit_code = 0;
    return KLUIS_OK;
}
