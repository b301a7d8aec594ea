/* mdto.c - the sidecars: Dossier, Archiefstuk, Bestand (MDTO 1.0, XSD 1.0.1, already without empty values).
 *
 * No indentation and no optional attributes: there is one sidecar for every file, so their size counts. */
#include "mdto.h"

#define LIST(name) "<begripBegrippenlijst><verwijzingNaam>" name "</verwijzingNaam></begripBegrippenlijst>"

/* Escapes text for XML 1.0; what XML cannot hold becomes U+FFFD, white space a space. */
static void text(struct kluis_buf *b, struct kluis_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        switch (c) {
        case '&': kluis_buf_cstr(b, "&amp;"); continue;
        case '<': kluis_buf_cstr(b, "&lt;"); continue;
        case '>': kluis_buf_cstr(b, "&gt;"); continue;
        case '\t':
        case '\n':
        case '\r': kluis_buf_byte(b, ' '); continue;
        default: break;
        }
        bool noncharacter = c == 0xef && i + 2 < s.len && (unsigned char)s.ptr[i + 1] == 0xbf && (unsigned char)s.ptr[i + 2] >= 0xbe;
        if (c < 0x20 || noncharacter) {
            kluis_buf_cstr(b, "\xef\xbf\xbd");
            if (noncharacter) { i += 2; }
        } else {
            kluis_buf_byte(b, c);
        }
    }
}

static bool blank(struct kluis_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.ptr[i] > ' ') { return false; }
    }
    return true;
}

static void element(struct kluis_buf *b, const char *name, struct kluis_str value)
{
    kluis_buf_fmt(b, "<%s>", name);
    text(b, value);
    kluis_buf_fmt(b, "</%s>", name);
}

static void start(struct kluis_buf *b, const char *kind)
{
    kluis_buf_fmt(b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<MDTO xmlns=\"https://www.nationaalarchief.nl/mdto\"><%s>", kind);
}

static void end(struct kluis_buf *b, const char *kind) { kluis_buf_fmt(b, "</%s></MDTO>\n", kind); }

static void day(struct kluis_buf *b, const char *name, int64_t us)
{
    char t[KLUIS_TIME_TEXT];
    kluis_time_text(t, us, 0, 0);
    element(b, name, (struct kluis_str){ t, 10 });
}

static void moment(struct kluis_buf *b, const char *name, int64_t us)
{
    char t[KLUIS_TIME_TEXT];
    size_t n = kluis_time_text(t, us, 0, 0);
    element(b, name, (struct kluis_str){ t, n });
}

/* identificatieKenmerk is unique within its bron, the device. */
static void identity(struct kluis_buf *b, const struct mdto_scope *s, const char *tag, const char *id, const char *file)
{
    kluis_buf_fmt(b, "<%s><identificatieKenmerk>%s", tag, id);
    if (file != NULL) { kluis_buf_fmt(b, "/%s", file); }
    kluis_buf_cstr(b, "</identificatieKenmerk><identificatieBron>Chatkluis-apparaat ");
    text(b, s->meta->device);
    kluis_buf_fmt(b, "</identificatieBron></%s>", tag);
}

static void part_id(const struct mdto_scope *s, char out[FORM_PART_DIR])
{
    (void)snprintf(out, FORM_PART_DIR, "deel-%llu", (unsigned long long)s->meta->sequence);
}

static void dossier_name(struct kluis_buf *b, const struct mdto_scope *s)
{
    const struct kluis_header *h = s->meta->header;
    text(b, blank(h->conversation_name) ? blank(h->conversation_id) ? KLUIS_STR_LIT("(zonder naam)") : h->conversation_id : h->conversation_name);
}

static void part_name(struct kluis_buf *b, const struct mdto_scope *s)
{
    dossier_name(b, s);
    kluis_buf_fmt(b, ", deel %u", s->meta->part);
}

