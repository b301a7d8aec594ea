/* files_archive.h - files.c's other half: what lies in a zip or tar. */
#ifndef SOURCE_FILES_ARCHIVE_H
#define SOURCE_FILES_ARCHIVE_H

#include "agent/source/files.h"
#include "kluis/scratch.h"

/* files.c: one more file in the list; *out (may be NULL) lives until the next. */
KLUIS_MUSTUSE kluis_status files_add(struct files *f, const char *name, uint64_t size, struct files_entry **out, struct kluis_err *err);
/* Lists an archive and keeps what is wanted; f->list is unsorted. */
KLUIS_MUSTUSE kluis_status files_archive_open(struct files *f, bool (*keep)(const char *name), struct kluis_err *err);
/* Only path, what, passphrase and packed of f are needed. */
KLUIS_MUSTUSE kluis_status files_archive_give(struct files *f, const struct kluis_str *wanted, size_t n, const struct source_attachment_sink *sink,
                                              struct kluis_err *err);

#endif
