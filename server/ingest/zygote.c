/* server/ingest/zygote.c - forking walled children, and talking to them from the vault's side. */
#include "server/ingest/zygote.h"
#include "server/walls/walls.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

struct zygote {
    pid_t pid;
    int socket;
    unsigned walls, user;
    pthread_mutex_t lock;
};

enum { CHILD_INPUT = 3, CHILD_REQUEST = 4, CHILD_RESULT = 5, FILTER_MAX = 512, READ_AT_ONCE = 256 << 10, START_US = 60000000, EXPORTS_MAX = 8 };

#ifndef KLUIS_UNWALLED /* valgrind knows no seccomp(2), not even to ask for it */
/* Everything a decrypting, inflating, parsing, verifying process needs once its libraries are loaded.  No call in here opens,
 * connects, creates a process or changes one, and no page becomes executable. */
static const int allowed[] = { SCMP_SYS(read),         SCMP_SYS(pread64),    SCMP_SYS(write),   SCMP_SYS(close),        SCMP_SYS(munmap),
                               SCMP_SYS(mremap),       SCMP_SYS(brk),        SCMP_SYS(madvise), SCMP_SYS(mlock),        SCMP_SYS(munlock),
                               SCMP_SYS(exit),         SCMP_SYS(exit_group), SCMP_SYS(futex),   SCMP_SYS(rt_sigreturn), SCMP_SYS(clock_gettime),
                               SCMP_SYS(gettimeofday), SCMP_SYS(getrandom),  SCMP_SYS(getpid) };

/* libseccomp answers with a negative errno, not always with that of memory. */
static kluis_status filter_failed(int rc, uint64_t mark, struct kluis_err *err)
{
    if (rc == -ENOMEM || kluis_memory_refused(mark)) {
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot build the opener's system-call filter: out of memory");
    }
    if (rc == -ECANCELED) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot write the opener's system-call filter"); }
    return KLUIS_FAIL(err, KLUIS_E_BUG, "the opener's system-call filter refused a rule (%d)", rc);
}

/* As seccomp_export_bpf, which does not look how much of it was written: with half a filter no opener could ever begin.  Written again until it has
 * twice the same length; where it stands then. */
static int export_whole(scmp_filter_ctx ctx, int fd, off_t *at, off_t *length)
{
    *at = 0;
    *length = -1;
    for (int i = 0; i < EXPORTS_MAX; i++) {
        int made = seccomp_export_bpf(ctx, fd);
        off_t end = made == 0 ? lseek(fd, 0, SEEK_CUR) : -1;
        if (made != 0 || end < 0) { return made != 0 ? made : -ECANCELED; }
        if (end - *at == *length) { return 0; }
        *length = end - *at;
        *at = end;
    }
    errno = EIO;
    return -ECANCELED;
}

static kluis_status compile_filter(struct sock_filter filter[FILTER_MAX], unsigned short *n, struct kluis_err *err)
{
    uint64_t mark = kluis_memory_mark();
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int fd = memfd_create("filter", MFD_CLOEXEC);
    kluis_status rc = KLUIS_OK;
    off_t at = 0, length = 0;
    int made = 0;
    if (ctx == NULL || fd < 0) {
        rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot build the opener's system-call filter; without seccomp the vault does not start");
        goto done;
    }
    for (size_t i = 0; made == 0 && i < sizeof allowed / sizeof *allowed; i++) { made = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0); }
    if (made != 0 || (made = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0))) != 0 ||
        (made = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0))) != 0 ||
        (made = export_whole(ctx, fd, &at, &length)) != 0 ||
        kluis_memory_refused(mark)) { /* without memory it leaves rules out, and says that all is well */
        rc = filter_failed(made, mark, err);
        goto done;
    }
    if (length == 0 || length >= (off_t)(FILTER_MAX * sizeof *filter) || length % (off_t)sizeof *filter != 0) {
        rc = KLUIS_FAIL(err, KLUIS_E_BUG, "the opener's system-call filter has an unexpected size");
        goto done;
    }
    rc = kluis_pread_all(fd, filter, (size_t)length, (uint64_t)at, "the opener's system-call filter", err);
    *n = (unsigned short)((size_t)length / sizeof *filter);
