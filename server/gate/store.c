/* store.c - gate.db: schema, devices, uploads, the queue for the vault, expiry. */
#include "server/gate/store_internal.h"

#include <sqlite3.h>

/* Numbers of the queue are never used twice (AUTOINCREMENT): the vault names what it is done with by them. */
static const char *const SCHEMA[] = {
    "CREATE TABLE device(id TEXT PRIMARY KEY, spki BLOB NOT NULL, state INTEGER NOT NULL, otk_day INTEGER NOT NULL DEFAULT 0,"
    " otk_count INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;"
    "CREATE TABLE upload(id BLOB PRIMARY KEY, device TEXT NOT NULL, length INTEGER NOT NULL, offset INTEGER NOT NULL, touched INTEGER NOT NULL);"
    "CREATE INDEX upload_device ON upload(device);"
    "CREATE TABLE queue(number INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL, device TEXT, message BLOB UNIQUE, upload BLOB,"
    " length INTEGER NOT NULL DEFAULT 0, ticket TEXT, body BLOB NOT NULL, at INTEGER NOT NULL);"
    "CREATE INDEX queue_upload ON queue(upload) WHERE upload IS NOT NULL;"
    "CREATE INDEX queue_device ON queue(device) WHERE device IS NOT NULL;"
    "CREATE TABLE enrol(ticket TEXT PRIMARY KEY, hash BLOB NOT NULL UNIQUE, reply BLOB, at INTEGER NOT NULL);"
    "CREATE TABLE bundle(one INTEGER PRIMARY KEY CHECK(one = 1), epoch INTEGER NOT NULL, expiry INTEGER NOT NULL, bundle BLOB NOT NULL, seal BLOB "
    "NOT NULL);"
    "CREATE TABLE prekey(id INTEGER PRIMARY KEY, key BLOB);" /* key NULL: handed out, never again */
    "CREATE INDEX prekey_left ON prekey(id) WHERE key IS NOT NULL;"
    "CREATE TABLE outbox(number INTEGER PRIMARY KEY AUTOINCREMENT, message BLOB NOT NULL UNIQUE, device TEXT NOT NULL, tree INTEGER NOT NULL,"
    " body BLOB, taken INTEGER);" /* body NULL: taken; the row stays a while so that a repeat changes nothing */
    "CREATE INDEX outbox_device ON outbox(device, number) WHERE body IS NOT NULL;"
    "CREATE INDEX outbox_tree ON outbox(tree) WHERE body IS NOT NULL;"
    "CREATE TABLE leaf(number INTEGER PRIMARY KEY, data BLOB NOT NULL);"
    "CREATE TABLE node(level INTEGER NOT NULL, number INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY(level, number)) WITHOUT ROWID;"
    "CREATE TABLE mirror(one INTEGER PRIMARY KEY CHECK(one = 1), tree BLOB NOT NULL, covered BLOB NOT NULL, checkpoint BLOB, seal BLOB);",
    "CREATE TABLE journal(number INTEGER PRIMARY KEY, entry BLOB NOT NULL);",
};
enum { DAY_S = 86400, REPLY_DAYS = 2, TAKEN_DAYS = 30 };

