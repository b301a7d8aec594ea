/* state.c - events that are no messages: members, what the room is called and how it is set, calls. */
#include "agent/source/matrix_export/matrix.h"

static struct kluis_str absent(void) { return (struct kluis_str){ NULL, 0 }; }

/* Before and after: https://spec.matrix.org, m.room.member. */
static void member(struct matrix *x, struct build *b, struct json *e, struct json *content)
{
    struct json *u = json_object(e, "unsigned"), *prev = json_object(u, "prev_content");
    if (prev == NULL) { prev = json_object(e, "prev_content"); }
    struct kluis_str now = json_string(content, "membership"), was = json_string(prev, "membership"), who = json_string(e, "state_key");
    struct kluis_str name = json_string(content, "displayname"), before = json_string(prev, "displayname");
    bool own = kluis_str_eq(who, json_string(e, "sender"));
    const char *event = "unknown";
    if (kluis_str_is(now, "join")) {
        event = kluis_str_is(was, "join") ? "profile-changed" : kluis_str_is(was, "invite") ? "invitation-accepted" : "member-joined";
    } else if (kluis_str_is(now, "leave")) {
        event = kluis_str_is(was, "invite")  ? (own ? "invitation-declined" : "invitation-revoked")
                : kluis_str_is(was, "knock") ? (own ? "join-requested" : "join-request-denied")
                : kluis_str_is(was, "ban")   ? "member-unbanned"
                                             : (own ? "member-left" : "member-removed");
    } else if (kluis_str_is(now, "invite")) {
        event = kluis_str_is(was, "knock") ? "join-request-approved" : "member-invited";
    } else if (kluis_str_is(now, "ban")) {
        event = "member-removed";
    } else if (kluis_str_is(now, "knock")) {
        event = "join-requested";
    }
    b->r.event = kluis_str_of(event);
    uint32_t party = matrix_party(x, who);
    struct kluis_str shown = name.ptr != NULL ? name : before.ptr != NULL ? before : party != KLUIS_NO_PARTY ? x->people.list[party].name : absent();
    build_text(b, "member", shown.ptr != NULL ? shown : who);
    build_text(b, "member-id", who);
    build_text(b, "membership", now);
    build_text(b, "membership-before", was);
    if (strcmp(event, "profile-changed") == 0 && !kluis_str_eq(name, before)) {
        build_text(b, "before", before);
        build_text(b, "after", name);
    }
    build_text(b, "reason", json_string(content, "reason"));
    json_ignore(content, "displayname");
}

static void call(struct build *b, struct kluis_str type, struct json *content)
{
    struct json *offer = json_object(content, "offer");
    struct kluis_str sdp = json_string(offer, "sdp"), reason = json_string(content, "reason"), intent = json_string(content, "m.call.intent");
    bool video = sdp.ptr != NULL && memmem(sdp.ptr, sdp.len, "m=video", 7) != NULL;
    b->r.kind = KLUIS_CALL;
    b->r.value = video || kluis_str_is(intent, "video") ? KLUIS_STR_LIT("video") : KLUIS_STR_LIT("audio");
    if (sdp.ptr == NULL && intent.ptr == NULL) { build_loss(b, "video-unknown"); }
    b->r.event = kluis_str_is(type, "m.call.answer")      ? KLUIS_STR_LIT("answered")
                 : kluis_str_is(type, "m.call.reject")    ? KLUIS_STR_LIT("declined")
                 : !kluis_str_is(type, "m.call.hangup")   ? KLUIS_STR_LIT("call")
                 : kluis_str_is(reason, "invite_timeout") ? KLUIS_STR_LIT("not-answered")
                                                          : KLUIS_STR_LIT("ended");
    build_text(b, "call-id", json_text(content, "call_id"));
    build_text(b, "reason", reason);
    (void)json_whole(offer);
    json_ignore(content, "answer");
}

