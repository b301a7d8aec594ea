/* lib/base/text.c - hex, base64, base32, UTF-8, JSON strings, wire frames.  Strict decoders: one text per value. */
#include "kluis/json.h"
#include "lib/base/internal.h"

typedef uint8_t lane __attribute__((vector_size(16)));
typedef int8_t letters __attribute__((vector_size(16)));

void kluis_hex(const void *p, size_t n, char *out)
{
    static const char d[] = "0123456789abcdef";
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = d[b[i] >> 4];
        out[2 * i + 1] = d[b[i] & 15];
    }
    out[2 * n] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') { return c - '0'; }
    if (c >= 'a' && c <= 'f') { return c - 'a' + 10; }
    return -1;
}

bool kluis_unhex(struct kluis_str s, uint8_t *out, size_t n)
{
    if (s.ptr == NULL || s.len != 2 * n) { return false; }
    for (size_t i = 0; i < n; i++) {
        int a = hex_value(s.ptr[2 * i]), b = hex_value(s.ptr[2 * i + 1]);
        if (a < 0 || b < 0) { return false; }
        out[i] = (uint8_t)(a << 4 | b);
    }
    return true;
}

struct kluis_str kluis_decimal(uint64_t n, char out[KLUIS_DECIMAL])
{
    char digits[KLUIS_DECIMAL];
    size_t at = KLUIS_DECIMAL;
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    memcpy(out, digits + at, KLUIS_DECIMAL - at);
    out[KLUIS_DECIMAL - at] = '\0';
    return (struct kluis_str){ out, KLUIS_DECIMAL - at };
}

static const char ALPHABET64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char ALPHABET64URL[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char ALPHABET32[] = "abcdefghijklmnopqrstuvwxyz234567";

/* Both alphabets are groups of `bits` taken from the left: one coder serves them all. */
static size_t encode(const uint8_t *p, size_t n, unsigned bits, const char *alphabet, char *out)
{
    uint32_t acc = 0;
    unsigned have = 0;
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        acc = acc << 8 | p[i];
        have += 8;
        while (have >= bits) {
            have -= bits;
            out[len++] = alphabet[acc >> have & ((1u << bits) - 1)];
        }
    }
    if (have > 0) { out[len++] = alphabet[acc << (bits - have) & ((1u << bits) - 1)]; }
    return len;
}

static bool decode(const char *s, size_t n, unsigned bits, const char *alphabet, bool fold, uint8_t *out, size_t cap, size_t *len)
{
    uint32_t acc = 0;
    unsigned have = 0;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        if (fold && c >= 'A' && c <= 'Z') { c = (char)(c - 'A' + 'a'); }
        const char *hit = c == '\0' ? NULL : strchr(alphabet, c);
        if (hit == NULL) { return false; }
        acc = acc << bits | (uint32_t)(hit - alphabet);
        have += bits;
        if (have >= 8) {
            have -= 8;
            if (at == cap) { return false; }
            out[at++] = (uint8_t)(acc >> have);
        }
    }
    /* What is left must be a short rest of zero bits: a longer rest is a letter too many. */
    if (have >= bits || (acc & ((1u << have) - 1)) != 0) { return false; }
    *len = at;
    return true;
}

size_t kluis_base64_len(size_t n) { return (n + 2) / 3 * 4; }

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
/* The first six of eight bytes as eight groups of six bits, a byte each, in their order. */
static uint64_t groups(const uint8_t *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
    x = __builtin_bswap64(x) >> 16;
    x = (x & UINT64_C(0xffffff000000)) << 8 | (x & UINT64_C(0xffffff));
    x = (x & UINT64_C(0x00fff00000fff000)) << 4 | (x & UINT64_C(0x00000fff00000fff));
    x = (x & UINT64_C(0x0fc00fc00fc00fc0)) << 2 | (x & UINT64_C(0x003f003f003f003f));
    return __builtin_bswap64(x);
}
#endif

/* Twelve bytes become sixteen letters at once: each range of the alphabet lies a step from the one before. */
static size_t encode64(const uint8_t *p, size_t n, char *out)
{
    size_t done = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    for (; n - done >= 14; done += 12, out += sizeof(letters)) {
        const uint64_t half[2] = { groups(p + done), groups(p + done + 6) };
        letters v;
        memcpy(&v, half, sizeof v);
        v += 'A' + ((v > 25) & ('a' - 'A' - 26)) - ((v > 51) & ('a' - '0' + 26)) - ((v > 61) & ('0' + 10 - '+')) + ((v > 62) & ('/' - '+' - 1));
        memcpy(out, &v, sizeof v);
    }
#endif
    return done / 3 * 4 + encode(p + done, n - done, 6, ALPHABET64, out);
}

