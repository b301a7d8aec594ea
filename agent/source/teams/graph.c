/* graph.c - one chatMessage of Microsoft Graph (learn.microsoft.com/graph/api/resources/chatmessage), and what else its pages hold of chats. */
#include "agent/source/teams/teams.h"

static struct kluis_str absent(void) { return (struct kluis_str){ NULL, 0 }; }

bool teams_graph_is_one(struct json *m)
{
    if (json_get(m, "id") == NULL) { return false; }
    return json_get(m, "messageType") != NULL || json_get(m, "chatType") != NULL || json_get(m, "membershipType") != NULL ||
           (json_get(m, "createdDateTime") != NULL && json_get(m, "body") != NULL);
}

/* ---- people: an identitySet or an identity ------------------------------------------------------------------------------------- */

struct who {
    struct kluis_str id, name;
};
static struct who who_of(struct json *set)
{
    static const char *const kinds[] = { "user", "application", "device", "conversation" };
    struct who w = { absent(), absent() };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && w.id.ptr == NULL && w.name.ptr == NULL; i++) {
        struct json *o = json_object(set, kinds[i]);
        w = (struct who){ json_string(o, "id"), json_string(o, "displayName") };
    }
    if (w.id.ptr == NULL && w.name.ptr == NULL) { w = (struct who){ json_string(set, "id"), json_string(set, "displayName") }; }
    return w;
}
static uint32_t party_of(const struct teams *t, struct json *set)
{
    struct who w = who_of(set);
    return teams_party(t, w.id, w.name);
}

/* ---- pass 1 ---------------------------------------------------------------------------------------------------------------------- */

static kluis_status note(struct teams *t, uint32_t chat, struct json *set, struct kluis_err *err)
{
    struct who w = who_of(set);
    return teams_chat_person(t, chat, w.id, w.name, err);
}

/* A chat or channel as Graph describes it. */
static kluis_status note_chat(struct teams *t, struct json *m, struct kluis_err *err)
{
    static const struct {
        const char *word;
        enum kluis_conversation_type type;
    } types[] = { { "oneOnOne", KLUIS_DIRECT }, { "group", KLUIS_GROUP }, { "meeting", KLUIS_GROUP } };
    uint32_t chat = 0;
    int type = json_get(m, "membershipType") != NULL ? KLUIS_CHANNEL : -1;
    struct kluis_str word = json_string(m, "chatType"), topic = json_string(m, "topic");
    struct json *members = json_array(m, "members");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (kluis_str_is(word, types[i].word)) { type = (int)types[i].type; }
    }
    KLUIS_TRY(teams_chat_find(t, json_string(m, "id"), &chat, err));
    teams_chat_call(t, chat, topic.ptr != NULL ? topic : json_string(m, "displayName"), type);
    for (struct json *p = members == NULL ? NULL : members->child; p != NULL; p = p->next) {
        KLUIS_TRY(teams_chat_person(t, chat, json_string(p, "userId"), json_string(p, "displayName"), err));
    }
    return KLUIS_OK;
}

