/* item.c - one row of messages as the item that a backup of it would hold.
 *
 * Since schema 1270 some of what a row says stands in columns and no longer in its JSON, since 1360 its attachments in a table of their own;
 * whichever is there is taken.  What has no place in an item stays in the record's evidence, which is the whole row.
 */
#include "agent/source/signal_desktop/desktop.h"

#include <sqlite3.h>

struct row {
    struct desktop *d;
    struct make *k;
    struct sqlite3_stmt *st;
    struct json *j; /* its JSON, or NULL */
    struct kluis_str id;
};

static struct kluis_str said(const struct row *r, const char *name)
{
    struct kluis_str s = desktop_column(r->st, name);
    return s.ptr != NULL && s.len > 0 ? s : json_string(r->j, name);
}

static bool said_u64(const struct row *r, const char *name, uint64_t *out)
{
    return desktop_column_u64(r->st, name, out) || json_u64(r->j, name, out);
}

static bool said_true(const struct row *r, const char *name)
{
    uint64_t n = 0;
    return (desktop_column_u64(r->st, name, &n) && n != 0) || json_true(r->j, name) || (json_u64(r->j, name, &n) && n != 0);
}

static void put_person(const struct row *r, struct json *object, const char *key, struct kluis_str id)
{
    int64_t row = desktop_person(r->d, id);
    if (row > 0) { make_u64(r->k, object, key, (uint64_t)row); }
}

/* ---- attachments ------------------------------------------------------------------------------------------------------ */

/* Where both forms of an attachment agree: a member of JSON or a column of that name. */
struct stored {
    struct json *j;
    struct sqlite3_stmt *st;
};
static struct kluis_str part(const struct stored *a, const char *name)
{
    return a->st != NULL ? desktop_column(a->st, name) : json_string(a->j, name);
}
static bool part_u64(const struct stored *a, const char *name, uint64_t *out)
{
    return a->st != NULL ? desktop_column_u64(a->st, name, out) : json_u64(a->j, name, out);
}

static struct json *pointer(const struct row *r, const struct stored *a)
{
    struct make *k = r->k;
    struct json *p = make_object(k), *l = make_in(k, p, "locatorInfo");
    uint8_t hash[MEDIA_HASH];
    uint64_t n;
    make_text(k, p, "contentType", part(a, "contentType"));
    make_text(k, p, "fileName", part(a, "fileName"));
    make_text(k, p, "caption", part(a, "caption"));
    if (part_u64(a, "size", &n)) { make_u64(k, l, "size", n); }
    if (part_u64(a, "version", &n)) { make_u64(k, l, "version", n); }
    if (kluis_unhex(part(a, "plaintextHash"), hash, sizeof hash)) { make_base64(k, l, "plaintextHash", (struct kluis_bytes){ hash, sizeof hash }); }
    make_text(k, l, "path", part(a, "path"));
    make_text(k, l, "localKey", part(a, "localKey"));
    return p;
}

static void put_attachment(const struct row *r, struct json *list, const struct stored *a)
{
    uint64_t flags = 0;
    struct json *m = make_push(list, make_object(r->k));
    (void)make_put(r->k, m, "pointer", pointer(r, a));
    (void)part_u64(a, "flags", &flags);
    if ((flags & 1) != 0) { make_text(r->k, m, "flag", KLUIS_STR_LIT("VOICE_MESSAGE")); }
    if ((flags & 8) != 0) { make_text(r->k, m, "flag", KLUIS_STR_LIT("GIF")); }
    make_true(r->k, m, "wasDownloaded", part(a, "path").ptr != NULL);
}

