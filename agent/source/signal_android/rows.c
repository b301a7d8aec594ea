/* rows.c - the private database as frames: what it is, its owner, people and groups, chats, what was lost, then messages as they arrived.
 *
 * Until schema 174 messages stood in two tables, until 166 columns had other names; whichever is there is taken.
 */
#include "agent/source/signal_android/backup.h"

#include <sqlite3.h>

enum { INFO, ACCOUNT, PEOPLE, OWNER, CHATS, LOST, MESSAGES };
enum { JSON_MAX = 8 << 20, FIRST_MESSAGE = 2, RECIPIENTS_SINCE = 24 };
#define NO_ROW (INT64_C(1) << 52)

void sa_evidence(struct sa_rows *r, const char *table, struct sqlite3_stmt *st)
{
    if (r->evidence.len > 0) { kluis_buf_byte(&r->evidence, '\n'); }
    database_row_json(&r->evidence, table, st, 0, sqlite3_column_count(st));
}

static struct kluis_str either(struct sqlite3_stmt *st, const char *name, const char *before)
{
    struct kluis_str s = row_text(st, name);
    if (s.ptr == NULL || s.len == 0) { s = row_text(st, before); }
    return s.ptr != NULL && kluis_utf8_valid(s.ptr, s.len) == s.len ? s : (struct kluis_str){ NULL, 0 };
}
static struct kluis_str only(struct sqlite3_stmt *st, const char *name) { return either(st, name, name); }

static bool uuid_bytes(struct kluis_str s, uint8_t out[16])
{
    char hex[33];
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '-') { continue; }
        if (n == 32) { return false; }
        hex[n++] = s.ptr[i] >= 'A' && s.ptr[i] <= 'F' ? (char)(s.ptr[i] + 32) : s.ptr[i];
    }
    return kluis_unhex((struct kluis_str){ hex, n }, out, 16);
}

bool sa_account(struct sa_rows *r, int64_t recipient, uint8_t out[16])
{
    struct sqlite3_stmt *st = NULL;
    bool found = false;
    if (kluis_db_query(r->db, &st, NULL, "SELECT * FROM recipient WHERE _id=?1", "i", recipient) == KLUIS_OK) {
        found = kluis_db_step(r->db, st, NULL) == KLUIS_OK && uuid_bytes(either(st, "aci", "uuid"), out);
        kluis_db_done(st);
    }
    return found;
}

void sa_number(struct sa_rows *r, int64_t recipient, char *out, size_t cap)
{
    struct sqlite3_stmt *st = NULL;
    if (kluis_db_query(r->db, &st, NULL, "SELECT * FROM recipient WHERE _id=?1", "i", recipient) != KLUIS_OK) { return; }
    if (kluis_db_step(r->db, st, NULL) == KLUIS_OK) {
        const struct kluis_str number = either(st, "e164", "phone");
        if (number.len > 0 && number.len < cap && memchr(number.ptr, 0, number.len) == NULL) {
            memcpy(out, number.ptr, number.len);
            out[number.len] = '\0';
        }
        kluis_db_done(st);
    }
}

/* ---- who the owner is -------------------------------------------------------------------------------------------------- */

static int64_t first_int(struct sa_rows *r, const char *sql, const char *type, struct kluis_str v)
{
    struct sqlite3_stmt *st = NULL;
    int64_t out = 0;
    kluis_status rc = type[0] == '\0' ? kluis_db_query(r->db, &st, NULL, sql, "") : kluis_db_query(r->db, &st, NULL, sql, "t", v);
    if (rc == KLUIS_OK) {
        if (kluis_db_step(r->db, st, NULL) == KLUIS_OK) { out = kluis_db_int(st, 0); }
        kluis_db_done(st);
    }
    return out;
}

static int64_t by_account(struct sa_rows *r, struct kluis_str aci)
{
    if (aci.len == 0) { return 0; }
    return database_has_column(r->db, "recipient", "aci") ? first_int(r, "SELECT _id FROM recipient WHERE aci=?1", "t", aci)
                                                          : first_int(r, "SELECT _id FROM recipient WHERE uuid=?1", "t", aci);
}

