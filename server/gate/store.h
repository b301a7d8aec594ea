/* store.h - gate.db: what the gate remembers, one writer behind one lock, acknowledged only after gate_store_sync.
 *
 * Every call is thread-safe, is one transaction, and leaves nothing changed unless it returns KLUIS_OK (KLUIS_END and E_EXISTS say so).  A
 * transaction is short: it is not on disk when a call returns, but after the next gate_store_sync, which serves all that came before it.  So
 * nobody who reads waits for the disk, and many changes share one wait.
 * E_IO with err->sys == ENOSPC: the disk is full. */
#ifndef SERVER_GATE_STORE_H
#define SERVER_GATE_STORE_H

#include "server/gate/gate.h"
#include "server/gate/route.h"

struct gate_store;
enum { GATE_SPKI_MAX = 600, GATE_BATCH = 64, GATE_BATCH_BYTES = 4 << 20, GATE_ANSWER_MAX = (1 << 20) + 4096, GATE_OTK_MAX = 20000 };

KLUIS_MUSTUSE kluis_status gate_store_open(struct gate_store **out, const char *path, const struct gate_limits *limits, const char *log_vkey,
                                           struct kluis_err *err);
void gate_store_free(struct gate_store *s);
/* All that calls before this one changed is on disk.  Anything that is said to whoever asked, and rests on such a change, is said afterwards; also
 * what a reading call found.  E_IO: it may not be; then the log is copied into the database before the next sync can succeed. */
