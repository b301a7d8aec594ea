/* server/custody/custody.h - what the vault has taken in: sessions, inbox, wrapped keys, packages, leaves, outbox.
 *
 * ingest -> [custody]; ledger keeps its leaves and nodes here too, so that a package and its leaf are one commit.
 * custody.db: WAL, synchronous=FULL.  One writer process: the vault.  One connection behind one recursive lock: a
 * transaction holds the lock from begin to commit or rollback, and nothing slow (libsignal, openers, network) happens in it.
 */
#ifndef SERVER_CUSTODY_H
#define SERVER_CUSTODY_H

#include "kluis/base.h"

enum { CUSTODY_WRAPPED_MAX = 128, CUSTODY_DEVICE = 33, CUSTODY_OFFICIAL = 64 };

struct custody;
/* Opens or creates <vault_dir>/custody.db.  E_CORRUPT: not ours, or a later version. */
KLUIS_MUSTUSE kluis_status custody_open(struct custody **out, const char *vault_dir, struct kluis_err *err);
void custody_free(struct custody *c);
KLUIS_DEFINE_CLEANUP(custody)

/* begin ... commit or rollback, by the same thread.  `step` names the durable step.  After a failed commit it is rolled back. */
KLUIS_MUSTUSE kluis_status custody_begin(struct custody *c, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status custody_commit(struct custody *c, const char *step, struct kluis_err *err);
void custody_rollback(struct custody *c);
/* SQLite's own check of the file.  E_CORRUPT. */
KLUIS_MUSTUSE kluis_status custody_integrity(struct custody *c, struct kluis_err *err);

/* A consistent copy at `path` (must not exist), on disk when it returns OK; the vault goes on meanwhile.  It is a backup's: without sessions,
 * prekeys and answers under way (worthless later, and secrets), and marked, so that whoever opens it knows that it was set back. */
KLUIS_MUSTUSE kluis_status custody_copy(struct custody *c, const char *path, struct kluis_err *err);
/* In a transaction: no session, prekey or encrypted answer is left, and the next bundle has another epoch. */
KLUIS_MUSTUSE kluis_status custody_forget_sessions(struct custody *c, struct kluis_err *err);

/* ---- meta: small facts of the vault itself.  A number that was never set reads as `absent`. ---- */
#define CUSTODY_LOG_SINCE "log-since"           /* Unix seconds at which the log began anew, its mirror being lost; absent: never */
#define CUSTODY_BACKED_UP "backed-up"           /* packages up to this sequence stand in a completed backup */
#define CUSTODY_BACKED_UP_AT "backed-up-at"     /* when that was made, microseconds                         */
#define CUSTODY_BACKED_UP_TOLD "backed-up-told" /* devices were told up to this sequence                    */
#define CUSTODY_SET_BACK "set-back"             /* 1: a backup's copy, and the gate's mirror was not asked yet */
KLUIS_MUSTUSE kluis_status custody_number_get(struct custody *c, const char *key, uint64_t absent, uint64_t *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status custody_number_set(struct custody *c, const char *key, uint64_t value, struct kluis_err *err);

/* ---- session store: rows by (table, key), as kluis/envelope.h numbers its tables ---- */
KLUIS_MUSTUSE kluis_status custody_session_get(struct custody *c, int table, const char *key, struct kluis_buf *out,
                                               struct kluis_err *err); /* E_NOTFOUND */
KLUIS_MUSTUSE kluis_status custody_session_put(struct custody *c, int table, const char *key, struct kluis_bytes value, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status custody_session_del(struct custody *c, int table, const char *key, struct kluis_err *err);

/* ---- inbox (T1) ---- */
enum custody_state { CUSTODY_WAITING = 0, CUSTODY_ACCEPTED = 1, CUSTODY_REFUSED = 2 };
struct custody_delivery {
    uint64_t number; /* set by custody_inbox_add                        */
    char device[CUSTODY_DEVICE];
    uint8_t message[16];     /* the gate's message id                            */
    uint8_t body_sha256[32]; /* of the session message: tells a replay from a fork */
    uint8_t package[32];
    uint64_t sequence;
    uint8_t previous[32];
    uint64_t length, cipher_length;
    uint8_t cipher_sha256[32];
    uint8_t wrapped[CUSTODY_WRAPPED_MAX];
    size_t wrapped_len;
    int64_t received_us;
    enum custody_state state;
    char via[CUSTODY_DEVICE]; /* of a package that came back: the device whose session brought it; else empty */
    uint8_t signer[32];       /* then: SHA-256 of the certificate that the ledger names for the package       */
};
/* Who is told what becomes of it. */
static inline const char *custody_bringer(const struct custody_delivery *d) { return d->via[0] != 0 ? d->via : d->device; }
/* E_EXISTS: this device used this number before. */
KLUIS_MUSTUSE kluis_status custody_inbox_add(struct custody *c, struct custody_delivery *d, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status custody_inbox_get(struct custody *c, uint64_t number, struct custody_delivery *out, struct kluis_err *err);
/* The first waiting one after `number`.  E_NOTFOUND. */
KLUIS_MUSTUSE kluis_status custody_inbox_next(struct custody *c, uint64_t number, struct custody_delivery *out, struct kluis_err *err);
/* By what the gate calls it, or by the session message's hash (device: who brought it); by the maker's own number; by package. E_NOTFOUND. */
KLUIS_MUSTUSE kluis_status custody_inbox_by_message(struct custody *c, const char *device, const uint8_t message[16], const uint8_t body_sha256[32],
                                                    struct custody_delivery *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status custody_inbox_by_sequence(struct custody *c, const char *device, uint64_t sequence, struct custody_delivery *out,
                                                     struct kluis_err *err);
KLUIS_MUSTUSE kluis_status custody_inbox_by_package(struct custody *c, const uint8_t package[32], struct custody_delivery *out,
                                                    struct kluis_err *err);

/* Session messages that were opened and made no inbox row (a repeat, a refusal): coming again they change nothing, and a used message
 * key is not taken for a fork.  package: what was answered about, or zero. */
KLUIS_MUSTUSE kluis_status custody_handled_add(struct custody *c, const char *device, const uint8_t message[16], const uint8_t body_sha256[32],
                                               const uint8_t package[32], struct kluis_err *err);
KLUIS_MUSTUSE kluis_status custody_handled_get(struct custody *c, const char *device, const uint8_t message[16], const uint8_t body_sha256[32],
                                               uint8_t package[32], struct kluis_err *err); /* E_NOTFOUND */

/* ---- packages (T2) ---- */
struct custody_package {
    uint64_t sequence; /* dense from 1, set by custody_package_add          */
    uint64_t delivery; /* its inbox row                                     */
    char official[CUSTODY_OFFICIAL];
    uint8_t records_root[32], device_cert[32];
    uint64_t n_records;
    char verdict[16];      /* "valid" | "indeterminate"                         */
    uint64_t leaf;         /* ledger index                                      */
    bool awaited;          /* that leaf stood there before: custody_package_add takes it off the list */
    uint64_t receipt_size; /* tree size its receipt proves against; 0: none yet */
    bool receipt_stamped;
    struct custody_delivery d; /* filled on reading                                 */
};
/* Marks the inbox row accepted. */
KLUIS_MUSTUSE kluis_status custody_package_add(struct custody *c, struct custody_package *p, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status custody_package_get(struct custody *c, uint64_t sequence, struct custody_package *out,
                                               struct kluis_err *err); /* E_NOTFOUND */
KLUIS_MUSTUSE kluis_status custody_package_by_delivery(struct custody *c, uint64_t delivery, struct custody_package *out, struct kluis_err *err);
/* Whose packages those above `above` and up to `upto` are, at most `most`, in rising order. */
KLUIS_MUSTUSE kluis_status custody_owners(struct custody *c, uint64_t above, uint64_t upto, size_t most, void *ctx,
                                          kluis_status (*each)(void *ctx, uint64_t sequence, const char *device, const uint8_t package[32],
                                                               struct kluis_err *err),
                                          struct kluis_err *err);
KLUIS_MUSTUSE kluis_status custody_last_package(struct custody *c, uint64_t *sequence, struct kluis_err *err); /* 0: there is none */
KLUIS_MUSTUSE kluis_status custody_package_receipt(struct custody *c, uint64_t sequence, uint64_t tree_size, bool stamped, struct kluis_err *err);
/* The first package after `sequence` whose receipt is not stamped yet and whose leaf lies below `size`.  E_NOTFOUND. */
KLUIS_MUSTUSE kluis_status custody_package_unstamped(struct custody *c, uint64_t sequence, uint64_t size, struct custody_package *out,
                                                     struct kluis_err *err);

/* Leaves of packages that were accepted before the vault was set back, and are not here again yet.  add: in a transaction. */
KLUIS_MUSTUSE kluis_status custody_awaited_add(struct custody *c, const uint8_t package[32], uint64_t leaf, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status custody_awaited_get(struct custody *c, const uint8_t package[32], uint64_t *leaf, struct kluis_err *err); /* E_NOTFOUND */

/* ---- refusals: kept for the operator; the ciphertext stays quarantined ---- */
struct custody_refusal {
    uint64_t number, delivery; /* delivery 0: it never became an inbox row            */
    char device[CUSTODY_DEVICE];
    uint8_t package[32];
    uint64_t sequence;
    char layer[32], reason[KLUIS_ERR_MSG];
    int64_t refused_us;
    struct kluis_bytes statement; /* CAdES with the text inside or beside, as answered   */
};
KLUIS_MUSTUSE kluis_status custody_refusal_add(struct custody *c, struct custody_refusal *r, struct kluis_err *err);
/* Walks them; `statement` is borrowed during the call. */
KLUIS_MUSTUSE kluis_status custody_refusals(struct custody *c, void *ctx,
                                            kluis_status (*each)(void *ctx, const struct custody_refusal *r, struct kluis_err *err),
                                            struct kluis_err *err);
KLUIS_MUSTUSE kluis_status custody_refusal_by_delivery(struct custody *c, uint64_t delivery, struct kluis_buf *statement,
                                                       struct kluis_err *err); /* E_NOTFOUND */

/* ---- outbox: an answer is made once, encrypted once, posted until the gate has it ---- */
enum custody_outbox_state { CUSTODY_TO_MAKE = 0, CUSTODY_TO_POST = 1, CUSTODY_POSTED = 2 };
struct custody_answer {
    uint64_t number;
    uint8_t message[16];
    char device[CUSTODY_DEVICE];
    uint32_t kind;
    uint8_t package[32];
    uint64_t package_sequence; /* of a receipt: its package; else 0                  */
    uint64_t tree_size;        /* handed out once the mirror holds so many leaves     */
    enum custody_outbox_state state;
};
/* body: of a refusal and the like; empty for a receipt, which is made from ledger and package. Gives it a random message id. */
KLUIS_MUSTUSE kluis_status custody_outbox_add(struct custody *c, struct custody_answer *a, struct kluis_bytes body, struct kluis_err *err);
/* First one after `number` in that state, with its body (plain or encrypted).  E_NOTFOUND. */
KLUIS_MUSTUSE kluis_status custody_outbox_next(struct custody *c, uint64_t number, enum custody_outbox_state state, struct custody_answer *out,
                                               struct kluis_buf *body, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status custody_outbox_encrypted(struct custody *c, uint64_t number, uint64_t tree_size, struct kluis_bytes body,
                                                    struct kluis_err *err);
KLUIS_MUSTUSE kluis_status custody_outbox_posted(struct custody *c, uint64_t number, struct kluis_err *err);
/* Posts again what this package was answered with (same bytes, same id).  E_NOTFOUND: nothing was made yet. */
KLUIS_MUSTUSE kluis_status custody_outbox_again(struct custody *c, const uint8_t package[32], struct kluis_err *err);

/* ---- ledger rows ---- */
KLUIS_MUSTUSE kluis_status custody_leaf_add(struct custody *c, uint64_t index, struct kluis_bytes data, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status custody_leaf_get(struct custody *c, uint64_t index, struct kluis_buf *out, struct kluis_err *err); /* E_NOTFOUND */
KLUIS_MUSTUSE kluis_status custody_node_put(struct custody *c, unsigned level, uint64_t index, const uint8_t hash[32], struct kluis_err *err);
KLUIS_MUSTUSE kluis_status custody_node_get(struct custody *c, unsigned level, uint64_t index, uint8_t hash[32],
                                            struct kluis_err *err); /* E_NOTFOUND */
struct custody_checkpoint {
    uint64_t size;
    bool stamped;
    int64_t made_us;
};
KLUIS_MUSTUSE kluis_status custody_checkpoint_put(struct custody *c, const struct custody_checkpoint *k, struct kluis_str text,
                                                  struct kluis_bytes seal, struct kluis_err *err);
/* size 0: the latest.  text and seal may be NULL.  E_NOTFOUND. */
KLUIS_MUSTUSE kluis_status custody_checkpoint_get(struct custody *c, uint64_t size, struct custody_checkpoint *out, struct kluis_buf *text,
                                                  struct kluis_buf *seal, struct kluis_err *err);

/* The largest one with above < size <= most.  E_NOTFOUND. */
KLUIS_MUSTUSE kluis_status custody_checkpoint_within(struct custody *c, uint64_t above, uint64_t most, struct custody_checkpoint *out,
                                                     struct kluis_buf *text, struct kluis_buf *seal, struct kluis_err *err);

struct custody_counts {
    uint64_t packages, records, leaves, waiting, refused, to_make, to_post, receipts, unstamped, awaited;
};
KLUIS_MUSTUSE kluis_status custody_count(struct custody *c, struct custody_counts *out, struct kluis_err *err);
/* When this device's newest accepted delivery was received; KLUIS_TIME_ABSENT: never. */
KLUIS_MUSTUSE kluis_status custody_last_delivery(struct custody *c, const char *device, int64_t *us, struct kluis_err *err);

#endif
