/* message.c - one row of `message` with what belongs to it, as records.  See imessage.h.
 *
 * A message that was edited keeps every text of it: the record holds the first, each later one is an edit.  Of a part that was unsent only that it
 * was is left.  Numbers of types are Apple's; those without a meaning here keep their number.
 */
#include "agent/source/imessage/imessage.h"

#include <sqlite3.h>

enum { TAPBACK = 2000, TAPBACK_LAST = 2007, UNTAPBACK = 3000, UNTAPBACK_LAST = 3007, FINISHED = 5 };

struct row {
    struct im *s;
    struct sqlite3_stmt *st;
    struct kluis_str guid;
    int64_t us; /* of the message */
    uint32_t author;
};

struct kluis_str im_address(struct im *s, int64_t handle)
{
    struct sqlite3_stmt *st = NULL;
    struct kluis_str found = { NULL, 0 };
    if (handle <= 0) { return found; }
    struct im_handle *h = &s->handles[(uint64_t)handle % IM_HANDLES];
    if (h->id == handle) { return (struct kluis_str){ h->address, h->len }; }
    if (kluis_db_query(s->db, &st, NULL, "SELECT id FROM handle WHERE ROWID=?1", "i", handle) != KLUIS_OK) { return found; }
    if (kluis_db_step(s->db, st, NULL) == KLUIS_OK) {
        const struct kluis_str id = kluis_db_text(st, 0);
        if (id.len > 0 && id.len < IM_ADDRESS) {
            h->id = handle;
            h->len = id.len;
            memcpy(h->address, id.ptr, id.len);
            found = (struct kluis_str){ h->address, id.len };
        }
        kluis_db_done(st);
    }
    return found;
}

/* A time of the row: 0 and absent are none. */
static int64_t time_of(struct sqlite3_stmt *st, const char *name)
{
    const int64_t v = row_int(st, name, 0);
    return v == 0 ? KLUIS_TIME_ABSENT : apple_either_us(v);
}

static uint32_t author_of(struct im *s, struct sqlite3_stmt *st)
{
    if (row_int(st, "is_from_me", 0) != 0) { return s->self; }
    const uint32_t who = im_party_find(&s->people, im_address(s, row_int(st, "handle_id", 0)));
    return who != KLUIS_NO_PARTY ? who : s->peer;
}

/* A record of this row, as every one of them begins. */
static void begin(struct row *r, enum kluis_kind kind, const char *suffix)
{
    struct wdb_draft *d = &r->s->d;
    wdb_new(d, kind);
    wdb_evidence(d, "message", r->st);
    d->r.id = suffix[0] == '\0' ? wdb_keep(d, r->guid) : wdb_fmt(d, "%.*s%s", r->guid.len > 200 ? 200 : (int)r->guid.len, r->guid.ptr, suffix);
    d->r.author = r->author;
}

static void sent(struct row *r, int64_t us)
{
    struct wdb_draft *d = &r->s->d;
    wdb_sent(d, us);
    if (us == KLUIS_TIME_ABSENT && row_int(r->st, "date", 0) != 0) {
        wdb_number_field(d, "sent-raw", row_int(r->st, "date", 0));
        wdb_loss(d, "time-out-of-range");
    }
}

/* What another message is pointed at by. */
static void target(struct im *s, struct kluis_str guid)
{
    struct sqlite3_stmt *st = NULL;
    struct wdb_draft *d = &s->d;
    d->r.target = wdb_keep(d, guid);
    if (kluis_db_query(s->db, &st, NULL, "SELECT * FROM message WHERE guid=?1", "t", guid) != KLUIS_OK) { return; }
    if (kluis_db_step(s->db, st, NULL) == KLUIS_OK) {
        const int64_t us = time_of(st, "date");
        d->r.target_author = author_of(s, st);
        if (us != KLUIS_TIME_ABSENT) { d->r.target_sent.us = us - (us % 1000 + 1000) % 1000; }
        kluis_db_done(st);
    }
}

/* ---- reactions -------------------------------------------------------------------------------------------------------------- */

/* "p:2/GUID", "bp:GUID" or the id alone. */
static struct kluis_str pointed(struct kluis_str s, struct kluis_str *part)
{
    *part = (struct kluis_str){ NULL, 0 };
    if (s.len > 3 && memcmp(s.ptr, "bp:", 3) == 0) { return (struct kluis_str){ s.ptr + 3, s.len - 3 }; }
    const char *slash = s.len > 3 && memcmp(s.ptr, "p:", 2) == 0 ? memchr(s.ptr, '/', s.len) : NULL;
    if (slash == NULL) { return s; }
    *part = (struct kluis_str){ s.ptr + 2, (size_t)(slash - s.ptr - 2) };
    return (struct kluis_str){ slash + 1, (size_t)(s.ptr + s.len - slash - 1) };
}