/* Attachments of one kind of one version of the message: from the table where there is one, else from JSON. */
static void each_file(const struct row *r, int64_t version, const char *kind, struct json *from,
                      void (*fn)(const struct row *r, void *ctx, const struct stored *a), void *ctx)
{
    bool any = false;
    if (r->d->files != NULL) {
        (void)sqlite3_reset(r->d->files);
        (void)sqlite3_bind_text(r->d->files, 1, r->id.ptr, (int)r->id.len, SQLITE_STATIC);
        (void)sqlite3_bind_int64(r->d->files, 2, version);
        (void)sqlite3_bind_text(r->d->files, 3, kind, -1, SQLITE_STATIC);
        while (sqlite3_step(r->d->files) == SQLITE_ROW) {
            const struct stored a = { .st = r->d->files };
            any = true;
            fn(r, ctx, &a);
        }
        (void)sqlite3_reset(r->d->files);
    }
    if (any || from == NULL) { return; }
    const struct stored one = { .j = from };
    if (from->type == JSON_OBJECT) { fn(r, ctx, &one); }
    for (struct json *v = from->type == JSON_ARRAY ? from->child : NULL; v != NULL; v = v->next) {
        const struct stored a = { .j = v };
        fn(r, ctx, &a);
    }
}

static void add_to_list(const struct row *r, void *ctx, const struct stored *a)
{
    struct json *c = ctx, *list = json_array(c, "attachments");
    put_attachment(r, list != NULL ? list : make_list(r->k, c, "attachments"), a);
}
static void as_long_text(const struct row *r, void *ctx, const struct stored *a) { (void)make_put(r->k, ctx, "longText", pointer(r, a)); }
static void as_data(const struct row *r, void *ctx, const struct stored *a) { (void)make_put(r->k, ctx, "data", pointer(r, a)); }

struct preview {
    struct json *list;
    unsigned at;
};
static void as_image(const struct row *r, void *ctx, const struct stored *a)
{
    struct preview *p = ctx;
    uint64_t order = p->at;
    struct json *v = p->list->child;
    if (a->st != NULL) { (void)part_u64(a, "orderInMessage", &order); }
    for (uint64_t i = 0; v != NULL && i < order; i++) { v = v->next; }
    if (v != NULL) { (void)make_put(r->k, v, "image", pointer(r, a)); }
}

/* ---- text, quote, reactions --------------------------------------------------------------------------------------------- */

static void put_text(const struct row *r, struct json *c, struct kluis_str body, struct json *ranges)
{
    static const char *const styles[] = { NULL, "BOLD", "ITALIC", "SPOILER", "STRIKETHROUGH", "MONOSPACE" };
    if (body.ptr == NULL) { return; }
    struct json *t = make_in(r->k, c, "text"), *list = NULL;
    make_text(r->k, t, "body", body);
    for (struct json *v = ranges != NULL ? ranges->child : NULL; v != NULL; v = v->next) {
        uint64_t start = 0, length = 0, style = 0;
        struct kluis_str who = json_string(v, "mentionAci");
        if (who.ptr == NULL) { who = json_string(v, "mentionUuid"); }
        (void)json_u64(v, "start", &start);
        (void)json_u64(v, "length", &length);
        (void)json_u64(v, "style", &style);
        if (list == NULL) { list = make_list(r->k, t, "bodyRanges"); }
        struct json *o = make_push(list, make_object(r->k));
        make_u64(r->k, o, "start", start);
        make_u64(r->k, o, "length", length);
        if (who.ptr != NULL) {
            make_uuid(r->k, o, "mentionAci", who);
        } else if (style > 0 && style < sizeof styles / sizeof *styles) {
            make_text(r->k, o, "style", kluis_str_of(styles[style]));
        }
    }
}

