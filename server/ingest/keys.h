/* server/ingest/keys.h - the vault's keys and certificates as files below a home: the one place that knows their names.
 *
 *   H/trust.json                 what a verifier believes; public, part of every enrolment reply
 *   H/root/root.key              root of the organisation's own certificates: belongs on a medium that is taken away
 *   H/vault/keys/root.crt device-ca.key device-ca.crt seal.key seal.crt log.seed session.identity pull.key wrapping.key
 *   H/tsa/tsa.key tsa.crt        the embedded time authority
 *   H/gate/tls.key tls.crt gate.json
 *
 * Keys are files of mode 0600.  That fits a demonstration and a machine whose disk is encrypted; docs/THREATS.md says what it means.
 */
#ifndef SERVER_INGEST_KEYS_H
#define SERVER_INGEST_KEYS_H

#include "kluis/envelope.h"
#include "kluis/ledger.h"
#include "kluis/seal.h"

struct vault_keys {
    uint8_t *wrapping, *seed, *index_master; /* 32 bytes each, secret memory   */
    struct kluis_identity *identity;         /* secret memory                  */
    struct kluis_key *seal, *pull, *device_ca;
    struct kluis_buf seal_cert, device_ca_cert, root_cert; /* DER */
    struct kluis_buf trust_json, root_pem;
    struct kluis_arena *arena; /* holds what trust points at     */
    struct kluis_trust trust;
    char origin[KLUIS_ORIGIN_MAX];
};
/* Loads what the vault needs.  E_NOTFOUND: no home there; E_REJECT, E_CORRUPT, E_IO. */
KLUIS_MUSTUSE kluis_status vault_keys_load(struct vault_keys **out, const char *home, struct kluis_err *err);
void vault_keys_free(struct vault_keys *k);

enum { VAULT_IDENTITY_LEN = 4 + 21 + 4 + 33 + 4 + 32 + 4 + 4 };
#define VAULT_IDENTITY_LABEL "chatkluis-identity-v1"
/* Encoded session identity: secret. */
KLUIS_MUSTUSE kluis_status vault_identity_write(const struct kluis_identity *id, struct kluis_buf *out, struct kluis_err *err);

#endif
