/* item.c - one message with its rows of other tables as the item that a backup of today would hold.
 *
 * Columns are taken by the name of today or by an earlier one.  What has no place in an item stays in the record's evidence, which is every row
 * looked at.
 */
#include "agent/source/signal_android/backup.h"

#include <sqlite3.h>

enum { ROWS_MAX = 256, REVISIONS_MAX = 64 };
#define TYPE_BASE INT64_C(0x1f)
#define TYPE_SPECIAL INT64_C(0xf00000000)
#define STORY_REACTION INT64_C(0x100000000)
#define GIFT_BADGE INT64_C(0x200000000)
#define PAYMENT INT64_C(0x300000000)
#define PAYMENT_TOMBSTONE INT64_C(0x900000000)

struct item {
    struct sa_rows *r;
    struct make *k;
    struct sqlite3_stmt *st;
    bool sms;
    int64_t id, type, sent, received, who; /* who: of the row */
    int64_t author;
    bool outgoing;
};

static struct kluis_str valid(struct kluis_str s)
{
    return s.ptr != NULL && s.len > 0 && kluis_utf8_valid(s.ptr, s.len) == s.len ? s : (struct kluis_str){ NULL, 0 };
}
static struct kluis_str text_of(struct sqlite3_stmt *st, const char *name) { return valid(row_text(st, name)); }

static void put_positive(struct make *k, struct json *o, const char *key, int64_t n)
{
    if (n > 0) { make_u64(k, o, key, (uint64_t)n); }
}

/* Of a table of today or of one before: the first column that is there. */
static int64_t int_of(struct sqlite3_stmt *st, const char *name, const char *before, int64_t otherwise)
{
    return row_column(st, name) >= 0 ? row_int(st, name, otherwise) : row_int(st, before, otherwise);
}

static bool begin_rows(struct item *i, struct sqlite3_stmt **st, const char *sql, int64_t id)
{
    *st = NULL;
    return kluis_db_query(i->r->db, st, NULL, sql, "i", id) == KLUIS_OK;
}
/* The next row, which is evidence from now on. */
static bool next_row(struct item *i, struct sqlite3_stmt *st, const char *table, unsigned *n)
{
    if ((*n)++ >= ROWS_MAX || kluis_db_step(i->r->db, st, NULL) != KLUIS_OK) { return false; }
    sa_evidence(i->r, table, st);
    return true;
}

/* ---- text -------------------------------------------------------------------------------------------------------------- */

static void put_range(struct item *i, struct json *list, uint64_t start, uint64_t length, struct kluis_str mention, const char *style)
{
    struct json *o = make_push(list, make_object(i->k));
    make_u64(i->k, o, "start", start);
    make_u64(i->k, o, "length", length);
    if (mention.ptr != NULL) {
        make_uuid(i->k, o, "mentionAci", mention);
    } else if (style != NULL) {
        make_text(i->k, o, "style", kluis_str_of(style));
    }
}

/* A list of ranges as Signal keeps it in a cell: start, length, and an account, a style, a link or a button. */
static void put_ranges(struct item *i, struct json *list, struct kluis_bytes blob)
{
    static const char *const styles[] = { "BOLD", "ITALIC", "SPOILER", "STRIKETHROUGH", "MONOSPACE" };
    struct pb m = pb_open(blob), inner;
    struct pb_field f, g;
    if (blob.ptr == NULL) { return; }
    for (unsigned n = 0; n < ROWS_MAX && pb_next(&m, &f) == 1; n++) {
        uint64_t start = 0, length = 0;
        const char *style = NULL;
        struct kluis_str who = { NULL, 0 };
        if (f.number != 1 || f.type != PB_BYTES) { continue; }
        inner = pb_open(f.bytes);
        while (pb_next(&inner, &g) == 1) {
            if (g.number == 1 && g.type == PB_VARINT) { start = g.value; }
            if (g.number == 2 && g.type == PB_VARINT) { length = g.value; }
            if (g.number == 3 && g.type == PB_BYTES) { who = valid((struct kluis_str){ (const char *)g.bytes.ptr, g.bytes.len }); }
            if (g.number == 4 && g.type == PB_VARINT && g.value < sizeof styles / sizeof *styles) { style = styles[g.value]; }
        }
        put_range(i, list, start, length, who, style);
    }
}

