/* lib/seal/cades.c - CAdES baseline signatures written by hand, in two phases, and the RFC 3161 request.
 *
 * The key sees SignedAttributes and nothing else; everything around them is assembled afterwards.  No CMS library
 * is needed, so that a telephone or a browser can do the same. */
#include "internal.h"

#include <assert.h>

enum { ATTRS_MAX = 4096, CERTS_MAX = (KLUIS_CHAIN_MAX + 1) * KLUIS_CERT_MAX };

static void put_attribute(struct kluis_buf *out, struct kluis_bytes oid, const struct kluis_buf *value)
{
    KLUIS_AUTO_BUF(c, out->max);
    der_put(&c, DER_OID, oid.ptr, oid.len);
    der_put_buf(&c, DER_SET, value);
    der_put_buf(out, DER_SEQUENCE, &c);
}

kluis_status kluis_seal_prepare(struct kluis_bytes content_sha256, struct kluis_bytes cert_der, int64_t signing_time_us,
                                struct kluis_buf *to_be_signed, struct kluis_err *err)
{
    struct cert_view cert;
    if (content_sha256.len != 32) { return KLUIS_FAIL(err, KLUIS_E_BUG, "seal: the content's digest must be 32 bytes"); }
    if (!der_canonical(cert_der) || !cert_view_read(cert_der, &cert)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "seal: the certificate is malformed");
    }
    uint8_t cert_hash[32];
    kluis_sha256_of(cert_der.ptr, cert_der.len, cert_hash);

    KLUIS_AUTO_BUF(type, ATTRS_MAX);
    KLUIS_AUTO_BUF(digest, ATTRS_MAX);
    KLUIS_AUTO_BUF(when, ATTRS_MAX);
    KLUIS_AUTO_BUF(ess, ATTRS_MAX);
    KLUIS_AUTO_BUF(v, ATTRS_MAX);
    KLUIS_AUTO_BUF(w, ATTRS_MAX);
    der_put(&v, DER_OID, OID_DATA.ptr, OID_DATA.len);
    put_attribute(&type, OID_CONTENT_TYPE, &v);
    kluis_buf_clear(&v);
    der_put(&v, DER_OCTET_STRING, content_sha256.ptr, 32);
    put_attribute(&digest, OID_MESSAGE_DIGEST, &v);
    kluis_buf_clear(&v);
    der_put_time(&v, signing_time_us);
    put_attribute(&when, OID_SIGNING_TIME, &v);
    /* SigningCertificateV2 { { { hash } } }: SHA-256 is the default and therefore not named. */
    kluis_buf_clear(&v);
    der_put(&v, DER_OCTET_STRING, cert_hash, 32);
    der_put_buf(&w, DER_SEQUENCE, &v);
    kluis_buf_clear(&v);
    der_put_buf(&v, DER_SEQUENCE, &w);
    kluis_buf_clear(&w);
    der_put_buf(&w, DER_SEQUENCE, &v);
    put_attribute(&ess, OID_SIGNING_CERTIFICATE_V2, &w);

    KLUIS_TRY(kluis_buf_ok(&type, err));
    KLUIS_TRY(kluis_buf_ok(&digest, err));
    KLUIS_TRY(kluis_buf_ok(&when, err));
    KLUIS_TRY(kluis_buf_ok(&ess, err));
    struct kluis_bytes set[4] = { kluis_buf_bytes(&type), kluis_buf_bytes(&digest), kluis_buf_bytes(&when), kluis_buf_bytes(&ess) };
    der_put_set(to_be_signed, DER_SET, set, 4);
    return kluis_buf_ok(to_be_signed, err);
}

/* `data`, SignedData version 1: outer parts, certificates, perhaps lists, and the SET of one SignerInfo. */
static void put_content_info(struct kluis_buf *out, const struct kluis_buf *data)
{
    KLUIS_AUTO_BUF(info, out->max);
    KLUIS_AUTO_BUF(wrap, out->max);
    der_put_buf(&wrap, DER_SEQUENCE, data);
    der_put(&info, DER_OID, OID_SIGNED_DATA.ptr, OID_SIGNED_DATA.len);
    der_put_buf(&info, DER_CONTEXT_0, &wrap);
    der_put_buf(out, DER_SEQUENCE, &info);
}

