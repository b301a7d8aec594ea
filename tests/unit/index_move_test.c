/* tests/unit/index_move_test.c - closed periods: nothing changes for who searches, whatever arrives in whichever order; erasing leaves nothing. */
#include "tests/unit/index_support.h"

#include <sqlite3.h>

#define DAY INT64_C(86400000000)
enum { MANY = 1200, PER = 40 };

/* 1,200 messages over 300 days in packages of 40, every eighth with the word; some share a time. */
static struct index_row row[MANY];
static char text[MANY][64];
static struct index_package package_of(size_t k)
{
    struct index_package p = pack((uint8_t)(k + 1), "anna", row + k * PER, PER);
    p.id[1] = (uint8_t)(k * 37);
    return p;
}
static void make(void)
{
    for (size_t i = 0; i < MANY; i++) {
        (void)snprintf(text[i], sizeof text[i], "%s nummer%u", i % 8 == 0 ? "dossier" : "anders", (unsigned)i);
        row[i] = line(i % PER + 1, (uint32_t)(i % 3), 1700000000000000 + (int64_t)(i / 2) * DAY / 2, text[i]);
    }
}

static void move_all(struct index *ix, int64_t target)
{
    struct kluis_err err = { 0 };
    bool more = true;
    index_tune(ix, 1, target);
    for (int i = 0; more; i++) {
        assert_true(i < 1000);
        ok(index_maintain(ix, &more, &err), &err);
    }
}

/* Every page, the hits put after one another. */
static struct seen all[HITS];
static size_t collect(struct index *ix, const char *words, enum index_order order, unsigned limit)
{
    struct index_query q = query(words);
    struct index_result r;
    char cursor[128] = "";
    size_t n = 0;
    q.order = order;
    q.limit = limit;
    do {
        q.cursor = kluis_str_of(cursor[0] == '\0' ? NULL : cursor);
        (void)find_q(ix, &q, &r);
        assert_true(n_hits <= limit && (r.next[0] == '\0' || n_hits == limit));
        memcpy(all + n, hits, n_hits * sizeof hits[0]);
        n += n_hits;
        memcpy(cursor, r.next, sizeof cursor);
    } while (cursor[0] != '\0');
    return n;
}

static void expect_sorted(size_t n, size_t want, bool newest)
{
    assert_int_equal(n, want);
    for (size_t i = 1; i < n; i++) {
        assert_true(newest ? all[i - 1].sent >= all[i].sent : all[i - 1].sent <= all[i].sent);
        assert_string_not_equal(all[i - 1].text, all[i].text);
    }
    for (size_t i = 0; i < n; i++) {
        unsigned number = 0;
        assert_int_equal(sscanf(all[i].text, "%*s nummer%u", &number), 1);
        assert_int_equal(all[i].sent, row[number].sent_us);
        hits[number % HITS].marks = 4711; /* each number once */
    }
}

static void check_everything(struct index *ix)
{
    for (size_t i = 0; i < HITS; i++) { hits[i].marks = 0; }
    expect_sorted(collect(ix, "dossier", INDEX_NEWEST, 7), MANY / 8, true);
    expect_sorted(collect(ix, "dossier", INDEX_OLDEST, 7), MANY / 8, false);
    expect_sorted(collect(ix, "", INDEX_NEWEST, 200), MANY, true);
    static bool found[MANY];
    memset(found, 0, sizeof found);
    size_t n = collect(ix, "dossier OR anders", INDEX_RELEVANCE, 50);
    assert_int_equal(n, MANY);
    for (size_t i = 0; i < n; i++) {
        unsigned number = 0;
        assert_int_equal(sscanf(all[i].text, "%*s nummer%u", &number), 1);
        assert_false(found[number]);
        found[number] = true;
    }
    /* Two threads share the periods: that changes no order, whatever the size of a page. */
    static int64_t sent[MANY];
    for (size_t i = 0; i < n; i++) { sent[i] = all[i].sent; }
    assert_int_equal(collect(ix, "dossier OR anders", INDEX_RELEVANCE, 7), n);
    for (size_t i = 0; i < n; i++) { assert_int_equal(all[i].sent, sent[i]); }
    struct index_query q = query("dossier");
    struct index_result r;
    /* A question of one word, prefix or phrase is counted, and looked through where records came in no order, by another way than others are.  What
     * looks like a token of conversation or platform is a word like any other. */
    static const char *const asked[] = { "dossier", "nummer*", "nummer1*", "\"dossier nummer8\"", "dossier nummer*", "-anders", "dossier OR nummer9",
                                         "c1",      "p1",      "nieuw" };
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        size_t there = collect(ix, asked[i], INDEX_NEWEST, 200);
        expect_sorted(there, there, true);
        expect_sorted(collect(ix, asked[i], INDEX_OLDEST, 200), there, false);
        assert_int_equal(there > 0, i < 7);
        q = query(asked[i]);
        q.count = INDEX_COUNT_EXACT;
        assert_int_equal(find_q(ix, &q, &r), there < 200 ? there : 200);
        assert_int_equal(r.count, there);
    }
    for (enum index_count how = INDEX_COUNT_CAPPED; how <= INDEX_COUNT_EXACT; how++) {
        q = query("dossier");
        q.count = how;
        q.limit = 1;
        assert_int_equal(find_q(ix, &q, &r), 1);
        assert_true(r.counted && !r.capped);
        assert_int_equal(r.count, MANY / 8);
        q.limit = 200;
        q.from_us = row[300].sent_us;
        q.to_us = row[900].sent_us;
        assert_int_equal(find_q(ix, &q, &r), 75);
        assert_true(r.counted && !r.capped);
        assert_int_equal(r.count, 75);
        assert_int_equal(hits[74].sent, row[304].sent_us);
    }
}

