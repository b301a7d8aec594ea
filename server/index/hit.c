/* server/index/hit.c - one record with everything shown beside it, and the conversation around it.  See index.h. */
#include "server/index/internal.h"

#include <sqlite3.h>

enum { HIT_BYTES = 64 << 20, SIGHTINGS_MAX = 1000, KEEP_BYTES = 16384 };

static const char DAMAGED[] = "a record of the index is damaged: delete the index and rebuild it";

static kluis_status damaged(struct kluis_err *err) { return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "%s", DAMAGED); }

static void numbers_of(sqlite3_stmt *q, int at, struct irecord *r)
{
    r->at = kluis_db_int(q, at);
    r->tie = kluis_db_int(q, at + 1);
    r->pkg = kluis_db_int(q, at + 2);
    r->bits = kluis_db_int(q, at + 3);
    r->lead = kluis_db_int(q, at + 4); /* no row is 0 */
    r->conv = kluis_db_int(q, at + 5);
    r->has_id = sqlite3_column_type(q, at + 6) != SQLITE_NULL;
    r->idkey = kluis_db_int(q, at + 6);
}

kluis_status irecord_read(sqlite3_stmt *q, int at, struct irecord *r, struct kluis_err *err)
{
    numbers_of(q, at, r);
    r->text = kluis_db_text(q, at + 7);
    return iextra_read(kluis_db_blob(q, at + 8), r->extra) ? KLUIS_OK : damaged(err);
}

kluis_status irecord_keep(sqlite3_stmt *q, int at, struct kluis_arena *a, const struct irecord **out, struct kluis_err *err)
{
    *out = NULL;
    struct kluis_str text = kluis_db_text(q, at + 7);
    struct kluis_bytes extra = kluis_db_blob(q, at + 8);
    if (text.len + extra.len > KEEP_BYTES) { return KLUIS_OK; }
    struct irecord *r = kluis_arena_alloc(a, sizeof *r + text.len + extra.len);
    if (r == NULL) { return KLUIS_OK; }
    uint8_t *to = (uint8_t *)(r + 1);
    numbers_of(q, at, r);
    if (text.ptr != NULL) { r->text = (struct kluis_str){ memcpy(to, text.ptr, text.len), text.len }; }
    if (extra.len > 0) { memcpy(to + text.len, extra.ptr, extra.len); }
    if (!iextra_read((struct kluis_bytes){ to + text.len, extra.len }, r->extra)) { return damaged(err); }
    *out = r;
    return KLUIS_OK;
}

/* The record, read in place: *q stays on it. */
static kluis_status row_of(struct kluis_db *unit, int64_t row, sqlite3_stmt **q, struct irecord *r, struct kluis_err *err)
{
    KLUIS_TRY(kluis_db_query(unit, q, err, "SELECT " IRECORD_COLUMNS " FROM rec r WHERE r.id=?1", "i", row));
    kluis_status st = kluis_db_step(unit, *q, err);
    if (st == KLUIS_END) { return damaged(err); }
    KLUIS_TRY(st);
    return irecord_read(*q, 0, r, err);
}

/* The package's part of a hit; borrowed from the connection until it is asked for another. */
static kluis_status package_of(struct iconn *c, const struct irecord *r, struct index_hit *h, const struct ipackage **out, struct kluis_err *err)
{
    int64_t author = r->bits >> 24;
    KLUIS_TRY(ipackage_of(c, r->pkg, out, err));
    const struct ipackage *p = *out;
    memcpy(h->package, p->id, 32);
    h->platform = p->platform;
    h->conversation_id = p->conv_id;
    h->conversation_name = p->conv_name;
    h->conversation_type = p->type;
    h->precision = p->precision;
    h->provenance = p->provenance;
    h->verdict = p->verdict;
    h->has_author = author > 0;
    return author == 0 || iparty_read(p->parties, (uint32_t)(author - 1), &h->author) ? KLUIS_OK : damaged(err);
}

struct sightings {
    struct index_sighting *list;
    size_t n, cap;
};

/* Of one record of a group. */
struct seen {
    int64_t pkg, tie, at, bits;
};

