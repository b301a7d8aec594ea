/* message.c - one message of a channel to records: itself, its edit or deletion, its reactions. */
#include "agent/source/slack/slack.h"

static struct kluis_str absent(void) { return (struct kluis_str){ NULL, 0 }; }

bool slack_is_message(struct json *m)
{
    return json_string(m, "ts").ptr != NULL && (json_get(m, "type") != NULL || json_get(m, "text") != NULL || json_get(m, "user") != NULL);
}

/* "1736478514.897649": never a floating number, for it is the message's identity. */
static bool moment(struct kluis_str ts, struct kluis_when *out)
{
    int64_t s = 0, us = 0;
    size_t i = 0, digits = 0;
    if (ts.ptr == NULL) { return false; }
    for (; i < ts.len && ts.ptr[i] >= '0' && ts.ptr[i] <= '9'; i++) {
        if (s > INT64_C(253402300799)) { return false; }
        s = s * 10 + (ts.ptr[i] - '0');
    }
    if (i == 0) { return false; }
    if (i < ts.len && ts.ptr[i] == '.') {
        for (i++; i < ts.len && ts.ptr[i] >= '0' && ts.ptr[i] <= '9'; i++, digits++) { us = digits < 6 ? us * 10 + (ts.ptr[i] - '0') : us; }
        for (; digits < 6; digits++) { us *= 10; }
    }
    if (i != ts.len || s > INT64_C(253402300799)) { return false; }
    *out = (struct kluis_when){ s * 1000000 + us / 1000 * 1000, 0 }; /* as fine as records are; the rest is in the id */
    return true;
}

static struct kluis_str id_of(struct slack *s, struct kluis_str ts)
{
    const struct kluis_str *c = &s->channel.id;
    return ts.len == 0 || ts.len > 40 || c->len > 200 ? absent() : build_fmt(s->scratch, "%.*s:%.*s", (int)c->len, c->ptr, (int)ts.len, ts.ptr);
}

/* ---- people ---------------------------------------------------------------------------------------------------------------------------- */

struct who {
    struct kluis_str id, name;
};
/* Under the name that the message shows; else under the one of today. */
static struct who who_of(const struct slack *s, struct json *m)
{
    struct json *p = json_object(m, "user_profile"), *bot = json_object(m, "bot_profile");
    struct who w = { json_string(m, "user"), json_string(p, "display_name") };
    if (w.name.ptr == NULL) { w.name = json_string(p, "real_name"); }
    if (w.name.ptr == NULL) { w.name = json_string(p, "name"); }
    if (w.id.ptr == NULL) {
        w = (struct who){ json_string(m, "bot_id"), json_string(m, "username") };
        if (w.name.ptr == NULL) { w.name = json_string(bot, "name"); }
    }
    const struct entry *u = w.name.ptr == NULL ? slack_user(s, w.id) : NULL;
    if (u != NULL) { w.name = u->name; }
    return w;
}

static uint32_t party(const struct slack *s, struct kluis_str id, struct kluis_str name)
{
    uint32_t exact = roster_find(&s->people, id, name);
    return exact != KLUIS_NO_PARTY || id.len == 0 ? exact : roster_called(&s->people, id);
}
static uint32_t party_by_id(const struct slack *s, struct kluis_str id)
{
    const struct entry *u = slack_user(s, id);
    return party(s, id, u == NULL ? absent() : u->name);
}
static void note_id(struct slack *s, struct kluis_str id)
{
    const struct entry *u = slack_user(s, id);
    if (id.len > 0 && roster_called(&s->people, id) == KLUIS_NO_PARTY) {
        (void)roster_note(&s->people, id, u == NULL ? absent() : u->name, absent());
    }
}

