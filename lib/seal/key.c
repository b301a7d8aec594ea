/* lib/seal/key.c - private keys in files, plain signatures: P-256, or RSA of 3072 bits and more, with SHA-256. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

struct kluis_key {
    EVP_PKEY *pkey;
};

enum { PEM_MAX = 64 << 10 };

/* OpenSSL 3's decoders give back the bytes of a private key that they decoded without wiping them, so all that it gives back is wiped.  Set
 * before main: OpenSSL takes it only before its first allocation. */
static void *take(size_t n, KLUIS_UNUSED const char *file, KLUIS_UNUSED int line) { return kluis_malloc(n); }
static void give_back(void *p, KLUIS_UNUSED const char *file, KLUIS_UNUSED int line)
{
    if (p != NULL) { kluis_wipe(p, malloc_usable_size(p)); }
    kluis_free(p);
}
static void *take_more(void *p, size_t n, const char *file, int line)
{
    size_t had = p == NULL ? 0 : malloc_usable_size(p);
    if (n != 0 && had >= n) { return p; }
    void *q = n == 0 ? NULL : take(n, file, line);
    if (n != 0 && q == NULL) { return NULL; }
    if (had > 0 && q != NULL) { memcpy(q, p, had); }
    give_back(p, file, line);
    return q;
}
__attribute__((constructor)) static void wipe_what_openssl_gives_back(void) { (void)CRYPTO_set_mem_functions(take, take_more, give_back); }

EVP_PKEY *key_pkey(const struct kluis_key *k) { return k->pkey; }

static _Thread_local uint64_t entered; /* the mark of the latest ossl_enter */

uint64_t ossl_enter(void)
{
    ERR_clear_error();
    return entered = kluis_memory_mark();
}

kluis_status ossl_leave(uint64_t mark, kluis_status st, const char *what, struct kluis_err *err)
{
    bool starved = kluis_memory_refused(mark);
    ERR_clear_error();
    return starved ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "%s: out of memory; try again", what) : st;
}

kluis_status ossl_failed(struct kluis_err *err, kluis_status otherwise, const char *what)
{
    char text[120] = "no reason given";
    bool nomem = false;
    for (unsigned long e = ERR_get_error(); e; e = ERR_get_error()) {
        nomem = nomem || ERR_GET_REASON(e) == ERR_R_MALLOC_FAILURE;
        const char *reason = ERR_reason_error_string(e);
        if (reason) { (void)snprintf(text, sizeof text, "%s", reason); }
    }
    /* Out of memory, OpenSSL often cannot note why it failed, and its decoders then call what they were given unsupported. */
    nomem = kluis_memory_refused(entered) || nomem;
    return KLUIS_FAIL(err, nomem ? KLUIS_E_NOMEM : otherwise, "%s: %s", what, text);
}

/* Appends what an i2d function writes. */
static kluis_status put_spki(const EVP_PKEY *pkey, struct kluis_buf *out, struct kluis_err *err)
{
    uint8_t *der = NULL;
    int n = i2d_PUBKEY(pkey, &der);
    if (n <= 0) { return ossl_failed(err, KLUIS_E_BUG, "public key"); }
    kluis_buf_add(out, der, (size_t)n);
    OPENSSL_free(der);
    return kluis_buf_ok(out, err);
}

/* Takes pkey over; refuses keys that no verdict of ours would accept. */
static kluis_status wrap(EVP_PKEY *pkey, struct kluis_key **out, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(spki, KLUIS_CERT_MAX);
    kluis_status st = put_spki(pkey, &spki, err);
    if (st == KLUIS_OK && spki_kind(kluis_buf_bytes(&spki)) == KEY_REFUSED) {
        st = KLUIS_FAIL(err, KLUIS_E_REJECT, "private key: must be P-256, P-384 or RSA of 3072 bits or more");
    }
    struct kluis_key *k = st == KLUIS_OK ? kluis_calloc(1, sizeof *k) : NULL;
    if (!k) {
        EVP_PKEY_free(pkey);
        return st != KLUIS_OK ? st : KLUIS_FAIL(err, KLUIS_E_NOMEM, "private key: out of memory");
    }
    k->pkey = pkey;
    *out = k;
    return KLUIS_OK;
}

kluis_status kluis_key_generate(struct kluis_key **out, struct kluis_err *err)
{
    *out = NULL;
    (void)ossl_enter();
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    if (!pkey) { return ossl_failed(err, KLUIS_E_BUG, "generating a P-256 key"); }
    return wrap(pkey, out, err);
}

/* An encrypted key would make OpenSSL ask on the terminal; answering nothing makes it fail. */
static int no_passphrase(char *buf, int size, int rwflag, void *u)
{
    (void)buf, (void)size, (void)rwflag, (void)u;
    return -1;
}

