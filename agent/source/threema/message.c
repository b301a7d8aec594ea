/* message.c - one row to records. */
#include "agent/source/threema/threema.h"

static struct kluis_str absent(void) { return (struct kluis_str){ NULL, 0 }; }

static int64_t ms_of(struct kluis_str s)
{
    struct json v = { .type = JSON_STRING, .text = s };
    uint64_t n = 0;
    return s.ptr != NULL && json_value_u64(&v, &n) && n > 0 && n < UINT64_C(253402300800000) ? build_ms((int64_t)n) : KLUIS_TIME_ABSENT;
}

static struct kluis_str id_of(struct threema *t, struct kluis_str api)
{
    return api.ptr == NULL || api.len > 64 || t->chat.len > 256
               ? absent()
               : build_fmt(t->scratch, "%.*s:%.*s", (int)t->chat.len, t->chat.ptr, (int)api.len, api.ptr);
}

static kluis_status send(struct threema *t, const struct csv *c, struct kluis_err *err)
{
    return build_send(&t->build, t->sink, (struct kluis_bytes){ (const uint8_t *)c->raw.ptr, c->raw.len }, err);
}

static struct json *nth(struct json *list, unsigned i)
{
    struct json *v = list == NULL || list->type != JSON_ARRAY ? NULL : list->child;
    for (; v != NULL && i > 0; i--) { v = v->next; }
    return v;
}
static struct kluis_str words(const struct json *v) { return v == NULL || v->type != JSON_STRING || v->text.len == 0 ? absent() : v->text; }

/* ---- kinds of messages --------------------------------------------------------------------------------------------------------- */

static void media(struct threema *t, struct build *b, const struct csv *c, struct json *body, struct kluis_str type)
{
    static const char *const prefixes[] = { "message_", "group_message_", "distribution_list_message_" };
    struct kluis_attachment *a = build_attachment(b);
    struct kluis_str uid = csv_get(c, "uid");
    bool file = kluis_str_is(type, "FILE");
    uint64_t size = 0;
    if (a == NULL) { return; }
    a->name = file ? build_base_name(words(nth(body, 4))) : absent();
    if (a->name.len == 0) { a->name = absent(); }
    a->type = file                          ? words(nth(body, 2))
              : kluis_str_is(type, "IMAGE") ? KLUIS_STR_LIT("image/jpeg")
              : kluis_str_is(type, "VIDEO") ? KLUIS_STR_LIT("video/mp4")
                                            : KLUIS_STR_LIT("audio/aac");
    if (file && nth(body, 3) != NULL && json_value_u64(nth(body, 3), &size) && size <= (uint64_t)KLUIS_INT_MAX_JSON) { a->size = (int64_t)size; }
    struct kluis_str name =
        uid.len > 200 ? absent() : build_fmt(t->scratch, "%smedia_%.*s", prefixes[t->kind], (int)uid.len, uid.ptr == NULL ? "" : uid.ptr);
    uint32_t i = name.ptr == NULL ? FILESET_NONE : fileset_find(&t->files, name);
    if (i != FILESET_NONE) {
        const struct fileset_entry *e = &t->files.list[i];
        a->source_ref = kluis_str_of(e->name);
        if (e->size != FILESET_SIZE_UNKNOWN && e->size <= (uint64_t)KLUIS_INT_MAX_JSON) { a->size = (int64_t)e->size; }
        return;
    }
    a->loss = KLUIS_STR_LIT("missing");
    struct kluis_str small =
        uid.len > 200 ? absent() : build_fmt(t->scratch, "%sthumbnail_%.*s", prefixes[t->kind], (int)uid.len, uid.ptr == NULL ? "" : uid.ptr);
    i = small.ptr == NULL ? FILESET_NONE : fileset_find(&t->files, small);
    struct kluis_attachment *thumb = i == FILESET_NONE ? NULL : build_attachment(b);
    if (thumb == NULL) { return; }
    thumb->name = KLUIS_STR_LIT("thumbnail");
    thumb->source_ref = kluis_str_of(t->files.list[i].name);
    if (t->files.list[i].size <= (uint64_t)KLUIS_INT_MAX_JSON) { thumb->size = (int64_t)t->files.list[i].size; }
}

