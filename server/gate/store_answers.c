/* store_answers.c - what goes back to devices: enrolment replies, prekeys, the outbox. */
#include "server/gate/store_internal.h"

enum { ENROL_ROWS = 4096, OTK_PER_DAY = 32, BUNDLE_MAX = 1024, SEAL_MAX = 1 << 20, PREKEY_LEN = 33, OUTBOX_POST_MAX = 4096 };

/* ---- enrolment -------------------------------------------------------------------------------- */

static kluis_status enrol_put(struct gate_store *s, struct kluis_bytes body, int64_t now_us, char ticket[GATE_ID_TEXT], struct kluis_err *err)
{
    uint8_t hash[KLUIS_SHA256_LEN];
    kluis_sha256_of(body.ptr, body.len, hash);
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(s->db, &st, err, "SELECT ticket FROM enrol WHERE hash = ?1", "h", hash));
    kluis_status rc = kluis_db_step(s->db, st, err);
    bool copied = rc == KLUIS_OK && kluis_db_copy(st, 0, ticket, GATE_ID_TEXT);
    kluis_db_done(st);
    if (rc == KLUIS_OK) { return copied ? KLUIS_E_EXISTS : KLUIS_FAIL(err, KLUIS_E_CORRUPT, "an enrolment's row in gate.db is damaged"); }
    if (rc != KLUIS_END) { return rc; }

    uint64_t waiting = 0;
    uint64_t rows = 0;
    KLUIS_TRY(gate_count(s, "SELECT count(*) FROM enrol WHERE reply IS NULL", &waiting, err));
    KLUIS_TRY(gate_count(s, "SELECT count(*) FROM enrol", &rows, err));
    if (waiting >= s->limits.enrol_waiting || rows >= ENROL_ROWS) {
        return KLUIS_FAIL(err, KLUIS_E_BUSY, "too many enrolments wait: try again later");
    }
    uint8_t random[GATE_ID];
    kluis_random(random, sizeof random);
    kluis_hex(random, sizeof random, ticket);
    KLUIS_TRY(kluis_db_run(s->db, NULL, err, "INSERT INTO enrol(ticket, hash, at) VALUES(?1, ?2, ?3)", "shi", ticket, hash, now_us));
    return kluis_db_run(s->db, NULL, err, "INSERT INTO queue(kind, ticket, body, at) VALUES(1, ?1, ?2, ?3)", "sbi", ticket, body, now_us);
}

kluis_status gate_store_enrol_put(struct gate_store *s, struct kluis_bytes body, int64_t now_us, char ticket[GATE_ID_TEXT], struct kluis_err *err)
{
    KLUIS_TRY(gate_tx_begin(s, err));
    return gate_tx_end(s, enrol_put(s, body, now_us, ticket, err), "gate.enrol.commit", err);
}

/* KLUIS_OK: has a reply, appended; KLUIS_END: not yet. */
static kluis_status enrol_row(struct gate_store *s, const char *ticket, struct kluis_buf *out, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(s->db, &st, err, "SELECT reply FROM enrol WHERE ticket = ?1", "s", ticket));
    kluis_status rc = kluis_db_step(s->db, st, err);
    if (rc == KLUIS_END) { return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "no such enrolment: begin again"); }
    if (rc == KLUIS_OK) {
        struct kluis_bytes reply = kluis_db_blob(st, 0);
        if (reply.ptr == NULL) {
            rc = KLUIS_END;
        } else {
            kluis_buf_add(out, reply.ptr, reply.len);
            rc = kluis_buf_ok(out, err);
        }
    }
    kluis_db_done(st);
    return rc;
}

kluis_status gate_store_enrol_reply(struct gate_store *s, const char *ticket, struct kluis_buf *out, struct kluis_err *err)
{
    gate_lock(s);
    kluis_status rc = enrol_row(s, ticket, out, err);
    gate_unlock(s);
    return rc;
}

static kluis_status enrol_answer(struct gate_store *s, const char *ticket, struct kluis_bytes reply, int64_t now_us, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(had, 1 << 20);
    kluis_status rc = enrol_row(s, ticket, &had, err);
    if (rc == KLUIS_OK) {
        bool same = had.len == reply.len && memcmp(had.data, reply.ptr, reply.len) == 0;
        return same ? KLUIS_E_EXISTS : KLUIS_FAIL(err, KLUIS_E_REJECT, "this enrolment has another answer already");
    }
    if (rc != KLUIS_END) { return rc; }
    return kluis_db_run(s->db, NULL, err, "UPDATE enrol SET reply = ?2, at = ?3 WHERE ticket = ?1", "sbi", ticket, reply, now_us);
}

