/* slack.c - the slack source: where an export lies, its channels day by day. */
#include "agent/source/slack/slack.h"

static struct kluis_str absent(void) { return (struct kluis_str){ NULL, 0 }; }
static bool refusal(kluis_status rc) { return rc == KLUIS_E_REJECT || rc == KLUIS_E_LIMIT; }
static bool is_json(const char *name)
{
    size_t n = strlen(name);
    return n > 5 && strcmp(name + n - 5, ".json") == 0 && strstr(name, "__uploads/") == NULL && strstr(name, "/attachments/") == NULL;
}

/* ---- going through messages ------------------------------------------------------------------------------------------------------------ */

static kluis_status note(void *ctx, struct json *m, KLUIS_UNUSED struct kluis_str raw, KLUIS_UNUSED uint64_t at, KLUIS_UNUSED struct kluis_err *err)
{
    struct slack *s = ctx;
    s->n_messages++;
    slack_people(s, m);
    return KLUIS_OK;
}
static kluis_status note_damage(void *ctx, KLUIS_UNUSED uint64_t at, KLUIS_UNUSED uint64_t n, KLUIS_UNUSED bool to_end,
                                KLUIS_UNUSED struct kluis_err *err)
{
    ((struct slack *)ctx)->damaged++;
    return KLUIS_OK;
}
static kluis_status send(void *ctx, struct json *m, struct kluis_str raw, KLUIS_UNUSED uint64_t at, struct kluis_err *err)
{
    struct slack *s = ctx;
    kluis_arena_clear(s->scratch);
    kluis_status rc = slack_send(s, m, raw, err);
    s->stopped = rc != KLUIS_OK;
    return rc;
}
static kluis_status send_damage(void *ctx, uint64_t at, uint64_t n, KLUIS_UNUSED bool to_end, struct kluis_err *err)
{
    struct slack *s = ctx;
    kluis_arena_clear(s->scratch);
    kluis_status rc = build_gap(&s->build, s->scratch, s->sink, at, n, KLUIS_ZONE_STATED, err);
    s->stopped = rc != KLUIS_OK;
    return rc;
}

static kluis_status items(struct slack *s, struct json_stream *js, bool sending, enum json_items_end *end, struct kluis_err *err)
{
    struct json_items i = { .stream = js, .tree = s->tree, .first = "type", .ctx = s, .is_one = slack_is_message };
    i.item = sending ? send : note;
    i.damage = sending ? send_damage : note_damage;
    return json_items(&i, end, err);
}

/* {"channel_id":"C1","name":"general","messages":[…]}, as slackdump writes a channel. */
static kluis_status dump(struct slack *s, struct json_stream *js, bool sending, enum json_items_end *end, struct kluis_err *err)
{
    struct kluis_str key, raw;
    struct json *v = NULL;
    uint64_t at;
    kluis_status rc = KLUIS_OK;
    KLUIS_TRY(json_stream_enter(js, '{', err));
    while (*end == JSON_ITEMS_CLOSED && (rc = json_stream_next(js, &key, err)) == KLUIS_OK) {
        bool id = kluis_str_is(key, "channel_id"), name = kluis_str_is(key, "name");
        if (kluis_str_is(key, "messages")) {
            KLUIS_TRY(json_stream_enter(js, '[', err));
            KLUIS_TRY(items(s, js, sending, end, err));
        } else if (!sending && (id || name)) {
            KLUIS_TRY(json_stream_take(js, &raw, &at, err));
            kluis_arena_clear(s->tree);
            if (json_read_loose(raw, s->tree, &v, NULL) != KLUIS_OK || v->type != JSON_STRING || v->text.len == 0 || v->text.len > 200) { continue; }
            struct kluis_str *to = id ? &s->channel.id : &s->channel.name;
            *to = kluis_arena_str(s->people.arena, v->text);
            s->known |= id;
        } else {
            KLUIS_TRY(json_stream_skip(js, err));
        }
    }
    return rc == KLUIS_END || *end != JSON_ITEMS_CLOSED ? KLUIS_OK : rc;
}

