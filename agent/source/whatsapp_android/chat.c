/* chat.c - conversation by conversation: header, messages in the app's order, then calls and what was left over.  See android.h. */
#include "agent/source/whatsapp_android/android.h"

#include <sqlite3.h>

kluis_status android_header(struct android *a, struct kluis_str id, struct kluis_str name, enum kluis_conversation_type type, bool timer,
                            struct kluis_header *h, struct kluis_err *err)
{
    static const struct kluis_str loss[] = { { "edit-originals", 14 },   { "deleted-content", 15 }, { "view-once-content", 17 },
                                             { "read-receipts", 13 },    { "earlier-votes", 13 },   { "former-members", 14 },
                                             { "auto-delete-timer", 17 } };
    memset(h, 0, sizeof *h);
    h->platform = KLUIS_STR_LIT("whatsapp");
    h->conversation_id = wdb_book_keep(a->book, id);
    if (name.len > 0) { h->conversation_name = wdb_book_keep(a->book, wdb_utf8(a->d.arena, name)); }
    h->type = type;
    h->self = a->self;
    h->provenance =
        (struct kluis_provenance){ .source = KLUIS_STR_LIT(ANDROID_KIND),
                                   .app = KLUIS_STR_LIT("WhatsApp"),
                                   .app_version = a->app_version[0] == '\0' ? (struct kluis_str){ NULL, 0 } : kluis_str_of(a->app_version),
                                   .os = KLUIS_STR_LIT("Android"),
                                   .reader = KLUIS_STR_LIT("chatkluis " KLUIS_VERSION " " ANDROID_KIND) };
    h->zone = KLUIS_ZONE_STATED;
    h->zone_name = KLUIS_STR_LIT("UTC");
    h->precision = KLUIS_PRECISION_MILLISECOND;
    h->loss = loss;
    h->n_loss = timer ? 7 : 6;
    return wdb_book_header(a->book, h, err);
}

static kluis_status skip(struct android *a, const char *what, const char *where, const char *why, bool refused, struct kluis_err *err)
{
    const struct source_skip s = { .what = what, .where = where, .why = why, .refused = refused };
    return a->sink->skipped == NULL ? KLUIS_OK : a->sink->skipped(a->sink->ctx, &s, err);
}

kluis_status android_damage(struct android *a, struct kluis_err *err)
{
    for (size_t i = 0; i < a->n_holes; i++) {
        wdb_new(&a->d, KLUIS_GAP);
        a->d.r.event = KLUIS_STR_LIT("source-damaged");
        if (a->hole[i].after != INT64_MIN) { wdb_number_field(&a->d, "rows-after", a->hole[i].after); }
        if (a->hole[i].before != INT64_MAX) { wdb_number_field(&a->d, "rows-before", a->hole[i].before); }
        wdb_field(&a->d, "table", KLUIS_STR_LIT("message"));
        KLUIS_TRY(wdb_send(&a->d, err));
    }
    return KLUIS_OK;
}

/* Everybody who is named, members first. */
static kluis_status people(struct android *a, bool all_members, struct kluis_err *err)
{
    static const char *const sql[] = { "SELECT jid FROM k_members WHERE grp=?1", "SELECT jid FROM k_people WHERE chat=?1" };
    for (int i = a->group ? 0 : 1; i < 2; i++) {
        struct sqlite3_stmt *st = NULL;
        kluis_status rc = kluis_db_query(a->work, &st, err, sql[i], "i", i == 0 ? a->chat_jid : a->chat);
        while (rc == KLUIS_OK && (rc = kluis_db_step(a->work, st, err)) == KLUIS_OK) {
            uint32_t party;
            rc = android_who(a, kluis_db_int(st, 0), true, i == 0 || all_members, &party, err);
        }
        if (rc != KLUIS_END) {
            kluis_db_done(st);
            return rc;
        }
    }
    return KLUIS_OK;
}

