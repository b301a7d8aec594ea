/* agent/courier/internal.h - shared by the courier's files.  Never leaves this folder. */
#ifndef AGENT_COURIER_INTERNAL_H
#define AGENT_COURIER_INTERNAL_H

#include "agent/courier/courier.h"
#include "agent/courier/http.h"
#include "kluis/envelope.h"
#include "kluis/validation.h"

struct courier {
    struct home *h;
    struct http *http;
    const struct kluis_trust *trust;
    uint8_t device_cert_sha[32];
    char device[64];
    struct kluis_key *login;
    struct kluis_buf root;
    struct kluis_identity *me; /* secret memory */
    uint8_t vault_identity[33];
    struct kluis_session_store store;
    struct kluis_session *session;
    uint64_t heard_epoch, asked_epoch; /* what the gate says of the newest bundle; for which of these it was fetched */
    bool clock_agreed;                 /* a signed request of this courier was accepted */
    int64_t retry_after_s;
    int64_t no_stamp_before_us; /* after a failed time-stamp */
};

/* A config value whose length is fixed. */
KLUIS_MUSTUSE kluis_status courier_fixed(struct home *h, const char *key, void *out, size_t n, struct kluis_err *err);
/* session.c: rows of session state, boxed under the home key. */
struct kluis_session_store courier_store(struct home *h);
KLUIS_MUSTUSE kluis_status courier_judge_session_seal(const struct kluis_trust *t, const uint8_t identity[33], struct kluis_bytes seal,
                                                      struct kluis_err *err);
/* E_REJECT: not a seal of this organisation over content; `what` names it in the message. */
KLUIS_MUSTUSE kluis_status courier_judge_seal(const struct kluis_trust *t, struct kluis_bytes seal, struct kluis_bytes content, const char *what,
                                              struct kluis_err *err);
/* Makes sure that there is a session, and that it is one the vault still has: fetches the bundle when there is none, or when what was
 * sent has stayed without an answer.  A new session unmakes the messages of everything that is not acknowledged. */
KLUIS_MUSTUSE kluis_status courier_ensure_session(struct courier *c, struct kluis_err *err);
/* Is there a bundle of a later epoch than this session's, that was not asked for yet?  So the gate says; epoch 0: it said nothing. */
KLUIS_MUSTUSE kluis_status courier_is_newer(struct courier *c, uint64_t epoch, bool *newer, struct kluis_err *err);
/* holdings.c: "holdings" of this home: 0, nothing to say; DUE, or when it was said last, and the vault has not answered. */
enum { COURIER_HOLDINGS_DUE = 1 };
/* After a new session: tells the vault what is still held here of what was acknowledged.  Again after a day without an answer, and once a day as
 * long as packages of an earlier enrolment are not known to stand in a backup. */
KLUIS_MUSTUSE kluis_status courier_tell_holdings(struct courier *c, struct courier_counts *counts, struct kluis_err *err);
/* How the vault's log stands (answer of kind 7), or a checkpoint that a receipt was proven against: noted if it is newer than what was seen.
 * note: the checkpoint with its seal (kluis_log_write), kept with the one before as evidence when it is not believed.
 * E_REJECT: the log shows two trees of one size, or (newest) went backwards.  In the caller's transaction. */
KLUIS_MUSTUSE kluis_status courier_note_log(struct courier *c, const struct kluis_checkpoint *k, struct kluis_bytes note, bool newest,
                                            struct kluis_err *err);
KLUIS_MUSTUSE kluis_status courier_note_receipt(struct courier *c, const struct kluis_checkpoint *k, const struct kluis_receipt *r,
                                                struct kluis_err *err);
KLUIS_MUSTUSE kluis_status courier_judge_log(struct courier *c, struct kluis_bytes body, struct kluis_err *err);
/* "suspended" of this home: by a statement of the vault it stands until a new enrolment; what only the gate says is shown and tried
 * again, because the gate alone must not be able to silence a device for good. */
enum { STANDING_GOOD = 0, STANDING_SUSPENDED = 1, STANDING_GATE_SAYS = 2 };
/* After a round of requests that ended in rc: notes what the gate says, and gives rc on. */
KLUIS_MUSTUSE kluis_status courier_standing(struct courier *c, kluis_status rc, struct kluis_err *err);
/* deliver.c: the message that opens a package: as it stands in the outbox, else made and stored there.  There must be a session. */
KLUIS_MUSTUSE kluis_status courier_message(struct courier *c, const struct stock_package *p, uint8_t id[16], struct kluis_buf *body,
                                           struct kluis_err *err);
/* Writes the id of an upload or a message. */
void courier_hex16(const uint8_t id[16], char out[33]);

#endif
