/* package_forge.h - takes a package apart and puts it together again after a change, for tests of refusals. */
#ifndef PACKAGE_FORGE_H
#define PACKAGE_FORGE_H

#include "lib/package/entry_out.h"

enum { FORGE_FILES = 64, FORGE_LEVEL = 6 /* package_sample.c's */ };
struct forge_file {
    char name[256];
    uint8_t *data;
    size_t n;
    bool stored;
};
struct forge {
    struct forge_file file[FORGE_FILES];
    size_t n;
    struct form_clock clock;
};

void forge_open(struct forge *f, struct kluis_bytes package);
void forge_free(struct forge *f);
struct forge_file *forge_find(struct forge *f, const char *suffix);                          /* fails the test when missing */
void forge_replace(struct forge *f, const char *suffix, const char *find, const char *with); /* first occurrence, must exist */
void forge_insert(struct forge *f, size_t at, const char *name, const void *data, size_t n);
void forge_remove(struct forge *f, const char *suffix);
/* Makes Payload-Oxum and the three manifests agree with the files again. */
void forge_relist(struct forge *f);
/* With the writer's own compressor and level, so that what was not changed is the writer's package byte for byte. */
void forge_close(const struct forge *f, struct kluis_buf *out);

#endif
