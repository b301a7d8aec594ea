/* Promise: a re-export of a chat adds only what is new, whatever the export left out, brought in between or shifted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/journal/journal.h"

enum { MAX = 70000 };

static uint64_t seed = 20260101;
static uint32_t rnd(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((seed >> 33) % n);
}

struct store {
    struct align_entry *e;
    struct align_span spans[128];
    size_t n_spans;
    size_t chunk;
    uint32_t tags[4096];
    size_t n_tags;
};

static kluis_status load(void *ctx, int64_t id, uint32_t n, struct align_entry *out, struct kluis_err *err)
{
    struct store *s = ctx;
    (void)err;
    memcpy(out, s->e + (size_t)id * s->chunk, n * sizeof *out);
    return KLUIS_OK;
}

static void store_of(struct store *s, struct align_entry *e, size_t n, size_t chunk, int precision)
{
    memset(s, 0, sizeof *s);
    s->e = e;
    s->chunk = chunk;
    for (size_t at = 0; at < n; at += chunk) {
        size_t k = n - at < chunk ? n - at : chunk;
        struct align_span *p = &s->spans[s->n_spans];
        *p = (struct align_span){ (int64_t)s->n_spans, INT64_MAX, INT64_MIN, (uint32_t)k, precision };
        for (size_t i = at; i < at + k; i++) {
            if (e[i].t < p->first) { p->first = e[i].t; }
            if (e[i].t > p->last) { p->last = e[i].t; }
        }
        s->n_spans++;
        assert_true(s->n_spans < 128);
    }
    for (size_t i = 0; i < n; i++) {
        bool have = false;
        for (size_t k = 0; k < s->n_tags; k++) { have = have || s->tags[k] == e[i].tag; }
        if (have) { continue; }
        size_t at = s->n_tags++;
        while (at > 0 && s->tags[at - 1] > e[i].tag) {
            s->tags[at] = s->tags[at - 1];
            at--;
        }
        s->tags[at] = e[i].tag;
    }
}

static uint64_t steps; /* of the last run */

/* Runs the two sweeps; gives the number of records that count as new. */
static size_t fresh(struct store *s, const struct align_entry *e, size_t n, int precision, bool may_shift, bool *known)
{
    struct aligner *a = NULL;
    struct kluis_err err = { 0 };
    struct align_store store = { s, s->spans, s->n_spans, load, s->tags, s->n_tags };
    size_t count = 0;
    assert_int_equal(align_new(&a, &store, precision, may_shift, &err), KLUIS_OK);
    for (size_t at = 0; at < n; at += ALIGN_WINDOW) {
        assert_int_equal(align_learn(a, e + at, n - at < ALIGN_WINDOW ? n - at : ALIGN_WINDOW, &err), KLUIS_OK);
    }
    align_learned(a);
    for (size_t at = 0; at < n; at += ALIGN_WINDOW) {
        assert_int_equal(align_match(a, e + at, n - at < ALIGN_WINDOW ? n - at : ALIGN_WINDOW, known + at, &err), KLUIS_OK);
    }
    steps = align_steps(a);
    align_free(a);
    for (size_t i = 0; i < n; i++) { count += known[i] ? 0 : 1; }
    return count;
}

/* A chat: bursts, few authors, a fifth of it short answers that come back all the time. */
static size_t chat(struct align_entry *e, size_t n, int precision)
{
    int64_t t = 1700000000;
    for (size_t i = 0; i < n; i++) {
        t += rnd(10) == 0 ? rnd(40000) : rnd(50);
        e[i] = (struct align_entry){ .t = precision == KLUIS_PRECISION_MINUTE ? t - t % 60 : t,
                                     .tag = 100 + rnd(4),
                                     .fp = rnd(5) == 0 ? 7 + rnd(6) : 1000 + i };
    }
    return n;
}

static struct align_entry old[MAX], new[MAX];
static bool known[MAX];