static void put_quote(const struct row *r, struct json *c, struct json *from)
{
    uint64_t ms;
    if (from == NULL) { return; }
    struct json *q = make_in(r->k, c, "quote");
    struct kluis_str who = json_string(from, "authorAci");
    if (who.ptr == NULL) { who = json_string(from, "authorUuid"); }
    if (who.ptr == NULL) { who = json_string(from, "author"); }
    if (!json_true(from, "referencedMessageNotFound") && json_u64(from, "id", &ms)) { make_u64(r->k, q, "targetSentTimestamp", ms); }
    put_person(r, q, "authorId", who);
    put_text(r, q, json_string(from, "text"), json_array(from, "bodyRanges"));
    if (json_true(from, "isViewOnce")) { make_text(r->k, q, "type", KLUIS_STR_LIT("VIEW_ONCE")); }
    if (json_true(from, "isGiftBadge")) { make_text(r->k, q, "type", KLUIS_STR_LIT("GIFT_BADGE")); }
    if (json_true(from, "isPoll")) { make_text(r->k, q, "type", KLUIS_STR_LIT("POLL")); }
    struct json *list = json_array(from, "attachments"), *out = list != NULL && list->child != NULL ? make_list(r->k, q, "attachments") : NULL;
    for (struct json *v = list != NULL ? list->child : NULL; v != NULL; v = v->next) {
        struct json *o = make_push(out, make_object(r->k));
        make_text(r->k, o, "contentType", json_string(v, "contentType"));
        make_text(r->k, o, "fileName", json_string(v, "fileName"));
    }
}

static void put_reactions(const struct row *r, struct json *c)
{
    struct json *list = json_array(r->j, "reactions"), *out = list != NULL && list->child != NULL ? make_list(r->k, c, "reactions") : NULL;
    for (struct json *v = list != NULL ? list->child : NULL; v != NULL; v = v->next) {
        uint64_t ms = 0;
        struct kluis_str emoji = json_string(v, "emoji");
        if (emoji.ptr == NULL) { continue; } /* taken back */
        struct json *o = make_push(out, make_object(r->k));
        make_text(r->k, o, "emoji", emoji);
        put_person(r, o, "authorId", json_string(v, "fromId"));
        if (json_u64(v, "timestamp", &ms)) { make_u64(r->k, o, "sentTimestamp", ms); }
    }
}

/* ---- contents ---------------------------------------------------------------------------------------------------------------- */

/* What a version of the message says: from the message itself (version -1), or from an entry of its edit history. */
static void put_standard(const struct row *r, struct json *item, struct json *from, int64_t version, bool reactions)
{
    struct json *c = make_in(r->k, item, "standardMessage");
    put_quote(r, c, json_object(from, "quote"));
    put_text(r, c, from == r->j ? said(r, "body") : json_string(from, "body"), json_array(from, "bodyRanges"));
    each_file(r, version, "attachment", json_array(from, "attachments"), add_to_list, c);
    each_file(r, version, "long-message", json_object(from, "bodyAttachment"), as_long_text, c);
    struct json *list = json_array(from, "preview");
    struct preview p = { .list = list != NULL && list->child != NULL ? make_list(r->k, c, "linkPreview") : NULL };
    for (struct json *v = list != NULL ? list->child : NULL; v != NULL; v = v->next) {
        uint64_t ms;
        struct json *o = make_push(p.list, make_object(r->k));
        make_text(r->k, o, "url", json_string(v, "url"));
        make_text(r->k, o, "title", json_string(v, "title"));
        make_text(r->k, o, "description", json_string(v, "description"));
        if (json_u64(v, "date", &ms)) { make_u64(r->k, o, "date", ms); }
    }
    for (struct json *v = list != NULL ? list->child : NULL; v != NULL; v = v->next, p.at++) {
        struct json *image = json_object(v, "image");
        if (r->d->files == NULL && image != NULL) { each_file(r, version, "preview", image, as_image, &p); }
    }
    if (r->d->files != NULL && p.list != NULL) { each_file(r, version, "preview", NULL, as_image, &p); }
    if (reactions) { put_reactions(r, c); }
}

