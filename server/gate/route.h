/* route.h - a request line, read strictly: which route of docs/PROTOCOL.md §5.2 and §6, with which ids and numbers. Pure. */
#ifndef SERVER_GATE_ROUTE_H
#define SERVER_GATE_ROUTE_H

#include "kluis/base.h"

enum { GATE_ID = 16, GATE_ID_TEXT = 33, GATE_URI_MAX = 512, GATE_WAIT_MAX = 25 };

enum gate_action {
    GATE_NONCE,
    GATE_HEALTH,
    GATE_ENROL,
    GATE_ENROL_REPLY,
    GATE_BUNDLE,
    GATE_UPLOAD_OFFSET,
    GATE_UPLOAD,
    GATE_MESSAGE,
    GATE_INBOX,
    GATE_INBOX_DELETE,
    GATE_TIMESTAMP,
    GATE_CHECKPOINT,
    GATE_TILE,
    GATE_ENTRIES,
    GATE_VAULT_NEXT,
    GATE_VAULT_UPLOAD,
    GATE_VAULT_FETCH,
    GATE_VAULT_DONE,
    GATE_VAULT_ENROLLED,
    GATE_VAULT_DEVICE,
    GATE_VAULT_BUNDLE_PUT,
    GATE_VAULT_BUNDLE_GET,
    GATE_VAULT_MIRROR_PUT,
    GATE_VAULT_MIRROR_GET,
    GATE_VAULT_REGISTER_PUT,
    GATE_VAULT_REGISTER_GET,
    GATE_VAULT_OUTBOX,
    GATE_VAULT_TIMESTAMP
};
enum gate_who { GATE_ANYONE, GATE_DEVICE, GATE_VAULT };

struct gate_route {
    enum gate_action action;
    enum gate_who who;
    const char *name;           /* for the log */
    size_t body_max;            /* 0: no body; an upload's is checked against its declaration */
    uint8_t id[GATE_ID];        /* upload, message, ticket or inbox id */
    char id_text[GATE_ID_TEXT]; /* the same, or a device's id, as text */
    bool has_upload;
    uint8_t upload[GATE_ID];
    uint64_t offset, length, after, from, wait;
    uint64_t level, index, width; /* of a tile; width 256: the whole one */
};

/* 0: *out is filled; else the status to answer with: 400 (query), 404 (path), 405 (method). */
int gate_route_read(const char *method, const char *uri, struct gate_route *out);
/* "bytes=A-B" or "bytes=A-" within size; absent header: everything.  false: not satisfiable or not one range. */
bool gate_range_read(const char *header, uint64_t size, uint64_t *from, uint64_t *count);
/* Decimal without sign or leading zero, at most INT64_MAX. */
bool gate_number_read(struct kluis_str s, uint64_t *out);

#endif
