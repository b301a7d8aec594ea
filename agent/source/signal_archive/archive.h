/* archive.h - the parts of signal-archive: keys, the encrypted container, frames one after the other, sealed attachments.
 */
#ifndef SIGNAL_ARCHIVE_H
#define SIGNAL_ARCHIVE_H

#include "agent/source/signal_archive/wire.h"
#include "agent/source/signal_model/sealed.h"
#include "agent/source/signal_model/window.h"
#include "kluis/scratch.h"

/* ---- key.c: from the recovery key to what opens an archive ------------------------------------------ */
enum { ARCHIVE_KEY = 32, ARCHIVE_ID = 16, RECOVERY_KEY_LEN = 64 };
struct archive_keys { /* in secret memory */
    uint8_t backup[ARCHIVE_KEY];
    uint8_t id[ARCHIVE_ID];
    uint8_t mac[ARCHIVE_KEY], aes[ARCHIVE_KEY];
    char recovery[RECOVERY_KEY_LEN];
};
/* The recovery key as people write it (spaces, dashes, capitals): E_REJECT: not 64 letters and digits. */
KLUIS_MUSTUSE kluis_status archive_key_recovery(struct archive_keys *k, const char *typed, struct kluis_err *err);
/* The id of the archive from the account id, or from the metadata beside a local one (any length; E_REJECT: no such file). */
KLUIS_MUSTUSE kluis_status archive_key_id_of_account(struct archive_keys *k, const uint8_t aci[16], uint8_t id[ARCHIVE_ID], struct kluis_err *err);
KLUIS_MUSTUSE kluis_status archive_key_id_of_metadata(struct archive_keys *k, struct kluis_bytes metadata, struct kluis_err *err);
/* Message keys; token: of 32 bytes, or NULL. */
KLUIS_MUSTUSE kluis_status archive_key_messages(struct archive_keys *k, const uint8_t *token, struct kluis_err *err);

/* ---- container.c: HMAC, AES-256-CBC, gzip --------------------------------------------------------------- */
/* Whether a file begins like frames in the clear; *sbackup: like an archive with a forward-secrecy token. */
bool archive_is_plain(struct kluis_bytes head);
/* Proves the whole file first (E_REJECT: another key, or damaged: nothing was looked at), then writes its frames into a scratch file. */
KLUIS_MUSTUSE kluis_status archive_unseal(int fd, const char *path, const struct archive_keys *k, struct kluis_scratch **out, struct kluis_err *err);
/* KLUIS_OK and *from: where the sealed part begins (0 without a token).  E_REJECT: a head with a token that is none. */
KLUIS_MUSTUSE kluis_status archive_sealed_from(int fd, const char *path, uint64_t *from, bool *token, struct kluis_err *err);

/* ---- frames.c: frames one after the other, each behind its length ------------------------------------------ */
struct archive_frames {
    struct kluis_input_fd file;    /* in the clear, or */
    struct kluis_scratch *scratch; /* unsealed */
    uint64_t size;
    struct window w;
    uint64_t number;
    bool broken; /* lengths make no sense any more */
};
KLUIS_MUSTUSE kluis_status frames_open(struct archive_frames *f, struct kluis_err *err); /* file or scratch, and size, are set */
void frames_close(struct archive_frames *f);                                             /* not file or scratch */
struct frames frames_of(struct archive_frames *f);

/* ---- files.c: attachments of an archive --------------------------------------------------------------------- */
struct archive_files {
    int dir; /* the folder "files", or -1 */
};
struct media files_media(struct archive_files *f);
/* Opens what a source_ref names; *out NULL: not there, or not as it was.  Errors are E_NOMEM only. */
KLUIS_MUSTUSE kluis_status files_open(int dir, struct kluis_str ref, struct sealed **out, struct kluis_err *err);

#endif
