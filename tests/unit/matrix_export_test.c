/* Promise: an export of Element reads whole: messages, edits, deletions, threads, polls and what happened to the room, everybody under the name of
 * then; what could not be decrypted is a gap; files are found though two have one name; damage costs what it covers.  Files here are our own
 * (eigen). */
#include "source_support.h"

#include <sys/stat.h>

#include "tests/support/test_dir.h"

static char dir[KLUIS_PATH_MAX];

#define EVENT(id, content)                                                                                                                           \
    "{\"type\":\"m.room.message\",\"sender\":\"@a:b\",\"event_id\":\"$" id                                                                           \
    "\",\"room_id\":\"!r:b\",\"origin_server_ts\":1600000000123,\"content\":" content "}"
#define TEXT(id, body) EVENT(id, "{\"msgtype\":\"m.text\",\"body\":\"" body "\"}")
#define ROOM(events) "{\"room_name\":\"R\",\"exported_by\":\"@a:b\",\"messages\":[" events "]}"

static void get(struct source_got *g, const char *text, const char *option)
{
    char path[KLUIS_PATH_MAX];
    source_put(dir, "export.json", text, strlen(text), path);
    source_get(g, &source_matrix_export, path, option, (char *)NULL);
}

static void a_message_is_what_it_was(void **state)
{
    (void)state;
    struct source_got g;
    get(&g, ROOM(TEXT("1", "hallo") "," EVENT("2", "{\"msgtype\":\"m.text\",\"body\":\"> eigen\\nregel\"}")), NULL);
    assert_int_equal(g.rc, KLUIS_OK);
    source_header_has(&g, "\"id\":\"!r:b\",\"name\":\"R\",\"type\":\"group\"");
    source_header_has(&g, "\"self\":0");
    source_has(&g, 0, "\"id\":\"$1\"");
    source_has(&g, 0, "\"sent\":\"2020-09-13T12:26:40.123Z\",\"zone\":\"stated\"");
    source_has(&g, 1, "\"text\":\"> eigen\\nregel\""); /* no reply: its own words */
    assert_string_equal((const char *)g.raw.data, TEXT("1", "hallo"));
    source_got_free(&g);
}

static void damage_stays_where_it_is(void **state)
{
    (void)state;
    static const char *const broken[] = { "{\"type\":\"m.room.message\",\"sender\":x}",
                                          "{\"type\":\"m.room.message\",\"content\":{\"body\":\"lost quote}}", "{\"type\":\"x\",\"a\":{\"b\":[1,2}",
                                          "[[[[", "{\"content\":{\"type\":\"x\"}}" };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char text[2048];
        struct source_got g;
        snprintf(text, sizeof text, ROOM(TEXT("1", "voor") ",%s,\n" TEXT("3", "na")), broken[i]);
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
    static const char *const none[] = { "", "{}", "[]", "x", "{\"room_name\":1,\"exported_by\":2,\"messages\":3}", ROOM(""), ROOM("{}") };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        struct source_got g;
        get(&g, none[i], NULL);
        if (i < 6 && (g.rc != KLUIS_E_REJECT || g.n != 0 || strchr(g.err.msg, '\n') != NULL)) {
            fail_msg("case %zu: %s %s", i, kluis_status_name(g.rc), g.err.msg);
        }
        source_got_free(&g);
    }
    struct source_got g;
    get(&g, "{}", "wat=1");
    assert_int_equal(g.rc, KLUIS_E_USAGE);
    source_got_free(&g);
}

