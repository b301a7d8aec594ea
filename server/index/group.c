/* server/index/group.c - which records are sightings of one message.  See internal.h.
 *
 * With a platform id: same conversation, kind and id.  Equal content (kind, author, text, target, value, event) is one group whatever the clocks
 * say; other content under the same id makes further groups, all marked as a conflict.
 * Without: same link, kind, author, normalised text, target, value and event.  Of these, sorted by time, package id and ordinal, each joins the
 * earliest group whose first one lies within max(1 s, the coarser precision of the two) and which has none of its device yet, since a
 * device never sends a record twice; else it begins a group.  Equal lines of one minute thus pair off in order.
 * A record can change the groups of those after it only where no gap of TOLERANCE lies between, so each run between such gaps
 * is settled alone, and what comes out depends on the set of records only.  A run whose records are in closed periods is
 * brought into the hot file first (the old rows are shadowed until the period is rebuilt): a group never spans two files.
 * Gaps are each official's own and never grouped.
 */
#include "server/index/internal.h"

#include <sqlite3.h>

#define TOLERANCE INT64_C(60000000)
enum { RUN_MAX = 20000 };

struct member {
    int64_t file, row, pkg, at, tie, lead, bits, device, link, conv;
    uint64_t ordinal;
    uint8_t package[32], content[32];
    int precision;
    int64_t group, new_row;   /* index of the leader in the run */
    bool conflict;
};
struct run { struct member *list; size_t n, cap; };

static const char SELECT_ROW[] = "SELECT id, pkg, tie, at, bits, lead, conv, idkey, text, extra FROM rec WHERE id=?1";

static bool shadowed(struct index *ix, int64_t file, int64_t row, kluis_status *st, struct kluis_err *err)
{
    sqlite3_stmt *q = NULL;
    *st = kluis_db_query(ix->w.hot, &q, err, "SELECT 1 FROM shadow WHERE file=?1 AND row=?2", "ii", file, row);
    if (*st == KLUIS_OK) { *st = kluis_db_step(ix->w.hot, q, err); }
    kluis_db_done(q);
    bool found = *st == KLUIS_OK;
    if (*st == KLUIS_END) { *st = KLUIS_OK; }
    return found;
}

/* Reads one record with what decides its group.  E_NOTFOUND: no such row. */
static kluis_status load(struct index *ix, struct kluis_db *unit, int64_t file, int64_t row, struct member *m, struct kluis_buf *work, bool *has_id,
                         int64_t *idkey, struct kluis_err *err)
{
    sqlite3_stmt *q = NULL, *p = NULL;
    *m = (struct member){ .file = file, .row = row };
    KLUIS_TRY(kluis_db_query(unit, &q, err, SELECT_ROW, "i", row));
    kluis_status st = kluis_db_step(unit, q, err);
    if (st == KLUIS_END) { return KLUIS_E_NOTFOUND; }
    KLUIS_TRY(st);
    m->pkg = kluis_db_int(q, 1);
    m->tie = kluis_db_int(q, 2);
    m->at = kluis_db_int(q, 3);
    m->bits = kluis_db_int(q, 4);
    m->lead = sqlite3_column_type(q, 5) == SQLITE_NULL ? 0 : kluis_db_int(q, 5);
    m->conv = kluis_db_int(q, 6);
    m->ordinal = (uint64_t)m->tie & INDEX_ORDINAL_MAX;
    *has_id = sqlite3_column_type(q, 7) != SQLITE_NULL;
    *idkey = kluis_db_int(q, 7);
    KLUIS_TRY(kluis_db_query(ix->w.hot, &p, err, "SELECT id, device, precision, link, parties FROM pkg WHERE no=?1", "i", m->pkg));
    st = kluis_db_step(ix->w.hot, p, err);
    struct kluis_str extra[IEXTRAS];
    struct kluis_party author = { 0 };
    int64_t who = m->bits >> 24;
    bool ok = st == KLUIS_OK && kluis_db_fixed(p, 0, m->package, 32) && iextra_read(kluis_db_blob(q, 9), extra) &&
              (who == 0 || iparty_read(kluis_db_blob(p, 4), (uint32_t)(who - 1), &author));
    if (!ok) {
        kluis_db_done(q);
        kluis_db_done(p);
        return st != KLUIS_OK && st != KLUIS_END ? st : KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a record of the index is damaged: delete it and rebuild");
    }
    m->device = kluis_db_int(p, 1);
    m->precision = (int)kluis_db_int(p, 2);
    m->link = kluis_db_int(p, 3);
    kluis_buf_clear(work);
    iidentity(work, &author);
    size_t n = work->len;
    struct isame same = { (enum kluis_kind)(m->bits & 15), { NULL, n }, kluis_db_text(q, 8), extra[IEXTRA_TARGET], extra[IEXTRA_VALUE], extra[IEXTRA_EVENT] };
    if (kluis_buf_reserve(work, n + same.text.len + same.target.len + same.value.len + same.event.len + extra[IEXTRA_ID].len + 64) != NULL) {
        same.author.ptr = (const char *)work->data;
        isame_write(work, &same, *has_id);
        /* Where to look, and what: the id's own bytes, since idkey is only a hash.  The conversation or link is compared beside this. */
        kluis_sha256_of(work->data + n, work->len - n, m->content);
    }
    kluis_db_done(q);
    kluis_db_done(p);
    return kluis_buf_ok(work, err);
}

