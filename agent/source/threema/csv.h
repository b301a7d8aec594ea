/* csv.h - rows of a CSV file with a header, one by one (RFC 4180; Threema doubles backslashes, too).  Memory: one row.  One thread. */
#ifndef SOURCE_THREEMA_CSV_H
#define SOURCE_THREEMA_CSV_H

#include "kluis/base.h"

enum { CSV_COLUMNS = 64, CSV_ROW_MAX = 4 << 20, CSV_PIECE = 128 << 10 };
struct csv {
    struct kluis_input in;
    char *data;
    size_t cap, start, end, scanned; /* unread: data[start..end) */
    uint64_t at;
    bool ended;
    struct kluis_arena *names; /* of the columns */
    struct kluis_str column[CSV_COLUMNS];
    size_t n_columns;
    /* the row under way */
    struct kluis_str raw;
    uint64_t row_at, row_bytes;
    bool long_one;
    struct kluis_str field[CSV_COLUMNS];
    size_t n_fields;
    struct kluis_arena *arena;
};
/* Reads the header.  KLUIS_END: the file is empty; E_IO, E_NOMEM. */
KLUIS_MUSTUSE kluis_status csv_open(struct csv *c, const struct kluis_input *in, struct kluis_err *err);
void csv_close(struct csv *c); /* a zeroed one: no-op */
/* The next row, borrowed until the one after.  KLUIS_END; E_REJECT: a row that is none (row_at and row_bytes say where; one may go on). */
KLUIS_MUSTUSE kluis_status csv_next(struct csv *c, struct kluis_err *err);
struct kluis_str csv_get(const struct csv *c, const char *column); /* absent: no such column, or empty */

#endif
