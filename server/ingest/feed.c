/* server/ingest/feed.c - the feeder: packages into the index in custody order, behind its watermark; and opening stored ones again. */
#include "server/ingest/ingest_internal.h"

enum { SLOTS = 8, OPENERS = 2 };

void index_fill(const struct custody_package *p, struct index_package *rows)
{
    memcpy(rows->id, p->d.package, 32);
    rows->sequence = p->sequence;
    rows->official = kluis_str_of(p->official);
    rows->device = kluis_str_of(p->d.device);
    rows->verdict = kluis_str_of(p->verdict);
    rows->received_us = p->d.received_us;
}

/* ---- opening stored packages again, in order, two at a time ---- */

struct slot {
    bool ready;
    kluis_status rc;
    struct kluis_err err;
    struct custody_package p;
    struct kluis_arena *arena;
    struct index_package rows;
    uint64_t size;
};
struct reopening {
    const struct ingest_config *c;
    uint64_t first, last;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t next;  /* the next sequence to be opened     */
    uint64_t taken; /* up to here the consumer is through */
    bool over;
    struct slot slot[SLOTS];
};

static kluis_status reopen_one(const struct ingest_config *c, uint64_t sequence, struct slot *s, struct kluis_err *err)
{
    struct opened f;
    KLUIS_AUTO_BUF(result, ZYGOTE_RESULT_MAX + (512 << 10));
    kluis_status rc = custody_package_get(c->custody, sequence, &s->p, err);
    if (rc == KLUIS_E_NOTFOUND) {
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "custody lacks package %llu; restore custody.db", (unsigned long long)sequence);
    }
    KLUIS_TRY(rc);
    for (int i = 0; i < TRIES; i++) {
        kluis_err_clear(err);
        rc = open_stored(c, &s->p.d, &result, &f, err);
        if (rc != KLUIS_E_BUSY) { break; }
        kluis_sleep_us(200000);
    }
    if (rc == KLUIS_E_REJECT) {
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "package %llu was accepted and no longer opens (%s): restore the store", (unsigned long long)sequence,
                          f.layer);
    }
    if (rc == KLUIS_E_NOTFOUND) { return err != NULL ? (err->code = KLUIS_E_CORRUPT) : KLUIS_E_CORRUPT; }
    KLUIS_TRY(rc);
    if (memcmp(f.id, s->p.d.package, 32) != 0 || memcmp(f.records_root, s->p.records_root, 32) != 0 || f.n_records != s->p.n_records ||
        f.size != s->p.d.length) {
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "package %llu has another id, root, length or number of records than custody says",
                          (unsigned long long)sequence);
    }
    if ((s->arena = kluis_arena_new(OPENER_TEXT_MAX + (64 << 20))) == NULL) {
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot open a package: out of memory");
    }
    s->size = f.size;
    rc = index_package_read(f.index, s->arena, &s->rows, err);
    if (rc == KLUIS_E_REJECT || rc == KLUIS_E_LIMIT) { return err != NULL ? (err->code = KLUIS_E_CORRUPT) : KLUIS_E_CORRUPT; }
    KLUIS_TRY(rc);
    index_fill(&s->p, &s->rows);
    return KLUIS_OK;
}

