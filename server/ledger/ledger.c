/* server/ledger/ledger.c - appending, checkpoints and receipts over custody's rows. */
#include "server/ledger/ledger.h"

#include <pthread.h>

#include "kluis/validation.h"

struct ledger {
    struct custody *custody;
    struct ledger_keys keys;
    char vkey[KLUIS_VKEY_MAX];
    pthread_mutex_t lock; /* over what follows */
    struct log_state {
        struct kluis_tree tree;
        uint64_t since;
    } now, before; /* before: what a transaction that is rolled back began with */
    bool changed;  /* since then */
};

static kluis_status get_node(void *ctx, unsigned level, uint64_t index, kluis_hash *out, struct kluis_err *err)
{
    struct ledger *l = ctx;
    kluis_status rc = custody_node_get(l->custody, level, index, out->b, err);
    if (rc == KLUIS_E_NOTFOUND) {
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the ledger lacks node %u/%llu; restore custody.db", level, (unsigned long long)index);
    }
    return rc;
}

static kluis_status load(struct ledger *l, struct kluis_err *err)
{
    struct custody_counts n;
    struct kluis_tree t;
    uint64_t since;
    KLUIS_TRY(custody_count(l->custody, &n, err));
    KLUIS_TRY(custody_number_get(l->custody, CUSTODY_LOG_SINCE, 0, &since, err));
    kluis_tree_init(&t);
    t.size = n.leaves;
    for (unsigned level = 0; level < KLUIS_TREE_LEVELS; level++) {
        if ((t.size >> level) & 1) {
            /* The peak at this level starts where all higher bits of size end. */
            KLUIS_TRY(get_node(l, level, (t.size >> level) - 1, &t.peak[level], err));
        }
    }
    l->now = (struct log_state){ t, since };
    return KLUIS_OK;
}

/* The lock is held. */
static void change(struct ledger *l)
{
    if (!l->changed) { l->before = l->now; }
    l->changed = true;
}

kluis_status ledger_end(struct ledger *l, kluis_status rc, const char *step, struct kluis_err *err)
{
    if (rc == KLUIS_OK) {
        rc = custody_commit(l->custody, step, err);
    } else {
        custody_rollback(l->custody);
    }
    pthread_mutex_lock(&l->lock);
    if (rc != KLUIS_OK && l->changed) { l->now = l->before; }
    l->changed = false;
    pthread_mutex_unlock(&l->lock);
    return rc;
}

/* From stored nodes. */
kluis_status ledger_head_at(struct ledger *l, uint64_t size, kluis_hash *out, struct kluis_err *err)
{
    struct kluis_tree t;
    kluis_tree_init(&t);
    t.size = size;
    for (unsigned level = 0; level < KLUIS_TREE_LEVELS; level++) {
        if ((size >> level) & 1) { KLUIS_TRY(get_node(l, level, (size >> level) - 1, &t.peak[level], err)); }
    }
    kluis_tree_head(&t, out);
    return KLUIS_OK;
}

static struct kluis_str text_of(const struct kluis_buf *b) { return (struct kluis_str){ (const char *)b->data, b->len }; }

static kluis_status check_newest(struct ledger *l, struct kluis_err *err)
{
    struct custody_checkpoint k;
    struct kluis_checkpoint c;
    kluis_hash head;
    KLUIS_AUTO_BUF(text, KLUIS_CHECKPOINT_MAX);
    kluis_status rc = custody_checkpoint_get(l->custody, 0, &k, &text, NULL, err);
    if (rc == KLUIS_E_NOTFOUND) { return KLUIS_OK; }
    KLUIS_TRY(rc);
    struct kluis_err why = { 0 };
    rc = kluis_checkpoint_open(text_of(&text), l->vkey, &c, &why);
    if (rc == KLUIS_E_NOMEM) { return KLUIS_FAIL(err, rc, "%s", why.msg); }
    if (rc != KLUIS_OK || c.size != k.size) {
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the newest checkpoint is not of this ledger's key; restore custody.db and keys together");
    }
    if (c.size > l->now.tree.size) {
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the ledger has %llu leaves, its newest checkpoint %llu; restore custody.db",
                          (unsigned long long)l->now.tree.size, (unsigned long long)c.size);
    }
    KLUIS_TRY(ledger_head_at(l, c.size, &head, err));
    if (memcmp(head.b, c.head.b, 32) != 0) {
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the ledger's head at %llu differs from its signed checkpoint; restore custody.db",
                          (unsigned long long)c.size);
    }
    return KLUIS_OK;
}