kluis_status gate_store_open(struct gate_store **out, const char *path, const struct gate_limits *limits, const char *log_vkey, struct kluis_err *err)
{
    *out = NULL;
    struct gate_store *s = kluis_calloc(1, sizeof *s);
    if (s == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory for the gate's database"); }
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_mutex_init(&s->sync_lock, NULL);
    s->log_fd = -1;
    s->limits = *limits;
    kluis_status rc = KLUIS_OK;
    if (log_vkey != NULL && (size_t)snprintf(s->log_vkey, sizeof s->log_vkey, "%s", log_vkey) >= sizeof s->log_vkey) {
        rc = KLUIS_FAIL(err, KLUIS_E_USAGE, "the log's vkey is too long");
    }
    if (rc == KLUIS_OK) { rc = kluis_db_open(&s->db, path, KLUIS_DB_NORMAL, SCHEMA, sizeof SCHEMA / sizeof SCHEMA[0], err); }
    if (rc == KLUIS_OK) { rc = gate_count(s, "SELECT count(*) FROM queue WHERE kind = 2", &s->queued, err); }
    if (rc == KLUIS_OK) { rc = gate_count(s, "SELECT count(*) FROM outbox WHERE body IS NOT NULL", &s->outbox, err); }
    if (rc == KLUIS_OK) { rc = gate_count(s, "SELECT coalesce(max(epoch), 0) FROM bundle", &s->epoch, err); }
    if (rc == KLUIS_OK) { rc = gate_mirror_load(s, err); }
    if (rc == KLUIS_OK) { rc = gate_log_open(s, path, err); }
    if (rc != KLUIS_OK) {
        gate_store_free(s);
        return rc;
    }
    *out = s;
    return KLUIS_OK;
}

void gate_store_free(struct gate_store *s)
{
    if (s == NULL) { return; }
    kluis_db_free(s->db);
    kluis_close_quiet(&s->log_fd);
    (void)pthread_mutex_destroy(&s->sync_lock);
    (void)pthread_mutex_destroy(&s->lock);
    kluis_free(s);
}

kluis_status gate_store_status(struct gate_store *s, struct gate_status *out, struct kluis_err *err)
{
    gate_lock(s);
    out->queued = s->queued;
    out->outbox = s->outbox;
    out->mirror = s->covered.size;
    kluis_status rc = gate_count(s, "SELECT count(*) FROM upload", &out->uploads, err);
    if (rc == KLUIS_OK) { rc = gate_count(s, "SELECT count(*) FROM enrol WHERE reply IS NULL", &out->enrolments, err); }
    if (rc == KLUIS_OK) { rc = gate_count(s, "SELECT count(*) FROM prekey WHERE key IS NOT NULL", &out->prekeys, err); }
    gate_unlock(s);
    return rc;
}

/* ---- devices ---------------------------------------------------------------------------------- */

kluis_status gate_store_device_put(struct gate_store *s, const char *id, struct kluis_bytes spki, uint32_t state, struct kluis_err *err)
{
    if (spki.len == 0 || spki.len > GATE_SPKI_MAX || (state != GATE_DEVICE_ACTIVE && state != GATE_DEVICE_SUSPENDED)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "the device's key or state is not one");
    }
    KLUIS_TRY(gate_tx_begin(s, err));
    kluis_status rc = kluis_db_run(
        s->db, NULL, err,
        "INSERT INTO device(id, spki, state) VALUES(?1, ?2, ?3) ON CONFLICT(id) DO UPDATE SET spki = excluded.spki, state = excluded.state", "sbi",
        id, spki, (int64_t)state);
    return gate_tx_end(s, rc, "gate.device.commit", err);
}

kluis_status gate_store_device_get(struct gate_store *s, const char *id, struct gate_device *out, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    gate_lock(s);
    kluis_status rc = kluis_db_query(s->db, &st, err, "SELECT spki, state FROM device WHERE id = ?1", "s", id);
    if (rc == KLUIS_OK) { rc = kluis_db_step(s->db, st, err); }
    if (rc == KLUIS_OK) {
        struct kluis_bytes spki = kluis_db_blob(st, 0);
        if (spki.ptr == NULL || spki.len > sizeof out->spki) {
            rc = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a device's row in gate.db is damaged");
        } else {
            memcpy(out->spki, spki.ptr, spki.len);
            out->spki_len = spki.len;
            out->state = (uint32_t)kluis_db_int(st, 1);
        }
    }
    kluis_db_done(st);
    gate_unlock(s);
    return rc == KLUIS_END ? KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "no such device") : rc;
}

/* ---- uploads ---------------------------------------------------------------------------------- */

static kluis_status upload_row(struct gate_store *s, const uint8_t id[16], const char *device_or_null, struct gate_upload *out, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(s->db, &st, err, "SELECT device, offset, length FROM upload WHERE id = ?1", "b", gate_id_bytes(id)));
    kluis_status rc = kluis_db_step(s->db, st, err);
    if (rc == KLUIS_OK) {
        out->offset = (uint64_t)kluis_db_int(st, 1);
        out->length = (uint64_t)kluis_db_int(st, 2);
        if (device_or_null != NULL && !kluis_str_is(kluis_db_text(st, 0), device_or_null)) {
            rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "this upload id belongs to another device; make a new one");
        }
    }
    kluis_db_done(st);
    return rc == KLUIS_END ? KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "no such upload") : rc;
}

