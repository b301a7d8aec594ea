/* server/index/query.c - what a person typed, to an expression FTS5 cannot misread.  See internal.h.
 *
 * or := and ("OR" and)*      and := unary+      unary := "-" unary | "(" or ")" | "phrase" | word | prefix*
 * Every word and phrase goes out as an FTS5 string with its quotes doubled and its columns named, so nothing typed is ever syntax there.
 * FTS5 knows no lonely NOT: where a list has only exclusions, it excludes from everything.
 */
#include "server/index/internal.h"

enum { TERMS_MAX = 32, DEPTH_MAX = 8 };
enum kind { TERM, ALL, ANY };

struct node {
    enum kind kind;
    bool no;
    struct kluis_str raw;
    bool prefix;
    struct node *child, *next;
};
struct parser {
    const char *p;
    size_t n, at;
    unsigned terms, depth;
    struct kluis_arena *arena;
    struct iquery *out;
    struct kluis_err *err;
};

static kluis_status parse_or(struct parser *s, struct node **out);

/* '"' and the quotes that phones make of it: length, or 0. */
static size_t quote_at(const struct parser *s, size_t at)
{
    if (at < s->n && s->p[at] == '"') { return 1; }
    if (at + 3 <= s->n && memcmp(s->p + at, "\xe2\x80", 2) == 0) {
        unsigned char c = (unsigned char)s->p[at + 2];
        return c >= 0x9c && c <= 0x9f ? 3 : 0;
    }
    return 0;
}

static bool space_at(const struct parser *s, size_t at) { return s->p[at] == ' ' || (s->p[at] >= '\t' && s->p[at] <= '\r'); }

static int count_word(void *ctx, KLUIS_UNUSED const char *w, KLUIS_UNUSED int n, KLUIS_UNUSED int start, KLUIS_UNUSED int end)
{
    ++*(size_t *)ctx;
    return 0;
}
static int longest_word(void *ctx, KLUIS_UNUSED const char *w, int n, KLUIS_UNUSED int start, KLUIS_UNUSED int end)
{
    *(int *)ctx = n; /* of the last word */
    return 0;
}

static kluis_status term(struct parser *s, struct kluis_str raw, bool prefix, size_t at, struct node **out)
{
    size_t words = 0;
    (void)itoken_each(raw.ptr, raw.len, &words, count_word);
    *out = NULL;
    if (words == 0) { return KLUIS_OK; } /* only punctuation: no restriction */
    int last = 0;
    (void)itoken_each(raw.ptr, raw.len, &last, longest_word);
    if (prefix && last < 2) { return KLUIS_FAIL(s->err, KLUIS_E_REJECT, "a prefix needs at least 2 letters before the *, at position %zu", at + 1); }
    if (++s->terms > TERMS_MAX) { return KLUIS_FAIL(s->err, KLUIS_E_REJECT, "more than %d words or phrases, at position %zu", TERMS_MAX, at + 1); }
    struct node *t = kluis_arena_alloc(s->arena, sizeof *t);
    if (t == NULL) { return KLUIS_FAIL(s->err, KLUIS_E_NOMEM, "out of memory"); }
    t->kind = TERM;
    t->raw = raw;
    t->prefix = prefix;
    *out = t;
    return KLUIS_OK;
}

static kluis_status parse_phrase(struct parser *s, size_t open, struct node **out)
{
    size_t at = s->at, start = s->at + open, end = start;
    while (end < s->n && quote_at(s, end) == 0) { end++; }
    if (end == s->n) { return KLUIS_FAIL(s->err, KLUIS_E_REJECT, "a quote at position %zu is never closed", at + 1); }
    s->at = end + quote_at(s, end);
    bool prefix = s->at < s->n && s->p[s->at] == '*';
    s->at += prefix ? 1 : 0;
    return term(s, (struct kluis_str){ s->p + start, end - start }, prefix, at, out);
}

static kluis_status parse_unary(struct parser *s, struct node **out)
{
    bool no = false;
    size_t at = s->at;
    while (s->at + 1 < s->n && s->p[s->at] == '-' && !space_at(s, s->at + 1)) {
        no = !no;
        s->at++;
    }
    kluis_status rc = KLUIS_OK;
    size_t quote = quote_at(s, s->at);
    if (s->p[s->at] == '(') {
        s->at++;
        if (++s->depth > DEPTH_MAX) { return KLUIS_FAIL(s->err, KLUIS_E_REJECT, "parentheses deeper than %d, at position %zu", DEPTH_MAX, at + 1); }
        rc = parse_or(s, out);
        s->depth--;
        if (rc == KLUIS_OK && (s->at >= s->n || s->p[s->at] != ')')) {
            return KLUIS_FAIL(s->err, KLUIS_E_REJECT, "the parenthesis at position %zu is never closed", at + 1);
        }
        s->at++;
    } else if (quote > 0) {
        rc = parse_phrase(s, quote, out);
    } else {
        size_t start = s->at;
        while (s->at < s->n && !space_at(s, s->at) && s->p[s->at] != '(' && s->p[s->at] != ')' && quote_at(s, s->at) == 0) { s->at++; }
        size_t end = s->at;
        bool prefix = end > start && s->p[end - 1] == '*';
        rc = term(s, (struct kluis_str){ s->p + start, end - start - (prefix ? 1 : 0) }, prefix, at, out);
    }
    if (rc == KLUIS_OK && *out != NULL && no) { (*out)->no = !(*out)->no; }
    return rc;
}

