/* element.c - the attributes of one element and of what is in it.
 *
 * XML 1.0 as SMS Backup & Restore writes it, and what it writes against it: two references to half a surrogate pair are the one character
 * that Android meant; a reference to no character, a control character and bytes that are no UTF-8 become U+FFFD, and the item says so; a lone
 * '&' and a '<' in a value stand for themselves.  There is no document type (slice.c), so entities are the five of XML.  Why not libxml2:
 * docs/decisions/0013.
 */
#include "agent/source/scan.h"
#include "agent/source/sms/sms.h"

/* ---- values ---------------------------------------------------------------------------------------------------------- */

static bool is_char(uint32_t c)
{
    return c == 9 || c == 10 || c == 13 || (c >= 0x20 && c < 0xD800) || (c >= 0xE000 && c <= 0xFFFD) || (c >= 0x10000 && c <= 0x10FFFF);
}

/* "&#55357;" or "&#xD83D;" at p; 0: none. */
static size_t reference(const char *p, size_t n, uint32_t *c)
{
    bool hex = n > 3 && p[1] == '#' && (p[2] == 'x' || p[2] == 'X');
    size_t from = hex ? 3 : 2, i = from;
    uint32_t v = 0;
    if (n < 4 || p[1] != '#') { return 0; }
    for (; i < n && p[i] != ';'; i++) {
        uint32_t d = p[i] >= '0' && p[i] <= '9'          ? (uint32_t)(p[i] - '0')
                     : hex && p[i] >= 'a' && p[i] <= 'f' ? (uint32_t)(p[i] - 'a') + 10
                     : hex && p[i] >= 'A' && p[i] <= 'F' ? (uint32_t)(p[i] - 'A') + 10
                                                         : 99;
        if (d == 99 || i - from > 7) { return 0; }
        v = v * (hex ? 16 : 10) + d;
    }
    if (i == n || i == from) { return 0; }
    *c = v;
    return i + 1;
}

static char *put_utf8(char *w, uint32_t c)
{
    if (c < 0x80) {
        *w++ = (char)c;
    } else if (c < 0x800) {
        *w++ = (char)(0xC0 | c >> 6);
        *w++ = (char)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        *w++ = (char)(0xE0 | c >> 12);
        *w++ = (char)(0x80 | (c >> 6 & 0x3F));
        *w++ = (char)(0x80 | (c & 0x3F));
    } else {
        *w++ = (char)(0xF0 | c >> 18);
        *w++ = (char)(0x80 | (c >> 12 & 0x3F));
        *w++ = (char)(0x80 | (c >> 6 & 0x3F));
        *w++ = (char)(0x80 | (c & 0x3F));
    }
    return w;
}

/* At an '&': writes the character, gives how much was read. */
static size_t ampersand(char **w, const char *p, size_t n, bool *repaired)
{
    static const struct {
        const char *name;
        char c;
    } known[] = { { "&amp;", '&' }, { "&quot;", '"' }, { "&lt;", '<' }, { "&gt;", '>' }, { "&apos;", '\'' } };
    uint32_t c = 0, low = 0;
    size_t k = reference(p, n, &c), more = 0;
    for (size_t i = 0; k == 0 && i < 5; i++) {
        size_t m = strlen(known[i].name);
        if (n >= m && memcmp(p, known[i].name, m) == 0) {
            *(*w)++ = known[i].c;
            return m;
        }
    }
    if (k == 0) {
        *(*w)++ = '&';
        return 1;
    }
    if (c >= 0xD800 && c < 0xDC00 && n > k && p[k] == '&') { more = reference(p + k, n - k, &low); }
    if (more > 0 && low >= 0xDC00 && low < 0xE000) {
        *w = put_utf8(*w, 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00));
        return k + more;
    }
    *repaired |= !is_char(c);
    *w = put_utf8(*w, is_char(c) ? c : 0xFFFD);
    return k;
}

/* A value's text, a copy in the arena (at most three bytes for one).  Absent: no room. */
static struct kluis_str decode(struct kluis_str s, struct kluis_arena *arena, bool *repaired)
{
    bool valid = kluis_utf8_valid(s.ptr, s.len) == s.len;
    char *text = kluis_arena_bare(arena, s.len * 3 + 4), *w = text;
    if (text == NULL) { return (struct kluis_str){ NULL, 0 }; }
    for (size_t i = 0; i < s.len;) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '&') {
            i += ampersand(&w, s.ptr + i, s.len - i, repaired);
        } else if (c < 0x20 && c != '\n' && c != '\r' && c != '\t') {
            *repaired = true;
            w = put_utf8(w, 0xFFFD);
            i++;
        } else if (c < 0x80) {
            *w++ = (char)c;
            i++;
        } else {
            size_t n = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
            if (!valid && kluis_utf8_valid(s.ptr + i, n < s.len - i ? n : s.len - i) < n) {
                *repaired = true;
                w = put_utf8(w, 0xFFFD);
                i++;
                continue;
            }
            memcpy(w, s.ptr + i, n);
            w += n;
            i += n;
        }
    }
    return (struct kluis_str){ text, (size_t)(w - text) };
}

