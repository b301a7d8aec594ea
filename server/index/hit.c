/* server/index/hit.c - one record with everything shown beside it, and the conversation around it.  See index.h. */
#include "server/index/internal.h"

#include <sqlite3.h>

enum { HIT_BYTES = 64 << 20, SIGHTINGS_MAX = 1000 };

static const char DAMAGED[] = "a record of the index is damaged: delete the index and rebuild it";

struct shown {
    int64_t pkg, tie, at, bits, lead, conv, idkey;
    bool has_id;
    struct kluis_str extra[IEXTRAS], text;
};

static bool load_row(sqlite3_stmt *q, struct kluis_arena *a, struct shown *r)
{
    r->pkg = kluis_db_int(q, 0);
    r->tie = kluis_db_int(q, 1);
    r->at = kluis_db_int(q, 2);
    r->bits = kluis_db_int(q, 3);
    r->lead = sqlite3_column_type(q, 4) == SQLITE_NULL ? 0 : kluis_db_int(q, 4);
    r->conv = kluis_db_int(q, 5);
    r->has_id = sqlite3_column_type(q, 6) != SQLITE_NULL;
    r->idkey = kluis_db_int(q, 6);
    r->text = kluis_arena_str(a, kluis_db_text(q, 7));
    if (!iextra_read(kluis_db_blob(q, 8), r->extra)) { return false; }
    for (size_t i = 0; i < IEXTRAS; i++) {
        bool there = r->extra[i].ptr != NULL;
        r->extra[i] = kluis_arena_str(a, r->extra[i]);
        if (there && r->extra[i].ptr == NULL) { return false; }
    }
    return true;
}

static kluis_status row_of(struct kluis_db *unit, int64_t row, struct kluis_arena *a, struct shown *r, struct kluis_err *err)
{
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(unit, &q, err, "SELECT pkg, tie, at, bits, lead, conv, idkey, text, extra FROM rec WHERE id=?1", "i", row));
    kluis_status st = kluis_db_step(unit, q, err);
    if (st == KLUIS_OK && !load_row(q, a, r)) { st = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "%s", DAMAGED); }
    if (st == KLUIS_END) { st = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "%s", DAMAGED); }
    kluis_db_done(q);
    return st;
}

/* The package's part of a hit. */
static kluis_status package_of(struct iconn *c, const struct shown *r, struct kluis_arena *a, struct index_hit *h, struct kluis_err *err)
{
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(c->hot, &q, err,
                             "SELECT k.id, p.name, k.conv_id, k.conv_name, k.type, k.precision, k.provenance, k.verdict, k.parties FROM pkg k JOIN "
                             "platform p ON p.no=k.platform"
                             " WHERE k.no=?1",
                             "i", r->pkg));
    kluis_status st = kluis_db_step(c->hot, q, err);
    int64_t author = r->bits >> 24;
    if (st == KLUIS_END || (st == KLUIS_OK && !kluis_db_fixed(q, 0, h->package, 32))) { st = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "%s", DAMAGED); }
    if (st == KLUIS_OK) {
        h->platform = kluis_arena_str(a, kluis_db_text(q, 1));
        h->conversation_id = kluis_arena_str(a, kluis_db_text(q, 2));
        h->conversation_name = kluis_arena_str(a, kluis_db_text(q, 3));
        h->conversation_type = (enum kluis_conversation_type)kluis_db_int(q, 4);
        h->precision = (enum kluis_precision)kluis_db_int(q, 5);
        h->provenance = kluis_arena_str(a, kluis_db_text(q, 6));
        h->verdict = kluis_arena_str(a, kluis_db_text(q, 7));
        struct kluis_party p;
        if (author > 0 && !iparty_read(kluis_db_blob(q, 8), (uint32_t)(author - 1), &p)) {
            st = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "%s", DAMAGED);
        } else if (author > 0) {
            h->has_author = true;
            h->author = (struct kluis_party){ kluis_arena_str(a, p.id), kluis_arena_str(a, p.name), kluis_arena_str(a, p.number) };
        }
    }
    kluis_db_done(q);
    return st;
}