static void put_signed_data(struct kluis_buf *out, const struct kluis_buf *head, const struct kluis_buf *signer_info)
{
    KLUIS_AUTO_BUF(data, out->max);
    KLUIS_AUTO_BUF(si, out->max);
    KLUIS_AUTO_BUF(signers, out->max);
    der_put_buf(&si, DER_SEQUENCE, signer_info);
    der_put_buf(&signers, DER_SET, &si);
    der_add(&data, head);
    der_add(&data, &signers);
    put_content_info(out, &data);
}

kluis_status kluis_seal_finish(struct kluis_bytes to_be_signed, struct kluis_bytes signature, struct kluis_bytes cert_der,
                               const struct kluis_bytes *chain, size_t n_chain, struct kluis_buf *p7s, struct kluis_err *err)
{
    struct cert_view cert;
    if (!der_canonical(cert_der) || !cert_view_read(cert_der, &cert)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "seal: the certificate is malformed");
    }
    if (n_chain > KLUIS_CHAIN_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "seal: more than %d chain certificates", KLUIS_CHAIN_MAX); }
    struct kluis_bytes rest = to_be_signed, attrs;
    if (!der_take(&rest, DER_SET, &attrs) || rest.len) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "seal: these are no signed attributes"); }
    /* A signature that does not fit must not get a package frozen around it. */
    KLUIS_TRY(kluis_key_check(cert.spki, to_be_signed, signature, err));

    KLUIS_AUTO_BUF(digest, 64);
    KLUIS_AUTO_BUF(algorithm, 64);
    KLUIS_AUTO_BUF(data_type, 64);
    der_put(&digest, DER_OID, OID_SHA256.ptr, OID_SHA256.len);
    der_put_buf(&algorithm, DER_SEQUENCE, &digest);
    der_put(&data_type, DER_OID, OID_DATA.ptr, OID_DATA.len);

    KLUIS_AUTO_BUF(head, KLUIS_P7S_MAX);
    der_put(&head, DER_INTEGER, "\x01", 1);
    der_put_buf(&head, DER_SET, &algorithm);
    der_put_buf(&head, DER_SEQUENCE, &data_type);
    struct kluis_bytes set[KLUIS_CHAIN_MAX + 1];
    set[0] = cert_der;
    for (size_t i = 0; i < n_chain; i++) { set[i + 1] = chain[i]; }
    der_put_set(&head, DER_CONTEXT_0, set, n_chain + 1);

    KLUIS_AUTO_BUF(si, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(sid, KLUIS_CERT_MAX);
    KLUIS_AUTO_BUF(sig_alg, 64);
    der_put(&si, DER_INTEGER, "\x01", 1);
    kluis_buf_add(&sid, cert.issuer.ptr, cert.issuer.len);
    der_put(&sid, DER_INTEGER, cert.serial.ptr, cert.serial.len);
    der_put_buf(&si, DER_SEQUENCE, &sid);
    der_add(&si, &algorithm);
    der_put(&si, DER_CONTEXT_0, attrs.ptr, attrs.len);
    if (spki_kind(cert.spki) == KEY_RSA) {
        der_put(&sig_alg, DER_OID, OID_SHA256_RSA.ptr, OID_SHA256_RSA.len);
        der_put(&sig_alg, DER_NULL, NULL, 0);
    } else {
        der_put(&sig_alg, DER_OID, OID_ECDSA_SHA256.ptr, OID_ECDSA_SHA256.len);
    }
    der_put_buf(&si, DER_SEQUENCE, &sig_alg);
    der_put(&si, DER_OCTET_STRING, signature.ptr, signature.len);
    KLUIS_TRY(kluis_buf_ok(&head, err));
    KLUIS_TRY(kluis_buf_ok(&si, err));

    KLUIS_AUTO_BUF(made, KLUIS_P7S_MAX);
    put_signed_data(&made, &head, &si);
    KLUIS_TRY(kluis_buf_ok(&made, err));
    /* What we write, our own strict reader accepts: attributes of another making or an unfit chain end here. */
    struct cms_view v;
    kluis_status st = cms_view_read(kluis_buf_bytes(&made), VIEW_SIGNATURE, &v, err);
    if (st != KLUIS_OK) {
        kluis_err_prefix(err, "seal cannot be assembled");
        return st;
    }
    kluis_buf_add(p7s, made.data, made.len);
    return kluis_buf_ok(p7s, err);
}