static void put_poll(const struct row *r, struct json *item, struct json *from)
{
    struct json *c = make_in(r->k, item, "poll"), *out = make_list(r->k, c, "options");
    struct json *list = json_array(from, "options"), *votes = json_array(from, "votes");
    uint64_t at = 0, ended = 0;
    make_text(r->k, c, "question", json_string(from, "question"));
    make_true(r->k, c, "allowMultiple", json_true(from, "allowMultiple"));
    make_true(r->k, c, "hasEnded", json_u64(from, "terminatedAt", &ended) || json_object(from, "terminatedAt") != NULL);
    for (struct json *v = list != NULL ? list->child : NULL; v != NULL; v = v->next, at++) {
        struct json *o = make_push(out, make_object(r->k)), *who = NULL;
        if (v->type == JSON_STRING) { make_text(r->k, o, "option", v->text); }
        for (struct json *b = votes != NULL ? votes->child : NULL; b != NULL; b = b->next) {
            struct json *chosen = json_array(b, "optionIndexes");
            for (const struct json *x = chosen != NULL ? chosen->child : NULL; x != NULL; x = x->next) {
                uint64_t index, count = 0;
                if (!json_value_u64(x, &index) || index != at) { continue; }
                if (who == NULL) { who = make_list(r->k, o, "votes"); }
                struct json *vote = make_push(who, make_object(r->k));
                put_person(r, vote, "voterId", json_string(b, "fromConversationId"));
                if (json_u64(b, "voteCount", &count)) { make_u64(r->k, vote, "voteCount", count); }
            }
        }
    }
    put_reactions(r, c);
}

static void put_content(const struct row *r, struct json *item)
{
    struct json *sticker = json_object(r->j, "sticker"), *poll = json_object(r->j, "poll"), *contact = json_array(r->j, "contact"), *c;
    struct json *gift = json_object(r->j, "giftBadge"), *payment = json_object(r->j, "payment");
    uint64_t n;
    if (said_true(r, "deletedForEveryone")) {
        (void)make_in(r->k, item, "remoteDeletedMessage");
    } else if (said_true(r, "isViewOnce")) {
        (void)make_in(r->k, item, "viewOnceMessage");
    } else if (poll != NULL) {
        put_poll(r, item, poll);
    } else if (sticker != NULL) {
        c = make_in(r->k, item, "stickerMessage");
        put_reactions(r, c);
        c = make_in(r->k, c, "sticker");
        uint8_t pack[16];
        if (kluis_unhex(json_string(sticker, "packId"), pack, sizeof pack)) {
            make_base64(r->k, c, "packId", (struct kluis_bytes){ pack, sizeof pack });
        }
        if (json_u64(sticker, "stickerId", &n)) { make_u64(r->k, c, "stickerId", n); }
        make_text(r->k, c, "emoji", json_string(sticker, "emoji"));
        each_file(r, -1, "sticker", json_object(sticker, "data"), as_data, c);
    } else if (contact != NULL && contact->child != NULL) {
        c = make_in(r->k, item, "contactMessage");
        put_reactions(r, c);
        make_text(r->k, make_in(r->k, c, "contact"), "shared", json_shown(contact->child, r->k->arena));
    } else if (gift != NULL) {
        c = make_in(r->k, item, "giftBadge");
        if (json_u64(gift, "state", &n)) {
            make_text(r->k, c, "state", n == 0 ? KLUIS_STR_LIT("UNOPENED") : n == 1 ? KLUIS_STR_LIT("OPENED") : KLUIS_STR_LIT("REDEEMED"));
        }
    } else if (payment != NULL) {
        make_text(r->k, make_in(r->k, item, "paymentNotification"), "note", json_string(payment, "note"));
    } else if (said(r, "storyId").ptr != NULL) {
        struct json *reaction = json_object(r->j, "storyReaction");
        c = make_in(r->k, item, "directStoryReplyMessage");
        make_text(r->k, c, "emoji", json_string(reaction, "emoji"));
        if (reaction == NULL) { put_text(r, make_in(r->k, c, "textReply"), said(r, "body"), json_array(r->j, "bodyRanges")); }
        put_reactions(r, c);
    } else {
        put_standard(r, item, r->j, -1, true);
    }
}

/* ---- both directions ------------------------------------------------------------------------------------------------------------ */

