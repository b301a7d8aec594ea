/* strangers.h - how often an address may be refused: what is no route, or no login at all.
 *
 * Whoever signs rightly is never counted, so that a scanner in an office keeps none of its neighbours out.  Any thread.
 */
#ifndef SERVER_GATE_STRANGERS_H
#define SERVER_GATE_STRANGERS_H

#include <sys/socket.h>

#include "kluis/base.h"

struct gate_strangers;
/* per_minute: refusals that an address (an IPv6 network of 64 bits) may collect at once and gets back within a minute.  E_NOMEM. */
KLUIS_MUSTUSE kluis_status gate_strangers_new(struct gate_strangers **out, uint32_t per_minute, struct kluis_err *err);
void gate_strangers_free(struct gate_strangers *s); /* NULL: no-op */
/* Counts one refusal.  false: this address has had its share; answer it as shortly as can be. */
bool gate_strangers_refused(struct gate_strangers *s, const struct sockaddr *who, int64_t now_us);

#endif
