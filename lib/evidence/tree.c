/* lib/evidence/tree.c - digests over sorted lists, and the batch: a binary hash tree of which each object takes its branch. */
#include "internal.h"

#include <assert.h>
#include <openssl/err.h>
#include <stdlib.h>

/* ---- digests ------------------------------------------------------------------------------------ */

static const EVP_MD *md_of(enum kluis_digest d) { return d == KLUIS_SHA256 ? EVP_sha256() : d == KLUIS_SHA384 ? EVP_sha384() : EVP_sha512(); }

kluis_status er_hash(enum kluis_digest d, struct kluis_bytes a, struct kluis_bytes b, uint8_t out[KLUIS_DIGEST_MAX], struct kluis_err *err)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok = ctx && EVP_DigestInit_ex(ctx, md_of(d), NULL) == 1 && EVP_DigestUpdate(ctx, a.ptr, a.len) == 1 &&
             EVP_DigestUpdate(ctx, b.ptr, b.len) == 1 && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return ok ? KLUIS_OK : er_no_memory(err);
}

static int ascending(const void *a, const void *b, void *len) { return memcmp(a, b, *(size_t *)len); }

uint8_t *er_sorted(struct kluis_bytes digests, size_t len)
{
    uint8_t *p = kluis_malloc(digests.len);
    if (!p) { return NULL; }
    memcpy(p, digests.ptr, digests.len);
    qsort_r(p, digests.len / len, len, ascending, &len);
    return p;
}

bool er_is_run(struct kluis_bytes digests, size_t len)
{
    return digests.ptr && digests.len > 0 && digests.len % len == 0 && digests.len / len <= KLUIS_EVIDENCE_GROUP;
}

kluis_status er_node(enum kluis_digest d, struct kluis_bytes digests, uint8_t out[KLUIS_DIGEST_MAX], struct kluis_err *err)
{
    size_t len = kluis_digest_len(d);
    if (digests.len == len) { /* RFC 4998 §4.2 step 3 groups "more than one document" only */
        memcpy(out, digests.ptr, len);
        return KLUIS_OK;
    }
    uint8_t *sorted = er_sorted(digests, len);
    if (!sorted) { return er_no_memory(err); }
    kluis_status rc = er_hash(d, (struct kluis_bytes){ sorted, digests.len }, (struct kluis_bytes){ NULL, 0 }, out, err);
    kluis_free(sorted);
    return rc;
}

kluis_status er_bind(enum kluis_digest d, struct kluis_bytes digests, const uint8_t ha[KLUIS_DIGEST_MAX], struct kluis_buf *out,
                     struct kluis_err *err)
{
    size_t len = kluis_digest_len(d);
    for (size_t at = 0; at < digests.len; at += len) {
        uint8_t bound[KLUIS_DIGEST_MAX];
        KLUIS_TRY(er_hash(d, (struct kluis_bytes){ digests.ptr + at, len }, (struct kluis_bytes){ ha, len }, bound, err));
        kluis_buf_add(out, bound, len);
    }
    return kluis_buf_ok(out, err);
}

/* ---- the batch ---------------------------------------------------------------------------------- */

/* Level 0 are the objects; each level above pairs its neighbours, an odd last one moves up as it is. */
enum { LEVELS = 21 };
struct kluis_evidence_batch {
    enum kluis_digest digest;
    size_t len, n, cap, levels; /* levels 0: still open */
    uint8_t *level[LEVELS + 1];
};

kluis_status kluis_evidence_batch_new(enum kluis_digest digest, struct kluis_evidence_batch **out, struct kluis_err *err)
{
    *out = NULL;
    struct kluis_evidence_batch *b = kluis_calloc(1, sizeof *b);
    if (!b) { return er_no_memory(err); }
    b->digest = digest;
    b->len = kluis_digest_len(digest);
    assert(b->len > 0);
    *out = b;
    return KLUIS_OK;
}

void kluis_evidence_batch_free(struct kluis_evidence_batch *b)
{
    if (!b) { return; }
    for (size_t i = 0; i <= LEVELS; i++) { kluis_free(b->level[i]); }
    kluis_free(b);
}

kluis_status kluis_evidence_batch_add(struct kluis_evidence_batch *b, struct kluis_bytes digests, struct kluis_err *err)
{
    if (b->levels > 0) { return KLUIS_FAIL(err, KLUIS_E_BUG, "evidence batch: closed already"); }
    if (!er_is_run(digests, b->len)) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "evidence batch: an object has 1 to %d digests of one length", KLUIS_EVIDENCE_GROUP);
    }
    if (b->n == KLUIS_EVIDENCE_BATCH) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "evidence batch: more than %d objects", KLUIS_EVIDENCE_BATCH); }
    if (b->n == b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 64;
        uint8_t *more = kluis_realloc(b->level[0], cap * b->len);
        if (!more) { return er_no_memory(err); }
        b->level[0] = more;
        b->cap = cap;
    }
    uint8_t node[KLUIS_DIGEST_MAX];
    KLUIS_TRY(er_node(b->digest, digests, node, err));
    memcpy(b->level[0] + b->n * b->len, node, b->len);
    b->n++;
    return KLUIS_OK;
}

kluis_status kluis_evidence_batch_imprint(struct kluis_evidence_batch *b, struct kluis_imprint *out, struct kluis_err *err)
{
    if (b->n == 0) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "evidence batch: empty"); }
    size_t l = 0;
    for (size_t n = b->n; n > 1; n = (n + 1) / 2, l++) {
        if (b->levels > 0) { continue; }
        uint8_t *up = kluis_malloc((n + 1) / 2 * b->len);
        b->level[l + 1] = up;
        if (!up) { return er_no_memory(err); }
        for (size_t i = 0; i < n; i += 2) {
            uint8_t node[KLUIS_DIGEST_MAX];
            size_t pair = i + 1 < n ? 2 : 1;
            KLUIS_TRY(er_node(b->digest, (struct kluis_bytes){ b->level[l] + i * b->len, pair * b->len }, node, err));
            memcpy(up + i / 2 * b->len, node, b->len);
        }
    }
    b->levels = l + 1;
    memset(out, 0, sizeof *out);
    out->digest = b->digest;
    memcpy(out->value, b->level[l], b->len);
    return KLUIS_OK;
}

