/* prepare.c - tables in the private copy's temporary database: the order of messages, who occurs where, which rows belong to a message.
 *
 * temp.k_order(chat, sort, id)  temp.k_people(chat, jid)  temp.k_several(message, source, id)  temp.k_addon(parent, id)  temp.k_calls(chat, time, id)
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
    int columns;
    enum android_side side;
    int message_column; /* whose value gets the bit; -1: none */
    bool holes;         /* of messages themselves */
};

static kluis_status on_row(void *ctx, struct sqlite3_stmt *st, struct kluis_err *err)
{
    const struct filling *f = ctx;
    if (f->message_column >= 0) { f->a->has[(uint64_t)kluis_db_int(st, f->message_column) % ANDROID_HAS] |= (uint16_t)(1u << f->side); }
    if (f->insert == NULL) { return KLUIS_OK; }
    int64_t v[4] = { 0 };
    for (int i = 0; i < f->columns; i++) { v[i] = kluis_db_int(st, i); }
    static const char *const types[] = { "", "i", "ii", "iii", "iiii" };
    return kluis_db_run(f->a->db, NULL, err, f->insert, types[f->columns], v[0], v[1], v[2], v[3]);
}

static kluis_status on_hole(void *ctx, int64_t after, int64_t before, KLUIS_UNUSED struct kluis_err *err)
{
    struct filling *f = ctx;
    struct android *a = f->a;
    if (f->holes && a->n_holes < ANDROID_HOLES) {
        a->hole[a->n_holes].after = after;
        a->hole[a->n_holes++].before = before;
    } else if (f->holes) {
        a->hole[ANDROID_HOLES - 1].before = before;
    } else {
        /* Which messages these rows belonged to is not known: each is looked up and says when its row does not read. */
        for (size_t i = 0; i < ANDROID_HAS; i++) { a->has[i] |= (uint16_t)(1u << f->side); }
    }
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
#define SEVERAL(n) "INSERT OR IGNORE INTO temp.k_several(message, source, id) VALUES(?2, " #n ", ?1)"
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

/* Who occurs in a chat besides the senders of its messages.  A table that does not read whole leaves people out, not records. */
static kluis_status people(struct android *a, struct kluis_err *err)
{
    static const struct {
        const char *table, *column, *sql;
    } list[] = {
        { "message_add_on", "sender_jid_row_id",
          "INSERT OR IGNORE INTO temp.k_people SELECT m.chat_row_id, o.sender_jid_row_id FROM message_add_on o JOIN "
          "message m ON m._id=o.parent_message_row_id WHERE o.sender_jid_row_id>0" },
        { "message_system_chat_participant", "user_jid_row_id",
          "INSERT OR IGNORE INTO temp.k_people SELECT m.chat_row_id, x.user_jid_row_id FROM message_system_chat_participant x JOIN message m ON "
          "m._id=x.message_row_id WHERE x.user_jid_row_id>0" },
        { "message_quoted", "sender_jid_row_id",
          "INSERT OR IGNORE INTO temp.k_people SELECT m.chat_row_id, x.sender_jid_row_id FROM message_quoted x JOIN "
          "message m ON m._id=x.message_row_id WHERE x.sender_jid_row_id>0" },
        { "message_revoked", "admin_jid_row_id",
          "INSERT OR IGNORE INTO temp.k_people SELECT m.chat_row_id, x.admin_jid_row_id FROM message_revoked x JOIN "
          "message m ON m._id=x.message_row_id WHERE x.admin_jid_row_id>0" },
        { "message_orphaned_edit", "sender_jid_row_id",
          "INSERT OR IGNORE INTO temp.k_people SELECT chat_row_id, sender_jid_row_id FROM message_orphaned_edit WHERE sender_jid_row_id>0" },
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        if (!database_has_column(a->db, list[i].table, list[i].column)) { continue; }
        kluis_status rc = kluis_db_run(a->db, NULL, NULL, list[i].sql, "");
        if (rc == KLUIS_E_NOMEM) { return KLUIS_FAIL(err, rc, "out of memory; try again"); }
    }
    return KLUIS_OK;
}

kluis_status android_prepare(struct android *a, struct kluis_err *err)
{
    KLUIS_TRY(
        kluis_db_exec(a->db,
                      "PRAGMA query_only=OFF; PRAGMA temp.journal_mode=OFF; PRAGMA temp.synchronous=OFF; PRAGMA temp.cache_size=-12000;"
                      "DROP TABLE IF EXISTS temp.k_order; DROP TABLE IF EXISTS temp.k_people; DROP TABLE IF EXISTS temp.k_several;"
                      "DROP TABLE IF EXISTS temp.k_addon; DROP TABLE IF EXISTS temp.k_calls; DROP TABLE IF EXISTS temp.k_lid;"
                      "DROP TABLE IF EXISTS temp.k_members;"
                      "CREATE TABLE temp.k_order(chat INTEGER, sort INTEGER, id INTEGER, PRIMARY KEY(chat, sort, id)) WITHOUT ROWID;"
                      "CREATE TABLE temp.k_people(chat INTEGER, jid INTEGER, PRIMARY KEY(chat, jid)) WITHOUT ROWID;"
                      "CREATE TABLE temp.k_several(message INTEGER, source INTEGER, id INTEGER, PRIMARY KEY(message, source, id)) WITHOUT ROWID;"
                      "CREATE TABLE temp.k_addon(parent INTEGER, id INTEGER, PRIMARY KEY(parent, id)) WITHOUT ROWID;"
                      "CREATE TABLE temp.k_calls(chat INTEGER, time INTEGER, id INTEGER, PRIMARY KEY(chat, time, id)) WITHOUT ROWID;"
                      "CREATE TABLE temp.k_lid(jid INTEGER, lid INTEGER, PRIMARY KEY(jid, lid)) WITHOUT ROWID;"
                      "CREATE TABLE temp.k_members(grp INTEGER, jid INTEGER, PRIMARY KEY(grp, jid)) WITHOUT ROWID;"
                      "BEGIN",
                      err));
    const struct filling order = {
        .insert = "INSERT OR IGNORE INTO temp.k_order(id, chat, sort) VALUES(?1, ?2, ?3)", .columns = 3, .message_column = -1, .holes = true
    };
    KLUIS_TRY(walk(a, "message", "chat_row_id",
                   database_has_column(a->db, "message", "sort_id")
                       ? "SELECT _id, chat_row_id, sort_id FROM message WHERE _id>?1 AND message_type IS NOT NULL ORDER BY _id"
                       : "SELECT _id, chat_row_id, _id FROM message WHERE _id>?1 AND message_type IS NOT NULL ORDER BY _id",
                   order, err));
    const struct filling senders = { .insert = "INSERT OR IGNORE INTO temp.k_people(chat, jid) SELECT ?2, ?3 WHERE ?3>0",
                                     .columns = 3,
                                     .message_column = -1 };
    KLUIS_TRY(
        walk(a, "message", "sender_jid_row_id", "SELECT _id, chat_row_id, sender_jid_row_id FROM message WHERE _id>?1 ORDER BY _id", senders, err));
    KLUIS_TRY(keyed(a, err));
    KLUIS_TRY(several(a, err));
    const struct filling addon = { .insert = "INSERT OR IGNORE INTO temp.k_addon(id, parent) VALUES(?1, ?2)", .columns = 2, .message_column = -1 };
    KLUIS_TRY(walk(a, "message_add_on", "parent_message_row_id", "SELECT _id, parent_message_row_id FROM message_add_on WHERE _id>?1 ORDER BY _id",
                   addon, err));
    const struct filling lid = { .insert = "INSERT OR IGNORE INTO temp.k_lid(lid, jid) VALUES(?1, ?2)", .columns = 2, .message_column = -1 };
    KLUIS_TRY(walk(a, "jid_map", "jid_row_id", "SELECT lid_row_id, jid_row_id FROM jid_map WHERE lid_row_id>?1 ORDER BY lid_row_id", lid, err));
    const struct filling member = { .insert = "INSERT OR IGNORE INTO temp.k_members(grp, jid) SELECT ?2, ?3", .columns = 3, .message_column = -1 };
    KLUIS_TRY(walk(a, "group_participant_user", "user_jid_row_id",
                   "SELECT _id, group_jid_row_id, user_jid_row_id FROM group_participant_user WHERE _id>?1 ORDER BY _id", member, err));
    /* A call's conversation is its group, else the other one's; those that stand in a message are told there. */
    if (database_has_column(a->db, "call_log", "group_jid_row_id") && database_has_column(a->db, "chat", "jid_row_id")) {
        const struct filling calls = { .insert =
                                           "INSERT OR IGNORE INTO temp.k_calls(id, time, chat) SELECT ?1, ?2, c._id FROM chat c WHERE c.jid_row_id = "
                                           "CASE WHEN ?3>0 THEN ?3 ELSE ?4 END",
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
    return kluis_db_exec(a->db, "COMMIT; PRAGMA query_only=ON", err);
}
