/* message.c - one row of message with what belongs to it, as a record.  See android.h.
 *
 * Type numbers: those that peers and real databases agree on have a meaning here; any other keeps its number in fields.whatsapp.type.
 */
#include "agent/source/whatsapp_android/android.h"

#include <sqlite3.h>

static void location(struct android *a, struct sqlite3_stmt *st)
{
    struct wdb_draft *d = &a->d;
    wdb_field(d, "location", wdb_fmt(d, "%.7f,%.7f", row_real(st, "latitude"), row_real(st, "longitude")));
    wdb_field(d, "place-name", row_text(st, "place_name"));
    wdb_field(d, "place-address", row_text(st, "place_address"));
    wdb_field(d, "place-url", row_text(st, "url"));
    int64_t live = row_int(st, "live_location_share_duration", 0);
    if (live > 0) { wdb_number_field(d, "live-location-seconds", live); }
    if (row_int(st, "live_location_final_timestamp", 0) > 0) {
        wdb_field(d, "live-location-final",
                  wdb_fmt(d, "%.7f,%.7f", row_real(st, "live_location_final_latitude"), row_real(st, "live_location_final_longitude")));
        wdb_time(d, "live-location-final", wdb_ms(row_int(st, "live_location_final_timestamp", 0)));
    }
}

kluis_status android_media(struct android *a, struct sqlite3_stmt *st, struct kluis_err *err)
{
    struct wdb_draft *d = &a->d;
    struct kluis_str path = row_text(st, "file_path"), name = row_text(st, "media_name"), hash = row_text(st, "file_hash");
    int64_t size = row_int(st, "file_length", 0);
    uint8_t sha[32];
    size_t n = 0;
    bool hashed = hash.len > 0 && kluis_unbase64(hash, sha, sizeof sha, &n) && n == sizeof sha;
    struct kluis_attachment *at = wdb_attach(d);
    if (at == NULL) { return KLUIS_OK; }
    if (name.len == 0 && path.len > 0) {
        const char *slash = memrchr(path.ptr, '/', path.len);
        name = slash == NULL ? path : (struct kluis_str){ slash + 1, (size_t)(path.ptr + path.len - slash - 1) };
    }
    at->name = wdb_keep(d, name.len > 0 && name.len < 1024 ? name : (struct kluis_str){ NULL, 0 });
    struct kluis_str type = row_text(st, "mime_type");
    at->type = wdb_keep(d, type.len > 0 && type.len < 256 ? type : (struct kluis_str){ NULL, 0 });
    if (size <= 0) { size = row_int(st, "file_size", -1); }
    KLUIS_TRY(wdb_media_find(a->media, wdb_keep(d, path), size, hashed ? sha : NULL, d->arena, at, err));
    if (d->r.text.ptr == NULL) { wdb_text(d, row_text(st, "media_caption")); }
    int64_t seconds = row_int(st, "media_duration", 0);
    if (seconds > 0) { wdb_number_field(d, "duration-seconds", seconds); }
    return KLUIS_OK;
}

static kluis_status quoted(struct android *a, struct sqlite3_stmt *st, struct kluis_err *err)
{
    struct kluis_record *r = &a->d.r;
    r->target = wdb_keep(&a->d, row_text(st, "key_id"));
    struct kluis_str text = row_text(st, "text_data");
    if (text.len > 0 && text.len <= KLUIS_TEXT_MAX) { r->quote = wdb_keep(&a->d, text); }
    r->target_sent.us = wdb_ms(row_int(st, "timestamp", 0));
    if (row_int(st, "from_me", 0) == 1) {
        r->target_author = a->self;
        return KLUIS_OK;
    }
    KLUIS_TRY(android_who(a, row_int(st, "sender_jid_row_id", 0), false, false, &r->target_author, err));
    if (r->target_author == KLUIS_NO_PARTY && !a->group) { r->target_author = a->peer; }
    return KLUIS_OK;
}

