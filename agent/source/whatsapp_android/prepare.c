/* prepare.c - tables of our own in a scratch database: the order of messages, who occurs where, which rows belong to a message.
 *
 * k_order(chat, sort, id)  k_people(chat, jid)  k_several(message, source, id)  k_addon(parent, id)  k_calls(jid, time, id)
 * What damage hides is a hole that the conversations tell of.
 */
#include "agent/source/whatsapp_android/android.h"

#include <sqlite3.h>

bool android_has(const struct android *a, int64_t message, enum android_side side)
{
    return (a->has[(uint64_t)message % ANDROID_HAS] >> side & 1) != 0;
}

struct filling {
    struct android *a;
    const char *insert; /* a literal with the walked row's columns as ?1 … */
    const char *lookup; /* a literal that turns column 1 into what is inserted in its place; NULL: as it is */
    int columns;
    enum android_side side;
    int message_column; /* whose value gets the bit; -1: none */
};

static kluis_status on_row(void *ctx, struct sqlite3_stmt *st, struct kluis_err *err)
{
    const struct filling *f = ctx;
    if (f->message_column >= 0) { f->a->has[(uint64_t)kluis_db_int(st, f->message_column) % ANDROID_HAS] |= (uint16_t)(1u << f->side); }
    if (f->insert == NULL) { return KLUIS_OK; }
    int64_t v[4] = { 0 };
    for (int i = 0; i < f->columns; i++) { v[i] = kluis_db_int(st, i); }
    static const char *const types[] = { "", "i", "ii", "iii", "iiii" };
    struct kluis_err why = { 0 };
    if (f->lookup != NULL) {
        struct sqlite3_stmt *q = NULL;
        kluis_status have = kluis_db_query(f->a->db, &q, NULL, f->lookup, "i", v[1]);
        if (have == KLUIS_OK) { have = kluis_db_step(f->a->db, q, NULL); }
        if (have == KLUIS_OK) { v[1] = kluis_db_int(q, 0); }
        kluis_db_done(q);
        if (have != KLUIS_OK) { return KLUIS_OK; } /* what it belongs to is not there or does not read: that is told with the messages */
    }
    kluis_status rc = kluis_db_run(f->a->work, NULL, &why, f->insert, types[f->columns], v[0], v[1], v[2], v[3]);
    if (rc == KLUIS_OK) { return KLUIS_OK; }
    if (err != NULL) { *err = why; }
    return rc;
}

static kluis_status on_hole(void *ctx, KLUIS_UNUSED int64_t after, KLUIS_UNUSED int64_t before, KLUIS_UNUSED struct kluis_err *err)
{
    /* Which messages these rows belonged to is not known: each is looked up and says when its row does not read. */
    const struct filling *f = ctx;
    for (size_t i = 0; f->message_column >= 0 && i < ANDROID_HAS; i++) { f->a->has[i] |= (uint16_t)(1u << f->side); }
    return KLUIS_OK;
}

/* Messages themselves: their order, and who sent them, most of whom were seen a moment ago. */
enum { SEEN = 4096 };
struct ordering {
    struct android *a;
    struct database_batch *places;
    struct {
        int64_t chat, jid;
    } seen[SEEN];
};

static kluis_status on_message(void *ctx, struct sqlite3_stmt *st, struct kluis_err *err)
{
    struct ordering *o = ctx;
    const int64_t chat = kluis_db_int(st, 1), jid = kluis_db_int(st, 3);
    const int64_t place[DATABASE_BATCH_COLUMNS] = { chat, kluis_db_int(st, 2), kluis_db_int(st, 0) };
    KLUIS_TRY(database_batch_add(o->places, place, err));
    const size_t at = ((uint64_t)chat * 31 + (uint64_t)jid) % SEEN;
    if (jid <= 0 || (o->seen[at].chat == chat && o->seen[at].jid == jid)) { return KLUIS_OK; }
    o->seen[at].chat = chat;
    o->seen[at].jid = jid;
    return kluis_db_run(o->a->work, NULL, err, "INSERT OR IGNORE INTO k_people(chat, jid) VALUES(?1, ?2)", "ii", chat, jid);
}

