/* tests/unit/crl_test.c - revocation lists: what they say of a moment, and seals that carry them.  OpenSSL's own path validation is asked too. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <openssl/cms.h>
#include <openssl/x509_vfy.h>

#include "tests/support/pki.h"

#define OK(expr) assert_int_equal((expr), KLUIS_OK)
#define DAY (INT64_C(86400) * 1000000)

static struct pki *pki;
static int64_t now;

static int setup(void **state)
{
    (void)state;
    pki = pki_new(5);
    now = kluis_now_us() / 1000000 * 1000000;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pki_free(pki);
    return 0;
}

/* A list of the device CA, made at `made`, with the device revoked since `since` unless that is absent. */
static void list(struct kluis_buf *out, int64_t made, int64_t since)
{
    struct kluis_revoked r = { kluis_buf_bytes(&pki->device.cert), since, 1 };
    out->len = 0;
    OK(kluis_crl_issue(&r, since != KLUIS_TIME_ABSENT, 1, made, made + 7 * DAY, pki->device_ca.key, kluis_buf_bytes(&pki->device_ca.cert), out,
                       NULL));
}

static struct kluis_revocation_verdict asked(const struct kluis_bytes *lists, size_t n, int64_t moment)
{
    struct kluis_revocation_verdict v;
    OK(kluis_revocation_judge(kluis_buf_bytes(&pki->device.cert), &pki->device_anchor, 1, lists, n, moment, &v, NULL));
    return v;
}

static void a_list_speaks_of_the_moments_before_it(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(clean, KLUIS_CRL_MAX);
    KLUIS_AUTO_BUF(revoked, KLUIS_CRL_MAX);
    list(&clean, now, KLUIS_TIME_ABSENT);
    list(&revoked, now + DAY, now + DAY / 2);
    struct kluis_bytes both[] = { kluis_buf_bytes(&clean), kluis_buf_bytes(&revoked) };
    assert_int_equal(asked(NULL, 0, now).state, KLUIS_UNCHECKED);
    assert_int_equal(asked(both, 1, now - DAY).state, KLUIS_UNREVOKED);
    assert_int_equal(asked(both, 1, now).state, KLUIS_UNREVOKED);
    assert_int_equal(asked(both, 1, now + 1000000).state, KLUIS_UNCHECKED); /* made before */
    for (size_t from = 0; from < 2; from++) {                               /* whichever lists lie beside it */
        assert_int_equal(asked(both + from, 2 - from, now + DAY / 2 - 1000000).state, KLUIS_REVOKED_LATER);
        assert_int_equal(asked(both + from, 2 - from, now + DAY / 2).state, KLUIS_REVOKED);
        assert_int_equal(asked(both + from, 2 - from, now + 30 * DAY).state, KLUIS_REVOKED); /* for ever */
    }
    assert_true(asked(both, 2, now).revoked_us == now + DAY / 2);
    /* After the certificate's own end a list need not name it any more. */
    list(&clean, now + 11 * PKI_YEAR, KLUIS_TIME_ABSENT);
    both[0] = kluis_buf_bytes(&clean);
    assert_int_equal(asked(both, 1, now).state, KLUIS_UNCHECKED);
}

static void only_the_issuers_own_list_counts(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(crl, KLUIS_CRL_MAX);
    struct kluis_revoked r = { kluis_buf_bytes(&pki->device.cert), now, 0 };
    /* The root does not speak for the device CA, and cannot be made to. */
    assert_int_equal(kluis_crl_issue(&r, 1, 1, now, now + DAY, pki->root.key, kluis_buf_bytes(&pki->root.cert), &crl, NULL), KLUIS_E_REJECT);
    OK(kluis_crl_issue(NULL, 0, 1, now, now + DAY, pki->root.key, kluis_buf_bytes(&pki->root.cert), &crl, NULL));
    struct kluis_bytes b = kluis_buf_bytes(&crl);
    assert_int_equal(asked(&b, 1, now).state, KLUIS_UNCHECKED);
    /* A device signs no lists. */
    struct kluis_buf none;
    kluis_buf_init(&none, KLUIS_CRL_MAX);
    assert_int_equal(kluis_crl_issue(NULL, 0, 1, now, now + DAY, pki->device.key, kluis_buf_bytes(&pki->device.cert), &none, NULL), KLUIS_E_USAGE);
    kluis_buf_free(&none);
    /* Same name, another key. */
    struct pki *other = pki_new(5);
    crl.len = 0;
    OK(kluis_crl_issue(NULL, 0, 1, now, now + DAY, other->device_ca.key, kluis_buf_bytes(&other->device_ca.cert), &crl, NULL));
    b = kluis_buf_bytes(&crl);
    assert_int_equal(asked(&b, 1, now).state, KLUIS_UNCHECKED);
    pki_free(other);
}

