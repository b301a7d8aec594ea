/* server/ingest/bundle.c - the vault's prekey bundle: made, sealed, published, replenished (PROTOCOL.md §4.1). */
#include "server/ingest/ingest_internal.h"

enum { PREKEYS_WANTED = 200, PREKEYS_LOW = 50 };
#define DAY_US ((int64_t)86400 * 1000000)
#define SIGNED_LIFE_US (30 * DAY_US) /* renewed after this; kept for twice as long            */
#define BUNDLE_LIFE_US (14 * DAY_US) /* a bundle an agent may use                              */

static kluis_status left_at_gate(struct link *l, uint64_t *left, uint64_t *epoch, struct kluis_err *err)
{
    struct link_answer a;
    *left = *epoch = 0;
    KLUIS_TRY(link_call(l, "GET", "/vault/v1/bundle", (struct kluis_bytes){ NULL, 0 }, 30, NULL, &a, err));
    if (a.status == 200 || a.status == 204) {
        *left = a.has_number ? a.number : 0;
        *epoch = a.epoch;
        return KLUIS_OK;
    }
    return a.status == 404 ? KLUIS_OK : LINK_REFUSED(&a, err, "the gate does not say what prekeys it has");
}

static void save_signed(const struct kluis_signed_prekey *k, struct kluis_buf *out)
{
    kluis_wire_u32(out, k->id);
    kluis_wire_field(out, k->public_key, sizeof k->public_key);
    kluis_wire_field(out, k->signature, sizeof k->signature);
}

static bool load_signed(struct kluis_bytes b, struct kluis_signed_prekey *k)
{
    struct kluis_wire w = kluis_wire_open(b);
    k->id = kluis_wire_get_u32(&w);
    (void)kluis_wire_fixed(&w, k->public_key, sizeof k->public_key);
    (void)kluis_wire_fixed(&w, k->signature, sizeof k->signature);
    return kluis_wire_end(&w, "signed prekey", NULL) == KLUIS_OK;
}

/* The signed prekey in use, its public half kept beside the private record under a key that libsignal never uses. */
static const char public_row[] = "current-public";

struct making {
    struct kluis_signed_prekey sign;
    struct kluis_prekey one[PREKEYS_WANTED];
    uint32_t n_one;
    uint64_t next_id, signed_made, epoch;
};

/* The gate has handed out bundles of an epoch that this custody knows nothing of: it is an older copy.  What it holds of sessions and prekeys
 * was used since, and must not be used again. */
static kluis_status forget(struct ingest *in, struct kluis_err *err)
{
    KLUIS_TRY(custody_begin(in->c.custody, err));
    kluis_status rc = custody_forget_sessions(in->c.custody, err);
    if (rc != KLUIS_OK) {
        custody_rollback(in->c.custody);
        return rc;
    }
    return custody_commit(in->c.custody, "vault.sessions.forgotten", err);
}

