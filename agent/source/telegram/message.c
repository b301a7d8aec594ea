/* message.c - one message of the export to records: itself, its reactions, the owner's vote. */
#include "agent/source/telegram/telegram.h"

#include <fcntl.h>
#include <sys/stat.h>

static struct kluis_str absent(void) { return (struct kluis_str){ NULL, 0 }; }

static struct kluis_str id_of(struct telegram *t, struct kluis_str number)
{
    return number.ptr == NULL || number.len > 40 ? absent() : build_fmt(t->scratch, "%s:%.*s", t->chat.id, (int)number.len, number.ptr);
}

/* ---- when ------------------------------------------------------------------------------------------------------------ */

/* "2019-07-05T16:55:32": seconds as if UTC. */
static bool local_time(struct kluis_str s, int64_t *out)
{
    char rfc[24];
    int offset, digits;
    int64_t us;
    if (s.ptr == NULL || s.len != 19) { return false; }
    memcpy(rfc, s.ptr, 19);
    rfc[19] = 'Z';
    if (!kluis_time_parse((struct kluis_str){ rfc, 20 }, &us, &offset, &digits)) { return false; }
    *out = us / 1000000;
    return true;
}

/* Both the instant and the wall clock: their difference is the offset.  Only the clock: the zone is assumed. */
static void set_when(struct telegram *t, struct build *b, struct kluis_str local, struct kluis_str unix_seconds)
{
    int64_t clock = 0, instant = 0;
    struct json v = { .type = JSON_STRING, .text = unix_seconds };
    uint64_t n = 0;
    bool has_clock = local_time(local, &clock), has_instant = unix_seconds.ptr != NULL && json_value_u64(&v, &n) && n < UINT64_C(253402300800);
    instant = (int64_t)n;
    if (has_instant) {
        int64_t offset = has_clock ? clock - instant : 0;
        bool real = offset % 900 == 0 && offset > -86400 && offset < 86400;
        b->r.sent = (struct kluis_when){ instant * 1000000, (int16_t)(real ? offset / 60 : 0) };
        if (has_clock && !real) { build_text(b, "date", local); } /* a clock that disagrees is kept beside it */
        b->r.zone = KLUIS_ZONE_STATED;
        return;
    }
    b->r.zone = KLUIS_ZONE_ASSUMED;
    if (!has_clock) {
        build_loss(b, "time-unknown");
        build_text(b, "date", local);
        b->r.zone = t->header.zone;
        return;
    }
    struct zone_local w;
    zone_local(t->zone, clock, &w);
    int32_t off = w.offset[0] / 60 * 60;
    b->r.sent = (struct kluis_when){ (clock - off) * 1000000, (int16_t)(off / 60) };
    if (w.readings == 2) {
        int32_t other = w.offset[1] / 60 * 60;
        build_text(b, "clock", KLUIS_STR_LIT("shown-twice"));
        build_time(b, "sent-otherwise", (clock - other) * 1000000);
        if (b->r.n_times > 0) { b->times[b->r.n_times - 1].when.offset_min = (int16_t)(other / 60); }
    } else if (w.readings == 0) {
        build_text(b, "clock", KLUIS_STR_LIT("never-shown"));
    }
}

static int64_t unix_us(struct json *m, const char *name)
{
    uint64_t s = 0;
    return json_u64(m, name, &s) && s > 0 && s < UINT64_C(253402300800) ? (int64_t)s * 1000000 : KLUIS_TIME_ABSENT;
}

/* ---- text ------------------------------------------------------------------------------------------------------------- */