bool matrix_state(struct matrix *x, struct build *b, struct json *e, struct kluis_str type, struct json *content)
{
    static const struct {
        const char *type, *event, *value;
    } known[] = { { "m.room.create", "group-created", "room_version" },
                  { "m.room.name", "subject-changed", "name" },
                  { "m.room.topic", "description-changed", "topic" },
                  { "m.room.avatar", "icon-changed", "url" },
                  { "m.room.encryption", "encryption-notice", "algorithm" },
                  { "m.room.power_levels", "admin-changed", NULL },
                  { "m.room.join_rules", "settings-changed", "join_rule" },
                  { "m.room.history_visibility", "settings-changed", "history_visibility" },
                  { "m.room.guest_access", "settings-changed", "guest_access" },
                  { "m.room.canonical_alias", "settings-changed", "alias" },
                  { "m.room.server_acl", "settings-changed", NULL },
                  { "m.room.third_party_invite", "member-invited", "display_name" },
                  { "m.room.tombstone", "group-upgraded", "replacement_room" },
                  { "m.room.pinned_events", "message-pinned", NULL },
                  { "m.room.retention", "timer-changed", NULL },
                  { "m.space.parent", "community-changed", NULL },
                  { "m.space.child", "community-changed", NULL },
                  { "im.vector.modular.widgets", "settings-changed", "type" },
                  { "io.element.widgets.layout", "settings-changed", NULL } };
    static const char *const calls[] = { "m.call.invite",
                                         "m.call.answer",
                                         "m.call.hangup",
                                         "m.call.reject",
                                         "m.call",
                                         "org.matrix.msc3401.call",
                                         "m.call.notify",
                                         "org.matrix.msc4075.call.notify",
                                         "m.rtc.notification",
                                         "org.matrix.msc4075.rtc.notification" };
    b->r.kind = KLUIS_EVENT;
    b->r.event = KLUIS_STR_LIT("unknown");
    build_text(b, "type", type);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (kluis_str_is(type, calls[i])) {
            call(b, type, content);
            return true;
        }
    }
    if (kluis_str_is(type, "m.room.member")) {
        member(x, b, e, content);
        return true;
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!kluis_str_is(type, known[i].type)) { continue; }
        b->r.event = kluis_str_of(known[i].event);
        struct json *u = json_object(e, "unsigned"), *prev = json_object(u, "prev_content");
        if (known[i].value != NULL) {
            build_text(b, "before", json_text(prev, known[i].value));
            build_text(b, "after", json_text(content, known[i].value));
        }
        uint64_t ms = 0;
        if (kluis_str_is(type, "m.room.retention") && json_u64(content, "max_lifetime", &ms)) {
            build_number(b, "after-seconds", (int64_t)(ms / 1000 > INT64_C(1) << 40 ? UINT64_C(1) << 40 : ms / 1000));
        }
        struct json *pinned = json_array(content, "pinned"), *old = json_array(prev, "pinned");
        if (pinned != NULL || old != NULL) { /* the one that is new, or the one that is gone */
            struct json *longer = NULL, *other = NULL;
            size_t n = 0, m = 0;
            for (struct json *p = pinned == NULL ? NULL : pinned->child; p != NULL; p = p->next) { n++; }
            for (struct json *p = old == NULL ? NULL : old->child; p != NULL; p = p->next) { m++; }
            longer = n >= m ? pinned : old;
            other = n >= m ? old : pinned;
            if (n < m) { b->r.event = KLUIS_STR_LIT("message-unpinned"); }
            unsigned looked = 0;
            for (struct json *p = longer == NULL ? NULL : longer->child; p != NULL && looked < 1000; p = p->next, looked++) {
                struct json *q = other == NULL ? NULL : other->child;
                unsigned seen = 0;
                while (q != NULL && seen < 1000 && !kluis_str_eq(q->text, p->text)) {
                    q = q->next;
                    seen++;
                }
                if (q == NULL && p->type == JSON_STRING && p->text.len > 0) { b->r.target = p->text; }
            }
        }
        return true;
    }
    return false;
}
