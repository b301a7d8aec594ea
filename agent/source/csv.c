/* csv.c - see csv.h.  One buffer of a row and what was read along; after damage each line is tried as a beginning. */
#include "agent/source/csv.h"

enum { PIECE = 256 << 10 };
/* Trying a line may look at a whole row_max: of hostile bytes, at every line.  So that it stays proportional to the file, lines are passed over
 * once more was looked at than so many times what was passed. */
enum { LOOKS = 64, LOOKS_FREE = 16 << 20 };

struct going {
    const struct csv *c;
    char *data;
    size_t cap, start, end;
    uint64_t at; /* of data[start] */
    bool ended;
    uint64_t work;
};

static kluis_status more(struct going *g, struct kluis_err *err)
{
    if (g->ended) { return KLUIS_END; }
    if (g->start > 0) {
        memmove(g->data, g->data + g->start, g->end - g->start);
        g->end -= g->start;
        g->start = 0;
    }
    if (g->cap - g->end < PIECE) {
        size_t cap = g->cap * 2 + PIECE;
        char *p = kluis_realloc(g->data, cap);
        if (p == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
        g->data = p;
        g->cap = cap;
    }
    ssize_t n = g->c->in.read(g->c->in.ctx, g->data + g->end, PIECE, err);
    if (n < 0) { return err != NULL && err->code != KLUIS_OK ? err->code : KLUIS_FAIL(err, KLUIS_E_IO, "%s: cannot read", g->c->name); }
    g->ended = n == 0;
    g->end += (size_t)n;
    return n == 0 ? KLUIS_END : KLUIS_OK;
}

static void advance(struct going *g, size_t n)
{
    g->start += n;
    g->at += n;
}

/* Length of the row at start without its line end; *whole: with it.  KLUIS_END: the file ends inside quotes; E_LIMIT: larger than row_max. */
static kluis_status measure(struct going *g, size_t *n, size_t *whole, struct kluis_err *err)
{
    size_t i = 0;
    bool quoted = false;
    for (;;) {
        const char *p = g->data + g->start;
        size_t have = g->end - g->start;
        while (i < have) {
            if (quoted) {
                const char *q = memchr(p + i, '"', have - i); /* "" closes and opens again */
                i = q == NULL ? have : (size_t)(q - p) + 1;
                quoted = q == NULL;
                continue;
            }
            const char *eol = memchr(p + i, '\n', have - i);
            size_t line = eol == NULL ? have : (size_t)(eol - p);
            const char *q = memchr(p + i, '"', line - i);
            if (q != NULL) {
                quoted = true;
                i = (size_t)(q - p) + 1;
                continue;
            }
            i = line;
            if (eol != NULL) {
                *n = i > 0 && p[i - 1] == '\r' ? i - 1 : i;
                *whole = i + 1;
                g->work += i;
                return KLUIS_OK;
            }
        }
        if (i > g->c->row_max) {
            g->work += i;
            return KLUIS_E_LIMIT;
        }
        kluis_status rc = more(g, err);
        if (rc == KLUIS_END) {
            g->work += i;
            *n = *whole = i;
            return quoted ? KLUIS_END : KLUIS_OK;
        }
        KLUIS_TRY(rc);
    }
}

bool csv_row_of(struct kluis_str raw, struct kluis_arena *words, struct csv_row *out)
{
    const char *p = raw.ptr, *end = raw.ptr + raw.len;
    out->n = 0;
    out->raw = raw;
    for (;;) {
        if (out->n == CSV_COLUMNS_MAX) { return false; }
        struct kluis_str *v = &out->value[out->n++];
        if (p < end && *p == '"') {
            const char *from = ++p;
            bool doubled = false;
            for (;;) {
                const char *q = p < end ? memchr(p, '"', (size_t)(end - p)) : NULL;
                if (q == NULL) { return false; }
                p = q + 1;
                if (p == end || *p != '"') { break; }
                doubled = true;
                p++;
            }
            *v = (struct kluis_str){ from, (size_t)(p - 1 - from) };
            if (doubled) {
                char *w = kluis_arena_alloc(words, v->len), *to = w;
                if (w == NULL) { return false; }
                for (size_t i = 0; i < v->len; i++) {
                    *to++ = v->ptr[i];
                    if (v->ptr[i] == '"') { i++; }
                }
                *v = (struct kluis_str){ w, (size_t)(to - w) };
            }
        } else {
            const char *q = p < end ? memchr(p, ',', (size_t)(end - p)) : NULL;
            if (q == NULL) { q = end; }
            *v = (struct kluis_str){ p, (size_t)(q - p) };
            if (memchr(v->ptr, '\n', v->len) != NULL) { return false; }
            p = q;
        }
        if (p == end) { return true; }
        if (*p++ != ',') { return false; }
    }
}

static kluis_status lost(const struct going *g, uint64_t *from, struct kluis_err *err)
{
    uint64_t at = *from;
    *from = UINT64_MAX;
    return at == UINT64_MAX || g->at == at ? KLUIS_OK : g->c->damage(g->c->ctx, at, g->at - at, err);
}

/* To behind the next line end, or the end. */
static kluis_status pass_line(struct going *g, struct kluis_err *err)
{
    for (;;) {
        const char *p = g->data + g->start, *q = memchr(p, '\n', g->end - g->start);
        advance(g, q == NULL ? g->end - g->start : (size_t)(q - p) + 1);
        if (q != NULL) { return KLUIS_OK; }
        kluis_status rc = more(g, err);
        if (rc != KLUIS_OK) { return rc == KLUIS_END ? KLUIS_OK : rc; }
    }
}

static kluis_status walk(struct going *g, struct kluis_err *err)
{
    const struct csv *c = g->c;
    struct csv_row row;
    size_t columns = 0;
    uint64_t from = UINT64_MAX; /* damage under way */
    kluis_status rc = KLUIS_OK;
    while (rc == KLUIS_OK && g->end - g->start < 3) { rc = more(g, err); }
    if (rc != KLUIS_OK && rc != KLUIS_END) { return rc; }
    if (g->end >= 3 && memcmp(g->data, "\xEF\xBB\xBF", 3) == 0) { advance(g, 3); }
    for (;;) {
        size_t n = 0, whole = 0;
        if (g->start == g->end) {
            rc = more(g, err);
            if (rc == KLUIS_END) { break; }
            KLUIS_TRY(rc);
        }
        uint64_t passed = from == UINT64_MAX ? 0 : g->at - from;
        if (from != UINT64_MAX && g->work > LOOKS_FREE && (g->work - LOOKS_FREE) / LOOKS > passed) {
            KLUIS_TRY(pass_line(g, err));
            continue;
        }
        rc = measure(g, &n, &whole, err);
        if (rc != KLUIS_OK && rc != KLUIS_END && rc != KLUIS_E_LIMIT) { return rc; }
        if (rc == KLUIS_OK && n == 0) {
            advance(g, whole);
            continue;
        }
        kluis_arena_clear(c->words);
        bool good = rc == KLUIS_OK && n <= c->row_max && csv_row_of((struct kluis_str){ g->data + g->start, n }, c->words, &row);
        row.at = g->at;
        if (columns == 0) {
            if (!good || row.n < 2) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: the first line names no columns", c->name); }
            KLUIS_TRY(c->header(c->ctx, &row, err));
            columns = row.n;
            advance(g, whole);
            continue;
        }
        if (good && row.n == columns && c->is_one(c->ctx, &row)) {
            KLUIS_TRY(lost(g, &from, err));
            g->work = 0;
            KLUIS_TRY(c->row(c->ctx, &row, err));
            advance(g, whole);
            continue;
        }
        if (from == UINT64_MAX) {
            from = g->at;
            g->work = 0;
        }
        KLUIS_TRY(pass_line(g, err));
    }
    if (columns == 0) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s is empty", c->name); }
    return lost(g, &from, err);
}

kluis_status csv_rows(const struct csv *c, struct kluis_err *err)
{
    struct going g = { .c = c };
    kluis_status rc = more(&g, err);
    if (rc == KLUIS_END) { rc = KLUIS_OK; }
    if (rc == KLUIS_OK) { rc = walk(&g, err); }
    kluis_free(g.data);
    return rc;
}
