/* lib/evidence/record.c - reading and writing the DER of an evidence record.
 *
 * OpenSSL's templates read and write; what they read must encode to the bytes that came, so that there is one spelling.  Before they see
 * hostile bytes the elements are counted: an octet string of two bytes becomes sixty in memory. */
#include "internal.h"

#include <openssl/err.h>

enum { ELEMENTS_MAX = 1 << 17, DEPTH_MAX = 7, ALGORITHMS = KLUIS_SHA512 };

kluis_status er_no_memory(struct kluis_err *err)
{
    ERR_clear_error();
    return KLUIS_FAIL(err, KLUIS_E_NOMEM, "evidence record: out of memory");
}

void er_free(er_record *r) { ASN1_item_free((ASN1_VALUE *)r, ASN1_ITEM_rptr(er_record)); }

er_record *er_new(void)
{
    er_record *r = (er_record *)ASN1_item_new(ASN1_ITEM_rptr(er_record));
    if (r && ASN1_INTEGER_set(r->version, 1) == 1) { return r; }
    er_free(r);
    return NULL;
}

/* ---- reading ------------------------------------------------------------------------------------ */

/* Counts the elements of p down to the octet strings of the trees; false: too many, or no DER. */
static bool count(const uint8_t *p, size_t n, int depth, size_t *seen)
{
    while (n > 0) {
        const uint8_t *at = p;
        long len = 0;
        int tag = 0, class = 0, head = ASN1_get_object(&at, &len, &tag, &class, (long)n);
        if ((head & 0x81) != 0 || len < 0 || (size_t)len > n - (size_t)(at - p) || ++*seen > ELEMENTS_MAX) {
            return false;
        } /* 0x80 error, 0x01 indefinite */
        if ((head & V_ASN1_CONSTRUCTED) && depth < DEPTH_MAX && !count(at, (size_t)len, depth + 1, seen)) { return false; }
        n -= (size_t)(at - p) + (size_t)len;
        p = at + len;
    }
    return true;
}

/* SHA-2 with absent or NULL parameters (RFC 5754 §2). */
static bool algorithm(const X509_ALGOR *a, enum kluis_digest *out)
{
    const ASN1_OBJECT *oid = NULL;
    int type = 0;
    X509_ALGOR_get0(&oid, &type, NULL, a);
    int nid = OBJ_obj2nid(oid);
    *out = nid == NID_sha256 ? KLUIS_SHA256 : nid == NID_sha384 ? KLUIS_SHA384 : KLUIS_SHA512;
    return (nid == NID_sha256 || nid == NID_sha384 || nid == NID_sha512) && (type == V_ASN1_UNDEF || type == V_ASN1_NULL);
}

struct kluis_bytes er_token(const er_stamp *s)
{
    const ASN1_STRING *t = s->token->value.sequence;
    return (struct kluis_bytes){ ASN1_STRING_get0_data(t), (size_t)ASN1_STRING_length(t) };
}

kluis_status er_digest(const er_stamp *s, enum kluis_digest *out, struct kluis_err *err)
{
    if (!s->digest) { return kluis_time_digest(er_token(s), out, err); }
    return algorithm(s->digest, out) ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_REJECT, "evidence record: digest is not SHA-256, SHA-384 or SHA-512");
}

static kluis_status check_tree(const STACK_OF(er_list) * tree, size_t len, struct kluis_err *err)
{
    int lists = sk_er_list_num(tree);
    if (lists < 1 || lists > KLUIS_EVIDENCE_LISTS) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "evidence record: a hash tree has no or more than %d lists", KLUIS_EVIDENCE_LISTS);
    }
    for (int i = 0; i < lists; i++) {
        const er_list *list = sk_er_list_value(tree, i);
        int n = sk_er_octets_num(list);
        if (n < 1 || n > KLUIS_EVIDENCE_GROUP) {
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "evidence record: a list has no or more than %d digests", KLUIS_EVIDENCE_GROUP);
        }
        for (int k = 0; k < n; k++) {
            const ASN1_OCTET_STRING *d = sk_er_octets_value(list, k);
            if ((size_t)ASN1_STRING_length(d) != len) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "evidence record: a digest of another length"); }
            if (k > 0 && memcmp(ASN1_STRING_get0_data(sk_er_octets_value(list, k - 1)), ASN1_STRING_get0_data(d), len) > 0) {
                return KLUIS_FAIL(err, KLUIS_E_REJECT, "evidence record: a list that is not in binary ascending order");
            }
        }
    }
    return KLUIS_OK;
}

