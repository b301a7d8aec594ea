/* agent/journal/pair.c - lines that a text without ids marks as edited, and what they were.  See journal.h, docs/SOURCES.md.
 *
 * Such a line says that it was another one, and not which.  What is stored says it when exactly one entry fits: same conversation, author and
 * time, other words, and not in the source any more.  Two edited lines of one author and time, or two that they may have been, are a guess,
 * and a guess is not made: the record stays as its reader wrote it. */
#include "agent/journal/reading.h"

enum { PAIRS_MAX = 4096 }; /* edited lines of one occurrence; those beyond keep their loss */

struct pair {
    uint64_t at; /* its place in the occurrence */
    int64_t t, span;
    uint64_t fp;
    uint32_t author, entry; /* as stored: who wrote it; which entry of the chunk it was */
    int32_t plain, edited;  /* how many it may have been: as they were written, and as edited before    */
    int64_t plain_span, edited_span;
    uint32_t plain_at, edited_at;
    bool settled, several, found; /* settled: the plain one is known to have been edited before */
};

struct pairs {
    struct pair list[PAIRS_MAX]; /* while finding: by author and time; then by place */
    size_t n, next;
    struct align_entry *chunk;
    uint8_t *marks;
    /* the record that is being handed over */
    char id[KLUIS_DERIVED_ID];
    struct kluis_field fields[KLUIS_FIELDS_MAX];
    struct kluis_str loss[KLUIS_FIELDS_MAX];
};

kluis_status pairs_new(struct pairs **out, struct kluis_err *err)
{
    struct pairs *p = *out = kluis_calloc(1, sizeof *p);
    if (p == NULL) { return reading_no_memory(err); }
    p->chunk = kluis_calloc(ALIGN_CHUNK_MAX, sizeof *p->chunk);
    p->marks = kluis_calloc(ALIGN_CHUNK_MAX, 1);
    return p->chunk == NULL || p->marks == NULL ? reading_no_memory(err) : KLUIS_OK;
}

void pairs_free(struct pairs *p)
{
    if (p == NULL) { return; }
    kluis_free(p->chunk);
    kluis_free(p->marks);
    kluis_free(p);
}

static int by_author(const void *x, const void *y)
{
    const struct pair *a = x, *b = y;
    if (a->author != b->author) { return a->author < b->author ? -1 : 1; }
    return a->t < b->t ? -1 : a->t > b->t ? 1 : a->at < b->at ? -1 : a->at > b->at;
}

static int by_place(const void *x, const void *y)
{
    const struct pair *a = x, *b = y;
    return a->at < b->at ? -1 : a->at > b->at;
}

static kluis_status collect(struct reading *r, struct pairs *p, struct kluis_err *err)
{
    const struct occurrence *o = &r->occ[r->at_occ];
    for (uint64_t at = 0; at < o->n && p->n < PAIRS_MAX; at += r->n_window) {
        KLUIS_TRY(reading_window(r, o, at, err));
        for (size_t i = 0; i < r->n_window && p->n < PAIRS_MAX; i++) {
            const struct align_entry *e = &r->window[i];
            if (e->known || !e->edited || e->t == 0) { continue; }
            p->list[p->n++] = (struct pair){ .at = at + i, .t = e->t, .fp = e->fp, .author = align_author(r->aligner, e->tag) };
        }
    }
    /* A list that is full may lack the line that makes two of one. */
    if (p->n == PAIRS_MAX) { p->n = 0; }
    qsort(p->list, p->n, sizeof *p->list, by_author);
    for (size_t i = 1; i < p->n; i++) {
        struct pair *a = &p->list[i - 1], *b = &p->list[i];
        int32_t within = align_tolerance((int)r->header.precision, (int)r->header.precision);
        if (a->author == b->author && b->t - a->t <= within) { a->several = b->several = true; }
    }
    return KLUIS_OK;
}