static void put_outgoing(const struct row *r, struct json *item, struct json *from)
{
    static const struct {
        const char *desktop, *backup;
    } states[] = { { "Pending", "pending" }, { "Sent", "sent" },       { "Delivered", "delivered" }, { "Read", "read" },
                   { "Viewed", "viewed" },   { "Skipped", "skipped" }, { "Failed", "failed" } };
    struct json *out = make_in(r->k, item, "outgoing"), *list = make_list(r->k, out, "sendStatus");
    struct json *state = json_object(from, "sendStateByConversationId");
    uint64_t ms;
    if (json_u64(from, "received_at_ms", &ms) || said_u64(r, "received_at_ms", &ms)) { make_u64(r->k, out, "dateReceived", ms); }
    for (struct json *v = state != NULL ? state->child : NULL; v != NULL; v = v->next) {
        int64_t who = desktop_person(r->d, v->key);
        struct kluis_str s = json_string(v, "status");
        if (who == 0 || who == r->d->self_row) { continue; }
        struct json *o = make_push(list, make_object(r->k));
        make_u64(r->k, o, "recipientId", (uint64_t)who);
        if (json_u64(v, "updatedAt", &ms)) { make_u64(r->k, o, "timestamp", ms); }
        for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
            if (kluis_str_is(s, states[i].desktop)) { (void)make_in(r->k, o, states[i].backup); }
        }
    }
}

static void put_incoming(const struct row *r, struct json *item, struct json *from)
{
    struct json *in = make_in(r->k, item, "incoming");
    uint64_t n;
    if (json_u64(from, "received_at_ms", &n) || said_u64(r, "received_at_ms", &n)) { make_u64(r->k, in, "dateReceived", n); }
    if (json_u64(from, "serverTimestamp", &n) || said_u64(r, "serverTimestamp", &n)) { make_u64(r->k, in, "dateServerSent", n); }
    make_true(r->k, in, "read", said_u64(r, "readStatus", &n) && n != 1);
    make_true(r->k, in, "sealedSender", said_true(r, "unidentifiedDeliveryReceived"));
}

static struct kluis_str author(const struct row *r)
{
    struct kluis_str who = said(r, "sourceServiceId");
    if (desktop_person(r->d, who) != 0) { return who; }
    if (said(r, "sourceUuid").ptr != NULL) { return said(r, "sourceUuid"); }
    struct kluis_str number = said(r, "source");
    return number.ptr != NULL ? number : who;
}

static void put_both(const struct row *r, struct json *item, bool outgoing, struct json *from)
{
    if (outgoing) {
        if (r->d->self_row > 0) { make_u64(r->k, item, "authorId", (uint64_t)r->d->self_row); }
        put_outgoing(r, item, from);
    } else {
        put_person(r, item, "authorId", author(r));
        put_incoming(r, item, from);
    }
}

/* Of an edited message the item is the newest version; the older ones stand in it, oldest first. */
static void put_message(const struct row *r, struct json *item, bool outgoing)
{
    struct json *history = json_array(r->j, "editHistory"), *entry[256];
    uint64_t n = 0, ms = 0;
    for (struct json *v = history != NULL ? history->child : NULL; v != NULL && n < 256; v = v->next) { entry[n++] = v; }
    if (n < 2 || said_true(r, "deletedForEveryone")) {
        if (said_u64(r, "timestamp", &ms) || said_u64(r, "sent_at", &ms)) { make_u64(r->k, item, "dateSent", ms); }
        put_both(r, item, outgoing, r->j);
        put_content(r, item);
        return;
    }
    if (json_u64(entry[0], "timestamp", &ms)) { make_u64(r->k, item, "dateSent", ms); }
    put_both(r, item, outgoing, entry[0]);
    struct json *list = make_list(r->k, item, "revisions");
    for (uint64_t i = n - 1; i > 0; i--) {
        struct json *o = make_push(list, make_object(r->k));
        if (json_u64(entry[i], "timestamp", &ms)) { make_u64(r->k, o, "dateSent", ms); }
        put_both(r, o, outgoing, entry[i]);
        put_standard(r, o, entry[i], (int64_t)i, false);
    }
    put_standard(r, item, r->j, -1, true);
}

/* ---- what happened to the chat ---------------------------------------------------------------------------------------------------- */

