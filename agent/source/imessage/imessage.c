/* imessage.c - Messages on Mac and iPhone: chat.db or sms.db with its attachments, or a backup of the phone.
 *
 * Times are nanoseconds since 2001 UTC, or seconds before iOS 11.  A message's id is its guid, the same on every device of its owner.  A conversation
 * with one person is its address, whatever service each message went by; a group is its group_id, which stays when its chat's row is made anew.
 */
#include "agent/source/imessage/imessage.h"

#include <sqlite3.h>

enum { GROUP_STYLE = 43, ID_MAX = 512 };
enum { WITH_ONE, WITH_MANY, WITH_UNKNOWN };

static const char *const tells[] = { "text",        "edits",   "deletions", "reactions",     "quotes",   "group-changes",
                                     "attachments", "numbers", "delivery",  "read-receipts", "mentions", NULL };
static const char *const loss[] = { "names", "deleted-content", "app-content", "polls", NULL };

static kluis_status told(struct im *s, const char *what, const char *where, const char *why, bool refused, struct kluis_err *err)
{
    const struct source_skip k = { .what = what, .where = where, .why = why, .refused = refused };
    return s->sink->skipped == NULL ? KLUIS_OK : s->sink->skipped(s->sink->ctx, &k, err);
}

/* ---- which conversations there are -------------------------------------------------------------------------------------- */

/* What is known while the tables of our own are filled. */
struct filling {
    struct im *s;
    struct database_batch *joins, *places;
    struct database_seen *people;
    struct sqlite3_stmt *list; /* of k_join, as far as the messages have come */
    int64_t listed;            /* the message that it stands at */
    bool ended;                /* it stands at its end          */
    struct database_tally own; /* whose messages these are      */
    struct {
        int64_t chat, conv; /* 0: a chat that is none */
    } chats[IM_CHATS];
};

static kluis_status conversation(struct im *s, struct kluis_str key, int64_t with, struct kluis_str name, int64_t *out, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    char id[ID_MAX];
    const int n = snprintf(id, sizeof id, "%s%.*s", with == WITH_MANY ? "group:" : "", key.len > 400 ? 400 : (int)key.len, key.ptr);
    const struct kluis_str full = { id, n > 0 ? (size_t)n : 0 };
    KLUIS_TRY(kluis_db_run(s->work, NULL, err, "INSERT OR IGNORE INTO k_conv(key, grouped) VALUES(?1, ?2)", "ti", full, with));
    if (name.len > 0) { KLUIS_TRY(kluis_db_run(s->work, NULL, err, "UPDATE k_conv SET name=?2 WHERE key=?1", "tt", full, name)); }
    KLUIS_TRY(kluis_db_query(s->work, &st, err, "SELECT id FROM k_conv WHERE key=?1", "t", full));
    kluis_status rc = kluis_db_step(s->work, st, err);
    if (rc == KLUIS_OK) {
        *out = kluis_db_int(st, 0);
        kluis_db_done(st);
    }
    return rc;
}

static kluis_status on_chat(void *ctx, struct sqlite3_stmt *st, struct kluis_err *err)
{
    struct im *s = ((struct filling *)ctx)->s;
    const struct kluis_str guid = row_text(st, "guid"), address = row_text(st, "chat_identifier");
    struct kluis_str key = row_text(st, "group_id");
    int64_t conv = 0;
    const bool group = row_has(st, "style") ? row_int(st, "style", 0) == GROUP_STYLE : guid.len > 0 && memmem(guid.ptr, guid.len, ";+;", 3) != NULL;
    if (!group && address.len > 0) { key = address; }
    if (key.len == 0) { key = row_text(st, "room_name"); }
    if (key.len == 0) { key = address.len > 0 ? address : guid; }
    if (key.len == 0) { return KLUIS_OK; }
    KLUIS_TRY(conversation(s, key, group ? WITH_MANY : WITH_ONE, row_text(st, "display_name"), &conv, err));
    return kluis_db_run(s->work, NULL, err, "INSERT OR IGNORE INTO k_chat(chat, conv) VALUES(?1, ?2)", "ii", kluis_db_int(st, 0), conv);
}

