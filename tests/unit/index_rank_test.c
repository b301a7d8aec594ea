/* tests/unit/index_rank_test.c - order by relevance: BM25 of the record alone, the same number wherever the record lies, whatever was added, moved or
 * erased around it. */
#include "tests/unit/index_support.h"

#define DAY INT64_C(86400000000)
enum { MANY = 320, PER = 20, FLOOR = MANY / PER };

/* 320 messages in packages of 20, over a year but for the last package, which is of now and stays in the hot file.  "dossier" stands in each 1 to 4
 * times among 0 to 60 other words; every seventh has a quote, some have an id, and two at a time share their time. */
static struct index_row row[MANY];
static char text[MANY][1200], quote[MANY][40], id[MANY][12];
static unsigned words[MANY], times[MANY];

static void make(void)
{
    const int64_t now = kluis_now_us(); /* and a little later: of no month that is closed */
    for (size_t i = 0; i < MANY; i++) {
        unsigned others = (unsigned)(i * 7 % 61);
        int n = snprintf(text[i], sizeof text[i], "nummer%u", (unsigned)i);
        times[i] = 1 + (unsigned)(i * 5 % 4);
        for (unsigned k = 0; k < others; k++) { n += snprintf(text[i] + n, sizeof text[i] - (size_t)n, " woord%u,", k); }
        for (unsigned k = 0; k < times[i]; k++) { n += snprintf(text[i] + n, sizeof text[i] - (size_t)n, " Dossier"); }
        words[i] = 1 + others + times[i];
        int64_t at = i < MANY - PER ? 1700000000000000 + (int64_t)(i / 2) * 2 * DAY : now + (int64_t)(i / 2) * 1000000;
        row[i] = line(i % PER + 1, (uint32_t)(i % 3), at, text[i]);
        if (i % 7 == 0) {
            (void)snprintf(quote[i], sizeof quote[i], "uit een dossier");
            row[i].quote = kluis_str_of(quote[i]);
            words[i] += 3;
            times[i]++;
        }
        if (i % 5 == 0) {
            (void)snprintf(id[i], sizeof id[i], "i%u", (unsigned)i);
            row[i].id = kluis_str_of(id[i]);
        }
    }
}

static struct index_package package_of(size_t k)
{
    struct index_package p = pack((uint8_t)(k + 1), "anna", row + k * PER, PER);
    p.id[1] = (uint8_t)(k * 37);
    return p;
}

/* The same twenty as another phone has them. */
static struct index_package copy_of(size_t k)
{
    struct index_package p = package_of(k);
    p.id[0] = (uint8_t)(p.id[0] + 100);
    p.official = p.device = KLUIS_STR_LIT("bram");
    return p;
}

/* What every walk ends with: the word once, in a record of 120. */
static void add_last(struct index *ix)
{
    static char last[1000];
    int at = snprintf(last, sizeof last, "dossier");
    for (int k = 0; k < 119; k++) { at += snprintf(last + at, sizeof last - (size_t)at, " laatste"); }
    const struct index_row r = line(1, 0, 1600000000000000, last);
    struct index_package p = pack(99, "anna", &r, 1);
    add(ix, p);
}

/* Every hit of "dossier" with its score, which a page's cursor says, best first; the last one has none. */
static int64_t score[MANY];
static size_t order[MANY];
static size_t walk(struct index *ix)
{
    struct index_query q = query("dossier");
    struct index_result r;
    char cursor[128] = "";
    size_t n = 0;
    q.order = INDEX_RELEVANCE;
    q.limit = 1;
    for (;;) {
        q.cursor = kluis_str_of(cursor[0] == '\0' ? NULL : cursor);
        assert_int_equal(find_q(ix, &q, &r), 1);
        if (r.next[0] == '\0') { break; }
        memcpy(cursor, r.next, sizeof cursor);
        unsigned number = 0;
        char digits[17] = "";
        memcpy(digits, cursor + 1, 16);
        assert_int_equal(sscanf(hits[0].text, "nummer%u", &number), 1);
        assert_true(number < MANY && n < MANY);
        score[number] = (int64_t)strtoull(digits, NULL, 16);
        order[n++] = number;
    }
    return n;
}

static void move_all(struct index *ix)
{
    struct kluis_err err = { 0 };
    bool more = true;
    index_tune(ix, 1, 60);
    for (int i = 0; more; i++) {
        assert_true(i < 1000);
        ok(index_maintain(ix, &more, &err), &err);
    }
}

static void a_length_is_exact_below_128_and_at_most_an_eighth_short_above(KLUIS_UNUSED void **state)
{
    for (unsigned c = 0; c < 256; c++) { assert_int_equal(inorm_code(inorm_words((uint8_t)c)), c); }
    for (uint32_t w = 0; w < 5000000; w += w < 3000 ? 1 : 997) {
        uint32_t is = inorm_words(inorm_code(w));
        assert_true(is <= w && (w < 128 ? is == w : is >= w - w / 8));
    }
    assert_int_equal(inorm_code(UINT32_MAX), 255);
    assert_int_equal(inorm_of(KLUIS_STR_LIT("De brug, en de dijk! \xf0\x9f\x91\x8d"), KLUIS_STR_LIT("rapport.pdf\n")), 8);
    assert_int_equal(inorm_of((struct kluis_str){ NULL, 0 }, (struct kluis_str){ NULL, 0 }), 0);
}

