/* Promise: a download of Facebook, Instagram or Threads reads whole, folder, zip or file, in the order of time; text that Meta broke is repaired once
 * and never where it was whole; files come from the download and nowhere else; damage costs what it covers.  Files here are our own (eigen). */
#include "source_support.h"

#include "agent/source/meta/meta.h"
#include "tests/support/test_dir.h"

static char dir[KLUIS_PATH_MAX];

static void get(struct source_got *g, const char *text, const char *option)
{
    char path[KLUIS_PATH_MAX];
    source_put(dir, "message_1.json", text, strlen(text), path);
    source_get(g, &source_meta, path, option, (char *)NULL);
    if (g->rc != KLUIS_OK) { fail_msg("%s", g->err.msg); }
}

#define PEOPLE "{\"participants\":[{\"name\":\"Anna\"},{\"name\":\"Bram\"}],\"messages\":["
#define TAIL "],\"title\":\"Anna\",\"thread_path\":\"inbox/anna_123456789\"}"
#define MESSAGE(who, ms, text) "{\"sender_name\":\"" who "\",\"timestamp_ms\":" ms ",\"content\":\"" text "\",\"type\":\"Generic\"}"

static void only_broken_text_is_repaired(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
        enum repair how;
    } cases[] = {
        { "plain", "plain", REPAIR_NONE },
        { "caf\xC3\x83\xC2\xA9", "caf\xC3\xA9", REPAIR_LATIN1 },
        { "\xC3\xB0\xC2\x9F\xC2\x91\xC2\x8D", "\xF0\x9F\x91\x8D", REPAIR_LATIN1 },
        { "\xC3\xA2\xE2\x82\xAC\xE2\x84\xA2", "\xE2\x80\x99", REPAIR_WINDOWS },                  /* â€™ */
        { "caf\xC3\xA9", "caf\xC3\xA9", REPAIR_NONE },                                           /* whole: E9 alone is no UTF-8 */
        { "\xC3\x83", "\xC3\x83", REPAIR_NONE },                                                 /* a lone Ã */
        { "caf\xC3\x83\xC2\xA9 \xE6\x97\xA5", "caf\xC3\x83\xC2\xA9 \xE6\x97\xA5", REPAIR_NONE }, /* something beside it is whole */
        { "caf\xC3\x83\xC2\x83\xC3\x82\xC2\xA9", "caf\xC3\x83\xC2\xA9", REPAIR_LATIN1 },         /* broken twice: once */
        { "", "", REPAIR_NONE },
    };
    KLUIS_AUTO(kluis_arena) a = kluis_arena_new(1 << 16);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum repair how;
        struct kluis_str s = meta_repair(kluis_str_of(cases[i].in), a, &how);
        if (!kluis_str_is(s, cases[i].out) || how != cases[i].how) { fail_msg("case %zu: %.*s, %d", i, (int)s.len, s.ptr, (int)how); }
    }
}

static void time_orders_and_the_owner_is_told(void **state)
{
    (void)state;
    struct source_got g;
    get(&g,
        PEOPLE MESSAGE("Anna", "99999999999999999", "nooit") ",{\"sender_name\":\"Bram\",\"content\":\"zonder tijd\"}," MESSAGE(
            "Bram", "1600000002000", "drie") "," MESSAGE("Anna", "1600000001000", "twee") "," MESSAGE("Anna", "1600000001000",
                                                                                                      "een") "," MESSAGE("Anna", "-86400000",
                                                                                                                         "vroeger") TAIL,
        "self=Bram");
    assert_int_equal(g.n, 6);
    source_header_has(&g, "\"id\":\"123456789\",\"name\":\"Anna\",\"type\":\"direct\"");
    source_header_has(&g, "\"self\":1");
    source_has(&g, 0, "\"text\":\"vroeger\"");
    source_has(&g, 0, "\"sent\":\"1969-12-31T00:00:00.000Z\",\"zone\":\"stated\"");
    size_t known = 0, unknown = 0;
    for (size_t i = 0; i < g.n; i++) {
        struct kluis_str l = source_line(&g, i);
        unknown += memmem(l.ptr, l.len, "time-unknown", 12) != NULL;
        if (memmem(l.ptr, l.len, "\"een\"", 5) != NULL) { known = i; }
    }
    assert_int_equal(unknown, 2);
    source_has(&g, known + 1, "\"text\":\"twee\""); /* of one time: what is written later was said first */
    assert_non_null(memmem(g.raw.data, g.raw.len, MESSAGE("Bram", "1600000002000", "drie"), 40));
    source_got_free(&g);
}

static void unsent_and_reactions_point_at_their_message(void **state)
{
    (void)state;
    struct source_got g;
    get(&g,
        PEOPLE
        "{\"sender_name\":\"Anna\",\"timestamp_ms\":1600000000000,\"is_unsent\":true,\"reactions\":[{\"reaction\":\"+\",\"actor\":\"Cees\"}]}" TAIL,
        NULL);
    assert_int_equal(g.n, 2);
    source_has(&g, 0, "\"kind\":\"deletion\"");
    source_has(&g, 0, "\"target_author\":{\"name\":\"Anna\"},\"target_sent\":\"2020-09-13T12:26:40Z\"");
    source_has_not(&g, 0, "\"sent\":");
    source_has(&g, 1, "\"author\":{\"name\":\"Cees\"}");
    source_has(&g, 1, "time-of-reaction");
    source_header_has(&g, "\"participants\":[0,1]"); /* who only reacted is no member */
    source_got_free(&g);
}

