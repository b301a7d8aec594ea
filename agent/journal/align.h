/* agent/journal/align.h - which records of a new reading were taken before?  Pure computation over fingerprints.
 *
 * A reading is compared with what is stored in windows of ALIGN_WINDOW records, each against the stored entries around its own
 * times: memory is bounded whatever the length of either, and so is work: a window looks once at each stored entry of its time and then sorts
 * what could match, however many lines are equal.  Matching is one to one (equal lines of a minute count by ordinal)
 * and takes the most it can:
 *   - an export that starts later, misses lines or brings lines in between changes nothing for the others;
 *   - times may differ by one second, or by the coarser precision of the two;
 *   - where the source does not state its zone, a run of a whole window's records shifted by the same number of quarter hours is
 *     the same run, read on a phone in another zone;
 *   - an author unknown before who "says again" what another said is that other, renamed in the contact list.
 * One thread.
 */
#ifndef AGENT_ALIGN_H
#define AGENT_ALIGN_H

#include "kluis/base.h"

enum { ALIGN_WINDOW = 4096, ALIGN_ENTRY_WIRE = 24, ALIGN_CHUNK_MAX = 10000 };

struct align_entry {
    int64_t t;     /* sent, seconds                                                            */
    uint64_t fp;   /* keyed: text and kind; with a platform id: the id                         */
    uint32_t tag;  /* keyed: author; with a platform id: the content                           */
    uint16_t hint; /* keyed: attachment names; chooses between equals, never refuses           */
    uint8_t level; /* attachments that came with bytes: a stored entry with fewer is not enough */
    bool has_id;
    uint8_t kind; /* enum kluis_kind plus one; 0: taken before it was noted */
    bool own;     /* the journal's own statement: no record of any source */
    bool edited;  /* a record without an id that the source marks as edited, without what it was */
    bool known;   /* of a reading: taken before.  Never stored */
    /* With this record the journal says something of an earlier one, entry `at` of chunk `span`.  Never on the wire. */
    struct align_mark {
        int64_t span;
        uint32_t at;
        uint8_t says; /* enum journal_mark; 0: nothing */
    } mark;
};
void align_put(uint8_t out[ALIGN_ENTRY_WIRE], const struct align_entry *e);
void align_get(const uint8_t in[ALIGN_ENTRY_WIRE], struct align_entry *e);

/* What is stored, in chunks of at most ALIGN_CHUNK_MAX entries. */
struct align_span {
    int64_t id, first, last;
    uint32_t n;
    int precision;
}; /* precision: enum kluis_precision */
struct align_store {
    void *ctx;
    const struct align_span *spans;
    size_t n_spans; /* borrowed while the aligner lives */
    kluis_status (*load)(void *ctx, int64_t id, uint32_t n, struct align_entry *out, struct kluis_err *err);
    const uint32_t *tags;
    size_t n_tags; /* authors seen before, sorted */
};

struct aligner;
/* precision: of the new reading.  may_shift: its zone is only assumed. */
KLUIS_MUSTUSE kluis_status align_new(struct aligner **out, const struct align_store *store, int precision, bool may_shift, struct kluis_err *err);
/* First sweep, only where align_wants_authors: look at every window once, to learn renamed authors. */
bool align_is_new_author(const struct aligner *a, uint32_t tag);
KLUIS_MUSTUSE kluis_status align_learn(struct aligner *a, const struct align_entry *e, size_t n, struct kluis_err *err);
void align_learned(struct aligner *a);
/* Second sweep: windows in order, n <= ALIGN_WINDOW; known[i]: taken before. */
KLUIS_MUSTUSE kluis_status align_match(struct aligner *a, const struct align_entry *e, size_t n, bool *known, struct kluis_err *err);
/* The tag under which an author is remembered (itself, or the one renamed from). */
uint32_t align_author(const struct aligner *a, uint32_t tag);
/* Entries looked at and comparisons made so far: what a test can count. */
uint64_t align_steps(const struct aligner *a);
/* After the last window: how many of a span's entries the reading has, whether it has this one, and whether any of it was read in another zone. */
uint32_t align_count(const struct aligner *a, size_t span);
bool align_has(const struct aligner *a, size_t span, uint32_t at);
bool align_shifted(const struct aligner *a);
/* How far two times of the same record may differ, in seconds: one, or a minute where only one of the two is to the minute. */
int32_t align_tolerance(int precision, int other);
void align_free(struct aligner *a); /* NULL: no-op */

#endif