kluis_status gate_store_enrol_answer(struct gate_store *s, const char *ticket, struct kluis_bytes reply, int64_t now_us, struct kluis_err *err)
{
    if (reply.len == 0) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "an enrolment's answer is not empty"); }
    KLUIS_TRY(gate_tx_begin(s, err));
    return gate_tx_end(s, enrol_answer(s, ticket, reply, now_us, err), "gate.enrolled.commit", err);
}

/* ---- prekeys ---------------------------------------------------------------------------------- */

/* Epoch and expiry of a bundle (§4.1); the rest of it is for the device to judge. */
static kluis_status bundle_head(struct kluis_bytes bundle, uint64_t *epoch, uint64_t *expiry, struct kluis_err *err)
{
    uint8_t skip[64];
    struct kluis_wire w = kluis_wire_open(bundle);
    (void)kluis_wire_is(&w, "chatkluis-prekeys-v1");
    (void)kluis_wire_fixed(&w, skip, PREKEY_LEN);
    (void)kluis_wire_get_u32(&w);
    (void)kluis_wire_get_u32(&w);
    (void)kluis_wire_fixed(&w, skip, PREKEY_LEN);
    (void)kluis_wire_fixed(&w, skip, 64);
    *epoch = kluis_wire_get_u64(&w);
    *expiry = kluis_wire_get_u64(&w);
    KLUIS_TRY(kluis_wire_end(&w, "prekey bundle", err));
    if (*epoch > INT64_MAX || *expiry > INT64_MAX) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "the bundle's epoch or expiry is too large"); }
    return KLUIS_OK;
}

static kluis_status bundle_put(struct gate_store *s, struct kluis_wire w, struct kluis_bytes bundle, struct kluis_bytes seal, uint64_t epoch,
                               uint64_t expiry, uint64_t *left, bool *lower, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(s->db, &st, err, "SELECT epoch, expiry FROM bundle", ""));
    kluis_status rc = kluis_db_step(s->db, st, err);
    uint64_t had_epoch = rc == KLUIS_OK ? (uint64_t)kluis_db_int(st, 0) : 0;
    uint64_t had_expiry = rc == KLUIS_OK ? (uint64_t)kluis_db_int(st, 1) : 0;
    bool had = rc == KLUIS_OK;
    kluis_db_done(st);
    if (rc != KLUIS_OK && rc != KLUIS_END) { return rc; }
    /* A higher epoch is newer whatever it says of its end: a clock that was wrong once must not keep a vault from its devices for years. */
    if (epoch < had_epoch || (epoch == had_epoch && expiry < had_expiry)) {
        *lower = true;
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "a bundle's epoch never goes backwards, nor its expiry within one epoch");
    }
    /* The private halves of an older epoch are lost: none of its prekeys may be handed out any more. */
    if (had && epoch > had_epoch) { KLUIS_TRY(kluis_db_run(s->db, NULL, err, "DELETE FROM prekey", "")); }
    KLUIS_TRY(kluis_db_run(
        s->db, NULL, err,
        "INSERT INTO bundle(one, epoch, expiry, bundle, seal) VALUES(1, ?1, ?2, ?3, ?4) ON CONFLICT(one) DO UPDATE SET epoch = excluded.epoch,"
        " expiry = excluded.expiry, bundle = excluded.bundle, seal = excluded.seal",
        "iibb", (int64_t)epoch, (int64_t)expiry, bundle, seal));
    while (kluis_wire_more(&w)) {
        uint32_t id = kluis_wire_get_u32(&w);
        struct kluis_bytes key = kluis_wire_get(&w, PREKEY_LEN);
        /* A repeat must not bring back a key that was handed out: its row is still there. */
        KLUIS_TRY(kluis_db_run(s->db, NULL, err, "INSERT OR IGNORE INTO prekey(id, key) VALUES(?1, ?2)", "ib", (int64_t)id, key));
    }
    KLUIS_TRY(gate_count(s, "SELECT count(*) FROM prekey WHERE key IS NOT NULL", left, err));
    if (*left > GATE_OTK_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "more than %d prekeys at the gate", GATE_OTK_MAX); }
    return KLUIS_OK;
}

kluis_status gate_store_bundle_put(struct gate_store *s, struct kluis_bytes body, uint64_t *left, bool *lower, struct kluis_err *err)
{
    *lower = false;
    uint64_t epoch = 0;
    uint64_t expiry = 0;
    struct kluis_wire w = kluis_wire_open(body);
    (void)kluis_wire_is(&w, "chatkluis-bundle-publish-v1");
    struct kluis_bytes bundle = kluis_wire_get(&w, BUNDLE_MAX);
    struct kluis_bytes seal = kluis_wire_get(&w, SEAL_MAX);
    struct kluis_wire keys = w;
    while (kluis_wire_more(&w) && !w.bad) {
        uint8_t key[PREKEY_LEN];
        if (kluis_wire_get_u32(&w) == 0 || !kluis_wire_fixed(&w, key, sizeof key)) { w.bad = true; } /* id 0 means "none" to a device */
    }
    KLUIS_TRY(kluis_wire_end(&w, "bundle", err));
    KLUIS_TRY(bundle_head(bundle, &epoch, &expiry, err));
    if (seal.len == 0) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "the bundle has no seal"); }
    KLUIS_TRY(gate_tx_begin(s, err));
    kluis_status rc = gate_tx_end(s, bundle_put(s, keys, bundle, seal, epoch, expiry, left, lower, err), "gate.bundle.commit", err);
    if (rc == KLUIS_OK) {
        gate_lock(s);
        s->epoch = epoch;
        gate_unlock(s);
    }
    return rc;
}

