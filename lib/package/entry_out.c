/* entry_out.c - deflates or stores one entry's bytes straight to their place in the file. */
#include "entry_out.h"

#include <errno.h>

static void *z_alloc(void *opaque, unsigned items, unsigned size)
{
    (void)opaque;
    return kluis_calloc(items, size);
}

static void z_free(void *opaque, void *p)
{
    (void)opaque;
    kluis_free(p);
}

kluis_status entry_pwrite(int fd, const void *p, size_t n, uint64_t at, struct kluis_err *err)
{
    const uint8_t *from = p;
    while (n > 0) {
        ssize_t done = kluis_io_pwrite(fd, from, n, at);
        if (done <= 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot write the package; make room and try again"); }
        from += done;
        at += (uint64_t)done;
        n -= (size_t)done;
    }
    return KLUIS_OK;
}

kluis_status entry_out_init(struct entry_out *o, int fd, int level, struct kluis_err *err)
{
    *o = (struct entry_out){ .fd = fd };
    o->z.zalloc = z_alloc;
    o->z.zfree = z_free;
    o->sha = kluis_sha256_new();
    o->block = kluis_malloc(ENTRY_BLOCK);
    if (o->sha == NULL || o->block == NULL || deflateInit2(&o->z, level, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY) != Z_OK) {
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for compressing a package");
    }
    o->z_ready = true;
    return KLUIS_OK;
}

void entry_out_free(struct entry_out *o)
{
    if (o->z_ready) { (void)deflateEnd(&o->z); } /* data left unwritten is thrown away on purpose */
    kluis_sha256_free(o->sha);
    kluis_free(o->block);
    *o = (struct entry_out){ .fd = -1 };
}

kluis_status entry_out_begin(struct entry_out *o, uint16_t method, uint64_t at, uint64_t ceiling, struct kluis_err *err)
{
    o->method = method;
    o->crc = 0;
    o->size = o->packed = 0;
    o->at = at;
    o->ceiling = ceiling;
    if (deflateReset(&o->z) != Z_OK) { return KLUIS_FAIL(err, KLUIS_E_BUG, "the compressor cannot be reset"); }
    return KLUIS_OK;
}

static kluis_status put(struct entry_out *o, const void *p, size_t n, struct kluis_err *err)
{
    if (n > o->ceiling || o->at > o->ceiling - n) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "the package would be larger than 2 GiB: close the slice earlier"); }
    KLUIS_TRY(entry_pwrite(o->fd, p, n, o->at, err));
    o->at += n;
    o->packed += n;
    return KLUIS_OK;
}

static kluis_status squeeze(struct entry_out *o, int flush, struct kluis_err *err)
{
    int rc = Z_OK;
    do {
        o->z.next_out = o->block;
        o->z.avail_out = ENTRY_BLOCK;
        rc = deflate(&o->z, flush);
        if (rc == Z_STREAM_ERROR) { return KLUIS_FAIL(err, KLUIS_E_BUG, "the compressor refused its input"); }
        KLUIS_TRY(put(o, o->block, ENTRY_BLOCK - o->z.avail_out, err));
    } while (flush == Z_FINISH ? rc != Z_STREAM_END : o->z.avail_out == 0);
    return KLUIS_OK;
}

kluis_status entry_out_add(struct entry_out *o, const void *p, size_t n, struct kluis_err *err)
{
    if (n == 0) { return KLUIS_OK; }
    kluis_sha256_add(o->sha, p, n);
    o->crc = form_crc32(o->crc, p, n);
    o->size += n;
    if (o->size > KLUIS_PACKAGE_BYTES_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "one file would be larger than 2 GiB"); }
    if (o->method == FORM_STORED) { return put(o, p, n, err); }
    const uint8_t *from = p;
    while (n > 0) {
        unsigned part = n > (1u << 30) ? 1u << 30 : (unsigned)n;
        union { const uint8_t *in; uint8_t *z; } c = { .in = from }; /* zlib only reads it; its field is not const */
        o->z.next_in = c.z;
        o->z.avail_in = part;
        KLUIS_TRY(squeeze(o, Z_NO_FLUSH, err));
        from += part;
        n -= part;
    }
    return KLUIS_OK;
}

kluis_status entry_out_end(struct entry_out *o, uint8_t sha256[32], struct kluis_err *err)
{
    if (o->method == FORM_DEFLATED) {
        o->z.avail_in = 0;
        KLUIS_TRY(squeeze(o, Z_FINISH, err));
    }
    kluis_sha256_end(o->sha, sha256);
    return KLUIS_OK;
}
