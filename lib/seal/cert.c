/* lib/seal/cert.c - the embedded certificate authority: seven roles, one profile each, and the check of a profile.
 *
 * Root and device CA sign certificates only; device, login, seal and time certificates are told apart by issuer,
 * key usage and extended key usage, so that none can stand in for another. */
#include "chain.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/pem.h>

struct profile {
    bool ca;
    int path_length;       /* -1: none stated */
    const char *key_usage; /* bits of KeyUsage, first octet */
    uint8_t usage, unused;
    int eku; /* NID, or 0 */
    bool eku_critical;
};

/* KeyUsage bits: 0x80 digitalSignature, 0x40 contentCommitment, 0x04 keyCertSign, 0x02 cRLSign. */
static const struct profile *profile_of(enum kluis_cert_role role)
{
    static const struct profile root = { true, 1, "certificates", 0x06, 1, 0, false };
    static const struct profile device_ca = { true, 0, "certificates", 0x06, 1, 0, false };
    static const struct profile signer = { false, -1, "signatures", 0xc0, 6, 0, false };
    static const struct profile login = { false, -1, "login", 0x80, 7, NID_client_auth, true };
    static const struct profile tsa = { false, -1, "time", 0x80, 7, NID_time_stamp, true };
    static const struct profile tls = { false, -1, "TLS", 0x80, 7, NID_server_auth, false };
    switch (role) {
    case KLUIS_CERT_ROOT: return &root;
    case KLUIS_CERT_DEVICE_CA: return &device_ca;
    case KLUIS_CERT_DEVICE:
    case KLUIS_CERT_SEAL: return &signer;
    case KLUIS_CERT_LOGIN: return &login;
    case KLUIS_CERT_TSA: return &tsa;
    case KLUIS_CERT_TLS: return &tls;
    }
    assert(false && "certificate role");
    return NULL;
}

static bool add_ext(X509 *x, int nid, void *value, int critical)
{
    return value && X509_add1_ext_i2d(x, nid, value, critical, X509V3_ADD_DEFAULT) == 1;
}

static bool add_basic(X509 *x, const struct profile *p)
{
    BASIC_CONSTRAINTS *b = BASIC_CONSTRAINTS_new();
    bool ok = b != NULL;
    if (ok) {
        b->ca = p->ca ? 0xff : 0;
        if (p->ca && p->path_length >= 0) {
            b->pathlen = ASN1_INTEGER_new();
            ok = b->pathlen && ASN1_INTEGER_set(b->pathlen, p->path_length) == 1;
        }
    }
    ok = ok && add_ext(x, NID_basic_constraints, b, 1);
    BASIC_CONSTRAINTS_free(b);
    return ok;
}

static bool add_usage(X509 *x, const struct profile *p)
{
    ASN1_BIT_STRING *bits = ASN1_BIT_STRING_new();
    uint8_t octet = p->usage;
    bool ok = bits && ASN1_BIT_STRING_set(bits, &octet, 1) == 1;
    if (ok) {
        bits->flags &= ~(ASN1_STRING_FLAG_BITS_LEFT | 0x07L);
        bits->flags |= ASN1_STRING_FLAG_BITS_LEFT | p->unused;
        ok = add_ext(x, NID_key_usage, bits, 1);
    }
    ASN1_BIT_STRING_free(bits);
    if (ok && p->eku) {
        EXTENDED_KEY_USAGE *e = sk_ASN1_OBJECT_new_null();
        ok = e && sk_ASN1_OBJECT_push(e, OBJ_nid2obj(p->eku)) > 0 && add_ext(x, NID_ext_key_usage, e, p->eku_critical);
        sk_ASN1_OBJECT_pop_free(e, ASN1_OBJECT_free);
    }
    return ok;
}

/* Subject key identifier: the first 160 bits of SHA-256 over the key's BIT STRING (RFC 7093 §2, method 1). */
static bool key_identifier(struct kluis_bytes spki, uint8_t out[20])
{
    struct kluis_bytes seq, skip, bits;
    uint8_t h[32];
    if (!der_take(&spki, DER_SEQUENCE, &seq) || !der_take(&seq, DER_SEQUENCE, &skip) || !der_take(&seq, DER_BIT_STRING, &bits) || bits.len < 2) {
        return false;
    }
    kluis_sha256_of(bits.ptr + 1, bits.len - 1, h);
    memcpy(out, h, 20);
    return true;
}