static kluis_status reaction(struct row *r, int64_t type, struct kluis_err *err)
{
    static const char *const emoji[] = { "❤️", "👍", "👎", "😂", "‼️", "❓" };
    struct wdb_draft *d = &r->s->d;
    struct kluis_str part;
    const struct kluis_str guid = pointed(row_text(r->st, "associated_message_guid"), &part);
    const int64_t which = type >= UNTAPBACK ? type - UNTAPBACK : type - TAPBACK;
    begin(r, KLUIS_REACTION, "");
    sent(r, r->us);
    if (which < 6) {
        d->r.value = kluis_str_of(emoji[which]);
    } else if (which == 6) {
        const struct kluis_str own = row_text(r->st, "associated_message_emoji");
        if (own.len > 0 && own.len < 256) {
            d->r.value = wdb_keep(d, own);
        } else {
            wdb_loss(d, "reaction-unknown");
        }
    } else {
        wdb_field(d, "item", KLUIS_STR_LIT("sticker"));
    }
    wdb_number_field(d, "imessage.tapback", type);
    if (type >= UNTAPBACK) { wdb_number_field(d, "removed", 1); }
    wdb_field(d, "target-part", part);
    if (guid.len > 0) { target(r->s, guid); }
    return wdb_send(d, err);
}

/* ---- what happened to a chat ---------------------------------------------------------------------------------------------------- */

static const char *event_name(int64_t item, int64_t action, int64_t share)
{
    switch (item) {
    case 1: return action == 0 ? "member-added" : action == 1 ? "member-removed" : "group-changed";
    case 2: return "subject-changed";
    case 3:
        switch (action) {
        case 0: return "member-left";
        case 1: return "icon-changed";
        case 2: return "icon-removed";
        case 4: return "background-changed";
        case 6: return "background-removed";
        default: return "group-changed";
        }
    case 4: return share == 0 ? "location-sharing-started" : "location-sharing-stopped";
    case 5: return "audio-kept";
    case 6: return "shareplay-started";
    default: return "unknown";
    }
}

static kluis_status event(struct row *r, int64_t item, struct kluis_err *err)
{
    struct wdb_draft *d = &r->s->d;
    const int64_t action = row_int(r->st, "group_action_type", 0);
    begin(r, KLUIS_EVENT, "");
    sent(r, r->us);
    d->r.event = kluis_str_of(event_name(item, action, row_int(r->st, "share_status", 0)));
    wdb_number_field(d, "imessage.item-type", item);
    wdb_number_field(d, "imessage.group-action", action);
    wdb_field(d, "member-001", im_address(r->s, row_int(r->st, "other_handle", 0)));
    wdb_text(d, item == 2 ? row_text(r->st, "group_title") : row_text(r->st, "text"));
    return wdb_send(d, err);
}

/* ---- text ------------------------------------------------------------------------------------------------------------------------- */

static void put_text(struct im *s, struct kluis_str plain, const struct typed_text *typed)
{
    struct wdb_draft *d = &s->d;
    KLUIS_AUTO_BUF(mentions, 64 << 10);
    wdb_text(d, plain.len > 0 ? plain : typed != NULL ? typed->text : plain);
    for (size_t i = 0; typed != NULL && i < typed->n; i++) {
        const struct typed_run *run = &typed->run[i];
        if (run->mention.len == 0 || run->mention.len > IM_ADDRESS) { continue; }
        kluis_buf_fmt(&mentions, "%s%llu+%llu ", mentions.len > 0 ? "; " : "", (unsigned long long)run->start, (unsigned long long)run->length);
        kluis_buf_str(&mentions, run->mention);
    }
    if (mentions.len > 0 && mentions.status == KLUIS_OK) {
        wdb_field(d, "mentions", (struct kluis_str){ (const char *)mentions.data, mentions.len });
    }
    if (typed != NULL && !typed->whole) { wdb_loss(d, "text-attributes"); }
}

/* ---- attachments -------------------------------------------------------------------------------------------------------------------- */

static void attachment_field(struct wdb_draft *d, size_t i, const char *what, struct kluis_str value)
{
    char name[48];
    (void)snprintf(name, sizeof name, "attachment.%zu.%s", i, what);
    wdb_field(d, name, value);
}