struct sightings {
    struct index_sighting *list;
    size_t n, cap;
};

static kluis_status add_sighting(struct iconn *c, struct kluis_arena *a, struct sightings *s, int64_t pkg, int64_t tie, int64_t at, int64_t bits,
                                 bool differs, struct kluis_err *err)
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
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(c->hot, &q, err, "SELECT k.id, o.name FROM pkg k JOIN official o ON o.no=k.official WHERE k.no=?1", "i", pkg));
    kluis_status st = kluis_db_step(c->hot, q, err);
    struct index_sighting *x = &s->list[s->n];
    *x = (struct index_sighting){ .ordinal = (uint64_t)tie & INDEX_ORDINAL_MAX,
                                  .sent_us = (bits >> 7 & 1) != 0 ? KLUIS_TIME_ABSENT : at,
                                  .differs = differs };
    if (st == KLUIS_END || (st == KLUIS_OK && !kluis_db_fixed(q, 0, x->package, 32))) { st = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "%s", DAMAGED); }
    if (st == KLUIS_OK) {
        x->official = kluis_arena_str(a, kluis_db_text(q, 1));
        s->n++;
    }
    kluis_db_done(q);
    return st;
}

static kluis_status members(struct iconn *c, struct kluis_db *unit, int64_t leader, struct kluis_arena *a, struct sightings *s, bool differs,
                            struct kluis_err *err)
{
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(unit, &q, err, "SELECT pkg, tie, at, bits FROM rec WHERE id=?1 OR lead=?1 ORDER BY at, tie", "i", leader));
    kluis_status st = KLUIS_OK;
    while ((st = kluis_db_step(unit, q, err)) == KLUIS_OK) {
        st = add_sighting(c, a, s, kluis_db_int(q, 0), kluis_db_int(q, 1), kluis_db_int(q, 2), kluis_db_int(q, 3), differs, err);
        if (st != KLUIS_OK) { break; }
    }
    kluis_db_done(q);
    return st == KLUIS_END ? KLUIS_OK : st;
}

/* The other groups under the same platform id, wherever they are. */
static kluis_status rivals(struct index *ix, struct iconn *c, struct kluis_db *own, int64_t leader, const struct shown *r, struct kluis_arena *a,
                           struct sightings *s, struct kluis_err *err)
{
    for (size_t i = 0; i <= c->catalog.n; i++) {
        struct kluis_db *unit = c->hot;
        int64_t file = 0, rows[64];
        if (i > 0) {
            KLUIS_TRY(istore_period(ix, c, &c->catalog.list[i - 1], &unit, err));
            file = c->catalog.list[i - 1].file;
        }
        sqlite3_stmt *q = NULL;
        size_t n = 0;
        KLUIS_TRY(kluis_db_query(unit, &q, err, "SELECT id, extra, bits FROM rec WHERE idkey=?1 AND lead IS NULL AND conv=?2 ORDER BY at, tie", "ii",
                                 r->idkey, r->conv));
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
            bool hidden = false;
            if (file != 0) { KLUIS_TRY(ihidden(c, file, rows[k], &hidden, err)); }
            if (!hidden) { KLUIS_TRY(members(c, unit, rows[k], a, s, true, err)); }
        }
    }
    return KLUIS_OK;
}