static void newest_first_is_a_full_sort_however_it_arrived_and_wherever_it_lies(KLUIS_UNUSED void **state)
{
    make();
    uint8_t first[32] = { 0 }, d[32];
    for (int variant = 0; variant < 6; variant++) {
        struct index *ix = fresh();
        struct kluis_err err = { 0 };
        for (size_t i = 0; i < MANY / PER; i++) {
            size_t k = variant % 3 == 0 ? i : variant % 3 == 1 ? MANY / PER - 1 - i : (i * 7) % (MANY / PER);
            add(ix, package_of(k));
            if (i % 4 == 3) { commit(ix); }
            if (variant >= 3 && i % 8 == 7) { move_all(ix, 150); } /* late arrivals rebuild what is there */
        }
        commit(ix);
        check_everything(ix);
        ok(index_groups_digest(ix, d, &err), &err);
        if (variant == 0) { memcpy(first, d, 32); }
        assert_memory_equal(d, first, 32);
        move_all(ix, 150);
        ok(istore_catalog(&ix->w, &err), &err);
        assert_true(ix->w.catalog.n > 4);
        assert_int_equal(ix->hot.n, 0);
        check_everything(ix);
        index_close(ix);
        ix = open_index();
        check_everything(ix);
        ok(index_groups_digest(ix, d, &err), &err);
        assert_memory_equal(d, first, 32);
        index_close(ix);
    }
}

static void a_move_in_the_middle_of_arrivals_loses_and_doubles_nothing(KLUIS_UNUSED void **state)
{
    make();
    struct index *ix = fresh();
    struct kluis_err err = { 0 };
    index_tune(ix, 1, 150);
    size_t added = 0;
    for (int round = 0; round < 400 && added < MANY / PER; round++) {
        bool more = false;
        ok(index_maintain(ix, &more, &err), &err);
        if (round % 3 == 1) {
            add(ix, package_of((added * 11) % (MANY / PER)));
            added++;
            commit(ix);
        }
        assert_int_equal(collect(ix, "nummer*", INDEX_NEWEST, 100), added * PER);
    }
    assert_int_equal(added, MANY / PER);
    move_all(ix, 150);
    check_everything(ix);
    index_close(ix);
}

/* Copying, swapped and not yet taken out, half taken out: whatever was reached, the next start finds every record once and goes on. */
static void a_stop_between_any_two_calls_changes_nothing(KLUIS_UNUSED void **state)
{
    make();
    uint8_t first[32] = { 0 }, d[32];
    struct kluis_err err = { 0 };
    bool finished = false;
    size_t half = 0;
    for (int calls = 0; !finished; calls++) {
        assert_true(calls < 400);
        struct index *ix = fresh();
        for (size_t k = 0; k < MANY / PER; k++) { add(ix, package_of((k * 7) % (MANY / PER))); }
        commit(ix);
        index_tune(ix, 1, 150);
        bool more = true;
        for (int i = 0; i < calls && more; i++) {
            do {
                ok(index_maintain(ix, &more, &err), &err);
            } while (more && ix->move != NULL && i + 1 < calls); /* copying has no steps to stop at */
        }
        finished = !more;
        half += ix->w.gone.n > 0 && ix->taken > 0;
        check_everything(ix);
        index_close(ix);
        ix = open_index();
        check_everything(ix);
        ok(index_groups_digest(ix, d, &err), &err);
        if (calls == 0) { memcpy(first, d, 32); }
        assert_memory_equal(d, first, 32);
        move_all(ix, 150);
        assert_int_equal(ihot_live(&ix->hot), 0);
        assert_int_equal(ix->w.gone.n, 0);
        check_everything(ix);
        index_close(ix);
    }
    assert_true(half > 0); /* else nothing was stopped in the middle */
}

