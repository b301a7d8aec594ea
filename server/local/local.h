/* server/local/local.h - Unix sockets between the processes of one machine: a socket at a path, a thread for each connection, frames.
 *
 * [local] -> control (commands reach the vault), access and desk (the page server asks the vault).  A frame is u8 kind || u32 length, big-endian ||
 * bytes.  Whoever listens before the walls go up needs no call for it afterwards.
 */
#ifndef SERVER_LOCAL_H
#define SERVER_LOCAL_H

#include "kluis/base.h"

enum { LOCAL_HEAD = 5, LOCAL_SECONDS = 60 };

/* A listening socket at `path`, 0600 from its first moment; one left by a dead process is replaced.  The caller has one thread.  E_USAGE: the path is
 * too long for a socket (107 bytes); E_IO. */
KLUIS_MUSTUSE kluis_status local_listen(const char *path, int *fd, struct kluis_err *err);
/* A connection; reading and writing on it wait at most `seconds` (0: for ever).  E_NOTFOUND: nobody listens there; E_USAGE, E_IO. */
KLUIS_MUSTUSE kluis_status local_connect(const char *path, unsigned seconds, int *fd, struct kluis_err *err);

/* All n bytes, or E_IO: the other side is gone or too slow. */
KLUIS_MUSTUSE kluis_status local_send(int fd, const void *p, size_t n, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status local_receive(int fd, void *p, size_t n, struct kluis_err *err);
void local_put32(uint8_t out[4], size_t v);
size_t local_get32(const uint8_t p[4]);
/* One frame, in as few calls as it takes.  (Last words to somebody who may be gone: their status may go unread.) */
kluis_status local_frame(int fd, char kind, const void *p, size_t n, struct kluis_err *err);
/* The next frame; its bytes are appended to b, whose ceiling is the frame's.  E_LIMIT: longer; E_IO: none came, or less than it said. */
KLUIS_MUSTUSE kluis_status local_unframe(int fd, char *kind, struct kluis_buf *b, struct kluis_err *err);

/* Serves connections: called in a thread of its own for each, which closes fd afterwards. */
typedef void local_handler(void *ctx, int fd);
struct local_config {
    int fd;                /* listening; taken over, also after a failure   */
    unsigned at_once;      /* connections; those beyond it get `full`       */
    unsigned seconds;      /* that reading from one may wait; 0: for ever   */
    local_handler *handle; /* in its thread                                 */
    local_handler *full;   /* in the accepting thread: short; or NULL       */
    void *ctx;             /* borrowed until local_stop                     */
};
struct local;
KLUIS_MUSTUSE kluis_status local_start(struct local **out, const struct local_config *c, struct kluis_err *err);
/* Nothing more is read from any connection; returns when their handlers have.  NULL: no-op. */
void local_stop(struct local *l);

#endif
