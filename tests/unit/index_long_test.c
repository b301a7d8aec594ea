/* tests/unit/index_long_test.c - more equal records than people write: the index goes on, in reasonable time, and the order still does not matter. */
#include "tests/unit/index_support.h"

enum { MIN = 60000000, MANY = 10000 };

static struct index_row rows[4][MANY];

static struct index_row *lines(int k, size_t n, int64_t from_us, int64_t step_us, const char *id)
{
    for (size_t i = 0; i < n; i++) {
        rows[k][i] = line(i + 1, 0, from_us + (int64_t)i * step_us, "ok");
        if (id != NULL) { rows[k][i].id = kluis_str_of(id); }
    }
    return rows[k];
}

static struct index_stats stats_of(struct index *ix)
{
    struct kluis_err err = { 0 };
    struct index_stats s;
    ok(index_statistics(ix, &s, &err), &err);
    return s;
}

/* What FTS5 finds is what the groups are. */
static uint64_t counted(struct index *ix, const char *official, enum index_count how)
{
    struct index_query q = query("ok");
    struct index_result r = { 0 };
    q.limit = 1;
    q.count = how;
    if (official != NULL) { q.official = kluis_str_of(official); }
    (void)find_q(ix, &q, &r);
    assert_true(r.counted && r.capped == (how == INDEX_COUNT_CAPPED && r.count == INDEX_COUNT_CAP));
    return r.count;
}
static uint64_t found(struct index *ix, const char *official) { return counted(ix, official, INDEX_COUNT_CAPPED); }

