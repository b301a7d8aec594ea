/* kluis/envelope.h - end to end between device and vault: enrolment codes, Signal sessions, encrypted content, logins.
 *
 * docs/PROTOCOL.md §3-§6.  Libraries: kluis_envelope_build (content encryption, codes, login strings: base only) and
 * kluis_envelope (adds libsignal-protocol-c on a libgcrypt provider).  One thread per session store.
 */
#ifndef KLUIS_ENVELOPE_H
#define KLUIS_ENVELOPE_H

#include "kluis/base.h"

/* ---- content: C2SP chunked-encryption, AES-256-GCM, 16 KiB chunks, length-padded --------------------
 * Plaintext is u64be(true length) || bytes || zeros up to the padded length (PROTOCOL.md §4.2). */
enum { KLUIS_CONTENT_KEY = 32, KLUIS_CONTENT_CHUNK = 16384 };
uint64_t kluis_content_padded(uint64_t true_length);        /* whole padded plaintext; 0: longer than 1 PiB, which is refused */
uint64_t kluis_content_cipher_length(uint64_t true_length); /* likewise */
/* Encrypts in (exactly true_length bytes) to out; gives the SHA-256 of the ciphertext.  The same key must never be used for
 * other content: keys are made per package. */
KLUIS_MUSTUSE kluis_status kluis_content_encrypt(const uint8_t key[32], const struct kluis_input *in, uint64_t true_length,
                                                 const struct kluis_output *out, uint8_t cipher_sha256[32], struct kluis_err *err);
/* A decrypting input: reads ciphertext from `in`, gives exactly the true plaintext, fails (E_REJECT) on any change,
 * truncation or extension; nothing of a chunk is given before its tag was checked, and nothing of the chunk with the last true
 * byte before everything behind it was checked too. */
struct kluis_content_reader;
KLUIS_MUSTUSE kluis_status kluis_content_open(struct kluis_content_reader **out, const uint8_t key[32], const struct kluis_input *in,
                                              struct kluis_err *err);
struct kluis_input kluis_content_input(struct kluis_content_reader *r);
uint64_t kluis_content_length(const struct kluis_content_reader *r); /* true length; after open */
void kluis_content_reader_free(struct kluis_content_reader *r);      /* wipes */
KLUIS_DEFINE_CLEANUP(kluis_content_reader)

/* ---- enrolment code: base32(secret 16 || root fingerprint 16 || checksum 3), 56 letters in 8 groups of 7 ----------- */
enum { KLUIS_CODE_TEXT = 64 };
struct kluis_code {
    uint8_t secret[16];
    uint8_t root[16];
}; /* root: first 16 bytes of SHA-256(root certificate's SPKI DER) */
void kluis_code_write(const struct kluis_code *c, char out[KLUIS_CODE_TEXT]);
KLUIS_MUSTUSE kluis_status kluis_code_read(struct kluis_str text, struct kluis_code *out, struct kluis_err *err); /* spaces, dashes, case ignored */
/* Keys of one enrolment: id names the code on the wire; request and reply keys MAC the two messages. */
struct kluis_code_keys {
    uint8_t id[16], request[32], reply[32];
};
KLUIS_MUSTUSE kluis_status kluis_code_derive(const uint8_t secret[16], struct kluis_code_keys *out, struct kluis_err *err);

