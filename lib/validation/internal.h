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
    struct kluis_checkpoint proven; /* against which the leaf was proven, when ledger is valid */
    bool sealed;                    /* the checkpoint's seal and its certificate hold, whatever its time stamp */
    int64_t stamped_us;             /* proven time of the checkpoint, or KLUIS_TIME_ABSENT */
};
/* Judges a receipt.  package, root, device: what it must name; NULL skips the comparison.  Errors: E_NOMEM. */
KLUIS_MUSTUSE kluis_status receipt_judge(const struct kluis_receipt *r, const struct kluis_trust *trust, const uint8_t *package, const uint8_t *root,
                                         const uint8_t *device, int64_t now_us, struct receipt_findings *out, struct kluis_err *err);
/* ---- export.c ---- */
struct addition_findings {
    struct layer_finding seal, evidence;
    int64_t seal_us, evidence_us; /* proven by them, or KLUIS_TIME_ABSENT */
};
/* Judges what an export added.  again: see kluis_validate_twice.  Errors: E_NOMEM, E_IO. */
KLUIS_MUSTUSE kluis_status additions_judge(const struct kluis_package_facts *facts, const struct kluis_input *again, const struct kluis_trust *trust,
                                           int64_t now_us, struct addition_findings *out, struct kluis_err *err);
/* Judges the device's certificate on every list at hand.  proven_us: since when the signature is proven to exist, or KLUIS_TIME_ABSENT. */
KLUIS_MUSTUSE kluis_status revocation_judge(struct kluis_bytes cert, const struct kluis_package_facts *facts, const struct kluis_trust *trust,
                                            int64_t proven_us, int64_t now_us, struct layer_finding *out, struct kluis_err *err);
int64_t earliest(int64_t a, int64_t b); /* of two times that may be KLUIS_TIME_ABSENT */

void finding(struct layer_finding *f, enum kluis_layer_state state, const char *fmt, ...) KLUIS_PRINTF(3, 4);

#endif
