/* lib/validation/receipt.c - receipts: one JSON spelling, and a judgement of leaf, proof, seal and witnesses.
 *
 * json-c reads, and then the text must equal what we would write from what it read: a member twice, another order or
 * another escape is another text, and no receipt. */
#include "internal.h"

#include <json-c/json.h>
#include <stdarg.h>

#define VERSION "chatkluis-receipt-v1"

void finding(struct layer_finding *f, enum kluis_layer_state state, const char *fmt, ...)
{
    va_list ap;
    f->state = state;
    va_start(ap, fmt);
    (void)vsnprintf(f->reason, sizeof f->reason, fmt, ap);
    va_end(ap);
}

kluis_status kluis_receipt_write(const struct kluis_receipt *r, struct kluis_buf *out, struct kluis_err *err)
{
    if (r->checkpoint_seal.len > KLUIS_P7S_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "receipt: the seal is too large"); }
    kluis_buf_cstr(out, "{\"version\":\"" VERSION "\",\"leaf\":");
    kluis_buf_json(out, r->leaf);
    kluis_buf_cstr(out, ",\"proof\":");
    kluis_buf_json(out, r->proof);
    kluis_buf_cstr(out, ",\"seal\":\"");
    char *room = (char *)kluis_buf_reserve(out, kluis_base64_len(r->checkpoint_seal.len) + 1);
    if (room) { out->len += kluis_base64(r->checkpoint_seal.ptr, r->checkpoint_seal.len, room); }
    kluis_buf_fmt(out, "\",\"time\":\"%s\"}\n", r->stamped ? "stamped" : "pending");
    return kluis_buf_ok(out, err);
}

static kluis_status take_text(json_object *o, const char *name, struct kluis_arena *arena, struct kluis_str *out, struct kluis_err *err)
{
    json_object *v = NULL;
    if (!json_object_object_get_ex(o, name, &v) || json_object_get_type(v) != json_type_string) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "receipt: \"%s\" is missing or no text", name);
    }
    *out = kluis_arena_str(arena, (struct kluis_str){ json_object_get_string(v), (size_t)json_object_get_string_len(v) });
    return out->ptr ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_NOMEM, "receipt: out of memory");
}

static kluis_status take_members(json_object *o, struct kluis_arena *arena, struct kluis_receipt *r, struct kluis_err *err)
{
    struct kluis_str version, seal, when;
    if (!o || json_object_get_type(o) != json_type_object || json_object_object_length(o) != 5) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "receipt: not the five members of one");
    }
    KLUIS_TRY(take_text(o, "version", arena, &version, err));
    KLUIS_TRY(take_text(o, "leaf", arena, &r->leaf, err));
    KLUIS_TRY(take_text(o, "proof", arena, &r->proof, err));
    KLUIS_TRY(take_text(o, "seal", arena, &seal, err));
    KLUIS_TRY(take_text(o, "time", arena, &when, err));
    if (!kluis_str_is(version, VERSION)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "receipt: another version"); }
    r->stamped = kluis_str_is(when, "stamped");
    if (!r->stamped && !kluis_str_is(when, "pending")) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "receipt: \"time\" is neither stamped nor pending"); }
    uint8_t *der = kluis_arena_alloc(arena, seal.len + 1);
    size_t n = 0;
    if (!der) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "receipt: out of memory"); }
    if (!kluis_unbase64(seal, der, seal.len + 1, &n)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "receipt: the seal is no base64"); }
    r->checkpoint_seal = (struct kluis_bytes){ der, n };
    return KLUIS_OK;
}

