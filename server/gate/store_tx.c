/* store_tx.c - the lock, the transactions, the log's way to the disk and the counting that store.c, store_answers.c and mirror.c stand on.
 *
 * SQLite would sync its log within each commit, one after the other and under the lock.  With synchronous=NORMAL a commit only writes to it; one
 * fsync of the log then serves every commit before it.  What SQLite itself syncs stays so: the log before it is copied into the database, the
 * database after that, the log's header when it begins anew. */
#include "server/gate/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>

void gate_lock(struct gate_store *s) { (void)pthread_mutex_lock(&s->lock); }

void gate_unlock(struct gate_store *s) { (void)pthread_mutex_unlock(&s->lock); }

static void mark_full(struct gate_store *s, kluis_status rc, struct kluis_err *err)
{
    if (rc == KLUIS_E_IO && err != NULL && (sqlite3_errcode(kluis_db_handle(s->db)) & 0xff) == SQLITE_FULL) { err->sys = ENOSPC; }
}

kluis_status gate_tx_begin(struct gate_store *s, struct kluis_err *err)
{
    gate_lock(s);
    kluis_status rc = kluis_db_begin(s->db, err);
    if (rc != KLUIS_OK) {
        mark_full(s, rc, err);
        gate_unlock(s);
    }
    return rc;
}

kluis_status gate_tx_end(struct gate_store *s, kluis_status rc, const char *step, struct kluis_err *err)
{
    mark_full(s, rc, err);
    if (rc == KLUIS_OK) {
        rc = kluis_db_commit(s->db, NULL, err);
        mark_full(s, rc, err);
        if (rc == KLUIS_OK) {
            s->commits++;
            if (s->n_steps < GATE_STEPS) { s->step[s->n_steps++] = step; }
        }
    } else {
        kluis_db_rollback(s->db);
    }
    gate_unlock(s);
    return rc;
}

kluis_status gate_count(struct gate_store *s, const char *sql, uint64_t *out, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    *out = 0;
    KLUIS_TRY(kluis_db_query(s->db, &st, err, sql, ""));
    kluis_status rc = kluis_db_step(s->db, st, err);
    if (rc == KLUIS_OK) { *out = (uint64_t)kluis_db_int(st, 0); }
    kluis_db_done(st);
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

/* ---- the log's way to the disk ---------------------------------------------------------------- */

/* The caller has sync_lock. */
static kluis_status sync_log(struct gate_store *s, struct kluis_err *err)
{
    const char *step[GATE_STEPS];
    kluis_status rc = KLUIS_OK;
    gate_lock(s);
    if (s->broken) {
        /* Pages that a failed sync lost are not written by the next one: all of the log goes into the database, which SQLite syncs, and it begins
         * anew. */
        int r = sqlite3_wal_checkpoint_v2(kluis_db_handle(s->db), NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        if (r != SQLITE_OK) { rc = kluis_db_fail(s->db, r, "copy the log into gate.db", err); }
        mark_full(s, rc, err);
        s->broken = rc != KLUIS_OK;
    }
    uint64_t commits = s->commits, covered = s->covered.size;
    size_t n = s->n_steps;
    memcpy(step, s->step, n * sizeof *step);
    s->n_steps = 0;
    gate_unlock(s);
    if (rc == KLUIS_OK && kluis_io_fsync(s->log_fd) != 0) { rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot sync gate.db"); }
    gate_lock(s);
    if (rc == KLUIS_OK) {
        s->synced = commits;
        s->shown = covered;
    } else {
        s->broken = true;
    }
    gate_unlock(s);
    for (size_t i = 0; i < n && rc == KLUIS_OK; i++) { kluis_durable_step(step[i]); }
    return rc;
}

kluis_status gate_store_sync(struct gate_store *s, struct kluis_err *err)
{
    gate_lock(s);
    uint64_t mine = s->commits;
    gate_unlock(s);
    (void)pthread_mutex_lock(&s->sync_lock); /* who waited here while another synced is mostly served by that */
    kluis_status rc = s->synced >= mine ? KLUIS_OK : sync_log(s, err);
    (void)pthread_mutex_unlock(&s->sync_lock);
    return rc;
}

kluis_status gate_log_open(struct gate_store *s, const char *path, struct kluis_err *err)
{
    char log[KLUIS_PATH_MAX], dir[KLUIS_PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (slash == NULL || (size_t)snprintf(log, sizeof log, "%s-wal", path) >= sizeof log) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "path too long: '%.200s'", path);
    }
    (void)snprintf(dir, sizeof dir, "%.*s", (int)(slash - path), path);
    s->log_fd = kluis_io_open(log, O_RDWR | O_NOFOLLOW, 0);
    if (s->log_fd < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot open the log of gate.db"); }
    KLUIS_TRY(kluis_fsync_dir(dir, err)); /* its name too: SQLite made it, and syncs that later than we need it */
    (void)pthread_mutex_lock(&s->sync_lock);
    kluis_status rc = sync_log(s, err); /* what a killed gate left in it was perhaps never synced */
    (void)pthread_mutex_unlock(&s->sync_lock);
    return rc;
}
