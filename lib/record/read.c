/* read.c - strict reader of header and record lines: one pass, no tree.
 *
 * Members are looked for in the only order they may have, so that an unknown, repeated or misplaced one is simply not found and
 * the closing brace is missed.  The line is copied into the arena once; strings are views into that copy, escapes undone
 * in place (what an escape stands for is never longer than the escape). */
#include "record_internal.h"

#include <assert.h>

struct in {
    char *p, *end; /* *end is NUL */
    char *start;
    struct kluis_arena *arena;
    struct kluis_err *err;
    const char *what;
    bool first;          /* directly after '{'                 */
    kluis_status status; /* sticky                             */
};

/* What follows a complaint is not looked at: behind the end nothing is found. */
static void ended(struct in *c, kluis_status why)
{
    c->status = why;
    c->p = c->end;
}

static void bad(struct in *c, const char *why)
{
    if (c->status != KLUIS_OK) { return; }
    ended(c, KLUIS_FAIL(c->err, KLUIS_E_REJECT, "%s refused at byte %zu: %s", c->what, (size_t)(c->p - c->start), why));
}

static void limit(struct in *c, const char *why)
{
    if (c->status != KLUIS_OK) { return; }
    ended(c, KLUIS_FAIL(c->err, KLUIS_E_LIMIT, "%s refused at byte %zu: %s", c->what, (size_t)(c->p - c->start), why));
}

static void *alloc(struct in *c, size_t n)
{
    void *p = c->status == KLUIS_OK ? kluis_arena_alloc(c->arena, n) : NULL;
    if (p == NULL && c->status == KLUIS_OK) { ended(c, KLUIS_FAIL(c->err, KLUIS_E_NOMEM, "out of memory while reading a %s", c->what)); }
    return p;
}

static void expect(struct in *c, char want)
{
    if (c->status != KLUIS_OK) { return; }
    if (*c->p == want && c->p < c->end) {
        c->p++;
    } else if (want == '}') {
        bad(c, "a member that is unknown, repeated, out of order, or not closed");
    } else {
        bad(c, "not canonical JSON");
    }
}

static void open_object(struct in *c)
{
    expect(c, '{');
    c->first = true;
}

static void close_object(struct in *c)
{
    expect(c, '}');
    c->first = false;
}

/* Is the next member this one?  `quoted` is "\"name\":"; its length is known where this is called, so that the comparison is a few words.  Most
 * members are absent from most records: that is seen by the first letter, behind no NUL. */
static inline __attribute__((always_inline)) bool member_n(struct in *c, const char *quoted, size_t n)
{
    char *p = c->p;
    if (!c->first && *p++ != ',') { return false; }
    if (p[0] != '"' || p[1] != quoted[1] || (size_t)(c->end - p) < n || memcmp(p, quoted, n) != 0) { return false; }
    c->p = p + n;
    c->first = false;
    return true;
}
#define MEMBER(c, name) member_n((c), "\"" name "\":", sizeof(name) + 2)
#define REQUIRE(c, name)                                                                                                                             \
    do {                                                                                                                                             \
        if (!MEMBER(c, name)) { bad((c), "member \"" name "\" is missing or out of place"); }                                                        \
    } while (0)

static int hex_digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

/* p stands on a backslash.  Writes the character at *to and returns the bytes consumed; 0: not a canonical escape. */
static size_t unescape(const char *p, char *to)
{
    switch (p[1]) {
    case '"':
    case '\\': *to = p[1]; return 2;
    case 'b': *to = '\b'; return 2;
    case 'f': *to = '\f'; return 2;
    case 'n': *to = '\n'; return 2;
    case 'r': *to = '\r'; return 2;
    case 't': *to = '\t'; return 2;
    case 'u': break;
    default: return 0;
    }
    if (p[2] != '0' || p[3] != '0' || (p[4] != '0' && p[4] != '1')) { return 0; }
    int low = hex_digit(p[5]);
    if (low < 0) { return 0; }
    char v = (char)((p[4] - '0') * 16 + low);
    if (v == '\b' || v == '\f' || v == '\n' || v == '\r' || v == '\t') { return 0; }
    *to = v;
    return 6;
}

