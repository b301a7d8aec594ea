/* linkedin.c - the linkedin source: messages.csv of "Get a copy of your data", as folder, as the zip it comes in, or the file itself.
 *
 * The file is gone through once, noting where each row stands and who is in which conversation; then rows are taken conversation by
 * conversation in the order of time.  Memory: one row, the people of one conversation, 32 bytes for each row (order.h), the ids of all
 * conversations and people (cast.h).
 */
#include "agent/source/build.h"
#include "agent/source/csv.h"
#include "agent/source/download.h"
#include "agent/source/html.h"
#include "agent/source/turns.h"

#include <strings.h>

enum { ROW_MAX = 2 << 20, WORDS_MAX = 12 << 20, PEOPLE_BYTES = 2 << 20, RECIPIENTS_MAX = 256 };

enum column { ID, TITLE, FROM, FROM_URL, TO, TO_URLS, DATE, SUBJECT, CONTENT, FOLDER, ATTACHMENTS, DRAFT, TALK_DRAFT, COLUMNS };
static const char *const names[COLUMNS] = { "CONVERSATION ID",
                                            "CONVERSATION TITLE",
                                            "FROM",
                                            "SENDER PROFILE URL",
                                            "TO",
                                            "RECIPIENT PROFILE URLS",
                                            "DATE",
                                            "SUBJECT",
                                            "CONTENT",
                                            "FOLDER",
                                            "ATTACHMENTS",
                                            "IS MESSAGE DRAFT",
                                            "IS CONVERSATION DRAFT" };

struct part {
    const struct download_file *file;
    size_t column[COLUMNS]; /* in its rows; CSV_COLUMNS_MAX: it has none */
    struct kluis_str title[CSV_COLUMNS_MAX];
    size_t n_columns;
    size_t unknown[CSV_COLUMNS_MAX], n_unknown; /* columns nobody knows */
};
struct titled { /* the newest row of a conversation that has a title; len 0: none has */
    int64_t when;
    uint64_t at;
    uint32_t file, len;
};

struct linkedin {
    struct download d;
    const struct source_sink *sink;
    const char *self_option;
    struct part *parts;
    size_t n_parts;
    struct cast *cast;
    struct order *order;
    struct roster people;
    struct kluis_arena *words;
    struct kluis_header header;
    struct kluis_str loss[12], title, self_id, self_name;
    struct build build;
    struct kluis_buf text;
    struct csv_row row;    /* the one at hand */
    struct titled *titled; /* of cap_titled conversations */
    uint32_t cap_titled;
    /* while a file is gone through */
    struct part *part;
    uint32_t conversation;
    int64_t last;
    uint64_t rows;
};

static kluis_status no_memory(struct kluis_err *err) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
static struct kluis_str absent(void) { return (struct kluis_str){ NULL, 0 }; }

static struct kluis_str trimmed(struct kluis_str s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) { s = (struct kluis_str){ s.ptr + 1, s.len - 1 }; }
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t')) { s.len--; }
    return s;
}

/* Absent where the file has no such column, the row nothing in it, or no text. */
static struct kluis_str value(const struct part *p, const struct csv_row *r, enum column c)
{
    if (p->column[c] >= r->n || r->value[p->column[c]].len == 0) { return absent(); }
    struct kluis_str v = r->value[p->column[c]];
    return c != CONTENT && kluis_utf8_valid(v.ptr, v.len) != v.len ? absent() : v;
}

static bool yes(struct kluis_str s)
{
    return s.ptr != NULL && !kluis_str_is(s, "No") && !kluis_str_is(s, "false") && !kluis_str_is(s, "FALSE") && !kluis_str_is(s, "no");
}

/* ---- people ---- */

/* The next of a list with commas between; absent: none is left. */
static struct kluis_str next_of(struct kluis_str *list)
{
    while (list->len > 0) {
        const char *q = memchr(list->ptr, ',', list->len);
        size_t n = q == NULL ? list->len : (size_t)(q - list->ptr);
        struct kluis_str one = trimmed((struct kluis_str){ list->ptr, n });
        n += n < list->len;
        *list = (struct kluis_str){ list->ptr + n, list->len - n };
        if (one.len > 0) { return one; }
    }
    return absent();
}

