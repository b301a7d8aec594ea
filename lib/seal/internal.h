/* lib/seal/internal.h - DER by hand, the view of a SignedData, and the OpenSSL helpers; never leaves this folder.
 *
 * Two readers look at every signature: this strict one, which knows the one form we accept and leaves no byte
 * unaccounted for, and OpenSSL's, which does the cryptography.  Both must agree. */
#ifndef KLUIS_SEAL_INTERNAL_H
#define KLUIS_SEAL_INTERNAL_H

#include <openssl/evp.h>

#include "kluis/seal.h"

/* ---- der.c ------------------------------------------------------------------------------------- */
enum {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_NULL = 0x05,
    DER_OID = 0x06,
    DER_UTC_TIME = 0x17,
    DER_GENERALIZED_TIME = 0x18,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
    DER_CONTEXT_0 = 0xa0,
    DER_CONTEXT_1 = 0xa1
};
/* Takes one element off *in.  content and whole may be NULL.  false: not strict DER, or nothing left. */
bool der_next(struct kluis_bytes *in, uint8_t *tag, struct kluis_bytes *content, struct kluis_bytes *whole);
/* The same, but only when the tag is this one; otherwise *in is unchanged. */
bool der_take(struct kluis_bytes *in, uint8_t tag, struct kluis_bytes *content);
bool der_take_whole(struct kluis_bytes *in, uint8_t tag, struct kluis_bytes *whole);
uint8_t der_peek(struct kluis_bytes in); /* 0: nothing left */
bool der_same(struct kluis_bytes a, struct kluis_bytes b);
/* Every nested element of p is strict DER: minimal lengths, canonical booleans, integers, bit strings and object ids. */
bool der_canonical(struct kluis_bytes p);
/* UTCTime or GeneralizedTime in the profile of RFC 5280 (Z, seconds); fraction: RFC 3161 fractions allowed. */
bool der_time(uint8_t tag, struct kluis_bytes content, bool fraction, int64_t *us);

void der_put(struct kluis_buf *out, uint8_t tag, const void *p, size_t n);
/* These two: what `content` could not hold, `out` cannot either. */
void der_add(struct kluis_buf *out, const struct kluis_buf *content);
void der_put_buf(struct kluis_buf *out, uint8_t tag, const struct kluis_buf *content);
/* A SET OF: sorts the n encodings as DER wants.  Reorders the array. */
void der_put_set(struct kluis_buf *out, uint8_t tag, struct kluis_bytes *element, size_t n);
void der_put_time(struct kluis_buf *out, int64_t us);

/* Object ids, as content bytes. */
#define OID_BYTES(s) ((struct kluis_bytes){ (const uint8_t *)(s), sizeof(s) - 1 })
#define OID_SIGNED_DATA OID_BYTES("\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02")
#define OID_DATA OID_BYTES("\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01")
#define OID_TST_INFO OID_BYTES("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x04")
#define OID_CONTENT_TYPE OID_BYTES("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03")
#define OID_MESSAGE_DIGEST OID_BYTES("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04")
#define OID_SIGNING_TIME OID_BYTES("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x05")
#define OID_SIGNING_CERTIFICATE_V2 OID_BYTES("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x2f")
#define OID_TIME_STAMP_TOKEN OID_BYTES("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x0e")
#define OID_SHA256 OID_BYTES("\x60\x86\x48\x01\x65\x03\x04\x02\x01")
#define OID_SHA384 OID_BYTES("\x60\x86\x48\x01\x65\x03\x04\x02\x02")
#define OID_SHA512 OID_BYTES("\x60\x86\x48\x01\x65\x03\x04\x02\x03")
#define OID_RSA OID_BYTES("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01")
#define OID_SHA256_RSA OID_BYTES("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b")
#define OID_SHA384_RSA OID_BYTES("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c")
#define OID_SHA512_RSA OID_BYTES("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d")
#define OID_EC_KEY OID_BYTES("\x2a\x86\x48\xce\x3d\x02\x01")
#define OID_P256 OID_BYTES("\x2a\x86\x48\xce\x3d\x03\x01\x07")
#define OID_P384 OID_BYTES("\x2b\x81\x04\x00\x22")
#define OID_ECDSA_SHA256 OID_BYTES("\x2a\x86\x48\xce\x3d\x04\x03\x02")
#define OID_ECDSA_SHA384 OID_BYTES("\x2a\x86\x48\xce\x3d\x04\x03\x03")
#define OID_ECDSA_SHA512 OID_BYTES("\x2a\x86\x48\xce\x3d\x04\x03\x04")