static void a_changed_list_counts_for_nothing(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(crl, KLUIS_CRL_MAX);
    list(&crl, now + DAY, now + DAY / 2);
    struct kluis_bytes b = kluis_buf_bytes(&crl);
    for (size_t bit = 0; bit < 8 * crl.len; bit++) {
        crl.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (asked(&b, 1, now).state != KLUIS_UNCHECKED) { fail_msg("bit %zu", bit); }
        crl.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (b.len = 0; b.len < crl.len; b.len++) { assert_int_equal(asked(&b, 1, now).state, KLUIS_UNCHECKED); }
    assert_int_equal(asked(&b, 1, now).state, KLUIS_REVOKED_LATER); /* the control */
}

static int openssl_says(const struct kluis_buf *crl)
{
    const uint8_t *p = crl->data, *c = pki->device.cert.data, *a = pki->device_ca.cert.data;
    X509_CRL *l = d2i_X509_CRL(NULL, &p, (long)crl->len);
    X509 *leaf = d2i_X509(NULL, &c, (long)pki->device.cert.len), *ca = d2i_X509(NULL, &a, (long)pki->device_ca.cert.len);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    assert_true(l && leaf && ca && store && ctx && X509_STORE_add_cert(store, ca) == 1 && X509_STORE_add_crl(store, l) == 1);
    assert_int_equal(X509_STORE_CTX_init(ctx, store, leaf, NULL), 1);
    X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_CRL_CHECK);
    (void)X509_verify_cert(ctx);
    int code = X509_STORE_CTX_get_error(ctx);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    X509_free(leaf);
    X509_free(ca);
    X509_CRL_free(l);
    return code;
}

static void openssl_reads_them_the_same_way(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(crl, KLUIS_CRL_MAX);
    list(&crl, now - DAY, KLUIS_TIME_ABSENT);
    assert_int_equal(openssl_says(&crl), X509_V_OK);
    list(&crl, now - DAY, now - 2 * DAY);
    assert_int_equal(openssl_says(&crl), X509_V_ERR_CERT_REVOKED);
    list(&crl, now - 30 * DAY, KLUIS_TIME_ABSENT);
    assert_int_equal(openssl_says(&crl), X509_V_ERR_CRL_HAS_EXPIRED);
}

