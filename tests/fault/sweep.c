/* tests/fault/sweep.c - runs the trials of a sweep and judges them.  See fault.h. */
#include "tests/fault/internal.h"
#include "tests/fault/tree.h"
#include "tests/support/test_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OFFSET = 20784 }; /* where a stride begins: fixed, so that the date turns no run red */
enum { PATIENCE_S = 180 /* a busy machine is no hang */, FAILURES_TOLD = 12 };

static const char *const CLASS[] = { "alloc", "io", "crash" };
static const char *const MEMORY[] = { "once", "from" };
static const char *const IO[] = { "eio", "enospc", "short", "eintr" };
static const char *const DISK[] = { "kept", "dropped", "garbled", "names-only", "data-only", "mixed" };
static const struct {
    const char *const *names;
    int n;
} KINDS[] = { { MEMORY, MEMORY_KINDS }, { IO, IO_KINDS }, { DISK, DISK_KINDS } };

struct sweep {
    const struct fault_subject *s;
    enum fault_class class;
    struct trial *t;                                        /* shared with the children */
    char base[64], now[80], before[80], again[80], out[80]; /* directories; out: what the trial said */
    bool only;
    int64_t held;    /* blocks that a run without a fault leaves, when it was seen that it leaves them once (caches of libraries) */
    uint64_t points; /* of the last trial */
    unsigned trials, hits, crashes, aborts, failures;
    char told[FAILURES_TOLD][256]; /* of each failure a line, said again at the end: what it said itself is long */
};

static void run_name(const struct sweep *w, char out[96])
{
    (void)snprintf(out, 96, "%s:%llu:%s", CLASS[w->class], (unsigned long long)w->t->at, KINDS[w->class].names[w->t->kind]);
}

/* Its end: what went wrong is said last. */
static void tell_output(const struct sweep *w)
{
    char text[2048];
    int fd = open(w->out, O_RDONLY | O_CLOEXEC);
    struct stat st;
    off_t from = fd >= 0 && fstat(fd, &st) == 0 && st.st_size >= (off_t)sizeof text ? st.st_size - (off_t)sizeof text + 1 : 0;
    ssize_t n = fd < 0 ? 0 : pread(fd, text, sizeof text - 1, from);
    if (fd >= 0) { (void)close(fd); }
    text[n > 0 ? n : 0] = '\0';
    (void)printf("    %s%s\n", from > 0 ? "… " : "", n > 0 ? text : "(it said nothing)");
}

static void failed(struct sweep *w, const char *why)
{
    char name[96];
    run_name(w, name);
    if (w->failures++ >= FAILURES_TOLD) { return; }
    char *line = w->told[w->failures - 1];
    (void)snprintf(line, sizeof w->told[0], "  FAILED %s %s (%s): %s\n", w->s->name, name, w->t->op[0] == '\0' ? "no fault" : w->t->op, why);
    (void)fputs(line, stdout);
    if (!w->only) { tell_output(w); }
    (void)fflush(stdout);
}

/* Fresh directories for one trial. */
static void restore(const struct sweep *w)
{
    char stash[96];
    (void)snprintf(stash, sizeof stash, "%s.stash", w->now);
    tree_remove(stash);
    tree_restore(w->before, w->now);
    if (mkdir(stash, 0700) != 0) { abort(); }
}

static void quiet(const struct sweep *w, bool append)
{
    if (w->only) { return; }
    int fd = open(w->out, O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), 0600);
    if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0) { _exit(97); }
    (void)close(fd);
}

static int act_once(const struct sweep *w, struct trial *t)
{
    int64_t blocks = calls_blocks(), mapped = calls_mapped();
    int fds = calls_fds();
    atomic_store(&t->points, 0);
    atomic_store(&t->over, false);
    t->hit = false;
    t->n_last = 0;
    calls_arm(t, w->now);
    int code = w->s->act(w->s->ctx, w->now);
    calls_disarm();
    t->blocks = calls_blocks() - blocks;
    t->bytes_mapped = calls_mapped() - mapped;
    t->fds = calls_fds() - fds;
    return code;
}

static void before(const struct sweep *w)
{
    restore(w);
    if (w->s->before != NULL) { w->s->before(w->s->ctx, w->now); }
}

static void after(const struct sweep *w)
{
    if (w->s->after != NULL) { w->s->after(w->s->ctx); }
}

