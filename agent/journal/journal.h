/* agent/journal/journal.h - never a record twice.   source -> select -> [journal] -> pack
 *
 * Reads a source twice: once to judge all of it (nothing of a source that breaks off halfway is stored) and to fingerprint its
 * records; once more to hand over what is new.  Fingerprints are 64-bit SipHash under a key derived from the home key: the
 * journal holds no text, no name and no id.  Conversations are known by source kind and conversation id, so that the same chat
 * exported to another file is the same chat.  Memory does not grow with the source.  One thread.
 */
#ifndef AGENT_JOURNAL_H
#define AGENT_JOURNAL_H

#include "agent/journal/align.h"
#include "agent/journal/home.h"
#include "agent/source/source.h"

/* Where new records go.  A conversation's records come between begin and end, in the source's order. */
struct journal_out {
    void *ctx;
    kluis_status (*begin)(void *ctx, const struct kluis_header *h, int64_t conversation, struct kluis_err *err);
    kluis_status (*record)(void *ctx, const struct kluis_record *r, struct kluis_bytes raw, const struct align_entry *entry, struct kluis_err *err);
    kluis_status (*end)(void *ctx, struct kluis_err *err);
};
/* Reads the source once from its start; called twice, must give the same. */
struct journal_reader {
    void *ctx;
    kluis_status (*read)(void *ctx, const struct source_sink *sink, struct kluis_err *err);
};

struct journal_counts {
    uint64_t records, fresh, conversations;
    uint64_t changed; /* conversations that differed between the two readings: left for the next run */
};
/* skipped (may be NULL) hears of what the source passed over, once.  Errors: the source's, the sink's, E_IO, E_NOMEM; what `out`
 * committed until then stays. */
KLUIS_MUSTUSE kluis_status journal_read(struct home *h, const char *kind, const struct journal_reader *reader, const struct journal_out *out,
                                        const struct source_sink *skipped, struct journal_counts *counts, struct kluis_err *err);

/* Notes that these entries are taken, by this package: inside the caller's transaction, with the package's own row. */
KLUIS_MUSTUSE kluis_status journal_take(struct home *h, int64_t conversation, const uint8_t package[32], const struct align_entry *entries, size_t n,
                                        enum kluis_precision precision, struct kluis_err *err);
/* The 1-based number of the next slice of a conversation. */
KLUIS_MUSTUSE kluis_status journal_part(struct home *h, int64_t conversation, unsigned *part, struct kluis_err *err);

/* Fingerprint of one record. */
void journal_entry(const struct home *h, const struct kluis_header *header, const struct kluis_record *r, struct align_entry *out);
uint64_t journal_siphash(const uint8_t key[16], const void *p, size_t n); /* SipHash-2-4 */

#endif
