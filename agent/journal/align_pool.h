/* agent/journal/align_pool.h - the stored entries that could match one window, sorted so that a look-up is a binary search.  Never leaves
 * this folder.
 *
 * begin -> want* -> add* -> end -> look-ups.  Holds at most POOL entries; of entries that are equal in everything matching looks at, no more than
 * the window could use.  One thread. */
#ifndef AGENT_ALIGN_POOL_H
#define AGENT_ALIGN_POOL_H

#include "agent/journal/align.h"

enum { ALIGN_POOL = 1 << 16 };

struct candidate {
    int64_t t;
    uint32_t slot, tag;
    int32_t tolerance; /* seconds its time may differ */
    uint32_t span, at; /* where it is stored */
    uint16_t hint;
    uint8_t level;
    bool taken; /* set by whoever takes it */
};

struct align_pool;
/* steps: counts every look and comparison.  NULL: no memory. */
struct align_pool *align_pool_new(uint64_t *steps);
void align_pool_free(struct align_pool *p); /* NULL: no-op */
/* learning: names are to be learned, for which one of several equal entries is enough. */
void align_pool_begin(struct align_pool *p, bool learning);
/* One entry of the window, and under which tag its author is stored. */
void align_pool_want(struct align_pool *p, const struct align_entry *e, uint32_t author);
void align_pool_add(struct align_pool *p, const struct align_entry *e, uint32_t span, uint32_t at, int32_t tolerance);
/* More need not be added: overflow, or every entry of the window has one that surely fits. */
bool align_pool_full(const struct align_pool *p);
bool align_pool_overflow(const struct align_pool *p);
void align_pool_end(struct align_pool *p);

/* Those with this fingerprint, in a row; returns how many were seen (more than are held when they are equal). */
size_t align_pool_same(struct align_pool *p, uint64_t fp, struct candidate **first);
/* Of those, the ones within a minute of e (learning), in order of authors. */
size_t align_pool_near(struct align_pool *p, const struct align_entry *e, struct candidate **first);
/* The earliest untaken candidate that x, written by `author` at `t`, may be; one with its hint first when x has attachments.  NULL: none. */
struct candidate *align_pool_best(struct align_pool *p, const struct align_entry *x, uint32_t author, int64_t t);

#endif
