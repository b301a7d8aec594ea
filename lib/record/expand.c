/* expand.c - the expanded form of a record: everything a reader would otherwise look up in the header. */
#include "record_internal.h"

struct out {
    struct kluis_buf *b;
    bool first;
};

static void key(struct out *o, const char *name)
{
    if (!o->first) { kluis_buf_byte(o->b, ','); }
    o->first = false;
    kluis_buf_byte(o->b, '"');
    kluis_buf_cstr(o->b, name);
    kluis_buf_add(o->b, "\":", 2);
}

static void begin(struct out *o, char bracket)
{
    kluis_buf_byte(o->b, (uint8_t)bracket);
    o->first = true;
}

static void end(struct out *o, char bracket)
{
    kluis_buf_byte(o->b, (uint8_t)bracket);
    o->first = false;
}

static void comma(struct out *o)
{
    if (!o->first) { kluis_buf_byte(o->b, ','); }
    o->first = false;
}

static void string(struct out *o, const char *name, struct kluis_str s)
{
    if (s.ptr == NULL) { return; }
    key(o, name);
    kluis_buf_json(o->b, s);
}

static void party(struct out *o, const char *name, const struct kluis_header *h, uint32_t index)
{
    if (index >= h->n_parties) { return; }
    const struct kluis_party *p = &h->parties[index];
    if (name != NULL) {
        key(o, name);
    } else {
        comma(o);
    }
    begin(o, '{');
    string(o, "id", p->id);
    string(o, "name", p->name);
    string(o, "number", p->number);
    end(o, '}');
}

static void when(struct out *o, const char *name, struct kluis_when w, int fraction)
{
    char text[KLUIS_TIME_TEXT];
    if (w.us == KLUIS_TIME_ABSENT) { return; }
    size_t n = record_time_text(text, w.us, w.offset_min, fraction);
    if (n > 0) { string(o, name, (struct kluis_str){ text, n }); }
}

static void tokens(struct out *o, const struct kluis_str *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        comma(o);
        kluis_buf_json(o->b, list[i]);
    }
}

static void attachments(struct out *o, const struct kluis_record *r)
{
    if (r->n_attachments == 0) { return; }
    key(o, "attachments");
    begin(o, '[');
    for (size_t i = 0; i < r->n_attachments; i++) {
        const struct kluis_attachment *a = &r->attachments[i];
        comma(o);
        begin(o, '{');
        string(o, "name", a->name);
        string(o, "type", a->type);
        if (a->size >= 0) {
            key(o, "size");
            kluis_buf_fmt(o->b, "%lld", (long long)a->size);
        }
        if (a->has_sha256) {
            char hex[65];
            kluis_hex(a->sha256, 32, hex);
            string(o, "sha256", (struct kluis_str){ hex, 64 });
        }
        string(o, "loss", a->loss);
        end(o, '}');
    }
    end(o, ']');
}

static void from_header(struct out *o, const struct kluis_header *h)
{
    key(o, "conversation");
    begin(o, '{');
    string(o, "id", h->conversation_id);
    string(o, "name", h->conversation_name);
    string(o, "type", kluis_str_of(kluis_conversation_type_name(h->type)));
    key(o, "participants");
    begin(o, '[');
    for (uint32_t i = 0; i < h->n_participants; i++) { party(o, NULL, h, h->participants[i]); }
    end(o, ']');
    end(o, '}');
}

static void provenance(struct out *o, const struct kluis_provenance *v)
{
    key(o, "provenance");
    begin(o, '{');
    string(o, "source", v->source);
    string(o, "app", v->app);
    string(o, "app_version", v->app_version);
    string(o, "os", v->os);
    string(o, "device", v->device);
    string(o, "reader", v->reader);
    end(o, '}');
}

static void the_rest(struct out *o, const struct kluis_record *r, const struct kluis_header *h)
{
    string(o, "precision", kluis_str_of(record_precision_names[h->precision]));
    string(o, "zone_name", h->zone_name);
    if (r->n_times > 0) {
        key(o, "times");
        begin(o, '{');
        for (size_t i = 0; i < r->n_times; i++) {
            char text[KLUIS_TIME_TEXT];
            struct kluis_when w = r->times[i].when;
            size_t n = record_time_text(text, w.us, w.offset_min, record_shortest_fraction(w.us));
            comma(o);
            kluis_buf_json(o->b, r->times[i].name);
            kluis_buf_byte(o->b, ':');
            kluis_buf_json(o->b, (struct kluis_str){ text, n });
        }
        end(o, '}');
    }
    if (r->text_raw.ptr != NULL && r->text_raw.len > 0) {
        key(o, "text_raw");
        kluis_buf_byte(o->b, '"');
        size_t n = kluis_base64_len(r->text_raw.len);
        char *p = (char *)kluis_buf_reserve(o->b, n + 1);
        if (p != NULL) {
            kluis_base64(r->text_raw.ptr, r->text_raw.len, p);
            o->b->len += n;
        }
        kluis_buf_byte(o->b, '"');
    }
    party(o, "target_author", h, r->target_author);
    when(o, "target_sent", r->target_sent, record_shortest_fraction(r->target_sent.us));
    string(o, "quote", r->quote);
    string(o, "value", r->value);
    string(o, "event", r->event);
    if (r->n_options > 0) {
        key(o, "options");
        begin(o, '[');
        tokens(o, r->options, r->n_options);
        end(o, ']');
    }
    if (r->n_fields > 0) {
        key(o, "fields");
        begin(o, '{');
        for (size_t i = 0; i < r->n_fields; i++) {
            comma(o);
            kluis_buf_json(o->b, r->fields[i].name);
            kluis_buf_byte(o->b, ':');
            if (r->fields[i].is_int) {
                kluis_buf_fmt(o->b, "%lld", (long long)r->fields[i].number);
            } else {
                kluis_buf_json(o->b, r->fields[i].value);
            }
        }
        end(o, '}');
    }
}

kluis_status kluis_record_write_expanded(const struct kluis_record *r, const struct kluis_header *h, struct kluis_buf *out, struct kluis_err *err)
{
    /* The canonical form is the judge of what may be written at all. */
    KLUIS_AUTO_BUF(lean, KLUIS_RECORD_LINE_MAX + 1);
    KLUIS_TRY(kluis_record_write(r, h, &lean, err));
    KLUIS_TRY(kluis_buf_ok(out, err));
    size_t start = out->len;
    struct out o = { out, true };
    int fraction = record_precision_fraction(h->precision);
    begin(&o, '{');
    string(&o, "kind", kluis_str_of(kluis_kind_name(r->kind)));
    string(&o, "id", r->id);
    string(&o, "platform", h->platform);
    from_header(&o, h);
    party(&o, "author", h, r->author);
    when(&o, "sent", r->sent, fraction < 0 ? 0 : fraction);
    string(&o, "zone", kluis_str_of(record_zone_names[r->zone]));
    string(&o, "text", r->text);
    attachments(&o, r);
    string(&o, "target", r->target);
    key(&o, "loss");
    begin(&o, '[');
    tokens(&o, h->loss, h->n_loss);
    tokens(&o, r->loss, r->n_loss);
    end(&o, ']');
    provenance(&o, &h->provenance);
    the_rest(&o, r, h);
    end(&o, '}');
    kluis_buf_byte(out, '\n');
    kluis_status rc = kluis_buf_ok(out, err);
    if (rc != KLUIS_OK) {
        out->len = start;
        out->status = KLUIS_OK;
    }
    return rc;
}
