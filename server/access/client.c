/* server/access/client.c - the page server's side: a few connections to the vault, each used by one thread at a time. */
#include "server/access/access.h"

#include <poll.h>
#include <pthread.h>

#include "server/local/local.h"

struct access {
    char path[KLUIS_PATH_MAX], address[ACCESS_ADDRESS_MAX];
    unsigned walls;
    pthread_mutex_t lock;
    int idle[ACCESS_CHANNELS]; /* connections that nobody uses now; -1: none */
};

kluis_status access_open(struct access **out, const char *path, const char *address, unsigned walls, struct kluis_err *err)
{
    *out = NULL;
    if (strlen(path) >= KLUIS_PATH_MAX || strlen(address) >= ACCESS_ADDRESS_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "the path of the vault's socket is too long");
    }
    struct access *a = kluis_calloc(1, sizeof *a);
    if (a == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    (void)snprintf(a->path, sizeof a->path, "%s", path);
    (void)snprintf(a->address, sizeof a->address, "%s", address);
    a->walls = walls;
    pthread_mutex_init(&a->lock, NULL);
    for (size_t i = 0; i < ACCESS_CHANNELS; i++) { a->idle[i] = -1; }
    *out = a;
    return KLUIS_OK;
}

void access_close(struct access *a)
{
    if (a == NULL) { return; }
    for (size_t i = 0; i < ACCESS_CHANNELS; i++) { kluis_close_quiet(&a->idle[i]); }
    pthread_mutex_destroy(&a->lock);
    kluis_free(a);
}

static int take(struct access *a)
{
    int fd = -1;
    pthread_mutex_lock(&a->lock);
    for (size_t i = 0; i < ACCESS_CHANNELS && fd < 0; i++) {
        fd = a->idle[i];
        a->idle[i] = -1;
    }
    pthread_mutex_unlock(&a->lock);
    return fd;
}

static void put_back(struct access *a, int fd)
{
    pthread_mutex_lock(&a->lock);
    for (size_t i = 0; i < ACCESS_CHANNELS && fd >= 0; i++) {
        if (a->idle[i] < 0) {
            a->idle[i] = fd;
            fd = -1;
        }
    }
    pthread_mutex_unlock(&a->lock);
    kluis_close_quiet(&fd);
}

static kluis_status away(struct kluis_err *err) { return KLUIS_FAIL(err, KLUIS_E_BUSY, "the vault does not answer: try again in a moment"); }

/* One question, one answer; E_BUSY: the connection is of no use any more. */
static kluis_status exchange(int fd, const struct access_request *r, char *kind, struct kluis_buf *answer, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(b, ACCESS_REQUEST_MAX);
    KLUIS_TRY(access_request_write(r, &b, err));
    struct kluis_err why = { 0 };
    kluis_status rc = local_frame(fd, (char)r->what, b.data, b.len, &why);
    if (rc == KLUIS_OK) { rc = local_unframe(fd, kind, answer, &why); }
    if (b.data != NULL) { kluis_wipe(b.data, b.len); /* a person's key was in it */ }
    if (rc == KLUIS_OK) { return KLUIS_OK; }
    return rc == KLUIS_E_NOMEM ? KLUIS_FAIL(err, rc, "out of memory") : away(err);
}

static kluis_status dial(const struct access *a, int *fd, struct kluis_err *err)
{
    const struct access_request hello = { .what = ACCESS_HELLO, .walls = a->walls, .address = kluis_str_of(a->address) };
    struct kluis_err why = { 0 };
    char kind = 0;
    KLUIS_AUTO_BUF(b, 64);
    kluis_status rc = local_connect(a->path, ACCESS_SECONDS, fd, &why);
    if (rc == KLUIS_E_USAGE) { return KLUIS_FAIL(err, rc, "%s", why.msg); }
    if (rc != KLUIS_OK) { return away(err); }
    rc = exchange(*fd, &hello, &kind, &b, err);
    if (rc == KLUIS_OK && (kind != ACCESS_YES || b.len != 0)) {
        rc = KLUIS_FAIL(err, KLUIS_E_BUG, "the vault does not know this page server: are they of one version?");
    }
    if (rc != KLUIS_OK) { kluis_close_quiet(fd); }
    return rc;
}

/* An error as the vault put it.  What is none of ours is a mistake of ours. */
static kluis_status failed(const struct kluis_buf *answer, size_t from, struct kluis_err *err)
{
    char line[KLUIS_ERR_MSG];
    size_t n = answer->len - from;
    int code = n == 0 ? KLUIS_E_BUG : -(int)answer->data[from];
    if (code > KLUIS_E_NOMEM || code < KLUIS_E_USAGE) { code = KLUIS_E_BUG; }
    size_t len = n == 0 ? 0 : n - 1 < sizeof line - 1 ? n - 1 : sizeof line - 1;
    if (len > 0) { memcpy(line, answer->data + from + 1, len); }
    line[kluis_utf8_valid(line, len)] = '\0';
    return KLUIS_FAIL(err, (kluis_status)code, "%s", line);
}

kluis_status access_ask(struct access *a, const struct access_request *r, bool *admitted, struct kluis_buf *answer, struct kluis_err *err)
{
    size_t from = answer->len;
    char kind = 0;
    kluis_status rc = KLUIS_E_BUSY;
    *admitted = false;
    /* A connection that was kept may be one to a vault that is gone: then once more, over a new one.  What was searched for twice stands in the trail
     * twice. */
    int fd = take(a);
    if (fd >= 0) {
        int64_t begun = kluis_monotonic_us();
        struct kluis_err why = { 0 };
        rc = exchange(fd, r, &kind, answer, &why);
        if (rc != KLUIS_OK) {
            kluis_close_quiet(&fd);
            answer->len = from;
            if (rc != KLUIS_E_BUSY || kluis_monotonic_us() - begun > (int64_t)1000000 * (ACCESS_SECONDS / 2)) {
                return KLUIS_FAIL(err, rc, "%s", why.msg);
            }
        }
    }
    if (fd < 0) {
        KLUIS_TRY(dial(a, &fd, err));
        rc = exchange(fd, r, &kind, answer, err);
        if (rc != KLUIS_OK) {
            kluis_close_quiet(&fd);
            answer->len = from;
            return rc;
        }
    }
    put_back(a, fd);
    if (kind == ACCESS_FAILED) {
        rc = failed(answer, from, err);
        answer->len = from;
        return rc;
    }
    *admitted = kind == ACCESS_YES;
    return kind == ACCESS_YES || kind == ACCESS_NO_KEY ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_BUG, "the vault's answer is of no kind");
}

/* Nobody speaks unasked: what can be read there is that the vault of this connection is gone. */
static bool gone(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    return poll(&p, 1, 0) != 0;
}

kluis_status access_greet(struct access *a, struct kluis_err *err)
{
    int fd;
    while ((fd = take(a)) >= 0 && gone(fd)) { kluis_close_quiet(&fd); }
    if (fd < 0) { KLUIS_TRY(dial(a, &fd, err)); }
    put_back(a, fd);
    return KLUIS_OK;
}
