/* tests/unit/index_group_test.c - which records are one message: whatever the order they came in, and after any rebuild. */
#include "tests/unit/index_support.h"

enum { MIN = 60000000 };

/* Five packages of four phones that overlap: with ids, without, in two exports of one group, minutes and milliseconds, repeated lines, a conflict. */
static struct index_row rows[5][40];
static struct index_package packs[5];
static void overlapping(void)
{
    static const char *const officials[] = { "anna", "bram", "carla", "anna", "dirk" };
    for (uint8_t k = 0; k < 5; k++) {
        size_t n = 0;
        for (uint64_t i = 0; i < 8; i++) { /* ids; package 2 says something else once, package 4 has other clocks */
            static char ids[8][8];
            (void)snprintf(ids[i], sizeof ids[i], "id-%u", (unsigned)i);
            if (k == 3 && i > 4) { continue; }
            rows[k][n] =
                line(n + 1, (uint32_t)(i % 3), (int64_t)(i + 1) * MIN + (k == 4 ? 2500000 : 0), k == 2 && i == 3 ? "iets anders" : "met een id");
            rows[k][n].id = kluis_str_of(ids[i]);
            n++;
        }
        for (uint64_t i = 0; i < 12; i++) { /* none: equal lines a few seconds apart, seen with different clocks */
            rows[k][n] = line(n + 1, 0, 100 * (int64_t)MIN + (int64_t)i * 20000000 + k * 400000, i % 3 == 0 ? "ok" : "ok  dan");
            n++;
        }
        packs[k] = pack((uint8_t)(k + 1), officials[k], rows[k], n);
        if (k == 1) { packs[k].precision = KLUIS_PRECISION_MINUTE; }
        if (k == 3) { packs[k].id[0] = 200; }
    }
}

static void digest_of(struct index *ix, uint8_t out[32])
{
    struct kluis_err err = { 0 };
    ok(index_groups_digest(ix, out, &err), &err);
}

static void all_moved(struct index *ix)
{
    struct kluis_err err = { 0 };
    bool more = true;
    while (more) { ok(index_maintain(ix, &more, &err), &err); }
}

static void every_order_of_arrival_gives_the_same_groups(KLUIS_UNUSED void **state)
{
    overlapping();
    uint8_t first[32] = { 0 };
    struct index_stats want = { 0 };
    int order[5] = { 0, 1, 2, 3, 4 }, tried = 0;
    for (int code = 0; code < 120; code++) {
        int left[5] = { 0, 1, 2, 3, 4 }, rest = code;
        for (int i = 5; i > 0; i--) {
            int pick = rest % i;
            rest /= i;
            order[5 - i] = left[pick];
            for (int j = pick; j < i - 1; j++) { left[j] = left[j + 1]; }
        }
        struct index *ix = fresh();
        struct kluis_err err = { 0 };
        struct index_stats stats;
        for (int i = 0; i < 5; i++) {
            add(ix, packs[order[i]]);
            if ((code >> i & 1) != 0) { commit(ix); } /* some in one commit, some in several */
        }
        commit(ix);
        uint8_t d[32];
        digest_of(ix, d);
        ok(index_statistics(ix, &stats, &err), &err);
        size_t found = find(ix, "ok");
        if (code == 0) {
            memcpy(first, d, 32);
            want = stats;
            assert_int_equal(stats.packages, 5);
            assert_int_equal(stats.sightings, packs[0].n_rows + packs[1].n_rows + packs[2].n_rows + packs[3].n_rows + packs[4].n_rows);
            assert_true(stats.conflicts == 2 && stats.records < stats.sightings / 2);
        }
        assert_memory_equal(d, first, 32);
        assert_int_equal(stats.records, want.records);
        assert_int_equal(stats.conflicts, want.conflicts);
        assert_int_equal(found, want.records - 9); /* what FTS5 has is the groups: all but the eight ids and the conflict */
        index_close(ix);
        tried++;
    }
    assert_int_equal(tried, 120);
}

