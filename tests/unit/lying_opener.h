/* lying_opener.h - an opener taken over by its package, for the tests of the keeper.  The first byte of the key says what it tries. */
#ifndef LYING_OPENER_H
#define LYING_OPENER_H

#include "server/ingest/opener.h"

enum lie {
    LIE_OTHER_SIGNATURE = 1,
    LIE_OTHER_ID,
    LIE_DIE,
    LIE_HALF,
    LIE_FLOOD,
    LIE_ROWS,
    LIE_OPEN,
    LIE_SOCKET,
    LIE_FORK,
    LIE_EXEC_PAGE,
    LIE_MEMORY,
    LIE_DESCRIPTORS,
    LIE_KILL,
    LIE_HANG,
    LIE_ENDED_ONCE, /* by whoever: its first process; the second tells the truth */
    LIE_NOT,
    LIES
};
/* What it says instead of the truth; set before the zygote starts. */
extern struct {
    struct opened truth;
    struct kluis_bytes manifest, signature;
    unsigned *runs; /* in memory that all openers share: LIE_ENDED_ONCE and LIE_HANG count their processes */
} lie;

#endif
