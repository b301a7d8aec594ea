/* envelope_test.c - content encryption, enrolment codes, login strings and the statements of a session.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <gcrypt.h>

#include "kluis/envelope.h"

enum { HEAD = 56, SEALED = KLUIS_CONTENT_CHUNK + 16, BIG = 1 << 22 };

static const uint8_t KEY[32] = "0123456789abcdef0123456789abcde";

/* ---- content ----------------------------------------------------------------------------------- */

static kluis_status to_buf(void *ctx, const void *p, size_t n, struct kluis_err *err)
{
    struct kluis_buf *b = ctx;
    kluis_buf_add(b, p, n);
    return kluis_buf_ok(b, err);
}

static uint8_t *pattern(size_t n)
{
    uint8_t *p = kluis_malloc(n + 1);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++) { p[i] = (uint8_t)(i * 31 + (i >> 8) + 1); }
    return p;
}

static kluis_status encrypt(const uint8_t *p, size_t n, size_t stated, struct kluis_buf *out, uint8_t sha[32])
{
    struct kluis_err err = { 0 };
    struct kluis_input_mem mem = { .data = { p, n } };
    struct kluis_input in = kluis_input_from_mem(&mem);
    struct kluis_output to = { .ctx = out, .write = to_buf };
    return kluis_content_encrypt(KEY, &in, stated, &to, sha, &err);
}

/* An input that gives at most `most` bytes at a time. */
struct drip {
    struct kluis_bytes data;
    size_t at, most;
};
static ssize_t drip_read(void *ctx, void *p, size_t n, KLUIS_UNUSED struct kluis_err *err)
{
    struct drip *d = ctx;
    size_t left = d->data.len - d->at;
    if (n > d->most) { n = d->most; }
    if (n > left) { n = left; }
    memcpy(p, d->data.ptr + d->at, n);
    d->at += n;
    return (ssize_t)n;
}

/* Everything readable, in pieces of `piece`; how it ended. */
static kluis_status decrypt(const uint8_t key[32], const uint8_t *p, size_t n, size_t most, size_t piece, struct kluis_buf *out, uint64_t *length)
{
    struct kluis_err err = { 0 };
    struct drip d = { .data = { p, n }, .most = most };
    struct kluis_input in = { .ctx = &d, .read = drip_read };
    struct kluis_content_reader *r = NULL;
    uint8_t *part = kluis_malloc(piece);
    assert_non_null(part);
    kluis_status rc = kluis_content_open(&r, key, &in, &err);
    if (rc == KLUIS_OK) {
        if (length != NULL) { *length = kluis_content_length(r); }
        struct kluis_input plain = kluis_content_input(r);
        for (;;) {
            ssize_t got = plain.read(plain.ctx, part, piece, &err);
            if (got < 0) {
                rc = err.code;
                assert_int_equal(plain.read(plain.ctx, part, piece, &err), -1);
                break;
            }
            if (got == 0) { break; }
            kluis_buf_add(out, part, (size_t)got);
        }
    } else {
        assert_null(r);
    }
    kluis_content_reader_free(r);
    kluis_free(part);
    return rc;
}

static void content_comes_back_for_every_awkward_length(KLUIS_UNUSED void **state)
{
    const size_t C = KLUIS_CONTENT_CHUNK;
    const size_t lengths[] = { 0, 1, 7, 8, 9, 100, C - 9, C - 8, C - 7, C, C + 1, 2 * C - 8, 2 * C, 16 * C - 8, 17 * C, 33 * C + 5 };
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        size_t n = lengths[i];
        uint8_t *p = pattern(n), sha[32], want[32];
        KLUIS_AUTO_BUF(sealed, BIG);
        KLUIS_AUTO_BUF(back, BIG);
        uint64_t length = 99;
        assert_int_equal(encrypt(p, n, n, &sealed, sha), KLUIS_OK);
        assert_int_equal(sealed.len, kluis_content_cipher_length(n));
        kluis_sha256_of(sealed.data, sealed.len, want);
        assert_memory_equal(sha, want, 32);
        assert_int_equal(decrypt(KEY, sealed.data, sealed.len, BIG, 5000, &back, &length), KLUIS_OK);
        assert_int_equal(length, n);
        assert_int_equal(back.len, n);
        if (n > 0) { assert_memory_equal(back.data, p, n); }
        kluis_buf_clear(&back);
        assert_int_equal(decrypt(KEY, sealed.data, sealed.len, 1, BIG, &back, NULL), KLUIS_OK); /* a byte at a time in, all at once out */
        assert_int_equal(back.len, n);
        kluis_free(p);
    }
}

static void padded_lengths_follow_padme(KLUIS_UNUSED void **state)
{
    /* Computed by hand from the definition: L = 8 + n, E = floor(log2 L), S = floor(log2 E) + 1, low E-S bits up. */
    static const struct {
        uint64_t n, want;
    } t[] = { { 0, 8 },
              { 1, 10 },
              { 2, 10 },
              { 8, 16 },
              { 9, 18 },
              { 92, 104 },
              { 1000, 1024 },
              { 16376, 16384 },
              { 16377, 17408 },
              { 999992, 1015808 },
              { (UINT64_C(1) << 30) - 8, UINT64_C(1) << 30 },
              { (UINT64_C(1) << 30) - 7, (UINT64_C(1) << 30) + (UINT64_C(1) << 25) } };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) { assert_int_equal(kluis_content_padded(t[i].n), t[i].want); }
    assert_int_equal(kluis_content_padded((UINT64_C(1) << 50) + 1), 0);
    assert_int_equal(kluis_content_cipher_length(UINT64_MAX), 0);
}