static void poll(struct threema *t, struct build *b, struct json *body)
{
    struct kluis_str number = nth(body, 1) == NULL ? absent() : nth(body, 1)->text;
    bool created = nth(body, 0) != NULL && kluis_str_is(nth(body, 0)->text, "1");
    struct ballot *of = NULL;
    for (size_t i = 0; i < t->n_ballots && of == NULL; i++) {
        if (kluis_str_eq(t->ballots[i].id, number)) { of = &t->ballots[i]; }
    }
    b->r.kind = created ? KLUIS_POLL : KLUIS_EVENT;
    if (!created) {
        b->r.event = nth(body, 0) != NULL && kluis_str_is(nth(body, 0)->text, "3") ? KLUIS_STR_LIT("poll-ended") : KLUIS_STR_LIT("poll-changed");
        if (of != NULL) { b->r.target = of->message; }
    }
    if (of == NULL) {
        build_loss(b, "content-unknown");
        return;
    }
    if (of->name.ptr != NULL) { build_body(b, of->name); }
    for (size_t i = 0; created && i < t->n_choices; i++) {
        if (kluis_str_eq(t->choices[i].ballot, of->uid)) { build_option(b, t->choices[i].name); }
    }
    if (created && of->message.ptr == NULL) { of->message = kluis_arena_str(t->roster.arena, b->r.id); }
}

static void call(struct build *b, struct json *o, bool group)
{
    static const char *const direct[] = { "missed", "ended", "declined", "not-answered" };
    uint64_t status = 0, n = 0;
    (void)json_u64(o, "status", &status);
    b->r.kind = KLUIS_CALL;
    b->r.value = KLUIS_STR_LIT("audio"); /* whether it had video is not told */
    build_loss(b, "video-unknown");
    b->r.event = group                        ? (status == 1   ? KLUIS_STR_LIT("answered")
                                                 : status == 2 ? KLUIS_STR_LIT("ended")
                                                               : KLUIS_STR_LIT("call"))
                 : status >= 1 && status <= 4 ? kluis_str_of(direct[status - 1])
                                              : KLUIS_STR_LIT("call");
    if (json_u64(o, "duration", &n)) { build_number(b, "seconds", (int64_t)(n > 1000000000 ? 1000000000 : n)); }
    build_text(b, "call-id", json_text(o, "callId"));
}

static void group_status(struct threema *t, struct build *b, struct json *o)
{
    static const char *const events[] = { "group-created",  "subject-changed",  "icon-changed",        "member-added",  "member-left",
                                          "member-removed", "settings-changed", "settings-changed",    "vote-cast",     "vote-changed",
                                          "vote-received",  "votes-complete",   "description-changed", "group-orphaned" };
    uint64_t status = UINT64_MAX;
    struct kluis_str who = json_string(o, "identity");
    const struct person *p = threema_person(t, who);
    (void)json_u64(o, "status", &status);
    b->r.event = status < sizeof events / sizeof *events ? kluis_str_of(events[status]) : KLUIS_STR_LIT("unknown");
    build_text(b, "member", p != NULL && p->name.ptr != NULL ? p->name : who);
    build_text(b, "after", json_string(o, "newGroupName"));
    build_text(b, "poll", json_string(o, "ballotName"));
    if (status != UINT64_MAX) { build_number(b, "status", (int64_t)(status > 1000000 ? 1000000 : status)); }
}

