/* An evidence record over an object that is known: judged, for that object and another; and what is read can be
 * renewed both ways, which gives a record that is read. */
#include "kluis/evidence.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/evidence_kit.h"

enum { FILES = 5 };
static struct kluis_bytes authority;
static uint8_t sha256[2][FILES * 32];
static struct pki *pki;

static void release(void) { pki_free(pki); }

void fuzz_setup(void)
{
    MUST(kluis_seal_warm(NULL) == KLUIS_OK);
    pki = pki_new(5);
    MUST(atexit(release) == 0);
    authority = fuzz_world("evidence-authority.der");
    for (unsigned o = 0; o < 2; o++) {
        for (unsigned f = 0; f < FILES; f++) { /* the texts of tests/support/evidence_kit.c */
            char text[64];
            (void)snprintf(text, sizeof text, "Bestand %u van object %u\n", f, o == 0 ? 4 : 3);
            kluis_sha256_of(text, strlen(text), sha256[o] + 32 * (size_t)f);
        }
    }
}

static void renewed(struct kluis_bytes old, const struct kluis_imprint *over, struct kluis_bytes bound)
{
    KLUIS_AUTO(kluis_evidence_batch) batch = NULL;
    KLUIS_AUTO_BUF(token, KLUIS_TOKEN_MAX);
    KLUIS_AUTO_BUF(longer, KLUIS_EVIDENCE_MAX);
    struct kluis_imprint root;
    unsigned needs = 0;
    kit_token(pki->authority, &pki->root_anchor, over, &token);
    kluis_status rc = kluis_evidence_restamped(old, kluis_buf_bytes(&token), &longer, NULL);
    MUST(rc == KLUIS_OK || rc == KLUIS_E_LIMIT || rc == KLUIS_E_REJECT);
    if (rc == KLUIS_OK) { MUST(longer.len > old.len && kluis_evidence_needs(kluis_buf_bytes(&longer), &needs, NULL) == KLUIS_OK); }
    MUST(kluis_evidence_batch_new(KLUIS_SHA256, &batch, NULL) == KLUIS_OK && kluis_evidence_batch_add(batch, bound, NULL) == KLUIS_OK);
    MUST(kluis_evidence_batch_add(batch, (struct kluis_bytes){ sha256[1], sizeof sha256[1] }, NULL) == KLUIS_OK);
    MUST(kluis_evidence_batch_imprint(batch, &root, NULL) == KLUIS_OK);
    kluis_buf_clear(&token);
    kluis_buf_clear(&longer);
    kit_token(pki->authority, &pki->root_anchor, &root, &token);
    rc = kluis_evidence_batch_renewed(batch, 0, bound, kluis_buf_bytes(&token), old, &longer, NULL);
    MUST(rc == KLUIS_OK || rc == KLUIS_E_LIMIT || rc == KLUIS_E_REJECT);
    if (rc == KLUIS_OK) { MUST(longer.len > old.len && kluis_evidence_needs(kluis_buf_bytes(&longer), &needs, NULL) == KLUIS_OK); }
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
    if (read) { renewed(record, &over, kluis_buf_bytes(&bound)); }
    return 0;
}
