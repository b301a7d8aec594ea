/* crypt.c - opening WhatsApp's encrypted backups.  See crypt.h. */
#include "agent/source/whatsapp_android/crypt.h"

#include "agent/source/protobuf.h"

#include <gcrypt.h>

enum { TAG = 16, MD5 = 16, CHUNK = 256 << 10, JAVA = 27, KEY_FILE_14 = 158, KEY_FILE_15 = 59 };

/* ---- head ---- */

static struct kluis_bytes fixed(const struct pb_field *f, size_t n)
{
    return f->type == PB_BYTES && f->bytes.len == n ? f->bytes : (struct kluis_bytes){ NULL, 0 };
}

static bool take(const struct pb_field *f, uint8_t *out, size_t n)
{
    struct kluis_bytes b = fixed(f, n);
    if (b.ptr != NULL) { memcpy(out, b.ptr, n); }
    return b.ptr != NULL;
}

static void take_text(const struct pb_field *f, char *out, size_t cap)
{
    if (f->type != PB_BYTES || f->bytes.len >= cap) { return; }
    for (size_t i = 0; i < f->bytes.len; i++) {
        if (f->bytes.ptr[i] < 0x20 || f->bytes.ptr[i] > 0x7e) { return; }
    }
    memcpy(out, f->bytes.ptr, f->bytes.len);
    out[f->bytes.len] = '\0';
}

/* BackupPrefix: 2 what crypt14 states, 3 what crypt15 states, 4 about the app. */
static bool prefix(struct kluis_bytes message, struct crypt_head *h)
{
    struct pb m = pb_open(message);
    struct pb_field f, g;
    int more, inner = 0;
    bool iv = false;
    while ((more = pb_next(&m, &f)) == 1) {
        if (f.type != PB_BYTES) { continue; }
        struct pb s = pb_open(f.bytes);
        if (f.number != 2 && f.number != 3 && f.number != 4) { continue; }
        while ((inner = pb_next(&s, &g)) == 1) {
            if (f.number == 2 && g.number == 2) {
                if (g.type == PB_BYTES && g.bytes.len == 1) { h->key_version = g.bytes.ptr[0]; }
            } else if (f.number == 2 && g.number == 3) {
                (void)take(&g, h->salt, sizeof h->salt);
            } else if (f.number == 2 && g.number == 4) {
                (void)take(&g, h->id, sizeof h->id);
            } else if (f.number == 2 && g.number == 5) {
                iv |= take(&g, h->iv, sizeof h->iv);
                h->form = 14;
            } else if (f.number == 3 && g.number == 1) {
                iv |= take(&g, h->iv, sizeof h->iv);
                h->form = 15;
            } else if (f.number == 4 && g.number == 1) {
                take_text(&g, h->app_version, sizeof h->app_version);
            } else if (f.number == 4 && g.number == 3) {
                take_text(&g, h->suffix, sizeof h->suffix);
            }
        }
        if (inner < 0) { return false; }
    }
    return more == 0 && iv;
}

kluis_status crypt_head_read(struct kluis_bytes b, uint64_t file_size, const char *what, struct crypt_head *h, struct kluis_err *err)
{
    memset(h, 0, sizeof *h);
    if (b.len >= 3 && file_size > TAG) {
        size_t at = b.ptr[1] == 0x01 ? 2 : 1, n = b.ptr[0];
        if (n > 0 && at + n <= b.len && prefix((struct kluis_bytes){ b.ptr + at, n }, h)) {
            h->length = at + n;
            if (file_size > h->length + TAG) { return KLUIS_OK; }
        }
    }
    memset(h, 0, sizeof *h);
    /* Cipher version 1 was current when this form was: its first bytes are 00 01 and the version of the key. */
    if (b.len >= 67 && b.ptr[0] == 0 && b.ptr[1] == 1 && file_size > 67 + TAG + MD5 + 4) {
        h->form = 12;
        h->length = 67;
        h->key_version = b.ptr[2];
        memcpy(h->salt, b.ptr + 3, 32);
        memcpy(h->id, b.ptr + 35, 16);
        memcpy(h->iv, b.ptr + 51, 16);
        return KLUIS_OK;
    }
    return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: neither a database nor a crypt12, crypt14 or crypt15 backup; is the file whole?", what);
}