static void a_second_phone_meets_records_of_closed_periods(KLUIS_UNUSED void **state)
{
    make();
    uint8_t want[32], d[32];
    struct kluis_err err = { 0 };
    static struct index_row other[MANY];
    static char id[MANY][12];
    for (size_t i = 0; i < MANY; i++) {
        if (i % 5 == 0) {
            (void)snprintf(id[i], sizeof id[i], "i%u", (unsigned)i);
            row[i].id = kluis_str_of(id[i]);
        }
        other[i] = row[i];
        other[i].sent_us += 300000 * (int64_t)(i % 4);
        if (i % 50 == 0) { other[i].text = KLUIS_STR_LIT("iets anders"); }
    }
    for (int variant = 0; variant < 4; variant++) {
        struct index *ix = fresh();
        for (size_t k = 0; k < MANY / PER; k++) { add(ix, package_of(k)); }
        commit(ix);
        if (variant % 2 == 1) { move_all(ix, 150); }
        for (size_t k = 0; k < MANY / PER; k++) {
            struct index_package p = package_of(variant < 2 ? k : MANY / PER - 1 - k);
            p.id[0] = (uint8_t)(p.id[0] + 100);
            p.rows = other + (variant < 2 ? k : MANY / PER - 1 - k) * PER;
            p.official = p.device = KLUIS_STR_LIT("bram");
            add(ix, p);
            if (variant == 3 && k % 5 == 4) {
                bool more = false;
                commit(ix);
                ok(index_maintain(ix, &more, &err), &err);
            }
        }
        commit(ix);
        for (int moved = 0; moved < 2; moved++) {
            struct index_stats st;
            ok(index_groups_digest(ix, d, &err), &err);
            if (variant == 0 && moved == 0) { memcpy(want, d, 32); }
            assert_memory_equal(d, want, 32);
            ok(index_statistics(ix, &st, &err), &err);
            assert_int_equal(st.sightings, 2 * MANY);
            assert_int_equal(st.records, MANY + MANY / 50);
            assert_int_equal(st.conflicts, 2 * MANY / 50);
            assert_int_equal(collect(ix, "nummer*", INDEX_NEWEST, 90), MANY);
            struct index_query q = query("dossier");
            q.official = KLUIS_STR_LIT("bram");
            q.limit = 200;
            assert_true(find_q(ix, &q, NULL) > 100);
            move_all(ix, 150);
        }
        index_close(ix);
    }
}

/* Rows of all period files: those that leave their text, and their lesser strings, to the first one of their group. */
static size_t rows_with(struct index *ix, int bit)
{
    struct kluis_err err = { 0 };
    size_t n = 0;
    for (size_t i = 0; i < ix->w.catalog.n; i++) {
        struct kluis_db *unit = NULL;
        sqlite3_stmt *q = NULL;
        ok(istore_period(ix, &ix->w, &ix->w.catalog.list[i], &unit, &err), &err);
        ok(kluis_db_query(unit, &q, &err,
                          "SELECT count(*) FROM rec WHERE bits&?1 AND lead IS NOT NULL AND CASE ?1 WHEN 512 THEN text ELSE extra END IS NULL", "i",
                          (int64_t)bit),
           &err);
        ok(kluis_db_step(unit, q, &err), &err);
        n += (size_t)kluis_db_int(q, 0);
        kluis_db_done(q);
    }
    return n;
}

/* Of every seventh message the other export writes the spaces differently: it is the same message, and is shown as it was written. */
static void check_second(struct index *ix, const struct index_row *second, uint8_t package)
{
    struct kluis_err err = { 0 };
    uint8_t id[32] = { 0 };
    id[0] = package;
    id[31] = 7;
    n_hits = 0;
    ok(index_around(ix, id, 1, 0, PER - 1, &SINK, &err), &err);
    assert_int_equal(n_hits, PER);
    for (size_t i = 0; i < PER; i++) {
        assert_string_equal(hits[i].text, second[i].text.ptr);
        assert_string_equal(hits[i].options, second[i].options.ptr == NULL ? "" : second[i].options.ptr);
        assert_int_equal(hits[i].sightings, hits[0].sightings);
    }
}