static bool add_identifiers(X509 *x, struct kluis_bytes spki, X509 *issuer)
{
    uint8_t id[20];
    ASN1_OCTET_STRING *own = ASN1_OCTET_STRING_new();
    bool ok = own && key_identifier(spki, id) && ASN1_OCTET_STRING_set(own, id, sizeof id) == 1 && add_ext(x, NID_subject_key_identifier, own, 0);
    if (ok) {
        const ASN1_OCTET_STRING *above = issuer ? X509_get0_subject_key_id(issuer) : own;
        AUTHORITY_KEYID *aki = AUTHORITY_KEYID_new();
        ok = aki && above && (aki->keyid = ASN1_OCTET_STRING_dup(above)) != NULL && add_ext(x, NID_authority_key_identifier, aki, 0);
        AUTHORITY_KEYID_free(aki);
    }
    ASN1_OCTET_STRING_free(own);
    return ok;
}

static bool add_hosts(X509 *x, const struct kluis_cert_request *q)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    bool ok = names != NULL;
    for (size_t i = 0; ok && i < q->n_hosts; i++) {
        GENERAL_NAME *g = GENERAL_NAME_new();
        ASN1_OCTET_STRING *ip = a2i_IPADDRESS(q->hosts[i]);
        ERR_clear_error();
        if (g && ip) {
            GENERAL_NAME_set0_value(g, GEN_IPADD, ip);
        } else {
            ASN1_IA5STRING *dns = ASN1_IA5STRING_new();
            ok = g && dns && ASN1_STRING_set(dns, q->hosts[i], -1) == 1;
            if (ok) {
                GENERAL_NAME_set0_value(g, GEN_DNS, dns);
            } else {
                ASN1_IA5STRING_free(dns);
            }
        }
        ok = ok && sk_GENERAL_NAME_push(names, g) > 0;
        if (!ok) { GENERAL_NAME_free(g); }
    }
    ok = ok && add_ext(x, NID_subject_alt_name, names, 0);
    GENERAL_NAMES_free(names);
    return ok;
}

static bool add_name(X509 *x, const struct kluis_cert_request *q)
{
    X509_NAME *name = X509_get_subject_name(x);
    bool ok = true;
    if (q->organisation) {
        ok = X509_NAME_add_entry_by_NID(name, NID_organizationName, MBSTRING_UTF8, (const unsigned char *)q->organisation, -1, -1, 0) == 1;
    }
    return ok && X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, (const unsigned char *)q->common_name, -1, -1, 0) == 1;
}

static bool add_serial(X509 *x)
{
    uint8_t r[16];
    kluis_random(r, sizeof r);
    r[0] = (uint8_t)((r[0] & 0x7f) | 0x40); /* positive, and always sixteen octets */
    BIGNUM *n = BN_bin2bn(r, sizeof r, NULL);
    bool ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) != NULL;
    BN_free(n);
    return ok;
}

static bool add_dates(X509 *x, const struct kluis_cert_request *q)
{
    return ASN1_TIME_set(X509_getm_notBefore(x), (time_t)(q->from_us / 1000000)) &&
           ASN1_TIME_set(X509_getm_notAfter(x), (time_t)(q->to_us / 1000000));
}

