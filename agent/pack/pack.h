/* agent/pack/pack.h - new records become frozen, encrypted packages.   journal -> [pack] -> (stock) -> courier
 *
 * A slice is one conversation x one calendar month, cut at 10,000 records, 2 GiB of content, 16 MiB of records in memory, and at
 * the end of a run.  Up to PACK_OPEN months of a conversation are collected side by side, because sources are not always in order
 * of time.  A package exists when its row is committed: ciphertext, journal entries, number and key in one step, for a group of up to
 * 16 slices of one conversation at a time.
 *
 * The package writer needs a file to write to.  Small packages are made in memory (memfd); larger ones in a file without a name
 * (O_TMPFILE) in the home folder: a killed run leaves nothing that can be opened.  What blocks of a disk hold after that is said in
 * docs/THREATS.md.  One thread.
 */
#ifndef AGENT_PACK_H
#define AGENT_PACK_H

#include "agent/journal/journal.h"
#include "agent/journal/stock.h"
#include "kluis/seal.h"

enum { PACK_OPEN = 3, PACK_TEXT_MAX = 16 << 20, PACK_MEMORY_MAX = 24 << 20 };
#define PACK_CONTENT_MAX ((uint64_t)1 << 31)
#define PACK_PART_BYTES ((uint64_t)512 << 20) /* larger attachments are split into parts of this */

/* Who this device is, as enrolment left it. */
struct pack_identity {
    char device[64];
    struct kluis_key *key;
    struct kluis_buf certificate; /* device certificate, DER */
    struct kluis_buf chain;       /* device CA certificate, DER */
    struct kluis_arena *arena;
    struct kluis_trust trust; /* in the arena */
};
KLUIS_MUSTUSE kluis_status pack_identity_load(struct home *h, struct pack_identity *out, struct kluis_err *err); /* E_NOTFOUND: not enrolled */
void pack_identity_clear(struct pack_identity *id);

struct pack_counts {
    uint64_t packages, records, bytes, missing_attachments, untimed;
};
struct pack;
struct pack_setup {
    struct home *home;
    const struct pack_identity *identity;
    const struct source_kind *kind;
    const struct source_request *request;
    const struct journal_origin *origin; /* whose records these are; NULL: what goes from there later is not followed */
    uint64_t part_bytes;                 /* larger attachments are split; 0: PACK_PART_BYTES */
    /* Gets a time-stamp response for a DER request within 5 s, once; NULL or an error: the package stays B-B. */
    kluis_status (*time_stamp)(void *ctx, struct kluis_bytes request, struct kluis_buf *response, struct kluis_err *err);
    void *time_ctx;
    /* Told of every frozen package; may be NULL. */
    void (*frozen)(void *ctx, const struct stock_package *p);
    void *frozen_ctx;
};
KLUIS_MUSTUSE kluis_status pack_new(struct pack **out, const struct pack_setup *setup, struct kluis_err *err);
struct journal_out pack_sink(struct pack *p);
/* Commits what was built so far; also after a reading that failed or was stopped: complete packages are not lost with it. */
KLUIS_MUSTUSE kluis_status pack_settle(struct pack *p, struct kluis_err *err);
/* Sums what this pack made.  Open slices of a reading that failed are dropped with the pack. */
struct pack_counts pack_counted(const struct pack *p);
void pack_free(struct pack *p); /* NULL: no-op */

#endif