/* Under the sessions' lock: new keys go to the store in one transaction, before the gate hears of them.  anew: a new epoch, whatever the old one. */
static kluis_status make_keys(struct ingest *in, struct making *m, uint32_t want, uint64_t at_gate, bool anew, struct kluis_err *err)
{
    const struct kluis_session_store *store = sessions_store(in->sessions);
    int64_t now = kluis_now_us();
    uint64_t signed_id;
    KLUIS_AUTO_BUF(row, 4096);
    KLUIS_TRY(custody_number_get(in->c.custody, "epoch", 0, &m->epoch, err));
    if (m->epoch != 0 && m->epoch < at_gate) {
        kluis_log(KLUIS_LOG_WARN, "sessions.forgotten", "epoch=%llu gate=%llu", (unsigned long long)m->epoch, (unsigned long long)at_gate);
        KLUIS_TRY(forget(in, err));
        m->epoch = 0;
    }
    if (m->epoch == 0 || anew) {
        /* A custody without sessions is newer than any before it, also one that was lost: agents start anew. */
        if (at_gate >= INT64_MAX) { return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the gate holds a bundle of an epoch that no bundle has"); }
        m->epoch = (uint64_t)(now / 1000000) > at_gate ? (uint64_t)(now / 1000000) : at_gate + 1;
        want = PREKEYS_WANTED; /* the gate drops those of an epoch that is over */
    }
    KLUIS_TRY(custody_number_get(in->c.custody, "next-prekey", 1, &m->next_id, err));
    KLUIS_TRY(custody_number_get(in->c.custody, "signed-prekey-made", 0, &m->signed_made, err));
    KLUIS_TRY(custody_number_get(in->c.custody, "signed-prekey", 0, &signed_id, err));
    kluis_status had = store->get(store->ctx, KLUIS_STORE_SIGNED_PREKEY, public_row, &row, err);
    if (had != KLUIS_OK && had != KLUIS_E_NOTFOUND) { return had; }
    bool fresh = had != KLUIS_OK || !load_signed(kluis_buf_bytes(&row), &m->sign) || now - (int64_t)m->signed_made > SIGNED_LIFE_US;
    if (fresh) {
        signed_id = signed_id % KLUIS_PREKEY_ID_MAX + 1;
        KLUIS_TRY(kluis_signed_prekey_new(store, in->c.keys->identity, (uint32_t)signed_id, now, &m->sign, err));
        kluis_buf_clear(&row);
        save_signed(&m->sign, &row);
        KLUIS_TRY(kluis_buf_ok(&row, err));
        KLUIS_TRY(store->put(store->ctx, KLUIS_STORE_SIGNED_PREKEY, public_row, kluis_buf_bytes(&row), err));
        if (signed_id > 3) { /* three times 30 days: older ones opened nothing for a month */
            char old[24];
            (void)snprintf(old, sizeof old, "%llu", (unsigned long long)(signed_id - 3));
            KLUIS_TRY(store->del(store->ctx, KLUIS_STORE_SIGNED_PREKEY, old, err));
        }
    }
    m->n_one = want;
    if (m->next_id + want > KLUIS_PREKEY_ID_MAX) { m->next_id = 1; }
    if (want > 0) { KLUIS_TRY(kluis_prekeys_new(store, (uint32_t)m->next_id, want, m->one, err)); }
    KLUIS_TRY(custody_begin(in->c.custody, err));
    kluis_status rc = sessions_flush(in->sessions, err);
    if (rc == KLUIS_OK && (rc = custody_number_set(in->c.custody, "next-prekey", m->next_id + want, err)) == KLUIS_OK &&
        (rc = custody_number_set(in->c.custody, "epoch", m->epoch, err)) == KLUIS_OK && fresh &&
        (rc = custody_number_set(in->c.custody, "signed-prekey", signed_id, err)) == KLUIS_OK) {
        rc = custody_number_set(in->c.custody, "signed-prekey-made", (uint64_t)now, err);
    }
    if (rc != KLUIS_OK) {
        custody_rollback(in->c.custody);
        return rc;
    }
    return custody_commit(in->c.custody, "vault.bundle", err);
}

/* KLUIS_END: the gate holds one of this epoch that expires later. */
static kluis_status publish(struct ingest *in, struct link *l, uint64_t left, uint64_t at_gate, bool anew, struct kluis_err *err)
{
    struct link_answer a;
    struct making *m;
    if ((m = kluis_calloc(1, sizeof *m)) == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot make prekeys: out of memory"); }
    sessions_lock(in->sessions);
    kluis_status rc = make_keys(in, m, left >= PREKEYS_WANTED ? 0 : (uint32_t)(PREKEYS_WANTED - left), at_gate, anew, err);
    sessions_unlock(in->sessions);
    KLUIS_AUTO_BUF(bundle, 4096);
    KLUIS_AUTO_BUF(seal, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(body, 1 << 20);
    if (rc == KLUIS_OK) {
        struct kluis_bundle b;
        memset(&b, 0, sizeof b);
        memcpy(b.identity, in->c.keys->identity->public_key, sizeof b.identity);
        b.registration_id = in->c.keys->identity->registration_id;
        b.signed_prekey = m->sign;
        b.epoch = m->epoch;
        b.expires_us = (kluis_now_us() + BUNDLE_LIFE_US) / 1000000 * 1000000;
        rc = kluis_bundle_write(&b, &bundle, err);
    }
    if (rc == KLUIS_OK) {
        rc =
            kluis_seal_sign(in->c.keys->seal, kluis_buf_bytes(&bundle), kluis_buf_bytes(&in->c.keys->seal_cert), NULL, 0, kluis_now_us(), &seal, err);
    }
    if (rc == KLUIS_OK) {
        kluis_wire_label(&body, "chatkluis-bundle-publish-v1");
        kluis_wire_field(&body, bundle.data, bundle.len);
        kluis_wire_field(&body, seal.data, seal.len);
        for (uint32_t i = 0; i < m->n_one; i++) {
            kluis_wire_u32(&body, m->one[i].id);
            kluis_wire_field(&body, m->one[i].public_key, sizeof m->one[i].public_key);
        }
        rc = kluis_buf_ok(&body, err);
    }
    if (rc == KLUIS_OK) { rc = link_call(l, "PUT", "/vault/v1/bundle", kluis_buf_bytes(&body), 60, NULL, &a, err); }
    if (rc == KLUIS_OK && a.status == 409) {
        /* Of a later epoch only when somebody else publishes there; else its expiry is later than what this clock makes of two weeks. */
        rc = a.epoch > m->epoch ? KLUIS_FAIL(err, KLUIS_E_REJECT, "the gate holds a bundle of a later epoch: does another vault publish there?")
                                : KLUIS_END;
    } else if (rc == KLUIS_OK && a.status != 204) {
        rc = LINK_REFUSED(&a, err, "the gate does not take the prekey bundle");
    }
    if (rc == KLUIS_OK) { kluis_log(KLUIS_LOG_INFO, "bundle.published", "prekeys=%u", (unsigned)m->n_one); }
    kluis_free(m);
    return rc;
}

kluis_status bundle_keep(struct ingest *in, struct link *l, bool at_start, struct kluis_err *err)
{
    uint64_t left, at_gate;
    KLUIS_TRY(left_at_gate(l, &left, &at_gate, err));
    if (!at_start && left >= PREKEYS_LOW) { return KLUIS_OK; }
    kluis_status rc = publish(in, l, left, at_gate, false, err);
    if (rc != KLUIS_END) { return rc; }
    /* That was made when this clock, or the one before it, was ahead.  A new epoch ends it: devices start new sessions and lose nothing. */
    kluis_log(KLUIS_LOG_WARN, "bundle.epoch", "reason=the-bundle-at-the-gate-expires-later-than-this-clock-can-say");
    rc = publish(in, l, left, at_gate, true, err);
    return rc == KLUIS_END ? KLUIS_FAIL(err, KLUIS_E_REJECT, "the gate takes no bundle of a new epoch") : rc;
}
