/* tests/fault/planted/unwiped.c - a planted defect: the text of the device key stays in the memory that it was read into.
 * Linked into a twin of a sweep, which must find it; no program has this. */
#include "kluis/base.h"

static inline void unwiped(void *p, size_t n) { (void)p, (void)n; }
#define kluis_wipe unwiped
#include "agent/pack/freeze.c"