/* The specification, written down a second time with libgcrypt's own HMAC and one-shot calls: no code of content.c. */
static void ciphertext_is_what_the_c2sp_specification_says(KLUIS_UNUSED void **state)
{
    static const char info[] = "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM"; /* and its NUL */
    static const char context[] = "chatkluis-content-v1";
    uint8_t *p = pattern(40000), sha[32], okm[96], block[200];
    KLUIS_AUTO_BUF(sealed, BIG);
    assert_int_equal(encrypt(p, 40000, 40000, &sealed, sha), KLUIS_OK);
    for (uint8_t i = 0; i < 3; i++) {
        size_t n = 0;
        if (i > 0) {
            memcpy(block, okm + 32 * (i - 1), 32);
            n = 32;
        }
        memcpy(block + n, info, sizeof info);
        n += sizeof info;
        memcpy(block + n, sealed.data, 24);
        n += 24;
        memcpy(block + n, context, sizeof context - 1);
        n += sizeof context - 1;
        block[n++] = (uint8_t)(i + 1);
        gcry_mac_hd_t mac;
        size_t len = 32;
        assert_int_equal(gcry_mac_open(&mac, GCRY_MAC_HMAC_SHA256, 0, NULL), 0);
        assert_int_equal(gcry_mac_setkey(mac, KEY, 32), 0);
        assert_int_equal(gcry_mac_write(mac, block, n), 0);
        assert_int_equal(gcry_mac_read(mac, okm + 32 * i, &len), 0);
        gcry_mac_close(mac);
    }
    assert_memory_equal(sealed.data + 24, okm + 44, 32); /* commitment behind key and nonce */
    size_t at = HEAD, plain_at = 0;
    uint8_t whole[65536];
    for (uint32_t chunk = 0; at < sealed.len; chunk++) {
        size_t n = sealed.len - at < SEALED ? sealed.len - at - 16 : (size_t)KLUIS_CONTENT_CHUNK;
        uint8_t nonce[12];
        memcpy(nonce, okm + 32, 12);
        nonce[11] = (uint8_t)(nonce[11] ^ chunk);
        gcry_cipher_hd_t hd;
        assert_int_equal(gcry_cipher_open(&hd, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_GCM, 0), 0);
        assert_int_equal(gcry_cipher_setkey(hd, okm, 32), 0);
        assert_int_equal(gcry_cipher_setiv(hd, nonce, 12), 0);
        assert_int_equal(gcry_cipher_decrypt(hd, whole + plain_at, n, sealed.data + at, n), 0);
        assert_int_equal(gcry_cipher_checktag(hd, sealed.data + at + n, 16), 0);
        gcry_cipher_close(hd);
        at += n + 16;
        plain_at += n;
    }
    static const uint8_t length[8] = { 0, 0, 0, 0, 0, 0, 0x9c, 0x40 };
    assert_int_equal(plain_at, kluis_content_padded(40000));
    assert_memory_equal(whole, length, 8);
    assert_memory_equal(whole + 8, p, 40000);
    for (size_t i = 40008; i < plain_at; i++) { assert_int_equal(whole[i], 0); }
    kluis_free(p);
}

static void truncation_anywhere_is_refused(KLUIS_UNUSED void **state)
{
    const size_t n = 3 * KLUIS_CONTENT_CHUNK; /* padded beyond, so that the tail is padding */
    uint8_t *p = pattern(n), sha[32];
    KLUIS_AUTO_BUF(sealed, BIG);
    KLUIS_AUTO_BUF(back, BIG);
    assert_int_equal(encrypt(p, n, n, &sealed, sha), KLUIS_OK);
    size_t tried = 0;
    for (size_t cut = 0; cut < sealed.len; cut++) {
        size_t phase = cut < HEAD ? 0 : (cut - HEAD) % SEALED; /* near every edge of a chunk, and a few elsewhere */
        if (cut > HEAD + 40 && phase > 18 && phase < SEALED - 18 && cut + 40 < sealed.len && cut % 4099 != 0) { continue; }
        kluis_buf_clear(&back);
        assert_int_equal(decrypt(KEY, sealed.data, cut, BIG, 4096, &back, NULL), KLUIS_E_REJECT);
        assert_true(back.len < n); /* the last true byte never left */
        assert_true(back.len == 0 || memcmp(back.data, p, back.len) == 0);
        tried++;
    }
    assert_true(tried > 150);
    kluis_free(p);
}

