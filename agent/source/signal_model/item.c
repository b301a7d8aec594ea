/* item.c - a chat item as records: the message, its edits, its reactions, its votes.
 */
#include "agent/source/signal_model/model.h"

/* ---- what every item has ---------------------------------------------------------------------------- */

static struct kluis_str keep(struct emit *e, const struct kluis_buf *b)
{
    const char *p = b->status == KLUIS_OK && b->len > 0 ? kluis_arena_strndup(e->arena, (const char *)b->data, b->len) : NULL;
    return (struct kluis_str){ p, p != NULL ? b->len : 0 };
}

/* Who got it and when: "recipient status milliseconds", separated by "; ". */
static void deliveries(struct emit *e, struct draft *d, struct json *list)
{
    KLUIS_AUTO_BUF(b, 512 << 10);
    if (list == NULL) { return; }
    for (struct json *s = list->child; s != NULL; s = s->next) {
        char digits[KLUIS_DECIMAL];
        uint64_t ms = 0;
        uint32_t who = who_member(e, s, "recipientId");
        struct kluis_str status = KLUIS_STR_LIT("unknown"), reason = { NULL, 0 };
        (void)json_u64(s, "timestamp", &ms);
        for (struct json *v = s->child; v != NULL; v = v->next) {
            if (v->type != JSON_OBJECT) { continue; }
            status = v->key;
            reason = json_string(v, "reason");
        }
        if (b.len > 0) { kluis_buf_cstr(&b, "; "); }
        if (who != NOBODY) { kluis_buf_str(&b, e->m->who[who].key); }
        kluis_buf_byte(&b, ' ');
        kluis_buf_add(&b, status.ptr, status.len > 40 ? 40 : status.len);
        if (reason.ptr != NULL) { kluis_buf_fmt(&b, "(%.*s)", reason.len > 40 ? 40 : (int)reason.len, reason.ptr); }
        if (ms > 0) {
            kluis_buf_byte(&b, ' ');
            kluis_buf_str(&b, kluis_decimal(ms, digits));
        }
    }
    draft_text(e, d, "deliveries", keep(e, &b));
    if (b.status != KLUIS_OK) { draft_loss(d, "deliveries"); }
    (void)json_whole(list);
}

static void time_member(struct draft *d, struct json *object, const char *member, const char *name)
{
    uint64_t ms = 0;
    if (json_u64(object, member, &ms)) { draft_time(d, name, ms); }
}

static void flag(struct emit *e, struct draft *d, struct json *object, const char *member, const char *name)
{
    if (json_true(object, member)) { draft_number(e, d, name, 1); }
}

struct draft *item_draft(struct emit *e, struct json *item, enum kluis_kind kind, uint32_t author, uint64_t sent, const char *suffix)
{
    struct draft *d = draft_new(e, kind);
    struct json *in = json_object(item, "incoming"), *out = json_object(item, "outgoing"), *pin = json_object(item, "pinDetails");
    uint64_t n;
    d->r.id = message_id(e, author, sent, suffix);
    d->r.author = party_index(e, author);
    d->r.sent = when_ms(sent);
    if (d->r.sent.us == KLUIS_TIME_ABSENT) {
        draft_loss(d, "time-out-of-range");
        draft_number(e, d, "date-sent", sent);
    }
    json_ignore(item, "chatId");
    json_ignore(item, "authorId");
    json_ignore(item, "dateSent");
    json_ignore(item, "revisions");
    json_ignore(item, "directionless");
    time_member(d, item, "expireStartDate", "expire-start");
    if (json_u64(item, "expiresInMs", &n)) { draft_number(e, d, "expires-in-ms", n); }
    flag(e, d, item, "sms", "sms");
    if (in != NULL) {
        draft_text(e, d, "direction", KLUIS_STR_LIT("incoming"));
        time_member(d, in, "dateReceived", "received");
        time_member(d, in, "dateServerSent", "server");
        flag(e, d, in, "read", "read");
        flag(e, d, in, "sealedSender", "sealed-sender");
    }
    if (out != NULL) {
        draft_text(e, d, "direction", KLUIS_STR_LIT("outgoing"));
        time_member(d, out, "dateReceived", "received");
        deliveries(e, d, json_array(out, "sendStatus"));
    }
    if (pin != NULL) {
        time_member(d, pin, "pinnedAtTimestamp", "pinned");
        time_member(d, pin, "pinExpiresAtTimestamp", "pin-expires");
        flag(e, d, pin, "pinNeverExpires", "pin-never-expires");
    }
    return d;
}

