/* server/ingest/mirror.c - what the gate mirrors, held against the ledger before anything is appended to it (PROTOCOL.md §8).
 *
 * The mirror may be ahead: then custody is an older copy.  Its leaves are read twice.  First they are only hashed, to see that they continue this
 * tree and end in a head that this log signed and sealed; then, page by page and each page known by its digest, they are appended. */
#include "server/ingest/ingest_internal.h"

enum { PAGE_MAX = 16 << 20, PAGES_MAX = 1 << 20, SEAL_MAX = 1 << 20 };

struct page {
    struct kluis_buf bytes;
    struct kluis_bytes checkpoint, seal;
    struct kluis_wire leaves;
};

struct joining {
    struct ingest *in;
    struct link *l;
    struct page page;
    struct kluis_checkpoint claims; /* of the mirror's checkpoint, signature checked */
    struct kluis_buf text, seal;    /* that checkpoint */
    bool stamped;
    struct kluis_buf digests; /* 32 bytes a page */
    uint64_t mirrored;        /* leaves that the gate hands out */
};

/* KLUIS_END: the gate has no leaf from there on; j->mirrored says how many it has. */
static kluis_status fetch(struct joining *j, uint64_t from, struct kluis_err *err)
{
    char path[96];
    struct link_answer a;
    struct page *p = &j->page;
    kluis_buf_clear(&p->bytes);
    (void)snprintf(path, sizeof path, "/vault/v1/mirror?from=%llu", (unsigned long long)from);
    KLUIS_TRY(link_call(j->l, "GET", path, (struct kluis_bytes){ NULL, 0 }, 60, &p->bytes, &a, err));
    if ((a.status != 200 && a.status != 204) || !a.has_number) { return LINK_REFUSED(&a, err, "the gate does not show its mirror"); }
    j->mirrored = a.number;
    if (a.status == 204) { return KLUIS_END; }
    struct kluis_wire w = kluis_wire_open(kluis_buf_bytes(&p->bytes));
    (void)kluis_wire_is(&w, "chatkluis-mirror-v1");
    bool there = kluis_wire_get_u64(&w) == from;
    p->checkpoint = kluis_wire_get(&w, KLUIS_CHECKPOINT_MAX);
    p->seal = kluis_wire_get(&w, SEAL_MAX);
    p->leaves = w;
    size_t n = 0;
    for (; kluis_wire_more(&w) && !w.bad; n++) { (void)kluis_wire_get(&w, KLUIS_LEAF_MAX); }
    KLUIS_TRY(kluis_wire_end(&w, "the gate's mirror", err));
    return there && n > 0 ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_BUSY, "the gate's mirror is malformed");
}

static kluis_status another(struct kluis_err *err, uint64_t size)
{
    return KLUIS_FAIL(
        err, KLUIS_E_CORRUPT,
        "the gate mirrors another tree than this ledger at %llu leaves: one of them is not of this archive's log; restore the right one",
        (unsigned long long)size);
}