static void dossier_reference(struct kluis_buf *b, const struct mdto_scope *s, const char *tag)
{
    kluis_buf_fmt(b, "<%s><verwijzingNaam>", tag);
    dossier_name(b, s);
    kluis_buf_cstr(b, "</verwijzingNaam>");
    identity(b, s, "verwijzingIdentificatie", s->dossier_id, NULL);
    kluis_buf_fmt(b, "</%s>", tag);
}

static void part_reference(struct kluis_buf *b, const struct mdto_scope *s, const char *tag)
{
    char id[FORM_PART_DIR];
    part_id(s, id);
    kluis_buf_fmt(b, "<%s><verwijzingNaam>", tag);
    part_name(b, s);
    kluis_buf_cstr(b, "</verwijzingNaam>");
    identity(b, s, "verwijzingIdentificatie", id, NULL);
    kluis_buf_fmt(b, "</%s>", tag);
}

static void coverage(struct kluis_buf *b, const struct mdto_scope *s)
{
    if (s->meta->first_us == KLUIS_TIME_ABSENT) { return; }
    kluis_buf_cstr(b, "<dekkingInTijd><dekkingInTijdType><begripLabel>Periode van de berichten</begripLabel>" LIST(
                          "Begrippenlijst dekkingInTijd Chatkluis") "</dekkingInTijdType>");
    day(b, "dekkingInTijdBegindatum", s->meta->first_us);
    day(b, "dekkingInTijdEinddatum", s->meta->last_us);
    kluis_buf_cstr(b, "</dekkingInTijd>");
}

/* waardering, bewaartermijn, informatiecategorie: nothing is inherited in MDTO, so every level states them. */
static void retention(struct kluis_buf *b, const struct mdto_scope *s)
{
    const struct kluis_package_meta *m = s->meta;
    const char *label = m->waardering == 'B' ? "Blijvend te bewaren" : m->waardering == 'V' ? "Tijdelijk te bewaren" : "Nader te bepalen";
    kluis_buf_fmt(b, "<waardering><begripLabel>%s</begripLabel><begripCode>%c</begripCode>" LIST("Begrippenlijst Waarderingen MDTO") "</waardering>",
                  label, m->waardering);
    if (m->waardering == 'V' && m->bewaartermijn.ptr != NULL) {
        kluis_buf_cstr(b, "<bewaartermijn><termijnTriggerStartLooptijd><begripLabel>Bevriezing</begripLabel>" LIST(
                              "Begrippenlijst EventTypeLijst MDTO") "</termijnTriggerStartLooptijd>");
        day(b, "termijnStartdatumLooptijd", m->closed_us);
        element(b, "termijnLooptijd", m->bewaartermijn);
        kluis_buf_cstr(b, "</bewaartermijn>");
    }
    if (!blank(m->retention_class)) {
        kluis_buf_cstr(b, "<informatiecategorie>");
        element(b, "begripLabel", blank(m->retention_label) ? m->retention_class : m->retention_label);
        element(b, "begripCode", m->retention_class);
        kluis_buf_cstr(b, "<begripBegrippenlijst><verwijzingNaam>Selectielijst ");
        text(b, m->organisation);
        kluis_buf_cstr(b, "</verwijzingNaam></begripBegrippenlijst></informatiecategorie>");
    }
}

static void creator(struct kluis_buf *b, const struct mdto_scope *s)
{
    kluis_buf_cstr(b, "<archiefvormer>");
    element(b, "verwijzingNaam", s->meta->organisation);
    if (!blank(s->meta->organisation_id)) {
        kluis_buf_cstr(b, "<verwijzingIdentificatie>");
        element(b, "identificatieKenmerk", s->meta->organisation_id);
        kluis_buf_cstr(b, "<identificatieBron>Identificatie van de organisatie</identificatieBron></verwijzingIdentificatie>");
    }
    kluis_buf_cstr(b, "</archiefvormer>");
}

static void restriction(struct kluis_buf *b)
{
    kluis_buf_cstr(b, "<beperkingGebruik><beperkingGebruikType><begripLabel>Nader te bepalen</begripLabel>" LIST(
                          "Begrippenlijst BeperkingGebruikTypeLijst MDTO") "</beperkingGebruikType></beperkingGebruik>");
}

