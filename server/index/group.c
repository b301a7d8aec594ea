/* server/index/group.c - which records are sightings of one message.  See internal.h.
 *
 * With a platform id: same conversation, kind and id.  Equal content (kind, author, text, target, value, event, options) is one group whatever the
 * clocks say; other content under the same id makes further groups, all marked as a conflict. Without: same link, kind, author, normalised text,
 * target, value, event and options.  Of these, sorted by time, package id and ordinal, each joins the earliest group whose first one lies within
 * max(1 s, the coarser precision of the two) and which has none of its device yet, since a device never sends a record twice; else it begins a group.
 * Equal lines of one minute thus pair off in order. A record can change the groups of those after it only where no gap of TOLERANCE lies between, so
 * each run between such gaps is settled alone, and what comes out depends on the set of records only.  A run whose records are in closed periods is
 * brought into the hot file first (the old rows are shadowed until the period is rebuilt): a group never spans two files.
 * Gaps are each official's own and never grouped.
 *
 * A message without an id (a text export's) may also be a sighting of one that has one (a database's), within the same link: normalised text alike,
 * authors that agree (ids, else numbers, else names; or both the official's own), and the same tolerance.  Of the groups with an id that are
 * so near and have no message without an id of its device yet, the one in its own minute, else the earliest, takes it.  Ids are settled without
 * regard to that; so here their groups are given things, anchors, whose place only igroup_settle of an id changes: whoever settles ids settles what
 * is near them after it (igroup_near).
 *
 * More than RUN_MAX equal records in one run, or sightings of one id, are not told apart: each stands alone (under one id: as a conflict).  No
 * chat of people is like that, and neither a machine's nor a hostile one may stop the index or make its work grow with the square.  Whether
 * a run is that long depends on the set too.  One that becomes long was short before on either side of what is new, so looking
 * 2 * RUN_MAX records to both sides finds everything that may still be grouped by the rule for short ones.
 */
#include "server/index/group.h"

#include <sqlite3.h>

#define TOLERANCE INT64_C(60000000)
enum { RUN_MAX = 2000, SIDE_MAX = 2 * RUN_MAX, CANDIDATES = 64, CLOSE = RUN_MAX };

static const char SELECT_ROW[] = "SELECT id, pkg, tie, at, bits, lead, conv, idkey, " IREC_TEXT ", " IREC_EXTRA ", hash FROM rec r WHERE id=?1";

static uint64_t hash_of(const char *p, size_t n) { return n == 0 ? 0 : ((uint64_t)ihash(p, n, 11) << 32 | ihash(p, n, 13)) | 1; }

static void who_of(const struct kluis_party *p, struct kluis_buf *work, struct who *out)
{
    const struct kluis_party by[2] = { { .id = p->id, .number = p->number }, { .name = p->name } };
    size_t n = work->len;
    iidentity(work, &by[0]); /* a number in an id is a number */
    bool number = work->len > n && work->data[n] == '+';
    uint64_t h = hash_of((const char *)work->data + n, work->len - n);
    *out = (struct who){ .id = number ? 0 : h, .number = number ? h : 0 };
    if (!number && p->number.len > 0) {
        work->len = n;
        iidentity(work, &(struct kluis_party){ .number = p->number });
        out->number = hash_of((const char *)work->data + n, work->len - n);
    }
    work->len = n;
    inormal_write(work, by[1].name);
    out->name = hash_of((const char *)work->data + n, work->len - n);
    work->len = n;
}

