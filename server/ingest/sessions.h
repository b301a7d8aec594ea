/* server/ingest/sessions.h - libsignal's store, buffered: nothing touches custody.db before the caller's own transaction does.
 *
 * Lock, use as kluis_session_store, flush inside a custody transaction (or undo), unlock.  One thread at a time holds the lock.
 */
#ifndef SERVER_INGEST_SESSIONS_H
#define SERVER_INGEST_SESSIONS_H

#include "kluis/envelope.h"
#include "server/custody/custody.h"

struct sessions;
KLUIS_MUSTUSE kluis_status sessions_open(struct sessions **out, struct custody *c, struct kluis_err *err);
void sessions_free(struct sessions *s);
void sessions_lock(struct sessions *s);
void sessions_unlock(struct sessions *s); /* what was not flushed is forgotten */
const struct kluis_session_store *sessions_store(struct sessions *s);
size_t sessions_mark(struct sessions *s); /* a point to go back to: after a call of libsignal failed */
void sessions_undo(struct sessions *s, size_t mark);
KLUIS_MUSTUSE kluis_status sessions_flush(struct sessions *s, struct kluis_err *err); /* writes the rows; forgotten by sessions_unlock */

#endif
