/* tests/unit/seal_test.c - signatures, tokens, certificates and trust: what holds, what is refused, what others say.
 *
 * The last tests ask programs that are not ours; where one is missing the test says so and is skipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
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

static struct kluis_seal_verdict judged(struct kluis_bytes p7s, struct kluis_bytes over, int64_t at)
{
    struct kluis_seal_verdict v;
    OK(kluis_seal_judge(p7s, over, &pki->device_anchor, 1, &pki->root_anchor, 1, at, &v, NULL));
    return v;
}

static void stamped_signature_is_valid_in_every_layer(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    pki_sign(pki, &pki->device, &pki->device_ca, content, true, &p7s);
    struct kluis_seal_verdict v = judged(kluis_buf_bytes(&p7s), content, kluis_now_us());
    assert_string_equal(v.reason, "");
    assert_int_equal(v.signature, KLUIS_VALID);
    assert_int_equal(v.certificate, KLUIS_VALID);
    assert_int_equal(v.time, KLUIS_VALID);
    assert_true(v.has_token);
    assert_true(v.proven_us >= v.claimed_us && v.proven_us - v.claimed_us < 5000000);
    uint8_t want[32];
    kluis_sha256_of(pki->device.cert.data, pki->device.cert.len, want);
    assert_memory_equal(v.cert_sha256, want, 32);
    KLUIS_AUTO_BUF(signer, KLUIS_CERT_MAX);
    OK(kluis_seal_signer(kluis_buf_bytes(&p7s), &signer, NULL));
    assert_int_equal(signer.len, pki->device.cert.len);
    assert_memory_equal(signer.data, pki->device.cert.data, signer.len);
}

static void signature_without_token_has_no_proven_time(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    pki_sign(pki, &pki->device, &pki->device_ca, content, false, &p7s);
    struct kluis_seal_verdict v = judged(kluis_buf_bytes(&p7s), content, kluis_now_us());
    assert_int_equal(v.signature, KLUIS_VALID);
    assert_int_equal(v.certificate, KLUIS_VALID);
    assert_int_equal(v.time, KLUIS_INDETERMINATE);
    assert_false(v.has_token);
    assert_true(v.proven_us == KLUIS_TIME_ABSENT);
    /* Long after the certificate's end nothing proves that it is older; with a proof it still stands. */
    int64_t later = kluis_now_us() + 15 * PKI_YEAR;
    v = judged(kluis_buf_bytes(&p7s), content, later);
    assert_int_equal(v.certificate, KLUIS_INDETERMINATE);
    OK(kluis_seal_judge_known(kluis_buf_bytes(&p7s), content, &pki->device_anchor, 1, &pki->root_anchor, 1, kluis_now_us(), later, &v, NULL));
    assert_int_equal(v.certificate, KLUIS_VALID);
}

static void nothing_trusted_is_indeterminate_not_valid(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    struct kluis_seal_verdict v;
    pki_sign(pki, &pki->device, &pki->device_ca, content, true, &p7s);
    OK(kluis_seal_judge(kluis_buf_bytes(&p7s), content, NULL, 0, NULL, 0, kluis_now_us(), &v, NULL));
    assert_int_equal(v.signature, KLUIS_VALID);
    assert_int_equal(v.certificate, KLUIS_INDETERMINATE);
    assert_int_equal(v.time, KLUIS_INDETERMINATE);
}

static void signature_over_other_data_is_invalid(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    struct kluis_bytes other = { (const uint8_t *)"<Manifest/>", 11 };
    pki_sign(pki, &pki->device, &pki->device_ca, other, true, &p7s);
    struct kluis_seal_verdict v = judged(kluis_buf_bytes(&p7s), content, kluis_now_us());
    assert_int_equal(v.signature, KLUIS_INVALID);
    assert_non_null(strstr(v.reason, "other data"));
}

