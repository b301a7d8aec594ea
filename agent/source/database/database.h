/* database.h - reading an SQLite database of somebody else's without touching it.
 *
 * Opening a database in place, even for reading, makes SQLite create -wal and -shm files beside it and take locks in it.  So nothing is opened
 * in place: database, write-ahead log and hot journal are copied into scratch files (kluis/scratch.h: nameless, encrypted, gone with the
 * process), or decrypted into them, and SQLite reads those.  The copy is of one moment: when a file changed while it was taken it is taken
 * again.  It is not taken when nothing changed since the last one of this process: the last few stay for the next reading of the same files.
 * One thread.  Memory: kluis_scratch.h's, plus 256 KiB while copying.
 */
#ifndef SOURCE_DATABASE_H
#define SOURCE_DATABASE_H

#include "agent/source/source.h"
#include "kluis/db.h"
#include "kluis/scratch.h"

enum { DATABASE_FILES_MAX = 8, DATABASE_KEPT = 4 };

/* What a form in which databases lie about (plain, encrypted) needs to be read. */
struct database_form {
    const char *name;                      /* of the form, a literal: "crypt15"                                                     */
    const char *files[DATABASE_FILES_MAX]; /* the first must be there; any may appear, go or change, which makes a new copy */
    struct kluis_bytes secret;             /* key or passphrase that opens it: another one is another copy; hashed, not kept */
    void *ctx;
    /* Writes the database, and if there is one its log, from the files' content.  Its error is returned unless a file changed meanwhile. */
    kluis_status (*fill)(void *ctx, struct kluis_scratch *file, struct kluis_scratch *log, struct kluis_err *err);
};

/* E_NOTFOUND: the first file is not there.  E_REJECT: not an SQLite database.  E_BUSY: it kept changing while it was copied.
 * E_IO, E_NOMEM; what fill returns. */
KLUIS_MUSTUSE kluis_status database_open(struct kluis_db **out, const struct database_form *form, struct kluis_err *err);
/* A plain database at this path. */
KLUIS_MUSTUSE kluis_status database_open_plain(struct kluis_db **out, const char *path, struct kluis_err *err);
void database_close(struct kluis_db *db); /* NULL: no-op; the copy may be kept for the next reading */
void database_forget(void);               /* drops every copy that is not open */
uint64_t database_copies_made(void);      /* by this process so far */

/* ---- tables.c: what is in it, and reading around damage ---------------------------------------------------- */
bool database_has_table(struct kluis_db *db, const char *table);
bool database_has_column(struct kluis_db *db, const char *table, const char *column);

/* The status of a reading whose queries met a schema that does not fit them: the source's fault, E_REJECT, not the disk's. */
kluis_status database_blame(kluis_status rc, const char *path, struct kluis_err *err);

/* Every row of a table with an integer key, in its order.  Where pages are damaged, what can be read before and after is, and `hole` hears of
 * the keys between which rows may be missing (last: INT64_MAX when nothing readable follows). */
struct database_walk {
    void *ctx;
    const char *sql; /* "SELECT key, … FROM t WHERE key > ?1 ORDER BY key": key in column 0, and a literal */
    kluis_status (*row)(void *ctx, struct sqlite3_stmt *st, struct kluis_err *err);
    kluis_status (*hole)(void *ctx, int64_t after, int64_t before, struct kluis_err *err);
};
KLUIS_MUSTUSE kluis_status database_walk(struct kluis_db *db, const struct database_walk *w, struct kluis_err *err);

/* Appends one row as canonical JSON, the evidence of a record: {"table":"…","cells":{"column":value,…}}.  Text as JSON strings (what is no UTF-8
 * as {"base64":"…"}), blobs as {"base64":"…"}, reals as {"real":"%.17g"}, integers in decimal, columns that are NULL left out. */
void database_row_json(struct kluis_buf *out, const char *table, struct sqlite3_stmt *st, int first_column, int n_columns);

/* ---- row.c: columns by name, for tables differ between versions ---------------------------------------------
 * st: of kluis_db_query; name: a literal.  One thread. */
int row_column(struct sqlite3_stmt *st, const char *name); /* -1: no such column */
int64_t row_int(struct sqlite3_stmt *st, const char *name, int64_t otherwise);
double row_real(struct sqlite3_stmt *st, const char *name);
bool row_has(struct sqlite3_stmt *st, const char *name); /* there and not NULL */
struct kluis_str row_text(struct sqlite3_stmt *st, const char *name);
struct kluis_bytes row_blob(struct sqlite3_stmt *st, const char *name);

/* ---- Apple and WebKit times -------------------------------------------------------------------------------- */
/* Seconds since 2001-01-01 UTC, as a real.  KLUIS_TIME_ABSENT: not a number, or in no year 1…9999. */
int64_t apple_seconds_us(double seconds);
/* Nanoseconds since 2001, or seconds where the magnitude says so (before iOS 11). */
int64_t apple_either_us(int64_t value);
/* Microseconds since 1601-01-01 UTC. */
int64_t webkit_us(int64_t value);

#endif