/* ---- view.c ------------------------------------------------------------------------------------ */
enum hash_kind { HASH_NONE, HASH_SHA256 = KLUIS_SHA256, HASH_SHA384 = KLUIS_SHA384, HASH_SHA512 = KLUIS_SHA512 };
enum key_kind { KEY_REFUSED, KEY_EC, KEY_RSA };
/* P-256, P-384 or RSA of at least 3072 bits; anything else is KEY_REFUSED. */
enum key_kind spki_kind(struct kluis_bytes spki);
/* AlgorithmIdentifier of a digest, parameters absent or NULL.  HASH_NONE: not one of the allowed. */
enum hash_kind hash_kind_of(struct kluis_bytes algorithm_content);
const EVP_MD *hash_md(enum hash_kind h);
size_t hash_len(enum hash_kind h); /* 0: none */
struct kluis_bytes hash_oid(enum hash_kind h);

/* The fields of a certificate that signing and matching need.  Borrowed. */
struct cert_view {
    struct kluis_bytes serial, issuer, subject, spki;
}; /* serial: content; the others whole elements */
bool cert_view_read(struct kluis_bytes der, struct cert_view *out);

enum view_kind { VIEW_SIGNATURE, VIEW_LONG /* the same, with revocation lists */, VIEW_TOKEN };
struct cms_view {
    struct kluis_bytes outer[3];     /* SignedData before its signerInfos: version, digestAlgorithms, encapContentInfo */
    struct kluis_bytes certificates; /* whole [0] element */
    struct kluis_bytes crls;         /* VIEW_LONG: whole [1] element, ptr NULL: none */
    struct kluis_bytes crl[KLUIS_CRLS_MAX];
    size_t n_crl;
    struct kluis_bytes signers;     /* whole SET element */
    struct kluis_bytes signer_head; /* SignerInfo's content up to and with the signature value */
    struct kluis_bytes cert[KLUIS_CHAIN_MAX + 1];
    size_t n_cert; /* whole elements, as embedded */
    size_t signer; /* index of the signer's certificate */
    enum hash_kind hash;
    struct kluis_bytes signed_attrs; /* content of [0] */
    struct kluis_bytes signature;    /* content */
    struct kluis_bytes econtent;     /* VIEW_TOKEN: the TSTInfo */
    struct kluis_bytes message_digest, ess_hash;
    enum hash_kind ess_kind;
    int64_t signing_us;       /* KLUIS_TIME_ABSENT when a token has none */
    struct kluis_bytes token; /* VIEW_SIGNATURE: the time-stamp token, ptr NULL: none */
};
/* Strict reading of the one form accepted (docs/FORMAT.md §9.1 for signatures, §9.2 for tokens).  E_REJECT says what is wrong. */
KLUIS_MUSTUSE kluis_status cms_view_read(struct kluis_bytes der, enum view_kind kind, struct cms_view *out, struct kluis_err *err);

struct tst_view {
    enum hash_kind hash;
    struct kluis_bytes imprint;
    struct kluis_bytes nonce; /* content, ptr NULL: none */
    int64_t gen_us;
};
bool tst_view_read(struct kluis_bytes der, struct tst_view *out);

/* ---- known.c: parsed or judged before (of the same bytes, in this process) ----------------------- */
/* A certificate, a public key: the caller frees its reference and changes nothing.  NULL: malformed or no memory; leaves OpenSSL's error. */
X509 *known_certificate(struct kluis_bytes der);
EVP_PKEY *known_key(struct kluis_bytes spki);
/* A judgement that was "yes" and follows from the bytes that `name` is the digest of, and from a moment in seconds that lies in a window. */
bool known_fact(const uint8_t name[32], int64_t at);
void known_fact_is(const uint8_t name[32], int64_t from, int64_t to);

/* ---- key.c ------------------------------------------------------------------------------------- */
EVP_PKEY *key_pkey(const struct kluis_key *k);
/* Around everything that asks OpenSSL: want of memory is no verdict.  enter empties the error queue and takes a kluis_memory_mark; leave empties it
 * again and gives st, or E_NOMEM when memory was refused in between, whatever OpenSSL made of that (a "yes" is not believed either).  They may nest.
 */
uint64_t ossl_enter(void);
KLUIS_MUSTUSE kluis_status ossl_leave(uint64_t mark, kluis_status st, const char *what, struct kluis_err *err);
/* E_NOMEM when memory was refused since ossl_enter, else `otherwise` with OpenSSL's reason; sets *err, empties the queue. */
kluis_status ossl_failed(struct kluis_err *err, kluis_status otherwise, const char *what);

#endif
