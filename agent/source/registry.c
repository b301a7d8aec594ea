/* registry.c - the kinds of source there are. */
#include "agent/source/source.h"

static const struct source_kind *const kinds[] = { &source_whatsapp_text, &source_signal_export, &source_sms, &source_whatsapp_android };

const struct source_kind *const *source_kinds(size_t *n)
{
    *n = sizeof kinds / sizeof *kinds;
    return kinds;
}

const struct source_kind *source_find(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i]->name, name) == 0) { return kinds[i]; }
    }
    return NULL;
}

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
