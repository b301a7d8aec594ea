/* html.c - see html.h. */
#include "agent/source/html.h"

enum { LISTS_MAX = 16, HREF_MAX = 4096, WASTE_MAX = 16 << 20, LOOK_SHORT = 256 };

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }
static bool space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f'; }
static bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static bool same(struct kluis_str s, const char *name)
{
    size_t i = 0;
    while (i < s.len && name[i] != '\0' && lower(s.ptr[i]) == name[i]) { i++; }
    return i == s.len && name[i] == '\0';
}

bool html_is(const struct html_tag *t, const char *name) { return same(t->name, name); }

/* ---- entities ----------------------------------------------------------------------------------------------------------- */

static void put(struct kluis_buf *b, unsigned c)
{
    if (c >= 0x80 && c <= 0x9f) { /* HTML reads these as Windows-1252 */
        static const uint16_t cp1252[32] = { 0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021, 0x2c6,  0x2030, 0x160,
                                             0x2039, 0x152,  0x8d,   0x17d,  0x8f,   0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
                                             0x2013, 0x2014, 0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0x9d,   0x17e,  0x178 };
        c = cp1252[c - 0x80];
    }
    if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) { c = 0xfffd; }
    if (c < 0x80) {
        kluis_buf_byte(b, (uint8_t)c);
        return;
    }
    uint8_t u[4];
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6) { u[i] = (uint8_t)(0x80 | (c & 0x3f)); }
    u[0] = (uint8_t)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | c);
    kluis_buf_add(b, u, n);
}

/* At '&': how many bytes are an entity (0: none), and which character. */
static size_t entity(const char *p, const char *end, unsigned *c)
{
    size_t n = (size_t)(end - p), i = 1;
    if (n > 2 && p[1] == '#') {
        bool hex = p[2] == 'x' || p[2] == 'X';
        unsigned v = 0, digits = 0;
        for (i = hex ? 3 : 2; i < n; i++, digits++) {
            char d = lower(p[i]);
            unsigned k = d >= '0' && d <= '9' ? (unsigned)(d - '0') : hex && d >= 'a' && d <= 'f' ? (unsigned)(d - 'a') + 10 : 16;
            if (k == 16) { break; }
            v = v > 0x10ffff ? v : v * (hex ? 16 : 10) + k;
        }
        *c = v;
        return digits == 0 ? 0 : i + (i < n && p[i] == ';');
    }
    while (i < n && i < 12 && (letter(p[i]) || (p[i] >= '0' && p[i] <= '9'))) { i++; }
    if (i == n || p[i] != ';') { return 0; } /* "AT&T" and "a&b=c" are no entities */
    *c = html_entity((struct kluis_str){ p + 1, i - 1 });
    return *c == 0 ? 0 : i + 1;
}

void html_decode(struct kluis_str s, struct kluis_buf *out)
{
    for (const char *p = s.ptr, *end = s.ptr + s.len; p < end;) {
        const char *q = memchr(p, '&', (size_t)(end - p));
        if (q == NULL) { q = end; }
        kluis_buf_add(out, p, (size_t)(q - p));
        if (q == end) { return; }
        unsigned c = 0;
        size_t n = entity(q, end, &c);
        if (n > 0) {
            put(out, c);
        } else {
            kluis_buf_byte(out, '&');
        }
        p = q + (n > 0 ? n : 1);
    }
}

/* ---- tags --------------------------------------------------------------------------------------------------------------- */

/* At '<': how many bytes are a tag or comment; 0: it is text. */
static size_t tag_at(const char *p, const char *end, struct html_tag *t)
{
    size_t n = (size_t)(end - p), i = 1;
    *t = (struct html_tag){ { NULL, 0 }, { NULL, 0 }, { NULL, 0 }, false, false };
    if (n >= 4 && memcmp(p, "<!--", 4) == 0) {
        const char *q = memmem(p + 4, n - 4, "-->", 3);
        return q == NULL ? 0 : (size_t)(q + 3 - p);
    }
    if (n > 1 && (p[1] == '!' || p[1] == '?')) {
        const char *q = memchr(p, '>', n);
        return q == NULL ? 0 : (size_t)(q + 1 - p);
    }
    if (n > 1 && p[1] == '/') {
        t->close = true;
        i++;
    }
    if (i >= n || !letter(p[i])) { return 0; }
    size_t from = i;
    while (i < n && !space(p[i]) && p[i] != '>' && p[i] != '/' && p[i] != '<') { i++; }
    t->name = (struct kluis_str){ p + from, i - from };
    from = i;
    for (char quote = 0; i < n; i++) {
        if (quote != 0) {
            if (p[i] == quote) { quote = 0; }
        } else if ((p[i] == '"' || p[i] == '\'') && i > 0 && p[i - 1] == '=') {
            quote = p[i];
        } else if (p[i] == '>') {
            break;
        }
    }
    if (i == n) { return 0; }
    t->alone = i > from && p[i - 1] == '/';
    t->attrs = (struct kluis_str){ p + from, i - from - (t->alone ? 1 : 0) };
    return i + 1;
}

