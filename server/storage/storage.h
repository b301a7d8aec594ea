/* server/storage/storage.h - where ciphertext lies, and how content keys are wrapped.
 *
 * ingest -> [storage].  An interface, so that another backend (object store, tape) can take its place: the file backend keeps
 * <vault>/storage/ab/<package id>.ckc, ciphertext exactly as it came, never changed.  Any thread; a writer belongs to one.
 */
#ifndef SERVER_STORAGE_H
#define SERVER_STORAGE_H

#include "kluis/base.h"

struct storage;
struct storage_writer;
struct storage_backend {
    void (*free)(struct storage *s);
    kluis_status (*begin)(struct storage *s, const uint8_t upload[16], struct storage_writer **out, struct kluis_err *err);
    kluis_status (*write)(struct storage_writer *w, const void *p, size_t n, struct kluis_err *err);
    void (*end)(struct storage_writer *w, uint8_t sha256[32], uint64_t *size);
    kluis_status (*sync)(struct storage_writer *w, struct kluis_err *err);
    kluis_status (*publish)(struct storage_writer *w, const uint8_t package[32], struct kluis_err *err);
    kluis_status (*settle)(struct storage *s, struct kluis_err *err);
    void (*abandon)(struct storage_writer *w);
    kluis_status (*fetch)(struct storage *s, const uint8_t package[32], int *fd, uint64_t *size, struct kluis_err *err);
};

/* <vault_dir>/storage; removes what an interrupted run left in incoming. */
KLUIS_MUSTUSE kluis_status storage_open_files(struct storage **out, const char *vault_dir, struct kluis_err *err);
void storage_free(struct storage *s);
KLUIS_DEFINE_CLEANUP(storage)

/* begin -> write* -> end -> sync -> publish -> settle, or abandon at any point before publish.  One settle serves any number of
 * packages, and so a group of them costs one wait for the disk after another, not three for each.
 * end: no more bytes; digest and size are known, writing out begins.  sync: the bytes are on disk, under no name yet.
 * publish: they have their name; the writer is freed whatever it returns.  Publishing a package that is stored already with other
 * bytes is E_EXISTS; with the same bytes it is OK.  settle: every name published so far is on disk.  Only then may anybody be told. */
KLUIS_MUSTUSE kluis_status storage_begin(struct storage *s, const uint8_t upload[16], struct storage_writer **out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status storage_write(struct storage_writer *w, const void *p, size_t n, struct kluis_err *err);
void storage_end(struct storage_writer *w, uint8_t sha256[32], uint64_t *size);
KLUIS_MUSTUSE kluis_status storage_sync(struct storage_writer *w, struct kluis_err *err); /* a failure is final: abandon it */
KLUIS_MUSTUSE kluis_status storage_publish(struct storage_writer **w, const uint8_t package[32], struct kluis_err *err);
KLUIS_MUSTUSE kluis_status storage_settle(struct storage *s, struct kluis_err *err); /* after a failure the next one tries again */
void storage_abandon(struct storage_writer **w);                                     /* *w NULL: no-op */
/* A descriptor to read from, the caller closes it.  E_NOTFOUND. */
KLUIS_MUSTUSE kluis_status storage_fetch(struct storage *s, const uint8_t package[32], int *fd, uint64_t *size, struct kluis_err *err);
/* SHA-256 of what is stored. */
KLUIS_MUSTUSE kluis_status storage_digest(struct storage *s, const uint8_t package[32], uint8_t sha256[32], uint64_t *size, struct kluis_err *err);

/* ---- wrapping: AES-256-GCM under the wrapping key, additional data "chatkluis-content-key-v1" || package id, so that a key
 * cannot be moved to another package.  version(1) || nonce(12) || ciphertext(32) || tag(16). ---- */
enum { STORAGE_WRAPPED_LEN = 61 };
KLUIS_MUSTUSE kluis_status storage_wrap(const uint8_t wrapping[32], const uint8_t package[32], const uint8_t key[32],
                                        uint8_t out[STORAGE_WRAPPED_LEN], struct kluis_err *err);
/* E_CORRUPT: another wrapping key, another package, or damage. */
KLUIS_MUSTUSE kluis_status storage_unwrap(const uint8_t wrapping[32], const uint8_t package[32], const uint8_t *wrapped, size_t n, uint8_t key[32],
                                          struct kluis_err *err);

#endif
