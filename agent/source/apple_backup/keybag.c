/* keybag.c - the keybag of a backup: tags of four characters, a big-endian length, a value.  See backup.h. */
#include "agent/source/apple_backup/backup.h"
#include "agent/source/derived.h"

#include <gcrypt.h>
#include <openssl/evp.h>

enum { ROUNDS_MAX = 100000000, WRAPPED_BY_PASSCODE = 2 };

static uint32_t be32(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }

kluis_status keybag_read(struct kluis_bytes tlv, struct keybag *out, struct kluis_err *err)
{
    bool head = true, first = true;
    memset(out, 0, sizeof *out);
    for (size_t at = 0; at < tlv.len;) {
        if (tlv.len - at < 8) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "the backup's keybag breaks off"); }
        const uint8_t *tag = tlv.ptr + at;
        size_t n = be32(tag + 4);
        at += 8;
        if (n > tlv.len - at) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "the backup's keybag breaks off"); }
        struct kluis_bytes v = { tlv.ptr + at, n };
        uint32_t number = n == 4 ? be32(v.ptr) : 0;
        at += n;
        if (memcmp(tag, "UUID", 4) == 0 && n == 16) {
            if (!first) { /* the bag's own comes first, then one a class */
                head = false;
                if (out->n == BACKUP_CLASSES) {
                    return KLUIS_FAIL(err, KLUIS_E_LIMIT, "the backup's keybag has more than %d classes", BACKUP_CLASSES);
                }
                out->n++;
            }
            first = false;
        } else if (head) {
            if (memcmp(tag, "SALT", 4) == 0) { out->salt = v; }
            if (memcmp(tag, "DPSL", 4) == 0) { out->double_salt = v; }
            if (memcmp(tag, "ITER", 4) == 0) { out->iterations = number; }
            if (memcmp(tag, "DPIC", 4) == 0) { out->double_iterations = number; }
        } else {
            size_t i = out->n - 1;
            if (memcmp(tag, "CLAS", 4) == 0) { out->classes[i].number = number; }
            if (memcmp(tag, "WRAP", 4) == 0) { out->classes[i].wrap = number; }
            if (memcmp(tag, "WPKY", 4) == 0 && n == 40) { out->classes[i].wrapped = v; }
        }
    }
    if (out->n == 0 || out->salt.len == 0 || out->salt.len > 1024 || out->double_salt.len > 1024 || out->iterations == 0) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "the backup's keybag has no salt, no rounds or no classes");
    }
    if (out->iterations > ROUNDS_MAX || out->double_iterations > ROUNDS_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "the backup's keybag asks for more than %d rounds", ROUNDS_MAX);
    }
    return KLUIS_OK;
}

bool key_unwrap(const uint8_t kek[32], const uint8_t wrapped[40], uint8_t out[32])
{
    gcry_cipher_hd_t h = NULL;
    gcry_error_t e = gcry_cipher_open(&h, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_AESWRAP, 0);
    if (e == 0) { e = gcry_cipher_setkey(h, kek, 32); }
    if (e == 0) { e = gcry_cipher_decrypt(h, out, 32, wrapped, 40); }
    gcry_cipher_close(h);
    return e == 0;
}

struct asked {
    const struct keybag *b;
    struct kluis_bytes password;
};

static kluis_status passcode_of(const void *ctx, uint8_t out[DERIVED_KEY], struct kluis_err *err)
{
    const struct asked *a = ctx;
    const struct keybag *b = a->b;
    uint8_t first[32];
    struct kluis_bytes secret = a->password;
    bool ok = secret.len <= 4096;
    /* Since iOS 10.2 a round of SHA-256 comes before that of SHA-1. */
    if (b->double_iterations > 0) {
        ok = ok && PKCS5_PBKDF2_HMAC((const char *)secret.ptr, (int)secret.len, b->double_salt.ptr, (int)b->double_salt.len,
                                     (int)b->double_iterations, EVP_sha256(), sizeof first, first) == 1;
        secret = (struct kluis_bytes){ first, sizeof first };
    }
    ok = ok &&
         PKCS5_PBKDF2_HMAC((const char *)secret.ptr, (int)secret.len, b->salt.ptr, (int)b->salt.len, (int)b->iterations, EVP_sha1(), 32, out) == 1;
    kluis_wipe(first, sizeof first);
    return ok ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_REJECT, "the backup's password cannot be used: longer than 4,096 bytes?");
}

kluis_status keybag_open(const struct keybag *b, struct kluis_bytes password, struct class_keys *keys, struct kluis_err *err)
{
    uint8_t passcode[DERIVED_KEY];
    const struct asked ask = { b, password };
    const uint32_t rounds[] = { b->double_iterations, b->iterations };
    const struct kluis_bytes from[] = { password, b->double_salt, b->salt, { (const uint8_t *)rounds, sizeof rounds } };
    KLUIS_TRY(derived_key("apple-backup", from, sizeof from / sizeof *from, passcode_of, &ask, passcode, err));
    keys->n = 0;
    size_t tried = 0;
    for (size_t i = 0; i < b->n; i++) {
        if ((b->classes[i].wrap & WRAPPED_BY_PASSCODE) == 0 || b->classes[i].wrapped.ptr == NULL) { continue; }
        tried++;
        if (key_unwrap(passcode, b->classes[i].wrapped.ptr, keys->key[keys->n])) { keys->number[keys->n++] = b->classes[i].number; }
    }
    kluis_wipe(passcode, sizeof passcode);
    if (keys->n == 0 && tried > 0) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "wrong password: it does not open this backup"); }
    return keys->n > 0 ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_REJECT, "the backup's keybag holds no class that a password opens");
}