/* Libraries fill caches; what is lost is lost each time. */
static bool grows(const struct sweep *w, struct trial *t, bool trace)
{
    for (int i = 0; i < 3; i++) {
        after(w);
        before(w);
        if (trace && i == 2) { calls_trace_blocks(true); }
        (void)act_once(w, t);
        t->fds -= calls_library_fds(t);
        if (trace && i == 2) { t->blocks -= calls_library_blocks(t); }
        if (t->blocks <= 0 && t->bytes_mapped <= 0 && t->fds <= 0) { return false; }
    }
    return true;
}

static _Noreturn void child(const struct sweep *w)
{
    struct trial *t = w->t;
    quiet(w, false);
    (void)alarm(PATIENCE_S);
    t->code = act_once(w, t);
    t->returned = true;
    if (t->trace) { calls_tell_frames(t->frames, t->n_frames); }
    if (w->s->secrets != NULL && t->class != FAULT_CRASH && secrets_stand(w->s, w->now)) { _exit(4); }
    bool more = t->blocks > w->s->kept_blocks && t->blocks != w->held;
    _exit(t->class != FAULT_CRASH && (more || t->bytes_mapped > 0 || t->fds > 0) ? 3 : 0);
}

/* The same trial again in a process of its own, several times. */
static _Noreturn void leak_child(const struct sweep *w)
{
    struct trial *t = w->t;
    quiet(w, true);
    (void)alarm(4 * PATIENCE_S);
    (void)act_once(w, t);
    bool leak = grows(w, t, true);
    after(w);
    if (leak) {
        (void)dprintf(2, "each time: %lld blocks, %lld mapped bytes, %d descriptors\n", (long long)t->blocks, (long long)t->bytes_mapped, t->fds);
        calls_tell_blocks();
    }
    _exit(leak ? 3 : 0);
}

static _Noreturn void judge_child(const struct sweep *w, const struct fault_outcome *o)
{
    quiet(w, true);
    (void)alarm(PATIENCE_S);
    w->s->judge(w->s->ctx, w->now, o);
    _exit(0);
}

static int wait_for(pid_t pid)
{
    int status = 0;
    if (pid < 0) { abort(); }
    while (waitpid(pid, &status, 0) != pid) {
        if (errno != EINTR) { abort(); }
    }
    return status;
}

static bool code_true(const struct fault_subject *s, const struct trial *t)
{
    /* SQLite takes an interrupted sync for a failed one, and says so. */
    bool sync = strcmp(t->op, "fsync") == 0 || strcmp(t->op, "fdatasync") == 0;
    if (!t->hit || (t->class == FAULT_IO && t->kind >= IO_SHORT && !sync)) { return t->code == s->clean_code; }
    if (s->code_ok != NULL) { return s->code_ok(t->code); }
    return t->code == 0 || t->code == 74 || t->code == 75 || t->code == s->clean_code;
}

