/* server/ingest/enrol.c - enrolment requests (PROTOCOL.md §3): a one-use secret authenticates both sides' keys. */
#include "server/ingest/ingest.h"

#include "server/log.h"

enum { SPKI_MAX = 600, REQUEST_MAX = 16 << 10, REPLY_MAX = 1 << 20, MAC_FIELD = 4 + 32 };
#define DEVICE_LIFE_US ((int64_t)2 * 365 * 86400 * 1000000)

struct request {
    uint8_t id[16], identity[33], mac[32];
    struct kluis_bytes device_spki, login_spki, signed_part;
    uint32_t registration_id;
};

static kluis_status refusal(const char *word, struct kluis_buf *reply, struct kluis_err *err)
{
    kluis_log(KLUIS_LOG_WARN, "enrol.refused", "reason=%s", word);
    kluis_wire_label(reply, "chatkluis-enrol-refusal-v1");
    kluis_wire_str(reply, kluis_str_of(word));
    return kluis_buf_ok(reply, err);
}

static bool read_request(struct kluis_bytes b, struct request *r)
{
    struct kluis_wire w = kluis_wire_open(b);
    bool label = kluis_wire_is(&w, "chatkluis-enrol-request-v1");
    (void)kluis_wire_fixed(&w, r->id, sizeof r->id);
    r->device_spki = kluis_wire_get(&w, SPKI_MAX);
    r->login_spki = kluis_wire_get(&w, SPKI_MAX);
    (void)kluis_wire_fixed(&w, r->identity, sizeof r->identity);
    r->registration_id = kluis_wire_get_u32(&w);
    (void)kluis_wire_get_u64(&w);
    (void)kluis_wire_fixed(&w, r->mac, sizeof r->mac);
    if (!label || b.len > REQUEST_MAX || kluis_wire_end(&w, "enrolment request", NULL) != KLUIS_OK) { return false; }
    r->signed_part = (struct kluis_bytes){ b.ptr, b.len - MAC_FIELD };
    return true;
}

static bool same_key(struct kluis_bytes cert, struct kluis_bytes spki)
{
    KLUIS_AUTO_BUF(theirs, SPKI_MAX);
    return kluis_cert_spki(cert, &theirs, NULL) == KLUIS_OK && theirs.len == spki.len && memcmp(theirs.data, spki.ptr, spki.len) == 0;
}

/* Was this reply made for the keys of this request?  A lost answer is given again, to nobody else. */
static bool reply_is_for(struct kluis_bytes reply, const struct request *r, char device[33])
{
    struct kluis_wire w = kluis_wire_open(reply);
    (void)kluis_wire_is(&w, "chatkluis-enrol-reply-v1");
    struct kluis_bytes id = kluis_wire_get(&w, 32), cert = kluis_wire_get(&w, KLUIS_CERT_MAX), login = kluis_wire_get(&w, KLUIS_CERT_MAX);
    if (w.bad || id.len != 32 || !same_key(cert, r->device_spki) || !same_key(login, r->login_spki)) { return false; }
    memcpy(device, id.ptr, 32);
    device[32] = 0;
    return true;
}

static kluis_status issue(const struct vault_keys *k, enum kluis_cert_role role, const char *id, struct kluis_bytes spki, int64_t now_us,
                          struct kluis_buf *cert, struct kluis_err *err)
{
    const struct kluis_cert_request q = {
        .role = role, .common_name = id, .spki_der = spki, .from_us = now_us - 3600LL * 1000000, .to_us = now_us + DEVICE_LIFE_US
    };
    return kluis_cert_issue(&q, k->device_ca, kluis_buf_bytes(&k->device_ca_cert), cert, err);
}

/* The vault's Signal identity, certified by the seal (PROTOCOL.md §4.1). */
static kluis_status session_seal(const struct vault_keys *k, int64_t now_us, struct kluis_buf *out, struct kluis_err *err)
{
    char hex[67];
    KLUIS_AUTO_BUF(text, 256);
    kluis_hex(k->identity->public_key, 33, hex);
    kluis_buf_cstr(&text, "chatkluis-session-v1\n");
    kluis_buf_cstr(&text, hex);
    kluis_buf_byte(&text, '\n');
    KLUIS_TRY(kluis_buf_ok(&text, err));
    return kluis_seal_sign(k->seal, kluis_buf_bytes(&text), kluis_buf_bytes(&k->seal_cert), NULL, 0, now_us, out, err);
}

