/* gate_internal.h - the gate's parts and one request, shared by http.c, device.c, vault.c, answer.c and gate.c alone. */
#ifndef SERVER_GATE_INTERNAL_H
#define SERVER_GATE_INTERNAL_H

#include <microhttpd.h>
#include <pthread.h>

#include "kluis/login.h"
#include "server/gate/changes.h"
#include "server/gate/gate.h"
#include "server/gate/nonce.h"
#include "server/gate/relay.h"
#include "server/gate/route.h"
#include "server/gate/store.h"
#include "server/gate/strangers.h"
#include "server/gate/uploads.h"
#include "server/gate/waits.h"
#include "server/walls/walls.h"

struct gate {
    struct gate_limits limits;
    char address[GATE_ADDRESS_MAX];
    char name[GATE_NAME_MAX];
    struct kluis_buf vault_spki;
    int lock_fd;
    struct gate_store *store;
    struct gate_uploads *uploads;
    struct gate_nonces *nonces;
    struct gate_waits *waits;
    struct gate_strangers *strangers;
    struct gate_relay *relay;
    struct gate_changes *changes;
    struct MHD_Daemon *daemon;
    pthread_t housekeeper;
    bool housekeeping;
    pthread_mutex_t sleep_lock;
    pthread_cond_t sleep;
    bool stopping;            /* under sleep_lock */
    _Atomic uint64_t sending; /* bytes of answers from inboxes that are in memory until their devices have read them */
    struct walls_told walls;  /* not told: nobody asked for any */
};

enum { GATE_EXTRAS = 3, GATE_RETRY_BUSY_S = 5, GATE_RESPONSE_MAX = 16 << 20, GATE_SENDING_MAX = 64 << 20 };
enum gate_stage { GATE_STAGE_NEW, GATE_STAGE_BODY, GATE_STAGE_RELAY, GATE_STAGE_CHANGE, GATE_STAGE_ANSWERED };

struct gate_request {
    struct gate *g;
    struct MHD_Connection *connection;
    char uri[GATE_URI_MAX + 2]; /* as sent; one character more than allowed tells that it was cut */
    enum gate_stage stage;
    struct gate_route route;
    struct kluis_login login;
    bool signed_in;
    uint64_t declared, got; /* body */
    int64_t began_us;       /* monotonic */
    struct kluis_sha256 *hash;
    struct kluis_buf body;
    struct gate_chunk *chunk;
    struct gate_wait wait;
    struct gate_relay_job job;
    bool job_ready; /* under the lock of waits */
    struct gate_change change;
    struct { /* what a change found, for its answer */
        struct kluis_buf bytes;
        uint64_t number;
        bool lower;
    } found;
    struct {
        const char *name;
        char value[96];
    } extra[GATE_EXTRAS];
    size_t n_extra;
    int refusal; /* answer with this once the body was swallowed; 0: none */
    char refusal_text[KLUIS_ERR_MSG];
};

uint64_t gate_nonce_clock(void); /* seconds; setting the wall clock must not bring a used nonce back */

/* ---- answering (answer.c): each queues exactly one response and gives what the handler returns ---- */
void gate_extra(struct gate_request *r, const char *name, const char *fmt, ...) KLUIS_PRINTF(3, 4);
enum MHD_Result gate_answer_empty(struct gate_request *r, unsigned status);
enum MHD_Result gate_answer_bytes(struct gate_request *r, unsigned status, const char *type,
                                  struct kluis_buf *bytes); /* takes the bytes; 503 where they are not whole */
/* The same with 200, for what devices may read slowly: at most GATE_SENDING_MAX of it is in memory, beyond that 503. */
enum MHD_Result gate_answer_held(struct gate_request *r, const char *type, struct kluis_buf *bytes);
enum MHD_Result gate_answer_line(struct gate_request *r, unsigned status, const char *text);
enum MHD_Result gate_answer_stream(struct gate_request *r, uint64_t size, size_t block, MHD_ContentReaderCallback read, void *ctx,
                                   MHD_ContentReaderFreeCallback done);                                         /* 200; takes ctx */
enum MHD_Result gate_answer_fd(struct gate_request *r, unsigned status, int fd, uint64_t from, uint64_t count); /* takes the fd */
/* The status a failure becomes; sets Retry-After where one belongs, and logs what an operator must see.  reject: what E_REJECT is here. */
unsigned gate_failure(struct gate_request *r, const struct kluis_err *err, unsigned reject, const char **text);
enum MHD_Result gate_answer_failure(struct gate_request *r, const struct kluis_err *err, unsigned reject);

/* Nothing there yet: sleeps until the topic is woken, or ends with `status` at once or when the time is over. */
enum MHD_Result gate_sleep_or_answer(struct gate_request *r, enum gate_topic topic, const char *key, uint64_t mark, unsigned status, bool *again);

/* ---- a request whose body is complete and whose signature holds ---- */
enum MHD_Result gate_device_act(struct gate_request *r);
enum MHD_Result gate_vault_act(struct gate_request *r);
enum MHD_Result gate_relay_act(struct gate_request *r);
enum MHD_Result gate_fetch(struct gate_request *r); /* fetch.c */
/* Has the change made by the threads of changes.c; the request sleeps, and `how->tell` answers it. */
enum MHD_Result gate_have_changed(struct gate_request *r, const struct gate_change_kind *how);
enum MHD_Result gate_changed(struct gate_request *r);
void gate_wake_devices(struct gate *g, const struct kluis_buf *ids);

/* ---- MHD's callbacks (http.c) ---- */
enum MHD_Result gate_http_handle(void *cls, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
                                 const char *data, size_t *size, void **ctx);
void *gate_http_begin(void *cls, const char *uri, struct MHD_Connection *connection);
void gate_http_end(void *cls, struct MHD_Connection *connection, void **ctx, enum MHD_RequestTerminationCode why);

#endif