static void what_a_sighting_has_of_the_first_one_is_kept_once_and_shown_as_it_was(KLUIS_UNUSED void **state)
{
    static struct index_row second[PER];
    static char spaced[PER][80];
    make();
    for (size_t i = 0; i < PER; i++) {
        row[i].sent_us = 1700000000000000 + (int64_t)i * 60000000 * 3;
        if (i % 4 == 0) { row[i].options = kluis_str_of("ja\nnee"); }
        second[i] = row[i];
        (void)snprintf(spaced[i], sizeof spaced[i], "  %s", text[i]);
        if (i % 7 == 0) { second[i].text = kluis_str_of(spaced[i]); }
    }
    struct index *ix = fresh();
    struct index_package first = pack(1, "anna", row, PER);
    add(ix, first);
    for (uint8_t phone = 2; phone <= 3; phone++) {
        const char *official = phone == 2 ? "bram" : "carla";
        struct index_package p = pack(phone, official, second, PER);
        p.conversation_id = kluis_str_of(official); /* as exports do: nothing but the name is common */
        add(ix, p);
        commit(ix);
        check_second(ix, second, phone);
        assert_int_equal(find(ix, "nummer*"), PER);
        assert_int_equal(hits[0].sightings, phone);
        move_all(ix, 1000); /* the third one's bring the groups back to the hot file before */
        assert_int_equal(ihot_live(&ix->hot), 0);
        check_second(ix, second, 2);
        check_second(ix, second, phone);
        check_second(ix, row, 1);
        const size_t others = (size_t)phone - 1;
        assert_int_equal(rows_with(ix, IBITS_TEXT), others * (PER - (PER + 6) / 7));
        assert_int_equal(rows_with(ix, IBITS_EXTRA), others * PER / 4);
    }
    struct kluis_err err = { 0 };
    ok(index_remove(ix, first.id, &err), &err); /* whom the others leaned on goes: they have all of it still */
    check_second(ix, second, 2);
    move_all(ix, 1000);
    check_second(ix, second, 2);
    check_second(ix, second, 3);
    assert_int_equal(rows_with(ix, IBITS_TEXT), PER);
    index_close(ix);
}

static void around_a_record_stands_its_conversation_in_order(KLUIS_UNUSED void **state)
{
    make();
    struct index *ix = fresh();
    struct kluis_err err = { 0 };
    row[601].kind = KLUIS_GAP;
    row[602].kind = KLUIS_EVENT;
    for (size_t k = 0; k < MANY / PER; k++) { add(ix, package_of(MANY / PER - 1 - k)); }
    commit(ix);
    for (int moved = 0; moved < 2; moved++) {
        struct index_package p = package_of(15);
        n_hits = 0;
        ok(index_around(ix, p.id, 1, 20, 20, &SINK, &err), &err); /* record 600 */
        assert_int_equal(n_hits, 41);
        for (size_t i = 1; i < n_hits; i++) { assert_true(hits[i - 1].sent <= hits[i].sent); }
        assert_string_equal(hits[20].text, text[600]);
        size_t gaps = 0;
        for (size_t i = 0; i < n_hits; i++) { gaps += hits[i].kind == KLUIS_GAP || hits[i].kind == KLUIS_EVENT; }
        assert_int_equal(gaps, 2);
        n_hits = 0;
        p = package_of(0);
        ok(index_around(ix, p.id, 1, 20, 5, &SINK, &err), &err);
        assert_true(n_hits >= 6 && n_hits <= 7); /* two share the first time */
        assert_int_equal(index_around(ix, p.id, 41, 1, 1, &SINK, &err), KLUIS_E_NOTFOUND);
        kluis_err_clear(&err);
        p.id[5] = 1;
        assert_int_equal(index_around(ix, p.id, 1, 1, 1, &SINK, &err), KLUIS_E_NOTFOUND);
        kluis_err_clear(&err);
        move_all(ix, 150);
    }
    index_close(ix);
}