static void the_same_message_of_two_phones_is_one_hit_with_two_sightings(KLUIS_UNUSED void **state)
{
    struct index *ix = fresh();
    struct index_row a[] = { line(1, 0, 10 * MIN, "ja"), line(2, 0, 10 * MIN + 1, "ja"), line(3, 1, 11 * MIN, "het  besluit") };
    struct index_row b[] = { line(1, 0, 10 * MIN + 500000, "ja"), line(2, 1, 11 * MIN + 900000, " het besluit\xe2\x80\x8e"),
                             line(3, 1, 12 * MIN, "het besluit") };
    add(ix, pack(1, "anna", a, 3));
    add(ix, pack(2, "bram", b, 3));
    commit(ix);
    assert_int_equal(find(ix, "besluit"), 2);
    assert_int_equal(hits[0].sightings, 1);
    assert_int_equal(hits[1].sightings, 2);
    assert_int_equal(find(ix, "ja"), 2); /* the two of one phone stay two; the other phone's joins the first */
    assert_int_equal(hits[0].sightings, 1);
    assert_int_equal(hits[1].sightings, 2);
    struct index_query q = query("ja");
    q.official = KLUIS_STR_LIT("bram");
    assert_int_equal(find_q(ix, &q, NULL), 1); /* found by either official */
    q.official = KLUIS_STR_LIT("anna");
    assert_int_equal(find_q(ix, &q, NULL), 2);
    q.official = KLUIS_STR_LIT("nobody");
    assert_int_equal(find_q(ix, &q, NULL), 0);
    index_close(ix);
}

static size_t found_by(struct index *ix, const char *words, const char *official)
{
    struct index_query q = query(words);
    q.official = kluis_str_of(official);
    return find_q(ix, &q, NULL);
}

/* A sighting that comes later only adds its tokens to what FTS5 has of the message; one that goes takes them along. */
static void a_group_is_found_by_whoever_has_it_while_it_grows_and_shrinks(KLUIS_UNUSED void **state)
{
    static const char *const who[] = { "anna", "bram", "carla" };
    static const char CHECK[] = "INSERT INTO fts(fts) VALUES('integrity-check')";
    struct index_row said[] = { line(1, 0, 10 * MIN, "het besluit"), line(2, 1, 20 * MIN, "de nota"), line(3, 2, 30 * MIN, "en het besluit") };
    struct kluis_err err = { 0 };
    struct index *ix = fresh();
    struct index_package p[3];
    for (size_t k = 0; k < 3; k++) {
        p[k] = pack((uint8_t)(k + 1), who[k], said, 3);
        add(ix, p[k]);
        commit(ix);
        for (size_t i = 0; i < 3; i++) { assert_int_equal(found_by(ix, "besluit", who[i]), i <= k ? 2 : 0); }
        assert_int_equal(find(ix, "\"het besluit\""), 2);
        assert_int_equal(hits[0].sightings, k + 1);
        assert_int_equal(hits[0].marks, 1); /* the phrase is there once, however often the record was entered */
        ok(kluis_db_exec(ix->w.hot, CHECK, &err), &err);
    }
    for (size_t k = 0; k < 3; k++) { /* who goes first is whom the others joined */
        ok(index_remove(ix, p[k].id, &err), &err);
        for (size_t i = 0; i < 3; i++) { assert_int_equal(found_by(ix, "besluit", who[i]), i > k ? 2 : 0); }
        assert_int_equal(find(ix, "besluit"), k < 2 ? 2 : 0);
        ok(kluis_db_exec(ix->w.hot, CHECK, &err), &err);
    }
    index_close(ix);
}

static void the_same_id_with_other_content_is_a_conflict_and_both_are_shown(KLUIS_UNUSED void **state)
{
    struct index *ix = fresh();
    struct index_row a[] = { line(1, 0, 10 * MIN, "akkoord") }, b[] = { line(1, 0, 10 * MIN, "niet akkoord") },
                     c[] = { line(5, 0, 10 * MIN, "akkoord") };
    a[0].id = b[0].id = c[0].id = KLUIS_STR_LIT("x1");
    add(ix, pack(1, "anna", a, 1));
    commit(ix);
    assert_int_equal(find(ix, "akkoord"), 1);
    assert_false(hits[0].conflict);
    add(ix, pack(2, "bram", b, 1));
    add(ix, pack(3, "carla", c, 1));
    commit(ix);
    assert_int_equal(find(ix, "akkoord"), 2);
    for (int i = 0; i < 2; i++) {
        assert_true(hits[i].conflict);
        assert_string_equal(hits[i].id, "x1");
        assert_int_equal(hits[i].sightings, 3);
        assert_int_equal(hits[i].differing, hits[i].package == 2 ? 2 : 1);
    }
    index_close(ix);
}

