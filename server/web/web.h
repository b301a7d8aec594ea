/* server/web/web.h - the page: search, hits, conversations; read-only, on loopback, everything in the binary.   api -> [web]
 *
 * Plain HTTP on a loopback address.  Who opens it proves to be allowed with the key of this run, which stands in the address that
 * web_start gives (kept as an HttpOnly, SameSite=Strict cookie afterwards); Host must be the bound address (DNS rebinding); no page refers to
 * anything outside (Content-Security-Policy).  Routes: /, /app.js, /app.css, /api/search, /api/around, /api/status.
 */
#ifndef SERVER_WEB_H
#define SERVER_WEB_H

#include "server/api/api.h"

enum { WEB_CONNECTIONS = 256, WEB_TIMEOUT_S = 30, WEB_ADDRESS_MAX = 192 };

struct web;
/* listen: a loopback "ADDR:PORT" or "[::1]:PORT", port 0: any; anything else is E_USAGE.  address: what a person opens. */
KLUIS_MUSTUSE kluis_status web_start(struct web **out, const char *listen, const struct api *api, char address[WEB_ADDRESS_MAX],
                                     struct kluis_err *err);
void web_stop(struct web *w);

#endif
