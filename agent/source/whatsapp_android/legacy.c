/* legacy.c - the schema before 2022: one table `messages`, conversations by JID.  See android.h. */
#include "agent/source/whatsapp_android/android.h"

#include <sqlite3.h>

static kluis_status skip(struct android *a, const char *what, const char *where, const char *why, struct kluis_err *err)
{
    const struct source_skip s = { .what = what, .where = where, .why = why };
    return a->sink->skipped == NULL ? KLUIS_OK : a->sink->skipped(a->sink->ctx, &s, err);
}

static uint32_t party(struct android *a, struct kluis_str jid, bool member)
{
    char plain[WDB_JID_MAX];
    struct kluis_str p = wdb_jid_plain(jid, plain);
    return p.ptr == NULL ? KLUIS_NO_PARTY : wdb_party(a->book, p, android_name(a, p, 0), member);
}

static uint32_t known(struct android *a, struct kluis_str jid)
{
    char plain[WDB_JID_MAX];
    return wdb_find(a->book, wdb_jid_plain(jid, plain));
}

/* status 6: a notice, media_size its number.  media_wa_type as since 2022, but as text and with other deletions. */
static kluis_status one(struct android *a, struct sqlite3_stmt *st, struct kluis_err *err)
{
    struct wdb_draft *d = &a->d;
    const bool notice = row_int(st, "status", 0) == 6;
    const int64_t type = row_int(st, "media_wa_type", 0), at = row_int(st, "timestamp", 0);
    struct kluis_str id = row_text(st, "key_id"), remote = row_text(st, "remote_resource"), data = row_text(st, "data"),
                     path = row_text(st, "media_name");
    enum kluis_kind kind = notice                     ? KLUIS_EVENT
                           : type == 15 || type == 64 ? KLUIS_DELETION
                           : type == 10 || type == 8  ? KLUIS_CALL
                           : type == 11               ? KLUIS_GAP
                           : type == 42 || type == 43 ? KLUIS_GAP
                                                      : KLUIS_MESSAGE;
    wdb_new(d, kind);
    wdb_evidence(&a->d, "messages", st);
    d->r.id = wdb_keep(d, id.len > 0 ? id : (struct kluis_str){ NULL, 0 });
    wdb_sent(d, wdb_ms(at));
    if (d->r.sent.us == KLUIS_TIME_ABSENT && at != 0) {
        wdb_number_field(d, "sent-raw", at);
        wdb_loss(d, "time-out-of-range");
    }
    wdb_time(d, "received", wdb_ms(row_int(st, "received_timestamp", 0)));
    wdb_time(d, "server", wdb_ms(row_int(st, "receipt_server_timestamp", 0)));
    d->r.author = row_int(st, "key_from_me", 0) == 1 && !notice ? a->self : a->group ? known(a, remote) : notice ? KLUIS_NO_PARTY : a->peer;
    if (kind == KLUIS_MESSAGE && (type == 4 || type == 14)) {
        wdb_field(d, "contact-001", data);
    } else {
        wdb_text(d, data);
    }
    if (d->r.text.ptr == NULL) { wdb_text(d, row_text(st, "media_caption")); }
    if (notice) {
        d->r.event = KLUIS_STR_LIT("system");
        wdb_number_field(d, "whatsapp.action", row_int(st, "media_size", -1));
    }
    if (kind == KLUIS_DELETION) { wdb_loss(d, "original-unknown"); }
    if (kind == KLUIS_GAP) { d->r.event = type == 11 ? KLUIS_STR_LIT("waiting-for-message") : KLUIS_STR_LIT("view-once"); }
    if (kind == KLUIS_CALL) {
        int64_t seconds = row_int(st, "media_duration", 0);
        d->r.event = type == 10 ? KLUIS_STR_LIT("missed") : seconds > 0 ? KLUIS_STR_LIT("answered") : KLUIS_STR_LIT("not-answered");
        d->r.value = KLUIS_STR_LIT("audio");
        wdb_loss(d, "kind-of-call");
        if (seconds > 0) { wdb_number_field(d, "duration-seconds", seconds); }
    }
    if (kind == KLUIS_MESSAGE && (type == 5 || type == 16)) {
        wdb_field(d, "location", wdb_fmt(d, "%.7f,%.7f", row_real(st, "latitude"), row_real(st, "longitude")));
        if (path.len > 0) { wdb_field(d, "place-name", path); }
    } else if (kind == KLUIS_MESSAGE && (type == 1 || type == 2 || type == 3 || type == 9 || type == 13 || type == 20)) {
        struct kluis_attachment *m = wdb_attach(d);
        uint8_t sha[32];
        size_t n = 0;
        struct kluis_str hash = row_text(st, "media_hash"), mime = row_text(st, "media_mime_type");
        bool hashed = hash.len > 0 && kluis_unbase64(hash, sha, sizeof sha, &n) && n == sizeof sha;
        if (m != NULL) {
            m->name = wdb_keep(d, path.len > 0 && path.len < 1024 ? path : (struct kluis_str){ NULL, 0 });
            m->type = wdb_keep(d, mime.len > 0 && mime.len < 256 ? mime : (struct kluis_str){ NULL, 0 });
            KLUIS_TRY(wdb_media_find(a->media, (struct kluis_str){ NULL, 0 }, row_int(st, "media_size", -1), hashed ? sha : NULL, d->arena, m, err));
        }
    } else if (kind == KLUIS_MESSAGE && type != 0 && type != 4 && type != 14) {
        wdb_number_field(d, "whatsapp.type", type);
        if (d->r.text.ptr == NULL) {
            d->r.kind = KLUIS_EVENT;
            d->r.event = KLUIS_STR_LIT("unknown-message");
        }
    }
    if (row_int(st, "forwarded", 0) > 0) { wdb_number_field(d, "forwarded", row_int(st, "forwarded", 0)); }
    int64_t quoted = row_int(st, "quoted_row_id", 0);
    if (quoted > 0 && kind == KLUIS_MESSAGE) {
        struct sqlite3_stmt *q = NULL;
        kluis_status rc = wdb_side(a->db, &a->d, &q, "SELECT * FROM messages_quotes WHERE _id=?1", "messages_quotes", quoted, err);
        if (rc == KLUIS_OK) {
            struct kluis_str text = row_text(q, "data");
            d->r.target = wdb_keep(d, row_text(q, "key_id"));
            if (text.len > 0 && text.len <= KLUIS_TEXT_MAX) { d->r.quote = wdb_keep(d, text); }
            d->r.target_sent.us = wdb_ms(row_int(q, "timestamp", 0));
            d->r.target_author = row_int(q, "key_from_me", 0) == 1 ? a->self : a->group ? known(a, row_text(q, "remote_resource")) : a->peer;
        }
        if (q != NULL) { kluis_db_done(q); }
        if (rc != KLUIS_OK && rc != KLUIS_END) { return rc; }
    }
    return wdb_send(d, err);
}