static void token_over_another_signature_is_invalid(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(a, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(b, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(token, KLUIS_TOKEN_MAX);
    uint8_t imprint[32];
    pki_sign(pki, &pki->device, &pki->device_ca, content, false, &a);
    memset(imprint, 7, sizeof imprint);
    pki_token(pki->authority, &pki->root_anchor, imprint, &token);
    OK(kluis_seal_add_token(kluis_buf_bytes(&a), kluis_buf_bytes(&token), &b, NULL));
    struct kluis_seal_verdict v = judged(kluis_buf_bytes(&b), content, kluis_now_us());
    assert_int_equal(v.signature, KLUIS_VALID);
    assert_int_equal(v.time, KLUIS_INVALID);
    assert_non_null(strstr(v.reason, "over other data"));
    KLUIS_AUTO_BUF(c, KLUIS_P7S_MAX);
    assert_int_equal(kluis_seal_add_token(kluis_buf_bytes(&b), kluis_buf_bytes(&token), &c, NULL), KLUIS_E_EXISTS);
}

static void token_of_an_unknown_authority_is_invalid(void **state)
{
    (void)state;
    struct pki *stranger = pki_new(5);
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(stamped, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(token, KLUIS_TOKEN_MAX);
    uint8_t imprint[32];
    pki_sign(pki, &pki->device, &pki->device_ca, content, false, &p7s);
    OK(kluis_seal_imprint(kluis_buf_bytes(&p7s), imprint, NULL));
    pki_token(stranger->authority, &stranger->root_anchor, imprint, &token);
    OK(kluis_seal_add_token(kluis_buf_bytes(&p7s), kluis_buf_bytes(&token), &stamped, NULL));
    struct kluis_seal_verdict v = judged(kluis_buf_bytes(&stamped), content, kluis_now_us());
    assert_int_equal(v.signature, KLUIS_VALID);
    assert_int_equal(v.time, KLUIS_INVALID);
    /* The same name and another key: the stranger's whole house calls itself as ours does. */
    KLUIS_AUTO_BUF(foreign, KLUIS_P7S_MAX);
    pki_sign(stranger, &stranger->device, &stranger->device_ca, content, true, &foreign);
    v = judged(kluis_buf_bytes(&foreign), content, kluis_now_us());
    assert_int_equal(v.signature, KLUIS_VALID);
    assert_int_equal(v.certificate, KLUIS_INVALID);
    assert_int_equal(v.time, KLUIS_INVALID);
    pki_free(stranger);
}

static void expired_authority_leaves_time_unproven(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    pki_sign(pki, &pki->device, &pki->device_ca, content, true, &p7s);
    struct kluis_seal_verdict v = judged(kluis_buf_bytes(&p7s), content, kluis_now_us() + 4 * PKI_YEAR);
    assert_int_equal(v.time, KLUIS_VALID);
    v = judged(kluis_buf_bytes(&p7s), content, kluis_now_us() + 6 * PKI_YEAR);
    assert_int_equal(v.time, KLUIS_INDETERMINATE);
    assert_true(v.proven_us == KLUIS_TIME_ABSENT);
    assert_non_null(strstr(v.reason, "expired"));
}

static void device_certificate_that_ended_before_the_token_is_invalid(void **state)
{
    (void)state;
    struct pki_party old = { 0 };
    int64_t now = kluis_now_us();
    pki_issue(&old, KLUIS_CERT_DEVICE, &pki->device_ca, now - 2 * PKI_YEAR, now - PKI_YEAR);
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    pki_sign(pki, &old, &pki->device_ca, content, true, &p7s);
    struct kluis_seal_verdict v = judged(kluis_buf_bytes(&p7s), content, now);
    assert_int_equal(v.time, KLUIS_VALID);
    assert_int_equal(v.certificate, KLUIS_INVALID);
    pki_party_clear(&old);
}

static enum kluis_outcome certificate_then(const struct pki *p, struct kluis_bytes p7s, const struct kluis_bytes *anchor, int64_t known_us)
{
    struct kluis_seal_verdict v;
    OK(kluis_seal_judge_known(p7s, content, anchor, 1, &p->root_anchor, 1, known_us, kluis_now_us(), &v, NULL));
    return v.certificate;
}

/* Judgements are remembered: what was found good at one moment must not make another moment, or another anchor, good.  Each answer is
 * compared with that of a process that has judged nothing before. */
static void a_remembered_judgement_is_the_one_that_would_be_made_anew(void **state)
{
    (void)state;
    const int64_t s = 1000000, day = 86400 * s;
    struct pki *fresh = pki_new(5);
    struct kluis_buf *ca = &fresh->device_ca.cert;
    int64_t begin = kluis_now_us() / s * s - day / 2, end = begin + day;
    pki_party_clear(&fresh->device);
    pki_issue(&fresh->device, KLUIS_CERT_DEVICE, &fresh->device_ca, begin, end);
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    pki_sign(fresh, &fresh->device, &fresh->device_ca, content, false, &p7s);
    const int64_t at[] = { begin - day, begin - s, begin, begin + s, begin + day / 2, end - 2 * s, end - s, end, end + s, end + day };
    enum kluis_outcome alone[sizeof at / sizeof *at];
    size_t good = 0;
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        pid_t child = fork();
        if (child == 0) { _exit((int)certificate_then(fresh, kluis_buf_bytes(&p7s), &(struct kluis_bytes){ ca->data, ca->len }, at[i])); }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        alone[i] = (enum kluis_outcome)WEXITSTATUS(status);
        good += alone[i] == KLUIS_VALID;
    }
    assert_true(good >= 4 && good < sizeof at / sizeof *at - 3); /* both answers occur */
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
            assert_int_equal(certificate_then(fresh, kluis_buf_bytes(&p7s), &fresh->device_anchor, begin + day / 2), KLUIS_VALID);
            assert_int_equal(certificate_then(fresh, kluis_buf_bytes(&p7s), &pki->device_anchor, begin + day / 2), KLUIS_INVALID); /* another's CA */
            assert_int_equal(certificate_then(fresh, kluis_buf_bytes(&p7s), &fresh->device_anchor, at[i]), alone[i]);
        }
    }
    pki_free(fresh);
}

