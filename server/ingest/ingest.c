/* server/ingest/ingest.c - starts and ends the stages, and what they share. */
#include "server/ingest/ingest_internal.h"
#include "server/walls/walls.h"

#include <assert.h>
#include <errno.h>

bool ingest_stopping(struct ingest *in) { return atomic_load(&in->stop); }

void ingest_wait(struct ingest *in, int64_t us)
{
    struct timespec t;
    if (clock_gettime(CLOCK_MONOTONIC, &t) != 0) { return; }
    int64_t ns = t.tv_nsec + us % 1000000 * 1000;
    t.tv_sec += (time_t)(us / 1000000 + ns / 1000000000);
    t.tv_nsec = (long)(ns % 1000000000);
    (void)pthread_cond_timedwait(&in->changed, &in->lock, &t); /* early or late: every caller looks again */
}

void ingest_wake(struct ingest *in)
{
    pthread_mutex_lock(&in->lock);
    pthread_cond_broadcast(&in->changed);
    pthread_mutex_unlock(&in->lock);
}

void ingest_answer(struct ingest *in)
{
    pthread_mutex_lock(&in->lock);
    in->answers = true;
    pthread_cond_broadcast(&in->changed);
    pthread_mutex_unlock(&in->lock);
}

void ingest_halt(struct ingest *in, const char *stage, const struct kluis_err *err)
{
    kluis_log_err(KLUIS_LOG_ERROR, "ingest.halted", err);
    pthread_mutex_lock(&in->lock);
    if (in->halted[0] == 0) { (void)snprintf(in->halted, sizeof in->halted, "%s: %s", stage, err->msg); }
    atomic_store(&in->stop, true);
    pthread_cond_broadcast(&in->changed);
    pthread_mutex_unlock(&in->lock);
}

/* The lock is held. */
static struct trouble *trouble_of(struct ingest *in, const char *stage)
{
    struct trouble *t = in->trouble;
    while (t->stage != NULL && strcmp(t->stage, stage) != 0) {
        t++;
        assert(t < in->trouble + STAGES);
    }
    t->stage = stage;
    return t;
}

void ingest_well(struct ingest *in, const char *stage)
{
    pthread_mutex_lock(&in->lock);
    trouble_of(in, stage)->times = 0;
    pthread_mutex_unlock(&in->lock);
}

const char *ingest_troubled(struct ingest *in, char out[INGEST_TROUBLE])
{
    bool found = false;
    pthread_mutex_lock(&in->lock);
    for (size_t i = 0; i < STAGES && !found; i++) {
        const struct trouble *t = &in->trouble[i];
        found = t->times > 0;
        if (found) { (void)snprintf(out, INGEST_TROUBLE, "%s: %s", t->stage, t->why); }
    }
    pthread_mutex_unlock(&in->lock);
    return found ? out : NULL;
}

void ingest_trouble(struct ingest *in, const char *stage, const struct kluis_err *err)
{
    if (err->code == KLUIS_E_CORRUPT || err->code == KLUIS_E_BUG) {
        ingest_halt(in, stage, err);
        return;
    }
    kluis_log_err(KLUIS_LOG_WARN, stage, err);
    pthread_mutex_lock(&in->lock);
    struct trouble *t = trouble_of(in, stage);
    unsigned doubled = err->code != KLUIS_E_NOMEM && err->code != KLUIS_E_IO ? 0 : t->times < AGAIN_DOUBLED ? t->times : AGAIN_DOUBLED;
    t->times += t->times <= AGAIN_DOUBLED;
    memcpy(t->why, err->msg, sizeof t->why);
    int64_t until = kluis_monotonic_us() + ((int64_t)AGAIN_US << doubled);
    while (!ingest_stopping(in) && kluis_monotonic_us() < until) { ingest_wait(in, until - kluis_monotonic_us()); }
    pthread_mutex_unlock(&in->lock);
}

static void walls_seen(void *ctx, const struct walls_told *gate, const struct walls_told *authority)
{
    struct ingest *in = ctx;
    pthread_mutex_lock(&in->lock);
    in->gate_walls = *gate;
    in->authority_walls = *authority;
    pthread_mutex_unlock(&in->lock);
}

struct link *ingest_link(struct ingest *in, const char *stage)
{
    struct link *l = NULL;
    const struct link_config c = { .url = in->c.gate_url,
                                   .name = in->c.gate_name,
                                   .ca_pem = kluis_buf_bytes(&in->c.keys->root_pem),
                                   .pull = in->c.keys->pull,
                                   .stop = &in->stop,
                                   .walls = walls_seen,
                                   .ctx = in };
    while (!ingest_stopping(in)) {
        struct kluis_err err = { 0 };
        kluis_status rc = link_open(&l, &c, &err);
        if (rc == KLUIS_OK) { return l; }
        if (rc == KLUIS_E_NOMEM) {
            ingest_trouble(in, stage, &err);
        } else {
            ingest_halt(in, stage, &err);
        }
    }
    return NULL;
}

bool ingest_clock_right(struct ingest *in)
{
    int64_t now = kluis_now_us();
    bool wrong = now < in->clock_from || now > in->clock_to;
    if (atomic_exchange(&in->clock_wrong, wrong) != wrong) {
        char why[KLUIS_ERR_MSG];
        kluis_log(wrong ? KLUIS_LOG_ERROR : KLUIS_LOG_INFO, "clock", "%s", wrong ? ingest_waits(in, why) : "right again");
    }
    return !wrong;
}

