/* write.c - canonical header and record lines (FORMAT.md §3.2).
 *
 * Every member has one place and one spelling; what is absent is not written.  The checks are those of the reader, so that
 * nothing is ever written that could not be read back. */
#include "record_internal.h"

/* One object being written: `first` decides about the comma, `bad` remembers the first thing that cannot be written. */
struct out {
    struct kluis_buf *b;
    bool first;
    const char *bad;
};

static void refuse(struct out *o, const char *what)
{
    if (o->bad == NULL) { o->bad = what; }
}

static void key(struct out *o, const char *name)
{
    if (!o->first) { kluis_buf_byte(o->b, ','); }
    o->first = false;
    kluis_buf_byte(o->b, '"');
    kluis_buf_cstr(o->b, name);
    kluis_buf_add(o->b, "\":", 2);
}

static void open_object(struct out *o)
{
    kluis_buf_byte(o->b, '{');
    o->first = true;
}

static void close_object(struct out *o)
{
    kluis_buf_byte(o->b, '}');
    o->first = false;
}

static void put_string(struct out *o, struct kluis_str s, const char *what)
{
    if (s.len > KLUIS_TEXT_MAX) { refuse(o, "a string longer than 1 MiB"); }
    if (s.ptr == NULL || kluis_utf8_valid(s.ptr, s.len) != s.len) { refuse(o, what); }
    if (o->bad == NULL) { kluis_buf_json(o->b, s); }
}

static void string(struct out *o, const char *name, struct kluis_str s)
{
    if (s.ptr == NULL) { return; }
    key(o, name);
    put_string(o, s, "a string that is not valid UTF-8");
}

