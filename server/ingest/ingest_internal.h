/* server/ingest/ingest_internal.h - what the stages of ingest share.  Stays in this folder. */
#ifndef SERVER_INGEST_INTERNAL_H
#define SERVER_INGEST_INTERNAL_H

#include <stdatomic.h>

#include "server/ingest/ingest.h"
#include "server/ingest/link.h"
#include "server/ingest/opener.h"
#include "server/ingest/sessions.h"
#include "server/log.h"

enum {
    WORKERS = 2,
    T2_RECORDS = 10000,
    T2_WAIT_US = 250000,        /* a group is committed at the first of both          */
    INDEX_WAIT_US = 700000,     /* a batch is committed at the first of both, and at once when nothing more is on its way */
    RECEIPT_STILL_US = 5000000, /* a receipt waits for an index that stands still */
    RECEIPT_LONG_US = 30000000, /* ... and so long, twice that at most, for one that is far behind */
    HELD_MAX = 128 << 20,       /* bytes of opened packages between worker and index  */
    HELD_PACKAGES = 96,         /* and how many                                       */
    RUN_MAX = 8,                /* deliveries that a worker takes at once, and one judge sees */
    RUN_BYTES = 16 << 20,       /* ... or this much opened, whichever comes first     */
    TRIES = 3,                  /* of local trouble with one package before others have their turn */
    STAGES = 4,
    AGAIN_US = 1000000, /* a stage in trouble pauses so long; where memory or disk are short twice as long each time, */
    AGAIN_DOUBLED = 3   /* ... so many times: 8 s at most */
};

/* What became of a delivery: made by a worker, committed by the committer, indexed by the feeder. */
struct decided {
    struct custody_delivery d;
    struct custody_package p; /* when accepted                                            */
    bool settled, accepted;   /* decided; how                                             */
    char layer[32], reason[KLUIS_ERR_MSG];
    struct kluis_buf statement; /* the sealed refusal                                       */
    struct kluis_arena *arena;  /* holds what follows                                       */
    struct index_package rows;
    struct kluis_bytes manifest, signature; /* for the judge                                */
    int64_t enrolled_us;                    /* the device was: nothing of it is judged as of a moment before */
    struct decided *next;
};

struct trouble {
    const char *stage;
    unsigned times; /* in a row; 0: none */
    char why[KLUIS_ERR_MSG];
};

struct ingest {
    struct ingest_config c;
    struct sessions *sessions;
    struct kluis_bytes device_ca; /* the anchor of device signatures                          */
    atomic_bool stop;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* anything below changed                                   */
    bool joined;            /* the mirror was asked: deliveries may be decided    */
    uint64_t cursor;        /* inbox rows up to here were given to a worker             */
    uint64_t retry[HELD_PACKAGES];
    size_t n_retry;                     /* ... and these came back undecided              */
    unsigned at_work;                   /* deliveries with a worker                                 */
    bool inbox_more;                    /* intake may have added rows                               */
    struct decided *ready, **ready_end; /* for the committer                                        */
    uint64_t ready_records;
    int64_t ready_since;
    struct decided *feed, **feed_end; /* for the feeder: accepted, committed, rising sequence     */
    uint64_t handed;                  /* ... up to here it was given them, or has to open them again */
    uint64_t held_bytes, held_packages;
    bool answers;    /* outbox rows wait                                         */
    bool packages;   /* the feeder has something to look at                      */
    bool republish;  /* prekeys were used                                        */
    int64_t list_us; /* intake alone: when the revocation list was made; 0: not yet     */
    struct walls_told gate_walls, authority_walls;
    char no_stamp[KLUIS_ERR_MSG];  /* why the newest checkpoint has none; "" */
    int64_t clock_from, clock_to;  /* this vault's own certificates hold between: another time is a wrong clock's */
    atomic_bool clock_wrong;       /* and was told                                       */
    pthread_mutex_t journal_lock;  /* while the next two are brought up to date, which the gate takes part in */
    atomic_bool journal_known;     /* the gate was asked                                */
    atomic_ullong journal_at_gate; /* entries of the register's journal that it has     */
    char halted[KLUIS_ERR_MSG + 64];
    struct trouble trouble[STAGES];
    pthread_t thread[WORKERS + 3];
    size_t threads;
};

