/* tests/support/gate_client.h - an HTTPS client of the gate for tests: signs requests, and signs them wrongly when asked. */
#ifndef KLUIS_TESTS_GATE_CLIENT_H
#define KLUIS_TESTS_GATE_CLIENT_H

#include "kluis/base.h"
#include "kluis/seal.h"

struct gate_client;
struct gate_reply {
    long status; /* 0: no answer (the connection broke) */
    struct kluis_buf body;
    char nonce[64];                             /* Chatkluis-Nonce, or "" */
    int64_t offset, size, prekeys, retry_after; /* headers, -1 when absent */
    char content_range[96], walls[24];
    int sent; /* requests that went out for it: libcurl repeats one by itself, as it was signed, when a connection that it used before breaks */
};
/* What a request lies about; NULL and 0: the truth. */
struct gate_lie {
    const char *nonce; /* this one instead of a fresh one  */
    int64_t time_shift_s;
    const char *gate;            /* name signed                      */
    const char *path;            /* path signed                      */
    const uint8_t *body_sha256;  /* hash signed                      */
    const struct kluis_key *key; /* key that signs                   */
    const char *authorization;   /* this header instead, as it is    */
    const char *range;           /* Range header                     */
    const char *id;
};

/* "127.0.0.1:PORT" of a port that nobody else is given as long as the descriptor is open: connections to it are refused, until a server (with
 * SO_REUSEADDR, as ours have) listens there, and again when it stopped. */
int gate_port_keep(char address[32]);

/* ca: DER of the root; id NULL: never signs.  Every step asserts. */
struct gate_client *gate_client_new(const char *address, struct kluis_bytes ca, const char *id, const struct kluis_key *key);
void gate_client_free(struct gate_client *c);
/* One request; fetches a nonce when it has none.  reply is initialised here and freed by the caller. */
void gate_client_ask(struct gate_client *c, const char *method, const char *path, struct kluis_bytes body, const struct gate_lie *lie,
                     struct gate_reply *reply);
void gate_reply_free(struct gate_reply *r);
/* Status alone. */
long gate_client_status(struct gate_client *c, const char *method, const char *path, struct kluis_bytes body);
/* Sends raw bytes over TLS, reads what comes back until the end or a second of silence, closes.  Appends to out (may be NULL: does not read). */
void gate_client_raw(struct gate_client *c, const void *p, size_t n, struct kluis_buf *out);
/* A connection whose bytes the caller sends, in pieces and at its own pace.  NULL: none was to be had. */
struct gate_line;
struct gate_line *gate_line_open(struct gate_client *c);
bool gate_line_send(struct gate_line *l, const void *p, size_t n);            /* false: the gate closed it */
bool gate_line_read(struct gate_line *l, int wait_ms, struct kluis_buf *out); /* false: the end; what came is appended, perhaps nothing */
void gate_line_close(struct gate_line *l);
/* The Authorization value for a request, with a fresh nonce. */
void gate_client_sign(struct gate_client *c, const char *method, const char *path, const uint8_t sha256[32], struct kluis_buf *out);

#endif
