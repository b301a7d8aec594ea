/* personal.c - one message of a personal account's export (messages.json), the form that Skype had before.
 *
 * A message's kind is a word, its content text, HTML, or XML (JSON since Teams) that says what happened.
 */
#include "agent/source/teams/teams.h"

static struct kluis_str absent(void) { return (struct kluis_str){ NULL, 0 }; }

bool teams_personal_is_one(struct json *m)
{
    return json_get(m, "id") != NULL && (json_get(m, "messagetype") != NULL || json_get(m, "originalarrivaltime") != NULL);
}

/* Microsoft writes objects inside objects as JSON in a string. */
static struct json *unpacked(struct teams *t, struct json *object, const char *name)
{
    struct json *v = json_get(object, name), *in = NULL;
    if (v == NULL || v->type != JSON_STRING) { return v; }
    if (v->text.len == 0 || (v->text.ptr[0] != '[' && v->text.ptr[0] != '{') || json_read_loose(v->text, t->scratch, &in, NULL) != KLUIS_OK) {
        v->used = 0;
        return NULL;
    }
    return in;
}

static struct kluis_str sender_name(struct json *m)
{
    struct kluis_str n = json_string(m, "displayName");
    return n.ptr != NULL ? n : json_string(m, "imdisplayname");
}

/* ---- who else a message names --------------------------------------------------------------------------------------------------- */

struct named {
    struct kluis_str id, name;
};
/* One after the other of an event's or call's content: <target>, <part identity>, "members"; *at begins as the content, or as NULL's. */
static bool next_named(struct teams *t, struct kluis_str *xml, struct json **list, struct named *out)
{
    struct html_tag tag;
    struct kluis_str words;
    if (*list != NULL) {
        struct json *p = *list;
        *list = p->next;
        *out = p->type == JSON_STRING ? (struct named){ teams_id(p->text), absent() }
                                      : (struct named){ teams_id(json_string(p, "id")), json_string(p, "friendlyname") };
        return true;
    }
    while (html_next(xml, &tag, &words)) {
        if (words.ptr != NULL || tag.name.ptr == NULL || tag.close) { continue; }
        if (html_is(&tag, "part")) {
            struct kluis_str to = tag.after, end = KLUIS_STR_LIT("</part>");
            const char *q = memmem(to.ptr, to.len, end.ptr, end.len);
            *out = (struct named){ teams_id(html_attr(&tag, "identity", t->scratch)),
                                   html_inside((struct kluis_str){ to.ptr, q == NULL ? to.len : (size_t)(q - to.ptr) }, "name", t->scratch) };
            return true;
        }
        if ((html_is(&tag, "target") || html_is(&tag, "id")) && tag.after.len > 0 && tag.after.ptr[0] != '<' && html_next(xml, &tag, &words) &&
            words.ptr != NULL) {
            *out = (struct named){ teams_id(words), absent() };
            return true;
        }
    }
    return false;
}

/* Where such a list begins in what a message says; the initiator, if it says one. */
static struct kluis_str event_of(struct teams *t, struct json *m, struct json **list, struct json **whole)
{
    struct kluis_str content = json_string(m, "content"), by;
    *list = *whole = NULL;
    if (content.ptr != NULL && content.ptr[0] == '{' && json_read_loose(content, t->scratch, whole, NULL) == KLUIS_OK) {
        struct json *members = json_array(*whole, "members");
        if (members == NULL) { members = json_array(*whole, "targets"); }
        *list = members == NULL ? NULL : members->child;
        by = json_string(*whole, "initiator");
    } else {
        *whole = NULL;
        by = html_inside(content, "initiator", t->scratch);
    }
    return teams_id(by);
}

static bool is_talk(struct kluis_str type)
{
    return type.ptr == NULL || kluis_str_is(type, "Text") || kluis_str_is(type, "RichText") || kluis_str_is(type, "PopCard") ||
           kluis_str_is(type, "Poll") || (type.len > 9 && memcmp(type.ptr, "RichText/", 9) == 0);
}

