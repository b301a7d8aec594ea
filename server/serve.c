/* server/serve.c - starts, watches and ends the parts.  See serve.h. */
#include "server/serve.h"

#include "server/control/control.h"
#include "server/local/local.h"
#include "server/log.h"
#include "server/walls/user.h"
#include "server/walls/walls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TSA, GATE, VAULT, PAGE, PARTS, OPENER = PARTS, USERS, LINE = 256, RESTARTS = 5, STOP_S = 30 };

struct part {
    const char *name;
    pid_t pid;
    bool wanted;
    char line[LINE];
    int64_t died[RESTARTS];
    unsigned deaths;
};

static const char *const USER[USERS] = {
    [TSA] = "kluis-tsa", [GATE] = "kluis-gate", [VAULT] = "kluis-vault", [PAGE] = "kluis-page", [OPENER] = "kluis-opener"
};

struct serve {
    const struct serve_config *c;
    struct part part[PARTS];
    char listen[LINE], page[LINE], tsa_url[LINE];
    char page_socket[KLUIS_PATH_MAX]; /* where the page server finds the vault, */
    int page_fd;                      /* and what the vault listens on          */
    bool own_users;                   /* each part is a user of its own         */
    struct walls_user user[USERS];
    int signals;
    bool reap, stop; /* signals that came while a part was started */
};

static void both_signals(sigset_t *s)
{
    sigemptyset(s);
    sigaddset(s, SIGTERM);
    sigaddset(s, SIGINT);
}

void serve_block_signals(void)
{
    sigset_t s;
    both_signals(&s);
    (void)pthread_sigmask(SIG_BLOCK, &s, NULL); /* cannot fail with these arguments */
}

void serve_wait(void)
{
    sigset_t s;
    int which;
    both_signals(&s);
    while (sigwait(&s, &which) != 0) {}
}

bool serve_wait_ms(unsigned ms)
{
    sigset_t s;
    const struct timespec until = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };
    both_signals(&s);
    return sigtimedwait(&s, NULL, &until) > 0;
}

bool serve_stop_asked(void)
{
    sigset_t s;
    return sigpending(&s) == 0 && (sigismember(&s, SIGTERM) == 1 || sigismember(&s, SIGINT) == 1);
}

static const char BEAT = '.';

void serve_beat(int fd)
{
    if (fd >= 0 && write(fd, &BEAT, 1) != 1) { return; } /* who listened is gone, and tells by a signal */
}

kluis_status serve_ready(int fd, const char *line, struct kluis_err *err)
{
    char text[LINE];
    int n = snprintf(text, sizeof text, "%s\n", line);
    if (n < 0 || (size_t)n >= sizeof text) { return KLUIS_FAIL(err, KLUIS_E_BUG, "ready line too long"); }
    int to = fd < 0 ? STDOUT_FILENO : fd;
    KLUIS_TRY(kluis_write_all(to, text, (size_t)n, "ready line", err));
    if (fd >= 0) { kluis_close_quiet(&fd); }
    return KLUIS_OK;
}

/* Where the vault finds the gate of its own machine: a gate on every address is on loopback too, and its certificate says so. */
static void inside(const char listen[LINE], char url[LINE + 32])
{
    const char *host = "", *rest = listen;
    if (strncmp(listen, "0.0.0.0:", 8) == 0) {
        host = "127.0.0.1";
        rest = listen + 7;
    }
    if (strncmp(listen, "[::]:", 5) == 0) {
        host = "[::1]";
        rest = listen + 4;
    }
    (void)snprintf(url, LINE + 32, "https://%s%.*s", host, LINE - 1, rest);
}

static void on_signal(struct serve *s)
{
    struct signalfd_siginfo si;
    while (read(s->signals, &si, sizeof si) == (ssize_t)sizeof si) {
        s->stop = s->stop || si.ssi_signo == SIGTERM || si.ssi_signo == SIGINT;
        s->reap = s->reap || si.ssi_signo == SIGCHLD;
    }
}

static kluis_status bury(struct serve *s, const struct part *but, struct kluis_err *err);

