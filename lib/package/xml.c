/* xml.c - expat on a short leash: no byte reaches it that could begin a DTD, and the tree has a ceiling. */
#include "xml.h"

#include <expat.h>

static const char declaration[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
enum { SEPARATOR = '\n' }; /* between namespace and name: in neither */

static unsigned long warm_salt; /* of expat's tables; 0: each parser draws its own */

struct build {
    XML_Parser parser;
    struct kluis_arena *arena;
    struct xml_node *open[XML_DEPTH_MAX], *last[XML_DEPTH_MAX + 1]; /* elements not closed yet; last child at each depth */
    size_t depth, nodes;
    struct xml_node *root;
    struct kluis_buf text; /* since the last tag */
    kluis_status rc;
};

static void fail(struct build *b, kluis_status rc)
{
    if (b->rc == KLUIS_OK) { b->rc = rc; }
    (void)XML_StopParser(b->parser, XML_FALSE); /* refuses only when it has stopped already */
}

/* A new last child of the element that is open, or the root. */
static struct xml_node *add(struct build *b)
{
    struct xml_node *n = b->nodes++ < XML_NODES_MAX ? kluis_arena_alloc(b->arena, sizeof *n) : NULL;
    if (n == NULL) {
        fail(b, b->nodes > XML_NODES_MAX ? KLUIS_E_REJECT : KLUIS_E_NOMEM);
        return NULL;
    }
    if (b->last[b->depth] != NULL) {
        b->last[b->depth]->next = n;
    } else if (b->depth > 0) {
        b->open[b->depth - 1]->children = n;
    } else {
        b->root = n;
    }
    b->last[b->depth] = n;
    return n;
}

static void end_text(struct build *b)
{
    if (b->text.len == 0 || b->rc != KLUIS_OK) { return; }
    struct xml_node *n = add(b);
    if (n == NULL) { return; }
    n->text = kluis_arena_strndup(b->arena, (const char *)b->text.data, b->text.len);
    if (n->text == NULL) { fail(b, KLUIS_E_NOMEM); }
    kluis_buf_clear(&b->text);
}

static void XMLCALL on_start(void *ctx, const XML_Char *full, const XML_Char **attributes)
{
    struct build *b = ctx;
    (void)attributes;
    end_text(b);
    if (b->rc != KLUIS_OK) { return; }
    if (b->depth == XML_DEPTH_MAX) {
        fail(b, KLUIS_E_REJECT);
        return;
    }
    struct xml_node *n = add(b);
    if (n == NULL) { return; }
    const char *cut = strchr(full, SEPARATOR);
    n->namespace = cut == NULL ? "" : kluis_arena_strndup(b->arena, full, (size_t)(cut - full));
    n->name = kluis_arena_strndup(b->arena, cut == NULL ? full : cut + 1, strlen(cut == NULL ? full : cut + 1));
    if (n->namespace == NULL || n->name == NULL) {
        fail(b, KLUIS_E_NOMEM);
        return;
    }
    b->open[b->depth++] = n;
    b->last[b->depth] = NULL;
}

static void XMLCALL on_end(void *ctx, const XML_Char *full)
{
    struct build *b = ctx;
    (void)full;
    end_text(b);
    if (b->rc == KLUIS_OK) { b->depth--; }
}

static void XMLCALL on_text(void *ctx, const XML_Char *p, int n)
{
    struct build *b = ctx;
    kluis_buf_add(&b->text, p, (size_t)n);
    if (b->text.status != KLUIS_OK) { fail(b, b->text.status == KLUIS_E_LIMIT ? KLUIS_E_REJECT : KLUIS_E_NOMEM); }
}

static bool allowed(struct kluis_bytes xml)
{
    const size_t n = sizeof declaration - 1;
    if (xml.ptr == NULL || xml.len < n || memcmp(xml.ptr, declaration, n) != 0 || xml.len > INT32_MAX) { return false; }
    for (size_t i = n; i + 1 < xml.len; i++) {
        if (xml.ptr[i] == '<' && (xml.ptr[i + 1] == '!' || xml.ptr[i + 1] == '?')) { return false; }
    }
    return memchr(xml.ptr, 0, xml.len) == NULL;
}

static const XML_Memory_Handling_Suite memory = { kluis_malloc, kluis_realloc, kluis_free };

static unsigned long draw_salt(void)
{
    unsigned long salt = 0;
    kluis_random(&salt, sizeof salt);
    return salt | 1; /* 0 has expat draw one itself, with calls that a sandbox forbids */
}

kluis_status xml_read(struct kluis_bytes xml, struct kluis_arena *arena, const struct xml_node **root, struct kluis_err *err)
{
    static const XML_Char separator[] = { SEPARATOR, 0 };
    if (!allowed(xml)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "not a plain XML document"); }
    struct build b = { .arena = arena, .rc = KLUIS_OK, .parser = XML_ParserCreate_MM(NULL, &memory, separator) };
    if (b.parser == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for an XML document"); }
    kluis_buf_init(&b.text, xml.len);
    bool ready = XML_SetHashSalt(b.parser, warm_salt != 0 ? warm_salt : draw_salt()) == 1;
    XML_SetUserData(b.parser, &b);
    XML_SetElementHandler(b.parser, on_start, on_end);
    XML_SetCharacterDataHandler(b.parser, on_text);
    if (!ready || XML_Parse(b.parser, (const char *)xml.ptr, (int)xml.len, XML_TRUE) != XML_STATUS_OK) {
        bool memory_gone = XML_GetErrorCode(b.parser) == XML_ERROR_NO_MEMORY;
        if (b.rc == KLUIS_OK) { b.rc = memory_gone ? KLUIS_E_NOMEM : KLUIS_E_REJECT; }
    }
    XML_ParserFree(b.parser);
    kluis_buf_free(&b.text);
    if (b.rc == KLUIS_E_NOMEM) { return KLUIS_FAIL(err, b.rc, "out of memory for an XML document"); }
    if (b.rc != KLUIS_OK) { return KLUIS_FAIL(err, b.rc, "not a well-formed XML document, or too large a one"); }
    *root = b.root;
    return KLUIS_OK;
}

void xml_warm(void)
{
    if (warm_salt == 0) { warm_salt = draw_salt(); }
}
