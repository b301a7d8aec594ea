/* device.c - the routes of devices and of anyone (docs/PROTOCOL.md §5.2). */
#include <inttypes.h>

#include "kluis/envelope.h" /* the label of an enrolment request: the one kind of message that strangers may queue */
#include "server/gate/gate_internal.h"

static const char OCTETS[] = "application/octet-stream";

static enum MHD_Result nonce(struct gate_request *r)
{
    struct kluis_err err = { 0 };
    char text[GATE_NONCE_TEXT];
    KLUIS_AUTO_BUF(out, GATE_NONCE_TEXT);
    if (gate_nonce_make(r->g->nonces, (uint64_t)(kluis_monotonic_us() / 1000000), text, &err) != KLUIS_OK) {
        return gate_answer_failure(r, &err, MHD_HTTP_SERVICE_UNAVAILABLE);
    }
    kluis_buf_cstr(&out, text);
    return gate_answer_bytes(r, MHD_HTTP_OK, "text/plain", &out);
}

static kluis_status enrol_work(struct gate_request *r, struct kluis_err *err)
{
    char ticket[GATE_ID_TEXT];
    KLUIS_TRY(gate_uploads_room(r->g->uploads, r->body.len, err));
    kluis_status rc = gate_store_enrol_put(r->g->store, kluis_buf_bytes(&r->body), kluis_now_us(), ticket, err);
    if (rc == KLUIS_OK || rc == KLUIS_E_EXISTS) { kluis_buf_cstr(&r->found.bytes, ticket); }
    return rc;
}

static enum MHD_Result enrol_tell(struct gate_request *r)
{
    if (r->change.rc != KLUIS_OK && r->change.rc != KLUIS_E_EXISTS) { return gate_answer_failure(r, &r->change.err, MHD_HTTP_BAD_REQUEST); }
    gate_waits_wake(r->g->waits, GATE_TOPIC_VAULT, "");
    return gate_answer_bytes(r, MHD_HTTP_ACCEPTED, "text/plain", &r->found.bytes);
}

static enum MHD_Result enrol(struct gate_request *r)
{
    static const struct gate_change_kind kind = { enrol_work, NULL, enrol_tell };
    /* Opaque to the gate, but only the one kind of message may take a place in the queue. */
    struct kluis_wire w = kluis_wire_open(kluis_buf_bytes(&r->body));
    if (!kluis_wire_is(&w, KLUIS_ENROL_REQUEST)) { return gate_answer_line(r, MHD_HTTP_BAD_REQUEST, "this is no enrolment request"); }
    return gate_have_changed(r, &kind);
}

static enum MHD_Result enrol_reply(struct gate_request *r)
{
    for (;;) {
        struct kluis_err err = { 0 };
        bool again = false;
        KLUIS_AUTO_BUF(out, 1 << 20);
        uint64_t mark = gate_waits_mark(r->g->waits, GATE_TOPIC_TICKET, r->route.id_text);
        kluis_status rc = gate_store_enrol_reply(r->g->store, r->route.id_text, &out, &err);
        if (rc == KLUIS_OK) { return gate_answer_bytes(r, MHD_HTTP_OK, OCTETS, &out); }
        if (rc != KLUIS_END) { return gate_answer_failure(r, &err, MHD_HTTP_NOT_FOUND); }
        enum MHD_Result done = gate_sleep_or_answer(r, GATE_TOPIC_TICKET, r->route.id_text, mark, MHD_HTTP_NO_CONTENT, &again);
        if (!again) { return done; }
    }
}

static kluis_status bundle_work(struct gate_request *r, struct kluis_err *err)
{
    return gate_store_bundle_take(r->g->store, r->login.id, kluis_now_us(), &r->found.bytes, err);
}

static enum MHD_Result bundle_tell(struct gate_request *r)
{
    if (r->change.rc == KLUIS_E_NOTFOUND) {
        gate_extra(r, MHD_HTTP_HEADER_RETRY_AFTER, "10");
        return gate_answer_line(r, MHD_HTTP_SERVICE_UNAVAILABLE, r->change.err.msg);
    }
    if (r->change.rc != KLUIS_OK) { return gate_answer_failure(r, &r->change.err, MHD_HTTP_BAD_REQUEST); }
    return gate_answer_bytes(r, MHD_HTTP_OK, OCTETS, &r->found.bytes);
}

/* Changes nothing, but what it finds may not be on disk yet, and the device forgets what it hears is here. */
static kluis_status offset_work(struct gate_request *r, struct kluis_err *err)
{
    struct gate_upload u = { 0 };
    KLUIS_TRY(gate_store_upload_get(r->g->store, r->route.id, r->login.id, &u, err));
    r->found.number = u.offset;
    return KLUIS_OK;
}