/* The ready line into p->line; its length, without a line's end when none came in time.  Each beat before it gives the part its time anew. */
static size_t hear(struct serve *s, struct part *p, int fd)
{
    size_t len = 0;
    int64_t until = kluis_monotonic_us() + (int64_t)SERVE_READY_S * WALLS_PATIENCE * 1000000;
    while (!s->stop && len < LINE - 1 && (len == 0 || p->line[len - 1] != '\n')) {
        struct pollfd q[2] = { { fd, POLLIN, 0 }, { s->signals, POLLIN, 0 } };
        int64_t left = (until - kluis_monotonic_us()) / 1000;
        if (left <= 0 || poll(q, 2, (int)left) == 0) { break; }
        if ((q[1].revents & POLLIN) != 0) { on_signal(s); }
        /* It may wait for a part that is gone: that one is started again first.  Its own end is the end of its line. */
        if (s->reap && !s->stop && bury(s, p, NULL) != KLUIS_OK) { break; }
        if (q[0].revents == 0) { continue; }
        ssize_t r = read(fd, p->line + len, LINE - 1 - len);
        if (r < 0 && errno == EINTR) { continue; }
        if (r <= 0) { break; }
        len += (size_t)r;
        size_t beats = 0;
        while (beats < len && p->line[beats] == BEAT) { beats++; }
        if (beats > 0) {
            memmove(p->line, p->line + beats, len - beats);
            len -= beats;
            until = kluis_monotonic_us() + (int64_t)SERVE_READY_S * WALLS_PATIENCE * 1000000;
        }
    }
    return len;
}

/* Executes this program as one part; its ready line lands in p->line.  KLUIS_END: it was asked to stop meanwhile. */
static kluis_status start(struct serve *s, int which, struct kluis_err *err)
{
    struct part *p = &s->part[which];
    int fds[2];
    char ready[16], page_fd[16], dir[KLUIS_PATH_MAX], url[LINE + 32];
    if (pipe(fds) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot make a pipe"); }
    (void)snprintf(ready, sizeof ready, "%d", fds[1]);
    const char *argv[20] = { "chatkluis-server", p->name, "--ready-fd", ready };
    size_t n = 4;
    kluis_status rc = KLUIS_OK;
    switch (which) {
    case TSA:
        rc = kluis_path(dir, sizeof dir, s->c->home, "tsa", err);
        argv[n++] = "--dir";
        argv[n++] = dir;
        break;
    case GATE:
        rc = kluis_path(dir, sizeof dir, s->c->home, "gate", err);
        argv[n++] = "--dir";
        argv[n++] = dir;
        argv[n++] = "--listen";
        argv[n++] = s->listen;
        if (s->c->name != NULL) {
            argv[n++] = "--name";
            argv[n++] = s->c->name;
        }
        if (s->tsa_url[0] != '\0') {
            argv[n++] = "--time-authority";
            argv[n++] = s->tsa_url;
        }
        break;
    case PAGE:
        argv[n++] = "--vault";
        argv[n++] = s->page_socket;
        argv[n++] = "--listen";
        argv[n++] = s->page;
        break;
    default:
        (void)snprintf(page_fd, sizeof page_fd, "%d", s->page_fd);
        inside(s->listen, url);
        argv[n++] = "--home";
        argv[n++] = s->c->home;
        argv[n++] = "--gate";
        argv[n++] = url;
        argv[n++] = "--page-fd";
        argv[n++] = page_fd;
        if (s->own_users) { /* it makes the opener's parent, which is another than it: that takes root */
            argv[n++] = "--as";
            argv[n++] = USER[VAULT];
            argv[n++] = "--opener-as";
            argv[n++] = USER[OPENER];
        }
        if (s->c->name != NULL) {
            argv[n++] = "--name";
            argv[n++] = s->c->name;
        }
        break;
    }
    pid_t parent = getpid();
    p->pid = rc == KLUIS_OK ? fork() : -1;
    if (p->pid == 0) {
        sigset_t none;
        sigemptyset(&none);
        (void)pthread_sigmask(SIG_SETMASK, &none, NULL);
        (void)close(fds[0]);
        if (which != VAULT && s->own_users && walls_user_become(&s->user[which], NULL) != KLUIS_OK) { _exit(74); }
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* no part outlives its supervisor */
        /* Nothing else that is open here, or was when this program began, goes along. */
        if (getppid() != parent || syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) != 0 || fcntl(fds[1], F_SETFD, 0) != 0 ||
            (which == VAULT && fcntl(s->page_fd, F_SETFD, 0) != 0)) {
            _exit(74);
        }
#ifdef KLUIS_UNWALLED /* valgrind says what stands in for this program: it cannot be executed by the other name */
        const char *watched = getenv("KLUIS_WATCHED");
        if (watched != NULL) { (void)execv(watched, (char *const *)(uintptr_t)argv); }
#endif
        (void)execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
        _exit(74);
    }
    (void)close(fds[1]);
    if (p->pid < 0) {
        (void)close(fds[0]);
        return rc != KLUIS_OK ? rc : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot start the %s", p->name);
    }
    size_t len = hear(s, p, fds[0]);
    (void)close(fds[0]);
    if (s->stop) { return KLUIS_END; }
    if (len == 0 || p->line[len - 1] != '\n') { return KLUIS_FAIL(err, KLUIS_E_IO, "the %s did not start: its own message says why", p->name); }
    p->line[len - 1] = '\0';
    kluis_log(KLUIS_LOG_INFO, "serve.started", "part=%s pid=%d", p->name, (int)p->pid);
    return KLUIS_OK;
}