static kluis_status same_id(struct kluis_db *unit, int64_t row, struct kluis_str want, enum kluis_kind kind, bool *same, struct kluis_err *err)
{
    sqlite3_stmt *q = NULL;
    struct kluis_str extra[IEXTRAS];
    *same = false;
    KLUIS_TRY(kluis_db_query(unit, &q, err, "SELECT extra, bits FROM rec WHERE id=?1", "i", row));
    KLUIS_TRY(kluis_db_step(unit, q, err));
    *same = iextra_read(kluis_db_blob(q, 0), extra) && kluis_str_eq(extra[IEXTRA_ID], want) && (enum kluis_kind)(kluis_db_int(q, 1) & 15) == kind;
    kluis_db_done(q);
    return KLUIS_OK;
}

static kluis_status put_member(struct run *r, const struct member *m, bool *grew, struct kluis_err *err)
{
    *grew = false;
    for (size_t i = 0; i < r->n; i++) {
        if (r->list[i].file == m->file && r->list[i].row == m->row) { return KLUIS_OK; }
    }
    if (r->n == RUN_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "more than %d equal records in a row", RUN_MAX); }
    if (r->n == r->cap) {
        size_t cap = r->cap == 0 ? 8 : r->cap * 2;
        struct member *grown = kluis_realloc(r->list, cap * sizeof *grown);
        if (grown == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
        r->list = grown;
        r->cap = cap;
    }
    r->list[r->n++] = *m;
    *grew = true;
    return KLUIS_OK;
}

struct look { struct index *ix; struct run *run; struct member seed; bool has_id; int64_t idkey; uint32_t hash; struct kluis_str id; struct kluis_buf *work; struct kluis_err *err; };

/* Takes one candidate row into the run if it is the seed's like. */
static kluis_status consider(struct look *l, struct kluis_db *unit, int64_t file, int64_t row, bool *grew)
{
    *grew = false;
    kluis_status st = KLUIS_OK;
    if (file != 0 && shadowed(l->ix, file, row, &st, l->err)) { return st; }
    KLUIS_TRY(st);
    struct member m;
    bool has_id = false;
    int64_t idkey = 0;
    KLUIS_TRY(load(l->ix, unit, file, row, &m, l->work, &has_id, &idkey, l->err));
    if (has_id != l->has_id) { return KLUIS_OK; }
    if (has_id) {
        bool same = false;
        if (m.conv != l->seed.conv) { return KLUIS_OK; }
        KLUIS_TRY(same_id(unit, row, l->id, (enum kluis_kind)(l->seed.bits & 15), &same, l->err));
        if (!same) { return KLUIS_OK; }
    } else if (m.link != l->seed.link || memcmp(m.content, l->seed.content, 32) != 0) {
        return KLUIS_OK;
    }
    return put_member(l->run, &m, grew, l->err);
}