/* Processor time of this program. */
static int64_t spent_us(void)
{
    struct timespec t;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* A flood costs about a second; what grows with its square, hours.  Whatever watches every access takes ten times as long. */
#ifdef KLUIS_UNWALLED
enum { FLOOD_SECONDS = 600 };
#else
enum { FLOOD_SECONDS = 60 };
#endif

/* Fifty thousand of two phones in one minute, with and without an id. */
static void a_flood(const char *id)
{
    static const char *const officials[] = { "anna", "bram" };
    struct index *ix = fresh();
    struct index_row *r = lines(0, MANY, 100 * (int64_t)MIN, 0, id);
    int64_t began = spent_us(), last = 0;
    for (uint8_t k = 0; k < 5; k++) {
        int64_t from = spent_us();
        add(ix, pack((uint8_t)(k + 1), officials[k % 2], r, MANY));
        commit(ix);
        last = spent_us() - from;
    }
    print_message("%lld ms, the fifth package %lld ms\n", (long long)((spent_us() - began) / 1000), (long long)(last / 1000));
    assert_true(spent_us() - began < FLOOD_SECONDS * (int64_t)1000000);
    struct index_stats s = stats_of(ix);
    assert_int_equal(s.sightings, 5 * MANY);
    assert_int_equal(s.records, 5 * MANY); /* each stands alone */
    assert_int_equal(s.conflicts, id == NULL ? 0 : 5 * MANY);
    assert_int_equal(index_watermark(ix), 5);
    assert_int_equal(found(ix, NULL), INDEX_COUNT_CAP);
    assert_int_equal(counted(ix, NULL, INDEX_COUNT_EXACT), 5 * MANY);
    struct index_row one[] = { line(1, 1, 500 * (int64_t)MIN, "gewoon verder") };
    add(ix, pack(7, "anna", one, 1));
    add(ix, pack(8, "bram", one, 1));
    commit(ix);
    assert_int_equal(find(ix, "gewoon"), 1);
    assert_int_equal(hits[0].sightings, 2);
    struct index_query q = query("ok");
    q.limit = 20;
    int64_t from = kluis_monotonic_us();
    assert_int_equal(find_q(ix, &q, NULL), 20);
    print_message("a page of it: %lld us\n", (long long)(kluis_monotonic_us() - from));
    struct kluis_err err = { 0 };
    uint8_t gone[32] = { 3 };
    gone[31] = 7;
    from = kluis_monotonic_us();
    ok(index_remove(ix, gone, &err), &err);
    print_message("erasing a fifth: %lld ms\n", (long long)((kluis_monotonic_us() - from) / 1000));
    assert_int_equal(stats_of(ix).sightings, 4 * MANY + 2);
    assert_int_equal(stats_of(ix).records, 4 * MANY + 1);
    index_close(ix);
}

static void fifty_thousand_equal_lines_of_one_minute_are_kept(KLUIS_UNUSED void **state) { a_flood(NULL); }
static void fifty_thousand_sightings_of_one_id_are_kept(KLUIS_UNUSED void **state) { a_flood("x1"); }

/* Two short runs, each of two phones, and what makes one long run of them: in several orders, and without it again. */
static void a_run_that_becomes_long_or_short_is_the_same_in_any_order(KLUIS_UNUSED void **state)
{
    for (int with_id = 0; with_id < 2; with_id++) {
        const char *id = with_id != 0 ? "x1" : NULL;
        const int64_t at[] = { 0, 0, 1000 * (int64_t)MIN, 600 * (int64_t)MIN - 30000000 };
        static const char *const officials[] = { "anna", "bram", "carla", "dirk" };
        uint8_t first[32] = { 0 }, d[32];
        struct kluis_err err = { 0 };
        struct index_package p[4];
        for (uint8_t k = 0; k < 4; k++) {
            p[k] = pack((uint8_t)(200 - 40 * k), officials[k], lines(k, k == 3 ? 800 : 600, at[k], MIN, id), k == 3 ? 800 : 600);
        }
        for (int code = 0; code < 24; code += 5) {
            int left[4] = { 0, 1, 2, 3 }, rest = code;
            struct index *ix = fresh();
            for (int i = 4; i > 0; i--) {
                int pick = rest % i;
                rest /= i;
                add(ix, p[left[pick]]);
                if ((code >> i & 1) != 0) { commit(ix); }
                for (int j = pick; j < i - 1; j++) { left[j] = left[j + 1]; }
            }
            commit(ix);
            assert_int_equal(stats_of(ix).records, 2600);
            assert_int_equal(stats_of(ix).conflicts, with_id != 0 ? 2600 : 0);
            assert_int_equal(found(ix, NULL), 2600);
            assert_int_equal(found(ix, "bram"), 600); /* nobody's words stand under another's group any more */
            ok(index_groups_digest(ix, d, &err), &err);
            if (code == 0) { memcpy(first, d, 32); }
            assert_memory_equal(d, first, 32);
            if (code != 0 && code % 2 == 0) {
                ok(index_remove(ix, p[3].id, &err), &err);
                assert_int_equal(stats_of(ix).records, with_id != 0 ? 1 : 1200); /* one id and one text; or six hundred pairs and the third phone's */
                assert_int_equal(found(ix, NULL), with_id != 0 ? 1 : 1200);
                assert_int_equal(stats_of(ix).conflicts, 0);
            }
            index_close(ix);
        }
    }
}

/* The ceiling itself: docs/PERFORMANCE.md names it. */
static void two_thousand_equal_records_are_told_apart_and_one_more_is_not(KLUIS_UNUSED void **state)
{
    for (size_t more = 0; more < 2; more++) {
        struct index *ix = fresh();
        add(ix, pack(1, "anna", lines(0, 1000, 0, MIN, NULL), 1000));
        add(ix, pack(2, "bram", lines(1, 1000 + more, 0, MIN, NULL), 1000 + more));
        commit(ix);
        assert_int_equal(stats_of(ix).sightings, 2000 + more);
        assert_int_equal(stats_of(ix).records, more == 0 ? 1000 : 2001);
        assert_int_equal(found(ix, NULL), more == 0 ? 1000 : 2001); /* none is lost either way */
        index_close(ix);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fifty_thousand_equal_lines_of_one_minute_are_kept),
        cmocka_unit_test(fifty_thousand_sightings_of_one_id_are_kept),
        cmocka_unit_test(two_thousand_equal_records_are_told_apart_and_one_more_is_not),
        cmocka_unit_test(a_run_that_becomes_long_or_short_is_the_same_in_any_order),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
