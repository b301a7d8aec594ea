/* lib/base/digest.c - start-up, randomness, SHA-256, HMAC, HKDF on libgcrypt. */
#include "lib/base/internal.h"

#include <errno.h>
#include <gcrypt.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>

kluis_status kluis_base_init(struct kluis_err *err)
{
    if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P) == 0) {
        gcry_set_allocation_handler(kluis_gcrypt_alloc, kluis_gcrypt_alloc, kluis_gcrypt_is_secure, kluis_gcrypt_realloc, kluis_gcrypt_free);
        if (gcry_check_version("1.10.0") == NULL) { return KLUIS_FAIL(err, KLUIS_E_BUG, "libgcrypt is older than 1.10: install a newer one"); }
        /* Its secure memory is a fixed 32 KiB pool that aborts when full; keys of ours have kluis_secret_new. */
        gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
        gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
        uint8_t warm[32];
        kluis_sha256_of("", 0, warm); /* picks its CPU-specific code now, not inside a sandbox */
    }
    tzset();
#ifndef KLUIS_UNWALLED
    struct rlimit none = { 0, 0 };
    if (setrlimit(RLIMIT_CORE, &none) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot forbid core dumps"); }
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot forbid memory dumps"); }
#endif
    return KLUIS_OK;
}

void kluis_random(void *p, size_t n)
{
    if (kluis_hooks_ != NULL && kluis_hooks_->random != NULL) {
        kluis_hooks_->random(p, n);
        return;
    }
    uint8_t *at = p;
    while (n > 0) {
        ssize_t r = getrandom(at, n > 256 ? 256 : n, 0);
        if (r < 0 && errno == EINTR) { continue; }
        if (r <= 0) { abort(); } /* no key may ever be made without randomness */
        at += r;
        n -= (size_t)r;
    }
}

struct kluis_sha256 {
    gcry_md_hd_t md;
};

struct kluis_sha256 *kluis_sha256_new(void)
{
    struct kluis_sha256 *h = kluis_calloc(1, sizeof *h);
    if (h != NULL && gcry_md_open(&h->md, GCRY_MD_SHA256, 0) != 0) {
        kluis_free(h);
        return NULL;
    }
    return h;
}

void kluis_sha256_add(struct kluis_sha256 *h, const void *p, size_t n) { gcry_md_write(h->md, p, n); }

void kluis_sha256_end(struct kluis_sha256 *h, uint8_t out[32])
{
    memcpy(out, gcry_md_read(h->md, GCRY_MD_SHA256), 32);
    gcry_md_reset(h->md);
}

struct kluis_sha256 *kluis_sha256_copy(const struct kluis_sha256 *h)
{
    struct kluis_sha256 *copy = kluis_calloc(1, sizeof *copy);
    if (copy != NULL && gcry_md_copy(&copy->md, h->md) != 0) {
        kluis_free(copy);
        return NULL;
    }
    return copy;
}

void kluis_sha256_free(struct kluis_sha256 *h)
{
    if (h == NULL) { return; }
    gcry_md_close(h->md);
    kluis_free(h);
}

void kluis_sha256_of(const void *p, size_t n, uint8_t out[32]) { gcry_md_hash_buffer(GCRY_MD_SHA256, out, p, n); }

kluis_status kluis_hmac_sha256(const void *key, size_t key_len, const void *p, size_t n, uint8_t out[32], struct kluis_err *err)
{
    gcry_md_hd_t md;
    if (gcry_md_open(&md, GCRY_MD_SHA256, GCRY_MD_FLAG_HMAC) != 0) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for a MAC"); }
    if (gcry_md_setkey(md, key, key_len) != 0) {
        gcry_md_close(md);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for a MAC key");
    }
    gcry_md_write(md, p, n);
    memcpy(out, gcry_md_read(md, GCRY_MD_SHA256), 32);
    gcry_md_close(md);
    return KLUIS_OK;
}

kluis_status kluis_hkdf_sha256(struct kluis_bytes ikm, struct kluis_bytes salt, struct kluis_bytes info, uint8_t *out, size_t n,
                               struct kluis_err *err)
{
    static const uint8_t zeros[32];
    uint8_t prk[32], t[32];
    if (n > (size_t)255 * 32 || info.len > 512) { return KLUIS_FAIL(err, KLUIS_E_BUG, "HKDF asked for too much"); }
    bool salted = salt.ptr != NULL && salt.len > 0;
    kluis_status rc = kluis_hmac_sha256(salted ? salt.ptr : zeros, salted ? salt.len : 32, ikm.ptr, ikm.len, prk, err);
    uint8_t block[32 + 512 + 1];
    size_t have = 0;
    for (uint8_t i = 1; rc == KLUIS_OK && n > 0; i++) {
        memcpy(block, t, have);
        if (info.len > 0) { memcpy(block + have, info.ptr, info.len); }
        block[have + info.len] = i;
        rc = kluis_hmac_sha256(prk, 32, block, have + info.len + 1, t, err);
        if (rc != KLUIS_OK) { break; }
        size_t take = n < 32 ? n : 32;
        memcpy(out, t, take);
        out += take;
        n -= take;
        have = 32;
    }
    kluis_wipe(prk, sizeof prk);
    kluis_wipe(t, sizeof t);
    kluis_wipe(block, sizeof block);
    return rc;
}