uint64_t gate_store_epoch(struct gate_store *s)
{
    gate_lock(s);
    uint64_t epoch = s->epoch;
    gate_unlock(s);
    return epoch;
}

kluis_status gate_store_prekeys_left(struct gate_store *s, uint64_t *left, struct kluis_err *err)
{
    gate_lock(s);
    kluis_status rc = gate_count(s, "SELECT count(*) FROM prekey WHERE key IS NOT NULL", left, err);
    gate_unlock(s);
    return rc;
}

/* One device must not drain what all need: after its share of a day it gets the bundle without a one-time prekey. */
static kluis_status may_take(struct gate_store *s, const char *device, int64_t day, bool *may, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(s->db, &st, err, "SELECT otk_day, otk_count FROM device WHERE id = ?1", "s", device));
    kluis_status rc = kluis_db_step(s->db, st, err);
    int64_t taken = rc == KLUIS_OK && kluis_db_int(st, 0) == day ? kluis_db_int(st, 1) : 0;
    kluis_db_done(st);
    if (rc != KLUIS_OK) { return rc == KLUIS_END ? KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "no such device") : rc; }
    *may = taken < OTK_PER_DAY;
    if (!*may) { return KLUIS_OK; }
    return kluis_db_run(s->db, NULL, err, "UPDATE device SET otk_day = ?2, otk_count = ?3 WHERE id = ?1", "sii", device, day, taken + 1);
}

static kluis_status bundle_take(struct gate_store *s, const char *device, int64_t now_us, struct kluis_buf *out, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(s->db, &st, err, "SELECT bundle, seal FROM bundle", ""));
    kluis_status rc = kluis_db_step(s->db, st, err);
    if (rc == KLUIS_END) { return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "the vault has not published its keys: try again later"); }
    KLUIS_TRY(rc);
    struct kluis_bytes bundle = kluis_db_blob(st, 0);
    struct kluis_bytes seal = kluis_db_blob(st, 1);
    kluis_wire_label(out, "chatkluis-bundle-v1");
    kluis_wire_field(out, bundle.ptr, bundle.len);
    kluis_wire_field(out, seal.ptr, seal.len);
    kluis_db_done(st);

    bool may = false;
    KLUIS_TRY(may_take(s, device, now_us / ((int64_t)86400 * 1000000), &may, err));
    int64_t id = 0;
    uint8_t key[PREKEY_LEN];
    if (may) {
        KLUIS_TRY(kluis_db_query(s->db, &st, err, "SELECT id, key FROM prekey WHERE key IS NOT NULL ORDER BY id LIMIT 1", ""));
        rc = kluis_db_step(s->db, st, err);
        if (rc == KLUIS_OK && kluis_db_fixed(st, 1, key, sizeof key)) { id = kluis_db_int(st, 0); }
        kluis_db_done(st);
        if (rc != KLUIS_OK && rc != KLUIS_END) { return rc; }
    }
    if (id != 0) { KLUIS_TRY(kluis_db_run(s->db, NULL, err, "UPDATE prekey SET key = NULL WHERE id = ?1", "i", id)); }
    kluis_wire_u32(out, (uint32_t)id);
    kluis_wire_field(out, key, id != 0 ? sizeof key : 0);
    return kluis_buf_ok(out, err);
}

kluis_status gate_store_bundle_take(struct gate_store *s, const char *device, int64_t now_us, struct kluis_buf *out, struct kluis_err *err)
{
    KLUIS_TRY(gate_tx_begin(s, err));
    return gate_tx_end(s, bundle_take(s, device, now_us, out, err), "gate.prekey.handout", err);
}

/* ---- answers for devices ---------------------------------------------------------------------- */

struct answer {
    uint64_t tree;
    char device[GATE_ID_TEXT];
    uint8_t message[GATE_ID];
    struct kluis_bytes body;
};

