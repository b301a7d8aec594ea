/* Promises of server/access: a request has one form on the wire, and nothing else is read as one. */
#include "server/access/access.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define KEY "0123456789012345678901234567890123456789012"

static struct access_request sample(enum access_what what)
{
    return (struct access_request){ .what = what,
                                    .key = KLUIS_STR_LIT(KEY),
                                    .purpose = KLUIS_STR_LIT("zaak 17"),
                                    .text = KLUIS_STR_LIT("vergunning"),
                                    .platform = KLUIS_STR_LIT("signal"),
                                    .from_us = 1000000,
                                    .to_us = KLUIS_TIME_ABSENT,
                                    .order = ACCESS_OLDEST,
                                    .limit = ACCESS_PAGE_MAX,
                                    .before = ACCESS_AROUND_MAX,
                                    .after = 3,
                                    .count = ACCESS_COUNT_EXACT,
                                    .package = { 7, 8 },
                                    .ordinal = UINT32_MAX,
                                    .walls = 15,
                                    .address = KLUIS_STR_LIT("127.0.0.1:8080") };
}

static void same_str(struct kluis_str a, struct kluis_str b) { assert_true(kluis_str_eq(a, b)); }

static void each_kind_comes_back_as_it_was(void **state)
{
    (void)state;
    static const enum access_what kinds[] = { ACCESS_HELLO, ACCESS_KEY, ACCESS_SEARCH, ACCESS_AROUND, ACCESS_STATUS };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const struct access_request r = sample(kinds[i]);
        struct access_request got;
        struct kluis_err err = { 0 };
        KLUIS_AUTO_BUF(b, ACCESS_REQUEST_MAX);
        assert_int_equal(access_request_write(&r, &b, &err), KLUIS_OK);
        assert_int_equal(access_request_read((char)kinds[i], kluis_buf_bytes(&b), &got, &err), KLUIS_OK);
        assert_int_equal(got.what, kinds[i]);
        if (kinds[i] == ACCESS_HELLO) {
            same_str(got.address, r.address);
            assert_int_equal(got.walls, 15);
            assert_null(got.key.ptr);
        } else {
            same_str(got.key, r.key);
        }
        if (kinds[i] == ACCESS_SEARCH) {
            same_str(got.text, r.text);
            same_str(got.platform, r.platform);
            assert_null(got.conversation.ptr);
            assert_null(got.cursor.ptr);
            assert_true(got.from_us == r.from_us && got.to_us == r.to_us && got.order == r.order && got.limit == r.limit && got.count == r.count);
        }
        if (kinds[i] == ACCESS_SEARCH || kinds[i] == ACCESS_AROUND) { same_str(got.purpose, r.purpose); }
        if (kinds[i] == ACCESS_AROUND) {
            assert_memory_equal(got.package, r.package, 32);
            assert_true(got.ordinal == r.ordinal && got.before == r.before && got.after == r.after);
        }
        /* Cut anywhere, or with something behind it, it is none. */
        for (size_t n = 0; n < b.len; n++) {
            struct kluis_err why = { 0 };
            assert_int_equal(access_request_read((char)kinds[i], (struct kluis_bytes){ b.data, n }, &got, &why), KLUIS_E_REJECT);
        }
        kluis_buf_byte(&b, 0);
        assert_int_equal(access_request_read((char)kinds[i], kluis_buf_bytes(&b), &got, NULL), KLUIS_E_REJECT);
    }
}

static void refused(enum access_what what, const struct access_request *r)
{
    struct access_request got;
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(b, ACCESS_REQUEST_MAX);
    assert_int_equal(access_request_write(r, &b, &err), KLUIS_OK);
    assert_int_equal(access_request_read((char)what, kluis_buf_bytes(&b), &got, &err), KLUIS_E_REJECT);
    assert_int_equal(err.code, KLUIS_E_REJECT);
}

