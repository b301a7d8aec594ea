/* server/walls/walls.c - see walls.h. */
#include "server/walls/walls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <limits.h>
#include <sched.h>
#include <seccomp.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/log.h"

/* What walls_give_way sets, asked for while the process still may: 0 is the calling thread, on Linux. */
static int lower(void)
{
    enum { UNKNOWN = INT_MAX, LOWEST = 19 };
    static atomic_int at = UNKNOWN;
    int known = atomic_load(&at);
    if (known == UNKNOWN) {
        known = getpriority(PRIO_PROCESS, 0) + WALLS_GIVE_WAY;
        known = known > LOWEST ? LOWEST : known;
        atomic_store(&at, known);
    }
    return known;
}

#ifndef KLUIS_UNWALLED
/* Rights younger than the kernel headers of Debian 12. */
enum { FS_REFER = 1 << 13, FS_TRUNCATE = 1 << 14, NET_BIND = 1, NET_CONNECT = 2, RULE_PORT = 2 };
struct ruleset_v4 {
    uint64_t fs, net;
};
struct port_rule {
    uint64_t allowed, port;
};
enum {
    FS_READ = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
    FS_OWN = FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE | FS_TRUNCATE,
    FS_FOLDERS = LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_SOCK | FS_REFER,
    FS_ABI1 = (1 << 13) - 1,
    DNS_PORT = 53
};

static bool allow_path(int rules, const char *path, uint64_t rights)
{
    struct landlock_path_beneath_attr beneath = { .allowed_access = rights };
    beneath.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (beneath.parent_fd < 0) { return errno == ENOENT; } /* a file that is not there needs no rule */
    long rc = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
    (void)close(beneath.parent_fd);
    return rc == 0;
}

static bool allow_port(int rules, uint16_t port, uint64_t right)
{
    const struct port_rule rule = { right, port };
    return syscall(SYS_landlock_add_rule, rules, RULE_PORT, &rule, 0) == 0;
}

static bool rules_of_files(int rules, const struct walls *w, uint64_t handled)
{
    static const char *const FOR_NAMES[] = { "/etc/resolv.conf", "/etc/hosts",    "/etc/nsswitch.conf", "/etc/host.conf",
                                             "/etc/gai.conf",    "/etc/services", "/etc/ld.so.cache" };
    /* Host names load NSS modules, https loads the authorities' roots. */
    static const char *const TREES[] = { "/etc/ssl", "/usr/lib/ssl", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates",
                                         "/lib",     "/usr/lib",     "/run/systemd/resolve" };
    bool ok = w->dir == NULL || allow_path(rules, w->dir, (FS_OWN | (w->folders ? (uint64_t)FS_FOLDERS : 0)) & handled);
    for (size_t i = 0; w->names && i < sizeof FOR_NAMES / sizeof FOR_NAMES[0]; i++) {
        ok = ok && allow_path(rules, FOR_NAMES[i], LANDLOCK_ACCESS_FS_READ_FILE);
    }
    for (size_t i = 0; w->names && i < sizeof TREES / sizeof TREES[0]; i++) { ok = ok && allow_path(rules, TREES[i], FS_READ); }
    return ok;
}

static bool rules_of_ports(int rules, const struct walls *w)
{
    bool ok = !w->binds || allow_port(rules, w->bind_port, NET_BIND);
    for (size_t i = 0; w->outward && i < w->n_ports; i++) { ok = ok && allow_port(rules, w->port[i], NET_CONNECT); }
    return ok && (!w->outward || !w->names || allow_port(rules, DNS_PORT, NET_CONNECT)); /* long answers come over TCP */
}

