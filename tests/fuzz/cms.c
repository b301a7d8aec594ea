/* A CAdES signature over a text that is known: judged, taken apart, stamped again. */
#include "kluis/seal.h"
#include "tests/fuzz/fuzz.h"

static struct kluis_bytes content, anchors[2], token;

void fuzz_setup(void)
{
    MUST(kluis_seal_warm(NULL) == KLUIS_OK);
    content = fuzz_world("content.txt");
    anchors[0] = fuzz_world("device-ca.der");
    anchors[1] = fuzz_world("root.der");
    token = fuzz_world("token.der");
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct kluis_bytes p7s = { p, n };
    struct kluis_seal_verdict v, known;
    struct kluis_err err = { 0 };
    uint8_t imprint[32];
    KLUIS_AUTO_BUF(cert, KLUIS_CERT_MAX);
    KLUIS_AUTO_BUF(name, 4096);
    KLUIS_AUTO_BUF(stamped, KLUIS_P7S_MAX);
    MUST(kluis_seal_judge(p7s, content, anchors, 2, &anchors[1], 1, FUZZ_NOW, &v, &err) == KLUIS_OK);
    MUST(v.signature != KLUIS_VALID || v.signature_reason[0] == 0);
    MUST(v.time != KLUIS_VALID || (v.has_token && v.proven_us != KLUIS_TIME_ABSENT));
    MUST(kluis_seal_judge_known(p7s, content, anchors, 2, NULL, 0, FUZZ_NOW, FUZZ_NOW, &known, &err) == KLUIS_OK);
    MUST(known.time != KLUIS_VALID && known.signature == v.signature);
    if (kluis_seal_signer(p7s, &cert, NULL) == KLUIS_OK) {
        fuzz_any(kluis_cert_name(kluis_buf_bytes(&cert), &name, NULL));
    } else {
        MUST(v.signature != KLUIS_VALID);
    }
    bool has = kluis_seal_imprint(p7s, imprint, NULL) == KLUIS_OK;
    MUST(has || v.signature != KLUIS_VALID);
    kluis_status rc = kluis_seal_add_token(p7s, token, &stamped, NULL);
    MUST(rc != KLUIS_OK || (has && stamped.len > n));
    return 0;
}
