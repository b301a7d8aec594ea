/* tests/fault/calls.c - stands in for libc's memory and file functions in a sweep's program.  See fault.h.
 *
 * The executable's symbols come before libc's for every library of the process.  What happens really is a bare system call or glibc's
 * __libc_malloc family.  fsync never reaches the device here: the model of the disk says what it means, and no trial needs it.
 * Not seen: what libc does inside itself (stdio's writes); `strace -e inject` finds those from outside.
 */
#include "tests/fault/internal.h"

#include <assert.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct trial *fault_trial;
static atomic_int_fast64_t blocks, mapped;
static atomic_bool crashing;
static _Thread_local int inside; /* the machinery itself is at work */
static pthread_mutex_t model = PTHREAD_MUTEX_INITIALIZER;

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);
void __libc_free(void *p);

bool fault_armed(enum fault_class c) { return fault_trial != NULL && inside == 0 && fault_trial->class == c; }

static void note_place(struct trial *t, const char *op)
{
    t->hit = true;
    (void)snprintf(t->op, sizeof t->op, "%s", op);
    inside++;
    t->n_frames = backtrace(t->frames, FRAMES);
    inside--;
}

/* ---- memory ---- */

enum { KNOWN = 1 << 18 };
struct known {
    void *block;
    int n;
    void *frames[FRAMES];
};
static struct known *known; /* a hash table, only while blocks are traced */

void calls_trace_blocks(bool on)
{
    if (known == NULL) { known = mmap(NULL, KNOWN * sizeof *known, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0); }
    if (on) { (void)madvise(known, KNOWN * sizeof *known, MADV_DONTNEED); }
    if (!on) { known = NULL; }
}

static struct known *known_of(void *p, bool make)
{
    size_t at = ((uintptr_t)p >> 4) * 0x9e3779b97f4a7c15u >> 46;
    for (size_t i = 0; i < KNOWN; i++) {
        struct known *k = &known[(at + i) % KNOWN];
        if (k->block == p) { return k; }
        if (k->block == NULL) { return make ? k : NULL; }
    }
    return NULL;
}

static void *born(void *p)
{
    if (p == NULL) { return NULL; }
    atomic_fetch_add(&blocks, 1);
    if (known != NULL && inside == 0) {
        inside++;
        struct known *k = known_of(p, true);
        if (k != NULL) {
            k->block = p;
            k->n = backtrace(k->frames, FRAMES);
        }
        inside--;
    }
    return p;
}

static void dies(void *p)
{
    if (p == NULL) { return; }
    atomic_fetch_sub(&blocks, 1);
    if (known != NULL && inside == 0) {
        struct known *k = known_of(p, false);
        if (k != NULL) { k->n = -1; } /* the place stays taken: others may lie behind it */
    }
}

int64_t calls_blocks(void) { return atomic_load(&blocks); }
int64_t calls_mapped(void) { return atomic_load(&mapped); }

int calls_fds(void)
{
    int n = 0;
    for (int fd = 0; fd < OWN_FD; fd++) { n += syscall(SYS_fcntl, fd, F_GETFD) >= 0; }
    return n;
}

void calls_tell_frames(void *const *frames, int n)
{
    inside++;
    backtrace_symbols_fd(frames, n, 2); // NOLINT(bugprone-signal-handler): see segmentation_fault
    inside--;
}

/* Losses of libraries that run out of memory themselves: theirs to mend, named here each with what it is. */
static const char *const LIBRARY_LOSES[] = {
    "json_object_new_array_ext",       /* json-c 0.16: an array whose list cannot be made is forgotten */
    "session_state_serialize_prepare", /* libsignal 2.3.3: the keys written before the one that found no memory */
    /* GnuTLS 3.7: each thread's generator stays until the program ends, also when the thread did; what it had read of a certificate or greeting */
    "gnutls_rnd",
    "gnutls_certificate_set_x509_key_mem2",
    "gnutls_handshake",
};

/* No loss: tables with a ceiling, which fill from run to run. */
static const char *const HELD[] = {
    "known_certificate", "known_key",                             /* lib/seal/known.c: 32 of them; each trial may be a device of its own */
    "ERR_set_debug",     "ERR_vset_error", "ERR_add_error_vdata", /* OpenSSL's last 16 errors of a thread keep their texts */
};