static struct kluis_str string(struct in *c)
{
    struct kluis_str out = { NULL, 0 };
    expect(c, '"');
    if (c->status != KLUIS_OK) { return out; }
    char *from = c->p, *p = from + kluis_json_plain(from, (size_t)(c->end - from));
    char *to = p;
    while (*p != '"') {
        size_t n = 0;
        if (*p == '\\') {
            n = unescape(p, to);
            p += n;
            to++;
        }
        if (n == 0) {
            c->p = p;
            bad(c, p >= c->end ? "a string that does not end" : "a control character or an escape that is not canonical");
            return out;
        }
        char *run = p;
        p += kluis_json_plain(p, (size_t)(c->end - p));
        memmove(to, run, (size_t)(p - run));
        to += p - run;
    }
    c->p = p + 1;
    out.ptr = from;
    out.len = (size_t)(to - from);
    if (out.len > KLUIS_TEXT_MAX) { limit(c, "a string longer than 1 MiB"); }
    return out;
}

static struct kluis_str token(struct in *c)
{
    struct kluis_str s = string(c);
    if (c->status == KLUIS_OK && !record_is_token(s)) { bad(c, "not a token (1 to 64 of A-Z a-z 0-9 . _ : -)"); }
    return s;
}

static uint64_t number(struct in *c)
{
    if (c->status != KLUIS_OK) { return 0; }
    const char *p = c->p;
    uint64_t v = 0;
    int digits = 0;
    while (*p >= '0' && *p <= '9' && digits < 17) {
        v = v * 10 + (uint64_t)(*p++ - '0');
        digits++;
    }
    if (digits == 0 || (digits > 1 && *c->p == '0')) {
        bad(c, "not a canonical integer");
    } else if (v > (uint64_t)KLUIS_INT_MAX_JSON) {
        bad(c, "an integer beyond 2^53-1");
    } else if (*p == '.' || *p == 'e' || *p == 'E') {
        bad(c, "a number that is not an integer");
    } else {
        c->p += digits;
    }
    return v;
}

static uint32_t party(struct in *c, uint32_t n_parties)
{
    uint64_t v = number(c);
    if (c->status == KLUIS_OK && v >= n_parties) { bad(c, "a party index past the table"); }
    return (uint32_t)v;
}

static struct kluis_when when(struct in *c, int *fraction)
{
    struct kluis_when w = { KLUIS_TIME_ABSENT, 0 };
    *fraction = 0;
    expect(c, '"');
    if (c->status != KLUIS_OK) { return w; }
    size_t n = record_time_parse(c->p, (size_t)(c->end - c->p), &w.us, &w.offset_min, fraction);
    if (n == 0) { bad(c, "not a time of the calendar in canonical RFC 3339 form"); }
    c->p += n;
    expect(c, '"');
    return w;
}

static struct kluis_when shortest_when(struct in *c)
{
    int fraction = 0;
    struct kluis_when w = when(c, &fraction);
    if (c->status == KLUIS_OK && fraction != record_shortest_fraction(w.us)) { bad(c, "a time with more or fewer digits than it needs"); }
    return w;
}

/* Arrays grow by doubling in the arena.  Returns the (moved) array with room for one more, NULL on failure. */
static void *grow(struct in *c, void *list, size_t n, size_t size, size_t most, const char *too_many)
{
    if (n >= most) {
        limit(c, too_many);
        return NULL;
    }
    if (n != 0 && (n < 4 || (n & (n - 1)) != 0)) { return list; }
    void *more = alloc(c, (n == 0 ? 4 : 2 * n) * size);
    assert(n == 0 || list != NULL);
    if (more != NULL && n > 0) { memcpy(more, list, n * size); }
    return more;
}

/* After an element: true when another follows. */
static bool more_elements(struct in *c)
{
    if (c->status != KLUIS_OK) { return false; }
    if (*c->p == ',') {
        c->p++;
        return true;
    }
    expect(c, ']');
    return false;
}

static void strings(struct in *c, bool tokens, const struct kluis_str **out, size_t *n)
{
    struct kluis_str *list = NULL;
    expect(c, '[');
    if (c->status != KLUIS_OK) { return; }
    do {
        list = grow(c, list, *n, sizeof *list, KLUIS_FIELDS_MAX, "a list of more than 256 strings");
        if (list == NULL) { return; }
        list[(*n)++] = tokens ? token(c) : string(c);
    } while (more_elements(c));
    *out = list;
}

