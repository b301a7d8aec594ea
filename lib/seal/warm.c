/* lib/seal/warm.c - does once everything that makes OpenSSL open files, read configuration or fill tables.
 *
 * Looking algorithms up by name is not enough: decoders, key managers and error strings are fetched on first use.
 * So a warm process has judged a stamped signature, good and bad, with every kind of key it may meet. */
#include "chain.h"

#include <openssl/err.h>

static const int64_t YEAR = INT64_C(365) * 86400 * 1000000;

/* A signature of this kind of key, checked and found wrong: the path is what counts. */
static void touch_key(const EVP_PKEY *pkey, const EVP_MD *md)
{
    static const uint8_t sig[384] = { 0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01 };
    union {
        const EVP_PKEY *in;
        EVP_PKEY *out;
    } u = { .in = pkey };
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t n = EVP_PKEY_get_base_id(pkey) == EVP_PKEY_RSA ? sizeof sig : 8;
    if (ctx && EVP_DigestVerifyInit(ctx, NULL, md, NULL, u.out) == 1) { (void)EVP_DigestVerify(ctx, sig, n, sig, sizeof sig); }
    EVP_MD_CTX_free(ctx);
}

/* RSA-3072 with some odd number as modulus: reading and using it needs no real one. */
static EVP_PKEY *rsa_public(void)
{
    uint8_t number[385];
    memset(number, 0xc5, sizeof number);
    number[0] = 0;
    KLUIS_AUTO_BUF(rsa, 2048);
    KLUIS_AUTO_BUF(seq, 2048);
    KLUIS_AUTO_BUF(alg, 64);
    KLUIS_AUTO_BUF(spki, 2048);
    KLUIS_AUTO_BUF(out, 2048);
    der_put(&seq, DER_INTEGER, number, sizeof number);
    der_put(&seq, DER_INTEGER, "\x01\x00\x01", 3);
    kluis_buf_byte(&rsa, 0);
    der_put_buf(&rsa, DER_SEQUENCE, &seq);
    der_put(&alg, DER_OID, OID_RSA.ptr, OID_RSA.len);
    der_put(&alg, DER_NULL, NULL, 0);
    der_put_buf(&spki, DER_SEQUENCE, &alg);
    der_put_buf(&spki, DER_BIT_STRING, &rsa);
    der_put_buf(&out, DER_SEQUENCE, &spki);
    const uint8_t *p = out.data;
    return out.status == KLUIS_OK && p ? d2i_PUBKEY(NULL, &p, (long)out.len) : NULL;
}

static kluis_status issue(enum kluis_cert_role role, const struct kluis_key *subject, const struct kluis_key *issuer, struct kluis_bytes issuer_cert,
                          struct kluis_buf *out, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(spki, KLUIS_CERT_MAX);
    KLUIS_TRY(kluis_key_public(subject, &spki, err));
    int64_t now = kluis_now_us();
    struct kluis_cert_request q = {
        .role = role, .common_name = "warm", .spki_der = kluis_buf_bytes(&spki), .from_us = now - YEAR, .to_us = now + YEAR
    };
    return kluis_cert_issue(&q, issuer, issuer_cert, out, err);
}

