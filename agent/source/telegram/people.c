/* people.c - who is in a chat, and what the chat is called. */
#include "agent/source/telegram/telegram.h"

static struct kluis_str absent(void) { return (struct kluis_str){ NULL, 0 }; }

struct kluis_str telegram_number(const struct telegram *t, struct kluis_str from_id)
{
    uint64_t id = 0;
    if (from_id.len < 5 || memcmp(from_id.ptr, "user", 4) != 0) { return absent(); }
    for (size_t i = 4; i < from_id.len; i++) {
        if (from_id.ptr[i] < '0' || from_id.ptr[i] > '9' || id > UINT64_MAX / 16) { return absent(); }
        id = id * 10 + (uint64_t)(from_id.ptr[i] - '0');
    }
    size_t lo = 0, hi = t->n_contacts;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (t->contacts[mid].id < id) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    if (lo < t->n_contacts && t->contacts[lo].id == id) { return t->contacts[lo].number; }
    return kluis_str_is(from_id, t->self_id) ? t->self_number : absent();
}

static uint32_t people_note(struct telegram *t, struct kluis_str id, struct kluis_str name)
{
    uint32_t known = roster_find(&t->chat.people, id, name);
    return known != KLUIS_NO_PARTY ? known : roster_note(&t->chat.people, id, name, telegram_number(t, id));
}

void people_of_message(struct telegram *t, struct json *m)
{
    struct json *reactions = json_array(m, "reactions");
    (void)people_note(t, json_text(m, "from_id"), json_text(m, "from"));
    (void)people_note(t, json_text(m, "actor_id"), json_text(m, "actor"));
    for (struct json *r = reactions == NULL ? NULL : reactions->child; r != NULL; r = r->next) {
        struct json *recent = json_array(r, "recent");
        for (struct json *v = recent == NULL ? NULL : recent->child; v != NULL; v = v->next) {
            (void)people_note(t, json_text(v, "from_id"), json_text(v, "from"));
        }
    }
}

void chat_start(struct telegram *t)
{
    struct chat *c = &t->chat;
    roster_clear(&c->people);
    c->name = c->type = c->own_id = absent();
    c->id[0] = '\0';
    c->messages_at = c->n_messages = c->damaged = 0;
    c->has_messages = c->left = c->group = c->undecided_zone = false;
    c->self = KLUIS_NO_PARTY;
}

static const char *prefix_of(struct kluis_str type)
{
    static const struct {
        const char *type, *prefix;
    } known[] = { { "personal_chat", "user" },         { "bot_chat", "user" },
                  { "saved_messages", "saved" },       { "private_group", "chat" },
                  { "private_supergroup", "channel" }, { "public_supergroup", "channel" },
                  { "private_channel", "channel" },    { "public_channel", "channel" },
                  { "verification_codes", "user" },    { "replies", "user" } };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (kluis_str_is(type, known[i].type)) { return known[i].prefix; }
    }
    return "telegram";
}

void chat_conclude(struct telegram *t)
{
    struct chat *c = &t->chat;
    const char *prefix = prefix_of(c->type);
    c->group = strcmp(prefix, "chat") == 0 || strcmp(prefix, "channel") == 0;
    if (c->own_id.ptr != NULL && c->own_id.len < 40) {
        (void)snprintf(c->id, sizeof c->id, "%s%.*s", prefix, (int)c->own_id.len, c->own_id.ptr);
    } else { /* nothing numbers the chat: its name does, or its first two senders */
        KLUIS_AUTO_BUF(b, 1 << 20);
        uint8_t d[32];
        kluis_buf_cstr(&b, "chatkluis-telegram-conversation-v1:");
        kluis_buf_str(&b, c->name);
        for (uint32_t i = 0; c->name.ptr == NULL && i < c->people.n && i < 2; i++) {
            kluis_buf_str(&b, c->people.list[i].name);
            kluis_buf_byte(&b, 0);
        }
        kluis_sha256_of(b.data, b.len, d);
        memcpy(c->id, "unnumbered-", 11);
        kluis_base32(d, 16, c->id + 11);
    }
    c->self = roster_called(&c->people, t->self_option != NULL  ? kluis_str_of(t->self_option)
                                        : t->self_id[0] != '\0' ? kluis_str_of(t->self_id)
                                                                : absent());
    struct kluis_str other = kluis_str_of(c->id);
    if (c->self == KLUIS_NO_PARTY && strcmp(prefix, "user") == 0) { /* in a chat of two, whoever is not the other */
        for (uint32_t i = 0; i < c->people.n; i++) {
            struct kluis_str id = c->people.list[i].id;
            if (id.ptr != NULL && !kluis_str_eq(id, other) && memcmp(id.ptr, "user", id.len < 4 ? id.len : 4) == 0) { c->self = i; }
        }
    }
    if (c->self == KLUIS_NO_PARTY && t->self_id[0] != '\0') { c->self = people_note(t, kluis_str_of(t->self_id), t->self_name); }
    if (strcmp(prefix, "user") == 0 && roster_called(&c->people, other) == KLUIS_NO_PARTY) { (void)people_note(t, other, c->name); }
}

kluis_status chat_begin(struct telegram *t, struct kluis_err *err)
{
    static const char *const never[] = { "deleted-messages", "edit-history", "secret-chats", "former-members", "read-receipts" };
    struct chat *c = &t->chat;
    size_t n = 0;
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) { t->loss[n++] = kluis_str_of(never[i]); }
    if (c->people.several_names) { t->loss[n++] = KLUIS_STR_LIT("person-with-several-names"); }
    if (c->undecided_zone) { t->loss[n++] = KLUIS_STR_LIT("zone"); }
    if (c->people.overflow) { t->loss[n++] = KLUIS_STR_LIT("people-beyond-4096"); }
    bool channel = kluis_str_is(c->type, "private_channel") || kluis_str_is(c->type, "public_channel");
    bool direct = !c->group && (kluis_str_is(c->type, "personal_chat") || kluis_str_is(c->type, "bot_chat"));
    t->header = (struct kluis_header){ .platform = KLUIS_STR_LIT("telegram"),
                                       .conversation_id = kluis_str_of(c->id),
                                       .conversation_name = c->name,
                                       .type = channel                                   ? KLUIS_CHANNEL
                                               : c->group                                ? KLUIS_GROUP
                                               : direct                                  ? KLUIS_DIRECT
                                               : kluis_str_is(c->type, "saved_messages") ? KLUIS_SELF
                                                                                         : KLUIS_UNKNOWN_TYPE,
                                       .parties = c->people.list,
                                       .n_parties = c->people.n,
                                       .participants = c->people.members,
                                       .n_participants = c->people.n,
                                       .self = c->self,
                                       .provenance = { .source = KLUIS_STR_LIT("telegram"),
                                                       .app = KLUIS_STR_LIT("Telegram Desktop"),
                                                       .reader = KLUIS_STR_LIT("chatkluis " KLUIS_VERSION " telegram") },
                                       .zone = c->undecided_zone ? KLUIS_ZONE_ASSUMED : KLUIS_ZONE_STATED,
                                       .zone_name = c->undecided_zone ? kluis_str_of(t->zone_name) : absent(),
                                       .precision = KLUIS_PRECISION_SECOND,
                                       .loss = t->loss,
                                       .n_loss = n };
    return t->sink->begin(t->sink->ctx, &t->header, err);
}
