/* agent/courier/answers.c - what the vault says back.  docs/PROTOCOL.md §4.3, §5.2.
 *
 * A message is opened, judged and noted in one transaction with the session's new state; only then is the gate told to forget it.
 * Noted twice changes nothing: the message id is the key. */
#include "agent/courier/internal.h"

enum { INBOX_MAX = 20 << 20, INBOX_ITEMS = 64, REASON = 240 };

struct answered {
    int64_t kind;
    uint8_t package[32];
    bool has_package, accepted;
    char reason[REASON];
    struct kluis_bytes body;
};

/* ---- judging ---- */

/* Printable text of a refusal, as far as it is that: it was opened with the vault's session, nobody else wrote it. */
static void say(struct kluis_bytes b, char out[REASON])
{
    size_t n = 0;
    for (size_t i = 0; i < b.len && n + 1 < REASON; i++) {
        uint8_t x = b.ptr[i];
        if (x == '\n') { x = ' '; }
        if (x < ' ' || x > '~') { break; }
        out[n++] = (char)x;
    }
    while (n > 0 && out[n - 1] == ' ') { n--; }
    out[n] = '\0';
}

static void note(struct answered *a, const char *text) { (void)snprintf(a->reason, sizeof a->reason, "%s", text); }

static kluis_status set_state(struct courier *c, const uint8_t id[32], enum stock_state state, const char *reason, struct kluis_err *err)
{
    return kluis_db_run(c->h->db, NULL, err, "UPDATE package SET state=?2, reason=?3 WHERE id=?1 AND state IN (1,2)", "his", id, (int64_t)state,
                        reason);
}

/* What is wrong with a message itself; any other failure is ours, and the message waits for a better moment. */
static bool of_the_message(kluis_status rc) { return rc == KLUIS_E_REJECT || rc == KLUIS_E_EXISTS || rc == KLUIS_E_LIMIT || rc == KLUIS_E_NOTFOUND; }

