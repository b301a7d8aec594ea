/* container.c - an encrypted archive: [SBACKUP 01, length, metadata], IV (16), AES-256-CBC of gzip and zeros, HMAC-SHA-256 (32).
 *
 * Nothing inside is looked at before the MAC over all of it was right.  The frames go to a scratch file: pass 2 jumps about in them.
 */
#include "agent/source/signal_archive/archive.h"

#include <errno.h>
#include <gcrypt.h>
#include <sys/stat.h>
#include <zlib.h>

static const uint8_t magic[8] = { 'S', 'B', 'A', 'C', 'K', 'U', 'P', 1 };

enum { IV = 16, MAC = 32, BLOCK = 16, PIECE = 64 << 10, METADATA_MAX = 64 << 10 };
#define FRAMES_MAX (UINT64_C(64) << 30) /* of one archive, unpacked */

bool archive_is_plain(struct kluis_bytes head)
{
    const uint8_t *p = head.ptr, *end = p + head.len;
    uint64_t n, version = 0, made = 0;
    struct pb_field f;
    int more;
    if (head.len == 0 || !pb_varint(&p, end, &n) || n > (uint64_t)(end - p)) { return false; }
    struct pb m = pb_open((struct kluis_bytes){ p, (size_t)n });
    while ((more = pb_next(&m, &f)) > 0) {
        if (f.number == 1 && f.type == PB_VARINT) { version = f.value; }
        if (f.number == 2 && f.type == PB_VARINT) { made = f.value; }
    }
    return more == 0 && version > 0 && version < 1000 && made > 0;
}

kluis_status archive_sealed_from(int fd, const char *path, uint64_t *from, bool *token, struct kluis_err *err)
{
    uint8_t head[sizeof magic + 10];
    *from = 0;
    ssize_t got = kluis_io_pread(fd, head, sizeof head, 0);
    if (got < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot read", path); }
    *token = (size_t)got >= sizeof magic && memcmp(head, magic, sizeof magic) == 0;
    if (!*token) { return KLUIS_OK; }
    const uint8_t *p = head + sizeof magic;
    uint64_t n;
    if (!pb_varint(&p, head + got, &n) || n > METADATA_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: damaged: its head ends in the middle", path);
    }
    *from = (uint64_t)(p - head) + n;
    return KLUIS_OK;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static kluis_status prove(int fd, const char *path, const struct archive_keys *k, uint64_t from, uint64_t end, uint8_t *piece, struct kluis_err *err)
{
    gcry_md_hd_t h;
    uint8_t mac[MAC];
    if (gcry_md_open(&h, GCRY_MD_SHA256, GCRY_MD_FLAG_HMAC) != 0) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    kluis_status rc = gcry_md_setkey(h, k->mac, ARCHIVE_KEY) == 0 ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_BUG, "no HMAC-SHA-256");
    for (uint64_t at = from; rc == KLUIS_OK && at < end;) {
        size_t n = end - at < PIECE ? (size_t)(end - at) : PIECE;
        rc = kluis_pread_all(fd, piece, n, at, path, err);
        if (rc == KLUIS_OK) { gcry_md_write(h, piece, n); }
        at += n;
    }
    if (rc == KLUIS_OK) { rc = kluis_pread_all(fd, mac, MAC, end, path, err); }
    if (rc == KLUIS_OK && !kluis_equal_secret(mac, gcry_md_read(h, 0), MAC)) {
        rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: this recovery key does not open it, or the file was damaged; nothing was read", path);
    }
    gcry_md_close(h);
    return rc;
}

struct unseal {
    gcry_cipher_hd_t hd;
    z_stream z;
    bool zlib, ended;
    uint8_t piece[PIECE], out[PIECE];
    uint64_t written;
    struct kluis_output to;
    const char *path;
};

static kluis_status damaged(const struct unseal *u, const char *what, struct kluis_err *err)
{
    return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: opened with the right key, but %s; let Signal make the backup again", u->path, what);
}

static kluis_status inflate_piece(struct unseal *u, size_t n, struct kluis_err *err)
{
    u->z.next_in = u->piece;
    u->z.avail_in = (uInt)n;
    while (u->z.avail_in > 0 && !u->ended) {
        u->z.next_out = u->out;
        u->z.avail_out = PIECE;
        int z = inflate(&u->z, Z_NO_FLUSH);
        if (z == Z_MEM_ERROR) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
        if (z != Z_OK && z != Z_STREAM_END && z != Z_BUF_ERROR) { return damaged(u, "what is in it is not gzip", err); }
        size_t got = PIECE - u->z.avail_out;
        u->written += got;
        if (u->written > FRAMES_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "%s: more than 64 GiB of frames", u->path); }
        if (got > 0) { KLUIS_TRY(u->to.write(u->to.ctx, u->out, got, err)); }
        u->ended = z == Z_STREAM_END;
    }
    for (; u->z.avail_in > 0; u->z.avail_in--, u->z.next_in++) { /* only zeros that hide the size come behind */
        if (*u->z.next_in != 0) { return damaged(u, "something comes behind its end", err); }
    }
    return KLUIS_OK;
}