static void fill(struct threema *t, struct build *b, const struct csv *c, struct kluis_str type)
{
    struct kluis_str text = csv_get(c, "body"), caption = csv_get(c, "caption");
    struct json *body = NULL, *o = NULL;
    if (text.ptr != NULL && text.ptr[0] == '[' && !kluis_str_is(type, "TEXT") && json_read_loose(text, t->scratch, &body, NULL) != KLUIS_OK) {
        body = NULL;
    }
    o = nth(body, 1);
    if (kluis_str_is(type, "TEXT")) {
        if (text.ptr != NULL) { build_body(b, text); }
    } else if (kluis_str_is(type, "FILE") || kluis_str_is(type, "IMAGE") || kluis_str_is(type, "VIDEO") || kluis_str_is(type, "VOICEMESSAGE")) {
        media(t, b, c, body, type);
        if (caption.ptr == NULL && kluis_str_is(type, "FILE")) { caption = words(nth(body, 7)); }
        if (caption.ptr != NULL) { build_body(b, caption); }
    } else if (kluis_str_is(type, "LOCATION")) {
        const struct json *lat = nth(body, 0), *lon = nth(body, 1);
        if (lat != NULL && lon != NULL && lat->type == JSON_NUMBER && lon->type == JSON_NUMBER) {
            build_text(b, "location", build_fmt(t->scratch, "%.*s,%.*s", (int)lat->text.len, lat->text.ptr, (int)lon->text.len, lon->text.ptr));
        }
        struct kluis_str address = words(nth(body, 3)), place = words(nth(body, 4));
        if (place.ptr != NULL || address.ptr != NULL) { build_body(b, place.ptr != NULL ? place : address); }
        if (place.ptr != NULL) { build_text(b, "address", address); }
    } else if (kluis_str_is(type, "BALLOT")) {
        poll(t, b, body);
    } else if (kluis_str_is(type, "VOIP_STATUS") || kluis_str_is(type, "GROUP_CALL_STATUS")) {
        call(b, o, kluis_str_is(type, "GROUP_CALL_STATUS"));
    } else {
        b->r.kind = KLUIS_EVENT;
        b->r.event = KLUIS_STR_LIT("unknown");
        build_text(b, "type", type);
        if (kluis_str_is(type, "GROUP_STATUS")) {
            group_status(t, b, o);
        } else if (kluis_str_is(type, "FORWARD_SECURITY_STATUS")) {
            b->r.event = KLUIS_STR_LIT("encryption-notice");
            build_text(b, "body", text);
        } else if (text.ptr != NULL) {
            build_body(b, text);
        }
    }
}

/* Before reactions had a list of their own, a thumb was a state of the message. */
static kluis_status thumb(struct threema *t, const struct csv *c, struct kluis_str state, uint32_t who, struct kluis_str id, struct kluis_err *err)
{
    struct build *b = &t->build;
    bool up = kluis_str_is(state, "USERACK");
    if (t->has_reactions || (!up && !kluis_str_is(state, "USERDEC"))) { return KLUIS_OK; }
    build_new(b, t->scratch, KLUIS_REACTION);
    b->r.author = who;
    b->r.value = up ? KLUIS_STR_LIT("👍") : KLUIS_STR_LIT("👎");
    b->r.target = id;
    b->r.zone = KLUIS_ZONE_STATED;
    build_loss(b, "time-unknown");
    return send(t, c, err);
}

kluis_status threema_send(struct threema *t, const struct csv *c, struct kluis_err *err)
{
    struct build *b = &t->build;
    struct kluis_str type = csv_get(c, "type"), api = csv_get(c, "apiid"), state = csv_get(c, "messagestae"), states = csv_get(c, "g_msg_states");
    bool out = kluis_str_is(csv_get(c, "isoutbox"), "1");
    int64_t posted = ms_of(csv_get(c, "posted_at")), created = ms_of(csv_get(c, "created_at")), edited = ms_of(csv_get(c, "edited_at")),
            deleted = ms_of(csv_get(c, "deleted_at"));
    kluis_arena_clear(t->scratch);
    build_new(b, t->scratch, KLUIS_MESSAGE);
    b->r.id = id_of(t, api.ptr != NULL ? api : csv_get(c, "uid"));
    b->r.author = out ? t->me : threema_party(t, t->kind == CHAT_DIRECT ? t->chat : csv_get(c, "identity"));
    b->r.zone = KLUIS_ZONE_STATED;
    b->r.sent = (struct kluis_when){ posted != KLUIS_TIME_ABSENT ? posted : created, 0 };
    if (b->r.sent.us == KLUIS_TIME_ABSENT) { build_loss(b, "time-unknown"); }
    struct kluis_str id = b->r.id, quoted = csv_get(c, "quoted_message_apiid");
    uint32_t author = b->r.author;
    struct kluis_when sent = b->r.sent;
    if (deleted != KLUIS_TIME_ABSENT) {
        build_new(b, t->scratch, KLUIS_DELETION);
        b->r.id = id.ptr == NULL ? id : build_fmt(t->scratch, "%.*s:deleted", (int)id.len, id.ptr);
        b->r.author = author; /* Threema lets nobody else delete for all */
        b->r.target = id;
        b->r.target_author = author;
        b->r.target_sent = sent;
        b->r.zone = KLUIS_ZONE_STATED;
        b->r.sent = (struct kluis_when){ deleted, 0 };
        build_loss(b, "original-unknown");
        return send(t, c, err);
    }
    if (quoted.ptr != NULL) { b->r.target = id_of(t, quoted); }
    fill(t, b, c, type);
    if (b->r.kind == KLUIS_MESSAGE && author == KLUIS_NO_PARTY) { build_loss(b, "author-unknown"); }
    if (edited != KLUIS_TIME_ABSENT) {
        build_number(b, "edited", 1);
        build_loss(b, "original-unknown");
        build_time(b, "edited", edited);
    }
    if (created != posted && posted != KLUIS_TIME_ABSENT) { build_time(b, "created", created); }
    build_time(b, "delivered", ms_of(csv_get(c, "delivered_at")));
    build_time(b, "read", ms_of(csv_get(c, "read_at")));
    if (kluis_str_is(state, "SENDFAILED") || kluis_str_is(state, "FS_KEY_MISMATCH")) { build_text(b, "state", state); }
    if (kluis_str_is(csv_get(c, "display_tags"), "1")) { build_number(b, "starred", 1); }
    KLUIS_TRY(send(t, c, err));
    KLUIS_TRY(thumb(t, c, state, out ? threema_party(t, t->chat) : t->me, id, err));
    struct json *map = NULL;
    if (states.ptr == NULL || json_read_loose(states, t->scratch, &map, NULL) != KLUIS_OK || map->type != JSON_OBJECT) { return KLUIS_OK; }
    for (struct json *s = map->child; s != NULL; s = s->next) { KLUIS_TRY(thumb(t, c, words(s), threema_party(t, s->key), id, err)); }
    return KLUIS_OK;
}

