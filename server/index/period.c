/* server/index/period.c - looking into a closed period: its rows stand in the order of their keys, so a time is a row number.  See internal.h. */
#include "server/index/internal.h"

#include <sqlite3.h>

kluis_status iperiod_key(struct kluis_db *unit, int64_t row, struct ikey *key, struct kluis_err *err)
{
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(unit, &q, err, "SELECT at, tie FROM rec WHERE id=?1", "i", row));
    kluis_status st = kluis_db_step(unit, q, err);
    if (st == KLUIS_END) { return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a period file of the index lacks a row: delete the index and rebuild it"); }
    KLUIS_TRY(st);
    *key = (struct ikey){ kluis_db_int(q, 0), kluis_db_int(q, 1) };
    kluis_db_done(q);
    return KLUIS_OK;
}

kluis_status iperiod_bound(struct kluis_db *unit, const struct iperiod *p, struct ikey key, int64_t *out, struct kluis_err *err)
{
    int64_t lo = 1, hi = p->rows + 1;
    *out = lo;
    if (key.at < p->low) { return KLUIS_OK; }
    if (key.at > p->high) { lo = hi; }
    while (lo < hi) {
        int64_t mid = lo + (hi - lo) / 2;
        struct ikey k;
        KLUIS_TRY(iperiod_key(unit, mid, &k, err));
        if (ikey_cmp(k, key) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    *out = lo;
    return KLUIS_OK;
}

static kluis_status place_at(struct kluis_db *unit, int64_t conv, int64_t pkg, int64_t from, int64_t to, int64_t *row, int64_t *ordinal,
                             struct kluis_err *err)
{
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(unit, &q, err, "SELECT id, tie FROM rec WHERE conv=?1 AND id>=?2 AND id<?3 AND +pkg=?4 ORDER BY id LIMIT 1", "iiii",
                             conv, from, to, pkg));
    kluis_status st = kluis_db_step(unit, q, err);
    if (st == KLUIS_OK) {
        *row = kluis_db_int(q, 0);
        *ordinal = kluis_db_int(q, 1) & INDEX_ORDINAL_MAX;
    }
    kluis_db_done(q);
    return st;
}

kluis_status iperiod_find(struct kluis_db *unit, int64_t conv, int64_t pkg, int64_t tie, int64_t from, int64_t to, int64_t *row,
                          struct kluis_err *err)
{
    /* Most packages number their records in the order of time: then halving finds it. */
    int64_t lo = from, hi = to, want = tie & INDEX_ORDINAL_MAX;
    while (lo < hi) {
        int64_t mid = lo + (hi - lo) / 2, at = 0, ordinal = 0;
        kluis_status st = place_at(unit, conv, pkg, mid, hi, &at, &ordinal, err);
        if (st != KLUIS_OK && st != KLUIS_END) { return st; }
        if (st == KLUIS_OK && ordinal == want) {
            *row = at;
            return KLUIS_OK;
        }
        if (st == KLUIS_END || ordinal > want) {
            hi = mid;
        } else {
            lo = at + 1;
        }
    }
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(unit, &q, err, "SELECT id FROM rec WHERE conv=?1 AND id>=?2 AND id<?3 AND +tie=?4 AND +pkg=?5", "iiiii", conv, from, to,
                             tie, pkg));
    kluis_status st = kluis_db_step(unit, q, err);
    if (st == KLUIS_OK) { *row = kluis_db_int(q, 0); }
    kluis_db_done(q);
    return st;
}