done:
    kluis_close_quiet(&fd);
    if (ctx != NULL) { seccomp_release(ctx); }
    return rc;
}
#endif

static void limit(int what, rlim_t value)
{
    const struct rlimit r = { value, value };
    if (setrlimit((__rlimit_resource_t)what, &r) != 0) { _exit(70); }
}

#ifndef KLUIS_UNWALLED
/* What every child begins with is no memory of its own: whoever opened the vault may have had threads, each of which leaves 64 MiB of addresses. */
static rlim_t mapped;

static bool measure(void)
{
    char text[32] = "";
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) { (void)close(fd); }
    mapped = (rlim_t)strtoull(text, NULL, 10) * (rlim_t)sysconf(_SC_PAGESIZE);
    return n > 0 && mapped > 0;
}
#endif

/* In the child: three descriptors, ceilings, walls.  Any failure ends it before it sees a byte of the package. */
static void enter(enum zygote_job job, int input, int request, int result, const struct sock_fprog *filter)
{
    /* Above the target range first, so that no dup2 overwrites one still needed. */
    int a = input < 0 ? -1 : fcntl(input, F_DUPFD, 16);
    int b = fcntl(request, F_DUPFD, 16), c = fcntl(result, F_DUPFD, 16);
    if ((input >= 0 && a < 0) || b < 0 || c < 0 || (a >= 0 && dup2(a, CHILD_INPUT) < 0) || dup2(b, CHILD_REQUEST) < 0 || dup2(c, CHILD_RESULT) < 0) {
        _exit(70);
    }
    if (a < 0) { (void)close(CHILD_INPUT); }
    if (syscall(SYS_close_range, 6U, ~0U, 0U) != 0) { _exit(70); }
    (void)signal(SIGPIPE, SIG_DFL);
    (void)prctl(PR_SET_NAME, job == ZYGOTE_OPEN ? "opener" : "judge", 0, 0, 0);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) { _exit(70); }
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_CPU, job == ZYGOTE_OPEN ? ZYGOTE_OPEN_CPU : ZYGOTE_JUDGE_CPU);
    /* SIGALRM ends the process and nothing it may still call can disarm the timer. */
    const struct itimerval wall = { .it_value = { .tv_sec = job == ZYGOTE_OPEN ? ZYGOTE_OPEN_SECONDS : ZYGOTE_JUDGE_SECONDS } };
    if (setitimer(ITIMER_REAL, &wall, NULL) != 0) { _exit(70); }
#ifndef KLUIS_UNWALLED /* the sanitizers map terabytes, call what they like, and write down what they saw */
    limit(RLIMIT_FSIZE, 0);
    limit(RLIMIT_NPROC, 0);
    limit(RLIMIT_AS, mapped + ZYGOTE_MEMORY);
    limit(RLIMIT_DATA, ZYGOTE_MEMORY);
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0U, filter) != 0) { _exit(70); }
#else
    (void)filter;
#endif
}

#ifndef KLUIS_UNWALLED
static bool close_files(void)
{
    struct landlock_ruleset_attr attr = { .handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1 };
    long fd = syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0U);
    if (fd < 0) { return false; }
    bool ok = syscall(SYS_landlock_restrict_self, (int)fd, 0U) == 0;
    (void)close((int)fd);
    return ok;
}
#endif

/* One request: the job's number and its descriptors.  false: the vault is gone. */
static bool receive(int s, uint8_t *job, int fd[3], int *n)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(3 * sizeof(int))];
    } control;
    struct iovec io = { job, 1 };
    struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
    ssize_t got;
    do {
        got = recvmsg(s, &m, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    *n = 0;
    if (got != 1) { return false; }
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
            *n = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            memcpy(fd, CMSG_DATA(c), (size_t)*n * sizeof(int));
        }
    }
    return true;
}