void slack_people(struct slack *s, struct json *m)
{
    struct who w = who_of(s, m);
    if (w.name.ptr != NULL || roster_called(&s->people, w.id) == KLUIS_NO_PARTY) { (void)roster_note(&s->people, w.id, w.name, absent()); }
    struct json *reactions = json_array(m, "reactions"), *room = json_object(m, "room"), *replies = json_array(m, "slackdump_thread_replies");
    for (struct json *r = reactions == NULL ? NULL : reactions->child; r != NULL; r = r->next) {
        struct json *users = json_array(r, "users");
        for (struct json *u = users == NULL ? NULL : users->child; u != NULL; u = u->next) {
            if (u->type == JSON_STRING) { note_id(s, u->text); }
        }
    }
    note_id(s, json_string(m, "inviter"));
    note_id(s, json_string(json_object(m, "edited"), "user"));
    static const char *const inner[] = { "message", "previous_message" };
    for (size_t i = 0; i < 2; i++) {
        struct json *o = json_object(m, inner[i]);
        if (o == NULL) { continue; }
        w = who_of(s, o);
        if (w.name.ptr != NULL || roster_called(&s->people, w.id) == KLUIS_NO_PARTY) { (void)roster_note(&s->people, w.id, w.name, absent()); }
        note_id(s, json_string(json_object(o, "edited"), "user"));
    }
    note_id(s, json_string(room, "created_by"));
    for (struct json *r = replies == NULL ? NULL : replies->child; r != NULL; r = r->next) { slack_people(s, r); } /* those have none below */
}

/* ---- files ------------------------------------------------------------------------------------------------------------------------------- */

/* Slack's own exports hold no files; who adds them names them after their id. */
static uint32_t file_of(struct slack *s, struct kluis_str id, struct kluis_str name)
{
    if (id.len == 0 || id.len > 64 || name.len > 512) { return FILESET_NONE; }
    struct kluis_str path =
        build_fmt(s->scratch, "%s__uploads/%.*s/%.*s", s->root, (int)id.len, id.ptr, (int)name.len, name.ptr == NULL ? "" : name.ptr);
    uint32_t i = fileset_find(&s->files, path);
    if (i != FILESET_NONE) { return i; }
    struct kluis_str prefix = build_fmt(s->scratch, "%.*s-", (int)id.len, id.ptr);
    uint32_t k = prefix.ptr == NULL ? s->files.n : fileset_base_from(&s->files, prefix);
    if (k < s->files.n && strncmp(fileset_base(s->files.list[s->files.by_base[k]].name), prefix.ptr, prefix.len) == 0) { return s->files.by_base[k]; }
    return FILESET_NONE;
}

static void file(struct slack *s, struct build *b, struct json *f)
{
    struct kluis_attachment *a = build_attachment(b);
    struct kluis_str id = json_string(f, "id"), name = json_string(f, "name"), mode = json_string(f, "mode"), access = json_string(f, "file_access");
    struct kluis_str url = json_string(f, "url_private"), title = json_string(f, "title");
    uint64_t size = 0;
    if (a == NULL) { return; }
    a->name = build_base_name(name.ptr != NULL ? name : title);
    if (a->name.len == 0) { a->name = absent(); }
    struct kluis_str type = json_string(f, "mimetype");
    a->type = type.ptr != NULL && memchr(type.ptr, '/', type.len) != NULL ? type : absent();
    if (json_u64(f, "size", &size) && size <= (uint64_t)KLUIS_INT_MAX_JSON) { a->size = (int64_t)size; }
    uint32_t i = file_of(s, id, name);
    size_t n = b->r.n_attachments;
    if (i != FILESET_NONE) {
        const struct fileset_entry *e = &s->files.list[i];
        a->source_ref = kluis_str_of(e->name);
        if (e->size != FILESET_SIZE_UNKNOWN && e->size <= (uint64_t)KLUIS_INT_MAX_JSON) { a->size = (int64_t)e->size; }
    } else {
        a->loss = kluis_str_is(mode, "tombstone")         ? KLUIS_STR_LIT("deleted")
                  : kluis_str_is(mode, "hidden_by_limit") ? KLUIS_STR_LIT("hidden-by-limit")
                  : kluis_str_is(access, "access_denied") ? KLUIS_STR_LIT("no-access")
                  : url.ptr != NULL                       ? KLUIS_STR_LIT("linked")
                                                          : KLUIS_STR_LIT("missing");
    }
    const char *q = url.ptr == NULL ? NULL : memchr(url.ptr, '?', url.len); /* behind it stands a token that opens the workspace's files */
    build_text(b, build_fmt(s->scratch, "attachment-%zu.url", n).ptr, q == NULL ? url : (struct kluis_str){ url.ptr, (size_t)(q - url.ptr) });
    build_text(b, build_fmt(s->scratch, "attachment-%zu.id", n).ptr, id);
    if (name.ptr != NULL && !kluis_str_eq(title, name)) { build_text(b, build_fmt(s->scratch, "attachment-%zu.title", n).ptr, title); }
}

