/* update.c - rows that tell what happened to a chat: their type's bits, and what stands in their body or extras.
 */
#include "agent/source/signal_android/backup.h"
#include "agent/source/signal_archive/wire.h"

#include <sqlite3.h>

enum { BYTES_MAX = 256 << 10, CHANGES_MAX = 256 };

struct update {
    struct sa_rows *r;
    struct make *k;
    struct sqlite3_stmt *st;
    struct kluis_bytes extras; /* the cell message_extras, or absent */
};

static struct kluis_bytes field_of(struct kluis_bytes message, uint32_t number)
{
    struct pb m = pb_open(message);
    struct pb_field f;
    struct kluis_bytes out = { NULL, 0 };
    while (message.ptr != NULL && pb_next(&m, &f) == 1) {
        if (f.number == number && f.type == PB_BYTES) { out = f.bytes; }
    }
    return out;
}
static uint64_t number_of(struct kluis_bytes message, uint32_t number)
{
    struct pb m = pb_open(message);
    struct pb_field f;
    uint64_t out = 0;
    while (message.ptr != NULL && pb_next(&m, &f) == 1) {
        if (f.number == number && f.type == PB_VARINT) { out = f.value; }
    }
    return out;
}
static struct kluis_str string_of(struct kluis_bytes message, uint32_t number)
{
    const struct kluis_bytes b = field_of(message, number);
    return b.ptr != NULL && kluis_utf8_valid((const char *)b.ptr, b.len) == b.len ? (struct kluis_str){ (const char *)b.ptr, b.len }
                                                                                  : (struct kluis_str){ NULL, 0 };
}

/* The body as the bytes it is base64 of; absent: it is not. */
static struct kluis_bytes body_bytes(struct update *u)
{
    const struct kluis_str body = row_text(u->st, "body");
    size_t n = 0;
    if (body.ptr == NULL || body.len == 0 || body.len > BYTES_MAX) { return (struct kluis_bytes){ NULL, 0 }; }
    uint8_t *p = kluis_arena_alloc(u->k->arena, body.len);
    if (p == NULL || !kluis_unbase64(body, p, body.len, &n)) { return (struct kluis_bytes){ NULL, 0 }; }
    return (struct kluis_bytes){ p, n };
}

static bool simple(struct update *u, struct json *update, const char *type)
{
    make_text(u->k, make_in(u->k, update, "simpleUpdate"), "type", kluis_str_of(type));
    return true;
}

/* ---- changes of a group ------------------------------------------------------------------------------------------------------- */

static struct json *change(struct update *u, struct json *list, const char *name) { return make_in(u->k, make_push(list, make_object(u->k)), name); }

static void put_id(struct update *u, struct json *o, const char *key, struct kluis_bytes id)
{
    if (id.len == 16) { make_base64(u->k, o, key, id); }
}

static const struct {
    uint32_t number;
    const char *name, *by, *who; /* who: a member that field 1 of the entry (or the entry itself) names */
    bool bare;                   /* the entry is an account id, not a message */
} entries[] = {
    { 3, "groupMemberAddedUpdate", "updaterAci", "newMemberAci", false },
    { 4, "groupMemberRemovedUpdate", "removerAci", "removedAci", true },
    { 5, "groupAdminStatusUpdate", "updaterAci", "memberAci", false },
    { 7, "selfInvitedOtherUserToGroupUpdate", NULL, "inviteeServiceId", false },
    { 8, "groupInvitationRevokedUpdate", "updaterAci", NULL, false },
    { 9, "groupInvitationAcceptedUpdate", NULL, "newMemberAci", false },
    { 16, "groupJoinRequestUpdate", NULL, "requestorAci", false },
    { 17, "groupJoinRequestApprovalUpdate", "updaterAci", "requestorAci", true },
    { 18, "groupJoinRequestApprovalUpdate", "updaterAci", "requestorAci", false },
    { 24, "groupInvitationAcceptedUpdate", NULL, "newMemberAci", false },
};

