/* csv.c - see csv.h. */
#include "agent/source/threema/csv.h"

static kluis_status more(struct csv *c, struct kluis_err *err)
{
    if (c->ended) { return KLUIS_END; }
    if (c->start > 0) {
        memmove(c->data, c->data + c->start, c->end - c->start);
        c->end -= c->start;
        c->scanned -= c->start;
        c->start = 0;
    }
    if (c->cap - c->end < CSV_PIECE) {
        size_t cap = c->cap * 2;
        char *p = kluis_realloc(c->data, cap);
        if (p == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
        c->data = p;
        c->cap = cap;
    }
    ssize_t n = c->in.read(c->in.ctx, c->data + c->end, CSV_PIECE, err);
    if (n < 0) { return err != NULL && err->code != KLUIS_OK ? err->code : KLUIS_E_IO; }
    c->ended = n == 0;
    c->end += (size_t)n;
    return n == 0 ? KLUIS_END : KLUIS_OK;
}

/* The bytes of the row at start, without its line end.  One that is longer than a row may be is passed over to the end of its line. */
static kluis_status row(struct csv *c, struct kluis_err *err)
{
    bool quoted = false, long_one = false;
    c->scanned = c->start;
    c->row_at = c->at;
    c->row_bytes = 0;
    for (;;) {
        while (c->scanned < c->end) {
            char k = c->data[c->scanned];
            if (k == '"') { quoted = !quoted; }
            if (k == '\n' && (!quoted || long_one)) { break; }
            c->scanned++;
        }
        if (c->scanned < c->end) { break; }
        if (c->scanned - c->start > CSV_ROW_MAX) {
            long_one = true;
            c->row_bytes += c->scanned - c->start;
            c->start = c->scanned;
        }
        kluis_status rc = more(c, err);
        if (rc == KLUIS_END && c->scanned == c->start && !long_one) { return KLUIS_END; }
        if (rc == KLUIS_END) { break; }
        KLUIS_TRY(rc);
    }
    size_t n = c->scanned - c->start;
    c->raw = long_one ? (struct kluis_str){ "", 0 } : (struct kluis_str){ c->data + c->start, n };
    c->row_bytes += n;
    c->start += n + (c->scanned < c->end);
    c->at += c->row_bytes + (c->scanned < c->end);
    c->long_one = long_one;
    if (c->raw.len > 0 && c->raw.ptr[c->raw.len - 1] == '\r') { c->raw.len--; }
    return KLUIS_OK;
}

/* A row over several lines that is none has a quote too many or too few: only its first line is lost. */
static void back_to_first_line(struct csv *c)
{
    const char *nl = memchr(c->raw.ptr, '\n', c->raw.len);
    if (nl == NULL) { return; }
    size_t line = (size_t)(nl - c->raw.ptr);
    c->start = (size_t)(nl + 1 - c->data);
    c->at = c->row_at + line + 1;
    c->row_bytes = line;
    c->raw.len = line;
}

/* Into fields; false: quotes that do not pair. */
static bool split(struct csv *c, struct kluis_arena *arena)
{
    const char *p = c->raw.ptr, *end = p + c->raw.len;
    c->n_fields = 0;
    for (;;) {
        if (c->n_fields == CSV_COLUMNS) { return false; }
        struct kluis_str *f = &c->field[c->n_fields++];
        if (p < end && *p == '"') {
            const char *from = ++p;
            bool escapes = false;
            for (;; p++) {
                if (p == end) { return false; }
                escapes = escapes || *p == '\\';
                if (*p != '"') { continue; }
                if (p + 1 == end || p[1] != '"') { break; }
                escapes = true;
                p++;
            }
            *f = (struct kluis_str){ from, (size_t)(p - from) };
            p++;
            if (escapes) {
                char *w = kluis_arena_alloc(arena, f->len + 1), *to = w;
                if (w == NULL) { return false; }
                for (size_t i = 0; i < f->len; i++) {
                    if ((from[i] == '"' || from[i] == '\\') && i + 1 < f->len && from[i + 1] == from[i]) { i++; }
                    *to++ = from[i];
                }
                *f = (struct kluis_str){ w, (size_t)(to - w) };
            }
        } else {
            const char *from = p;
            while (p < end && *p != ',') { p++; }
            *f = (struct kluis_str){ from, (size_t)(p - from) };
        }
        if (p == end) { return true; }
        if (*p != ',') { return false; }
        p++;
    }
}

kluis_status csv_open(struct csv *c, const struct kluis_input *in, struct kluis_err *err)
{
    *c = (struct csv){ .in = *in, .cap = (size_t)2 * CSV_PIECE };
    c->data = kluis_malloc(c->cap);
    c->names = kluis_arena_new(CSV_ROW_MAX);
    c->arena = kluis_arena_new((size_t)2 * CSV_ROW_MAX);
    if (c->data == NULL || c->names == NULL || c->arena == NULL) {
        csv_close(c);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again");
    }
    KLUIS_TRY(row(c, err));
    if (!split(c, c->names)) { c->n_fields = 0; }
    for (size_t i = 0; i < c->n_fields; i++) { c->column[i] = kluis_arena_str(c->names, c->field[i]); }
    c->n_columns = c->n_fields;
    return KLUIS_OK;
}

void csv_close(struct csv *c)
{
    kluis_free(c->data);
    kluis_arena_free(c->names);
    kluis_arena_free(c->arena);
    c->data = NULL;
    c->names = c->arena = NULL;
}

kluis_status csv_next(struct csv *c, struct kluis_err *err)
{
    do {
        KLUIS_TRY(row(c, err));
    } while (c->raw.len == 0 && !c->long_one);
    kluis_arena_clear(c->arena);
    if (!c->long_one && split(c, c->arena) && c->n_fields == c->n_columns && kluis_utf8_valid(c->raw.ptr, c->raw.len) == c->raw.len) {
        return KLUIS_OK;
    }
    c->n_fields = 0;
    back_to_first_line(c);
    return KLUIS_E_REJECT;
}

struct kluis_str csv_get(const struct csv *c, const char *column)
{
    for (size_t i = 0; i < c->n_columns && i < c->n_fields; i++) {
        if (kluis_str_is(c->column[i], column)) { return c->field[i].len == 0 ? (struct kluis_str){ NULL, 0 } : c->field[i]; }
    }
    return (struct kluis_str){ NULL, 0 };
}