static void files_are_told_apart(void **state)
{
    (void)state;
    char folder[KLUIS_PATH_MAX], images[KLUIS_PATH_MAX], path[KLUIS_PATH_MAX];
    uint8_t before[32], after[32], bytes[16];
    struct source_got g;
    assert_int_equal(kluis_path(folder, sizeof folder, dir, "room", NULL), KLUIS_OK);
    assert_int_equal(kluis_path(images, sizeof images, folder, "images", NULL), KLUIS_OK);
    assert_true(mkdir(folder, 0700) == 0 && mkdir(images, 0700) == 0);
    const char *text = ROOM(EVENT("1", "{\"msgtype\":\"m.image\",\"body\":\"a.png\"}") "," EVENT(
        "2", "{\"msgtype\":\"m.image\",\"body\":\"b.png\"}") "," EVENT("3", "{\"msgtype\":\"m.image\",\"body\":\"../../x.png\"}"));
    source_put(folder, "export.json", text, strlen(text), path);
    source_put(images, "a-13-9-2020 om 14-26-40.png", "eerste", 6, path); /* 12:26:40 UTC */
    source_put(images, "a-13-9-2020 om 14-27-40.png", "tweede", 6, path);
    source_put(images, "b-13-9-2020 om 14-30-00.png", "een", 3, path);
    source_put(images, "b-13-9-2020 om 14-31-00.png", "twee", 4, path);
    source_folder_sum(folder, before);
    source_get(&g, &source_matrix_export, folder, (char *)NULL);
    assert_int_equal(g.rc, KLUIS_OK);
    assert_int_equal(g.n_refs, 1);
    assert_int_equal(source_attachment(&source_matrix_export, folder, g.ref[0], bytes, sizeof bytes), 6);
    assert_memory_equal(bytes, "eerste", 6);
    source_has(&g, 1, "\"loss\":\"ambiguous\"");
    source_has(&g, 2, "{\"name\":\"x.png\",\"loss\":\"missing\"}");
    source_folder_sum(folder, after);
    assert_memory_equal(before, after, 32);
    source_got_free(&g);
}

static void it_survives(void **state)
{
    (void)state;
    enum { DEEP = 100000 };
    static const char room[] = ROOM(TEXT(
        "1",
        "een 😀") ","
                 "{\"type\":\"m.room.member\",\"state_key\":\"@a:b\",\"sender\":\"@a:b\",\"origin_server_ts\":1,\"content\":{\"membership\":\"join\","
                 "\"displayname\":\"A\"},\"unsigned\":{\"prev_content\":{\"membership\":\"invite\"}}},"
                 "{\"type\":\"org.matrix.msc3381.poll.start\",\"event_id\":\"$p\",\"sender\":\"@a:b\",\"content\":{\"org.matrix.msc3381.poll.start\":"
                 "{\"question\":{\"body\":\"q\"},\"answers\":[{\"id\":\"1\",\"body\":\"x\"}]}}},"
                 "{\"type\":\"m.poll.response\",\"sender\":\"@a:b\",\"content\":{\"m.relates_to\":{\"event_id\":\"$p\"},\"m.selections\":[\"1\"]}},"
                 "{\"type\":\"m.room.message\",\"event_id\":\"$4\",\"sender\":\"@a:b\",\"content\":{},\"unsigned\":{\"redacted_because\":{\"sender\":"
                 "\"@a:b\",\"event_id\":\"$5\"}}}," EVENT(
                     "6", "{\"msgtype\":\"m.image\",\"body\":\"> <@a:b> x\\n\\ny\",\"m.relates_to\":{\"m.in_reply_to\":{\"event_id\":\"$1\"}}}"));
    source_torture(&source_matrix_export, dir, "export.json", room, sizeof room - 1, 7, 300);
    KLUIS_AUTO_BUF(d, 16 << 20);
    kluis_buf_cstr(&d, "{\"room_name\":\"R\",\"exported_by\":\"x\",\"messages\":[" TEXT("1", "voor") ",{\"type\":\"x\",\"sender\":");
    for (int i = 0; i < DEEP; i++) { kluis_buf_cstr(&d, "{\"type\":"); }
    kluis_buf_byte(&d, '0');
    for (int i = 0; i < DEEP; i++) { kluis_buf_byte(&d, '}'); }
    kluis_buf_cstr(&d, "}," TEXT("3", "na") "]}");
    char path[KLUIS_PATH_MAX];
    struct source_got g;
    source_put(dir, "export.json", d.data, d.len, path);
    source_get(&g, &source_matrix_export, path, (char *)NULL);
    assert_int_equal(g.rc, KLUIS_OK);
    assert_int_equal(g.n_kind[KLUIS_MESSAGE], 2);
    assert_int_equal(g.n_kind[KLUIS_GAP], 1);
    source_got_free(&g);
}

int main(void)
{
    struct kluis_err err = { 0 };
    if (kluis_base_init(&err) != KLUIS_OK || !test_dir("matrix", dir, sizeof dir)) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_what_it_was),
        cmocka_unit_test(damage_stays_where_it_is),
        cmocka_unit_test(what_is_none_is_refused),
        cmocka_unit_test(files_are_told_apart),
        cmocka_unit_test(it_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
