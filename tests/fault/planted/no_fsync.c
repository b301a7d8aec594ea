/* tests/fault/planted/no_fsync.c - a planted defect: packages get their names, and their folder is not synced before their rows are committed.
 * Linked into a twin of a sweep, which must find it; no program has this. */
#include "kluis/base.h"

static inline kluis_status not_synced(const char *dir, struct kluis_err *err)
{
    (void)dir, (void)err;
    return KLUIS_OK;
}
#define kluis_fsync_dir not_synced
#include "agent/pack/group.c"
