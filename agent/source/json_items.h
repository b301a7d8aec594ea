/* agent/source/json_items.h - the objects of one long list in a JSON stream, one by one; damage costs what it covers.
 *
 * An element that is no JSON, or not what the caller calls one, is passed over up to the next place that can be one: an object that begins as
 * others of this list did.  What was passed over is told once, with its size.
 */
#ifndef SOURCE_JSON_ITEMS_H
#define SOURCE_JSON_ITEMS_H

#include "agent/source/json.h"
#include "agent/source/json_stream.h"

struct json_items {
    struct json_stream *stream; /* inside the list */
    struct kluis_arena *tree;   /* emptied for every element */
    const char *first;          /* the member such objects begin with, as long as none was seen */
    const char *outer;          /* the first member of the objects in which such lists stand; NULL: the list stands alone */
    void *ctx;
    bool (*is_one)(struct json *m); /* NULL: every object is one */
    /* Borrowed for the call; raw: the element's own bytes, `at` in the document.  Its error ends the going through. */
    kluis_status (*item)(void *ctx, struct json *m, struct kluis_str raw, uint64_t at, struct kluis_err *err);
    /* May be NULL.  to_end: nothing follows that can be read, here or in the document. */
    kluis_status (*damage)(void *ctx, uint64_t at, uint64_t bytes, bool to_end, struct kluis_err *err);
};
enum json_items_end { JSON_ITEMS_CLOSED, JSON_ITEMS_OUTER, JSON_ITEMS_DOCUMENT };
/* *end: the list was closed; or damage swallowed its end, and the stream stands as if json_stream_next had found the next object of `outer`; or
 * the document ended.  E_IO, E_NOMEM, or what item and damage return; never E_REJECT or E_LIMIT of its own. */
KLUIS_MUSTUSE kluis_status json_items(struct json_items *i, enum json_items_end *end, struct kluis_err *err);

#endif
