/* nonce.c - stateless nonces and the bounded set of used ones. */
#include "server/gate/nonce.h"

#include <pthread.h>

enum { NONCE_HEAD = 16, NONCE_MAC = 16, NONCE_RAW = NONCE_HEAD + NONCE_MAC, SHARES = 1024 };

/* Open addressing at half load; a head of zeros means free, which no nonce has (its time is never 0 together with 8 zero random bytes
 * but with probability 2^-64, and then it is only refused). */
struct generation {
    uint8_t (*slot)[NONCE_HEAD];
    size_t used;
};

struct gate_nonces {
    uint8_t key[32];
    uint32_t life_s;
    size_t ceiling, slots; /* slots: a power of two >= 2 * ceiling */
    pthread_mutex_t lock;
    struct generation now, before;
    uint32_t share[SHARES]; /* of the present generation, by a hash of the device's id */
    uint64_t began_s;
};

kluis_status gate_nonces_new(struct gate_nonces **out, uint32_t life_s, size_t ceiling, struct kluis_err *err)
{
    *out = NULL;
    struct gate_nonces *n = kluis_calloc(1, sizeof *n);
    if (n == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory for nonces"); }
    n->life_s = life_s;
    n->ceiling = ceiling;
    n->slots = 2;
    while (n->slots < 2 * ceiling) { n->slots *= 2; }
    n->now.slot = kluis_calloc(n->slots, NONCE_HEAD);
    n->before.slot = kluis_calloc(n->slots, NONCE_HEAD);
    if (n->now.slot == NULL || n->before.slot == NULL) {
        kluis_free(n->now.slot);
        kluis_free(n->before.slot);
        kluis_free(n);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory for nonces");
    }
    kluis_random(n->key, sizeof n->key);
    (void)pthread_mutex_init(&n->lock, NULL);
    *out = n;
    return KLUIS_OK;
}

void gate_nonces_free(struct gate_nonces *n)
{
    if (n == NULL) { return; }
    (void)pthread_mutex_destroy(&n->lock);
    kluis_free(n->now.slot);
    kluis_free(n->before.slot);
    kluis_wipe(n, sizeof *n);
    kluis_free(n);
}

static void put_u64(uint8_t out[8], uint64_t v)
{
    for (int i = 7; i >= 0; i--) {
        out[i] = (uint8_t)v;
        v >>= 8;
    }
}

static uint64_t get_u64(const uint8_t in[8])
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) { v = v << 8 | in[i]; }
    return v;
}

kluis_status gate_nonce_make(struct gate_nonces *n, uint64_t now_s, char out[GATE_NONCE_TEXT], struct kluis_err *err)
{
    uint8_t raw[NONCE_HEAD + 32];
    put_u64(raw, now_s);
    kluis_random(raw + 8, 8);
    uint8_t mac[32];
    KLUIS_TRY(kluis_hmac_sha256(n->key, sizeof n->key, raw, NONCE_HEAD, mac, err));
    memcpy(raw + NONCE_HEAD, mac, NONCE_MAC);
    (void)kluis_base64url(raw, NONCE_RAW, out);
    return KLUIS_OK;
}

static bool decode(const char *text, uint8_t raw[NONCE_RAW])
{
    size_t got = 0;
    return kluis_unbase64url(kluis_str_of(text), raw, NONCE_RAW, &got) && got == NONCE_RAW;
}

kluis_status gate_nonce_check(struct gate_nonces *n, const char *text, uint64_t now_s, struct kluis_err *err)
{
    uint8_t raw[NONCE_RAW];
    uint8_t mac[32];
    if (!decode(text, raw)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "the nonce is not one"); }
    KLUIS_TRY(kluis_hmac_sha256(n->key, sizeof n->key, raw, NONCE_HEAD, mac, err));
    if (!kluis_equal_secret(mac, raw + NONCE_HEAD, NONCE_MAC)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "the nonce is not of this gate's present run; use the fresh one");
    }
    uint64_t made_s = get_u64(raw);
    if (made_s > now_s || now_s - made_s >= n->life_s) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "the nonce is stale; use the fresh one"); }
    return KLUIS_OK;
}

/* The slot that holds head, or the free one where it belongs. */
static size_t find(const struct gate_nonces *n, const struct generation *g, const uint8_t head[NONCE_HEAD])
{
    static const uint8_t empty[NONCE_HEAD];
    size_t at = (size_t)get_u64(head + 8) & (n->slots - 1); /* the random half spreads well */
    while (memcmp(g->slot[at], empty, NONCE_HEAD) != 0 && memcmp(g->slot[at], head, NONCE_HEAD) != 0) { at = (at + 1) & (n->slots - 1); }
    return at;
}

static size_t share_of(const char *who)
{
    uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */
    for (; *who != '\0'; who++) { h = (h ^ (uint8_t)*who) * UINT64_C(1099511628211); }
    return (size_t)(h >> 32) % SHARES;
}

kluis_status gate_nonce_take(struct gate_nonces *n, const char *text, const char *who, uint64_t now_s, struct kluis_err *err)
{
    uint8_t raw[NONCE_RAW];
    if (!decode(text, raw)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "the nonce is not one"); }
    kluis_status rc = KLUIS_OK;
    (void)pthread_mutex_lock(&n->lock);
    /* A nonce taken in a generation is dead at the latest one life after that generation ended. */
    if (now_s - n->began_s >= n->life_s) {
        struct generation old = n->before;
        n->before = n->now;
        n->now = old;
        memset(n->now.slot, 0, n->slots * NONCE_HEAD);
        n->now.used = 0;
        memset(n->share, 0, sizeof n->share);
        if (now_s - n->began_s >= 2 * (uint64_t)n->life_s) {
            memset(n->before.slot, 0, n->slots * NONCE_HEAD);
            n->before.used = 0;
        }
        n->began_s = now_s;
    }
    uint32_t *share = &n->share[share_of(who)];
    size_t at = find(n, &n->now, raw);
    size_t old = find(n, &n->before, raw);
    if (memcmp(n->now.slot[at], raw, NONCE_HEAD) == 0 || memcmp(n->before.slot[old], raw, NONCE_HEAD) == 0) {
        rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "the nonce was used before; use the fresh one");
    } else if (n->now.used >= n->ceiling || (*share >= n->ceiling / 2 && strcmp(who, "vault") != 0)) {
        rc = KLUIS_FAIL(err, KLUIS_E_BUSY, "too many requests at once; try again later");
    } else {
        memcpy(n->now.slot[at], raw, NONCE_HEAD);
        n->now.used++;
        (*share)++;
    }
    (void)pthread_mutex_unlock(&n->lock);
    return rc;
}
