/* lib/seal/view.c - strict reading of certificates, SignedData and TSTInfo: one accepted form, nothing unaccounted for.
 *
 * What no signature covers (versions, algorithm identifiers, sets, unsigned attributes) has one spelling here, so
 * that a changed bit in it is refused as surely as one under a signature. */
#include "internal.h"

static bool null_or_absent(struct kluis_bytes c)
{
    struct kluis_bytes n;
    return c.len == 0 || (der_take(&c, DER_NULL, &n) && n.len == 0 && c.len == 0);
}

enum hash_kind hash_kind_of(struct kluis_bytes c)
{
    struct kluis_bytes oid;
    if (!der_take(&c, DER_OID, &oid) || !null_or_absent(c)) { return HASH_NONE; }
    if (der_same(oid, OID_SHA256)) { return HASH_SHA256; }
    if (der_same(oid, OID_SHA384)) { return HASH_SHA384; }
    if (der_same(oid, OID_SHA512)) { return HASH_SHA512; }
    return HASH_NONE;
}

const EVP_MD *hash_md(enum hash_kind h)
{
    switch (h) {
    case HASH_SHA256: return EVP_sha256();
    case HASH_SHA384: return EVP_sha384();
    case HASH_SHA512: return EVP_sha512();
    case HASH_NONE: break;
    }
    return NULL;
}

size_t hash_len(enum hash_kind h) { return h == HASH_SHA256 ? 32 : h == HASH_SHA384 ? 48 : h == HASH_SHA512 ? 64 : 0; }

struct kluis_bytes hash_oid(enum hash_kind h) { return h == HASH_SHA256 ? OID_SHA256 : h == HASH_SHA384 ? OID_SHA384 : OID_SHA512; }

size_t kluis_digest_len(enum kluis_digest d) { return hash_len((enum hash_kind)d); }

enum key_kind spki_kind(struct kluis_bytes spki)
{
    struct kluis_bytes seq, alg, oid, curve, bits, rsa, n, e;
    if (!der_take(&spki, DER_SEQUENCE, &seq) || spki.len || !der_take(&seq, DER_SEQUENCE, &alg) || !der_take(&seq, DER_BIT_STRING, &bits) ||
        seq.len || !der_take(&alg, DER_OID, &oid) || bits.len < 2 || bits.ptr[0] != 0) {
        return KEY_REFUSED;
    }
    bits.ptr++;
    bits.len--;
    if (der_same(oid, OID_EC_KEY)) {
        if (!der_take(&alg, DER_OID, &curve) || alg.len) { return KEY_REFUSED; }
        if (der_same(curve, OID_P256)) { return bits.len == 65 && bits.ptr[0] == 0x04 ? KEY_EC : KEY_REFUSED; }
        if (der_same(curve, OID_P384)) { return bits.len == 97 && bits.ptr[0] == 0x04 ? KEY_EC : KEY_REFUSED; }
        return KEY_REFUSED;
    }
    if (!der_same(oid, OID_RSA) || !null_or_absent(alg) || !der_take(&bits, DER_SEQUENCE, &rsa) || bits.len || !der_take(&rsa, DER_INTEGER, &n) ||
        !der_take(&rsa, DER_INTEGER, &e) || rsa.len) {
        return KEY_REFUSED;
    }
    if (n.len && n.ptr[0] == 0) {
        n.ptr++;
        n.len--;
    }
    /* 8192 bits is the most that a hostile key may make us compute with. */
    bool size_ok = n.len >= 384 && n.len <= 1024 && (n.len > 384 || (n.ptr[0] & 0x80));
    return size_ok && e.len >= 3 && e.len <= 8 ? KEY_RSA : KEY_REFUSED; /* e >= 65537 */
}

