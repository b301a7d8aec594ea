/* Promise: LinkedIn's messages.csv reads whole, whatever is in a value; conversations come in the order of time; a row that is none costs itself.
 * Files here are our own (eigen). */
#include "source_support.h"

#include "agent/source/csv.h"
#include "tests/support/test_dir.h"

static char dir[KLUIS_PATH_MAX];

#define HEAD "CONVERSATION ID,CONVERSATION TITLE,FROM,SENDER PROFILE URL,TO,RECIPIENT PROFILE URLS,DATE,SUBJECT,CONTENT,FOLDER\n"
#define ROW(talk, who, at, text) talk ",," who ",http://l/" who ",Ik,http://l/ik," at " UTC,," text ",INBOX\n"

static void get(struct source_got *g, const char *text, const char *option)
{
    char path[KLUIS_PATH_MAX];
    source_put(dir, "messages.csv", text, strlen(text), path);
    source_get(g, &source_linkedin, path, option, (char *)NULL);
    if (g->rc != KLUIS_OK) { fail_msg("%s", g->err.msg); }
}

static void values_are_what_was_written(void **state)
{
    (void)state;
    static const struct {
        const char *raw;
        size_t n;
        const char *value[4];
    } cases[] = {
        { "a,b", 2, { "a", "b" } },
        { "\"a,b\",\"c\"\"d\",", 3, { "a,b", "c\"d", "" } },
        { "\"a\nb\"", 1, { "a\nb" } },
        { "\"\",,\"\"\"\"", 3, { "", "", "\"" } },
        { "", 1, { "" } },
        { "\"a\"b,c", 0, { NULL } },
        { "\"a", 0, { NULL } },
        { "a\"b", 1, { "a\"b" } },
    };
    KLUIS_AUTO(kluis_arena) a = kluis_arena_new(1 << 16);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct csv_row r;
        bool good = csv_row_of(kluis_str_of(cases[i].raw), a, &r);
        if (good != (cases[i].n > 0) || (good && r.n != cases[i].n)) { fail_msg("case %zu: %d, %zu values", i, good, r.n); }
        for (size_t k = 0; k < cases[i].n; k++) {
            if (!kluis_str_is(r.value[k], cases[i].value[k])) { fail_msg("case %zu, value %zu: %.*s", i, k, (int)r.value[k].len, r.value[k].ptr); }
        }
    }
}

/* Conversations mixed, rows of any order: the name is that of the newest row that has one, of one instant the first in the file. */
static void a_conversation_is_called_as_last(void **state)
{
    (void)state;
    struct source_got g;
#define TITLED(talk, title, at) talk "," title ",Anna,http://l/anna,Ik,http://l/ik," at " UTC,,tekst,INBOX\n"
    get(&g,
        HEAD TITLED("t1", "Oud", "2020-01-01 00:00:02") TITLED("t2", "", "2020-01-01 00:00:09") TITLED("t1", "Nieuw", "2020-01-01 00:00:08")
            TITLED("t1", "Tweede van dat ogenblik", "2020-01-01 00:00:08") TITLED("t1", "", "2020-01-01 00:00:09")
                TITLED("t3", "Derde", "2020-01-01 00:00:01"),
        NULL);
    assert_int_equal(g.n, 6);
    assert_int_equal(g.conversations, 3);
    source_header_has(&g, "\"id\":\"t1\",\"name\":\"Nieuw\"");
    source_header_has(&g, "\"id\":\"t3\",\"name\":\"Derde\"");
    assert_null(strstr((const char *)g.headers.data, "Oud"));
    assert_null(strstr((const char *)g.headers.data, "Tweede"));
    source_got_free(&g);
}

