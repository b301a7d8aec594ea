/* derived_test.c - a key that takes long to derive is derived once, for what it depends on and nothing else, and is gone when it is said to be. */
#include "agent/source/apple_backup/backup.h"
#include "agent/source/derived.h"
#include "agent/source/signal_android/backup.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static unsigned calls;

static kluis_status first_byte_everywhere(const void *ctx, uint8_t out[DERIVED_KEY], KLUIS_UNUSED struct kluis_err *err)
{
    calls++;
    memset(out, *(const uint8_t *)ctx, DERIVED_KEY);
    return KLUIS_OK;
}

static kluis_status refused(KLUIS_UNUSED const void *ctx, uint8_t out[DERIVED_KEY], struct kluis_err *err)
{
    calls++;
    memset(out, 0xee, DERIVED_KEY);
    return KLUIS_FAIL(err, KLUIS_E_REJECT, "not this one");
}

/* The key of two parts: its bytes are `byte` if it is derived now, what it was before if it is not. */
static uint8_t ask(const char *scheme, const char *a, const char *b, uint8_t byte)
{
    struct kluis_err err = { 0 };
    uint8_t key[DERIVED_KEY];
    const struct kluis_bytes from[] = { { (const uint8_t *)a, strlen(a) }, { (const uint8_t *)b, strlen(b) } };
    assert_int_equal(derived_key(scheme, from, 2, first_byte_everywhere, &byte, key, &err), KLUIS_OK);
    for (size_t i = 1; i < sizeof key; i++) { assert_int_equal(key[i], key[0]); }
    return key[0];
}

static void it_is_derived_once_for_what_it_depends_on(KLUIS_UNUSED void **state)
{
    derived_forget();
    calls = 0;
    assert_int_equal(ask("een", "geheim", "zout", 1), 1);
    assert_int_equal(ask("een", "geheim", "zout", 2), 1);
    assert_int_equal(calls, 1);
    /* another secret, salt, scheme, or the same bytes parted otherwise, are another key */
    assert_int_equal(ask("een", "gehein", "zout", 3), 3);
    assert_int_equal(ask("een", "geheim", "zouf", 4), 4);
    assert_int_equal(ask("twee", "geheim", "zout", 5), 5);
    assert_int_equal(ask("een", "geheimz", "out", 6), 6);
    assert_int_equal(calls, 5);
}

static void the_longest_unused_makes_room(KLUIS_UNUSED void **state)
{
    derived_forget();
    calls = 0;
    char name[] = "a";
    for (uint8_t i = 0; i < DERIVED_KEPT; i++, name[0]++) { assert_int_equal(ask("een", name, "", i), i); }
    assert_int_equal(ask("een", "a", "", 99), 0); /* used again: now b is the longest unused */
    assert_int_equal(ask("een", name, "", 50), 50);
    assert_int_equal(calls, DERIVED_KEPT + 1);
    assert_int_equal(ask("een", "a", "", 99), 0);
    assert_int_equal(ask("een", "b", "", 98), 98);
    assert_int_equal(calls, DERIVED_KEPT + 2);
}

static void what_failed_is_not_kept_and_what_is_forgotten_is_derived_again(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    uint8_t key[DERIVED_KEY] = { 7 };
    const struct kluis_bytes from[] = { { (const uint8_t *)"x", 1 } };
    derived_forget();
    calls = 0;
    const uint64_t before = derived_keys_made();
    assert_int_equal(derived_key("een", from, 1, refused, NULL, key, &err), KLUIS_E_REJECT);
    assert_string_equal(err.msg, "not this one");
    assert_int_equal(key[0], 7);
    assert_int_equal(derived_key("een", from, 1, refused, NULL, key, NULL), KLUIS_E_REJECT);
    assert_int_equal(calls, 2);
    assert_int_equal(derived_keys_made(), before);
    assert_int_equal(ask("een", "x", "", 1), 1);
    derived_forget();
    derived_forget();
    assert_int_equal(ask("een", "x", "", 2), 2);
    assert_int_equal(derived_keys_made(), before + 2);
    derived_forget();
}

/* Those whose keys take seconds: opened twice, derived once; another password is another key. */
static void a_backup_that_is_opened_again_derives_nothing(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    struct sa_keys one, two;
    struct class_keys keys;
    const char *digits = "012345678901234567890123456789";
    const uint8_t wrapped[40] = { 1 }, salt[20] = { 2 };
    struct keybag bag = { .salt = { salt, sizeof salt }, .double_salt = { salt, sizeof salt }, .iterations = 3, .double_iterations = 5, .n = 1 };
    bag.classes[0].wrap = 2;
    bag.classes[0].wrapped = (struct kluis_bytes){ wrapped, sizeof wrapped };
    derived_forget();
    const uint64_t before = derived_keys_made();
    assert_int_equal(sa_keys_from(&one, digits, (struct kluis_bytes){ salt, sizeof salt }, &err), KLUIS_OK);
    assert_int_equal(sa_keys_from(&two, digits, (struct kluis_bytes){ salt, sizeof salt }, &err), KLUIS_OK);
    assert_memory_equal(one.cipher, two.cipher, SA_KEY);
    assert_int_equal(derived_keys_made(), before + 1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(keybag_open(&bag, (struct kluis_bytes){ salt, 9 }, &keys, NULL), KLUIS_E_REJECT); /* it opens no class */
        assert_int_equal(derived_keys_made(), before + 2);
    }
    assert_int_equal(keybag_open(&bag, (struct kluis_bytes){ salt, 8 }, &keys, NULL), KLUIS_E_REJECT);
    bag.iterations++;
    assert_int_equal(keybag_open(&bag, (struct kluis_bytes){ salt, 8 }, &keys, NULL), KLUIS_E_REJECT);
    assert_int_equal(derived_keys_made(), before + 4);
    derived_forget();
}

int main(void)
{
    struct kluis_err err = { 0 };
    if (kluis_base_init(&err) != KLUIS_OK) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_derived_once_for_what_it_depends_on),
        cmocka_unit_test(the_longest_unused_makes_room),
        cmocka_unit_test(what_failed_is_not_kept_and_what_is_forgotten_is_derived_again),
        cmocka_unit_test(a_backup_that_is_opened_again_derives_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
