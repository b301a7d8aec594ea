/* server/index/move.c - from the hot file to closed periods.  See internal.h. */
#include "server/index/internal.h"

void imove_free(KLUIS_UNUSED struct index *ix) {}
kluis_status imove_clean(KLUIS_UNUSED struct index *ix, KLUIS_UNUSED struct kluis_err *err) { return KLUIS_OK; }
kluis_status index_maintain(KLUIS_UNUSED struct index *ix, bool *more, KLUIS_UNUSED struct kluis_err *err)
{
    *more = false;
    return KLUIS_OK;
}
kluis_status index_remove(KLUIS_UNUSED struct index *ix, KLUIS_UNUSED const uint8_t package[32], struct kluis_err *err)
{
    return KLUIS_FAIL(err, KLUIS_E_BUG, "erasing is not part of this build");
}