static void every_flipped_bit_of_a_small_one_and_samples_of_a_large_one_are_refused(KLUIS_UNUSED void **state)
{
    uint8_t *p = pattern(100000), sha[32];
    KLUIS_AUTO_BUF(sealed, BIG);
    KLUIS_AUTO_BUF(back, BIG);
    assert_int_equal(encrypt(p, 20, 20, &sealed, sha), KLUIS_OK);
    for (size_t bit = 0; bit < sealed.len * 8; bit++) {
        sealed.data[bit / 8] = (uint8_t)(sealed.data[bit / 8] ^ 1U << bit % 8);
        assert_int_equal(decrypt(KEY, sealed.data, sealed.len, BIG, 4096, &back, NULL), KLUIS_E_REJECT);
        assert_int_equal(back.len, 0);
        sealed.data[bit / 8] = (uint8_t)(sealed.data[bit / 8] ^ 1U << bit % 8);
    }
    kluis_buf_clear(&sealed);
    assert_int_equal(encrypt(p, 100000, 100000, &sealed, sha), KLUIS_OK);
    for (size_t at = 13; at < sealed.len; at += 1009) {
        kluis_buf_clear(&back);
        sealed.data[at] ^= 0x10;
        assert_int_equal(decrypt(KEY, sealed.data, sealed.len, BIG, 4096, &back, NULL), KLUIS_E_REJECT);
        assert_true(back.len < 100000);
        sealed.data[at] ^= 0x10;
    }
    assert_int_equal(decrypt(KEY, sealed.data, sealed.len, BIG, 4096, &back, NULL), KLUIS_OK); /* and whole again it opens */
    kluis_free(p);
}

static void extension_reordering_and_another_key_are_refused(KLUIS_UNUSED void **state)
{
    uint8_t *p = pattern(50000), sha[32], other[32], *swap = kluis_malloc(SEALED);
    KLUIS_AUTO_BUF(sealed, BIG);
    KLUIS_AUTO_BUF(back, BIG);
    assert_non_null(swap);
    assert_int_equal(encrypt(p, 50000, 50000, &sealed, sha), KLUIS_OK);
    size_t n = sealed.len;
    for (size_t extra = 1; extra < 40; extra++) {
        kluis_buf_byte(&sealed, 0);
        assert_int_equal(decrypt(KEY, sealed.data, sealed.len, BIG, 4096, &back, NULL), KLUIS_E_REJECT);
    }
    memcpy(swap, sealed.data + HEAD, SEALED);
    memcpy(sealed.data + HEAD, sealed.data + HEAD + SEALED, SEALED);
    memcpy(sealed.data + HEAD + SEALED, swap, SEALED);
    assert_int_equal(decrypt(KEY, sealed.data, n, BIG, 4096, &back, NULL), KLUIS_E_REJECT);
    memcpy(sealed.data + HEAD + SEALED, sealed.data + HEAD, SEALED);
    memcpy(sealed.data + HEAD, swap, SEALED);
    memcpy(other, KEY, 32);
    other[31] ^= 1;
    kluis_buf_clear(&back);
    assert_int_equal(decrypt(other, sealed.data, n, BIG, 4096, &back, NULL), KLUIS_E_REJECT);
    assert_int_equal(back.len, 0);
    assert_int_equal(decrypt(KEY, sealed.data, n, BIG, 4096, &back, NULL), KLUIS_OK);
    kluis_free(swap);
    kluis_free(p);
}

/* Seals a chosen plaintext under the right key, as a sender who cheats with length or padding could. */
static void forge(const uint8_t *plain, size_t n, struct kluis_buf *out)
{
    static const char info[] = "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0"
                               "000000000000000000000000"
                               "chatkluis-content-v1";
    uint8_t okm[96], block[200];
    for (uint8_t i = 0; i < 3; i++) {
        struct kluis_err err = { 0 };
        size_t k = 0;
        if (i > 0) {
            memcpy(block, okm + 32 * (i - 1), 32);
            k = 32;
        }
        memcpy(block + k, info, sizeof info - 1);
        k += sizeof info - 1;
        block[k++] = (uint8_t)(i + 1);
        assert_int_equal(kluis_hmac_sha256(KEY, 32, block, k, okm + 32 * i, &err), KLUIS_OK);
    }
    uint8_t cipher[4096], tag[16];
    gcry_cipher_hd_t hd;
    assert_true(n < sizeof cipher);
    assert_int_equal(gcry_cipher_open(&hd, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_GCM, 0), 0);
    assert_int_equal(gcry_cipher_setkey(hd, okm, 32), 0);
    assert_int_equal(gcry_cipher_setiv(hd, okm + 32, 12), 0);
    if (n > 0) { assert_int_equal(gcry_cipher_encrypt(hd, cipher, n, plain, n), 0); }
    assert_int_equal(gcry_cipher_gettag(hd, tag, 16), 0);
    gcry_cipher_close(hd);
    kluis_buf_clear(out);
    kluis_buf_cstr(out, "000000000000000000000000");
    kluis_buf_add(out, okm + 44, 32);
    kluis_buf_add(out, cipher, n);
    kluis_buf_add(out, tag, 16);
}