/* Landlock: files, and ports from its fourth version on. */
static unsigned wall_files(const struct walls *w)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1) { return 0; }
    bool ports = abi >= 4;
    const struct ruleset_v4 attr = { .fs = FS_ABI1 | (abi >= 2 ? (uint64_t)FS_REFER : 0) | (abi >= 3 ? (uint64_t)FS_TRUNCATE : 0),
                                     .net = NET_BIND | NET_CONNECT };
    int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, ports ? sizeof attr : sizeof attr.fs, 0);
    if (rules < 0) { return 0; }
    bool ok = rules_of_files(rules, w, attr.fs) && (!ports || rules_of_ports(rules, w)) && syscall(SYS_landlock_restrict_self, rules, 0) == 0;
    (void)close(rules);
    return !ok ? 0 : ports ? WALL_FILES | WALL_PORTS : WALL_FILES;
}

static bool wall_calls(const struct walls *w)
{
    static const int ALLOWED[] = {
        /* what is open already */
        SCMP_SYS(close),
        SCMP_SYS(read),
        SCMP_SYS(write),
        SCMP_SYS(readv),
        SCMP_SYS(writev),
        SCMP_SYS(pread64),
        SCMP_SYS(pwrite64),
        SCMP_SYS(lseek),
        SCMP_SYS(fstat),
        SCMP_SYS(fcntl),
        /* memory, threads, time */
        SCMP_SYS(mmap),
        SCMP_SYS(munmap),
        SCMP_SYS(mremap),
        SCMP_SYS(mprotect),
        SCMP_SYS(madvise),
        SCMP_SYS(brk),
        SCMP_SYS(mlock),
        SCMP_SYS(mlock2),
        SCMP_SYS(munlock),
        SCMP_SYS(futex),
        SCMP_SYS(set_robust_list),
        SCMP_SYS(rseq),
        SCMP_SYS(sched_yield),
        SCMP_SYS(sched_getaffinity),
        SCMP_SYS(membarrier),
        SCMP_SYS(exit),
        SCMP_SYS(exit_group),
        SCMP_SYS(gettid),
        SCMP_SYS(getpid),
        SCMP_SYS(getppid),
        SCMP_SYS(tgkill),
        SCMP_SYS(rt_sigaction),
        SCMP_SYS(rt_sigprocmask),
        SCMP_SYS(rt_sigreturn),
        SCMP_SYS(rt_sigtimedwait),
        SCMP_SYS(rt_sigsuspend),
        SCMP_SYS(sigaltstack),
        SCMP_SYS(signalfd4),
        SCMP_SYS(pause),
        SCMP_SYS(restart_syscall),
        SCMP_SYS(clock_gettime),
        SCMP_SYS(clock_getres),
        SCMP_SYS(clock_nanosleep),
        SCMP_SYS(nanosleep),
        SCMP_SYS(gettimeofday),
        SCMP_SYS(time),
        SCMP_SYS(getrandom),
        SCMP_SYS(getuid),
        SCMP_SYS(geteuid),
        SCMP_SYS(getgid),
        SCMP_SYS(getegid),
        SCMP_SYS(uname),
        SCMP_SYS(sysinfo),
        SCMP_SYS(getcpu),
        /* the connections of those who come; the listening socket is there */
        SCMP_SYS(accept),
        SCMP_SYS(accept4),
        SCMP_SYS(getsockname),
        SCMP_SYS(getpeername),
        SCMP_SYS(setsockopt),
        SCMP_SYS(getsockopt),
        SCMP_SYS(sendto),
        SCMP_SYS(recvfrom),
        SCMP_SYS(sendmsg),
        SCMP_SYS(recvmsg),
        SCMP_SYS(sendmmsg),
        SCMP_SYS(recvmmsg),
        SCMP_SYS(shutdown),
        SCMP_SYS(sendfile),
        SCMP_SYS(ioctl),
        SCMP_SYS(epoll_wait),
        SCMP_SYS(epoll_pwait),
        SCMP_SYS(epoll_ctl),
        SCMP_SYS(epoll_create1),
        SCMP_SYS(eventfd2),
        SCMP_SYS(pipe2),
        SCMP_SYS(poll),
        SCMP_SYS(ppoll),
        SCMP_SYS(select),
        SCMP_SYS(pselect6),
    };
    static const int FILES[] = { SCMP_SYS(openat),     SCMP_SYS(open),     SCMP_SYS(stat),       SCMP_SYS(lstat),     SCMP_SYS(newfstatat),
                                 SCMP_SYS(statx),      SCMP_SYS(statfs),   SCMP_SYS(fstatfs),    SCMP_SYS(access),    SCMP_SYS(faccessat),
                                 SCMP_SYS(faccessat2), SCMP_SYS(fsync),    SCMP_SYS(fdatasync),  SCMP_SYS(ftruncate), SCMP_SYS(flock),
                                 SCMP_SYS(getdents64), SCMP_SYS(unlink),   SCMP_SYS(unlinkat),   SCMP_SYS(rename),    SCMP_SYS(renameat),
                                 SCMP_SYS(renameat2),  SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getcwd),    SCMP_SYS(fchmod),
                                 SCMP_SYS(fchown),     SCMP_SYS(umask) };
    static const int FOLDERS[] = { SCMP_SYS(mkdir),  SCMP_SYS(mkdirat),      SCMP_SYS(rmdir),          SCMP_SYS(link),
                                   SCMP_SYS(linkat), SCMP_SYS(chmod),        SCMP_SYS(fchmodat),       SCMP_SYS(fallocate),
                                   SCMP_SYS(syncfs), SCMP_SYS(memfd_create), SCMP_SYS(sync_file_range) };
    static const int OUTWARD[] = { SCMP_SYS(socket), SCMP_SYS(socketpair), SCMP_SYS(connect), SCMP_SYS(bind) }; /* asking for names binds too */
    static const int BINDS[] = { SCMP_SYS(socket), SCMP_SYS(bind), SCMP_SYS(listen) };
    static const int CHILDREN[] = { SCMP_SYS(kill), SCMP_SYS(wait4), SCMP_SYS(waitid) };
    const struct {
        bool wanted;
        const int *call;
        size_t n;
    } set[] = { { true, ALLOWED, sizeof ALLOWED / sizeof ALLOWED[0] },       { w->dir != NULL || w->names, FILES, sizeof FILES / sizeof FILES[0] },
                { w->folders, FOLDERS, sizeof FOLDERS / sizeof FOLDERS[0] }, { w->outward, OUTWARD, sizeof OUTWARD / sizeof OUTWARD[0] },
                { w->binds, BINDS, sizeof BINDS / sizeof BINDS[0] },         { w->children, CHILDREN, sizeof CHILDREN / sizeof CHILDREN[0] } };
    static const int DEADLY[] = { SCMP_SYS(execve),
                                  SCMP_SYS(execveat),
                                  SCMP_SYS(ptrace),
                                  SCMP_SYS(process_vm_readv),
                                  SCMP_SYS(process_vm_writev),
                                  SCMP_SYS(fork),
                                  SCMP_SYS(vfork),
                                  SCMP_SYS(io_uring_setup),
                                  SCMP_SYS(bpf),
                                  SCMP_SYS(userfaultfd),
                                  SCMP_SYS(mount),
                                  SCMP_SYS(unshare),
                                  SCMP_SYS(setns) };
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (filter == NULL) { return false; }
    bool ok = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) == 0;
    for (size_t k = 0; k < sizeof set / sizeof set[0]; k++) {
        for (size_t i = 0; ok && set[k].wanted && i < set[k].n; i++) { ok = seccomp_rule_add(filter, SCMP_ACT_ALLOW, set[k].call[i], 0) == 0; }
    }
    for (size_t i = 0; ok && i < sizeof DEADLY / sizeof DEADLY[0]; i++) { ok = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, DEADLY[i], 0) == 0; }
    /* Threads, not processes; clone3 hides its flags behind a pointer, and libc does without it. */
    ok = ok && seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)) == 0;
    ok = ok && seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0;
    if (w->local) {
        ok = ok && seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX)) == 0;
        ok = ok && seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(connect), 0) == 0;
    }
    ok = ok && seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME)) == 0; /* threads have names */
    ok = ok && seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(setpriority), 3, SCMP_A0(SCMP_CMP_EQ, PRIO_PROCESS), SCMP_A1(SCMP_CMP_EQ, 0),
                                SCMP_A2(SCMP_CMP_MASKED_EQ, UINT32_MAX, (uint32_t)lower())) == 0; /* a thread's own: walls_give_way */
    ok = ok && seccomp_load(filter) == 0;
    seccomp_release(filter);
    return ok;
}
#endif

