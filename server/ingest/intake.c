/* server/ingest/intake.c - pulls from the gate: enrolments at once, messages in groups through download and T1.
 *
 * Order of T1, for a group: every ciphertext on disk under no name; each session message decrypted into a buffer, its ciphertext named;
 * the names on disk; who forked is suspended in the register; then one transaction with session state, used prekeys, inbox rows and wrapped keys.
 * Only then does the gate hear `done`. */
#include "server/ingest/fetch.h"

enum { ITEMS = 64, GROUP = 32, GROUP_BYTES = 64 << 20, NEXT_MAX = 16 << 20, NEXT_WAIT_S = 20, MESSAGE_MAX = 64 << 10 };
#define KEEP_BUNDLE_US ((int64_t)3600 * 1000000)

struct intake {
    struct ingest *in;
    struct link *l;
    bool untold; /* a device was suspended, and the list or the gate may not say so yet; at the start all is told anyway */
};

/* ---- reading what the gate says ---- */

static bool hex_id(struct kluis_bytes b, char out[33])
{
    uint8_t raw[16];
    if (!kluis_unhex((struct kluis_str){ (const char *)b.ptr, b.len }, raw, sizeof raw)) { return false; }
    memcpy(out, b.ptr, 32);
    out[32] = 0;
    return true;
}

static bool read_item(struct kluis_wire *w, struct item *it)
{
    memset(it, 0, sizeof *it);
    it->number = kluis_wire_get_u64(w);
    it->kind = kluis_wire_get_u32(w);
    if (it->kind == 1) {
        bool ok = hex_id(kluis_wire_get(w, 32), it->ticket);
        it->body = kluis_wire_get(w, MESSAGE_MAX);
        return ok && !w->bad;
    }
    if (it->kind != 2) { return false; }
    bool ok = hex_id(kluis_wire_get(w, 32), it->device);
    (void)kluis_wire_fixed(w, it->message, sizeof it->message);
    struct kluis_bytes upload = kluis_wire_get(w, 16);
    it->has_upload = upload.len == 16;
    if (it->has_upload) { memcpy(it->upload, upload.ptr, 16); }
    it->upload_length = kluis_wire_get_u64(w);
    it->body = kluis_wire_get(w, MESSAGE_MAX);
    if (!ok || w->bad || (upload.len != 0 && upload.len != 16)) { return false; }
    kluis_sha256_of(it->body.ptr, it->body.len, it->body_sha256);
    return true;
}

static kluis_status tell_done(struct intake *k, const struct item *items, size_t n, struct kluis_err *err)
{
    struct link_answer a;
    KLUIS_AUTO_BUF(body, 65536);
    size_t count = 0;
    kluis_wire_label(&body, "chatkluis-done-v1");
    for (size_t i = 0; i < n; i++) {
        if (items[i].done) {
            kluis_wire_u64(&body, items[i].number);
            count++;
        }
    }
    if (count == 0) { return KLUIS_OK; }
    KLUIS_TRY(kluis_buf_ok(&body, err));
    KLUIS_TRY(link_call(k->l, "POST", "/vault/v1/done", kluis_buf_bytes(&body), 60, NULL, &a, err));
    return a.status == 204 || a.status == 200 ? KLUIS_OK : LINK_REFUSED(&a, err, "the gate does not take 'done'");
}

/* ---- enrolment ---- */

static kluis_status put_device(struct link *l, const char *id, struct kluis_bytes login_spki, enum reg_device_state state, struct kluis_err *err)
{
    char path[96];
    struct link_answer a;
    KLUIS_AUTO_BUF(body, 4096);
    kluis_wire_label(&body, "chatkluis-device-v1");
    kluis_wire_field(&body, login_spki.ptr, login_spki.len);
    kluis_wire_u32(&body, state == REG_DEVICE_ACTIVE ? 1 : 2);
    KLUIS_TRY(kluis_buf_ok(&body, err));
    (void)snprintf(path, sizeof path, "/vault/v1/device/%s", id);
    KLUIS_TRY(link_call(l, "PUT", path, kluis_buf_bytes(&body), 30, NULL, &a, err));
    return a.status == 204 || a.status == 200 ? KLUIS_OK : LINK_REFUSED(&a, err, "the gate does not take a device");
}