static void no_certificate_stands_in_for_another(void **state)
{
    (void)state;
    const struct {
        const struct pki_party *by, *issuer;
    } wrong[] = { { &pki->login, &pki->device_ca },
                  { &pki->tls, &pki->root },
                  { &pki->tsa, &pki->root },
                  { &pki->device_ca, &pki->root },
                  { &pki->root, &pki->root } };
    struct kluis_seal_verdict v;
    size_t refused = 0;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
        struct kluis_bytes chain = kluis_buf_bytes(&wrong[i].issuer->cert), anchors[2] = { pki->device_anchor, pki->root_anchor };
        OK(kluis_seal_sign(wrong[i].by->key, content, kluis_buf_bytes(&wrong[i].by->cert), &chain, wrong[i].by == wrong[i].issuer ? 0 : 1,
                           kluis_now_us(), &p7s, NULL));
        OK(kluis_seal_judge(kluis_buf_bytes(&p7s), content, anchors, 2, &pki->root_anchor, 1, kluis_now_us(), &v, NULL));
        assert_int_equal(v.signature, KLUIS_VALID);
        refused += v.certificate == KLUIS_INVALID;
    }
    assert_int_equal(refused, 5);
    /* A device below the root is no seal, though its path leads there. */
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    pki_sign(pki, &pki->device, &pki->device_ca, content, false, &p7s);
    OK(kluis_seal_judge(kluis_buf_bytes(&p7s), content, &pki->root_anchor, 1, &pki->root_anchor, 1, kluis_now_us(), &v, NULL));
    assert_int_equal(v.certificate, KLUIS_INVALID);
    /* And a seal is no device. */
    KLUIS_AUTO_BUF(seal, KLUIS_P7S_MAX);
    pki_sign(pki, &pki->seal, &pki->root, content, false, &seal);
    v = judged(kluis_buf_bytes(&seal), content, kluis_now_us());
    assert_int_equal(v.certificate, KLUIS_INVALID);
    OK(kluis_seal_judge(kluis_buf_bytes(&seal), content, &pki->root_anchor, 1, &pki->root_anchor, 1, kluis_now_us(), &v, NULL));
    assert_int_equal(v.certificate, KLUIS_VALID);
}

static void embedded_certificates_outside_the_path_are_refused(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    struct kluis_bytes chain[2] = { kluis_buf_bytes(&pki->device_ca.cert), kluis_buf_bytes(&pki->tls.cert) };
    OK(kluis_seal_sign(pki->device.key, content, kluis_buf_bytes(&pki->device.cert), chain, 2, kluis_now_us(), &p7s, NULL));
    struct kluis_seal_verdict v = judged(kluis_buf_bytes(&p7s), content, kluis_now_us());
    assert_int_equal(v.signature, KLUIS_VALID);
    assert_int_equal(v.certificate, KLUIS_INVALID);
    kluis_buf_clear(&p7s);
    chain[1] = kluis_buf_bytes(&pki->root.cert); /* the whole path up to the root is fine */
    OK(kluis_seal_sign(pki->device.key, content, kluis_buf_bytes(&pki->device.cert), chain, 2, kluis_now_us(), &p7s, NULL));
    v = judged(kluis_buf_bytes(&p7s), content, kluis_now_us());
    assert_int_equal(v.certificate, KLUIS_VALID);
}

