/* tests/unit/index_wire_test.c - the opener's message comes back whole, and every damaged one is refused or harmless. */
#include "server/index/index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static int setup(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    return kluis_base_init(&err) == KLUIS_OK ? 0 : -1;
}

static const struct kluis_party PARTIES[] = {
    { .id = { "aci-1", 5 }, .name = { "Anna", 4 } },
    { .number = { "+31612345678", 12 } },
};
static struct index_package sample(struct index_row rows[3])
{
    rows[0] = (struct index_row){
        .ordinal = 1, .kind = KLUIS_MESSAGE, .author = 0, .sent_us = 1700000000000000, .offset_min = 60, .text = KLUIS_STR_LIT("goedemorgen")
    };
    rows[1] = (struct index_row){
        .ordinal = 2, .kind = KLUIS_GAP, .author = KLUIS_NO_PARTY, .sent_us = KLUIS_TIME_ABSENT, .event = KLUIS_STR_LIT("timer")
    };
    rows[2] = (struct index_row){ .ordinal = 7,
                                  .kind = KLUIS_REACTION,
                                  .author = 1,
                                  .sent_us = -5,
                                  .offset_min = -60,
                                  .zone_assumed = 1,
                                  .id = KLUIS_STR_LIT("i"),
                                  .text = KLUIS_STR_LIT(""),
                                  .target = KLUIS_STR_LIT("t"),
                                  .value = KLUIS_STR_LIT("v"),
                                  .quote = KLUIS_STR_LIT("q"),
                                  .attachments = KLUIS_STR_LIT("a.pdf\nb.jpg"),
                                  .loss = KLUIS_STR_LIT("l"),
                                  .options = KLUIS_STR_LIT("ja\nnee") };
    return (struct index_package){ .id = { 9, 8 },
                                   .sequence = 3,
                                   .official = KLUIS_STR_LIT("jansen"),
                                   .device = KLUIS_STR_LIT("d1"),
                                   .platform = KLUIS_STR_LIT("signal"),
                                   .conversation_id = KLUIS_STR_LIT("c"),
                                   .conversation_type = KLUIS_GROUP,
                                   .precision = KLUIS_PRECISION_MILLISECOND,
                                   .provenance = KLUIS_STR_LIT("p"),
                                   .verdict = KLUIS_STR_LIT("valid"),
                                   .received_us = 12,
                                   .parties = PARTIES,
                                   .n_parties = 2,
                                   .self = 1,
                                   .rows = rows,
                                   .n_rows = 3 };
}

static kluis_status read_into(struct kluis_bytes b, struct kluis_arena *arena, struct index_package *out)
{
    struct kluis_err err = { 0 };
    kluis_status rc = index_package_read(b, arena, out, &err);
    assert_int_equal(rc, err.code);
    return rc;
}

static void a_package_comes_back_as_it_went(KLUIS_UNUSED void **state)
{
    struct index_row rows[3];
    struct index_package p = sample(rows), q;
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(b, 1 << 20);
    KLUIS_AUTO_BUF(again, 1 << 20);
    assert_int_equal(index_package_write(&p, &b, &err), KLUIS_OK);
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(1 << 20);
    assert_int_equal(read_into(kluis_buf_bytes(&b), arena, &q), KLUIS_OK);
    assert_int_equal(q.n_rows, 3);
    assert_int_equal(q.n_parties, 2);
    assert_true(q.conversation_name.ptr == NULL);
    assert_true(kluis_str_is(q.parties[1].number, "+31612345678") && q.parties[1].name.ptr == NULL);
    assert_true(kluis_str_is(q.rows[2].attachments, "a.pdf\nb.jpg"));
    assert_true(kluis_str_is(q.rows[2].options, "ja\nnee") && q.rows[1].options.ptr == NULL);
    assert_true(q.rows[2].text.ptr != NULL && q.rows[2].text.len == 0); /* empty is not absent */
    assert_true(q.rows[1].text.ptr == NULL);
    assert_true(q.rows[1].sent_us == KLUIS_TIME_ABSENT && q.rows[2].offset_min == -60);
    assert_int_equal(index_package_write(&q, &again, &err), KLUIS_OK);
    assert_int_equal(again.len, b.len);
    assert_memory_equal(again.data, b.data, b.len);
}

