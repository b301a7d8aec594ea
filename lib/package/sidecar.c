/* sidecar.c - MDTO sidecars, read with libxml2 kept on a short leash.
 *
 * Before the parser sees a byte: exactly our XML declaration, and no "<!" or "<?" after it, hence no DTD, entity, comment, CDATA or
 * processing instruction.  No network, no huge documents; the tree is thrown away at once. */
#include "sidecar.h"

#include <libxml/parser.h>
#include <libxml/tree.h>

static const char declaration[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
static const char mdto_namespace[] = "https://www.nationaalarchief.nl/mdto";

/* Children of an element in their order: at least min, at most max of each. */
struct rule {
    const char *name;
    unsigned min, max;
};
enum { MANY = 1000000 };

static const struct rule object_rules[] = {
    { "identificatie", 1, MANY },
    { "naam", 1, 1 },
    { "aggregatieniveau", 1, 1 },
    { "classificatie", 0, MANY },
    { "trefwoord", 0, MANY },
    { "omschrijving", 0, MANY },
    { "raadpleeglocatie", 0, 1 },
    { "dekkingInTijd", 0, MANY },
    { "dekkingInRuimte", 0, MANY },
    { "taal", 0, MANY },
    { "event", 0, MANY },
    { "waardering", 1, 1 },
    { "bewaartermijn", 0, 1 },
    { "informatiecategorie", 0, 1 },
    { "isOnderdeelVan", 0, MANY },
    { "bevatOnderdeel", 0, MANY },
    { "heeftRepresentatie", 0, MANY },
    { "aanvullendeMetagegevens", 0, MANY },
    { "gerelateerdInformatieobject", 0, MANY },
    { "archiefvormer", 1, MANY },
    { "betrokkene", 0, MANY },
    { "activiteit", 0, 1 },
    { "beperkingGebruik", 1, MANY },
    { NULL, 0, 0 },
};
static const struct rule file_rules[] = {
    { "identificatie", 1, MANY },   { "naam", 1, 1 },        { "omvang", 1, 1 },
    { "bestandsformaat", 1, 1 },    { "checksum", 1, MANY }, { "URLBestand", 0, 1 },
    { "isRepresentatieVan", 1, 1 }, { NULL, 0, 0 },
};

static bool is(const xmlNode *n, const char *name) { return n != NULL && n->type == XML_ELEMENT_NODE && strcmp((const char *)n->name, name) == 0; }

static const xmlNode *child(const xmlNode *n, const char *name)
{
    for (const xmlNode *c = n == NULL ? NULL : n->children; c != NULL; c = c->next) {
        if (is(c, name)) { return c; }
    }
    return NULL;
}

/* Text of an element that holds text alone; "" when it holds anything else. */
static const char *text(const xmlNode *n)
{
    const xmlNode *c = n == NULL ? NULL : n->children;
    return c != NULL && c->type == XML_TEXT_NODE && c->next == NULL && c->content != NULL ? (const char *)c->content : "";
}

static bool says(const xmlNode *n, const char *want) { return n != NULL && strcmp(text(n), want) == 0; }

static bool obeys(const xmlNode *object, const struct rule *rules)
{
    unsigned seen = 0;
    for (const xmlNode *c = object->children; c != NULL; c = c->next) {
        if (c->type != XML_ELEMENT_NODE) { return false; }
        while (rules->name != NULL && !is(c, rules->name)) {
            if (seen < rules->min) { return false; }
            rules++;
            seen = 0;
        }
        if (rules->name == NULL || ++seen > rules->max || (c->children == NULL)) { return false; }
    }
    for (; rules->name != NULL; rules++, seen = 0) {
        if (seen < rules->min) { return false; }
    }
    return true;
}

static bool allowed(struct kluis_bytes xml)
{
    const size_t n = sizeof declaration - 1;
    if (xml.ptr == NULL || xml.len < n || memcmp(xml.ptr, declaration, n) != 0 || xml.len > KLUIS_MANIFEST_MAX) { return false; }
    for (size_t i = n; i + 1 < xml.len; i++) {
        if (xml.ptr[i] == '<' && (xml.ptr[i + 1] == '!' || xml.ptr[i + 1] == '?')) { return false; }
    }
    return memchr(xml.ptr, 0, xml.len) == NULL;
}

/* The one object in the document, or NULL. */
static const xmlNode *object_of(const xmlDoc *doc, const char *kind, const struct rule *rules)
{
    const xmlNode *root = doc == NULL || doc->intSubset != NULL ? NULL : doc->children;
    if (!is(root, "MDTO") || root->next != NULL || root->ns == NULL || strcmp((const char *)root->ns->href, mdto_namespace) != 0) { return NULL; }
    const xmlNode *object = root->children;
    if (!is(object, kind) || object->next != NULL || !obeys(object, rules)) { return NULL; }
    return object;
}

/* An identificatieGegevens with this kenmerk; its bron is the same throughout a package. */
static bool identified(const xmlNode *group, const char *id, struct sidecar_scope *s)
{
    const char *source = text(child(group, "identificatieBron"));
    if (s->source[0] == '\0') { (void)snprintf(s->source, sizeof s->source, "%s", source); }
    return says(child(group, "identificatieKenmerk"), id) && source[0] != '\0' && strcmp(source, s->source) == 0;
}

static bool refers(const xmlNode *reference, const char *id, struct sidecar_scope *s)
{
    return identified(child(reference, "verwijzingIdentificatie"), id, s);
}

static bool labelled(const xmlNode *concept_, const char *label) { return says(child(concept_, "begripLabel"), label); }

static const char *judge_bestand(const xmlNode *o, const char *file, uint64_t size, const uint8_t sha256[32], struct sidecar_scope *s)
{
    char id[KLUIS_PACKAGE_NAME_MAX + 32], number[24], hex[65];
    (void)snprintf(id, sizeof id, "%s/%s", s->part, file);
    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)size);
    kluis_hex(sha256, 32, hex);
    const xmlNode *checksum = child(o, "checksum");
    if (!identified(child(o, "identificatie"), id, s)) { return "another identificatie"; }
    if (!says(child(o, "naam"), file)) { return "another naam"; }
    if (!says(child(o, "omvang"), number)) { return "another omvang"; }
    if (!labelled(child(checksum, "checksumAlgoritme"), "SHA-256") || !says(child(checksum, "checksumWaarde"), hex)) { return "another checksum"; }
    if (!refers(child(o, "isRepresentatieVan"), s->part, s)) { return "another isRepresentatieVan"; }
    return NULL;
}