/* Reads one record with what decides its group; id: the one it has, if any.  E_NOTFOUND: no such row. */
static kluis_status load(struct index *ix, struct kluis_db *unit, int64_t file, int64_t row, struct member *m, struct kluis_buf *work,
                         struct kluis_buf *id, bool *has_id, int64_t *idkey, struct kluis_err *err)
{
    sqlite3_stmt *q = NULL;
    const struct ipackage *p = NULL;
    *m = (struct member){ .file = file, .row = row, .anchor = -1 };
    KLUIS_TRY(kluis_db_query(unit, &q, err, SELECT_ROW, "i", row));
    kluis_status st = kluis_db_step(unit, q, err);
    if (st == KLUIS_END) { return KLUIS_E_NOTFOUND; }
    KLUIS_TRY(st);
    m->pkg = kluis_db_int(q, 1);
    m->tie = kluis_db_int(q, 2);
    m->at = kluis_db_int(q, 3);
    m->bits = kluis_db_int(q, 4) & ~(int64_t)(IBITS_TEXT | IBITS_EXTRA); /* how its file keeps it, not what it is */
    m->lead = sqlite3_column_type(q, 5) == SQLITE_NULL ? 0 : kluis_db_int(q, 5);
    m->conv = kluis_db_int(q, 6);
    m->hash = (uint32_t)kluis_db_int(q, 10);
    m->ordinal = (uint64_t)m->tie & INDEX_ORDINAL_MAX;
    *has_id = sqlite3_column_type(q, 7) != SQLITE_NULL;
    *idkey = kluis_db_int(q, 7);
    st = ipackage_of(&ix->w, m->pkg, &p, err);
    struct kluis_str extra[IEXTRAS];
    struct kluis_party author = { 0 };
    int64_t who = m->bits >> 24;
    if (st == KLUIS_OK && (!iextra_read(kluis_db_blob(q, 9), extra) || (who != 0 && !iparty_read(p->parties, (uint32_t)(who - 1), &author)))) {
        st = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a record of the index is damaged: delete it and rebuild");
    }
    if (st != KLUIS_OK) {
        kluis_db_done(q);
        return st;
    }
    memcpy(m->package, p->id, 32);
    m->device = p->device;
    m->official = p->official_no;
    m->precision = (int)p->precision;
    m->link = p->link;
    kluis_buf_clear(work);
    who_of(&author, work, &m->author);
    iidentity(work, &author);
    size_t n = work->len;
    struct isame same = { (enum kluis_kind)(m->bits & 15),
                          { NULL, n },
                          kluis_db_text(q, 8),
                          extra[IEXTRA_TARGET],
                          extra[IEXTRA_VALUE],
                          extra[IEXTRA_EVENT],
                          extra[IEXTRA_OPTIONS] };
    if (kluis_buf_reserve(work, n + same.text.len + same.target.len + same.value.len + same.event.len + same.options.len + 64) != NULL) {
        same.author.ptr = (const char *)work->data;
        isame_write(work, &same, *has_id);
        /* Where to look, and what: the id's own bytes, since idkey is only a hash.  The conversation or link is compared beside this. */
        kluis_sha256_of(work->data + n, work->len - n, m->content);
        memcpy(m->words, m->content, 32);
        if (same.kind == KLUIS_MESSAGE && same.text.len > 0) {
            kluis_buf_clear(work);
            inormal_write(work, same.text);
            kluis_sha256_of(work->data, work->len, m->words);
        }
    }
    kluis_buf_clear(id);
    if (*has_id) { kluis_buf_str(id, extra[IEXTRA_ID]); }
    kluis_db_done(q);
    KLUIS_TRY(kluis_buf_ok(id, err));
    return kluis_buf_ok(work, err);
}