static kluis_status one_chat(struct android *a, struct kluis_str remote, struct kluis_err *err)
{
    char plain[WDB_JID_MAX];
    struct sqlite3_stmt *st = NULL;
    struct kluis_header h;
    struct kluis_str jid = wdb_jid_plain(remote, plain), name = { NULL, 0 };
    enum wdb_server server = wdb_server_of(remote);
    if (server == WDB_STATUS) {
        char where[64] = "status@broadcast";
        if (kluis_db_query(a->work, &st, NULL, "SELECT count(*) FROM k_legacy WHERE chat=?1", "t", remote) == KLUIS_OK &&
            kluis_db_step(a->work, st, NULL) == KLUIS_OK) {
            (void)snprintf(where, sizeof where, "status@broadcast, %lld of them", (long long)kluis_db_int(st, 0));
        }
        kluis_db_done(st);
        return skip(a, "status updates", where, "they are shown for a day and are no conversation", err);
    }
    wdb_book_clear(a->book);
    a->group = server == WDB_GROUP;
    a->self = a->self_jid[0] != '\0' ? wdb_party(a->book, kluis_str_of(a->self_jid), kluis_str_of(a->self_name), true)
                                     : wdb_party_named(a->book, kluis_str_of(a->self_name), true);
    a->peer = server == WDB_PERSON || server == WDB_HIDDEN ? party(a, remote, true) : KLUIS_NO_PARTY;
    if (a->peer != KLUIS_NO_PARTY) { name = android_name(a, jid, 0); }
    static const char *const people[] = { "SELECT jid FROM group_participants WHERE gjid=?1", "SELECT remote FROM k_senders WHERE chat=?1" };
    for (int i = 0; i < 2; i++) {
        if (i == 0 && (!a->group || !database_has_column(a->db, "group_participants", "gjid"))) { continue; }
        struct kluis_db *db = i == 0 ? a->db : a->work;
        kluis_status rc = kluis_db_query(db, &st, err, people[i], "t", remote);
        while (rc == KLUIS_OK && (rc = kluis_db_step(db, st, NULL)) == KLUIS_OK) { (void)party(a, kluis_db_text(st, 0), i == 0); }
        kluis_db_done(st);
        if (rc != KLUIS_END && rc != KLUIS_E_CORRUPT) { return rc; }
    }
    if (database_has_column(a->db, "chat_list", "subject")) {
        if (kluis_db_query(a->db, &st, err, "SELECT subject FROM chat_list WHERE key_remote_jid=?1", "t", remote) == KLUIS_OK &&
            kluis_db_step(a->db, st, NULL) == KLUIS_OK && kluis_db_text(st, 0).len > 0) {
            name = wdb_book_keep(a->book, kluis_db_text(st, 0));
        }
        kluis_db_done(st);
    }
    KLUIS_TRY(android_header(a, jid.ptr == NULL ? wdb_utf8(a->d.arena, remote) : jid, name,
                             a->group                    ? KLUIS_GROUP
                             : a->peer != KLUIS_NO_PARTY ? KLUIS_DIRECT
                             : server == WDB_CHANNEL     ? KLUIS_CHANNEL
                                                         : KLUIS_UNKNOWN_TYPE,
                             false, &h, err));
    KLUIS_TRY(a->sink->begin(a->sink->ctx, &h, err));
    kluis_status rc = kluis_db_query(a->work, &st, err, "SELECT id FROM k_legacy WHERE chat=?1 ORDER BY id", "t", remote);
    while (rc == KLUIS_OK && (rc = kluis_db_step(a->work, st, err)) == KLUIS_OK) {
        struct sqlite3_stmt *m = NULL;
        rc = kluis_db_query(a->db, &m, err, "SELECT * FROM messages WHERE _id=?1", "i", kluis_db_int(st, 0));
        if (rc == KLUIS_OK) { rc = kluis_db_step(a->db, m, NULL); }
        if (rc == KLUIS_OK) {
            rc = one(a, m, err);
        } else if (rc == KLUIS_E_CORRUPT) {
            wdb_new(&a->d, KLUIS_GAP);
            a->d.r.event = KLUIS_STR_LIT("source-damaged");
            wdb_field(&a->d, "table", KLUIS_STR_LIT("messages"));
            wdb_number_field(&a->d, "row", kluis_db_int(st, 0));
            rc = wdb_send(&a->d, err);
        }
        kluis_db_done(m);
    }
    kluis_db_done(st);
    if (rc != KLUIS_END) { return rc; }
    KLUIS_TRY(android_damage(a, err));
    return a->sink->end(a->sink->ctx, err);
}

