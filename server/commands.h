/* server/commands.h - the commands that need the vault: official, enrol, status, search, audit, check, rebuild-index, page-address.
 *
 * Run inside the vault process (through its control socket) or, when none runs, under the home's lock.  Every search is audited before
 * its first hit is printed.
 */
#ifndef SERVER_COMMANDS_H
#define SERVER_COMMANDS_H

#include "server/control/control.h"
#include "server/desk/desk.h"

struct vault;
struct index;
/* The vault's index as server/api/api.h asks for it; ctx: the struct vault. */
struct index *commands_borrow(void *ctx);
void commands_give_back(void *ctx, struct index *ix);
struct commands {
    struct vault *vault;
    struct desk *desk; /* NULL: no vault process, and so no page */
};
/* ctx: the struct commands.  A control_handler. */
kluis_status commands_run(void *ctx, int argc, const char *const *argv, const struct control_output *out, struct kluis_err *err);

#endif
