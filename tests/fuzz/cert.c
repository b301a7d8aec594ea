/* Certificates and keys of strangers, DER or PEM. */
#include "kluis/seal.h"
#include "tests/fuzz/fuzz.h"

static struct kluis_bytes root;

void fuzz_setup(void)
{
    MUST(kluis_seal_warm(NULL) == KLUIS_OK);
    root = fuzz_world("root.der");
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    unsigned which = fuzz_which(&p, &n, 4);
    struct kluis_bytes b = { p, n };
    KLUIS_AUTO_BUF(out, 64 << 10);
    KLUIS_AUTO_BUF(again, 64 << 10);
    struct kluis_err err = { 0 };
    if (which == 0) {
        bool read = kluis_cert_spki(b, &out, NULL) == KLUIS_OK;
        fuzz_any(kluis_cert_name(b, &again, NULL));
        for (unsigned role = KLUIS_CERT_ROOT; role <= KLUIS_CERT_TLS; role++) {
            kluis_status rc = kluis_cert_check(b, (enum kluis_cert_role)role, &root, 1, FUZZ_NOW, NULL);
            MUST(rc != KLUIS_OK || read);
        }
    } else if (which == 1) {
        if (kluis_cert_from_pem(b, &out, &err) != KLUIS_OK) { return 0; }
        MUST(kluis_cert_pem(kluis_buf_bytes(&out), &again, NULL) == KLUIS_OK);
    } else if (which == 2) {
        struct kluis_key *k = NULL;
        if (kluis_key_from_pem(b, &k, &err) != KLUIS_OK) {
            MUST(k == NULL);
            return 0;
        }
        MUST(kluis_key_public(k, &out, NULL) == KLUIS_OK);
        kluis_key_free(k);
    } else {
        /* A stranger's public key, and a signature by it. */
        size_t spki = n < 91 ? n : 91;
        MUST(kluis_key_check((struct kluis_bytes){ p, spki }, KLUIS_STR_LIT("x").len ? (struct kluis_bytes){ (const uint8_t *)"x", 1 } : b,
                             (struct kluis_bytes){ p + spki, n - spki }, &err) != KLUIS_E_BUG);
    }
    return 0;
}
