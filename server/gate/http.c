/* http.c - one request from its first header to its answer: strict line, login before body, hash before meaning. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <unistd.h>

#include "server/gate/gate_internal.h"
#include "server/log.h"

enum { SWALLOW_MAX = 8 << 20, CLOCK_S = 300, RETRY_BUSY_S = 5, RETRY_FULL_S = 60, RETRY_BROKEN_S = 15 };

static uint64_t nonce_clock(void) { return (uint64_t)(kluis_monotonic_us() / 1000000); /* setting the wall clock must not bring a used nonce back */ }

/* ---- answering -------------------------------------------------------------------------------- */

void gate_extra(struct gate_request *r, const char *name, const char *fmt, ...)
{
    if (r->n_extra == GATE_EXTRAS) { return; }
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(r->extra[r->n_extra].value, sizeof r->extra[r->n_extra].value, fmt, args);
    va_end(args);
    r->extra[r->n_extra++].name = name;
}

static void note(const struct gate_request *r, unsigned status)
{
    bool routine = r->route.action == GATE_NONCE || r->route.action == GATE_HEALTH || r->route.action == GATE_TILE ||
                   r->route.action == GATE_ENTRIES || r->route.action == GATE_CHECKPOINT || r->route.action == GATE_INBOX ||
                   r->route.action == GATE_VAULT_NEXT;
    enum kluis_log_level level = status >= 500 ? KLUIS_LOG_WARN : status < 300 && routine ? KLUIS_LOG_DEBUG : KLUIS_LOG_INFO;
    kluis_log(level, r->route.name != NULL ? r->route.name : "unknown", "device=%s status=%u size=%" PRIu64, r->signed_in ? r->login.id : "-", status,
              r->got);
}

static enum MHD_Result send_response(struct gate_request *r, unsigned status, const char *type, struct MHD_Response *response)
{
    if (response == NULL) { return MHD_NO; } /* no memory: the connection closes, nothing was promised */
    enum MHD_Result ok = MHD_YES;
    if (type != NULL) { ok = MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type); }
    char nonce[GATE_NONCE_TEXT];
    bool login = r->route.who != GATE_ANYONE || r->route.action == GATE_NONCE;
    if (ok == MHD_YES && login && gate_nonce_make(r->g->nonces, nonce_clock(), nonce, NULL) == KLUIS_OK) {
        ok = MHD_add_response_header(response, "Chatkluis-Nonce", nonce);
        if (ok == MHD_YES) { ok = MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store"); }
    }
    for (size_t i = 0; i < r->n_extra && ok == MHD_YES; i++) { ok = MHD_add_response_header(response, r->extra[i].name, r->extra[i].value); }
    if (ok == MHD_YES) { ok = MHD_queue_response(r->connection, status, response); }
    MHD_destroy_response(response);
    r->stage = GATE_STAGE_ANSWERED;
    note(r, status);
    return ok;
}

enum MHD_Result gate_answer_empty(struct gate_request *r, unsigned status)
{
    return send_response(r, status, NULL, MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT));
}

enum MHD_Result gate_answer_bytes(struct gate_request *r, unsigned status, const char *type, struct kluis_buf *bytes)
{
    struct MHD_Response *response = NULL;
    if (bytes->len == 0) {
        response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    } else {
        response = MHD_create_response_from_buffer_with_free_callback(bytes->len, bytes->data, kluis_free);
        if (response != NULL) { /* the response owns the memory now */
            size_t max = bytes->max;
            kluis_buf_init(bytes, max);
        }
    }
    return send_response(r, status, type, response);
}

enum MHD_Result gate_answer_line(struct gate_request *r, unsigned status, const char *text)
{
    char line[KLUIS_ERR_MSG + 2];
    int n = snprintf(line, sizeof line, "%s\n", text);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    return send_response(r, status, "text/plain; charset=utf-8", MHD_create_response_from_buffer(len, line, MHD_RESPMEM_MUST_COPY));
}

enum MHD_Result gate_answer_stream(struct gate_request *r, uint64_t size, size_t block, MHD_ContentReaderCallback read, void *ctx,
                                   MHD_ContentReaderFreeCallback done)
{
    struct MHD_Response *response = MHD_create_response_from_callback(size, block, read, ctx, done);
    if (response == NULL) { done(ctx); }
    return send_response(r, MHD_HTTP_OK, "application/octet-stream", response);
}

enum MHD_Result gate_answer_fd(struct gate_request *r, unsigned status, int fd, uint64_t from, uint64_t count)
{
    struct MHD_Response *response = MHD_create_response_from_fd_at_offset64(count, fd, from);
    if (response == NULL) { kluis_close_quiet(&fd); }
    return send_response(r, status, "application/octet-stream", response);
}