enum { CANDIDATES = 64 };

/* Candidates of one file, a handful at a time so that no statement is open while others run on it. */
static kluis_status search_ids(struct look *l, struct kluis_db *unit, int64_t file)
{
    int64_t last = INT64_MIN, rows[CANDIDATES];
    size_t n = CANDIDATES;
    while (n == CANDIDATES) {
        sqlite3_stmt *q = NULL;
        n = 0;
        KLUIS_TRY(kluis_db_query(unit, &q, l->err, "SELECT id FROM rec WHERE idkey=?1 AND id>?2 ORDER BY id LIMIT 64", "ii", l->idkey, last));
        kluis_status st = KLUIS_OK;
        while ((st = kluis_db_step(unit, q, l->err)) == KLUIS_OK) { rows[n++] = kluis_db_int(q, 0); }
        if (st != KLUIS_END) { return st; }
        bool grew = false;
        for (size_t i = 0; i < n; i++) { KLUIS_TRY(consider(l, unit, file, rows[i], &grew)); }
        last = n > 0 ? rows[n - 1] : last;
    }
    return KLUIS_OK;
}

static kluis_status search_time(struct look *l, struct kluis_db *unit, int64_t file, int64_t conv, int64_t from, int64_t to, bool *any)
{
    int64_t at = from, tie = INT64_MIN, rows[CANDIDATES];
    size_t n = CANDIDATES;
    while (n == CANDIDATES) {
        sqlite3_stmt *q = NULL;
        n = 0;
        KLUIS_TRY(kluis_db_query(unit, &q, l->err, "SELECT id, at, tie FROM rec WHERE conv=?1 AND (at, tie)>(?2, ?3) AND at<=?4 AND hash=?5 ORDER BY at, tie LIMIT 64",
                                 "iiiii", conv, at, tie, to, (int64_t)l->hash));
        kluis_status st = KLUIS_OK;
        while ((st = kluis_db_step(unit, q, l->err)) == KLUIS_OK) {
            rows[n++] = kluis_db_int(q, 0);
            at = kluis_db_int(q, 1);
            tie = kluis_db_int(q, 2);
        }
        if (st != KLUIS_END) { return st; }
        for (size_t i = 0; i < n; i++) {
            bool grew = false;
            KLUIS_TRY(consider(l, unit, file, rows[i], &grew));
            *any = *any || grew;
        }
    }
    return KLUIS_OK;
}

static kluis_status each_file(struct look *l, int64_t from, int64_t to, int64_t conv, bool *any)
{
    struct index *ix = l->ix;
    KLUIS_TRY(l->has_id ? search_ids(l, ix->w.hot, 0) : search_time(l, ix->w.hot, 0, conv, from, to, any));
    for (size_t i = 0; i < ix->w.catalog.n; i++) {
        const struct iperiod *p = &ix->w.catalog.list[i];
        /* A group stands in the period of its first record; the others may lie a little past its end. */
        if (!l->has_id && (p->from > to || (p->to != INT64_MAX && p->to + 2 * TOLERANCE < from))) { continue; }
        struct kluis_db *unit = NULL;
        KLUIS_TRY(istore_period(ix, &ix->w, p, &unit, l->err));
        KLUIS_TRY(l->has_id ? search_ids(l, unit, p->file) : search_time(l, unit, p->file, conv, from, to, any));
    }
    return KLUIS_OK;
}