/* ---- contents ---------------------------------------------------------------------------------------- */

/* Ranges of a text, in UTF-16 units as Signal counts: mentions (U+FFFC stands for the name in the text) and styles. */
static void ranges(struct emit *e, struct draft *d, struct json *list)
{
    KLUIS_AUTO_BUF(mentions, 256 << 10);
    KLUIS_AUTO_BUF(styles, 256 << 10);
    if (list == NULL) { return; }
    for (struct json *v = list->child; v != NULL; v = v->next) {
        uint64_t start = 0, length = 0;
        uint8_t aci[16];
        (void)json_u64(v, "start", &start);
        (void)json_u64(v, "length", &length);
        struct kluis_str style = json_string(v, "style"), who = { NULL, 0 };
        if (json_bytes(json_get(v, "mentionAci"), aci, sizeof aci)) { who = uuid_text(e->arena, aci); }
        struct kluis_buf *b = who.ptr != NULL ? &mentions : &styles;
        if (who.ptr == NULL && style.ptr == NULL) { continue; } /* says nothing, as Signal itself reads it */
        kluis_buf_fmt(b, "%s%llu+%llu ", b->len > 0 ? "; " : "", (unsigned long long)start, (unsigned long long)length);
        kluis_buf_str(b, who.ptr != NULL ? who : style);
    }
    draft_text(e, d, "mentions", keep(e, &mentions));
    draft_text(e, d, "styles", keep(e, &styles));
    if (mentions.status != KLUIS_OK || styles.status != KLUIS_OK) { draft_loss(d, "text-ranges"); }
}

static void fill_text(struct emit *e, struct draft *d, struct json *text)
{
    const struct json *body = json_get(text, "body");
    d->r.text = json_string(text, "body");
    if (d->r.text.ptr != NULL && body != NULL && body->damaged) {
        d->r.text_raw = (struct kluis_bytes){ (const uint8_t *)body->raw.ptr, body->raw.len };
    }
    ranges(e, d, json_array(text, "bodyRanges"));
}

/* "attachment.0.role": of the i-th of several. */
static const char *nth(struct emit *e, const char *what, size_t i, const char *member)
{
    char digits[KLUIS_DECIMAL];
    const struct kluis_str pieces[] = { kluis_str_of(what), KLUIS_STR_LIT("."), kluis_decimal(i, digits), KLUIS_STR_LIT("."), kluis_str_of(member) };
    return kluis_arena_join(e->arena, pieces, 5).ptr;
}

static void add_attachment(struct emit *e, struct draft *d, struct json *pointer, const char *role, struct json *holder)
{
    if (e->rc != KLUIS_OK) { return; }
    if (d->r.n_attachments == KLUIS_ATTACHMENTS_MAX) {
        draft_loss(d, "attachments-beyond-256");
        return;
    }
    size_t i = d->r.n_attachments++;
    struct kluis_attachment *a = &d->attachments[i];
    struct kluis_err *err = e->err;
    e->rc = media_attachment(e->m, pointer, e->arena, a, err);
    if (e->rc != KLUIS_OK) { return; }
    if (role != NULL) { draft_text(e, d, nth(e, "attachment", i, "role"), kluis_str_of(role)); }
    draft_text(e, d, nth(e, "attachment", i, "caption"), json_string(pointer, "caption"));
    if (holder != NULL) {
        struct kluis_str kind = json_string(holder, "flag");
        if (kind.ptr != NULL && !kluis_str_is(kind, "NONE")) { draft_text(e, d, nth(e, "attachment", i, "flag"), kebab(e->arena, kind)); }
        if (!json_true(holder, "wasDownloaded") && a->source_ref.ptr == NULL && e->m->media.find != NULL) {
            a->loss = KLUIS_STR_LIT("not-downloaded");
        }
        json_ignore(holder, "clientUuid");
    }
}

