/* server/api/hit.c - see hit.h. */
#include "server/api/hit.h"

static void member(struct kluis_buf *b, const char *name, struct kluis_str value)
{
    if (value.ptr == NULL) { return; }
    kluis_buf_fmt(b, "\"%s\":", name);
    kluis_buf_json(b, value);
    kluis_buf_byte(b, ',');
}

/* Ends an object or array whose members each left a comma. */
static void end(struct kluis_buf *b, uint8_t c)
{
    if (b->len > 0 && b->data[b->len - 1] == ',') { b->len--; }
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
    kluis_buf_fmt(b, "\"%s\":[", name);
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
    if (h->n_marks == 0) { return; }
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
        kluis_buf_fmt(b, "\"self\":%s},", h->by_official ? "true" : "false");
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
    list(b, "loss", h->loss, ' ');
    kluis_hex(h->package, 32, hex);
    member(b, "package", kluis_str_of(hex));
    kluis_buf_fmt(b, "\"ordinal\":%llu,", (unsigned long long)h->ordinal);
    member(b, "verdict", h->verdict);
    member(b, "provenance", h->provenance);
    kluis_buf_fmt(b, "\"conflict\":%s,\"group\":\"%016llx\",\"sightings\":[", h->conflict ? "true" : "false", (unsigned long long)h->group);
    for (size_t i = 0; i < h->n_sightings; i++) {
        const struct index_sighting *s = &h->sightings[i];
        kluis_buf_byte(b, '{');
        kluis_hex(s->package, 32, hex);
        member(b, "package", kluis_str_of(hex));
        kluis_buf_fmt(b, "\"ordinal\":%llu,", (unsigned long long)s->ordinal);
        member(b, "official", s->official);
        when(b, "sent", s->sent_us, h->offset_min, h->precision);
        kluis_buf_fmt(b, "\"differs\":%s},", s->differs ? "true" : "false");
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
