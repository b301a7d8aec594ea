/* tests/support/exported.h - exports of sealed packages, with seal, revocation lists and evidence record of our own making. */
#ifndef KLUIS_TESTS_EXPORTED_H
#define KLUIS_TESTS_EXPORTED_H

#include "tests/support/evidence_kit.h"
#include "tests/support/sealed.h"

struct export_options {
    const struct pki_party *sealer, *sealer_issuer; /* NULL: the seal, by the root */
    bool unstamped;                                 /* the seal has no token (and then no lists) */
    struct kluis_bytes sign_instead;                /* content to seal in the manifest's place */
    const struct kluis_bytes *crls;
    size_t n_crls;
    bool evidence;
    struct kluis_bytes record; /* instead of one made here */
};
/* Appends the export; group (may be NULL): the digests that an evidence record over it covers, SHA-256. */
void exported_package(const struct pki *p, const struct sealed *s, const struct export_options *o, struct kluis_buf *out, struct kluis_buf *group);
/* A record over a group, in a batch with two other objects. */
void exported_record(const struct pki *p, struct kluis_bytes group, struct kluis_buf *record);
/* A list of the device CA made at `made`, with the device revoked since `since` unless that is absent. */
void exported_crl(const struct pki *p, int64_t made, int64_t since, struct kluis_buf *crl);

#endif
