/* find_private SPKI.der FILE…: is any run of 32 bytes in these files the private half of this P-256 key?  Exit 0: yes, with file and place;
 * 1: nowhere; 2: the search could not be made.  For tests that say where a key is not. */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kluis/base.h"

enum { FILE_MAX = 64 << 20 };

static EC_POINT *point_of(const EC_GROUP *group, const struct kluis_buf *spki)
{
    const unsigned char *p = spki->data;
    unsigned char raw[65];
    size_t n = 0;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)spki->len);
    EC_POINT *point = EC_POINT_new(group);
    if (key == NULL || point == NULL || EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, raw, sizeof raw, &n) != 1 ||
        EC_POINT_oct2point(group, point, raw, n, NULL) != 1) {
        EC_POINT_free(point);
        point = NULL;
    }
    EVP_PKEY_free(key);
    return point;
}

/* The offset, or -1. */
static long search(const EC_GROUP *group, const EC_POINT *want, const struct kluis_buf *b, BN_CTX *ctx)
{
    EC_POINT *got = EC_POINT_new(group);
    BIGNUM *k = BN_new();
    long found = -1;
    for (size_t i = 0; got != NULL && k != NULL && found < 0 && i + 32 <= b->len; i++) {
        int zeros = 0; /* pages are full of them; a private key is not */
        for (size_t j = 0; j < 32; j++) { zeros += b->data[i + j] == 0; }
        if (zeros > 16 || BN_bin2bn(b->data + i, 32, k) == NULL || EC_POINT_mul(group, got, k, NULL, NULL, ctx) != 1) { continue; }
        if (EC_POINT_cmp(group, got, want, ctx) == 0) { found = (long)i; }
    }
    BN_free(k);
    EC_POINT_free(got);
    return found;
}

int main(int argc, char **argv)
{
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(spki, 4096);
    BN_CTX *ctx = BN_CTX_new();
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    if (argc < 3 || ctx == NULL || group == NULL || kluis_read_file(argv[1], 4096, &spki, &err) != KLUIS_OK) {
        fprintf(stderr, "usage: find_private SPKI.der FILE…\n");
        return 2;
    }
    EC_POINT *want = point_of(group, &spki);
    int rc = want == NULL ? 2 : 1;
    for (int i = 2; rc == 1 && i < argc; i++) {
        KLUIS_AUTO_BUF(b, FILE_MAX);
        if (kluis_read_file(argv[i], FILE_MAX, &b, &err) != KLUIS_OK) {
            fprintf(stderr, "find_private: %s\n", err.msg);
            rc = 2;
            break;
        }
        long at = search(group, want, &b, ctx);
        if (at >= 0) {
            printf("%s: at %ld\n", argv[i], at);
            rc = 0;
        }
    }
    EC_POINT_free(want);
    EC_GROUP_free(group);
    BN_CTX_free(ctx);
    return rc;
}