static kluis_status add_sighting(struct iconn *c, struct kluis_arena *a, struct sightings *s, const struct seen *m, bool differs,
                                 struct kluis_err *err)
{
    if (s->n == SIGHTINGS_MAX) { return KLUIS_OK; }
    if (s->n == s->cap) {
        size_t cap = s->cap == 0 ? 4 : s->cap * 4;
        struct index_sighting *list = kluis_arena_alloc(a, cap * sizeof *list);
        if (list == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
        if (s->n > 0) { memcpy(list, s->list, s->n * sizeof *list); }
        s->list = list;
        s->cap = cap;
    }
    const struct ipackage *p = NULL;
    KLUIS_TRY(ipackage_of(c, m->pkg, &p, err));
    struct index_sighting *x = &s->list[s->n++];
    *x = (struct index_sighting){ .ordinal = (uint64_t)m->tie & INDEX_ORDINAL_MAX,
                                  .official = kluis_arena_str(a, p->official),
                                  .sent_us = (m->bits >> 7 & 1) != 0 ? KLUIS_TIME_ABSENT : m->at,
                                  .differs = differs };
    memcpy(x->package, p->id, 32);
    return KLUIS_OK;
}

static int by_key(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;
    return ikey_cmp((struct ikey){ x->at, x->tie }, (struct ikey){ y->at, y->tie });
}

/* A group's records in order; most groups are their leader alone. */
static kluis_status members(struct iconn *c, struct kluis_db *unit, int64_t leader, const struct seen *first, struct kluis_arena *a,
                            struct sightings *s, bool differs, struct kluis_err *err)
{
    sqlite3_stmt *q = NULL;
    size_t n = 1, cap = 1;
    struct seen one = *first, *list = &one;
    KLUIS_TRY(kluis_db_query(unit, &q, err, "SELECT pkg, tie, at, bits FROM rec WHERE lead=?1 LIMIT 1000", "i", leader));
    kluis_status st = KLUIS_OK;
    while ((st = kluis_db_step(unit, q, err)) == KLUIS_OK) {
        if (n == cap) {
            struct seen *grown = kluis_arena_alloc(a, cap * 4 * sizeof *grown);
            if (grown == NULL) {
                st = KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory");
                break;
            }
            memcpy(grown, list, n * sizeof *grown);
            list = grown;
            cap *= 4;
        }
        list[n++] = (struct seen){ kluis_db_int(q, 0), kluis_db_int(q, 1), kluis_db_int(q, 2), kluis_db_int(q, 3) };
    }
    kluis_db_done(q);
    if (st != KLUIS_END) { return st; }
    if (n > 1) { qsort(list, n, sizeof *list, by_key); }
    for (size_t i = 0; i < n; i++) { KLUIS_TRY(add_sighting(c, a, s, &list[i], differs, err)); }
    return KLUIS_OK;
}

static kluis_status seen_of(struct kluis_db *unit, int64_t row, struct seen *out, struct kluis_err *err)
{
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(unit, &q, err, "SELECT pkg, tie, at, bits FROM rec WHERE id=?1", "i", row));
    kluis_status st = kluis_db_step(unit, q, err);
    if (st == KLUIS_OK) { *out = (struct seen){ kluis_db_int(q, 0), kluis_db_int(q, 1), kluis_db_int(q, 2), kluis_db_int(q, 3) }; }
    if (st == KLUIS_END) { st = damaged(err); }
    kluis_db_done(q);
    return st;
}