static kluis_status on_row(void *ctx, struct sqlite3_stmt *st, struct kluis_err *err)
{
    struct android *a = ctx;
    struct kluis_str chat = kluis_db_text(st, 1), remote = kluis_db_text(st, 2);
    if (chat.len == 0 || kluis_str_is(chat, "-1")) { return KLUIS_OK; } /* the row the app begins the table with */
    KLUIS_TRY(kluis_db_run(a->work, NULL, err, "INSERT OR IGNORE INTO k_legacy(chat, id) VALUES(?1, ?2)", "ti", chat, kluis_db_int(st, 0)));
    if (remote.len == 0) { return KLUIS_OK; }
    return kluis_db_run(a->work, NULL, err, "INSERT OR IGNORE INTO k_senders(chat, remote) VALUES(?1, ?2)", "tt", chat, remote);
}

static kluis_status on_hole(void *ctx, int64_t after, int64_t before, KLUIS_UNUSED struct kluis_err *err)
{
    struct android *a = ctx;
    size_t i = a->n_holes < ANDROID_HOLES ? a->n_holes++ : ANDROID_HOLES - 1;
    a->hole[i].after = i == a->n_holes - 1 ? after : a->hole[i].after;
    a->hole[i].before = before;
    return KLUIS_OK;
}

kluis_status legacy_chats(struct android *a, struct kluis_err *err)
{
    KLUIS_TRY(kluis_scratch_work(&a->work, err));
    KLUIS_TRY(kluis_db_exec(a->work,
                            "CREATE TABLE k_legacy(chat TEXT, id INTEGER, PRIMARY KEY(chat, id)) WITHOUT ROWID;"
                            "CREATE TABLE k_senders(chat TEXT, remote TEXT, PRIMARY KEY(chat, remote)) WITHOUT ROWID; BEGIN",
                            err));
    const struct database_walk w = { a, "SELECT _id, key_remote_jid, remote_resource FROM messages WHERE _id>?1 ORDER BY _id", on_row, on_hole };
    KLUIS_TRY(database_walk(a->db, &w, err));
    KLUIS_TRY(kluis_db_exec(a->work, "COMMIT", err));
    char chat[1024] = "";
    size_t n = 0;
    for (;;) {
        struct sqlite3_stmt *st = NULL;
        KLUIS_TRY(
            kluis_db_query(a->work, &st, err, "SELECT chat FROM k_legacy WHERE chat>?1 ORDER BY chat LIMIT 1", "t", (struct kluis_str){ chat, n }));
        kluis_status rc = kluis_db_step(a->work, st, err);
        struct kluis_str next = rc == KLUIS_OK ? kluis_db_text(st, 0) : (struct kluis_str){ NULL, 0 };
        if (rc == KLUIS_OK && next.len >= sizeof chat) {
            rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: a conversation's JID is longer than 1 KiB", a->place.path);
        }
        if (rc == KLUIS_OK) {
            memcpy(chat, next.ptr, next.len);
            n = next.len;
        }
        kluis_db_done(st);
        if (rc == KLUIS_END) { return KLUIS_OK; }
        KLUIS_TRY(rc);
        KLUIS_TRY(one_chat(a, (struct kluis_str){ chat, n }, err));
    }
}