KLUIS_MUSTUSE kluis_status gate_store_sync(struct gate_store *s, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status gate_store_status(struct gate_store *s, struct gate_status *out, struct kluis_err *err);

/* ---- devices ---- */
enum { GATE_DEVICE_ACTIVE = 1, GATE_DEVICE_SUSPENDED = 2 };
struct gate_device {
    uint8_t spki[GATE_SPKI_MAX];
    size_t spki_len;
    uint32_t state;
};
KLUIS_MUSTUSE kluis_status gate_store_device_put(struct gate_store *s, const char *id, struct kluis_bytes spki, uint32_t state,
                                                 struct kluis_err *err);
KLUIS_MUSTUSE kluis_status gate_store_device_get(struct gate_store *s, const char *id, struct gate_device *out,
                                                 struct kluis_err *err); /* E_NOTFOUND */

/* ---- uploads: rows; the bytes are uploads.c's ---- */
struct gate_upload {
    uint64_t offset, length;
};
/* E_NOTFOUND; E_REJECT: another device's. */
KLUIS_MUSTUSE kluis_status gate_store_upload_get(struct gate_store *s, const uint8_t id[16], const char *device, struct gate_upload *out,
                                                 struct kluis_err *err);
KLUIS_MUSTUSE kluis_status gate_store_upload_room(struct gate_store *s, const char *device, struct kluis_err *err); /* E_BUSY: 8 in progress */
/* from 0 and no row: makes it (E_BUSY: 8 in progress).  E_REJECT: not at `from`, another length or device. */
KLUIS_MUSTUSE kluis_status gate_store_upload_advance(struct gate_store *s, const uint8_t id[16], const char *device, uint64_t length, uint64_t from,
                                                     uint64_t to, int64_t now_us, struct kluis_err *err);
/* A complete one, whosever: for the vault. */
KLUIS_MUSTUSE kluis_status gate_store_upload_length(struct gate_store *s, const uint8_t id[16], uint64_t *length, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status gate_store_upload_known(struct gate_store *s, const uint8_t id[16], bool *known, struct kluis_err *err);
/* Asks `judge` of every upload that no queued message names; those it drops are gone when this returns KLUIS_OK. */
KLUIS_MUSTUSE kluis_status gate_store_uploads_keep(struct gate_store *s,
                                                   kluis_status (*judge)(void *ctx, const uint8_t id[16], uint64_t offset, bool *drop,
                                                                         struct kluis_err *),
                                                   void *ctx, struct kluis_err *err);

/* ---- the queue for the vault ---- */
/* E_EXISTS: the same again; E_REJECT: other body, other device, upload incomplete; E_BUSY: ceilings. */
KLUIS_MUSTUSE kluis_status gate_store_message_put(struct gate_store *s, const uint8_t id[16], const char *device, const uint8_t *upload_or_null,
                                                  struct kluis_bytes body, int64_t now_us, struct kluis_err *err);
/* Appends `chatkluis-next-v1` and items; KLUIS_END when there are none. */
KLUIS_MUSTUSE kluis_status gate_store_next(struct gate_store *s, uint64_t after, struct kluis_buf *out, struct kluis_err *err);
/* Body of `done`.  freed: ids (16 bytes each) of uploads whose rows are gone and whose files must go. */
KLUIS_MUSTUSE kluis_status gate_store_done(struct gate_store *s, struct kluis_bytes body, struct kluis_buf *freed, struct kluis_err *err);

/* ---- enrolment ---- */
/* E_EXISTS: the same body waits already; *ticket is its ticket then too.  E_BUSY: too many. */
KLUIS_MUSTUSE kluis_status gate_store_enrol_put(struct gate_store *s, struct kluis_bytes body, int64_t now_us, char ticket[GATE_ID_TEXT],
                                                struct kluis_err *err);
KLUIS_MUSTUSE kluis_status gate_store_enrol_reply(struct gate_store *s, const char *ticket, struct kluis_buf *out,
                                                  struct kluis_err *err); /* KLUIS_END: not yet */
KLUIS_MUSTUSE kluis_status gate_store_enrol_answer(struct gate_store *s, const char *ticket, struct kluis_bytes reply, int64_t now_us,
                                                   struct kluis_err *err);

/* ---- prekeys ---- */
/* Body of `PUT bundle`.  E_REJECT with *lower: epoch or expiry goes backwards; E_REJECT without: malformed. */
KLUIS_MUSTUSE kluis_status gate_store_bundle_put(struct gate_store *s, struct kluis_bytes body, uint64_t *left, bool *lower, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status gate_store_bundle_take(struct gate_store *s, const char *device, int64_t now_us, struct kluis_buf *out,
                                                  struct kluis_err *err);
uint64_t gate_store_epoch(struct gate_store *s); /* of the bundle that is handed out; 0: none yet */
KLUIS_MUSTUSE kluis_status gate_store_prekeys_left(struct gate_store *s, uint64_t *left, struct kluis_err *err);

/* ---- answers for devices ---- */
/* Body of `outbox`.  wake: ids (32 characters each) of devices that now have something to take. */
KLUIS_MUSTUSE kluis_status gate_store_outbox_put(struct gate_store *s, struct kluis_bytes body, struct kluis_buf *wake, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status gate_store_inbox(struct gate_store *s, const char *device, struct kluis_buf *out,
                                            struct kluis_err *err); /* KLUIS_END: none */
KLUIS_MUSTUSE kluis_status gate_store_inbox_delete(struct gate_store *s, const char *device, const uint8_t id[16], int64_t now_us,
                                                   struct kluis_err *err);

/* ---- the register's journal (journal.c) ---- */
enum { GATE_JOURNAL_ENTRY_MAX = 64 << 10 };
/* Body of `POST register`.  *size: entries held now.  E_BUSY: `from` is not the end; E_REJECT: malformed; E_LIMIT: ten million are held. */
KLUIS_MUSTUSE kluis_status gate_journal_append(struct gate_store *s, struct kluis_bytes body, uint64_t *size, struct kluis_err *err);
/* The same form from entry `from` on, at most 1,000 entries or some 4 MiB; KLUIS_END: there is none. */
KLUIS_MUSTUSE kluis_status gate_journal_read(struct gate_store *s, uint64_t from, struct kluis_buf *out, uint64_t *size, struct kluis_err *err);

/* ---- the mirror of the ledger (mirror.c) ---- */
/* Body of `POST mirror`.  *size: leaves held now.  E_BUSY: another `from` is due; E_REJECT: malformed, or the head is not that of the leaves. */
KLUIS_MUSTUSE kluis_status gate_mirror_append(struct gate_store *s, struct kluis_bytes body, uint64_t *size, struct kluis_buf *wake,
                                              struct kluis_err *err);
KLUIS_MUSTUSE kluis_status gate_mirror_read(struct gate_store *s, uint64_t from, struct kluis_buf *out, uint64_t *size,
                                            struct kluis_err *err); /* KLUIS_END */
KLUIS_MUSTUSE kluis_status gate_mirror_checkpoint(struct gate_store *s, struct kluis_buf *out, struct kluis_err *err);
/* Hash tile (level, index) or entry bundle (index) of `width` items.  E_NOTFOUND: the tree does not hold as many. */
KLUIS_MUSTUSE kluis_status gate_mirror_tile(struct gate_store *s, uint64_t level, uint64_t index, uint64_t width, struct kluis_buf *out,
                                            struct kluis_err *err);
KLUIS_MUSTUSE kluis_status gate_mirror_entries(struct gate_store *s, uint64_t index, uint64_t width, struct kluis_buf *out, struct kluis_err *err);

/* ---- time passes ---- */
KLUIS_MUSTUSE kluis_status gate_store_expire(struct gate_store *s, int64_t now_us, struct kluis_buf *freed, struct kluis_err *err);

#endif
