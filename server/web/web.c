/* server/web/web.c - see web.h. */
#include "server/web/web.h"

#include "server/api/hit.h"
#include "server/log.h"
#include "server/web/assets.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>

enum { KEY = 43, HOST_MAX = 64, URL_MAX = 4096, ANSWER_ROOM = 60 << 10 }; /* ANSWER_ROOM: for a page of 50 hits */

struct web {
    struct MHD_Daemon *d;
    const struct api *api;
    char key[KEY + 1], host[HOST_MAX];
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

/* ---- /api ---- */

static kluis_status search(const struct web *w, struct MHD_Connection *c, const struct api_actor *who, struct kluis_buf *b, struct kluis_err *err)
{
    struct index_query q = { .text = arg_str(c, "q"),
                             .conversation = arg_str(c, "conversation"),
                             .official = arg_str(c, "official"),
                             .platform = arg_str(c, "platform"),
                             .from_us = KLUIS_TIME_ABSENT,
                             .to_us = KLUIS_TIME_ABSENT,
                             .cursor = arg_str(c, "cursor"),
                             .count = arg(c, "count") != NULL };
    uint64_t limit;
    const char *from = arg(c, "from"), *to = arg(c, "to"), *order = arg(c, "order");
    if (from != NULL) { KLUIS_TRY(api_instant(from, false, "from", &q.from_us, err)); }
    if (to != NULL) { KLUIS_TRY(api_instant(to, true, "to", &q.to_us, err)); }
    if (order != NULL && strcmp(order, "oldest") == 0) {
        q.order = INDEX_OLDEST;
    } else if (order != NULL && strcmp(order, "relevance") == 0) {
        q.order = INDEX_RELEVANCE;
    } else if (order != NULL && strcmp(order, "newest") != 0) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "order must be newest, oldest or relevance");
    }
    KLUIS_TRY(arg_number(c, "limit", 50, INDEX_PAGE_MAX, &limit, err));
    q.limit = (unsigned)limit;
    struct index_result r;
    kluis_buf_cstr(b, "{\"hits\":[");
    KLUIS_TRY(api_search_page(w->api, who, &q, b, &r, err));
    kluis_buf_cstr(b, "],\"next\":");
    kluis_buf_json(b, kluis_str_of(r.next));
    if (r.counted) { kluis_buf_fmt(b, ",\"count\":%llu,\"capped\":%s", (unsigned long long)r.count, r.capped ? "true" : "false"); }
    kluis_buf_byte(b, '}');
    return kluis_buf_ok(b, err);
}

static kluis_status around(const struct web *w, struct MHD_Connection *c, const struct api_actor *who, struct kluis_buf *b, struct kluis_err *err)
{
    uint8_t package[32];
    uint64_t ordinal, before, after;
    if (!kluis_unhex(arg_str(c, "package"), package, 32)) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "package must be 64 hex digits"); }
    KLUIS_TRY(arg_number(c, "ordinal", 1, UINT32_MAX, &ordinal, err));
    KLUIS_TRY(arg_number(c, "before", 20, API_AROUND_MAX, &before, err));
    KLUIS_TRY(arg_number(c, "after", 20, API_AROUND_MAX, &after, err));
    kluis_buf_cstr(b, "{\"messages\":[");
    KLUIS_TRY(api_around_page(w->api, who, package, ordinal, (unsigned)before, (unsigned)after, b, err));
    kluis_buf_cstr(b, "]}");
    return kluis_buf_ok(b, err);
}

static kluis_status status(const struct web *w, struct kluis_buf *b, struct kluis_err *err)
{
    struct index_stats s;
    uint64_t watermark;
    KLUIS_TRY(api_statistics(w->api, &s, &watermark, err));
    kluis_buf_fmt(b,
                  "{\"version\":\"" KLUIS_VERSION "\",\"packages\":%llu,\"records\":%llu,\"sightings\":%llu,\"conflicts\":%llu,\"watermark\":%llu}",
                  (unsigned long long)s.packages, (unsigned long long)s.records, (unsigned long long)s.sightings, (unsigned long long)s.conflicts,
                  (unsigned long long)watermark);
    return kluis_buf_ok(b, err);
}

static unsigned http_code(kluis_status rc)
{
    if (rc == KLUIS_E_USAGE || rc == KLUIS_E_REJECT) { return 400; }
    if (rc == KLUIS_E_NOTFOUND) { return 404; }
    if (rc == KLUIS_E_LIMIT) { return 413; }
    return rc == KLUIS_E_BUSY || rc == KLUIS_E_NOMEM ? 503 : 500;
}

static enum MHD_Result api_route(const struct web *w, struct MHD_Connection *c, const char *url)
{
    KLUIS_AUTO_BUF(b, API_ANSWER_MAX);
    (void)kluis_buf_reserve(&b, ANSWER_ROOM); /* without room it fails where it is filled */
    struct kluis_err err = { 0 };
    const struct api_actor who = { "page", arg(c, "purpose") };
    kluis_status rc = KLUIS_E_NOTFOUND;
    if (strcmp(url, "/api/search") == 0) {
        rc = search(w, c, &who, &b, &err);
    } else if (strcmp(url, "/api/around") == 0) {
        rc = around(w, c, &who, &b, &err);
    } else if (strcmp(url, "/api/status") == 0) {
        rc = status(w, &b, &err);
    }
    if (rc == KLUIS_OK) {
        const struct kluis_bytes whole = { b.data, b.len };
        kluis_buf_init(&b, API_ANSWER_MAX); /* the response's from here on */
        return answer(c, 200, "application/json", whole.ptr, whole.len, MHD_RESPMEM_MUST_FREE, NULL, NULL);
    }
    if (rc != KLUIS_E_REJECT && rc != KLUIS_E_USAGE && rc != KLUIS_E_NOTFOUND) { kluis_log_err(KLUIS_LOG_ERROR, "page.failed", &err); }
    KLUIS_AUTO_BUF(e, 4096);
    kluis_buf_cstr(&e, "{\"error\":");
    kluis_buf_json(&e, kluis_str_of(err.code == KLUIS_OK ? "no such page" : err.msg));
    kluis_buf_byte(&e, '}');
    return answer(c, http_code(rc), "application/json", e.data, e.len, MHD_RESPMEM_MUST_COPY, NULL, NULL);
}

