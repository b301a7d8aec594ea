/* tests/fault/planted/unchecked.c - a planted defect: memory for a home is written to before anybody looked whether it is there.
 * Linked into a twin of a sweep, which must find it; no program has this. */
#include "kluis/base.h"

static inline void *unchecked(size_t count, size_t size)
{
    volatile char *p = kluis_calloc(count, size);
    *p = 0;
    return (void *)(uintptr_t)p;
}
#define kluis_calloc unchecked
#include "agent/journal/home.c"