static void a_sender_with_the_key_cannot_lie_about_length_or_padding(KLUIS_UNUSED void **state)
{
    KLUIS_AUTO_BUF(sealed, BIG);
    KLUIS_AUTO_BUF(back, BIG);
    uint8_t plain[64] = { 0, 0, 0, 0, 0, 0, 0, 3, 'a', 'b', 'c' };
    size_t right = (size_t)kluis_content_padded(3);
    forge(plain, right, &sealed);
    assert_int_equal(decrypt(KEY, sealed.data, sealed.len, BIG, 64, &back, NULL), KLUIS_OK); /* the control */
    assert_memory_equal(back.data, "abc", 3);
    kluis_buf_clear(&back);
    forge(plain, right + 1, &sealed); /* too much padding */
    assert_int_equal(decrypt(KEY, sealed.data, sealed.len, BIG, 64, &back, NULL), KLUIS_E_REJECT);
    forge(plain, right - 1, &sealed); /* too little */
    assert_int_equal(decrypt(KEY, sealed.data, sealed.len, BIG, 64, &back, NULL), KLUIS_E_REJECT);
    plain[right - 1] = 1; /* padding that carries something */
    forge(plain, right, &sealed);
    assert_int_equal(decrypt(KEY, sealed.data, sealed.len, BIG, 64, &back, NULL), KLUIS_E_REJECT);
    plain[right - 1] = 0;
    plain[7] = 60; /* more than there is */
    forge(plain, right, &sealed);
    assert_int_equal(decrypt(KEY, sealed.data, sealed.len, BIG, 64, &back, NULL), KLUIS_E_REJECT);
    plain[0] = 0xff; /* absurd */
    forge(plain, right, &sealed);
    assert_int_equal(decrypt(KEY, sealed.data, sealed.len, BIG, 64, &back, NULL), KLUIS_E_REJECT);
    forge(plain, 5, &sealed); /* no length at all */
    assert_int_equal(decrypt(KEY, sealed.data, sealed.len, BIG, 64, &back, NULL), KLUIS_E_REJECT);
    forge(plain, 0, &sealed);
    assert_int_equal(decrypt(KEY, sealed.data, sealed.len, BIG, 64, &back, NULL), KLUIS_E_REJECT);
}

static void input_of_another_length_than_stated_is_refused(KLUIS_UNUSED void **state)
{
    KLUIS_AUTO_BUF(sealed, BIG);
    uint8_t *p = pattern(1000), sha[32];
    assert_int_equal(encrypt(p, 1000, 1001, &sealed, sha), KLUIS_E_REJECT);
    assert_int_equal(encrypt(p, 1000, 999, &sealed, sha), KLUIS_E_REJECT);
    assert_int_equal(encrypt(p, 1000, SIZE_MAX, &sealed, sha), KLUIS_E_LIMIT);
    kluis_free(p);
}

static void two_encryptions_of_the_same_share_nothing(KLUIS_UNUSED void **state)
{
    KLUIS_AUTO_BUF(a, BIG);
    KLUIS_AUTO_BUF(b, BIG);
    uint8_t *p = pattern(64), sha[32];
    assert_int_equal(encrypt(p, 64, 64, &a, sha), KLUIS_OK);
    assert_int_equal(encrypt(p, 64, 64, &b, sha), KLUIS_OK);
    assert_memory_not_equal(a.data, b.data, 24);
    assert_memory_not_equal(a.data + HEAD, b.data + HEAD, 64);
    kluis_free(p);
}

/* ---- codes ------------------------------------------------------------------------------------- */

static struct kluis_code sample_code(void)
{
    struct kluis_code c = { { 0 }, { 0 } };
    for (uint8_t i = 0; i < 16; i++) {
        c.secret[i] = (uint8_t)(i * 17);
        c.root[i] = (uint8_t)(255 - i * 3);
    }
    return c;
}

static void code_is_written_in_eight_groups_and_read_back(KLUIS_UNUSED void **state)
{
    struct kluis_code c = sample_code(), back;
    char text[KLUIS_CODE_TEXT];
    struct kluis_err err = { 0 };
    kluis_code_write(&c, text);
    assert_int_equal(strlen(text), 63);
    for (size_t i = 0; i < 63; i++) { assert_int_equal(text[i] == '-', i % 8 == 7); }
    assert_int_equal(kluis_code_read(kluis_str_of(text), &back, &err), KLUIS_OK);
    assert_memory_equal(&back, &c, sizeof c);
    char loose[160];
    size_t n = 0;
    for (size_t i = 0; i < 63; i++) { /* upper case, spaces for dashes, a newline at the end */
        char ch = text[i];
        loose[n++] = ch == '-' ? ' ' : ch >= 'a' ? (char)(ch - 32) : ch;
    }
    loose[n++] = '\n';
    assert_int_equal(kluis_code_read((struct kluis_str){ loose, n }, &back, &err), KLUIS_OK);
    assert_memory_equal(&back, &c, sizeof c);
}

static void every_single_wrong_letter_of_a_code_is_refused(KLUIS_UNUSED void **state)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
    struct kluis_code c = sample_code(), back;
    char text[KLUIS_CODE_TEXT];
    kluis_code_write(&c, text);
    size_t tried = 0;
    for (size_t i = 0; i < 63; i++) {
        char right = text[i];
        if (right == '-') { continue; }
        for (const char *a = alphabet; *a != '\0'; a++) {
            if (*a == right) { continue; }
            text[i] = *a;
            struct kluis_err err = { 0 };
            assert_int_equal(kluis_code_read(kluis_str_of(text), &back, &err), KLUIS_E_REJECT);
            for (size_t k = 0; k < sizeof back; k++) { assert_int_equal(((uint8_t *)&back)[k], 0); }
            tried++;
        }
        text[i] = right;
    }
    assert_int_equal(tried, 56 * 31);
}

