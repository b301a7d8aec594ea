/* tests/unit/verify_test.c - the program chatkluis-verify itself: exit codes, output, several files, bad input. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/sealed.h"
#include "tests/support/test_dir.h"

#define OK(expr) assert_int_equal((expr), KLUIS_OK)

static char dir[64];
static const char *program;

/* Runs the verifier in dir; its output (both streams) goes to `out`. */
static int run(const char *args, struct kluis_buf *out)
{
    char line[KLUIS_PATH_MAX * 2], log[KLUIS_PATH_MAX];
    (void)snprintf(line, sizeof line, "cd %s && { %s %s; } >log 2>&1", dir, program, args);
    int rc = system(line);
    OK(kluis_path(log, sizeof log, dir, "log", NULL));
    kluis_buf_clear(out);
    OK(kluis_read_file(log, out->max - 1, out, NULL));
    kluis_buf_byte(out, 0);
    assert_true(WIFEXITED(rc));
    return WEXITSTATUS(rc);
}

static void put(const char *name, struct kluis_bytes b)
{
    char path[KLUIS_PATH_MAX];
    OK(kluis_path(path, sizeof path, dir, name, NULL));
    OK(kluis_write_file(path, b.ptr, b.len, 0600, NULL));
}

static int setup(void **state)
{
    (void)state;
    program = getenv("KLUIS_VERIFY");
    if (!program) { program = "chatkluis-verify"; }
    assert_true(test_dir("verify", dir, sizeof dir));
    struct pki *pki = pki_new(5);
    KLUIS_AUTO_BUF(trust, 1 << 20);
    KLUIS_AUTO_BUF(receipt, KLUIS_RECEIPT_MAX);
    KLUIS_AUTO_BUF(other, KLUIS_RECEIPT_MAX);
    KLUIS_AUTO_BUF(bytes, 16 << 20);
    OK(kluis_trust_write(&pki->trust, &trust, NULL));
    put("trust.json", kluis_buf_bytes(&trust));
    struct sealed a = sealed_package(pki, &(struct sealed_options){ .stamped = true }),
                  b = sealed_package(pki, &(struct sealed_options){ .stamped = false, .records = 7 });
    sealed_receipt(pki, &a, &(struct receipt_options){ .stamped = true }, &receipt);
    sealed_receipt(pki, &b, &(struct receipt_options){ .stamped = true }, &other);
    put("a.receipt", kluis_buf_bytes(&receipt));
    put("b.receipt", kluis_buf_bytes(&other));
    sealed_bytes(&a, &bytes);
    put("a.asice", kluis_buf_bytes(&bytes));
    bytes.data[bytes.len / 2] ^= 1;
    put("damaged.asice", kluis_buf_bytes(&bytes));
    put("short.asice", (struct kluis_bytes){ bytes.data, 100 });
    put("empty.asice", (struct kluis_bytes){ bytes.data, 0 });
    kluis_buf_clear(&bytes);
    sealed_bytes(&b, &bytes);
    put("b.asice", kluis_buf_bytes(&bytes));
    static const int64_t day = INT64_C(86400) * 1000000;
    static const char *const lists[] = { "none.crl", "before.crl", "after.crl" };
    const int64_t since[] = { KLUIS_TIME_ABSENT, kluis_now_us() - day, kluis_now_us() + day };
    for (size_t i = 0; i < 3; i++) {
        const struct kluis_revoked r = { kluis_buf_bytes(&pki->device.cert), since[i], 1 };
        KLUIS_AUTO_BUF(crl, KLUIS_CRL_MAX);
        OK(kluis_crl_issue(&r, i > 0, 1, kluis_now_us() + 2 * day, kluis_now_us() + 9 * day, pki->device_ca.key,
                           kluis_buf_bytes(&pki->device_ca.cert), &crl, NULL));
        put(lists[i], kluis_buf_bytes(&crl));
    }
    kluis_close_quiet(&a.fd);
    kluis_close_quiet(&b.fd);
    pki_free(pki);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char line[KLUIS_PATH_MAX];
    (void)snprintf(line, sizeof line, "rm -r %s", dir);
    return system(line);
}

static void exit_code_is_the_verdict(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(out, 1 << 20);
    assert_int_equal(run("--trust trust.json a.asice", &out), 0);
    assert_non_null(strstr((const char *)out.data, "a.asice: VALID"));
    assert_int_equal(run("--trust trust.json --receipt a.receipt a.asice", &out), 0);
    assert_int_equal(run("a.asice", &out), 2);
    assert_int_equal(run("--trust trust.json b.asice", &out), 2);
    assert_int_equal(run("--trust trust.json --receipt b.receipt b.asice", &out), 0);
    assert_int_equal(run("--trust trust.json --receipt b.receipt a.asice", &out), 1);
    assert_int_equal(run("--trust trust.json damaged.asice", &out), 1);
    assert_int_equal(run("damaged.asice", &out), 1);
    assert_int_equal(run("--trust trust.json short.asice", &out), 1);
    assert_int_equal(run("--trust trust.json empty.asice", &out), 1);
    assert_int_equal(run("--trust trust.json trust.json", &out), 1);
}

