/* tests/support/gate_client.c - libcurl, one handle, HTTP/1.1. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <curl/curl.h>
#include <netinet/in.h>
#include <poll.h>
#include <strings.h>
#include <sys/socket.h>

#include "kluis/login.h"
#include "tests/support/gate_client.h"

enum { NONCE_TRIES = 60 };

struct gate_client {
    CURL *curl;
    char gate[96];
    struct kluis_buf ca_pem;
    char id[40];
    const struct kluis_key *key;
    char nonce[64];
};

struct sending {
    struct kluis_bytes body;
    size_t at;
};

int gate_port_keep(char address[32])
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
    } a = { .in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof a;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), 0);
    assert_int_equal(bind(fd, &a.any, len), 0);
    assert_int_equal(getsockname(fd, &a.any, &len), 0);
    (void)snprintf(address, 32, "127.0.0.1:%u", ntohs(a.in.sin_port));
    return fd;
}

struct gate_client *gate_client_new(const char *address, struct kluis_bytes ca, const char *id, const struct kluis_key *key)
{
    struct gate_client *c = kluis_calloc(1, sizeof *c);
    assert_non_null(c);
    c->curl = curl_easy_init();
    assert_non_null(c->curl);
    (void)snprintf(c->gate, sizeof c->gate, "%s", address);
    kluis_buf_init(&c->ca_pem, 1 << 16);
    assert_int_equal(kluis_cert_pem(ca, &c->ca_pem, NULL), KLUIS_OK);
    if (id != NULL) { (void)snprintf(c->id, sizeof c->id, "%s", id); }
    c->key = key;
    return c;
}

void gate_client_free(struct gate_client *c)
{
    if (c == NULL) { return; }
    curl_easy_cleanup(c->curl);
    kluis_buf_free(&c->ca_pem);
    kluis_free(c);
}

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
    kluis_buf_add(ctx, p, size * n);
    return size * n;
}

static size_t on_send(char *p, size_t size, size_t n, void *ctx)
{
    struct sending *s = ctx;
    size_t left = s->body.len - s->at;
    size_t take = left < size * n ? left : size * n;
    if (take > 0) { memcpy(p, s->body.ptr + s->at, take); }
    s->at += take;
    return take;
}

static size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
    struct gate_reply *r = ctx;
    char line[256];
    (void)snprintf(line, sizeof line, "%.*s", (int)(size * n < 250 ? size * n : 250), p);
    line[strcspn(line, "\r\n")] = '\0';
    char *value = strchr(line, ':');
    if (value == NULL) { return size * n; }
    *value++ = '\0';
    while (*value == ' ') { value++; }
    static const char *const names[] = { "Chatkluis-Offset", "Chatkluis-Size", "Chatkluis-Prekeys", "Retry-After" };
    int64_t *const where[] = { &r->offset, &r->size, &r->prekeys, &r->retry_after };
    for (size_t i = 0; i < 4; i++) {
        if (strcasecmp(line, names[i]) == 0) { *where[i] = strtoll(value, NULL, 10); }
    }
    if (strcasecmp(line, "Chatkluis-Nonce") == 0) { (void)snprintf(r->nonce, sizeof r->nonce, "%s", value); }
    if (strcasecmp(line, "Chatkluis-Walls") == 0) { (void)snprintf(r->walls, sizeof r->walls, "%s", value); }
    if (strcasecmp(line, "Content-Range") == 0) { (void)snprintf(r->content_range, sizeof r->content_range, "%.90s", value); }
    return size * n;
}

/* To send the body again when libcurl repeats a request. */
static int on_rewind(void *ctx, curl_off_t offset, int origin)
{
    struct sending *s = ctx;
    if (origin != SEEK_SET || offset < 0 || (size_t)offset > s->body.len) { return CURL_SEEKFUNC_FAIL; }
    s->at = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

static int on_sent(CURL *curl, curl_infotype kind, char *p, size_t n, void *ctx)
{
    struct gate_reply *r = ctx;
    (void)curl;
    r->sent += kind == CURLINFO_HEADER_OUT && memmem(p, n, " HTTP/1.1\r\n", 11) != NULL ? 1 : 0;
    return 0;
}

static void perform(struct gate_client *c, const char *method, const char *path, struct kluis_bytes body, const char *authorization,
                    const char *range, struct gate_reply *r)
{
    char url[768];
    (void)snprintf(url, sizeof url, "https://%s%s", c->gate, path);
    struct sending sending = { body, 0 };
    memset(r, 0, sizeof *r);
    r->offset = r->size = r->prekeys = r->retry_after = -1;
    kluis_buf_init(&r->body, 64 << 20);
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    char line[2048];
    if (authorization != NULL) {
        (void)snprintf(line, sizeof line, "Authorization: %s", authorization);
        headers = curl_slist_append(headers, line);
    }
    if (range != NULL) {
        (void)snprintf(line, sizeof line, "Range: %s", range);
        headers = curl_slist_append(headers, line);
    }
    struct curl_blob ca = { c->ca_pem.data, c->ca_pem.len, CURL_BLOB_NOCOPY };
    curl_easy_reset(c->curl);
    (void)curl_easy_setopt(c->curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(c->curl, CURLOPT_PATH_AS_IS, 1L);
    (void)curl_easy_setopt(c->curl, CURLOPT_CAINFO_BLOB, &ca);
    (void)curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &r->body);
    (void)curl_easy_setopt(c->curl, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(c->curl, CURLOPT_HEADERDATA, r);
    (void)curl_easy_setopt(c->curl, CURLOPT_VERBOSE, 1L); /* for on_sent, which prints nothing */
    (void)curl_easy_setopt(c->curl, CURLOPT_DEBUGFUNCTION, on_sent);
    (void)curl_easy_setopt(c->curl, CURLOPT_DEBUGDATA, r);
    (void)curl_easy_setopt(c->curl, CURLOPT_TIMEOUT, 60L);
    (void)curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    if (body.len > 0 || strcmp(method, "PUT") == 0 || strcmp(method, "POST") == 0) {
        (void)curl_easy_setopt(c->curl, CURLOPT_UPLOAD, 1L);
        (void)curl_easy_setopt(c->curl, CURLOPT_READFUNCTION, on_send);
        (void)curl_easy_setopt(c->curl, CURLOPT_READDATA, &sending);
        (void)curl_easy_setopt(c->curl, CURLOPT_SEEKFUNCTION, on_rewind);
        (void)curl_easy_setopt(c->curl, CURLOPT_SEEKDATA, &sending);
        (void)curl_easy_setopt(c->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)body.len);
    }
    (void)curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
    CURLcode rc = curl_easy_perform(c->curl);
    if (rc == CURLE_PEER_FAILED_VERIFICATION) { fail_msg("the gate's certificate does not verify"); }
    if (rc == CURLE_OK) { (void)curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &r->status); }
    curl_slist_free_all(headers);
}

