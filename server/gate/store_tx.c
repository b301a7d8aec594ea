/* store_tx.c - the lock, the transactions and the counting that store.c, store_answers.c and mirror.c stand on. */
#include "server/gate/store_internal.h"

#include <errno.h>
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
        rc = kluis_db_commit(s->db, step, err);
        mark_full(s, rc, err);
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
