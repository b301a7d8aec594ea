/* agent/source/order.h - where messages stand in a source, given back conversation by conversation in the order of time.
 *
 * Downloads list messages newest first, over several files, sometimes with conversations mixed.  A reader notes where each message stands and
 * when it was sent; here that is sorted.  In memory up to ORDER_RUN items (16 MiB); beyond that in sorted runs in a nameless encrypted scratch
 * file, merged while they are read.  At most ORDER_RUNS runs (33 million messages).  One thread.
 */
#ifndef SOURCE_ORDER_H
#define SOURCE_ORDER_H

#include "kluis/base.h"

enum { ORDER_RUN = 1 << 19, ORDER_RUNS = 64 };

struct order_item {
    uint32_t conversation, file;
    int64_t when; /* unit of the reader's own; equal times: what stands later in a later file came first, for they are written newest first */
    uint64_t at;
    uint32_t len;  /* 0: nothing to read there */
    uint32_t lost; /* of such a one: bytes that are damaged, 4 GiB at most */
};

struct order;
KLUIS_MUSTUSE kluis_status order_new(struct order **out, struct kluis_err *err);
void order_free(struct order *o);
KLUIS_DEFINE_CLEANUP(order)
void order_clear(struct order *o);
/* E_LIMIT: too many; E_IO: no room for the scratch file; E_NOMEM. */
KLUIS_MUSTUSE kluis_status order_add(struct order *o, const struct order_item *it, struct kluis_err *err);
/* After the last one.  Then order_next gives them in order, and KLUIS_END. */
KLUIS_MUSTUSE kluis_status order_done(struct order *o, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status order_next(struct order *o, struct order_item *it, struct kluis_err *err);
/* Remembers the place before the next item, and goes back to it: any number of times. */
void order_mark(struct order *o);
void order_back(struct order *o);

#endif
