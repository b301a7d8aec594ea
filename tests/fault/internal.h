/* tests/fault/internal.h - what the machinery's files share. */
#ifndef KLUIS_TESTS_FAULT_INTERNAL_H
#define KLUIS_TESTS_FAULT_INTERNAL_H

#include "tests/fault/fault.h"

#include <stdatomic.h>

enum { FRAMES = 48, STEPS = 128, STEP_NAME = 48, OWN_FD = 600 }; /* descriptors of the machinery itself stand from OWN_FD on */

/* What a trial does and what came of it, in memory that parent and child share. */
struct trial {
    enum fault_class class;
    int kind;
    uint64_t at; /* UINT64_MAX: count only */
    bool trace;
    /* written by the child */
    atomic_uint_fast64_t points;
    bool hit, returned, broken_assert;
    int code;
    char op[64], where[256];
    int64_t blocks, bytes_mapped; /* act left so many more than it found */
    int fds;
    int n_frames;
    void *frames[FRAMES];
    int n_last; /* where it died of SIGSEGV, if it did */
    void *last[FRAMES];
    atomic_bool over; /* what lasted is over */
    unsigned n_steps; /* of a run without a fault: the durable steps that it passed, each name once */
    char step[STEPS][STEP_NAME];
};
extern struct trial *fault_trial; /* NULL: nothing is armed */

void calls_arm(struct trial *t, const char *root);
void calls_disarm(void);
int64_t calls_blocks(void);
int64_t calls_mapped(void);
int calls_fds(void);
void calls_trace_blocks(bool on);                    /* from now on blocks remember who asked for them */
int64_t calls_library_blocks(const struct trial *t); /* of these, how many are a library's known losses after t's fault; they are not told */
int calls_library_fds(const struct trial *t);        /* and so many descriptors */
bool calls_library_dies(const struct trial *t);      /* the fault was put into a library that is known to die of it */
void calls_tell_blocks(void);                        /* prints those that still live, on stderr */
void calls_tell_frames(void *const *frames, int n);

/* A point of the I/O class: 0, or the errno to fail with; *shorter: transfer less than asked. */
int fault_io_point(const char *op, bool needs_room, bool transfers, bool may_interrupt, bool *shorter);
bool fault_armed(enum fault_class c);

/* disk.c: all calls under its own lock, real system calls only. */
void disk_watch(const char *root);
struct disk_change;
struct disk_change *disk_will_write(int fd, uint64_t at, const void *p, size_t n);
struct disk_change *disk_will_truncate(int fd, uint64_t size);
void disk_did(struct disk_change *c, int64_t n); /* n: bytes written, 0 for a truncation, -1: it failed */
void disk_synced(int fd);
bool disk_knows(const char *path); /* it lies below the root */
bool disk_holds(int fd);           /* a file or directory with a name below the root: what is done to it lasts */
void disk_created(const char *path, bool folder);
void disk_will_replace(const char *path, char stash[KLUIS_PATH_MAX]); /* stash "": nothing was there */
void disk_renamed(const char *from, const char *to, const char *stash);
void disk_removed(const char *path, const char *stash);
void disk_crash(enum fault_disk how, uint64_t seed);

/* What the subject calls secret must be nowhere in the memory that can be written; true: it is, and where is told on stderr. */
bool secrets_stand(const struct fault_subject *s, const char *dir);

void vfs_over_sqlite(void);

#endif
