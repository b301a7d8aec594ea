/* lib/base/options.c - see kluis/options.h. */
#include "kluis/options.h"

#include <errno.h>

static const struct kluis_option *find(const struct kluis_command *c, const char *name, size_t len)
{
    for (size_t i = 0; i < c->n_options; i++) {
        if (strlen(c->options[i].name) == len && memcmp(c->options[i].name, name, len) == 0) { return &c->options[i]; }
    }
    return NULL;
}

static kluis_status keep(const struct kluis_command *c, const struct kluis_option *o, const char *value, struct kluis_err *err)
{
    if (o->values != NULL) {
        if (*o->count == o->max) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "%s: --%s may stand %zu times at most", c->name, o->name, o->max); }
        o->values[(*o->count)++] = value;
    } else if (*o->value != NULL) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "%s: --%s stands twice", c->name, o->name);
    } else {
        *o->value = value;
    }
    return KLUIS_OK;
}

/* argv[*i] begins with a dash; takes the value behind it too. */
static kluis_status take(const struct kluis_command *c, int argc, const char *const *argv, int *i, struct kluis_err *err)
{
    const char *a = argv[*i], *equals = strchr(a, '='), *value = "";
    size_t len = equals != NULL ? (size_t)(equals - a) : strlen(a);
    const struct kluis_option *o = len > 2 && a[1] == '-' ? find(c, a + 2, len - 2) : NULL;
    if (o == NULL) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "%s: unknown option '%.60s': see '%s help'", c->name, a, c->program); }
    if (o->flag) {
        if (equals != NULL) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "%s: --%s takes no value", c->name, o->name); }
    } else if (equals != NULL) {
        value = equals + 1;
    } else {
        if (*i + 1 == argc) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "%s: --%s needs a value", c->name, o->name); }
        value = argv[++*i];
    }
    return keep(c, o, value, err);
}

kluis_status kluis_options_read(const struct kluis_command *c, int argc, const char *const *argv, size_t *n_words, struct kluis_err *err)
{
    bool only_words = false;
    *n_words = 0;
    for (int i = 0; i < argc; i++) {
        const char *a = argv[i];
        if (!only_words && strcmp(a, "--") == 0) {
            only_words = true;
        } else if (only_words || a[0] != '-' || a[1] == '\0') {
            if (*n_words == c->max_words) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "%s: too many arguments: see '%s help'", c->name, c->program); }
            c->words[(*n_words)++] = a;
        } else {
            KLUIS_TRY(take(c, argc, argv, &i, err));
        }
    }
    for (size_t i = 0; i < c->n_options; i++) {
        const struct kluis_option *o = &c->options[i];
        if (o->required && o->value != NULL && *o->value == NULL) {
            return KLUIS_FAIL(err, KLUIS_E_USAGE, "%s: --%s is missing: see '%s help'", c->name, o->name, c->program);
        }
    }
    return KLUIS_OK;
}

kluis_status kluis_options_number(const char *command, const char *name, const char *text, int64_t min, int64_t max, int64_t otherwise, int64_t *out,
                                  struct kluis_err *err)
{
    char *end = NULL;
    *out = otherwise;
    if (text == NULL) { return KLUIS_OK; }
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || v < min || v > max) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "%s: %s '%.40s' is not a number from %lld to %lld", command, name, text, (long long)min,
                          (long long)max);
    }
    *out = v;
    return KLUIS_OK;
}