struct change {
    const char *desktop, *update, *who, *by; /* who: the name of the account concerned; by: of the one who did it */
};
static const struct change changes[] = {
    { "create", "groupCreationUpdate", NULL, "updaterAci" },
    { "title", "groupNameUpdate", NULL, "updaterAci" },
    { "avatar", "groupAvatarUpdate", NULL, "updaterAci" },
    { "description", "groupDescriptionUpdate", NULL, "updaterAci" },
    { "access-attributes", "groupAttributesAccessLevelChangeUpdate", NULL, "updaterAci" },
    { "access-members", "groupMembershipAccessLevelChangeUpdate", NULL, "updaterAci" },
    { "announcements-only", "groupAnnouncementOnlyChangeUpdate", NULL, "updaterAci" },
    { "member-add", "groupMemberAddedUpdate", "newMemberAci", "updaterAci" },
    { "member-add-from-invite", "groupInvitationAcceptedUpdate", "newMemberAci", "inviterAci" },
    { "member-add-from-link", "groupMemberJoinedByLinkUpdate", "newMemberAci", NULL },
    { "member-add-from-admin-approval", "groupJoinRequestApprovalUpdate", "requestorAci", "updaterAci" },
    { "member-privilege", "groupAdminStatusUpdate", "memberAci", "updaterAci" },
    { "member-remove", "groupMemberRemovedUpdate", "removedAci", "removerAci" },
    { "pending-add-one", "selfInvitedOtherUserToGroupUpdate", "inviteeServiceId", NULL },
    { "pending-add-many", "groupUnknownInviteeUpdate", NULL, "inviterAci" },
    { "pending-remove-one", "groupInvitationRevokedUpdate", NULL, "updaterAci" },
    { "pending-remove-many", "groupInvitationRevokedUpdate", NULL, "updaterAci" },
    { "admin-approval-add-one", "groupJoinRequestUpdate", "requestorAci", NULL },
    { "admin-approval-remove-one", "groupJoinRequestCanceledUpdate", "requestorAci", NULL },
    { "group-link-add", "groupInviteLinkEnabledUpdate", NULL, "updaterAci" },
    { "group-link-reset", "groupInviteLinkResetUpdate", NULL, "updaterAci" },
    { "group-link-remove", "groupInviteLinkDisabledUpdate", NULL, "updaterAci" },
    { "terminated", "groupTerminateChangeUpdate", NULL, "updaterAci" },
};

static void put_detail(const struct row *r, struct json *list, struct json *detail, struct kluis_str from)
{
    const struct kluis_str type = json_string(detail, "type"),
                           who = json_string(detail, "aci").ptr != NULL ? json_string(detail, "aci") : json_string(detail, "serviceId");
    const struct change *c = NULL;
    uint64_t n = 0;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        if (kluis_str_is(type, changes[i].desktop)) { c = &changes[i]; }
    }
    struct json *one = make_push(list, make_object(r->k));
    if (c == NULL) { /* kept under its own name, with everything it says */
        make_text(r->k, make_in(r->k, one, "unknownDetail"), "detail", json_shown(detail, r->k->arena));
        return;
    }
    const bool left = kluis_str_is(type, "member-remove") && kluis_str_eq(who, from);
    struct json *u = make_in(r->k, one, left ? "groupMemberLeftUpdate" : c->update);
    if (left) {
        make_uuid(r->k, u, "aci", who);
        return;
    }
    if (c->by != NULL) { make_uuid(r->k, u, c->by, from); }
    if (c->who != NULL) { make_uuid(r->k, u, c->who, who); }
    make_text(r->k, u, "newGroupName", json_string(detail, "newTitle"));
    make_text(r->k, u, "newDescription", json_string(detail, "description"));
    make_true(r->k, u, "wasRemoved", json_true(detail, "removed"));
    make_true(r->k, u, "isAnnouncementOnly", json_true(detail, "announcementsOnly"));
    make_true(r->k, u, "wasApproved", kluis_str_is(type, "member-add-from-admin-approval"));
    make_true(r->k, u, "wasAdminStatusGranted", json_u64(detail, "newPrivilege", &n) && n == 2);
    if (json_u64(detail, "count", &n)) { make_u64(r->k, u, "inviteeCount", n); }
}