size_t kluis_base64(const void *p, size_t n, char *out)
{
    size_t len = encode64(p, n, out);
    while (len % 4 != 0) { out[len++] = '='; }
    out[len] = '\0';
    return len;
}

bool kluis_unbase64(struct kluis_str s, uint8_t *out, size_t cap, size_t *n)
{
    if (s.ptr == NULL || s.len % 4 != 0) { return false; }
    size_t len = s.len, pad = 0;
    while (len > 0 && pad < 2 && s.ptr[len - 1] == '=') {
        len--;
        pad++;
    }
    if ((pad == 1 && len % 4 != 3) || (pad == 2 && len % 4 != 2)) { return false; }
    return decode(s.ptr, len, 6, ALPHABET64, false, out, cap, n);
}

size_t kluis_base64url(const void *p, size_t n, char *out)
{
    size_t len = encode(p, n, 6, ALPHABET64URL, out);
    out[len] = '\0';
    return len;
}

bool kluis_unbase64url(struct kluis_str s, uint8_t *out, size_t cap, size_t *n)
{
    return s.ptr != NULL && s.len % 4 != 1 && decode(s.ptr, s.len, 6, ALPHABET64URL, false, out, cap, n);
}

size_t kluis_base32(const void *p, size_t n, char *out)
{
    size_t len = encode(p, n, 5, ALPHABET32, out);
    out[len] = '\0';
    return len;
}

bool kluis_unbase32(struct kluis_str s, uint8_t *out, size_t cap, size_t *n)
{
    return s.ptr != NULL && decode(s.ptr, s.len, 5, ALPHABET32, true, out, cap, n);
}

/* Is none of the last bytes, as many as fit into what is read at once, above 0x7f?  n is at least 4. */
static bool ends_plain(const uint8_t *p, size_t n)
{
    uint64_t w = 0;
    uint32_t first, last;
    if (n >= sizeof w) {
        memcpy(&w, p + n - sizeof w, sizeof w);
        return (w & 0x8080808080808080u) == 0;
    }
    memcpy(&first, p, sizeof first);
    memcpy(&last, p + n - sizeof last, sizeof last);
    return ((first | last) & 0x80808080u) == 0;
}

size_t kluis_utf8_valid(const char *text, size_t n)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t i = 0;
    while (i < n) {
        if (n - i < 8 && n >= 4 && ends_plain(p, n)) { return n; }
        if (n - i >= 32) { /* ASCII: thirty-two bytes at a time, then eight */
            uint64_t w[4];
            memcpy(w, p + i, 32);
            if (((w[0] | w[1] | w[2] | w[3]) & 0x8080808080808080u) == 0) {
                i += 32;
                continue;
            }
        }
        if (n - i < 32 && n >= 32) { /* the last of them overlap those before */
            uint64_t w[4];
            memcpy(w, p + n - 32, 32);
            if (((w[0] | w[1] | w[2] | w[3]) & 0x8080808080808080u) == 0) { return n; }
        }
        if (n - i >= 8) {
            uint64_t w;
            memcpy(&w, p + i, 8);
            if ((w & 0x8080808080808080u) == 0) {
                i += 8;
                continue;
            }
        }
        uint8_t c = p[i];
        size_t len;
        uint8_t lo = 0x80, hi = 0xbf; /* bounds of the second byte: Unicode table 3-7 */
        if (c < 0x80) {
            i++;
            continue;
        }
        if (c >= 0xc2 && c <= 0xdf) {
            len = 2;
        } else if (c >= 0xe0 && c <= 0xef) {
            len = 3;
            if (c == 0xe0) { lo = 0xa0; }
            if (c == 0xed) { hi = 0x9f; }
        } else if (c >= 0xf0 && c <= 0xf4) {
            len = 4;
            if (c == 0xf0) { lo = 0x90; }
            if (c == 0xf4) { hi = 0x8f; }
        } else {
            return i;
        }
        if (n - i < len || p[i + 1] < lo || p[i + 1] > hi) { return i; }
        for (size_t k = 2; k < len; k++) {
            if ((p[i + k] & 0xc0) != 0x80) { return i; }
        }
        i += len;
    }
    return n;
}

size_t kluis_json_plain(const char *p, size_t n)
{
    size_t i = 0;
    for (; n - i >= sizeof(lane); i += sizeof(lane)) {
        lane v;
        uint64_t half[2];
        memcpy(&v, p + i, sizeof v);
        lane stop = (lane)(v < 0x20) | (lane)(v == '"') | (lane)(v == '\\');
        memcpy(half, &stop, sizeof half);
        if ((half[0] | half[1]) == 0) { continue; }
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        return i + (half[0] != 0 ? (size_t)__builtin_ctzll(half[0]) : 64 + (size_t)__builtin_ctzll(half[1])) / 8;
#else
        break;
#endif
    }
    while (i < n && (unsigned char)p[i] >= 0x20 && p[i] != '"' && p[i] != '\\') { i++; }
    return i;
}