static kluis_status on_receipt(struct courier *c, const struct stock_package *p, struct answered *a, struct courier_counts *n, struct kluis_err *err)
{
    struct kluis_receipt r;
    struct kluis_err why = { 0 };
    enum kluis_layer layer = KLUIS_V_RECEIPT;
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(4 * (size_t)KLUIS_RECEIPT_MAX);
    if (arena == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory to judge a receipt"); }
    kluis_status rc = kluis_receipt_read((struct kluis_str){ (const char *)a->body.ptr, a->body.len }, arena, &r, &why);
    /* Packages of an earlier enrolment were signed with another certificate: theirs is not checked against today's. */
    const uint8_t *cert = strcmp(p->device, c->device) == 0 ? c->device_cert_sha : NULL;
    struct kluis_checkpoint k;
    if (rc == KLUIS_OK) { rc = kluis_receipt_check(&r, c->trust, p->id, p->root, cert, kluis_now_us(), &k, &layer, &why); }
    if (rc == KLUIS_OK) { rc = courier_note_receipt(c, &k, &r, &why); }
    if (rc != KLUIS_OK && !of_the_message(rc)) { return KLUIS_FAIL(err, rc, "%s", why.msg); }
    if (rc != KLUIS_OK) { /* a hostile vault's word does not free this copy */
        n->hostile++;
        (void)snprintf(a->reason, sizeof a->reason, "receipt refused: %.200s", why.msg);
        return KLUIS_OK;
    }
    a->accepted = true;
    if (p->state == STOCK_WAITING || p->state == STOCK_HANDED) { n->acknowledged++; }
    KLUIS_TRY(kluis_db_run(
        c->h->db, NULL, err,
        "UPDATE package SET state=CASE WHEN state=5 THEN 5 ELSE 3 END, acknowledged=coalesce(acknowledged,?2), handed=coalesce(handed,?2),"
        " stamped=max(stamped,?3), reason=NULL WHERE id=?1",
        "hii", p->id, kluis_now_us(), (int64_t)r.stamped));
    return kluis_db_run(c->h->db, NULL, err, "DELETE FROM outbox WHERE package=?1", "h", p->id);
}

/* The value of a line "name value" of a refusal's text. */
static struct kluis_bytes line_of(struct kluis_bytes text, const char *name)
{
    size_t n = strlen(name);
    for (size_t at = 0; at < text.len;) {
        const uint8_t *nl = memchr(text.ptr + at, '\n', text.len - at);
        size_t end = nl == NULL ? text.len : (size_t)(nl - text.ptr);
        if (end - at > n && memcmp(text.ptr + at, name, n) == 0 && text.ptr[at + n] == ' ') {
            return (struct kluis_bytes){ text.ptr + at + n + 1, end - at - n - 1 };
        }
        at = end + 1;
    }
    return (struct kluis_bytes){ NULL, 0 };
}

/* "chatkluis-refusal-v1" || text || CAdES of the seal over it: a refusal that is not sealed, or speaks of another package, is not one. */
static kluis_status on_refusal(struct courier *c, const struct stock_package *p, struct answered *a, struct courier_counts *n, struct kluis_err *err)
{
    struct kluis_wire w = kluis_wire_open(a->body);
    struct kluis_err why = { 0 };
    char hex[65], layer[REASON], reason[REASON];
    (void)kluis_wire_is(&w, "chatkluis-refusal-v1");
    struct kluis_bytes text = kluis_wire_get(&w, 64 << 10), seal = kluis_wire_get(&w, KLUIS_P7S_MAX);
    kluis_status rc = kluis_wire_end(&w, "a refusal", &why);
    if (rc == KLUIS_OK) { rc = courier_judge_seal(c->trust, seal, text, "a refusal", &why); }
    if (rc == KLUIS_OK) {
        struct kluis_bytes id = line_of(text, "package");
        kluis_hex(p->id, 32, hex);
        if (id.len != 64 || memcmp(id.ptr, hex, 64) != 0) { rc = KLUIS_FAIL(&why, KLUIS_E_REJECT, "a refusal speaks of another package"); }
    }
    if (rc != KLUIS_OK && !of_the_message(rc)) { return KLUIS_FAIL(err, rc, "%s", why.msg); }
    if (rc != KLUIS_OK) {
        n->hostile++;
        (void)snprintf(a->reason, sizeof a->reason, "refusal not believed: %.200s", why.msg);
        return KLUIS_OK;
    }
    say(line_of(text, "layer"), layer);
    say(line_of(text, "reason"), reason);
    (void)snprintf(a->reason, sizeof a->reason, "%.40s: %.180s", layer, reason);
    a->accepted = true;
    if (p->state == STOCK_ACKNOWLEDGED) { return KLUIS_OK; } /* a receipt stands: it cannot be taken back */
    n->refused++;
    KLUIS_TRY(kluis_db_run(c->h->db, NULL, err, "DELETE FROM outbox WHERE package=?1", "h", p->id));
    return set_state(c, p->id, STOCK_REFUSED, a->reason, err);
}

/* Only what is still here can be sent again; what was acknowledged may be asked for too (a restored vault), also of an earlier enrolment. */
static kluis_status on_resend(struct courier *c, const struct stock_package *p, struct answered *a, struct courier_counts *n, struct kluis_err *err)
{
    int64_t changed = 0;
    KLUIS_TRY(kluis_db_run(c->h->db, NULL, err, "DELETE FROM outbox WHERE package=?1", "h", p->id));
    KLUIS_TRY(kluis_db_run(c->h->db, &changed, err,
                           "UPDATE package SET state=1, handed=NULL, backed_up=NULL WHERE id=?1 AND removed IS NULL AND state IN (2,3,4) AND "
                           "(device=?2 OR acknowledged IS NOT NULL)",
                           "hs", p->id, c->device));
    a->accepted = changed > 0 || p->state == STOCK_WAITING;
    if (changed > 0) {
        n->resend++;
    } else if (!a->accepted) {
        note(a, "asked for again, and not here any more");
    }
    return KLUIS_OK;
}

static kluis_status on_regime(struct courier *c, struct answered *a, struct kluis_err *err)
{
    a->accepted = true;
    return home_set_bytes(c->h, "regime", a->body, err);
}

static kluis_status on_backed_up(struct courier *c, const struct stock_package *p, struct answered *a, struct courier_counts *n,
                                 struct kluis_err *err)
{
    int64_t changed = 0;
    KLUIS_TRY(kluis_db_run(c->h->db, &changed, err, "UPDATE package SET backed_up=?2 WHERE id=?1 AND acknowledged IS NOT NULL AND backed_up IS NULL",
                           "hi", p->id, kluis_now_us()));
    a->accepted = true;
    n->backed_up += changed > 0 ? 1 : 0;
    return KLUIS_OK;
}

/* Kinds 3 and 4 speak of the package in front and of those in the body. */
static kluis_status on_many(struct courier *c, struct answered *a, struct courier_counts *n, struct kluis_err *err)
{
    struct stock_package p;
    bool all = true;
    if (a->body.len % 32 != 0 || a->body.len / 32 >= KLUIS_ANSWER_PACKAGES_MAX) {
        n->hostile++;
        note(a, "a list of packages that is none");
        return KLUIS_OK;
    }
    for (size_t i = 0; i <= a->body.len / 32; i++) {
        const uint8_t *id = i == 0 ? a->package : a->body.ptr + (i - 1) * 32;
        struct kluis_err none = { 0 };
        kluis_status rc = stock_find(c->h, id, &p, &none);
        if (rc == KLUIS_E_NOTFOUND) {
            n->hostile++;
            all = false;
            note(a, "about a package that this home never made");
            continue;
        }
        if (rc != KLUIS_OK) { return KLUIS_FAIL(err, rc, "%s", none.msg); }
        a->has_package = a->has_package || i == 0;
        a->accepted = false;
        KLUIS_TRY(a->kind == KLUIS_ANSWER_RESEND ? on_resend(c, &p, a, n, err) : on_backed_up(c, &p, a, n, err));
        all = all && a->accepted;
    }
    a->accepted = all;
    a->body = (struct kluis_bytes){ NULL, 0 }; /* the rows of the packages say it */
    return KLUIS_OK;
}

static kluis_status on_log(struct courier *c, struct answered *a, struct courier_counts *n, struct kluis_err *err)
{
    struct kluis_err why = { 0 };
    kluis_status rc = courier_judge_log(c, a->body, &why);
    if (rc != KLUIS_OK && !of_the_message(rc)) { return KLUIS_FAIL(err, rc, "%s", why.msg); }
    n->asked = false;
    a->accepted = rc == KLUIS_OK;
    if (!a->accepted) {
        n->hostile++;
        (void)snprintf(a->reason, sizeof a->reason, "the vault's log: %.200s", why.msg);
    }
    return home_set_int(c->h, "holdings", 0, err);
}

static kluis_status work_on(struct courier *c, struct answered *a, struct courier_counts *n, struct kluis_err *err)
{
    struct stock_package p;
    struct kluis_err none = { 0 };
    if (a->kind == KLUIS_ANSWER_REGIME) { return on_regime(c, a, err); }
    if (a->kind == KLUIS_ANSWER_LOG) { return on_log(c, a, n, err); }
    if (a->kind == KLUIS_ANSWER_SUSPENDED) {
        a->accepted = true;
        n->suspended = true;
        say(a->body, a->reason);
        KLUIS_TRY(home_set_text(c->h, "suspended-reason", a->reason, err));
        return home_set_int(c->h, "suspended", 1, err);
    }
    if (a->kind == KLUIS_ANSWER_RESEND || a->kind == KLUIS_ANSWER_BACKED_UP) { return on_many(c, a, n, err); }
    kluis_status rc = stock_find(c->h, a->package, &p, &none);
    if (rc == KLUIS_E_NOTFOUND) {
        n->hostile++;
        note(a, "about a package that this home never made");
        return KLUIS_OK;
    }
    if (rc != KLUIS_OK) { return KLUIS_FAIL(err, rc, "%s", none.msg); }
    a->has_package = true;
    switch (a->kind) {
    case KLUIS_ANSWER_RECEIPT: return on_receipt(c, &p, a, n, err);
    case KLUIS_ANSWER_REFUSAL: return on_refusal(c, &p, a, n, err);
    default: note(a, "of a kind this program does not know: install the newer one"); return KLUIS_OK;
    }
}

/* ---- one message ---- */

static kluis_status is_known(struct courier *c, const uint8_t id[16], bool *known, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(c->h->db, &st, err, "SELECT 1 FROM answer WHERE message=?1", "b", (struct kluis_bytes){ id, 16 }));
    kluis_status rc = kluis_db_step(c->h->db, st, err);
    kluis_db_done(st);
    *known = rc == KLUIS_OK;
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

static kluis_status record_answer(struct courier *c, const uint8_t id[16], const struct answered *a, struct kluis_err *err)
{
    struct kluis_bytes package = { a->has_package ? a->package : NULL, a->has_package ? 32 : 0 };
    return kluis_db_run(c->h->db, NULL, err, "INSERT INTO answer(message,kind,package,at,accepted,body,reason) VALUES(?1,?2,?3,?4,?5,?6,?7)",
                        "bibiibs", (struct kluis_bytes){ id, 16 }, a->kind, package, kluis_now_us(), (int64_t)a->accepted, a->body, a->reason);
}

static kluis_status open_message(struct courier *c, const uint8_t id[16], struct kluis_bytes body, struct courier_counts *n, struct kluis_err *err)
{
    struct answered a = { 0 };
    struct kluis_answer said = { .package = { 0 } };
    struct kluis_err why = { 0 };
    uint32_t used = 0;
    KLUIS_AUTO_BUF(plain, KLUIS_SESSION_PLAIN_MAX);
    /* What a failing decryption had written already must not stay. */
    KLUIS_TRY(kluis_db_exec(c->h->db, "SAVEPOINT opening", err));
    kluis_status rc = kluis_session_decrypt(c->session, body, &plain, &used, &why);
    if (rc != KLUIS_OK) { KLUIS_TRY(kluis_db_exec(c->h->db, "ROLLBACK TO opening", err)); }
    KLUIS_TRY(kluis_db_exec(c->h->db, "RELEASE opening", err));
    bool late = rc == KLUIS_E_EXISTS || kluis_session_was_older(c->session);
    if (rc == KLUIS_OK) { rc = kluis_answer_read(kluis_buf_bytes(&plain), &said, &why); }
    if (rc == KLUIS_OK) {
        a.kind = (int64_t)said.kind;
        memcpy(a.package, said.package, sizeof a.package);
        a.body = said.body;
        KLUIS_TRY(work_on(c, &a, n, err));
    } else if (of_the_message(rc)) {
        n->hostile += late ? 0 : 1;
        (void)snprintf(a.reason, sizeof a.reason, "cannot be opened: %.200s", why.msg);
    } else {
        return KLUIS_FAIL(err, rc, "%s", why.msg);
    }
    return record_answer(c, id, &a, err);
}

static kluis_status take_in(struct courier *c, const uint8_t id[16], struct kluis_bytes body, struct courier_counts *n, struct kluis_err *err)
{
    bool known = false;
    char path[96], hex[33];
    KLUIS_TRY(is_known(c, id, &known, err));
    if (!known) {
        KLUIS_TRY(kluis_db_begin(c->h->db, err));
        kluis_status rc = open_message(c, id, body, n, err);
        if (rc != KLUIS_OK) {
            kluis_db_rollback(c->h->db);
            return rc;
        }
        KLUIS_TRY(kluis_db_commit(c->h->db, "agent.answer.noted", err));
    }
    courier_hex16(id, hex);
    (void)snprintf(path, sizeof path, "/v1/inbox/%s", hex);
    struct http_answer a = { 0 };
    kluis_buf_init(&a.body, 4096);
    kluis_status rc = http_request(c->http, "DELETE", path, (struct kluis_bytes){ NULL, 0 }, true, 30, &a, err);
    if (rc == KLUIS_OK && a.status != 204 && a.status != 200 && a.status != 404) { rc = http_refusal(&a, "an answer cannot be cleared", err); }
    kluis_buf_free(&a.body);
    return rc;
}

static kluis_status receive(struct courier *c, int wait_s, struct courier_counts *counts, struct kluis_err *err)
{
    char path[64];
    struct http_answer a = { 0 };
    kluis_buf_init(&a.body, INBOX_MAX);
    (void)snprintf(path, sizeof path, "/v1/inbox?wait=%d", wait_s);
    kluis_status rc = http_request(c->http, "GET", path, (struct kluis_bytes){ NULL, 0 }, true, wait_s + 30, &a, err);
    c->retry_after_s = a.retry_after_s;
    bool newer = false;
    if (rc == KLUIS_OK) { rc = courier_is_newer(c, a.epoch, &newer, err); }
    if (rc == KLUIS_OK && newer) {
        c->heard_epoch = a.epoch;
        counts->anew = true;
    }
    if (rc == KLUIS_OK && a.status == 204) {
        rc = KLUIS_END;
    } else if (rc == KLUIS_OK && a.status != 200) {
        rc = http_refusal(&a, "no answers can be fetched", err);
    }
    if (rc == KLUIS_OK) {
        struct kluis_wire w = kluis_wire_open(kluis_buf_bytes(&a.body));
        (void)kluis_wire_is(&w, "chatkluis-inbox-v1");
        size_t items = 0;
        while (rc == KLUIS_OK && kluis_wire_more(&w) && items++ < INBOX_ITEMS) {
            uint8_t id[16];
            (void)kluis_wire_fixed(&w, id, sizeof id);
            struct kluis_bytes body = kluis_wire_get(&w, KLUIS_SESSION_PLAIN_MAX + 4096);
            if (w.bad) { break; }
            rc = take_in(c, id, body, counts, err);
        }
        if (rc == KLUIS_OK) { rc = kluis_wire_end(&w, "the gate's list of answers", err); }
    }
    kluis_buf_free(&a.body);
    return rc;
}

kluis_status courier_receive(struct courier *c, int wait_s, struct courier_counts *counts, struct kluis_err *err)
{
    return courier_standing(c, receive(c, wait_s, counts, err), err);
}