/* Every bit of a stamped signature, the token and all certificates included; a fifth of them in a run of the suite, which meets
 * every byte, and all with KLUIS_EVERY_BIT set. */
static void every_flipped_bit_of_a_stamped_signature_is_refused(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    pki_sign(pki, &pki->device, &pki->device_ca, content, true, &p7s);
    int64_t now = kluis_now_us();
    size_t passed = 0, bits = 8 * p7s.len, step = getenv("KLUIS_EVERY_BIT") ? 1 : 5;
    assert_true(p7s.len > 1500);
    for (size_t i = (size_t)now % step; i < bits; i += step) {
        p7s.data[i / 8] ^= (uint8_t)(1 << (i % 8));
        struct kluis_seal_verdict v = judged(kluis_buf_bytes(&p7s), content, now);
        if (v.signature != KLUIS_INVALID && v.certificate != KLUIS_INVALID && v.time != KLUIS_INVALID) {
            passed++;
            print_message("bit %zu of %zu passes\n", i, bits);
        } else {
            assert_true(v.reason[0] != 0);
        }
        p7s.data[i / 8] ^= (uint8_t)(1 << (i % 8));
    }
    assert_int_equal(passed, 0);
    for (size_t n = 0; n < p7s.len; n += 3) { assert_int_equal(judged((struct kluis_bytes){ p7s.data, n }, content, now).signature, KLUIS_INVALID); }
}

static void answers_of_an_authority_are_checked_before_they_are_taken(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(request, 256);
    KLUIS_AUTO_BUF(response, KLUIS_TOKEN_MAX);
    KLUIS_AUTO_BUF(token, KLUIS_TOKEN_MAX);
    uint8_t imprint[32], other[32] = { 0 };
    memset(imprint, 3, sizeof imprint);
    OK(kluis_time_request(imprint, 42, &request, NULL));
    OK(kluis_tsa_respond(pki->authority, kluis_buf_bytes(&request), &response, NULL));
    struct kluis_bytes r = kluis_buf_bytes(&response);
    int64_t when = 0;
    assert_int_equal(kluis_time_accept(r, imprint, 43, &pki->root_anchor, 1, &token, &when, NULL), KLUIS_E_REJECT);
    assert_int_equal(kluis_time_accept(r, other, 42, &pki->root_anchor, 1, &token, &when, NULL), KLUIS_E_REJECT);
    assert_int_equal(kluis_time_accept(r, imprint, 42, &pki->device_anchor, 1, &token, &when, NULL), KLUIS_E_REJECT);
    assert_int_equal(kluis_time_accept(r, imprint, 42, NULL, 0, &token, &when, NULL), KLUIS_E_REJECT);
    assert_int_equal(token.len, 0);
    OK(kluis_time_accept(r, imprint, 42, &pki->root_anchor, 1, &token, &when, NULL));
    assert_true(kluis_now_us() - when < 5000000);
    size_t refused = 0;
    for (size_t i = 0; i < 8 * response.len; i += 5) {
        KLUIS_AUTO_BUF(t, KLUIS_TOKEN_MAX);
        response.data[i / 8] ^= (uint8_t)(1 << (i % 8));
        kluis_status st = kluis_time_accept(r, imprint, 42, &pki->root_anchor, 1, &t, &when, NULL);
        refused += st == KLUIS_E_REJECT || st == KLUIS_E_BUSY;
        response.data[i / 8] ^= (uint8_t)(1 << (i % 8));
    }
    /* granted and grantedWithMods differ in one bit, and the status is not part of what is kept. */
    assert_true(refused + 1 >= (8 * response.len + 4) / 5);
}

