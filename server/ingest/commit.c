/* server/ingest/commit.c - the committer: T2 in groups, then checkpoint, mirror, answers, in this order and again after any stop. */
#include "server/ingest/ingest_internal.h"

enum { ANSWERS = 32, POST_BYTES = 4 << 20, MIRROR_LEAVES = 5000, STAMP_WAIT_S = 8 };
#define STAMP_AGAIN_US ((int64_t)15 * 1000000) /* an authority that failed is left alone this long */
#define GATE_AGAIN_US ((int64_t)3 * 1000000)

struct committer {
    struct ingest *in;
    struct link *l;
    int64_t stamp_after, gate_after;
    uint64_t mirrored;
    bool mirror_known;
    /* Receipts wait for the index, but not for ever. */
    uint64_t told;    /* packages up to here may be told of               */
    uint64_t seen;    /* the index's watermark when it was last looked at */
    int64_t moved_us; /* it moved then, or a receipt began to wait        */
    uint64_t mark;    /* what was committed at mark_us                    */
    int64_t mark_us;
    bool held; /* some receipt waits */
};

/* ---- what may be told ---- */

/* Whose receipts may go out now: packages that the index has; all, when it stands still; those of long ago, when it is far behind.  What
 * a receipt promises is the package; the index is derived. */
static void let_go(struct committer *m)
{
    struct ingest *in = m->in;
    const int64_t now = kluis_monotonic_us();
    const uint64_t indexed = index_watermark(in->c.index);
    pthread_mutex_lock(&in->lock);
    const uint64_t committed = in->handed;
    pthread_mutex_unlock(&in->lock);
    if (indexed != m->seen || !m->held) { m->moved_us = now; }
    m->seen = indexed;
    if (indexed > m->told) { m->told = indexed; }
    if (now - m->moved_us >= RECEIPT_STILL_US && committed > m->told) { m->told = committed; }
    if (now - m->mark_us >= RECEIPT_LONG_US) {
        if (m->mark > m->told) { m->told = m->mark; }
        m->mark = committed;
        m->mark_us = now;
    }
}

/* A receipt waits that may not have to wait any longer. */
static bool more_to_tell(const struct committer *m)
{
    const int64_t now = kluis_monotonic_us();
    return m->held && (index_watermark(m->in->c.index) > m->told || now - m->moved_us >= RECEIPT_STILL_US || now - m->mark_us >= RECEIPT_LONG_US);
}

/* ---- T2 ---- */

static kluis_status commit_accepted(struct ingest *in, struct decided *o, struct kluis_err *err)
{
    struct kluis_leaf leaf;
    KLUIS_AUTO_BUF(text, KLUIS_LEAF_MAX);
    memset(&leaf, 0, sizeof leaf);
    memcpy(leaf.package, o->d.package, 32);
    memcpy(leaf.records_root, o->p.records_root, 32);
    memcpy(leaf.device, o->p.device_cert, 32);
    (void)snprintf(leaf.verdict, sizeof leaf.verdict, "%s", o->p.verdict);
    leaf.received_us = o->d.received_us / 1000000 * 1000000;
    if (!o->p.awaited) { /* else its leaf stands in the log already */
        KLUIS_TRY(kluis_leaf_write(&leaf, &text, err));
        KLUIS_TRY(ledger_append(in->c.ledger, kluis_buf_bytes(&text), &o->p.leaf, err));
    }
    KLUIS_TRY(custody_package_add(in->c.custody, &o->p, err));
    struct custody_answer a;
    memset(&a, 0, sizeof a);
    (void)snprintf(a.device, sizeof a.device, "%s", custody_bringer(&o->d));
    memcpy(a.package, o->d.package, 32);
    a.kind = KLUIS_ANSWER_RECEIPT;
    a.package_sequence = o->p.sequence;
    return custody_outbox_add(in->c.custody, &a, (struct kluis_bytes){ NULL, 0 }, err);
}

