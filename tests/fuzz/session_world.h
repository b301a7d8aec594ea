/* tests/fuzz/session_world.h - a device and a vault with the same keys in every run, for the target and the maker of its seeds. */
#ifndef FUZZ_SESSION_WORLD_H
#define FUZZ_SESSION_WORLD_H

#include "kluis/envelope.h"
#include "tests/fuzz/fuzz.h"

#define SESSION_TEXT "De nota ligt klaar."

enum { SESSION_ROWS = 16, SESSION_ROW_MAX = 16384, SESSION_MESSAGES = 4 };
struct session_row {
    bool used;
    enum kluis_store_table table;
    char key[160];
    uint8_t value[SESSION_ROW_MAX];
    size_t len;
};
struct session_store {
    struct kluis_session_store api;
    struct session_row rows[SESSION_ROWS];
};
struct session_world {
    struct kluis_identity me, them;                /* device, vault */
    struct session_store vault_new, vault, device; /* vault_new: before the first message */
    struct kluis_buf message[SESSION_MESSAGES];    /* to vault_new, to vault, to device, to device */
};
extern struct session_world session_world;
void session_world_make(void);
void session_store_copy(struct session_store *to, const struct session_store *from);

#endif
