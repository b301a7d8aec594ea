/* sqlcipher.c - pages of SQLCipher 4: AES-256-CBC over 4,016 bytes, IV (16), HMAC-SHA-512 (64) over both and the page's number.
 *
 * The first 16 bytes of the file are its salt, and stand where SQLite's own magic would.  Frames of the write-ahead log hold such pages; its
 * checksums are over what is encrypted, so the log is checked as it is and written anew with checksums over what is not.
 */
#include "agent/source/signal_desktop/desktop.h"

#include <errno.h>
#include <fcntl.h>
#include <gcrypt.h>
#include <sys/stat.h>

enum { PAGE = 4096, RESERVE = 80, BODY = PAGE - RESERVE, IV = 16, MAC = 64, SALT = 16, LOG_HEAD = 32, FRAME_HEAD = 24, ROUNDS = 2 };

struct cipher {
    gcry_cipher_hd_t hd;
    gcry_md_hd_t md;
    uint8_t salt[SALT];
};

static void cipher_close(struct cipher *c)
{
    if (c->hd != NULL) { gcry_cipher_close(c->hd); }
    if (c->md != NULL) { gcry_md_close(c->md); }
}

static kluis_status cipher_open(struct cipher *c, const uint8_t key[DESKTOP_KEY], struct kluis_err *err)
{
    uint8_t salt[SALT], mac_key[DESKTOP_KEY];
    for (size_t i = 0; i < SALT; i++) { salt[i] = c->salt[i] ^ 0x3a; }
    bool ok = gcry_kdf_derive(key, DESKTOP_KEY, GCRY_KDF_PBKDF2, GCRY_MD_SHA512, salt, SALT, ROUNDS, sizeof mac_key, mac_key) == 0 &&
              gcry_cipher_open(&c->hd, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_CBC, 0) == 0 && gcry_cipher_setkey(c->hd, key, DESKTOP_KEY) == 0 &&
              gcry_md_open(&c->md, GCRY_MD_SHA512, GCRY_MD_FLAG_HMAC) == 0 && gcry_md_setkey(c->md, mac_key, sizeof mac_key) == 0;
    kluis_wipe(mac_key, sizeof mac_key);
    return ok ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again");
}

/* In place.  false: the MAC is wrong, and nothing was deciphered. */
static bool open_page(struct cipher *c, uint8_t page[PAGE], uint32_t number)
{
    const size_t from = number == 1 ? SALT : 0;
    const uint8_t le[4] = { (uint8_t)number, (uint8_t)(number >> 8), (uint8_t)(number >> 16), (uint8_t)(number >> 24) };
    gcry_md_reset(c->md);
    gcry_md_write(c->md, page + from, BODY + IV - from);
    gcry_md_write(c->md, le, sizeof le);
    if (!kluis_equal_secret(gcry_md_read(c->md, 0), page + BODY + IV, MAC)) { return false; }
    if (gcry_cipher_setiv(c->hd, page + BODY, IV) != 0 || gcry_cipher_decrypt(c->hd, page + from, BODY - from, NULL, 0) != 0) { return false; }
    if (number == 1) { memcpy(page, "SQLite format 3", SALT); }
    memset(page + BODY, 0, RESERVE);
    return true;
}

static kluis_status pages(const struct sqlcipher *s, struct cipher *c, int fd, struct kluis_scratch *file, uint64_t size, struct kluis_err *err)
{
    uint8_t page[PAGE];
    for (uint64_t at = 0; at + PAGE <= size; at += PAGE) {
        const uint32_t number = (uint32_t)(at / PAGE) + 1;
        KLUIS_TRY(kluis_pread_all(fd, page, PAGE, at, s->path, err));
        if (!open_page(c, page, number)) {
            if (number == 1) {
                return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: this key does not open it, or its first page is damaged; nothing was read", s->path);
            }
            memset(page, 0, PAGE); /* no page of SQLite: reading goes round it and says so */
        }
        KLUIS_TRY(kluis_scratch_write(file, page, PAGE, at, err));
    }
    return KLUIS_OK;
}

/* ---- the log (sqlite.org/fileformat2.html, 4) ---------------------------------------------------------------------- */

static uint32_t be32(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }
static void put32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

