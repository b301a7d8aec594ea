/* lib/seal/time.c - RFC 3161: taking a token out of an authority's answer, and an embedded authority.
 *
 * The embedded authority serves demonstrations and tests. Its policy id is one of ours, made from a random UUID
 * (ITU-T X.667): it claims nothing, least of all to be qualified. */
#include "chain.h"

#include <openssl/err.h>
#include <openssl/ts.h>

#define POLICY "2.25.24262429914200476670695917986835365270"
enum { REQUEST_MAX = 4096 };

/* Bits of PKIFailureInfo that say "later" rather than "no". */
static bool try_later(struct kluis_bytes bits)
{
    static const unsigned later[] = { 14, 25 }; /* timeNotAvailable, systemFailure */
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        size_t octet = 1 + later[i] / 8;
        if (octet < bits.len && (bits.ptr[octet] & (0x80u >> (later[i] % 8)))) { return true; }
    }
    return false;
}

kluis_status kluis_time_accept(struct kluis_bytes response, const uint8_t imprint[32], uint64_t nonce, const struct kluis_bytes *tsa_anchors,
                               size_t n, struct kluis_buf *token, int64_t *gen_time_us, struct kluis_err *err)
{
    struct kluis_imprint i = { .digest = KLUIS_SHA256 };
    memcpy(i.value, imprint, 32);
    return kluis_time_accept_of(response, &i, nonce, tsa_anchors, n, token, gen_time_us, err);
}

kluis_status kluis_time_accept_of(struct kluis_bytes response, const struct kluis_imprint *imprint, uint64_t nonce,
                                  const struct kluis_bytes *tsa_anchors, size_t n, struct kluis_buf *token, int64_t *gen_time_us,
                                  struct kluis_err *err)
{
    struct kluis_bytes in, info, status, fail = { NULL, 0 }, tok;
    if (response.len > KLUIS_TOKEN_MAX || !der_canonical(response) || !der_take(&response, DER_SEQUENCE, &in) || response.len ||
        !der_take(&in, DER_SEQUENCE, &info) || !der_take(&info, DER_INTEGER, &status) || status.len != 1) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "time authority: malformed answer");
    }
    if (der_peek(info) == DER_SEQUENCE && !der_take(&info, DER_SEQUENCE, &tok)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "time authority: malformed answer");
    }
    if (der_peek(info) == DER_BIT_STRING && !der_take(&info, DER_BIT_STRING, &fail)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "time authority: malformed answer");
    }
    if (info.len) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "time authority: malformed answer"); }
    if (status.ptr[0] > 1) {
        bool later = status.ptr[0] == 3 || try_later(fail);
        return KLUIS_FAIL(err, later ? KLUIS_E_BUSY : KLUIS_E_REJECT, "time authority: %s (status %u)", later ? "not now, try again" : "refused",
                          (unsigned)status.ptr[0]);
    }
    if (!der_take_whole(&in, DER_SEQUENCE, &tok) || in.len) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "time authority: granted, but no token"); }
    struct kluis_time_verdict v;
    uint64_t mark = ossl_enter();
    kluis_status judged = token_judge(tok, (struct kluis_bytes){ NULL, 0 }, imprint, tsa_anchors, n, kluis_now_us(), &nonce, &v, err);
    KLUIS_TRY(ossl_leave(mark, judged, "time-stamp token", err));
    if (v.outcome != KLUIS_VALID) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%.280s", v.reason); }
    /* RFC 3161 §2.4.2: the answer is held against the local clock, where there is one to trust. */
    int64_t ahead = v.gen_us - kluis_now_us();
    if (ahead > KLUIS_TIME_SLACK_US || ahead < -KLUIS_TIME_SLACK_US) {
        char theirs[KLUIS_TIME_TEXT], ours[KLUIS_TIME_TEXT];
        (void)kluis_time_text(theirs, v.gen_us, 0, 0);
        (void)kluis_time_text(ours, kluis_now_us(), 0, 0);
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "time authority: its clock says %s, this computer's %s: set the wrong one right", theirs, ours);
    }
    kluis_buf_add(token, tok.ptr, tok.len);
    if (gen_time_us) { *gen_time_us = v.gen_us; }
    return kluis_buf_ok(token, err);
}

/* ---- embedded authority ------------------------------------------------------------------------ */

