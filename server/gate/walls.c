/* walls.c - what a gate that was broken into may still do: use its directory, its sockets, and little else. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/gate/gate_internal.h"
#include "server/log.h"

#ifndef KLUIS_UNWALLED
/* Rights younger than the kernel headers of Debian 12's oldest toolchain. */
enum { FS_REFER = 1 << 13, FS_TRUNCATE = 1 << 14 };
enum {
    FS_READ = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
    FS_OWN = FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE | FS_TRUNCATE,
    FS_ABI1 = (1 << 13) - 1
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

static bool wall_files(const char *dir, bool relay)
{
    static const char *const FOR_RELAY[] = { "/etc/resolv.conf", "/etc/hosts",    "/etc/nsswitch.conf", "/etc/host.conf",
                                             "/etc/gai.conf",    "/etc/services", "/etc/ld.so.cache" };
    /* Host names load NSS modules, https loads the authorities' roots. */
    static const char *const TREES[] = { "/etc/ssl", "/usr/lib/ssl", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates",
                                         "/lib",     "/usr/lib",     "/run/systemd/resolve" };
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1) { return false; }
    uint64_t handled = FS_ABI1 | (abi >= 2 ? (uint64_t)FS_REFER : 0) | (abi >= 3 ? (uint64_t)FS_TRUNCATE : 0);
    struct landlock_ruleset_attr attr = { .handled_access_fs = handled };
    int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    if (rules < 0) { return false; }
    bool ok = allow_path(rules, dir, FS_OWN & handled);
    for (size_t i = 0; relay && i < sizeof FOR_RELAY / sizeof FOR_RELAY[0]; i++) {
        ok = ok && allow_path(rules, FOR_RELAY[i], LANDLOCK_ACCESS_FS_READ_FILE);
    }
    for (size_t i = 0; relay && i < sizeof TREES / sizeof TREES[0]; i++) { ok = ok && allow_path(rules, TREES[i], FS_READ); }
    ok = ok && syscall(SYS_landlock_restrict_self, rules, 0) == 0;
    (void)close(rules);
    return ok;
}

static bool wall_calls(bool relay)
{
    static const int ALLOWED[] = {
        /* files of its own directory */
        SCMP_SYS(openat),
        SCMP_SYS(open),
        SCMP_SYS(close),
        SCMP_SYS(read),
        SCMP_SYS(write),
        SCMP_SYS(readv),
        SCMP_SYS(writev),
        SCMP_SYS(pread64),
        SCMP_SYS(pwrite64),
        SCMP_SYS(lseek),
        SCMP_SYS(fstat),
        SCMP_SYS(stat),
        SCMP_SYS(lstat),
        SCMP_SYS(newfstatat),
        SCMP_SYS(statx),
        SCMP_SYS(statfs),
        SCMP_SYS(fstatfs),
        SCMP_SYS(access),
        SCMP_SYS(faccessat),
        SCMP_SYS(faccessat2),
        SCMP_SYS(fsync),
        SCMP_SYS(fdatasync),
        SCMP_SYS(ftruncate),
        SCMP_SYS(fcntl),
        SCMP_SYS(flock),
        SCMP_SYS(getdents64),
        SCMP_SYS(unlink),
        SCMP_SYS(unlinkat),
        SCMP_SYS(rename),
        SCMP_SYS(renameat),
        SCMP_SYS(renameat2),
        SCMP_SYS(readlink),
        SCMP_SYS(readlinkat),
        SCMP_SYS(getcwd),
        SCMP_SYS(fchmod),
        SCMP_SYS(fchown),
        SCMP_SYS(umask),
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
    /* Only for asking time authorities: without any, a gate opens no connection itself. */
    static const int OUTWARD[] = { SCMP_SYS(socket), SCMP_SYS(socketpair), SCMP_SYS(connect), SCMP_SYS(bind) };
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
    for (size_t i = 0; ok && i < sizeof ALLOWED / sizeof ALLOWED[0]; i++) { ok = seccomp_rule_add(filter, SCMP_ACT_ALLOW, ALLOWED[i], 0) == 0; }
    for (size_t i = 0; ok && relay && i < sizeof OUTWARD / sizeof OUTWARD[0]; i++) {
        ok = seccomp_rule_add(filter, SCMP_ACT_ALLOW, OUTWARD[i], 0) == 0;
    }
    for (size_t i = 0; ok && i < sizeof DEADLY / sizeof DEADLY[0]; i++) { ok = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, DEADLY[i], 0) == 0; }
    /* Threads, not processes; clone3 hides its flags behind a pointer, and libc does without it. */
    ok = ok && seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)) == 0;
    ok = ok && seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0;
    ok = ok && seccomp_load(filter) == 0;
    seccomp_release(filter);
    return ok;
}
#endif

kluis_status gate_confine(const char *dir, bool relay, unsigned *walls, struct kluis_err *err)
{
    *walls = 0;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot give up new privileges"); }
    *walls = GATE_WALL_PRIVILEGES;
#ifdef KLUIS_UNWALLED
    (void)dir;
    (void)relay;
#else
    if (wall_files(dir, relay)) { *walls |= GATE_WALL_FILES; }
    if (wall_calls(relay)) { *walls |= GATE_WALL_CALLS; }
#endif
    kluis_log(KLUIS_LOG_INFO, "walls", "privileges=1 files=%d calls=%d", (*walls & GATE_WALL_FILES) != 0, (*walls & GATE_WALL_CALLS) != 0);
    return KLUIS_OK;
}