kluis_status kluis_seal_sign(const struct kluis_key *k, struct kluis_bytes content, struct kluis_bytes cert_der, const struct kluis_bytes *chain,
                             size_t n_chain, int64_t signing_time_us, struct kluis_buf *p7s, struct kluis_err *err)
{
    uint8_t digest[32];
    kluis_sha256_of(content.ptr, content.len, digest);
    KLUIS_AUTO_BUF(tbs, ATTRS_MAX);
    KLUIS_AUTO_BUF(sig, KLUIS_SIGNATURE_MAX);
    KLUIS_TRY(kluis_seal_prepare((struct kluis_bytes){ digest, 32 }, cert_der, signing_time_us, &tbs, err));
    KLUIS_TRY(kluis_key_sign(k, kluis_buf_bytes(&tbs), &sig, err));
    return kluis_seal_finish(kluis_buf_bytes(&tbs), kluis_buf_bytes(&sig), cert_der, chain, n_chain, p7s, err);
}

kluis_status kluis_seal_imprint(struct kluis_bytes p7s, uint8_t out[32], struct kluis_err *err)
{
    struct cms_view v;
    KLUIS_TRY(cms_view_read(p7s, VIEW_SIGNATURE, &v, err));
    kluis_sha256_of(v.signature.ptr, v.signature.len, out);
    return KLUIS_OK;
}

kluis_status kluis_seal_add_token(struct kluis_bytes p7s, struct kluis_bytes token, struct kluis_buf *out, struct kluis_err *err)
{
    struct cms_view v, t;
    KLUIS_TRY(cms_view_read(p7s, VIEW_SIGNATURE, &v, err));
    if (v.token.ptr) { return KLUIS_FAIL(err, KLUIS_E_EXISTS, "signature already has a time-stamp token"); }
    KLUIS_TRY(cms_view_read(token, VIEW_TOKEN, &t, err));
    KLUIS_AUTO_BUF(head, KLUIS_P7S_MAX);
    for (int i = 0; i < 3; i++) { kluis_buf_add(&head, v.outer[i].ptr, v.outer[i].len); }
    kluis_buf_add(&head, v.certificates.ptr, v.certificates.len);
    KLUIS_AUTO_BUF(value, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(attr, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(si, KLUIS_P7S_MAX);
    kluis_buf_add(&value, token.ptr, token.len);
    put_attribute(&attr, OID_TIME_STAMP_TOKEN, &value);
    kluis_buf_add(&si, v.signer_head.ptr, v.signer_head.len);
    der_put_buf(&si, DER_CONTEXT_1, &attr);
    KLUIS_TRY(kluis_buf_ok(&head, err));
    KLUIS_TRY(kluis_buf_ok(&si, err));
    KLUIS_AUTO_BUF(made, KLUIS_P7S_MAX);
    put_signed_data(&made, &head, &si);
    KLUIS_TRY(kluis_buf_ok(&made, err));
    kluis_buf_add(out, made.data, made.len);
    return kluis_buf_ok(out, err);
}

kluis_status kluis_seal_add_crls(struct kluis_bytes p7s, const struct kluis_bytes *crls, size_t n, struct kluis_buf *out, struct kluis_err *err)
{
    struct cms_view v;
    struct kluis_bytes set[KLUIS_CRLS_MAX];
    KLUIS_TRY(cms_view_read(p7s, VIEW_LONG, &v, err));
    if (v.crls.ptr) { return KLUIS_FAIL(err, KLUIS_E_EXISTS, "signature already has revocation lists"); }
    if (!v.token.ptr) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "signature has no time-stamp token yet: revocation lists come after it"); }
    if (n == 0 || n > KLUIS_CRLS_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "1 to %d revocation lists go into a signature", KLUIS_CRLS_MAX); }
    memcpy(set, crls, n * sizeof *set);
    KLUIS_AUTO_BUF(data, KLUIS_P7S_MAX);
    for (int i = 0; i < 3; i++) { kluis_buf_add(&data, v.outer[i].ptr, v.outer[i].len); }
    kluis_buf_add(&data, v.certificates.ptr, v.certificates.len);
    der_put_set(&data, DER_CONTEXT_1, set, n);
    kluis_buf_add(&data, v.signers.ptr, v.signers.len);
    KLUIS_AUTO_BUF(made, KLUIS_P7S_MAX);
    put_content_info(&made, &data);
    KLUIS_TRY(kluis_buf_ok(&made, err));
    KLUIS_TRY(cms_view_read(kluis_buf_bytes(&made), VIEW_LONG, &v, err)); /* a list twice, or one that is none */
    if (v.n_crl != n) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "revocation list: more than one where one was given"); }
    kluis_buf_add(out, made.data, made.len);
    return kluis_buf_ok(out, err);
}