/* The backup names its owner by a key: the row that has it is his. */
static int64_t by_key(struct sa_rows *r)
{
    char text[2 * SA_SELF_KEY];
    struct sqlite3_stmt *st = NULL;
    int64_t out = 0;
    if (r->replay->self_key_len == 0 || !database_has_column(r->db, "identities", "identity_key")) { return 0; }
    const struct kluis_str key = { text, kluis_base64(r->replay->self_key, r->replay->self_key_len, text) };
    if (kluis_db_query(r->db, &st, NULL, "SELECT address FROM identities WHERE identity_key=?1", "t", key) != KLUIS_OK) { return 0; }
    if (kluis_db_step(r->db, st, NULL) == KLUIS_OK) {
        out = by_account(r, kluis_db_text(st, 0));
        if (out == 0) { out = kluis_db_int(st, 0); }
    }
    kluis_db_done(st);
    return out;
}

static void find_owner(struct sa_rows *r)
{
    const struct kluis_str number = kluis_str_of(r->replay->self_number);
    int64_t self = by_account(r, kluis_str_of(r->replay->self_aci));
    if (self == 0) { self = by_key(r); }
    if (self == 0 && r->message && database_has_column(r->db, "message", "from_recipient_id")) {
        self = first_int(r,
                         "SELECT from_recipient_id FROM message WHERE (type & 31) IN (2, 11, 21, 22, 23, 24, 25, 26) GROUP BY 1 "
                         "ORDER BY count(*) DESC LIMIT 1",
                         "", number);
    }
    if (self == 0 && number.len > 0) {
        self = database_has_column(r->db, "recipient", "e164") ? first_int(r, "SELECT _id FROM recipient WHERE e164=?1", "t", number)
                                                               : first_int(r, "SELECT _id FROM recipient WHERE phone=?1", "t", number);
    }
    r->self_known = self > 0;
    r->self = self > 0 ? self : NO_ROW;
}

/* ---- beginning ------------------------------------------------------------------------------------------------------------ */

static kluis_status order(struct sa_rows *r, struct kluis_err *err)
{
    const bool edits = database_has_column(r->db, "message", "latest_revision_id");
    KLUIS_TRY(kluis_db_exec(r->db, "CREATE TABLE k_item(place INTEGER PRIMARY KEY, sms INTEGER, id INTEGER)", err));
    if (r->message) {
        return kluis_db_exec(r->db,
                             edits ? "INSERT INTO k_item(sms, id) SELECT 0, _id FROM message m WHERE latest_revision_id IS NULL OR NOT EXISTS "
                                     "(SELECT 1 FROM message n WHERE n._id=m.latest_revision_id) ORDER BY date_received, _id"
                                   : "INSERT INTO k_item(sms, id) SELECT 0, _id FROM message ORDER BY date_received, _id",
                             err);
    }
    if (!database_has_table(r->db, "sms")) {
        return kluis_db_exec(r->db, "INSERT INTO k_item(sms, id) SELECT 0, _id FROM mms ORDER BY date_received, _id", err);
    }
    return kluis_db_exec(r->db,
                         database_has_column(r->db, "sms", "date_received")
                             ? "INSERT INTO k_item(sms, id) SELECT s, i FROM (SELECT 1 s, _id i, date_received d FROM sms UNION ALL "
                               "SELECT 0, _id, date_received FROM mms) ORDER BY d, s, i"
                             : "INSERT INTO k_item(sms, id) SELECT s, i FROM (SELECT 1 s, _id i, date d FROM sms UNION ALL "
                               "SELECT 0, _id, date_received FROM mms) ORDER BY d, s, i",
                         err);
}

