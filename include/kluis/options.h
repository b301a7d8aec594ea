/* kluis/options.h - command line words, checked one way by agent and server (the verifier's few go through getopt_long). */
#ifndef KLUIS_OPTIONS_H
#define KLUIS_OPTIONS_H

#include "kluis/base.h"

/* "--name VALUE" or "--name=VALUE"; when flag is set, "--name" alone.  Targets must be NULL (*count 0) before. */
struct kluis_option {
    const char *name; /* without "--" */
    bool flag, required;
    const char **value;  /* set to the value, or to "" for a flag */
    const char **values; /* instead of value, for one that may stand several times: filled in order, at most max */
    size_t max, *count;
};
struct kluis_command {
    const char *program, *name; /* for messages: "name: …: see 'program help'" */
    const struct kluis_option *options;
    size_t n_options;
    const char **words; /* the rest, in order; "--" ends the options, "-" is a word */
    size_t max_words;
};
/* Everything points into argv.  E_USAGE names the first thing that is wrong. */
KLUIS_MUSTUSE kluis_status kluis_options_read(const struct kluis_command *c, int argc, const char *const *argv, size_t *n_words,
                                              struct kluis_err *err);
/* A whole number in [min, max]; `otherwise` when text is NULL.  E_USAGE.  name: as the user knows it ("--wait"). */
KLUIS_MUSTUSE kluis_status kluis_options_number(const char *command, const char *name, const char *text, int64_t min, int64_t max, int64_t otherwise,
                                                int64_t *out, struct kluis_err *err);

#endif