static void every_truncation_and_every_trailing_byte_is_refused(KLUIS_UNUSED void **state)
{
    struct index_row rows[3];
    struct index_package p = sample(rows), q;
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(b, 1 << 20);
    assert_int_equal(index_package_write(&p, &b, &err), KLUIS_OK);
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(1 << 20);
    for (size_t n = 0; n < b.len; n++) {
        kluis_arena_clear(arena);
        assert_int_equal(read_into((struct kluis_bytes){ b.data, n }, arena, &q), KLUIS_E_REJECT);
    }
    kluis_buf_byte(&b, 0);
    assert_int_equal(read_into(kluis_buf_bytes(&b), arena, &q), KLUIS_E_REJECT);
}

static void a_changed_byte_is_refused_or_reads_as_a_valid_package(KLUIS_UNUSED void **state)
{
    struct index_row rows[3];
    struct index_package p = sample(rows), q;
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(b, 1 << 20);
    KLUIS_AUTO_BUF(again, 1 << 20);
    assert_int_equal(index_package_write(&p, &b, &err), KLUIS_OK);
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(1 << 20);
    size_t refused = 0;
    for (size_t i = 0; i < b.len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            b.data[i] ^= (uint8_t)(1U << bit);
            kluis_arena_clear(arena);
            if (read_into(kluis_buf_bytes(&b), arena, &q) == KLUIS_OK) {
                kluis_buf_clear(&again);
                assert_int_equal(index_package_write(&q, &again, &err), KLUIS_OK);
                assert_memory_equal(again.data, b.data, b.len); /* nothing was silently repaired */
            } else {
                refused++;
            }
            b.data[i] ^= (uint8_t)(1U << bit);
        }
    }
    assert_true(refused > 1000);
}

static void values_that_cannot_be_are_refused(KLUIS_UNUSED void **state)
{
    struct index_row rows[3];
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(b, 1 << 20);
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(1 << 20);
    for (int i = 0; i < 14; i++) {
        struct index_package p = sample(rows), q;
        switch (i) {
        case 0: rows[1].ordinal = 1; break; /* does not rise */
        case 1: rows[0].ordinal = 0; break;
        case 2: rows[2].ordinal = INDEX_ORDINAL_MAX + 1; break;
        case 3: rows[0].kind = KLUIS_KINDS; break;
        case 4: rows[0].author = 2; break;
        case 5: rows[0].sent_us = INT64_MAX; break;
        case 6: rows[0].offset_min = 1440; break;
        case 7: rows[0].text = (struct kluis_str){ "\xff", 1 }; break;
        case 8: p.verdict = KLUIS_STR_LIT("invalid"); break;
        case 9: p.self = 2; break;
        case 10: p.platform = (struct kluis_str){ NULL, 0 }; break;
        case 11: p.conversation_id = (struct kluis_str){ NULL, 0 }; break;
        case 12: p.precision = (enum kluis_precision)3; break;
        default: p.conversation_type = (enum kluis_conversation_type)5; break;
        }
        kluis_buf_clear(&b);
        kluis_arena_clear(arena);
        assert_int_equal(index_package_write(&p, &b, &err), KLUIS_OK);
        assert_int_equal(read_into(kluis_buf_bytes(&b), arena, &q), KLUIS_E_REJECT);
    }
}

static void a_count_that_the_bytes_cannot_pay_is_refused_before_memory_is_taken(KLUIS_UNUSED void **state)
{
    struct index_row rows[3];
    struct index_package p = sample(rows), q;
    struct kluis_err err = { 0 };
    p.n_rows = 0;
    p.n_parties = 0;
    p.self = KLUIS_NO_PARTY;
    KLUIS_AUTO_BUF(b, 1 << 20);
    assert_int_equal(index_package_write(&p, &b, &err), KLUIS_OK);
    b.data[b.len - 2] = 0x27; /* 9,984 rows */
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(1 << 20);
    assert_int_equal(read_into(kluis_buf_bytes(&b), arena, &q), KLUIS_E_REJECT);
    assert_true(kluis_arena_used(arena) < 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_package_comes_back_as_it_went),
        cmocka_unit_test(every_truncation_and_every_trailing_byte_is_refused),
        cmocka_unit_test(a_changed_byte_is_refused_or_reads_as_a_valid_package),
        cmocka_unit_test(values_that_cannot_be_are_refused),
        cmocka_unit_test(a_count_that_the_bytes_cannot_pay_is_refused_before_memory_is_taken),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
