/* tests/unit/seal_memory_test.c - want of memory is no verdict: with any one allocation refused, or all from one on, what is right is told as right
 * or as "no memory", never as wrong, nor is anything wrong made; and it is right again as soon as there is memory.  Each trial is a process that has
 * judged nothing yet. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/pki.h"

enum { TRIALS = 400 }; /* of each question: evenly over all its allocations */

static struct pki *pki;
static struct kluis_buf bare, token, p7s, trust, request, crl;
static const struct kluis_bytes content = { (const uint8_t *)"<manifest/>", 11 };

static uint64_t asked, failing;
static bool for_good;

static void *refuse(size_t n)
{
    (void)n;
    uint64_t i = asked++;
    return i == failing || (for_good && i > failing) ? NULL : aligned_alloc(16, 16); /* base frees it */
}

/* ---- questions whose answer is yes ---- */

static kluis_status certificate(void)
{
    return kluis_cert_check(kluis_buf_bytes(&pki->login.cert), KLUIS_CERT_LOGIN, &pki->device_anchor, 1, kluis_now_us(), NULL);
}

static kluis_status signature(void)
{
    struct kluis_seal_verdict v;
    KLUIS_TRY(kluis_seal_judge(kluis_buf_bytes(&p7s), content, &pki->device_anchor, 1, &pki->root_anchor, 1, kluis_now_us(), &v, NULL));
    return v.signature == KLUIS_VALID && v.certificate == KLUIS_VALID && v.time == KLUIS_VALID ? KLUIS_OK : KLUIS_E_REJECT;
}

/* What is made without memory is not made wrongly: these make, then judge. */
static kluis_status judged(const struct kluis_buf *made, enum kluis_outcome time)
{
    struct kluis_seal_verdict v;
    KLUIS_TRY(kluis_seal_judge(kluis_buf_bytes(made), content, &pki->device_anchor, 1, &pki->root_anchor, 1, kluis_now_us(), &v, NULL));
    return v.signature == KLUIS_VALID && v.certificate == KLUIS_VALID && v.time == time ? KLUIS_OK : KLUIS_E_REJECT;
}

static kluis_status sealing(void)
{
    KLUIS_AUTO_BUF(made, KLUIS_P7S_MAX);
    KLUIS_TRY(kluis_seal_sign(pki->device.key, content, kluis_buf_bytes(&pki->device.cert), NULL, 0, kluis_now_us(), &made, NULL));
    return judged(&made, KLUIS_INDETERMINATE);
}

static kluis_status stamping(void)
{
    KLUIS_AUTO_BUF(made, KLUIS_P7S_MAX);
    KLUIS_TRY(kluis_seal_add_token(kluis_buf_bytes(&bare), kluis_buf_bytes(&token), &made, NULL));
    return judged(&made, KLUIS_VALID);
}

static kluis_status listing(void)
{
    struct kluis_bytes lists = kluis_buf_bytes(&crl), found[KLUIS_CRLS_MAX];
    size_t n = 0;
    KLUIS_AUTO_BUF(made, KLUIS_P7S_MAX);
    KLUIS_TRY(kluis_seal_add_crls(kluis_buf_bytes(&p7s), &lists, 1, &made, NULL));
    KLUIS_TRY(kluis_seal_crls(kluis_buf_bytes(&made), found, &n, NULL));
    return n == 1 && found[0].len == crl.len ? KLUIS_OK : KLUIS_E_REJECT;
}

static kluis_status trust_file(void)
{
    struct kluis_trust t;
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(4 << 20);
    if (arena == NULL) { return KLUIS_E_NOMEM; }
    KLUIS_TRY(kluis_trust_read((struct kluis_str){ (const char *)trust.data, trust.len }, arena, &t, NULL));
    return t.n_crls == 1 && t.n_device_cas == pki->trust.n_device_cas && t.log_vkey != NULL ? KLUIS_OK : KLUIS_E_REJECT;
}

static kluis_status revoked(void)
{
    struct kluis_revocation_verdict v;
    struct kluis_bytes lists = kluis_buf_bytes(&crl);
    KLUIS_TRY(kluis_revocation_judge(kluis_buf_bytes(&pki->device.cert), &pki->device_anchor, 1, &lists, 1, kluis_now_us(), &v, NULL));
    return v.state == KLUIS_REVOKED ? KLUIS_OK : KLUIS_E_REJECT;
}

static kluis_status stamped(void)
{
    KLUIS_AUTO_BUF(response, KLUIS_TOKEN_MAX);
    KLUIS_AUTO_BUF(stamp, KLUIS_TOKEN_MAX);
    uint8_t imprint[32] = { 1 };
    KLUIS_TRY(kluis_tsa_respond(pki->authority, kluis_buf_bytes(&request), &response, NULL));
    return kluis_time_accept(kluis_buf_bytes(&response), imprint, 7, &pki->root_anchor, 1, &stamp, NULL, NULL);
}

static kluis_status key(void)
{
    KLUIS_AUTO(kluis_key) k = NULL;
    KLUIS_AUTO_BUF(pem, 8192);
    KLUIS_TRY(kluis_key_to_pem(pki->device.key, &pem, NULL));
    KLUIS_TRY(kluis_key_from_pem(kluis_buf_bytes(&pem), &k, NULL));
    KLUIS_AUTO_BUF(sig, KLUIS_SIGNATURE_MAX);
    KLUIS_AUTO_BUF(spki, KLUIS_CERT_MAX);
    KLUIS_TRY(kluis_key_sign(k, content, &sig, NULL));
    KLUIS_TRY(kluis_cert_spki(kluis_buf_bytes(&pki->device.cert), &spki, NULL));
    return kluis_key_check(kluis_buf_bytes(&spki), content, kluis_buf_bytes(&sig), NULL);
}

