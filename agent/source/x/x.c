/* x.c - the x source: direct messages in the archive of an account at X, as folder, as the zip it comes in, or one file of it. */
#include "agent/source/x/x.h"

static kluis_status no_memory(struct kluis_err *err) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
static bool refusal(kluis_status rc) { return rc == KLUIS_E_REJECT || rc == KLUIS_E_LIMIT; }

/* ---- which files ---- */

/* direct-messages.js, direct-messages-part1.js: what stands before an optional part's number. */
static bool is_file(struct kluis_str name, const char *start)
{
    struct kluis_str base = build_base_name(name);
    size_t n = strlen(start);
    if (base.len < n + 3 || memcmp(base.ptr, start, n) != 0 || memcmp(base.ptr + base.len - 3, ".js", 3) != 0) { return false; }
    size_t i = n, end = base.len - 3;
    if (i < end && end - i > 5 && memcmp(base.ptr + i, "-part", 5) == 0) { i += 5; }
    while (i < end && base.ptr[i] >= '0' && base.ptr[i] <= '9') { i++; }
    return i == end;
}

static const char *const stems[] = { "direct-messages", "direct-messages-group", "direct-message-headers", "direct-message-group-headers" };

static bool wanted(struct kluis_str name)
{
    for (size_t i = 0; i < sizeof stems / sizeof *stems; i++) {
        if (is_file(name, stems[i])) { return true; }
    }
    return is_file(name, "account");
}

/* Where the list begins, behind "window.YTD.direct_messages.part0 = "; false: no such file. */
static bool list_at(struct kluis_str head, uint64_t *at, bool *group)
{
    static const char prefix[] = "window.YTD.direct_message";
    size_t i = head.len >= 3 && memcmp(head.ptr, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    const char *open = head.len > i ? memchr(head.ptr + i, '[', head.len - i < 200 ? head.len - i : 200) : NULL;
    bool ours = head.len > i + sizeof prefix && memcmp(head.ptr + i, prefix, sizeof prefix - 1) == 0;
    if (open == NULL || (!ours && json_begins((struct kluis_bytes){ (const uint8_t *)head.ptr, head.len }) != '[')) { return false; }
    if (!ours && memmem(head.ptr, head.len, "\"dmConversation\"", 16) == NULL) { return false; }
    *at = (uint64_t)(open - head.ptr);
    *group = ours && memmem(head.ptr, (size_t)(open - head.ptr), "_group", 6) != NULL;
    return true;
}

static kluis_status gather(struct x *t, struct kluis_err *err)
{
    bool full[2] = { false, false };
    t->parts = kluis_calloc(t->d.n + 1, sizeof *t->parts);
    if (t->parts == NULL) { return no_memory(err); }
    for (int headers = 0; headers < 2; headers++) {
        for (size_t i = 0; i < t->d.n; i++) {
            const struct download_file *f = &t->d.files[i];
            struct kluis_str head;
            uint64_t at;
            bool group = false, header = is_file(f->name, stems[2]) || is_file(f->name, stems[3]);
            if (!f->wanted || is_file(f->name, "account") || header != (headers == 1)) { continue; }
            KLUIS_TRY(download_bytes(&t->d, f, 0, 4096, &head, err));
            if (!list_at(head, &at, &group)) {
                if (t->d.n > 1 && head.len > 0) {
                    KLUIS_TRY(build_skip(t->sink, "a file", f->name.ptr, "it is no list of direct messages", true, err));
                }
                continue;
            }
            group = group || is_file(f->name, stems[1]) || is_file(f->name, stems[3]);
            if (header && full[group]) {
                KLUIS_TRY(build_skip(t->sink, "a list of headers", f->name.ptr, "its messages are read whole from the file beside it", false, err));
                continue;
            }
            full[group] = full[group] || !header;
            t->parts[t->n_parts++] = (struct part){ f, group, header };
        }
    }
    return KLUIS_OK;
}

/* ---- whose archive it is ---- */

static kluis_status owner(struct x *t, struct kluis_err *err)
{
    const struct download_file *f = download_find_end(&t->d, KLUIS_STR_LIT("account.js"));
    struct kluis_str text;
    struct json *v = NULL;
    if (f == NULL || !f->wanted) { return KLUIS_OK; }
    KLUIS_TRY(download_bytes(&t->d, f, 0, 64 << 10, &text, err));
    const char *open = text.len == 0 ? NULL : memchr(text.ptr, '[', text.len);
    kluis_arena_clear(t->tree);
    if (open == NULL || json_read_loose((struct kluis_str){ open, text.len - (size_t)(open - text.ptr) }, t->tree, &v, NULL) != KLUIS_OK) {
        return KLUIS_OK;
    }
    struct json *a = json_object(v->child, "account");
    t->self_id = kluis_arena_str(t->d.names, json_string(a, "accountId"));
    struct kluis_str name = json_string(a, "accountDisplayName"), handle = json_string(a, "username");
    t->self_name = kluis_arena_str(t->d.names, name.ptr != NULL ? name : handle);
    return KLUIS_OK;
}

/* ---- going through ---- */

struct going {
    struct x *t;
    const struct part *part;
    uint32_t index, conversation;
    int64_t last;
    uint64_t n;
};

static void note_id(void *ctx, struct kluis_str id)
{
    const struct going *g = ctx;
    cast_note(g->t->cast, g->conversation, id, kluis_str_eq(id, g->t->self_id) ? g->t->self_name : (struct kluis_str){ NULL, 0 });
}

static kluis_status one(void *ctx, struct json *m, struct kluis_str raw, uint64_t at, struct kluis_err *err)
{
    struct going *g = ctx;
    const char *what;
    struct json *inner = x_inner(m, &what);
    struct order_item it = { .conversation = g->conversation, .file = g->index, .when = g->last, .at = at, .len = (uint32_t)raw.len };
    if (inner != NULL) {
        int64_t when = x_when(inner);
        if (when != KLUIS_TIME_ABSENT) { it.when = g->last = when; }
        x_people(inner, note_id, g);
    }
    g->n++;
    return order_add(g->t->order, &it, err);
}

static kluis_status damaged(void *ctx, uint64_t at, uint64_t bytes, KLUIS_UNUSED bool to_end, struct kluis_err *err)
{
    struct going *g = ctx;
    struct order_item it = { .conversation = g->conversation, .file = g->index, .when = g->last, .at = at };
    it.lost = bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
    return order_add(g->t->order, &it, err);
}

static bool is_entry(struct json *m) { return m->child != NULL && m->child->type == JSON_OBJECT; }

static kluis_status named(struct going *g, struct kluis_str id, struct kluis_err *err)
{
    struct x *t = g->t;
    g->conversation = cast_conversation(t->cast, id);
    if (g->conversation == CAST_NONE) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "more than %d conversations at once: read the parts one by one", CAST_CONVERSATIONS);
    }
    if (g->part->group) { t->group[g->conversation / 8] |= (uint8_t)(1u << g->conversation % 8); }
    g->last = INT64_MAX;
    return KLUIS_OK;
}