/* Reactions by key: [{"key":"like","users":[{"mri":"8:…","time":158…}]}], or {"like":[…]} in older ones. */
static kluis_status each_reaction(struct teams *t, struct json *m,
                                  kluis_status (*fn)(struct teams *, struct kluis_str, struct json *, void *, struct kluis_err *), void *ctx,
                                  struct kluis_err *err)
{
    struct json *e = unpacked(t, json_object(m, "properties"), "emotions");
    if (e == NULL || (e->type != JSON_ARRAY && e->type != JSON_OBJECT)) { return KLUIS_OK; }
    for (struct json *k = e->child; k != NULL; k = k->next) {
        struct kluis_str key = e->type == JSON_OBJECT ? k->key : json_string(k, "key");
        struct json *users = e->type == JSON_OBJECT ? k : json_array(k, "users");
        for (struct json *u = users == NULL || users->type != JSON_ARRAY ? NULL : users->child; u != NULL; u = u->next) {
            KLUIS_TRY(fn(t, key, u, ctx, err));
        }
    }
    return KLUIS_OK;
}

/* ---- pass 1 ------------------------------------------------------------------------------------------------------------------------ */

static kluis_status note_reactor(struct teams *t, KLUIS_UNUSED struct kluis_str key, struct json *u, KLUIS_UNUSED void *ctx, struct kluis_err *err)
{
    return teams_chat_person(t, t->chat, teams_id(json_string(u, "mri")), absent(), err);
}

kluis_status teams_personal_note(struct teams *t, struct json *m, uint64_t at, uint64_t bytes, struct kluis_err *err)
{
    struct json *list = NULL, *whole = NULL;
    struct kluis_str xml = json_string(m, "content");
    struct named w;
    KLUIS_TRY(teams_chat_person(t, t->chat, teams_id(json_string(m, "from")), sender_name(m), err));
    if (!is_talk(json_string(m, "messagetype"))) {
        struct kluis_str by = event_of(t, m, &list, &whole);
        KLUIS_TRY(teams_chat_person(t, t->chat, by, absent(), err));
        if (whole != NULL) { xml = absent(); }
        while (next_named(t, &xml, &list, &w)) { KLUIS_TRY(teams_chat_person(t, t->chat, w.id, w.name, err)); }
    }
    KLUIS_TRY(each_reaction(t, m, note_reactor, NULL, err));
    return teams_chat_put(t, t->chat, at, bytes, false, err);
}

/* ---- pass 2 ------------------------------------------------------------------------------------------------------------------------ */

static void put_member(struct teams *t, const struct named *w)
{
    uint32_t who = w->name.len > 0 ? KLUIS_NO_PARTY : roster_called(&t->people, w->id);
    struct kluis_str known = who == KLUIS_NO_PARTY ? absent() : t->people.list[who].name;
    if (t->text.len > 0) { kluis_buf_cstr(&t->text, ", "); }
    kluis_buf_str(&t->text, w->name.len > 0 ? w->name : known.ptr != NULL ? known : w->id);
}

static void event(struct teams *t, struct build *b, struct json *m, struct kluis_str type)
{
    static const struct {
        const char *type, *event;
    } known[] = { { "ThreadActivity/AddMember", "member-added" },
                  { "ThreadActivity/DeleteMember", "member-removed" },
                  { "ThreadActivity/MemberJoined", "member-joined" },
                  { "ThreadActivity/MemberLeft", "member-left" },
                  { "ThreadActivity/RoleUpdate", "admin-changed" },
                  { "ThreadActivity/TopicUpdate", "subject-changed" },
                  { "ThreadActivity/PictureUpdate", "icon-changed" },
                  { "ThreadActivity/HistoryDisclosedUpdate", "settings-changed" },
                  { "ThreadActivity/JoiningEnabledUpdate", "settings-changed" },
                  { "ThreadActivity/PinnedItemsUpdate", "message-pinned" } };
    struct json *list = NULL, *whole = NULL;
    struct kluis_str by = event_of(t, m, &list, &whole), content = json_string(m, "content"), xml = whole != NULL ? absent() : content;
    struct kluis_str value = whole != NULL ? json_string(whole, "value") : html_inside(content, "value", t->scratch);
    struct named w, last = { absent(), absent() };
    unsigned n = 0;
    b->r.kind = KLUIS_EVENT;
    b->r.event = KLUIS_STR_LIT("unknown");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (kluis_str_is(type, known[i].type)) { b->r.event = kluis_str_of(known[i].event); }
    }
    build_text(b, "type", type);
    kluis_buf_clear(&t->text);
    for (; next_named(t, &xml, &list, &w); n++, last = w) { put_member(t, &w); }
    if (t->text.len > 0 && t->text.status == KLUIS_OK) {
        build_text(b, "member", kluis_arena_str(t->scratch, (struct kluis_str){ (const char *)t->text.data, t->text.len }));
    }
    if (n == 1 && kluis_str_eq(last.id, by) && kluis_str_is(b->r.event, "member-removed")) { b->r.event = KLUIS_STR_LIT("member-left"); }
    if (by.ptr != NULL) {
        uint32_t who = roster_called(&t->people, by);
        if (who != KLUIS_NO_PARTY) { b->r.author = who; }
    }
    build_text(b, kluis_str_is(b->r.event, "subject-changed") ? "after" : "value", value.len > 0 ? value : absent());
    if (kluis_str_is(b->r.event, "unknown") && content.ptr != NULL) { teams_body_html(t, b, content, false); }
}

