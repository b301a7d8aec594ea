/* tags.c - bag-info, the three manifests and loss.json: one text for one set of facts (FORMAT.md §5, §6). */
#include "form.h"

/* ---- bag-info.txt ----------------------------------------------------------------------------- */

static void time_line(struct kluis_buf *out, const char *name, int64_t us, int digits)
{
    char text[KLUIS_TIME_TEXT];
    size_t n = kluis_time_text(text, us, 0, digits);
    kluis_buf_cstr(out, name);
    kluis_buf_add(out, text, n);
    kluis_buf_byte(out, '\n');
}

static void hex_line(struct kluis_buf *out, const char *name, const uint8_t digest[32])
{
    char hex[65];
    kluis_hex(digest, 32, hex);
    kluis_buf_fmt(out, "%s%s\n", name, hex);
}

void form_bag_info(const struct form_bag *b, struct kluis_buf *out)
{
    char day[KLUIS_TIME_TEXT];
    kluis_time_text(day, b->closed_us, 0, 0);
    kluis_buf_cstr(out, "Source-Organization: ");
    kluis_buf_str(out, b->organisation);
    kluis_buf_fmt(out, "\nBagging-Date: %.10s\nPayload-Oxum: %llu.%llu\n", day, (unsigned long long)b->payload_bytes,
                  (unsigned long long)b->payload_files);
    kluis_buf_cstr(out, "Chatkluis-Device: ");
    kluis_buf_str(out, b->device);
    kluis_buf_fmt(out, "\nChatkluis-Sequence: %llu\n", (unsigned long long)b->sequence);
    hex_line(out, "Chatkluis-Previous: ", b->previous);
    kluis_buf_fmt(out, "Chatkluis-Part: %u\n", b->part);
    time_line(out, "Chatkluis-Closed: ", b->closed_us, 0);
    if (b->first_us != KLUIS_TIME_ABSENT) {
        time_line(out, "Chatkluis-First: ", b->first_us, 6);
        time_line(out, "Chatkluis-Last: ", b->last_us, 6);
    }
    kluis_buf_fmt(out, "Chatkluis-Records: %llu\n", (unsigned long long)b->records);
    hex_line(out, "Chatkluis-Records-Root: ", b->records_root);
}

/* The next line's value, if it has this label; absent otherwise. */
static struct kluis_str value(struct kluis_str *text, const char *label)
{
    struct kluis_str v = { NULL, 0 };
    size_t n = strlen(label);
    if (text->len < n || memcmp(text->ptr, label, n) != 0) { return v; }
    const char *from = text->ptr + n, *end = memchr(from, '\n', text->len - n);
    if (end == NULL) { return v; }
    v = (struct kluis_str){ from, (size_t)(end - from) };
    text->len -= (size_t)(end + 1 - text->ptr);
    text->ptr = end + 1;
    return v;
}

static bool number(struct kluis_str s, uint64_t *out)
{
    *out = 0;
    if (s.ptr == NULL || s.len == 0 || s.len > 16) { return false; }
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') { return false; }
        *out = *out * 10 + (uint64_t)(s.ptr[i] - '0');
    }
    return *out <= (uint64_t)KLUIS_INT_MAX_JSON;
}

static bool instant(struct kluis_str s, int64_t *us)
{
    int offset = 0, digits = 0;
    return s.ptr != NULL && kluis_time_parse(s, us, &offset, &digits);
}

kluis_status form_bag_info_read(struct kluis_str text, struct form_bag *b, struct kluis_err *err)
{
    struct kluis_str whole = text;
    *b = (struct form_bag){ .first_us = KLUIS_TIME_ABSENT, .last_us = KLUIS_TIME_ABSENT };
    b->organisation = value(&text, "Source-Organization: ");
    (void)value(&text, "Bagging-Date: ");
    struct kluis_str oxum = value(&text, "Payload-Oxum: ");
    const char *dot = oxum.ptr == NULL ? NULL : memchr(oxum.ptr, '.', oxum.len);
    b->device = value(&text, "Chatkluis-Device: ");
    uint64_t part = 0;
    bool good = dot != NULL && number((struct kluis_str){ oxum.ptr, (size_t)(dot - oxum.ptr) }, &b->payload_bytes) &&
                number((struct kluis_str){ dot + 1, oxum.len - (size_t)(dot + 1 - oxum.ptr) }, &b->payload_files) &&
                number(value(&text, "Chatkluis-Sequence: "), &b->sequence) && kluis_unhex(value(&text, "Chatkluis-Previous: "), b->previous, 32) &&
                number(value(&text, "Chatkluis-Part: "), &part) && instant(value(&text, "Chatkluis-Closed: "), &b->closed_us);
    struct kluis_str first = value(&text, "Chatkluis-First: ");
    if (first.ptr != NULL) { good = good && instant(first, &b->first_us) && instant(value(&text, "Chatkluis-Last: "), &b->last_us); }
    good = good && number(value(&text, "Chatkluis-Records: "), &b->records) &&
           kluis_unhex(value(&text, "Chatkluis-Records-Root: "), b->records_root, 32);
    if (!good || part == 0 || part > UINT32_MAX || b->sequence == 0 || !form_is_organisation(b->organisation) || !form_is_device(b->device) ||
        b->first_us > b->last_us) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "bag-info.txt is not in the form of FORMAT.md 5.4");
    }
    b->part = (unsigned)part;
    KLUIS_AUTO_BUF(again, 16384);
    form_bag_info(b, &again);
    KLUIS_TRY(kluis_buf_ok(&again, err));
    if (again.len != whole.len || memcmp(again.data, whole.ptr, whole.len) != 0) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "bag-info.txt is not in its one canonical form");
    }
    return KLUIS_OK;
}

/* ---- manifests -------------------------------------------------------------------------------- */

