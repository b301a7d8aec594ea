/* json.c - the reader of json.h: recursive descent with a depth limit.
 */
#include "agent/source/json.h"

#include "agent/source/scan.h"

struct in {
    const char *line, *p, *end;
    struct kluis_arena *arena;
    struct kluis_err *err;
    unsigned depth;
    bool loose;
    struct json *nodes; /* made and not used yet */
    size_t n_nodes;
};

static kluis_status bad(struct in *in, const char *what)
{
    return KLUIS_FAIL(in->err, KLUIS_E_REJECT, "not JSON at byte %zu: %s", (size_t)(in->p - in->line) + 1, what);
}

static kluis_status full(struct in *in) { return KLUIS_FAIL(in->err, KLUIS_E_LIMIT, "too many values in one line"); }

enum { NODES = 8 }; /* made at once */

static struct json *node(struct in *in)
{
    if (in->n_nodes == 0) {
        in->nodes = kluis_arena_bare(in->arena, NODES * sizeof *in->nodes);
        if (in->nodes == NULL) { return NULL; }
        in->n_nodes = NODES;
    }
    struct json *v = in->nodes++;
    in->n_nodes--;
    *v = (struct json){ .type = JSON_NULL };
    return v;
}

static __attribute__((noinline)) void spaces(struct in *in)
{
    if (in->p < in->end && *in->p == '\n') { in->p++; } /* an indented line: what most exporters write */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    while (in->end - in->p >= 8) { /* eight at once, and as many of the next eight as are spaces */
        uint64_t w;
        memcpy(&w, in->p, sizeof w);
        w ^= UINT64_C(0x2020202020202020);
        in->p += w == 0 ? 8 : __builtin_ctzll(w) / 8;
        if (w != 0) { break; }
    }
#endif
    while (in->p < in->end && (*in->p == ' ' || *in->p == '\t' || *in->p == '\r' || *in->p == '\n')) { in->p++; }
}

static inline void space(struct in *in)
{
    if (in->p == in->end || (unsigned char)*in->p <= ' ') { spaces(in); }
}

static bool hex4(const char *p, const char *end, unsigned *out)
{
    if (end - p < 4) { return false; }
    unsigned v = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        unsigned d = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                     : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                     : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                            : 16;
        if (d == 16) { return false; }
        v = v << 4 | d;
    }
    *out = v;
    return true;
}

static bool hex2(const char *p, const char *end, unsigned *out)
{
    char four[4] = { '0', '0' };
    if (end - p < 2) { return false; }
    memcpy(four + 2, p, 2);
    return hex4(four, four + 4, out);
}

static char *put_utf8(char *w, unsigned c)
{
    if (c < 0x80) {
        *w++ = (char)c;
    } else if (c < 0x800) {
        *w++ = (char)(0xc0 | c >> 6);
        *w++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *w++ = (char)(0xe0 | c >> 12);
        *w++ = (char)(0x80 | (c >> 6 & 0x3f));
        *w++ = (char)(0x80 | (c & 0x3f));
    } else {
        *w++ = (char)(0xf0 | c >> 18);
        *w++ = (char)(0x80 | (c >> 12 & 0x3f));
        *w++ = (char)(0x80 | (c >> 6 & 0x3f));
        *w++ = (char)(0x80 | (c & 0x3f));
    }
    return w;
}

/* \uXXXX at p[0..5]; pairs are joined, half of one becomes U+FFFD. */
static bool unicode_escape(const char **p, const char *end, char **w, bool *damaged)
{
    unsigned c, low;
    if (!hex4(*p + 2, end, &c)) { return false; }
    *p += 6;
    if (c >= 0xd800 && c < 0xdc00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u' && hex4(*p + 2, end, &low) && low >= 0xdc00 && low < 0xe000) {
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        *p += 6;
    } else if (c >= 0xd800 && c < 0xe000) {
        c = 0xfffd;
        *damaged = true;
    }
    *w = put_utf8(*w, c);
    return true;
}