kluis_status ledger_open(struct ledger **out, struct custody *c, const struct ledger_keys *keys, struct kluis_err *err)
{
    *out = NULL;
    struct ledger *l = kluis_calloc(1, sizeof *l);
    if (l == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot open the ledger: out of memory"); }
    l->custody = c;
    l->keys = *keys;
    pthread_mutex_init(&l->lock, NULL);
    kluis_tree_init(&l->now.tree);
    uint8_t public_key[32];
    kluis_status rc = kluis_ledger_public(keys->seed, public_key, err);
    if (rc == KLUIS_OK && (rc = kluis_vkey_write(keys->origin, public_key, l->vkey, err)) == KLUIS_OK && (rc = load(l, err)) == KLUIS_OK) {
        rc = check_newest(l, err);
    }
    if (rc != KLUIS_OK) {
        ledger_free(l);
        return rc;
    }
    *out = l;
    return KLUIS_OK;
}

void ledger_free(struct ledger *l)
{
    if (l != NULL) {
        pthread_mutex_destroy(&l->lock);
        kluis_free(l);
    }
}

uint64_t ledger_size(struct ledger *l)
{
    pthread_mutex_lock(&l->lock);
    uint64_t n = l->now.tree.size;
    pthread_mutex_unlock(&l->lock);
    return n;
}

uint64_t ledger_since(struct ledger *l)
{
    pthread_mutex_lock(&l->lock);
    uint64_t since = l->now.since;
    pthread_mutex_unlock(&l->lock);
    return since;
}

void ledger_tree(struct ledger *l, struct kluis_tree *out)
{
    pthread_mutex_lock(&l->lock);
    *out = l->now.tree;
    pthread_mutex_unlock(&l->lock);
}

kluis_status ledger_checkpoint_open(struct ledger *l, struct kluis_str text, struct kluis_checkpoint *out, struct kluis_err *err)
{
    return kluis_checkpoint_open(text, l->vkey, out, err);
}

void ledger_head(struct ledger *l, kluis_hash *out)
{
    pthread_mutex_lock(&l->lock);
    kluis_tree_head(&l->now.tree, out);
    pthread_mutex_unlock(&l->lock);
}

struct appending {
    struct custody *custody;
    kluis_status rc;
    struct kluis_err *err;
};

static void put_node(void *ctx, unsigned level, uint64_t index, const kluis_hash *h)
{
    struct appending *a = ctx;
    if (a->rc == KLUIS_OK) { a->rc = custody_node_put(a->custody, level, index, h->b, a->err); }
}

kluis_status ledger_append(struct ledger *l, struct kluis_bytes leaf, uint64_t *index, struct kluis_err *err)
{
    if (leaf.len > KLUIS_LEAF_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "a leaf of %zu bytes is too long", leaf.len); }
    kluis_hash h;
    kluis_leaf_hash(leaf.ptr, leaf.len, &h);
    struct appending a = { l->custody, KLUIS_OK, err };
    pthread_mutex_lock(&l->lock);
    change(l);
    *index = l->now.tree.size;
    kluis_status rc = custody_leaf_add(l->custody, *index, leaf, err);
    if (rc == KLUIS_OK) {
        kluis_tree_append(&l->now.tree, &h, put_node, &a);
        rc = a.rc;
    }
    pthread_mutex_unlock(&l->lock);
    return rc;
}

kluis_status ledger_began(struct ledger *l, uint64_t since, struct kluis_err *err)
{
    KLUIS_TRY(custody_number_set(l->custody, CUSTODY_LOG_SINCE, since, err));
    pthread_mutex_lock(&l->lock);
    change(l);
    l->now.since = since;
    pthread_mutex_unlock(&l->lock);
    return KLUIS_OK;
}

