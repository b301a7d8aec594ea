/* server/options.c - see options.h. */
#include "server/options.h"

kluis_status options_parse(const char *command, int argc, const char *const *argv, const struct kluis_option *spec, size_t n_spec, const char **words,
                           size_t max_words, size_t *n_words, struct kluis_err *err)
{
    const struct kluis_command c = { "chatkluis-server", command, spec, n_spec, words, max_words };
    return kluis_options_read(&c, argc, argv, n_words, err);
}