/* The other groups under the same platform id, wherever they are. */
static kluis_status rivals(struct index *ix, struct iconn *c, struct kluis_db *own, int64_t leader, const struct irecord *r, struct kluis_arena *a,
                           struct sightings *s, struct kluis_err *err)
{
    static const char HOT[] = "SELECT id, extra, bits FROM rec WHERE idkey=?1 AND lead IS NULL AND conv=?2 ORDER BY at, tie";
    static const char PERIOD[] = "SELECT id, extra, bits FROM rec WHERE idkey=?1 AND +lead IS NULL AND +conv=?2 ORDER BY id";
    for (size_t i = 0; i <= c->catalog.n; i++) {
        struct kluis_db *unit = c->hot;
        int64_t file = 0, rows[64];
        if (i > 0) {
            KLUIS_TRY(istore_period(ix, c, &c->catalog.list[i - 1], &unit, err));
            file = c->catalog.list[i - 1].file;
        }
        sqlite3_stmt *q = NULL;
        size_t n = 0;
        KLUIS_TRY(kluis_db_query(unit, &q, err, i == 0 ? HOT : PERIOD, "ii", r->idkey, r->conv));
        kluis_status st = KLUIS_OK;
        while (n < 64 && (st = kluis_db_step(unit, q, err)) == KLUIS_OK) {
            struct kluis_str extra[IEXTRAS];
            bool same = iextra_read(kluis_db_blob(q, 1), extra) && kluis_str_eq(extra[IEXTRA_ID], r->extra[IEXTRA_ID]) &&
                        (kluis_db_int(q, 2) & 15) == (r->bits & 15);
            if (same && !(unit == own && kluis_db_int(q, 0) == leader)) { rows[n++] = kluis_db_int(q, 0); }
        }
        kluis_db_done(q);
        if (st != KLUIS_OK && st != KLUIS_END) { return st; }
        for (size_t k = 0; k < n; k++) {
            struct seen first;
            bool hidden = false;
            KLUIS_TRY(ihidden(c, file, rows[k], &hidden, err));
            if (hidden) { continue; }
            KLUIS_TRY(seen_of(unit, rows[k], &first, err));
            KLUIS_TRY(members(c, unit, rows[k], &first, a, s, true, err));
        }
    }
    return KLUIS_OK;
}

/* All sightings of a record's group, and under a conflict those of its rivals. */
static kluis_status sightings_of(struct index *ix, struct iconn *c, struct kluis_db *unit, int64_t row, const struct irecord *r, struct sightings *s,
                                 uint64_t *group, struct kluis_err *err)
{
    struct kluis_arena *a = c->scratch;
    int64_t leader = r->lead == 0 ? row : r->lead;
    struct seen first = { r->pkg, r->tie, r->at, r->bits };
    if (r->lead != 0) { KLUIS_TRY(seen_of(unit, leader, &first, err)); }
    *group = (uint64_t)first.tie;
    KLUIS_TRY(members(c, unit, leader, &first, a, s, false, err));
    return (r->bits & IBITS_CONFLICT) != 0 ? rivals(ix, c, unit, leader, r, a, s, err) : KLUIS_OK;
}

static kluis_status emit(struct index *ix, struct iconn *c, struct kluis_db *unit, int64_t row, const struct irecord *r, const struct iquery *query,
                         const struct index_sink *sink, struct kluis_err *err)
{
    struct index_hit h = { .group = (uint64_t)r->tie, .conflict = (r->bits & IBITS_CONFLICT) != 0 };
    struct sightings s = { 0 };
    struct index_sighting itself;
    char derived[KLUIS_DERIVED_ID];
    const struct ipackage *p = NULL;
    bool alone = r->lead == 0 && (r->bits & (IBITS_SEVERAL | IBITS_CONFLICT)) == 0;
    if (!alone) { KLUIS_TRY(sightings_of(ix, c, unit, row, r, &s, &h.group, err)); }
    KLUIS_TRY(package_of(c, r, &h, &p, err)); /* last: nothing asks for another package after it */
    h.kind = (enum kluis_kind)(r->bits & 15);
    h.zone_assumed = (r->bits >> 4 & 1) != 0;
    h.by_official = (r->bits >> 5 & 1) != 0;
    h.sent_us = (r->bits >> 7 & 1) != 0 ? KLUIS_TIME_ABSENT : r->at;
    h.offset_min = (int16_t)((r->bits >> 12 & 0xfff) - 1440);
    h.ordinal = (uint64_t)r->tie & INDEX_ORDINAL_MAX;
    h.id = r->extra[IEXTRA_ID];
    if (!r->has_id) {
        kluis_derived_id(h.package, h.ordinal, derived);
        h.id = (struct kluis_str){ derived, sizeof derived - 1 };
    }
    h.text = r->text;
    h.target = r->extra[IEXTRA_TARGET];
    h.value = r->extra[IEXTRA_VALUE];
    h.event = r->extra[IEXTRA_EVENT];
    h.quote = r->extra[IEXTRA_QUOTE];
    h.attachments = r->extra[IEXTRA_ATTACHMENTS];
    h.loss = r->extra[IEXTRA_LOSS];
    h.options = r->extra[IEXTRA_OPTIONS];
    h.marks = c->marks;
    if (query != NULL) { h.n_marks = iquery_marks(query, h.text, c->marks); }
    if (alone) {
        itself = (struct index_sighting){ .ordinal = h.ordinal, .official = p->official, .sent_us = h.sent_us };
        memcpy(itself.package, p->id, 32);
        s = (struct sightings){ &itself, 1, 1 };
    }
    h.sightings = s.list;
    h.n_sightings = s.n;
    return sink->hit(sink->ctx, &h, err);
}

