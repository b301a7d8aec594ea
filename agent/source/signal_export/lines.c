/* lines.c - lines of a file with their offsets, in bounded memory.
 */
#include "agent/source/signal_export/export.h"

kluis_status lines_open(struct lines *l, int fd, const char *what, struct kluis_err *err)
{
    memset(l, 0, sizeof *l);
    l->file = (struct kluis_input_fd){ .fd = fd, .what = what };
    l->w.ctx = &l->file;
    l->w.pread = window_pread_fd;
    return window_open(&l->w, LINE_MAX_BYTES + 2, err);
}

void lines_seek(struct lines *l, uint64_t at) { window_seek(&l->w, at); }

kluis_status lines_next(struct lines *l, struct kluis_str *line, uint64_t *at, struct kluis_err *err)
{
    struct window *w = &l->w;
    for (size_t seen = 0;;) {
        uint8_t *p = w->data + w->start;
        size_t n = w->end - w->start;
        uint8_t *newline = n > seen ? memchr(p + seen, '\n', n - seen) : NULL;
        if (newline != NULL || (w->ended && n > 0)) {
            *line = (struct kluis_str){ (const char *)p, newline != NULL ? (size_t)(newline - p) : n };
            *at = window_place(w);
            w->start += line->len + (newline != NULL ? 1 : 0);
            l->number++;
            return KLUIS_OK;
        }
        if (w->ended) { return KLUIS_END; }
        seen = n;
        if (n > LINE_MAX_BYTES) {
            return KLUIS_FAIL(err, KLUIS_E_LIMIT, "%s: line %llu is longer than %d bytes; this is no Signal export", l->file.what,
                              (unsigned long long)l->number + 1, (int)LINE_MAX_BYTES);
        }
        KLUIS_TRY(window_more(w, err));
    }
}

void lines_close(struct lines *l) { window_close(&l->w); }