static bool or_at(const struct parser *s)
{
    return s->at + 2 <= s->n && memcmp(s->p + s->at, "OR", 2) == 0 &&
           (s->at + 2 == s->n || space_at(s, s->at + 2) || s->p[s->at + 2] == '(' || s->p[s->at + 2] == ')' || quote_at(s, s->at + 2) != 0);
}

static void skip_space(struct parser *s)
{
    while (s->at < s->n && space_at(s, s->at)) { s->at++; }
}

/* A list of one is its only member. */
static kluis_status wrap(struct parser *s, enum kind kind, struct node *list, struct node **out)
{
    *out = list;
    if (list == NULL || list->next == NULL) { return KLUIS_OK; }
    struct node *n = kluis_arena_alloc(s->arena, sizeof *n);
    if (n == NULL) { return KLUIS_FAIL(s->err, KLUIS_E_NOMEM, "out of memory"); }
    n->kind = kind;
    n->child = list;
    *out = n;
    return KLUIS_OK;
}

static kluis_status parse_and(struct parser *s, bool *any, struct node **out)
{
    struct node *list = NULL, **tail = &list;
    *any = false;
    for (skip_space(s); s->at < s->n && s->p[s->at] != ')' && !or_at(s); skip_space(s)) {
        struct node *n = NULL;
        KLUIS_TRY(parse_unary(s, &n));
        *any = true;
        if (n != NULL) {
            *tail = n;
            tail = &n->next;
        }
    }
    return wrap(s, ALL, list, out);
}

static kluis_status parse_or(struct parser *s, struct node **out)
{
    struct node *list = NULL, **tail = &list;
    for (;;) {
        size_t at = s->at;
        bool any = false;
        struct node *n = NULL;
        KLUIS_TRY(parse_and(s, &any, &n));
        bool more = s->at < s->n && or_at(s);
        if (!any && (more || list != NULL)) { return KLUIS_FAIL(s->err, KLUIS_E_REJECT, "OR needs a word on both sides, at position %zu", at + 1); }
        if (n != NULL) {
            *tail = n;
            tail = &n->next;
        }
        if (!more) { break; }
        s->at += 2;
    }
    return wrap(s, ANY, list, out);
}

/* ---- out ---- */

static void put_quoted(struct kluis_buf *b, struct kluis_str s)
{
    kluis_buf_byte(b, '"');
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '"') { kluis_buf_byte(b, '"'); }
        kluis_buf_byte(b, (uint8_t)s.ptr[i]);
    }
    kluis_buf_byte(b, '"');
}

static int add_word(void *ctx, const char *word, int n, KLUIS_UNUSED int start, KLUIS_UNUSED int end)
{
    struct iphrase *f = ctx;
    if (f->n == IPHRASE_WORDS) { return 1; } /* marks match the first words; FTS5 matches all */
    f->words[f->n].ptr = kluis_arena_strndup(f->arena, word, (size_t)n);
    f->words[f->n].len = f->words[f->n].ptr == NULL ? 0 : (size_t)n;
    f->n++;
    return 0;
}

static void put(struct parser *s, const struct node *n, const char *everything, bool wanted, struct kluis_buf *b);

static void put_list(struct parser *s, const struct node *list, bool no, const char *glue, const char *everything, bool wanted, struct kluis_buf *b)
{
    bool first = true;
    for (const struct node *n = list; n != NULL; n = n->next) {
        if (n->no != no) { continue; }
        if (!first) { kluis_buf_cstr(b, glue); }
        first = false;
        put(s, n, everything, no ? !wanted : wanted, b);
    }
}

