/* tests/fuzz/mutate.h - a short budget of changed inputs for a build without libFuzzer, the same ones in every run. */
#ifndef KLUIS_FUZZ_MUTATE_H
#define KLUIS_FUZZ_MUTATE_H

#include "kluis/base.h"

enum { MUTATE_MAX = 64 << 10, MUTATE_SEEDS = 256, MUTATE_WORDS = 256 };

/* Keeps an input to change; longer ones than MUTATE_MAX and more than MUTATE_SEEDS are left out. */
void mutate_seed(const uint8_t *p, size_t n);
/* Keeps the words of a dictionary in libFuzzer's form ("..." with \\, \" and \xNN; # begins a comment).  A line that is none ends the program. */
void mutate_words(const char *path);
/* Gives `n` changed inputs to `each`, or as many as fit in `ms` of this process's CPU time; the number given.  `start`: which changes. */
unsigned long mutate_run(unsigned long n, unsigned ms, uint64_t start, void (*each)(const uint8_t *p, size_t n));

#endif