static kluis_status unseal(struct unseal *u, int fd, uint64_t from, uint64_t end, struct kluis_err *err)
{
    for (uint64_t at = from; at < end;) {
        size_t n = end - at < PIECE ? (size_t)(end - at) : PIECE;
        KLUIS_TRY(kluis_pread_all(fd, u->piece, n, at, u->path, err));
        if (gcry_cipher_decrypt(u->hd, u->piece, n, NULL, 0) != 0) { return KLUIS_FAIL(err, KLUIS_E_BUG, "%s: cannot be deciphered", u->path); }
        at += n;
        if (at == end) { /* PKCS#7 */
            size_t pad = u->piece[n - 1];
            if (pad == 0 || pad > BLOCK) { return damaged(u, "its padding is wrong", err); }
            n -= pad;
        }
        KLUIS_TRY(inflate_piece(u, n, err));
    }
    return u->ended ? KLUIS_OK : damaged(u, "it ends in the middle", err);
}

kluis_status archive_unseal(int fd, const char *path, const struct archive_keys *k, struct kluis_scratch **out, struct kluis_err *err)
{
    struct stat before, after;
    uint64_t from;
    bool token;
    *out = NULL;
    if (fstat(fd, &before) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot read", path); }
    KLUIS_TRY(archive_sealed_from(fd, path, &from, &token, err));
    const uint64_t size = (uint64_t)before.st_size;
    if (size < from + IV + BLOCK + MAC || (size - from - IV - MAC) % BLOCK != 0) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT,
                          "%s: no Signal backup: neither frames nor an encrypted file of a possible size; give what Signal itself made", path);
    }
    struct unseal *u = kluis_calloc(1, sizeof *u);
    if (u == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    u->path = path;
    uint8_t iv[IV];
    kluis_status rc = prove(fd, path, k, from, size - MAC, u->piece, err);
    if (rc == KLUIS_OK) { rc = kluis_pread_all(fd, iv, IV, from, path, err); }
    if (rc == KLUIS_OK && (gcry_cipher_open(&u->hd, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_CBC, 0) != 0 ||
                           gcry_cipher_setkey(u->hd, k->aes, ARCHIVE_KEY) != 0 || gcry_cipher_setiv(u->hd, iv, IV) != 0)) {
        rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again");
    }
    if (rc == KLUIS_OK) {
        u->zlib = inflateInit2(&u->z, 15 + 16) == Z_OK;
        if (!u->zlib) { rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    }
    if (rc == KLUIS_OK) { rc = kluis_scratch_new(out, err); }
    if (rc == KLUIS_OK) {
        u->to = kluis_scratch_output(*out);
        rc = unseal(u, fd, from + IV, size - MAC, err);
    }
    if (rc == KLUIS_OK && (fstat(fd, &after) != 0 || !same_file(&before, &after))) {
        rc = KLUIS_FAIL(err, KLUIS_E_BUSY, "%s: it changed while it was read; try again", path);
    }
    if (u->hd != NULL) { gcry_cipher_close(u->hd); }
    if (u->zlib) { (void)inflateEnd(&u->z); }
    kluis_wipe(u, sizeof *u);
    kluis_free(u);
    if (rc != KLUIS_OK) {
        kluis_scratch_free(*out);
        *out = NULL;
    }
    return rc;
}
