/* export.h - the parts of signal-export: lines of a file, and the folder with its attachments.
 */
#ifndef SIGNAL_EXPORT_H
#define SIGNAL_EXPORT_H

#include "agent/source/signal_model/model.h"
#include "agent/source/signal_model/window.h"

/* ---- lines.c ------------------------------------------------------------------------------------- */
struct lines {
    struct kluis_input_fd file;
    struct window w;
    uint64_t number; /* of the last line given, counted from 1 */
};
KLUIS_MUSTUSE kluis_status lines_open(struct lines *l, int fd, const char *what, struct kluis_err *err);
/* KLUIS_END after the last.  line is without its newline and lives until the next call; at: its offset in the file. */
KLUIS_MUSTUSE kluis_status lines_next(struct lines *l, struct kluis_str *line, uint64_t *at, struct kluis_err *err);
void lines_seek(struct lines *l, uint64_t at);
void lines_close(struct lines *l);

/* ---- folder.c ------------------------------------------------------------------------------------ */
struct folder {
    int dir; /* the export's folder or -1 */
};
/* Opens what a source_ref of ours names; -1: not there or no such reference. */
int folder_open(int dir, struct kluis_str ref);
struct media folder_media(struct folder *f);

#endif
