/* server/index/package.c - what a record's package says, kept by each connection for the packages it met last.  See internal.h. */
#include "server/index/internal.h"

#include <sqlite3.h>

enum { SLOTS = 512 }; /* a page of hits comes from 200 packages at most */

struct ipackages {
    struct ipackage slot[SLOTS];
};

void ipackage_forget(struct iconn *c)
{
    if (c->packages == NULL) { return; }
    for (size_t i = 0; i < SLOTS; i++) { kluis_free(c->packages->slot[i].bytes); }
    kluis_free(c->packages);
    c->packages = NULL;
}

static kluis_status read_package(struct kluis_db *hot, int64_t no, struct ipackage *p, struct kluis_err *err)
{
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(hot, &q, err,
                             "SELECT k.id, k.official, k.device, s.platform, s.conv, s.link, s.type, s.precision, s.self, o.name, f.name, s.conv_id, "
                             "s.conv_name, s.provenance, k.verdict, s.parties FROM pkg k JOIN source s ON s.no=k.source JOIN official o ON "
                             "o.no=k.official JOIN platform f ON f.no=s.platform WHERE k.no=?1",
                             "i", no));
    kluis_status st = kluis_db_step(hot, q, err);
    bool there = st == KLUIS_OK && kluis_db_fixed(q, 0, p->id, 32);
    if (st == KLUIS_END || (st == KLUIS_OK && !there)) {
        st = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the index lacks a package of its records: delete it and rebuild it");
    }
    if (st != KLUIS_OK) {
        kluis_db_done(q);
        return st;
    }
    p->no = no;
    p->official_no = kluis_db_int(q, 1);
    p->device = kluis_db_int(q, 2);
    p->platform_no = kluis_db_int(q, 3);
    p->conv = kluis_db_int(q, 4);
    p->link = kluis_db_int(q, 5);
    p->type = (enum kluis_conversation_type)kluis_db_int(q, 6);
    p->precision = (enum kluis_precision)kluis_db_int(q, 7);
    p->self = kluis_db_int(q, 8);
    struct kluis_str *const to[] = { &p->official, &p->platform, &p->conv_id, &p->conv_name, &p->provenance, &p->verdict };
    size_t n = 0, total = 1;
    for (int i = 0; i < 6; i++) { total += kluis_db_text(q, 9 + i).len + 1; }
    struct kluis_bytes parties = kluis_db_blob(q, 15);
    p->bytes = kluis_malloc(total + parties.len);
    if (p->bytes == NULL) {
        kluis_db_done(q);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory");
    }
    for (int i = 0; i < 6; i++) {
        struct kluis_str s = kluis_db_text(q, 9 + i);
        *to[i] = (struct kluis_str){ s.ptr == NULL ? NULL : p->bytes + n, s.len };
        if (s.len > 0) { memcpy(p->bytes + n, s.ptr, s.len); }
        n += s.len + 1;
    }
    p->parties = (struct kluis_bytes){ (const uint8_t *)p->bytes + n, parties.len };
    if (parties.len > 0) { memcpy(p->bytes + n, parties.ptr, parties.len); }
    kluis_db_done(q);
    return KLUIS_OK;
}

kluis_status ipackage_of(struct iconn *c, int64_t no, const struct ipackage **out, struct kluis_err *err)
{
    *out = NULL;
    if (c->packages == NULL && (c->packages = kluis_calloc(1, sizeof *c->packages)) == NULL) {
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory");
    }
    struct ipackage *p = &c->packages->slot[(uint64_t)no % SLOTS];
    if (p->no != no || p->bytes == NULL) {
        struct ipackage fresh = { 0 };
        KLUIS_TRY(read_package(c->hot, no, &fresh, err));
        kluis_free(p->bytes);
        *p = fresh;
    }
    *out = p;
    return KLUIS_OK;
}