struct kluis_tsa {
    TS_RESP_CTX *ctx;
};

static ASN1_INTEGER *new_serial(TS_RESP_CTX *ctx, void *data)
{
    (void)ctx, (void)data;
    uint8_t r[16];
    kluis_random(r, sizeof r);
    r[0] = (uint8_t)((r[0] & 0x7f) | 0x40);
    BIGNUM *n = BN_bin2bn(r, sizeof r, NULL);
    ASN1_INTEGER *out = n ? BN_to_ASN1_INTEGER(n, NULL) : NULL;
    BN_free(n);
    return out;
}

static int now_for_tsa(TS_RESP_CTX *ctx, void *data, long *sec, long *usec)
{
    (void)ctx, (void)data;
    int64_t now = kluis_now_us();
    *sec = (long)(now / 1000000);
    *usec = (long)(now % 1000000);
    return 1;
}

kluis_status kluis_tsa_new(const struct kluis_key *k, struct kluis_bytes cert_der, struct kluis_tsa **out, struct kluis_err *err)
{
    *out = NULL;
    uint64_t mark = ossl_enter();
    X509 *x = x509_from_der(cert_der);
    struct kluis_tsa *t = kluis_calloc(1, sizeof *t);
    ASN1_OBJECT *policy = OBJ_txt2obj(POLICY, 1);
    if (t) { t->ctx = TS_RESP_CTX_new(); }
    bool ok = x && t && t->ctx && policy && X509_check_private_key(x, key_pkey(k)) == 1 && TS_RESP_CTX_set_signer_cert(t->ctx, x) == 1 &&
              TS_RESP_CTX_set_signer_key(t->ctx, key_pkey(k)) == 1 && TS_RESP_CTX_set_signer_digest(t->ctx, EVP_sha256()) == 1 &&
              TS_RESP_CTX_set_ess_cert_id_digest(t->ctx, EVP_sha256()) == 1 && TS_RESP_CTX_set_def_policy(t->ctx, policy) == 1 &&
              TS_RESP_CTX_add_md(t->ctx, EVP_sha256()) == 1 && TS_RESP_CTX_add_md(t->ctx, EVP_sha384()) == 1 &&
              TS_RESP_CTX_add_md(t->ctx, EVP_sha512()) == 1 && TS_RESP_CTX_set_accuracy(t->ctx, 1, 0, 0) == 1;
    if (ok) {
        TS_RESP_CTX_set_serial_cb(t->ctx, new_serial, NULL);
        TS_RESP_CTX_set_time_cb(t->ctx, now_for_tsa, NULL);
    }
    ASN1_OBJECT_free(policy);
    X509_free(x);
    if (!ok || kluis_memory_refused(mark)) {
        kluis_tsa_free(t);
        return ossl_failed(err, KLUIS_E_USAGE, "time authority: key and certificate do not fit, or it lacks critical timeStamping");
    }
    *out = t;
    return KLUIS_OK;
}

kluis_status kluis_tsa_respond(struct kluis_tsa *t, struct kluis_bytes request, struct kluis_buf *response, struct kluis_err *err)
{
    size_t len = request.len <= REQUEST_MAX ? request.len : 0; /* nothing is malformed enough */
    uint64_t mark = ossl_enter();
    BIO *in = BIO_new_mem_buf(len ? request.ptr : (const uint8_t *)"", (int)len);
    TS_RESP *r = in ? TS_RESP_create_response(t->ctx, in) : NULL;
    uint8_t *der = NULL;
    bool starved = kluis_memory_refused(mark); /* OpenSSL then refuses the request, as if it were bad, or signs what it could not write */
    int n = r && !starved ? i2d_TS_RESP(r, &der) : -1;
    BIO_free(in);
    TS_RESP_free(r);
    if (n <= 0) { return ossl_failed(err, KLUIS_E_BUG, "time authority: no answer"); }
    if (!kluis_memory_refused(mark)) { kluis_buf_add(response, der, (size_t)n); }
    OPENSSL_free(der);
    return ossl_leave(mark, kluis_buf_ok(response, err), "time authority", err);
}

void kluis_tsa_free(struct kluis_tsa *t)
{
    if (!t) { return; }
    TS_RESP_CTX_free(t->ctx);
    kluis_free(t);
}
