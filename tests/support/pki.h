/* tests/support/pki.h - keys and certificates of our own making for tests; every step is asserted. */
#ifndef KLUIS_TESTS_PKI_H
#define KLUIS_TESTS_PKI_H

#include "kluis/ledger.h"
#include "kluis/seal.h"

#define PKI_YEAR (INT64_C(365) * 86400 * 1000000)

#define PKI_DEVICE "00112233445566778899aabbccddeeff"

struct pki_party {
    struct kluis_key *key;
    struct kluis_buf cert;
};
struct pki {
    struct pki_party root, device_ca, device, login, seal, tsa, tls;
    struct kluis_tsa *authority;
    uint8_t log_seed[32];
    char log_vkey[KLUIS_VKEY_MAX];
    struct kluis_bytes device_anchor, root_anchor;
    struct kluis_trust trust; /* device CA; seal and time by the root; the log */
};
/* Certificates hold from one day ago; the time authority's for tsa_years, the others for ten. */
struct pki *pki_new(int tsa_years);
void pki_free(struct pki *p);

void pki_issue(struct pki_party *to, enum kluis_cert_role role, const struct pki_party *issuer, int64_t from_us, int64_t to_us);
void pki_party_clear(struct pki_party *to);
/* CAdES over content by a party, its issuer embedded; stamped: with a token of the authority. */
void pki_sign(const struct pki *p, const struct pki_party *by, const struct pki_party *issuer, struct kluis_bytes content, bool stamped,
              struct kluis_buf *p7s);
/* A token over the imprint. */
void pki_token(struct kluis_tsa *t, const struct kluis_bytes *anchor, const uint8_t imprint[32], struct kluis_buf *token);

#endif
