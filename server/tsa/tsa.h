/* server/tsa/tsa.h - the embedded time authority as a process of its own, with its own key.  For demonstration and test; never called
 * qualified.  Speaks RFC 3161 over HTTP on loopback, to the gate alone.
 */
#ifndef SERVER_TSA_H
#define SERVER_TSA_H

#include "kluis/base.h"

struct tsa_server;
/* dir holds tsa.key and tsa.crt (PEM), made by init.  Listens on 127.0.0.1:*port (0: any); *port says where.  confine: raises the walls of this
 * process once the key is read: no file is opened after that. */
KLUIS_MUSTUSE kluis_status tsa_start(struct tsa_server **out, const char *dir, bool confine, uint16_t *port, struct kluis_err *err);
void tsa_stop(struct tsa_server *t);

#endif