static void put_mentions(struct item *i, struct json *list)
{
    struct sqlite3_stmt *st;
    unsigned n = 0;
    if (i->sms || !i->r->mention || !begin_rows(i, &st, "SELECT * FROM mention WHERE message_id=?1 ORDER BY range_start, _id", i->id)) { return; }
    while (next_row(i, st, "mention", &n)) {
        uint8_t id[16];
        char hex[33];
        const int64_t start = row_int(st, "range_start", 0), length = row_int(st, "range_length", 0), who = row_int(st, "recipient_id", 0);
        if (start < 0 || length < 0 || !sa_account(i->r, who, id)) { continue; }
        kluis_hex(id, sizeof id, hex);
        put_range(i, list, (uint64_t)start, (uint64_t)length, kluis_str_of(hex), NULL);
    }
    kluis_db_done(st);
}

static void put_text(struct item *i, struct json *c)
{
    const struct kluis_str body = text_of(i->st, "body");
    if (body.ptr == NULL) { return; }
    struct json *t = make_in(i->k, c, "text"), *list;
    make_text(i->k, t, "body", body);
    list = make_list(i->k, t, "bodyRanges");
    put_mentions(i, list);
    const struct kluis_bytes ranges = row_blob(i->st, "message_ranges");
    put_ranges(i, list, ranges.ptr != NULL ? ranges : row_blob(i->st, "ranges"));
}

/* ---- attachments ---------------------------------------------------------------------------------------------------------- */

static struct json *pointer(struct item *i, struct sqlite3_stmt *st)
{
    struct make *k = i->k;
    struct json *p = make_object(k), *l = make_in(k, p, "locatorInfo");
    uint8_t hash[MEDIA_HASH];
    size_t n = 0;
    const struct kluis_str type = text_of(st, row_column(st, "content_type") >= 0 ? "content_type" : "ct"), stated = text_of(st, "data_hash_end");
    make_text(k, p, "contentType", type);
    make_text(k, p, "fileName", text_of(st, "file_name"));
    make_text(k, p, "caption", text_of(st, "caption"));
    put_positive(k, l, "size", row_int(st, "data_size", 0));
    if (stated.len == kluis_base64_len(MEDIA_HASH) && kluis_unbase64(stated, hash, sizeof hash, &n) && n == sizeof hash) {
        make_base64(k, l, "plaintextHash", (struct kluis_bytes){ hash, sizeof hash });
    }
    put_positive(k, l, "row", row_int(st, "_id", 0));
    put_positive(k, l, "unique", row_int(st, "unique_id", 0));
    return p;
}

/* Where each attachment of a message goes, by what its row says. */
struct places {
    struct json *quoted, *attachments, *holder; /* holder: of longText and attachments, NULL: none wanted */
    struct json *sticker, *avatars;
};

static void put_attachment(struct item *i, struct places *p, struct sqlite3_stmt *st)
{
    struct make *k = i->k;
    const struct kluis_str type = text_of(st, row_column(st, "content_type") >= 0 ? "content_type" : "ct");
    if (row_int(st, "quote", 0) != 0) {
        if (p->quoted == NULL) { return; }
        struct json *o = make_push(p->quoted, make_object(k));
        make_text(k, o, "contentType", type);
        make_text(k, o, "fileName", text_of(st, "file_name"));
        return;
    }
    if (p->sticker != NULL && row_has(st, "sticker_pack_id")) {
        uint8_t pack[16];
        if (kluis_unhex(text_of(st, "sticker_pack_id"), pack, sizeof pack)) {
            make_base64(k, p->sticker, "packId", (struct kluis_bytes){ pack, sizeof pack });
        }
        put_positive(k, p->sticker, "stickerId", row_int(st, "sticker_id", 0));
        make_text(k, p->sticker, "emoji", text_of(st, "sticker_emoji"));
        (void)make_put(k, p->sticker, "data", pointer(i, st));
        return;
    }
    if (p->holder == NULL) { return; }
    if (kluis_str_is(type, "text/x-signal-plain")) {
        (void)make_put(k, p->holder, "longText", pointer(i, st));
        return;
    }
    if (p->attachments == NULL) { p->attachments = make_list(k, p->holder, "attachments"); }
    struct json *m = make_push(p->attachments, make_object(k));
    (void)make_put(k, m, "pointer", pointer(i, st));
    if (row_int(st, "voice_note", 0) != 0) { make_text(k, m, "flag", KLUIS_STR_LIT("VOICE_MESSAGE")); }
    if (row_int(st, "borderless", 0) != 0) { make_text(k, m, "flag", KLUIS_STR_LIT("BORDERLESS")); }
    if (row_int(st, "video_gif", 0) != 0) { make_text(k, m, "flag", KLUIS_STR_LIT("GIF")); }
    make_true(k, m, "wasDownloaded", int_of(st, "transfer_state", "pending_push", 0) == 0);
}