kluis_status walls_raise(const struct walls *w, unsigned *standing, struct kluis_err *err)
{
    *standing = 0;
    (void)lower();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot give up new privileges"); }
    *standing = WALL_PRIVILEGES;
#ifdef KLUIS_UNWALLED
    (void)w;
#else
    *standing |= wall_files(w);
    uint64_t mark = kluis_memory_mark();
    bool stands = wall_calls(w);
    if (kluis_memory_refused(mark)) { /* libseccomp then leaves rules out, and says that all is well */
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot build the system-call filter: out of memory");
    }
    if (!stands) { return KLUIS_FAIL(err, KLUIS_E_IO, "this kernel takes no system-call filter (seccomp): without it no part of the server starts"); }
    *standing |= WALL_CALLS;
#endif
    kluis_log((*standing & WALL_FILES) != 0 ? KLUIS_LOG_INFO : KLUIS_LOG_WARN, "walls", "privileges=1 files=%d ports=%d calls=%d",
              (*standing & WALL_FILES) != 0, (*standing & WALL_PORTS) != 0, (*standing & WALL_CALLS) != 0);
    return KLUIS_OK;
}

void walls_give_way(void) { (void)setpriority(PRIO_PROCESS, 0, lower()); }

void walls_text(const struct walls_told *w, char out[WALLS_TEXT]) { (void)snprintf(out, WALLS_TEXT, "%u/%u", w->walls, w->user); }

