/* server/index/erase.c - a package's records out of the index: rows, files and keys.  See index.h.
 *
 * First, in one transaction, the rows go: those in closed periods are shadowed, groups that lose a sighting are settled anew, and `erase` is
 * set.  While it is, maintenance rebuilds every period with shadows and then the hot file, each time destroying the former file's key; the
 * last write clears it.  A crash in between leaves it set, and the next index_maintain or index_remove goes on.
 */
#include "server/index/internal.h"

#include <sqlite3.h>

struct rows {
    struct irow *list;
    size_t n, cap;
};

static kluis_status push(struct rows *r, const struct irow *row, struct kluis_err *err)
{
    if (r->n == r->cap) {
        size_t cap = r->cap == 0 ? 256 : r->cap * 2;
        struct irow *grown = kluis_realloc(r->list, cap * sizeof *grown);
        if (grown == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
        r->list = grown;
        r->cap = cap;
    }
    r->list[r->n++] = *row;
    return KLUIS_OK;
}

struct target {
    int64_t pkg, conv, link, first, last;
    bool several, mixed; /* a record without an id may have company; also of one with */
};

/* p: the period that `unit` is; NULL: the hot file. */
static kluis_status rows_of(struct index *ix, struct kluis_db *unit, const struct iperiod *p, const struct target *t, struct rows *out,
                            struct kluis_err *err)
{
    sqlite3_stmt *q = NULL;
    int64_t file = p == NULL ? 0 : p->file, from = 0, to = 0;
    if (p == NULL) {
        KLUIS_TRY(kluis_db_query(unit, &q, err, "SELECT id, at, hash, idkey FROM rec WHERE conv=?1 AND at>=?2 AND at<=?3 AND +pkg=?4", "iiii",
                                 t->conv, t->first, t->last, t->pkg));
    } else {
        KLUIS_TRY(iperiod_bound(unit, p, (struct ikey){ t->first, INT64_MIN }, &from, err));
        KLUIS_TRY(iperiod_bound(unit, p, (struct ikey){ t->last, INT64_MAX }, &to, err));
        KLUIS_TRY(kluis_db_query(unit, &q, err, "SELECT id, at, hash, idkey FROM rec WHERE conv=?1 AND id>=?2 AND id<?3 AND +pkg=?4", "iiii", t->conv,
                                 from, to, t->pkg));
    }
    kluis_status st = KLUIS_OK;
    while ((st = kluis_db_step(unit, q, err)) == KLUIS_OK) {
        const struct irow row = { file,
                                  kluis_db_int(q, 0),
                                  t->conv,
                                  kluis_db_int(q, 1),
                                  kluis_db_int(q, 3),
                                  (uint32_t)kluis_db_int(q, 2),
                                  sqlite3_column_type(q, 3) != SQLITE_NULL };
        bool hidden = false;
        KLUIS_TRY(ihidden(&ix->w, file, row.row, &hidden, err));
        if (!hidden) { KLUIS_TRY(push(out, &row, err)); }
    }
    return st == KLUIS_END ? KLUIS_OK : st;
}

/* One row of the hot file, after everything of its run is there too. */
static kluis_status drop_hot(struct index *ix, const struct irow *row, struct kluis_err *err)
{
    struct kluis_db *hot = ix->w.hot;
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(hot, &q, err, "SELECT lead, bits FROM rec WHERE id=?1", "i", row->row));
    KLUIS_TRY(kluis_db_step(hot, q, err));
    bool leader = sqlite3_column_type(q, 0) == SQLITE_NULL, conflict = (kluis_db_int(q, 1) & IBITS_CONFLICT) != 0;
    kluis_db_done(q);
    struct ipending *p = ipending_of(ix, row->row);
    const struct idirty *d = idirty_of(&ix->b, row->row);
    if (p != NULL) {
        p->leader = false; /* FTS5 never had it */
    } else if (d != NULL ? d->had : leader) {
        KLUIS_TRY(ifts_remove(&ix->w, row->row, d == NULL ? NULL : d->meta, err));
    }
    ix->b.sightings--;
    ix->b.groups -= leader ? 1 : 0;
    ix->b.conflicts -= leader && conflict ? 1 : 0;
    return kluis_db_run(hot, NULL, err, "DELETE FROM rec WHERE id=?1", "i", row->row);
}

