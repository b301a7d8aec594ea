/* server/ingest/link.h - the vault's HTTPS client of its gate: docs/PROTOCOL.md §6.  The vault calls; nothing ever calls the vault.
 *
 * A link belongs to one thread at a time and keeps its connection and nonce.  The gate is a stranger: every answer has a ceiling.
 */
#ifndef SERVER_INGEST_LINK_H
#define SERVER_INGEST_LINK_H

#include <stdatomic.h>

#include "kluis/base.h"
#include "kluis/seal.h"
#include "server/walls/walls.h"

struct link_config {
    const char *url;           /* "https://host:port"                                        */
    const char *name;          /* the authority that is signed; NULL: host:port of the url    */
    struct kluis_bytes ca_pem; /* the root that the gate's certificate must end in; empty: the system's store */
    const struct kluis_key *pull;
    const atomic_bool *stop; /* true ends a waiting call with E_BUSY                         */
    /* What the gate and the time authority behind it said of their walls with the answer to a signed call, not told when none came.  May be NULL. */
    void (*walls)(void *ctx, const struct walls_told *gate, const struct walls_told *authority);
    void *ctx;
};
struct link;
KLUIS_MUSTUSE kluis_status link_open(struct link **out, const struct link_config *c, struct kluis_err *err); /* E_USAGE: not such an url */
void link_free(struct link *l);

enum { LINK_SAID = 128 };
struct link_answer {
    long status;
    uint64_t number; /* Chatkluis-Size or Chatkluis-Prekeys */
    bool has_number;
    uint64_t epoch;       /* Chatkluis-Epoch; 0: not said */
    char said[LINK_SAID]; /* how a refusal's text begins, for the vault's log: printable ASCII, what else it has is '?' */
};
/* E_BUSY: `what`, and how the gate answered. */
#define LINK_REFUSED(a, err, what) KLUIS_FAIL(err, KLUIS_E_BUSY, "%s (%ld%s%s)", what, (a)->status, (a)->said[0] == '\0' ? "" : ": ", (a)->said)
/* One signed request.  `out` (may be NULL) gets the body, at most its ceiling.  OK: an answer came, look at its status; E_BUSY: none
 * did, try later; E_REJECT: the gate does not know our key; E_LIMIT. */
KLUIS_MUSTUSE kluis_status link_call(struct link *l, const char *method, const char *path, struct kluis_bytes body, unsigned seconds,
                                     struct kluis_buf *out, struct link_answer *answer, struct kluis_err *err);
/* One signed request whose answer, if it is 200, streams to `to`: at most `max` bytes, else E_LIMIT.  E_BUSY: it broke off, or none came. */
KLUIS_MUSTUSE kluis_status link_stream(struct link *l, const char *method, const char *path, struct kluis_bytes body, uint64_t max,
                                       const struct kluis_output *to, struct link_answer *answer, struct kluis_err *err);
/* Streams an upload's ciphertext to `to`, at most `max` bytes; goes on after a broken connection.  E_NOTFOUND: the gate has none. */
KLUIS_MUSTUSE kluis_status link_download(struct link *l, const char *path, uint64_t max, const struct kluis_output *to, struct kluis_err *err);

#endif
