/* agent/source/files.h - a source that lies as files: a folder, a zip or a tar of them, or one file with others beside it.
 *
 * A folder is read where it lies.  Of an archive, the files the caller wants to read go once into a scratch file (kluis/scratch.h: encrypted,
 * nameless), so that they can be read in any order and again; all others are only listed, and given out as attachments straight from the
 * archive.  Names have '/' between folders and are sorted by their bytes.  Refused: names that are absolute or hold "..", an archive that unpacks
 * to absurdly more than it is.  Memory: the list, 36 MiB at FILES_MAX; with it 12 MiB of libarchive's for a zip with a directory.  One thread.
 */
#ifndef SOURCE_FILES_H
#define SOURCE_FILES_H

#include "agent/source/source.h"

enum { FILES_MAX = 393216, FILES_NAMES_MAX = 20 << 20, FILES_LEVELS = 6, FILES_BESIDE_MAX = 65536 };
#define FILES_NONE UINT32_MAX
#define FILES_SIZE_UNKNOWN UINT64_MAX

struct files_entry {
    const char *name;
    uint64_t size;
    uint64_t at;  /* archive: where it stands in the scratch file, if it is kept */
    bool kept;    /* it can be read with files_input and files_read_at; in a folder everything can */
    bool damaged; /* archive: it ends early, or its checksum says otherwise */
};
struct files_how {
    const char *what;               /* "Slack export": for messages */
    const char *passphrase;         /* of an encrypted zip; NULL: none */
    bool (*keep)(const char *name); /* of an archive: which are to be read; NULL: none */
};
struct files {
    const char *path, *what, *passphrase;
    bool archive, ended_early; /* of an archive: it is cut off, what came before is there */
    int dir, open_fd;          /* folder: itself, and the file read last */
    uint32_t open;
    struct files_entry *list; /* by name */
    uint32_t *by_base;        /* indexes of list, by the last component */
    uint32_t n, cap;
    uint32_t one; /* where a file was given: that one, in its folder's list; else FILES_NONE */
    struct kluis_arena *names;
    struct kluis_scratch *kept;
    uint64_t packed; /* bytes of the archive */
};

/* path, what, passphrase are borrowed.  E_NOTFOUND; E_REJECT: an encrypted archive without or with a wrong passphrase, a hostile one; E_LIMIT: more
 * than FILES_MAX files or the names' room, a bomb; E_IO; E_NOMEM.  Beside a single file at most FILES_BESIDE_MAX others are seen. */
KLUIS_MUSTUSE kluis_status files_open(struct files *f, const char *path, const struct files_how *how, struct kluis_err *err);
void files_close(struct files *f); /* a zeroed one: no-op */

uint32_t files_find(const struct files *f, struct kluis_str name); /* FILES_NONE */
/* The first of the list, or of by_base, whose name, or last component, is not before `prefix`: n, if there is none. */
uint32_t files_from(const struct files *f, struct kluis_str prefix);
uint32_t files_base_from(const struct files *f, struct kluis_str prefix);
const char *files_base(const char *name); /* the last component */
/* The only one with this last component; FILES_NONE: none, or *several. */
uint32_t files_named(const struct files *f, struct kluis_str base, bool *several);

struct files_stream { /* the caller's, while the input is used */
    struct files *files;
    uint32_t i;
    uint64_t at;
};
/* Reads entry i from `at` on.  E_NOTFOUND: it is not kept. */
KLUIS_MUSTUSE kluis_status files_input(struct files *f, uint32_t i, uint64_t at, struct files_stream *s, struct kluis_input *in,
                                       struct kluis_err *err);
/* *got < n only at its end. */
KLUIS_MUSTUSE kluis_status files_read_at(struct files *f, uint32_t i, void *p, size_t n, uint64_t at, size_t *got, struct kluis_err *err);
/* Gives the bytes of those that are named, without making a list of the rest; what is not there is not given.  Errors as of files_open. */
KLUIS_MUSTUSE kluis_status files_give(const char *path, const struct files_how *how, const struct kluis_str *wanted, size_t n,
                                      const struct source_attachment_sink *sink, struct kluis_err *err);
/* Nothing that could leave a folder, whatever system unpacks it: not absolute, no "..". */
bool files_safe(const char *name);

#endif