/* ---- key ---- */

static int hex_of(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool digits(struct kluis_bytes b, uint8_t root[32])
{
    size_t n = 0;
    for (size_t i = 0; i < b.len; i++) {
        int v = hex_of(b.ptr[i]);
        if (v < 0) {
            if (b.ptr[i] != ' ' && b.ptr[i] != '\n' && b.ptr[i] != '\r' && b.ptr[i] != '\t' && b.ptr[i] != '-') { return false; }
            continue;
        }
        if (n == 64) { return false; }
        root[n / 2] = (uint8_t)(n % 2 == 0 ? v << 4 : root[n / 2] | v);
        n++;
    }
    return n == 64;
}

static bool java_array(struct kluis_bytes b, size_t whole)
{
    static const uint8_t head[23] = { 0xac, 0xed, 0x00, 0x05, 0x75, 0x72, 0x00, 0x02, 0x5b, 0x42, 0xac, 0xf3,
                                      0x17, 0xf8, 0x06, 0x08, 0x54, 0xe0, 0x02, 0x00, 0x00, 0x78, 0x70 };
    return b.len == whole && memcmp(b.ptr, head, sizeof head) == 0 && b.ptr[23] == 0 && b.ptr[24] == 0 && b.ptr[25] == 0 && b.ptr[26] == whole - JAVA;
}

static kluis_status derive_15(const uint8_t root[32], uint8_t key[32], struct kluis_err *err)
{
    static const uint8_t zero[32];
    static const char label[] = "backup encryption\x01";
    uint8_t mid[32];
    KLUIS_TRY(kluis_hmac_sha256(zero, sizeof zero, root, 32, mid, err));
    kluis_status rc = kluis_hmac_sha256(mid, sizeof mid, label, sizeof label - 1, key, err);
    kluis_wipe(mid, sizeof mid);
    return rc;
}

kluis_status crypt_key(const struct crypt_head *h, struct kluis_bytes given, const char *what, uint8_t key[32], struct kluis_err *err)
{
    if (given.ptr == NULL) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: encrypted (crypt%d); give its key with --option key=@FILE: %s", what, h->form,
                          h->form == 15 ? "the 64 digits or encrypted_backup.key" : "the phone's file named key");
    }
    bool key14 = java_array(given, KEY_FILE_14), key15 = java_array(given, KEY_FILE_15);
    if (h->form == 15) {
        uint8_t root[32];
        if (key14) {
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: a crypt15 backup, but the key given is the phone's key file of crypt14; give the 64 digits",
                              what);
        }
        bool ok = key15 || given.len == 32 || digits(given, root);
        if (key15) {
            memcpy(root, given.ptr + JAVA, 32);
        } else if (given.len == 32) {
            memcpy(root, given.ptr, 32);
        }
        kluis_status rc = ok ? derive_15(root, key, err)
                             : KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: the key given is neither 64 hexadecimal digits nor a key file", what);
        kluis_wipe(root, sizeof root);
        return rc;
    }
    if (key15) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: a crypt%d backup, but the key given is one of crypt15", what, h->form); }
    if (key14) {
        const uint8_t *k = given.ptr + JAVA;
        if (memcmp(k + 3, h->salt, 32) != 0) {
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: the key file is of another phone or of an earlier installation; give the one of this backup",
                              what);
        }
        memcpy(key, given.ptr + 126, 32);
        return KLUIS_OK;
    }
    if (given.len == 32) {
        memcpy(key, given.ptr, 32);
        return KLUIS_OK;
    }
    return digits(given, key) ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: the key given is neither a key file nor 64 hexadecimal digits", what);
}

/* ---- content ---- */

static bool known_start(const uint8_t *p, size_t n)
{
    return n >= 16 && ((p[0] == 0x78 && (p[0] * 256 + p[1]) % 31 == 0 && (p[1] & 0x20) == 0) || memcmp(p, "PK\x03\x04", 4) == 0 ||
                       memcmp(p, "SQLite format 3", 16) == 0);
}

