/* stream.c - the file as frames, and around damage.
 *
 * A length leads to the next frame, so bytes that were turned cost one frame.  Where a length itself is lost (or that of what lies behind
 * a frame), the next frame is looked for byte by byte: a place is one when its length is sensible and its MAC is right, which 80 bits leave
 * no doubt about.  The MAC does not cover the counter, the length under it (or the frame's form) tells that.
 */
#include "agent/source/signal_android/backup.h"

#include <errno.h>
#include <gcrypt.h>
#include <sys/stat.h>

enum {
    SCAN_FRAME = 4096,    /* of frames that are looked for; larger ones are passed over with the damage */
    SCAN_COUNTERS = 4096, /* as many frames may have gone with it */
    PIECE = 64 << 10,
    WINDOW = SA_FRAME_MAX + 4 + SA_MAC + 64
};

static uint32_t be32(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }

bool sa_header_read(struct kluis_bytes head, struct sa_header *out)
{
    struct pb m, inner;
    struct pb_field f;
    int more;
    memset(out, 0, sizeof *out);
    if (head.len < 4) { return false; }
    const uint64_t n = be32(head.ptr);
    if (n < 18 || n > SA_HEAD_MAX - 4 || n > head.len - 4) { return false; }
    bool iv = false;
    m = pb_open((struct kluis_bytes){ head.ptr + 4, (size_t)n });
    if (pb_next(&m, &f) != 1 || f.number != 1 || f.type != PB_BYTES || pb_next(&m, &(struct pb_field){ 0 }) != 0) { return false; }
    inner = pb_open(f.bytes);
    while ((more = pb_next(&inner, &f)) == 1) {
        if (f.number == 1 && f.type == PB_BYTES && f.bytes.len == SA_IV) {
            memcpy(out->iv, f.bytes.ptr, SA_IV);
            iv = true;
        } else if (f.number == 2 && f.type == PB_BYTES && f.bytes.len <= SA_SALT_MAX) {
            memcpy(out->salt, f.bytes.ptr, f.bytes.len);
            out->salt_len = f.bytes.len;
        } else if (f.number == 3 && f.type == PB_VARINT) {
            out->version = f.value;
        } else {
            return false;
        }
    }
    out->end = 4 + n;
    return more == 0 && iv;
}