/* A reference to the dossier: its full id begins with its directory's name and is the same everywhere. */
static bool dossier_id(const xmlNode *group, struct sidecar_scope *s)
{
    const char *id = text(child(group, "identificatieKenmerk"));
    if (strlen(id) != FORM_DOSSIER_ID - 1 || strncmp(id, s->dossier_dir, FORM_DOSSIER_DIR - 1) != 0) { return false; }
    if (s->dossier[0] == '\0') { memcpy(s->dossier, id, FORM_DOSSIER_ID); }
    return identified(group, s->dossier, s);
}

static const char *judge_common(const xmlNode *o, struct sidecar_scope *s)
{
    const char *creator = text(child(child(o, "archiefvormer"), "verwijzingNaam"));
    if (s->creator[0] == '\0') { (void)snprintf(s->creator, sizeof s->creator, "%s", creator); }
    if (creator[0] == '\0' || strcmp(creator, s->creator) != 0) { return "another archiefvormer"; }
    const char *code = text(child(child(o, "waardering"), "begripCode"));
    if (code[0] == '\0' || code[1] != '\0' || strchr("BVN", code[0]) == NULL) { return "no waardering B, V or N"; }
    if (child(o, "bewaartermijn") != NULL && code[0] != 'V') { return "a bewaartermijn without waardering V"; }
    return NULL;
}

