/* opening.c - what deciphering a sealed source costs: the reader's own, and libgcrypt and zlib alone over the same bytes.
 *
 * opening desktop DATABASE KEY          pages of SQLCipher 4: ours is what filling the private copy costs more than filling it with the same bytes in
 * the clear opening android BACKUP PASSPHRASE     key and frames of a .backup, none of them replayed opening archive|apple|threema FILE PASSWORD the
 * yardstick only: a sealed `main`, a file of an encrypted backup, a zip of WinZip's AES Prints "OURS RAW" in CPU seconds; OURS is 0 where only the
 * yardstick is made.  Keys of the yardstick are the workload's own, or any: they cost the same.
 */
#include "agent/source/signal_android/backup.h"
#include "agent/source/signal_desktop/desktop.h"

#include <fcntl.h>
#include <gcrypt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <zlib.h>

enum { PAGE = 4096, BODY = 4016, PIECE = 1 << 20 };

static void die(const char *what)
{
    (void)fprintf(stderr, "opening: %s\n", what);
    exit(1);
}

static double cpu(void)
{
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) != 0) { die("no time"); }
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void must(gcry_error_t e)
{
    if (e != 0) { die(gcry_strerror(e)); }
}

static gcry_cipher_hd_t aes(int mode, const void *key)
{
    gcry_cipher_hd_t c;
    must(gcry_cipher_open(&c, GCRY_CIPHER_AES256, mode, 0));
    must(gcry_cipher_setkey(c, key, 32));
    return c;
}

static gcry_md_hd_t hmac(int digest, const void *key, size_t n)
{
    gcry_md_hd_t h;
    must(gcry_md_open(&h, digest, GCRY_MD_FLAG_HMAC));
    must(gcry_md_setkey(h, key, n));
    return h;
}

static FILE *file(const char *path)
{
    FILE *f = fopen(path, "rbe");
    if (f == NULL) { die("cannot open"); }
    return f;
}

static void ok(kluis_status rc, const struct kluis_err *err)
{
    if (rc != KLUIS_OK) { die(err->msg); }
}

static uint32_t be32(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }
static size_t le(const uint8_t *p, size_t n)
{
    size_t v = 0;
    for (size_t i = n; i > 0; i--) { v = v << 8 | p[i - 1]; }
    return v;
}

/* ---- Signal Desktop ---- */

static double raw_desktop(const char *path, const uint8_t key[32])
{
    static uint8_t page[PAGE];
    uint8_t mac[32];
    FILE *f = file(path);
    const double from = cpu();
    must(gcry_kdf_derive(key, 32, GCRY_KDF_PBKDF2, GCRY_MD_SHA512, "0123456789abcdef", 16, 2, sizeof mac, mac));
    gcry_cipher_hd_t c = aes(GCRY_CIPHER_MODE_CBC, key);
    gcry_md_hd_t h = hmac(GCRY_MD_SHA512, mac, sizeof mac);
    for (uint32_t number = 1; fread(page, 1, PAGE, f) == PAGE; number++) {
        gcry_md_reset(h);
        gcry_md_write(h, page, BODY + 16);
        gcry_md_write(h, &number, sizeof number);
        if (gcry_md_read(h, 0) == NULL) { die("no MAC"); }
        must(gcry_cipher_setiv(c, page + BODY, 16));
        must(gcry_cipher_decrypt(c, page, BODY, NULL, 0));
    }
    gcry_cipher_close(c);
    gcry_md_close(h);
    (void)fclose(f);
    return cpu() - from;
}

static double our_desktop(const char *path, const uint8_t key[32])
{
    static uint8_t page[PAGE];
    struct kluis_err err = { 0 };
    struct kluis_scratch *sealed = NULL, *log = NULL, *clear = NULL;
    struct sqlcipher s = { .path = path, .wal = "/nonexistent", .key = key };
    ok(kluis_scratch_new(&sealed, &err), &err);
    ok(kluis_scratch_new(&log, &err), &err);
    ok(kluis_scratch_new(&clear, &err), &err);
    const double from = cpu();
    ok(sqlcipher_fill(&s, sealed, log, &err), &err);
    const double opened = cpu();
    int fd = kluis_io_open(path, O_RDONLY, 0);
    for (uint64_t at = 0; at < kluis_scratch_size(sealed); at += PAGE) {
        ok(kluis_pread_all(fd, page, PAGE, at, path, &err), &err);
        ok(kluis_scratch_write(clear, page, PAGE, at, &err), &err);
    }
    kluis_close_quiet(&fd);
    const double copied = cpu() - opened;
    kluis_scratch_free(sealed);
    kluis_scratch_free(log);
    kluis_scratch_free(clear);
    return opened - from - copied;
}

/* ---- Signal on Android ---- */