static void each_attachment(struct item *i, struct places *p)
{
    struct sqlite3_stmt *st;
    unsigned n = 0;
    if (i->sms) { return; }
    if (i->r->attachment ? !begin_rows(i, &st, "SELECT * FROM attachment WHERE message_id=?1 ORDER BY _id", i->id)
                         : !begin_rows(i, &st, "SELECT * FROM part WHERE mid=?1 ORDER BY _id", i->id)) {
        return;
    }
    while (next_row(i, st, i->r->attachment ? "attachment" : "part", &n)) { put_attachment(i, p, st); }
    kluis_db_done(st);
}

static bool has_sticker(struct item *i)
{
    struct sqlite3_stmt *st;
    bool found = false;
    if (i->sms) { return false; }
    if (i->r->attachment ? !begin_rows(i, &st, "SELECT * FROM attachment WHERE message_id=?1", i->id)
                         : !begin_rows(i, &st, "SELECT * FROM part WHERE mid=?1", i->id)) {
        return false;
    }
    for (unsigned n = 0; n < ROWS_MAX && !found && kluis_db_step(i->r->db, st, NULL) == KLUIS_OK; n++) {
        found = row_has(st, "sticker_pack_id") && row_int(st, "quote", 0) == 0;
    }
    kluis_db_done(st);
    return found;
}

/* ---- quote, links, reactions ----------------------------------------------------------------------------------------------- */

static struct json *put_quote(struct item *i, struct json *c)
{
    const int64_t id = row_int(i->st, "quote_id", 0), who = row_int(i->st, "quote_author", 0);
    struct make *k = i->k;
    if (id == 0 && who == 0) { return NULL; }
    struct json *q = make_in(k, c, "quote"), *t;
    if (row_int(i->st, "quote_missing", 0) == 0) { put_positive(k, q, "targetSentTimestamp", id); }
    put_positive(k, q, "authorId", who);
    const struct kluis_str body = text_of(i->st, "quote_body");
    if (body.ptr != NULL) {
        t = make_in(k, q, "text");
        make_text(k, t, "body", body);
        put_ranges(i, make_list(k, t, "bodyRanges"), row_blob(i->st, "quote_mentions"));
    }
    if (row_int(i->st, "quote_type", 0) == 1) { make_text(k, q, "type", KLUIS_STR_LIT("GIFT_BADGE")); }
    return make_list(k, q, "attachments");
}

static struct json *parsed(struct item *i, const char *name, const char *before)
{
    struct json *v = NULL;
    struct kluis_str s = text_of(i->st, name);
    if (s.ptr == NULL) { s = text_of(i->st, before); }
    kluis_arena_clear(i->r->json);
    return s.ptr != NULL && json_read_loose(s, i->r->json, &v, NULL) == KLUIS_OK && v->type == JSON_ARRAY ? v : NULL;
}

static void put_links(struct item *i, struct json *c)
{
    const struct json *list = parsed(i, "link_previews", "previews");
    struct json *out = list != NULL && list->child != NULL ? make_list(i->k, c, "linkPreview") : NULL;
    unsigned n = 0;
    for (struct json *v = list != NULL ? list->child : NULL; v != NULL && n++ < ROWS_MAX; v = v->next) {
        struct json *o = make_push(out, make_object(i->k));
        uint64_t ms;
        make_text(i->k, o, "url", json_string(v, "url"));
        make_text(i->k, o, "title", json_string(v, "title"));
        make_text(i->k, o, "description", json_string(v, "description"));
        if (json_u64(v, "date", &ms) && ms > 0) { make_u64(i->k, o, "date", ms); }
    }
}

