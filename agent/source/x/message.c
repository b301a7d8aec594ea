/* message.c - one entry of a conversation to records: a message with its reactions, or something that happened. */
#include "agent/source/x/x.h"

static struct kluis_str absent(void) { return (struct kluis_str){ NULL, 0 }; }

/* X names each entry by the one member around it. */
static const struct {
    const char *member, *event;
} known[] = {
    { "messageCreate", NULL },
    { "reactionCreate", NULL },
    { "welcomeMessageCreate", NULL },
    { "joinConversation", "member-added" }, /* the owner himself */
    { "participantsJoin", "member-added" },
    { "participantsLeave", "member-left" },
    { "conversationNameUpdate", "subject-changed" },
    { "conversationAvatarUpdate", "icon-changed" },
};

struct json *x_inner(struct json *m, const char **what)
{
    struct json *first = NULL;
    *what = NULL;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct json *v = json_object(m, known[i].member);
        if (v == NULL) { continue; }
        *what = known[i].member;
        return v;
    }
    for (struct json *v = m->child; v != NULL && first == NULL; v = v->next) {
        if (v->type == JSON_OBJECT) { first = v; }
    }
    return first;
}

int64_t x_when(struct json *inner)
{
    struct kluis_str at = json_string(inner, "createdAt");
    int64_t us = 0;
    int offset, digits;
    return at.ptr != NULL && kluis_time_parse(at, &us, &offset, &digits) ? us : KLUIS_TIME_ABSENT;
}

static struct kluis_str id_of(struct json *m, const char *name)
{
    struct json *v = json_get(m, name);
    return v == NULL || (v->type != JSON_STRING && v->type != JSON_NUMBER) || v->text.len == 0 || v->text.len > 64 ? absent() : v->text;
}

static const char *const singles[] = { "senderId", "recipientId", "initiatingUserId" };
static const char *const lists[] = { "userIds", "participantsSnapshot" };

void x_people(struct json *inner, void (*each)(void *ctx, struct kluis_str id), void *ctx)
{
    for (size_t i = 0; i < sizeof singles / sizeof *singles; i++) {
        struct kluis_str id = id_of(inner, singles[i]);
        if (id.ptr != NULL && !kluis_str_is(id, "0")) { each(ctx, id); }
    }
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct json *list = json_array(inner, lists[i]);
        for (struct json *v = list == NULL ? NULL : list->child; v != NULL; v = v->next) {
            if (v->type == JSON_STRING && v->text.len > 0 && v->text.len <= 64) { each(ctx, v->text); }
        }
    }
    struct json *reactions = json_array(inner, "reactions");
    for (struct json *r = reactions == NULL ? NULL : reactions->child; r != NULL; r = r->next) {
        struct kluis_str id = id_of(r, "senderId");
        if (id.ptr != NULL) { each(ctx, id); }
    }
}

static uint32_t somebody(struct x *t, struct kluis_str id)
{
    if (id.ptr == NULL) { return KLUIS_NO_PARTY; }
    return roster_find(&t->people, id, kluis_str_eq(id, t->self_id) ? t->self_name : absent());
}

static void set_when(struct build *b, struct json *v)
{
    int64_t us = x_when(v);
    b->r.zone = KLUIS_ZONE_STATED;
    if (us != KLUIS_TIME_ABSENT) {
        b->r.sent.us = us / 1000 * 1000;
        return;
    }
    build_loss(b, "time-unknown");
    build_text(b, "date", json_string(v, "createdAt"));
}

/* ---- files ---- */

static struct kluis_str file_name_of(struct kluis_str url)
{
    size_t n = 0;
    while (n < url.len && url.ptr[n] != '?' && url.ptr[n] != '#') { n++; }
    return build_base_name((struct kluis_str){ url.ptr, n });
}

static void attach(struct build *b, const struct download *d, const struct download_file *f, struct kluis_str name)
{
    struct kluis_attachment *a = build_attachment(b);
    if (a == NULL) { return; }
    a->name = name.len > 0 ? name : f == NULL ? absent() : build_base_name(f->name);
    a->type = kluis_str_of(build_type_of_name(a->name));
    if (f == NULL) {
        a->loss = KLUIS_STR_LIT("missing");
    } else {
        a->size = d->zip && f->size == 0 ? -1 : (int64_t)f->size;
        a->source_ref = f->name;
    }
}

