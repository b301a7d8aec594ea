/* login_message.c - the bytes a login key signs, and which nonces it may sign over (docs/PROTOCOL.md §5.1).
 */
#include "kluis/envelope.h"

enum { NONCE_BYTES = 32, NONCE_TEXT = 43 };

kluis_status kluis_login_message(const char *gate, const char *method, const char *path, const uint8_t body_sha256[32], const char *nonce,
                                 int64_t time_s, struct kluis_buf *out, struct kluis_err *err)
{
    static const char prefix[] = "chatkluis-login-v1"; /* signed with its NUL */
    if (!kluis_nonce_ok(kluis_str_of(nonce))) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "login: the gate's nonce has another form than agreed; nothing was signed");
    }
    if (time_s < 0) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "login: the clock stands before 1970; set it"); }
    kluis_buf_add(out, prefix, sizeof prefix);
    kluis_wire_str(out, kluis_str_of(gate));
    kluis_wire_str(out, kluis_str_of(method));
    kluis_wire_str(out, kluis_str_of(path));
    kluis_wire_field(out, body_sha256, KLUIS_SHA256_LEN);
    kluis_wire_str(out, kluis_str_of(nonce));
    kluis_wire_u64(out, (uint64_t)time_s);
    return kluis_buf_ok(out, err);
}

/* Could these bytes be one whole SEQUENCE or SET, as SignedAttributes are?  Length forms that DER forbids count too: a
 * lenient reader somewhere might take them. */
static bool one_der_value(const uint8_t b[NONCE_BYTES])
{
    if (b[0] != 0x30 && b[0] != 0x31) { return false; }
    if (b[1] < 0x80) { return b[1] == NONCE_BYTES - 2; }
    if (b[1] == 0x80) { return b[NONCE_BYTES - 2] == 0 && b[NONCE_BYTES - 1] == 0; }
    size_t digits = b[1] & 0x7fU;
    if (digits > NONCE_BYTES - 2) { return false; }
    uint64_t length = 0;
    for (size_t i = 0; i < digits; i++) {
        if (length > NONCE_BYTES) { return false; }
        length = length << 8 | b[2 + i];
    }
    return length == NONCE_BYTES - 2 - digits;
}

bool kluis_nonce_ok(struct kluis_str nonce)
{
    uint8_t bytes[NONCE_BYTES];
    size_t n = 0;
    return nonce.ptr != NULL && nonce.len == NONCE_TEXT && kluis_unbase64url(nonce, bytes, sizeof bytes, &n) && n == NONCE_BYTES &&
           !one_der_value(bytes);
}

void kluis_nonce_new(char out[44])
{
    uint8_t bytes[NONCE_BYTES];
    do {
        kluis_random(bytes, sizeof bytes);
    } while (one_der_value(bytes));
    (void)kluis_base64url(bytes, sizeof bytes, out);
}
