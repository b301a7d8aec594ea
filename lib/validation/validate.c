/* lib/validation/validate.c - the seven steps: content, signature, certificate, time, receipt, evidence, and what follows from them.
 *
 * VALID needs every layer of the content, the device's signature and certificate, and a proven time: by a token on the signature, the
 * stamped checkpoint of a receipt, the vault's stamped seal or an evidence record.  What is there must hold. */
#include "internal.h"

#include <assert.h>

static void set(struct kluis_verdict *v, enum kluis_layer l, enum kluis_layer_state state, const char *reason)
{
    v->layer[l].state = state;
    (void)snprintf(v->layer[l].reason, sizeof v->layer[l].reason, "%s", reason);
}

static void take(struct kluis_verdict *v, enum kluis_layer l, const struct layer_finding *f) { set(v, l, f->state, f->reason); }

static enum kluis_layer_state state_of(enum kluis_outcome o)
{
    return o == KLUIS_VALID ? KLUIS_L_VALID : o == KLUIS_INVALID ? KLUIS_L_INVALID : KLUIS_L_INDETERMINATE;
}

static enum kluis_layer layer_of(enum kluis_package_layer l)
{
    static const enum kluis_layer map[KLUIS_PACKAGE_LAYERS] = { KLUIS_V_CONTAINER, KLUIS_V_MANIFESTS, KLUIS_V_RECORDS, KLUIS_V_METADATA };
    return l < KLUIS_PACKAGE_LAYERS ? map[l] : KLUIS_V_CONTAINER;
}

static void judge_signature(struct kluis_verdict *v)
{
    const struct kluis_seal_verdict *s = &v->seal;
    set(v, KLUIS_V_SIGNATURE, state_of(s->signature), s->signature_reason);
    set(v, KLUIS_V_CERTIFICATE, state_of(s->certificate), s->certificate_reason);
    set(v, KLUIS_V_TIME, s->has_token ? state_of(s->time) : KLUIS_L_ABSENT, s->time_reason);
}

/* Sequence numbers count per device: a package must not speak for another device than the one that signed it. */
static kluis_status judge_device(struct kluis_verdict *v, struct kluis_bytes cert, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(name, 256);
    kluis_status st = kluis_cert_name(cert, &name, NULL);
    if (st == KLUIS_E_NOMEM) { return KLUIS_FAIL(err, st, "certificate: out of memory"); }
    size_t n = strnlen(v->facts.device, sizeof v->facts.device);
    bool same = st == KLUIS_OK && name.len == n && memcmp(name.data, v->facts.device, n) == 0;
    if (!same && v->seal.signature == KLUIS_VALID) {
        set(v, KLUIS_V_CERTIFICATE, KLUIS_L_INVALID, "the package names another device than its certificate");
    }
    return KLUIS_OK;
}

/* A clock that was wrong makes nothing invalid: what counts is what is proven.  It is told beside the signature. */
static void judge_clock(struct kluis_verdict *v, struct kluis_bytes cert)
{
    char claimed[KLUIS_TIME_TEXT], other[KLUIS_TIME_TEXT];
    const int64_t at = v->seal.claimed_us;
    int64_t from = 0, to = 0;
    if (v->layer[KLUIS_V_SIGNATURE].state != KLUIS_L_VALID || at == KLUIS_TIME_ABSENT || kluis_cert_validity(cert, &from, &to, NULL) != KLUIS_OK) {
        return;
    }
    struct layer_finding f = { .state = KLUIS_L_VALID };
    (void)kluis_time_text(claimed, at, 0, 0);
    if (v->proven_us != KLUIS_TIME_ABSENT && at > v->proven_us + KLUIS_TIME_SLACK_US) {
        (void)kluis_time_text(other, v->proven_us, 0, 0);
        finding(&f, KLUIS_L_VALID, "the device's clock was ahead: it said %s, and the signature was there at %s", claimed, other);
    } else if (at < from) {
        (void)kluis_time_text(other, from, 0, 0);
        finding(&f, KLUIS_L_VALID, "the device's clock was behind: it said %s, and its certificate begins at %s", claimed, other);
    }
    if (f.reason[0] != '\0') { take(v, KLUIS_V_SIGNATURE, &f); }
}

