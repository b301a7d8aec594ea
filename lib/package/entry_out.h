/* entry_out.h - one zip entry on its way into the file: digest, CRC, deflate, pwrite.  Never leaves the folder. */
#ifndef PACKAGE_ENTRY_OUT_H
#define PACKAGE_ENTRY_OUT_H

#include "form.h"

#include <libdeflate.h>
#include <zlib.h>

enum { ENTRY_BLOCK = 64 << 10, ENTRY_WHOLE = 2 << 20 /* deflated entries up to this size are compressed in one go */ };

struct entry_out {
    int fd;
    int level;
    struct libdeflate_compressor *packer; /* borrowed; entries up to ENTRY_WHOLE */
    z_stream z;                           /* larger ones */
    bool z_ready;                         /* made at the first entry that needs it */
    bool gathers;                         /* this entry's bytes are still held in `whole` */
    struct kluis_buf whole;
    struct kluis_sha256 *sha;
    uint16_t method;
    uint32_t crc;
    uint64_t size, packed; /* so far */
    uint64_t at;           /* where the next byte goes */
    uint64_t ceiling;      /* `at` may not pass it */
    uint8_t *block;        /* ENTRY_BLOCK bytes of deflate output */
};

/* packer: made with the same level; several entry_outs of one thread may share it.  The bytes of an entry follow from its content and the
 * level alone (of one version of libdeflate and zlib), however it is fed. */
KLUIS_MUSTUSE kluis_status entry_out_init(struct entry_out *o, int fd, int level, struct libdeflate_compressor *packer, struct kluis_err *err);
void entry_out_free(struct entry_out *o);
/* The bytes of one entry, placed from `at` on. */
void entry_out_begin(struct entry_out *o, uint16_t method, uint64_t at, uint64_t ceiling);
KLUIS_MUSTUSE kluis_status entry_out_add(struct entry_out *o, const void *p, size_t n, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status entry_out_end(struct entry_out *o, uint8_t sha256[32], struct kluis_err *err);
KLUIS_MUSTUSE kluis_status entry_pwrite(int fd, const void *p, size_t n, uint64_t at, struct kluis_err *err);

#endif