static kluis_status index_on(struct sa_rows *r, const char *table, const char *column, bool *there, struct kluis_err *err)
{
    char sql[160];
    const bool has = database_has_column(r->db, table, column);
    if (there != NULL) { *there = has; }
    if (!has) { return KLUIS_OK; }
    (void)snprintf(sql, sizeof sql, "CREATE INDEX \"k_%s\" ON \"%s\"(\"%s\")", table, table, column);
    return kluis_db_exec(r->db, sql, err);
}

kluis_status sa_rows_begin(struct sa_rows *r, struct kluis_err *err)
{
    kluis_buf_init(&r->evidence, LINE_MAX_BYTES);
    r->message = database_has_table(r->db, "message");
    r->attachment = database_has_table(r->db, "attachment");
    const char *main_table = r->message ? "message" : "mms";
    if (!database_has_column(r->db, main_table, "date_received") || !database_has_column(r->db, main_table, "thread_id") ||
        !database_has_column(r->db, "recipient", "_id") || !database_has_column(r->db, "thread", "_id")) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: opened, but its schema (version %llu) is not one this reader knows: %s", r->path,
                          (unsigned long long)r->version,
                          r->version < RECIPIENTS_SINCE ? "let a newer Signal make the backup again" : "update Chatkluis");
    }
    r->json = kluis_arena_new(JSON_MAX);
    if (r->json == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    KLUIS_TRY(order(r, err));
    KLUIS_TRY(index_on(r, "attachment", "message_id", NULL, err));
    KLUIS_TRY(index_on(r, "part", "mid", NULL, err));
    KLUIS_TRY(index_on(r, "reaction", "message_id", &r->reaction, err));
    KLUIS_TRY(index_on(r, "mention", "message_id", &r->mention, err));
    KLUIS_TRY(index_on(r, "group_receipts", "mms_id", &r->receipts, err));
    KLUIS_TRY(index_on(r, "poll", "message_id", &r->poll, err));
    KLUIS_TRY(index_on(r, "poll_option", "poll_id", NULL, err));
    KLUIS_TRY(index_on(r, "poll_vote", "poll_id", NULL, err));
    KLUIS_TRY(index_on(r, "call", "message_id", &r->call, err));
    KLUIS_TRY(index_on(r, "group_membership", "group_id", &r->membership, err));
    KLUIS_TRY(index_on(r, "groups", "group_id", NULL, err));
    KLUIS_TRY(index_on(r, "message", "original_message_id", NULL, err));
    r->poll = r->poll && database_has_column(r->db, "poll_option", "poll_id") && database_has_column(r->db, "poll_vote", "poll_id");
    r->reaction_mms = database_has_column(r->db, "reaction", "is_mms");
    find_owner(r);
    return KLUIS_OK;
}

void sa_rows_end(struct sa_rows *r)
{
    kluis_arena_free(r->json);
    kluis_buf_free(&r->evidence);
}

/* ---- people and chats -------------------------------------------------------------------------------------------------------- */

static void put_member(struct sa_rows *r, struct json *list, int64_t recipient)
{
    uint8_t id[16];
    if (sa_account(r, recipient, id)) { make_base64(&r->make, make_push(list, make_object(&r->make)), "userId", (struct kluis_bytes){ id, 16 }); }
}