static void a_second_reading_of_the_same_export_adds_nothing(void **state)
{
    (void)state;
    struct store s;
    static const int precisions[] = { KLUIS_PRECISION_MINUTE, KLUIS_PRECISION_SECOND };
    for (size_t k = 0; k < 2; k++) {
        size_t n = chat(old, 12000, precisions[k]);
        store_of(&s, old, n, 1000, precisions[k]);
        assert_int_equal(fresh(&s, old, n, precisions[k], true, known), 0);
    }
    store_of(&s, old, 0, 1000, KLUIS_PRECISION_MINUTE); /* the control: nothing stored, everything is new */
    assert_int_equal(fresh(&s, old, 12000, KLUIS_PRECISION_MINUTE, true, known), 12000);
}

static void overlapping_exports_with_a_missing_head_missing_lines_and_a_new_tail_add_the_tail(void **state)
{
    (void)state;
    struct store s;
    for (int round = 0; round < 20; round++) {
        size_t all = chat(old, 6000, KLUIS_PRECISION_MINUTE), cut = 4000 + rnd(1500), head = rnd(3000), n = 0;
        size_t expected = all - cut;
        store_of(&s, old, cut, 200 + rnd(800), KLUIS_PRECISION_MINUTE);
        for (size_t i = head; i < all; i++) {
            if (i < cut && rnd(50) == 0) { continue; }
            new[n++] = old[i];
        }
        size_t got = fresh(&s, new, n, KLUIS_PRECISION_MINUTE, true, known);
        /* A tail line may stand for an equal line that the new export misses in the same minute: only around the cut. */
        assert_true(got <= expected && got + 2 >= expected);
        for (size_t i = 0; i + (all - cut) + 100 < n; i++) { assert_true(known[i]); }
    }
}

static void lines_brought_in_between_are_new_and_only_they(void **state)
{
    (void)state;
    struct store s;
    size_t n = chat(old, 5000, KLUIS_PRECISION_MINUTE), m = 0, inserted = 0;
    static bool is_new[MAX];
    for (size_t i = 0; i < n; i++) {
        if (rnd(20) == 0) {
            new[m] = old[i];
            new[m].fp = 900000 + i;
            is_new[m++] = true;
            inserted++;
        }
        is_new[m] = false;
        new[m++] = old[i];
    }
    store_of(&s, old, n, 700, KLUIS_PRECISION_MINUTE);
    assert_true(inserted > 100);
    assert_int_equal(fresh(&s, new, m, KLUIS_PRECISION_MINUTE, true, known), inserted);
    for (size_t i = 0; i < m; i++) { assert_int_equal(known[i], !is_new[i]); }
}

static void equal_lines_of_one_minute_count_by_ordinal(void **state)
{
    (void)state;
    struct store s;
    for (size_t i = 0; i < 5; i++) { new[i] = (struct align_entry){ .t = 1700000040, .fp = 7, .tag = 1 }; }
    memcpy(old, new, sizeof *old * 3);
    store_of(&s, old, 3, 1000, KLUIS_PRECISION_MINUTE);
    assert_int_equal(fresh(&s, new, 5, KLUIS_PRECISION_MINUTE, true, known), 2);
    assert_int_equal(fresh(&s, new, 2, KLUIS_PRECISION_MINUTE, true, known), 0);
    new[1].tag = 2;  /* another author says the same */
    new[2].t += 120; /* the same author says it two minutes later */
    assert_int_equal(fresh(&s, new, 3, KLUIS_PRECISION_MINUTE, true, known), 2);
    assert_true(known[0] && !known[1] && !known[2]);
}

static void times_that_differ_by_a_second_still_align(void **state)
{
    (void)state;
    struct store s;
    for (int delta = -1; delta <= 1; delta++) {
        size_t n = chat(old, 8000, KLUIS_PRECISION_SECOND);
        for (size_t i = 0; i < n; i++) {
            new[i] = old[i];
            new[i].t += delta == 0 ? (int64_t)rnd(3) - 1 : delta;
        }
        store_of(&s, old, n, 999, KLUIS_PRECISION_SECOND);
        size_t got = fresh(&s, new, n, KLUIS_PRECISION_SECOND, false, known);
        if (delta == 0) {
            assert_true(got <= 8);
        } else {
            assert_int_equal(got, 0);
        } /* jitter may cross two equal lines of a second */
    }
    /* Two seconds are another time. */
    for (size_t i = 0; i < 100; i++) {
        old[i] = (struct align_entry){ .t = 1700000000 + (int64_t)i * 600, .fp = 5000 + i, .tag = 1 };
        new[i] = old[i];
        new[i].t += 2;
    }
    store_of(&s, old, 100, 1000, KLUIS_PRECISION_SECOND);
    assert_int_equal(fresh(&s, new, 100, KLUIS_PRECISION_SECOND, false, known), 100);
}