static kluis_status conversation_of(struct filling *f, int64_t chat, int64_t *conv, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    const size_t at = (uint64_t)chat % IM_CHATS;
    if (f->chats[at].chat != chat || f->chats[at].conv == 0) {
        KLUIS_TRY(kluis_db_query(f->s->work, &st, err, "SELECT conv FROM k_chat WHERE chat=?1", "i", chat));
        kluis_status rc = kluis_db_step(f->s->work, st, err);
        if (rc != KLUIS_OK && rc != KLUIS_END) { return rc; }
        f->chats[at].chat = chat;
        f->chats[at].conv = rc == KLUIS_OK ? kluis_db_int(st, 0) : 0;
        kluis_db_done(st);
    }
    *conv = f->chats[at].conv;
    return KLUIS_OK;
}

static kluis_status on_join(void *ctx, struct sqlite3_stmt *st, struct kluis_err *err)
{
    struct filling *f = ctx;
    int64_t row[DATABASE_BATCH_COLUMNS] = { kluis_db_int(st, 2), kluis_db_int(st, 1), 0, kluis_db_int(st, 3) };
    KLUIS_TRY(conversation_of(f, row[1], &row[2], err));
    return row[2] == 0 ? KLUIS_OK : database_batch_add(f->joins, row, err);
}

static kluis_status on_attachment(void *ctx, struct sqlite3_stmt *st, KLUIS_UNUSED struct kluis_err *err)
{
    const uint64_t bit = (uint64_t)kluis_db_int(st, 1) % IM_HAS;
    ((struct filling *)ctx)->s->has_attachment[bit / 8] |= (uint8_t)(1u << bit % 8);
    return KLUIS_OK;
}

static kluis_status on_member(void *ctx, struct sqlite3_stmt *st, struct kluis_err *err)
{
    struct im *s = ((struct filling *)ctx)->s;
    const struct kluis_str who = im_address(s, kluis_db_int(st, 2));
    if (who.len == 0) { return KLUIS_OK; }
    return kluis_db_run(s->work, NULL, err,
                        "INSERT INTO k_people(conv, address, member) SELECT conv, ?2, 1 FROM k_chat WHERE chat=?1 "
                        "ON CONFLICT(conv, address) DO UPDATE SET member=1",
                        "it", kluis_db_int(st, 1), who);
}

static kluis_status no_hole(KLUIS_UNUSED void *ctx, KLUIS_UNUSED int64_t after, KLUIS_UNUSED int64_t before, KLUIS_UNUSED struct kluis_err *err)
{
    return KLUIS_OK; /* what cannot be read of these leaves its messages in a conversation of their own */
}

/* Which messages they belong to is not known: each is looked up. */
static kluis_status on_attachment_hole(void *ctx, KLUIS_UNUSED int64_t after, KLUIS_UNUSED int64_t before, KLUIS_UNUSED struct kluis_err *err)
{
    memset(((struct filling *)ctx)->s->has_attachment, 0xff, IM_HAS / 8);
    return KLUIS_OK;
}

static kluis_status on_hole(void *ctx, int64_t after, int64_t before, KLUIS_UNUSED struct kluis_err *err)
{
    struct im *s = ((struct filling *)ctx)->s;
    if (s->n_holes < IM_HOLES) { s->hole[s->n_holes++].after = after; }
    s->hole[s->n_holes - 1].before = before;
    return KLUIS_OK;
}

/* A message that no chat holds goes by its room, else by whom it is with. */
static kluis_status homeless(struct im *s, struct sqlite3_stmt *st, struct kluis_str address, int64_t *conv, struct kluis_err *err)
{
    const struct kluis_str room = row_text(st, "cache_roomnames"), none = { NULL, 0 };
    if (room.len > 0) { return conversation(s, room, WITH_MANY, none, conv, err); }
    if (address.len > 0) { return conversation(s, address, WITH_ONE, none, conv, err); }
    return conversation(s, KLUIS_STR_LIT("messages-of-no-chat"), WITH_UNKNOWN, none, conv, err);
}