kluis_status gate_store_upload_get(struct gate_store *s, const uint8_t id[16], const char *device, struct gate_upload *out, struct kluis_err *err)
{
    gate_lock(s);
    kluis_status rc = upload_row(s, id, device, out, err);
    gate_unlock(s);
    return rc;
}

kluis_status gate_store_upload_length(struct gate_store *s, const uint8_t id[16], uint64_t *length, struct kluis_err *err)
{
    struct gate_upload u = { 0 };
    gate_lock(s);
    kluis_status rc = upload_row(s, id, NULL, &u, err);
    gate_unlock(s);
    if (rc == KLUIS_OK && u.offset != u.length) { rc = KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "the upload is not complete"); }
    *length = u.length;
    return rc;
}

kluis_status gate_store_upload_known(struct gate_store *s, const uint8_t id[16], bool *known, struct kluis_err *err)
{
    struct gate_upload u = { 0 };
    gate_lock(s);
    kluis_status rc = upload_row(s, id, NULL, &u, NULL);
    gate_unlock(s);
    *known = rc == KLUIS_OK;
    if (rc == KLUIS_OK || rc == KLUIS_E_NOTFOUND) { return KLUIS_OK; }
    return KLUIS_FAIL(err, rc, "cannot read the uploads of gate.db");
}

/* In progress: everything of the device that no queued message names. */
static kluis_status upload_room(struct gate_store *s, const char *device, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(s->db, &st, err,
                             "SELECT count(*) FROM upload WHERE device = ?1 AND NOT EXISTS(SELECT 1 FROM queue WHERE queue.upload = upload.id)", "s",
                             device));
    kluis_status rc = kluis_db_step(s->db, st, err);
    int64_t n = rc == KLUIS_OK ? kluis_db_int(st, 0) : 0;
    kluis_db_done(st);
    if (rc != KLUIS_OK) { return rc; }
    if (n >= (int64_t)s->limits.uploads_per_device) {
        return KLUIS_FAIL(err, KLUIS_E_BUSY, "%lld uploads of this device are in progress: finish one first", (long long)n);
    }
    return KLUIS_OK;
}

kluis_status gate_store_upload_room(struct gate_store *s, const char *device, struct kluis_err *err)
{
    gate_lock(s);
    kluis_status rc = upload_room(s, device, err);
    gate_unlock(s);
    return rc;
}

static kluis_status upload_advance(struct gate_store *s, const uint8_t id[16], const char *device, uint64_t length, uint64_t from, uint64_t to,
                                   int64_t now_us, struct kluis_err *err)
{
    struct gate_upload u = { 0 };
    kluis_status rc = upload_row(s, id, device, &u, from == 0 ? NULL : err);
    if (rc == KLUIS_E_NOTFOUND && from == 0) {
        KLUIS_TRY(upload_room(s, device, err));
        return kluis_db_run(s->db, NULL, err, "INSERT INTO upload(id, device, length, offset, touched) VALUES(?1, ?2, ?3, ?4, ?5)", "bsiii",
                            gate_id_bytes(id), device, (int64_t)length, (int64_t)to, now_us);
    }
    if (rc != KLUIS_OK) { return KLUIS_FAIL(err, rc, "this upload id belongs to another device, or cannot be read"); }
    if (u.offset != from || u.length != length) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "the upload stands at %llu of %llu: go on from there", (unsigned long long)u.offset,
                          (unsigned long long)u.length);
    }
    return kluis_db_run(s->db, NULL, err, "UPDATE upload SET offset = ?2, touched = ?3 WHERE id = ?1", "bii", gate_id_bytes(id), (int64_t)to, now_us);
}

kluis_status gate_store_upload_advance(struct gate_store *s, const uint8_t id[16], const char *device, uint64_t length, uint64_t from, uint64_t to,
                                       int64_t now_us, struct kluis_err *err)
{
    KLUIS_TRY(gate_tx_begin(s, err));
    kluis_status rc = upload_advance(s, id, device, length, from, to, now_us, err);
    return gate_tx_end(s, rc, "gate.upload.offset", err);
}