bool cert_view_read(struct kluis_bytes der, struct cert_view *out)
{
    struct kluis_bytes cert, tbs, skip;
    if (der.len > KLUIS_CERT_MAX || !der_take(&der, DER_SEQUENCE, &cert) || der.len || !der_take(&cert, DER_SEQUENCE, &tbs) ||
        !der_take(&tbs, DER_CONTEXT_0, &skip) || !der_take(&tbs, DER_INTEGER, &out->serial) || !der_take(&tbs, DER_SEQUENCE, &skip) ||
        !der_take_whole(&tbs, DER_SEQUENCE, &out->issuer) || !der_take(&tbs, DER_SEQUENCE, &skip) ||
        !der_take_whole(&tbs, DER_SEQUENCE, &out->subject) || !der_take_whole(&tbs, DER_SEQUENCE, &out->spki)) {
        return false;
    }
    return der_take(&cert, DER_SEQUENCE, &skip) && der_take(&cert, DER_BIT_STRING, &skip) && cert.len == 0;
}

static bool integer_is(struct kluis_bytes *in, uint8_t v)
{
    struct kluis_bytes c;
    return der_take(in, DER_INTEGER, &c) && c.len == 1 && c.ptr[0] == v;
}

/* The signature algorithm must say the digest that the SignerInfo says: no signature covers either. */
static bool signature_algorithm_ok(struct kluis_bytes c, enum hash_kind hash, enum key_kind key)
{
    struct kluis_bytes oid;
    if (!der_take(&c, DER_OID, &oid)) { return false; }
    if (key == KEY_EC) {
        return c.len == 0 && der_same(oid, hash == HASH_SHA256 ? OID_ECDSA_SHA256 : hash == HASH_SHA384 ? OID_ECDSA_SHA384 : OID_ECDSA_SHA512);
    }
    struct kluis_bytes full = hash == HASH_SHA256 ? OID_SHA256_RSA : hash == HASH_SHA384 ? OID_SHA384_RSA : OID_SHA512_RSA;
    return key == KEY_RSA && c.len == 2 && null_or_absent(c) && (der_same(oid, full) || der_same(oid, OID_RSA));
}

/* signing-certificate-v2 (RFC 5035): the first reference is the signer's; further ones and policies are not accepted
 * in our signatures and ignored in tokens. */
static bool ess_read(struct kluis_bytes value, bool alone, struct cms_view *v)
{
    struct kluis_bytes seq, list, id, alg;
    if (!der_take(&value, DER_SEQUENCE, &seq) || value.len || !der_take(&seq, DER_SEQUENCE, &list) || !der_take(&list, DER_SEQUENCE, &id)) {
        return false;
    }
    v->ess_kind = HASH_SHA256;
    if (der_peek(id) == DER_SEQUENCE) {
        if (!der_take(&id, DER_SEQUENCE, &alg)) { return false; }
        v->ess_kind = hash_kind_of(alg);
        if (alone && v->ess_kind == HASH_SHA256) { return false; } /* DER omits the default */
    }
    if (v->ess_kind == HASH_NONE || !der_take(&id, DER_OCTET_STRING, &v->ess_hash) || v->ess_hash.len != hash_len(v->ess_kind)) { return false; }
    return !alone || (seq.len == 0 && list.len == 0);
}

enum { SEEN_TYPE = 1, SEEN_DIGEST = 2, SEEN_TIME = 4, SEEN_ESS = 8 };

