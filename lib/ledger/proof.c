/* lib/ledger/proof.c - tlog-proof v1 (leaf, path and checkpoint in one text) and the text of our own leaves.
 *
 * The optional "extra" line of tlog-proof is neither written nor accepted: no signature covers it. */
#include "internal.h"

#include <assert.h>

#define PROOF_LABEL "c2sp.org/tlog-proof@v1"

kluis_status kluis_tlog_proof_write(uint64_t index, const kluis_hash *proof, size_t n, struct kluis_str checkpoint, struct kluis_buf *out,
                                    struct kluis_err *err)
{
    if (n > KLUIS_PROOF_MAX || index > INT64_MAX || checkpoint.len > KLUIS_CHECKPOINT_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "tlog-proof: path or checkpoint too long");
    }
    kluis_buf_fmt(out, PROOF_LABEL "\nindex %llu\n", (unsigned long long)index);
    for (size_t i = 0; i < n; i++) {
        char b64[48];
        (void)kluis_base64(proof[i].b, 32, b64);
        kluis_buf_fmt(out, "%s\n", b64);
    }
    kluis_buf_byte(out, '\n');
    kluis_buf_str(out, checkpoint);
    return kluis_buf_ok(out, err);
}

kluis_status kluis_tlog_proof_check(struct kluis_str proof, struct kluis_bytes leaf_data, const char *vkey, struct kluis_checkpoint *out,
                                    uint64_t *index, struct kluis_str *checkpoint_text, struct kluis_err *err)
{
    static const char word[] = "index ";
    size_t w = sizeof word - 1;
    struct kluis_str rest = proof, line;
    uint64_t at = 0;
    if (proof.len > KLUIS_TLOG_PROOF_MAX) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "tlog-proof: too long"); }
    if (!kluis_note_line(&rest, &line) || !kluis_str_is(line, PROOF_LABEL)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "tlog-proof: another kind or version");
    }
    if (!kluis_note_line(&rest, &line) || line.len <= w || memcmp(line.ptr, word, w) != 0 ||
        !kluis_note_decimal((struct kluis_str){ line.ptr + w, line.len - w }, &at)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "tlog-proof: malformed index");
    }
    kluis_hash path[KLUIS_PROOF_MAX];
    size_t n = 0;
    for (;;) {
        if (!kluis_note_line(&rest, &line)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "tlog-proof: ends early"); }
        if (line.len == 0) { break; }
        if (n == KLUIS_PROOF_MAX || !kluis_note_hash(line, &path[n])) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "tlog-proof: malformed path"); }
        n++;
    }
    struct kluis_checkpoint c;
    KLUIS_TRY(kluis_checkpoint_open(rest, vkey, &c, err));
    kluis_hash leaf;
    kluis_leaf_hash(leaf_data.ptr, leaf_data.len, &leaf);
    KLUIS_TRY(kluis_check_inclusion(&leaf, at, c.size, path, n, &c.head, err));
    *out = c;
    if (index) { *index = at; }
    if (checkpoint_text) { *checkpoint_text = rest; }
    return KLUIS_OK;
}

/* ---- leaves ------------------------------------------------------------------------------------ */

static bool verdict_ok(const char *v) { return strcmp(v, "valid") == 0 || strcmp(v, "indeterminate") == 0; }

kluis_status kluis_leaf_write(const struct kluis_leaf *l, struct kluis_buf *out, struct kluis_err *err)
{
    if (strnlen(l->verdict, sizeof l->verdict) == sizeof l->verdict || !verdict_ok(l->verdict) || l->received_us % 1000000 != 0) {
        return KLUIS_FAIL(err, KLUIS_E_BUG, "leaf: verdict or time cannot be written");
    }
    char package[65], root[65], device[65], when[KLUIS_TIME_TEXT];
    kluis_hex(l->package, 32, package);
    kluis_hex(l->records_root, 32, root);
    kluis_hex(l->device, 32, device);
    (void)kluis_time_text(when, l->received_us, 0, 0);
    kluis_buf_fmt(out, "chatkluis-leaf-v1\npackage %s\nrecords-root %s\ndevice %s\nverdict %s\ntime %s\n", package, root, device, l->verdict, when);
    return kluis_buf_ok(out, err);
}

/* The value of the next line, which must begin with `key` and a space. */
static bool field(struct kluis_str *rest, const char *key, struct kluis_str *value)
{
    struct kluis_str line;
    size_t k = strlen(key);
    if (!kluis_note_line(rest, &line) || line.len <= k + 1 || memcmp(line.ptr, key, k) != 0 || line.ptr[k] != ' ') { return false; }
    *value = (struct kluis_str){ line.ptr + k + 1, line.len - k - 1 };
    return true;
}

kluis_status kluis_leaf_read(struct kluis_str text, struct kluis_leaf *out, struct kluis_err *err)
{
    struct kluis_str rest = text, line, v;
    struct kluis_leaf l;
    int offset = 0, digits = 0;
    memset(&l, 0, sizeof l);
    if (text.len > KLUIS_LEAF_MAX || !kluis_note_line(&rest, &line) || !kluis_str_is(line, "chatkluis-leaf-v1")) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "leaf: another kind or version");
    }
    bool ok = field(&rest, "package", &v) && kluis_unhex(v, l.package, 32);
    ok = ok && field(&rest, "records-root", &v) && kluis_unhex(v, l.records_root, 32);
    ok = ok && field(&rest, "device", &v) && kluis_unhex(v, l.device, 32);
    ok = ok && field(&rest, "verdict", &v) && v.len < sizeof l.verdict;
    if (ok) { memcpy(l.verdict, v.ptr, v.len); }
    ok = ok && strlen(l.verdict) == v.len && verdict_ok(l.verdict);
    /* An offset of +00:00 is not the canonical Z: twenty characters leave only that. */
    ok = ok && field(&rest, "time", &v) && v.len == 20 && kluis_time_parse(v, &l.received_us, &offset, &digits);
    ok = ok && offset == 0 && digits == 0 && rest.len == 0;
    if (!ok) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "leaf: malformed"); }
    *out = l;
    return KLUIS_OK;
}

static const char LOG_LEAF[] = "chatkluis-log-v1";

kluis_status kluis_log_leaf_write(const struct kluis_log_leaf *l, struct kluis_buf *out, struct kluis_err *err)
{
    char head[65];
    if (l->since == 0 || l->since > INT64_MAX || l->size > INT64_MAX) { return KLUIS_FAIL(err, KLUIS_E_BUG, "log leaf: out of range"); }
    kluis_hex(l->head.b, 32, head);
    kluis_buf_fmt(out, "%s\nsince %llu\nsize %llu\nhead %s\n", LOG_LEAF, (unsigned long long)l->since, (unsigned long long)l->size, head);
    return kluis_buf_ok(out, err);
}

kluis_status kluis_log_leaf_read(struct kluis_str text, struct kluis_log_leaf *out, struct kluis_err *err)
{
    struct kluis_str rest = text, line, v;
    struct kluis_log_leaf l;
    memset(&l, 0, sizeof l);
    bool ok = text.len <= KLUIS_LEAF_MAX && kluis_note_line(&rest, &line) && kluis_str_is(line, LOG_LEAF);
    ok = ok && field(&rest, "since", &v) && kluis_note_decimal(v, &l.since) && l.since > 0;
    ok = ok && field(&rest, "size", &v) && kluis_note_decimal(v, &l.size);
    ok = ok && field(&rest, "head", &v) && kluis_unhex(v, l.head.b, 32) && rest.len == 0;
    if (!ok) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "leaf: another kind or version"); }
    *out = l;
    return KLUIS_OK;
}