kluis_status kluis_receipt_read(struct kluis_str json, struct kluis_arena *arena, struct kluis_receipt *out, struct kluis_err *err)
{
    memset(out, 0, sizeof *out);
    if (!json.ptr || json.len == 0 || json.len > KLUIS_RECEIPT_MAX || kluis_utf8_valid(json.ptr, json.len) != json.len) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "receipt: empty, too large or not UTF-8");
    }
    uint64_t mark = kluis_memory_mark();
    struct json_tokener *tok = json_tokener_new_ex(4);
    if (!tok) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "receipt: out of memory"); }
    json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
    json_object *o = json_tokener_parse_ex(tok, json.ptr, (int)json.len);
    struct kluis_receipt r;
    memset(&r, 0, sizeof r);
    kluis_status st = json_tokener_get_error(tok) == json_tokener_success && !kluis_memory_refused(mark)
                          ? take_members(o, arena, &r, err)
                          : KLUIS_FAIL(err, KLUIS_E_REJECT, "receipt: malformed JSON");
    json_object_put(o);
    json_tokener_free(tok);
    if (st != KLUIS_OK && kluis_memory_refused(mark)) { st = KLUIS_FAIL(err, KLUIS_E_NOMEM, "receipt: out of memory; try again"); }
    KLUIS_TRY(st);
    KLUIS_AUTO_BUF(again, KLUIS_RECEIPT_MAX + 1);
    KLUIS_TRY(kluis_receipt_write(&r, &again, err));
    if (again.len != json.len || memcmp(again.data, json.ptr, json.len) != 0) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "receipt: not in its one spelling");
    }
    *out = r;
    return KLUIS_OK;
}

/* ---- judging ------------------------------------------------------------------------------------ */

static void judge_leaf(const struct kluis_receipt *r, const uint8_t *package, const uint8_t *root, const uint8_t *device, struct layer_finding *f)
{
    struct kluis_leaf leaf;
    struct kluis_err e = { 0 };
    if (kluis_leaf_read(r->leaf, &leaf, &e) != KLUIS_OK) {
        finding(f, KLUIS_L_INVALID, "%.300s", e.msg);
    } else if (package && memcmp(leaf.package, package, 32) != 0) {
        finding(f, KLUIS_L_INVALID, "receipt is of another package");
    } else if (root && memcmp(leaf.records_root, root, 32) != 0) {
        finding(f, KLUIS_L_INVALID, "receipt names other records");
    } else if (device && memcmp(leaf.device, device, 32) != 0) {
        finding(f, KLUIS_L_INVALID, "receipt names another device certificate");
    } else {
        f->state = KLUIS_L_VALID;
    }
}

static kluis_status judge_seal(const struct kluis_receipt *r, const struct kluis_trust *trust, struct kluis_str checkpoint, int64_t now_us,
                               struct receipt_findings *out, struct kluis_err *err)
{
    struct kluis_seal_verdict v;
    KLUIS_AUTO_BUF(own, KLUIS_CHECKPOINT_MAX);
    KLUIS_TRY(kluis_checkpoint_own(checkpoint, trust->log_vkey, &own, err));
    KLUIS_TRY(kluis_seal_judge(r->checkpoint_seal, kluis_buf_bytes(&own), trust->seal_cas, trust->n_seal_cas, trust->tsa_cas, trust->n_tsa_cas,
                               now_us, &v, err));
    if (v.signature == KLUIS_INVALID || v.certificate == KLUIS_INVALID || v.time == KLUIS_INVALID) {
        finding(&out->checkpoint, KLUIS_L_INVALID, "checkpoint seal: %.280s", v.reason);
    } else if (v.has_token != r->stamped) {
        finding(&out->checkpoint, KLUIS_L_INVALID, "receipt says %s, its seal does not", r->stamped ? "stamped" : "pending");
    } else {
        out->sealed = v.signature == KLUIS_VALID && v.certificate == KLUIS_VALID;
        if (out->sealed && v.time == KLUIS_VALID) {
            out->checkpoint.state = KLUIS_L_VALID;
            out->stamped_us = v.proven_us;
        } else if (out->sealed && !r->stamped) {
            finding(&out->checkpoint, KLUIS_L_INDETERMINATE, "sealed; its time stamp is still pending");
        } else {
            finding(&out->checkpoint, KLUIS_L_INDETERMINATE, "checkpoint seal: %.280s", v.reason);
        }
    }
    return KLUIS_OK;
}

