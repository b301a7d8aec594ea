/* agent/source/csv.h - rows of comma-separated values (RFC 4180) of a file of any size, in bounded memory; damage costs what it covers.
 *
 * A value in quotes may hold commas, line ends and "" for a quote; lines end in LF or CRLF; a byte order mark is passed over, empty lines too.
 * The first row is the header.  A row with another number of values, larger than `row_max`, or that the caller does not call one is
 * damage: the next line that is a whole row goes on.  One thread.
 */
#ifndef SOURCE_CSV_H
#define SOURCE_CSV_H

#include "kluis/base.h"

enum { CSV_COLUMNS_MAX = 64 };

struct csv_row {
    struct kluis_str value[CSV_COLUMNS_MAX]; /* unquoted; borrowed for the call */
    size_t n;
    struct kluis_str raw; /* the row's own bytes, without its line end */
    uint64_t at;
};
struct csv {
    struct kluis_input in;
    const char *name; /* for messages */
    size_t row_max;
    struct kluis_arena *words; /* emptied for every row; holds at least row_max */
    void *ctx;
    /* Of the first row.  E_REJECT ends the going through. */
    kluis_status (*header)(void *ctx, const struct csv_row *row, struct kluis_err *err);
    bool (*is_one)(void *ctx, const struct csv_row *row);
    kluis_status (*row)(void *ctx, const struct csv_row *row, struct kluis_err *err);
    kluis_status (*damage)(void *ctx, uint64_t at, uint64_t bytes, struct kluis_err *err);
};
/* E_REJECT: there is no header; E_IO; E_NOMEM; or what the callbacks return. */
KLUIS_MUSTUSE kluis_status csv_rows(const struct csv *c, struct kluis_err *err);
/* One row out of its own bytes.  false: it is not exactly one. */
bool csv_row_of(struct kluis_str raw, struct kluis_arena *words, struct csv_row *out);

#endif
