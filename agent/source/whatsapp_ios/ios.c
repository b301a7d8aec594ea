/* ios.c - WhatsApp on iPhone and Mac: ChatStorage.sqlite with ContactsV2.sqlite, CallHistory.sqlite and media beside it, or in a backup.
 *
 * Times are seconds since 2001 UTC.  A message's id is its ZSTANZAID, the same on every phone.
 */
#include "agent/source/whatsapp_ios/ios.h"

#include <sqlite3.h>

static const char *const tells[] = { "text",        "deletions", "reactions", "quotes",   "calls", "group-changes",
                                     "attachments", "numbers",   "locations", "contacts", "names", NULL };
static const char *const loss[] = { "edits",         "deleted-content", "view-once-content",
                                    "read-receipts", "poll-options",    "votes",
                                    "timers",        "reactor-unknown", NULL };

static kluis_status told(struct ios *s, const char *what, const char *where, const char *why, bool refused, struct kluis_err *err)
{
    const struct source_skip k = { .what = what, .where = where, .why = why, .refused = refused };
    return s->sink->skipped == NULL ? KLUIS_OK : s->sink->skipped(s->sink->ctx, &k, err);
}

struct kluis_str ios_jid(struct ios *s, struct kluis_str jid, char out[WDB_JID_MAX])
{
    struct kluis_str plain = wdb_jid_plain(jid, out);
    if (plain.ptr == NULL || wdb_server_of(plain) != WDB_HIDDEN) { return plain; }
    struct kluis_str number = wdb_name(s->numbers, plain);
    if (number.len == 0 || number.len >= WDB_JID_MAX) { return plain; }
    memcpy(out, number.ptr, number.len);
    return (struct kluis_str){ out, number.len };
}

uint32_t ios_who(struct ios *s, struct kluis_str jid) { return wdb_find(s->book, jid); }

static uint32_t add(struct ios *s, struct kluis_str raw, bool member)
{
    char plain[WDB_JID_MAX];
    struct kluis_str jid = ios_jid(s, raw, plain);
    enum wdb_server server = wdb_server_of(jid);
    return server == WDB_PERSON || server == WDB_HIDDEN ? wdb_party(s->book, jid, wdb_name(s->names, jid), member) : KLUIS_NO_PARTY;
}

/* ---- names ---- */

static kluis_status on_contact(void *ctx, struct sqlite3_stmt *st, KLUIS_UNUSED struct kluis_err *err)
{
    struct ios *s = ctx;
    char plain[WDB_JID_MAX];
    struct kluis_str jid = row_text(st, "ZWHATSAPPID"), name = row_text(st, "ZFULLNAME"), hidden = row_text(st, "ZLID");
    if (name.len == 0) { name = row_text(st, "ZGIVENNAME"); }
    wdb_learn(s->names, jid, name);
    jid = wdb_jid_plain(jid, plain);
    if (hidden.len > 0 && wdb_server_of(jid) == WDB_PERSON) { wdb_learn(s->numbers, hidden, jid); }
    return KLUIS_OK;
}
static kluis_status on_push_name(void *ctx, struct sqlite3_stmt *st, KLUIS_UNUSED struct kluis_err *err)
{
    wdb_learn(((struct ios *)ctx)->names, row_text(st, "ZJID"), row_text(st, "ZPUSHNAME"));
    return KLUIS_OK;
}
static kluis_status on_member_name(void *ctx, struct sqlite3_stmt *st, KLUIS_UNUSED struct kluis_err *err)
{
    wdb_learn(((struct ios *)ctx)->names, row_text(st, "ZMEMBERJID"), row_text(st, "ZCONTACTNAME"));
    return KLUIS_OK;
}
static kluis_status on_partner(void *ctx, struct sqlite3_stmt *st, KLUIS_UNUSED struct kluis_err *err)
{
    enum wdb_server server = wdb_server_of(row_text(st, "ZCONTACTJID"));
    if (server == WDB_PERSON || server == WDB_HIDDEN) {
        wdb_learn(((struct ios *)ctx)->names, row_text(st, "ZCONTACTJID"), row_text(st, "ZPARTNERNAME"));
    }
    return KLUIS_OK;
}
static kluis_status no_hole(KLUIS_UNUSED void *ctx, KLUIS_UNUSED int64_t after, KLUIS_UNUSED int64_t before, KLUIS_UNUSED struct kluis_err *err)
{
    return KLUIS_OK; /* names that cannot be read are numbers */
}

