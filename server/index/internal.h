/* server/index/internal.h - what the files of this stage share.  Never leaves the folder. */
#ifndef SERVER_INDEX_INTERNAL_H
#define SERVER_INDEX_INTERNAL_H

#include "server/index/index.h"

bool index_time_ok(int64_t us);

#endif
