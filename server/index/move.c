/* server/index/move.c - closed months into period files, by a thread of its own.  See internal.h.
 *
 * The thread works on one snapshot: the closed records of a stretch of time and, if that stretch has a file, what is in it, sorted by key, go into
 * new files: rows and FTS5 entries, then the indices, each built in one sorted pass.  Packages go on arriving meanwhile; the writer
 * notes whose group changes (imove_changed).  When the files are on disk swap.c puts them in place of the rows.  A crash leaves files
 * that the catalogue does not name, which the next opening removes; the move begins anew.
 */
#include "server/index/internal.h"

#include <signal.h>
#include <sqlite3.h>

enum { CANCEL_EVERY = 1024 };

static const char INSERT_FTS[] = "INSERT INTO fts(rowid, text, side, meta) VALUES(?1, ?2, ?3, ?4)";

/* ---- what ---- */

static kluis_status push(struct imove *mv, const struct ientry *e, struct kluis_err *err)
{
    if (mv->n == mv->cap) {
        size_t cap = mv->cap == 0 ? 4096 : mv->cap * 2;
        struct ientry *grown = kluis_realloc(mv->list, cap * sizeof *grown);
        if (grown == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
        mv->list = grown;
        mv->cap = cap;
    }
    mv->list[mv->n++] = *e;
    return KLUIS_OK;
}

static bool cancelled(struct imove *mv)
{
    (void)pthread_mutex_lock(&mv->lock);
    bool yes = mv->cancel;
    (void)pthread_mutex_unlock(&mv->lock);
    return yes;
}

static kluis_status stopped(struct kluis_err *err) { return KLUIS_FAIL(err, KLUIS_E_BUSY, "the index's move was given up"); }

static kluis_status load(struct imove *mv, struct kluis_db *unit, int64_t file, int64_t from, int64_t to, struct kluis_err *err)
{
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(
        unit, &q, err,
        "SELECT r.id, r.at, r.tie, r.lead, CASE WHEN r.lead IS NULL THEN r.at ELSE (SELECT l.at FROM rec l WHERE l.id=r.lead) END FROM rec r", ""));
    kluis_status st = KLUIS_OK;
    size_t seen = 0;
    while ((st = kluis_db_step(unit, q, err)) == KLUIS_OK) {
        struct ientry e = { .file = file,
                            .row = kluis_db_int(q, 0),
                            .key = { kluis_db_int(q, 1), kluis_db_int(q, 2) },
                            .lead = kluis_db_int(q, 3),
                            .lead_at = kluis_db_int(q, 4) };
        if (++seen % CANCEL_EVERY == 0 && cancelled(mv)) {
            st = stopped(err);
            break;
        }
        if (e.lead_at < from || e.lead_at >= to) { continue; }
        bool hidden = false;
        st = ihidden(&mv->c, file, e.row, &hidden, err);
        if (st == KLUIS_OK && !hidden) { st = push(mv, &e, err); }
        if (st != KLUIS_OK) { break; }
    }
    kluis_db_done(q);
    return st == KLUIS_END ? KLUIS_OK : st;
}

static int by_key(const void *a, const void *b)
{
    const struct ientry *x = a, *y = b;
    int k = ikey_cmp(x->key, y->key);
    if (k != 0) { return k; }
    if (x->file != y->file) { return x->file < y->file ? -1 : 1; }
    return x->row < y->row ? -1 : x->row > y->row;
}

static int by_output(const void *a, const void *b)
{
    const struct ientry *x = a, *y = b;
    return x->out != y->out ? x->out - y->out : by_key(a, b);
}

static int source_cmp(const struct ientry *e, int64_t file, int64_t row)
{
    if (e->file != file) { return e->file < file ? -1 : 1; }
    return e->row < row ? -1 : e->row > row;
}

static int by_source(const void *a, const void *b, void *list)
{
    const struct ientry *y = (const struct ientry *)list + *(const size_t *)b;
    return source_cmp((const struct ientry *)list + *(const size_t *)a, y->file, y->row);
}

