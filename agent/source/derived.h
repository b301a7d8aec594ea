/* agent/source/derived.h - a key that takes long to derive from what a person knows is derived once a run.
 *
 * A source is opened anew for the attachments of each package: ten million rounds of a Finder backup are seconds each time.  What is kept is the
 * derived key, under a digest of all it depends on, in locked memory that is wiped; never the password.  One thread.
 */
#ifndef AGENT_SOURCE_DERIVED_H
#define AGENT_SOURCE_DERIVED_H

#include "kluis/base.h"

enum { DERIVED_KEY = 64, DERIVED_KEPT = 4, DERIVED_FROM_MAX = 8 };

/* Makes the key of `ctx`: all of `out`, of which the caller may use less.  A failure is not kept. */
typedef kluis_status derived_fn(const void *ctx, uint8_t out[DERIVED_KEY], struct kluis_err *err);

/* The key that `derive` makes of `from`, n parts (DERIVED_FROM_MAX at most) that say everything which it depends on: secret, salt, rounds.  scheme: a
 * literal, of whoever asks.  The longest unused makes room.  E_NOMEM, or what derive returns. */
KLUIS_MUSTUSE kluis_status derived_key(const char *scheme, const struct kluis_bytes *from, size_t n, derived_fn *derive, const void *ctx,
                                       uint8_t out[DERIVED_KEY], struct kluis_err *err);
void derived_forget(void);        /* wipes all of them; at the end of the run */
uint64_t derived_keys_made(void); /* by this process so far */

#endif