static bool answer_read(struct kluis_wire *w, struct answer *a)
{
    a->tree = kluis_wire_get_u64(w);
    struct kluis_bytes device = kluis_wire_get(w, GATE_ID_TEXT - 1);
    (void)kluis_wire_fixed(w, a->message, sizeof a->message);
    a->body = kluis_wire_get(w, GATE_ANSWER_MAX);
    uint8_t id[GATE_ID];
    if (w->bad || a->tree > INT64_MAX || a->body.len == 0 || device.len != GATE_ID_TEXT - 1 ||
        !kluis_unhex((struct kluis_str){ (const char *)device.ptr, device.len }, id, sizeof id)) {
        w->bad = true;
        return false;
    }
    memcpy(a->device, device.ptr, device.len);
    a->device[device.len] = '\0';
    return true;
}

static kluis_status outbox_put(struct gate_store *s, struct kluis_wire w, uint64_t *added, struct kluis_buf *wake, struct kluis_err *err)
{
    while (kluis_wire_more(&w)) {
        struct answer a = { 0 };
        if (!answer_read(&w, &a)) { return KLUIS_FAIL(err, KLUIS_E_BUG, "an answer changed while it was read"); }
        if (s->outbox + *added >= s->limits.outbox) { return KLUIS_FAIL(err, KLUIS_E_BUSY, "too many answers wait for devices: try again later"); }
        int64_t changes = 0;
        KLUIS_TRY(kluis_db_run(s->db, &changes, err, "INSERT OR IGNORE INTO outbox(message, device, tree, body) VALUES(?1, ?2, ?3, ?4)", "bsib",
                               gate_id_bytes(a.message), a.device, (int64_t)a.tree, a.body));
        *added += changes > 0 ? 1 : 0;
        if (changes > 0 && a.tree <= s->covered.size) { kluis_buf_add(wake, a.device, GATE_ID_TEXT - 1); }
    }
    return kluis_buf_ok(wake, err);
}

kluis_status gate_store_outbox_put(struct gate_store *s, struct kluis_bytes body, struct kluis_buf *wake, struct kluis_err *err)
{
    struct kluis_wire w = kluis_wire_open(body);
    (void)kluis_wire_is(&w, "chatkluis-outbox-v1");
    struct kluis_wire items = w;
    size_t n = 0;
    struct answer a = { 0 };
    while (kluis_wire_more(&w) && answer_read(&w, &a)) { n++; }
    KLUIS_TRY(kluis_wire_end(&w, "outbox", err));
    if (n > OUTBOX_POST_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "more than %d answers in one request", OUTBOX_POST_MAX); }

    KLUIS_TRY(gate_tx_begin(s, err));
    uint64_t added = 0;
    kluis_status rc = outbox_put(s, items, &added, wake, err);
    s->outbox += added;
    rc = gate_tx_end(s, rc, "gate.outbox.commit", err);
    if (rc != KLUIS_OK) {
        gate_lock(s);
        s->outbox -= added;
        gate_unlock(s);
    }
    return rc;
}

kluis_status gate_store_inbox(struct gate_store *s, const char *device, struct kluis_buf *out, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    size_t items = 0;
    gate_lock(s);
    kluis_status rc = kluis_db_query(
        s->db, &st, err, "SELECT message, body FROM outbox WHERE device = ?1 AND tree <= ?2 AND body IS NOT NULL ORDER BY number LIMIT 64", "si",
        device, (int64_t)s->shown);
    kluis_wire_label(out, "chatkluis-inbox-v1");
    while (rc == KLUIS_OK && out->len < GATE_BATCH_BYTES) {
        rc = kluis_db_step(s->db, st, err);
        if (rc != KLUIS_OK) { break; }
        struct kluis_bytes message = kluis_db_blob(st, 0);
        struct kluis_bytes body = kluis_db_blob(st, 1);
        kluis_wire_field(out, message.ptr, message.len);
        kluis_wire_field(out, body.ptr, body.len);
        items++;
    }
    kluis_db_done(st);
    gate_unlock(s);
    if (rc != KLUIS_OK && rc != KLUIS_END) { return rc; }
    KLUIS_TRY(kluis_buf_ok(out, err));
    return items == 0 ? KLUIS_END : KLUIS_OK;
}

kluis_status gate_store_inbox_delete(struct gate_store *s, const char *device, const uint8_t id[16], int64_t now_us, struct kluis_err *err)
{
    KLUIS_TRY(gate_tx_begin(s, err));
    int64_t taken = 0;
    kluis_status rc =
        kluis_db_run(s->db, &taken, err, "UPDATE outbox SET body = NULL, taken = ?3 WHERE message = ?1 AND device = ?2 AND body IS NOT NULL", "bsi",
                     gate_id_bytes(id), device, now_us);
    uint64_t one = rc == KLUIS_OK && taken > 0 && s->outbox > 0 ? 1 : 0;
    s->outbox -= one;
    rc = gate_tx_end(s, rc, "gate.inbox.commit", err);
    if (rc != KLUIS_OK) {
        gate_lock(s);
        s->outbox += one;
        gate_unlock(s);
    }
    return rc;
}
