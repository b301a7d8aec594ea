/* server/api/hit.c - see hit.h. */
#include "server/api/hit.h"

static void label(struct kluis_buf *b, const char *name)
{
    kluis_buf_byte(b, '"');
    kluis_buf_cstr(b, name);
    kluis_buf_cstr(b, "\":");
}

static void member(struct kluis_buf *b, const char *name, struct kluis_str value)
{
    if (value.ptr == NULL) { return; }
    label(b, name);
    kluis_buf_json(b, value);
    kluis_buf_byte(b, ',');
}

/* Digits and hex need no escapes; forty of them a hit make printf felt. */
static void number(struct kluis_buf *b, const char *name, uint64_t v)
{
    char text[20];
    size_t at = sizeof text;
    do {
        text[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    label(b, name);
    kluis_buf_add(b, text + at, sizeof text - at);
    kluis_buf_byte(b, ',');
}

static void package(struct kluis_buf *b, const uint8_t id[32])
{
    char hex[65];
    kluis_hex(id, 32, hex);
    label(b, "package");
    kluis_buf_byte(b, '"');
    kluis_buf_add(b, hex, 64);
    kluis_buf_cstr(b, "\",");
}

static void truth(struct kluis_buf *b, const char *name, bool v)
{
    label(b, name);
    kluis_buf_cstr(b, v ? "true," : "false,");
}

/* Ends an object or array whose members each left a comma. */
static void end(struct kluis_buf *b, uint8_t c)
{
    if (b->data != NULL && b->len > 0 && b->data[b->len - 1] == ',') { b->len--; }
    kluis_buf_byte(b, c);
}

static void when(struct kluis_buf *b, const char *name, int64_t us, int offset_min, enum kluis_precision p)
{
    if (us == KLUIS_TIME_ABSENT) { return; }
    char t[KLUIS_TIME_TEXT];
    kluis_time_text(t, us, offset_min, p == KLUIS_PRECISION_MILLISECOND ? 3 : 0);
    member(b, name, kluis_str_of(t));
}

static void list(struct kluis_buf *b, const char *name, struct kluis_str items, char separator)
{
    if (items.ptr == NULL || items.len == 0) { return; }
    label(b, name);
    kluis_buf_byte(b, '[');
    while (items.len > 0) {
        const char *stop = memchr(items.ptr, separator, items.len);
        size_t n = stop == NULL ? items.len : (size_t)(stop - items.ptr);
        kluis_buf_json(b, (struct kluis_str){ items.ptr, n });
        kluis_buf_byte(b, ',');
        items.ptr += stop == NULL ? n : n + 1;
        items.len -= stop == NULL ? n : n + 1;
    }
    end(b, ']');
    kluis_buf_byte(b, ',');
}

/* Browsers count strings in UTF-16 units, the index in bytes: both walk the text once, in step. */
static void marks(struct kluis_buf *b, const struct index_hit *h)
{
    if (h->n_marks == 0 || h->text.ptr == NULL) { return; }
    kluis_buf_cstr(b, "\"marks\":[");
    size_t at = 0, units = 0;
    for (size_t i = 0; i < h->n_marks; i++) {
        for (size_t k = 0; k < 2; k++) {
            for (; at < h->marks[2 * i + k] && at < h->text.len; at++) {
                uint8_t c = (uint8_t)h->text.ptr[at];
                if ((c & 0xc0) != 0x80) { units += c >= 0xf0 ? 2 : 1; }
            }
            kluis_buf_fmt(b, k == 0 ? "[%zu," : "%zu],", units);
        }
    }
    end(b, ']');
    kluis_buf_byte(b, ',');
}

kluis_status api_hit_json(const struct index_hit *h, struct kluis_buf *b, struct kluis_err *err)
{
    char hex[65];
    uint8_t group[8];
    kluis_buf_byte(b, '{');
    member(b, "id", h->id);
    member(b, "kind", kluis_str_of(kluis_kind_name(h->kind)));
    member(b, "platform", h->platform);
    kluis_buf_cstr(b, "\"conversation\":{");
    member(b, "id", h->conversation_id);
    member(b, "name", h->conversation_name);
    member(b, "type", kluis_str_of(kluis_conversation_type_name(h->conversation_type)));
    end(b, '}');
    kluis_buf_byte(b, ',');
    if (h->has_author) {
        kluis_buf_cstr(b, "\"author\":{");
        member(b, "id", h->author.id);
        member(b, "name", h->author.name);
        member(b, "number", h->author.number);
        truth(b, "self", h->by_official);
        end(b, '}');
        kluis_buf_byte(b, ',');
    }
    when(b, "sent", h->sent_us, h->offset_min, h->precision);
    member(b, "zone", h->zone_assumed ? KLUIS_STR_LIT("assumed") : KLUIS_STR_LIT("stated"));
    member(b, "precision",
           h->precision == KLUIS_PRECISION_MINUTE   ? KLUIS_STR_LIT("minute")
           : h->precision == KLUIS_PRECISION_SECOND ? KLUIS_STR_LIT("second")
                                                    : KLUIS_STR_LIT("millisecond"));
    member(b, "text", h->text.ptr == NULL ? KLUIS_STR_LIT("") : h->text);
    marks(b, h);
    member(b, "target", h->target);
    member(b, "value", h->value);
    member(b, "event", h->event);
    member(b, "quote", h->quote);
    list(b, "attachments", h->attachments, '\n');
    list(b, "options", h->options, '\n');
    list(b, "loss", h->loss, ' ');
    package(b, h->package);
    number(b, "ordinal", h->ordinal);
    member(b, "verdict", h->verdict);
    member(b, "provenance", h->provenance);
    truth(b, "conflict", h->conflict);
    for (int i = 0; i < 8; i++) { group[i] = (uint8_t)(h->group >> (56 - 8 * i)); }
    kluis_hex(group, 8, hex);
    member(b, "group", kluis_str_of(hex));
    label(b, "sightings");
    kluis_buf_byte(b, '[');
    for (size_t i = 0; i < h->n_sightings; i++) {
        const struct index_sighting *s = &h->sightings[i];
        kluis_buf_byte(b, '{');
        package(b, s->package);
        number(b, "ordinal", s->ordinal);
        member(b, "official", s->official);
        when(b, "sent", s->sent_us, h->offset_min, h->precision);
        truth(b, "differs", s->differs);
        end(b, '}');
        kluis_buf_byte(b, ',');
    }
    end(b, ']');
    kluis_buf_byte(b, '}');
    return kluis_buf_ok(b, err);
}

kluis_status api_instant(const char *text, bool last, const char *what, int64_t *us, struct kluis_err *err)
{
    char full[32];
    int offset, fraction;
    if (strlen(text) == 10) {
        (void)snprintf(full, sizeof full, "%sT00:00:00Z", text); /* length checked above */
        if (kluis_time_parse(kluis_str_of(full), us, &offset, &fraction)) {
            *us += last ? (int64_t)86400 * 1000000 : 0;
            return KLUIS_OK;
        }
    } else if (kluis_time_parse(kluis_str_of(text), us, &offset, &fraction)) {
        return KLUIS_OK;
    }
    return KLUIS_FAIL(err, KLUIS_E_USAGE, "%s '%s' is no date: write YYYY-MM-DD", what, text);
}
