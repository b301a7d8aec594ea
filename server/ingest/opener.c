/* server/ingest/opener.c - asks opener and judge, and reads their answers as a stranger's. */
#include "server/ingest/opener.h"

/* One line of printable ASCII, whatever the child wrote: it goes into statements, logs and databases. */
static void plain_line(struct kluis_bytes b, char *out, size_t cap)
{
    size_t n = b.len < cap - 1 ? b.len : cap - 1;
    for (size_t i = 0; i < n; i++) { out[i] = b.ptr[i] >= 0x20 && b.ptr[i] < 0x7f ? (char)b.ptr[i] : '?'; }
    out[n] = 0;
}

static const char *layer_of(uint32_t layer)
{
    switch (layer) {
    case KLUIS_LAYER_CONTAINER: return "container";
    case KLUIS_LAYER_MANIFESTS: return "manifests";
    case KLUIS_LAYER_RECORDS: return "records";
    case KLUIS_LAYER_METADATA: return "metadata";
    default: return LAYER_OPENER;
    }
}

static kluis_status refuse(struct opened *out, const char *layer, const char *reason)
{
    (void)snprintf(out->layer, sizeof out->layer, "%s", layer);
    (void)snprintf(out->reason, sizeof out->reason, "%s", reason);
    return KLUIS_E_REJECT;
}

/* *silent: it ended, or was ended, without a whole answer. */
static kluis_status open_once(struct zygote *z, int fd, const uint8_t key[32], struct kluis_buf *result, struct opened *out, bool *silent,
                              struct kluis_err *err)
{
    struct kluis_err why = { 0 };
    memset(out, 0, sizeof *out);
    kluis_buf_clear(result);
    *silent = true;
    kluis_status rc = zygote_run(z, ZYGOTE_OPEN, fd, (struct kluis_bytes){ key, 32 }, result, &why);
    if (rc == KLUIS_E_LIMIT) { return refuse(out, LAYER_OPENER, "the package took more time or room to open than one package may"); }
    if (rc != KLUIS_OK) {
        if (err != NULL) { *err = why; }
        return rc;
    }
    struct kluis_wire w = kluis_wire_open(kluis_buf_bytes(result));
    char reason[KLUIS_ERR_MSG];
    bool label = kluis_wire_is(&w, OPENED_LABEL);
    uint32_t status = kluis_wire_get_u32(&w), layer = kluis_wire_get_u32(&w);
    plain_line(kluis_wire_get(&w, KLUIS_ERR_MSG), reason, sizeof reason);
    if (!label || w.bad) { return refuse(out, LAYER_OPENER, "the opener ended without an answer"); }
    if (status != 0) {
        if (kluis_wire_end(&w, "answer", NULL) != KLUIS_OK) { return refuse(out, LAYER_OPENER, "the opener's answer is malformed"); }
        *silent = false;
        return refuse(out, layer_of(layer), reason);
    }
    (void)kluis_wire_fixed(&w, out->id, 32);
    out->size = kluis_wire_get_u64(&w);
    (void)kluis_wire_fixed(&w, out->records_root, 32);
    out->n_records = kluis_wire_get_u64(&w);
    out->n_attachments = kluis_wire_get_u64(&w);
    out->content_bytes = kluis_wire_get_u64(&w);
    out->sequence = kluis_wire_get_u64(&w);
    (void)kluis_wire_fixed(&w, out->previous, 32);
    plain_line(kluis_wire_get(&w, sizeof out->device - 1), out->device, sizeof out->device);
    out->first_us = (int64_t)kluis_wire_get_u64(&w);
    out->last_us = (int64_t)kluis_wire_get_u64(&w);
    out->closed_us = (int64_t)kluis_wire_get_u64(&w);
    out->manifest = kluis_wire_get(&w, KLUIS_MANIFEST_MAX);
    out->signature = kluis_wire_get(&w, KLUIS_P7S_MAX);
    out->index = kluis_wire_get(&w, ZYGOTE_RESULT_MAX);
    if (kluis_wire_end(&w, "answer", NULL) != KLUIS_OK || out->n_records > KLUIS_PACKAGE_RECORDS_MAX || out->size > KLUIS_PACKAGE_BYTES_MAX) {
        return refuse(out, LAYER_OPENER, "the opener's answer is malformed or cut short");
    }
    *silent = false;
    return KLUIS_OK;
}

kluis_status opener_run(struct zygote *z, int fd, const uint8_t key[32], struct kluis_buf *result, struct opened *out, struct kluis_err *err)
{
    bool silent;
    kluis_status rc = open_once(z, fd, key, result, out, &silent, err);
    return rc == KLUIS_E_REJECT && silent ? open_once(z, fd, key, result, out, &silent, err) : rc;
}

static void put_list(struct kluis_buf *b, const struct kluis_bytes *list, size_t n)
{
    kluis_wire_u32(b, (uint32_t)n);
    for (size_t i = 0; i < n; i++) { kluis_wire_field(b, list[i].ptr, list[i].len); }
}

