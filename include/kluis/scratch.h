/* kluis/scratch.h - private files of one run: nameless, encrypted, gone with the process.
 *
 * Target kluis_db.  A scratch file is unlinked before its first byte and holds ciphertext only: blocks of 4,096 bytes, each sealed with
 * AES-256-GCM (a nonce that never repeats under the key, the block's number as associated data) under a random key that exists in locked memory
 * alone.  Whatever ends the process, nothing readable is left.  They lie in $TMPDIR, else /var/tmp.  Memory: one block and one buffer
 * of 256 KiB each while it is written.  A scratch belongs to one thread at a time.
 */
#ifndef KLUIS_SCRATCH_H
#define KLUIS_SCRATCH_H

#include "kluis/base.h"
#include "kluis/db.h"

struct kluis_scratch;
/* E_IO: no folder to write in, or no room; E_NOMEM. */
KLUIS_MUSTUSE kluis_status kluis_scratch_new(struct kluis_scratch **out, struct kluis_err *err);
void kluis_scratch_free(struct kluis_scratch *s); /* NULL: no-op */
KLUIS_DEFINE_CLEANUP(kluis_scratch)
/* Writes anywhere; a hole reads as zeros.  E_IO: disk full or failed. */
KLUIS_MUSTUSE kluis_status kluis_scratch_write(struct kluis_scratch *s, const void *p, size_t n, uint64_t at, struct kluis_err *err);
/* Reads up to n bytes; *got < n only at the end.  E_IO; E_CORRUPT: a block does not open. */
KLUIS_MUSTUSE kluis_status kluis_scratch_read(struct kluis_scratch *s, void *p, size_t n, uint64_t at, size_t *got, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_scratch_truncate(struct kluis_scratch *s, uint64_t size, struct kluis_err *err);
uint64_t kluis_scratch_size(const struct kluis_scratch *s);
/* Writes at the end. */
struct kluis_output kluis_scratch_output(struct kluis_scratch *s);

/* Opens SQLite over a database in `file`, with its write-ahead log (may be NULL or empty) or its hot rollback journal (likewise), which SQLite
 * then applies or rolls back in the scratch files.  Takes all three, also on failure.  The connection is for reading (query_only); what it
 * sorts and keeps aside goes to further scratch files; its cache holds 8 MiB; the schema is not trusted, functions and views in it
 * do not run with side effects.  Of a file that was cut, and of a schema that does not read as a whole, what is there can be read: the rest is
 * E_CORRUPT where it is asked for.  E_CORRUPT: not a database, or its head is damaged; E_IO; E_NOMEM. */
KLUIS_MUSTUSE kluis_status kluis_scratch_sqlite(struct kluis_db **out, struct kluis_scratch *file, struct kluis_scratch *log,
                                                struct kluis_scratch *journal, struct kluis_err *err);
/* An empty database in a scratch file, to sort and to keep things in while a source is read.  E_IO, E_NOMEM. */
KLUIS_MUSTUSE kluis_status kluis_scratch_work(struct kluis_db **out, struct kluis_err *err);
/* Closes such a connection and frees its files. NULL: no-op. */
void kluis_scratch_sqlite_close(struct kluis_db *db);

#endif