static kluis_status named(struct filling *f, int64_t conv, struct kluis_str address, struct kluis_err *err)
{
    if (address.len == 0 || database_seen(f->people, conv, address)) { return KLUIS_OK; }
    return kluis_db_run(f->s->work, NULL, err, "INSERT OR IGNORE INTO k_people(conv, address, member) VALUES(?1, ?2, 0)", "it", conv, address);
}

/* Where a message stands: messages come in the order of their rows, and so does the list. */
static kluis_status list_on(struct filling *f, struct kluis_err *err)
{
    kluis_status rc = kluis_db_step(f->s->work, f->list, err);
    f->ended = rc != KLUIS_OK;
    if (rc == KLUIS_OK) { f->listed = kluis_db_int(f->list, 0); }
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

enum { PLACES = 16 };
static kluis_status places_of(struct filling *f, int64_t id, int64_t conv[PLACES], int64_t deleted[PLACES], size_t *n, struct kluis_err *err)
{
    for (*n = 0; !f->ended && f->listed <= id;) {
        if (f->listed == id && *n < PLACES) {
            conv[*n] = kluis_db_int(f->list, 1);
            deleted[*n] = kluis_db_int(f->list, 2);
            bool known = false;
            for (size_t i = 0; i < *n && !known; i++) { known = conv[i] == conv[*n]; }
            *n += !known;
        }
        KLUIS_TRY(list_on(f, err));
    }
    return KLUIS_OK;
}

static kluis_status on_message(void *ctx, struct sqlite3_stmt *st, struct kluis_err *err)
{
    struct filling *f = ctx;
    struct im *s = f->s;
    const int64_t id = kluis_db_int(st, 0), date = row_int(st, "date", 0), us = date == 0 ? 0 : apple_either_us(date),
                  handle = row_int(st, "handle_id", 0), other = row_int(st, "other_handle", 0);
    int64_t conv[PLACES], deleted[PLACES];
    size_t n = 0;
    const struct kluis_str mine = row_text(st, "destination_caller_id");
    if (mine.len > 0 && mine.len < IM_ADDRESS) { KLUIS_TRY(database_tally(&f->own, s->work, mine, err)); }
    KLUIS_TRY(places_of(f, id, conv, deleted, &n, err));
    if (n == 0) {
        KLUIS_TRY(homeless(s, st, im_address(s, handle), &conv[0], err));
        deleted[0] = 0;
        n = 1;
    }
    for (size_t i = 0; i < n; i++) {
        const int64_t place[DATABASE_BATCH_COLUMNS] = { conv[i], us, id, deleted[i] };
        KLUIS_TRY(database_batch_add(f->places, place, err));
        KLUIS_TRY(named(f, conv[i], im_address(s, handle), err));
        KLUIS_TRY(named(f, conv[i], im_address(s, other), err));
    }
    return KLUIS_OK;
}

static kluis_status walk(struct filling *f, const char *table, const char *column, const char *sql,
                         kluis_status (*row)(void *ctx, struct sqlite3_stmt *st, struct kluis_err *err),
                         kluis_status (*hole)(void *ctx, int64_t after, int64_t before, struct kluis_err *err), struct kluis_err *err)
{
    const struct database_walk w = { f, sql, row, hole };
    return database_has_column(f->s->db, table, column) ? database_walk(f->s->db, &w, err) : KLUIS_OK;
}

static kluis_status fill(struct filling *f, struct kluis_err *err)
{
    struct im *s = f->s;
    KLUIS_TRY(walk(f, "chat", "guid", "SELECT ROWID, * FROM chat WHERE ROWID>?1 ORDER BY ROWID", on_chat, no_hole, err));
    KLUIS_TRY(walk(f, "chat_message_join", "message_id", "SELECT rowid, chat_id, message_id, 0 FROM chat_message_join WHERE rowid>?1 ORDER BY rowid",
                   on_join, no_hole, err));
    KLUIS_TRY(database_batch_put(f->joins, err));
    KLUIS_TRY(walk(f, "chat_recoverable_message_join", "message_id",
                   "SELECT rowid, chat_id, message_id, delete_date FROM chat_recoverable_message_join WHERE rowid>?1 ORDER BY rowid", on_join,
                   no_hole, err));
    KLUIS_TRY(database_batch_put(f->joins, err));
    KLUIS_TRY(walk(f, "chat_handle_join", "handle_id", "SELECT rowid, chat_id, handle_id FROM chat_handle_join WHERE rowid>?1 ORDER BY rowid",
                   on_member, no_hole, err));
    KLUIS_TRY(walk(f, "message_attachment_join", "message_id", "SELECT rowid, message_id FROM message_attachment_join WHERE rowid>?1 ORDER BY rowid",
                   on_attachment, on_attachment_hole, err));
    KLUIS_TRY(kluis_db_query(s->work, &f->list, err, "SELECT message, conv, deleted FROM k_join ORDER BY message, chat", ""));
    KLUIS_TRY(list_on(f, err));
    /* Only what is asked for is taken apart, the texts are not; a version without one of these columns gives all it has. */
    const bool few = database_has_column(s->db, "message", "date") && database_has_column(s->db, "message", "other_handle") &&
                     database_has_column(s->db, "message", "cache_roomnames");
    const bool own = database_has_column(s->db, "message", "destination_caller_id");
    KLUIS_TRY(walk(f, "message", "guid",
                   few && own
                       ? "SELECT ROWID, date, handle_id, other_handle, cache_roomnames, destination_caller_id FROM message WHERE ROWID>?1 ORDER "
                         "BY ROWID"
                   : few ? "SELECT ROWID, date, handle_id, other_handle, cache_roomnames FROM message WHERE ROWID>?1 ORDER BY ROWID"
                         : "SELECT ROWID, * FROM message WHERE ROWID>?1 ORDER BY ROWID",
                   on_message, on_hole, err));
    kluis_db_done(f->list);
    KLUIS_TRY(database_batch_put(f->places, err));
    return database_tally(&f->own, s->work, (struct kluis_str){ NULL, 0 }, err);
}

static kluis_status most_named(struct im *s, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(s->work, &st, err, "SELECT address FROM k_self ORDER BY n DESC, address LIMIT 1", ""));
    kluis_status rc = kluis_db_step(s->work, st, err);
    if (rc == KLUIS_OK) {
        const struct kluis_str a = kluis_db_text(st, 0);
        (void)snprintf(s->self_address, sizeof s->self_address, "%.*s", (int)a.len, a.ptr);
        kluis_db_done(st);
    }
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

static kluis_status prepare(struct im *s, struct kluis_err *err)
{
    struct filling *f = kluis_calloc(1, sizeof *f);
    if (f == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    f->s = s;
    f->own.sql = "INSERT INTO k_self(address, n) VALUES(?1, ?2) ON CONFLICT(address) DO UPDATE SET n=n+?2";
    f->people = database_seen_new();
    kluis_status rc = f->people != NULL ? kluis_scratch_work(&s->work, err) : KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again");
    if (rc == KLUIS_OK) { rc = database_by_order(s->db, s->work, err); }
    if (rc == KLUIS_OK) {
        rc = kluis_db_exec(
            s->work,
            "CREATE TABLE k_conv(id INTEGER PRIMARY KEY, key TEXT UNIQUE, grouped INTEGER, name TEXT);"
            "CREATE TABLE k_chat(chat INTEGER PRIMARY KEY, conv INTEGER);"
            "CREATE TABLE k_join(message INTEGER, chat INTEGER, conv INTEGER, deleted INTEGER, PRIMARY KEY(message, chat)) WITHOUT ROWID;"
            "CREATE TABLE k_order(conv INTEGER, us INTEGER, id INTEGER, deleted INTEGER, PRIMARY KEY(conv, us, id)) WITHOUT ROWID;"
            "CREATE TABLE k_people(conv INTEGER, address TEXT, member INTEGER, PRIMARY KEY(conv, address)) WITHOUT ROWID;"
            "CREATE TABLE k_self(address TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID; BEGIN",
            err);
    }
    if (rc == KLUIS_OK) {
        rc = database_batch_new(&f->joins, s->work, 4, "INSERT OR IGNORE INTO k_join(message, chat, conv, deleted) VALUES(?,?,?,?)",
                                "INSERT OR IGNORE INTO k_join(message, chat, conv, deleted) VALUES" DATABASE_BATCH_MANY("(?,?,?,?)"), err);
    }
    if (rc == KLUIS_OK) {
        rc = database_batch_new(&f->places, s->work, 4, "INSERT OR IGNORE INTO k_order(conv, us, id, deleted) VALUES(?,?,?,?)",
                                "INSERT OR IGNORE INTO k_order(conv, us, id, deleted) VALUES" DATABASE_BATCH_MANY("(?,?,?,?)"), err);
    }
    if (rc == KLUIS_OK) { rc = fill(f, err); }
    if (rc == KLUIS_OK) { rc = kluis_db_exec(s->work, "COMMIT", err); }
    if (rc == KLUIS_OK && s->self_address[0] == '\0') { rc = most_named(s, err); }
    database_batch_free(f->joins);
    database_batch_free(f->places);
    database_seen_free(f->people);
    kluis_free(f);
    return rc;
}

/* ---- one conversation ------------------------------------------------------------------------------------------------------- */

struct conv {
    int64_t id;
    int64_t with;
    char key[ID_MAX], name[1024];
};

static kluis_status people(struct im *s, const struct conv *c, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    im_people_clear(&s->people);
    s->self = s->self_address[0] != '\0' ? im_party(&s->people, kluis_str_of(s->self_address), true) : im_party_named(&s->people, "self", true);
    s->peer = c->with != WITH_ONE ? KLUIS_NO_PARTY : im_party(&s->people, kluis_str_of(c->key), true);
    KLUIS_TRY(kluis_db_query(s->work, &st, err, "SELECT address, member FROM k_people WHERE conv=?1 ORDER BY address", "i", c->id));
    kluis_status rc;
    while ((rc = kluis_db_step(s->work, st, err)) == KLUIS_OK) { (void)im_party(&s->people, kluis_db_text(st, 0), kluis_db_int(st, 1) != 0); }
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

static void header(struct im *s, const struct conv *c, struct kluis_header *h)
{
    static const struct kluis_str tokens[] = { { "names", 5 }, { "deleted-content", 15 } };
    memset(h, 0, sizeof *h);
    h->platform = KLUIS_STR_LIT("imessage");
    h->conversation_id = wdb_utf8(s->people.arena, kluis_str_of(c->key));
    if (c->name[0] != '\0') { h->conversation_name = wdb_utf8(s->people.arena, kluis_str_of(c->name)); }
    h->type = c->with == WITH_MANY ? KLUIS_GROUP : c->with == WITH_UNKNOWN ? KLUIS_UNKNOWN_TYPE : s->peer == s->self ? KLUIS_SELF : KLUIS_DIRECT;
    h->self = s->self;
    h->parties = s->people.party;
    h->n_parties = s->people.n;
    h->participants = s->people.members;
    h->n_participants = s->people.n_members;
    h->provenance = (struct kluis_provenance){ .source = KLUIS_STR_LIT(IM_KIND),
                                               .app = KLUIS_STR_LIT("Messages"),
                                               .os = s->store.backup != NULL ? KLUIS_STR_LIT("iOS") : (struct kluis_str){ NULL, 0 },
                                               .reader = KLUIS_STR_LIT("chatkluis " KLUIS_VERSION " " IM_KIND) };
    h->zone = KLUIS_ZONE_STATED;
    h->zone_name = KLUIS_STR_LIT("UTC");
    h->precision = KLUIS_PRECISION_MILLISECOND;
    h->loss = tokens;
    h->n_loss = sizeof tokens / sizeof *tokens;
}

static kluis_status rows(struct im *s, const struct conv *c, struct kluis_err *err)
{
    struct sqlite3_stmt *list = NULL;
    kluis_status rc = kluis_db_query(s->work, &list, err, "SELECT id, deleted FROM k_order WHERE conv=?1 ORDER BY us, id", "i", c->id);
    while (rc == KLUIS_OK && (rc = kluis_db_step(s->work, list, err)) == KLUIS_OK) {
        const int64_t deleted = kluis_db_int(list, 1);
        rc = im_message(s, kluis_db_int(list, 0), deleted == 0 ? KLUIS_TIME_ABSENT : apple_either_us(deleted), err);
    }
    kluis_db_done(list);
    if (rc != KLUIS_END) { return rc; }
    for (size_t i = 0; i < s->n_holes; i++) {
        wdb_new(&s->d, KLUIS_GAP);
        s->d.r.event = KLUIS_STR_LIT("source-damaged");
        wdb_field(&s->d, "table", KLUIS_STR_LIT("message"));
        if (s->hole[i].after != INT64_MIN) { wdb_number_field(&s->d, "rows-after", s->hole[i].after); }
        if (s->hole[i].before != INT64_MAX) { wdb_number_field(&s->d, "rows-before", s->hole[i].before); }
        KLUIS_TRY(wdb_send(&s->d, err));
    }
    return KLUIS_OK;
}

static kluis_status one(struct im *s, const struct conv *c, struct kluis_err *err)
{
    struct kluis_header h;
    KLUIS_TRY(people(s, c, err));
    if (s->people.full) {
        return told(s, "a conversation", c->key, "more than 4,096 people are named in it, which is more than a package holds", true, err);
    }
    header(s, c, &h);
    if (h.conversation_id.ptr == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    KLUIS_TRY(s->sink->begin(s->sink->ctx, &h, err));
    KLUIS_TRY(rows(s, c, err));
    return s->sink->end(s->sink->ctx, err);
}

static kluis_status all(struct im *s, struct kluis_err *err)
{
    struct conv c = { .id = 0 };
    for (;;) {
        struct sqlite3_stmt *st = NULL;
        KLUIS_TRY(kluis_db_query(s->work, &st, err,
                                 "SELECT id, key, grouped, name FROM k_conv c WHERE id>?1 AND EXISTS (SELECT 1 FROM k_order o WHERE o.conv=c.id) "
                                 "ORDER BY id LIMIT 1",
                                 "i", c.id));
        kluis_status rc = kluis_db_step(s->work, st, err);
        if (rc != KLUIS_OK) { return rc == KLUIS_END ? KLUIS_OK : rc; }
        c.id = kluis_db_int(st, 0);
        c.with = kluis_db_int(st, 2);
        if (!kluis_db_copy(st, 1, c.key, sizeof c.key)) { (void)snprintf(c.key, sizeof c.key, "conversation-%lld", (long long)c.id); }
        if (!kluis_db_copy(st, 3, c.name, sizeof c.name)) { c.name[0] = '\0'; }
        kluis_db_done(st);
        KLUIS_TRY(one(s, &c, err));
    }
}

/* Of messages that are gone for good only the ids are kept, and of which chat they were is not. */
static kluis_status gone(struct im *s, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    char where[64];
    if (kluis_db_query(s->db, &st, NULL, "SELECT count(*) FROM deleted_messages", "") != KLUIS_OK) { return KLUIS_OK; }
    int64_t n = kluis_db_step(s->db, st, NULL) == KLUIS_OK ? kluis_db_int(st, 0) : 0;
    kluis_db_done(st);
    (void)snprintf(where, sizeof where, "%lld ids", (long long)n);
    return n == 0 ? KLUIS_OK : told(s, "deleted messages", where, "nothing of them is left, and not of which conversation they were", false, err);
}

/* ---- the kind ------------------------------------------------------------------------------------------------------------------ */

static kluis_status options(struct im *s, struct kluis_err *err)
{
    for (size_t i = 0; i < s->q->n_options; i++) {
        const char *k = s->q->options[i].key, *v = s->q->options[i].value;
        const size_t n = strlen(v);
        if (strcmp(k, "password") == 0) { continue; }
        if (strcmp(k, "number") == 0 && v[0] == '+' && n >= 6 && n <= 16 && strspn(v + 1, "0123456789") == n - 1) {
            (void)snprintf(s->self_address, sizeof s->self_address, "%s", v);
            continue;
        }
        return KLUIS_FAIL(err, KLUIS_E_USAGE, IM_KIND ": options are password=@FILE (of the backup) and number=+31… (your own); \"%.40s\" is not one",
                          k);
    }
    return KLUIS_OK;
}

static kluis_status read_all(struct im *s, struct kluis_err *err)
{
    KLUIS_TRY(options(s, err));
    KLUIS_TRY(im_store_open(&s->store, s->q, err));
    kluis_status rc = im_store_database(&s->store, &s->db, err);
    if (rc == KLUIS_E_NOTFOUND && err != NULL) { err->code = KLUIS_E_REJECT; }
    if (rc != KLUIS_OK) { return rc == KLUIS_E_NOTFOUND ? KLUIS_E_REJECT : rc; }
    if (!database_has_column(s->db, "message", "guid") || !database_has_column(s->db, "message", "handle_id") ||
        !database_has_column(s->db, "handle", "id")) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: not a database of Messages, or of a version this reader does not know", s->q->path);
    }
    s->typed = kluis_arena_new(IM_TYPED_ARENA);
    s->summary = kluis_calloc(1, sizeof *s->summary);
    s->text = kluis_calloc(1, sizeof *s->text);
    s->old = kluis_calloc(1, sizeof *s->old);
    s->handles = kluis_calloc(IM_HANDLES, sizeof *s->handles);
    s->has_attachment = kluis_calloc(1, IM_HAS / 8);
    if (s->handles == NULL || s->has_attachment == NULL || s->typed == NULL || s->summary == NULL || s->text == NULL || s->old == NULL) {
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again");
    }
    KLUIS_TRY(im_people_new(&s->people, err));
    KLUIS_TRY(wdb_draft_init(&s->d, s->sink, err));
    KLUIS_TRY(prepare(s, err));
    KLUIS_TRY(all(s, err));
    return gone(s, err);
}

static kluis_status read_imessage(const struct source_request *q, const struct source_sink *sink, struct kluis_err *err)
{
    struct im *s = kluis_calloc(1, sizeof *s);
    if (s == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    s->q = q;
    s->sink = sink;
    kluis_status rc = database_blame(read_all(s, err), q->path, err);
    kluis_scratch_sqlite_close(s->work);
    database_close(s->db);
    im_store_close(&s->store);
    if (s->summary != NULL) { im_summary_free(s->summary); }
    im_people_free(&s->people);
    wdb_draft_free(&s->d);
    kluis_arena_free(s->typed);
    kluis_free(s->summary);
    kluis_free(s->text);
    kluis_free(s->old);
    kluis_free(s->handles);
    kluis_free(s->has_attachment);
    kluis_free(s);
    return rc;
}

static kluis_status attachments(const struct source_request *q, KLUIS_UNUSED struct kluis_str conversation_id, const struct kluis_str *wanted,
                                size_t n, const struct source_attachment_sink *sink, struct kluis_err *err)
{
    struct im_store *s = kluis_calloc(1, sizeof *s);
    if (s == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    kluis_status rc = im_store_open(s, q, err);
    for (size_t i = 0; rc == KLUIS_OK && i < n; i++) { rc = im_store_deliver(s, wanted[i], i, sink, err); }
    im_store_close(s);
    kluis_free(s);
    return rc;
}

const struct source_kind source_imessage = {
    .name = IM_KIND,
    .platform = "imessage",
    .about_nl = "iMessage en sms op Mac en iPhone: chat.db of sms.db met bijlagen, of een reservekopie van Finder of iTunes (ook versleuteld)",
    .about_en = "iMessage and SMS on Mac and iPhone: chat.db or sms.db with attachments, or a Finder or iTunes backup (encrypted too)",
    .tells = tells,
    .loss = loss,
    .extent = SOURCE_WHOLE,
    .probe = im_probe,
    .read = read_imessage,
    .attachments = attachments,
};