static kluis_status on_message_hole(void *ctx, int64_t after, int64_t before, KLUIS_UNUSED struct kluis_err *err)
{
    struct android *a = ((struct ordering *)ctx)->a;
    if (a->n_holes < ANDROID_HOLES) { a->hole[a->n_holes++].after = after; } /* beyond that, one wide hole */
    a->hole[a->n_holes - 1].before = before;
    return KLUIS_OK;
}

static kluis_status walk(struct android *a, const char *table, const char *column, const char *sql, struct filling f, struct kluis_err *err)
{
    if (!database_has_column(a->db, table, column)) { return KLUIS_OK; }
    f.a = a;
    const struct database_walk w = { &f, sql, on_row, on_hole };
    return database_walk(a->db, &w, err);
}

/* One row a message, keyed by it. */
static kluis_status keyed(struct android *a, struct kluis_err *err)
{
    static const struct {
        const char *table, *sql;
        enum android_side side;
    } list[] = {
        { "message_media", "SELECT message_row_id FROM message_media WHERE message_row_id>?1 ORDER BY message_row_id", SIDE_MEDIA },
        { "message_quoted", "SELECT message_row_id FROM message_quoted WHERE message_row_id>?1 ORDER BY message_row_id", SIDE_QUOTED },
        { "message_system", "SELECT message_row_id FROM message_system WHERE message_row_id>?1 ORDER BY message_row_id", SIDE_SYSTEM },
        { "message_revoked", "SELECT message_row_id FROM message_revoked WHERE message_row_id>?1 ORDER BY message_row_id", SIDE_REVOKED },
        { "message_edit_info", "SELECT message_row_id FROM message_edit_info WHERE message_row_id>?1 ORDER BY message_row_id", SIDE_EDIT },
        { "message_ephemeral", "SELECT message_row_id FROM message_ephemeral WHERE message_row_id>?1 ORDER BY message_row_id", SIDE_EPHEMERAL },
        { "message_view_once_media", "SELECT message_row_id FROM message_view_once_media WHERE message_row_id>?1 ORDER BY message_row_id",
          SIDE_VIEW_ONCE },
        { "message_location", "SELECT message_row_id FROM message_location WHERE message_row_id>?1 ORDER BY message_row_id", SIDE_LOCATION },
        { "message_forwarded", "SELECT message_row_id FROM message_forwarded WHERE message_row_id>?1 ORDER BY message_row_id", SIDE_FORWARDED },
        { "message_poll", "SELECT message_row_id FROM message_poll WHERE message_row_id>?1 ORDER BY message_row_id", SIDE_POLL },
        { "message_text", "SELECT message_row_id FROM message_text WHERE message_row_id>?1 ORDER BY message_row_id", SIDE_TEXT },
        { "message_event", "SELECT message_row_id FROM message_event WHERE message_row_id>?1 ORDER BY message_row_id", SIDE_RARE },
        { "message_album", "SELECT message_row_id FROM message_album WHERE message_row_id>?1 ORDER BY message_row_id", SIDE_RARE },
        { "message_group_invite", "SELECT message_row_id FROM message_group_invite WHERE message_row_id>?1 ORDER BY message_row_id", SIDE_RARE },
        { "message_future", "SELECT message_row_id FROM message_future WHERE message_row_id>?1 ORDER BY message_row_id", SIDE_RARE },
        { "message_template", "SELECT message_row_id FROM message_template WHERE message_row_id>?1 ORDER BY message_row_id", SIDE_RARE },
        { "message_payment", "SELECT message_row_id FROM message_payment WHERE message_row_id>?1 ORDER BY message_row_id", SIDE_RARE },
        { "message_order", "SELECT message_row_id FROM message_order WHERE message_row_id>?1 ORDER BY message_row_id", SIDE_RARE },
        { "message_product", "SELECT message_row_id FROM message_product WHERE message_row_id>?1 ORDER BY message_row_id", SIDE_RARE },
        { "message_ephemeral_setting", "SELECT message_row_id FROM message_ephemeral_setting WHERE message_row_id>?1 ORDER BY message_row_id",
          SIDE_RARE }
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        KLUIS_TRY(walk(a, list[i].table, "message_row_id", list[i].sql, (struct filling){ .side = list[i].side, .message_column = 0 }, err));
    }
    return KLUIS_OK;
}

