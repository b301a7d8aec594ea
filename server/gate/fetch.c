/* fetch.c - several uploads in one answer (docs/PROTOCOL.md §6): what a request costs is paid once for many small packages.
 *
 * Lengths are promised when the answer begins; every file is opened then, so that nothing that happens to a row later changes it. */
#include "server/gate/gate_internal.h"

enum { FETCH_UPLOADS_MAX = 64, HEAD = 8, BLOCK = 128 << 10 };
static const uint64_t FETCH_BYTES_MAX = (uint64_t)16 << 20;

struct part {
    int fd;
    uint64_t length; /* 0: there is no such upload */
    uint8_t head[HEAD];
};
struct fetching {
    size_t n, at;    /* parts; the one being sent           */
    uint64_t within; /* bytes of it that went, head included */
    struct part part[FETCH_UPLOADS_MAX];
};

static void fetching_free(void *ctx)
{
    struct fetching *f = ctx;
    for (size_t i = 0; i < f->n; i++) { kluis_close_quiet(&f->part[i].fd); }
    kluis_free(f);
}

static ssize_t send_some(void *ctx, uint64_t position, char *room, size_t max)
{
    struct fetching *f = ctx;
    (void)position; /* rises without gaps */
    size_t sent = 0;
    while (sent < max && f->at < f->n) {
        const struct part *p = &f->part[f->at];
        if (f->within == HEAD + p->length) {
            f->at++;
            f->within = 0;
            continue;
        }
        if (f->within < HEAD) {
            size_t k = HEAD - (size_t)f->within < max - sent ? HEAD - (size_t)f->within : max - sent;
            memcpy(room + sent, p->head + f->within, k);
            f->within += k;
            sent += k;
            continue;
        }
        uint64_t left = p->length - (f->within - HEAD);
        ssize_t got = kluis_io_pread(p->fd, room + sent, left < max - sent ? (size_t)left : max - sent, f->within - HEAD);
        if (got <= 0) { return MHD_CONTENT_READER_END_WITH_ERROR; } /* the vault sees a short answer and asks again */
        f->within += (uint64_t)got;
        sent += (size_t)got;
    }
    return sent > 0 ? (ssize_t)sent : MHD_CONTENT_READER_END_OF_STREAM;
}

static kluis_status open_part(struct gate_request *r, const uint8_t id[GATE_ID], struct part *p, struct kluis_err *err)
{
    p->fd = -1;
    kluis_status rc = gate_store_upload_length(r->g->store, id, &p->length, err);
    if (rc == KLUIS_OK) { rc = gate_uploads_read(r->g->uploads, id, p->length, &p->fd, err); }
    if (rc == KLUIS_E_NOTFOUND) {
        kluis_err_clear(err);
        p->length = 0;
        rc = KLUIS_OK;
    }
    for (size_t i = 0; i < HEAD; i++) { p->head[i] = (uint8_t)(p->length >> (8 * (HEAD - 1 - i))); }
    return rc;
}

static kluis_status open_parts(struct gate_request *r, struct fetching *f, uint64_t *size, struct kluis_err *err)
{
    struct kluis_wire w = kluis_wire_open(kluis_buf_bytes(&r->body));
    (void)kluis_wire_is(&w, "chatkluis-fetch-v1");
    *size = 0;
    while (!w.bad && kluis_wire_more(&w)) {
        uint8_t id[GATE_ID];
        if (!kluis_wire_fixed(&w, id, sizeof id)) { break; }
        if (f->n == FETCH_UPLOADS_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "more than %d uploads in one request", FETCH_UPLOADS_MAX); }
        struct part *p = &f->part[f->n++];
        KLUIS_TRY(open_part(r, id, p, err));
        *size += HEAD + p->length;
        if (p->length > FETCH_BYTES_MAX || *size > FETCH_BYTES_MAX) {
            return KLUIS_FAIL(err, KLUIS_E_LIMIT, "more than %llu bytes in one answer: ask for fewer uploads", (unsigned long long)FETCH_BYTES_MAX);
        }
    }
    KLUIS_TRY(kluis_wire_end(&w, "fetch", err));
    return f->n > 0 ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_REJECT, "no upload is asked for");
}

enum MHD_Result gate_fetch(struct gate_request *r)
{
    struct kluis_err err = { 0 };
    uint64_t size = 0;
    struct fetching *f = kluis_calloc(1, sizeof *f);
    kluis_status rc = f == NULL ? KLUIS_FAIL(&err, KLUIS_E_NOMEM, "no memory for an answer") : open_parts(r, f, &size, &err);
    if (rc != KLUIS_OK) {
        if (f != NULL) { fetching_free(f); }
        return gate_answer_failure(r, &err, MHD_HTTP_BAD_REQUEST);
    }
    return gate_answer_stream(r, size, BLOCK, send_some, f, fetching_free);
}
