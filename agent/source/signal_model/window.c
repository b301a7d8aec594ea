/* window.c - the window of window.h.
 */
#include "agent/source/signal_model/window.h"

#include <errno.h>

/* Read at once when going through, and first of all after a jump: most pieces are smaller.  Jumps of less than NEAR are going through: passing over
 * so much costs less than another reading. */
enum { PIECE = 256 << 10, STEP = 512, NEAR = 4096 };

kluis_status window_open(struct window *w, size_t max, struct kluis_err *err)
{
    w->max = max;
    w->cap = w->step = PIECE;
    w->data = kluis_malloc(PIECE);
    return w->data == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again") : KLUIS_OK;
}

void window_close(struct window *w)
{
    kluis_free(w->data);
    w->data = NULL;
}

void window_seek(struct window *w, uint64_t at)
{
    if (at >= w->at - w->end && at <= w->at) { /* still in the buffer */
        w->start = w->end - (size_t)(w->at - at);
        w->place = at;
        return;
    }
    w->step = at == 0 ? PIECE : at < w->place || at - w->place >= NEAR ? STEP : w->step;
    w->at = w->place = at;
    w->start = w->end = 0;
    w->ended = false;
}

kluis_status window_more(struct window *w, struct kluis_err *err)
{
    if (w->start > 0) {
        memmove(w->data, w->data + w->start, w->end - w->start);
        w->end -= w->start;
        w->start = 0;
    }
    if (w->end == w->cap) {
        if (w->cap >= w->max) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "a piece of more than %zu bytes", w->max); }
        size_t cap = w->cap * 2 > w->max ? w->max : w->cap * 2;
        uint8_t *p = kluis_realloc(w->data, cap);
        if (p == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
        w->data = p;
        w->cap = cap;
    }
    size_t room = w->cap - w->end;
    ssize_t n = w->pread(w->ctx, w->data + w->end, room < w->step ? room : w->step, w->at, err);
    if (n < 0) { return KLUIS_E_IO; }
    w->ended = n == 0;
    w->end += (size_t)n;
    w->at += (uint64_t)n;
    if (w->step < PIECE) { w->step *= 2; }
    return KLUIS_OK;
}

kluis_status window_need(struct window *w, size_t n, struct kluis_err *err)
{
    while (w->end - w->start < n && !w->ended) { KLUIS_TRY(window_more(w, err)); }
    return KLUIS_OK;
}

ssize_t window_pread_fd(void *ctx, void *p, size_t n, uint64_t at, struct kluis_err *err)
{
    const struct kluis_input_fd *f = ctx;
    ssize_t got = kluis_io_pread(f->fd, p, n, at);
    if (got < 0) { (void)KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot read", f->what); }
    return got;
}