struct kluis_str html_attr(const struct html_tag *t, const char *name, struct kluis_arena *a)
{
    const char *p = t->attrs.ptr, *end = p + t->attrs.len;
    while (p < end) {
        while (p < end && (space(*p) || *p == '/')) { p++; }
        const char *from = p;
        while (p < end && !space(*p) && *p != '=') { p++; }
        struct kluis_str key = { from, (size_t)(p - from) }, value = { "", 0 };
        while (p < end && space(*p)) { p++; }
        if (p < end && *p == '=') {
            p++;
            while (p < end && space(*p)) { p++; }
            char quote = p < end && (*p == '"' || *p == '\'') ? *p++ : 0;
            from = p;
            while (p < end && (quote != 0 ? *p != quote : !space(*p))) { p++; }
            value = (struct kluis_str){ from, (size_t)(p - from) };
            if (quote != 0 && p < end) { p++; }
        } else if (key.len == 0) {
            break;
        }
        if (!same(key, name)) { continue; }
        KLUIS_AUTO_BUF(b, 1 << 20);
        html_decode(value, &b);
        return b.status == KLUIS_OK ? kluis_arena_str(a, (struct kluis_str){ b.len == 0 ? "" : (const char *)b.data, b.len })
                                    : (struct kluis_str){ NULL, 0 };
    }
    return (struct kluis_str){ NULL, 0 };
}

bool html_next(struct kluis_str *rest, struct html_tag *t, struct kluis_str *words)
{
    *words = (struct kluis_str){ NULL, 0 };
    if (rest->len == 0) { return false; }
    const char *p = rest->ptr, *end = p + rest->len, *q = memchr(p, '<', rest->len);
    size_t n = q == p ? tag_at(p, end, t) : 0;
    if (n == 0) {
        const char *next = memchr(p + 1, '<', rest->len - 1);
        n = next == NULL ? rest->len : (size_t)(next - p);
        *words = (struct kluis_str){ p, n };
    }
    *rest = (struct kluis_str){ p + n, rest->len - n };
    if (words->ptr == NULL) { t->after = *rest; }
    return true;
}

struct kluis_str html_inside(struct kluis_str xml, const char *name, struct kluis_arena *a)
{
    struct html_tag t;
    struct kluis_str words;
    while (html_next(&xml, &t, &words)) {
        if (words.ptr != NULL || t.name.ptr == NULL || t.close || !html_is(&t, name)) { continue; }
        KLUIS_AUTO_BUF(b, 1 << 20);
        if (!t.alone && html_next(&xml, &t, &words) && words.ptr != NULL) { html_decode(words, &b); }
        return b.status == KLUIS_OK ? kluis_arena_str(a, (struct kluis_str){ b.len == 0 ? "" : (const char *)b.data, b.len })
                                    : (struct kluis_str){ NULL, 0 };
    }
    return (struct kluis_str){ NULL, 0 };
}

/* ---- text --------------------------------------------------------------------------------------------------------------- */

struct state {
    struct kluis_buf *out, *aside, *to;
    size_t from; /* of this text in out */
    size_t aside_from;
    bool keep_space;
    bool gap; /* a space is due before the next word */
    unsigned pre, depth;
    int lists[LISTS_MAX]; /* -1: dots; else the last number */
    unsigned n_lists;
    struct off { /* an element whose inside goes elsewhere: until its name was closed as often as opened */
        struct kluis_str name;
        unsigned depth;
    } away, skipped;
    bool skip;
    char href[HREF_MAX];
    size_t n_href, href_from;
    bool in_link;
};

static size_t begin_of(const struct state *s) { return s->to == s->out ? s->from : s->aside_from; }
static bool at_line_start(const struct state *s) { return s->to->len == begin_of(s) || s->to->data[s->to->len - 1] == '\n'; }