static void raw_keys(const char *digits, const struct sa_header *h, uint8_t out[64])
{
    uint8_t a[64 + SA_DIGITS], prk[32] = { 0 };
    const size_t n = strlen(digits);
    gcry_md_hd_t md;
    must(gcry_md_open(&md, GCRY_MD_SHA512, 0));
    gcry_md_write(md, h->salt, h->salt_len);
    gcry_md_write(md, digits, n);
    gcry_md_write(md, digits, n);
    memcpy(a, gcry_md_read(md, 0), 64);
    gcry_md_close(md);
    memcpy(a + 64, digits, n);
    for (int i = 1; i < 250000; i++) { gcry_md_hash_buffer(GCRY_MD_SHA512, a, a, 64 + n); }
    for (int i = 0; i < 3; i++) {                       /* HKDF: one step for the key, one for each half */
        gcry_md_hd_t m = hmac(GCRY_MD_SHA256, prk, 32); /* of zeros at first */
        if (i == 0) { gcry_md_write(m, a, 32); }
        if (i == 2) { gcry_md_write(m, out, 32); }
        if (i > 0) { gcry_md_write(m, i == 1 ? "Backup Export\x01" : "Backup Export\x02", 14); }
        memcpy(i == 0 ? prk : out + (i == 2 ? 32 : 0), gcry_md_read(m, 0), 32);
        gcry_md_close(m);
    }
}

static double raw_android(const char *path, const char *digits, const struct sa_header *head)
{
    static uint8_t frame[PIECE];
    uint8_t keys[64], iv[16];
    FILE *f = file(path);
    const double from = cpu();
    raw_keys(digits, head, keys);
    gcry_cipher_hd_t c = aes(GCRY_CIPHER_MODE_CTR, keys);
    gcry_md_hd_t h = hmac(GCRY_MD_SHA256, keys + 32, 32);
    memcpy(iv, head->iv, 16);
    if (fseek(f, (long)head->end, SEEK_SET) != 0) { die("cannot read"); }
    for (uint32_t counter = be32(iv); fread(frame, 1, 4, f) == 4; counter++) {
        for (int i = 0; i < 4; i++) { iv[i] = (uint8_t)(counter >> (24 - 8 * i)); }
        gcry_md_reset(h);
        gcry_md_write(h, frame, 4);
        must(gcry_cipher_setctr(c, iv, 16));
        must(gcry_cipher_decrypt(c, frame, 4, NULL, 0));
        const size_t n = be32(frame);
        if (n < 10 || n > PIECE || fread(frame, 1, n, f) != n) { break; } /* bytes of the avatar at the end are no frame */
        gcry_md_write(h, frame, n - 10);
        if (memcmp(gcry_md_read(h, 0), frame + n - 10, 10) != 0) { break; }
        must(gcry_cipher_decrypt(c, frame, n - 10, NULL, 0));
    }
    gcry_cipher_close(c);
    gcry_md_close(h);
    (void)fclose(f);
    return cpu() - from;
}

static double our_android(const char *path, const char *digits, struct sa_header *head)
{
    static struct sa_stream s;
    uint8_t first[SA_HEAD_MAX];
    struct kluis_err err = { 0 };
    enum sa_got got = SA_FRAME;
    int fd = kluis_io_open(path, O_RDONLY, 0);
    const ssize_t n = fd < 0 ? -1 : kluis_io_pread(fd, first, sizeof first, 0);
    struct sa_keys *keys = kluis_secret_new(sizeof *keys);
    if (n < 0 || keys == NULL || !sa_header_read((struct kluis_bytes){ first, (size_t)n }, head) || head->version != 1) { die("no backup"); }
    const double from = cpu();
    ok(sa_keys_from(keys, digits, (struct kluis_bytes){ head->salt, head->salt_len }, &err), &err);
    ok(sa_stream_open(&s, fd, path, head, keys, &err), &err);
    while (got == SA_FRAME) {
        struct kluis_bytes frame;
        uint64_t lost;
        ok(sa_stream_next(&s, &got, &frame, &lost, &err), &err);
    }
    const double cost = cpu() - from;
    sa_stream_close(&s);
    kluis_secret_free(keys, sizeof *keys);
    kluis_close_quiet(&fd);
    return cost;
}

/* ---- yardsticks of what also lies about in the clear ---- */

