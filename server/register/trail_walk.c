/* server/register/trail_walk.c - every entry of the audit trail, from its files.  See trail.h. */
#include "server/register/trail_form.h"

struct walk {
    const struct trail_mark *known, *last; /* last: where the trail ended when the walk began */
    void *ctx;
    kluis_status (*each)(void *ctx, const struct trail_entry *e, struct kluis_err *err);
    struct trail_mark at;
    uint64_t due;
};

static kluis_status broken(const struct walk *w, uint64_t segment, size_t at, const char *how, struct kluis_err *err)
{
    return KLUIS_FAIL(
        err, KLUIS_E_CORRUPT,
        "the audit trail is broken at entry %llu (audit/%06llu.log, byte %zu): %s; compare it with a backup and find out who changed it",
        (unsigned long long)w->at.seq + 1, (unsigned long long)segment, at, how);
}

static kluis_status walk_segment(struct walk *w, uint64_t number, const struct kluis_buf *b, struct kluis_err *err)
{
    struct trail_segment s;
    size_t at = TRAIL_HEAD, next = 0;
    bool done = false;
    if (b->len < TRAIL_HEAD || !trail_segment_read(b->data, &s) || s.number != number || s.first != w->at.seq + 1 || s.due != w->due ||
        memcmp(s.before, w->at.hash, 32) != 0) {
        return broken(w, number, 0, "the segment does not follow from what is before it", err);
    }
    while (!done) {
        struct trail_entry e;
        enum trail_frame f = trail_frame_read(b->data, b->len, at, w->at.hash, &e, &next);
        done = w->at.seq >= w->last->seq; /* what is written meanwhile is not looked at */
        if (done || f == TRAIL_END) { break; }
        if (f == TRAIL_GARBAGE) { return broken(w, number, at, "no entry can be read", err); }
        if (f == TRAIL_CHANGED) { return broken(w, number, at, "it does not follow from the entry before it", err); }
        if (e.seq != w->at.seq + 1) { return broken(w, number, at, "another entry stands there", err); }
        if (e.seq == w->known->seq && memcmp(e.hash, w->known->hash, 32) != 0) {
            return broken(w, number, at, "it is not the one that the register knows", err);
        }
        if (w->each != NULL) { KLUIS_TRY(w->each(w->ctx, &e, err)); }
        w->at.seq = e.seq;
        memcpy(w->at.hash, e.hash, 32);
        if (e.due > w->due) { w->due = e.due; }
        at = next;
    }
    if (!done && trail_used(b->data, at, b->len) != at) { return broken(w, number, at, "something stands behind the last entry", err); }
    return b->len == TRAIL_SEGMENT ? KLUIS_OK : broken(w, number, b->len, "the file is cut off", err);
}

kluis_status trail_walk_files(const char *dir, const struct trail_mark *last, const struct trail_mark *known, void *ctx,
                              kluis_status (*each)(void *, const struct trail_entry *, struct kluis_err *), uint64_t *entries, struct kluis_err *err)
{
    struct walk w = { .known = known, .last = last, .ctx = ctx, .each = each };
    uint64_t segments = 0;
    KLUIS_AUTO_BUF(b, TRAIL_SEGMENT);
    *entries = 0;
    kluis_status rc = trail_count(dir, &segments, err);
    for (uint64_t n = 1; n <= segments && rc == KLUIS_OK && (n == 1 || w.at.seq < last->seq); n++) {
        rc = trail_segment_load(dir, n, &b, err);
        if (rc == KLUIS_E_NOTFOUND) {
            kluis_err_clear(err);
            rc = broken(&w, n, 0, "the file is gone", err);
        } else if (rc == KLUIS_OK) {
            rc = walk_segment(&w, n, &b, err);
        }
        *entries = w.at.seq;
    }
    KLUIS_TRY(rc);
    if (w.at.seq < last->seq || w.at.seq < known->seq) { return broken(&w, segments, 0, "it and all after it are missing", err); }
    return KLUIS_OK;
}
