/* server/ingest/judge_child.c - runs behind the walls: the only code of the vault that parses a device's signature and token. */
#include "server/ingest/children.h"

static bool get_list(struct kluis_wire *w, struct kluis_bytes list[JUDGE_ANCHORS_MAX], size_t *n)
{
    uint32_t count = kluis_wire_get_u32(w);
    if (count > JUDGE_ANCHORS_MAX) { return false; }
    for (*n = 0; *n < count; ++*n) { list[*n] = kluis_wire_get(w, KLUIS_CERT_MAX); }
    return true;
}

static void say_verdict(int result, struct kluis_bytes manifest, const struct kluis_seal_verdict *v)
{
    uint8_t digest[32];
    KLUIS_AUTO_BUF(out, 4096);
    kluis_sha256_of(manifest.ptr, manifest.len, digest);
    kluis_wire_field(&out, digest, 32);
    kluis_wire_u32(&out, (uint32_t)v->signature);
    kluis_wire_u32(&out, (uint32_t)v->certificate);
    kluis_wire_u32(&out, (uint32_t)v->time);
    kluis_wire_u32(&out, v->has_token ? 1 : 0);
    kluis_wire_u64(&out, (uint64_t)v->claimed_us);
    kluis_wire_u64(&out, (uint64_t)v->proven_us);
    kluis_wire_field(&out, v->cert_sha256, 32);
    kluis_wire_str(&out, kluis_str_of(v->reason));
    child_say(result, kluis_buf_bytes(&out));
}

void judge_child(int request, int result)
{
    struct kluis_err err = { 0 };
    struct kluis_bytes anchors[JUDGE_ANCHORS_MAX], tsa[JUDGE_ANCHORS_MAX];
    struct kluis_seal_verdict v;
    size_t n = 0, n_tsa = 0;
    KLUIS_AUTO_BUF(asked, ZYGOTE_REQUEST_MAX);
    KLUIS_AUTO_BUF(out, 4096);
    kluis_wire_label(&out, JUDGED_LABEL);
    child_say(result, kluis_buf_bytes(&out));
    if (!child_hear(request, &asked)) { return; }
    struct kluis_wire w = kluis_wire_open(kluis_buf_bytes(&asked));
    bool ok = kluis_wire_is(&w, JUDGE_LABEL);
    int64_t at_us = (int64_t)kluis_wire_get_u64(&w);
    ok = ok && get_list(&w, anchors, &n) && get_list(&w, tsa, &n_tsa);
    /* Each verdict is said before the next signature is looked at: what kills this process takes no earlier one with it. */
    while (ok && !w.bad && kluis_wire_more(&w)) {
        struct kluis_bytes manifest = kluis_wire_get(&w, KLUIS_MANIFEST_MAX), signature = kluis_wire_get(&w, KLUIS_P7S_MAX);
        if (w.bad || kluis_seal_judge(signature, manifest, anchors, n, tsa, n_tsa, at_us, &v, &err) != KLUIS_OK) {
            return; /* no verdict is a refusal */
        }
        say_verdict(result, manifest, &v);
    }
}
