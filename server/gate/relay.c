/* relay.c - worker threads with libcurl; looks at a response no further than its status. */
#include "server/gate/relay.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <strings.h>

#include "server/log.h"

enum { URLS_MAX = 8, WORKERS_MAX = 8, REST_FIRST_S = 2, REST_MOST_S = 300, CONNECT_MS = 2500 };

struct authority {
    char *url;
    int64_t rests_until_us;
    uint32_t rest_s;
};

struct gate_relay {
    struct authority authority[URLS_MAX];
    size_t n;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct gate_relay_job *first, *last;
    size_t waiting;
    pthread_t thread[WORKERS_MAX];
    uint32_t threads;
    atomic_bool stopping;
    struct walls_told walls;
};

bool gate_der_sequence(struct kluis_bytes der)
{
    if (der.ptr == NULL || der.len < 2 || der.ptr[0] != 0x30) { return false; }
    size_t length = der.ptr[1];
    size_t head = 2;
    if (length >= 0x80) {
        size_t octets = length & 0x7f;
        if (octets == 0 || octets > 4 || der.len < 2 + octets || der.ptr[2] == 0) { return false; }
        length = 0;
        for (size_t i = 0; i < octets; i++) { length = length << 8 | der.ptr[2 + i]; }
        if (length < 0x80) { return false; }
        head += octets;
    }
    return der.len - head == length;
}

/* TimeStampResp ::= SEQUENCE { PKIStatusInfo SEQUENCE { status INTEGER … } … } */
int gate_time_status(struct kluis_bytes r)
{
    if (!gate_der_sequence(r)) { return -1; }
    size_t at = r.ptr[1] < 0x80 ? 2 : 2 + (size_t)(r.ptr[1] & 0x7f);
    if (r.len - at < 2 || r.ptr[at] != 0x30) { return -1; }
    at += r.ptr[at + 1] < 0x80 ? 2 : 2 + (size_t)(r.ptr[at + 1] & 0x7f);
    if (at >= r.len || r.len - at < 3 || r.ptr[at] != 0x02 || r.ptr[at + 1] != 1 || r.ptr[at + 2] > 5) { return -1; }
    return r.ptr[at + 2];
}

static size_t take(char *p, size_t size, size_t n, void *ctx)
{
    struct kluis_buf *out = ctx;
    kluis_buf_add(out, p, size * n);
    return out->status == KLUIS_OK ? size * n : 0;
}

/* The one header that is looked at. */
static size_t take_header(char *p, size_t size, size_t n, void *ctx)
{
    static const char NAME[] = "Chatkluis-Walls: ";
    size_t len = size * n, at = sizeof NAME - 1;
    if (len < at || strncasecmp(p, NAME, at) != 0) { return len; }
    size_t end = len;
    while (end > at && (p[end - 1] == '\r' || p[end - 1] == '\n')) { end--; }
    (void)walls_text_read((struct kluis_str){ p + at, end - at }, ctx);
    return len;
}

static int keep_going(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    const struct gate_relay *r = ctx;
    return atomic_load(&r->stopping) ? 1 : 0;
}

static bool ask_one(struct gate_relay *r, CURL *curl, size_t which, struct gate_relay_job *job)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/timestamp-query");
    if (headers == NULL) { return false; }
    struct walls_told walls = { 0 };
    kluis_buf_clear(&job->response);
    curl_easy_reset(curl);
    bool set = curl_easy_setopt(curl, CURLOPT_URL, r->authority[which].url) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK && curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)GATE_RELAY_TIMEOUT_MS) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)job->request.len) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_POSTFIELDS, (const char *)job->request.ptr) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers) == CURLE_OK && curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_WRITEDATA, &job->response) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_HEADERDATA, &walls) == CURLE_OK && curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, keep_going) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_XFERINFODATA, r) == CURLE_OK;
    CURLcode code = set ? curl_easy_perform(curl) : CURLE_FAILED_INIT;
    long status = 0;
    if (code == CURLE_OK) { (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status); }
    curl_slist_free_all(headers);
    int granted = code == CURLE_OK && status == 200 ? gate_time_status(kluis_buf_bytes(&job->response)) : -1;
    bool good = granted == 0 || granted == 1;
    kluis_log(good ? KLUIS_LOG_INFO : KLUIS_LOG_WARN, "relay.authority", "number=%zu curl=%d status=%ld pki=%d size=%zu", which + 1, (int)code,
              status, granted, job->response.len);
    if (!good) { kluis_buf_clear(&job->response); }
    if (good) {
        (void)pthread_mutex_lock(&r->lock);
        r->walls = walls;
        (void)pthread_mutex_unlock(&r->lock);
    }
    return good;
}

static void judge(struct gate_relay *r, size_t which, bool good)
{
    struct authority *a = &r->authority[which];
    (void)pthread_mutex_lock(&r->lock);
    if (good) {
        a->rest_s = 0;
        a->rests_until_us = 0;
    } else {
        a->rest_s = a->rest_s == 0 ? REST_FIRST_S : a->rest_s * 2 > REST_MOST_S ? REST_MOST_S : a->rest_s * 2;
        a->rests_until_us = kluis_monotonic_us() + (int64_t)a->rest_s * 1000000;
    }
    (void)pthread_mutex_unlock(&r->lock);
}

