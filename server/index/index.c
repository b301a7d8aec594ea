/* server/index/index.c - opening, adding and searching.  See index.h. */
#include "server/index/internal.h"

#define NOT_BUILT KLUIS_FAIL(err, KLUIS_E_BUG, "the index is not part of this build")

kluis_status index_open(struct index **out, KLUIS_UNUSED const char *dir, KLUIS_UNUSED const uint8_t master_key[32], struct kluis_err *err)
{
    *out = NULL;
    return NOT_BUILT;
}
void index_close(KLUIS_UNUSED struct index *ix) {}
uint64_t index_watermark(KLUIS_UNUSED struct index *ix) { return 0; }
kluis_status index_add(KLUIS_UNUSED struct index *ix, KLUIS_UNUSED const struct index_package *p, struct kluis_err *err) { return NOT_BUILT; }
kluis_status index_skip(KLUIS_UNUSED struct index *ix, KLUIS_UNUSED uint64_t sequence, struct kluis_err *err) { return NOT_BUILT; }
kluis_status index_commit(KLUIS_UNUSED struct index *ix, struct kluis_err *err) { return NOT_BUILT; }
kluis_status index_maintain(KLUIS_UNUSED struct index *ix, KLUIS_UNUSED bool *more, struct kluis_err *err) { return NOT_BUILT; }
kluis_status index_remove(KLUIS_UNUSED struct index *ix, KLUIS_UNUSED const uint8_t package[32], struct kluis_err *err) { return NOT_BUILT; }
kluis_status index_statistics(KLUIS_UNUSED struct index *ix, KLUIS_UNUSED struct index_stats *out, struct kluis_err *err) { return NOT_BUILT; }
kluis_status index_groups_digest(KLUIS_UNUSED struct index *ix, KLUIS_UNUSED uint8_t out[32], struct kluis_err *err) { return NOT_BUILT; }
kluis_status index_search(KLUIS_UNUSED struct index *ix, KLUIS_UNUSED const struct index_query *q, KLUIS_UNUSED const struct index_sink *sink,
                          KLUIS_UNUSED struct index_result *out, struct kluis_err *err) { return NOT_BUILT; }
kluis_status index_around(KLUIS_UNUSED struct index *ix, KLUIS_UNUSED const uint8_t package[32], KLUIS_UNUSED uint64_t ordinal, KLUIS_UNUSED unsigned before,
                          KLUIS_UNUSED unsigned after, KLUIS_UNUSED const struct index_sink *sink, struct kluis_err *err) { return NOT_BUILT; }
