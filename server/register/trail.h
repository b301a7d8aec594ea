/* server/register/trail.h - the audit trail's files: one hash chain, on disk before whoever waits for an entry goes on.
 *
 * <vault>/audit/NNNNNN.log, from 000001: segments of TRAIL_SEGMENT bytes each, written with zeros and synced before they are used, so
 * that an entry is an overwrite of blocks that exist and one fdatasync without a change of the file system.  Entries that wait at the same
 * time share it.  `spare`: the next segment, made in the background when half of this one is used.
 *
 * Segment: wire fields label "chatkluis-audit-segment-v1", its number, number of its first entry, hash before that, greatest `due` before that,
 * SHA-256 of the fields so far; zeros up to TRAIL_HEAD.  Then entries: u32 length, wire fields, hash[32]; a length of 0 or the end of the
 * file ends it.  Fields: label "chatkluis-audit-v2", seq, due, time, actor, action, purpose, detail; or v1 (no due), as register.db
 * had them before.  hash = SHA-256(label || field(hash before) || other fields).  Integers are big-endian.
 *
 * What a stop of the machine left half written was never waited for with success: when the trail is opened it is set aside (audit/cut-SEQ), cleared
 * and said so in an entry "audit.cut".  Damage that cannot be that is left as it is, the trail goes on behind it with an entry
 * "audit.damaged", and trail_walk names the entry for ever.
 */
#ifndef SERVER_REGISTER_TRAIL_H
#define SERVER_REGISTER_TRAIL_H

#include "kluis/base.h"

enum { TRAIL_SEGMENT = 1 << 20, TRAIL_HEAD = 256, TRAIL_ENTRY_MAX = 64 << 10, TRAIL_BATCH = 64 << 10 };

struct trail_entry {
    uint64_t seq;     /* given by the trail; dense from 1 */
    uint64_t due;     /* number of a decision that is recorded by this entry; 0: none.  Rising over the trail */
    int64_t time_us;  /* 0: now */
    bool moved;       /* an entry of register.db's former table: hash is given, not made */
    uint8_t hash[32]; /* out, unless moved */
    struct kluis_str actor, action, purpose, detail;
};
/* An entry that is known to be on disk, noted elsewhere: what cannot be found in the trail below it was taken away.  seq 0: none. */
struct trail_mark {
    uint64_t seq;
    uint8_t hash[32];
};

struct trail;
/* known: as noted last.  noting (may be NULL) is called now and then, from a thread of its own, with an entry worth noting. */
KLUIS_MUSTUSE kluis_status trail_open(struct trail **out, const char *vault_dir, const struct trail_mark *known,
                                      void (*noting)(void *ctx, const struct trail_mark *mark), void *ctx, struct kluis_err *err);
void trail_free(struct trail *t); /* nobody may be waiting */
KLUIS_DEFINE_CLEANUP(trail)
/* Appends n entries, in order.  Thread-safe; OK: all on disk.  E_LIMIT: one is longer than TRAIL_ENTRY_MAX.  E_IO: none or some first ones are in,
 * none may be acted upon; the trail stands as before those that failed and may be tried again (after space was made). */
KLUIS_MUSTUSE kluis_status trail_add(struct trail *t, struct trail_entry *entries, size_t n, struct kluis_err *err);
/* The same for one entry, in two steps: begin sets it on its way, by a thread of the trail's own, while the caller does what must not be seen
 * before the entry is on disk; end waits until it is, and gives what trail_add would.  Each begin must be followed by its end; until then
 * ticket, entry and what it points at stay where they are. */
struct trail_ticket {
    struct trail_entry *entry;
    struct trail_ticket *next;
    kluis_status rc;
    bool done;
    struct kluis_err err;
};
void trail_begin(struct trail *t, struct trail_ticket *w, struct trail_entry *entry);
KLUIS_MUSTUSE kluis_status trail_end(struct trail *t, struct trail_ticket *w, struct kluis_err *err);
void trail_head(struct trail *t, struct trail_mark *last); /* the last entry on disk */
uint64_t trail_due(struct trail *t);                       /* greatest due on disk   */
/* Reads from the files every entry that was on disk when the call began, verifies form, chain, segments and `known`, and gives those that are
 * good to each (may be NULL).  E_CORRUPT: *entries are good, the next is changed, moved, cut off or missing: the message names it. */
KLUIS_MUSTUSE kluis_status trail_walk(struct trail *t, const struct trail_mark *known, void *ctx,
                                      kluis_status (*each)(void *ctx, const struct trail_entry *e, struct kluis_err *err), uint64_t *entries,
                                      struct kluis_err *err);
/* Copies the trail, up to at least the entry that was last when the call began, into `dir`, which must not exist; on disk when it returns OK.
 * Whoever adds meanwhile waits for the copy of the newest segment alone. */
KLUIS_MUSTUSE kluis_status trail_copy(struct trail *t, const char *dir, struct kluis_err *err);
/* Removes every file of a trail: only before entries are moved to it again after an interrupted attempt. */
KLUIS_MUSTUSE kluis_status trail_remove(const char *vault_dir, struct kluis_err *err);

#endif
