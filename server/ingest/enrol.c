/* server/ingest/enrol.c - enrolment requests (PROTOCOL.md §3): a one-use secret authenticates both sides' keys. */
#include "server/ingest/ingest.h"

#include "server/log.h"

#define CLOCK_US ((int64_t)3600 * 1000000) /* certificates begin so much before now: a device further behind would refuse its own */
#define DEVICE_LIFE_US ((int64_t)2 * 365 * 86400 * 1000000)

static kluis_status refusal(enum kluis_enrol_refusal why, struct kluis_buf *reply, struct kluis_err *err)
{
    kluis_log(KLUIS_LOG_WARN, "enrol.refused", "reason=%s", kluis_enrol_refusal_word(why));
    return kluis_enrol_refusal_write(why, reply, err);
}

/* KLUIS_END: another key. */
static kluis_status same_key(struct kluis_bytes cert, struct kluis_bytes spki, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(theirs, KLUIS_CERT_MAX);
    KLUIS_TRY(kluis_cert_spki(cert, &theirs, err));
    return theirs.len == spki.len && memcmp(theirs.data, spki.ptr, spki.len) == 0 ? KLUIS_OK : KLUIS_END;
}

/* Was this reply made for the keys of this request?  A lost answer is given again, to nobody else (KLUIS_END). */
static kluis_status reply_is_for(struct kluis_bytes raw, const struct kluis_enrol_request *r, char device[33], struct kluis_err *err)
{
    struct kluis_enrol_reply reply;
    KLUIS_TRY(kluis_enrol_reply_read(raw, &reply, err));
    KLUIS_TRY(same_key(reply.device_cert, r->device_spki, err));
    KLUIS_TRY(same_key(reply.login_cert, r->login_spki, err));
    memcpy(device, reply.device, sizeof reply.device);
    return KLUIS_OK;
}

static kluis_status issue(const struct vault_keys *k, enum kluis_cert_role role, const char *id, struct kluis_bytes spki, int64_t now_us,
                          struct kluis_buf *cert, struct kluis_err *err)
{
    const struct kluis_cert_request q = {
        .role = role, .common_name = id, .spki_der = spki, .from_us = now_us - 3600LL * 1000000, .to_us = now_us + DEVICE_LIFE_US
    };
    return kluis_cert_issue(&q, k->device_ca, kluis_buf_bytes(&k->device_ca_cert), cert, err);
}

static kluis_status make_reply(const struct vault_keys *k, const struct kluis_code_keys *code, struct kluis_bytes request, const char *id,
                               struct kluis_bytes cert, struct kluis_bytes login, int64_t now_us, struct kluis_buf *reply, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(text, 256);
    KLUIS_AUTO_BUF(seal, KLUIS_P7S_MAX);
    KLUIS_TRY(kluis_session_statement(k->identity->public_key, &text, err));
    KLUIS_TRY(kluis_seal_sign(k->seal, kluis_buf_bytes(&text), kluis_buf_bytes(&k->seal_cert), NULL, 0, now_us, &seal, err));
    struct kluis_enrol_reply r = { .device_cert = cert,
                                   .login_cert = login,
                                   .ca_cert = kluis_buf_bytes(&k->device_ca_cert),
                                   .root_cert = kluis_buf_bytes(&k->root_cert),
                                   .trust_json = kluis_buf_bytes(&k->trust_json),
                                   .session_seal = kluis_buf_bytes(&seal) };
    (void)snprintf(r.device, sizeof r.device, "%s", id);
    memcpy(r.vault, k->identity->public_key, sizeof r.vault);
    return kluis_enrol_reply_write(&r, request, code, reply, err);
}

/* With the secret at hand: the keys are whose they should be. */
static kluis_status accept(struct reg *reg, const struct vault_keys *k, struct kluis_bytes raw, const struct kluis_enrol_request *r,
                           const struct kluis_code_keys *code, const char *official, int64_t now_us, char device[33], struct kluis_buf *reply,
                           struct kluis_err *err)
{
    uint8_t random_id[16];
    char id[33];
    struct reg_device d;
    KLUIS_AUTO_BUF(cert, KLUIS_CERT_MAX);
    KLUIS_AUTO_BUF(login, KLUIS_CERT_MAX);
    struct kluis_err why = { 0 };
    kluis_status rc = kluis_enrol_request_check(raw, code, &why);
    if (rc == KLUIS_E_REJECT) { return refusal(KLUIS_ENROL_MAC, reply, err); }
    if (rc != KLUIS_OK) {
        if (err != NULL) { *err = why; }
        return rc;
    }
    /* Before the code is used: with such a clock the device could not log in, and would not take its certificates.  Or it asked so long ago that
     * nobody waits for the answer. */
    if (r->made_us > now_us + CLOCK_US || r->made_us < now_us - CLOCK_US) { return refusal(KLUIS_ENROL_CLOCK, reply, err); }
    kluis_random(random_id, sizeof random_id);
    kluis_hex(random_id, sizeof random_id, id);
    rc = issue(k, KLUIS_CERT_DEVICE, id, r->device_spki, now_us, &cert, &why);
    if (rc == KLUIS_OK) { rc = issue(k, KLUIS_CERT_LOGIN, id, r->login_spki, now_us, &login, &why); }
    if (rc == KLUIS_E_REJECT) { return refusal(KLUIS_ENROL_MALFORMED, reply, err); }
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
    rc = reg_enrol(reg, r->code_id, &d, kluis_buf_bytes(reply), &why);
    if (rc == KLUIS_E_REJECT) {
        kluis_buf_clear(reply);
        return refusal(KLUIS_ENROL_USED, reply, err);
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
    struct kluis_enrol_request r;
    struct kluis_code_keys code;
    char official[64];
    uint8_t secret[16];
    struct kluis_err why = { 0 };
    device[0] = 0;
    if (kluis_enrol_request_read(raw, &r, NULL) != KLUIS_OK) { return refusal(KLUIS_ENROL_MALFORMED, reply, err); }
    kluis_status rc = reg_code_find(reg, r.code_id, now_us, official, secret, &why);
    if (rc == KLUIS_E_NOTFOUND) { return refusal(KLUIS_ENROL_UNKNOWN, reply, err); }
    if (rc == KLUIS_E_REJECT) {
        kluis_status had = reg_code_reply(reg, r.code_id, reply, err);
        if (had == KLUIS_OK) {
            /* None is kept of a device that came back from the gate's journal. */
            kluis_status same = reply->len == 0 ? KLUIS_END : reply_is_for(kluis_buf_bytes(reply), &r, device, err);
            if (same == KLUIS_OK) {
                kluis_buf_add(login_spki, r.login_spki.ptr, r.login_spki.len);
                return kluis_buf_ok(login_spki, err);
            }
            if (same != KLUIS_END) { return same; } /* what is ours must not be told as a code that was used */
        } else if (had != KLUIS_E_NOTFOUND) {
            return had;
        }
        if (err != NULL) { kluis_err_clear(err); }
        kluis_buf_clear(reply);
        return refusal(had == KLUIS_OK ? KLUIS_ENROL_USED : KLUIS_ENROL_EXPIRED, reply, err);
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
