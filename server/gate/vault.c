/* vault.c - the routes of the vault (docs/PROTOCOL.md §6). */
#include <inttypes.h>

#include "server/gate/gate_internal.h"
#include "server/log.h"

static const char OCTETS[] = "application/octet-stream";
static const char EPOCH[] = "Chatkluis-Epoch";

static enum MHD_Result next(struct gate_request *r)
{
    for (;;) {
        struct kluis_err err = { 0 };
        bool again = false;
        KLUIS_AUTO_BUF(out, GATE_RESPONSE_MAX);
        uint64_t mark = gate_waits_mark(r->g->waits, GATE_TOPIC_VAULT, "");
        kluis_status rc = gate_store_next(r->g->store, r->route.after, &out, &err);
        if (rc == KLUIS_OK) { return gate_answer_bytes(r, MHD_HTTP_OK, OCTETS, &out); }
        if (rc != KLUIS_END) { return gate_answer_failure(r, &err, MHD_HTTP_BAD_REQUEST); }
        enum MHD_Result done = gate_sleep_or_answer(r, GATE_TOPIC_VAULT, "", mark, MHD_HTTP_NO_CONTENT, &again);
        if (!again) { return done; }
    }
}

static enum MHD_Result upload(struct gate_request *r)
{
    struct kluis_err err = { 0 };
    uint64_t length = 0;
    uint64_t from = 0;
    uint64_t count = 0;
    int fd = -1;
    const char *range = MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_RANGE);
    if (gate_store_upload_length(r->g->store, r->route.id, &length, &err) != KLUIS_OK) { return gate_answer_failure(r, &err, MHD_HTTP_NOT_FOUND); }
    if (!gate_range_read(range, length, &from, &count)) {
        gate_extra(r, MHD_HTTP_HEADER_CONTENT_RANGE, "bytes */%" PRIu64, length);
        return gate_answer_line(r, MHD_HTTP_RANGE_NOT_SATISFIABLE, "the range is not within the upload");
    }
    if (gate_uploads_read(r->g->uploads, r->route.id, length, &fd, &err) != KLUIS_OK) { return gate_answer_failure(r, &err, MHD_HTTP_NOT_FOUND); }
    if (range != NULL) { gate_extra(r, MHD_HTTP_HEADER_CONTENT_RANGE, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, from, from + count - 1, length); }
    gate_extra(r, MHD_HTTP_HEADER_ACCEPT_RANGES, "bytes");
    return gate_answer_fd(r, range != NULL ? MHD_HTTP_PARTIAL_CONTENT : MHD_HTTP_OK, fd, from, count);
}

static kluis_status done_work(struct gate_request *r, struct kluis_err *err)
{
    return gate_store_done(r->g->store, kluis_buf_bytes(&r->body), &r->found.bytes, err);
}

/* Files go when it is on disk that nobody needs them. */
static kluis_status done_after(struct gate_request *r, struct kluis_err *err)
{
    return gate_uploads_drop(r->g->uploads, kluis_buf_bytes(&r->found.bytes), err);
}

static kluis_status enrolled_work(struct gate_request *r, struct kluis_err *err)
{
    return gate_store_enrol_answer(r->g->store, r->route.id_text, kluis_buf_bytes(&r->body), kluis_now_us(), err);
}

static enum MHD_Result enrolled_tell(struct gate_request *r)
{
    if (r->change.rc != KLUIS_OK && r->change.rc != KLUIS_E_EXISTS) { return gate_answer_failure(r, &r->change.err, MHD_HTTP_CONFLICT); }
    gate_waits_wake(r->g->waits, GATE_TOPIC_TICKET, r->route.id_text);
    return gate_answer_empty(r, MHD_HTTP_NO_CONTENT);
}

static kluis_status device_work(struct gate_request *r, struct kluis_err *err)
{
    struct kluis_wire w = kluis_wire_open(kluis_buf_bytes(&r->body));
    (void)kluis_wire_is(&w, "chatkluis-device-v1");
    struct kluis_bytes spki = kluis_wire_get(&w, GATE_SPKI_MAX);
    uint32_t state = kluis_wire_get_u32(&w);
    KLUIS_TRY(kluis_wire_end(&w, "device", err));
    KLUIS_TRY(gate_store_device_put(r->g->store, r->route.id_text, spki, state, err));
    kluis_log(KLUIS_LOG_INFO, "device.state", "device=%s state=%u", r->route.id_text, state);
    return KLUIS_OK;
}

static kluis_status bundle_put_work(struct gate_request *r, struct kluis_err *err)
{
    KLUIS_TRY(gate_uploads_room(r->g->uploads, r->body.len, err));
    return gate_store_bundle_put(r->g->store, kluis_buf_bytes(&r->body), &r->found.number, &r->found.lower, err);
}

static enum MHD_Result bundle_put_tell(struct gate_request *r)
{
    gate_extra(r, EPOCH, "%" PRIu64, gate_store_epoch(r->g->store));
    if (r->change.rc != KLUIS_OK) { return gate_answer_failure(r, &r->change.err, r->found.lower ? MHD_HTTP_CONFLICT : MHD_HTTP_BAD_REQUEST); }
    gate_extra(r, "Chatkluis-Prekeys", "%" PRIu64, r->found.number);
    return gate_answer_empty(r, MHD_HTTP_NO_CONTENT);
}

static enum MHD_Result bundle_get(struct gate_request *r)
{
    struct kluis_err err = { 0 };
    uint64_t left = 0;
    if (gate_store_prekeys_left(r->g->store, &left, &err) != KLUIS_OK) { return gate_answer_failure(r, &err, MHD_HTTP_BAD_REQUEST); }
    gate_extra(r, EPOCH, "%" PRIu64, gate_store_epoch(r->g->store));
    gate_extra(r, "Chatkluis-Prekeys", "%" PRIu64, left);
    return gate_answer_empty(r, MHD_HTTP_NO_CONTENT);
}