unsigned gate_failure(struct gate_request *r, const struct kluis_err *err, unsigned reject, const char **text)
{
    *text = err->msg;
    switch (err->code) {
    case KLUIS_E_REJECT: return reject;
    case KLUIS_E_LIMIT: return MHD_HTTP_CONTENT_TOO_LARGE;
    case KLUIS_E_NOTFOUND: return MHD_HTTP_NOT_FOUND;
    case KLUIS_E_BUSY: gate_extra(r, MHD_HTTP_HEADER_RETRY_AFTER, "%d", RETRY_BUSY_S); return MHD_HTTP_TOO_MANY_REQUESTS;
    case KLUIS_E_IO:
    case KLUIS_E_NOMEM:
        kluis_log_err(KLUIS_LOG_ERROR, "trouble", err);
        if (err->sys == ENOSPC || err->sys == EDQUOT) {
            *text = "the gate's disk is full: keep everything and try again later";
            gate_extra(r, MHD_HTTP_HEADER_RETRY_AFTER, "%d", RETRY_FULL_S);
            return MHD_HTTP_INSUFFICIENT_STORAGE;
        }
        *text = "the gate has trouble: try again later";
        gate_extra(r, MHD_HTTP_HEADER_RETRY_AFTER, "%d", RETRY_BROKEN_S);
        return MHD_HTTP_SERVICE_UNAVAILABLE;
    case KLUIS_OK:
    case KLUIS_END:
    case KLUIS_E_EXISTS:
    case KLUIS_E_CORRUPT:
    case KLUIS_E_BUG:
    case KLUIS_E_USAGE: break;
    }
    kluis_log_err(KLUIS_LOG_ERROR, "alarm", err);
    *text = "the gate is out of order: its operator must look at its log";
    return MHD_HTTP_INTERNAL_SERVER_ERROR;
}

enum MHD_Result gate_answer_failure(struct gate_request *r, const struct kluis_err *err, unsigned reject)
{
    const char *text = NULL;
    unsigned status = gate_failure(r, err, reject, &text);
    return gate_answer_line(r, status, text);
}

enum MHD_Result gate_sleep_or_answer(struct gate_request *r, enum gate_topic topic, const char *key, uint64_t mark, unsigned status, bool *again)
{
    int64_t now_us = kluis_monotonic_us();
    *again = false;
    if (r->wait.until_us == 0) { r->wait.until_us = now_us + (int64_t)r->route.wait * 1000000; }
    if (r->wait.until_us <= now_us) { return gate_answer_empty(r, status); }
    r->wait.topic = topic;
    (void)snprintf(r->wait.key, sizeof r->wait.key, "%s", key);
    r->wait.connection = r->connection;
    switch (gate_waits_sleep(r->g->waits, &r->wait, mark)) {
    case GATE_SLEPT: return MHD_YES;
    case GATE_CHANGED: *again = true; return MHD_YES;
    case GATE_CROWDED:
        gate_extra(r, MHD_HTTP_HEADER_RETRY_AFTER, "%d", RETRY_BUSY_S);
        return gate_answer_line(r, MHD_HTTP_TOO_MANY_REQUESTS, "too many requests wait: try again later");
    case GATE_STOPPING: break;
    }
    return gate_answer_empty(r, status);
}

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
    uint64_t now_s = nonce_clock();
    kluis_status rc = gate_nonce_check(r->g->nonces, r->login.nonce, now_s, err);
    if (rc != KLUIS_OK) { return rc == KLUIS_E_REJECT ? MHD_HTTP_UNAUTHORIZED : MHD_HTTP_SERVICE_UNAVAILABLE; }
    int64_t skew = r->login.time_s - kluis_now_us() / 1000000;
    if (skew > CLOCK_S || skew < -CLOCK_S) {
        (void)KLUIS_FAIL(err, KLUIS_E_REJECT, "the clocks differ by more than %d s: set the device's clock", CLOCK_S);
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
            (void)KLUIS_FAIL(err, KLUIS_E_REJECT, "%s", REFUSED);
            return MHD_HTTP_UNAUTHORIZED;
        }
        if (rc != KLUIS_OK) { return MHD_HTTP_SERVICE_UNAVAILABLE; }
        spki = (struct kluis_bytes){ device.spki, device.spki_len };
    }
    rc = kluis_login_check(&r->login, spki, r->g->name, method, r->uri, NULL);
    if (rc != KLUIS_OK) {
        (void)KLUIS_FAIL(err, KLUIS_E_REJECT, "%s", REFUSED);
        return MHD_HTTP_UNAUTHORIZED;
    }
    if (device.state != GATE_DEVICE_ACTIVE) {
        (void)KLUIS_FAIL(err, KLUIS_E_REJECT, "this device is suspended: enrol it with a new code");
        return MHD_HTTP_FORBIDDEN;
    }
    rc = gate_nonce_take(r->g->nonces, r->login.nonce, r->login.id, now_s, err);
    if (rc != KLUIS_OK) {
        if (rc == KLUIS_E_BUSY) { gate_extra(r, MHD_HTTP_HEADER_RETRY_AFTER, "%d", RETRY_BUSY_S); }
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
        return refuse(r, (unsigned)status,
                      status == 405   ? "not with this method"
                      : status == 400 ? "the query is not one of this route"
                                      : "no such route");
    }
    if (r->declared > r->route.body_max) { return refuse(r, MHD_HTTP_CONTENT_TOO_LARGE, "the body is larger than this route takes"); }
    if (gate_waits_stopping(r->g->waits)) {
        gate_extra(r, MHD_HTTP_HEADER_RETRY_AFTER, "%d", RETRY_BUSY_S);
        return refuse(r, MHD_HTTP_SERVICE_UNAVAILABLE, "the gate is stopping: try again later");
    }
    if (r->route.who != GATE_ANYONE) {
        struct kluis_err err = { 0 };
        unsigned refused = sign_in(r, method, &err);
        if (refused == MHD_HTTP_SERVICE_UNAVAILABLE) { return refuse_failure(r, &err, MHD_HTTP_SERVICE_UNAVAILABLE); }
        if (refused != 0) { return refuse(r, refused, err.msg); }
        r->hash = kluis_sha256_new();
        if (r->hash == NULL) { return MHD_NO; }
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
    kluis_free(r);
}