kluis_status kluis_cert_issue(const struct kluis_cert_request *q, const struct kluis_key *issuer_key, struct kluis_bytes issuer_cert,
                              struct kluis_buf *cert_der, struct kluis_err *err)
{
    const struct profile *p = profile_of(q->role);
    if (!q->common_name || !q->common_name[0] || strlen(q->common_name) > 64 || (q->organisation && strlen(q->organisation) > 64)) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "certificate: names must have 1 to 64 bytes");
    }
    if (q->from_us >= q->to_us || q->from_us < 0) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "certificate: ends before it begins"); }
    if ((q->role == KLUIS_CERT_TLS) != (q->n_hosts > 0)) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "certificate: host names belong to TLS, and TLS needs one");
    }
    if ((q->role == KLUIS_CERT_ROOT) != (issuer_cert.len == 0)) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "certificate: only a root signs itself"); }
    if (!der_canonical(q->spki_der) || spki_kind(q->spki_der) == KEY_REFUSED) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "certificate: the key must be P-256, P-384 or RSA of 3072 bits or more");
    }
    uint64_t mark = ossl_enter();
    const uint8_t *at = q->spki_der.ptr;
    EVP_PKEY *subject = d2i_PUBKEY(NULL, &at, (long)q->spki_der.len);
    /* The form was right and the key is none: a point that is not on its curve.  The key is a stranger's: never our own bug. */
    if (!subject) { return ossl_failed(err, KLUIS_E_REJECT, "certificate: the key"); }
    X509 *issuer = issuer_cert.len ? x509_from_der(issuer_cert) : NULL;
    X509 *x = X509_new();
    uint8_t *der = NULL;
    kluis_status st = KLUIS_OK;
    if (issuer_cert.len && (!issuer || X509_check_private_key(issuer, key_pkey(issuer_key)) != 1 || X509_check_ca(issuer) != 1)) {
        st = ossl_failed(err, KLUIS_E_USAGE, "certificate: the issuer's certificate and key do not fit, or it is no authority");
    } else if (!issuer_cert.len && EVP_PKEY_eq(subject, key_pkey(issuer_key)) != 1) {
        st = ossl_failed(err, KLUIS_E_USAGE, "certificate: a root is signed by its own key");
    } else {
        bool ok = x && X509_set_version(x, X509_VERSION_3) == 1 && add_serial(x) && add_dates(x, q) && add_name(x, q) &&
                  X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer) : X509_get_subject_name(x)) == 1 &&
                  X509_set_pubkey(x, subject) == 1 && add_basic(x, p) && add_usage(x, p) && add_identifiers(x, q->spki_der, issuer) &&
                  (q->n_hosts == 0 || add_hosts(x, q)) && X509_sign(x, key_pkey(issuer_key), EVP_sha256()) > 0;
        int n = ok ? i2d_X509(x, &der) : -1;
        if (n > 0 && n <= KLUIS_CERT_MAX) {
            kluis_buf_add(cert_der, der, (size_t)n);
            st = kluis_buf_ok(cert_der, err);
        } else {
            st = ossl_failed(err, KLUIS_E_BUG, "certificate cannot be made");
        }
    }
    OPENSSL_free(der);
    X509_free(x);
    X509_free(issuer);
    EVP_PKEY_free(subject);
    return ossl_leave(mark, st, "certificate", err);
}

static bool eku_is(X509 *x, const struct profile *p)
{
    if (p->eku == 0) { return cert_may_sign(x) || p->ca; }
    int critical = -1;
    EXTENDED_KEY_USAGE *e = X509_get_ext_d2i(x, NID_ext_key_usage, &critical, NULL);
    bool ok = e && sk_ASN1_OBJECT_num(e) == 1 && OBJ_obj2nid(sk_ASN1_OBJECT_value(e, 0)) == p->eku && (!p->eku_critical || critical == 1);
    sk_ASN1_OBJECT_pop_free(e, ASN1_OBJECT_free);
    return ok;
}

kluis_status kluis_cert_check(struct kluis_bytes cert_der, enum kluis_cert_role role, const struct kluis_bytes *anchors, size_t n, int64_t at_us,
                              struct kluis_err *err)
{
    const struct profile *p = profile_of(role);
    struct cert_view v;
    if (cert_der.len > KLUIS_CERT_MAX || !der_canonical(cert_der) || !cert_view_read(cert_der, &v) || spki_kind(v.spki) == KEY_REFUSED) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "certificate: malformed, or its key is not P-256, P-384 or RSA of 3072 bits or more");
    }
    uint64_t mark = ossl_enter();
    X509 *x = x509_from_der(cert_der);
    if (!x) { return ossl_failed(err, KLUIS_E_REJECT, "certificate"); }
    uint32_t flags = X509_get_extension_flags(x), usage = X509_get_key_usage(x);
    uint32_t need = p->ca ? KU_KEY_CERT_SIGN : KU_DIGITAL_SIGNATURE;
    bool fits = !(flags & EXFLAG_INVALID) && ((flags & EXFLAG_CA) != 0) == p->ca && (flags & EXFLAG_KUSAGE) && (usage & need) && eku_is(x, p);
    kluis_status st = KLUIS_OK;
    if (!fits) {
        st = KLUIS_FAIL(err, KLUIS_E_REJECT, "certificate: not made for %s", p->key_usage);
    } else {
        enum chain_result r = CHAIN_BAD;
        char why[KLUIS_ERR_MSG] = "";
        st = chain_check(x, NULL, anchors, n, CHAIN_ANY, at_us, &r, why, err);
        if (st == KLUIS_OK && r != CHAIN_GOOD) { st = KLUIS_FAIL(err, KLUIS_E_REJECT, "%s", why); }
    }
    X509_free(x);
    return ossl_leave(mark, st, "certificate", err);
}