static void *reopener(void *arg)
{
    struct reopening *r = arg;
    pthread_mutex_lock(&r->lock);
    while (!r->over && r->next <= r->last) {
        if (r->next - r->taken > SLOTS) {
            pthread_cond_wait(&r->changed, &r->lock);
            continue;
        }
        uint64_t sequence = r->next++;
        struct slot *s = &r->slot[sequence % SLOTS];
        memset(s, 0, sizeof *s);
        pthread_mutex_unlock(&r->lock);
        s->rc = reopen_one(r->c, sequence, s, &s->err);
        pthread_mutex_lock(&r->lock);
        s->ready = true;
        pthread_cond_broadcast(&r->changed);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

kluis_status ingest_reopen(const struct ingest_config *c, uint64_t first, uint64_t last, void *ctx,
                           kluis_status (*each)(void *ctx, const struct reopened *r, struct kluis_err *err), struct kluis_err *err)
{
    pthread_t thread[OPENERS];
    size_t n = 0;
    kluis_status rc = KLUIS_OK;
    if (first > last) { return KLUIS_OK; }
    struct reopening *r = kluis_calloc(1, sizeof *r);
    if (r == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot open packages again: out of memory"); }
    r->c = c;
    r->first = r->next = first;
    r->taken = first - 1;
    r->last = last;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    while (n < OPENERS && pthread_create(&thread[n], NULL, reopener, r) == 0) { n++; }
    if (n == 0) { rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot start a thread"); }
    for (uint64_t sequence = first; rc == KLUIS_OK && sequence <= last; sequence++) {
        struct slot *s = &r->slot[sequence % SLOTS];
        pthread_mutex_lock(&r->lock);
        while (!s->ready || (s->rc == KLUIS_OK && s->p.sequence != sequence)) { pthread_cond_wait(&r->changed, &r->lock); }
        pthread_mutex_unlock(&r->lock);
        rc = s->rc;
        if (rc == KLUIS_OK) {
            const struct reopened out = { &s->p, &s->rows, s->size };
            rc = each(ctx, &out, err);
        } else if (err != NULL) {
            *err = s->err;
        }
        kluis_arena_free(s->arena);
        s->arena = NULL;
        pthread_mutex_lock(&r->lock);
        s->ready = false;
        r->taken = sequence;
        pthread_cond_broadcast(&r->changed);
        pthread_mutex_unlock(&r->lock);
    }
    pthread_mutex_lock(&r->lock);
    r->over = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    for (size_t i = 0; i < n; i++) { pthread_join(thread[i], NULL); }
    for (size_t i = 0; i < SLOTS; i++) { kluis_arena_free(r->slot[i].arena); }
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->changed);
    kluis_free(r);
    return rc;
}

/* ---- the loop ---- */

struct feeding {
    struct ingest *in;
    uint64_t wanted;  /* the next sequence, behind what was added         */
    uint64_t records; /* added and not committed                          */
    int64_t since;    /* the first of them                                */
};

static kluis_status commit_index(struct feeding *f, struct kluis_err *err)
{
    if (f->records == 0) { return KLUIS_OK; }
    KLUIS_TRY(index_commit(f->in->c.index, err));
    kluis_durable_step("vault.index.commit");
    ingest_wake(f->in); /* receipts wait for it */
    f->records = 0;
    return KLUIS_OK;
}

static kluis_status add(struct feeding *f, const struct index_package *rows, struct kluis_err *err)
{
    kluis_status rc = index_add(f->in->c.index, rows, err);
    if (rc == KLUIS_E_EXISTS) {
        kluis_err_clear(err);
        return KLUIS_OK;
    }
    KLUIS_TRY(rc);
    if (f->records == 0) { f->since = kluis_monotonic_us(); }
    f->records += rows->n_rows + 1;
    return f->records >= INGEST_BATCH_RECORDS ? commit_index(f, err) : KLUIS_OK;
}

static kluis_status add_reopened(void *ctx, const struct reopened *r, struct kluis_err *err)
{
    struct feeding *f = ctx;
    if (ingest_stopping(f->in)) { return KLUIS_FAIL(err, KLUIS_E_BUSY, "stopping"); }
    KLUIS_TRY(add(f, r->rows, err));
    f->wanted = r->package->sequence + 1;
    return KLUIS_OK;
}

/* Takes the head of the queue when it is the one wanted; frees what is indexed already.  *last: what the queue does not have, up to
 * here, must be opened again; 0: nothing.  The lock is held. */
static struct decided *head_of_queue(struct ingest *in, uint64_t wanted, uint64_t *last)
{
    struct decided *o = NULL;
    bool full = !ingest_room(in);
    *last = in->handed < wanted ? 0 : in->handed;
    while (o == NULL && in->feed != NULL) {
        struct decided *first = in->feed;
        if (first->p.sequence > wanted) {
            *last = first->p.sequence - 1;
            break;
        }
        in->feed = first->next;
        if (in->feed == NULL) { in->feed_end = &in->feed; }
        in->held_packages--;
        uint64_t used = first->arena == NULL ? 0 : kluis_arena_used(first->arena);
        in->held_bytes -= used < in->held_bytes ? used : in->held_bytes;
        if (first->p.sequence == wanted) {
            o = first;
        } else {
            decided_free(first);
        }
    }
    in->packages = in->feed != NULL;
    if (full && ingest_room(in)) { pthread_cond_broadcast(&in->changed); /* workers wait for nothing else of ours */ }
    return o;
}

/* Anything that may become a package soon; the lock is held. */
static bool arriving(const struct ingest *in) { return in->packages || in->ready != NULL || in->at_work > 0 || in->inbox_more; }

/* Adds until a batch is committed or nothing is there.  Batches are large while much arrives (a small one costs the index far more a record), and
 * what arrives alone is searchable at once. */
static kluis_status feed_some(struct feeding *f, struct kluis_err *err)
{
    struct ingest *in = f->in;
    while (!ingest_stopping(in)) {
        uint64_t last = 0;
        pthread_mutex_lock(&in->lock);
        struct decided *o = head_of_queue(in, f->wanted, &last);
        bool quiet = !arriving(in);
        pthread_mutex_unlock(&in->lock);
        if (o != NULL) {
            index_fill(&o->p, &o->rows);
            kluis_status rc = add(f, &o->rows, err);
            decided_free(o);
            KLUIS_TRY(rc);
            f->wanted++;
            if (f->records == 0) { return KLUIS_OK; }
        } else if (last >= f->wanted) { /* after a start, or when a batch was dropped */
            KLUIS_TRY(ingest_reopen(&in->c, f->wanted, last, f, add_reopened, err));
        } else {
            return quiet || kluis_monotonic_us() - f->since >= INDEX_WAIT_US ? commit_index(f, err) : KLUIS_OK;
        }
    }
    return commit_index(f, err);
}

/* Closed periods are made when nothing else waits: a stretch of time that is still filling would be copied again and again.  When too
 * much is hot they are made all the same, between batches and for a small part of the time; each call is short. */
static kluis_status tidy_up(struct feeding *f, bool *tidy, struct kluis_err *err)
{
    struct ingest *in = f->in;
    int64_t until = kluis_monotonic_us() + INGEST_TIDY_US;
    while (*tidy && f->records == 0 && !ingest_stopping(in)) {
        pthread_mutex_lock(&in->lock);
        bool busy = arriving(in);
        pthread_mutex_unlock(&in->lock);
        if (busy && (!index_crowded(in->c.index) || kluis_monotonic_us() >= until)) { break; }
        KLUIS_TRY(index_maintain(in->c.index, tidy, err));
    }
    return KLUIS_OK;
}

/* Until packages come, a batch is due, or the last one on its way came to nothing. */
static void wait_for_packages(const struct feeding *f, bool *tidy)
{
    struct ingest *in = f->in;
    pthread_mutex_lock(&in->lock);
    while (!in->packages && !ingest_stopping(in)) {
        int64_t left = f->since + INDEX_WAIT_US - kluis_monotonic_us();
        bool some = f->records > 0, busy = arriving(in);
        if (some ? !busy || left <= 0 : *tidy && !busy) { break; }
        ingest_wait(in, some ? left : 30000000);
    }
    *tidy = *tidy || in->packages;
    pthread_mutex_unlock(&in->lock);
}

void *feeder_main(void *arg)
{
    struct ingest *in = arg;
    struct feeding f = { .in = in, .wanted = index_watermark(in->c.index) + 1 };
    struct kluis_err err = { 0 };
    bool tidy = true;
    while (!ingest_stopping(in)) {
        kluis_err_clear(&err);
        kluis_status rc = feed_some(&f, &err);
        if (rc == KLUIS_OK) { rc = tidy_up(&f, &tidy, &err); }
        if (rc != KLUIS_OK && !ingest_stopping(in)) {
            f.records = 0; /* the index dropped what was not committed; the watermark says where to go on */
            f.wanted = index_watermark(in->c.index) + 1;
            ingest_trouble(in, "feeder", &err);
            continue;
        }
        ingest_well(in, "feeder");
        wait_for_packages(&f, &tidy);
    }
    return NULL;
}