/* ... and such as read or write through a null pointer then: theirs too, and the process is gone as after an abort. */
static const char *const LIBRARY_DIES[] = {
    "seccomp_export_bpf",                   /* libseccomp 2.5: the program that it generates */
    "gnutls_certificate_set_x509_key_mem2", /* GnuTLS 3.7 with libtasn1 4.19: a certificate that is read without memory */
    "gnutls_handshake",                     /* the same, of a greeting */
    "gcry_pk_sign",                         /* libgcrypt 1.10: a point of Ed25519 */
    "gcry_pk_verify",
};

static bool of_library(void *const *frames, int n, const char *const *names, size_t n_names)
{
    for (int f = 0; f < n; f++) {
        Dl_info at;
        if (dladdr(frames[f], &at) == 0 || at.dli_sname == NULL) { continue; }
        for (size_t k = 0; k < n_names; k++) {
            if (strcmp(at.dli_sname, names[k]) == 0) { return true; }
        }
    }
    return false;
}

bool calls_library_dies(const struct trial *t)
{
    enum { N = sizeof LIBRARY_DIES / sizeof *LIBRARY_DIES };
    inside++;
    bool theirs = of_library(t->frames, t->n_frames, LIBRARY_DIES, N) || of_library(t->last, t->n_last, LIBRARY_DIES, N);
    inside--;
    return theirs;
}

/* json-c 0.16 does not look whether json_object_object_add had memory for a member that it parsed: the value is forgotten.  Theirs is only what that
 * very call left: the fault was put into it. */
static bool member_lost(const struct trial *t)
{
    bool add = false, parse = false;
    Dl_info at;
    for (int f = 0; t != NULL && f < t->n_frames; f++) {
        if (dladdr(t->frames[f], &at) == 0 || at.dli_sname == NULL) { continue; }
        add = add || strcmp(at.dli_sname, "json_object_object_add_ex") == 0;
        parse = parse || (add && strcmp(at.dli_sname, "json_tokener_parse_ex") == 0);
    }
    return parse;
}

/* libmicrohttpd 0.9.75: a daemon that has no memory to begin leaves the descriptor that its threads are woken by. */
int calls_library_fds(const struct trial *t)
{
    static const char *const begins[] = { "MHD_start_daemon_va" };
    inside++;
    bool theirs = t->class == FAULT_ALLOC && t->hit && of_library(t->frames, t->n_frames, begins, 1);
    inside--;
    return theirs ? 1 : 0;
}

int64_t calls_library_blocks(const struct trial *t)
{
    int64_t n = 0;
    bool member = member_lost(t);
    inside++;
    for (size_t i = 0; known != NULL && i < KNOWN; i++) {
        bool theirs = of_library(known[i].frames, known[i].n, LIBRARY_LOSES, sizeof LIBRARY_LOSES / sizeof *LIBRARY_LOSES);
        static const char *const parse[] = { "json_tokener_parse_ex" };
        theirs = theirs || (member && of_library(known[i].frames, known[i].n, parse, 1));
        theirs = theirs || of_library(known[i].frames, known[i].n, HELD, sizeof HELD / sizeof *HELD);
        if (!theirs) { continue; }
        known[i].n = -1;
        n++;
    }
    inside--;
    return n;
}

void calls_tell_blocks(void)
{
    int told = 0;
    for (size_t i = 0; known != NULL && i < KNOWN && told < 8; i++) {
        if (known[i].n <= 0) { continue; }
        (void)dprintf(2, "a block that stayed:\n");
        calls_tell_frames(known[i].frames, known[i].n);
        told++;
    }
}

/* true: this one fails */
static bool no_memory(const char *op)
{
    if (!fault_armed(FAULT_ALLOC)) { return false; }
    struct trial *t = fault_trial;
    uint64_t n = atomic_fetch_add(&t->points, 1);
    if (atomic_load(&t->over)) { return false; }
    if (n != t->at && (t->kind != MEMORY_FROM || n < t->at)) { return false; }
    if (n == t->at) { note_place(t, op); }
    errno = ENOMEM;
    return true;
}

