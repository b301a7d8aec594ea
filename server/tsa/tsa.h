/* server/tsa/tsa.h - the embedded time authority as a process of its own, with its own key.  For demonstration and test; never called
 * qualified.  Speaks RFC 3161 over HTTP on loopback, to the gate alone.
 */
#ifndef SERVER_TSA_H
#define SERVER_TSA_H

#include "kluis/base.h"

struct tsa_server;
/* dir holds tsa.key and tsa.crt (PEM), made by init.  Listens on 127.0.0.1; *port says where.  After this call the process may close its walls. */
KLUIS_MUSTUSE kluis_status tsa_start(struct tsa_server **out, const char *dir, uint16_t *port, struct kluis_err *err);
void tsa_stop(struct tsa_server *t);

#endif
