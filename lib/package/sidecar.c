/* sidecar.c - MDTO sidecars: their form, and whether they agree with the package. */
#include "sidecar.h"

#include "xml.h"

enum { SIDECAR_ARENA = 128 << 20 };

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

static bool is(const struct xml_node *n, const char *name) { return n != NULL && n->name != NULL && strcmp(n->name, name) == 0; }

static const struct xml_node *child(const struct xml_node *n, const char *name)
{
    for (const struct xml_node *c = n == NULL ? NULL : n->children; c != NULL; c = c->next) {
        if (is(c, name)) { return c; }
    }
    return NULL;
}

/* Text of an element that holds text alone; "" when it holds anything else. */
static const char *text(const struct xml_node *n)
{
    const struct xml_node *c = n == NULL ? NULL : n->children;
    return c != NULL && c->name == NULL && c->next == NULL ? c->text : "";
}

static bool says(const struct xml_node *n, const char *want) { return n != NULL && strcmp(text(n), want) == 0; }

static bool obeys(const struct xml_node *object, const struct rule *rules)
{
    unsigned seen = 0;
    for (const struct xml_node *c = object->children; c != NULL; c = c->next) {
        if (c->name == NULL) { return false; }
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

/* The one object in the document, or NULL. */
static const struct xml_node *object_of(const struct xml_node *root, const char *kind, const struct rule *rules)
{
    if (!is(root, "MDTO") || strcmp(root->namespace, mdto_namespace) != 0) { return NULL; }
    const struct xml_node *object = root->children;
    if (!is(object, kind) || object->next != NULL || !obeys(object, rules)) { return NULL; }
    return object;
}

/* An identificatieGegevens with this kenmerk; its bron is the same throughout a package. */
static bool identified(const struct xml_node *group, const char *id, struct sidecar_scope *s)
{
    const char *source = text(child(group, "identificatieBron"));
    if (s->source[0] == '\0') { (void)snprintf(s->source, sizeof s->source, "%s", source); }
    return says(child(group, "identificatieKenmerk"), id) && source[0] != '\0' && strcmp(source, s->source) == 0;
}

static bool refers(const struct xml_node *reference, const char *id, struct sidecar_scope *s)
{
    return identified(child(reference, "verwijzingIdentificatie"), id, s);
}

static bool labelled(const struct xml_node *concept_, const char *label) { return says(child(concept_, "begripLabel"), label); }

static const char *judge_bestand(const struct xml_node *o, const char *file, uint64_t size, const uint8_t sha256[32], struct sidecar_scope *s)
{
    char id[KLUIS_PACKAGE_NAME_MAX + 32], number[24], hex[65];
    (void)snprintf(id, sizeof id, "%s/%s", s->part, file);
    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)size);
    kluis_hex(sha256, 32, hex);
    const struct xml_node *checksum = child(o, "checksum");
    if (!identified(child(o, "identificatie"), id, s)) { return "another identificatie"; }
    if (!says(child(o, "naam"), file)) { return "another naam"; }
    if (!says(child(o, "omvang"), number)) { return "another omvang"; }
    if (!labelled(child(checksum, "checksumAlgoritme"), "SHA-256") || !says(child(checksum, "checksumWaarde"), hex)) { return "another checksum"; }
    if (!refers(child(o, "isRepresentatieVan"), s->part, s)) { return "another isRepresentatieVan"; }
    return NULL;
}

/* A reference to the dossier: its full id begins with its directory's name and is the same everywhere. */
static bool dossier_id(const struct xml_node *group, struct sidecar_scope *s)
{
    const char *id = text(child(group, "identificatieKenmerk"));
    if (strlen(id) != FORM_DOSSIER_ID - 1 || strncmp(id, s->dossier_dir, FORM_DOSSIER_DIR - 1) != 0) { return false; }
    if (s->dossier[0] == '\0') { memcpy(s->dossier, id, FORM_DOSSIER_ID); }
    return identified(group, s->dossier, s);
}

static const char *judge_common(const struct xml_node *o, struct sidecar_scope *s)
{
    const char *creator = text(child(child(o, "archiefvormer"), "verwijzingNaam"));
    if (s->creator[0] == '\0') { (void)snprintf(s->creator, sizeof s->creator, "%s", creator); }
    if (creator[0] == '\0' || strcmp(creator, s->creator) != 0) { return "another archiefvormer"; }
    const char *code = text(child(child(o, "waardering"), "begripCode"));
    if (code[0] == '\0' || code[1] != '\0' || strchr("BVN", code[0]) == NULL) { return "no waardering B, V or N"; }
    if (child(o, "bewaartermijn") != NULL && code[0] != 'V') { return "a bewaartermijn without waardering V"; }
    return NULL;
}

