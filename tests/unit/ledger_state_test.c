/* Promise of server/ledger/ledger.h: whatever became of a transaction, the log in memory is the one on disk; none that was rolled back, for want of
 * memory or of disk, leaves a leaf, a head or a beginning behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "server/ledger/ledger.h"
#include "tests/support/test_dir.h"

enum { LEAVES = 5, TORN = 3 };
static const uint8_t seed[32] = { 7 };
static char dir[64];

static int setup(void **state)
{
    struct kluis_err err = { 0 };
    (void)state;
    return kluis_base_init(&err) == KLUIS_OK && test_dir("ledger", dir, sizeof dir) ? 0 : 1;
}

static void open_both(struct custody **c, struct ledger **l)
{
    struct kluis_err err = { 0 };
    const struct ledger_keys keys = { .origin = "voorbeeld.example/log", .seed = seed };
    assert_int_equal(custody_open(c, dir, &err), KLUIS_OK);
    assert_int_equal(ledger_open(l, *c, &keys, &err), KLUIS_OK);
}

static void append(struct ledger *l, int n)
{
    struct kluis_err err = { 0 };
    char text[32];
    uint64_t index, size = ledger_size(l);
    (void)snprintf(text, sizeof text, "leaf %d", n);
    assert_int_equal(ledger_append(l, (struct kluis_bytes){ (const uint8_t *)text, strlen(text) }, &index, &err), KLUIS_OK);
    assert_int_equal(index, size);
}

static void stands(struct ledger *l, uint64_t size, const kluis_hash *head, uint64_t since)
{
    kluis_hash now;
    ledger_head(l, &now);
    assert_int_equal(ledger_size(l), size);
    assert_memory_equal(now.b, head->b, sizeof now.b);
    assert_int_equal(ledger_since(l), since);
}

static void a_transaction_that_is_rolled_back_leaves_the_log_as_it_was(void **state)
{
    struct custody *c;
    struct ledger *l;
    struct kluis_err err = { 0 };
    kluis_hash head, anew;
    (void)state;
    open_both(&c, &l);
    assert_int_equal(custody_begin(c, &err), KLUIS_OK);
    for (int i = 0; i < LEAVES; i++) { append(l, i); }
    assert_int_equal(ledger_end(l, KLUIS_OK, "test.leaves", &err), KLUIS_OK);
    ledger_head(l, &head);
    stands(l, LEAVES, &head, 0);

    /* Of each of these some was done when it failed. */
    assert_int_equal(custody_begin(c, &err), KLUIS_OK);
    for (int i = 0; i < TORN; i++) { append(l, 100 + i); }
    assert_int_equal(ledger_end(l, KLUIS_E_NOMEM, "test.torn", &err), KLUIS_E_NOMEM);
    stands(l, LEAVES, &head, 0);
    assert_int_equal(custody_begin(c, &err), KLUIS_OK);
    assert_int_equal(ledger_begin_anew(l, INT64_C(1700000000000000), &err), KLUIS_OK);
    assert_int_equal(ledger_since(l), 1700000000);
    assert_int_equal(ledger_end(l, KLUIS_E_IO, "test.torn", &err), KLUIS_E_IO);
    stands(l, LEAVES, &head, 0);
    assert_int_equal(custody_begin(c, &err), KLUIS_OK);
    assert_int_equal(ledger_end(l, KLUIS_E_NOMEM, "test.empty", &err), KLUIS_E_NOMEM); /* nothing was appended in it */
    stands(l, LEAVES, &head, 0);

    /* And it goes on from there. */
    assert_int_equal(custody_begin(c, &err), KLUIS_OK);
    assert_int_equal(ledger_begin_anew(l, INT64_C(1700000000000000), &err), KLUIS_OK);
    append(l, LEAVES);
    assert_int_equal(ledger_end(l, KLUIS_OK, "test.anew", &err), KLUIS_OK);
    ledger_head(l, &anew);
    assert_memory_not_equal(anew.b, head.b, sizeof head.b);
    stands(l, LEAVES + 2, &anew, 1700000000);
    assert_int_equal(ledger_check(l, &err), KLUIS_OK);
    ledger_free(l);
    custody_free(c);

    open_both(&c, &l);
    stands(l, LEAVES + 2, &anew, 1700000000);
    ledger_free(l);
    custody_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_transaction_that_is_rolled_back_leaves_the_log_as_it_was) };
    return cmocka_run_group_tests(tests, setup, NULL);
}