static void erasing_takes_rows_files_and_keys(KLUIS_UNUSED void **state)
{
    make();
    uint8_t want[32], d[32];
    struct kluis_err err = { 0 };
    for (int variant = 0; variant < 3; variant++) {
        struct index *ix = fresh();
        for (size_t k = 0; k < MANY / PER; k++) {
            if (variant != 0 || k != 7) { add(ix, package_of(k)); }
            struct index_package p = package_of(k); /* a second phone that saw the same */
            p.id[0] = (uint8_t)(p.id[0] + 100);
            p.official = p.device = KLUIS_STR_LIT("bram");
            if (k == 6 || k == 7) { add(ix, p); }
        }
        commit(ix);
        if (variant == 2) { move_all(ix, 150); }
        if (variant > 0) {
            char hot[IKEYS_NAME], now[IKEYS_NAME];
            struct index_package p = package_of(7);
            ikeys_hot(ix->keys, hot);
            ok(index_remove(ix, p.id, &err), &err);
            ikeys_hot(ix->keys, now);
            assert_string_not_equal(hot, now);
            uint8_t key[32];
            assert_false(ikeys_find(ix->keys, hot, strlen(hot), key));
            char path[256];
            (void)snprintf(path, sizeof path, "%s/%s", dir, hot);
            assert_int_not_equal(access(path, F_OK), 0);
            assert_int_equal(index_remove(ix, p.id, &err), KLUIS_E_NOTFOUND);
            kluis_err_clear(&err);
        }
        ok(index_groups_digest(ix, d, &err), &err);
        if (variant == 0) { memcpy(want, d, 32); }
        assert_memory_equal(d, want, 32);
        assert_int_equal(collect(ix, "nummer*", INDEX_NEWEST, 90), MANY);
        struct index_query q = query("");
        q.official = KLUIS_STR_LIT("bram");
        assert_int_equal(find_q(ix, &q, NULL), 2 * PER);
        q.official = KLUIS_STR_LIT("anna");
        q.text = KLUIS_STR_LIT("nummer280");
        assert_int_equal(find_q(ix, &q, NULL), 0); /* anna's copy of package 7 is gone, bram's is not */
        assert_int_equal(find(ix, "nummer280"), 1);
        index_close(ix);
        ix = open_index();
        assert_int_equal(collect(ix, "nummer*", INDEX_NEWEST, 90), MANY);
        index_close(ix);
    }
}

/* Months apart, so that each has a file; numbers are dense. */
static unsigned numbered;
static void add_at(struct index *ix, unsigned month, size_t n)
{
    static struct index_row some[900];
    static char words[900][32];
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(words[i], sizeof words[i], "teller nummer%u", numbered++);
        some[i] = line(i + 1, (uint32_t)(i % 3), 1500000000000000 + (int64_t)month * 40 * DAY + (int64_t)i * 1000000, words[i]);
    }
    struct index_package p = pack((uint8_t)numbered, "anna", some, n);
    p.id[1] = (uint8_t)(numbered >> 8);
    add(ix, p);
    commit(ix);
}

static void what_is_hidden_while_others_are_taken_out_is_taken_out_too(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    struct index *ix = fresh();
    bool more = true;
    numbered = 0;
    add_at(ix, 0, 500);
    add_at(ix, 9, 500);
    move_all(ix, 500);
    assert_int_equal(ix->w.catalog.n, 2);
    index_tune(ix, 300, 500);
    /* Of the first month too few to be moved, with lower numbers than those of the other, which are. */
    add_at(ix, 0, 200);
    const int64_t low = ix->b.next_row - 1;
    add_at(ix, 9, 900);
    for (int i = 0; ix->taken <= low; i++) {
        assert_true(i < 1000);
        ok(index_maintain(ix, &more, &err), &err);
        assert_true(more);
    }
    assert_true(ix->w.gone.n > 0); /* and not all of them yet */
    add_at(ix, 0, 150);
    more = true;
    while (more) { ok(index_maintain(ix, &more, &err), &err); }
    assert_int_equal(ix->w.gone.n, 0);
    for (int again = 0; again < 2; again++) {
        struct index_query q = query("teller");
        struct index_result r;
        q.count = INDEX_COUNT_CAPPED;
        (void)find_q(ix, &q, &r);
        assert_int_equal(r.count, numbered);
        assert_int_equal(collect(ix, "teller", INDEX_OLDEST, 150), numbered);
        index_close(ix);
        ix = open_index();
    }
    index_close(ix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newest_first_is_a_full_sort_however_it_arrived_and_wherever_it_lies),
        cmocka_unit_test(a_move_in_the_middle_of_arrivals_loses_and_doubles_nothing),
        cmocka_unit_test(what_is_hidden_while_others_are_taken_out_is_taken_out_too),
        cmocka_unit_test(a_stop_between_any_two_calls_changes_nothing),
        cmocka_unit_test(a_second_phone_meets_records_of_closed_periods),
        cmocka_unit_test(what_a_sighting_has_of_the_first_one_is_kept_once_and_shown_as_it_was),
        cmocka_unit_test(around_a_record_stands_its_conversation_in_order),
        cmocka_unit_test(erasing_takes_rows_files_and_keys),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
