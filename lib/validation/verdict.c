/* lib/validation/verdict.c - names of layers, and a verdict as one JSON line. */
#include "internal.h"

#include <assert.h>

const char *kluis_layer_name(enum kluis_layer l)
{
    static const char *const names[KLUIS_V_LAYERS] = { "container", "manifests", "records", "metadata",   "signature", "certificate", "revocation",
                                                       "time",      "receipt",   "ledger",  "checkpoint", "witness",   "seal",        "evidence" };
    assert(l < KLUIS_V_LAYERS);
    return names[l];
}

void kluis_verdict_clear(struct kluis_verdict *v) { kluis_package_facts_clear(&v->facts); }

static const char *outcome_name(enum kluis_outcome o) { return o == KLUIS_VALID ? "valid" : o == KLUIS_INDETERMINATE ? "indeterminate" : "invalid"; }

static const char *state_name(enum kluis_layer_state s)
{
    static const char *const names[] = { "valid", "invalid", "indeterminate", "absent" };
    return names[s];
}

static void put_time(struct kluis_buf *out, const char *name, int64_t us)
{
    char text[KLUIS_TIME_TEXT];
    if (us == KLUIS_TIME_ABSENT) { return; }
    (void)kluis_time_text(text, us, 0, 0);
    kluis_buf_fmt(out, ",\"%s\":\"%s\"", name, text);
}

kluis_status kluis_verdict_json(const struct kluis_verdict *v, struct kluis_buf *out, struct kluis_err *err)
{
    char hex[65];
    kluis_buf_fmt(out, "{\"verdict\":\"%s\"", outcome_name(v->overall));
    if (v->layer[KLUIS_V_CONTAINER].state == KLUIS_L_VALID) {
        kluis_hex(v->facts.id, 32, hex);
        kluis_buf_fmt(out, ",\"package\":\"%s\"", hex);
        kluis_hex(v->facts.records_root, 32, hex);
        kluis_buf_fmt(out, ",\"records_root\":\"%s\",\"records\":%llu,\"attachments\":%llu", hex, (unsigned long long)v->facts.n_records,
                      (unsigned long long)v->facts.n_attachments);
        put_time(out, "claimed", v->seal.claimed_us);
        put_time(out, "proven", v->proven_us);
    }
    put_time(out, "judged", v->judged_us);
    kluis_buf_cstr(out, ",\"layers\":{");
    for (int l = 0; l < KLUIS_V_LAYERS; l++) {
        kluis_buf_fmt(out, "%s\"%s\":{\"state\":\"%s\"", l ? "," : "", kluis_layer_name((enum kluis_layer)l), state_name(v->layer[l].state));
        if (v->layer[l].reason[0]) {
            struct kluis_str why = kluis_str_of(v->layer[l].reason);
            why.len = kluis_utf8_valid(why.ptr, why.len); /* a name cut in the middle of a letter */
            kluis_buf_cstr(out, ",\"reason\":");
            kluis_buf_json(out, why);
        }
        kluis_buf_byte(out, '}');
    }
    kluis_buf_cstr(out, "}}\n");
    return kluis_buf_ok(out, err);
}
