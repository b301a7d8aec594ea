/* tests/fuzz/fuzz.h - what fuzz targets share.
 *
 * A target is one file: LLVMFuzzerTestOneInput, and fuzz_setup where it needs something made once.  libFuzzer drives it in the
 * clang-fuzz preset, replay_main.c everywhere else.  What a target holds to beyond "does not crash" it says with MUST.
 */
#ifndef KLUIS_FUZZ_H
#define KLUIS_FUZZ_H

#include "kluis/base.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
void fuzz_setup(void); /* weak: a target may leave it out */

/* The clock of every target: seeds hold certificates and tokens. */
#define FUZZ_NOW INT64_C(1793491200000000)

#define MUST(condition) fuzz_must((condition), #condition, KLUIS_WHERE)
void fuzz_must(bool held, const char *what, const char *where);
/* A file of tests/fuzz/world: certificates and texts that seeds were made with.  Kept for ever, NUL behind it. */
struct kluis_bytes fuzz_world(const char *name);
/* An arena for what fuzz_setup makes: lasts until the end.  Once. */
struct kluis_arena *fuzz_arena(size_t bytes);
/* A fresh directory in memory where there is one, gone at exit. */
const char *fuzz_dir(void);
/* Opens a file to write to, made where it is not there; open until the end.  Once. */
int fuzz_file(const char *path);
/* Any status will do. */
static inline void fuzz_any(KLUIS_UNUSED kluis_status rc) {}
static inline struct kluis_str fuzz_str(const uint8_t *p, size_t n) { return (struct kluis_str){ (const char *)p, n }; }
/* Takes one byte off the front: which of several readers. */
static inline unsigned fuzz_which(const uint8_t **p, size_t *n, unsigned of)
{
    if (*n == 0) { return 0; }
    unsigned which = **p % of;
    ++*p;
    --*n;
    return which;
}

#endif