static size_t count_of(struct kluis_str list)
{
    size_t n = 0;
    while (next_of(&list).ptr != NULL) { n++; }
    return n;
}

/* Names and addresses stand in two lists; a name may hold a comma.  As many of each: they belong together.  One address: the whole is its
 * name.  Else only the addresses are sure. */
static void recipients(const struct part *p, const struct csv_row *r, void (*each)(void *ctx, struct kluis_str id, struct kluis_str name), void *ctx)
{
    struct kluis_str people = value(p, r, TO), urls = value(p, r, TO_URLS);
    size_t n = count_of(urls), m = count_of(people);
    if (n == 1) {
        each(ctx, trimmed(urls), trimmed(people));
        return;
    }
    for (size_t i = 0; i < RECIPIENTS_MAX; i++) {
        struct kluis_str url = next_of(&urls), name = n == m || n == 0 ? next_of(&people) : absent();
        if (url.ptr == NULL && name.ptr == NULL) { return; }
        each(ctx, url, name);
    }
}

/* ---- going through ---- */

static void note(void *ctx, struct kluis_str id, struct kluis_str name)
{
    const struct linkedin *t = ctx;
    cast_note(t->cast, t->conversation, id, name);
}

static kluis_status header(void *ctx, const struct csv_row *r, struct kluis_err *err)
{
    struct linkedin *t = ctx;
    struct part *p = t->part;
    for (size_t c = 0; c < COLUMNS; c++) {
        p->column[c] = CSV_COLUMNS_MAX;
        for (size_t i = 0; i < r->n; i++) {
            struct kluis_str v = trimmed(r->value[i]);
            if (v.len == strlen(names[c]) && strncasecmp(v.ptr, names[c], v.len) == 0) { p->column[c] = i; }
        }
    }
    if (p->column[ID] == CSV_COLUMNS_MAX || p->column[FROM] == CSV_COLUMNS_MAX || p->column[DATE] == CSV_COLUMNS_MAX ||
        p->column[CONTENT] == CSV_COLUMNS_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s is no messages.csv of LinkedIn: its first line has no CONVERSATION ID, FROM, DATE, CONTENT",
                          t->part->file->name.ptr);
    }
    p->n_columns = r->n;
    p->n_unknown = 0;
    for (size_t i = 0; i < r->n; i++) {
        bool known = false;
        for (size_t c = 0; c < COLUMNS; c++) { known = known || p->column[c] == i; }
        if (!known) { p->unknown[p->n_unknown++] = i; }
    }
    for (size_t i = 0; i < r->n; i++) { p->title[i] = kluis_arena_str(t->d.names, trimmed(r->value[i])); }
    return KLUIS_OK;
}

static bool is_one(void *ctx, const struct csv_row *r)
{
    const struct linkedin *t = ctx;
    return value(t->part, r, ID).ptr != NULL &&
           (value(t->part, r, DATE).ptr == NULL || build_utc(trimmed(value(t->part, r, DATE))) != KLUIS_TIME_ABSENT || yes(value(t->part, r, DRAFT)));
}

static kluis_status add(struct linkedin *t, uint64_t at, size_t len, uint64_t lost, struct kluis_err *err)
{
    const struct order_item it = { .conversation = t->conversation,
                                   .file = (uint32_t)(t->part - t->parts),
                                   .when = t->last,
                                   .at = at,
                                   .len = (uint32_t)len,
                                   .lost = lost > UINT32_MAX ? UINT32_MAX : (uint32_t)lost };
    return order_add(t->order, &it, err);
}

/* The first of an instant is the newest: rows are written newest first (order.h). */
static kluis_status note_title(struct linkedin *t, const struct csv_row *r, struct kluis_err *err)
{
    struct kluis_str title = value(t->part, r, TITLE);
    if (title.ptr == NULL || title.len > 4096) { return KLUIS_OK; }
    if (t->conversation >= t->cap_titled) {
        uint32_t cap = t->cap_titled == 0 ? 64 : t->cap_titled;
        while (cap <= t->conversation) { cap *= 2; }
        struct titled *p = kluis_realloc(t->titled, cap * sizeof *p);
        if (p == NULL) { return no_memory(err); }
        memset(p + t->cap_titled, 0, (cap - t->cap_titled) * sizeof *p);
        t->titled = p;
        t->cap_titled = cap;
    }
    struct titled *at = &t->titled[t->conversation];
    if (at->len > 0 && at->when >= t->last) { return KLUIS_OK; }
    *at = (struct titled){ t->last, r->at, (uint32_t)(t->part - t->parts), (uint32_t)r->raw.len };
    return KLUIS_OK;
}

