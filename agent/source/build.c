/* build.c - see build.h. */
#include "agent/source/build.h"

#include <stdarg.h>
#include <strings.h>

void build_new(struct build *b, struct kluis_arena *arena, enum kluis_kind kind)
{
    b->arena = arena;
    b->r = (struct kluis_record){ .kind = kind,
                                  .author = KLUIS_NO_PARTY,
                                  .target_author = KLUIS_NO_PARTY,
                                  .sent = { KLUIS_TIME_ABSENT, 0 },
                                  .target_sent = { KLUIS_TIME_ABSENT, 0 },
                                  .times = b->times,
                                  .fields = b->fields,
                                  .loss = b->loss,
                                  .attachments = b->attachments,
                                  .options = b->options };
}

struct kluis_str build_fmt(struct kluis_arena *a, const char *fmt, ...)
{
    char small[256]; /* most are short, and are made once only */
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof small) {
        char *p = kluis_arena_strndup(a, small, (size_t)n);
        return (struct kluis_str){ p, p == NULL ? 0 : (size_t)n };
    }
    char *p = n < 0 ? NULL : kluis_arena_alloc(a, (size_t)n + 1);
    if (p == NULL) { return (struct kluis_str){ NULL, 0 }; }
    va_start(ap, fmt);
    (void)vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return (struct kluis_str){ p, (size_t)n };
}

void build_loss(struct build *b, const char *token)
{
    for (size_t i = 0; i < b->r.n_loss; i++) {
        if (kluis_str_is(b->loss[i], token)) { return; }
    }
    if (b->r.n_loss < BUILD_LOSSES) { b->loss[b->r.n_loss++] = kluis_str_of(token); }
}

static void add(struct build *b, struct kluis_field f)
{
    if (b->r.n_fields == KLUIS_FIELDS_MAX) {
        build_loss(b, "fields-beyond-256");
    } else if (kluis_utf8_valid(f.name.ptr, f.name.len) != f.name.len) { /* a column's, in a damaged database */
        build_loss(b, "field-not-text");
    } else {
        b->fields[b->r.n_fields++] = f;
    }
}

void build_text(struct build *b, const char *name, struct kluis_str value)
{
    if (value.ptr == NULL) { return; }
    if (name == NULL) { /* there was no room to make it */
        build_loss(b, "fields-beyond-256");
    } else if (value.len > KLUIS_TEXT_MAX) {
        build_loss(b, "field-too-long");
    } else if (kluis_utf8_valid(value.ptr, value.len) != value.len) { /* as it stands in a damaged file */
        build_loss(b, "field-not-text");
    } else {
        add(b, (struct kluis_field){ .name = kluis_str_of(name), .value = value });
    }
}

void build_nth(struct build *b, const char *name, unsigned i, struct kluis_str value)
{
    struct kluis_str own = i <= 1 ? kluis_str_of(name) : build_fmt(b->arena, "%s-%02u", name, i);
    if (own.ptr != NULL) { build_text(b, own.ptr, value); }
}

void build_number(struct build *b, const char *name, int64_t n)
{
    if (n >= -KLUIS_INT_MAX_JSON && n <= KLUIS_INT_MAX_JSON) {
        add(b, (struct kluis_field){ .name = kluis_str_of(name), .number = n, .is_int = true });
    } else {
        build_text(b, name, build_fmt(b->arena, "%lld", (long long)n));
    }
}

void build_time(struct build *b, const char *name, int64_t us)
{
    if (us == KLUIS_TIME_ABSENT) { return; }
    if (b->r.n_times == BUILD_TIMES) {
        build_loss(b, "times-beyond-16");
    } else {
        b->times[b->r.n_times++] = (struct kluis_time_field){ kluis_str_of(name), { us, 0 } };
    }
}

void build_option(struct build *b, struct kluis_str text)
{
    if (b->r.n_options == KLUIS_FIELDS_MAX) {
        build_loss(b, "options-beyond-256");
    } else {
        b->options[b->r.n_options++] = text.ptr == NULL ? KLUIS_STR_LIT("") : text;
    }
}

struct kluis_attachment *build_attachment(struct build *b)
{
    if (b->r.n_attachments == BUILD_ATTACHMENTS) {
        build_loss(b, "attachments-beyond-64");
        return NULL;
    }
    struct kluis_attachment *a = &b->attachments[b->r.n_attachments++];
    *a = (struct kluis_attachment){ .size = -1 };
    return a;
}

void build_body(struct build *b, struct kluis_str text)
{
    if (text.len > KLUIS_TEXT_MAX) {
        text.len = kluis_utf8_valid(text.ptr, KLUIS_TEXT_MAX);
        build_loss(b, "text-cut");
    }
    b->r.text = text;
}

