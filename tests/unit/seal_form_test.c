/* tests/unit/seal_form_test.c - signatures and tokens that OpenSSL makes and our own code never would: the good are accepted,
 * weak algorithms, unfit certificates and loose forms are refused.  And a judge that lost every file still judges. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <errno.h>
#include <openssl/cms.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ts.h>
#include <openssl/x509v3.h>
#include <seccomp.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/pki.h"
#include "tests/support/test_dir.h"

#define OK(expr) assert_int_equal((expr), KLUIS_OK)

static struct pki *pki;
static const struct kluis_bytes content = { (const uint8_t *)"<manifest/>", 11 };

static int setup(void **state)
{
    (void)state;
    pki = pki_new(5);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pki_free(pki);
    return 0;
}

static EVP_PKEY *pkey_of(const struct kluis_key *k)
{
    KLUIS_AUTO_BUF(pem, 1 << 16);
    OK(kluis_key_to_pem(k, &pem, NULL));
    BIO *b = BIO_new_mem_buf(pem.data, (int)pem.len);
    EVP_PKEY *out = PEM_read_bio_PrivateKey(b, NULL, NULL, NULL);
    BIO_free(b);
    assert_non_null(out);
    return out;
}

static X509 *x509_of(const struct kluis_buf *der)
{
    const uint8_t *p = der->data;
    X509 *x = d2i_X509(NULL, &p, (long)der->len);
    assert_non_null(x);
    return x;
}

static void add_ext(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert_non_null(e);
    assert_int_equal(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
}

/* A certificate that our own authority would not issue. */
static X509 *odd_cert(EVP_PKEY *subject, const struct pki_party *issuer, const char *eku, const EVP_MD *md)
{
    X509 *x = X509_new(), *above = x509_of(&issuer->cert);
    EVP_PKEY *key = pkey_of(issuer->key);
    int64_t now = kluis_now_us() / 1000000;
    assert_int_equal(X509_set_version(x, X509_VERSION_3), 1);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 4711);
    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(x), (time_t)(now - 3600)));
    assert_non_null(ASN1_TIME_set(X509_getm_notAfter(x), (time_t)(now + 86400)));
    X509_NAME_add_entry_by_NID(X509_get_subject_name(x), NID_commonName, MBSTRING_UTF8, (const unsigned char *)"odd", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(above));
    X509_set_pubkey(x, subject);
    add_ext(x, NID_key_usage, "critical,digitalSignature,nonRepudiation");
    if (eku) { add_ext(x, NID_ext_key_usage, eku); }
    assert_true(X509_sign(x, key, md) > 0);
    EVP_PKEY_free(key);
    X509_free(above);
    return x;
}

static void to_buf(CMS_ContentInfo *cms, struct kluis_buf *out)
{
    uint8_t *der = NULL;
    int n = i2d_CMS_ContentInfo(cms, &der);
    assert_true(n > 0);
    kluis_buf_add(out, der, (size_t)n);
    OPENSSL_free(der);
    OK(kluis_buf_ok(out, NULL));
}

enum { ALSO_A_SIGNER = 1, WITH_CAPABILITIES = 2, ATTACHED = 4, WITHOUT_ESS = 8, WITH_CRL = 16, BY_KEY_ID = 32 };