static kluis_status make_reply(const struct vault_keys *k, const struct kluis_code_keys *code, struct kluis_bytes request, const char *id,
                               struct kluis_bytes cert, struct kluis_bytes login, int64_t now_us, struct kluis_buf *reply, struct kluis_err *err)
{
    uint8_t mac[32], digest[32];
    KLUIS_AUTO_BUF(seal, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(bound, REPLY_MAX + 32);
    KLUIS_TRY(session_seal(k, now_us, &seal, err));
    kluis_wire_label(reply, "chatkluis-enrol-reply-v1");
    kluis_wire_str(reply, kluis_str_of(id));
    kluis_wire_field(reply, cert.ptr, cert.len);
    kluis_wire_field(reply, login.ptr, login.len);
    kluis_wire_field(reply, k->device_ca_cert.data, k->device_ca_cert.len);
    kluis_wire_field(reply, k->root_cert.data, k->root_cert.len);
    kluis_wire_field(reply, k->trust_json.data, k->trust_json.len);
    kluis_wire_field(reply, k->identity->public_key, 33);
    kluis_wire_field(reply, seal.data, seal.len);
    kluis_sha256_of(request.ptr, request.len, digest);
    kluis_buf_add(&bound, digest, sizeof digest);
    kluis_buf_add(&bound, reply->data, reply->len);
    KLUIS_TRY(kluis_buf_ok(&bound, err));
    KLUIS_TRY(kluis_hmac_sha256(code->reply, sizeof code->reply, bound.data, bound.len, mac, err));
    kluis_wire_field(reply, mac, sizeof mac);
    return kluis_buf_ok(reply, err);
}

/* With the secret at hand: the keys are whose they should be. */
static kluis_status accept(struct reg *reg, const struct vault_keys *k, struct kluis_bytes raw, const struct request *r,
                           const struct kluis_code_keys *code, const char *official, int64_t now_us, char device[33], struct kluis_buf *reply,
                           struct kluis_err *err)
{
    uint8_t mac[32], random_id[16];
    char id[33];
    struct reg_device d;
    KLUIS_AUTO_BUF(cert, KLUIS_CERT_MAX);
    KLUIS_AUTO_BUF(login, KLUIS_CERT_MAX);
    KLUIS_TRY(kluis_hmac_sha256(code->request, sizeof code->request, r->signed_part.ptr, r->signed_part.len, mac, err));
    if (!kluis_equal_secret(mac, r->mac, sizeof mac)) { return refusal("mac", reply, err); }
    kluis_random(random_id, sizeof random_id);
    kluis_hex(random_id, sizeof random_id, id);
    struct kluis_err why = { 0 };
    kluis_status rc = issue(k, KLUIS_CERT_DEVICE, id, r->device_spki, now_us, &cert, &why);
    if (rc == KLUIS_OK) { rc = issue(k, KLUIS_CERT_LOGIN, id, r->login_spki, now_us, &login, &why); }
    if (rc == KLUIS_E_REJECT) { return refusal("malformed", reply, err); }
    if (rc != KLUIS_OK) {
        if (err != NULL) { *err = why; }
        return rc;
    }
    KLUIS_TRY(make_reply(k, code, raw, id, kluis_buf_bytes(&cert), kluis_buf_bytes(&login), now_us, reply, err));
    memset(&d, 0, sizeof d);
    (void)snprintf(d.id, sizeof d.id, "%s", id);
    (void)snprintf(d.official, sizeof d.official, "%s", official);
    d.state = REG_DEVICE_ACTIVE;
    memcpy(d.identity, r->identity, sizeof d.identity);
    d.cert = kluis_buf_bytes(&cert);
    d.login_spki = r->login_spki;
    d.enrolled_us = now_us;
    rc = reg_enrol(reg, r->id, &d, kluis_buf_bytes(reply), &why);
    if (rc == KLUIS_E_REJECT) {
        kluis_buf_clear(reply);
        return refusal("used", reply, err);
    }
    if (rc != KLUIS_OK) {
        if (err != NULL) { *err = why; }
        return rc;
    }
    kluis_durable_step("vault.enrolled");
    memcpy(device, id, sizeof id);
    kluis_log(KLUIS_LOG_INFO, "enrol.device", "device=%s", id);
    return KLUIS_OK;
}

kluis_status ingest_enrol(struct reg *reg, const struct vault_keys *k, struct kluis_bytes raw, int64_t now_us, char device[33],
                          struct kluis_buf *login_spki, struct kluis_buf *reply, struct kluis_err *err)
{
    struct request r;
    struct kluis_code_keys code;
    char official[64];
    uint8_t secret[16];
    struct kluis_err why = { 0 };
    device[0] = 0;
    memset(&r, 0, sizeof r);
    if (!read_request(raw, &r)) { return refusal("malformed", reply, err); }
    kluis_status rc = reg_code_find(reg, r.id, now_us, official, secret, &why);
    if (rc == KLUIS_E_NOTFOUND) { return refusal("unknown", reply, err); }
    if (rc == KLUIS_E_REJECT) {
        struct kluis_err ignored = { 0 };
        kluis_status had = reg_code_reply(reg, r.id, reply, &ignored);
        if (had == KLUIS_OK && reply_is_for(kluis_buf_bytes(reply), &r, device)) {
            kluis_buf_add(login_spki, r.login_spki.ptr, r.login_spki.len);
            return kluis_buf_ok(login_spki, err);
        }
        kluis_buf_clear(reply);
        return refusal(had == KLUIS_OK ? "used" : "expired", reply, err);
    }
    if (rc == KLUIS_OK) { rc = kluis_code_derive(secret, &code, &why); }
    kluis_wipe(secret, sizeof secret);
    if (rc != KLUIS_OK) {
        if (err != NULL) { *err = why; }
        return rc;
    }
    rc = accept(reg, k, raw, &r, &code, official, now_us, device, reply, err);
    kluis_wipe(&code, sizeof code);
    if (rc == KLUIS_OK && device[0] != 0) {
        kluis_buf_add(login_spki, r.login_spki.ptr, r.login_spki.len);
        rc = kluis_buf_ok(login_spki, err);
    }
    return rc;
}
