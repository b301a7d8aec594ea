/* content.c - packages as they travel and rest: C2SP chunked-encryption with AES-256-GCM (docs/PROTOCOL.md §4.2).
 *
 * salt[24] || commitment[32] || chunks.  A chunk is 16 KiB of plaintext and a 16-byte tag; the last one is always shorter,
 * so a cut at a chunk's edge leaves a stream without a last chunk and any growth breaks a tag.
 */
#include "kluis/envelope.h"

#include <assert.h>
#include <gcrypt.h>

enum {
    SALT = 24,
    COMMITMENT = 32,
    HEAD = SALT + COMMITMENT,
    TAG = 16,
    NONCE = 12,
    KEY = KLUIS_CONTENT_KEY,
    CHUNK = KLUIS_CONTENT_CHUNK,
    SEALED = CHUNK + TAG,
    LENGTH = 8,
    BATCH = 16 /* chunks written at once */
};
/* Far below the 2^38 chunks of the specification, far above any package. */
#define CONTENT_MAX (UINT64_C(1) << 50)

/* What HKDF-Expand is told: scheme, AEAD by its IANA name, salt, and our context, so that no other use of the key collides. */
#define SCHEME "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM" /* its NUL is part of the info */
#define CONTEXT "chatkluis-content-v1"

uint64_t kluis_content_padded(uint64_t true_length)
{
    if (true_length > CONTENT_MAX) { return 0; }
    uint64_t length = true_length + LENGTH;
    unsigned e = 63U - (unsigned)__builtin_clzll(length); /* >= 3: length is at least 8 */
    unsigned s = 32U - (unsigned)__builtin_clz(e);
    uint64_t mask = (UINT64_C(1) << (e - s)) - 1;
    return (length + mask) & ~mask;
}

uint64_t kluis_content_cipher_length(uint64_t true_length)
{
    uint64_t padded = kluis_content_padded(true_length);
    return padded == 0 ? 0 : HEAD + padded + (padded / CHUNK + 1) * TAG;
}

/* ---- one message's key, base nonce and commitment --------------------------------------------- */

struct cipher {
    gcry_cipher_hd_t hd;
    uint8_t nonce[NONCE];
    uint64_t chunk; /* number of the next one */
};

static void cipher_close(struct cipher *c)
{
    if (c->hd != NULL) { gcry_cipher_close(c->hd); } /* wipes the key */
    kluis_wipe(c, sizeof *c);
}

/* RFC 5869 §2.3 alone: the input key is uniformly random already, the specification leaves Extract out. */
static kluis_status expand(const uint8_t key[KEY], const uint8_t salt[SALT], uint8_t *out, size_t n, struct kluis_err *err)
{
    uint8_t block[KLUIS_SHA256_LEN + sizeof SCHEME + SALT + sizeof CONTEXT - 1 + 1];
    uint8_t t[KLUIS_SHA256_LEN];
    size_t at = 0;
    kluis_status rc = KLUIS_OK;
    for (uint8_t i = 1; at < n; i++) {
        size_t used = 0;
        if (i > 1) {
            memcpy(block, t, sizeof t);
            used = sizeof t;
        }
        memcpy(block + used, SCHEME, sizeof SCHEME);
        used += sizeof SCHEME;
        memcpy(block + used, salt, SALT);
        used += SALT;
        memcpy(block + used, CONTEXT, sizeof CONTEXT - 1);
        used += sizeof CONTEXT - 1;
        block[used++] = i;
        rc = kluis_hmac_sha256(key, KEY, block, used, t, err);
        if (rc != KLUIS_OK) { break; }
        size_t take = n - at < sizeof t ? n - at : sizeof t;
        memcpy(out + at, t, take);
        at += take;
    }
    kluis_wipe(block, sizeof block);
    kluis_wipe(t, sizeof t);
    return rc;
}

