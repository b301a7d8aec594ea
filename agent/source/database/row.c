/* row.c - columns by name.  See database.h. */
#include "agent/source/database/database.h"

#include <sqlite3.h>
#include <strings.h>

/* Where a column stood the last time: names are literals, so their address tells them apart, and what is remembered is looked at again. */
enum { REMEMBERED = 1024 };
static struct {
    const struct sqlite3_stmt *st;
    const char *name;
    int column;
} remembered[REMEMBERED];

static bool is_named(struct sqlite3_stmt *st, int column, const char *name)
{
    const char *have = sqlite3_column_name(st, column);
    return have != NULL && ((uint8_t)have[0] | 0x20) == ((uint8_t)name[0] | 0x20) && (strcmp(have, name) == 0 || strcasecmp(have, name) == 0);
}

int row_column(struct sqlite3_stmt *st, const char *name)
{
    const int n = sqlite3_column_count(st);
    const size_t at = (((uintptr_t)st >> 4) * 31 + (uintptr_t)name) % REMEMBERED;
    if (remembered[at].st == st && remembered[at].name == name && remembered[at].column < n && is_named(st, remembered[at].column, name)) {
        return remembered[at].column;
    }
    for (int i = 0; i < n; i++) {
        if (!is_named(st, i, name)) { continue; }
        remembered[at].st = st;
        remembered[at].name = name;
        remembered[at].column = i;
        return i;
    }
    return -1;
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