static void openssl_signs(X509 *cert, EVP_PKEY *key, X509 *ca, const EVP_MD *md, int how, struct kluis_buf *out)
{
    BIO *in = BIO_new_mem_buf(content.ptr, (int)content.len);
    unsigned flags = CMS_BINARY | CMS_PARTIAL | ((how & ATTACHED) ? 0 : CMS_DETACHED);
    unsigned signer = CMS_BINARY | ((how & WITH_CAPABILITIES) ? 0 : CMS_NOSMIMECAP) | ((how & WITHOUT_ESS) ? 0 : CMS_CADES) |
                      ((how & BY_KEY_ID) ? CMS_USE_KEYID : 0);
    CMS_ContentInfo *cms = CMS_sign(NULL, NULL, NULL, in, flags);
    assert_non_null(cms);
    assert_non_null(CMS_add1_signer(cms, cert, key, md, signer));
    if (how & ALSO_A_SIGNER) { assert_non_null(CMS_add1_signer(cms, cert, key, md, signer | CMS_NOCERTS)); }
    if (ca) { assert_int_equal(CMS_add1_cert(cms, ca), 1); }
    if (how & WITH_CRL) {
        X509_CRL *crl = X509_CRL_new();
        EVP_PKEY *ca_key = pkey_of(pki->device_ca.key);
        ASN1_TIME *t = ASN1_TIME_set(NULL, (time_t)(kluis_now_us() / 1000000));
        X509_CRL_set_version(crl, 1);
        X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca));
        X509_CRL_set1_lastUpdate(crl, t);
        X509_CRL_set1_nextUpdate(crl, t);
        assert_true(X509_CRL_sign(crl, ca_key, EVP_sha256()) > 0);
        assert_int_equal(CMS_add1_crl(cms, crl), 1);
        X509_CRL_free(crl);
        EVP_PKEY_free(ca_key);
        ASN1_TIME_free(t);
    }
    assert_int_equal(CMS_final(cms, in, NULL, flags), 1);
    to_buf(cms, out);
    CMS_ContentInfo_free(cms);
    BIO_free(in);
}

static struct kluis_seal_verdict judged(const struct kluis_buf *p7s)
{
    struct kluis_seal_verdict v;
    OK(kluis_seal_judge(kluis_buf_bytes(p7s), content, &pki->device_anchor, 1, &pki->root_anchor, 1, kluis_now_us(), &v, NULL));
    return v;
}

static void keys_of_every_allowed_kind_are_accepted(void **state)
{
    (void)state;
    X509 *ca = x509_of(&pki->device_ca.cert);
    EVP_PKEY *keys[3] = { EVP_EC_gen("P-256"), EVP_EC_gen("P-384"), EVP_RSA_gen(3072) };
    const EVP_MD *md[3] = { EVP_sha256(), EVP_sha384(), EVP_sha512() };
    for (size_t k = 0; k < 3; k++) {
        X509 *x = odd_cert(keys[k], &pki->device_ca, NULL, EVP_sha256());
        for (size_t m = 0; m < 3; m++) {
            KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
            openssl_signs(x, keys[k], ca, md[m], 0, &p7s);
            struct kluis_seal_verdict v = judged(&p7s);
            assert_string_equal(v.signature_reason, "");
            assert_int_equal(v.signature, KLUIS_VALID);
            assert_int_equal(v.certificate, KLUIS_VALID);
        }
        X509_free(x);
    }
    for (size_t k = 0; k < 3; k++) { EVP_PKEY_free(keys[k]); }
    X509_free(ca);
}

static void our_own_rsa_signature_is_accepted_by_both_sides(void **state)
{
    (void)state;
    EVP_PKEY *rsa = EVP_RSA_gen(3072);
    BIO *b = BIO_new(BIO_s_mem());
    char *p = NULL;
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(b, rsa, NULL, NULL, 0, NULL, NULL), 1);
    long n = BIO_get_mem_data(b, &p);
    struct pki_party seal = { 0 };
    OK(kluis_key_from_pem((struct kluis_bytes){ (const uint8_t *)p, (size_t)n }, &seal.key, NULL));
    int64_t now = kluis_now_us();
    pki_issue(&seal, KLUIS_CERT_SEAL, &pki->root, now - PKI_YEAR, now + PKI_YEAR);
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    pki_sign(pki, &seal, &pki->root, content, true, &p7s);
    struct kluis_seal_verdict v;
    OK(kluis_seal_judge(kluis_buf_bytes(&p7s), content, &pki->root_anchor, 1, &pki->root_anchor, 1, now, &v, NULL));
    assert_int_equal(v.signature, KLUIS_VALID);
    assert_int_equal(v.certificate, KLUIS_VALID);
    assert_int_equal(v.time, KLUIS_VALID);
    pki_party_clear(&seal);
    BIO_free(b);
    EVP_PKEY_free(rsa);
}