static void serve(int s, const struct sock_fprog *filter) __attribute__((noreturn));
static void serve(int s, const struct sock_fprog *filter)
{
    for (;;) {
        uint8_t job = 0;
        int fd[3] = { -1, -1, -1 }, n = 0, status;
        /* Those that ended meanwhile: few, a keeper asks for no more at once than it has workers.  Waiting for them adds their processor
         * time to ours, where whoever runs this machine can see it. */
        while (waitpid(-1, &status, WNOHANG) > 0) {}
        if (!receive(s, &job, fd, &n)) { _exit(0); }
        /* request, result[, input] */
        pid_t pid = n < 2 ? -1 : fork();
        if (pid == 0) {
            enter((enum zygote_job)job, fd[2], fd[0], fd[1], filter);
            if (job == ZYGOTE_OPEN) {
                opener_child(CHILD_INPUT, CHILD_REQUEST, CHILD_RESULT);
            } else {
                judge_child(CHILD_REQUEST, CHILD_RESULT);
            }
            _exit(0);
        }
        for (int i = 0; i < n; i++) { (void)close(fd[i]); /* without a child the vault sees the answer end before it began */ }
    }
}

static void become_zygote(int s, const struct walls_user *as, const struct sock_fprog *filter) __attribute__((noreturn));
static void become_zygote(int s, const struct walls_user *as, const struct sock_fprog *filter)
{
    uint8_t walls = 0;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 || dup2(s, 3) < 0 || syscall(SYS_close_range, 4U, ~0U, 0U) != 0 ||
        (as != NULL && walls_user_become(as, NULL) != KLUIS_OK) || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
        _exit(70);
    }
    (void)signal(SIGCHLD, SIG_DFL); /* how a child ended is said by its answer */
    (void)signal(SIGTERM, SIG_IGN); /* the vault ends us by closing the socket, after its last package */
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGALRM, SIG_DFL);
    (void)prctl(PR_SET_NAME, "zygote", 0, 0, 0);
    walls_give_way();
    children_warm();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) { walls |= ZYGOTE_WALL_PRIVILEGES; }
#ifndef KLUIS_UNWALLED
    if (!measure()) { _exit(70); }
    if (close_files()) { walls |= ZYGOTE_WALL_FILES; }
    walls |= ZYGOTE_WALL_CALLS;
#endif
    if (send(3, &walls, 1, 0) != 1) { _exit(70); }
    serve(3, filter);
}

/* What it says when it is ready.  A machine that is very busy may keep it from running for long: that is no fault of its own. */
static kluis_status first_word(int s, uint8_t *walls, struct kluis_err *err)
{
    struct pollfd p = { .fd = s, .events = POLLIN };
    const int64_t until = kluis_monotonic_us() + (int64_t)START_US * WALLS_PATIENCE;
    for (;;) {
        const int64_t left = until - kluis_monotonic_us();
        if (left <= 0) {
            return KLUIS_FAIL(err, KLUIS_E_BUSY, "the opener did not start within %d s: the machine is too busy; try again",
                              START_US * WALLS_PATIENCE / 1000000);
        }
        const int n = poll(&p, 1, (int)(left / 1000) + 1);
        if (n < 0 && errno != EINTR) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot wait for the opener"); }
        if (n != 1) { continue; }
        const ssize_t got = recv(s, walls, 1, 0);
        if (got == 1) { return KLUIS_OK; }
        if (got < 0 && errno == EINTR) { continue; }
        return KLUIS_FAIL(err, KLUIS_E_IO, "the opener ended before it began; is close_range(2) there (Linux 5.9)?");
    }
}

