/* Promise: whatever Microsoft Graph's pages and the personal export hold of Teams is read chat by chat, private chats apart, the same message under
 * the same id from both; damage costs what it covers and stays in its chat; nothing is opened but the export, nothing changed.  Files here are
 * our own (eigen). */
#include "source_support.h"

#include <sys/stat.h>

#include "tests/support/test_dir.h"

static char dir[KLUIS_PATH_MAX];

#define MESSAGE(id, chat, who, text)                                                                                                                 \
    "{\"id\":\"" id "\",\"messageType\":\"message\",\"createdDateTime\":\"2026-03-12T10:00:00.5Z\",\"chatId\":\"" chat                               \
    "\",\"from\":{\"user\":{\"id\":\"" who "\",\"displayName\":\"" who "\"}},\"body\":{\"contentType\":\"text\",\"content\":\"" text "\"}}"
#define PAGE(messages) "{\"@odata.context\":\"x\",\"value\":[" messages "]}"
#define EXPORT(messages)                                                                                                                             \
    "{\"userId\":\"8:orgid:a\",\"exportDate\":\"2026\",\"conversations\":[{\"id\":\"19:c@thread.v2\",\"MessageList\":[" messages "]}]}"

static void get(struct source_got *g, const char *text, const char *option)
{
    char path[KLUIS_PATH_MAX];
    source_put(dir, "messages.json", text, strlen(text), path);
    source_get(g, &source_teams, path, option, (char *)NULL);
}

static void chats_are_kept_apart(void **state)
{
    (void)state;
    struct source_got g;
    get(&g,
        PAGE(MESSAGE("1", "19:a@thread.v2", "A", "een") "," MESSAGE("1", "19:b@thread.v2", "B", "twee") "," MESSAGE("2", "19:a@thread.v2", "B",
                                                                                                                    "drie")),
        "self=B");
    assert_int_equal(g.rc, KLUIS_OK);
    assert_int_equal(g.conversations, 2);
    source_has(&g, 0, "\"text\":\"een\"");
    source_has(&g, 0, "\"id\":\"19:a@thread.v2:1\"");
    source_has(&g, 0, "\"sent\":\"2026-03-12T10:00:00.500Z\",\"zone\":\"stated\"");
    source_has(&g, 1, "\"text\":\"drie\"");
    source_has(&g, 2, "\"text\":\"twee\"");
    source_has(&g, 2, "\"id\":\"19:b@thread.v2:1\"");
    source_has_not(&g, 2, "\"name\":\"A\"");
    const char *raw = (const char *)g.raw.data; /* each record's own bytes, and nothing else of the page */
    assert_string_equal(raw, MESSAGE("1", "19:a@thread.v2", "A", "een"));
    source_got_free(&g);
}

static void both_forms_give_one_identity(void **state)
{
    (void)state;
    struct source_got g, p;
    get(&g, PAGE(MESSAGE("1773309600000", "19:c@thread.v2", "a", "hallo")), NULL);
    get(&p,
        EXPORT("{\"id\":\"1773309600000\",\"originalarrivaltime\":\"2026-03-12T10:00:00.5Z\",\"messagetype\":\"Text\",\"content\":\"hallo\","
               "\"displayName\":\"a\","
               "\"from\":\"8:orgid:a\"}"),
        NULL);
    assert_int_equal(g.rc, KLUIS_OK);
    assert_int_equal(p.rc, KLUIS_OK);
    static const char *const parts[] = { "\"id\":\"19:c@thread.v2:1773309600000\"", "\"author\":{\"id\":\"a\",\"name\":\"a\"}",
                                         "2026-03-12T10:00:00.500Z" };
    for (size_t i = 0; i < 3; i++) {
        source_has(&g, 0, parts[i]);
        source_has(&p, 0, parts[i]);
    }
    source_header_has(&p, "\"self\":0");
    source_got_free(&g);
    source_got_free(&p);
}

