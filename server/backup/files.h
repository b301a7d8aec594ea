/* server/backup/files.h - copying a file so that it is known to be there.  Stays in this folder. */
#ifndef SERVER_BACKUP_FILES_H
#define SERVER_BACKUP_FILES_H

#include "kluis/base.h"

/* Copies, syncs, drops it from memory, reads it again and compares; then renames it to `to`.  The directory's sync is the caller's.  want (may be
 * NULL): the digest that both must have.  E_NOTFOUND, E_CORRUPT. */
KLUIS_MUSTUSE kluis_status file_copy(const char *from, const char *to, const uint8_t *want, uint8_t sha256[32], uint64_t *size,
                                     struct kluis_err *err);
/* Of what stands on the disk, not in memory, as far as the kernel can be asked for that. */
KLUIS_MUSTUSE kluis_status file_digest(const char *path, uint8_t sha256[32], uint64_t *size, struct kluis_err *err);
/* Regular files of a folder, by name in no order; other things in it are E_REJECT.  No folder: E_NOTFOUND. */
KLUIS_MUSTUSE kluis_status folder_each(const char *dir, void *ctx, kluis_status (*each)(void *ctx, const char *name, struct kluis_err *err),
                                       struct kluis_err *err);
/* Removes a folder of plain files, and one level of folders of plain files in it.  None: OK. */
KLUIS_MUSTUSE kluis_status folder_remove(const char *dir, struct kluis_err *err);

#endif