static void line(struct state *s)
{
    s->gap = false;
    if (s->skip) { return; }
    while (!s->keep_space && s->pre == 0 && s->to->len > begin_of(s) && s->to->data[s->to->len - 1] == ' ') { s->to->len--; }
    if (!at_line_start(s)) { kluis_buf_byte(s->to, '\n'); }
}

static void words(struct state *s, struct kluis_str t)
{
    if (s->skip) { return; }
    if (s->keep_space || s->pre > 0) {
        html_decode(t, s->to);
        return;
    }
    for (const char *p = t.ptr, *end = p + t.len; p < end;) {
        const char *q = p;
        while (q < end && space(*q)) { q++; }
        s->gap |= q > p;
        p = q;
        while (q < end && !space(*q)) { q++; }
        if (q == p) { break; }
        if (s->gap && !at_line_start(s) && s->to->data[s->to->len - 1] != '\t') { kluis_buf_byte(s->to, ' '); }
        s->gap = false;
        html_decode((struct kluis_str){ p, (size_t)(q - p) }, s->to);
        p = q;
    }
}

static bool one_of(const struct html_tag *t, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (html_is(t, *names)) { return true; }
    }
    return false;
}

static void link_begin(struct state *s, const struct html_tag *t, struct kluis_arena *a)
{
    struct kluis_str href = html_attr(t, "href", a);
    s->in_link = href.len > 0 && href.len < HREF_MAX && s->to == s->out && !s->skip;
    if (!s->in_link) { return; }
    memcpy(s->href, href.ptr, href.len);
    s->n_href = href.len;
    s->href_from = s->to->len;
}

static void link_end(struct state *s)
{
    if (!s->in_link || s->to != s->out || s->href_from > s->to->len) { return; }
    s->in_link = false;
    const char *words = (const char *)s->to->data + s->href_from, *href = s->href;
    size_t n = s->to->len - s->href_from, h = s->n_href;
    while (n > 0 && words[0] == ' ') {
        words++;
        n--;
    }
    if (h > 0 && href[h - 1] == '/') { h--; }
    if (n > 0 && words[n - 1] == '/') { n--; }
    bool shown = n <= h && n > 0 && memcmp(href + (h - n), words, n) == 0 && (h == n || href[h - n - 1] == '/' || href[h - n - 1] == ':');
    if (shown) { return; } /* "https://a.nl/", "a.nl" and "mailto:x@a.nl" say themselves */
    kluis_buf_fmt(s->to, "%s<%.*s>", n > 0 ? " " : "", (int)s->n_href, s->href);
}

static void item(struct state *s)
{
    line(s);
    if (s->skip) { return; }
    int *l = s->n_lists > 0 && s->n_lists <= LISTS_MAX ? &s->lists[s->n_lists - 1] : NULL;
    if (l != NULL && *l >= 0) {
        kluis_buf_fmt(s->to, "%d. ", ++*l);
    } else {
        kluis_buf_cstr(s->to, "- ");
    }
}

static void usual(struct state *s, const struct html_tag *t, struct kluis_arena *a)
{
    static const char *const blocks[] = { "p",  "div", "ul", "ol", "table", "tr", "blockquote", "pre",     "codeblock", "h1",      "h2", "h3",
                                          "h4", "h5",  "h6", "hr", "dl",    "dt", "dd",         "section", "form",      "article", NULL };
    if (html_is(t, "br")) {
        s->gap = false;
        if (!s->skip) { kluis_buf_byte(s->to, '\n'); }
    } else if (html_is(t, "li")) {
        if (!t->close) { item(s); }
    } else if (html_is(t, "td") || html_is(t, "th")) {
        s->gap = false;
        if (!t->close && !s->skip && !at_line_start(s)) { kluis_buf_byte(s->to, '\t'); }
    } else if (html_is(t, "a")) {
        if (t->close) {
            link_end(s);
        } else {
            link_begin(s, t, a);
        }
    } else if (html_is(t, "img")) {
        struct kluis_str alt = html_attr(t, "alt", a);
        if (alt.len > 0) { words(s, alt); }
    } else if (one_of(t, blocks)) {
        line(s);
        if (html_is(t, "ul") || html_is(t, "ol")) {
            if (t->close) {
                s->n_lists -= s->n_lists > 0;
            } else {
                s->n_lists++;
                if (s->n_lists <= LISTS_MAX) { s->lists[s->n_lists - 1] = html_is(t, "ol") ? 0 : -1; }
            }
        }
        if (html_is(t, "pre") || html_is(t, "codeblock")) { s->pre = t->close ? s->pre - (s->pre > 0) : s->pre + 1; }
    }
}

