/* lib/seal/chain.c - certificate paths: to an anchor, at a moment, for a use; and no certificate that is not part of it. */
#include "chain.h"

#include <openssl/err.h>
#include <stdarg.h>

void reason_set(char out[KLUIS_ERR_MSG], const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(out, KLUIS_ERR_MSG, fmt, ap);
    va_end(ap);
}

X509 *x509_from_der(struct kluis_bytes der) { return known_certificate(der); }

static time_t seconds(int64_t us) { return (time_t)(us / 1000000 - (us % 1000000 < 0)); }

static kluis_status store_of(const struct kluis_bytes *anchors, size_t n, X509_STORE **out, struct kluis_err *err)
{
    X509_STORE *store = X509_STORE_new();
    if (!store) { return ossl_failed(err, KLUIS_E_NOMEM, "trust store"); }
    for (size_t i = 0; i < n; i++) {
        X509 *x = x509_from_der(anchors[i]);
        int ok = x && X509_STORE_add_cert(store, x) == 1;
        X509_free(x);
        if (!ok) {
            X509_STORE_free(store);
            return ossl_failed(err, KLUIS_E_USAGE, "trust anchor is no certificate");
        }
    }
    *out = store;
    return KLUIS_OK;
}

/* ---- judgements remembered ----
 * A path that holds now holds at every moment at which all of its certificates are valid: X509_verify_cert looks at the time for nothing
 * else (no revocation lists are given to it).  So is every "yes" below remembered under the digest of all that it follows from. */

struct window {
    int64_t from, to; /* seconds, both included */
};

bool chain_seconds(const ASN1_TIME *t, int64_t *out)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(t, &tm) != 1) { return false; }
    *out = (int64_t)timegm(&tm);
    return true;
}

static struct window window_of(const X509_STORE_CTX *ctx)
{
    struct window w = { INT64_MIN, INT64_MAX };
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
    for (int i = 0; i < sk_X509_num(chain); i++) {
        int64_t from = 0, to = 0;
        const X509 *x = sk_X509_value(chain, i);
        if (!chain_seconds(X509_get0_notBefore(x), &from) || !chain_seconds(X509_get0_notAfter(x), &to)) { return (struct window){ 1, 0 }; }
        if (from > w.from) { w.from = from; }
        if (to - 1 < w.to) { w.to = to - 1; } /* OpenSSL counts the last second as expired */
    }
    return w;
}

static void name_bytes(struct kluis_sha256 *h, struct kluis_bytes b)
{
    uint64_t n = b.len;
    kluis_sha256_add(h, &n, sizeof n);
    if (b.len > 0) { kluis_sha256_add(h, b.ptr, b.len); }
}

static bool name_cert(struct kluis_sha256 *h, const X509 *x)
{
    uint8_t *der = NULL;
    int n = i2d_X509(x, &der);
    if (n > 0) { name_bytes(h, (struct kluis_bytes){ der, (size_t)n }); }
    OPENSSL_free(der);
    return n > 0;
}

static bool name_path(const X509 *leaf, const STACK_OF(X509) * untrusted, const struct kluis_bytes *anchors, size_t n, enum chain_use use,
                      uint8_t name[32])
{
    KLUIS_AUTO(kluis_sha256) h = kluis_sha256_new();
    uint64_t head[2] = { (uint64_t)use, n };
    if (h == NULL) { return false; }
    name_bytes(h, (struct kluis_bytes){ (const uint8_t *)"path", 4 });
    kluis_sha256_add(h, head, sizeof head);
    for (size_t i = 0; i < n; i++) { name_bytes(h, anchors[i]); }
    bool ok = name_cert(h, leaf);
    for (int i = 0; ok && i < sk_X509_num(untrusted); i++) { ok = name_cert(h, sk_X509_value(untrusted, i)); }
    kluis_sha256_end(h, name);
    return ok;
}

