/* changes.h - what must be on disk before it is answered: done by a few threads of their own, many requests between two waits for the disk.
 *
 * The threads that speak TLS never wait for a disk: a slow one delays what changes something, not handshakes, reading and refusals.  Requests that
 * wait here are at most as many as there are connections; how long the oldest has waited says when the gate takes no more (answer 503). */
#ifndef SERVER_GATE_CHANGES_H
#define SERVER_GATE_CHANGES_H

#include <microhttpd.h>

#include "server/gate/uploads.h"

enum { GATE_LATE_S = 5, GATE_LATE_MAX_S = 60 }; /* a change that waited so long: others are sent away, to come back within the other */

struct gate_request;
struct gate_change_kind {
    kluis_status (*work)(struct gate_request *r, struct kluis_err *err);  /* in gate.db; on disk when `after` is called               */
    kluis_status (*after)(struct gate_request *r, struct kluis_err *err); /* when work gave OK; NULL: nothing; its status counts then */
    enum MHD_Result (*tell)(struct gate_request *r);                      /* the answer; on the connection's thread                      */
};
/* Part of a request. */
struct gate_change {
    struct gate_change *next;
    struct gate_request *request;
    struct MHD_Connection *connection;
    const struct gate_change_kind *kind;
    struct gate_chunk *chunk; /* whose bytes go to the disk first; NULL: none */
    int64_t asked_us;
    kluis_status rc;
    struct kluis_err err;
    bool ready; /* under the lock of changes */
};

struct gate_changes;
KLUIS_MUSTUSE kluis_status gate_changes_start(struct gate_changes **out, struct gate_store *store, struct gate_uploads *uploads,
                                              struct kluis_err *err);
void gate_changes_halt(struct gate_changes *g); /* what waits is done, nothing more is taken; NULL: no-op */
void gate_changes_free(struct gate_changes *g);
/* Suspends the connection until the change was made; false: halted, nothing was done. */
bool gate_changes_ask(struct gate_changes *g, struct gate_change *c);
bool gate_changes_ready(struct gate_changes *g, const struct gate_change *c);
/* 0, or after how many seconds one should come back: the oldest change has waited for more than GATE_LATE_S. */
unsigned gate_changes_late_s(struct gate_changes *g);

#endif