static void put_reaction(struct item *i, struct json **list, struct json *c, struct kluis_str emoji, int64_t who, int64_t ms)
{
    if (emoji.ptr == NULL) { return; }
    if (*list == NULL) { *list = make_list(i->k, c, "reactions"); }
    struct json *o = make_push(*list, make_object(i->k));
    make_text(i->k, o, "emoji", emoji);
    put_positive(i->k, o, "authorId", who);
    put_positive(i->k, o, "sentTimestamp", ms);
}

/* Until they had a table of their own, reactions stood in a cell. */
static void reactions_of_cell(struct item *i, struct json **list, struct json *c, struct kluis_bytes blob)
{
    struct pb m = pb_open(blob), inner;
    struct pb_field f, g;
    for (unsigned n = 0; n < ROWS_MAX && pb_next(&m, &f) == 1; n++) {
        struct kluis_str emoji = { NULL, 0 };
        uint64_t who = 0, ms = 0;
        if (f.number != 1 || f.type != PB_BYTES) { continue; }
        inner = pb_open(f.bytes);
        while (pb_next(&inner, &g) == 1) {
            if (g.number == 1 && g.type == PB_BYTES) { emoji = valid((struct kluis_str){ (const char *)g.bytes.ptr, g.bytes.len }); }
            if (g.number == 2 && g.type == PB_VARINT) { who = g.value; }
            if (g.number == 3 && g.type == PB_VARINT) { ms = g.value; }
        }
        put_reaction(i, list, c, emoji, (int64_t)who, (int64_t)ms);
    }
}

static void put_reactions(struct item *i, struct json *c)
{
    struct sqlite3_stmt *st;
    struct json *list = NULL;
    unsigned n = 0;
    const struct kluis_bytes cell = row_blob(i->st, "reactions");
    if (cell.ptr != NULL) { reactions_of_cell(i, &list, c, cell); }
    if (!i->r->reaction || !begin_rows(i, &st, "SELECT * FROM reaction WHERE message_id=?1 ORDER BY _id", i->id)) { return; }
    while (kluis_db_step(i->r->db, st, NULL) == KLUIS_OK && n++ < ROWS_MAX) {
        if (i->r->reaction_mms && (row_int(st, "is_mms", 0) != 0) == i->sms) { continue; }
        sa_evidence(i->r, "reaction", st);
        put_reaction(i, &list, c, text_of(st, "emoji"), row_int(st, "author_id", 0), row_int(st, "date_sent", 0));
    }
    kluis_db_done(st);
}

/* ---- polls -------------------------------------------------------------------------------------------------------------------- */

enum { VOTE_PENDING_REMOVE = 1, VOTE_ADDED = 4, VOTE_PENDING_ADD = 2 };

static void put_votes(struct item *i, struct json *option, int64_t poll, int64_t id)
{
    struct sqlite3_stmt *st = NULL;
    struct json *list = NULL;
    unsigned n = 0;
    if (kluis_db_query(i->r->db, &st, NULL, "SELECT * FROM poll_vote WHERE poll_id=?1 AND poll_option_id=?2 ORDER BY _id", "ii", poll, id) !=
        KLUIS_OK) {
        return;
    }
    while (next_row(i, st, "poll_vote", &n)) {
        const int64_t state = row_int(st, "vote_state", VOTE_ADDED);
        if (state != VOTE_ADDED && state != VOTE_PENDING_ADD && state != VOTE_PENDING_REMOVE) { continue; } /* taken back */
        if (list == NULL) { list = make_list(i->k, option, "votes"); }
        struct json *o = make_push(list, make_object(i->k));
        put_positive(i->k, o, "voterId", row_int(st, "voter_id", 0));
        put_positive(i->k, o, "voteCount", row_int(st, "vote_count", 0));
    }
    kluis_db_done(st);
}

