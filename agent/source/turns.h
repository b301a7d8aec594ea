/* agent/source/turns.h - a download that was gone through once (order.h, cast.h), given conversation by conversation in the order of time. */
#ifndef SOURCE_TURNS_H
#define SOURCE_TURNS_H

#include "agent/source/cast.h"
#include "agent/source/order.h"
#include "agent/source/source.h"

struct turns {
    struct order *order; /* after order_done */
    struct cast *cast;   /* after cast_done */
    struct roster *people;
    const struct source_sink *sink;
    void *ctx;
    /* The people of this conversation are in the roster.  May look through its items with order_next; makes the header and tells the sink. */
    kluis_status (*begin)(void *ctx, uint32_t conversation, struct kluis_err *err);
    kluis_status (*one)(void *ctx, const struct order_item *it, struct kluis_err *err);
    uint64_t conversations; /* given */
};
KLUIS_MUSTUSE kluis_status turns_give(struct turns *t, struct kluis_err *err);

#endif