/* As the formula is written in books, in floating point and from the texts: k1 = 1, b = 0.5, no length below half of the mean. */
static double bm25(size_t i)
{
    double length = words[i] / 12.0, f = times[i];
    if (length < 0.5) { length = 0.5; }
    return f / (f + 1 * (1 - 0.5 + 0.5 * length));
}

static void the_order_is_that_of_bm25_and_among_equals_newest_first(KLUIS_UNUSED void **state)
{
    make();
    struct index *ix = fresh();
    for (size_t k = 0; k < FLOOR; k++) { add(ix, package_of(k * 3 % FLOOR)); }
    add_last(ix);
    commit(ix);
    size_t equals = 0;
    for (int moved = 0; moved < 2; moved++) {
        assert_int_equal(walk(ix), MANY);
        for (size_t i = 1; i < MANY; i++) {
            size_t a = order[i - 1], b = order[i];
            double better = bm25(a) - bm25(b);
            assert_true(better > -1e-9);
            if (better > 1e-9) { continue; }
            equals++;
            assert_int_equal(score[a], score[b]);
            assert_true(row[a].sent_us >= row[b].sent_us);
        }
        move_all(ix);
    }
    assert_true(equals > 20);
    index_close(ix);
}

static void several_words_add_up_and_stand_better_close_together(KLUIS_UNUSED void **state)
{
    struct index *ix = fresh();
    const struct index_row rows[] = {
        line(1, 0, 1000000, "brug een twee drie vier vijf zes zeven acht dijk"),
        line(2, 0, 2000000, "een twee drie brug dijk vier vijf zes zeven acht"),
        line(3, 0, 3000000, "een twee drie vier vijf zes brug acht negen tien"),
        line(4, 0, 4000000, "dijk een twee drie vier vijf zes zeven acht brug"),
    };
    add(ix, pack(1, "jansen", rows, 4));
    commit(ix);
    struct index_query q = query("brug OR dijk");
    q.order = INDEX_RELEVANCE;
    assert_int_equal(find_q(ix, &q, NULL), 4);
    assert_string_equal(hits[0].text, rows[1].text.ptr);
    assert_string_equal(hits[1].text, rows[3].text.ptr);
    assert_string_equal(hits[2].text, rows[0].text.ptr);
    assert_string_equal(hits[3].text, rows[2].text.ptr);
    /* A filter is no word: it changes no score. */
    q.official = KLUIS_STR_LIT("jansen");
    q.platform = KLUIS_STR_LIT("signal");
    assert_int_equal(find_q(ix, &q, NULL), 4);
    assert_string_equal(hits[0].text, rows[1].text.ptr);
    assert_string_equal(hits[3].text, rows[2].text.ptr);
    q = query("");
    q.order = INDEX_RELEVANCE;
    assert_int_equal(find_q(ix, &q, NULL), 4); /* nothing to rank by: newest first */
    assert_int_equal(hits[0].sent, 4000000);
    assert_int_equal(hits[3].sent, 1000000);
    index_close(ix);
}

/* What is kept in memory is of files that there are, and of rows that there are. */
static void expect_nothing_left(struct index *ix)
{
    size_t bytes = 0;
    struct kluis_err err = { 0 };
    ok(istore_catalog(&ix->w, &err), &err);
    for (size_t i = 0; i < ix->n_norms; i++) {
        bool named = false;
        for (size_t k = 0; k < ix->w.catalog.n; k++) {
            named = named || (ix->w.catalog.list[k].file == ix->norms[i].file && (size_t)ix->w.catalog.list[k].rows == ix->norms[i].n);
        }
        assert_true(named);
        bytes += ix->norms[i].n;
    }
    assert_int_equal(bytes, ix->norms_bytes);
    assert_true(bytes <= ix->norms_max);
    for (size_t i = 0; i < ix->hot.n; i++) { assert_int_equal(ix->hot.keys[i].at == INT64_MIN, ix->hot.norms[i] == 0); }
}