static void group(struct sa_rows *r, struct json *out, struct kluis_str id)
{
    struct make *k = &r->make;
    struct json *snapshot = make_in(k, out, "snapshot"), *list = make_list(k, snapshot, "members");
    struct sqlite3_stmt *st = NULL;
    char key[256];
    if (id.len >= sizeof key) { return; }
    memcpy(key, id.ptr, id.len); /* the row it stands in may go */
    id.ptr = key;
    if (database_has_column(r->db, "groups", "group_id") &&
        kluis_db_query(r->db, &st, NULL, "SELECT * FROM groups WHERE group_id=?1", "t", id) == KLUIS_OK) {
        if (kluis_db_step(r->db, st, NULL) == KLUIS_OK) {
            const struct kluis_bytes master = row_blob(st, "master_key");
            make_text(k, make_in(k, snapshot, "title"), "title", only(st, "title"));
            if (master.len == 32) {
                make_base64(k, out, "masterKey", master);
            } else {
                make_text(k, out, "legacyId", id);
            }
            const struct kluis_str members = r->membership ? (struct kluis_str){ NULL, 0 } : only(st, "members");
            for (size_t i = 0; i < members.len;) { /* "3,4,5" */
                int64_t n = 0;
                while (i < members.len && members.ptr[i] >= '0' && members.ptr[i] <= '9' && n < NO_ROW) { n = n * 10 + (members.ptr[i++] - '0'); }
                if (n > 0) { put_member(r, list, n); }
                i++;
            }
        }
        kluis_db_done(st);
    }
    if (!r->membership || kluis_db_query(r->db, &st, NULL, "SELECT recipient_id FROM group_membership WHERE group_id=?1 ORDER BY _id LIMIT 4096", "t",
                                         id) != KLUIS_OK) {
        return;
    }
    while (kluis_db_step(r->db, st, NULL) == KLUIS_OK) { put_member(r, list, kluis_db_int(st, 0)); }
    kluis_db_done(st);
}

static void contact(struct make *k, struct json *c, struct sqlite3_stmt *st)
{
    const struct kluis_str number = either(st, "e164", "phone"), given = only(st, "system_given_name");
    const struct kluis_str nick = only(st, "nickname_given_name"), nick_family = only(st, "nickname_family_name");
    make_uuid(k, c, "aci", either(st, "aci", "uuid"));
    make_uuid(k, c, "pni", only(st, "pni"));
    if (number.len > 1 && number.ptr[0] == '+') { make_text(k, c, "e164", (struct kluis_str){ number.ptr + 1, number.len - 1 }); }
    make_text(k, c, "username", only(st, "username"));
    make_text(k, c, "systemGivenName", given.len > 0 ? given : either(st, "system_joined_name", "system_display_name"));
    if (given.len > 0) { make_text(k, c, "systemFamilyName", only(st, "system_family_name")); }
    make_text(k, c, "profileGivenName", either(st, "profile_given_name", "signal_profile_name"));
    make_text(k, c, "profileFamilyName", only(st, "profile_family_name"));
    if (nick.len > 0 || nick_family.len > 0) {
        struct json *n = make_in(k, c, "nickname");
        make_text(k, n, "given", nick);
        make_text(k, n, "family", nick_family);
    }
}

static void call_link(struct sa_rows *r, struct json *out, struct kluis_str room)
{
    struct sqlite3_stmt *st = NULL;
    if (!database_has_column(r->db, "call_link", "room_id") ||
        kluis_db_query(r->db, &st, NULL, "SELECT * FROM call_link WHERE room_id=?1", "t", room) != KLUIS_OK) {
        return;
    }
    if (kluis_db_step(r->db, st, NULL) == KLUIS_OK) {
        const struct kluis_bytes root = row_blob(st, "root_key");
        if (root.len == 16) { make_base64(&r->make, out, "rootKey", root); }
        make_text(&r->make, out, "name", only(st, "name"));
    }
    kluis_db_done(st);
}

static void recipient(struct sa_rows *r, struct sqlite3_stmt *st, struct json *frame)
{
    struct make *k = &r->make;
    struct json *o = make_in(k, frame, "recipient");
    const int64_t id = row_int(st, "_id", 0);
    const struct kluis_str group_id = only(st, "group_id"), room = only(st, "call_link_room_id");
    make_u64(k, o, "id", (uint64_t)id);
    if (id == r->self) {
        (void)make_in(k, o, "self");
    } else if (group_id.len > 0) {
        group(r, make_in(k, o, "group"), group_id);
    } else if (row_int(st, "distribution_list_id", 0) > 0) {
        (void)make_in(k, o, "distributionList");
    } else if (room.len > 0) {
        call_link(r, make_in(k, o, "callLink"), room);
    } else {
        contact(k, make_in(k, o, "contact"), st);
    }
}

