/* server/storage/storage_internal.h - what every backend's handles begin with. */
#ifndef SERVER_STORAGE_INTERNAL_H
#define SERVER_STORAGE_INTERNAL_H
#include "server/storage/storage.h"

struct storage {
    const struct storage_backend *backend;
};
struct storage_writer {
    const struct storage_backend *backend;
};
#endif
