/* Promise: a Telegram export reads whole, of one chat or of an account, though it is no valid JSON; damage costs what it covers and never mixes
 * two chats; files are found beside it and nowhere else; nothing is changed where it lies.  Files here are our own (eigen). */
#include "source_support.h"

#include "tests/support/test_dir.h"

static char dir[KLUIS_PATH_MAX];

static void get(struct source_got *g, const char *text, const char *option)
{
    char path[KLUIS_PATH_MAX];
    source_put(dir, "result.json", text, strlen(text), path);
    source_get(g, &source_telegram, path, option, (char *)NULL);
    if (g->rc != KLUIS_OK) { fail_msg("%s", g->err.msg); }
}

#define MESSAGE(id, who, text)                                                                                                                       \
    "{\"id\":" id ",\"type\":\"message\",\"date_unixtime\":\"1600000000\",\"from\":\"" who "\",\"from_id\":\"user" who "\",\"text\":\"" text "\"}"
#define CHAT(name, id, messages) "{\"name\":\"" name "\",\"type\":\"personal_chat\",\"id\":" id ",\"messages\":[" messages "]}"

static void the_account_of_our_own(void **state)
{
    (void)state;
    struct source_got g;
    uint8_t before[32], after[32], bytes[64];
    const char *folder = "tests/fixtures/eigen-telegram";
    source_folder_sum(folder, before);
    source_get(&g, &source_telegram, folder, (char *)NULL);
    assert_int_equal(g.rc, KLUIS_OK);
    assert_int_equal(g.conversations, 3);
    source_header_has(&g, "\"self\":1");
    source_header_has(&g, "\"id\":\"user700000002\",\"name\":\"Sanne de Wit\",\"type\":\"direct\"");
    source_header_has(&g, "{\"id\":\"user700000002\",\"name\":\"Sanne de Wit\",\"number\":\"+31612345678\"}");
    source_header_has(&g, "{\"id\":\"user300000001\",\"name\":\"Joost Vos\",\"number\":\"+31699999999\"}");
    source_header_has(&g, "\"type\":\"group\"");
    source_header_has(&g, "\"type\":\"channel\"");
    source_has(&g, 0, "\"event\":\"timer-changed\"");
    source_has(&g, 1, "\"text\":\"De nota staat hier\\n\\u001fpagina 3\"");
    source_has(&g, 1, "\"telegram.text.1.href\":\"https://voorbeeld.nl/nota\"");
    source_has(&g, 1, "\"sent\":\"2026-03-12T10:01:00+01:00\",\"zone\":\"stated\"");
    source_has(&g, 2, "\"target\":\"user700000002:2\"");
    source_has(&g, 2, "original-unknown");
    source_has(&g, 3, "edited-or-only-reacted");
    source_has_not(&g, 3, "original-unknown");
    source_has(&g, 4, "\"kind\":\"reaction\"");
    source_has(&g, 4, "\"author\":{\"id\":\"user300000001\"");
    source_has(&g, 5, "{\"name\":\"bijlage.pdf\",\"type\":\"application/pdf\",\"size\":99000000,\"loss\":\"omitted\"}");
    source_has(&g, 6, "\"location\":\"52.08,4.31\"");
    source_has(&g, 7, "\"event\":\"missed\"");
    source_has(&g, 10, "\"event\":\"member-left\"");
    source_has(&g, 11, "\"votes-01\":2");
    source_has(&g, 12, "\"kind\":\"vote\"");
    source_has(&g, 12, "\"options\":[\"Maandag\"]");
    source_has(&g, 13, "\"author\":{\"id\":\"user700000005\"}");
    source_has(&g, 13, "reactors-unknown");
    source_has(&g, 14, "\"event\":\"unsupported\"");
    source_has(&g, 15, "\"telegram.waarde\"");
    source_has(&g, 17, "\"clock\":\"shown-twice\"");
    source_has(&g, 17, "\"sent-otherwise\":\"2020-10-25T02:30:00+01:00\"");
    assert_int_equal(g.n_refs, 1);
    assert_int_equal(source_attachment(&source_telegram, folder, g.ref[0], bytes, sizeof bytes), 14);
    assert_memory_equal(bytes, "\x89PNG\r\n\x1a\n", 8);
    source_folder_sum(folder, after);
    assert_memory_equal(before, after, 32);
    source_got_free(&g);
}

