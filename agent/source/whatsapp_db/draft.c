/* draft.c - one record being put together: lists kept within their ceilings, sorted and unique when it is sent.  See wdb.h. */
#include "agent/source/whatsapp_db/wdb.h"

#include <stdarg.h>

#define US_MIN INT64_C(-62135596800000000) /* 0001-01-01 … */
#define US_MAX INT64_C(253402300799999999) /* … 9999-12-31 */

kluis_status wdb_draft_init(struct wdb_draft *d, const struct source_sink *sink, struct kluis_err *err)
{
    memset(d, 0, sizeof *d);
    d->sink = sink;
    kluis_buf_init(&d->raw, WDB_RAW_MAX);
    d->arena = kluis_arena_new(WDB_ARENA);
    return d->arena == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again") : KLUIS_OK;
}

void wdb_draft_free(struct wdb_draft *d)
{
    kluis_arena_free(d->arena);
    d->arena = NULL;
    kluis_buf_free(&d->raw);
}

void wdb_new(struct wdb_draft *d, enum kluis_kind kind)
{
    kluis_arena_clear(d->arena);
    kluis_buf_clear(&d->raw);
    memset(&d->r, 0, sizeof d->r);
    d->r.kind = kind;
    d->r.author = d->r.target_author = KLUIS_NO_PARTY;
    d->r.sent.us = d->r.target_sent.us = KLUIS_TIME_ABSENT;
    d->r.zone = KLUIS_ZONE_STATED;
    d->r.times = d->times;
    d->r.fields = d->fields;
    d->r.loss = d->loss;
    d->r.options = d->options;
    d->r.attachments = d->attachments;
}

void wdb_row(struct wdb_draft *d, const char *table, struct sqlite3_stmt *st, int first, int n)
{
    if (d->raw.len > 0) { kluis_buf_byte(&d->raw, '\n'); }
    database_row_json(&d->raw, table, st, first, n);
}

struct kluis_str wdb_keep(struct wdb_draft *d, struct kluis_str s)
{
    struct kluis_str u = wdb_utf8(d->arena, s);
    return u.ptr == s.ptr ? kluis_arena_str(d->arena, u) : u;
}

struct kluis_str wdb_fmt(struct wdb_draft *d, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof text) { return (struct kluis_str){ NULL, 0 }; }
    return kluis_arena_str(d->arena, (struct kluis_str){ text, (size_t)n });
}

void wdb_loss(struct wdb_draft *d, const char *token)
{
    for (size_t i = 0; i < d->r.n_loss; i++) {
        if (kluis_str_is(d->loss[i], token)) { return; }
    }
    if (d->r.n_loss < WDB_LOSS) { d->loss[d->r.n_loss++] = kluis_str_of(token); }
}

void wdb_text(struct wdb_draft *d, struct kluis_str text)
{
    if (text.ptr == NULL || text.len == 0) { return; }
    if (text.len > KLUIS_TEXT_MAX) { /* the row itself is in the evidence */
        wdb_loss(d, "text-beyond-1-mib");
        text.len = KLUIS_TEXT_MAX;
        while (text.len > 0 && ((uint8_t)text.ptr[text.len] & 0xc0) == 0x80) { text.len--; }
    }
    d->r.text = wdb_keep(d, text);
    if (kluis_utf8_valid(text.ptr, text.len) != text.len) {
        struct kluis_str raw = kluis_arena_str(d->arena, text);
        d->r.text_raw = (struct kluis_bytes){ (const uint8_t *)raw.ptr, raw.len };
    }
}

int64_t wdb_ms(int64_t ms)
{
    int64_t us;
    if (ms == 0 || ms == -1 || __builtin_mul_overflow(ms, INT64_C(1000), &us) || us < US_MIN || us > US_MAX) { return KLUIS_TIME_ABSENT; }
    return us;
}

void wdb_sent(struct wdb_draft *d, int64_t us)
{
    d->r.sent.us = us == KLUIS_TIME_ABSENT ? us : us - (us % 1000 + 1000) % 1000; /* the header says milliseconds */
}

