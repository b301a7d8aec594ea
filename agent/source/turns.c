/* turns.c - see turns.h. */
#include "agent/source/turns.h"

kluis_status turns_give(struct turns *t, struct kluis_err *err)
{
    struct order_item it;
    bool open = false;
    uint32_t current = 0;
    for (;;) {
        order_mark(t->order);
        kluis_status rc = order_next(t->order, &it, err);
        if (rc != KLUIS_OK && rc != KLUIS_END) { return rc; }
        if (open && (rc == KLUIS_END || it.conversation != current)) {
            KLUIS_TRY(t->sink->end(t->sink->ctx, err));
            open = false;
        }
        if (rc == KLUIS_END) { return KLUIS_OK; }
        if (!open) {
            current = it.conversation;
            roster_clear(t->people);
            cast_fill(t->cast, current, t->people);
            order_back(t->order);
            KLUIS_TRY(t->begin(t->ctx, current, err));
            order_back(t->order);
            KLUIS_TRY(order_next(t->order, &it, err));
            open = true;
            t->conversations++;
        }
        KLUIS_TRY(t->one(t->ctx, &it, err));
    }
}