/* Keeps the content of a file that comes first, or behind the one that was kept last, while there is room.  What does not read is met again. */
static void hold(struct slack *s, uint32_t i)
{
    const uint64_t size = s->files.list[i].size, room = HELD_MAX - s->held_bytes;
    size_t got = 0;
    if (s->n_held == 0) { s->held_first = i; }
    if (i != s->held_first + s->n_held || s->n_held == HELD_FILES || size >= room) { return; }
    if (s->held == NULL) { s->held = kluis_malloc(HELD_MAX); }
    /* One byte more is asked for: a file that grew is not whole here. */
    if (s->held == NULL || fileset_read_at(&s->files, i, s->held + s->held_bytes, (size_t)size + 1, 0, &got, NULL) != KLUIS_OK || got > size) {
        return;
    }
    s->held_files[s->n_held++] = (struct slack_file){ s->held_bytes, got };
    s->held_bytes += got;
}

static kluis_status input(struct slack *s, uint32_t i, struct fileset_stream *state, struct kluis_input_mem *memory, struct kluis_input *in,
                          struct kluis_err *err)
{
    if (i < s->held_first || i >= s->held_first + s->n_held) { return fileset_input(&s->files, i, 0, state, in, err); }
    const struct slack_file *f = &s->held_files[i - s->held_first];
    *memory = (struct kluis_input_mem){ .data = { s->held + f->at, f->len } };
    *in = kluis_input_from_mem(memory);
    return KLUIS_OK;
}

/* One file of messages; refusals are told, and what follows goes on. */
static kluis_status through(struct slack *s, uint32_t i, bool sending, struct kluis_err *err)
{
    struct fileset_stream state;
    struct kluis_input_mem memory;
    struct kluis_input in;
    struct json_stream js = { 0 };
    struct kluis_err why = { 0 };
    enum json_items_end end = JSON_ITEMS_CLOSED;
    char c = 0;
    uint64_t before = s->n_messages + s->damaged;
    if (!sending) { hold(s, i); }
    KLUIS_TRY(input(s, i, &state, &memory, &in, err));
    KLUIS_TRY(json_stream_open(&js, &in, 0, s->files.list[i].name, MESSAGE_MAX, err));
    kluis_status rc = json_stream_peek(&js, &c, &why);
    if (rc == KLUIS_OK && c == '{') {
        rc = dump(s, &js, sending, &end, &why);
    } else if (rc == KLUIS_OK) {
        rc = json_stream_enter(&js, '[', &why);
        if (rc == KLUIS_OK) { rc = items(s, &js, sending, &end, &why); }
    }
    json_stream_close(&js);
    if (rc == KLUIS_OK) { return KLUIS_OK; }
    if (!s->stopped && (refusal(rc) || rc == KLUIS_END)) {
        if (sending) { return KLUIS_OK; } /* told the first time */
        return build_skip(s->sink, s->n_messages + s->damaged > before ? "the rest of a file" : "a file", s->files.list[i].name,
                          why.code == KLUIS_OK ? "there is nothing in it" : why.msg, true, err);
    }
    if (err != NULL) { *err = why; }
    return rc;
}

/* ---- a channel ------------------------------------------------------------------------------------------------------------------------- */

static struct kluis_str name_of_direct(struct slack *s, struct kluis_str self)
{
    kluis_buf_clear(&s->text);
    for (uint32_t i = 0; i < s->people.n && i < 8; i++) {
        const struct kluis_party *p = &s->people.list[i];
        if (kluis_str_eq(p->id, self) && s->people.n > 1) { continue; }
        if (s->text.len > 0) { kluis_buf_cstr(&s->text, ", "); }
        kluis_buf_str(&s->text, p->name.ptr != NULL ? p->name : p->id);
    }
    return s->text.len == 0 ? absent() : kluis_arena_str(s->people.arena, (struct kluis_str){ (const char *)s->text.data, s->text.len });
}

