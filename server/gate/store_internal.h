/* store_internal.h - what store.c, store_answers.c and mirror.c share: one handle, one lock, a few counters (store_tx.c). */
#ifndef SERVER_GATE_STORE_INTERNAL_H
#define SERVER_GATE_STORE_INTERNAL_H

#include <pthread.h>

#include "kluis/db.h"
#include "kluis/ledger.h"
#include "server/gate/store.h"

enum { GATE_STEPS = 256 };

struct gate_store {
    struct kluis_db *db; /* synchronous=NORMAL: a commit writes the log, gate_store_sync makes it durable */
    pthread_mutex_t lock;
    const char *step[GATE_STEPS]; /* committed and not synced: told then */
    size_t n_steps;
    uint64_t commits;          /* transactions of this run */
    uint64_t shown;            /* leaves of the mirror that are on disk under their checkpoint: answers that need more are not handed out */
    pthread_mutex_t sync_lock; /* taken before `lock`: what follows is of the one who syncs */
    int log_fd;
    uint64_t synced; /* of commits */
    bool broken;     /* a sync failed: what the log's pages hold on disk is not known */
    struct gate_limits limits;
    char log_vkey[KLUIS_VKEY_MAX]; /* "" when none */
    uint64_t epoch;                /* of the bundle; 0: none */
    uint64_t queued, outbox;       /* rows, kept beside the commits: counting 100,000 rows for each message would not do */
    struct kluis_tree tree;        /* every mirrored leaf */
    struct kluis_tree covered;     /* the leaves under the stored checkpoint: what is handed out */
};

/* store_tx.c: opens the log of the database at `path` for syncing, and syncs. */
KLUIS_MUSTUSE kluis_status gate_log_open(struct gate_store *s, const char *path, struct kluis_err *err);
/* Takes the lock and begins; `gate_tx_end` commits when rc is OK, else rolls back, and gives the final status.  After a commit that
 * failed for want of space err->sys is ENOSPC. */
KLUIS_MUSTUSE kluis_status gate_tx_begin(struct gate_store *s, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status gate_tx_end(struct gate_store *s, kluis_status rc, const char *step, struct kluis_err *err);
/* For reading only. */
void gate_lock(struct gate_store *s);
void gate_unlock(struct gate_store *s);

static inline struct kluis_bytes gate_id_bytes(const uint8_t id[GATE_ID]) { return (struct kluis_bytes){ id, GATE_ID }; }
KLUIS_MUSTUSE kluis_status gate_count(struct gate_store *s, const char *sql, uint64_t *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status gate_mirror_load(struct gate_store *s, struct kluis_err *err);

#endif
