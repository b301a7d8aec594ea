/* kluis/seal.h - certificates, CAdES signatures in two phases, RFC 3161 time, an embedded authority.
 *
 * Sources: EN 319 122-1 (CAdES baseline: B-B and B-T), RFC 5652, RFC 5035 (ESSCertIDv2), RFC 3161, RFC 5816, EN 319 422.
 * Two libraries: kluis_seal_prepare (DER by hand, no CMS: everything marked [P]) and kluis_seal (OpenSSL CMS and TS).
 * Keys are P-256 or RSA >= 3072; digests SHA-256.  No OpenSSL type crosses this header.
 */
#ifndef KLUIS_SEAL_H
#define KLUIS_SEAL_H

#include "kluis/base.h"

/* Digests that tokens and evidence records may be made with.  Our own signatures use SHA-256. */
enum kluis_digest { KLUIS_NO_DIGEST = 0, KLUIS_SHA256 = 1, KLUIS_SHA384 = 2, KLUIS_SHA512 = 3 };
enum { KLUIS_DIGEST_MAX = 64 };
struct kluis_imprint {
    enum kluis_digest digest;
    uint8_t value[KLUIS_DIGEST_MAX]; /* kluis_digest_len(digest) bytes of it */
};
size_t kluis_digest_len(enum kluis_digest d); /* [P] */

enum { KLUIS_CERT_MAX = 16384, KLUIS_P7S_MAX = 1 << 20, KLUIS_TOKEN_MAX = 256 << 10, KLUIS_SIGNATURE_MAX = 1024, KLUIS_CHAIN_MAX = 8 };
enum { KLUIS_CRL_MAX = 512 << 10, KLUIS_CRLS_MAX = 16, KLUIS_REVOKED_MAX = 10000 };

/* ---- [P] keys --------------------------------------------------------------------------------
 * A private key held here (file) or elsewhere (PKCS#11, later TPM, browser): `sign` takes the message, not its digest. */