static void files_outside_are_not_opened(void **state)
{
    (void)state;
    static const char *const uris[] = { "/etc/passwd", "../../../../../../etc/passwd", "photos/../../secret.txt", "messages/inbox/x/photos/een.png" };
    char path[KLUIS_PATH_MAX], sub[KLUIS_PATH_MAX];
    uint8_t bytes[64];
    source_put(dir, "secret.txt", "geheim", 6, path);
    assert_int_equal(kluis_path(sub, sizeof sub, dir, "chat", NULL), KLUIS_OK);
    assert_int_equal(kluis_make_dir(sub, NULL), KLUIS_OK);
    for (size_t i = 0; i < 4; i++) {
        char text[1024];
        struct source_got g;
        snprintf(text, sizeof text, PEOPLE "{\"sender_name\":\"Anna\",\"timestamp_ms\":1,\"photos\":[{\"uri\":\"%s\"}]}" TAIL, uris[i]);
        source_put(sub, "message_1.json", text, strlen(text), path);
        source_get(&g, &source_meta, sub, (char *)NULL);
        assert_int_equal(g.rc, KLUIS_OK);
        source_has(&g, 0, "\"loss\":\"missing\"");
        assert_int_equal(g.n_refs, 0);
        source_got_free(&g);
        assert_int_equal(source_attachment(&source_meta, sub, kluis_str_of(uris[i]), bytes, sizeof bytes), SIZE_MAX);
    }
}

static void damage_stays_where_it_is(void **state)
{
    (void)state;
    static const char *const broken[] = { "{\"sender_name\":\"Anna\",\"content\":\"quote}", "{\"sender_name\":Anna}", "\"none\"", "[[[[",
                                          "{\"sender_name\":\"Anna\",\"a\":[1,2}" };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char text[2048];
        struct source_got g;
        snprintf(text, sizeof text, PEOPLE MESSAGE("Anna", "1600000003000", "na") ",\n%s,\n" MESSAGE("Bram", "1600000001000", "voor") TAIL,
                 broken[i]);
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
    static const char *const none[] = { "", "{}", "[]", "x", "{\"messages\":3}", "{\"messages\":[]}", "{\"a\":[[[", "\xEF\xBB\xBF" };
    source_refused(&source_meta, dir, "message_1.json", none, sizeof none / sizeof *none);
    struct source_got g;
    source_get(&g, &source_meta, dir, "platform=hyves", (char *)NULL);
    assert_int_equal(g.rc, KLUIS_E_USAGE);
    source_got_free(&g);
}

static void it_survives(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(d, 8 << 20);
    static const char text[] = "\xEF\xBB\xBF" PEOPLE "{\"sender_name\":\"Anna\",\"timestamp_ms\":3,\"photos\":[{\"uri\":\"photos/"
                               "1.jpg\"}],\"reactions\":[{\"reaction\":\"\\u00f0\\u009f\\u0091\\u008d\",\"actor\":\"Bram\"}]},"
                               "{\"sender_name\":\"Bram\",\"timestamp_ms\":2,\"type\":\"Unsubscribe\",\"users\":[{\"name\":\"Bram\"}]},"
                               "{\"sender_name\":\"Bram\",\"timestamp_ms\":2,\"type\":\"Call\",\"call_duration\":4,\"missed\":true}," MESSAGE(
                                   "Anna", "1", "caf\\u00c3\\u00a9") TAIL;
    source_torture(&source_meta, dir, "message_1.json", text, sizeof text - 1, 3, 400);
    kluis_buf_cstr(&d, PEOPLE MESSAGE("Anna", "5", "na") ",{\"sender_name\":\"Anna\",\"x\":");
    source_nested(&d);
    kluis_buf_cstr(&d, "}," MESSAGE("Bram", "4", "midden") ",{\"sender_name\":\"Anna\",\"content\":\"");
    for (int i = 0; i < 3 << 20; i++) { kluis_buf_byte(&d, 'x'); } /* larger than a message may be */
    kluis_buf_cstr(&d, "\"}," MESSAGE("Bram", "3", "voor") TAIL);
    char path[KLUIS_PATH_MAX];
    struct source_got g;
    source_put(dir, "message_1.json", d.data, d.len, path);
    source_get(&g, &source_meta, path, (char *)NULL);
    assert_int_equal(g.rc, KLUIS_OK);
    assert_int_equal(g.n_kind[KLUIS_MESSAGE], 3);
    assert_int_equal(g.n_kind[KLUIS_GAP], 2);
    source_got_free(&g);
}

int main(void)
{
    struct kluis_err err = { 0 };
    if (kluis_base_init(&err) != KLUIS_OK || !test_dir("meta", dir, sizeof dir)) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_broken_text_is_repaired),
        cmocka_unit_test(time_orders_and_the_owner_is_told),
        cmocka_unit_test(unsent_and_reactions_point_at_their_message),
        cmocka_unit_test(files_outside_are_not_opened),
        cmocka_unit_test(damage_stays_where_it_is),
        cmocka_unit_test(what_is_none_is_refused),
        cmocka_unit_test(it_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
