/* options.c - options of a source, and which of them may be secrets.
 */
#include "agent/source/source.h"

const char *source_option_get(const struct source_request *q, const char *key)
{
    for (size_t i = 0; i < q->n_options; i++) {
        if (strcmp(q->options[i].key, key) == 0) { return q->options[i].value; }
    }
    return NULL;
}

struct kluis_bytes source_option_bytes(const struct source_request *q, const char *key)
{
    for (size_t i = 0; i < q->n_options; i++) {
        if (strcmp(q->options[i].key, key) != 0) { continue; }
        if (q->options[i].file.ptr != NULL) { return q->options[i].file; }
        return (struct kluis_bytes){ (const uint8_t *)q->options[i].value, strlen(q->options[i].value) };
    }
    return (struct kluis_bytes){ NULL, 0 };
}

kluis_status source_secret(const struct source_request *q, const char *key, const char **out, struct kluis_err *err)
{
    *out = NULL;
    for (size_t i = 0; i < q->n_options; i++) {
        if (strcmp(q->options[i].key, key) != 0) { continue; }
        if (q->options[i].file.ptr == NULL) {
            return KLUIS_FAIL(err, KLUIS_E_USAGE,
                              "%s is a secret and not given as an argument: use --option %s=? to be asked, %s=@FILE or %s=keyring:NAME", key, key,
                              key, key);
        }
        *out = q->options[i].value;
        break;
    }
    return KLUIS_OK;
}
