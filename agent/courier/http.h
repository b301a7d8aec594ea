/* agent/courier/http.h - HTTPS to the gate: TLS as docs/PROTOCOL.md §3, signed requests as §5.1.  Never leaves this folder. */
#ifndef AGENT_HTTP_H
#define AGENT_HTTP_H

#include "kluis/base.h"
#include "kluis/login.h"

enum { HTTP_BODY_MAX = 24 << 20, HTTP_HOST_MAX = 280 };

struct http;
struct http_setup {
    const char *server;              /* "https://host:port"                                              */
    struct kluis_bytes root;         /* DER: the organisation's root, beside the system's store; may be empty */
    const uint8_t *root_fingerprint; /* 16 bytes, during enrolment: a chain that ends in it is accepted   */
    const char *device;              /* NULL: nothing is signed                                          */
    const struct kluis_key *login;
};
/* E_USAGE: not an https address.  Everything in setup is borrowed but server. */
KLUIS_MUSTUSE kluis_status http_new(struct http **out, const struct http_setup *setup, struct kluis_err *err);
void http_free(struct http *h);
bool http_address_ok(const char *server);

struct http_answer {
    int status;
    struct kluis_buf body; /* caller inits with its ceiling                                    */
    bool has_offset;
    uint64_t offset;       /* Chatkluis-Offset                                                 */
    uint64_t epoch;        /* Chatkluis-Epoch: of the vault's newest bundle; 0: not said               */
    int64_t retry_after_s; /* 0: not said                                                      */
};
/* One request; signed when the setup had a device and `sign`.  A 401 with a fresh nonce is tried once more.
 * OK: an answer came, whatever its status.  E_BUSY: no answer (cannot connect, time-out); E_REJECT: TLS did not agree, or a nonce that
 * a device must not sign; E_LIMIT: the answer is larger than its buffer allows. */
KLUIS_MUSTUSE kluis_status http_request(struct http *h, const char *method, const char *path, struct kluis_bytes body, bool sign, int timeout_s,
                                        struct http_answer *out, struct kluis_err *err);
/* Status of the last answer; 0: none came. */
int http_status(const struct http *h);
/* The gate refused the last request because of its time: what the gate's clock said, in seconds.  0: it did not. */
int64_t http_gate_clock(const struct http *h);
/* The status of an answer that is not what was hoped for: 429, 503, 507 and 5xx E_BUSY; 401, 403 and others E_REJECT.  Says what. */
kluis_status http_refusal(const struct http_answer *a, const char *what, struct kluis_err *err);

#endif
