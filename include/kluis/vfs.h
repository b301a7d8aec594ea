/* kluis/vfs.h - an SQLite VFS whose files hold ciphertext only, each under a key of its own.
 *
 * Target kluis_db.  Over the system's "unix" VFS: database files and write-ahead logs are sealed page by page (AES-256-GCM, bound to file and
 * place); no other file is opened, so a connection must keep journals and temporaries in memory (PRAGMA temp_store=MEMORY).
 * A database is made with pages of KLUIS_VFS_PAGE bytes of which SQLite leaves the last KLUIS_VFS_RESERVE alone (SQLITE_FCNTL_RESERVE_BYTES).
 * A page that does not open (damage, another key, another place) is SQLITE_CORRUPT.  Erasing a file is forgetting its key.
 * Not prevented: putting back an earlier state of a page or of a whole file (docs/THREATS.md).  Layout: lib/db/vfs.c.
 */
#ifndef KLUIS_VFS_H
#define KLUIS_VFS_H

#include "kluis/base.h"

enum { KLUIS_VFS_PAGE = 4096, KLUIS_VFS_RESERVE = 32 };

struct kluis_vfs_keys {
    void *ctx;
    /* The key of the database of this name (the last part of its path, without "-wal"), len bytes.  false: none, and the file does not open.
     * Called from any thread that opens a connection. */
    bool (*find)(void *ctx, const char *name, size_t len, uint8_t key[32]);
    const char *step; /* told to kluis_durable_step after each sync; a string literal */
};

struct kluis_vfs;
/* Registers a VFS under a name of its own.  keys is copied, what its ctx points at is borrowed.  E_NOMEM. */
KLUIS_MUSTUSE kluis_status kluis_vfs_new(struct kluis_vfs **out, const struct kluis_vfs_keys *keys, struct kluis_err *err);
void kluis_vfs_free(struct kluis_vfs *v);              /* after every connection is closed; NULL: no-op */
const char *kluis_vfs_name(const struct kluis_vfs *v); /* for sqlite3_open_v2; lives as long as v */

#endif