kluis_status ihit_emit(struct index *ix, struct iconn *c, struct kluis_db *unit, int64_t row, const struct iquery *query,
                       const struct index_sink *sink, struct kluis_err *err)
{
    KLUIS_AUTO(kluis_arena) a = kluis_arena_new(HIT_BYTES);
    if (a == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    struct shown r = { 0 };
    struct index_hit h = { 0 };
    struct sightings s = { 0 };
    char derived[KLUIS_DERIVED_ID];
    KLUIS_TRY(row_of(unit, row, a, &r, err));
    KLUIS_TRY(package_of(c, &r, a, &h, err));
    int64_t leader = r.lead == 0 ? row : r.lead, group = r.tie;
    KLUIS_TRY(members(c, unit, leader, a, &s, false, err));
    if (r.lead != 0) {
        struct shown first = { 0 };
        KLUIS_TRY(row_of(unit, leader, a, &first, err));
        group = first.tie;
    }
    h.conflict = (r.bits & IBITS_CONFLICT) != 0;
    if (h.conflict) { KLUIS_TRY(rivals(ix, c, unit, leader, &r, a, &s, err)); }
    h.group = (uint64_t)group;
    h.kind = (enum kluis_kind)(r.bits & 15);
    h.zone_assumed = (r.bits >> 4 & 1) != 0;
    h.by_official = (r.bits >> 5 & 1) != 0;
    h.sent_us = (r.bits >> 7 & 1) != 0 ? KLUIS_TIME_ABSENT : r.at;
    h.offset_min = (int16_t)((r.bits >> 12 & 0xfff) - 1440);
    h.ordinal = (uint64_t)r.tie & INDEX_ORDINAL_MAX;
    h.id = r.extra[IEXTRA_ID];
    if (!r.has_id) {
        kluis_derived_id(h.package, h.ordinal, derived);
        h.id = kluis_str_of(derived);
    }
    h.text = r.text;
    h.target = r.extra[IEXTRA_TARGET];
    h.value = r.extra[IEXTRA_VALUE];
    h.event = r.extra[IEXTRA_EVENT];
    h.quote = r.extra[IEXTRA_QUOTE];
    h.attachments = r.extra[IEXTRA_ATTACHMENTS];
    h.loss = r.extra[IEXTRA_LOSS];
    if (query != NULL) { h.n_marks = iquery_marks(query, h.text, a, &h.marks); }
    h.sightings = s.list;
    h.n_sightings = s.n;
    return sink->hit(sink->ctx, &h, err);
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
        bool hidden = false;
        if (w->shadows > 0) { KLUIS_TRY(ihidden(c, w->file, w->at.row, &hidden, err)); }
        if (hidden) { continue; }
        /* Of a group's sightings in this conversation the first stands for all. */
        sqlite3_stmt *q = NULL;
        KLUIS_TRY(kluis_db_query(w->unit, &q, err,
                                 "SELECT 1 FROM rec r WHERE r.id=?1 AND r.lead IS NOT NULL AND ((SELECT conv FROM rec WHERE id=r.lead)=?2"
                                 " OR EXISTS(SELECT 1 FROM rec m WHERE m.lead=r.lead AND m.conv=?2 AND (m.at, m.tie)<(r.at, r.tie)))",
                                 "ii", w->at.row, conv));
        st = kluis_db_step(w->unit, q, err);
        kluis_db_done(q);
        if (st == KLUIS_END) { return KLUIS_OK; }
        KLUIS_TRY(st);
    }
}