static void direct_chats_meet_only_where_both_ends_are_known(KLUIS_UNUSED void **state)
{
    struct index *ix = fresh();
    struct index_row r[] = { line(1, 0, 10 * MIN, "onder ons") };
    static const struct kluis_party names[] = { { .name = { "Anna", 4 } }, { .name = { "Bram", 4 } } };
    static const struct kluis_party turned[] = { { .id = { "aci-bram", 8 } }, { .id = { "aci-anna", 8 } } };
    struct index_package p = pack(1, "anna", r, 1), q = pack(2, "bram", r, 1);
    p.conversation_type = q.conversation_type = KLUIS_DIRECT;
    p.parties = q.parties = names;
    p.n_parties = q.n_parties = 2;
    p.self = 0;
    q.self = 1;
    add(ix, p);
    add(ix, q);
    commit(ix);
    assert_int_equal(find(ix, "onder"), 2); /* names are no link */
    struct index_row s[] = { line(1, 1, 20 * MIN, "met id") };
    p = pack(3, "anna", r, 1);
    q = pack(4, "bram", s, 1);
    r[0].text = s[0].text;
    r[0].sent_us = 20 * MIN;
    p.conversation_type = q.conversation_type = KLUIS_DIRECT;
    p.parties = PEOPLE;
    q.parties = turned;
    p.n_parties = q.n_parties = 2;
    p.self = 0;
    q.self = 0;
    p.conversation_id = KLUIS_STR_LIT("aci-bram");
    q.conversation_id = KLUIS_STR_LIT("aci-anna");
    add(ix, p);
    add(ix, q);
    commit(ix);
    assert_int_equal(find(ix, "met"), 1);
    assert_int_equal(hits[0].sightings, 2);
    struct index_query by = query("");
    by.conversation = KLUIS_STR_LIT("aci-anna");
    assert_int_equal(find_q(ix, &by, NULL), 1);
    index_close(ix);
}

static void gaps_are_each_officials_own(KLUIS_UNUSED void **state)
{
    struct index *ix = fresh();
    struct index_row r[] = { { .ordinal = 1, .kind = KLUIS_GAP, .author = KLUIS_NO_PARTY, .sent_us = MIN, .event = KLUIS_STR_LIT("timer") } };
    add(ix, pack(1, "anna", r, 1));
    add(ix, pack(2, "bram", r, 1));
    commit(ix);
    assert_int_equal(find(ix, ""), 2);
    index_close(ix);
}

/* A text export of the group and databases of it, from the same phone and others. */
static struct index_row text_rows[6], id_rows[6], other_rows[6], again_rows[6];
static const struct kluis_party NAMES[] = { { .name = { "Carla", 5 } }, { .name = { "Anna", 4 } }, { .name = { "Bram", 4 } } };
static struct index_package mixed[4];
static void text_and_databases(void)
{
    static const char *const words[] = { "goedemorgen", "ok", "ok", "ok", "de nota ligt er", "tot morgen" };
    static const uint32_t by[] = { 0, 1, 1, 2, 0, 1 };           /* in PEOPLE */
    static const int64_t at[] = { 10, 200, 215, 230, 300, 400 }; /* seconds */
    static char ids[6][8];
    for (uint64_t i = 0; i < 6; i++) {
        (void)snprintf(ids[i], sizeof ids[i], "m-%u", (unsigned)i);
        int64_t us = (at[i] + 6000) * 1000000;
        id_rows[i] = line(i + 1, by[i], us + 123000, words[i]);
        id_rows[i].id = kluis_str_of(ids[i]);
        other_rows[i] = id_rows[i];
        other_rows[i].sent_us += 90000000; /* another phone's clock is a minute and a half late: no matter, they have ids */
        text_rows[i] = line(i + 1, (by[i] + 1) % 3, us / MIN * MIN, i == 4 ? "de nota  ligt er\xe2\x80\x8e" : words[i]);
        again_rows[i] = text_rows[i];
    }
    other_rows[4].text = KLUIS_STR_LIT("de nota ligt er niet"); /* a conflict */
    mixed[0] = pack(1, "anna", text_rows, 6);
    mixed[1] = pack(2, "anna", id_rows, 6);
    mixed[2] = pack(3, "bram", other_rows, 6);
    mixed[3] = pack(4, "dirk", again_rows, 5);
    mixed[0].parties = mixed[3].parties = NAMES;
    mixed[0].precision = mixed[3].precision = KLUIS_PRECISION_MINUTE;
    mixed[0].conversation_id = mixed[3].conversation_id = KLUIS_STR_LIT("Overleg");
}