static void weak_keys_and_digests_are_refused(void **state)
{
    (void)state;
    X509 *ca = x509_of(&pki->device_ca.cert);
    EVP_PKEY *rsa = EVP_RSA_gen(2048), *k1 = EVP_EC_gen("secp256k1"), *good = EVP_EC_gen("P-256");
    X509 *weak = odd_cert(rsa, &pki->device_ca, NULL, EVP_sha256()), *other = odd_cert(k1, &pki->device_ca, NULL, EVP_sha256());
    X509 *fine = odd_cert(good, &pki->device_ca, NULL, EVP_sha256()), *old = odd_cert(good, &pki->device_ca, NULL, EVP_sha1());
    const struct {
        X509 *x;
        EVP_PKEY *key;
        const EVP_MD *md;
    } bad[] = { { weak, rsa, EVP_sha256() }, { other, k1, EVP_sha256() }, { fine, good, EVP_sha1() }, { fine, good, EVP_sha224() } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
        openssl_signs(bad[i].x, bad[i].key, ca, bad[i].md, 0, &p7s);
        assert_int_equal(judged(&p7s).signature, KLUIS_INVALID);
    }
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX); /* a certificate signed with SHA-1 */
    openssl_signs(old, good, ca, EVP_sha256(), 0, &p7s);
    assert_int_equal(judged(&p7s).certificate, KLUIS_INVALID);
    struct kluis_key *k = NULL;
    BIO *b = BIO_new(BIO_s_mem());
    char *text = NULL;
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(b, rsa, NULL, NULL, 0, NULL, NULL), 1);
    long n = BIO_get_mem_data(b, &text);
    assert_int_equal(kluis_key_from_pem((struct kluis_bytes){ (const uint8_t *)text, (size_t)n }, &k, NULL), KLUIS_E_REJECT);
    BIO_free(b);
    X509 *certs[] = { weak, other, fine, old, ca };
    for (size_t i = 0; i < 5; i++) { X509_free(certs[i]); }
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(k1);
    EVP_PKEY_free(good);
}

static void loose_forms_are_refused(void **state)
{
    (void)state;
    static const int how[] = { ALSO_A_SIGNER, WITH_CAPABILITIES, ATTACHED, WITHOUT_ESS, WITH_CRL, BY_KEY_ID };
    X509 *ca = x509_of(&pki->device_ca.cert), *x = x509_of(&pki->device.cert);
    EVP_PKEY *key = pkey_of(pki->device.key);
    KLUIS_AUTO_BUF(good, KLUIS_P7S_MAX);
    openssl_signs(x, key, ca, EVP_sha256(), 0, &good);
    assert_int_equal(judged(&good).signature, KLUIS_VALID);
    for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
        KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
        openssl_signs(x, key, ca, EVP_sha256(), how[i], &p7s);
        struct kluis_seal_verdict v = judged(&p7s);
        assert_int_equal(v.signature, KLUIS_INVALID);
        assert_true(v.signature_reason[0] != 0);
    }
    kluis_buf_byte(&good, 0); /* a byte after the end */
    assert_int_equal(judged(&good).signature, KLUIS_INVALID);
    EVP_PKEY_free(key);
    X509_free(x);
    X509_free(ca);
}

