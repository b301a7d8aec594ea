/* key.c - from the 30 digits to the keys: 250,000 rounds of SHA-512, then HKDF-SHA-256.
 */
#include "agent/source/derived.h"
#include "agent/source/signal_android/backup.h"

#include <gcrypt.h>

enum { ROUNDS = 250000, DIGEST = DERIVED_KEY };

static bool digits_of(const char *typed, char out[SA_DIGITS])
{
    size_t n = 0;
    for (const char *p = typed; *p != '\0'; p++) {
        if (*p == ' ' || *p == '-' || *p == '\n' || *p == '\r' || *p == '\t') { continue; }
        if (*p < '0' || *p > '9' || n == SA_DIGITS) { return false; }
        out[n++] = *p;
    }
    return n == SA_DIGITS;
}

struct asked {
    const char *digits;
    struct kluis_bytes salt;
};

static kluis_status rounds_of(const void *ctx, uint8_t hash[DERIVED_KEY], struct kluis_err *err)
{
    const struct asked *a = ctx;
    gcry_md_hd_t h;
    if (gcry_md_open(&h, GCRY_MD_SHA512, 0) != 0) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    gcry_md_write(h, a->salt.ptr, a->salt.len);
    gcry_md_write(h, a->digits, SA_DIGITS);
    for (int i = 0; i < ROUNDS; i++) {
        if (i > 0) {
            gcry_md_reset(h);
            gcry_md_write(h, hash, DIGEST);
        }
        gcry_md_write(h, a->digits, SA_DIGITS);
        memcpy(hash, gcry_md_read(h, 0), DIGEST);
    }
    gcry_md_close(h);
    return KLUIS_OK;
}

kluis_status sa_keys_from(struct sa_keys *k, const char *typed, struct kluis_bytes salt, struct kluis_err *err)
{
    static const char info[] = "Backup Export";
    char digits[SA_DIGITS];
    uint8_t hash[DERIVED_KEY], both[2 * SA_KEY];
    if (!digits_of(typed, digits)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "the passphrase is not 30 digits: it is what Signal showed when backups were turned on");
    }
    const struct asked ask = { digits, salt };
    const struct kluis_bytes from[] = { { (const uint8_t *)digits, SA_DIGITS }, salt };
    kluis_status rc = derived_key("signal-android", from, sizeof from / sizeof *from, rounds_of, &ask, hash, err);
    if (rc != KLUIS_OK) {
        kluis_wipe(digits, sizeof digits);
        return rc;
    }
    rc = kluis_hkdf_sha256((struct kluis_bytes){ hash, SA_KEY }, (struct kluis_bytes){ NULL, 0 },
                           (struct kluis_bytes){ (const uint8_t *)info, sizeof info - 1 }, both, sizeof both, err);
    if (rc == KLUIS_OK) {
        memcpy(k->cipher, both, SA_KEY);
        memcpy(k->mac, both + SA_KEY, SA_KEY);
    }
    kluis_wipe(digits, sizeof digits);
    kluis_wipe(hash, sizeof hash);
    kluis_wipe(both, sizeof both);
    return rc;
}
