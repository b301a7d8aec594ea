/* login_header.c - writes and reads the Authorization header of a signed request (docs/PROTOCOL.md §5.1).
 *
 * The form is one fixed sentence with five holes, so the reader is a cursor over it: whatever is not exactly
 * that sentence is refused, and no two texts mean the same login. */
#include "kluis/login.h"

#include "kluis/envelope.h"

static const char LOGIN_SCHEME[] = "Chatkluis-Login id=\"";
enum { LOGIN_TIME_DIGITS = 12, LOGIN_PATH_MAX = 512, LOGIN_GATE_MAX = 256, LOGIN_METHOD_MAX = 8 };

static bool hex_lower(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool digit = p[i] >= '0' && p[i] <= '9';
        bool letter = p[i] >= 'a' && p[i] <= 'f';
        if (!digit && !letter) { return false; }
    }
    return true;
}

bool kluis_login_id_ok(struct kluis_str id)
{
    if (id.ptr == NULL) { return false; }
    return (id.len == KLUIS_LOGIN_ID && hex_lower(id.ptr, id.len)) || kluis_str_is(id, KLUIS_LOGIN_VAULT);
}

/* Printable ASCII without space: what may stand in a request line, and so in what is signed. */
static bool token_ok(const char *s, size_t max)
{
    if (s == NULL) { return false; }
    size_t n = strnlen(s, max + 1);
    if (n == 0 || n > max) { return false; }
    for (size_t i = 0; i < n; i++) {
        if (s[i] <= ' ' || s[i] >= 0x7f) { return false; }
    }
    return true;
}

kluis_status kluis_login_header_write(const char *id, const struct kluis_key *key, const char *gate, const char *method, const char *path,
                                      const uint8_t *body_sha256, const char *nonce, int64_t time_s, struct kluis_buf *out, struct kluis_err *err)
{
    if (!kluis_login_id_ok(kluis_str_of(id)) || !token_ok(gate, LOGIN_GATE_MAX) || !token_ok(method, LOGIN_METHOD_MAX) ||
        !token_ok(path, LOGIN_PATH_MAX) || path[0] != '/' || time_s < 0) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "cannot sign a request: id, gate, method, path or time has not the form of one");
    }
    if (!kluis_nonce_ok(kluis_str_of(nonce))) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "the gate's nonce is refused: it is not 43 base64url characters, or could be signed attributes");
    }
    uint8_t empty[KLUIS_SHA256_LEN];
    if (body_sha256 == NULL) {
        kluis_sha256_of("", 0, empty);
        body_sha256 = empty;
    }
    KLUIS_AUTO_BUF(message, 2048);
    KLUIS_AUTO_BUF(signature, KLUIS_LOGIN_SIGNATURE_MAX);
    KLUIS_AUTO_BUF(text, KLUIS_LOGIN_HEADER_MAX);
    KLUIS_TRY(kluis_login_message(gate, method, path, body_sha256, nonce, time_s, &message, err));
    KLUIS_TRY(kluis_key_sign(key, kluis_buf_bytes(&message), &signature, err));
    KLUIS_TRY(kluis_buf_ok(&signature, err));

    char hash[2 * KLUIS_SHA256_LEN + 1];
    char coded[(KLUIS_LOGIN_SIGNATURE_MAX + 2) / 3 * 4 + 1];
    kluis_hex(body_sha256, KLUIS_SHA256_LEN, hash);
    (void)kluis_base64url(signature.data, signature.len, coded);
    kluis_buf_fmt(&text, "%s%s\", nonce=\"%s\", time=\"%lld\", body=\"%s\", signature=\"%s\"", LOGIN_SCHEME, id, nonce, (long long)time_s, hash,
                  coded);
    KLUIS_TRY(kluis_buf_ok(&text, err));
    kluis_status before = out->status;
    size_t length = out->len;
    kluis_buf_add(out, text.data, text.len);
    if (out->status != KLUIS_OK) {
        kluis_status rc = kluis_buf_ok(out, err);
        out->len = length;
        out->status = before;
        return rc;
    }
    return KLUIS_OK;
}