static kluis_status cipher_open(struct cipher *c, const uint8_t key[KEY], const uint8_t salt[SALT], uint8_t commitment[COMMITMENT],
                                struct kluis_err *err)
{
    uint8_t okm[KEY + NONCE + COMMITMENT];
    memset(c, 0, sizeof *c);
    kluis_status rc = expand(key, salt, okm, sizeof okm, err);
    if (rc == KLUIS_OK && (gcry_cipher_open(&c->hd, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_GCM, 0) != 0 || gcry_cipher_setkey(c->hd, okm, KEY) != 0)) {
        rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "content: cannot set up AES-256-GCM; try again");
    }
    if (rc == KLUIS_OK) {
        memcpy(c->nonce, okm + KEY, NONCE);
        memcpy(commitment, okm + KEY + NONCE, COMMITMENT);
    } else {
        cipher_close(c);
    }
    kluis_wipe(okm, sizeof okm);
    return rc;
}

/* Base nonce XOR the chunk's number, big-endian. */
static bool cipher_next(struct cipher *c)
{
    uint8_t nonce[NONCE];
    memcpy(nonce, c->nonce, NONCE);
    for (unsigned i = 0; i < 8; i++) { nonce[NONCE - 1 - i] ^= (uint8_t)(c->chunk >> (8 * i)); }
    c->chunk++;
    return gcry_cipher_setiv(c->hd, nonce, NONCE) == 0;
}

/* In place; the tag goes right behind. */
static kluis_status seal_chunk(struct cipher *c, uint8_t *p, size_t n, struct kluis_err *err)
{
    if (!cipher_next(c) || (n > 0 && gcry_cipher_encrypt(c->hd, p, n, NULL, 0) != 0) || gcry_cipher_gettag(c->hd, p + n, TAG) != 0) {
        return KLUIS_FAIL(err, KLUIS_E_BUG, "content: AES-256-GCM failed while encrypting");
    }
    return KLUIS_OK;
}

static kluis_status open_chunk(struct cipher *c, uint8_t *p, size_t n, struct kluis_err *err)
{
    if (!cipher_next(c) || (n > 0 && gcry_cipher_decrypt(c->hd, p, n, NULL, 0) != 0)) {
        return KLUIS_FAIL(err, KLUIS_E_BUG, "content: AES-256-GCM failed while decrypting");
    }
    if (gcry_cipher_checktag(c->hd, p + n, TAG) != 0) {
        kluis_wipe(p, n);
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "content: chunk %llu does not match its tag: changed, cut or another's; fetch it again",
                          (unsigned long long)(c->chunk - 1));
    }
    return KLUIS_OK;
}

/* ---- reading a kluis_input to the brim -------------------------------------------------------- */

/* Fewer than n only at the end of the input. */
static kluis_status fill(const struct kluis_input *in, uint8_t *p, size_t n, size_t *got, struct kluis_err *err)
{
    *got = 0;
    while (*got < n) {
        ssize_t r = in->read(in->ctx, p + *got, n - *got, err);
        if (r < 0) { return err != NULL && err->code != KLUIS_OK ? err->code : KLUIS_FAIL(err, KLUIS_E_IO, "content: cannot read"); }
        if (r == 0) { break; }
        if ((size_t)r > n - *got) { return KLUIS_FAIL(err, KLUIS_E_BUG, "content: an input gave more than was asked for"); }
        *got += (size_t)r;
    }
    return KLUIS_OK;
}

/* ---- encrypting ------------------------------------------------------------------------------- */

struct padded { /* gives u64be(length) || bytes || zeros, `whole` bytes in total */
    const struct kluis_input *in;
    uint64_t length, whole, at;
    bool ended; /* the input was seen to stop where it should */
};

static kluis_status padded_read(struct padded *s, uint8_t *p, size_t n, struct kluis_err *err)
{
    size_t done = 0;
    while (done < n && s->at < LENGTH) {
        p[done++] = (uint8_t)(s->length >> (8 * (LENGTH - 1 - s->at)));
        s->at++;
    }
    uint64_t body_end = LENGTH + s->length;
    if (done < n && s->at < body_end) {
        uint64_t left = body_end - s->at;
        size_t take = left < n - done ? (size_t)left : n - done;
        size_t got = 0;
        KLUIS_TRY(fill(s->in, p + done, take, &got, err));
        if (got != take) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "content: the input ended before its stated length"); }
        done += take;
        s->at += take;
    }
    if (s->at == body_end && !s->ended) {
        uint8_t extra;
        size_t got = 0;
        KLUIS_TRY(fill(s->in, &extra, 1, &got, err));
        if (got != 0) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "content: the input goes on past its stated length"); }
        s->ended = true;
    }
    if (done < n) {
        memset(p + done, 0, n - done);
        s->at += n - done;
    }
    return KLUIS_OK;
}

