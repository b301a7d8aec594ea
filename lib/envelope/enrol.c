/* enrol.c - the messages of an enrolment: one writer and one strict reader each (docs/PROTOCOL.md §3). */
#include "kluis/envelope.h"

#define REPLY "chatkluis-enrol-reply-v1"
#define REFUSAL "chatkluis-enrol-refusal-v1"

enum { MAC = 32, MAC_FIELD = 4 + MAC, FIELD_MAX = 128 << 10 };

/* In the order of enum kluis_enrol_refusal. */
static const char *const words[] = { "unknown", "expired", "used", "mac", "malformed", "clock" };
enum { WORDS = sizeof words / sizeof *words };

/* HMAC over `before` (may be empty) and everything of `message` before its MAC field. */
static kluis_status mac_of(const uint8_t key[32], struct kluis_bytes before, struct kluis_bytes message, uint8_t out[MAC], struct kluis_err *err)
{
    KLUIS_AUTO_BUF(bound, KLUIS_ENROL_REPLY_MAX + KLUIS_SHA256_LEN);
    kluis_buf_add(&bound, before.ptr, before.len);
    kluis_buf_add(&bound, message.ptr, message.len);
    KLUIS_TRY(kluis_buf_ok(&bound, err));
    return kluis_hmac_sha256(key, 32, bound.data, bound.len, out, err);
}

static kluis_status check_mac(const uint8_t key[32], struct kluis_bytes before, struct kluis_bytes raw, const char *complaint, struct kluis_err *err)
{
    uint8_t want[MAC];
    if (raw.len < MAC_FIELD) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s", complaint); }
    KLUIS_TRY(mac_of(key, before, (struct kluis_bytes){ raw.ptr, raw.len - MAC_FIELD }, want, err));
    bool same = kluis_equal_secret(want, raw.ptr + raw.len - MAC, MAC);
    kluis_wipe(want, sizeof want);
    return same ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_REJECT, "%s", complaint);
}

static kluis_status add_mac(const uint8_t key[32], struct kluis_bytes before, struct kluis_buf *out, struct kluis_err *err)
{
    uint8_t mac[MAC];
    KLUIS_TRY(kluis_buf_ok(out, err));
    KLUIS_TRY(mac_of(key, before, kluis_buf_bytes(out), mac, err));
    kluis_wire_field(out, mac, sizeof mac);
    return kluis_buf_ok(out, err);
}

kluis_status kluis_enrol_request_write(const struct kluis_enrol_request *r, const struct kluis_code_keys *k, struct kluis_buf *out,
                                       struct kluis_err *err)
{
    kluis_wire_label(out, KLUIS_ENROL_REQUEST);
    kluis_wire_field(out, k->id, sizeof k->id);
    kluis_wire_field(out, r->device_spki.ptr, r->device_spki.len);
    kluis_wire_field(out, r->login_spki.ptr, r->login_spki.len);
    kluis_wire_field(out, r->identity, sizeof r->identity);
    kluis_wire_u32(out, r->registration_id);
    kluis_wire_u64(out, (uint64_t)(r->made_us / 1000000));
    return add_mac(k->request, (struct kluis_bytes){ NULL, 0 }, out, err);
}

kluis_status kluis_enrol_request_read(struct kluis_bytes raw, struct kluis_enrol_request *out, struct kluis_err *err)
{
    struct kluis_wire w = kluis_wire_open(raw);
    uint8_t mac[MAC];
    memset(out, 0, sizeof *out);
    if (raw.len > KLUIS_ENROL_REQUEST_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "enrolment request: longer than %d bytes", KLUIS_ENROL_REQUEST_MAX);
    }
    (void)kluis_wire_is(&w, KLUIS_ENROL_REQUEST);
    (void)kluis_wire_fixed(&w, out->code_id, sizeof out->code_id);
    out->device_spki = kluis_wire_get(&w, KLUIS_ENROL_SPKI_MAX);
    out->login_spki = kluis_wire_get(&w, KLUIS_ENROL_SPKI_MAX);
    (void)kluis_wire_fixed(&w, out->identity, sizeof out->identity);
    out->registration_id = kluis_wire_get_u32(&w);
    uint64_t made_s = kluis_wire_get_u64(&w);
    (void)kluis_wire_fixed(&w, mac, sizeof mac);
    kluis_status rc = kluis_wire_end(&w, "enrolment request", err);
    if (rc == KLUIS_OK && made_s > INT64_MAX / 1000000) { rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "enrolment request: its time is out of range"); }
    if (rc != KLUIS_OK) {
        memset(out, 0, sizeof *out);
        return rc;
    }
    out->made_us = (int64_t)made_s * 1000000;
    return KLUIS_OK;
}

kluis_status kluis_enrol_request_check(struct kluis_bytes raw, const struct kluis_code_keys *k, struct kluis_err *err)
{
    return check_mac(k->request, (struct kluis_bytes){ NULL, 0 }, raw, "the enrolment request was not made with this code", err);
}