/* An element of a list counts as looked at when one of its members was. */
static bool looked_at(const struct json *list, const struct json *m)
{
    if (m->used != 0 || list->type != JSON_ARRAY || (m->type != JSON_OBJECT && m->type != JSON_ARRAY)) { return m->used == 1; }
    for (const struct json *c = m->child; c != NULL; c = c->next) {
        if (c->used != 0) { return true; }
    }
    return false;
}

static struct kluis_str below(struct build *b, const char *path, struct kluis_str key)
{
    size_t n = strlen(path), k = key.len > 200 ? 200 : key.len;
    char *p = kluis_arena_alloc(b->arena, n + k + 2);
    if (p == NULL) { return (struct kluis_str){ NULL, 0 }; }
    memcpy(p, path, n);
    p[n] = '.';
    memcpy(p + n + 1, key.ptr, k);
    return (struct kluis_str){ p, n + 1 + k };
}

void build_rest(struct build *b, const char *path, struct json *v)
{
    unsigned i = 0;
    for (struct json *m = v->child; m != NULL; m = m->next, i++) {
        const bool holder = m->type == JSON_OBJECT || m->type == JSON_ARRAY, looked = looked_at(v, m);
        if (m->used == 2 || m->type == JSON_NULL || (holder && m->child == NULL) || (looked && !holder)) { continue; }
        struct kluis_str name = v->type == JSON_ARRAY ? build_fmt(b->arena, "%s.%u", path, i) : below(b, path, m->key);
        if (name.ptr == NULL || name.len > 240 || kluis_utf8_valid(name.ptr, name.len) != name.len) {
            build_loss(b, "fields-too-deep");
        } else if (looked) {
            build_rest(b, name.ptr, m);
        } else {
            build_text(b, name.ptr, m->type == JSON_STRING ? m->text : m->raw);
        }
    }
}

static int by_name(struct kluis_str a, struct kluis_str b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = memcmp(a.ptr, b.ptr, n);
    return c != 0 ? c : a.len < b.len ? -1 : a.len > b.len;
}
static int field_order(const void *x, const void *y) { return by_name(((const struct kluis_field *)x)->name, ((const struct kluis_field *)y)->name); }
static int time_order(const void *x, const void *y)
{
    return by_name(((const struct kluis_time_field *)x)->name, ((const struct kluis_time_field *)y)->name);
}

/* Few, mostly, and some of them in order. */
static void sort(struct kluis_field *f, size_t n)
{
    if (n > 24) {
        qsort(f, n, sizeof *f, field_order);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        const struct kluis_field one = f[i];
        size_t k = i;
        for (; k > 0 && by_name(f[k - 1].name, one.name) > 0; k--) { f[k] = f[k - 1]; }
        f[k] = one;
    }
}

/* Two things under one name: the later ones get a name of their own, nothing is lost. */
static void make_unique(struct build *b)
{
    for (int round = 0; round < 8; round++) {
        bool again = false;
        sort(b->fields, b->r.n_fields);
        for (size_t i = 1; i < b->r.n_fields; i++) {
            struct kluis_str n = b->fields[i].name;
            if (by_name(b->fields[i - 1].name, n) != 0) { continue; }
            struct kluis_str other = build_fmt(b->arena, "%.*s.%zu", n.len > 200 ? 200 : (int)n.len, n.ptr, i);
            if (other.ptr != NULL) { b->fields[i].name = other; }
            again = true;
        }
        if (!again) { return; }
    }
}

kluis_status build_send(struct build *b, const struct source_sink *sink, struct kluis_bytes raw, struct kluis_err *err)
{
    if (b->r.n_fields > 1) { make_unique(b); }
    if (b->r.n_times > 1) { qsort(b->times, b->r.n_times, sizeof *b->times, time_order); }
    return sink->record(sink->ctx, &b->r, raw, err);
}

int64_t build_ms(int64_t ms)
{
    static const int64_t first = INT64_C(-62135596800000), last = INT64_C(253402300799999); /* years 1 to 9999 */
    return ms < first || ms > last ? KLUIS_TIME_ABSENT : ms * 1000;
}

int64_t build_utc(struct kluis_str s)
{
    char rfc[24];
    int offset, digits;
    int64_t us;
    if (s.ptr == NULL || s.len != 23 || memcmp(s.ptr + 19, " UTC", 4) != 0 || s.ptr[10] != ' ') { return KLUIS_TIME_ABSENT; }
    memcpy(rfc, s.ptr, 19);
    rfc[10] = 'T';
    rfc[19] = 'Z';
    return kluis_time_parse((struct kluis_str){ rfc, 20 }, &us, &offset, &digits) ? us : KLUIS_TIME_ABSENT;
}

