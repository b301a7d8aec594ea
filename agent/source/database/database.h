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

/* ---- batch.c: many small rows into a table of our own -------------------------------------------------------
 * Rows of integers are kept (65,536; 2 MiB), then put in together, sorted, several with one statement: each page of the table is written once a
 * time, and a small cache will do for it.  one, many: literals, "INSERT OR IGNORE INTO t(a, b) VALUES(?,?)" and the same with DATABASE_BATCH_ROWS of
 * them; columns in the order of the table's key. */
enum { DATABASE_BATCH_COLUMNS = 4, DATABASE_BATCH_ROWS = 16 };
#define DATABASE_BATCH_FOUR(row) row "," row "," row "," row
#define DATABASE_BATCH_MANY(row) DATABASE_BATCH_FOUR(DATABASE_BATCH_FOUR(row))
struct database_batch;
KLUIS_MUSTUSE kluis_status database_batch_new(struct database_batch **out, struct kluis_db *db, size_t columns, const char *one, const char *many,
                                              struct kluis_err *err); /* *out NULL: E_NOMEM */
KLUIS_MUSTUSE kluis_status database_batch_add(struct database_batch *b, const int64_t row[DATABASE_BATCH_COLUMNS], struct kluis_err *err);
KLUIS_MUSTUSE kluis_status database_batch_put(struct database_batch *b, struct kluis_err *err); /* what is kept; to be called at the end */
void database_batch_free(struct database_batch *b);                                             /* NULL: no-op; what is kept goes */

/* Divides the cache of both: messages stand in db in the order of arrival and are asked for chat by chat, so most is theirs (16 MiB of 20). */
KLUIS_MUSTUSE kluis_status database_by_order(struct kluis_db *db, struct kluis_db *work, struct kluis_err *err);

/* Was this text told of `of` before?  true: it was.  false: perhaps not (it remembers the last ones, of 52 bytes at most).  56 KiB. */
struct database_seen;
struct database_seen *database_seen_new(void); /* NULL: no memory */
bool database_seen(struct database_seen *s, int64_t of, struct kluis_str text);
void database_seen_free(struct database_seen *s);

/* Counts texts of 1 to 256 bytes that mostly repeat: with one statement each time another comes.  sql: a literal that adds ?2 to the count of ?1.
 * text absent: what is left, to be called at the end. */
struct database_tally {
    const char *sql;
    int64_t n;
    size_t len;
    char text[256];
};
KLUIS_MUSTUSE kluis_status database_tally(struct database_tally *t, struct kluis_db *db, struct kluis_str text, struct kluis_err *err);

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