static void authority_refuses_bad_requests_and_a_key_that_is_not_for_time(void **state)
{
    (void)state;
    static const char *const bad[] = { "", "\x30", "\x30\x03\x02\x01\x01", "not DER at all" };
    uint8_t imprint[32] = { 0 };
    for (size_t i = 0; i < 4; i++) {
        KLUIS_AUTO_BUF(response, KLUIS_TOKEN_MAX);
        KLUIS_AUTO_BUF(token, KLUIS_TOKEN_MAX);
        struct kluis_err err = { 0 };
        OK(kluis_tsa_respond(pki->authority, (struct kluis_bytes){ (const uint8_t *)bad[i], strlen(bad[i]) }, &response, NULL));
        assert_int_equal(kluis_time_accept(kluis_buf_bytes(&response), imprint, 1, &pki->root_anchor, 1, &token, NULL, &err), KLUIS_E_REJECT);
        assert_non_null(strstr(err.msg, "refused"));
    }
    struct kluis_tsa *t = NULL;
    assert_int_equal(kluis_tsa_new(pki->seal.key, kluis_buf_bytes(&pki->seal.cert), &t, NULL), KLUIS_E_USAGE);
    assert_int_equal(kluis_tsa_new(pki->seal.key, kluis_buf_bytes(&pki->tsa.cert), &t, NULL), KLUIS_E_USAGE);
    assert_null(t);
}

static void certificates_are_checked_against_role_issuer_and_dates(void **state)
{
    (void)state;
    const struct {
        const struct pki_party *p;
        enum kluis_cert_role role;
        const struct kluis_bytes *anchor;
    } all[] = { { &pki->root, KLUIS_CERT_ROOT, &pki->root_anchor },       { &pki->device_ca, KLUIS_CERT_DEVICE_CA, &pki->root_anchor },
                { &pki->device, KLUIS_CERT_DEVICE, &pki->device_anchor }, { &pki->login, KLUIS_CERT_LOGIN, &pki->device_anchor },
                { &pki->seal, KLUIS_CERT_SEAL, &pki->root_anchor },       { &pki->tsa, KLUIS_CERT_TSA, &pki->root_anchor },
                { &pki->tls, KLUIS_CERT_TLS, &pki->root_anchor } };
    int64_t now = kluis_now_us();
    size_t good = 0;
    for (size_t i = 0; i < 7; i++) {
        for (size_t k = 0; k < 7; k++) {
            kluis_status st = kluis_cert_check(kluis_buf_bytes(&all[i].p->cert), all[k].role, all[k].anchor, 1, now, NULL);
            bool twins = (i == 0 || i == 1) && (k == 0 || k == 1); /* authorities below the root differ only by who issued them */
            if (!twins || i == k) { assert_int_equal(st, i == k ? KLUIS_OK : KLUIS_E_REJECT); }
            good += st == KLUIS_OK;
        }
        assert_int_equal(kluis_cert_check(kluis_buf_bytes(&all[i].p->cert), all[i].role, all[i].anchor, 1, now - PKI_YEAR, NULL), KLUIS_E_REJECT);
        assert_int_equal(kluis_cert_check(kluis_buf_bytes(&all[i].p->cert), all[i].role, all[i].anchor, 1, now + 40 * PKI_YEAR, NULL),
                         KLUIS_E_REJECT);
    }
    assert_true(good >= 7);
    KLUIS_AUTO_BUF(pem, KLUIS_CERT_MAX * 2);
    KLUIS_AUTO_BUF(der, KLUIS_CERT_MAX);
    KLUIS_AUTO_BUF(spki, KLUIS_CERT_MAX);
    KLUIS_AUTO_BUF(own, KLUIS_CERT_MAX);
    OK(kluis_cert_pem(kluis_buf_bytes(&pki->device.cert), &pem, NULL));
    OK(kluis_cert_from_pem(kluis_buf_bytes(&pem), &der, NULL));
    assert_int_equal(der.len, pki->device.cert.len);
    assert_memory_equal(der.data, pki->device.cert.data, der.len);
    OK(kluis_cert_spki(kluis_buf_bytes(&der), &spki, NULL));
    OK(kluis_key_public(pki->device.key, &own, NULL));
    assert_memory_equal(spki.data, own.data, own.len);
}

