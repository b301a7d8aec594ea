/* repair.c - text of which every UTF-8 byte was written as a character of its own. */
#include "agent/source/meta/meta.h"

/* Windows-1252, 0x80 to 0x9f; 0: that byte has no character there, and its Latin-1 one (a control) counts. */
static const uint16_t windows[32] = { 0x20ac, 0,      0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
                                      0x2039, 0x0152, 0,      0x017d, 0,      0,      0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
                                      0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0,      0x017e, 0x0178 };

/* The next character; s is valid UTF-8. */
static unsigned next(const char *s, size_t *i)
{
    unsigned c = (unsigned char)s[(*i)++];
    unsigned more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    if (more > 0) { c &= 0x3fu >> more; }
    while (more-- > 0) { c = c << 6 | ((unsigned char)s[(*i)++] & 0x3f); }
    return c;
}

static bool byte_of(unsigned c, unsigned char *out, bool *is_windows)
{
    *out = (unsigned char)c;
    if (c < 0x100) { return true; }
    for (unsigned i = 0; i < 32; i++) {
        if (windows[i] == c) {
            *out = (unsigned char)(0x80 + i);
            *is_windows = true;
            return true;
        }
    }
    return false;
}

struct kluis_str meta_repair(struct kluis_str s, struct kluis_arena *a, enum repair *how)
{
    size_t plain = 0, n = 0;
    bool is_windows = false;
    *how = REPAIR_NONE;
    while (plain < s.len && (unsigned char)s.ptr[plain] < 0x80) { plain++; }
    if (plain == s.len) { return s; }
    char *w = kluis_arena_alloc(a, s.len);
    if (w == NULL) { return s; }
    for (size_t i = 0; i < s.len; n++) {
        unsigned char b;
        if (!byte_of(next(s.ptr, &i), &b, &is_windows)) { return s; }
        w[n] = (char)b;
    }
    if (kluis_utf8_valid(w, n) != n) { return s; }
    *how = is_windows ? REPAIR_WINDOWS : REPAIR_LATIN1;
    return (struct kluis_str){ w, n };
}

struct kluis_str meta_words(struct kluis_str s, struct kluis_arena *a)
{
    enum repair how;
    return s.ptr == NULL ? s : meta_repair(s, a, &how);
}
