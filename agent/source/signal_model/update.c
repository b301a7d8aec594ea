/* update.c - update messages: group changes, timers, names, keys, calls.  Each by its name, with every value it states.
 */
#include "agent/source/signal_model/model.h"

struct name {
    const char *signal, *event;
};

static const struct name group_updates[] = {
    { "genericGroupUpdate", "group-changed" },
    { "groupCreationUpdate", "group-created" },
    { "groupNameUpdate", "subject-changed" },
    { "groupAvatarUpdate", "icon-changed" },
    { "groupDescriptionUpdate", "description-changed" },
    { "groupMembershipAccessLevelChangeUpdate", "membership-access-changed" },
    { "groupAttributesAccessLevelChangeUpdate", "attributes-access-changed" },
    { "groupMemberLabelAccessLevelChangeUpdate", "label-access-changed" },
    { "groupAnnouncementOnlyChangeUpdate", "announcements-only-changed" },
    { "groupAdminStatusUpdate", "admin-changed" },
    { "groupMemberLeftUpdate", "member-left" },
    { "groupMemberRemovedUpdate", "member-removed" },
    { "selfInvitedToGroupUpdate", "self-invited" },
    { "selfInvitedOtherUserToGroupUpdate", "member-invited" },
    { "groupUnknownInviteeUpdate", "members-invited" },
    { "groupInvitationAcceptedUpdate", "invitation-accepted" },
    { "groupInvitationDeclinedUpdate", "invitation-declined" },
    { "groupMemberJoinedUpdate", "member-joined" },
    { "groupMemberAddedUpdate", "member-added" },
    { "groupSelfInvitationRevokedUpdate", "self-invitation-revoked" },
    { "groupInvitationRevokedUpdate", "invitation-revoked" },
    { "groupJoinRequestUpdate", "join-requested" },
    { "groupJoinRequestApprovalUpdate", "join-request-denied" }, /* or approved, below */
    { "groupJoinRequestCanceledUpdate", "join-request-cancelled" },
    { "groupSequenceOfRequestsAndCancelsUpdate", "join-requests-cancelled" },
    { "groupInviteLinkResetUpdate", "invite-link-reset" },
    { "groupInviteLinkEnabledUpdate", "invite-link-enabled" },
    { "groupInviteLinkAdminApprovalUpdate", "invite-link-approval-changed" },
    { "groupInviteLinkDisabledUpdate", "invite-link-disabled" },
    { "groupMemberJoinedByLinkUpdate", "joined-by-link" },
    { "groupV2MigrationUpdate", "group-migrated" },
    { "groupV2MigrationSelfInvitedUpdate", "group-migrated-self-invited" },
    { "groupV2MigrationInvitedMembersUpdate", "group-migrated-members-invited" },
    { "groupV2MigrationDroppedMembersUpdate", "group-migrated-members-dropped" },
    { "groupExpirationTimerUpdate", "timer-changed" },
    { "groupTerminateChangeUpdate", "group-ended" },
};

static bool ends_with(struct kluis_str s, const char *end)
{
    size_t n = strlen(end);
    return s.len >= n && memcmp(s.ptr + s.len - n, end, n) == 0;
}

static bool is_account(const struct json *v, uint8_t id[16])
{
    static const char *const ends[] = { "Aci", "aci", "ServiceId", "Pni" };
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        if (ends_with(v->key, ends[i])) { return json_bytes(v, id, 16); }
    }
    return false;
}

/* Every member of an update as a field of its own name: account ids as UUID, numbers as numbers, the rest as it stands. */
static void flat(struct emit *e, struct draft *d, struct json *o)
{
    for (struct json *v = o->child; v != NULL; v = v->next) {
        uint8_t id[16];
        uint64_t n;
        struct kluis_str name = kebab(e->arena, v->key);
        if (v->used != 0 || v->type == JSON_NULL || name.ptr == NULL || name.len > 200) { continue; }
        const char *key = arena_fmt(e->arena, "%.*s", (int)name.len, name.ptr).ptr;
        if (key == NULL) { continue; }
        if (is_account(v, id)) {
            draft_text(e, d, key, uuid_text(e->arena, id));
        } else if (v->type == JSON_TRUE || v->type == JSON_FALSE) {
            draft_number(e, d, key, v->type == JSON_TRUE);
        } else if ((v->type == JSON_NUMBER || ends_with(v->key, "Ms")) && json_value_u64(v, &n)) {
            draft_number(e, d, key, n);
        } else if (v->type == JSON_STRING) {
            draft_text(e, d, key, v->text);
        } else {
            draft_text(e, d, key, json_shown(v, e->arena));
        }
        (void)json_whole(v);
    }
}

