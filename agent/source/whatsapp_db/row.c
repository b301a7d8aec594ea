/* row.c - rows that belong to a record.  See wdb.h. */
#include "agent/source/whatsapp_db/wdb.h"

#include <sqlite3.h>

void wdb_evidence(struct wdb_draft *d, const char *table, struct sqlite3_stmt *st) { wdb_row(d, table, st, 0, sqlite3_column_count(st)); }

kluis_status wdb_side(struct kluis_db *db, struct wdb_draft *d, struct sqlite3_stmt **st, const char *sql, const char *table, int64_t id,
                      struct kluis_err *err)
{
    struct kluis_err why = { 0 };
    kluis_status rc = kluis_db_query(db, st, &why, sql, "i", id);
    if (rc == KLUIS_OK) { rc = kluis_db_step(db, *st, &why); }
    if (rc == KLUIS_OK) {
        wdb_evidence(d, table, *st);
        return KLUIS_OK;
    }
    if (rc == KLUIS_END) { return rc; }
    if (rc == KLUIS_E_NOMEM || rc == KLUIS_E_IO) {
        /* A table that this version lacks is told as a general error, which is what IO stands for without a system error. */
        if (rc == KLUIS_E_IO && !database_has_table(db, table)) { return KLUIS_END; }
        if (err != NULL) { *err = why; }
        return rc;
    }
    wdb_loss(d, "rows-damaged");
    return KLUIS_END;
}
