/* lib/seal/judge.c - verdicts on signatures and time-stamp tokens.
 *
 * Order: our strict reading of the form, the digests it names, OpenSSL's verdict on the signature, the embedded
 * certificates, the token, and last the path to an anchor at the moment the signature is proven to have existed. */
#include "chain.h"

#include <openssl/cms.h>
#include <openssl/err.h>

static void note(struct kluis_seal_verdict *v, char part[KLUIS_ERR_MSG], const char *reason)
{
    reason_set(part, "%s", reason);
    if (!v->reason[0]) { reason_set(v->reason, "%s", reason); }
}

static bool digest_is(enum hash_kind h, struct kluis_bytes p, struct kluis_bytes want)
{
    uint8_t out[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (h == HASH_SHA256 && want.len == 32) { /* the everyday case, without OpenSSL's look-up of the algorithm */
        kluis_sha256_of(p.len ? p.ptr : (const uint8_t *)"", p.len, out);
        return memcmp(out, want.ptr, 32) == 0;
    }
    return EVP_Digest(p.len ? p.ptr : (const uint8_t *)"", p.len, out, &n, hash_md(h), NULL) == 1 && n == want.len && memcmp(out, want.ptr, n) == 0;
}

/* OpenSSL's own encoding of what it understood equals what came: nothing was skipped over. */
static bool encodes_the_same(CMS_ContentInfo *cms, struct kluis_bytes der)
{
    uint8_t *again = NULL;
    int n = i2d_CMS_ContentInfo(cms, &again);
    bool same = n > 0 && (size_t)n == der.len && memcmp(again, der.ptr, der.len) == 0;
    OPENSSL_free(again);
    return same;
}

/* The same SignedData without its certificates. */
static void without_certificates(const struct cms_view *v, struct kluis_bytes der, struct kluis_buf *out)
{
    const uint8_t *rest = v->certificates.ptr + v->certificates.len, *end = der.ptr + der.len;
    KLUIS_AUTO_BUF(data, out->max);
    KLUIS_AUTO_BUF(info, out->max);
    for (size_t i = 0; i < 3; i++) { kluis_buf_add(&data, v->outer[i].ptr, v->outer[i].len); }
    kluis_buf_add(&data, rest, (size_t)(end - rest));
    KLUIS_AUTO_BUF(wrap, out->max);
    der_put_buf(&wrap, DER_SEQUENCE, &data);
    der_put(&info, DER_OID, OID_SIGNED_DATA.ptr, OID_SIGNED_DATA.len);
    der_put_buf(&info, DER_CONTEXT_0, &wrap);
    der_put_buf(out, DER_SEQUENCE, &info);
}

kluis_status view_verify(const struct cms_view *v, struct kluis_bytes der, struct kluis_bytes content, enum view_kind kind, STACK_OF(X509) * embedded,
                         bool *good, char reason[KLUIS_ERR_MSG], struct kluis_err *err)
{
    *good = false;
    if (!digest_is(v->ess_kind, v->cert[v->signer], v->ess_hash)) {
        reason_set(reason, "signing-certificate-v2 names another certificate");
        return KLUIS_OK;
    }
    if (!digest_is(v->hash, kind == VIEW_TOKEN ? v->econtent : content, v->message_digest)) {
        reason_set(reason, "signature is over other data");
        return KLUIS_OK;
    }
    /* The certificates were read and compared with their bytes one by one (chain_embedded): they need not be parsed a second time. */
    KLUIS_AUTO_BUF(bare, KLUIS_P7S_MAX);
    without_certificates(v, der, &bare);
    KLUIS_TRY(kluis_buf_ok(&bare, err));
    const uint8_t *p = bare.data;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)bare.len);
    BIO *in = NULL;
    if (!cms || p != bare.data + bare.len || (kind != VIEW_TOKEN && !encodes_the_same(cms, kluis_buf_bytes(&bare)))) {
        reason_set(reason, "signature: not the one encoding of its content");
    } else if (kind != VIEW_TOKEN && !(in = BIO_new_mem_buf(content.len ? content.ptr : (const uint8_t *)"", (int)content.len))) {
        reason_set(reason, "out of memory");
    } else {
        /* Paths are judged apart, at the moment that counts. */
        *good = CMS_verify(cms, embedded, NULL, in, NULL, CMS_BINARY | CMS_NO_SIGNER_CERT_VERIFY | CMS_NOINTERN) == 1;
        if (!*good) { reason_set(reason, "signature value is wrong"); }
    }
    BIO_free(in);
    CMS_ContentInfo_free(cms);
    return KLUIS_OK;
}