static kluis_status uploads_keep(struct gate_store *s, kluis_status (*judge)(void *, const uint8_t *, uint64_t, bool *, struct kluis_err *),
                                 void *ctx, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_AUTO_BUF(gone, 64 << 20);
    KLUIS_TRY(
        kluis_db_query(s->db, &st, err, "SELECT id, offset FROM upload WHERE NOT EXISTS(SELECT 1 FROM queue WHERE queue.upload = upload.id)", ""));
    kluis_status rc = KLUIS_OK;
    while ((rc = kluis_db_step(s->db, st, err)) == KLUIS_OK) {
        uint8_t id[GATE_ID];
        bool drop = false;
        if (!kluis_db_fixed(st, 0, id, sizeof id)) { continue; }
        kluis_status judged = judge(ctx, id, (uint64_t)kluis_db_int(st, 1), &drop, err);
        if (judged != KLUIS_OK) {
            kluis_db_done(st);
            return judged;
        }
        if (drop) { kluis_buf_add(&gone, id, sizeof id); }
    }
    if (rc != KLUIS_END) { return rc; }
    KLUIS_TRY(kluis_buf_ok(&gone, err));
    for (size_t at = 0; at + GATE_ID <= gone.len; at += GATE_ID) {
        KLUIS_TRY(kluis_db_run(s->db, NULL, err, "DELETE FROM upload WHERE id = ?1", "b", gate_id_bytes(gone.data + at)));
    }
    return KLUIS_OK;
}

kluis_status gate_store_uploads_keep(struct gate_store *s, kluis_status (*judge)(void *, const uint8_t *, uint64_t, bool *, struct kluis_err *),
                                     void *ctx, struct kluis_err *err)
{
    KLUIS_TRY(gate_tx_begin(s, err));
    return gate_tx_end(s, uploads_keep(s, judge, ctx, err), "gate.upload.kept", err);
}

/* ---- the queue for the vault ------------------------------------------------------------------ */

/* KLUIS_END: no such message. */
static kluis_status message_same(struct gate_store *s, const uint8_t id[16], const char *device, const uint8_t *upload, struct kluis_bytes body,
                                 struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(s->db, &st, err, "SELECT device, upload, body FROM queue WHERE message = ?1", "b", gate_id_bytes(id)));
    kluis_status rc = kluis_db_step(s->db, st, err);
    if (rc == KLUIS_OK) {
        struct kluis_bytes had = kluis_db_blob(st, 2);
        struct kluis_bytes with = kluis_db_blob(st, 1);
        bool same_upload = upload == NULL ? with.ptr == NULL : with.ptr != NULL && with.len == GATE_ID && memcmp(with.ptr, upload, GATE_ID) == 0;
        bool same = same_upload && had.ptr != NULL && had.len == body.len && (body.len == 0 || memcmp(had.ptr, body.ptr, body.len) == 0) &&
                    kluis_str_is(kluis_db_text(st, 0), device);
        rc = same ? KLUIS_E_EXISTS : KLUIS_FAIL(err, KLUIS_E_REJECT, "this message id is taken by another message; make a new one");
    }
    kluis_db_done(st);
    return rc;
}

static kluis_status message_put(struct gate_store *s, const uint8_t id[16], const char *device, const uint8_t *upload, struct kluis_bytes body,
                                int64_t now_us, struct kluis_err *err)
{
    kluis_status rc = message_same(s, id, device, upload, body, err);
    if (rc != KLUIS_END) { return rc; }
    struct gate_upload u = { 0 };
    if (upload != NULL) {
        rc = upload_row(s, upload, device, &u, NULL);
        if (rc == KLUIS_E_NOTFOUND || rc == KLUIS_E_REJECT || (rc == KLUIS_OK && u.offset != u.length)) {
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "the upload of this message is not complete: send the rest first");
        }
        if (rc != KLUIS_OK) { return KLUIS_FAIL(err, rc, "cannot read the uploads of gate.db"); }
    }
    if (s->queued >= s->limits.queue) { return KLUIS_FAIL(err, KLUIS_E_BUSY, "too many messages wait for the vault: try again later"); }
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(s->db, &st, err, "SELECT count(*) FROM queue WHERE device = ?1", "s", device));
    rc = kluis_db_step(s->db, st, err);
    bool room = rc == KLUIS_OK && kluis_db_int(st, 0) < (int64_t)s->limits.queue_per_device;
    kluis_db_done(st);
    KLUIS_TRY(rc);
    if (!room) { return KLUIS_FAIL(err, KLUIS_E_BUSY, "too many messages of this device wait for the vault: try again later"); }
    return kluis_db_run(s->db, NULL, err, "INSERT INTO queue(kind, device, message, upload, length, body, at) VALUES(2, ?1, ?2, ?3, ?4, ?5, ?6)",
                        "sbbibi", device, gate_id_bytes(id), (struct kluis_bytes){ upload, upload == NULL ? 0 : GATE_ID }, (int64_t)u.length, body,
                        now_us);
}