static kluis_status attachment(struct im *s, struct sqlite3_stmt *st, struct kluis_err *err)
{
    struct wdb_draft *d = &s->d;
    struct kluis_attachment *a = wdb_attach(d);
    if (a == NULL) { return KLUIS_OK; }
    const size_t i = d->r.n_attachments - 1;
    const struct kluis_str path = row_text(st, "filename");
    const int64_t state = row_int(st, "transfer_state", FINISHED);
    struct kluis_str name = row_text(st, "transfer_name"), mime = row_text(st, "mime_type");
    const char *slash = name.len > 0 || path.len == 0 ? NULL : memrchr(path.ptr, '/', path.len);
    if (name.len == 0) { name = slash != NULL ? (struct kluis_str){ slash + 1, (size_t)(path.ptr + path.len - slash - 1) } : path; }
    wdb_evidence(d, "attachment", st);
    a->name = wdb_keep(d, name.len > 0 && name.len < 1024 ? name : (struct kluis_str){ NULL, 0 });
    a->type = wdb_keep(d, mime.len > 0 && mime.len < 256 && memchr(mime.ptr, '/', mime.len) != NULL ? mime : (struct kluis_str){ NULL, 0 });
    KLUIS_TRY(im_store_media(&s->store, wdb_keep(d, path), row_int(st, "total_bytes", -1), d->arena, a, err));
    if (a->source_ref.ptr == NULL && state != FINISHED) { a->loss = KLUIS_STR_LIT("not-downloaded"); }
    if (state != FINISHED) { attachment_field(d, i, "transfer-state", wdb_fmt(d, "%lld", (long long)state)); }
    if (row_int(st, "is_sticker", 0) != 0) { attachment_field(d, i, "role", KLUIS_STR_LIT("sticker")); }
    if (mime.len == 0) { attachment_field(d, i, "uti", row_text(st, "uti")); }
    return KLUIS_OK;
}

static kluis_status attachments(struct im *s, int64_t message, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    struct kluis_err why = { 0 };
    const uint64_t bit = (uint64_t)message % IM_HAS;
    if ((s->has_attachment[bit / 8] >> bit % 8 & 1) == 0) { return KLUIS_OK; }
    kluis_status rc = kluis_db_query(s->db, &st, &why,
                                     "SELECT a.* FROM message_attachment_join j JOIN attachment a ON a.ROWID=j.attachment_id WHERE j.message_id=?1 "
                                     "ORDER BY a.ROWID",
                                     "i", message);
    if (rc != KLUIS_OK) { return KLUIS_OK; } /* no such tables in this version */
    while ((rc = kluis_db_step(s->db, st, &why)) == KLUIS_OK) {
        rc = attachment(s, st, err);
        if (rc != KLUIS_OK) {
            kluis_db_done(st);
            return rc;
        }
    }
    if (rc == KLUIS_E_CORRUPT) { wdb_loss(&s->d, "rows-damaged"); }
    return rc == KLUIS_E_NOMEM ? KLUIS_FAIL(err, rc, "out of memory; try again") : KLUIS_OK;
}

/* ---- the message ------------------------------------------------------------------------------------------------------------------------ */

static void facts(struct row *r)
{
    static const struct {
        const char *column, *field;
    } numbers[] = { { "error", "error" },
                    { "was_downgraded", "was-downgraded" },
                    { "is_audio_message", "audio-message" },
                    { "is_forward", "forwarded" },
                    { "is_auto_reply", "auto-reply" },
                    { "is_spam", "spam" },
                    { "was_detonated", "expired" },
                    { "is_emote", "emote" },
                    { "schedule_type", "schedule-type" } };
    static const struct {
        const char *column, *field;
    } texts[] = { { "service", "service" }, { "subject", "subject" }, { "balloon_bundle_id", "app" }, { "expressive_send_style_id", "effect" } };
    static const struct {
        const char *column, *field;
    } times[] = { { "date_read", "read" }, { "date_delivered", "delivered" }, { "date_played", "played" } };
    struct wdb_draft *d = &r->s->d;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (row_int(r->st, numbers[i].column, 0) != 0) { wdb_number_field(d, numbers[i].field, row_int(r->st, numbers[i].column, 0)); }
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) { wdb_field(d, texts[i].field, row_text(r->st, texts[i].column)); }
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) { wdb_time(d, times[i].field, time_of(r->st, times[i].column)); }
    if (row_has(r->st, "is_sent") && row_int(r->st, "is_from_me", 0) != 0 && row_int(r->st, "is_sent", 0) == 0) {
        wdb_number_field(d, "not-sent", 1);
    }
    wdb_field(d, "direction", row_int(r->st, "is_from_me", 0) != 0 ? KLUIS_STR_LIT("outgoing") : KLUIS_STR_LIT("incoming"));
    const struct kluis_str reply = row_text(r->st, "thread_originator_guid");
    if (reply.len > 0) {
        target(r->s, reply);
        wdb_field(d, "target-part", row_text(r->st, "thread_originator_part"));
    }
}