static void a_stamped_seal_takes_lists_and_the_devices_signature_does_not(void **state)
{
    (void)state;
    struct kluis_bytes content = { (const uint8_t *)"manifest", 8 };
    KLUIS_AUTO_BUF(crl, KLUIS_CRL_MAX);
    KLUIS_AUTO_BUF(more, KLUIS_CRL_MAX);
    KLUIS_AUTO_BUF(plain, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(stamped, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(sealed, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(twice, KLUIS_P7S_MAX);
    list(&crl, now + DAY, KLUIS_TIME_ABSENT);
    OK(kluis_crl_issue(NULL, 0, 1, now, now + DAY, pki->root.key, kluis_buf_bytes(&pki->root.cert), &more, NULL));
    struct kluis_bytes lists[] = { kluis_buf_bytes(&crl), kluis_buf_bytes(&more) }, same[] = { lists[0], lists[0] };
    pki_sign(pki, &pki->seal, &pki->root, content, false, &plain);
    pki_sign(pki, &pki->seal, &pki->root, content, true, &stamped);
    assert_int_equal(kluis_seal_add_crls(kluis_buf_bytes(&plain), lists, 2, &sealed, NULL), KLUIS_E_REJECT);
    assert_int_equal(kluis_seal_add_crls(kluis_buf_bytes(&stamped), same, 2, &sealed, NULL), KLUIS_E_REJECT);
    assert_int_equal(kluis_seal_add_crls(kluis_buf_bytes(&stamped), lists, 0, &sealed, NULL), KLUIS_E_LIMIT);
    OK(kluis_seal_add_crls(kluis_buf_bytes(&stamped), lists, 2, &sealed, NULL));
    assert_int_equal(kluis_seal_add_crls(kluis_buf_bytes(&sealed), lists, 2, &twice, NULL), KLUIS_E_EXISTS);
    struct kluis_seal_verdict v;
    OK(kluis_seal_judge_long(kluis_buf_bytes(&sealed), content, &pki->root_anchor, 1, &pki->root_anchor, 1, KLUIS_TIME_ABSENT, now, &v, NULL));
    if (v.reason[0]) { fail_msg("%s", v.reason); }
    assert_true(v.signature == KLUIS_VALID && v.certificate == KLUIS_VALID && v.time == KLUIS_VALID);
    OK(kluis_seal_judge(kluis_buf_bytes(&sealed), content, &pki->root_anchor, 1, &pki->root_anchor, 1, now, &v, NULL));
    assert_int_equal(v.signature, KLUIS_INVALID); /* where no lists belong, they are refused */
    struct kluis_bytes got[KLUIS_CRLS_MAX];
    size_t n = 0;
    OK(kluis_seal_crls(kluis_buf_bytes(&sealed), got, &n, NULL));
    assert_int_equal(n, 2);
    assert_int_equal(asked(got, n, now).state, KLUIS_UNREVOKED);
    OK(kluis_seal_crls(kluis_buf_bytes(&stamped), got, &n, NULL));
    assert_int_equal(n, 0);
    /* Another reader of CMS finds both lists. */
    const uint8_t *p = sealed.data;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)sealed.len);
    STACK_OF(X509_CRL) *found = cms ? CMS_get1_crls(cms) : NULL;
    assert_int_equal(sk_X509_CRL_num(found), 2);
    sk_X509_CRL_pop_free(found, X509_CRL_free);
    CMS_ContentInfo_free(cms);
}

static void trust_keeps_its_lists(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(crl, KLUIS_CRL_MAX);
    KLUIS_AUTO_BUF(text, 1 << 20);
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(4 << 20);
    list(&crl, now, now - DAY);
    struct kluis_bytes b = kluis_buf_bytes(&crl);
    struct kluis_trust t = pki->trust, got;
    t.crls = &b;
    t.n_crls = 1;
    OK(kluis_trust_write(&t, &text, NULL));
    OK(kluis_trust_read((struct kluis_str){ (const char *)text.data, text.len }, arena, &got, NULL));
    assert_int_equal(got.n_crls, 1);
    assert_int_equal(got.crls[0].len, crl.len);
    assert_memory_equal(got.crls[0].ptr, crl.data, crl.len);
    b.len--;
    kluis_buf_clear(&text);
    OK(kluis_trust_write(&t, &text, NULL));
    assert_int_equal(kluis_trust_read((struct kluis_str){ (const char *)text.data, text.len }, arena, &got, NULL), KLUIS_E_REJECT);
}

int main(void)
{
    if (kluis_base_init(NULL) != KLUIS_OK) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_speaks_of_the_moments_before_it),
        cmocka_unit_test(only_the_issuers_own_list_counts),
        cmocka_unit_test(a_changed_list_counts_for_nothing),
        cmocka_unit_test(openssl_reads_them_the_same_way),
        cmocka_unit_test(a_stamped_seal_takes_lists_and_the_devices_signature_does_not),
        cmocka_unit_test(trust_keeps_its_lists),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
