/* row.c - columns by name.  See database.h. */
#include "agent/source/database/database.h"

#include <sqlite3.h>
#include <strings.h>

/* Where a column stands: names are literals, so their address tells them apart.  A statement stays what it is until its handle is freed, and with one
 * handle everything is forgotten.  -1: it has no such column. */
enum { REMEMBERED = 1024 };
static struct {
    const struct sqlite3_stmt *st;
    const char *name;
    int column;
} remembered[REMEMBERED];
static uint64_t of_freed;

/* false: no memory to say what a column is called, so nothing is known of `name`. */
static bool find(struct sqlite3_stmt *st, const char *name, int *column)
{
    const int n = sqlite3_column_count(st);
    *column = -1;
    for (int i = 0; i < n && *column < 0; i++) {
        const char *have = sqlite3_column_name(st, i);
        if (have == NULL) { return false; }
        if (strcasecmp(have, name) == 0) { *column = i; }
    }
    return true;
}

int row_column(struct sqlite3_stmt *st, const char *name)
{
    const size_t at = (((uintptr_t)st >> 4) * 31 + (uintptr_t)name) % REMEMBERED;
    if (of_freed != kluis_db_freed()) {
        memset(remembered, 0, sizeof remembered);
        of_freed = kluis_db_freed();
    }
    if (remembered[at].st != st || remembered[at].name != name) {
        remembered[at].st = find(st, name, &remembered[at].column) ? st : NULL;
        remembered[at].name = name;
    }
    return remembered[at].column;
}

bool row_has(struct sqlite3_stmt *st, const char *name)
{
    int i = row_column(st, name);
    return i >= 0 && sqlite3_column_type(st, i) != SQLITE_NULL;
}

int64_t row_int(struct sqlite3_stmt *st, const char *name, int64_t otherwise)
{
    int i = row_column(st, name);
    if (i < 0) { return otherwise; }
    sqlite3_value *v = sqlite3_column_value(st, i); /* one thread uses the connection: it may be looked into */
    return sqlite3_value_type(v) != SQLITE_NULL ? sqlite3_value_int64(v) : otherwise;
}

double row_real(struct sqlite3_stmt *st, const char *name)
{
    int i = row_column(st, name);
    return i >= 0 ? sqlite3_column_double(st, i) : 0;
}

struct kluis_str row_text(struct sqlite3_stmt *st, const char *name)
{
    int i = row_column(st, name);
    if (i < 0 || sqlite3_column_type(st, i) == SQLITE_NULL) { return (struct kluis_str){ NULL, 0 }; }
    return kluis_db_text(st, i);
}

struct kluis_bytes row_blob(struct sqlite3_stmt *st, const char *name)
{
    int i = row_column(st, name);
    return i < 0 ? (struct kluis_bytes){ NULL, 0 } : kluis_db_blob(st, i);
}
