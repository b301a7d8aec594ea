/* Promise: direct messages of an X archive read whole, over all files, conversation by conversation in the order of time; what X does not tell is
 * said; damage costs what it covers and never mixes two conversations.  Files here are our own (eigen). */
#include "source_support.h"

#include "tests/support/test_dir.h"

static char dir[KLUIS_PATH_MAX];

static void get(struct source_got *g, const char *text, const char *option)
{
    char path[KLUIS_PATH_MAX];
    source_put(dir, "direct-messages.js", text, strlen(text), path);
    source_get(g, &source_x, path, option, (char *)NULL);
    if (g->rc != KLUIS_OK) { fail_msg("%s", g->err.msg); }
}

#define PREFIX "window.YTD.direct_messages.part0 = "
#define MESSAGE(id, who, at, text)                                                                                                                   \
    "{\"messageCreate\":{\"recipientId\":\"9\",\"reactions\":[],\"text\":\"" text "\",\"senderId\":\"" who "\",\"id\":\"" id                         \
    "\",\"createdAt\":\"" at "\"}}"
#define TALK(id, messages) "{\"dmConversation\":{\"conversationId\":\"" id "\",\"messages\":[" messages "]}}"

static void time_orders_and_ids_stay(void **state)
{
    (void)state;
    struct source_got g;
    get(&g,
        PREFIX
        "[" TALK("1-9", MESSAGE("12", "1", "2020-01-01T00:00:02.500Z", "twee") "," MESSAGE("11", "9", "1969-12-31T00:00:00.000Z", "een")) "," TALK(
            "2-9", MESSAGE("21", "2", "gisteren", "nooit") ",{\"onbekend\":{\"createdAt\":\"2020-01-01T00:00:03.000Z\",\"code\":7}}") "]",
        "self=9");
    assert_int_equal(g.n, 4);
    assert_int_equal(g.conversations, 2);
    source_header_has(&g, "\"id\":\"1-9\",\"type\":\"direct\"");
    source_header_has(&g, "\"self\":1");
    source_has(&g, 0, "\"id\":\"11\"");
    source_has(&g, 0, "\"sent\":\"1969-12-31T00:00:00.000Z\",\"zone\":\"stated\"");
    source_has(&g, 1, "\"sent\":\"2020-01-01T00:00:02.500Z\"");
    size_t at = g.n_kind[KLUIS_EVENT] == 1 ? 2 : 0;
    source_has(&g, at, "\"event\":\"unknown\"");
    source_has(&g, at, "\"action\":\"onbekend\"");
    source_has(&g, at, "\"x.code\":\"7\"");
    source_has(&g, 3, "time-unknown");
    source_has(&g, 3, "\"date\":\"gisteren\"");
    assert_non_null(memmem(g.raw.data, g.raw.len, MESSAGE("11", "9", "1969-12-31T00:00:00.000Z", "een"), 60));
    source_got_free(&g);
}

static void headers_alone_are_read(void **state)
{
    (void)state;
    char path[KLUIS_PATH_MAX], sub[KLUIS_PATH_MAX];
    struct source_got g;
    static const char text[] = "window.YTD.direct_message_headers.part0 = [" TALK(
        "1-9", "{\"messageCreate\":{\"id\":\"5\",\"senderId\":\"1\",\"recipientId\":\"9\",\"createdAt\":\"2020-01-01T00:00:00.000Z\"}}") "]";
    assert_int_equal(kluis_path(sub, sizeof sub, dir, "koppen", NULL), KLUIS_OK);
    assert_int_equal(kluis_make_dir(sub, NULL), KLUIS_OK);
    source_put(sub, "direct-message-headers.js", text, sizeof text - 1, path);
    source_get(&g, &source_x, sub, (char *)NULL);
    assert_int_equal(g.rc, KLUIS_OK);
    assert_int_equal(g.n_kind[KLUIS_MESSAGE], 1);
    source_has(&g, 0, "content-unknown");
    source_got_free(&g);
}