/* ---- what a message says --------------------------------------------------------------------------------------------------------------------- */

static struct kluis_str kept(struct slack *s, const struct kluis_buf *b)
{
    return b->len == 0 || b->status != KLUIS_OK ? absent() : kluis_arena_str(s->scratch, (struct kluis_str){ (const char *)b->data, b->len });
}

static void says(struct slack *s, struct build *b, struct json *m)
{
    struct json *blocks = json_array(m, "blocks"), *list = json_array(m, "attachments"), *files = json_array(m, "files"), *t = json_get(m, "text");
    struct kluis_str text = json_string(m, "text");
    kluis_buf_clear(&s->text);
    kluis_buf_clear(&s->other);
    slack_text(s, text, &s->text);
    if (s->text.len == 0 || slack_blocks_say_more(blocks)) { slack_blocks(s, blocks, &s->other); }
    struct kluis_str body = kept(s, &s->text), more = kept(s, &s->other);
    if (body.ptr == NULL) {
        body = more;
        more = absent();
    }
    if (s->text.status != KLUIS_OK || s->other.status != KLUIS_OK) { build_loss(b, "text-cut"); }
    if (more.ptr != NULL && !kluis_str_eq(more, body)) { build_text(b, "blocks", more); }
    unsigned n = 0;
    for (struct json *a = list == NULL ? NULL : list->child; a != NULL; a = a->next) {
        kluis_buf_clear(&s->other);
        bool share = json_true(a, "is_share") || json_true(a, "is_msg_unfurl");
        struct kluis_str channel = json_string(a, "channel_id"), ts = json_string(a, "ts");
        if (share && b->r.quote.ptr == NULL) { /* a message of elsewhere, shown here */
            slack_text(s, json_string(a, "text"), &s->other);
            b->r.quote = kept(s, &s->other);
            build_number(b, "forwarded", 1);
            build_text(b, "forwarded-from", json_string(a, "author_name"));
            if (channel.ptr != NULL && ts.ptr != NULL && channel.len < 64 && ts.len < 64) {
                build_text(b, "forwarded-id", build_fmt(s->scratch, "%.*s:%.*s", (int)channel.len, channel.ptr, (int)ts.len, ts.ptr));
            }
            continue;
        }
        slack_unfurl(s, a, &s->other);
        struct kluis_str shown = kept(s, &s->other);
        if (body.ptr == NULL) {
            body = shown;
        } else {
            build_text(b, build_fmt(s->scratch, "shown-%u", ++n).ptr, shown);
        }
    }
    if (body.ptr != NULL) { build_body(b, body); }
    if (t != NULL && t->damaged && b->r.text.ptr != NULL) { b->r.text_raw = (struct kluis_bytes){ (const uint8_t *)t->raw.ptr, t->raw.len }; }
    for (struct json *f = files == NULL ? NULL : files->child; f != NULL; f = f->next) { file(s, b, f); }
    (void)json_whole(blocks);
    (void)json_whole(list);
    (void)json_whole(files);
}

static void edited(struct build *b, struct json *m)
{
    struct json *e = json_object(m, "edited");
    struct kluis_when w = { KLUIS_TIME_ABSENT, 0 };
    if (e == NULL) { return; }
    build_number(b, "edited", 1);
    build_loss(b, "original-unknown");
    if (moment(json_text(e, "ts"), &w)) { build_time(b, "edited", w.us); }
    (void)json_whole(e);
}

static void rest(struct build *b, struct json *m)
{
    static const char *const said[] = { "type",
                                        "ts",
                                        "team",
                                        "user_team",
                                        "source_team",
                                        "replace_original",
                                        "delete_original",
                                        "metadata",
                                        "user_profile",
                                        "bot_profile",
                                        "reply_count",
                                        "replies",
                                        "latest_reply",
                                        "reply_users",
                                        "reply_users_count",
                                        "last_read",
                                        "subscribed",
                                        "is_locked",
                                        "reactions",
                                        "upload",
                                        "display_as_bot",
                                        "user",
                                        "bot_id",
                                        "app_id",
                                        "client_msg_id",
                                        "hidden",
                                        "icons",
                                        "x_files",
                                        "text",
                                        "username",
                                        "message",
                                        "previous_message",
                                        "slackdump_thread_replies",
                                        "parent_user_id",
                                        "root",
                                        "thread_ts",
                                        "subtype",
                                        "edited",
                                        "event_ts",
                                        "channel",
                                        "deleted_ts" };
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) { json_ignore(m, said[i]); }
    build_rest(b, "slack", m);
}

