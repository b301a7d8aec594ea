/* agent/pack/internal.h - between collecting (slice.c), filling (fill.c) and freezing (freeze.c).  Never leaves this folder. */
#ifndef AGENT_PACK_INTERNAL_H
#define AGENT_PACK_INTERNAL_H

#include "agent/pack/pack.h"
#include "kluis/package.h"

enum { PACK_FILES_MAX = 8000, PACK_PARTS_MAX = 256, PACK_SMALL = 8 << 20 };

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

struct pack {
    struct pack_setup s;
    struct pack_counts counts;
    struct kluis_arena *header_arena;
    struct kluis_header header;
    int64_t conversation;
    struct slice slices[PACK_OPEN];
    uint64_t clock;
    int64_t last_month;
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
struct built {
    struct stock_package row;
    uint8_t *key;
}; /* key: secret memory, 32 bytes */

/* fill.c: attachments and records into an open writer.  E_LIMIT: too much for one package. */
KLUIS_MUSTUSE kluis_status fill_plan(struct fill *f, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status fill_write(struct fill *f, uint8_t root[32], struct kluis_err *err);
void fill_clear(struct fill *f);
uint64_t fill_records(const struct fill *f);
/* people.c: fills f->header and f->party from the conversation's header and the records.  And the lookup. */
KLUIS_MUSTUSE kluis_status people_narrow(struct fill *f, struct kluis_err *err);
uint32_t people_party(const struct fill *f, uint32_t party);
/* freeze.c: items [from, to) of a slice become packages, all of them committed together or none. */
KLUIS_MUSTUSE kluis_status pack_freeze(struct pack *p, struct slice *s, size_t from, size_t to, struct kluis_err *err);

#endif
