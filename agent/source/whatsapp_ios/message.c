/* message.c - one row of ZWAMESSAGE with what belongs to it, as a record.  See ios.h.
 *
 * Type numbers here are the iPhone's own; Android's differ.  Those on which peers and real databases agree have a meaning, any other keeps its
 * number in fields.whatsapp.type.
 */
#include "agent/source/whatsapp_ios/ios.h"

#include <sqlite3.h>

enum {
    TEXT = 0,
    IMAGE = 1,
    VIDEO = 2,
    AUDIO = 3,
    CONTACT = 4,
    LOCATION = 5,
    GROUP_EVENT = 6,
    LINK = 7,
    DOCUMENT = 8,
    NOTICE = 10,
    GIF = 11,
    DELETED = 14,
    STICKER = 15,
    ONCE_IMAGE = 38,
    ONCE_VIDEO = 39,
    POLL = 46
};

static bool known_type(int64_t t)
{
    static const int8_t known[] = { TEXT,     IMAGE,  VIDEO, AUDIO,   CONTACT, LOCATION,   GROUP_EVENT, LINK,
                                    DOCUMENT, NOTICE, GIF,   DELETED, STICKER, ONCE_IMAGE, ONCE_VIDEO,  POLL };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (known[i] == t) { return true; }
    }
    return false;
}

/* ZGROUPEVENTTYPE also stands on ordinary rows: it means something with types 6 and 10 only.  Names where peers agree; each keeps its number. */
static const char *event_name(int64_t type, int64_t event)
{
    if (type == NOTICE) { return event == 2 ? "encryption-notice" : "system"; }
    switch (event) {
    case 1: return "subject-changed";
    case 2: return "member-added";
    case 3: return "member-left";
    case 4: return "icon-changed";
    case 7: return "member-removed";
    case 12: return "group-created";
    default: return "system";
    }
}

static kluis_status media(struct ios *s, struct sqlite3_stmt *st, int64_t type, struct kluis_err *err)
{
    struct wdb_draft *d = &s->d;
    struct kluis_str path = row_text(st, "ZMEDIALOCALPATH"), hash = row_text(st, "ZVCARDNAME"), mime = row_text(st, "ZVCARDSTRING"),
                     title = row_text(st, "ZTITLE");
    struct ios_quote q;
    if (ios_quote(row_blob(st, "ZMETADATA"), &q) && type != GROUP_EVENT && type != NOTICE) {
        char plain[WDB_JID_MAX];
        d->r.target = wdb_keep(d, q.key);
        if (q.text.len > 0 && q.text.len <= KLUIS_TEXT_MAX) { d->r.quote = wdb_keep(d, q.text); }
        d->r.target_author = ios_who(s, ios_jid(s, q.jid, plain));
    }
    if (type == LOCATION) {
        wdb_field(d, "location", wdb_fmt(d, "%.7f,%.7f", row_real(st, "ZLATITUDE"), row_real(st, "ZLONGITUDE")));
        wdb_field(d, "place-name", title);
        return KLUIS_OK;
    }
    if (type == CONTACT) {
        wdb_field(d, "contact-001", mime);
        wdb_field(d, "contact-name", hash);
        return KLUIS_OK;
    }
    if (type == LINK) {
        wdb_field(d, "preview-title", title);
        return KLUIS_OK;
    }
    const bool holds =
        type == IMAGE || type == VIDEO || type == AUDIO || type == DOCUMENT || type == GIF || type == STICKER || (path.len > 0 && type != TEXT);
    if (!holds || d->r.kind != KLUIS_MESSAGE) { return KLUIS_OK; }
    uint8_t sha[32];
    size_t n = 0;
    const bool hashed = hash.len == 44 && kluis_unbase64(hash, sha, sizeof sha, &n) && n == sizeof sha;
    struct kluis_attachment *a = wdb_attach(d);
    if (a == NULL) { return KLUIS_OK; }
    struct kluis_str name = path;
    const char *slash = path.len == 0 ? NULL : memrchr(path.ptr, '/', path.len);
    if (slash != NULL) { name = (struct kluis_str){ slash + 1, (size_t)(path.ptr + path.len - slash - 1) }; }
    if (type == DOCUMENT && title.len > 0 && title.len < 1024) { name = title; } /* what the sender called it */
    a->name = wdb_keep(d, name.len > 0 && name.len < 1024 ? name : (struct kluis_str){ NULL, 0 });
    a->type = wdb_keep(d, mime.len > 0 && mime.len < 256 && memchr(mime.ptr, '/', mime.len) != NULL ? mime : (struct kluis_str){ NULL, 0 });
    KLUIS_TRY(ios_store_media(&s->store, wdb_keep(d, path), row_int(st, "ZFILESIZE", -1), hashed ? sha : NULL, d->arena, a, err));
    if (d->r.text.ptr == NULL && type != DOCUMENT) { wdb_text(d, title); }
    if (row_int(st, "ZMOVIEDURATION", 0) > 0) { wdb_number_field(d, "duration-seconds", row_int(st, "ZMOVIEDURATION", 0)); }
    return KLUIS_OK;
}