/* Rows of which a message may have several: cards, people mentioned, options of a poll, calls. */
static kluis_status several(struct android *a, int64_t id, struct kluis_err *err)
{
    static const struct {
        const char *table, *sql;
    } from[] = { { NULL, NULL },
                 { "message_vcard", "SELECT * FROM message_vcard WHERE _id=?1" },
                 { "message_mentions", "SELECT * FROM message_mentions WHERE _id=?1" },
                 { "message_poll_option", "SELECT * FROM message_poll_option WHERE _id=?1" },
                 { "message_system_chat_participant", "SELECT rowid, * FROM message_system_chat_participant WHERE rowid=?1" },
                 { "message_call_log", "SELECT c.* FROM message_call_log m JOIN call_log c ON c._id=m.call_log_row_id WHERE m.rowid=?1" },
                 { "missed_call_logs", "SELECT * FROM missed_call_logs WHERE _id=?1" } };
    struct wdb_draft *d = &a->d;
    struct sqlite3_stmt *list = NULL, *st = NULL;
    unsigned n[8] = { 0 };
    kluis_status rc = kluis_db_query(a->work, &list, err, "SELECT source, id FROM k_several WHERE message=?1 ORDER BY source, id", "i", id);
    while (rc == KLUIS_OK && (rc = kluis_db_step(a->work, list, err)) == KLUIS_OK) {
        int64_t source = kluis_db_int(list, 0);
        if (source < 1 || source > 6) { continue; }
        kluis_status have = wdb_side(a->db, &a->d, &st, from[source].sql, from[source].table, kluis_db_int(list, 1), err);
        if (have != KLUIS_OK) {
            if (have != KLUIS_END) { rc = have; }
            continue;
        }
        char name[48], text[WDB_JID_MAX];
        struct kluis_str jid;
        unsigned i = ++n[source];
        if (source == 1) {
            (void)snprintf(name, sizeof name, "contact-%03u", i);
            wdb_field(d, name, row_text(st, "vcard"));
        } else if (source == 2 || source == 4) {
            const char *column = source == 2 ? "jid_row_id" : "user_jid_row_id";
            (void)snprintf(name, sizeof name, source == 2 ? "mention-%03u" : "member-%03u", i);
            rc = android_jid(a, row_int(st, column, 0), text, &jid, err);
            wdb_field(d, name, jid);
        } else if (source == 3) {
            wdb_option(d, row_text(st, "option_name"));
            (void)snprintf(name, sizeof name, "votes-%03u", i);
            if (row_has(st, "vote_total")) { wdb_number_field(d, name, row_int(st, "vote_total", 0)); }
        } else {
            android_call_event(a, st);
        }
        kluis_db_done(st);
    }
    kluis_db_done(list);
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

static enum kluis_kind kind_of(struct android *a, int64_t type, int64_t id)
{
    switch (type) {
    case 7:
    case 36:
    case 112: return KLUIS_EVENT;
    case 10:
    case 90: return KLUIS_CALL;
    case 11:
    case 42:
    case 43:
    case 82: return KLUIS_GAP;
    case 15:
    case 64: return KLUIS_DELETION;
    case 66:
    case 106: return KLUIS_POLL;
    default: break;
    }
    return android_has(a, id, SIDE_REVOKED) ? KLUIS_DELETION : KLUIS_MESSAGE;
}

static bool known_type(int64_t t)
{
    static const int16_t known[] = { 0, 1, 2, 3, 4, 5, 7, 9, 10, 13, 14, 15, 16, 20, 24, 36, 42, 43, 64, 66, 81, 82, 90, 92, 99, 106, 112 };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (known[i] == t) { return true; }
    }
    return false;
}

static kluis_status revoked(struct android *a, struct sqlite3_stmt *st, struct kluis_err *err)
{
    struct kluis_record *r = &a->d.r;
    int64_t admin = row_int(st, "admin_jid_row_id", 0);
    r->target = wdb_keep(&a->d, row_text(st, "revoked_key_id"));
    wdb_time(&a->d, "deleted", wdb_ms(row_int(st, "revoke_timestamp", 0)));
    if (admin > 0) { /* a group's administrator took it away */
        r->target_author = r->author;
        KLUIS_TRY(android_who(a, admin, false, false, &r->author, err));
        wdb_field(&a->d, "deleted-by", KLUIS_STR_LIT("administrator"));
    }
    return KLUIS_OK;
}

/* The app keeps the last wording only.  With an id of its own the edit is a record that points at the message as it was. */
static void edited(struct android *a, struct sqlite3_stmt *st)
{
    struct kluis_record *r = &a->d.r;
    struct kluis_str original = row_text(st, "original_key_id");
    int64_t at = wdb_ms(row_int(st, "edited_timestamp", 0));
    wdb_loss(&a->d, "original-unknown");
    if (original.len > 0 && !kluis_str_eq(original, r->id) && r->kind == KLUIS_MESSAGE) {
        r->kind = KLUIS_EDIT;
        r->target = wdb_keep(&a->d, original);
        r->target_sent = r->sent;
        r->target_author = r->author;
        wdb_time(&a->d, "original", r->sent.us);
        if (at != KLUIS_TIME_ABSENT) { wdb_sent(&a->d, at); }
        r->quote = (struct kluis_str){ NULL, 0 };
        return;
    }
    wdb_number_field(&a->d, "edited", 1);
    wdb_time(&a->d, "edited", at);
}