static void note_members(struct slack *s)
{
    struct kluis_str m = s->channel.members;
    for (size_t i = 0; i < m.len;) {
        const char *p = m.ptr + i, *sp = memchr(p, ' ', m.len - i);
        struct kluis_str id = { p, sp == NULL ? m.len - i : (size_t)(sp - p) };
        const struct entry *u = slack_user(s, id);
        (void)roster_note(&s->people, id, u == NULL ? absent() : u->name, absent());
        i += id.len + 1;
    }
}

static kluis_status begin(struct slack *s, struct kluis_err *err)
{
    static const char *const never[] = { "deleted-content", "edit-history", "read-receipts", "reaction-times" };
    const struct entry *c = &s->channel;
    size_t n = 0;
    struct kluis_str self = kluis_str_of(s->self_option);
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) { s->loss[n++] = kluis_str_of(never[i]); }
    if (s->people.several_names) { s->loss[n++] = KLUIS_STR_LIT("person-with-several-names"); }
    if (s->people.overflow) { s->loss[n++] = KLUIS_STR_LIT("people-beyond-4096"); }
    if (c->more_members) { s->loss[n++] = KLUIS_STR_LIT("members-beyond-256"); }
    if (!s->known) { s->loss[n++] = KLUIS_STR_LIT("conversation-id"); }
    bool direct = c->type == KLUIS_DIRECT || c->type == KLUIS_SELF;
    s->header = (struct kluis_header){ .platform = KLUIS_STR_LIT("slack"),
                                       .conversation_id = c->id,
                                       .conversation_name = direct ? name_of_direct(s, self) : c->name,
                                       .type = (enum kluis_conversation_type)c->type,
                                       .parties = s->people.list,
                                       .n_parties = s->people.n,
                                       .participants = s->people.members,
                                       .n_participants = s->people.n,
                                       .self = roster_called(&s->people, self),
                                       .provenance = { .source = KLUIS_STR_LIT("slack"),
                                                       .app = KLUIS_STR_LIT("Slack"),
                                                       .reader = KLUIS_STR_LIT("chatkluis " KLUIS_VERSION " slack") },
                                       .zone = KLUIS_ZONE_STATED,
                                       .precision = KLUIS_PRECISION_MILLISECOND,
                                       .loss = s->loss,
                                       .n_loss = n };
    return s->sink->begin(s->sink->ctx, &s->header, err);
}

/* Files first … end-1 of the list that are messages of one channel. */
static kluis_status conversation(struct slack *s, uint32_t first, uint32_t end, struct kluis_str folder, struct kluis_err *err)
{
    roster_clear(&s->people);
    s->n_messages = s->damaged = 0;
    s->n_held = 0;
    s->held_bytes = 0;
    const struct entry *known = slack_channel(s, folder);
    s->known = known != NULL;
    s->channel = known != NULL ? *known : (struct entry){ .id = kluis_arena_str(s->people.arena, folder), .type = KLUIS_UNKNOWN_TYPE };
    if (known == NULL && folder.len > 0) { s->channel.name = s->channel.id; }
    note_members(s);
    for (int sending = 0; sending < 2; sending++) {
        for (uint32_t i = first; i < end; i++) {
            const char *name = s->files.list[i].name;
            bool day = is_json(name) && strchr(name + s->n_root + folder.len + (folder.len > 0), '/') == NULL;
            if (folder.len == 0 || day) { KLUIS_TRY(through(s, i, sending != 0, err)); }
        }
        if (s->n_messages == 0 && s->damaged == 0) { return KLUIS_OK; }
        if (s->channel.id.len == 0) { s->channel.id = KLUIS_STR_LIT("unnumbered"); }
        if (sending == 0) { KLUIS_TRY(begin(s, err)); }
    }
    s->conversations++;
    return s->sink->end(s->sink->ctx, err);
}

/* ---- the source -------------------------------------------------------------------------------------------------------------------------- */

