/* lines.c - lines of a file with their offsets, in bounded memory.
 */
#include "agent/source/signal_export/export.h"

#include <errno.h>

enum { PIECE = 256 << 10, STEP = 8 << 10 }; /* read at once when going through, and first of all after a jump */

kluis_status lines_open(struct lines *l, int fd, const char *what, struct kluis_err *err)
{
    *l = (struct lines){ .fd = fd, .what = what, .cap = PIECE, .step = PIECE };
    l->data = kluis_malloc(PIECE);
    return l->data == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again") : KLUIS_OK;
}

kluis_status lines_seek(struct lines *l, uint64_t at, KLUIS_UNUSED struct kluis_err *err)
{
    if (at >= l->at - l->end && at <= l->at) { /* still in the buffer */
        l->start = l->end - (size_t)(l->at - at);
        return KLUIS_OK;
    }
    l->at = at;
    l->start = l->end = 0;
    l->step = at == 0 ? PIECE : STEP;
    l->ended = false;
    return KLUIS_OK;
}

static kluis_status more(struct lines *l, struct kluis_err *err)
{
    if (l->start > 0) {
        memmove(l->data, l->data + l->start, l->end - l->start);
        l->end -= l->start;
        l->start = 0;
    }
    if (l->end == l->cap) {
        if (l->cap > LINE_MAX_BYTES) {
            return KLUIS_FAIL(err, KLUIS_E_LIMIT, "%s: line %llu is longer than %d bytes; this is no Signal export", l->what,
                              (unsigned long long)l->number + 1, (int)LINE_MAX_BYTES);
        }
        size_t cap = l->cap * 2 > LINE_MAX_BYTES ? (size_t)LINE_MAX_BYTES + 2 : l->cap * 2;
        uint8_t *p = kluis_realloc(l->data, cap);
        if (p == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
        l->data = p;
        l->cap = cap;
    }
    size_t room = l->cap - l->end;
    ssize_t n = kluis_io_pread(l->fd, l->data + l->end, room < l->step ? room : l->step, l->at);
    if (n < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot read", l->what); }
    l->ended = n == 0;
    l->end += (size_t)n;
    l->at += (uint64_t)n;
    if (l->step < PIECE) { l->step *= 2; }
    return KLUIS_OK;
}

kluis_status lines_next(struct lines *l, struct kluis_str *line, uint64_t *at, struct kluis_err *err)
{
    size_t seen = 0;
    for (;;) {
        uint8_t *p = l->data + l->start;
        size_t n = l->end - l->start;
        uint8_t *newline = n > seen ? memchr(p + seen, '\n', n - seen) : NULL;
        if (newline != NULL || (l->ended && n > 0)) {
            *line = (struct kluis_str){ (const char *)p, newline != NULL ? (size_t)(newline - p) : n };
            *at = l->at - n;
            l->start += line->len + (newline != NULL ? 1 : 0);
            l->number++;
            return KLUIS_OK;
        }
        if (l->ended) { return KLUIS_END; }
        seen = n;
        KLUIS_TRY(more(l, err));
    }
}

void lines_close(struct lines *l)
{
    kluis_free(l->data);
    l->data = NULL;
}