kluis_status zygote_start(struct zygote **out, const struct walls_user *as, struct kluis_err *err)
{
    struct sock_filter filter[FILTER_MAX];
    struct sock_fprog program = { .filter = filter };
    int pair[2] = { -1, -1 };
    uint8_t walls = 0;
    *out = NULL;
#ifndef KLUIS_UNWALLED
    KLUIS_TRY(compile_filter(filter, &program.len, err));
#endif
    struct zygote *z = kluis_calloc(1, sizeof *z);
    if (z == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot start the opener: out of memory"); }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        kluis_free(z);
        return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot start the opener");
    }
    (void)fflush(NULL); /* a copy of unwritten output must not be written twice */
    z->pid = fork();
    const int why = errno;
    if (z->pid == 0) {
        kluis_free(z); /* the vault's */
        become_zygote(pair[1], as, &program);
    }
    kluis_close_quiet(&pair[1]);
    z->socket = pair[0];
    z->user = as != NULL && as->uid != 0 ? (unsigned)as->uid : (unsigned)geteuid();
    pthread_mutex_init(&z->lock, NULL);
    errno = why;
    kluis_status rc = z->pid < 0 ? KLUIS_FAIL_SYS(err, KLUIS_E_BUSY, "cannot start the opener") : first_word(z->socket, &walls, err);
    if (rc != KLUIS_OK) {
        zygote_free(z);
        return rc;
    }
    z->walls = walls;
#ifndef KLUIS_UNWALLED
    if ((walls & (ZYGOTE_WALL_PRIVILEGES | ZYGOTE_WALL_CALLS)) != (ZYGOTE_WALL_PRIVILEGES | ZYGOTE_WALL_CALLS)) {
        zygote_free(z);
        return KLUIS_FAIL(err, KLUIS_E_IO, "the opener has no walls on this kernel: seccomp is needed");
    }
#endif
    *out = z;
    return KLUIS_OK;
}

void zygote_free(struct zygote *z)
{
    if (z == NULL) { return; }
    kluis_close_quiet(&z->socket);
    if (z->pid > 0) {
        int status;
        for (int i = 0; i < 100; i++) {
            pid_t r = waitpid(z->pid, &status, WNOHANG);
            if (r != 0) {
                z->pid = -1;
                break;
            }
            kluis_sleep_us(2000);
        }
        if (z->pid > 0) {
            (void)kill(z->pid, SIGKILL); /* of another user it cannot be killed; it ends with its socket */
            (void)waitpid(z->pid, &status, 0);
        }
    }
    pthread_mutex_destroy(&z->lock);
    kluis_free(z);
}

bool zygote_gone(const struct zygote *z)
{
    struct pollfd p = { .fd = z->socket };
    return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP) != 0;
}

unsigned zygote_walls(const struct zygote *z) { return z->walls; }
unsigned zygote_user(const struct zygote *z) { return z->user; }

