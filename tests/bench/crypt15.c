/* crypt15.c - seals a database as WhatsApp's .crypt15 does, and the yardstick for opening it: what libgcrypt and zlib alone cost.
 *
 * crypt15 seal DATABASE OUT     written from the format's facts, with the key of 64 hexadecimal digits that it prints
 * crypt15 raw OUT               HMAC for the key, AES-256-GCM over the body, inflate; nothing is kept.  Prints CPU seconds.
 * Shares no code with the reader.
 */
#include <gcrypt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <zlib.h>

enum { PIECE = 1 << 20, HEAD = 45, TAG = 16 };

static unsigned char root[32], piece[PIECE], packed[PIECE];

static void die(const char *what)
{
    (void)fprintf(stderr, "crypt15: %s\n", what);
    exit(1);
}

static void hmac(const unsigned char *key, const unsigned char *p, size_t n, unsigned char out[32])
{
    gcry_md_hd_t h;
    if (gcry_md_open(&h, GCRY_MD_SHA256, GCRY_MD_FLAG_HMAC) != 0 || gcry_md_setkey(h, key, 32) != 0) { die("no HMAC"); }
    gcry_md_write(h, p, n);
    memcpy(out, gcry_md_read(h, 0), 32);
    gcry_md_close(h);
}

static gcry_cipher_hd_t cipher(void)
{
    static const unsigned char info[] = "backup encryption\x01", zero[32];
    unsigned char prk[32], key[32], iv[16];
    gcry_cipher_hd_t c;
    for (int i = 0; i < 32; i++) { root[i] = (unsigned char)(100 + i); }
    for (int i = 0; i < 16; i++) { iv[i] = (unsigned char)(16 + i); }
    hmac(zero, root, 32, prk);
    hmac(prk, info, sizeof info - 1, key);
    if (gcry_cipher_open(&c, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_GCM, 0) != 0 || gcry_cipher_setkey(c, key, 32) != 0 ||
        gcry_cipher_setiv(c, iv, 16) != 0) {
        die("no AES-256-GCM");
    }
    return c;
}

static void put(FILE *f, gcry_md_hd_t md5, const void *p, size_t n)
{
    if (fwrite(p, 1, n, f) != n) { die("cannot write"); }
    gcry_md_write(md5, p, n);
}

static void seal(const char *from, const char *to)
{
    FILE *in = fopen(from, "rbe"), *out = fopen(to, "wbe");
    gcry_cipher_hd_t c = cipher();
    gcry_md_hd_t md5;
    z_stream z = { 0 };
    unsigned char head[HEAD + 2], tag[TAG], *w = head + 2;
    size_t n;
    if (in == NULL || out == NULL || gcry_md_open(&md5, GCRY_MD_MD5, 0) != 0 || deflateInit(&z, 1) != Z_OK) { die("cannot open"); }
    /* protobuf: 1 = 1; 3 = { 1: the 16 bytes of the IV }; 4 = { 1: the app's version, 3: the end of the number } */
    *w++ = 0x08;
    *w++ = 1;
    *w++ = 0x1a;
    *w++ = 18;
    *w++ = 0x0a;
    *w++ = 16;
    for (int i = 0; i < 16; i++) { *w++ = (unsigned char)(16 + i); }
    *w++ = 0x22;
    *w++ = 15;
    *w++ = 0x0a;
    *w++ = 9;
    memcpy(w, "2.25.1.75", 9);
    w += 9;
    *w++ = 0x1a;
    *w++ = 2;
    *w++ = '0';
    *w++ = '1';
    head[0] = (unsigned char)(w - head - 2);
    head[1] = 1;
    put(out, md5, head, (size_t)(w - head));
    for (int flush = Z_NO_FLUSH; flush != Z_FINISH;) {
        n = fread(piece, 1, PIECE, in);
        flush = n < PIECE ? Z_FINISH : Z_NO_FLUSH;
        z.next_in = piece;
        z.avail_in = (unsigned)n;
        do {
            z.next_out = packed;
            z.avail_out = PIECE;
            if (deflate(&z, flush) == Z_STREAM_ERROR) { die("cannot pack"); }
            n = PIECE - z.avail_out;
            static unsigned char whole[PIECE + 16]; /* GCM takes whole blocks until the last */
            static size_t kept;
            memcpy(whole + kept, packed, n);
            kept += n;
            bool last = flush == Z_FINISH && z.avail_out > 0;
            size_t take = last ? kept : kept / 16 * 16;
            if (take == 0 && !last) { continue; }
            if (last) { (void)gcry_cipher_final(c); }
            if (gcry_cipher_encrypt(c, whole, take, NULL, 0) != 0) { die("cannot encrypt"); }
            put(out, md5, whole, take);
            memmove(whole, whole + take, kept - take);
            kept -= take;
        } while (z.avail_out == 0);
    }
    if (gcry_cipher_gettag(c, tag, TAG) != 0) { die("no tag"); }
    put(out, md5, tag, TAG);
    if (fwrite(gcry_md_read(md5, 0), 1, 16, out) != 16 || fclose(out) != 0) { die("cannot write"); }
    for (int i = 0; i < 32; i++) { (void)printf("%02x", root[i]); }
    (void)printf("\n");
}

static void raw(const char *from)
{
    FILE *in = fopen(from, "rbe");
    gcry_cipher_hd_t c = cipher();
    z_stream z = { 0 };
    struct rusage u;
    int head = in == NULL ? EOF : getc(in);
    if (head == EOF || fseek(in, 0, SEEK_END) != 0) { die("cannot read"); }
    long left = ftell(in) - (head + 2) - TAG - 16;
    if (left <= 0 || fseek(in, head + 2, SEEK_SET) != 0 || inflateInit(&z) != Z_OK) { die("too short"); }
    while (left > 0) {
        size_t n = fread(piece, 1, left < PIECE ? (size_t)left : PIECE, in);
        if (n == 0) { die("too short"); }
        left -= (long)n;
        if (left == 0) { (void)gcry_cipher_final(c); }
        if (gcry_cipher_decrypt(c, piece, n, NULL, 0) != 0) { die("cannot decrypt"); }
        z.next_in = piece;
        z.avail_in = (unsigned)n;
        do {
            z.next_out = packed;
            z.avail_out = PIECE;
            int rc = inflate(&z, Z_NO_FLUSH);
            if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) { die("cannot inflate"); }
        } while (z.avail_out == 0);
    }
    if (getrusage(RUSAGE_SELF, &u) != 0) { die("no time"); }
    (void)printf("%.4f\n", (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
}

int main(int argc, char **argv)
{
    if (gcry_check_version(NULL) == NULL) { return 1; }
    (void)gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
    if (argc == 4 && strcmp(argv[1], "seal") == 0) {
        seal(argv[2], argv[3]);
    } else if (argc == 3 && strcmp(argv[1], "raw") == 0) {
        raw(argv[2]);
    } else {
        die("usage: crypt15 seal DATABASE OUT | raw OUT");
    }
    return 0;
}