static void level(struct kluis_buf *b, const char *label)
{
    kluis_buf_fmt(b, "<aggregatieniveau><begripLabel>%s</begripLabel>" LIST("Begrippenlijst Aggregatieniveaus MDTO") "</aggregatieniveau>", label);
}

void mdto_dossier(const struct mdto_scope *s, struct kluis_buf *out)
{
    start(out, "informatieobject");
    identity(out, s, "identificatie", s->dossier_id, NULL);
    kluis_buf_cstr(out, "<naam>");
    dossier_name(out, s);
    kluis_buf_cstr(out, "</naam>");
    level(out, "Dossier");
    coverage(out, s);
    retention(out, s);
    part_reference(out, s, "bevatOnderdeel");
    creator(out, s);
    restriction(out);
    end(out, "informatieobject");
}

static void people(struct kluis_buf *b, const struct kluis_header *h)
{
    for (uint32_t i = 0; i < h->n_participants; i++) {
        const struct kluis_party *p = &h->parties[h->participants[i]];
        struct kluis_str shown = !blank(p->name) ? p->name : !blank(p->number) ? p->number : p->id;
        if (blank(shown)) { continue; }
        kluis_buf_cstr(b, "<betrokkene><betrokkeneTypeRelatie><begripLabel>Deelnemer</begripLabel>" LIST(
                              "Begrippenlijst relatietypen Chatkluis") "</betrokkeneTypeRelatie><betrokkeneActor>");
        element(b, "verwijzingNaam", shown);
        kluis_buf_cstr(b, "</betrokkeneActor></betrokkene>");
    }
}

void mdto_archiefstuk(const struct mdto_scope *s, const struct mdto_file *files, size_t n, struct kluis_buf *out)
{
    char id[FORM_PART_DIR];
    part_id(s, id);
    start(out, "informatieobject");
    identity(out, s, "identificatie", id, NULL);
    kluis_buf_cstr(out, "<naam>");
    part_name(out, s);
    kluis_buf_cstr(out, "</naam>");
    level(out, "Archiefstuk");
    coverage(out, s);
    kluis_buf_cstr(out, "<event><eventType><begripLabel>Opname</begripLabel>" LIST("Begrippenlijst EventTypeLijst MDTO") "</eventType>");
    moment(out, "eventTijd", s->meta->closed_us);
    kluis_buf_cstr(out, "</event>");
    retention(out, s);
    dossier_reference(out, s, "isOnderdeelVan");
    for (size_t i = 0; i < n; i++) {
        kluis_buf_fmt(out, "<heeftRepresentatie><verwijzingNaam>%s</verwijzingNaam>", files[i].name);
        identity(out, s, "verwijzingIdentificatie", id, files[i].name);
        kluis_buf_cstr(out, "</heeftRepresentatie>");
    }
    creator(out, s);
    people(out, s->meta->header);
    restriction(out);
    end(out, "informatieobject");
}

void mdto_bestand(const struct mdto_scope *s, const struct mdto_file *f, struct kluis_buf *out)
{
    char id[FORM_PART_DIR], hex[65];
    part_id(s, id);
    kluis_hex(f->sha256, 32, hex);
    start(out, "bestand");
    identity(out, s, "identificatie", id, f->name);
    kluis_buf_fmt(out, "<naam>%s</naam><omvang>%llu</omvang><bestandsformaat>", f->name, (unsigned long long)f->size);
    if (f->format.pronom) {
        kluis_buf_fmt(out, "<begripLabel>%s</begripLabel><begripCode>%s</begripCode>" LIST("PRONOM-register"), f->format.label, f->format.code);
    } else {
        element(out, "begripLabel", kluis_str_of(f->media_type[0] != '\0' ? f->media_type : "application/octet-stream"));
        kluis_buf_cstr(out, LIST("IANA Media types"));
    }
    kluis_buf_cstr(out, "</bestandsformaat><checksum><checksumAlgoritme><begripLabel>SHA-256</begripLabel>" LIST(
                            "Begrippenlijst ChecksumAlgoritme MDTO") "</checksumAlgoritme>");
    kluis_buf_fmt(out, "<checksumWaarde>%s</checksumWaarde>", hex);
    moment(out, "checksumDatum", s->meta->closed_us);
    kluis_buf_cstr(out, "</checksum>");
    part_reference(out, s, "isRepresentatieVan");
    end(out, "bestand");
}