static void need_nonce(struct gate_client *c)
{
    if (c->nonce[0] != '\0') { return; }
    struct gate_reply r = { 0 };
    for (int tries = 0; r.status == 0 && tries < NONCE_TRIES; tries++) { /* no answer: the gate has no place for one more connection */
        if (tries > 0) { kluis_sleep_us(500000); }
        perform(c, "GET", "/v1/nonce", (struct kluis_bytes){ NULL, 0 }, NULL, NULL, &r);
    }
    assert_int_equal(r.status, 200);
    assert_int_equal(r.body.len, 43);
    memcpy(c->nonce, r.body.data, 43);
    c->nonce[43] = '\0';
    gate_reply_free(&r);
}

static void sign(struct gate_client *c, const char *method, const char *path, const uint8_t sha[32], const struct gate_lie *lie,
                 struct kluis_buf *out)
{
    static const struct gate_lie none;
    if (lie == NULL) { lie = &none; }
    if (lie->nonce == NULL) { need_nonce(c); }
    assert_int_equal(kluis_login_header_write(lie->id != NULL ? lie->id : c->id, lie->key != NULL ? lie->key : c->key,
                                              lie->gate != NULL ? lie->gate : c->gate, method, lie->path != NULL ? lie->path : path,
                                              lie->body_sha256 != NULL ? lie->body_sha256 : sha, lie->nonce != NULL ? lie->nonce : c->nonce,
                                              kluis_now_us() / 1000000 + lie->time_shift_s, out, NULL),
                     KLUIS_OK);
    if (lie->nonce == NULL) { c->nonce[0] = '\0'; }
    kluis_buf_byte(out, 0);
}

void gate_client_sign(struct gate_client *c, const char *method, const char *path, const uint8_t sha256[32], struct kluis_buf *out)
{
    sign(c, method, path, sha256, NULL, out);
}