kluis_status kluis_content_encrypt(const uint8_t key[32], const struct kluis_input *in, uint64_t true_length, const struct kluis_output *out,
                                   uint8_t cipher_sha256[32], struct kluis_err *err)
{
    memset(cipher_sha256, 0, KLUIS_SHA256_LEN);
    if (true_length > CONTENT_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "content: longer than 1 PiB"); }
    uint8_t head[HEAD];
    struct cipher c;
    kluis_random(head, SALT);
    KLUIS_TRY(cipher_open(&c, key, head, head + SALT, err));

    KLUIS_AUTO(kluis_sha256) hash = kluis_sha256_new();
    const size_t room = (size_t)BATCH * SEALED;
    uint8_t *batch = kluis_malloc(room);
    struct padded source = { .in = in, .length = true_length, .whole = kluis_content_padded(true_length) };
    bool last = false;
    kluis_status rc;
    if (hash == NULL || batch == NULL) {
        rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "content: out of memory; try again");
        goto done;
    }
    kluis_sha256_add(hash, head, sizeof head);
    rc = out->write(out->ctx, head, sizeof head, err);
    while (rc == KLUIS_OK && !last) {
        size_t used = 0;
        while (rc == KLUIS_OK && !last && used < room) {
            uint64_t left = source.whole - source.at;
            size_t n = left < CHUNK ? (size_t)left : CHUNK;
            last = n < CHUNK; /* a whole number of chunks ends in an empty one */
            rc = padded_read(&source, batch + used, n, err);
            if (rc == KLUIS_OK) { rc = seal_chunk(&c, batch + used, n, err); }
            used += n + TAG;
        }
        if (rc != KLUIS_OK) { break; }
        kluis_sha256_add(hash, batch, used);
        rc = out->write(out->ctx, batch, used, err);
    }
    if (rc == KLUIS_OK) { kluis_sha256_end(hash, cipher_sha256); }
done:
    if (batch != NULL) { kluis_wipe(batch, room); }
    kluis_free(batch);
    cipher_close(&c);
    return rc;
}

/* ---- decrypting ------------------------------------------------------------------------------- */

struct kluis_content_reader {
    struct kluis_input in;
    struct cipher cipher;
    uint64_t length; /* true length */
    uint64_t given;  /* bytes of it handed out */
    uint64_t opened; /* plaintext bytes whose tag was checked */
    uint64_t whole;  /* padded length */
    size_t at, end;  /* of what waits in chunk */
    bool last;       /* the last chunk was opened */
    kluis_status failed;
    uint8_t chunk[SEALED];
    uint8_t tail[SEALED]; /* padding chunks, checked before the last true byte leaves */
};

static kluis_status next_chunk(struct kluis_content_reader *r, uint8_t *p, size_t *n, struct kluis_err *err)
{
    size_t got = 0;
    assert(!r->last);
    KLUIS_TRY(fill(&r->in, p, SEALED, &got, err));
    if (got < TAG) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "content: cut off after %llu bytes; fetch it again", (unsigned long long)r->opened); }
    r->last = got < SEALED;
    *n = got - TAG;
    KLUIS_TRY(open_chunk(&r->cipher, p, *n, err));
    r->opened += *n;
    return KLUIS_OK;
}

static bool all_zero(const uint8_t *p, size_t n)
{
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++) { any |= p[i]; }
    return any == 0;
}

/* Called when `chunk` holds the last true byte: the rest of it and all further chunks must be zeros, and the whole as long
 * as the length says.  So nobody who got all bytes has to remember to look whether an error follows. */