/* ---- formats ---------------------------------------------------------------------------------- */

static bool ends(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);
    return n >= m && strcasecmp(name + n - m, suffix) == 0;
}

struct magic {
    const char *bytes;
    unsigned char n, at;
    const char *suffix;
    const char *label, *code;
    bool packed;
};

/* PRONOM identifiers by first bytes, and by name where many formats share a container. */
static const struct magic magics[] = {
    { "\x89PNG\r\n\x1a\n", 8, 0, NULL, "Portable Network Graphics 1.2", "fmt/13", true },
    { "JFIF\0\x01\x01", 7, 6, NULL, "JPEG File Interchange Format 1.01", "fmt/43", true },
    { "JFIF\0\x01\x02", 7, 6, NULL, "JPEG File Interchange Format 1.02", "fmt/44", true },
    { "\xff\xd8\xff", 3, 0, NULL, "Raw JPEG Stream", "fmt/41", true },
    { "WEBPVP8 ", 8, 8, NULL, "WebP lossy", "fmt/566", true },
    { "WEBPVP8L", 8, 8, NULL, "WebP lossless", "fmt/567", true },
    { "WEBPVP8X", 8, 8, NULL, "WebP extended", "fmt/568", true },
    { "GIF87a", 6, 0, NULL, "Graphics Interchange Format 87a", "fmt/3", true },
    { "GIF89a", 6, 0, NULL, "Graphics Interchange Format 89a", "fmt/4", true },
    { "ftypheic", 8, 4, NULL, "High Efficiency Image File Format", "fmt/1101", true },
    { "ftypmif1", 8, 4, NULL, "High Efficiency Image File Format", "fmt/1101", true },
    { "ftyp3g", 6, 4, NULL, "3GPP Audio/Video File", "fmt/357", true },
    { "ftyp", 4, 4, NULL, "MPEG-4 Media File", "fmt/199", true },
    { "OpusHead", 8, 28, NULL, "Ogg Opus Codec Compressed Multimedia File", "fmt/946", true },
    { "%PDF-1.4", 8, 0, NULL, "Acrobat PDF 1.4", "fmt/18", false },
    { "%PDF-1.5", 8, 0, NULL, "Acrobat PDF 1.5", "fmt/19", false },
    { "%PDF-1.6", 8, 0, NULL, "Acrobat PDF 1.6", "fmt/20", false },
    { "%PDF-1.7", 8, 0, NULL, "Acrobat PDF 1.7", "fmt/276", false },
    { "PK\x03\x04", 4, 0, ".docx", "Microsoft Word for Windows 2007 onwards", "fmt/412", false },
    { "PK\x03\x04", 4, 0, ".zip", "ZIP Format", "x-fmt/263", false },
    { "BEGIN:VCARD", 11, 0, NULL, "vCard", "fmt/395", false },
    { "{", 1, 0, "records.jsonl", "JSON Data Interchange Format", "fmt/817", false },
    { "{", 1, 0, "loss.json", "JSON Data Interchange Format", "fmt/817", false },
    { "", 0, 0, ".txt", "Plain Text File", "x-fmt/111", false },
};

struct mdto_format mdto_format_of(const uint8_t *head, size_t n, const char *name)
{
    for (size_t i = 0; i < sizeof magics / sizeof *magics; i++) {
        const struct magic *m = &magics[i];
        if ((size_t)m->at + m->n > n || memcmp(head + m->at, m->bytes, m->n) != 0) { continue; }
        if (m->suffix != NULL && !ends(name, m->suffix)) { continue; }
        return (struct mdto_format){ m->label, m->code, true, m->packed };
    }
    return (struct mdto_format){ NULL, NULL, false, false };
}