static void put_group_change(const struct row *r, struct json *update)
{
    struct json *change = json_object(r->j, "groupV2Change"), *details = json_array(change, "details");
    struct json *list = make_list(r->k, make_in(r->k, update, "groupChange"), "updates");
    for (struct json *v = details != NULL ? details->child : NULL; v != NULL; v = v->next) { put_detail(r, list, v, json_string(change, "from")); }
}

static void put_call(const struct row *r, struct json *item, struct json *update)
{
    const struct kluis_str id = said(r, "callId");
    struct sqlite3_stmt *st = r->d->call;
    bool found = false;
    if (st != NULL && id.ptr != NULL) {
        (void)sqlite3_reset(st);
        (void)sqlite3_bind_text(st, 1, id.ptr, (int)id.len, SQLITE_STATIC);
        found = sqlite3_step(st) == SQLITE_ROW;
    }
    const struct kluis_str mode = found ? desktop_column(st, "mode") : (struct kluis_str){ NULL, 0 };
    const bool group = kluis_str_is(mode, "Group");
    struct json *c = make_in(r->k, update, group ? "groupCall" : "individualCall");
    make_text(r->k, c, "callId", id);
    if (found) {
        const struct kluis_str type = desktop_column(st, "type"), direction = desktop_column(st, "direction"), status = desktop_column(st, "status");
        uint64_t ms;
        if (kluis_str_is(type, "Audio")) { make_text(r->k, c, "type", KLUIS_STR_LIT("AUDIO_CALL")); }
        if (kluis_str_is(type, "Video")) { make_text(r->k, c, "type", KLUIS_STR_LIT("VIDEO_CALL")); }
        if (!group) { make_text(r->k, c, "direction", kluis_str_is(direction, "Outgoing") ? KLUIS_STR_LIT("OUTGOING") : KLUIS_STR_LIT("INCOMING")); }
        if (kluis_str_is(direction, "Outgoing")) {
            make_u64(r->k, item, "authorId", (uint64_t)r->d->self_row);
        } else {
            put_person(r, item, "authorId", group ? desktop_column(st, "ringerId") : desktop_column(st, "peerId"));
        }
        make_text(r->k, c, "state",
                  kluis_str_is(status, "Accepted")   ? KLUIS_STR_LIT("ACCEPTED")
                  : kluis_str_is(status, "Missed")   ? KLUIS_STR_LIT("MISSED")
                  : kluis_str_is(status, "Declined") ? (group ? KLUIS_STR_LIT("DECLINED") : KLUIS_STR_LIT("NOT_ACCEPTED"))
                                                     : status);
        if (desktop_column_u64(st, "timestamp", &ms)) { make_u64(r->k, c, "startedCallTimestamp", ms); }
        if (desktop_column_u64(st, "endedTimestamp", &ms)) { make_u64(r->k, c, "endedCallTimestamp", ms); }
        put_person(r, c, "ringerRecipientId", desktop_column(st, "ringerId"));
        (void)sqlite3_reset(st);
    }
}

static bool put_timer(const struct row *r, struct json *item, struct json *update)
{
    struct json *timer = json_object(r->j, "expirationTimerUpdate");
    uint64_t seconds = 0;
    if (timer == NULL) { return false; }
    struct kluis_str who = json_string(timer, "sourceServiceId");
    if (who.ptr == NULL) { who = json_string(timer, "sourceUuid").ptr != NULL ? json_string(timer, "sourceUuid") : json_string(timer, "source"); }
    put_person(r, item, "authorId", who);
    (void)json_u64(timer, "expireTimer", &seconds);
    make_u64(r->k, make_in(r->k, update, "expirationTimerChange"), "expiresInMs", seconds < UINT32_MAX ? seconds * 1000 : 0);
    return true;
}