void kluis_buf_json(struct kluis_buf *b, struct kluis_str s)
{
    static const char hex[] = "0123456789abcdef";
    kluis_buf_byte(b, '"');
    for (size_t i = 0; i < s.len; i++) {
        size_t run = kluis_json_plain(s.ptr + i, s.len - i);
        kluis_buf_add(b, s.ptr + i, run);
        i += run;
        if (i == s.len) { break; }
        unsigned char c = (unsigned char)s.ptr[i];
        char e[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
        size_t n = 2;
        switch (c) {
        case '"':
        case '\\': e[1] = (char)c; break;
        case '\b': e[1] = 'b'; break;
        case '\f': e[1] = 'f'; break;
        case '\n': e[1] = 'n'; break;
        case '\r': e[1] = 'r'; break;
        case '\t': e[1] = 't'; break;
        default: n = 6; break;
        }
        kluis_buf_add(b, e, n);
    }
    kluis_buf_byte(b, '"');
}

/* ---- wire ---- */

static void put32(uint8_t o[4], uint32_t v)
{
    for (int i = 3; i >= 0; i--) {
        o[i] = (uint8_t)v;
        v >>= 8;
    }
}

static void put64(uint8_t o[8], uint64_t v)
{
    for (int i = 7; i >= 0; i--) {
        o[i] = (uint8_t)v;
        v >>= 8;
    }
}

void kluis_wire_field(struct kluis_buf *b, const void *p, size_t n)
{
    uint8_t head[4];
    if (n > UINT32_MAX) {
        b->status = b->status == KLUIS_OK ? KLUIS_E_LIMIT : b->status;
        return;
    }
    put32(head, (uint32_t)n);
    kluis_buf_add(b, head, 4);
    kluis_buf_add(b, p, n);
}

void kluis_wire_label(struct kluis_buf *b, const char *label) { kluis_wire_field(b, label, strlen(label)); }
void kluis_wire_str(struct kluis_buf *b, struct kluis_str s) { kluis_wire_field(b, s.ptr, s.len); }

void kluis_wire_u32(struct kluis_buf *b, uint32_t v)
{
    uint8_t o[4];
    put32(o, v);
    kluis_wire_field(b, o, 4);
}

void kluis_wire_u64(struct kluis_buf *b, uint64_t v)
{
    uint8_t o[8];
    put64(o, v);
    kluis_wire_field(b, o, 8);
}

struct kluis_wire kluis_wire_open(struct kluis_bytes data) { return (struct kluis_wire){ data, 0, data.ptr == NULL }; }

struct kluis_bytes kluis_wire_get(struct kluis_wire *w, size_t max)
{
    struct kluis_bytes none = { NULL, 0 };
    if (w->bad) { return none; }
    size_t left = w->data.len - w->at;
    if (left < 4) {
        w->bad = true;
        return none;
    }
    const uint8_t *p = w->data.ptr + w->at;
    size_t n = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
    if (n > left - 4 || n > max) {
        w->bad = true;
        return none;
    }
    w->at += 4 + n;
    return (struct kluis_bytes){ p + 4, n };
}

bool kluis_wire_is(struct kluis_wire *w, const char *label)
{
    struct kluis_bytes f = kluis_wire_get(w, 256);
    if (f.ptr == NULL || f.len != strlen(label) || memcmp(f.ptr, label, f.len) != 0) { w->bad = true; }
    return !w->bad;
}

bool kluis_wire_fixed(struct kluis_wire *w, void *out, size_t n)
{
    struct kluis_bytes f = kluis_wire_get(w, n);
    if (f.ptr == NULL || f.len != n) {
        w->bad = true;
        memset(out, 0, n);
        return false;
    }
    memcpy(out, f.ptr, n);
    return true;
}

uint32_t kluis_wire_get_u32(struct kluis_wire *w)
{
    uint8_t o[4];
    kluis_wire_fixed(w, o, 4);
    return (uint32_t)o[0] << 24 | (uint32_t)o[1] << 16 | (uint32_t)o[2] << 8 | o[3];
}

uint64_t kluis_wire_get_u64(struct kluis_wire *w)
{
    uint8_t o[8];
    kluis_wire_fixed(w, o, 8);
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) { v = v << 8 | o[i]; }
    return v;
}

bool kluis_wire_more(const struct kluis_wire *w) { return !w->bad && w->at < w->data.len; }

kluis_status kluis_wire_end(const struct kluis_wire *w, const char *what, struct kluis_err *err)
{
    if (w->bad || w->at != w->data.len) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s is malformed at byte %zu of %zu", what, w->at, w->data.len); }
    return KLUIS_OK;
}