static void stop_all(struct serve *s)
{
    /* Who asks before who answers: the page, then the vault, which pulls from the gate and finishes what it holds. */
    for (int i = PARTS - 1; i >= 0; i--) {
        struct part *p = &s->part[i];
        int status;
        if (p->pid <= 0) { continue; }
        if (waitpid(p->pid, &status, WNOHANG) == p->pid) {
            /* While others were being started; or it was told to stop as this process was, by a terminal or a service manager: then all is well. */
            if (!s->stop) { kluis_log(KLUIS_LOG_ERROR, "serve.died", "part=%s status=%d", p->name, status); }
            p->pid = 0;
            continue;
        }
        (void)kill(p->pid, SIGTERM);
        int64_t until = kluis_monotonic_us() + (int64_t)STOP_S * WALLS_PATIENCE * 1000000;
        pid_t gone = 0;
        while ((gone = waitpid(p->pid, NULL, WNOHANG)) == 0 && kluis_monotonic_us() < until) { kluis_sleep_us(10000); }
        if (gone == 0) {
            kluis_log(KLUIS_LOG_WARN, "serve.killed", "part=%s", p->name);
            (void)kill(p->pid, SIGKILL);
            (void)waitpid(p->pid, NULL, 0);
        }
        p->pid = 0;
    }
}

static kluis_status revive(struct serve *s, int which, struct kluis_err *err)
{
    struct part *p = &s->part[which];
    int64_t now = kluis_monotonic_us();
    if (p->deaths >= RESTARTS && now - p->died[p->deaths % RESTARTS] < 60000000) {
        return KLUIS_FAIL(err, KLUIS_E_IO, "the %s died %d times within a minute: its log says why", p->name, RESTARTS + 1);
    }
    p->died[p->deaths++ % RESTARTS] = now;
    kluis_sleep_us(200000);
    return start(s, which, err);
}

/* Parts that ended, all but one, are started again. */
static kluis_status bury(struct serve *s, const struct part *but, struct kluis_err *err)
{
    int status;
    s->reap = but != NULL; /* whether that one ended as well is seen to later */
    for (int i = 0; i < PARTS; i++) {
        struct part *p = &s->part[i];
        if (p == but || p->pid <= 0 || waitpid(p->pid, &status, WNOHANG) != p->pid) { continue; }
        kluis_log(KLUIS_LOG_ERROR, "serve.died", "part=%s status=%d", p->name, status);
        p->pid = 0;
        KLUIS_TRY(revive(s, i, err));
    }
    return KLUIS_OK;
}

static kluis_status watch(struct serve *s, struct kluis_err *err)
{
    for (;;) {
        struct pollfd q = { s->signals, POLLIN, 0 };
        if (!s->reap && !s->stop && poll(&q, 1, -1) < 0 && errno != EINTR) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot wait"); }
        on_signal(s);
        if (s->stop) { return KLUIS_OK; }
        if (!s->reap) { continue; }
        KLUIS_TRY(bury(s, NULL, err));
    }
}

/* What follows the prefix of a part's ready line; false: the line says something else. */
static bool after(const char *line, const char *prefix, char out[LINE])
{
    size_t n = strlen(prefix);
    if (strncmp(line, prefix, n) != 0) { return false; }
    memcpy(out, line + n, strlen(line + n) + 1); /* a tail of a LINE */
    return true;
}

/* Who the parts will be, and that what is theirs is theirs. */
static kluis_status find_users(struct serve *s, struct kluis_err *err)
{
    static const struct {
        int part;
        const char *folder;
    } given[] = { { TSA, "tsa" }, { GATE, "gate" }, { VAULT, "vault" } };
    char path[KLUIS_PATH_MAX];
    int there = 0;
    const char *missing = NULL;
    struct stat st;
    if (geteuid() != 0) { return KLUIS_OK; }
    for (int i = 0; i < USERS; i++) {
        struct kluis_err why = { 0 };
        kluis_status rc = walls_user_find(USER[i], &s->user[i], &why);
        if (rc != KLUIS_OK && rc != KLUIS_E_NOTFOUND) { return KLUIS_FAIL(err, rc, "%s", why.msg); }
        there += rc == KLUIS_OK;
        if (rc != KLUIS_OK) { missing = USER[i]; }
    }
    if (there == 0) {
        kluis_log(KLUIS_LOG_WARN, "serve.one_user",
                  "user=0 text=\"all parts are root: systemd-sysusers chatkluis-serve.conf makes users of their own\"");
        return KLUIS_OK;
    }
    if (missing != NULL) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "there is no user '%s', but others of the parts: systemd-sysusers chatkluis-serve.conf makes them",
                          missing);
    }
    s->own_users = true;
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        KLUIS_TRY(kluis_path(path, sizeof path, s->c->home, given[i].folder, err));
        kluis_status rc = walls_user_give(path, &s->user[given[i].part], err);
        if (rc == KLUIS_E_NOTFOUND && given[i].part == TSA) {
            kluis_err_clear(err); /* a home without an authority of its own */
        } else if (rc != KLUIS_OK) {
            return rc;
        }
    }
    /* They pass through the home, and see nothing in it that is not theirs. */
    if (stat(s->c->home, &st) != 0 || chmod(s->c->home, (st.st_mode & 07777) | 0011) != 0) {
        return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot let the parts pass through '%s'", s->c->home);
    }
    return KLUIS_OK;
}