kluis_status gate_store_message_put(struct gate_store *s, const uint8_t id[16], const char *device, const uint8_t *upload, struct kluis_bytes body,
                                    int64_t now_us, struct kluis_err *err)
{
    KLUIS_TRY(gate_tx_begin(s, err));
    kluis_status rc = message_put(s, id, device, upload, body, now_us, err);
    if (rc == KLUIS_OK) { s->queued++; } /* under the lock; taken back below when the commit fails */
    bool counted = rc == KLUIS_OK;
    rc = gate_tx_end(s, rc, "gate.message.commit", err);
    if (counted && rc != KLUIS_OK) {
        gate_lock(s);
        s->queued--;
        gate_unlock(s);
    }
    return rc;
}

kluis_status gate_store_next(struct gate_store *s, uint64_t after, struct kluis_buf *out, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    size_t items = 0;
    gate_lock(s);
    kluis_status rc = kluis_db_query(
        s->db, &st, err, "SELECT number, kind, ticket, device, message, upload, length, body FROM queue WHERE number > ?1 ORDER BY number LIMIT 64",
        "i", (int64_t)after);
    kluis_wire_label(out, "chatkluis-next-v1");
    while (rc == KLUIS_OK && out->len < GATE_BATCH_BYTES) {
        rc = kluis_db_step(s->db, st, err);
        if (rc != KLUIS_OK) { break; }
        uint32_t kind = (uint32_t)kluis_db_int(st, 1);
        struct kluis_bytes body = kluis_db_blob(st, 7);
        kluis_wire_u64(out, (uint64_t)kluis_db_int(st, 0));
        kluis_wire_u32(out, kind);
        if (kind == 1) {
            kluis_wire_str(out, kluis_db_text(st, 2));
        } else {
            struct kluis_bytes message = kluis_db_blob(st, 4);
            struct kluis_bytes upload = kluis_db_blob(st, 5);
            kluis_wire_str(out, kluis_db_text(st, 3));
            kluis_wire_field(out, message.ptr, message.len);
            kluis_wire_field(out, upload.ptr, upload.len);
            kluis_wire_u64(out, (uint64_t)kluis_db_int(st, 6));
        }
        kluis_wire_field(out, body.ptr, body.len);
        items++;
    }
    kluis_db_done(st);
    gate_unlock(s);
    if (rc != KLUIS_OK && rc != KLUIS_END) { return rc; }
    KLUIS_TRY(kluis_buf_ok(out, err));
    return items == 0 ? KLUIS_END : KLUIS_OK;
}

/* Takes one row out; the upload goes too when no other message names it. */
static kluis_status done_one(struct gate_store *s, uint64_t number, uint64_t *messages, struct kluis_buf *freed, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    uint8_t upload[GATE_ID];
    KLUIS_TRY(kluis_db_query(s->db, &st, err, "SELECT kind, upload FROM queue WHERE number = ?1", "i", (int64_t)number));
    kluis_status rc = kluis_db_step(s->db, st, err);
    bool message = rc == KLUIS_OK && kluis_db_int(st, 0) == 2;
    bool has_upload = rc == KLUIS_OK && kluis_db_fixed(st, 1, upload, sizeof upload);
    kluis_db_done(st);
    if (rc == KLUIS_END) { return KLUIS_OK; } /* done before */
    KLUIS_TRY(rc);
    KLUIS_TRY(kluis_db_run(s->db, NULL, err, "DELETE FROM queue WHERE number = ?1", "i", (int64_t)number));
    if (message) { (*messages)++; }
    if (!has_upload) { return KLUIS_OK; }
    int64_t gone = 0;
    KLUIS_TRY(kluis_db_run(s->db, &gone, err, "DELETE FROM upload WHERE id = ?1 AND NOT EXISTS(SELECT 1 FROM queue WHERE upload = ?1)", "b",
                           gate_id_bytes(upload)));
    if (gone > 0) { kluis_buf_add(freed, upload, sizeof upload); }
    return KLUIS_OK;
}