void *malloc(size_t n) { return no_memory("malloc") ? NULL : born(__libc_malloc(n)); }
void *calloc(size_t count, size_t size) { return no_memory("calloc") ? NULL : born(__libc_calloc(count, size)); }
void free(void *p)
{
    int e = errno; /* POSIX.1-2024: free keeps errno */
    dies(p);
    __libc_free(p);
    errno = e;
}
void *realloc(void *p, size_t n)
{
    if (n == 0 && p != NULL) { /* glibc frees */
        free(p);
        return NULL;
    }
    if (no_memory("realloc")) { return NULL; }
    struct known *k = known != NULL && p != NULL && inside == 0 ? known_of(p, false) : NULL;
    void *q = __libc_realloc(p, n);
    if (q == NULL) { return NULL; }
    if (k != NULL) { k->n = -1; }
    if (p != NULL) { atomic_fetch_sub(&blocks, 1); }
    return born(q);
}
void *memalign(size_t align, size_t n);
void *memalign(size_t align, size_t n) { return no_memory("memalign") ? NULL : born(__libc_memalign(align, n)); }
void *aligned_alloc(size_t align, size_t n) { return memalign(align, n); }
int posix_memalign(void **out, size_t align, size_t n)
{
    void *p = memalign(align, n);
    if (p == NULL) { return ENOMEM; }
    *out = p;
    return 0;
}

/* ---- points ---- */

int fault_io_point(const char *op, bool needs_room, bool transfers, bool may_interrupt, bool *shorter)
{
    *shorter = false;
    if (!fault_armed(FAULT_IO)) { return 0; }
    struct trial *t = fault_trial;
    uint64_t n = atomic_fetch_add(&t->points, 1);
    if (t->kind == IO_ENOSPC) {
        if (n < t->at || !needs_room || atomic_load(&t->over)) { return 0; }
        if (!t->hit) { note_place(t, op); }
        return ENOSPC;
    }
    if (n != t->at) { return 0; }
    if (t->kind == IO_SHORT && !transfers) { return 0; }
    if (t->kind == IO_EINTR && !may_interrupt) { return 0; }
    note_place(t, op);
    if (t->kind == IO_SHORT) {
        *shorter = true;
        return 0;
    }
    return t->kind == IO_EINTR ? EINTR : EIO;
}

static void stand_still(int signal)
{
    (void)signal;
    for (;;) { (void)pause(); }
}

static void step(const char *op)
{
    if (atomic_load(&crashing) && inside == 0) {
        for (;;) { (void)pause(); } /* another thread is pulling the plug */
    }
    if (!fault_armed(FAULT_CRASH)) { return; }
    struct trial *t = fault_trial;
    if (atomic_fetch_add(&t->points, 1) != t->at) { return; }
    note_place(t, op);
    inside++;
    (void)signal(SIGBUS, stand_still); /* another thread, in a mapping of what is cut off below */
    atomic_store(&crashing, true);
    (void)pthread_mutex_lock(&model);
    disk_crash((enum fault_disk)t->kind, t->at + 1);
    (void)kill(getpid(), SIGKILL);
    for (;;) { (void)pause(); }
}

/* Notes and tells where, then dies of it.  The process is lost already: what these calls may do in a handler matters no more. */
// NOLINTBEGIN(bugprone-signal-handler)
static void segmentation_fault(int signal_number)
{
    struct trial *t = fault_trial;
    inside++;
    if (t != NULL) {
        t->n_last = backtrace(t->last, FRAMES);
        calls_tell_frames(t->last, t->n_last);
    }
    (void)signal(signal_number, SIG_DFL);
    (void)raise(signal_number);
}
// NOLINTEND(bugprone-signal-handler)

/* What a run without a fault passes by name (covered.py). */
static void durable_step(const char *name)
{
    struct trial *t = fault_trial;
    if (t != NULL && t->at == UINT64_MAX && inside == 0) {
        (void)pthread_mutex_lock(&model);
        unsigned n = 0;
        while (n < t->n_steps && strcmp(t->step[n], name) != 0) { n++; }
        if (n == t->n_steps && n < STEPS && strlen(name) < STEP_NAME) { memcpy(t->step[t->n_steps++], name, strlen(name) + 1); }
        (void)pthread_mutex_unlock(&model);
    }
    step(name);
}

static struct kluis_hooks hooks = { .durable_step = durable_step };

/* What act forks is another process, with ceilings of its own (the vault's openers run behind walls). */
static void not_in_children(void)
{
    (void)signal(SIGSEGV, SIG_DFL);
    fault_trial = NULL;
    kluis_hooks_set(NULL);
}