static void what_is_out_of_bounds_is_no_request(void **state)
{
    (void)state;
    struct access_request r = sample(ACCESS_SEARCH);
    r.limit = ACCESS_PAGE_MAX + 1;
    refused(ACCESS_SEARCH, &r);
    r = sample(ACCESS_SEARCH);
    r.order = (enum access_order)(ACCESS_RELEVANCE + 1);
    refused(ACCESS_SEARCH, &r);
    r = sample(ACCESS_SEARCH);
    r.count = (enum access_count)(ACCESS_COUNT_EXACT + 1);
    refused(ACCESS_SEARCH, &r);
    r = sample(ACCESS_SEARCH);
    r.text = (struct kluis_str){ "een\0twee", 8 };
    refused(ACCESS_SEARCH, &r);
    r = sample(ACCESS_SEARCH);
    r.to_us = INT64_MAX;
    refused(ACCESS_SEARCH, &r);
    r = sample(ACCESS_AROUND);
    r.before = ACCESS_AROUND_MAX + 1;
    refused(ACCESS_AROUND, &r);
    r = sample(ACCESS_AROUND);
    r.after = UINT32_MAX;
    refused(ACCESS_AROUND, &r);
    r = sample(ACCESS_AROUND);
    r.ordinal = (uint64_t)UINT32_MAX + 1;
    refused(ACCESS_AROUND, &r);
    r = sample(ACCESS_HELLO);
    r.address = KLUIS_STR_LIT("192.0.2.1:80");
    refused(ACCESS_HELLO, &r);
    r.address = KLUIS_STR_LIT("127.0.0.1:8080/?key=x\nlook elsewhere");
    refused(ACCESS_HELLO, &r);
    /* A kind that is none, and a request under another's name. */
    r = sample(ACCESS_STATUS);
    refused((enum access_what)'x', &r);
    refused(ACCESS_SEARCH, &r);
    refused(ACCESS_HELLO, &r);
    /* Longer than may be sent. */
    static char much[ACCESS_STRING_MAX + 1];
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(b, ACCESS_REQUEST_MAX);
    memset(much, 'a', sizeof much);
    r = sample(ACCESS_SEARCH);
    r.text = (struct kluis_str){ much, sizeof much };
    assert_int_equal(access_request_write(&r, &b, &err), KLUIS_E_LIMIT);
    /* What can be no key is sent as none. */
    r = sample(ACCESS_KEY);
    r.key = KLUIS_STR_LIT("short");
    struct access_request got;
    kluis_buf_clear(&b);
    assert_int_equal(access_request_write(&r, &b, NULL), KLUIS_OK);
    assert_int_equal(access_request_read(ACCESS_KEY, kluis_buf_bytes(&b), &got, NULL), KLUIS_OK);
    assert_null(got.key.ptr);
}

static void only_addresses_of_this_machine_are_loopback(void **state)
{
    (void)state;
    static const char *const yes[] = { "127.0.0.1:0", "127.0.0.1:65535", "127.255.0.9:80", "[::1]:8080" };
    static const char *const no[] = { "",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:65536",
                                      "127.0.0.1:080",
                                      "127.0.0.1:80 ",
                                      "127.0.0.256:1",
                                      "128.0.0.1:1",
                                      "0.0.0.0:1",
                                      "127.0.0:1",
                                      "127.0.0.1.1:1",
                                      "127.00.0.1:1",
                                      "[::]:1",
                                      "[::1]",
                                      "[::1]:x",
                                      "localhost:8080",
                                      "127.0.0.1:1/?a",
                                      "127.0.0.1:-1",
                                      "[::2]:1",
                                      "7f.0.0.1:1" };
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) { assert_true(access_loopback(yes[i])); }
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) { assert_false(access_loopback(no[i])); }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(each_kind_comes_back_as_it_was), cmocka_unit_test(what_is_out_of_bounds_is_no_request),
                                        cmocka_unit_test(only_addresses_of_this_machine_are_loopback) };
    return cmocka_run_group_tests_name("access", tests, NULL, NULL);
}