static kluis_status walk(struct index *ix, struct iconn *c, int64_t conv, struct ikey from, bool back, unsigned want, struct spot *out, size_t *n,
                         struct kluis_err *err)
{
    static const char BACK[] = "SELECT id, at, tie FROM rec WHERE conv=?1 AND (at, tie)<(?2, ?3) ORDER BY at DESC, tie DESC";
    static const char FORTH[] = "SELECT id, at, tie FROM rec WHERE conv=?1 AND (at, tie)>(?2, ?3) ORDER BY at, tie";
    *n = 0;
    if (want == 0) { return KLUIS_OK; }
    size_t files = c->catalog.n + 1;
    struct walk *w = kluis_calloc(files, sizeof *w);
    if (w == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    kluis_status st = KLUIS_OK;
    for (size_t i = 0; i < files && st == KLUIS_OK; i++) {
        w[i].unit = c->hot;
        if (i > 0) {
            w[i].file = c->catalog.list[i - 1].file;
            w[i].shadows = c->catalog.list[i - 1].shadows;
            st = istore_period(ix, c, &c->catalog.list[i - 1], &w[i].unit, err);
        }
        if (st == KLUIS_OK) { st = kluis_db_query(w[i].unit, &w[i].q, err, back ? BACK : FORTH, "iii", conv, from.at, from.tie); }
        if (st == KLUIS_OK) { st = advance(c, &w[i], conv, err); }
    }
    while (st == KLUIS_OK && *n < want) {
        struct walk *best = NULL;
        for (size_t i = 0; i < files; i++) {
            if (!w[i].more) { continue; }
            int order = best == NULL ? -1 : ikey_cmp(w[i].at.key, best->at.key);
            if (best == NULL || (back ? order > 0 : order < 0)) { best = &w[i]; }
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
    KLUIS_TRY(kluis_db_query(c->hot, &q, err, "SELECT no, conv, first, last FROM pkg WHERE id=?1", "h", package));
    kluis_status st = kluis_db_step(c->hot, q, err);
    if (st == KLUIS_END) { return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "no such package in the index"); }
    KLUIS_TRY(st);
    int64_t pkg = kluis_db_int(q, 0), first = kluis_db_int(q, 2), last = kluis_db_int(q, 3);
    *conv = kluis_db_int(q, 1);
    kluis_db_done(q);
    for (size_t i = 0; i <= c->catalog.n; i++) {
        struct kluis_db *unit = c->hot;
        int64_t file = 0;
        if (i > 0) {
            file = c->catalog.list[i - 1].file;
            KLUIS_TRY(istore_period(ix, c, &c->catalog.list[i - 1], &unit, err));
        }
        KLUIS_TRY(kluis_db_query(unit, &q, err, "SELECT id, at, lead FROM rec WHERE conv=?1 AND at>=?2 AND at<=?3 AND tie=?4 AND pkg=?5", "iiiii",
                                 *conv, first, last, itie(package, ordinal), pkg));
        bool hidden = true;
        int64_t lead = 0;
        while (hidden && (st = kluis_db_step(unit, q, err)) == KLUIS_OK) {
            *out = (struct spot){ unit, file, kluis_db_int(q, 0), { kluis_db_int(q, 1), itie(package, ordinal) } };
            lead = kluis_db_int(q, 2);
            hidden = false;
            if (file != 0) { KLUIS_TRY(ihidden(c, file, out->row, &hidden, err)); }
        }
        kluis_db_done(q);
        if (st != KLUIS_OK && st != KLUIS_END) { return st; }
        if (hidden) { continue; }
        if (lead == 0) { return KLUIS_OK; }
        KLUIS_TRY(kluis_db_query(unit, &q, err, "SELECT id, at, tie FROM rec WHERE (id=?1 OR lead=?1) AND conv=?2 ORDER BY at, tie LIMIT 1", "ii",
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
    KLUIS_TRY(kluis_db_exec(c->hot, "BEGIN", err));
    KLUIS_TRY(istore_catalog(c, err));
    KLUIS_TRY(locate(ix, c, package, ordinal, &conv, &anchor, err));
    KLUIS_TRY(walk(ix, c, conv, anchor.key, true, before, list, &n, err));
    while (n-- > 0) { KLUIS_TRY(ihit_emit(ix, c, list[n].unit, list[n].row, NULL, sink, err)); }
    KLUIS_TRY(ihit_emit(ix, c, anchor.unit, anchor.row, NULL, sink, err));
    KLUIS_TRY(walk(ix, c, conv, anchor.key, false, after, list, &n, err));
    for (size_t i = 0; i < n; i++) { KLUIS_TRY(ihit_emit(ix, c, list[i].unit, list[i].row, NULL, sink, err)); }
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