static kluis_status commit_refused(struct ingest *in, const struct decided *o, struct kluis_err *err)
{
    struct custody_refusal r;
    struct custody_answer a;
    memset(&r, 0, sizeof r);
    memset(&a, 0, sizeof a);
    r.delivery = o->d.number;
    (void)snprintf(r.device, sizeof r.device, "%s", custody_bringer(&o->d));
    memcpy(r.package, o->d.package, 32);
    r.sequence = o->d.sequence;
    (void)snprintf(r.layer, sizeof r.layer, "%s", o->layer);
    (void)snprintf(r.reason, sizeof r.reason, "%s", o->reason);
    r.refused_us = kluis_now_us();
    r.statement = kluis_buf_bytes(&o->statement);
    KLUIS_TRY(custody_refusal_add(in->c.custody, &r, err));
    (void)snprintf(a.device, sizeof a.device, "%s", custody_bringer(&o->d));
    memcpy(a.package, o->d.package, 32);
    a.kind = KLUIS_ANSWER_REFUSAL;
    return custody_outbox_add(in->c.custody, &a, r.statement, err);
}

static kluis_status commit_group(struct ingest *in, struct decided *list, struct kluis_err *err)
{
    KLUIS_TRY(custody_begin(in->c.custody, err));
    kluis_status rc = KLUIS_OK;
    for (struct decided *o = list; o != NULL && rc == KLUIS_OK; o = o->next) {
        rc = o->accepted ? commit_accepted(in, o, err) : commit_refused(in, o, err);
    }
    return ledger_end(in->c.ledger, rc, "vault.t2.commit", err);
}

/* Accepted packages go on to the feeder, the rest is over. */
static void hand_over(struct ingest *in, struct decided *list)
{
    pthread_mutex_lock(&in->lock);
    while (list != NULL) {
        struct decided *o = list;
        list = o->next;
        o->next = NULL;
        if (o->accepted) {
            *in->feed_end = o;
            in->feed_end = &o->next;
            in->handed = o->p.sequence;
            in->packages = true;
        } else {
            kluis_log(KLUIS_LOG_WARN, "package.refused", "device=%s layer=%s reason=%s", o->d.device, o->layer, o->reason);
            in->held_packages--;
            decided_free(o);
        }
    }
    pthread_cond_broadcast(&in->changed);
    pthread_mutex_unlock(&in->lock);
}

/* ---- checkpoint and receipts ---- */

static kluis_status ask_time(void *ctx, struct kluis_bytes request, struct kluis_buf *response, struct kluis_err *err)
{
    struct committer *m = ctx;
    struct link_answer a;
    KLUIS_TRY(link_call(m->l, "POST", "/vault/v1/timestamp", request, STAMP_WAIT_S, response, &a, err));
    return a.status == 200 ? KLUIS_OK : LINK_REFUSED(&a, err, "no time authority answers");
}

static kluis_status receipt_text(struct ingest *in, struct custody_package *p, uint64_t size, bool stamped, struct kluis_buf *out,
                                 struct kluis_err *err)
{
    /* A stamped receipt stays what it is; a pending one moves to the newest checkpoint. */
    if (!p->receipt_stamped && p->leaf < size) {
        p->receipt_size = size;
        p->receipt_stamped = stamped;
    }
    return ledger_receipt(in->c.ledger, p->leaf, p->receipt_size, out, err);
}

/* The newest checkpoint, and how it continues the one that the device knows (asked: its size, u64be); an empty text for an empty log. */
static kluis_status log_text(struct ingest *in, struct kluis_bytes asked, struct kluis_buf *out, uint64_t *size, struct kluis_err *err)
{
    struct custody_checkpoint k;
    struct kluis_log_note note = { .n_proof = 0 };
    kluis_hash proof[KLUIS_PROOF_MAX];
    uint64_t from = 0;
    KLUIS_AUTO_BUF(text, KLUIS_CHECKPOINT_MAX);
    KLUIS_AUTO_BUF(seal, KLUIS_P7S_MAX);
    for (size_t i = 0; i < asked.len && asked.len == 8; i++) { from = from << 8 | asked.ptr[i]; }
    kluis_status rc = custody_checkpoint_get(in->c.custody, 0, &k, &text, &seal, err);
    *size = rc == KLUIS_OK ? k.size : 0;
    if (rc == KLUIS_E_NOTFOUND) { return KLUIS_OK; }
    KLUIS_TRY(rc);
    note.checkpoint = kluis_buf_bytes(&text);
    note.seal = kluis_buf_bytes(&seal);
    if (from > 0 && from <= k.size) {
        KLUIS_TRY(ledger_consistency(in->c.ledger, from, k.size, proof, &note.n_proof, err));
        for (size_t i = 0; i < note.n_proof; i++) { memcpy(note.proof[i], proof[i].b, sizeof note.proof[i]); }
    }
    return kluis_log_write(&note, out, err);
}