static void fill_long_text(struct emit *e, struct draft *d, struct json *pointer)
{
    if (pointer == NULL || e->rc != KLUIS_OK) { return; }
    add_attachment(e, d, pointer, "long-text", NULL);
    if (e->rc != KLUIS_OK || d->r.n_attachments == 0) { return; }
    const struct media *media = &e->m->media;
    struct kluis_str ref = d->attachments[d->r.n_attachments - 1].source_ref, whole = { NULL, 0 };
    if (media->text != NULL && ref.ptr != NULL) { whole = media->text(media->ctx, ref, e->arena, KLUIS_TEXT_MAX); }
    if (whole.ptr != NULL) {
        d->r.text = whole;
    } else {
        draft_loss(d, "text-cut");
    } /* the message itself holds only the beginning */
}

static void fill_quote(struct emit *e, struct draft *d, struct json *quote)
{
    uint64_t ms = 0;
    if (quote == NULL) { return; }
    uint32_t who = who_member(e, quote, "authorId");
    if (json_u64(quote, "targetSentTimestamp", &ms)) {
        d->r.target = message_id(e, who, ms, "");
        d->r.target_sent = when_ms(ms);
    } else {
        draft_loss(d, "quoted-message-unknown");
    }
    d->r.target_author = party_index(e, who);
    d->r.quote = json_string(json_object(quote, "text"), "body");
    struct kluis_str type = json_string(quote, "type");
    if (type.ptr != NULL && !kluis_str_is(type, "NORMAL")) { draft_text(e, d, "quote-type", kebab(e->arena, type)); }
    unsigned i = 0;
    struct json *list = json_array(quote, "attachments");
    for (struct json *v = list != NULL ? list->child : NULL; v != NULL; v = v->next, i++) {
        struct kluis_str file = json_string(v, "fileName"), kind = json_string(v, "contentType");
        draft_text(e, d, nth(e, "quote-attachment", i, "name"), file);
        draft_text(e, d, nth(e, "quote-attachment", i, "type"), kind);
        json_ignore(v, "thumbnail"); /* a preview made of the quoted message's own attachment */
    }
}

static void fill_standard(struct emit *e, struct draft *d, struct json *c)
{
    fill_quote(e, d, json_object(c, "quote"));
    fill_text(e, d, json_object(c, "text"));
    struct json *list = json_array(c, "attachments");
    for (struct json *v = list != NULL ? list->child : NULL; v != NULL; v = v->next) { add_attachment(e, d, json_object(v, "pointer"), NULL, v); }
    fill_long_text(e, d, json_object(c, "longText"));
    unsigned i = 0;
    list = json_array(c, "linkPreview");
    for (struct json *v = list != NULL ? list->child : NULL; v != NULL; v = v->next, i++) {
        static const char *const part[] = { "url", "title", "description" };
        for (size_t k = 0; k < sizeof part / sizeof *part; k++) { draft_text(e, d, nth(e, "link", i, part[k]), json_string(v, part[k])); }
        uint64_t ms = 0;
        if (json_u64(v, "date", &ms)) { draft_number(e, d, nth(e, "link", i, "date-ms"), ms); }
        if (json_object(v, "image") != NULL) { add_attachment(e, d, json_object(v, "image"), "link-preview", NULL); }
    }
}

static void item_name(struct emit *e, struct draft *d, const char *name) { draft_text(e, d, "item", kluis_str_of(name)); }

static void fill_contact(struct emit *e, struct draft *d, struct json *c)
{
    struct json *contact = json_object(c, "contact");
    item_name(e, d, "contact");
    if (contact == NULL) { return; }
    if (json_object(contact, "avatar") != NULL) { add_attachment(e, d, json_object(contact, "avatar"), "avatar", NULL); }
}

static void fill_sticker(struct emit *e, struct draft *d, struct json *c)
{
    struct json *s = json_object(c, "sticker");
    item_name(e, d, "sticker");
    d->r.value = json_string(s, "emoji");
    uint64_t id;
    draft_text(e, d, "sticker.pack", json_string(s, "packId"));
    if (json_u64(s, "stickerId", &id)) { draft_number(e, d, "sticker.id", id); }
    json_ignore(s, "packKey");
    if (json_object(s, "data") != NULL) { add_attachment(e, d, json_object(s, "data"), "sticker", NULL); }
}

