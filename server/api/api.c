/* server/api/api.c - see api.h. */
#include "server/api/api.h"

static kluis_status audited(const struct api *a, const struct api_actor *who, const char *action, const char *detail, struct kluis_err *err)
{
    size_t n = who->purpose == NULL ? 0 : strlen(who->purpose);
    if (n == 0) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "say what this is for: a search needs a purpose, it stands in the audit trail"); }
    if (n > API_PURPOSE_MAX || kluis_utf8_valid(who->purpose, n) != n) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "the purpose must be readable text of at most %d bytes", API_PURPOSE_MAX);
    }
    return reg_audit(a->reg, who->name, action, who->purpose, detail, err);
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

kluis_status api_search(const struct api *a, const struct api_actor *who, const struct index_query *q, const struct index_sink *sink,
                        struct index_result *out, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(detail, 16384);
    describe(q, &detail);
    KLUIS_TRY(kluis_buf_ok(&detail, err));
    KLUIS_TRY(audited(a, who, "search", (const char *)detail.data, err));
    struct index *ix;
    KLUIS_TRY(borrowed(a, &ix, err));
    kluis_status rc = index_search(ix, q, sink, out, err);
    a->give_back(a->ctx, ix);
    return rc;
}

kluis_status api_around(const struct api *a, const struct api_actor *who, const uint8_t package[32], uint64_t ordinal, unsigned before,
                        unsigned after, const struct index_sink *sink, struct kluis_err *err)
{
    if (before > API_AROUND_MAX || after > API_AROUND_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "at most %d messages before and after", API_AROUND_MAX);
    }
    char detail[128], hex[65];
    kluis_hex(package, 32, hex);
    (void)snprintf(detail, sizeof detail, "package=%s ordinal=%llu", hex, (unsigned long long)ordinal);
    KLUIS_TRY(audited(a, who, "read", detail, err));
    struct index *ix;
    KLUIS_TRY(borrowed(a, &ix, err));
    kluis_status rc = index_around(ix, package, ordinal, before, after, sink, err);
    a->give_back(a->ctx, ix);
    return rc;
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