/* The text up to the next quote; absent when there is none or it is longer than max. */
static struct kluis_str quoted(struct kluis_str *rest, size_t max)
{
    const char *end = memchr(rest->ptr, '"', rest->len);
    if (end == NULL || (size_t)(end - rest->ptr) > max) { return (struct kluis_str){ NULL, 0 }; }
    struct kluis_str value = { rest->ptr, (size_t)(end - rest->ptr) };
    rest->ptr = end + 1;
    rest->len -= value.len + 1;
    return value;
}

static bool take(struct kluis_str *rest, const char *text)
{
    size_t n = strlen(text);
    if (rest->len < n || memcmp(rest->ptr, text, n) != 0) { return false; }
    rest->ptr += n;
    rest->len -= n;
    return true;
}

static bool read_time(struct kluis_str s, int64_t *out)
{
    if (s.ptr == NULL || s.len == 0 || s.len > LOGIN_TIME_DIGITS || (s.len > 1 && s.ptr[0] == '0')) { return false; }
    int64_t v = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') { return false; }
        v = v * 10 + (s.ptr[i] - '0');
    }
    *out = v;
    return true;
}

static bool read_parts(struct kluis_str rest, struct kluis_login *out)
{
    if (!take(&rest, LOGIN_SCHEME)) { return false; }
    struct kluis_str id = quoted(&rest, KLUIS_LOGIN_ID);
    if (!kluis_login_id_ok(id) || !take(&rest, ", nonce=\"")) { return false; }
    memcpy(out->id, id.ptr, id.len);
    out->id[id.len] = '\0';

    struct kluis_str nonce = quoted(&rest, KLUIS_LOGIN_NONCE);
    uint8_t raw[32];
    size_t n = 0;
    if (nonce.ptr == NULL || nonce.len != KLUIS_LOGIN_NONCE || !kluis_unbase64url(nonce, raw, sizeof raw, &n) || n != sizeof raw) { return false; }
    memcpy(out->nonce, nonce.ptr, nonce.len);
    out->nonce[nonce.len] = '\0';

    if (!take(&rest, ", time=\"") || !read_time(quoted(&rest, LOGIN_TIME_DIGITS), &out->time_s)) { return false; }
    if (!take(&rest, ", body=\"")) { return false; }
    struct kluis_str hash = quoted(&rest, (size_t)2 * KLUIS_SHA256_LEN);
    if (hash.ptr == NULL || !kluis_unhex(hash, out->body_sha256, sizeof out->body_sha256)) { return false; }
    if (!take(&rest, ", signature=\"")) { return false; }
    struct kluis_str coded = quoted(&rest, (size_t)(KLUIS_LOGIN_SIGNATURE_MAX + 2) / 3 * 4);
    if (coded.ptr == NULL || !kluis_unbase64url(coded, out->signature, sizeof out->signature, &out->signature_len)) { return false; }
    return out->signature_len > 0 && rest.len == 0;
}

kluis_status kluis_login_header_read(struct kluis_str header, struct kluis_login *out, struct kluis_err *err)
{
    memset(out, 0, sizeof *out);
    if (header.ptr == NULL || header.len > KLUIS_LOGIN_HEADER_MAX || !read_parts(header, out)) {
        memset(out, 0, sizeof *out);
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "the Authorization header is not a login");
    }
    return KLUIS_OK;
}

kluis_status kluis_login_check(const struct kluis_login *login, struct kluis_bytes spki_der, const char *gate, const char *method, const char *path,
                               struct kluis_err *err)
{
    if (!token_ok(gate, LOGIN_GATE_MAX) || !token_ok(method, LOGIN_METHOD_MAX) || !token_ok(path, LOGIN_PATH_MAX)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "the request line is not one that can be signed");
    }
    KLUIS_AUTO_BUF(message, 2048);
    KLUIS_TRY(kluis_login_message(gate, method, path, login->body_sha256, login->nonce, login->time_s, &message, err));
    return kluis_key_check(spki_der, kluis_buf_bytes(&message), (struct kluis_bytes){ login->signature, login->signature_len }, err);
}