static void a_key_whose_point_is_on_no_curve_gets_no_certificate(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(spki, KLUIS_CERT_MAX);
    KLUIS_AUTO_BUF(cert, KLUIS_CERT_MAX);
    OK(kluis_key_public(pki->device.key, &spki, NULL));
    struct kluis_cert_request q = { .role = KLUIS_CERT_DEVICE,
                                    .common_name = PKI_DEVICE,
                                    .spki_der = kluis_buf_bytes(&spki),
                                    .from_us = kluis_now_us(),
                                    .to_us = kluis_now_us() + PKI_YEAR };
    struct kluis_err err = { 0 };
    OK(kluis_cert_issue(&q, pki->device_ca.key, pki->device_anchor, &cert, &err));
    kluis_buf_clear(&cert);
    spki.data[spki.len - 1] ^= 1;
    q.spki_der = kluis_buf_bytes(&spki);
    assert_int_equal(kluis_cert_issue(&q, pki->device_ca.key, pki->device_anchor, &cert, &err), KLUIS_E_REJECT);
    assert_int_equal(cert.len, 0);
}

static void keys_are_saved_once_with_mode_0600_and_load_again(void **state)
{
    (void)state;
    char keys[64], path[KLUIS_PATH_MAX];
    assert_true(test_dir("seal", keys, sizeof keys));
    OK(kluis_path(path, sizeof path, keys, "key.pem", NULL));
    OK(kluis_key_save_new(pki->device.key, path, NULL));
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(kluis_key_save_new(pki->seal.key, path, NULL), KLUIS_E_EXISTS);
    KLUIS_AUTO(kluis_key) k = NULL;
    OK(kluis_key_load(path, &k, NULL));
    KLUIS_AUTO_BUF(sig, KLUIS_SIGNATURE_MAX);
    KLUIS_AUTO_BUF(spki, KLUIS_CERT_MAX);
    OK(kluis_key_sign(k, content, &sig, NULL));
    OK(kluis_key_public(pki->device.key, &spki, NULL));
    OK(kluis_key_check(kluis_buf_bytes(&spki), content, kluis_buf_bytes(&sig), NULL));
    sig.data[sig.len - 1] ^= 1;
    assert_int_equal(kluis_key_check(kluis_buf_bytes(&spki), content, kluis_buf_bytes(&sig), NULL), KLUIS_E_REJECT);
    struct kluis_key *none = NULL;
    assert_int_equal(kluis_key_from_pem((struct kluis_bytes){ (const uint8_t *)"nonsense", 8 }, &none, NULL), KLUIS_E_REJECT);
    assert_int_equal(kluis_key_load("/nonexistent/key", &none, NULL), KLUIS_E_NOTFOUND);
    assert_int_equal(unlink(path), 0);
}

static void two_phases_give_the_same_bytes_and_refuse_a_foreign_signature(void **state)
{
    (void)state;
    uint8_t digest[32];
    kluis_sha256_of(content.ptr, content.len, digest);
    KLUIS_AUTO_BUF(a, 4096);
    KLUIS_AUTO_BUF(b, 4096);
    KLUIS_AUTO_BUF(sig, KLUIS_SIGNATURE_MAX);
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    struct kluis_bytes d = { digest, 32 }, cert = kluis_buf_bytes(&pki->device.cert);
    OK(kluis_seal_prepare(d, cert, INT64_C(1790000000000000), &a, NULL));
    OK(kluis_seal_prepare(d, cert, INT64_C(1790000000000000), &b, NULL));
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    OK(kluis_key_sign(pki->login.key, kluis_buf_bytes(&a), &sig, NULL));
    assert_int_equal(kluis_seal_finish(kluis_buf_bytes(&a), kluis_buf_bytes(&sig), cert, NULL, 0, &p7s, NULL), KLUIS_E_REJECT);
    kluis_buf_clear(&sig);
    OK(kluis_key_sign(pki->device.key, kluis_buf_bytes(&a), &sig, NULL));
    OK(kluis_seal_finish(kluis_buf_bytes(&a), kluis_buf_bytes(&sig), cert, NULL, 0, &p7s, NULL));
    struct kluis_seal_verdict v = judged(kluis_buf_bytes(&p7s), content, kluis_now_us());
    assert_int_equal(v.certificate, KLUIS_VALID);
    assert_true(v.claimed_us == INT64_C(1790000000000000));
}