static void ascending_name(struct in *c, struct kluis_str before, struct kluis_str now)
{
    if (c->status != KLUIS_OK) { return; }
    if (now.len == 0 || now.len > RECORD_NAME_MAX) {
        bad(c, "a name that is empty or longer than 256 bytes");
        return;
    }
    if (before.ptr == NULL) { return; }
    size_t n = before.len < now.len ? before.len : now.len;
    int order = memcmp(before.ptr, now.ptr, n);
    if (order > 0 || (order == 0 && before.len >= now.len)) { bad(c, "names that are not sorted and unique"); }
}

static void times(struct in *c, struct kluis_record *r)
{
    struct kluis_time_field *list = NULL;
    struct kluis_str before = { NULL, 0 };
    expect(c, '{');
    do {
        list = grow(c, list, r->n_times, sizeof *list, KLUIS_FIELDS_MAX, "more than 256 times");
        if (list == NULL) { return; }
        struct kluis_time_field *f = &list[r->n_times++];
        f->name = string(c);
        ascending_name(c, before, f->name);
        before = f->name;
        expect(c, ':');
        f->when = shortest_when(c);
    } while (c->status == KLUIS_OK && *c->p == ',' && c->p++);
    expect(c, '}');
    r->times = list;
}

static void fields(struct in *c, struct kluis_record *r)
{
    struct kluis_field *list = NULL;
    struct kluis_str before = { NULL, 0 };
    expect(c, '{');
    do {
        list = grow(c, list, r->n_fields, sizeof *list, KLUIS_FIELDS_MAX, "more than 256 fields");
        if (list == NULL) { return; }
        struct kluis_field *f = &list[r->n_fields++];
        f->name = string(c);
        ascending_name(c, before, f->name);
        before = f->name;
        expect(c, ':');
        if (c->status != KLUIS_OK) { return; }
        if (*c->p == '"') {
            f->value = string(c);
        } else {
            bool negative = *c->p == '-';
            if (negative) { c->p++; }
            uint64_t v = number(c);
            if (negative && v == 0) { bad(c, "minus zero"); }
            f->is_int = true;
            f->number = negative ? -(int64_t)v : (int64_t)v;
        }
    } while (c->status == KLUIS_OK && *c->p == ',' && c->p++);
    expect(c, '}');
    r->fields = list;
}

static void sha256(struct in *c, uint8_t out[32])
{
    struct kluis_str s = string(c);
    if (c->status == KLUIS_OK && (s.len != 64 || !kluis_unhex(s, out, 32))) { bad(c, "not 64 lower-case hexadecimal digits"); }
}

static void attachments(struct in *c, struct kluis_record *r)
{
    struct kluis_attachment *list = NULL;
    expect(c, '[');
    do {
        list = grow(c, list, r->n_attachments, sizeof *list, KLUIS_ATTACHMENTS_MAX, "more than 256 attachments");
        if (list == NULL) { return; }
        struct kluis_attachment *a = &list[r->n_attachments++];
        a->size = -1;
        open_object(c);
        if (MEMBER(c, "name")) { a->name = string(c); }
        if (MEMBER(c, "type")) { a->type = string(c); }
        if (MEMBER(c, "size")) { a->size = (int64_t)number(c); }
        if (MEMBER(c, "sha256")) {
            if (a->size < 0) { bad(c, "an attachment with a digest and no size"); }
            a->has_sha256 = true;
            sha256(c, a->sha256);
        }
        if (MEMBER(c, "loss")) { a->loss = token(c); }
        close_object(c);
    } while (more_elements(c));
    r->attachments = list;
}

static void text_raw(struct in *c, struct kluis_record *r)
{
    if (r->text.ptr == NULL) { bad(c, "text_raw without text"); }
    struct kluis_str s = string(c);
    if (c->status != KLUIS_OK) { return; }
    size_t cap = s.len / 4 * 3, n = 0;
    uint8_t *out = alloc(c, cap + 1);
    if (out == NULL) { return; }
    if (s.len == 0 || !kluis_unbase64(s, out, cap, &n) || n == 0) { bad(c, "not canonical base64"); }
    if (n > KLUIS_TEXT_MAX) { limit(c, "raw text longer than 1 MiB"); }
    r->text_raw = (struct kluis_bytes){ out, n };
}

