/* code.c - enrolment codes and the keys of one (docs/PROTOCOL.md §3).
 */
#include "kluis/envelope.h"

enum { HALF = 16, CHECKSUM = 3, WHOLE = HALF + HALF + CHECKSUM, LETTERS = 56, GROUP = 7 };
_Static_assert(WHOLE * 8 == LETTERS * 5, "a code has no stray bits");
_Static_assert(LETTERS + LETTERS / GROUP <= KLUIS_CODE_TEXT, "text with dashes and NUL fits");

static void checksum(const struct kluis_code *c, uint8_t out[CHECKSUM])
{
    static const char label[] = "chatkluis-code-v1"; /* with its NUL */
    uint8_t bytes[sizeof label + HALF + HALF], digest[KLUIS_SHA256_LEN];
    memcpy(bytes, label, sizeof label);
    memcpy(bytes + sizeof label, c->secret, HALF);
    memcpy(bytes + sizeof label + HALF, c->root, HALF);
    kluis_sha256_of(bytes, sizeof bytes, digest);
    memcpy(out, digest, CHECKSUM);
    kluis_wipe(bytes, sizeof bytes);
    kluis_wipe(digest, sizeof digest);
}

void kluis_code_write(const struct kluis_code *c, char out[KLUIS_CODE_TEXT])
{
    uint8_t bytes[WHOLE];
    char letters[LETTERS + 1];
    memcpy(bytes, c->secret, HALF);
    memcpy(bytes + HALF, c->root, HALF);
    checksum(c, bytes + HALF + HALF);
    (void)kluis_base32(bytes, sizeof bytes, letters);
    size_t n = 0;
    for (size_t i = 0; i < LETTERS; i++) {
        if (i > 0 && i % GROUP == 0) { out[n++] = '-'; }
        out[n++] = letters[i];
    }
    out[n] = '\0';
    kluis_wipe(bytes, sizeof bytes);
    kluis_wipe(letters, sizeof letters);
}

kluis_status kluis_code_read(struct kluis_str text, struct kluis_code *out, struct kluis_err *err)
{
    memset(out, 0, sizeof *out);
    char letters[LETTERS];
    uint8_t bytes[WHOLE], sum[CHECKSUM];
    size_t n = 0, len = 0;
    bool ok = text.ptr != NULL;
    for (size_t i = 0; ok && i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '-' || c == ' ' || c == '\t' || c == '\r' || c == '\n') { continue; }
        if (n == LETTERS) {
            ok = false;
        } else {
            letters[n++] = c;
        }
    }
    kluis_status rc;
    if (!ok || n != LETTERS) {
        rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "enrolment code: it has 56 letters and digits in 8 groups; copy the whole code");
    } else if (!kluis_unbase32((struct kluis_str){ letters, LETTERS }, bytes, sizeof bytes, &len) || len != WHOLE) {
        rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "enrolment code: only the letters a-z and the digits 2-7 occur in one; copy it again");
    } else {
        memcpy(out->secret, bytes, HALF);
        memcpy(out->root, bytes + HALF, HALF);
        checksum(out, sum);
        rc = kluis_equal_secret(sum, bytes + HALF + HALF, CHECKSUM)
                 ? KLUIS_OK
                 : KLUIS_FAIL(err, KLUIS_E_REJECT, "enrolment code: a letter is wrong (the check at its end does not match); copy it again");
        if (rc != KLUIS_OK) { kluis_wipe(out, sizeof *out); }
        kluis_wipe(sum, sizeof sum);
    }
    kluis_wipe(letters, sizeof letters);
    kluis_wipe(bytes, sizeof bytes);
    return rc;
}

kluis_status kluis_code_derive(const uint8_t secret[16], struct kluis_code_keys *out, struct kluis_err *err)
{
    const struct kluis_bytes ikm = { secret, HALF }, none = { NULL, 0 };
#define INFO(s) ((struct kluis_bytes){ (const uint8_t *)(s), sizeof(s) - 1 })
    kluis_status rc = kluis_hkdf_sha256(ikm, none, INFO("chatkluis-code-id-v1"), out->id, sizeof out->id, err);
    if (rc == KLUIS_OK) { rc = kluis_hkdf_sha256(ikm, none, INFO("chatkluis-code-request-v1"), out->request, sizeof out->request, err); }
    if (rc == KLUIS_OK) { rc = kluis_hkdf_sha256(ikm, none, INFO("chatkluis-code-reply-v1"), out->reply, sizeof out->reply, err); }
#undef INFO
    if (rc != KLUIS_OK) { kluis_wipe(out, sizeof *out); }
    return rc;
}