static struct draft *event_draft(struct emit *e, struct json *item, const char *event, uint32_t author, uint64_t sent, unsigned nth)
{
    char suffix[96];
    if (nth == 0) {
        (void)snprintf(suffix, sizeof suffix, ":e:%.64s", event);
    } else {
        (void)snprintf(suffix, sizeof suffix, ":e:%.64s:%u", event, nth);
    }
    struct draft *d = item_draft(e, item, KLUIS_EVENT, author, sent, suffix);
    d->r.event = kluis_str_of(event);
    return d;
}

/* What the item states outside its update is kept as well, then the record goes out. */
static void send_event(struct emit *e, struct json *item, struct draft *d)
{
    json_ignore(item, "updateMessage");
    draft_rest(e, d, "signal", item);
    draft_send(e, d, e->line);
}

/* From here on messages disappear by themselves: what the chat shows later is not all there was. */
static void emit_timer_gap(struct emit *e, struct json *item, uint32_t author, uint64_t sent, uint64_t ms)
{
    struct draft *d = item_draft(e, item, KLUIS_GAP, author, sent, ":gap:timer");
    d->r.event = KLUIS_STR_LIT("timer-changed");
    draft_number(e, d, "timer-ms", ms);
    draft_send(e, d, e->line);
}

static void timer(struct emit *e, struct json *item, struct json *u, uint32_t author, uint64_t sent)
{
    uint64_t ms = 0;
    if (json_u64(u, "expiresInMs", &ms) && ms > 0) { emit_timer_gap(e, item, author, sent, ms); }
}

static void emit_group_update(struct emit *e, struct json *item, struct json *one, uint32_t author, uint64_t sent, unsigned nth)
{
    struct json *u = one->child;
    while (u != NULL && u->type != JSON_OBJECT) { u = u->next; }
    const char *event = "unknown";
    if (u == NULL && one->child == NULL) { event = "group-changed"; } /* Signal itself reads an empty one so */
    for (size_t i = 0; u != NULL && i < sizeof group_updates / sizeof *group_updates; i++) {
        if (kluis_str_is(u->key, group_updates[i].signal)) { event = group_updates[i].event; }
    }
    if (u != NULL && strcmp(event, "icon-changed") == 0 && json_true(u, "wasRemoved")) { event = "icon-removed"; }
    if (u != NULL && strcmp(event, "description-changed") == 0 && json_string(u, "newDescription").ptr == NULL) { event = "description-removed"; }
    if (u != NULL && strcmp(event, "join-request-denied") == 0 && json_true(u, "wasApproved")) { event = "join-request-approved"; }
    struct draft *d = event_draft(e, item, event, author, sent, nth);
    if (u != NULL) {
        draft_text(e, d, "code", u->key);
        if (strcmp(event, "admin-changed") == 0) { draft_number(e, d, "granted", json_true(u, "wasAdminStatusGranted")); }
        if (strcmp(event, "subject-changed") == 0) { d->r.text = json_string(u, "newGroupName"); }
        if (strcmp(event, "description-changed") == 0) { d->r.text = json_string(u, "newDescription"); }
        flat(e, d, u);
    }
    if (strcmp(event, "unknown") == 0) { draft_text(e, d, "raw", json_shown(one, e->arena)); }
    send_event(e, item, d);
    if (strcmp(event, "timer-changed") == 0) { timer(e, item, u, author, sent); }
}

/* Signal's states in the names that all sources share, where there is one. */
static struct kluis_str call_event(struct emit *e, struct kluis_str state)
{
    static const struct name shared[] = { { "ACCEPTED", "answered" },
                                          { "NOT_ACCEPTED", "not-answered" },
                                          { "MISSED_NOTIFICATION_PROFILE", "missed" } };
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++) {
        if (kluis_str_is(state, shared[i].signal)) { return kluis_str_of(shared[i].event); }
    }
    return state.ptr != NULL ? kebab(e->arena, state) : KLUIS_STR_LIT("unknown-state");
}

static void emit_call(struct emit *e, struct json *item, struct json *call, bool group, uint32_t author, uint64_t sent)
{
    static const struct {
        const char *member, *name;
    } times[] = { { "startedCallTimestamp", "started" }, { "endedCallTimestamp", "ended" } };
    static const struct {
        const char *member, *name;
    } people[] = { { "ringerRecipientId", "ringer" }, { "startedCallRecipientId", "starter" } };
    struct draft *d = item_draft(e, item, KLUIS_CALL, author, sent, ":call");
    struct kluis_str state = json_string(call, "state"), type = json_string(call, "type"), direction = json_string(call, "direction");
    uint64_t n;
    d->r.event = call_event(e, state);
    draft_text(e, d, "call-state", state);
    if (kluis_str_is(type, "VIDEO_CALL")) {
        d->r.value = KLUIS_STR_LIT("video");
    } else if (kluis_str_is(type, "AUDIO_CALL")) {
        d->r.value = KLUIS_STR_LIT("audio");
    } else {
        draft_text(e, d, "call-type", type);
    }
    draft_text(e, d, "item", group ? KLUIS_STR_LIT("group-call") : KLUIS_STR_LIT("call"));
    if (direction.ptr != NULL) { draft_text(e, d, "call-direction", kebab(e->arena, direction)); }
    if (json_u64(call, "callId", &n)) { draft_text(e, d, "call-id", arena_fmt(e->arena, "%llu", (unsigned long long)n)); }
    for (size_t i = 0; i < 2; i++) {
        if (json_u64(call, times[i].member, &n)) { draft_time(d, times[i].name, n); }
        uint32_t who = who_member(e, call, people[i].member);
        if (who != NOBODY) { draft_text(e, d, people[i].name, e->m->who[who].key); }
    }
    if (json_true(call, "read")) { draft_number(e, d, "call-read", 1); }
    draft_rest(e, d, "signal", call);
    send_event(e, item, d);
}