/* direct_messages_media/<message id>-<file>, beside the file of messages. */
static const struct download_file *media(struct x *t, const struct part *p, struct kluis_str id, size_t *n)
{
    static const char *const folders[2][2] = { { "direct_messages_media", "direct_message_media" },
                                               { "direct_messages_group_media", "direct_message_group_media" } };
    size_t below = p->file->name.len - build_base_name(p->file->name).len;
    *n = 0;
    for (size_t i = 0; id.ptr != NULL && i < 2; i++) {
        struct kluis_str start = build_fmt(t->words, "%.*s%s/%.*s-", (int)below, p->file->name.ptr, folders[p->group][i], (int)id.len, id.ptr);
        const struct download_file *f = start.ptr == NULL ? NULL : download_find_begin(&t->d, start, n);
        if (f != NULL) { return f; }
    }
    return NULL;
}

static void set_files(struct x *t, struct build *b, const struct part *p, struct json *m, struct kluis_str id)
{
    struct json *urls = json_array(m, "mediaUrls");
    size_t n = 0, start = id.len + 1;
    const struct download_file *f = t->has_media ? media(t, p, id, &n) : NULL;
    unsigned i_url = 0;
    bool given[BUILD_ATTACHMENTS] = { false };
    for (struct json *u = urls == NULL ? NULL : urls->child; u != NULL; u = u->next) {
        if (u->type != JSON_STRING || u->text.len == 0) { continue; }
        struct kluis_str name = file_name_of(u->text);
        const struct download_file *own = NULL;
        for (size_t i = 0; i < n && i < BUILD_ATTACHMENTS && own == NULL; i++) {
            struct kluis_str base = build_base_name(f[i].name);
            if (given[i] || base.len < start || !kluis_str_eq((struct kluis_str){ base.ptr + start, base.len - start }, name)) { continue; }
            given[i] = true;
            own = &f[i];
        }
        attach(b, &t->d, own, name);
        build_nth(b, "media-url", ++i_url, u->text);
    }
    (void)json_whole(urls);
    for (size_t i = 0; i < n && i < BUILD_ATTACHMENTS; i++) { /* what lies there under the message's number, whatever the list says */
        struct kluis_str base = build_base_name(f[i].name);
        if (!given[i]) { attach(b, &t->d, &f[i], (struct kluis_str){ base.ptr + start, base.len - start }); }
    }
}

static void set_links(struct build *b, struct json *m)
{
    struct json *urls = json_array(m, "urls");
    unsigned i = 0;
    for (struct json *u = urls == NULL ? NULL : urls->child; u != NULL; u = u->next) {
        build_nth(b, "link", ++i, json_string(u, "expanded"));
        json_ignore(u, "url");
        json_ignore(u, "display");
    }
}

/* ---- reactions ---- */

static kluis_status send_reaction(struct x *t, struct json *v, struct kluis_str target, uint32_t author, struct kluis_when sent,
                                  struct kluis_err *err)
{
    struct build *b = &t->build;
    struct kluis_str key = json_string(v, "reactionKey");
    build_new(b, t->words, KLUIS_REACTION);
    b->r.id = id_of(v, "eventId");
    b->r.author = somebody(t, id_of(v, "senderId"));
    b->r.value = key.ptr != NULL ? key : KLUIS_STR_LIT("unknown"); /* X names it ("like"); which sign it shows is not told */
    b->r.target = target;
    b->r.target_author = author;
    b->r.target_sent = sent;
    set_when(b, v);
    build_rest(b, "x", v);
    return build_send(b, t->sink, (struct kluis_bytes){ (const uint8_t *)v->raw.ptr, v->raw.len }, err);
}

static kluis_status send_reactions(struct x *t, struct json *m, struct kluis_str id, uint32_t author, struct kluis_when sent, struct kluis_err *err)
{
    struct json *list = json_array(m, "reactions");
    for (struct json *v = list == NULL ? NULL : list->child; v != NULL; v = v->next) { KLUIS_TRY(send_reaction(t, v, id, author, sent, err)); }
    return KLUIS_OK;
}

/* ---- an entry ---- */