static kluis_status names(struct ios *s, struct kluis_err *err)
{
    struct kluis_db *contacts = NULL;
    struct kluis_err why = { 0 };
    KLUIS_TRY(wdb_names_new(&s->names, err));
    KLUIS_TRY(wdb_names_new(&s->numbers, err));
    kluis_status rc = ios_store_database(&s->store, "ContactsV2.sqlite", &contacts, &why);
    if (rc == KLUIS_OK && database_has_column(contacts, "ZWAADDRESSBOOKCONTACT", "ZWHATSAPPID")) {
        const struct database_walk w = { s, "SELECT Z_PK, * FROM ZWAADDRESSBOOKCONTACT WHERE Z_PK>?1 ORDER BY Z_PK", on_contact, no_hole };
        rc = database_walk(contacts, &w, err);
    } else if (rc != KLUIS_OK && rc != KLUIS_E_NOTFOUND) {
        rc = told(s, "names of contacts", "ContactsV2.sqlite", why.msg, false, err);
    } else {
        rc = KLUIS_OK;
    }
    database_close(contacts);
    KLUIS_TRY(rc);
    static const struct {
        const char *table, *column, *sql;
        kluis_status (*row)(void *ctx, struct sqlite3_stmt *st, struct kluis_err *err);
    } more[] = {
        { "ZWAGROUPMEMBER", "ZCONTACTNAME", "SELECT Z_PK, ZMEMBERJID, ZCONTACTNAME FROM ZWAGROUPMEMBER WHERE Z_PK>?1 ORDER BY Z_PK", on_member_name },
        { "ZWACHATSESSION", "ZPARTNERNAME", "SELECT Z_PK, ZCONTACTJID, ZPARTNERNAME FROM ZWACHATSESSION WHERE Z_PK>?1 ORDER BY Z_PK", on_partner },
        { "ZWAPROFILEPUSHNAME", "ZPUSHNAME", "SELECT Z_PK, ZJID, ZPUSHNAME FROM ZWAPROFILEPUSHNAME WHERE Z_PK>?1 ORDER BY Z_PK", on_push_name }
    };
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        if (!database_has_column(s->db, more[i].table, more[i].column)) { continue; }
        const struct database_walk w = { s, more[i].sql, more[i].row, no_hole };
        KLUIS_TRY(database_walk(s->db, &w, err));
    }
    return KLUIS_OK;
}

/* ---- order ---- */

/* What is known while the tables of our own are filled; most people were seen a moment ago. */
enum { SEEN = 4096 };
struct filling {
    struct ios *s;
    struct database_batch *places;
    struct database_seen *people;
    struct database_tally self;
    struct {
        int64_t chat, member;
    } members[SEEN];
};

static kluis_status on_order(void *ctx, struct sqlite3_stmt *st, struct kluis_err *err)
{
    struct filling *f = ctx;
    struct kluis_db *work = f->s->work;
    const int64_t chat = kluis_db_int(st, 1), member = kluis_db_int(st, 3);
    const int64_t place[DATABASE_BATCH_COLUMNS] = { chat, kluis_db_int(st, 2), kluis_db_int(st, 0) };
    const struct kluis_str from = kluis_db_text(st, 4), to = kluis_db_text(st, 5);
    KLUIS_TRY(database_batch_add(f->places, place, err));
    const size_t at = ((uint64_t)chat * 31 + (uint64_t)member) % SEEN;
    if (member > 0 && (f->members[at].chat != chat || f->members[at].member != member)) {
        f->members[at].chat = chat;
        f->members[at].member = member;
        KLUIS_TRY(kluis_db_run(work, NULL, err, "INSERT OR IGNORE INTO k_members(chat, id) VALUES(?1, ?2)", "ii", chat, member));
    }
    if (from.len > 0 && !database_seen(f->people, chat, from) && (wdb_server_of(from) == WDB_PERSON || wdb_server_of(from) == WDB_HIDDEN)) {
        KLUIS_TRY(kluis_db_run(work, NULL, err, "INSERT OR IGNORE INTO k_people(chat, jid) VALUES(?1, ?2)", "it", chat, from));
    }
    /* Whatever was received was sent to the owner. */
    return kluis_db_int(st, 6) == 0 && wdb_server_of(to) == WDB_PERSON ? database_tally(&f->self, work, to, err) : KLUIS_OK;
}
static kluis_status on_member(void *ctx, struct sqlite3_stmt *st, struct kluis_err *err)
{
    return kluis_db_run(((struct ios *)ctx)->work, NULL, err, "INSERT OR IGNORE INTO k_members(chat, id) VALUES(?1, ?2)", "ii", kluis_db_int(st, 1),
                        kluis_db_int(st, 0));
}
static kluis_status on_hole(void *ctx, int64_t after, int64_t before, KLUIS_UNUSED struct kluis_err *err)
{
    struct ios *s = ((struct filling *)ctx)->s;
    if (s->n_holes < IOS_HOLES) { s->hole[s->n_holes++].after = after; }
    s->hole[s->n_holes - 1].before = before;
    return KLUIS_OK;
}

