/* server/register/register.h - what people decided: officials, enrolment codes, devices, the audit trail.
 *
 * register.db and audit/, in the vault.  Small, backed up together, never derivable.  One writer: the vault process (or a command that holds
 * the home lock while no vault runs).  synchronous=FULL: what returned OK is on disk.  Thread-safe: one caller at a time inside; a callback
 * may call back.
 */
#ifndef SERVER_REGISTER_H
#define SERVER_REGISTER_H

#include "kluis/base.h"
#include "server/register/trail.h"

struct reg;
KLUIS_MUSTUSE kluis_status reg_open(struct reg **out, const char *vault_dir, struct kluis_err *err);
void reg_free(struct reg *r);
KLUIS_DEFINE_CLEANUP(reg)

struct reg_official {
    char id[64];
    char name[256];
    char function[64];
    char from[11], to[11];
    int grace_days; /* -1: regime's */
};
KLUIS_MUSTUSE kluis_status reg_official_add(struct reg *r, const struct reg_official *o, struct kluis_err *err);             /* E_EXISTS, E_REJECT */
KLUIS_MUSTUSE kluis_status reg_official_get(struct reg *r, const char *id, struct reg_official *out, struct kluis_err *err); /* E_NOTFOUND */
KLUIS_MUSTUSE kluis_status reg_officials(struct reg *r, void *ctx,
                                         kluis_status (*each)(void *ctx, const struct reg_official *o, struct kluis_err *err), struct kluis_err *err);

/* Enrolment codes: the secret is kept only while it can be used; one use; 24 hours. */
enum { REG_CODE_SECONDS = 86400 };
KLUIS_MUSTUSE kluis_status reg_code_add(struct reg *r, const char *official, const uint8_t id[16], const uint8_t secret[16], int64_t expires_us,
                                        struct kluis_err *err);
/* E_NOTFOUND unknown, E_REJECT expired or used.  Does not consume. */
KLUIS_MUSTUSE kluis_status reg_code_find(struct reg *r, const uint8_t id[16], int64_t now_us, char official[64], uint8_t secret[16],
                                         struct kluis_err *err);

/* The reply that was made when this code was used (appended to `reply`), so that the same request gets the same answer until the
 * code expires. E_NOTFOUND. */
KLUIS_MUSTUSE kluis_status reg_code_reply(struct reg *r, const uint8_t id[16], struct kluis_buf *reply, struct kluis_err *err);

enum reg_device_state { REG_DEVICE_ACTIVE = 1, REG_DEVICE_SUSPENDED = 2 };
struct reg_device {
    char id[33];
    char official[64];
    enum reg_device_state state;
    uint8_t identity[33];                /* Signal identity */
    struct kluis_bytes cert, login_spki; /* borrowed */
    int64_t enrolled_us;
    int64_t suspended_us; /* 0: never */
};
/* Consumes the code, adds the device and its audit entry (official and device by id) in one transaction; E_REJECT when the code was used meanwhile.
 */
KLUIS_MUSTUSE kluis_status reg_enrol(struct reg *r, const uint8_t code_id[16], const struct reg_device *d, struct kluis_bytes reply,
                                     struct kluis_err *err);
/* cert and login_spki live in the arena. */
KLUIS_MUSTUSE kluis_status reg_device_get(struct reg *r, const char *id, struct kluis_arena *arena, struct reg_device *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status reg_devices(struct reg *r, struct kluis_arena *arena, void *ctx,
                                       kluis_status (*each)(void *ctx, const struct reg_device *d, struct kluis_err *err), struct kluis_err *err);
/* With an audit entry, the first time; a device that is suspended already stays as it is.  Since now, but never before it was enrolled or
 * not_before_us (KLUIS_TIME_ABSENT: no such moment): what it delivered by then stays good, whatever the clock says. */
KLUIS_MUSTUSE kluis_status reg_device_suspend(struct reg *r, const char *id, const char *reason, int64_t not_before_us, struct kluis_err *err);

/* ---- the journal: every decision above in its order (codes that nobody used are none), to be kept in a second place and done again from there.
 * Entries are numbered from 1; the chain tells two journals apart. ---- */
enum { REG_JOURNAL_ENTRY_MAX = 16 << 10, REG_JOURNAL_TAIL_MAX = 512 << 20 };
struct reg_journal_mark {
    uint64_t entries;
    uint8_t chain[32]; /* zeros when there is no entry */
};
KLUIS_MUSTUSE kluis_status reg_journal_length(struct reg *r, uint64_t *entries, struct kluis_err *err);
/* How the journal stood after so many entries; E_NOTFOUND: it has fewer. */
KLUIS_MUSTUSE kluis_status reg_journal_mark(struct reg *r, uint64_t entries, struct reg_journal_mark *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status reg_journal_get(struct reg *r, uint64_t number, struct kluis_buf *entry, struct kluis_err *err); /* E_NOTFOUND */
/* Another copy of this journal has n entries after the first `common` that this one has not: they are put there and done, each that changes something
 * with an audit entry, and what this one had after `common` follows behind them; in one transaction.  E_CORRUPT: one is no entry; nothing changed. */
KLUIS_MUSTUSE kluis_status reg_journal_join(struct reg *r, uint64_t common, const struct kluis_bytes *entry, size_t n, struct kluis_err *err);

/* Audit: who did what, for which purpose, when; hash-chained; never content.  On disk when it returns OK; E_IO fails the action that it records.
 * What the functions above decide they record themselves, in the same transaction. */
KLUIS_MUSTUSE kluis_status reg_audit(struct reg *r, const char *actor, const char *action, const char *purpose, const char *detail,
                                     struct kluis_err *err);
/* The same in two steps, for an action that costs time and whose outcome stays in the caller's memory until end has returned OK.  Each begin must be
 * followed by its end; until then note and strings stay where they are. */
struct reg_note {
    struct trail_entry entry;
    struct trail_ticket ticket;
};
void reg_audit_begin(struct reg *r, struct reg_note *note, const char *actor, const char *action, const char *purpose, const char *detail);
KLUIS_MUSTUSE kluis_status reg_audit_end(struct reg *r, struct reg_note *note, struct kluis_err *err);
struct reg_audit_entry {
    uint64_t seq; /* from 1 */
    int64_t time_us;
    struct kluis_str actor, action, purpose, detail; /* borrowed for the call */
    uint8_t hash[32];
};
/* Walks the chain as it stands now, verifying: good entries go to each (NULL: to nobody).  E_CORRUPT: *entries are good, and the message
 * names the first that is changed, moved, cut off or missing. */
KLUIS_MUSTUSE kluis_status reg_audit_each(struct reg *r, void *ctx,
                                          kluis_status (*each)(void *ctx, const struct reg_audit_entry *e, struct kluis_err *err), uint64_t *entries,
                                          struct kluis_err *err);
/* register.db and audit/ as they stand together now, into the folder `dir`, which holds neither; on disk when it returns OK.  Decisions wait
 * meanwhile, searches hardly. */
KLUIS_MUSTUSE kluis_status reg_copy(struct reg *r, const char *dir, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status reg_audit_check(struct reg *r, uint64_t *entries, struct kluis_err *err);

#endif
