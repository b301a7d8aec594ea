/* snapchat.c - the snapchat source: chat_history.json and snap_history.json of "My Data", as folder, as the zip it comes in, or one file of it.
 *
 * Two shapes: an object of conversations, each a list of entries; and the older one, four lists (received and sent, saved and not) in which a
 * conversation is whoever an entry came from or went to.
 */
#include "agent/source/snapchat/snapchat.h"

enum { KEY_MAX = 256, TAIL = 256 << 10 };

static kluis_status no_memory(struct kluis_err *err) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
static struct kluis_str absent(void) { return (struct kluis_str){ NULL, 0 }; }
static bool refusal(kluis_status rc) { return rc == KLUIS_E_REJECT || rc == KLUIS_E_LIMIT; }

static bool is_history(struct kluis_str name)
{
    struct kluis_str base = build_base_name(name);
    return kluis_str_is(base, "chat_history.json") || kluis_str_is(base, "snap_history.json");
}
static bool wanted(struct kluis_str name) { return is_history(name) || kluis_str_is(build_base_name(name), "account.json"); }

/* "Received Saved Chat History", "Sent Snap History" … */
static bool is_old_list(struct kluis_str key)
{
    static const char end[] = " History";
    size_t n = sizeof end - 1;
    return key.len > n && memcmp(key.ptr + key.len - n, end, n) == 0 &&
           ((key.len > 9 && memcmp(key.ptr, "Received ", 9) == 0) || memcmp(key.ptr, "Sent ", 5) == 0);
}

/* ---- going through ---- */

struct going {
    struct snapchat *t;
    const struct part *part;
    uint32_t index, conversation;
    int64_t last;
    uint64_t n;
    bool old;
};

static kluis_status numbered(struct going *g, struct kluis_str id, struct kluis_err *err)
{
    g->conversation = cast_conversation(g->t->cast, id);
    if (g->conversation != CAST_NONE) { return KLUIS_OK; }
    return KLUIS_FAIL(err, KLUIS_E_LIMIT, "more than %d conversations at once: read the parts one by one", CAST_CONVERSATIONS);
}

static kluis_status one(void *ctx, struct json *m, struct kluis_str raw, uint64_t at, struct kluis_err *err)
{
    struct going *g = ctx;
    struct snapchat *t = g->t;
    bool own = false, seconds = false;
    struct kluis_str from = snapchat_from(t, m, &own), to = json_string(m, "To");
    if (own && t->self.ptr == NULL && json_string(m, "From").ptr != NULL) { t->self = kluis_arena_str(t->d.names, from); }
    if (g->old) { KLUIS_TRY(numbered(g, to.ptr != NULL ? to : from.ptr != NULL ? from : KLUIS_STR_LIT("unnumbered"), err)); }
    int64_t when = snapchat_when(m, &seconds);
    if (when != KLUIS_TIME_ABSENT) { g->last = when; }
    if (seconds && when != KLUIS_TIME_ABSENT) { t->talk[g->conversation] |= TALK_SECONDS; }
    if (g->old) { t->talk[g->conversation] |= TALK_OLD; }
    cast_note(t->cast, g->conversation, from, absent());
    cast_note(t->cast, g->conversation, to, absent());
    const struct order_item it = { .conversation = g->conversation, .file = g->index, .when = g->last, .at = at, .len = (uint32_t)raw.len };
    g->n++;
    return order_add(t->order, &it, err);
}

static size_t back_over_space(const char *p, size_t i)
{
    while (i > 0 && (p[i - 1] == ' ' || p[i - 1] == '\n' || p[i - 1] == '\r' || p[i - 1] == '\t')) { i--; }
    return i;
}

/* Is the '[' at p[i] that of a conversation: "name": [, behind the end of another or before an entry?  Where its name stands, with its quotes. */
static bool conversation_at(struct kluis_str s, size_t i, struct kluis_str *name)
{
    size_t e = back_over_space(s.ptr, i);
    if (e == 0 || s.ptr[e - 1] != ':') { return false; }
    e = back_over_space(s.ptr, e - 1);
    if (e < 2 || s.ptr[e - 1] != '"') { return false; }
    size_t b = e - 1;
    while (b > 0 && e - b < KEY_MAX && (s.ptr[b - 1] != '"' || (b > 1 && s.ptr[b - 2] == '\\'))) { b--; }
    if (b == 0 || s.ptr[b - 1] != '"') { return false; }
    *name = (struct kluis_str){ s.ptr + b - 1, e - b + 1 };
    size_t before = back_over_space(s.ptr, b - 1), after = i + 1;
    bool behind = before > 0 && s.ptr[before - 1] == ',';
    before = behind ? back_over_space(s.ptr, before - 1) : 0;
    while (after < s.len && (s.ptr[after] == ' ' || s.ptr[after] == '\n' || s.ptr[after] == '\r' || s.ptr[after] == '\t')) { after++; }
    return (before > 0 && s.ptr[before - 1] == ']') || after == s.len || s.ptr[after] == '{'; /* at its very end: the entry is what was found */
}

