/* agent/journal/box.c - small values at rest: AES-256-GCM under the home key.  See home.h. */
#include "agent/journal/home.h"

#include <gcrypt.h>

/* nonce 12 || ciphertext || tag 16; the label is authenticated, so that a box cannot stand in another's place. */
enum { NONCE = 12, TAG = 16 };

static kluis_status start(const struct home *h, const char *label, const uint8_t nonce[NONCE], gcry_cipher_hd_t *hd, struct kluis_err *err)
{
    if (gcry_cipher_open(hd, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_GCM, 0) != 0) {
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for a cipher");
    }
    if (gcry_cipher_setkey(*hd, h->secret, HOME_KEY) != 0 || gcry_cipher_setiv(*hd, nonce, NONCE) != 0 ||
        gcry_cipher_authenticate(*hd, label, strlen(label)) != 0) {
        gcry_cipher_close(*hd);
        return KLUIS_FAIL(err, KLUIS_E_BUG, "cannot set up the home cipher");
    }
    return KLUIS_OK;
}

kluis_status home_box(const struct home *h, const char *label, struct kluis_bytes plain, struct kluis_buf *out, struct kluis_err *err)
{
    uint8_t nonce[NONCE];
    gcry_cipher_hd_t hd = NULL;
    kluis_random(nonce, sizeof nonce);
    uint8_t *p = kluis_buf_reserve(out, plain.len + HOME_BOX_EXTRA);
    if (p == NULL) { return kluis_buf_ok(out, err); }
    KLUIS_TRY(start(h, label, nonce, &hd, err));
    memcpy(p, nonce, NONCE);
    gcry_error_t e = 0;
    if (plain.len > 0) { e = gcry_cipher_encrypt(hd, p + NONCE, plain.len, plain.ptr, plain.len); }
    if (e == 0) { e = gcry_cipher_gettag(hd, p + NONCE + plain.len, TAG); }
    gcry_cipher_close(hd);
    if (e != 0) { return KLUIS_FAIL(err, KLUIS_E_BUG, "cannot encrypt a value under the home key"); }
    out->len += plain.len + HOME_BOX_EXTRA;
    return KLUIS_OK;
}

kluis_status home_unbox(const struct home *h, const char *label, struct kluis_bytes box, struct kluis_buf *plain, struct kluis_err *err)
{
    gcry_cipher_hd_t hd = NULL;
    if (box.ptr == NULL || box.len < HOME_BOX_EXTRA) {
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a stored value of agent.db is cut short: restore the home folder");
    }
    size_t n = box.len - HOME_BOX_EXTRA;
    uint8_t *p = kluis_buf_reserve(plain, n + 1);
    if (p == NULL) { return kluis_buf_ok(plain, err); }
    KLUIS_TRY(start(h, label, box.ptr, &hd, err));
    gcry_error_t e = 0;
    if (n > 0) { e = gcry_cipher_decrypt(hd, p, n, box.ptr + NONCE, n); }
    if (e == 0) { e = gcry_cipher_checktag(hd, box.ptr + NONCE + n, TAG); }
    gcry_cipher_close(hd);
    if (e != 0) {
        kluis_wipe(p, n);
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a stored value of agent.db does not open with this home key: restore the home folder");
    }
    plain->len += n;
    return KLUIS_OK;
}