static void files_outside_are_not_opened(void **state)
{
    (void)state;
    static const char *const paths[] = { "/etc/passwd", "../secret", "a/../../secret", "photos", "" };
    uint8_t bytes[64];
    char path[KLUIS_PATH_MAX];
    source_put(dir, "result.json", "{}", 2, path);
    for (size_t i = 0; i < 5; i++) {
        char text[1024];
        struct source_got g;
        snprintf(text, sizeof text,
                 "{\"id\":1,\"type\":\"personal_chat\",\"messages\":[{\"id\":1,\"type\":\"message\",\"date_unixtime\":\"1\",\"from\":\"A\",\"photo\":"
                 "\"%s\",\"text\":\"x\"}]}",
                 paths[i]);
        get(&g, text, NULL);
        if (paths[i][0] != '\0') { source_has(&g, 0, "\"loss\":\"missing\""); }
        source_got_free(&g);
        assert_int_equal(source_attachment(&source_telegram, path, kluis_str_of(paths[i]), bytes, sizeof bytes), SIZE_MAX);
    }
}

/* Whatever is broken, the messages around it are read and none comes into another chat. */
static void damage_stays_where_it_is(void **state)
{
    (void)state;
    static const struct {
        const char *broken;
        size_t in_first, in_second, gaps;
    } cases[] = {
        { MESSAGE("2", "A", "heel"), 3, 1, 0 },
        { "{\"id\":2,\"type\":\"message\",\"text\":\"lost quote}", 2, 1, 1 },
        { "{\"id\":2,\"type\":mes sage}", 2, 1, 1 },
        { "{\"id\":2,\"text\":\"\\q\"}", 2, 1, 1 },
        { "\"no message\"", 2, 1, 1 },
        { "{\"id\":2,\"a\":{\"b\":[1,2}", 2, 1, 1 },
        { "[[[[", 2, 1, 1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[4096];
        struct source_got g;
        snprintf(text, sizeof text,
                 "{\"chats\":{\"list\":[" CHAT("Een", "11", MESSAGE("1", "A", "voor") ",%s,\n  " MESSAGE("3", "B", "na")) ",\n" CHAT(
                     "Twee", "22", MESSAGE("4", "C", "ander")) "]}}",
                 cases[i].broken);
        get(&g, text, NULL);
        size_t first = 0, second = 0;
        for (size_t r = 0; r < g.n; r++) {
            struct kluis_str l = source_line(&g, r);
            bool message = memmem(l.ptr, l.len, "\"kind\":\"message\"", 16) != NULL, one = memmem(l.ptr, l.len, "\"name\":\"Een\"", 12) != NULL;
            first += message && one;
            second += message && !one;
            if (message) { assert_true((memmem(l.ptr, l.len, "ander", 5) != NULL) == !one); }
        }
        if (first != cases[i].in_first || second != cases[i].in_second || g.n_kind[KLUIS_GAP] != cases[i].gaps) {
            fail_msg("case %zu: %zu and %zu messages, %zu gaps\n%.*s", i, first, second, g.n_kind[KLUIS_GAP], (int)g.lines.len, g.lines.data);
        }
        source_got_free(&g);
    }
    struct source_got g; /* the end of a chat is gone: the next one is found by its own beginning */
    get(&g,
        "{\"chats\":{\"list\":[" CHAT("Een", "11", MESSAGE("1", "A", "voor") ",{\"id\":2,\"text\":\"weg") " \n" CHAT(
            "Twee", "22", MESSAGE("4", "C", "ander")) "]}}",
        NULL);
    assert_int_equal(g.conversations, 2);
    assert_int_equal(g.n_kind[KLUIS_MESSAGE], 2);
    assert_int_equal(g.n_kind[KLUIS_GAP], 1);
    source_got_free(&g);
    get(&g, "{\"name\":\"Een\",\"type\":\"personal_chat\",\"id\":11,\"messages\":[" MESSAGE("1", "A", "voor") ",{\"id\":2,\"te", NULL);
    assert_int_equal(g.n_kind[KLUIS_MESSAGE], 1);
    source_has(&g, 1, "missing up to the end");
    source_got_free(&g);
}

static void what_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const none[] = { "", "{}", "[]", "x", "{\"messages\":3}", "{\"chats\":[]}", "{\"a\":[[[" };
    source_refused(&source_telegram, dir, "result.json", none, sizeof none / sizeof *none);
    struct source_got g;
    source_get(&g, &source_telegram, dir, "zone=No/Where", (char *)NULL);
    assert_int_equal(g.rc, KLUIS_E_USAGE);
    source_got_free(&g);
}

