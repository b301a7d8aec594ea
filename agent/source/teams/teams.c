/* teams.c - the teams source: pages of Microsoft Graph, or the personal export, in one file, a folder, a tar or a zip, with media beside them. */
#include "agent/source/teams/teams.h"

static bool refusal(kluis_status rc) { return rc == KLUIS_E_REJECT || rc == KLUIS_E_LIMIT; }

/* ---- what a file is ------------------------------------------------------------------------------------------------------------- */

static bool holds(struct kluis_bytes b, const char *part) { return memmem(b.ptr, b.len, part, strlen(part)) != NULL; }

static enum form form_of(struct kluis_bytes head)
{
    const char *p = (const char *)head.ptr;
    size_t i = head.len >= 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    while (i < head.len && (p[i] == ' ' || p[i] == '\n' || p[i] == '\r' || p[i] == '\t')) { i++; }
    if (i == head.len || (p[i] != '{' && p[i] != '[')) { return FORM_NONE; }
    if (p[i] == '{' && holds(head, "\"conversations\"") &&
        (holds(head, "\"MessageList\"") || (holds(head, "\"userId\"") && holds(head, "\"exportDate\"")))) {
        return FORM_PERSONAL;
    }
    bool message = holds(head, "\"messageType\"") && holds(head, "\"createdDateTime\"");
    bool chat = holds(head, "\"chatType\"") && holds(head, "\"lastUpdatedDateTime\"");
    bool channel = holds(head, "\"membershipType\"") && holds(head, "\"isFavoriteByDefault\"");
    return message || chat || channel ? FORM_GRAPH : FORM_NONE;
}

static bool is_json(const char *name)
{
    size_t n = strlen(name);
    return n > 5 && strcmp(name + n - 5, ".json") == 0 && strncmp(name, "media/", 6) != 0 && strstr(name, "/media/") == NULL;
}

/* ---- going through a file --------------------------------------------------------------------------------------------------------- */

static kluis_status on_item(void *ctx, struct json *m, struct kluis_str raw, uint64_t at, struct kluis_err *err)
{
    struct teams *t = ctx;
    kluis_arena_clear(t->scratch);
    return t->form == FORM_GRAPH ? teams_graph_note(t, m, at, raw.len, err) : teams_personal_note(t, m, at, raw.len, err);
}

static kluis_status on_damage(void *ctx, uint64_t at, uint64_t bytes, KLUIS_UNUSED bool to_end, struct kluis_err *err)
{
    struct teams *t = ctx;
    if (t->chat == UINT32_MAX) {
        return build_skip(t->sink, "messages", t->files.list[t->file].name, "they are damaged and nothing tells of which chat they are", true, err);
    }
    return teams_chat_put(t, t->chat, at, bytes, true, err);
}

static kluis_status items(struct teams *t, struct json_stream *s, enum json_items_end *end, struct kluis_err *err)
{
    struct json_items i = { .stream = s, .tree = t->tree, .first = "id", .ctx = t, .item = on_item, .damage = on_damage };
    i.is_one = t->form == FORM_GRAPH ? teams_graph_is_one : teams_personal_is_one;
    return json_items(&i, end, err);
}

/* A small value's text; absent: another thing, or too large. */
static kluis_status small(struct teams *t, struct json_stream *s, struct json **out, struct kluis_err *err)
{
    struct kluis_str raw;
    uint64_t at;
    *out = NULL;
    KLUIS_TRY(json_stream_take(s, &raw, &at, err));
    kluis_arena_clear(t->tree);
    if (json_read_loose(raw, t->tree, out, NULL) != KLUIS_OK) { *out = NULL; }
    return KLUIS_OK;
}

static void whose(struct teams *t, struct kluis_str id)
{
    if (t->self.ptr == NULL && id.len > 0) { t->self = kluis_arena_str(t->kept, id); }
}