static const char *judge_archiefstuk(const struct xml_node *o, const char *const *files, size_t n, struct sidecar_scope *s)
{
    size_t i = 0;
    if (!identified(child(o, "identificatie"), s->part, s)) { return "another identificatie"; }
    if (!labelled(child(o, "aggregatieniveau"), "Archiefstuk")) { return "another aggregatieniveau"; }
    if (!dossier_id(child(child(o, "isOnderdeelVan"), "verwijzingIdentificatie"), s)) { return "another isOnderdeelVan"; }
    for (const struct xml_node *c = o->children; c != NULL; c = c->next) {
        if (!is(c, "heeftRepresentatie")) { continue; }
        char id[KLUIS_PACKAGE_NAME_MAX + 32];
        if (i == n) { return "a heeftRepresentatie too many"; }
        (void)snprintf(id, sizeof id, "%s/%s", s->part, files[i++]);
        if (!refers(c, id, s)) { return "another heeftRepresentatie"; }
    }
    return i == n ? judge_common(o, s) : "a heeftRepresentatie too few";
}

static const char *judge_dossier(const struct xml_node *o, struct sidecar_scope *s)
{
    if (!dossier_id(child(o, "identificatie"), s)) { return "another identificatie"; }
    if (!labelled(child(o, "aggregatieniveau"), "Dossier")) { return "another aggregatieniveau"; }
    if (!refers(child(o, "bevatOnderdeel"), s->part, s)) { return "another bevatOnderdeel"; }
    return judge_common(o, s);
}

static const char not_mdto[] = "not an MDTO object in the form of FORMAT.md 5.5";

/* One sidecar, and what the judges of the three kinds need. */
struct sidecar {
    const char *what, *kind;
    const struct rule *rules;
    struct sidecar_scope *scope;
    const char *const *files; /* names: of the one beside a Bestand, of all of an Archiefstuk */
    size_t n;
    uint64_t size;
    const uint8_t *sha256;
};

static const char *judge_one_file(const struct xml_node *o, const struct sidecar *s)
{
    return judge_bestand(o, s->files[0], s->size, s->sha256, s->scope);
}
static const char *judge_part(const struct xml_node *o, const struct sidecar *s) { return judge_archiefstuk(o, s->files, s->n, s->scope); }
static const char *judge_whole(const struct xml_node *o, const struct sidecar *s) { return judge_dossier(o, s->scope); }

static kluis_status judge(struct kluis_bytes xml, const struct sidecar *s,
                          const char *(*judge_object)(const struct xml_node *, const struct sidecar *), struct kluis_err *err)
{
    const struct xml_node *root = NULL;
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(SIDECAR_ARENA);
    kluis_status rc = arena == NULL ? KLUIS_E_NOMEM : xml_read(xml, arena, &root, NULL);
    /* A parser without memory has not judged anything. */
    if (rc == KLUIS_E_NOMEM) { return KLUIS_FAIL(err, rc, "out of memory for the sidecar of %s", s->what); }
    const struct xml_node *o = rc == KLUIS_OK ? object_of(root, s->kind, s->rules) : NULL;
    const char *why = o == NULL ? not_mdto : judge_object(o, s);
    return why == NULL ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_REJECT, "the sidecar of %s: %s", s->what, why);
}

kluis_status sidecar_bestand(struct kluis_bytes xml, const char *file, uint64_t size, const uint8_t sha256[32], struct sidecar_scope *scope,
                             struct kluis_err *err)
{
    const struct sidecar s = { "a file", "bestand", file_rules, scope, &file, 1, size, sha256 };
    return judge(xml, &s, judge_one_file, err);
}

kluis_status sidecar_archiefstuk(struct kluis_bytes xml, const char *const *files, size_t n, struct sidecar_scope *scope, struct kluis_err *err)
{
    const struct sidecar s = { "the Archiefstuk", "informatieobject", object_rules, scope, files, n, 0, NULL };
    return judge(xml, &s, judge_part, err);
}

kluis_status sidecar_dossier(struct kluis_bytes xml, struct sidecar_scope *scope, struct kluis_err *err)
{
    const struct sidecar s = { "the Dossier", "informatieobject", object_rules, scope, NULL, 0, 0, NULL };
    return judge(xml, &s, judge_whole, err);
}

void kluis_package_warm(void)
{
    static const char warm[] = "warm";
    xml_warm();
    (void)form_crc32(0, warm, sizeof warm);
}