static bool put_entry(struct update *u, struct json *list, const struct pb_field *f, struct kluis_bytes editor)
{
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        if (entries[i].number != f->number) { continue; }
        const struct kluis_bytes who = entries[i].bare ? f->bytes : field_of(f->bytes, 1);
        const bool himself = who.len == editor.len && editor.len > 0 && memcmp(who.ptr, editor.ptr, editor.len) == 0;
        if (f->number == 4 && himself) {
            put_id(u, change(u, list, "groupMemberLeftUpdate"), "aci", who);
            return true;
        }
        if (f->number == 17 && himself) {
            put_id(u, change(u, list, "groupJoinRequestCanceledUpdate"), "requestorAci", who);
            return true;
        }
        if (f->number == 3 && himself) {
            put_id(u, change(u, list, "groupMemberJoinedByLinkUpdate"), "newMemberAci", who);
            return true;
        }
        struct json *o = change(u, list, entries[i].name);
        if (entries[i].by != NULL) { put_id(u, o, entries[i].by, editor); }
        if (entries[i].who != NULL) { put_id(u, o, entries[i].who, who); }
        make_true(u->k, o, "wasAdminStatusGranted", f->number == 5 && number_of(f->bytes, 2) == 2);
        make_true(u->k, o, "wasApproved", f->number == 18);
        return true;
    }
    return false;
}

static void put_setting(struct update *u, struct json *list, const struct pb_field *f, struct kluis_bytes editor)
{
    static const char *const access[] = { "UNKNOWN", "ANY", "MEMBER", "ADMINISTRATOR", "UNSATISFIABLE" };
    static const struct {
        uint32_t number;
        const char *name;
    } settings[] = { { 10, "groupNameUpdate" },
                     { 11, "groupAvatarUpdate" },
                     { 12, "groupExpirationTimerUpdate" },
                     { 13, "groupAttributesAccessLevelChangeUpdate" },
                     { 14, "groupMembershipAccessLevelChangeUpdate" },
                     { 15, "groupInviteLinkEnabledUpdate" },
                     { 19, "groupInviteLinkResetUpdate" },
                     { 20, "groupDescriptionUpdate" },
                     { 21, "groupAnnouncementOnlyChangeUpdate" },
                     { 27, "groupMemberLabelAccessLevelChangeUpdate" },
                     { 28, "groupTerminateChangeUpdate" } };
    const char *name = NULL;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        if (settings[i].number == f->number) { name = settings[i].name; }
    }
    if (f->number == 15 && f->value == 4) { name = "groupInviteLinkDisabledUpdate"; }
    if (name == NULL) { /* of a later version, or a key that says nothing: told by its number */
        make_u64(u->k, change(u, list, "unknownChange"), "field", f->number);
        return;
    }
    struct json *o = change(u, list, name);
    put_id(u, o, "updaterAci", editor);
    switch (f->number) {
    case 10: make_text(u->k, o, "newGroupName", string_of(f->bytes, 1)); break;
    case 11: make_true(u->k, o, "wasRemoved", string_of(f->bytes, 1).len == 0); break;
    case 12: make_u64(u->k, o, "expiresInMs", number_of(f->bytes, 1) * 1000); break;
    case 13:
    case 14:
    case 27: make_text(u->k, o, "accessLevel", kluis_str_of(access[f->value < 5 ? f->value : 0])); break;
    case 15: make_true(u->k, o, "linkRequiresAdminApproval", f->value == 3); break;
    case 20: make_text(u->k, o, "newDescription", string_of(f->bytes, 1)); break;
    case 21: make_true(u->k, o, "isAnnouncementOnly", f->value == 1); break;
    default: break;
    }
}