static kluis_status sides(struct android *a, int64_t id, int64_t type, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    kluis_status rc;
    struct wdb_draft *d = &a->d;
#define SIDE(bit, table)                                                                                                                             \
    (rc = android_has(a, id, bit) ? wdb_side(a->db, &a->d, &st, "SELECT * FROM " table " WHERE message_row_id=?1", table, id, err) : KLUIS_END) ==   \
        KLUIS_OK
#define DONE()                                                                                                                                       \
    if (rc != KLUIS_END && rc != KLUIS_OK) { return rc; }                                                                                            \
    if (st != NULL) { kluis_db_done(st); }                                                                                                           \
    st = NULL
    if (SIDE(SIDE_QUOTED, "message_quoted")) { rc = quoted(a, st, err); }
    DONE();
    if (SIDE(SIDE_REVOKED, "message_revoked")) { rc = revoked(a, st, err); }
    DONE();
    if (SIDE(SIDE_MEDIA, "message_media")) {
        rc = d->r.kind == KLUIS_MESSAGE || d->r.kind == KLUIS_POLL ? android_media(a, st, err) : KLUIS_OK;
        if (d->r.kind == KLUIS_GAP && row_text(st, "mime_type").len > 0) { wdb_field(d, "type", row_text(st, "mime_type")); }
    }
    DONE();
    if (SIDE(SIDE_LOCATION, "message_location")) { location(a, st); }
    DONE();
    if (SIDE(SIDE_EPHEMERAL, "message_ephemeral")) {
        wdb_number_field(d, "timer-seconds", row_int(st, "duration", 0));
        wdb_time(d, "expires", wdb_ms(row_int(st, "expire_timestamp", 0)));
    }
    DONE();
    if (SIDE(SIDE_VIEW_ONCE, "message_view_once_media")) { wdb_number_field(d, "view-once-state", row_int(st, "state", 0)); }
    DONE();
    if (SIDE(SIDE_FORWARDED, "message_forwarded")) { wdb_number_field(d, "forwarded", row_int(st, "forward_score", 1)); }
    DONE();
    if (SIDE(SIDE_POLL, "message_poll")) {
        if (row_int(st, "selectable_options_count", 0) > 0) { wdb_number_field(d, "choices", row_int(st, "selectable_options_count", 0)); }
        wdb_time(d, "poll-ends", wdb_ms(row_int(st, "end_time", 0)));
    }
    DONE();
    if (SIDE(SIDE_TEXT, "message_text")) {
        wdb_field(d, "preview-url", row_text(st, "url"));
        wdb_field(d, "preview-title", row_text(st, "page_title"));
        wdb_field(d, "preview-text", row_text(st, "description"));
    }
    DONE();
    if (android_has(a, id, SIDE_SEVERAL) || android_has(a, id, SIDE_CALL)) { KLUIS_TRY(several(a, id, err)); }
    if (android_has(a, id, SIDE_SYSTEM) || type == 7) { KLUIS_TRY(android_system(a, id, err)); }
    if (android_has(a, id, SIDE_RARE)) { KLUIS_TRY(android_rare(a, id, err)); }
    if (SIDE(SIDE_EDIT, "message_edit_info")) { edited(a, st); }
    DONE();
    return KLUIS_OK;
#undef SIDE
#undef DONE
}

static kluis_status unreadable(struct android *a, int64_t id, struct kluis_err *err)
{
    wdb_new(&a->d, KLUIS_GAP);
    a->d.r.event = KLUIS_STR_LIT("source-damaged");
    wdb_field(&a->d, "table", KLUIS_STR_LIT("message"));
    wdb_number_field(&a->d, "row", id);
    return wdb_send(&a->d, err);
}

static kluis_status author(struct android *a, struct sqlite3_stmt *st, struct kluis_err *err)
{
    struct kluis_record *r = &a->d.r;
    int64_t sender = row_int(st, "sender_jid_row_id", 0);
    if (row_int(st, "from_me", 0) == 1) {
        r->author = a->self;
        return KLUIS_OK;
    }
    KLUIS_TRY(android_who(a, sender, false, false, &r->author, err));
    if (r->author == KLUIS_NO_PARTY && !a->group && r->kind != KLUIS_EVENT) { r->author = a->peer; }
    if (r->author == KLUIS_NO_PARTY && sender > 0) {
        char text[WDB_JID_MAX];
        struct kluis_str jid;
        KLUIS_TRY(android_jid(a, sender, text, &jid, err));
        if (jid.ptr != NULL) {
            wdb_field(&a->d, "author-jid", jid);
        } else {
            wdb_number_field(&a->d, "author-row", sender);
        }
    }
    return KLUIS_OK;
}

