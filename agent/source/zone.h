/* agent/source/zone.h - what a wall clock of a time zone means, for sources that state local times. */
#ifndef SOURCE_ZONE_H
#define SOURCE_ZONE_H

#include "kluis/base.h"

struct zone;
/* E_USAGE: no such zone on this machine. Europe/Amsterdam is known without the system's files. */
KLUIS_MUSTUSE kluis_status zone_open(const char *name, struct zone **out, struct kluis_err *err);
void zone_free(struct zone *z);
KLUIS_DEFINE_CLEANUP(zone)
struct zone_local {
    int readings;      /* 1; 2: the clock showed it twice; 0: it never showed it (skipped hour) */
    int32_t offset[2]; /* seconds east of UTC of each reading, earlier instant first */
};
/* What a wall clock showing `local` (seconds since 1970 as if UTC) means.  With 0 readings offset[0] is the one
 * before the change. */
void zone_local(struct zone *z, int64_t local, struct zone_local *out);

#endif