/* Where damage swallowed the end of a conversation and the beginning of the next, what follows belongs to that one. */
static kluis_status change_over(struct going *g, uint64_t at, uint64_t bytes, struct kluis_err *err)
{
    struct snapchat *t = g->t;
    struct kluis_str s, name;
    struct json *v = NULL;
    size_t n = bytes > TAIL ? TAIL : (size_t)bytes;
    KLUIS_TRY(download_bytes(&t->d, g->part->file, at + bytes - n, n, &s, err));
    for (size_t i = s.len; i-- > 0;) {
        if (s.ptr[i] != '[' || !conversation_at(s, i, &name)) { continue; }
        g->last = INT64_MAX;
        if (g->old) { return KLUIS_OK; }
        kluis_arena_clear(t->words);
        bool found = json_read_loose(name, t->words, &v, NULL) == KLUIS_OK && v->text.len > 0;
        return numbered(g, found ? v->text : KLUIS_STR_LIT("unnumbered"), err);
    }
    return KLUIS_OK;
}

static kluis_status damaged(void *ctx, uint64_t at, uint64_t bytes, KLUIS_UNUSED bool to_end, struct kluis_err *err)
{
    struct going *g = ctx;
    if (g->conversation == CAST_NONE) { KLUIS_TRY(numbered(g, KLUIS_STR_LIT("unnumbered"), err)); }
    const struct order_item it = {
        .conversation = g->conversation, .file = g->index, .when = g->last, .at = at, .lost = bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes
    };
    KLUIS_TRY(order_add(g->t->order, &it, err));
    return change_over(g, at, bytes, err);
}

static bool is_entry(struct json *m) { return json_get(m, "From") != NULL || json_get(m, "To") != NULL || json_get(m, "Media Type") != NULL; }

static kluis_status walk(struct going *g, struct json_stream *s, struct kluis_err *err)
{
    struct kluis_str key;
    kluis_status rc;
    char c = 0;
    KLUIS_TRY(json_stream_enter(s, '{', err));
    while ((rc = json_stream_next(s, &key, err)) == KLUIS_OK) {
        struct json_items items = { .stream = s, .tree = g->t->tree, .first = "From", .ctx = g, .is_one = is_entry, .item = one, .damage = damaged };
        enum json_items_end end;
        char name[KEY_MAX];
        size_t n = key.len < sizeof name ? key.len : sizeof name - 1;
        memcpy(name, key.ptr, n); /* the key is gone once the stream is asked for more */
        rc = json_stream_peek(s, &c, err);
        if (rc != KLUIS_OK) { break; }
        if (c != '[' || n == 0) {
            KLUIS_TRY(json_stream_skip(s, err));
            continue;
        }
        g->old = is_old_list((struct kluis_str){ name, n });
        g->last = INT64_MAX;
        g->conversation = CAST_NONE;
        size_t whole = kluis_utf8_valid(name, n);
        if (!g->old) { KLUIS_TRY(numbered(g, (struct kluis_str){ name, whole }, err)); }
        KLUIS_TRY(json_stream_enter(s, '[', err));
        KLUIS_TRY(json_items(&items, &end, err));
        if (end == JSON_ITEMS_DOCUMENT) { return KLUIS_OK; }
    }
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

static kluis_status survey(struct snapchat *t, uint32_t index, struct kluis_err *err)
{
    const struct part *p = &t->parts[index];
    struct download_input state = { &t->d, p->file, 0 };
    struct kluis_input in = download_input(&state);
    struct json_stream s = { 0 };
    struct kluis_err why = { 0 };
    struct going g = { .t = t, .part = p, .index = index };
    KLUIS_TRY(json_stream_open(&s, &in, 0, p->file->name.ptr, ENTRY_MAX, err));
    kluis_status rc = walk(&g, &s, &why);
    json_stream_close(&s);
    if (refusal(rc)) { return build_skip(t->sink, g.n > 0 ? "the rest of a file" : "a file", p->file->name.ptr, why.msg, true, err); }
    if (rc != KLUIS_OK && err != NULL) { *err = why; }
    return rc;
}

/* ---- giving ---- */

static kluis_status entry_of(struct snapchat *t, const struct order_item *it, struct json **m, struct kluis_str *raw, struct kluis_err *err)
{
    const struct part *p = &t->parts[it->file];
    KLUIS_TRY(download_bytes(&t->d, p->file, it->at, it->len, raw, err));
    kluis_arena_clear(t->tree);
    if (json_read_loose(*raw, t->tree, m, NULL) != KLUIS_OK || (*m)->type != JSON_OBJECT) {
        return KLUIS_FAIL(err, KLUIS_E_BUSY, "%.200s changed while it was read: try again", p->file->name.ptr);
    }
    return KLUIS_OK;
}

/* A group is numbered "0a1b2c3d-…"; a conversation of two is named after the other. */
static bool is_group(struct kluis_str id)
{
    if (id.len != 36) { return false; }
    for (size_t i = 0; i < 36; i++) {
        char c = id.ptr[i];
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))) { return false; }
    }
    return true;
}