static void call(struct teams *t, struct build *b, struct json *m)
{
    struct kluis_str content = json_string(m, "content"), xml = content, words, kind = absent();
    struct json *list = NULL;
    struct html_tag tag;
    struct named w;
    uint64_t longest = 0;
    b->r.kind = KLUIS_CALL;
    b->r.value = KLUIS_STR_LIT("audio"); /* whether it had video is not told */
    build_loss(b, "video-unknown");
    kluis_buf_clear(&t->text);
    for (struct kluis_str rest = content; html_next(&rest, &tag, &words);) {
        if (words.ptr != NULL || tag.name.ptr == NULL || tag.close) { continue; }
        if (html_is(&tag, "partlist")) { kind = html_attr(&tag, "type", t->scratch); }
        if (!html_is(&tag, "duration") || !html_next(&rest, &tag, &words) || words.ptr == NULL) { continue; }
        size_t whole = 0; /* seconds, with a fraction sometimes */
        while (whole < words.len && words.ptr[whole] >= '0' && words.ptr[whole] <= '9') { whole++; }
        struct json v = { .type = JSON_STRING, .text = { words.ptr, whole } };
        uint64_t s = 0;
        if (json_value_u64(&v, &s) && s > longest && s < 1000000000) { longest = s; }
    }
    b->r.event = kluis_str_is(kind, "missed")     ? KLUIS_STR_LIT("missed")
                 : kluis_str_is(kind, "declined") ? KLUIS_STR_LIT("declined")
                 : kluis_str_is(kind, "started")  ? KLUIS_STR_LIT("answered")
                 : kluis_str_is(kind, "ended")    ? KLUIS_STR_LIT("ended")
                                                  : KLUIS_STR_LIT("call");
    build_text(b, "call-type", kind);
    if (longest > 0) { build_number(b, "seconds", (int64_t)longest); }
    while (next_named(t, &xml, &list, &w)) { put_member(t, &w); }
    if (t->text.len > 0 && t->text.status == KLUIS_OK) {
        build_text(b, "member", kluis_arena_str(t->scratch, (struct kluis_str){ (const char *)t->text.data, t->text.len }));
    }
}

static void talk(struct teams *t, struct build *b, struct json *m, struct kluis_str type)
{
    struct kluis_str content = json_string(m, "content");
    struct json *properties = json_object(m, "properties");
    bool html = kluis_str_is(type, "RichText/Html");
    if (type.ptr == NULL || kluis_str_is(type, "Text")) {
        if (content.ptr != NULL) { build_body(b, content); }
    } else {
        teams_body_html(t, b, content, html);
        if (!html && !kluis_str_is(type, "RichText")) { build_text(b, "type", type); }
    }
    struct json *c = json_get(m, "content");
    if (c != NULL && c->damaged && b->r.text.ptr != NULL) { b->r.text_raw = (struct kluis_bytes){ (const uint8_t *)c->raw.ptr, c->raw.len }; }
    struct json *files = unpacked(t, properties, "files");
    for (struct json *f = files == NULL || files->type != JSON_ARRAY ? NULL : files->child; f != NULL; f = f->next) {
        struct kluis_str name = json_string(f, "fileName");
        teams_body_file(t, b, name.ptr != NULL ? name : json_string(f, "title"), absent(), json_string(f, "objectUrl"));
    }
}

struct target {
    struct kluis_str id;
    uint32_t author;
    struct kluis_when sent;
};