static void damage_stays_in_its_chat(void **state)
{
    (void)state;
    static const char *const broken[] = { "{\"id\":\"2\",\"messageType\":mes}", "{\"id\":\"2\",\"body\":{\"content\":\"lost quote}}",
                                          "{\"id\":\"2\",\"a\":{\"b\":[1,2}", "[[[[", "{\"from\":{\"user\":{\"id\":\"x\"}},}" };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char text[4096];
        struct source_got g;
        snprintf(text, sizeof text,
                 "{\"value\":[" MESSAGE("1", "19:a@thread.v2", "A", "voor") ",%s,\n" MESSAGE("3", "19:b@thread.v2", "B",
                                                                                             "na") "],\"messageType\":0,\"createdDateTime\":0}",
                 broken[i]);
        get(&g, text, NULL);
        if (g.rc != KLUIS_OK || g.n_kind[KLUIS_MESSAGE] != 2 || g.n_kind[KLUIS_GAP] != 1) {
            fail_msg("case %zu: %s, %zu messages, %zu gaps", i, g.err.msg, g.n_kind[KLUIS_MESSAGE], g.n_kind[KLUIS_GAP]);
        }
        source_has(&g, 1, "\"kind\":\"gap\"");
        source_has(&g, 1, "19:a@thread.v2");
        source_got_free(&g);
    }
    struct source_got g;
    get(&g, EXPORT("{\"id\":\"1\",\"messagetype\":\"Text\",\"content\":\"voor\",\"from\":\"8:a\"},{\"id\":\"2\",\"mess"), NULL);
    assert_int_equal(g.rc, KLUIS_OK);
    assert_int_equal(g.n_kind[KLUIS_MESSAGE], 1);
    assert_int_equal(g.n_kind[KLUIS_GAP], 1);
    source_got_free(&g);
}

static void what_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const none[] = { "",
                                        "{}",
                                        "[]",
                                        "x",
                                        "{\"value\":[]}",
                                        "[{\"id\":1}]",
                                        "{\"conversations\":[],\"MessageList\":1}",
                                        "{\"value\":[{\"messageType\":0,\"createdDateTime\":0}]}" };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        struct source_got g;
        get(&g, none[i], NULL);
        if (g.rc != KLUIS_E_REJECT || g.n != 0 || strchr(g.err.msg, '\n') != NULL) {
            fail_msg("case %zu: %s %s", i, kluis_status_name(g.rc), g.err.msg);
        }
        source_got_free(&g);
    }
    struct source_got g;
    get(&g, "{}", "wat=1");
    assert_int_equal(g.rc, KLUIS_E_USAGE);
    source_got_free(&g);
}

static void nothing_else_is_opened_or_changed(void **state)
{
    (void)state;
    struct source_got g;
    char path[KLUIS_PATH_MAX], folder[KLUIS_PATH_MAX];
    uint8_t before[32], after[32], bytes[16];
    assert_int_equal(kluis_path(folder, sizeof folder, dir, "folder", NULL), KLUIS_OK);
    assert_int_equal(mkdir(folder, 0700), 0);
    const char *text = PAGE(
        "{\"id\":\"1\",\"messageType\":\"message\",\"createdDateTime\":\"2026-03-12T10:00:00Z\",\"chatId\":\"19:a@thread.v2\",\"body\":{"
        "\"contentType\":\"html\",\"content\":"
        "\"<img "
        "src='x/hostedContents/foto/$value'>\"},\"attachments\":[{\"contentType\":\"reference\",\"contentUrl\":\"u\",\"name\":\"../../etc/passwd\"},"
        "{\"contentType\":\"reference\",\"name\":\"nota.txt\"}]}");
    source_put(folder, "page.json", text, strlen(text), path);
    source_put(folder, "nota.txt", "nota", 4, path);
    source_put(folder, "foto.png", "foto!", 5, path);
    source_folder_sum(folder, before);
    source_get(&g, &source_teams, folder, (char *)NULL);
    assert_int_equal(g.rc, KLUIS_OK);
    source_has(&g, 0, "{\"name\":\"passwd\",\"loss\":\"linked\"}");
    assert_int_equal(g.n_refs, 2);
    assert_int_equal(source_attachment(&source_teams, folder, g.ref[0], bytes, sizeof bytes), 5);
    assert_int_equal(source_attachment(&source_teams, folder, g.ref[1], bytes, sizeof bytes), 4);
    assert_int_equal(source_attachment(&source_teams, folder, KLUIS_STR_LIT("../messages.json"), bytes, sizeof bytes), SIZE_MAX);
    source_folder_sum(folder, after);
    assert_memory_equal(before, after, 32);
    source_got_free(&g);
}

