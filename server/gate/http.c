/* http.c - one request from its first header to its answer: strict line, login before body, hash before meaning. */
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "server/gate/gate_internal.h"
#include "server/log.h"

enum { SWALLOW_MAX = 8 << 20, CLOCK_S = 300, STRANGER_S = 30 };
static const int64_t CLOCK_MOST_S = 253402300799; /* the last second of 9999 */

/* ---- refusing --------------------------------------------------------------------------------- */

static const char *header(const struct gate_request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

/* A refusal before the body.  An answer beside a body that is still being sent gets lost when the connection closes, so a small body
 * that is on its way is swallowed first. */
static enum MHD_Result refuse(struct gate_request *r, unsigned status, const char *text)
{
    bool coming = r->declared > 0 && header(r, MHD_HTTP_HEADER_EXPECT) == NULL;
    if (!coming || r->declared > SWALLOW_MAX) { return gate_answer_line(r, status, text); }
    r->refusal = (int)status;
    (void)snprintf(r->refusal_text, sizeof r->refusal_text, "%s", text);
    r->stage = GATE_STAGE_BODY;
    return MHD_YES;
}

/* What no agent of ours ever asks.  An address that does it too often gets one short answer, whatever it asked. */
static enum MHD_Result refuse_stranger(struct gate_request *r, unsigned status, const char *text)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (info != NULL && !gate_strangers_refused(r->g->strangers, info->client_addr, kluis_monotonic_us())) {
        gate_extra(r, MHD_HTTP_HEADER_RETRY_AFTER, "%d", STRANGER_S);
        return refuse(r, MHD_HTTP_TOO_MANY_REQUESTS, "too many requests that are none of this gate's");
    }
    return refuse(r, status, text);
}

static enum MHD_Result refuse_failure(struct gate_request *r, const struct kluis_err *err, unsigned reject)
{
    const char *text = NULL;
    unsigned status = gate_failure(r, err, reject, &text);
    return refuse(r, status, text);
}

/* ---- login ------------------------------------------------------------------------------------ */