static kluis_status send_reaction(struct teams *t, struct kluis_str key, struct json *u, void *ctx, struct kluis_err *err)
{
    const struct target *to = ctx;
    struct build *b = &t->build;
    uint64_t ms = 0;
    build_new(b, t->scratch, KLUIS_REACTION);
    b->r.author = roster_called(&t->people, teams_id(json_string(u, "mri")));
    b->r.value = key.len == 0 ? KLUIS_STR_LIT("unknown") : teams_body_reaction(key);
    b->r.target = to->id;
    b->r.target_author = to->author;
    b->r.target_sent = to->sent;
    if (json_u64(u, "time", &ms) && ms > 0 && ms < UINT64_C(253402300800000)) {
        b->r.sent = (struct kluis_when){ build_ms((int64_t)ms), 0 };
    } else {
        build_loss(b, "time-unknown");
    }
    build_text(b, "reaction", key);
    build_rest(b, "teams", u);
    return build_send(b, t->sink, (struct kluis_bytes){ (const uint8_t *)u->raw.ptr, u->raw.len }, err);
}

static int64_t property_ms(struct json *m, const char *name)
{
    uint64_t ms = 0;
    return json_u64(json_object(m, "properties"), name, &ms) && ms > 0 && ms < UINT64_C(253402300800000) ? build_ms((int64_t)ms) : KLUIS_TIME_ABSENT;
}

kluis_status teams_personal_send(struct teams *t, const struct chat *c, struct json *m, struct kluis_str raw, struct kluis_err *err)
{
    struct build *b = &t->build;
    struct kluis_str type = json_string(m, "messagetype"), from = teams_id(json_string(m, "from")), name = sender_name(m);
    uint64_t ms = 0;
    t->chat = (uint32_t)(c - t->chats);
    build_new(b, t->scratch, KLUIS_MESSAGE);
    struct kluis_str number = json_text(m, "id");
    b->r.id = teams_message_id(t, c, number);
    teams_body_when(b, "date", json_text(m, "originalarrivaltime"));
    if (b->r.sent.us == KLUIS_TIME_ABSENT && json_u64(m, "id", &ms) && number.len == 13) { build_time(b, "id-states", build_ms((int64_t)ms)); }
    b->r.author = teams_party(t, from, name);
    bool plain = is_talk(type);
    int64_t edited = property_ms(m, "edittime"), deleted = property_ms(m, "deletetime");
    if (plain) {
        talk(t, b, m, type);
    } else if (kluis_str_is(type, "Event/Call")) {
        call(t, b, m);
    } else {
        event(t, b, m, type);
    }
    if (edited != KLUIS_TIME_ABSENT && b->r.n_times == 0) {
        build_number(b, "edited", 1);
        build_loss(b, "original-unknown");
        build_time(b, "edited", edited);
    }
    if (plain && b->r.author == KLUIS_NO_PARTY) { build_loss(b, "author-unknown"); }
    static const char *const said[] = { "conversationid", "version", "amsreferences" };
    static const char *const properties[] = { "emotions", "files", "edittime", "deletetime" };
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) { json_ignore(m, said[i]); }
    for (size_t i = 0; i < sizeof properties / sizeof *properties; i++) { json_ignore(json_object(m, "properties"), properties[i]); }
    build_rest(b, "teams", m);
    struct target to = { b->r.id, b->r.author, b->r.sent };
    bool content = b->r.text.ptr != NULL || b->r.n_attachments > 0 || !plain;
    if (deleted == KLUIS_TIME_ABSENT || content) {
        KLUIS_TRY(build_send(b, t->sink, (struct kluis_bytes){ (const uint8_t *)raw.ptr, raw.len }, err));
    }
    if (deleted != KLUIS_TIME_ABSENT) {
        build_new(b, t->scratch, KLUIS_DELETION);
        b->r.id = to.id.ptr == NULL ? to.id : build_fmt(t->scratch, "%.*s:deleted", (int)to.id.len, to.id.ptr);
        b->r.target = to.id;
        b->r.target_author = to.author;
        b->r.target_sent = to.sent;
        b->r.sent = (struct kluis_when){ deleted, 0 };
        if (!content) { build_loss(b, "original-unknown"); }
        KLUIS_TRY(build_send(b, t->sink, (struct kluis_bytes){ (const uint8_t *)raw.ptr, raw.len }, err));
    }
    return each_reaction(t, m, send_reaction, &to, err);
}