kluis_status build_skip(const struct source_sink *sink, const char *what, const char *where, const char *why, bool refused, struct kluis_err *err)
{
    const struct source_skip s = { what, where, why, refused };
    return sink->skipped == NULL ? KLUIS_OK : sink->skipped(sink->ctx, &s, err);
}

kluis_status build_gap(struct build *b, struct kluis_arena *arena, const struct source_sink *sink, uint64_t at, uint64_t bytes, enum kluis_zone zone,
                       struct kluis_err *err)
{
    build_new(b, arena, KLUIS_GAP);
    b->r.event = KLUIS_STR_LIT("damaged");
    b->r.zone = zone;
    build_body(b, build_fmt(arena, "Messages in the source cannot be read: %llu bytes are damaged or missing.", (unsigned long long)bytes));
    build_number(b, "at-byte", at > INT64_MAX ? INT64_MAX : (int64_t)at);
    return build_send(b, sink, (struct kluis_bytes){ NULL, 0 }, err);
}

const char *build_type_of_name(struct kluis_str name)
{
    static const char *const known[][2] = {
        { ".jpg", "image/jpeg" }, { ".jpeg", "image/jpeg" },    { ".png", "image/png" },  { ".webp", "image/webp" },
        { ".gif", "image/gif" },  { ".heic", "image/heic" },    { ".mp4", "video/mp4" },  { ".mov", "video/quicktime" },
        { ".ogg", "audio/ogg" },  { ".oga", "audio/ogg" },      { ".opus", "audio/ogg" }, { ".mp3", "audio/mpeg" },
        { ".m4a", "audio/mp4" },  { ".aac", "audio/aac" },      { ".wav", "audio/wav" },  { ".tgs", "application/x-tgsticker" },
        { ".vcf", "text/vcard" }, { ".pdf", "application/pdf" }
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t k = strlen(known[i][0]);
        if (name.len > k && strncasecmp(name.ptr + name.len - k, known[i][0], k) == 0) { return known[i][1]; }
    }
    return NULL;
}

bool build_iso(struct kluis_str s, struct kluis_when *out)
{
    char t[KLUIS_TIME_TEXT];
    size_t n = 19, fraction = 0, digits = 0;
    int offset = 0, ignored = 0;
    if (s.ptr == NULL || s.len < 20) { return false; }
    memcpy(t, s.ptr, n);
    if (s.ptr[n] == '.') { /* what is beyond a microsecond is cut */
        size_t i = n + 1;
        for (; i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9'; i++, digits++) {
            if (digits < 6) { fraction = fraction * 10 + (size_t)(s.ptr[i] - '0'); }
        }
        if (digits == 0) { return false; }
        for (size_t k = digits; k < 6; k++) { fraction *= 10; }
        s = (struct kluis_str){ s.ptr + i, s.len - i };
    } else {
        s = (struct kluis_str){ s.ptr + n, s.len - n };
    }
    if (s.len == 0 || s.len > 6) { return false; }
    memcpy(t + n, s.ptr, s.len);
    if (!kluis_time_parse((struct kluis_str){ t, n + s.len }, &out->us, &offset, &ignored)) { return false; }
    out->us += (int64_t)fraction;
    out->offset_min = (int16_t)offset;
    return true;
}

const char *build_type_of(const uint8_t *h, size_t n)
{
    static const struct {
        size_t at, n;
        const char *bytes, *type;
    } magic[] = {
        { 0, 8, "\x89PNG\r\n\x1a\n", "image/png" },
        { 0, 3, "\xff\xd8\xff", "image/jpeg" },
        { 0, 4, "GIF8", "image/gif" },
        { 8, 4, "WEBP", "image/webp" },
        { 4, 8, "ftypheic", "image/heic" },
        { 4, 7, "ftyp3gp", "video/3gpp" },
        { 4, 7, "ftypM4A", "audio/mp4" },
        { 4, 8, "ftypqt  ", "video/quicktime" },
        { 4, 4, "ftyp", "video/mp4" },
        { 0, 4, "OggS", "audio/ogg" },
        { 0, 5, "#!AMR", "audio/amr" },
        { 0, 3, "ID3", "audio/mpeg" },
        { 0, 5, "%PDF-", "application/pdf" },
        { 0, 11, "BEGIN:VCARD", "text/vcard" },
    };
    for (size_t i = 0; i < sizeof magic / sizeof *magic; i++) {
        if (n >= magic[i].at + magic[i].n && memcmp(h + magic[i].at, magic[i].bytes, magic[i].n) == 0) { return magic[i].type; }
    }
    return NULL;
}

struct kluis_str build_base_name(struct kluis_str path)
{
    size_t i = path.len;
    while (i > 0 && path.ptr[i - 1] != '/' && path.ptr[i - 1] != '\\') { i--; }
    return path.ptr == NULL ? path : (struct kluis_str){ path.ptr + i, path.len - i };
}