/* ---- tags ------------------------------------------------------------------------------------------------------------ */

static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

struct walk {
    const char *p, *end;
    const struct slice *slice;
    struct item *item;
    struct kluis_arena *arena;
    size_t n_data;
    bool survey; /* values that nobody looks at in a survey stay as they are written */
    bool simple; /* nothing but attributes on one line, no attribute named data */
};

/* What ends an attribute's name: white space, or one of these.  A single quote does not, though for slice.c a value begins there. */
enum { NAME_ENDS = 1, NAME_QUOTES = 2 };
static const uint8_t in_name[256] = { [' '] = NAME_ENDS, ['\n'] = NAME_ENDS, ['\r'] = NAME_ENDS, ['\t'] = NAME_ENDS,  ['='] = NAME_ENDS,
                                      ['>'] = NAME_ENDS, ['"'] = NAME_ENDS,  ['<'] = NAME_ENDS,  ['\''] = NAME_QUOTES };

static bool wanted_in_survey(struct kluis_str name)
{
    return kluis_str_is(name, "address") || kluis_str_is(name, "contact_name") || kluis_str_is(name, "number") || kluis_str_is(name, "type");
}

/* name="value" … up to '>'; false: something else stands there. */
static bool attributes(struct walk *x)
{
    for (;;) {
        while (x->p < x->end && is_space(*x->p)) { x->p++; }
        if (x->p == x->end) { return false; }
        if (*x->p == '/' || *x->p == '>') {
            if (*x->p == '/') { x->p++; }
            if (x->p == x->end || *x->p != '>') { return false; }
            x->p++;
            return true;
        }
        const char *name = x->p;
        uint8_t met_in_name = 0;
        for (; x->p < x->end && in_name[(unsigned char)*x->p] != NAME_ENDS; x->p++) { met_in_name |= in_name[(unsigned char)*x->p]; }
        size_t n = (size_t)(x->p - name);
        while (x->p < x->end && is_space(*x->p)) { x->p++; }
        if (n == 0 || x->end - x->p < 2 || *x->p != '=') { return false; }
        x->p++;
        while (x->p < x->end && is_space(*x->p)) { x->p++; }
        if (x->p == x->end || (*x->p != '"' && *x->p != '\'')) { return false; }
        const char quote = *x->p, *value = x->p + 1, *close = value;
        struct scan_met met = { 0, 0 };
        bool references = false;
        while ((close = scan_to(close, x->end, quote, '&', &met)) < x->end && *close == '&') {
            references = true;
            close++;
        }
        if (close == x->end || x->item->n_attrs == ITEM_ATTRS_MAX || kluis_utf8_valid(name, n) != n) { return false; }
        struct attr *a = &x->item->attrs[x->item->n_attrs++];
        a->name = (struct kluis_str){ name, n };
        a->value = (struct kluis_str){ value, (size_t)(close - value) };
        x->p = close + 1;
        x->simple = x->simple && met.control == 0 && met_in_name == 0 && !kluis_str_is(a->name, "data");
        bool plain = !references && met.control == 0 && (met.high == 0 || kluis_utf8_valid(value, a->value.len) == a->value.len);
        if (plain || (x->survey && !wanted_in_survey(a->name))) { continue; }
        a->value = decode(a->value, x->arena, &x->item->repaired);
        if (a->value.ptr == NULL) { return false; }
    }
}

static bool tag_is(const char *p, const char *end, const char *name)
{
    size_t n = strlen(name);
    return (size_t)(end - p) > n && memcmp(p, name, n) == 0 && (is_space(p[n]) || p[n] == '/' || p[n] == '>');
}

static bool group(struct walk *x, struct item_group *list, size_t *n, size_t max)
{
    struct item *it = x->item;
    if (*n == max) { return false; }
    struct item_group *g = &list[(*n)++];
    *g = (struct item_group){ .first = it->n_attrs, .size = -1 };
    if (!attributes(x)) { return false; }
    g->n = it->n_attrs - g->first;
    for (size_t i = 0; i < g->n && x->n_data < x->slice->n_data; i++) {
        if (!kluis_str_is(it->attrs[g->first + i].name, "data")) { continue; }
        const struct slice_data *d = &x->slice->data[x->n_data++];
        uint8_t head[48];
        g->has_data = true;
        g->data_at = d->at;
        g->data_chars = d->chars;
        g->type = build_type_of(head, slice_head(d, head));
    }
    return true;
}