/* A string, or a list of strings and {type, text, …}; where else a part points is kept as a field. */
static void set_text(struct telegram *t, struct build *b, struct json *m)
{
    struct json *v = json_get(m, "text");
    bool damaged = false;
    unsigned i = 0;
    json_ignore(m, "text_entities"); /* the same once more */
    if (v == NULL) { return; }
    if (v->type == JSON_STRING) {
        if (v->text.len > 0) { build_body(b, v->text); }
        damaged = v->damaged;
    } else if (v->type == JSON_ARRAY) {
        kluis_buf_clear(&t->text);
        for (struct json *p = v->child; p != NULL; p = p->next, i++) {
            struct json *piece = p->type == JSON_OBJECT ? json_get(p, "text") : p;
            if (piece == NULL || piece->type != JSON_STRING) { continue; }
            piece->used = 2;
            damaged |= piece->damaged;
            kluis_buf_str(&t->text, piece->text);
            json_ignore(p, "type");
        }
        struct kluis_str all = kluis_arena_str(t->scratch, (struct kluis_str){ (const char *)t->text.data, t->text.len });
        if (t->text.len > 0 && t->text.status == KLUIS_OK && all.ptr != NULL) { build_body(b, all); }
        if (t->text.status != KLUIS_OK || (t->text.len > 0 && all.ptr == NULL)) { build_loss(b, "text-cut"); }
    }
    if (damaged && b->r.text.ptr != NULL) { b->r.text_raw = (struct kluis_bytes){ (const uint8_t *)v->raw.ptr, v->raw.len }; }
}

/* ---- files ------------------------------------------------------------------------------------------------------------ */

int telegram_open(int dir, struct kluis_str path, int64_t *size)
{
    char p[KLUIS_PATH_MAX];
    struct stat st;
    if (dir < 0 || path.len == 0 || path.len >= sizeof p || path.ptr[0] == '/' || memchr(path.ptr, 0, path.len) != NULL) { return -1; }
    memcpy(p, path.ptr, path.len);
    p[path.len] = '\0';
    for (const char *s = p; *s != '\0';) {
        size_t k = strcspn(s, "/");
        if (k == 2 && s[0] == '.' && s[1] == '.') { return -1; }
        s += k + (s[k] == '/');
    }
    int fd = kluis_io_openat(dir, p, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW, 0);
    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) { kluis_close_quiet(&fd); }
    if (fd >= 0) { *size = st.st_size; }
    return fd;
}

static void set_file(struct telegram *t, struct build *b, struct json *m, const char *member, bool main_one)
{
    struct kluis_str path = json_string(m, member);
    if (path.ptr == NULL) { return; }
    struct kluis_attachment *a = build_attachment(b);
    if (a == NULL) { return; }
    struct kluis_str name = main_one ? json_string(m, "file_name") : absent(), mime = main_one ? json_string(m, "mime_type") : absent();
    uint64_t size = 0;
    bool sized = main_one && (json_u64(m, strcmp(member, "photo") == 0 ? "photo_file_size" : "file_size", &size));
    if (path.ptr[0] == '(') { /* "(File not included. Change data exporting settings to download.)" */
        a->loss = memmem(path.ptr, path.len, "unavailable", 11) != NULL ? KLUIS_STR_LIT("unavailable") : KLUIS_STR_LIT("omitted");
        a->name = build_base_name(name);
        a->type = mime;
        if (sized && size <= (uint64_t)KLUIS_INT_MAX_JSON) { a->size = (int64_t)size; }
        build_text(b, strcmp(member, "thumbnail") == 0 ? "thumbnail-marker" : "marker", path);
        return;
    }
    int64_t real = -1;
    int fd = telegram_open(t->dir, path, &real);
    kluis_close_quiet(&fd);
    a->name = build_base_name(name.ptr != NULL ? name : path);
    if (a->name.len == 0) { a->name = absent(); }
    a->type = mime.ptr != NULL ? mime : kluis_str_of(build_type_of_name(path));
    a->size = real >= 0 ? real : sized && size <= (uint64_t)KLUIS_INT_MAX_JSON ? (int64_t)size : -1;
    if (real < 0) { a->loss = KLUIS_STR_LIT("missing"); }
    a->source_ref = t->below[0] == '\0' ? path : build_fmt(t->scratch, "%s%.*s", t->below, (int)path.len, path.ptr);
}

/* ---- polls and reactions ------------------------------------------------------------------------------------------------ */

static void set_poll(struct telegram *t, struct build *b, struct json *poll)
{
    struct json *answers = json_array(poll, "answers"), *q = json_get(poll, "question");
    unsigned i = 0;
    b->r.kind = KLUIS_POLL;
    if (q != NULL && q->type == JSON_STRING) { build_body(b, q->text); }
    for (struct json *a = answers == NULL ? NULL : answers->child; a != NULL; a = a->next, i++) {
        uint64_t votes = 0;
        struct json *text = json_get(a, "text");
        build_option(b, text != NULL && text->type == JSON_STRING ? text->text : absent());
        if (json_u64(a, "voters", &votes)) {
            build_number(b, build_fmt(t->scratch, "votes-%02u", i + 1).ptr, votes > INT64_MAX ? INT64_MAX : (int64_t)votes);
        }
        (void)json_true(a, "chosen");
    }
}

