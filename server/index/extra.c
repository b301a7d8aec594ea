/* server/index/extra.c - a record's lesser strings, packed; who somebody is; by what two records are the same.  See internal.h. */
#include "server/index/internal.h"

/* ---- packed strings ---- */

static void put32(struct kluis_buf *b, size_t n)
{
    const uint8_t v[4] = { (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n };
    kluis_buf_add(b, v, 4);
}

static void pack(struct kluis_buf *b, const struct kluis_str *s, size_t n)
{
    uint8_t mask = 0;
    for (size_t i = 0; i < n; i++) { mask |= (uint8_t)(s[i].ptr == NULL ? 0 : 1U << i); }
    kluis_buf_byte(b, mask);
    for (size_t i = 0; i < n; i++) {
        if (s[i].ptr == NULL) { continue; }
        put32(b, s[i].len);
        kluis_buf_str(b, s[i]);
    }
}

static bool unpack(const uint8_t **p, const uint8_t *end, struct kluis_str *s, size_t n)
{
    if (*p == end) { return false; }
    uint8_t mask = *(*p)++;
    for (size_t i = 0; i < n; i++) {
        s[i] = (struct kluis_str){ NULL, 0 };
        if ((mask >> i & 1) == 0) { continue; }
        if (end - *p < 4) { return false; }
        size_t len = (size_t)(*p)[0] << 24 | (size_t)(*p)[1] << 16 | (size_t)(*p)[2] << 8 | (*p)[3];
        *p += 4;
        if (len > (size_t)(end - *p)) { return false; }
        s[i] = (struct kluis_str){ (const char *)*p, len };
        *p += len;
    }
    return true;
}

void iextra_write(struct kluis_buf *b, const struct kluis_str s[IEXTRAS])
{
    for (size_t i = 0; i < IEXTRAS; i++) {
        if (s[i].ptr != NULL) {
            pack(b, s, IEXTRAS);
            return;
        }
    }
}

bool iextra_read(struct kluis_bytes blob, struct kluis_str s[IEXTRAS])
{
    for (size_t i = 0; i < IEXTRAS; i++) { s[i] = (struct kluis_str){ NULL, 0 }; }
    if (blob.len == 0) { return true; }
    const uint8_t *p = blob.ptr, *end = p + blob.len;
    return unpack(&p, end, s, IEXTRAS) && p == end;
}

void iside_write(struct kluis_buf *b, const struct kluis_str s[IEXTRAS])
{
    static const int found[] = { IEXTRA_ATTACHMENTS, IEXTRA_QUOTE, IEXTRA_VALUE, IEXTRA_OPTIONS };
    for (size_t i = 0; i < sizeof found / sizeof found[0]; i++) {
        if (s[found[i]].len == 0) { continue; }
        kluis_buf_str(b, s[found[i]]);
        kluis_buf_byte(b, '\n');
    }
}

void iparties_write(struct kluis_buf *b, const struct index_package *p)
{
    for (uint32_t i = 0; i < p->n_parties; i++) {
        const struct kluis_str s[3] = { p->parties[i].id, p->parties[i].name, p->parties[i].number };
        pack(b, s, 3);
    }
}

bool iparty_read(struct kluis_bytes blob, uint32_t i, struct kluis_party *out)
{
    const uint8_t *p = blob.ptr, *end = p + blob.len;
    struct kluis_str s[3];
    for (uint32_t k = 0; k <= i; k++) {
        if (!unpack(&p, end, s, 3)) { return false; }
    }
    *out = (struct kluis_party){ s[0], s[1], s[2] };
    return true;
}

/* ---- who and what ---- */

void iidentity(struct kluis_buf *b, const struct kluis_party *p)
{
    size_t digits = 0;
    while (digits < p->id.len && p->id.ptr[digits] >= '0' && p->id.ptr[digits] <= '9') { digits++; }
    struct kluis_str rest = { p->id.ptr == NULL ? NULL : p->id.ptr + digits, p->id.len - digits };
    bool number = digits > 5 && (kluis_str_is(rest, "@s.whatsapp.net") || kluis_str_is(rest, "@c.us"));
    bool hidden = digits > 5 && kluis_str_is(rest, "@lid"); /* an alias of a number: the number is better where it is stated */
    if (number) {
        kluis_buf_byte(b, '+');
        kluis_buf_add(b, p->id.ptr, digits);
    } else if (p->id.len > 0 && !(hidden && p->number.len > 0)) {
        kluis_buf_byte(b, 'i');
        kluis_buf_str(b, p->id);
    } else if (p->number.len > 0) {
        if (p->number.ptr[0] != '+') { kluis_buf_byte(b, '+'); }
        kluis_buf_str(b, p->number);
    } else if (p->name.len > 0) {
        kluis_buf_byte(b, 'n');
        kluis_buf_str(b, p->name);
    }
}

/* White space runs become one space, marks that cannot be seen go: phones differ in those when they export. */
void inormal_write(struct kluis_buf *b, struct kluis_str s)
{
    bool gap = false, some = false;
    for (size_t i = 0; i < s.len; i++) {
        const unsigned char c = (unsigned char)s.ptr[i];
        if (c == ' ' || (c >= '\t' && c <= '\r')) {
            gap = true;
            continue;
        }
        if (c == 0xc2 && i + 1 < s.len && (unsigned char)s.ptr[i + 1] == 0xa0) { /* no-break space */
            gap = true;
            i++;
            continue;
        }
        if (c == 0xe2 && i + 2 < s.len) {
            unsigned d = (unsigned)(unsigned char)s.ptr[i + 1] << 8 | (unsigned char)s.ptr[i + 2];
            bool space = d == 0x80af; /* narrow no-break */
            bool unseen = (d >= 0x808b && d <= 0x808f) || (d >= 0x80aa && d <= 0x80ae) || (d >= 0x81a0 && d <= 0x81af);
            if (space || unseen) {
                gap = gap || space;
                i += 2;
                continue;
            }
        }
        if (c == 0xef && i + 2 < s.len && memcmp(s.ptr + i, "\xef\xbb\xbf", 3) == 0) {
            i += 2;
            continue;
        }
        if (gap && some) { kluis_buf_byte(b, ' '); }
        gap = false;
        some = true;
        kluis_buf_byte(b, c);
    }
}

void isame_write(struct kluis_buf *b, const struct isame *s, bool exact)
{
    const struct kluis_str list[] = { s->author, s->target, s->value, s->event, s->options };
    kluis_buf_byte(b, (uint8_t)s->kind);
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        put32(b, list[i].len);
        kluis_buf_str(b, list[i]);
    }
    if (exact) {
        kluis_buf_str(b, s->text);
    } else {
        inormal_write(b, s->text);
    }
}

uint32_t ihash(const char *p, size_t n, uint32_t seed)
{
    uint64_t h = seed * UINT64_C(0x9e3779b97f4a7c15) ^ n;
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t v = 0;
        memcpy(&v, p, 8);
        h = (h ^ v) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
    }
    uint64_t v = 0;
    if (n > 0) { memcpy(&v, p, n); }
    h = (h ^ v) * UINT64_C(0xc4ceb9fe1a85ec53);
    return (uint32_t)(h >> 32 ^ h >> 7);
}
