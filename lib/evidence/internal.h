/* lib/evidence/internal.h - RFC 4998 as OpenSSL templates, and digests over sorted lists; never leaves this folder. */
#ifndef KLUIS_EVIDENCE_INTERNAL_H
#define KLUIS_EVIDENCE_INTERNAL_H

#include <openssl/asn1t.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "kluis/evidence.h"

/* ---- record.c: the form.  IMPLICIT TAGS, as the module of RFC 4998 appendix B says. ---- */
typedef ASN1_OCTET_STRING er_octets;
DEFINE_STACK_OF(er_octets)
typedef STACK_OF(er_octets) er_list; /* PartialHashtree */
DEFINE_STACK_OF(er_list)
typedef struct er_stamp_st { /* ArchiveTimeStamp, without attributes: nothing would sign them */
    X509_ALGOR *digest;
    STACK_OF(er_list) * tree;
    ASN1_TYPE *token; /* kept as it came: its bytes are what a renewal hashes */
} er_stamp;
DEFINE_STACK_OF(er_stamp)
typedef STACK_OF(er_stamp) er_chain;
DEFINE_STACK_OF(er_chain)
typedef struct er_record_st { /* EvidenceRecord, without cryptoInfos and encryptionInfo */
    ASN1_INTEGER *version;
    STACK_OF(X509_ALGOR) * digests;
    STACK_OF(er_chain) * chains;
} er_record;

DECLARE_ASN1_ITEM(er_list)
DECLARE_ASN1_ITEM(er_stamp)
DECLARE_ASN1_ITEM(er_chain)
DECLARE_ASN1_ITEM(er_sequence)
DECLARE_ASN1_ITEM(er_record)

/* Strict: one encoding, counts within their limits, one digest a chain, digests announced in order of use.  E_REJECT, E_NOMEM. */
KLUIS_MUSTUSE kluis_status er_read(struct kluis_bytes der, er_record **out, struct kluis_err *err);
/* Appends the DER, within KLUIS_EVIDENCE_MAX. */
KLUIS_MUSTUSE kluis_status er_write(const er_record *r, struct kluis_buf *out, struct kluis_err *err);
er_record *er_new(void); /* version 1, nothing else; NULL: no memory */
void er_free(er_record *r);
static inline void er_cleanup(er_record **r) { er_free(*r); }
#define ER_AUTO __attribute__((cleanup(er_cleanup))) er_record *

/* A time-stamp with this tree (taken over; NULL: none) at the end of the last chain, or of a new one. */
KLUIS_MUSTUSE kluis_status er_add_stamp(er_record *r, enum kluis_digest digest, STACK_OF(er_list) * tree, struct kluis_bytes token, bool new_chain,
                                        struct kluis_err *err);
STACK_OF(er_list) * er_tree_new(void);
void er_tree_free(STACK_OF(er_list) * tree);
/* One list of n digests, sorted here. */
KLUIS_MUSTUSE kluis_status er_tree_add(STACK_OF(er_list) * tree, struct kluis_bytes digests, size_t len, struct kluis_err *err);

struct kluis_bytes er_token(const er_stamp *s);
/* The digest of a stamp's tree: named, or its token's. */
KLUIS_MUSTUSE kluis_status er_digest(const er_stamp *s, enum kluis_digest *out, struct kluis_err *err);
const er_stamp *er_last(const er_record *r);
/* H(DER of the first n chains, as one ArchiveTimeStampSequence). */
KLUIS_MUSTUSE kluis_status er_sequence_digest(const er_record *r, int n, enum kluis_digest digest, uint8_t out[KLUIS_DIGEST_MAX],
                                              struct kluis_err *err);

/* ---- tree.c ---- */
KLUIS_MUSTUSE kluis_status er_hash(enum kluis_digest d, struct kluis_bytes a, struct kluis_bytes b, uint8_t out[KLUIS_DIGEST_MAX],
                                   struct kluis_err *err);
/* The digest over a list, sorted ascending and concatenated; a list of one is its only member. */
KLUIS_MUSTUSE kluis_status er_node(enum kluis_digest d, struct kluis_bytes digests, uint8_t out[KLUIS_DIGEST_MAX], struct kluis_err *err);
/* A sorted copy for the caller to kluis_free.  NULL: no memory. */
uint8_t *er_sorted(struct kluis_bytes digests, size_t len);
/* n digests of len bytes, 1 to KLUIS_EVIDENCE_GROUP. */
bool er_is_run(struct kluis_bytes digests, size_t len);
/* H(each d || ha), appended in the order given. */
KLUIS_MUSTUSE kluis_status er_bind(enum kluis_digest d, struct kluis_bytes digests, const uint8_t ha[KLUIS_DIGEST_MAX], struct kluis_buf *out,
                                   struct kluis_err *err);
kluis_status er_no_memory(struct kluis_err *err);

#endif
