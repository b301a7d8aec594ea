/* server/index/keys.c - the keys of the index files, sealed together under the master key.  See internal.h.
 *
 * <dir>/keys: wire frame chatkluis-index-keys-v1 ‖ salt[16] ‖ nonce[12] ‖ AES-256-GCM(plain) ‖ tag[16];
 * key = HKDF-SHA-256(master key, salt, "chatkluis-index-keys-v1"), associated data = label ‖ salt; plain = name of the hot file,
 * then (name ‖ key[32])*.  Salt and nonce are new with every write.  A dropped key is gone from this file; blocks that the
 * file system has not reused may still hold an earlier file, openable by whoever has the master key (docs/THREATS.md).
 */
#include "server/index/internal.h"

#include <gcrypt.h>
#include <pthread.h>

#define LABEL "chatkluis-index-keys-v1"
enum { FILE_MAX = 256 << 10 };

struct secret {
    uint8_t master[32];
    uint8_t key[IKEYS_MAX][32];
};
struct ikeys {
    pthread_mutex_t lock;
    char path[KLUIS_PATH_MAX];
    struct secret *secret;
    char names[IKEYS_MAX][IKEYS_NAME];
    size_t n;
    char hot[IKEYS_NAME];
};

static kluis_status run_cipher(const struct ikeys *k, const uint8_t salt[16], const uint8_t nonce[12], uint8_t *data, size_t n, uint8_t tag[16],
                               bool seal, struct kluis_err *err)
{
    uint8_t key[32];
    const struct kluis_bytes info = { (const uint8_t *)LABEL, sizeof LABEL - 1 };
    KLUIS_TRY(kluis_hkdf_sha256((struct kluis_bytes){ k->secret->master, 32 }, (struct kluis_bytes){ salt, 16 }, info, key, sizeof key, err));
    gcry_cipher_hd_t h = NULL;
    gcry_error_t e = gcry_cipher_open(&h, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_GCM, 0);
    if (e == 0) { e = gcry_cipher_setkey(h, key, 32); }
    kluis_wipe(key, sizeof key);
    if (e == 0) { e = gcry_cipher_setiv(h, nonce, 12); }
    if (e == 0) { e = gcry_cipher_authenticate(h, LABEL, sizeof LABEL - 1); }
    if (e == 0) { e = gcry_cipher_authenticate(h, salt, 16); }
    if (e == 0) { e = seal ? gcry_cipher_encrypt(h, data, n, NULL, 0) : gcry_cipher_decrypt(h, data, n, NULL, 0); }
    if (e == 0) { e = seal ? gcry_cipher_gettag(h, tag, 16) : gcry_cipher_checktag(h, tag, 16); }
    gcry_cipher_close(h);
    if (e == 0) { return KLUIS_OK; }
    return seal ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot seal the index keys")
                : KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the index keys do not open: damaged, or another master key; delete the index and rebuild it");
}

static kluis_status save(struct ikeys *k, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(plain, FILE_MAX);
    KLUIS_AUTO_BUF(file, FILE_MAX + 256);
    /* Whole size first: growing would leave copies of keys in freed memory. */
    uint8_t salt[16], nonce[12], tag[16];
    kluis_random(salt, sizeof salt);
    kluis_random(nonce, sizeof nonce);
    if (kluis_buf_reserve(&plain, 64 + k->n * (IKEYS_NAME + 48)) == NULL) { return kluis_buf_ok(&plain, err); }
    kluis_wire_field(&plain, k->hot, strlen(k->hot));
    for (size_t i = 0; i < k->n; i++) {
        kluis_wire_field(&plain, k->names[i], strlen(k->names[i]));
        kluis_wire_field(&plain, k->secret->key[i], 32);
    }
    kluis_status rc = kluis_buf_ok(&plain, err);
    if (rc == KLUIS_OK) { rc = run_cipher(k, salt, nonce, plain.data, plain.len, tag, true, err); }
    if (rc != KLUIS_OK) {
        kluis_wipe(plain.data, plain.len);
        return rc;
    }
    kluis_wire_label(&file, LABEL);
    kluis_wire_field(&file, salt, sizeof salt);
    kluis_wire_field(&file, nonce, sizeof nonce);
    kluis_wire_field(&file, plain.data, plain.len);
    kluis_wire_field(&file, tag, sizeof tag);
    KLUIS_TRY(kluis_buf_ok(&file, err));
    return kluis_write_file(k->path, file.data, file.len, 0600, err);
}

static bool parse(struct ikeys *k, struct kluis_bytes plain)
{
    struct kluis_wire w = kluis_wire_open(plain);
    struct kluis_bytes hot = kluis_wire_get(&w, IKEYS_NAME - 1);
    if (w.bad) { return false; }
    memcpy(k->hot, hot.ptr, hot.len);
    while (kluis_wire_more(&w)) {
        struct kluis_bytes name = kluis_wire_get(&w, IKEYS_NAME - 1);
        if (w.bad || k->n == IKEYS_MAX) { return false; }
        memcpy(k->names[k->n], name.ptr, name.len);
        if (!kluis_wire_fixed(&w, k->secret->key[k->n], 32)) { return false; }
        k->n++;
    }
    return !w.bad;
}