kluis_status teams_graph_note(struct teams *t, struct json *m, uint64_t at, uint64_t bytes, struct kluis_err *err)
{
    uint32_t chat = 0;
    struct json *channel = json_object(m, "channelIdentity"), *detail = json_object(m, "eventDetail");
    struct kluis_str id = json_string(m, "chatId");
    if (json_get(m, "messageType") == NULL && (json_get(m, "chatType") != NULL || json_get(m, "membershipType") != NULL)) {
        return json_string(m, "id").ptr == NULL ? KLUIS_OK : note_chat(t, m, err);
    }
    if (id.ptr == NULL) { id = json_string(channel, "channelId"); }
    if (id.ptr == NULL) { id = build_fmt(t->scratch, "unnumbered-%s", t->files.list[t->file].name); }
    if (id.ptr == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    KLUIS_TRY(teams_chat_find(t, id, &chat, err));
    t->chat = chat;
    if (channel != NULL && !t->chats[chat].named) { teams_chat_call(t, chat, absent(), KLUIS_CHANNEL); }
    KLUIS_TRY(note(t, chat, json_object(m, "from"), err));
    if (detail != NULL) {
        struct json *members = json_array(detail, "members");
        struct kluis_str name = json_string(detail, "chatDisplayName");
        KLUIS_TRY(note(t, chat, json_object(detail, "initiator"), err));
        for (struct json *p = members == NULL ? NULL : members->child; p != NULL; p = p->next) {
            KLUIS_TRY(teams_chat_person(t, chat, json_string(p, "id"), json_string(p, "displayName"), err));
        }
        if (name.ptr != NULL && t->chats[chat].name.ptr == NULL) { teams_chat_call(t, chat, name, -1); }
    }
    static const char *const lists[] = { "reactions", "messageHistory" };
    for (size_t i = 0; i < 2; i++) {
        struct json *list = json_array(m, lists[i]);
        for (struct json *r = list == NULL ? NULL : list->child; r != NULL; r = r->next) {
            struct json *one = i == 0 ? r : json_object(r, "reaction");
            KLUIS_TRY(note(t, chat, json_object(one, "user"), err));
        }
    }
    return teams_chat_put(t, chat, at, bytes, false, err);
}

/* ---- pass 2: attachments ------------------------------------------------------------------------------------------------------------ */

/* A reply quotes a message, a forward holds one: their content is JSON in a string. */
static void reference(struct teams *t, struct build *b, const struct chat *c, struct json *a, bool forwarded)
{
    struct json *content = json_get(a, "content"), *v = NULL;
    if (content == NULL || content->type != JSON_STRING || json_read_loose(content->text, t->scratch, &v, NULL) != KLUIS_OK) {
        if (content != NULL) { content->used = 0; }
        return;
    }
    struct kluis_str id = json_text(v, forwarded ? "originalMessageId" : "messageId");
    struct kluis_str words = json_string(v, forwarded ? "originalMessageContent" : "messagePreview");
    struct json *sender = json_object(v, forwarded ? "originalMessageSender" : "messageSender");
    struct who w = who_of(sender);
    if (words.ptr != NULL && b->r.quote.ptr == NULL) {
        kluis_buf_clear(&t->quote);
        html_text(words, false, NULL, &t->quote, NULL);
        if (t->quote.status == KLUIS_OK) {
            b->r.quote = kluis_arena_str(t->scratch, (struct kluis_str){ (const char *)t->quote.data, t->quote.len });
        }
    }
    if (!forwarded) {
        if (b->r.target.ptr == NULL) { b->r.target = teams_message_id(t, c, id); }
        b->r.target_author = teams_party(t, w.id, w.name);
        return;
    }
    build_number(b, "forwarded", 1);
    build_text(b, "forwarded-from", w.name.ptr != NULL ? w.name : w.id);
    build_text(b, "forwarded-sent", json_text(v, "originalSentDateTime"));
    build_text(b, "forwarded-id", id);
    build_text(b, "forwarded-conversation", json_text(v, "originalConversationId"));
}

static void attachment(struct teams *t, struct build *b, const struct chat *c, struct json *a)
{
    struct kluis_str type = json_string(a, "contentType"), url = json_string(a, "contentUrl"), name = json_string(a, "name");
    struct json *content = json_get(a, "content");
    bool is_card = type.ptr != NULL && memmem(type.ptr, type.len, ".card.", 6) != NULL;
    json_ignore(a, "id"); /* where in the HTML it stands */
    if (kluis_str_is(type, "messageReference") || kluis_str_is(type, "forwardedMessageReference")) {
        reference(t, b, c, a, kluis_str_is(type, "forwardedMessageReference"));
        return;
    }
    if (is_card && content != NULL && content->type == JSON_STRING) {
        teams_body_card(t, content->text);
        struct kluis_str shown = kluis_arena_str(t->scratch, (struct kluis_str){ (const char *)t->text.data, t->text.len });
        if (t->text.len > 0 && shown.ptr != NULL && b->r.text.ptr == NULL) {
            build_body(b, shown);
        } else if (t->text.len > 0) {
            build_text(b, "card", shown);
        }
        build_text(b, "card-type", type);
        content->used = 0; /* and the card itself among the rest */
        return;
    }
    if (url.ptr == NULL && name.ptr == NULL) {
        struct json *kind = json_get(a, "contentType");
        if (kind != NULL) { kind->used = 0; }
        if (content != NULL) { content->used = 0; }
        return;
    }
    bool media = type.ptr != NULL && memchr(type.ptr, '/', type.len) != NULL;
    teams_body_file(t, b, name, media ? type : absent(), url);
    if (!media) { build_text(b, "attachment-type", type); }
}

/* ---- pass 2: events --------------------------------------------------------------------------------------------------------------------- */

static void event(struct teams *t, struct build *b, struct json *m, struct json *detail)
{
    static const struct {
        const char *type, *event;
    } known[] = { { "membersAdded", "member-added" },
                  { "membersDeleted", "member-removed" },
                  { "membersJoined", "member-joined" },
                  { "membersLeft", "member-left" },
                  { "conversationMemberRoleUpdated", "admin-changed" },
                  { "chatRenamed", "subject-changed" },
                  { "channelRenamed", "subject-changed" },
                  { "teamRenamed", "subject-changed" },
                  { "channelDescriptionUpdated", "description-changed" },
                  { "teamDescriptionUpdated", "description-changed" },
                  { "channelAdded", "group-created" },
                  { "teamCreated", "group-created" },
                  { "messagePinned", "message-pinned" },
                  { "messageUnpinned", "message-unpinned" },
                  { "meetingPolicyUpdated", "settings-changed" },
                  { "tabUpdated", "settings-changed" },
                  { "teamArchived", "settings-changed" },
                  { "teamUnarchived", "settings-changed" },
                  { "teamJoiningEnabled", "settings-changed" },
                  { "teamJoiningDisabled", "settings-changed" },
                  { "callRecording", "call-recorded" },
                  { "callTranscript", "call-transcribed" } };
    static const char head[] = "#microsoft.graph.", tail[] = "EventMessageDetail";
    struct kluis_str type = json_string(detail, "@odata.type"), word = type;
    size_t h = sizeof head - 1, n = sizeof tail - 1;
    if (word.len > h + n && memcmp(word.ptr, head, h) == 0 && memcmp(word.ptr + word.len - n, tail, n) == 0) {
        word = (struct kluis_str){ word.ptr + h, word.len - h - n };
    }
    b->r.kind = KLUIS_EVENT;
    b->r.event = KLUIS_STR_LIT("unknown");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (kluis_str_is(word, known[i].type)) { b->r.event = kluis_str_of(known[i].event); }
    }
    bool started = kluis_str_is(word, "callStarted"), ended = kluis_str_is(word, "callEnded");
    if (started || ended) {
        b->r.kind = KLUIS_CALL;
        b->r.event = ended ? KLUIS_STR_LIT("ended") : KLUIS_STR_LIT("answered");
        b->r.value = KLUIS_STR_LIT("audio"); /* whether it had video is not told */
        build_loss(b, "video-unknown");
        build_text(b, "duration", json_string(detail, "callDuration"));
    }
    build_text(b, "action", word.ptr != NULL ? word : json_string(m, "messageType"));
    struct json *initiator = json_object(detail, "initiator"), *members = json_array(detail, "members");
    uint32_t by = party_of(t, initiator);
    if (by != KLUIS_NO_PARTY) { b->r.author = by; }
    kluis_buf_clear(&t->text);
    for (struct json *p = members == NULL ? NULL : members->child; p != NULL; p = p->next) {
        struct kluis_str name = json_string(p, "displayName"), id = json_string(p, "id");
        if (t->text.len > 0) { kluis_buf_cstr(&t->text, ", "); }
        kluis_buf_str(&t->text, name.ptr != NULL ? name : id);
    }
    if (t->text.len > 0 && t->text.status == KLUIS_OK) {
        build_text(b, "member", kluis_arena_str(t->scratch, (struct kluis_str){ (const char *)t->text.data, t->text.len }));
    }
    static const char *const names[] = { "chatDisplayName", "channelDisplayName", "teamDisplayName", "channelDescription", "teamDescription" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct kluis_str v = json_string(detail, names[i]);
        if (v.ptr != NULL) {
            build_text(b, kluis_str_is(b->r.event, "subject-changed") || kluis_str_is(b->r.event, "description-changed") ? "after" : names[i], v);
        }
    }
}

