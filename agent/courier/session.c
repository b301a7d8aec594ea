/* agent/courier/session.c - the ratchet with the vault: its rows, its bundle, its renewal.  docs/PROTOCOL.md §4.1. */
#include "agent/courier/internal.h"

enum { ROW_MAX = 16 << 20, BUNDLE_BODY_MAX = 1 << 20, ASK_AGAIN_S = 3600, SILENCE_S = 60 };

void courier_hex16(const uint8_t id[16], char out[33]) { kluis_hex(id, 16, out); }

kluis_status courier_fixed(struct home *h, const char *key, void *out, size_t n, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(b, n);
    kluis_status rc = home_bytes(h, key, &b, err);
    if (rc == KLUIS_E_NOTFOUND || (rc == KLUIS_OK && b.len != n)) {
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the enrolment of '%s' is incomplete: enrol again with a new code", h->dir);
    }
    if (rc == KLUIS_OK) { memcpy(out, b.data, n); }
    return rc;
}

/* What the gate says of this computer's clock, for status; the time here beside it.  0: they agree. */
static kluis_status note_clock(struct courier *c, kluis_status rc, struct kluis_err *err)
{
    int64_t was = 0, gate = http_gate_clock(c->http);
    bool agreed = rc == KLUIS_OK || rc == KLUIS_END;
    if (agreed) { c->clock_agreed = true; }
    if (!agreed && gate == 0) { return KLUIS_OK; }
    KLUIS_TRY(home_int(c->h, "clock-gate", 0, &was, err));
    if (agreed && was == 0) { return KLUIS_OK; }
    KLUIS_TRY(home_set_int(c->h, "clock-here", agreed ? 0 : kluis_now_us() / 1000000, err));
    return home_set_int(c->h, "clock-gate", agreed ? 0 : gate, err);
}

bool courier_clock_agreed(const struct courier *c) { return c->clock_agreed; }

kluis_status courier_standing(struct courier *c, kluis_status rc, struct kluis_err *err)
{
    struct kluis_err unnoted = { 0 };
    kluis_status noted = note_clock(c, rc, &unnoted);
    if (noted != KLUIS_OK && (rc == KLUIS_OK || rc == KLUIS_END)) { /* what went wrong first is told first */
        if (err != NULL) { *err = unnoted; }
        return noted;
    }
    int64_t was = STANDING_GOOD;
    struct kluis_err late = { 0 };
    kluis_status known = home_int(c->h, "suspended", STANDING_GOOD, &was, &late);
    if (known != KLUIS_OK) { /* what went wrong first is told first */
        if (rc != KLUIS_OK && rc != KLUIS_END) { return rc; }
        if (err != NULL) { *err = late; }
        return known;
    }
    int64_t is = was;
    if (rc == KLUIS_E_REJECT && http_status(c->http) == 403) {
        is = STANDING_GATE_SAYS;
    } else if (rc == KLUIS_OK || rc == KLUIS_END) {
        is = STANDING_GOOD;
    }
    if (was == STANDING_SUSPENDED) { return rc; }
    if (is != was) { KLUIS_TRY(home_set_int(c->h, "suspended", is, err)); }
    if (rc != KLUIS_E_REJECT || is != STANDING_GATE_SAYS) { return rc; }
    kluis_err_clear(err);
    return KLUIS_FAIL(err, KLUIS_E_REJECT,
                      "the gate says that the vault has suspended this device: ask your administrator for a new code and enrol again");
}

/* ---- store: every row boxed, the caller holds the transaction ---- */

static kluis_status row_label(enum kluis_store_table t, const char *key, char out[96], struct kluis_err *err)
{
    int n = snprintf(out, 96, "session/%d/%s", (int)t, key);
    return n > 0 && n < 96 ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_LIMIT, "a session row's name is too long");
}

static kluis_status store_get(void *ctx, enum kluis_store_table t, const char *key, struct kluis_buf *out, struct kluis_err *err)
{
    struct home *h = ctx;
    struct sqlite3_stmt *st = NULL;
    char label[96];
    KLUIS_TRY(row_label(t, key, label, err));
    KLUIS_TRY(kluis_db_query(h->db, &st, err, "SELECT value FROM session WHERE tbl=?1 AND key=?2", "is", (int64_t)t, key));
    kluis_status rc = kluis_db_step(h->db, st, err);
    if (rc == KLUIS_OK) { rc = home_unbox(h, label, kluis_db_blob(st, 0), out, err); }
    kluis_db_done(st);
    return rc == KLUIS_END ? KLUIS_E_NOTFOUND : rc;
}