static kluis_status begin(void *ctx, uint32_t conversation, struct kluis_err *err)
{
    static const char *const never[] = { "names", "unsaved-content", "message-ids", "edits", "reactions", "quotes", "answered-calls" };
    struct snapchat *t = ctx;
    struct order_item it;
    struct kluis_str raw, id = cast_id(t->cast, conversation);
    struct json *m = NULL;
    size_t n = 0;
    t->title = absent();
    while (order_next(t->order, &it, err) == KLUIS_OK && it.conversation == conversation) { /* a title stands in every entry, or in none */
        if (it.len == 0) { continue; }
        KLUIS_TRY(entry_of(t, &it, &m, &raw, err));
        struct kluis_str title = json_string(m, "Conversation Title");
        if (title.len > 0 && title.len <= 4096) { t->title = kluis_arena_str(t->people.arena, title); }
        break;
    }
    bool group = is_group(id);
    if (!group) { (void)roster_note(&t->people, id, absent(), absent()); }
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) { t->loss[n++] = kluis_str_of(never[i]); }
    if (cast_full(t->cast) || t->people.overflow) { t->loss[n++] = KLUIS_STR_LIT("people-beyond-4096"); }
    if (t->d.full) { t->loss[n++] = KLUIS_STR_LIT("file-names-beyond-131072"); }
    t->header =
        (struct kluis_header){ .platform = KLUIS_STR_LIT("snapchat"),
                               .conversation_id = id,
                               .conversation_name = t->title,
                               .type = group ? KLUIS_GROUP : KLUIS_DIRECT,
                               .parties = t->people.list,
                               .n_parties = t->people.n,
                               .participants = t->people.members,
                               .n_participants = t->people.n,
                               .self = roster_called(&t->people, t->self.ptr != NULL ? t->self : KLUIS_STR_LIT("owner")),
                               .provenance = { .source = KLUIS_STR_LIT("snapchat"),
                                               .app = KLUIS_STR_LIT("Snapchat, My Data"),
                                               .reader = KLUIS_STR_LIT("chatkluis " KLUIS_VERSION " snapchat") },
                               .zone = KLUIS_ZONE_STATED,
                               .precision = (t->talk[conversation] & TALK_SECONDS) != 0 ? KLUIS_PRECISION_SECOND : KLUIS_PRECISION_MILLISECOND,
                               .loss = t->loss,
                               .n_loss = n };
    return t->sink->begin(t->sink->ctx, &t->header, err);
}

static kluis_status one_turn(void *ctx, const struct order_item *it, struct kluis_err *err)
{
    struct snapchat *t = ctx;
    struct json *m = NULL;
    struct kluis_str raw;
    if (it->len == 0) {
        kluis_arena_clear(t->words);
        return build_gap(&t->build, t->words, t->sink, it->at, it->lost, KLUIS_ZONE_STATED, err);
    }
    KLUIS_TRY(entry_of(t, it, &m, &raw, err));
    return snapchat_entry(t, &t->parts[it->file], m, raw, err);
}

/* ---- reading ---- */

static int media_order(const void *a, const void *b)
{
    const struct media *x = a, *y = b;
    int c = memcmp(x->id.ptr, y->id.ptr, x->id.len < y->id.len ? x->id.len : y->id.len);
    return c != 0 ? c : x->id.len < y->id.len ? -1 : x->id.len > y->id.len;
}

/* chat_media/2026-01-01_b~<id>.jpg */
static kluis_status find_all_media(struct snapchat *t, struct kluis_err *err)
{
    t->media = kluis_calloc(t->d.n + 1, sizeof *t->media);
    if (t->media == NULL) { return no_memory(err); }
    for (size_t i = 0; i < t->d.n; i++) {
        struct kluis_str base = build_base_name(t->d.files[i].name);
        const char *id = base.len == 0 ? NULL : memmem(base.ptr, base.len, "b~", 2);
        if (id == NULL) { continue; }
        size_t n = base.len - (size_t)(id - base.ptr);
        const char *dot = memrchr(id, '.', n);
        t->media[t->n_media++] = (struct media){ { id, dot == NULL ? n : (size_t)(dot - id) }, &t->d.files[i] };
    }
    if (t->n_media > 1) { qsort(t->media, t->n_media, sizeof *t->media, media_order); }
    return KLUIS_OK;
}