/* The text that a part was sent with; absent: none is kept. */
static struct kluis_str first_text(struct im *s, const struct im_part *p)
{
    return p->n > 0 && typed_read(p->version[0].body, s->typed, s->old) ? s->old->text : (struct kluis_str){ NULL, 0 };
}

static kluis_status plain(struct row *r, int64_t id, const struct im_summary *y, struct kluis_err *err)
{
    struct im *s = r->s;
    struct wdb_draft *d = &s->d;
    const struct kluis_bytes body = row_blob(r->st, "attributedBody");
    const struct kluis_str text = row_text(r->st, "text");
    const bool one = y != NULL && y->n_parts == 1 && y->part[0].number == 0 && y->parts <= 1;
    begin(r, KLUIS_MESSAGE, "");
    sent(r, r->us);
    const bool typed = typed_read(body, s->typed, s->text);
    const struct kluis_str first = one ? first_text(s, &y->part[0]) : (struct kluis_str){ NULL, 0 };
    if (first.ptr != NULL) {
        wdb_text(d, first);
    } else {
        put_text(s, text, typed ? s->text : NULL);
        for (size_t i = 0; y != NULL && i < y->n_parts; i++) { /* of a part among several */
            char name[40];
            (void)snprintf(name, sizeof name, "part.%lld.original", (long long)y->part[i].number);
            wdb_field(d, name, first_text(s, &y->part[i]));
        }
    }
    if (y != NULL && (y->n_parts > 0 || y->n_unsent > 0)) { wdb_time(d, "edited", time_of(r->st, "date_edited")); }
    if (y != NULL && y->more) { wdb_loss(d, "edits-beyond-32"); }
    if (y == NULL && time_of(r->st, "date_edited") != KLUIS_TIME_ABSENT) {
        wdb_time(d, "edited", time_of(r->st, "date_edited"));
        wdb_loss(d, "edit-history");
    }
    facts(r);
    KLUIS_TRY(attachments(s, id, err));
    if (row_has(r->st, "balloon_bundle_id") && row_has(r->st, "payload_data")) { wdb_loss(d, "app-content"); }
    if (d->r.text.ptr == NULL && d->r.n_attachments == 0 && !row_has(r->st, "balloon_bundle_id")) { wdb_loss(d, "content-unknown"); }
    return wdb_send(d, err);
}

static kluis_status edits(struct row *r, const struct im_summary *y, struct kluis_err *err)
{
    struct im *s = r->s;
    struct wdb_draft *d = &s->d;
    for (size_t i = 0; i < y->n_parts; i++) {
        for (size_t k = 1; k < y->part[i].n; k++) {
            char suffix[64];
            (void)snprintf(suffix, sizeof suffix, ":edit:%lld:%zu", (long long)y->part[i].number, k);
            kluis_arena_clear(s->typed);
            begin(r, KLUIS_EDIT, suffix);
            wdb_sent(d, y->part[i].version[k].us);
            if (typed_read(y->part[i].version[k].body, s->typed, s->old)) {
                put_text(s, (struct kluis_str){ NULL, 0 }, s->old);
            } else {
                wdb_loss(d, "content-unknown");
            }
            d->r.target = wdb_keep(d, r->guid);
            d->r.target_author = r->author;
            if (r->us != KLUIS_TIME_ABSENT) { d->r.target_sent.us = r->us - (r->us % 1000 + 1000) % 1000; }
            wdb_number_field(d, "part", y->part[i].number);
            KLUIS_TRY(wdb_send(d, err));
        }
    }
    return KLUIS_OK;
}

