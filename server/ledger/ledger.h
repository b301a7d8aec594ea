/* server/ledger/ledger.h - the vault's log: leaves and nodes in custody.db, checkpoints signed, sealed and stamped, receipts.
 *
 * ingest -> [ledger] -> custody.  One thread appends and makes checkpoints; size and head may be asked from any.
 */
#ifndef SERVER_LEDGER_H
#define SERVER_LEDGER_H

#include "kluis/ledger.h"
#include "kluis/seal.h"
#include "server/custody/custody.h"

/* Asks a time authority: DER TimeStampReq in, DER TimeStampResp out.  Any error means "not now": the checkpoint stays pending. */
struct ledger_clock {
    void *ctx;
    kluis_status (*ask)(void *ctx, struct kluis_bytes request, struct kluis_buf *response, struct kluis_err *err);
    char *why; /* NULL, or room for KLUIS_ERR_MSG bytes: why the last call gave no stamp; "" when it gave one or none was due */
};
struct ledger_keys { /* borrowed for as long as the ledger is open */
    const char *origin;
    const uint8_t *seed; /* 32 bytes, Ed25519 */
    const struct kluis_key *seal;
    struct kluis_bytes seal_cert;
    const struct kluis_bytes *tsa_anchors;
    size_t n_tsa;
};
struct ledger;
/* Loads the tree and refuses (E_CORRUPT) when it does not continue the newest checkpoint. */
KLUIS_MUSTUSE kluis_status ledger_open(struct ledger **out, struct custody *c, const struct ledger_keys *keys, struct kluis_err *err);
void ledger_free(struct ledger *l);
KLUIS_DEFINE_CLEANUP(ledger)

uint64_t ledger_size(struct ledger *l);
uint64_t ledger_since(struct ledger *l);                    /* when the log began anew, Unix seconds; 0: never */
void ledger_tree(struct ledger *l, struct kluis_tree *out); /* to go on computing from, without a change here  */
/* The head of the first `size` leaves, which are here. */
KLUIS_MUSTUSE kluis_status ledger_head_at(struct ledger *l, uint64_t size, kluis_hash *out, struct kluis_err *err);
/* Reads a checkpoint of this log, of any time.  E_REJECT. */
KLUIS_MUSTUSE kluis_status ledger_checkpoint_open(struct ledger *l, struct kluis_str text, struct kluis_checkpoint *out, struct kluis_err *err);
/* Ends custody's transaction, in which any of the next three may have been called: with OK it is committed under the name of `step`, else rolled
 * back. The tree in memory is then as the one on disk whatever came of it, which needs no memory and reads nothing: it cannot fail.  rc, or why it
 * could not be committed. */
KLUIS_MUSTUSE kluis_status ledger_end(struct ledger *l, kluis_status rc, const char *step, struct kluis_err *err);
/* Inside a custody transaction: from here on the log has another origin, and its next leaf says so. */
KLUIS_MUSTUSE kluis_status ledger_begin_anew(struct ledger *l, int64_t now_us, struct kluis_err *err);
void ledger_head(struct ledger *l, kluis_hash *out);
/* Inside a custody transaction: the log began anew at this time, as a leaf says that came back from the mirror. */
KLUIS_MUSTUSE kluis_status ledger_began(struct ledger *l, uint64_t since, struct kluis_err *err);
/* Inside a custody transaction. */
KLUIS_MUSTUSE kluis_status ledger_append(struct ledger *l, struct kluis_bytes leaf, uint64_t *index, struct kluis_err *err);
/* A checkpoint of the present tree: signed, sealed, stamped when `clock` (may be NULL) answers.  Made once for a size; one that is
 * not stamped yet is stamped on a later call.  *stamped says how it stands.  An empty tree gives E_NOTFOUND. */
KLUIS_MUSTUSE kluis_status ledger_checkpoint(struct ledger *l, const struct ledger_clock *clock, uint64_t *size, bool *stamped,
                                             struct kluis_err *err);
/* Receipt text (FORMAT.md §7) of leaf `index` against the checkpoint of `size`: the same arguments give the same bytes as long as
 * that checkpoint is stamped.  E_NOTFOUND: no such checkpoint. */
KLUIS_MUSTUSE kluis_status ledger_receipt(struct ledger *l, uint64_t index, uint64_t size, struct kluis_buf *out, struct kluis_err *err);
/* The proof (RFC 6962 §2.1.2) that the tree of `to` leaves continues the one of `from` (1 to `to`). */
KLUIS_MUSTUSE kluis_status ledger_consistency(struct ledger *l, uint64_t from, uint64_t to, kluis_hash proof[KLUIS_PROOF_MAX], size_t *n,
                                              struct kluis_err *err);
/* Recomputes every node and the head from the leaves, and checks the newest checkpoint's signature.  E_CORRUPT names what differs. */
KLUIS_MUSTUSE kluis_status ledger_check(struct ledger *l, struct kluis_err *err);

#endif