/* Signed by this log, sealed by this vault.  Anything else than a gate that lies is not expected here, and nothing is appended. */
static kluis_status judge_checkpoint(struct joining *j, struct kluis_err *err)
{
    const struct vault_keys *k = j->in->c.keys;
    struct kluis_err why = { 0 };
    struct kluis_seal_verdict v;
    struct kluis_str text = { (const char *)j->page.checkpoint.ptr, j->page.checkpoint.len };
    KLUIS_AUTO_BUF(own, KLUIS_CHECKPOINT_MAX);
    kluis_buf_clear(&j->text);
    kluis_buf_clear(&j->seal);
    kluis_buf_str(&j->text, text);
    kluis_buf_add(&j->seal, j->page.seal.ptr, j->page.seal.len);
    KLUIS_TRY(kluis_buf_ok(&j->text, err));
    KLUIS_TRY(kluis_buf_ok(&j->seal, err));
    kluis_status rc = ledger_checkpoint_open(j->in->c.ledger, text, &j->claims, &why);
    if (rc == KLUIS_OK) { rc = kluis_checkpoint_own(text, k->trust.log_vkey, &own, &why); }
    if (rc == KLUIS_OK) {
        rc = kluis_seal_judge(j->page.seal, kluis_buf_bytes(&own), k->trust.seal_cas, k->trust.n_seal_cas, k->trust.tsa_cas, k->trust.n_tsa_cas,
                              kluis_now_us(), &v, &why);
    }
    if (rc == KLUIS_OK && (v.signature != KLUIS_VALID || v.certificate == KLUIS_INVALID)) {
        rc = KLUIS_FAIL(&why, KLUIS_E_REJECT, "its seal is not this vault's");
    }
    if (rc == KLUIS_E_REJECT) { return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the gate's mirror ends in a checkpoint that is not ours: %.200s", why.msg); }
    if (rc != KLUIS_OK) { return KLUIS_FAIL(err, rc, "%s", why.msg); }
    j->stamped = v.has_token && v.time == KLUIS_VALID;
    return KLUIS_OK;
}

static void digest_page(const struct joining *j, uint8_t out[32]) { kluis_sha256_of(j->page.bytes.data, j->page.bytes.len, out); }

/* ---- the mirror is behind, or as far ---- */

static kluis_status compare(struct joining *j, struct kluis_err *err)
{
    kluis_hash head;
    uint64_t size = j->mirrored;
    if (size == 0) { return KLUIS_OK; }
    kluis_status rc = fetch(j, size - 1, err);
    if (rc == KLUIS_END || (rc == KLUIS_OK && j->mirrored != size)) {
        return KLUIS_FAIL(err, KLUIS_E_BUSY, "the gate's mirror changed while it was read");
    }
    KLUIS_TRY(rc);
    KLUIS_TRY(judge_checkpoint(j, err));
    KLUIS_TRY(ledger_head_at(j->in->c.ledger, size, &head, err));
    return j->claims.size == size && memcmp(head.b, j->claims.head.b, 32) == 0 ? KLUIS_OK : another(err, size);
}

/* ---- the mirror is ahead ---- */

static kluis_status read_through(struct joining *j, struct kluis_err *err)
{
    struct kluis_tree tree;
    kluis_hash head;
    uint8_t digest[32];
    ledger_tree(j->in->c.ledger, &tree);
    kluis_buf_clear(&j->digests);
    for (bool first = true; first || tree.size < j->claims.size; first = false) {
        if (ingest_stopping(j->in)) { return KLUIS_FAIL(err, KLUIS_E_BUSY, "stopping"); }
        if (!first) { /* the first page was fetched to see whether there is one */
            kluis_status rc = fetch(j, tree.size, err);
            if (rc == KLUIS_END) { return KLUIS_FAIL(err, KLUIS_E_BUSY, "the gate's mirror ends before its checkpoint"); }
            KLUIS_TRY(rc);
        } else {
            KLUIS_TRY(judge_checkpoint(j, err));
        }
        while (kluis_wire_more(&j->page.leaves)) {
            struct kluis_bytes leaf = kluis_wire_get(&j->page.leaves, KLUIS_LEAF_MAX);
            kluis_leaf_hash(leaf.ptr, leaf.len, &head);
            kluis_tree_append(&tree, &head, NULL, NULL);
        }
        digest_page(j, digest);
        kluis_buf_add(&j->digests, digest, sizeof digest);
        KLUIS_TRY(kluis_buf_ok(&j->digests, err));
    }
    kluis_tree_head(&tree, &head);
    return tree.size == j->claims.size && memcmp(head.b, j->claims.head.b, 32) == 0 ? KLUIS_OK : another(err, j->claims.size);
}

/* In the caller's transaction. */
static kluis_status append_page(struct joining *j, struct kluis_err *err)
{
    while (kluis_wire_more(&j->page.leaves)) {
        struct kluis_bytes data = kluis_wire_get(&j->page.leaves, KLUIS_LEAF_MAX);
        struct kluis_str text = { (const char *)data.ptr, data.len };
        struct kluis_leaf leaf;
        struct kluis_log_leaf anew;
        uint64_t index;
        KLUIS_TRY(ledger_append(j->in->c.ledger, data, &index, err));
        if (kluis_leaf_read(text, &leaf, NULL) == KLUIS_OK) {
            KLUIS_TRY(custody_awaited_add(j->in->c.custody, leaf.package, index, err));
        } else if (kluis_log_leaf_read(text, &anew, NULL) == KLUIS_OK) {
            KLUIS_TRY(ledger_began(j->in->c.ledger, anew.since, err));
        }
    }
    return KLUIS_OK;
}

static kluis_status take_back(struct joining *j, struct kluis_err *err)
{
    struct ingest *in = j->in;
    uint64_t before = ledger_size(in->c.ledger);
    /* First, and again at every attempt: none of what was said in these sessions since may be said twice. */
    KLUIS_TRY(custody_begin(in->c.custody, err));
    KLUIS_TRY(ledger_end(in->c.ledger, custody_forget_sessions(in->c.custody, err), "vault.sessions.forgotten", err));
    for (size_t i = 0; i < j->digests.len / 32; i++) {
        uint8_t digest[32];
        kluis_status rc = fetch(j, ledger_size(in->c.ledger), err);
        if (rc == KLUIS_OK) { digest_page(j, digest); }
        if (rc == KLUIS_END || (rc == KLUIS_OK && memcmp(digest, j->digests.data + 32 * i, 32) != 0)) {
            return KLUIS_FAIL(err, KLUIS_E_BUSY, "the gate's mirror changed while it was read");
        }
        KLUIS_TRY(rc);
        KLUIS_TRY(custody_begin(in->c.custody, err));
        KLUIS_TRY(ledger_end(in->c.ledger, append_page(j, err), "vault.mirror.taken", err));
    }
    const struct custody_checkpoint k = { .size = j->claims.size, .stamped = j->stamped, .made_us = kluis_now_us() };
    KLUIS_TRY(custody_begin(in->c.custody, err));
    kluis_status rc =
        custody_checkpoint_put(in->c.custody, &k, (struct kluis_str){ (const char *)j->text.data, j->text.len }, kluis_buf_bytes(&j->seal), err);
    if (rc == KLUIS_OK) { rc = custody_number_set(in->c.custody, CUSTODY_SET_BACK, 0, err); }
    KLUIS_TRY(ledger_end(in->c.ledger, rc, "vault.mirror.joined", err));
    kluis_log(KLUIS_LOG_WARN, "ledger.replayed", "from=%llu to=%llu", (unsigned long long)before, (unsigned long long)ledger_size(in->c.ledger));
    return KLUIS_OK;
}

/* ---- the mirror was lost with the vault ---- */

static kluis_status begin_anew(struct ingest *in, struct kluis_err *err)
{
    KLUIS_TRY(custody_begin(in->c.custody, err));
    kluis_status rc = ledger_begin_anew(in->c.ledger, kluis_now_us(), err);
    if (rc == KLUIS_OK) { rc = custody_number_set(in->c.custody, CUSTODY_SET_BACK, 0, err); }
    KLUIS_TRY(ledger_end(in->c.ledger, rc, "vault.ledger.anew", err));
    kluis_log(KLUIS_LOG_WARN, "ledger.anew", "since=%llu size=%llu", (unsigned long long)ledger_since(in->c.ledger),
              (unsigned long long)ledger_size(in->c.ledger));
    return KLUIS_OK;
}

static kluis_status join(struct joining *j, struct kluis_err *err)
{
    struct ingest *in = j->in;
    uint64_t size = ledger_size(in->c.ledger), set_back;
    KLUIS_TRY(custody_number_get(in->c.custody, CUSTODY_SET_BACK, 0, &set_back, err));
    kluis_status rc = fetch(j, size, err);
    if (rc == KLUIS_OK) {
        KLUIS_TRY(read_through(j, err));
        return take_back(j, err);
    }
    if (rc != KLUIS_END) { return rc; }
    if (j->mirrored > size) { return KLUIS_FAIL(err, KLUIS_E_BUSY, "the gate's mirror is malformed"); }
    KLUIS_TRY(compare(j, err));
    if (set_back == 0) { return KLUIS_OK; }
    /* A mirror with less than the backup has lost leaves, and perhaps such as the backup never had: receipts were given for them under this log's
     * name, which may therefore sign no other tree. */
    if (j->mirrored < size || j->mirrored == 0) { return begin_anew(in, err); }
    KLUIS_TRY(custody_begin(in->c.custody, err));
    return ledger_end(in->c.ledger, custody_number_set(in->c.custody, CUSTODY_SET_BACK, 0, err), "vault.mirror.joined", err);
}

kluis_status ingest_join(struct ingest *in, struct link *l, struct kluis_err *err)
{
    struct joining j = { .in = in, .l = l };
    kluis_buf_init(&j.page.bytes, PAGE_MAX);
    kluis_buf_init(&j.text, KLUIS_CHECKPOINT_MAX);
    kluis_buf_init(&j.seal, SEAL_MAX);
    kluis_buf_init(&j.digests, (size_t)PAGES_MAX * 32);
    kluis_status rc = join(&j, err);
    if (rc == KLUIS_OK) { rc = journal_join(in, l, err); }
    kluis_buf_free(&j.page.bytes);
    kluis_buf_free(&j.text);
    kluis_buf_free(&j.seal);
    kluis_buf_free(&j.digests);
    if (rc != KLUIS_OK) { return rc; }
    pthread_mutex_lock(&in->lock);
    in->joined = true;
    pthread_cond_broadcast(&in->changed);
    pthread_mutex_unlock(&in->lock);
    return KLUIS_OK;
}
