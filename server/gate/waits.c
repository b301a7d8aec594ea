/* waits.c - the list of suspended connections and the marks of topics. */
#include "server/gate/waits.h"

#include <pthread.h>

enum { MARKS = 256, OF_ONE_KEY = 4, OF_TICKETS = 64 };

struct gate_waits {
    pthread_mutex_t lock;
    struct gate_wait *first;
    uint32_t ceiling, count, tickets;
    uint64_t mark[MARKS]; /* topics share marks: a foreign wake costs one more look, nothing else */
    bool stopping;
};

kluis_status gate_waits_new(struct gate_waits **out, uint32_t ceiling, struct kluis_err *err)
{
    *out = kluis_calloc(1, sizeof **out);
    if (*out == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory for waiting requests"); }
    (void)pthread_mutex_init(&(*out)->lock, NULL);
    (*out)->ceiling = ceiling;
    return KLUIS_OK;
}

void gate_waits_free(struct gate_waits *w)
{
    if (w == NULL) { return; }
    (void)pthread_mutex_destroy(&w->lock);
    kluis_free(w);
}

void gate_waits_lock(struct gate_waits *w) { (void)pthread_mutex_lock(&w->lock); }

void gate_waits_unlock(struct gate_waits *w) { (void)pthread_mutex_unlock(&w->lock); }

static size_t slot(enum gate_topic topic, const char *key)
{
    uint64_t h = UINT64_C(14695981039346656037) + (uint64_t)topic; /* FNV-1a */
    for (; *key != '\0'; key++) { h = (h ^ (uint8_t)*key) * UINT64_C(1099511628211); }
    return (size_t)(h >> 32) % MARKS;
}

uint64_t gate_waits_mark(struct gate_waits *w, enum gate_topic topic, const char *key)
{
    gate_waits_lock(w);
    uint64_t mark = w->mark[slot(topic, key)];
    gate_waits_unlock(w);
    return mark;
}

static void unlist(struct gate_waits *w, struct gate_wait *wait)
{
    if (wait->before != NULL) {
        wait->before->next = wait->next;
    } else {
        w->first = wait->next;
    }
    if (wait->next != NULL) { wait->next->before = wait->before; }
    wait->listed = false;
    w->count--;
    w->tickets -= wait->topic == GATE_TOPIC_TICKET ? 1 : 0;
    MHD_resume_connection(wait->connection);
}

enum gate_slept gate_waits_sleep(struct gate_waits *w, struct gate_wait *wait, uint64_t mark)
{
    enum gate_slept slept = GATE_SLEPT;
    gate_waits_lock(w);
    uint32_t same = 0;
    for (const struct gate_wait *other = w->first; other != NULL && same < OF_ONE_KEY; other = other->next) {
        same += other->topic == wait->topic && strcmp(other->key, wait->key) == 0 ? 1 : 0;
    }
    if (w->stopping) {
        slept = GATE_STOPPING;
    } else if (w->mark[slot(wait->topic, wait->key)] != mark) {
        slept = GATE_CHANGED;
    } else if (w->count >= w->ceiling || same >= OF_ONE_KEY || (wait->topic == GATE_TOPIC_TICKET && w->tickets >= OF_TICKETS)) {
        slept = GATE_CROWDED;
    } else {
        wait->before = NULL;
        wait->next = w->first;
        if (w->first != NULL) { w->first->before = wait; }
        w->first = wait;
        wait->listed = true;
        w->count++;
        w->tickets += wait->topic == GATE_TOPIC_TICKET ? 1 : 0;
        MHD_suspend_connection(wait->connection);
    }
    gate_waits_unlock(w);
    return slept;
}

void gate_waits_wake(struct gate_waits *w, enum gate_topic topic, const char *key)
{
    gate_waits_lock(w);
    w->mark[slot(topic, key)]++;
    for (struct gate_wait *at = w->first; at != NULL;) {
        struct gate_wait *next = at->next;
        if (at->topic == topic && strcmp(at->key, key) == 0) { unlist(w, at); }
        at = next;
    }
    gate_waits_unlock(w);
}

void gate_waits_tick(struct gate_waits *w, int64_t now_us)
{
    gate_waits_lock(w);
    for (struct gate_wait *at = w->first; at != NULL;) {
        struct gate_wait *next = at->next;
        if (at->until_us <= now_us) { unlist(w, at); }
        at = next;
    }
    gate_waits_unlock(w);
}

void gate_waits_stop(struct gate_waits *w)
{
    gate_waits_lock(w);
    w->stopping = true;
    while (w->first != NULL) { unlist(w, w->first); }
    gate_waits_unlock(w);
}

bool gate_waits_stopping(struct gate_waits *w)
{
    gate_waits_lock(w);
    bool stopping = w->stopping;
    gate_waits_unlock(w);
    return stopping;
}

uint32_t gate_waits_count(struct gate_waits *w)
{
    gate_waits_lock(w);
    uint32_t n = w->count;
    gate_waits_unlock(w);
    return n;
}