static bool nonce_is(struct kluis_bytes in, uint64_t want)
{
    uint64_t v = 0;
    if (in.len == 9 && in.ptr[0] == 0) {
        in.ptr++;
        in.len--;
    } else if (in.len == 0 || in.len > 8 || (in.ptr[0] & 0x80)) {
        return false;
    }
    for (size_t i = 0; i < in.len; i++) { v = v << 8 | in.ptr[i]; }
    return v == want;
}

static kluis_status token_chain(const struct cms_view *v, STACK_OF(X509) * embedded, const struct kluis_bytes *anchors, size_t n, int64_t at_us,
                                struct kluis_time_verdict *out, struct kluis_err *err)
{
    bool tight = false;
    KLUIS_TRY(chain_tight(v, embedded, anchors, n, &tight, err));
    if (!tight) {
        reason_set(out->reason, "time-stamp token: embeds a certificate outside its path");
        return KLUIS_OK;
    }
    if (n == 0) {
        out->outcome = KLUIS_INDETERMINATE;
        reason_set(out->reason, "no time authority is trusted");
        return KLUIS_OK;
    }
    X509 *signer = sk_X509_value(embedded, (int)v->signer);
    enum chain_result then = CHAIN_BAD, now = CHAIN_BAD;
    char why[KLUIS_ERR_MSG] = "";
    KLUIS_TRY(chain_check(signer, embedded, anchors, n, CHAIN_TIME, out->gen_us, &then, why, err));
    /* Not judged as of before it was made: only a clock that is behind would ask for that. */
    if (at_us < out->gen_us) { at_us = out->gen_us; }
    if (then == CHAIN_GOOD) { KLUIS_TRY(chain_check(signer, embedded, anchors, n, CHAIN_TIME, at_us, &now, why, err)); }
    if (then == CHAIN_GOOD && now == CHAIN_GOOD) {
        out->outcome = KLUIS_VALID;
    } else if (then == CHAIN_GOOD && now == CHAIN_EXPIRED) {
        /* True once, but nothing newer vouches for it: a token must be renewed before its authority's certificate ends. */
        out->outcome = KLUIS_INDETERMINATE;
        reason_set(out->reason, "time-stamp token: its authority's certificate has expired since, and nothing newer covers it");
    } else {
        reason_set(out->reason, "time-stamp token: %.200s", why);
    }
    return KLUIS_OK;
}

kluis_status token_judge(struct kluis_bytes token, struct kluis_bytes covered, const struct kluis_imprint *imprint, const struct kluis_bytes *anchors,
                         size_t n, int64_t at_us, const uint64_t *nonce, struct kluis_time_verdict *out, struct kluis_err *err)
{
    struct cms_view v;
    struct tst_view t;
    struct kluis_err e = { 0 };
    memset(out, 0, sizeof *out);
    out->outcome = KLUIS_INVALID;
    out->gen_us = KLUIS_TIME_ABSENT;
    if (cms_view_read(token, VIEW_TOKEN, &v, &e) != KLUIS_OK) {
        reason_set(out->reason, "time-stamp token: %.250s", e.msg);
        return KLUIS_OK;
    }
    if (!tst_view_read(v.econtent, &t)) {
        reason_set(out->reason, "time-stamp token: malformed TSTInfo");
        return KLUIS_OK;
    }
    bool same = imprint == NULL ? digest_is(t.hash, covered, t.imprint)
                                : t.hash == (enum hash_kind)imprint->digest && memcmp(t.imprint.ptr, imprint->value, t.imprint.len) == 0;
    if (!same) {
        reason_set(out->reason, "time-stamp token: over other data");
        return KLUIS_OK;
    }
    if (nonce && !nonce_is(t.nonce, *nonce)) {
        reason_set(out->reason, "time-stamp token: answers another request");
        return KLUIS_OK;
    }
    STACK_OF(X509) *embedded = NULL;
    kluis_status st = chain_embedded(&v, &embedded, &e);
    if (st != KLUIS_OK) {
        reason_set(out->reason, "time-stamp token: %.250s", e.msg);
        return st == KLUIS_E_NOMEM ? KLUIS_FAIL(err, st, "%s", e.msg) : KLUIS_OK;
    }
    bool good = false;
    char why[KLUIS_ERR_MSG] = "";
    st = view_verify(&v, token, (struct kluis_bytes){ NULL, 0 }, VIEW_TOKEN, embedded, &good, why, err);
    if (st == KLUIS_OK && !good) { reason_set(out->reason, "time-stamp token: %.250s", why); }
    if (st == KLUIS_OK && good) {
        out->gen_us = t.gen_us;
        st = token_chain(&v, embedded, anchors, n, at_us, out, err);
    }
    sk_X509_pop_free(embedded, X509_free);
    return st;
}