/* What Signal deciphered of a change: { editor, revision, lists of members, settings }. */
static void put_context(struct update *u, struct json *list, struct kluis_bytes context)
{
    const struct kluis_bytes what = field_of(context, 2), editor = field_of(what, 1);
    struct pb m = pb_open(what);
    struct pb_field f;
    if (what.ptr == NULL || field_of(context, 4).ptr == NULL) {
        if (number_of(field_of(context, 3), 6) == 0) { put_id(u, change(u, list, "groupCreationUpdate"), "updaterAci", editor); }
    }
    for (unsigned n = 0; n < CHANGES_MAX && what.ptr != NULL && pb_next(&m, &f) == 1; n++) {
        if (f.number <= 2 || f.number == 6 || f.number == 22 || f.number == 23 || f.number == 25) { continue; } /* not shown by Signal either */
        if (f.type != PB_BYTES || !put_entry(u, list, &f, editor)) { put_setting(u, list, &f, editor); }
    }
}

static void group_change(struct update *u, struct json *update)
{
    const struct kluis_bytes described = field_of(u->extras, 1), today = field_of(described, 2);
    const char *damage = NULL;
    struct json *tree = NULL;
    uint8_t *copy = today.ptr != NULL && today.len <= BYTES_MAX ? kluis_arena_alloc(u->k->arena, today.len + 1) : NULL;
    if (copy != NULL) { /* the tree borrows from it, and the row goes */
        memcpy(copy, today.ptr, today.len);
        wire_tree((struct kluis_bytes){ copy, today.len }, wire_group_change, u->k->arena, &tree, &damage);
        if (tree != NULL) {
            (void)make_put(u->k, update, "groupChange", tree);
            return;
        }
    }
    struct json *list = make_list(u->k, make_in(u->k, update, "groupChange"), "updates");
    const struct kluis_bytes context = field_of(described, 1);
    put_context(u, list, context.ptr != NULL ? context : body_bytes(u));
}

/* ---- calls ------------------------------------------------------------------------------------------------------------------------ */

static const char *call_state(int64_t event)
{
    switch (event) {
    case 1: return "ACCEPTED";
    case 2: return "NOT_ACCEPTED";
    case 3: return "MISSED";
    case 5: return "GENERIC";
    case 6: return "JOINED";
    case 7: return "RINGING";
    case 8: return "DECLINED";
    case 9: return "OUTGOING_RING";
    case 10: return "MISSED_NOTIFICATION_PROFILE";
    default: return "UNKNOWN_STATE";
    }
}

static void put_call(struct update *u, struct json *update, int64_t base)
{
    struct sqlite3_stmt *st = NULL;
    const bool group = base == 12, out = base == 2 || base == 11, missed = base == 3 || base == 8, video = base == 8 || base == 10 || base == 11;
    struct json *c = make_in(u->k, update, group ? "groupCall" : "individualCall");
    const int64_t sent = row_column(u->st, "date_sent") >= 0 ? row_int(u->st, "date_sent", 0) : row_int(u->st, "date", 0);
    bool found = false;
    if (u->r->call && kluis_db_query(u->r->db, &st, NULL, "SELECT * FROM call WHERE message_id=?1 ORDER BY _id LIMIT 1", "i",
                                     row_int(u->st, "_id", 0)) == KLUIS_OK) {
        found = kluis_db_step(u->r->db, st, NULL) == KLUIS_OK;
        if (found) {
            sa_evidence(u->r, "call", st);
            make_u64(u->k, c, "callId", (uint64_t)row_int(st, "call_id", 0));
            make_text(u->k, c, "state", kluis_str_of(call_state(row_int(st, "event", 0))));
            if (group && row_int(st, "ringer", 0) > 0) { make_u64(u->k, c, "ringerRecipientId", (uint64_t)row_int(st, "ringer", 0)); }
            make_true(u->k, c, "read", row_int(st, "read", 0) != 0);
        }
        kluis_db_done(st);
    }
    if (!group) {
        make_text(u->k, c, "type", video ? KLUIS_STR_LIT("VIDEO_CALL") : KLUIS_STR_LIT("AUDIO_CALL"));
        make_text(u->k, c, "direction", out ? KLUIS_STR_LIT("OUTGOING") : KLUIS_STR_LIT("INCOMING"));
        /* Before calls had a table of their own, only a missed one is told from others. */
        if (!found) { make_text(u->k, c, "state", missed ? KLUIS_STR_LIT("MISSED") : KLUIS_STR_LIT("UNKNOWN_STATE")); }
        if (sent > 0) { make_u64(u->k, c, "startedCallTimestamp", (uint64_t)sent); }
        return;
    }
    const struct kluis_bytes details = body_bytes(u);
    const uint64_t started = number_of(details, 3), ended = number_of(details, 7);
    if (!found) { make_text(u->k, c, "state", KLUIS_STR_LIT("GENERIC")); }
    if (started > 0) { make_u64(u->k, c, "startedCallTimestamp", started); }
    if (ended > 0) { make_u64(u->k, c, "endedCallTimestamp", ended); }
}

