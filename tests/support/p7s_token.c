/* tests/support/p7s_token.c - takes the time-stamp token and the stamped signature value out of a CAdES signature, with OpenSSL alone:
 * p7s_token FILE.p7s TOKEN SIGNATURE.  Nothing of ours is linked, so that `openssl ts` judges what we did not touch. */
#include <openssl/bio.h>
#include <openssl/cms.h>

#include <stdio.h>

static int put(const char *path, const unsigned char *p, int n)
{
    FILE *f = fopen(path, "wb");
    if (f == NULL) { return 1; }
    int bad = fwrite(p, 1, (size_t)n, f) != (size_t)n;
    return (fclose(f) != 0) | bad;
}

int main(int argc, char **argv)
{
    if (argc != 4) { return 64; }
    BIO *in = BIO_new_file(argv[1], "rb");
    CMS_ContentInfo *cms = in == NULL ? NULL : d2i_CMS_bio(in, NULL);
    STACK_OF(CMS_SignerInfo) *all = cms == NULL ? NULL : CMS_get0_SignerInfos(cms);
    if (all == NULL || sk_CMS_SignerInfo_num(all) != 1) {
        (void)fputs("p7s_token: not one signature\n", stderr);
        return 1;
    }
    CMS_SignerInfo *si = sk_CMS_SignerInfo_value(all, 0);
    int at = CMS_unsigned_get_attr_by_NID(si, NID_id_smime_aa_timeStampToken, -1);
    X509_ATTRIBUTE *a = at < 0 ? NULL : CMS_unsigned_get_attr(si, at);
    if (a == NULL || X509_ATTRIBUTE_count(a) != 1) {
        (void)fputs("p7s_token: no token\n", stderr);
        return 2;
    }
    const ASN1_STRING *token = X509_ATTRIBUTE_get0_data(a, 0, V_ASN1_SEQUENCE, NULL);
    const ASN1_OCTET_STRING *value = CMS_SignerInfo_get0_signature(si);
    if (token == NULL || value == NULL) { return 1; }
    int bad =
        put(argv[2], ASN1_STRING_get0_data(token), ASN1_STRING_length(token)) | put(argv[3], ASN1_STRING_get0_data(value), ASN1_STRING_length(value));
    CMS_ContentInfo_free(cms);
    BIO_free(in);
    return bad;
}
