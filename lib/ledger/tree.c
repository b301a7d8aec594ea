/* lib/ledger/tree.c - the Merkle tree of RFC 6962: hashing, appending, making and checking proofs.
 *
 * Appending keeps only the peaks of the complete subtrees (a compact range); proofs are made from complete
 * nodes that the caller keeps.  Checking follows the algorithms of RFC 9162 §2.1.3.2 and §2.1.4.2. */
#include "kluis/ledger.h"

#include <assert.h>
#include <gcrypt.h>

void kluis_leaf_hash(const void *data, size_t n, kluis_hash *out)
{
    static const uint8_t prefix = 0x00;
    union {
        const void *in;
        void *out;
    } first = { .in = &prefix }, rest = { .in = data }; /* libgcrypt reads only, its type does not say so */
    const gcry_buffer_t iov[2] = { { .data = first.out, .len = 1, .size = 1 }, { .data = rest.out, .len = n, .size = n } };
    gcry_error_t rc = gcry_md_hash_buffers(GCRY_MD_SHA256, 0, out->b, iov, n > 0 ? 2 : 1);
    assert(rc == 0); /* it fails for unknown algorithms only */
    (void)rc;
}

void kluis_node_hash(const kluis_hash *left, const kluis_hash *right, kluis_hash *out)
{
    uint8_t node[1 + 2 * sizeof left->b]; /* in one piece: a quarter less time than three */
    node[0] = 0x01;
    memcpy(node + 1, left->b, sizeof left->b);
    memcpy(node + 1 + sizeof left->b, right->b, sizeof right->b);
    kluis_sha256_of(node, sizeof node, out->b);
}

void kluis_empty_head(kluis_hash *out) { kluis_sha256_of("", 0, out->b); }

void kluis_tree_init(struct kluis_tree *t) { memset(t, 0, sizeof *t); }

void kluis_tree_append(struct kluis_tree *t, const kluis_hash *leaf, void (*node)(void *ctx, unsigned level, uint64_t index, const kluis_hash *h),
                       void *ctx)
{
    assert(t->size < INT64_MAX);
    kluis_hash h = *leaf;
    unsigned level = 0;
    if (node) { node(ctx, 0, t->size, &h); }
    while ((t->size >> level) & 1) {
        kluis_node_hash(&t->peak[level], &h, &h);
        level++;
        if (node) { node(ctx, level, t->size >> level, &h); }
    }
    t->peak[level] = h;
    t->size++;
}

void kluis_tree_join(struct kluis_tree *t, const struct kluis_tree *part)
{
    assert(part->size < INT64_MAX - t->size);
    for (unsigned at = KLUIS_TREE_LEVELS; at-- > 0;) { /* the largest subtree comes first */
        if (!((part->size >> at) & 1)) { continue; }
        kluis_hash h = part->peak[at];
        unsigned level = at;
        assert(t->size % ((uint64_t)1 << at) == 0);
        for (; (t->size >> level) & 1; level++) { kluis_node_hash(&t->peak[level], &h, &h); }
        t->peak[level] = h;
        t->size += (uint64_t)1 << at;
    }
}

void kluis_tree_head(const struct kluis_tree *t, kluis_hash *out)
{
    if (t->size == 0) {
        kluis_empty_head(out);
        return;
    }
    bool have = false;
    for (unsigned level = 0; level < KLUIS_TREE_LEVELS; level++) {
        if (!((t->size >> level) & 1)) { continue; }
        if (!have) {
            *out = t->peak[level];
            have = true;
        } else {
            kluis_node_hash(&t->peak[level], out, out);
        }
    }
}

/* ---- making proofs ---------------------------------------------------------------------------- */

static unsigned log2_floor(uint64_t n)
{
    assert(n > 0);
    return 63u - (unsigned)__builtin_clzll(n);
}

/* The largest power of two smaller than n; n > 1. */
static uint64_t split(uint64_t n) { return (uint64_t)1 << log2_floor(n - 1); }

/* Head of the leaves lo..hi-1, lo being a multiple of the first complete subtree in it. */
static kluis_status range_head(const struct kluis_nodes *nodes, uint64_t lo, uint64_t hi, kluis_hash *out, struct kluis_err *err)
{
    kluis_hash part[KLUIS_TREE_LEVELS];
    size_t n = 0;
    while (lo < hi) {
        unsigned level = log2_floor(hi - lo);
        assert((lo & (((uint64_t)1 << level) - 1)) == 0);
        KLUIS_TRY(nodes->get(nodes->ctx, level, lo >> level, &part[n], err));
        n++;
        lo += (uint64_t)1 << level;
    }
    assert(n > 0);
    *out = part[n - 1];
    for (size_t i = n - 1; i > 0; i--) { kluis_node_hash(&part[i - 1], out, out); }
    return KLUIS_OK;
}

/* RFC 6962 writes a proof from the leaf upwards; we walk from the head downwards. */
static void reverse(kluis_hash *h, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        kluis_hash t = h[i];
        h[i] = h[n - 1 - i];
        h[n - 1 - i] = t;
    }
}

