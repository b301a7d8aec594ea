/* tests/support/pki.c - keys and certificates of our own making for tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "tests/support/pki.h"

#define OK(expr) assert_int_equal((expr), KLUIS_OK)

void pki_issue(struct pki_party *to, enum kluis_cert_role role, const struct pki_party *issuer, int64_t from_us, int64_t to_us)
{
    static const char *const hosts[] = { "localhost", "127.0.0.1" };
    bool tls = role == KLUIS_CERT_TLS;
    KLUIS_AUTO_BUF(spki, KLUIS_CERT_MAX);
    if (!to->key) { OK(kluis_key_generate(&to->key, NULL)); }
    OK(kluis_key_public(to->key, &spki, NULL));
    kluis_buf_init(&to->cert, KLUIS_CERT_MAX);
    struct kluis_cert_request q = { .role = role,
                                    .common_name = "test",
                                    .organisation = "Testministerie",
                                    .spki_der = kluis_buf_bytes(&spki),
                                    .from_us = from_us,
                                    .to_us = to_us,
                                    .hosts = tls ? hosts : NULL,
                                    .n_hosts = tls ? 2 : 0 };
    static const char *const names[] = { "root", "device authority", PKI_DEVICE, "login 1", "seal", "time", "gate" };
    q.common_name = names[role];
    struct kluis_bytes none = { NULL, 0 };
    OK(kluis_cert_issue(&q, issuer ? issuer->key : to->key, issuer ? kluis_buf_bytes(&issuer->cert) : none, &to->cert, NULL));
}

void pki_party_clear(struct pki_party *to)
{
    kluis_key_free(to->key);
    kluis_buf_free(&to->cert);
    memset(to, 0, sizeof *to);
}

struct pki *pki_new(int tsa_years)
{
    struct pki *p = kluis_calloc(1, sizeof *p);
    assert_non_null(p);
    int64_t from = kluis_now_us() - PKI_YEAR / 365, to = from + 10 * PKI_YEAR;
    pki_issue(&p->root, KLUIS_CERT_ROOT, NULL, from, to + 20 * PKI_YEAR);
    pki_issue(&p->device_ca, KLUIS_CERT_DEVICE_CA, &p->root, from, to);
    pki_issue(&p->device, KLUIS_CERT_DEVICE, &p->device_ca, from, to);
    pki_issue(&p->login, KLUIS_CERT_LOGIN, &p->device_ca, from, to);
    pki_issue(&p->seal, KLUIS_CERT_SEAL, &p->root, from, to);
    pki_issue(&p->tsa, KLUIS_CERT_TSA, &p->root, from, from + tsa_years * PKI_YEAR);
    pki_issue(&p->tls, KLUIS_CERT_TLS, &p->root, from, to);
    OK(kluis_tsa_new(p->tsa.key, kluis_buf_bytes(&p->tsa.cert), &p->authority, NULL));
    uint8_t pub[32];
    OK(kluis_ledger_keygen(p->log_seed, pub, NULL));
    OK(kluis_vkey_write("log.test/2026", pub, p->log_vkey, NULL));
    p->device_anchor = kluis_buf_bytes(&p->device_ca.cert);
    p->root_anchor = kluis_buf_bytes(&p->root.cert);
    p->trust = (struct kluis_trust){ .device_cas = &p->device_anchor,
                                     .n_device_cas = 1,
                                     .seal_cas = &p->root_anchor,
                                     .n_seal_cas = 1,
                                     .tsa_cas = &p->root_anchor,
                                     .n_tsa_cas = 1,
                                     .log_vkey = p->log_vkey,
                                     .organisation = KLUIS_STR_LIT("Testministerie") };
    return p;
}

void pki_free(struct pki *p)
{
    struct pki_party *all[] = { &p->root, &p->device_ca, &p->device, &p->login, &p->seal, &p->tsa, &p->tls };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) { pki_party_clear(all[i]); }
    kluis_tsa_free(p->authority);
    kluis_free(p);
}

void pki_token(struct kluis_tsa *t, const struct kluis_bytes *anchor, const uint8_t imprint[32], struct kluis_buf *token)
{
    KLUIS_AUTO_BUF(request, 256);
    KLUIS_AUTO_BUF(response, KLUIS_TOKEN_MAX);
    int64_t when = 0;
    OK(kluis_time_request(imprint, 0x8123456789abcdef, &request, NULL));
    OK(kluis_tsa_respond(t, kluis_buf_bytes(&request), &response, NULL));
    OK(kluis_time_accept(kluis_buf_bytes(&response), imprint, 0x8123456789abcdef, anchor, 1, token, &when, NULL));
}

void pki_sign(const struct pki *p, const struct pki_party *by, const struct pki_party *issuer, struct kluis_bytes content, bool stamped,
              struct kluis_buf *p7s)
{
    KLUIS_AUTO_BUF(plain, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(token, KLUIS_TOKEN_MAX);
    struct kluis_bytes chain = kluis_buf_bytes(&issuer->cert);
    uint8_t imprint[32];
    OK(kluis_seal_sign(by->key, content, kluis_buf_bytes(&by->cert), &chain, 1, kluis_now_us(), stamped ? &plain : p7s, NULL));
    if (!stamped) { return; }
    OK(kluis_seal_imprint(kluis_buf_bytes(&plain), imprint, NULL));
    pki_token(p->authority, &p->root_anchor, imprint, &token);
    OK(kluis_seal_add_token(kluis_buf_bytes(&plain), kluis_buf_bytes(&token), p7s, NULL));
}
