/* server/index/fold.h - shape of fold_table.c.  Never leaves the folder. */
#ifndef SERVER_INDEX_FOLD_H
#define SERVER_INDEX_FOLD_H

#include "kluis/base.h"

/* What a code point is to the tokenizer; one in no range separates. */
enum { FOLD_SEPARATOR = 0, FOLD_LETTER = 1, FOLD_IGNORED = 2, FOLD_SINGLE = 3, FOLD_REGIONAL = 4, FOLD_SYMBOL = 5 };
struct fold_class {
    uint32_t first, last;
    uint8_t what;
};
/* Every step-th code point from first to last folds to itself plus delta. */
struct fold_run {
    uint32_t first, last;
    int32_t delta;
    uint32_t step;
};
/* One code point that folds to several, in UTF-8. */
struct fold_many {
    uint32_t from;
    const char *to;
};
extern const struct fold_class FOLD_CLASSES[];
extern const size_t FOLD_CLASSES_N;
extern const struct fold_run FOLD_RUNS[];
extern const size_t FOLD_RUNS_N;
extern const struct fold_many FOLD_MANY[];
extern const size_t FOLD_MANY_N;

#endif
