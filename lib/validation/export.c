/* lib/validation/export.c - what a vault adds to a package: its seal with revocation lists, and the evidence record over everything.
 *
 * Newest first: the evidence record must hold now; then the seal and its token need to have held when the record's first time-stamp was
 * made, and the device's signature when the seal was. */
#include "internal.h"

#include <assert.h>
#include <openssl/evp.h>

static_assert((int)KLUIS_EXPORT_EVIDENCE_MAX == (int)KLUIS_EVIDENCE_MAX, "an evidence record fits in an export");
static_assert((int)KLUIS_PACKAGE_ENTRIES_MAX + (int)KLUIS_EXPORT_ENTRIES <= (int)KLUIS_EVIDENCE_GROUP,
              "every file of a package fits in an evidence record");

int64_t earliest(int64_t a, int64_t b)
{
    if (a == KLUIS_TIME_ABSENT) { return b; }
    return b == KLUIS_TIME_ABSENT || a < b ? a : b;
}

static enum kluis_layer_state state_of(enum kluis_outcome o)
{
    return o == KLUIS_VALID ? KLUIS_L_VALID : o == KLUIS_INVALID ? KLUIS_L_INVALID : KLUIS_L_INDETERMINATE;
}

/* ---- digests other than SHA-256: a second pass --------------------------------------------------- */

struct second_pass {
    EVP_MD_CTX *ctx[KLUIS_SHA512 + 1]; /* NULL: not asked for */
    struct kluis_buf digests[KLUIS_SHA512 + 1];
    bool covered; /* the file being read */
};

static const EVP_MD *md_of(int d) { return d == KLUIS_SHA384 ? EVP_sha384() : EVP_sha512(); }

static kluis_status begin_file(void *ctx, const char *name, struct kluis_err *err)
{
    struct second_pass *p = ctx;
    p->covered = kluis_export_covers(name);
    for (int d = KLUIS_SHA384; d <= KLUIS_SHA512; d++) {
        if (p->ctx[d] && EVP_DigestInit_ex(p->ctx[d], md_of(d), NULL) != 1) {
            return KLUIS_FAIL(err, KLUIS_E_NOMEM, "evidence record: out of memory");
        }
    }
    return KLUIS_OK;
}

static kluis_status more_of_file(void *ctx, const void *data, size_t n, struct kluis_err *err)
{
    struct second_pass *p = ctx;
    for (int d = KLUIS_SHA384; d <= KLUIS_SHA512 && p->covered; d++) {
        if (p->ctx[d] && EVP_DigestUpdate(p->ctx[d], data, n) != 1) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "evidence record: out of memory"); }
    }
    return KLUIS_OK;
}

static kluis_status end_file(void *ctx, const char *name, uint64_t size, const uint8_t sha256[32], struct kluis_err *err)
{
    struct second_pass *p = ctx;
    (void)name, (void)size, (void)sha256;
    for (int d = KLUIS_SHA384; d <= KLUIS_SHA512 && p->covered; d++) {
        uint8_t out[KLUIS_DIGEST_MAX];
        if (!p->ctx[d]) { continue; }
        if (EVP_DigestFinal_ex(p->ctx[d], out, NULL) != 1) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "evidence record: out of memory"); }
        kluis_buf_add(&p->digests[d], out, kluis_digest_len((enum kluis_digest)d));
        KLUIS_TRY(kluis_buf_ok(&p->digests[d], err));
    }
    return KLUIS_OK;
}

static kluis_status read_again(struct second_pass *p, const struct kluis_package_facts *facts, const struct kluis_input *again, struct kluis_err *err)
{
    struct kluis_package_facts now;
    struct kluis_err e = { 0 };
    const struct kluis_package_sink sink = { .ctx = p, .entry_begin = begin_file, .entry_data = more_of_file, .entry_end = end_file };
    kluis_package_facts_init(&now);
    kluis_status rc = kluis_export_read(again, NULL, &sink, &now, &e);
    bool same = rc == KLUIS_OK && now.group.len == facts->group.len && memcmp(now.group.data, facts->group.data, now.group.len) == 0;
    kluis_package_facts_clear(&now);
    if (rc == KLUIS_E_NOMEM) { return KLUIS_FAIL(err, rc, "%s", e.msg); }
    return same ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_IO, "the package changed while it was read: %.200s", e.msg);
}

