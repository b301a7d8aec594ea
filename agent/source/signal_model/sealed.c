/* sealed.c - sealed files of sealed.h, read in pieces.
 */
#include "agent/source/signal_model/sealed.h"

#include <errno.h>
#include <gcrypt.h>
#include <sys/stat.h>
#include <unistd.h>

enum { IV = 16, MAC = 32, BLOCK = 16, PIECE = 32 << 10 };

struct sealed {
    int fd;
    gcry_cipher_hd_t hd;
    uint64_t at, end; /* of ciphertext */
    uint64_t left;    /* of content */
    uint8_t piece[PIECE];
    size_t start, filled;
};

static kluis_status check(struct sealed *s, const uint8_t *mac_key, struct kluis_err *err)
{
    gcry_md_hd_t h;
    uint8_t mac[MAC];
    kluis_status rc = KLUIS_OK;
    if (gcry_md_open(&h, GCRY_MD_SHA256, GCRY_MD_FLAG_HMAC) != 0) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    if (gcry_md_setkey(h, mac_key, SEALED_KEY / 2) != 0) { rc = KLUIS_FAIL(err, KLUIS_E_BUG, "no HMAC-SHA-256"); }
    for (uint64_t at = 0; rc == KLUIS_OK && at < s->end;) {
        size_t n = s->end - at < PIECE ? (size_t)(s->end - at) : PIECE;
        rc = kluis_pread_all(s->fd, s->piece, n, at, "an attachment", err);
        if (rc == KLUIS_OK) { gcry_md_write(h, s->piece, n); }
        at += n;
    }
    if (rc == KLUIS_OK) { rc = kluis_pread_all(s->fd, mac, MAC, s->end, "an attachment", err); }
    if (rc == KLUIS_OK && !kluis_equal_secret(mac, gcry_md_read(h, 0), MAC)) {
        rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "an attachment was changed or has another key");
    }
    gcry_md_close(h);
    return rc;
}

static kluis_status start(struct sealed *s, const uint8_t key[SEALED_KEY], struct kluis_err *err)
{
    struct stat st;
    if (fstat(s->fd, &st) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "an attachment cannot be read"); }
    if (st.st_size < IV + BLOCK + MAC || (st.st_size - IV - MAC) % BLOCK != 0) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "an attachment is no sealed file");
    }
    s->end = (uint64_t)st.st_size - MAC;
    KLUIS_TRY(check(s, key + SEALED_KEY / 2, err));
    uint8_t iv[IV];
    KLUIS_TRY(kluis_pread_all(s->fd, iv, IV, 0, "an attachment", err));
    s->at = IV;
    if (gcry_cipher_open(&s->hd, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_CBC, 0) != 0 || gcry_cipher_setkey(s->hd, key, SEALED_KEY / 2) != 0 ||
        gcry_cipher_setiv(s->hd, iv, IV) != 0) {
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again");
    }
    return KLUIS_OK;
}

kluis_status sealed_open(struct sealed **out, int fd, const uint8_t key[SEALED_KEY], uint64_t size, struct kluis_err *err)
{
    struct sealed *s = kluis_calloc(1, sizeof *s);
    *out = NULL;
    if (s == NULL) {
        kluis_close_quiet(&fd);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again");
    }
    s->fd = fd;
    s->left = size;
    kluis_status rc = start(s, key, err);
    if (rc != KLUIS_OK) {
        sealed_free(s);
        return rc;
    }
    *out = s;
    return KLUIS_OK;
}

void sealed_free(struct sealed *s)
{
    if (s == NULL) { return; }
    if (s->hd != NULL) { gcry_cipher_close(s->hd); }
    kluis_close_quiet(&s->fd);
    kluis_wipe(s->piece, sizeof s->piece);
    kluis_free(s);
}

static bool refill(struct sealed *s, struct kluis_err *err)
{
    size_t n = s->end - s->at < PIECE ? (size_t)(s->end - s->at) : PIECE;
    s->start = s->filled = 0;
    if (n == 0) { return true; }
    if (kluis_pread_all(s->fd, s->piece, n, s->at, "an attachment", err) != KLUIS_OK) { return false; }
    if (gcry_cipher_decrypt(s->hd, s->piece, n, NULL, 0) != 0) {
        (void)KLUIS_FAIL(err, KLUIS_E_BUG, "an attachment cannot be deciphered");
        return false;
    }
    s->at += n;
    s->filled = n;
    if (s->at == s->end) {
        size_t pad = s->piece[n - 1];
        s->filled -= pad >= 1 && pad <= BLOCK ? pad : 0;
    }
    return true;
}

static ssize_t read_sealed(void *ctx, void *p, size_t n, struct kluis_err *err)
{
    struct sealed *s = ctx;
    if (s->left == 0 || n == 0) { return 0; }
    if (s->start == s->filled && !refill(s, err)) { return -1; }
    size_t k = s->filled - s->start;
    if (k > n) { k = n; }
    if (k > s->left) { k = (size_t)s->left; }
    memcpy(p, s->piece + s->start, k);
    s->start += k;
    s->left -= k;
    return (ssize_t)k;
}

struct kluis_input sealed_input(struct sealed *s) { return (struct kluis_input){ .ctx = s, .read = read_sealed }; }