static kluis_status messages(struct android *a, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    kluis_status rc = kluis_db_query(a->work, &st, err, "SELECT id FROM k_order WHERE chat=?1 ORDER BY sort, id", "i", a->chat);
    while (rc == KLUIS_OK && (rc = kluis_db_step(a->work, st, err)) == KLUIS_OK) { rc = android_message(a, kluis_db_int(st, 0), err); }
    kluis_db_done(st);
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

/* The timer that is on now: what went before may have gone already. */
static kluis_status timer(struct android *a, int64_t seconds, int64_t since, struct kluis_err *err)
{
    if (seconds <= 0) { return KLUIS_OK; }
    wdb_new(&a->d, KLUIS_GAP);
    a->d.r.event = KLUIS_STR_LIT("auto-delete-timer");
    wdb_sent(&a->d, wdb_ms(since < INT64_C(100000000000) ? since * 1000 : since));
    wdb_number_field(&a->d, "timer-seconds", seconds);
    return wdb_send(&a->d, err);
}

static bool any(struct kluis_db *db, const char *sql, int64_t v)
{
    struct sqlite3_stmt *st = NULL;
    bool found = kluis_db_query(db, &st, NULL, sql, "i", v) == KLUIS_OK && kluis_db_step(db, st, NULL) == KLUIS_OK;
    kluis_db_done(st);
    return found;
}

struct chat_row {
    int64_t id, jid, timer, timer_since;
    char subject[1024];
    size_t subject_len;
    bool orphan;
};

static kluis_status one_chat(struct android *a, const struct chat_row *c, struct kluis_err *err)
{
    char text[WDB_JID_MAX], unnamed[48];
    struct kluis_str jid = { NULL, 0 }, name = { c->subject, c->subject_len };
    struct kluis_header h;
    if (!any(a->work, "SELECT 1 FROM k_order WHERE chat=?1 LIMIT 1", c->id) && !any(a->work, "SELECT 1 FROM k_calls WHERE jid=?1 LIMIT 1", c->jid)) {
        return KLUIS_OK;
    }
    wdb_book_clear(a->book);
    memset(a->who, 0, sizeof a->who);
    a->chat = c->id;
    a->chat_jid = c->jid;
    a->peer = KLUIS_NO_PARTY;
    if (!c->orphan) { KLUIS_TRY(android_jid(a, c->jid, text, &jid, err)); }
    const enum wdb_server server = wdb_server_of(jid);
    if (server == WDB_STATUS) {
        struct sqlite3_stmt *st = NULL;
        char where[64] = "status@broadcast";
        if (kluis_db_query(a->work, &st, NULL, "SELECT count(*) FROM k_order WHERE chat=?1", "i", c->id) == KLUIS_OK &&
            kluis_db_step(a->work, st, NULL) == KLUIS_OK) {
            (void)snprintf(where, sizeof where, "status@broadcast, %lld of them", (long long)kluis_db_int(st, 0));
        }
        kluis_db_done(st);
        return skip(a, "status updates", where, "they are shown for a day and are no conversation", false, err);
    }
    a->group = server == WDB_GROUP;
    a->self = a->self_jid[0] != '\0' ? wdb_party(a->book, kluis_str_of(a->self_jid), kluis_str_of(a->self_name), server != WDB_CHANNEL)
                                     : wdb_party_named(a->book, kluis_str_of(a->self_name), server != WDB_CHANNEL);
    enum kluis_conversation_type type = server == WDB_GROUP                            ? KLUIS_GROUP
                                        : server == WDB_PERSON || server == WDB_HIDDEN ? KLUIS_DIRECT
                                        : server == WDB_CHANNEL                        ? KLUIS_CHANNEL
                                                                                       : KLUIS_UNKNOWN_TYPE;
    if (type == KLUIS_DIRECT) {
        KLUIS_TRY(android_who(a, c->jid, true, true, &a->peer, err));
        if (a->peer == a->self && a->self != KLUIS_NO_PARTY) { type = KLUIS_SELF; }
        if (name.len == 0) {
            name = android_name(a, jid, c->jid);
            char number[32];
            if (name.len == 0) { name = wdb_book_keep(a->book, wdb_number(jid, number)); }
        }
    }
    KLUIS_TRY(people(a, false, err));
    if (jid.ptr == NULL) {
        (void)snprintf(unnamed, sizeof unnamed, "chat-%lld", (long long)c->id);
        jid = kluis_str_of(unnamed);
    }
    if (wdb_book_full(a->book)) {
        return skip(a, "a conversation", "chat", "more than 4,096 people are named in it, which is more than a package holds", true, err);
    }
    KLUIS_TRY(android_header(a, jid, name, type, c->timer > 0, &h, err));
    KLUIS_TRY(a->sink->begin(a->sink->ctx, &h, err));
    KLUIS_TRY(messages(a, err));
    KLUIS_TRY(android_calls(a, err));
    KLUIS_TRY(android_orphans(a, err));
    KLUIS_TRY(timer(a, c->timer, c->timer_since, err));
    KLUIS_TRY(android_damage(a, err));
    return a->sink->end(a->sink->ctx, err);
}

static kluis_status on_chat(void *ctx, struct sqlite3_stmt *st, struct kluis_err *err)
{
    struct chat_row c = { .id = kluis_db_int(st, 0), .jid = row_int(st, "jid_row_id", 0), .timer = row_int(st, "ephemeral_expiration", 0) };
    struct kluis_str subject = row_text(st, "subject");
    c.timer_since = row_int(st, "ephemeral_setting_timestamp", 0);
    c.subject_len = subject.len < sizeof c.subject ? subject.len : 0;
    if (c.subject_len > 0) { memcpy(c.subject, subject.ptr, c.subject_len); }
    return one_chat(ctx, &c, err);
}

static kluis_status on_hole(void *ctx, KLUIS_UNUSED int64_t after, KLUIS_UNUSED int64_t before, struct kluis_err *err)
{
    return skip(ctx, "part of the list of conversations", "table chat", "damaged; their messages are read as conversations without a name", false,
                err);
}

kluis_status android_chats(struct android *a, struct kluis_err *err)
{
    const struct database_walk w = { a, "SELECT _id, * FROM chat WHERE _id>?1 ORDER BY _id", on_chat, on_hole };
    KLUIS_TRY(database_walk(a->db, &w, err));
    /* Messages of conversations that were deleted from the list: kept, for nothing is dropped, under the number the database has for them. */
    int64_t after = 0;
    for (;;) {
        struct sqlite3_stmt *st = NULL;
        KLUIS_TRY(kluis_db_query(a->work, &st, err, "SELECT min(chat) FROM k_order WHERE chat>?1", "i", after));
        kluis_status rc = kluis_db_step(a->work, st, err);
        after = rc == KLUIS_OK ? kluis_db_int(st, 0) : 0;
        kluis_db_done(st);
        KLUIS_TRY(rc);
        if (after <= 0) { break; }
        if (any(a->db, "SELECT 1 FROM chat WHERE _id=?1", after)) { continue; }
        const struct chat_row c = { .id = after, .orphan = true };
        KLUIS_TRY(one_chat(a, &c, err));
    }
    return KLUIS_OK;
}