static void chat(struct sa_rows *r, struct sqlite3_stmt *st, struct json *frame)
{
    struct sqlite3_stmt *who = NULL;
    struct json *c = make_in(&r->make, frame, "chat");
    int64_t seconds = 0, id = row_int(st, "recipient_id", row_int(st, "thread_recipient_id", row_int(st, "recipient_ids", 0)));
    make_u64(&r->make, c, "id", (uint64_t)row_int(st, "_id", 0));
    make_u64(&r->make, c, "recipientId", id > 0 ? (uint64_t)id : 0);
    if (kluis_db_query(r->db, &who, NULL, "SELECT * FROM recipient WHERE _id=?1", "i", id) == KLUIS_OK) {
        if (kluis_db_step(r->db, who, NULL) == KLUIS_OK) { seconds = row_int(who, "message_expiration_time", 0); }
        kluis_db_done(who);
    }
    if (seconds > 0 && seconds < INT32_MAX) { make_u64(&r->make, c, "expirationTimerMs", (uint64_t)seconds * 1000); }
}

/* ---- frames ------------------------------------------------------------------------------------------------------------------------ */

static kluis_status full(const struct sa_rows *r, struct kluis_err *err)
{
    return r->make.full ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again") : KLUIS_OK;
}

static void account(struct sa_rows *r, struct json *frame)
{
    struct json *a = make_in(&r->make, frame, "account");
    struct sqlite3_stmt *st = NULL;
    if (kluis_db_query(r->db, &st, NULL, "SELECT * FROM recipient WHERE _id=?1", "i", r->self) != KLUIS_OK) { return; }
    if (kluis_db_step(r->db, st, NULL) == KLUIS_OK) {
        make_text(&r->make, a, "givenName", either(st, "profile_given_name", "signal_profile_name"));
        make_text(&r->make, a, "familyName", only(st, "profile_family_name"));
        make_text(&r->make, a, "username", only(st, "username"));
    }
    kluis_db_done(st);
}

static const char *why(int64_t lost)
{
    switch (lost) {
    case SA_LOST_FRAMES: return "frames of a damaged part of the file";
    case SA_LOST_END: return "the file ends in the middle: what came behind is missing";
    case SA_LOST_ROW: return "a row that does not fit its table";
    default: return "a frame that is whole but cannot be read";
    }
}

static kluis_status lost(struct sa_rows *r, struct frame *out, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(r->db, &st, err, "SELECT id, at, number, why FROM k_damage WHERE id>?1 ORDER BY id LIMIT 1", "i", r->last));
    kluis_status rc = kluis_db_step(r->db, st, err);
    if (rc == KLUIS_OK) {
        r->last = kluis_db_int(st, 0);
        out->at = (uint64_t)kluis_db_int(st, 1);
        out->number = (uint64_t)kluis_db_int(st, 2);
        out->damage = why(kluis_db_int(st, 3));
        kluis_db_done(st);
    }
    return rc;
}

static kluis_status message(struct sa_rows *r, struct frame *out, struct kluis_err *err)
{
    struct sqlite3_stmt *list = NULL, *st = NULL;
    KLUIS_TRY(kluis_db_query(r->db, &list, err, "SELECT place, sms, id FROM k_item WHERE place>?1 ORDER BY place LIMIT 1", "i", r->place));
    kluis_status rc = kluis_db_step(r->db, list, err);
    if (rc != KLUIS_OK) { return rc; }
    r->place = kluis_db_int(list, 0);
    const bool sms = kluis_db_int(list, 1) != 0;
    const int64_t id = kluis_db_int(list, 2);
    kluis_db_done(list);
    out->at = (uint64_t)r->place + FIRST_MESSAGE;
    rc = r->message ? kluis_db_query(r->db, &st, err, "SELECT * FROM message WHERE _id=?1", "i", id)
         : sms      ? kluis_db_query(r->db, &st, err, "SELECT * FROM sms WHERE _id=?1", "i", id)
                    : kluis_db_query(r->db, &st, err, "SELECT * FROM mms WHERE _id=?1", "i", id);
    if (rc == KLUIS_OK) { rc = kluis_db_step(r->db, st, err); }
    if (rc != KLUIS_OK) { return rc == KLUIS_END ? KLUIS_FAIL(err, KLUIS_E_BUG, "a message of the private copy is gone") : rc; }
    kluis_buf_clear(&r->evidence);
    sa_evidence(r, r->message ? "message" : sms ? "sms" : "mms", st);
    rc = sa_item(r, sms, st, out->tree, err);
    kluis_db_done(st);
    KLUIS_TRY(rc);
    if (r->evidence.status != KLUIS_OK) {
        out->tree = NULL;
        out->damage = "a message of more than 4 MiB";
        return KLUIS_OK;
    }
    out->raw = (struct kluis_str){ (const char *)r->evidence.data, r->evidence.len };
    return full(r, err);
}

