/* Promise: a data backup of Threema reads whole: chats, groups, polls with their votes, reactions, deletions; rows that are none cost themselves
 * alone; the identity in it is never read; nothing is changed.  Files here are our own (eigen), unpacked; the encrypted zip itself:
 * conformance.source.threema. */
#include "source_support.h"

#include <sys/stat.h>

#include "tests/support/test_dir.h"

static char dir[KLUIS_PATH_MAX];

#define HEAD                                                                                                                                         \
    "\"apiid\",\"uid\",\"isoutbox\",\"posted_at\",\"created_at\",\"type\",\"body\",\"quoted_message_apiid\",\"deleted_at\",\"messagestae\",\"g_msg_" \
    "states\"\n"
#define ROW(api, out, type, body)                                                                                                                    \
    "\"" api "\",\"u" api "\",\"" out "\",\"1600000000123\",\"1600000000123\",\"" type "\",\"" body "\",\"\",\"\",\"\",\"\"\n"

static void get(struct source_got *g, const char *text, size_t n, const char *option)
{
    char path[KLUIS_PATH_MAX];
    source_put(dir, "message_ECHOECHO.csv", text, n, path);
    source_get(g, &source_threema, dir, option, (char *)NULL);
}

static void a_row_is_a_message(void **state)
{
    (void)state;
    struct source_got g;
    static const char text[] = HEAD ROW("01", "0", "TEXT", "een \"\"twee\"\", drie\nvier \\\\ vijf") ROW("02", "1", "TEXT", "dank");
    uint8_t before[32], after[32];
    get(&g, text, sizeof text - 1, "self=MYSELF00");
    assert_int_equal(g.rc, KLUIS_OK);
    source_has(&g, 0, "\"id\":\"ECHOECHO:01\"");
    source_has(&g, 0, "\"text\":\"een \\\"twee\\\", drie\\nvier \\\\ vijf\"");
    source_has(&g, 0, "\"author\":{\"id\":\"ECHOECHO\",\"name\":\"Bram Jansen\"}");
    source_has(&g, 0, "\"sent\":\"2020-09-13T12:26:40.123Z\"");
    source_has(&g, 1, "\"author\":{\"id\":\"MYSELF00\"}");
    source_header_has(&g, "\"type\":\"direct\"");
    source_header_has(&g, "\"self\":0");
    assert_memory_equal(g.raw.data, text + sizeof HEAD - 1, 20); /* the row's own bytes */
    source_got_free(&g);
    source_folder_sum(dir, before);
    source_get(&g, &source_threema, dir, (char *)NULL);
    source_header_has(&g, "own-identity");
    source_folder_sum(dir, after);
    assert_memory_equal(before, after, 32);
    source_got_free(&g);
}

static void damage_costs_a_row(void **state)
{
    (void)state;
    static const char *const broken[] = { "\"02\",\"x\n", "\"02\"x,\"\"\n", "02\n", "\"02\",\"\",\"\",\"\",\"\",\"\",\"\xff\",\"\",\"\",\"\",\"\"\n",
                                          ",,,\n" };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char text[2048];
        struct source_got g;
        snprintf(text, sizeof text, "%s%s%s%s", HEAD ROW("01", "0", "TEXT", "voor"), broken[i], ROW("03", "0", "TEXT", "na"),
                 ROW("04", "0", "TEXT", "nog"));
        get(&g, text, strlen(text), NULL);
        if (g.rc != KLUIS_OK || g.n_kind[KLUIS_MESSAGE] < 1 || g.n_kind[KLUIS_GAP] < 1) {
            fail_msg("case %zu: %s, %zu messages, %zu gaps", i, g.err.msg, g.n_kind[KLUIS_MESSAGE], g.n_kind[KLUIS_GAP]);
        }
        assert_int_equal(g.n_kind[KLUIS_MESSAGE], 3);
        assert_int_equal(g.n_kind[KLUIS_GAP], 1);
        source_got_free(&g);
    }
}

static void older_thumbs_are_reactions(void **state)
{
    (void)state;
    struct source_got g;
    static const char text[] = HEAD "\"01\",\"u\",\"1\",\"1\",\"1\",\"TEXT\",\"x\",\"\",\"\",\"USERACK\",\"{\"\"ECHOECHO\"\":\"\"USERDEC\"\"}\"\n";
    get(&g, text, sizeof text - 1, NULL);
    assert_int_equal(g.rc, KLUIS_OK);
    assert_int_equal(g.n_kind[KLUIS_REACTION], 2);
    source_has(&g, 1, "\"value\":\"👍\"");
    source_has(&g, 1, "\"author\":{\"id\":\"ECHOECHO\"");
    source_has(&g, 2, "\"value\":\"👎\"");
    source_got_free(&g);
}

