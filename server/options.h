/* server/options.h - command line words, checked one way. */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include "kluis/base.h"

/* "--name VALUE" or, when flag is set, "--name" alone.  multi: may stand several times (values[] filled in order). */
struct option_spec {
    const char *name; /* without "--"                                  */
    bool flag, required;
    const char **value; /* set to the value, or to "" for a flag          */
    const char **values;
    size_t max, *count; /* instead of value, for repeated options */
};
/* Positional words go to words[0..*n_words).  E_USAGE names the first thing that is wrong. */
KLUIS_MUSTUSE kluis_status options_parse(const char *command, int argc, const char *const *argv, const struct option_spec *spec, size_t n_spec,
                                         const char **words, size_t max_words, size_t *n_words, struct kluis_err *err);

#endif