kluis_status sa_stream_open(struct sa_stream *s, int fd, const char *path, const struct sa_header *h, const struct sa_keys *keys,
                            struct kluis_err *err)
{
    struct stat st;
    gcry_cipher_hd_t c = NULL;
    gcry_md_hd_t m = NULL;
    *s = (struct sa_stream){ .fd = fd, .path = path, .head = *h, .keys = keys, .at = h->end, .counter = be32(h->iv) };
    if (fstat(fd, &st) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot read", path); }
    s->size = (uint64_t)st.st_size;
    s->budget = 32 * s->size + (UINT64_C(64) << 20);
    s->input = (struct kluis_input_fd){ .fd = fd, .what = path };
    s->w.ctx = &s->input;
    s->w.pread = window_pread_fd;
    KLUIS_TRY(window_open(&s->w, WINDOW, err));
    if (gcry_cipher_open(&c, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_CTR, 0) != 0) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    s->cipher = c;
    if (gcry_md_open(&m, GCRY_MD_SHA256, GCRY_MD_FLAG_HMAC) != 0) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    s->hmac = m;
    if (gcry_cipher_setkey(c, keys->cipher, SA_KEY) != 0 || gcry_md_setkey(m, keys->mac, SA_KEY) != 0) {
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again");
    }
    return KLUIS_OK;
}

void sa_stream_close(struct sa_stream *s)
{
    window_close(&s->w);
    gcry_cipher_close(s->cipher);
    gcry_md_close(s->hmac);
    s->cipher = s->hmac = NULL;
}

static void counter_block(const struct sa_stream *s, uint32_t counter, uint8_t out[SA_IV])
{
    memcpy(out, s->head.iv, SA_IV);
    for (int i = 0; i < 4; i++) { out[i] = (uint8_t)(counter >> (24 - 8 * i)); }
}

/* Deciphers in place under a counter, from its first byte on. */
static bool decipher(const struct sa_stream *s, uint32_t counter, uint8_t *p, size_t n)
{
    uint8_t block[SA_IV];
    counter_block(s, counter, block);
    return gcry_cipher_setctr(s->cipher, block, SA_IV) == 0 && gcry_cipher_decrypt(s->cipher, p, n, NULL, 0) == 0;
}

static bool mac_right(const struct sa_stream *s, const uint8_t *p, size_t n)
{
    gcry_md_reset(s->hmac);
    gcry_md_write(s->hmac, p, n);
    return kluis_equal_secret(gcry_md_read(s->hmac, 0), p + n, SA_MAC);
}

/* What stands at the window's start as a frame under the counter: its whole length with MAC in *n, 0: nothing that could be one. */
static kluis_status frame_at(struct sa_stream *s, uint32_t counter, size_t *n, bool *right, struct kluis_err *err)
{
    uint8_t length[4];
    *n = 0;
    *right = false;
    KLUIS_TRY(window_need(&s->w, 4, err));
    if (s->w.end - s->w.start < 4) { return KLUIS_OK; }
    memcpy(length, s->w.data + s->w.start, 4);
    if (s->head.version >= 1 && !decipher(s, counter, length, 4)) { return KLUIS_FAIL(err, KLUIS_E_BUG, "cannot decipher"); }
    const uint64_t body = be32(length);
    if (body < SA_FRAME_MIN + SA_MAC || body > SA_FRAME_MAX) { return KLUIS_OK; }
    KLUIS_TRY(window_need(&s->w, (size_t)body + 4, err));
    if (s->w.end - s->w.start < body + 4) { return KLUIS_OK; }
    *n = (size_t)body;
    const size_t skip = s->head.version >= 1 ? 0 : 4;
    *right = mac_right(s, s->w.data + s->w.start + skip, (size_t)body + 4 - skip - SA_MAC);
    return KLUIS_OK;
}

/* In the clear, in the window; behind it the window is moved by the next call. */
static kluis_status give(struct sa_stream *s, uint32_t counter, size_t n, struct kluis_bytes *frame, struct kluis_err *err)
{
    uint8_t *p = s->w.data + s->w.start;
    uint8_t *from = s->head.version >= 1 ? p : p + 4;
    const size_t len = s->head.version >= 1 ? n + 4 - SA_MAC : n - SA_MAC;
    if (!decipher(s, counter, from, len)) { return KLUIS_FAIL(err, KLUIS_E_BUG, "cannot decipher"); }
    *frame = (struct kluis_bytes){ p + 4, n - SA_MAC };
    s->at += 4 + n;
    s->counter = counter + 1;
    s->number++;
    s->w.start += 4 + n; /* what was made clear is not looked at again */
    return KLUIS_OK;
}

/* One field that fills all of it: what every frame is. */
static bool has_form(struct kluis_bytes b)
{
    struct pb m = pb_open(b);
    struct pb_field f;
    if (pb_next(&m, &f) != 1 || f.number < 2 || f.number > 9) { return false; }
    return (f.number == 6) == (f.type == PB_VARINT) && m.p == m.end;
}

/* ---- around damage ---------------------------------------------------------------------------------------------------------------- */

struct scan { /* candidates by the upper 16 bits that an enciphered length below 65,536 begins with */
    uint16_t head[65536], next[SCAN_COUNTERS + 1];
    uint8_t stream[SCAN_COUNTERS][4];
};

static bool scan_try(struct sa_stream *s, const uint8_t *p, size_t have, uint32_t body)
{
    if (body < SA_FRAME_MIN + SA_MAC || body > SCAN_FRAME || body + 4 > have || s->budget < body) { return false; }
    s->budget -= body;
    const size_t skip = s->head.version >= 1 ? 0 : 4;
    return mac_right(s, p + skip, (size_t)body + 4 - skip - SA_MAC);
}

/* The counter under which a frame whose MAC is right has the form of one. */
static bool scan_counter(struct sa_stream *s, const uint8_t *p, uint32_t body, uint32_t first, uint32_t *counter)
{
    uint8_t clear[SCAN_FRAME];
    for (uint32_t k = 0; k < SCAN_COUNTERS; k++) {
        memcpy(clear, p + 4, body - SA_MAC);
        if (decipher(s, first + k, clear, body - SA_MAC) && has_form((struct kluis_bytes){ clear, body - SA_MAC })) {
            *counter = first + k;
            return true;
        }
    }
    return false;
}

static bool scan_here(struct sa_stream *s, const struct scan *t, const uint8_t *p, size_t have, uint32_t first, uint32_t *counter)
{
    if (s->head.version == 0) {
        const uint32_t body = be32(p);
        return scan_try(s, p, have, body) && scan_counter(s, p, body, first, counter);
    }
    for (uint16_t i = t->head[(uint32_t)p[0] << 8 | p[1]]; i != 0; i = t->next[i]) {
        const uint8_t *k = t->stream[i - 1];
        if (scan_try(s, p, have, (uint32_t)(p[2] ^ k[2]) << 8 | (uint32_t)(p[3] ^ k[3]))) {
            *counter = first + i - 1;
            return true;
        }
    }
    return false;
}

/* Sets at and counter to the next frame behind the damage; *found false: there is none. */
static kluis_status scan(struct sa_stream *s, uint32_t first, bool *found, struct kluis_err *err)
{
    struct scan *t = kluis_calloc(1, sizeof *t);
    *found = false;
    if (t == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    for (uint32_t i = SCAN_COUNTERS; s->head.version >= 1 && i > 0; i--) {
        uint8_t *k = t->stream[i - 1];
        (void)decipher(s, first + i - 1, k, 4);
        const uint32_t at = (uint32_t)k[0] << 8 | k[1];
        t->next[i] = t->head[at];
        t->head[at] = (uint16_t)i;
    }
    kluis_status rc = KLUIS_OK;
    for (uint64_t at = s->at + 1; rc == KLUIS_OK && !*found && at + 4 <= s->size && s->budget > SCAN_FRAME;) {
        window_seek(&s->w, at);
        rc = window_need(&s->w, PIECE + SCAN_FRAME + 4, err);
        const size_t have = s->w.end - s->w.start;
        const uint8_t *p = s->w.data + s->w.start;
        size_t end = have < PIECE ? have : PIECE;
        uint32_t counter = 0;
        if (rc != KLUIS_OK || have < 4) { break; }
        if (end > have - 4) { end = have - 3; }
        for (size_t i = 0; i < end && !*found; i++) {
            if (!scan_here(s, t, p + i, have - i, first, &counter)) { continue; }
            *found = true;
            s->at = at + i;
            s->counter = counter;
        }
        at += end;
    }
    kluis_free(t);
    return rc;
}

static kluis_status pass_over(struct sa_stream *s, size_t n, enum sa_got *got, struct kluis_err *err)
{
    bool found = false, right = false;
    size_t next = 0;
    *got = SA_DAMAGED;
    if (n > 0) { /* its length may be right all the same: then the next frame stands behind it */
        window_seek(&s->w, s->at + 4 + n);
        KLUIS_TRY(frame_at(s, s->counter + 1, &next, &right, err));
        if (right) {
            s->at += 4 + n;
            s->counter++;
            s->number++;
            return KLUIS_OK;
        }
    }
    KLUIS_TRY(scan(s, s->counter, &found, err));
    if (!found) { s->at = s->size; }
    return KLUIS_OK;
}

kluis_status sa_stream_next(struct sa_stream *s, enum sa_got *got, struct kluis_bytes *frame, uint64_t *lost, struct kluis_err *err)
{
    size_t n = 0;
    bool right = false;
    *got = SA_END;
    *lost = s->at;
    if (s->at >= s->size) { return KLUIS_OK; }
    window_seek(&s->w, s->at);
    KLUIS_TRY(frame_at(s, s->counter, &n, &right, err));
    if (right) {
        *got = SA_FRAME;
        return give(s, s->counter, n, frame, err);
    }
    if (s->number == 0) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: this passphrase does not open it, or the file is damaged at its beginning; nothing was read",
                          s->path);
    }
    return pass_over(s, n, got, err);
}