static bool name_tight(const struct cms_view *v, const struct kluis_bytes *anchors, size_t n, uint8_t name[32])
{
    KLUIS_AUTO(kluis_sha256) h = kluis_sha256_new();
    uint64_t head[3] = { v->signer, v->n_cert, n };
    if (h == NULL) { return false; }
    name_bytes(h, (struct kluis_bytes){ (const uint8_t *)"tight", 5 });
    kluis_sha256_add(h, head, sizeof head);
    for (size_t i = 0; i < v->n_cert; i++) { name_bytes(h, v->cert[i]); }
    for (size_t i = 0; i < n; i++) { name_bytes(h, anchors[i]); }
    kluis_sha256_end(h, name);
    return true;
}

/* One run of OpenSSL's path validation; X509_V_OK or its error, -1 without memory.  window (may be NULL): when else it is X509_V_OK. */
static int verify_once(X509 *leaf, STACK_OF(X509) * untrusted, X509_STORE *store, enum chain_use use, int64_t at_us, unsigned long extra,
                       struct window *window)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    int code = -1;
    if (ctx && X509_STORE_CTX_init(ctx, store, leaf, untrusted) == 1) {
        X509_VERIFY_PARAM *p = X509_STORE_CTX_get0_param(ctx);
        bool ok = X509_VERIFY_PARAM_set_flags(p, X509_V_FLAG_PARTIAL_CHAIN | extra) == 1;
        if (!(extra & X509_V_FLAG_NO_CHECK_TIME)) { X509_VERIFY_PARAM_set_time(p, seconds(at_us)); } /* a set time would override the flag */
        X509_VERIFY_PARAM_set_auth_level(p, 3); /* 128 bits: SHA-256, P-256, RSA-3072 and better, all along the path */
        X509_VERIFY_PARAM_set_depth(p, use == CHAIN_TIME ? KLUIS_CHAIN_MAX : 0);
        if (use == CHAIN_TIME) { ok = ok && X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_TIMESTAMP_SIGN) == 1; }
        if (ok) {
            int rc = X509_verify_cert(ctx);
            code = X509_STORE_CTX_get_error(ctx);
            if (rc == 1 && code != X509_V_OK) { code = X509_V_ERR_UNSPECIFIED; }
            if (rc != 1 && code == X509_V_OK) { code = X509_V_ERR_UNSPECIFIED; }
            if (code == X509_V_ERR_OUT_OF_MEM) { code = -1; }
            if (code == X509_V_OK && window != NULL) { *window = window_of(ctx); }
        }
    }
    X509_STORE_CTX_free(ctx);
    return code;
}

kluis_status chain_check(X509 *leaf, STACK_OF(X509) * untrusted, const struct kluis_bytes *anchors, size_t n, enum chain_use use, int64_t at_us,
                         enum chain_result *out, char reason[KLUIS_ERR_MSG], struct kluis_err *err)
{
    X509_STORE *store = NULL;
    uint8_t name[32];
    struct window window = { 1, 0 };
    bool named = name_path(leaf, untrusted, anchors, n, use, name);
    if (named && known_fact(name, seconds(at_us))) {
        *out = CHAIN_GOOD;
        return KLUIS_OK;
    }
    *out = CHAIN_BAD;
    KLUIS_TRY(store_of(anchors, n, &store, err));
    int code = verify_once(leaf, untrusted, store, use, at_us, 0, &window);
    *out = code == X509_V_OK ? CHAIN_GOOD : CHAIN_BAD;
    if (named && code == X509_V_OK) { known_fact_is(name, window.from, window.to); }
    if (code == X509_V_ERR_CERT_HAS_EXPIRED) {
        /* Dates are looked at before signatures further down: only a path that is otherwise right is "expired". */
        int again = verify_once(leaf, untrusted, store, use, at_us, X509_V_FLAG_NO_CHECK_TIME, NULL);
        if (again == X509_V_OK) { *out = CHAIN_EXPIRED; }
        if (again != X509_V_OK) { code = again; }
    }
    X509_STORE_free(store);
    ERR_clear_error();
    if (code < 0) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "certificate path: out of memory"); }
    if (code != X509_V_OK) { reason_set(reason, "certificate path: %s", X509_verify_cert_error_string(code)); }
    return KLUIS_OK;
}