static void worst_of_several_counts(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(out, 1 << 20);
    assert_int_equal(run("--trust trust.json a.asice b.asice", &out), 2);
    assert_int_equal(run("--trust trust.json a.asice b.asice damaged.asice", &out), 1);
    assert_int_equal(run("--trust trust.json damaged.asice nothing.asice a.asice", &out), 74);
    assert_non_null(strstr((const char *)out.data, "a.asice: VALID"));
    assert_non_null(strstr((const char *)out.data, "cannot read nothing.asice"));
}

static void json_is_one_line_a_package(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(out, 1 << 20);
    assert_int_equal(run("--json --trust trust.json a.asice b.asice", &out), 2);
    size_t lines = 0;
    for (size_t i = 0; i < out.len; i++) { lines += out.data[i] == '\n'; }
    assert_int_equal(lines, 2);
    assert_int_equal(strncmp((const char *)out.data, "{\"verdict\":\"valid\",", 19), 0);
    assert_non_null(strstr((const char *)out.data, "\n{\"verdict\":\"indeterminate\","));
    assert_int_equal(run("--json --trust trust.json --receipt b.receipt a.asice", &out), 1);
    assert_non_null(strstr((const char *)out.data, "\"receipt\":{\"state\":\"invalid\",\"reason\":\"receipt is of another package\"}"));
}

static void lists_and_another_time_change_the_verdict(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(out, 1 << 20);
    assert_int_equal(run("--json --trust trust.json a.asice", &out), 0);
    assert_non_null(strstr((const char *)out.data, "\"revocation\":{\"state\":\"absent\",\"reason\":\"not checked"));
    assert_int_equal(run("--json --trust trust.json --crl none.crl a.asice", &out), 0);
    assert_non_null(strstr((const char *)out.data, "\"revocation\":{\"state\":\"valid\"}"));
    assert_int_equal(run("--trust trust.json --crl before.crl a.asice", &out), 1);
    assert_int_equal(run("--trust trust.json --crl none.crl --crl before.crl a.asice", &out), 1);
    assert_int_equal(run("--json --trust trust.json --crl after.crl a.asice", &out), 0);
    assert_non_null(strstr((const char *)out.data, "after the signature"));
    assert_int_equal(run("--trust trust.json --crl after.crl b.asice", &out), 2);
    assert_int_equal(run("--crl none.crl a.asice", &out), 64);
    assert_int_equal(run("--trust trust.json --crl trust.json a.asice", &out), 64);
    assert_int_equal(run("--trust trust.json --crl missing.crl a.asice", &out), 74);
    /* The time authority's certificate holds for five years. */
    assert_int_equal(run("--json --trust trust.json --at 2099-01-01T00:00:00Z a.asice", &out), 2);
    assert_non_null(strstr((const char *)out.data, "\"judged\":\"2099-01-01T00:00:00Z\""));
    assert_int_equal(run("--trust trust.json --at 2099-01-01T00:00:00Z damaged.asice", &out), 1);
    assert_int_equal(run("--trust trust.json --at tomorrow a.asice", &out), 64);
}

static void help_speaks_two_languages_and_mistakes_are_usage(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(out, 1 << 20);
    assert_int_equal(run("--help", &out), 0);
    assert_non_null(strstr((const char *)out.data, "offline"));
    assert_int_equal(run("--lang nl --help", &out), 0);
    assert_non_null(strstr((const char *)out.data, "zonder netwerk"));
    assert_int_equal(run("--lang nl --trust trust.json a.asice", &out), 0);
    assert_non_null(strstr((const char *)out.data, "a.asice: GELDIG"));
    assert_int_equal(run("", &out), 64);
    assert_int_equal(run("--lang fr a.asice", &out), 64);
    assert_int_equal(run("--nonsense a.asice", &out), 64);
    assert_int_equal(run("--trust", &out), 64);
    assert_int_equal(run("--receipt a.receipt a.asice b.asice", &out), 64);
    assert_int_equal(run("--trust a.receipt a.asice", &out), 64);
    assert_int_equal(run("--trust missing.json a.asice", &out), 74);
    assert_int_equal(run("--receipt missing.json a.asice", &out), 74);
    assert_int_equal(run(".", &out), 74);
    assert_int_equal(run("--trust trust.json a.asice >/dev/full", &out), 74);
}

int main(void)
{
    if (kluis_base_init(NULL) != KLUIS_OK) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exit_code_is_the_verdict),
        cmocka_unit_test(worst_of_several_counts),
        cmocka_unit_test(json_is_one_line_a_package),
        cmocka_unit_test(lists_and_another_time_change_the_verdict),
        cmocka_unit_test(help_speaks_two_languages_and_mistakes_are_usage),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