static void one_trial(struct sweep *w, uint64_t at, int kind)
{
    const struct fault_subject *s = w->s;
    struct trial *t = w->t;
    char why[96];
    memset(t, 0, sizeof *t);
    t->class = w->class;
    t->at = at;
    t->kind = kind;
    t->trace = w->only;
    unsigned had = w->failures;
    (void)fflush(stdout);
    before(w);
    pid_t pid = fork();
    if (pid == 0) { child(w); }
    int status = wait_for(pid);
    w->points = atomic_load(&t->points); /* looking for leaks counts anew */
    bool signalled = WIFSIGNALED(status), planned = signalled && WTERMSIG(status) == SIGKILL && w->class == FAULT_CRASH && t->hit;
    bool aborted =
        signalled && t->hit && w->class == FAULT_ALLOC && (WTERMSIG(status) == SIGABRT || (WTERMSIG(status) == SIGSEGV && calls_library_dies(t)));
    w->trials++;
    w->hits += t->hit;
    w->crashes += planned;
    w->aborts += aborted;
    if (t->trace && (signalled || !t->returned)) { calls_tell_frames(t->frames, t->n_frames); }
    if (signalled && WTERMSIG(status) == SIGALRM) {
        failed(w, "it hangs");
    } else if (signalled && !planned && !aborted) {
        (void)snprintf(why, sizeof why, "it died of signal %d", WTERMSIG(status));
        failed(w, why);
    } else if (t->broken_assert) {
        failed(w, "an assertion is broken");
    } else if (!signalled && !t->returned) {
        (void)snprintf(why, sizeof why, "it ended with exit code %d by itself", WEXITSTATUS(status));
        failed(w, why);
    } else if (!signalled && !code_true(s, t)) {
        (void)snprintf(why, sizeof why, "its exit code is %d", t->code);
        failed(w, why);
    } else if (!signalled && WEXITSTATUS(status) == 4) {
        failed(w, "a secret stays in memory");
    }
    struct fault_outcome o = { .clean = !t->hit, .died = signalled, .code = t->code, .op = t->op };
    if (w->failures == had) { /* what failed already needs no second reason */
        pid = fork();
        if (pid == 0) { judge_child(w, &o); }
        int judged = wait_for(pid);
        if (judged != 0) {
            (void)snprintf(why, sizeof why,
                           WIFSIGNALED(judged) ? "the judge died of signal %d (act: %d)" : "what stands afterwards is wrong (judge: %d, act: %d)",
                           WIFSIGNALED(judged) ? WTERMSIG(judged) : WEXITSTATUS(judged), signalled ? -WTERMSIG(status) : t->code);
            failed(w, why);
        }
    }
    if (w->failures == had && !signalled && WEXITSTATUS(status) == 3) {
        after(w);
        before(w);
        int64_t left = t->blocks; /* of this run; the repetitions say theirs in its place */
        pid = fork();
        if (pid == 0) { leak_child(w); }
        int leaks = wait_for(pid); /* a library that aborts in one of the repetitions has answered another question */
        if (WIFEXITED(leaks) && WEXITSTATUS(leaks) != 0) { failed(w, "something leaks"); }
        if (o.clean && w->failures == had) { w->held = left; }
    }
    after(w);
}

/* For covered.py: which named steps this sweep's run without a fault passes. */
static void tell_steps(const struct trial *t)
{
    const char *path = getenv("KLUIS_FAULT_STEPS");
    if (path == NULL || t->class != FAULT_CRASH) { return; }
    FILE *f = fopen(path, "ae");
    for (unsigned i = 0; f != NULL && i < t->n_steps; i++) { (void)fprintf(f, "%s\n", t->step[i]); }
    if (f == NULL || fclose(f) != 0) { abort(); }
}

static uint64_t gcd(uint64_t a, uint64_t b) { return b == 0 ? a : gcd(b, a % b); }

static bool only_this(struct sweep *w)
{
    const char *only = getenv("KLUIS_FAULT_ONLY");
    if (only == NULL) { return false; }
    char class[16], kind[16];
    unsigned long long at;
    if (sscanf(only, "%15[a-z]:%llu:%15[a-z-]", class, &at, kind) != 3) { return false; }
    w->only = true;
    for (int k = 0; strcmp(class, CLASS[w->class]) == 0 && k < KINDS[w->class].n; k++) {
        if (strcmp(kind, KINDS[w->class].names[k]) != 0) { continue; }
        one_trial(w, at, k);
        (void)printf("fault: %s, %s: %s after %llu points\n", w->s->name, only, w->t->hit ? w->t->op : "no fault", (unsigned long long)w->points);
    }
    return true;
}