static void options_and_refusals(void **state)
{
    (void)state;
    struct source_got g;
    struct source_option open = { .key = "password", .value = "geheim" }; /* in the open: an argument */
    struct source_request q = { dir, &open, 1 };
    struct source_sink sink = { 0 };
    struct kluis_err err = { 0 };
    assert_int_equal(source_threema.read(&q, &sink, &err), KLUIS_E_USAGE);
    source_get(&g, &source_threema, dir, "wat=1", (char *)NULL);
    assert_int_equal(g.rc, KLUIS_E_USAGE);
    source_got_free(&g);
    source_get(&g, &source_threema, "tests/fixtures/eigen-telegram", (char *)NULL);
    assert_int_equal(g.rc, KLUIS_E_REJECT);
    source_got_free(&g);
}

static void it_survives(void **state)
{
    (void)state;
    enum { DEEP = 100000 };
    static const char text[] = HEAD ROW("01", "0", "TEXT", "een 😀") ROW("02", "1", "FILE", "[\"\"a\"\",\"\"b\"\",\"\"image/png\"\",4,\"\"x.png\"\"]")
        ROW("03", "0", "LOCATION", "[1.5,2.5,null,\"\"a\"\"]") ROW("04", "0", "BALLOT", "[1,3]")
            ROW("05", "0", "VOIP_STATUS", "[1,{\"\"status\"\":2,\"\"duration\"\":3}]") ROW("06", "0", "GROUP_STATUS", "[4,{\"\"status\"\":3}]");
    for (size_t cut = 0; cut < sizeof text - 1; cut += 5) {
        struct source_got g;
        get(&g, text, cut, NULL);
        if (g.rc != KLUIS_OK && g.rc != KLUIS_E_REJECT) { fail_msg("cut at %zu: %s", cut, g.err.msg); }
        source_got_free(&g);
    }
    uint32_t seed = 7;
    for (unsigned i = 0; i < 300; i++) {
        struct source_got g;
        char copy[sizeof text];
        memcpy(copy, text, sizeof text);
        for (unsigned j = 0; j <= i % 4; j++) {
            seed = seed * 1664525u + 1013904223u;
            copy[(seed >> 3) % (sizeof text - 1)] ^= (char)(1u << (seed & 7));
        }
        get(&g, copy, sizeof text - 1, NULL);
        if (g.rc != KLUIS_OK && g.rc != KLUIS_E_REJECT) { fail_msg("flip %u: %s", i, g.err.msg); }
        source_got_free(&g);
    }
    KLUIS_AUTO_BUF(d, 16 << 20);
    struct source_got g;
    kluis_buf_cstr(&d, HEAD ROW("01", "0", "TEXT", "voor") "\"02\",\"u\",\"0\",\"1\",\"1\",\"FILE\",\"");
    for (int i = 0; i < DEEP; i++) { kluis_buf_byte(&d, '['); }
    kluis_buf_cstr(&d, "\",\"\",\"\",\"\",\"\"\n");
    kluis_buf_cstr(&d, "\"03\",\"u\",\"0\",\"1\",\"1\",\"TEXT\",\"");
    for (int i = 0; i < 5 << 20; i++) { kluis_buf_byte(&d, 'x'); } /* larger than a row may be */
    kluis_buf_cstr(&d, "\",\"\",\"\",\"\",\"\"\n" ROW("04", "0", "TEXT", "na"));
    get(&g, (const char *)d.data, d.len, NULL);
    assert_int_equal(g.rc, KLUIS_OK);
    assert_true(g.n_kind[KLUIS_MESSAGE] >= 3);
    source_got_free(&g);
}

int main(void)
{
    struct kluis_err err = { 0 };
    char path[KLUIS_PATH_MAX];
    static const char contacts[] = "\"identity\",\"verification\",\"firstname\",\"lastname\"\n\"ECHOECHO\",\"X\",\"Bram\",\"Jansen\"\n";
    if (kluis_base_init(&err) != KLUIS_OK || !test_dir("threema", dir, sizeof dir)) { return 1; }
    source_put(dir, "contacts.csv", contacts, sizeof contacts - 1, path);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_a_message),   cmocka_unit_test(damage_costs_a_row), cmocka_unit_test(older_thumbs_are_reactions),
        cmocka_unit_test(options_and_refusals), cmocka_unit_test(it_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