static const char *judge_archiefstuk(const xmlNode *o, const char *const *files, size_t n, struct sidecar_scope *s)
{
    size_t i = 0;
    if (!identified(child(o, "identificatie"), s->part, s)) { return "another identificatie"; }
    if (!labelled(child(o, "aggregatieniveau"), "Archiefstuk")) { return "another aggregatieniveau"; }
    if (!dossier_id(child(child(o, "isOnderdeelVan"), "verwijzingIdentificatie"), s)) { return "another isOnderdeelVan"; }
    for (const xmlNode *c = o->children; c != NULL; c = c->next) {
        if (!is(c, "heeftRepresentatie")) { continue; }
        char id[KLUIS_PACKAGE_NAME_MAX + 32];
        if (i == n) { return "a heeftRepresentatie too many"; }
        (void)snprintf(id, sizeof id, "%s/%s", s->part, files[i++]);
        if (!refers(c, id, s)) { return "another heeftRepresentatie"; }
    }
    return i == n ? judge_common(o, s) : "a heeftRepresentatie too few";
}

static const char *judge_dossier(const xmlNode *o, struct sidecar_scope *s)
{
    if (!dossier_id(child(o, "identificatie"), s)) { return "another identificatie"; }
    if (!labelled(child(o, "aggregatieniveau"), "Dossier")) { return "another aggregatieniveau"; }
    if (!refers(child(o, "bevatOnderdeel"), s->part, s)) { return "another bevatOnderdeel"; }
    return judge_common(o, s);
}

/* A parser without memory has not judged anything. */
static kluis_status verdict(const char *what, const char *why, struct kluis_err *err)
{
    const xmlError *e = xmlGetLastError();
    if (e != NULL && e->code == XML_ERR_NO_MEMORY) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for the sidecar of %s", what); }
    return why == NULL ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_REJECT, "the sidecar of %s: %s", what, why);
}

static xmlDoc *parse(struct kluis_bytes xml)
{
    xmlResetLastError();
    if (!allowed(xml)) { return NULL; }
    const int options = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_COMPACT | XML_PARSE_NODICT;
    return xmlReadMemory((const char *)xml.ptr, (int)xml.len, NULL, NULL, options);
}

static const char not_mdto[] = "not an MDTO object in the form of FORMAT.md 5.5";

kluis_status sidecar_bestand(struct kluis_bytes xml, const char *file, uint64_t size, const uint8_t sha256[32], struct sidecar_scope *s,
                             struct kluis_err *err)
{
    xmlDoc *doc = parse(xml);
    const xmlNode *o = object_of(doc, "bestand", file_rules);
    const char *why = o == NULL ? not_mdto : judge_bestand(o, file, size, sha256, s);
    xmlFreeDoc(doc);
    return verdict("a file", why, err);
}

kluis_status sidecar_archiefstuk(struct kluis_bytes xml, const char *const *files, size_t n, struct sidecar_scope *s, struct kluis_err *err)
{
    xmlDoc *doc = parse(xml);
    const xmlNode *o = object_of(doc, "informatieobject", object_rules);
    const char *why = o == NULL ? not_mdto : judge_archiefstuk(o, files, n, s);
    xmlFreeDoc(doc);
    return verdict("the Archiefstuk", why, err);
}

kluis_status sidecar_dossier(struct kluis_bytes xml, struct sidecar_scope *s, struct kluis_err *err)
{
    xmlDoc *doc = parse(xml);
    const xmlNode *o = object_of(doc, "informatieobject", object_rules);
    const char *why = o == NULL ? not_mdto : judge_dossier(o, s);
    xmlFreeDoc(doc);
    return verdict("the Dossier", why, err);
}

void kluis_package_warm(void)
{
    static const char warm[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<MDTO xmlns=\"https://www.nationaalarchief.nl/mdto\"/>\n";
    xmlInitParser();
    xmlFreeDoc(parse((struct kluis_bytes){ (const uint8_t *)warm, sizeof warm - 1 }));
    (void)form_crc32(0, warm, sizeof warm);
}
