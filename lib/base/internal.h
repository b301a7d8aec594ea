/* lib/base/internal.h - what the files of base share and nobody else sees. */
#ifndef KLUIS_BASE_INTERNAL_H
#define KLUIS_BASE_INTERNAL_H

#include "kluis/base.h"

extern const struct kluis_hooks *kluis_hooks_; /* NULL in production */

#endif