static struct kluis_bytes digest_of(struct kluis_bytes request, uint8_t sha[KLUIS_SHA256_LEN])
{
    kluis_sha256_of(request.ptr, request.len, sha);
    return (struct kluis_bytes){ sha, KLUIS_SHA256_LEN };
}

kluis_status kluis_enrol_reply_write(const struct kluis_enrol_reply *r, struct kluis_bytes request, const struct kluis_code_keys *k,
                                     struct kluis_buf *out, struct kluis_err *err)
{
    uint8_t sha[KLUIS_SHA256_LEN];
    kluis_wire_label(out, REPLY);
    kluis_wire_str(out, kluis_str_of(r->device));
    kluis_wire_field(out, r->device_cert.ptr, r->device_cert.len);
    kluis_wire_field(out, r->login_cert.ptr, r->login_cert.len);
    kluis_wire_field(out, r->ca_cert.ptr, r->ca_cert.len);
    kluis_wire_field(out, r->root_cert.ptr, r->root_cert.len);
    kluis_wire_field(out, r->trust_json.ptr, r->trust_json.len);
    kluis_wire_field(out, r->vault, sizeof r->vault);
    kluis_wire_field(out, r->session_seal.ptr, r->session_seal.len);
    return add_mac(k->reply, digest_of(request, sha), out, err);
}

kluis_status kluis_enrol_reply_read(struct kluis_bytes raw, struct kluis_enrol_reply *out, struct kluis_err *err)
{
    struct kluis_wire w = kluis_wire_open(raw);
    uint8_t mac[MAC], id[16];
    memset(out, 0, sizeof *out);
    if (raw.len > KLUIS_ENROL_REPLY_MAX) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "enrolment reply: longer than %d bytes", KLUIS_ENROL_REPLY_MAX); }
    (void)kluis_wire_is(&w, REPLY);
    (void)kluis_wire_fixed(&w, out->device, sizeof out->device - 1);
    out->device_cert = kluis_wire_get(&w, FIELD_MAX);
    out->login_cert = kluis_wire_get(&w, FIELD_MAX);
    out->ca_cert = kluis_wire_get(&w, FIELD_MAX);
    out->root_cert = kluis_wire_get(&w, FIELD_MAX);
    out->trust_json = kluis_wire_get(&w, FIELD_MAX);
    (void)kluis_wire_fixed(&w, out->vault, sizeof out->vault);
    out->session_seal = kluis_wire_get(&w, FIELD_MAX);
    (void)kluis_wire_fixed(&w, mac, sizeof mac);
    kluis_status rc = kluis_wire_end(&w, "enrolment reply", err);
    if (rc == KLUIS_OK && !kluis_unhex((struct kluis_str){ out->device, sizeof out->device - 1 }, id, sizeof id)) {
        rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "enrolment reply: it gives no proper device id");
    }
    if (rc != KLUIS_OK) { memset(out, 0, sizeof *out); }
    return rc;
}

kluis_status kluis_enrol_reply_check(struct kluis_bytes raw, struct kluis_bytes request, const struct kluis_code_keys *k, struct kluis_err *err)
{
    uint8_t sha[KLUIS_SHA256_LEN];
    return check_mac(k->reply, digest_of(request, sha), raw, "the reply does not come from the vault that made this code", err);
}

kluis_status kluis_enrol_refusal_write(enum kluis_enrol_refusal why, struct kluis_buf *out, struct kluis_err *err)
{
    kluis_wire_label(out, REFUSAL);
    kluis_wire_str(out, kluis_str_of(kluis_enrol_refusal_word(why)));
    return kluis_buf_ok(out, err);
}

bool kluis_enrol_refusal_read(struct kluis_bytes raw, enum kluis_enrol_refusal *why)
{
    struct kluis_wire w = kluis_wire_open(raw);
    *why = KLUIS_ENROL_OTHER;
    bool is = kluis_wire_is(&w, REFUSAL);
    struct kluis_bytes b = kluis_wire_get(&w, 32);
    if (!is || kluis_wire_end(&w, "refusal", NULL) != KLUIS_OK) { return false; }
    for (int i = 0; i < WORDS; i++) {
        if (kluis_str_is((struct kluis_str){ (const char *)b.ptr, b.len }, words[i])) { *why = (enum kluis_enrol_refusal)i; }
    }
    return true;
}

const char *kluis_enrol_refusal_word(enum kluis_enrol_refusal why)
{
    return (unsigned)why < WORDS ? words[why] : "malformed"; /* KLUIS_ENROL_OTHER is only read, never said */
}

kluis_status kluis_session_statement(const uint8_t identity[33], struct kluis_buf *out, struct kluis_err *err)
{
    char hex[67];
    kluis_hex(identity, 33, hex);
    kluis_buf_cstr(out, "chatkluis-session-v1\n");
    kluis_buf_cstr(out, hex);
    kluis_buf_byte(out, '\n');
    return kluis_buf_ok(out, err);
}