/* ---- evidence record ----------------------------------------------------------------------------- */

static kluis_status judge_record(const struct kluis_package_facts *facts, const struct kluis_input *again, const struct kluis_trust *trust,
                                 int64_t now_us, struct second_pass *p, struct addition_findings *out, struct kluis_err *err)
{
    struct kluis_evidence_object object = { .digests = { { NULL, 0 } } };
    struct kluis_evidence_verdict v;
    struct kluis_bytes record = kluis_buf_bytes(&facts->evidence);
    unsigned needs = 0;
    object.digests[KLUIS_SHA256] = kluis_buf_bytes(&facts->group);
    bool readable = kluis_evidence_needs(record, &needs, NULL) == KLUIS_OK; /* if not, judging says why */
    if (readable && again && (needs & ~(1u << KLUIS_SHA256))) {
        for (int d = KLUIS_SHA384; d <= KLUIS_SHA512; d++) {
            if (!(needs & 1u << d)) { continue; }
            p->ctx[d] = EVP_MD_CTX_new();
            if (!p->ctx[d]) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "evidence record: out of memory"); }
        }
        KLUIS_TRY(read_again(p, facts, again, err));
        for (int d = KLUIS_SHA384; d <= KLUIS_SHA512; d++) {
            if (p->ctx[d]) { object.digests[d] = kluis_buf_bytes(&p->digests[d]); }
        }
    }
    KLUIS_TRY(kluis_evidence_judge(record, &object, trust->tsa_cas, trust->n_tsa_cas, now_us, &v, err));
    finding(&out->evidence, state_of(v.outcome), "%s", v.reason);
    out->evidence_us = v.first_us;
    return KLUIS_OK;
}

static kluis_status judge_evidence(const struct kluis_package_facts *facts, const struct kluis_input *again, const struct kluis_trust *trust,
                                   int64_t now_us, struct addition_findings *out, struct kluis_err *err)
{
    struct second_pass p = { .covered = false };
    for (int d = 0; d <= KLUIS_SHA512; d++) { kluis_buf_init(&p.digests[d], KLUIS_EVIDENCE_GROUP * (size_t)KLUIS_DIGEST_MAX); }
    kluis_status rc = judge_record(facts, again, trust, now_us, &p, out, err);
    for (int d = 0; d <= KLUIS_SHA512; d++) {
        kluis_buf_free(&p.digests[d]);
        EVP_MD_CTX_free(p.ctx[d]);
    }
    return rc;
}

/* ---- seal ------------------------------------------------------------------------------------------ */

/* Lists of the trust file and of the seal; room for both. */
struct lists {
    struct kluis_bytes list[2 * KLUIS_CRLS_MAX + 64]; /* a trust file names at most 64, the verifier adds as many as fit in a seal */
    size_t n;
};

static void gather(const struct kluis_package_facts *facts, const struct kluis_trust *trust, struct lists *out)
{
    out->n = 0;
    for (size_t i = 0; i < trust->n_crls && i < 64 + KLUIS_CRLS_MAX; i++) { out->list[out->n++] = trust->crls[i]; }
    struct kluis_bytes embedded[KLUIS_CRLS_MAX];
    size_t n = 0;
    /* Each list carries its own signature: it counts even if the seal around it does not. */
    if (facts->seal.len && kluis_seal_crls(kluis_buf_bytes(&facts->seal), embedded, &n, NULL) == KLUIS_OK) {
        for (size_t i = 0; i < n; i++) { out->list[out->n++] = embedded[i]; }
    }
}

static void date(int64_t us, char out[KLUIS_TIME_TEXT]) { (void)kluis_time_text(out, us, 0, 0); }

