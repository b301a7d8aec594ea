/* The Authorization header: one spelling, and the signature over it by a key that did not sign. */
#include "kluis/login.h"
#include "tests/fuzz/fuzz.h"

static struct kluis_bytes cert;
static struct kluis_buf spki;

void fuzz_setup(void)
{
    MUST(kluis_seal_warm(NULL) == KLUIS_OK);
    cert = fuzz_world("root.der");
    kluis_buf_init(&spki, 4096);
    MUST(kluis_cert_spki(cert, &spki, NULL) == KLUIS_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct kluis_login l;
    struct kluis_err err = { 0 };
    kluis_status rc = kluis_login_header_read(fuzz_str(p, n), &l, &err);
    MUST(rc == err.code);
    if (rc != KLUIS_OK) { return 0; }
    char signature[KLUIS_LOGIN_SIGNATURE_MAX * 2], body[65];
    signature[kluis_base64url(l.signature, l.signature_len, signature)] = 0;
    kluis_hex(l.body_sha256, 32, body);
    KLUIS_AUTO_BUF(again, 4096);
    kluis_buf_fmt(&again, "Chatkluis-Login id=\"%s\", nonce=\"%s\", time=\"%lld\", body=\"%s\", signature=\"%s\"", l.id, l.nonce, (long long)l.time_s,
                  body, signature);
    MUST(again.len == n && memcmp(again.data, p, n) == 0);
    MUST(kluis_login_check(&l, kluis_buf_bytes(&spki), "gate.test:8443", "GET", "/v1/bundle", &err) != KLUIS_OK);
    return 0;
}
