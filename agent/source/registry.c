/* registry.c - the kinds of source there are. */
#include "agent/source/source.h"

/* One a line, so that two people can add one each. */
/* clang-format off */
static const struct source_kind *const kinds[] = {
    &source_whatsapp_text,
    &source_whatsapp_android,
    &source_whatsapp_ios,
    &source_signal_export,
    &source_signal_archive,
    &source_signal_android,
    &source_signal_desktop,
    &source_telegram,
    &source_teams,
    &source_matrix_export,
    &source_slack,
    &source_threema,
    &source_sms,
    &source_imessage,
    &source_meta,
    &source_x,
    &source_linkedin,
    &source_snapchat,
};
/* clang-format on */

const struct source_kind *const *source_kinds(size_t *n)
{
    *n = sizeof kinds / sizeof *kinds;
    return kinds;
}

kluis_status source_read(const struct source_kind *kind, const struct source_request *q, const struct source_sink *sink, struct kluis_err *err)
{
    uint64_t mark = kluis_memory_mark();
    kluis_status rc = kind->read(q, sink, err);
    return kluis_memory_refused(mark) ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory while %s was read: try again", q->path) : rc;
}

const struct source_kind *source_find(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i]->name, name) == 0) { return kinds[i]; }
    }
    return NULL;
}
