/* tests/fault/fault.h - fault sweeps: the nth allocation fails, the nth I/O call fails, the machine dies at the nth durable step.
 *
 * HOW A SWEEP IS WRITTEN.  A program of its own (kluis_fault_sweep in CMakeLists.txt): a struct fault_subject, and a main that calls
 * fault_main.  The subject is real code over real files:
 *
 *   prepare(dir)   makes the state before, once, in a process of its own (it may start threads, servers, other programs).
 *   act(dir)       does the work that is swept, on a copy of that state; gives an exit code.  In a fresh fork per trial, armed.
 *   judge(dir, o)  what stands afterwards, looked at by a fresh process without faults: recover, then assert (cmocka's assert_…; a failed
 *                  one ends the process, which is a failed trial).  Also called after a run without a fault.
 *
 * What the machinery does: it stands in for libc's own functions in the sweep's program (calls.c: the executable's malloc, write, fsync …
 * come before libc's, also for SQLite, OpenSSL, libgcrypt, libcurl), and registers a VFS of the name "unix" over SQLite's own (vfs.c), so
 * that every database passes through it, the encrypted ones below their encryption.
 *
 *   FAULT_ALLOC   malloc, calloc, realloc, aligned ones, anonymous mmap (kluis_secret_new): once, or from n on.
 *   FAULT_IO      open, read, write, fsync, close, rename, unlink, mkdir, truncate, stat, directories, sockets, and SQLite's calls of
 *                 its VFS: EIO once; ENOSPC on everything that needs room from n on; a short transfer; EINTR.  The last two are no
 *                 failures: act must end as without a fault.
 *   FAULT_CRASH   before every fsync, rename, unlink, mkdir, truncate and after every kluis_durable_step.  disk.c knows what is not
 *                 synced: written bytes without an fsync of the file, names without an fsync of their directory.  At the crash these are
 *                 kept, dropped or garbled (enum fault_disk) and the process is gone.
 *
 * The rule of a trial: no leak of memory or descriptors (a suspicion is run again: it must grow each time; just as many blocks as the run without a
 * fault left, once, raise none), an exit code that is true (0, 74
 * or 75: a full disk is not a refusal of anybody's input; 0 only when judge agrees), no hang, judge content.  A library that aborts for want
 * of memory is a crash: counted, printed, judged.  A broken assertion or a segmentation fault is a failure, but for those libraries that calls.c
 * names.
 *
 * The test states `minimum`: the points that a run without a fault must pass.  In CI each class has a budget of trials: all points when they
 * fit, else a stride over them (printed), the same for every run of one build.
 *   KLUIS_FAULT=full        every point with every kind
 *   KLUIS_FAULT=steps       the run without a fault alone
 *   KLUIS_FAULT_OFFSET=K    another offset of the stride than the fixed one
 *   KLUIS_FAULT_ONLY=CLASS:N:KIND   one trial (as a failure prints it), with the place of the fault, leaked blocks and output on stderr
 *   KLUIS_FAULT_STEPS=FILE  writes the names of the durable steps that the crash class passes without a fault (covered.py reads them)
 *   KLUIS_FAULT_KEEP=1      the directory of a failed trial stays
 * One thread may act; more may run (the vault's), then the nth call differs from run to run and a failure may not repeat.  What act forks is not
 * armed.
 */
#ifndef KLUIS_TESTS_FAULT_H
#define KLUIS_TESTS_FAULT_H

#include "kluis/base.h"

enum fault_class { FAULT_ALLOC, FAULT_IO, FAULT_CRASH, FAULT_CLASSES };
enum fault_memory { MEMORY_ONCE, MEMORY_FROM, MEMORY_KINDS };
enum fault_io { IO_EIO, IO_ENOSPC, IO_SHORT, IO_EINTR, IO_KINDS };
/* Names: kept = what the directory said last; data: what was written.  MIXED: each 512 bytes and each directory by chance. */
enum fault_disk { DISK_KEPT, DISK_DROPPED, DISK_GARBLED, DISK_NAMES_ONLY, DISK_DATA_ONLY, DISK_MIXED, DISK_KINDS };

enum { FAULT_SECRET = 32 }; /* bytes of a secret */
struct fault_outcome {
    bool clean;     /* no fault was put in                                                    */
    bool died;      /* at the crash, or a library aborted: act did not return                 */
    int code;       /* of act, when it returned                                               */
    const char *op; /* what failed: "malloc", "fsync", "agent.pack.frozen"                    */
};
struct fault_subject {
    const char *name;
    void (*prepare)(void *ctx, const char *dir);
    int (*act)(void *ctx, const char *dir);
    void (*judge)(void *ctx, const char *dir, const struct fault_outcome *o);
    void *ctx;
    /* Around each trial, in the sweep's own process; may be NULL.  Starts and ends what act speaks to. */
    void (*before)(void *ctx, const char *dir);
    void (*after)(void *ctx);
    /* Writes up to `room` secrets of FAULT_SECRET bytes to out, gives their number: after act none of them may be in memory.  NULL: none. */
    size_t (*secrets)(void *ctx, const char *dir, uint8_t *out, size_t room);
    int clean_code;                  /* act's without a fault                                                     */
    unsigned minimum[FAULT_CLASSES]; /* faults that must have been put in; 0: fault_main leaves the class out */
    unsigned budget[FAULT_CLASSES];  /* trials in CI; 0: no ceiling                                                */
    bool (*code_ok)(int code);       /* with a fault; NULL: 0, 74, 75 and clean_code                              */
    int64_t kept_blocks; /* blocks that libraries keep of every run (calls.c names them): no more than these raise a suspicion of a leak */
    unsigned warm; /* runs in the sweep's own process before it forks, so that libraries' caches are full; 0: trials start cold, as programs do */
};
/* For act and judge: from now on a wait of this process with an end (pthread_cond_timedwait, nanosleep, poll up to a second) is so many times
 * shorter, and its monotonic clock goes on as if it had been whole: for work that pauses after trouble.  What is done between waits takes the time it
 * takes. */
void fault_hurry(unsigned times);
void fault_aside(bool on); /* what this thread does between true and false is the test's own: no point, no fault */
bool fault_lasts(void);    /* a fault that does not go away by itself has begun: act need not wait for its end */
void fault_over(void);     /* act: ... and now it is over: memory and disk are there again, for work that must go on by itself then */
/* Prints one line: points, trials, crashes, failures.  Gives the number of failures, a minimum that was missed included. */
unsigned fault_sweep(const struct fault_subject *s, enum fault_class c, bool planted);
/* The whole main of a sweep: every class of every subject, or the one class that it is given ("alloc", "io", "crash").  With the words "planted
 * CLASS": that class of the first subject alone, until the first failure; then 0 means that the planted defect was found. */
int fault_main(int argc, char **argv, const struct fault_subject *s, size_t n);

#endif
