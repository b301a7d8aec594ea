/* server/web/web.h - the page: search, hits, conversations; read-only, on loopback, everything in the binary.   access -> [web]
 *
 * Plain HTTP on a loopback address, in a process that holds nothing (server/page.h): what it is asked it asks the vault (server/access).  Who opens
 * it proves to be allowed with the key of the vault's run, which stands in the address that the vault gives (kept as an HttpOnly, SameSite=Strict
 * cookie afterwards) and which the vault alone knows; Host must be the bound address (DNS rebinding); no page refers to
 * anything outside (Content-Security-Policy).  Routes: /, /app.js, /app.css, /api/search, /api/around, /api/status.
 */
#ifndef SERVER_WEB_H
#define SERVER_WEB_H

#include "server/access/access.h"

enum { WEB_CONNECTIONS = 256, WEB_TIMEOUT_S = 30 };

/* Before the walls.  listen_on: "127.x.x.x:PORT" or "[::1]:PORT", port 0: any; anything else is E_USAGE.  address: where it is. */
KLUIS_MUSTUSE kluis_status web_listen(const char *listen_on, int *fd, char address[ACCESS_ADDRESS_MAX], struct kluis_err *err);
struct web;
/* Serves that socket, which is taken over, also after a failure.  vault is borrowed until web_stop. */
KLUIS_MUSTUSE kluis_status web_start(struct web **out, int fd, const char *address, struct access *vault, struct kluis_err *err);
void web_stop(struct web *w);

#endif
