/* server/local/local.c - see local.h. */
#include "server/local/local.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 16, AT_ONCE_MAX = 64 };

static kluis_status address(struct sockaddr_un *a, const char *path, struct kluis_err *err)
{
    *a = (struct sockaddr_un){ .sun_family = AF_UNIX };
    size_t n = strlen(path);
    if (n >= sizeof a->sun_path) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "home path too long for a socket (%zu of at most %zu bytes): '%s'", n, sizeof a->sun_path - 1, path);
    }
    memcpy(a->sun_path, path, n + 1);
    return KLUIS_OK;
}

kluis_status local_listen(const char *path, int *fd, struct kluis_err *err)
{
    struct sockaddr_un a;
    *fd = -1;
    KLUIS_TRY(address(&a, path, err));
    if (unlink(path) != 0 && errno != ENOENT) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot replace '%s'", path); }
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    mode_t before = umask(0177);
    bool bound = s >= 0 && bind(s, (const struct sockaddr *)&a, sizeof a) == 0;
    (void)umask(before);
    if (!bound || listen(s, BACKLOG) != 0) {
        kluis_status rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot listen on '%s'", path);
        kluis_close_quiet(&s);
        return rc;
    }
    *fd = s;
    return KLUIS_OK;
}

static void patience(int fd, int what, unsigned seconds)
{
    const struct timeval limit = { .tv_sec = (time_t)seconds };
    (void)setsockopt(fd, SOL_SOCKET, what, &limit, sizeof limit); /* without it a stuck peer only holds its place longer */
}

kluis_status local_connect(const char *path, unsigned seconds, int *fd, struct kluis_err *err)
{
    struct sockaddr_un a;
    *fd = -1;
    KLUIS_TRY(address(&a, path, err));
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot make a socket"); }
    patience(s, SO_RCVTIMEO, seconds);
    patience(s, SO_SNDTIMEO, seconds);
    if (connect(s, (const struct sockaddr *)&a, sizeof a) != 0) {
        kluis_status rc = errno == ENOENT || errno == ECONNREFUSED ? KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "nobody listens at '%s'", path)
                                                                   : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot reach the vault at '%s'", path);
        kluis_close_quiet(&s);
        return rc;
    }
    *fd = s;
    return KLUIS_OK;
}

/* ---- bytes and frames ---- */

kluis_status local_send(int fd, const void *p, size_t n, struct kluis_err *err)
{
    const uint8_t *at = p;
    while (n > 0) {
        ssize_t w = send(fd, at, n, MSG_NOSIGNAL);
        if (w < 0 && errno == EINTR) { continue; }
        if (w <= 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "the connection broke"); }
        at += w;
        n -= (size_t)w;
    }
    return KLUIS_OK;
}

kluis_status local_receive(int fd, void *p, size_t n, struct kluis_err *err)
{
    uint8_t *at = p;
    while (n > 0) {
        ssize_t r = recv(fd, at, n, 0);
        if (r < 0 && errno == EINTR) { continue; }
        if (r <= 0) { return KLUIS_FAIL(err, KLUIS_E_IO, "the connection ended early: did the vault stop?"); }
        at += r;
        n -= (size_t)r;
    }
    return KLUIS_OK;
}

void local_put32(uint8_t out[4], size_t v)
{
    for (int i = 3; i >= 0; i--) {
        out[i] = (uint8_t)v;
        v >>= 8;
    }
}

size_t local_get32(const uint8_t p[4]) { return (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]; }

kluis_status local_frame(int fd, char kind, const void *p, size_t n, struct kluis_err *err)
{
    uint8_t head[LOCAL_HEAD] = { (uint8_t)kind };
    struct iovec io[2] = { { head, sizeof head }, { (void *)(uintptr_t)p, n } };
    const struct msghdr m = { .msg_iov = io, .msg_iovlen = n > 0 ? 2 : 1 };
    local_put32(head + 1, n);
    ssize_t w;
    do {
        w = sendmsg(fd, &m, MSG_NOSIGNAL);
    } while (w < 0 && errno == EINTR);
    if (w <= 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "the connection broke"); }
    size_t sent = (size_t)w;
    if (sent < sizeof head) {
        KLUIS_TRY(local_send(fd, head + sent, sizeof head - sent, err));
        sent = sizeof head;
    }
    size_t done = sent - sizeof head;
    return done == n ? KLUIS_OK : local_send(fd, (const uint8_t *)p + done, n - done, err);
}

kluis_status local_unframe(int fd, char *kind, struct kluis_buf *b, struct kluis_err *err)
{
    uint8_t head[LOCAL_HEAD];
    KLUIS_TRY(local_receive(fd, head, sizeof head, err));
    size_t n = local_get32(head + 1);
    *kind = (char)head[0];
    if (n == 0) { return KLUIS_OK; }
    uint8_t *to = kluis_buf_reserve(b, n);
    if (to == NULL) { return kluis_buf_ok(b, err); }
    KLUIS_TRY(local_receive(fd, to, n, err));
    b->len += n;
    return KLUIS_OK;
}