static bool outcome(uint32_t v, enum kluis_outcome *out)
{
    *out = v <= KLUIS_VALID ? (enum kluis_outcome)v : KLUIS_INVALID;
    return v <= KLUIS_VALID;
}

static void no_verdict(struct judging *j, const char *reason)
{
    memset(&j->verdict, 0, sizeof j->verdict);
    j->judged = false;
    (void)snprintf(j->verdict.reason, sizeof j->verdict.reason, "%s", reason);
}

/* The next verdict of an answer; it must be on the manifest that was asked about. */
static bool read_verdict(struct kluis_wire *w, struct kluis_bytes manifest, struct kluis_seal_verdict *v)
{
    uint8_t ours[32], theirs[32];
    memset(v, 0, sizeof *v);
    (void)kluis_wire_fixed(w, theirs, 32);
    bool ok = outcome(kluis_wire_get_u32(w), &v->signature);
    ok = outcome(kluis_wire_get_u32(w), &v->certificate) && ok;
    ok = outcome(kluis_wire_get_u32(w), &v->time) && ok;
    uint32_t has_token = kluis_wire_get_u32(w);
    v->has_token = has_token == 1;
    v->claimed_us = (int64_t)kluis_wire_get_u64(w);
    v->proven_us = (int64_t)kluis_wire_get_u64(w);
    (void)kluis_wire_fixed(w, v->cert_sha256, 32);
    plain_line(kluis_wire_get(w, KLUIS_ERR_MSG), v->reason, sizeof v->reason);
    kluis_sha256_of(manifest.ptr, manifest.len, ours);
    return ok && has_token <= 1 && !w->bad && memcmp(ours, theirs, 32) == 0;
}

static kluis_status judge_together(struct zygote *z, const struct judge_anchors *a, struct judging *list, size_t n, int64_t at_us,
                                   struct kluis_err *err)
{
    KLUIS_AUTO_BUF(request, ZYGOTE_REQUEST_MAX);
    KLUIS_AUTO_BUF(result, 64 << 10);
    kluis_wire_label(&request, JUDGE_LABEL);
    kluis_wire_u64(&request, (uint64_t)at_us);
    put_list(&request, a->device, a->n_device);
    put_list(&request, a->time, a->n_time);
    for (size_t i = 0; i < n; i++) {
        kluis_wire_field(&request, list[i].manifest.ptr, list[i].manifest.len);
        kluis_wire_field(&request, list[i].signature.ptr, list[i].signature.len);
    }
    KLUIS_TRY(kluis_buf_ok(&request, err));
    struct kluis_err why = { 0 };
    kluis_status rc = zygote_run(z, ZYGOTE_JUDGE, -1, kluis_buf_bytes(&request), &result, &why);
    if (rc != KLUIS_OK && rc != KLUIS_E_LIMIT) {
        if (err != NULL) { *err = why; }
        return rc;
    }
    struct kluis_wire w = kluis_wire_open(kluis_buf_bytes(&result));
    bool ok = kluis_wire_is(&w, JUDGED_LABEL);
    size_t said = 0;
    while (ok && said < n && read_verdict(&w, list[said].manifest, &list[said].verdict)) { said++; }
    if (said == n && kluis_wire_end(&w, "verdicts", NULL) != KLUIS_OK) { said = 0; /* more than was asked: none of it counts */ }
    for (size_t i = 0; i < said; i++) { list[i].judged = true; }
    for (size_t i = said; i < n; i++) {
        no_verdict(&list[i],
                   rc == KLUIS_E_LIMIT ? "the signature took more time or room to judge than one may" : "the judge ended without a verdict");
    }
    return KLUIS_OK;
}

kluis_status judge_run(struct zygote *z, const struct judge_anchors *a, struct judging *list, size_t n, int64_t at_us, struct kluis_err *err)
{
    enum { TOGETHER_BYTES = 8 << 20 };
    if (a->n_device > JUDGE_ANCHORS_MAX || a->n_time > JUDGE_ANCHORS_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "more than %d trust anchors", JUDGE_ANCHORS_MAX);
    }
    for (size_t i = 0; i < n; i++) { no_verdict(&list[i], "not judged"); } /* INVALID everywhere until proved otherwise */
    for (size_t from = 0, count; from < n; from += count) {
        size_t bytes = 0;
        for (count = 0; from + count < n && count < JUDGE_TOGETHER_MAX; count++) {
            size_t more = list[from + count].manifest.len + list[from + count].signature.len;
            if (count > 0 && bytes + more > TOGETHER_BYTES) { break; }
            bytes += more;
        }
        KLUIS_TRY(judge_together(z, a, list + from, count, at_us, err));
        for (size_t i = from; i < from + count; i++) {
            if (!list[i].judged) { KLUIS_TRY(judge_together(z, a, &list[i], 1, at_us, err)); }
        }
    }
    return KLUIS_OK;
}