void wdb_time(struct wdb_draft *d, const char *name, int64_t us)
{
    if (us != KLUIS_TIME_ABSENT && d->r.n_times < WDB_TIMES) {
        d->times[d->r.n_times++] = (struct kluis_time_field){ .name = kluis_str_of(name), .when = { .us = us } };
    }
}

static struct kluis_field *field(struct wdb_draft *d, const char *name)
{
    struct kluis_str n = kluis_arena_str(d->arena, kluis_str_of(name));
    if (n.ptr == NULL || n.len > 240 || d->r.n_fields == KLUIS_FIELDS_MAX) {
        wdb_loss(d, "fields-beyond-256");
        return NULL;
    }
    d->fields[d->r.n_fields] = (struct kluis_field){ .name = n };
    return &d->fields[d->r.n_fields++];
}

void wdb_field(struct wdb_draft *d, const char *name, struct kluis_str value)
{
    if (value.ptr == NULL || value.len == 0) { return; }
    if (value.len > KLUIS_TEXT_MAX) {
        wdb_loss(d, "field-too-long");
        return;
    }
    struct kluis_field *f = field(d, name);
    if (f != NULL) { f->value = wdb_keep(d, value); }
}

void wdb_number_field(struct wdb_draft *d, const char *name, int64_t n)
{
    if (n < -KLUIS_INT_MAX_JSON || n > KLUIS_INT_MAX_JSON) {
        wdb_field(d, name, wdb_fmt(d, "%lld", (long long)n));
        return;
    }
    struct kluis_field *f = field(d, name);
    if (f != NULL) {
        f->number = n;
        f->is_int = true;
    }
}

void wdb_option(struct wdb_draft *d, struct kluis_str option)
{
    if (d->r.n_options == KLUIS_FIELDS_MAX) {
        wdb_loss(d, "options-beyond-256");
    } else {
        struct kluis_str s = wdb_keep(d, option.ptr == NULL ? KLUIS_STR_LIT("") : option);
        if (s.ptr != NULL) { d->options[d->r.n_options++] = s; }
    }
}

struct kluis_attachment *wdb_attach(struct wdb_draft *d)
{
    if (d->r.n_attachments == KLUIS_ATTACHMENTS_MAX) {
        wdb_loss(d, "attachments-beyond-256");
        return NULL;
    }
    struct kluis_attachment *a = &d->attachments[d->r.n_attachments++];
    *a = (struct kluis_attachment){ .size = -1 };
    return a;
}

static int by_name(struct kluis_str a, struct kluis_str b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = memcmp(a.ptr, b.ptr, n);
    return c != 0 ? c : a.len < b.len ? -1 : a.len > b.len;
}
static int field_order(const void *a, const void *b) { return by_name(((const struct kluis_field *)a)->name, ((const struct kluis_field *)b)->name); }
static int time_order(const void *a, const void *b)
{
    return by_name(((const struct kluis_time_field *)a)->name, ((const struct kluis_time_field *)b)->name);
}

kluis_status wdb_send(struct wdb_draft *d, struct kluis_err *err)
{
    qsort(d->fields, d->r.n_fields, sizeof *d->fields, field_order);
    size_t n = 0;
    for (size_t i = 0; i < d->r.n_fields; i++) { /* two under one name: the first stands, the row holds both */
        if (n == 0 || field_order(&d->fields[n - 1], &d->fields[i]) != 0) { d->fields[n++] = d->fields[i]; }
    }
    d->r.n_fields = n;
    qsort(d->times, d->r.n_times, sizeof *d->times, time_order);
    n = 0;
    for (size_t i = 0; i < d->r.n_times; i++) {
        if (n == 0 || time_order(&d->times[n - 1], &d->times[i]) != 0) { d->times[n++] = d->times[i]; }
    }
    d->r.n_times = n;
    struct kluis_bytes raw = kluis_buf_bytes(&d->raw);
    if (d->raw.status == KLUIS_E_LIMIT) { /* a row of more than 16 MiB */
        wdb_loss(d, "evidence-too-large");
        raw = (struct kluis_bytes){ d->raw.data, 0 };
    } else {
        KLUIS_TRY(kluis_buf_ok(&d->raw, err));
    }
    d->sent++;
    return d->sink->record(d->sink->ctx, &d->r, raw, err);
}