static void people_and_times_are_kept_apart(void **state)
{
    (void)state;
    struct source_got g;
    get(&g,
        "{\"name\":\"Anna\",\"type\":\"personal_chat\",\"id\":1,\"messages\":["
        "{\"id\":1,\"type\":\"message\",\"date_unixtime\":\"1600000000\",\"date\":\"2020-09-13T22:26:40\",\"from\":\"Anna\",\"from_id\":\"user1\","
        "\"text\":\"a\"},"
        "{\"id\":2,\"type\":\"message\",\"date_unixtime\":\"1600000001\",\"from\":\"Anna\",\"from_id\":\"user2\",\"text\":\"b\"},"
        "{\"id\":3,\"type\":\"message\",\"date_unixtime\":\"1600000002\",\"from\":\"Anders\",\"from_id\":\"user1\",\"text\":\"c\"},"
        "{\"id\":4,\"type\":\"message\",\"date\":\"2040-01-01T00:00:00\",\"from\":\"Anna\",\"from_id\":\"user1\",\"text\":\"d\"},"
        "{\"id\":5,\"type\":\"message\",\"date\":\"gisteren\",\"from\":\"Anna\",\"from_id\":\"user1\",\"text\":\"e\"},"
        "{\"id\":6,\"type\":\"message\",\"date\":\"1969-07-20T20:17:40\",\"from\":\"Anna\",\"from_id\":\"user1\",\"text\":\"f\"}]}",
        NULL);
    source_header_has(&g, "person-with-several-names");
    source_has(&g, 0, "\"sent\":\"2020-09-13T22:26:40+10:00\"");
    source_has(&g, 1, "\"author\":{\"id\":\"user2\",\"name\":\"Anna\"}");
    source_has(&g, 2, "\"author\":{\"id\":\"user1\",\"name\":\"Anders\"}");
    source_has(&g, 3, "\"sent\":\"2040-01-01T00:00:00+01:00\",\"zone\":\"assumed\"");
    source_has(&g, 4, "time-unknown");
    source_has(&g, 4, "\"date\":\"gisteren\"");
    source_has(&g, 5, "\"sent\":\"1969-07-20T20:17:40+01:00\"");
    source_got_free(&g);
}

static void it_survives(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(b, 1 << 20);
    struct kluis_err err = { 0 };
    assert_int_equal(kluis_read_file("tests/fixtures/eigen-telegram/result.json", 1 << 20, &b, &err), KLUIS_OK);
    source_torture(&source_telegram, dir, "result.json", b.data, b.len, 61, 300);
    KLUIS_AUTO_BUF(d, 8 << 20);
    kluis_buf_cstr(&d, "{\"id\":1,\"type\":\"personal_chat\",\"messages\":[" MESSAGE("1", "A", "voor") ",{\"id\":2,\"x\":");
    source_nested(&d);
    kluis_buf_cstr(&d, "}," MESSAGE("3", "A", "na") ",{\"id\":4,\"text\":\"");
    for (int i = 0; i < 5 << 20; i++) { kluis_buf_byte(&d, 'x'); } /* larger than a message may be */
    kluis_buf_cstr(&d, "\"}," MESSAGE("5", "A", "nog") "]}");
    char path[KLUIS_PATH_MAX];
    struct source_got g;
    source_put(dir, "result.json", d.data, d.len, path);
    source_get(&g, &source_telegram, path, (char *)NULL);
    assert_int_equal(g.rc, KLUIS_OK);
    assert_int_equal(g.n_kind[KLUIS_MESSAGE], 3);
    assert_int_equal(g.n_kind[KLUIS_GAP], 2);
    source_got_free(&g);
}

int main(void)
{
    struct kluis_err err = { 0 };
    if (kluis_base_init(&err) != KLUIS_OK || !test_dir("telegram", dir, sizeof dir)) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_account_of_our_own),  cmocka_unit_test(files_outside_are_not_opened),    cmocka_unit_test(damage_stays_where_it_is),
        cmocka_unit_test(what_is_none_is_refused), cmocka_unit_test(people_and_times_are_kept_apart), cmocka_unit_test(it_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
