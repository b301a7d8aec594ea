/* tables.c - what a database holds, reading around damage, a row as evidence, Apple's and WebKit's clocks.  See database.h. */
#include "agent/source/database/database.h"

#include <math.h>
#include <sqlite3.h>

static bool has(struct kluis_db *db, const char *table, const char *column)
{
    struct sqlite3_stmt *st = NULL;
    kluis_status rc = column == NULL
                          ? kluis_db_query(db, &st, NULL, "SELECT 1 FROM sqlite_schema WHERE type IN ('table','view') AND name=?1", "s", table)
                          : kluis_db_query(db, &st, NULL, "SELECT 1 FROM pragma_table_info(?1) WHERE name=?2 COLLATE NOCASE", "ss", table, column);
    if (rc == KLUIS_OK) { rc = kluis_db_step(db, st, NULL); }
    kluis_db_done(st);
    return rc == KLUIS_OK;
}
bool database_has_table(struct kluis_db *db, const char *table) { return has(db, table, NULL); }
bool database_has_column(struct kluis_db *db, const char *table, const char *column) { return has(db, table, column); }

/* Rows from `after` on; KLUIS_E_CORRUPT when a page does not read. */
static kluis_status rows(struct kluis_db *db, const struct database_walk *w, int64_t *after, bool one, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    kluis_status rc = kluis_db_query(db, &st, err, w->sql, "i", *after);
    while (rc == KLUIS_OK && (rc = kluis_db_step(db, st, err)) == KLUIS_OK) {
        int64_t key = kluis_db_int(st, 0);
        if (key <= *after && *after != INT64_MIN) { /* a page that leads back: without this it would be walked for ever */
            kluis_db_done(st);
            return KLUIS_E_CORRUPT;
        }
        if (one) {
            *after = key;
            kluis_db_done(st);
            return KLUIS_OK;
        }
        rc = w->row(w->ctx, st, err);
        if (rc != KLUIS_OK) {
            kluis_db_done(st);
            return rc == KLUIS_E_CORRUPT ? KLUIS_E_BUG : rc;
        }
        *after = key;
    }
    return rc;
}

kluis_status database_walk(struct kluis_db *db, const struct database_walk *w, struct kluis_err *err)
{
    int64_t after = INT64_MIN;
    for (;;) {
        struct kluis_err why = { 0 };
        kluis_status rc = rows(db, w, &after, false, &why);
        if (rc == KLUIS_END) { return KLUIS_OK; }
        if (rc != KLUIS_E_CORRUPT) {
            if (err != NULL) { *err = why; }
            return rc;
        }
        /* The first key behind the damage: steps that double until something reads, then halved back to the edge.  Keys on a page lie
         * together, so this takes some dozens of tries a damaged page. */
        int64_t bad = after, good = 0;
        bool found = false, end = false;
        for (int64_t step = 1; !found && !end; step *= 2) {
            int64_t probe = after == INT64_MIN ? step - 2 : after;
            if (__builtin_add_overflow(probe, after == INT64_MIN ? 0 : step, &probe) || step > INT64_MAX / 4) { break; }
            int64_t at = probe;
            rc = rows(db, w, &at, true, NULL);
            if (rc == KLUIS_OK) {
                good = probe;
                found = true;
            } else if (rc == KLUIS_END) { /* nothing behind the damage, or the damage hides it */
                good = probe;
                end = true;
            } else if (rc == KLUIS_E_CORRUPT) {
                bad = probe;
            } else {
                return KLUIS_FAIL(err, rc, "cannot read around damage");
            }
        }
        if (!found && !end) { return w->hole(w->ctx, after, INT64_MAX, err); }
        if (bad == INT64_MIN) { bad = -2; }
        while (good - bad > 1) {
            int64_t probe = bad + (good - bad) / 2, at = probe;
            rc = rows(db, w, &at, true, NULL);
            if (rc == KLUIS_E_CORRUPT) {
                bad = probe;
            } else if (rc == KLUIS_OK || rc == KLUIS_END) {
                good = probe;
                end = rc == KLUIS_END;
            } else {
                return KLUIS_FAIL(err, rc, "cannot read around damage");
            }
        }
        int64_t next = good;
        if (!end && rows(db, w, &next, true, NULL) != KLUIS_OK) { end = true; }
        KLUIS_TRY(w->hole(w->ctx, after, end ? INT64_MAX : next, err));
        if (end) { return KLUIS_OK; }
        after = good;
    }
}

kluis_status database_blame(kluis_status rc, const char *path, struct kluis_err *err)
{
    /* By the name of the private copy: what a sink said of its own stores stays what it is. */
    if (err == NULL || strstr(err->msg, " in db: ") == NULL) { return rc; }
    if (rc != KLUIS_E_CORRUPT && !(rc == KLUIS_E_IO && strstr(err->msg, sqlite3_errstr(SQLITE_ERROR)) != NULL)) { return rc; }
    kluis_err_clear(err);
    return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: damaged, or of a version this reader does not know: its tables are not as they should be", path);
}

static void base64_value(struct kluis_buf *out, const uint8_t *p, size_t n)
{
    kluis_buf_cstr(out, "{\"base64\":\"");
    uint8_t *room = kluis_buf_reserve(out, kluis_base64_len(n) + 1);
    static const uint8_t none[1];
    if (room != NULL) { out->len += kluis_base64(n == 0 ? none : p, n, (char *)room); }
    kluis_buf_cstr(out, "\"}");
}

static void integer(struct kluis_buf *out, int64_t v)
{
    char *w = (char *)kluis_buf_reserve(out, 1 + KLUIS_DECIMAL);
    if (w == NULL) { return; }
    if (v < 0) { *w++ = '-'; }
    out->len += kluis_decimal(v < 0 ? 0 - (uint64_t)v : (uint64_t)v, w).len + (v < 0);
}