static void an_export_to_the_minute_aligns_with_one_to_the_second(void **state)
{
    (void)state;
    struct store s;
    size_t n = chat(old, 3000, KLUIS_PRECISION_SECOND);
    for (size_t i = 0; i < n; i++) {
        old[i].fp = 1000 + i; /* unique: precision is what is tested */
        new[i] = old[i];
        new[i].t -= new[i].t % 60;
    }
    store_of(&s, old, n, 512, KLUIS_PRECISION_SECOND);
    assert_int_equal(fresh(&s, new, n, KLUIS_PRECISION_MINUTE, true, known), 0);
}

static void an_export_made_in_another_zone_aligns_where_the_zone_is_assumed(void **state)
{
    (void)state;
    struct store s;
    size_t n = chat(old, 9000, KLUIS_PRECISION_MINUTE), m = 0;
    for (size_t i = 500; i < n; i++) {
        new[m] = old[i];
        new[m++].t += -6 * 3600 + (i > 6000 ? 3600 : 0); /* the two zones change to summer time on different days */
    }
    for (size_t i = 0; i < 50; i++, m++) { new[m] = (struct align_entry){ .t = old[n - 1].t + 60 * (int64_t)(i + 1), .fp = 800000 + i, .tag = 101 }; }
    store_of(&s, old, n, 1000, KLUIS_PRECISION_MINUTE);
    size_t got = fresh(&s, new, m, KLUIS_PRECISION_MINUTE, true, known);
    assert_true(got >= 50 && got <= 60);
    for (size_t i = m - 50; i < m; i++) { assert_false(known[i]); }
    assert_int_equal(fresh(&s, new, m, KLUIS_PRECISION_MINUTE, false, known) > 7000, 1); /* the control: a stated zone is not guessed at */
}

static void everyday_answers_at_quarter_hours_are_not_mistaken_for_another_zone(void **state)
{
    (void)state;
    struct store s;
    for (size_t i = 0; i < 200; i++) {
        old[i] = (struct align_entry){ .t = 1700000000 - 1700000000 % 900 + (int64_t)i * 900, .fp = 1 + rnd(3), .tag = 1 };
        new[i] = old[i];
        new[i].t += 86400 * 30;
    }
    store_of(&s, old, 200, 1000, KLUIS_PRECISION_MINUTE);
    assert_int_equal(fresh(&s, new, 200, KLUIS_PRECISION_MINUTE, true, known), 200);
}

static void a_contact_renamed_between_two_exports_is_the_same_author(void **state)
{
    (void)state;
    struct store s;
    size_t n = chat(old, 4000, KLUIS_PRECISION_MINUTE);
    memcpy(new, old, sizeof *old * n);
    for (size_t i = 0; i < n; i++) {
        if (new[i].tag == 102) { new[i].tag = 777; }
    }
    store_of(&s, old, n, 1000, KLUIS_PRECISION_MINUTE);
    assert_int_equal(fresh(&s, new, n, KLUIS_PRECISION_MINUTE, true, known), 0);
    for (size_t i = 0; i < 30; i++) { new[n + i] = (struct align_entry){ .t = old[i].t, .fp = 600000 + i, .tag = 888 }; } /* somebody really new */
    assert_int_equal(fresh(&s, new, n + 30, KLUIS_PRECISION_MINUTE, true, known), 30);
}

