/* read.h - the reader's list of entries, for the export that goes on behind them.  Never leaves the folder. */
#ifndef PACKAGE_READ_H
#define PACKAGE_READ_H

#include "form.h"

struct package_shape {
    struct form_entries entries; /* kluis_free its list */
    struct kluis_arena *arena;   /* their names */
    struct form_clock clock;
};
/* kluis_package_read; on success *shape is the caller's. */
KLUIS_MUSTUSE kluis_status package_read_shape(const struct kluis_input *in, struct package_shape *shape, struct kluis_package_facts *facts,
                                              struct kluis_err *err);

#endif