static kluis_status attributes_read(struct kluis_bytes in, enum view_kind kind, struct cms_view *v, struct kluis_err *err)
{
    unsigned seen = 0, need = SEEN_TYPE | SEEN_DIGEST | SEEN_ESS | (kind != VIEW_TOKEN ? SEEN_TIME : 0);
    struct kluis_bytes before = { NULL, 0 };
    while (in.len) {
        struct kluis_bytes whole, attr, oid, values, value, rest;
        unsigned bit = 0;
        bool ok = true;
        if (!der_take_whole(&in, DER_SEQUENCE, &whole)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "signed attributes: malformed"); }
        rest = whole;
        if (!der_take(&rest, DER_SEQUENCE, &attr) || !der_take(&attr, DER_OID, &oid) || !der_take(&attr, DER_SET, &values) || attr.len) {
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "signed attributes: malformed attribute");
        }
        size_t common = before.len < whole.len ? before.len : whole.len;
        int order = before.ptr ? memcmp(before.ptr, whole.ptr, common) : -1;
        if (order > 0 || (order == 0 && before.len >= whole.len)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "signed attributes: not in DER order"); }
        before = whole;
        rest = values;
        if (der_same(oid, OID_CONTENT_TYPE)) {
            bit = SEEN_TYPE;
            ok = der_take(&rest, DER_OID, &value) && der_same(value, kind == VIEW_TOKEN ? OID_TST_INFO : OID_DATA);
        } else if (der_same(oid, OID_MESSAGE_DIGEST)) {
            bit = SEEN_DIGEST;
            ok = der_take(&rest, DER_OCTET_STRING, &v->message_digest) && v->message_digest.len == hash_len(v->hash);
        } else if (der_same(oid, OID_SIGNING_TIME)) {
            uint8_t tag = 0;
            bit = SEEN_TIME;
            ok = der_next(&rest, &tag, &value, NULL) && der_time(tag, value, false, &v->signing_us);
        } else if (der_same(oid, OID_SIGNING_CERTIFICATE_V2)) {
            bit = SEEN_ESS;
            ok = der_take_whole(&rest, DER_SEQUENCE, &value) && ess_read(value, kind != VIEW_TOKEN, v);
        } else if (kind != VIEW_TOKEN) {
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "signed attributes: one that does not belong here");
        } else {
            rest.len = 0; /* authorities add attributes of their own; the signature covers them */
        }
        if (!ok || rest.len || (seen & bit)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "signed attributes: wrong value, or one twice"); }
        seen |= bit;
    }
    if ((seen & need) != need) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "signed attributes: content-type, message-digest, signing-time or signing-certificate-v2 is missing");
    }
    return KLUIS_OK;
}

static kluis_status certificates_read(struct kluis_bytes in, enum view_kind kind, struct cms_view *v, struct kluis_err *err)
{
    while (in.len) {
        struct cert_view c;
        if (v->n_cert == KLUIS_CHAIN_MAX + 1) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "more than %d certificates embedded", KLUIS_CHAIN_MAX + 1); }
        struct kluis_bytes *to = &v->cert[v->n_cert];
        if (!der_take_whole(&in, DER_SEQUENCE, to) || !cert_view_read(*to, &c)) {
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "embedded certificate: malformed");
        }
        if (spki_kind(c.spki) == KEY_REFUSED) {
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "embedded certificate: key is not P-256, P-384 or RSA of 3072 bits or more");
        }
        for (size_t i = 0; i < v->n_cert; i++) {
            size_t common = v->cert[i].len < to->len ? v->cert[i].len : to->len;
            int order = memcmp(v->cert[i].ptr, to->ptr, common);
            bool sorted = order < 0 || (order == 0 && v->cert[i].len < to->len);
            if (kind != VIEW_TOKEN ? !sorted : der_same(v->cert[i], *to)) {
                return KLUIS_FAIL(err, KLUIS_E_REJECT, "embedded certificates: one twice, or not in DER order");
            }
        }
        v->n_cert++;
    }
    return KLUIS_OK;
}

/* Their content is OpenSSL's to read; here only their number, order and size. */
static kluis_status crls_read(struct kluis_bytes in, struct cms_view *v, struct kluis_err *err)
{
    while (in.len) {
        if (v->n_crl == KLUIS_CRLS_MAX) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "more than %d revocation lists embedded", KLUIS_CRLS_MAX); }
        struct kluis_bytes *to = &v->crl[v->n_crl];
        if (!der_take_whole(&in, DER_SEQUENCE, to) || to->len > KLUIS_CRL_MAX) {
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "embedded revocation list: malformed or too large");
        }
        if (v->n_crl > 0) {
            const struct kluis_bytes *before = to - 1;
            int order = memcmp(before->ptr, to->ptr, before->len < to->len ? before->len : to->len);
            if (order > 0 || (order == 0 && before->len >= to->len)) {
                return KLUIS_FAIL(err, KLUIS_E_REJECT, "embedded revocation lists: one twice, or not in DER order");
            }
        }
        v->n_crl++;
    }
    return v->n_crl ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_REJECT, "embedded revocation lists: none where some are announced");
}

