/* agent/courier/holdings.c - after a loss on either side: what is held here, and how the vault's log stands.  docs/PROTOCOL.md §8. */
#include "agent/courier/internal.h"

enum { MESSAGE_MAX = 65536, AGAIN_S = 86400, NOTE_MAX = KLUIS_CHECKPOINT_MAX + KLUIS_P7S_MAX + 256 };

/* The next packages by id, above `after`.  *n 0: no more. */
static kluis_status next_page(struct courier *c, uint8_t after[32], struct kluis_holding *list, size_t *n, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    *n = 0;
    KLUIS_TRY(kluis_db_query(c->h->db, &st, err,
                             "SELECT id,backed_up IS NOT NULL FROM package WHERE state=3 AND removed IS NULL AND id>?1 ORDER BY id LIMIT ?2", "hi",
                             after, (int64_t)KLUIS_HOLDINGS_MAX));
    kluis_status rc;
    while ((rc = kluis_db_step(c->h->db, st, err)) == KLUIS_OK) {
        struct kluis_holding *h = &list[*n];
        if (!kluis_db_fixed(st, 0, h->package, 32)) {
            rc = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a package's row in agent.db is damaged: restore the home folder");
            break;
        }
        h->state = KLUIS_HOLDING_HERE | (kluis_db_int(st, 1) != 0 ? KLUIS_HOLDING_BACKED_UP : 0);
        ++*n;
    }
    kluis_db_done(st);
    if (rc != KLUIS_END) { return rc; }
    if (*n > 0) { memcpy(after, list[*n - 1].package, 32); }
    return KLUIS_OK;
}

/* Not kept to be sent again byte for byte, as deliveries are: said twice it changes nothing. */
static kluis_status say(struct courier *c, const struct kluis_holding *list, size_t n, uint64_t log_size, struct kluis_err *err)
{
    uint8_t id[16];
    char path[96], hex[33];
    KLUIS_AUTO_BUF(plain, MESSAGE_MAX);
    KLUIS_AUTO_BUF(body, MESSAGE_MAX);
    KLUIS_TRY(kluis_holdings_write(list, n, log_size, &plain, err));
    KLUIS_TRY(kluis_db_begin(c->h->db, err));
    kluis_status rc = kluis_session_encrypt(c->session, kluis_buf_bytes(&plain), &body, err);
    if (rc != KLUIS_OK) {
        kluis_db_rollback(c->h->db);
        return rc;
    }
    KLUIS_TRY(kluis_db_commit(c->h->db, "agent.holdings.made", err));
    kluis_random(id, sizeof id);
    courier_hex16(id, hex);
    (void)snprintf(path, sizeof path, "/v1/message/%s", hex);
    struct http_answer a = { 0 };
    kluis_buf_init(&a.body, 4096);
    rc = http_request(c->http, "POST", path, kluis_buf_bytes(&body), true, 60, &a, err);
    c->retry_after_s = a.retry_after_s;
    if (rc == KLUIS_OK && a.status != 202 && a.status != 200) { rc = http_refusal(&a, "what is held here could not be told", err); }
    kluis_buf_free(&a.body);
    return rc;
}

/* Once a day the vault is asked to show that its log continues the one that this home knows. */
static kluis_status log_to_ask(struct courier *c, int64_t now, bool *due, struct kluis_err *err)
{
    int64_t size = 0, checked = 0;
    KLUIS_TRY(home_int(c->h, "log-size", 0, &size, err));
    KLUIS_TRY(home_int(c->h, "log-checked", 0, &checked, err));
    *due = size > 0 && checked != 0 && (checked < now - (int64_t)AGAIN_S * 1000000 || checked > now);
    return KLUIS_OK;
}

/* The tree that the answer's proof has to begin with is the one of this moment: receipts may come before the answer. */
static kluis_status ask_log(struct courier *c, int64_t *size, struct kluis_err *err)
{
    kluis_hash head;
    KLUIS_AUTO_BUF(b, sizeof head.b);
    KLUIS_TRY(home_int(c->h, "log-size", 0, size, err));
    kluis_status rc = home_bytes(c->h, "log-head", &b, err);
    if (rc == KLUIS_E_NOTFOUND) { *size = 0; }
    if (rc != KLUIS_OK && rc != KLUIS_E_NOTFOUND) { return rc; }
    KLUIS_TRY(home_set_int(c->h, "log-asked", *size, err));
    return *size == 0 ? KLUIS_OK : home_set_bytes(c->h, "log-asked-head", kluis_buf_bytes(&b), err);
}

#define UNANSWERED "state=2 AND device<>?1 AND (handed<?2 OR handed>?3)"
/* What was acknowledged under an earlier enrolment: answers to that device reach nobody here any more, so what is not known to stand in a backup is
 * told of again, and what was asked back and stayed unanswered is sent anew. */
