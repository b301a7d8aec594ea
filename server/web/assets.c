/* server/web/assets.c - the built page inside the binary.  PAGE_DIST comes from the build. */
#include "server/web/assets.h"

#define ASSET(name, file)                                                                                                                            \
    __asm__(".section .rodata\n.global " #name "\n.global " #name "_end\n" #name ":\n.incbin \"" PAGE_DIST "/" file "\"\n" #name                     \
            "_end:\n.byte 0\n.previous\n");                                                                                                          \
    extern const unsigned char name[], name##_end[] /* NOLINT(bugprone-macro-parentheses): a declarator bears none */

ASSET(kluis_page_html, "index.html");
ASSET(kluis_page_js, "app.js");
ASSET(kluis_page_css, "app.css");
ASSET(kluis_page_html_gz, "index.html.gz");
ASSET(kluis_page_js_gz, "app.js.gz");
ASSET(kluis_page_css_gz, "app.css.gz");

const struct web_asset web_assets[] = {
    { "/", "text/html; charset=utf-8", kluis_page_html, kluis_page_html_end, kluis_page_html_gz, kluis_page_html_gz_end },
    { "/app.js", "text/javascript; charset=utf-8", kluis_page_js, kluis_page_js_end, kluis_page_js_gz, kluis_page_js_gz_end },
    { "/app.css", "text/css; charset=utf-8", kluis_page_css, kluis_page_css_end, kluis_page_css_gz, kluis_page_css_gz_end },
};
const size_t web_assets_count = sizeof web_assets / sizeof *web_assets;
