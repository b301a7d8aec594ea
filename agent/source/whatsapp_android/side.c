/* side.c - what hangs on messages or stands beside them: system notices, reactions, votes, pins, calls, edits without their message.  See android.h.
 */
#include "agent/source/whatsapp_android/android.h"

#include <sqlite3.h>

/* ---- system notices ---- */

/* Numbers on whose meaning peers and the tables beside them agree; every notice keeps its number. */
static const char *action_name(int64_t action)
{
    switch (action) {
    case 1: return "subject-changed";
    case 4:
    case 12: return "member-added";
    case 5:
    case 13: return "member-left";
    case 6: return "icon-changed";
    case 7:
    case 14: return "member-removed";
    case 10:
    case 28: return "number-changed";
    case 11: return "group-created";
    case 15:
    case 16: return "admin-changed";
    case 18: return "security-code-changed";
    case 19:
    case 67: return "encryption-notice";
    case 20: return "joined-by-link";
    case 27: return "description-changed";
    case 56: return "timer-changed";
    case 57: return "devices-changed";
    case 58: return "contact-blocked";
    case 69: return "business-account";
    case 79: return "member-joined";
    case 118: return "message-pinned";
    default: return "system";
    }
}

static kluis_status jid_field(struct android *a, struct sqlite3_stmt *st, const char *column, const char *name, struct kluis_err *err)
{
    char text[WDB_JID_MAX];
    struct kluis_str jid;
    int64_t row = row_int(st, column, 0);
    if (row <= 0) { return KLUIS_OK; }
    KLUIS_TRY(android_jid(a, row, text, &jid, err));
    wdb_field(&a->d, name, jid);
    return KLUIS_OK;
}

/* Cells of a detail table as they are: text and numbers as fields, all of it in the evidence. */
static void cells(struct android *a, struct sqlite3_stmt *st, const char *prefix)
{
    int n = sqlite3_column_count(st);
    for (int i = 0; i < n; i++) {
        const char *column = sqlite3_column_name(st, i);
        char name[128];
        if (column == NULL || strcmp(column, "message_row_id") == 0 || strcmp(column, "_id") == 0) { continue; }
        (void)snprintf(name, sizeof name, "whatsapp.%.40s.%.60s", prefix, column);
        int type = sqlite3_column_type(st, i);
        if (type == SQLITE_INTEGER) { wdb_number_field(&a->d, name, sqlite3_column_int64(st, i)); }
        if (type == SQLITE_TEXT) { wdb_field(&a->d, name, kluis_db_text(st, i)); }
    }
}

kluis_status android_system(struct android *a, int64_t id, struct kluis_err *err)
{
    static const struct {
        const char *table, *sql;
    } detail[] = {
        { "message_system_value_change", "SELECT * FROM message_system_value_change WHERE message_row_id=?1" },
        { "message_system_number_change", "SELECT * FROM message_system_number_change WHERE message_row_id=?1" },
        { "message_system_block_contact", "SELECT * FROM message_system_block_contact WHERE message_row_id=?1" },
        { "message_system_photo_change", "SELECT * FROM message_system_photo_change WHERE message_row_id=?1" },
        { "message_system_group", "SELECT * FROM message_system_group WHERE message_row_id=?1" },
        { "message_system_device_change", "SELECT * FROM message_system_device_change WHERE message_row_id=?1" },
        { "message_system_business_state", "SELECT * FROM message_system_business_state WHERE message_row_id=?1" },
        { "message_system_linked_group_call", "SELECT * FROM message_system_linked_group_call WHERE message_row_id=?1" },
        { "message_system_username_change", "SELECT * FROM message_system_username_change WHERE message_row_id=?1" },
        { "message_system_group_with_parent", "SELECT * FROM message_system_group_with_parent WHERE message_row_id=?1" },
        { "message_system_community_link_changed", "SELECT * FROM message_system_community_link_changed WHERE message_row_id=?1" },
        { "message_system_initial_privacy_provider", "SELECT * FROM message_system_initial_privacy_provider WHERE message_row_id=?1" },
    };
    struct wdb_draft *d = &a->d;
    struct sqlite3_stmt *st = NULL;
    int64_t action = -1;
    kluis_status rc = wdb_side(a->db, &a->d, &st, "SELECT * FROM message_system WHERE message_row_id=?1", "message_system", id, err);
    if (rc != KLUIS_OK && rc != KLUIS_END) { return rc; }
    if (rc == KLUIS_OK) { action = row_int(st, "action_type", -1); }
    if (st != NULL) { kluis_db_done(st); }
    d->r.kind = KLUIS_EVENT;
    d->r.event = kluis_str_of(action_name(action));
    if (action >= 0) { wdb_number_field(d, "whatsapp.action", action); }
    for (size_t i = 0; i < sizeof detail / sizeof *detail; i++) {
        if (!database_has_table(a->db, detail[i].table)) { continue; }
        st = NULL;
        rc = wdb_side(a->db, &a->d, &st, detail[i].sql, detail[i].table, id, err);
        if (rc != KLUIS_OK && rc != KLUIS_END) { return rc; }
        if (rc == KLUIS_OK) {
            if (i == 0) { wdb_field(d, "before", row_text(st, "old_data")); }
            if (i == 1) {
                d->r.event = KLUIS_STR_LIT("number-changed");
                KLUIS_TRY(jid_field(a, st, "old_jid_row_id", "before", err));
                KLUIS_TRY(jid_field(a, st, "new_jid_row_id", "after", err));
            }
            if (i == 2) { d->r.event = row_int(st, "is_blocked", 1) != 0 ? KLUIS_STR_LIT("contact-blocked") : KLUIS_STR_LIT("contact-unblocked"); }
            if (i >= 3) { cells(a, st, detail[i].table + 15); }
        }
        if (st != NULL) { kluis_db_done(st); }
    }
    return KLUIS_OK;
}

