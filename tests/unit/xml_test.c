/* xml_test.c - sidecars as trees: what is taken, what is refused, and that both have a ceiling. */
#include "lib/package/xml.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"

static kluis_status read_text(const char *text, size_t n, struct kluis_arena *arena, const struct xml_node **root)
{
    *root = NULL;
    return xml_read((struct kluis_bytes){ (const uint8_t *)text, n }, arena, root, NULL);
}

static void a_document_becomes_a_tree(void **state)
{
    (void)state;
    static const char text[] = HEAD "<m:MDTO xmlns:m='urn:x' a='1'><naam>Jan &amp; Pi&#233;t</naam>\n<leeg/></m:MDTO>\n";
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(1 << 20);
    const struct xml_node *n;
    assert_int_equal(read_text(text, sizeof text - 1, arena, &n), KLUIS_OK);
    assert_string_equal(n->name, "MDTO");
    assert_string_equal(n->namespace, "urn:x");
    assert_null(n->next);
    n = n->children;
    assert_string_equal(n->name, "naam");
    assert_string_equal(n->namespace, "");
    assert_null(n->children->name);
    assert_string_equal(n->children->text, "Jan & Pi\xc3\xa9t"); /* one node, however the parser cuts it */
    assert_null(n->children->next);
    n = n->next; /* white space between elements is text like any other */
    assert_null(n->name);
    assert_string_equal(n->text, "\n");
    n = n->next;
    assert_string_equal(n->name, "leeg");
    assert_null(n->children);
    assert_null(n->next);
}

static void what_is_no_plain_document_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "<a/>",
        HEAD,
        HEAD "<a>",
        HEAD "<a></b>",
        HEAD "<a/><b/>",
        HEAD "<a/>b",
        HEAD "<!DOCTYPE a><a/>",
        HEAD "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
        HEAD "<a>&x;</a>",
        HEAD "<a><!-- b --></a>",
        HEAD "<a><![CDATA[b]]></a>",
        HEAD "<a><?b c?></a>",
        HEAD "<x:a/>",
        HEAD "<a b='1' b='2'/>",
        HEAD "<a>&#0;</a>",
        HEAD "<a>&#x1;</a>",
        HEAD "<a>\xff</a>",
        HEAD "<a>\xed\xa0\x80</a>",
        "<?xml version=\"1.0\" encoding=\"UTF-16\"?>\n<a/>",
        "<?xml version=\"1.1\" encoding=\"UTF-8\"?>\n<a/>",
        "\xef\xbb\xbf" HEAD "<a/>",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(1 << 20);
        const struct xml_node *n;
        if (read_text(bad[i], strlen(bad[i]), arena, &n) != KLUIS_E_REJECT || n != NULL) { fail_msg("taken: %s", bad[i]); }
    }
    static const char nul[] = HEAD "<a>\0</a>";
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(1 << 20);
    const struct xml_node *n;
    assert_int_equal(read_text(nul, sizeof nul - 1, arena, &n), KLUIS_E_REJECT);
}

static kluis_status repeated(const char *open, const char *close, size_t times, size_t arena_max)
{
    KLUIS_AUTO_BUF(b, 16 << 20);
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(arena_max);
    const struct xml_node *n;
    kluis_buf_cstr(&b, HEAD "<r>");
    for (size_t i = 0; i < times; i++) { kluis_buf_cstr(&b, open); }
    for (size_t i = 0; i < times; i++) { kluis_buf_cstr(&b, close); }
    kluis_buf_cstr(&b, "</r>");
    assert_int_equal(b.status, KLUIS_OK);
    return read_text((const char *)b.data, b.len, arena, &n);
}

static void depth_and_nodes_have_a_ceiling(void **state)
{
    (void)state;
    assert_int_equal(repeated("<a>", "</a>", XML_DEPTH_MAX - 1, 1 << 20), KLUIS_OK);
    assert_int_equal(repeated("<a>", "</a>", XML_DEPTH_MAX, 1 << 20), KLUIS_E_REJECT);
    assert_int_equal(repeated("<a/>", "", XML_NODES_MAX - 1, 64 << 20), KLUIS_OK);
    assert_int_equal(repeated("<a/>", "", XML_NODES_MAX, 64 << 20), KLUIS_E_REJECT);
    assert_int_equal(repeated("<a/>", "", 10000, 64 << 10), KLUIS_E_NOMEM); /* no room is no verdict */
}

int main(void)
{
    struct kluis_err err = { 0 };
    if (kluis_base_init(&err) != KLUIS_OK) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_becomes_a_tree),
        cmocka_unit_test(what_is_no_plain_document_is_refused),
        cmocka_unit_test(depth_and_nodes_have_a_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