static kluis_status gather(struct look *l)
{
    bool any = true;
    if (l->has_id) { return each_file(l, 0, 0, 0, &any); }
    int64_t convs[256];
    size_t n = 0;
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(l->ix->w.hot, &q, l->err, "SELECT conv FROM conv_link WHERE link=?1 LIMIT 256", "i", l->seed.link));
    kluis_status st = KLUIS_OK;
    while ((st = kluis_db_step(l->ix->w.hot, q, l->err)) == KLUIS_OK) { convs[n++] = kluis_db_int(q, 0); }
    if (st != KLUIS_END) { return st; }
    if (n == 256) { return KLUIS_FAIL(l->err, KLUIS_E_LIMIT, "more than 255 exports of conversations of one name"); }
    int64_t from = l->seed.at, to = from;
    while (any) {
        any = false;
        for (size_t i = 0; i < l->run->n; i++) {
            if (l->run->list[i].at < from) { from = l->run->list[i].at; }
            if (l->run->list[i].at > to) { to = l->run->list[i].at; }
        }
        for (size_t i = 0; i < n; i++) { KLUIS_TRY(each_file(l, from - TOLERANCE, to + TOLERANCE, convs[i], &any)); }
    }
    return KLUIS_OK;
}

static int by_order(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    if (x->at != y->at) { return x->at < y->at ? -1 : 1; }
    int order = memcmp(x->package, y->package, 32);
    if (order != 0) { return order; }
    return x->ordinal < y->ordinal ? -1 : x->ordinal > y->ordinal;
}

static int64_t tolerance(const struct member *a, const struct member *b)
{
    int coarser = a->precision < b->precision ? a->precision : b->precision;
    return coarser == KLUIS_PRECISION_MINUTE ? TOLERANCE : INT64_C(1000000);
}

/* The rule.  Gives every member the index of its group's first. */
static void assign(struct run *r, bool has_id)
{
    size_t oldest = 0; /* groups before this one are too old for anybody */
    bool several = false;
    for (size_t i = 0; i < r->n; i++) {
        struct member *m = &r->list[i];
        m->group = (int64_t)i;
        if (!has_id) { while (oldest < i && m->at - r->list[oldest].at > TOLERANCE) { oldest++; } }
        for (size_t g = oldest; g < i; g++) {
            const struct member *first = &r->list[g];
            if (first->group != (int64_t)g) { continue; }
            if (has_id) {
                if (memcmp(first->content, m->content, 32) == 0) { m->group = (int64_t)g; break; }
                continue;
            }
            if (m->at - first->at > tolerance(m, first)) { continue; }
            bool taken = false;
            for (size_t k = g; k < i && !taken; k++) { taken = r->list[k].group == (int64_t)g && r->list[k].device == m->device; }
            if (!taken) { m->group = (int64_t)g; break; }
        }
        several = several || (m->group == (int64_t)i && i > 0);
    }
    for (size_t i = 0; i < r->n; i++) { r->list[i].conflict = has_id && several; }
}

/* ---- into the file ---- */

struct ipending *ipending_of(struct index *ix, int64_t row)
{
    if (row < ix->b.first) { return NULL; }
    size_t lo = 0, hi = ix->b.n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (ix->b.pending[mid].row < row) { lo = mid + 1; } else { hi = mid; }
    }
    return lo < ix->b.n && ix->b.pending[lo].row == row ? &ix->b.pending[lo] : NULL;
}