kluis_status android_rare(struct android *a, int64_t id, struct kluis_err *err)
{
    static const struct {
        const char *table, *sql;
    } rare[] = { { "message_event", "SELECT * FROM message_event WHERE message_row_id=?1" },
                 { "message_album", "SELECT * FROM message_album WHERE message_row_id=?1" },
                 { "message_group_invite", "SELECT * FROM message_group_invite WHERE message_row_id=?1" },
                 { "message_future", "SELECT * FROM message_future WHERE message_row_id=?1" },
                 { "message_template", "SELECT * FROM message_template WHERE message_row_id=?1" },
                 { "message_payment", "SELECT * FROM message_payment WHERE message_row_id=?1" },
                 { "message_order", "SELECT * FROM message_order WHERE message_row_id=?1" },
                 { "message_product", "SELECT * FROM message_product WHERE message_row_id=?1" },
                 { "message_ephemeral_setting", "SELECT * FROM message_ephemeral_setting WHERE message_row_id=?1" } };
    for (size_t i = 0; i < sizeof rare / sizeof *rare; i++) {
        struct sqlite3_stmt *st = NULL;
        if (!database_has_table(a->db, rare[i].table)) { continue; }
        kluis_status rc = wdb_side(a->db, &a->d, &st, rare[i].sql, rare[i].table, id, err);
        if (rc == KLUIS_OK) {
            cells(a, st, rare[i].table + 8);
            if (i == 4) { wdb_text(&a->d, row_text(st, "content_text_data")); }
            if (i == 8) { wdb_number_field(&a->d, "timer-seconds", row_int(st, "setting_duration", 0)); }
        }
        if (st != NULL) { kluis_db_done(st); }
        if (rc != KLUIS_OK && rc != KLUIS_END) { return rc; }
    }
    return KLUIS_OK;
}

/* ---- calls ---- */

void android_call_event(struct android *a, struct sqlite3_stmt *st)
{
    struct wdb_draft *d = &a->d;
    const int64_t seconds = row_int(st, "duration", 0);
    d->r.value = row_int(st, "video_call", 0) != 0 ? KLUIS_STR_LIT("video") : KLUIS_STR_LIT("audio");
    if (row_has(st, "call_result")) { wdb_number_field(d, "whatsapp.call-result", row_int(st, "call_result", 0)); }
    if (seconds > 0) { wdb_number_field(d, "duration-seconds", seconds); }
    if (row_column(st, "call_result") < 0) { return; } /* of missed calls alone */
    /* The numbers shift between releases; a call that lasted was answered under all of them. */
    d->r.event = seconds > 0 ? KLUIS_STR_LIT("answered") : row_int(st, "from_me", 0) == 1 ? KLUIS_STR_LIT("not-answered") : KLUIS_STR_LIT("missed");
}

