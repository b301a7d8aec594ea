/* key.c - the key of Signal Desktop's database: in config.json as it is, or sealed with a secret of the desktop's keystore.
 *
 * Sealed as Chromium seals: "v10" or "v11", then AES-128-CBC with an IV of spaces under PBKDF2-SHA-1 of the secret ("saltysalt"; one round on Linux,
 * 1,003 on macOS).  "v10" on Linux (basic_text) has a secret that everybody knows.
 */
#include "agent/source/keyring.h"
#include "agent/source/signal_desktop/desktop.h"

#include <gcrypt.h>

enum { CONFIG_MAX = 1 << 20, SEALED_MAX = 512, SECRET_MAX = 4096, AES128 = 16 };

static bool hex_key(struct kluis_str text, uint8_t key[DESKTOP_KEY])
{
    char lower[2 * DESKTOP_KEY + 1];
    if (text.ptr == NULL || text.len != sizeof lower - 1) { return false; }
    for (size_t i = 0; i < text.len; i++) { lower[i] = text.ptr[i] >= 'A' && text.ptr[i] <= 'F' ? (char)(text.ptr[i] + 32) : text.ptr[i]; }
    bool ok = kluis_unhex((struct kluis_str){ lower, text.len }, key, DESKTOP_KEY);
    kluis_wipe(lower, sizeof lower);
    return ok;
}

static bool unseal(const uint8_t *p, size_t n, const char *secret, unsigned rounds, uint8_t key[DESKTOP_KEY])
{
    uint8_t k[AES128], out[SEALED_MAX];
    gcry_cipher_hd_t hd;
    if (n == 0 || n % AES128 != 0 || n > sizeof out || strlen(secret) == 0) { return false; }
    if (gcry_kdf_derive(secret, strlen(secret), GCRY_KDF_PBKDF2, GCRY_MD_SHA1, "saltysalt", 9, rounds, sizeof k, k) != 0) { return false; }
    if (gcry_cipher_open(&hd, GCRY_CIPHER_AES128, GCRY_CIPHER_MODE_CBC, 0) != 0) { return false; }
    bool ok = gcry_cipher_setkey(hd, k, sizeof k) == 0 && gcry_cipher_setiv(hd, "                ", AES128) == 0 &&
              gcry_cipher_decrypt(hd, out, n, p, n) == 0;
    gcry_cipher_close(hd);
    size_t pad = ok ? out[n - 1] : 0;
    ok = ok && pad >= 1 && pad <= AES128 && hex_key((struct kluis_str){ (const char *)out, n - pad }, key);
    kluis_wipe(out, sizeof out);
    kluis_wipe(k, sizeof k);
    return ok;
}

static kluis_status sealed_key(const struct source_request *q, const char *path, struct json *config, struct kluis_str sealed,
                               uint8_t key[DESKTOP_KEY], struct kluis_err *err)
{
    uint8_t bytes[SEALED_MAX];
    const char *given;
    const size_t n = sealed.len / 2;
    KLUIS_TRY(source_secret(q, "secret", &given, err));
    if (n < 3 + AES128 || n > sizeof bytes || !kluis_unhex(sealed, bytes, n) || memcmp(bytes, "v1", 2) != 0) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: its encryptedKey is none that is known here; give the key itself as --option key=@FILE", path);
    }
    const bool basic = kluis_str_is(json_string(config, "safeStorageBackend"), "basic_text");
    if (given != NULL) {
        if (unseal(bytes + 3, n - 3, given, 1, key) || unseal(bytes + 3, n - 3, given, 1003, key)) { return KLUIS_OK; }
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: this secret does not open the key in it", path);
    }
    if (bytes[2] == '0' && unseal(bytes + 3, n - 3, "peanuts", 1, key)) { return KLUIS_OK; }
    static const struct keyring_item item = { "chrome_libsecret_os_crypt_password_v2", true, { { "application", "Signal" } } };
    KLUIS_AUTO_BUF(found, SECRET_MAX);
    bool ok = !basic && keyring_get(&item, &found, NULL) == KLUIS_OK;
    kluis_buf_byte(&found, 0);
    ok = ok && kluis_buf_ok(&found, NULL) == KLUIS_OK && unseal(bytes + 3, n - 3, (const char *)found.data, 1, key);
    if (found.data != NULL) { kluis_wipe(found.data, found.cap); }
    return ok ? KLUIS_OK
              : KLUIS_FAIL(err, KLUIS_E_USAGE,
                           "%s: the key in it is sealed by a keystore that cannot be asked here; give the keystore's secret for Signal as --option "
                           "secret=@FILE, or the key itself as key=@FILE",
                           path);
}

static kluis_status from_config(const struct source_request *q, const char *path, struct kluis_arena *arena, struct kluis_buf *text,
                                uint8_t key[DESKTOP_KEY], struct kluis_err *err)
{
    struct json *config;
    kluis_status rc = kluis_read_file(path, CONFIG_MAX, text, err);
    if (rc == KLUIS_E_NOTFOUND) {
        kluis_err_clear(err);
        return KLUIS_FAIL(err, KLUIS_E_USAGE,
                          "%s: not there; give Signal's whole folder, or the database's key (64 hexadecimal digits) as --option key=@FILE", path);
    }
    KLUIS_TRY(rc);
    if (json_read((struct kluis_str){ (const char *)text->data, text->len }, arena, &config, NULL) != KLUIS_OK) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: not the configuration of Signal Desktop", path);
    }
    struct kluis_str plain = json_string(config, "key"), sealed = json_string(config, "encryptedKey");
    if (sealed.ptr != NULL) { return sealed_key(q, path, config, sealed, key, err); }
    if (hex_key(plain, key)) { return KLUIS_OK; }
    return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: no key in it", path);
}

kluis_status desktop_key(const struct source_request *q, const char *folder, uint8_t key[DESKTOP_KEY], struct kluis_err *err)
{
    const char *given;
    char path[KLUIS_PATH_MAX];
    KLUIS_TRY(source_secret(q, "key", &given, err));
    if (given != NULL) {
        if (hex_key(kluis_str_of(given), key)) { return KLUIS_OK; }
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "the key is not 64 hexadecimal digits");
    }
    if (folder == NULL) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE,
                          "the database is encrypted: give Signal's whole folder, or its key (64 hexadecimal digits) as --option key=@FILE");
    }
    KLUIS_TRY(kluis_path(path, sizeof path, folder, "config.json", err));
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(8 << 20);
    KLUIS_AUTO_BUF(text, CONFIG_MAX);
    if (arena == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    kluis_status rc = from_config(q, path, arena, &text, key, err);
    if (text.data != NULL) { kluis_wipe(text.data, text.cap); }
    return rc;
}