/* ---- trials ---- */

enum { RIGHT = 0, WRONG = 1, POISONED = 2, NO_MEMORY = 3 };

static int trial(kluis_status (*ask)(void))
{
    static const struct kluis_hooks hooks = { .alloc = refuse };
    asked = 0;
    kluis_hooks_set(&hooks);
    kluis_status rc = ask();
    kluis_hooks_set(NULL);
    if (rc != KLUIS_OK && rc != KLUIS_E_NOMEM) { return WRONG; }
    if (ask() != KLUIS_OK) { return POISONED; }
    return rc == KLUIS_OK ? RIGHT : NO_MEMORY;
}

static int in_a_process(kluis_status (*ask)(void))
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) { _exit(trial(ask)); }
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static uint64_t allocations(kluis_status (*ask)(void))
{
    int ends[2], status = 0;
    uint64_t n = 0;
    assert_int_equal(pipe(ends), 0);
    failing = UINT64_MAX;
    pid_t pid = fork();
    if (pid == 0) {
        int said = trial(ask);
        _exit(said == RIGHT && write(ends[1], &asked, sizeof asked) == sizeof asked ? 0 : 1);
    }
    assert_int_equal(read(ends[0], &n, sizeof n), sizeof n);
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    assert_true(close(ends[0]) == 0 && close(ends[1]) == 0);
    return n;
}

static void never_wrong(const char *what, kluis_status (*ask)(void))
{
    uint64_t all = allocations(ask), step = all / TRIALS + 1;
    unsigned without = 0;
    assert_true(all > 5);
    for (failing = 0; failing < all; failing += step) {
        for_good = failing / step % 2 == 1;
        int said = in_a_process(ask);
        if (said == WRONG || said == POISONED) {
            fail_msg("%s: with allocation %llu of %llu refused%s it is told as %s", what, (unsigned long long)failing, (unsigned long long)all,
                     for_good ? ", and all after it," : "", said == WRONG ? "wrong" : "wrong even when there is memory again");
        }
        without += said == NO_MEMORY;
    }
    for_good = false;
    print_message("%s: %llu allocations, %u times no memory\n", what, (unsigned long long)all, without);
    assert_true(without > 0);
}

static void no_memory_is_no_verdict(void **state)
{
    (void)state;
    never_wrong("certificate", certificate);
    never_wrong("signature", signature);
    never_wrong("sealing", sealing);
    never_wrong("adding a time stamp", stamping);
    never_wrong("adding revocation lists", listing);
    never_wrong("trust file", trust_file);
    never_wrong("revocation", revoked);
    never_wrong("time stamp", stamped);
    never_wrong("key", key);
}

static int setup(void **state)
{
    (void)state;
    uint8_t imprint[32] = { 1 };
    int64_t now = kluis_now_us();
    pki = pki_new(5);
    kluis_buf_init(&p7s, KLUIS_P7S_MAX);
    kluis_buf_init(&trust, 1 << 20);
    kluis_buf_init(&request, 256);
    kluis_buf_init(&crl, KLUIS_CRL_MAX);
    uint8_t of_bare[32];
    kluis_buf_init(&bare, KLUIS_P7S_MAX);
    kluis_buf_init(&token, KLUIS_TOKEN_MAX);
    pki_sign(pki, &pki->device, &pki->device_ca, content, true, &p7s);
    pki_sign(pki, &pki->device, &pki->device_ca, content, false, &bare);
    assert_int_equal(kluis_seal_imprint(kluis_buf_bytes(&bare), of_bare, NULL), KLUIS_OK);
    pki_token(pki->authority, &pki->root_anchor, of_bare, &token);
    struct kluis_revoked r = { .cert_der = kluis_buf_bytes(&pki->device.cert), .at_us = now - 2000000, .reason = 1 };
    assert_int_equal(kluis_crl_issue(&r, 1, 1, now, now + PKI_YEAR, pki->device_ca.key, kluis_buf_bytes(&pki->device_ca.cert), &crl, NULL), KLUIS_OK);
    struct kluis_bytes lists = kluis_buf_bytes(&crl);
    struct kluis_trust t = pki->trust;
    t.crls = &lists;
    t.n_crls = 1;
    assert_int_equal(kluis_trust_write(&t, &trust, NULL), KLUIS_OK);
    return kluis_time_request(imprint, 7, &request, NULL) == KLUIS_OK ? 0 : 1;
}

static int teardown(void **state)
{
    (void)state;
    kluis_buf_free(&bare);
    kluis_buf_free(&token);
    kluis_buf_free(&p7s);
    kluis_buf_free(&trust);
    kluis_buf_free(&request);
    kluis_buf_free(&crl);
    pki_free(pki);
    return 0;
}

int main(void)
{
    if (kluis_base_init(NULL) != KLUIS_OK) { return 1; }
    const struct CMUnitTest tests[] = { cmocka_unit_test(no_memory_is_no_verdict) };
    return cmocka_run_group_tests(tests, setup, teardown);
}
