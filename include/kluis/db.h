/* kluis/db.h - SQLite as this project uses it: opened one way, statements checked one way, errors told one way.
 *
 * Target kluis_db.  A handle belongs to one thread at a time.  WAL; synchronous=FULL unless asked otherwise: what commit
 * returned OK for is on disk.  Not used by the verifier, nor by record, package, seal, envelope, ledger, validation.
 */
#ifndef KLUIS_DB_H
#define KLUIS_DB_H

#include "kluis/base.h"

struct kluis_db;
struct sqlite3;
struct sqlite3_stmt;

enum kluis_db_sync { KLUIS_DB_FULL, KLUIS_DB_NORMAL };
/* Opens or creates (0600).  `schema` holds n scripts: script i brings user_version from i to i+1; each runs in its own
 * transaction.  A database newer than n is E_CORRUPT ("made by a newer version").  E_IO, E_BUSY, E_CORRUPT, E_NOMEM. */
KLUIS_MUSTUSE kluis_status kluis_db_open(struct kluis_db **out, const char *path, enum kluis_db_sync sync, const char *const *schema, size_t n,
                                         struct kluis_err *err);
/* The same handle over a connection opened elsewhere (another VFS, other pragmas), which it owns from now on, also on failure. */
KLUIS_MUSTUSE kluis_status kluis_db_adopt(struct kluis_db **out, struct sqlite3 *connection, struct kluis_err *err);
void kluis_db_free(struct kluis_db *db); /* rolls back what is open; NULL: no-op */
KLUIS_DEFINE_CLEANUP(kluis_db)
/* How many handles were freed in this process: while it stays the same, every statement of kluis_db_query is the one that it was. */
uint64_t kluis_db_freed(void);
struct sqlite3 *kluis_db_handle(struct kluis_db *db);
/* The status of an SQLite result code: FULL and IOERR are E_IO, BUSY E_BUSY, NOMEM E_NOMEM, CORRUPT/NOTADB E_CORRUPT, CONSTRAINT E_EXISTS. */
kluis_status kluis_db_status(int sqlite_rc);
/* That status as an error; but CORRUPT of a database or log that the device once refused to read (EIO, ENXIO) is E_IO: SQLite cannot tell the two
 * apart. */
KLUIS_MUSTUSE kluis_status kluis_db_fail(struct kluis_db *db, int sqlite_rc, const char *what, struct kluis_err *err);

KLUIS_MUSTUSE kluis_status kluis_db_exec(struct kluis_db *db, const char *sql, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_db_begin(struct kluis_db *db, struct kluis_err *err); /* IMMEDIATE */
/* On failure rolls back.  Tells kluis_durable_step(step); step NULL (KLUIS_DB_NORMAL): whoever syncs the log later tells it. */
KLUIS_MUSTUSE kluis_status kluis_db_commit(struct kluis_db *db, const char *step, struct kluis_err *err);
/* Needs no memory; what the disk keeps from being rolled back is so before the next begin. */
void kluis_db_rollback(struct kluis_db *db);
/* A consistent copy of the whole database as it stands now, at `path`, which must not exist: one file, 0600, compact, on disk with its name when
 * this returns OK.  Readers and writers of other connections go on meanwhile.  Not inside a transaction.  After a failure the file is gone. */
KLUIS_MUSTUSE kluis_status kluis_db_copy_out(struct kluis_db *db, const char *path, struct kluis_err *err);
/* Opens a copy that nobody writes to, read-only, without a byte beside it changing (immutable). */
KLUIS_MUSTUSE kluis_status kluis_db_open_copy(struct kluis_db **out, const char *path, struct kluis_err *err);

/* A prepared statement from the handle's cache (sql must be a string literal: its address is the key), reset and with the
 * arguments bound: 'i' int64_t, 's' const char * (NULL: null), 't' struct kluis_str, 'b' struct kluis_bytes (ptr NULL: null),
 * 'h' const uint8_t * of 32 bytes, 'n' null.  Text and blobs must live until the statement is done. */
KLUIS_MUSTUSE kluis_status kluis_db_query(struct kluis_db *db, struct sqlite3_stmt **out, struct kluis_err *err, const char *sql, const char *types,
                                          ...);
/* KLUIS_OK: a row; KLUIS_END: done, statement reset; else error, statement reset. */
KLUIS_MUSTUSE kluis_status kluis_db_step(struct kluis_db *db, struct sqlite3_stmt *st, struct kluis_err *err);
void kluis_db_done(struct sqlite3_stmt *st); /* resets a statement left before its end */
/* Runs a statement without rows. *changes may be NULL. */
KLUIS_MUSTUSE kluis_status kluis_db_run(struct kluis_db *db, int64_t *changes, struct kluis_err *err, const char *sql, const char *types, ...);

/* Columns, valid until the next step.  NULL columns give 0, absent, {NULL,0}. */
int64_t kluis_db_int(struct sqlite3_stmt *st, int column);
struct kluis_str kluis_db_text(struct sqlite3_stmt *st, int column);
struct kluis_bytes kluis_db_blob(struct sqlite3_stmt *st, int column);
bool kluis_db_fixed(struct sqlite3_stmt *st, int column, void *out, size_t n);  /* false: other size */
bool kluis_db_copy(struct sqlite3_stmt *st, int column, char *out, size_t cap); /* false: does not fit */
/* Ends a query whose step gave rc: of the row that OK stands for, the first column is appended to out.  Else rc. */
KLUIS_MUSTUSE kluis_status kluis_db_take(struct sqlite3_stmt *st, kluis_status rc, struct kluis_buf *out, struct kluis_err *err);

#endif
