/* agent/source/download.h - what a platform lets people download of their account: a folder, a zip, or one file out of it.
 *
 * Every name is listed once.  The files that a reader wants can be read anywhere in them; those of a zip lie in a nameless encrypted scratch
 * file for that.  Nothing is made beside the source, links are not followed, and what is not in the list is never opened, whatever a message
 * says.  At most DOWNLOAD_FILES names, DOWNLOAD_NAMES bytes of them, DOWNLOAD_LEVELS folders deep.  One thread.
 */
#ifndef SOURCE_DOWNLOAD_H
#define SOURCE_DOWNLOAD_H

#include "agent/source/source.h"

enum { DOWNLOAD_FILES = 1 << 17, DOWNLOAD_NAMES = 12 << 20, DOWNLOAD_LEVELS = 9, DOWNLOAD_FDS = 8 };

struct download_file {
    struct kluis_str name; /* below what was given, '/' between folders */
    uint64_t size;
    uint64_t at; /* of a wanted file of a zip: where it lies in the scratch file */
    bool wanted;
};
struct download {
    const char *path;
    bool zip;
    bool full;                   /* there were more names than there is room for */
    struct download_file *files; /* sorted by name */
    size_t n, cap;
    struct kluis_arena *names;
    /* private */
    int dir;
    struct kluis_scratch *scratch;
    struct {
        int fd;
        const struct download_file *file;
    } open[DOWNLOAD_FDS];
    uint8_t *window;
    size_t window_cap, window_len, reach;
    const struct download_file *window_file;
    uint64_t window_at;
};

/* wanted: says of a name whether it is read (media are not).  Of one file that is given itself, that one is wanted whatever its name, and its
 * folder, two levels deep, is listed for media.  E_NOTFOUND; E_REJECT: a zip that cannot be read or is locked; E_IO; E_NOMEM. */
KLUIS_MUSTUSE kluis_status download_open(struct download *d, const char *path, bool (*wanted)(struct kluis_str name), struct kluis_err *err);
void download_close(struct download *d);                                                    /* a zeroed one: no-op */
const struct download_file *download_find(const struct download *d, struct kluis_str name); /* NULL: not in the list */
/* The files whose names begin so, *n of them one after the other; NULL: none. */
const struct download_file *download_find_begin(const struct download *d, struct kluis_str begin, size_t *n);
/* The first file whose name ends in '/' and this, or is this. */
const struct download_file *download_find_end(const struct download *d, struct kluis_str end);

/* Of a wanted file.  *got < n only at its end.  E_IO. */
KLUIS_MUSTUSE kluis_status download_read(struct download *d, const struct download_file *f, uint64_t at, void *p, size_t n, size_t *got,
                                         struct kluis_err *err);
/* len bytes from at, borrowed until the next call; fewer when the file became shorter.  Neighbours are read along: cheap in either direction.
 * len is at most what the reader put into its list. */
KLUIS_MUSTUSE kluis_status download_bytes(struct download *d, const struct download_file *f, uint64_t at, size_t len, struct kluis_str *out,
                                          struct kluis_err *err);
struct download_input {
    struct download *d;
    const struct download_file *file;
    uint64_t at;
};
struct kluis_input download_input(struct download_input *state);

/* struct source_kind's attachments, of a reader whose source_refs are names in the list. */
KLUIS_MUSTUSE kluis_status download_attachments(const struct source_request *q, struct kluis_str conversation_id, const struct kluis_str *wanted,
                                                size_t n, const struct source_attachment_sink *sink, struct kluis_err *err);

#endif