/* What the rows of one statement share: {"table":"…","cells":{ and each column's "name":, as they will stand.  As in row.c a statement stays what it
 * is until its handle is freed.  Tables with more columns, or longer names, are written without. */
enum { FORMS = 64, FORM_COLUMNS = 128, FORM_TEXT = 4096 };
struct form {
    const struct sqlite3_stmt *st;
    const char *table; /* a literal */
    uint16_t head, end[FORM_COLUMNS];
    char text[FORM_TEXT];
};

static void name_json(struct kluis_buf *out, const char *name)
{
    if (name == NULL) { /* no memory to say what a column is called */
        out->status = KLUIS_E_NOMEM;
        return;
    }
    struct kluis_str s = kluis_str_of(name);
    s.len = kluis_utf8_valid(s.ptr, s.len);
    kluis_buf_json(out, s);
    kluis_buf_byte(out, ':');
}

static void head_json(struct kluis_buf *out, const char *table)
{
    kluis_buf_cstr(out, "{\"table\":");
    kluis_buf_json(out, kluis_str_of(table));
    kluis_buf_cstr(out, ",\"cells\":{");
}

static bool fill_form(struct form *f, const char *table, struct sqlite3_stmt *st)
{
    KLUIS_AUTO_BUF(text, FORM_TEXT);
    const int n = sqlite3_column_count(st);
    f->st = NULL;
    if (n > FORM_COLUMNS) { return false; }
    head_json(&text, table);
    f->head = (uint16_t)text.len;
    for (int i = 0; i < n; i++) {
        name_json(&text, sqlite3_column_name(st, i));
        f->end[i] = (uint16_t)text.len;
    }
    if (text.status != KLUIS_OK) { return false; }
    memcpy(f->text, text.data, text.len);
    f->table = table;
    f->st = st;
    return true;
}

static const struct form *form_of(const char *table, struct sqlite3_stmt *st)
{
    static struct form forms[FORMS];
    static uint64_t of_freed;
    if (of_freed != kluis_db_freed()) {
        for (size_t i = 0; i < FORMS; i++) { forms[i].st = NULL; }
        of_freed = kluis_db_freed();
    }
    struct form *f = &forms[((uintptr_t)st >> 4 ^ (uintptr_t)st >> 10) % FORMS];
    return (f->st == st && f->table == table) || fill_form(f, table, st) ? f : NULL;
}

static void cell_json(struct kluis_buf *out, struct sqlite3_stmt *st, int i, sqlite3_value *v, int type)
{
    if (type == SQLITE_INTEGER) {
        integer(out, sqlite3_value_int64(v));
    } else if (type == SQLITE_FLOAT) {
        kluis_buf_fmt(out, "{\"real\":\"%.17g\"}", sqlite3_column_double(st, i));
    } else if (type == SQLITE_TEXT) {
        struct kluis_str s = kluis_db_text(st, i);
        if (s.ptr != NULL && kluis_utf8_valid(s.ptr, s.len) == s.len) {
            kluis_buf_json(out, s);
        } else {
            base64_value(out, (const uint8_t *)s.ptr, s.len);
        }
    } else {
        struct kluis_bytes b = kluis_db_blob(st, i);
        base64_value(out, b.ptr, b.len);
    }
}

void database_row_json(struct kluis_buf *out, const char *table, struct sqlite3_stmt *st, int first, int n)
{
    const struct form *f = form_of(table, st);
    bool some = false;
    if (f != NULL) {
        kluis_buf_add(out, f->text, f->head);
    } else {
        head_json(out, table);
    }
    for (int i = first; i < first + n; i++) {
        sqlite3_value *v = sqlite3_column_value(st, i); /* one thread uses the connection: it may be looked into */
        const int type = sqlite3_value_type(v);
        if (type == SQLITE_NULL) { continue; }
        if (some) { kluis_buf_byte(out, ','); }
        some = true;
        if (f != NULL) {
            const uint16_t at = i == 0 ? f->head : f->end[i - 1];
            kluis_buf_add(out, f->text + at, (size_t)(f->end[i] - at));
        } else {
            name_json(out, sqlite3_column_name(st, i));
        }
        cell_json(out, st, i, v, type);
    }
    kluis_buf_cstr(out, "}}");
}

/* Microseconds of 0001-01-01 and of the end of 9999. */
#define US_MIN INT64_C(-62135596800000000)
#define US_MAX INT64_C(253402300799999999)
static int64_t in_range(int64_t us) { return us < US_MIN || us > US_MAX ? KLUIS_TIME_ABSENT : us; }

#define APPLE_EPOCH_S INT64_C(978307200)
int64_t apple_seconds_us(double seconds)
{
    if (!isfinite(seconds) || seconds < -1e12 || seconds > 1e12) { return KLUIS_TIME_ABSENT; }
    double whole = floor(seconds), part = seconds - whole;
    return in_range(((int64_t)whole + APPLE_EPOCH_S) * 1000000 + (int64_t)llround(part * 1e6));
}

int64_t apple_either_us(int64_t v)
{
    /* As seconds these would lie some thousand years from 2001; as nanoseconds within minutes of it. */
    if (v > INT64_C(-100000000000) && v < INT64_C(100000000000)) { return in_range((v + APPLE_EPOCH_S) * 1000000); }
    int64_t us = v / 1000 - (v % 1000 < 0 ? 1 : 0);
    return in_range(us + APPLE_EPOCH_S * 1000000);
}

int64_t webkit_us(int64_t v)
{
    int64_t us;
    return __builtin_sub_overflow(v, INT64_C(11644473600000000), &us) ? KLUIS_TIME_ABSENT : in_range(us);
}
