/* server/tsa/tsa.c - RFC 3161 over HTTP on loopback.  See tsa.h. */
#include "server/tsa/tsa.h"

#include "kluis/seal.h"
#include "server/walls/walls.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <unistd.h>

enum { REQUEST_MAX = 4096, CONNECTIONS = 64, TIMEOUT_S = 10 };

struct tsa_server {
    struct MHD_Daemon *d;
    struct kluis_tsa *tsa;
    struct kluis_key *key;
    char walls[WALLS_TEXT]; /* "": none were asked for */
};

struct request {
    uint8_t data[REQUEST_MAX];
    size_t len;
    bool too_long;
};

static enum MHD_Result text(struct MHD_Connection *c, unsigned code, const char *line)
{
    struct MHD_Response *r = MHD_create_response_from_buffer_with_free_callback_cls(strlen(line), (void *)(uintptr_t)line, NULL, NULL);
    if (r == NULL) { return MHD_NO; }
    enum MHD_Result ok = MHD_queue_response(c, code, r);
    MHD_destroy_response(r);
    return ok;
}

static enum MHD_Result handle(void *ctx, struct MHD_Connection *c, KLUIS_UNUSED const char *url, const char *method, KLUIS_UNUSED const char *version,
                              const char *data, size_t *size, void **state)
{
    struct tsa_server *t = ctx;
    struct request *q = *state;
    if (q == NULL) {
        q = kluis_calloc(1, sizeof *q);
        *state = q;
        return q == NULL ? MHD_NO : MHD_YES;
    }
    if (*size > 0) {
        if (*size > REQUEST_MAX - q->len) {
            q->too_long = true;
        } else {
            memcpy(q->data + q->len, data, *size);
            q->len += *size;
        }
        *size = 0;
        return MHD_YES;
    }
    if (strcmp(method, "POST") != 0 || q->too_long || q->len == 0) { return text(c, 400, "POST an RFC 3161 request of at most 4 KiB\n"); }
    KLUIS_AUTO_BUF(out, KLUIS_TOKEN_MAX);
    struct kluis_err err = { 0 };
    if (kluis_tsa_respond(t->tsa, (struct kluis_bytes){ q->data, q->len }, &out, &err) != KLUIS_OK) {
        return text(c, 503, "no time-stamp now: try again\n");
    }
    struct MHD_Response *r = MHD_create_response_from_buffer(out.len, out.data, MHD_RESPMEM_MUST_COPY);
    if (r == NULL) { return MHD_NO; }
    enum MHD_Result ok = MHD_add_response_header(r, "Content-Type", "application/timestamp-reply");
    if (ok == MHD_YES && t->walls[0] != '\0') { ok = MHD_add_response_header(r, "Chatkluis-Walls", t->walls); }
    if (ok == MHD_YES) { ok = MHD_queue_response(c, 200, r); }
    MHD_destroy_response(r);
    return ok;
}

static void done(KLUIS_UNUSED void *ctx, KLUIS_UNUSED struct MHD_Connection *c, void **state, KLUIS_UNUSED enum MHD_RequestTerminationCode why)
{
    kluis_free(*state);
    *state = NULL;
}

static kluis_status authority(struct tsa_server *t, const char *dir, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    KLUIS_AUTO_BUF(pem, KLUIS_CERT_MAX);
    KLUIS_AUTO_BUF(der, KLUIS_CERT_MAX);
    KLUIS_TRY(kluis_path(path, sizeof path, dir, "tsa.key", err));
    KLUIS_TRY(kluis_key_load(path, &t->key, err));
    KLUIS_TRY(kluis_path(path, sizeof path, dir, "tsa.crt", err));
    KLUIS_TRY(kluis_read_file(path, KLUIS_CERT_MAX, &pem, err));
    KLUIS_TRY(kluis_cert_from_pem(kluis_buf_bytes(&pem), &der, err));
    return kluis_tsa_new(t->key, kluis_buf_bytes(&der), &t->tsa, err);
}

kluis_status tsa_start(struct tsa_server **out, const char *dir, bool confine, uint16_t *port, struct kluis_err *err)
{
    *out = NULL;
    struct tsa_server *t = kluis_calloc(1, sizeof *t);
    if (t == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    const union MHD_DaemonInfo *info = NULL;
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(*port) };
    kluis_status rc = authority(t, dir, err);
    if (rc == KLUIS_OK && confine) {
        struct walls_told told = { .told = true, .user = (unsigned)geteuid() };
        rc = walls_raise(&(struct walls){ .binds = true, .bind_port = *port }, &told.walls, err);
        walls_text(&told, t->walls);
    }
    if (rc != KLUIS_OK) { goto fail; }
    t->d = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, handle, t, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&a,
                            MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_S,
                            MHD_OPTION_NOTIFY_COMPLETED, done, NULL, MHD_OPTION_END);
    info = t->d == NULL ? NULL : MHD_get_daemon_info(t->d, MHD_DAEMON_INFO_BIND_PORT);
    if (info == NULL) {
        rc = KLUIS_FAIL(err, KLUIS_E_IO, "the time authority cannot listen on 127.0.0.1:%u: is the port taken?", (unsigned)*port);
        goto fail;
    }
    *port = info->port;
    *out = t;
    return KLUIS_OK;
fail:
    tsa_stop(t);
    return rc;
}

void tsa_stop(struct tsa_server *t)
{
    if (t == NULL) { return; }
    if (t->d != NULL) { MHD_stop_daemon(t->d); }
    kluis_tsa_free(t->tsa);
    kluis_key_free(t->key);
    kluis_free(t);
}