/* ---- the rest -------------------------------------------------------------------------------------------------------------------------- */

static void put_profile(struct update *u, struct json *update)
{
    struct kluis_bytes d = field_of(u->extras, 3);
    if (d.ptr == NULL) { d = body_bytes(u); }
    const struct kluis_bytes name = field_of(d, 1), before = field_of(d, 2), learned = field_of(d, 3);
    if (learned.ptr != NULL) {
        struct json *o = make_in(u->k, update, "learnedProfileChange");
        const struct kluis_str number = string_of(learned, 1);
        if (number.len > 1 && number.ptr[0] == '+') { make_text(u->k, o, "e164", (struct kluis_str){ number.ptr + 1, number.len - 1 }); }
        make_text(u->k, o, "username", string_of(learned, 2));
        return;
    }
    struct json *o = make_in(u->k, update, "profileChange");
    make_text(u->k, o, "previousName", string_of(name.ptr != NULL ? name : before, 1));
    make_text(u->k, o, "newName", string_of(name.ptr != NULL ? name : before, 2));
}

static void put_number(struct update *u, struct json *update, const char *name, const char *key)
{
    const struct kluis_str number = string_of(body_bytes(u), 1);
    struct json *o = make_in(u->k, update, name);
    if (number.len > 1 && number.ptr[0] == '+') { make_text(u->k, o, key, (struct kluis_str){ number.ptr + 1, number.len - 1 }); }
}

static void put_poll_end(struct update *u, struct json *update)
{
    const struct kluis_bytes end = field_of(u->extras, 5);
    struct json *o = make_in(u->k, update, "pollTerminate");
    make_u64(u->k, o, "targetSentTimestamp", number_of(end, 3));
    make_text(u->k, o, "question", string_of(end, 1));
}

static void put_pinned(struct update *u, struct json *update)
{
    const struct kluis_bytes pin = field_of(u->extras, 6), author = field_of(pin, 2);
    struct json *o = make_in(u->k, update, "pinMessage");
    struct sqlite3_stmt *st = NULL;
    make_u64(u->k, o, "targetSentTimestamp", number_of(pin, 3));
    if (author.len != 16 || !database_has_column(u->r->db, "message", "from_recipient_id") ||
        kluis_db_query(u->r->db, &st, NULL, "SELECT from_recipient_id FROM message WHERE _id=?1", "i", (int64_t)number_of(pin, 1)) != KLUIS_OK) {
        return;
    }
    uint8_t id[16];
    if (kluis_db_step(u->r->db, st, NULL) == KLUIS_OK) {
        const int64_t who = kluis_db_int(st, 0);
        kluis_db_done(st);
        if (sa_account(u->r, who, id) && memcmp(id, author.ptr, 16) == 0) { make_u64(u->k, o, "authorId", (uint64_t)who); }
    } else {
        kluis_db_done(st);
    }
}

