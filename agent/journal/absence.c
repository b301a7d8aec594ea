/* agent/journal/absence.c - what was archived from a source and is not in it any more.  See journal.h, docs/SOURCES.md.
 *
 * While an occurrence is read, what is stored of it and was not matched is collected (look).  It is no statement yet: it may be in another file
 * of the same source, be the earlier form of a line that now reads otherwise, or stand under another kind or conversation.  What remains when all
 * has been read, and the reading was whole, is said (say).  At most JOURNAL_SAID_MAX are kept; what is beyond is found again at the next pass. */
#include "agent/journal/reading.h"

enum { DAY_AND_ZONES = (24 + 26) * 3600, RANGES_MAX = 4096, EVERY_KIND = (1 << KLUIS_KINDS) - 1 };

struct gone {
    int64_t conversation, span, t;
    uint64_t fp;
    uint32_t at, tag;
    uint8_t says; /* enum journal_mark; 0: it is there after all */
    uint8_t kind;
    bool has_id;
    int8_t precision;
};

struct range {
    int64_t from, to;
};

struct absence {
    struct gone list[JOURNAL_SAID_MAX];
    uint32_t order[JOURNAL_SAID_MAX], order_fp[JOURNAL_SAID_MAX];
    size_t n;
    struct align_entry *chunk;
    uint8_t *marks;
    struct range ranges[RANGES_MAX];
    size_t n_ranges;
    bool continued; /* something that was taken from this source before is in it now */
    /* third reading */
    struct reading *r;
    unsigned kinds;
    size_t n_ids;
};

kluis_status absence_new(struct absence **out, struct kluis_err *err)
{
    struct absence *a = *out = kluis_calloc(1, sizeof *a);
    if (a == NULL) { return reading_no_memory(err); }
    a->chunk = kluis_calloc(ALIGN_CHUNK_MAX, sizeof *a->chunk);
    a->marks = kluis_calloc(ALIGN_CHUNK_MAX, 1);
    return a->chunk == NULL || a->marks == NULL ? reading_no_memory(err) : KLUIS_OK;
}

void absence_free(struct absence *a)
{
    if (a == NULL) { return; }
    kluis_free(a->chunk);
    kluis_free(a->marks);
    kluis_free(a);
}

static bool is_ours(const struct reading *r, const struct chunk_origin *o)
{
    return o->source == r->origin->source && o->settings == r->origin->settings;
}

/* Can the absence of this entry be said at all?  A gap is no record of anything; without an id, an event's words hold the names that the contact
 * list had then, and a deletion is a notice; what is held back by its grace is not in the reading. */
static bool can_be_missed(const struct reading *r, const struct align_entry *e)
{
    if (e->own || e->t == 0 || e->kind == KLUIS_GAP + 1) { return false; }
    if (!e->has_id && e->kind != KLUIS_MESSAGE + 1 && e->kind != KLUIS_POLL + 1 && e->kind != KLUIS_CALL + 1) { return false; }
    return r->origin->due_before_us == INT64_MAX || e->t < r->origin->due_before_us / 1000000 - DAY_AND_ZONES;
}

static bool add(struct absence *a, int64_t conversation, const struct align_span *s, uint32_t at, const struct align_entry *e, enum journal_mark says)
{
    if (a->n == JOURNAL_SAID_MAX) { return false; }
    a->list[a->n++] = (struct gone){ .conversation = conversation,
                                     .span = s->id,
                                     .t = e->t,
                                     .fp = e->fp,
                                     .at = at,
                                     .tag = e->tag,
                                     .says = (uint8_t)says,
                                     .kind = e->kind,
                                     .has_id = e->has_id,
                                     .precision = (int8_t)s->precision };
    return true;
}

/* ---- where a kind that gives a window looked ---- */

