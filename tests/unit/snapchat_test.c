/* Promise: Snapchat's histories read whole in both shapes, in the order of time; what it did not keep is said; damage costs what it covers and
 * never brings an entry into another conversation.  Files here are our own (eigen). */
#include "source_support.h"

#include <unistd.h>

#include "tests/support/test_dir.h"

static char dir[KLUIS_PATH_MAX];

static void get(struct source_got *g, const char *text, const char *option)
{
    char path[KLUIS_PATH_MAX];
    source_put(dir, "chat_history.json", text, strlen(text), path);
    source_get(g, &source_snapchat, path, option, (char *)NULL);
    if (g->rc != KLUIS_OK) { fail_msg("%s", g->err.msg); }
}

#define ENTRY(who, ms, text)                                                                                                                         \
    "{\"From\":\"" who "\",\"Media Type\":\"TEXT\",\"Created\":\"2020-09-13 12:26:40 UTC\",\"Content\":\"" text                                      \
    "\",\"Conversation Title\":null,\"IsSender\":false,\"Created(microseconds)\":" ms ",\"IsSaved\":true,\"Media IDs\":\"\"}"

static void both_shapes_are_read(void **state)
{
    (void)state;
    struct source_got g;
    get(&g,
        "{\"anna\":[" ENTRY("anna", "1600000002500", "twee &amp; drie") "," ENTRY("anna", "-86400000", "een") "],\"bram\":[" ENTRY("ik", "0",
                                                                                                                                   "geen ms") "]}",
        "self=ik");
    assert_int_equal(g.n, 3);
    assert_int_equal(g.conversations, 2);
    source_header_has(&g, "\"id\":\"anna\",\"type\":\"direct\"");
    source_has(&g, 0, "\"sent\":\"1969-12-31T00:00:00.000Z\",\"zone\":\"stated\"");
    source_has(&g, 1, "\"text\":\"twee & drie\"");
    source_has(&g, 1, "\"sent\":\"2020-09-13T12:26:42.500Z\"");
    source_has(&g, 2, "\"sent\":\"2020-09-13T12:26:40Z\"");
    assert_non_null(memmem(g.raw.data, g.raw.len, ENTRY("anna", "1600000002500", "twee &amp; drie"), 80));
    source_got_free(&g);
    get(&g,
        "{\"Received Saved Chat History\":[{\"From\":\"anna\",\"Media Type\":\"TEXT\",\"Created\":\"2020-01-01 00:00:02 UTC\",\"Text\":\"b\"}],"
        "\"Sent Saved Chat History\":[{\"To\":\"anna\",\"Media Type\":\"TEXT\",\"Created\":\"2020-01-01 00:00:01 UTC\",\"Text\":\"a\"}]}",
        NULL);
    assert_int_equal(g.conversations, 1);
    source_has(&g, 0, "\"author\":{\"id\":\"owner\"}");
    source_has(&g, 0, "\"text\":\"a\"");
    source_has(&g, 1, "\"author\":{\"id\":\"anna\"}");
    source_got_free(&g);
}

static void damage_stays_where_it_is(void **state)
{
    (void)state;
    static const struct {
        const char *broken;
        size_t in_anna, in_bram;
    } cases[] = {
        { ",{\"From\":\"anna\",\"Content\":\"quote}", 2, 1 }, { ",{\"From\":anna}", 2, 1 }, { ",\"none\"", 2, 1 }, { ",[[[[", 2, 1 },
        { ",{\"From\":\"anna\",\"x\":[1,2}", 2, 1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[2048];
        struct source_got g;
        snprintf(text, sizeof text,
                 "{\"anna\":[" ENTRY("anna", "1600000003000", "na") "%s,\n" ENTRY("anna", "1600000001000",
                                                                                  "voor") "],\n\"bram\":[" ENTRY("bram", "1", "ander") "]}",
                 cases[i].broken);
        get(&g, text, NULL);
        size_t anna = 0, bram = 0;
        for (size_t r = 0; r < g.n; r++) {
            struct kluis_str l = source_line(&g, r);
            bool message = memmem(l.ptr, l.len, "\"kind\":\"message\"", 16) != NULL,
                 of_anna = memmem(l.ptr, l.len, "\"conversation\":{\"id\":\"anna\"", 26) != NULL;
            anna += message && of_anna;
            bram += message && !of_anna;
            if (message) { assert_true((memmem(l.ptr, l.len, "ander", 5) != NULL) == !of_anna); }
        }
        if (anna != cases[i].in_anna || bram != cases[i].in_bram || g.n_kind[KLUIS_GAP] != 1) {
            fail_msg("case %zu: %.*s", i, (int)g.lines.len, g.lines.data);
        }
        source_got_free(&g);
    }
    struct source_got g; /* the end of one list and the name of the next are in it */
    get(&g, "{\"anna\":[" ENTRY("anna", "1600000003000", "na") ",{\"From\":\"weg\n],\"bram\":[" ENTRY("bram", "1", "ander") "]}", NULL);
    assert_int_equal(g.conversations, 2);
    source_has(&g, 0, "\"event\":\"damaged\"");
    source_has(&g, 1, "\"text\":\"na\"");
    source_has(&g, 2, "\"conversation\":{\"id\":\"bram\"");
    source_got_free(&g);
}

static void what_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const none[] = { "", "{}", "[]", "x", "{\"anna\":3}", "{\"anna\":[]}", "{\"a\":{\"b\":[[[" };
    source_refused(&source_snapchat, dir, "chat_history.json", none, sizeof none / sizeof *none);
    struct source_got g;
    source_get(&g, &source_snapchat, dir, "zone=UTC", (char *)NULL);
    assert_int_equal(g.rc, KLUIS_E_USAGE);
    source_got_free(&g);
}

