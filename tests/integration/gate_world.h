/* gate_world.h - a real gate on loopback with two devices and a vault, for the tests of the gate. */
#ifndef KLUIS_TESTS_GATE_WORLD_H
#define KLUIS_TESTS_GATE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/gate/gate.h"
#include "tests/support/gate_bodies.h"
#include "tests/support/gate_client.h"
#include "tests/support/pki.h"

#define DEVICE "00112233445566778899aabbccddeeff"
#define OTHER "0f0e0d0c0b0a09080706050403020100"
#define UP1 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1"
#define UP2 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa2"
#define MSG1 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb1"
#define MSG2 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb2"
#define MSG3 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb3"

struct world {
    struct pki *pki;
    struct kluis_key *pull, *device_key, *other_key;
    struct kluis_buf cert, key, spki;
    struct gate_config config;
    char dir[64], address[GATE_ADDRESS_MAX];
    int port; /* keeps the address this world's while no gate listens on it */
    struct gate *gate;
    struct gate_client *vault, *device, *other, *anyone;
};

/* Gate started, both devices known to it. */
struct world *world_new(const struct gate_config *with);
void world_free(struct world *w);
void world_stop(struct world *w);
void world_start(struct world *w); /* with w->config, at the same address as before */
void world_device(struct world *w, const char *id, const struct kluis_key *key, uint32_t state);

struct kluis_bytes bytes_of(const char *text);
struct kluis_bytes part(const void *p, size_t n);
struct kluis_bytes none(void);
/* n bytes that differ from place to place. */
struct kluis_bytes pattern(struct kluis_buf *b, size_t n, uint32_t seed);
size_t files_in(const struct world *w); /* upload files on disk */
/* Signs a checkpoint over the first n of the leaves. */
void checkpoint_of(const struct world *w, const struct kluis_str *leaves, size_t n, struct kluis_buf *out);
void mirror_body(const struct world *w, uint64_t from, const struct kluis_str *leaves, size_t to, size_t covered, struct kluis_buf *out);

/* Names of durable steps since the last reset, "a b c ". */
void steps_reset(void);
const char *steps_seen(void);
size_t steps_distinct(void); /* in the whole run */
void syncs_fail(bool on);    /* every fsync of the gate's own */
/* Moves the wall clock of tests and gate. */
void clock_shift(int64_t us);
void clock_stop(void); /* ... or lets it stand still: for what is true of a moment, however long a busy machine takes over it */

/* Until it is so: 60 s at most, a hundred times a second. */
#define UNTIL(condition)                                                                                                                             \
    do {                                                                                                                                             \
        for (int left_ = 6000; !(condition) && left_ > 0; left_--) { kluis_sleep_us(10000); }                                                        \
        assert_true(condition);                                                                                                                      \
    } while (0)
uint32_t waiting(struct world *w); /* requests that sleep at the gate */

#define ASK(client, method, path, body, status_) assert_int_equal(gate_client_status((client), (method), (path), (body)), (status_))

int world_run_device_tests(void);
int world_run_vault_tests(void);
int world_run_trouble_tests(void);

#endif