static kluis_status add_range(struct reading *r, const struct occurrence *o, struct kluis_err *err)
{
    struct absence *a = r->absence;
    struct range got = { INT64_MAX, INT64_MIN };
    for (uint64_t at = 0; at < o->n; at += r->n_window) {
        KLUIS_TRY(reading_window(r, o, at, err));
        for (size_t i = 0; i < r->n_window; i++) {
            int64_t t = r->window[i].t;
            if (t == 0) { continue; }
            if (t < got.from) { got.from = t; }
            if (t > got.to) { got.to = t; }
        }
    }
    if (got.from <= got.to && a->n_ranges < RANGES_MAX) { a->ranges[a->n_ranges++] = got; } /* fewer ranges: less is said */
    return KLUIS_OK;
}

/* Of every occurrence of the conversation: what one file does not reach, another may. */
static kluis_status find_ranges(struct reading *r, struct kluis_err *err)
{
    struct absence *a = r->absence;
    const struct occurrence *o = &r->occ[r->at_occ];
    size_t lo = 0, hi = r->n_occ;
    a->n_ranges = 0;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (memcmp(r->occ[r->by_key[mid]].key, o->key, CONVERSATION_KEY) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    for (; lo < r->n_occ && memcmp(r->occ[r->by_key[lo]].key, o->key, CONVERSATION_KEY) == 0; lo++) {
        KLUIS_TRY(add_range(r, &r->occ[r->by_key[lo]], err));
    }
    return KLUIS_OK;
}

/* Strictly within, by a minute: at an edge a limit may have cut. */
static bool in_range(const struct reading *r, int64_t t)
{
    const struct absence *a = r->absence;
    bool within = r->origin->whole;
    for (size_t i = 0; i < a->n_ranges && !within; i++) { within = t > a->ranges[i].from + 60 && t < a->ranges[i].to - 60; }
    return within;
}

/* ---- one occurrence ---- */

/* A chunk that was taken under other options, by another version, or before this was noted: once all of it is found here, it is followed from here
 * on. */
static kluis_status adopt(struct reading *r, const struct align_span *s, const struct chunk_origin *o, bool all, struct kluis_err *err)
{
    if (!all || (o->source != -1 && o->source != r->origin->source)) { return KLUIS_OK; }
    KLUIS_TRY(kluis_db_run(r->h->db, NULL, err, "UPDATE seen SET source=?2, settings=?3 WHERE id=?1", "iii", s->id, r->origin->source,
                           (int64_t)r->origin->settings));
    kluis_durable_step("agent.chunk.followed");
    return KLUIS_OK;
}

static kluis_status look_chunk(struct reading *r, size_t k, bool again, struct kluis_err *err)
{
    struct absence *a = r->absence;
    const struct align_span *s = &r->spans[k];
    const struct chunk_origin *o = &r->origins[k];
    const uint32_t found = align_count(r->aligner, k);
    const bool ours = is_ours(r, o);
    a->continued = a->continued || (ours && found > 0);
    if (o->source == 0 || (!ours && o->source != -1 && o->source != r->origin->source)) { return KLUIS_OK; }
    if (!ours && found == s->n) { return adopt(r, s, o, true, err); }
    KLUIS_TRY(reading_marks(r->h, s->id, s->n, a->marks, err));
    bool any_mark = false;
    for (uint32_t i = 0; i < s->n && !any_mark; i++) { any_mark = a->marks[i] != 0; }
    if (found == s->n && !any_mark) { return KLUIS_OK; }
    KLUIS_TRY(reading_chunk(r->h, s->id, s->n, a->chunk, err));
    bool all = true;
    for (uint32_t i = 0; i < s->n; i++) {
        const struct align_entry *e = &a->chunk[i];
        const bool here = align_has(r->aligner, k, i);
        all = all && (here || a->marks[i] != 0 || e->own);
        if (!ours) { continue; }
        if (here && (a->marks[i] & JOURNAL_GONE) != 0 && (a->marks[i] & JOURNAL_BACK) == 0) {
            if (!add(a, r->conversation, s, i, e, JOURNAL_BACK)) { return KLUIS_OK; }
        }
        if (here || again || a->marks[i] != 0 || !can_be_missed(r, e) || !in_range(r, e->t) || pairs_have(r->pairs, s->id, i)) { continue; }
        if (!add(a, r->conversation, s, i, e, JOURNAL_GONE)) { return KLUIS_OK; }
    }
    return ours ? KLUIS_OK : adopt(r, s, o, all, err);
}

static size_t span_of(const struct reading *r, int64_t id)
{
    size_t lo = 0, hi = r->n_spans;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (r->spans[mid].id < id) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < r->n_spans && r->spans[lo].id == id ? lo : SIZE_MAX;
}

/* What another file of the same source has is not gone. */
static void keep_missing(struct reading *r, const struct occurrence *first)
{
    for (uint32_t i = 0; i < first->n_gone; i++) {
        struct gone *g = &r->absence->list[first->gone_at + i];
        size_t k = g->says == JOURNAL_GONE ? span_of(r, g->span) : SIZE_MAX;
        if (k != SIZE_MAX && (align_has(r->aligner, k, g->at) || pairs_have(r->pairs, g->span, g->at))) { g->says = 0; }
    }
}

static int by_words(const void *x, const void *y, void *ctx)
{
    const struct gone *list = ctx, *a = &list[*(const uint32_t *)x], *b = &list[*(const uint32_t *)y];
    if (a->fp != b->fp) { return a->fp < b->fp ? -1 : 1; }
    return a->t < b->t ? -1 : a->t > b->t;
}

static int by_author(const void *x, const void *y, void *ctx)
{
    const struct gone *list = ctx, *a = &list[*(const uint32_t *)x], *b = &list[*(const uint32_t *)y];
    if (a->tag != b->tag) { return a->tag < b->tag ? -1 : 1; }
    return a->t < b->t ? -1 : a->t > b->t;
}

/* The first in an order whose (key, t) is not below this one. */
static size_t from(const struct absence *a, const uint32_t *order, size_t n, bool words, uint64_t key, int64_t t)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct gone *g = &a->list[order[mid]];
        uint64_t has = words ? g->fp : g->tag;
        if (has < key || (has == key && g->t < t)) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

/* A line without an id that is new here, by the same author at the same time, or with the same words within a day and the zones: the line that is
 * missed may read otherwise now (edited, deleted, a name in it changed, an attachment that came along, another zone).  That is no absence. */
static void explain(struct absence *a, size_t n, const struct align_entry *e, uint32_t author, int precision)
{
    for (size_t i = from(a, a->order, n, false, author, e->t - 60); i < n; i++) {
        struct gone *g = &a->list[a->order[i]];
        int32_t within = align_tolerance(g->precision, precision);
        if (g->tag != author || g->t > e->t + 60) { break; }
        if (g->t >= e->t - within && g->t <= e->t + within) { g->says = JOURNAL_SILENT; }
    }
    for (size_t i = from(a, a->order_fp, n, true, e->fp, e->t - DAY_AND_ZONES); i < n; i++) {
        struct gone *g = &a->list[a->order_fp[i]];
        if (g->fp != e->fp || g->t > e->t + DAY_AND_ZONES) { break; }
        g->says = JOURNAL_SILENT;
    }
}

static kluis_status note_silent(struct reading *r, size_t at, size_t n, struct kluis_err *err)
{
    const struct absence *a = r->absence;
    bool any = false;
    for (size_t i = 0; i < n && !any; i++) { any = a->list[at + i].says == JOURNAL_SILENT; }
    if (!any) { return KLUIS_OK; }
    kluis_status rc = kluis_db_begin(r->h->db, err);
    for (size_t i = 0; i < n && rc == KLUIS_OK; i++) {
        const struct gone *g = &a->list[at + i];
        if (g->says != JOURNAL_SILENT) { continue; }
        rc = kluis_db_run(r->h->db, NULL, err, "INSERT INTO mark(seen,at,says) VALUES(?1,?2,?3) ON CONFLICT DO NOTHING", "iii", g->span,
                          (int64_t)g->at, (int64_t)JOURNAL_SILENT);
    }
    if (rc != KLUIS_OK) {
        kluis_db_rollback(r->h->db);
        return rc;
    }
    return kluis_db_commit(r->h->db, "agent.mark.silent", err);
}

/* Looks at the new lines of this occurrence for what may explain those [at, at + count).  Noted before anything of it is handed over: once the new
 * line is known, nothing would explain the old one any more. */
static kluis_status explain_all(struct reading *r, size_t at, size_t count, struct kluis_err *err)
{
    struct absence *a = r->absence;
    const struct occurrence *o = &r->occ[r->at_occ];
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        const struct gone *g = &a->list[at + i];
        if (g->says == JOURNAL_GONE && !g->has_id) { a->order[n++] = (uint32_t)(at + i); }
    }
    if (n == 0) { return KLUIS_OK; }
    memcpy(a->order_fp, a->order, n * sizeof *a->order);
    qsort_r(a->order, n, sizeof *a->order, by_author, a->list);
    qsort_r(a->order_fp, n, sizeof *a->order_fp, by_words, a->list);
    for (uint64_t seen = 0; seen < o->n; seen += r->n_window) {
        KLUIS_TRY(reading_window(r, o, seen, err));
        for (size_t i = 0; i < r->n_window; i++) {
            const struct align_entry *e = &r->window[i];
            if (!e->known && !e->has_id) { explain(a, n, e, align_author(r->aligner, e->tag), (int)r->header.precision); }
        }
    }
    return note_silent(r, at, count, err);
}