struct opening {
    gcry_cipher_hd_t cipher;
    gcry_md_hd_t md5;
    uint8_t *chunk;
};

/* Sealed bytes end where the tag begins; with an MD5 that is told only at the end, so the last of them are held back. */
static kluis_status run(struct opening *o, const struct crypt_head *h, int fd, uint64_t size, const char *what, const struct kluis_output *out,
                        struct kluis_err *err)
{
    const uint64_t foot = h->form == 12 ? TAG + MD5 + 4 : TAG + MD5, hashed = h->form == 12 ? size - MD5 - 4 : size - MD5;
    bool short_one = size < h->length + foot + 1; /* too small for an MD5: only a tag */
    uint64_t end = short_one ? size - TAG : size - foot;
    uint8_t tail[TAG + MD5 + 4];
    if (h->length > 0) {
        KLUIS_TRY(kluis_pread_all(fd, o->chunk, h->length, 0, what, err));
        gcry_md_write(o->md5, o->chunk, h->length);
    }
    bool first = true;
    for (uint64_t at = h->length; at < end;) {
        size_t n = end - at < CHUNK ? (size_t)(end - at) : CHUNK;
        KLUIS_TRY(kluis_pread_all(fd, o->chunk, n, at, what, err));
        gcry_md_write(o->md5, o->chunk, n);
        if (gcry_cipher_decrypt(o->cipher, o->chunk, n, NULL, 0) != 0) { return KLUIS_FAIL(err, KLUIS_E_BUG, "%s: cannot decrypt", what); }
        if (first && !known_start(o->chunk, n)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: wrong key: it does not open this backup", what); }
        first = false;
        KLUIS_TRY(out->write(out->ctx, o->chunk, n, err));
        at += n;
    }
    size_t rest = (size_t)(size - end);
    KLUIS_TRY(kluis_pread_all(fd, tail, rest, end, what, err));
    const uint8_t *tag = tail;
    if (!short_one) {
        gcry_md_write(o->md5, tail, (size_t)(hashed - end));
        bool whole = memcmp(gcry_md_read(o->md5, GCRY_MD_MD5), tail + (hashed - end), MD5) == 0;
        if (!whole && h->form != 12) { /* of a backup in several files: what was taken for the tag is content still */
            uint8_t plain[TAG];
            if (gcry_cipher_decrypt(o->cipher, plain, sizeof plain, tail, TAG) != 0) {
                return KLUIS_FAIL(err, KLUIS_E_BUG, "%s: cannot decrypt", what);
            }
            KLUIS_TRY(out->write(out->ctx, plain, sizeof plain, err));
            tag = tail + TAG;
        }
    }
    if (gcry_cipher_checktag(o->cipher, tag, TAG) != 0) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: damaged: the key fits, but its seal does not hold; take another copy of the backup", what);
    }
    return KLUIS_OK;
}

kluis_status crypt_open(const struct crypt_head *h, int fd, uint64_t size, const char *what, const uint8_t key[32], const struct kluis_output *out,
                        struct kluis_err *err)
{
    struct opening o = { .chunk = kluis_malloc(CHUNK) };
    kluis_status rc = KLUIS_E_NOMEM;
    if (o.chunk != NULL && gcry_cipher_open(&o.cipher, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_GCM, 0) == 0 &&
        gcry_cipher_setkey(o.cipher, key, 32) == 0 && gcry_cipher_setiv(o.cipher, h->iv, sizeof h->iv) == 0 &&
        gcry_md_open(&o.md5, GCRY_MD_MD5, 0) == 0) {
        rc = run(&o, h, fd, size, what, out, err);
    } else {
        rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again");
    }
    gcry_md_close(o.md5);
    gcry_cipher_close(o.cipher);
    if (o.chunk != NULL) { kluis_wipe(o.chunk, CHUNK); }
    kluis_free(o.chunk);
    return rc;
}