static void trust_file_reads_back_as_written_and_refuses_what_it_does_not_know(void **state)
{
    (void)state;
    static const char *const keys[] = { "w1.example+00000000+AQ==", "w2.example+00000000+AQ==" };
    struct kluis_trust t = pki->trust, got;
    t.witness_vkeys = keys;
    t.n_witnesses = 2;
    t.witness_threshold = 1;
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(1 << 20);
    KLUIS_AUTO_BUF(text, 1 << 20);
    KLUIS_AUTO_BUF(again, 1 << 20);
    OK(kluis_trust_write(&t, &text, NULL));
    struct kluis_str s = { (const char *)text.data, text.len };
    OK(kluis_trust_read(s, arena, &got, NULL));
    assert_int_equal(got.n_device_cas, 1);
    assert_int_equal(got.witness_threshold, 1);
    assert_string_equal(got.log_vkey, pki->log_vkey);
    OK(kluis_trust_write(&got, &again, NULL));
    assert_int_equal(again.len, text.len);
    assert_memory_equal(again.data, text.data, text.len);
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"version\":\"chatkluis-trust-v2\"}",
        "{\"version\":\"chatkluis-trust-v1\",\"device_cas\":[],\"seal_cas\":[],\"time_authorities\":[],\"extra\":1}",
        "{\"version\":\"chatkluis-trust-v1\",\"device_cas\":[\"AAAA\"],\"seal_cas\":[],\"time_authorities\":[]}",
        "{\"version\":\"chatkluis-trust-v1\",\"device_cas\":[],\"seal_cas\":[]}",
        "{\"version\":\"chatkluis-trust-v1\",\"device_cas\":[],\"seal_cas\":[],\"time_authorities\":[]} x",
        "{\"version\":\"chatkluis-trust-v1\",\"device_cas\":[],\"seal_cas\":[],\"time_authorities\":[],\"witnesses\":{\"keys\":[],\"threshold\":1}}"
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(kluis_trust_read(kluis_str_of(bad[i]), arena, &got, NULL), KLUIS_E_REJECT);
    }
    OK(kluis_trust_read(KLUIS_STR_LIT("{\"version\":\"chatkluis-trust-v1\",\"device_cas\":[],\"seal_cas\":[],\"time_authorities\":[]}\n"), arena,
                        &got, NULL));
    assert_int_equal(got.n_device_cas, 0);
}

/* ---- what others say --------------------------------------------------------------------------- */

static char dir[64];

static void put(const char *name, const void *p, size_t n)
{
    char path[KLUIS_PATH_MAX];
    OK(kluis_path(path, sizeof path, dir, name, NULL));
    OK(kluis_write_file(path, p, n, 0600, NULL));
}

static void put_pem(const char *name, const struct kluis_buf *der)
{
    KLUIS_AUTO_BUF(pem, KLUIS_CERT_MAX * 2);
    OK(kluis_cert_pem(kluis_buf_bytes(der), &pem, NULL));
    put(name, pem.data, pem.len);
}

static bool have(const char *tool)
{
    char line[200];
    (void)snprintf(line, sizeof line, "command -v %s >/dev/null 2>&1", tool);
    return system(line) == 0;
}

static int run(const char *args)
{
    char line[1024];
    (void)snprintf(line, sizeof line, "cd %s && { %s; } >log 2>&1", dir, args);
    return system(line);
}

