/* agent/command_read.c - read: a dry run of one source, as JSON lines.  Stores nothing. */
#include "agent/command.h"

#include "agent/journal/copy.h"
#include "agent/select/select.h"

enum { SKIPS_MAX = 1 << 20, LOSSES_MAX = 256, LINE_MAX_BYTES = 4 * KLUIS_RECORD_LINE_MAX };

struct dry {
    bool json;
    const struct source_kind *kind;
    enum source_sure sure; /* of a kind that was recognised */
    struct kluis_arena *arena, *losses;
    struct kluis_header header;
    struct kluis_buf line, skips;
    uint64_t counts[KLUIS_KINDS], conversations, n_skips;
    struct kluis_str loss[LOSSES_MAX];
    size_t n_loss;
    struct progress progress;
    uint64_t records;
};

static kluis_status note_losses(struct dry *d, const struct kluis_str *s, size_t n, struct kluis_err *err)
{
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (k < d->n_loss && !kluis_str_eq(d->loss[k], s[i])) { k++; }
        if (k < d->n_loss || d->n_loss == LOSSES_MAX) { continue; }
        d->loss[d->n_loss] = kluis_arena_str(d->losses, s[i]);
        if (d->loss[d->n_loss++].ptr == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for the summary"); }
    }
    return KLUIS_OK;
}

static kluis_status begin(void *ctx, const struct kluis_header *h, struct kluis_err *err)
{
    struct dry *d = ctx;
    kluis_arena_clear(d->arena);
    d->conversations++;
    KLUIS_TRY(note_losses(d, h->loss, h->n_loss, err));
    return copy_header(d->arena, h, &d->header, err);
}

static kluis_status record(void *ctx, const struct kluis_record *r, struct kluis_bytes raw, struct kluis_err *err)
{
    struct dry *d = ctx;
    (void)raw;
    d->counts[r->kind]++;
    KLUIS_TRY(note_losses(d, r->loss, r->n_loss, err));
    for (size_t i = 0; i < r->n_attachments; i++) {
        if (r->attachments[i].loss.ptr != NULL) { KLUIS_TRY(note_losses(d, &r->attachments[i].loss, 1, err)); }
    }
    progress_show(&d->progress, ++d->records, 0);
    if (!d->json) { return KLUIS_OK; }
    kluis_buf_clear(&d->line);
    KLUIS_TRY(kluis_record_write_expanded(r, &d->header, &d->line, err));
    if (d->line.len == 0 || d->line.data[d->line.len - 1] != '\n') { kluis_buf_byte(&d->line, '\n'); }
    return put(&d->line, err);
}

static kluis_status end(void *ctx, struct kluis_err *err)
{
    (void)ctx;
    (void)err;
    return KLUIS_OK;
}

static kluis_status skipped(void *ctx, const struct source_skip *s, struct kluis_err *err)
{
    struct dry *d = ctx;
    const struct {
        const char *name;
        const char *value;
    } fields[] = { { "what", s->what }, { "where", s->where }, { "why", s->why } };
    (void)err;
    d->n_skips++;
    if (d->skips.len > SKIPS_MAX - 16384) { return KLUIS_OK; } /* the count goes on */
    kluis_buf_cstr(&d->skips, d->skips.len > 0 ? ",{" : "{");
    for (size_t i = 0; i < 3; i++) {
        size_t n = fields[i].value == NULL ? 0 : kluis_utf8_valid(fields[i].value, strlen(fields[i].value));
        kluis_buf_fmt(&d->skips, "%s\"%s\":", i > 0 ? "," : "", fields[i].name);
        kluis_buf_json(&d->skips,
                       (struct kluis_str){ fields[i].value == NULL ? "" : fields[i].value, n > 4096 ? kluis_utf8_valid(fields[i].value, 4096) : n });
    }
    kluis_buf_byte(&d->skips, '}');
    return KLUIS_OK;
}