static kluis_status signer_read(struct kluis_bytes in, enum view_kind kind, struct cms_view *v, struct kluis_err *err)
{
    struct kluis_bytes start = in, sid, issuer, serial, alg, sig_alg, values, attr, oid;
    if (!integer_is(&in, 1)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "SignerInfo: version is not 1"); }
    if (!der_take(&in, DER_SEQUENCE, &sid) || !der_take_whole(&sid, DER_SEQUENCE, &issuer) || !der_take(&sid, DER_INTEGER, &serial) || sid.len) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "SignerInfo: signer not named by issuer and serial number");
    }
    if (!der_take(&in, DER_SEQUENCE, &alg) || hash_kind_of(alg) != v->hash || (kind != VIEW_TOKEN && alg.len != OID_SHA256.len + 2)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "SignerInfo: digest is not the one announced");
    }
    if (!der_take(&in, DER_CONTEXT_0, &v->signed_attrs)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "SignerInfo: no signed attributes"); }
    KLUIS_TRY(attributes_read(v->signed_attrs, kind, v, err));
    size_t found = 0;
    enum key_kind key = KEY_REFUSED;
    for (size_t i = 0; i < v->n_cert; i++) {
        struct cert_view c;
        if (!cert_view_read(v->cert[i], &c) || !der_same(c.issuer, issuer) || !der_same(c.serial, serial)) { continue; }
        v->signer = i;
        key = spki_kind(c.spki);
        found++;
    }
    if (found != 1) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "the signer's certificate is not embedded"); }
    if (!der_take(&in, DER_SEQUENCE, &sig_alg) || !signature_algorithm_ok(sig_alg, v->hash, key)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "SignerInfo: signature algorithm not allowed, or not that of key and digest");
    }
    if (!der_take(&in, DER_OCTET_STRING, &v->signature) || v->signature.len == 0 || v->signature.len > KLUIS_SIGNATURE_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "SignerInfo: no signature value");
    }
    v->signer_head = (struct kluis_bytes){ start.ptr, start.len - in.len };
    if (in.len == 0) { return KLUIS_OK; }
    if (kind == VIEW_TOKEN) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "time-stamp token: unsigned attributes"); }
    if (!der_take(&in, DER_CONTEXT_1, &values) || in.len || !der_take(&values, DER_SEQUENCE, &attr) || values.len ||
        !der_take(&attr, DER_OID, &oid) || !der_same(oid, OID_TIME_STAMP_TOKEN) || !der_take(&attr, DER_SET, &values) || attr.len ||
        !der_take_whole(&values, DER_SEQUENCE, &v->token) || values.len) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "unsigned attributes: not exactly one time-stamp token");
    }
    return KLUIS_OK;
}

