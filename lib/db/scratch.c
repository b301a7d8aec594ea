/* lib/db/scratch.c - private files of one run.  See kluis/scratch.h.
 *
 * On disk: block i at i * 4,124: nonce[12], 4,096 sealed bytes, tag[16].  The nonce counts writes, so it never repeats under the file's key.
 * A block that was never written (a hole) is all zeros on disk and in the file.
 */
#include "kluis/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <gcrypt.h>
#include <stdlib.h>
#include <unistd.h>

enum { BLOCK = 4096, NONCE = 12, TAG = 16, STORED = NONCE + BLOCK + TAG, GATHER = 64 };

struct kluis_scratch {
    gcry_cipher_hd_t cipher;
    int fd;
    uint64_t size, writes;
    uint64_t held; /* block in `plain`, UINT64_MAX: none       */
    bool dirty;    /* `plain` is not on disk yet               */
    uint8_t plain[BLOCK];
    uint8_t *gather; /* sealed blocks first … first+n-1, in order */
    uint64_t first;
    size_t n;
};

static int open_nameless(void)
{
    const char *dir = getenv("TMPDIR"); /* NOLINT(concurrency-mt-unsafe): nothing here sets it */
    if (dir == NULL || dir[0] != '/') { dir = "/var/tmp"; }
    int fd = kluis_io_open(dir, O_TMPFILE | O_RDWR | O_EXCL, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) { return fd; }
    for (int i = 0; i < 16; i++) { /* a file system without O_TMPFILE */
        char path[KLUIS_PATH_MAX], name[40];
        uint8_t r[12];
        kluis_random(r, sizeof r);
        (void)snprintf(name, sizeof name, "chatkluis-");
        kluis_hex(r, sizeof r, name + 10);
        if (kluis_path(path, sizeof path, dir, name, NULL) != KLUIS_OK) { break; }
        fd = kluis_io_open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
        if (fd >= 0) {
            if (kluis_io_unlink(path) == 0) { return fd; }
            kluis_close_quiet(&fd);
            break;
        }
        if (errno != EEXIST) { break; }
    }
    return -1;
}

kluis_status kluis_scratch_new(struct kluis_scratch **out, struct kluis_err *err)
{
    *out = NULL;
    struct kluis_scratch *s = kluis_calloc(1, sizeof *s);
    uint8_t *key = kluis_secret_new(32);
    kluis_status rc = KLUIS_E_NOMEM;
    if (s == NULL || key == NULL) { goto fail; }
    s->fd = -1;
    s->held = UINT64_MAX;
    kluis_random(key, 32);
    /* libgcrypt keeps the expanded key in ordinary memory, which this process neither dumps nor shows. */
    if (gcry_cipher_open(&s->cipher, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_GCM, 0) != 0 || gcry_cipher_setkey(s->cipher, key, 32) != 0) { goto fail; }
    s->fd = open_nameless();
    if (s->fd < 0) {
        rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot make a private copy: no file can be made in $TMPDIR or /var/tmp");
        goto fail;
    }
    kluis_secret_free(key, 32);
    *out = s;
    return KLUIS_OK;
fail:
    kluis_secret_free(key, 32);
    kluis_scratch_free(s);
    return rc == KLUIS_E_NOMEM ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again") : rc;
}

void kluis_scratch_free(struct kluis_scratch *s)
{
    if (s == NULL) { return; }
    gcry_cipher_close(s->cipher);
    kluis_close_quiet(&s->fd);
    kluis_free(s->gather);
    kluis_wipe(s, sizeof *s);
    kluis_free(s);
}

uint64_t kluis_scratch_size(const struct kluis_scratch *s) { return s->size; }