static kluis_status deletion(struct row *r, const char *suffix, int64_t us, uint32_t by, int64_t part, bool recoverable, struct kluis_err *err)
{
    struct wdb_draft *d = &r->s->d;
    begin(r, KLUIS_DELETION, suffix);
    d->r.author = by;
    d->r.target = wdb_keep(d, r->guid);
    d->r.target_author = r->author;
    if (r->us != KLUIS_TIME_ABSENT) { d->r.target_sent.us = r->us - (r->us % 1000 + 1000) % 1000; }
    if (us == KLUIS_TIME_ABSENT) { wdb_loss(d, "time-of-deletion"); }
    wdb_sent(d, us != KLUIS_TIME_ABSENT ? us : r->us);
    if (part >= 0) { wdb_number_field(d, "part", part); }
    if (recoverable) {
        wdb_number_field(d, "recoverable", 1);
    } else {
        wdb_loss(d, "deleted-content");
    }
    return wdb_send(d, err);
}

static kluis_status ordinary(struct row *r, int64_t id, int64_t deleted_us, struct kluis_err *err)
{
    struct im *s = r->s;
    const struct kluis_bytes info = row_blob(r->st, "message_summary_info");
    const struct im_summary *y = im_summary_read(info, s->summary) ? s->summary : NULL;
    int64_t retracted = time_of(r->st, "date_retracted");
    kluis_status rc = KLUIS_OK;
    if (retracted == KLUIS_TIME_ABSENT) { retracted = time_of(r->st, "date_edited"); }
    const bool empty = row_text(r->st, "text").len == 0 && row_blob(r->st, "attributedBody").len == 0;
    const bool gone = y != NULL && y->n_unsent > 0 && empty && y->n_parts == 0; /* nothing of it is left */
    if (!gone) { rc = plain(r, id, y, err); }
    if (rc == KLUIS_OK && y != NULL) { rc = edits(r, y, err); }
    for (size_t i = 0; rc == KLUIS_OK && y != NULL && i < y->n_unsent; i++) {
        char suffix[48];
        if (i > 0 && y->unsent[i] == y->unsent[i - 1]) { continue; }
        (void)snprintf(suffix, sizeof suffix, ":unsent:%lld", (long long)y->unsent[i]);
        rc = deletion(r, suffix, retracted, r->author, y->unsent[i], false, err);
    }
    /* Before parts could be unsent one by one. */
    if (rc == KLUIS_OK && time_of(r->st, "date_retracted") != KLUIS_TIME_ABSENT && (y == NULL || y->n_unsent == 0)) {
        rc = deletion(r, ":unsent", retracted, r->author, -1, false, err);
    }
    im_summary_free(s->summary);
    if (rc == KLUIS_OK && deleted_us != KLUIS_TIME_ABSENT) { rc = deletion(r, ":deleted", deleted_us, s->self, -1, true, err); }
    return rc;
}

static kluis_status unreadable(struct im *s, int64_t id, struct kluis_err *err)
{
    wdb_new(&s->d, KLUIS_GAP);
    s->d.r.event = KLUIS_STR_LIT("source-damaged");
    wdb_field(&s->d, "table", KLUIS_STR_LIT("message"));
    wdb_number_field(&s->d, "row", id);
    return wdb_send(&s->d, err);
}

kluis_status im_message(struct im *s, int64_t id, int64_t deleted_us, struct kluis_err *err)
{
    struct row r = { .s = s };
    struct kluis_err why = { 0 };
    char guid[256];
    kluis_status rc = kluis_db_query(s->db, &r.st, &why, "SELECT * FROM message WHERE ROWID=?1", "i", id);
    if (rc == KLUIS_OK) { rc = kluis_db_step(s->db, r.st, &why); }
    if (rc == KLUIS_E_CORRUPT || rc == KLUIS_END) { return unreadable(s, id, err); }
    if (rc != KLUIS_OK) {
        if (err != NULL) { *err = why; }
        return rc;
    }
    const struct kluis_str own = row_text(r.st, "guid");
    if (own.len > 0 && own.len <= 200) {
        r.guid = own;
    } else {
        (void)snprintf(guid, sizeof guid, "row-%lld", (long long)id);
        r.guid = kluis_str_of(guid);
    }
    kluis_arena_clear(s->typed);
    r.us = time_of(r.st, "date");
    r.author = author_of(s, r.st);
    const int64_t type = row_int(r.st, "associated_message_type", 0), item = row_int(r.st, "item_type", 0);
    if ((type >= TAPBACK && type <= TAPBACK_LAST) || (type >= UNTAPBACK && type <= UNTAPBACK_LAST)) {
        rc = reaction(&r, type, err);
    } else if (item != 0) {
        rc = event(&r, item, err);
    } else {
        rc = ordinary(&r, id, deleted_us, err);
    }
    kluis_db_done(r.st);
    return rc;
}