static void time_orders_and_the_owner_is_told(void **state)
{
    (void)state;
    struct source_got g;
    get(&g,
        "\xEF\xBB\xBF" HEAD ROW("t1", "Anna", "2020-01-01 00:00:02", "\"twee, \"\"ja\"\"\nregel\"") ROW("t2", "Bram", "2020-01-01 00:00:05", "ander")
            ROW("t1", "Anna", "1969-12-31 00:00:00", "een") "t1,,,,,,,,zonder alles,\n",
        "self=Ik");
    assert_int_equal(g.n, 4);
    assert_int_equal(g.conversations, 2);
    source_header_has(&g, "\"self\":");
    source_has(&g, 0, "author-unknown");
    source_has(&g, 0, "time-unknown");
    source_has(&g, 1, "\"sent\":\"1969-12-31T00:00:00Z\",\"zone\":\"stated\"");
    source_has(&g, 2, "\"text\":\"twee, \\\"ja\\\"\\nregel\"");
    source_has(&g, 2, "\"author\":{\"id\":\"http://l/Anna\",\"name\":\"Anna\"}");
    source_has(&g, 3, "\"text\":\"ander\"");
    assert_non_null(memmem(g.raw.data, g.raw.len, "\"twee, \"\"ja\"\"\nregel\",INBOX", 26));
    source_got_free(&g);
}

static void damage_stays_where_it_is(void **state)
{
    (void)state;
    static const char *const broken[] = { "t1,te weinig\n",
                                          "een regel zonder iets\n",
                                          "t1,,\"nooit gesloten,http://l/x,Ik,http://l/ik,2020-01-01 00:00:02 UTC,,weg,INBOX\n",
                                          ROW("t1", "Anna", "geen tijd", "x"),
                                          "\"\"x,,,,,,,,,\n",
                                          ",,,,,,,,,\n" };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char text[2048];
        struct source_got g;
        snprintf(text, sizeof text, HEAD "%s%s%s", ROW("t1", "Anna", "2020-01-01 00:00:03", "na"), broken[i],
                 ROW("t1", "Anna", "2020-01-01 00:00:01", "voor"));
        get(&g, text, NULL);
        if (g.n_kind[KLUIS_MESSAGE] != 2 || g.n_kind[KLUIS_GAP] != 1) { fail_msg("case %zu: %.*s", i, (int)g.lines.len, g.lines.data); }
        source_has(&g, 0, "\"text\":\"voor\"");
        source_has(&g, 1, "\"event\":\"damaged\"");
        source_got_free(&g);
    }
}

static void what_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const none[] = { "", "\n\n", "x", HEAD, "Notes:\n", "FROM,TO\nA,B\n", "\"", "{\"a\":1}" };
    source_refused(&source_linkedin, dir, "messages.csv", none, sizeof none / sizeof *none);
    struct source_got g;
    source_get(&g, &source_linkedin, dir, "zone=UTC", (char *)NULL);
    assert_int_equal(g.rc, KLUIS_E_USAGE);
    source_got_free(&g);
}

static void it_survives(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(d, 64 << 20);
    static const char text[] = HEAD ROW("t1", "Anna", "2020-01-01 00:00:02", "\"twee, \"\"ja\"\"\nregel\"")
        ROW("t2", "Bram", "2020-01-01 00:00:05",
            "<p>a</p>") "t2,\"T,i\",Bram,http://l/b,\"A,B\",\"http://l/a,http://l/b\",2020-01-01 00:00:06 UTC,S,\xff,SENT\n";
    source_torture(&source_linkedin, dir, "messages.csv", text, sizeof text - 1, 3, 400);
    kluis_buf_cstr(&d, HEAD ROW("t1", "Anna", "2020-01-01 00:00:03", "na") "t1,,\"");
    for (int i = 0; i < 400000; i++) { kluis_buf_cstr(&d, "a,\"b\"\"\n\"c,"); } /* quotes without end, a line each */
    kluis_buf_cstr(&d, "\n" ROW("t1", "Anna", "2020-01-01 00:00:01", "voor"));
    char path[KLUIS_PATH_MAX];
    struct source_got g;
    source_put(dir, "messages.csv", d.data, d.len, path);
    source_get(&g, &source_linkedin, path, (char *)NULL);
    assert_int_equal(g.rc, KLUIS_OK);
    assert_int_equal(g.n_kind[KLUIS_MESSAGE], 2);
    assert_int_equal(g.n_kind[KLUIS_GAP], 1);
    source_got_free(&g);
}

int main(void)
{
    struct kluis_err err = { 0 };
    if (kluis_base_init(&err) != KLUIS_OK || !test_dir("linkedin", dir, sizeof dir)) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_what_was_written),       cmocka_unit_test(a_conversation_is_called_as_last),
        cmocka_unit_test(time_orders_and_the_owner_is_told), cmocka_unit_test(damage_stays_where_it_is),
        cmocka_unit_test(what_is_none_is_refused),           cmocka_unit_test(it_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