static void it_survives(void **state)
{
    (void)state;
    enum { DEEP = 100000 };
    static const char page[] = PAGE(MESSAGE("1", "19:a@thread.v2", "A", "een 😀") "," MESSAGE(
        "2", "19:b@thread.v2", "B",
        "twee") ",{\"id\":\"3\",\"messageType\":\"unknownFutureValue\",\"createdDateTime\":\"x\","
                "\"chatId\":\"19:a@thread.v2\",\"eventDetail\":{\"@odata.type\":\"#microsoft.graph.membersAddedEventMessageDetail\",\"members\":[{"
                "\"id\":\"q\"}]},\"reactions\":[{\"reactionType\":\"like\","
                "\"user\":{\"user\":{\"id\":\"A\"}}}],\"deletedDateTime\":\"2026-03-12T10:00:00Z\"}");
    static const char export[] = EXPORT(
        "{\"id\":\"1\",\"messagetype\":\"RichText\",\"content\":\"<quote author=\\\"8:a\\\" messageid=\\\"7\\\">q</quote>t<e_m "
        "ts_ms=\\\"1\\\"/>\",\"from\":\"8:a\","
        "\"properties\":{\"emotions\":\"[{\\\"key\\\":\\\"like\\\",\\\"users\\\":[{\\\"mri\\\":\\\"8:b\\\",\\\"time\\\":1}]}]\",\"deletetime\":1}},"
        "{\"id\":\"2\",\"messagetype\":\"Event/Call\",\"content\":\"<partlist type='missed'><part "
        "identity='8:a'><name>A</name><duration>3</duration></part></partlist>\",\"from\":\"8:a\"},"
        "{\"id\":\"3\",\"messagetype\":\"ThreadActivity/"
        "MemberLeft\",\"content\":\"{\\\"initiator\\\":\\\"8:a\\\",\\\"members\\\":[{\\\"id\\\":\\\"8:a\\\"}]}\",\"from\":\"8:a\"}");
    source_torture(&source_teams, dir, "messages.json", page, sizeof page - 1, 7, 300);
    source_torture(&source_teams, dir, "messages.json", export, sizeof export - 1, 11, 300);
    KLUIS_AUTO_BUF(d, 16 << 20);
    kluis_buf_cstr(&d, "{\"value\":[" MESSAGE("1", "19:a@thread.v2", "A", "voor") ",{\"id\":\"2\",\"x\":");
    for (int i = 0; i < DEEP; i++) { kluis_buf_cstr(&d, "{\"id\":"); }
    kluis_buf_byte(&d, '0');
    for (int i = 0; i < DEEP; i++) { kluis_buf_byte(&d, '}'); }
    kluis_buf_cstr(
        &d, "}," MESSAGE(
                "3", "19:a@thread.v2", "A",
                "na") ",{\"id\":\"4\",\"messageType\":\"message\",\"createdDateTime\":\"\",\"chatId\":\"19:a@thread.v2\",\"body\":{\"contentType\":"
                      "\"html\",\"content\":\"");
    for (int i = 0; i < DEEP; i++) { kluis_buf_cstr(&d, "<div>"); }
    kluis_buf_cstr(&d, "diep\"}}]}");
    char path[KLUIS_PATH_MAX];
    struct source_got g;
    source_put(dir, "messages.json", d.data, d.len, path);
    source_get(&g, &source_teams, path, (char *)NULL);
    assert_int_equal(g.rc, KLUIS_OK);
    assert_int_equal(g.n_kind[KLUIS_MESSAGE], 3);
    assert_int_equal(g.n_kind[KLUIS_GAP], 1);
    source_has(&g, 3, "\"text\":\"diep\"");
    source_got_free(&g);
}

int main(void)
{
    struct kluis_err err = { 0 };
    if (kluis_base_init(&err) != KLUIS_OK || !test_dir("teams", dir, sizeof dir)) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chats_are_kept_apart),    cmocka_unit_test(both_forms_give_one_identity),      cmocka_unit_test(damage_stays_in_its_chat),
        cmocka_unit_test(what_is_none_is_refused), cmocka_unit_test(nothing_else_is_opened_or_changed), cmocka_unit_test(it_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