const char *ingest_waits(struct ingest *in, char out[KLUIS_ERR_MSG])
{
    int64_t now = kluis_now_us();
    char t[3][KLUIS_TIME_TEXT];
    if (now >= in->clock_from && now <= in->clock_to) { return NULL; }
    (void)kluis_time_text(t[0], now, 0, 0);
    (void)kluis_time_text(t[1], in->clock_from, 0, 0);
    (void)kluis_time_text(t[2], in->clock_to, 0, 0);
    (void)snprintf(out, KLUIS_ERR_MSG,
                   "this computer's clock says %s, and this vault's certificates hold from %s to %s: set the clock; until then nothing is decided",
                   t[0], t[1], t[2]);
    return out;
}

void ingest_no_stamp(struct ingest *in, char out[KLUIS_ERR_MSG])
{
    pthread_mutex_lock(&in->lock);
    memcpy(out, in->no_stamp, sizeof in->no_stamp);
    pthread_mutex_unlock(&in->lock);
}

void ingest_walls(struct ingest *in, struct walls_told *gate, struct walls_told *authority)
{
    pthread_mutex_lock(&in->lock);
    *gate = in->gate_walls;
    *authority = in->authority_walls;
    pthread_mutex_unlock(&in->lock);
}

/* Seal and device CA: what is signed at another time holds for nobody. */
static kluis_status clock_bounds(struct ingest *in, struct kluis_err *err)
{
    const struct kluis_bytes certs[] = { kluis_buf_bytes(&in->c.keys->seal_cert), kluis_buf_bytes(&in->c.keys->device_ca_cert) };
    in->clock_from = INT64_MIN;
    in->clock_to = INT64_MAX;
    for (size_t i = 0; i < sizeof certs / sizeof *certs; i++) {
        int64_t from, to;
        KLUIS_TRY(kluis_cert_validity(certs[i], &from, &to, err));
        in->clock_from = from > in->clock_from ? from : in->clock_from;
        in->clock_to = to < in->clock_to ? to : in->clock_to;
    }
    return KLUIS_OK;
}

bool ingest_journal_at_gate(struct ingest *in, uint64_t *entries)
{
    *entries = atomic_load(&in->journal_at_gate);
    return atomic_load(&in->journal_known);
}

const char *ingest_halted(struct ingest *in)
{
    pthread_mutex_lock(&in->lock);
    const char *why = in->halted[0] == 0 ? NULL : in->halted;
    pthread_mutex_unlock(&in->lock);
    return why;
}

struct stage {
    struct ingest *in;
    const char *name; /* at most 15 bytes: shows where the processor's time goes (top -H, perf) */
    void *(*run)(void *);
};

static void *run_stage(void *arg)
{
    struct stage s = *(struct stage *)arg;
    kluis_free(arg);
    (void)pthread_setname_np(pthread_self(), s.name); /* without it the stage works as well */
    walls_give_way();
    return s.run(s.in);
}

static kluis_status start(struct ingest *in, const char *name, void *(*run)(void *), struct kluis_err *err)
{
    struct stage *s = kluis_malloc(sizeof *s);
    if (s != NULL) { *s = (struct stage){ in, name, run }; }
    if (s == NULL || pthread_create(&in->thread[in->threads], NULL, run_stage, s) != 0) {
        kluis_free(s);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot start a thread of the vault");
    }
    in->threads++;
    return KLUIS_OK;
}

kluis_status ingest_start(struct ingest **out, const struct ingest_config *c, struct kluis_err *err)
{
    *out = NULL;
    struct ingest *in = kluis_calloc(1, sizeof *in);
    if (in == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot start ingest: out of memory"); }
    in->c = *c;
    in->ready_end = &in->ready;
    in->feed_end = &in->feed;
    in->inbox_more = in->answers = in->packages = true; /* whatever the last run left */
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&in->changed, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&in->lock, NULL);
    pthread_mutex_init(&in->journal_lock, NULL);
    atomic_init(&in->stop, false);
    kluis_status rc = sessions_open(&in->sessions, c->custody, err);
    if (rc == KLUIS_OK) { rc = clock_bounds(in, err); }
    if (rc == KLUIS_OK) { rc = custody_last_package(c->custody, &in->handed, err); }
    if (rc == KLUIS_OK) { rc = start(in, "feeder", feeder_main, err); }
    if (rc == KLUIS_OK) { rc = start(in, "committer", committer_main, err); }
    for (int i = 0; i < WORKERS && rc == KLUIS_OK; i++) { rc = start(in, "worker", worker_main, err); }
    if (rc == KLUIS_OK) { rc = start(in, "intake", intake_main, err); }
    if (rc != KLUIS_OK) {
        ingest_stop(in);
        return rc;
    }
    *out = in;
    return KLUIS_OK;
}

static void free_list(struct decided *o)
{
    while (o != NULL) {
        struct decided *next = o->next;
        decided_free(o);
        o = next;
    }
}

void ingest_stop(struct ingest *in)
{
    if (in == NULL) { return; }
    atomic_store(&in->stop, true);
    ingest_wake(in);
    for (size_t i = 0; i < in->threads; i++) { (void)pthread_join(in->thread[i], NULL); /* fails only for a thread that is not ours */ }
    free_list(in->ready);
    free_list(in->feed);
    sessions_free(in->sessions);
    pthread_cond_destroy(&in->changed);
    pthread_mutex_destroy(&in->lock);
    pthread_mutex_destroy(&in->journal_lock);
    kluis_free(in);
}
