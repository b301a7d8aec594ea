/* server/options.h - kluis/options.h with this program's name. */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include "kluis/options.h"

/* Positional words go to words[0..*n_words). */
KLUIS_MUSTUSE kluis_status options_parse(const char *command, int argc, const char *const *argv, const struct kluis_option *spec, size_t n_spec,
                                         const char **words, size_t max_words, size_t *n_words, struct kluis_err *err);

#endif
