/* changes.c - see changes.h. */
#include "server/gate/changes.h"

#include <pthread.h>

#include "server/log.h"

enum { THREADS = 4, BATCH = 64 };

struct gate_changes {
    struct gate_store *store;
    struct gate_uploads *uploads;
    pthread_mutex_t lock;
    pthread_cond_t come;
    struct gate_change *first, **end;
    size_t waiting;
    bool halted;
    pthread_t thread[THREADS];
    size_t threads;
};

/* ---- a batch ---------------------------------------------------------------------------------- */

static bool holds(const struct gate_change *c) { return c->rc == KLUIS_OK || c->rc == KLUIS_E_EXISTS || c->rc == KLUIS_END; }

static void fail_with(struct gate_change *c, kluis_status rc, const struct kluis_err *err)
{
    c->rc = rc;
    c->err = *err;
}

static bool has_new_name(const struct gate_change *c) { return c->chunk != NULL && gate_chunk_has_new_name(c->chunk); }

/* The names of new files, then bytes of chunks, then the rows, then the log: each before the next. */
static void make(struct gate_changes *g, struct gate_change *const *batch, size_t n)
{
    struct kluis_err err = { 0 };
    bool names = false;
    for (size_t i = 0; i < n; i++) { names = names || has_new_name(batch[i]); }
    kluis_status rc = names ? gate_uploads_sync_names(g->uploads, &err) : KLUIS_OK;
    for (size_t i = 0; i < n; i++) {
        struct gate_change *c = batch[i];
        c->rc = KLUIS_OK;
        if (rc != KLUIS_OK && has_new_name(c)) {
            fail_with(c, rc, &err);
        } else if (c->chunk != NULL) {
            c->rc = gate_chunk_sync(c->chunk, &c->err);
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (batch[i]->rc == KLUIS_OK) { batch[i]->rc = batch[i]->kind->work(batch[i]->request, &batch[i]->err); }
    }
    kluis_err_clear(&err);
    rc = gate_store_sync(g->store, &err);
    for (size_t i = 0; i < n; i++) {
        struct gate_change *c = batch[i];
        if (rc != KLUIS_OK && holds(c)) { fail_with(c, rc, &err); }
        if (c->rc == KLUIS_OK && c->kind->after != NULL) { c->rc = c->kind->after(c->request, &c->err); }
    }
}

/* The threads share what waits: a slow disk is asked for several files at once, and a fast one for many in one go. */
static size_t take(struct gate_changes *g, struct gate_change **batch)
{
    (void)pthread_mutex_lock(&g->lock);
    while (g->first == NULL && !g->halted) { (void)pthread_cond_wait(&g->come, &g->lock); }
    size_t share = (g->waiting + THREADS - 1) / THREADS, n = 0;
    while (g->first != NULL && n < share && n < BATCH) {
        batch[n++] = g->first;
        g->first = g->first->next;
        g->waiting--;
    }
    if (g->first == NULL) { g->end = &g->first; }
    (void)pthread_mutex_unlock(&g->lock);
    return n;
}

static void *make_changes(void *ctx)
{
    struct gate_changes *g = ctx;
    struct gate_change *batch[BATCH];
    for (size_t n = take(g, batch); n > 0; n = take(g, batch)) {
        make(g, batch, n);
        (void)pthread_mutex_lock(&g->lock);
        for (size_t i = 0; i < n; i++) { /* a request may be gone as soon as its connection runs again: not touched after that */
            struct MHD_Connection *connection = batch[i]->connection;
            batch[i]->ready = true;
            MHD_resume_connection(connection);
        }
        (void)pthread_mutex_unlock(&g->lock);
    }
    return NULL;
}

/* ---- from outside ----------------------------------------------------------------------------- */

bool gate_changes_ask(struct gate_changes *g, struct gate_change *c)
{
    c->asked_us = kluis_monotonic_us();
    c->next = NULL;
    (void)pthread_mutex_lock(&g->lock); /* nobody resumes what is not suspended yet */
    bool taken = !g->halted;
    if (taken) {
        *g->end = c;
        g->end = &c->next;
        g->waiting++;
        MHD_suspend_connection(c->connection);
        (void)pthread_cond_signal(&g->come);
    }
    (void)pthread_mutex_unlock(&g->lock);
    return taken;
}

bool gate_changes_ready(struct gate_changes *g, const struct gate_change *c)
{
    (void)pthread_mutex_lock(&g->lock);
    bool ready = c->ready;
    (void)pthread_mutex_unlock(&g->lock);
    return ready;
}

unsigned gate_changes_late_s(struct gate_changes *g)
{
    (void)pthread_mutex_lock(&g->lock);
    int64_t late_us = g->first == NULL ? 0 : kluis_monotonic_us() - g->first->asked_us;
    (void)pthread_mutex_unlock(&g->lock);
    if (late_us < (int64_t)GATE_LATE_S * 1000000) { return 0; }
    int64_t s = GATE_LATE_S + late_us / 1000000;
    return s < GATE_LATE_MAX_S ? (unsigned)s : GATE_LATE_MAX_S;
}

kluis_status gate_changes_start(struct gate_changes **out, struct gate_store *store, struct gate_uploads *uploads, struct kluis_err *err)
{
    struct gate_changes *g = *out = kluis_calloc(1, sizeof *g);
    if (g == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory for the gate's changes"); }
    g->store = store;
    g->uploads = uploads;
    g->end = &g->first;
    (void)pthread_mutex_init(&g->lock, NULL);
    (void)pthread_cond_init(&g->come, NULL);
    while (g->threads < THREADS) {
        if (pthread_create(&g->thread[g->threads], NULL, make_changes, g) != 0) {
            return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot start a thread of the gate");
        }
        g->threads++;
    }
    return KLUIS_OK;
}

void gate_changes_halt(struct gate_changes *g)
{
    if (g == NULL) { return; }
    (void)pthread_mutex_lock(&g->lock);
    g->halted = true;
    (void)pthread_cond_broadcast(&g->come);
    (void)pthread_mutex_unlock(&g->lock);
    for (; g->threads > 0; g->threads--) { (void)pthread_join(g->thread[g->threads - 1], NULL); }
}

void gate_changes_free(struct gate_changes *g)
{
    if (g == NULL) { return; }
    (void)pthread_cond_destroy(&g->come);
    (void)pthread_mutex_destroy(&g->lock);
    kluis_free(g);
}