kluis_status kluis_cert_validity(struct kluis_bytes cert_der, int64_t *from_us, int64_t *to_us, struct kluis_err *err)
{
    int64_t from = 0, to = 0;
    X509 *x = x509_from_der(cert_der);
    if (!x) { return ossl_failed(err, KLUIS_E_REJECT, "certificate"); }
    bool ok = chain_seconds(X509_get0_notBefore(x), &from) && chain_seconds(X509_get0_notAfter(x), &to);
    X509_free(x);
    ERR_clear_error();
    if (!ok) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "certificate: its dates are none"); }
    *from_us = from * 1000000;
    *to_us = to * 1000000 - 1;
    return KLUIS_OK;
}

kluis_status kluis_cert_spki(struct kluis_bytes cert_der, struct kluis_buf *spki_der, struct kluis_err *err)
{
    struct cert_view v;
    if (cert_der.len > KLUIS_CERT_MAX || !der_canonical(cert_der) || !cert_view_read(cert_der, &v)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "certificate: malformed");
    }
    kluis_buf_add(spki_der, v.spki.ptr, v.spki.len);
    return kluis_buf_ok(spki_der, err);
}

kluis_status kluis_cert_name(struct kluis_bytes cert_der, struct kluis_buf *name, struct kluis_err *err)
{
    uint64_t mark = ossl_enter();
    X509 *x = x509_from_der(cert_der);
    if (!x) { return ossl_failed(err, KLUIS_E_REJECT, "certificate"); }
    X509_NAME *subject = X509_get_subject_name(x);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    int more = at >= 0 ? X509_NAME_get_index_by_NID(subject, NID_commonName, at) : 0;
    uint8_t *text = NULL;
    int n = more == -1 ? ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))) : -1;
    X509_free(x);
    kluis_status st = n < 0 ? KLUIS_FAIL(err, KLUIS_E_REJECT, "certificate: not exactly one common name") : KLUIS_OK;
    if (st == KLUIS_OK) { kluis_buf_add(name, text, (size_t)n); }
    OPENSSL_free(text);
    if (st == KLUIS_OK) { st = kluis_buf_ok(name, err); }
    return ossl_leave(mark, st, "certificate", err);
}

kluis_status kluis_cert_pem(struct kluis_bytes cert_der, struct kluis_buf *pem, struct kluis_err *err)
{
    if (cert_der.len == 0 || cert_der.len > KLUIS_CERT_MAX) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "certificate: malformed"); }
    (void)ossl_enter();
    BIO *bio = BIO_new(BIO_s_mem());
    char *p = NULL;
    if (!bio || PEM_write_bio(bio, PEM_STRING_X509, "", cert_der.ptr, (long)cert_der.len) <= 0) {
        BIO_free(bio);
        return ossl_failed(err, KLUIS_E_NOMEM, "certificate: cannot be written");
    }
    long n = BIO_get_mem_data(bio, &p);
    kluis_buf_add(pem, p, n > 0 ? (size_t)n : 0);
    BIO_free(bio);
    return kluis_buf_ok(pem, err);
}

kluis_status kluis_cert_from_pem(struct kluis_bytes pem, struct kluis_buf *cert_der, struct kluis_err *err)
{
    if (pem.len == 0 || pem.len > (1 << 20)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "certificate: no PEM text"); }
    (void)ossl_enter();
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    X509 *x = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    uint8_t *der = NULL;
    int n = x ? i2d_X509(x, &der) : -1;
    BIO_free(bio);
    X509_free(x);
    if (n <= 0 || n > KLUIS_CERT_MAX) {
        OPENSSL_free(der);
        return ossl_failed(err, KLUIS_E_REJECT, "certificate: no PEM certificate, or too large");
    }
    kluis_buf_add(cert_der, der, (size_t)n);
    OPENSSL_free(der);
    ERR_clear_error();
    return kluis_buf_ok(cert_der, err);
}