static kluis_status enrolment(struct intake *k, const struct item *it, struct kluis_err *err)
{
    char device[33], path[96];
    struct link_answer a;
    KLUIS_AUTO_BUF(reply, 1 << 20);
    KLUIS_AUTO_BUF(spki, 4096);
    pthread_mutex_lock(k->in->c.reg_lock);
    kluis_status rc = ingest_enrol(k->in->c.reg, k->in->c.keys, it->body, kluis_now_us(), device, &spki, &reply, err);
    pthread_mutex_unlock(k->in->c.reg_lock);
    KLUIS_TRY(rc);
    if (device[0] != 0) {
        /* Before the reply: it may log in at once.  The register's state counts: an old request must not revive a suspended device. */
        struct reg_device dev;
        KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(1 << 20);
        if (arena == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot enrol: out of memory"); }
        pthread_mutex_lock(k->in->c.reg_lock);
        rc = reg_device_get(k->in->c.reg, device, arena, &dev, err);
        pthread_mutex_unlock(k->in->c.reg_lock);
        KLUIS_TRY(rc);
        KLUIS_TRY(put_device(k->l, device, dev.login_spki, dev.state, err));
    }
    /* And before it the gate has it in the journal: a device that was told so is never unknown to a vault that was restored. */
    KLUIS_TRY(journal_push(k->in, k->l, err));
    (void)snprintf(path, sizeof path, "/vault/v1/enrolled/%s", it->ticket);
    KLUIS_TRY(link_call(k->l, "POST", path, kluis_buf_bytes(&reply), 30, NULL, &a, err));
    /* 404: the ticket is gone, nobody waits for this answer; asking again gets it. */
    return a.status == 204 || a.status == 200 || a.status == 404 || a.status == 409 ? KLUIS_OK
                                                                                    : LINK_REFUSED(&a, err, "the gate does not take an enrolment");
}

struct publishing {
    struct link *l;
    bool suspended_only;
};

static kluis_status publish_device(void *ctx, const struct reg_device *d, struct kluis_err *err)
{
    const struct publishing *p = ctx;
    if (p->suspended_only && d->state != REG_DEVICE_SUSPENDED) { return KLUIS_OK; }
    return put_device(p->l, d->id, d->login_spki, d->state, err);
}

/* The gate keeps nothing that the vault could not tell it again. */
static kluis_status publish_devices(struct intake *k, bool suspended_only, struct kluis_err *err)
{
    struct publishing p = { k->l, suspended_only };
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(64 << 20);
    if (arena == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot list devices: out of memory"); }
    pthread_mutex_lock(k->in->c.reg_lock);
    kluis_status rc = reg_devices(k->in->c.reg, arena, &p, publish_device, err);
    pthread_mutex_unlock(k->in->c.reg_lock);
    return rc;
}

/* ---- messages ---- */

/* What one message turned into, before anything is committed. */
enum fate { FATE_DROP, FATE_TAKE, FATE_AGAIN_SAME, FATE_AGAIN_NEW, FATE_REFUSE, FATE_SUSPEND, FATE_HOLDINGS };
struct taking {
    struct item *it;
    enum fate fate;
    struct custody_delivery d, known;
    bool opened; /* its message key is used: it is remembered whatever became of it */
    char layer[32], reason[KLUIS_ERR_MSG];
    char official[CUSTODY_OFFICIAL]; /* the device's */
    struct kluis_buf body;           /* of an answer that is made here; of holdings, as they came */
};

static enum fate refuse(struct taking *t, const char *reason)
{
    (void)snprintf(t->layer, sizeof t->layer, "%s", LAYER_DELIVERY);
    (void)snprintf(t->reason, sizeof t->reason, "%s", reason);
    return FATE_REFUSE;
}

static enum fate drop(const struct taking *t, const char *why)
{
    kluis_log(KLUIS_LOG_WARN, "message.dropped", "device=%s reason=%s", t->it->device, why);
    return FATE_DROP;
}

static enum fate fork_seen(struct taking *t, const char *why)
{
    (void)snprintf(t->reason, sizeof t->reason, "%s", why);
    return FATE_SUSPEND;
}

/* A device's chain: its numbers are used once, and each package names the one before. */
static kluis_status judge_chain(struct ingest *in, struct taking *t, const struct taking *group, size_t before, enum fate *fate,
                                struct kluis_err *err)
{
    struct custody_delivery *d = &t->d, near;
    static const uint8_t zero[32];
    *fate = FATE_TAKE;
    if (d->sequence == 0 || d->sequence > INT64_MAX - 1) {
        *fate = refuse(t, "the delivery has no sequence number");
        return KLUIS_OK;
    }
    /* Deliveries of this group are not in custody yet. */
    for (size_t i = 0; i < before; i++) {
        const struct custody_delivery *o = &group[i].d;
        if (group[i].fate != FATE_TAKE) { continue; }
        bool same = strcmp(o->device, d->device) == 0;
        if (memcmp(o->package, d->package, 32) == 0 && same && o->sequence == d->sequence) {
            *fate = FATE_DROP; /* the first of the two is being taken; its answer comes */
            return KLUIS_OK;
        }
        if (memcmp(o->package, d->package, 32) == 0) {
            *fate = refuse(t, "this package was delivered before, under another number or by another device");
            return KLUIS_OK;
        }
        if (same && (o->sequence == d->sequence || (o->sequence + 1 == d->sequence && memcmp(o->package, d->previous, 32) != 0) ||
                     (d->sequence + 1 == o->sequence && memcmp(d->package, o->previous, 32) != 0))) {
            *fate = fork_seen(t, "two packages of one number");
            return KLUIS_OK;
        }
    }
    kluis_status rc = custody_inbox_by_sequence(in->c.custody, d->device, d->sequence, &t->known, err);
    if (rc == KLUIS_OK) {
        *fate = memcmp(t->known.package, d->package, 32) == 0 ? FATE_AGAIN_NEW : fork_seen(t, "other content under a used number");
        return KLUIS_OK;
    }
    if (rc == KLUIS_E_NOTFOUND && (rc = custody_inbox_by_package(in->c.custody, d->package, &near, err)) == KLUIS_OK) {
        *fate = refuse(t, "this package was delivered before, under another number or by another device");
        return KLUIS_OK;
    }
    if (rc == KLUIS_E_NOTFOUND && d->sequence == 1) {
        if (memcmp(d->previous, zero, 32) != 0) {
            *fate = refuse(t, "the first package names one before it");
            return KLUIS_OK;
        }
    } else if (rc == KLUIS_E_NOTFOUND && (rc = custody_inbox_by_sequence(in->c.custody, d->device, d->sequence - 1, &near, err)) == KLUIS_OK) {
        if (memcmp(near.package, d->previous, 32) != 0) {
            *fate = fork_seen(t, "the package before is another one");
            return KLUIS_OK;
        }
        rc = KLUIS_E_NOTFOUND;
    }
    if (rc == KLUIS_E_NOTFOUND && (rc = custody_inbox_by_sequence(in->c.custody, d->device, d->sequence + 1, &near, err)) == KLUIS_OK) {
        *fate = memcmp(near.previous, d->package, 32) == 0 ? FATE_TAKE : fork_seen(t, "the package after names another one");
        return KLUIS_OK;
    }
    return rc == KLUIS_E_NOTFOUND ? KLUIS_OK : rc;
}

/* Of a package that comes again because the vault was set back the ledger knows when it came first. */
static kluis_status first_arrival(struct ingest *in, struct custody_delivery *d, struct kluis_err *err)
{
    uint64_t index;
    struct kluis_leaf leaf;
    KLUIS_AUTO_BUF(text, KLUIS_LEAF_MAX);
    kluis_status rc = custody_awaited_get(in->c.custody, d->package, &index, err);
    if (rc == KLUIS_E_NOTFOUND) { return KLUIS_OK; }
    KLUIS_TRY(rc);
    KLUIS_TRY(custody_leaf_get(in->c.custody, index, &text, err));
    KLUIS_TRY(kluis_leaf_read((struct kluis_str){ (const char *)text.data, text.len }, &leaf, err));
    d->received_us = leaf.received_us;
    return KLUIS_OK;
}

/* Decrypts and decides.  Statuses other than OK are local: the group is given up and tried again. */
static kluis_status take_one(struct intake *k, struct taking *group, size_t at, struct kluis_err *err)
{
    struct ingest *in = k->in;
    struct taking *t = &group[at];
    struct item *it = t->it;
    struct reg_device dev;
    struct kluis_delivery del;
    uint32_t used = 0;
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(1 << 20);
    KLUIS_AUTO(kluis_session) s = NULL;
    KLUIS_AUTO_BUF(plain, MESSAGE_MAX);
    t->fate = FATE_DROP;
    if (arena == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot take a message: out of memory"); }
    pthread_mutex_lock(in->c.reg_lock);
    kluis_status rc = reg_device_get(in->c.reg, it->device, arena, &dev, err);
    pthread_mutex_unlock(in->c.reg_lock);
    if (rc == KLUIS_E_NOTFOUND) {
        t->fate = drop(t, "unknown-device");
        kluis_err_clear(err);
        return KLUIS_OK;
    }
    KLUIS_TRY(rc);
    rc = custody_inbox_by_message(in->c.custody, it->device, it->message, it->body_sha256, &t->known, err);
    if (rc == KLUIS_OK) {
        t->fate = FATE_AGAIN_SAME;
        return KLUIS_OK;
    }
    if (rc == KLUIS_E_NOTFOUND &&
        (rc = custody_handled_get(in->c.custody, it->device, it->message, it->body_sha256, t->known.package, err)) == KLUIS_OK) {
        t->fate = FATE_AGAIN_SAME;
        return KLUIS_OK;
    }
    if (rc != KLUIS_E_NOTFOUND) { return rc; }
    for (size_t i = 0; i < at; i++) {
        if (memcmp(group[i].it->body_sha256, it->body_sha256, 32) == 0) {
            t->fate = drop(t, "repeated");
            return KLUIS_OK;
        }
        if (group[i].fate == FATE_SUSPEND && strcmp(group[i].it->device, it->device) == 0) {
            t->fate = drop(t, "suspended");
            return KLUIS_OK;
        }
    }
    if (dev.state != REG_DEVICE_ACTIVE) {
        t->fate = drop(t, "suspended");
        return KLUIS_OK;
    }
    struct kluis_err why = { 0 };
    size_t mark = sessions_mark(in->sessions);
    KLUIS_TRY(kluis_session_open(&s, sessions_store(in->sessions), in->c.keys->identity, it->device, dev.identity, err));
    rc = kluis_session_decrypt(s, it->body, &plain, &used, &why);
    if (rc != KLUIS_OK) {
        sessions_undo(in->sessions, mark);
        if (rc == KLUIS_E_EXISTS) {
            t->fate = fork_seen(t, "a message key was used for two messages");
        } else if (rc == KLUIS_E_REJECT) {
            t->fate = kluis_session_was_older(s) ? fork_seen(t, "a message of an older session") : drop(t, "cannot-be-opened");
        } else {
            if (err != NULL) { *err = why; }
            return rc;
        }
        return KLUIS_OK;
    }
    t->opened = true;
    if (used != 0) {
        pthread_mutex_lock(&in->lock);
        in->republish = true;
        pthread_mutex_unlock(&in->lock);
    }
    struct custody_delivery *d = &t->d;
    memset(d, 0, sizeof *d);
    memcpy(d->device, it->device, sizeof it->device);
    memcpy(d->message, it->message, sizeof d->message);
    memcpy(d->body_sha256, it->body_sha256, 32);
    d->received_us = kluis_now_us();
    (void)snprintf(t->official, sizeof t->official, "%s", dev.official);
    rc = kluis_delivery_read(kluis_buf_bytes(&plain), &del, &why);
    if (rc != KLUIS_OK) {
        bool holdings = ingest_are_holdings(kluis_buf_bytes(&plain));
        if (holdings) { kluis_buf_add(&t->body, plain.data, plain.len); }
        kluis_wipe(plain.data, plain.len);
        t->fate = holdings ? FATE_HOLDINGS : drop(t, "no-delivery");
        return kluis_buf_ok(&t->body, err);
    }
    const char *not_back = NULL;
    if (del.device[0] != 0) { rc = ingest_returned(in, &del, dev.official, d, &not_back, err); } /* leaf and proof are borrowed from plain */
    kluis_wipe(plain.data, plain.len);
    memcpy(d->package, del.package, 32);
    d->sequence = del.sequence;
    memcpy(d->previous, del.previous, 32);
    d->length = del.length;
    d->cipher_length = it->size;
    memcpy(d->cipher_sha256, del.cipher_sha256, 32);
    if (rc == KLUIS_OK && not_back != NULL) {
        t->fate = refuse(t, not_back);
    } else if (rc == KLUIS_OK) {
        rc = judge_chain(in, t, group, at, &t->fate, err);
        /* What was acknowledged once is no fork of whoever brings it back. */
        if (d->via[0] != 0 && t->fate == FATE_SUSPEND) { t->fate = refuse(t, "the archive has another package of that device under this number"); }
    }
    if (rc == KLUIS_OK && t->fate == FATE_TAKE) { rc = first_arrival(in, d, err); }
    if (rc == KLUIS_OK && t->fate == FATE_TAKE) {
        if (!it->has_upload || it->w == NULL || memcmp(it->upload, del.upload, 16) != 0) {
            t->fate = refuse(t, "the delivery names another upload");
        } else if (del.length == 0 || del.length > KLUIS_PACKAGE_BYTES_MAX || kluis_content_cipher_length(del.length) != it->size) {
            t->fate = refuse(t, "the ciphertext has another length than the delivery says");
        } else if (memcmp(it->sha256, del.cipher_sha256, 32) != 0) {
            t->fate = refuse(t, "the ciphertext is not the one of the delivery");
        } else {
            rc = storage_wrap(in->c.keys->wrapping, d->package, del.key, d->wrapped, err);
            d->wrapped_len = STORAGE_WRAPPED_LEN;
        }
    }
    kluis_wipe(&del, sizeof del);
    if (rc == KLUIS_OK && t->fate == FATE_TAKE) {
        rc = storage_publish(&it->w, d->package, &why);
        if (rc == KLUIS_E_EXISTS) {
            t->fate = refuse(t, "other bytes are stored under this package's name");
            rc = KLUIS_OK;
        } else if (rc != KLUIS_OK && err != NULL) {
            *err = why;
        }
    }
    if (rc == KLUIS_OK && t->fate == FATE_REFUSE) {
        rc = ingest_statement(in->c.keys, d->package, t->layer, t->reason, d->received_us, &t->body, err);
    }
    return rc;
}

static kluis_status answer(struct ingest *in, const char *device, uint32_t kind, const uint8_t package[32], uint64_t package_sequence,
                           struct kluis_bytes body, struct kluis_err *err)
{
    struct custody_answer a;
    memset(&a, 0, sizeof a);
    (void)snprintf(a.device, sizeof a.device, "%s", device);
    a.kind = kind;
    memcpy(a.package, package, 32);
    a.package_sequence = package_sequence;
    return custody_outbox_add(in->c.custody, &a, body, err);
}

/* What was answered before is answered again, newly encrypted: the session may be another one by now. */
static kluis_status answer_again(struct ingest *in, const char *device, const struct custody_delivery *known, struct kluis_err *err)
{
    struct custody_package p;
    KLUIS_AUTO_BUF(statement, KLUIS_ANSWER_BODY_MAX);
    if (known->state == CUSTODY_WAITING) { return KLUIS_OK; }
    if (known->state == CUSTODY_ACCEPTED) {
        KLUIS_TRY(custody_package_by_delivery(in->c.custody, known->number, &p, err));
        return answer(in, device, KLUIS_ANSWER_RECEIPT, known->package, p.sequence, (struct kluis_bytes){ NULL, 0 }, err);
    }
    KLUIS_TRY(custody_refusal_by_delivery(in->c.custody, known->number, &statement, err));
    return answer(in, device, KLUIS_ANSWER_REFUSAL, known->package, 0, kluis_buf_bytes(&statement), err);
}

static kluis_status settle(struct ingest *in, struct taking *t, struct kluis_err *err)
{
    kluis_status rc = KLUIS_OK;
    if (t->opened && t->fate != FATE_TAKE) {
        KLUIS_TRY(custody_handled_add(in->c.custody, t->it->device, t->it->message, t->it->body_sha256, t->d.package, err));
    }
    switch (t->fate) {
    case FATE_DROP: break;
    case FATE_TAKE: rc = custody_inbox_add(in->c.custody, &t->d, err); break;
    case FATE_AGAIN_SAME:
        rc = custody_outbox_again(in->c.custody, t->known.package, err);
        rc = rc == KLUIS_E_NOTFOUND ? KLUIS_OK : rc;
        break;
    case FATE_HOLDINGS: rc = ingest_answer_holdings(in, t->it->device, t->official, kluis_buf_bytes(&t->body), err); break;
    case FATE_AGAIN_NEW: rc = answer_again(in, t->it->device, &t->known, err); break;
    case FATE_REFUSE: {
        struct custody_refusal r;
        memset(&r, 0, sizeof r);
        (void)snprintf(r.device, sizeof r.device, "%s", t->it->device);
        memcpy(r.package, t->d.package, 32);
        r.sequence = t->d.sequence;
        (void)snprintf(r.layer, sizeof r.layer, "%s", t->layer);
        (void)snprintf(r.reason, sizeof r.reason, "%s", t->reason);
        r.refused_us = t->d.received_us;
        r.statement = kluis_buf_bytes(&t->body);
        if ((rc = custody_refusal_add(in->c.custody, &r, err)) == KLUIS_OK) {
            rc = answer(in, r.device, KLUIS_ANSWER_REFUSAL, r.package, 0, r.statement, err);
        }
        kluis_log(KLUIS_LOG_WARN, "package.refused", "device=%s layer=%s reason=%s", r.device, r.layer, r.reason);
        break;
    }
    case FATE_SUSPEND:
        rc = answer(in, t->it->device, KLUIS_ANSWER_SUSPENDED, t->d.package, 0, (struct kluis_bytes){ (const uint8_t *)t->reason, strlen(t->reason) },
                    err);
        break;
    }
    return rc;
}

/* A fork: nothing more is taken from this device until a new code.  The register says so before T1 takes note of the message: one that comes again
 * after T1 is known, and nobody would look at it. */
static kluis_status suspend(struct intake *k, const struct taking *group, size_t at, struct kluis_err *err)
{
    const struct taking *t = &group[at];
    int64_t last;
    k->untold = true;
    KLUIS_TRY(custody_last_delivery(k->in->c.custody, t->it->device, &last, err));
    for (size_t i = 0; i < at; i++) { /* those of this group are not in custody yet */
        const struct custody_delivery *d = &group[i].d;
        if (group[i].fate == FATE_TAKE && strcmp(d->device, t->it->device) == 0 && d->received_us > last) { last = d->received_us; }
    }
    pthread_mutex_lock(k->in->c.reg_lock);
    kluis_status rc = reg_device_suspend(k->in->c.reg, t->it->device, t->reason, last, err);
    pthread_mutex_unlock(k->in->c.reg_lock);
    KLUIS_TRY(rc);
    kluis_durable_step("vault.suspended");
    kluis_log(KLUIS_LOG_ERROR, "device.suspended", "device=%s reason=%s", t->it->device, t->reason);
    return KLUIS_OK;
}

/* Until it came through to the end: a gate that was away for a moment must not go on serving who is suspended. */
static kluis_status tell_suspended(struct intake *k, struct kluis_err *err)
{
    if (!k->untold) { return KLUIS_OK; }
    KLUIS_TRY(revocation_keep(k->in, true, err));
    KLUIS_TRY(journal_push(k->in, k->l, err));
    KLUIS_TRY(publish_devices(k, true, err));
    k->untold = false;
    return KLUIS_OK;
}

static kluis_status take_group(struct intake *k, struct item *items, size_t n, struct kluis_err *err)
{
    struct ingest *in = k->in;
    struct taking group[GROUP];
    memset(group, 0, sizeof group);
    for (size_t i = 0; i < n; i++) {
        group[i].it = &items[i];
        kluis_buf_init(&group[i].body, KLUIS_ANSWER_BODY_MAX);
    }
    kluis_status rc = fetch_sync(items, n, err);
    sessions_lock(in->sessions);
    for (size_t i = 0; i < n && rc == KLUIS_OK; i++) { rc = take_one(k, group, i, err); }
    for (size_t i = 0; i < n && rc == KLUIS_OK; i++) {
        if (group[i].fate == FATE_SUSPEND) { rc = suspend(k, group, i, err); }
    }
    if (rc == KLUIS_OK) { rc = storage_settle(in->c.storage, err); }
    if (rc == KLUIS_OK && (rc = custody_begin(in->c.custody, err)) == KLUIS_OK) {
        rc = sessions_flush(in->sessions, err);
        for (size_t i = 0; i < n && rc == KLUIS_OK; i++) { rc = settle(in, &group[i], err); }
        if (rc == KLUIS_OK) {
            rc = custody_commit(in->c.custody, "vault.t1.commit", err);
        } else {
            custody_rollback(in->c.custody);
        }
    }
    sessions_unlock(in->sessions);
    if (rc == KLUIS_OK) { rc = tell_suspended(k, err); }
    for (size_t i = 0; i < n; i++) {
        items[i].done = rc == KLUIS_OK;
        kluis_buf_free(&group[i].body);
    }
    pthread_mutex_lock(&in->lock);
    in->inbox_more = in->answers = true;
    pthread_cond_broadcast(&in->changed);
    pthread_mutex_unlock(&in->lock);
    return rc;
}

/* A group of messages: their ciphertext, then T1, then the gate may forget them. */
static kluis_status take_messages(struct intake *k, struct item *items, size_t n, struct kluis_err *err)
{
    kluis_status rc = fetch_items(k->in, k->l, items, n, err);
    if (rc == KLUIS_OK && !ingest_stopping(k->in)) { rc = take_group(k, items, n, err); }
    if (rc == KLUIS_OK) { rc = tell_done(k, items, n, err); }
    for (size_t i = 0; i < n; i++) { storage_abandon(&items[i].w); }
    return rc;
}

/* One answer of the gate, in its order.  An enrolment is answered at once: somebody waits for it. */
static kluis_status take_batch(struct intake *k, struct kluis_bytes answer_bytes, uint64_t *after, struct kluis_err *err)
{
    struct item items[GROUP];
    size_t n = 0, seen = 0;
    uint64_t bytes = 0, last = *after;
    struct kluis_wire w = kluis_wire_open(answer_bytes);
    kluis_status rc = KLUIS_OK;
    if (!kluis_wire_is(&w, "chatkluis-next-v1")) { return KLUIS_FAIL(err, KLUIS_E_BUSY, "the gate's queue is malformed"); }
    while (rc == KLUIS_OK && !ingest_stopping(k->in)) {
        bool more = kluis_wire_more(&w);
        if (more && (!read_item(&w, &items[n]) || ++seen > ITEMS)) {
            rc = KLUIS_FAIL(err, KLUIS_E_BUSY, "the gate's queue is malformed");
            break;
        }
        if (more && items[n].kind == 1) {
            rc = enrolment(k, &items[n], err);
            if (rc == KLUIS_OK) {
                items[n].done = true;
                last = n == 0 ? items[n].number : last; /* messages before it are still to be taken */
                rc = tell_done(k, &items[n], 1, err);
            }
            continue;
        }
        if (more) { bytes += items[n++].upload_length; }
        if (n == GROUP || bytes >= GROUP_BYTES || (!more && n > 0)) {
            uint64_t number = items[n - 1].number;
            rc = take_messages(k, items, n, err);
            last = rc == KLUIS_OK ? number : last;
            n = 0;
            bytes = 0;
        }
        if (!more) { break; }
    }
    *after = rc == KLUIS_OK ? last : 0; /* after trouble everything that is not done comes again */
    return rc;
}

void *intake_main(void *arg)
{
    struct ingest *in = arg;
    struct intake k = { .in = in };
    struct kluis_err err = { 0 };
    uint64_t after = 0;
    int64_t kept = 0;
    bool started = false, again = false;
    KLUIS_AUTO_BUF(answer_bytes, NEXT_MAX);
    if ((k.l = ingest_link(in, "intake")) == NULL) { return NULL; }
    while (!ingest_stopping(in)) {
        kluis_status rc = KLUIS_OK;
        kluis_err_clear(&err);
        if (!ingest_clock_right(in)) {
            pthread_mutex_lock(&in->lock);
            ingest_wait(in, 1000000);
            pthread_mutex_unlock(&in->lock);
            continue;
        }
        pthread_mutex_lock(&in->lock);
        bool republish = in->republish;
        in->republish = false;
        pthread_mutex_unlock(&in->lock);
        rc = in->joined ? KLUIS_OK : ingest_join(in, k.l, &err);
        if (rc == KLUIS_OK) { rc = revocation_keep(in, false, &err); }
        if (rc == KLUIS_OK && (!started || republish || kluis_monotonic_us() - kept > KEEP_BUNDLE_US)) {
            if (!started) { rc = publish_devices(&k, false, &err); }
            if (rc == KLUIS_OK) { rc = bundle_keep(in, k.l, !started || kluis_monotonic_us() - kept > KEEP_BUNDLE_US, &err); }
            started = started || rc == KLUIS_OK;
            kept = rc == KLUIS_OK ? kluis_monotonic_us() : kept;
        }
        if (rc == KLUIS_OK) { rc = tell_suspended(&k, &err); }
        if (rc == KLUIS_OK) {
            char path[96];
            struct link_answer a;
            kluis_buf_clear(&answer_bytes);
            (void)snprintf(path, sizeof path, "/vault/v1/next?after=%llu&wait=%d", (unsigned long long)after,
                           again ? 0 : NEXT_WAIT_S); /* after trouble, to know that it is over */
            rc = link_call(k.l, "GET", path, (struct kluis_bytes){ NULL, 0 }, NEXT_WAIT_S + 30, &answer_bytes, &a, &err);
            if (rc == KLUIS_OK && a.status == 200) {
                rc = take_batch(&k, kluis_buf_bytes(&answer_bytes), &after, &err);
            } else if (rc == KLUIS_OK && a.status != 204) {
                rc = LINK_REFUSED(&a, &err, "the gate does not give its queue");
            } else if (rc == KLUIS_OK) {
                after = 0; /* nothing new: look once more at what is not done */
            }
        }
        if (rc != KLUIS_OK && !ingest_stopping(in)) {
            started = started && err.code != KLUIS_E_REJECT;
            ingest_trouble(in, "intake", &err);
        } else {
            ingest_well(in, "intake");
        }
        again = rc != KLUIS_OK;
    }
    link_free(k.l);
    return NULL;
}