/* ---- reactions ---- */

struct reacting {
    struct ios *s;
    struct kluis_str key; /* of the message */
    struct kluis_bytes raw;
    kluis_status rc;
    struct kluis_err *err;
};

static void react(void *ctx, const struct ios_reaction *r)
{
    struct reacting *x = ctx;
    struct wdb_draft *d = &x->s->d;
    char plain[WDB_JID_MAX];
    if (x->rc != KLUIS_OK) { return; }
    wdb_new(d, KLUIS_REACTION);
    kluis_buf_add(&d->raw, x->raw.ptr, x->raw.len);
    d->r.id = wdb_keep(d, r->key.len > 0 && r->key.len < 256 ? r->key : (struct kluis_str){ NULL, 0 });
    d->r.target = wdb_keep(d, x->key);
    if (r->emoji.len > 0) {
        d->r.value = wdb_keep(d, r->emoji);
    } else {
        wdb_number_field(d, "removed", 1);
    }
    wdb_sent(d, wdb_ms(r->ms));
    d->r.author = ios_who(x->s, ios_jid(x->s, r->jid, plain));
    if (r->jid.len == 0) {
        wdb_loss(d, "reactor-unknown");
    } else if (d->r.author == KLUIS_NO_PARTY) {
        wdb_field(d, "author-jid", r->jid);
    }
    x->rc = wdb_send(d, x->err);
}

static kluis_status reactions(struct ios *s, int64_t info, struct kluis_str key, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    struct kluis_err why = { 0 };
    if (info <= 0 || !s->has_info) { return KLUIS_OK; }
    kluis_status rc = kluis_db_query(s->db, &st, &why, "SELECT * FROM ZWAMESSAGEINFO WHERE Z_PK=?1", "i", info);
    if (rc == KLUIS_OK) { rc = kluis_db_step(s->db, st, &why); }
    if (rc == KLUIS_OK) {
        struct kluis_bytes blob = row_blob(st, "ZRECEIPTINFO");
        KLUIS_AUTO_BUF(raw, WDB_RAW_MAX);
        database_row_json(&raw, "ZWAMESSAGEINFO", st, 0, sqlite3_column_count(st));
        struct reacting x = { s, key, kluis_buf_bytes(&raw), KLUIS_OK, err };
        if (blob.len > 0 && raw.status == KLUIS_OK) { (void)ios_reactions(blob, react, &x); }
        rc = x.rc;
    }
    kluis_db_done(st);
    return rc == KLUIS_E_NOMEM || rc == KLUIS_OK ? rc : rc == KLUIS_END || rc == KLUIS_E_CORRUPT || rc == KLUIS_E_IO ? KLUIS_OK : rc;
}

/* ---- the message ---- */