static void set_event(struct x *t, struct build *b, struct json *m, const char *what)
{
    KLUIS_AUTO_BUF(names, KLUIS_TEXT_MAX);
    b->r.kind = KLUIS_EVENT;
    b->r.event = KLUIS_STR_LIT("unknown");
    for (size_t i = 0; what != NULL && i < sizeof known / sizeof *known; i++) {
        if (strcmp(known[i].member, what) == 0 && known[i].event != NULL) { b->r.event = kluis_str_of(known[i].event); }
    }
    struct kluis_str by = id_of(m, "initiatingUserId");
    b->r.author = somebody(t, by);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct json *list = json_array(m, lists[i]);
        for (struct json *v = list == NULL ? NULL : list->child; v != NULL; v = v->next) {
            if (v->type != JSON_STRING) { continue; }
            if (names.len > 0) { kluis_buf_cstr(&names, ", "); }
            kluis_buf_str(&names, v->text);
            if (by.ptr == NULL && list->child == v && v->next == NULL) { b->r.author = somebody(t, v->text); } /* who leaves alone did it himself */
        }
        (void)json_whole(list);
    }
    if (names.len > 0 && names.status == KLUIS_OK) {
        bool joined = what != NULL && strcmp(what, "joinConversation") == 0;
        build_text(b, joined ? "members" : "member", kluis_arena_str(t->words, (struct kluis_str){ (const char *)names.data, names.len }));
        if (joined) { build_text(b, "member", t->self_id); }
    }
    build_text(b, "after", json_string(m, "name"));
    build_text(b, "action", what != NULL ? kluis_str_of(what) : m->key);
}

kluis_status x_message(struct x *t, const struct part *p, struct json *outer, struct kluis_str raw, struct kluis_err *err)
{
    struct build *b = &t->build;
    const struct kluis_bytes evidence = { (const uint8_t *)raw.ptr, raw.len };
    const char *what = NULL;
    kluis_arena_clear(t->words);
    struct json *m = x_inner(outer, &what);
    if (m != NULL && what != NULL && strcmp(what, "reactionCreate") == 0) {
        return send_reaction(t, m, id_of(m, "messageId"), KLUIS_NO_PARTY, (struct kluis_when){ KLUIS_TIME_ABSENT, 0 }, err);
    }
    build_new(b, t->words, KLUIS_MESSAGE);
    if (m == NULL) { /* an entry that is no object */
        b->r.kind = KLUIS_EVENT;
        b->r.event = KLUIS_STR_LIT("unknown");
        b->r.zone = KLUIS_ZONE_STATED;
        build_loss(b, "time-unknown");
        build_rest(b, "x", outer);
        return build_send(b, t->sink, evidence, err);
    }
    bool message = what != NULL && (strcmp(what, "messageCreate") == 0 || strcmp(what, "welcomeMessageCreate") == 0);
    struct kluis_str id = id_of(m, "id");
    b->r.id = id;
    set_when(b, m);
    if (message) {
        struct json *text = json_get(m, "text");
        b->r.author = somebody(t, id_of(m, "senderId"));
        if (b->r.author == KLUIS_NO_PARTY) { build_loss(b, "author-unknown"); }
        if (text != NULL && text->type == JSON_STRING && text->text.len > 0) {
            build_body(b, text->text);
            if (text->damaged) { b->r.text_raw = (struct kluis_bytes){ (const uint8_t *)text->raw.ptr, text->raw.len }; }
        }
        set_files(t, b, p, m, id);
        set_links(b, m);
        json_ignore(m, "recipientId");
        struct json *edits = json_array(m, "editHistory");
        if (edits != NULL && edits->child != NULL) { /* kept as it stands: which form is which, X does not say */
            build_number(b, "edited", 1);
            build_text(b, "edit-history", edits->raw);
            json_ignore(m, "editHistory");
        }
        if (p->headers) { build_loss(b, "content-unknown"); }
        if (what[0] == 'w') { build_text(b, "action", kluis_str_of(what)); }
    } else {
        set_event(t, b, m, what);
    }
    json_ignore(m, "reactions");
    build_rest(b, "x", m);
    uint32_t author = b->r.author;
    struct kluis_when sent = b->r.sent;
    KLUIS_TRY(build_send(b, t->sink, evidence, err));
    return message ? send_reactions(t, m, id, author, sent, err) : KLUIS_OK;
}