static bool put_poll(struct item *i, struct json *item)
{
    struct sqlite3_stmt *st, *options;
    unsigned n = 0, m = 0;
    if (!i->r->poll || !begin_rows(i, &st, "SELECT * FROM poll WHERE message_id=?1 ORDER BY _id LIMIT 1", i->id)) { return false; }
    if (!next_row(i, st, "poll", &n)) {
        kluis_db_done(st);
        return false;
    }
    struct json *c = make_in(i->k, item, "poll"), *list = make_list(i->k, c, "options");
    const int64_t id = row_int(st, "_id", 0);
    make_text(i->k, c, "question", text_of(st, "question"));
    make_true(i->k, c, "allowMultiple", row_int(st, "allow_multiple_votes", 0) != 0);
    make_true(i->k, c, "hasEnded", row_int(st, "end_message_id", 0) > 0);
    kluis_db_done(st);
    if (begin_rows(i, &options, "SELECT * FROM poll_option WHERE poll_id=?1 ORDER BY option_order, _id", id)) {
        while (next_row(i, options, "poll_option", &m)) {
            struct json *o = make_push(list, make_object(i->k));
            make_text(i->k, o, "option", text_of(options, "option_text"));
            put_votes(i, o, id, row_int(options, "_id", 0));
        }
        kluis_db_done(options);
    }
    put_reactions(i, c);
    return true;
}

/* ---- contents --------------------------------------------------------------------------------------------------------------------- */

static void put_standard(struct item *i, struct json *item, bool reactions)
{
    struct json *c = make_in(i->k, item, "standardMessage");
    struct places p = { .quoted = put_quote(i, c), .holder = c };
    put_text(i, c);
    each_attachment(i, &p);
    put_links(i, c);
    if (reactions) { put_reactions(i, c); }
}

static bool put_contact(struct item *i, struct json *item)
{
    const struct json *list = parsed(i, "shared_contacts", "shared_contacts");
    if (list == NULL || list->child == NULL) { return false; }
    const struct kluis_str shown = json_shown(list->child, i->k->arena);
    struct json *c = make_in(i->k, item, "contactMessage");
    make_text(i->k, make_in(i->k, c, "contact"), "shared", valid(shown));
    struct places none = { .holder = NULL };
    each_attachment(i, &none);
    put_reactions(i, c);
    return true;
}

static void put_sticker(struct item *i, struct json *item)
{
    struct json *c = make_in(i->k, item, "stickerMessage");
    struct places p = { .quoted = put_quote(i, c), .sticker = make_in(i->k, c, "sticker") };
    each_attachment(i, &p);
    put_reactions(i, c);
}

static void put_badge(struct item *i, struct json *item)
{
    static const char *const states[] = { "UNOPENED", "OPENED", "REDEEMED", "FAILED" };
    uint8_t bytes[1024];
    size_t n = 0;
    const struct kluis_str body = text_of(i->st, "body");
    uint64_t state = 0;
    if (body.ptr != NULL && body.len <= kluis_base64_len(sizeof bytes) && kluis_unbase64(body, bytes, sizeof bytes, &n)) {
        struct pb m = pb_open((struct kluis_bytes){ bytes, n });
        struct pb_field f;
        while (pb_next(&m, &f) == 1) {
            if (f.number == 2 && f.type == PB_VARINT) { state = f.value; }
        }
    }
    make_text(i->k, make_in(i->k, item, "giftBadge"), "state", kluis_str_of(states[state < 4 ? state : 0]));
}

/* A reply to a story that stands in the chat itself; in a group it belongs to the story. */
static bool put_story_reply(struct item *i, struct json *item, int64_t special)
{
    if (row_int(i->st, "parent_story_id", 0) == 0 && special != STORY_REACTION) { return false; }
    struct json *c = make_in(i->k, item, "directStoryReplyMessage");
    if (special == STORY_REACTION) {
        make_text(i->k, c, "emoji", text_of(i->st, "body"));
    } else {
        put_text(i, make_in(i->k, c, "textReply"));
    }
    put_reactions(i, c);
    return true;
}

static bool put_deletion(struct item *i, struct json *item)
{
    const int64_t by = row_int(i->st, "deleted_by", 0);
    if (by > 0 && by != i->author) {
        make_u64(i->k, make_in(i->k, item, "adminDeletedMessage"), "adminId", (uint64_t)by);
    } else if (by > 0 || row_int(i->st, "remote_deleted", 0) != 0) {
        (void)make_in(i->k, item, "remoteDeletedMessage");
    } else {
        return false;
    }
    return true;
}

