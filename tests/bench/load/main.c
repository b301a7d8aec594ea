/* main.c - bench_load HOMES AGENTS UPLOADS SLOTS SEED SECONDS WAIT_CAP HOLD BAD: agents HOMES/0001 … at once upon the gate that they are enrolled at.
 *
 * SLOTS processes take one agent after the other; UPLOADS of them may upload at a time, the others wait for receipts.  The seed says who misbehaves
 * (BAD per cent) and how.  Ends when every agent did, or after SECONDS.  One JSON object on stdout; what went wrong, a line each, on stderr.
 * Exit 1: an agent had an answer that docs/PROTOCOL.md does not give, or did not finish. */
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <curl/curl.h>

#include "tests/bench/load/load.h"

enum { AGENTS_MAX = 9999, SLOTS_MAX = 1000, GRACE_S = 30 };
static const char *const KINDS[LOAD_KINDS] = { "honest", "slow", "cut", "duplicated", "reordered", "unfinished" };

static void die(const char *why)
{
    fprintf(stderr, "bench_load: %s\n", why);
    exit(1);
}

static void slot(const struct load_setup *setup, struct load_shared *shared)
{
    for (;;) {
        uint32_t number = atomic_fetch_add(&shared->next, 1) + 1;
        if (number > setup->agents) { exit(0); }
        load_one(setup, shared, number);
    }
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double ms_at(const int64_t *v, size_t n, double p) { return n == 0 ? 0 : (double)v[(size_t)(p * (double)(n - 1) + 0.5)] / 1000; }

/* Prints the result; false: something is not as promised. */
static bool tell(const struct load_setup *setup, const struct load_shared *shared, int64_t began_us)
{
    size_t n = 0, agents[LOAD_KINDS] = { 0 }, wrong = 0;
    uint64_t packages = 0, acknowledged = 0, waited = 0;
    int64_t slowest_us = 0, last_us = began_us;
    int64_t *took = kluis_calloc((size_t)setup->agents * LOAD_PACKAGES, sizeof *took);
    if (took == NULL) { die("out of memory"); }
    for (uint32_t i = 0; i < setup->agents; i++) {
        const struct load_result *r = &shared->result[i];
        agents[r->kind]++;
        acknowledged += r->acknowledged;
        waited += r->refused_now;
        if (r->kind != LOAD_UNFINISHED) { packages += r->packages; }
        bool finished = r->kind == LOAD_UNFINISHED ? r->began_us != 0 : r->ended_us != 0 && r->acknowledged == r->packages;
        if (r->why[0] != '\0' || !finished) {
            wrong++;
            fprintf(stderr, "agent %04u (%s): %s\n", i + 1, KINDS[r->kind], r->why[0] != '\0' ? r->why : "did not finish");
        }
        if (r->ended_us > last_us) { last_us = r->ended_us; }
        if (r->kind != LOAD_HONEST || r->ended_us == 0) { continue; }
        if (r->ended_us - r->began_us > slowest_us) { slowest_us = r->ended_us - r->began_us; }
        for (size_t k = 0; k < r->packages; k++) { took[n++] = r->took_us[k]; }
    }
    qsort(took, n, sizeof *took, by_value);
    double seconds = (double)(last_us - began_us) / 1e6;
    printf("{\"agents\":%u,\"seconds\":%.3f,\"packages\":%llu,\"acknowledged\":%llu,\"per_second\":%.2f,\"p50_ms\":%.1f,\"p99_ms\":%.1f,\"worst_ms\":"
           "%.1f,"
           "\"slowest_honest_ms\":%.1f,\"uploading\":%u,\"not_now\":%llu,\"wrong\":%zu",
           setup->agents, seconds, (unsigned long long)packages, (unsigned long long)acknowledged, seconds > 0 ? (double)acknowledged / seconds : 0,
           ms_at(took, n, 0.5), ms_at(took, n, 0.99), ms_at(took, n, 1), (double)slowest_us / 1000, atomic_load(&shared->most_uploading),
           (unsigned long long)waited, wrong);
    for (size_t k = 0; k < LOAD_KINDS; k++) { printf(",\"%s\":%zu", KINDS[k], agents[k]); }
    printf("}\n");
    kluis_free(took);
    return wrong == 0;
}

static int64_t number(const char *text, int64_t least, int64_t most)
{
    char *end = NULL;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || v < least || v > most) { die("a number is not one, or out of its range"); }
    return v;
}

int main(int argc, char **argv)
{
    struct kluis_err err = { 0 };
    if (argc != 10) {
        fprintf(stderr, "usage: bench_load HOMES AGENTS UPLOADS SLOTS SEED SECONDS WAIT_CAP HOLD BAD_PERCENT\n");
        return 64;
    }
    struct load_setup setup = { .homes = argv[1],
                                .agents = (uint32_t)number(argv[2], 1, AGENTS_MAX),
                                .uploads = (uint32_t)number(argv[3], 1, SLOTS_MAX),
                                .slots = (uint32_t)number(argv[4], 1, SLOTS_MAX),
                                .seed = (uint64_t)number(argv[5], 1, INT64_MAX),
                                .seconds = number(argv[6], 1, 3600),
                                .wait_cap_s = number(argv[7], 1, 3600),
                                .hold_s = number(argv[8], 0, 3600),
                                .bad_percent = (uint32_t)number(argv[9], 0, 100) };
    if (kluis_base_init(&err) != KLUIS_OK || curl_global_init(CURL_GLOBAL_DEFAULT) != 0) { die("cannot start libcurl or libgcrypt"); }
    size_t size = sizeof(struct load_shared) + setup.agents * sizeof(struct load_result);
    struct load_shared *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || sem_init(&shared->uploads, 1, setup.uploads) != 0) { die("no shared memory"); }
    int64_t began_us = kluis_monotonic_us();
    shared->until_us = began_us + setup.seconds * 1000000;
    pid_t slots[SLOTS_MAX];
    for (uint32_t i = 0; i < setup.slots; i++) {
        slots[i] = fork();
        if (slots[i] < 0) { die("cannot start a slot"); }
        if (slots[i] == 0) { slot(&setup, shared); }
    }
    bool ok = true;
    uint32_t left = setup.slots;
    while (left > 0) {
        int status = 0;
        pid_t p = waitpid(-1, &status, WNOHANG);
        if (p > 0) {
            left--;
            for (uint32_t i = 0; i < setup.slots; i++) { slots[i] = slots[i] == p ? 0 : slots[i]; }
            if (status != 0) {
                ok = false;
                fprintf(stderr, "a slot ended with status %d\n", status);
            }
        } else if (kluis_monotonic_us() > shared->until_us + (int64_t)GRACE_S * 1000000) {
            for (uint32_t i = 0; i < setup.slots; i++) {
                if (slots[i] > 0) { (void)kill(slots[i], SIGKILL); }
            }
            kluis_sleep_us(100000);
        } else {
            kluis_sleep_us(20000);
        }
    }
    ok = tell(&setup, shared, began_us) && ok;
    return ok ? 0 : 1;
}