static kluis_status gather_out(struct kluis_scratch *s, struct kluis_err *err)
{
    size_t n = s->n * STORED, done = 0;
    while (done < n) {
        ssize_t w = kluis_io_pwrite(s->fd, s->gather + done, n - done, s->first * STORED + done);
        if (w <= 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot write the private copy: is there room in $TMPDIR (else /var/tmp)?"); }
        done += (size_t)w;
    }
    s->n = 0;
    return KLUIS_OK;
}

static void number(uint8_t out[8], uint64_t v)
{
    for (int i = 0; i < 8; i++) { out[i] = (uint8_t)(v >> (56 - 8 * i)); }
}

static kluis_status seal_block(struct kluis_scratch *s, struct kluis_err *err)
{
    if (!s->dirty) { return KLUIS_OK; }
    if (s->gather == NULL) { s->gather = kluis_malloc((size_t)GATHER * STORED); }
    if (s->gather == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    if (s->n > 0 && (s->n == GATHER || s->first + s->n != s->held)) { KLUIS_TRY(gather_out(s, err)); }
    if (s->n == 0) { s->first = s->held; }
    uint8_t *o = s->gather + s->n * STORED, place[8];
    memset(o, 0, NONCE);
    number(o, ++s->writes);
    number(place, s->held);
    gcry_error_t e = gcry_cipher_setiv(s->cipher, o, NONCE);
    if (e == 0) { e = gcry_cipher_authenticate(s->cipher, place, sizeof place); }
    if (e == 0) { e = gcry_cipher_encrypt(s->cipher, o + NONCE, BLOCK, s->plain, BLOCK); }
    if (e == 0) { e = gcry_cipher_gettag(s->cipher, o + NONCE + BLOCK, TAG); }
    if (e != 0) { return KLUIS_FAIL(err, KLUIS_E_BUG, "cannot seal a block of the private copy"); }
    s->n++;
    s->dirty = false;
    return KLUIS_OK;
}

/* Brings block b into `plain`. */
static kluis_status hold(struct kluis_scratch *s, uint64_t b, bool whole, struct kluis_err *err)
{
    if (s->held == b) { return KLUIS_OK; }
    KLUIS_TRY(seal_block(s, err));
    s->held = UINT64_MAX;
    if (whole || b * BLOCK >= s->size) { /* all of it is about to be written, or it lies beyond the end */
        if (!whole) { memset(s->plain, 0, BLOCK); }
        s->held = b;
        return KLUIS_OK;
    }
    if (s->n > 0) { KLUIS_TRY(gather_out(s, err)); }
    uint8_t stored[STORED] __attribute__((uninitialized)), place[8]; /* read into, the rest is cleared */
    static const uint8_t hole[STORED];
    size_t got = 0;
    while (got < sizeof stored) {
        ssize_t r = kluis_io_pread(s->fd, stored + got, sizeof stored - got, b * STORED + got);
        if (r < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot read the private copy"); }
        if (r == 0) { break; }
        got += (size_t)r;
    }
    memset(stored + got, 0, sizeof stored - got);
    if (memcmp(stored, hole, sizeof stored) == 0) {
        memset(s->plain, 0, BLOCK);
        s->held = b;
        return KLUIS_OK;
    }
    number(place, b);
    gcry_error_t e = gcry_cipher_setiv(s->cipher, stored, NONCE);
    if (e == 0) { e = gcry_cipher_authenticate(s->cipher, place, sizeof place); }
    if (e == 0) { e = gcry_cipher_decrypt(s->cipher, s->plain, BLOCK, stored + NONCE, BLOCK); }
    if (e == 0) { e = gcry_cipher_checktag(s->cipher, stored + NONCE + BLOCK, TAG); }
    if (e != 0) { return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the private copy was altered on disk"); }
    s->held = b;
    return KLUIS_OK;
}

kluis_status kluis_scratch_write(struct kluis_scratch *s, const void *p, size_t n, uint64_t at, struct kluis_err *err)
{
    const uint8_t *i = p;
    while (n > 0) {
        size_t skip = (size_t)(at % BLOCK), part = BLOCK - skip < n ? BLOCK - skip : n;
        KLUIS_TRY(hold(s, at / BLOCK, part == BLOCK, err));
        memcpy(s->plain + skip, i, part);
        s->dirty = true;
        i += part;
        n -= part;
        at += part;
        if (at > s->size) { s->size = at; }
    }
    return KLUIS_OK;
}

kluis_status kluis_scratch_read(struct kluis_scratch *s, void *p, size_t n, uint64_t at, size_t *got, struct kluis_err *err)
{
    uint8_t *o = p;
    *got = 0;
    while (*got < n && at < s->size) {
        size_t skip = (size_t)(at % BLOCK), part = BLOCK - skip < n - *got ? BLOCK - skip : n - *got;
        if (part > s->size - at) { part = (size_t)(s->size - at); }
        KLUIS_TRY(hold(s, at / BLOCK, false, err));
        memcpy(o + *got, s->plain + skip, part);
        *got += part;
        at += part;
    }
    return KLUIS_OK;
}

kluis_status kluis_scratch_truncate(struct kluis_scratch *s, uint64_t size, struct kluis_err *err)
{
    if (size >= s->size) {
        s->size = size;
        return KLUIS_OK;
    }
    KLUIS_TRY(seal_block(s, err));
    KLUIS_TRY(gather_out(s, err));
    if (size % BLOCK != 0) { /* what lies behind must read as zeros should the file grow again */
        KLUIS_TRY(hold(s, size / BLOCK, false, err));
        memset(s->plain + size % BLOCK, 0, BLOCK - size % BLOCK);
        s->dirty = true;
    } else {
        s->held = UINT64_MAX;
    }
    s->size = size;
    if (kluis_io_ftruncate(s->fd, (size + BLOCK - 1) / BLOCK * STORED) != 0) {
        return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot shorten the private copy");
    }
    return KLUIS_OK;
}

static kluis_status append(void *ctx, const void *p, size_t n, struct kluis_err *err)
{
    struct kluis_scratch *s = ctx;
    return kluis_scratch_write(s, p, n, s->size, err);
}

struct kluis_output kluis_scratch_output(struct kluis_scratch *s) { return (struct kluis_output){ s, append }; }