static kluis_status send_vote(struct telegram *t, struct json *poll, struct kluis_str id, struct kluis_str raw, struct kluis_err *err)
{
    struct json *answers = json_array(poll, "answers");
    struct build *b = &t->build;
    build_new(b, t->scratch, KLUIS_VOTE);
    for (struct json *a = answers == NULL ? NULL : answers->child; a != NULL; a = a->next) {
        struct json *text = json_get(a, "text");
        if (json_true(a, "chosen")) { build_option(b, text != NULL && text->type == JSON_STRING ? text->text : absent()); }
    }
    if (b->r.n_options == 0 || t->chat.self == KLUIS_NO_PARTY) { return KLUIS_OK; }
    b->r.author = t->chat.self;
    b->r.id = id.ptr == NULL ? id : build_fmt(t->scratch, "%.*s:vote", (int)id.len, id.ptr);
    b->r.target = id;
    b->r.zone = t->header.zone;
    build_loss(b, "time-of-vote");
    return build_send(b, t->sink, (struct kluis_bytes){ (const uint8_t *)raw.ptr, raw.len }, err);
}

static struct kluis_str emoji_of(struct telegram *t, struct json *r)
{
    struct kluis_str e = json_string(r, "emoji"), doc = json_text(r, "document_id"), type = json_string(r, "type");
    if (e.ptr != NULL) { return e; }
    if (doc.ptr != NULL) { return build_fmt(t->scratch, "custom:%.*s", doc.len > 200 ? 200 : (int)doc.len, doc.ptr); }
    return type.ptr != NULL ? type : KLUIS_STR_LIT("unknown");
}

/* Counts go with the message; who is told, gets a record. */
static void count_reactions(struct telegram *t, struct build *b, struct json *m)
{
    struct json *list = json_array(m, "reactions");
    for (struct json *r = list == NULL ? NULL : list->child; r != NULL; r = r->next) {
        uint64_t count = 0, told = 0;
        struct json *recent = json_array(r, "recent");
        struct kluis_str e = emoji_of(t, r);
        for (struct json *v = recent == NULL ? NULL : recent->child; v != NULL; v = v->next) { told++; }
        if (!json_u64(r, "count", &count) || count <= told) { continue; }
        build_loss(b, "reactors-unknown");
        struct kluis_str name = build_fmt(t->scratch, "reactions.%.*s", e.len > 200 ? 200 : (int)e.len, e.ptr);
        if (name.ptr != NULL && kluis_utf8_valid(name.ptr, name.len) == name.len) {
            build_number(b, name.ptr, count > INT64_MAX ? INT64_MAX : (int64_t)count);
        }
    }
}

static kluis_status send_reactions(struct telegram *t, struct json *m, struct kluis_str id, uint32_t author, struct kluis_when sent,
                                   struct kluis_err *err)
{
    struct json *list = json_array(m, "reactions");
    for (struct json *r = list == NULL ? NULL : list->child; r != NULL; r = r->next) {
        struct json *recent = json_array(r, "recent");
        struct kluis_str e = emoji_of(t, r);
        for (struct json *v = recent == NULL ? NULL : recent->child; v != NULL; v = v->next) {
            struct build *b = &t->build;
            build_new(b, t->scratch, KLUIS_REACTION);
            b->r.author = roster_find(&t->chat.people, json_text(v, "from_id"), json_text(v, "from"));
            b->r.value = e;
            b->r.target = id;
            b->r.target_author = author;
            b->r.target_sent = sent;
            set_when(t, b, json_text(v, "date"), absent());
            build_rest(b, "telegram", v);
            KLUIS_TRY(build_send(b, t->sink, (struct kluis_bytes){ (const uint8_t *)v->raw.ptr, v->raw.len }, err));
        }
    }
    return KLUIS_OK;
}

/* ---- service messages ----------------------------------------------------------------------------------------------------- */