static void it_survives(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(d, 8 << 20);
    static const char text[] = "{\"anna\":[" ENTRY(
        "anna", "1600000002500", "twee &amp; &#128512;") ",{\"From\":\"ik\",\"Media Type\":\"STATUSCALLMISSEDAUDIO\",\"IsSender\":true}],"
                                                         "\"0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9\":[" ENTRY(
                                                             "bram", "1", "x") "],\"Sent Snap History\":[{\"To\":\"cees\",\"Media "
                                                                               "Type\":\"IMAGE\",\"Created\":\"2020-01-01 00:00:01 UTC\"}]}";
    source_torture(&source_snapchat, dir, "chat_history.json", text, sizeof text - 1, 3, 400);
    kluis_buf_cstr(&d, "{\"anna\":[" ENTRY("anna", "5", "na") ",{\"From\":");
    source_nested(&d);
    kluis_buf_cstr(&d, "}," ENTRY("anna", "4", "midden") ",{\"From\":\"");
    for (int i = 0; i < 3 << 20; i++) { kluis_buf_byte(&d, 'x'); } /* larger than an entry may be */
    kluis_buf_cstr(&d, "\"}," ENTRY("anna", "3", "voor") "]}");
    char path[KLUIS_PATH_MAX];
    struct source_got g;
    source_put(dir, "chat_history.json", d.data, d.len, path);
    source_get(&g, &source_snapchat, path, (char *)NULL);
    assert_int_equal(g.rc, KLUIS_OK);
    assert_int_equal(g.n_kind[KLUIS_MESSAGE], 3);
    assert_int_equal(g.n_kind[KLUIS_GAP], 2);
    source_got_free(&g);
}

static struct {
    size_t listed, opened;
} asked;

static int count(const char *op, KLUIS_UNUSED const char *path, KLUIS_UNUSED int fd)
{
    asked.listed += strcmp(op, "readdir") == 0 || strcmp(op, "stat") == 0;
    asked.opened += strcmp(op, "open") == 0;
    return 0;
}

/* Asked for once a package: the folder, however large, is not listed again, and a name leads to nothing that a list would not hold. */
static void an_attachment_is_opened_by_its_name(void **state)
{
    (void)state;
    char path[KLUIS_PATH_MAX], sub[KLUIS_PATH_MAX];
    uint8_t got[16];
    static const struct kluis_hooks counting = { .io_fault = count };
    struct kluis_err err = { 0 };
    assert_int_equal(kluis_path(sub, sizeof sub, dir, "many", &err), KLUIS_OK);
    assert_int_equal(kluis_make_dir(sub, &err), KLUIS_OK);
    for (int i = 0; i < 200; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "chat-%d.jpg", i);
        source_put(sub, name, "beeld", 5, path);
    }
    source_put(dir, "buiten.jpg", "geheim", 6, path);
    assert_int_equal(kluis_path(path, sizeof path, sub, "link.jpg", &err), KLUIS_OK);
    assert_int_equal(symlink("../buiten.jpg", path), 0);
    assert_int_equal(kluis_path(path, sizeof path, sub, "map", &err), KLUIS_OK);
    assert_int_equal(symlink("..", path), 0);
    asked.listed = asked.opened = 0;
    kluis_hooks_set(&counting);
    size_t n = source_attachment(&source_snapchat, sub, KLUIS_STR_LIT("chat-7.jpg"), got, sizeof got);
    kluis_hooks_set(NULL);
    assert_int_equal(n, 5);
    assert_int_equal(asked.listed, 0);
    assert_in_range(asked.opened, 2, 3);
    static const char *const none[] = {
        "", ".", "..", "../buiten.jpg", "link.jpg", "map/buiten.jpg", "./chat-7.jpg", "/etc/hostname", "chat-7.jpg/", "a/b/c"
    };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        if (source_attachment(&source_snapchat, sub, kluis_str_of(none[i]), got, sizeof got) != SIZE_MAX) { fail_msg("%s was given", none[i]); }
    }
    assert_int_equal(kluis_path(path, sizeof path, sub, "chat-3.jpg", &err), KLUIS_OK); /* beside one file of it */
    assert_int_equal(source_attachment(&source_snapchat, path, KLUIS_STR_LIT("chat-7.jpg"), got, sizeof got), 5);
}

int main(void)
{
    struct kluis_err err = { 0 };
    if (kluis_base_init(&err) != KLUIS_OK || !test_dir("snapchat", dir, sizeof dir)) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_shapes_are_read),
        cmocka_unit_test(damage_stays_where_it_is),
        cmocka_unit_test(what_is_none_is_refused),
        cmocka_unit_test(an_attachment_is_opened_by_its_name),
        cmocka_unit_test(it_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