static kluis_status pass(struct zygote *z, uint8_t job, const int *fd, size_t n, struct kluis_err *err)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(3 * sizeof(int))];
    } control;
    struct iovec io = { &job, 1 };
    struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(n * sizeof(int)) };
    memset(&control, 0, sizeof control);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    assert(c != NULL && n <= 3);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(c), fd, n * sizeof(int));
    ssize_t sent;
    pthread_mutex_lock(&z->lock);
    do {
        sent = sendmsg(z->socket, &m, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    int why = errno;
    pthread_mutex_unlock(&z->lock);
    if (sent == 1) { return KLUIS_OK; }
    errno = why;
    return why == ENOMEM || why == ENOBUFS ? KLUIS_FAIL_SYS(err, KLUIS_E_BUSY, "cannot ask the opener")
                                           : KLUIS_FAIL(err, KLUIS_E_BUSY, "the opener's parent process is gone");
}

/* Small requests (a key) go through a pipe, whose pages are never swapped; large ones (public bytes) through a memory file. */
static kluis_status offer(struct kluis_bytes request, int *fd, struct kluis_err *err)
{
    int pipe_fd[2] = { -1, -1 };
    kluis_status rc;
    *fd = -1;
    if (request.len <= 4096) {
        if (pipe2(pipe_fd, O_CLOEXEC) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_BUSY, "cannot make a pipe for the opener"); }
        rc = kluis_write_all(pipe_fd[1], request.ptr, request.len, "opener's request", err);
        kluis_close_quiet(&pipe_fd[1]);
        *fd = pipe_fd[0];
    } else {
        if ((*fd = memfd_create("request", MFD_CLOEXEC)) < 0) {
            return KLUIS_FAIL_SYS(err, KLUIS_E_BUSY, "cannot make a memory file for the opener");
        }
        rc = kluis_write_all(*fd, request.ptr, request.len, "opener's request", err);
        if (rc == KLUIS_OK && lseek(*fd, 0, SEEK_SET) != 0) { rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot rewind the opener's request"); }
    }
    if (rc != KLUIS_OK) { kluis_close_quiet(fd); }
    return rc;
}

/* Everything the child says until it ends, within ceilings. */
static kluis_status listen_to(int fd, int seconds, struct kluis_buf *result, struct kluis_err *err)
{
    int64_t until = kluis_monotonic_us() + (int64_t)seconds * 1000000;
    size_t from = result->len;
    for (;;) {
        int64_t left = until - kluis_monotonic_us();
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int r = left <= 0 ? 0 : poll(&p, 1, (int)(left / 1000) + 1);
        if (r < 0 && errno == EINTR) { continue; }
        if (r == 0) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "took longer than %d s", seconds); }
        if (r < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot listen to the opener"); }
        size_t want = result->max - result->len < READ_AT_ONCE ? result->max - result->len : READ_AT_ONCE;
        if (result->len - from > ZYGOTE_RESULT_MAX || want == 0) {
            return KLUIS_FAIL(err, KLUIS_E_LIMIT, "answered more than %zu bytes", result->len - from);
        }
        uint8_t *room = kluis_buf_reserve(result, want);
        if (room == NULL) { return kluis_buf_ok(result, err); /* our own memory: nothing that the package did */ }
        ssize_t n = kluis_io_read(fd, room, want);
        if (n < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot listen to the opener"); }
        if (n == 0) { return KLUIS_OK; }
        result->len += (size_t)n;
    }
}

kluis_status zygote_run(struct zygote *z, enum zygote_job job, int input, struct kluis_bytes request, struct kluis_buf *result, struct kluis_err *err)
{
    int pipe_fd[2] = { -1, -1 }, asked = -1;
    if (request.len > ZYGOTE_REQUEST_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "asks with %zu bytes", request.len); }
    KLUIS_TRY(offer(request, &asked, err));
    if (pipe2(pipe_fd, O_CLOEXEC) != 0) {
        kluis_close_quiet(&asked);
        return KLUIS_FAIL_SYS(err, KLUIS_E_BUSY, "cannot make a pipe for the opener");
    }
    (void)fcntl(pipe_fd[0], F_SETPIPE_SZ, 1 << 20); /* fewer switches; the default works too */
    const int fd[3] = { asked, pipe_fd[1], input };
    kluis_status rc = pass(z, (uint8_t)job, fd, input < 0 ? 2 : 3, err);
    kluis_close_quiet(&asked);
    kluis_close_quiet(&pipe_fd[1]);
    size_t from = result->len;
    if (rc == KLUIS_OK) { rc = listen_to(pipe_fd[0], (job == ZYGOTE_OPEN ? ZYGOTE_OPEN_SECONDS : ZYGOTE_JUDGE_SECONDS) + 5, result, err); }
    kluis_close_quiet(&pipe_fd[0]);
    if (rc == KLUIS_OK && result->len == from) { rc = KLUIS_FAIL(err, KLUIS_E_BUSY, "no process could be made for a package; is there memory?"); }
    return rc;
}