struct ientry *imove_entry(struct imove *mv, int64_t file, int64_t row)
{
    size_t lo = 0, hi = mv->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (source_cmp(&mv->list[mv->by_source[mid]], file, row) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    if (lo == mv->n || source_cmp(&mv->list[mv->by_source[lo]], file, row) != 0) { return NULL; }
    return &mv->list[mv->by_source[lo]];
}

static int by_number(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* Cuts [from, to) at ends of months into pieces of about target rows. */
static kluis_status cut(struct imove *mv, struct kluis_err *err)
{
    int64_t from = mv->from, *at = kluis_calloc(mv->n + 1, sizeof *at);
    if (at == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    for (size_t i = 0; i < mv->n; i++) { at[i] = mv->list[i].lead_at; }
    qsort(at, mv->n, sizeof *at, by_number);
    size_t i = 0;
    while (mv->n_out < IOUTPUTS) {
        struct iperiod *p = &mv->out[mv->n_out++].period;
        *p = (struct iperiod){ .from = from, .to = mv->to, .low = INT64_MAX, .high = INT64_MIN };
        size_t end = i + (size_t)mv->target_rows;
        if (end >= mv->n || mv->n_out == IOUTPUTS) { break; }
        int64_t edge = imonth_start(at[end], 0);
        if (edge <= at[i]) { edge = imonth_start(at[end], 1); }
        if (edge >= mv->to || at[mv->n - 1] < edge) { break; }
        p->to = from = edge;
        while (at[i] < edge) { i++; }
    }
    kluis_free(at);
    for (size_t k = 0; k < mv->n; k++) {
        while (mv->list[k].out + 1 < mv->n_out && mv->list[k].lead_at >= mv->out[mv->list[k].out].period.to) { mv->list[k].out++; }
    }
    return KLUIS_OK;
}

/* Each file is made from a stretch of the list, in the order of its rows, so that no more of them are in memory than threads make them. */
static kluis_status plan(struct index *ix, struct imove *mv, struct kluis_err *err)
{
    struct kluis_db *unit = NULL;
    KLUIS_TRY(load(mv, mv->c.hot, 0, mv->from, mv->to, err));
    if (mv->has_old) {
        KLUIS_TRY(istore_period(ix, &mv->c, &mv->old, &unit, err));
        KLUIS_TRY(load(mv, unit, mv->old.file, INT64_MIN, INT64_MAX, err));
    }
    KLUIS_TRY(cut(mv, err));
    if (mv->n > 0) { qsort(mv->list, mv->n, sizeof *mv->list, by_output); }
    mv->by_source = kluis_calloc(mv->n + 1, sizeof *mv->by_source);
    if (mv->by_source == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    for (size_t i = 0; i < mv->n; i++) {
        struct ioutput *out = &mv->out[mv->list[i].out];
        if (out->period.rows == 0) { out->list = &mv->list[i]; }
        mv->by_source[i] = i;
        mv->list[i].new_row = ++out->period.rows;
    }
    qsort_r(mv->by_source, mv->n, sizeof *mv->by_source, by_source, mv->list);
    for (size_t i = 0; i < mv->n; i++) {
        struct ientry *leader = mv->list[i].lead == 0 ? NULL : imove_entry(mv, mv->list[i].file, mv->list[i].lead);
        if (leader != NULL) { leader->several = true; }
    }
    return KLUIS_OK;
}

/* ---- copy ---- */

static kluis_status copy_fts(struct iconn *c, struct ientry *e, struct kluis_db *unit, const struct ioutput *out, int64_t row, int64_t pkg,
                             struct kluis_str text, const struct kluis_str extra[IEXTRAS], struct kluis_buf *work, struct kluis_err *err)
{
    kluis_buf_clear(work);
    iside_write(work, extra);
    size_t side = work->len;
    KLUIS_AUTO_BUF(meta, 1 << 16);
    if (e->several) {
        KLUIS_TRY(imeta_of(c, unit, e->row, &meta, err));
    } else {
        const struct ipackage *p = NULL;
        KLUIS_TRY(ipackage_of(c, pkg, &p, err));
        imeta_alone(&meta, p->conv, p->official_no, p->platform_no);
    }
    KLUIS_TRY(kluis_buf_ok(&meta, err));
    KLUIS_TRY(kluis_buf_ok(work, err));
    const struct kluis_str sides = { side == 0 ? NULL : (const char *)work->data, side };
    e->norm = inorm_of(text, sides);
    return kluis_db_run(out->db, NULL, err, INSERT_FTS, "ittt", row, text, sides, (struct kluis_str){ (const char *)meta.data, meta.len });
}

/* What a record that leads no group has in common with the one that does stands there only. */
static int64_t shared_bits(sqlite3_stmt *q, int text, int extra, int lead_text, int lead_extra)
{
    const struct kluis_str a = kluis_db_text(q, text), b = kluis_db_text(q, lead_text);
    const struct kluis_bytes x = kluis_db_blob(q, extra), y = kluis_db_blob(q, lead_extra);
    return (a.len > 0 && kluis_str_eq(a, b) ? IBITS_TEXT : 0) | (x.len > 0 && x.len == y.len && memcmp(x.ptr, y.ptr, x.len) == 0 ? IBITS_EXTRA : 0);
}

static kluis_status copy(struct index *ix, struct imove *mv, struct iconn *c, struct ientry *e, struct kluis_buf *work, struct kluis_err *err)
{
    static const char ROW[] = "SELECT r.pkg, r.tie, r.conv, r.at, r.hash, r.bits, r.idkey, " IREC_TEXT ", " IREC_EXTRA
                              ", l.text, l.extra FROM rec r LEFT JOIN rec l ON l.id=r.lead WHERE r.id=?1";
    struct kluis_db *unit = c->hot;
    sqlite3_stmt *q = NULL, *in = NULL;
    if (e->file != 0) { KLUIS_TRY(istore_period(ix, c, &mv->old, &unit, err)); }
    KLUIS_TRY(kluis_db_query(unit, &q, err, ROW, "i", e->row));
    KLUIS_TRY(kluis_db_step(unit, q, err));
    struct ioutput *out = &mv->out[e->out];
    const struct ientry *leader = e->lead == 0 ? NULL : imove_entry(mv, e->file, e->lead);
    if (leader != NULL && leader->out != e->out) { leader = NULL; }
    int64_t pkg = kluis_db_int(q, 0), shared = leader == NULL ? 0 : shared_bits(q, 7, 8, 9, 10);
    int64_t bits = (kluis_db_int(q, 5) & ~(int64_t)(IBITS_TEXT | IBITS_EXTRA)) | shared;
    struct kluis_str text = kluis_db_text(q, 7), extra[IEXTRAS];
    struct kluis_bytes blob = kluis_db_blob(q, 8);
    if (!iextra_read(blob, extra)) { return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a record of the index is damaged: delete the index and rebuild it"); }
    KLUIS_TRY(kluis_db_query(out->db, &in, err,
                             "INSERT INTO rec(id, pkg, tie, conv, at, hash, bits, lead, text, extra, idkey) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, "
                             "NULLIF(?8, 0), ?9, ?10, ?11)",
                             "iiiiiiiitb", e->new_row, pkg, kluis_db_int(q, 1), kluis_db_int(q, 2), kluis_db_int(q, 3), kluis_db_int(q, 4), bits,
                             leader != NULL ? leader->new_row
                             : e->lead == 0 ? (int64_t)0
                                            : (int64_t)-1,
                             (shared & IBITS_TEXT) != 0 ? (struct kluis_str){ NULL, 0 } : text,
                             (shared & IBITS_EXTRA) != 0 ? (struct kluis_bytes){ NULL, 0 } : blob));
    if (sqlite3_column_type(q, 6) != SQLITE_NULL && sqlite3_bind_int64(in, 11, kluis_db_int(q, 6)) != SQLITE_OK) {
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory");
    }
    kluis_status st = kluis_db_step(out->db, in, err);
    if (st != KLUIS_END) { return st; }
    if (e->lead == 0) { KLUIS_TRY(copy_fts(c, e, unit, out, e->new_row, pkg, text, extra, work, err)); }
    kluis_db_done(q);
    if (e->key.at < out->period.low) { out->period.low = e->key.at; }
    if (e->key.at > out->period.high) { out->period.high = e->key.at; }
    return KLUIS_OK;
}

/* The lengths of a file's records, in the order of its rows. */
static kluis_status write_norms(struct kluis_db *db, const struct ientry *list, size_t n, struct kluis_err *err)
{
    uint8_t *norms = kluis_malloc(n + 1);
    if (norms == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    for (size_t i = 0; i < n; i++) { norms[i] = list[i].norm; }
    kluis_status st = kluis_db_run(db, NULL, err, "INSERT INTO norm(words) VALUES(?1)", "b", (struct kluis_bytes){ norms, n });
    kluis_free(norms);
    return st;
}

/* A new file; its name says the first month. */
static kluis_status create_output(struct index *ix, struct imove *mv, struct ioutput *out, struct kluis_err *err)
{
    struct iperiod *p = &out->period;
    int64_t first = INT64_MAX;
    for (int64_t k = 0; k < p->rows; k++) {
        if (out->list[k].lead_at < first) { first = out->list[k].lead_at; }
    }
    int y = 0, m = 0, d = 0;
    const int64_t day = INT64_C(86400000000);
    if (first == INT64_MAX) { first = p->from == INT64_MIN ? 0 : p->from; }
    kluis_civil_from_days(first / day - (first % day < 0 ? 1 : 0), &y, &m, &d);
    p->file = istore_number(ix);
    (void)snprintf(p->name, sizeof p->name, "period-%04d-%02d-%06lld.db", y, m, (long long)p->file);
    KLUIS_TRY(ikeys_add(ix->keys, p->name, err));
    if (cancelled(mv)) { return stopped(err); }
    return istore_create(ix, p->name, false, &out->db, err);
}

/* One output after the other, until there are none, or whoever makes others failed. */
static kluis_status make_outputs(struct index *ix, struct imove *mv, struct iconn *c, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(buf, 8 << 20);
    for (;;) {
        (void)pthread_mutex_lock(&mv->lock);
        const int i = mv->next++;
        (void)pthread_mutex_unlock(&mv->lock);
        if (i >= mv->n_out) { return KLUIS_OK; }
        struct ioutput *out = &mv->out[i];
        KLUIS_TRY(create_output(ix, mv, out, err));
        for (int64_t k = 0; k < out->period.rows; k++) {
            if (k % CANCEL_EVERY == 0 && cancelled(mv)) { return stopped(err); }
            KLUIS_TRY(copy(ix, mv, c, &out->list[k], &buf, err));
        }
        if (i + 1 == mv->n_out) { kluis_db_rollback(c->hot); } /* the snapshot has served */
        KLUIS_TRY(write_norms(out->db, out->list, (size_t)out->period.rows, err));
        if (cancelled(mv)) { return stopped(err); }
        KLUIS_TRY(istore_finish(ix, out->period.name, &out->db, err));
    }
}

struct helper {
    struct index *ix;
    struct imove *mv;
    kluis_status rc;
    struct kluis_err err;
};

static kluis_status lane(struct index *ix, struct imove *mv, struct iconn *c, struct kluis_err *err)
{
    kluis_status st = make_outputs(ix, mv, c, err);
    kluis_db_rollback(c->hot);
    if (st == KLUIS_OK) { return st; }
    (void)pthread_mutex_lock(&mv->lock);
    mv->cancel = true; /* the other one need not go on */
    (void)pthread_mutex_unlock(&mv->lock);
    return st;
}

static void *help(void *arg)
{
    struct helper *h = arg;
    h->rc = lane(h->ix, h->mv, &h->mv->second, &h->err);
    return NULL;
}

static kluis_status work(struct index *ix, struct imove *mv, struct kluis_err *err)
{
    struct helper h = { .ix = ix, .mv = mv };
    pthread_t thread;
    KLUIS_TRY(plan(ix, mv, err));
    const bool two = mv->second.hot != NULL && mv->n_out > 1 && pthread_create(&thread, NULL, help, &h) == 0;
    if (!two && mv->second.hot != NULL) { kluis_db_rollback(mv->second.hot); }
    kluis_status st = lane(ix, mv, &mv->c, err);
    if (two) { (void)pthread_join(thread, NULL); }
    /* Who gave up because the other failed says nothing of why. */
    if (two && h.rc != KLUIS_OK && (st == KLUIS_OK || st == KLUIS_E_BUSY)) {
        if (err != NULL) { *err = h.err; }
        st = h.rc;
    }
    return st;
}

static void *mover(void *arg)
{
    struct index *ix = arg;
    struct imove *mv = ix->move; /* the writer's; it stands until this thread was joined */
    struct kluis_err err = { 0 };
    kluis_status st = work(ix, mv, &err);
    (void)pthread_mutex_lock(&mv->lock);
    mv->rc = st;
    mv->err = err;
    mv->done = true;
    (void)pthread_cond_signal(&mv->changed);
    (void)pthread_mutex_unlock(&mv->lock);
    return NULL;
}

/* ---- for the writer ---- */

static kluis_status take_snapshot(struct index *ix, const char *name, struct iconn *c, struct kluis_err *err)
{
    c->cache = ICACHE_COPIER / 4;
    KLUIS_TRY(istore_connect(ix, name, ICONN_COPIER, &c->hot, err));
    KLUIS_TRY(kluis_db_exec(c->hot, "BEGIN", err));
    return istore_catalog(c, err);
}

kluis_status imove_start(struct index *ix, const struct iperiod *old, int64_t from, int64_t to, struct kluis_err *err)
{
    char name[IKEYS_NAME];
    struct imove *mv = kluis_calloc(1, sizeof *mv);
    if (mv == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    (void)pthread_mutex_init(&mv->lock, NULL);
    (void)pthread_cond_init(&mv->changed, NULL);
    ix->move = mv;
    mv->target_rows = ix->target_rows;
    mv->from = from;
    mv->to = to;
    mv->has_old = old != NULL;
    if (old != NULL) { mv->old = *old; }
    ikeys_hot(ix->keys, name);
    /* The snapshot is taken here, between two commits: every later change is noted. */
    kluis_status st = take_snapshot(ix, name, &mv->c, err);
    if (st == KLUIS_OK && ihot_live(&ix->hot) > ix->target_rows) { st = take_snapshot(ix, name, &mv->second, err); }
    if (st == KLUIS_OK) {
        sigset_t all, was;
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_BLOCK, &all, &was);
        mv->started = pthread_create(&mv->thread, NULL, mover, ix) == 0;
        (void)pthread_sigmask(SIG_SETMASK, &was, NULL);
        if (!mv->started) { st = KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot start a thread"); }
    }
    if (st != KLUIS_OK) { imove_free(ix); }
    return st;
}

bool imove_wait(struct index *ix, int64_t us)
{
    struct imove *mv = ix->move;
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (until.tv_nsec / 1000 + us) / 1000000;
    until.tv_nsec = (until.tv_nsec / 1000 + us) % 1000000 * 1000;
    (void)pthread_mutex_lock(&mv->lock);
    int rc = 0;
    while (!mv->done && rc == 0) { rc = pthread_cond_timedwait(&mv->changed, &mv->lock, &until); }
    bool done = mv->done;
    (void)pthread_mutex_unlock(&mv->lock);
    return done;
}

kluis_status imove_changed(struct index *ix, int64_t file, int64_t row, struct kluis_err *err)
{
    struct imove *mv = ix->move;
    if (mv == NULL || (file != 0 && !(mv->has_old && file == mv->old.file))) { return KLUIS_OK; }
    return imap_put(file == 0 ? &mv->changed_hot : &mv->changed_old, row, 0, err);
}

void imove_free(struct index *ix)
{
    struct imove *mv = ix->move;
    if (mv == NULL) { return; }
    if (mv->started) {
        (void)pthread_mutex_lock(&mv->lock);
        mv->cancel = true;
        (void)pthread_mutex_unlock(&mv->lock);
        (void)pthread_join(mv->thread, NULL);
    }
    ix->move = NULL;
    for (int i = 0; i < mv->n_out; i++) {
        struct kluis_err ignored = { 0 };
        kluis_db_free(mv->out[i].db);
        if (mv->out[i].period.name[0] == '\0' || mv->in_use) { continue; }
        if (istore_delete(ix, mv->out[i].period.name, &ignored) != KLUIS_OK) { continue; } /* the next opening removes it */
    }
    istore_close(&mv->c);
    istore_close(&mv->second);
    imap_clear(&mv->changed_hot);
    imap_clear(&mv->changed_old);
    (void)pthread_mutex_destroy(&mv->lock);
    (void)pthread_cond_destroy(&mv->changed);
    kluis_free(mv->list);
    kluis_free(mv->by_source);
    kluis_free(mv);
}