void calls_arm(struct trial *t, const char *root)
{
    static bool told;
    void *warm[2];
    (void)backtrace(warm, 2); /* loads libgcc now */
    if (!told && pthread_atfork(NULL, NULL, not_in_children) != 0) { abort(); }
    told = true;
    if (t->class == FAULT_CRASH) {
        disk_watch(root);
        kluis_hooks_set(&hooks);
    }
    if (t->class == FAULT_ALLOC) { (void)signal(SIGSEGV, segmentation_fault); }
    fault_trial = t;
}

void calls_disarm(void)
{
    (void)signal(SIGSEGV, SIG_DFL);
    fault_trial = NULL;
    kluis_hooks_set(NULL);
}

void fault_over(void)
{
    if (fault_trial != NULL) { atomic_store(&fault_trial->over, true); }
}

void fault_aside(bool on) { inside += on ? 1 : -1; }

bool fault_lasts(void)
{
    const struct trial *t = fault_trial;
    return t != NULL && t->hit && !atomic_load(&t->over) &&
           ((t->class == FAULT_ALLOC && t->kind == MEMORY_FROM) || (t->class == FAULT_IO && t->kind == IO_ENOSPC));
}

/* The model sees every call while a crash is awaited. */
static bool modelled(void) { return fault_armed(FAULT_CRASH); }
#define MODEL(call)                                                                                                                                  \
    do {                                                                                                                                             \
        inside++;                                                                                                                                    \
        (void)pthread_mutex_lock(&model);                                                                                                            \
        call;                                                                                                                                        \
        (void)pthread_mutex_unlock(&model);                                                                                                          \
        inside--;                                                                                                                                    \
    } while (0)

static bool fails(const char *op, bool room, bool transfers, bool interrupts, size_t *n)
{
    bool shorter;
    int e = fault_io_point(op, room, transfers, interrupts, &shorter);
    if (shorter && n != NULL && *n > 1) { *n /= 2; }
    if (e == 0) { return false; }
    errno = e;
    return true;
}
#define FAILS(op) fails((op), false, false, false, NULL)

/* Absolute, or NULL when it is none of ours. */
static const char *whole_path(int dir, const char *path, char out[KLUIS_PATH_MAX])
{
    if (path[0] == '/') { return path; }
    if (dir == AT_FDCWD) { return NULL; }
    char link[40];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
    long n = syscall(SYS_readlinkat, AT_FDCWD, link, out, (size_t)KLUIS_PATH_MAX - 1);
    if (n <= 0 || (size_t)n + strlen(path) + 2 > KLUIS_PATH_MAX) { return NULL; }
    out[n] = '/';
    memcpy(out + n + 1, path, strlen(path) + 1);
    return out;
}

/* ---- open, close ---- */

static int do_open(int dir, const char *path, int flags, unsigned mode)
{
    char buf[KLUIS_PATH_MAX];
    if (fails("open", (flags & O_CREAT) != 0, false, true, NULL)) { return -1; }
    const char *whole = modelled() && (flags & O_ACCMODE) != O_RDONLY ? whole_path(dir, path, buf) : NULL;
    if (whole == NULL || !disk_knows(whole) || (flags & O_TMPFILE) == O_TMPFILE) { return (int)syscall(SYS_openat, dir, path, flags, mode); }
    struct stat st;
    bool fresh = (flags & O_CREAT) != 0 && syscall(SYS_newfstatat, dir, path, &st, AT_SYMLINK_NOFOLLOW) != 0;
    int fd = (int)syscall(SYS_openat, dir, path, flags & ~O_TRUNC, mode);
    if (fd < 0) { return fd; }
    if (fresh) { MODEL(disk_created(whole, false)); }
    if (!fresh && (flags & O_TRUNC) != 0) {
        struct disk_change *c = NULL;
        step("truncate");
        MODEL(c = disk_will_truncate(fd, 0));
        long rc = syscall(SYS_ftruncate, fd, 0L);
        MODEL(disk_did(c, rc == 0 ? 0 : -1));
    }
    return fd;
}

