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

kluis_status entry_out_init(struct entry_out *o, int fd, int level, struct libdeflate_compressor *packer, struct kluis_err *err)
{
    *o = (struct entry_out){ .fd = fd, .level = level, .packer = packer };
    kluis_buf_init(&o->whole, ENTRY_WHOLE);
    o->sha = kluis_sha256_new();
    o->block = kluis_malloc(ENTRY_BLOCK);
    return o->sha != NULL && o->block != NULL ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for compressing a package");
}

/* zlib's state is a quarter of a megabyte that it clears: most packages never need it. */
static kluis_status stream(struct entry_out *o, struct kluis_err *err)
{
    if (o->z_ready) { return deflateReset(&o->z) == Z_OK ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_BUG, "the compressor cannot be reset"); }
    o->z.zalloc = z_alloc;
    o->z.zfree = z_free;
    o->z_ready = deflateInit2(&o->z, o->level, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY) == Z_OK;
    return o->z_ready ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for compressing a package");
}

void entry_out_free(struct entry_out *o)
{
    if (o->z_ready) { (void)deflateEnd(&o->z); } /* data left unwritten is thrown away on purpose */
    kluis_buf_free(&o->whole);
    kluis_sha256_free(o->sha);
    kluis_free(o->block);
    *o = (struct entry_out){ .fd = -1 };
}

void entry_out_begin(struct entry_out *o, uint16_t method, uint64_t at, uint64_t ceiling)
{
    o->method = method;
    o->crc = 0;
    o->size = o->packed = 0;
    o->at = at;
    o->ceiling = ceiling;
    o->gathers = method == FORM_DEFLATED;
    kluis_buf_clear(&o->whole);
}

static kluis_status put(struct entry_out *o, const void *p, size_t n, struct kluis_err *err)
{
    if (n > o->ceiling || o->at > o->ceiling - n) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "the package would be larger than 2 GiB: close the slice earlier");
    }
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

static kluis_status squeeze_all(struct entry_out *o, const void *p, size_t n, struct kluis_err *err)
{
    const uint8_t *from = p;
    while (n > 0) {
        unsigned part = n > (1u << 30) ? 1u << 30 : (unsigned)n;
        union {
            const uint8_t *in;
            uint8_t *z;
        } c = { .in = from }; /* zlib only reads it; its field is not const */
        o->z.next_in = c.z;
        o->z.avail_in = part;
        KLUIS_TRY(squeeze(o, Z_NO_FLUSH, err));
        from += part;
        n -= part;
    }
    return KLUIS_OK;
}

static kluis_status squeeze_whole(struct entry_out *o, struct kluis_err *err)
{
    size_t room = libdeflate_deflate_compress_bound(o->packer, o->whole.len);
    uint8_t *to = room <= ENTRY_BLOCK ? o->block : kluis_malloc(room);
    if (to == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for compressing a package"); }
    size_t n = libdeflate_deflate_compress(o->packer, kluis_buf_bytes(&o->whole).ptr, o->whole.len, to, room);
    kluis_status rc = n == 0 ? KLUIS_FAIL(err, KLUIS_E_BUG, "the compressor refused its input") : put(o, to, n, err);
    if (to != o->block) { kluis_free(to); }
    return rc;
}

static void measure(struct entry_out *o, const void *p, size_t n)
{
    if (n == 0) { return; }
    kluis_sha256_add(o->sha, p, n);
    o->crc = form_crc32(o->crc, p, n);
}

kluis_status entry_out_add(struct entry_out *o, const void *p, size_t n, struct kluis_err *err)
{
    if (n == 0) { return KLUIS_OK; }
    o->size += n;
    if (o->size > KLUIS_PACKAGE_BYTES_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "one file would be larger than 2 GiB"); }
    if (o->gathers && n <= ENTRY_WHOLE - o->whole.len) { /* measured in one go at its end: records come in small pieces */
        kluis_buf_add(&o->whole, p, n);
        return kluis_buf_ok(&o->whole, err);
    }
    if (o->gathers) {
        o->gathers = false;
        measure(o, o->whole.data, o->whole.len);
        KLUIS_TRY(stream(o, err));
        KLUIS_TRY(squeeze_all(o, o->whole.data, o->whole.len, err));
        kluis_buf_clear(&o->whole);
    }
    measure(o, p, n);
    return o->method == FORM_STORED ? put(o, p, n, err) : squeeze_all(o, p, n, err);
}

kluis_status entry_out_end(struct entry_out *o, uint8_t sha256[32], struct kluis_err *err)
{
    if (o->gathers) {
        measure(o, o->whole.data, o->whole.len);
        KLUIS_TRY(squeeze_whole(o, err));
    } else if (o->method == FORM_DEFLATED) {
        o->z.avail_in = 0;
        KLUIS_TRY(squeeze(o, Z_FINISH, err));
    }
    kluis_sha256_end(o->sha, sha256);
    return KLUIS_OK;
}
