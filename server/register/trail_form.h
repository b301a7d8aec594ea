/* server/register/trail_form.h - segments and entries of the audit trail as bytes.  See trail.h.  Never leaves the folder. */
#ifndef SERVER_REGISTER_TRAIL_FORM_H
#define SERVER_REGISTER_TRAIL_FORM_H

#include "server/register/trail.h"

enum { TRAIL_NUMBER_MAX = 999999, TRAIL_NAME = 16 };

/* What stands before the first entry of a segment. */
struct trail_segment {
    uint64_t number, first, due;
    uint8_t before[32];
};
/* TRAIL_HEAD bytes. */
KLUIS_MUSTUSE kluis_status trail_segment_write(const struct trail_segment *s, uint8_t *out, struct kluis_err *err);
bool trail_segment_read(const uint8_t *p, struct trail_segment *out);

/* Appends one frame; sets e->hash unless it was moved.  E_LIMIT. */
KLUIS_MUSTUSE kluis_status trail_frame_write(struct trail_entry *e, const uint8_t before[32], struct kluis_buf *out, struct kluis_err *err);

enum trail_frame { TRAIL_GOOD, TRAIL_END, TRAIL_CHANGED, TRAIL_GARBAGE };
/* The frame at `at` of a segment of `size` bytes.  GOOD, or CHANGED (in form, but its hash does not follow from `before`): *e borrows from p and
 * *next is set.  END: zeros for a length, or no room for one.  GARBAGE: nothing that could be an entry. */
enum trail_frame trail_frame_read(const uint8_t *p, size_t size, size_t at, const uint8_t before[32], struct trail_entry *e, size_t *next);
/* Where the last byte that is not zero ends, looking back from `size` to `from`. */
size_t trail_used(const uint8_t *p, size_t from, size_t size);

void trail_name(char out[TRAIL_NAME], uint64_t number);
/* How many segments stand there: the highest number. */
KLUIS_MUSTUSE kluis_status trail_count(const char *dir, uint64_t *out, struct kluis_err *err);
/* Reads a segment whole, whatever its length up to TRAIL_SEGMENT.  E_NOTFOUND. */
KLUIS_MUSTUSE kluis_status trail_segment_load(const char *dir, uint64_t number, struct kluis_buf *out, struct kluis_err *err);
/* trail_walk over the files of a trail, up to the entry `last`. */
KLUIS_MUSTUSE kluis_status trail_walk_files(const char *dir, const struct trail_mark *last, const struct trail_mark *known, void *ctx,
                                            kluis_status (*each)(void *ctx, const struct trail_entry *e, struct kluis_err *err), uint64_t *entries,
                                            struct kluis_err *err);

#endif