kluis_status kluis_key_from_pem(struct kluis_bytes pem, struct kluis_key **out, struct kluis_err *err)
{
    *out = NULL;
    if (pem.len == 0 || pem.len > PEM_MAX) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "private key: no PEM text"); }
    (void)ossl_enter();
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    BIO_free(bio);
    if (!pkey) { return ossl_failed(err, KLUIS_E_REJECT, "private key: not readable as unencrypted PEM"); }
    ERR_clear_error();
    return wrap(pkey, out, err);
}

kluis_status kluis_key_to_pem(const struct kluis_key *k, struct kluis_buf *out, struct kluis_err *err)
{
    (void)ossl_enter();
    BIO *bio = BIO_new(BIO_s_secmem()); /* wiped when freed */
    char *p = NULL;
    if (!bio || PEM_write_bio_PKCS8PrivateKey(bio, k->pkey, NULL, NULL, 0, NULL, NULL) != 1) {
        BIO_free(bio);
        return ossl_failed(err, KLUIS_E_BUG, "private key: cannot be written");
    }
    long n = BIO_get_mem_data(bio, &p);
    kluis_buf_add(out, p, n > 0 ? (size_t)n : 0);
    BIO_free(bio);
    return kluis_buf_ok(out, err);
}

kluis_status kluis_key_load(const char *path, struct kluis_key **out, struct kluis_err *err)
{
    *out = NULL;
    KLUIS_AUTO_BUF(pem, PEM_MAX);
    kluis_status st = kluis_read_file(path, PEM_MAX, &pem, err);
    if (st == KLUIS_OK) { st = kluis_key_from_pem(kluis_buf_bytes(&pem), out, err); }
    if (pem.data) { kluis_wipe(pem.data, pem.cap); }
    return st;
}

kluis_status kluis_key_save_new(const struct kluis_key *k, const char *path, struct kluis_err *err)
{
    /* One process owns a home; the look before the write guards against a mistake, not against a race. */
    int fd = kluis_io_open(path, O_RDONLY | O_NOFOLLOW, 0);
    int why = errno;
    if (fd >= 0 || why == ELOOP) { /* a symbolic link too */
        kluis_close_quiet(&fd);
        return KLUIS_FAIL(err, KLUIS_E_EXISTS, "private key %s is already there; it is never overwritten", path);
    }
    if (why != ENOENT) {
        errno = why;
        return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot look for private key %s", path);
    }
    KLUIS_AUTO_BUF(pem, PEM_MAX);
    kluis_status st = kluis_key_to_pem(k, &pem, err);
    if (st == KLUIS_OK) { st = kluis_write_file(path, pem.data, pem.len, 0600, err); }
    if (pem.data) { kluis_wipe(pem.data, pem.cap); }
    return st;
}

kluis_status kluis_key_public(const struct kluis_key *k, struct kluis_buf *spki_der, struct kluis_err *err)
{
    (void)ossl_enter();
    return put_spki(k->pkey, spki_der, err);
}

kluis_status kluis_key_sign(const struct kluis_key *k, struct kluis_bytes message, struct kluis_buf *signature, struct kluis_err *err)
{
    uint64_t mark = ossl_enter();
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t sig[KLUIS_SIGNATURE_MAX];
    size_t n = sizeof sig;
    int ok = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, k->pkey) == 1 &&
             EVP_DigestSign(ctx, sig, &n, message.len ? message.ptr : (const uint8_t *)"", message.len) == 1;
    EVP_MD_CTX_free(ctx);
    if (!ok) { return ossl_failed(err, KLUIS_E_BUG, "signing"); }
    if (n > sizeof sig) { n = 0; } /* without memory to write one, OpenSSL 3.0 gives an ECDSA signature of 2^32 - 1 bytes and calls it made */
    kluis_buf_add(signature, sig, n);
    return ossl_leave(mark, kluis_buf_ok(signature, err), "signing", err);
}

kluis_status kluis_key_check(struct kluis_bytes spki_der, struct kluis_bytes message, struct kluis_bytes signature, struct kluis_err *err)
{
    if (spki_der.len > KLUIS_CERT_MAX || !der_canonical(spki_der) || spki_kind(spki_der) == KEY_REFUSED) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "public key: not P-256, P-384 or RSA of 3072 bits or more");
    }
    uint64_t mark = ossl_enter();
    EVP_PKEY *pkey = known_key(spki_der);
    if (!pkey) { return ossl_failed(err, KLUIS_E_REJECT, "public key"); }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int rc = ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, pkey) == 1
                 ? EVP_DigestVerify(ctx, signature.ptr, signature.len, message.len ? message.ptr : (const uint8_t *)"", message.len)
                 : -1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    return ossl_leave(mark, rc == 1 ? KLUIS_OK : ossl_failed(err, KLUIS_E_REJECT, "signature is wrong"), "signature", err);
}

void kluis_key_free(struct kluis_key *k)
{
    if (!k) { return; }
    EVP_PKEY_free(k->pkey); /* clears the private number */
    kluis_free(k);
}