static void put_content(struct item *i, struct json *item)
{
    const int64_t special = i->type & TYPE_SPECIAL;
    if (put_deletion(i, item)) { return; }
    if (int_of(i->st, "view_once", "reveal_duration", 0) != 0) {
        (void)make_in(i->k, item, "viewOnceMessage");
    } else if (special == GIFT_BADGE) {
        put_badge(i, item);
    } else if (special == PAYMENT || special == PAYMENT_TOMBSTONE) {
        (void)make_in(i->k, item, "paymentNotification"); /* its body is the number of a payment */
    } else if (put_poll(i, item) || put_story_reply(i, item, special) || put_contact(i, item)) {
        return;
    } else if (has_sticker(i)) {
        put_sticker(i, item);
    } else {
        put_standard(i, item, true);
    }
}

/* ---- both directions ------------------------------------------------------------------------------------------------------------------- */

static bool is_outgoing(int64_t type)
{
    static const uint8_t out[] = { 2, 11, 21, 22, 23, 24, 25, 26, 27 };
    for (size_t i = 0; i < sizeof out; i++) {
        if ((type & TYPE_BASE) == out[i]) { return true; }
    }
    return false;
}

static void put_status(struct item *i, struct json *list, int64_t who, const char *state, int64_t ms)
{
    if (who <= 0 || who == i->r->self) { return; }
    struct json *o = make_push(list, make_object(i->k));
    make_u64(i->k, o, "recipientId", (uint64_t)who);
    put_positive(i->k, o, "timestamp", ms);
    (void)make_in(i->k, o, state);
}

static bool is_group(struct item *i, int64_t who)
{
    struct sqlite3_stmt *st;
    bool group = false;
    if (!begin_rows(i, &st, "SELECT * FROM recipient WHERE _id=?1", who)) { return false; }
    if (kluis_db_step(i->r->db, st, NULL) == KLUIS_OK) {
        group = row_has(st, "group_id");
        kluis_db_done(st);
    }
    return group;
}

static bool receipts(struct item *i, struct json *list)
{
    static const char *const states[] = { "sent", "delivered", "read", "viewed", "skipped" };
    struct sqlite3_stmt *st;
    unsigned n = 0;
    bool any = false;
    if (i->sms || !i->r->receipts || !begin_rows(i, &st, "SELECT * FROM group_receipts WHERE mms_id=?1 ORDER BY _id", i->id)) { return false; }
    while (next_row(i, st, "group_receipts", &n)) {
        const int64_t state = row_int(st, "status", -1);
        put_status(i, list, int_of(st, "address", "recipient_id", 0), state >= 0 && state < 5 ? states[state] : "pending",
                   row_int(st, "timestamp", 0));
        any = true;
    }
    kluis_db_done(st);
    return any;
}

static void put_outgoing(struct item *i, struct json *item)
{
    struct json *out = make_in(i->k, item, "outgoing"), *list = make_list(i->k, out, "sendStatus");
    const int64_t base = i->type & TYPE_BASE;
    put_positive(i->k, out, "dateReceived", i->received);
    if (receipts(i, list)) { return; }
    const char *state = int_of(i->st, "viewed", "viewed_receipt_count", 0) > 0                   ? "viewed"
                        : int_of(i->st, "has_read_receipt", "read_receipt_count", 0) > 0         ? "read"
                        : int_of(i->st, "has_delivery_receipt", "delivery_receipt_count", 0) > 0 ? "delivered"
                        : base == 24                                                             ? "failed"
                        : base == 23                                                             ? "sent"
                                                                                                 : "pending";
    const int64_t who = row_column(i->st, "to_recipient_id") >= 0 ? row_int(i->st, "to_recipient_id", 0) : i->who;
    if (!is_group(i, who)) { put_status(i, list, who, state, row_int(i->st, "receipt_timestamp", 0)); }
}

static void put_incoming(struct item *i, struct json *item)
{
    struct json *in = make_in(i->k, item, "incoming");
    put_positive(i->k, in, "dateReceived", i->received);
    put_positive(i->k, in, "dateServerSent", row_int(i->st, "date_server", 0));
    make_true(i->k, in, "read", row_int(i->st, "read", 0) != 0);
    make_true(i->k, in, "sealedSender", row_int(i->st, "unidentified", 0) != 0);
}