static void a_record_with_more_attachments_than_before_is_taken_again(void **state)
{
    (void)state;
    struct store s;
    for (size_t i = 0; i < 10; i++) { old[i] = (struct align_entry){ .t = 1700000000 + (int64_t)i, .fp = 40 + i, .tag = 1, .has_id = 1 }; }
    memcpy(new, old, sizeof *old * 10);
    new[3].level = 1;
    new[4].tag = 2; /* edited: same id, other content */
    store_of(&s, old, 10, 1000, KLUIS_PRECISION_MILLISECOND);
    assert_int_equal(fresh(&s, new, 10, KLUIS_PRECISION_MILLISECOND, false, known), 2);
    assert_true(!known[3] && !known[4]);
    assert_int_equal(fresh(&s, old, 10, KLUIS_PRECISION_MILLISECOND, false, known), 0);
}

static void very_many_equal_lines_stay_within_bounded_memory_and_add_nothing(void **state)
{
    (void)state;
    struct store s;
    for (size_t i = 0; i < MAX; i++) { old[i] = (struct align_entry){ .t = 1700000040 + (int64_t)(i / 2000) * 60, .fp = 1, .tag = 1 }; }
    store_of(&s, old, MAX, 5000, KLUIS_PRECISION_MINUTE);
    assert_int_equal(fresh(&s, old, MAX, KLUIS_PRECISION_MINUTE, true, known), 0);
}

/* Steps, not time: eight times as many lines must not cost each line more than a sorted look-up grows.  Equal lines of one minute, of one
 * author at ever other minutes, and attachments without a text, whose names alone differ. */
static void work_for_a_line_does_not_grow_with_the_lines_that_are_equal(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        uint64_t each[2];
        for (size_t k = 0; k < 2; k++) {
            const size_t n = k == 0 ? 8192 : 65536;
            struct store s;
            for (size_t i = 0; i < n; i++) {
                old[i] = (struct align_entry){ .t = 1700000040, .fp = 0x9e3779b97f4a7c15u, .tag = 1 };
                if (kind == 1) { old[i].t += (int64_t)i * 60; }
                if (kind == 2) {
                    old[i].hint = (uint16_t)(i * 7919);
                    old[i].level = 1;
                    old[i].t += (int64_t)(i / 1000) * 60;
                }
                if (kind == 3) { old[i].tag = 1 + (uint32_t)i % 3000; }
            }
            store_of(&s, old, n, 10000, KLUIS_PRECISION_MINUTE);
            assert_int_equal(fresh(&s, old, n, KLUIS_PRECISION_MINUTE, true, known), 0);
            each[k] = steps / n;
        }
        print_message("kind %d: %llu and %llu steps a line\n", kind, (unsigned long long)each[0], (unsigned long long)each[1]);
        assert_true(each[0] >= 2 && each[0] < 400); /* the counter counts */
        assert_true(each[1] < 3 * each[0]);
    }
}

/* What align.h promises, looked up the long way: in order of time each takes the earliest it may have, an equal hint first. */
static size_t the_long_way(const struct align_entry *o, size_t n_old, int old_precision, const struct align_entry *e, size_t n, int precision)
{
    static bool taken[MAX], done[MAX];
    size_t left = n;
    int64_t slack = old_precision == precision ? 1 : 60;
    memset(taken, 0, n_old);
    memset(done, 0, n);
    for (size_t round = 0; round < n; round++) {
        size_t x = SIZE_MAX, best = SIZE_MAX;
        for (size_t i = 0; i < n; i++) {
            if (!done[i] && (x == SIZE_MAX || e[i].t < e[x].t)) { x = i; }
        }
        done[x] = true;
        for (size_t i = 0; i < n_old; i++) {
            int64_t d = e[x].t - o[i].t;
            if (taken[i] || o[i].fp != e[x].fp || o[i].tag != e[x].tag || o[i].level < e[x].level || d > slack || d < -slack) { continue; }
            bool better = best == SIZE_MAX || o[i].t < o[best].t;
            if (best != SIZE_MAX && e[x].level > 0 && (o[i].hint == e[x].hint) != (o[best].hint == e[x].hint)) { better = o[i].hint == e[x].hint; }
            if (better) { best = i; }
        }
        if (best == SIZE_MAX) { continue; }
        taken[best] = true;
        left--;
    }
    return left;
}