static kluis_status check_chain(const er_chain *chain, size_t *stamps, enum kluis_digest *digest, struct kluis_err *err)
{
    int n = sk_er_stamp_num(chain);
    if (n < 1 || (*stamps += (size_t)n) > KLUIS_EVIDENCE_STAMPS) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "evidence record: an empty chain, or more than %d time-stamps", KLUIS_EVIDENCE_STAMPS);
    }
    for (int i = 0; i < n; i++) {
        const er_stamp *s = sk_er_stamp_value(chain, i);
        enum kluis_digest d = KLUIS_SHA256;
        if (s->token->type != V_ASN1_SEQUENCE) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "evidence record: a time-stamp without token"); }
        KLUIS_TRY(er_digest(s, &d, err));
        if (i == 0) { *digest = d; }
        if (d != *digest) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "evidence record: two digests in one chain"); }
        if (s->tree) { KLUIS_TRY(check_tree(s->tree, kluis_digest_len(d), err)); }
    }
    return KLUIS_OK;
}

/* The list of digests is signed by nobody: it must follow from the chains. */
static kluis_status check(const er_record *r, struct kluis_err *err)
{
    size_t stamps = 0;
    enum kluis_digest used[ALGORITHMS];
    int n_used = 0, chains = sk_er_chain_num(r->chains);
    if (ASN1_INTEGER_get(r->version) != 1) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "evidence record: version is not 1"); }
    if (chains < 1 || chains > KLUIS_EVIDENCE_STAMPS) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "evidence record: no chain, or too many"); }
    for (int i = 0; i < chains; i++) {
        enum kluis_digest d = KLUIS_SHA256;
        bool known = false;
        KLUIS_TRY(check_chain(sk_er_chain_value(r->chains, i), &stamps, &d, err));
        for (int k = 0; k < n_used; k++) { known = known || used[k] == d; }
        if (!known) { used[n_used++] = d; }
    }
    bool same = sk_X509_ALGOR_num(r->digests) == n_used;
    for (int i = 0; same && i < n_used; i++) {
        enum kluis_digest d = KLUIS_SHA256;
        same = algorithm(sk_X509_ALGOR_value(r->digests, i), &d) && d == used[i];
    }
    return same ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_REJECT, "evidence record: announces other digests than it uses");
}

static kluis_status encode(const er_record *r, uint8_t **der, size_t *n, struct kluis_err *err)
{
    *der = NULL;
    int len = ASN1_item_i2d((const ASN1_VALUE *)r, der, ASN1_ITEM_rptr(er_record));
    if (len <= 0) { return er_no_memory(err); }
    *n = (size_t)len;
    return KLUIS_OK;
}

kluis_status er_read(struct kluis_bytes der, er_record **out, struct kluis_err *err)
{
    *out = NULL;
    size_t seen = 0, n = 0;
    if (der.len == 0 || der.len > KLUIS_EVIDENCE_MAX || !count(der.ptr, der.len, 1, &seen)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "evidence record: empty, too large, or no DER");
    }
    const uint8_t *p = der.ptr;
    uint64_t mark = kluis_memory_mark();
    ER_AUTO r = (er_record *)ASN1_item_d2i(NULL, &p, (long)der.len, ASN1_ITEM_rptr(er_record));
    ERR_clear_error();
    if (kluis_memory_refused(mark)) { return er_no_memory(err); }
    if (!r || p != der.ptr + der.len) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "evidence record: malformed, or with parts that are not accepted"); }
    uint8_t *again = NULL;
    KLUIS_TRY(encode(r, &again, &n, err));
    bool same = n == der.len && memcmp(again, der.ptr, n) == 0;
    OPENSSL_free(again);
    if (!same) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "evidence record: not the one encoding of its content"); }
    KLUIS_TRY(check(r, err));
    *out = r;
    r = NULL;
    return KLUIS_OK;
}

const er_stamp *er_last(const er_record *r)
{
    const er_chain *chain = sk_er_chain_value(r->chains, sk_er_chain_num(r->chains) - 1);
    return sk_er_stamp_value(chain, sk_er_stamp_num(chain) - 1);
}

kluis_status er_sequence_digest(const er_record *r, int n, enum kluis_digest digest, uint8_t out[KLUIS_DIGEST_MAX], struct kluis_err *err)
{
    STACK_OF(er_chain) *first = sk_er_chain_new_null();
    uint8_t *der = NULL;
    bool ok = first != NULL;
    for (int i = 0; ok && i < n; i++) { ok = sk_er_chain_push(first, sk_er_chain_value(r->chains, i)) > 0; }
    int len = ok ? ASN1_item_i2d((const ASN1_VALUE *)first, &der, ASN1_ITEM_rptr(er_sequence)) : -1;
    sk_er_chain_free(first);
    kluis_status rc =
        len > 0 ? er_hash(digest, (struct kluis_bytes){ der, (size_t)len }, (struct kluis_bytes){ NULL, 0 }, out, err) : er_no_memory(err);
    OPENSSL_free(der);
    return rc;
}