static kluis_status judge_seal(const struct kluis_package_facts *facts, const struct kluis_trust *trust, int64_t now_us,
                               struct addition_findings *out, struct kluis_err *err)
{
    struct kluis_seal_verdict v;
    struct kluis_bytes p7s = kluis_buf_bytes(&facts->seal);
    int64_t at = out->evidence_us == KLUIS_TIME_ABSENT ? now_us : out->evidence_us;
    KLUIS_TRY(kluis_seal_judge_long(p7s, kluis_buf_bytes(&facts->seal_manifest), trust->seal_cas, trust->n_seal_cas, trust->tsa_cas, trust->n_tsa_cas,
                                    out->evidence_us, at, &v, err));
    if (v.signature == KLUIS_INVALID || v.certificate == KLUIS_INVALID || v.time == KLUIS_INVALID) {
        finding(&out->seal, KLUIS_L_INVALID, "%.300s", v.reason);
        return KLUIS_OK;
    }
    if (v.signature != KLUIS_VALID || v.certificate != KLUIS_VALID || v.time != KLUIS_VALID) {
        finding(&out->seal, KLUIS_L_INDETERMINATE, "%.300s", v.reason);
        return KLUIS_OK;
    }
    struct lists lists;
    struct kluis_revocation_verdict r;
    KLUIS_AUTO_BUF(cert, KLUIS_CERT_MAX);
    gather(facts, trust, &lists);
    KLUIS_TRY(kluis_seal_signer(p7s, &cert, err));
    KLUIS_TRY(kluis_revocation_judge(kluis_buf_bytes(&cert), trust->seal_cas, trust->n_seal_cas, lists.list, lists.n, v.proven_us, &r, err));
    if (r.state == KLUIS_REVOKED) {
        char since[KLUIS_TIME_TEXT];
        date(r.revoked_us, since);
        finding(&out->seal, KLUIS_L_INVALID, "the seal's certificate was revoked on %s, before the seal was stamped", since);
        return KLUIS_OK;
    }
    out->seal.state = KLUIS_L_VALID;
    out->seal_us = v.proven_us;
    return KLUIS_OK;
}

kluis_status additions_judge(const struct kluis_package_facts *facts, const struct kluis_input *again, const struct kluis_trust *trust,
                             int64_t now_us, struct addition_findings *out, struct kluis_err *err)
{
    memset(out, 0, sizeof *out);
    out->seal.state = out->evidence.state = KLUIS_L_ABSENT;
    out->seal_us = out->evidence_us = KLUIS_TIME_ABSENT;
    if (facts->evidence.len) { KLUIS_TRY(judge_evidence(facts, again, trust, now_us, out, err)); }
    return facts->seal.len ? judge_seal(facts, trust, now_us, out, err) : KLUIS_OK;
}

/* ---- revocation of the device ----------------------------------------------------------------------- */

kluis_status revocation_judge(struct kluis_bytes cert, const struct kluis_package_facts *facts, const struct kluis_trust *trust, int64_t proven_us,
                              int64_t now_us, struct layer_finding *out, struct kluis_err *err)
{
    struct lists lists;
    struct kluis_revocation_verdict r;
    char since[KLUIS_TIME_TEXT] = "";
    gather(facts, trust, &lists);
    int64_t moment = proven_us == KLUIS_TIME_ABSENT ? now_us : proven_us;
    KLUIS_TRY(kluis_revocation_judge(cert, trust->device_cas, trust->n_device_cas, lists.list, lists.n, moment, &r, err));
    if (r.revoked_us != KLUIS_TIME_ABSENT) { date(r.revoked_us, since); }
    switch (r.state) {
    case KLUIS_UNREVOKED: finding(out, KLUIS_L_VALID, "%s", ""); break;
    case KLUIS_REVOKED_LATER: finding(out, KLUIS_L_VALID, "revoked on %s, after the signature", since); break;
    case KLUIS_REVOKED:
        if (proven_us == KLUIS_TIME_ABSENT) {
            finding(out, KLUIS_L_INDETERMINATE, "revoked on %s, and nothing proves that the signature is older", since);
        } else {
            finding(out, KLUIS_L_INVALID, "revoked on %s, and the signature is not proven to be older", since);
        }
        break;
    case KLUIS_UNCHECKED: finding(out, KLUIS_L_ABSENT, "not checked: no list of the device's authority that is younger than the signature"); break;
    }
    return KLUIS_OK;
}
