/* server/ingest/link.c - signed requests over libcurl. */
#include "server/ingest/link.h"

#include <curl/curl.h>
#include <pthread.h>

#include "kluis/login.h"

enum { NAME_MAX_ = 256, ANSWER_TEXT = 256, DOWNLOAD_TRIES = 5, STREAM_S = 3600 };

struct link {
    CURL *curl;
    char url[512], name[NAME_MAX_];
    const struct kluis_key *pull;
    const atomic_bool *stop;
    char nonce[64];
    void (*walls)(void *ctx, const struct walls_told *gate, const struct walls_told *authority);
    void *walls_ctx;
    /* of the call under way */
    struct kluis_buf *body;
    const struct kluis_output *to;
    uint64_t taken, max;
    struct kluis_err *err;
    kluis_status failed;
    struct link_answer *answer;
    struct walls_told gate, authority;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static void curl_start(void) { (void)curl_global_init(CURL_GLOBAL_DEFAULT); } /* a failure shows at curl_easy_init */

static void on_refusal(char said[LINK_SAID], const char *p, size_t n)
{
    size_t at = strlen(said);
    for (size_t i = 0; i < n && at + 1 < LINK_SAID && p[i] != '\n'; i++) { said[at++] = p[i] < ' ' || p[i] > '~' || p[i] == '"' ? '?' : p[i]; }
    said[at] = '\0';
}

static size_t on_body(char *p, size_t one, size_t n, void *ctx)
{
    struct link *l = ctx;
    (void)one;
    long status = 0;
    (void)curl_easy_getinfo(l->curl, CURLINFO_RESPONSE_CODE, &status);
    if (l->to != NULL && (status == 200 || status == 206)) {
        if (n > l->max - l->taken) {
            l->failed = KLUIS_FAIL(l->err, KLUIS_E_LIMIT, "the gate sent more ciphertext than was asked for");
            return 0;
        }
        l->failed = l->to->write(l->to->ctx, p, n, l->err);
        l->taken += n;
        return l->failed == KLUIS_OK ? n : 0;
    }
    if (l->body != NULL && status == 200) {
        kluis_buf_add(l->body, p, n);
        if (l->body->status != KLUIS_OK) {
            l->failed = kluis_buf_ok(l->body, l->err);
            return 0;
        }
    }
    if (status >= 400) { on_refusal(l->answer->said, p, n); }
    return n;
}

static bool header_is(const char *p, size_t n, const char *name, struct kluis_str *value)
{
    size_t len = strlen(name);
    if (n <= len || strncasecmp(p, name, len) != 0 || p[len] != ':') { return false; }
    p += len + 1;
    n -= len + 1;
    while (n > 0 && (*p == ' ' || *p == '\t')) {
        p++;
        n--;
    }
    while (n > 0 && (p[n - 1] == '\r' || p[n - 1] == '\n' || p[n - 1] == ' ')) { n--; }
    *value = (struct kluis_str){ p, n };
    return true;
}

static bool number_of(struct kluis_str v, uint64_t *out)
{
    *out = 0;
    if (v.len == 0 || v.len >= 20) { return false; }
    for (size_t i = 0; i < v.len; i++) {
        if (v.ptr[i] < '0' || v.ptr[i] > '9') { return false; }
        *out = *out * 10 + (uint64_t)(v.ptr[i] - '0');
    }
    return true;
}

static size_t on_header(char *p, size_t one, size_t n, void *ctx)
{
    struct link *l = ctx;
    struct kluis_str v;
    (void)one;
    if (header_is(p, n, "Chatkluis-Nonce", &v) && v.len < sizeof l->nonce) {
        memcpy(l->nonce, v.ptr, v.len);
        l->nonce[v.len] = 0;
    } else if (header_is(p, n, "Chatkluis-Size", &v) || header_is(p, n, "Chatkluis-Prekeys", &v)) {
        uint64_t number = 0;
        l->answer->has_number = number_of(v, &number);
        l->answer->number = l->answer->has_number ? number : 0;
    } else if (header_is(p, n, "Chatkluis-Epoch", &v)) {
        uint64_t epoch = 0;
        l->answer->epoch = number_of(v, &epoch) ? epoch : 0;
    } else if (header_is(p, n, "Chatkluis-Walls", &v)) {
        (void)walls_text_read(v, &l->gate);
    } else if (header_is(p, n, "Chatkluis-Authority-Walls", &v)) {
        (void)walls_text_read(v, &l->authority);
    }
    return n;
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct link *l = ctx;
    (void)a, (void)b, (void)c, (void)d;
    return l->stop != NULL && atomic_load(l->stop) ? 1 : 0;
}

kluis_status link_open(struct link **out, const struct link_config *c, struct kluis_err *err)
{
    *out = NULL;
    size_t n = strlen(c->url);
    while (n > 0 && c->url[n - 1] == '/') { n--; }
    if (strncmp(c->url, "https://", 8) != 0 || n <= 8 || n >= sizeof((struct link *)0)->url || memchr(c->url + 8, '/', n - 8) != NULL ||
        (c->name != NULL && strlen(c->name) >= NAME_MAX_) || n - 8 >= NAME_MAX_) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "the gate's address must look like https://host:port");
    }
    (void)pthread_once(&once, curl_start);
    struct link *l = kluis_calloc(1, sizeof *l);
    if (l == NULL || (l->curl = curl_easy_init()) == NULL) {
        kluis_free(l);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot open a link to the gate: out of memory");
    }
    memcpy(l->url, c->url, n);
    (void)snprintf(l->name, sizeof l->name, "%s", c->name != NULL ? c->name : l->url + 8);
    l->pull = c->pull;
    l->stop = c->stop;
    l->walls = c->walls;
    l->walls_ctx = c->ctx;
    struct curl_blob ca = { .data = (void *)(uintptr_t)c->ca_pem.ptr, .len = c->ca_pem.len, .flags = CURL_BLOB_COPY };
    CURLcode rc = CURLE_OK;