static kluis_status settle_rest(struct index *ix, const struct irow *row, struct kluis_err *err)
{
    struct rows rest = { 0 };
    sqlite3_stmt *q = NULL;
    kluis_status st = row->has_id ? kluis_db_query(ix->w.hot, &q, err, "SELECT id, conv, at, hash, idkey FROM rec WHERE idkey=?1", "i", row->idkey)
                                  : kluis_db_query(ix->w.hot, &q, err,
                                                   "SELECT id, conv, at, hash, idkey FROM rec WHERE hash=?1 AND idkey IS NULL AND at>=?2 AND at<=?3",
                                                   "iii", (int64_t)(int32_t)row->hash, row->at - 60000000, row->at + 60000000);
    while (st == KLUIS_OK && (st = kluis_db_step(ix->w.hot, q, err)) == KLUIS_OK) {
        const struct irow r = { 0,
                                kluis_db_int(q, 0),
                                kluis_db_int(q, 1),
                                kluis_db_int(q, 2),
                                kluis_db_int(q, 4),
                                (uint32_t)kluis_db_int(q, 3),
                                sqlite3_column_type(q, 4) != SQLITE_NULL };
        if (!igone(&ix->w, r.row)) { st = push(&rest, &r, err); }
    }
    if (st == KLUIS_END) { st = KLUIS_OK; }
    for (size_t i = 0; i < rest.n && st == KLUIS_OK; i++) {
        if (!imap_get(&ix->b.settled, rest.list[i].row, NULL)) { st = igroup_settle(ix, &rest.list[i], false, err); }
    }
    kluis_free(rest.list);
    return st;
}

static kluis_status take(struct index *ix, const struct target *t, struct rows *all, struct rows *hot, struct kluis_err *err)
{
    KLUIS_TRY(rows_of(ix, ix->w.hot, NULL, t, all, err));
    for (size_t i = 0; i < ix->w.catalog.n; i++) {
        struct kluis_db *unit = NULL;
        KLUIS_TRY(istore_period(ix, &ix->w, &ix->w.catalog.list[i], &unit, err));
        KLUIS_TRY(rows_of(ix, unit, &ix->w.catalog.list[i], t, all, err));
    }
    /* What stands alone is shadowed where it is; what may have company comes to the hot file with it. */
    for (size_t i = 0; i < all->n; i++) {
        const struct irow *r = &all->list[i];
        bool hidden = false;
        if (r->file != 0) { KLUIS_TRY(ihidden(&ix->w, r->file, r->row, &hidden, err)); } /* pulled along with an earlier one */
        if (hidden || (r->file == 0 && imap_get(&ix->b.settled, r->row, NULL))) { continue; }
        if (r->has_id || t->several || t->mixed) {
            KLUIS_TRY(igroup_settle(ix, r, true, err));
        } else if (r->file != 0) {
            KLUIS_TRY(kluis_db_run(ix->w.hot, NULL, err, "INSERT INTO shadow(file, row) VALUES(?1, ?2)", "ii", r->file, r->row));
            KLUIS_TRY(kluis_db_run(ix->w.hot, NULL, err, "UPDATE period SET shadows=shadows+1 WHERE file=?1", "i", r->file));
            ix->b.sightings--;
            ix->b.groups--;
        }
    }
    KLUIS_TRY(igroup_near(ix, err));
    KLUIS_TRY(rows_of(ix, ix->w.hot, NULL, t, hot, err));
    for (size_t i = 0; i < hot->n; i++) { KLUIS_TRY(drop_hot(ix, &hot->list[i], err)); }
    imap_clear(&ix->b.settled);
    imap_clear(&ix->b.lengthy);
    for (size_t i = 0; i < hot->n; i++) {
        const struct irow *r = &hot->list[i], *before = i == 0 ? r : &hot->list[i - 1];
        bool done = i > 0 && r->has_id == before->has_id && (r->has_id ? r->idkey == before->idkey : r->hash == before->hash && r->at == before->at);
        if (!done && (r->has_id || t->several || t->mixed)) { KLUIS_TRY(settle_rest(ix, r, err)); }
        if (r->has_id && t->mixed) { KLUIS_TRY(igroup_note(ix, r->hash, r->at, err)); }
    }
    KLUIS_TRY(igroup_near(ix, err));
    struct kluis_db *db = ix->w.hot;
    KLUIS_TRY(kluis_db_run(db, NULL, err, "DELETE FROM pkg WHERE no=?1", "i", t->pkg));
    KLUIS_TRY(
        kluis_db_exec(db,
                      "DELETE FROM source WHERE no NOT IN (SELECT source FROM pkg);"
                      "DELETE FROM conv WHERE no NOT IN (SELECT conv FROM source); DELETE FROM alias WHERE conv NOT IN (SELECT conv FROM source);"
                      "DELETE FROM conv_link WHERE conv NOT IN (SELECT conv FROM source); DELETE FROM link WHERE no NOT IN (SELECT link FROM "
                      "source);",
                      err));
    KLUIS_TRY(kluis_db_run(db, NULL, err, "UPDATE meta SET v=v+1 WHERE k='catalog'", ""));
    return istore_set(db, "erase", 1, err);
}