/* ---- events -------------------------------------------------------------------------------------------------------------------------------------
 */

static bool ends(struct kluis_str s, const char *end)
{
    size_t n = strlen(end);
    return s.len >= n && memcmp(s.ptr + s.len - n, end, n) == 0;
}

static bool is_talk(struct kluis_str subtype)
{
    static const char *const talk[] = { "me_message",           "bot_message",     "file_share",        "file_comment", "file_mention",
                                        "thread_broadcast",     "reply_broadcast", "slackbot_response", "reminder_add", "document_mention",
                                        "assistant_app_thread", "sh_room_shared",  "bot_reply" };
    for (size_t i = 0; i < sizeof talk / sizeof *talk; i++) {
        if (kluis_str_is(subtype, talk[i])) { return true; }
    }
    return subtype.ptr == NULL;
}

static void event(struct slack *s, struct build *b, struct json *m, struct kluis_str subtype)
{
    static const struct {
        const char *end, *event;
    } known[] = { { "_join", "member-joined" },
                  { "_leave", "member-left" },
                  { "_topic", "description-changed" },
                  { "_purpose", "description-changed" },
                  { "_name", "subject-changed" },
                  { "_archive", "settings-changed" },
                  { "_unarchive", "settings-changed" },
                  { "pinned_item", "message-pinned" },
                  { "unpinned_item", "message-unpinned" },
                  { "_convert_to_private", "settings-changed" },
                  { "_convert_to_public", "settings-changed" },
                  { "_posting_permissions", "settings-changed" },
                  { "bot_add", "member-added" },
                  { "bot_remove", "member-removed" } };
    struct kluis_str inviter = json_string(m, "inviter");
    struct json *room = json_object(m, "room");
    b->r.kind = KLUIS_EVENT;
    b->r.event = KLUIS_STR_LIT("unknown");
    build_text(b, "type", subtype);
    if (kluis_str_is(subtype, "ekm_access_denied")) {
        b->r.kind = KLUIS_GAP;
        b->r.event = KLUIS_STR_LIT("no-key");
        build_loss(b, "content-unknown");
    } else if (kluis_str_is(subtype, "huddle_thread") || kluis_str_is(subtype, "sh_room_created")) {
        uint64_t from = 0, to = 0;
        b->r.kind = KLUIS_CALL;
        b->r.value = KLUIS_STR_LIT("audio");
        build_loss(b, "video-unknown");
        bool began = json_u64(room, "date_start", &from), ended = json_u64(room, "date_end", &to) && to > 0;
        b->r.event = ended ? KLUIS_STR_LIT("ended") : KLUIS_STR_LIT("call");
        if (began && ended && to >= from && to - from < 1000000000) { build_number(b, "seconds", (int64_t)(to - from)); }
        struct json *people = json_array(room, "participant_history");
        kluis_buf_clear(&s->other);
        for (struct json *p = people == NULL ? NULL : people->child; p != NULL; p = p->next) {
            const struct entry *u = p->type == JSON_STRING ? slack_user(s, p->text) : NULL;
            if (s->other.len > 0) { kluis_buf_cstr(&s->other, ", "); }
            kluis_buf_str(&s->other, u != NULL && u->name.ptr != NULL ? u->name : p->text);
        }
        build_text(b, "member", kept(s, &s->other));
        (void)json_whole(room);
    }
    for (size_t i = 0; b->r.kind == KLUIS_EVENT && i < sizeof known / sizeof *known; i++) {
        if (ends(subtype, known[i].end)) { b->r.event = kluis_str_of(known[i].event); }
    }
    if (kluis_str_is(b->r.event, "member-joined") || kluis_str_is(b->r.event, "member-left")) {
        struct who w = who_of(s, m);
        build_text(b, "member", w.name.ptr != NULL ? w.name : w.id);
    }
    if (kluis_str_is(b->r.event, "member-joined") && inviter.ptr != NULL) {
        b->r.event = KLUIS_STR_LIT("member-added");
        b->r.author = party_by_id(s, inviter);
    }
    static const char *const after[] = { "topic", "purpose", "name" };
    for (size_t i = 0; i < 3 && b->r.kind == KLUIS_EVENT; i++) {
        struct kluis_str v = json_string(m, after[i]);
        if (v.ptr == NULL) { continue; }
        kluis_buf_clear(&s->other);
        slack_text(s, v, &s->other);
        build_text(b, "after", kept(s, &s->other));
    }
    build_text(b, "before", json_string(m, "old_name"));
}