#define MODE_OF(flags)                                                                                                                               \
    unsigned mode = 0;                                                                                                                               \
    if (((flags)&O_CREAT) != 0 || ((flags)&O_TMPFILE) == O_TMPFILE) {                                                                                \
        va_list ap;                                                                                                                                  \
        va_start(ap, flags);                                                                                                                         \
        mode = va_arg(ap, unsigned);                                                                                                                 \
        va_end(ap);                                                                                                                                  \
    }
int open(const char *path, int flags, ...)
{
    MODE_OF(flags)
    return do_open(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...)
{
    MODE_OF(flags)
    return do_open(AT_FDCWD, path, flags, mode);
}
int openat(int dir, const char *path, int flags, ...)
{
    MODE_OF(flags)
    return do_open(dir, path, flags, mode);
}
int openat64(int dir, const char *path, int flags, ...)
{
    MODE_OF(flags)
    return do_open(dir, path, flags, mode);
}
int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags) { return do_open(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags);
int __open64_2(const char *path, int flags) { return do_open(AT_FDCWD, path, flags, 0); }
int __openat_2(int dir, const char *path, int flags);
int __openat_2(int dir, const char *path, int flags) { return do_open(dir, path, flags, 0); }
int __openat64_2(int dir, const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags) { return do_open(dir, path, flags, 0); }

int close(int fd)
{
    bool bad = FAILS("close");
    int r = (int)syscall(SYS_close, fd);
    if (bad) { errno = EIO; }
    return bad ? -1 : r;
}

/* ---- reading ---- */

/* What has neither a name nor bytes (eventfd, epoll) has no disk or peer that could fail.  Asked where it matters only: what is not armed may stand
 * behind walls that know no fstat, as an opener does. */
static bool nameless(int fd)
{
    struct stat st;
    return fault_armed(FAULT_IO) && syscall(SYS_fstat, fd, &st) == 0 && (st.st_mode & S_IFMT) == 0;
}
static bool on_disk(int fd)
{
    struct stat st;
    return fault_armed(FAULT_IO) && syscall(SYS_fstat, fd, &st) == 0 && S_ISREG(st.st_mode);
}

ssize_t read(int fd, void *p, size_t n) { return !nameless(fd) && fails("read", false, true, true, &n) ? -1 : syscall(SYS_read, fd, p, n); }
ssize_t pread(int fd, void *p, size_t n, off_t at) { return fails("pread", false, true, true, &n) ? -1 : syscall(SYS_pread64, fd, p, n, at); }
ssize_t pread64(int fd, void *p, size_t n, off_t at) { return pread(fd, p, n, at); }
ssize_t __read_chk(int fd, void *p, size_t n, size_t room);
ssize_t __read_chk(int fd, void *p, size_t n, size_t room) { return n > room ? (abort(), -1) : read(fd, p, n); }
ssize_t __pread_chk(int fd, void *p, size_t n, off_t at, size_t room);
ssize_t __pread_chk(int fd, void *p, size_t n, off_t at, size_t room) { return n > room ? (abort(), -1) : pread(fd, p, n, at); }
ssize_t __pread64_chk(int fd, void *p, size_t n, off_t at, size_t room);
ssize_t __pread64_chk(int fd, void *p, size_t n, off_t at, size_t room) { return n > room ? (abort(), -1) : pread(fd, p, n, at); }

static int do_stat(int dir, const char *path, struct stat *st, int flags)
{
    return FAILS("stat") ? -1 : (int)syscall(SYS_newfstatat, dir, path, st, flags);
}
int stat(const char *restrict path, struct stat *restrict st) { return do_stat(AT_FDCWD, path, st, 0); }
int lstat(const char *restrict path, struct stat *restrict st) { return do_stat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW); }
int fstat(int fd, struct stat *st) { return FAILS("fstat") ? -1 : (int)syscall(SYS_fstat, fd, st); }
int fstatat(int dir, const char *restrict path, struct stat *restrict st, int flags) { return do_stat(dir, path, st, flags); }
int stat64(const char *restrict path, struct stat64 *restrict st) { return do_stat(AT_FDCWD, path, (struct stat *)st, 0); }
int lstat64(const char *restrict path, struct stat64 *restrict st) { return do_stat(AT_FDCWD, path, (struct stat *)st, AT_SYMLINK_NOFOLLOW); }
int fstat64(int fd, struct stat64 *st) { return fstat(fd, (struct stat *)st); }
int access(const char *path, int how) { return FAILS("access") ? -1 : (int)syscall(SYS_faccessat, AT_FDCWD, path, how); }

