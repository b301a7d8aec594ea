/* server/index/regroup.c - what group.c decided, into the hot file.  See group.h and internal.h. */
#include "server/index/group.h"

#include <sqlite3.h>

/* Remembers what FTS5 has of a hot row, before its group changes. */
static kluis_status remember(struct index *ix, const struct member *m, struct kluis_err *err)
{
    struct ibatch *b = &ix->b;
    if (idirty_of(b, m->row) != NULL) { return KLUIS_OK; }
    struct idirty d = { m->row, m->lead == 0, NULL };
    if (d.had) {
        KLUIS_AUTO_BUF(meta, 1 << 16);
        if ((m->bits & IBITS_SEVERAL) == 0) {
            const struct ipackage *p = NULL;
            KLUIS_TRY(ipackage_of(&ix->w, m->pkg, &p, err));
            imeta_alone(&meta, p->conv, p->official_no, p->platform_no);
        } else {
            KLUIS_TRY(imeta_of(&ix->w, ix->w.hot, m->row, &meta, err));
        }
        kluis_buf_byte(&meta, 0);
        KLUIS_TRY(kluis_buf_ok(&meta, err));
        d.meta = kluis_strdup((const char *)meta.data);
        if (d.meta == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    }
    kluis_status st = idirty_add(b, &d, err);
    if (st != KLUIS_OK) { kluis_free(d.meta); }
    return st;
}

/* Copies a record of a closed period into the hot file and shadows it where it was. */
static kluis_status pull(struct index *ix, struct member *m, struct kluis_err *err)
{
    struct ibatch *b = &ix->b;
    struct kluis_db *unit = NULL;
    const struct iperiod *p = NULL;
    for (size_t i = 0; i < ix->w.catalog.n; i++) {
        if (ix->w.catalog.list[i].file == m->file) { p = &ix->w.catalog.list[i]; }
    }
    if (p == NULL) { return KLUIS_FAIL(err, KLUIS_E_BUG, "a period file that the catalogue lacks"); }
    KLUIS_TRY(istore_period(ix, &ix->w, p, &unit, err));
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(unit, &q, err, "SELECT pkg, tie, conv, at, hash, bits, idkey, " IREC_TEXT ", " IREC_EXTRA " FROM rec r WHERE id=?1", "i",
                             m->row));
    KLUIS_TRY(kluis_db_step(unit, q, err));
    int64_t row = b->next_row++;
    struct ikey key = { kluis_db_int(q, 3), kluis_db_int(q, 1) };
    struct kluis_str text = kluis_db_text(q, 7), extra[IEXTRAS];
    struct kluis_bytes blob = kluis_db_blob(q, 8);
    if (!iextra_read(blob, extra)) { return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a record of the index is damaged: delete it and rebuild"); }
    KLUIS_AUTO_BUF(written, 8 << 20);
    iside_write(&written, extra);
    KLUIS_TRY(kluis_buf_ok(&written, err));
    const struct kluis_str side = { (const char *)written.data, written.len };
    const struct ipending pending = { .row = row, .norm = inorm_of(text, side), .leader = true, .several = true };
    sqlite3_stmt *in = NULL;
    KLUIS_TRY(kluis_db_query(
        ix->w.hot, &in, err,
        "INSERT INTO rec(id, pkg, tie, conv, at, hash, bits, text, extra, norm, idkey) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        "iiiiiiitbi", row, kluis_db_int(q, 0), key.tie, kluis_db_int(q, 2), key.at, kluis_db_int(q, 4),
        kluis_db_int(q, 5) & ~(int64_t)(IBITS_TEXT | IBITS_EXTRA), text, blob, (int64_t)pending.norm));
    if (sqlite3_column_type(q, 6) != SQLITE_NULL && sqlite3_bind_int64(in, 11, kluis_db_int(q, 6)) != SQLITE_OK) {
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory");
    }
    kluis_status st = kluis_db_step(ix->w.hot, in, err);
    if (st != KLUIS_END) { return st; }
    KLUIS_TRY(ibatch_pend(ix, &pending, text, side, key, err));
    kluis_db_done(q);
    KLUIS_TRY(imove_changed(ix, m->file, m->row, err));
    KLUIS_TRY(kluis_db_run(ix->w.hot, NULL, err, "INSERT INTO shadow(file, row) VALUES(?1, ?2)", "ii", m->file, m->row));
    KLUIS_TRY(kluis_db_run(ix->w.hot, NULL, err, "UPDATE period SET shadows=shadows+1 WHERE file=?1", "i", m->file));
    KLUIS_TRY(kluis_db_run(ix->w.hot, NULL, err, "UPDATE meta SET v=v+1 WHERE k='catalog'", ""));
    m->new_row = row;
    return imap_put(&b->pulled, igroup_place(m->file, m->row), (size_t)row, err);
}

/* The first one of a member's group. */
static const struct member *first_of(const struct run *r, const struct member *m)
{
    return m->anchor >= 0 ? &r->anchors[m->anchor] : &r->list[m->group];
}

static bool changes(const struct run *r, size_t i)
{
    const struct member *m = &r->list[i], *first = first_of(r, m);
    bool leader = m->group == (int64_t)i;
    return leader != (m->lead == 0) || (!leader && (first->file != m->file || m->lead != first->row)) ||
           m->conflict != ((m->bits & IBITS_CONFLICT) != 0);
}

/* A group with an id that gains or loses a message without one: into the hot file, and whoever copies or enters it is told. */
static kluis_status touch(struct index *ix, struct member *a, struct kluis_err *err)
{
    struct ibatch *b = &ix->b;
    if (a->file != 0) {
        size_t now = 0;
        const struct irow row = { .file = a->file, .row = a->row, .hash = a->hash, .has_id = true };
        bool came = imap_get(&b->pulled, igroup_place(a->file, a->row), NULL); /* with a rival under the same id that was touched before */
        if (!came) { KLUIS_TRY(igroup_settle(ix, &row, true, err)); }
        if (!imap_get(&b->pulled, igroup_place(a->file, a->row), &now)) {
            return KLUIS_FAIL(err, KLUIS_E_BUG, "a record that did not come to the hot file");
        }
        a->file = 0;
        a->row = (int64_t)now;
    }
    KLUIS_TRY(imove_changed(ix, 0, a->row, err));
    if (ix->move != NULL) {
        sqlite3_stmt *q = NULL;
        kluis_status st = kluis_db_query(ix->w.hot, &q, err, "SELECT id FROM rec WHERE lead=?1", "i", a->row);
        while (st == KLUIS_OK && (st = kluis_db_step(ix->w.hot, q, err)) == KLUIS_OK) { st = imove_changed(ix, 0, kluis_db_int(q, 0), err); }
        kluis_db_done(q);
        if (st != KLUIS_END) { return st; }
    }
    struct ipending *p = ipending_of(ix, a->row);
    if (p != NULL) { p->several = true; }
    return a->row < b->first ? remember(ix, a, err) : KLUIS_OK;
}

/* Before any row is changed: the anchors that have somebody, or lose somebody. */
static kluis_status touch_anchors(struct index *ix, struct run *r, struct kluis_err *err)
{
    for (size_t k = 0; k < r->n_anchors; k++) {
        struct member *a = &r->anchors[k];
        bool had = a->next >= 0;
        for (size_t i = 0; i < r->n && !had; i++) { had = r->list[i].file == a->file && r->list[i].lead == a->row; }
        if (had) { KLUIS_TRY(touch(ix, a, err)); }
    }
    return KLUIS_OK;
}

kluis_status igroup_apply(struct index *ix, struct run *r, bool force, struct kluis_err *err)
{
    bool any = force;
    for (size_t i = 0; i < r->n && !any; i++) { any = changes(r, i); }
    if (!any) { return KLUIS_OK; }
    KLUIS_TRY(touch_anchors(ix, r, err));
    /* Members of a lengthy run have nothing to do with each other: each is touched for its own sake only, or its group's that ends. */
    for (size_t i = 0; i < r->n; i++) {
        struct member *m = &r->list[i];
        bool was = m->lead == 0, is = m->group == (int64_t)i;
        m->new_row = r->lengthy && !force && !changes(r, i) && !m->several ? 0 : m->row;
        if (m->new_row == 0) { continue; }
        ix->b.groups += (is ? 1 : 0) - (was ? 1 : 0);
        ix->b.conflicts += (is && m->conflict ? 1 : 0) - (was && (m->bits & IBITS_CONFLICT) != 0 ? 1 : 0);
        if (m->file != 0) {
            KLUIS_TRY(pull(ix, m, err));
        } else {
            KLUIS_TRY(imove_changed(ix, 0, m->row, err));
            if (m->row < ix->b.first && (was || is)) { KLUIS_TRY(remember(ix, m, err)); } /* of the others FTS5 has nothing */
        }
    }
    for (size_t i = 0; i < r->n; i++) {
        const struct member *m = &r->list[i];
        bool leader = m->group == (int64_t)i;
        if (m->new_row == 0) { continue; }
        int64_t bits = (m->bits & ~(int64_t)IBITS_CONFLICT) | (m->conflict ? IBITS_CONFLICT : 0);
        int64_t lead = leader ? 0 : m->anchor >= 0 ? r->anchors[m->anchor].row : r->list[m->group].new_row;
        /* NULLIF: a leader has no lead. */
        if (m->file != 0 || changes(r, i)) {
            KLUIS_TRY(kluis_db_run(ix->w.hot, NULL, err, "UPDATE rec SET lead=NULLIF(?2, 0), bits=?3|(bits&?4) WHERE id=?1", "iiii", m->new_row, lead,
                                   bits, (int64_t)IBITS_SEVERAL));
        }
        if (lead != 0 && (first_of(r, m)->bits & IBITS_SEVERAL) == 0) {
            KLUIS_TRY(
                kluis_db_run(ix->w.hot, NULL, err, "UPDATE rec SET bits=bits|?2 WHERE id=?1 AND bits&?2=0", "ii", lead, (int64_t)IBITS_SEVERAL));
        }
        struct ipending *p = ipending_of(ix, m->new_row);
        if (p != NULL) {
            p->leader = leader;
            p->several = true;
        }
    }
    return KLUIS_OK;
}
