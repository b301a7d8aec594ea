/* lib/seal/crl.c - revocation lists (RFC 5280 §5): made by the embedded CA, and asked whether a certificate was good at a moment.
 *
 * A list of ours never drops an entry, so that one list answers for the whole life of its certificates. */
#include "chain.h"

#include <openssl/err.h>

static bool strong(const X509_CRL *crl)
{
    int md = 0, key = 0;
    return OBJ_find_sigid_algs(X509_CRL_get_signature_nid(crl), &md, &key) == 1 && (md == NID_sha256 || md == NID_sha384 || md == NID_sha512);
}

/* A list as OpenSSL sees it; NULL: no strict DER, another version, or something critical in it that we would pass over. */
static X509_CRL *crl_from_der(struct kluis_bytes der)
{
    if (der.len == 0 || der.len > KLUIS_CRL_MAX || !der_canonical(der)) { return NULL; }
    const uint8_t *p = der.ptr;
    X509_CRL *crl = d2i_X509_CRL(NULL, &p, (long)der.len);
    bool good =
        crl && p == der.ptr + der.len && X509_CRL_get_version(crl) == X509_CRL_VERSION_2 && X509_CRL_get0_nextUpdate(crl) != NULL && strong(crl);
    const STACK_OF(X509_EXTENSION) *all = good ? X509_CRL_get0_extensions(crl) : NULL;
    for (int i = 0; good && i < X509v3_get_ext_count(all); i++) { good = !X509_EXTENSION_get_critical(X509v3_get_ext(all, i)); }
    STACK_OF(X509_REVOKED) *revoked = good ? X509_CRL_get_REVOKED(crl) : NULL;
    for (int i = 0; good && i < sk_X509_REVOKED_num(revoked); i++) {
        const X509_REVOKED *r = sk_X509_REVOKED_value(revoked, i);
        all = X509_REVOKED_get0_extensions(r);
        for (int k = 0; good && k < X509v3_get_ext_count(all); k++) { good = !X509_EXTENSION_get_critical(X509v3_get_ext(all, k)); }
    }
    ERR_clear_error();
    if (good) { return crl; }
    X509_CRL_free(crl);
    return NULL;
}

kluis_status kluis_crl_check(struct kluis_bytes crl_der, struct kluis_err *err)
{
    uint64_t mark = ossl_enter();
    X509_CRL *crl = crl_from_der(crl_der);
    bool good = crl != NULL;
    X509_CRL_free(crl);
    kluis_status st = good ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_REJECT, "revocation list: malformed, too large, or not a full list of version 2");
    return ossl_leave(mark, st, "revocation list", err);
}

/* ---- making ------------------------------------------------------------------------------------- */

static ASN1_TIME *time_of(int64_t us) { return ASN1_TIME_set(NULL, (time_t)(us / 1000000)); }

static bool add_revoked(X509_CRL *crl, X509 *issuer, const struct kluis_revoked *r)
{
    X509 *x = x509_from_der(r->cert_der);
    X509_REVOKED *e = X509_REVOKED_new();
    ASN1_TIME *when = time_of(r->at_us);
    ASN1_ENUMERATED *reason = r->reason ? ASN1_ENUMERATED_new() : NULL;
    bool ok = x && e && when && X509_NAME_cmp(X509_get_issuer_name(x), X509_get_subject_name(issuer)) == 0 &&
              X509_verify(x, X509_get0_pubkey(issuer)) == 1 && X509_REVOKED_set_serialNumber(e, X509_get_serialNumber(x)) == 1 &&
              X509_REVOKED_set_revocationDate(e, when) == 1;
    if (ok && r->reason) {
        ok = reason && ASN1_ENUMERATED_set(reason, r->reason) == 1 && X509_REVOKED_add1_ext_i2d(e, NID_crl_reason, reason, 0, 0) == 1;
    }
    ok = ok && X509_CRL_add0_revoked(crl, e) == 1;
    if (!ok) { X509_REVOKED_free(e); }
    ASN1_ENUMERATED_free(reason);
    ASN1_TIME_free(when);
    X509_free(x);
    return ok;
}