static enum kluis_outcome conclude(const struct kluis_verdict *v, bool receipt_given, bool sealed, bool trusted)
{
    static const enum kluis_layer always[] = { KLUIS_V_CONTAINER, KLUIS_V_MANIFESTS, KLUIS_V_RECORDS,
                                               KLUIS_V_METADATA,  KLUIS_V_SIGNATURE, KLUIS_V_CERTIFICATE };
    for (int l = 0; l < KLUIS_V_LAYERS; l++) {
        if (v->layer[l].state == KLUIS_L_INVALID) { return KLUIS_INVALID; }
    }
    if (!trusted) { return KLUIS_INDETERMINATE; }
    for (size_t i = 0; i < sizeof always / sizeof *always; i++) {
        if (v->layer[always[i]].state != KLUIS_L_VALID) { return KLUIS_INDETERMINATE; }
    }
    bool receipt_holds = v->layer[KLUIS_V_RECEIPT].state == KLUIS_L_VALID && v->layer[KLUIS_V_LEDGER].state == KLUIS_L_VALID && sealed &&
                         v->layer[KLUIS_V_WITNESS].state != KLUIS_L_INDETERMINATE;
    if (receipt_given && !receipt_holds) { return KLUIS_INDETERMINATE; }
    static const enum kluis_layer doubtful[] = { KLUIS_V_REVOCATION, KLUIS_V_SEAL, KLUIS_V_EVIDENCE };
    for (size_t i = 0; i < sizeof doubtful / sizeof *doubtful; i++) {
        if (v->layer[doubtful[i]].state == KLUIS_L_INDETERMINATE) { return KLUIS_INDETERMINATE; }
    }
    bool proven = v->layer[KLUIS_V_TIME].state == KLUIS_L_VALID || (receipt_given && v->layer[KLUIS_V_CHECKPOINT].state == KLUIS_L_VALID) ||
                  v->layer[KLUIS_V_SEAL].state == KLUIS_L_VALID || v->layer[KLUIS_V_EVIDENCE].state == KLUIS_L_VALID;
    return proven ? KLUIS_VALID : KLUIS_INDETERMINATE;
}

/* device: SHA-256 of the signer's certificate, or NULL when no signature can be read. */
static kluis_status judge_receipt(struct kluis_str text, const struct kluis_trust *trust, const uint8_t *device, struct kluis_verdict *v,
                                  int64_t now_us, struct receipt_findings *f, struct kluis_err *err)
{
    memset(f, 0, sizeof *f);
    f->stamped_us = KLUIS_TIME_ABSENT;
    struct kluis_receipt r;
    struct kluis_err e = { 0 };
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(8 * (size_t)KLUIS_RECEIPT_MAX);
    if (!arena) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "receipt: out of memory"); }
    kluis_status st = kluis_receipt_read(text, arena, &r, &e);
    if (st == KLUIS_E_REJECT || st == KLUIS_E_LIMIT) {
        set(v, KLUIS_V_RECEIPT, KLUIS_L_INVALID, e.msg);
        return KLUIS_OK;
    }
    if (st != KLUIS_OK) { return KLUIS_FAIL(err, st, "%s", e.msg); }
    KLUIS_TRY(receipt_judge(&r, trust, v->facts.id, v->facts.records_root, device, now_us, f, err));
    take(v, KLUIS_V_RECEIPT, &f->receipt);
    take(v, KLUIS_V_LEDGER, &f->ledger);
    take(v, KLUIS_V_CHECKPOINT, &f->checkpoint);
    take(v, KLUIS_V_WITNESS, &f->witness);
    return KLUIS_OK;
}

