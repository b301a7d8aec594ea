/* server/control/control.h - commands reach the vault process through its socket.   main (command line) -> [control] -> vault
 *
 * A Unix socket, 0600, in the vault's directory; the peer must be root or the vault's own user (SO_PEERCRED).  One command a connection:
 * wire "chatkluis-control-v1" || argument*, preceded by its u32 length; answers are frames u8 kind || u32 length || bytes:
 * 'o' a line for stdout, 'e' a line for stderr, 'x' the exit code as one byte, which ends it.
 */
#ifndef SERVER_CONTROL_H
#define SERVER_CONTROL_H

#include "kluis/base.h"

enum { CONTROL_ARGS_MAX = 64, CONTROL_REQUEST_MAX = 65536, CONTROL_LINE_MAX = 8 << 20, CONTROL_AT_ONCE = 8 };

/* What a command prints to: lines without '\n'. */
struct control_output {
    void *ctx;
    kluis_status (*line)(void *ctx, char kind, struct kluis_str line, struct kluis_err *err);
};
/* Runs one command; its status becomes the exit code, its error a line on stderr.  Called from one thread per connection. */
typedef kluis_status control_handler(void *ctx, int argc, const char *const *argv, const struct control_output *out, struct kluis_err *err);

struct control;
/* fd listens (server/local/local.h) and is taken over, also after a failure.  ctx is borrowed until control_stop. */
KLUIS_MUSTUSE kluis_status control_start(struct control **out, int fd, control_handler *handler, void *ctx, struct kluis_err *err);
void control_stop(struct control *c); /* waits for running commands */
/* Sends a command, copies its lines to stdout and stderr.  E_NOTFOUND: nobody listens there. */
KLUIS_MUSTUSE kluis_status control_call(const char *path, int argc, const char *const *argv, int *exit_code, struct kluis_err *err);

#endif
