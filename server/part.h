/* server/part.h - what the command line does inside the vault: wires vault, control socket, desk and commands. */
#ifndef SERVER_PART_H
#define SERVER_PART_H

#include "server/vault.h"

/* Makes a new home: keys, certificates, databases, trust.json.  name: HOST[:PORT] of the gate, or NULL.  E_REJECT: there is one already. */
KLUIS_MUSTUSE kluis_status part_init(const char *home, const char *organisation, const char *name, const char *const *hosts, size_t n_hosts,
                                     struct kluis_err *err);
/* Runs the vault until SIGTERM or SIGINT.  page_fd: a listening Unix socket by which the page server comes, or -1: H/vault/page.sock.  name: the
 * authority that devices use for the gate, NULL: host:port of the url. as: who becomes what
 * when root starts it, or NULL.  ready: see serve_ready. */
KLUIS_MUSTUSE kluis_status part_vault(const char *home, const char *gate_url, const char *name, int page_fd, const struct vault_users *as,
                                      int ready_fd, struct kluis_err *err);
/* One command: by the vault process that has this home, else here. */
KLUIS_MUSTUSE kluis_status part_ask(const char *home, int argc, const char *const *argv, int *exit_code, struct kluis_err *err);
/* The same for who has something to do afterwards: the vault that is opened here, and its walls with it, are a child's.  What it said stands on
 * stderr. */
KLUIS_MUSTUSE kluis_status part_ask_apart(const char *home, int argc, const char *const *argv, int *exit_code, struct kluis_err *err);
/* One command without a running vault, under the home's lock.  argv[0] is the command's name. */
KLUIS_MUSTUSE kluis_status part_command(const char *home, int argc, const char *const *argv, struct kluis_err *err);

#endif