/* The page server's way to the vault is its own and nobody else's. */
static kluis_status open_page_socket(struct serve *s, struct kluis_err *err)
{
    KLUIS_TRY(kluis_path(s->page_socket, sizeof s->page_socket, s->c->home, "page.sock", err));
    KLUIS_TRY(local_listen(s->page_socket, &s->page_fd, err));
    if (s->own_users && (chown(s->page_socket, 0, s->user[PAGE].gid) != 0 || chmod(s->page_socket, 0660) != 0)) {
        return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot give '%s' to the page server", s->page_socket);
    }
    return KLUIS_OK;
}

/* What a person opens, key included: the vault says it, and this process only passes it on. */
static kluis_status tell_page(const struct serve *s, struct kluis_err *err)
{
    const char *const argv[] = { "page-address", "--home", s->c->home };
    char path[KLUIS_PATH_MAX];
    int code = 0;
    KLUIS_TRY(kluis_path(path, sizeof path, s->c->home, "vault/control.sock", err));
    KLUIS_TRY(control_call(path, 3, argv, &code, err));
    return code == 0 ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_IO, "the vault does not say where the page is");
}

static kluis_status start_all(struct serve *s, struct kluis_err *err)
{
    char key[KLUIS_PATH_MAX], line[LINE + 16], page[LINE];
    bool authority;
    KLUIS_TRY(find_users(s, err));
    KLUIS_TRY(kluis_path(key, sizeof key, s->c->home, "tsa/tsa.key", err));
    KLUIS_TRY(kluis_exists(key, &authority, err));
    if (authority) {
        KLUIS_TRY(start(s, TSA, err));
        if (!after(s->part[TSA].line, "time authority on ", s->tsa_url)) {
            return KLUIS_FAIL(err, KLUIS_E_BUG, "the time authority does not say where it is");
        }
    }
    KLUIS_TRY(start(s, GATE, err));
    if (!after(s->part[GATE].line, "listening on ", s->listen)) { return KLUIS_FAIL(err, KLUIS_E_BUG, "the gate does not say where it is"); }
    KLUIS_TRY(open_page_socket(s, err));
    KLUIS_TRY(start(s, VAULT, err));
    KLUIS_TRY(start(s, PAGE, err));
    if (!after(s->part[PAGE].line, "page on http://", page)) { return KLUIS_FAIL(err, KLUIS_E_BUG, "the page does not say where it is"); }
    page[strcspn(page, "/")] = '\0';
    memcpy(s->page, page, sizeof s->page); /* started again it is found where it was */
    KLUIS_TRY(tell_page(s, err));
    (void)snprintf(line, sizeof line, "%s\n", s->part[GATE].line);
    return kluis_write_all(STDOUT_FILENO, line, strlen(line), "stdout", err);
}

kluis_status serve_run(const struct serve_config *c, struct kluis_err *err)
{
    struct serve s = { .c = c,
                       .part = { [TSA] = { .name = "tsa" }, [GATE] = { .name = "gate" }, [VAULT] = { .name = "vault" }, [PAGE] = { .name = "page" } },
                       .page_fd = -1 };
    int n = snprintf(s.listen, sizeof s.listen, "%s", c->listen), m = snprintf(s.page, sizeof s.page, "%s", c->page);
    if (n < 0 || (size_t)n >= sizeof s.listen) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "--listen is too long"); }
    if (m < 0 || (size_t)m >= sizeof s.page) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "--page is too long"); }
    sigset_t mask;
    both_signals(&mask);
    sigaddset(&mask, SIGCHLD);
    if (pthread_sigmask(SIG_BLOCK, &mask, NULL) != 0 || (s.signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK)) < 0) {
        return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot watch signals");
    }
    kluis_status rc = start_all(&s, err);
    if (rc == KLUIS_OK) { rc = watch(&s, err); }
    stop_all(&s);
    if (s.page_fd >= 0) { (void)unlink(s.page_socket); /* a leftover is replaced at the next start */ }
    kluis_close_quiet(&s.page_fd);
    kluis_close_quiet(&s.signals);
    return rc == KLUIS_END ? KLUIS_OK : rc;
}