/* OpenSSL's own encoding of what it understood equals what came. */
static bool encodes_as(const X509 *x, struct kluis_bytes der)
{
    uint8_t *again = NULL;
    int n = i2d_X509(x, &again);
    bool same = n > 0 && der_same((struct kluis_bytes){ again, (size_t)n }, der);
    OPENSSL_free(again);
    return same;
}

kluis_status chain_embedded(const struct cms_view *v, STACK_OF(X509) * *out, struct kluis_err *err)
{
    STACK_OF(X509) *sk = sk_X509_new_null();
    *out = NULL;
    for (size_t i = 0; i < v->n_cert; i++) {
        X509 *x = sk ? x509_from_der(v->cert[i]) : NULL;
        if (!x || !encodes_as(x, v->cert[i]) || sk_X509_push(sk, x) <= 0) {
            X509_free(x);
            sk_X509_pop_free(sk, X509_free);
            return ossl_failed(err, KLUIS_E_REJECT, "embedded certificate");
        }
    }
    *out = sk;
    return KLUIS_OK;
}

/* `subject` names `issuer` and its signature verifies under the issuer's key. */
static bool signed_by(X509 *subject, X509 *issuer)
{
    return X509_NAME_cmp(X509_get_issuer_name(subject), X509_get_subject_name(issuer)) == 0 && X509_verify(subject, X509_get0_pubkey(issuer)) == 1;
}

kluis_status chain_tight(const struct cms_view *v, STACK_OF(X509) * embedded, const struct kluis_bytes *anchors, size_t n, bool *tight,
                         struct kluis_err *err)
{
    bool seen[KLUIS_CHAIN_MAX + 1] = { false };
    size_t at = v->signer, count = 1;
    uint8_t name[32];
    bool named = name_tight(v, anchors, n, name);
    *tight = named && known_fact(name, 0);
    if (*tight) { return KLUIS_OK; }
    seen[at] = true;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < v->n_cert && !moved; i++) {
            if (seen[i] || !signed_by(sk_X509_value(embedded, (int)at), sk_X509_value(embedded, (int)i))) { continue; }
            seen[i] = moved = true;
            at = i;
            count++;
        }
    }
    *tight = count == v->n_cert;
    X509 *top = sk_X509_value(embedded, (int)at);
    if (*tight && n > 0) {
        bool known = signed_by(top, top);
        for (size_t i = 0; i < n && !known; i++) {
            if (der_same(anchors[i], v->cert[at])) {
                known = true;
                continue;
            }
            X509 *anchor = x509_from_der(anchors[i]);
            if (!anchor) { return ossl_failed(err, KLUIS_E_USAGE, "trust anchor is no certificate"); }
            known = signed_by(top, anchor);
            X509_free(anchor);
        }
        *tight = known;
    }
    if (named && *tight) { known_fact_is(name, INT64_MIN, INT64_MAX); }
    ERR_clear_error();
    return KLUIS_OK;
}

bool cert_may_sign(X509 *x)
{
    uint32_t flags = X509_get_extension_flags(x);
    if ((flags & (EXFLAG_CA | EXFLAG_INVALID)) || !(flags & EXFLAG_KUSAGE)) { return false; }
    if (!(X509_get_key_usage(x) & (KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION))) { return false; }
    uint32_t other = XKU_SSL_SERVER | XKU_SSL_CLIENT | XKU_CODE_SIGN | XKU_OCSP_SIGN | XKU_TIMESTAMP | XKU_DVCS | XKU_ANYEKU;
    return !(flags & EXFLAG_XKUSAGE) || !(X509_get_extended_key_usage(x) & other);
}
