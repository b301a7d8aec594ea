/* lib/seal/der.c - the little DER that signatures need: a strict reader and a writer. */
#include "internal.h"

#include <assert.h>

enum { DEPTH_MAX = 32 };

bool der_next(struct kluis_bytes *in, uint8_t *tag, struct kluis_bytes *content, struct kluis_bytes *whole)
{
    const uint8_t *p = in->ptr;
    size_t left = in->len;
    if (left < 2 || (p[0] & 0x1f) == 0x1f || p[0] == 0) { return false; } /* no long tags, no end-of-contents */
    size_t len = p[1], head = 2;
    if (len == 0x80 || len > 0x84) { return false; }
    if (len > 0x80) {
        size_t n = len - 0x80;
        if (left < 2 + n || p[2] == 0) { return false; }
        len = 0;
        for (size_t i = 0; i < n; i++) { len = len << 8 | p[2 + i]; }
        if (len < 0x80) { return false; }
        head = 2 + n;
    }
    if (len > left - head) { return false; }
    if (tag) { *tag = p[0]; }
    if (content) { *content = (struct kluis_bytes){ p + head, len }; }
    if (whole) { *whole = (struct kluis_bytes){ p, head + len }; }
    in->ptr = p + head + len;
    in->len = left - head - len;
    return true;
}

uint8_t der_peek(struct kluis_bytes in) { return in.len ? in.ptr[0] : 0; }

bool der_take(struct kluis_bytes *in, uint8_t tag, struct kluis_bytes *content) { return der_peek(*in) == tag && der_next(in, NULL, content, NULL); }

bool der_take_whole(struct kluis_bytes *in, uint8_t tag, struct kluis_bytes *whole)
{
    return der_peek(*in) == tag && der_next(in, NULL, NULL, whole);
}

bool der_same(struct kluis_bytes a, struct kluis_bytes b) { return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0); }

static bool oid_canonical(struct kluis_bytes c)
{
    if (c.len == 0 || (c.ptr[c.len - 1] & 0x80)) { return false; }
    for (size_t i = 0; i < c.len; i++) {
        bool first = i == 0 || !(c.ptr[i - 1] & 0x80);
        if (first && c.ptr[i] == 0x80) { return false; }
    }
    return true;
}

static bool primitive_canonical(uint8_t tag, struct kluis_bytes c)
{
    switch (tag) {
    case DER_BOOLEAN: return c.len == 1 && (c.ptr[0] == 0x00 || c.ptr[0] == 0xff);
    case DER_INTEGER:
    case 0x0a: /* ENUMERATED */
        if (c.len == 0) { return false; }
        return c.len == 1 || !((c.ptr[0] == 0x00 && !(c.ptr[1] & 0x80)) || (c.ptr[0] == 0xff && (c.ptr[1] & 0x80)));
    case DER_BIT_STRING:
        if (c.len == 0 || c.ptr[0] > 7 || (c.len == 1 && c.ptr[0] != 0)) { return false; }
        return (c.ptr[c.len - 1] & ((1u << c.ptr[0]) - 1)) == 0 || c.ptr[0] == 0;
    case DER_NULL: return c.len == 0;
    case DER_OID: return oid_canonical(c);
    default: return true;
    }
}

static bool canonical(struct kluis_bytes p, int depth)
{
    if (depth > DEPTH_MAX) { return false; }
    while (p.len) {
        uint8_t tag = 0;
        struct kluis_bytes c;
        if (!der_next(&p, &tag, &c, NULL)) { return false; }
        if (tag & 0x20) {
            if ((tag & 0xc0) == 0 && tag != DER_SEQUENCE && tag != DER_SET) { return false; } /* no constructed strings */
            if (!canonical(c, depth + 1)) { return false; }
        } else if ((tag & 0xc0) == 0 && (tag == 0x10 || tag == 0x11 || !primitive_canonical(tag, c))) {
            return false;
        }
    }
    return true;
}

bool der_canonical(struct kluis_bytes p) { return canonical(p, 0); }

static bool digits(const uint8_t *p, size_t n, int *out)
{
    int v = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9') { return false; }
        v = v * 10 + (p[i] - '0');
    }
    *out = v;
    return true;
}

