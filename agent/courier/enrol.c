/* agent/courier/enrol.c - docs/PROTOCOL.md §3, device side.
 *
 * Gate and network are strangers here: the code's secret, through two MACs, and its fingerprint of the root are all that is believed. */
#include "agent/courier/internal.h"

#include <string.h>

enum { ATTEMPT_S = 180, WAIT_S = 20, TICKET = 32 };

struct fresh {
    struct kluis_key *device, *login;
    struct kluis_identity *me;
    struct kluis_buf device_spki, login_spki;
};
static kluis_status make_keys(struct fresh *f, struct kluis_err *err)
{
    kluis_buf_init(&f->device_spki, 1024);
    kluis_buf_init(&f->login_spki, 1024);
    f->me = kluis_secret_new(sizeof *f->me);
    if (f->me == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for keys"); }
    KLUIS_TRY(kluis_key_generate(&f->device, err));
    KLUIS_TRY(kluis_key_generate(&f->login, err));
    KLUIS_TRY(kluis_identity_new(f->me, err));
    KLUIS_TRY(kluis_key_public(f->device, &f->device_spki, err));
    return kluis_key_public(f->login, &f->login_spki, err);
}

static kluis_status write_request(const struct fresh *f, const struct kluis_code_keys *k, struct kluis_buf *out, struct kluis_err *err)
{
    struct kluis_enrol_request r = { .device_spki = kluis_buf_bytes(&f->device_spki),
                                     .login_spki = kluis_buf_bytes(&f->login_spki),
                                     .registration_id = f->me->registration_id,
                                     .made_us = kluis_now_us() };
    memcpy(r.identity, f->me->public_key, sizeof r.identity);
    return kluis_enrol_request_write(&r, k, out, err);
}

/* ---- over the wire ---- */

static kluis_status post(struct http *http, const struct kluis_buf *request, char ticket[TICKET + 1], struct kluis_err *err)
{
    struct http_answer a = { 0 };
    kluis_buf_init(&a.body, 4096);
    kluis_status rc = http_request(http, "POST", "/v1/enrol", kluis_buf_bytes(request), false, 30, &a, err);
    if (rc == KLUIS_OK && a.status != 202) { rc = http_refusal(&a, "the gate does not take the enrolment", err); }
    if (rc == KLUIS_OK) {
        uint8_t id[TICKET / 2];
        while (a.body.len > 0 && a.body.data[a.body.len - 1] == '\n') { a.body.len--; }
        if (a.body.len == sizeof id) { /* the ticket's own bytes are as good as their digits */
            kluis_hex(a.body.data, sizeof id, ticket);
        } else if (a.body.len == TICKET && kluis_unhex((struct kluis_str){ (const char *)a.body.data, TICKET }, id, sizeof id)) {
            kluis_hex(id, sizeof id, ticket);
        } else {
            rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "the gate's answer to the enrolment is not a ticket");
        }
    }
    kluis_buf_free(&a.body);
    return rc;
}

/* The same request may be posted again: the vault answers it with the same reply, so that a lost answer does not burn the code. */
static kluis_status exchange(struct http *http, const struct kluis_buf *request, struct kluis_buf *reply, struct kluis_err *err)
{
    char ticket[TICKET + 1] = "", path[96];
    int64_t until = kluis_monotonic_us() + (int64_t)ATTEMPT_S * 1000000;
    struct http_answer a = { 0 };
    kluis_buf_init(&a.body, KLUIS_ENROL_REPLY_MAX);
    kluis_status rc = KLUIS_OK;
    for (bool done = false; !done;) {
        if (ticket[0] == '\0') { rc = post(http, request, ticket, err); }
        if (rc == KLUIS_OK) {
            (void)snprintf(path, sizeof path, "/v1/enrol/%s?wait=%d", ticket, WAIT_S);
            rc = http_request(http, "GET", path, (struct kluis_bytes){ NULL, 0 }, false, WAIT_S + 15, &a, err);
        }
        if (rc == KLUIS_OK && a.status == 200) {
            kluis_buf_add(reply, a.body.data, a.body.len);
            rc = kluis_buf_ok(reply, err);
            break;
        }
        if (rc == KLUIS_OK && a.status == 404) { ticket[0] = '\0'; }
        if (rc == KLUIS_OK && a.status != 204 && a.status != 404) { rc = http_refusal(&a, "the gate has no reply to the enrolment", err); }
        done = (rc != KLUIS_OK && rc != KLUIS_E_BUSY) || kluis_monotonic_us() > until;
        if (done && rc == KLUIS_OK) {
            rc = KLUIS_FAIL(err, KLUIS_E_BUSY, "the vault did not answer the enrolment within %d s: try again with the same code", ATTEMPT_S);
        }
        if (!done && rc == KLUIS_E_BUSY) {
            kluis_err_clear(err);
            rc = KLUIS_OK;
            kluis_sleep_us(1000000);
        } else if (!done && a.status == 404) {
            kluis_sleep_us(1000000);
        }
    }
    kluis_buf_free(&a.body);
    return rc;
}

