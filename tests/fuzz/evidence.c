/* An evidence record over an object that is known: judged, for that object and another, and prepared for renewal. */
#include "kluis/evidence.h"
#include "tests/fuzz/fuzz.h"

enum { FILES = 5 };
static struct kluis_bytes authority;
static uint8_t sha256[2][FILES * 32];

void fuzz_setup(void)
{
    MUST(kluis_seal_warm(NULL) == KLUIS_OK);
    authority = fuzz_world("evidence-authority.der");
    for (unsigned o = 0; o < 2; o++) {
        for (unsigned f = 0; f < FILES; f++) { /* the texts of tests/support/evidence_kit.c */
            char text[64];
            (void)snprintf(text, sizeof text, "Bestand %u van object %u\n", f, o == 0 ? 4 : 3);
            kluis_sha256_of(text, strlen(text), sha256[o] + 32 * (size_t)f);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct kluis_bytes record = { p, n };
    struct kluis_evidence_object own = { .digests = { { NULL, 0 } } }, other = { .digests = { { NULL, 0 } } };
    struct kluis_evidence_verdict v, w;
    struct kluis_imprint over;
    unsigned needs = 0;
    KLUIS_AUTO_BUF(bound, 4096);
    own.digests[KLUIS_SHA256] = (struct kluis_bytes){ sha256[0], sizeof sha256[0] };
    other.digests[KLUIS_SHA256] = (struct kluis_bytes){ sha256[1], sizeof sha256[1] };
    const int64_t at = FUZZ_NOW + INT64_C(90) * 86400 * 1000000;
    MUST(kluis_evidence_judge(record, &own, &authority, 1, at, &v, NULL) == KLUIS_OK);
    MUST(kluis_evidence_judge(record, &other, &authority, 1, at, &w, NULL) == KLUIS_OK);
    MUST(v.outcome != KLUIS_VALID || w.outcome == KLUIS_INVALID);
    MUST((v.outcome == KLUIS_VALID) == (v.reason[0] == 0) && (v.outcome == KLUIS_VALID) == (v.first_us != KLUIS_TIME_ABSENT));
    bool read = kluis_evidence_needs(record, &needs, NULL) == KLUIS_OK;
    MUST(read ? needs != 0 : v.outcome == KLUIS_INVALID);
    MUST((kluis_evidence_renewal_imprint(record, &over, NULL) == KLUIS_OK) == read);
    MUST((kluis_evidence_rehash(record, KLUIS_SHA256, own.digests[KLUIS_SHA256], &bound, NULL) == KLUIS_OK) == read);
    return 0;
}
