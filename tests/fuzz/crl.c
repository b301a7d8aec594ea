/* A revocation list: asked about a certificate of its issuer, and put into a seal.  And one that we make, of any number, moment and reason, is read.
 */
#include "kluis/seal.h"
#include "tests/fuzz/fuzz.h"

static struct kluis_bytes issuer, cert, seal;
static struct kluis_key *key;
static struct kluis_buf ca, device;

static void release(void) { kluis_key_free(key); }

static void certificate(enum kluis_cert_role role, const char *name, struct kluis_bytes by, struct kluis_buf *out)
{
    KLUIS_AUTO_BUF(spki, 1024);
    kluis_buf_init(out, KLUIS_CERT_MAX);
    MUST(kluis_key_public(key, &spki, NULL) == KLUIS_OK);
    const struct kluis_cert_request q = {
        .role = role, .common_name = name, .spki_der = kluis_buf_bytes(&spki), .from_us = FUZZ_NOW, .to_us = FUZZ_NOW + INT64_C(1000000000000)
    };
    MUST(kluis_cert_issue(&q, key, by, out, NULL) == KLUIS_OK);
}

void fuzz_setup(void)
{
    MUST(kluis_seal_warm(NULL) == KLUIS_OK);
    issuer = fuzz_world("crl-issuer.der");
    cert = fuzz_world("crl-device.der");
    seal = fuzz_world("crl-seal.p7s");
    MUST(kluis_key_generate(&key, NULL) == KLUIS_OK && atexit(release) == 0);
    certificate(KLUIS_CERT_ROOT, "root", (struct kluis_bytes){ NULL, 0 }, &ca);
    certificate(KLUIS_CERT_DEVICE, "00112233445566778899aabbccddeeff", kluis_buf_bytes(&ca), &device);
}

/* The front of the input: the list's number, how long it holds, when and why the device's certificate was revoked. */
static void own_list(const uint8_t *p, size_t n)
{
    uint64_t number;
    uint32_t holds, at;
    KLUIS_AUTO_BUF(list, KLUIS_CRL_MAX);
    struct kluis_bytes by = kluis_buf_bytes(&ca), whose = kluis_buf_bytes(&device), made;
    struct kluis_revocation_verdict v;
    if (n < 17) { return; }
    memcpy(&number, p, 8);
    memcpy(&holds, p + 8, 4);
    memcpy(&at, p + 12, 4);
    const struct kluis_revoked r = { whose, FUZZ_NOW + (int64_t)at * 1000000, p[16] % 7 };
    const int64_t until = FUZZ_NOW + ((int64_t)holds + 1) * 1000000;
    MUST(kluis_crl_issue(&r, 1, number, FUZZ_NOW, until, key, by, &list, NULL) == KLUIS_OK);
    made = kluis_buf_bytes(&list);
    MUST(kluis_crl_check(made, NULL) == KLUIS_OK);
    MUST(kluis_revocation_judge(whose, &by, 1, &made, 1, FUZZ_NOW, &v, NULL) == KLUIS_OK);
    MUST(v.state == (at == 0 ? KLUIS_REVOKED : KLUIS_REVOKED_LATER));
    kluis_buf_clear(&list);
    MUST(kluis_crl_issue(NULL, 0, number, until, FUZZ_NOW, key, by, &list, NULL) != KLUIS_OK && list.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct kluis_bytes crl = { p, n }, got[KLUIS_CRLS_MAX];
    struct kluis_revocation_verdict v, w;
    size_t n_got = 0;
    KLUIS_AUTO_BUF(sealed, KLUIS_P7S_MAX);
    own_list(p, n);
    bool form = kluis_crl_check(crl, NULL) == KLUIS_OK;
    MUST(kluis_revocation_judge(cert, &issuer, 1, &crl, 1, FUZZ_NOW, &v, NULL) == KLUIS_OK);
    MUST(kluis_revocation_judge(cert, &issuer, 1, &crl, 1, INT64_MAX, &w, NULL) == KLUIS_OK);
    MUST(v.state == KLUIS_UNCHECKED || form);
    MUST(v.state != KLUIS_REVOKED || w.state == KLUIS_REVOKED); /* for ever */
    MUST(w.state == KLUIS_UNCHECKED || w.state == KLUIS_REVOKED);
    bool put = kluis_seal_add_crls(seal, &crl, 1, &sealed, NULL) == KLUIS_OK;
    MUST(put || !form || n > KLUIS_P7S_MAX / 2);
    if (put) { MUST(kluis_seal_crls(kluis_buf_bytes(&sealed), got, &n_got, NULL) == KLUIS_OK && n_got == 1 && got[0].len == n); }
    return 0;
}