static void codes_of_other_length_or_letters_are_refused(KLUIS_UNUSED void **state)
{
    struct kluis_code c = sample_code(), back;
    char text[KLUIS_CODE_TEXT + 2];
    kluis_code_write(&c, text);
    for (size_t n = 0; n < 63; n++) {
        struct kluis_err err = { 0 };
        assert_int_equal(kluis_code_read((struct kluis_str){ text, n }, &back, &err), KLUIS_E_REJECT);
    }
    struct kluis_err err = { 0 };
    text[63] = 'a';
    assert_int_equal(kluis_code_read((struct kluis_str){ text, 64 }, &back, &err), KLUIS_E_REJECT);
    static const char wrong[] = "0189=+_/.\xc3";
    for (size_t i = 0; i < sizeof wrong - 1; i++) {
        struct kluis_err e = { 0 };
        text[5] = wrong[i];
        assert_int_equal(kluis_code_read((struct kluis_str){ text, 63 }, &back, &e), KLUIS_E_REJECT);
    }
    assert_int_equal(kluis_code_read((struct kluis_str){ NULL, 0 }, &back, &err), KLUIS_E_REJECT);
}

static void keys_of_a_code_are_three_different_hkdf_outputs(KLUIS_UNUSED void **state)
{
    struct kluis_code c = sample_code();
    struct kluis_code_keys k, again;
    struct kluis_err err = { 0 };
    assert_int_equal(kluis_code_derive(c.secret, &k, &err), KLUIS_OK);
    assert_int_equal(kluis_code_derive(c.secret, &again, &err), KLUIS_OK);
    assert_memory_equal(&k, &again, sizeof k);
    assert_memory_not_equal(k.request, k.reply, 32);
    assert_memory_not_equal(k.request, k.id, 16);
    uint8_t want[32];
    assert_int_equal(kluis_hkdf_sha256((struct kluis_bytes){ c.secret, 16 }, (struct kluis_bytes){ NULL, 0 },
                                       (struct kluis_bytes){ (const uint8_t *)"chatkluis-code-reply-v1", 23 }, want, 32, &err),
                     KLUIS_OK);
    assert_memory_equal(k.reply, want, 32);
    c.secret[0] ^= 1;
    assert_int_equal(kluis_code_derive(c.secret, &again, &err), KLUIS_OK);
    assert_memory_not_equal(k.id, again.id, 16);
}

/* ---- login ------------------------------------------------------------------------------------- */

static void nonce_text(const uint8_t bytes[32], char out[44]) { (void)kluis_base64url(bytes, 32, out); }

static void nonces_that_could_be_signed_attributes_are_refused(KLUIS_UNUSED void **state)
{
    uint8_t b[32] = { 0x31, 30 };
    char text[44];
    static const struct {
        uint8_t head[5];
        bool ok;
    } t[] = { { { 0x31, 30 }, false },
              { { 0x30, 30 }, false },
              { { 0x31, 0x81, 29 }, false },
              { { 0x31, 0x82, 0, 28 }, false },
              { { 0x31, 0x83, 0, 0, 27 }, false },
              { { 0x31, 0x80 }, false },
              { { 0x31, 29 }, true },
              { { 0x31, 31 }, true },
              { { 0x31, 0x81, 30 }, true },
              { { 0x31, 0x82, 1, 28 }, true },
              { { 0x31, 0xff }, true },
              { { 0x32, 30 }, true },
              { { 0x00, 30 }, true } };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        memset(b, 0, sizeof b);
        memcpy(b, t[i].head, 5);
        nonce_text(b, text);
        assert_int_equal(kluis_nonce_ok(kluis_str_of(text)), t[i].ok);
    }
    memset(b, 7, sizeof b);
    nonce_text(b, text);
    assert_int_equal(strlen(text), 43);
    assert_true(kluis_nonce_ok(kluis_str_of(text)));
    assert_false(kluis_nonce_ok((struct kluis_str){ text, 42 }));
    assert_false(kluis_nonce_ok((struct kluis_str){ NULL, 0 }));
    text[42] = '_'; /* stray bits in the last letter */
    assert_false(kluis_nonce_ok(kluis_str_of(text)));
    text[42] = '=';
    assert_false(kluis_nonce_ok(kluis_str_of(text)));
    for (int i = 0; i < 200; i++) {
        kluis_nonce_new(text);
        assert_int_equal(strlen(text), 43);
        assert_true(kluis_nonce_ok(kluis_str_of(text)));
    }
}

static void login_message_is_prefix_and_wire_fields(KLUIS_UNUSED void **state)
{
    KLUIS_AUTO_BUF(m, 4096);
    struct kluis_err err = { 0 };
    uint8_t body[32], bytes[32] = { 1 }, seen[32];
    char nonce[44];
    memset(body, 0xbb, 32);
    nonce_text(bytes, nonce);
    assert_int_equal(kluis_login_message("poort.example:8443", "PUT", "/v1/upload/00?offset=0", body, nonce, 1700000000, &m, &err), KLUIS_OK);
    assert_memory_equal(m.data, "chatkluis-login-v1", 19);
    struct kluis_wire w = kluis_wire_open((struct kluis_bytes){ m.data + 19, m.len - 19 });
    struct kluis_bytes f = kluis_wire_get(&w, 100);
    assert_int_equal(f.len, 18);
    assert_memory_equal(f.ptr, "poort.example:8443", 18);
    f = kluis_wire_get(&w, 100);
    assert_memory_equal(f.ptr, "PUT", 3);
    f = kluis_wire_get(&w, 100);
    assert_int_equal(f.len, 22);
    assert_true(kluis_wire_fixed(&w, seen, 32));
    assert_memory_equal(seen, body, 32);
    f = kluis_wire_get(&w, 100);
    assert_int_equal(f.len, 43);
    assert_int_equal(kluis_wire_get_u64(&w), 1700000000);
    assert_int_equal(kluis_wire_end(&w, "login", &err), KLUIS_OK);
    size_t n = m.len;
    bytes[0] = 0x31;
    bytes[1] = 30;
    nonce_text(bytes, nonce);
    assert_int_equal(kluis_login_message("g:1", "GET", "/", body, nonce, 1, &m, &err), KLUIS_E_REJECT);
    assert_int_equal(m.len, n); /* nothing to sign was made */
}