static bool add_extensions(X509_CRL *crl, X509 *issuer, uint64_t number)
{
    ASN1_INTEGER *n = ASN1_INTEGER_new();
    AUTHORITY_KEYID *aki = AUTHORITY_KEYID_new();
    const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(issuer);
    bool ok = n && aki && id && ASN1_INTEGER_set_uint64(n, number) == 1 && X509_CRL_add1_ext_i2d(crl, NID_crl_number, n, 0, 0) == 1 &&
              (aki->keyid = ASN1_OCTET_STRING_dup(id)) != NULL && X509_CRL_add1_ext_i2d(crl, NID_authority_key_identifier, aki, 0, 0) == 1;
    AUTHORITY_KEYID_free(aki);
    ASN1_INTEGER_free(n);
    return ok;
}

static bool add_dates(X509_CRL *crl, int64_t this_us, int64_t next_us)
{
    ASN1_TIME *now = time_of(this_us), *next = time_of(next_us);
    bool ok = now && next && X509_CRL_set1_lastUpdate(crl, now) == 1 && X509_CRL_set1_nextUpdate(crl, next) == 1;
    ASN1_TIME_free(now);
    ASN1_TIME_free(next);
    return ok;
}

kluis_status kluis_crl_issue(const struct kluis_revoked *revoked, size_t n, uint64_t number, int64_t this_us, int64_t next_us,
                             const struct kluis_key *issuer_key, struct kluis_bytes issuer_cert, struct kluis_buf *crl_der, struct kluis_err *err)
{
    if (n > KLUIS_REVOKED_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "revocation list: more than %d certificates", KLUIS_REVOKED_MAX); }
    if (this_us >= next_us || this_us < 0) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "revocation list: ends before it begins"); }
    uint64_t mark = ossl_enter();
    X509 *issuer = x509_from_der(issuer_cert);
    X509_CRL *crl = X509_CRL_new();
    uint8_t *der = NULL;
    kluis_status st = KLUIS_OK;
    if (!issuer || X509_check_private_key(issuer, key_pkey(issuer_key)) != 1 || !(X509_get_key_usage(issuer) & KU_CRL_SIGN)) {
        st = ossl_failed(err, KLUIS_E_USAGE, "revocation list: the issuer's certificate and key do not fit, or it may sign none");
    }
    for (size_t i = 0; st == KLUIS_OK && i < n; i++) {
        if (!crl || !add_revoked(crl, issuer, &revoked[i])) {
            st = ossl_failed(err, KLUIS_E_REJECT, "revocation list: a certificate of another issuer");
        }
    }
    if (st == KLUIS_OK) {
        bool ok = crl && X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1 && X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer)) == 1 &&
                  add_dates(crl, this_us, next_us) && add_extensions(crl, issuer, number) && X509_CRL_sort(crl) == 1 &&
                  X509_CRL_sign(crl, key_pkey(issuer_key), EVP_sha256()) > 0;
        int len = ok ? i2d_X509_CRL(crl, &der) : -1;
        if (len <= 0) { st = ossl_failed(err, KLUIS_E_BUG, "revocation list cannot be made"); }
        if (len > KLUIS_CRL_MAX) { st = KLUIS_FAIL(err, KLUIS_E_LIMIT, "revocation list: larger than %d bytes", KLUIS_CRL_MAX); }
        if (st == KLUIS_OK) {
            kluis_buf_add(crl_der, der, (size_t)len);
            st = kluis_buf_ok(crl_der, err);
        }
    }
    OPENSSL_free(der);
    X509_CRL_free(crl);
    X509_free(issuer);
    return ossl_leave(mark, st, "revocation list", err);
}

/* ---- asking ------------------------------------------------------------------------------------- */

