/* provider.c - what libsignal-protocol-c asks of its host: randomness, HMAC, SHA-512 and AES on libgcrypt, a lock, no log.
 */
#include "lib/envelope/signal.h"

#include <gcrypt.h>

enum { BLOCK = 16 };

static int random_bytes(uint8_t *data, size_t len, KLUIS_UNUSED void *user)
{
    kluis_random(data, len);
    return 0;
}

/* ---- digests: the context is libgcrypt's own handle -------------------------------------------- */

static int hmac_init(void **context, const uint8_t *key, size_t key_len, KLUIS_UNUSED void *user)
{
    gcry_md_hd_t md = NULL;
    *context = NULL;
    if (gcry_md_open(&md, GCRY_MD_SHA256, GCRY_MD_FLAG_HMAC) != 0) { return SG_ERR_NOMEM; }
    if (gcry_md_setkey(md, key, key_len) != 0) {
        gcry_md_close(md);
        return SG_ERR_UNKNOWN;
    }
    *context = md;
    return 0;
}

static int sha512_init(void **context, KLUIS_UNUSED void *user)
{
    gcry_md_hd_t md = NULL;
    *context = NULL;
    if (gcry_md_open(&md, GCRY_MD_SHA512, 0) != 0) { return SG_ERR_NOMEM; }
    *context = md;
    return 0;
}

static int digest_update(void *context, const uint8_t *data, size_t len, KLUIS_UNUSED void *user)
{
    gcry_md_write(context, data, len);
    return 0;
}

static int digest_final(void *context, int algorithm, signal_buffer **output)
{
    const uint8_t *digest = gcry_md_read(context, algorithm);
    if (digest == NULL) { return SG_ERR_UNKNOWN; }
    *output = signal_buffer_create(digest, gcry_md_get_algo_dlen(algorithm));
    gcry_md_reset(context); /* ready for reuse; an HMAC keeps its key */
    return *output == NULL ? SG_ERR_NOMEM : 0;
}

static int hmac_final(void *context, signal_buffer **output, KLUIS_UNUSED void *user) { return digest_final(context, GCRY_MD_SHA256, output); }
static int sha512_final(void *context, signal_buffer **output, KLUIS_UNUSED void *user) { return digest_final(context, GCRY_MD_SHA512, output); }
static void digest_cleanup(void *context, KLUIS_UNUSED void *user) { gcry_md_close(context); }

/* ---- AES --------------------------------------------------------------------------------------- */

static int aes_open(gcry_cipher_hd_t *hd, int cipher, const uint8_t *key, size_t key_len, const uint8_t *iv, size_t iv_len)
{
    int algorithm = key_len == 16 ? GCRY_CIPHER_AES128 : key_len == 24 ? GCRY_CIPHER_AES192 : key_len == 32 ? GCRY_CIPHER_AES256 : 0;
    int mode = cipher == SG_CIPHER_AES_CBC_PKCS5 ? GCRY_CIPHER_MODE_CBC : cipher == SG_CIPHER_AES_CTR_NOPADDING ? GCRY_CIPHER_MODE_CTR : 0;
    *hd = NULL;
    if (algorithm == 0 || mode == 0 || iv_len != BLOCK) { return SG_ERR_INVAL; }
    if (gcry_cipher_open(hd, algorithm, mode, 0) != 0) { return SG_ERR_NOMEM; }
    gcry_error_t failed = gcry_cipher_setkey(*hd, key, key_len);
    if (failed == 0) { failed = mode == GCRY_CIPHER_MODE_CBC ? gcry_cipher_setiv(*hd, iv, iv_len) : gcry_cipher_setctr(*hd, iv, iv_len); }
    if (failed == 0) { return 0; }
    gcry_cipher_close(*hd);
    *hd = NULL;
    return SG_ERR_UNKNOWN;
}

static int aes_encrypt(signal_buffer **output, int cipher, const uint8_t *key, size_t key_len, const uint8_t *iv, size_t iv_len, const uint8_t *plain,
                       size_t len, KLUIS_UNUSED void *user)
{
    gcry_cipher_hd_t hd;
    *output = NULL;
    if (len > SIZE_MAX - BLOCK) { return SG_ERR_INVAL; }
    int rc = aes_open(&hd, cipher, key, key_len, iv, iv_len);
    if (rc != 0) { return rc; }
    size_t pad = cipher == SG_CIPHER_AES_CBC_PKCS5 ? BLOCK - len % BLOCK : 0;
    signal_buffer *out = signal_buffer_alloc(len + pad);
    if (out == NULL) {
        rc = SG_ERR_NOMEM;
    } else {
        uint8_t *p = signal_buffer_data(out);
        if (len > 0) { memcpy(p, plain, len); }
        memset(p + len, (int)pad, pad);
        if (len + pad > 0 && gcry_cipher_encrypt(hd, p, len + pad, NULL, 0) != 0) { rc = SG_ERR_UNKNOWN; }
    }
    gcry_cipher_close(hd);
    if (rc == 0) {
        *output = out;
    } else {
        signal_buffer_bzero_free(out);
    }
    return rc;
}