static void fill_deletion(struct emit *e, struct draft *d, struct json *c)
{
    uint64_t sent = (uint64_t)(d->r.sent.us == KLUIS_TIME_ABSENT ? 0 : d->r.sent.us / 1000);
    struct json *by = json_get(c, "adminId");
    d->r.target = (struct kluis_str){ d->r.id.ptr, d->r.id.len > 8 ? d->r.id.len - 8 : d->r.id.len }; /* without ":deleted" */
    d->r.target_author = d->r.author;
    d->r.target_sent = when_ms(sent);
    if (by != NULL) {
        uint32_t admin = who_member(e, c, "adminId");
        d->r.author = party_index(e, admin);
        item_name(e, d, "admin-delete");
    }
    draft_loss(d, "deleted-content");
    draft_loss(d, "time-of-deletion"); /* only the deleted message's own time is told */
}

static void fill_payment(struct emit *e, struct draft *d, struct json *c)
{
    item_name(e, d, "payment");
    d->r.text = json_string(c, "note");
    draft_text(e, d, "amount-mob", json_string(c, "amountMob"));
    draft_text(e, d, "fee-mob", json_string(c, "feeMob"));
}

static void fill_badge(struct emit *e, struct draft *d, struct json *c)
{
    struct kluis_str state = json_string(c, "state");
    item_name(e, d, "gift-badge");
    json_ignore(c, "receiptCredentialPresentation");
    draft_text(e, d, "state", state.ptr != NULL ? kebab(e->arena, state) : KLUIS_STR_LIT("unopened")); /* the first state is not said */
}

static void fill_view_once(struct emit *e, struct draft *d, struct json *c)
{
    struct json *a = json_object(c, "attachment");
    d->r.event = KLUIS_STR_LIT("view-once");
    draft_loss(d, "view-once-content");
    if (a != NULL && json_object(a, "pointer") != NULL) { add_attachment(e, d, json_object(a, "pointer"), NULL, a); }
}

static void fill_story_reply(struct emit *e, struct draft *d, struct json *c)
{
    struct json *reply = json_object(c, "textReply");
    item_name(e, d, "story-reply");
    d->r.value = json_string(c, "emoji");
    fill_text(e, d, json_object(reply, "text"));
    fill_long_text(e, d, json_object(reply, "longText"));
    draft_loss(d, "story-not-exported");
}

static void fill_poll(struct emit *e, struct draft *d, struct json *c)
{
    struct json *list = json_array(c, "options");
    size_t n = 0;
    d->r.text = json_string(c, "question");
    flag(e, d, c, "allowMultiple", "allow-multiple");
    flag(e, d, c, "hasEnded", "ended");
    for (const struct json *v = list != NULL ? list->child : NULL; v != NULL; v = v->next) { n++; }
    if (n > KLUIS_FIELDS_MAX) {
        n = KLUIS_FIELDS_MAX;
        draft_loss(d, "options-beyond-256");
    }
    struct kluis_str *options = kluis_arena_alloc(e->arena, (n + 1) * sizeof *options);
    size_t i = 0;
    for (struct json *v = list != NULL ? list->child : NULL; v != NULL && options != NULL && i < n; v = v->next) {
        struct kluis_str text = json_string(v, "option");
        options[i++] = text.ptr != NULL ? text : KLUIS_STR_LIT("");
        json_ignore(v, "votes");
    }
    d->r.options = options;
    d->r.n_options = i;
}

static const struct content {
    const char *name;
    enum kluis_kind kind;
    const char *suffix;
    void (*fill)(struct emit *e, struct draft *d, struct json *c);
} contents[] = {
    { "standardMessage", KLUIS_MESSAGE, "", fill_standard },
    { "contactMessage", KLUIS_MESSAGE, "", fill_contact },
    { "stickerMessage", KLUIS_MESSAGE, "", fill_sticker },
    { "remoteDeletedMessage", KLUIS_DELETION, ":deleted", fill_deletion },
    { "adminDeletedMessage", KLUIS_DELETION, ":deleted", fill_deletion },
    { "paymentNotification", KLUIS_MESSAGE, "", fill_payment },
    { "giftBadge", KLUIS_MESSAGE, "", fill_badge },
    { "viewOnceMessage", KLUIS_GAP, "", fill_view_once },
    { "directStoryReplyMessage", KLUIS_MESSAGE, "", fill_story_reply },
    { "poll", KLUIS_POLL, "", fill_poll },
};

static const struct content *content_of(struct json *item, struct json **c)
{
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        *c = json_object(item, contents[i].name);
        if (*c != NULL) { return &contents[i]; }
    }
    return NULL;
}

