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
    assert_int_equal(reg_device_suspend(r, d.id, "fork", KLUIS_TIME_ABSENT, &err), KLUIS_OK);
    assert_int_equal(reg_device_get(r, d.id, a, &back, &err), KLUIS_OK);
    assert_int_equal(back.state, REG_DEVICE_SUSPENDED);
    assert_int_equal(reg_device_suspend(r, d.id, "again", KLUIS_TIME_ABSENT, &err), KLUIS_OK);
    assert_int_equal(reg_device_suspend(r, "ffeeddccbbaa99887766554433221100", "nobody", KLUIS_TIME_ABSENT, &err), KLUIS_OK);
    assert_int_equal(reg_audit_check(r, &entries, &err), KLUIS_OK);
    assert_int_equal(entries, 5); /* what changes nothing leaves none, a refused code neither */
    reg_free(r);
}

/* ---- the journal ---- */

enum { MANY = 64 };
struct copy {
    struct kluis_buf text[MANY];
    struct kluis_bytes entry[MANY];
    size_t n;
};

static void copy_out(struct reg *r, uint64_t above, struct copy *c)
{
    struct kluis_err err = { 0 };
    uint64_t n;
    assert_int_equal(reg_journal_length(r, &n, &err), KLUIS_OK);
    assert_true(n >= above && n - above <= MANY);
    for (c->n = 0; c->n < n - above; c->n++) {
        kluis_buf_init(&c->text[c->n], REG_JOURNAL_ENTRY_MAX);
        assert_int_equal(reg_journal_get(r, above + c->n + 1, &c->text[c->n], &err), KLUIS_OK);
        c->entry[c->n] = kluis_buf_bytes(&c->text[c->n]);
    }
    KLUIS_AUTO_BUF(beyond, REG_JOURNAL_ENTRY_MAX);
    assert_int_equal(reg_journal_get(r, n + 1, &beyond, NULL), KLUIS_E_NOTFOUND);
}

static void copy_clear(struct copy *c)
{
    for (size_t i = 0; i < c->n; i++) { kluis_buf_free(&c->text[i]); }
}

static const char DEVICE[] = "00112233445566778899aabbccddeeff";

/* An official, a code, a device, its suspension. */
static void decide_all(struct reg *r, const uint8_t code[16])
{
    struct kluis_err err = { 0 };
    const uint8_t secret[16] = { 2 };
    int64_t now = kluis_now_us();
    struct reg_device d = { .id = "00112233445566778899aabbccddeeff",
                            .official = "jansen",
                            .state = REG_DEVICE_ACTIVE,
                            .identity = { 5, 6 },
                            .cert = { (const uint8_t *)"certificate", 11 },
                            .login_spki = { (const uint8_t *)"key", 3 },
                            .enrolled_us = now };
    assert_int_equal(reg_official_add(r, &JANSEN, &err), KLUIS_OK);
    assert_int_equal(reg_code_add(r, "jansen", code, secret, now + 3600000000LL, &err), KLUIS_OK);
    assert_int_equal(reg_enrol(r, code, &d, (struct kluis_bytes){ (const uint8_t *)"reply", 5 }, &err), KLUIS_OK);
    assert_int_equal(reg_device_suspend(r, DEVICE, "fork", KLUIS_TIME_ABSENT, &err), KLUIS_OK);
}

static void same_decisions(struct reg *r)
{
    struct kluis_err err = { 0 };
    struct reg_official o;
    struct reg_device d;
    KLUIS_AUTO(kluis_arena) a = kluis_arena_new(1 << 16);
    assert_int_equal(reg_official_get(r, "jansen", &o, &err), KLUIS_OK);
    assert_string_equal(o.name, JANSEN.name);
    assert_string_equal(o.function, JANSEN.function);
    assert_string_equal(o.from, JANSEN.from);
    assert_int_equal(o.grace_days, -1);
    assert_int_equal(reg_device_get(r, DEVICE, a, &d, &err), KLUIS_OK);
    assert_string_equal(d.official, "jansen");
    assert_int_equal(d.identity[1], 6);
    assert_int_equal(d.cert.len, 11);
    assert_memory_equal(d.login_spki.ptr, "key", 3);
    assert_int_equal(d.state, REG_DEVICE_SUSPENDED);
    assert_true(d.suspended_us >= d.enrolled_us && d.enrolled_us > 0);
}

