/* lib/validation/internal.h - what receipt.c tells validate.c; never leaves this folder. */
#ifndef KLUIS_VALIDATION_INTERNAL_H
#define KLUIS_VALIDATION_INTERNAL_H

#include "kluis/validation.h"

struct layer_finding {
    enum kluis_layer_state state;
    char reason[KLUIS_ERR_MSG];
};
struct receipt_findings {
    struct layer_finding receipt, ledger, checkpoint, witness;
    bool sealed;        /* the checkpoint's seal and its certificate hold, whatever its time stamp */
    int64_t stamped_us; /* proven time of the checkpoint, or KLUIS_TIME_ABSENT */
};
/* Judges a receipt.  package, root, device: what it must name; NULL skips the comparison.  Errors: E_NOMEM. */
KLUIS_MUSTUSE kluis_status receipt_judge(const struct kluis_receipt *r, const struct kluis_trust *trust, const uint8_t *package, const uint8_t *root,
                                         const uint8_t *device, int64_t now_us, struct receipt_findings *out, struct kluis_err *err);
void finding(struct layer_finding *f, enum kluis_layer_state state, const char *fmt, ...) KLUIS_PRINTF(3, 4);

#endif
