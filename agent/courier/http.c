/* agent/courier/http.c - libcurl, bound to one gate.  See http.h. */
#include "agent/courier/http.h"

#include <curl/curl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <strings.h>

enum { CONNECT_S = 10, HEADER_MAX_BYTES = KLUIS_LOGIN_HEADER_MAX + 64, URL_MAX = 1024, PATH_MAX_BYTES = 512 };

static const uint64_t CLOCK_MOST_S = 253402300799; /* the last second of 9999 */

struct http {
    CURL *curl;
    char base[HTTP_HOST_MAX + 16], gate[HTTP_HOST_MAX];
    X509 *root;
    bool enrolling, doubted, untimely; /* doubted: the chain of the last transfer did not hold; untimely: at this time */
    uint8_t fingerprint[16];
    char device[64];
    const struct kluis_key *login;
    char nonce[64];
    int status;
    int64_t gate_clock_s; /* of the last answer: the gate's time when it refused ours; 0 */
};

/* ---- address ---- */

/* https://host[:port], optionally with one slash behind it.  The gate's name is the authority as given. */
static bool split(const char *server, char gate[HTTP_HOST_MAX])
{
    if (strncmp(server, "https://", 8) != 0) { return false; }
    const char *p = server + 8;
    size_t n = strcspn(p, "/");
    if (n == 0 || n >= HTTP_HOST_MAX || (p[n] == '/' && p[n + 1] != '\0')) { return false; }
    for (size_t i = 0; i < n; i++) {
        if (p[i] <= ' ' || p[i] > '~' || strchr("@?#\\\"", p[i]) != NULL) { return false; }
    }
    memcpy(gate, p, n);
    gate[n] = '\0';
    return true;
}

bool http_address_ok(const char *server)
{
    char gate[HTTP_HOST_MAX];
    return split(server, gate);
}

static bool is_loopback(const char *gate)
{
    return strncmp(gate, "127.", 4) == 0 || strncmp(gate, "[::1]", 5) == 0 || strncmp(gate, "localhost", 9) == 0;
}

/* ---- TLS ---- */

static bool is_the_root(X509 *c, const uint8_t fingerprint[16])
{
    uint8_t sha[32], *der = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(c), &der);
    if (n <= 0) { return false; }
    kluis_sha256_of(der, (size_t)n, sha);
    OPENSSL_free(der);
    return kluis_equal_secret(sha, fingerprint, 16);
}

/* The chain that x is about, against anchors in a store.  Curl checks the host name itself. */
static bool holds(X509_STORE_CTX *x, X509_STORE *store, bool *untimely)
{
    X509_STORE_CTX *own = X509_STORE_CTX_new();
    bool ready = own != NULL && X509_STORE_CTX_init(own, store, X509_STORE_CTX_get0_cert(x), X509_STORE_CTX_get0_untrusted(x)) == 1 &&
                 X509_STORE_CTX_set_purpose(own, X509_PURPOSE_SSL_SERVER) == 1;
    if (ready) { X509_STORE_CTX_set_time(own, 0, (time_t)(kluis_now_us() / 1000000)); } /* the clock that everything here goes by */
    bool ok = ready && X509_verify_cert(own) == 1;
    int why = ready && !ok ? X509_STORE_CTX_get_error(own) : X509_V_OK;
    *untimely = *untimely || why == X509_V_ERR_CERT_NOT_YET_VALID || why == X509_V_ERR_CERT_HAS_EXPIRED;
    X509_STORE_CTX_free(own);
    return ok;
}

static bool holds_under(X509_STORE_CTX *x, X509 *root, bool *untimely)
{
    X509_STORE *store = X509_STORE_new();
    bool ok = store != NULL && X509_STORE_add_cert(store, root) == 1 && holds(x, store, untimely);
    X509_STORE_free(store);
    return ok;
}

/* The machine's own anchors, where it has any.  Parsing them costs more than sealing a hundred packages: only when they are needed. */
static bool holds_for_system(X509_STORE_CTX *x, bool *untimely)
{
    const curl_version_info_data *v = curl_version_info(CURLVERSION_NOW);
    X509_STORE *store = X509_STORE_new();
    bool file = store != NULL && v->cainfo != NULL && X509_STORE_load_file(store, v->cainfo) == 1;
    bool folder = store != NULL && v->capath != NULL && X509_STORE_load_path(store, v->capath) == 1;
    bool ok = (file || folder) && holds(x, store, untimely);
    X509_STORE_free(store);
    return ok;
}

/* The organisation's root as enrolment left it, else the system's judgement; during enrolment a chain may also end in a root with the
 * code's fingerprint. */
