/* Promise: an export of a Slack workspace reads whole, each channel and each private chat apart; mark-up comes out as people saw it; tokens in
 * addresses of files do not; damage costs what it covers and stays in its channel; nothing is changed.  Files here are our own (eigen). */
#include "source_support.h"

#include <sys/stat.h>

#include "tests/support/test_dir.h"

static char dir[KLUIS_PATH_MAX], export[KLUIS_PATH_MAX], day[KLUIS_PATH_MAX];

#define MESSAGE(ts, text) "{\"type\":\"message\",\"user\":\"U1\",\"text\":\"" text "\",\"ts\":\"" ts "\"}"

static void get(struct source_got *g, const char *text, const char *option)
{
    char path[KLUIS_PATH_MAX];
    source_put(day, "2026-03-12.json", text, strlen(text), path);
    source_get(g, &source_slack, export, option, (char *)NULL);
}

static void text_is_what_people_saw(void **state)
{
    (void)state;
    static const char *const cases[][2] = { { "<@U1> <@U9> <@U9|Jan>", "@Anna @U9 @Jan" },
                                            { "<https://a.nl|a.nl> <https://a.nl|hier> <mailto:x@a.nl|x@a.nl>", "a.nl hier <https://a.nl> x@a.nl" },
                                            { "a &lt; b &amp;amp; c &gt; d", "a < b &amp; c > d" },
                                            { "<!channel> <!subteam^S1|@team> <!date^1^{date}|1 januari>", "@channel @team 1 januari" },
                                            { "<#C1> <#C2|weg>", "#dijk #weg" },
                                            { "1 < 2 <> <", "1 < 2 <> <" },
                                            { "<@> <|x> <#|y>", "@ <|x> #y" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1024], want[256];
        struct source_got g;
        snprintf(text, sizeof text, "[" MESSAGE("1.000001", "%s") "]", cases[i][0]);
        snprintf(want, sizeof want, "\"text\":\"%s\"", cases[i][1]);
        get(&g, text, NULL);
        assert_int_equal(g.rc, KLUIS_OK);
        source_has(&g, 0, want);
        source_got_free(&g);
    }
}

static void a_moment_is_an_identity(void **state)
{
    (void)state;
    struct source_got g;
    get(&g, "[" MESSAGE("1736478514.897649", "a") "," MESSAGE("1736478514.897650", "b") "," MESSAGE("gisteren", "c") "]", "self=U1");
    assert_int_equal(g.rc, KLUIS_OK);
    source_has(&g, 0, "\"id\":\"C1:1736478514.897649\"");
    source_has(&g, 0, "\"sent\":\"2025-01-10T03:08:34.897Z\"");
    source_has(&g, 1, "\"id\":\"C1:1736478514.897650\"");
    source_has(&g, 2, "time-unknown");
    source_header_has(&g, "\"self\":0");
    source_header_has(&g, "\"id\":\"C1\",\"name\":\"dijk\",\"type\":\"channel\"");
    assert_string_equal((const char *)g.raw.data, MESSAGE("1736478514.897649", "a"));
    source_got_free(&g);
}

static void tokens_stay_out_of_fields(void **state)
{
    (void)state;
    struct source_got g;
    uint8_t before[32], after[32];
    get(&g,
        "[{\"type\":\"message\",\"user\":\"U1\",\"ts\":\"1.1\",\"text\":\"\",\"files\":[{\"id\":\"F1\",\"name\":\"../../x\",\"url_private\":\"https:/"
        "/f/x?t=xoxe-geheim\",\"url_private_download\":\"https://f/y?t=xoxe-geheim\"}]}]",
        NULL);
    assert_int_equal(g.rc, KLUIS_OK);
    source_has(&g, 0, "\"attachment-1.url\":\"https://f/x\"");
    source_has(&g, 0, "{\"name\":\"x\",\"loss\":\"linked\"}");
    source_has_not(&g, 0, "xoxe");
    source_got_free(&g);
    source_folder_sum(export, before);
    source_get(&g, &source_slack, export, (char *)NULL);
    source_folder_sum(export, after);
    assert_memory_equal(before, after, 32);
    source_got_free(&g);
}

static void damage_stays_where_it_is(void **state)
{
    (void)state;
    static const char *const broken[] = { "{\"type\":mes}", "{\"type\":\"message\",\"text\":\"lost quote}",
                                          "{\"type\":\"message\",\"a\":{\"b\":[1,2}", "[[[[", "{\"blocks\":[{\"type\":\"x\"}]}" };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char text[2048];
        struct source_got g;
        snprintf(text, sizeof text, "[" MESSAGE("1.1", "voor") ",%s,\n" MESSAGE("3.1", "na") "]", broken[i]);
        get(&g, text, NULL);
        if (g.rc != KLUIS_OK || g.n_kind[KLUIS_MESSAGE] != 2 || g.n_kind[KLUIS_GAP] != 1) {
            fail_msg("case %zu: %s, %zu messages, %zu gaps", i, g.err.msg, g.n_kind[KLUIS_MESSAGE], g.n_kind[KLUIS_GAP]);
        }
        source_got_free(&g);
    }
}

