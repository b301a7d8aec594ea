/* agent/courier/holdings.c - after a loss on either side: what is held here, and how the vault's log stands.  docs/PROTOCOL.md §8. */
#include "agent/courier/internal.h"

enum { MESSAGE_MAX = 65536, AGAIN_S = 86400 };

/* The next packages by id, above `after`.  *n 0: no more. */
static kluis_status next_page(struct courier *c, uint8_t after[32], struct kluis_holding *list, size_t *n, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    *n = 0;
    KLUIS_TRY(kluis_db_query(
        c->h->db, &st, err, "SELECT id,device=?2,backed_up IS NOT NULL FROM package WHERE state=3 AND removed IS NULL AND id>?1 ORDER BY id LIMIT ?3",
        "hsi", after, c->device, (int64_t)KLUIS_HOLDINGS_MAX));
    kluis_status rc;
    while ((rc = kluis_db_step(c->h->db, st, err)) == KLUIS_OK) {
        struct kluis_holding *h = &list[*n];
        if (!kluis_db_fixed(st, 0, h->package, 32)) {
            rc = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a package's row in agent.db is damaged: restore the home folder");
            break;
        }
        h->state = (kluis_db_int(st, 1) != 0 ? KLUIS_HOLDING_OWN : 0) | (kluis_db_int(st, 2) != 0 ? KLUIS_HOLDING_BACKED_UP : 0);
        ++*n;
    }
    kluis_db_done(st);
    if (rc != KLUIS_END) { return rc; }
    if (*n > 0) { memcpy(after, list[*n - 1].package, 32); }
    return KLUIS_OK;
}

/* Not kept to be sent again byte for byte, as deliveries are: said twice it changes nothing. */
static kluis_status say(struct courier *c, const struct kluis_holding *list, size_t n, struct kluis_err *err)
{
    uint8_t id[16];
    char path[96], hex[33];
    KLUIS_AUTO_BUF(plain, MESSAGE_MAX);
    KLUIS_AUTO_BUF(body, MESSAGE_MAX);
    KLUIS_TRY(kluis_holdings_write(list, n, &plain, err));
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

kluis_status courier_tell_holdings(struct courier *c, struct courier_counts *counts, struct kluis_err *err)
{
    uint8_t after[32] = { 0 };
    int64_t now = kluis_now_us(), said = 0;
    size_t n = 0;
    KLUIS_TRY(home_int(c->h, "holdings", 0, &said, err));
    if (said == 0 || (said != COURIER_HOLDINGS_DUE && said > now - (int64_t)AGAIN_S * 1000000 && said <= now)) { return KLUIS_OK; }
    struct kluis_holding *list = kluis_calloc(KLUIS_HOLDINGS_MAX, sizeof *list);
    if (list == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    kluis_status rc = next_page(c, after, list, &n, err);
    bool any = rc == KLUIS_OK && n > 0;
    while (rc == KLUIS_OK && n > 0) {
        rc = say(c, list, n, err);
        if (rc == KLUIS_OK) { rc = next_page(c, after, list, &n, err); }
    }
    kluis_free(list);
    if (rc != KLUIS_OK) { return rc; }
    counts->asked = any;
    return home_set_int(c->h, "holdings", any ? now : 0, err);
}

/* ---- the log ---- */

kluis_status courier_note_log(struct courier *c, const struct kluis_checkpoint *k, bool newest, struct kluis_err *err)
{
    int64_t since_was = 0, size_was = 0;
    kluis_hash head;
    KLUIS_TRY(home_int(c->h, "log-since", 0, &since_was, err));
    KLUIS_TRY(home_int(c->h, "log-size", 0, &size_was, err));
    uint64_t since = (uint64_t)since_was, size = (uint64_t)size_was;
    KLUIS_AUTO_BUF(b, sizeof head.b);
    kluis_status rc = home_bytes(c->h, "log-head", &b, err);
    if (rc != KLUIS_OK && rc != KLUIS_E_NOTFOUND) { return rc; }
    bool known = rc == KLUIS_OK && b.len == sizeof head.b;
    if (known && k->since == since && k->size == size && memcmp(b.data, k->head.b, sizeof head.b) != 0) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "two different trees of %llu leaves were signed: tell your administrator", (unsigned long long)size);
    }
    if (known && (k->since < since || (k->since == since && k->size < size))) {
        if (!newest) { return KLUIS_OK; } /* the receipt of an older package */
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "it went backwards, from %llu leaves to %llu: tell your administrator", (unsigned long long)size,
                          (unsigned long long)k->size);
    }
    if (k->size > INT64_MAX || k->since > INT64_MAX) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "its size is out of range"); }
    KLUIS_TRY(home_set_int(c->h, "log-since", (int64_t)k->since, err));
    KLUIS_TRY(home_set_int(c->h, "log-size", (int64_t)k->size, err));
    return home_set_bytes(c->h, "log-head", (struct kluis_bytes){ k->head.b, sizeof k->head.b }, err);
}

kluis_status courier_judge_log(struct courier *c, struct kluis_bytes body, struct kluis_err *err)
{
    struct kluis_bytes text, seal;
    struct kluis_checkpoint k;
    KLUIS_AUTO_BUF(own, KLUIS_CHECKPOINT_MAX);
    if (body.len == 0) { /* an empty log: backwards, unless it was never seen with anything in it */
        int64_t size = 0;
        KLUIS_TRY(home_int(c->h, "log-size", 0, &size, err));
        return size == 0 ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_REJECT, "it is empty and was not before: tell your administrator");
    }
    KLUIS_TRY(kluis_log_read(body, &text, &seal, err));
    struct kluis_str t = { (const char *)text.ptr, text.len };
    KLUIS_TRY(kluis_checkpoint_open(t, c->trust->log_vkey, &k, err));
    KLUIS_TRY(kluis_checkpoint_own(t, c->trust->log_vkey, &own, err));
    KLUIS_TRY(courier_judge_seal(c->trust, seal, kluis_buf_bytes(&own), "its checkpoint", err));
    return courier_note_log(c, &k, true, err);
}
