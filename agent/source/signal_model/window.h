/* window.h - a moving window on bytes at offsets, in bounded memory: for what is read mostly forwards, with jumps.
 */
#ifndef SIGNAL_WINDOW_H
#define SIGNAL_WINDOW_H

#include "kluis/base.h"

struct window {
    void *ctx;
    /* Up to n bytes at an offset: how many, 0 at the end, -1 with *err set. */
    ssize_t (*pread)(void *ctx, void *p, size_t n, uint64_t at, struct kluis_err *err);
    size_t max;     /* bytes it may hold */
    uint64_t at;    /* offset behind what it holds */
    uint64_t place; /* of the last jump */
    uint8_t *data;  /* held: data[start … end) */
    size_t start, end, cap, step;
    bool ended;
};
/* E_NOMEM.  pread and ctx are set by the caller and stay his. */
KLUIS_MUSTUSE kluis_status window_open(struct window *w, size_t max, struct kluis_err *err);
void window_close(struct window *w);
void window_seek(struct window *w, uint64_t at);
static inline uint64_t window_place(const struct window *w) { return w->at - (w->end - w->start); } /* offset of data[start] */
/* Adds bytes behind what is held from `start` on (which moves to the front).  E_LIMIT: it holds max already; E_IO, E_NOMEM; ended is set at the end.
 */
KLUIS_MUSTUSE kluis_status window_more(struct window *w, struct kluis_err *err);
/* window_more until n bytes are held or nothing more comes. */
KLUIS_MUSTUSE kluis_status window_need(struct window *w, size_t n, struct kluis_err *err);
/* pread of a window on a file: ctx is a struct kluis_input_fd. */
ssize_t window_pread_fd(void *ctx, void *p, size_t n, uint64_t at, struct kluis_err *err);

#endif
