/* server/web/web.c - see web.h. */
#include "server/web/web.h"

#include "server/web/assets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 64 };

struct web {
    struct MHD_Daemon *d;
    struct access *vault;
    char host[ACCESS_ADDRESS_MAX];
};

static const char CSP[] = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; "
                          "form-action 'none'; frame-ancestors 'none'";

static enum MHD_Result answer(struct MHD_Connection *c, unsigned code, const char *type, const void *p, size_t n, enum MHD_ResponseMemoryMode mode,
                              const char *name, const char *value)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(n, (void *)(uintptr_t)p, mode);
    if (r == NULL) {
        if (mode == MHD_RESPMEM_MUST_FREE) { kluis_free((void *)(uintptr_t)p); }
        return MHD_NO;
    }
    enum MHD_Result ok = MHD_add_response_header(r, "Content-Type", type);
    const char *const headers[][2] = {
        { "Content-Security-Policy", CSP }, { "X-Content-Type-Options", "nosniff" },           { "Referrer-Policy", "no-referrer" },
        { "Cache-Control", "no-store" },    { "Cross-Origin-Resource-Policy", "same-origin" }, { "X-Frame-Options", "DENY" }
    };
    for (size_t i = 0; ok == MHD_YES && i < sizeof headers / sizeof *headers; i++) { ok = MHD_add_response_header(r, headers[i][0], headers[i][1]); }
    if (ok == MHD_YES && name != NULL) { ok = MHD_add_response_header(r, name, value); }
    if (ok == MHD_YES && code == MHD_HTTP_METHOD_NOT_ALLOWED) { ok = MHD_add_response_header(r, "Allow", "GET, HEAD"); }
    if (ok == MHD_YES && code == MHD_HTTP_SEE_OTHER) { ok = MHD_add_response_header(r, "Location", "/"); }
    if (ok == MHD_YES) { ok = MHD_queue_response(c, code, r); }
    MHD_destroy_response(r);
    return ok;
}

static enum MHD_Result line(struct MHD_Connection *c, unsigned code, const char *text)
{
    return answer(c, code, "text/plain; charset=utf-8", text, strlen(text), MHD_RESPMEM_MUST_COPY, NULL, NULL);
}

static const char *arg(struct MHD_Connection *c, const char *name)
{
    const char *v = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, name);
    return v == NULL || v[0] == '\0' ? NULL : v;
}

static struct kluis_str arg_str(struct MHD_Connection *c, const char *name) { return kluis_str_of(arg(c, name)); }

static kluis_status arg_number(struct MHD_Connection *c, const char *name, uint64_t fallback, uint64_t max, uint64_t *out, struct kluis_err *err)
{
    const char *v = arg(c, name);
    *out = fallback;
    if (v == NULL) { return KLUIS_OK; }
    uint64_t n = 0;
    for (const char *p = v; *p != '\0'; p++) {
        if (*p < '0' || *p > '9' || n > (max - (uint64_t)(*p - '0')) / 10) {
            return KLUIS_FAIL(err, KLUIS_E_USAGE, "%s must be a number up to %llu", name, (unsigned long long)max);
        }
        n = n * 10 + (uint64_t)(*p - '0');
    }
    *out = n;
    return KLUIS_OK;
}

/* ---- /api: what was asked, as a request to the vault ---- */

static kluis_status search(struct MHD_Connection *c, struct access_request *r, struct kluis_err *err)
{
    uint64_t limit;
    const char *from = arg(c, "from"), *to = arg(c, "to"), *order = arg(c, "order"), *count = arg(c, "count");
    r->what = ACCESS_SEARCH;
    r->text = arg_str(c, "q");
    r->conversation = arg_str(c, "conversation");
    r->official = arg_str(c, "official");
    r->platform = arg_str(c, "platform");
    r->cursor = arg_str(c, "cursor");
    if (count != NULL) { r->count = strcmp(count, "exact") == 0 ? ACCESS_COUNT_EXACT : ACCESS_COUNT_CAPPED; }
    r->from_us = r->to_us = KLUIS_TIME_ABSENT;
    if (from != NULL) { KLUIS_TRY(access_instant(from, false, "from", &r->from_us, err)); }
    if (to != NULL) { KLUIS_TRY(access_instant(to, true, "to", &r->to_us, err)); }
    if (order != NULL && strcmp(order, "oldest") == 0) {
        r->order = ACCESS_OLDEST;
    } else if (order != NULL && strcmp(order, "relevance") == 0) {
        r->order = ACCESS_RELEVANCE;
    } else if (order != NULL && strcmp(order, "newest") != 0) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "order must be newest, oldest or relevance");
    }
    KLUIS_TRY(arg_number(c, "limit", 50, ACCESS_PAGE_MAX, &limit, err));
    r->limit = (uint32_t)limit;
    return KLUIS_OK;
}