/* ---- writing ---- */

static ssize_t do_write(int fd, const void *p, size_t n, int64_t at)
{
    if (atomic_load(&crashing)) { step("write"); }
    if (!modelled()) { return at < 0 ? syscall(SYS_write, fd, p, n) : syscall(SYS_pwrite64, fd, p, n, at); }
    struct disk_change *c = NULL;
    int64_t place = at;
    if (at < 0) {
        struct stat st;
        long flags = syscall(SYS_fcntl, fd, F_GETFL);
        place = flags >= 0 && (flags & O_APPEND) != 0 && syscall(SYS_fstat, fd, &st) == 0 ? st.st_size : syscall(SYS_lseek, fd, 0L, SEEK_CUR);
    }
    if (place >= 0) { MODEL(c = disk_will_write(fd, (uint64_t)place, p, n)); }
    ssize_t r = at < 0 ? syscall(SYS_write, fd, p, n) : syscall(SYS_pwrite64, fd, p, n, at);
    int e = errno;
    MODEL(disk_did(c, r));
    errno = e;
    return r;
}
ssize_t write(int fd, const void *p, size_t n) { return !nameless(fd) && fails("write", on_disk(fd), true, true, &n) ? -1 : do_write(fd, p, n, -1); }
ssize_t pwrite(int fd, const void *p, size_t n, off_t at) { return fails("pwrite", true, true, true, &n) ? -1 : do_write(fd, p, n, at); }
ssize_t pwrite64(int fd, const void *p, size_t n, off_t at) { return pwrite(fd, p, n, at); }
ssize_t writev(int fd, const struct iovec *v, int n)
{
    ssize_t sum = 0;
    for (int i = 0; i < n; i++) {
        ssize_t r = v[i].iov_len == 0 ? 0 : write(fd, v[i].iov_base, v[i].iov_len);
        if (r < 0) { return sum > 0 ? sum : -1; }
        sum += r;
        if ((size_t)r < v[i].iov_len) { break; }
    }
    return sum;
}

static int do_truncate(int fd, off_t size)
{
    if (fails("ftruncate", true, false, true, NULL)) { return -1; }
    bool held = modelled() && disk_holds(fd);
    if (held) { step("truncate"); }
    struct disk_change *c = NULL;
    if (held) { MODEL(c = disk_will_truncate(fd, (uint64_t)size)); }
    int r = (int)syscall(SYS_ftruncate, fd, size);
    if (held) { MODEL(disk_did(c, r == 0 ? 0 : -1)); }
    return r;
}
int ftruncate(int fd, off_t size) { return do_truncate(fd, size); }
int ftruncate64(int fd, off_t size) { return do_truncate(fd, size); }

static int do_sync(const char *op, int fd)
{
    if (fails(op, false, false, true, NULL)) { return -1; }
    if (modelled() && disk_holds(fd)) {
        step(op);
        MODEL(disk_synced(fd));
    }
    struct stat st;
    return (int)syscall(SYS_fstat, fd, &st); /* a closed descriptor is still an error */
}
int fsync(int fd) { return do_sync("fsync", fd); }
int fdatasync(int fd) { return do_sync("fdatasync", fd); }

/* ---- names ---- */

static int do_rename(int from_dir, const char *from, int to_dir, const char *to)
{
    if (fails("rename", true, false, false, NULL)) { return -1; }
    step("rename");
    if (!modelled()) { return (int)syscall(SYS_renameat, from_dir, from, to_dir, to); }
    char a[KLUIS_PATH_MAX], b[KLUIS_PATH_MAX], stash[KLUIS_PATH_MAX] = "";
    const char *whole_from = whole_path(from_dir, from, a), *whole_to = whole_path(to_dir, to, b);
    bool known_names = whole_from != NULL && whole_to != NULL;
    if (known_names) { MODEL(disk_will_replace(whole_to, stash)); }
    int r = (int)syscall(SYS_renameat, from_dir, from, to_dir, to);
    int e = errno;
    if (r == 0 && known_names) { MODEL(disk_renamed(whole_from, whole_to, stash)); }
    errno = e;
    return r;
}
int rename(const char *from, const char *to) { return do_rename(AT_FDCWD, from, AT_FDCWD, to); }
int renameat(int from_dir, const char *from, int to_dir, const char *to) { return do_rename(from_dir, from, to_dir, to); }