static void members(struct telegram *t, struct build *b, struct json *m)
{
    struct json *list = json_array(m, "members");
    kluis_buf_clear(&t->text);
    for (struct json *v = list == NULL ? NULL : list->child; v != NULL; v = v->next) {
        if (v->type != JSON_STRING) { continue; }
        if (t->text.len > 0) { kluis_buf_cstr(&t->text, ", "); }
        kluis_buf_str(&t->text, v->text);
    }
    (void)json_whole(list);
    if (t->text.len > 0 && t->text.status == KLUIS_OK) {
        build_text(b, "member", kluis_arena_str(t->scratch, (struct kluis_str){ (const char *)t->text.data, t->text.len }));
    }
}

static void service(struct telegram *t, struct build *b, struct json *m)
{
    static const struct {
        const char *action, *event;
    } known[] = { { "create_group", "group-created" },
                  { "create_channel", "group-created" },
                  { "invite_members", "member-added" },
                  { "remove_members", "member-removed" },
                  { "join_group_by_link", "joined-by-link" },
                  { "join_group_by_request", "join-request-approved" },
                  { "edit_group_title", "subject-changed" },
                  { "edit_group_photo", "icon-changed" },
                  { "delete_group_photo", "icon-removed" },
                  { "pin_message", "message-pinned" },
                  { "set_messages_ttl", "timer-changed" },
                  { "clear_history", "history-cleared" },
                  { "migrate_to_supergroup", "group-upgraded" },
                  { "migrate_from_group", "group-upgraded" },
                  { "edit_chat_theme", "settings-changed" },
                  { "set_chat_wallpaper", "settings-changed" },
                  { "set_same_chat_wallpaper", "settings-changed" },
                  { "topic_created", "topic-created" },
                  { "topic_edited", "topic-changed" },
                  { "joined_telegram", "profile-learned" },
                  { "take_screenshot", "screenshot-taken" } };
    struct kluis_str action = json_string(m, "action"), target = json_text(m, "message_id");
    uint64_t n = 0;
    b->r.kind = KLUIS_EVENT;
    b->r.event = KLUIS_STR_LIT("unknown");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (kluis_str_is(action, known[i].action)) { b->r.event = kluis_str_of(known[i].event); }
    }
    if (kluis_str_is(action, "clear_history")) { b->r.kind = KLUIS_GAP; }
    if (kluis_str_is(action, "phone_call") || kluis_str_is(action, "group_call") || kluis_str_is(action, "conference_call")) {
        struct kluis_str reason = json_string(m, "discard_reason");
        b->r.kind = KLUIS_CALL;
        b->r.value = KLUIS_STR_LIT("audio"); /* whether it had video is not told */
        b->r.event = kluis_str_is(reason, "missed")   ? KLUIS_STR_LIT("missed")
                     : kluis_str_is(reason, "busy")   ? KLUIS_STR_LIT("declined")
                     : kluis_str_is(reason, "hangup") ? KLUIS_STR_LIT("ended")
                                                      : KLUIS_STR_LIT("call");
        build_text(b, "reason", reason);
        build_loss(b, "video-unknown");
        if (json_u64(m, "duration_seconds", &n)) { build_number(b, "seconds", (int64_t)(n > 1000000000 ? 1000000000 : n)); }
    }
    build_text(b, "action", action);
    members(t, b, m);
    if (kluis_str_is(b->r.event, "member-removed")) { /* who removes himself leaves */
        struct kluis_str who = json_string(m, "actor");
        for (size_t i = 0; i < b->r.n_fields; i++) {
            if (kluis_str_is(b->fields[i].name, "member") && kluis_str_eq(b->fields[i].value, who)) { b->r.event = KLUIS_STR_LIT("member-left"); }
        }
    }
    build_text(b, "after", json_string(m, "title"));
    if (json_u64(m, "period", &n)) { build_number(b, "after-seconds", (int64_t)(n > 10000000000 ? 10000000000 : n)); }
    if (target.ptr != NULL) { b->r.target = id_of(t, target); }
}

/* ---- a message -------------------------------------------------------------------------------------------------------------- */

