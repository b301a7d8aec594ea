/* Encrypted content under a key that is known: what comes out whole is what went in, and its length is the only one possible.  And the same bytes
 * taken for something to encrypt: they come back. */
#include "kluis/envelope.h"
#include "tests/fuzz/fuzz.h"

static const uint8_t key[32] = { 'f', 'u', 'z', 'z' };

static kluis_status to_buf(void *ctx, const void *p, size_t n, struct kluis_err *err)
{
    kluis_buf_add(ctx, p, n);
    return kluis_buf_ok(ctx, err);
}

static void there_and_back(const uint8_t *p, size_t n)
{
    KLUIS_AUTO(kluis_content_reader) r = NULL;
    KLUIS_AUTO_BUF(cipher, 2 << 20);
    KLUIS_AUTO_BUF(back, 2 << 20);
    struct kluis_input_mem m = { { p, n }, 0 }, again = m;
    struct kluis_input in = kluis_input_from_mem(&m), other = kluis_input_from_mem(&again);
    const struct kluis_output out = { &cipher, to_buf };
    uint8_t sha[32], ours[32];
    MUST(kluis_content_encrypt(key, &in, n, &out, sha, NULL) == KLUIS_OK && cipher.len == kluis_content_cipher_length(n));
    kluis_sha256_of(cipher.data, cipher.len, ours);
    MUST(memcmp(sha, ours, 32) == 0);
    struct kluis_input_mem c = { kluis_buf_bytes(&cipher), 0 };
    struct kluis_input sealed = kluis_input_from_mem(&c);
    MUST(kluis_content_open(&r, key, &sealed, NULL) == KLUIS_OK && kluis_content_length(r) == n);
    struct kluis_input plain = kluis_content_input(r);
    uint8_t piece[1000];
    ssize_t some;
    while ((some = plain.read(plain.ctx, piece, sizeof piece, NULL)) > 0) { kluis_buf_add(&back, piece, (size_t)some); }
    MUST(some == 0 && back.len == n && (n == 0 || memcmp(back.data, p, n) == 0));
    /* A length that is not the input's is refused, both ways. */
    kluis_buf_clear(&cipher);
    MUST(kluis_content_encrypt(key, &other, n + 1, &out, sha, NULL) == KLUIS_E_REJECT);
    kluis_buf_clear(&cipher);
    again.at = 0;
    if (n > 0) { MUST(kluis_content_encrypt(key, &other, n - 1, &out, sha, NULL) == KLUIS_E_REJECT); }
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    there_and_back(p, n);
    KLUIS_AUTO(kluis_content_reader) r = NULL;
    struct kluis_input_mem m = { { p, n }, 0 };
    struct kluis_input in = kluis_input_from_mem(&m);
    struct kluis_err err = { 0 };
    kluis_status rc = kluis_content_open(&r, key, &in, &err);
    MUST(rc == err.code);
    if (rc != KLUIS_OK) { return 0; }
    struct kluis_input plain = kluis_content_input(r);
    uint8_t piece[777];
    uint64_t got = 0;
    ssize_t some;
    while ((some = plain.read(plain.ctx, piece, sizeof piece, &err)) > 0) { got += (uint64_t)some; }
    MUST(got <= kluis_content_length(r));
    MUST((some < 0) == (err.code != KLUIS_OK));
    if (some == 0) { MUST(got == kluis_content_length(r) && kluis_content_cipher_length(got) == n); }
    return 0;
}
