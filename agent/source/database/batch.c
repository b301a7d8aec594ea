/* batch.c - many small rows into a table of our own.  See database.h. */
#include "agent/source/database/database.h"

#include <sqlite3.h>
#include <stdlib.h>

enum { HELD = 65536, SEEN = 1024, SEEN_TEXT = 52 };

struct database_batch {
    struct kluis_db *db;
    const char *one, *many;
    size_t columns, n;
    bool sorted; /* they came in order */
    int64_t row[HELD][DATABASE_BATCH_COLUMNS];
};

kluis_status database_batch_new(struct database_batch **out, struct kluis_db *db, size_t columns, const char *one, const char *many,
                                struct kluis_err *err)
{
    *out = kluis_malloc(sizeof **out);
    if (*out == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    (*out)->db = db;
    (*out)->one = one;
    (*out)->many = many;
    (*out)->columns = columns;
    (*out)->n = 0;
    (*out)->sorted = true;
    return KLUIS_OK;
}

void database_batch_free(struct database_batch *b) { kluis_free(b); }

static int row_order(const void *x, const void *y)
{
    const int64_t *a = x, *b = y;
    for (int i = 0; i < DATABASE_BATCH_COLUMNS; i++) {
        if (a[i] != b[i]) { return a[i] < b[i] ? -1 : 1; }
    }
    return 0;
}

kluis_status database_batch_put(struct database_batch *b, struct kluis_err *err)
{
    if (!b->sorted) { qsort(b->row, b->n, sizeof *b->row, row_order); }
    for (size_t i = 0; i < b->n;) {
        struct sqlite3_stmt *st = NULL;
        const size_t n = b->n - i >= DATABASE_BATCH_ROWS ? DATABASE_BATCH_ROWS : 1;
        KLUIS_TRY(kluis_db_query(b->db, &st, err, n == 1 ? b->one : b->many, ""));
        int at = 1;
        for (const size_t end = i + n; i < end; i++) {
            for (size_t k = 0; k < b->columns; k++) {
                if (sqlite3_bind_int64(st, at++, b->row[i][k]) != SQLITE_OK) { return KLUIS_FAIL(err, KLUIS_E_BUG, "cannot bind a batch of rows"); }
            }
        }
        kluis_status rc = kluis_db_step(b->db, st, err);
        if (rc != KLUIS_END) { return rc == KLUIS_OK ? KLUIS_FAIL(err, KLUIS_E_BUG, "an insertion that gives rows") : rc; }
    }
    b->n = 0;
    b->sorted = true;
    return KLUIS_OK;
}

kluis_status database_batch_add(struct database_batch *b, const int64_t row[DATABASE_BATCH_COLUMNS], struct kluis_err *err)
{
    if (b->n == HELD) { KLUIS_TRY(database_batch_put(b, err)); }
    memset(b->row[b->n], 0, sizeof *b->row);
    memcpy(b->row[b->n], row, b->columns * sizeof *row);
    b->sorted = b->sorted && (b->n == 0 || row_order(b->row[b->n - 1], b->row[b->n]) <= 0);
    b->n++;
    return KLUIS_OK;
}

kluis_status database_by_order(struct kluis_db *db, struct kluis_db *work, struct kluis_err *err)
{
    KLUIS_TRY(kluis_db_exec(work, "PRAGMA cache_size=-4000", err));
    return kluis_db_exec(db, "PRAGMA cache_size=-16000", err);
}

struct database_seen {
    struct {
        int64_t of;
        uint8_t len; /* 0: nothing */
        char text[SEEN_TEXT];
    } entry[SEEN];
};

struct database_seen *database_seen_new(void) { return kluis_calloc(1, sizeof(struct database_seen)); }
void database_seen_free(struct database_seen *s) { kluis_free(s); }

bool database_seen(struct database_seen *s, int64_t of, struct kluis_str text)
{
    if (text.len == 0 || text.len > SEEN_TEXT) { return false; }
    const size_t at = (size_t)(kluis_str_hash(text, (uint64_t)of) % SEEN);
    if (s->entry[at].of == of && s->entry[at].len == text.len && memcmp(s->entry[at].text, text.ptr, text.len) == 0) { return true; }
    s->entry[at].of = of;
    s->entry[at].len = (uint8_t)text.len;
    memcpy(s->entry[at].text, text.ptr, text.len);
    return false;
}

kluis_status database_tally(struct database_tally *t, struct kluis_db *db, struct kluis_str text, struct kluis_err *err)
{
    if (text.ptr != NULL && (text.len == 0 || text.len > sizeof t->text)) { return KLUIS_OK; }
    if (t->n > 0 && (text.ptr == NULL || text.len != t->len || memcmp(text.ptr, t->text, t->len) != 0)) {
        const struct kluis_str told = { t->text, t->len };
        KLUIS_TRY(kluis_db_run(db, NULL, err, t->sql, "ti", told, t->n));
        t->n = 0;
    }
    if (text.ptr == NULL) { return KLUIS_OK; }
    if (t->n++ == 0) {
        memcpy(t->text, text.ptr, text.len);
        t->len = text.len;
    }
    return KLUIS_OK;
}
