/* lib/base/internal.h - what the files of base share and nobody else sees. */
#ifndef KLUIS_BASE_INTERNAL_H
#define KLUIS_BASE_INTERNAL_H

#include "kluis/base.h"

extern const struct kluis_hooks *kluis_hooks_; /* NULL in production */

/* memory.c: libgcrypt's own memory, wiped when it is given back. */
void *kluis_gcrypt_alloc(size_t n);
void *kluis_gcrypt_realloc(void *p, size_t n);
void kluis_gcrypt_free(void *p);
int kluis_gcrypt_is_secure(const void *p);

#endif