static bool is_payload(const char *name) { return strncmp(name, "data/", 5) == 0; }

static bool is_tag(const char *name)
{
    return strcmp(name, "bagit.txt") == 0 || strcmp(name, "bag-info.txt") == 0 || strcmp(name, "manifest-sha256.txt") == 0;
}

static void checksum_line(struct kluis_buf *out, const struct form_entry *e)
{
    char hex[65];
    kluis_hex(e->sha256, 32, hex);
    kluis_buf_add(out, hex, 64);
    kluis_buf_add(out, "  ", 2);
    kluis_buf_cstr(out, e->name);
    kluis_buf_byte(out, '\n');
}

void form_payload_manifest(const struct form_entries *e, struct kluis_buf *out)
{
    for (size_t i = 0; i < e->n; i++) {
        if (is_payload(e->list[i].name)) { checksum_line(out, &e->list[i]); }
    }
}

void form_tag_manifest(const struct form_entries *e, struct kluis_buf *out)
{
    for (size_t i = 0; i < e->n; i++) {
        if (strcmp(e->list[i].name, "mimetype") == 0 || is_tag(e->list[i].name)) { checksum_line(out, &e->list[i]); }
    }
}

static bool is_signed(const char *name) { return is_payload(name) || is_tag(name) || strcmp(name, "tagmanifest-sha256.txt") == 0; }

static bool is_no_mimetype(const char *name) { return strcmp(name, "mimetype") != 0; }

static void asic_manifest(const struct form_entries *e, const char *reference, bool (*lists)(const char *name), struct kluis_buf *out)
{
    kluis_buf_cstr(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                        "<asic:ASiCManifest xmlns:asic=\"http://uri.etsi.org/02918/v1.2.1#\" xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">\n");
    kluis_buf_cstr(out, reference);
    for (size_t i = 0; i < e->n; i++) {
        const struct form_entry *f = &e->list[i];
        if (!lists(f->name)) { continue; }
        char digest[45];
        kluis_base64(f->sha256, 32, digest);
        kluis_buf_cstr(out, "<asic:DataObjectReference URI=\"");
        kluis_buf_cstr(out, f->name);
        kluis_buf_cstr(out, "\"><ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha256\"/><ds:DigestValue>");
        kluis_buf_cstr(out, digest);
        kluis_buf_cstr(out, "</ds:DigestValue></asic:DataObjectReference>\n");
    }
    kluis_buf_cstr(out, "</asic:ASiCManifest>\n");
}

void form_asic_manifest(const struct form_entries *e, struct kluis_buf *out)
{
    asic_manifest(e, "<asic:SigReference URI=\"" FORM_SIGNATURE "\" MimeType=\"application/pkcs7-signature\"/>\n", is_signed, out);
}

void form_seal_manifest(const struct form_entries *e, struct kluis_buf *out)
{
    asic_manifest(e, "<asic:SigReference URI=\"" FORM_SEAL "\" MimeType=\"application/pkcs7-signature\"/>\n", is_no_mimetype, out);
}

void form_evidence_manifest(const struct form_entries *e, struct kluis_buf *out)
{
    asic_manifest(e, "<asic:SigReference URI=\"" FORM_EVIDENCE "\"/>\n", is_no_mimetype, out);
}

/* ---- loss.json -------------------------------------------------------------------------------- */

static kluis_status count(struct form_losses *l, struct kluis_str token, struct kluis_err *err)
{
    if (token.len > FORM_TOKEN_MAX) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "a loss token longer than %d bytes", FORM_TOKEN_MAX); }
    char name[FORM_TOKEN_MAX + 1];
    memcpy(name, token.ptr, token.len);
    name[token.len] = '\0';
    size_t at = 0;
    while (at < l->n && strcmp(l->list[at].token, name) < 0) { at++; }
    if (at == l->n || strcmp(l->list[at].token, name) != 0) {
        if (l->n == FORM_LOSSES_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "more than %d different losses in one package", FORM_LOSSES_MAX); }
        memmove(&l->list[at + 1], &l->list[at], (l->n - at) * sizeof l->list[0]);
        memcpy(l->list[at].token, name, sizeof name);
        l->list[at].count = 0;
        l->n++;
    }
    l->list[at].count++;
    return KLUIS_OK;
}

kluis_status form_loss_count(struct form_loss_summary *s, const struct kluis_record *r, struct kluis_err *err)
{
    for (size_t i = 0; i < r->n_loss; i++) { KLUIS_TRY(count(&s->records, r->loss[i], err)); }
    for (size_t i = 0; i < r->n_attachments; i++) {
        if (r->attachments[i].loss.ptr != NULL) { KLUIS_TRY(count(&s->attachments, r->attachments[i].loss, err)); }
    }
    return KLUIS_OK;
}

static void counts(struct kluis_buf *out, const char *name, const struct form_losses *l)
{
    kluis_buf_fmt(out, ",\"%s\":{", name);
    for (size_t i = 0; i < l->n; i++) {
        kluis_buf_fmt(out, "%s\"%s\":%llu", i > 0 ? "," : "", l->list[i].token, (unsigned long long)l->list[i].count);
    }
    kluis_buf_byte(out, '}');
}

void form_loss_json(const struct form_loss_summary *s, const struct kluis_header *h, struct kluis_buf *out)
{
    kluis_buf_cstr(out, "{\"schema\":1,\"source\":[");
    for (size_t i = 0; i < h->n_loss; i++) {
        if (i > 0) { kluis_buf_byte(out, ','); }
        kluis_buf_json(out, h->loss[i]);
    }
    kluis_buf_byte(out, ']');
    counts(out, "records", &s->records);
    counts(out, "attachments", &s->attachments);
    kluis_buf_cstr(out, "}\n");
}