/* A token as a certificate that is none of a time authority would make it: TSTInfo of a real one, signed anew. */
static void token_by(X509 *cert, EVP_PKEY *key, const uint8_t imprint[32], struct kluis_buf *out)
{
    KLUIS_AUTO_BUF(real, KLUIS_TOKEN_MAX);
    pki_token(pki->authority, &pki->root_anchor, imprint, &real);
    const uint8_t *p = real.data;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)real.len);
    assert_non_null(cms);
    ASN1_OCTET_STRING **tst = CMS_get0_content(cms);
    BIO *in = BIO_new_mem_buf(ASN1_STRING_get0_data(*tst), ASN1_STRING_length(*tst));
    CMS_ContentInfo *again = CMS_sign(NULL, NULL, NULL, in, CMS_BINARY | CMS_PARTIAL);
    assert_non_null(again);
    ASN1_OBJECT *type = OBJ_txt2obj("1.2.840.113549.1.9.16.1.4", 1);
    assert_int_equal(CMS_set1_eContentType(again, type), 1);
    assert_non_null(CMS_add1_signer(again, cert, key, EVP_sha256(), CMS_BINARY | CMS_NOSMIMECAP | CMS_CADES));
    assert_int_equal(CMS_final(again, in, NULL, CMS_BINARY), 1);
    to_buf(again, out);
    ASN1_OBJECT_free(type);
    CMS_ContentInfo_free(again);
    CMS_ContentInfo_free(cms);
    BIO_free(in);
}

static void only_critical_time_stamping_makes_a_time_authority(void **state)
{
    (void)state;
    static const struct {
        const char *eku;
        enum kluis_outcome want;
    } cases[] = { { "critical,timeStamping", KLUIS_VALID },
                  { "timeStamping", KLUIS_INVALID },
                  { "critical,timeStamping,serverAuth", KLUIS_INVALID },
                  { "critical,emailProtection", KLUIS_INVALID },
                  { NULL, KLUIS_INVALID } };
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    uint8_t imprint[32];
    pki_sign(pki, &pki->device, &pki->device_ca, content, false, &p7s);
    OK(kluis_seal_imprint(kluis_buf_bytes(&p7s), imprint, NULL));
    EVP_PKEY *key = EVP_EC_gen("P-256");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        X509 *x = odd_cert(key, &pki->root, cases[i].eku, EVP_sha256());
        KLUIS_AUTO_BUF(token, KLUIS_TOKEN_MAX);
        KLUIS_AUTO_BUF(stamped, KLUIS_P7S_MAX);
        token_by(x, key, imprint, &token);
        OK(kluis_seal_add_token(kluis_buf_bytes(&p7s), kluis_buf_bytes(&token), &stamped, NULL));
        struct kluis_seal_verdict v = judged(&stamped);
        assert_int_equal(v.signature, KLUIS_VALID);
        assert_int_equal(v.time, cases[i].want);
        X509_free(x);
    }
    EVP_PKEY_free(key);
}

/* Everything but arithmetic, memory, the clock and randomness (P-384 blinds its points) is refused with death. */
static void close_the_sandbox(void)
{
    static const int allowed[] = { SCMP_SYS(write),        SCMP_SYS(exit_group),    SCMP_SYS(exit),         SCMP_SYS(brk),     SCMP_SYS(mmap),
                                   SCMP_SYS(munmap),       SCMP_SYS(mremap),        SCMP_SYS(mprotect),     SCMP_SYS(madvise), SCMP_SYS(futex),
                                   SCMP_SYS(rt_sigreturn), SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(getpid),  SCMP_SYS(getrandom) };
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int rc = ctx ? 0 : -1;
    for (size_t i = 0; rc == 0 && i < sizeof allowed / sizeof *allowed; i++) { rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0); }
    if (rc != 0 || seccomp_load(ctx) != 0) { _exit(3); }
}

/* A fresh process that has done nothing but kluis_seal_warm: judges the files named on its command line after losing everything. */
static int sandboxed(char **argv)
{
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(device_ca, KLUIS_CERT_MAX);
    KLUIS_AUTO_BUF(root, KLUIS_CERT_MAX);
    if (kluis_read_file(argv[0], p7s.max, &p7s, NULL) != KLUIS_OK || kluis_read_file(argv[1], device_ca.max, &device_ca, NULL) != KLUIS_OK ||
        kluis_read_file(argv[2], root.max, &root, NULL) != KLUIS_OK || kluis_seal_warm(NULL) != KLUIS_OK) {
        return 8;
    }
    struct kluis_bytes a = kluis_buf_bytes(&device_ca), t = kluis_buf_bytes(&root);
    int64_t now = kluis_now_us();
    close_the_sandbox();
    if (argv[3][0] == 'x') {
        int fd = kluis_io_open("/etc/hostname", 0, 0); /* must not come back */
        _exit(fd == -1 ? 4 : 5);
    }
    struct kluis_seal_verdict v;
    if (kluis_seal_judge(kluis_buf_bytes(&p7s), content, &a, 1, &t, 1, now, &v, NULL) != KLUIS_OK) { _exit(6); }
    _exit(v.signature == KLUIS_VALID ? 0 : 7);
}

