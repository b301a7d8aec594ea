/* Promise: a message written in HTML comes out as the text its reader saw, every word of it, whatever is wrong with its tags; links and images
 * keep what is behind them; time is proportional to length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>

#include "agent/source/html.h"

static void is_text(const char *html, bool keep_space, const char *want)
{
    KLUIS_AUTO_BUF(b, 1 << 20);
    html_text(kluis_str_of(html), keep_space, NULL, &b, NULL);
    assert_int_equal(b.status, KLUIS_OK);
    kluis_buf_byte(&b, 0);
    if (strcmp((const char *)b.data, want) != 0) { fail_msg("%s gives\n%s\nand not\n%s", html, (const char *)b.data, want); }
}

static void what_was_shown_is_the_text(void **state)
{
    (void)state;
    is_text("Hello world", false, "Hello world");
    is_text("<p>Een</p>\r\n<p>Twee</p>", false, "Een\nTwee");
    is_text("<div><div>a<br>b<br/>c</div></div>", false, "a\nb\nc");
    is_text("<p>a  \n b</p><p>&nbsp;</p><p>c</p>", false, "a b\n\xc2\xa0\nc");
    is_text("<b>vet</b> en <i>schuin</i>", false, "vet en schuin");
    is_text("een<b> twee </b>drie", false, "een twee drie");
    is_text("<ul><li>a</li><li>b</li></ul><ol><li>c</li><li>d</li></ol>na", false, "- a\n- b\n1. c\n2. d\nna");
    is_text("<table><tr><td>1</td><td>2</td></tr><tr><td>3</td><td></td></tr></table>", false, "1\t2\n3");
    is_text("<a href=\"https://voorbeeld.nl/nota\">de nota</a>", false, "de nota <https://voorbeeld.nl/nota>");
    is_text("<a href=\"https://voorbeeld.nl/\">voorbeeld.nl</a>", false, "voorbeeld.nl");
    is_text("<a href='mailto:x@voorbeeld.nl'>x@voorbeeld.nl</a>", false, "x@voorbeeld.nl");
    is_text("<a href=https://a.nl/?a=1&amp;b=2></a>", false, "<https://a.nl/?a=1&b=2>");
    is_text("<img alt=\"Een dijk\" src=x> ligt er", false, "Een dijk ligt er");
    is_text("<pre>a  b\n c</pre>d", false, "a  b\n c\nd");
    is_text("regel 1\nregel  2", true, "regel 1\nregel  2");
    is_text("&lt;b&gt; &amp;amp; &eacute;&#233;&#xe9; &#128512; &#55357; &#0; &euro;&#128;", false, "<b> &amp; ééé 😀 \xef\xbf\xbd \xef\xbf\xbd €€");
    is_text("AT&T, a&b=c; &onbekend; &", false, "AT&T, a&b=c; &onbekend; &");
}

static void what_is_no_tag_is_text(void **state)
{
    (void)state;
    is_text("1 < 2 en 3 > 2", false, "1 < 2 en 3 > 2");
    is_text("a <b", false, "a <b");
    is_text("a <!-- weg --> b <!-- open", false, "a b <!-- open");
    is_text("<3 <<p>x</p>", false, "<3 <\nx");
    is_text("<script>var a = '<p>';</script>x<style>p{}</style>", false, "x");
    is_text("<a title=\"a>b\" href='x'>y</a>", false, "y <x>");
    is_text("<p", false, "<p");
    is_text("", false, "");
    is_text("</p></ul></a></pre>x", false, "x");
}

static enum html_do on_tag(void *ctx, const struct html_tag *t, struct kluis_buf *text)
{
    struct kluis_arena *a = ctx;
    if (html_is(t, "emoji")) {
        kluis_buf_str(text, html_attr(t, "alt", a));
        return HTML_DONE;
    }
    if (html_is(t, "at")) {
        kluis_buf_byte(text, '@');
        return HTML_DONE;
    }
    return html_is(t, "blockquote") ? HTML_ASIDE : html_is(t, "systemeventmessage") ? HTML_SKIP : HTML_USUAL;
}

static void a_hook_decides_about_tags(void **state)
{
    (void)state;
    KLUIS_AUTO(kluis_arena) a = kluis_arena_new(1 << 20);
    KLUIS_AUTO_BUF(b, 1 << 20);
    KLUIS_AUTO_BUF(q, 1 << 20);
    const struct html_hook hook = { a, on_tag };
    html_text(
        KLUIS_STR_LIT(
            "<blockquote><p>eerder <blockquote>nog</blockquote></p></blockquote><p>Dag <at id=\"0\">Sanne</at> <emoji ALT='&#128512;'></emoji></p>"
            "<systemEventMessage>x</systemEventMessage>"),
        false, &hook, &b, &q);
    assert_int_equal(b.len, strlen("Dag @Sanne 😀"));
    assert_memory_equal(b.data, "Dag @Sanne 😀", b.len);
    assert_memory_equal(q.data, "eerder\nnog", q.len);
}

static void hostile_text_costs_no_more_than_its_length(void **state)
{
    (void)state;
    static const char *const parts[] = { "<a", "<a b=\"", "<a b='<a b=\"", "<!--", "<!", "<blockquote>", "<ul><li>", "&#", "<pre>", "<a href=x>" };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        KLUIS_AUTO_BUF(in, 1 << 20);
        KLUIS_AUTO_BUF(out, 16 << 20);
        while (in.status == KLUIS_OK) { kluis_buf_cstr(&in, parts[i]); }
        clock_t before = clock(); /* its own time: others run too */
        html_text((struct kluis_str){ (const char *)in.data, in.len }, false, NULL, &out, NULL);
        assert_int_equal(out.status, KLUIS_OK);
        assert_true((clock() - before) / CLOCKS_PER_SEC < 60); /* hours of it otherwise */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_shown_is_the_text),
        cmocka_unit_test(what_is_no_tag_is_text),
        cmocka_unit_test(a_hook_decides_about_tags),
        cmocka_unit_test(hostile_text_costs_no_more_than_its_length),
    };
    return kluis_base_init(NULL) != KLUIS_OK ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