kluis_status kluis_prove_inclusion(const struct kluis_nodes *nodes, uint64_t index, uint64_t size, kluis_hash proof[KLUIS_PROOF_MAX], size_t *n,
                                   struct kluis_err *err)
{
    *n = 0;
    if (index >= size || size > INT64_MAX) { return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "leaf is not in a tree of that size"); }
    uint64_t lo = 0, hi = size;
    while (hi - lo > 1) {
        uint64_t mid = lo + split(hi - lo);
        assert(*n < KLUIS_PROOF_MAX);
        if (index < mid) {
            KLUIS_TRY(range_head(nodes, mid, hi, &proof[*n], err));
            hi = mid;
        } else {
            KLUIS_TRY(range_head(nodes, lo, mid, &proof[*n], err));
            lo = mid;
        }
        (*n)++;
    }
    reverse(proof, *n);
    return KLUIS_OK;
}

kluis_status kluis_prove_consistency(const struct kluis_nodes *nodes, uint64_t from, uint64_t to, kluis_hash proof[KLUIS_PROOF_MAX], size_t *n,
                                     struct kluis_err *err)
{
    *n = 0;
    if (from == 0 || from > to || to > INT64_MAX) { return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "no consistency proof between these sizes"); }
    uint64_t lo = 0, hi = to;
    bool whole = true; /* the older tree is still the whole of what we look at: its head is known to the asker */
    while (from != hi) {
        uint64_t mid = lo + split(hi - lo);
        assert(*n < KLUIS_PROOF_MAX);
        if (from <= mid) {
            KLUIS_TRY(range_head(nodes, mid, hi, &proof[*n], err));
            hi = mid;
        } else {
            KLUIS_TRY(range_head(nodes, lo, mid, &proof[*n], err));
            lo = mid;
            whole = false;
        }
        (*n)++;
    }
    if (!whole) {
        assert(*n < KLUIS_PROOF_MAX);
        KLUIS_TRY(range_head(nodes, lo, hi, &proof[*n], err));
        (*n)++;
    }
    reverse(proof, *n);
    return KLUIS_OK;
}

/* ---- checking proofs -------------------------------------------------------------------------- */

static bool same(const kluis_hash *a, const kluis_hash *b) { return memcmp(a->b, b->b, sizeof a->b) == 0; }

kluis_status kluis_check_inclusion(const kluis_hash *leaf, uint64_t index, uint64_t size, const kluis_hash *proof, size_t n, const kluis_hash *head,
                                   struct kluis_err *err)
{
    if (size > INT64_MAX || index >= size) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "inclusion proof: index outside the tree"); }
    uint64_t fn = index, sn = size - 1;
    kluis_hash r = *leaf;
    for (size_t i = 0; i < n; i++) {
        if (sn == 0) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "inclusion proof: too long"); }
        if ((fn & 1) || fn == sn) {
            kluis_node_hash(&proof[i], &r, &r);
            while (!(fn & 1) && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            kluis_node_hash(&r, &proof[i], &r);
        }
        fn >>= 1;
        sn >>= 1;
    }
    if (sn != 0) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "inclusion proof: too short"); }
    if (!same(&r, head)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "inclusion proof: leads to another head"); }
    return KLUIS_OK;
}

kluis_status kluis_check_consistency(uint64_t from, uint64_t to, const kluis_hash *from_head, const kluis_hash *to_head, const kluis_hash *proof,
                                     size_t n, struct kluis_err *err)
{
    if (to > INT64_MAX || from > to) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "consistency proof: sizes in the wrong order"); }
    if (from == to) {
        if (n != 0) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "consistency proof: must be empty for equal sizes"); }
        if (!same(from_head, to_head)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "two heads for one tree size: the log has forked"); }
        return KLUIS_OK;
    }
    if (from == 0) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "consistency proof: an empty tree proves nothing"); }
    uint64_t fn = from - 1, sn = to - 1;
    while (fn & 1) {
        fn >>= 1;
        sn >>= 1;
    }
    size_t i = 0;
    kluis_hash fr, sr;
    if ((from & (from - 1)) == 0) { /* the older tree is complete: its head opens the path and is not repeated */
        fr = sr = *from_head;
    } else {
        if (n == 0) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "consistency proof: too short"); }
        fr = sr = proof[i++];
    }
    for (; i < n; i++) {
        if (sn == 0) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "consistency proof: too long"); }
        if ((fn & 1) || fn == sn) {
            kluis_node_hash(&proof[i], &fr, &fr);
            kluis_node_hash(&proof[i], &sr, &sr);
            while (!(fn & 1) && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            kluis_node_hash(&sr, &proof[i], &sr);
        }
        fn >>= 1;
        sn >>= 1;
    }
    if (sn != 0) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "consistency proof: too short"); }
    if (!same(&fr, from_head)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "consistency proof: leads to another older head"); }
    if (!same(&sr, to_head)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "consistency proof: leads to another newer head"); }
    return KLUIS_OK;
}