/* ---- pass 2: a message ------------------------------------------------------------------------------------------------------------------ */

static kluis_status reaction(struct teams *t, struct json *r, struct kluis_str id, uint32_t author, struct kluis_when sent, struct kluis_str when,
                             bool removed, struct kluis_err *err)
{
    struct build *b = &t->build;
    struct kluis_str word = json_string(r, "reactionType"), name = json_string(r, "displayName");
    build_new(b, t->scratch, KLUIS_REACTION);
    b->r.author = party_of(t, json_object(r, "user"));
    b->r.value = word.ptr == NULL ? KLUIS_STR_LIT("unknown") : kluis_str_is(word, "custom") && name.ptr != NULL ? name : teams_body_reaction(word);
    b->r.target = id;
    b->r.target_author = author;
    b->r.target_sent = sent;
    teams_body_when(b, "date", when.ptr != NULL ? when : json_string(r, "createdDateTime"));
    if (removed) { build_number(b, "removed", 1); }
    build_text(b, "reaction", word);
    build_rest(b, "teams", r);
    return build_send(b, t->sink, (struct kluis_bytes){ (const uint8_t *)r->raw.ptr, r->raw.len }, err);
}

static kluis_status reactions(struct teams *t, struct json *m, struct kluis_str id, uint32_t author, struct kluis_when sent, struct kluis_err *err)
{
    struct json *list = json_array(m, "reactions"), *history = json_array(m, "messageHistory");
    for (struct json *r = list == NULL ? NULL : list->child; r != NULL; r = r->next) {
        KLUIS_TRY(reaction(t, r, id, author, sent, absent(), false, err));
    }
    for (struct json *h = history == NULL ? NULL : history->child; h != NULL; h = h->next) { /* those that were taken back are only here */
        struct kluis_str what = json_string(h, "actions");
        struct json *r = json_object(h, "reaction");
        if (r == NULL || what.ptr == NULL || memmem(what.ptr, what.len, "reactionRemoved", 15) == NULL) { continue; }
        KLUIS_TRY(reaction(t, r, id, author, sent, json_string(h, "modifiedDateTime"), true, err));
    }
    return KLUIS_OK;
}