/* ---- statements -------------------------------------------------------------------------------- */

static struct kluis_delivery sample_delivery(void)
{
    struct kluis_delivery d = { .sequence = 7, .length = 123456 };
    memset(d.package, 1, 32);
    memset(d.previous, 2, 32);
    memset(d.key, 3, 32);
    memset(d.cipher_sha256, 4, 32);
    memset(d.upload, 5, 16);
    return d;
}

static kluis_status read_as_delivery(struct kluis_bytes b)
{
    struct kluis_delivery d;
    struct kluis_err err = { 0 };
    kluis_status rc = kluis_delivery_read(b, &d, &err);
    if (rc != KLUIS_OK) {
        for (size_t i = 0; i < sizeof d; i++) { assert_int_equal(((uint8_t *)&d)[i], 0); }
    }
    return rc;
}
static kluis_status read_as_answer(struct kluis_bytes b)
{
    struct kluis_answer a;
    struct kluis_err err = { 0 };
    return kluis_answer_read(b, &a, &err);
}
static kluis_status read_as_bundle(struct kluis_bytes b)
{
    struct kluis_bundle u;
    struct kluis_err err = { 0 };
    return kluis_bundle_read(b, &u, &err);
}

/* Every prefix, an extra byte, and every changed byte of a length field or the label. */
static void strict(struct kluis_buf *m, kluis_status (*read)(struct kluis_bytes))
{
    assert_int_equal(read(kluis_buf_bytes(m)), KLUIS_OK);
    for (size_t n = 0; n < m->len; n++) { assert_int_equal(read((struct kluis_bytes){ m->data, n }), KLUIS_E_REJECT); }
    size_t at = 0, fields = 0;
    while (at < m->len) {
        size_t len = (size_t)m->data[at] << 24 | (size_t)m->data[at + 1] << 16 | (size_t)m->data[at + 2] << 8 | m->data[at + 3];
        size_t end = fields == 0 ? at + 4 + len : at + 4;
        for (size_t i = at; i < end; i++) {
            m->data[i] ^= 1;
            assert_int_equal(read(kluis_buf_bytes(m)), KLUIS_E_REJECT);
            m->data[i] ^= 1;
        }
        at += 4 + len;
        fields++;
    }
    assert_true(fields >= 4);
    kluis_buf_byte(m, 0);
    assert_int_equal(read(kluis_buf_bytes(m)), KLUIS_E_REJECT);
    m->len--;
}

static void delivery_comes_back_and_is_read_strictly(KLUIS_UNUSED void **state)
{
    KLUIS_AUTO_BUF(m, 4096);
    struct kluis_err err = { 0 };
    struct kluis_delivery d = sample_delivery(), back;
    assert_int_equal(kluis_delivery_write(&d, &m, &err), KLUIS_OK);
    assert_int_equal(kluis_delivery_read(kluis_buf_bytes(&m), &back, &err), KLUIS_OK);
    assert_int_equal(back.sequence, 7);
    assert_int_equal(back.length, 123456);
    assert_memory_equal(back.package, d.package, 32);
    assert_memory_equal(back.previous, d.previous, 32);
    assert_memory_equal(back.key, d.key, 32);
    assert_memory_equal(back.cipher_sha256, d.cipher_sha256, 32);
    assert_memory_equal(back.upload, d.upload, 16);
    strict(&m, read_as_delivery);
    kluis_buf_clear(&m);
    d.length = UINT64_MAX;
    assert_int_equal(kluis_delivery_write(&d, &m, &err), KLUIS_OK);
    assert_int_equal(read_as_delivery(kluis_buf_bytes(&m)), KLUIS_E_REJECT);
    d.sequence = 0;
    assert_int_equal(kluis_delivery_write(&d, &m, &err), KLUIS_E_BUG);
}

static void a_return_comes_back_and_is_read_strictly(KLUIS_UNUSED void **state)
{
    KLUIS_AUTO_BUF(m, 8192);
    struct kluis_err err = { 0 };
    struct kluis_delivery d = sample_delivery(), back;
    memcpy(d.device, "00112233445566778899aabbccddeeff", 33);
    d.leaf = kluis_str_of("a leaf");
    d.proof = kluis_str_of("its proof");
    assert_int_equal(kluis_delivery_write(&d, &m, &err), KLUIS_OK);
    assert_int_equal(kluis_delivery_read(kluis_buf_bytes(&m), &back, &err), KLUIS_OK);
    assert_int_equal(back.sequence, 7);
    assert_memory_equal(back.upload, d.upload, 16);
    assert_string_equal(back.device, d.device);
    assert_true(kluis_str_is(back.leaf, "a leaf") && kluis_str_is(back.proof, "its proof"));
    strict(&m, read_as_delivery);
    /* A device id has one spelling. */
    uint8_t *id = memmem(m.data, m.len, "00112233", 8);
    assert_non_null(id);
    id[20] = 'A';
    assert_int_equal(read_as_delivery(kluis_buf_bytes(&m)), KLUIS_E_REJECT);
    id[20] = 'g';
    assert_int_equal(read_as_delivery(kluis_buf_bytes(&m)), KLUIS_E_REJECT);
    kluis_buf_clear(&m);
    d.leaf.len = KLUIS_RETURN_LEAF_MAX + 1;
    assert_int_equal(kluis_delivery_write(&d, &m, &err), KLUIS_E_BUG);
    /* A delivery has none of it. */
    d = sample_delivery();
    kluis_buf_clear(&m);
    assert_int_equal(kluis_delivery_write(&d, &m, &err), KLUIS_OK);
    assert_int_equal(kluis_delivery_read(kluis_buf_bytes(&m), &back, &err), KLUIS_OK);
    assert_true(back.device[0] == 0 && back.leaf.len == 0 && back.proof.len == 0);
}

