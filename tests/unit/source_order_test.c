/* Promise: items come back by conversation, then time, then the later place first, in memory and beyond it alike, as often as one goes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/source/order.h"

static uint32_t next(uint32_t *seed) { return *seed = *seed * 1664525u + 1013904223u; }

static int before(const struct order_item *a, const struct order_item *b)
{
    if (a->conversation != b->conversation) { return a->conversation < b->conversation; }
    if (a->when != b->when) { return a->when < b->when; }
    if (a->file != b->file) { return a->file > b->file; }
    return a->at > b->at;
}

static void given(size_t n, uint32_t conversations, uint32_t times)
{
    struct kluis_err err = { 0 };
    struct order *o = NULL;
    struct order_item it, last = { 0 };
    uint32_t seed = 7;
    uint64_t sum = 0, seen = 0, again = 0;
    assert_int_equal(order_new(&o, &err), KLUIS_OK);
    for (size_t i = 0; i < n; i++) {
        uint32_t r = next(&seed) >> 8;
        it = (struct order_item){ .conversation = r % conversations, .when = (int64_t)(r / 7 % times) - 3, .file = r % 3, .at = i, .len = r };
        sum += i * it.len;
        if (order_add(o, &it, &err) != KLUIS_OK) { fail_msg("%s", err.msg); }
    }
    if (order_done(o, &err) != KLUIS_OK) { fail_msg("%s", err.msg); }
    for (size_t i = 0; i < n; i++) {
        if (i == n / 2) { order_mark(o); }
        assert_int_equal(order_next(o, &it, &err), KLUIS_OK);
        if (i > 0 && !before(&last, &it)) { fail_msg("item %zu is out of order", i); }
        last = it;
        seen += it.at * it.len;
        if (i >= n / 2) { again += it.at; }
    }
    assert_int_equal(order_next(o, &it, &err), KLUIS_END);
    assert_true(seen == sum);
    order_back(o);
    for (size_t i = n / 2; i < n; i++) {
        assert_int_equal(order_next(o, &it, &err), KLUIS_OK);
        again -= it.at;
    }
    assert_int_equal(order_next(o, &it, &err), KLUIS_END);
    assert_true(again == 0);
    order_clear(o);
    assert_int_equal(order_done(o, &err), KLUIS_OK);
    assert_int_equal(order_next(o, &it, &err), KLUIS_END);
    order_free(o);
}

static void in_memory(void **state)
{
    (void)state;
    given(1, 1, 1);
    given(5000, 3, 40);
    given(5000, 5000, 1000000);
}

static void beyond_it(void **state)
{
    (void)state;
    given(ORDER_RUN + 1, 4, 100000);
    given((size_t)ORDER_RUN * 2 + 17, 1000, 1000000);
}

int main(void)
{
    struct kluis_err err = { 0 };
    if (kluis_base_init(&err) != KLUIS_OK) { return 1; }
    const struct CMUnitTest tests[] = { cmocka_unit_test(in_memory), cmocka_unit_test(beyond_it) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