static enum MHD_Result offset_tell(struct gate_request *r)
{
    if (r->change.rc == KLUIS_E_REJECT) { return gate_answer_line(r, MHD_HTTP_NOT_FOUND, "no such upload"); }
    if (r->change.rc != KLUIS_OK) { return gate_answer_failure(r, &r->change.err, MHD_HTTP_NOT_FOUND); }
    gate_extra(r, "Chatkluis-Offset", "%" PRIu64, r->found.number);
    return gate_answer_empty(r, MHD_HTTP_OK);
}

static kluis_status upload_work(struct gate_request *r, struct kluis_err *err) { return gate_chunk_count(r->chunk, kluis_now_us(), err); }

static enum MHD_Result upload_tell(struct gate_request *r)
{
    gate_chunk_free(r->chunk);
    r->chunk = NULL;
    if (r->change.rc != KLUIS_OK) { return gate_answer_failure(r, &r->change.err, MHD_HTTP_CONFLICT); }
    gate_extra(r, "Chatkluis-Offset", "%" PRIu64, r->route.offset + r->declared);
    return gate_answer_empty(r, MHD_HTTP_NO_CONTENT);
}

static kluis_status message_work(struct gate_request *r, struct kluis_err *err)
{
    KLUIS_TRY(gate_uploads_room(r->g->uploads, r->body.len, err));
    return gate_store_message_put(r->g->store, r->route.id, r->login.id, r->route.has_upload ? r->route.upload : NULL, kluis_buf_bytes(&r->body),
                                  kluis_now_us(), err);
}

static enum MHD_Result message_tell(struct gate_request *r)
{
    if (r->change.rc == KLUIS_E_EXISTS) { return gate_answer_empty(r, MHD_HTTP_OK); }
    if (r->change.rc != KLUIS_OK) { return gate_answer_failure(r, &r->change.err, MHD_HTTP_CONFLICT); }
    gate_waits_wake(r->g->waits, GATE_TOPIC_VAULT, "");
    return gate_answer_empty(r, MHD_HTTP_ACCEPTED);
}

static enum MHD_Result message(struct gate_request *r)
{
    static const struct gate_change_kind kind = { message_work, NULL, message_tell };
    return r->body.len == 0 ? gate_answer_line(r, MHD_HTTP_BAD_REQUEST, "an empty message") : gate_have_changed(r, &kind);
}

static enum MHD_Result inbox(struct gate_request *r)
{
    for (;;) {
        struct kluis_err err = { 0 };
        bool again = false;
        KLUIS_AUTO_BUF(out, GATE_RESPONSE_MAX);
        uint64_t mark = gate_waits_mark(r->g->waits, GATE_TOPIC_DEVICE, r->login.id);
        kluis_status rc = gate_store_inbox(r->g->store, r->login.id, &out, &err);
        if (rc == KLUIS_OK) { return gate_answer_held(r, OCTETS, &out); }
        if (rc != KLUIS_END) { return gate_answer_failure(r, &err, MHD_HTTP_BAD_REQUEST); }
        enum MHD_Result done = gate_sleep_or_answer(r, GATE_TOPIC_DEVICE, r->login.id, mark, MHD_HTTP_NO_CONTENT, &again);
        if (!again) { return done; }
    }
}

static kluis_status inbox_delete_work(struct gate_request *r, struct kluis_err *err)
{
    return gate_store_inbox_delete(r->g->store, r->login.id, r->route.id, kluis_now_us(), err);
}

static enum MHD_Result inbox_delete_tell(struct gate_request *r)
{
    return r->change.rc == KLUIS_OK ? gate_answer_empty(r, MHD_HTTP_NO_CONTENT) : gate_answer_failure(r, &r->change.err, MHD_HTTP_BAD_REQUEST);
}

/* ---- time ------------------------------------------------------------------------------------- */

static void relay_done(struct gate_relay_job *job)
{
    struct gate_request *r = job->ctx;
    struct gate_waits *waits = r->g->waits; /* r may be gone as soon as the connection runs again */
    gate_waits_lock(waits);
    r->job_ready = true;
    MHD_resume_connection(r->connection);
    gate_waits_unlock(waits);
}