static void a_copy_of_the_journal_makes_another_register_the_same(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    struct copy c;
    struct reg_journal_mark here, there;
    const uint8_t code[16] = { 1 };
    struct reg *r = open_reg();
    decide_all(r, code);
    copy_out(r, 0, &c);
    assert_int_equal(c.n, 3); /* the code alone is no decision that lasts */
    assert_int_equal(reg_journal_mark(r, 3, &here, &err), KLUIS_OK);
    assert_int_equal(reg_journal_mark(r, 4, &there, NULL), KLUIS_E_NOTFOUND);
    reg_free(r);

    assert_int_equal(setup(NULL), 0); /* an empty register */
    r = open_reg();
    assert_int_equal(reg_journal_join(r, 0, c.entry, c.n, &err), KLUIS_OK);
    same_decisions(r);
    assert_int_equal(reg_journal_mark(r, 3, &there, &err), KLUIS_OK);
    assert_memory_equal(here.chain, there.chain, 32);
    uint64_t entries = 0;
    assert_int_equal(reg_audit_check(r, &entries, &err), KLUIS_OK);
    assert_int_equal(entries, 3); /* who reads the trail sees what was done again */
    /* Once more, as after a stop in the middle: nothing twice. */
    assert_int_equal(reg_journal_join(r, 1, c.entry + 1, 2, &err), KLUIS_OK);
    same_decisions(r);
    assert_int_equal(reg_audit_check(r, &entries, &err), KLUIS_OK);
    assert_int_equal(entries, 3);
    reg_free(r);
    copy_clear(&c);
}

/* A backup knows the official and the code; the journal knows that the code was used. */
static void a_code_that_was_used_after_the_backup_works_no_more(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    struct copy c;
    const uint8_t code[16] = { 1 }, secret[16] = { 2 };
    uint8_t got[16];
    char official[64];
    struct reg *r = open_reg();
    decide_all(r, code);
    copy_out(r, 1, &c);
    reg_free(r);
    assert_int_equal(setup(NULL), 0);
    r = open_reg();
    assert_int_equal(reg_official_add(r, &JANSEN, &err), KLUIS_OK);
    assert_int_equal(reg_code_add(r, "jansen", code, secret, kluis_now_us() + 3600000000LL, &err), KLUIS_OK);
    assert_int_equal(reg_code_find(r, code, kluis_now_us(), official, got, &err), KLUIS_OK);
    assert_int_equal(reg_journal_join(r, 1, c.entry, c.n, &err), KLUIS_OK);
    assert_int_equal(reg_code_find(r, code, kluis_now_us(), official, got, NULL), KLUIS_E_REJECT);
    same_decisions(r);
    reg_free(r);
    copy_clear(&c);
}

/* What was decided here meanwhile is kept, behind what was decided before. */
static void decisions_of_both_sides_are_kept(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    struct copy c, both;
    const uint8_t code[16] = { 1 };
    struct reg_official late = JANSEN, back;
    struct reg *r = open_reg();
    decide_all(r, code);
    copy_out(r, 0, &c);
    reg_free(r);
    assert_int_equal(setup(NULL), 0);
    r = open_reg();
    memcpy(late.id, "pietersen", 10);
    assert_int_equal(reg_official_add(r, &late, &err), KLUIS_OK);
    assert_int_equal(reg_journal_join(r, 0, c.entry, c.n, &err), KLUIS_OK);
    same_decisions(r);
    assert_int_equal(reg_official_get(r, "pietersen", &back, &err), KLUIS_OK);
    copy_out(r, 0, &both);
    assert_int_equal(both.n, 4);
    for (size_t i = 0; i < c.n; i++) { assert_memory_equal(both.entry[i].ptr, c.entry[i].ptr, c.entry[i].len); }
    reg_free(r);
    copy_clear(&c);
    copy_clear(&both);
}

static void an_entry_that_is_none_changes_nothing(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    struct copy c = { .n = 0 };
    struct reg_official o;
    const uint8_t code[16] = { 1 };
    uint64_t n, tried = 0;
    struct reg *r = open_reg();
    decide_all(r, code);
    copy_out(r, 0, &c);
    assert_true(c.n >= 2);
    reg_free(r);
    assert_int_equal(setup(NULL), 0);
    r = open_reg();
    for (size_t cut = 0; cut < c.entry[1].len; cut += 7) { /* a good one before it does not stay either */
        struct kluis_bytes bad[2] = { c.entry[0], { c.entry[1].ptr, cut } };
        kluis_err_clear(&err);
        assert_int_equal(reg_journal_join(r, 0, bad, 2, &err), KLUIS_E_CORRUPT);
        tried++;
    }
    assert_true(tried > 10);
    assert_int_equal(reg_journal_length(r, &n, NULL), KLUIS_OK);
    assert_int_equal(n, 0);
    assert_int_equal(reg_official_get(r, "jansen", &o, NULL), KLUIS_E_NOTFOUND);
    reg_free(r);
    copy_clear(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_copy_of_the_journal_makes_another_register_the_same, setup),
        cmocka_unit_test_setup(a_code_that_was_used_after_the_backup_works_no_more, setup),
        cmocka_unit_test_setup(decisions_of_both_sides_are_kept, setup),
        cmocka_unit_test_setup(an_entry_that_is_none_changes_nothing, setup),
        cmocka_unit_test_setup(official_is_added_once_and_bad_dates_are_refused, setup),
        cmocka_unit_test_setup(code_works_once_and_only_before_it_expires, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