static void *worker(void *ctx)
{
    struct gate_relay *r = ctx;
    CURL *curl = curl_easy_init();
    for (;;) {
        (void)pthread_mutex_lock(&r->lock);
        while (r->first == NULL && !atomic_load(&r->stopping)) { (void)pthread_cond_wait(&r->work, &r->lock); }
        struct gate_relay_job *job = r->first;
        if (job != NULL) {
            r->first = job->next;
            if (r->first == NULL) { r->last = NULL; }
            r->waiting--;
        }
        (void)pthread_mutex_unlock(&r->lock);
        if (job == NULL) { break; } /* stopping, and nothing waits */
        int64_t began_us = kluis_monotonic_us();
        bool good = false;
        for (size_t i = 0; i < r->n && curl != NULL && !good && !atomic_load(&r->stopping); i++) {
            (void)pthread_mutex_lock(&r->lock);
            bool rests = r->authority[i].rests_until_us > kluis_monotonic_us();
            (void)pthread_mutex_unlock(&r->lock);
            /* The one who asked does not wait for ever: no further authority once two of them could have timed out. */
            if (rests || kluis_monotonic_us() - began_us > 2 * (int64_t)GATE_RELAY_TIMEOUT_MS * 1000) { continue; }
            good = ask_one(r, curl, i, job);
            if (!atomic_load(&r->stopping)) { judge(r, i, good); }
        }
        job->done(job);
    }
    curl_easy_cleanup(curl);
    return NULL;
}

static bool url_ok(const char *url)
{
    if (url == NULL || strlen(url) > 2048) { return false; }
    return strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
}

kluis_status gate_relay_start(struct gate_relay **out, const char *const *urls, size_t n, uint32_t workers, struct kluis_err *err)
{
    *out = NULL;
    if (n > URLS_MAX || workers == 0 || workers > WORKERS_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "at most %d time authorities and %d relay workers", URLS_MAX, WORKERS_MAX);
    }
    struct gate_relay *r = kluis_calloc(1, sizeof *r);
    if (r == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory for the time relay"); }
    (void)pthread_mutex_init(&r->lock, NULL);
    (void)pthread_cond_init(&r->work, NULL);
    kluis_status rc = KLUIS_OK;
    for (size_t i = 0; i < n && rc == KLUIS_OK; i++) {
        if (!url_ok(urls[i])) {
            rc = KLUIS_FAIL(err, KLUIS_E_USAGE, "time authority %zu is not an http or https URL", i + 1);
        } else if ((r->authority[i].url = kluis_strdup(urls[i])) == NULL) {
            rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory for the time relay");
        }
        r->n = i + 1;
    }
    while (rc == KLUIS_OK && n > 0 && r->threads < workers) {
        if (pthread_create(&r->thread[r->threads], NULL, worker, r) != 0) {
            rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot start a thread of the time relay");
        } else {
            r->threads++;
        }
    }
    if (rc != KLUIS_OK) {
        gate_relay_free(r);
        return rc;
    }
    *out = r;
    return KLUIS_OK;
}

static uint32_t rest_s(const struct gate_relay *r)
{
    int64_t soonest_us = INT64_MAX;
    for (size_t i = 0; i < r->n; i++) {
        if (r->authority[i].rests_until_us < soonest_us) { soonest_us = r->authority[i].rests_until_us; }
    }
    int64_t left_us = soonest_us - kluis_monotonic_us();
    return r->n == 0 ? 3600 : left_us <= 0 ? 0 : (uint32_t)(left_us / 1000000) + 1;
}

void gate_relay_walls(struct gate_relay *r, struct walls_told *out)
{
    (void)pthread_mutex_lock(&r->lock);
    *out = r->walls;
    (void)pthread_mutex_unlock(&r->lock);
}

uint32_t gate_relay_rest_s(struct gate_relay *r)
{
    (void)pthread_mutex_lock(&r->lock);
    uint32_t s = rest_s(r);
    (void)pthread_mutex_unlock(&r->lock);
    return s == 0 ? 1 : s;
}

kluis_status gate_relay_ask(struct gate_relay *r, struct gate_relay_job *job, struct kluis_err *err)
{
    kluis_status rc = KLUIS_OK;
    kluis_buf_init(&job->response, GATE_RELAY_RESPONSE_MAX);
    job->next = NULL;
    (void)pthread_mutex_lock(&r->lock);
    if (r->n == 0) {
        rc = KLUIS_FAIL(err, KLUIS_E_BUSY, "this gate knows no time authority");
    } else if (atomic_load(&r->stopping) || r->waiting >= GATE_RELAY_QUEUE || rest_s(r) > 0) {
        rc = KLUIS_FAIL(err, KLUIS_E_BUSY, "no time authority can be asked now: try again later");
    } else {
        if (r->last == NULL) {
            r->first = job;
        } else {
            r->last->next = job;
        }
        r->last = job;
        r->waiting++;
        (void)pthread_cond_signal(&r->work);
    }
    (void)pthread_mutex_unlock(&r->lock);
    return rc;
}

void gate_relay_halt(struct gate_relay *r)
{
    (void)pthread_mutex_lock(&r->lock);
    atomic_store(&r->stopping, true);
    (void)pthread_cond_broadcast(&r->work);
    (void)pthread_mutex_unlock(&r->lock);
    for (uint32_t i = 0; i < r->threads; i++) { (void)pthread_join(r->thread[i], NULL); }
    r->threads = 0;
}

void gate_relay_free(struct gate_relay *r)
{
    if (r == NULL) { return; }
    gate_relay_halt(r);
    for (size_t i = 0; i < r->n; i++) { kluis_free(r->authority[i].url); }
    (void)pthread_cond_destroy(&r->work);
    (void)pthread_mutex_destroy(&r->lock);
    kluis_free(r);
}
