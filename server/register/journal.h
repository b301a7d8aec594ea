/* server/register/journal.h - what people decided, as a list of entries that can be done again elsewhere (PROTOCOL.md §8).  Stays in this folder.
 *
 * An entry stands in the transaction of its decision and says all of it.  chain: SHA-256("chatkluis-register-v1\0" || chain before (zeros for the
 * first) || entry), so that two journals with the same chain at the same length are the same.
 */
#ifndef SERVER_REGISTER_JOURNAL_H
#define SERVER_REGISTER_JOURNAL_H

#include "kluis/db.h"
#include "server/register/register.h"

/* In the caller's transaction, all of them. */
KLUIS_MUSTUSE kluis_status journal_official(struct kluis_db *db, const struct reg_official *o, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status journal_device(struct kluis_db *db, const uint8_t code_id[16], const struct reg_device *d, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status journal_suspension(struct kluis_db *db, const char *id, const char *reason, int64_t at_us, struct kluis_err *err);

/* Chain after `entries` entries.  E_NOTFOUND: there are fewer. */
KLUIS_MUSTUSE kluis_status journal_mark(struct kluis_db *db, uint64_t entries, struct reg_journal_mark *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status journal_length(struct kluis_db *db, uint64_t *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status journal_get(struct kluis_db *db, uint64_t number, struct kluis_buf *entry, struct kluis_err *err); /* E_NOTFOUND */

/* Puts `entry` at the end. */
KLUIS_MUSTUSE kluis_status journal_append(struct kluis_db *db, struct kluis_bytes entry, struct kluis_err *err);
/* Takes every entry above `common` off the end; they go into `tail`, one wire field each. */
KLUIS_MUSTUSE kluis_status journal_cut(struct kluis_db *db, uint64_t common, struct kluis_buf *tail, struct kluis_err *err);
/* Does what an entry says, as far as it was not done.  *what: for the audit trail, "" when nothing changed.  E_CORRUPT: no entry of ours. */
enum { JOURNAL_WHAT = 160 };
KLUIS_MUSTUSE kluis_status journal_redo(struct kluis_db *db, struct kluis_bytes entry, char what[JOURNAL_WHAT], struct kluis_err *err);

#endif
