/* text.c - characters as chat exports use them: marks, spaces and digits of many scripts. */
#include "wa.h"

size_t wa_cp(const char *p, size_t n, uint32_t *cp)
{
    if (n == 0) { return 0; }
    unsigned char a = (unsigned char)p[0];
    if (a < 0x80) {
        *cp = a;
        return 1;
    }
    size_t len = a >= 0xF0 && a < 0xF5 ? 4 : a >= 0xE0 ? 3 : a >= 0xC2 ? 2 : 0;
    if (len == 0 || n < len || a >= 0xF5) { return 0; }
    uint32_t v = len == 2 ? a & 0x1Fu : len == 3 ? a & 0x0Fu : a & 0x07u;
    for (size_t i = 1; i < len; i++) {
        unsigned char c = (unsigned char)p[i];
        if ((c & 0xC0) != 0x80) { return 0; }
        v = v << 6 | (c & 0x3Fu);
    }
    *cp = v;
    return len;
}

bool wa_is_mark(uint32_t cp)
{
    return cp == 0x200E || cp == 0x200F || cp == 0x061C || (cp >= 0x202A && cp <= 0x202E) || (cp >= 0x2066 && cp <= 0x2069) || cp == 0xFEFF ||
           cp == 0x200B || cp == 0x2060;
}

bool wa_is_space(uint32_t cp)
{
    return cp == ' ' || cp == '\t' || cp == 0xA0 || (cp >= 0x2000 && cp <= 0x200A) || cp == 0x202F || cp == 0x205F || cp == 0x3000;
}

int wa_digit(uint32_t cp)
{
    if (cp >= '0' && cp <= '9') { return (int)(cp - '0'); }
    if (cp < 0x0660) { return -1; }
    static const uint32_t zero[] = { 0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66,  0x0CE6, 0x0D66,
                                     0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x17E0, 0x1810, 0xA9D0, 0xFF10, 0x11136, 0x1E950 };
    for (size_t i = 0; i < sizeof zero / sizeof *zero; i++) {
        if (cp >= zero[i] && cp < zero[i] + 10) { return (int)(cp - zero[i]); }
    }
    return -1;
}

struct kluis_str wa_sub(struct kluis_str s, size_t from, size_t to)
{
    if (from > s.len) { from = s.len; }
    if (to > s.len) { to = s.len; }
    if (to < from) { to = from; }
    return (struct kluis_str){ s.ptr == NULL ? NULL : s.ptr + from, to - from }; /* absent stays absent */
}

size_t wa_lead_marks(struct kluis_str s)
{
    size_t i = 0;
    uint32_t cp;
    while (i < s.len && (unsigned char)s.ptr[i] >= 0x80) {
        size_t k = wa_cp(s.ptr + i, s.len - i, &cp);
        if (k == 0 || !wa_is_mark(cp)) { break; }
        i += k;
    }
    return i;
}

struct kluis_str wa_trim(struct kluis_str s)
{
    size_t i = 0, end = s.len;
    uint32_t cp;
    while (i < end) {
        size_t k = wa_cp(s.ptr + i, end - i, &cp);
        if (k == 0 || (!wa_is_mark(cp) && !wa_is_space(cp) && cp != '\r' && cp != '\n')) { break; }
        i += k;
    }
    while (end > i) {
        size_t k = 1;
        while (k < 4 && k < end - i && ((unsigned char)s.ptr[end - k] & 0xC0) == 0x80) { k++; }
        if (wa_cp(s.ptr + end - k, k, &cp) != k || (!wa_is_mark(cp) && !wa_is_space(cp) && cp != '\r' && cp != '\n')) { break; }
        end -= k;
    }
    return wa_sub(s, i, end);
}

bool wa_starts(struct kluis_str s, const char *z)
{
    size_t n = strlen(z);
    return s.len >= n && memcmp(s.ptr, z, n) == 0;
}

bool wa_ends(struct kluis_str s, const char *z)
{
    size_t n = strlen(z);
    return s.len >= n && memcmp(s.ptr + s.len - n, z, n) == 0;
}

size_t wa_fold(struct kluis_str s, char *out, size_t cap)
{
    s = wa_trim(s);
    size_t o = 0;
    bool space = false;
    for (size_t i = 0; i < s.len;) {
        uint32_t cp;
        size_t k = wa_cp(s.ptr + i, s.len - i, &cp);
        if (k == 0) { return 0; }
        if (wa_is_mark(cp)) {
            i += k;
            continue;
        }
        if (wa_is_space(cp)) {
            space = true;
            i += k;
            continue;
        }
        if (space) {
            if (o + 1 >= cap) { return 0; }
            out[o++] = ' ';
            space = false;
        }
        if (o + k >= cap) { return 0; }
        if (cp == 0x201C || cp == 0x201D || cp == 0x201E || cp == 0xAB || cp == 0xBB || cp == 0x300C || cp == 0x300D) {
            out[o++] = '"';
        } else if (cp == 0x2019 || cp == 0x2018 || cp == 0x201A) {
            out[o++] = '\'';
        } else if (k == 1) {
            out[o++] = (char)cp;
        } else {
            memcpy(out + o, s.ptr + i, k);
            o += k;
        }
        i += k;
    }
    if (o > 0 && out[o - 1] == '.') { o--; }
    if (o >= 3 && memcmp(out + o - 3, "\xE3\x80\x82", 3) == 0) { o -= 3; } /* 。 */
    if (o >= 3 && memcmp(out + o - 3, "\xE0\xA5\xA4", 3) == 0) { o -= 3; } /* । */
    out[o] = 0;
    return o;
}