static kluis_status fill(struct filling *f, struct kluis_err *err)
{
    struct ios *s = f->s;
    const struct database_walk w = {
        f,
        database_has_column(s->db, "ZWAMESSAGE", "ZSORT")
            ? "SELECT Z_PK, ifnull(ZCHATSESSION,0), ifnull(ZSORT,Z_PK), ZGROUPMEMBER, ZFROMJID, ZTOJID, ifnull(ZISFROMME,0) FROM ZWAMESSAGE "
              "WHERE Z_PK>?1 ORDER BY Z_PK"
            : "SELECT Z_PK, ifnull(ZCHATSESSION,0), Z_PK, ZGROUPMEMBER, ZFROMJID, ZTOJID, ifnull(ZISFROMME,0) FROM ZWAMESSAGE WHERE "
              "Z_PK>?1 ORDER BY Z_PK",
        on_order, on_hole
    };
    KLUIS_TRY(database_walk(s->db, &w, err));
    KLUIS_TRY(database_batch_put(f->places, err));
    KLUIS_TRY(database_tally(&f->self, s->work, (struct kluis_str){ NULL, 0 }, err));
    if (database_has_column(s->db, "ZWAGROUPMEMBER", "ZCHATSESSION")) {
        const struct database_walk m = { s, "SELECT Z_PK, ZCHATSESSION FROM ZWAGROUPMEMBER WHERE Z_PK>?1 ORDER BY Z_PK", on_member, no_hole };
        KLUIS_TRY(database_walk(s->db, &m, err));
    }
    return KLUIS_OK;
}