static kluis_status row(void *ctx, const struct csv_row *r, struct kluis_err *err)
{
    struct linkedin *t = ctx;
    t->conversation = cast_conversation(t->cast, value(t->part, r, ID));
    if (t->conversation == CAST_NONE) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "more than %d conversations at once: read the parts one by one", CAST_CONVERSATIONS);
    }
    int64_t when = build_utc(trimmed(value(t->part, r, DATE)));
    if (when != KLUIS_TIME_ABSENT) { t->last = when; }
    note(t, value(t->part, r, FROM_URL), value(t->part, r, FROM));
    recipients(t->part, r, note, t);
    t->rows++;
    KLUIS_TRY(note_title(t, r, err));
    return add(t, r->at, r->raw.len, 0, err);
}

static kluis_status damage(void *ctx, uint64_t at, uint64_t bytes, struct kluis_err *err)
{
    struct linkedin *t = ctx;
    if (t->conversation == CAST_NONE) { t->conversation = cast_conversation(t->cast, KLUIS_STR_LIT("unnumbered")); }
    return add(t, at, 0, bytes, err);
}

static kluis_status survey(struct linkedin *t, struct part *p, struct kluis_err *err)
{
    struct download_input state = { &t->d, p->file, 0 };
    struct kluis_err why = { 0 };
    const struct csv c = { download_input(&state), p->file->name.ptr, ROW_MAX, t->words, t, header, is_one, row, damage };
    t->part = p;
    t->conversation = CAST_NONE;
    t->last = INT64_MAX;
    kluis_status rc = csv_rows(&c, &why);
    if (rc == KLUIS_E_REJECT) { return build_skip(t->sink, "a file", p->file->name.ptr, why.msg, true, err); }
    if (rc != KLUIS_OK && err != NULL) { *err = why; }
    return rc;
}

/* ---- giving ---- */

static kluis_status row_of(struct linkedin *t, uint32_t file, uint64_t at, uint32_t len, struct kluis_err *err)
{
    const struct part *p = &t->parts[file];
    struct kluis_str raw;
    KLUIS_TRY(download_bytes(&t->d, p->file, at, len, &raw, err));
    kluis_arena_clear(t->words);
    if (raw.len == len && csv_row_of(raw, t->words, &t->row) && t->row.n == p->n_columns) { return KLUIS_OK; }
    return KLUIS_FAIL(err, KLUIS_E_BUSY, "%.200s changed while it was read: try again", p->file->name.ptr);
}

