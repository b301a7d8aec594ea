/* agent/source/fileset.h - a source that lies as files: a folder, a zip or a tar of them, or one file with others beside it.
 *
 * A folder is read where it lies.  Of an archive, the files the caller wants to read go once into a scratch file (kluis/scratch.h: encrypted,
 * nameless), so that they can be read in any order and again; all others are only listed, and given out as attachments straight from the
 * archive.  Names have '/' between folders and are sorted by their bytes.  Refused: names that are absolute or hold "..", an archive that unpacks
 * to absurdly more than it is.  Memory: the list, 36 MiB at FILESET_MAX; with it 12 MiB of libarchive's for a zip with a directory.  One thread.
 */
#ifndef SOURCE_FILESET_H
#define SOURCE_FILESET_H

#include "agent/source/source.h"

enum { FILESET_MAX = 393216, FILESET_NAMES_MAX = 20 << 20, FILESET_LEVELS = 6, FILESET_BESIDE_MAX = 65536 };
#define FILESET_NONE UINT32_MAX
#define FILESET_SIZE_UNKNOWN UINT64_MAX

struct fileset_entry {
    const char *name;
    uint64_t size;
    uint64_t at;  /* archive: where it stands in the scratch file, if it is kept */
    bool kept;    /* it can be read with fileset_input and fileset_read_at; in a folder everything can */
    bool damaged; /* archive: it ends early, or its checksum says otherwise */
};
struct fileset_how {
    const char *what;               /* "Slack export": for messages */
    const char *passphrase;         /* of an encrypted zip; NULL: none */
    bool (*keep)(const char *name); /* of an archive: which are to be read; NULL: none */
};
struct fileset {
    const char *path, *what, *passphrase;
    bool archive, ended_early; /* of an archive: it is cut off, what came before is there */
    int dir, open_fd;          /* folder: itself, and the file read last */
    uint32_t open;
    uint64_t open_size;         /* when it was opened: it ends there */
    struct fileset_entry *list; /* by name */
    uint32_t *by_base;          /* indexes of list, by the last component */
    uint32_t n, cap;
    uint32_t one; /* where a file was given: that one, in its folder's list; else FILESET_NONE */
    struct kluis_arena *names;
    struct kluis_scratch *kept;
    uint64_t packed; /* bytes of the archive */
};

/* path, what, passphrase are borrowed.  E_NOTFOUND; E_REJECT: an encrypted archive without or with a wrong passphrase, a hostile one; E_LIMIT: more
 * than FILESET_MAX files or the names' room, a bomb; E_IO; E_NOMEM.  Beside a single file at most FILESET_BESIDE_MAX others are seen. */
KLUIS_MUSTUSE kluis_status fileset_open(struct fileset *f, const char *path, const struct fileset_how *how, struct kluis_err *err);
void fileset_close(struct fileset *f); /* a zeroed one: no-op */

uint32_t fileset_find(const struct fileset *f, struct kluis_str name); /* FILESET_NONE */
/* The first of the list, or of by_base, whose name, or last component, is not before `prefix`: n, if there is none. */
uint32_t fileset_from(const struct fileset *f, struct kluis_str prefix);
uint32_t fileset_base_from(const struct fileset *f, struct kluis_str prefix);
const char *fileset_base(const char *name); /* the last component */
/* The only one with this last component; FILESET_NONE: none, or *several. */
uint32_t fileset_named(const struct fileset *f, struct kluis_str base, bool *several);

struct fileset_stream { /* the caller's, while the input is used */
    struct fileset *files;
    uint32_t i;
    uint64_t at;
};
/* Reads entry i from `at` on.  E_NOTFOUND: it is not kept. */
KLUIS_MUSTUSE kluis_status fileset_input(struct fileset *f, uint32_t i, uint64_t at, struct fileset_stream *s, struct kluis_input *in,
                                         struct kluis_err *err);
/* *got < n only at its end. */
KLUIS_MUSTUSE kluis_status fileset_read_at(struct fileset *f, uint32_t i, void *p, size_t n, uint64_t at, size_t *got, struct kluis_err *err);
/* Gives the bytes of those that are named, without making a list of the rest; what is not there is not given.  Errors as of fileset_open. */
KLUIS_MUSTUSE kluis_status fileset_give(const char *path, const struct fileset_how *how, const struct kluis_str *wanted, size_t n,
                                        const struct source_attachment_sink *sink, struct kluis_err *err);
/* Nothing that could leave a folder, whatever system unpacks it: not absolute, no "..". */
bool fileset_safe(const char *name);

#endif
