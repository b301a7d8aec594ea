/* strangers.c - a bucket of refusals for each address, in a table of fixed size.  See strangers.h. */
#include "server/gate/strangers.h"

#include <netinet/in.h>
#include <pthread.h>

enum { SLOTS = 4096, WAYS = 4 };
#define MINUTE_US ((int64_t)60 * 1000000)

struct bucket {
    uint64_t who;
    int64_t full_us; /* when it will have all its refusals back; in the past: it has, and the slot is free */
};
struct gate_strangers {
    pthread_mutex_t lock;
    int64_t step_us; /* what one refusal costs */
    uint8_t key[32];
    struct bucket bucket[SLOTS];
};

kluis_status gate_strangers_new(struct gate_strangers **out, uint32_t per_minute, struct kluis_err *err)
{
    *out = kluis_calloc(1, sizeof **out);
    if (*out == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory for the gate's list of addresses"); }
    pthread_mutex_init(&(*out)->lock, NULL);
    kluis_random((*out)->key, sizeof(*out)->key);
    (*out)->step_us = MINUTE_US / (per_minute == 0 ? 1 : per_minute);
    return KLUIS_OK;
}

void gate_strangers_free(struct gate_strangers *s)
{
    if (s == NULL) { return; }
    pthread_mutex_destroy(&s->lock);
    kluis_free(s);
}

/* Keyed, so that nobody can choose addresses that push others out of the table. */
static uint64_t name_of(const struct gate_strangers *s, const struct sockaddr *who)
{
    uint8_t address[9] = { 0 }, mac[32];
    uint64_t name = 0;
    if (who->sa_family == AF_INET) {
        address[0] = 4;
        memcpy(address + 1, &((const struct sockaddr_in *)(const void *)who)->sin_addr, 4);
    } else if (who->sa_family == AF_INET6) {
        address[0] = 6;
        memcpy(address + 1, &((const struct sockaddr_in6 *)(const void *)who)->sin6_addr, 8);
    }
    if (kluis_hmac_sha256(s->key, sizeof s->key, address, sizeof address, mac, NULL) == KLUIS_OK) { memcpy(&name, mac, sizeof name); }
    return name; /* without memory all share one bucket for the moment */
}

bool gate_strangers_refused(struct gate_strangers *s, const struct sockaddr *who, int64_t now_us)
{
    uint64_t name = name_of(s, who);
    struct bucket *set = &s->bucket[name % (SLOTS / WAYS) * WAYS], *b = &set[0];
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].who == name) {
            b = &set[i];
            break;
        }
        if (set[i].full_us < b->full_us) { b = &set[i]; } /* whoever is refused least makes room */
    }
    if (b->who != name) { *b = (struct bucket){ .who = name, .full_us = now_us }; }
    if (b->full_us < now_us) { b->full_us = now_us; }
    bool allowed = b->full_us - now_us <= MINUTE_US - s->step_us;
    if (allowed) { b->full_us += s->step_us; }
    pthread_mutex_unlock(&s->lock);
    return allowed;
}