static const char *special_type(int64_t type)
{
    switch (type >> 32 & 0xf) {
    case 4: return "PAYMENT_ACTIVATION_REQUEST";
    case 5: return "REPORTED_SPAM";
    case 6: return "MESSAGE_REQUEST_ACCEPTED";
    case 8: return "PAYMENTS_ACTIVATED";
    case 0xa: return "BLOCKED";
    case 0xb: return "UNBLOCKED";
    default: return NULL;
    }
}

static const char *bit_type(int64_t type)
{
    static const struct {
        int64_t bit;
        const char *type;
    } bits[] = { { 0x400000, "END_SESSION" },
                 { 0x4000, "IDENTITY_VERIFIED" },
                 { 0x2000, "IDENTITY_DEFAULT" },
                 { 0x200, "IDENTITY_UPDATE" },
                 { 0x10000000, "CHAT_SESSION_REFRESH" } };
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
        if ((type & bits[i].bit) != 0) { return bits[i].type; }
    }
    return NULL;
}

static bool base_update(struct update *u, int64_t base, struct json *update)
{
    switch (base) {
    case 1:
    case 2:
    case 3:
    case 8:
    case 10:
    case 11:
    case 12: put_call(u, update, base); return true;
    case 4: return simple(u, update, "JOINED_SIGNAL");
    case 5: return simple(u, update, "UNSUPPORTED_PROTOCOL_MESSAGE");
    case 7: put_profile(u, update); return true;
    case 9: (void)change(u, make_list(u->k, make_in(u->k, update, "groupChange"), "updates"), "groupV2MigrationUpdate"); return true;
    case 13: return simple(u, update, "BAD_DECRYPT");
    case 14: return simple(u, update, "CHANGE_NUMBER");
    case 15: return simple(u, update, "RELEASE_CHANNEL_DONATION_REQUEST");
    case 16: put_number(u, update, "threadMerge", "previousE164"); return true;
    case 18: put_number(u, update, "sessionSwitchover", "e164"); return true;
    default: return false;
    }
}

static bool is_update(int64_t type)
{
    const int64_t base = type & 0x1f;
    return (base > 0 && base < 20) || (type & 0x70000) != 0 || special_type(type) != NULL || bit_type(type) != NULL || (type >> 32 & 0xf) >= 0xc;
}

bool sa_update(struct sa_rows *r, struct sqlite3_stmt *st, int64_t type, struct json *item)
{
    struct update u = { .r = r, .k = &r->make, .st = st, .extras = row_blob(st, "message_extras") };
    if (!is_update(type)) { return false; }
    struct json *update = make_in(u.k, item, "updateMessage");
    const char *special = special_type(type), *bit = bit_type(type);
    if (special != NULL) { return simple(&u, update, special); }
    if ((type >> 32 & 0xf) == 0xc) {
        put_poll_end(&u, update);
    } else if ((type >> 32 & 0xf) == 0xd) {
        put_pinned(&u, update);
    } else if ((type & 0x10000) != 0 && (type & 0x80000) != 0) {
        group_change(&u, update);
    } else if ((type & 0x30000) != 0) { /* a group of before 2020: its text says what changed */
        struct json *o = change(&u, make_list(u.k, make_in(u.k, update, "groupChange"), "updates"), "genericGroupUpdate");
        make_true(u.k, o, "left", (type & 0x20000) != 0);
    } else if ((type & 0x40000) != 0) {
        const int64_t ms = row_int(st, "expires_in", 0);
        make_u64(u.k, make_in(u.k, update, "expirationTimerChange"), "expiresInMs", ms > 0 ? (uint64_t)ms : 0);
    } else if (bit != NULL) {
        return simple(&u, update, bit);
    } else if (!base_update(&u, type & 0x1f, update)) { /* kept by its number */
        make_u64(u.k, make_in(u.k, update, "androidUpdate"), "type", (uint64_t)type);
    }
    return true;
}