/* Several rows a message, keyed by themselves. */
static kluis_status several(struct android *a, struct kluis_err *err)
{
#define SEVERAL(n) "INSERT OR IGNORE INTO k_several(message, source, id) VALUES(?2, " #n ", ?1)"
    const struct filling f = { .columns = 2, .side = SIDE_SEVERAL, .message_column = 1 };
    struct filling g = f;
    g.insert = SEVERAL(1);
    KLUIS_TRY(walk(a, "message_vcard", "_id", "SELECT _id, message_row_id FROM message_vcard WHERE _id>?1 ORDER BY _id", g, err));
    g.insert = SEVERAL(2);
    KLUIS_TRY(walk(a, "message_mentions", "_id", "SELECT _id, message_row_id FROM message_mentions WHERE _id>?1 ORDER BY _id", g, err));
    g.insert = SEVERAL(3);
    KLUIS_TRY(walk(a, "message_poll_option", "_id", "SELECT _id, message_row_id FROM message_poll_option WHERE _id>?1 ORDER BY _id", g, err));
    g.insert = SEVERAL(4);
    KLUIS_TRY(walk(a, "message_system_chat_participant", "user_jid_row_id",
                   "SELECT rowid, message_row_id FROM message_system_chat_participant WHERE rowid>?1 ORDER BY rowid", g, err));
    g.insert = SEVERAL(5);
    g.side = SIDE_CALL;
    KLUIS_TRY(
        walk(a, "message_call_log", "call_log_row_id", "SELECT rowid, message_row_id FROM message_call_log WHERE rowid>?1 ORDER BY rowid", g, err));
    g.insert = SEVERAL(6);
    return walk(a, "missed_call_logs", "_id", "SELECT _id, message_row_id FROM missed_call_logs WHERE _id>?1 ORDER BY _id", g, err);
#undef SEVERAL
}

/* Who occurs in a chat besides the senders of its messages. */
static kluis_status people(struct android *a, struct kluis_err *err)
{
    static const char own[] = "INSERT OR IGNORE INTO k_people(chat, jid) SELECT ?2, ?3 WHERE ?3>0";
    struct filling f = { .insert = own, .columns = 3, .message_column = -1 };
    KLUIS_TRY(walk(a, "message_orphaned_edit", "sender_jid_row_id",
                   "SELECT _id, chat_row_id, sender_jid_row_id FROM message_orphaned_edit WHERE _id>?1 ORDER BY _id", f, err));
    f.lookup = "SELECT chat_row_id FROM message WHERE _id=?1";
    KLUIS_TRY(walk(a, "message_add_on", "sender_jid_row_id",
                   "SELECT _id, parent_message_row_id, sender_jid_row_id FROM message_add_on WHERE _id>?1 ORDER BY _id", f, err));
    KLUIS_TRY(walk(a, "message_system_chat_participant", "user_jid_row_id",
                   "SELECT rowid, message_row_id, user_jid_row_id FROM message_system_chat_participant WHERE rowid>?1 ORDER BY rowid", f, err));
    KLUIS_TRY(walk(a, "message_quoted", "sender_jid_row_id",
                   "SELECT message_row_id, message_row_id, sender_jid_row_id FROM message_quoted WHERE message_row_id>?1 ORDER BY message_row_id", f,
                   err));
    return walk(a, "message_revoked", "admin_jid_row_id",
                "SELECT message_row_id, message_row_id, admin_jid_row_id FROM message_revoked WHERE message_row_id>?1 ORDER BY message_row_id", f,
                err);
}