/* ---- serving ---- */

struct local {
    struct local_config c;
    int wake[2];
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t idle;
    unsigned running;
    int open[AT_ONCE_MAX]; /* -1: free */
    bool stopping;
};
struct visit {
    struct local *l;
    unsigned place;
    int fd;
};

static void leave(struct local *l, unsigned place, int *fd)
{
    pthread_mutex_lock(&l->lock);
    l->open[place] = -1; /* before its number is another's */
    kluis_close_quiet(fd);
    l->running--;
    pthread_cond_broadcast(&l->idle);
    pthread_mutex_unlock(&l->lock);
}

static void *visit_thread(void *arg)
{
    struct visit v = *(struct visit *)arg;
    kluis_free(arg);
    v.l->c.handle(v.l->c.ctx, v.fd);
    leave(v.l, v.place, &v.fd);
    return NULL;
}

/* A place among the connections, or false. */
static bool enter(struct local *l, int fd, unsigned *place)
{
    bool room = false;
    pthread_mutex_lock(&l->lock);
    for (unsigned i = 0; i < l->c.at_once && !room && !l->stopping; i++) {
        if (l->open[i] >= 0) { continue; }
        l->open[i] = fd;
        l->running++;
        *place = i;
        room = true;
    }
    pthread_mutex_unlock(&l->lock);
    return room;
}

static void receive_visitor(struct local *l, int fd)
{
    unsigned place = 0;
    patience(fd, SO_RCVTIMEO, l->c.seconds);
    patience(fd, SO_SNDTIMEO, LOCAL_SECONDS);
    bool room = enter(l, fd, &place), started = false;
    struct visit *v = room ? kluis_malloc(sizeof *v) : NULL;
    pthread_t t;
    pthread_attr_t detached;
    if (v != NULL && pthread_attr_init(&detached) == 0) {
        *v = (struct visit){ l, place, fd };
        (void)pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
        started = pthread_create(&t, &detached, visit_thread, v) == 0;
        pthread_attr_destroy(&detached);
    }
    if (started) { return; }
    kluis_free(v);
    if (l->c.full != NULL) { l->c.full(l->c.ctx, fd); }
    if (room) {
        leave(l, place, &fd);
    } else {
        kluis_close_quiet(&fd);
    }
}

static void *accept_thread(void *arg)
{
    struct local *l = arg;
    for (;;) {
        struct pollfd p[2] = { { l->c.fd, POLLIN, 0 }, { l->wake[0], POLLIN, 0 } };
        if (poll(p, 2, -1) < 0 && errno != EINTR) { break; }
        if (p[1].revents != 0) { break; }
        if ((p[0].revents & POLLIN) == 0) { continue; }
        int fd = accept4(l->c.fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) { kluis_sleep_us(50000); /* it would come back at once */ }
            continue;
        }
        receive_visitor(l, fd);
    }
    return NULL;
}

kluis_status local_start(struct local **out, const struct local_config *c, struct kluis_err *err)
{
    *out = NULL;
    struct local *l = c->at_once <= AT_ONCE_MAX ? kluis_calloc(1, sizeof *l) : NULL;
    if (l == NULL) {
        int fd = c->fd;
        kluis_close_quiet(&fd);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory");
    }
    l->c = *c;
    for (unsigned i = 0; i < AT_ONCE_MAX; i++) { l->open[i] = -1; }
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->idle, NULL);
    kluis_status rc = KLUIS_OK;
    if (pipe2(l->wake, O_CLOEXEC) != 0) {
        l->wake[0] = l->wake[1] = -1;
        rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot make a pipe");
    } else if (pthread_create(&l->thread, NULL, accept_thread, l) != 0) {
        rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot start a thread for a socket");
    }
    if (rc != KLUIS_OK) {
        kluis_close_quiet(&l->c.fd);
        kluis_close_quiet(&l->wake[0]);
        kluis_close_quiet(&l->wake[1]);
        pthread_mutex_destroy(&l->lock);
        pthread_cond_destroy(&l->idle);
        kluis_free(l);
        return rc;
    }
    *out = l;
    return KLUIS_OK;
}

void local_stop(struct local *l)
{
    if (l == NULL) { return; }
    kluis_close_quiet(&l->wake[1]); /* poll wakes with POLLHUP */
    (void)pthread_join(l->thread, NULL);
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    for (unsigned i = 0; i < l->c.at_once; i++) {
        if (l->open[i] >= 0) { (void)shutdown(l->open[i], SHUT_RD); }
    }
    while (l->running > 0) { pthread_cond_wait(&l->idle, &l->lock); }
    pthread_mutex_unlock(&l->lock);
    kluis_close_quiet(&l->c.fd);
    kluis_close_quiet(&l->wake[0]);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->idle);
    kluis_free(l);
}
