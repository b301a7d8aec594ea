/* agent/journal/sources.c - the sources of a home and the gaps in their capture.  See home.h.
 *
 * A removed source keeps its row: added again, it goes on where it stopped. */
#include "agent/journal/home.h"

void home_source_clear(struct home_source *s) { kluis_buf_free(&s->options); }

kluis_status home_source_add(struct home *h, const char *kind, const char *path, struct kluis_bytes options, int64_t *id, struct kluis_err *err)
{
    static const uint8_t none[1];
    if (options.ptr == NULL) { options = (struct kluis_bytes){ none, 0 }; }
    KLUIS_TRY(kluis_db_begin(h->db, err));
    struct sqlite3_stmt *st = NULL;
    kluis_status rc = kluis_db_run(
        h->db, NULL, err,
        "INSERT INTO source(kind,path,options) VALUES(?1,?2,?3) ON CONFLICT(kind,path) DO UPDATE SET options=excluded.options, removed=0", "ssb",
        kind, path, options);
    if (rc == KLUIS_OK) { rc = kluis_db_query(h->db, &st, err, "SELECT id FROM source WHERE kind=?1 AND path=?2", "ss", kind, path); }
    if (rc == KLUIS_OK) { rc = kluis_db_step(h->db, st, err); }
    if (rc == KLUIS_OK) { *id = kluis_db_int(st, 0); }
    kluis_db_done(st);
    if (rc != KLUIS_OK) {
        kluis_db_rollback(h->db);
        return rc == KLUIS_END ? KLUIS_FAIL(err, KLUIS_E_BUG, "the source was not stored") : rc;
    }
    return kluis_db_commit(h->db, "agent.source.added", err);
}

kluis_status home_source_remove(struct home *h, int64_t id, struct kluis_err *err)
{
    int64_t n = 0;
    KLUIS_TRY(kluis_db_run(h->db, &n, err, "UPDATE source SET removed=1 WHERE id=?1 AND removed=0", "i", id));
    if (n == 0) { return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "there is no source %lld: see 'source list'", (long long)id); }
    kluis_durable_step("agent.source.removed");
    return KLUIS_OK;
}

kluis_status home_source_next(struct home *h, int64_t after, struct home_source *out, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    memset(out, 0, sizeof *out);
    kluis_buf_init(&out->options, 1 << 16);
    KLUIS_TRY(kluis_db_query(h->db, &st, err,
                             "SELECT id,kind,path,options,last_ok,last_error_at,last_error FROM source WHERE id>?1 AND removed=0 ORDER BY id LIMIT 1",
                             "i", after));
    kluis_status rc = kluis_db_step(h->db, st, err);
    if (rc != KLUIS_OK) {
        kluis_db_done(st);
        return rc;
    }
    out->id = kluis_db_int(st, 0);
    bool fits = kluis_db_copy(st, 1, out->kind, sizeof out->kind) && kluis_db_copy(st, 2, out->path, sizeof out->path);
    struct kluis_bytes o = kluis_db_blob(st, 3);
    kluis_buf_add(&out->options, o.ptr, o.len);
    out->last_ok_us = kluis_db_int(st, 4) == 0 ? KLUIS_TIME_ABSENT : kluis_db_int(st, 4);
    out->last_error_us = kluis_db_int(st, 5) == 0 ? KLUIS_TIME_ABSENT : kluis_db_int(st, 5);
    fits = kluis_db_copy(st, 6, out->last_error, sizeof out->last_error) && fits;
    kluis_db_done(st);
    rc = fits ? kluis_buf_ok(&out->options, err) : KLUIS_FAIL(err, KLUIS_E_CORRUPT, "source %lld in agent.db is damaged", (long long)out->id);
    if (rc != KLUIS_OK) { home_source_clear(out); }
    return rc;
}

kluis_status home_source_note(struct home *h, int64_t id, const struct kluis_err *failure, struct kluis_err *err)
{
    int64_t now = kluis_now_us();
    KLUIS_TRY(kluis_db_begin(h->db, err));
    kluis_status rc = KLUIS_E_BUG;
    if (failure == NULL) {
        rc = kluis_db_run(h->db, NULL, err, "UPDATE gap SET until=?2 WHERE source=?1 AND until IS NULL", "ii", id, now);
        if (rc == KLUIS_OK) {
            rc = kluis_db_run(h->db, NULL, err, "UPDATE source SET last_ok=?2, last_error=NULL, last_error_at=NULL WHERE id=?1", "ii", id, now);
        }
    } else {
        rc = kluis_db_run(h->db, NULL, err, "UPDATE source SET last_error=?2, last_error_at=?3 WHERE id=?1", "isi", id, failure->msg, now);
        /* An interval starts where the last good reading ended. */
        if (rc == KLUIS_OK) {
            rc = kluis_db_run(h->db, NULL, err,
                              "INSERT INTO gap(source,since,reason) SELECT ?1, coalesce((SELECT last_ok FROM source WHERE id=?1),?3), ?2"
                              " WHERE NOT EXISTS(SELECT 1 FROM gap WHERE source=?1 AND until IS NULL)",
                              "isi", id, kluis_status_name(failure->code), now);
        }
    }
    if (rc != KLUIS_OK) {
        kluis_db_rollback(h->db);
        return rc;
    }
    return kluis_db_commit(h->db, "agent.source.noted", err);
}
