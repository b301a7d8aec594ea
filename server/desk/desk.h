/* server/desk/desk.h - where the page server may ask: the vault's side of server/access.   api, access -> [desk] -> main
 *
 * Whoever comes by the socket is treated as broken into: a request that is not one ends its connection; nothing is looked up for who does not bring
 * the key of this run; every search and every page read stands in the audit trail before it leaves (server/api).  At most DESK_CHANNELS
 * connections at once, one request of each at a time.
 */
#ifndef SERVER_DESK_H
#define SERVER_DESK_H

#include "server/access/access.h"
#include "server/api/api.h"

enum { DESK_CHANNELS = 2 * ACCESS_CHANNELS, DESK_URL_MAX = 160 };

struct desk;
/* Makes the key of this run and serves the listening socket fd, which is taken over, also after a failure.  api is borrowed until desk_stop. */
KLUIS_MUSTUSE kluis_status desk_start(struct desk **out, int fd, const struct api *api, struct kluis_err *err);
void desk_stop(struct desk *d); /* wipes the key; NULL: no-op */

/* The page server as it last said hello. */
struct desk_page {
    bool connected;
    unsigned walls, user; /* user: as the kernel says it */
};
void desk_page(struct desk *d, struct desk_page *out);
/* What a person opens, key included: "http://127.0.0.1:8080/?key=…".  Wipe it.  E_BUSY: no page server has come yet. */
KLUIS_MUSTUSE kluis_status desk_url(struct desk *d, char url[DESK_URL_MAX], struct kluis_err *err);

#endif