/* An update that points at a message: the end of a poll, a pin. */
static void emit_pointing(struct emit *e, struct json *item, struct json *u, const char *event, uint32_t target_author, uint32_t author,
                          uint64_t sent)
{
    struct draft *d = event_draft(e, item, event, author, sent, 0);
    uint64_t ms = 0;
    if (json_u64(u, "targetSentTimestamp", &ms)) {
        d->r.target = message_id(e, target_author, ms, "");
        d->r.target_sent = when_ms(ms);
    }
    d->r.target_author = party_index(e, target_author);
    d->r.quote = json_string(u, "question");
    json_ignore(u, "authorId");
    flat(e, d, u);
    send_event(e, item, d);
}

void emit_update(struct emit *e, struct json *item, struct json *update, uint32_t author, uint64_t sent)
{
    static const struct name plain[] = { { "expirationTimerChange", "timer-changed" },
                                         { "profileChange", "profile-changed" },
                                         { "learnedProfileChange", "profile-learned" },
                                         { "threadMerge", "thread-merged" },
                                         { "sessionSwitchover", "session-switchover" } };
    static const struct name simple[] = { { "IDENTITY_UPDATE", "security-code-changed" },
                                          { "CHANGE_NUMBER", "number-changed" },
                                          { "BLOCKED", "contact-blocked" },
                                          { "UNBLOCKED", "contact-unblocked" } };
    struct json *u = update->child;
    while (u != NULL && u->type != JSON_OBJECT) { u = u->next; }
    if (u != NULL && kluis_str_is(u->key, "groupChange") && json_array(u, "updates") != NULL && json_array(u, "updates")->child != NULL) {
        unsigned nth = 0;
        for (struct json *v = json_array(u, "updates")->child; v != NULL && e->rc == KLUIS_OK; v = v->next) {
            emit_group_update(e, item, v, author, sent, nth++);
        }
        return;
    }
    if (u != NULL && kluis_str_is(u->key, "individualCall")) {
        emit_call(e, item, u, false, author, sent);
        return;
    }
    if (u != NULL && kluis_str_is(u->key, "groupCall")) {
        emit_call(e, item, u, true, author, sent);
        return;
    }
    if (u != NULL && kluis_str_is(u->key, "pollTerminate")) {
        emit_pointing(e, item, u, "poll-ended", author, author, sent);
        return;
    }
    if (u != NULL && kluis_str_is(u->key, "pinMessage")) {
        emit_pointing(e, item, u, "message-pinned", who_member(e, u, "authorId"), author, sent);
        return;
    }

    const char *event = "unknown";
    struct kluis_str type = { NULL, 0 };
    for (size_t i = 0; u != NULL && i < sizeof plain / sizeof *plain; i++) {
        if (kluis_str_is(u->key, plain[i].signal)) { event = plain[i].event; }
    }
    if (u != NULL && kluis_str_is(u->key, "simpleUpdate")) {
        type = json_string(u, "type");
        for (size_t i = 0; i < sizeof simple / sizeof *simple; i++) {
            if (kluis_str_is(type, simple[i].signal)) { event = simple[i].event; }
        }
        if (strcmp(event, "unknown") != 0) { type = (struct kluis_str){ NULL, 0 }; }
        struct kluis_str name = type.ptr != NULL && type.len < 60 ? kebab(e->arena, type) : (struct kluis_str){ NULL, 0 };
        if (name.ptr != NULL) { event = arena_fmt(e->arena, "%.*s", (int)name.len, name.ptr).ptr; }
        if (event == NULL) { event = "unknown"; }
    }
    struct draft *d = event_draft(e, item, event, author, sent, 0);
    draft_text(e, d, "code", u != NULL ? u->key : KLUIS_STR_LIT("none"));
    if (u != NULL && kluis_str_is(u->key, "simpleUpdate")) { draft_text(e, d, "type", json_string(u, "type")); }
    if (u != NULL) { flat(e, d, u); }
    if (strcmp(event, "unknown") == 0) { draft_text(e, d, "raw", json_shown(update, e->arena)); }
    send_event(e, item, d);
    if (strcmp(event, "timer-changed") == 0) { timer(e, item, u, author, sent); }
}
