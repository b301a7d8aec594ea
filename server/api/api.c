/* server/api/api.c - see api.h. */
#include "server/api/api.h"

#include "server/api/hit.h"

static kluis_status purpose_of(const struct api_actor *who, struct kluis_err *err)
{
    size_t n = who->purpose == NULL ? 0 : strlen(who->purpose);
    if (n == 0) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "say what this is for: a search needs a purpose, it stands in the audit trail"); }
    if (n > API_PURPOSE_MAX || kluis_utf8_valid(who->purpose, n) != n) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "the purpose must be readable text of at most %d bytes", API_PURPOSE_MAX);
    }
    return KLUIS_OK;
}

static kluis_status borrowed(const struct api *a, struct index **ix, struct kluis_err *err)
{
    *ix = a->borrow(a->ctx);
    return *ix != NULL ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_BUSY, "the index is being rebuilt: try again in a moment");
}

/* The trail says what was searched for: words of the person who asks, never a record's. */
static void describe(const struct index_query *q, struct kluis_buf *b)
{
    const struct {
        const char *name;
        struct kluis_str value;
    } parts[] = { { "q", q->text }, { "conversation", q->conversation }, { "official", q->official }, { "platform", q->platform } };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (parts[i].value.ptr == NULL) { continue; }
        kluis_buf_fmt(b, "%s%s=", b->len > 0 ? " " : "", parts[i].name);
        kluis_buf_json(b, (struct kluis_str){ parts[i].value.ptr, kluis_utf8_valid(parts[i].value.ptr, parts[i].value.len) });
    }
    const struct {
        const char *name;
        int64_t us;
    } times[] = { { "from", q->from_us }, { "to", q->to_us } };
    for (size_t i = 0; i < 2; i++) {
        char t[KLUIS_TIME_TEXT];
        if (times[i].us == KLUIS_TIME_ABSENT) { continue; }
        kluis_time_text(t, times[i].us, 0, 0);
        kluis_buf_fmt(b, " %s=%s", times[i].name, t);
    }
    if (q->cursor.ptr != NULL && q->cursor.len > 0) { kluis_buf_cstr(b, " further"); }
    kluis_buf_byte(b, 0);
}

static kluis_status find(const struct api *a, const struct index_query *q, const struct index_sink *sink, struct index_result *out,
                         struct kluis_err *err)
{
    struct index *ix;
    KLUIS_TRY(borrowed(a, &ix, err));
    kluis_status rc = index_search(ix, q, sink, out, err);
    a->give_back(a->ctx, ix);
    return rc;
}

kluis_status api_search(const struct api *a, const struct api_actor *who, const struct index_query *q, const struct index_sink *sink,
                        struct index_result *out, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(detail, 16384);
    describe(q, &detail);
    KLUIS_TRY(kluis_buf_ok(&detail, err));
    KLUIS_TRY(purpose_of(who, err));
    KLUIS_TRY(reg_audit(a->reg, who->name, "search", who->purpose, (const char *)detail.data, err));
    return find(a, q, sink, out, err);
}

/* ---- pages: in memory until their entry is on disk ---- */

struct page {
    struct kluis_buf *json;
    size_t n;
};

static kluis_status add_hit(void *ctx, const struct index_hit *h, struct kluis_err *err)
{
    struct page *p = ctx;
    if (p->n++ > 0) { kluis_buf_byte(p->json, ','); }
    return api_hit_json(h, p->json, err);
}

/* The entry decides over what was made meanwhile. */
static kluis_status settle(const struct api *a, struct reg_note *note, kluis_status rc, const struct kluis_err *why, struct kluis_buf *json,
                           size_t before, struct kluis_err *err)
{
    kluis_status entered = reg_audit_end(a->reg, note, err);
    if (entered == KLUIS_OK && rc == KLUIS_OK) { return KLUIS_OK; }
    if (json->len > before) { kluis_wipe(json->data + before, json->len - before); }
    json->len = before;
    if (entered != KLUIS_OK) { return entered; }
    if (err != NULL) { *err = *why; }
    return rc;
}

kluis_status api_search_page(const struct api *a, const struct api_actor *who, const struct index_query *q, struct kluis_buf *json,
                             struct index_result *out, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(detail, 16384);
    struct page page = { json, 0 };
    const struct index_sink sink = { &page, add_hit };
    struct reg_note note;
    struct kluis_err why = { 0 };
    size_t before = json->len;
    *out = (struct index_result){ 0 };
    describe(q, &detail);
    KLUIS_TRY(kluis_buf_ok(&detail, err));
    KLUIS_TRY(purpose_of(who, err));
    reg_audit_begin(a->reg, &note, who->name, "search", who->purpose, (const char *)detail.data);
    kluis_status rc = settle(a, &note, find(a, q, &sink, out, &why), &why, json, before, err);
    if (rc != KLUIS_OK) { *out = (struct index_result){ 0 }; }
    return rc;
}

kluis_status api_around_page(const struct api *a, const struct api_actor *who, const uint8_t package[32], uint64_t ordinal, unsigned before,
                             unsigned after, struct kluis_buf *json, struct kluis_err *err)
{
    if (before > API_AROUND_MAX || after > API_AROUND_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "at most %d messages before and after", API_AROUND_MAX);
    }
    char detail[128], hex[65];
    struct page page = { json, 0 };
    const struct index_sink sink = { &page, add_hit };
    struct reg_note note;
    struct kluis_err why = { 0 };
    size_t had = json->len;
    kluis_hex(package, 32, hex);
    (void)snprintf(detail, sizeof detail, "package=%s ordinal=%llu", hex, (unsigned long long)ordinal);
    KLUIS_TRY(purpose_of(who, err));
    reg_audit_begin(a->reg, &note, who->name, "read", who->purpose, detail);
    struct index *ix;
    kluis_status rc = borrowed(a, &ix, &why);
    if (rc == KLUIS_OK) {
        rc = index_around(ix, package, ordinal, before, after, &sink, &why);
        a->give_back(a->ctx, ix);
    }
    return settle(a, &note, rc, &why, json, had, err);
}

kluis_status api_statistics(const struct api *a, struct index_stats *out, uint64_t *watermark, struct kluis_err *err)
{
    struct index *ix;
    KLUIS_TRY(borrowed(a, &ix, err));
    *watermark = index_watermark(ix);
    kluis_status rc = index_statistics(ix, out, err);
    a->give_back(a->ctx, ix);
    return rc;
}