static void check_mixed(struct index *ix)
{
    struct kluis_err err = { 0 };
    struct index_stats stats;
    ok(index_statistics(ix, &stats, &err), &err);
    assert_int_equal(stats.sightings, 23);
    assert_int_equal(stats.records, 7); /* six, and the conflict's other side */
    assert_int_equal(stats.conflicts, 2);
    assert_int_equal(find(ix, "goedemorgen"), 1);
    assert_int_equal(hits[0].sightings, 4);
    assert_string_equal(hits[0].id, "m-0");
    assert_int_equal(find(ix, "ok"), 3);
    for (int i = 0; i < 3; i++) { assert_int_equal(hits[i].sightings, 4); }
    assert_int_equal(find(ix, "tot"), 1);
    assert_int_equal(hits[0].sightings, 3);
    assert_int_equal(find(ix, "nota"), 2);
    struct index_query q = query("morgen");
    q.conversation = KLUIS_STR_LIT("Overleg"); /* found by the export's conversation too */
    assert_int_equal(find_q(ix, &q, NULL), 1);
    q.official = KLUIS_STR_LIT("bram");
    assert_int_equal(find_q(ix, &q, NULL), 1);
}

static void a_text_export_and_databases_of_one_chat_are_one_in_any_order(KLUIS_UNUSED void **state)
{
    text_and_databases();
    uint8_t first[32] = { 0 }, d[32];
    size_t periods = 0;
    for (int code = 0; code < 24 * 6; code++) {
        int left[4] = { 0, 1, 2, 3 }, rest = code / 6, order[4], how = code % 6;
        for (int i = 4; i > 0; i--) {
            int pick = rest % i;
            rest /= i;
            order[4 - i] = left[pick];
            for (int j = pick; j < i - 1; j++) { left[j] = left[j + 1]; }
        }
        struct index *ix = fresh();
        struct kluis_err err = { 0 };
        bool more = false;
        index_tune(ix, 1, 4);
        for (int i = 0; i < 4; i++) {
            add(ix, mixed[order[i]]);
            if (how % 2 != 0) { commit(ix); }
            if (how / 2 == 1) { all_moved(ix); }                             /* each meets what is in closed periods */
            if (how / 2 == 2) { ok(index_maintain(ix, &more, &err), &err); } /* or on its way there */
        }
        commit(ix);
        periods += ix->w.catalog.n;
        check_mixed(ix);
        digest_of(ix, d);
        if (code == 0) { memcpy(first, d, 32); }
        assert_memory_equal(d, first, 32);
        /* Erased, in the other order: what is left is as if it had never been. */
        struct index_stats stats;
        ok(index_remove(ix, mixed[order[3]].id, &err), &err);
        ok(index_remove(ix, mixed[order[1]].id, &err), &err);
        digest_of(ix, d);
        ok(index_statistics(ix, &stats, &err), &err);
        size_t found = find(ix, "");
        assert_int_equal(found, stats.records);
        index_close(ix);
        ix = fresh();
        uint8_t anew[32];
        add(ix, mixed[order[2]]);
        add(ix, mixed[order[0]]);
        commit(ix);
        digest_of(ix, anew);
        assert_memory_equal(d, anew, 32);
        assert_int_equal(find(ix, ""), found);
        index_close(ix);
    }
    assert_true(periods > 24);
}