/* ---- writing ------------------------------------------------------------------------------------ */

kluis_status er_write(const er_record *r, struct kluis_buf *out, struct kluis_err *err)
{
    uint8_t *der = NULL;
    size_t n = 0;
    KLUIS_TRY(check(r, err));
    KLUIS_TRY(encode(r, &der, &n, err));
    if (n <= KLUIS_EVIDENCE_MAX) { kluis_buf_add(out, der, n); }
    OPENSSL_free(der);
    if (n > KLUIS_EVIDENCE_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "evidence record: larger than %d bytes", KLUIS_EVIDENCE_MAX); }
    return kluis_buf_ok(out, err);
}

static void list_free(er_list *list) { sk_er_octets_pop_free(list, ASN1_OCTET_STRING_free); }

STACK_OF(er_list) * er_tree_new(void) { return sk_er_list_new_null(); }

void er_tree_free(STACK_OF(er_list) * tree) { sk_er_list_pop_free(tree, list_free); }

kluis_status er_tree_add(STACK_OF(er_list) * tree, struct kluis_bytes digests, size_t len, struct kluis_err *err)
{
    uint8_t *sorted = er_sorted(digests, len);
    er_list *list = sk_er_octets_new_null();
    bool ok = sorted && list;
    for (size_t at = 0; ok && at < digests.len; at += len) {
        ASN1_OCTET_STRING *d = ASN1_OCTET_STRING_new();
        ok = d && ASN1_OCTET_STRING_set(d, sorted + at, (int)len) == 1 && sk_er_octets_push(list, d) > 0;
        if (!ok) { ASN1_OCTET_STRING_free(d); }
    }
    kluis_free(sorted);
    if (ok && sk_er_list_push(tree, list) > 0) { return KLUIS_OK; }
    list_free(list);
    return er_no_memory(err);
}

static X509_ALGOR *new_algorithm(enum kluis_digest d)
{
    X509_ALGOR *a = X509_ALGOR_new();
    int nid = d == KLUIS_SHA256 ? NID_sha256 : d == KLUIS_SHA384 ? NID_sha384 : NID_sha512;
    if (a && X509_ALGOR_set0(a, OBJ_nid2obj(nid), V_ASN1_UNDEF, NULL) == 1) { return a; }
    X509_ALGOR_free(a);
    return NULL;
}

static bool announce(er_record *r, enum kluis_digest digest)
{
    for (int i = 0; i < sk_X509_ALGOR_num(r->digests); i++) {
        enum kluis_digest d = KLUIS_SHA256;
        if (algorithm(sk_X509_ALGOR_value(r->digests, i), &d) && d == digest) { return true; }
    }
    X509_ALGOR *a = new_algorithm(digest);
    if (a && sk_X509_ALGOR_push(r->digests, a) > 0) { return true; }
    X509_ALGOR_free(a);
    return false;
}

kluis_status er_add_stamp(er_record *r, enum kluis_digest digest, STACK_OF(er_list) * tree, struct kluis_bytes token, bool new_chain,
                          struct kluis_err *err)
{
    er_stamp *s = (er_stamp *)ASN1_item_new(ASN1_ITEM_rptr(er_stamp));
    ASN1_STRING *bytes = ASN1_STRING_type_new(V_ASN1_SEQUENCE);
    bool ok = s && bytes && token.len <= KLUIS_TOKEN_MAX && ASN1_STRING_set(bytes, token.ptr, (int)token.len) == 1;
    if (s) {
        s->tree = tree;
    } else {
        er_tree_free(tree);
    }
    if (ok) {
        ASN1_TYPE_set(s->token, V_ASN1_SEQUENCE, bytes);
        bytes = NULL;
        s->digest = new_algorithm(digest);
        ok = s->digest && announce(r, digest);
    }
    ASN1_STRING_free(bytes);
    if (ok && new_chain) {
        er_chain *chain = sk_er_stamp_new_null();
        ok = chain && sk_er_chain_push(r->chains, chain) > 0;
        if (!ok) { sk_er_stamp_free(chain); }
    }
    ok = ok && sk_er_stamp_push(sk_er_chain_value(r->chains, sk_er_chain_num(r->chains) - 1), s) > 0;
    if (ok) { return KLUIS_OK; }
    ASN1_item_free((ASN1_VALUE *)s, ASN1_ITEM_rptr(er_stamp));
    return er_no_memory(err);
}