/* ---- the checks, in the order of PROTOCOL.md §3 ---- */

static kluis_status refused(enum kluis_enrol_refusal why, struct kluis_err *err)
{
    static const char *const say[] = {
        [KLUIS_ENROL_UNKNOWN] = "the vault does not know this code: check that it was copied whole",
        [KLUIS_ENROL_EXPIRED] = "this code has expired: ask for a new one",
        [KLUIS_ENROL_USED] = "this code was used before: ask for a new one",
        [KLUIS_ENROL_MAC] = "this code does not belong to this vault: check the address and the code",
        [KLUIS_ENROL_MALFORMED] = "the vault cannot read the request: is this program older than the server?",
        [KLUIS_ENROL_CLOCK] = "the vault's clock and this computer's differ by more than an hour: set the wrong one right, then use the same code",
        [KLUIS_ENROL_OTHER] = "the vault refused the enrolment: ask for a new code",
    };
    return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s", say[why]);
}

static kluis_status read_reply(struct kluis_bytes raw, const struct kluis_buf *request, const struct kluis_code_keys *k, struct kluis_enrol_reply *r,
                               struct kluis_err *err)
{
    enum kluis_enrol_refusal why;
    if (kluis_enrol_refusal_read(raw, &why)) { return refused(why, err); }
    kluis_status rc = kluis_enrol_reply_read(raw, r, err);
    /* 1: the MAC, over the digest of what we asked and everything before it. */
    if (rc == KLUIS_OK) { rc = kluis_enrol_reply_check(raw, kluis_buf_bytes(request), k, err); }
    if (rc == KLUIS_E_REJECT) { kluis_err_prefix(err, "check the address and ask for a new code"); }
    return rc;
}

static bool same(struct kluis_bytes a, struct kluis_bytes b) { return a.len == b.len && a.len > 0 && memcmp(a.ptr, b.ptr, a.len) == 0; }

static kluis_status own_certificate(struct kluis_bytes cert, enum kluis_cert_role role, const struct kluis_buf *spki, struct kluis_bytes ca,
                                    const char *what, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(have, 1024);
    KLUIS_TRY(kluis_cert_spki(cert, &have, err));
    if (!same(kluis_buf_bytes(&have), kluis_buf_bytes(spki))) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "the %s certificate is for another key: ask for a new code", what);
    }
    return kluis_cert_check(cert, role, &ca, 1, kluis_now_us(), err);
}

static kluis_status check_reply(const struct kluis_enrol_reply *r, const struct fresh *f, const struct kluis_code *code, struct kluis_err *err)
{
    uint8_t sha[32];
    int64_t now = kluis_now_us();
    struct kluis_trust t;
    KLUIS_AUTO_BUF(root_spki, 4096);
    /* 2: the root is the code's. */
    KLUIS_TRY(kluis_cert_spki(r->root_cert, &root_spki, err));
    kluis_sha256_of(root_spki.data, root_spki.len, sha);
    if (!kluis_equal_secret(sha, code->root, sizeof code->root)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT,
                          "the vault's root certificate is not the one of this code: ask your administrator, somebody may stand in between");
    }
    KLUIS_TRY(kluis_cert_check(r->root_cert, KLUIS_CERT_ROOT, &r->root_cert, 1, now, err));
    /* 3: the device CA under that root, and named in trust.json with seal and time authorities. */
    KLUIS_TRY(kluis_cert_check(r->ca_cert, KLUIS_CERT_DEVICE_CA, &r->root_cert, 1, now, err));
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(4 << 20);
    if (arena == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    KLUIS_TRY(kluis_trust_read((struct kluis_str){ (const char *)r->trust_json.ptr, r->trust_json.len }, arena, &t, err));
    bool named = false;
    for (size_t i = 0; i < t.n_device_cas; i++) { named = named || same(t.device_cas[i], r->ca_cert) || same(t.device_cas[i], r->root_cert); }
    if (!named || t.n_seal_cas == 0 || t.log_vkey == NULL) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "the vault's trust file names no device CA, seal or log of its own: ask your administrator");
    }
    /* 4: our certificates carry our keys.  5: the vault's session identity is sealed. */
    KLUIS_TRY(own_certificate(r->device_cert, KLUIS_CERT_DEVICE, &f->device_spki, r->ca_cert, "device", err));
    KLUIS_TRY(own_certificate(r->login_cert, KLUIS_CERT_LOGIN, &f->login_spki, r->ca_cert, "login", err));
    return courier_judge_session_seal(&t, r->vault, r->session_seal, err);
}

/* ---- only then is anything written ---- */

static kluis_status put_key(struct home *h, const char *what, const char *device, const struct kluis_key *k, struct kluis_err *err)
{
    char name[HOME_KEY_NAME];
    KLUIS_AUTO_BUF(pem, 8192);
    home_key_name(what, device, name);
    kluis_status rc = kluis_key_to_pem(k, &pem, err);
    if (rc == KLUIS_OK) { rc = keystore_put(h->dir, name, kluis_buf_bytes(&pem), err); }
    if (pem.data != NULL) { kluis_wipe(pem.data, pem.cap); }
    return rc;
}

