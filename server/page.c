/* server/page.c - see page.h. */
#include "server/page.h"

#include "server/log.h"
#include "server/serve.h"
#include "server/walls/walls.h"
#include "server/web/web.h"

enum { ASK_AGAIN_MS = 200, TELL_AFTER = 25, GREET_MS = 1000 };

/* Until the vault answered.  KLUIS_END: told to stop meanwhile. */
static kluis_status await_vault(struct access *vault, struct kluis_err *err)
{
    for (unsigned tries = 1;; tries++) {
        struct kluis_err why = { 0 };
        kluis_status rc = access_greet(vault, &why);
        if (rc == KLUIS_OK) { return KLUIS_OK; }
        if (rc != KLUIS_E_BUSY) { return KLUIS_FAIL(err, rc, "%s", why.msg); }
        if (tries == TELL_AFTER) { kluis_log(KLUIS_LOG_INFO, "page.waiting", "for=vault"); }
        if (serve_wait_ms(ASK_AGAIN_MS)) { return KLUIS_END; }
    }
}

kluis_status page_run(const char *socket_path, const char *listen_on, int ready_fd, struct kluis_err *err)
{
    char address[ACCESS_ADDRESS_MAX], line[ACCESS_ADDRESS_MAX + 24];
    const struct walls w = { .local = true };
    unsigned standing = 0;
    struct access *vault = NULL;
    struct web *web = NULL;
    int fd = -1;
    KLUIS_TRY(web_listen(listen_on, &fd, address, err));
    kluis_status rc = walls_raise(&w, &standing, err);
    if (rc == KLUIS_OK) { rc = access_open(&vault, socket_path, address, standing, err); }
    if (rc == KLUIS_OK) { rc = await_vault(vault, err); }
    if (rc == KLUIS_OK) {
        rc = web_start(&web, fd, address, vault, err);
        fd = -1;
    }
    if (rc == KLUIS_OK) {
        (void)snprintf(line, sizeof line, "page on http://%s/", address);
        rc = serve_ready(ready_fd, line, err);
    }
    /* A vault that was started anew hears of this page at once, not at the next request: it is asked for the page's address first. */
    while (rc == KLUIS_OK && !serve_wait_ms(GREET_MS)) {
        struct kluis_err away = { 0 };
        if (access_greet(vault, &away) != KLUIS_OK) { continue; } /* it is away: in a moment again */
    }
    web_stop(web);
    access_close(vault);
    kluis_close_quiet(&fd);
    return rc == KLUIS_END ? KLUIS_OK : rc;
}
