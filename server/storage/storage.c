/* server/storage/storage.c - the interface, digests and key wrapping; backends stand in their own files. */
#include "server/storage/storage_internal.h"

#include <gcrypt.h>

enum { BLOCK = 256 << 10, NONCE = 12, TAG = 16 };

void storage_free(struct storage *s)
{
    if (s != NULL) { s->backend->free(s); }
}

kluis_status storage_begin(struct storage *s, const uint8_t upload[16], struct storage_writer **out, struct kluis_err *err)
{
    *out = NULL;
    return s->backend->begin(s, upload, out, err);
}

kluis_status storage_write(struct storage_writer *w, const void *p, size_t n, struct kluis_err *err) { return w->backend->write(w, p, n, err); }

void storage_end(struct storage_writer *w, uint8_t sha256[32], uint64_t *size) { w->backend->end(w, sha256, size); }

kluis_status storage_sync(struct storage_writer *w, struct kluis_err *err) { return w->backend->sync(w, err); }

kluis_status storage_settle(struct storage *s, struct kluis_err *err) { return s->backend->settle(s, err); }

kluis_status storage_publish(struct storage_writer **w, const uint8_t package[32], struct kluis_err *err)
{
    struct storage_writer *mine = *w;
    *w = NULL;
    return mine->backend->publish(mine, package, err);
}

void storage_abandon(struct storage_writer **w)
{
    if (*w != NULL) {
        (*w)->backend->abandon(*w);
        *w = NULL;
    }
}

kluis_status storage_fetch(struct storage *s, const uint8_t package[32], int *fd, uint64_t *size, struct kluis_err *err)
{
    *fd = -1;
    return s->backend->fetch(s, package, fd, size, err);
}

kluis_status storage_digest(struct storage *s, const uint8_t package[32], uint8_t sha256[32], uint64_t *size, struct kluis_err *err)
{
    int fd = -1;
    KLUIS_TRY(storage_fetch(s, package, &fd, size, err));
    KLUIS_AUTO(kluis_sha256) h = kluis_sha256_new();
    uint8_t *block = kluis_malloc(BLOCK);
    kluis_status rc = KLUIS_OK;
    if (h == NULL || block == NULL) { rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot read a stored package: out of memory"); }
    for (uint64_t at = 0; rc == KLUIS_OK && at < *size;) {
        size_t n = *size - at < BLOCK ? (size_t)(*size - at) : BLOCK;
        rc = kluis_pread_all(fd, block, n, at, "stored package", err);
        if (rc == KLUIS_OK) {
            kluis_sha256_add(h, block, n);
            at += n;
        }
    }
    if (rc == KLUIS_OK) { kluis_sha256_end(h, sha256); }
    kluis_free(block);
    kluis_close_quiet(&fd);
    return rc;
}

static const char aad_label[] = "chatkluis-content-key-v1";

static kluis_status gcm(gcry_cipher_hd_t *out, const uint8_t wrapping[32], const uint8_t package[32], const uint8_t nonce[NONCE],
                        struct kluis_err *err)
{
    gcry_cipher_hd_t h = NULL;
    if (gcry_cipher_open(&h, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_GCM, 0) != 0) {
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot start AES-256-GCM: out of memory");
    }
    if (gcry_cipher_setkey(h, wrapping, 32) != 0 || gcry_cipher_setiv(h, nonce, NONCE) != 0 ||
        gcry_cipher_authenticate(h, aad_label, sizeof aad_label - 1) != 0 || gcry_cipher_authenticate(h, package, 32) != 0) {
        gcry_cipher_close(h);
        return KLUIS_FAIL(err, KLUIS_E_BUG, "AES-256-GCM refused its parameters");
    }
    *out = h;
    return KLUIS_OK;
}

kluis_status storage_wrap(const uint8_t wrapping[32], const uint8_t package[32], const uint8_t key[32], uint8_t out[STORAGE_WRAPPED_LEN],
                          struct kluis_err *err)
{
    gcry_cipher_hd_t h;
    out[0] = 1;
    kluis_random(out + 1, NONCE);
    KLUIS_TRY(gcm(&h, wrapping, package, out + 1, err));
    bool ok = gcry_cipher_encrypt(h, out + 1 + NONCE, 32, key, 32) == 0 && gcry_cipher_gettag(h, out + 1 + NONCE + 32, TAG) == 0;
    gcry_cipher_close(h);
    return ok ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_BUG, "AES-256-GCM failed on a content key");
}

kluis_status storage_unwrap(const uint8_t wrapping[32], const uint8_t package[32], const uint8_t *wrapped, size_t n, uint8_t key[32],
                            struct kluis_err *err)
{
    gcry_cipher_hd_t h;
    if (n != STORAGE_WRAPPED_LEN || wrapped[0] != 1) {
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a wrapped content key has an unknown form; restore custody.db");
    }
    KLUIS_TRY(gcm(&h, wrapping, package, wrapped + 1, err));
    bool ok = gcry_cipher_decrypt(h, key, 32, wrapped + 1 + NONCE, 32) == 0 && gcry_cipher_checktag(h, wrapped + 1 + NONCE + 32, TAG) == 0;
    gcry_cipher_close(h);
    if (!ok) {
        kluis_wipe(key, 32);
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a content key does not open: wrong wrapping key, or custody.db is damaged");
    }
    return KLUIS_OK;
}