kluis_status gate_store_done(struct gate_store *s, struct kluis_bytes body, struct kluis_buf *freed, struct kluis_err *err)
{
    struct kluis_wire check = kluis_wire_open(body);
    (void)kluis_wire_is(&check, "chatkluis-done-v1");
    while (kluis_wire_more(&check)) {
        if (kluis_wire_get_u64(&check) > INT64_MAX) { check.bad = true; }
        if (check.bad) { break; }
    }
    KLUIS_TRY(kluis_wire_end(&check, "done", err));

    KLUIS_TRY(gate_tx_begin(s, err));
    kluis_status rc = KLUIS_OK;
    uint64_t messages = 0;
    struct kluis_wire w = kluis_wire_open(body);
    (void)kluis_wire_is(&w, "chatkluis-done-v1");
    while (rc == KLUIS_OK && kluis_wire_more(&w)) { rc = done_one(s, kluis_wire_get_u64(&w), &messages, freed, err); }
    if (rc == KLUIS_OK) { rc = kluis_buf_ok(freed, err); }
    if (rc != KLUIS_OK || messages > s->queued) { messages = 0; }
    s->queued -= messages;
    rc = gate_tx_end(s, rc, "gate.done.commit", err);
    if (rc != KLUIS_OK) {
        gate_lock(s);
        s->queued += messages;
        gate_unlock(s);
    }
    return rc;
}

/* ---- time passes ------------------------------------------------------------------------------ */

static kluis_status expire_uploads(struct gate_store *s, int64_t before_us, struct kluis_buf *freed, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(s->db, &st, err,
                             "SELECT id FROM upload WHERE touched < ?1 AND NOT EXISTS(SELECT 1 FROM queue WHERE queue.upload = upload.id) LIMIT 1000",
                             "i", before_us));
    kluis_status rc = KLUIS_OK;
    while ((rc = kluis_db_step(s->db, st, err)) == KLUIS_OK) {
        uint8_t id[GATE_ID];
        if (kluis_db_fixed(st, 0, id, sizeof id)) { kluis_buf_add(freed, id, sizeof id); }
    }
    if (rc != KLUIS_END) { return rc; }
    KLUIS_TRY(kluis_buf_ok(freed, err));
    for (size_t at = 0; at + GATE_ID <= freed->len; at += GATE_ID) {
        KLUIS_TRY(kluis_db_run(s->db, NULL, err, "DELETE FROM upload WHERE id = ?1", "b", gate_id_bytes(freed->data + at)));
    }
    return KLUIS_OK;
}

kluis_status gate_store_expire(struct gate_store *s, int64_t now_us, struct kluis_buf *freed, struct kluis_err *err)
{
    int64_t day_us = (int64_t)DAY_S * 1000000;
    KLUIS_TRY(gate_tx_begin(s, err));
    /* What was noted by a clock that was ahead begins its time now: it would stay for years. */
    static const char *const ahead[] = { "UPDATE upload SET touched = ?1 WHERE touched > ?2", "UPDATE enrol SET at = ?1 WHERE at > ?2",
                                         "UPDATE outbox SET taken = ?1 WHERE taken > ?2" };
    kluis_status rc = KLUIS_OK;
    for (size_t i = 0; i < sizeof ahead / sizeof *ahead && rc == KLUIS_OK; i++) {
        rc = kluis_db_run(s->db, NULL, err, ahead[i], "ii", now_us, now_us + day_us);
    }
    if (rc == KLUIS_OK) { rc = expire_uploads(s, now_us - (int64_t)s->limits.upload_days * day_us, freed, err); }
    /* An enrolment whose code has died, answered or not, and its place in the queue. */
    if (rc == KLUIS_OK) {
        rc = kluis_db_run(s->db, NULL, err, "DELETE FROM queue WHERE kind = 1 AND ticket IN (SELECT ticket FROM enrol WHERE at < ?1)", "i",
                          now_us - REPLY_DAYS * day_us);
    }
    if (rc == KLUIS_OK) { rc = kluis_db_run(s->db, NULL, err, "DELETE FROM enrol WHERE at < ?1", "i", now_us - REPLY_DAYS * day_us); }
    if (rc == KLUIS_OK) { rc = kluis_db_run(s->db, NULL, err, "DELETE FROM outbox WHERE taken < ?1", "i", now_us - TAKEN_DAYS * day_us); }
    return gate_tx_end(s, rc, "gate.expire.commit", err);
}
