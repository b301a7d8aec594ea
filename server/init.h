/* server/init.h - makes a home: the organisation's root, device CA, seal, ledger, session, pull, wrapping, TLS and time keys. */
#ifndef SERVER_INIT_H
#define SERVER_INIT_H

#include "kluis/base.h"

struct vault_init_config {
    const char *home, *organisation;
    const char *const *hosts;
    size_t n_hosts;     /* besides 127.0.0.1, ::1 and localhost */
    const char *listen; /* written to gate.json; NULL: said at start */
    const char *name;   /* HOST[:PORT] by which devices reach the gate: in gate.json and its certificate; NULL: none */
};
/* Makes home if it is not there.  E_EXISTS: a vault was made there before; nothing is changed.  Not atomic: an interrupted init leaves
 * a home without trust.json, which is written last; a second run then refuses and says so. */
KLUIS_MUSTUSE kluis_status vault_init(const struct vault_init_config *c, struct kluis_err *err);

#endif