static void put_simple(const struct row *r, struct json *item, struct json *update, struct kluis_str type)
{
    static const struct {
        const char *desktop, *simple, *who; /* who: the member that names the person concerned */
    } plain[] = {
        { "keychange", "IDENTITY_UPDATE", "key_changed" },
        { "change-number-notification", "CHANGE_NUMBER", "sourceServiceId" },
        { "chat-session-refreshed", "CHAT_SESSION_REFRESH", "sourceServiceId" },
        { "delivery-issue", "BAD_DECRYPT", "sourceServiceId" },
        { "joined-signal-notification", "JOINED_SIGNAL", "sourceServiceId" },
    };
    struct json *u;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (!kluis_str_is(type, plain[i].desktop)) { continue; }
        put_person(r, item, "authorId", said(r, plain[i].who));
        make_text(r->k, make_in(r->k, update, "simpleUpdate"), "type", kluis_str_of(plain[i].simple));
        return;
    }
    if (kluis_str_is(type, "verified-change")) {
        put_person(r, item, "authorId", json_string(r->j, "verifiedChanged"));
        make_text(r->k, make_in(r->k, update, "simpleUpdate"), "type",
                  json_true(r->j, "verified") ? KLUIS_STR_LIT("IDENTITY_VERIFIED") : KLUIS_STR_LIT("IDENTITY_DEFAULT"));
    } else if (kluis_str_is(type, "profile-change")) {
        struct json *p = json_object(r->j, "profileChange");
        put_person(r, item, "authorId", json_string(r->j, "changedId"));
        u = make_in(r->k, update, "profileChange");
        make_text(r->k, u, "previousName", json_string(p, "oldName"));
        make_text(r->k, u, "newName", json_string(p, "newName"));
    } else if (kluis_str_is(type, "group-v1-migration")) {
        u = make_list(r->k, make_in(r->k, update, "groupChange"), "updates");
        (void)make_in(r->k, make_push(u, make_object(r->k)), "groupV2MigrationUpdate");
    } else { /* an event of its own name, whatever Desktop calls it */
        u = make_in(r->k, update, "desktopEvent");
        make_text(r->k, u, "type", type.ptr != NULL ? type : KLUIS_STR_LIT("none"));
    }
}

void desktop_item(struct desktop *d, struct sqlite3_stmt *st, struct json *frame)
{
    struct row r = { .d = d, .k = &d->make, .st = st, .id = desktop_column(st, "id") };
    struct json *item = make_in(&d->make, frame, "chatItem");
    const struct kluis_str text = desktop_column(st, "json");
    uint64_t n = 0;
    kluis_arena_clear(d->json);
    if (text.ptr == NULL || json_read_loose(text, d->json, &r.j, NULL) != KLUIS_OK) { r.j = NULL; }
    const struct kluis_str type = said(&r, "type");
    put_person(&r, item, "chatId", said(&r, "conversationId"));
    if (said_u64(&r, "expireTimer", &n) && n > 0 && n < UINT32_MAX) { make_u64(r.k, item, "expiresInMs", n * 1000); }
    if (said_u64(&r, "expirationStartTimestamp", &n)) { make_u64(r.k, item, "expireStartDate", n); }
    const bool outgoing = kluis_str_is(type, "outgoing"), incoming = kluis_str_is(type, "incoming");
    if ((outgoing || incoming) && json_object(r.j, "expirationTimerUpdate") == NULL) {
        put_message(&r, item, outgoing);
        return;
    }
    if (said_u64(&r, "timestamp", &n) || said_u64(&r, "sent_at", &n)) { make_u64(r.k, item, "dateSent", n); }
    struct json *update = make_in(r.k, item, "updateMessage");
    (void)make_in(r.k, item, "directionless");
    if (put_timer(&r, item, update)) { return; }
    if (kluis_str_is(type, "group-v2-change")) {
        put_person(&r, item, "authorId", json_string(json_object(r.j, "groupV2Change"), "from"));
        put_group_change(&r, update);
    } else if (kluis_str_is(type, "call-history")) {
        put_call(&r, item, update);
    } else {
        put_simple(&r, item, update, type);
    }
}