kluis_status kluis_time_digest(struct kluis_bytes token, enum kluis_digest *out, struct kluis_err *err)
{
    struct cms_view v;
    struct tst_view t;
    KLUIS_TRY(cms_view_read(token, VIEW_TOKEN, &v, err));
    if (!tst_view_read(v.econtent, &t)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "time-stamp token: malformed TSTInfo"); }
    *out = (enum kluis_digest)t.hash;
    return KLUIS_OK;
}

kluis_status kluis_time_judge(struct kluis_bytes token, const struct kluis_imprint *imprint, const struct kluis_bytes *tsa_anchors, size_t n,
                              int64_t at_us, struct kluis_time_verdict *out, struct kluis_err *err)
{
    uint64_t mark = ossl_enter();
    kluis_status st = token_judge(token, (struct kluis_bytes){ NULL, 0 }, imprint, tsa_anchors, n, at_us, NULL, out, err);
    return ossl_leave(mark, st, "time-stamp token", err);
}

static kluis_status certificate_judge(const struct cms_view *v, STACK_OF(X509) * embedded, const struct kluis_bytes *anchors, size_t n,
                                      int64_t known_us, int64_t at_us, struct kluis_seal_verdict *out, struct kluis_err *err)
{
    X509 *signer = sk_X509_value(embedded, (int)v->signer);
    bool tight = false, proven = true;
    KLUIS_TRY(chain_tight(v, embedded, anchors, n, &tight, err));
    if (!tight || !cert_may_sign(signer)) {
        out->certificate = KLUIS_INVALID;
        note(out, out->certificate_reason, tight ? "certificate is not made for signing records" : "signature embeds a certificate outside its path");
        return KLUIS_OK;
    }
    if (n == 0) {
        note(out, out->certificate_reason, "no certificate authority is trusted");
        return KLUIS_OK;
    }
    int64_t when = known_us;
    if (out->time == KLUIS_VALID && (known_us == KLUIS_TIME_ABSENT || out->proven_us < known_us)) { when = out->proven_us; }
    if (when == KLUIS_TIME_ABSENT) {
        when = at_us;
        proven = false;
    }
    enum chain_result r = CHAIN_BAD;
    char why[KLUIS_ERR_MSG] = "";
    KLUIS_TRY(chain_check(signer, embedded, anchors, n, CHAIN_SIGNER, when, &r, why, err));
    if (r == CHAIN_GOOD) {
        out->certificate = KLUIS_VALID;
    } else if (r == CHAIN_EXPIRED && !proven) {
        note(out, out->certificate_reason, "certificate has expired, and nothing proves that the signature is older");
    } else {
        out->certificate = KLUIS_INVALID;
        note(out, out->certificate_reason, why);
    }
    return KLUIS_OK;
}

