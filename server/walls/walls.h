/* server/walls/walls.h - what a part of the server that was broken into may still do: its own directory, its sockets, little else.
 *
 * [walls] -> gate, tsa, vault, page.  Three mechanisms of Linux, each of which only ever takes away: no_new_privs, Landlock (files, and since
 * its fourth version TCP ports), seccomp.  The opener's children have narrower walls of their own (server/ingest/zygote.c).
 *
 * A wall holds for the calling thread and those it starts later; seccomp also for threads that run already.  So: everything is opened
 * that only the start needs, then walls_raise, then threads.
 */
#ifndef SERVER_WALLS_H
#define SERVER_WALLS_H

#include "kluis/base.h"

/* Bits of what stands. */
enum { WALL_PRIVILEGES = 1, WALL_FILES = 2, WALL_CALLS = 4, WALL_PORTS = 8 };

/* How many times longer a part, or the opener, may take to start and to end in a build that watches every access, where that takes minutes on a busy
 * machine and who is ended by force says nothing of what it saw.  The build that is shipped: 1. */
#ifdef KLUIS_UNWALLED
enum { WALLS_PATIENCE = 10 };
#else
enum { WALLS_PATIENCE = 1 };
#endif

enum { WALLS_PORTS_MAX = 64 };
struct walls {
    const char *dir;                /* the only tree it may read and write; borrowed.  NULL, and no names: it opens nothing  */
    bool folders;                   /* it makes and removes folders there, and sockets                                      */
    bool names;                     /* it finds hosts by name or asks public authorities: resolver files, NSS modules and roots stay readable */
    bool outward;                   /* it opens connections: to the ports below only                                        */
    bool binds;                     /* it still has to bind a port that the system chooses, or the last of the ports below  */
    bool local;                     /* it calls on a Unix socket of this machine: that family and no other                  */
    bool children;                  /* it ends and reaps a process that it started before                                   */
    uint16_t port[WALLS_PORTS_MAX]; /* TCP ports it may connect to                                                         */
    size_t n_ports;
    uint16_t bind_port; /* with binds: this one; 0: any that the system chooses                                 */
};

/* Raises what the kernel has; *standing says which walls that are.  E_IO: no seccomp (a part without it does not start), or privileges cannot be
 * given up.  What Landlock of this kernel lacks is not there and is logged.  In a build for the sanitizers only privileges go. */
KLUIS_MUSTUSE kluis_status walls_raise(const struct walls *w, unsigned *standing, struct kluis_err *err);

/* What a part tells of itself to the next one on the way to the vault, as a header "Chatkluis-Walls: BITS/USER" (PROTOCOL.md §6). */
enum { WALLS_TEXT = 24 };
struct walls_told {
    bool told;
    unsigned walls, user;
};
void walls_text(const struct walls_told *w, char out[WALLS_TEXT]);
/* Strict: two numbers without signs, spaces or needless zeros, no bit that is none.  false: not told. */
bool walls_text_read(struct kluis_str text, struct walls_told *out);

/* The TCP port of "http://host[:port]/…" or "https://…"; 0: it has none.  *named: the host is a name, no address. */
uint16_t walls_port_of(const char *url, bool *named);

/* What the calling thread does from here on can wait: it, and what it forks or starts, gives way to the rest of its process and to others who want
 * the processor (nice: WALLS_GIVE_WAY more than the process had when this was first asked for, or walls were raised).  Behind the walls this one call
 * stays allowed.  Where it is refused all stays as it was. */
enum { WALLS_GIVE_WAY = 5 };
void walls_give_way(void);

#endif