kluis_status ledger_begin_anew(struct ledger *l, int64_t now_us, struct kluis_err *err)
{
    uint64_t index, before = ledger_since(l), now = now_us > 0 ? (uint64_t)(now_us / 1000000) : 0;
    struct kluis_log_leaf leaf = { .since = now > before ? now : before + 1, .size = ledger_size(l) };
    KLUIS_AUTO_BUF(text, KLUIS_LEAF_MAX);
    ledger_head(l, &leaf.head);
    KLUIS_TRY(kluis_log_leaf_write(&leaf, &text, err));
    KLUIS_TRY(ledger_began(l, leaf.since, err));
    return ledger_append(l, kluis_buf_bytes(&text), &index, err);
}

/* Asks for a token on the seal; KLUIS_OK only with one. */
static kluis_status stamp(struct ledger *l, const struct ledger_clock *clock, struct kluis_bytes seal, struct kluis_buf *out, struct kluis_err *err)
{
    uint8_t imprint[32];
    uint64_t nonce;
    int64_t when;
    KLUIS_AUTO_BUF(request, 4096);
    KLUIS_AUTO_BUF(response, KLUIS_TOKEN_MAX);
    KLUIS_AUTO_BUF(token, KLUIS_TOKEN_MAX);
    kluis_random(&nonce, sizeof nonce);
    nonce &= INT64_MAX;
    KLUIS_TRY(kluis_seal_imprint(seal, imprint, err));
    KLUIS_TRY(kluis_time_request(imprint, nonce, &request, err));
    KLUIS_TRY(clock->ask(clock->ctx, kluis_buf_bytes(&request), &response, err));
    KLUIS_TRY(kluis_time_accept(kluis_buf_bytes(&response), imprint, nonce, l->keys.tsa_anchors, l->keys.n_tsa, &token, &when, err));
    return kluis_seal_add_token(seal, kluis_buf_bytes(&token), out, err);
}

kluis_status ledger_checkpoint(struct ledger *l, const struct ledger_clock *clock, uint64_t *size, bool *stamped, struct kluis_err *err)
{
    struct custody_checkpoint k;
    KLUIS_AUTO_BUF(text, KLUIS_CHECKPOINT_MAX);
    KLUIS_AUTO_BUF(seal, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(with_token, KLUIS_P7S_MAX);
    *size = ledger_size(l);
    *stamped = false;
    if (clock != NULL && clock->why != NULL) { clock->why[0] = '\0'; }
    if (*size == 0) { return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "the ledger is empty"); }
    kluis_status rc = custody_checkpoint_get(l->custody, *size, &k, &text, &seal, err);
    if (rc == KLUIS_OK && (k.stamped || clock == NULL)) {
        *stamped = k.stamped;
        return KLUIS_OK;
    }
    if (rc == KLUIS_E_NOTFOUND) {
        struct kluis_checkpoint c;
        memset(&c, 0, sizeof c);
        KLUIS_TRY(kluis_origin_since(l->keys.origin, ledger_since(l), c.origin, err));
        c.size = *size;
        ledger_head(l, &c.head);
        KLUIS_TRY(kluis_checkpoint_sign(&c, l->keys.seed, &text, err));
        KLUIS_TRY(kluis_seal_sign(l->keys.seal, kluis_buf_bytes(&text), l->keys.seal_cert, NULL, 0, kluis_now_us(), &seal, err));
    } else if (rc != KLUIS_OK) {
        return rc;
    }
    struct kluis_bytes final = kluis_buf_bytes(&seal);
    if (clock != NULL) {
        struct kluis_err why = { 0 }; /* an authority that is away delays the stamp, not the receipt */
        if (stamp(l, clock, final, &with_token, &why) == KLUIS_OK) {
            final = kluis_buf_bytes(&with_token);
            *stamped = true;
        } else if (clock->why != NULL) {
            (void)snprintf(clock->why, KLUIS_ERR_MSG, "%s", why.msg);
        }
    }
    k = (struct custody_checkpoint){ .size = *size, .stamped = *stamped, .made_us = kluis_now_us() };
    KLUIS_TRY(custody_checkpoint_put(l->custody, &k, text_of(&text), final, err));
    kluis_durable_step(*stamped ? "vault.checkpoint.stamped" : "vault.checkpoint.sealed");
    return KLUIS_OK;
}