static kluis_status deletion(struct teams *t, struct json *m, struct kluis_str id, uint32_t author, struct kluis_when sent, bool content,
                             struct kluis_str raw, struct kluis_err *err)
{
    struct build *b = &t->build;
    build_new(b, t->scratch, KLUIS_DELETION);
    b->r.id = id.ptr == NULL ? id : build_fmt(t->scratch, "%.*s:deleted", (int)id.len, id.ptr);
    b->r.target = id;
    b->r.target_author = author;
    b->r.target_sent = sent;
    teams_body_when(b, "deleted", json_text(m, "deletedDateTime"));
    if (!content) { build_loss(b, "original-unknown"); }
    return build_send(b, t->sink, (struct kluis_bytes){ (const uint8_t *)raw.ptr, raw.len }, err);
}

kluis_status teams_graph_send(struct teams *t, const struct chat *c, struct json *m, struct kluis_str raw, struct kluis_err *err)
{
    struct build *b = &t->build;
    t->chat = (uint32_t)(c - t->chats);
    build_new(b, t->scratch, KLUIS_MESSAGE);
    struct kluis_str number = json_text(m, "id"), type = json_string(m, "messageType"), reply = json_text(m, "replyToId");
    struct json *detail = json_object(m, "eventDetail"), *body = json_object(m, "body"), *list = json_array(m, "attachments");
    uint64_t ms = 0;
    b->r.id = teams_message_id(t, c, number);
    teams_body_when(b, "date", json_text(m, "createdDateTime"));
    if (b->r.sent.us == KLUIS_TIME_ABSENT && json_u64(m, "id", &ms) && number.len == 13) { build_time(b, "id-states", build_ms((int64_t)ms)); }
    b->r.author = party_of(t, json_object(m, "from"));
    if (reply.ptr != NULL) { b->r.target = teams_message_id(t, c, reply); }
    struct kluis_str content = json_string(body, "content"), kind = json_string(body, "contentType");
    if (kluis_str_is(kind, "html")) {
        teams_body_html(t, b, content, true);
    } else if (content.ptr != NULL) {
        build_body(b, content);
    }
    if (json_get(body, "content") != NULL && json_get(body, "content")->damaged && b->r.text.ptr != NULL) {
        b->r.text_raw = (struct kluis_bytes){ (const uint8_t *)json_get(body, "content")->raw.ptr, json_get(body, "content")->raw.len };
    }
    for (struct json *a = list == NULL ? NULL : list->child; a != NULL; a = a->next) { attachment(t, b, c, a); }
    int64_t edited = KLUIS_TIME_ABSENT;
    struct kluis_when w = { 0 };
    if (build_iso(json_text(m, "lastEditedDateTime"), &w)) { edited = w.us; }
    if (json_string(m, "lastEditedDateTime").ptr != NULL) {
        build_number(b, "edited", 1);
        build_loss(b, "original-unknown");
        build_time(b, "edited", edited);
    }
    build_text(b, "subject", json_string(m, "subject"));
    build_text(b, "summary", json_string(m, "summary"));
    struct kluis_str importance = json_string(m, "importance");
    if (!kluis_str_is(importance, "normal")) { build_text(b, "importance", importance); }
    bool plain = type.ptr == NULL || kluis_str_is(type, "message");
    if (detail != NULL || !plain) { event(t, b, m, detail); }
    if (plain && b->r.author == KLUIS_NO_PARTY) { build_loss(b, "author-unknown"); }
    bool deleted = json_string(m, "deletedDateTime").ptr != NULL, content_there = b->r.text.ptr != NULL || b->r.n_attachments > 0;
    static const char *const said[] = { "@odata.type", "@odata.context", "chatId", "etag", "lastModifiedDateTime", "reactions", "messageHistory" };
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) { json_ignore(m, said[i]); }
    json_ignore(json_object(m, "channelIdentity"), "channelId");
    build_rest(b, "teams", m);
    struct kluis_str id = b->r.id;
    uint32_t author = b->r.author;
    struct kluis_when sent = b->r.sent;
    if (!deleted || content_there || !plain) { KLUIS_TRY(build_send(b, t->sink, (struct kluis_bytes){ (const uint8_t *)raw.ptr, raw.len }, err)); }
    if (deleted) { KLUIS_TRY(deletion(t, m, id, author, sent, content_there, raw, err)); }
    return reactions(t, m, id, author, sent, err);
}