static void answer_comes_back_and_is_read_strictly(KLUIS_UNUSED void **state)
{
    for (int kind = KLUIS_ANSWER_RECEIPT; kind <= KLUIS_ANSWER_LOG; kind++) {
        KLUIS_AUTO_BUF(m, 4096);
        struct kluis_err err = { 0 };
        struct kluis_answer a = { .kind = (enum kluis_answer_kind)kind, .body = { (const uint8_t *)"body", 4 } }, back;
        memset(a.package, 9, 32);
        assert_int_equal(kluis_answer_write(&a, &m, &err), KLUIS_OK);
        assert_int_equal(kluis_answer_read(kluis_buf_bytes(&m), &back, &err), KLUIS_OK);
        assert_int_equal(back.kind, kind);
        assert_int_equal(back.body.len, 4);
        assert_memory_equal(back.body.ptr, "body", 4);
        assert_memory_equal(back.package, a.package, 32);
        strict(&m, read_as_answer);
    }
    KLUIS_AUTO_BUF(m, 4096);
    struct kluis_err err = { 0 };
    uint8_t zero[32] = { 0 };
    kluis_wire_label(&m, "chatkluis-answer-v1");
    kluis_wire_u32(&m, KLUIS_ANSWER_LOG + 1);
    kluis_wire_field(&m, zero, 32);
    kluis_wire_field(&m, zero, 0);
    assert_int_equal(read_as_answer(kluis_buf_bytes(&m)), KLUIS_E_REJECT);
    struct kluis_answer wrong = { .kind = (enum kluis_answer_kind)0 };
    assert_int_equal(kluis_answer_write(&wrong, &m, &err), KLUIS_E_BUG);
}

static kluis_status read_as_holdings(struct kluis_bytes b)
{
    static struct kluis_holding list[KLUIS_HOLDINGS_MAX];
    struct kluis_err err = { 0 };
    size_t n;
    uint64_t size;
    return kluis_holdings_read(b, list, &n, &size, &err);
}

static void holdings_come_back_and_are_read_strictly(KLUIS_UNUSED void **state)
{
    static struct kluis_holding list[KLUIS_HOLDINGS_MAX + 1], back[KLUIS_HOLDINGS_MAX];
    KLUIS_AUTO_BUF(m, 65536);
    struct kluis_err err = { 0 };
    size_t n = 9;
    uint64_t size = 0;
    assert_int_equal(kluis_holdings_write(list, 0, 7, &m, &err), KLUIS_OK);
    assert_int_equal(kluis_holdings_read(kluis_buf_bytes(&m), back, &n, &size, &err), KLUIS_OK);
    assert_int_equal(n, 0);
    assert_int_equal(size, 7);
    for (size_t i = 0; i <= KLUIS_HOLDINGS_MAX; i++) {
        memset(list[i].package, (int)(i & 255), 32);
        list[i].state = (uint32_t)(i & 3);
    }
    kluis_buf_clear(&m);
    assert_int_equal(kluis_holdings_write(list, KLUIS_HOLDINGS_MAX, 0, &m, &err), KLUIS_OK);
    assert_true(m.len < 65536 - 1024); /* with what the session adds it is still a message the gate takes */
    assert_int_equal(kluis_holdings_read(kluis_buf_bytes(&m), back, &n, &size, &err), KLUIS_OK);
    assert_int_equal(n, KLUIS_HOLDINGS_MAX);
    assert_memory_equal(back, list, KLUIS_HOLDINGS_MAX * sizeof *list);
    assert_int_equal(kluis_holdings_write(list, KLUIS_HOLDINGS_MAX + 1, 0, &m, &err), KLUIS_E_BUG);
    kluis_wire_field(&m, list[0].package, 32); /* one more than allowed */
    kluis_wire_u32(&m, 1);
    assert_int_equal(read_as_holdings(kluis_buf_bytes(&m)), KLUIS_E_LIMIT);
    kluis_buf_clear(&m);
    assert_int_equal(kluis_holdings_write(list + 1, 1, 0, &m, &err), KLUIS_OK);
    assert_int_equal(read_as_holdings(kluis_buf_bytes(&m)), KLUIS_OK);
    for (size_t i = 0; i < m.len; i++) { /* cut off anywhere but between pairs it is refused */
        if (i != m.len - 44) { assert_int_equal(read_as_holdings((struct kluis_bytes){ m.data, i }), KLUIS_E_REJECT); }
    }
    list[1].state = 4; /* a bit that means nothing */
    kluis_buf_clear(&m);
    assert_int_equal(kluis_holdings_write(list + 1, 1, 0, &m, &err), KLUIS_OK);
    assert_int_equal(read_as_holdings(kluis_buf_bytes(&m)), KLUIS_E_REJECT);
}

