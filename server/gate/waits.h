/* waits.h - requests that wait for something to happen, without a thread each: suspended connections in one bounded list.
 *
 * A topic is a kind and a key.  Read its mark, look whether there is something, and if not, sleep on the mark: a wake in between is
 * never lost.  Thread-safe. */
#ifndef SERVER_GATE_WAITS_H
#define SERVER_GATE_WAITS_H

#include <microhttpd.h>

#include "kluis/base.h"
#include "server/gate/route.h"

enum gate_topic { GATE_TOPIC_VAULT, GATE_TOPIC_DEVICE, GATE_TOPIC_TICKET };
struct gate_wait { /* the waiter's own memory; zeroed before its first use */
    enum gate_topic topic;
    char key[GATE_ID_TEXT]; /* device id or ticket, "" for the vault */
    int64_t until_us;       /* monotonic */
    struct MHD_Connection *connection;
    struct gate_wait *next, *before;
    bool listed;
};
enum gate_slept { GATE_SLEPT, GATE_CHANGED, GATE_CROWDED, GATE_STOPPING };

struct gate_waits;
KLUIS_MUSTUSE kluis_status gate_waits_new(struct gate_waits **out, uint32_t ceiling, struct kluis_err *err);
void gate_waits_free(struct gate_waits *w);
uint64_t gate_waits_mark(struct gate_waits *w, enum gate_topic topic, const char *key);
/* Suspends the connection, from its own handler, until a wake, until_us or the stop; GATE_CHANGED: look again, there was a wake since. */
enum gate_slept gate_waits_sleep(struct gate_waits *w, struct gate_wait *wait, uint64_t mark);
void gate_waits_wake(struct gate_waits *w, enum gate_topic topic, const char *key);
void gate_waits_tick(struct gate_waits *w, int64_t now_us);
void gate_waits_stop(struct gate_waits *w); /* wakes all; nobody sleeps any more */
bool gate_waits_stopping(struct gate_waits *w);
uint32_t gate_waits_count(struct gate_waits *w);
/* For suspensions that others end: whoever suspends and whoever resumes does it between these two. */
void gate_waits_lock(struct gate_waits *w);
void gate_waits_unlock(struct gate_waits *w);

#endif