static void who_only_shares_a_name_or_says_something_else_is_not_joined(KLUIS_UNUSED void **state)
{
    struct index *ix = fresh();
    struct index_row text[] = { line(1, 1, 100 * (int64_t)MIN, "ja"), line(2, 1, 200 * (int64_t)MIN, "nee"),
                                line(3, 0, 300 * (int64_t)MIN, "misschien") };
    struct index_row ids[] = { line(1, 1, 100 * (int64_t)MIN + 5000000, "ja"), line(2, 0, 204 * (int64_t)MIN, "nee"),
                               line(3, 0, 300 * (int64_t)MIN + 1000000, "misschien wel") };
    static const struct kluis_party numbers[] = { { .name = { "Carla", 5 } }, { .name = { "Anna", 4 }, .number = { "+31699999999", 12 } } };
    ids[0].id = KLUIS_STR_LIT("a");
    ids[0].author = 0; /* Anna of PEOPLE, whose number is another's */
    ids[1].id = KLUIS_STR_LIT("b");
    ids[2].id = KLUIS_STR_LIT("c");
    struct index_package p = pack(1, "anna", text, 3);
    p.parties = numbers;
    p.n_parties = 2;
    p.precision = KLUIS_PRECISION_MINUTE;
    add(ix, p);
    add(ix, pack(2, "bram", ids, 3));
    commit(ix);
    assert_int_equal(find(ix, ""), 6);
    for (int i = 0; i < 6; i++) { assert_int_equal(hits[i].sightings, 1); }
    index_close(ix);
    /* Of two that are near enough, the one in its own minute. */
    ix = fresh();
    struct index_row late[] = { line(1, 1, 100 * (int64_t)MIN, "ja") };
    struct index_row both[] = { line(1, 0, 100 * (int64_t)MIN - 50000000, "ja"), line(2, 0, 100 * (int64_t)MIN + 20000000, "ja") };
    both[0].id = KLUIS_STR_LIT("a");
    both[1].id = KLUIS_STR_LIT("b");
    p = pack(1, "anna", late, 1);
    p.parties = NAMES;
    p.precision = KLUIS_PRECISION_MINUTE;
    add(ix, p);
    add(ix, pack(2, "anna", both, 2));
    commit(ix);
    assert_int_equal(find(ix, "ja"), 2);
    assert_string_equal(hits[0].id, "b");
    assert_int_equal(hits[0].sightings, 2);
    assert_int_equal(hits[1].sightings, 1);
    /* Another group of the same name where Anna said the same in that minute: now nobody knows, and it stands alone again. */
    struct index_row twin[] = { both[1] };
    struct index_package other = pack(3, "bram", twin, 1);
    other.conversation_id = KLUIS_STR_LIT("g2");
    add(ix, other);
    commit(ix);
    assert_int_equal(find(ix, "ja"), 4);
    for (int i = 0; i < 4; i++) { assert_int_equal(hits[i].sightings, 1); }
    index_close(ix);
}

static void rivals_in_a_closed_period_come_to_the_hot_file_once(KLUIS_UNUSED void **state)
{
    struct index *ix = fresh();
    struct kluis_err err = { 0 };
    struct index_stats stats;
    index_tune(ix, 1, 4);
    struct index_row a[] = { line(1, 0, 100 * (int64_t)MIN + 1000000, "ja") }, b[] = { line(1, 0, 100 * (int64_t)MIN + 2000000, "ja") };
    struct index_row text[] = { line(1, 1, 100 * (int64_t)MIN, "ja"), line(2, 1, 100 * (int64_t)MIN, "ja") };
    a[0].id = b[0].id = KLUIS_STR_LIT("x");
    a[0].target = KLUIS_STR_LIT("t1");
    b[0].target = KLUIS_STR_LIT("t2");
    add(ix, pack(1, "anna", a, 1));
    add(ix, pack(2, "bram", b, 1));
    commit(ix);
    all_moved(ix);
    assert_true(ix->w.catalog.n > 0);
    struct index_package p = pack(3, "anna", text, 2);
    p.parties = NAMES;
    p.precision = KLUIS_PRECISION_MINUTE;
    add(ix, p);
    commit(ix);
    ok(index_statistics(ix, &stats, &err), &err);
    assert_int_equal(stats.records, 2);
    assert_int_equal(stats.sightings, 4);
    assert_int_equal(find(ix, "ja"), 2); /* each with one line of the text, and its rival */
    for (int i = 0; i < 2; i++) { assert_int_equal(hits[i].sightings - hits[i].differing, 2); }
    all_moved(ix);
    assert_int_equal(find(ix, "ja"), 2);
    index_close(ix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_message_of_two_phones_is_one_hit_with_two_sightings),
        cmocka_unit_test(a_group_is_found_by_whoever_has_it_while_it_grows_and_shrinks),
        cmocka_unit_test(the_same_id_with_other_content_is_a_conflict_and_both_are_shown),
        cmocka_unit_test(direct_chats_meet_only_where_both_ends_are_known),
        cmocka_unit_test(gaps_are_each_officials_own),
        cmocka_unit_test(a_text_export_and_databases_of_one_chat_are_one_in_any_order),
        cmocka_unit_test(rivals_in_a_closed_period_come_to_the_hot_file_once),
        cmocka_unit_test(who_only_shares_a_name_or_says_something_else_is_not_joined),
        cmocka_unit_test(every_order_of_arrival_gives_the_same_groups),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