static void openssl_and_certtool_accept_what_we_sign_and_refuse_what_is_changed(void **state)
{
    (void)state;
    if (!have("openssl")) {
        print_message("skipped: openssl is not installed\n");
        skip();
    }
    assert_true(test_dir("others", dir, sizeof dir));
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(plain, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(token, KLUIS_TOKEN_MAX);
    KLUIS_AUTO_BUF(request, 256);
    uint8_t imprint[32];
    pki_sign(pki, &pki->device, &pki->device_ca, content, true, &p7s);
    put("content", content.ptr, content.len);
    put("other", "<manifest />", 12);
    put("sig.p7s", p7s.data, p7s.len);
    put_pem("root.pem", &pki->root.cert);
    put_pem("ca.pem", &pki->device_ca.cert);
    assert_int_equal(run("openssl cms -verify -cades -binary -inform DER -in sig.p7s -content content -CAfile root.pem -out got && cmp got content"),
                     0);
    assert_int_not_equal(run("openssl cms -verify -cades -binary -inform DER -in sig.p7s -content other -CAfile root.pem -out got"), 0);
    pki_sign(pki, &pki->device, &pki->device_ca, content, false, &plain);
    OK(kluis_seal_imprint(kluis_buf_bytes(&plain), imprint, NULL));
    pki_token(pki->authority, &pki->root_anchor, imprint, &token);
    put("token.tst", token.data, token.len);
    char hex[65], line[400];
    kluis_hex(imprint, 32, hex);
    (void)snprintf(line, sizeof line, "openssl ts -verify -digest %s -token_in -in token.tst -CAfile root.pem", hex);
    assert_int_equal(run(line), 0);
    hex[0] = hex[0] == '0' ? '1' : '0';
    (void)snprintf(line, sizeof line, "openssl ts -verify -digest %s -token_in -in token.tst -CAfile root.pem", hex);
    assert_int_not_equal(run(line), 0);
    OK(kluis_time_request(imprint, 99, &request, NULL));
    put("request.tsq", request.data, request.len);
    assert_int_equal(
        run("openssl ts -query -in request.tsq -text -out text && grep -q 'Certificate required: yes' text && grep -q 'Nonce: 0x63' text"), 0);
    if (have("certtool")) {
        assert_int_equal(run("certtool --p7-verify --inder --infile sig.p7s --load-data content --load-ca-certificate root.pem"), 0);
        assert_int_not_equal(run("certtool --p7-verify --inder --infile sig.p7s --load-data other --load-ca-certificate root.pem"), 0);
    } else {
        print_message("certtool is not installed: not asked\n");
    }
    struct {
        const char *name;
        const struct pki_party *p;
        const char *ca;
    } certs[] = { { "device.pem", &pki->device, "-untrusted ca.pem" },
                  { "login.pem", &pki->login, "-untrusted ca.pem -purpose sslclient" },
                  { "seal.pem", &pki->seal, "" },
                  { "tsa.pem", &pki->tsa, "-purpose timestampsign" },
                  { "tls.pem", &pki->tls, "-purpose sslserver -verify_hostname localhost" } };
    for (size_t i = 0; i < 5; i++) {
        put_pem(certs[i].name, &certs[i].p->cert);
        (void)snprintf(line, sizeof line, "openssl verify -x509_strict -CAfile root.pem %s %s", certs[i].ca, certs[i].name);
        assert_int_equal(run(line), 0);
    }
    (void)snprintf(line, sizeof line, "rm -r %s", dir);
    assert_int_equal(system(line), 0);
}

int main(void)
{
    if (kluis_base_init(NULL) != KLUIS_OK) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stamped_signature_is_valid_in_every_layer),
        cmocka_unit_test(signature_without_token_has_no_proven_time),
        cmocka_unit_test(nothing_trusted_is_indeterminate_not_valid),
        cmocka_unit_test(signature_over_other_data_is_invalid),
        cmocka_unit_test(token_over_another_signature_is_invalid),
        cmocka_unit_test(token_of_an_unknown_authority_is_invalid),
        cmocka_unit_test(expired_authority_leaves_time_unproven),
        cmocka_unit_test(device_certificate_that_ended_before_the_token_is_invalid),
        cmocka_unit_test(a_remembered_judgement_is_the_one_that_would_be_made_anew),
        cmocka_unit_test(no_certificate_stands_in_for_another),
        cmocka_unit_test(embedded_certificates_outside_the_path_are_refused),
        cmocka_unit_test(every_flipped_bit_of_a_stamped_signature_is_refused),
        cmocka_unit_test(answers_of_an_authority_are_checked_before_they_are_taken),
        cmocka_unit_test(authority_refuses_bad_requests_and_a_key_that_is_not_for_time),
        cmocka_unit_test(certificates_are_checked_against_role_issuer_and_dates),
        cmocka_unit_test(a_key_whose_point_is_on_no_curve_gets_no_certificate),
        cmocka_unit_test(keys_are_saved_once_with_mode_0600_and_load_again),
        cmocka_unit_test(two_phases_give_the_same_bytes_and_refuse_a_foreign_signature),
        cmocka_unit_test(trust_file_reads_back_as_written_and_refuses_what_it_does_not_know),
        cmocka_unit_test(openssl_and_certtool_accept_what_we_sign_and_refuse_what_is_changed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