static kluis_status earlier_to_tell(struct courier *c, int64_t now, bool *due, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    const int64_t before = now - (int64_t)AGAIN_S * 1000000;
    KLUIS_TRY(kluis_db_run(c->h->db, NULL, err, "DELETE FROM outbox WHERE package IN (SELECT id FROM package WHERE " UNANSWERED ")", "sii", c->device,
                           before, now));
    KLUIS_TRY(kluis_db_run(c->h->db, NULL, err, "UPDATE package SET state=1, handed=NULL WHERE " UNANSWERED, "sii", c->device, before, now));
    KLUIS_TRY(kluis_db_query(c->h->db, &st, err,
                             "SELECT 1 FROM package WHERE state=3 AND removed IS NULL AND backed_up IS NULL AND device<>?1 LIMIT 1", "s", c->device));
    kluis_status rc = kluis_db_step(c->h->db, st, err);
    kluis_db_done(st);
    *due = rc == KLUIS_OK;
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

kluis_status courier_tell_holdings(struct courier *c, struct courier_counts *counts, struct kluis_err *err)
{
    uint8_t after[32] = { 0 };
    int64_t now = kluis_now_us(), said = 0, size = 0;
    size_t n = 0;
    bool check = false;
    KLUIS_TRY(home_int(c->h, "holdings", 0, &said, err));
    KLUIS_TRY(log_to_ask(c, now, &check, err));
    bool due = said != 0 && (said == COURIER_HOLDINGS_DUE || said <= now - (int64_t)AGAIN_S * 1000000 || said > now);
    if (!due && (!check || said != 0)) { return KLUIS_OK; }
    if (!due) { KLUIS_TRY(earlier_to_tell(c, now, &due, err)); }
    struct kluis_holding *list = kluis_calloc(KLUIS_HOLDINGS_MAX, sizeof *list);
    if (list == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    kluis_status rc = ask_log(c, &size, err);
    if (rc == KLUIS_OK && due) { rc = next_page(c, after, list, &n, err); }
    bool any = rc == KLUIS_OK && (n > 0 || size > 0);
    for (bool more = any; rc == KLUIS_OK && more; more = n > 0) {
        rc = say(c, list, n, (uint64_t)size, err);
        if (rc == KLUIS_OK && n > 0) { rc = next_page(c, after, list, &n, err); }
    }
    kluis_free(list);
    if (rc != KLUIS_OK) { return rc; }
    counts->asked = any;
    return home_set_int(c->h, "holdings", any ? now : 0, err);
}

/* ---- the log ---- */

/* Both checkpoints, as they were signed and sealed, of the first time that this log was not believed: no answer of the vault takes them away. */
static kluis_status keep_evidence(struct courier *c, struct kluis_bytes shown, const char *reason, struct kluis_err *err)
{
    int64_t at = 0;
    KLUIS_AUTO_BUF(known, NOTE_MAX);
    KLUIS_AUTO_BUF(both, 2 * NOTE_MAX + 64);
    KLUIS_TRY(home_int(c->h, "log-conflict-at", 0, &at, err));
    if (at != 0) { return KLUIS_OK; }
    kluis_status rc = home_bytes(c->h, "log-note", &known, err);
    if (rc != KLUIS_OK && rc != KLUIS_E_NOTFOUND) { return rc; }
    kluis_wire_field(&both, known.data, known.len);
    kluis_wire_field(&both, shown.ptr, shown.len);
    KLUIS_TRY(kluis_buf_ok(&both, err));
    KLUIS_TRY(home_set_bytes(c->h, "log-conflict", kluis_buf_bytes(&both), err));
    KLUIS_TRY(home_set_text(c->h, "log-conflict-why", reason, err));
    return home_set_int(c->h, "log-conflict-at", kluis_now_us(), err);
}

/* Evidence is kept; E_REJECT all the same. */
static kluis_status not_believed(struct courier *c, struct kluis_bytes shown, const char *reason, struct kluis_err *err)
{
    struct kluis_err why = { 0 };
    kluis_status rc = keep_evidence(c, shown, reason, &why);
    return rc == KLUIS_OK ? KLUIS_FAIL(err, KLUIS_E_REJECT, "%s", reason) : KLUIS_FAIL(err, rc, "%s", why.msg);
}

kluis_status courier_note_log(struct courier *c, const struct kluis_checkpoint *k, struct kluis_bytes note, bool newest, struct kluis_err *err)
{
    int64_t since_was = 0, size_was = 0;
    kluis_hash head;
    char reason[KLUIS_ERR_MSG];
    KLUIS_TRY(home_int(c->h, "log-since", 0, &since_was, err));
    KLUIS_TRY(home_int(c->h, "log-size", 0, &size_was, err));
    uint64_t since = (uint64_t)since_was, size = (uint64_t)size_was;
    KLUIS_AUTO_BUF(b, sizeof head.b);
    kluis_status rc = home_bytes(c->h, "log-head", &b, err);
    if (rc != KLUIS_OK && rc != KLUIS_E_NOTFOUND) { return rc; }
    bool known = rc == KLUIS_OK && b.len == sizeof head.b;
    if (known && k->since == since && k->size == size && memcmp(b.data, k->head.b, sizeof head.b) != 0) {
        (void)snprintf(reason, sizeof reason, "two different trees of %llu leaves were signed: tell your administrator", (unsigned long long)size);
        return not_believed(c, note, reason, err);
    }
    if (known && (k->since < since || (k->since == since && k->size < size))) {
        if (!newest) { return KLUIS_OK; } /* the receipt of an older package */
        (void)snprintf(reason, sizeof reason, "it went backwards, from %llu leaves to %llu: tell your administrator", (unsigned long long)size,
                       (unsigned long long)k->size);
        return not_believed(c, note, reason, err);
    }
    if (k->size > INT64_MAX || k->since > INT64_MAX) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "its size is out of range"); }
    if (!known) { KLUIS_TRY(home_set_int(c->h, "log-checked", kluis_now_us(), err)); } /* from here on there is something to hold it against */
    KLUIS_TRY(home_set_int(c->h, "log-since", (int64_t)k->since, err));
    KLUIS_TRY(home_set_int(c->h, "log-size", (int64_t)k->size, err));
    KLUIS_TRY(home_set_bytes(c->h, "log-note", note, err));
    return home_set_bytes(c->h, "log-head", (struct kluis_bytes){ k->head.b, sizeof k->head.b }, err);
}