/* `n` itself, its own `no` left to the caller. */
static void put(struct parser *s, const struct node *n, const char *everything, bool wanted, struct kluis_buf *b)
{
    if (n->kind == TERM) {
        kluis_buf_cstr(b, "({text side} : ");
        put_quoted(b, n->raw);
        kluis_buf_cstr(b, n->prefix ? " *)" : ")");
        if (wanted && s->out->n_phrases < IPHRASES) {
            struct iphrase *f = &s->out->phrases[s->out->n_phrases++];
            *f = (struct iphrase){ .arena = s->arena, .prefix = n->prefix };
            (void)itoken_each(n->raw.ptr, n->raw.len, f, add_word);
        }
        return;
    }
    if (n->kind == ANY) {
        kluis_buf_byte(b, '(');
        bool first = true;
        for (const struct node *c = n->child; c != NULL; c = c->next) {
            if (!first) { kluis_buf_cstr(b, " OR "); }
            first = false;
            if (c->no) { kluis_buf_fmt(b, "(%s NOT ", everything); }
            put(s, c, everything, c->no ? !wanted : wanted, b);
            if (c->no) { kluis_buf_byte(b, ')'); }
        }
        kluis_buf_byte(b, ')');
        return;
    }
    bool yes = false, no = false;
    for (const struct node *c = n->child; c != NULL; c = c->next) {
        if (c->no) {
            no = true;
        } else {
            yes = true;
        }
    }
    kluis_buf_cstr(b, "((");
    if (yes) {
        put_list(s, n->child, false, " AND ", everything, wanted, b);
    } else {
        kluis_buf_cstr(b, everything);
    }
    kluis_buf_byte(b, ')');
    if (no) {
        kluis_buf_cstr(b, " NOT (");
        put_list(s, n->child, true, " OR ", everything, wanted, b);
        kluis_buf_byte(b, ')');
    }
    kluis_buf_byte(b, ')');
}

kluis_status iquery_parse(struct kluis_str text, const char *everything, struct kluis_arena *arena, struct kluis_buf *fts, struct iquery *out,
                          struct kluis_err *err)
{
    *out = (struct iquery){ 0 };
    if (text.len > INDEX_QUERY_MAX) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "a query of %zu bytes; at most %d", text.len, INDEX_QUERY_MAX); }
    if (text.len > 0 && (kluis_utf8_valid(text.ptr, text.len) != text.len || memchr(text.ptr, 0, text.len) != NULL)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "the query is not text");
    }
    struct parser s = { .p = text.ptr, .n = text.len, .arena = arena, .out = out, .err = err };
    skip_space(&s);
    if (s.at == s.n) {
        kluis_buf_cstr(fts, everything);
        return KLUIS_OK;
    }
    struct node *root = NULL;
    KLUIS_TRY(parse_or(&s, &root));
    if (s.at < s.n) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "a closing parenthesis too many, at position %zu", s.at + 1); }
    if (root == NULL) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "no word to search for: only punctuation"); }
    if (root->no) { kluis_buf_fmt(fts, "(%s NOT ", everything); }
    put(&s, root, everything, !root->no, fts);
    if (root->no) { kluis_buf_byte(fts, ')'); }
    return KLUIS_OK;
}

/* ---- marks ---- */

struct marking {
    const struct iquery *q;
    uint32_t *out;
    size_t n, seen;
    uint32_t starts[IPHRASE_WORDS]; /* of the last words */
    uint32_t open[IPHRASES];        /* bit i: the last i + 1 words are the first ones of that phrase */
};

/* Of the phrase's words in `may`, those that this one is. */
static uint32_t matches(const struct iphrase *f, uint32_t may, const char *word, size_t n)
{
    uint32_t now = 0;
    for (; may != 0; may &= may - 1) {
        size_t i = (size_t)__builtin_ctz(may);
        if (i >= f->n) { break; }
        struct kluis_str want = f->words[i];
        if (want.len == 0 || want.len > n || want.ptr[0] != word[0]) { continue; }
        bool whole = want.len == n || (f->prefix && i + 1 == f->n);
        if (whole && memcmp(want.ptr, word, want.len) == 0) { now |= UINT32_C(1) << i; }
    }
    return now;
}

/* Phrases as they end; one that began earlier takes in what lies within it, or touches it. */
static int mark_word(void *ctx, const char *word, int n, int start, int end)
{
    struct marking *m = ctx;
    size_t words = 0;
    m->starts[m->seen++ % IPHRASE_WORDS] = (uint32_t)start;
    for (size_t f = 0; f < m->q->n_phrases; f++) {
        const struct iphrase *p = &m->q->phrases[f];
        uint32_t now = matches(p, m->open[f] << 1 | 1, word, (size_t)n);
        m->open[f] = now;
        if (p->n > words && (now >> (p->n - 1) & 1) != 0) { words = p->n; }
    }
    if (words == 0) { return 0; }
    uint32_t from = m->starts[(m->seen - words) % IPHRASE_WORDS];
    while (m->n > 0 && from <= m->out[2 * m->n - 1]) {
        m->n--;
        if (m->out[2 * m->n] < from) { from = m->out[2 * m->n]; }
    }
    if (m->n == IMARKS_MAX) { return 1; }
    m->out[2 * m->n] = from;
    m->out[2 * m->n + 1] = (uint32_t)end;
    m->n++;
    return 0;
}

size_t iquery_marks(const struct iquery *q, struct kluis_str text, uint32_t out[2 * IMARKS_MAX])
{
    if (q->n_phrases == 0 || text.len == 0) { return 0; }
    struct marking m = { .q = q, .out = out };
    (void)itoken_each(text.ptr, text.len, &m, mark_word); /* stopped early: marks enough */
    return m.n;
}
