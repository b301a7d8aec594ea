/* answer.c - what a request gets back: one response each, the status a failure becomes, and the sleep until there is something to say. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>

#include "server/gate/gate_internal.h"
#include "server/log.h"

enum { RETRY_FULL_S = 60, RETRY_BROKEN_S = 15 };

uint64_t gate_nonce_clock(void) { return (uint64_t)(kluis_monotonic_us() / 1000000); }

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

/* To the vault alone: its own walls, and what the time authority of this machine said of its. */
static enum MHD_Result tell_walls(struct gate *g, struct MHD_Response *response)
{
    char text[WALLS_TEXT];
    struct walls_told authority;
    enum MHD_Result ok = MHD_YES;
    if (g->walls.told) {
        walls_text(&g->walls, text);
        ok = MHD_add_response_header(response, "Chatkluis-Walls", text);
    }
    gate_relay_walls(g->relay, &authority);
    if (ok == MHD_YES && authority.told) {
        walls_text(&authority, text);
        ok = MHD_add_response_header(response, "Chatkluis-Authority-Walls", text);
    }
    return ok;
}

static enum MHD_Result send_response(struct gate_request *r, unsigned status, const char *type, struct MHD_Response *response)
{
    if (response == NULL) { return MHD_NO; } /* no memory: the connection closes, nothing was promised */
    enum MHD_Result ok = MHD_YES;
    if (type != NULL) { ok = MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type); }
    char nonce[GATE_NONCE_TEXT];
    bool login = r->route.who != GATE_ANYONE || r->route.action == GATE_NONCE;
    if (ok == MHD_YES && login && gate_nonce_make(r->g->nonces, gate_nonce_clock(), nonce, NULL) == KLUIS_OK) {
        ok = MHD_add_response_header(response, "Chatkluis-Nonce", nonce);
        if (ok == MHD_YES) { ok = MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store"); }
    }
    if (ok == MHD_YES && r->signed_in && r->route.who == GATE_VAULT) { ok = tell_walls(r->g, response); }
    /* A vault that came back without its sessions is met at once: who asks for answers hears that there is a newer bundle. */
    uint64_t epoch = r->route.action == GATE_INBOX && r->signed_in && status < 300 ? gate_store_epoch(r->g->store) : 0;
    if (ok == MHD_YES && epoch > 0) {
        char text[24];
        (void)snprintf(text, sizeof text, "%" PRIu64, epoch);
        ok = MHD_add_response_header(response, "Chatkluis-Epoch", text);
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
    struct kluis_err err = { 0 };
    struct MHD_Response *response = NULL;
    if (kluis_buf_ok(bytes, &err) != KLUIS_OK) { return gate_answer_failure(r, &err, MHD_HTTP_SERVICE_UNAVAILABLE); } /* part of an answer is none */
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

struct held {
    struct gate *g;
    uint64_t size;
    uint8_t *bytes;
};

static void let_go(void *ctx)
{
    struct held *h = ctx;
    (void)atomic_fetch_sub(&h->g->sending, h->size);
    kluis_free(h->bytes);
    kluis_free(h);
}

enum MHD_Result gate_answer_held(struct gate_request *r, const char *type, struct kluis_buf *bytes)
{
    struct kluis_err err = { 0 };
    if (kluis_buf_ok(bytes, &err) != KLUIS_OK) { return gate_answer_failure(r, &err, MHD_HTTP_SERVICE_UNAVAILABLE); }
    struct held *h = kluis_calloc(1, sizeof *h);
    if (h == NULL) { return MHD_NO; }
    if (atomic_fetch_add(&r->g->sending, bytes->len) + bytes->len > GATE_SENDING_MAX) {
        (void)atomic_fetch_sub(&r->g->sending, bytes->len);
        kluis_free(h);
        gate_extra(r, MHD_HTTP_HEADER_RETRY_AFTER, "%d", GATE_RETRY_BUSY_S);
        return gate_answer_line(r, MHD_HTTP_SERVICE_UNAVAILABLE, "too many answers are on their way: try again later");
    }
    *h = (struct held){ r->g, bytes->len, bytes->data };
    size_t max = bytes->max;
    kluis_buf_init(bytes, max); /* the response owns the memory now */
    struct MHD_Response *response = MHD_create_response_from_buffer_with_free_callback_cls(h->size, h->bytes, let_go, h);
    if (response == NULL) { let_go(h); }
    return send_response(r, MHD_HTTP_OK, type, response);
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
    case KLUIS_E_BUSY: gate_extra(r, MHD_HTTP_HEADER_RETRY_AFTER, "%d", GATE_RETRY_BUSY_S); return MHD_HTTP_TOO_MANY_REQUESTS;
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
        gate_extra(r, MHD_HTTP_HEADER_RETRY_AFTER, "%d", GATE_RETRY_BUSY_S);
        return gate_answer_line(r, MHD_HTTP_TOO_MANY_REQUESTS, "too many requests wait: try again later");
    case GATE_STOPPING: break;
    }
    return gate_answer_empty(r, status);
}

enum MHD_Result gate_have_changed(struct gate_request *r, const struct gate_change_kind *how)
{
    r->change = (struct gate_change){ .request = r, .connection = r->connection, .kind = how, .chunk = r->chunk };
    r->stage = GATE_STAGE_CHANGE;
    if (gate_changes_ask(r->g->changes, &r->change)) { return MHD_YES; }
    gate_extra(r, MHD_HTTP_HEADER_RETRY_AFTER, "%d", GATE_RETRY_BUSY_S);
    return gate_answer_line(r, MHD_HTTP_SERVICE_UNAVAILABLE, "the gate is stopping: try again later");
}

enum MHD_Result gate_changed(struct gate_request *r) { return gate_changes_ready(r->g->changes, &r->change) ? r->change.kind->tell(r) : MHD_YES; }

void gate_wake_devices(struct gate *g, const struct kluis_buf *ids)
{
    for (size_t at = 0; at + GATE_ID_TEXT - 1 <= ids->len; at += GATE_ID_TEXT - 1) {
        char id[GATE_ID_TEXT];
        memcpy(id, ids->data + at, GATE_ID_TEXT - 1);
        id[GATE_ID_TEXT - 1] = '\0';
        gate_waits_wake(g->waits, GATE_TOPIC_DEVICE, id);
    }
}
