/* server/options.c - see options.h. */
#include "server/options.h"

static const struct option_spec *find(const struct option_spec *spec, size_t n, const char *name, size_t len)
{
    for (size_t i = 0; i < n; i++) {
        if (strlen(spec[i].name) == len && memcmp(spec[i].name, name, len) == 0) { return &spec[i]; }
    }
    return NULL;
}

kluis_status options_parse(const char *command, int argc, const char *const *argv, const struct option_spec *spec, size_t n_spec, const char **words,
                           size_t max_words, size_t *n_words, struct kluis_err *err)
{
    bool only_words = false;
    *n_words = 0;
    for (int i = 0; i < argc; i++) {
        const char *a = argv[i];
        if (!only_words && strcmp(a, "--") == 0) {
            only_words = true;
            continue;
        }
        if (only_words || strncmp(a, "--", 2) != 0) {
            if (*n_words == max_words) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "%s: one word too many: see 'chatkluis-server help'", command); }
            words[(*n_words)++] = a;
            continue;
        }
        const char *equals = strchr(a, '=');
        size_t len = equals != NULL ? (size_t)(equals - a) - 2 : strlen(a) - 2;
        const struct option_spec *s = find(spec, n_spec, a + 2, len);
        if (s == NULL) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "%s: unknown option '%s': see 'chatkluis-server help'", command, a); }
        const char *value = "";
        if (s->flag) {
            if (equals != NULL) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "%s: --%s takes no value", command, s->name); }
        } else if (equals != NULL) {
            value = equals + 1;
        } else {
            if (i + 1 == argc) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "%s: --%s needs a value", command, s->name); }
            value = argv[++i];
        }
        if (s->values != NULL) {
            if (*s->count == s->max) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "%s: --%s may stand %zu times at most", command, s->name, s->max); }
            s->values[(*s->count)++] = value;
        } else if (*s->value != NULL) {
            return KLUIS_FAIL(err, KLUIS_E_USAGE, "%s: --%s stands twice", command, s->name);
        } else {
            *s->value = value;
        }
    }
    for (size_t i = 0; i < n_spec; i++) {
        if (spec[i].required && spec[i].value != NULL && *spec[i].value == NULL) {
            return KLUIS_FAIL(err, KLUIS_E_USAGE, "%s: --%s is missing: see 'chatkluis-server help'", command, spec[i].name);
        }
    }
    return KLUIS_OK;
}