static void begin_off(struct state *s, const struct html_tag *t, bool skip)
{
    struct off *o = skip ? &s->skipped : &s->away;
    if (t->alone || o->name.ptr != NULL) { return; }
    *o = (struct off){ t->name, 1 };
    s->gap = false;
    s->skip = skip;
    if (!skip) { s->to = s->aside; }
}

/* true: the tag ends it. */
static bool ends_off(struct off *o, const struct html_tag *t)
{
    if (o->name.ptr == NULL || t->name.len != o->name.len) { return false; }
    for (size_t i = 0; i < t->name.len; i++) {
        if (lower(t->name.ptr[i]) != lower(o->name.ptr[i])) { return false; }
    }
    if (!t->close) {
        o->depth += !t->alone;
        return false;
    }
    if (--o->depth > 0) { return false; }
    o->name = (struct kluis_str){ NULL, 0 };
    return true;
}

static void tag(struct state *s, const struct html_tag *t, const struct html_hook *hook, struct kluis_arena *a)
{
    enum html_do what = HTML_USUAL;
    if (t->name.ptr == NULL) { return; }
    if (s->skip) {
        s->skip = !ends_off(&s->skipped, t);
        return;
    }
    if (ends_off(&s->away, t)) {
        s->to = s->out;
        s->gap = false;
        return;
    }
    if (!t->close && hook != NULL) {
        if (s->gap && !s->keep_space && !at_line_start(s)) { kluis_buf_byte(s->to, ' '); }
        s->gap = false;
        what = hook->tag(hook->ctx, t, s->to);
    }
    if (!t->close && (html_is(t, "script") || html_is(t, "style") || html_is(t, "title"))) { what = HTML_SKIP; }
    if (what == HTML_ASIDE && s->away.name.ptr != NULL) { what = HTML_USUAL; } /* inside one that goes there already */
    if (what == HTML_ASIDE && s->aside == NULL) { what = HTML_SKIP; }
    switch (what) {
    case HTML_USUAL: usual(s, t, a); return;
    case HTML_DONE: return;
    case HTML_ASIDE: begin_off(s, t, false); return;
    case HTML_SKIP: begin_off(s, t, true); return;
    }
}

static void trim(struct kluis_buf *b, size_t from)
{
    while (b->len > from && (b->data[b->len - 1] == '\n' || b->data[b->len - 1] == '\t' || b->data[b->len - 1] == ' ')) { b->len--; }
}

void html_text(struct kluis_str html, bool keep_space, const struct html_hook *hook, struct kluis_buf *out, struct kluis_buf *aside)
{
    struct state s = {
        .out = out, .aside = aside, .to = out, .from = out->len, .aside_from = aside == NULL ? 0 : aside->len, .keep_space = keep_space
    };
    KLUIS_AUTO(kluis_arena) a = kluis_arena_new(1 << 20);
    if (a == NULL) {
        out->status = KLUIS_E_NOMEM;
        return;
    }
    size_t wasted = 0; /* on what turned out to be no tag: of hostile text every '<' might look to the end */
    for (const char *p = html.ptr, *end = p + html.len; p < end;) {
        struct html_tag t;
        const char *q = memchr(p, '<', (size_t)(end - p));
        if (q == NULL) { q = end; }
        if (q > p) { words(&s, (struct kluis_str){ p, (size_t)(q - p) }); }
        if (q == end) { break; }
        size_t left = (size_t)(end - q), look = wasted > WASTE_MAX && left > LOOK_SHORT ? LOOK_SHORT : left, n = tag_at(q, q + look, &t);
        if (n == 0) {
            if (look > 1 && (letter(q[1]) || q[1] == '/' || q[1] == '!' || q[1] == '?')) { wasted += look; }
            words(&s, (struct kluis_str){ q, 1 });
        } else {
            t.after = (struct kluis_str){ q + n, (size_t)(end - q) - n };
            tag(&s, &t, hook, a);
            kluis_arena_clear(a);
        }
        p = q + (n == 0 ? 1 : n);
    }
    trim(out, s.from);
    if (aside != NULL) { trim(aside, s.aside_from); }
}