static kluis_status summary_json(struct dry *d, const struct select_counts *s, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(b, (size_t)SKIPS_MAX * 2);
    kluis_buf_cstr(&b, "{\"kind\":\"summary\",\"counts\":{");
    for (int k = 0; k < KLUIS_KINDS; k++) {
        kluis_buf_fmt(&b, "%s\"%s\":%llu", k > 0 ? "," : "", kluis_kind_name((enum kluis_kind)k), (unsigned long long)d->counts[k]);
    }
    kluis_buf_fmt(&b, "},\"conversations\":%llu,\"loss\":[", (unsigned long long)d->conversations);
    for (size_t i = 0; i < d->n_loss; i++) {
        if (i > 0) { kluis_buf_byte(&b, ','); }
        kluis_buf_json(&b, d->loss[i]);
    }
    kluis_buf_cstr(&b, "],\"skipped\":[");
    kluis_buf_add(&b, d->skips.data, d->skips.len);
    kluis_buf_byte(&b, ']');
    if (d->sure != SOURCE_NO) { kluis_buf_fmt(&b, ",\"recognised\":{\"source\":\"%s\",\"sure\":\"%s\"}", d->kind->name, source_sure_name(d->sure)); }
    if (s->excluded_conversations > 0) { kluis_buf_fmt(&b, ",\"excluded\":%llu", (unsigned long long)s->excluded_conversations); }
    kluis_buf_cstr(&b, "}\n");
    return put(&b, err);
}

static kluis_status summary_text(const struct dry *d, struct kluis_err *err)
{
    KLUIS_TRY(put_line(err, "%llu conversations", (unsigned long long)d->conversations));
    for (int k = 0; k < KLUIS_KINDS; k++) {
        if (d->counts[k] > 0) { KLUIS_TRY(put_line(err, "%8llu %s", (unsigned long long)d->counts[k], kluis_kind_name((enum kluis_kind)k))); }
    }
    for (size_t i = 0; i < d->n_loss; i++) { KLUIS_TRY(put_line(err, "does not tell: %.*s", (int)d->loss[i].len, d->loss[i].ptr)); }
    return d->n_skips == 0 ? KLUIS_OK : put_line(err, "%llu things passed over: --json lists them", (unsigned long long)d->n_skips);
}

kluis_status command_read(const struct args *a, int *exit_code, struct kluis_err *err)
{
    const struct source_kind *kind = NULL;
    struct source_settings set;
    struct dry *d = NULL;
    KLUIS_AUTO_BUF(typed, 1 << 16);
    (void)exit_code;
    enum source_sure sure;
    KLUIS_TRY(kind_of(a->words[0], a->words[1], &kind, &sure, err));
    KLUIS_TRY(settings_typed(a, &typed, err));
    const struct settings_of of = { NULL, kind->name, a->words[1] };
    KLUIS_TRY(settings_read(&set, kluis_buf_bytes(&typed), &of, err));
    struct source_request own = { a->words[1], set.own, set.n_own }, all = { a->words[1], set.all, set.n_all };
    kluis_status rc = KLUIS_E_NOMEM;
    d = kluis_calloc(1, sizeof *d);
    if (d != NULL) {
        kluis_buf_init(&d->line, LINE_MAX_BYTES);
        kluis_buf_init(&d->skips, SKIPS_MAX);
        d->json = a->json;
        d->kind = kind;
        d->sure = sure;
        d->arena = kluis_arena_new(COPY_HEADER_MAX);
        d->losses = kluis_arena_new(1 << 20);
        progress_start(&d->progress, "read", "records");
    }
    if (d == NULL || d->arena == NULL || d->losses == NULL) {
        rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory");
    } else {
        struct select s = { .request = &all, .due_before_us = INT64_MAX, .next = { d, begin, record, end, skipped } };
        struct source_sink sink = select_sink(&s);
        rc = source_read(kind, &own, &sink, err);
        progress_end(&d->progress);
        if (rc == KLUIS_OK) { rc = d->json ? summary_json(d, &s.counts, err) : summary_text(d, err); }
    }
    if (d != NULL) {
        kluis_buf_free(&d->line);
        kluis_buf_free(&d->skips);
        kluis_arena_free(d->arena);
        kluis_arena_free(d->losses);
        kluis_free(d);
    }
    settings_clear(&set);
    return rc;
}