static kluis_status mirror_put_work(struct gate_request *r, struct kluis_err *err)
{
    KLUIS_TRY(gate_uploads_room(r->g->uploads, r->body.len, err));
    return r->route.action == GATE_VAULT_MIRROR_PUT
               ? gate_mirror_append(r->g->store, kluis_buf_bytes(&r->body), &r->found.number, &r->found.bytes, err)
               : gate_journal_append(r->g->store, kluis_buf_bytes(&r->body), &r->found.number, err);
}

static enum MHD_Result mirror_put_tell(struct gate_request *r)
{
    kluis_status rc = r->change.rc;
    if (rc == KLUIS_OK || rc == KLUIS_E_BUSY || rc == KLUIS_E_REJECT) { gate_extra(r, "Chatkluis-Size", "%" PRIu64, r->found.number); }
    if (rc == KLUIS_E_BUSY) { return gate_answer_line(r, MHD_HTTP_CONFLICT, r->change.err.msg); }
    if (rc != KLUIS_OK) { return gate_answer_failure(r, &r->change.err, MHD_HTTP_BAD_REQUEST); }
    gate_wake_devices(r->g, &r->found.bytes);
    return gate_answer_empty(r, MHD_HTTP_NO_CONTENT);
}

/* Changes nothing, but the vault goes by the size it hears, so what is read is on disk first. */
static kluis_status mirror_get_work(struct gate_request *r, struct kluis_err *err)
{
    return r->route.action == GATE_VAULT_MIRROR_GET ? gate_mirror_read(r->g->store, r->route.from, &r->found.bytes, &r->found.number, err)
                                                    : gate_journal_read(r->g->store, r->route.from, &r->found.bytes, &r->found.number, err);
}

static enum MHD_Result mirror_get_tell(struct gate_request *r)
{
    gate_extra(r, "Chatkluis-Size", "%" PRIu64, r->found.number);
    if (r->change.rc == KLUIS_END) { return gate_answer_empty(r, MHD_HTTP_NO_CONTENT); }
    if (r->change.rc != KLUIS_OK) { return gate_answer_failure(r, &r->change.err, MHD_HTTP_BAD_REQUEST); }
    return gate_answer_bytes(r, MHD_HTTP_OK, OCTETS, &r->found.bytes);
}

static kluis_status outbox_work(struct gate_request *r, struct kluis_err *err)
{
    KLUIS_TRY(gate_uploads_room(r->g->uploads, r->body.len, err));
    return gate_store_outbox_put(r->g->store, kluis_buf_bytes(&r->body), &r->found.bytes, err);
}

static enum MHD_Result outbox_tell(struct gate_request *r)
{
    if (r->change.rc != KLUIS_OK) { return gate_answer_failure(r, &r->change.err, MHD_HTTP_BAD_REQUEST); }
    gate_wake_devices(r->g, &r->found.bytes);
    return gate_answer_empty(r, MHD_HTTP_NO_CONTENT);
}

static enum MHD_Result plain_tell(struct gate_request *r)
{
    return r->change.rc == KLUIS_OK ? gate_answer_empty(r, MHD_HTTP_NO_CONTENT) : gate_answer_failure(r, &r->change.err, MHD_HTTP_BAD_REQUEST);
}

enum MHD_Result gate_vault_act(struct gate_request *r)
{
    static const struct gate_change_kind done = { done_work, done_after, plain_tell }, enrolled = { enrolled_work, NULL, enrolled_tell },
                                         device = { device_work, NULL, plain_tell }, bundle_put = { bundle_put_work, NULL, bundle_put_tell },
                                         mirror_put = { mirror_put_work, NULL, mirror_put_tell },
                                         mirror_get = { mirror_get_work, NULL, mirror_get_tell }, outbox = { outbox_work, NULL, outbox_tell };
    switch (r->route.action) {
    case GATE_VAULT_NEXT: return next(r);
    case GATE_VAULT_UPLOAD: return upload(r);
    case GATE_VAULT_FETCH: return gate_fetch(r);
    case GATE_VAULT_DONE: return gate_have_changed(r, &done);
    case GATE_VAULT_ENROLLED: return gate_have_changed(r, &enrolled);
    case GATE_VAULT_DEVICE: return gate_have_changed(r, &device);
    case GATE_VAULT_BUNDLE_PUT: return gate_have_changed(r, &bundle_put);
    case GATE_VAULT_BUNDLE_GET: return bundle_get(r);
    case GATE_VAULT_MIRROR_PUT:
    case GATE_VAULT_REGISTER_PUT: return gate_have_changed(r, &mirror_put);
    case GATE_VAULT_MIRROR_GET:
    case GATE_VAULT_REGISTER_GET: return gate_have_changed(r, &mirror_get);
    case GATE_VAULT_OUTBOX: return gate_have_changed(r, &outbox);
    case GATE_VAULT_TIMESTAMP:
    case GATE_NONCE:
    case GATE_HEALTH:
    case GATE_ENROL:
    case GATE_ENROL_REPLY:
    case GATE_BUNDLE:
    case GATE_UPLOAD_OFFSET:
    case GATE_UPLOAD:
    case GATE_MESSAGE:
    case GATE_INBOX:
    case GATE_INBOX_DELETE:
    case GATE_TIMESTAMP:
    case GATE_CHECKPOINT:
    case GATE_TILE:
    case GATE_ENTRIES: break;
    }
    return gate_device_act(r);
}
