/* statement.c - messages inside a session, and the prekey bundle: one writer and one strict reader each (docs/PROTOCOL.md §4).
 */
#include "kluis/envelope.h"

#define DELIVERY "chatkluis-delivery-v1"
#define RETURN "chatkluis-return-v1"
#define ANSWER "chatkluis-answer-v1"
#define HOLDINGS "chatkluis-holdings-v1"
#define LOG "chatkluis-log-v1"
#define BUNDLE "chatkluis-prekeys-v1"
#define SECOND INT64_C(1000000)

enum { CURVE25519 = 0x05 }; /* first byte of a public key on the wire */

kluis_status kluis_delivery_write(const struct kluis_delivery *d, struct kluis_buf *out, struct kluis_err *err)
{
    if (d->sequence == 0) { return KLUIS_FAIL(err, KLUIS_E_BUG, "delivery: sequence numbers start at 1"); }
    bool back = d->device[0] != 0;
    if (back && (strlen(d->device) != KLUIS_RETURN_DEVICE - 1 || d->leaf.len > KLUIS_RETURN_LEAF_MAX || d->proof.len > KLUIS_RETURN_PROOF_MAX)) {
        return KLUIS_FAIL(err, KLUIS_E_BUG, "return: its device, leaf or proof is too long");
    }
    kluis_wire_label(out, back ? RETURN : DELIVERY);
    kluis_wire_field(out, d->package, sizeof d->package);
    kluis_wire_u64(out, d->sequence);
    kluis_wire_field(out, d->previous, sizeof d->previous);
    kluis_wire_field(out, d->key, sizeof d->key);
    kluis_wire_u64(out, d->length);
    kluis_wire_field(out, d->cipher_sha256, sizeof d->cipher_sha256);
    kluis_wire_field(out, d->upload, sizeof d->upload);
    if (back) {
        kluis_wire_field(out, d->device, KLUIS_RETURN_DEVICE - 1);
        kluis_wire_field(out, d->leaf.ptr, d->leaf.len);
        kluis_wire_field(out, d->proof.ptr, d->proof.len);
    }
    return kluis_buf_ok(out, err);
}

/* A device id is its text, in the one spelling that this vault gives. */
static bool read_device(struct kluis_wire *w, char out[KLUIS_RETURN_DEVICE])
{
    uint8_t raw[(KLUIS_RETURN_DEVICE - 1) / 2];
    struct kluis_bytes b = kluis_wire_get(w, KLUIS_RETURN_DEVICE - 1);
    if (!kluis_unhex((struct kluis_str){ (const char *)b.ptr, b.len }, raw, sizeof raw)) { return false; }
    kluis_hex(raw, sizeof raw, out);
    return memcmp(out, b.ptr, b.len) == 0;
}

static struct kluis_str read_text(struct kluis_wire *w, size_t max)
{
    struct kluis_bytes b = kluis_wire_get(w, max);
    return (struct kluis_str){ (const char *)b.ptr, b.len };
}

kluis_status kluis_delivery_read(struct kluis_bytes data, struct kluis_delivery *out, struct kluis_err *err)
{
    struct kluis_wire w = kluis_wire_open(data);
    memset(out, 0, sizeof *out);
    struct kluis_wire as_return = w;
    bool back = kluis_wire_is(&as_return, RETURN), known = true;
    if (back) {
        w = as_return;
    } else {
        (void)kluis_wire_is(&w, DELIVERY);
    }
    (void)kluis_wire_fixed(&w, out->package, sizeof out->package);
    out->sequence = kluis_wire_get_u64(&w);
    (void)kluis_wire_fixed(&w, out->previous, sizeof out->previous);
    (void)kluis_wire_fixed(&w, out->key, sizeof out->key);
    out->length = kluis_wire_get_u64(&w);
    (void)kluis_wire_fixed(&w, out->cipher_sha256, sizeof out->cipher_sha256);
    (void)kluis_wire_fixed(&w, out->upload, sizeof out->upload);
    if (back) {
        known = read_device(&w, out->device);
        out->leaf = read_text(&w, KLUIS_RETURN_LEAF_MAX);
        out->proof = read_text(&w, KLUIS_RETURN_PROOF_MAX);
    }
    kluis_status rc = kluis_wire_end(&w, "delivery", err);
    if (rc == KLUIS_OK && !known) { rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "return: its device is no id"); }
    if (rc == KLUIS_OK && (out->sequence == 0 || out->sequence > INT64_MAX || kluis_content_padded(out->length) == 0)) {
        rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "delivery: sequence or length out of range");
    }
    if (rc != KLUIS_OK) { kluis_wipe(out, sizeof *out); }
    return rc;
}