static kluis_status begin(void *ctx, uint32_t conversation, struct kluis_err *err)
{
    static const char *const never[] = { "message-ids", "edits", "deletions", "reactions", "quotes", "group-changes", "calls", "read-receipts" };
    struct linkedin *t = ctx;
    size_t n = 0;
    t->title = absent();
    if (conversation < t->cap_titled && t->titled[conversation].len > 0) {
        const struct titled *at = &t->titled[conversation];
        KLUIS_TRY(row_of(t, at->file, at->at, at->len, err));
        t->title = kluis_arena_str(t->people.arena, value(&t->parts[at->file], &t->row, TITLE));
    }
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) { t->loss[n++] = kluis_str_of(never[i]); }
    if (cast_full(t->cast) || t->people.overflow) { t->loss[n++] = KLUIS_STR_LIT("people-beyond-4096"); }
    if (t->people.several_names) { t->loss[n++] = KLUIS_STR_LIT("person-with-several-names"); }
    uint32_t ids = 0;
    for (uint32_t i = 0; i < t->people.n; i++) {
        uint32_t same = 0;
        while (same < i && !kluis_str_eq(t->people.list[same].id, t->people.list[i].id)) { same++; }
        ids += same == i || t->people.list[i].id.ptr == NULL;
    }
    uint32_t self = t->self_option != NULL                               ? roster_called(&t->people, kluis_str_of(t->self_option))
                    : t->self_id.ptr == NULL && t->self_name.ptr == NULL ? KLUIS_NO_PARTY
                                                                         : roster_find(&t->people, t->self_id, t->self_name);
    t->header = (struct kluis_header){ .platform = KLUIS_STR_LIT("linkedin"),
                                       .conversation_id = cast_id(t->cast, conversation),
                                       .conversation_name = t->title,
                                       .type = ids > 2    ? KLUIS_GROUP
                                               : ids == 2 ? KLUIS_DIRECT
                                                          : KLUIS_UNKNOWN_TYPE,
                                       .parties = t->people.list,
                                       .n_parties = t->people.n,
                                       .participants = t->people.members,
                                       .n_participants = t->people.n,
                                       .self = self,
                                       .provenance = { .source = KLUIS_STR_LIT("linkedin"),
                                                       .app = KLUIS_STR_LIT("LinkedIn, copy of your data"),
                                                       .reader = KLUIS_STR_LIT("chatkluis " KLUIS_VERSION " linkedin") },
                                       .zone = KLUIS_ZONE_STATED,
                                       .precision = KLUIS_PRECISION_SECOND,
                                       .loss = t->loss,
                                       .n_loss = n };
    return t->sink->begin(t->sink->ctx, &t->header, err);
}

/* Some messages are HTML: then the text is what it shows, and the evidence has the rest. */
static void set_text(struct linkedin *t, struct build *b, struct kluis_str s)
{
    if (s.ptr == NULL) { return; }
    if (kluis_utf8_valid(s.ptr, s.len) != s.len) {
        kluis_buf_clear(&t->text);
        for (size_t i = 0; i < s.len;) {
            size_t ok = kluis_utf8_valid(s.ptr + i, s.len - i);
            kluis_buf_add(&t->text, s.ptr + i, ok);
            i += ok;
            if (i < s.len) {
                kluis_buf_cstr(&t->text, "\xEF\xBF\xBD");
                i++;
            }
        }
        build_body(b, kluis_arena_str(t->words, (struct kluis_str){ (const char *)t->text.data, t->text.len }));
        b->r.text_raw = (struct kluis_bytes){ (const uint8_t *)s.ptr, s.len };
        return;
    }
    bool html = s.len > 6 && s.ptr[0] == '<' && memchr(s.ptr, '>', s.len) != NULL &&
                (memmem(s.ptr, s.len, "</", 2) != NULL || memmem(s.ptr, s.len, "/>", 2) != NULL || memmem(s.ptr, s.len, "<br", 3) != NULL);
    if (!html) {
        build_body(b, s);
        return;
    }
    kluis_buf_clear(&t->text);
    html_text(s, false, NULL, &t->text, NULL);
    build_text(b, "format", KLUIS_STR_LIT("html"));
    struct kluis_str shown = kluis_arena_str(t->words, (struct kluis_str){ t->text.len > 0 ? (const char *)t->text.data : "", t->text.len });
    if (t->text.status != KLUIS_OK || shown.ptr == NULL) {
        build_body(b, s);
    } else {
        build_body(b, shown);
    }
}

/* Addresses or names, with spaces or commas between. */
static void set_files(struct linkedin *t, struct build *b, struct kluis_str list)
{
    unsigned links = 0;
    for (size_t i = 0, n; i < list.len; i += n + 1) {
        for (n = 0; i + n < list.len && strchr(" ,\n\r\t|", list.ptr[i + n]) == NULL; n++) {}
        struct kluis_str one = { list.ptr + i, n };
        if (n == 0) { continue; }
        struct kluis_attachment *a = build_attachment(b);
        if (a == NULL) { return; }
        bool link = n > 8 && (memcmp(one.ptr, "https://", 8) == 0 || memcmp(one.ptr, "http://", 7) == 0);
        const struct download_file *f = link ? NULL : download_find_end(&t->d, one);
        if (link) {
            a->loss = KLUIS_STR_LIT("omitted"); /* it stays with LinkedIn */
            build_nth(b, "attachment-url", ++links, one);
            continue;
        }
        a->name = build_base_name(one);
        if (a->name.len == 0) { a->name = absent(); }
        a->type = kluis_str_of(build_type_of_name(a->name));
        a->size = f == NULL || (t->d.zip && f->size == 0) ? -1 : (int64_t)f->size;
        if (f == NULL) { a->loss = KLUIS_STR_LIT("missing"); }
        if (f != NULL) { a->source_ref = f->name; }
    }
}

