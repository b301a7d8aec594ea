/* texts.h - Dutch-like messages from stated parameters and one seed, and the exports that they are written to; for workload.c and phones.c.
 *
 * xoshiro256**, its state four outputs of splitmix64 of the seed 20260101.  Whatever fails ends the program with one line: 74 files, 75 memory.
 * Invented text only.  The word list is Debian's wdutch; without it the run refuses: another vocabulary is another workload.
 */
#ifndef TESTS_BENCH_TEXTS_H
#define TESTS_BENCH_TEXTS_H

#include "kluis/base.h"

#include <stdio.h>

enum { TEXTS_MAX = 2048 };
#define TEXTS_WORDS "/usr/share/dict/dutch"
#define TEXTS_FROM 1609459200.0         /* 2021-01-01 UTC */
#define TEXTS_SPAN (5 * 365.25 * 86400) /* five years, in seconds */

void texts_begin(const char *path); /* seeds, then reads the word list; once, before the others */
double texts_uniform(void);         /* [0, 1) */
uint32_t texts_below(uint32_t n);
size_t texts_message(char out[TEXTS_MAX]); /* one message's text and its length; '\n' marks a continuation line */

FILE *texts_create(const char *dir, const char *name);
FILE *texts_create_in(const char *dir, const char *sub, unsigned number); /* DIR/SUB/NNNN/WhatsApp-chat met chat-NNNN.txt, made as needed */
void texts_finish(FILE *f);
/* "dd-mm-yyyy hh:mm - Afzender NNNN: ".  Naive local clock: the export's zone is declared as UTC by whoever reads it (option zone=UTC). */
void texts_header(FILE *f, int64_t s, uint32_t sender);

#endif
