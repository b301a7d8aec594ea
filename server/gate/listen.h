/* listen.h - where the gate listens. */
#ifndef SERVER_GATE_LISTEN_H
#define SERVER_GATE_LISTEN_H

#include "server/gate/gate.h"

/* A listening socket (non-blocking, close-on-exec) on a numeric "ADDR:PORT", and the address it got.  E_USAGE: not an address, or, in a build without
 * walls (KLUIS_UNWALLED, for the sanitizers), one that other machines reach; E_BUSY: taken; E_IO. */
KLUIS_MUSTUSE kluis_status gate_listen(const char *address, int *fd, char bound[GATE_ADDRESS_MAX], struct kluis_err *err);

#endif