static kluis_status signature_judge(enum view_kind kind, struct kluis_bytes p7s, struct kluis_bytes content, const struct kluis_bytes *anchors,
                                    size_t n_anchors, const struct kluis_bytes *tsa_anchors, size_t n_tsa, int64_t known_us, int64_t at_us,
                                    struct kluis_seal_verdict *out, struct kluis_err *err)
{
    struct cms_view v;
    struct kluis_err e = { 0 };
    memset(out, 0, sizeof *out);
    out->signature = KLUIS_INVALID;
    out->certificate = out->time = KLUIS_INDETERMINATE;
    out->claimed_us = out->proven_us = KLUIS_TIME_ABSENT;
    uint64_t mark = ossl_enter();
    if (content.len > INT32_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "signed content is too large"); }
    if (cms_view_read(p7s, kind, &v, &e) != KLUIS_OK) {
        note(out, out->signature_reason, e.msg);
        return KLUIS_OK;
    }
    out->claimed_us = v.signing_us;
    out->has_token = v.token.ptr != NULL;
    kluis_sha256_of(v.cert[v.signer].ptr, v.cert[v.signer].len, out->cert_sha256);
    STACK_OF(X509) *embedded = NULL;
    kluis_status st = chain_embedded(&v, &embedded, &e);
    if (st != KLUIS_OK) {
        note(out, out->signature_reason, e.msg);
        return ossl_leave(mark, KLUIS_OK, "signature", err);
    }
    bool good = false;
    char why[KLUIS_ERR_MSG] = "";
    st = view_verify(&v, p7s, content, kind, embedded, &good, why, err);
    if (st == KLUIS_OK) {
        out->signature = good ? KLUIS_VALID : KLUIS_INVALID;
        if (!good) { note(out, out->signature_reason, why); }
    }
    struct kluis_time_verdict t = { .outcome = KLUIS_INDETERMINATE, .gen_us = KLUIS_TIME_ABSENT };
    if (st == KLUIS_OK && v.token.ptr) {
        st = token_judge(v.token, v.signature, NULL, tsa_anchors, n_tsa, at_us, NULL, &t, err);
        out->time = t.outcome;
        out->proven_us = t.outcome == KLUIS_VALID ? t.gen_us : KLUIS_TIME_ABSENT;
        if (t.outcome == KLUIS_INVALID) { note(out, out->time_reason, t.reason); }
    }
    if (st == KLUIS_OK) { st = certificate_judge(&v, embedded, anchors, n_anchors, known_us, at_us, out, err); }
    /* A missing or expired proof of time is the mildest finding and speaks last. */
    if (st == KLUIS_OK && t.outcome == KLUIS_INDETERMINATE) { note(out, out->time_reason, v.token.ptr ? t.reason : "no time-stamp token"); }
    sk_X509_pop_free(embedded, X509_free);
    return ossl_leave(mark, st, "signature", err);
}

kluis_status kluis_seal_judge_known(struct kluis_bytes p7s, struct kluis_bytes content, const struct kluis_bytes *anchors, size_t n_anchors,
                                    const struct kluis_bytes *tsa_anchors, size_t n_tsa, int64_t known_us, int64_t at_us,
                                    struct kluis_seal_verdict *out, struct kluis_err *err)
{
    return signature_judge(VIEW_SIGNATURE, p7s, content, anchors, n_anchors, tsa_anchors, n_tsa, known_us, at_us, out, err);
}

kluis_status kluis_seal_judge_long(struct kluis_bytes p7s, struct kluis_bytes content, const struct kluis_bytes *anchors, size_t n_anchors,
                                   const struct kluis_bytes *tsa_anchors, size_t n_tsa, int64_t known_us, int64_t at_us,
                                   struct kluis_seal_verdict *out, struct kluis_err *err)
{
    return signature_judge(VIEW_LONG, p7s, content, anchors, n_anchors, tsa_anchors, n_tsa, known_us, at_us, out, err);
}

kluis_status kluis_seal_judge(struct kluis_bytes p7s, struct kluis_bytes content, const struct kluis_bytes *anchors, size_t n_anchors,
                              const struct kluis_bytes *tsa_anchors, size_t n_tsa, int64_t at_us, struct kluis_seal_verdict *out,
                              struct kluis_err *err)
{
    return kluis_seal_judge_known(p7s, content, anchors, n_anchors, tsa_anchors, n_tsa, KLUIS_TIME_ABSENT, at_us, out, err);
}

kluis_status kluis_seal_signer(struct kluis_bytes p7s, struct kluis_buf *cert_der, struct kluis_err *err)
{
    struct cms_view v;
    KLUIS_TRY(cms_view_read(p7s, VIEW_LONG, &v, err)); /* with lists or without: the signer is the same */
    kluis_buf_add(cert_der, v.cert[v.signer].ptr, v.cert[v.signer].len);
    return kluis_buf_ok(cert_der, err);
}
