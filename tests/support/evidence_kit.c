/* tests/support/evidence_kit.c - objects and evidence records of our own making for tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <openssl/evp.h>

#include "tests/support/evidence_kit.h"

#define OK(expr) assert_int_equal((expr), KLUIS_OK)

void kit_text(unsigned object, unsigned file, char out[64]) { (void)snprintf(out, 64, "Bestand %u van object %u\n", file, object); }

struct kit_object kit_object(unsigned object)
{
    struct kit_object o = { .sha256 = { 0 } };
    for (unsigned f = 0; f < KIT_FILES; f++) {
        char text[64];
        kit_text(object, f, text);
        kluis_sha256_of(text, strlen(text), o.sha256 + 32 * (size_t)f);
        assert_int_equal(EVP_Digest(text, strlen(text), o.sha512 + 64 * (size_t)f, NULL, EVP_sha512(), NULL), 1);
    }
    return o;
}

struct kluis_bytes kit_digests(const struct kit_object *o, enum kluis_digest d)
{
    return d == KLUIS_SHA256 ? (struct kluis_bytes){ o->sha256, sizeof o->sha256 } : (struct kluis_bytes){ o->sha512, sizeof o->sha512 };
}

struct kluis_evidence_object kit_known(const struct kit_object *o)
{
    struct kluis_evidence_object known = { .digests = { { NULL, 0 } } };
    known.digests[KLUIS_SHA256] = kit_digests(o, KLUIS_SHA256);
    known.digests[KLUIS_SHA512] = kit_digests(o, KLUIS_SHA512);
    return known;
}

void kit_token(struct kluis_tsa *t, const struct kluis_bytes *anchor, const struct kluis_imprint *imprint, struct kluis_buf *token)
{
    KLUIS_AUTO_BUF(request, 256);
    KLUIS_AUTO_BUF(response, KLUIS_TOKEN_MAX);
    OK(kluis_time_request_of(imprint, 7, &request, NULL));
    OK(kluis_tsa_respond(t, kluis_buf_bytes(&request), &response, NULL));
    OK(kluis_time_accept_of(kluis_buf_bytes(&response), imprint, 7, anchor, 1, token, NULL, NULL));
}

void kit_record(const struct pki *p, unsigned n, unsigned index, struct kluis_buf *record)
{
    KLUIS_AUTO(kluis_evidence_batch) b = NULL;
    KLUIS_AUTO_BUF(token, KLUIS_TOKEN_MAX);
    struct kluis_imprint root;
    OK(kluis_evidence_batch_new(KLUIS_SHA256, &b, NULL));
    for (unsigned i = 0; i < n; i++) {
        struct kit_object o = kit_object(i);
        OK(kluis_evidence_batch_add(b, kit_digests(&o, KLUIS_SHA256), NULL));
    }
    OK(kluis_evidence_batch_imprint(b, &root, NULL));
    kit_token(p->authority, &p->root_anchor, &root, &token);
    struct kit_object o = kit_object(index);
    OK(kluis_evidence_batch_record(b, index, kit_digests(&o, KLUIS_SHA256), kluis_buf_bytes(&token), record, NULL));
}

void kit_restamp(const struct pki *p, struct kluis_bytes old, struct kluis_buf *record)
{
    KLUIS_AUTO_BUF(token, KLUIS_TOKEN_MAX);
    struct kluis_imprint over;
    OK(kluis_evidence_renewal_imprint(old, &over, NULL));
    kit_token(p->authority, &p->root_anchor, &over, &token);
    OK(kluis_evidence_restamped(old, kluis_buf_bytes(&token), record, NULL));
}

void kit_rehash(const struct pki *p, struct kluis_bytes old, unsigned object, struct kluis_buf *record)
{
    KLUIS_AUTO(kluis_evidence_batch) b = NULL;
    KLUIS_AUTO_BUF(token, KLUIS_TOKEN_MAX);
    KLUIS_AUTO_BUF(bound, 4096);
    struct kluis_imprint root;
    struct kit_object o = kit_object(object), other = kit_object(1000), third = kit_object(1001);
    OK(kluis_evidence_rehash(old, KLUIS_SHA512, kit_digests(&o, KLUIS_SHA512), &bound, NULL));
    OK(kluis_evidence_batch_new(KLUIS_SHA512, &b, NULL));
    OK(kluis_evidence_batch_add(b, kit_digests(&other, KLUIS_SHA512), NULL));
    OK(kluis_evidence_batch_add(b, kluis_buf_bytes(&bound), NULL));
    OK(kluis_evidence_batch_add(b, kit_digests(&third, KLUIS_SHA512), NULL));
    OK(kluis_evidence_batch_imprint(b, &root, NULL));
    kit_token(p->authority, &p->root_anchor, &root, &token);
    OK(kluis_evidence_batch_renewed(b, 1, kluis_buf_bytes(&bound), kluis_buf_bytes(&token), old, record, NULL));
}
