/* frames.c - frames of an archive one after the other: a length as protobuf writes numbers, then that many bytes.
 *
 * A frame that is no protobuf costs itself; a length that cannot be, or the end in the middle of a frame, costs all behind it.
 */
#include "agent/source/signal_archive/archive.h"

enum { LENGTH_MAX = 10 };

static ssize_t pread_scratch(void *ctx, void *p, size_t n, uint64_t at, struct kluis_err *err)
{
    size_t got = 0;
    kluis_status rc = kluis_scratch_read(ctx, p, n, at, &got, err);
    return rc == KLUIS_OK ? (ssize_t)got : -1;
}

kluis_status frames_open(struct archive_frames *f, struct kluis_err *err)
{
    f->w.ctx = f->scratch != NULL ? (void *)f->scratch : (void *)&f->file;
    f->w.pread = f->scratch != NULL ? pread_scratch : window_pread_fd;
    return window_open(&f->w, LINE_MAX_BYTES + LENGTH_MAX, err);
}

void frames_close(struct archive_frames *f) { window_close(&f->w); }

static kluis_status damage(struct archive_frames *f, struct frame *out, const char *why, bool for_good)
{
    out->tree = NULL;
    out->damage = why;
    f->broken = for_good;
    return KLUIS_OK;
}

static kluis_status raw(void *ctx, struct frame *out, struct kluis_err *err)
{
    struct archive_frames *f = ctx;
    struct window *w = &f->w;
    uint64_t n;
    memset(out, 0, sizeof *out);
    if (f->broken) { return KLUIS_END; }
    KLUIS_TRY(window_need(w, LENGTH_MAX, err));
    if (w->start == w->end) { return KLUIS_END; }
    const uint8_t *start = w->data + w->start, *p = start;
    out->at = window_place(w);
    out->number = ++f->number;
    if (!pb_varint(&p, w->data + w->end, &n)) { return damage(f, out, "a frame without a length that can be read; all behind it is lost", true); }
    const size_t head = (size_t)(p - start);
    if (n > f->size - out->at - head) { return damage(f, out, "it ends in the middle of a frame", true); }
    if (n > LINE_MAX_BYTES) {
        window_seek(w, out->at + head + n);
        return damage(f, out, "a frame of more than 4 MiB", false);
    }
    KLUIS_TRY(window_need(w, head + (size_t)n, err));
    if (w->end - w->start < head + n) { return damage(f, out, "it ends in the middle of a frame", true); }
    out->raw = (struct kluis_str){ (const char *)w->data + w->start + head, (size_t)n };
    w->start += head + (size_t)n;
    return KLUIS_OK;
}

static kluis_status tree(KLUIS_UNUSED void *ctx, struct frame *f, struct kluis_arena *arena, KLUIS_UNUSED struct kluis_err *err)
{
    if (f->damage != NULL) { return KLUIS_OK; }
    const struct kluis_bytes bytes = { (const uint8_t *)f->raw.ptr, f->raw.len };
    kluis_arena_clear(arena);
    wire_tree(bytes, f->at == 0 ? wire_backup_info : wire_frame, arena, &f->tree, &f->damage);
    return KLUIS_OK;
}

static kluis_status seek(void *ctx, uint64_t at, KLUIS_UNUSED struct kluis_err *err)
{
    struct archive_frames *f = ctx;
    f->broken = false;
    if (at == 0) { f->number = 0; }
    window_seek(&f->w, at);
    return KLUIS_OK;
}

struct frames frames_of(struct archive_frames *f) { return (struct frames){ .ctx = f, .unit = "frame", .raw = raw, .tree = tree, .seek = seek }; }