kluis_status kluis_holdings_write(const struct kluis_holding *list, size_t n, uint64_t log_size, struct kluis_buf *out, struct kluis_err *err)
{
    if (n > KLUIS_HOLDINGS_MAX) { return KLUIS_FAIL(err, KLUIS_E_BUG, "holdings: more than %d in one message", KLUIS_HOLDINGS_MAX); }
    kluis_wire_label(out, HOLDINGS);
    kluis_wire_u64(out, log_size);
    for (size_t i = 0; i < n; i++) {
        kluis_wire_field(out, list[i].package, sizeof list[i].package);
        kluis_wire_u32(out, list[i].state);
    }
    return kluis_buf_ok(out, err);
}

kluis_status kluis_holdings_read(struct kluis_bytes data, struct kluis_holding *list, size_t *n, uint64_t *log_size, struct kluis_err *err)
{
    struct kluis_wire w = kluis_wire_open(data);
    *n = 0;
    (void)kluis_wire_is(&w, HOLDINGS);
    *log_size = kluis_wire_get_u64(&w);
    while (kluis_wire_more(&w) && !w.bad) {
        if (*n == KLUIS_HOLDINGS_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "holdings: more than %d in one message", KLUIS_HOLDINGS_MAX); }
        struct kluis_holding *h = &list[(*n)++];
        (void)kluis_wire_fixed(&w, h->package, sizeof h->package);
        h->state = kluis_wire_get_u32(&w);
        if ((h->state & ~(uint32_t)(KLUIS_HOLDING_HERE | KLUIS_HOLDING_BACKED_UP)) != 0) { w.bad = true; }
    }
    return kluis_wire_end(&w, "holdings", err);
}

kluis_status kluis_log_write(const struct kluis_log_note *note, struct kluis_buf *out, struct kluis_err *err)
{
    kluis_wire_label(out, LOG);
    kluis_wire_field(out, note->checkpoint.ptr, note->checkpoint.len);
    kluis_wire_field(out, note->seal.ptr, note->seal.len);
    for (size_t i = 0; i < note->n_proof; i++) { kluis_wire_field(out, note->proof[i], sizeof note->proof[i]); }
    return kluis_buf_ok(out, err);
}

kluis_status kluis_log_read(struct kluis_bytes data, struct kluis_log_note *note, struct kluis_err *err)
{
    struct kluis_wire w = kluis_wire_open(data);
    note->n_proof = 0;
    (void)kluis_wire_is(&w, LOG);
    note->checkpoint = kluis_wire_get(&w, KLUIS_ANSWER_BODY_MAX);
    note->seal = kluis_wire_get(&w, KLUIS_ANSWER_BODY_MAX);
    while (kluis_wire_more(&w) && !w.bad) {
        if (note->n_proof == KLUIS_LOG_PROOF_MAX) {
            return KLUIS_FAIL(err, KLUIS_E_LIMIT, "the state of the log: a proof of more than %d hashes", KLUIS_LOG_PROOF_MAX);
        }
        (void)kluis_wire_fixed(&w, note->proof[note->n_proof++], sizeof note->proof[0]);
    }
    return kluis_wire_end(&w, "the state of the log", err);
}

static bool answer_kind_ok(uint32_t kind) { return kind >= KLUIS_ANSWER_RECEIPT && kind <= KLUIS_ANSWER_LOG; }

