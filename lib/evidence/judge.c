/* lib/evidence/judge.c - RFC 4998 §5.3: does this record prove this object, and since when? */
#include "internal.h"

#include <assert.h>
#include <stdarg.h>

struct judging {
    const er_record *r;
    const struct kluis_evidence_object *object;
    struct kluis_evidence_verdict *v;
};

static void says(struct kluis_evidence_verdict *v, enum kluis_outcome o, const char *fmt, ...) KLUIS_PRINTF(3, 4);

/* The worst finding stands; of equals the first. */
static void says(struct kluis_evidence_verdict *v, enum kluis_outcome o, const char *fmt, ...)
{
    if (o >= v->outcome) { return; }
    va_list ap;
    v->outcome = o;
    va_start(ap, fmt);
    (void)vsnprintf(v->reason, sizeof v->reason, fmt, ap);
    va_end(ap);
}

/* The list holds exactly these digests. */
static kluis_status is_exactly(const er_list *list, struct kluis_bytes digests, size_t len, bool *same, struct kluis_err *err)
{
    *same = (size_t)sk_er_octets_num(list) * len == digests.len;
    if (!*same) { return KLUIS_OK; }
    uint8_t *sorted = er_sorted(digests, len);
    if (!sorted) { return er_no_memory(err); }
    for (size_t i = 0; *same && i * len < digests.len; i++) {
        *same = memcmp(ASN1_STRING_get0_data(sk_er_octets_value(list, (int)i)), sorted + i * len, len) == 0;
    }
    kluis_free(sorted);
    return KLUIS_OK;
}

/* From the first list to the root: each list, with the digest of the one before. */
static kluis_status root_of(const STACK_OF(er_list) * tree, enum kluis_digest d, uint8_t out[KLUIS_DIGEST_MAX], struct kluis_err *err)
{
    size_t len = kluis_digest_len(d);
    KLUIS_AUTO_BUF(b, (KLUIS_EVIDENCE_GROUP + 1) * (size_t)KLUIS_DIGEST_MAX);
    for (int i = 0; i < sk_er_list_num(tree); i++) {
        const er_list *list = sk_er_list_value(tree, i);
        kluis_buf_clear(&b);
        if (i > 0) { kluis_buf_add(&b, out, len); }
        for (int k = 0; k < sk_er_octets_num(list); k++) { kluis_buf_add(&b, ASN1_STRING_get0_data(sk_er_octets_value(list, k)), len); }
        KLUIS_TRY(kluis_buf_ok(&b, err));
        KLUIS_TRY(er_node(d, kluis_buf_bytes(&b), out, err));
    }
    return KLUIS_OK;
}

/* Leads the stamp from these digests to an imprint?  If so, *out is it. */
static kluis_status leads(const er_stamp *s, enum kluis_digest d, struct kluis_bytes digests, struct kluis_imprint *out, bool *same,
                          struct kluis_err *err)
{
    memset(out, 0, sizeof *out);
    out->digest = d;
    *same = true;
    if (!s->tree) { return er_node(d, digests, out->value, err); }
    KLUIS_TRY(is_exactly(sk_er_list_value(s->tree, 0), digests, kluis_digest_len(d), same, err));
    return *same ? root_of(s->tree, d, out->value, err) : KLUIS_OK;
}

/* What the first stamp of chain c must cover, in chain c's digest. */
static kluis_status covered(const struct judging *j, int c, enum kluis_digest d, struct kluis_buf *out, struct kluis_err *err)
{
    struct kluis_bytes digests = j->object->digests[d];
    if (c == 0) {
        kluis_buf_add(out, digests.ptr, digests.len);
        return kluis_buf_ok(out, err);
    }
    uint8_t ha[KLUIS_DIGEST_MAX];
    KLUIS_TRY(er_sequence_digest(j->r, c, d, ha, err));
    return er_bind(d, digests, ha, out, err);
}