static int choice(struct in *c, const char *const *names, int n)
{
    struct kluis_str s = string(c);
    for (int i = 0; i < n; i++) {
        if (kluis_str_is(s, names[i])) { return i; }
    }
    bad(c, "a word this schema does not know");
    return 0;
}

static kluis_status begin(struct in *c, struct kluis_str line, struct kluis_arena *arena, const char *what, struct kluis_err *err)
{
    *c = (struct in){ .arena = arena, .err = err, .what = what, .status = KLUIS_OK };
    if (line.len > KLUIS_RECORD_LINE_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "%s refused: a line of more than %d bytes", what, KLUIS_RECORD_LINE_MAX);
    }
    if (line.ptr == NULL || line.len == 0) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s refused: an empty line", what); }
    size_t valid = kluis_utf8_valid(line.ptr, line.len);
    if (valid != line.len) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s refused at byte %zu: not valid UTF-8", what, valid); }
    c->start = c->p = kluis_arena_strndup(arena, line.ptr, line.len);
    if (c->p == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory while reading a %s", what); }
    c->end = c->p + line.len;
    return KLUIS_OK;
}

static kluis_status end(struct in *c)
{
    if (c->status == KLUIS_OK && c->p != c->end) { bad(c, "something after the closing brace"); }
    return c->status;
}

static void conversation(struct in *c, struct kluis_header *h)
{
    static const char *const types[] = { "direct", "group", "channel", "self", "unknown" };
    open_object(c);
    REQUIRE(c, "id");
    h->conversation_id = string(c);
    if (h->conversation_id.len == 0) { bad(c, "an empty conversation id"); }
    if (MEMBER(c, "name")) { h->conversation_name = string(c); }
    REQUIRE(c, "type");
    h->type = (enum kluis_conversation_type)choice(c, types, 5);
    close_object(c);
}

static void parties(struct in *c, struct kluis_header *h)
{
    struct kluis_party *list = NULL;
    expect(c, '[');
    do {
        list = grow(c, list, h->n_parties, sizeof *list, KLUIS_PARTIES_MAX, "more than 4096 parties");
        if (list == NULL) { return; }
        struct kluis_party *p = &list[h->n_parties++];
        open_object(c);
        if (MEMBER(c, "id")) { p->id = string(c); }
        if (MEMBER(c, "name")) { p->name = string(c); }
        if (MEMBER(c, "number")) { p->number = string(c); }
        if (c->first) { bad(c, "a party without id, name and number"); }
        close_object(c);
    } while (more_elements(c));
    h->parties = list;
}

static void participants(struct in *c, struct kluis_header *h)
{
    uint32_t *list = alloc(c, ((size_t)h->n_parties + 1) * sizeof *list);
    expect(c, '[');
    do {
        uint32_t p = party(c, h->n_parties);
        if (list == NULL || c->status != KLUIS_OK) { return; }
        if (h->n_participants > 0 && p <= list[h->n_participants - 1]) {
            bad(c, "participants that are not ascending");
            return;
        }
        list[h->n_participants++] = p;
    } while (more_elements(c));
    h->participants = list;
}