/* ".../users('0b4f1cf6-…')/chats/getallMessages…" */
static void whose_page(struct teams *t, const struct json *v)
{
    static const char users[] = "/users('";
    const char *p = v == NULL || v->type != JSON_STRING ? NULL : memmem(v->text.ptr, v->text.len, users, sizeof users - 1);
    if (p == NULL) { return; }
    p += sizeof users - 1;
    const char *end = v->text.ptr + v->text.len, *q = memchr(p, '\'', (size_t)(end - p));
    if (q != NULL) { whose(t, (struct kluis_str){ p, (size_t)(q - p) }); }
}

static void thread_properties(struct teams *t, struct json *v)
{
    struct kluis_str topic = json_string(v, "topic");
    if (topic.ptr != NULL) { teams_chat_call(t, t->chat, topic, -1); }
}

/* {"id":"19:…","displayName":…,"threadProperties":{…},"MessageList":[…]} */
static kluis_status conversation(struct teams *t, struct json_stream *s, enum json_items_end *end, struct kluis_err *err)
{
    struct kluis_str key;
    struct json *v = NULL;
    kluis_status rc = KLUIS_OK;
    t->chat = UINT32_MAX;
    KLUIS_TRY(json_stream_enter(s, '{', err));
    while (*end == JSON_ITEMS_CLOSED && (rc = json_stream_next(s, &key, err)) == KLUIS_OK) {
        bool id = kluis_str_is(key, "id"), name = kluis_str_is(key, "displayName");
        if (t->chat != UINT32_MAX && kluis_str_is(key, "MessageList")) {
            KLUIS_TRY(json_stream_enter(s, '[', err));
            KLUIS_TRY(items(t, s, end, err));
        } else if (id || name || kluis_str_is(key, "threadProperties")) {
            KLUIS_TRY(small(t, s, &v, err));
            if (v == NULL) { continue; }
            if (id && v->type == JSON_STRING && v->text.len > 0) {
                KLUIS_TRY(teams_chat_find(t, v->text, &t->chat, err));
            } else if (t->chat != UINT32_MAX && name && v->type == JSON_STRING) {
                teams_chat_call(t, t->chat, v->text, -1);
            } else if (t->chat != UINT32_MAX && v->type == JSON_OBJECT) {
                thread_properties(t, v);
            }
        } else {
            KLUIS_TRY(json_stream_skip(s, err));
        }
    }
    return *end == JSON_ITEMS_CLOSED && rc != KLUIS_END ? rc : KLUIS_OK;
}

static kluis_status personal(struct teams *t, struct json_stream *s, enum json_items_end *end, struct kluis_err *err)
{
    struct kluis_str key;
    kluis_status rc = KLUIS_END;
    KLUIS_TRY(json_stream_enter(s, '[', err));
    while (*end == JSON_ITEMS_CLOSED && (rc = json_stream_next(s, &key, err)) == KLUIS_OK) { KLUIS_TRY(conversation(t, s, end, err)); }
    return rc == KLUIS_END || *end != JSON_ITEMS_CLOSED ? KLUIS_OK : rc;
}

static kluis_status walk(struct teams *t, struct json_stream *s, struct kluis_err *err)
{
    struct kluis_str key;
    struct json *v = NULL;
    char c = 0;
    enum json_items_end end = JSON_ITEMS_CLOSED;
    kluis_status rc = json_stream_peek(s, &c, err);
    if (rc != KLUIS_OK) { return rc; }
    if (c == '[') {
        KLUIS_TRY(json_stream_enter(s, '[', err));
        return items(t, s, &end, err);
    }
    KLUIS_TRY(json_stream_enter(s, '{', err));
    while (end == JSON_ITEMS_CLOSED && (rc = json_stream_next(s, &key, err)) == KLUIS_OK) {
        bool owner = kluis_str_is(key, "userId");
        if (t->form == FORM_GRAPH && kluis_str_is(key, "value")) {
            KLUIS_TRY(json_stream_enter(s, '[', err));
            KLUIS_TRY(items(t, s, &end, err));
        } else if (t->form == FORM_PERSONAL && kluis_str_is(key, "conversations")) {
            KLUIS_TRY(personal(t, s, &end, err));
        } else if (owner || kluis_str_is(key, "@odata.nextLink") || kluis_str_is(key, "@odata.context")) {
            KLUIS_TRY(small(t, s, &v, err));
            if (owner && v != NULL && v->type == JSON_STRING) {
                whose(t, teams_id(v->text));
            } else {
                whose_page(t, v);
            }
        } else {
            KLUIS_TRY(json_stream_skip(s, err));
        }
    }
    return rc == KLUIS_END || end != JSON_ITEMS_CLOSED ? KLUIS_OK : rc;
}