static void take(struct item *i, struct sa_rows *r, bool sms, struct sqlite3_stmt *st)
{
    *i = (struct item){ .r = r, .k = &r->make, .st = st, .sms = sms, .id = row_int(st, "_id", 0) };
    i->type = int_of(st, "type", "msg_box", 0);
    i->sent = int_of(st, "date_sent", "date", 0);
    i->received = int_of(st, "date_received", "date", 0);
    i->who = row_column(st, "from_recipient_id") >= 0 ? row_int(st, "from_recipient_id", 0) : int_of(st, "recipient_id", "address", 0);
    i->outgoing = is_outgoing(i->type);
    i->author = i->outgoing ? r->self : i->who;
}

static void put_head(struct item *i, struct json *item)
{
    put_positive(i->k, item, "authorId", i->author);
    put_positive(i->k, item, "dateSent", i->sent);
    if (i->outgoing) {
        put_outgoing(i, item);
    } else {
        put_incoming(i, item);
    }
}

static void put_pin(struct item *i, struct json *item)
{
    const int64_t until = row_int(i->st, "pinned_until", 0), at = row_int(i->st, "pinned_at", 0);
    if (until <= 0) { return; }
    struct json *p = make_in(i->k, item, "pinDetails");
    put_positive(i->k, p, "pinnedAtTimestamp", at);
    if (until == INT64_MAX) {
        make_true(i->k, p, "pinNeverExpires", true);
    } else {
        make_u64(i->k, p, "pinExpiresAtTimestamp", (uint64_t)until);
    }
}

/* Earlier texts of an edited message are rows of their own. */
static kluis_status put_revisions(struct item *newest, struct json *item, struct kluis_err *err)
{
    struct sa_rows *r = newest->r;
    const int64_t original = row_int(newest->st, "original_message_id", 0);
    struct sqlite3_stmt *st = NULL;
    struct json *list = NULL;
    if (original <= 0) { return KLUIS_OK; }
    KLUIS_TRY(kluis_db_query(r->db, &st, err,
                             "SELECT * FROM message WHERE _id=?1 OR (original_message_id=?1 AND _id<>?2) ORDER BY _id<>?1, revision_number, _id",
                             "ii", original, newest->id));
    kluis_status rc = KLUIS_OK;
    for (unsigned n = 0; n < REVISIONS_MAX && (rc = kluis_db_step(r->db, st, err)) == KLUIS_OK; n++) {
        struct item i;
        take(&i, r, false, st);
        if (i.id == newest->id) { continue; }
        sa_evidence(r, "message", st);
        if (list == NULL) { list = make_list(&r->make, item, "revisions"); }
        struct json *o = make_push(list, make_object(&r->make));
        put_head(&i, o);
        put_standard(&i, o, false);
    }
    kluis_db_done(st);
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

kluis_status sa_item(struct sa_rows *r, bool sms, struct sqlite3_stmt *st, struct json *frame, struct kluis_err *err)
{
    struct item i;
    take(&i, r, sms, st);
    const int64_t base = i.type & TYPE_BASE;
    if (row_int(st, "scheduled_date", -1) > 0 || base == 27) { /* not sent */
        (void)make_in(i.k, frame, "draft");
        return KLUIS_OK;
    }
    if (row_int(st, "story_type", 0) != 0 || row_int(st, "parent_story_id", 0) > 0) { /* a story, or what a group said below one */
        (void)make_in(i.k, frame, "story");
        return KLUIS_OK;
    }
    struct json *item = make_in(i.k, frame, "chatItem");
    const int64_t thread = row_int(st, "thread_id", 0);
    make_u64(i.k, item, "chatId", thread > 0 ? (uint64_t)thread : 0);
    put_positive(i.k, item, "expireStartDate", row_int(st, "expire_started", 0));
    if (sa_update(r, st, i.type, item)) {
        put_positive(i.k, item, "authorId", i.author);
        put_positive(i.k, item, "dateSent", i.sent);
        (void)make_in(i.k, item, "directionless");
        return KLUIS_OK;
    }
    put_positive(i.k, item, "expiresInMs", row_int(st, "expires_in", 0));
    if ((i.type & 0x800000) == 0 && (i.type & 0x200000) == 0) { make_true(i.k, item, "sms", true); }
    put_head(&i, item);
    put_pin(&i, item);
    if (row_int(st, "deleted_by", 0) <= 0 && row_int(st, "remote_deleted", 0) == 0) { KLUIS_TRY(put_revisions(&i, item, err)); }
    put_content(&i, item);
    return KLUIS_OK;
}