#define SET(option, value) rc = rc == CURLE_OK ? curl_easy_setopt(l->curl, option, value) : rc
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROTOCOLS_STR, "https");
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_CONNECTTIMEOUT, 10L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, l);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, l);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(CURLOPT_XFERINFODATA, l);
    SET(CURLOPT_BUFFERSIZE, 262144L);
    if (c->ca_pem.len > 0) {
        SET(CURLOPT_CAINFO_BLOB, &ca);
        SET(CURLOPT_CAPATH, NULL);
    }
    if (rc != CURLE_OK) {
        link_free(l);
        return KLUIS_FAIL(err, rc == CURLE_OUT_OF_MEMORY ? KLUIS_E_NOMEM : KLUIS_E_BUG, "libcurl refused a setting: %s", curl_easy_strerror(rc));
    }
    *out = l;
    return KLUIS_OK;
}

void link_free(struct link *l)
{
    if (l != NULL) {
        curl_easy_cleanup(l->curl);
        kluis_free(l);
    }
}

static kluis_status perform(struct link *l, const char *method, const char *path, struct kluis_bytes body, unsigned seconds,
                            const char *authorization, uint64_t range_from, struct kluis_err *err)
{
    char url[2048], range[48];
    CURLcode rc = CURLE_OK;
    int n = snprintf(url, sizeof url, "%s%s", l->url, path);
    if (n < 0 || (size_t)n >= sizeof url) { return KLUIS_FAIL(err, KLUIS_E_BUG, "a path is too long"); }
    (void)snprintf(range, sizeof range, "%llu-", (unsigned long long)range_from);
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    struct curl_slist *more = headers == NULL ? NULL : curl_slist_append(headers, "Content-Type: application/octet-stream");
    if (more != NULL && authorization != NULL) { more = curl_slist_append(more, authorization); }
    if (more == NULL) {
        curl_slist_free_all(headers);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot ask the gate: out of memory");
    }
    bool post = strcmp(method, "GET") != 0;
    SET(CURLOPT_URL, url);
    SET(CURLOPT_HTTPHEADER, more);
    if (post) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDS, body.ptr == NULL ? "" : (const char *)body.ptr);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
    } else {
        SET(CURLOPT_HTTPGET, 1L);
    }
    SET(CURLOPT_CUSTOMREQUEST, method);
    SET(CURLOPT_RANGE, range_from > 0 ? range : NULL);
    SET(CURLOPT_TIMEOUT, (long)seconds);
    l->failed = KLUIS_OK;
    l->err = err;
    memset(l->answer, 0, sizeof *l->answer);
    if (rc == CURLE_OK) { rc = curl_easy_perform(l->curl); }
#undef SET
    (void)curl_easy_getinfo(l->curl, CURLINFO_RESPONSE_CODE, &l->answer->status);
    (void)curl_easy_setopt(l->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(more);
    if (l->failed != KLUIS_OK) { return l->failed; }
    if (rc == CURLE_OUT_OF_MEMORY) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot ask the gate: out of memory"); }
    if (rc != CURLE_OK) { return KLUIS_FAIL(err, KLUIS_E_BUSY, "the gate does not answer: %s", curl_easy_strerror(rc)); }
    return KLUIS_OK;
}

