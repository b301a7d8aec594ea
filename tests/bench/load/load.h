/* load.h - many agents at one gate: what each does, how it ended.  Shared by the files of bench_load.
 *
 * Every agent is a real home: enrolled with a code, its packages made, sealed, stamped and encrypted by chatkluis-agent beforehand.  Honest ones
 * go through the agent's own courier; the others do first what their kind says, with the same keys, and then go on as honest ones, except those
 * who never finish.  Who does what follows from the seed alone.  Each slot is a process of its own, so that one agent's trouble is its own. */
#ifndef TESTS_BENCH_LOAD_H
#define TESTS_BENCH_LOAD_H

#include <semaphore.h>
#include <stdatomic.h>

#include "agent/courier/internal.h"
#include "agent/pack/pack.h"
#include "tests/support/gate_client.h"

enum load_kind {
    LOAD_HONEST,
    LOAD_SLOW,       /* bytes trickle: an old line, an honest agent                                             */
    LOAD_CUT,        /* connections end in the middle of a chunk, or before an answer was read                     */
    LOAD_DUPLICATED, /* everything twice: at once, one after the other, and again when it was done                 */
    LOAD_REORDERED,  /* a message before its upload, the second chunk before the first, the last package first         */
    LOAD_UNFINISHED, /* as many uploads as a device may begin, none ever finished, the connections held             */
    LOAD_KINDS
};
enum { LOAD_PACKAGES = 16, LOAD_WHY = 200 };

struct load_result { /* of one agent, in memory that all processes share */
    enum load_kind kind;
    uint32_t packages, acknowledged, refused_now; /* refused_now: answers "not now" (429, 503, 507, no answer) that it waited out */
    int64_t began_us, ended_us;                   /* monotonic; from its first byte up to its last receipt; 0: not */
    int64_t took_us[LOAD_PACKAGES];               /* of each package, from its upload's begin to its receipt       */
    char why[LOAD_WHY];                           /* what went wrong; "": nothing                                  */
};

struct load_setup {
    const char *homes; /* DIR/0001 … */
    uint32_t agents, uploads, slots;
    uint64_t seed;
    int64_t seconds, wait_cap_s, hold_s; /* the whole; longest wait that an agent keeps of what the gate asked; how long an unfinished one holds on */
    uint32_t bad_percent;
};

struct load_shared {
    sem_t uploads; /* permits: so many agents upload at once */
    atomic_uint next, uploading, most_uploading;
    int64_t until_us;
    struct load_result result[];
};

struct load_agent {
    const struct load_setup *setup;
    struct load_shared *shared;
    struct load_result *r;
    uint64_t random;
    struct home *h;
    struct pack_identity id;
    struct courier *c;
    struct gate_client *client; /* of those that misbehave */
    struct kluis_key *login;
    struct stock_package package[LOAD_PACKAGES];
    int64_t began_us[LOAD_PACKAGES];
    size_t at; /* the package that goes up now */
};

/* 0 <= result < below. */
uint64_t load_draw(struct load_agent *a, uint64_t below);
/* Notes the first thing that went wrong; gives E_REJECT. */
kluis_status load_wrong(struct load_agent *a, const char *fmt, ...) KLUIS_PRINTF(2, 3);
bool load_over(const struct load_agent *a);
/* Waits as the gate asked, within the setup's ceiling. */
void load_wait(struct load_agent *a, int64_t retry_after_s);
void load_take(struct load_agent *a); /* a permit to upload */
void load_give(struct load_agent *a);
/* agent.c: hands over all that waits and stays until every receipt is there. */
kluis_status load_honest(struct load_agent *a);
/* bad.c: what the kind does first.  The agent goes on as an honest one, except LOAD_UNFINISHED. */
kluis_status load_bad(struct load_agent *a);
/* agent.c: one agent from its home to its result. */
void load_one(const struct load_setup *setup, struct load_shared *shared, uint32_t number);

#endif
