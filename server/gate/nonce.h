/* nonce.h - nonces that need no memory until one is used (docs/PROTOCOL.md §5.1).
 *
 * A nonce proves its own age by the gate's key; only accepted ones are remembered, for as long as they would still be good, in two
 * generations of bounded size.  Thread-safe.  The clock is the caller's: seconds that never go back. */
#ifndef SERVER_GATE_NONCE_H
#define SERVER_GATE_NONCE_H

#include "kluis/base.h"

enum { GATE_NONCE_TEXT = 44 };
struct gate_nonces;

KLUIS_MUSTUSE kluis_status gate_nonces_new(struct gate_nonces **out, uint32_t life_s, size_t ceiling, struct kluis_err *err);
void gate_nonces_free(struct gate_nonces *n);
KLUIS_MUSTUSE kluis_status gate_nonce_make(struct gate_nonces *n, uint64_t now_s, char out[GATE_NONCE_TEXT], struct kluis_err *err);
/* Ours and young enough: OK, else E_REJECT.  Says nothing about use. */
KLUIS_MUSTUSE kluis_status gate_nonce_check(struct gate_nonces *n, const char *text, uint64_t now_s, struct kluis_err *err);
/* Takes a checked nonce for `who`: E_REJECT when it was taken before, E_BUSY when as many as the ceiling are remembered, half of it for
 * one device: no device keeps the others out.  The vault has no share. */
KLUIS_MUSTUSE kluis_status gate_nonce_take(struct gate_nonces *n, const char *text, const char *who, uint64_t now_s, struct kluis_err *err);

#endif