kluis_status ihit_emit(struct index *ix, struct iconn *c, struct kluis_db *unit, int64_t row, const struct irecord *r, const struct iquery *query,
                       const struct index_sink *sink, struct kluis_err *err)
{
    if (c->scratch == NULL && (c->scratch = kluis_arena_new(HIT_BYTES)) == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    kluis_arena_clear(c->scratch);
    if (r != NULL) { return emit(ix, c, unit, row, r, query, sink, err); }
    sqlite3_stmt *q = NULL;
    struct irecord read;
    kluis_status st = row_of(unit, row, &q, &read, err);
    if (st == KLUIS_OK) { st = emit(ix, c, unit, row, &read, query, sink, err); }
    kluis_db_done(q);
    return st;
}

/* ---- around ---- */

struct spot {
    struct kluis_db *unit;
    int64_t file, row;
    struct ikey key;
};

/* One file's part of a conversation, walked from the anchor one way. */
struct walk {
    struct kluis_db *unit;
    int64_t file, shadows;
    sqlite3_stmt *q;
    struct spot at;
    bool more;
};

static kluis_status advance(struct iconn *c, struct walk *w, int64_t conv, struct kluis_err *err)
{
    for (;;) {
        kluis_status st = kluis_db_step(w->unit, w->q, err);
        w->more = st == KLUIS_OK;
        if (st == KLUIS_END) { return KLUIS_OK; }
        KLUIS_TRY(st);
        w->at = (struct spot){ w->unit, w->file, kluis_db_int(w->q, 0), { kluis_db_int(w->q, 1), kluis_db_int(w->q, 2) } };
        bool hidden = false, alone = sqlite3_column_type(w->q, 3) == SQLITE_NULL;
        if (w->shadows > 0 || w->file == 0) { KLUIS_TRY(ihidden(c, w->file, w->at.row, &hidden, err)); }
        if (hidden) { continue; }
        if (alone) { return KLUIS_OK; }
        /* Of a group's sightings in this conversation the first stands for all. */
        sqlite3_stmt *q = NULL;
        KLUIS_TRY(kluis_db_query(w->unit, &q, err,
                                 "SELECT 1 FROM rec r WHERE r.id=?1 AND ((SELECT conv FROM rec WHERE id=r.lead)=?2"
                                 " OR EXISTS(SELECT 1 FROM rec m WHERE m.lead=r.lead AND +m.conv=?2 AND (m.at, m.tie)<(r.at, r.tie)))",
                                 "ii", w->at.row, conv));
        st = kluis_db_step(w->unit, q, err);
        kluis_db_done(q);
        if (st == KLUIS_END) { return KLUIS_OK; }
        KLUIS_TRY(st);
    }
}

/* Asks one file for the conversation from the anchor on. */
static kluis_status enter(struct index *ix, struct iconn *c, struct walk *w, const struct iperiod *p, int64_t conv, struct ikey from, bool back,
                          struct kluis_err *err)
{
    static const char BACK_ROWS[] = "SELECT id, at, tie, lead FROM rec WHERE conv=?1 AND id<?2 ORDER BY id DESC";
    static const char FORTH_ROWS[] = "SELECT id, at, tie, lead FROM rec WHERE conv=?1 AND id>=?2 ORDER BY id";
    static const char BACK[] = "SELECT id, at, tie, lead FROM rec WHERE conv=?1 AND (at, tie)<(?2, ?3) ORDER BY at DESC, tie DESC";
    static const char FORTH[] = "SELECT id, at, tie, lead FROM rec WHERE conv=?1 AND (at, tie)>(?2, ?3) ORDER BY at, tie";
    int64_t row = 0;
    w->unit = c->hot;
    if (p == NULL) {
        KLUIS_TRY(kluis_db_query(w->unit, &w->q, err, back ? BACK : FORTH, "iii", conv, from.at, from.tie));
        return advance(c, w, conv, err);
    }
    w->file = p->file;
    w->shadows = p->shadows;
    KLUIS_TRY(istore_period(ix, c, p, &w->unit, err));
    KLUIS_TRY(iperiod_bound(w->unit, p, (struct ikey){ from.at, from.tie + (back ? 0 : 1) }, &row, err));
    KLUIS_TRY(kluis_db_query(w->unit, &w->q, err, back ? BACK_ROWS : FORTH_ROWS, "ii", conv, row));
    return advance(c, w, conv, err);
}

static kluis_status walk(struct index *ix, struct iconn *c, int64_t conv, struct ikey from, bool back, unsigned want, struct spot *out, size_t *n,
                         struct kluis_err *err)
{
    *n = 0;
    if (want == 0) { return KLUIS_OK; }
    size_t files = c->catalog.n + 1;
    struct walk *w = kluis_calloc(files, sizeof *w);
    if (w == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    kluis_status st = KLUIS_OK;
    while (st == KLUIS_OK && *n < want) {
        struct walk *best = NULL;
        for (size_t i = 0; i < files; i++) {
            if (!w[i].more) { continue; }
            int order = best == NULL ? -1 : ikey_cmp(w[i].at.key, best->at.key);
            if (best == NULL || (back ? order > 0 : order < 0)) { best = &w[i]; }
        }
        /* A file is looked into only when something of it can come next. */
        size_t i = 0;
        for (; i < files; i++) {
            const struct iperiod *p = i == 0 ? NULL : &c->catalog.list[i - 1];
            bool none = p != NULL && (back ? p->low > from.at : p->high < from.at);
            bool later = p != NULL && best != NULL && (back ? p->high < best->at.key.at : p->low > best->at.key.at);
            if (w[i].unit == NULL && !none && !later) { break; }
        }
        if (i < files) {
            st = enter(ix, c, &w[i], i == 0 ? NULL : &c->catalog.list[i - 1], conv, from, back, err);
            continue;
        }
        if (best == NULL) { break; }
        out[(*n)++] = best->at;
        st = advance(c, best, conv, err);
    }
    for (size_t i = 0; i < files; i++) { kluis_db_done(w[i].q); }
    kluis_free(w);
    return st;
}

/* The record itself, or the sighting that stands for it in its conversation. */
static kluis_status locate(struct index *ix, struct iconn *c, const uint8_t package[32], uint64_t ordinal, int64_t *conv, struct spot *out,
                           struct kluis_err *err)
{
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(c->hot, &q, err, "SELECT k.no, s.conv, k.first, k.last FROM pkg k JOIN source s ON s.no=k.source WHERE k.id=?1", "h",
                             package));
    kluis_status st = kluis_db_step(c->hot, q, err);
    if (st == KLUIS_END) { return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "no such package in the index"); }
    KLUIS_TRY(st);
    int64_t pkg = kluis_db_int(q, 0), first = kluis_db_int(q, 2), last = kluis_db_int(q, 3);
    *conv = kluis_db_int(q, 1);
    kluis_db_done(q);
    const int64_t tie = itie(package, ordinal);
    for (size_t i = 0; i <= c->catalog.n; i++) {
        struct kluis_db *unit = c->hot;
        const struct iperiod *p = i == 0 ? NULL : &c->catalog.list[i - 1];
        int64_t file = p == NULL ? 0 : p->file, row = 0, from = 0, to = 0;
        if (p == NULL) {
            KLUIS_TRY(kluis_db_query(unit, &q, err, "SELECT id FROM rec WHERE conv=?1 AND at>=?2 AND at<=?3 AND tie=?4 AND +pkg=?5", "iiiii", *conv,
                                     first, last, tie, pkg));
            while ((st = kluis_db_step(unit, q, err)) == KLUIS_OK && igone(c, kluis_db_int(q, 0))) {} /* once moved away, once come back */
            if (st == KLUIS_OK) { row = kluis_db_int(q, 0); }
            kluis_db_done(q);
        } else {
            if (p->low > last || p->high < first) { continue; }
            KLUIS_TRY(istore_period(ix, c, p, &unit, err));
            KLUIS_TRY(iperiod_bound(unit, p, (struct ikey){ first, INT64_MIN }, &from, err));
            KLUIS_TRY(iperiod_bound(unit, p, (struct ikey){ last, INT64_MAX }, &to, err));
            st = iperiod_find(unit, *conv, pkg, tie, from, to, &row, err);
        }
        if (st == KLUIS_END) { continue; }
        KLUIS_TRY(st);
        bool hidden = false;
        KLUIS_TRY(ihidden(c, file, row, &hidden, err));
        if (hidden) { continue; }
        KLUIS_TRY(kluis_db_query(unit, &q, err, "SELECT at, lead FROM rec WHERE id=?1", "i", row));
        KLUIS_TRY(kluis_db_step(unit, q, err));
        *out = (struct spot){ unit, file, row, { kluis_db_int(q, 0), tie } };
        int64_t lead = kluis_db_int(q, 1);
        kluis_db_done(q);
        if (lead == 0) { return KLUIS_OK; }
        KLUIS_TRY(kluis_db_query(unit, &q, err, "SELECT id, at, tie FROM rec WHERE (id=?1 OR lead=?1) AND +conv=?2 ORDER BY at, tie LIMIT 1", "ii",
                                 lead, *conv));
        KLUIS_TRY(kluis_db_step(unit, q, err));
        *out = (struct spot){ unit, file, kluis_db_int(q, 0), { kluis_db_int(q, 1), kluis_db_int(q, 2) } };
        kluis_db_done(q);
        return KLUIS_OK;
    }
    return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "no record %llu in that package", (unsigned long long)ordinal);
}