void gate_client_ask(struct gate_client *c, const char *method, const char *path, struct kluis_bytes body, const struct gate_lie *lie,
                     struct gate_reply *reply)
{
    uint8_t sha[32];
    kluis_sha256_of(body.ptr != NULL ? body.ptr : (const uint8_t *)"", body.len, sha);
    for (int attempt = 0;; attempt++) {
        KLUIS_AUTO_BUF(header, 2048);
        const char *authorization = lie != NULL ? lie->authorization : NULL;
        if (authorization == NULL && c->id[0] != '\0') {
            sign(c, method, path, sha, lie, &header);
            authorization = (const char *)header.data;
        }
        perform(c, method, path, body, authorization, lie != NULL ? lie->range : NULL, reply);
        if (reply->nonce[0] != '\0') { (void)snprintf(c->nonce, sizeof c->nonce, "%s", reply->nonce); }
        /* An honest device tries once more with the fresh nonce. */
        if (attempt > 0 || lie != NULL || reply->status != 401 || c->id[0] == '\0') { return; }
        gate_reply_free(reply);
    }
}

void gate_reply_free(struct gate_reply *r) { kluis_buf_free(&r->body); }

long gate_client_status(struct gate_client *c, const char *method, const char *path, struct kluis_bytes body)
{
    struct gate_reply r;
    gate_client_ask(c, method, path, body, NULL, &r);
    gate_reply_free(&r);
    return r.status;
}

struct gate_line {
    CURL *curl;
    curl_socket_t socket;
};

struct gate_line *gate_line_open(struct gate_client *c)
{
    char url[160];
    (void)snprintf(url, sizeof url, "https://%s/", c->gate);
    struct gate_line *l = kluis_calloc(1, sizeof *l);
    assert_non_null(l);
    l->curl = curl_easy_init();
    assert_non_null(l->curl);
    l->socket = CURL_SOCKET_BAD;
    struct curl_blob ca = { c->ca_pem.data, c->ca_pem.len, CURL_BLOB_NOCOPY };
    (void)curl_easy_setopt(l->curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(l->curl, CURLOPT_CONNECT_ONLY, 1L);
    (void)curl_easy_setopt(l->curl, CURLOPT_CAINFO_BLOB, &ca);
    (void)curl_easy_setopt(l->curl, CURLOPT_NOSIGNAL, 1L);
    if (curl_easy_perform(l->curl) != CURLE_OK) {
        gate_line_close(l);
        return NULL;
    }
    (void)curl_easy_getinfo(l->curl, CURLINFO_ACTIVESOCKET, &l->socket);
    return l;
}

bool gate_line_send(struct gate_line *l, const void *p, size_t n)
{
    const uint8_t *at = p;
    for (size_t sent = 0; n > 0; at += sent, n -= sent) {
        CURLcode rc = curl_easy_send(l->curl, at, n, &sent);
        if (rc == CURLE_AGAIN) {
            sent = 0;
            struct pollfd w = { l->socket, POLLOUT, 0 };
            (void)poll(&w, 1, 1000);
        } else if (rc != CURLE_OK) {
            return false; /* the gate closed */
        }
    }
    return true;
}

bool gate_line_read(struct gate_line *l, int wait_ms, struct kluis_buf *out)
{
    for (;;) {
        char buffer[4096];
        size_t got = 0;
        CURLcode rc = curl_easy_recv(l->curl, buffer, sizeof buffer, &got);
        if (rc == CURLE_AGAIN) {
            struct pollfd r = { l->socket, POLLIN, 0 };
            if (poll(&r, 1, wait_ms) <= 0) { return true; }
        } else if (rc != CURLE_OK || got == 0) {
            return false;
        } else {
            kluis_buf_add(out, buffer, got);
            return true;
        }
    }
}

void gate_line_close(struct gate_line *l)
{
    if (l == NULL) { return; }
    curl_easy_cleanup(l->curl);
    kluis_free(l);
}

void gate_client_raw(struct gate_client *c, const void *p, size_t n, struct kluis_buf *out)
{
    struct gate_line *l = gate_line_open(c);
    assert_non_null(l);
    (void)gate_line_send(l, p, n);
    for (size_t had = SIZE_MAX; out != NULL && had != out->len;) { /* until the end, or a second without anything */
        had = out->len;
        if (!gate_line_read(l, 1000, out)) { break; }
    }
    gate_line_close(l);
}