static kluis_status store_put(void *ctx, enum kluis_store_table t, const char *key, struct kluis_bytes value, struct kluis_err *err)
{
    struct home *h = ctx;
    char label[96];
    KLUIS_AUTO_BUF(box, ROW_MAX + HOME_BOX_EXTRA);
    KLUIS_TRY(row_label(t, key, label, err));
    KLUIS_TRY(home_box(h, label, value, &box, err));
    return kluis_db_run(h->db, NULL, err,
                        "INSERT INTO session(tbl,key,value) VALUES(?1,?2,?3) ON CONFLICT(tbl,key) DO UPDATE SET value=excluded.value", "isb",
                        (int64_t)t, key, kluis_buf_bytes(&box));
}

static kluis_status store_del(void *ctx, enum kluis_store_table t, const char *key, struct kluis_err *err)
{
    struct home *h = ctx;
    int64_t n = 0;
    KLUIS_TRY(kluis_db_run(h->db, &n, err, "DELETE FROM session WHERE tbl=?1 AND key=?2", "is", (int64_t)t, key));
    return n == 0 ? KLUIS_E_NOTFOUND : KLUIS_OK;
}

struct kluis_session_store courier_store(struct home *h) { return (struct kluis_session_store){ h, store_get, store_put, store_del }; }

/* ---- seals ---- */

kluis_status courier_judge_seal(const struct kluis_trust *t, struct kluis_bytes seal, struct kluis_bytes content, const char *what,
                                struct kluis_err *err)
{
    struct kluis_seal_verdict v;
    memset(&v, 0, sizeof v);
    KLUIS_TRY(kluis_seal_judge(seal, content, t->seal_cas, t->n_seal_cas, t->tsa_cas, t->n_tsa_cas, kluis_now_us(), &v, err));
    if (v.signature != KLUIS_VALID || v.certificate != KLUIS_VALID) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s is not sealed by your organisation's vault: tell your administrator", what);
    }
    return KLUIS_OK;
}

kluis_status courier_judge_session_seal(const struct kluis_trust *t, const uint8_t identity[33], struct kluis_bytes seal, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(text, 256);
    KLUIS_TRY(kluis_session_statement(identity, &text, err));
    return courier_judge_seal(t, seal, kluis_buf_bytes(&text), "the vault's session key", err);
}

/* ---- bundle ---- */

static kluis_status read_bundle(struct courier *c, struct kluis_bytes body, struct kluis_bundle *b, struct kluis_err *err)
{
    struct kluis_wire w = kluis_wire_open(body);
    (void)kluis_wire_is(&w, "chatkluis-bundle-v1");
    struct kluis_bytes signed_part = kluis_wire_get(&w, 4096), seal = kluis_wire_get(&w, KLUIS_P7S_MAX);
    uint32_t id = kluis_wire_get_u32(&w);
    struct kluis_bytes key = kluis_wire_get(&w, 33);
    KLUIS_TRY(kluis_wire_end(&w, "the vault's prekey bundle", err));
    if ((id == 0) != (key.len == 0) || (id != 0 && key.len != 33)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "the gate's one-time prekey is malformed");
    }
    KLUIS_TRY(kluis_bundle_read(signed_part, b, err));
    if (memcmp(b->identity, c->vault_identity, sizeof b->identity) != 0) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "the gate offers another vault than the one enrolled with: nothing is sent, tell your administrator");
    }
    KLUIS_TRY(courier_judge_seal(c->trust, seal, signed_part, "the vault's prekey bundle", err));
    int64_t now = kluis_now_us();
    if (b->expires_us <= now) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "the vault's prekey bundle has expired: check this computer's clock, else tell your administrator");
    }
    int64_t epoch = 0, expiry = 0;
    KLUIS_TRY(home_int(c->h, "epoch", 0, &epoch, err));
    KLUIS_TRY(home_int(c->h, "bundle-expiry", 0, &expiry, err));
    if (b->epoch > INT64_MAX || (int64_t)b->epoch < epoch || ((int64_t)b->epoch == epoch && b->expires_us < expiry)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "the gate offers an older prekey bundle than before: nothing is sent, tell your administrator");
    }
    b->has_prekey = id != 0;
    if (b->has_prekey) {
        b->prekey.id = id;
        memcpy(b->prekey.public_key, key.ptr, sizeof b->prekey.public_key);
    }
    return KLUIS_OK;
}

/* What was encrypted in the old session is unmade: a message of an older session would look like a device that went back in time. */
static kluis_status start(struct courier *c, const struct kluis_bundle *b, struct kluis_err *err)
{
    KLUIS_TRY(kluis_session_start(c->session, b, err));
    KLUIS_TRY(kluis_db_run(c->h->db, NULL, err, "DELETE FROM outbox", ""));
    KLUIS_TRY(kluis_db_run(c->h->db, NULL, err, "UPDATE package SET state=1, handed=NULL WHERE state=2", ""));
    KLUIS_TRY(home_set_int(c->h, "holdings", COURIER_HOLDINGS_DUE, err)); /* it may be a vault that was set back */
    return home_set_int(c->h, "session-epoch", (int64_t)b->epoch, err);
}