static void the_state_of_the_log_comes_back(KLUIS_UNUSED void **state)
{
    KLUIS_AUTO_BUF(m, 16384);
    struct kluis_err err = { 0 };
    static struct kluis_log_note note, back;
    note.checkpoint = (struct kluis_bytes){ (const uint8_t *)"text", 4 };
    note.seal = (struct kluis_bytes){ (const uint8_t *)"seal!", 5 };
    for (note.n_proof = 0; note.n_proof <= KLUIS_LOG_PROOF_MAX; note.n_proof += KLUIS_LOG_PROOF_MAX / 2) {
        memset(note.proof, (int)note.n_proof, sizeof note.proof);
        kluis_buf_clear(&m);
        assert_int_equal(kluis_log_write(&note, &m, &err), KLUIS_OK);
        assert_int_equal(kluis_log_read(kluis_buf_bytes(&m), &back, &err), KLUIS_OK);
        assert_int_equal(back.checkpoint.len, 4);
        assert_memory_equal(back.seal.ptr, "seal!", 5);
        assert_int_equal(back.n_proof, note.n_proof);
        assert_memory_equal(back.proof, note.proof, note.n_proof * 32);
    }
    kluis_wire_field(&m, note.proof[0], 32); /* one more than there can be */
    assert_int_equal(kluis_log_read(kluis_buf_bytes(&m), &back, &err), KLUIS_E_LIMIT);
    kluis_buf_clear(&m);
    note.n_proof = 1;
    assert_int_equal(kluis_log_write(&note, &m, &err), KLUIS_OK);
    kluis_buf_byte(&m, 0);
    assert_int_equal(kluis_log_read(kluis_buf_bytes(&m), &back, &err), KLUIS_E_REJECT);
}

static void bundle_comes_back_and_is_read_strictly(KLUIS_UNUSED void **state)
{
    KLUIS_AUTO_BUF(m, 4096);
    struct kluis_err err = { 0 };
    struct kluis_bundle b = { .registration_id = 77, .epoch = 3, .expires_us = 1800000000LL * 1000000, .signed_prekey = { .id = 12 } }, back;
    memset(b.identity, 1, 33);
    memset(b.signed_prekey.public_key, 2, 33);
    memset(b.signed_prekey.signature, 3, 64);
    assert_int_equal(kluis_bundle_write(&b, &m, &err), KLUIS_E_BUG); /* not Curve25519 keys */
    b.identity[0] = b.signed_prekey.public_key[0] = 5;
    assert_int_equal(kluis_bundle_write(&b, &m, &err), KLUIS_OK);
    assert_int_equal(kluis_bundle_read(kluis_buf_bytes(&m), &back, &err), KLUIS_OK);
    assert_memory_equal(back.identity, b.identity, 33);
    assert_memory_equal(back.signed_prekey.public_key, b.signed_prekey.public_key, 33);
    assert_memory_equal(back.signed_prekey.signature, b.signed_prekey.signature, 64);
    assert_int_equal(back.registration_id, 77);
    assert_int_equal(back.signed_prekey.id, 12);
    assert_int_equal(back.epoch, 3);
    assert_true(back.expires_us == b.expires_us);
    assert_false(back.has_prekey);
    strict(&m, read_as_bundle);
    for (size_t i = 1; i <= 8; i++) { m.data[m.len - i] = 0xff; } /* expiry past every clock */
    assert_int_equal(read_as_bundle(kluis_buf_bytes(&m)), KLUIS_E_REJECT);
}

static int start(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    return kluis_base_init(&err) == KLUIS_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_comes_back_for_every_awkward_length),
        cmocka_unit_test(padded_lengths_follow_padme),
        cmocka_unit_test(ciphertext_is_what_the_c2sp_specification_says),
        cmocka_unit_test(truncation_anywhere_is_refused),
        cmocka_unit_test(every_flipped_bit_of_a_small_one_and_samples_of_a_large_one_are_refused),
        cmocka_unit_test(extension_reordering_and_another_key_are_refused),
        cmocka_unit_test(a_sender_with_the_key_cannot_lie_about_length_or_padding),
        cmocka_unit_test(input_of_another_length_than_stated_is_refused),
        cmocka_unit_test(two_encryptions_of_the_same_share_nothing),
        cmocka_unit_test(code_is_written_in_eight_groups_and_read_back),
        cmocka_unit_test(every_single_wrong_letter_of_a_code_is_refused),
        cmocka_unit_test(codes_of_other_length_or_letters_are_refused),
        cmocka_unit_test(keys_of_a_code_are_three_different_hkdf_outputs),
        cmocka_unit_test(nonces_that_could_be_signed_attributes_are_refused),
        cmocka_unit_test(login_message_is_prefix_and_wire_fields),
        cmocka_unit_test(delivery_comes_back_and_is_read_strictly),
        cmocka_unit_test(a_return_comes_back_and_is_read_strictly),
        cmocka_unit_test(answer_comes_back_and_is_read_strictly),
        cmocka_unit_test(holdings_come_back_and_are_read_strictly),
        cmocka_unit_test(the_state_of_the_log_comes_back),
        cmocka_unit_test(bundle_comes_back_and_is_read_strictly),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