kluis_status cms_view_read(struct kluis_bytes der, enum view_kind kind, struct cms_view *v, struct kluis_err *err)
{
    memset(v, 0, sizeof *v);
    v->signing_us = KLUIS_TIME_ABSENT;
    struct kluis_bytes info, oid, wrap, data, in, c, certs, signers;
    size_t max = kind == VIEW_TOKEN ? KLUIS_TOKEN_MAX : KLUIS_P7S_MAX;
    if (der.len == 0 || der.len > max) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "signature: empty or larger than %zu bytes", max); }
    if (!der_canonical(der)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "signature: not strict DER"); }
    if (!der_take(&der, DER_SEQUENCE, &info) || der.len || !der_take(&info, DER_OID, &oid) || !der_same(oid, OID_SIGNED_DATA) ||
        !der_take(&info, DER_CONTEXT_0, &wrap) || info.len || !der_take(&wrap, DER_SEQUENCE, &data) || wrap.len) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "signature: not one CMS SignedData");
    }
    in = data;
    if (!der_next(&in, NULL, NULL, &v->outer[0]) || !integer_is(&data, kind == VIEW_TOKEN ? 3 : 1)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "SignedData: unexpected version");
    }
    if (!der_next(&in, NULL, NULL, &v->outer[1]) || !der_take(&data, DER_SET, &c) || !der_take(&c, DER_SEQUENCE, &wrap) || c.len) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "SignedData: not exactly one digest algorithm");
    }
    v->hash = hash_kind_of(wrap);
    if (v->hash == HASH_NONE || (kind != VIEW_TOKEN && wrap.len != OID_SHA256.len + 2)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "SignedData: digest is not SHA-256, SHA-384 or SHA-512");
    }
    if (!der_next(&in, NULL, NULL, &v->outer[2]) || !der_take(&data, DER_SEQUENCE, &c) || !der_take(&c, DER_OID, &oid) ||
        !der_same(oid, kind == VIEW_TOKEN ? OID_TST_INFO : OID_DATA)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "SignedData: content of another type");
    }
    if (kind == VIEW_TOKEN) {
        if (!der_take(&c, DER_CONTEXT_0, &wrap) || !der_take(&wrap, DER_OCTET_STRING, &v->econtent) || wrap.len) {
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "time-stamp token: no content");
        }
    }
    if (c.len) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "SignedData: content where none belongs"); }
    if (!der_next(&in, NULL, NULL, &v->certificates) || !der_take(&data, DER_CONTEXT_0, &certs)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "SignedData: no certificates embedded");
    }
    KLUIS_TRY(certificates_read(certs, kind, v, err));
    if (kind == VIEW_LONG && der_peek(data) == DER_CONTEXT_1) {
        if (!der_next(&in, NULL, NULL, &v->crls) || !der_take(&data, DER_CONTEXT_1, &c)) {
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "SignedData: malformed revocation lists");
        }
        KLUIS_TRY(crls_read(c, v, err));
    }
    if (!der_next(&in, NULL, NULL, &v->signers)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "SignedData: no signer"); }
    if (!der_take(&data, DER_SET, &signers) || data.len || !der_take(&signers, DER_SEQUENCE, &c) || signers.len) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "SignedData: not exactly one signer, or something beside it");
    }
    return signer_read(c, kind, v, err);
}

bool tst_view_read(struct kluis_bytes der, struct tst_view *out)
{
    struct kluis_bytes in, c, alg, when;
    memset(out, 0, sizeof *out);
    if (!der_canonical(der) || !der_take(&der, DER_SEQUENCE, &in) || der.len || !integer_is(&in, 1) || !der_take(&in, DER_OID, &c) ||
        !der_take(&in, DER_SEQUENCE, &c) || !der_take(&c, DER_SEQUENCE, &alg) || !der_take(&c, DER_OCTET_STRING, &out->imprint) || c.len) {
        return false;
    }
    out->hash = hash_kind_of(alg);
    if (out->hash == HASH_NONE || out->imprint.len != hash_len(out->hash) || !der_take(&in, DER_INTEGER, &c) ||
        !der_take(&in, DER_GENERALIZED_TIME, &when) || !der_time(DER_GENERALIZED_TIME, when, true, &out->gen_us)) {
        return false;
    }
    if (der_peek(in) == DER_SEQUENCE && !der_take(&in, DER_SEQUENCE, &c)) { return false; } /* accuracy */
    if (der_peek(in) == DER_BOOLEAN && !der_take(&in, DER_BOOLEAN, &c)) { return false; }   /* ordering: some write the default too */
    if (der_peek(in) == DER_INTEGER && !der_take(&in, DER_INTEGER, &out->nonce)) { return false; }
    if (der_peek(in) == DER_CONTEXT_0 && !der_take(&in, DER_CONTEXT_0, &c)) { return false; } /* tsa */
    if (der_peek(in) == DER_CONTEXT_1) { /* extensions, as of qualified authorities: a critical one we do not know refuses */
        if (!der_take(&in, DER_CONTEXT_1, &c)) { return false; }
        while (c.len) {
            struct kluis_bytes ext, part;
            if (!der_take(&c, DER_SEQUENCE, &ext) || !der_take(&ext, DER_OID, &part)) { return false; }
            if (der_peek(ext) == DER_BOOLEAN && (!der_take(&ext, DER_BOOLEAN, &part) || part.ptr[0])) { return false; }
            if (!der_take(&ext, DER_OCTET_STRING, &part) || ext.len) { return false; }
        }
    }
    return in.len == 0;
}