static char dir[64];

static void put(const char *name, const struct kluis_buf *b)
{
    char path[KLUIS_PATH_MAX];
    OK(kluis_path(path, sizeof path, dir, name, NULL));
    OK(kluis_write_file(path, b->data, b->len, 0600, NULL));
}

static int in_sandbox(const char *p7s, const char *how)
{
    char files[3][KLUIS_PATH_MAX];
    OK(kluis_path(files[0], KLUIS_PATH_MAX, dir, p7s, NULL));
    OK(kluis_path(files[1], KLUIS_PATH_MAX, dir, "ca", NULL));
    OK(kluis_path(files[2], KLUIS_PATH_MAX, dir, "root", NULL));
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execl("/proc/self/exe", "seal_form", files[0], files[1], files[2], how, (char *)NULL);
        _exit(9);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void a_warm_judge_needs_no_files(void **state)
{
    (void)state;
#ifdef KLUIS_UNWALLED
    print_message("skipped: sanitizers make system calls of their own\n");
    skip();
#endif
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(rsa_p7s, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(p384_p7s, KLUIS_P7S_MAX);
    assert_true(test_dir("sandbox", dir, sizeof dir));
    pki_sign(pki, &pki->device, &pki->device_ca, content, true, &p7s);
    EVP_PKEY *rsa = EVP_RSA_gen(3072), *p384 = EVP_EC_gen("P-384");
    X509 *x = odd_cert(rsa, &pki->device_ca, NULL, EVP_sha256()), *y = odd_cert(p384, &pki->device_ca, NULL, EVP_sha256());
    openssl_signs(x, rsa, NULL, EVP_sha512(), 0, &rsa_p7s);
    openssl_signs(y, p384, NULL, EVP_sha384(), 0, &p384_p7s);
    put("ca", &pki->device_ca.cert);
    put("root", &pki->root.cert);
    put("good", &p7s);
    put("rsa", &rsa_p7s);
    put("p384", &p384_p7s);
    p7s.data[p7s.len / 3] ^= 1;
    rsa_p7s.data[rsa_p7s.len - 1] ^= 1;
    put("bad", &p7s);
    put("bad-rsa", &rsa_p7s);
    assert_int_equal(in_sandbox("good", "x"), 1000 + 31); /* the control: SIGSYS */
    assert_int_equal(in_sandbox("good", "judge"), 0);
    assert_int_equal(in_sandbox("rsa", "judge"), 0);
    assert_int_equal(in_sandbox("p384", "judge"), 0);
    assert_int_equal(in_sandbox("bad", "judge"), 7);
    assert_int_equal(in_sandbox("bad-rsa", "judge"), 7);
    X509_free(x);
    X509_free(y);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(p384);
    char line[200];
    (void)snprintf(line, sizeof line, "rm -r %s", dir);
    assert_int_equal(system(line), 0);
}

int main(int argc, char **argv)
{
    if (kluis_base_init(NULL) != KLUIS_OK) { return 1; }
    if (argc == 5) { return sandboxed(argv + 1); }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_every_allowed_kind_are_accepted),
        cmocka_unit_test(our_own_rsa_signature_is_accepted_by_both_sides),
        cmocka_unit_test(weak_keys_and_digests_are_refused),
        cmocka_unit_test(loose_forms_are_refused),
        cmocka_unit_test(only_critical_time_stamping_makes_a_time_authority),
        cmocka_unit_test(a_warm_judge_needs_no_files),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