static kluis_status encrypt_answer(struct ingest *in, const struct custody_answer *a, struct kluis_bytes body, struct kluis_buf *out,
                                   struct kluis_err *err)
{
    struct reg_device dev;
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(1 << 20);
    KLUIS_AUTO(kluis_session) s = NULL;
    KLUIS_AUTO_BUF(plain, KLUIS_ANSWER_BODY_MAX + 1024);
    const struct kluis_answer ka = { .kind = (enum kluis_answer_kind)a->kind, .body = body };
    struct kluis_answer with_id = ka;
    memcpy(with_id.package, a->package, 32);
    if (arena == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot answer: out of memory"); }
    pthread_mutex_lock(in->c.reg_lock);
    kluis_status rc = reg_device_get(in->c.reg, a->device, arena, &dev, err);
    pthread_mutex_unlock(in->c.reg_lock);
    KLUIS_TRY(rc);
    KLUIS_TRY(kluis_answer_write(&with_id, &plain, err));
    size_t mark = sessions_mark(in->sessions);
    rc = kluis_session_open(&s, sessions_store(in->sessions), in->c.keys->identity, a->device, dev.identity, err);
    if (rc == KLUIS_OK) { rc = kluis_session_encrypt(s, kluis_buf_bytes(&plain), out, err); }
    if (rc != KLUIS_OK) { sessions_undo(in->sessions, mark); }
    return rc;
}

struct made {
    struct custody_answer a;
    struct custody_package p;
    bool has_package, skip;
    uint64_t tree_size;
    struct kluis_buf body;
};

/* Up to ANSWERS answers: made and encrypted with no transaction open, then kept with the session state in one.  *n: how many. */
static kluis_status make_answers(struct committer *m, uint64_t size, bool stamped, uint64_t *after, size_t *n, struct kluis_err *err)
{
    struct ingest *in = m->in;
    struct made *made = kluis_calloc(ANSWERS, sizeof *made);
    kluis_status rc = KLUIS_OK;
    *n = 0;
    if (made == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot answer: out of memory"); }
    sessions_lock(in->sessions);
    while (*n < ANSWERS) {
        struct made *k = &made[*n];
        struct kluis_err why = { 0 };
        KLUIS_AUTO_BUF(body, KLUIS_ANSWER_BODY_MAX);
        rc = custody_outbox_next(in->c.custody, *after, CUSTODY_TO_MAKE, &k->a, &body, err);
        if (rc != KLUIS_OK) { break; }
        if (k->a.package_sequence > m->told) { /* it and what follows it wait for the index */
            m->held = true;
            break;
        }
        *after = k->a.number;
        kluis_buf_init(&k->body, KLUIS_SESSION_PLAIN_MAX + 4096);
        ++*n;
        if (k->a.kind == KLUIS_ANSWER_RECEIPT) {
            if ((rc = custody_package_get(in->c.custody, k->a.package_sequence, &k->p, err)) != KLUIS_OK) { break; }
            kluis_buf_clear(&body);
            if ((rc = receipt_text(in, &k->p, size, stamped, &body, err)) != KLUIS_OK) { break; }
            k->has_package = true;
            k->tree_size = k->p.receipt_size;
        }
        if (k->a.kind == KLUIS_ANSWER_LOG) {
            KLUIS_AUTO_BUF(asked, 8);
            kluis_buf_add(&asked, body.data, body.len);
            if ((rc = kluis_buf_ok(&asked, err)) != KLUIS_OK) { break; } /* else the device would miss a proof that it asked for */
            kluis_buf_clear(&body);
            if ((rc = log_text(in, kluis_buf_bytes(&asked), &body, &k->tree_size, err)) != KLUIS_OK) { break; }
        }
        rc = encrypt_answer(in, &k->a, kluis_buf_bytes(&body), &k->body, &why);
        if (rc == KLUIS_E_NOTFOUND || rc == KLUIS_E_REJECT) {
            /* Without a session there is nobody to tell: the row waits until the device starts one. */
            k->skip = true;
            rc = KLUIS_OK;
        } else if (rc != KLUIS_OK) {
            if (err != NULL) { *err = why; }
            break;
        }
    }
    bool any = rc == KLUIS_OK || rc == KLUIS_E_NOTFOUND;
    if (any && *n > 0 && (rc = custody_begin(in->c.custody, err)) == KLUIS_OK) {
        rc = sessions_flush(in->sessions, err);
        for (size_t i = 0; i < *n && rc == KLUIS_OK; i++) {
            const struct made *k = &made[i];
            if (!k->skip && (rc = custody_outbox_encrypted(in->c.custody, k->a.number, k->tree_size, kluis_buf_bytes(&k->body), err)) == KLUIS_OK &&
                k->has_package) {
                rc = custody_package_receipt(in->c.custody, k->p.sequence, k->p.receipt_size, k->p.receipt_stamped, err);
            }
        }
        if (rc == KLUIS_OK) {
            rc = custody_commit(in->c.custody, "vault.answer.commit", err);
        } else {
            custody_rollback(in->c.custody);
        }
    } else if (rc == KLUIS_E_NOTFOUND) {
        rc = KLUIS_OK;
    }
    sessions_unlock(in->sessions);
    for (size_t i = 0; i < *n; i++) { kluis_buf_free(&made[i].body); }
    kluis_free(made);
    return rc;
}

/* Receipts that went out without a stamp are followed by stamped ones once a stamped checkpoint covers them. */
static kluis_status follow_up(struct committer *m, uint64_t size, struct kluis_err *err)
{
    struct ingest *in = m->in;
    struct custody_package p;
    uint64_t after = 0;
    kluis_status rc;
    while ((rc = custody_package_unstamped(in->c.custody, after, size, &p, err)) == KLUIS_OK) {
        struct custody_answer a;
        memset(&a, 0, sizeof a);
        (void)snprintf(a.device, sizeof a.device, "%s", custody_bringer(&p.d));
        memcpy(a.package, p.d.package, 32);
        a.kind = KLUIS_ANSWER_RECEIPT;
        a.package_sequence = p.sequence;
        KLUIS_TRY(custody_begin(in->c.custody, err));
        rc = custody_package_receipt(in->c.custody, p.sequence, size, true, err);
        if (rc == KLUIS_OK) { rc = custody_outbox_add(in->c.custody, &a, (struct kluis_bytes){ NULL, 0 }, err); }
        if (rc != KLUIS_OK) {
            custody_rollback(in->c.custody);
            return rc;
        }
        KLUIS_TRY(custody_commit(in->c.custody, "vault.receipt.stamped", err));
        after = p.sequence;
    }
    return rc == KLUIS_E_NOTFOUND ? KLUIS_OK : rc;
}

static kluis_status checkpoint_and_answers(struct committer *m, bool *pending, struct kluis_err *err)
{
    uint64_t size = 0, after = 0;
    bool stamped = false;
    size_t n = 0;
    char why[KLUIS_ERR_MSG] = "";
    const struct ledger_clock clock = { m, ask_time, why };
    bool may_ask = kluis_monotonic_us() >= m->stamp_after;
    kluis_status rc = ledger_checkpoint(m->in->c.ledger, may_ask ? &clock : NULL, &size, &stamped, err);
    if (rc == KLUIS_E_NOTFOUND) { /* nothing was ever accepted; a refusal may still have to be told */
        kluis_err_clear(err);
        rc = KLUIS_OK;
    }
    KLUIS_TRY(rc);
    if (may_ask && !stamped && size > 0) {
        m->stamp_after = kluis_monotonic_us() + STAMP_AGAIN_US;
        kluis_log(KLUIS_LOG_WARN, "checkpoint.pending", "size=%llu reason=%s", (unsigned long long)size, why);
    }
    if (may_ask) {
        pthread_mutex_lock(&m->in->lock);
        memcpy(m->in->no_stamp, why, sizeof why);
        pthread_mutex_unlock(&m->in->lock);
    }
    if (stamped) { KLUIS_TRY(follow_up(m, size, err)); }
    KLUIS_TRY(ingest_tell_backups(m->in, err));
    *pending = size > 0 && !stamped;
    let_go(m);
    m->held = false;
    do {
        KLUIS_TRY(make_answers(m, size, stamped, &after, &n, err));
    } while (n == ANSWERS);
    return KLUIS_OK;
}

/* ---- mirror and outbox ---- */

static kluis_status post_mirror(struct committer *m, uint64_t *to, struct link_answer *a, struct kluis_err *err)
{
    struct custody_checkpoint k;
    KLUIS_AUTO_BUF(text, KLUIS_CHECKPOINT_MAX);
    KLUIS_AUTO_BUF(seal, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(body, 8 << 20);
    KLUIS_AUTO_BUF(leaf, KLUIS_LEAF_MAX);
    /* A mirror that starts anew is filled checkpoint by checkpoint. */
    kluis_status rc = custody_checkpoint_within(m->in->c.custody, m->mirrored, m->mirrored + MIRROR_LEAVES, &k, &text, &seal, err);
    if (rc == KLUIS_E_NOTFOUND) { rc = custody_checkpoint_get(m->in->c.custody, 0, &k, &text, &seal, err); }
    KLUIS_TRY(rc);
    *to = k.size;
    kluis_wire_label(&body, "chatkluis-mirror-v1");
    kluis_wire_u64(&body, m->mirrored);
    kluis_wire_field(&body, text.data, text.len);
    kluis_wire_field(&body, seal.data, seal.len);
    for (uint64_t i = m->mirrored; i < k.size; i++) {
        kluis_buf_clear(&leaf);
        KLUIS_TRY(custody_leaf_get(m->in->c.custody, i, &leaf, err));
        kluis_wire_field(&body, leaf.data, leaf.len);
    }
    KLUIS_TRY(kluis_buf_ok(&body, err));
    return link_call(m->l, "POST", "/vault/v1/mirror", kluis_buf_bytes(&body), 60, NULL, a, err);
}

static kluis_status mirror(struct committer *m, struct kluis_err *err)
{
    struct custody_checkpoint k;
    struct link_answer a;
    uint64_t to = 0;
    kluis_status rc = custody_checkpoint_get(m->in->c.custody, 0, &k, NULL, NULL, err);
    if (rc == KLUIS_E_NOTFOUND) { return KLUIS_OK; }
    KLUIS_TRY(rc);
    if (!m->mirror_known) { m->mirrored = k.size; /* an empty extension: the gate accepts it or says where it stands */ }
    for (int refused = 0; refused < 3 && !(m->mirror_known && m->mirrored == k.size);) {
        KLUIS_TRY(post_mirror(m, &to, &a, err));
        if (a.status == 204 || a.status == 200) {
            m->mirrored = to;
            m->mirror_known = true;
            kluis_durable_step("vault.mirrored");
        } else if (a.status == 409 && a.has_number) {
            if (a.number > ledger_size(m->in->c.ledger)) { /* at the start it was not so: another vault has appended since */
                return KLUIS_FAIL(
                    err, KLUIS_E_CORRUPT,
                    "the gate mirrors %llu leaves, this ledger has %llu: does another vault write to this gate? stop it, then start this one",
                    (unsigned long long)a.number, (unsigned long long)ledger_size(m->in->c.ledger));
            }
            m->mirrored = a.number;
            m->mirror_known = true;
            refused++;
        } else {
            return LINK_REFUSED(&a, err, "the gate does not take the mirror");
        }
    }
    return KLUIS_OK;
}

static kluis_status post_answers(struct committer *m, struct kluis_err *err)
{
    struct custody *c = m->in->c.custody;
    uint64_t after = 0;
    for (;;) {
        uint64_t numbers[ANSWERS];
        size_t n = 0;
        struct link_answer a;
        KLUIS_AUTO_BUF(body, POST_BYTES + KLUIS_SESSION_PLAIN_MAX + 8192);
        kluis_wire_label(&body, "chatkluis-outbox-v1");
        while (n < ANSWERS && body.len < POST_BYTES) {
            struct custody_answer o;
            uint8_t device[16];
            KLUIS_AUTO_BUF(text, KLUIS_SESSION_PLAIN_MAX + 4096);
            kluis_status rc = custody_outbox_next(c, after, CUSTODY_TO_POST, &o, &text, err);
            if (rc == KLUIS_E_NOTFOUND) { break; }
            KLUIS_TRY(rc);
            after = o.number;
            if (!kluis_unhex(kluis_str_of(o.device), device, sizeof device)) {
                return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "an answer names no device; restore custody.db");
            }
            kluis_wire_u64(&body, o.tree_size);
            kluis_wire_str(&body, kluis_str_of(o.device));
            kluis_wire_field(&body, o.message, sizeof o.message);
            kluis_wire_field(&body, text.data, text.len);
            numbers[n++] = o.number;
        }
        if (n == 0) { return KLUIS_OK; }
        KLUIS_TRY(kluis_buf_ok(&body, err));
        KLUIS_TRY(link_call(m->l, "POST", "/vault/v1/outbox", kluis_buf_bytes(&body), 60, NULL, &a, err));
        if (a.status != 204 && a.status != 200) { return LINK_REFUSED(&a, err, "the gate does not take answers"); }
        KLUIS_TRY(custody_begin(c, err));
        kluis_status rc = KLUIS_OK;
        for (size_t i = 0; i < n && rc == KLUIS_OK; i++) { rc = custody_outbox_posted(c, numbers[i], err); }
        if (rc != KLUIS_OK) {
            custody_rollback(c);
            return rc;
        }
        KLUIS_TRY(custody_commit(c, "vault.outbox.posted", err));
    }
}

/* ---- the loop ---- */

/* Waits for a group that is due; the list, or NULL when only answers (or nothing) are to be done. */
static struct decided *next_group(struct committer *m, bool pending)
{
    struct ingest *in = m->in;
    struct decided *list = NULL;
    pthread_mutex_lock(&in->lock);
    while (!ingest_stopping(in)) {
        int64_t now = kluis_monotonic_us();
        bool idle = in->at_work == 0 && !in->inbox_more;
        if (!in->joined || !ingest_clock_right(in)) {
            ingest_wait(in, 1000000);
            continue;
        }
        if (in->ready != NULL && (in->ready_records >= T2_RECORDS || idle || now - in->ready_since >= T2_WAIT_US)) {
            list = in->ready;
            in->ready = NULL;
            in->ready_end = &in->ready;
            in->ready_records = 0;
            break;
        }
        bool gate = now >= m->gate_after;
        if (in->ready == NULL && gate && (in->answers || more_to_tell(m) || (pending && now >= m->stamp_after))) { break; }
        int64_t wait = in->ready != NULL ? T2_WAIT_US - (now - in->ready_since) : 1000000;
        ingest_wait(in, wait < 1000 ? 1000 : wait);
    }
    in->answers = false;
    pthread_mutex_unlock(&in->lock);
    return list;
}

void *committer_main(void *arg)
{
    struct ingest *in = arg;
    struct committer m = { .in = in, .mark_us = kluis_monotonic_us() };
    struct kluis_err err = { 0 };
    bool pending = true;
    if ((m.l = ingest_link(in, "committer")) == NULL) { return NULL; }
    while (!ingest_stopping(in)) {
        struct decided *list = next_group(&m, pending);
        kluis_status rc = KLUIS_OK;
        kluis_err_clear(&err);
        while (list != NULL && (rc = commit_group(in, list, &err)) != KLUIS_OK && !ingest_stopping(in)) {
            ingest_trouble(in, "committer", &err); /* a full disk: nothing is lost, the group waits */
            kluis_err_clear(&err);
        }
        if (list != NULL && rc == KLUIS_OK) {
            hand_over(in, list);
        } else {
            while (list != NULL) {
                struct decided *o = list;
                list = o->next;
                decided_free(o);
            }
        }
        if (ingest_stopping(in)) { break; }
        rc = checkpoint_and_answers(&m, &pending, &err);
        if (rc == KLUIS_OK && kluis_monotonic_us() >= m.gate_after) {
            rc = journal_push(in, m.l, &err);
            if (rc == KLUIS_OK) { rc = mirror(&m, &err); }
            if (rc == KLUIS_OK) { rc = post_answers(&m, &err); }
            if (rc == KLUIS_E_BUSY || rc == KLUIS_E_REJECT) { m.gate_after = kluis_monotonic_us() + GATE_AGAIN_US; }
        } else if (rc == KLUIS_OK) { /* a group came in while the gate was left alone: its answers still have to go */
            pthread_mutex_lock(&in->lock);
            in->answers = true;
            pthread_mutex_unlock(&in->lock);
        }
        if (rc != KLUIS_OK && !ingest_stopping(in)) {
            pthread_mutex_lock(&in->lock);
            in->answers = true;
            pthread_mutex_unlock(&in->lock);
            ingest_trouble(in, "committer", &err);
        } else {
            ingest_well(in, "committer");
        }
    }
    link_free(m.l);
    return NULL;
}
