/* server/ingest/tell.c - answers about many packages at once: that they stand in a completed backup. */
#include <stdlib.h>

#include "server/ingest/ingest_internal.h"

enum { OWNERS = 4096 };

struct owner {
    char device[CUSTODY_DEVICE];
    uint8_t package[32];
};
struct telling {
    struct owner *list;
    size_t n;
    uint64_t last;
};

static kluis_status note(void *ctx, uint64_t sequence, const char *device, const uint8_t package[32], KLUIS_UNUSED struct kluis_err *err)
{
    struct telling *t = ctx;
    struct owner *o = &t->list[t->n++];
    (void)snprintf(o->device, sizeof o->device, "%s", device);
    memcpy(o->package, package, 32);
    t->last = sequence;
    return KLUIS_OK;
}

static int by_device(const void *a, const void *b) { return strcmp(((const struct owner *)a)->device, ((const struct owner *)b)->device); }

kluis_status ingest_answer_many(struct ingest *in, const char *device, uint32_t kind, const uint8_t *packages, size_t n, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(rest, 32 * (size_t)KLUIS_ANSWER_PACKAGES_MAX);
    struct custody_answer a;
    memset(&a, 0, sizeof a);
    (void)snprintf(a.device, sizeof a.device, "%s", device);
    a.kind = kind;
    memcpy(a.package, packages, 32);
    kluis_buf_add(&rest, packages + 32, (n - 1) * 32);
    KLUIS_TRY(kluis_buf_ok(&rest, err));
    return custody_outbox_add(in->c.custody, &a, kluis_buf_bytes(&rest), err);
}

/* In the caller's transaction. */
static kluis_status tell(struct ingest *in, const struct telling *t, struct kluis_err *err)
{
    for (size_t at = 0; at < t->n;) {
        uint8_t ids[KLUIS_ANSWER_PACKAGES_MAX * 32];
        size_t n = 0;
        const char *device = t->list[at].device;
        while (at < t->n && n < KLUIS_ANSWER_PACKAGES_MAX && strcmp(t->list[at].device, device) == 0) {
            memcpy(ids + 32 * n++, t->list[at++].package, 32);
        }
        KLUIS_TRY(ingest_answer_many(in, device, KLUIS_ANSWER_BACKED_UP, ids, n, err));
    }
    return custody_number_set(in->c.custody, CUSTODY_BACKED_UP_TOLD, t->last, err);
}

static kluis_status tell_some(struct ingest *in, struct telling *t, bool *more, struct kluis_err *err)
{
    uint64_t upto, told;
    *more = false;
    KLUIS_TRY(custody_number_get(in->c.custody, CUSTODY_BACKED_UP, 0, &upto, err));
    KLUIS_TRY(custody_number_get(in->c.custody, CUSTODY_BACKED_UP_TOLD, 0, &told, err));
    if (told >= upto) { return KLUIS_OK; }
    t->n = 0;
    KLUIS_TRY(custody_owners(in->c.custody, told, upto, OWNERS, t, note, err));
    if (t->n == 0) { return KLUIS_OK; }
    qsort(t->list, t->n, sizeof *t->list, by_device);
    KLUIS_TRY(custody_begin(in->c.custody, err));
    kluis_status rc = tell(in, t, err);
    if (rc != KLUIS_OK) {
        custody_rollback(in->c.custody);
        return rc;
    }
    KLUIS_TRY(custody_commit(in->c.custody, "vault.backup.told", err));
    *more = t->n == OWNERS;
    return KLUIS_OK;
}

kluis_status ingest_tell_backups(struct ingest *in, struct kluis_err *err)
{
    bool more = true;
    struct telling t = { .list = kluis_calloc(OWNERS, sizeof *t.list) };
    kluis_status rc = t.list == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot tell of a backup: out of memory") : KLUIS_OK;
    while (rc == KLUIS_OK && more && !ingest_stopping(in)) { rc = tell_some(in, &t, &more, err); }
    kluis_free(t.list);
    return rc;
}

/* ---- holdings ---- */

bool ingest_are_holdings(struct kluis_bytes plain)
{
    struct kluis_wire w = kluis_wire_open(plain);
    return kluis_wire_is(&w, "chatkluis-holdings-v1");
}

struct sorting {
    struct kluis_holding list[KLUIS_HOLDINGS_MAX];
    uint8_t lacking[KLUIS_HOLDINGS_MAX * 32], backed_up[KLUIS_HOLDINGS_MAX * 32];
    size_t n, n_lacking, n_backed_up;
};

/* Only about packages of the same official: what others hold is nobody's to ask. */
static kluis_status sort_one(struct ingest *in, struct sorting *s, const struct kluis_holding *h, uint64_t upto, const char *official,
                             struct kluis_err *err)
{
    struct custody_delivery d;
    struct custody_package p;
    kluis_status rc = custody_inbox_by_package(in->c.custody, h->package, &d, err);
    if (rc == KLUIS_E_NOTFOUND) {
        if ((h->state & KLUIS_HOLDING_HERE) != 0) { memcpy(s->lacking + 32 * s->n_lacking++, h->package, 32); }
        return KLUIS_OK;
    }
    KLUIS_TRY(rc);
    if (d.state != CUSTODY_ACCEPTED || (h->state & KLUIS_HOLDING_BACKED_UP) != 0) { return KLUIS_OK; }
    KLUIS_TRY(custody_package_by_delivery(in->c.custody, d.number, &p, err));
    if (p.sequence <= upto && strcmp(p.official, official) == 0) { memcpy(s->backed_up + 32 * s->n_backed_up++, h->package, 32); }
    return KLUIS_OK;
}

kluis_status ingest_answer_holdings(struct ingest *in, const char *device, const char *official, struct kluis_bytes holdings, struct kluis_err *err)
{
    uint64_t upto, log_size = 0;
    uint8_t asked[8];
    struct kluis_err why = { 0 };
    struct custody_answer a;
    struct sorting *s = kluis_calloc(1, sizeof *s);
    if (s == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot answer a device: out of memory"); }
    /* A device that talks nonsense is answered with how the log stands, and nothing else. */
    if (kluis_holdings_read(holdings, s->list, &s->n, &log_size, &why) != KLUIS_OK) { s->n = log_size = 0; }
    for (int i = 0; i < 8; i++) { asked[i] = (uint8_t)(log_size >> (56 - 8 * i)); }
    kluis_status rc = custody_number_get(in->c.custody, CUSTODY_BACKED_UP, 0, &upto, err);
    for (size_t i = 0; rc == KLUIS_OK && i < s->n; i++) { rc = sort_one(in, s, &s->list[i], upto, official, err); }
    if (rc == KLUIS_OK && s->n_lacking > 0) { rc = ingest_answer_many(in, device, KLUIS_ANSWER_RESEND, s->lacking, s->n_lacking, err); }
    if (rc == KLUIS_OK && s->n_backed_up > 0) { rc = ingest_answer_many(in, device, KLUIS_ANSWER_BACKED_UP, s->backed_up, s->n_backed_up, err); }
    memset(&a, 0, sizeof a);
    (void)snprintf(a.device, sizeof a.device, "%s", device);
    a.kind = KLUIS_ANSWER_LOG;
    if (rc == KLUIS_OK) { rc = custody_outbox_add(in->c.custody, &a, (struct kluis_bytes){ asked, sizeof asked }, err); }
    if (s->n_lacking > 0) { kluis_log(KLUIS_LOG_INFO, "packages.asked", "device=%s n=%zu of=%zu", device, s->n_lacking, s->n); }
    kluis_free(s);
    return rc;
}
