/* xml.h - a small document as a tree: elements and text, nothing else.  Never leaves the folder.
 *
 * XML 1.0 with namespaces, UTF-8, without DTD, entities of its own, comments, CDATA or processing instructions: "<!" and "<?" refuse. */
#ifndef PACKAGE_XML_H
#define PACKAGE_XML_H

#include "kluis/base.h"

enum { XML_DEPTH_MAX = 64, XML_NODES_MAX = 400000 }; /* of the longest Archiefstuk, 10,000 files: 5 levels, 90,000 nodes */

struct xml_node {
    const char *name;      /* of an element, without prefix; NULL: text */
    const char *namespace; /* of an element; "" when it has none */
    const char *text;      /* of a text node, as one with all that touches it */
    struct xml_node *children, *next;
};

/* *root lives in the arena.  E_REJECT: not such a document, or too deep or too many nodes; E_NOMEM. */
KLUIS_MUSTUSE kluis_status xml_read(struct kluis_bytes xml, struct kluis_arena *arena, const struct xml_node **root, struct kluis_err *err);
/* Before a sandbox closes: draws what a parser wants to be unpredictable. */
void xml_warm(void);

#endif
