/* tests/support/evidence_kit.h - objects and evidence records of our own making for tests; every step is asserted. */
#ifndef KLUIS_TESTS_EVIDENCE_KIT_H
#define KLUIS_TESTS_EVIDENCE_KIT_H

#include "kluis/evidence.h"
#include "tests/support/pki.h"

/* Digests of one object: `files` texts that only this object has. */
enum { KIT_FILES = 5 };
struct kit_object {
    uint8_t sha256[KIT_FILES * 32], sha512[KIT_FILES * 64];
};
void kit_text(unsigned object, unsigned file, char out[64]);
struct kit_object kit_object(unsigned object);
struct kluis_bytes kit_digests(const struct kit_object *o, enum kluis_digest d);
struct kluis_evidence_object kit_known(const struct kit_object *o);

void kit_token(struct kluis_tsa *t, const struct kluis_bytes *anchor, const struct kluis_imprint *imprint, struct kluis_buf *token);
/* The record of object `index` out of a batch of n, SHA-256. */
void kit_record(const struct pki *p, unsigned n, unsigned index, struct kluis_buf *record);
/* Time-stamp renewal by p's authority. */
void kit_restamp(const struct pki *p, struct kluis_bytes old, struct kluis_buf *record);
/* Hash-tree renewal to SHA-512, in a batch of three. */
void kit_rehash(const struct pki *p, struct kluis_bytes old, unsigned object, struct kluis_buf *record);

#endif