/* 0, or the status to refuse with.  Nothing tells an unknown device from a wrong key. */
static unsigned sign_in(struct gate_request *r, const char *method, struct kluis_err *err)
{
    static const char REFUSED[] = "the login is not accepted: check device, key and the gate's name, and try once more with the fresh nonce";
    const char *value = header(r, MHD_HTTP_HEADER_AUTHORIZATION);
    if (value == NULL || kluis_login_header_read(kluis_str_of(value), &r->login, err) != KLUIS_OK) {
        kluis_err_clear(err);
        (void)KLUIS_FAIL(err, KLUIS_E_REJECT, "this request needs a login: sign it with a fresh nonce");
        return MHD_HTTP_UNAUTHORIZED;
    }
    uint64_t now_s = gate_nonce_clock();
    kluis_status rc = gate_nonce_check(r->g->nonces, r->login.nonce, now_s, err);
    if (rc != KLUIS_OK) { return rc == KLUIS_E_REJECT ? MHD_HTTP_UNAUTHORIZED : MHD_HTTP_SERVICE_UNAVAILABLE; }
    const int64_t here_s = kluis_now_us() / 1000000, skew = r->login.time_s - here_s;
    if (skew > CLOCK_S || skew < -CLOCK_S) {
        char ours[KLUIS_TIME_TEXT], theirs[KLUIS_TIME_TEXT];
        (void)kluis_time_text(ours, here_s * 1000000, 0, 0);
        (void)kluis_time_text(theirs, r->login.time_s > CLOCK_MOST_S || r->login.time_s < 0 ? 0 : r->login.time_s * 1000000, 0, 0);
        gate_extra(r, "Chatkluis-Clock", "%" PRId64, here_s);
        (void)KLUIS_FAIL(err, KLUIS_E_REJECT, "the gate's clock says %s, this device's %s: set the wrong one right", ours, theirs);
        return MHD_HTTP_UNAUTHORIZED;
    }
    bool vault = strcmp(r->login.id, KLUIS_LOGIN_VAULT) == 0;
    struct gate_device device = { .state = GATE_DEVICE_ACTIVE };
    struct kluis_bytes spki = kluis_buf_bytes(&r->g->vault_spki);
    if (vault != (r->route.who == GATE_VAULT)) {
        (void)KLUIS_FAIL(err, KLUIS_E_REJECT, "%s", REFUSED);
        return MHD_HTTP_UNAUTHORIZED;
    }
    if (!vault) {
        rc = gate_store_device_get(r->g->store, r->login.id, &device, err);
        if (rc == KLUIS_E_NOTFOUND) {
            kluis_err_clear(err);
            /* The vault names all its devices and publishes its keys behind that: a gate without them, new or put in the place of a lost one, knows
             * nobody yet, and a device that goes by its answer would think itself refused. */
            if (gate_store_epoch(r->g->store) == 0) {
                gate_extra(r, MHD_HTTP_HEADER_RETRY_AFTER, "%d", GATE_RETRY_BUSY_S);
                (void)KLUIS_FAIL(err, KLUIS_E_REJECT, "the gate has not heard from its vault which devices there are: try again later");
                return MHD_HTTP_SERVICE_UNAVAILABLE;
            }
            (void)KLUIS_FAIL(err, KLUIS_E_REJECT, "%s", REFUSED);
            return MHD_HTTP_UNAUTHORIZED;
        }
        if (rc != KLUIS_OK) { return MHD_HTTP_SERVICE_UNAVAILABLE; }
        spki = (struct kluis_bytes){ device.spki, device.spki_len };
    }
    rc = kluis_login_check(&r->login, spki, r->g->name, method, r->uri, err);
    if (rc != KLUIS_OK && rc != KLUIS_E_REJECT) { return MHD_HTTP_SERVICE_UNAVAILABLE; } /* it could not be looked at: nobody's fault but ours */
    if (rc != KLUIS_OK) {
        kluis_err_clear(err);
        (void)KLUIS_FAIL(err, KLUIS_E_REJECT, "%s", REFUSED);
        return MHD_HTTP_UNAUTHORIZED;
    }
    if (device.state != GATE_DEVICE_ACTIVE) {
        (void)KLUIS_FAIL(err, KLUIS_E_REJECT, "this device is suspended: enrol it with a new code");
        return MHD_HTTP_FORBIDDEN;
    }
    rc = gate_nonce_take(r->g->nonces, r->login.nonce, r->login.id, now_s, err);
    if (rc != KLUIS_OK) {
        if (rc == KLUIS_E_BUSY) { gate_extra(r, MHD_HTTP_HEADER_RETRY_AFTER, "%d", GATE_RETRY_BUSY_S); }
        return rc == KLUIS_E_BUSY ? MHD_HTTP_TOO_MANY_REQUESTS : MHD_HTTP_UNAUTHORIZED;
    }
    r->signed_in = true;
    return 0;
}

/* ---- a request's beginning, body and end ------------------------------------------------------ */

static enum MHD_Result begin_chunk(struct gate_request *r)
{
    struct kluis_err err = { 0 };
    bool misplaced = false;
    uint64_t stands = 0;
    if (r->declared == 0) { return gate_answer_line(r, MHD_HTTP_BAD_REQUEST, "an empty chunk"); }
    if (r->route.length > r->g->limits.upload_bytes || r->route.offset > r->route.length || r->declared > r->route.length - r->route.offset) {
        return refuse(r, MHD_HTTP_CONTENT_TOO_LARGE,
                      "the chunk is larger than what is left of the upload, or the upload larger than this gate takes");
    }
    kluis_status rc = gate_chunk_begin(r->g->uploads, r->route.id, r->login.id, r->route.offset, r->route.length, r->declared, &r->chunk, &misplaced,
                                       &stands, &err);
    if (rc == KLUIS_OK) { return MHD_YES; }
    if (misplaced) { gate_extra(r, "Chatkluis-Offset", "%" PRIu64, stands); }
    return refuse_failure(r, &err, misplaced ? MHD_HTTP_CONFLICT : MHD_HTTP_FORBIDDEN);
}