static int aes_decrypt(signal_buffer **output, int cipher, const uint8_t *key, size_t key_len, const uint8_t *iv, size_t iv_len, const uint8_t *data,
                       size_t len, KLUIS_UNUSED void *user)
{
    gcry_cipher_hd_t hd;
    const bool padded = cipher == SG_CIPHER_AES_CBC_PKCS5;
    *output = NULL;
    if (padded && (len == 0 || len % BLOCK != 0)) { return SG_ERR_INVALID_MESSAGE; }
    int rc = aes_open(&hd, cipher, key, key_len, iv, iv_len);
    if (rc != 0) { return rc; }
    uint8_t *p = kluis_malloc(len);
    size_t plain = len;
    if (p == NULL) {
        rc = SG_ERR_NOMEM;
    } else if (len > 0 && gcry_cipher_decrypt(hd, p, len, data, len) != 0) {
        rc = SG_ERR_UNKNOWN;
    }
    gcry_cipher_close(hd);
    if (rc == 0 && padded) { /* the MAC was checked before: a wrong padding is no oracle, only a refusal */
        uint8_t pad = p[len - 1];
        bool ok = pad >= 1 && pad <= BLOCK;
        for (size_t i = 0; ok && i < pad; i++) { ok = p[len - 1 - i] == pad; }
        if (ok) {
            plain = len - pad;
        } else {
            rc = SG_ERR_INVALID_MESSAGE;
        }
    }
    if (rc == 0) {
        *output = signal_buffer_create(p, plain);
        if (*output == NULL) { rc = SG_ERR_NOMEM; }
    }
    if (p != NULL) { kluis_wipe(p, len); }
    kluis_free(p);
    return rc;
}

/* ---- context ----------------------------------------------------------------------------------- */

static void env_lock(void *user)
{
    if (pthread_mutex_lock(&((struct signal_env *)user)->lock) != 0) { abort(); }
}
static void env_unlock(void *user)
{
    if (pthread_mutex_unlock(&((struct signal_env *)user)->lock) != 0) { abort(); }
}
/* The library's messages may name peers and states; nothing of them leaves this call. */
static void env_log(KLUIS_UNUSED int level, KLUIS_UNUSED const char *message, KLUIS_UNUSED size_t len, KLUIS_UNUSED void *user) {}

kluis_status signal_env_open(struct signal_env *e, struct kluis_err *err)
{
    static const signal_crypto_provider provider = {
        .random_func = random_bytes,
        .hmac_sha256_init_func = hmac_init,
        .hmac_sha256_update_func = digest_update,
        .hmac_sha256_final_func = hmac_final,
        .hmac_sha256_cleanup_func = digest_cleanup,
        .sha512_digest_init_func = sha512_init,
        .sha512_digest_update_func = digest_update,
        .sha512_digest_final_func = sha512_final,
        .sha512_digest_cleanup_func = digest_cleanup,
        .encrypt_func = aes_encrypt,
        .decrypt_func = aes_decrypt,
    };
    memset(e, 0, sizeof *e);
    pthread_mutexattr_t recursive; /* the library locks again inside its own calls */
    if (pthread_mutexattr_init(&recursive) != 0) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "session: no memory for a lock; try again"); }
    bool ok = pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE) == 0 && pthread_mutex_init(&e->lock, &recursive) == 0;
    (void)pthread_mutexattr_destroy(&recursive);
    if (!ok) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "session: no memory for a lock; try again"); }
    e->locked_ok = true;
    if (signal_context_create(&e->context, e) < 0 || signal_context_set_crypto_provider(e->context, &provider) < 0 ||
        signal_context_set_locking_functions(e->context, env_lock, env_unlock) < 0 || signal_context_set_log_function(e->context, env_log) < 0) {
        signal_env_close(e);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "session: cannot set up the Signal library; try again");
    }
    return KLUIS_OK;
}

void signal_env_close(struct signal_env *e)
{
    if (e->context != NULL) { signal_context_destroy(e->context); }
    if (e->locked_ok) { (void)pthread_mutex_destroy(&e->lock); }
    memset(e, 0, sizeof *e);
}