struct kluis_key;
KLUIS_MUSTUSE kluis_status kluis_key_generate(struct kluis_key **out, struct kluis_err *err); /* P-256 */
KLUIS_MUSTUSE kluis_status kluis_key_from_pem(struct kluis_bytes pem, struct kluis_key **out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_key_to_pem(const struct kluis_key *k, struct kluis_buf *out,
                                            struct kluis_err *err); /* PKCS#8, unencrypted: secret */
KLUIS_MUSTUSE kluis_status kluis_key_load(const char *path, struct kluis_key **out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_key_save_new(const struct kluis_key *k, const char *path,
                                              struct kluis_err *err); /* 0600; E_EXISTS: one is there, it stays; E_IO */
KLUIS_MUSTUSE kluis_status kluis_key_public(const struct kluis_key *k, struct kluis_buf *spki_der, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_key_sign(const struct kluis_key *k, struct kluis_bytes message, struct kluis_buf *signature,
                                          struct kluis_err *err); /* DER ECDSA or RSA-PKCS1 */
KLUIS_MUSTUSE kluis_status kluis_key_check(struct kluis_bytes spki_der, struct kluis_bytes message, struct kluis_bytes signature,
                                           struct kluis_err *err); /* E_REJECT */
void kluis_key_free(struct kluis_key *k);
KLUIS_DEFINE_CLEANUP(kluis_key)

/* ---- [P] CAdES, two phases -------------------------------------------------------------------
 * prepare: the DER of SignedAttributes (SET OF: content-type id-data, signing-time, message-digest of `content`,
 * signing-certificate-v2 of `cert_der`), exactly the bytes the key must sign.  The same inputs give the same bytes.
 * finish: the detached SignedData around them, with cert_der and `chain` embedded. */
KLUIS_MUSTUSE kluis_status kluis_seal_prepare(struct kluis_bytes content_sha256, struct kluis_bytes cert_der, int64_t signing_time_us,
                                              struct kluis_buf *to_be_signed, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_seal_finish(struct kluis_bytes to_be_signed, struct kluis_bytes signature, struct kluis_bytes cert_der,
                                             const struct kluis_bytes *chain, size_t n_chain, struct kluis_buf *p7s, struct kluis_err *err);
/* Both at once with a key held here. */
KLUIS_MUSTUSE kluis_status kluis_seal_sign(const struct kluis_key *k, struct kluis_bytes content, struct kluis_bytes cert_der,
                                           const struct kluis_bytes *chain, size_t n_chain, int64_t signing_time_us, struct kluis_buf *p7s,
                                           struct kluis_err *err);
/* SHA-256 of the signature value of the first SignerInfo: what a signature time-stamp must cover (EN 319 122-1 §5.3). */
KLUIS_MUSTUSE kluis_status kluis_seal_imprint(struct kluis_bytes p7s, uint8_t out[32], struct kluis_err *err);
/* Adds a signature time-stamp token as unsigned attribute: B-B becomes B-T. E_EXISTS if there is one. */
KLUIS_MUSTUSE kluis_status kluis_seal_add_token(struct kluis_bytes p7s, struct kluis_bytes token, struct kluis_buf *out, struct kluis_err *err);
/* Puts revocation lists into a stamped signature: B-T becomes B-LT.  For seals over packages (docs/FORMAT.md §10.2) alone; lists are to
 * be younger than the token.  E_EXISTS if there are some, E_REJECT without token, E_LIMIT past KLUIS_CRLS_MAX. */
KLUIS_MUSTUSE kluis_status kluis_seal_add_crls(struct kluis_bytes p7s, const struct kluis_bytes *crls, size_t n, struct kluis_buf *out,
                                               struct kluis_err *err);
/* The lists in such a signature, borrowed from p7s. */
KLUIS_MUSTUSE kluis_status kluis_seal_crls(struct kluis_bytes p7s, struct kluis_bytes crls[KLUIS_CRLS_MAX], size_t *n, struct kluis_err *err);
/* RFC 3161 request for a SHA-256 imprint: certReq TRUE, the caller's 64-bit nonce. */
KLUIS_MUSTUSE kluis_status kluis_time_request(const uint8_t imprint[32], uint64_t nonce, struct kluis_buf *der, struct kluis_err *err);
/* The same for any of the digests. */
KLUIS_MUSTUSE kluis_status kluis_time_request_of(const struct kluis_imprint *imprint, uint64_t nonce, struct kluis_buf *der, struct kluis_err *err);

/* ---- trust ---------------------------------------------------------------------------------- */
struct kluis_trust_anchor {
    struct kluis_bytes cert_der;
};
/* What a verifier believes.  Borrowed.  Empty lists mean "nothing is trusted of this sort". */
struct kluis_trust {
    const struct kluis_bytes *device_cas;
    size_t n_device_cas; /* DER certificates */
    const struct kluis_bytes *seal_cas;
    size_t n_seal_cas; /* anchors of seal certificates */
    const struct kluis_bytes *tsa_cas;
    size_t n_tsa_cas;     /* anchors of time authorities */
    const char *log_vkey; /* NULL: none */
    const char *const *witness_vkeys;
    size_t n_witnesses;
    size_t witness_threshold;
    const struct kluis_bytes *crls; /* revocation lists of any of these authorities */
    size_t n_crls;
    struct kluis_str organisation;
};
/* trust.json as `init` writes it (docs/FORMAT.md §8); everything lives in the arena. */
KLUIS_MUSTUSE kluis_status kluis_trust_read(struct kluis_str json, struct kluis_arena *arena, struct kluis_trust *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_trust_write(const struct kluis_trust *t, struct kluis_buf *out, struct kluis_err *err);

/* ---- verification ---------------------------------------------------------------------------- */
enum kluis_outcome { KLUIS_INVALID = 0, KLUIS_INDETERMINATE = 1, KLUIS_VALID = 2 };
struct kluis_seal_verdict {
    enum kluis_outcome signature;   /* CMS, CAdES attributes, ESS hash = certificate, algorithm allowed */
    enum kluis_outcome certificate; /* chain to one of the anchors at the signature's time, key usage; INDETERMINATE: no anchor given */
    enum kluis_outcome time;        /* token: imprint, critical EKU, chain, nonce not needed; INDETERMINATE: no token or no anchor */
    bool has_token;
    int64_t claimed_us; /* signing-time */
    int64_t proven_us;  /* genTime, or KLUIS_TIME_ABSENT */
    uint8_t cert_sha256[32];
    char reason[KLUIS_ERR_MSG];                                                                          /* the first thing wrong, or "" */
    char signature_reason[KLUIS_ERR_MSG], certificate_reason[KLUIS_ERR_MSG], time_reason[KLUIS_ERR_MSG]; /* of each that is not VALID */
};
/* Judges a detached CAdES over `content`.  anchors/tsa anchors as in kluis_trust.  at_us: the time at which the token's own chain
 * must hold (now).  Statuses: OK with a verdict (which may be INVALID); E_NOMEM. Hostile p7s bytes give a verdict, not an error. */
KLUIS_MUSTUSE kluis_status kluis_seal_judge(struct kluis_bytes p7s, struct kluis_bytes content, const struct kluis_bytes *anchors, size_t n_anchors,
                                            const struct kluis_bytes *tsa_anchors, size_t n_tsa, int64_t at_us, struct kluis_seal_verdict *out,
                                            struct kluis_err *err);
/* The same, when something else (a stamped checkpoint) proves that the signature existed at known_us: the signer's path is then
 * judged at that moment or at the token's, whichever is earlier.  KLUIS_TIME_ABSENT: nothing does. */
KLUIS_MUSTUSE kluis_status kluis_seal_judge_known(struct kluis_bytes p7s, struct kluis_bytes content, const struct kluis_bytes *anchors,
                                                  size_t n_anchors, const struct kluis_bytes *tsa_anchors, size_t n_tsa, int64_t known_us,
                                                  int64_t at_us, struct kluis_seal_verdict *out, struct kluis_err *err);
/* The same for a signature that may carry revocation lists (kluis_seal_add_crls).  Whether they revoke anything is
 * kluis_revocation_judge's to say. */
KLUIS_MUSTUSE kluis_status kluis_seal_judge_long(struct kluis_bytes p7s, struct kluis_bytes content, const struct kluis_bytes *anchors,
                                                 size_t n_anchors, const struct kluis_bytes *tsa_anchors, size_t n_tsa, int64_t known_us,
                                                 int64_t at_us, struct kluis_seal_verdict *out, struct kluis_err *err);
/* The signer's certificate of a p7s (DER).  E_REJECT. */
KLUIS_MUSTUSE kluis_status kluis_seal_signer(struct kluis_bytes p7s, struct kluis_buf *cert_der, struct kluis_err *err);
/* The subject's common name (of a device: its random id).  E_REJECT when there is not exactly one. */
KLUIS_MUSTUSE kluis_status kluis_cert_name(struct kluis_bytes cert_der, struct kluis_buf *name, struct kluis_err *err);
/* Takes the token out of a TimeStampResp after checking status, imprint, nonce, EKU, chain to an anchor, and that its time is this clock's within the
 * slack (RFC 3161 §2.4.2). E_REJECT; E_BUSY when the authority said waiting or try later. */
#define KLUIS_TIME_SLACK_US ((int64_t)600 * 1000000)
KLUIS_MUSTUSE kluis_status kluis_time_accept(struct kluis_bytes response, const uint8_t imprint[32], uint64_t nonce,
                                             const struct kluis_bytes *tsa_anchors, size_t n, struct kluis_buf *token, int64_t *gen_time_us,
                                             struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_time_accept_of(struct kluis_bytes response, const struct kluis_imprint *imprint, uint64_t nonce,
                                                const struct kluis_bytes *tsa_anchors, size_t n, struct kluis_buf *token, int64_t *gen_time_us,
                                                struct kluis_err *err);
/* Which digest a token's imprint is of.  E_REJECT: no token that the reader accepts. */
KLUIS_MUSTUSE kluis_status kluis_time_digest(struct kluis_bytes token, enum kluis_digest *out, struct kluis_err *err);
/* A token on its own: form, imprint, signature, critical EKU, and its authority's path both at the token's time and at at_us. */
struct kluis_time_verdict {
    enum kluis_outcome outcome; /* INDETERMINATE: no anchors, or the authority's certificate has expired at at_us */
    int64_t gen_us;             /* KLUIS_TIME_ABSENT when INVALID before its time could be believed */
    char reason[KLUIS_ERR_MSG]; /* of anything but VALID */
};
/* OK with a verdict; E_NOMEM.  Hostile bytes give a verdict, not an error. */
KLUIS_MUSTUSE kluis_status kluis_time_judge(struct kluis_bytes token, const struct kluis_imprint *imprint, const struct kluis_bytes *tsa_anchors,
                                            size_t n, int64_t at_us, struct kluis_time_verdict *out, struct kluis_err *err);

/* ---- certificates ----------------------------------------------------------------------------
 * The embedded CA.  Serial numbers are random (127 bit). Names are random ids: no person's name in any certificate. */
enum kluis_cert_role { KLUIS_CERT_ROOT, KLUIS_CERT_DEVICE_CA, KLUIS_CERT_DEVICE, KLUIS_CERT_LOGIN, KLUIS_CERT_SEAL, KLUIS_CERT_TSA, KLUIS_CERT_TLS };
struct kluis_cert_request {
    enum kluis_cert_role role;
    const char *common_name; /* and for TLS: */
    const char *const *hosts;
    size_t n_hosts;              /* DNS names or IP addresses for subjectAltName */
    const char *organisation;    /* or NULL */
    struct kluis_bytes spki_der; /* the subject's public key */
    int64_t from_us, to_us;
};
/* issuer_cert empty: self-signed (issuer_key must then be the subject's). */
KLUIS_MUSTUSE kluis_status kluis_cert_issue(const struct kluis_cert_request *q, const struct kluis_key *issuer_key, struct kluis_bytes issuer_cert,
                                            struct kluis_buf *cert_der, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_cert_check(struct kluis_bytes cert_der, enum kluis_cert_role role, const struct kluis_bytes *anchors, size_t n,
                                            int64_t at_us, struct kluis_err *err);
/* From when to when it holds; the last moment included.  E_REJECT. */
KLUIS_MUSTUSE kluis_status kluis_cert_validity(struct kluis_bytes cert_der, int64_t *from_us, int64_t *to_us, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_cert_spki(struct kluis_bytes cert_der, struct kluis_buf *spki_der, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_cert_pem(struct kluis_bytes cert_der, struct kluis_buf *pem, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_cert_from_pem(struct kluis_bytes pem, struct kluis_buf *cert_der, struct kluis_err *err); /* the first one */

/* ---- revocation (RFC 5280 §5) -------------------------------------------------------------------
 * Full lists only: a list with a critical extension (delta, indirect, some reasons) is passed over. */
struct kluis_revoked {
    struct kluis_bytes cert_der; /* of this issuer, or E_REJECT */
    int64_t at_us;               /* since when */
    int reason;                  /* CRLReason: 1 key compromise, 4 superseded, 5 cessation; 0: not said */
};
/* A list of everything that this issuer ever revoked: entries are never dropped.  number: greater than any before. */
KLUIS_MUSTUSE kluis_status kluis_crl_issue(const struct kluis_revoked *revoked, size_t n, uint64_t number, int64_t this_us, int64_t next_us,
                                           const struct kluis_key *issuer_key, struct kluis_bytes issuer_cert, struct kluis_buf *crl_der,
                                           struct kluis_err *err);
/* The form of a list: DER, version 2.  E_REJECT. */
KLUIS_MUSTUSE kluis_status kluis_crl_check(struct kluis_bytes crl_der, struct kluis_err *err);
enum kluis_revocation {
    KLUIS_UNREVOKED,     /* a list made at the moment or later, within the certificate's life, does not name it */
    KLUIS_REVOKED,       /* at the moment or before */
    KLUIS_REVOKED_LATER, /* after the moment: at the moment it was good */
    KLUIS_UNCHECKED      /* no list of its issuer is at hand that was made at the moment or later */
};
struct kluis_revocation_verdict {
    enum kluis_revocation state;
    int64_t revoked_us, list_us; /* of the entry and of the list that decided, or KLUIS_TIME_ABSENT */
};
/* Was cert_der revoked at moment_us?  Lists count that one of the issuers (certificates with cRLSign) signed.  Hostile lists are passed
 * over.  OK with a verdict; E_NOMEM. */
KLUIS_MUSTUSE kluis_status kluis_revocation_judge(struct kluis_bytes cert_der, const struct kluis_bytes *issuers, size_t n_issuers,
                                                  const struct kluis_bytes *crls, size_t n_crls, int64_t moment_us,
                                                  struct kluis_revocation_verdict *out, struct kluis_err *err);

/* ---- embedded time authority: demonstration and test, never called qualified --------------------- */
struct kluis_tsa;
KLUIS_MUSTUSE kluis_status kluis_tsa_new(const struct kluis_key *k, struct kluis_bytes cert_der, struct kluis_tsa **out, struct kluis_err *err);
/* DER TimeStampReq -> DER TimeStampResp.  A bad request gives a granted=false response, not an error. */
KLUIS_MUSTUSE kluis_status kluis_tsa_respond(struct kluis_tsa *t, struct kluis_bytes request, struct kluis_buf *response, struct kluis_err *err);
void kluis_tsa_free(struct kluis_tsa *t);
KLUIS_DEFINE_CLEANUP(kluis_tsa)

/* Starts OpenSSL without its configuration file: what openssl.cnf of a machine says must not change a verdict.  Before any other
 * call of this module, where that matters; kluis_seal_warm includes it. */
KLUIS_MUSTUSE kluis_status kluis_seal_start(struct kluis_err *err);
/* Loads every OpenSSL table that later calls would open files for, before a sandbox closes.  Judging then needs memory and the
 * clock only; P-384 also getpid and getrandom (it blinds its points). */
KLUIS_MUSTUSE kluis_status kluis_seal_warm(struct kluis_err *err);

#endif