static int judge_chain(X509_STORE_CTX *x, void *arg)
{
    struct http *h = arg;
    bool ok = h->root != NULL && holds_under(x, h->root, &h->untimely);
    STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(x);
    for (int i = 0; !ok && h->enrolling && i < sk_X509_num(sent); i++) {
        X509 *root = sk_X509_value(sent, i);
        ok = is_the_root(root, h->fingerprint) && holds_under(x, root, &h->untimely);
    }
    ok = ok || holds_for_system(x, &h->untimely);
    h->doubted = !ok;
    ERR_clear_error();
    X509_STORE_CTX_set_error(x, ok ? X509_V_OK : X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY); /* curl asks for the result again */
    return ok;
}

static CURLcode on_ssl(CURL *curl, void *ctx, void *arg)
{
    (void)curl;
    SSL_CTX_set_cert_verify_callback(ctx, judge_chain, arg);
    return CURLE_OK;
}

/* ---- the handle ---- */

void http_free(struct http *h)
{
    if (h == NULL) { return; }
    curl_easy_cleanup(h->curl);
    X509_free(h->root);
    kluis_free(h);
}

static kluis_status set_up(struct http *h, struct kluis_err *err)
{
    CURLcode rc = CURLE_OK;
    const curl_version_info_data *v = curl_version_info(CURLVERSION_NOW);
    if (v->ssl_version == NULL || strncmp(v->ssl_version, "OpenSSL", 7) != 0) {
        return KLUIS_FAIL(err, KLUIS_E_BUG, "this libcurl does not use OpenSSL: install libcurl4 instead of its GnuTLS flavour");
    }
#define SET(option, value)                                                                                                                           \
    do {                                                                                                                                             \
        if (rc == CURLE_OK) { rc = curl_easy_setopt(h->curl, option, value); }                                                                       \
    } while (0)
    SET(CURLOPT_PROTOCOLS_STR, "https");
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSL_CTX_FUNCTION, on_ssl);
    SET(CURLOPT_SSL_CTX_DATA, h);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_USERAGENT, "chatkluis-agent");
    SET(CURLOPT_BUFFERSIZE, 65536L);
    SET(CURLOPT_CAINFO, NULL); /* judge_chain judges, and loads the system's anchors only when it needs them */
    SET(CURLOPT_CAPATH, NULL);
    if (is_loopback(h->gate)) { SET(CURLOPT_PROXY, ""); }
#undef SET
    return rc == CURLE_OK ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_BUG, "libcurl refuses a setting (%d)", (int)rc);
}

kluis_status http_new(struct http **out, const struct http_setup *s, struct kluis_err *err)
{
    *out = NULL;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "libcurl cannot start"); }
    struct http *h = kluis_calloc(1, sizeof *h);
    if (h == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    kluis_status rc = KLUIS_OK;
    if (!split(s->server, h->gate)) { rc = KLUIS_FAIL(err, KLUIS_E_USAGE, "'%.200s' is not an address like https://host:port", s->server); }
    if (rc == KLUIS_OK) { (void)snprintf(h->base, sizeof h->base, "https://%s", h->gate); }
    if (rc == KLUIS_OK && s->root.len > 0) {
        const uint8_t *p = s->root.ptr;
        uint64_t mark = kluis_memory_mark();
        h->root = d2i_X509(NULL, &p, (long)s->root.len);
        if (h->root != NULL) { (void)X509_check_purpose(h->root, -1, 0); } /* now: what want of memory spoils in it later stays spoilt */
        if (kluis_memory_refused(mark)) {
            rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for the root certificate");
        } else if (h->root == NULL) {
            rc = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the stored root certificate cannot be read: enrol again");
        }
    }
    if (s->root_fingerprint != NULL) {
        h->enrolling = true;
        memcpy(h->fingerprint, s->root_fingerprint, sizeof h->fingerprint);
    }
    if (s->device != NULL) { (void)snprintf(h->device, sizeof h->device, "%s", s->device); }
    h->login = s->login;
    if (rc == KLUIS_OK && (h->curl = curl_easy_init()) == NULL) { rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for libcurl"); }
    if (rc == KLUIS_OK) { rc = set_up(h, err); }
    if (rc != KLUIS_OK) {
        http_free(h);
        return rc;
    }
    *out = h;
    return KLUIS_OK;
}

/* ---- one request ---- */

struct transfer {
    struct http_answer *answer;
    struct http *h;
    const uint8_t *body;
    size_t left;
    bool too_much;
    uint64_t memory; /* kluis_memory_mark at its begin */
};

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    kluis_buf_add(&t->answer->body, p, size * n);
    t->too_much = t->answer->body.status == KLUIS_E_LIMIT;
    return t->answer->body.status != KLUIS_OK ? 0 : size * n;
}