kluis_status index_remove(struct index *ix, const uint8_t package[32], struct kluis_err *err)
{
    if (ix->b.open) { return KLUIS_FAIL(err, KLUIS_E_BUG, "packages are added and not committed"); }
    imove_free(ix);
    struct target t = { 0 };
    struct rows all = { 0 }, hot = { 0 };
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(ibatch_begin(ix, err));
    kluis_status st = kluis_db_query(ix->w.hot, &q, err,
                                     "SELECT p.no, s.conv, s.link, p.first, p.last, l.several, l.kinds FROM pkg p JOIN source s ON s.no=p.source "
                                     "JOIN link l ON l.no=s.link WHERE p.id=?1",
                                     "h", package);
    if (st == KLUIS_OK) { st = kluis_db_step(ix->w.hot, q, err); }
    if (st == KLUIS_OK) {
        t = (struct target){ kluis_db_int(q, 0), kluis_db_int(q, 1),      kluis_db_int(q, 2),     kluis_db_int(q, 3),
                             kluis_db_int(q, 4), kluis_db_int(q, 5) != 0, kluis_db_int(q, 6) == 3 };
    }
    kluis_db_done(q);
    ix->b.erasing = true;
    if (st == KLUIS_OK) {
        st = take(ix, &t, &all, &hot, err);
    } else if (st == KLUIS_END) {
        st = KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "no such package in the index");
    }
    ix->b.erasing = false;
    imap_clear(&ix->b.settled);
    imap_clear(&ix->b.lengthy);
    kluis_free(all.list);
    if (st == KLUIS_OK) {
        st = index_commit(ix, err);
    } else {
        ibatch_rollback(ix);
    }
    for (size_t i = 0; i < hot.n && st == KLUIS_OK; i++) { ihot_forget(&ix->hot, hot.list[i].row); }
    kluis_free(hot.list);
    KLUIS_TRY(st);
    bool more = true;
    int64_t left = 1;
    while (left != 0) {
        KLUIS_TRY(index_maintain(ix, &more, err));
        KLUIS_TRY(istore_meta(ix->w.hot, "erase", &left, err));
    }
    return KLUIS_OK;
}