static void what_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const none[] = { "", "{}", "[]", "x", "[{\"type\":1}]" };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        struct source_got g;
        get(&g, none[i], NULL);
        if (i < 4 && (g.rc != KLUIS_E_REJECT || g.n != 0 || strchr(g.err.msg, '\n') != NULL)) {
            fail_msg("case %zu: %s %s", i, kluis_status_name(g.rc), g.err.msg);
        }
        source_got_free(&g);
    }
    struct source_got g;
    get(&g, "[]", "wat=1");
    assert_int_equal(g.rc, KLUIS_E_USAGE);
    source_got_free(&g);
}

static void it_survives(void **state)
{
    (void)state;
    enum { DEEP = 100000 };
    static const char dump[] = "{\"channel_id\":\"C1\",\"name\":\"dijk\",\"messages\":[" MESSAGE(
        "1.1",
        "een 😀 <@U1|x>") ","
                         "{\"type\":\"message\",\"subtype\":\"message_changed\",\"ts\":\"2.1\",\"message\":" MESSAGE(
                             "1.1",
                             "na") ",\"previous_message\":" MESSAGE("1.1",
                                                                    "voor") "},"
                                                                            "{\"type\":\"message\",\"ts\":\"3.1\",\"reactions\":[{\"name\":\"x\","
                                                                            "\"users\":[\"U1\"],\"count\":3}],\"blocks\":[{\"type\":\"rich_text\","
                                                                            "\"elements\":[{\"type\":\"rich_text_list\",\"elements\":[{\"elements\":["
                                                                            "{\"text\":\"q\"}]}]}]}],"
                                                                            "\"slackdump_thread_replies\":[" MESSAGE(
                                                                                "4.1",
                                                                                "r") "]},{\"type\":\"message\",\"subtype\":\"tombstone\",\"ts\":\"5."
                                                                                     "1\"},{\"type\":\"message\",\"subtype\":\"huddle_thread\","
                                                                                     "\"ts\":\"6.1\",\"room\":{\"date_start\":1,\"date_end\":2}}]}";
    source_torture(&source_slack, dir, "C1.json", dump, sizeof dump - 1, 7, 300);
    KLUIS_AUTO_BUF(d, 16 << 20);
    kluis_buf_cstr(&d, "[" MESSAGE("1.1", "voor") ",{\"type\":");
    for (int i = 0; i < DEEP; i++) { kluis_buf_cstr(&d, "{\"type\":"); }
    kluis_buf_byte(&d, '0');
    for (int i = 0; i < DEEP; i++) { kluis_buf_byte(&d, '}'); }
    kluis_buf_cstr(&d, "}," MESSAGE("3.1", "na") "]");
    kluis_buf_byte(&d, 0);
    struct source_got g;
    get(&g, (const char *)d.data, NULL);
    assert_int_equal(g.rc, KLUIS_OK);
    assert_int_equal(g.n_kind[KLUIS_MESSAGE], 2);
    assert_int_equal(g.n_kind[KLUIS_GAP], 1);
    source_got_free(&g);
}

int main(void)
{
    struct kluis_err err = { 0 };
    static const char users[] = "[{\"id\":\"U1\",\"team_id\":\"T\",\"profile\":{\"display_name\":\"Anna\"}}]",
                      channels[] = "[{\"id\":\"C1\",\"name\":\"dijk\",\"members\":[\"U1\"]}]";
    char path[KLUIS_PATH_MAX];
    if (kluis_base_init(&err) != KLUIS_OK || !test_dir("slack", dir, sizeof dir) ||
        kluis_path(export, sizeof export, dir, "export", NULL) != KLUIS_OK || kluis_path(day, sizeof day, export, "dijk", NULL) != KLUIS_OK ||
        mkdir(export, 0700) != 0 || mkdir(day, 0700) != 0) {
        return 1;
    }
    source_put(export, "users.json", users, sizeof users - 1, path);
    source_put(export, "channels.json", channels, sizeof channels - 1, path);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_what_people_saw),  cmocka_unit_test(a_moment_is_an_identity), cmocka_unit_test(tokens_stay_out_of_fields),
        cmocka_unit_test(damage_stays_where_it_is), cmocka_unit_test(what_is_none_is_refused), cmocka_unit_test(it_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
