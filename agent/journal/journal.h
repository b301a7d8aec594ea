/* agent/journal/journal.h - never a record twice, and never silently gone.   source -> select -> [journal] -> pack
 *
 * Reads a source twice: once to judge all of it (nothing of a source that breaks off halfway is stored) and to fingerprint its
 * records; once more to hand over what is new.  Fingerprints are 64-bit SipHash under a key derived from the home key: the
 * journal holds no text, no name and no id.  Conversations are known by source kind and conversation id, so that the same chat
 * exported to another file is the same chat.  What a conversation is called stands in a box under the home key.  Memory does not grow with
 * the source.  One thread.
 *
 * Two things are said that no source says, because the journal alone can compare (docs/FORMAT.md §3.5, docs/SOURCES.md):
 *   - a record that was archived from a source and is not in it any more gives one event "no-longer-in-source"; one that came back gives one event
 *     "in-source-again".  Each is said once of a record, whatever follows, and committed together with the note that it was said.
 *   - a line that its source marks as edited, and whose original is known beyond doubt, becomes an edit that points at it.
 * Absence is said only of a reading that was whole: nothing refused, nothing damaged, nothing that changed meanwhile, under the same options and by
 * the same version as when the record was taken (or, since, was found again with everything beside it), and in which something that was taken
 * before was found again.  Of a kind that gives a window (SOURCE_WINDOW), only of what lies within the times of the conversation as read.
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

/* Whose reading it is. */
struct journal_origin {
    int64_t source;        /* its id in this home                                                */
    uint64_t settings;     /* journal_settings of its options                                    */
    bool whole;            /* the kind reads all there is (SOURCE_WHOLE)                         */
    int64_t due_before_us; /* records sent at or after it are held back; INT64_MAX: none are     */
    int64_t now_us;        /* the time of this pass, at which something is found to be gone      */
};
/* A fingerprint of the options as typed, and of this program's version: another set, or another reader, may read something else. */
uint64_t journal_settings(const struct home *h, struct kluis_bytes typed);

#define JOURNAL_NO_ORIGINAL "original-unknown" /* the loss of a record that is marked as edited, without what it was */
enum { JOURNAL_SAID_MAX = 1 << 16 };           /* statements of one pass; what is beyond waits for the next pass     */
/* What was said of an archived record.  SILENT: it is explained (edited, or another form of it was read), so nothing ever is. */
enum journal_mark { JOURNAL_GONE = 1, JOURNAL_BACK = 2, JOURNAL_EDITED = 4, JOURNAL_SILENT = 8 };

struct journal_counts {
    uint64_t records, fresh, conversations;
    uint64_t gone, back; /* records of which the journal says so now */
    uint64_t paired;     /* edits whose original was found           */
    uint64_t changed;    /* conversations that differed between the two readings: left for the next run */
};
/* skipped (may be NULL) hears of what the source passed over, once.  origin NULL: nothing is said of what is gone.  A third reading looks for what
 * seems to be gone under other ids, only when something does.  Errors: the source's, the sink's, E_IO, E_NOMEM; what `out` committed until then
 * stays. */
KLUIS_MUSTUSE kluis_status journal_read(struct home *h, const char *kind, const struct journal_origin *origin, const struct journal_reader *reader,
                                        const struct journal_out *out, const struct source_sink *skipped, struct journal_counts *counts,
                                        struct kluis_err *err);

/* Notes that these entries are taken, by this package, and what they say of earlier ones: inside the caller's transaction, with the package's
 * own row.  Entry i is the package's record i+1. */
struct journal_taken {
    int64_t conversation;
    const uint8_t *package; /* 32 bytes */
    const struct align_entry *entries;
    size_t n;
    enum kluis_precision precision;
    const struct journal_origin *origin; /* NULL: not to be followed */
};
KLUIS_MUSTUSE kluis_status journal_take(struct home *h, const struct journal_taken *t, struct kluis_err *err);
/* The 1-based number of the next slice of a conversation. */
KLUIS_MUSTUSE kluis_status journal_part(struct home *h, int64_t conversation, unsigned *part, struct kluis_err *err);

/* Fingerprint of a record's kind and platform id, as in its entry. */
uint64_t journal_identity(const struct home *h, enum kluis_kind kind, struct kluis_str id);
/* Fingerprint of one record. */
void journal_entry(const struct home *h, const struct kluis_header *header, const struct kluis_record *r, struct align_entry *out);
uint64_t journal_siphash(const uint8_t key[16], const void *p, size_t n); /* SipHash-2-4 */

#endif