static void checksum(const uint8_t *p, size_t n, bool big, uint32_t sum[2])
{
    for (size_t i = 0; i + 8 <= n; i += 8) {
        uint32_t x[2];
        for (size_t k = 0; k < 2; k++) {
            const uint8_t *q = p + i + 4 * k;
            x[k] = big ? be32(q) : (uint32_t)q[3] << 24 | (uint32_t)q[2] << 16 | (uint32_t)q[1] << 8 | q[0];
        }
        sum[0] += x[0] + sum[1];
        sum[1] += x[1] + sum[0];
    }
}

static kluis_status frames(const struct sqlcipher *s, struct cipher *c, int fd, struct kluis_scratch *log, struct kluis_err *err)
{
    uint8_t head[LOG_HEAD], frame[FRAME_HEAD + PAGE];
    uint32_t was[2] = { 0, 0 }, is[2] = { 0, 0 };
    ssize_t got = kluis_io_pread(fd, head, sizeof head, 0);
    if (got < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot read", s->wal); }
    const bool big = (head[3] & 1) != 0;
    if (got != LOG_HEAD || (be32(head) & ~1U) != 0x377f0682U || be32(head + 8) != PAGE) { return KLUIS_OK; } /* an empty log, or none yet */
    checksum(head, 24, big, was);
    if (was[0] != be32(head + 24) || was[1] != be32(head + 28)) { return KLUIS_OK; }
    memcpy(is, was, sizeof is);
    KLUIS_TRY(kluis_scratch_write(log, head, LOG_HEAD, 0, err));
    for (uint64_t at = LOG_HEAD;; at += sizeof frame) {
        got = kluis_io_pread(fd, frame, sizeof frame, at);
        if (got < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot read", s->wal); }
        if ((size_t)got != sizeof frame || memcmp(frame + 8, head + 16, 8) != 0) { return KLUIS_OK; } /* what follows is of an earlier log */
        checksum(frame, 8, big, was);
        checksum(frame + FRAME_HEAD, PAGE, big, was);
        if (was[0] != be32(frame + 16) || was[1] != be32(frame + 20)) { return KLUIS_OK; }
        if (!open_page(c, frame + FRAME_HEAD, be32(frame))) { memset(frame + FRAME_HEAD, 0, PAGE); }
        checksum(frame, 8, big, is);
        checksum(frame + FRAME_HEAD, PAGE, big, is);
        put32(frame + 16, is[0]);
        put32(frame + 20, is[1]);
        KLUIS_TRY(kluis_scratch_write(log, frame, sizeof frame, at, err));
    }
}

static kluis_status fill(const struct sqlcipher *s, struct cipher *c, int fd, struct kluis_scratch *file, struct kluis_scratch *log,
                         struct kluis_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot read", s->path); }
    if (st.st_size < PAGE) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: no database of Signal Desktop: it is too short", s->path); }
    KLUIS_TRY(kluis_pread_all(fd, c->salt, SALT, 0, s->path, err));
    if (memcmp(c->salt, "SQLite format 3", SALT) == 0) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: not encrypted, so not Signal Desktop's own database", s->path);
    }
    KLUIS_TRY(cipher_open(c, s->key, err));
    KLUIS_TRY(pages(s, c, fd, file, (uint64_t)st.st_size, err));
    int wal = kluis_io_open(s->wal, O_RDONLY | O_NONBLOCK, 0);
    if (wal < 0) { return errno == ENOENT ? KLUIS_OK : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot open", s->wal); }
    kluis_status rc = frames(s, c, wal, log, err);
    kluis_close_quiet(&wal);
    return rc;
}

kluis_status sqlcipher_fill(void *ctx, struct kluis_scratch *file, struct kluis_scratch *log, struct kluis_err *err)
{
    const struct sqlcipher *s = ctx;
    struct cipher c = { NULL, NULL, { 0 } };
    int fd = kluis_io_open(s->path, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0) { return KLUIS_FAIL_SYS(err, errno == ENOENT ? KLUIS_E_NOTFOUND : KLUIS_E_IO, "%s: cannot open", s->path); }
    kluis_status rc = fill(s, &c, fd, file, log, err);
    cipher_close(&c);
    kluis_close_quiet(&fd);
    return rc;
}