static size_t on_send(char *p, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    size_t k = size * n < t->left ? size * n : t->left;
    if (k > 0) { memcpy(p, t->body, k); }
    t->body += k;
    t->left -= k;
    return k;
}

static bool digits(const char *p, size_t n, uint64_t *out)
{
    *out = 0;
    if (n == 0 || n > 18) { return false; }
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9') { return false; }
        *out = *out * 10 + (uint64_t)(p[i] - '0');
    }
    return true;
}

static size_t on_header(char *p, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    size_t n = size * count, name = 0;
    while (name < n && p[name] != ':') { name++; }
    size_t from = name + 1, to = n;
    while (from < to && (p[from] == ' ' || p[from] == '\t')) { from++; }
    while (to > from && (p[to - 1] == '\r' || p[to - 1] == '\n' || p[to - 1] == ' ')) { to--; }
    if (name >= n) { return n; }
    uint64_t v = 0;
    if (name == 15 && strncasecmp(p, "Chatkluis-Nonce", 15) == 0 && to - from < sizeof t->h->nonce) {
        memcpy(t->h->nonce, p + from, to - from);
        t->h->nonce[to - from] = '\0';
    } else if (name == 16 && strncasecmp(p, "Chatkluis-Offset", 16) == 0 && digits(p + from, to - from, &v)) {
        t->answer->has_offset = true;
        t->answer->offset = v;
    } else if (name == 15 && strncasecmp(p, "Chatkluis-Epoch", 15) == 0 && digits(p + from, to - from, &v)) {
        t->answer->epoch = v;
    } else if (name == 15 && strncasecmp(p, "Chatkluis-Clock", 15) == 0 && digits(p + from, to - from, &v)) {
        t->h->gate_clock_s = v <= CLOCK_MOST_S ? (int64_t)v : 0;
    } else if (name == 11 && strncasecmp(p, "Retry-After", 11) == 0 && digits(p + from, to - from, &v)) {
        t->answer->retry_after_s = v > 86400 ? 86400 : (int64_t)v;
    }
    return n;
}

static kluis_status curl_failure(const struct http *h, CURLcode rc, const struct transfer *t, struct kluis_err *err)
{
    char now[KLUIS_TIME_TEXT];
    if (t->too_much) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "the answer of %s is larger than it may be", h->gate); }
    if (kluis_memory_refused(t->memory)) { rc = CURLE_OUT_OF_MEMORY; } /* else a gate would be called false for want of our memory */
    if (h->doubted) { rc = rc == CURLE_SSL_CONNECT_ERROR ? CURLE_PEER_FAILED_VERIFICATION : rc; } /* else the line was cut in the handshake */
    switch ((int)rc) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_ISSUER_ERROR:
        if (h->untimely) {
            (void)kluis_time_text(now, kluis_now_us(), 0, 0);
            return KLUIS_FAIL(err, KLUIS_E_REJECT,
                              "the certificate of %s is not valid at this computer's time, %s: check the clock, else tell your administrator",
                              h->gate, now);
        }
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s does not prove that it is your organisation's gate (%s): check the address, or ask for a new code",
                          h->gate, curl_easy_strerror(rc));
    case CURLE_OUT_OF_MEMORY: return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for a request");
    default: return KLUIS_FAIL(err, KLUIS_E_BUSY, "cannot reach %s (%s): it is tried again later", h->gate, curl_easy_strerror(rc));
    }
}

static kluis_status perform(struct http *h, const char *method, const char *path, struct kluis_bytes body, const char *authorization, int timeout_s,
                            struct http_answer *out, struct kluis_err *err)
{
    char url[URL_MAX];
    struct transfer t = { out, h, body.ptr, body.len, false, 0 };
    kluis_buf_clear(&out->body);
    out->status = h->status = 0;
    out->has_offset = false;
    out->epoch = 0;
    out->retry_after_s = 0;
    int n = snprintf(url, sizeof url, "%s%s", h->base, path);
    if (n < 0 || (size_t)n >= sizeof url) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "the address is too long"); }
    bool sends = strcmp(method, "PUT") == 0 || strcmp(method, "POST") == 0;
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:"),
                      *more = headers == NULL ? NULL : curl_slist_append(headers, "Content-Type: application/octet-stream");
    if (more != NULL && authorization != NULL) { more = curl_slist_append(headers, authorization); }
    if (more == NULL) {
        curl_slist_free_all(headers);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for a request");
    }
    CURLcode rc = CURLE_OK;
