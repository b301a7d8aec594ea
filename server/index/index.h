/* server/index/index.h - derived, encrypted, rebuildable: search, conversation view, sightings and conflicts.
 *
 * ingest -> [index] -> api.  Packages are the truth; everything here can be deleted and rebuilt.
 * One writer thread, any number of reader threads (each reader call takes its own connection from a pool).
 * Files: <dir>/keys, hot-NNNNNN.db and period-YYYY-MM-NNNNNN.db (first month, number never used again) behind the encrypting VFS, a
 * key per file sealed under the master key.  Writer calls: open, close, add, skip, commit, maintain, remove; all others from any thread.
 */
#ifndef SERVER_INDEX_H
#define SERVER_INDEX_H

#include "kluis/record.h"

enum {
    INDEX_HOT_RECORDS_MAX = 250000,
    INDEX_PAGE_MAX = 200,  /* hits or messages of one page                 */
    INDEX_QUERY_MAX = 512, /* bytes of one query                           */
    INDEX_COUNT_CAP = 10001,
    INDEX_ROWS_MAX = 10000, /* rows of one package                          */
    INDEX_ORDINAL_MAX = (1 << 24) - 1
};

/* One record as the index keeps it.  Borrowed strings; absent ones have ptr NULL. */
struct index_row {
    uint64_t ordinal; /* in its package, from 1                        */
    enum kluis_kind kind;
    struct kluis_str id; /* platform id, or absent: derived               */
    uint32_t author;     /* index in the package's parties, KLUIS_NO_PARTY */
    int64_t sent_us;
    int16_t offset_min;
    uint8_t zone_assumed;
    struct kluis_str text, target, value, event, quote;
    struct kluis_str attachments; /* names, newline-separated                      */
    struct kluis_str loss;        /* tokens, space-separated                       */
    struct kluis_str options;     /* a poll's, a vote's chosen ones: newline-separated */
};
struct index_package {
    uint8_t id[32];
    uint64_t sequence; /* custody's order, dense from 1: the watermark counts these */
    struct kluis_str official, device;
    struct kluis_str platform, conversation_id, conversation_name;
    enum kluis_conversation_type conversation_type;
    enum kluis_precision precision;
    struct kluis_str provenance; /* one line for people: source, app, reader       */
    struct kluis_str verdict;    /* "valid" | "indeterminate"                      */
    int64_t received_us;
    const struct kluis_party *parties;
    uint32_t n_parties;
    uint32_t self;
    const struct index_row *rows;
    size_t n_rows;
};
/* Wire form between opener and keeper (hostile): wire frames, described in wire.c; encoder and decoder live together.
 * What is read lives in the arena, whatever becomes of `data`.  E_REJECT: malformed (not UTF-8, ordinals not rising, a kind,
 * party, time or verdict that cannot be; platform or conversation id absent).  The verdict may be absent: the keeper's to give. */