/* ---- enrolment: its two messages and the refusal (PROTOCOL.md §3).  What is read is borrowed from the raw bytes ---------------- */
#define KLUIS_ENROL_REQUEST "chatkluis-enrol-request-v1" /* label */
enum { KLUIS_ENROL_REQUEST_MAX = 16 << 10, KLUIS_ENROL_REPLY_MAX = 1 << 20, KLUIS_ENROL_SPKI_MAX = 600 };
struct kluis_enrol_request {
    uint8_t code_id[16]; /* read: which code; writing takes it from the code's keys */
    struct kluis_bytes device_spki, login_spki;
    uint8_t identity[33];
    uint32_t registration_id;
    int64_t made_us; /* whole seconds on the wire */
};
/* Reading judges the form (E_REJECT, *out zero); checking judges the MAC, for which the code must have been found (E_REJECT). */
KLUIS_MUSTUSE kluis_status kluis_enrol_request_write(const struct kluis_enrol_request *r, const struct kluis_code_keys *k, struct kluis_buf *out,
                                                     struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_enrol_request_read(struct kluis_bytes raw, struct kluis_enrol_request *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_enrol_request_check(struct kluis_bytes raw, const struct kluis_code_keys *k, struct kluis_err *err);
struct kluis_enrol_reply {
    char device[33]; /* 32 hex digits */
    struct kluis_bytes device_cert, login_cert, ca_cert, root_cert, trust_json, session_seal;
    uint8_t vault[33];
};
/* request: the raw bytes that are answered; the MAC covers their digest. */
KLUIS_MUSTUSE kluis_status kluis_enrol_reply_write(const struct kluis_enrol_reply *r, struct kluis_bytes request, const struct kluis_code_keys *k,
                                                   struct kluis_buf *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_enrol_reply_read(struct kluis_bytes raw, struct kluis_enrol_reply *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_enrol_reply_check(struct kluis_bytes raw, struct kluis_bytes request, const struct kluis_code_keys *k,
                                                   struct kluis_err *err);
/* Not authenticated: it ends the attempt and changes nothing. */
enum kluis_enrol_refusal {
    KLUIS_ENROL_UNKNOWN,
    KLUIS_ENROL_EXPIRED,
    KLUIS_ENROL_USED,
    KLUIS_ENROL_MAC,
    KLUIS_ENROL_MALFORMED,
    KLUIS_ENROL_CLOCK,
    KLUIS_ENROL_OTHER /* a word that this version does not know */
};
KLUIS_MUSTUSE kluis_status kluis_enrol_refusal_write(enum kluis_enrol_refusal why, struct kluis_buf *out, struct kluis_err *err);
bool kluis_enrol_refusal_read(struct kluis_bytes raw, enum kluis_enrol_refusal *why); /* false: it is none */
const char *kluis_enrol_refusal_word(enum kluis_enrol_refusal why);
/* What the seal signs to certify the vault's session identity (PROTOCOL.md §4.1). */
KLUIS_MUSTUSE kluis_status kluis_session_statement(const uint8_t identity[33], struct kluis_buf *out, struct kluis_err *err);

/* ---- login: what the login key signs (PROTOCOL.md §5) ------------------------------------------------ */
/* "chatkluis-login-v1\0" || wire fields gate, method, path, body sha256, nonce, u64 time (seconds). */
KLUIS_MUSTUSE kluis_status kluis_login_message(const char *gate, const char *method, const char *path, const uint8_t body_sha256[32],
                                               const char *nonce, int64_t time_s, struct kluis_buf *out, struct kluis_err *err);
/* true: 43 base64url characters (32 bytes) that are not, decoded, a complete DER value of universal tag SEQUENCE or SET. */
bool kluis_nonce_ok(struct kluis_str nonce);
void kluis_nonce_new(char out[44]);

/* ---- Signal sessions ------------------------------------------------------------------------------
 * The store is the caller's: rows by (table, key); callbacks run inside a call of this header, never after it.  Keys: SESSION the peer's
 * name, PREKEY and SIGNED_PREKEY the id in decimal; IDENTITY is not used (the peer's key is pinned by the caller).
 * One call may put and delete several rows, and may fail between them: the caller buffers them or holds a transaction, commits after
 * KLUIS_OK together with what the message brought, and rolls back after anything else.  A callback's error is returned as it is. */
enum kluis_store_table { KLUIS_STORE_SESSION, KLUIS_STORE_PREKEY, KLUIS_STORE_SIGNED_PREKEY, KLUIS_STORE_IDENTITY };
struct kluis_session_store {
    void *ctx;
    kluis_status (*get)(void *ctx, enum kluis_store_table t, const char *key, struct kluis_buf *out, struct kluis_err *err); /* E_NOTFOUND */
    kluis_status (*put)(void *ctx, enum kluis_store_table t, const char *key, struct kluis_bytes value, struct kluis_err *err);
    kluis_status (*del)(void *ctx, enum kluis_store_table t, const char *key, struct kluis_err *err);
};
struct kluis_identity {
    uint8_t public_key[33];
    uint8_t private_key[32];
    uint32_t registration_id;
};
KLUIS_MUSTUSE kluis_status kluis_identity_new(struct kluis_identity *out, struct kluis_err *err);

/* Prekeys: serialised records for the store, public halves for the bundle.  Ids are 1 … KLUIS_PREKEY_ID_MAX (E_USAGE beyond). */
enum { KLUIS_PREKEY_ID_MAX = 0xFFFFFE };
struct kluis_prekey {
    uint32_t id;
    uint8_t public_key[33];
};
KLUIS_MUSTUSE kluis_status kluis_prekeys_new(const struct kluis_session_store *store, uint32_t first_id, uint32_t count, struct kluis_prekey *out,
                                             struct kluis_err *err);
struct kluis_signed_prekey {
    uint32_t id;
    uint8_t public_key[33];
    uint8_t signature[64];
};
KLUIS_MUSTUSE kluis_status kluis_signed_prekey_new(const struct kluis_session_store *store, const struct kluis_identity *me, uint32_t id,
                                                   int64_t now_us, struct kluis_signed_prekey *out, struct kluis_err *err);
/* A bundle as one side uses it (its wire form and seal: PROTOCOL.md §4.1). */
struct kluis_bundle {
    uint8_t identity[33];
    uint32_t registration_id;
    struct kluis_signed_prekey signed_prekey;
    bool has_prekey;
    struct kluis_prekey prekey;
    uint64_t epoch;
    int64_t expires_us;
};
KLUIS_MUSTUSE kluis_status kluis_bundle_write(const struct kluis_bundle *b, struct kluis_buf *out,
                                              struct kluis_err *err); /* without the one-time prekey: what the seal signs */
KLUIS_MUSTUSE kluis_status kluis_bundle_read(struct kluis_bytes data, struct kluis_bundle *out, struct kluis_err *err);

struct kluis_session;
/* peer: the other side's name, e.g. "vault" or a device id.  The store and identity are borrowed. The peer's identity key is pinned
 * by `peer_identity` (33 bytes): any other is refused with E_REJECT. */
KLUIS_MUSTUSE kluis_status kluis_session_open(struct kluis_session **out, const struct kluis_session_store *store, const struct kluis_identity *me,
                                              const char *peer, const uint8_t peer_identity[33], struct kluis_err *err);
bool kluis_session_exists(struct kluis_session *s);
/* Starts anew from a bundle (X3DH), replacing what was there: messages of the session before it are refused from now on.
 * E_REJECT: another identity than pinned, or a signed prekey that this identity did not sign.  The bundle's seal, expiry and epoch are
 * the caller's to judge. */
KLUIS_MUSTUSE kluis_status kluis_session_start(struct kluis_session *s, const struct kluis_bundle *b, struct kluis_err *err);
/* One byte of type (1 ratchet message, 2 prekey message) and the Signal message.  E_NOTFOUND: no session yet; E_LIMIT: longer than
 * KLUIS_SESSION_PLAIN_MAX. */
enum { KLUIS_SESSION_PLAIN_MAX = 1 << 20 };
KLUIS_MUSTUSE kluis_status kluis_session_encrypt(struct kluis_session *s, struct kluis_bytes plain, struct kluis_buf *out, struct kluis_err *err);
/* E_EXISTS: seen before (a replay).  E_REJECT: cannot be opened with this session, or belongs to one older than it
 * (kluis_session_was_older then says so).  used_prekey: id of the one-time prekey it consumed, or 0. */
KLUIS_MUSTUSE kluis_status kluis_session_decrypt(struct kluis_session *s, struct kluis_bytes message, struct kluis_buf *plain, uint32_t *used_prekey,
                                                 struct kluis_err *err);
/* The last decrypt was refused because its message, genuine, was made with a session that a newer one has replaced: a device that
 * went back to an older state, or a message delivered late. */
bool kluis_session_was_older(const struct kluis_session *s);
void kluis_session_free(struct kluis_session *s);
KLUIS_DEFINE_CLEANUP(kluis_session)

/* ---- statements that travel inside a session (PROTOCOL.md §6): one encoder and decoder for both sides --------------- */
/* device -> vault: "chatkluis-delivery-v1"; or "chatkluis-return-v1", of a package that an earlier enrolment of the same home delivered and this
 * vault acknowledged: the same fields, and behind them device, leaf and proof. */
enum { KLUIS_RETURN_DEVICE = 33, KLUIS_RETURN_LEAF_MAX = 4096, KLUIS_RETURN_PROOF_MAX = 32 << 10 };
struct kluis_delivery {
    uint8_t package[32];
    uint64_t sequence;
    uint8_t previous[32];
    uint8_t key[32];
    uint64_t length;
    uint8_t cipher_sha256[32];
    uint8_t upload[16];
    char device[KLUIS_RETURN_DEVICE]; /* of a return: who made it, 32 hex digits; else empty                                    */
    struct kluis_str leaf, proof;     /* of a return: of its receipt (FORMAT.md §7), borrowed; both empty where that is too long */
};
KLUIS_MUSTUSE kluis_status kluis_delivery_write(const struct kluis_delivery *d, struct kluis_buf *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_delivery_read(struct kluis_bytes data, struct kluis_delivery *out, struct kluis_err *err);
/* device -> vault: "chatkluis-holdings-v1" || u64 log size || (package id[32] || u32 state)*: what it still holds of what was acknowledged, so that a
 * vault which was set back can ask for what it lacks, and the size of the newest checkpoint that it saw (0: none), which the log is to be shown to
 * continue.  One message of a list that may take several. */
enum { KLUIS_HOLDINGS_MAX = 1000, KLUIS_HOLDING_HERE = 1, KLUIS_HOLDING_BACKED_UP = 2 };
struct kluis_holding {
    uint8_t package[32];
    uint32_t state; /* bits: HERE, it can be sent again from this home; BACKED_UP, it was told that it stands in a completed backup */
};
KLUIS_MUSTUSE kluis_status kluis_holdings_write(const struct kluis_holding *list, size_t n, uint64_t log_size, struct kluis_buf *out,
                                                struct kluis_err *err);
/* list has room for KLUIS_HOLDINGS_MAX. */
KLUIS_MUSTUSE kluis_status kluis_holdings_read(struct kluis_bytes data, struct kluis_holding *list, size_t *n, uint64_t *log_size,
                                               struct kluis_err *err);
enum kluis_answer_kind {
    KLUIS_ANSWER_RECEIPT = 1,
    KLUIS_ANSWER_REFUSAL = 2,
    KLUIS_ANSWER_BACKED_UP = 3,
    KLUIS_ANSWER_RESEND = 4,
    KLUIS_ANSWER_SUSPENDED = 5,
    KLUIS_ANSWER_REGIME = 6,
    KLUIS_ANSWER_LOG = 7
};
enum { KLUIS_ANSWER_BODY_MAX = 512 << 10, KLUIS_ANSWER_PACKAGES_MAX = 1000 };
struct kluis_answer { /* vault -> device: "chatkluis-answer-v1" */
    enum kluis_answer_kind kind;
    uint8_t package[32];
    struct kluis_bytes
        body; /* receipt text (FORMAT.md §7), or a sealed refusal; of kind 7 the newest checkpoint (kluis_log_write), or empty; of kinds 3 and 4 the
               * ids of further packages, 32 bytes each, so that one answer is about at most KLUIS_ANSWER_PACKAGES_MAX of them */
};
/* Body of kind 7: "chatkluis-log-v1" || checkpoint || seal || hash[32]*: the consistency proof (RFC 6962 §2.1.2) from the size that the device named
 * to the checkpoint's; none where there is none to give. */
enum { KLUIS_LOG_PROOF_MAX = 128 };
struct kluis_log_note {
    struct kluis_bytes checkpoint, seal; /* borrowed */
    uint8_t proof[KLUIS_LOG_PROOF_MAX][32];
    size_t n_proof;
};
KLUIS_MUSTUSE kluis_status kluis_log_write(const struct kluis_log_note *note, struct kluis_buf *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_log_read(struct kluis_bytes data, struct kluis_log_note *note, struct kluis_err *err); /* borrowed from data */
KLUIS_MUSTUSE kluis_status kluis_answer_write(const struct kluis_answer *a, struct kluis_buf *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_answer_read(struct kluis_bytes data, struct kluis_answer *out, struct kluis_err *err); /* body borrowed from data */

#endif