/* ---- a message ------------------------------------------------------------------------------------------------------------------------------------
 */

static void at_once(struct slack *s, struct build *b, struct json *m)
{
    struct kluis_str ts = json_text(m, "ts");
    struct who w = who_of(s, m);
    b->r.id = id_of(s, ts);
    b->r.author = party(s, w.id, w.name);
    b->r.zone = KLUIS_ZONE_STATED;
    if (!moment(ts, &b->r.sent)) {
        build_loss(b, "time-unknown");
        build_text(b, "date", ts);
    }
}

static kluis_status send(struct slack *s, struct kluis_str raw, struct kluis_err *err)
{
    return build_send(&s->build, s->sink, (struct kluis_bytes){ (const uint8_t *)raw.ptr, raw.len }, err);
}

static kluis_status reactions(struct slack *s, struct json *m, struct kluis_str id, uint32_t author, struct kluis_when sent, struct kluis_err *err)
{
    struct json *list = json_array(m, "reactions");
    for (struct json *r = list == NULL ? NULL : list->child; r != NULL; r = r->next) {
        struct json *users = json_array(r, "users");
        struct kluis_str name = json_string(r, "name");
        const int shown = name.ptr == NULL ? 0 : (int)kluis_utf8_valid(name.ptr, name.len > 200 ? 200 : name.len); /* no character is cut */
        for (struct json *u = users == NULL ? NULL : users->child; u != NULL; u = u->next) {
            struct build *b = &s->build;
            if (u->type != JSON_STRING) { continue; }
            build_new(b, s->scratch, KLUIS_REACTION);
            b->r.author = party_by_id(s, u->text);
            b->r.value = build_fmt(s->scratch, ":%.*s:", shown, name.ptr == NULL ? "" : name.ptr);
            b->r.target = id;
            b->r.target_author = author;
            b->r.target_sent = sent;
            b->r.zone = KLUIS_ZONE_STATED;
            build_loss(b, "time-unknown");
            KLUIS_TRY(send(s, r->raw, err));
        }
    }
    return KLUIS_OK;
}

static void count_reactions(struct slack *s, struct build *b, struct json *m)
{
    struct json *list = json_array(m, "reactions");
    for (struct json *r = list == NULL ? NULL : list->child; r != NULL; r = r->next) {
        struct json *users = json_array(r, "users");
        struct kluis_str name = json_string(r, "name");
        uint64_t count = 0, told = 0;
        for (struct json *u = users == NULL ? NULL : users->child; u != NULL; u = u->next) { told++; }
        if (!json_u64(r, "count", &count) || count <= told || name.ptr == NULL || name.len > 200) { continue; }
        build_loss(b, "reactors-unknown");
        struct kluis_str field = build_fmt(s->scratch, "reactions.:%.*s:", (int)name.len, name.ptr);
        if (field.ptr != NULL && kluis_utf8_valid(field.ptr, field.len) == field.len) {
            build_number(b, field.ptr, count > INT64_MAX ? INT64_MAX : (int64_t)count);
        }
    }
}

