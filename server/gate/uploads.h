/* uploads.h - ciphertext files below uploads/, one per upload id.  The row in gate.db says how much of a file counts.
 *
 * Thread-safe.  One writer per id: a new chunk of an id takes over from one that is still under way (its connection is likely dead). */
#ifndef SERVER_GATE_UPLOADS_H
#define SERVER_GATE_UPLOADS_H

#include "server/gate/store.h"

struct gate_uploads;
struct gate_chunk; /* a chunk being received */

/* Also removes files that no row knows, and rows of unfinished uploads whose bytes are not there: a crash left them. */
KLUIS_MUSTUSE kluis_status gate_uploads_open(struct gate_uploads **out, const char *dir, struct gate_store *store, uint64_t disk_reserve,
                                             struct kluis_err *err);
void gate_uploads_free(struct gate_uploads *u);

/* E_IO with err->sys ENOSPC: `more` bytes would eat into the reserve. */
KLUIS_MUSTUSE kluis_status gate_uploads_room(struct gate_uploads *u, uint64_t more, struct kluis_err *err);

/* Begins a chunk at `offset` of `length`.  Checks room, ownership, place and ceilings; E_REJECT: *stands is the right offset when *misplaced,
 * else the id is another's; E_BUSY: ceiling, or a chunk of it is just being counted; ENOSPC as above. */
KLUIS_MUSTUSE kluis_status gate_chunk_begin(struct gate_uploads *u, const uint8_t id[16], const char *device, uint64_t offset, uint64_t length,
                                            uint64_t size, struct gate_chunk **out, bool *misplaced, uint64_t *stands, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status gate_chunk_add(struct gate_chunk *c, const void *p, size_t n, struct kluis_err *err);
/* A whole chunk becomes part of its upload in three steps: its bytes to the disk; the names of new files, once for many chunks; its row, which counts
 * after gate_store_sync.  From the first on no other request may write the upload.  E_BUSY: taken over by another request. */
KLUIS_MUSTUSE kluis_status gate_chunk_sync(struct gate_chunk *c, struct kluis_err *err);
bool gate_chunk_has_new_name(const struct gate_chunk *c);
KLUIS_MUSTUSE kluis_status gate_uploads_sync_names(struct gate_uploads *u, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status gate_chunk_count(struct gate_chunk *c, int64_t now_us, struct kluis_err *err);
void gate_chunk_free(struct gate_chunk *c); /* without commit nothing counts; NULL: no-op */

/* Removes files that no row knows and no chunk is being written to. */
KLUIS_MUSTUSE kluis_status gate_uploads_sweep(struct gate_uploads *u, struct kluis_err *err);
/* Deletes the files of ids (16 bytes each) whose rows are gone; the directory is synced. */
KLUIS_MUSTUSE kluis_status gate_uploads_drop(struct gate_uploads *u, struct kluis_bytes ids, struct kluis_err *err);
/* For reading; the caller closes.  E_NOTFOUND: there is none (E_IO: that cannot be known); E_CORRUPT: shorter than length. */
KLUIS_MUSTUSE kluis_status gate_uploads_read(struct gate_uploads *u, const uint8_t id[16], uint64_t length, int *fd, struct kluis_err *err);

#endif