bool der_time(uint8_t tag, struct kluis_bytes c, bool fraction, int64_t *us)
{
    int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
    const uint8_t *p = c.ptr;
    size_t left = c.len;
    size_t y = tag == DER_GENERALIZED_TIME ? 4 : 2;
    if ((tag != DER_GENERALIZED_TIME && tag != DER_UTC_TIME) || left < y + 11 || !digits(p, y, &year)) { return false; }
    if (y == 2) { year += year < 50 ? 2000 : 1900; }
    p += y;
    left -= y;
    if (!digits(p, 2, &month) || !digits(p + 2, 2, &day) || !digits(p + 4, 2, &hour) || !digits(p + 6, 2, &minute) || !digits(p + 8, 2, &second)) {
        return false;
    }
    p += 10;
    left -= 10;
    int64_t micro = 0, days = 0;
    if (left > 1 && fraction && y == 4 && p[0] == '.') {
        int64_t unit = 100000;
        size_t n = 1;
        for (; n < left && p[n] >= '0' && p[n] <= '9'; n++) {
            micro += unit * (p[n] - '0');
            unit /= 10;
        }
        if (n == 1 || p[n - 1] == '0') { return false; } /* DER: no trailing zeros */
        p += n;
        left -= n;
    }
    if (left != 1 || p[0] != 'Z') { return false; }
    if (hour > 23 || minute > 59 || second > 59 || !kluis_days_from_civil(year, month, day, &days)) { return false; }
    *us = ((days * 24 + hour) * 60 + minute) * 60000000 + second * INT64_C(1000000) + micro;
    return true;
}

/* ---- writing ----------------------------------------------------------------------------------- */

void der_put(struct kluis_buf *out, uint8_t tag, const void *p, size_t n)
{
    assert(n <= UINT32_MAX);
    kluis_buf_byte(out, tag);
    if (n < 0x80) {
        kluis_buf_byte(out, (uint8_t)n);
    } else {
        int octets = n > 0xffffff ? 4 : n > 0xffff ? 3 : n > 0xff ? 2 : 1;
        kluis_buf_byte(out, (uint8_t)(0x80 + octets));
        for (int i = octets - 1; i >= 0; i--) { kluis_buf_byte(out, (uint8_t)(n >> (8 * i))); }
    }
    if (n) { kluis_buf_add(out, p, n); }
}

static void same_fate(struct kluis_buf *out, const struct kluis_buf *content)
{
    if (content->status != KLUIS_OK && out->status == KLUIS_OK) { out->status = content->status; }
}

void der_add(struct kluis_buf *out, const struct kluis_buf *content)
{
    same_fate(out, content);
    kluis_buf_add(out, content->data, content->len);
}

void der_put_buf(struct kluis_buf *out, uint8_t tag, const struct kluis_buf *content)
{
    same_fate(out, content);
    der_put(out, tag, content->data, content->len);
}

static int by_encoding(const void *a, const void *b)
{
    const struct kluis_bytes *x = a, *y = b;
    int c = memcmp(x->ptr, y->ptr, x->len < y->len ? x->len : y->len);
    return c ? c : (x->len > y->len) - (x->len < y->len);
}

void der_put_set(struct kluis_buf *out, uint8_t tag, struct kluis_bytes *element, size_t n)
{
    qsort(element, n, sizeof *element, by_encoding);
    KLUIS_AUTO_BUF(c, out->max);
    for (size_t i = 0; i < n; i++) { kluis_buf_add(&c, element[i].ptr, element[i].len); }
    der_put_buf(out, tag, &c);
}

void der_put_time(struct kluis_buf *out, int64_t us)
{
    int64_t days = us / 86400000000, rest = us % 86400000000;
    if (rest < 0) {
        rest += 86400000000;
        days--;
    }
    int year = 0, month = 0, day = 0;
    kluis_civil_from_days(days, &year, &month, &day);
    int s = (int)(rest / 1000000);
    char text[40];
    /* RFC 5652 §11.3: UTCTime up to 2049. */
    bool utc = year >= 1950 && year < 2050;
    int n = utc ? snprintf(text, sizeof text, "%02d%02d%02d%02d%02d%02dZ", year % 100, month, day, s / 3600, s / 60 % 60, s % 60)
                : snprintf(text, sizeof text, "%04d%02d%02d%02d%02d%02dZ", year, month, day, s / 3600, s / 60 % 60, s % 60);
    assert(n > 0 && (size_t)n < sizeof text);
    der_put(out, utc ? DER_UTC_TIME : DER_GENERALIZED_TIME, text, (size_t)n);
}