static bool time_us(const ASN1_TIME *t, int64_t *us)
{
    struct tm tm;
    if (!t || ASN1_TIME_to_tm(t, &tm) != 1) { return false; }
    int64_t days = 0;
    if (!kluis_days_from_civil(tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, &days)) { return false; }
    *us = ((days * 24 + tm.tm_hour) * 60 + tm.tm_min) * 60 * 1000000 + (int64_t)tm.tm_sec * 1000000;
    return true;
}

static bool may_sign_lists(X509 *issuer) { return (X509_get_extension_flags(issuer) & EXFLAG_KUSAGE) && (X509_get_key_usage(issuer) & KU_CRL_SIGN); }

/* Signed by one of the issuers, which is the certificate's too. */
static kluis_status is_of_issuer(X509_CRL *crl, X509 *x, const struct kluis_bytes *issuers, size_t n, bool *good, struct kluis_err *err)
{
    *good = false;
    if (X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_issuer_name(x)) != 0) { return KLUIS_OK; }
    for (size_t i = 0; i < n && !*good; i++) {
        X509 *issuer = x509_from_der(issuers[i]);
        if (!issuer) { return ossl_failed(err, KLUIS_E_USAGE, "trust anchor is no certificate"); }
        *good = X509_NAME_cmp(X509_get_subject_name(issuer), X509_get_issuer_name(x)) == 0 && may_sign_lists(issuer) &&
                X509_CRL_verify(crl, X509_get0_pubkey(issuer)) == 1 && X509_verify(x, X509_get0_pubkey(issuer)) == 1;
        X509_free(issuer);
    }
    ERR_clear_error();
    return KLUIS_OK;
}

/* What one list adds.  Revocation is for ever, so an older list may say REVOKED; only one made at the moment or later may say it was not. */
static void weigh(X509_CRL *crl, X509 *x, int64_t moment_us, struct kluis_revocation_verdict *v)
{
    X509_REVOKED *entry = NULL;
    int64_t made = 0, until = 0, since = 0;
    if (!time_us(X509_CRL_get0_lastUpdate(crl), &made) || !time_us(X509_get0_notAfter(x), &until)) { return; }
    if (X509_CRL_get0_by_cert(crl, &entry, x) != 0 && entry && time_us(X509_REVOKED_get0_revocationDate(entry), &since)) {
        enum kluis_revocation state = since <= moment_us ? KLUIS_REVOKED : KLUIS_REVOKED_LATER;
        if (v->state == KLUIS_REVOKED && since >= v->revoked_us) { return; }
        if (v->state == KLUIS_REVOKED_LATER && state == KLUIS_REVOKED_LATER && since >= v->revoked_us) { return; }
        *v = (struct kluis_revocation_verdict){ state, since, made };
    } else if (!entry && v->state == KLUIS_UNCHECKED && made >= moment_us && made <= until) {
        *v = (struct kluis_revocation_verdict){ KLUIS_UNREVOKED, KLUIS_TIME_ABSENT, made };
    }
}

kluis_status kluis_revocation_judge(struct kluis_bytes cert_der, const struct kluis_bytes *issuers, size_t n_issuers, const struct kluis_bytes *crls,
                                    size_t n_crls, int64_t moment_us, struct kluis_revocation_verdict *out, struct kluis_err *err)
{
    *out = (struct kluis_revocation_verdict){ KLUIS_UNCHECKED, KLUIS_TIME_ABSENT, KLUIS_TIME_ABSENT };
    uint64_t mark = ossl_enter();
    X509 *x = x509_from_der(cert_der);
    kluis_status st = KLUIS_OK;
    for (size_t i = 0; x && st == KLUIS_OK && i < n_crls; i++) {
        X509_CRL *crl = crl_from_der(crls[i]);
        bool good = false;
        if (crl) { st = is_of_issuer(crl, x, issuers, n_issuers, &good, err); }
        if (good) { weigh(crl, x, moment_us, out); }
        X509_CRL_free(crl);
    }
    X509_free(x);
    return ossl_leave(mark, st, "revocation", err);
}