/* {"dmConversation": {"conversationId": …, "messages": [ … ]}}; *end as json_items says. */
static kluis_status conversation(struct going *g, struct json_stream *s, enum json_items_end *end, struct kluis_err *err)
{
    struct kluis_str key, raw;
    struct json *v = NULL;
    uint64_t at;
    kluis_status rc;
    KLUIS_TRY(named(g, KLUIS_STR_LIT("unnumbered"), err));
    while ((rc = json_stream_next(s, &key, err)) == KLUIS_OK) {
        if (kluis_str_is(key, "conversationId")) {
            KLUIS_TRY(json_stream_take(s, &raw, &at, err));
            kluis_arena_clear(g->t->tree);
            if (json_read_loose(raw, g->t->tree, &v, NULL) != KLUIS_OK || v->text.len == 0 || v->text.len > 128) { continue; }
            KLUIS_TRY(named(g, v->text, err));
        } else if (kluis_str_is(key, "messages")) {
            struct json_items items = { .stream = s,
                                        .tree = g->t->tree,
                                        .first = "messageCreate",
                                        .outer = "dmConversation",
                                        .ctx = g,
                                        .is_one = is_entry,
                                        .item = one,
                                        .damage = damaged };
            KLUIS_TRY(json_stream_enter(s, '[', err));
            KLUIS_TRY(json_items(&items, end, err));
            if (*end != JSON_ITEMS_CLOSED) { return KLUIS_OK; }
        } else {
            KLUIS_TRY(json_stream_skip(s, err));
        }
    }
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

static kluis_status walk(struct going *g, struct json_stream *s, struct kluis_err *err)
{
    struct kluis_str key;
    bool positioned = false;
    KLUIS_TRY(json_stream_enter(s, '[', err));
    for (;;) {
        kluis_status rc = positioned ? KLUIS_OK : json_stream_next(s, &key, err);
        positioned = false;
        if (rc != KLUIS_OK) { return rc == KLUIS_END ? KLUIS_OK : rc; }
        KLUIS_TRY(json_stream_enter(s, '{', err));
        while ((rc = json_stream_next(s, &key, err)) == KLUIS_OK) {
            enum json_items_end end = JSON_ITEMS_CLOSED;
            if (!kluis_str_is(key, "dmConversation")) {
                KLUIS_TRY(json_stream_skip(s, err));
                continue;
            }
            KLUIS_TRY(json_stream_enter(s, '{', err));
            KLUIS_TRY(conversation(g, s, &end, err));
            if (end == JSON_ITEMS_DOCUMENT) { return KLUIS_OK; }
            if (end == JSON_ITEMS_OUTER) {
                s->depth = 1; /* it stands before the next element of the outermost list */
                positioned = true;
                break;
            }
        }
        if (!positioned && rc != KLUIS_END) { return rc; }
    }
}

static kluis_status survey(struct x *t, uint32_t index, struct kluis_err *err)
{
    const struct part *p = &t->parts[index];
    struct download_input state = { &t->d, p->file, 0 };
    struct kluis_input in = download_input(&state);
    struct json_stream s = { 0 };
    struct kluis_str head;
    struct kluis_err why = { 0 };
    struct going g = { .t = t, .part = p, .index = index };
    bool group;
    KLUIS_TRY(download_bytes(&t->d, p->file, 0, 4096, &head, err));
    (void)list_at(head, &state.at, &group);
    KLUIS_TRY(json_stream_open(&s, &in, state.at, p->file->name.ptr, MESSAGE_MAX, err));
    kluis_status rc = walk(&g, &s, &why);
    json_stream_close(&s);
    if (refusal(rc)) { return build_skip(t->sink, g.n > 0 ? "the rest of a file" : "a file", p->file->name.ptr, why.msg, true, err); }
    if (rc != KLUIS_OK && err != NULL) { *err = why; }
    return rc;
}

/* ---- giving ---- */

static kluis_status bytes_of(struct x *t, const struct order_item *it, struct json **m, struct kluis_str *raw, struct kluis_err *err)
{
    const struct part *p = &t->parts[it->file];
    KLUIS_TRY(download_bytes(&t->d, p->file, it->at, it->len, raw, err));
    kluis_arena_clear(t->tree);
    if (json_read_loose(*raw, t->tree, m, NULL) != KLUIS_OK || (*m)->type != JSON_OBJECT) {
        return KLUIS_FAIL(err, KLUIS_E_BUSY, "%.200s changed while it was read: try again", p->file->name.ptr);
    }
    return KLUIS_OK;
}

/* Of a group: its last name, from its own renames. */
static kluis_status find_name(struct x *t, uint32_t conversation, struct kluis_err *err)
{
    struct order_item it;
    kluis_status rc;
    t->name = (struct kluis_str){ NULL, 0 };
    if ((t->group[conversation / 8] >> conversation % 8 & 1) == 0) { return KLUIS_OK; }
    while ((rc = order_next(t->order, &it, err)) == KLUIS_OK && it.conversation == conversation) {
        struct kluis_str raw;
        struct json *m = NULL;
        if (it.len == 0) { continue; }
        KLUIS_TRY(download_bytes(&t->d, t->parts[it.file].file, it.at, it.len, &raw, err));
        if (memmem(raw.ptr, raw.len, "conversationNameUpdate", 22) == NULL) { continue; }
        KLUIS_TRY(bytes_of(t, &it, &m, &raw, err));
        struct kluis_str name = json_string(json_object(m, "conversationNameUpdate"), "name");
        if (name.ptr != NULL && name.len <= 4096) { t->name = kluis_arena_str(t->people.arena, name); }
    }
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

static kluis_status begin(void *ctx, uint32_t conversation, struct kluis_err *err)
{
    struct x *t = ctx;
    static const char *const never[] = { "names", "edit-history", "deletions", "quotes", "encrypted-messages" };
    size_t n = 0;
    KLUIS_TRY(find_name(t, conversation, err));
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) { t->loss[n++] = kluis_str_of(never[i]); }
    if (cast_full(t->cast) || t->people.overflow) { t->loss[n++] = KLUIS_STR_LIT("people-beyond-4096"); }
    if (t->d.full) { t->loss[n++] = KLUIS_STR_LIT("file-names-beyond-131072"); }
    struct kluis_str self = t->self_option != NULL ? kluis_str_of(t->self_option) : t->self_id;
    bool group = (t->group[conversation / 8] >> conversation % 8 & 1) != 0;
    t->header = (struct kluis_header){
        .platform = KLUIS_STR_LIT("x"),
        .conversation_id = cast_id(t->cast, conversation),
        .conversation_name = t->name,
        .type = group ? KLUIS_GROUP : KLUIS_DIRECT,
        .parties = t->people.list,
        .n_parties = t->people.n,
        .participants = t->people.members,
        .n_participants = t->people.n,
        .self = self.ptr == NULL ? KLUIS_NO_PARTY : roster_called(&t->people, self),
        .provenance = { .source = KLUIS_STR_LIT("x"), .app = KLUIS_STR_LIT("X archive"), .reader = KLUIS_STR_LIT("chatkluis " KLUIS_VERSION " x") },
        .zone = KLUIS_ZONE_STATED,
        .precision = KLUIS_PRECISION_MILLISECOND,
        .loss = t->loss,
        .n_loss = n
    };
    return t->sink->begin(t->sink->ctx, &t->header, err);
}

static kluis_status one_turn(void *ctx, const struct order_item *it, struct kluis_err *err)
{
    struct x *t = ctx;
    struct json *m = NULL;
    struct kluis_str raw;
    if (it->len == 0) {
        kluis_arena_clear(t->words);
        return build_gap(&t->build, t->words, t->sink, it->at, it->lost, KLUIS_ZONE_STATED, err);
    }
    KLUIS_TRY(bytes_of(t, it, &m, &raw, err));
    return x_message(t, &t->parts[it->file], m, raw, err);
}

/* ---- reading ---- */

static kluis_status read_all(struct x *t, const struct source_request *q, struct kluis_err *err)
{
    KLUIS_TRY(download_open(&t->d, q->path, wanted, err));
    KLUIS_TRY(owner(t, err));
    for (size_t i = 0; i < t->d.n && !t->has_media; i++) {
        t->has_media = memmem(t->d.files[i].name.ptr, t->d.files[i].name.len, "_media/", 7) != NULL;
    }
    if (t->self_option != NULL && !kluis_str_is(t->self_id, t->self_option)) { t->self_name = (struct kluis_str){ NULL, 0 }; }
    KLUIS_TRY(gather(t, err));
    for (uint32_t i = 0; i < t->n_parts; i++) { KLUIS_TRY(survey(t, i, err)); }
    KLUIS_TRY(order_done(t->order, err));
    cast_done(t->cast);
    struct kluis_str id, name;
    if (t->self_id.ptr == NULL && cast_everywhere(t->cast, &id, &name)) { t->self_id = id; }
    struct turns turns = { .order = t->order, .cast = t->cast, .people = &t->people, .sink = t->sink, .ctx = t, .begin = begin, .one = one_turn };
    KLUIS_TRY(turns_give(&turns, err));
    if (turns.conversations > 0) { return KLUIS_OK; }
    return KLUIS_FAIL(err, KLUIS_E_REJECT,
                      "%s holds no direct messages of X that can be read: give the archive's folder or zip, or a direct-messages.js", q->path);
}

static kluis_status x_read(const struct source_request *q, const struct source_sink *sink, struct kluis_err *err)
{
    struct x *t = kluis_calloc(1, sizeof *t);
    if (t == NULL) { return no_memory(err); }
    t->sink = sink;
    t->tree = kluis_arena_new(TREE_MAX);
    t->words = kluis_arena_new(WORDS_MAX);
    kluis_status rc = t->tree == NULL || t->words == NULL ? no_memory(err) : KLUIS_OK;
    for (size_t i = 0; rc == KLUIS_OK && i < q->n_options; i++) {
        if (strcmp(q->options[i].key, "self") == 0 && q->options[i].value[0] != '\0') {
            t->self_option = q->options[i].value;
        } else {
            rc = KLUIS_FAIL(err, KLUIS_E_USAGE, "x: the option is self=NUMBER (of the account whose archive it is); \"%.40s\" is not it",
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
    kluis_arena_free(t->tree);
    kluis_arena_free(t->words);
    kluis_free(t->parts);
    kluis_free(t);
    return rc;
}

static enum source_sure probe(const struct source_file *f)
{
    struct kluis_str head = { (const char *)f->head.ptr, f->head.len }, name = kluis_str_of(f->name);
    uint64_t at;
    bool group, ours = name.len == 0;
    for (size_t i = 0; i < sizeof stems / sizeof *stems; i++) { ours = ours || is_file(name, stems[i]); }
    if (!ours || head.len == 0 || !list_at(head, &at, &group)) { return SOURCE_NO; }
    return memmem(head.ptr, head.len, "\"dmConversation\"", 16) != NULL ? SOURCE_CERTAIN : SOURCE_LIKELY;
}

static const char *const tells[] = { "messages", "message-ids", "account-ids", "times", "reactions", "groups", "group-changes", "attachments", NULL };
static const char *const loss[] = { "names", "edit-history", "deletions", "quotes", "encrypted-messages", "read-receipts", NULL };

const struct source_kind source_x = {
    .name = "x",
    .platform = "x",
    .about_nl = "X (Twitter): directe berichten uit het gedownloade archief (map of zip)",
    .about_en = "X (Twitter): direct messages from the downloaded archive (folder or zip)",
    .tells = tells,
    .loss = loss,
    .probe = probe,
    .read = x_read,
    .attachments = download_attachments,
};
