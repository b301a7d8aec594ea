/* server/ingest/zygote.h - a process that never held a key and forks one walled child per package.
 *
 * The vault starts it first of all, before it loads a key, opens a database or starts a thread; it closes every descriptor but
 * its socket and loads the libraries' tables.  A child gets three descriptors and nothing else: no files (Landlock, seccomp), no
 * sockets, no other process, memory, processor time and wall-clock ceilings set by the kernel.
 */
#ifndef SERVER_INGEST_ZYGOTE_H
#define SERVER_INGEST_ZYGOTE_H

#include "server/walls/user.h"

enum zygote_job { ZYGOTE_OPEN = 1, ZYGOTE_JUDGE = 2 };
enum { ZYGOTE_WALL_PRIVILEGES = 1, ZYGOTE_WALL_FILES = 2, ZYGOTE_WALL_CALLS = 4 }; /* no_new_privs, Landlock, seccomp */
enum {
    ZYGOTE_RESULT_MAX = 256 << 20, /* bytes a child may answer                               */
    ZYGOTE_REQUEST_MAX = 16 << 20,
    ZYGOTE_OPEN_SECONDS = 300,
    ZYGOTE_OPEN_CPU = 120,
    ZYGOTE_JUDGE_SECONDS = 20,
    ZYGOTE_JUDGE_CPU = 10,
    ZYGOTE_MEMORY = 1 << 30 /* of a child: its data, and address space beyond the zygote's */
};

struct zygote;
/* as: whom it becomes before it loads anything; NULL: it stays who the caller is.  Statuses: E_IO, E_NOMEM, E_BUG, E_BUSY (no process,
 * or none that ran within a minute: try again).  The caller must be
 * single-threaded and hold no secret. */
KLUIS_MUSTUSE kluis_status zygote_start(struct zygote **out, const struct walls_user *as, struct kluis_err *err);
void zygote_free(struct zygote *z); /* ends it; NULL: no-op */
KLUIS_DEFINE_CLEANUP(zygote)
/* Has it ended (want of memory may strike it)?  No other can be made: whoever called zygote_start has threads and secrets by now. */
bool zygote_gone(const struct zygote *z);
unsigned zygote_walls(const struct zygote *z);
unsigned zygote_user(const struct zygote *z);
/* Runs one job in a fresh child and appends what it answered to `result`; any thread, several at once.  input: a descriptor to read
 * (-1: none).  OK: the child ended by itself or not, `result` holds what it said: judge it as hostile.  E_LIMIT: it said too much or
 * took too long.  E_BUSY: no child could be made, try again (in vain once zygote_gone). */
KLUIS_MUSTUSE kluis_status zygote_run(struct zygote *z, enum zygote_job job, int input, struct kluis_bytes request, struct kluis_buf *result,
                                      struct kluis_err *err);

/* ---- what runs inside, in objects of their own (a test links a lying opener): they answer on `result` and return ---- */
void children_warm(void);
void opener_child(int cipher, int request, int result);
void judge_child(int request, int result);

#endif