static void put_uint(struct out *o, uint64_t v)
{
    char text[24];
    size_t at = sizeof text;
    if (v > (uint64_t)KLUIS_INT_MAX_JSON) { refuse(o, "an integer beyond 2^53-1"); }
    do {
        text[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    kluis_buf_add(o->b, text + at, sizeof text - at);
}

static void integer(struct out *o, const char *name, uint64_t v)
{
    key(o, name);
    put_uint(o, v);
}

static void party(struct out *o, const char *name, uint32_t index, uint32_t n_parties)
{
    if (index == KLUIS_NO_PARTY) { return; }
    if (index >= n_parties) { refuse(o, "a party index past the table"); }
    integer(o, name, index);
}

static void put_time(struct out *o, struct kluis_when w, int fraction)
{
    char text[KLUIS_TIME_TEXT];
    size_t n = record_time_text(text, w.us, w.offset_min, fraction);
    if (n == 0) { refuse(o, "a time outside the years 1 to 9999, or an offset of a day or more"); }
    kluis_buf_byte(o->b, '"');
    kluis_buf_add(o->b, text, n);
    kluis_buf_byte(o->b, '"');
}

static void when(struct out *o, const char *name, struct kluis_when w)
{
    if (w.us == KLUIS_TIME_ABSENT) { return; }
    key(o, name);
    put_time(o, w, record_shortest_fraction(w.us));
}

static void strings(struct out *o, const char *name, const struct kluis_str *list, size_t n, bool tokens)
{
    if (n == 0) { return; }
    if (n > KLUIS_FIELDS_MAX) {
        refuse(o, "a list of more than 256 strings");
        return;
    }
    key(o, name);
    kluis_buf_byte(o->b, '[');
    for (size_t i = 0; i < n; i++) {
        if (i > 0) { kluis_buf_byte(o->b, ','); }
        if (tokens && !record_is_token(list[i])) { refuse(o, "a loss that is not a token (1 to 64 of A-Z a-z 0-9 . _ : -)"); }
        put_string(o, list[i], "a string that is absent or not valid UTF-8");
    }
    kluis_buf_byte(o->b, ']');
}

static void bytes(struct out *o, const char *name, struct kluis_bytes raw)
{
    if (raw.ptr == NULL || raw.len == 0) { return; }
    if (raw.len > KLUIS_TEXT_MAX) {
        refuse(o, "raw text longer than 1 MiB");
        return;
    }
    key(o, name);
    size_t n = kluis_base64_len(raw.len);
    kluis_buf_byte(o->b, '"');
    char *p = (char *)kluis_buf_reserve(o->b, n + 1);
    if (p != NULL) {
        kluis_base64(raw.ptr, raw.len, p);
        o->b->len += n;
    }
    kluis_buf_byte(o->b, '"');
}

static void names_ascend(struct out *o, struct kluis_str before, struct kluis_str now)
{
    if (now.ptr == NULL || now.len == 0 || now.len > RECORD_NAME_MAX) { refuse(o, "a field name that is empty or longer than 256 bytes"); }
    if (before.ptr == NULL || now.ptr == NULL) { return; }
    size_t n = before.len < now.len ? before.len : now.len;
    int c = memcmp(before.ptr, now.ptr, n);
    if (c > 0 || (c == 0 && before.len >= now.len)) { refuse(o, "names of fields or times that are not sorted and unique"); }
}

static void times(struct out *o, const struct kluis_time_field *list, size_t n)
{
    if (n == 0) { return; }
    if (n > KLUIS_FIELDS_MAX) {
        refuse(o, "more than 256 times");
        return;
    }
    key(o, "times");
    open_object(o);
    for (size_t i = 0; i < n; i++) {
        names_ascend(o, i > 0 ? list[i - 1].name : (struct kluis_str){ NULL, 0 }, list[i].name);
        if (list[i].when.us == KLUIS_TIME_ABSENT) { refuse(o, "a named time without a time"); }
        if (o->bad != NULL) { return; }
        if (i > 0) { kluis_buf_byte(o->b, ','); }
        put_string(o, list[i].name, "a name that is not valid UTF-8");
        kluis_buf_byte(o->b, ':');
        put_time(o, list[i].when, record_shortest_fraction(list[i].when.us));
    }
    close_object(o);
}

static void fields(struct out *o, const struct kluis_field *list, size_t n)
{
    if (n == 0) { return; }
    if (n > KLUIS_FIELDS_MAX) {
        refuse(o, "more than 256 fields");
        return;
    }
    key(o, "fields");
    open_object(o);
    for (size_t i = 0; i < n; i++) {
        names_ascend(o, i > 0 ? list[i - 1].name : (struct kluis_str){ NULL, 0 }, list[i].name);
        if (o->bad != NULL) { return; }
        if (i > 0) { kluis_buf_byte(o->b, ','); }
        put_string(o, list[i].name, "a name that is not valid UTF-8");
        kluis_buf_byte(o->b, ':');
        if (!list[i].is_int) {
            put_string(o, list[i].value, "a field without value, or one that is not valid UTF-8");
        } else if (list[i].number < -KLUIS_INT_MAX_JSON) {
            refuse(o, "an integer beyond 2^53-1");
        } else {
            if (list[i].number < 0) { kluis_buf_byte(o->b, '-'); }
            put_uint(o, list[i].number < 0 ? (uint64_t)-list[i].number : (uint64_t)list[i].number);
        }
    }
    close_object(o);
}

static void attachments(struct out *o, const struct kluis_attachment *list, size_t n)
{
    if (n == 0) { return; }
    if (n > KLUIS_ATTACHMENTS_MAX) {
        refuse(o, "more than 256 attachments");
        return;
    }
    key(o, "attachments");
    kluis_buf_byte(o->b, '[');
    for (size_t i = 0; i < n; i++) {
        const struct kluis_attachment *a = &list[i];
        if (i > 0) { kluis_buf_byte(o->b, ','); }
        open_object(o);
        string(o, "name", a->name);
        string(o, "type", a->type);
        if (a->size >= 0) { integer(o, "size", (uint64_t)a->size); }
        if (a->has_sha256) {
            if (a->size < 0) { refuse(o, "an attachment with a digest and no size"); }
            char hex[65];
            kluis_hex(a->sha256, 32, hex);
            string(o, "sha256", (struct kluis_str){ hex, 64 });
        }
        if (a->loss.ptr != NULL) {
            if (!record_is_token(a->loss)) { refuse(o, "a loss that is not a token (1 to 64 of A-Z a-z 0-9 . _ : -)"); }
            string(o, "loss", a->loss);
        }
        close_object(o);
    }
    kluis_buf_byte(o->b, ']');
}

/* Ends a line that began at `start`: all of it is there, or nothing. */
static kluis_status finish(struct out *o, size_t start, const char *what, struct kluis_err *err)
{
    struct kluis_buf *b = o->b;
    if (o->bad != NULL) {
        b->len = start;
        b->status = KLUIS_OK;
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s cannot be written: %s", what, o->bad);
    }
    if (b->status == KLUIS_OK && b->len - start > KLUIS_RECORD_LINE_MAX) {
        b->len = start;
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "%s would be a line of more than %d bytes", what, KLUIS_RECORD_LINE_MAX);
    }
    kluis_buf_byte(b, '\n');
    if (b->status != KLUIS_OK) {
        kluis_status rc = kluis_buf_ok(b, err);
        b->len = start;
        b->status = KLUIS_OK;
        return rc;
    }
    return KLUIS_OK;
}

static void conversation(struct out *o, const struct kluis_header *h)
{
    if (h->conversation_id.ptr == NULL || h->conversation_id.len == 0) { refuse(o, "a conversation without id"); }
    if ((unsigned)h->type > KLUIS_UNKNOWN_TYPE) { refuse(o, "a conversation type that does not exist"); }
    key(o, "conversation");
    open_object(o);
    string(o, "id", h->conversation_id);
    string(o, "name", h->conversation_name);
    string(o, "type", kluis_str_of(kluis_conversation_type_name(h->type)));
    close_object(o);
}

static void people(struct out *o, const struct kluis_header *h)
{
    if (h->n_parties > KLUIS_PARTIES_MAX || h->n_participants > h->n_parties) {
        refuse(o, "more than 4096 parties, or more participants than parties");
        return;
    }
    if (h->n_parties > 0) {
        key(o, "parties");
        kluis_buf_byte(o->b, '[');
        for (uint32_t i = 0; i < h->n_parties; i++) {
            const struct kluis_party *p = &h->parties[i];
            if (p->id.ptr == NULL && p->name.ptr == NULL && p->number.ptr == NULL) { refuse(o, "a party without id, name and number"); }
            if (i > 0) { kluis_buf_byte(o->b, ','); }
            open_object(o);
            string(o, "id", p->id);
            string(o, "name", p->name);
            string(o, "number", p->number);
            close_object(o);
        }
        kluis_buf_byte(o->b, ']');
    }
    if (h->n_participants > 0) {
        key(o, "participants");
        kluis_buf_byte(o->b, '[');
        for (uint32_t i = 0; i < h->n_participants; i++) {
            uint32_t p = h->participants[i];
            if (p >= h->n_parties || (i > 0 && p <= h->participants[i - 1])) {
                refuse(o, "participants that are not ascending indexes of parties");
                return;
            }
            if (i > 0) { kluis_buf_byte(o->b, ','); }
            put_uint(o, p);
        }
        kluis_buf_byte(o->b, ']');
    }
    party(o, "self", h->self, h->n_parties);
}

kluis_status kluis_header_write(const struct kluis_header *h, struct kluis_buf *out, struct kluis_err *err)
{
    KLUIS_TRY(kluis_buf_ok(out, err));
    struct out o = { out, true, NULL };
    size_t start = out->len;
    if (!record_is_token(h->platform)) { refuse(&o, "a platform that is not a token"); }
    if (!record_is_token(h->provenance.source)) { refuse(&o, "a source that is not a token"); }
    if ((unsigned)h->zone > KLUIS_ZONE_ASSUMED || (unsigned)h->precision > KLUIS_PRECISION_MILLISECOND) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "header cannot be written: a zone or precision that does not exist");
    }
    open_object(&o);
    integer(&o, "schema", KLUIS_RECORD_SCHEMA);
    string(&o, "platform", h->platform);
    conversation(&o, h);
    people(&o, h);
    key(&o, "provenance");
    open_object(&o);
    string(&o, "source", h->provenance.source);
    string(&o, "app", h->provenance.app);
    string(&o, "app_version", h->provenance.app_version);
    string(&o, "os", h->provenance.os);
    string(&o, "device", h->provenance.device);
    string(&o, "reader", h->provenance.reader);
    close_object(&o);
    string(&o, "zone", kluis_str_of(record_zone_names[h->zone]));
    string(&o, "zone_name", h->zone_name);
    string(&o, "precision", kluis_str_of(record_precision_names[h->precision]));
    strings(&o, "loss", h->loss, h->n_loss, true);
    char hex[65];
    kluis_hex(h->salt, 32, hex);
    string(&o, "salt", (struct kluis_str){ hex, 64 });
    close_object(&o);
    return finish(&o, start, "header", err);
}