/* An entry that this reading does not have: of each edited line that it may have been. */
static void offer(struct pairs *p, const struct align_entry *e, int64_t span, uint32_t at, uint8_t marks, int32_t within)
{
    size_t lo = 0, hi = p->n;
    while (lo < hi) { /* the first of this author at or after e->t - within */
        size_t mid = lo + (hi - lo) / 2;
        const struct pair *m = &p->list[mid];
        if (m->author < e->tag || (m->author == e->tag && m->t < e->t - within)) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    for (; lo < p->n && p->list[lo].author == e->tag && p->list[lo].t <= e->t + within; lo++) {
        struct pair *m = &p->list[lo];
        if (m->fp == e->fp) { continue; }
        if (e->edited) {
            m->edited++;
            m->edited_span = span;
            m->edited_at = at;
        } else {
            m->plain++;
            m->plain_span = span;
            m->plain_at = at;
            m->settled = (marks & JOURNAL_EDITED) != 0;
        }
    }
}

/* One and no other: a line as it was written, not edited so far; or that one, edited before, when its earlier edit is gone too; or an edited
 * line whose own original never was here. */
static void conclude(struct pair *m)
{
    bool first = m->plain == 1 && m->edited == 0 && !m->settled, again = m->plain == 1 && m->edited == 1 && m->settled;
    bool only_edits = m->plain == 0 && m->edited == 1;
    m->found = !m->several && (first || again || only_edits);
    m->span = only_edits ? m->edited_span : m->plain_span;
    m->entry = only_edits ? m->edited_at : m->plain_at;
}

kluis_status pairs_find(struct reading *r, struct kluis_err *err)
{
    struct pairs *p = r->pairs;
    p->n = p->next = 0;
    KLUIS_TRY(collect(r, p, err));
    for (size_t k = 0; k < r->n_spans && p->n > 0; k++) {
        const struct align_span *s = &r->spans[k];
        if (align_count(r->aligner, k) == s->n) { continue; }
        int32_t within = align_tolerance(s->precision, (int)r->header.precision);
        KLUIS_TRY(reading_chunk(r->h, s->id, s->n, p->chunk, err));
        KLUIS_TRY(reading_marks(r->h, s->id, s->n, p->marks, err));
        for (uint32_t i = 0; i < s->n; i++) {
            const struct align_entry *e = &p->chunk[i];
            /* Kind 0: taken before kinds were noted; anything without an id may have been a message. */
            bool message = !e->own && !e->has_id && (e->kind == 0 || e->kind == KLUIS_MESSAGE + 1);
            if (message && !align_has(r->aligner, k, i)) { offer(p, e, s->id, i, p->marks[i], within); }
        }
    }
    for (size_t i = 0; i < p->n; i++) { conclude(&p->list[i]); }
    qsort(p->list, p->n, sizeof *p->list, by_place);
    return KLUIS_OK;
}

bool pairs_have(const struct pairs *p, int64_t span, uint32_t at)
{
    for (size_t i = 0; i < p->n; i++) {
        if (p->list[i].found && p->list[i].span == span && p->list[i].entry == at) { return true; }
    }
    return false;
}

static bool comes_before(struct kluis_str a, struct kluis_str b)
{
    int d = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
    return d != 0 ? d < 0 : a.len < b.len;
}

kluis_status pairs_apply(struct reading *r, struct kluis_record *rec, struct align_entry *e, struct kluis_err *err)
{
    const struct kluis_field basis = { .name = KLUIS_STR_LIT("target-basis"), .value = KLUIS_STR_LIT("author-and-time") };
    struct pairs *p = r->pairs;
    uint8_t package[32];
    while (p->next < p->n && p->list[p->next].at < r->at) { p->next++; }
    if (p->next == p->n || p->list[p->next].at != r->at || !p->list[p->next].found || rec->n_fields == KLUIS_FIELDS_MAX) { return KLUIS_OK; }
    const struct pair *m = &p->list[p->next];
    KLUIS_TRY(reading_name(r->h, m->span, m->entry, package, p->id, err));
    rec->kind = KLUIS_EDIT;
    rec->target = kluis_str_of(p->id);
    rec->target_author = rec->author;
    rec->target_sent = rec->sent;
    size_t n = 0, before = 0;
    for (size_t i = 0; i < rec->n_loss; i++) {
        if (!kluis_str_is(rec->loss[i], JOURNAL_NO_ORIGINAL)) { p->loss[n++] = rec->loss[i]; }
    }
    rec->loss = p->loss;
    rec->n_loss = n;
    while (before < rec->n_fields && comes_before(rec->fields[before].name, basis.name)) { before++; }
    memcpy(p->fields, rec->fields, before * sizeof *p->fields);
    p->fields[before] = basis;
    memcpy(p->fields + before + 1, rec->fields + before, (rec->n_fields - before) * sizeof *p->fields);
    rec->fields = p->fields;
    rec->n_fields++;
    e->mark = (struct align_mark){ m->span, m->entry, JOURNAL_EDITED };
    r->counts->paired++;
    return KLUIS_OK;
}
