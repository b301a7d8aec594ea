/* fileset_archive.h - fileset.c's other half: what lies in a zip or tar. */
#ifndef SOURCE_FILESET_ARCHIVE_H
#define SOURCE_FILESET_ARCHIVE_H

#include "agent/source/fileset.h"
#include "kluis/scratch.h"

/* fileset.c: one more file in the list; *out (may be NULL) lives until the next. */
KLUIS_MUSTUSE kluis_status fileset_add(struct fileset *f, const char *name, uint64_t size, struct fileset_entry **out, struct kluis_err *err);
/* Lists an archive and keeps what is wanted; f->list is unsorted. */
KLUIS_MUSTUSE kluis_status fileset_archive_open(struct fileset *f, bool (*keep)(const char *name), struct kluis_err *err);
/* Only path, what, passphrase and packed of f are needed. */
KLUIS_MUSTUSE kluis_status fileset_archive_give(struct fileset *f, const struct kluis_str *wanted, size_t n,
                                                const struct source_attachment_sink *sink, struct kluis_err *err);

#endif
