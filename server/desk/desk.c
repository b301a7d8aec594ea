/* server/desk/desk.c - see desk.h. */
#include "server/desk/desk.h"

#include <pthread.h>
#include <sys/socket.h>

#include "server/local/local.h"
#include "server/log.h"

enum { ROOM = 60 << 10, ROOM_KEPT = 1 << 20 }; /* of a connection's answer: for a page of 50 hits; what one keeps at most */
_Static_assert((int)ACCESS_PAGE_MAX == (int)INDEX_PAGE_MAX && (int)ACCESS_AROUND_MAX == (int)API_AROUND_MAX &&
                   (int)ACCESS_ANSWER_MAX > (int)API_ANSWER_MAX,
               "one ceiling on both sides");
_Static_assert((int)ACCESS_COUNT_CAPPED == (int)INDEX_COUNT_CAPPED && (int)ACCESS_COUNT_EXACT == (int)INDEX_COUNT_EXACT,
               "ways of counting are passed on as they are");
_Static_assert((int)ACCESS_NEWEST == (int)INDEX_NEWEST && (int)ACCESS_OLDEST == (int)INDEX_OLDEST && (int)ACCESS_RELEVANCE == (int)INDEX_RELEVANCE,
               "one order on both sides");

struct desk {
    const struct api *api;
    struct local *local;
    char *key; /* secret memory */
    pthread_mutex_t lock;
    unsigned connected; /* connections that said hello */
    struct desk_page page;
    char address[ACCESS_ADDRESS_MAX];
};

static kluis_status search(const struct desk *d, const struct api_actor *who, const struct access_request *r, struct kluis_buf *b,
                           struct kluis_err *err)
{
    const struct index_query q = { .text = r->text,
                                   .conversation = r->conversation,
                                   .official = r->official,
                                   .platform = r->platform,
                                   .from_us = r->from_us,
                                   .to_us = r->to_us,
                                   .order = (enum index_order)r->order,
                                   .limit = r->limit,
                                   .cursor = r->cursor,
                                   .count = (enum index_count)r->count };
    struct index_result found;
    kluis_buf_cstr(b, "{\"hits\":[");
    KLUIS_TRY(api_search_page(d->api, who, &q, b, &found, err));
    kluis_buf_cstr(b, "],\"next\":");
    kluis_buf_json(b, kluis_str_of(found.next));
    if (found.counted) { kluis_buf_fmt(b, ",\"count\":%llu,\"capped\":%s", (unsigned long long)found.count, found.capped ? "true" : "false"); }
    kluis_buf_byte(b, '}');
    return kluis_buf_ok(b, err);
}

static kluis_status around(const struct desk *d, const struct api_actor *who, const struct access_request *r, struct kluis_buf *b,
                           struct kluis_err *err)
{
    kluis_buf_cstr(b, "{\"messages\":[");
    KLUIS_TRY(api_around_page(d->api, who, r->package, r->ordinal, r->before, r->after, b, err));
    kluis_buf_cstr(b, "]}");
    return kluis_buf_ok(b, err);
}

static kluis_status status(const struct desk *d, struct kluis_buf *b, struct kluis_err *err)
{
    struct index_stats s;
    uint64_t watermark;
    KLUIS_TRY(api_statistics(d->api, &s, &watermark, err));
    kluis_buf_fmt(b,
                  "{\"version\":\"" KLUIS_VERSION "\",\"packages\":%llu,\"records\":%llu,\"sightings\":%llu,\"conflicts\":%llu,\"watermark\":%llu}",
                  (unsigned long long)s.packages, (unsigned long long)s.records, (unsigned long long)s.sightings, (unsigned long long)s.conflicts,
                  (unsigned long long)watermark);
    return kluis_buf_ok(b, err);
}

/* What was asked, of somebody who has the key: JSON appended to b. */
static kluis_status give(const struct desk *d, const struct access_request *r, struct kluis_buf *b, struct kluis_err *err)
{
    /* One byte more than may be: a purpose that is cut here is too long there. */
    char purpose[API_PURPOSE_MAX + 2];
    size_t n = r->purpose.len < sizeof purpose - 1 ? r->purpose.len : sizeof purpose - 1;
    if (n > 0) { memcpy(purpose, r->purpose.ptr, n); }
    purpose[n] = '\0';
    const struct api_actor who = { "page", purpose };
    switch (r->what) {
    case ACCESS_SEARCH: return search(d, &who, r, b, err);
    case ACCESS_AROUND: return around(d, &who, r, b, err);
    case ACCESS_STATUS: return status(d, b, err);
    case ACCESS_KEY:
    case ACCESS_HELLO: break; /* the key alone */
    }
    return KLUIS_OK;
}

static bool has_key(const struct desk *d, struct kluis_str key)
{
    return key.len == ACCESS_KEY_LEN && kluis_equal_secret(key.ptr, d->key, ACCESS_KEY_LEN);
}

static kluis_status say_failure(int fd, kluis_status rc, const struct kluis_err *why)
{
    uint8_t line[1 + KLUIS_ERR_MSG];
    size_t n = strlen(why->msg);
    line[0] = (uint8_t)-rc;
    memcpy(line + 1, why->msg, n);
    return local_frame(fd, ACCESS_FAILED, line, n + 1, NULL);
}