kluis_status threema_reaction(struct threema *t, const struct csv *c, struct kluis_err *err)
{
    struct build *b = &t->build;
    struct kluis_str emoji = csv_get(c, "emoji_sequence"), who = csv_get(c, "sender_identity");
    kluis_arena_clear(t->scratch);
    build_new(b, t->scratch, KLUIS_REACTION);
    b->r.author = kluis_str_eq(who, t->self) ? t->me : threema_party(t, who);
    b->r.value = emoji.ptr == NULL ? KLUIS_STR_LIT("unknown") : emoji;
    b->r.target = id_of(t, csv_get(c, "api_message_id"));
    b->r.zone = KLUIS_ZONE_STATED;
    b->r.sent = (struct kluis_when){ ms_of(csv_get(c, "reacted_at")), 0 };
    if (b->r.sent.us == KLUIS_TIME_ABSENT) { build_loss(b, "time-unknown"); }
    return send(t, c, err);
}

kluis_status threema_vote(struct threema *t, const struct csv *c, struct kluis_err *err)
{
    struct build *b = &t->build;
    struct kluis_str ballot = csv_get(c, "ballot_uid"), choice = csv_get(c, "choice_uid"), who = csv_get(c, "identity");
    const struct ballot *of = NULL;
    for (size_t i = 0; i < t->n_ballots && of == NULL; i++) {
        if (t->ballots[i].message.ptr != NULL && kluis_str_eq(t->ballots[i].uid, ballot)) { of = &t->ballots[i]; }
    }
    if (of == NULL || kluis_str_is(csv_get(c, "choice"), "0")) { return KLUIS_OK; } /* of another chat; a choice that was not made */
    kluis_arena_clear(t->scratch);
    build_new(b, t->scratch, KLUIS_VOTE);
    b->r.author = kluis_str_eq(who, t->self) ? t->me : threema_party(t, who);
    b->r.target = of->message;
    b->r.zone = KLUIS_ZONE_STATED;
    b->r.sent = (struct kluis_when){ ms_of(csv_get(c, "modified_at")), 0 };
    if (b->r.sent.us == KLUIS_TIME_ABSENT) { b->r.sent.us = ms_of(csv_get(c, "created_at")); }
    for (size_t i = 0; i < t->n_choices; i++) {
        if (kluis_str_eq(t->choices[i].ballot, ballot) && kluis_str_eq(t->choices[i].id, choice)) { build_option(b, t->choices[i].name); }
    }
    if (b->r.n_options == 0) { build_option(b, choice); }
    return send(t, c, err);
}