bool walls_text_read(struct kluis_str text, struct walls_told *out)
{
    char own[WALLS_TEXT], back[WALLS_TEXT];
    *out = (struct walls_told){ 0 };
    if (text.len == 0 || text.len >= sizeof own) { return false; }
    memcpy(own, text.ptr, text.len);
    own[text.len] = '\0';
    char *end = own;
    struct walls_told w = { .told = true, .walls = (unsigned)strtoul(own, &end, 10) };
    if (*end != '/') { return false; }
    w.user = (unsigned)strtoul(end + 1, NULL, 10);
    walls_text(&w, back); /* only what we would have written */
    if (strcmp(own, back) != 0 || w.walls > (WALL_PRIVILEGES | WALL_FILES | WALL_CALLS | WALL_PORTS)) { return false; }
    *out = w;
    return true;
}

uint16_t walls_port_of(const char *url, bool *named)
{
    static const struct {
        const char *scheme;
        uint16_t port;
    } known[] = { { "https://", 443 }, { "http://", 80 } };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t n = strlen(known[i].scheme);
        if (strncmp(url, known[i].scheme, n) != 0) { continue; }
        const char *host = url + n;
        size_t len = strcspn(host, "/?#");
        bool six = *host == '[';
        const char *end = six ? memchr(host, ']', len) : NULL,
                   *colon = memchr(six && end != NULL ? end : host, ':', end == NULL ? len : len - (size_t)(end - host));
        char text[256], port[8] = "";
        size_t host_len = colon != NULL ? (size_t)(colon - host) : len, port_len = colon != NULL ? len - host_len - 1 : 0;
        if (host_len == 0 || host_len >= sizeof text || port_len >= sizeof port || (six && end == NULL)) { return 0; }
        memcpy(text, host, host_len);
        text[host_len] = '\0';
        struct in_addr four;
        *named = !six && inet_pton(AF_INET, text, &four) != 1;
        if (colon == NULL) { return known[i].port; }
        memcpy(port, colon + 1, port_len);
        char *tail = port;
        unsigned long v = strtoul(port, &tail, 10);
        return tail == port || *tail != '\0' || v > UINT16_MAX ? 0 : (uint16_t)v;
    }
    return 0;
}