static kluis_status owner(struct snapchat *t, struct kluis_err *err)
{
    const struct download_file *f = download_find_end(&t->d, KLUIS_STR_LIT("account.json"));
    struct kluis_str text;
    struct json *v = NULL;
    if (t->self_option != NULL) { t->self = kluis_str_of(t->self_option); }
    if (f == NULL || !f->wanted || t->self_option != NULL) { return KLUIS_OK; }
    KLUIS_TRY(download_bytes(&t->d, f, 0, 64 << 10, &text, err));
    kluis_arena_clear(t->tree);
    if (json_read_loose(text, t->tree, &v, NULL) != KLUIS_OK) { return KLUIS_OK; }
    t->self = kluis_arena_str(t->d.names, json_string(json_object(v, "Basic Information"), "Username"));
    return KLUIS_OK;
}

static kluis_status read_all(struct snapchat *t, const struct source_request *q, struct kluis_err *err)
{
    KLUIS_TRY(download_open(&t->d, q->path, wanted, err));
    t->parts = kluis_calloc(t->d.n + 1, sizeof *t->parts);
    if (t->parts == NULL) { return no_memory(err); }
    KLUIS_TRY(owner(t, err));
    KLUIS_TRY(find_all_media(t, err));
    for (size_t i = 0; i < t->d.n; i++) {
        const struct download_file *f = &t->d.files[i];
        if (!f->wanted || kluis_str_is(build_base_name(f->name), "account.json")) { continue; }
        t->parts[t->n_parts++] = (struct part){ f, kluis_str_is(build_base_name(f->name), "snap_history.json") };
    }
    for (uint32_t i = 0; i < t->n_parts; i++) { KLUIS_TRY(survey(t, i, err)); }
    KLUIS_TRY(order_done(t->order, err));
    cast_done(t->cast);
    struct turns turns = { .order = t->order, .cast = t->cast, .people = &t->people, .sink = t->sink, .ctx = t, .begin = begin, .one = one_turn };
    KLUIS_TRY(turns_give(&turns, err));
    if (turns.conversations > 0) { return KLUIS_OK; }
    return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s holds no chats of Snapchat that can be read: give chat_history.json, or the folder or zip of My Data",
                      q->path);
}

static kluis_status snapchat_read(const struct source_request *q, const struct source_sink *sink, struct kluis_err *err)
{
    struct snapchat *t = kluis_calloc(1, sizeof *t);
    if (t == NULL) { return no_memory(err); }
    t->sink = sink;
    kluis_buf_init(&t->text, 4 << 20);
    t->tree = kluis_arena_new(TREE_MAX);
    t->words = kluis_arena_new(WORDS_MAX);
    kluis_status rc = t->tree == NULL || t->words == NULL ? no_memory(err) : KLUIS_OK;
    for (size_t i = 0; rc == KLUIS_OK && i < q->n_options; i++) {
        if (strcmp(q->options[i].key, "self") == 0 && q->options[i].value[0] != '\0') {
            t->self_option = q->options[i].value;
        } else {
            rc = KLUIS_FAIL(err, KLUIS_E_USAGE, "snapchat: the option is self=USERNAME of the owner; \"%.40s\" is not it", q->options[i].key);
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
    kluis_arena_free(t->tree);
    kluis_arena_free(t->words);
    kluis_buf_free(&t->text);
    kluis_free(t->media);
    kluis_free(t->parts);
    kluis_free(t);
    return rc;
}

static enum source_sure probe(const struct source_file *f)
{
    struct kluis_str head = { (const char *)f->head.ptr, f->head.len }, name = kluis_str_of(f->name);
    if (json_begins(f->head) != '{' || memmem(head.ptr, head.len, "\"Media Type\"", 12) == NULL ||
        memmem(head.ptr, head.len, "\"Created\"", 9) == NULL) {
        return SOURCE_NO;
    }
    return is_history(name) ? SOURCE_CERTAIN : name.len == 0 ? SOURCE_LIKELY : SOURCE_NO;
}

static const char *const tells[] = { "messages", "account-ids", "times", "deletions", "missed-calls", "groups", "attachments", NULL };
static const char *const loss[] = { "names",  "unsaved-content", "message-ids",       "edits", "reactions",
                                    "quotes", "answered-calls",  "view-once-content", NULL };

const struct source_kind source_snapchat = {
    .name = "snapchat",
    .platform = "snapchat",
    .about_nl = "Snapchat: gesprekken uit Mijn gegevens (chat_history.json en media, map of zip)",
    .about_en = "Snapchat: chats from My Data (chat_history.json and media, folder or zip)",
    .tells = tells,
    .loss = loss,
    .probe = probe,
    .read = snapchat_read,
    .attachments = download_attachments,
};