static int do_link(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    if (fails("link", true, false, false, NULL)) { return -1; }
    step("link");
    int r = (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
    if (r == 0 && modelled()) {
        char b[KLUIS_PATH_MAX];
        const char *whole = whole_path(to_dir, to, b);
        if (whole != NULL) { MODEL(disk_created(whole, false)); }
    }
    return r;
}
int link(const char *from, const char *to) { return do_link(AT_FDCWD, from, AT_FDCWD, to, 0); }
int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) { return do_link(from_dir, from, to_dir, to, flags); }

static int do_unlink(int dir, const char *path, int flags)
{
    if (FAILS("unlink")) { return -1; }
    step("unlink");
    char b[KLUIS_PATH_MAX], stash[KLUIS_PATH_MAX] = "";
    const char *whole = modelled() && flags == 0 ? whole_path(dir, path, b) : NULL;
    if (whole != NULL) { MODEL(disk_will_replace(whole, stash)); }
    int r = (int)syscall(SYS_unlinkat, dir, path, flags);
    int e = errno;
    if (r == 0 && whole != NULL) { MODEL(disk_removed(whole, stash)); }
    errno = e;
    return r;
}
int unlink(const char *path) { return do_unlink(AT_FDCWD, path, 0); }
int unlinkat(int dir, const char *path, int flags) { return do_unlink(dir, path, flags); }
int rmdir(const char *path) { return do_unlink(AT_FDCWD, path, AT_REMOVEDIR); }

static int do_mkdir(int dir, const char *path, unsigned mode)
{
    if (fails("mkdir", true, false, false, NULL)) { return -1; }
    step("mkdir");
    int r = (int)syscall(SYS_mkdirat, dir, path, mode);
    char b[KLUIS_PATH_MAX];
    const char *whole = r == 0 && modelled() ? whole_path(dir, path, b) : NULL;
    if (whole != NULL) { MODEL(disk_created(whole, true)); }
    return r;
}
int mkdir(const char *path, mode_t mode) { return do_mkdir(AT_FDCWD, path, mode); }
int mkdirat(int dir, const char *path, mode_t mode) { return do_mkdir(dir, path, mode); }

/* ---- directories, mappings, sockets ---- */

DIR *opendir(const char *path)
{
    if (FAILS("opendir")) { return NULL; }
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (fd >= 0 && d == NULL) {
        int e = errno;
        (void)syscall(SYS_close, fd);
        errno = e;
    }
    return d;
}

/* Before readdir, whose own code is libc's: reads as the end does, with errno. */
struct dirent *__real_readdir(DIR *d);
struct dirent *__wrap_readdir(DIR *d);
struct dirent *__wrap_readdir(DIR *d) { return FAILS("readdir") ? NULL : __real_readdir(d); }

static void *do_mmap(void *at, size_t n, int prot, int flags, int fd, off_t from)
{
    bool own = (flags & MAP_ANONYMOUS) != 0;
    if (own ? no_memory("mmap") : FAILS("mmap")) { return MAP_FAILED; }
    void *p = (void *)syscall(SYS_mmap, at, n, prot, flags, fd, from);
    if (p != MAP_FAILED) { atomic_fetch_add(&mapped, (int64_t)n); }
    return p;
}
void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t from) { return do_mmap(at, n, prot, flags, fd, from); }
void *mmap64(void *at, size_t n, int prot, int flags, int fd, off_t from) { return do_mmap(at, n, prot, flags, fd, from); }
int munmap(void *p, size_t n)
{
    int r = (int)syscall(SYS_munmap, p, n);
    if (r == 0) { atomic_fetch_sub(&mapped, (int64_t)n); }
    return r;
}

/* The far end of a socket may be slow to take or give; that it is full is no state of a disk. */
ssize_t send(int fd, const void *p, size_t n, int flags)
{
    return fails("send", false, true, true, &n) ? -1 : syscall(SYS_sendto, fd, p, n, flags, NULL, 0);
}
/* Who finds nothing on a socket asks again: how often is the scheduler's doing, so it is no point, and the next points keep their numbers.  errno
 * says what else the far end did. */