#define SET(option, value)                                                                                                                           \
    do {                                                                                                                                             \
        if (rc == CURLE_OK) { rc = curl_easy_setopt(h->curl, option, value); }                                                                       \
    } while (0)
    SET(CURLOPT_URL, url);
    SET(CURLOPT_HTTPHEADER, headers);
    if (sends) {
        SET(CURLOPT_UPLOAD, 1L);
        SET(CURLOPT_READFUNCTION, on_send);
        SET(CURLOPT_READDATA, &t);
        SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)body.len);
    } else {
        SET(CURLOPT_HTTPGET, 1L);
    }
    SET(CURLOPT_CUSTOMREQUEST, method);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, &t);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, &t);
    SET(CURLOPT_TIMEOUT, (long)timeout_s);
#undef SET
    t.memory = kluis_memory_mark();
    h->doubted = h->untimely = false;
    h->gate_clock_s = 0;
    if (rc == CURLE_OK) { rc = curl_easy_perform(h->curl); }
    long status = 0;
    if (rc == CURLE_OK) { rc = curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status); }
    curl_slist_free_all(headers);
    out->status = h->status = (int)status;
    return rc == CURLE_OK ? KLUIS_OK : curl_failure(h, rc, &t, err);
}

/* The nonce that the next signed request uses up. */
static kluis_status fetch_nonce(struct http *h, struct kluis_err *err)
{
    struct http_answer a = { 0 };
    kluis_buf_init(&a.body, 256);
    kluis_status rc = perform(h, "GET", "/v1/nonce", (struct kluis_bytes){ NULL, 0 }, NULL, 30, &a, err);
    if (rc == KLUIS_OK && a.status != 200) { rc = http_refusal(&a, "the gate gives no nonce", err); }
    if (rc == KLUIS_OK && a.body.len >= KLUIS_LOGIN_NONCE) { /* the body is the nonce; a line end behind it is harmless */
        size_t n = a.body.len;
        while (n > 0 && (a.body.data[n - 1] == '\n' || a.body.data[n - 1] == '\r')) { n--; }
        if (n < sizeof h->nonce) {
            memcpy(h->nonce, a.body.data, n);
            h->nonce[n] = '\0';
        }
    }
    if (rc == KLUIS_OK && h->nonce[0] == '\0') { rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "the gate at %s answered without a nonce", h->gate); }
    kluis_buf_free(&a.body);
    return rc;
}

kluis_status http_request(struct http *h, const char *method, const char *path, struct kluis_bytes body, bool sign, int timeout_s,
                          struct http_answer *out, struct kluis_err *err)
{
    if (!sign || h->login == NULL) { return perform(h, method, path, body, NULL, timeout_s, out, err); }
    uint8_t sha[32];
    kluis_sha256_of(body.ptr, body.len, sha);
    for (int attempt = 0;; attempt++) {
        char nonce[sizeof h->nonce];
        KLUIS_AUTO_BUF(line, HEADER_MAX_BYTES);
        if (h->nonce[0] == '\0') { KLUIS_TRY(fetch_nonce(h, err)); }
        memcpy(nonce, h->nonce, sizeof nonce);
        h->nonce[0] = '\0'; /* good for one request */
        kluis_buf_cstr(&line, "Authorization: ");
        KLUIS_TRY(kluis_login_header_write(h->device, h->login, h->gate, method, path, sha, nonce, kluis_now_us() / 1000000, &line, err));
        kluis_buf_byte(&line, 0);
        KLUIS_TRY(kluis_buf_ok(&line, err));
        KLUIS_TRY(perform(h, method, path, body, (const char *)line.data, timeout_s, out, err));
        if (out->status != 401 || attempt > 0 || h->nonce[0] == '\0') { return KLUIS_OK; }
    }
}

int http_status(const struct http *h) { return h->status; }
int64_t http_gate_clock(const struct http *h) { return h->gate_clock_s; }

kluis_status http_refusal(const struct http_answer *a, const char *what, struct kluis_err *err)
{
    char line[160];
    size_t n = 0;
    while (n < a->body.len && n + 1 < sizeof line && a->body.data[n] >= ' ' && a->body.data[n] < 0x7f) {
        line[n] = (char)a->body.data[n];
        n++;
    }
    line[n] = '\0'; /* one line of printable text, or less */
    bool again = a->status == 429 || a->status >= 500;
    return KLUIS_FAIL(err, again ? KLUIS_E_BUSY : KLUIS_E_REJECT, "%s: the gate answered %d%s%s", what, a->status, n > 0 ? ": " : "", line);
}