static void damage_stays_where_it_is(void **state)
{
    (void)state;
    static const char *const broken[] = { "{\"messageCreate\":{\"text\":\"quote}}", "{\"messageCreate\":Anna}", "\"none\"", "[[[[",
                                          "{\"messageCreate\":{\"a\":[1,2}}" };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char text[2048];
        struct source_got g;
        snprintf(text, sizeof text,
                 PREFIX "[" TALK("1-9", MESSAGE("3", "1", "2020-01-01T00:00:03.000Z", "na") ",\n%s,\n" MESSAGE(
                                            "1", "9", "2020-01-01T00:00:01.000Z",
                                            "voor")) "," TALK("2-9", MESSAGE("4", "2", "2020-01-01T00:00:01.000Z", "ander")) "]",
                 broken[i]);
        get(&g, text, NULL);
        if (g.n_kind[KLUIS_MESSAGE] != 3 || g.n_kind[KLUIS_GAP] != 1 || g.conversations != 2) {
            fail_msg("case %zu: %.*s", i, (int)g.lines.len, g.lines.data);
        }
        source_has(&g, 0, "\"text\":\"voor\"");
        source_has(&g, 1, "\"event\":\"damaged\"");
        source_has(&g, 3, "\"id\":\"2-9\"");
        source_got_free(&g);
    }
    struct source_got g; /* the end of the first conversation is gone */
    get(&g,
        PREFIX "[" TALK("1-9", MESSAGE("1", "1", "2020-01-01T00:00:01.000Z", "voor") ",{\"messageCreate\":{\"text\":\"weg") ",\n" TALK(
            "2-9", MESSAGE("4", "2", "2020-01-01T00:00:01.000Z", "ander")) "]",
        NULL);
    assert_int_equal(g.conversations, 2);
    assert_int_equal(g.n_kind[KLUIS_MESSAGE], 2);
    source_got_free(&g);
}

static void what_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const none[] = { "",           "{}", "[]", "x", PREFIX, PREFIX "[]", PREFIX "{", "window.YTD.tweets.part0 = [{\"tweet\":{}}]",
                                        "[{\"a\":[[[" };
    source_refused(&source_x, dir, "direct-messages.js", none, sizeof none / sizeof *none);
    struct source_got g;
    source_get(&g, &source_x, dir, "zone=UTC", (char *)NULL);
    assert_int_equal(g.rc, KLUIS_E_USAGE);
    source_got_free(&g);
}

static void it_survives(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(d, 8 << 20);
    static const char text[] = PREFIX "[" TALK(
        "1-9",
        MESSAGE("12", "1", "2020-01-01T00:00:02.500Z",
                "twee") ",{\"participantsJoin\":{\"userIds\":[\"3\"],\"createdAt\":\"2020-01-01T00:00:00.000Z\"}}"
                        ",{\"conversationNameUpdate\":{\"name\":\"n\",\"initiatingUserId\":\"3\"}}") "," TALK("2-9",
                                                                                                              MESSAGE("11", "9",
                                                                                                                      "1969-12-31T00:00:00.000Z",
                                                                                                                      "\\ud83d\\ude00")) "]";
    source_torture(&source_x, dir, "direct-messages.js", text, sizeof text - 1, 3, 400);
    kluis_buf_cstr(&d, PREFIX "[{\"dmConversation\":{\"conversationId\":\"1-9\",\"messages\":[" MESSAGE("5", "1", "2020-01-01T00:00:05.000Z",
                                                                                                        "na") ",{\"messageCreate\":");
    source_nested(&d);
    kluis_buf_cstr(&d, "}," MESSAGE("4", "1", "2020-01-01T00:00:04.000Z", "midden") ",{\"messageCreate\":{\"text\":\"");
    for (int i = 0; i < 3 << 20; i++) { kluis_buf_byte(&d, 'x'); } /* larger than a message may be */
    kluis_buf_cstr(&d, "\"}}," MESSAGE("3", "1", "2020-01-01T00:00:03.000Z", "voor") "]}}]");
    char path[KLUIS_PATH_MAX];
    struct source_got g;
    source_put(dir, "direct-messages.js", d.data, d.len, path);
    source_get(&g, &source_x, path, (char *)NULL);
    assert_int_equal(g.rc, KLUIS_OK);
    assert_int_equal(g.n_kind[KLUIS_MESSAGE], 3);
    assert_int_equal(g.n_kind[KLUIS_GAP], 2);
    source_got_free(&g);
}

int main(void)
{
    struct kluis_err err = { 0 };
    if (kluis_base_init(&err) != KLUIS_OK || !test_dir("x", dir, sizeof dir)) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_orders_and_ids_stay),
        cmocka_unit_test(headers_alone_are_read),
        cmocka_unit_test(damage_stays_where_it_is),
        cmocka_unit_test(what_is_none_is_refused),
        cmocka_unit_test(it_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