static kluis_status one_turn(void *ctx, const struct order_item *it, struct kluis_err *err)
{
    struct linkedin *t = ctx;
    const struct part *p = &t->parts[it->file];
    struct build *b = &t->build;
    const struct csv_row *r = &t->row;
    if (it->len == 0) {
        kluis_arena_clear(t->words);
        return build_gap(b, t->words, t->sink, it->at, it->lost, KLUIS_ZONE_STATED, err);
    }
    KLUIS_TRY(row_of(t, it->file, it->at, it->len, err));
    build_new(b, t->words, KLUIS_MESSAGE);
    b->r.zone = KLUIS_ZONE_STATED;
    b->r.sent.us = build_utc(trimmed(value(p, r, DATE)));
    if (b->r.sent.us == KLUIS_TIME_ABSENT) {
        build_loss(b, "time-unknown");
        build_text(b, "date", value(p, r, DATE));
    }
    struct kluis_str url = value(p, r, FROM_URL), from = value(p, r, FROM);
    b->r.author = url.ptr == NULL && from.ptr == NULL ? KLUIS_NO_PARTY : roster_find(&t->people, url, from);
    if (b->r.author == KLUIS_NO_PARTY) { build_loss(b, "author-unknown"); }
    if (yes(value(p, r, DRAFT)) || yes(value(p, r, TALK_DRAFT))) { /* written, never sent */
        b->r.kind = KLUIS_EVENT;
        b->r.event = KLUIS_STR_LIT("draft");
    }
    set_text(t, b, value(p, r, CONTENT));
    build_text(b, "subject", value(p, r, SUBJECT));
    build_text(b, "folder", value(p, r, FOLDER));
    set_files(t, b, value(p, r, ATTACHMENTS));
    if (b->r.text.ptr == NULL && b->r.n_attachments == 0) { build_loss(b, "content-unknown"); }
    if (count_of(value(p, r, TO_URLS)) > 1 && count_of(value(p, r, TO_URLS)) != count_of(value(p, r, TO))) { build_text(b, "to", value(p, r, TO)); }
    for (size_t k = 0; k < p->n_unknown; k++) {
        const size_t i = p->unknown[k];
        if (r->value[i].len == 0) { continue; }
        struct kluis_str name =
            build_fmt(t->words, "linkedin.%.*s", p->title[i].len > 200 ? 200 : (int)p->title[i].len, p->title[i].ptr == NULL ? "" : p->title[i].ptr);
        if (name.ptr == NULL || kluis_utf8_valid(name.ptr, name.len) != name.len ||
            kluis_utf8_valid(r->value[i].ptr, r->value[i].len) != r->value[i].len) {
            build_loss(b, "field-not-text");
        } else {
            build_text(b, name.ptr, r->value[i]);
        }
    }
    return build_send(b, t->sink, (struct kluis_bytes){ (const uint8_t *)r->raw.ptr, r->raw.len }, err);
}

/* ---- reading ---- */

static bool ends(struct kluis_str s, const char *end)
{
    size_t n = strlen(end);
    return s.len >= n && strncasecmp(s.ptr + s.len - n, end, n) == 0;
}

static bool wanted(struct kluis_str name) { return kluis_str_is(build_base_name(name), "messages.csv"); }