/* Content good: now the signatures around it, newest first. */
static kluis_status judge_proofs(const struct kluis_input *again, struct kluis_str receipt, const struct kluis_trust *trust, int64_t now_us,
                                 struct kluis_verdict *out, struct kluis_err *err)
{
    static const struct kluis_trust nothing;
    const struct kluis_trust *t = trust ? trust : &nothing;
    struct receipt_findings f = { .stamped_us = KLUIS_TIME_ABSENT };
    struct addition_findings a;
    uint8_t device[32];
    KLUIS_AUTO_BUF(cert, KLUIS_CERT_MAX);
    bool signer = kluis_seal_signer(kluis_buf_bytes(&out->facts.signature), &cert, NULL) == KLUIS_OK;
    if (signer) { kluis_sha256_of(cert.data, cert.len, device); }
    if (receipt.ptr) { KLUIS_TRY(judge_receipt(receipt, trust, signer ? device : NULL, out, now_us, &f, err)); }
    bool covered = out->layer[KLUIS_V_RECEIPT].state == KLUIS_L_VALID && out->layer[KLUIS_V_LEDGER].state == KLUIS_L_VALID &&
                   out->layer[KLUIS_V_CHECKPOINT].state == KLUIS_L_VALID;
    KLUIS_TRY(additions_judge(&out->facts, again, t, now_us, &a, err));
    take(out, KLUIS_V_SEAL, &a.seal);
    take(out, KLUIS_V_EVIDENCE, &a.evidence);
    /* Seal and record cover signature and token as they stand: these need to have held when the older of the two was stamped. */
    int64_t held = earliest(a.seal_us, a.evidence_us), known = earliest(held, covered ? f.stamped_us : KLUIS_TIME_ABSENT);
    KLUIS_TRY(kluis_seal_judge_known(kluis_buf_bytes(&out->facts.signature), kluis_buf_bytes(&out->facts.manifest), t->device_cas, t->n_device_cas,
                                     t->tsa_cas, t->n_tsa_cas, known, held == KLUIS_TIME_ABSENT ? now_us : held, &out->seal, err));
    judge_signature(out);
    if (signer) { KLUIS_TRY(judge_device(out, kluis_buf_bytes(&cert), err)); }
    out->proven_us = earliest(known, out->seal.proven_us);
    if (signer) { judge_clock(out, kluis_buf_bytes(&cert)); }
    if (signer && out->layer[KLUIS_V_CERTIFICATE].state == KLUIS_L_VALID) {
        struct layer_finding r = { .state = KLUIS_L_ABSENT };
        KLUIS_TRY(revocation_judge(kluis_buf_bytes(&cert), &out->facts, t, out->proven_us, now_us, &r, err));
        take(out, KLUIS_V_REVOCATION, &r);
    }
    out->overall = conclude(out, receipt.ptr != NULL, f.sealed, trust != NULL);
    return KLUIS_OK;
}

kluis_status kluis_validate_content(const struct kluis_input *in, struct kluis_lane *lane, const struct kluis_package_sink *sink, int64_t now_us,
                                    struct kluis_verdict *out, struct kluis_err *err)
{
    memset(out, 0, sizeof *out);
    out->overall = KLUIS_INVALID;
    out->judged_us = now_us;
    out->proven_us = out->seal.claimed_us = out->seal.proven_us = KLUIS_TIME_ABSENT;
    for (int l = 0; l < KLUIS_V_LAYERS; l++) { out->layer[l].state = KLUIS_L_ABSENT; }
    kluis_package_facts_init(&out->facts);

    struct kluis_err e = { 0 };
    kluis_status st = kluis_export_read(in, lane, sink, &out->facts, &e);
    if (st == KLUIS_E_REJECT || st == KLUIS_E_LIMIT) {
        enum kluis_layer broken = layer_of(out->facts.failed);
        for (int l = 0; l < KLUIS_V_LAYERS; l++) { set(out, (enum kluis_layer)l, KLUIS_L_ABSENT, "not judged: the package is refused"); }
        set(out, broken, KLUIS_L_INVALID, e.msg);
        return KLUIS_OK;
    }
    if (st != KLUIS_OK) {
        if (err && err->code == KLUIS_OK) { *err = e; }
        return st;
    }
    for (int l = KLUIS_V_CONTAINER; l <= KLUIS_V_METADATA; l++) { out->layer[l].state = KLUIS_L_VALID; }
    return KLUIS_OK;
}

kluis_status kluis_validate_proofs(const struct kluis_input *again, struct kluis_str receipt, const struct kluis_trust *trust,
                                   struct kluis_verdict *v, struct kluis_err *err)
{
    for (int l = KLUIS_V_CONTAINER; l <= KLUIS_V_METADATA; l++) {
        if (v->layer[l].state != KLUIS_L_VALID) { return KLUIS_OK; } /* refused: there is nothing to prove anything about */
    }
    return judge_proofs(again, receipt, trust, v->judged_us, v, err);
}

kluis_status kluis_validate_twice(const struct kluis_input *in, const struct kluis_input *again, struct kluis_str receipt,
                                  const struct kluis_trust *trust, const struct kluis_package_sink *sink, int64_t now_us, struct kluis_verdict *out,
                                  struct kluis_err *err)
{
    KLUIS_TRY(kluis_validate_content(in, NULL, sink, now_us, out, err));
    return kluis_validate_proofs(again, receipt, trust, out, err);
}

kluis_status kluis_validate(const struct kluis_input *in, struct kluis_str receipt, const struct kluis_trust *trust,
                            const struct kluis_package_sink *sink, int64_t now_us, struct kluis_verdict *out, struct kluis_err *err)
{
    return kluis_validate_twice(in, NULL, receipt, trust, sink, now_us, out, err);
}