static kluis_status author(struct ios *s, struct sqlite3_stmt *st, int64_t type, struct kluis_err *err)
{
    struct wdb_draft *d = &s->d;
    char plain[WDB_JID_MAX];
    int64_t member = row_int(st, "ZGROUPMEMBER", 0);
    if (type == NOTICE) { return KLUIS_OK; } /* the app's own words */
    if (row_int(st, "ZISFROMME", 0) == 1) {
        d->r.author = s->self;
        return KLUIS_OK;
    }
    if (!s->group) {
        struct kluis_str from = row_text(st, "ZFROMJID");
        d->r.author = ios_who(s, ios_jid(s, from, plain));
        if (d->r.author == KLUIS_NO_PARTY) { d->r.author = s->peer; }
        return KLUIS_OK;
    }
    if (member <= 0) { return KLUIS_OK; }
    struct sqlite3_stmt *m = NULL;
    kluis_status rc = wdb_side(s->db, d, &m, "SELECT * FROM ZWAGROUPMEMBER WHERE Z_PK=?1", "ZWAGROUPMEMBER", member, err);
    if (rc == KLUIS_OK) {
        struct kluis_str jid = ios_jid(s, row_text(m, "ZMEMBERJID"), plain);
        uint32_t who = ios_who(s, jid);
        if (type == GROUP_EVENT) {
            wdb_field(d, "member-001", jid); /* whom it is about; who did it, the row does not say */
        } else {
            d->r.author = who;
        }
    }
    if (m != NULL) { kluis_db_done(m); }
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

static enum kluis_kind kind_of(int64_t type)
{
    switch (type) {
    case GROUP_EVENT:
    case NOTICE: return KLUIS_EVENT;
    case DELETED: return KLUIS_DELETION;
    case ONCE_IMAGE:
    case ONCE_VIDEO: return KLUIS_GAP;
    case POLL: return KLUIS_POLL;
    default: return KLUIS_MESSAGE;
    }
}

static kluis_status unreadable(struct ios *s, int64_t id, struct kluis_err *err)
{
    wdb_new(&s->d, KLUIS_GAP);
    s->d.r.event = KLUIS_STR_LIT("source-damaged");
    wdb_field(&s->d, "table", KLUIS_STR_LIT("ZWAMESSAGE"));
    wdb_number_field(&s->d, "row", id);
    return wdb_send(&s->d, err);
}

kluis_status ios_message(struct ios *s, int64_t id, struct kluis_err *err)
{
    struct wdb_draft *d = &s->d;
    struct sqlite3_stmt *st = NULL;
    struct kluis_err why = { 0 };
    char key[256];
    kluis_status rc = kluis_db_query(s->db, &st, &why, "SELECT * FROM ZWAMESSAGE WHERE Z_PK=?1", "i", id);
    if (rc == KLUIS_OK) { rc = kluis_db_step(s->db, st, &why); }
    if (rc == KLUIS_E_CORRUPT || rc == KLUIS_END) { return unreadable(s, id, err); }
    if (rc != KLUIS_OK) {
        if (err != NULL) { *err = why; }
        return rc;
    }
    const int64_t type = row_int(st, "ZMESSAGETYPE", 0), event = row_int(st, "ZGROUPEVENTTYPE", 0), item = row_int(st, "ZMEDIAITEM", 0),
                  info = row_int(st, "ZMESSAGEINFO", 0);
    struct kluis_str stanza = row_text(st, "ZSTANZAID");
    const size_t key_len = stanza.len < sizeof key ? stanza.len : 0;
    if (key_len > 0) { memcpy(key, stanza.ptr, key_len); }
    wdb_new(d, kind_of(type));
    wdb_evidence(d, "ZWAMESSAGE", st);
    d->r.id = wdb_keep(d, key_len > 0 ? stanza : (struct kluis_str){ NULL, 0 });
    if (row_has(st, "ZMESSAGEDATE")) {
        wdb_sent(d, apple_seconds_us(row_real(st, "ZMESSAGEDATE")));
        if (d->r.sent.us == KLUIS_TIME_ABSENT) {
            wdb_field(d, "sent-raw", wdb_fmt(d, "%.17g", row_real(st, "ZMESSAGEDATE")));
            wdb_loss(d, "time-out-of-range");
        }
    }
    /* Of what was received, the time of receiving. */
    if (row_has(st, "ZSENTDATE")) {
        wdb_time(d, row_int(st, "ZISFROMME", 0) == 1 ? "server" : "received", apple_seconds_us(row_real(st, "ZSENTDATE")));
    }
    wdb_text(d, row_text(st, "ZTEXT"));
    rc = author(s, st, type, err);
    kluis_db_done(st);
    KLUIS_TRY(rc);
    if (!known_type(type)) { wdb_number_field(d, "whatsapp.type", type); }
    if (d->r.kind == KLUIS_EVENT) {
        d->r.event = kluis_str_of(event_name(type, event));
        wdb_number_field(d, "whatsapp.type", type);
        wdb_number_field(d, "whatsapp.group-event", event);
    }
    if (d->r.kind == KLUIS_GAP) { d->r.event = KLUIS_STR_LIT("view-once"); }
    if (d->r.kind == KLUIS_POLL) { wdb_loss(d, "poll-options"); }
    if (d->r.kind == KLUIS_DELETION) {
        d->r.target = d->r.id; /* the row was the message's own */
        wdb_loss(d, "original-unknown");
    }
    if (item > 0) {
        st = NULL;
        rc = wdb_side(s->db, d, &st, "SELECT * FROM ZWAMEDIAITEM WHERE Z_PK=?1", "ZWAMEDIAITEM", item, err);
        if (rc == KLUIS_OK) { rc = media(s, st, type, err); }
        if (st != NULL) { kluis_db_done(st); }
        if (rc != KLUIS_OK && rc != KLUIS_END) { return rc; }
    }
    if (d->r.kind == KLUIS_MESSAGE && d->r.text.ptr == NULL && d->r.n_attachments == 0 && d->r.n_fields <= 1) {
        if (!known_type(type)) {
            d->r.kind = KLUIS_EVENT;
            d->r.event = KLUIS_STR_LIT("unknown-message");
        } else if (type != LOCATION && type != CONTACT) {
            wdb_loss(d, "content-unknown");
        }
    }
    KLUIS_TRY(wdb_send(d, err));
    return reactions(s, info, (struct kluis_str){ key, key_len }, err);
}