kluis_status absence_look(struct reading *r, struct kluis_err *err)
{
    struct absence *a = r->absence;
    struct occurrence *o = &r->occ[r->at_occ], *first = &r->occ[o->again];
    const bool again = o != first;
    const size_t before = a->n;
    /* Read on a phone in another zone: times do not tell what a window holds. */
    if (align_shifted(r->aligner)) {
        for (uint32_t i = 0; again && i < first->n_gone; i++) { a->list[first->gone_at + i].says = 0; }
        return KLUIS_OK;
    }
    if (!again && !r->origin->whole) { KLUIS_TRY(find_ranges(r, err)); }
    for (size_t k = 0; k < r->n_spans; k++) { KLUIS_TRY(look_chunk(r, k, again, err)); }
    if (again) {
        keep_missing(r, first);
    } else {
        first->gone_at = (uint32_t)before;
        first->n_gone = (uint32_t)(a->n - before);
    }
    return explain_all(r, first->gone_at, first->n_gone, err);
}

/* ---- conversations that are not there at all ---- */

static bool is_read(const struct reading *r, const uint8_t key[CONVERSATION_KEY])
{
    size_t lo = 0, hi = r->n_occ;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (memcmp(r->occ[r->by_key[mid]].key, key, CONVERSATION_KEY) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    for (; lo < r->n_occ && memcmp(r->occ[r->by_key[lo]].key, key, CONVERSATION_KEY) == 0; lo++) {
        if (r->occ[r->by_key[lo]].n > 0) { return true; }
    }
    return false;
}

static kluis_status all_of(struct reading *r, int64_t conversation, struct kluis_err *err)
{
    struct absence *a = r->absence;
    struct align_span *spans = NULL;
    struct chunk_origin *origins = NULL;
    size_t n = 0;
    kluis_status rc = reading_spans(r->h, conversation, &spans, &origins, &n, err);
    for (size_t k = 0; k < n && rc == KLUIS_OK && a->n < JOURNAL_SAID_MAX; k++) {
        if (!is_ours(r, &origins[k])) { continue; }
        rc = reading_marks(r->h, spans[k].id, spans[k].n, a->marks, err);
        if (rc == KLUIS_OK) { rc = reading_chunk(r->h, spans[k].id, spans[k].n, a->chunk, err); }
        for (uint32_t i = 0; i < spans[k].n && rc == KLUIS_OK; i++) {
            if (a->marks[i] != 0 || !can_be_missed(r, &a->chunk[i])) { continue; }
            if (!add(a, conversation, &spans[k], i, &a->chunk[i], JOURNAL_GONE)) { break; }
        }
    }
    kluis_free(spans);
    kluis_free(origins);
    return rc;
}

static kluis_status whole_conversations(struct reading *r, struct kluis_err *err)
{
    struct absence *a = r->absence;
    for (int64_t after = 0; a->n < JOURNAL_SAID_MAX;) {
        struct sqlite3_stmt *st = NULL;
        uint8_t key[CONVERSATION_KEY];
        KLUIS_TRY(
            kluis_db_query(r->h->db, &st, err,
                           "SELECT c.id,c.key FROM conversation c WHERE c.id>?1 AND EXISTS(SELECT 1 FROM seen s WHERE s.source=?2 AND s.settings=?3"
                           " AND s.conversation=c.id) ORDER BY c.id LIMIT 1",
                           "iii", after, r->origin->source, (int64_t)r->origin->settings));
        kluis_status rc = kluis_db_step(r->h->db, st, err);
        bool whole = rc == KLUIS_OK && kluis_db_fixed(st, 1, key, sizeof key);
        if (rc == KLUIS_OK) { after = kluis_db_int(st, 0); }
        kluis_db_done(st);
        if (rc == KLUIS_END) { return KLUIS_OK; }
        KLUIS_TRY(rc);
        if (whole && !is_read(r, key)) { KLUIS_TRY(all_of(r, after, err)); }
    }
    return KLUIS_OK;
}

/* ---- third reading: is it there under another kind, with other content, or in another conversation? ---- */

static kluis_status third_begin(void *ctx, const struct kluis_header *h, struct kluis_err *err)
{
    (void)ctx;
    (void)h;
    (void)err;
    return KLUIS_OK;
}

static kluis_status third_end(void *ctx, struct kluis_err *err)
{
    (void)ctx;
    (void)err;
    return KLUIS_OK;
}

static kluis_status third_skipped(void *ctx, const struct source_skip *s, struct kluis_err *err)
{
    struct absence *a = ctx;
    (void)err;
    a->r->partial = a->r->partial || s->refused;
    return KLUIS_OK;
}

static void there(struct absence *a, uint64_t fp)
{
    for (size_t i = from(a, a->order_fp, a->n_ids, true, fp, INT64_MIN); i < a->n_ids && a->list[a->order_fp[i]].fp == fp; i++) {
        a->list[a->order_fp[i]].says = JOURNAL_SILENT;
    }
}

static kluis_status third_record(void *ctx, const struct kluis_record *rec, struct kluis_bytes raw, struct kluis_err *err)
{
    struct absence *a = ctx;
    (void)raw;
    (void)err;
    a->r->partial = a->r->partial || reading_hole(rec);
    for (unsigned k = 0; k < KLUIS_KINDS; k++) {
        if ((a->kinds >> k & 1) == 0) { continue; }
        if (rec->id.ptr != NULL) { there(a, journal_identity(a->r->h, (enum kluis_kind)k, rec->id)); }
        /* What a deletion or an edit is about, its source accounts for. */
        if (rec->target.ptr != NULL && (rec->kind == KLUIS_DELETION || rec->kind == KLUIS_EDIT)) {
            there(a, journal_identity(a->r->h, (enum kluis_kind)k, rec->target));
        }
    }
    return KLUIS_OK;
}

static kluis_status look_for_ids(struct reading *r, const struct journal_reader *reader, struct kluis_err *err)
{
    struct absence *a = r->absence;
    const struct source_sink third = { a, third_begin, third_record, third_end, third_skipped };
    a->n_ids = 0;
    a->kinds = 0;
    a->r = r;
    for (size_t i = 0; i < a->n; i++) {
        const struct gone *g = &a->list[i];
        if (g->says != JOURNAL_GONE || !g->has_id) { continue; }
        a->order_fp[a->n_ids++] = (uint32_t)i;
        a->kinds |= g->kind == 0 ? (unsigned)EVERY_KIND : 1u << (g->kind - 1);
    }
    if (a->n_ids == 0) { return KLUIS_OK; }
    qsort_r(a->order_fp, a->n_ids, sizeof *a->order_fp, by_words, a->list);
    KLUIS_TRY(reader->read(reader->ctx, &third, err));
    if (r->partial) { return KLUIS_OK; }
    /* Several forms of one record are one record: the last is the one that is gone. */
    for (size_t i = 1; i < a->n_ids; i++) {
        struct gone *x = &a->list[a->order_fp[i - 1]], *y = &a->list[a->order_fp[i]];
        if (x->fp != y->fp || x->conversation != y->conversation || x->says != JOURNAL_GONE || y->says != JOURNAL_GONE) { continue; }
        bool later = y->span > x->span || (y->span == x->span && y->at > x->at);
        (later ? x : y)->says = JOURNAL_SILENT;
        if (!later) { /* compared with the next */
            uint32_t t = a->order_fp[i];
            a->order_fp[i] = a->order_fp[i - 1];
            a->order_fp[i - 1] = t;
        }
    }
    return note_silent(r, 0, a->n, err);
}

/* ---- saying it ---- */

static int by_package(const void *x, const void *y)
{
    const struct gone *a = x, *b = y;
    if (a->conversation != b->conversation) { return a->conversation < b->conversation ? -1 : 1; }
    if (a->span != b->span) { return a->span < b->span ? -1 : 1; }
    if (a->at != b->at) { return a->at < b->at ? -1 : 1; }
    return a->says < b->says ? -1 : a->says > b->says;
}

/* E_NOTFOUND: it was never noted. */
static kluis_status header_of(struct reading *r, int64_t conversation, struct kluis_arena *arena, struct kluis_header *h, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_AUTO_BUF(box, 1 << 17);
    KLUIS_AUTO_BUF(line, 1 << 17);
    KLUIS_TRY(kluis_db_query(r->h->db, &st, err, "SELECT header FROM conversation WHERE id=?1 AND header IS NOT NULL", "i", conversation));
    kluis_status rc = kluis_db_step(r->h->db, st, err);
    if (rc == KLUIS_OK) {
        struct kluis_bytes b = kluis_db_blob(st, 0);
        kluis_buf_add(&box, b.ptr, b.len);
    }
    kluis_db_done(st);
    if (rc == KLUIS_END) { return KLUIS_E_NOTFOUND; }
    KLUIS_TRY(rc);
    KLUIS_TRY(kluis_buf_ok(&box, err));
    KLUIS_TRY(home_unbox(r->h, "conversation", kluis_buf_bytes(&box), &line, err));
    struct kluis_str text = { (const char *)line.data, line.len > 0 ? line.len - 1 : 0 };
    KLUIS_TRY(kluis_header_read(text, arena, h, err));
    /* What follows is the journal's own word: of its own clock, and it tells all it knows. */
    h->provenance = (struct kluis_provenance){ .source = h->provenance.source, .reader = KLUIS_STR_LIT("chatkluis " KLUIS_VERSION " journal") };
    h->zone = KLUIS_ZONE_STATED;
    h->zone_name = KLUIS_STR_LIT("UTC");
    h->precision = KLUIS_PRECISION_SECOND;
    h->loss = NULL;
    h->n_loss = 0;
    return KLUIS_OK;
}

static kluis_status say_one(struct reading *r, const struct kluis_header *h, const struct gone *g, struct kluis_err *err)
{
    uint8_t package[32];
    char id[KLUIS_DERIVED_ID], hex[65];
    struct align_entry e;
    KLUIS_TRY(reading_name(r->h, g->span, g->at, package, id, err));
    kluis_hex(package, sizeof package, hex);
    hex[64] = '\0';
    const struct kluis_field fields[] = { { .name = KLUIS_STR_LIT("package"), .value = { hex, 64 } },
                                          { .name = KLUIS_STR_LIT("record"), .number = (int64_t)g->at + 1, .is_int = true } };
    const struct kluis_record rec = { .kind = KLUIS_EVENT,
                                      .author = KLUIS_NO_PARTY,
                                      .sent = { r->origin->now_us, 0 },
                                      .zone = KLUIS_ZONE_STATED,
                                      .target = { id, strlen(id) },
                                      .target_author = KLUIS_NO_PARTY,
                                      .target_sent = { g->t * 1000000, 0 },
                                      .event = g->says == JOURNAL_BACK ? KLUIS_STR_LIT("in-source-again") : KLUIS_STR_LIT("no-longer-in-source"),
                                      .fields = fields,
                                      .n_fields = 2 };
    journal_entry(r->h, h, &rec, &e);
    e.own = true;
    e.mark = (struct align_mark){ g->span, g->at, g->says };
    KLUIS_TRY(r->out->record(r->out->ctx, &rec, (struct kluis_bytes){ NULL, 0 }, &e, err));
    *(g->says == JOURNAL_BACK ? &r->counts->back : &r->counts->gone) += 1;
    return KLUIS_OK;
}

static kluis_status say_all(struct reading *r, struct kluis_err *err)
{
    struct absence *a = r->absence;
    struct kluis_header h;
    for (size_t i = 0; i < a->n;) {
        const int64_t conversation = a->list[i].conversation;
        KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(1 << 18);
        if (arena == NULL) { return reading_no_memory(err); }
        kluis_status rc = header_of(r, conversation, arena, &h, err);
        if (rc != KLUIS_OK && rc != KLUIS_E_NOTFOUND) { return rc; }
        if (rc == KLUIS_OK) { KLUIS_TRY(r->out->begin(r->out->ctx, &h, conversation, err)); }
        for (; i < a->n && a->list[i].conversation == conversation; i++) {
            bool twice = i > 0 && by_package(&a->list[i - 1], &a->list[i]) == 0;
            if (rc == KLUIS_OK && !twice) { KLUIS_TRY(say_one(r, &h, &a->list[i], err)); }
        }
        if (rc == KLUIS_OK) { KLUIS_TRY(r->out->end(r->out->ctx, err)); }
    }
    return KLUIS_OK;
}

/* A reading that was not whole says nothing, and neither does one that shares nothing with those before it: it may be of an empty folder, or of
 * somebody else's file. */
static bool trusted(const struct reading *r) { return !r->partial && r->counts->changed == 0 && r->absence->continued; }

kluis_status absence_say(struct reading *r, const struct journal_reader *reader, struct kluis_err *err)
{
    struct absence *a = r->absence;
    size_t n = 0;
    if (!trusted(r)) { return KLUIS_OK; }
    if (r->origin->whole) { KLUIS_TRY(whole_conversations(r, err)); }
    if (a->n == 0) { return KLUIS_OK; }
    KLUIS_TRY(look_for_ids(r, reader, err));
    if (!trusted(r)) { return KLUIS_OK; }
    for (size_t i = 0; i < a->n; i++) {
        if (a->list[i].says == JOURNAL_GONE || a->list[i].says == JOURNAL_BACK) { a->list[n++] = a->list[i]; }
    }
    a->n = n;
    qsort(a->list, a->n, sizeof *a->list, by_package);
    return say_all(r, err);
}