static kluis_status talk(struct slack *s, struct json *m, struct kluis_str raw, struct kluis_err *err)
{
    struct build *b = &s->build;
    struct kluis_str subtype = json_string(m, "subtype"), ts = json_text(m, "ts"), thread = json_text(m, "thread_ts");
    build_new(b, s->scratch, KLUIS_MESSAGE);
    at_once(s, b, m);
    if (thread.ptr != NULL && !kluis_str_eq(thread, ts)) { b->r.target = id_of(s, thread); }
    says(s, b, m);
    if (is_talk(subtype)) {
        if (b->r.author == KLUIS_NO_PARTY) { build_loss(b, "author-unknown"); }
        if (!kluis_str_is(subtype, "file_share")) { build_text(b, "subtype", subtype); }
        struct kluis_str bot = json_string(json_object(m, "bot_profile"), "name"); /* a program that wrote in somebody's name */
        if (json_string(m, "user").ptr != NULL) { build_text(b, "bot", bot); }
        edited(b, m);
        count_reactions(s, b, m);
    } else {
        event(s, b, m, subtype);
    }
    struct kluis_str id = b->r.id;
    uint32_t author = b->r.author;
    struct kluis_when sent = b->r.sent;
    rest(b, m);
    KLUIS_TRY(send(s, raw, err));
    return reactions(s, m, id, author, sent, err);
}

/* Exports with edits and deletions, which an owner can ask Slack for, have what was before. */
static kluis_status changed(struct slack *s, struct json *m, struct kluis_str raw, struct kluis_err *err)
{
    struct build *b = &s->build;
    struct json *now = json_object(m, "message"), *before = json_object(m, "previous_message");
    build_new(b, s->scratch, KLUIS_EDIT);
    at_once(s, b, m);
    struct who w = who_of(s, now);
    uint32_t by = party_by_id(s, json_string(json_object(now, "edited"), "user"));
    b->r.author = by != KLUIS_NO_PARTY ? by : party(s, w.id, w.name);
    b->r.target = id_of(s, json_text(now, "ts"));
    b->r.target_author = party(s, w.id, w.name);
    (void)moment(json_text(now, "ts"), &b->r.target_sent);
    kluis_buf_clear(&s->text);
    slack_text(s, json_string(before, "text"), &s->text);
    build_text(b, "before", kept(s, &s->text));
    says(s, b, now);
    rest(b, m);
    return send(s, raw, err);
}

static kluis_status deleted(struct slack *s, struct json *m, struct kluis_str raw, bool tombstone, struct kluis_err *err)
{
    struct build *b = &s->build;
    struct json *before = json_object(m, "previous_message");
    struct kluis_str ts = json_text(m, tombstone ? "ts" : "deleted_ts");
    if (before != NULL && json_text(before, "ts").ptr != NULL) { KLUIS_TRY(talk(s, before, before->raw, err)); } /* what it said is here alone */
    struct who w = who_of(s, before);
    build_new(b, s->scratch, KLUIS_DELETION);
    if (tombstone) {
        struct kluis_str of = id_of(s, ts);
        b->r.id = of.ptr == NULL ? of : build_fmt(s->scratch, "%.*s:deleted", (int)of.len, of.ptr);
        b->r.zone = KLUIS_ZONE_STATED;
        build_loss(b, "time-unknown");
    } else {
        at_once(s, b, m);
        b->r.author = party_by_id(s, json_string(m, "user"));
    }
    b->r.target = id_of(s, ts.ptr != NULL ? ts : json_text(before, "ts"));
    if (before != NULL) { b->r.target_author = party(s, w.id, w.name); }
    (void)moment(ts, &b->r.target_sent);
    if (before == NULL) { build_loss(b, "original-unknown"); }
    rest(b, m);
    return send(s, raw, err);
}

kluis_status slack_send(struct slack *s, struct json *m, struct kluis_str raw, struct kluis_err *err)
{
    struct kluis_str subtype = json_string(m, "subtype");
    struct json *replies = json_array(m, "slackdump_thread_replies");
    kluis_status rc;
    if (kluis_str_is(subtype, "message_changed") && json_object(m, "message") != NULL) {
        rc = changed(s, m, raw, err);
    } else if (kluis_str_is(subtype, "tombstone") || kluis_str_is(subtype, "message_deleted")) {
        rc = deleted(s, m, raw, kluis_str_is(subtype, "tombstone"), err);
    } else {
        rc = talk(s, m, raw, err);
    }
    KLUIS_TRY(rc);
    for (struct json *r = replies == NULL ? NULL : replies->child; r != NULL; r = r->next) {
        if (r->type == JSON_OBJECT && slack_is_message(r) && !kluis_str_eq(json_text(r, "ts"), json_text(m, "ts"))) {
            KLUIS_TRY(slack_send(s, r, r->raw, err));
        }
    }
    return KLUIS_OK;
}