/* What adds to the disk's work.  What the vault says, and that an answer was taken, takes work away. */
static bool brings(enum gate_action action)
{
    return action == GATE_ENROL || action == GATE_BUNDLE || action == GATE_UPLOAD || action == GATE_MESSAGE;
}

static enum MHD_Result begin_request(struct gate_request *r, const char *method)
{
    r->began_us = kluis_monotonic_us();
    r->stage = GATE_STAGE_BODY;
    const char *length = header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);
    if (header(r, MHD_HTTP_HEADER_TRANSFER_ENCODING) != NULL) {
        return gate_answer_line(r, MHD_HTTP_LENGTH_REQUIRED, "a body needs a Content-Length");
    }
    if (length != NULL && !gate_number_read(kluis_str_of(length), &r->declared)) {
        return gate_answer_line(r, MHD_HTTP_BAD_REQUEST, "the Content-Length is not a number");
    }
    int status = gate_route_read(method, r->uri, &r->route);
    if (status != 0) {
        return refuse_stranger(r, (unsigned)status,
                               status == 405   ? "not with this method"
                               : status == 400 ? "the query is not one of this route"
                                               : "no such route");
    }
    if (r->declared > r->route.body_max) { return refuse(r, MHD_HTTP_CONTENT_TOO_LARGE, "the body is larger than this route takes"); }
    if (gate_waits_stopping(r->g->waits)) {
        gate_extra(r, MHD_HTTP_HEADER_RETRY_AFTER, "%d", GATE_RETRY_BUSY_S);
        return refuse(r, MHD_HTTP_SERVICE_UNAVAILABLE, "the gate is stopping: try again later");
    }
    if (r->route.who != GATE_ANYONE) {
        struct kluis_err err = { 0 };
        unsigned refused = sign_in(r, method, &err);
        if (refused == MHD_HTTP_SERVICE_UNAVAILABLE) { return refuse_failure(r, &err, MHD_HTTP_SERVICE_UNAVAILABLE); }
        if (refused != 0 && header(r, MHD_HTTP_HEADER_AUTHORIZATION) == NULL) { return refuse_stranger(r, refused, err.msg); }
        if (refused != 0) { return refuse(r, refused, err.msg); }
        r->hash = kluis_sha256_new();
        if (r->hash == NULL) { return MHD_NO; }
    }
    /* Sent away before its body: what waits for the disk already is more than that can take. */
    unsigned late_s = brings(r->route.action) ? gate_changes_late_s(r->g->changes) : 0;
    if (late_s > 0) {
        gate_extra(r, MHD_HTTP_HEADER_RETRY_AFTER, "%u", late_s);
        return refuse(r, MHD_HTTP_SERVICE_UNAVAILABLE, "the gate's disk does not keep up: keep everything and try again later");
    }
    kluis_buf_init(&r->body, r->route.body_max);
    return r->route.action == GATE_UPLOAD ? begin_chunk(r) : MHD_YES;
}

static enum MHD_Result take_body(struct gate_request *r, const char *data, size_t *size)
{
    size_t n = *size;
    *size = 0;
    r->got += n;
    if (r->got > r->declared || kluis_monotonic_us() - r->began_us > (int64_t)r->g->limits.request_s * 1000000) { return MHD_NO; }
    if (r->refusal != 0) { return MHD_YES; }
    if (r->hash != NULL) { kluis_sha256_add(r->hash, data, n); }
    if (r->chunk == NULL) {
        kluis_buf_add(&r->body, data, n);
        return MHD_YES;
    }
    struct kluis_err err = { 0 };
    if (gate_chunk_add(r->chunk, data, n, &err) != KLUIS_OK) {
        const char *text = NULL;
        r->refusal = (int)gate_failure(r, &err, MHD_HTTP_CONFLICT, &text);
        (void)snprintf(r->refusal_text, sizeof r->refusal_text, "%s", text);
        gate_chunk_free(r->chunk);
        r->chunk = NULL;
    }
    return MHD_YES;
}