static kluis_status check_tail(struct kluis_content_reader *r, struct kluis_err *err)
{
    bool zero = all_zero(r->chunk + r->end, (size_t)(r->opened - LENGTH - r->length));
    while (zero && !r->last) {
        size_t n = 0;
        KLUIS_TRY(next_chunk(r, r->tail, &n, err));
        zero = all_zero(r->tail, n);
    }
    if (!zero || r->opened != r->whole) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "content: padding is not what the length %llu asks for", (unsigned long long)r->length);
    }
    return KLUIS_OK;
}

/* Puts the next true bytes into chunk[at..end). */
static kluis_status refill(struct kluis_content_reader *r, struct kluis_err *err)
{
    size_t n = 0;
    if (r->last) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "content: shorter than its stated length"); }
    KLUIS_TRY(next_chunk(r, r->chunk, &n, err));
    r->at = 0;
    if (n == 0) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "content: shorter than its stated length"); } /* an end is never read as success */
    uint64_t left = r->length - r->given;
    r->end = n < left ? n : (size_t)left;
    return n >= left ? check_tail(r, err) : KLUIS_OK;
}

static kluis_status first_chunk(struct kluis_content_reader *r, struct kluis_err *err)
{
    size_t n = 0;
    KLUIS_TRY(next_chunk(r, r->chunk, &n, err));
    if (n < LENGTH) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "content: too short for a length"); }
    for (unsigned i = 0; i < LENGTH; i++) { r->length = r->length << 8 | r->chunk[i]; }
    r->whole = kluis_content_padded(r->length);
    if (r->whole == 0) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "content: states an impossible length"); }
    r->at = LENGTH;
    uint64_t have = n - LENGTH;
    r->end = LENGTH + (size_t)(have < r->length ? have : r->length);
    return have >= r->length ? check_tail(r, err) : KLUIS_OK;
}

kluis_status kluis_content_open(struct kluis_content_reader **out, const uint8_t key[32], const struct kluis_input *in, struct kluis_err *err)
{
    *out = NULL;
    uint8_t head[HEAD], commitment[COMMITMENT];
    size_t got = 0;
    struct kluis_content_reader *r = kluis_calloc(1, sizeof *r);
    if (r == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "content: out of memory; try again"); }
    r->in = *in;
    kluis_status rc = fill(in, head, sizeof head, &got, err);
    if (rc == KLUIS_OK && got != sizeof head) { rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "content: cut off before its first chunk; fetch it again"); }
    if (rc == KLUIS_OK) { rc = cipher_open(&r->cipher, key, head, commitment, err); }
    if (rc == KLUIS_OK && !kluis_equal_secret(commitment, head + SALT, COMMITMENT)) {
        rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "content: encrypted under another key");
    }
    if (rc == KLUIS_OK) { rc = first_chunk(r, err); }
    if (rc != KLUIS_OK) {
        kluis_content_reader_free(r);
        return rc;
    }
    *out = r;
    return KLUIS_OK;
}

static ssize_t reader_read(void *ctx, void *p, size_t n, struct kluis_err *err)
{
    struct kluis_content_reader *r = ctx;
    if (r->failed != KLUIS_OK) {
        (void)KLUIS_FAIL(err, r->failed, "content: reading failed before");
        return -1;
    }
    if (n == 0 || r->given == r->length) { return 0; }
    if (r->at == r->end) {
        kluis_status rc = refill(r, err);
        if (rc != KLUIS_OK) {
            r->failed = rc;
            return -1;
        }
    }
    size_t take = r->end - r->at < n ? r->end - r->at : n;
    memcpy(p, r->chunk + r->at, take);
    r->at += take;
    r->given += take;
    return (ssize_t)take;
}

struct kluis_input kluis_content_input(struct kluis_content_reader *r) { return (struct kluis_input){ .ctx = r, .read = reader_read }; }

uint64_t kluis_content_length(const struct kluis_content_reader *r) { return r->length; }

void kluis_content_reader_free(struct kluis_content_reader *r)
{
    if (r == NULL) { return; }
    cipher_close(&r->cipher);
    kluis_wipe(r, sizeof *r);
    kluis_free(r);
}
