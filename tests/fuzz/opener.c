/* What a child behind the walls answers, when it is not ours any more: opener and judge.  zygote_run here stands in for the library's. */
#include "server/ingest/opener.h"
#include "tests/fuzz/fuzz.h"

static struct kluis_bytes said, anchor;
static struct zygote *const NOBODY = NULL;

kluis_status zygote_run(KLUIS_UNUSED struct zygote *z, KLUIS_UNUSED enum zygote_job job, KLUIS_UNUSED int input,
                        KLUIS_UNUSED struct kluis_bytes request, struct kluis_buf *result, struct kluis_err *err)
{
    kluis_buf_add(result, said.ptr, said.len);
    return result->status == KLUIS_OK ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_LIMIT, "too much");
}

void fuzz_setup(void) { anchor = fuzz_world("root.der"); }

static bool plain(const char *s, size_t cap)
{
    size_t n = strnlen(s, cap);
    for (size_t i = 0; i < n; i++) {
        if (s[i] < ' ' || s[i] > '~') { return false; }
    }
    return n < cap;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const uint8_t key[32];
    unsigned which = fuzz_which(&p, &n, 2);
    struct kluis_err err = { 0 };
    said = (struct kluis_bytes){ p, n };
    if (which == 0) {
        KLUIS_AUTO_BUF(result, 64 << 20);
        struct opened o;
        kluis_status rc = opener_run(NOBODY, -1, key, &result, &o, &err);
        MUST(rc == KLUIS_OK || rc == KLUIS_E_REJECT);
        MUST(plain(o.device, sizeof o.device) && plain(o.reason, sizeof o.reason) && plain(o.layer, sizeof o.layer));
        MUST((rc == KLUIS_E_REJECT) == (o.layer[0] != 0));
        if (rc == KLUIS_OK) { MUST(o.n_records <= KLUIS_PACKAGE_RECORDS_MAX && o.index.len <= n && o.manifest.len <= n && o.signature.len <= n); }
    } else {
        struct judging j[2] = { { .manifest = { key, 32 }, .signature = { key, 32 } }, { .manifest = { key, 32 }, .signature = { key, 32 } } };
        const struct judge_anchors anchors = { &anchor, &anchor, 1, 1 };
        MUST(judge_run(NOBODY, &anchors, j, n % 2 + 1, FUZZ_NOW, &err) == KLUIS_OK);
        for (size_t i = 0; i < n % 2 + 1; i++) {
            const struct kluis_seal_verdict *v = &j[i].verdict;
            MUST(plain(v->reason, sizeof v->reason));
            if (!j[i].judged) { MUST(v->signature == KLUIS_INVALID && v->certificate == KLUIS_INVALID && v->time == KLUIS_INVALID); }
        }
    }
    return 0;
}
