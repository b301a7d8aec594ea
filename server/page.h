/* server/page.h - the page server as a process of its own.   main -> [page] -> web, access, walls
 *
 * It reads requests of strangers, so it holds nothing: no file may be opened, no address reached, no program started; what it has is a listening
 * socket on loopback and the vault's Unix socket, by which it may ask what server/access lets it.
 */
#ifndef SERVER_PAGE_H
#define SERVER_PAGE_H

#include "kluis/base.h"

/* Runs until SIGTERM or SIGINT.  socket_path: the vault's; listen_on: a loopback ADDR:PORT.  A vault that is not there yet is waited for; then the
 * ready line (see serve_ready): "page on http://ADDR:PORT/", without the key, which only the vault knows. */
KLUIS_MUSTUSE kluis_status page_run(const char *socket_path, const char *listen_on, int ready_fd, struct kluis_err *err);

#endif