static kluis_status around(struct index *ix, struct iconn *c, const uint8_t package[32], uint64_t ordinal, unsigned before, unsigned after,
                           const struct index_sink *sink, struct kluis_err *err)
{
    struct spot anchor = { 0 }, list[INDEX_PAGE_MAX];
    int64_t conv = 0;
    size_t n = 0;
    KLUIS_TRY(kluis_db_run(c->hot, NULL, err, "BEGIN", ""));
    KLUIS_TRY(istore_catalog(c, err));
    KLUIS_TRY(locate(ix, c, package, ordinal, &conv, &anchor, err));
    KLUIS_TRY(walk(ix, c, conv, anchor.key, true, before, list, &n, err));
    while (n-- > 0) { KLUIS_TRY(ihit_emit(ix, c, list[n].unit, list[n].row, NULL, NULL, sink, err)); }
    KLUIS_TRY(ihit_emit(ix, c, anchor.unit, anchor.row, NULL, NULL, sink, err));
    KLUIS_TRY(walk(ix, c, conv, anchor.key, false, after, list, &n, err));
    for (size_t i = 0; i < n; i++) { KLUIS_TRY(ihit_emit(ix, c, list[i].unit, list[i].row, NULL, NULL, sink, err)); }
    return KLUIS_OK;
}

kluis_status index_around(struct index *ix, const uint8_t package[32], uint64_t ordinal, unsigned before, unsigned after,
                          const struct index_sink *sink, struct kluis_err *err)
{
    if (before > INDEX_PAGE_MAX || after > INDEX_PAGE_MAX || ordinal > INDEX_ORDINAL_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "at most %d messages each way", INDEX_PAGE_MAX);
    }
    (void)pthread_rwlock_rdlock(&ix->life);
    struct iconn *c = NULL;
    kluis_status rc = istore_reader(ix, &c, err);
    if (rc == KLUIS_OK) {
        rc = around(ix, c, package, ordinal, before, after, sink, err);
        istore_return(ix, c);
    }
    (void)pthread_rwlock_unlock(&ix->life);
    return rc;
}
