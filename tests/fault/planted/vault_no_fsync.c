/* tests/fault/planted/vault_no_fsync.c - a planted defect: ciphertext gets its name in the store, and the shelf is not synced before the inbox row
 * is. Linked into a twin of a sweep, which must find it; no program has this. */
#include "kluis/base.h"

static inline kluis_status not_synced(const char *dir, struct kluis_err *err)
{
    (void)dir, (void)err;
    return KLUIS_OK;
}
#define kluis_fsync_dir not_synced
#include "server/storage/files.c"