static kluis_status around(struct MHD_Connection *c, struct access_request *r, struct kluis_err *err)
{
    uint64_t before, after;
    r->what = ACCESS_AROUND;
    if (!kluis_unhex(arg_str(c, "package"), r->package, 32)) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "package must be 64 hex digits"); }
    KLUIS_TRY(arg_number(c, "ordinal", 1, UINT32_MAX, &r->ordinal, err));
    KLUIS_TRY(arg_number(c, "before", 20, ACCESS_AROUND_MAX, &before, err));
    KLUIS_TRY(arg_number(c, "after", 20, ACCESS_AROUND_MAX, &after, err));
    r->before = (uint32_t)before;
    r->after = (uint32_t)after;
    return KLUIS_OK;
}

static unsigned http_code(kluis_status rc)
{
    if (rc == KLUIS_E_USAGE || rc == KLUIS_E_REJECT) { return 400; }
    if (rc == KLUIS_E_NOTFOUND) { return 404; }
    if (rc == KLUIS_E_LIMIT) { return 413; }
    /* A full disk under the audit trail, say: nothing is wrong with what was asked, and later it can be answered. */
    return rc == KLUIS_E_BUSY || rc == KLUIS_E_NOMEM || rc == KLUIS_E_IO ? 503 : 500;
}

static enum MHD_Result refusal(struct MHD_Connection *c, kluis_status rc, const struct kluis_err *err)
{
    KLUIS_AUTO_BUF(e, 4096);
    kluis_buf_cstr(&e, "{\"error\":");
    kluis_buf_json(&e, kluis_str_of(err->code == KLUIS_OK ? "no such page" : err->msg));
    kluis_buf_byte(&e, '}');
    return answer(c, http_code(rc), "application/json", e.data, e.len, MHD_RESPMEM_MUST_COPY, NULL, NULL);
}

static enum MHD_Result stranger(struct MHD_Connection *c) { return line(c, 403, "open this page by the whole address that the server printed\n"); }

static enum MHD_Result api_route(const struct web *w, struct MHD_Connection *c, const char *url, struct kluis_str key)
{
    KLUIS_AUTO_BUF(b, ACCESS_ANSWER_MAX);
    struct kluis_err err = { 0 };
    struct access_request r = { .what = ACCESS_STATUS, .key = key, .purpose = arg_str(c, "purpose") };
    bool admitted = false;
    kluis_status rc = KLUIS_OK;
    if (strcmp(url, "/api/search") == 0) {
        rc = search(c, &r, &err);
    } else if (strcmp(url, "/api/around") == 0) {
        rc = around(c, &r, &err);
    } else if (strcmp(url, "/api/status") != 0) {
        rc = KLUIS_E_NOTFOUND;
    }
    if (rc != KLUIS_OK) { /* what is wrong with it is said to those who may ask */
        const struct kluis_err why = err;
        kluis_status asked = rc;
        kluis_err_clear(&err);
        r.what = ACCESS_KEY;
        rc = access_ask(w->vault, &r, &admitted, &b, &err);
        if (rc == KLUIS_OK) { return admitted ? refusal(c, asked, &why) : stranger(c); }
        return refusal(c, rc, &err);
    }
    rc = access_ask(w->vault, &r, &admitted, &b, &err);
    if (rc == KLUIS_OK && !admitted) { return stranger(c); }
    if (rc != KLUIS_OK) { return refusal(c, rc, &err); }
    const struct kluis_bytes whole = { b.data, b.len };
    kluis_buf_init(&b, ACCESS_ANSWER_MAX); /* the response's from here on */
    return answer(c, 200, "application/json", whole.ptr, whole.len, MHD_RESPMEM_MUST_FREE, NULL, NULL);
}

/* ---- who may look: the vault says ---- */

/* What can be no key is not asked about. */
static bool key_form(struct kluis_str key) { return key.len == ACCESS_KEY_LEN; }

static kluis_status admit(const struct web *w, struct kluis_str key, bool *admitted, struct kluis_err *err)
{
    const struct access_request r = { .what = ACCESS_KEY, .key = key };
    KLUIS_AUTO_BUF(b, ACCESS_REQUEST_MAX);
    *admitted = false;
    return key_form(key) ? access_ask(w->vault, &r, admitted, &b, err) : KLUIS_OK;
}

/* "gzip" in Accept-Encoding without a weight, which is what browsers send; anyone else gets the plain bytes. */
static bool takes_gzip(struct MHD_Connection *c)
{
    const char *v = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Accept-Encoding");
    while (v != NULL && *v != '\0') {
        size_t n = strcspn(v, ",");
        while (n > 0 && *v == ' ') {
            v++;
            n--;
        }
        if (n == 4 && strncmp(v, "gzip", 4) == 0) { return true; }
        v += n + (v[n] == ',' ? 1 : 0);
    }
    return false;
}

