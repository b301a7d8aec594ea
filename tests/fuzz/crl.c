/* A revocation list: asked about a certificate of its issuer, and put into a seal. */
#include "kluis/seal.h"
#include "tests/fuzz/fuzz.h"

static struct kluis_bytes issuer, cert, seal;

void fuzz_setup(void)
{
    MUST(kluis_seal_warm(NULL) == KLUIS_OK);
    issuer = fuzz_world("crl-issuer.der");
    cert = fuzz_world("crl-device.der");
    seal = fuzz_world("crl-seal.p7s");
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct kluis_bytes crl = { p, n }, got[KLUIS_CRLS_MAX];
    struct kluis_revocation_verdict v, w;
    size_t n_got = 0;
    KLUIS_AUTO_BUF(sealed, KLUIS_P7S_MAX);
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