static kluis_status next_row(struct sa_rows *r, struct json *tree, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    const bool people = r->phase == PEOPLE;
    KLUIS_TRY(people ? kluis_db_query(r->db, &st, err, "SELECT * FROM recipient WHERE _id>?1 ORDER BY _id LIMIT 1", "i", r->last)
                     : kluis_db_query(r->db, &st, err, "SELECT * FROM thread WHERE _id>?1 ORDER BY _id LIMIT 1", "i", r->last));
    kluis_status rc = kluis_db_step(r->db, st, err);
    if (rc != KLUIS_OK) { return rc; }
    r->last = row_int(st, "_id", 0);
    if (people) {
        recipient(r, st, tree);
    } else {
        chat(r, st, tree);
    }
    kluis_db_done(st);
    return full(r, err);
}

static kluis_status next(void *ctx, struct kluis_arena *arena, struct frame *out, struct kluis_err *err)
{
    struct sa_rows *r = ctx;
    kluis_status rc = KLUIS_OK;
    memset(out, 0, sizeof *out);
    kluis_arena_clear(arena);
    r->make = (struct make){ .arena = arena };
    out->number = ++r->number;
    out->raw = KLUIS_STR_LIT("");
    out->at = r->phase == INFO ? 0 : 1;
    if (r->phase == LOST) {
        rc = lost(r, out, err);
        if (rc != KLUIS_END) { return rc; }
        r->phase = MESSAGES;
        r->place = 0;
    }
    out->tree = make_object(&r->make);
    if (out->tree == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    switch (r->phase) {
    case INFO:
        make_u64(&r->make, out->tree, "version", 1);
        make_u64(&r->make, out->tree, "backupTimeMs", (uint64_t)(kluis_now_us() / 1000));
        r->phase = ACCOUNT;
        return full(r, err);
    case ACCOUNT:
        account(r, out->tree);
        r->phase = PEOPLE;
        r->last = 0;
        return full(r, err);
    case OWNER: /* no row is known for his */
        r->phase = CHATS;
        r->last = 0;
        if (!r->self_known) {
            struct json *o = make_in(&r->make, out->tree, "recipient");
            make_u64(&r->make, o, "id", (uint64_t)r->self);
            (void)make_in(&r->make, o, "self");
            return full(r, err);
        }
        break;
    case MESSAGES: return message(r, out, err);
    default:
        rc = next_row(r, out->tree, err);
        if (rc != KLUIS_END) { return rc; }
        r->phase++;
        r->last = 0;
        break;
    }
    r->number--;
    return next(ctx, arena, out, err);
}

static kluis_status seek(void *ctx, uint64_t at, KLUIS_UNUSED struct kluis_err *err)
{
    struct sa_rows *r = ctx;
    r->phase = at < FIRST_MESSAGE ? INFO : MESSAGES;
    r->place = at < FIRST_MESSAGE ? 0 : (int64_t)(at - FIRST_MESSAGE) - 1;
    r->last = 0;
    if (r->phase == INFO) { r->number = 0; }
    return KLUIS_OK;
}

struct frames sa_rows_frames(struct sa_rows *r) { return (struct frames){ .ctx = r, .unit = "frame", .next = next, .seek = seek }; }