static kluis_status put(struct member **list, size_t *n, size_t *room, const struct member *m, struct kluis_err *err)
{
    if (*n == *room) {
        size_t cap = *room == 0 ? 8 : *room * 2;
        struct member *grown = kluis_realloc(*list, cap * sizeof *grown);
        if (grown == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
        *list = grown;
        *room = cap;
    }
    (*list)[(*n)++] = *m;
    return KLUIS_OK;
}

static kluis_status put_member(struct run *r, const struct member *m, struct kluis_err *err) { return put(&r->list, &r->n, &r->cap, m, err); }

static kluis_status put_anchor(struct run *r, const struct member *m, struct kluis_err *err)
{
    for (size_t i = 0; i < r->n_anchors; i++) {
        if (r->anchors[i].file == m->file && r->anchors[i].row == m->row) { return KLUIS_OK; }
    }
    return put(&r->anchors, &r->n_anchors, &r->cap_anchors, m, err);
}

struct look {
    struct index *ix;
    struct run *run;
    struct member seed;
    bool has_id;
    int64_t idkey;
    uint32_t hash;
    struct kluis_buf *id, *other; /* the seed's, a candidate's */
    struct kluis_buf *work;
    struct kluis_err *err;
};

/* Takes one candidate row into the run if it is the seed's like. */
static kluis_status consider(struct look *l, struct kluis_db *unit, int64_t file, int64_t row)
{
    bool hidden = false;
    if (file == l->seed.file && row == l->seed.row) { return KLUIS_OK; }
    KLUIS_TRY(ihidden(&l->ix->w, file, row, &hidden, l->err));
    if (hidden) { return KLUIS_OK; }
    struct member m;
    bool has_id = false;
    int64_t idkey = 0;
    KLUIS_TRY(load(l->ix, unit, file, row, &m, l->work, l->other, &has_id, &idkey, l->err));
    if (has_id && !l->has_id) {
        bool anchor = m.lead == 0 && m.link == l->seed.link && memcmp(m.words, l->seed.words, 32) == 0;
        return anchor && l->run->n_anchors <= RUN_MAX ? put_anchor(l->run, &m, l->err) : KLUIS_OK;
    }
    if (has_id != l->has_id) { return KLUIS_OK; }
    if (has_id) {
        bool same = m.conv == l->seed.conv && (m.bits & 15) == (l->seed.bits & 15) && l->id->len == l->other->len &&
                    memcmp(l->id->data, l->other->data, l->id->len) == 0;
        if (!same) { return KLUIS_OK; }
    } else if (m.link != l->seed.link || memcmp(m.words, l->seed.words, 32) != 0) {
        return KLUIS_OK;
    }
    return put_member(l->run, &m, l->err);
}

/* Candidates of one file, a handful at a time so that no statement is open while others run on it; rows from `from` on, until `most` are found.
 * *last: up to which row was looked, INT64_MAX: to the end. */
static kluis_status search_ids(struct look *l, struct kluis_db *unit, int64_t file, int64_t from, size_t most, int64_t *last)
{
    int64_t rows[CANDIDATES];
    size_t n = CANDIDATES;
    *last = from - 1;
    while (n == CANDIDATES && l->run->n < most) {
        sqlite3_stmt *q = NULL;
        n = 0;
        KLUIS_TRY(kluis_db_query(unit, &q, l->err, "SELECT id FROM rec WHERE idkey=?1 AND id>?2 ORDER BY id LIMIT 64", "ii", l->idkey, *last));
        kluis_status st = KLUIS_OK;
        while ((st = kluis_db_step(unit, q, l->err)) == KLUIS_OK) { rows[n++] = kluis_db_int(q, 0); }
        if (st != KLUIS_END) { return st; }
        for (size_t i = 0; i < n; i++) { KLUIS_TRY(consider(l, unit, file, rows[i])); }
        *last = n < CANDIDATES ? INT64_MAX : rows[n - 1];
    }
    return KLUIS_OK;
}

/* Sightings of one id.  Those of earlier packages are settled: when they are too many already, each of them stands alone and only what is new
 * has to be looked at. */
static kluis_status gather_ids(struct look *l)
{
    struct index *ix = l->ix;
    int64_t fresh = ix->b.package_row > 0 ? ix->b.package_row : INT64_MAX;
    for (size_t i = 0; i < ix->w.catalog.n && l->run->n <= RUN_MAX; i++) {
        struct kluis_db *unit = NULL;
        int64_t seen = 0;
        KLUIS_TRY(istore_period(ix, &ix->w, &ix->w.catalog.list[i], &unit, l->err));
        KLUIS_TRY(search_ids(l, unit, ix->w.catalog.list[i].file, 1, RUN_MAX + 2, &seen));
    }
    int64_t last = 0;
    if (l->run->n <= RUN_MAX + 1) { KLUIS_TRY(search_ids(l, ix->w.hot, 0, 1, RUN_MAX + 2, &last)); }
    if (fresh != INT64_MAX && last != INT64_MAX) { KLUIS_TRY(search_ids(l, ix->w.hot, 0, last < fresh ? fresh : last + 1, SIZE_MAX, &last)); }
    for (size_t i = 0; i < l->run->n; i++) { l->run->list[i].inner = true; }
    return KLUIS_OK;
}

/* ---- a run, outwards from the seed ---- */

struct near {
    struct ikey key;
    int64_t file, row;
    struct kluis_db *unit;
};
struct nears {
    struct near *list;
    size_t n, cap;
    bool older, ids; /* ids: also the first ones of groups with one */
};

static int by_nearness(const void *a, const void *b, void *ctx)
{
    int order = ikey_cmp(((const struct near *)a)->key, ((const struct near *)b)->key);
    return *(const bool *)ctx ? -order : order;
}

/* Asks for rows of one file on one side of `edge`, up to the time `end`, nearest first.  END: there are none.  ids: the first ones of groups with an
 * id, else records without. */
#define WITHOUT "hash=?1 AND idkey IS NULL"
#define WITH "hash=?1 AND idkey IS NOT NULL AND lead IS NULL"
#define OLDER(which) "SELECT id, at, tie FROM rec WHERE " which " AND (at, tie)<(?2, ?3) AND at>=?4 ORDER BY at DESC, tie DESC LIMIT 2000"
#define NEWER(which) "SELECT id, at, tie FROM rec WHERE " which " AND (at, tie)>(?2, ?3) AND at<=?4 ORDER BY at, tie LIMIT 2000"
#define OLDER_ROWS(which) "SELECT id, at, tie FROM rec WHERE " which " AND id>=?2 AND id<?3 ORDER BY id DESC LIMIT 2000"
#define NEWER_ROWS(which) "SELECT id, at, tie FROM rec WHERE " which " AND id>=?2 AND id<?3 ORDER BY id LIMIT 2000"
#define ANY(which) "SELECT 1 FROM rec WHERE " which " LIMIT 1"
static kluis_status ask_close(struct look *l, bool older, bool ids, struct kluis_db *unit, const struct iperiod *p, struct ikey edge, int64_t end,
                              sqlite3_stmt **q)
{
    static const char *const hot[2][2] = { { NEWER(WITHOUT), OLDER(WITHOUT) }, { NEWER(WITH), OLDER(WITH) } };
    static const char *const period[2][2] = { { NEWER_ROWS(WITHOUT), OLDER_ROWS(WITHOUT) }, { NEWER_ROWS(WITH), OLDER_ROWS(WITH) } };
    static const char *const any[2] = { ANY(WITHOUT), ANY(WITH) };
    int64_t hash = (int64_t)(int32_t)l->hash, from = 0, to = 0;
    if (p == NULL) { return kluis_db_query(unit, q, l->err, hot[ids][older], "iiii", hash, edge.at, edge.tie, end); }
    /* Most words stand nowhere else: that is seen at once. */
    KLUIS_TRY(kluis_db_query(unit, q, l->err, any[ids], "i", hash));
    kluis_status st = kluis_db_step(unit, *q, l->err);
    kluis_db_done(*q);
    if (st != KLUIS_OK) { return st; }
    const struct ikey low = older                   ? (struct ikey){ end, INT64_MIN }
                            : edge.tie == INT64_MAX ? (struct ikey){ edge.at + 1, INT64_MIN }
                                                    : (struct ikey){ edge.at, edge.tie + 1 };
    const struct ikey high = older ? edge : (struct ikey){ end, INT64_MAX };
    KLUIS_TRY(iperiod_bound(unit, p, low, &from, l->err));
    KLUIS_TRY(iperiod_bound(unit, p, high, &to, l->err));
    return kluis_db_query(unit, q, l->err, period[ids][older], "iii", hash, from, to);
}

/* Up to CLOSE rows of one file, nearest first; *bound: how far all of them are known, when that is nearer. */
static kluis_status close_rows(struct look *l, struct nears *s, bool ids, struct kluis_db *unit, const struct iperiod *p, struct ikey edge,
                               int64_t end, struct ikey *bound)
{
    sqlite3_stmt *q = NULL;
    size_t n = 0;
    int64_t file = p == NULL ? 0 : p->file;
    kluis_status asked = ask_close(l, s->older, ids, unit, p, edge, end, &q);
    if (asked != KLUIS_OK) { return asked == KLUIS_END ? KLUIS_OK : asked; }
    kluis_status st = KLUIS_OK;
    while ((st = kluis_db_step(unit, q, l->err)) == KLUIS_OK) {
        if (s->n == s->cap) {
            size_t cap = s->cap == 0 ? 64 : s->cap * 2;
            struct near *grown = kluis_realloc(s->list, cap * sizeof *grown);
            if (grown == NULL) {
                kluis_db_done(q);
                return KLUIS_FAIL(l->err, KLUIS_E_NOMEM, "out of memory");
            }
            s->list = grown;
            s->cap = cap;
        }
        s->list[s->n++] = (struct near){ { kluis_db_int(q, 1), kluis_db_int(q, 2) }, file, kluis_db_int(q, 0), unit };
        n++;
    }
    if (st != KLUIS_END) { return st; }
    if (n == CLOSE) {
        const struct ikey last = s->list[s->n - 1].key;
        int order = ikey_cmp(last, *bound);
        if (s->older ? order > 0 : order < 0) { *bound = last; }
    }
    return KLUIS_OK;
}

static kluis_status close_by(struct look *l, struct nears *s, struct ikey edge, int64_t end, struct ikey *bound)
{
    struct index *ix = l->ix;
    int64_t from = s->older ? end : edge.at, to = s->older ? edge.at : end;
    s->n = 0;
    KLUIS_TRY(close_rows(l, s, false, ix->w.hot, NULL, edge, end, bound));
    if (s->ids) { KLUIS_TRY(close_rows(l, s, true, ix->w.hot, NULL, edge, end, bound)); }
    for (size_t k = 0; k < ix->w.catalog.n; k++) {
        const struct iperiod *p = &ix->w.catalog.list[k];
        if (p->low > to || p->high < from) { continue; }
        struct kluis_db *unit = NULL;
        KLUIS_TRY(istore_period(ix, &ix->w, p, &unit, l->err));
        KLUIS_TRY(close_rows(l, s, false, unit, p, edge, end, bound));
        if (s->ids) { KLUIS_TRY(close_rows(l, s, true, unit, p, edge, end, bound)); }
    }
    if (s->n > 1) { qsort_r(s->list, s->n, sizeof *s->list, by_nearness, &s->older); }
    return KLUIS_OK;
}

/* One side of the seed: on and on while no gap of TOLERANCE comes and fewer than SIDE_MAX are found. */
static kluis_status gather_side(struct look *l, bool older)
{
    struct nears s = { .older = older, .ids = imap_get(&l->ix->b.mixed, l->seed.link, NULL) };
    struct ikey edge = { l->seed.at, l->seed.tie };
    int64_t last = l->seed.at;
    size_t found = 0;
    bool more = true;
    kluis_status st = KLUIS_OK;
    while (more && st == KLUIS_OK) {
        int64_t end = older ? last - TOLERANCE : last + TOLERANCE;
        struct ikey bound = older ? (struct ikey){ end, INT64_MIN } : (struct ikey){ end, INT64_MAX };
        st = close_by(l, &s, edge, end, &bound);
        more = false;
        for (size_t i = 0; i < s.n && st == KLUIS_OK && found < SIDE_MAX; i++) {
            int past = ikey_cmp(s.list[i].key, bound);
            if (older ? past < 0 : past > 0) { break; }
            size_t before = l->run->n, anchors = l->run->n_anchors;
            st = consider(l, s.list[i].unit, s.list[i].file, s.list[i].row);
            if (st != KLUIS_OK || (l->run->n == before && l->run->n_anchors == anchors)) { continue; }
            if (l->run->n > before) { l->run->list[before].inner = ++found <= RUN_MAX; }
            last = s.list[i].key.at;
            more = true;
        }
        more = (more || bound.at != end) && found < SIDE_MAX;
        edge = bound;
    }
    kluis_free(s.list);
    return st;
}

static int by_place(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    if (x->file != y->file) { return x->file < y->file ? -1 : 1; }
    return x->row < y->row ? -1 : x->row > y->row;
}

/* Whoever is in a group with one that is looked at is looked at too: a lengthy run dissolves it. */
static kluis_status gather_groups_of(struct look *l, struct imap *seen)
{
    struct run *r = l->run;
    const size_t found = r->n;
    qsort(r->list, found, sizeof *r->list, by_place);
    for (size_t i = 0; i < found; i++) {
        size_t members = 0;
        int64_t file = r->list[i].file, lead = r->list[i].lead == 0 ? r->list[i].row : r->list[i].lead, last = 0, rows[CANDIDATES];
        struct kluis_db *unit = l->ix->w.hot;
        for (size_t k = 0; file != 0 && k < l->ix->w.catalog.n; k++) {
            if (l->ix->w.catalog.list[k].file == file) { KLUIS_TRY(istore_period(l->ix, &l->ix->w, &l->ix->w.catalog.list[k], &unit, l->err)); }
        }
        const int64_t key_of = igroup_place(file, lead);
        if (imap_get(seen, key_of, &members)) {
            r->list[i].several = members > 1;
            continue;
        }
        size_t n = CANDIDATES, in_group = 0;
        while (n == CANDIDATES) {
            sqlite3_stmt *q = NULL;
            n = 0;
            KLUIS_TRY(
                kluis_db_query(unit, &q, l->err, "SELECT id FROM rec WHERE (id=?1 OR lead=?1) AND id>?2 ORDER BY id LIMIT 64", "ii", lead, last));
            kluis_status st = KLUIS_OK;
            while ((st = kluis_db_step(unit, q, l->err)) == KLUIS_OK) { rows[n++] = kluis_db_int(q, 0); }
            if (st != KLUIS_END) { return st; }
            in_group += n;
            for (size_t k = 0; k < n && in_group > 1; k++) {
                const struct member key = { .file = file, .row = rows[k] };
                bool known = bsearch(&key, r->list, found, sizeof key, by_place) != NULL;
                for (size_t j = found; j < r->n && !known; j++) { known = by_place(&key, &r->list[j]) == 0; }
                if (!known) {
                    size_t before = r->n;
                    KLUIS_TRY(consider(l, unit, file, rows[k]));
                    if (r->n > before) { r->list[before].several = true; }
                }
            }
            last = n > 0 ? rows[n - 1] : last;
        }
        r->list[i].several = in_group > 1;
        KLUIS_TRY(imap_put(seen, key_of, in_group, l->err));
    }
    return KLUIS_OK;
}

static kluis_status gather_groups(struct look *l)
{
    struct imap seen = { 0 };
    kluis_status st = gather_groups_of(l, &seen);
    imap_clear(&seen);
    return st;
}

static kluis_status gather(struct look *l)
{
    struct run *r = l->run;
    r->list[0].inner = true;
    if (l->has_id && l->ix->b.erasing && imap_get(&l->ix->b.lengthy, l->idkey, NULL)) {
        r->lengthy = true; /* seen for another of them: this one stands alone, or will */
        return gather_groups(l);
    }
    if (l->has_id) {
        KLUIS_TRY(gather_ids(l));
    } else {
        KLUIS_TRY(gather_side(l, true));
        KLUIS_TRY(gather_side(l, false));
    }
    r->lengthy = r->n > RUN_MAX || r->n_anchors > RUN_MAX;
    for (size_t i = 0; !r->lengthy && i < r->n; i++) { r->list[i].inner = true; }
    if (r->lengthy && l->has_id && l->ix->b.erasing) { KLUIS_TRY(imap_put(&l->ix->b.lengthy, l->idkey, 0, l->err)); }
    return r->lengthy ? gather_groups(l) : KLUIS_OK;
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

/* What both know of each other decides, the surest first. */
static bool agree(const struct member *a, const struct member *b)
{
    bool own = (a->bits & b->bits & IBITS_OWN) != 0 && a->official == b->official;
    const struct who *x = &a->author, *y = &b->author;
    if (own) { return true; }
    if (x->id != 0 && y->id != 0) { return x->id == y->id; }
    if (x->number != 0 && y->number != 0) { return x->number == y->number; }
    return x->name != 0 && x->name == y->name;
}

static bool of_one_minute(const struct member *m, const struct member *anchor)
{
    return m->precision == KLUIS_PRECISION_MINUTE && anchor->at >= m->at && anchor->at - m->at < TOLERANCE;
}

/* Which of the anchors a message without an id joins; -1: none.  Where two chats of one name hold such a message nobody guesses whose it is. */
static int64_t anchor_for(const struct run *r, const struct member *m)
{
    int64_t found = -1, conv = 0;
    bool same_minute = false;
    for (size_t k = 0; k < r->n_anchors && !r->lengthy; k++) {
        const struct member *a = &r->anchors[k];
        int64_t apart = a->at < m->at ? m->at - a->at : a->at - m->at;
        if (apart > tolerance(m, a) || !agree(m, a)) { continue; }
        if (conv != 0 && a->conv != conv) { return -1; }
        conv = a->conv;
        bool taken = false;
        for (int64_t i = a->next; !taken && i >= 0; i = r->list[i].next) { taken = r->list[i].device == m->device; }
        if (taken || same_minute) { continue; }
        same_minute = of_one_minute(m, a);
        found = found < 0 || same_minute ? (int64_t)k : found;
    }
    return found;
}

/* The rule.  Gives every member the index of its group's first, or of its anchor. */
static void assign(struct run *r, bool has_id)
{
    size_t oldest = 0; /* groups before this one are too old for anybody */
    bool several = r->lengthy;
    for (size_t k = 0; k < r->n_anchors; k++) { r->anchors[k].next = r->anchors[k].last = -1; }
    for (size_t i = 0; i < r->n; i++) {
        struct member *m = &r->list[i];
        m->group = m->last = (int64_t)i;
        m->next = -1;
        if (!has_id) {
            while (oldest < i && m->at - r->list[oldest].at > TOLERANCE) { oldest++; }
            m->anchor = anchor_for(r, m);
            if (m->anchor >= 0) {
                struct member *a = &r->anchors[m->anchor];
                m->group = -1;
                *(a->last < 0 ? &a->next : &r->list[a->last].next) = (int64_t)i;
                a->last = (int64_t)i;
                continue;
            }
        }
        for (size_t g = oldest; g < i && !r->lengthy; g++) {
            struct member *first = &r->list[g];
            if (first->group != (int64_t)g || (!has_id && memcmp(first->content, m->content, 32) != 0)) { continue; }
            bool joins = has_id ? memcmp(first->content, m->content, 32) == 0 : m->at - first->at <= tolerance(m, first);
            for (int64_t k = (int64_t)g; joins && !has_id && k >= 0; k = r->list[k].next) { joins = r->list[k].device != m->device; }
            if (!joins) { continue; }
            m->group = (int64_t)g;
            r->list[first->last].next = (int64_t)i;
            first->last = (int64_t)i;
            break;
        }
        several = several || (m->group == (int64_t)i && i > 0);
    }
    for (size_t i = 0; i < r->n; i++) { r->list[i].conflict = has_id && several; }
}

/* ---- messages without an id that are near one with an id ---- */

static kluis_status note_near(struct index *ix, const struct member *m, struct kluis_err *err)
{
    struct ibatch *b = &ix->b;
    if (!imap_get(&b->mixed, m->link, NULL)) { return KLUIS_OK; }
    return igroup_note(ix, m->hash, m->at, err);
}

kluis_status igroup_note(struct index *ix, uint32_t hash, int64_t at, struct kluis_err *err)
{
    struct ibatch *b = &ix->b;
    if (b->n_near > 0 && b->near[b->n_near - 1].hash == hash && b->near[b->n_near - 1].at == at) { return KLUIS_OK; }
    if (b->n_near == b->cap_near) {
        size_t cap = b->cap_near == 0 ? 64 : b->cap_near * 2;
        struct irow *grown = kluis_realloc(b->near, cap * sizeof *grown);
        if (grown == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
        b->near = grown;
        b->cap_near = cap;
    }
    b->near[b->n_near++] = (struct irow){ .at = at, .hash = hash };
    return KLUIS_OK;
}

static int by_hash(const void *a, const void *b)
{
    const struct irow *x = a, *y = b;
    if (x->hash != y->hash) { return x->hash < y->hash ? -1 : 1; }
    return x->at < y->at ? -1 : x->at > y->at;
}

static kluis_status settle_near(struct index *ix, const struct near *found, size_t n, uint32_t hash, struct kluis_err *err)
{
    for (size_t i = 0; i < n; i++) {
        bool hidden = false;
        if (imap_get(&ix->b.near_done, igroup_place(found[i].file, found[i].row), NULL)) { continue; }
        KLUIS_TRY(ihidden(&ix->w, found[i].file, found[i].row, &hidden, err)); /* pulled along with an earlier one */
        if (hidden) { continue; }
        const struct irow row = { .file = found[i].file, .row = found[i].row, .hash = hash };
        KLUIS_TRY(igroup_settle(ix, &row, false, err));
    }
    return KLUIS_OK;
}

static kluis_status near_of(struct index *ix, const struct irow *at, struct kluis_err *err)
{
    struct run none = { 0 };
    struct look l = { .ix = ix, .run = &none, .hash = at->hash, .err = err };
    kluis_status st = KLUIS_OK;
    for (int older = 0; older < 2 && st == KLUIS_OK; older++) {
        struct nears s = { .older = older != 0 };
        int64_t end = older != 0 ? at->at - TOLERANCE : at->at + TOLERANCE;
        struct ikey bound = { end, older != 0 ? INT64_MIN : INT64_MAX };
        struct ikey edge = older != 0 ? (struct ikey){ at->at + 1, INT64_MIN } : (struct ikey){ at->at, INT64_MAX };
        st = close_by(&l, &s, edge, end, &bound);
        if (st == KLUIS_OK) { st = settle_near(ix, s.list, s.n, at->hash, err); }
        kluis_free(s.list);
    }
    return st;
}

kluis_status igroup_near(struct index *ix, struct kluis_err *err)
{
    struct ibatch *b = &ix->b;
    kluis_status st = KLUIS_OK;
    imap_clear(&b->near_done);
    b->nearing = true;
    /* Settling them may bring groups with an id to the hot file, rivals under the same id too, and what is near those must follow: the list may grow.
     */
    const size_t sorted = b->n_near;
    if (sorted > 1) { qsort(b->near, sorted, sizeof *b->near, by_hash); }
    for (size_t i = 0; i < b->n_near && st == KLUIS_OK; i++) {
        const struct irow at = b->near[i];
        if (i == 0 || i >= sorted || by_hash(&at, &b->near[i - 1]) != 0) { st = near_of(ix, &at, err); }
    }
    b->nearing = false;
    b->n_near = 0;
    imap_clear(&b->near_done);
    imap_clear(&b->pulled);
    return st;
}

static kluis_status done_near(struct index *ix, const struct member *m, int64_t now, struct kluis_err *err)
{
    KLUIS_TRY(imap_put(&ix->b.near_done, igroup_place(m->file, m->row), 0, err));
    return now == 0 ? KLUIS_OK : imap_put(&ix->b.near_done, igroup_place(0, now), 0, err);
}

/* Whether at most `most` rows come of it. */
static kluis_status few(struct kluis_db *unit, sqlite3_stmt *q, int most, bool *out, struct kluis_err *err)
{
    kluis_status st = KLUIS_OK;
    int n = 0;
    while (n <= most && (st = kluis_db_step(unit, q, err)) == KLUIS_OK) { n++; }
    kluis_db_done(q);
    *out = n <= most;
    return st == KLUIS_END ? KLUIS_OK : st;
}

kluis_status igroup_alone(struct index *ix, const struct irow *row, bool *alone, struct kluis_err *err)
{
    static const char ID[] = "SELECT 1 FROM rec WHERE idkey=?1 LIMIT 2", NEAR[] = "SELECT 1 FROM rec WHERE " WITHOUT " AND at>=?2 AND at<=?3 LIMIT 2";
    const int64_t hash = (int64_t)(int32_t)row->hash;
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(row->has_id ? kluis_db_query(ix->w.hot, &q, err, ID, "i", row->idkey)
                          : kluis_db_query(ix->w.hot, &q, err, NEAR, "iii", hash, row->at - TOLERANCE, row->at + TOLERANCE));
    KLUIS_TRY(few(ix->w.hot, q, 1, alone, err)); /* itself */
    for (size_t i = 0; i < ix->w.catalog.n && *alone; i++) {
        const struct iperiod *p = &ix->w.catalog.list[i];
        struct kluis_db *unit = NULL;
        if (!row->has_id && (p->low > row->at + TOLERANCE || p->high < row->at - TOLERANCE)) { continue; }
        KLUIS_TRY(istore_period(ix, &ix->w, p, &unit, err));
        KLUIS_TRY(row->has_id ? kluis_db_query(unit, &q, err, ID, "i", row->idkey) : kluis_db_query(unit, &q, err, ANY(WITHOUT), "i", hash));
        KLUIS_TRY(few(unit, q, 0, alone, err));
    }
    return KLUIS_OK;
}

kluis_status igroup_settle(struct index *ix, const struct irow *row, bool pull_all, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(work, 16 << 20);
    KLUIS_AUTO_BUF(id, 1 << 20);
    KLUIS_AUTO_BUF(other, 1 << 20);
    struct run run = { 0 };
    struct look l = { .ix = ix, .run = &run, .hash = row->hash, .id = &id, .other = &other, .work = &work, .err = err };
    struct kluis_db *unit = ix->w.hot;
    for (size_t i = 0; row->file != 0 && i < ix->w.catalog.n; i++) {
        if (ix->w.catalog.list[i].file == row->file) { KLUIS_TRY(istore_period(ix, &ix->w, &ix->w.catalog.list[i], &unit, err)); }
    }
    kluis_status st = load(ix, unit, row->file, row->row, &l.seed, &work, &id, &l.has_id, &l.idkey, err);
    if (st == KLUIS_E_NOTFOUND) { return KLUIS_OK; }
    if (st == KLUIS_OK) { st = put_member(&run, &l.seed, err); }
    if (st == KLUIS_OK) { st = gather(&l); }
    if (st == KLUIS_OK) {
        qsort(run.list, run.n, sizeof *run.list, by_order);
        if (run.n_anchors > 1) { qsort(run.anchors, run.n_anchors, sizeof *run.anchors, by_order); }
        assign(&run, l.has_id);
        st = igroup_apply(ix, &run, pull_all, err);
        for (size_t i = 0; i < run.n; i++) {
            struct ipending *p = run.list[i].file == 0 ? ipending_of(ix, run.list[i].row) : NULL;
            if (p != NULL && run.list[i].inner) { p->settled = true; }
            int64_t now = run.list[i].new_row != 0 ? run.list[i].new_row : run.list[i].file == 0 ? run.list[i].row : 0;
            if (ix->b.erasing && st == KLUIS_OK && run.list[i].inner && now != 0) { st = imap_put(&ix->b.settled, now, 0, err); }
            if (l.has_id && st == KLUIS_OK) { st = note_near(ix, &run.list[i], err); }
            if (ix->b.nearing && !l.has_id && st == KLUIS_OK && run.list[i].inner) { st = done_near(ix, &run.list[i], now, err); }
        }
    }
    kluis_free(run.list);
    kluis_free(run.anchors);
    return st;
}