KLUIS_MUSTUSE kluis_status index_package_write(const struct index_package *p, struct kluis_buf *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status index_package_read(struct kluis_bytes data, struct kluis_arena *arena, struct index_package *out, struct kluis_err *err);

struct index;
/* Opens or creates.  E_CORRUPT: the caller deletes the directory and rebuilds. */
KLUIS_MUSTUSE kluis_status index_open(struct index **out, const char *dir, const uint8_t master_key[32], struct kluis_err *err);
void index_close(struct index *ix);
/* Highest custody sequence all of whose predecessors are durably indexed. */
uint64_t index_watermark(struct index *ix);
/* Adds packages in custody order; searchable when commit returned OK.  Adding one at or below the watermark is a no-op (E_EXISTS).
 * Copies what it keeps.  E_REJECT: a sequence that leaves a hole (packages destroyed meanwhile are skipped by index_skip), a
 * platform, conversation id, official or device that is absent.  After any other failure what was added since the last
 * commit is dropped: index_watermark says where to go on. */
KLUIS_MUSTUSE kluis_status index_add(struct index *ix, const struct index_package *p, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status index_skip(struct index *ix, uint64_t sequence, struct kluis_err *err); /* counts as added, holds nothing */
KLUIS_MUSTUSE kluis_status index_commit(struct index *ix, struct kluis_err *err);
/* Moves closed periods out of the hot file, some thousand records a call; *more says whether to call again soon.  Search results do not
 * change.  Commits what was added.  INDEX_HOT_RECORDS_MAX is where it begins in earnest, not a refusal: a bulk load may run first
 * and be moved when there is time.  Call it whenever the writer is idle, and every few commits of a long load. */
KLUIS_MUSTUSE kluis_status index_maintain(struct index *ix, bool *more, struct kluis_err *err);
bool index_crowded(struct index *ix); /* four times INDEX_HOT_RECORDS_MAX are in the hot file: maintain it, busy or not */
/* Erases a package's records: the files that hold them are rebuilt without them and their keys destroyed before this returns OK.
 * E_NOTFOUND.  Nothing may be added and uncommitted. */
KLUIS_MUSTUSE kluis_status index_remove(struct index *ix, const uint8_t package[32], struct kluis_err *err);
struct index_stats {
    uint64_t records, sightings, conflicts, packages, bytes;
};
KLUIS_MUSTUSE kluis_status index_statistics(struct index *ix, struct index_stats *out, struct kluis_err *err);
/* A digest of groups and sightings that does not depend on arrival order: equal for every permutation and rebuild. */
KLUIS_MUSTUSE kluis_status index_groups_digest(struct index *ix, uint8_t out[32], struct kluis_err *err);

struct index_sighting {
    uint8_t package[32];
    uint64_t ordinal;
    struct kluis_str official;
    int64_t sent_us;
    bool differs;
};
struct index_hit {
    uint64_t group;      /* stable within this index file set; never an identity outside it */
    struct kluis_str id; /* platform id or derived id                      */
    enum kluis_kind kind;
    struct kluis_str platform, conversation_id, conversation_name;
    enum kluis_conversation_type conversation_type;
    struct kluis_party author;
    bool has_author, by_official;
    int64_t sent_us;
    int16_t offset_min;
    bool zone_assumed;
    enum kluis_precision precision;
    struct kluis_str text, target, value, event, quote, attachments, loss, options;
    const uint32_t *marks;
    size_t n_marks; /* highlight: n_marks pairs of byte offsets (from, to) into text, rising */
    uint8_t package[32];
    uint64_t ordinal;
    struct kluis_str verdict, provenance; /* of the sighting shown */
    const struct index_sighting *sightings;
    size_t n_sightings;
    bool conflict;
};
struct index_sink {
    void *ctx;
    kluis_status (*hit)(void *ctx, const struct index_hit *h, struct kluis_err *err);
};
enum index_order { INDEX_NEWEST, INDEX_OLDEST, INDEX_RELEVANCE };
enum index_count { INDEX_COUNT_NONE, INDEX_COUNT_CAPPED, INDEX_COUNT_EXACT }; /* capped: at INDEX_COUNT_CAP, in under a millisecond */
struct index_query {
    struct kluis_str text;                             /* words, "phrases", prefix*, -not, OR; docs/handleiding  */
    struct kluis_str conversation, official, platform; /* exact, or absent                     */
    int64_t from_us, to_us;                            /* [from, to); KLUIS_TIME_ABSENT: open                    */
    enum index_order order;
    unsigned limit;          /* 1..INDEX_PAGE_MAX                                      */
    struct kluis_str cursor; /* from the previous page, or absent                       */
    enum index_count count;
};
struct index_result {
    uint64_t count;
    bool counted, capped;
    char next[128]; /* "" when at the end */
};
/* E_REJECT: a query that cannot be understood, with what and where.  Hits in order; nothing is shown twice over pages. */
KLUIS_MUSTUSE kluis_status index_search(struct index *ix, const struct index_query *q, const struct index_sink *sink, struct index_result *out,
                                        struct kluis_err *err);
/* The conversation around one record: `before` older and `after` newer ones, in time order, everything included (events, gaps). */
KLUIS_MUSTUSE kluis_status index_around(struct index *ix, const uint8_t package[32], uint64_t ordinal, unsigned before, unsigned after,
                                        const struct index_sink *sink, struct kluis_err *err);

#endif
