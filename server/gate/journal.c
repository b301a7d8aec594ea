/* journal.c - the register's journal as the vault sends it: sealed entries, kept in their order and never changed.  The gate can open none of them.
 */
#include "server/gate/store_internal.h"

enum { JOURNAL_ENTRIES = 1000 };
static const uint64_t JOURNAL_MAX = 10000000; /* more decisions than any register holds */

static kluis_status size_of(struct gate_store *s, uint64_t *size, struct kluis_err *err)
{
    return gate_count(s, "SELECT ifnull(max(number), 0) FROM journal", size, err);
}

static kluis_status append(struct gate_store *s, uint64_t from, struct kluis_wire w, uint64_t *size, struct kluis_err *err)
{
    KLUIS_TRY(size_of(s, size, err));
    if (from != *size) { return KLUIS_FAIL(err, KLUIS_E_BUSY, "the journal stands at %llu", (unsigned long long)*size); }
    uint64_t n = from;
    while (kluis_wire_more(&w)) {
        struct kluis_bytes entry = kluis_wire_get(&w, GATE_JOURNAL_ENTRY_MAX);
        if (++n > JOURNAL_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "the journal is longer than this gate keeps"); }
        KLUIS_TRY(kluis_db_run(s->db, NULL, err, "INSERT INTO journal(number, entry) VALUES(?1, ?2)", "ib", (int64_t)n, entry));
    }
    *size = n;
    return KLUIS_OK;
}

kluis_status gate_journal_append(struct gate_store *s, struct kluis_bytes body, uint64_t *size, struct kluis_err *err)
{
    struct kluis_wire w = kluis_wire_open(body);
    *size = 0;
    (void)kluis_wire_is(&w, "chatkluis-register-v1");
    uint64_t from = kluis_wire_get_u64(&w), before = 0;
    struct kluis_wire entries = w;
    while (kluis_wire_more(&w) && !w.bad) {
        if (kluis_wire_get(&w, GATE_JOURNAL_ENTRY_MAX).len == 0) { w.bad = true; }
    }
    KLUIS_TRY(kluis_wire_end(&w, "register", err));
    KLUIS_TRY(gate_tx_begin(s, err));
    kluis_status rc = append(s, from, entries, &before, err);
    *size = before;
    return gate_tx_end(s, rc, "gate.journal.commit", err);
}

kluis_status gate_journal_read(struct gate_store *s, uint64_t from, struct kluis_buf *out, uint64_t *size, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    gate_lock(s);
    kluis_status rc = size_of(s, size, err);
    if (rc == KLUIS_OK && from >= *size) { rc = KLUIS_END; }
    if (rc == KLUIS_OK) {
        kluis_wire_label(out, "chatkluis-register-v1");
        kluis_wire_u64(out, from);
        rc = kluis_db_query(s->db, &st, err, "SELECT entry FROM journal WHERE number > ?1 ORDER BY number LIMIT ?2", "ii", (int64_t)from,
                            (int64_t)JOURNAL_ENTRIES);
        while (rc == KLUIS_OK && out->len < GATE_BATCH_BYTES && (rc = kluis_db_step(s->db, st, err)) == KLUIS_OK) {
            struct kluis_bytes entry = kluis_db_blob(st, 0);
            kluis_wire_field(out, entry.ptr, entry.len);
        }
        if (rc == KLUIS_OK || rc == KLUIS_END) { rc = kluis_buf_ok(out, err); }
    }
    kluis_db_done(st);
    gate_unlock(s);
    return rc;
}