/* Remembers what FTS5 has of a hot row, before its group changes. */
static kluis_status remember(struct index *ix, const struct member *m, struct kluis_err *err)
{
    struct ibatch *b = &ix->b;
    for (size_t i = 0; i < b->n_dirty; i++) {
        if (b->dirty[i].row == m->row) { return KLUIS_OK; }
    }
    if (b->n_dirty == b->cap_dirty) {
        size_t cap = b->cap_dirty == 0 ? 256 : b->cap_dirty * 2;
        struct idirty *grown = kluis_realloc(b->dirty, cap * sizeof *grown);
        if (grown == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
        b->dirty = grown;
        b->cap_dirty = cap;
    }
    struct idirty d = { m->row, m->lead == 0, NULL };
    if (d.had) {
        KLUIS_AUTO_BUF(meta, 1 << 16);
        KLUIS_TRY(imeta_of(ix->w.hot, ix->w.hot, m->row, &meta, err));
        kluis_buf_byte(&meta, 0);
        KLUIS_TRY(kluis_buf_ok(&meta, err));
        d.meta = kluis_strdup((const char *)meta.data);
        if (d.meta == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    }
    b->dirty[b->n_dirty++] = d;
    return KLUIS_OK;
}

/* Copies a record of a closed period into the hot file and shadows it where it was. */
static kluis_status pull(struct index *ix, struct member *m, struct kluis_err *err)
{
    struct ibatch *b = &ix->b;
    struct kluis_db *unit = NULL;
    const struct iperiod *p = NULL;
    for (size_t i = 0; i < ix->w.catalog.n; i++) {
        if (ix->w.catalog.list[i].file == m->file) { p = &ix->w.catalog.list[i]; }
    }
    if (p == NULL) { return KLUIS_FAIL(err, KLUIS_E_BUG, "a period file that the catalogue lacks"); }
    KLUIS_TRY(istore_period(ix, &ix->w, p, &unit, err));
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(unit, &q, err, "SELECT pkg, tie, conv, at, hash, bits, idkey, text, extra FROM rec WHERE id=?1", "i", m->row));
    KLUIS_TRY(kluis_db_step(unit, q, err));
    int64_t row = b->next_row++;
    struct ikey key = { kluis_db_int(q, 3), kluis_db_int(q, 1) };
    struct kluis_str text = kluis_db_text(q, 7), extra[IEXTRAS];
    struct kluis_bytes blob = kluis_db_blob(q, 8);
    sqlite3_stmt *in = NULL;
    KLUIS_TRY(kluis_db_query(ix->w.hot, &in, err, "INSERT INTO rec(id, pkg, tie, conv, at, hash, bits, ver, text, extra, idkey) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                             "iiiiiiiitb", row, kluis_db_int(q, 0), key.tie, kluis_db_int(q, 2), key.at, kluis_db_int(q, 4), kluis_db_int(q, 5), b->version, text, blob));
    if (sqlite3_column_type(q, 6) != SQLITE_NULL && sqlite3_bind_int64(in, 11, kluis_db_int(q, 6)) != SQLITE_OK) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    kluis_status st = kluis_db_step(ix->w.hot, in, err);
    if (st != KLUIS_END) { return st; }
    if (!iextra_read(blob, extra)) { return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a record of the index is damaged: delete it and rebuild"); }
    KLUIS_AUTO_BUF(side, 8 << 20);
    iside_write(&side, extra);
    KLUIS_TRY(kluis_buf_ok(&side, err));
    const struct ipending pending = { .row = row, .leader = true, .several = true };
    KLUIS_TRY(ibatch_pend(ix, &pending, text, (struct kluis_str){ (const char *)side.data, side.len }, key, err));
    kluis_db_done(q);
    KLUIS_TRY(kluis_db_run(ix->w.hot, NULL, err, "INSERT INTO shadow(file, row) VALUES(?1, ?2)", "ii", m->file, m->row));
    KLUIS_TRY(kluis_db_run(ix->w.hot, NULL, err, "UPDATE period SET shadows=shadows+1 WHERE file=?1", "i", m->file));
    KLUIS_TRY(kluis_db_run(ix->w.hot, NULL, err, "UPDATE meta SET v=v+1 WHERE k='catalog'", ""));
    m->new_row = row;
    return KLUIS_OK;
}

static kluis_status apply(struct index *ix, struct run *r, bool force, struct kluis_err *err)
{
    bool changed = force;
    for (size_t i = 0; i < r->n && !changed; i++) {
        const struct member *m = &r->list[i];
        const struct member *first = &r->list[m->group];
        bool leader = m->group == (int64_t)i;
        changed = leader != (m->lead == 0) || (!leader && (first->file != m->file || m->lead != first->row)) || m->conflict != ((m->bits & IBITS_CONFLICT) != 0);
    }
    if (!changed) { return KLUIS_OK; }
    for (size_t i = 0; i < r->n; i++) {
        struct member *m = &r->list[i];
        bool was = m->lead == 0, is = m->group == (int64_t)i;
        ix->b.groups += (is ? 1 : 0) - (was ? 1 : 0);
        ix->b.conflicts += (is && m->conflict ? 1 : 0) - (was && (m->bits & IBITS_CONFLICT) != 0 ? 1 : 0);
        m->new_row = m->row;
        if (m->file != 0) { KLUIS_TRY(pull(ix, m, err)); } else if (m->row < ix->b.first) { KLUIS_TRY(remember(ix, m, err)); }
    }
    for (size_t i = 0; i < r->n; i++) {
        const struct member *m = &r->list[i];
        bool leader = m->group == (int64_t)i;
        int64_t bits = (m->bits & ~(int64_t)IBITS_CONFLICT) | (m->conflict ? IBITS_CONFLICT : 0);
        /* NULLIF: a leader has no lead. */
        KLUIS_TRY(kluis_db_run(ix->w.hot, NULL, err, "UPDATE rec SET lead=NULLIF(?2, 0), bits=?3, ver=?4 WHERE id=?1", "iiii", m->new_row,
                               leader ? (int64_t)0 : r->list[m->group].new_row, bits, ix->b.version));
        struct ipending *p = ipending_of(ix, m->new_row);
        if (p != NULL) {
            p->leader = leader;
            p->several = true;
        }
    }
    return KLUIS_OK;
}

kluis_status igroup_settle(struct index *ix, const struct irow *row, bool pull_all, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(work, 16 << 20);
    KLUIS_AUTO_BUF(id, 1 << 20);
    struct run run = { 0 };
    struct look l = { .ix = ix, .run = &run, .hash = row->hash, .work = &work, .err = err };
    struct kluis_db *unit = ix->w.hot;
    for (size_t i = 0; row->file != 0 && i < ix->w.catalog.n; i++) {
        if (ix->w.catalog.list[i].file == row->file) { KLUIS_TRY(istore_period(ix, &ix->w, &ix->w.catalog.list[i], &unit, err)); }
    }
    kluis_status st = load(ix, unit, row->file, row->row, &l.seed, &work, &l.has_id, &l.idkey, err);
    if (st == KLUIS_E_NOTFOUND) { return KLUIS_OK; }
    if (st == KLUIS_OK && l.has_id) {
        sqlite3_stmt *q = NULL;
        struct kluis_str extra[IEXTRAS];
        st = kluis_db_query(unit, &q, err, "SELECT extra FROM rec WHERE id=?1", "i", row->row);
        if (st == KLUIS_OK) { st = kluis_db_step(unit, q, err); }
        if (st == KLUIS_OK && iextra_read(kluis_db_blob(q, 0), extra)) { kluis_buf_str(&id, extra[IEXTRA_ID]); }
        kluis_db_done(q);
        l.id = (struct kluis_str){ (const char *)id.data, id.len };
    }
    bool grew = false;
    if (st == KLUIS_OK) { st = put_member(&run, &l.seed, &grew, err); }
    if (st == KLUIS_OK) { st = gather(&l); }
    if (st == KLUIS_OK) {
        qsort(run.list, run.n, sizeof *run.list, by_order);
        assign(&run, l.has_id);
        st = apply(ix, &run, pull_all, err);
        for (size_t i = 0; i < run.n; i++) {
            struct ipending *p = run.list[i].file == 0 ? ipending_of(ix, run.list[i].row) : NULL;
            if (p != NULL) { p->settled = true; }
        }
    }
    kluis_free(run.list);
    return st;
}
