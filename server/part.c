/* server/part.c - see part.h. */
#include "server/part.h"

#include "server/commands.h"
#include "server/init.h"
#include "server/log.h"
#include "server/serve.h"
#include "server/vault.h"
#include "server/web/web.h"

#include <errno.h>

kluis_status part_init(const char *home, const char *organisation, const char *name, const char *const *hosts, size_t n_hosts, struct kluis_err *err)
{
    const struct vault_init_config c = { .home = home, .organisation = organisation, .name = name, .hosts = hosts, .n_hosts = n_hosts };
    kluis_status rc = vault_init(&c, err);
    return rc == KLUIS_E_EXISTS ? KLUIS_E_REJECT : rc; /* a home that is there stays as it is, and whoever asked should know */
}

kluis_status part_vault(const char *home, const char *gate_url, const char *name, const char *page, int ready_fd, struct kluis_err *err)
{
    KLUIS_AUTO(vault) v = NULL;
    char socket_path[KLUIS_PATH_MAX], where[WEB_ADDRESS_MAX], line[WEB_ADDRESS_MAX + 16];
    KLUIS_TRY(kluis_path(socket_path, sizeof socket_path, home, "vault/control.sock", err));
    KLUIS_TRY(vault_open(&v, home, err));
    KLUIS_TRY(vault_confine(v, gate_url, page, err));
    KLUIS_TRY(vault_start(v, gate_url, name, err));
    const struct api api = { v, commands_borrow, commands_give_back, vault_register(v) };
    struct control *control = NULL;
    struct web *web = NULL;
    kluis_status rc = control_start(&control, socket_path, commands_run, v, err);
    if (rc == KLUIS_OK) { rc = web_start(&web, page, &api, where, err); }
    if (rc == KLUIS_OK) {
        (void)snprintf(line, sizeof line, "page on %s", where);
        rc = serve_ready(ready_fd, line, err);
    }
    if (rc == KLUIS_OK) { serve_wait(); }
    web_stop(web);
    control_stop(control);
    vault_stop(v);
    return rc;
}

static kluis_status print_line(KLUIS_UNUSED void *ctx, char kind, struct kluis_str line, struct kluis_err *err)
{
    FILE *f = kind == 'o' ? stdout : stderr;
    if (fwrite(line.ptr, 1, line.len, f) != line.len || fputc('\n', f) == EOF || fflush(f) != 0) {
        return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot write the answer");
    }
    return KLUIS_OK;
}

kluis_status part_command(const char *home, int argc, const char *const *argv, struct kluis_err *err)
{
    KLUIS_AUTO(vault) v = NULL;
    KLUIS_TRY(vault_open(&v, home, err)); /* holds the home's lock: a vault that starts meanwhile waits for its turn */
    KLUIS_TRY(vault_confine(v, NULL, NULL, err));
    const struct control_output out = { NULL, print_line };
    return commands_run(v, argc, argv, &out, err);
}

kluis_status part_ask(const char *home, int argc, const char *const *argv, int *exit_code, struct kluis_err *err)
{
    char socket_path[KLUIS_PATH_MAX];
    KLUIS_TRY(kluis_path(socket_path, sizeof socket_path, home, "vault/control.sock", err));
    kluis_status rc = control_call(socket_path, argc, argv, exit_code, err);
    return rc == KLUIS_E_NOTFOUND ? part_command(home, argc, argv, err) : rc;
}
