/* server/index/internal.h - what the files of this stage share.  Never leaves the folder.
 *
 * wire | keys -> store (files, connections) -> group, regroup (who is one message) -> add, period (moving, erasing)
 * token -> query, rank -> search, hit; map: for add, group and erase
 */
#ifndef SERVER_INDEX_INTERNAL_H
#define SERVER_INDEX_INTERNAL_H

#include "server/index/index.h"
#include "kluis/db.h"
#include "kluis/vfs.h"

#include <pthread.h>

struct sqlite3;
struct sqlite3_stmt;

bool index_time_ok(int64_t us);

/* ---- keys.c: one random key per file, all sealed under the master key in <dir>/keys ------------- */
enum { IKEYS_MAX = 1000, IKEYS_NAME = 48 };
struct ikeys;
/* E_NOTFOUND: no key file.  E_CORRUPT: damaged, or another master key. */
KLUIS_MUSTUSE kluis_status ikeys_open(struct ikeys **out, const char *dir, const uint8_t master[32], bool create, struct kluis_err *err);
void ikeys_free(struct ikeys *k);
/* Each of these is on disk when it returns OK.  add gives a file a new key; drop forgets (unknown names are fine). */
KLUIS_MUSTUSE kluis_status ikeys_add(struct ikeys *k, const char *name, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status ikeys_drop(struct ikeys *k, const char *name, struct kluis_err *err);
/* Which file is the hot one now; the former one's key dies in the same write. */
KLUIS_MUSTUSE kluis_status ikeys_switch_hot(struct ikeys *k, const char *name, struct kluis_err *err);
void ikeys_hot(struct ikeys *k, char name[IKEYS_NAME]);
bool ikeys_find(struct ikeys *k, const char *name, size_t len, uint8_t key[32]);
size_t ikeys_list(struct ikeys *k, char (*names)[IKEYS_NAME], size_t max);

/* ---- token.c: words of a text, and FTS5's tokenizer "kluis" ---------------------------------------- */
typedef int itoken_fn(void *ctx, const char *word, int n, int start, int end); /* not 0: stop, and return that */
int itoken_each(const char *text, size_t n, void *ctx, itoken_fn *fn);
int itoken_register(struct sqlite3 *db); /* an SQLite result code */

/* ---- rank.c: order by relevance ----------------------------------------------------------------------- */
enum { INORMS_MAX = 64 << 20 }; /* lengths of closed periods that are kept, a byte a record; those of further ones are read again for each search */
/* How many words a record has (its text and its side: what it is found by), in a byte: exact below 128, else at most an eighth too few; 255: 7.8
 * million or more. */
uint8_t inorm_code(uint32_t words);
uint32_t inorm_words(uint8_t code);
uint8_t inorm_of(struct kluis_str text, struct kluis_str side);
struct inorms {
    int64_t file, first;
    uint8_t *words; /* of rows from `first` on, as inorm_code gives them; 0 for records that lead no group */
    size_t n;
    bool lent; /* to this search alone */
};
struct iperiod;
/* Those of a period: good until inorms_done, which the caller owes, while ix->life is held. */
KLUIS_MUSTUSE kluis_status inorms_take(struct index *ix, struct kluis_db *unit, const struct iperiod *p, struct inorms *out, struct kluis_err *err);
void inorms_done(struct inorms *n);
void inorms_drop(struct index *ix, int64_t file); /* a period that is gone; nobody may be searching */
void inorms_free(struct index *ix);
/* Parameter `at` of a statement is kluis_rank's second argument: lengths of the rows it will see.  They must live until the statement is done. */
KLUIS_MUSTUSE kluis_status irank_bind(struct sqlite3_stmt *q, int at, const struct inorms *n, struct kluis_err *err);
/* Parameter `at` is kluis_each's second argument: asked of the first row of a question that is one word or phrase, it calls fn for every row, oldest
 * number first, until fn says true, and is 1; NULL where the question is more than that.  Of SQLite's way from row to row, three quarters of the time
 * of looking at a row, nothing is left.  It must live until the statement is done. */
struct ieach {
    bool (*fn)(void *ctx, int64_t row);
    void *ctx;
};
KLUIS_MUSTUSE kluis_status ieach_bind(struct sqlite3_stmt *q, int at, const struct ieach *each, struct kluis_err *err);
struct fts5_api;
int irank_register(struct fts5_api *api); /* functions kluis_rank and kluis_each; an SQLite result code */

/* ---- query.c ---------------------------------------------------------------------------------------- */
enum { IPHRASES = 32, IPHRASE_WORDS = 32, IMARKS_MAX = 256 };
struct iphrase {
    struct kluis_arena *arena;
    struct kluis_str words[IPHRASE_WORDS];
    size_t n;
    bool prefix;
};
struct iquery {
    struct iphrase phrases[IPHRASES];
    size_t n_phrases;
}; /* what is wanted, for marks */
/* Appends an FTS5 expression over the columns text, side and meta.  `everything`: an expression that every record matches. */
KLUIS_MUSTUSE kluis_status iquery_parse(struct kluis_str text, const char *everything, struct kluis_arena *arena, struct kluis_buf *fts,
                                        struct iquery *out, struct kluis_err *err);
/* Pairs of byte offsets into text; returns how many pairs. */
size_t iquery_marks(const struct iquery *q, struct kluis_str text, uint32_t out[2 * IMARKS_MAX]);

/* ---- store.c: files, connections, what is in memory ------------------------------------------------- */
enum {
    IREADERS_MAX = 16,
    IPERIODS_MAX = 900,
    ICOLD = 1,
    IBITS_OWN = 1 << 5,
    IBITS_CONFLICT = 1 << 6,
    IBITS_SEVERAL = 1 << 8,
    IBITS_TEXT = 1 << 9,
    IBITS_EXTRA = 1 << 10
};
/* rec.bits: kind 0-3, zone assumed 4, by the official 5, conflict 6, time absent 7, has company 8, text 9, extra 10, offset + 1440 from 12, author +
 * 1 from 24.  Company: of a group's first; where it is not set the record is alone.  Once set it stays, also when the others went.  Text, extra: in a
 * period file only, it is byte for byte that of the group's first and stands there only; who reads such a column of a record that may not be a first
 * one asks for IREC_TEXT and IREC_EXTRA of `rec r`. */
#define IREC_TEXT "CASE WHEN r.bits&512 THEN (SELECT l.text FROM rec l WHERE l.id=r.lead) ELSE r.text END"
_Static_assert(IBITS_TEXT == 512 && IBITS_EXTRA == 1024, "IREC_TEXT and IREC_EXTRA name them");
#define IREC_EXTRA "CASE WHEN r.bits&1024 THEN (SELECT l.extra FROM rec l WHERE l.id=r.lead) ELSE r.extra END"

/* The order of records everywhere: time, then package id and ordinal (39 bits of the one, 24 of the other). */
struct ikey {
    int64_t at, tie;
};
static inline int ikey_cmp(struct ikey a, struct ikey b)
{
    if (a.at != b.at) { return a.at < b.at ? -1 : 1; }
    return a.tie < b.tie ? -1 : a.tie > b.tie;
}
int64_t itie(const uint8_t package[32], uint64_t ordinal);

/* One closed period: an immutable file whose records' groups begin in [from, to). */
struct iperiod {
    int64_t file;
    char name[IKEYS_NAME];
    int64_t from, to, rows, shadows;
    int64_t low, high; /* oldest and newest time in it; sightings may lie outside [from, to) */
};
struct icatalog {
    int64_t version;
    size_t n;
    struct iperiod *list;
}; /* oldest first */
/* Hot rows that a period file has by now: hidden until they are taken out.  Blocks of IGONE_ROWS bits from block `first` on; n: how many bits. */
enum { IGONE_ROWS = 4096 };
struct igone {
    int64_t first, n;
    size_t blocks;
    uint8_t *bits;
};

struct ipackages;
/* A connection to the hot file and, as needed, to period files; one thread at a time. */
struct iconn {
    struct kluis_db *hot;
    struct ipackages *packages;  /* made when needed */
    struct kluis_arena *scratch; /* for one hit at a time; made when needed */
    struct kluis_arena *page;    /* for one search */
    uint32_t marks[2 * IMARKS_MAX];
    uint64_t epoch;      /* of the hot file it has open */
    size_t cache, parts; /* bytes of pages that its period files may keep together; into how many parts that is divided now */
    struct icatalog catalog;
    struct igone gone; /* as of the catalogue's version */
    struct {
        int64_t file;
        struct kluis_db *db;
    } * open;
    size_t n_open, cap_open;
};

/* ---- package.c: what a record's package says */
struct ipackage {
    int64_t no, official_no, device, platform_no, conv, link, self;
    enum kluis_conversation_type type;
    enum kluis_precision precision;
    uint8_t id[32];
    struct kluis_str official, platform, conv_id, conv_name, provenance, verdict;
    struct kluis_bytes parties;
    char *bytes; /* all of the above points into it */
};
/* Valid until the next call on this connection.  E_CORRUPT: no such package. */
KLUIS_MUSTUSE kluis_status ipackage_of(struct iconn *c, int64_t no, const struct ipackage **out, struct kluis_err *err);
void ipackage_forget(struct iconn *c); /* when a number may mean another package */

/* Keys of the hot rows by row number, so that a search need not fetch every hit to know its time. */
enum { IBLOCK = 256 };
struct ihot {
    pthread_rwlock_t lock;
    int64_t base, live; /* live: rows that are there and not hidden; the others have INT64_MIN for a time */
    struct ikey *keys;
    uint8_t *norms; /* see rank.c; 0 of a row that is hidden or gone */
    int64_t *newest;
    size_t n, cap;
}; /* newest[i]: greatest `at` in blocks 0..i */

struct ipending {
    struct ikey key;
    int64_t row;
    size_t text, text_len, side, side_len;
    int64_t conv;
    int32_t official, platform;
    uint8_t norm;
    bool leader, several, settled;
};
struct idirty {
    int64_t row;
    bool had;
    char *meta;
};
struct imap {
    struct {
        int64_t key;
        size_t value;
    } * slot;
    size_t n, cap;
};                                                               /* row numbers, none of them 0, to a place */
bool imap_get(const struct imap *m, int64_t key, size_t *value); /* value may be NULL */
KLUIS_MUSTUSE kluis_status imap_put(struct imap *m, int64_t key, size_t value, struct kluis_err *err);
void imap_clear(struct imap *m);
/* Where to look for a record's likes. */
struct irow {
    int64_t file, row, conv, at, idkey;
    uint32_t hash;
    bool has_id;
};
struct ibatch { /* what the open transaction has not given to FTS5 yet */
    bool open;
    int64_t first; /* row of pending[0]; rows before it are in FTS5 as `dirty` says */
    struct ipending *pending;
    size_t n, cap;
    struct idirty *dirty;
    size_t n_dirty, cap_dirty;
    struct imap dirty_at;
    int64_t package_row;          /* first row of the package that is being added; 0: none */
    bool erasing;                 /* then: */
    struct imap settled, lengthy; /* hot rows whose group is right already; ids of more sightings than are told apart */
    struct imap mixed;            /* links within which there are records with an id and messages without */
    struct irow *near;            /* where such messages must be looked at again: hash and time */
    size_t n_near, cap_near;
    bool nearing;          /* then: */
    struct imap near_done; /* rows whose group is right already */
    struct imap pulled;    /* rows of periods that came to the hot file, to where */
    struct kluis_buf text;
    int64_t next_row, sequence, sightings, groups, conflicts;
};

struct index {
    char dir[KLUIS_PATH_MAX];
    struct ikeys *keys;
    struct kluis_vfs *vfs;
    struct iconn w; /* the writer's */
    struct ibatch b;
    struct ihot hot;
    struct imove *move;    /* period files being made */
    int64_t taken;         /* hidden hot rows before this one are taken out */
    int64_t move_min;      /* closed records that are worth a rebuild */
    int64_t target_rows;   /* records of one period file, about */
    pthread_rwlock_t life; /* searching: shared; erasing: alone */
    pthread_mutex_t lock;  /* what follows */
    pthread_cond_t free_reader;
    struct iconn *readers[IREADERS_MAX];
    size_t n_readers, n_made, share; /* share: bytes of pages of each reader */
    uint64_t epoch;
    int64_t watermark, next_file;
    struct inorms *norms; /* of periods, as far as they were asked for */
    size_t n_norms, norms_bytes, norms_max;
};

/* A new file with its tables.  A period file is left in the one transaction that fills it. */
KLUIS_MUSTUSE kluis_status istore_create(struct index *ix, const char *name, bool hot, struct kluis_db **out, struct kluis_err *err);
/* Pages in the clear that connections keep: ceilings of all of a kind together, however many files and readers there are.  A period file that is
 * being made has ICACHE_OUTPUT, one at a time. */
enum {
    ICACHE_WRITER = 64 << 20,  /* its hot file */
    ICACHE_PERIODS = 32 << 20, /* its period files */
    ICACHE_READERS = 96 << 20, /* all readers: a quarter of each one's share for the hot file, the rest for its period files */
    ICACHE_COPIER = 16 << 20,  /* the hot file of which a snapshot is moved, for each of two threads; the old period file a quarter of that again */
    ICACHE_OUTPUT = 16 << 20
};
enum iconn_kind { ICONN_WRITER, ICONN_READER, ICONN_PERIOD, ICONN_COPIER };
KLUIS_MUSTUSE kluis_status istore_connect(struct index *ix, const char *name, enum iconn_kind kind, struct kluis_db **out, struct kluis_err *err);
int64_t istore_number(struct index *ix); /* for a file's name; never used again while this process lives */
/* Commits, closes and fsyncs a period file that was created, so that it may be named in the catalogue. */
KLUIS_MUSTUSE kluis_status istore_finish(struct index *ix, const char *name, struct kluis_db **db, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status istore_delete(struct index *ix, const char *name, struct kluis_err *err); /* the file and its key */
KLUIS_MUSTUSE kluis_status istore_meta(struct kluis_db *hot, const char *key, int64_t *value, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status istore_set(struct kluis_db *hot, const char *key, int64_t value, struct kluis_err *err);
/* Brings the catalogue of a connection up to its snapshot, closing files that are in it no longer. */
KLUIS_MUSTUSE kluis_status istore_catalog(struct iconn *c, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status istore_period(struct index *ix, struct iconn *c, const struct iperiod *p, struct kluis_db **out, struct kluis_err *err);
void istore_close(struct iconn *c);
void istore_drop(struct iconn *c, int64_t file); /* closes one period file */
bool igone(const struct iconn *c, int64_t row);
/* Shadowed by a hot row, or (file 0) in a period file by now. */
KLUIS_MUSTUSE kluis_status ihidden(struct iconn *c, int64_t file, int64_t row, bool *hidden, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status istore_reader(struct index *ix, struct iconn **out, struct kluis_err *err);
/* One more for somebody who has one already: never waits.  NULL, when all are in use or it cannot be had: go on with one. */
struct iconn *istore_second(struct index *ix);
void istore_return(struct index *ix, struct iconn *c);
KLUIS_MUSTUSE kluis_status ihot_load(struct index *ix, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status ihot_append(struct ihot *h, const struct ikey *keys, const uint8_t *norms, size_t n, int64_t first, struct kluis_err *err);
void ihot_cut(struct ihot *h, int64_t next); /* forgets rows from `next` on */
struct imove;
void ihot_hide(struct ihot *h, struct imove *mv); /* rows that were moved; nobody may be searching */
void ihot_forget(struct ihot *h, int64_t row);    /* a row that was erased */
void ihot_trim(struct ihot *h);                   /* lets go of what is hidden or gone before the first live row */
int64_t ihot_live(struct ihot *h);
int64_t ihot_next(struct ihot *h, int64_t row); /* first live row from `row` on; 0: none */
/* How many live rows older than `closed` fall into each period; count[n]: after the last. */
void ihot_count(struct ihot *h, const struct icatalog *cat, int64_t closed, size_t *count);
int64_t imonth_start(int64_t us, int months_on);
void index_tune(struct index *ix, int64_t move_min, int64_t target_rows); /* for tests */

/* ---- extra.c, batch.c, group.c ---------------------------------------------------------------------------------- */
enum { IEXTRA_ID, IEXTRA_TARGET, IEXTRA_VALUE, IEXTRA_EVENT, IEXTRA_QUOTE, IEXTRA_ATTACHMENTS, IEXTRA_LOSS, IEXTRA_OPTIONS, IEXTRAS };
void iextra_write(struct kluis_buf *b, const struct kluis_str s[IEXTRAS]);
bool iextra_read(struct kluis_bytes blob, struct kluis_str s[IEXTRAS]);
void iside_write(struct kluis_buf *b, const struct kluis_str s[IEXTRAS]); /* what FTS5 gets of them */
void iparties_write(struct kluis_buf *b, const struct index_package *p);
bool iparty_read(struct kluis_bytes blob, uint32_t i, struct kluis_party *out);
/* Who somebody is, for comparing: the number in a WhatsApp id, else the platform's id, else the number, else the name; '+…', 'i…', 'n…'. */
void iidentity(struct kluis_buf *b, const struct kluis_party *p);
/* The meta column of a record that stands alone: its package's conversation, official and platform, "c1 o2 p1". */
void imeta_alone(struct kluis_buf *out, int64_t conv, int64_t official, int64_t platform);
/* The meta column of a record's group: "c1 c2 o1 o2 p1". */
KLUIS_MUSTUSE kluis_status imeta_of(struct iconn *c, struct kluis_db *unit, int64_t leader, struct kluis_buf *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status ifts_refill(struct iconn *c, struct kluis_err *err); /* FTS5 of the hot file anew, from its rows */
/* Takes a hot row out of FTS5.  meta: what it was entered with, NULL: what its group says now. */
KLUIS_MUSTUSE kluis_status ifts_remove(struct iconn *c, int64_t row, const char *meta, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status ibatch_begin(struct index *ix, struct kluis_err *err);
void ibatch_rollback(struct index *ix);
KLUIS_MUSTUSE kluis_status ibatch_fts(struct index *ix, struct kluis_err *err); /* gives FTS5 what is pending */
/* A new hot row's text for FTS5. */
KLUIS_MUSTUSE kluis_status ibatch_pend(struct index *ix, const struct ipending *p, struct kluis_str text, struct kluis_str side, struct ikey key,
                                       struct kluis_err *err);
/* What FTS5 has of an older hot row, kept once before its group changes.  _add takes meta over when OK. */
struct idirty *idirty_of(struct ibatch *b, int64_t row);
KLUIS_MUSTUSE kluis_status idirty_add(struct ibatch *b, const struct idirty *d, struct kluis_err *err);
struct ipending *ipending_of(struct index *ix, int64_t row); /* NULL: FTS5 has it already */
/* Whether a new hot row has nobody whom it could meet, within a link that has records with an id or messages without, not both: nothing to settle. */
KLUIS_MUSTUSE kluis_status igroup_alone(struct index *ix, const struct irow *row, bool *alone, struct kluis_err *err);
/* Makes the groups around a record what the rule says; `row` gone meanwhile is fine.  `pull`: brings them all into the hot file. */
KLUIS_MUSTUSE kluis_status igroup_settle(struct index *ix, const struct irow *row, bool pull, struct kluis_err *err);
/* Settling records with an id notes where messages without one may have to join or leave them, as does _note; _near settles those. */
KLUIS_MUSTUSE kluis_status igroup_note(struct index *ix, uint32_t hash, int64_t at, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status igroup_near(struct index *ix, struct kluis_err *err);
uint32_t ihash(const char *p, size_t n, uint32_t seed);
/* The bytes by which two records are the same message; author: identity, or empty. */
struct isame {
    enum kluis_kind kind;
    struct kluis_str author, text, target, value, event, options;
};
void isame_write(struct kluis_buf *b, const struct isame *s, bool exact);
void inormal_write(struct kluis_buf *b, struct kluis_str s); /* as phones agree on it: spaces and unseen marks aside */

/* ---- period.c: closed periods, whose rows are in the order of their keys ------------------------------- */
KLUIS_MUSTUSE kluis_status iperiod_key(struct kluis_db *unit, int64_t row, struct ikey *key, struct kluis_err *err);
/* First row whose key is not below `key`; rows + 1 when there is none. */
KLUIS_MUSTUSE kluis_status iperiod_bound(struct kluis_db *unit, const struct iperiod *p, struct ikey key, int64_t *out, struct kluis_err *err);
/* A package's record among rows [from, to).  END: not there. */
KLUIS_MUSTUSE kluis_status iperiod_find(struct kluis_db *unit, int64_t conv, int64_t pkg, int64_t tie, int64_t from, int64_t to, int64_t *row,
                                        struct kluis_err *err);

/* ---- move.c: copying closed months into period files ---------------------------------------------------- */
enum { IOUTPUTS = 64 };
struct ientry {
    struct ikey key;
    int64_t file, row, lead, lead_at, new_row;
    int out;
    uint8_t norm;
    bool several;
};
struct ioutput {
    struct iperiod period;
    struct ientry *list; /* its rows, in order */
    struct kluis_db *db;
};
struct imove {
    struct iconn c, second; /* the threads', until they are joined; everything below but `changed` and the lock's too.  Of one snapshot; the second is
                             * there where several files may be made */
    struct ientry *list;
    size_t n, cap;
    size_t *by_source; /* positions in list, by file and row */
    struct ioutput out[IOUTPUTS];
    int n_out;
    struct iperiod old;
    bool has_old, in_use;
    int64_t from, to, target_rows;
    struct imap changed_hot, changed_old; /* rows whose group changed since the snapshot: the writer's */
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t changed;
    bool cancel, done;
    int next; /* the output that nobody makes yet */
    kluis_status rc;
    struct kluis_err err;
};
/* Begins with [from, to) and, when given, what is in a file.  Nothing may be added and uncommitted. */
KLUIS_MUSTUSE kluis_status imove_start(struct index *ix, const struct iperiod *old, int64_t from, int64_t to, struct kluis_err *err);
bool imove_wait(struct index *ix, int64_t us);                                                                /* true: it is through */
KLUIS_MUSTUSE kluis_status imove_changed(struct index *ix, int64_t file, int64_t row, struct kluis_err *err); /* a record's group changes */
struct ientry *imove_entry(struct imove *mv, int64_t file, int64_t row);                                      /* NULL: not moved */
void imove_free(struct index *ix); /* stops and forgets it, with its files unless they are in use */

/* ---- swap.c ---------------------------------------------------------------------------------------------- */
KLUIS_MUSTUSE kluis_status imove_clean(struct index *ix, struct kluis_err *err); /* removes files that the catalogue does not name */
/* A new hot file and key; the former's are destroyed.  erased: nothing is left to erase, says so in the new file.  No row may be hidden. */
KLUIS_MUSTUSE kluis_status irebuild_hot(struct index *ix, bool erased, struct kluis_err *err);

/* ---- hit.c ------------------------------------------------------------------------------------------- */
/* A record as it is shown. */
struct irecord {
    int64_t pkg, tie, at, bits, lead, conv, idkey;
    bool has_id;
    struct kluis_str extra[IEXTRAS], text;
};
#define IRECORD_NUMBERS "r.at, r.tie, r.pkg, r.bits, r.lead, r.conv, r.idkey, "
#define IRECORD_COLUMNS IRECORD_NUMBERS IREC_TEXT ", " IREC_EXTRA
#define IRECORD_FIRST IRECORD_NUMBERS "r.text, r.extra" /* of a record that leads its group */
/* Reads these columns, the first of which is number `at`, in place: borrowed from the statement until its next step. */
KLUIS_MUSTUSE kluis_status irecord_read(struct sqlite3_stmt *q, int at, struct irecord *r, struct kluis_err *err);
/* The same with what it points at copied into the arena.  *out NULL: too large to be kept, or no room. */
KLUIS_MUSTUSE kluis_status irecord_keep(struct sqlite3_stmt *q, int at, struct kluis_arena *a, const struct irecord **out, struct kluis_err *err);
/* One record of a file and everything shown with it, handed on.  r: as read before, or NULL. */
KLUIS_MUSTUSE kluis_status ihit_emit(struct index *ix, struct iconn *c, struct kluis_db *unit, int64_t row, const struct irecord *r,
                                     const struct iquery *query, const struct index_sink *sink, struct kluis_err *err);

#endif