kluis_status kluis_record_write(const struct kluis_record *r, const struct kluis_header *h, struct kluis_buf *out, struct kluis_err *err)
{
    KLUIS_TRY(kluis_buf_ok(out, err));
    struct out o = { out, true, NULL };
    size_t start = out->len;
    if ((unsigned)r->kind >= KLUIS_KINDS || (unsigned)r->zone > KLUIS_ZONE_ASSUMED) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "record cannot be written: a kind or zone that does not exist");
    }
    open_object(&o);
    if (r->kind != KLUIS_MESSAGE) { string(&o, "kind", kluis_str_of(kluis_kind_name(r->kind))); }
    string(&o, "id", r->id);
    party(&o, "author", r->author, h->n_parties);
    if (r->sent.us != KLUIS_TIME_ABSENT) {
        if (r->sent.us % record_precision_step(h->precision) != 0) { refuse(&o, "a time finer than the header's precision"); }
        key(&o, "sent");
        put_time(&o, r->sent, record_precision_fraction(h->precision));
    }
    if (r->zone != h->zone) { string(&o, "zone", kluis_str_of(record_zone_names[r->zone])); }
    times(&o, r->times, r->n_times);
    string(&o, "text", r->text);
    if (r->text_raw.ptr != NULL && r->text_raw.len > 0 && r->text.ptr == NULL) { refuse(&o, "text_raw without text"); }
    bytes(&o, "text_raw", r->text_raw);
    attachments(&o, r->attachments, r->n_attachments);
    string(&o, "target", r->target);
    party(&o, "target_author", r->target_author, h->n_parties);
    when(&o, "target_sent", r->target_sent);
    string(&o, "quote", r->quote);
    string(&o, "value", r->value);
    string(&o, "event", r->event);
    strings(&o, "options", r->options, r->n_options, false);
    fields(&o, r->fields, r->n_fields);
    strings(&o, "loss", r->loss, r->n_loss, true);
    if (r->evidence > 0) { integer(&o, "evidence", r->evidence); }
    close_object(&o);
    return finish(&o, start, "record", err);
}