static enum MHD_Result handle(void *ctx, struct MHD_Connection *c, const char *url, const char *method, KLUIS_UNUSED const char *version,
                              KLUIS_UNUSED const char *data, size_t *size, void **state)
{
    static int seen;
    const struct web *w = ctx;
    if (*state == NULL) {
        *state = &seen;
        return MHD_YES;
    }
    if (*size > 0) {
        *size = 0;
        return MHD_YES;
    }
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) { return line(c, 405, "this page only reads\n"); }
    const char *host = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Host");
    if (host == NULL || strcmp(host, w->host) != 0) { return line(c, 421, "open this page by the address that the server printed\n"); }
    struct kluis_err err = { 0 };
    bool admitted = false;
    struct kluis_str key = kluis_str_of(MHD_lookup_connection_value(c, MHD_COOKIE_KIND, "kluis")), offered = arg_str(c, "key");
    if (strcmp(url, "/") == 0 && key_form(offered)) {
        kluis_status rc = admit(w, offered, &admitted, &err);
        if (rc != KLUIS_OK) { return refusal(c, rc, &err); }
        if (admitted) {
            char cookie[128];
            (void)snprintf(cookie, sizeof cookie, "kluis=%s; HttpOnly; SameSite=Strict; Path=/", offered.ptr);
            return answer(c, MHD_HTTP_SEE_OTHER, "text/plain", "", 0, MHD_RESPMEM_PERSISTENT, "Set-Cookie",
                          cookie); /* the key leaves the address bar */
        }
    }
    if (!key_form(key)) { return stranger(c); }
    if (strncmp(url, "/api/", 5) == 0) { return api_route(w, c, url, key); }
    kluis_status rc = admit(w, key, &admitted, &err);
    if (rc != KLUIS_OK) { return refusal(c, rc, &err); }
    if (!admitted) { return stranger(c); }
    for (size_t i = 0; i < web_assets_count; i++) {
        const struct web_asset *a = &web_assets[i];
        if (strcmp(url, a->path) != 0) { continue; }
        if (takes_gzip(c)) { return answer(c, 200, a->type, a->gz, (size_t)(a->gz_end - a->gz), MHD_RESPMEM_PERSISTENT, "Content-Encoding", "gzip"); }
        return answer(c, 200, a->type, a->data, (size_t)(a->end - a->data), MHD_RESPMEM_PERSISTENT, NULL, NULL);
    }
    return line(c, 404, "no such page\n");
}

/* ---- start and stop ---- */

kluis_status web_listen(const char *listen_on, int *out, char address[ACCESS_ADDRESS_MAX], struct kluis_err *err)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
    char host[ACCESS_ADDRESS_MAX - 8];
    *out = -1;
    if (!access_loopback(listen_on)) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE,
                          "the page '%.100s' listens on loopback only: write 127.0.0.1:PORT or [::1]:PORT, such as 127.0.0.1:8080", listen_on);
    }
    const char *colon = strrchr(listen_on, ':');
    bool six = *listen_on == '[';
    (void)snprintf(host, sizeof host, "%.*s", (int)(colon - listen_on), listen_on);
    v4.sin_port = v6.sin6_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    if (!six && inet_pton(AF_INET, host, &v4.sin_addr) != 1) { return KLUIS_FAIL(err, KLUIS_E_BUG, "a loopback address is none"); }
    struct sockaddr *a = six ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
    socklen_t len = six ? sizeof v6 : sizeof v4;
    int one = 1, fd = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 || bind(fd, a, len) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, a, &len) != 0) {
        kluis_status rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot serve the page on %s: is the port taken?", listen_on);
        kluis_close_quiet(&fd);
        return rc;
    }
    (void)snprintf(address, ACCESS_ADDRESS_MAX, "%s:%u", host, (unsigned)ntohs(six ? v6.sin6_port : v4.sin_port));
    *out = fd;
    return KLUIS_OK;
}

kluis_status web_start(struct web **out, int fd, const char *address, struct access *vault, struct kluis_err *err)
{
    *out = NULL;
    struct web *w = kluis_calloc(1, sizeof *w);
    if (w == NULL) {
        kluis_close_quiet(&fd);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory");
    }
    w->vault = vault;
    (void)snprintf(w->host, sizeof w->host, "%s", address);
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | (*address == '[' ? (unsigned)MHD_USE_IPv6 : 0);
    w->d = MHD_start_daemon(flags, 0, NULL, NULL, handle, w, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)ACCESS_CHANNELS,
                            MHD_OPTION_CONNECTION_LIMIT, (unsigned)WEB_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)WEB_TIMEOUT_S,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)16384, MHD_OPTION_END);
    if (w->d == NULL) {
        kluis_close_quiet(&fd);
        kluis_free(w);
        return KLUIS_FAIL(err, KLUIS_E_IO, "cannot serve the page on %s", address);
    }
    *out = w;
    return KLUIS_OK;
}

void web_stop(struct web *w)
{
    if (w == NULL) { return; }
    MHD_stop_daemon(w->d); /* closes its socket */
    kluis_free(w);
}