static kluis_status fresh_nonce(struct link *l, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(text, ANSWER_TEXT);
    struct kluis_buf *body = l->body;
    const struct kluis_output *to = l->to;
    l->body = &text;
    l->to = NULL;
    l->nonce[0] = 0;
    kluis_status rc = perform(l, "GET", "/v1/nonce", (struct kluis_bytes){ NULL, 0 }, 30, NULL, 0, err);
    l->body = body;
    l->to = to;
    KLUIS_TRY(rc);
    if (l->answer->status != 200) { return LINK_REFUSED(l->answer, err, "the gate gives no nonce"); }
    while (text.len > 0 && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r')) { text.len--; }
    if (l->nonce[0] == 0 && text.len < sizeof l->nonce) {
        memcpy(l->nonce, text.data, text.len);
        l->nonce[text.len] = 0;
    }
    return KLUIS_OK;
}

static kluis_status signed_call(struct link *l, const char *method, const char *path, struct kluis_bytes body, unsigned seconds, uint64_t range_from,
                                struct kluis_err *err)
{
    uint8_t digest[32];
    kluis_sha256_of(body.ptr == NULL ? (const uint8_t *)"" : body.ptr, body.len, digest);
    for (int attempt = 0;; attempt++) {
        KLUIS_AUTO_BUF(header, KLUIS_LOGIN_HEADER_MAX + 64);
        if (l->nonce[0] == 0) { KLUIS_TRY(fresh_nonce(l, err)); }
        char nonce[64];
        memcpy(nonce, l->nonce, sizeof nonce);
        l->nonce[0] = 0; /* good for one request; the answer brings the next */
        kluis_buf_cstr(&header, "Authorization: ");
        KLUIS_TRY(kluis_login_header_write(KLUIS_LOGIN_VAULT, l->pull, l->name, method, path, digest, nonce, kluis_now_us() / 1000000, &header, err));
        kluis_buf_byte(&header, 0);
        KLUIS_TRY(kluis_buf_ok(&header, err));
        l->gate = l->authority = (struct walls_told){ 0 };
        kluis_status rc = perform(l, method, path, body, seconds, (const char *)header.data, range_from, err);
        if (l->walls != NULL) { l->walls(l->walls_ctx, &l->gate, &l->authority); }
        KLUIS_TRY(rc);
        if (l->answer->status != 401) { return KLUIS_OK; }
        if (attempt > 0) {
            return KLUIS_FAIL(err, KLUIS_E_REJECT,
                              "the gate refuses the vault's key or clock (401); is gate.json of this home, and is the time right?");
        }
    }
}

kluis_status link_call(struct link *l, const char *method, const char *path, struct kluis_bytes body, unsigned seconds, struct kluis_buf *out,
                       struct link_answer *answer, struct kluis_err *err)
{
    l->body = out;
    l->to = NULL;
    l->answer = answer;
    kluis_status rc = signed_call(l, method, path, body, seconds, 0, err);
    l->body = NULL;
    l->answer = NULL;
    return rc;
}

kluis_status link_stream(struct link *l, const char *method, const char *path, struct kluis_bytes body, uint64_t max, const struct kluis_output *to,
                         struct link_answer *answer, struct kluis_err *err)
{
    l->body = NULL;
    l->to = to;
    l->answer = answer;
    l->taken = 0;
    l->max = max;
    kluis_status rc = signed_call(l, method, path, body, STREAM_S, 0, err);
    l->to = NULL;
    l->answer = NULL;
    return rc;
}

kluis_status link_download(struct link *l, const char *path, uint64_t max, const struct kluis_output *to, struct kluis_err *err)
{
    struct link_answer answer = { 0 };
    kluis_status rc = KLUIS_E_BUSY;
    l->body = NULL;
    l->to = to;
    l->answer = &answer; // cppcheck-suppress autoVariables ; taken back below, before this function returns
    l->taken = 0;
    l->max = max;
    for (int i = 0; i < DOWNLOAD_TRIES; i++) {
        uint64_t before = l->taken;
        struct kluis_err why = { 0 };
        rc = signed_call(l, "GET", path, (struct kluis_bytes){ NULL, 0 }, STREAM_S, before, &why);
        if (rc == KLUIS_OK && before > 0 && answer.status != 206) {
            rc = KLUIS_FAIL(&why, KLUIS_E_BUSY, "the gate cannot go on with a download");
            i = DOWNLOAD_TRIES;
        } else if (rc == KLUIS_OK && (answer.status == 404 || answer.status == 410)) {
            rc = KLUIS_FAIL(&why, KLUIS_E_NOTFOUND, "the gate has no such upload");
        } else if (rc == KLUIS_OK && answer.status != 200 && answer.status != 206) {
            rc = LINK_REFUSED(&answer, &why, "the gate refuses a download");
        }
        if (rc != KLUIS_E_BUSY || (l->stop != NULL && atomic_load(l->stop)) || i + 1 >= DOWNLOAD_TRIES) {
            if (rc != KLUIS_OK && err != NULL) { *err = why; }
            break;
        }
    }
    l->to = NULL;
    l->answer = NULL;
    return rc;
}
