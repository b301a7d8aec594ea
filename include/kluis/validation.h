/* kluis/validation.h - judges a package: seven steps, a verdict per layer, offline.
 *
 * docs/FORMAT.md §9.  Used by the verifier, and in two halves by the vault (opener: reading; judge: signatures).
 * Only this module makes a kluis_validated.  Depends on package_read, seal, evidence, ledger.
 */
#ifndef KLUIS_VALIDATION_H
#define KLUIS_VALIDATION_H

#include "kluis/evidence.h"
#include "kluis/ledger.h"
#include "kluis/package.h"
#include "kluis/seal.h"

enum kluis_layer {
    KLUIS_V_CONTAINER,   /* zip profile                                            */
    KLUIS_V_MANIFESTS,   /* who lists what, every digest                           */
    KLUIS_V_RECORDS,     /* canonical records, records.root, attachments            */
    KLUIS_V_METADATA,    /* MDTO sidecars, bag-info agree with the rest             */
    KLUIS_V_SIGNATURE,   /* CAdES of the device                                     */
    KLUIS_V_CERTIFICATE, /* chain to the device CA                                  */
    KLUIS_V_REVOCATION,  /* the device's certificate on the lists of its CA         */
    KLUIS_V_TIME,        /* token on the signature                                  */
    KLUIS_V_RECEIPT,     /* leaf names this package, root, device                   */
    KLUIS_V_LEDGER,      /* inclusion proof, log signature                          */
    KLUIS_V_CHECKPOINT,  /* seal and time stamp on the checkpoint                   */
    KLUIS_V_WITNESS,     /* cosignatures, when configured                           */
    KLUIS_V_SEAL,        /* of an export: the vault's seal over the whole package   */
    KLUIS_V_EVIDENCE,    /* of an export: RFC 4998 evidence record                  */
    KLUIS_V_LAYERS
};
const char *kluis_layer_name(enum kluis_layer l); /* "container" … "evidence" */
enum kluis_layer_state { KLUIS_L_VALID, KLUIS_L_INVALID, KLUIS_L_INDETERMINATE, KLUIS_L_ABSENT };

struct kluis_verdict {
    enum kluis_outcome overall; /* INVALID when any layer is; VALID needs trust and every needed layer VALID */
    struct {
        enum kluis_layer_state state;
        char reason[KLUIS_ERR_MSG];
    } layer[KLUIS_V_LAYERS];
    struct kluis_package_facts facts;
    struct kluis_seal_verdict seal;
    int64_t proven_us; /* earliest proven time, or KLUIS_TIME_ABSENT */
    int64_t judged_us; /* the moment of judging: now_us */
};
void kluis_verdict_clear(struct kluis_verdict *v);

/* Judges a package, or an export of one (FORMAT.md §10).  receipt: FORMAT.md §7 text, absent if none.  trust NULL: the best is INDETERMINATE.  sink
 * may be NULL.  OK means "judged"; look at v->overall.  Errors: local ones only (E_NOMEM, E_IO). */
KLUIS_MUSTUSE kluis_status kluis_validate(const struct kluis_input *in, struct kluis_str receipt, const struct kluis_trust *trust,
                                          const struct kluis_package_sink *sink, int64_t now_us, struct kluis_verdict *out, struct kluis_err *err);
/* The same; `again` gives the same bytes once more and is read only when an evidence record was renewed with another digest than SHA-256.
 * Without it such a record is INDETERMINATE. */
KLUIS_MUSTUSE kluis_status kluis_validate_twice(const struct kluis_input *in, const struct kluis_input *again, struct kluis_str receipt,
                                                const struct kluis_trust *trust, const struct kluis_package_sink *sink, int64_t now_us,
                                                struct kluis_verdict *out, struct kluis_err *err);
/* The same in its two halves.  content: container to metadata; lane as in kluis_export_read.  proofs: everything else, judged at the moment
 * that was given to content, after which trust need only be known.  Of a package that content refused, proofs says nothing more. */
KLUIS_MUSTUSE kluis_status kluis_validate_content(const struct kluis_input *in, struct kluis_lane *lane, const struct kluis_package_sink *sink,
                                                  int64_t now_us, struct kluis_verdict *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_validate_proofs(const struct kluis_input *again, struct kluis_str receipt, const struct kluis_trust *trust,
                                                 struct kluis_verdict *v, struct kluis_err *err);
/* One JSON line: {"verdict":"valid|invalid|indeterminate","package":"<hex>","layers":{"container":{"state":"valid"},…},…} */
KLUIS_MUSTUSE kluis_status kluis_verdict_json(const struct kluis_verdict *v, struct kluis_buf *out, struct kluis_err *err);

/* ---- receipts (FORMAT.md §7): JSON text --------------------------------------------------------- */
enum { KLUIS_RECEIPT_MAX = 1 << 20 };
struct kluis_receipt {
    struct kluis_str leaf;              /* leaf data text                                             */
    struct kluis_str proof;             /* tlog-proof v1, with the checkpoint in it                   */
    struct kluis_bytes checkpoint_seal; /* CAdES (B-T once stamped) over the checkpoint's text: detached */
    bool stamped;                       /* "time": "stamped" | "pending"                              */
};
KLUIS_MUSTUSE kluis_status kluis_receipt_write(const struct kluis_receipt *r, struct kluis_buf *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_receipt_read(struct kluis_str json, struct kluis_arena *arena, struct kluis_receipt *out, struct kluis_err *err);
/* Checks receipt against trust and (if not NULL) the facts it must name: used by the agent too. E_REJECT names the layer in *layer.
 * checkpoint (may be NULL): what its leaf was proven against. */
KLUIS_MUSTUSE kluis_status kluis_receipt_check(const struct kluis_receipt *r, const struct kluis_trust *trust, const uint8_t package[32],
                                               const uint8_t *records_root_or_null, const uint8_t *device_cert_sha256_or_null, int64_t now_us,
                                               struct kluis_checkpoint *checkpoint, enum kluis_layer *layer, struct kluis_err *err);

#endif
