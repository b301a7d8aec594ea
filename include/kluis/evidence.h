/* kluis/evidence.h - evidence records: proof of existence that outlives keys and digests.
 *
 * Source: RFC 4998 (ERS), DER.  One time-stamp stands over a hash tree of many objects; each object takes its own branch along as a
 * record.  An object is a data group: the digests of all files of one container (docs/FORMAT.md §10.3).
 * Before a time-stamp's certificate ends a newer one is put over it (time-stamp renewal, §5.2: reads no content); before a digest
 * weakens everything is hashed anew (hash-tree renewal, §5.2).  Depends on base and seal.  No state, no clock, no network.
 *
 * Digests travel as one run of bytes: n digests of kluis_digest_len each, in any order.
 */
#ifndef KLUIS_EVIDENCE_H
#define KLUIS_EVIDENCE_H

#include "kluis/seal.h"

enum {
    KLUIS_EVIDENCE_MAX = 4 << 20,  /* bytes of a record                                       */
    KLUIS_EVIDENCE_STAMPS = 256,   /* time-stamps in one record, all chains together          */
    KLUIS_EVIDENCE_LISTS = 64,     /* partial hash trees of one time-stamp                    */
    KLUIS_EVIDENCE_GROUP = 20480,  /* digests of one object, and of any one partial hash tree */
    KLUIS_EVIDENCE_BATCH = 1 << 20 /* objects under one time-stamp                            */
};

/* ---- a batch: one tree, one time-stamp, many records -------------------------------------------
 * new -> add* -> imprint (the caller has it stamped) -> record or renewed, for each object.  A batch keeps one digest an object. */
struct kluis_evidence_batch;
KLUIS_MUSTUSE kluis_status kluis_evidence_batch_new(enum kluis_digest digest, struct kluis_evidence_batch **out, struct kluis_err *err);
/* Adds an object; its index counts from 0.  E_LIMIT: no digests, too many, or the batch is full; E_BUG after _imprint. */
KLUIS_MUSTUSE kluis_status kluis_evidence_batch_add(struct kluis_evidence_batch *b, struct kluis_bytes digests, struct kluis_err *err);
/* The root: what the time authority must stamp.  Closes the batch.  E_LIMIT when it is empty. */
KLUIS_MUSTUSE kluis_status kluis_evidence_batch_imprint(struct kluis_evidence_batch *b, struct kluis_imprint *out, struct kluis_err *err);
/* The first evidence record of object `index`.  digests: as given to _add.  E_REJECT: other digests, or a token over something else. */
KLUIS_MUSTUSE kluis_status kluis_evidence_batch_record(const struct kluis_evidence_batch *b, size_t index, struct kluis_bytes digests,
                                                       struct kluis_bytes token, struct kluis_buf *record, struct kluis_err *err);
/* Hash-tree renewal: `old` with a new chain of this batch's digest.  digests: what kluis_evidence_rehash gave and _add took. */
KLUIS_MUSTUSE kluis_status kluis_evidence_batch_renewed(const struct kluis_evidence_batch *b, size_t index, struct kluis_bytes digests,
                                                        struct kluis_bytes token, struct kluis_bytes old, struct kluis_buf *record,
                                                        struct kluis_err *err);
void kluis_evidence_batch_free(struct kluis_evidence_batch *b);
KLUIS_DEFINE_CLEANUP(kluis_evidence_batch)

/* ---- renewal ------------------------------------------------------------------------------------
 * Time-stamp renewal.  What must be stamped: the digest of the newest token, in the digest of its chain.  All records of a batch share
 * token and imprint: one new token renews them all. */
KLUIS_MUSTUSE kluis_status kluis_evidence_renewal_imprint(struct kluis_bytes record, struct kluis_imprint *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_evidence_restamped(struct kluis_bytes old, struct kluis_bytes token, struct kluis_buf *record,
                                                    struct kluis_err *err);
/* Hash-tree renewal, first half: of each new digest d of the object, H(d || H(DER of all chains so far)); appended to out in the order
 * of `digests`.  H is `digest`; `digests` are made anew from the object's bytes. */
KLUIS_MUSTUSE kluis_status kluis_evidence_rehash(struct kluis_bytes old, enum kluis_digest digest, struct kluis_bytes digests, struct kluis_buf *out,
                                                 struct kluis_err *err);

/* ---- judging hostile records --------------------------------------------------------------------- */
/* The object as it is here, in every digest that the caller has of it: index by enum kluis_digest; ptr NULL: not computed. */
struct kluis_evidence_object {
    struct kluis_bytes digests[KLUIS_SHA512 + 1];
};
/* Which digests judging needs: bit (1 << digest).  E_REJECT: no evidence record that the reader accepts. */
KLUIS_MUSTUSE kluis_status kluis_evidence_needs(struct kluis_bytes record, unsigned *digests, struct kluis_err *err);

struct kluis_evidence_verdict {
    enum kluis_outcome outcome; /* INDETERMINATE: no anchor, a digest missing, or a time-stamp not renewed before its certificate ended */
    size_t chains, stamps;
    int64_t first_us, last_us;  /* of the oldest and newest token: the object existed at first_us.  KLUIS_TIME_ABSENT unless VALID */
    char reason[KLUIS_ERR_MSG]; /* of anything but VALID */
};
/* RFC 4998 §5.3, newest first: the last token must hold at at_us, each older one at the time of the next; the first list of every chain
 * must be exactly the object's digests.  OK with a verdict; E_NOMEM. */
KLUIS_MUSTUSE kluis_status kluis_evidence_judge(struct kluis_bytes record, const struct kluis_evidence_object *object,
                                                const struct kluis_bytes *tsa_anchors, size_t n, int64_t at_us, struct kluis_evidence_verdict *out,
                                                struct kluis_err *err);

#endif
