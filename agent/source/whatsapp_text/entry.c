/* entry.c - cuts a byte stream into messages: a header line and the lines that belong to it.
 *
 * Pulls from any input, in pieces of any size; holds one message and some read-ahead.  A line is a header when its
 * date and time can be read and it looks as the export's other headers do (bracket or dash, seconds or not, 12 or 24 hours,
 * time first or date first): a pasted line of another phone's layout stays the text that it is.
 */
#include "wa.h"

enum { READ_AHEAD = 256 << 10, ENTRY_MAX = KLUIS_TEXT_MAX + 4096, PREAMBLE_MAX = 64 << 10, SAMPLE = 1 << 20 };

bool wa_stamp_exists(const struct wa_stamp *s, enum wa_order o)
{
    int64_t days;
    int32_t seconds;
    bool islamic;
    return wa_stamp_seconds(s, &seconds) && wa_stamp_days(s, o, &days, &islamic);
}

bool wa_layout_fits(const struct wa_layout *l, const struct wa_stamp *s)
{
    return l->bracket == s->bracket && l->time_first == s->time_first && l->seconds == (s->second >= 0) && l->half == (s->half != WA_HALF_NONE);
}

kluis_status wa_reader_open(struct wa_reader *r, const struct kluis_input *in, const struct wa_layout *l, const char *name, struct kluis_err *err)
{
    *r = (struct wa_reader){ .in = *in, .line = 1, .name = name, .prev_crlf = false };
    if (l != NULL) {
        r->layout = *l;
        r->layout_known = true;
    }
    r->cap = READ_AHEAD;
    r->buf = kluis_malloc(r->cap);
    if (r->buf == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory to read %s", name); }
    return KLUIS_OK;
}

void wa_reader_close(struct wa_reader *r)
{
    kluis_free(r->buf);
    r->buf = NULL;
}

/* Reads on; moves buf[at..len) to the front first, so positions after the call count from the new `at`. */
static kluis_status more(struct wa_reader *r, struct kluis_err *err)
{
    if (r->at > 0) {
        memmove(r->buf, r->buf + r->at, r->len - r->at);
        r->len -= r->at;
        r->at = 0;
    }
    if (r->len == r->cap) {
        char *b = kluis_realloc(r->buf, r->cap * 2);
        if (b == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory to read %s", r->name); }
        r->buf = b;
        r->cap *= 2;
    }
    ssize_t got = r->in.read(r->in.ctx, r->buf + r->len, r->cap - r->len, err);
    if (got < 0) { return err != NULL && err->code != KLUIS_OK ? err->code : KLUIS_E_IO; }
    if (got == 0) { r->eof = true; }
    for (size_t i = 0; i < (size_t)got && r->total + i < sizeof r->head; i++) { r->head[r->total + i] = r->buf[r->len + i]; }
    r->len += (size_t)got;
    r->total += (uint64_t)got;
    return KLUIS_OK;
}

/* Is there a header at buf[at + off]?  Reads on until that can be said. */
static kluis_status header_at(struct wa_reader *r, size_t off, struct wa_stamp *s, bool *is, bool *refused, struct kluis_err *err)
{
    while (!r->eof && r->len - r->at - off < WA_STAMP_MAX && memchr(r->buf + r->at + off, '\n', r->len - r->at - off) == NULL) {
        KLUIS_TRY(more(r, err));
    }
    *is = wa_stamp_scan(r->buf + r->at + off, r->len - r->at - off, s) && (!r->layout_known || wa_layout_fits(&r->layout, s));
    if (*is && r->layout_known && r->layout.order >= 0 && !wa_stamp_exists(s, (enum wa_order)r->layout.order)) {
        *is = false;
        *refused = true;
    }
    return KLUIS_OK;
}

/* A byte order mark, or a character that takes two bytes of which one is zero. */
static bool is_utf16(const struct wa_reader *r)
{
    unsigned char a = (unsigned char)r->head[0], b = (unsigned char)r->head[1];
    return r->total >= 2 && ((a == 0xFF && b == 0xFE) || (a == 0xFE && b == 0xFF) || (a == 0) != (b == 0));
}

static kluis_status no_chat(const struct wa_reader *r, struct kluis_err *err)
{
    if (is_utf16(r)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s is UTF-16 text, WhatsApp exports UTF-8: export the chat again, or save it as UTF-8", r->name);
    }
    if (r->total == 0) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s is empty: export the chat again", r->name); }
    return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s is not a WhatsApp chat export: no line begins with date, time and sender", r->name);
}

/* Passes over what stands before the first header. */
static kluis_status to_first(struct wa_reader *r, struct kluis_err *err)
{
    for (;;) {
        struct wa_stamp s;
        bool is = false, refused = false;
        KLUIS_TRY(header_at(r, 0, &s, &is, &refused, err));
        if (is) {
            r->started = true;
            return KLUIS_OK;
        }
        const char *nl = NULL;
        while ((nl = memchr(r->buf + r->at, '\n', r->len - r->at)) == NULL && !r->eof) {
            if (r->len - r->at > PREAMBLE_MAX) { return no_chat(r, err); }
            KLUIS_TRY(more(r, err));
        }
        size_t next = nl == NULL ? r->len : (size_t)(nl - r->buf) + 1;
        r->preamble += next - r->at;
        if (nl == NULL || r->preamble > PREAMBLE_MAX) { return no_chat(r, err); }
        r->prev_crlf = nl > r->buf + r->at && nl[-1] == '\r';
        r->prev_lf = !r->prev_crlf;
        r->at = next;
        r->line++;
    }
}

kluis_status wa_reader_next(struct wa_reader *r, struct wa_entry *e, struct kluis_err *err)
{
    if (!r->started) { KLUIS_TRY(to_first(r, err)); }
    if (r->eof && r->at == r->len) { return KLUIS_END; }
    bool is = false, refused = false;
    KLUIS_TRY(header_at(r, 0, &e->stamp, &is, &refused, err));
    e->header_inside = false;
    if (!is) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s changed while it was read: read it again", r->name); }
    e->line = r->line;
    e->after_crlf = r->prev_crlf;
    e->after_lf = r->prev_lf;
    size_t pos = 0; /* from r->at */
    for (;;) {
        const char *base = r->buf + r->at, *nl = memchr(base + pos, '\n', r->len - r->at - pos);
        if (nl == NULL) {
            pos = r->len - r->at;
            if (pos > ENTRY_MAX) {
                return KLUIS_FAIL(err, KLUIS_E_LIMIT,
                                  "%s, line %llu: a message of more than 1 MiB; no WhatsApp message is that long: is this a chat export?", r->name,
                                  (unsigned long long)e->line);
            }
            if (r->eof) { break; }
            KLUIS_TRY(more(r, err));
            continue;
        }
        pos = (size_t)(nl - base) + 1;
        r->line++;
        r->prev_crlf = nl > base && nl[-1] == '\r';
        r->prev_lf = !r->prev_crlf;
        if (pos == r->len - r->at && r->eof) { break; }
        struct wa_stamp next;
        KLUIS_TRY(header_at(r, pos, &next, &is, &e->header_inside, err));
        if (is) { break; }
    }
    if (pos > ENTRY_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "%s, line %llu: a message of more than 1 MiB; no WhatsApp message is that long: is this a chat export?",
                          r->name, (unsigned long long)e->line);
    }
    const char *p = r->buf + r->at;
    e->raw = (struct kluis_bytes){ (const uint8_t *)p, pos };
    size_t end = pos;
    bool last = r->eof && r->at + pos == r->len;
    do {
        if (end > e->stamp.len && p[end - 1] == '\n') { end--; }
        if (end > e->stamp.len && p[end - 1] == '\r') { end--; }
    } while (last && end > e->stamp.len && p[end - 1] == '\n');
    e->rest = (struct kluis_str){ p + e->stamp.len, end > e->stamp.len ? end - e->stamp.len : 0 };
    r->at += pos;
    return KLUIS_OK;
}

kluis_status wa_layout_of(const struct kluis_input *in, const char *name, struct wa_layout *out, struct kluis_err *err)
{
    struct wa_reader r;
    KLUIS_TRY(wa_reader_open(&r, in, NULL, name, err));
    uint32_t count[16] = { 0 };
    int first = -1;
    kluis_status rc = KLUIS_END;
    struct wa_entry e;
    while (r.total < SAMPLE && (rc = wa_reader_next(&r, &e, err)) == KLUIS_OK) {
        int shape = (e.stamp.bracket ? 1 : 0) | (e.stamp.time_first ? 2 : 0) | (e.stamp.second >= 0 ? 4 : 0) | (e.stamp.half != 0 ? 8 : 0);
        if (first < 0) { first = shape; }
        count[shape]++;
    }
    /* What was read ahead is part of the sample as well. */
    while (r.total >= SAMPLE && r.at < r.len && memchr(r.buf + r.at, '\n', r.len - r.at) != NULL) {
        struct wa_stamp s;
        if (wa_stamp_scan(r.buf + r.at, r.len - r.at, &s)) {
            count[(s.bracket ? 1 : 0) | (s.time_first ? 2 : 0) | (s.second >= 0 ? 4 : 0) | (s.half != 0 ? 8 : 0)]++;
            first = first < 0 ? 0 : first;
        }
        r.at = (size_t)((const char *)memchr(r.buf + r.at, '\n', r.len - r.at) - r.buf) + 1;
        rc = KLUIS_END;
    }
    wa_reader_close(&r);
    if (first < 0) {
        if (rc == KLUIS_END) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s is not a WhatsApp chat export", name); }
        return rc;
    }
    if (rc != KLUIS_OK && rc != KLUIS_END) { return rc; }
    int best = first;
    for (int i = 0; i < 16; i++) {
        if (count[i] > count[best]) { best = i; }
    }
    *out = (struct wa_layout){ (best & 1) != 0, (best & 2) != 0, (best & 4) != 0, (best & 8) != 0, -1 };
    return KLUIS_OK;
}