static kluis_status put_config(struct home *h, const char *server, const struct kluis_enrol_reply *r, const struct fresh *f, struct kluis_err *err)
{
    char before[64];
    KLUIS_AUTO_BUF(box, 256);
    kluis_status rc = home_text(h, "device", before, sizeof before, err);
    if (rc != KLUIS_OK && rc != KLUIS_E_NOTFOUND) { return rc; }
    if (rc == KLUIS_OK) { KLUIS_TRY(home_keys_stray(h, before, err)); }
    KLUIS_TRY(home_box(h, "identity", (struct kluis_bytes){ (const uint8_t *)f->me, sizeof *f->me }, &box, err));
    KLUIS_TRY(home_set_text(h, "device", r->device, err));
    KLUIS_TRY(home_set_text(h, "server", server, err));
    KLUIS_TRY(home_set_bytes(h, "certificate/device", r->device_cert, err));
    KLUIS_TRY(home_set_bytes(h, "certificate/login", r->login_cert, err));
    KLUIS_TRY(home_set_bytes(h, "certificate/device-ca", r->ca_cert, err));
    KLUIS_TRY(home_set_bytes(h, "certificate/root", r->root_cert, err));
    KLUIS_TRY(home_set_bytes(h, "trust.json", r->trust_json, err));
    KLUIS_TRY(home_set_bytes(h, "identity", kluis_buf_bytes(&box), err));
    KLUIS_TRY(home_set_bytes(h, "vault-identity", (struct kluis_bytes){ r->vault, sizeof r->vault }, err));
    static const char *const from_zero[] = { "epoch", "session-epoch", "bundle-expiry", "bundle-asked", "suspended", "clock-gate" };
    for (size_t i = 0; i < sizeof from_zero / sizeof *from_zero; i++) { KLUIS_TRY(home_set_int(h, from_zero[i], 0, err)); }
    KLUIS_TRY(home_set_int(h, "enrolled-at", kluis_now_us(), err));
    KLUIS_TRY(kluis_db_run(h->db, NULL, err, "DELETE FROM session", ""));
    return stock_supersede(h, err);
}

/* Keys first, under names of the new device alone; one commit then makes that device this home's.  Killed before it, the enrolment
 * that was there goes on as if nothing had happened; killed after it, the older keys are what is left over. */
static kluis_status store(struct home *h, const char *server, const struct kluis_enrol_reply *r, const struct fresh *f, struct kluis_err *err)
{
    KLUIS_TRY(home_keys_stray(h, r->device, err));
    kluis_durable_step("agent.enrol.announced");
    KLUIS_TRY(put_key(h, "device", r->device, f->device, err));
    kluis_durable_step("agent.enrol.device-key");
    KLUIS_TRY(put_key(h, "login", r->device, f->login, err));
    kluis_durable_step("agent.enrol.login-key");
    KLUIS_TRY(kluis_db_begin(h->db, err));
    kluis_status rc = put_config(h, server, r, f, err);
    if (rc != KLUIS_OK) {
        kluis_db_rollback(h->db);
        return rc;
    }
    KLUIS_TRY(kluis_db_commit(h->db, "agent.enrol.done", err));
    return home_tidy_keys(h, err);
}

kluis_status courier_enrol(struct home *h, const char *server, struct kluis_str text, struct kluis_err *err)
{
    struct kluis_code code;
    struct kluis_code_keys keys;
    struct fresh f = { 0 };
    struct kluis_enrol_reply r;
    struct http *http = NULL;
    KLUIS_AUTO_BUF(request, KLUIS_ENROL_REQUEST_MAX);
    KLUIS_AUTO_BUF(raw, KLUIS_ENROL_REPLY_MAX);
    KLUIS_TRY(kluis_code_read(text, &code, err));
    kluis_status rc = kluis_code_derive(code.secret, &keys, err);
    kluis_wipe(code.secret, sizeof code.secret);
    struct http_setup setup = { .server = server, .root_fingerprint = code.root };
    if (rc == KLUIS_OK) { rc = home_tidy_keys(h, err); }
    if (rc == KLUIS_OK) { rc = http_new(&http, &setup, err); }
    if (rc == KLUIS_OK) { rc = make_keys(&f, err); }
    if (rc == KLUIS_OK) { rc = write_request(&f, &keys, &request, err); }
    if (rc == KLUIS_OK) { rc = exchange(http, &request, &raw, err); }
    if (rc == KLUIS_OK) { rc = read_reply(kluis_buf_bytes(&raw), &request, &keys, &r, err); }
    if (rc == KLUIS_OK) { rc = check_reply(&r, &f, &code, err); }
    if (rc == KLUIS_OK) { rc = store(h, server, &r, &f, err); }
    kluis_wipe(&keys, sizeof keys);
    http_free(http);
    kluis_key_free(f.device);
    kluis_key_free(f.login);
    kluis_secret_free(f.me, sizeof *f.me);
    kluis_buf_free(&f.device_spki);
    kluis_buf_free(&f.login_spki);
    return rc;
}