kluis_status kluis_header_read(struct kluis_str line, struct kluis_arena *arena, struct kluis_header *out, struct kluis_err *err)
{
    struct in c;
    *out = (struct kluis_header){ .self = KLUIS_NO_PARTY };
    KLUIS_TRY(begin(&c, line, arena, "header", err));
    open_object(&c);
    REQUIRE(&c, "schema");
    uint64_t schema = number(&c);
    if (c.status == KLUIS_OK && schema != KLUIS_RECORD_SCHEMA) { bad(&c, "a schema version this program does not know: use a newer one"); }
    REQUIRE(&c, "platform");
    out->platform = token(&c);
    REQUIRE(&c, "conversation");
    conversation(&c, out);
    if (MEMBER(&c, "parties")) { parties(&c, out); }
    if (MEMBER(&c, "participants")) { participants(&c, out); }
    if (MEMBER(&c, "self")) { out->self = party(&c, out->n_parties); }
    REQUIRE(&c, "provenance");
    open_object(&c);
    struct kluis_provenance *v = &out->provenance;
    REQUIRE(&c, "source");
    v->source = token(&c);
    if (MEMBER(&c, "app")) { v->app = string(&c); }
    if (MEMBER(&c, "app_version")) { v->app_version = string(&c); }
    if (MEMBER(&c, "os")) { v->os = string(&c); }
    if (MEMBER(&c, "device")) { v->device = string(&c); }
    if (MEMBER(&c, "reader")) { v->reader = string(&c); }
    close_object(&c);
    REQUIRE(&c, "zone");
    out->zone = (enum kluis_zone)choice(&c, record_zone_names, 2);
    if (MEMBER(&c, "zone_name")) { out->zone_name = string(&c); }
    REQUIRE(&c, "precision");
    out->precision = (enum kluis_precision)choice(&c, record_precision_names, 3);
    if (MEMBER(&c, "loss")) { strings(&c, true, &out->loss, &out->n_loss); }
    REQUIRE(&c, "salt");
    sha256(&c, out->salt);
    close_object(&c);
    return end(&c);
}

static void rest_of_record(struct in *c, const struct kluis_header *h, struct kluis_record *out)
{
    if (MEMBER(c, "target")) { out->target = string(c); }
    if (MEMBER(c, "target_author")) { out->target_author = party(c, h->n_parties); }
    if (MEMBER(c, "target_sent")) { out->target_sent = shortest_when(c); }
    if (MEMBER(c, "quote")) { out->quote = string(c); }
    if (MEMBER(c, "value")) { out->value = string(c); }
    if (MEMBER(c, "event")) { out->event = string(c); }
    if (MEMBER(c, "options")) { strings(c, false, &out->options, &out->n_options); }
    if (MEMBER(c, "fields")) { fields(c, out); }
    if (MEMBER(c, "loss")) { strings(c, true, &out->loss, &out->n_loss); }
    if (MEMBER(c, "evidence")) {
        out->evidence = number(c);
        if (out->evidence == 0) { bad(c, "an evidence length of zero"); }
    }
}

kluis_status kluis_record_read(struct kluis_str line, const struct kluis_header *h, struct kluis_arena *arena, struct kluis_record *out,
                               struct kluis_err *err)
{
    struct in c;
    *out = (struct kluis_record){ .author = KLUIS_NO_PARTY,
                                  .sent = { KLUIS_TIME_ABSENT, 0 },
                                  .zone = h->zone,
                                  .target_author = KLUIS_NO_PARTY,
                                  .target_sent = { KLUIS_TIME_ABSENT, 0 } };
    KLUIS_TRY(begin(&c, line, arena, "record", err));
    open_object(&c);
    if (MEMBER(&c, "kind")) {
        struct kluis_str s = string(&c);
        if (!kluis_kind_parse(s, &out->kind) || out->kind == KLUIS_MESSAGE) { bad(&c, "a kind this schema does not know"); }
    }
    if (MEMBER(&c, "id")) { out->id = string(&c); }
    if (MEMBER(&c, "author")) { out->author = party(&c, h->n_parties); }
    if (MEMBER(&c, "sent")) {
        int fraction = 0;
        out->sent = when(&c, &fraction);
        if (c.status == KLUIS_OK && fraction != record_precision_fraction(h->precision)) {
            bad(&c, "a time of another precision than the header says");
        }
    }
    if (MEMBER(&c, "zone")) {
        out->zone = (enum kluis_zone)choice(&c, record_zone_names, 2);
        if (out->zone == h->zone) { bad(&c, "a zone that only repeats the header's"); }
    }
    if (MEMBER(&c, "times")) { times(&c, out); }
    if (MEMBER(&c, "text")) { out->text = string(&c); }
    if (MEMBER(&c, "text_raw")) { text_raw(&c, out); }
    if (MEMBER(&c, "attachments")) { attachments(&c, out); }
    rest_of_record(&c, h, out);
    close_object(&c);
    return end(&c);
}
