/* The Authorization header: one spelling, and the signature over it by a key that did not sign.  And what we write for any request is read, and holds
 * for that request alone. */
#include "kluis/login.h"
#include "tests/fuzz/fuzz.h"

static struct kluis_bytes cert;
static struct kluis_buf spki, own_spki;
static struct kluis_key *own;

static void release(void) { kluis_key_free(own); }

void fuzz_setup(void)
{
    MUST(kluis_seal_warm(NULL) == KLUIS_OK);
    cert = fuzz_world("root.der");
    kluis_buf_init(&spki, 4096);
    MUST(kluis_cert_spki(cert, &spki, NULL) == KLUIS_OK);
    kluis_buf_init(&own_spki, 4096);
    MUST(kluis_key_generate(&own, NULL) == KLUIS_OK && atexit(release) == 0 && kluis_key_public(own, &own_spki, NULL) == KLUIS_OK);
}

/* Gate, method, path and nonce are the input's lines. */
static void own_words(const uint8_t *p, size_t n)
{
    char line[4][256] = { "" };
    struct kluis_login l;
    KLUIS_AUTO_BUF(header, 4096);
    for (size_t i = 0; i < 4; i++) {
        const uint8_t *nl = n == 0 ? NULL : memchr(p, '\n', n);
        size_t len = nl == NULL ? n : (size_t)(nl - p), taken = nl == NULL ? n : len + 1;
        if (len >= sizeof line[i]) { return; }
        if (len > 0) { memcpy(line[i], p, len); }
        p += taken;
        n -= taken;
    }
    if (kluis_login_header_write("vault", own, line[0], line[1], line[2], NULL, line[3], FUZZ_NOW / 1000000, &header, NULL) != KLUIS_OK) { return; }
    MUST(kluis_login_header_read((struct kluis_str){ (const char *)header.data, header.len }, &l, NULL) == KLUIS_OK);
    MUST(kluis_login_check(&l, kluis_buf_bytes(&own_spki), line[0], line[1], line[2], NULL) == KLUIS_OK);
    MUST(kluis_login_check(&l, kluis_buf_bytes(&own_spki), line[0], line[1], "/another", NULL) != KLUIS_OK || strcmp(line[2], "/another") == 0);
    MUST(kluis_login_check(&l, kluis_buf_bytes(&spki), line[0], line[1], line[2], NULL) != KLUIS_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct kluis_login l;
    struct kluis_err err = { 0 };
    own_words(p, n);
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
