/* lib/base/lane.c - one giver, one helper, a ring of jobs between them.
 *
 * The helper takes jobs from the front, the giver, while he waits, shared ones from the back.  A job he took is passed over by the helper,
 * who may count it as done before it is: only the giver asks for that count, and not while he is at it. */
#include "kluis/base.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>

struct job {
    kluis_lane_fn *fn;
    void *ctx;
    const uint8_t *p;
    size_t n;
    bool shared, taken; /* by the giver */
};

struct kluis_lane {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t given_more, done_more;
    struct job ring[KLUIS_LANE_JOBS];
    uint64_t given, done;
    uint64_t wanted; /* the giver sleeps until so many are done; 0: it does not */
    bool idle, stop; /* the helper sleeps; nothing comes any more */
    bool moved;      /* it began elsewhere; afterwards all of these are its own */
    cpu_set_t all;
};

static void *help(void *arg)
{
    struct kluis_lane *l = arg;
    if (l->moved) { (void)sched_setaffinity(0, sizeof l->all, &l->all); }
    pthread_mutex_lock(&l->lock);
    for (;;) {
        while (l->given == l->done && !l->stop) {
            l->idle = true;
            pthread_cond_wait(&l->given_more, &l->lock);
            l->idle = false;
        }
        if (l->given == l->done) { break; }
        const struct job j = l->ring[l->done % KLUIS_LANE_JOBS];
        if (!j.taken) {
            pthread_mutex_unlock(&l->lock);
            j.fn(j.ctx, j.p, j.n);
            pthread_mutex_lock(&l->lock);
        }
        l->done++;
        if (l->wanted > 0 && l->done >= l->wanted) { pthread_cond_signal(&l->done_more); }
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static bool several_processors(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    return sched_getaffinity(0, sizeof set, &set) != 0 || CPU_COUNT(&set) > 1; /* too many to be counted is more than one */
}

/* Born beside its giver, a thread waits for its turn for up to some milliseconds, which may be a fifth of all that it is there for: it begins on
 * another processor and may then go where it likes. */
static int start_elsewhere(struct kluis_lane *l)
{
    cpu_set_t others;
    pthread_attr_t attr;
    int here = sched_getcpu();
    CPU_ZERO(&l->all);
    bool known = here >= 0 && here < CPU_SETSIZE && sched_getaffinity(0, sizeof l->all, &l->all) == 0 && CPU_ISSET((size_t)here, &l->all);
    l->moved = known && CPU_COUNT(&l->all) > 1 && pthread_attr_init(&attr) == 0;
    if (l->moved) {
        others = l->all;
        CPU_CLR((size_t)here, &others);
        int rc = pthread_attr_setaffinity_np(&attr, sizeof others, &others);
        if (rc == 0) { rc = pthread_create(&l->thread, &attr, help, l); }
        (void)pthread_attr_destroy(&attr);
        if (rc == 0) { return 0; }
        l->moved = false;
    }
    return pthread_create(&l->thread, NULL, help, l);
}

struct kluis_lane *kluis_lane_new(void)
{
    struct kluis_lane *l = several_processors() ? kluis_calloc(1, sizeof *l) : NULL;
    if (l == NULL) { return NULL; }
    int lock = pthread_mutex_init(&l->lock, NULL);
    int given = pthread_cond_init(&l->given_more, NULL), done = pthread_cond_init(&l->done_more, NULL);
    assert(lock == 0 && given == 0 && done == 0); /* they cannot fail on Linux */
    (void)lock, (void)given, (void)done;
    if (start_elsewhere(l) == 0) { return l; }
    (void)pthread_cond_destroy(&l->given_more);
    (void)pthread_cond_destroy(&l->done_more);
    (void)pthread_mutex_destroy(&l->lock);
    kluis_free(l);
    return NULL;
}

/* The last of the first `given` jobs, if it may be taken.  Never the one in front: the helper is at it, or about to be.  Behind one that may
 * not be taken none is looked for: the helper will get there soon enough, and this stays cheap. */
static struct job *spare(struct kluis_lane *l, uint64_t given)
{
    while (given > l->done + 1 && l->ring[(given - 1) % KLUIS_LANE_JOBS].taken) { given--; }
    struct job *j = &l->ring[(given - 1) % KLUIS_LANE_JOBS];
    return given > l->done + 1 && j->shared ? j : NULL;
}

static void until(struct kluis_lane *l, uint64_t done) /* locked */
{
    while (l->done < done) {
        struct job *j = spare(l, done);
        if (j != NULL) {
            j->taken = true;
            pthread_mutex_unlock(&l->lock);
            j->fn(j->ctx, j->p, j->n);
            pthread_mutex_lock(&l->lock);
            continue;
        }
        l->wanted = done;
        pthread_cond_wait(&l->done_more, &l->lock);
    }
    l->wanted = 0;
}

static void put(struct kluis_lane *l, kluis_lane_fn *fn, void *ctx, const void *p, size_t n, bool shared)
{
    if (l == NULL) {
        fn(ctx, p, n);
        return;
    }
    pthread_mutex_lock(&l->lock);
    if (l->given >= KLUIS_LANE_JOBS) { until(l, l->given - KLUIS_LANE_JOBS + 1); }
    l->ring[l->given++ % KLUIS_LANE_JOBS] = (struct job){ fn, ctx, p, n, shared, false };
    if (l->idle) { pthread_cond_signal(&l->given_more); }
    pthread_mutex_unlock(&l->lock);
}

void kluis_lane_give(struct kluis_lane *l, kluis_lane_fn *fn, void *ctx, const void *p, size_t n) { put(l, fn, ctx, p, n, false); }

void kluis_lane_share(struct kluis_lane *l, kluis_lane_fn *fn, void *ctx, const void *p, size_t n) { put(l, fn, ctx, p, n, true); }

uint64_t kluis_lane_given(const struct kluis_lane *l) { return l == NULL ? 0 : l->given; } /* this thread alone changes it */

size_t kluis_lane_behind(struct kluis_lane *l)
{
    if (l == NULL) { return 0; }
    pthread_mutex_lock(&l->lock);
    size_t n = (size_t)(l->given - l->done);
    pthread_mutex_unlock(&l->lock);
    return n;
}

void kluis_lane_until(struct kluis_lane *l, uint64_t given)
{
    if (l == NULL) { return; }
    pthread_mutex_lock(&l->lock);
    until(l, given);
    pthread_mutex_unlock(&l->lock);
}

void kluis_lane_wait(struct kluis_lane *l) { kluis_lane_until(l, kluis_lane_given(l)); }

void kluis_lane_free(struct kluis_lane *l)
{
    if (l == NULL) { return; }
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_signal(&l->given_more);
    pthread_mutex_unlock(&l->lock);
    (void)pthread_join(l->thread, NULL); /* fails only for threads that do not exist */
    (void)pthread_cond_destroy(&l->given_more);
    (void)pthread_cond_destroy(&l->done_more);
    (void)pthread_mutex_destroy(&l->lock);
    kluis_free(l);
}
