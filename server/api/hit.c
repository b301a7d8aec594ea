/* server/api/hit.c - see hit.h. */
#include "server/api/hit.h"

/* A page of hits is some tens of kilobytes in forty pieces a hit: constant ones are appended with a length known beforehand. */
#define LIT(text) (text), sizeof(text) - 1
#define NAME(name) LIT("\"" name "\":")

static void member(struct kluis_buf *b, const char *name, size_t n, struct kluis_str value)
{
    if (value.ptr == NULL) { return; }
    kluis_buf_add(b, name, n);
    kluis_buf_json(b, value);
    kluis_buf_byte(b, ',');
}

/* Digits, hex and times need no escapes, and printf would be felt. */
static void bare(struct kluis_buf *b, const char *name, size_t n, const char *text, size_t len)
{
    kluis_buf_add(b, name, n);
    kluis_buf_byte(b, '"');
    kluis_buf_add(b, text, len);
    kluis_buf_add(b, LIT("\","));
}

static void digits(struct kluis_buf *b, uint64_t v)
{
    char text[20];
    size_t at = sizeof text;
    do {
        text[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    kluis_buf_add(b, text + at, sizeof text - at);
}

/* package and ordinal: hex is of the id. */
static void place(struct kluis_buf *b, const char hex[65], uint64_t ordinal)
{
    bare(b, NAME("package"), hex, 64);
    kluis_buf_add(b, NAME("ordinal"));
    digits(b, ordinal);
    kluis_buf_byte(b, ',');
}

static void truth(struct kluis_buf *b, const char *name, size_t n, bool v)
{
    kluis_buf_add(b, name, n);
    if (v) {
        kluis_buf_add(b, LIT("true,"));
    } else {
        kluis_buf_add(b, LIT("false,"));
    }
}

/* Ends an object or array whose members each left a comma. */
static void end(struct kluis_buf *b, uint8_t c)
{
    if (b->data != NULL && b->len > 0 && b->data[b->len - 1] == ',') { b->len--; }
    kluis_buf_byte(b, c);
}

struct moment {
    char text[KLUIS_TIME_TEXT];
    size_t n; /* 0: none */
};

static void moment_of(struct moment *m, int64_t us, const struct index_hit *h)
{
    m->n = us == KLUIS_TIME_ABSENT ? 0 : kluis_time_text(m->text, us, h->offset_min, h->precision == KLUIS_PRECISION_MILLISECOND ? 3 : 0);
}

static void when(struct kluis_buf *b, const struct moment *m)
{
    if (m->n > 0) { bare(b, NAME("sent"), m->text, m->n); }
}

static void list(struct kluis_buf *b, const char *name, size_t len, struct kluis_str items, char separator)
{
    if (items.ptr == NULL || items.len == 0) { return; }
    kluis_buf_add(b, name, len);
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
    kluis_buf_add(b, LIT("\"marks\":["));
    size_t at = 0, units = 0;
    for (size_t i = 0; i < h->n_marks; i++) {
        for (size_t k = 0; k < 2; k++) {
            for (; at < h->marks[2 * i + k] && at < h->text.len; at++) {
                uint8_t c = (uint8_t)h->text.ptr[at];
                if ((c & 0xc0) != 0x80) { units += c >= 0xf0 ? 2 : 1; }
            }
            kluis_buf_byte(b, k == 0 ? '[' : ',');
            digits(b, units);
        }
        kluis_buf_add(b, LIT("],"));
    }
    end(b, ']');
    kluis_buf_byte(b, ',');
}

static void author(struct kluis_buf *b, const struct index_hit *h)
{
    if (!h->has_author) { return; }
    kluis_buf_add(b, LIT("\"author\":{"));
    member(b, NAME("id"), h->author.id);
    member(b, NAME("name"), h->author.name);
    member(b, NAME("number"), h->author.number);
    truth(b, NAME("self"), h->by_official);
    end(b, '}');
    kluis_buf_byte(b, ',');
}

/* One of the sightings is nearly always the hit itself: its hex and its time are there. */
static void sightings(struct kluis_buf *b, const struct index_hit *h, const char hex[65], const struct moment *sent)
{
    kluis_buf_add(b, LIT("\"sightings\":["));
    for (size_t i = 0; i < h->n_sightings; i++) {
        const struct index_sighting *s = &h->sightings[i];
        char other[65];
        struct moment m;
        bool same = memcmp(s->package, h->package, 32) == 0;
        if (!same) { kluis_hex(s->package, 32, other); }
        if (s->sent_us != h->sent_us) { moment_of(&m, s->sent_us, h); }
        kluis_buf_byte(b, '{');
        place(b, same ? hex : other, s->ordinal);
        member(b, NAME("official"), s->official);
        when(b, s->sent_us != h->sent_us ? &m : sent);
        truth(b, NAME("differs"), s->differs);
        end(b, '}');
        kluis_buf_byte(b, ',');
    }
    end(b, ']');
}

kluis_status api_hit_json(const struct index_hit *h, struct kluis_buf *b, struct kluis_err *err)
{
    char hex[65], in_hex[17];
    uint8_t group[8];
    struct moment sent;
    kluis_buf_byte(b, '{');
    member(b, NAME("id"), h->id);
    member(b, NAME("kind"), kluis_str_of(kluis_kind_name(h->kind)));
    member(b, NAME("platform"), h->platform);
    kluis_buf_add(b, LIT("\"conversation\":{"));
    member(b, NAME("id"), h->conversation_id);
    member(b, NAME("name"), h->conversation_name);
    member(b, NAME("type"), kluis_str_of(kluis_conversation_type_name(h->conversation_type)));
    end(b, '}');
    kluis_buf_byte(b, ',');
    author(b, h);
    moment_of(&sent, h->sent_us, h);
    when(b, &sent);
    member(b, NAME("zone"), h->zone_assumed ? KLUIS_STR_LIT("assumed") : KLUIS_STR_LIT("stated"));
    member(b, NAME("precision"),
           h->precision == KLUIS_PRECISION_MINUTE   ? KLUIS_STR_LIT("minute")
           : h->precision == KLUIS_PRECISION_SECOND ? KLUIS_STR_LIT("second")
                                                    : KLUIS_STR_LIT("millisecond"));
    member(b, NAME("text"), h->text.ptr == NULL ? KLUIS_STR_LIT("") : h->text);
    marks(b, h);
    member(b, NAME("target"), h->target);
    member(b, NAME("value"), h->value);
    member(b, NAME("event"), h->event);
    member(b, NAME("quote"), h->quote);
    list(b, NAME("attachments"), h->attachments, '\n');
    list(b, NAME("options"), h->options, '\n');
    list(b, NAME("loss"), h->loss, ' ');
    kluis_hex(h->package, 32, hex);
    place(b, hex, h->ordinal);
    member(b, NAME("verdict"), h->verdict);
    member(b, NAME("provenance"), h->provenance);
    truth(b, NAME("conflict"), h->conflict);
    for (int i = 0; i < 8; i++) { group[i] = (uint8_t)(h->group >> (56 - 8 * i)); }
    kluis_hex(group, 8, in_hex);
    bare(b, NAME("group"), in_hex, 16);
    sightings(b, h, hex, &sent);
    kluis_buf_byte(b, '}');
    return kluis_buf_ok(b, err);
}