static enum MHD_Result act(struct gate_request *r)
{
    switch (r->route.who) {
    case GATE_ANYONE:
    case GATE_DEVICE: return gate_device_act(r);
    case GATE_VAULT: return gate_vault_act(r);
    }
    return MHD_NO;
}

static enum MHD_Result finish(struct gate_request *r)
{
    if (r->refusal != 0) { return gate_answer_line(r, (unsigned)r->refusal, r->refusal_text); }
    if (r->got != r->declared) { return gate_answer_line(r, MHD_HTTP_BAD_REQUEST, "the body is shorter than declared"); }
    if (r->body.status != KLUIS_OK) {
        struct kluis_err err = { 0 };
        err.code = kluis_buf_ok(&r->body, &err);
        return gate_answer_failure(r, &err, MHD_HTTP_BAD_REQUEST);
    }
    if (r->hash != NULL) {
        uint8_t got[KLUIS_SHA256_LEN];
        kluis_sha256_end(r->hash, got);
        kluis_sha256_free(r->hash); /* a woken request comes here again and has proven its body */
        r->hash = NULL;
        if (memcmp(got, r->login.body_sha256, sizeof got) != 0) {
            return gate_answer_line(r, MHD_HTTP_BAD_REQUEST, "the body is not the one that was signed");
        }
    }
    return act(r);
}

enum MHD_Result gate_http_handle(void *cls, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
                                 const char *data, size_t *size, void **ctx)
{
    (void)cls;
    (void)url;
    (void)version;
    struct gate_request *r = *ctx;
    if (r == NULL) { return MHD_NO; } /* no memory when it began */
    r->connection = connection;
    switch (r->stage) {
    case GATE_STAGE_NEW: return begin_request(r, method);
    case GATE_STAGE_BODY: return *size > 0 ? take_body(r, data, size) : finish(r);
    case GATE_STAGE_RELAY: return gate_relay_act(r);
    case GATE_STAGE_CHANGE: return gate_changed(r);
    case GATE_STAGE_ANSWERED: break;
    }
    *size = 0;
    return MHD_YES;
}

void *gate_http_begin(void *cls, const char *uri, struct MHD_Connection *connection)
{
    struct gate_request *r = kluis_calloc(1, sizeof *r);
    if (r == NULL) { return NULL; }
    r->g = cls;
    r->connection = connection;
    (void)snprintf(r->uri, sizeof r->uri, "%s", uri);
    kluis_buf_init(&r->body, 0);
    kluis_buf_init(&r->job.response, 0);
    kluis_buf_init(&r->found.bytes, GATE_RESPONSE_MAX);
    return r;
}

void gate_http_end(void *cls, struct MHD_Connection *connection, void **ctx, enum MHD_RequestTerminationCode why)
{
    (void)cls;
    (void)connection;
    struct gate_request *r = *ctx;
    *ctx = NULL;
    if (r == NULL) { return; }
    if (why != MHD_REQUEST_TERMINATED_COMPLETED_OK && r->stage != GATE_STAGE_ANSWERED && r->route.name != NULL) {
        kluis_log(KLUIS_LOG_INFO, "cut", "route=%s device=%s size=%" PRIu64, r->route.name, r->signed_in ? r->login.id : "-", r->got);
    }
    gate_chunk_free(r->chunk);
    kluis_sha256_free(r->hash);
    kluis_buf_free(&r->body);
    kluis_buf_free(&r->job.response);
    kluis_buf_free(&r->found.bytes);
    kluis_free(r);
}