static kluis_status read_all(struct linkedin *t, const struct source_request *q, struct kluis_err *err)
{
    KLUIS_TRY(download_open(&t->d, q->path, wanted, err));
    t->parts = kluis_calloc(t->d.n + 1, sizeof *t->parts);
    if (t->parts == NULL) { return no_memory(err); }
    for (size_t i = 0; i < t->d.n; i++) {
        const struct download_file *f = &t->d.files[i];
        if (f->wanted) { t->parts[t->n_parts++].file = f; }
        if (!f->wanted && ends(f->name, "messages.csv")) {
            KLUIS_TRY(build_skip(t->sink, "a file", f->name.ptr, "its lines are no conversation with people", false, err));
        }
    }
    for (size_t i = 0; i < t->n_parts; i++) { KLUIS_TRY(survey(t, &t->parts[i], err)); }
    KLUIS_TRY(order_done(t->order, err));
    cast_done(t->cast);
    if (t->self_option == NULL && !cast_everywhere(t->cast, &t->self_id, &t->self_name)) { t->self_id = t->self_name = absent(); }
    struct turns turns = { .order = t->order, .cast = t->cast, .people = &t->people, .sink = t->sink, .ctx = t, .begin = begin, .one = one_turn };
    if (t->rows > 0) { KLUIS_TRY(turns_give(&turns, err)); }
    if (turns.conversations > 0) { return KLUIS_OK; }
    return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s holds no messages of LinkedIn that can be read: give messages.csv, or the folder or zip with it",
                      q->path);
}

static kluis_status linkedin_read(const struct source_request *q, const struct source_sink *sink, struct kluis_err *err)
{
    struct linkedin *t = kluis_calloc(1, sizeof *t);
    if (t == NULL) { return no_memory(err); }
    t->sink = sink;
    kluis_buf_init(&t->text, 4 << 20);
    t->words = kluis_arena_new(WORDS_MAX);
    kluis_status rc = t->words == NULL ? no_memory(err) : KLUIS_OK;
    for (size_t i = 0; rc == KLUIS_OK && i < q->n_options; i++) {
        if (strcmp(q->options[i].key, "self") == 0 && q->options[i].value[0] != '\0') {
            t->self_option = q->options[i].value;
        } else {
            rc = KLUIS_FAIL(err, KLUIS_E_USAGE, "linkedin: the option is self=NAME or profile address of the owner; \"%.40s\" is not it",
                            q->options[i].key);
        }
    }
    if (rc == KLUIS_OK) { rc = roster_open(&t->people, PEOPLE_BYTES, err); }
    if (rc == KLUIS_OK) { rc = order_new(&t->order, err); }
    if (rc == KLUIS_OK) { rc = cast_new(&t->cast, err); }
    if (rc == KLUIS_OK) { rc = read_all(t, q, err); }
    download_close(&t->d);
    order_free(t->order);
    cast_free(t->cast);
    roster_close(&t->people);
    kluis_arena_free(t->words);
    kluis_buf_free(&t->text);
    kluis_free(t->parts);
    kluis_free(t->titled);
    kluis_free(t);
    return rc;
}

static enum source_sure probe(const struct source_file *f)
{
    struct kluis_str head = { (const char *)f->head.ptr, f->head.len }, base = build_base_name(kluis_str_of(f->name));
    const char *line = head.len == 0 ? NULL : memchr(head.ptr, '\n', head.len);
    size_t n = line == NULL ? head.len : (size_t)(line - head.ptr);
    bool ours = f->name[0] == '\0' || kluis_str_is(base, "messages.csv");
    for (size_t c = 0; ours && c < 7; c++) { ours = c == TITLE || c == TO_URLS || memmem(head.ptr, n, names[c], strlen(names[c])) != NULL; }
    return ours && n > 0 ? SOURCE_CERTAIN : SOURCE_NO;
}

static const char *const tells[] = { "messages", "authors", "account-ids", "names", "times", "groups", "drafts", NULL };
static const char *const loss[] = { "message-ids", "attachments",   "edits", "deletions",     "reactions",
                                    "quotes",      "group-changes", "calls", "read-receipts", NULL };

const struct source_kind source_linkedin = {
    .name = "linkedin",
    .platform = "linkedin",
    .about_nl = "LinkedIn: berichten uit de kopie van uw gegevens (messages.csv, of de map of zip ermee)",
    .about_en = "LinkedIn: messages from the copy of your data (messages.csv, or the folder or zip with it)",
    .tells = tells,
    .loss = loss,
    .probe = probe,
    .read = linkedin_read,
    .attachments = download_attachments,
};
