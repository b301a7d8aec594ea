/* zip_in.h - the container, read forward once: headers judged byte for byte, bodies measured.  Never leaves the folder. */
#ifndef PACKAGE_ZIP_IN_H
#define PACKAGE_ZIP_IN_H

#include "form.h"

#include <zlib.h>

enum {
    ZIP_BLOCK = 128 << 10,
    ZIP_BLOCKS = 8,           /* in one piece: an entry that fits is inflated where it stands; with a lane the ring that it may still be in */
    ZIP_BEHIND_MAX = 8,       /* a lane that is further behind gets no more contents */
    ZIP_LANE_FROM = 16 << 10, /* smaller contents are not worth waking it */
    ZIP_WHOLE_MIN = 64 << 10,
    ZIP_WHOLE_MAX = 16 << 20 /* deflated entries of this size are inflated in one go */
};

struct zip_in {
    const struct kluis_input *in;
    uint8_t *blocks; /* ZIP_BLOCKS of ZIP_BLOCK bytes, got from the kernel as they are first used */
    uint8_t *block;  /* begin of one of them: input, [at, n) not yet used; n may reach into those behind it */
    size_t at, n;
    size_t got;        /* blocks whose pages are there */
    uint64_t position; /* of block[at] in the file */
    size_t hashed;     /* [hashed, n) of the block is not yet in `whole` */
    struct kluis_sha256 *whole;
    uint64_t whole_until;             /* jobs of the lane that add to it: kluis_lane_until before it is touched here */
    struct kluis_lane *lane;          /* borrowed, may be NULL: hashes contents that are asked for later */
    struct kluis_sha256 *content;     /* of a body, in this thread */
    struct kluis_sha256 *behind;      /* the same, in the lane */
    struct zip_digest *waiting;       /* digests that the lane was asked for, newest first */
    uint64_t block_until[ZIP_BLOCKS]; /* jobs that read this block: kluis_lane_until */
    struct kluis_sha256 *inner;       /* after zip_in_fork: of the bytes before it */
    size_t inner_entries, entries_max;
    uint64_t inner_at, ceiling; /* ceiling: bytes of the file, and of all contents */
    z_stream z;
    bool z_ready;
    uint8_t *out; /* ZIP_BLOCK bytes of inflated output */
    struct libdeflate_decompressor *fast;
    uint8_t *whole_in; /* of an entry that does not stand in one piece, grown as needed */
    size_t whole_in_cap;
    struct zip_whole {
        uint8_t *p;
        size_t cap;
        uint64_t until;       /* as block_until */
    } whole_out[2], *out_now; /* with a lane in turn; out_now: of the entry that is given away, or NULL */
    bool out_last;            /* which was used last */
    struct form_clock clock;  /* of the first entry; every other must say the same */
    struct form_entries entries;
    struct kluis_arena *arena; /* entry names */
    uint64_t total;            /* unpacked bytes promised so far */
};

KLUIS_MUSTUSE kluis_status zip_in_init(struct zip_in *z, const struct kluis_input *in, struct kluis_lane *lane, struct kluis_err *err);
void zip_in_free(struct zip_in *z); /* the lane has done all that it was given */
/* Reads the next local header into a new entry; KLUIS_END when the central directory begins. */
KLUIS_MUSTUSE kluis_status zip_in_next(struct zip_in *z, struct kluis_err *err);
/* Reads the body of the last entry and gives it away piece by piece; fills in its sha256.  later: that may wait until zip_in_settle. */
typedef kluis_status zip_in_fn(void *ctx, const uint8_t *p, size_t n, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status zip_in_body(struct zip_in *z, bool later, zip_in_fn *fn, void *ctx, struct kluis_err *err);
void zip_in_settle(struct zip_in *z);
/* Inside the callback of a body: do its bytes stay while the lane is at them?  If so all of them come in one piece. */
static inline bool zip_in_stays(const struct zip_in *z) { return z->lane != NULL && z->out_now != NULL; }
/* Called between two entries: what came so far is a container of its own, which ends here, once a directory of its entries is put behind
 * it.  A little more room is given for what follows. */
KLUIS_MUSTUSE kluis_status zip_in_fork(struct zip_in *z, struct kluis_err *err);
/* Of that container, after the last entry: its digest and size. */
void zip_in_inner(struct zip_in *z, uint8_t id[32], uint64_t *size);
/* Central directory, end record and end of file: all must follow from the entries read. */
KLUIS_MUSTUSE kluis_status zip_in_end(struct zip_in *z, uint8_t whole[32], uint64_t *size, struct kluis_err *err);

#endif