unsigned fault_sweep(const struct fault_subject *s, enum fault_class c, bool planted)
{
    struct kluis_err err = { 0 };
    struct sweep w = { .s = s, .class = c };
    const char *mode = getenv("KLUIS_FAULT"), *offset_text = getenv("KLUIS_FAULT_OFFSET");
    bool full = mode != NULL && strcmp(mode, "full") == 0, keep = getenv("KLUIS_FAULT_KEEP") != NULL;
    vfs_over_sqlite();
    if (kluis_base_init(&err) != KLUIS_OK || !test_dir("fault", w.base, sizeof w.base)) { abort(); }
    (void)snprintf(w.now, sizeof w.now, "%s/now", w.base);
    (void)snprintf(w.before, sizeof w.before, "%s/before", w.base);
    (void)snprintf(w.out, sizeof w.out, "%s/said", w.base);
    w.t = mmap(NULL, sizeof *w.t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (w.t == MAP_FAILED || mkdir(w.now, 0700) != 0) { abort(); }
    pid_t pid = fork();
    if (pid == 0) {
        s->prepare(s->ctx, w.now);
        exit(0); /* its temporary directories go */
    }
    int prepared = wait_for(pid);
    if (prepared != 0) {
        (void)printf("fault: %s: the state before cannot be made (%d)\n", s->name, prepared);
        return 1;
    }
    tree_restore(w.now, w.before);
    int out = dup(1), told = dup(2);
    for (unsigned i = 0; i < s->warm; i++) { /* in this process, whose children then start warm */
        before(&w);
        quiet(&w, false);
        int code = s->act(s->ctx, w.now);
        (void)fflush(stdout);
        if (dup2(out, 1) < 0 || dup2(told, 2) < 0) { abort(); }
        after(&w);
        if (code != s->clean_code) {
            (void)printf("fault: %s: without a fault it gives %d, not %d\n", s->name, code, s->clean_code);
            tell_output(&w);
            return 1;
        }
    }
    (void)close(out);
    (void)close(told);
    if (only_this(&w)) { return w.failures; }
    struct timespec began, ended;
    (void)clock_gettime(CLOCK_MONOTONIC, &began);
    one_trial(&w, UINT64_MAX, 0);
    tell_steps(w.t);
    if (mode != NULL && strcmp(mode, "steps") == 0) { return w.failures; }
    uint64_t points = w.points, kinds = (uint64_t)KINDS[c].n, total = points * kinds;
    uint64_t stride = full || s->budget[c] == 0 || total <= s->budget[c] ? 1 : total / s->budget[c];
    while (stride > 1 && gcd(stride, kinds) != 1) { stride++; } /* else a kind would never have its turn */
    uint64_t offset = stride <= 1 || planted ? 0 : (offset_text != NULL ? strtoull(offset_text, NULL, 10) : OFFSET) % stride;
    unsigned missed = 0;
    for (uint64_t i = offset;; i += stride) {
        uint64_t n = i / kinds;
        one_trial(&w, n, (int)(i % kinds));
        missed = w.t->hit ? 0 : missed + 1;
        if (n + 1 >= points && (missed >= kinds || stride > 1)) { /* n is not reached any more */
            if (!planted || stride == 1 || w.failures > 0) { break; }
            i = UINT64_MAX; /* not found on the way: every point, from the first one on */
            stride = 1;
        }
        if (planted && w.failures > 0) { break; }
        if (keep && w.failures > 0) {
            (void)printf("  kept: %s\n", w.now);
            _exit(1);
        }
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &ended);
    for (unsigned i = 0; i < w.failures && i < FAILURES_TOLD; i++) { (void)fputs(w.told[i], stdout); }
    if (!planted && w.hits < s->minimum[c]) {
        (void)printf("  FAILED %s: %u faults were put in, at least %u are asked for\n", s->name, w.hits, s->minimum[c]);
        w.failures++;
    }
    (void)printf("fault: %s, %s: %llu points, %u faults put in (stride %llu, offset %llu), %u crashes, %u aborts of libraries, %u failures, %lld s\n",
                 s->name, CLASS[c], (unsigned long long)points, w.hits, (unsigned long long)stride, (unsigned long long)offset, w.crashes, w.aborts,
                 w.failures, (long long)(ended.tv_sec - began.tv_sec));
    (void)munmap(w.t, sizeof *w.t);
    return w.failures;
}

int fault_main(int argc, char **argv, const struct fault_subject *s, size_t n)
{
    if (argc == 3 && strcmp(argv[1], "planted") == 0) {
        for (int c = 0; c < FAULT_CLASSES; c++) {
            if (strcmp(argv[2], CLASS[c]) == 0) { return fault_sweep(s, (enum fault_class)c, true) > 0 ? 0 : 1; }
        }
        return 64;
    }
    const char *steps = getenv("KLUIS_FAULT_STEPS");
    if (steps != NULL && unlink(steps) != 0 && errno != ENOENT) { abort(); } /* of another run */
    unsigned failures = 0;
    for (size_t i = 0; i < n; i++) {
        for (int c = 0; c < FAULT_CLASSES; c++) {
            if (s[i].minimum[c] > 0 && (argc < 2 || strcmp(argv[1], CLASS[c]) == 0)) { failures += fault_sweep(&s[i], (enum fault_class)c, false); }
        }
    }
    return failures == 0 ? 0 : 1;
}