static kluis_status read_one(struct teams *t, uint32_t i, struct kluis_err *err)
{
    struct fileset_stream state;
    struct kluis_input in;
    struct json_stream s = { 0 };
    struct kluis_err why = { 0 };
    uint64_t before = t->n_messages;
    t->file = i;
    t->chat = UINT32_MAX;
    KLUIS_TRY(fileset_input(&t->files, i, 0, &state, &in, err));
    KLUIS_TRY(json_stream_open(&s, &in, 0, t->files.list[i].name, MESSAGE_MAX, err));
    kluis_status rc = walk(t, &s, &why);
    json_stream_close(&s);
    if (refusal(rc) || rc == KLUIS_END) { /* what came before stands */
        return build_skip(t->sink, t->n_messages > before ? "the rest of a file" : "a file", t->files.list[i].name,
                          why.code == KLUIS_OK ? "there is nothing in it" : why.msg, true, err);
    }
    if (rc != KLUIS_OK && err != NULL) { *err = why; }
    return rc;
}

static kluis_status pass_one(struct teams *t, uint8_t *forms, struct kluis_err *err)
{
    uint8_t *head = kluis_malloc(SOURCE_HEAD_MAX);
    kluis_status rc = head == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again") : KLUIS_OK;
    for (uint32_t i = 0; rc == KLUIS_OK && i < t->files.n; i++) {
        const struct fileset_entry *e = &t->files.list[i];
        size_t n = 0;
        if (t->files.one != FILESET_NONE ? i != t->files.one : !is_json(e->name)) { continue; }
        rc = fileset_read_at(&t->files, i, head, SOURCE_HEAD_MAX, 0, &n, err);
        if (rc != KLUIS_OK) { break; }
        t->form = form_of((struct kluis_bytes){ head, n });
        forms[i] = (uint8_t)t->form;
        if (t->form != FORM_NONE) {
            rc = read_one(t, i, err);
        } else if (t->files.one == FILESET_NONE) {
            rc = build_skip(t->sink, "a file", e->name, "it holds no messages of Teams", false, err);
        }
    }
    kluis_free(head);
    return rc;
}

/* ---- the source --------------------------------------------------------------------------------------------------------------------- */

static const struct fileset_how how = { .what = "Teams export", .keep = is_json };

static void teams_free(struct teams *t)
{
    fileset_close(&t->files);
    kluis_scratch_sqlite_close(t->work);
    roster_close(&t->people);
    kluis_arena_free(t->kept);
    kluis_arena_free(t->tree);
    kluis_arena_free(t->scratch);
    kluis_free(t->chats);
    kluis_free(t->slots);
    kluis_buf_free(&t->text);
    kluis_buf_free(&t->quote);
    kluis_buf_free(&t->window);
    kluis_free(t);
}