static bool walk(struct walk *x)
{
    struct item *it = x->item;
    while (x->p < x->end && !is_space(*x->p) && *x->p != '/' && *x->p != '>') { x->p++; }
    if (!attributes(x)) { return false; }
    it->n_own = it->n_attrs;
    for (;;) {
        const char *lt = x->p == x->end ? NULL : memchr(x->p, '<', (size_t)(x->end - x->p));
        if (lt == NULL) { return true; }
        x->p = lt + 1;
        bool ok = true, comment = x->end - x->p >= 3 && memcmp(x->p, "!--", 3) == 0;
        if (comment) {
            const char *close = memmem(x->p, (size_t)(x->end - x->p), "-->", 3);
            if (close == NULL) { return false; }
            x->p = close + 3;
        } else if (tag_is(x->p, x->end, "part")) {
            x->p += 4;
            ok = group(x, it->parts, &it->n_parts, ITEM_PARTS_MAX);
        } else if (tag_is(x->p, x->end, "addr")) {
            x->p += 4;
            ok = group(x, it->addrs, &it->n_addrs, ITEM_ADDRS_MAX);
        }
        if (!ok) { return false; }
    }
}

/* Of an element that cannot be read: whose it may be and when, as far as that stands in it. */
static void rescue(struct kluis_str raw, struct kluis_arena *arena, struct item *out)
{
    static const char *const wanted[] = { " address=\"", " number=\"", " date=\"", " contact_name=\"" };
    static const char *const names[] = { "address", "number", "date", "contact_name" };
    out->n_own = out->n_attrs = out->n_parts = out->n_addrs = 0;
    for (size_t i = 0; i < 4; i++) {
        size_t k = strlen(wanted[i]);
        bool repaired = false;
        const char *hit = raw.len < k ? NULL : memmem(raw.ptr, raw.len, wanted[i], k);
        if (hit == NULL) { continue; }
        const char *from = hit + k, *end = memchr(from, '"', raw.len - (size_t)(from - raw.ptr));
        if (end == NULL || end == from || end - from > 4096 || memchr(from, '<', (size_t)(end - from)) != NULL) { continue; }
        struct kluis_str v = decode((struct kluis_str){ from, (size_t)(end - from) }, arena, &repaired);
        if (v.ptr != NULL && !repaired) { out->attrs[out->n_attrs++] = (struct attr){ kluis_str_of(names[i]), v }; }
    }
    out->n_own = out->n_attrs;
}

static void begin(struct item *out, enum slice_what what, struct kluis_str text, uint64_t at)
{
    out->what = what;
    out->n_own = out->n_attrs = out->n_parts = out->n_addrs = 0;
    out->repaired = out->exact = false;
    out->raw = (struct kluis_bytes){ (const uint8_t *)text.ptr, text.len };
    out->at = at;
    out->why = NULL;
}

bool element_at_once(struct kluis_str ahead, uint64_t at, bool survey, struct kluis_arena *arena, struct item *out)
{
    static const struct kluis_str sms = { "<sms ", 5 }, call = { "<call ", 6 };
    const bool is_sms = ahead.len > sms.len && memcmp(ahead.ptr, sms.ptr, sms.len) == 0;
    if (!is_sms && !(ahead.len > call.len && memcmp(ahead.ptr, call.ptr, call.len) == 0)) { return false; }
    begin(out, is_sms ? SLICE_SMS : SLICE_CALL, ahead, at);
    struct walk x = {
        .p = ahead.ptr + (is_sms ? sms : call).len, .end = ahead.ptr + ahead.len, .item = out, .arena = arena, .survey = survey, .simple = true
    };
    if (!attributes(&x) || !x.simple || x.p[-2] != '/') { return false; }
    out->n_own = out->n_attrs;
    out->raw.len = (size_t)(x.p - ahead.ptr);
    return true;
}

bool element_read(const struct slice *s, bool survey, struct kluis_arena *arena, struct item *out)
{
    begin(out, s->what, s->text, s->at);
    out->why = s->why;
    struct walk x = { .p = s->text.ptr, .end = s->text.ptr + s->text.len, .slice = s, .item = out, .arena = arena, .survey = survey };
    if (s->what != SLICE_DAMAGED && walk(&x)) { return true; }
    if (s->what != SLICE_DAMAGED) { out->why = "it is not written as XML"; }
    out->what = SLICE_DAMAGED;
    rescue(s->text, arena, out);
    return false;
}

/* ---- looking ------------------------------------------------------------------------------------------------------ */

struct kluis_str sms_find(const struct item *i, size_t first, size_t n, struct kluis_str name)
{
    for (size_t k = first; k < first + n; k++) {
        const struct attr *a = &i->attrs[k];
        if (a->name.len != name.len || a->name.ptr[0] != name.ptr[0] || !kluis_str_eq(a->name, name)) { continue; }
        return !i->exact && kluis_str_is(a->value, "null") ? (struct kluis_str){ NULL, 0 } : a->value;
    }
    return (struct kluis_str){ NULL, 0 };
}

bool sms_i64(struct kluis_str s, int64_t *out)
{
    uint64_t v = 0;
    size_t i = s.len > 0 && s.ptr[0] == '-' ? 1 : 0;
    if (s.ptr == NULL || s.len == i || s.len > 20) { return false; }
    bool minus = i == 1;
    for (; i < s.len; i++) {
        unsigned d = (unsigned)(s.ptr[i] - '0');
        if (d > 9 || v > ((uint64_t)INT64_MAX - d) / 10) { return false; }
        v = v * 10 + d;
    }
    *out = minus ? -(int64_t)v : (int64_t)v;
    return true;
}