kluis_status android_message(struct android *a, int64_t id, struct kluis_err *err)
{
    struct wdb_draft *d = &a->d;
    struct sqlite3_stmt *st = NULL;
    struct kluis_err why = { 0 };
    char parent[256];
    kluis_status rc = kluis_db_query(a->db, &st, &why, "SELECT * FROM message WHERE _id=?1", "i", id);
    if (rc == KLUIS_OK) { rc = kluis_db_step(a->db, st, &why); }
    if (rc == KLUIS_E_CORRUPT || rc == KLUIS_END) { return unreadable(a, id, err); }
    if (rc != KLUIS_OK) {
        if (err != NULL) { *err = why; }
        return rc;
    }
    const int64_t type = row_int(st, "message_type", 0), at = row_int(st, "timestamp", 0);
    wdb_new(d, kind_of(a, type, id));
    wdb_evidence(&a->d, "message", st);
    struct kluis_str key = row_text(st, "key_id");
    d->r.id = wdb_keep(d, key.len > 0 && key.len < sizeof parent ? key : (struct kluis_str){ NULL, 0 });
    wdb_sent(d, wdb_ms(at));
    if (d->r.sent.us == KLUIS_TIME_ABSENT && at != 0) {
        wdb_number_field(d, "sent-raw", at);
        wdb_loss(d, "time-out-of-range");
    }
    wdb_time(d, "received", wdb_ms(row_int(st, "received_timestamp", 0)));
    wdb_time(d, "server", wdb_ms(row_int(st, "receipt_server_timestamp", 0)));
    wdb_text(d, row_text(st, "text_data"));
    if ((row_int(st, "origination_flags", 0) & 1) != 0 && !android_has(a, id, SIDE_FORWARDED)) { wdb_number_field(d, "forwarded", 1); }
    if (type == 2 && row_int(st, "origin", 0) == 1) { wdb_field(d, "recorded", KLUIS_STR_LIT("voice-message")); }
    rc = author(a, st, err);
    kluis_db_done(st);
    KLUIS_TRY(rc);
    if (!known_type(type)) { wdb_number_field(d, "whatsapp.type", type); }
    if (type == 11) { d->r.event = KLUIS_STR_LIT("waiting-for-message"); }
    if (type == 42 || type == 43 || type == 82) { d->r.event = KLUIS_STR_LIT("view-once"); }
    if (type == 10) { d->r.event = KLUIS_STR_LIT("missed"); }
    if (type == 36) { d->r.event = KLUIS_STR_LIT("timer-changed"); }
    if (type == 112) { d->r.event = KLUIS_STR_LIT("chat-privacy-changed"); }
    if (d->r.kind == KLUIS_DELETION) { wdb_loss(d, "original-unknown"); }
    KLUIS_TRY(sides(a, id, type, err));
    if (d->r.kind == KLUIS_CALL && d->r.value.ptr == NULL) { d->r.value = KLUIS_STR_LIT("audio"), wdb_loss(d, "kind-of-call"); }
    if (d->r.kind == KLUIS_CALL && d->r.event.ptr == NULL) { d->r.event = KLUIS_STR_LIT("call"); }
    if (d->r.kind == KLUIS_MESSAGE && d->r.text.ptr == NULL && d->r.n_attachments == 0 && d->r.n_fields <= 1) {
        if (!known_type(type)) { /* what it is, nobody here knows: its number and its row are kept */
            d->r.kind = KLUIS_EVENT;
            d->r.event = KLUIS_STR_LIT("unknown-message");
        } else if (type != 0) {
            wdb_loss(d, "content-unknown");
        }
    }
    if (d->r.kind != KLUIS_POLL && d->r.kind != KLUIS_VOTE && d->r.n_options > 0 && d->r.kind != KLUIS_MESSAGE) { d->r.n_options = 0; }
    size_t n = d->r.id.len < sizeof parent ? d->r.id.len : 0;
    if (n > 0) { memcpy(parent, d->r.id.ptr, n); }
    struct kluis_str target = { parent, n };
    if (d->r.kind == KLUIS_EDIT) { target.len = 0; }
    if (target.len == 0 && d->r.target.len > 0 && d->r.target.len < sizeof parent) {
        memcpy(parent, d->r.target.ptr, d->r.target.len);
        target.len = d->r.target.len;
    }
    KLUIS_TRY(wdb_send(d, err));
    return android_addons(a, id, target, err);
}