static kluis_status load(struct ikeys *k, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(file, FILE_MAX + 256);
    KLUIS_TRY(kluis_read_file(k->path, FILE_MAX + 256, &file, err));
    struct kluis_wire w = kluis_wire_open(kluis_buf_bytes(&file));
    uint8_t salt[16], nonce[12], tag[16];
    (void)kluis_wire_is(&w, LABEL);
    (void)kluis_wire_fixed(&w, salt, sizeof salt);
    (void)kluis_wire_fixed(&w, nonce, sizeof nonce);
    struct kluis_bytes sealed = kluis_wire_get(&w, FILE_MAX);
    (void)kluis_wire_fixed(&w, tag, sizeof tag);
    if (w.bad || kluis_wire_more(&w)) {
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the index keys are damaged or of another version: delete the index and rebuild it");
    }
    uint8_t *plain = file.data + (sealed.ptr - file.data);
    kluis_status rc = run_cipher(k, salt, nonce, plain, sealed.len, tag, false, err);
    if (rc == KLUIS_OK && !parse(k, (struct kluis_bytes){ plain, sealed.len })) {
        rc = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the index keys are malformed");
    }
    kluis_wipe(plain, sealed.len);
    return rc;
}

kluis_status ikeys_open(struct ikeys **out, const char *dir, const uint8_t master[32], bool create, struct kluis_err *err)
{
    *out = NULL;
    struct ikeys *k = kluis_calloc(1, sizeof *k);
    if (k == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    (void)pthread_mutex_init(&k->lock, NULL);
    k->secret = kluis_secret_new(sizeof *k->secret);
    kluis_status rc = k->secret == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory") : kluis_path(k->path, sizeof k->path, dir, "keys", err);
    if (rc == KLUIS_OK) {
        memcpy(k->secret->master, master, 32);
        rc = create ? save(k, err) : load(k, err);
    }
    if (rc != KLUIS_OK) {
        ikeys_free(k);
        return rc;
    }
    *out = k;
    return KLUIS_OK;
}

void ikeys_free(struct ikeys *k)
{
    if (k == NULL) { return; }
    kluis_secret_free(k->secret, sizeof *k->secret);
    (void)pthread_mutex_destroy(&k->lock);
    kluis_free(k);
}

static size_t find(const struct ikeys *k, const char *name, size_t len)
{
    size_t i = 0;
    while (i < k->n && (strlen(k->names[i]) != len || memcmp(k->names[i], name, len) != 0)) { i++; }
    return i;
}

static void forget(struct ikeys *k, const char *name)
{
    size_t i = find(k, name, strlen(name));
    if (i == k->n) { return; }
    k->n--;
    memmove(k->names[i], k->names[i + 1], (k->n - i) * sizeof k->names[0]);
    memmove(k->secret->key[i], k->secret->key[i + 1], (k->n - i) * 32);
    kluis_wipe(k->secret->key[k->n], 32);
}

kluis_status ikeys_add(struct ikeys *k, const char *name, struct kluis_err *err)
{
    size_t len = strlen(name);
    if (len == 0 || len >= IKEYS_NAME) { return KLUIS_FAIL(err, KLUIS_E_BUG, "an index file name of %zu bytes", len); }
    (void)pthread_mutex_lock(&k->lock);
    kluis_status rc = KLUIS_OK;
    if (find(k, name, len) != k->n) {
        rc = KLUIS_FAIL(err, KLUIS_E_BUG, "index file '%s' has a key already", name);
    } else if (k->n == IKEYS_MAX) {
        rc = KLUIS_FAIL(err, KLUIS_E_LIMIT, "more than %d index files", IKEYS_MAX);
    } else {
        memcpy(k->names[k->n], name, len + 1);
        kluis_random(k->secret->key[k->n], 32);
        k->n++;
        rc = save(k, err);
        if (rc != KLUIS_OK) { forget(k, name); }
    }
    (void)pthread_mutex_unlock(&k->lock);
    return rc;
}

kluis_status ikeys_drop(struct ikeys *k, const char *name, struct kluis_err *err)
{
    (void)pthread_mutex_lock(&k->lock);
    forget(k, name);
    kluis_status rc = save(k, err);
    (void)pthread_mutex_unlock(&k->lock);
    return rc;
}

kluis_status ikeys_switch_hot(struct ikeys *k, const char *name, struct kluis_err *err)
{
    (void)pthread_mutex_lock(&k->lock);
    char old[IKEYS_NAME];
    memcpy(old, k->hot, sizeof old);
    (void)snprintf(k->hot, sizeof k->hot, "%s", name);
    if (strcmp(old, name) != 0) { forget(k, old); }
    kluis_status rc = save(k, err);
    (void)pthread_mutex_unlock(&k->lock);
    return rc;
}

void ikeys_hot(struct ikeys *k, char name[IKEYS_NAME])
{
    (void)pthread_mutex_lock(&k->lock);
    memcpy(name, k->hot, IKEYS_NAME);
    (void)pthread_mutex_unlock(&k->lock);
}

bool ikeys_find(struct ikeys *k, const char *name, size_t len, uint8_t key[32])
{
    (void)pthread_mutex_lock(&k->lock);
    size_t i = find(k, name, len);
    bool found = i < k->n;
    if (found) { memcpy(key, k->secret->key[i], 32); }
    (void)pthread_mutex_unlock(&k->lock);
    return found;
}

size_t ikeys_list(struct ikeys *k, char (*names)[IKEYS_NAME], size_t max)
{
    (void)pthread_mutex_lock(&k->lock);
    size_t n = k->n < max ? k->n : max;
    memcpy(names, k->names, n * sizeof k->names[0]);
    (void)pthread_mutex_unlock(&k->lock);
    return n;
}