/* The folder of users.json or channels.json that lies highest. */
static bool find_root(struct slack *s)
{
    static const char *const lists[] = { "channels.json", "users.json", "dms.json", "groups.json", "mpims.json" };
    size_t best = SIZE_MAX;
    for (size_t k = 0; k < sizeof lists / sizeof *lists; k++) {
        for (uint32_t i = fileset_base_from(&s->files, kluis_str_of(lists[k])); i < s->files.n; i++) {
            const char *name = s->files.list[s->files.by_base[i]].name;
            if (strcmp(fileset_base(name), lists[k]) != 0) { break; }
            size_t n = strlen(name) - strlen(lists[k]);
            if (n >= best) { continue; }
            best = n;
            s->root = kluis_arena_strndup(s->kept, name, n);
            s->n_root = n;
            if (s->root == NULL) { return false; }
        }
    }
    return best != SIZE_MAX;
}

static kluis_status channels(struct slack *s, struct kluis_err *err)
{
    for (uint32_t i = fileset_from(&s->files, (struct kluis_str){ s->root, s->n_root }); i < s->files.n;) {
        const char *name = s->files.list[i].name;
        if (strncmp(name, s->root, s->n_root) != 0) { return KLUIS_OK; }
        const char *slash = strchr(name + s->n_root, '/');
        if (slash == NULL) {
            i++;
            continue;
        }
        struct kluis_str folder = { name + s->n_root, (size_t)(slash - name) - s->n_root };
        uint32_t end = i;
        while (end < s->files.n && strncmp(s->files.list[end].name, name, s->n_root + folder.len + 1) == 0) { end++; }
        if (!kluis_str_is(folder, "__uploads") && !kluis_str_is(folder, "attachments") && !kluis_str_is(folder, "__avatars")) {
            KLUIS_TRY(conversation(s, i, end, folder, err));
        }
        i = end;
    }
    return KLUIS_OK;
}

static bool holds(struct kluis_bytes b, const char *part) { return memmem(b.ptr, b.len, part, strlen(part)) != NULL; }
static bool begins(struct kluis_bytes b, char c)
{
    size_t i = b.len >= 3 && memcmp(b.ptr, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    while (i < b.len && (b.ptr[i] == ' ' || b.ptr[i] == '\n' || b.ptr[i] == '\r' || b.ptr[i] == '\t')) { i++; }
    return i < b.len && b.ptr[i] == (uint8_t)c;
}
/* A channel as slackdump writes it. */
static bool is_dump(struct kluis_bytes head)
{
    return begins(head, '{') && holds(head, "\"messages\"") && holds(head, "\"name\"") && holds(head, "\"ts\"") &&
           (holds(head, "\"channel_id\"") || holds(head, "\"replace_original\""));
}

static kluis_status dumps(struct slack *s, struct kluis_err *err)
{
    uint8_t *head = kluis_malloc(SOURCE_HEAD_MAX);
    kluis_status rc = head == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again") : KLUIS_OK;
    for (uint32_t i = 0; rc == KLUIS_OK && i < s->files.n; i++) {
        size_t n = 0;
        if (s->files.one != FILESET_NONE ? i != s->files.one : !is_json(s->files.list[i].name)) { continue; }
        rc = fileset_read_at(&s->files, i, head, SOURCE_HEAD_MAX, 0, &n, err);
        if (rc == KLUIS_OK && is_dump((struct kluis_bytes){ head, n })) { rc = conversation(s, i, i + 1, KLUIS_STR_LIT(""), err); }
    }
    kluis_free(head);
    return rc;
}

static kluis_status read_all(struct slack *s, const char *path, struct kluis_err *err)
{
    if (s->files.one == FILESET_NONE && find_root(s)) {
        KLUIS_TRY(slack_lists(s, err));
        KLUIS_TRY(channels(s, err));
    } else {
        KLUIS_TRY(dumps(s, err));
    }
    if (s->conversations == 0) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT,
                          "%s holds no messages of a Slack export: give the workspace's export, its zip or its folder with users.json", path);
    }
    return s->files.ended_early ? build_skip(s->sink, "the rest of the archive", "", "it is cut off or damaged", true, err) : KLUIS_OK;
}