static kluis_status accept(struct courier *c, const struct kluis_bundle *b, bool renew, struct kluis_err *err)
{
    KLUIS_TRY(kluis_db_begin(c->h->db, err));
    kluis_status rc = renew ? start(c, b, err) : KLUIS_OK;
    if (rc == KLUIS_OK) { rc = home_set_int(c->h, "epoch", (int64_t)b->epoch, err); }
    if (rc == KLUIS_OK) { rc = home_set_int(c->h, "bundle-expiry", b->expires_us, err); }
    if (rc == KLUIS_OK) { rc = home_set_int(c->h, "bundle-asked", kluis_now_us(), err); }
    if (rc != KLUIS_OK) {
        kluis_db_rollback(c->h->db);
        return rc;
    }
    return kluis_db_commit(c->h->db, renew ? "agent.session.started" : "agent.session.confirmed", err);
}

kluis_status courier_is_newer(struct courier *c, uint64_t epoch, bool *newer, struct kluis_err *err)
{
    int64_t ours = 0;
    KLUIS_TRY(home_int(c->h, "session-epoch", 0, &ours, err));
    *newer = epoch > (uint64_t)ours && epoch != c->asked_epoch;
    return KLUIS_OK;
}

/* A bundle costs the vault a one-time prekey: it is asked for only when there is no session, when the gate speaks of a newer one, or when what was
 * handed over stays unanswered, at most once an hour. */
static kluis_status handed_before(struct courier *c, int64_t before_us, int64_t now, bool *any, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    /* What lies in the future was noted by a clock that was wrong: it holds nothing up. */
    KLUIS_TRY(kluis_db_query(c->h->db, &st, err, "SELECT 1 FROM package WHERE state=2 AND (handed<?1 OR handed>?2) LIMIT 1", "ii", before_us, now));
    kluis_status rc = kluis_db_step(c->h->db, st, err);
    kluis_db_done(st);
    *any = rc == KLUIS_OK;
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

static kluis_status is_silent(struct courier *c, bool *silent, struct kluis_err *err)
{
    int64_t now = kluis_now_us(), asked = 0;
    KLUIS_TRY(courier_is_newer(c, c->heard_epoch, silent, err));
    if (*silent) { /* told once by the gate is enough; whether it is so the sealed bundle says */
        c->asked_epoch = c->heard_epoch;
        return KLUIS_OK;
    }
    KLUIS_TRY(home_int(c->h, "bundle-asked", 0, &asked, err));
    if (asked > now - (int64_t)ASK_AGAIN_S * 1000000 && asked <= now) { return KLUIS_OK; }
    return handed_before(c, now - (int64_t)SILENCE_S * 1000000, now, silent, err);
}

/* A vault that is there (it has published since this home last asked) and has not answered for an hour cannot read what it was sent: somebody set it
 * back and its gate too, so that nothing shows it.  Another session of the same epoch ends that. */
static kluis_status is_deaf(struct courier *c, const struct kluis_bundle *b, bool *deaf, struct kluis_err *err)
{
    int64_t now = kluis_now_us(), expiry = 0;
    *deaf = false;
    KLUIS_TRY(home_int(c->h, "bundle-expiry", 0, &expiry, err));
    return b->expires_us > expiry ? handed_before(c, now - (int64_t)ASK_AGAIN_S * 1000000, now, deaf, err) : KLUIS_OK;
}

kluis_status courier_ensure_session(struct courier *c, struct kluis_err *err)
{
    bool have = kluis_session_exists(c->session), silent = false, deaf = false;
    if (have) { KLUIS_TRY(is_silent(c, &silent, err)); }
    if (have && !silent) { return KLUIS_OK; }
    struct kluis_bundle b;
    struct http_answer a = { 0 };
    memset(&b, 0, sizeof b);
    kluis_buf_init(&a.body, BUNDLE_BODY_MAX);
    kluis_status rc = http_request(c->http, "GET", "/v1/bundle", (struct kluis_bytes){ NULL, 0 }, true, 30, &a, err);
    c->retry_after_s = a.retry_after_s;
    if (rc == KLUIS_OK && a.status != 200) { rc = http_refusal(&a, "no prekey bundle of the vault", err); }
    if (rc == KLUIS_OK) { rc = read_bundle(c, kluis_buf_bytes(&a.body), &b, err); }
    int64_t epoch = 0;
    if (rc == KLUIS_OK) { rc = home_int(c->h, "session-epoch", 0, &epoch, err); }
    if (rc == KLUIS_OK && have && b.has_prekey) { rc = is_deaf(c, &b, &deaf, err); }
    if (rc == KLUIS_OK) { rc = accept(c, &b, !have || deaf || (int64_t)b.epoch > epoch, err); }
    kluis_buf_free(&a.body);
    return rc;
}