static kluis_status judge_witnesses(const struct kluis_trust *trust, struct kluis_str checkpoint, struct layer_finding *f, struct kluis_err *err)
{
    struct kluis_err e = { 0 };
    size_t n = 0;
    if (trust->witness_threshold == 0) { return KLUIS_OK; }
    kluis_status st = kluis_checkpoint_witnesses(checkpoint, trust->witness_vkeys, trust->n_witnesses, &n, &e);
    if (st == KLUIS_E_REJECT) {
        finding(f, KLUIS_L_INVALID, "%.300s", e.msg);
    } else if (st != KLUIS_OK) {
        return KLUIS_FAIL(err, st, "%s", e.msg);
    } else if (n < trust->witness_threshold) {
        finding(f, KLUIS_L_INDETERMINATE, "%zu of the %zu witnesses demanded have signed", n, trust->witness_threshold);
    } else {
        f->state = KLUIS_L_VALID;
    }
    return KLUIS_OK;
}

kluis_status receipt_judge(const struct kluis_receipt *r, const struct kluis_trust *trust, const uint8_t *package, const uint8_t *root,
                           const uint8_t *device, int64_t now_us, struct receipt_findings *out, struct kluis_err *err)
{
    memset(out, 0, sizeof *out);
    out->receipt.state = out->ledger.state = out->checkpoint.state = out->witness.state = KLUIS_L_ABSENT;
    out->stamped_us = KLUIS_TIME_ABSENT;
    judge_leaf(r, package, root, device, &out->receipt);
    if (!trust || !trust->log_vkey) {
        finding(&out->ledger, KLUIS_L_INDETERMINATE, "no log is trusted");
        finding(&out->checkpoint, KLUIS_L_INDETERMINATE, "no log is trusted");
        return KLUIS_OK;
    }
    struct kluis_checkpoint c;
    struct kluis_str checkpoint;
    struct kluis_err e = { 0 };
    struct kluis_bytes leaf = { (const uint8_t *)r->leaf.ptr, r->leaf.len };
    kluis_status st = kluis_tlog_proof_check(r->proof, leaf, trust->log_vkey, &c, NULL, &checkpoint, &e);
    if (st == KLUIS_E_REJECT) {
        finding(&out->ledger, KLUIS_L_INVALID, "%.300s", e.msg);
        finding(&out->checkpoint, KLUIS_L_ABSENT, "not judged: the proof is wrong");
        return KLUIS_OK;
    }
    if (st != KLUIS_OK) { return KLUIS_FAIL(err, st, "%s", e.msg); }
    out->ledger.state = KLUIS_L_VALID;
    out->proven = c;
    KLUIS_TRY(judge_seal(r, trust, checkpoint, now_us, out, err));
    return judge_witnesses(trust, checkpoint, &out->witness, err);
}

kluis_status kluis_receipt_check(const struct kluis_receipt *r, const struct kluis_trust *trust, const uint8_t package[32],
                                 const uint8_t *records_root_or_null, const uint8_t *device_cert_sha256_or_null, int64_t now_us,
                                 struct kluis_checkpoint *checkpoint, enum kluis_layer *layer, struct kluis_err *err)
{
    struct receipt_findings f;
    KLUIS_TRY(receipt_judge(r, trust, package, records_root_or_null, device_cert_sha256_or_null, now_us, &f, err));
    const struct {
        enum kluis_layer layer;
        const struct layer_finding *f;
        bool good;
    } order[] = { { KLUIS_V_RECEIPT, &f.receipt, f.receipt.state == KLUIS_L_VALID },
                  { KLUIS_V_LEDGER, &f.ledger, f.ledger.state == KLUIS_L_VALID },
                  /* A stamp may still be pending; the seal may not. */
                  { KLUIS_V_CHECKPOINT, &f.checkpoint, f.sealed && f.checkpoint.state != KLUIS_L_INVALID },
                  { KLUIS_V_WITNESS, &f.witness, f.witness.state != KLUIS_L_INVALID } };
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        if (order[i].good) { continue; }
        if (layer) { *layer = order[i].layer; }
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%.300s", order[i].f->reason);
    }
    if (checkpoint) { *checkpoint = f.proven; }
    return KLUIS_OK;
}
