/* kluis/login.h - the signed request: the Authorization header of docs/PROTOCOL.md §5.1, written and read.
 *
 * Library kluis_login (on kluis_envelope_build and kluis_seal_prepare).  No sockets: the caller's HTTP library carries the text.
 * Thread-safe; nothing here keeps state.
 */
#ifndef KLUIS_LOGIN_H
#define KLUIS_LOGIN_H

#include "kluis/base.h"
#include "kluis/seal.h"

enum {
    KLUIS_LOGIN_ID = 32,             /* hex digits of a device id; the vault's id is the word "vault"        */
    KLUIS_LOGIN_NONCE = 43,          /* base64url characters of 32 bytes                                     */
    KLUIS_LOGIN_SIGNATURE_MAX = 512, /* P-256 needs 72, RSA-4096 512                                         */
    KLUIS_LOGIN_HEADER_MAX = 1024    /* longest header value written or read                                 */
};
#define KLUIS_LOGIN_VAULT "vault"

struct kluis_login {             /* what a header says; nothing of it is believed before kluis_login_check */
    char id[KLUIS_LOGIN_ID + 1]; /* 32 lower-case hex digits, or "vault"                                 */
    char nonce[KLUIS_LOGIN_NONCE + 1];
    int64_t time_s;
    uint8_t body_sha256[KLUIS_SHA256_LEN];
    uint8_t signature[KLUIS_LOGIN_SIGNATURE_MAX];
    size_t signature_len;
};

/* 32 lower-case hex digits, or "vault". */
bool kluis_login_id_ok(struct kluis_str id);

/* Signs a request and appends the value of its Authorization header (without the header's name, without NUL or newline) to out.
 * gate: the authority this device was given, "host:port"; path: as sent, with its query; method in capitals.
 * body_sha256 NULL: of the empty body.  E_USAGE: id, gate, method or path is not one; E_REJECT: the nonce is refused (§5.1: another
 * form, or bytes that could be SignedAttributes); E_NOMEM, E_LIMIT, or what the key says. After failure out is as it was. */
KLUIS_MUSTUSE kluis_status kluis_login_header_write(const char *id, const struct kluis_key *key, const char *gate, const char *method,
                                                    const char *path, const uint8_t *body_sha256, const char *nonce, int64_t time_s,
                                                    struct kluis_buf *out, struct kluis_err *err);

/* Reads such a value, strictly: the five parameters in this order, ", " between them, nothing else.  E_REJECT. */
KLUIS_MUSTUSE kluis_status kluis_login_header_read(struct kluis_str header, struct kluis_login *out, struct kluis_err *err);

/* The signature over this request by the key of spki_der.  E_REJECT; E_NOMEM.  Nonce, time and body are the caller's to judge. */
KLUIS_MUSTUSE kluis_status kluis_login_check(const struct kluis_login *login, struct kluis_bytes spki_der, const char *gate, const char *method,
                                             const char *path, struct kluis_err *err);

#endif