/* ---- who may look ---- */

static bool has_key(const struct web *w, const char *value)
{
    return value != NULL && strlen(value) == KEY && kluis_equal_secret(value, w->key, KEY);
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
    if (strcmp(url, "/") == 0 && has_key(w, arg(c, "key"))) {
        char cookie[128];
        (void)snprintf(cookie, sizeof cookie, "kluis=%s; HttpOnly; SameSite=Strict; Path=/", w->key);
        return answer(c, MHD_HTTP_SEE_OTHER, "text/plain", "", 0, MHD_RESPMEM_PERSISTENT, "Set-Cookie", cookie); /* the key leaves the address bar */
    }
    if (!has_key(w, MHD_lookup_connection_value(c, MHD_COOKIE_KIND, "kluis"))) {
        return line(c, 403, "open this page by the whole address that the server printed\n");
    }
    for (size_t i = 0; i < web_assets_count; i++) {
        const struct web_asset *a = &web_assets[i];
        if (strcmp(url, a->path) != 0) { continue; }
        if (takes_gzip(c)) { return answer(c, 200, a->type, a->gz, (size_t)(a->gz_end - a->gz), MHD_RESPMEM_PERSISTENT, "Content-Encoding", "gzip"); }
        return answer(c, 200, a->type, a->data, (size_t)(a->end - a->data), MHD_RESPMEM_PERSISTENT, NULL, NULL);
    }
    if (strncmp(url, "/api/", 5) == 0) { return api_route(w, c, url); }
    return line(c, 404, "no such page\n");
}

/* ---- start and stop ---- */

static kluis_status loopback(const char *listen, struct sockaddr_storage *ss, char host[HOST_MAX], struct kluis_err *err)
{
    const char *colon = strrchr(listen, ':');
    size_t n = colon == NULL ? 0 : (size_t)(colon - listen);
    char addr[HOST_MAX], *tail = NULL;
    long port = colon == NULL ? -1 : strtol(colon + 1, &tail, 10);
    if (n == 0 || n >= sizeof addr || port < 0 || port > 65535 || *tail != '\0' || tail == colon + 1) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "--page '%s': write ADDR:PORT, such as 127.0.0.1:8080", listen);
    }
    memcpy(addr, listen, n);
    addr[n] = '\0';
    memset(ss, 0, sizeof *ss);
    struct sockaddr_in *v4 = (struct sockaddr_in *)ss;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ss;
    if (strcmp(addr, "[::1]") == 0) {
        v6->sin6_family = AF_INET6;
        v6->sin6_addr = in6addr_loopback;
        v6->sin6_port = htons((uint16_t)port);
    } else if (inet_pton(AF_INET, addr, &v4->sin_addr) == 1 && ntohl(v4->sin_addr.s_addr) >> 24 == 127) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
    } else {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "--page '%s': the page listens on loopback only (127.0.0.1 or [::1])", listen);
    }
    (void)snprintf(host, HOST_MAX, "%s", addr);
    return KLUIS_OK;
}

kluis_status web_start(struct web **out, const char *listen, const struct api *api, char address[WEB_ADDRESS_MAX], struct kluis_err *err)
{
    struct sockaddr_storage ss;
    char host[HOST_MAX];
    *out = NULL;
    KLUIS_TRY(loopback(listen, &ss, host, err));
    struct web *w = kluis_calloc(1, sizeof *w);
    if (w == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    uint8_t random[32];
    kluis_random(random, sizeof random);
    kluis_base64url(random, sizeof random, w->key);
    w->api = api;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | (ss.ss_family == AF_INET6 ? (unsigned)MHD_USE_IPv6 : 0);
    w->d = MHD_start_daemon(flags, 0, NULL, NULL, handle, w, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&ss, MHD_OPTION_THREAD_POOL_SIZE, 2u,
                            MHD_OPTION_CONNECTION_LIMIT, (unsigned)WEB_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)WEB_TIMEOUT_S,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)16384, MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_END);
    const union MHD_DaemonInfo *info = w->d == NULL ? NULL : MHD_get_daemon_info(w->d, MHD_DAEMON_INFO_BIND_PORT);
    if (info == NULL) {
        web_stop(w);
        return KLUIS_FAIL(err, KLUIS_E_IO, "cannot serve the page on %s: is the port taken?", listen);
    }
    int n = snprintf(w->host, sizeof w->host, "%s:%u", host, (unsigned)info->port);
    int m = snprintf(address, WEB_ADDRESS_MAX, "http://%s/?key=%s", w->host, w->key);
    if (n < 0 || (size_t)n >= sizeof w->host || m < 0 || m >= WEB_ADDRESS_MAX) {
        web_stop(w);
        return KLUIS_FAIL(err, KLUIS_E_BUG, "page address too long");
    }
    *out = w;
    return KLUIS_OK;
}

void web_stop(struct web *w)
{
    if (w == NULL) { return; }
    if (w->d != NULL) { MHD_stop_daemon(w->d); }
    kluis_wipe(w->key, sizeof w->key);
    kluis_free(w);
}
