/* tests/unit/register_test.c - promises of server/register/register.h: codes work once and for a day, what is decided stands in the audit trail. */
#include "server/register/register.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "tests/support/test_dir.h"

static char dir[64];

static int setup(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    return kluis_base_init(&err) == KLUIS_OK && test_dir("register", dir, sizeof dir) ? 0 : -1;
}

static struct reg *open_reg(void)
{
    struct kluis_err err = { 0 };
    struct reg *r = NULL;
    assert_int_equal(reg_open(&r, dir, &err), KLUIS_OK);
    return r;
}

static const struct reg_official JANSEN = {
    .id = "jansen", .name = "A. Jansen", .function = "DG-01", .from = "2024-02-29", .to = "", .grace_days = -1
};

static void official_is_added_once_and_bad_dates_are_refused(KLUIS_UNUSED void **state)
{
    struct reg *r = open_reg();
    struct kluis_err err = { 0 };
    assert_int_equal(reg_official_add(r, &JANSEN, &err), KLUIS_OK);
    assert_int_equal(reg_official_add(r, &JANSEN, &err), KLUIS_E_EXISTS);
    struct reg_official bad = JANSEN, back;
    memcpy(bad.id, "b", 2);
    memcpy(bad.from, "2023-02-29", 11);
    kluis_err_clear(&err);
    assert_int_equal(reg_official_add(r, &bad, &err), KLUIS_E_REJECT);
    assert_non_null(strstr(err.msg, "2023-02-29"));
    kluis_err_clear(&err);
    assert_int_equal(reg_official_get(r, "b", &back, &err), KLUIS_E_NOTFOUND);
    kluis_err_clear(&err);
    assert_int_equal(reg_official_get(r, "jansen", &back, &err), KLUIS_OK);
    assert_string_equal(back.name, "A. Jansen");
    memcpy(bad.from, "2024-01-01", 11);
    memcpy(bad.id, "../x", 5);
    assert_int_equal(reg_official_add(r, &bad, NULL), KLUIS_E_REJECT);
    reg_free(r);
}

static void code_works_once_and_only_before_it_expires(KLUIS_UNUSED void **state)
{
    struct reg *r = open_reg();
    struct kluis_err err = { 0 };
    uint8_t id[16] = { 1 }, secret[16] = { 2 }, got[16], late_id[16] = { 3 };
    char official[64];
    int64_t now = kluis_now_us();
    assert_int_equal(reg_official_add(r, &JANSEN, &err), KLUIS_OK);
    assert_int_equal(reg_code_add(r, "jansen", id, secret, now + 1000000, &err), KLUIS_OK);
    assert_int_equal(reg_code_add(r, "jansen", late_id, secret, now + 2, &err), KLUIS_OK);
    assert_int_equal(reg_code_find(r, late_id, now + 3, official, got, NULL), KLUIS_E_REJECT);
    assert_int_equal(reg_code_find(r, secret, now, official, got, NULL), KLUIS_E_NOTFOUND);
    assert_int_equal(reg_code_find(r, id, now, official, got, &err), KLUIS_OK);
    assert_memory_equal(got, secret, 16);
    struct reg_device d = { .id = "00112233445566778899aabbccddeeff",
                            .official = "jansen",
                            .state = REG_DEVICE_ACTIVE,
                            .identity = { 5 },
                            .cert = { (const uint8_t *)"c", 1 },
                            .login_spki = { (const uint8_t *)"k", 1 },
                            .enrolled_us = now };
    struct kluis_bytes reply = { (const uint8_t *)"reply", 5 };
    uint64_t entries = 0;
    assert_int_equal(reg_enrol(r, id, &d, reply, &err), KLUIS_OK);
    assert_int_equal(reg_audit_check(r, &entries, &err), KLUIS_OK);
    assert_int_equal(entries, 4); /* official, two codes, and who was enrolled stand in the audit trail */
    assert_int_equal(reg_enrol(r, id, &d, reply, NULL), KLUIS_E_REJECT);
    assert_int_equal(reg_code_find(r, id, now, official, got, NULL), KLUIS_E_REJECT);
    KLUIS_AUTO_BUF(same, 100);
    assert_int_equal(reg_code_reply(r, id, &same, &err), KLUIS_OK);
    assert_memory_equal(same.data, "reply", 5);
    KLUIS_AUTO(kluis_arena) a = kluis_arena_new(1 << 16);
    struct reg_device back;
    assert_int_equal(reg_device_get(r, d.id, a, &back, &err), KLUIS_OK);
    assert_int_equal(back.state, REG_DEVICE_ACTIVE);
    assert_int_equal(reg_device_suspend(r, d.id, "fork", &err), KLUIS_OK);
    assert_int_equal(reg_device_get(r, d.id, a, &back, &err), KLUIS_OK);
    assert_int_equal(back.state, REG_DEVICE_SUSPENDED);
    assert_int_equal(reg_device_suspend(r, d.id, "again", &err), KLUIS_OK);
    assert_int_equal(reg_device_suspend(r, "ffeeddccbbaa99887766554433221100", "nobody", &err), KLUIS_OK);
    assert_int_equal(reg_audit_check(r, &entries, &err), KLUIS_OK);
    assert_int_equal(entries, 5); /* what changes nothing leaves none, a refused code neither */
    reg_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(official_is_added_once_and_bad_dates_are_refused, setup),
        cmocka_unit_test_setup(code_works_once_and_only_before_it_expires, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
