/* people.c - from rows of jid to people: hidden JIDs to numbers, names from wa.db and from the database itself.  See android.h. */
#include "agent/source/whatsapp_android/android.h"

#include <sqlite3.h>

static kluis_status on_contact(void *ctx, struct sqlite3_stmt *st, KLUIS_UNUSED struct kluis_err *err)
{
    struct kluis_str shown = kluis_db_text(st, 2);
    if (shown.len == 0) { shown = kluis_db_text(st, 3); }
    wdb_learn(ctx, kluis_db_text(st, 1), shown);
    return KLUIS_OK;
}
static kluis_status on_hole(KLUIS_UNUSED void *ctx, KLUIS_UNUSED int64_t after, KLUIS_UNUSED int64_t before, KLUIS_UNUSED struct kluis_err *err)
{
    return KLUIS_OK; /* names that cannot be read are numbers */
}

kluis_status android_names(struct android *a, struct kluis_err *err)
{
    KLUIS_TRY(wdb_names_new(&a->names, err));
    if (a->wa == NULL || !database_has_column(a->wa, "wa_contacts", "display_name")) { return KLUIS_OK; }
    const struct database_walk w = { a->names,
                                     database_has_column(a->wa, "wa_contacts", "wa_name")
                                         ? "SELECT _id, jid, display_name, wa_name FROM wa_contacts WHERE _id>?1 ORDER BY _id"
                                         : "SELECT _id, jid, display_name, NULL FROM wa_contacts WHERE _id>?1 ORDER BY _id",
                                     on_contact, on_hole };
    return database_walk(a->wa, &w, err);
}

static kluis_status raw_jid(struct android *a, int64_t row, char out[WDB_JID_MAX], struct kluis_str *jid, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    char whole[WDB_JID_MAX];
    *jid = (struct kluis_str){ NULL, 0 };
    kluis_status rc = kluis_db_query(a->db, &st, err, "SELECT raw_string, user, server FROM jid WHERE _id=?1", "i", row);
    if (rc == KLUIS_OK) { rc = kluis_db_step(a->db, st, NULL); }
    if (rc == KLUIS_OK) {
        struct kluis_str s = kluis_db_text(st, 0), user = kluis_db_text(st, 1), server = kluis_db_text(st, 2);
        if (s.len == 0 && user.len > 0 && server.len > 0 && user.len + server.len + 2 < sizeof whole) {
            int n = snprintf(whole, sizeof whole, "%.*s@%.*s", (int)user.len, user.ptr, (int)server.len, server.ptr);
            s = (struct kluis_str){ whole, (size_t)n };
        }
        *jid = wdb_jid_plain(s, out);
    }
    kluis_db_done(st);
    return rc == KLUIS_E_NOMEM ? rc : KLUIS_OK;
}

kluis_status android_jid(struct android *a, int64_t row, char out[WDB_JID_MAX], struct kluis_str *jid, struct kluis_err *err)
{
    KLUIS_TRY(raw_jid(a, row, out, jid, err));
    if (jid->ptr == NULL || wdb_server_of(*jid) != WDB_HIDDEN || !database_has_table(a->db, "jid_map")) { return KLUIS_OK; }
    struct sqlite3_stmt *st = NULL;
    char number[WDB_JID_MAX];
    struct kluis_str known = { NULL, 0 };
    kluis_status rc = kluis_db_query(a->db, &st, err, "SELECT jid_row_id FROM jid_map WHERE lid_row_id=?1", "i", row);
    if (rc == KLUIS_OK) { rc = kluis_db_step(a->db, st, NULL); }
    int64_t mapped = rc == KLUIS_OK ? kluis_db_int(st, 0) : 0;
    kluis_db_done(st);
    if (mapped > 0) { KLUIS_TRY(raw_jid(a, mapped, number, &known, err)); }
    if (known.ptr != NULL && wdb_server_of(known) == WDB_PERSON) {
        memcpy(out, known.ptr, known.len);
        *jid = (struct kluis_str){ out, known.len };
    }
    return KLUIS_OK;
}

struct kluis_str android_name(struct android *a, struct kluis_str jid, int64_t row)
{
    struct kluis_str known = wdb_name(a->names, jid);
    if (known.ptr != NULL) { return known; }
    struct kluis_str found = { NULL, 0 };
    if (row <= 0 || !database_has_table(a->db, "lid_display_name")) { return found; }
    for (int i = 0; i < 2 && found.len == 0; i++) { /* its own, then that of the hidden JID it stands behind */
        struct sqlite3_stmt *st = NULL;
        if (i == 1) {
            bool mapped = a->work != NULL && kluis_db_query(a->work, &st, NULL, "SELECT lid FROM k_lid WHERE jid=?1 LIMIT 1", "i", row) == KLUIS_OK &&
                          kluis_db_step(a->work, st, NULL) == KLUIS_OK;
            row = mapped ? kluis_db_int(st, 0) : 0;
            kluis_db_done(st);
            st = NULL;
        }
        if (row > 0 && kluis_db_query(a->db, &st, NULL, "SELECT display_name FROM lid_display_name WHERE lid_row_id=?1", "i", row) == KLUIS_OK &&
            kluis_db_step(a->db, st, NULL) == KLUIS_OK) {
            struct kluis_str s = kluis_db_text(st, 0);
            if (s.len > 0 && s.len < sizeof a->self_name) { found = wdb_book_keep(a->book, s); }
        }
        kluis_db_done(st);
    }
    return found;
}

kluis_status android_who(struct android *a, int64_t row, bool add, bool member, uint32_t *party, struct kluis_err *err)
{
    char text[WDB_JID_MAX];
    struct kluis_str jid;
    *party = KLUIS_NO_PARTY;
    if (row <= 0) { return KLUIS_OK; }
    size_t at = (size_t)(row % ANDROID_WHO);
    if (a->who[at].row == row && (!member || !add)) {
        *party = a->who[at].party;
        return KLUIS_OK;
    }
    KLUIS_TRY(android_jid(a, row, text, &jid, err));
    if (jid.ptr == NULL) { return KLUIS_OK; }
    *party = wdb_find(a->book, jid);
    if (add && (*party == KLUIS_NO_PARTY || member)) { *party = wdb_party(a->book, jid, android_name(a, jid, row), member); }
    if (*party != KLUIS_NO_PARTY) {
        a->who[at].row = row;
        a->who[at].party = *party;
    }
    return KLUIS_OK;
}
