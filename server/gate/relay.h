/* relay.h - passes RFC 3161 requests on to the configured authorities, in order, outside the threads that serve.
 *
 * A job goes in, its callback comes once, from a worker's thread, with a response or without.  Bounded queue; each authority rests for a
 * while after a failure, longer each time.  Thread-safe. */
#ifndef SERVER_GATE_RELAY_H
#define SERVER_GATE_RELAY_H

#include "server/walls/walls.h"

enum { GATE_RELAY_QUEUE = 64, GATE_RELAY_RESPONSE_MAX = 256 << 10, GATE_RELAY_TIMEOUT_MS = 5000 };
struct gate_relay;
struct gate_relay_job {
    struct kluis_bytes request;               /* borrowed until the callback */
    void (*done)(struct gate_relay_job *job); /* `response` is filled, or empty: no authority answered */
    void *ctx;
    struct kluis_buf response; /* initialised by gate_relay_ask; freed by the job's owner */
    struct gate_relay_job *next;
};

KLUIS_MUSTUSE kluis_status gate_relay_start(struct gate_relay **out, const char *const *urls, size_t n, uint32_t workers, struct kluis_err *err);
/* E_BUSY: none configured, all resting, or too many wait; then there is no callback. */
KLUIS_MUSTUSE kluis_status gate_relay_ask(struct gate_relay *r, struct gate_relay_job *job, struct kluis_err *err);
/* Seconds until an authority may be asked again, at least 1. */
uint32_t gate_relay_rest_s(struct gate_relay *r);
/* What the authority that answered last said of its walls: the embedded one does, others do not. */
void gate_relay_walls(struct gate_relay *r, struct walls_told *out);
/* Aborts what is under way; every job has had its callback when this returns, and none is taken any more. */
void gate_relay_halt(struct gate_relay *r);
void gate_relay_free(struct gate_relay *r); /* halts first; NULL: no-op */

/* One complete DER SEQUENCE and nothing after it.  Pure. */
bool gate_der_sequence(struct kluis_bytes der);
/* PKIStatus of a TimeStampResp, or -1 when it is none. Pure. */
int gate_time_status(struct kluis_bytes response);

#endif
