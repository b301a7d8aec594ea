/* agent/select/select.c - see select.h. */
#include "agent/select/select.h"

#include <fnmatch.h>

enum { NAME_MAX_MATCH = 4096 };

bool select_owns_option(const char *key) { return strcmp(key, "include") == 0 || strcmp(key, "exclude") == 0; }

/* fnmatch wants C strings; a name with a NUL in it, or longer than any name, matches nothing. */
static bool matches(const char *pattern, struct kluis_str s)
{
    char z[NAME_MAX_MATCH];
    if (s.ptr == NULL || s.len >= sizeof z || memchr(s.ptr, 0, s.len) != NULL) { return false; }
    memcpy(z, s.ptr, s.len);
    z[s.len] = '\0';
    return fnmatch(pattern, z, 0) == 0;
}

static bool wanted(const struct source_request *q, const struct kluis_header *h)
{
    bool any_include = false, included = false;
    for (size_t i = 0; i < q->n_options; i++) {
        bool include = strcmp(q->options[i].key, "include") == 0;
        if (!include && strcmp(q->options[i].key, "exclude") != 0) { continue; }
        bool hit = matches(q->options[i].value, h->conversation_name) || matches(q->options[i].value, h->conversation_id);
        if (!include && hit) { return false; }
        any_include = any_include || include;
        included = included || (include && hit);
    }
    return !any_include || included;
}

static kluis_status begin(void *ctx, const struct kluis_header *h, struct kluis_err *err)
{
    struct select *s = ctx;
    s->excluded = !wanted(s->request, h);
    s->open = !s->excluded;
    if (s->excluded) {
        s->counts.excluded_conversations++;
        return KLUIS_OK;
    }
    return s->next.begin(s->next.ctx, h, err);
}

static kluis_status record(void *ctx, const struct kluis_record *r, struct kluis_bytes raw, struct kluis_err *err)
{
    struct select *s = ctx;
    if (s->excluded) {
        s->counts.excluded_records++;
        return KLUIS_OK;
    }
    if (r->sent.us != KLUIS_TIME_ABSENT && r->sent.us >= s->due_before_us) {
        s->counts.waiting_records++;
        return KLUIS_OK;
    }
    return s->next.record(s->next.ctx, r, raw, err);
}

static kluis_status end(void *ctx, struct kluis_err *err)
{
    struct select *s = ctx;
    bool open = s->open;
    s->open = false;
    return open ? s->next.end(s->next.ctx, err) : KLUIS_OK;
}

static kluis_status skipped(void *ctx, const struct source_skip *k, struct kluis_err *err)
{
    struct select *s = ctx;
    return s->next.skipped(s->next.ctx, k, err);
}

struct source_sink select_sink(struct select *s)
{
    s->excluded = s->open = false;
    return (struct source_sink){ s, begin, record, end, skipped };
}