static kluis_status rehearse(struct kluis_err *err)
{
    KLUIS_AUTO(kluis_key) root = NULL;
    KLUIS_AUTO(kluis_key) key = NULL;
    KLUIS_AUTO(kluis_tsa) tsa = NULL;
    KLUIS_AUTO_BUF(root_cert, KLUIS_CERT_MAX);
    KLUIS_AUTO_BUF(cert, KLUIS_CERT_MAX);
    KLUIS_AUTO_BUF(tsa_cert, KLUIS_CERT_MAX);
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(request, 256);
    KLUIS_AUTO_BUF(response, KLUIS_TOKEN_MAX);
    KLUIS_AUTO_BUF(token, KLUIS_TOKEN_MAX);
    KLUIS_AUTO_BUF(stamped, KLUIS_P7S_MAX);
    struct kluis_bytes none = { NULL, 0 }, content = { (const uint8_t *)"warm", 4 };
    uint8_t imprint[32];
    KLUIS_TRY(kluis_key_generate(&root, err));
    KLUIS_TRY(kluis_key_generate(&key, err));
    KLUIS_TRY(issue(KLUIS_CERT_ROOT, root, root, none, &root_cert, err));
    struct kluis_bytes anchor = kluis_buf_bytes(&root_cert);
    KLUIS_TRY(issue(KLUIS_CERT_SEAL, key, root, anchor, &cert, err));
    KLUIS_TRY(issue(KLUIS_CERT_TSA, key, root, anchor, &tsa_cert, err));
    KLUIS_TRY(kluis_seal_sign(key, content, kluis_buf_bytes(&cert), &anchor, 1, kluis_now_us(), &p7s, err));
    KLUIS_TRY(kluis_seal_imprint(kluis_buf_bytes(&p7s), imprint, err));
    KLUIS_TRY(kluis_time_request(imprint, 1, &request, err));
    KLUIS_TRY(kluis_tsa_new(key, kluis_buf_bytes(&tsa_cert), &tsa, err));
    KLUIS_TRY(kluis_tsa_respond(tsa, kluis_buf_bytes(&request), &response, err));
    KLUIS_TRY(kluis_time_accept(kluis_buf_bytes(&response), imprint, 1, &anchor, 1, &token, NULL, err));
    KLUIS_TRY(kluis_seal_add_token(kluis_buf_bytes(&p7s), kluis_buf_bytes(&token), &stamped, err));
    struct kluis_seal_verdict v;
    int64_t later = kluis_now_us() + 2 * YEAR;
    KLUIS_TRY(kluis_seal_judge(kluis_buf_bytes(&stamped), content, &anchor, 1, &anchor, 1, later, &v, err)); /* expired: its own path */
    stamped.data[stamped.len - 1] ^= 1;
    KLUIS_TRY(kluis_seal_judge(kluis_buf_bytes(&stamped), content, &anchor, 1, &anchor, 1, kluis_now_us(), &v, err)); /* damaged */
    stamped.data[stamped.len - 1] ^= 1;
    KLUIS_TRY(kluis_seal_judge(kluis_buf_bytes(&stamped), content, &anchor, 1, &anchor, 1, kluis_now_us(), &v, err));
    if (v.signature != KLUIS_VALID || v.certificate != KLUIS_VALID || v.time != KLUIS_VALID) {
        return KLUIS_FAIL(err, KLUIS_E_BUG, "signatures: self-test failed: %.200s", v.reason);
    }
    return KLUIS_OK;
}

/* Nothing here asks for a cipher by the names of before 3.0; entering all of them is a tenth of OpenSSL's start. */
kluis_status kluis_seal_start(struct kluis_err *err)
{
    uint64_t opts = OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_CRYPTO_STRINGS | OPENSSL_INIT_ADD_ALL_DIGESTS | OPENSSL_INIT_NO_ADD_ALL_CIPHERS |
                    OPENSSL_INIT_NO_ATEXIT;
    return OPENSSL_init_crypto(opts, NULL) == 1 ? KLUIS_OK : ossl_failed(err, KLUIS_E_BUG, "OpenSSL cannot start");
}

kluis_status kluis_seal_warm(struct kluis_err *err)
{
    KLUIS_TRY(kluis_seal_start(err));
    KLUIS_TRY(rehearse(err));
    EVP_PKEY *rsa = rsa_public(), *p384 = EVP_EC_gen("P-384"), *p256 = EVP_EC_gen("P-256");
    const EVP_MD *md[] = { EVP_sha256(), EVP_sha384(), EVP_sha512() };
    bool ok = rsa && p384 && p256;
    for (size_t i = 0; ok && i < sizeof md / sizeof *md; i++) {
        touch_key(rsa, md[i]);
        touch_key(p384, md[i]);
        touch_key(p256, md[i]);
    }
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(p384);
    EVP_PKEY_free(p256);
    for (unsigned long e = ERR_get_error(); e; e = ERR_get_error()) { (void)ERR_reason_error_string(e); }
    return ok ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_BUG, "OpenSSL offers no P-256, P-384 or RSA");
}