static void sorted_look_ups_find_what_looking_at_everything_finds(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct store s;
        size_t n_old = 1 + rnd(200), n = 1 + rnd(200);
        int was = rnd(2) == 0 ? KLUIS_PRECISION_MINUTE : KLUIS_PRECISION_SECOND, is = rnd(2) == 0 ? KLUIS_PRECISION_MINUTE : KLUIS_PRECISION_SECOND;
        for (size_t i = 0; i < n_old + n; i++) {
            struct align_entry *x = i < n_old ? &old[i] : &new[i - n_old];
            int64_t t = 1700000040 + (int64_t)rnd(600);
            bool minutes = (i < n_old ? was : is) == KLUIS_PRECISION_MINUTE;
            *x = (struct align_entry){
                .t = minutes ? t - t % 60 : t, .fp = 1 + rnd(3), .tag = 1 + rnd(2), .level = (uint8_t)(rnd(4) == 0 ? rnd(3) : 0)
            };
            if (x->level > 0) { x->hint = (uint16_t)rnd(4); }
        }
        store_of(&s, old, n_old, 1 + rnd(100), was);
        s.n_tags = 2; /* both known: nothing to learn */
        s.tags[0] = 1;
        s.tags[1] = 2;
        assert_int_equal(fresh(&s, new, n, is, false, known), the_long_way(old, n_old, was, new, n, is));
    }
}

static void an_entry_survives_its_form_on_disk(void **state)
{
    (void)state;
    uint8_t wire[ALIGN_ENTRY_WIRE];
    struct align_entry a = { .t = -5, .fp = 0xfedcba9876543210u, .tag = 0xdeadbeef, .hint = 0xabcd, .level = 9, .has_id = 1 }, b;
    align_put(wire, &a);
    align_get(wire, &b);
    assert_true(a.t == b.t && a.fp == b.fp && a.tag == b.tag && a.hint == b.hint && a.level == b.level && a.has_id == b.has_id);
}

/* Vectors of the reference implementation's paper, appendix A, and of its table for the empty input. */
static void siphash_agrees_with_its_paper(void **state)
{
    (void)state;
    uint8_t key[16], in[15];
    for (uint8_t i = 0; i < 16; i++) { key[i] = i; }
    for (uint8_t i = 0; i < 15; i++) { in[i] = i; }
    assert_true(journal_siphash(key, in, 15) == 0xa129ca6149be45e5u);
    assert_true(journal_siphash(key, in, 0) == 0x726fdb47dd0e0e31u);
}

int main(void)
{
    struct kluis_err err = { 0 };
    if (kluis_base_init(&err) != KLUIS_OK) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_reading_of_the_same_export_adds_nothing),
        cmocka_unit_test(overlapping_exports_with_a_missing_head_missing_lines_and_a_new_tail_add_the_tail),
        cmocka_unit_test(lines_brought_in_between_are_new_and_only_they),
        cmocka_unit_test(equal_lines_of_one_minute_count_by_ordinal),
        cmocka_unit_test(times_that_differ_by_a_second_still_align),
        cmocka_unit_test(an_export_to_the_minute_aligns_with_one_to_the_second),
        cmocka_unit_test(an_export_made_in_another_zone_aligns_where_the_zone_is_assumed),
        cmocka_unit_test(everyday_answers_at_quarter_hours_are_not_mistaken_for_another_zone),
        cmocka_unit_test(a_contact_renamed_between_two_exports_is_the_same_author),
        cmocka_unit_test(a_record_with_more_attachments_than_before_is_taken_again),
        cmocka_unit_test(very_many_equal_lines_stay_within_bounded_memory_and_add_nothing),
        cmocka_unit_test(work_for_a_line_does_not_grow_with_the_lines_that_are_equal),
        cmocka_unit_test(sorted_look_ups_find_what_looking_at_everything_finds),
        cmocka_unit_test(an_entry_survives_its_form_on_disk),
        cmocka_unit_test(siphash_agrees_with_its_paper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