/* One request and its answer; anything but OK ends the connection. */
static kluis_status attend(struct desk *d, int fd, struct kluis_buf *asked, struct kluis_buf *b, struct kluis_err *err)
{
    struct access_request r;
    struct kluis_err why = { 0 };
    char kind = 0;
    kluis_buf_clear(asked);
    kluis_buf_clear(b);
    KLUIS_TRY(local_unframe(fd, &kind, asked, err));
    kluis_status rc = access_request_read(kind, kluis_buf_bytes(asked), &r, err);
    if (rc == KLUIS_OK && r.what == ACCESS_HELLO) { rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "the page server said hello twice"); }
    if (rc != KLUIS_OK) { return rc; }
    bool admitted = has_key(d, r.key);
    if (admitted) { rc = give(d, &r, b, &why); }
    kluis_wipe(asked->data, asked->len);
    if (!admitted) { return local_frame(fd, ACCESS_NO_KEY, NULL, 0, err); }
    if (rc == KLUIS_OK) { return local_frame(fd, ACCESS_YES, b->data, b->len, err); }
    if (rc != KLUIS_E_REJECT && rc != KLUIS_E_USAGE && rc != KLUIS_E_NOTFOUND) { kluis_log_err(KLUIS_LOG_ERROR, "page.failed", &why); }
    return say_failure(fd, rc, &why);
}

static kluis_status greet(struct desk *d, int fd, struct kluis_buf *asked, struct kluis_err *err)
{
    struct access_request r;
    struct ucred who = { 0 };
    socklen_t n = sizeof who;
    char kind = 0;
    KLUIS_TRY(local_unframe(fd, &kind, asked, err));
    KLUIS_TRY(access_request_read(kind, kluis_buf_bytes(asked), &r, err));
    if (r.what != ACCESS_HELLO || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) != 0) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "who comes by the page's socket says no hello");
    }
    pthread_mutex_lock(&d->lock);
    d->connected++;
    d->page = (struct desk_page){ .walls = r.walls, .user = who.uid };
    memcpy(d->address, r.address.ptr, r.address.len); /* shorter than ACCESS_ADDRESS_MAX, and loopback: it was read so */
    d->address[r.address.len] = '\0';
    pthread_mutex_unlock(&d->lock);
    return local_frame(fd, ACCESS_YES, NULL, 0, err);
}

static void serve(void *ctx, int fd)
{
    struct desk *d = ctx;
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(asked, ACCESS_REQUEST_MAX);
    KLUIS_AUTO_BUF(b, ACCESS_ANSWER_MAX);
    kluis_status rc = greet(d, fd, &asked, &err);
    bool greeted = rc == KLUIS_OK;
    while (rc == KLUIS_OK) {
        if (b.cap > ROOM_KEPT) { kluis_buf_free(&b); }
        (void)kluis_buf_reserve(&b, ROOM); /* without room it fails where it is filled */
        rc = attend(d, fd, &asked, &b, &err);
    }
    if (rc != KLUIS_E_IO) { kluis_log_err(KLUIS_LOG_WARN, "page.refused", &err); }
    if (!greeted) { return; }
    pthread_mutex_lock(&d->lock);
    d->connected--;
    pthread_mutex_unlock(&d->lock);
}

static void full(KLUIS_UNUSED void *ctx, KLUIS_UNUSED int fd) { kluis_log(KLUIS_LOG_WARN, "page.full", "channels=%d", DESK_CHANNELS); }

kluis_status desk_start(struct desk **out, int fd, const struct api *api, struct kluis_err *err)
{
    *out = NULL;
    struct desk *d = kluis_calloc(1, sizeof *d);
    char *key = d == NULL ? NULL : kluis_secret_new(ACCESS_KEY_LEN + 1);
    if (d == NULL || key == NULL) {
        kluis_free(d);
        kluis_close_quiet(&fd);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory");
    }
    uint8_t random[32];
    kluis_random(random, sizeof random);
    kluis_base64url(random, sizeof random, key);
    kluis_wipe(random, sizeof random);
    d->api = api;
    d->key = key;
    pthread_mutex_init(&d->lock, NULL);
    const struct local_config c = { .fd = fd, .at_once = DESK_CHANNELS, .seconds = 0, .handle = serve, .full = full, .ctx = d };
    kluis_status rc = local_start(&d->local, &c, err);
    if (rc != KLUIS_OK) {
        desk_stop(d);
        return rc;
    }
    *out = d;
    return KLUIS_OK;
}

void desk_stop(struct desk *d)
{
    if (d == NULL) { return; }
    local_stop(d->local);
    kluis_secret_free(d->key, ACCESS_KEY_LEN + 1);
    pthread_mutex_destroy(&d->lock);
    kluis_free(d);
}

void desk_page(struct desk *d, struct desk_page *out)
{
    pthread_mutex_lock(&d->lock);
    *out = d->page;
    out->connected = d->connected > 0;
    pthread_mutex_unlock(&d->lock);
}

kluis_status desk_url(struct desk *d, char url[DESK_URL_MAX], struct kluis_err *err)
{
    char address[ACCESS_ADDRESS_MAX];
    pthread_mutex_lock(&d->lock);
    memcpy(address, d->address, sizeof address);
    pthread_mutex_unlock(&d->lock);
    if (address[0] == '\0') { return KLUIS_FAIL(err, KLUIS_E_BUSY, "no page server has come to this vault yet: start `chatkluis-server page`"); }
    (void)snprintf(url, DESK_URL_MAX, "http://%s/?key=%s", address, d->key);
    return KLUIS_OK;
}
