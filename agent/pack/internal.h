/* agent/pack/internal.h - between collecting (slice.c), filling (fill.c) and freezing (freeze.c).  Never leaves this folder. */
#ifndef AGENT_PACK_INTERNAL_H
#define AGENT_PACK_INTERNAL_H

#include "agent/pack/pack.h"
#include "kluis/package.h"

enum { PACK_FILES_MAX = 8000, PACK_PARTS_MAX = 256, PACK_SMALL = 8 << 20, PACK_GROUP = 16 /* packages committed together */ };

struct item {
    struct kluis_record *r;
    struct kluis_bytes raw;
    struct align_entry e;
};

/* Records of one conversation and month, with everything they point at, in one arena. */
struct slice {
    struct kluis_arena *arena;
    struct item *items;
    size_t n, cap;
    size_t n_files;
    uint64_t content; /* attachment bytes as far as the source states them */
    bool content_known;
    int64_t month;
    uint64_t used; /* clock: the least recently used month is closed first */
};

/* A package that is built: its ciphertext in packages/<id>.ckc.part, its row and journal entries still here. */
struct made {
    struct stock_package row; /* length 0: nothing was built yet */
    uint8_t *key;             /* secret memory, 32 bytes; owned  */
    int fd;                   /* of the ciphertext, written but not yet durable; -1: durable, or none */
    int64_t conversation;
    enum kluis_precision precision;
    struct align_entry *entries; /* owned */
    size_t n_entries;
};
struct group {
    struct made *list;
    size_t n;
};

struct pack {
    struct pack_setup s;
    struct pack_counts counts;
    struct kluis_arena *header_arena;
    struct kluis_header header;
    int64_t conversation;
    struct slice slices[PACK_OPEN];
    uint64_t clock;
    int64_t last_month;
    struct group group;
};

/* One attachment to fetch.  Several records may want the same one. */
struct want {
    struct kluis_str ref;
    struct kluis_attachment *file;
    size_t index;
};
/* What goes into one package, and its state while that is made. */
struct fill {
    struct pack *p;
    struct slice *slice;
    size_t from, to;                        /* items of the slice                                             */
    const struct kluis_attachment **before; /* the records' own attachments, put back by fill_clear  */
    struct want *wants;
    size_t n_wants;
    struct kluis_str *refs;
    bool *found, *bad;
    size_t n_refs;
    struct kluis_header header; /* the conversation's, with the people of this package                */
    uint32_t *party;            /* index in the conversation's table -> in the package's              */
    struct kluis_package_writer *writer;
    size_t failed;               /* refs index whose bytes could not be read, SIZE_MAX: none        */
    uint64_t part;               /* of a split attachment: which one, from 0                        */
    bool split, more;            /* split: attachments are cut at part_bytes; more: one went on after this part */
    struct kluis_arena *scratch; /* records of later parts                                         */
};

/* fill.c: attachments and records into an open writer.  E_LIMIT: too much for one package. */
KLUIS_MUSTUSE kluis_status fill_plan(struct fill *f, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status fill_write(struct fill *f, uint8_t root[32], struct kluis_err *err);
void fill_clear(struct fill *f);
uint64_t fill_records(const struct fill *f);
/* people.c: fills f->header and f->party from the conversation's header and the records.  And the lookup. */
KLUIS_MUSTUSE kluis_status people_narrow(struct fill *f, struct kluis_err *err);
uint32_t people_party(const struct fill *f, uint32_t party);
/* group.c.  made_open, made_written: around writing the ciphertext of m->row.id; made_drop: takes all of it back, keeps m's memory. */
KLUIS_MUSTUSE kluis_status made_open(const struct pack *p, struct made *m, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status made_written(const struct pack *p, struct made *m, struct kluis_err *err);
void made_drop(const struct pack *p, struct made *m);
/* Takes over the n packages of one slice, which are then committed together or not at all.  After an error they are still the caller's. */
KLUIS_MUSTUSE kluis_status group_add(struct pack *p, struct made *m, size_t n, const struct item *items, size_t n_items, struct kluis_err *err);
/* Makes all of the group durable, named and committed.  After an error nothing of it is there, and the group is empty. */
KLUIS_MUSTUSE kluis_status group_commit(struct pack *p, struct kluis_err *err);
void group_drop(struct pack *p);
/* What the database will say once the group is committed: the next number of the device; packages of the conversation beyond those noted. */
KLUIS_MUSTUSE kluis_status group_next_number(struct pack *p, uint64_t *sequence, uint8_t previous[32], struct kluis_err *err);
unsigned group_parts(const struct pack *p);
/* freeze.c: items [from, to) of a slice become packages of the group, all of them or none. */
KLUIS_MUSTUSE kluis_status pack_freeze(struct pack *p, struct slice *s, size_t from, size_t to, struct kluis_err *err);

#endif
