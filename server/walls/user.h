/* server/walls/user.h - a user of its own for each part, where the system has one.   [walls] -> serve, vault, ingest
 *
 * Only root can change who a process is; a part that was started as somebody is that and stays it.
 */
#ifndef SERVER_WALLS_USER_H
#define SERVER_WALLS_USER_H

#include <sys/types.h>

#include "kluis/base.h"

struct walls_user {
    uid_t uid; /* 0: nobody else, the process stays who it is */
    gid_t gid;
};

/* A user of this system by name.  E_NOTFOUND: there is none, or it is root; E_IO, E_NOMEM. */
KLUIS_MUSTUSE kluis_status walls_user_find(const char *name, struct walls_user *out, struct kluis_err *err);
/* This process becomes that user, for good, in no other group; it stays undumpable, and the signal that comes when its parent dies stays set.  The
 * caller has one thread.  u->uid 0: nothing happens.  E_IO: it could not, or could go back: end the process. */
KLUIS_MUSTUSE kluis_status walls_user_become(const struct walls_user *u, struct kluis_err *err);
/* Gives a folder and all that is in it to that user.  Symbolic links are given, not followed; a file of somebody else with a second name elsewhere
 * is refused (E_REJECT): it may not be ours to give.  E_NOTFOUND: no such folder. */
KLUIS_MUSTUSE kluis_status walls_user_give(const char *folder, const struct walls_user *u, struct kluis_err *err);
/* Whose the vault in `home` is: the owner of H/vault, or of H where root made that folder anew.  uid 0: root's, or there is none. */
KLUIS_MUSTUSE kluis_status walls_user_owner(const char *home, struct walls_user *out, struct kluis_err *err);
/* A command of root's on somebody's vault: whatever this process makes from here on is that user's, as if the vault itself had made it.  It reads
 * what root reads, and is root otherwise.  Not root, or u->uid 0: nothing happens.  One thread; those that follow inherit it. */
KLUIS_MUSTUSE kluis_status walls_user_files(const struct walls_user *u, struct kluis_err *err);

#endif