void decided_free(struct decided *d);
bool ingest_stopping(struct ingest *in);
bool ingest_room(const struct ingest *in); /* for another opened package before the index; the lock is held */
/* Waits until something changed, at most us; the lock is held. */
void ingest_wait(struct ingest *in, int64_t us);
void ingest_wake(struct ingest *in); /* takes the lock itself */
/* While the clock says a time at which this vault cannot be at work, nothing is taken, decided or answered: it waits for the right one. */
bool ingest_clock_right(struct ingest *in);
/* Our own data is damaged or a bug showed: everything stops, loudly. */
void ingest_halt(struct ingest *in, const char *stage, const struct kluis_err *err);
/* Logs; halts on E_CORRUPT and E_BUG; else it is told by ingest_troubled and pauses for a moment, which the caller tries again after.  stage: a
 * constant. */
void ingest_trouble(struct ingest *in, const char *stage, const struct kluis_err *err);
void ingest_well(struct ingest *in, const char *stage); /* it came through: its trouble is over */
/* Tries until there is one; NULL: stopping, or halted because none can be made. */
struct link *ingest_link(struct ingest *in, const char *stage);

void *intake_main(void *arg);
void *worker_main(void *arg);
void *committer_main(void *arg);
void *feeder_main(void *arg);

/* bundle.c: the prekey bundle at the gate is fresh and has one-time prekeys left. */
KLUIS_MUSTUSE kluis_status bundle_keep(struct ingest *in, struct link *l, bool at_start, struct kluis_err *err);
/* mirror.c: before anything is appended, the gate's mirror is held against the ledger.  A vault that was set back takes the leaves that it lacks from
 * there, so that the log never forks, and forgets its sessions; where the mirror was lost too the log begins anew.  E_CORRUPT: the two are of
 * different trees; E_BUSY: the gate is away. */
KLUIS_MUSTUSE kluis_status ingest_join(struct ingest *in, struct link *l, struct kluis_err *err);
/* journal.c: the register's journal at the gate and ours become one: what only the gate has is done again here, what only we have goes there.
 * E_CORRUPT: the gate has entries that are not this vault's; E_BUSY: the gate is away. */
KLUIS_MUSTUSE kluis_status journal_join(struct ingest *in, struct link *l, struct kluis_err *err);
/* ... and what was decided since goes there.  OK: all of it is on the gate's disk. */
KLUIS_MUSTUSE kluis_status journal_push(struct ingest *in, struct link *l, struct kluis_err *err);
/* tell.c: one answer of a kind about 1 to KLUIS_ANSWER_PACKAGES_MAX packages of a device, in the caller's transaction. */
KLUIS_MUSTUSE kluis_status ingest_answer_many(struct ingest *in, const char *device, uint32_t kind, const uint8_t *packages, size_t n,
                                              struct kluis_err *err);
/* ... and to every device which of its packages a completed backup has come to hold since the last call. */
KLUIS_MUSTUSE kluis_status ingest_tell_backups(struct ingest *in, struct kluis_err *err);
/* ... and to one that says what it holds: in the caller's transaction, what of that the vault lacks (resend), what a backup has, and last how the log
 * stands. */
bool ingest_are_holdings(struct kluis_bytes plain);
KLUIS_MUSTUSE kluis_status ingest_answer_holdings(struct ingest *in, const char *device, const char *official, struct kluis_bytes holdings,
                                                  struct kluis_err *err);
/* returns.c: a package of an earlier enrolment, brought back by the device in d->device, which is `official`'s.  Becomes d's device, via and signer;
 * or *refusal says why it is not taken: this vault never took it, or from somebody else. */
KLUIS_MUSTUSE kluis_status ingest_returned(struct ingest *in, const struct kluis_delivery *del, const char *official, struct custody_delivery *d,
                                           const char **refusal, struct kluis_err *err);
/* revocation.c: the device CA's list stands in dir, a day old at most; `at_once` after a suspension. */
KLUIS_MUSTUSE kluis_status revocation_keep(struct ingest *in, bool at_once, struct kluis_err *err);
/* work.c: opens one delivery and decides; shared with ingest_reopen. */
KLUIS_MUSTUSE kluis_status open_stored(const struct ingest_config *c, const struct custody_delivery *d, struct kluis_buf *result, struct opened *out,
                                       struct kluis_err *err);
/* An opener of its own, then what it claims held against session and register.  OK: it waits for its judge, or o->settled says that
 * it is refused already; else local. */
KLUIS_MUSTUSE kluis_status ingest_open(struct ingest *in, struct decided *o, struct kluis_err *err);
/* Judges what ingest_open left unsettled: at most RUN_MAX deliveries, all of one device.  OK: each is settled; else local. */
KLUIS_MUSTUSE kluis_status ingest_judge(struct ingest *in, struct decided *const *list, size_t n, struct kluis_err *err);
/* Custody's own facts into an opener's rows: id, number, official, device, verdict and time are never the opener's to say. */
void index_fill(const struct custody_package *p, struct index_package *rows);

#endif