static bool nothing_there(int fd, int flags)
{
    char byte;
    if (!fault_armed(FAULT_IO) || (syscall(SYS_fcntl, fd, F_GETFL) & O_NONBLOCK) == 0) { return false; }
    return syscall(SYS_recvfrom, fd, &byte, 1, flags | MSG_PEEK, NULL, NULL) < 0;
}
ssize_t recv(int fd, void *p, size_t n, int flags)
{
    if (nothing_there(fd, flags)) { return -1; }
    return fails("recv", false, true, true, &n) ? -1 : syscall(SYS_recvfrom, fd, p, n, flags, NULL, NULL);
}
int connect(int fd, __CONST_SOCKADDR_ARG a, socklen_t n) { return FAILS("connect") ? -1 : (int)syscall(SYS_connect, fd, a.__sockaddr__, n); }
int socket(int domain, int type, int protocol) { return FAILS("socket") ? -1 : (int)syscall(SYS_socket, domain, type, protocol); }

/* ---- time: waits are short, and the clock goes on as if they had not been ---- */

enum { SECOND = 1000000000 };
static int64_t hurry = 1;
static atomic_int_fast64_t ahead; /* nanoseconds before the true clock */

static int64_t true_clock(void)
{
    struct timespec t = { 0 };
    if (syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t) != 0) { abort(); }
    return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

static int64_t ns_of(const struct timespec *t) { return (int64_t)t->tv_sec * SECOND + t->tv_nsec; }
static struct timespec ns_time(int64_t ns) { return (struct timespec){ .tv_sec = ns / SECOND, .tv_nsec = ns % SECOND }; }

/* It is at least this late now; another thread's wait may have ended later. */
static void late(int64_t now)
{
    int64_t want = now - true_clock(), is = atomic_load(&ahead);
    while (is < want && !atomic_compare_exchange_weak(&ahead, &is, want)) {}
}

void fault_hurry(unsigned times) { hurry = times; }

int clock_gettime(clockid_t which, struct timespec *t)
{
    if (hurry == 1 || which != CLOCK_MONOTONIC) { return (int)syscall(SYS_clock_gettime, which, t); }
    *t = ns_time(true_clock() + atomic_load(&ahead));
    return 0;
}

int pthread_cond_timedwait(pthread_cond_t *restrict c, pthread_mutex_t *restrict m, const struct timespec *restrict until)
{
    enum { YEARS = 1000000000 }; /* no machine is up so long, and no date so small */
    if (until->tv_sec >= YEARS) { return pthread_cond_clockwait(c, m, CLOCK_REALTIME, until); }
    int64_t now = true_clock(), left = ns_of(until) - now - atomic_load(&ahead);
    struct timespec t = ns_time(left <= 0 ? now : now + left / hurry);
    int r = pthread_cond_clockwait(c, m, CLOCK_MONOTONIC, &t);
    if (r == ETIMEDOUT && hurry > 1) { late(ns_of(until)); }
    return r;
}

int poll(struct pollfd *p, nfds_t n, int ms)
{
    bool short_one = hurry > 1 && ms > 0 && ms <= 1000; /* who waits longer waits for somebody who works */
    int64_t until = true_clock() + atomic_load(&ahead) + (int64_t)ms * (SECOND / 1000);
    int r = (int)syscall(SYS_poll, p, n, short_one ? (ms + (int)hurry - 1) / (int)hurry : ms);
    if (r == 0 && short_one) { late(until); }
    return r;
}

int nanosleep(const struct timespec *t, struct timespec *left)
{
    int64_t until = true_clock() + atomic_load(&ahead) + ns_of(t);
    const struct timespec less = ns_time(ns_of(t) / hurry);
    int r = (int)syscall(SYS_nanosleep, &less, left);
    if (r == 0 && hurry > 1) { late(until); }
    return r;
}

/* ---- a broken assertion of ours is no library's abort ---- */

void __assert_fail(const char *what, const char *file, unsigned line, const char *function)
{
    (void)dprintf(2, "%s:%u: %s: assertion '%s' is broken\n", file, line, function, what);
    if (fault_trial != NULL) { fault_trial->broken_assert = true; }
    _exit(98);
}

/* cmocka keeps what an assertion has to say for the report of a test, which a judge's process never comes to: said at once. */
void cm_print_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cm_print_error(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    (void)vdprintf(2, format, ap);
    va_end(ap);
}
