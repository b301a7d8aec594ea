/* server/serve.h - `serve`: one machine, four processes.   main -> [serve] -> {tsa, gate, vault, page}, each this program anew
 *
 * Every part is executed afresh, so that none inherits another's memory or descriptors; they meet over TLS like on two hosts, page and vault by a
 * Unix socket in the home, H/page.sock.  A part that dies
 * is started again (same address), five times a minute at most.
 *
 * Where root starts it and the system has the users kluis-gate, kluis-vault, kluis-opener, kluis-page and kluis-tsa, each part is one of them, and
 * H/gate, H/vault and H/tsa are theirs; where it has none of them, all parts are root, which is said; some of them only is E_USAGE.  Started by
 * anybody else, all parts are that user.
 */
#ifndef SERVER_SERVE_H
#define SERVER_SERVE_H

#include "kluis/base.h"

struct serve_config {
    const char *home, *listen, *name, *page;
}; /* name: of the gate, for devices; NULL: the address it listens on */
/* Returns after SIGTERM or SIGINT ended all parts: OK; or E_IO when one cannot be kept running. */
KLUIS_MUSTUSE kluis_status serve_run(const struct serve_config *c, struct kluis_err *err);

/* What a part does when it works: one line to the descriptor that `serve` gave it as --ready-fd; -1 prints it to stdout. */
KLUIS_MUSTUSE kluis_status serve_ready(int fd, const char *line, struct kluis_err *err);
/* Blocks SIGTERM and SIGINT for this thread and all later ones; serve_wait returns when one of them comes. */
void serve_block_signals(void);
void serve_wait(void);
bool serve_wait_ms(unsigned ms); /* false: none came in that time */
/* One of them has come to a thread that blocks them. */
bool serve_stop_asked(void);
/* A part that is alive and waits says so to `serve`, more often than every SERVE_READY_S; -1: nobody wants to know. */
enum { SERVE_READY_S = 60 };
void serve_beat(int fd);

#endif