static kluis_status judge_tree(const struct judging *j, int c, int s, struct kluis_imprint *out, struct kluis_err *err)
{
    const er_chain *chain = sk_er_chain_value(j->r->chains, c);
    const er_stamp *stamp = sk_er_stamp_value(chain, s);
    enum kluis_digest d = KLUIS_SHA256;
    bool same = false;
    KLUIS_TRY(er_digest(stamp, &d, err));
    if (s > 0) { /* a renewal covers the token before it */
        uint8_t over[KLUIS_DIGEST_MAX];
        KLUIS_TRY(er_hash(d, er_token(sk_er_stamp_value(chain, s - 1)), (struct kluis_bytes){ NULL, 0 }, over, err));
        KLUIS_TRY(leads(stamp, d, (struct kluis_bytes){ over, kluis_digest_len(d) }, out, &same, err));
        if (!same) { says(j->v, KLUIS_INVALID, "evidence record: a renewal that covers another time-stamp"); }
        return KLUIS_OK;
    }
    size_t len = kluis_digest_len(d);
    out->digest = KLUIS_NO_DIGEST;
    if (!er_is_run(j->object->digests[d], len)) {
        says(j->v, KLUIS_INDETERMINATE, "evidence record: the object's digests of %zu bits were not computed", 8 * len);
        return KLUIS_OK;
    }
    KLUIS_AUTO_BUF(digests, KLUIS_EVIDENCE_GROUP * (size_t)KLUIS_DIGEST_MAX);
    KLUIS_TRY(covered(j, c, d, &digests, err));
    KLUIS_TRY(leads(stamp, d, kluis_buf_bytes(&digests), out, &same, err));
    if (!same) { says(j->v, KLUIS_INVALID, c == 0 ? "evidence record: of another object" : "evidence record: a new hash tree over another object"); }
    return KLUIS_OK;
}

kluis_status kluis_evidence_needs(struct kluis_bytes record, unsigned *digests, struct kluis_err *err)
{
    ER_AUTO r = NULL;
    KLUIS_TRY(er_read(record, &r, err));
    *digests = 0;
    for (int c = 0; c < sk_er_chain_num(r->chains); c++) {
        enum kluis_digest d = KLUIS_SHA256;
        KLUIS_TRY(er_digest(sk_er_stamp_value(sk_er_chain_value(r->chains, c), 0), &d, err));
        *digests |= 1u << d;
    }
    return KLUIS_OK;
}

/* Newest first: at is the moment at which the stamp must hold, then the stamp's own time for the one before. */
static kluis_status judge_stamp(const struct judging *j, int c, int s, const struct kluis_bytes *anchors, size_t n, int64_t *at,
                                struct kluis_err *err)
{
    struct kluis_imprint imprint;
    struct kluis_time_verdict t;
    KLUIS_TRY(judge_tree(j, c, s, &imprint, err));
    if (j->v->outcome == KLUIS_INVALID || imprint.digest == KLUIS_NO_DIGEST) { return KLUIS_OK; }
    KLUIS_TRY(kluis_time_judge(er_token(sk_er_stamp_value(sk_er_chain_value(j->r->chains, c), s)), &imprint, anchors, n, *at, &t, err));
    bool newest = j->v->last_us == KLUIS_TIME_ABSENT;
    says(j->v, t.outcome, "evidence record: chain %d, stamp %d: %.200s", c + 1, s + 1, t.reason);
    if (t.gen_us == KLUIS_TIME_ABSENT) { return KLUIS_OK; }
    if (!newest && t.gen_us > *at) { says(j->v, KLUIS_INVALID, "evidence record: a time-stamp is younger than the one that renews it"); }
    if (newest) { j->v->last_us = t.gen_us; }
    j->v->first_us = *at = t.gen_us;
    return KLUIS_OK;
}

kluis_status kluis_evidence_judge(struct kluis_bytes record, const struct kluis_evidence_object *object, const struct kluis_bytes *tsa_anchors,
                                  size_t n, int64_t at_us, struct kluis_evidence_verdict *out, struct kluis_err *err)
{
    struct kluis_err e = { 0 };
    ER_AUTO r = NULL;
    memset(out, 0, sizeof *out);
    out->outcome = KLUIS_VALID;
    out->first_us = out->last_us = KLUIS_TIME_ABSENT;
    kluis_status rc = er_read(record, &r, &e);
    if (rc == KLUIS_E_NOMEM) { return KLUIS_FAIL(err, rc, "%s", e.msg); }
    if (rc != KLUIS_OK) {
        says(out, KLUIS_INVALID, "%s", e.msg);
        return KLUIS_OK;
    }
    struct judging j = { r, object, out };
    out->chains = (size_t)sk_er_chain_num(r->chains);
    for (int c = (int)out->chains - 1; c >= 0 && out->outcome != KLUIS_INVALID; c--) {
        int stamps = sk_er_stamp_num(sk_er_chain_value(r->chains, c));
        out->stamps += (size_t)stamps;
        for (int s = stamps - 1; s >= 0 && out->outcome != KLUIS_INVALID; s--) { KLUIS_TRY(judge_stamp(&j, c, s, tsa_anchors, n, &at_us, err)); }
    }
    if (out->outcome != KLUIS_VALID) { out->first_us = out->last_us = KLUIS_TIME_ABSENT; }
    return KLUIS_OK;
}