/* A file as blocks of AES-256-CBC; mac: HMAC-SHA-256 over all of it too; packed: gzip inside. */
static double raw_cbc(const char *path, bool mac, bool packed)
{
    static uint8_t piece[PIECE], out[PIECE];
    uint8_t key[64] = { 0 };
    z_stream z = { 0 };
    FILE *f = file(path);
    const double from = cpu();
    gcry_cipher_hd_t c = aes(GCRY_CIPHER_MODE_CBC, key);
    gcry_md_hd_t h = hmac(GCRY_MD_SHA256, key + 32, 32);
    if (packed && inflateInit2(&z, 31) != Z_OK) { die("no memory"); }
    for (size_t n; (n = fread(piece, 1, PIECE, f)) >= 16;) {
        if (mac) { gcry_md_write(h, piece, n); }
        must(gcry_cipher_decrypt(c, piece, n / 16 * 16, NULL, 0));
    }
    gcry_cipher_close(c);
    gcry_md_close(h);
    double cost = cpu() - from;
    (void)fclose(f);
    if (packed) { /* the same content, inflated: its gzip lies beside it */
        char name[KLUIS_PATH_MAX];
        (void)snprintf(name, sizeof name, "%s.gz", path);
        f = file(name);
        const double again = cpu();
        for (size_t n; (n = fread(piece, 1, PIECE, f)) > 0;) {
            z.next_in = piece;
            z.avail_in = (unsigned)n;
            do {
                z.next_out = out;
                z.avail_out = PIECE;
                const int rc = inflate(&z, Z_NO_FLUSH);
                if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) { die("cannot inflate"); }
            } while (z.avail_out == 0);
        }
        cost += cpu() - again;
        (void)fclose(f);
        (void)inflateEnd(&z);
    }
    return cost;
}

/* Each entry of a zip of WinZip's AES: PBKDF2, HMAC-SHA-1, the counter from 1 with its low byte first, inflated. */
static double raw_threema(const char *path, const char *password)
{
    static uint8_t all[256 << 20], plain[PIECE], stream[PIECE];
    FILE *f = file(path);
    const size_t size = fread(all, 1, sizeof all, f);
    const double from = cpu();
    for (size_t at = 0; at + 30 < size && memcmp(all + at, "PK\x03\x04", 4) == 0;) {
        const size_t packed = le(all + at + 18, 4), head = 30 + le(all + at + 26, 2) + le(all + at + 28, 2);
        const uint8_t *salt = all + at + head;
        uint8_t keys[66];
        if (packed < 28 || at + head + packed > size) { die("cannot read"); }
        must(gcry_kdf_derive(password, strlen(password), GCRY_KDF_PBKDF2, GCRY_MD_SHA1, salt, 16, 1000, sizeof keys, keys));
        gcry_md_hd_t h = hmac(GCRY_MD_SHA1, keys + 32, 32);
        gcry_md_write(h, salt + 18, packed - 28);
        if (memcmp(gcry_md_read(h, 0), salt + packed - 10, 10) != 0) { die("another password"); }
        gcry_md_close(h);
        gcry_cipher_hd_t c = aes(GCRY_CIPHER_MODE_ECB, keys);
        z_stream z = { 0 };
        uint64_t counter = 0;
        if (inflateInit2(&z, -15) != Z_OK) { die("no memory"); }
        for (size_t done = 0; done < packed - 28;) {
            const size_t n = packed - 28 - done < PIECE ? packed - 28 - done : PIECE, blocks = (n + 15) / 16;
            memset(stream, 0, blocks * 16);
            for (size_t i = 0; i < blocks; i++) {
                counter++;
                memcpy(stream + i * 16, &counter, sizeof counter); /* little-endian, as everything this runs on */
            }
            must(gcry_cipher_encrypt(c, stream, blocks * 16, NULL, 0));
            for (size_t i = 0; i < n; i++) { stream[i] ^= salt[18 + done + i]; }
            z.next_in = stream;
            z.avail_in = (unsigned)n;
            do {
                z.next_out = plain;
                z.avail_out = PIECE;
                const int rc = inflate(&z, Z_NO_FLUSH);
                if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) { die("cannot inflate"); }
            } while (z.avail_out == 0);
            done += n;
        }
        (void)inflateEnd(&z);
        gcry_cipher_close(c);
        at += head + packed;
    }
    (void)fclose(f);
    return cpu() - from;
}

int main(int argc, char **argv)
{
    struct kluis_err err = { 0 };
    double ours = 0, raw = 0;
    if (argc != 4 || kluis_base_init(&err) != KLUIS_OK) { die("usage: opening desktop|android|archive|apple|threema FILE SECRET"); }
    if (strcmp(argv[1], "desktop") == 0) {
        uint8_t key[32];
        if (!kluis_unhex(kluis_str_of(argv[3]), key, sizeof key)) { die("a key has 64 hexadecimal digits"); }
        ours = our_desktop(argv[2], key);
        raw = raw_desktop(argv[2], key);
    } else if (strcmp(argv[1], "android") == 0) {
        struct sa_header head;
        ours = our_android(argv[2], argv[3], &head);
        raw = raw_android(argv[2], argv[3], &head);
    } else if (strcmp(argv[1], "threema") == 0) {
        raw = raw_threema(argv[2], argv[3]);
    } else {
        raw = raw_cbc(argv[2], strcmp(argv[1], "archive") == 0, strcmp(argv[1], "archive") == 0);
    }
    (void)printf("%.4f %.4f\n", ours, raw);
    return 0;
}
