/* agent/source/keyring.h - the session's secret service (Secret Service API of freedesktop.org, by libsecret): the one place that speaks to it.
 * docs/decisions/0012-libsecret.md.  Who uses it: the agent's own keys (agent/journal/keystore.c), the secret of Signal Desktop, and options of a
 * source
 * (`--option key=keyring:NAME`).  One thread.  In a build without libsecret nothing is there. */
#ifndef AGENT_KEYRING_H
#define AGENT_KEYRING_H

#include "kluis/base.h"

enum { KEYRING_FIELDS = 2 };
struct keyring_item {
    const char *schema; /* name of the item's kind                                                      */
    bool any_kind;      /* an item with these fields counts whatever its kind: others put it there     */
    struct keyring_field {
        const char *name, *value;
    } fields[KEYRING_FIELDS]; /* name NULL: none */
};

/* Appends the item's secret, which is text, without an end mark.  E_NOTFOUND (without an error text): the service has none.  E_BUSY: the service
 * cannot be asked: no session, locked, refused.  The buffer holds a secret: wipe it, also after an error. */
KLUIS_MUSTUSE kluis_status keyring_get(const struct keyring_item *item, struct kluis_buf *out, struct kluis_err *err);
/* Puts or replaces it; false: the service did not take it.  label: what a person sees of it. */
bool keyring_put(const struct keyring_item *item, const char *label, const char *text);
/* A locked or absent service keeps what it has. */
void keyring_remove(const struct keyring_item *item);

#endif