static enum MHD_Result timestamp(struct gate_request *r)
{
    struct kluis_err err = { 0 };
    if (!gate_der_sequence(kluis_buf_bytes(&r->body))) { return gate_answer_line(r, MHD_HTTP_BAD_REQUEST, "this is no RFC 3161 request"); }
    r->job.request = kluis_buf_bytes(&r->body);
    r->job.done = relay_done;
    r->job.ctx = r;
    gate_waits_lock(r->g->waits); /* the worker cannot resume what is not suspended yet */
    kluis_status rc = gate_relay_ask(r->g->relay, &r->job, &err);
    if (rc == KLUIS_OK) {
        r->stage = GATE_STAGE_RELAY;
        MHD_suspend_connection(r->connection);
    }
    gate_waits_unlock(r->g->waits);
    if (rc == KLUIS_OK) { return MHD_YES; }
    gate_extra(r, MHD_HTTP_HEADER_RETRY_AFTER, "%u", gate_relay_rest_s(r->g->relay));
    return gate_answer_line(r, MHD_HTTP_SERVICE_UNAVAILABLE, err.msg);
}

enum MHD_Result gate_relay_act(struct gate_request *r)
{
    gate_waits_lock(r->g->waits);
    bool ready = r->job_ready;
    gate_waits_unlock(r->g->waits);
    if (!ready) { return MHD_YES; }
    if (r->job.response.len > 0) { return gate_answer_bytes(r, MHD_HTTP_OK, "application/timestamp-reply", &r->job.response); }
    gate_extra(r, MHD_HTTP_HEADER_RETRY_AFTER, "%u", gate_relay_rest_s(r->g->relay));
    return gate_answer_line(r, MHD_HTTP_SERVICE_UNAVAILABLE, "no time authority answered: try again later");
}

/* ---- the mirror ------------------------------------------------------------------------------- */

static enum MHD_Result mirror(struct gate_request *r)
{
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(out, 2 << 20);
    kluis_status rc = KLUIS_E_BUG;
    const char *type = OCTETS;
    if (r->route.action == GATE_CHECKPOINT) {
        type = "text/plain; charset=utf-8";
        rc = gate_mirror_checkpoint(r->g->store, &out, &err);
    } else if (r->route.action == GATE_TILE) {
        rc = gate_mirror_tile(r->g->store, r->route.level, r->route.index, r->route.width, &out, &err);
    } else {
        rc = gate_mirror_entries(r->g->store, r->route.index, r->route.width, &out, &err);
    }
    if (rc != KLUIS_OK) { return gate_answer_failure(r, &err, MHD_HTTP_NOT_FOUND); }
    return gate_answer_bytes(r, MHD_HTTP_OK, type, &out);
}

enum MHD_Result gate_device_act(struct gate_request *r)
{
    static const struct gate_change_kind take_bundle = { bundle_work, NULL, bundle_tell }, tell_offset = { offset_work, NULL, offset_tell },
                                         count_chunk = { upload_work, NULL, upload_tell }, take_out = { inbox_delete_work, NULL, inbox_delete_tell };
    switch (r->route.action) {
    case GATE_NONCE: return nonce(r);
    case GATE_HEALTH: return gate_answer_line(r, MHD_HTTP_OK, "ok");
    case GATE_ENROL: return enrol(r);
    case GATE_ENROL_REPLY: return enrol_reply(r);
    case GATE_BUNDLE: return gate_have_changed(r, &take_bundle);
    case GATE_UPLOAD_OFFSET: return gate_have_changed(r, &tell_offset);
    case GATE_UPLOAD: return gate_have_changed(r, &count_chunk);
    case GATE_MESSAGE: return message(r);
    case GATE_INBOX: return inbox(r);
    case GATE_INBOX_DELETE: return gate_have_changed(r, &take_out);
    case GATE_TIMESTAMP:
    case GATE_VAULT_TIMESTAMP: return timestamp(r);
    case GATE_CHECKPOINT:
    case GATE_TILE:
    case GATE_ENTRIES: return mirror(r);
    case GATE_VAULT_NEXT:
    case GATE_VAULT_UPLOAD:
    case GATE_VAULT_FETCH:
    case GATE_VAULT_DONE:
    case GATE_VAULT_ENROLLED:
    case GATE_VAULT_DEVICE:
    case GATE_VAULT_BUNDLE_PUT:
    case GATE_VAULT_BUNDLE_GET:
    case GATE_VAULT_MIRROR_PUT:
    case GATE_VAULT_MIRROR_GET:
    case GATE_VAULT_REGISTER_PUT:
    case GATE_VAULT_REGISTER_GET:
    case GATE_VAULT_OUTBOX: break;
    }
    return gate_answer_line(r, MHD_HTTP_INTERNAL_SERVER_ERROR, "the gate is out of order");
}