kluis_status android_calls(struct android *a, struct kluis_err *err)
{
    struct wdb_draft *d = &a->d;
    struct sqlite3_stmt *list = NULL;
    kluis_status rc = kluis_db_query(a->work, &list, err, "SELECT id FROM k_calls WHERE jid=?1 ORDER BY time, id", "i", a->chat_jid);
    while (rc == KLUIS_OK && (rc = kluis_db_step(a->work, list, err)) == KLUIS_OK) {
        struct sqlite3_stmt *st = NULL;
        wdb_new(d, KLUIS_CALL);
        kluis_status have = wdb_side(a->db, &a->d, &st, "SELECT * FROM call_log WHERE _id=?1", "call_log", kluis_db_int(list, 0), err);
        if (have == KLUIS_OK) {
            struct kluis_str id = row_text(st, "call_id");
            d->r.id = wdb_keep(d, id.len > 0 ? id : (struct kluis_str){ NULL, 0 });
            wdb_sent(d, wdb_ms(row_int(st, "timestamp", 0)));
            android_call_event(a, st);
            if (row_int(st, "from_me", 0) == 1) {
                d->r.author = a->self;
            } else {
                have = android_who(a, row_int(st, "jid_row_id", 0), false, false, &d->r.author, err);
            }
        }
        if (st != NULL) { kluis_db_done(st); }
        if (have == KLUIS_END) { continue; }
        rc = have == KLUIS_OK ? wdb_send(d, err) : have;
    }
    kluis_db_done(list);
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

/* ---- reactions, votes, pins ---- */

static kluis_status detail(struct android *a, int64_t type, int64_t id, struct kluis_err *err)
{
    struct wdb_draft *d = &a->d;
    struct sqlite3_stmt *st = NULL;
    kluis_status rc;
    if (type == 56) {
        rc = wdb_side(a->db, &a->d, &st, "SELECT * FROM message_add_on_reaction WHERE message_add_on_row_id=?1", "message_add_on_reaction", id, err);
        if (rc == KLUIS_OK) {
            d->r.kind = KLUIS_REACTION;
            d->r.value = wdb_keep(d, row_text(st, "reaction"));
            wdb_time(d, "server", d->r.sent.us);
            int64_t at = wdb_ms(row_int(st, "sender_timestamp", 0));
            if (at != KLUIS_TIME_ABSENT) { wdb_sent(d, at); }
            if (d->r.value.len == 0) { /* taken back */
                d->r.value = (struct kluis_str){ NULL, 0 };
                wdb_number_field(d, "removed", 1);
            }
        }
    } else if (type == 67) {
        rc =
            wdb_side(a->db, &a->d, &st, "SELECT * FROM message_add_on_poll_vote WHERE message_add_on_row_id=?1", "message_add_on_poll_vote", id, err);
        if (rc == KLUIS_OK) {
            int64_t at = wdb_ms(row_int(st, "sender_timestamp", 0));
            if (at != KLUIS_TIME_ABSENT) { wdb_sent(d, at); }
        }
        if (st != NULL) { kluis_db_done(st); }
        st = NULL;
        d->r.kind = KLUIS_VOTE;
        if (rc == KLUIS_OK || rc == KLUIS_END) {
            rc = kluis_db_query(
                a->db, &st, err,
                "SELECT s._id, s.message_add_on_row_id, s.message_poll_option_id, o.option_name FROM message_add_on_poll_vote_selected_option s "
                "LEFT JOIN message_poll_option o ON o._id=s.message_poll_option_id WHERE s.message_add_on_row_id=?1 ORDER BY s._id",
                "i", id);
            while (rc == KLUIS_OK && (rc = kluis_db_step(a->db, st, NULL)) == KLUIS_OK) {
                wdb_row(d, "message_add_on_poll_vote_selected_option", st, 0, 3);
                wdb_option(d, kluis_db_text(st, 3));
            }
            if (rc == KLUIS_E_CORRUPT) {
                wdb_loss(d, "rows-damaged");
                rc = KLUIS_END;
            }
        }
    } else {
        d->r.kind = KLUIS_EVENT;
        d->r.event = type == 79 ? KLUIS_STR_LIT("message-pinned") : KLUIS_STR_LIT("add-on");
        wdb_number_field(d, "whatsapp.add-on", type);
        rc = KLUIS_END;
    }
    if (st != NULL) { kluis_db_done(st); }
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

static kluis_status one_addon(struct android *a, struct sqlite3_stmt *st, struct kluis_str parent, struct kluis_err *err)
{
    struct wdb_draft *d = &a->d;
    const int64_t type = row_int(st, "message_add_on_type", -1);
    if (type == 74) { return KLUIS_OK; } /* an edit: told with the message it changed */
    wdb_new(d, KLUIS_EVENT);
    wdb_evidence(&a->d, "message_add_on", st);
    struct kluis_str id = row_text(st, "key_id");
    d->r.id = wdb_keep(d, id.len > 0 ? id : (struct kluis_str){ NULL, 0 });
    d->r.target = wdb_keep(d, parent.len > 0 ? parent : (struct kluis_str){ NULL, 0 });
    wdb_sent(d, wdb_ms(row_int(st, "timestamp", 0)));
    if (row_int(st, "from_me", 0) == 1) {
        d->r.author = a->self;
    } else {
        KLUIS_TRY(android_who(a, row_int(st, "sender_jid_row_id", 0), false, false, &d->r.author, err));
        if (d->r.author == KLUIS_NO_PARTY && !a->group) { d->r.author = a->peer; }
    }
    KLUIS_TRY(detail(a, type, row_int(st, "_id", 0), err));
    return wdb_send(d, err);
}

kluis_status android_addons(struct android *a, int64_t message, struct kluis_str parent, struct kluis_err *err)
{
    struct sqlite3_stmt *list = NULL;
    if (!android_has(a, message, SIDE_ADDON)) { return KLUIS_OK; }
    kluis_status rc = kluis_db_query(a->work, &list, err, "SELECT id FROM k_addon WHERE parent=?1 ORDER BY id", "i", message);
    while (rc == KLUIS_OK && (rc = kluis_db_step(a->work, list, err)) == KLUIS_OK) {
        struct sqlite3_stmt *st = NULL;
        rc = kluis_db_query(a->db, &st, err, "SELECT * FROM message_add_on WHERE _id=?1", "i", kluis_db_int(list, 0));
        if (rc == KLUIS_OK) { rc = kluis_db_step(a->db, st, NULL); }
        rc = rc == KLUIS_OK ? one_addon(a, st, parent, err) : rc == KLUIS_E_NOMEM ? rc : KLUIS_OK; /* what does not read was told as a hole */
        kluis_db_done(st);
    }
    kluis_db_done(list);
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

/* ---- changes whose message is not there ---- */

kluis_status android_orphans(struct android *a, struct kluis_err *err)
{
    struct wdb_draft *d = &a->d;
    struct sqlite3_stmt *st = NULL;
    if (!database_has_column(a->db, "message_orphaned_edit", "chat_row_id")) { return KLUIS_OK; }
    kluis_status rc = kluis_db_query(a->db, &st, err, "SELECT * FROM message_orphaned_edit WHERE chat_row_id=?1 ORDER BY _id", "i", a->chat);
    while (rc == KLUIS_OK && (rc = kluis_db_step(a->db, st, NULL)) == KLUIS_OK) {
        int64_t type = row_int(st, "message_type", -1);
        struct kluis_str target = row_text(st, "revoked_key_id"), id = row_text(st, "key_id");
        const bool deletion = type == 15 || type == 64;
        wdb_new(d, deletion ? KLUIS_DELETION : KLUIS_EVENT);
        wdb_evidence(&a->d, "message_orphaned_edit", st);
        d->r.id = wdb_keep(d, id.len > 0 ? id : (struct kluis_str){ NULL, 0 });
        d->r.target = wdb_keep(d, target.len > 0 ? target : (struct kluis_str){ NULL, 0 });
        if (!deletion) { d->r.event = KLUIS_STR_LIT("change-without-message"); }
        wdb_number_field(d, "whatsapp.type", type);
        wdb_loss(d, "original-unknown");
        wdb_sent(d, wdb_ms(row_int(st, "timestamp", 0)));
        rc = KLUIS_OK;
        if (row_int(st, "from_me", 0) == 1) {
            d->r.author = a->self;
        } else {
            rc = android_who(a, row_int(st, "sender_jid_row_id", 0), false, false, &d->r.author, err);
        }
        if (rc == KLUIS_OK) { rc = wdb_send(d, err); }
    }
    if (st != NULL) { kluis_db_done(st); }
    return rc == KLUIS_END || rc == KLUIS_E_CORRUPT ? KLUIS_OK : rc;
}