kluis_status ledger_receipt(struct ledger *l, uint64_t index, uint64_t size, struct kluis_buf *out, struct kluis_err *err)
{
    struct custody_checkpoint k;
    kluis_hash proof[KLUIS_PROOF_MAX];
    size_t n = 0;
    const struct kluis_nodes nodes = { l, get_node };
    KLUIS_AUTO_BUF(leaf, KLUIS_LEAF_MAX);
    KLUIS_AUTO_BUF(text, KLUIS_CHECKPOINT_MAX);
    KLUIS_AUTO_BUF(seal, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(tlog, KLUIS_TLOG_PROOF_MAX);
    KLUIS_TRY(custody_leaf_get(l->custody, index, &leaf, err));
    kluis_status rc = custody_checkpoint_get(l->custody, size, &k, &text, &seal, err);
    if (rc == KLUIS_E_NOTFOUND) { return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "there is no checkpoint of size %llu", (unsigned long long)size); }
    KLUIS_TRY(rc);
    KLUIS_TRY(kluis_prove_inclusion(&nodes, index, size, proof, &n, err));
    KLUIS_TRY(kluis_tlog_proof_write(index, proof, n, text_of(&text), &tlog, err));
    const struct kluis_receipt r = {
        .leaf = text_of(&leaf), .proof = text_of(&tlog), .checkpoint_seal = kluis_buf_bytes(&seal), .stamped = k.stamped
    };
    return kluis_receipt_write(&r, out, err);
}

kluis_status ledger_consistency(struct ledger *l, uint64_t from, uint64_t to, kluis_hash proof[KLUIS_PROOF_MAX], size_t *n, struct kluis_err *err)
{
    const struct kluis_nodes nodes = { l, get_node };
    return kluis_prove_consistency(&nodes, from, to, proof, n, err);
}

struct comparing {
    struct ledger *l;
    kluis_status rc;
    struct kluis_err *err;
};

static void compare_node(void *ctx, unsigned level, uint64_t index, const kluis_hash *h)
{
    struct comparing *c = ctx;
    kluis_hash there;
    if (c->rc == KLUIS_OK && (c->rc = get_node(c->l, level, index, &there, c->err)) == KLUIS_OK && memcmp(there.b, h->b, 32) != 0) {
        c->rc =
            KLUIS_FAIL(c->err, KLUIS_E_CORRUPT, "ledger node %u/%llu differs from its leaves; restore custody.db", level, (unsigned long long)index);
    }
}

kluis_status ledger_check(struct ledger *l, struct kluis_err *err)
{
    struct kluis_tree t;
    struct comparing c = { l, KLUIS_OK, err };
    kluis_hash ours, stored;
    KLUIS_AUTO_BUF(leaf, KLUIS_LEAF_MAX);
    uint64_t size = ledger_size(l);
    kluis_tree_init(&t);
    for (uint64_t i = 0; i < size; i++) {
        kluis_hash h;
        kluis_buf_clear(&leaf);
        kluis_status rc = custody_leaf_get(l->custody, i, &leaf, err);
        if (rc == KLUIS_E_NOTFOUND) {
            return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the ledger lacks leaf %llu; restore custody.db", (unsigned long long)i);
        }
        KLUIS_TRY(rc);
        kluis_leaf_hash(leaf.data, leaf.len, &h);
        kluis_tree_append(&t, &h, compare_node, &c);
        KLUIS_TRY(c.rc);
    }
    KLUIS_TRY(ledger_head_at(l, size, &stored, err));
    kluis_tree_head(&t, &ours);
    if (memcmp(ours.b, stored.b, 32) != 0) {
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the ledger's head differs from its leaves; restore custody.db");
    }
    return check_newest(l, err);
}