static void plain(struct telegram *t, struct build *b, struct json *m)
{
    struct kluis_str reply = json_text(m, "reply_to_message_id"), peer = json_text(m, "reply_to_peer_id");
    struct json *poll = json_object(m, "poll");
    if (reply.ptr != NULL) {
        b->r.target = peer.ptr == NULL ? id_of(t, reply)
                                       : build_fmt(t->scratch, "%.*s:%.*s", peer.len > 60 ? 60 : (int)peer.len, peer.ptr,
                                                   reply.len > 40 ? 40 : (int)reply.len, reply.ptr);
    }
    if (poll != NULL) { set_poll(t, b, poll); }
    set_file(t, b, m, "photo", true);
    set_file(t, b, m, "file", true);
    set_file(t, b, m, "thumbnail", false);
    set_file(t, b, m, "contact_vcard", false);
    int64_t edited = unix_us(m, "edited_unixtime");
    bool was_edited = edited != KLUIS_TIME_ABSENT || json_string(m, "edited").ptr != NULL;
    build_time(b, "edited", edited);
    if (edited != KLUIS_TIME_ABSENT) { json_ignore(m, "edited"); }
    if (was_edited && json_array(m, "reactions") == NULL) {
        build_number(b, "edited", 1);
        build_loss(b, "original-unknown");
    } else if (was_edited) {
        build_loss(b, "edited-or-only-reacted"); /* a reaction sets the same mark */
    }
    struct json *place = json_object(m, "location_information");
    struct json *lat = json_get(place, "latitude"), *lon = json_get(place, "longitude");
    if (lat != NULL && lon != NULL && lat->type == JSON_NUMBER && lon->type == JSON_NUMBER) {
        build_text(b, "location", build_fmt(t->scratch, "%.*s,%.*s", (int)lat->text.len, lat->text.ptr, (int)lon->text.len, lon->text.ptr));
    }
    count_reactions(t, b, m);
}

kluis_status message_send(struct telegram *t, struct json *m, struct kluis_str raw, struct kluis_err *err)
{
    struct build *b = &t->build;
    kluis_arena_clear(t->scratch);
    build_new(b, t->scratch, KLUIS_MESSAGE);
    struct kluis_str type = json_string(m, "type"), id = id_of(t, json_text(m, "id"));
    b->r.id = id;
    set_when(t, b, json_string(m, "date"), json_text(m, "date_unixtime"));
    bool is_service = kluis_str_is(type, "service"), is_plain = kluis_str_is(type, "message");
    b->r.author = roster_find(&t->chat.people, json_text(m, is_service ? "actor_id" : "from_id"), json_text(m, is_service ? "actor" : "from"));
    if (b->r.author == KLUIS_NO_PARTY && is_plain) { build_loss(b, "author-unknown"); }
    set_text(t, b, m);
    if (is_plain) {
        plain(t, b, m);
    } else if (is_service) {
        service(t, b, m);
    } else {
        b->r.kind = KLUIS_EVENT;
        b->r.event = kluis_str_is(type, "unsupported") ? KLUIS_STR_LIT("unsupported") : KLUIS_STR_LIT("unknown");
        build_text(b, "type", type);
        build_loss(b, "content-unknown");
    }
    json_ignore(m, "reactions");
    build_rest(b, "telegram", m);
    uint32_t author = b->r.author;
    struct kluis_when sent = b->r.sent;
    KLUIS_TRY(build_send(b, t->sink, (struct kluis_bytes){ (const uint8_t *)raw.ptr, raw.len }, err));
    if (!is_plain) { return KLUIS_OK; }
    struct json *poll = json_object(m, "poll");
    if (poll != NULL) { KLUIS_TRY(send_vote(t, poll, id, poll->raw, err)); }
    return send_reactions(t, m, id, author, sent, err);
}

kluis_status message_gap(struct telegram *t, uint64_t at, const char *why, struct kluis_err *err)
{
    struct build *b = &t->build;
    kluis_arena_clear(t->scratch);
    build_new(b, t->scratch, KLUIS_GAP);
    b->r.event = KLUIS_STR_LIT("damaged");
    b->r.zone = t->header.zone;
    build_body(b, build_fmt(t->scratch, "Messages in the source cannot be read: %s.", why));
    build_number(b, "at-byte", (int64_t)at);
    return build_send(b, t->sink, (struct kluis_bytes){ NULL, 0 }, err);
}
