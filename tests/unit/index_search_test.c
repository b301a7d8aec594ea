/* tests/unit/index_search_test.c - what a search finds, in which order, and what it refuses. */
#include "tests/unit/index_support.h"

static void words_phrases_prefixes_and_exclusions_find_what_they_say(KLUIS_UNUSED void **state)
{
    struct index *ix = fresh();
    const struct index_row rows[] = {
        line(1, 0, 1000000, "De nota over de dijk bij Ré ligt klaar"),
        line(2, 1, 2000000, "het besluit over de brug"),
        line(3, 2, 3000000, "De brug en de dijk 👍🏽 東京タワー"),
        { .ordinal = 4,
          .kind = KLUIS_MESSAGE,
          .author = 0,
          .sent_us = 4000000,
          .attachments = KLUIS_STR_LIT("rapport-dijken.pdf"),
          .quote = KLUIS_STR_LIT("oude zin") },
    };
    add(ix, pack(1, "jansen", rows, 4));
    commit(ix);
    static const struct {
        const char *query;
        size_t n;
    } cases[] = {
        { "dijk", 2 },
        { "DIJK", 2 },
        { "dijk brug", 1 },
        { "dijk OR brug", 3 },
        { "\"over de\"", 2 },
        { "\"over de brug\"", 1 },
        { "\"de over\"", 0 },
        { "dijk*", 3 },
        { "brug -dijk", 1 },
        { "-dijk", 2 },
        { "-(dijk OR brug)", 1 },
        { "re", 1 },
        { "r\xc3\xa9", 1 },
        { "re\xcc\x81", 1 },
        { "de", 3 },
        { "\xf0\x9f\x91\x8d", 1 },
        { "\xf0\x9f\x91\x8e", 0 },
        { "東京", 1 },
        { "京東", 0 },
        { "タ", 1 },
        { "rapport", 1 },
        { "oude zin", 1 },
        { "", 4 },
        { "  ", 4 },
        { "(dijk)", 2 },
        { "dijk OR (besluit brug)", 3 },
        { "“over de”", 2 },
        { "c1", 0 },
        { "meta:c1", 0 },
        { "p1", 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t n = find(ix, cases[i].query);
        if (n != cases[i].n) { print_message("[%s] %zu instead of %zu\n", cases[i].query, n, cases[i].n); }
        assert_int_equal(n, cases[i].n);
    }
    assert_int_equal(find(ix, "dijk OR \"over de\""), 3);
    assert_string_equal(hits[0].text, "De brug en de dijk 👍🏽 東京タワー");
    assert_int_equal(hits[2].marks, 2);
    assert_memory_equal(hits[2].text + hits[2].mark[0], "over de", hits[2].mark[1] - hits[2].mark[0]);
    assert_memory_equal(hits[2].text + hits[2].mark[2], "dijk", hits[2].mark[3] - hits[2].mark[2]);
    assert_int_equal(find(ix, "re"), 1);
    assert_memory_equal(hits[0].text + hits[0].mark[0], "R\xc3\xa9", 3);
    assert_true(strncmp(hits[0].id, "d-", 2) == 0);
    index_close(ix);
}

static void a_poll_keeps_its_options_and_is_found_by_them(KLUIS_UNUSED void **state)
{
    struct index *ix = fresh();
    const struct index_row rows[] = {
        { .ordinal = 1,
          .kind = KLUIS_POLL,
          .author = 0,
          .sent_us = 1000000,
          .id = KLUIS_STR_LIT("p"),
          .text = KLUIS_STR_LIT("Wanneer?"),
          .options = KLUIS_STR_LIT("maandag\nvrijdag") },
        { .ordinal = 2, .kind = KLUIS_VOTE, .author = 1, .sent_us = 2000000, .id = KLUIS_STR_LIT("v"), .options = KLUIS_STR_LIT("vrijdag") },
    };
    const struct index_row other = {
        .ordinal = 1, .kind = KLUIS_VOTE, .author = 1, .sent_us = 2000000, .id = KLUIS_STR_LIT("v"), .options = KLUIS_STR_LIT("maandag")
    };
    add(ix, pack(1, "jansen", rows, 2));
    commit(ix);
    assert_int_equal(find(ix, "maandag"), 1);
    assert_string_equal(hits[0].options, "maandag\nvrijdag");
    assert_int_equal(find(ix, "vrijdag"), 2);
    assert_string_equal(hits[0].options, "vrijdag");
    assert_false(hits[0].conflict);
    add(ix, pack(2, "bakker", &other, 1)); /* another choice under the same id is not the same vote */
    commit(ix);
    assert_int_equal(find(ix, "vrijdag"), 2);
    assert_true(hits[0].conflict);
    index_close(ix);
}

static void a_query_that_cannot_be_understood_is_refused_with_its_place(KLUIS_UNUSED void **state)
{
    struct index *ix = fresh();
    const struct index_row rows[] = { line(1, 0, 1000000, "AND OR NOT NEAR(a b) \" ' ; DROP TABLE rec {text} : ^a + *") };
    add(ix, pack(1, "jansen", rows, 1));
    commit(ix);
    static const struct {
        const char *query, *says;
    } bad[] = {
        { "\"open", "position 1" }, { "a (b", "position 3" }, { "a)", "position 2" },
        { "OR a", "position 1" },   { "a OR", "position 5" }, { "a OR OR b", "position 5" },
        { "...", "no word" },       { "a*", "at least 2" },   { "((((((((((a))))))))))", "deeper" },
        { "\xff", "not text" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct index_query q = query(bad[i].query);
        struct index_result r;
        struct kluis_err err = { 0 };
        n_hits = 0;
        kluis_status rc = index_search(ix, &q, &SINK, &r, &err);
        if (rc != KLUIS_E_REJECT || strstr(err.msg, bad[i].says) == NULL) { print_message("[%s] %d %s\n", bad[i].query, rc, err.msg); }
        assert_int_equal(rc, KLUIS_E_REJECT);
        assert_non_null(strstr(err.msg, bad[i].says));
        assert_int_equal(n_hits, 0);
    }
    /* FTS5 syntax typed by a person is only words. */
    static const char *const words[] = { "AND",       "NOT",     "NEAR(a b)",  "text : a", "{text} : a", "^a",
                                         "a + b",     "a AND b", "drop table", "'",        "a\"b\"",     "a'; DROP TABLE rec; --",
                                         "text:drop", "-\"x y\"" };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        struct index_query q = query(words[i]);
        struct index_result r;
        struct kluis_err err = { 0 };
        n_hits = 0;
        kluis_status rc = index_search(ix, &q, &SINK, &r, &err);
        assert_true(rc == KLUIS_OK || rc == KLUIS_E_REJECT);
    }
    assert_int_equal(find(ix, "near"), 1);
    struct index_query q = query("drop");
    struct index_result r;
    struct kluis_err err = { 0 };
    q.limit = 0;
    assert_int_equal(index_search(ix, &q, &SINK, &r, &err), KLUIS_E_REJECT);
    q.limit = 5;
    q.cursor = KLUIS_STR_LIT("nonsense");
    kluis_err_clear(&err);
    assert_int_equal(index_search(ix, &q, &SINK, &r, &err), KLUIS_E_REJECT);
    index_close(ix);
}

/* Random bytes from the alphabet that matters: never anything but OK or a refusal. */
static void no_query_reaches_fts5_as_syntax(KLUIS_UNUSED void **state)
{
    struct index *ix = fresh();
    const struct index_row rows[] = { line(1, 0, 1000000, "ab cd") };
    add(ix, pack(1, "jansen", rows, 1));
    commit(ix);
    static const char *const bits[] = { "\"", "(", ")", "*",  "-",   " ",   "OR",  "ab",   "cd",           ":",
                                        "{",  "}", "^", "+",  "'",   "NOT", "AND", "NEAR", "\xe2\x80\x9c", ",",
                                        "\\", "%", ";", "c1", "meta" };
    uint64_t seed = 42;
    size_t understood = 0;
    for (int i = 0; i < 4000; i++) {
        char text[256] = "";
        size_t at = 0;
        for (int k = 0; k < 12; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            const char *b = bits[(seed >> 33) % (sizeof bits / sizeof bits[0])];
            at += (size_t)snprintf(text + at, sizeof text - at, "%s", b);
        }
        struct index_query q = query(text);
        struct index_result r;
        struct kluis_err err = { 0 };
        n_hits = 0;
        kluis_status rc = index_search(ix, &q, &SINK, &r, &err);
        if (rc != KLUIS_OK && rc != KLUIS_E_REJECT) { print_message("[%s] %s\n", text, err.msg); }
        assert_true(rc == KLUIS_OK || rc == KLUIS_E_REJECT);
        understood += rc == KLUIS_OK;
    }
    assert_true(understood > 300);
    index_close(ix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_phrases_prefixes_and_exclusions_find_what_they_say),
        cmocka_unit_test(a_poll_keeps_its_options_and_is_found_by_them),
        cmocka_unit_test(a_query_that_cannot_be_understood_is_refused_with_its_place),
        cmocka_unit_test(no_query_reaches_fts5_as_syntax),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