/* ---- what lies behind a frame ---------------------------------------------------------------------------------------------------------- */

void sa_stream_skip(struct sa_stream *s, uint64_t length, struct sa_blob *out)
{
    *out = (struct sa_blob){ .at = s->at, .length = length, .counter = s->counter };
    s->counter++;
    s->at = length > s->size - s->at || s->size - s->at - length < SA_MAC ? s->size : s->at + length + SA_MAC;
}

kluis_status sa_blob_prove(const struct sa_stream *s, const struct sa_blob *b, bool *right, struct kluis_err *err)
{
    uint8_t block[SA_IV], mac[SA_MAC];
    *right = false;
    if (b->at > s->size || b->length > s->size - b->at || s->size - b->at - b->length < SA_MAC) { return KLUIS_OK; }
    uint8_t *piece = kluis_malloc(PIECE);
    if (piece == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    counter_block(s, b->counter, block);
    gcry_md_reset(s->hmac);
    gcry_md_write(s->hmac, block, SA_IV);
    kluis_status rc = KLUIS_OK;
    for (uint64_t done = 0; rc == KLUIS_OK && done < b->length;) {
        const size_t n = b->length - done < PIECE ? (size_t)(b->length - done) : PIECE;
        rc = kluis_pread_all(s->fd, piece, n, b->at + done, s->path, err);
        if (rc == KLUIS_OK) { gcry_md_write(s->hmac, piece, n); }
        done += n;
    }
    if (rc == KLUIS_OK) { rc = kluis_pread_all(s->fd, mac, SA_MAC, b->at + b->length, s->path, err); }
    if (rc == KLUIS_OK) { *right = kluis_equal_secret(gcry_md_read(s->hmac, 0), mac, SA_MAC); }
    kluis_free(piece);
    return rc;
}

struct sa_content {
    gcry_cipher_hd_t hd;
    struct kluis_input_fd file;
    uint64_t left;
};

kluis_status sa_content_open(const struct sa_stream *s, const struct sa_blob *b, struct sa_content **out, struct kluis_err *err)
{
    uint8_t block[SA_IV];
    struct sa_content *i = *out = kluis_calloc(1, sizeof *i);
    if (i == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    i->file = (struct kluis_input_fd){ .fd = s->fd, .at = b->at, .what = s->path };
    i->left = b->length;
    counter_block(s, b->counter, block);
    if (gcry_cipher_open(&i->hd, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_CTR, 0) != 0 || gcry_cipher_setkey(i->hd, s->keys->cipher, SA_KEY) != 0 ||
        gcry_cipher_setctr(i->hd, block, SA_IV) != 0) {
        sa_content_free(i);
        *out = NULL;
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again");
    }
    return KLUIS_OK;
}

void sa_content_free(struct sa_content *i)
{
    if (i == NULL) { return; }
    gcry_cipher_close(i->hd);
    kluis_free(i);
}

static ssize_t read_blob(void *ctx, void *p, size_t n, struct kluis_err *err)
{
    struct sa_content *i = ctx;
    const struct kluis_input in = kluis_input_from_fd(&i->file);
    if (n > i->left) { n = (size_t)i->left; }
    if (n == 0) { return 0; }
    ssize_t got = in.read(in.ctx, p, n, err);
    if (got <= 0) { return got; }
    if (gcry_cipher_decrypt(i->hd, p, (size_t)got, NULL, 0) != 0) {
        (void)KLUIS_FAIL(err, KLUIS_E_BUG, "an attachment cannot be deciphered");
        return -1;
    }
    i->left -= (uint64_t)got;
    return got;
}

struct kluis_input sa_content_input(struct sa_content *i) { return (struct kluis_input){ .ctx = i, .read = read_blob }; }