kluis_status kluis_answer_write(const struct kluis_answer *a, struct kluis_buf *out, struct kluis_err *err)
{
    if (!answer_kind_ok((uint32_t)a->kind)) { return KLUIS_FAIL(err, KLUIS_E_BUG, "answer: kind %u does not exist", (unsigned)a->kind); }
    if (a->body.len > KLUIS_ANSWER_BODY_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "answer: body of more than %d bytes", (int)KLUIS_ANSWER_BODY_MAX);
    }
    kluis_wire_label(out, ANSWER);
    kluis_wire_u32(out, (uint32_t)a->kind);
    kluis_wire_field(out, a->package, sizeof a->package);
    kluis_wire_field(out, a->body.ptr, a->body.len);
    return kluis_buf_ok(out, err);
}

kluis_status kluis_answer_read(struct kluis_bytes data, struct kluis_answer *out, struct kluis_err *err)
{
    struct kluis_wire w = kluis_wire_open(data);
    memset(out, 0, sizeof *out);
    (void)kluis_wire_is(&w, ANSWER);
    uint32_t kind = kluis_wire_get_u32(&w);
    (void)kluis_wire_fixed(&w, out->package, sizeof out->package);
    out->body = kluis_wire_get(&w, KLUIS_ANSWER_BODY_MAX);
    kluis_status rc = kluis_wire_end(&w, "answer", err);
    if (rc == KLUIS_OK && !answer_kind_ok(kind)) { rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "answer: unknown kind %u", (unsigned)kind); }
    if (rc != KLUIS_OK) {
        memset(out, 0, sizeof *out);
        return rc;
    }
    out->kind = (enum kluis_answer_kind)kind;
    return KLUIS_OK;
}

static bool bundle_ok(const struct kluis_bundle *b)
{
    return b->identity[0] == CURVE25519 && b->signed_prekey.public_key[0] == CURVE25519 && b->registration_id != 0 && b->signed_prekey.id != 0 &&
           b->epoch <= INT64_MAX && b->expires_us >= 0;
}

kluis_status kluis_bundle_write(const struct kluis_bundle *b, struct kluis_buf *out, struct kluis_err *err)
{
    if (!bundle_ok(b)) { return KLUIS_FAIL(err, KLUIS_E_BUG, "prekey bundle: a key, id, epoch or expiry is missing"); }
    kluis_wire_label(out, BUNDLE);
    kluis_wire_field(out, b->identity, sizeof b->identity);
    kluis_wire_u32(out, b->registration_id);
    kluis_wire_u32(out, b->signed_prekey.id);
    kluis_wire_field(out, b->signed_prekey.public_key, sizeof b->signed_prekey.public_key);
    kluis_wire_field(out, b->signed_prekey.signature, sizeof b->signed_prekey.signature);
    kluis_wire_u64(out, b->epoch);
    kluis_wire_u64(out, (uint64_t)(b->expires_us / SECOND));
    return kluis_buf_ok(out, err);
}

kluis_status kluis_bundle_read(struct kluis_bytes data, struct kluis_bundle *out, struct kluis_err *err)
{
    struct kluis_wire w = kluis_wire_open(data);
    memset(out, 0, sizeof *out);
    (void)kluis_wire_is(&w, BUNDLE);
    (void)kluis_wire_fixed(&w, out->identity, sizeof out->identity);
    out->registration_id = kluis_wire_get_u32(&w);
    out->signed_prekey.id = kluis_wire_get_u32(&w);
    (void)kluis_wire_fixed(&w, out->signed_prekey.public_key, sizeof out->signed_prekey.public_key);
    (void)kluis_wire_fixed(&w, out->signed_prekey.signature, sizeof out->signed_prekey.signature);
    out->epoch = kluis_wire_get_u64(&w);
    uint64_t expiry_s = kluis_wire_get_u64(&w);
    kluis_status rc = kluis_wire_end(&w, "prekey bundle", err);
    if (rc == KLUIS_OK) {
        out->expires_us = expiry_s > (uint64_t)(INT64_MAX / SECOND) ? -1 : (int64_t)expiry_s * SECOND;
        if (!bundle_ok(out)) { rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "prekey bundle: a key, id, epoch or expiry is out of range"); }
    }
    if (rc != KLUIS_OK) { memset(out, 0, sizeof *out); }
    return rc;
}