kluis_status kluis_seal_crls(struct kluis_bytes p7s, struct kluis_bytes crls[KLUIS_CRLS_MAX], size_t *n, struct kluis_err *err)
{
    struct cms_view v;
    KLUIS_TRY(cms_view_read(p7s, VIEW_LONG, &v, err));
    memcpy(crls, v.crl, v.n_crl * sizeof *crls);
    *n = v.n_crl;
    return KLUIS_OK;
}

kluis_status kluis_time_request(const uint8_t imprint[32], uint64_t nonce, struct kluis_buf *der, struct kluis_err *err)
{
    struct kluis_imprint i = { .digest = KLUIS_SHA256 };
    memcpy(i.value, imprint, 32);
    return kluis_time_request_of(&i, nonce, der, err);
}

kluis_status kluis_time_request_of(const struct kluis_imprint *imprint, uint64_t nonce, struct kluis_buf *der, struct kluis_err *err)
{
    struct kluis_bytes oid = hash_oid((enum hash_kind)imprint->digest);
    KLUIS_AUTO_BUF(alg, 64);
    KLUIS_AUTO_BUF(mi, 128);
    KLUIS_AUTO_BUF(body, 256);
    KLUIS_AUTO_BUF(made, 256);
    der_put(&alg, DER_OID, oid.ptr, oid.len);
    der_put(&alg, DER_NULL, NULL, 0); /* the spelling that authorities know best */
    der_put_buf(&mi, DER_SEQUENCE, &alg);
    der_put(&mi, DER_OCTET_STRING, imprint->value, kluis_digest_len(imprint->digest));
    der_put(&body, DER_INTEGER, "\x01", 1);
    der_put_buf(&body, DER_SEQUENCE, &mi);
    uint8_t n[9] = { 0 };
    for (int i = 0; i < 8; i++) { n[1 + i] = (uint8_t)(nonce >> (56 - 8 * i)); }
    size_t skip = 0;
    while (skip < 8 && n[skip] == 0 && !(n[skip + 1] & 0x80)) { skip++; }
    der_put(&body, DER_INTEGER, n + skip, sizeof n - skip);
    der_put(&body, DER_BOOLEAN, "\xff", 1); /* certReq */
    der_put_buf(&made, DER_SEQUENCE, &body);
    KLUIS_TRY(kluis_buf_ok(&made, err));
    kluis_buf_add(der, made.data, made.len);
    return kluis_buf_ok(der, err);
}