static kluis_status read_all(struct teams *t, const char *path, struct kluis_err *err)
{
    KLUIS_TRY(fileset_open(&t->files, path, &how, err));
    KLUIS_TRY(roster_open(&t->people, PEOPLE_BYTES, err));
    KLUIS_TRY(kluis_scratch_work(&t->work, err));
    KLUIS_TRY(kluis_db_exec(t->work,
                            "CREATE TABLE m(c INTEGER NOT NULL, f INTEGER NOT NULL, at INTEGER NOT NULL, n INTEGER NOT NULL, bad INTEGER NOT NULL);"
                            "CREATE TABLE p(c INTEGER NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, UNIQUE(c,id,name))",
                            err));
    KLUIS_TRY(kluis_db_begin(t->work, err));
    uint8_t *forms = kluis_calloc((size_t)t->files.n + 1, 1);
    kluis_status rc = forms == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again") : pass_one(t, forms, err);
    if (rc == KLUIS_OK && t->n_messages == 0) {
        rc = KLUIS_FAIL(err, KLUIS_E_REJECT,
                        "%s holds no messages of Teams: give pages of Microsoft Graph, or the personal export's messages.json or tar", path);
    }
    if (rc == KLUIS_OK) { rc = kluis_db_commit(t->work, "teams-noted", err); }
    if (rc == KLUIS_OK && t->files.ended_early) { rc = build_skip(t->sink, "the rest of the archive", "", "it is cut off or damaged", true, err); }
    if (rc == KLUIS_OK) { rc = teams_chat_give(t, forms, err); }
    kluis_free(forms);
    return rc;
}

static kluis_status teams_read(const struct source_request *q, const struct source_sink *sink, struct kluis_err *err)
{
    for (size_t i = 0; i < q->n_options; i++) {
        if (strcmp(q->options[i].key, "self") != 0) {
            return KLUIS_FAIL(err, KLUIS_E_USAGE, "teams: the option is self=ID or a name; \"%.40s\" is none", q->options[i].key);
        }
    }
    struct teams *t = kluis_calloc(1, sizeof *t);
    if (t == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    t->sink = sink;
    t->self_option = source_option_get(q, "self");
    t->chat = t->window_file = UINT32_MAX;
    kluis_buf_init(&t->text, KLUIS_TEXT_MAX);
    kluis_buf_init(&t->quote, KLUIS_TEXT_MAX);
    kluis_buf_init(&t->window, MESSAGE_MAX + WINDOW);
    t->kept = kluis_arena_new(CHATS_BYTES);
    t->tree = kluis_arena_new(TREE_MAX);
    t->scratch = kluis_arena_new(TREE_MAX);
    kluis_status rc = t->kept == NULL || t->tree == NULL || t->scratch == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again")
                                                                               : read_all(t, q->path, err);
    teams_free(t);
    return rc;
}

static kluis_status teams_attachments(const struct source_request *q, KLUIS_UNUSED struct kluis_str conversation_id, const struct kluis_str *wanted,
                                      size_t n, const struct source_attachment_sink *sink, struct kluis_err *err)
{
    return fileset_give(q->path, &how, wanted, n, sink, err); /* a reference is a path in the export */
}

static enum source_sure probe(const struct source_file *f)
{
    enum form form = form_of(f->head);
    if (form == FORM_NONE || (f->name[0] != '\0' && !is_json(f->name))) { return SOURCE_NO; }
    return form == FORM_PERSONAL || holds(f->head, "\"@odata.") || holds(f->head, "\"eventDetail\"") ? SOURCE_CERTAIN : SOURCE_LIKELY;
}

static const char *const tells[] = { "messages", "authors",   "account-ids", "message-ids",   "times", "edit-times",  "deletions",
                                     "quotes",   "reactions", "mentions",    "group-changes", "calls", "attachments", NULL };
static const char *const loss[] = { "deleted-content", "edit-history", "read-receipts", "drafts", NULL };

const struct source_kind source_teams = {
    .name = "teams",
    .platform = "teams",
    .about_nl = "Microsoft Teams: bladen van Graph (JSON) of de persoonlijke export (messages.json, tar), met de bestanden erbij",
    .about_en = "Microsoft Teams: pages of Graph (JSON) or the personal export (messages.json, tar), with their files",
    .tells = tells,
    .loss = loss,
    .probe = probe,
    .read = teams_read,
    .attachments = teams_attachments,
};
