/* agent/source/html.h - the text of a message that is written in HTML, as whoever read it saw it.
 *
 * Tolerant: whatever is no tag is text, nothing is left out but tags, comments, scripts and styles.  Not a judge of HTML and no tree: one pass,
 * no recursion, whatever the nesting.  One thread.
 */
#ifndef SOURCE_HTML_H
#define SOURCE_HTML_H

#include "kluis/base.h"

struct html_tag {
    struct kluis_str name;  /* as written: compare with html_is */
    struct kluis_str attrs; /* as written */
    struct kluis_str after; /* what follows the tag */
    bool close, alone;      /* </a>; <a/> */
};
bool html_is(const struct html_tag *t, const char *name); /* lower case */
/* The decoded value of an attribute; absent: not there, or no room in the arena.  Without a value: empty. */
struct kluis_str html_attr(const struct html_tag *t, const char *name, struct kluis_arena *a);

/* Goes through text and tags: true: *words (as written) or, where that is absent, *t; *rest is what remains. */
bool html_next(struct kluis_str *rest, struct html_tag *t, struct kluis_str *words);
/* The decoded text directly inside the first element of this name; absent: there is none. */
struct kluis_str html_inside(struct kluis_str xml, const char *name, struct kluis_arena *a);

/* What to do with a tag before html_text does what is usual for it. */
enum html_do {
    HTML_USUAL,
    HTML_DONE,  /* the hook has done all there is to do (it may have added to the text); what is inside the element stays text */
    HTML_ASIDE, /* likewise, and the text inside the element goes to `aside` instead */
    HTML_SKIP   /* likewise, and the text inside is left out */
};
struct html_hook {
    void *ctx;
    enum html_do (*tag)(void *ctx, const struct html_tag *t, struct kluis_buf *text); /* opening tags only */
};
/* Appends the text of `html`.  Paragraphs, lists, table rows and <br> are lines; cells have a tab between; <li> begins with "- " or "1. "; a link
 * whose words are not its address has " <address>" behind; an image its alt; &nbsp; is U+00A0.  White space is one space but in <pre> and
 * <codeblock>, or everywhere as it is with keep_space.  hook, aside may be NULL.  A failure to allocate stands in out->status. */
void html_text(struct kluis_str html, bool keep_space, const struct html_hook *hook, struct kluis_buf *out, struct kluis_buf *aside);
/* The same of text without tags: entities only. */
void html_decode(struct kluis_str s, struct kluis_buf *out);
/* The code point of a named entity (without & and ;) of HTML 4; 0: none. */
unsigned html_entity(struct kluis_str name);

#endif