static int64_t first[MANY];
static size_t first_order[MANY];
static void same_as_at_first(struct index *ix, const char *where, size_t without)
{
    memset(score, 0, sizeof score);
    size_t n = walk(ix), at = 0;
    expect_nothing_left(ix);
    assert_int_equal(n, MANY - (without < FLOOR ? PER : 0));
    for (size_t i = 0; i < MANY; i++) {
        if (first_order[i] / PER == without) {
            assert_int_equal(score[first_order[i]], 0);
            continue;
        }
        if (order[at] != first_order[i] || score[order[at]] != first[order[at]]) {
            print_message("%s: number %zu instead of %zu\n", where, order[at], first_order[i]);
        }
        assert_int_equal(order[at], first_order[i]);
        assert_int_equal(score[order[at]], first[order[at]]);
        at++;
    }
    /* Pages of any size give what pages of one gave, also by two threads. */
    struct index_query q = query("dossier");
    struct index_result r;
    char cursor[128] = "";
    q.order = INDEX_RELEVANCE;
    q.limit = 13;
    at = 0;
    do {
        q.cursor = kluis_str_of(cursor[0] == '\0' ? NULL : cursor);
        (void)find_q(ix, &q, &r);
        for (size_t i = 0; i < n_hits && at < n; i++, at++) {
            unsigned number = 0;
            assert_int_equal(sscanf(hits[i].text, "nummer%u", &number), 1);
            assert_int_equal(number, order[at]);
        }
        memcpy(cursor, r.next, sizeof cursor);
    } while (cursor[0] != '\0');
    assert_int_equal(at, n);
}

static struct index *again(struct index *ix)
{
    index_close(ix);
    return open_index();
}

static void a_score_is_the_records_own_wherever_it_lies(KLUIS_UNUSED void **state)
{
    make();
    struct kluis_err err = { 0 };
    struct index *ix = fresh();
    for (size_t k = 0; k < FLOOR; k++) { add(ix, package_of(k)); }
    add_last(ix);
    commit(ix);
    assert_int_equal(walk(ix), MANY);
    memcpy(first, score, sizeof first);
    memcpy(first_order, order, sizeof first_order);
    ix = again(ix);
    same_as_at_first(ix, "hot, read at the start", FLOOR);
    move_all(ix);
    ok(istore_catalog(&ix->w, &err), &err);
    assert_true(ix->w.catalog.n > 3);
    assert_true(ix->hot.base > MANY - PER); /* what was before them is let go */
    same_as_at_first(ix, "in periods", FLOOR);
    assert_int_equal(ix->n_norms, ix->w.catalog.n);
    ix = again(ix);
    ix->norms_max = 10; /* none of the files may stay */
    same_as_at_first(ix, "in periods, read for each search", FLOOR);
    assert_int_equal(ix->n_norms, 0);
    ix->norms_max = INORMS_MAX;
    for (size_t k = 0; k < FLOOR; k += 3) { add(ix, copy_of(k)); } /* what has company comes to the hot file */
    commit(ix);
    assert_true(ihot_live(&ix->hot) >= 2 * PER);
    same_as_at_first(ix, "regrouped", FLOOR);
    ix = again(ix);
    same_as_at_first(ix, "regrouped, read at the start", FLOOR);
    move_all(ix); /* the old files go and what was kept of them */
    same_as_at_first(ix, "moved again", FLOOR);
    const struct index_package second = copy_of(3), gone = package_of(4);
    ok(index_remove(ix, second.id, &err), &err); /* groups lose their second sighting */
    same_as_at_first(ix, "erased beside it", FLOOR);
    ok(index_remove(ix, gone.id, &err), &err);
    same_as_at_first(ix, "others erased", 4);
    move_all(ix);
    ix = again(ix);
    same_as_at_first(ix, "after all", 4);
    index_close(ix);
}

static void an_index_of_another_schema_says_so(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    struct index *ix = fresh();
    ok(kluis_db_exec(ix->w.hot, "PRAGMA user_version=7", &err), &err);
    index_close(ix);
    assert_int_equal(index_open(&ix, dir, MASTER, &err), KLUIS_E_CORRUPT); /* the vault then makes it anew */
    assert_non_null(strstr(err.msg, "has schema 7, this program's is 8: the index must be made anew from the packages"));
    assert_null(ix);
}

/* A period file without its lengths gives no order at all, rather than a wrong one. */
static void a_period_without_lengths_is_refused(KLUIS_UNUSED void **state)
{
    make();
    struct kluis_err err = { 0 };
    struct index *ix = fresh();
    for (size_t k = 0; k < FLOOR; k++) { add(ix, package_of(k)); }
    commit(ix);
    move_all(ix);
    ok(istore_catalog(&ix->w, &err), &err);
    struct iperiod one_more = ix->w.catalog.list[0];
    struct kluis_db *unit = NULL;
    struct inorms n = { 0 };
    ok(istore_period(ix, &ix->w, &one_more, &unit, &err), &err);
    one_more.rows++;
    assert_int_equal(inorms_take(ix, unit, &one_more, &n, &err), KLUIS_E_CORRUPT);
    assert_null(n.words);
    assert_int_equal(ix->n_norms, 0);
    index_close(ix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_length_is_exact_below_128_and_at_most_an_eighth_short_above),
        cmocka_unit_test(the_order_is_that_of_bm25_and_among_equals_newest_first),
        cmocka_unit_test(several_words_add_up_and_stand_better_close_together),
        cmocka_unit_test(a_score_is_the_records_own_wherever_it_lies),
        cmocka_unit_test(an_index_of_another_schema_says_so),
        cmocka_unit_test(a_period_without_lengths_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
