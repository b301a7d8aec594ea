/* key.c - the keys of an archive, all by HKDF-SHA-256 from the recovery key ("account entropy pool") that the app shows its user.
 */
#include "agent/source/signal_archive/archive.h"

#include <gcrypt.h>

#define INFO_BACKUP "20240801_SIGNAL_BACKUP_KEY"
#define INFO_ID "20241024_SIGNAL_BACKUP_ID:"
#define INFO_METADATA "20241011_SIGNAL_LOCAL_BACKUP_METADATA_KEY"
#define INFO_MESSAGES "20241007_SIGNAL_BACKUP_ENCRYPT_MESSAGE_BACKUP:"
#define INFO_MESSAGES_TOKEN "20250708_SIGNAL_BACKUP_ENCRYPT_MESSAGE_BACKUP:"

enum { INFO_MAX = 96, ACI = 16, NONCE = 12, BLOCK = 16 };

static const struct kluis_bytes no_salt = { NULL, 0 };

static kluis_status derive(const uint8_t key[ARCHIVE_KEY], struct kluis_bytes salt, const char *label, const uint8_t *id, size_t id_len, uint8_t *out,
                           size_t n, struct kluis_err *err)
{
    uint8_t info[INFO_MAX];
    size_t len = strlen(label);
    if (len + id_len > sizeof info) { return KLUIS_FAIL(err, KLUIS_E_BUG, "a label is too long"); }
    memcpy(info, label, len);
    if (id_len > 0) { memcpy(info + len, id, id_len); }
    return kluis_hkdf_sha256((struct kluis_bytes){ key, ARCHIVE_KEY }, salt, (struct kluis_bytes){ info, len + id_len }, out, n, err);
}

kluis_status archive_key_recovery(struct archive_keys *k, const char *typed, struct kluis_err *err)
{
    size_t n = 0;
    for (const char *p = typed; *p != '\0'; p++) {
        char c = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
        if (c == ' ' || c == '-' || c == '\n' || c == '\r' || c == '\t') { continue; }
        const bool known = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!known || n >= RECOVERY_KEY_LEN) {
            n = 0;
            break;
        }
        k->recovery[n++] = c;
    }
    if (n != RECOVERY_KEY_LEN) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "the recovery key is not 64 letters and digits: copy it from Signal's settings, under backups");
    }
    return kluis_hkdf_sha256((struct kluis_bytes){ (const uint8_t *)k->recovery, RECOVERY_KEY_LEN }, no_salt,
                             (struct kluis_bytes){ (const uint8_t *)INFO_BACKUP, sizeof INFO_BACKUP - 1 }, k->backup, sizeof k->backup, err);
}

kluis_status archive_key_id_of_account(struct archive_keys *k, const uint8_t aci[16], uint8_t id[ARCHIVE_ID], struct kluis_err *err)
{
    return derive(k->backup, no_salt, INFO_ID, aci, ACI, id, ARCHIVE_ID, err);
}

static bool ctr(const uint8_t key[ARCHIVE_KEY], struct kluis_bytes nonce, struct kluis_bytes in, uint8_t *out)
{
    gcry_cipher_hd_t hd;
    uint8_t block[BLOCK] = { 0 };
    memcpy(block, nonce.ptr, nonce.len);
    if (gcry_cipher_open(&hd, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_CTR, 0) != 0) { return false; }
    bool ok = gcry_cipher_setkey(hd, key, ARCHIVE_KEY) == 0 && gcry_cipher_setctr(hd, block, BLOCK) == 0 &&
              gcry_cipher_decrypt(hd, out, in.len, in.ptr, in.len) == 0;
    gcry_cipher_close(hd);
    return ok;
}

/* Metadata: 1 version, 2 { 1 nonce of 12 bytes, 2 id under AES-256-CTR }. */
kluis_status archive_key_id_of_metadata(struct archive_keys *k, struct kluis_bytes metadata, struct kluis_err *err)
{
    struct pb m = pb_open(metadata), inner = { NULL, NULL };
    struct pb_field f;
    struct kluis_bytes nonce = { NULL, 0 }, id = { NULL, 0 };
    int more;
    uint64_t version = 0;
    while ((more = pb_next(&m, &f)) > 0) {
        if (f.number == 1 && f.type == PB_VARINT) { version = f.value; }
        if (f.number == 2 && f.type == PB_BYTES) { inner = pb_open(f.bytes); }
    }
    if (more == 0 && inner.p == NULL) { more = -1; }
    while (more >= 0 && (more = pb_next(&inner, &f)) > 0) {
        if (f.number == 1 && f.type == PB_BYTES) { nonce = f.bytes; }
        if (f.number == 2 && f.type == PB_BYTES) { id = f.bytes; }
    }
    if (more != 0 || nonce.len != NONCE || id.len != ARCHIVE_ID) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "not the metadata of a Signal backup (version %llu)", (unsigned long long)version);
    }
    uint8_t key[ARCHIVE_KEY];
    kluis_status rc = derive(k->backup, no_salt, INFO_METADATA, NULL, 0, key, sizeof key, err);
    if (rc == KLUIS_OK && !ctr(key, nonce, id, k->id)) { rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    kluis_wipe(key, sizeof key);
    return rc;
}

kluis_status archive_key_messages(struct archive_keys *k, const uint8_t *token, struct kluis_err *err)
{
    uint8_t both[2 * ARCHIVE_KEY];
    const struct kluis_bytes salt = token != NULL ? (struct kluis_bytes){ token, ARCHIVE_KEY } : no_salt;
    KLUIS_TRY(derive(k->backup, salt, token != NULL ? INFO_MESSAGES_TOKEN : INFO_MESSAGES, k->id, ARCHIVE_ID, both, sizeof both, err));
    memcpy(k->mac, both, ARCHIVE_KEY);
    memcpy(k->aes, both + ARCHIVE_KEY, ARCHIVE_KEY);
    kluis_wipe(both, sizeof both);
    return KLUIS_OK;
}