/* The branch of an object, with the token checked against the root. */
static kluis_status branch(const struct kluis_evidence_batch *b, size_t index, struct kluis_bytes digests, struct kluis_bytes token,
                           STACK_OF(er_list) * tree, struct kluis_err *err)
{
    uint8_t node[KLUIS_DIGEST_MAX];
    if (b->levels == 0 || index >= b->n) { return KLUIS_FAIL(err, KLUIS_E_BUG, "evidence batch: still open, or no such object"); }
    if (!er_is_run(digests, b->len)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "evidence batch: no digests of this batch's length"); }
    KLUIS_TRY(er_node(b->digest, digests, node, err));
    if (memcmp(node, b->level[0] + index * b->len, b->len) != 0) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "evidence batch: object %zu had other digests", index);
    }
    struct kluis_imprint root = { .digest = b->digest };
    struct kluis_time_verdict v;
    memcpy(root.value, b->level[b->levels - 1], b->len);
    KLUIS_TRY(kluis_time_judge(token, &root, NULL, 0, 0, &v, err));
    if (v.outcome == KLUIS_INVALID) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "evidence batch: %.250s", v.reason); }
    /* Only the object's own digests in the first list: a neighbour's would make it "covered" by this record too. */
    KLUIS_TRY(er_tree_add(tree, digests, b->len, err));
    for (size_t l = 0, n = b->n, i = index; l + 1 < b->levels; l++, n = (n + 1) / 2, i /= 2) {
        if ((i ^ 1) >= n) { continue; }
        KLUIS_TRY(er_tree_add(tree, (struct kluis_bytes){ b->level[l] + (i ^ 1) * b->len, b->len }, b->len, err));
    }
    return KLUIS_OK;
}

static kluis_status stamped(const struct kluis_evidence_batch *b, size_t index, struct kluis_bytes digests, struct kluis_bytes token, er_record *r,
                            struct kluis_buf *record, struct kluis_err *err)
{
    STACK_OF(er_list) *tree = er_tree_new();
    if (!r || !tree) {
        er_tree_free(tree);
        return er_no_memory(err);
    }
    kluis_status rc = branch(b, index, digests, token, tree, err);
    if (rc != KLUIS_OK) {
        er_tree_free(tree);
        return rc;
    }
    KLUIS_TRY(er_add_stamp(r, b->digest, tree, token, true, err));
    return er_write(r, record, err);
}

kluis_status kluis_evidence_batch_record(const struct kluis_evidence_batch *b, size_t index, struct kluis_bytes digests, struct kluis_bytes token,
                                         struct kluis_buf *record, struct kluis_err *err)
{
    ER_AUTO r = er_new();
    return stamped(b, index, digests, token, r, record, err);
}

kluis_status kluis_evidence_batch_renewed(const struct kluis_evidence_batch *b, size_t index, struct kluis_bytes digests, struct kluis_bytes token,
                                          struct kluis_bytes old, struct kluis_buf *record, struct kluis_err *err)
{
    ER_AUTO r = NULL;
    KLUIS_TRY(er_read(old, &r, err));
    return stamped(b, index, digests, token, r, record, err);
}

/* ---- renewal ------------------------------------------------------------------------------------ */

static kluis_status renewal_imprint(const er_record *r, struct kluis_imprint *out, struct kluis_err *err)
{
    const er_stamp *last = er_last(r);
    memset(out, 0, sizeof *out);
    KLUIS_TRY(er_digest(last, &out->digest, err));
    return er_hash(out->digest, er_token(last), (struct kluis_bytes){ NULL, 0 }, out->value, err);
}

kluis_status kluis_evidence_renewal_imprint(struct kluis_bytes record, struct kluis_imprint *out, struct kluis_err *err)
{
    ER_AUTO r = NULL;
    KLUIS_TRY(er_read(record, &r, err));
    return renewal_imprint(r, out, err);
}

kluis_status kluis_evidence_restamped(struct kluis_bytes old, struct kluis_bytes token, struct kluis_buf *record, struct kluis_err *err)
{
    ER_AUTO r = NULL;
    struct kluis_imprint over;
    struct kluis_time_verdict v;
    KLUIS_TRY(er_read(old, &r, err));
    KLUIS_TRY(renewal_imprint(r, &over, err));
    KLUIS_TRY(kluis_time_judge(token, &over, NULL, 0, 0, &v, err));
    if (v.outcome == KLUIS_INVALID) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "evidence record: %.250s", v.reason); }
    KLUIS_TRY(er_add_stamp(r, over.digest, NULL, token, false, err));
    return er_write(r, record, err);
}

kluis_status kluis_evidence_rehash(struct kluis_bytes old, enum kluis_digest digest, struct kluis_bytes digests, struct kluis_buf *out,
                                   struct kluis_err *err)
{
    ER_AUTO r = NULL;
    uint8_t ha[KLUIS_DIGEST_MAX];
    KLUIS_TRY(er_read(old, &r, err));
    if (!er_is_run(digests, kluis_digest_len(digest))) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "evidence record: no digests of that length"); }
    KLUIS_TRY(er_sequence_digest(r, sk_er_chain_num(r->chains), digest, ha, err));
    return er_bind(digest, digests, ha, out, err);
}
