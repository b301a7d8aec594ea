/* tests/fault/secrets.c - looks for secrets in the memory of the process.  See fault.h.
 *
 * Half a key is one too: free() writes over the other half.  A half, wherever it stands, covers a whole word at an address divisible by 8; so one
 * pass over such words, against a sieve of those that can stand there, sees all halves of all secrets.  Pages that the process does not have (thread
 * stacks and arenas reserve far more than they use) hold nothing, and looking at them would make them. */
#include "tests/fault/internal.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SECRET_MAX = 64, WORD = 8, HALF = FAULT_SECRET / 2, WORDS_MAX = SECRET_MAX * 2 * (HALF - WORD + 1), SIEVE = 1 << 14, PAGE = 4096, RUN = 512 };

struct quarry {
    uint8_t keys[SECRET_MAX * FAULT_SECRET];
    size_t n_words;
    struct {
        uint64_t word;
        size_t half, at; /* it stands at this byte of which half */
    } word[WORDS_MAX];
    uint8_t sieve[SIEVE];
    char maps[1 << 18];
    uint64_t pages[RUN];
};

static size_t sieve_of(uint64_t word) { return (size_t)(word * 0x9e3779b97f4a7c15u >> 50); }

static void fill(struct quarry *q, size_t n)
{
    for (size_t half = 0; half < 2 * n; half++) {
        for (size_t at = 0; at + WORD <= HALF; at++) {
            uint64_t word;
            memcpy(&word, q->keys + half * HALF + at, WORD);
            q->sieve[sieve_of(word)] = 1;
            q->word[q->n_words].word = word;
            q->word[q->n_words].half = half;
            q->word[q->n_words++].at = at;
        }
    }
}

/* In [from, to), pages of the mapping [low, high). */
static bool stands_in(const struct quarry *q, uintptr_t from, uintptr_t to, uintptr_t low, uintptr_t high)
{
    for (uintptr_t p = from; p < to; p += WORD) {
        uint64_t word = *(const uint64_t *)p;
        if (q->sieve[sieve_of(word)] == 0) { continue; }
        for (size_t i = 0; i < q->n_words; i++) {
            uintptr_t start = p - q->word[i].at;
            if (q->word[i].word != word || start < low || start + HALF > high) { continue; }
            if (memcmp((const void *)start, q->keys + q->word[i].half * HALF, HALF) != 0) { continue; }
            (void)dprintf(2, "secret %zu (half %zu) at %p in ", q->word[i].half / 2, q->word[i].half % 2, (const void *)start);
            return true;
        }
    }
    return false;
}

static bool mapping_holds(struct quarry *q, int pagemap, uintptr_t low, uintptr_t high)
{
    for (uintptr_t at = low; at < high; at += (uintptr_t)RUN * PAGE) {
        size_t n = (high - at) / PAGE < RUN ? (high - at) / PAGE : RUN;
        if (pread(pagemap, q->pages, n * sizeof *q->pages, (off_t)(at / PAGE * sizeof *q->pages)) != (ssize_t)(n * sizeof *q->pages)) { abort(); }
        for (size_t i = 0; i < n; i++) {
            uintptr_t page = at + i * PAGE;
            bool there = q->pages[i] >> 62 != 0; /* in memory or swapped out (proc_pid_pagemap(5)) */
            bool own = page >= (uintptr_t)q && page < (uintptr_t)q + sizeof *q;
            if (there && !own && stands_in(q, page, page + PAGE, low, high)) { return true; }
        }
    }
    return false;
}

bool secrets_stand(const struct fault_subject *s, const char *dir)
{
    struct quarry *q = mmap(NULL, sizeof *q, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC), pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (q == MAP_FAILED || maps < 0 || pagemap < 0) { abort(); }
    fill(q, s->secrets(s->ctx, dir, q->keys, SECRET_MAX));
    size_t got = 0;
    for (ssize_t r = 1; r > 0; got += r > 0 ? (size_t)r : 0) { r = read(maps, q->maps + got, sizeof q->maps - 1 - got); }
    bool found = false;
    for (char *line = q->maps, *end; (end = strchr(line, '\n')) != NULL && !found; line = end + 1) {
        unsigned long low = 0, high = 0;
        char rights[8] = "";
        *end = '\0';
        if (sscanf(line, "%lx-%lx %7s", &low, &high, rights) != 3) { abort(); }
        if (rights[0] != 'r' || rights[1] != 'w' || strstr(line, "[vvar") != NULL || strstr(line, "[vsyscall") != NULL) { continue; }
        found = mapping_holds(q, pagemap, low, high);
        if (found) { (void)dprintf(2, "%s\n", line); }
    }
    kluis_wipe(q, sizeof *q);
    if (munmap(q, sizeof *q) != 0 || close(maps) != 0 || close(pagemap) != 0) { abort(); }
    return found;
}