/* ---- what hangs on a message --------------------------------------------------------------------------- */

static void emit_reactions(struct emit *e, struct json *c, struct kluis_str target, uint32_t author, uint64_t sent)
{
    struct json *list = json_array(c, "reactions");
    for (struct json *v = list != NULL ? list->child : NULL; v != NULL && e->rc == KLUIS_OK; v = v->next) {
        struct draft *d = draft_new(e, KLUIS_REACTION);
        uint64_t ms = 0, order;
        uint32_t who = who_member(e, v, "authorId");
        (void)json_u64(v, "sentTimestamp", &ms);
        struct kluis_str suffix = arena_fmt(e->arena, ":reaction:%.*s", (int)target.len, target.ptr);
        d->r.id = message_id(e, who, ms, suffix.ptr != NULL ? suffix.ptr : ":reaction");
        d->r.author = party_index(e, who);
        d->r.sent = when_ms(ms);
        d->r.value = json_string(v, "emoji");
        d->r.target = target;
        d->r.target_author = party_index(e, author);
        d->r.target_sent = when_ms(sent);
        if (json_u64(v, "sortOrder", &order)) { draft_number(e, d, "sort-order", order); }
        draft_rest(e, d, "signal", v);
        draft_send(e, d, v->raw.ptr != NULL ? v->raw : e->line);
    }
}

static bool voted(struct json *option, uint64_t voter, uint64_t *count, struct json **vote)
{
    struct json *votes = json_array(option, "votes");
    for (struct json *v = votes != NULL ? votes->child : NULL; v != NULL; v = v->next) {
        uint64_t id = 0;
        if (!json_u64(v, "voterId", &id) || id != voter) { continue; }
        (void)json_u64(v, "voteCount", count);
        *vote = v;
        return true;
    }
    return false;
}

/* One vote is one person's whole choice. */
static void emit_votes(struct emit *e, struct json *c, struct kluis_str target, uint32_t author, uint64_t sent)
{
    struct json *options = json_array(c, "options");
    for (struct json *o = options != NULL ? options->child : NULL; o != NULL; o = o->next) {
        struct json *votes = json_array(o, "votes");
        for (struct json *v = votes != NULL ? votes->child : NULL; v != NULL && e->rc == KLUIS_OK; v = v->next) {
            uint64_t voter = 0, count = 0, top = 0;
            struct json *vote = NULL;
            bool before = false;
            size_t n = 0;
            if (!json_u64(v, "voterId", &voter)) { continue; }
            for (struct json *p = options->child; p != o && !before; p = p->next) { before = voted(p, voter, &count, &vote); }
            if (before) { continue; }
            struct draft *d = draft_new(e, KLUIS_VOTE);
            struct kluis_str *chosen = kluis_arena_alloc(e->arena, KLUIS_FIELDS_MAX * sizeof *chosen);
            if (chosen == NULL) {
                e->rc = KLUIS_FAIL(e->err, KLUIS_E_NOMEM, "out of memory; try again");
                return;
            }
            for (struct json *p = o; p != NULL && n < KLUIS_FIELDS_MAX; p = p->next) {
                if (!voted(p, voter, &count, &vote)) { continue; }
                struct kluis_str text = json_string(p, "option");
                chosen[n++] = text.ptr != NULL ? text : KLUIS_STR_LIT("");
                top = count > top ? count : top;
                draft_rest(e, d, "signal", vote);
            }
            uint32_t who = model_who(e->m, voter);
            struct kluis_str key = who != NOBODY ? e->m->who[who].key : KLUIS_STR_LIT("unknown");
            d->r.id = arena_fmt(e->arena, "%.*s:vote:%.*s:%llu", (int)target.len, target.ptr, (int)key.len, key.ptr, (unsigned long long)top);
            d->r.author = party_index(e, who);
            d->r.target = target;
            d->r.target_author = party_index(e, author);
            d->r.target_sent = when_ms(sent);
            d->r.options = chosen;
            d->r.n_options = n;
            draft_number(e, d, "vote-count", top);
            draft_loss(d, "time-of-vote");
            draft_send(e, d, v->raw.ptr != NULL ? v->raw : e->line);
        }
    }
}

/* ---- the item -------------------------------------------------------------------------------------------- */