kluis_status android_prepare(struct android *a, struct kluis_err *err)
{
    KLUIS_TRY(kluis_scratch_work(&a->work, err));
    KLUIS_TRY(database_by_order(a->db, a->work, err));
    KLUIS_TRY(kluis_db_exec(a->work,
                            "CREATE TABLE k_order(chat INTEGER, sort INTEGER, id INTEGER, PRIMARY KEY(chat, sort, id)) WITHOUT ROWID;"
                            "CREATE TABLE k_people(chat INTEGER, jid INTEGER, PRIMARY KEY(chat, jid)) WITHOUT ROWID;"
                            "CREATE TABLE k_several(message INTEGER, source INTEGER, id INTEGER, PRIMARY KEY(message, source, id)) WITHOUT ROWID;"
                            "CREATE TABLE k_addon(parent INTEGER, id INTEGER, PRIMARY KEY(parent, id)) WITHOUT ROWID;"
                            "CREATE TABLE k_calls(jid INTEGER, time INTEGER, id INTEGER, PRIMARY KEY(jid, time, id)) WITHOUT ROWID;"
                            "CREATE TABLE k_lid(jid INTEGER, lid INTEGER, PRIMARY KEY(jid, lid)) WITHOUT ROWID;"
                            "CREATE TABLE k_members(grp INTEGER, jid INTEGER, PRIMARY KEY(grp, jid)) WITHOUT ROWID;"
                            "BEGIN",
                            err));
    if (database_has_column(a->db, "message", "chat_row_id")) {
        struct ordering o = { .a = a };
        KLUIS_TRY(database_batch_new(&o.places, a->work, 3, "INSERT OR IGNORE INTO k_order(chat, sort, id) VALUES(?,?,?)",
                                     "INSERT OR IGNORE INTO k_order(chat, sort, id) VALUES" DATABASE_BATCH_MANY("(?,?,?)"), err));
        const bool sort = database_has_column(a->db, "message", "sort_id"), sender = database_has_column(a->db, "message", "sender_jid_row_id");
        const struct database_walk w = {
            &o,
            sort && sender ? "SELECT _id, chat_row_id, sort_id, sender_jid_row_id FROM message WHERE _id>?1 AND message_type IS NOT NULL ORDER BY _id"
            : sender       ? "SELECT _id, chat_row_id, _id, sender_jid_row_id FROM message WHERE _id>?1 AND message_type IS NOT NULL ORDER BY _id"
                           : "SELECT _id, chat_row_id, _id, 0 FROM message WHERE _id>?1 AND message_type IS NOT NULL ORDER BY _id",
            on_message, on_message_hole
        };
        kluis_status rc = database_walk(a->db, &w, err);
        if (rc == KLUIS_OK) { rc = database_batch_put(o.places, err); }
        database_batch_free(o.places);
        KLUIS_TRY(rc);
    }
    KLUIS_TRY(keyed(a, err));
    KLUIS_TRY(several(a, err));
    const struct filling addon = {
        .insert = "INSERT OR IGNORE INTO k_addon(id, parent) VALUES(?1, ?2)", .columns = 2, .side = SIDE_ADDON, .message_column = 1
    };
    KLUIS_TRY(walk(a, "message_add_on", "parent_message_row_id", "SELECT _id, parent_message_row_id FROM message_add_on WHERE _id>?1 ORDER BY _id",
                   addon, err));
    const struct filling lid = { .insert = "INSERT OR IGNORE INTO k_lid(lid, jid) VALUES(?1, ?2)", .columns = 2, .message_column = -1 };
    KLUIS_TRY(walk(a, "jid_map", "jid_row_id", "SELECT lid_row_id, jid_row_id FROM jid_map WHERE lid_row_id>?1 ORDER BY lid_row_id", lid, err));
    const struct filling member = { .insert = "INSERT OR IGNORE INTO k_members(grp, jid) SELECT ?2, ?3", .columns = 3, .message_column = -1 };
    KLUIS_TRY(walk(a, "group_participant_user", "user_jid_row_id",
                   "SELECT _id, group_jid_row_id, user_jid_row_id FROM group_participant_user WHERE _id>?1 ORDER BY _id", member, err));
    /* A call's conversation is its group, else the other one's; those that stand in a message are told there. */
    if (database_has_column(a->db, "call_log", "group_jid_row_id") && database_has_column(a->db, "chat", "jid_row_id")) {
        const struct filling calls = { .insert = "INSERT OR IGNORE INTO k_calls(id, time, jid) SELECT ?1, ?2, CASE WHEN ?3>0 THEN ?3 ELSE ?4 END",
                                       .columns = 4,
                                       .message_column = -1 };
        KLUIS_TRY(
            walk(a, "call_log", "_id",
                 database_has_table(a->db, "message_call_log")
                     ? "SELECT _id, timestamp, group_jid_row_id, jid_row_id FROM call_log WHERE _id>?1 AND _id NOT IN (SELECT call_log_row_id FROM "
                       "message_call_log) ORDER BY _id"
                     : "SELECT _id, timestamp, group_jid_row_id, jid_row_id FROM call_log WHERE _id>?1 ORDER BY _id",
                 calls, err));
    }
    KLUIS_TRY(people(a, err));
    return kluis_db_exec(a->work, "COMMIT", err);
}