char json_begins(struct kluis_bytes head)
{
    size_t i = head.len >= 3 && memcmp(head.ptr, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    while (i < head.len && (head.ptr[i] == ' ' || head.ptr[i] == '\n' || head.ptr[i] == '\r' || head.ptr[i] == '\t')) { i++; }
    return i == head.len ? '\0' : (char)head.ptr[i];
}

const char *json_string_end(const char *p, const char *end)
{
    for (const char *q = p; q < end; q++) {
        q = memchr(q, '"', (size_t)(end - q));
        if (q == NULL) { return NULL; }
        size_t slashes = 0;
        while (q - slashes > p && q[-1 - (ptrdiff_t)slashes] == '\\') { slashes++; }
        if (slashes % 2 == 0) { return q; }
    }
    return NULL;
}

/* Bytes that are no UTF-8 become U+FFFD, one each. */
static kluis_status repair(struct in *in, struct kluis_str *s, bool *damaged)
{
    *damaged = true;
    char *text = kluis_arena_bare(in->arena, s->len * 3 + 1), *w = text;
    if (text == NULL) { return full(in); }
    for (size_t i = 0; i < s->len;) {
        size_t ok = kluis_utf8_valid(s->ptr + i, s->len - i);
        memcpy(w, s->ptr + i, ok);
        w += ok;
        i += ok;
        if (i < s->len) {
            w = put_utf8(w, 0xfffd);
            i++;
        }
    }
    *s = (struct kluis_str){ text, (size_t)(w - text) };
    return KLUIS_OK;
}

/* Where the first control character stands that no backslash stands before. */
static const char *control(const char *p)
{
    for (; (unsigned char)*p >= 0x20; p++) { p += *p == '\\'; }
    return p;
}

static kluis_status string(struct in *in, struct kluis_str *out, bool *damaged)
{
    const char *start = ++in->p;
    struct scan_met met = { 0, 0 };
    bool escapes = false;
    *damaged = false;
    while ((in->p = scan_to(in->p, in->end, '"', '\\', &met)) < in->end && *in->p == '\\') {
        escapes = true;
        if (in->end - in->p > 1) { met.high |= (unsigned char)in->p[1] >> 7; }
        in->p += in->end - in->p > 1 ? 2 : 1;
    }
    if (met.control != 0 && !in->loose) { /* in a loose one anything may stand */
        in->p = control(start);
        return bad(in, "a control character in a string");
    }
    if (in->p >= in->end) { return bad(in, "a string without end"); }
    const char *end = in->p++;
    size_t n = (size_t)(end - start);
    bool valid = met.high == 0 || kluis_utf8_valid(start, n) == n;
    if (!valid && !in->loose) { return bad(in, "text that is not UTF-8"); }
    if (!escapes) {
        *out = (struct kluis_str){ start, n };
        return valid ? KLUIS_OK : repair(in, out, damaged);
    }
    char *text = kluis_arena_bare(in->arena, n + 1), *w = text;
    unsigned byte;
    if (text == NULL) { return full(in); }
    for (const char *p = start; p < end;) {
        if (*p != '\\') {
            const char *q = memchr(p, '\\', (size_t)(end - p));
            size_t run = q == NULL ? (size_t)(end - p) : (size_t)(q - p);
            memcpy(w, p, run);
            w += run;
            p += run;
            continue;
        }
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        const char *at = p[1] == '\0' ? NULL : strchr(from, p[1]);
        if (at != NULL) {
            *w++ = to[at - from];
            p += 2;
        } else if (in->loose && p[1] == 'x' && hex2(p + 2, end, &byte)) {
            w = put_utf8(w, byte);
            p += 4;
        } else if (p[1] != 'u' || !unicode_escape(&p, end, &w, damaged)) {
            return bad(in, "an escape that JSON does not have");
        }
    }
    *out = (struct kluis_str){ text, (size_t)(w - text) };
    return valid ? KLUIS_OK : repair(in, out, damaged);
}

static bool digits(struct in *in)
{
    const char *p = in->p;
    while (in->p < in->end && *in->p >= '0' && *in->p <= '9') { in->p++; }
    return in->p > p;
}

static kluis_status number(struct in *in, struct kluis_str *out)
{
    const char *start = in->p;
    if (*in->p == '-') { in->p++; }
    const char *first = in->p;
    bool ok = digits(in) && !(*first == '0' && in->p - first > 1);
    if (ok && in->p < in->end && *in->p == '.') {
        in->p++;
        ok = digits(in);
    }
    if (ok && in->p < in->end && (*in->p == 'e' || *in->p == 'E')) {
        in->p++;
        if (in->p < in->end && (*in->p == '+' || *in->p == '-')) { in->p++; }
        ok = digits(in);
    }
    *out = (struct kluis_str){ start, (size_t)(in->p - start) };
    return ok ? KLUIS_OK : bad(in, "a malformed number");
}

static bool word(struct in *in, const char *w)
{
    size_t n = strlen(w);
    if ((size_t)(in->end - in->p) < n || memcmp(in->p, w, n) != 0) { return false; }
    in->p += n;
    return true;
}

static kluis_status value(struct in *in, struct json *v);

static kluis_status members(struct in *in, struct json *v, char close)
{
    struct json **tail = &v->child;
    unsigned n = 0;
    if (++in->depth > JSON_DEPTH_MAX) { return KLUIS_FAIL(in->err, KLUIS_E_LIMIT, "nested deeper than %d levels", (int)JSON_DEPTH_MAX); }
    in->p++;
    space(in);
    if (in->p < in->end && *in->p == close) {
        in->p++;
        in->depth--;
        return KLUIS_OK;
    }
    for (;;) {
        struct json *m = node(in);
        if (m == NULL) { return full(in); }
        space(in);
        if (v->type == JSON_OBJECT) {
            bool damaged;
            if (++n > JSON_MEMBERS_MAX) { return KLUIS_FAIL(in->err, KLUIS_E_LIMIT, "an object of more than %d members", (int)JSON_MEMBERS_MAX); }
            if (in->p >= in->end || *in->p != '"') { return bad(in, "a member without a name"); }
            KLUIS_TRY(string(in, &m->key, &damaged));
            for (const struct json *o = in->loose ? NULL : v->child; o != NULL; o = o->next) {
                if (o->key.len == m->key.len && memcmp(o->key.ptr, m->key.ptr, m->key.len) == 0) { return bad(in, "the same member twice"); }
            }
            space(in);
            if (in->p >= in->end || *in->p != ':') { return bad(in, "a name without ':'"); }
            in->p++;
            space(in);
        }
        KLUIS_TRY(value(in, m));
        *tail = m;
        tail = &m->next;
        space(in);
        if (in->p < in->end && *in->p == ',') {
            in->p++;
            continue;
        }
        if (in->p < in->end && *in->p == close) { break; }
        return bad(in, in->p >= in->end ? "it ends in the middle" : "neither ',' nor an end");
    }
    in->p++;
    in->depth--;
    return KLUIS_OK;
}

static kluis_status value(struct in *in, struct json *v)
{
    kluis_status rc = KLUIS_OK;
    const char *start = in->p;
    if (in->p >= in->end) { return bad(in, "it ends in the middle"); }
    switch (*in->p) {
    case '{':
        v->type = JSON_OBJECT;
        rc = members(in, v, '}');
        break;
    case '[':
        v->type = JSON_ARRAY;
        rc = members(in, v, ']');
        break;
    case '"':
        v->type = JSON_STRING;
        rc = string(in, &v->text, &v->damaged);
        break;
    case 't':
        v->type = JSON_TRUE;
        rc = word(in, "true") ? KLUIS_OK : bad(in, "an unknown word");
        break;
    case 'f':
        v->type = JSON_FALSE;
        rc = word(in, "false") ? KLUIS_OK : bad(in, "an unknown word");
        break;
    case 'n':
        v->type = JSON_NULL;
        rc = word(in, "null") ? KLUIS_OK : bad(in, "an unknown word");
        break;
    default: v->type = JSON_NUMBER; rc = *in->p == '-' || (*in->p >= '0' && *in->p <= '9') ? number(in, &v->text) : bad(in, "no value");
    }
    v->raw = (struct kluis_str){ start, (size_t)(in->p - start) };
    return rc;
}

/* used NULL: nothing but white space may follow. */
static kluis_status read_as(bool loose, struct kluis_str line, size_t *used, struct kluis_arena *arena, struct json **out, struct kluis_err *err)
{
    struct in in = { .line = line.ptr, .p = line.ptr, .end = line.ptr + line.len, .arena = arena, .err = err, .loose = loose };
    struct json *v = node(&in);
    *out = NULL;
    if (v == NULL) { return full(&in); }
    space(&in);
    KLUIS_TRY(value(&in, v));
    if (used != NULL) {
        *used = (size_t)(in.p - in.line);
    } else {
        space(&in);
        if (in.p != in.end) { return bad(&in, "something after the value"); }
    }
    *out = v;
    return KLUIS_OK;
}

kluis_status json_read(struct kluis_str line, struct kluis_arena *arena, struct json **out, struct kluis_err *err)
{
    return read_as(false, line, NULL, arena, out, err);
}

kluis_status json_read_loose(struct kluis_str text, struct kluis_arena *arena, struct json **out, struct kluis_err *err)
{
    return read_as(true, text, NULL, arena, out, err);
}

kluis_status json_read_first(struct kluis_str text, struct kluis_arena *arena, struct json **out, size_t *used, struct kluis_err *err)
{
    return read_as(true, text, used, arena, out, err);
}

/* ---- looking ------------------------------------------------------------------------------------- */

struct json *json_get_n(struct json *object, const char *name, size_t n)
{
    if (object == NULL || object->type != JSON_OBJECT || n == 0) { return NULL; }
    for (struct json *m = object->child; m != NULL; m = m->next) {
        if (m->key.len != n || m->key.ptr[0] != name[0] || memcmp(m->key.ptr, name, n) != 0) { continue; }
        if (m->used == 0) { m->used = 1; }
        return m->type == JSON_NULL ? NULL : m;
    }
    return NULL;
}

/* A member of another type than asked for is not looked at: it stays among what is kept raw. */
struct json *json_typed_n(struct json *object, const char *name, size_t n, enum json_type t)
{
    struct json *m = json_get_n(object, name, n);
    if (m == NULL || m->type == t) { return m; }
    m->used = 0;
    return NULL;
}

struct kluis_str json_string_n(struct json *object, const char *name, size_t n)
{
    const struct json *m = json_typed_n(object, name, n, JSON_STRING);
    return m == NULL || m->text.len == 0 ? (struct kluis_str){ NULL, 0 } : m->text;
}

struct kluis_str json_text_n(struct json *object, const char *name, size_t n)
{
    const struct json *m = json_get_n(object, name, n);
    if (m != NULL && (m->type == JSON_STRING || m->type == JSON_NUMBER) && m->text.len > 0) { return m->text; }
    return (struct kluis_str){ NULL, 0 };
}

bool json_value_u64(const struct json *v, uint64_t *out)
{
    if (v == NULL || (v->type != JSON_NUMBER && v->type != JSON_STRING) || v->text.len == 0 || v->text.len > 20) { return false; }
    uint64_t n = 0;
    for (size_t i = 0; i < v->text.len; i++) {
        unsigned d = (unsigned)(v->text.ptr[i] - '0');
        if (d > 9 || n > (UINT64_MAX - d) / 10) { return false; }
        n = n * 10 + d;
    }
    *out = n;
    return true;
}

bool json_u64_n(struct json *object, const char *name, size_t n, uint64_t *out)
{
    struct json *m = json_get_n(object, name, n);
    if (m == NULL) { return false; }
    bool ok = json_value_u64(m, out);
    m->used = ok ? 1 : 0;
    return ok;
}

bool json_i64_n(struct json *object, const char *name, size_t length, int64_t *out)
{
    struct json *m = json_get_n(object, name, length);
    if (m == NULL) { return false; }
    struct json v = *m;
    uint64_t n = 0;
    bool minus = v.text.len > 0 && v.text.ptr[0] == '-' && (v.type == JSON_NUMBER || v.type == JSON_STRING);
    if (minus) { v.text = (struct kluis_str){ v.text.ptr + 1, v.text.len - 1 }; }
    bool ok = json_value_u64(&v, &n) && n <= (uint64_t)INT64_MAX;
    m->used = ok ? 1 : 0;
    if (ok) { *out = minus ? -(int64_t)n : (int64_t)n; }
    return ok;
}

bool json_true_n(struct json *object, const char *name, size_t n)
{
    struct json *m = json_get_n(object, name, n);
    if (m == NULL) { return false; }
    m->used = m->type == JSON_TRUE || m->type == JSON_FALSE ? 1 : 0;
    return m->type == JSON_TRUE;
}

struct json *json_whole(struct json *v)
{
    if (v != NULL) { v->used = 2; }
    return v;
}

void json_ignore(struct json *object, const char *name) { (void)json_whole(json_get(object, name)); }

static void show(const struct json *v, struct kluis_buf *b)
{
    switch (v->type) {
    case JSON_NULL: kluis_buf_cstr(b, "null"); return;
    case JSON_FALSE: kluis_buf_cstr(b, "false"); return;
    case JSON_TRUE: kluis_buf_cstr(b, "true"); return;
    case JSON_NUMBER: kluis_buf_str(b, v->text); return;
    case JSON_STRING: kluis_buf_json(b, v->text); return;
    case JSON_ARRAY:
    case JSON_OBJECT: break;
    }
    kluis_buf_byte(b, v->type == JSON_OBJECT ? '{' : '[');
    for (const struct json *m = v->child; m != NULL; m = m->next) {
        if (m != v->child) { kluis_buf_byte(b, ','); }
        if (v->type == JSON_OBJECT) {
            kluis_buf_json(b, m->key);
            kluis_buf_byte(b, ':');
        }
        show(m, b);
    }
    kluis_buf_byte(b, v->type == JSON_OBJECT ? '}' : ']');
}

struct kluis_str json_shown(const struct json *v, struct kluis_arena *arena)
{
    if (!v->wire) { return v->raw; }
    KLUIS_AUTO_BUF(b, 64 << 20);
    show(v, &b);
    const char *p = b.status == KLUIS_OK ? kluis_arena_strndup(arena, (const char *)b.data, b.len) : NULL;
    return (struct kluis_str){ p, p != NULL ? b.len : 0 };
}
