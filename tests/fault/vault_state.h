/* tests/fault/vault_state.h - what the vault's sweeps start from and look for: a home with its gate, a device of that home, packages of our own
 * making.
 *
 * Below a trial's directory: home/ (vault, gate, time authority) and device (what the device keeps, and what it sent). */
#ifndef KLUIS_TESTS_FAULT_VAULT_STATE_H
#define KLUIS_TESTS_FAULT_VAULT_STATE_H

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/fault/fault.h"
#include "tests/integration/vault_world.h"

enum {
    STATE_OLD = 2, /* packages that the vault has before anything is swept                  */
    STATE_NEW = 4, /* ... and that wait at the gate, together with                          */
    STATE_BAD = 1, /* one whose signature is over something else, which must be refused     */
    STATE_SENT = STATE_OLD + STATE_NEW + STATE_BAD,
    STATE_GOOD = STATE_OLD + STATE_NEW,
    STATE_RECORDS = 3, /* of each                                                            */
    STATE_DAMAGE = 76,
    STATE_STUCK = 77, /* of state_take, and never right: a vault that is open gets through by itself when what it lacked is there again */
    STATE_HURRY = 20  /* so much shorter are its pauses, of a second and more after trouble */
};

/* For fault_subject: ctx is a struct state.  prepare: `waiting`: the new packages wait at the gate; else the vault has STATE_OLD alone. */
struct state {
    bool waiting;
    pid_t gate; /* the process that runs gate and time authority, 0: none */
    char address[GATE_ADDRESS_MAX];
};
void state_warm(void); /* before fault_main: what a vault's opener loads at its start is loaded here, once, for the trials' openers to inherit */
void state_prepare(void *ctx, const char *dir);
void state_up(void *ctx, const char *dir); /* before: the gate, in a process of its own */
void state_down(void *ctx);                /* after */

/* w for a home below dir whose gate runs (or not: nothing speaks to it); state_world_close gives back what it holds and stops the vault. */
void state_world(struct world *w, const struct state *s, const char *dir);
void state_world_close(struct world *w);

/* Tells it; as kluis_exit_code, but for damage STATE_DAMAGE: only a disk that cannot read what it holds may be that, which
 * state_code_true asks of an outcome; and 1 for a bug. */
int state_code(kluis_status rc, const struct kluis_err *err);
bool state_code_ok(int code);
void state_code_true(const struct fault_outcome *o);
/* Opens the vault and lets it pull until its status says of every key that number (or, of the last `n_least` of them, that one or more), and no more
 * is to be done; then as state_take. */
struct state_goal {
    const char *key; /* what stands before the number, as world_number has it */
    uint64_t value;
};
int state_reach(struct world *w, const struct state_goal *goals, size_t n, size_t n_least);
/* Opens the vault, lets it pull until everything that waits is through, and stops it; w->vault stays open.  A fault that lasts is over after a while.
 * An exit code: 0 all of it is through; STATE_STUCK: some is not; else as state_code: it does not open, or it halted.  Asserts nothing. */
int state_take(struct world *w, uint64_t packages, uint64_t refused);

void state_until_indexed(struct world *w, uint64_t packages); /* of a vault that runs */

/* The device, and what it was told: of each package that it sent, how often and what. */
struct state_told {
    struct world *w;
    struct device d;
    struct {
        uint8_t id[32], root[32], bad;
    } sent[STATE_SENT];
    unsigned receipts[STATE_SENT], refusals[STATE_SENT];
    uint64_t leaf[STATE_SENT];
    struct {
        uint64_t size;
        kluis_hash head;
    } checkpoint[64]; /* every tree that a receipt was proved against */
    size_t n;
};
/* A device, as it is kept between processes; what is got is to be closed. */
void state_device_put(struct kluis_buf *b, const struct device *d);
void state_device_get(struct kluis_wire *r, struct device *d, struct world *w);
void state_told_open(struct state_told *told, struct world *w, const char *dir);
void state_told_close(struct state_told *told);
/* Takes all answers that wait at the gate; each is checked as an agent checks it, and says the same as those before it: of each leaf number one
 * package, of each size of the log one head. */
void state_listen(struct state_told *told);
/* Of the open vault store, ledger, index and register agree (check --read-data), with exactly `packages` packages, each once in the log, each record
 * found once; in the store nothing but the ciphertexts of `stored` packages. */
void state_is_whole(struct world *w, uint64_t packages, uint64_t refused, uint64_t stored);
/* For fault_subject.secrets: the wrapping key, the log's seed, the index's master key and the session identity's private key. */
size_t state_secrets(void *ctx, const char *dir, uint8_t *out, size_t room);

#endif