static kluis_status owner(struct ios *s, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    char plain[WDB_JID_MAX];
    KLUIS_TRY(kluis_db_query(s->work, &st, err, "SELECT jid FROM k_self ORDER BY n DESC, jid LIMIT 1", ""));
    kluis_status rc = kluis_db_step(s->work, st, err);
    struct kluis_str jid = rc == KLUIS_OK ? wdb_jid_plain(kluis_db_text(st, 0), plain) : (struct kluis_str){ NULL, 0 };
    if (jid.ptr != NULL) { (void)snprintf(s->self_jid, sizeof s->self_jid, "%.*s", (int)jid.len, jid.ptr); }
    kluis_db_done(st);
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

static kluis_status prepare(struct ios *s, struct kluis_err *err)
{
    struct filling *f = kluis_calloc(1, sizeof *f);
    if (f == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    f->s = s;
    f->self.sql = "INSERT INTO k_self(jid, n) VALUES(?1, ?2) ON CONFLICT(jid) DO UPDATE SET n=n+?2";
    f->people = database_seen_new();
    kluis_status rc = f->people != NULL ? kluis_scratch_work(&s->work, err) : KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again");
    if (rc == KLUIS_OK) { rc = database_by_order(s->db, s->work, err); }
    if (rc == KLUIS_OK) {
        rc = kluis_db_exec(s->work,
                           "CREATE TABLE k_order(chat INTEGER, sort INTEGER, id INTEGER, PRIMARY KEY(chat, sort, id)) WITHOUT ROWID;"
                           "CREATE TABLE k_members(chat INTEGER, id INTEGER, PRIMARY KEY(chat, id)) WITHOUT ROWID;"
                           "CREATE TABLE k_people(chat INTEGER, jid TEXT, PRIMARY KEY(chat, jid)) WITHOUT ROWID;"
                           "CREATE TABLE k_self(jid TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID;"
                           "CREATE TABLE k_calls(jid TEXT, time REAL, id INTEGER, PRIMARY KEY(jid, time, id)) WITHOUT ROWID; BEGIN",
                           err);
    }
    if (rc == KLUIS_OK) {
        rc = database_batch_new(&f->places, s->work, 3, "INSERT OR IGNORE INTO k_order(chat, sort, id) VALUES(?,?,?)",
                                "INSERT OR IGNORE INTO k_order(chat, sort, id) VALUES" DATABASE_BATCH_MANY("(?,?,?)"), err);
    }
    if (rc == KLUIS_OK) { rc = fill(f, err); }
    if (rc == KLUIS_OK) { rc = kluis_db_exec(s->work, "COMMIT", err); }
    if (rc == KLUIS_OK && s->self_jid[0] == '\0') { rc = owner(s, err); }
    database_batch_free(f->places);
    database_seen_free(f->people);
    kluis_free(f);
    return rc;
}

/* ---- calls ---- */

static kluis_status on_call(void *ctx, struct sqlite3_stmt *st, struct kluis_err *err)
{
    struct ios *s = ctx;
    char plain[WDB_JID_MAX];
    struct kluis_str group = kluis_db_text(st, 1), other = kluis_db_text(st, 2);
    struct kluis_str jid = ios_jid(s, group.len > 0 ? group : other, plain);
    if (jid.ptr == NULL) { return KLUIS_OK; }
    return kluis_db_run(s->work, NULL, err, "INSERT OR IGNORE INTO k_calls(jid, time, id) VALUES(?1, ?2, ?3)", "tii", jid, kluis_db_int(st, 3),
                        kluis_db_int(st, 0));
}

static kluis_status list_calls(struct ios *s, struct kluis_db *calls, struct kluis_err *err)
{
    const struct database_walk w = {
        s,
        "SELECT e.Z_PK, e.ZGROUPJIDSTRING, (SELECT p.ZJIDSTRING FROM ZWACDCALLEVENTPARTICIPANT p WHERE p.Z1PARTICIPANTS=e.Z_PK "
        "ORDER BY p.Z_PK LIMIT 1), e.ZDATE FROM ZWACDCALLEVENT e WHERE e.Z_PK>?1 ORDER BY e.Z_PK",
        on_call, no_hole
    };
    return database_walk(calls, &w, err);
}

static kluis_status calls_of(struct ios *s, struct kluis_db *calls, struct kluis_str jid, struct kluis_err *err)
{
    struct wdb_draft *d = &s->d;
    struct sqlite3_stmt *list = NULL;
    char plain[WDB_JID_MAX];
    if (calls == NULL || jid.ptr == NULL) { return KLUIS_OK; }
    kluis_status rc = kluis_db_query(s->work, &list, err, "SELECT id FROM k_calls WHERE jid=?1 ORDER BY time, id", "t", jid);
    while (rc == KLUIS_OK && (rc = kluis_db_step(s->work, list, err)) == KLUIS_OK) {
        struct sqlite3_stmt *st = NULL;
        wdb_new(d, KLUIS_CALL);
        kluis_status have = wdb_side(calls, d, &st,
                                     "SELECT e.*, a.ZINCOMING, a.ZVIDEO, a.ZMISSED FROM ZWACDCALLEVENT e LEFT JOIN ZWAAGGREGATECALLEVENT a ON "
                                     "a.Z_PK=e.Z1CALLEVENTS WHERE e.Z_PK=?1",
                                     "ZWACDCALLEVENT", kluis_db_int(list, 0), err);
        if (have == KLUIS_OK) {
            double seconds = row_real(st, "ZDURATION");
            const bool in = row_int(st, "ZINCOMING", 1) != 0, missed = row_int(st, "ZMISSED", 0) != 0;
            wdb_sent(d, apple_seconds_us(row_real(st, "ZDATE")));
            struct kluis_str by = row_text(st, "ZGROUPCALLCREATORUSERJIDSTRING");
            d->r.author = by.len > 0 ? ios_who(s, ios_jid(s, by, plain)) : in ? s->peer : s->self;
            d->r.value = row_int(st, "ZVIDEO", 0) != 0 ? KLUIS_STR_LIT("video") : KLUIS_STR_LIT("audio");
            d->r.event = seconds > 0 && !missed ? KLUIS_STR_LIT("answered") : in ? KLUIS_STR_LIT("missed") : KLUIS_STR_LIT("not-answered");
            if (seconds > 0 && seconds < 1e9) { wdb_number_field(d, "duration-seconds", (int64_t)seconds); }
            wdb_number_field(d, "whatsapp.call-outcome", row_int(st, "ZOUTCOME", 0));
        }
        if (st != NULL) { kluis_db_done(st); }
        rc = have == KLUIS_OK ? wdb_send(d, err) : have == KLUIS_END ? KLUIS_OK : have;
    }
    kluis_db_done(list);
    if (rc != KLUIS_END) { return rc; }
    return kluis_db_run(s->work, NULL, err, "DELETE FROM k_calls WHERE jid=?1", "t", jid);
}

/* ---- conversations ---- */

static kluis_status header(struct ios *s, struct kluis_str id, struct kluis_str name, enum kluis_conversation_type type, struct kluis_header *h,
                           struct kluis_err *err)
{
    static const struct kluis_str tokens[] = { { "edits", 5 },          { "deleted-content", 15 }, { "view-once-content", 17 },
                                               { "read-receipts", 13 }, { "poll-options", 12 },    { "votes", 5 },
                                               { "timers", 6 } };
    memset(h, 0, sizeof *h);
    h->platform = KLUIS_STR_LIT("whatsapp");
    h->conversation_id = wdb_book_keep(s->book, id);
    if (name.len > 0) { h->conversation_name = wdb_book_keep(s->book, wdb_utf8(s->d.arena, name)); }
    h->type = type;
    h->self = s->self;
    h->provenance = (struct kluis_provenance){ .source = KLUIS_STR_LIT(IOS_KIND),
                                               .app = KLUIS_STR_LIT("WhatsApp"),
                                               .os = s->store.backup != NULL ? KLUIS_STR_LIT("iOS") : (struct kluis_str){ NULL, 0 },
                                               .reader = KLUIS_STR_LIT("chatkluis " KLUIS_VERSION " " IOS_KIND) };
    h->zone = KLUIS_ZONE_STATED;
    h->zone_name = KLUIS_STR_LIT("UTC");
    h->precision = KLUIS_PRECISION_MILLISECOND;
    h->loss = tokens;
    h->n_loss = sizeof tokens / sizeof *tokens;
    return wdb_book_header(s->book, h, err);
}

static kluis_status people(struct ios *s, struct kluis_err *err)
{
    struct sqlite3_stmt *list = NULL;
    kluis_status rc = kluis_db_query(s->work, &list, err, "SELECT jid FROM k_people WHERE chat=?1", "i", s->chat);
    while (rc == KLUIS_OK && (rc = kluis_db_step(s->work, list, err)) == KLUIS_OK) { (void)add(s, kluis_db_text(list, 0), false); }
    kluis_db_done(list);
    if (rc != KLUIS_END || !s->has_members) { return rc == KLUIS_END ? KLUIS_OK : rc; }
    list = NULL;
    rc = kluis_db_query(s->work, &list, err, "SELECT id FROM k_members WHERE chat=?1 ORDER BY id", "i", s->chat);
    while (rc == KLUIS_OK && (rc = kluis_db_step(s->work, list, err)) == KLUIS_OK) {
        struct sqlite3_stmt *st = NULL;
        rc = kluis_db_query(s->db, &st, err, "SELECT * FROM ZWAGROUPMEMBER WHERE Z_PK=?1", "i", kluis_db_int(list, 0));
        kluis_status have = rc == KLUIS_OK ? kluis_db_step(s->db, st, NULL) : rc;
        if (have == KLUIS_OK) { (void)add(s, row_text(st, "ZMEMBERJID"), row_int(st, "ZISACTIVE", 1) != 0); }
        kluis_db_done(st);
    }
    kluis_db_done(list);
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

static kluis_status rows(struct ios *s, struct kluis_err *err)
{
    struct sqlite3_stmt *list = NULL;
    kluis_status rc = kluis_db_query(s->work, &list, err, "SELECT id FROM k_order WHERE chat=?1 ORDER BY sort, id", "i", s->chat);
    while (rc == KLUIS_OK && (rc = kluis_db_step(s->work, list, err)) == KLUIS_OK) { rc = ios_message(s, kluis_db_int(list, 0), err); }
    kluis_db_done(list);
    if (rc != KLUIS_END) { return rc; }
    for (size_t i = 0; i < s->n_holes; i++) {
        wdb_new(&s->d, KLUIS_GAP);
        s->d.r.event = KLUIS_STR_LIT("source-damaged");
        wdb_field(&s->d, "table", KLUIS_STR_LIT("ZWAMESSAGE"));
        if (s->hole[i].after != INT64_MIN) { wdb_number_field(&s->d, "rows-after", s->hole[i].after); }
        if (s->hole[i].before != INT64_MAX) { wdb_number_field(&s->d, "rows-before", s->hole[i].before); }
        KLUIS_TRY(wdb_send(&s->d, err));
    }
    return KLUIS_OK;
}

static bool any(struct kluis_db *db, const char *sql, const char *type, int64_t v, struct kluis_str t)
{
    struct sqlite3_stmt *st = NULL;
    kluis_status rc = type[0] == 'i' ? kluis_db_query(db, &st, NULL, sql, "i", v) : kluis_db_query(db, &st, NULL, sql, "t", t);
    if (rc == KLUIS_OK) { rc = kluis_db_step(db, st, NULL); }
    kluis_db_done(st);
    return rc == KLUIS_OK;
}

struct session {
    int64_t id, type; /* id 0: none, calls alone */
    struct kluis_str jid, name;
};

static kluis_status one_chat(struct ios *s, const struct session *c, struct kluis_db *calls, struct kluis_err *err)
{
    char plain[WDB_JID_MAX], unnamed[48];
    struct kluis_header h;
    struct kluis_str jid = ios_jid(s, c->jid, plain), name = c->name;
    const struct kluis_str nothing = { NULL, 0 };
    const bool has_rows = c->id > 0 && any(s->work, "SELECT 1 FROM k_order WHERE chat=?1 LIMIT 1", "i", c->id, nothing);
    const bool has_calls = jid.ptr != NULL && any(s->work, "SELECT 1 FROM k_calls WHERE jid=?1 LIMIT 1", "t", 0, jid);
    if (!has_rows && !has_calls) { return KLUIS_OK; }
    const enum wdb_server server = wdb_server_of(jid);
    if (server == WDB_STATUS || (c->type == 3 && server != WDB_PERSON && server != WDB_GROUP)) {
        return told(s, "status updates", "status@broadcast", "they are shown for a day and are no conversation", false, err);
    }
    wdb_book_clear(s->book);
    s->chat = c->id;
    s->group = server == WDB_GROUP;
    s->self = s->self_jid[0] != '\0'
                  ? wdb_party(s->book, kluis_str_of(s->self_jid), wdb_name(s->names, kluis_str_of(s->self_jid)), server != WDB_CHANNEL)
                  : wdb_party_named(s->book, KLUIS_STR_LIT("self"), server != WDB_CHANNEL);
    s->peer = server == WDB_PERSON || server == WDB_HIDDEN ? add(s, jid, true) : KLUIS_NO_PARTY;
    enum kluis_conversation_type type = s->group                    ? KLUIS_GROUP
                                        : s->peer != KLUIS_NO_PARTY ? (s->peer == s->self ? KLUIS_SELF : KLUIS_DIRECT)
                                        : server == WDB_CHANNEL     ? KLUIS_CHANNEL
                                                                    : KLUIS_UNKNOWN_TYPE;
    if (name.len == 0) { name = wdb_name(s->names, jid); }
    KLUIS_TRY(people(s, err));
    if (jid.ptr == NULL) {
        (void)snprintf(unnamed, sizeof unnamed, "chat-%lld", (long long)c->id);
        jid = kluis_str_of(unnamed);
    }
    if (wdb_book_full(s->book)) {
        return told(s, "a conversation", "ZWACHATSESSION", "more than 4,096 people are named in it, which is more than a package holds", true, err);
    }
    KLUIS_TRY(header(s, jid, name, type, &h, err));
    KLUIS_TRY(s->sink->begin(s->sink->ctx, &h, err));
    if (has_rows) { KLUIS_TRY(rows(s, err)); }
    KLUIS_TRY(calls_of(s, calls, jid, err));
    return s->sink->end(s->sink->ctx, err);
}

struct chats {
    struct ios *s;
    struct kluis_db *calls;
};

static kluis_status on_chat(void *ctx, struct sqlite3_stmt *st, struct kluis_err *err)
{
    const struct chats *c = ctx;
    char jid[WDB_JID_MAX], name[1024];
    struct kluis_str j = row_text(st, "ZCONTACTJID"), n = row_text(st, "ZPARTNERNAME");
    struct session one = { .id = kluis_db_int(st, 0), .type = row_int(st, "ZSESSIONTYPE", 0) };
    if (j.len > 0 && j.len < sizeof jid) {
        memcpy(jid, j.ptr, j.len);
        one.jid = (struct kluis_str){ jid, j.len };
    }
    if (n.len > 0 && n.len < sizeof name) {
        memcpy(name, n.ptr, n.len);
        one.name = (struct kluis_str){ name, n.len };
    }
    return one_chat(c->s, &one, c->calls, err);
}
static kluis_status on_chat_hole(void *ctx, KLUIS_UNUSED int64_t after, KLUIS_UNUSED int64_t before, struct kluis_err *err)
{
    const struct chats *c = ctx;
    return told(c->s, "part of the list of conversations", "ZWACHATSESSION", "damaged; their messages are read as conversations without a name",
                false, err);
}

static kluis_status all_chats(struct ios *s, struct kluis_db *calls, struct kluis_err *err)
{
    struct chats c = { s, calls };
    const struct database_walk w = { &c, "SELECT Z_PK, * FROM ZWACHATSESSION WHERE Z_PK>?1 ORDER BY Z_PK", on_chat, on_chat_hole };
    KLUIS_TRY(database_walk(s->db, &w, err));
    /* Messages whose conversation is not in the list, then calls with people without one. */
    for (int64_t after = -1;;) {
        struct sqlite3_stmt *st = NULL;
        KLUIS_TRY(kluis_db_query(s->work, &st, err, "SELECT chat FROM k_order WHERE chat>?1 ORDER BY chat LIMIT 1", "i", after));
        kluis_status rc = kluis_db_step(s->work, st, err);
        if (rc == KLUIS_END) { break; }
        KLUIS_TRY(rc);
        after = kluis_db_int(st, 0);
        kluis_db_done(st);
        if (after > 0 && any(s->db, "SELECT 1 FROM ZWACHATSESSION WHERE Z_PK=?1", "i", after, (struct kluis_str){ NULL, 0 })) { continue; }
        if (after == 0) {
            KLUIS_TRY(told(s, "messages", "ZWAMESSAGE", "they name no conversation", false, err));
            continue;
        }
        const struct session gone = { .id = after };
        KLUIS_TRY(one_chat(s, &gone, calls, err));
    }
    for (;;) {
        struct sqlite3_stmt *st = NULL;
        char jid[WDB_JID_MAX];
        size_t n = 0;
        KLUIS_TRY(kluis_db_query(s->work, &st, err, "SELECT jid FROM k_calls ORDER BY jid LIMIT 1", ""));
        kluis_status rc = kluis_db_step(s->work, st, err);
        if (rc == KLUIS_OK && kluis_db_text(st, 0).len < sizeof jid) {
            n = kluis_db_text(st, 0).len;
            memcpy(jid, kluis_db_text(st, 0).ptr, n);
        }
        kluis_db_done(st);
        if (rc == KLUIS_END || n == 0) { return rc == KLUIS_END ? KLUIS_OK : rc; }
        KLUIS_TRY(rc);
        const struct session alone = { .jid = { jid, n } };
        KLUIS_TRY(one_chat(s, &alone, calls, err));
        KLUIS_TRY(kluis_db_run(s->work, NULL, err, "DELETE FROM k_calls WHERE jid=?1", "t", alone.jid)); /* also of one that was passed over */
    }
}

/* ---- the kind ---- */

static kluis_status options(struct ios *s, struct kluis_err *err)
{
    for (size_t i = 0; i < s->q->n_options; i++) {
        const char *k = s->q->options[i].key, *v = s->q->options[i].value;
        size_t n = strlen(v);
        if (strcmp(k, "password") == 0) { continue; }
        if (strcmp(k, "number") == 0 && v[0] == '+' && n >= 6 && n <= 16 && strspn(v + 1, "0123456789") == n - 1) {
            (void)snprintf(s->self_jid, sizeof s->self_jid, "%s@s.whatsapp.net", v + 1);
            continue;
        }
        return KLUIS_FAIL(err, KLUIS_E_USAGE,
                          IOS_KIND ": options are password=@FILE (of the backup) and number=+31… (your own); \"%.40s\" is not one", k);
    }
    return KLUIS_OK;
}

static kluis_status read_all(struct ios *s, struct kluis_err *err)
{
    struct kluis_db *calls = NULL;
    struct kluis_err why = { 0 };
    KLUIS_TRY(options(s, err));
    KLUIS_TRY(ios_store_open(&s->store, s->q, err));
    kluis_status rc = ios_store_database(&s->store, "ChatStorage.sqlite", &s->db, err);
    if (rc == KLUIS_E_NOTFOUND && err != NULL) { err->code = KLUIS_E_REJECT; }
    if (rc != KLUIS_OK) { return rc == KLUIS_E_NOTFOUND ? KLUIS_E_REJECT : rc; }
    if (!database_has_column(s->db, "ZWAMESSAGE", "ZCHATSESSION") || !database_has_column(s->db, "ZWACHATSESSION", "ZCONTACTJID")) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: a database, but not WhatsApp's: it has no table ZWAMESSAGE", s->q->path);
    }
    KLUIS_TRY(wdb_book_new(&s->book, err));
    KLUIS_TRY(wdb_draft_init(&s->d, s->sink, err));
    s->has_info = database_has_column(s->db, "ZWAMESSAGEINFO", "ZRECEIPTINFO");
    s->has_members = database_has_column(s->db, "ZWAGROUPMEMBER", "ZMEMBERJID");
    KLUIS_TRY(names(s, err));
    KLUIS_TRY(prepare(s, err));
    rc = ios_store_database(&s->store, "CallHistory.sqlite", &calls, &why);
    if (rc == KLUIS_OK && (!database_has_column(calls, "ZWACDCALLEVENT", "Z1CALLEVENTS") ||
                           !database_has_column(calls, "ZWACDCALLEVENTPARTICIPANT", "Z1PARTICIPANTS"))) {
        rc = told(s, "calls", "CallHistory.sqlite", "its tables are of a version that this reader does not know", false, err);
        database_close(calls);
        calls = NULL;
    } else if (rc == KLUIS_OK) {
        rc = list_calls(s, calls, err);
    } else {
        rc = rc == KLUIS_E_NOTFOUND ? KLUIS_OK : told(s, "calls", "CallHistory.sqlite", why.msg, false, err);
    }
    if (rc == KLUIS_OK) { rc = all_chats(s, calls, err); }
    database_close(calls);
    return rc;
}

static kluis_status read_ios(const struct source_request *q, const struct source_sink *sink, struct kluis_err *err)
{
    struct ios *s = kluis_calloc(1, sizeof *s);
    if (s == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    s->q = q;
    s->sink = sink;
    kluis_status rc = database_blame(read_all(s, err), q->path, err);
    kluis_scratch_sqlite_close(s->work);
    database_close(s->db);
    ios_store_close(&s->store);
    wdb_names_free(s->names);
    wdb_names_free(s->numbers);
    wdb_book_free(s->book);
    wdb_draft_free(&s->d);
    kluis_free(s);
    return rc;
}

static kluis_status attachments(const struct source_request *q, KLUIS_UNUSED struct kluis_str conversation_id, const struct kluis_str *wanted,
                                size_t n, const struct source_attachment_sink *sink, struct kluis_err *err)
{
    struct ios_store *s = kluis_calloc(1, sizeof *s);
    if (s == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    kluis_status rc = ios_store_open(s, q, err);
    for (size_t i = 0; rc == KLUIS_OK && i < n; i++) { rc = ios_store_deliver(s, wanted[i], i, sink, err); }
    ios_store_close(s);
    kluis_free(s);
    return rc;
}

const struct source_kind source_whatsapp_ios = {
    .name = IOS_KIND,
    .platform = "whatsapp",
    .about_nl = "WhatsApp op iPhone en Mac: ChatStorage.sqlite met media, of een reservekopie van Finder of iTunes (ook versleuteld, met wachtwoord)",
    .about_en = "WhatsApp on iPhone and Mac: ChatStorage.sqlite with media, or a Finder or iTunes backup (encrypted too, with password)",
    .tells = tells,
    .loss = loss,
    .extent = SOURCE_WHOLE,
    .probe = ios_probe,
    .read = read_ios,
    .attachments = attachments,
};