static void emit_unknown(struct emit *e, struct json *item, uint32_t author, uint64_t sent)
{
    struct draft *d = item_draft(e, item, KLUIS_EVENT, author, sent, ":e:unknown");
    struct kluis_str code = KLUIS_STR_LIT("none");
    for (struct json *v = item->child; v != NULL; v = v->next) {
        if ((v->type == JSON_OBJECT || v->foreign) && v->used == 0) {
            code = v->key;
            break;
        }
    }
    d->r.event = KLUIS_STR_LIT("unknown");
    draft_text(e, d, "code", code);
    draft_rest(e, d, "signal", item);
    draft_send(e, d, e->line);
}

/* One form of a message: the message itself, or with a target the edit that made it so. */
static struct kluis_str emit_form(struct emit *e, struct json *form, uint32_t author, uint64_t sent, struct kluis_str original,
                                  uint32_t original_author, uint64_t original_sent, struct kluis_str raw)
{
    struct json *c;
    const struct content *k = content_of(form, &c);
    if (k == NULL) {
        emit_unknown(e, form, author, sent);
        return (struct kluis_str){ NULL, 0 };
    }
    struct draft *d = item_draft(e, form, k->kind, author, sent, k->suffix);
    k->fill(e, d, c);
    if (original.ptr != NULL) {
        if (d->r.target.ptr != NULL) { draft_text(e, d, "quoted", d->r.target); } /* an edited reply: the edit points at its original */
        d->r.kind = KLUIS_EDIT;
        d->r.target = original;
        d->r.target_author = party_index(e, original_author);
        d->r.target_sent = when_ms(original_sent);
    }
    json_ignore(c, "reactions");
    draft_rest(e, d, "signal", form);
    struct kluis_str id = k->kind == KLUIS_DELETION ? d->r.target : d->r.id;
    draft_send(e, d, raw);
    return id;
}

void emit_item(struct emit *e, struct json *item)
{
    uint64_t sent = 0, first_sent;
    uint32_t author = who_member(e, item, "authorId"), first_author;
    struct json *update = json_object(item, "updateMessage"), *c;
    (void)json_u64(item, "dateSent", &sent);
    if (update != NULL) {
        emit_update(e, item, update, author, sent);
        return;
    }
    struct kluis_str original = { NULL, 0 };
    struct json *revisions = json_array(item, "revisions");
    first_sent = sent;
    first_author = author;
    for (struct json *v = revisions != NULL ? revisions->child : NULL; v != NULL && e->rc == KLUIS_OK; v = v->next) { /* oldest first */
        uint64_t then = 0;
        uint32_t who = who_member(e, v, "authorId");
        (void)json_u64(v, "dateSent", &then);
        struct kluis_str id = emit_form(e, v, who, then, original, first_author, first_sent, v->raw.ptr != NULL ? v->raw : e->line);
        if (original.ptr == NULL && id.ptr != NULL) {
            original = id;
            first_sent = then;
            first_author = who;
        }
    }
    struct kluis_str id = emit_form(e, item, author, sent, original, first_author, first_sent, e->line);
    if (original.ptr == NULL) { original = id; }
    if (original.ptr == NULL || content_of(item, &c) == NULL) { return; }
    emit_reactions(e, c, original, first_author, first_sent);
    if (json_get(item, "poll") == c) { emit_votes(e, c, original, first_author, first_sent); }
}

void emit_adhoc(struct emit *e, struct json *call)
{
    struct draft *d = draft_new(e, KLUIS_CALL);
    uint64_t ms = 0, id = 0;
    struct kluis_str state = json_string(call, "state");
    (void)json_u64(call, "callTimestamp", &ms);
    (void)json_u64(call, "callId", &id);
    d->r.id = arena_fmt(e->arena, "call:%llu:%llu", (unsigned long long)id, (unsigned long long)ms);
    d->r.sent = when_ms(ms);
    d->r.event = state.ptr != NULL ? kebab(e->arena, state) : KLUIS_STR_LIT("unknown-state");
    draft_text(e, d, "item", KLUIS_STR_LIT("call-link-call"));
    draft_text(e, d, "call-id", arena_fmt(e->arena, "%llu", (unsigned long long)id));
    json_ignore(call, "recipientId");
    draft_rest(e, d, "signal", call);
    draft_send(e, d, e->line);
}
