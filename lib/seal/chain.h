/* lib/seal/chain.h - certificates as OpenSSL sees them, and tokens; shared by the files of kluis_seal alone. */
#ifndef KLUIS_SEAL_CHAIN_H
#define KLUIS_SEAL_CHAIN_H

#include <openssl/x509v3.h>

#include "internal.h"

X509 *x509_from_der(struct kluis_bytes der); /* NULL: malformed or no memory; leaves no error in the queue but memory's */

enum chain_result { CHAIN_GOOD, CHAIN_EXPIRED, CHAIN_BAD };
enum chain_use { CHAIN_SIGNER, CHAIN_TIME, CHAIN_ANY };
/* Path from leaf to one of the anchors at a moment.  CHAIN_SIGNER and CHAIN_ANY: issued by an anchor itself, so that
 * a device certificate below the root is no seal certificate.  CHAIN_TIME: intermediates allowed, critical EKU timeStamping
 * demanded.  CHAIN_EXPIRED: right but for its dates being past.  reason: of anything but CHAIN_GOOD. */
KLUIS_MUSTUSE kluis_status chain_check(X509 *leaf, STACK_OF(X509) * untrusted, const struct kluis_bytes *anchors, size_t n, enum chain_use use,
                                       int64_t at_us, enum chain_result *out, char reason[KLUIS_ERR_MSG], struct kluis_err *err);
bool chain_seconds(const ASN1_TIME *t, int64_t *out); /* since 1970; false: no time */
/* The certificates of a view, in order. */
KLUIS_MUSTUSE kluis_status chain_embedded(const struct cms_view *v, STACK_OF(X509) * *out, struct kluis_err *err);
/* Every embedded certificate belongs to the signer's path and is signed by the next; the last one is an anchor, signed by one, or
 * self-signed.  Without anchors the last one stays unchecked.  false: *reason says which rule broke. */
KLUIS_MUSTUSE kluis_status chain_tight(const struct cms_view *v, STACK_OF(X509) * embedded, const struct kluis_bytes *anchors, size_t n, bool *tight,
                                       struct kluis_err *err);
/* Key usage for signing, no CA, and no extended usage that belongs to TLS, time or code. */
bool cert_may_sign(X509 *x);

/* The signature of a view, by OpenSSL.  content.ptr NULL: the content is inside. */
KLUIS_MUSTUSE kluis_status view_verify(const struct cms_view *v, struct kluis_bytes der, struct kluis_bytes content, enum view_kind kind,
                                       STACK_OF(X509) * embedded, bool *good, char reason[KLUIS_ERR_MSG], struct kluis_err *err);

/* Judges a token over `covered` (the bytes whose digest is its imprint), or over *imprint where that is not NULL.  nonce: what the answer
 * must carry, or NULL. */
KLUIS_MUSTUSE kluis_status token_judge(struct kluis_bytes token, struct kluis_bytes covered, const struct kluis_imprint *imprint,
                                       const struct kluis_bytes *anchors, size_t n, int64_t at_us, const uint64_t *nonce,
                                       struct kluis_time_verdict *out, struct kluis_err *err);

void reason_set(char out[KLUIS_ERR_MSG], const char *fmt, ...) KLUIS_PRINTF(2, 3);

#endif
