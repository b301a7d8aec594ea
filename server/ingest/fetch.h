/* server/ingest/fetch.h - ciphertext of a group of messages from the gate into the store.  Stays in this folder. */
#ifndef SERVER_INGEST_FETCH_H
#define SERVER_INGEST_FETCH_H

#include "server/ingest/ingest_internal.h"

/* What the gate's queue holds, and how far intake is with it. */
struct item {
    uint64_t number;
    uint32_t kind;
    char ticket[33]; /* enrolment                      */
    char device[33];
    uint8_t message[16], upload[16];
    bool has_upload;
    uint64_t upload_length;
    struct kluis_bytes body;
    uint8_t body_sha256[32];
    struct storage_writer *w;
    uint8_t sha256[32];
    uint64_t size; /* downloaded */
    bool fetched;  /* tried: w is there, or the gate has no such upload */
    bool done;     /* the gate may forget it         */
};

/* Writes out what the messages name: small ones many in a request, large ones each by itself and in pieces.  OK: every item that the gate
 * has an upload for has its writer, digest and size; one without is a message whose ciphertext is not there, or longer than it said.
 * Otherwise local or the gate's trouble: abandon the writers and try again. */
KLUIS_MUSTUSE kluis_status fetch_items(struct ingest *in, struct link *l, struct item *items, size_t n, struct kluis_err *err);
/* All of it on disk, under no name yet. */
KLUIS_MUSTUSE kluis_status fetch_sync(struct item *items, size_t n, struct kluis_err *err);

#endif