/* The checkpoint of a receipt that verified is what follows the first empty line of its proof (FORMAT.md §7). */
kluis_status courier_note_receipt(struct courier *c, const struct kluis_checkpoint *k, const struct kluis_receipt *r, struct kluis_err *err)
{
    const char *gap = memmem(r->proof.ptr, r->proof.len, "\n\n", 2);
    KLUIS_AUTO_BUF(note, NOTE_MAX);
    if (gap == NULL) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "its proof has no checkpoint"); }
    const struct kluis_log_note n = { .checkpoint = { (const uint8_t *)gap + 2, r->proof.len - (size_t)(gap + 2 - r->proof.ptr) },
                                      .seal = r->checkpoint_seal };
    KLUIS_TRY(kluis_log_write(&n, &note, err));
    return courier_note_log(c, k, kluis_buf_bytes(&note), false, err);
}

/* Does the tree continue the one that was known when the question was asked?  One log alone: a log that began anew names the older one in its
 * first leaf. */
static kluis_status continues(struct courier *c, const struct kluis_checkpoint *k, const struct kluis_log_note *note, bool *ok, struct kluis_err *err)
{
    int64_t asked = 0, since = 0;
    kluis_hash head, proof[KLUIS_LOG_PROOF_MAX];
    KLUIS_AUTO_BUF(b, sizeof head.b);
    *ok = true;
    KLUIS_TRY(home_int(c->h, "log-asked", 0, &asked, err));
    KLUIS_TRY(home_int(c->h, "log-since", 0, &since, err));
    if (asked <= 0 || (uint64_t)since != k->since || k->size < (uint64_t)asked) {
        return KLUIS_OK;
    } /* smaller: it went backwards, which is told as that */
    KLUIS_TRY(home_bytes(c->h, "log-asked-head", &b, err));
    if (b.len != sizeof head.b) { return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a hash in agent.db is damaged: restore the home folder"); }
    memcpy(head.b, b.data, sizeof head.b);
    for (size_t i = 0; i < note->n_proof; i++) { memcpy(proof[i].b, note->proof[i], sizeof proof[i].b); }
    struct kluis_err why = { 0 };
    *ok = kluis_check_consistency((uint64_t)asked, k->size, &head, &k->head, proof, note->n_proof, &why) == KLUIS_OK;
    return KLUIS_OK;
}

kluis_status courier_judge_log(struct courier *c, struct kluis_bytes body, struct kluis_err *err)
{
    struct kluis_log_note note;
    struct kluis_checkpoint k;
    bool ok = true;
    KLUIS_AUTO_BUF(own, KLUIS_CHECKPOINT_MAX);
    KLUIS_TRY(home_set_int(c->h, "log-checked", kluis_now_us(), err));
    if (body.len == 0) { /* an empty log: backwards, unless it was never seen with anything in it */
        int64_t size = 0;
        KLUIS_TRY(home_int(c->h, "log-size", 0, &size, err));
        return size == 0 ? KLUIS_OK : not_believed(c, body, "it is empty and was not before: tell your administrator", err);
    }
    KLUIS_TRY(kluis_log_read(body, &note, err));
    struct kluis_str t = { (const char *)note.checkpoint.ptr, note.checkpoint.len };
    KLUIS_TRY(kluis_checkpoint_open(t, c->trust->log_vkey, &k, err));
    KLUIS_TRY(kluis_checkpoint_own(t, c->trust->log_vkey, &own, err));
    KLUIS_TRY(courier_judge_seal(c->trust, note.seal, kluis_buf_bytes(&own), "its checkpoint", err));
    KLUIS_TRY(continues(c, &k, &note, &ok, err));
    if (!ok) { return not_believed(c, body, "its tree does not continue the one that was signed before: tell your administrator", err); }
    return courier_note_log(c, &k, body, true, err);
}