static const struct fileset_how how = { .what = "Slack export", .keep = is_json };

static void slack_free(struct slack *s)
{
    fileset_close(&s->files);
    slack_lists_free(s);
    roster_close(&s->people);
    kluis_arena_free(s->kept);
    kluis_arena_free(s->tree);
    kluis_arena_free(s->scratch);
    kluis_buf_free(&s->text);
    kluis_buf_free(&s->other);
    kluis_free(s->held);
    kluis_free(s);
}

static kluis_status slack_read(const struct source_request *q, const struct source_sink *sink, struct kluis_err *err)
{
    for (size_t i = 0; i < q->n_options; i++) {
        if (strcmp(q->options[i].key, "self") != 0) {
            return KLUIS_FAIL(err, KLUIS_E_USAGE, "slack: the option is self=U0123456 or a name; \"%.40s\" is none", q->options[i].key);
        }
    }
    struct slack *s = kluis_calloc(1, sizeof *s);
    if (s == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    s->sink = sink;
    s->self_option = source_option_get(q, "self");
    s->root = "";
    kluis_buf_init(&s->text, KLUIS_TEXT_MAX);
    kluis_buf_init(&s->other, KLUIS_TEXT_MAX);
    s->kept = kluis_arena_new(LISTS_BYTES);
    s->tree = kluis_arena_new(TREE_MAX);
    s->scratch = kluis_arena_new(TREE_MAX);
    kluis_status rc = s->kept == NULL || s->tree == NULL || s->scratch == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again")
                                                                               : roster_open(&s->people, PEOPLE_BYTES, err);
    if (rc == KLUIS_OK) { rc = fileset_open(&s->files, q->path, &how, err); }
    if (rc == KLUIS_OK) { rc = read_all(s, q->path, err); }
    slack_free(s);
    return rc;
}

static kluis_status slack_attachments(const struct source_request *q, KLUIS_UNUSED struct kluis_str conversation_id, const struct kluis_str *wanted,
                                      size_t n, const struct source_attachment_sink *sink, struct kluis_err *err)
{
    return fileset_give(q->path, &how, wanted, n, sink, err); /* a reference is a path in the export */
}

/* The lists say that it is an export; a day alone does not say of which channel it is. */
static enum source_sure probe(const struct source_file *f)
{
    const char *base = strrchr(f->name, '/') == NULL ? f->name : strrchr(f->name, '/') + 1;
    if (f->name[0] == '\0') { return is_dump(f->head) ? SOURCE_LIKELY : SOURCE_NO; }
    if (strcmp(base, "users.json") == 0 && begins(f->head, '[') && holds(f->head, "\"team_id\"") && holds(f->head, "\"profile\"")) {
        return SOURCE_CERTAIN;
    }
    if (strcmp(base, "channels.json") == 0 && begins(f->head, '[') && holds(f->head, "\"creator\"") && holds(f->head, "\"members\"")) {
        return SOURCE_LIKELY;
    }
    return SOURCE_NO;
}

static const char *const tells[] = { "messages",  "authors",  "account-ids",   "message-ids", "times",       "edit-times", "deletions", "quotes",
                                     "reactions", "mentions", "group-changes", "calls",       "attachments", "names",      NULL };
static const char *const loss[] = { "deleted-content", "edit-history", "read-receipts", "reaction-times", NULL };

const struct source_kind source_slack = {
    .name = "slack",
    .platform = "slack",
    .about_nl = "Slack: de export van een werkruimte (zip of map), of een kanaal van slackdump",
    .about_en = "Slack: a workspace's export (zip or folder), or a channel of slackdump",
    .tells = tells,
    .loss = loss,
    .probe = probe,
    .read = slack_read,
    .attachments = slack_attachments,
};
