/* server/control/control.c - the vault's command socket.  See control.h. */
#include "server/control/control.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

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

static kluis_status send_all(int fd, const void *p, size_t n, struct kluis_err *err)
{
    const uint8_t *at = p;
    while (n > 0) {
        ssize_t w = send(fd, at, n, MSG_NOSIGNAL);
        if (w < 0 && errno == EINTR) { continue; }
        if (w <= 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "the command's connection broke"); }
        at += w;
        n -= (size_t)w;
    }
    return KLUIS_OK;
}

static kluis_status receive_all(int fd, void *p, size_t n, struct kluis_err *err)
{
    uint8_t *at = p;
    while (n > 0) {
        ssize_t r = recv(fd, at, n, 0);
        if (r < 0 && errno == EINTR) { continue; }
        if (r <= 0) { return KLUIS_FAIL(err, KLUIS_E_IO, "the command's connection ended early: did the vault stop?"); }
        at += r;
        n -= (size_t)r;
    }
    return KLUIS_OK;
}

static void put32(uint8_t o[4], size_t v)
{
    for (int i = 3; i >= 0; i--) {
        o[i] = (uint8_t)v;
        v >>= 8;
    }
}

static size_t get32(const uint8_t p[4]) { return (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]; }

static kluis_status frame(int fd, char kind, const void *p, size_t n, struct kluis_err *err)
{
    uint8_t head[5] = { (uint8_t)kind };
    put32(head + 1, n);
    KLUIS_TRY(send_all(fd, head, sizeof head, err));
    return send_all(fd, p, n, err);
}

/* ---- serving ---- */

struct control {
    int fd, wake[2];
    char path[KLUIS_PATH_MAX];
    control_handler *handler;
    void *ctx;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t idle;
    unsigned running;
};

struct job {
    struct control *c;
    int fd;
};

static kluis_status job_line(void *ctx, char kind, struct kluis_str line, struct kluis_err *err)
{
    const struct job *j = ctx;
    if (line.len > CONTROL_LINE_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "a command's output line is too long"); }
    return frame(j->fd, kind, line.ptr == NULL ? "" : line.ptr, line.len, err);
}

static kluis_status job_run(struct job *j, struct kluis_err *err)
{
    uint8_t head[4];
    KLUIS_TRY(receive_all(j->fd, head, 4, err));
    size_t n = get32(head);
    KLUIS_AUTO_BUF(b, CONTROL_REQUEST_MAX);
    uint8_t *to = kluis_buf_reserve(&b, n);
    if (to == NULL) { return kluis_buf_ok(&b, err); }
    KLUIS_TRY(receive_all(j->fd, to, n, err));
    b.len = n;
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new((size_t)2 * CONTROL_REQUEST_MAX);
    const char *argv[CONTROL_ARGS_MAX];
    int argc = 0;
    struct kluis_wire w = kluis_wire_open(kluis_buf_bytes(&b));
    kluis_wire_is(&w, "chatkluis-control-v1");
    while (kluis_wire_more(&w) && argc < CONTROL_ARGS_MAX) {
        struct kluis_bytes f = kluis_wire_get(&w, CONTROL_REQUEST_MAX);
        if (f.ptr == NULL || (f.len > 0 && memchr(f.ptr, 0, f.len) != NULL)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "malformed command"); }
        argv[argc] = arena == NULL ? NULL : kluis_arena_strndup(arena, (const char *)f.ptr, f.len);
        if (argv[argc++] == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    }
    KLUIS_TRY(kluis_wire_end(&w, "command", err));
    struct control_output out = { j, job_line };
    return j->c->handler(j->c->ctx, argc, argv, &out, err);
}

static void *job_thread(void *arg)
{
    struct job *j = arg;
    struct kluis_err err = { 0 };
    kluis_status rc = job_run(j, &err);
    if (rc != KLUIS_OK) { (void)frame(j->fd, 'e', err.msg, strlen(err.msg), NULL); } /* the caller may be gone */
    uint8_t code = (uint8_t)kluis_exit_code(rc);
    (void)frame(j->fd, 'x', &code, 1, NULL);
    kluis_close_quiet(&j->fd);
    struct control *c = j->c;
    kluis_free(j);
    pthread_mutex_lock(&c->lock);
    c->running--;
    pthread_cond_broadcast(&c->idle);
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

static bool peer_allowed(int fd)
{
    struct ucred who;
    socklen_t n = sizeof who;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 && (who.uid == 0 || who.uid == geteuid());
}

static void *accept_thread(void *arg)
{
    struct control *c = arg;
    for (;;) {
        struct pollfd p[2] = { { c->fd, POLLIN, 0 }, { c->wake[0], POLLIN, 0 } };
        if (poll(p, 2, -1) < 0 && errno != EINTR) { break; }
        if (p[1].revents != 0) { break; }
        if ((p[0].revents & POLLIN) == 0) { continue; }
        int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) { continue; }
        struct timeval limit = { .tv_sec = 60 };
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit); /* a stuck caller frees its place; */
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit); /* without it he only holds it longer */
        pthread_mutex_lock(&c->lock);
        bool room = c->running < CONTROL_AT_ONCE;
        if (room) { c->running++; }
        pthread_mutex_unlock(&c->lock);
        struct job *j = room && peer_allowed(fd) ? kluis_malloc(sizeof *j) : NULL;
        pthread_t t;
        pthread_attr_t detached;
        bool started = false;
        if (j != NULL && pthread_attr_init(&detached) == 0) {
            *j = (struct job){ c, fd };
            (void)pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
            started = pthread_create(&t, &detached, job_thread, j) == 0;
            pthread_attr_destroy(&detached);
        }
        if (!started) {
            static const char busy[] = "refused: too many commands at once, or not your vault";
            uint8_t code = 75;
            (void)frame(fd, 'e', busy, sizeof busy - 1, NULL);
            (void)frame(fd, 'x', &code, 1, NULL);
            kluis_free(j);
            kluis_close_quiet(&fd);
            if (room) {
                pthread_mutex_lock(&c->lock);
                c->running--;
                pthread_mutex_unlock(&c->lock);
            }
        }
    }
    return NULL;
}

kluis_status control_start(struct control **out, const char *path, control_handler *handler, void *ctx, struct kluis_err *err)
{
    *out = NULL;
    struct sockaddr_un a;
    KLUIS_TRY(address(&a, path, err));
    struct control *c = kluis_calloc(1, sizeof *c);
    if (c == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    c->handler = handler;
    c->ctx = ctx;
    c->fd = c->wake[0] = c->wake[1] = -1;
    (void)snprintf(c->path, sizeof c->path, "%s", path); /* fits: address() checked a smaller bound */
    kluis_status rc = KLUIS_E_BUG;
    mode_t before = 0;
    bool bound = false;
    if (unlink(path) != 0 && errno != ENOENT) {
        rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot replace '%s'", path);
        goto fail;
    }
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    before = umask(0177); /* 0600 from its first moment; main has one thread here */
    bound = c->fd >= 0 && bind(c->fd, (const struct sockaddr *)&a, sizeof a) == 0;
    (void)umask(before);
    if (!bound || listen(c->fd, 16) != 0) {
        rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot listen on '%s'", path);
        goto fail;
    }
    if (pipe(c->wake) != 0) {
        rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot make a pipe");
        goto fail;
    }
    if (pthread_mutex_init(&c->lock, NULL) != 0 || pthread_cond_init(&c->idle, NULL) != 0 ||
        pthread_create(&c->thread, NULL, accept_thread, c) != 0) {
        rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot start the command thread");
        goto fail;
    }
    *out = c;
    return KLUIS_OK;
fail:
    kluis_close_quiet(&c->fd);
    kluis_close_quiet(&c->wake[0]);
    kluis_close_quiet(&c->wake[1]);
    kluis_free(c);
    return rc;
}

void control_stop(struct control *c)
{
    if (c == NULL) { return; }
    kluis_close_quiet(&c->wake[1]); /* poll wakes with POLLHUP */
    (void)pthread_join(c->thread, NULL);
    pthread_mutex_lock(&c->lock);
    while (c->running > 0) { pthread_cond_wait(&c->idle, &c->lock); }
    pthread_mutex_unlock(&c->lock);
    (void)unlink(c->path); /* a leftover is replaced at the next start */
    kluis_close_quiet(&c->fd);
    kluis_close_quiet(&c->wake[0]);
    kluis_free(c);
}

/* ---- calling ---- */

kluis_status control_call(const char *path, int argc, const char *const *argv, int *exit_code, struct kluis_err *err)
{
    struct sockaddr_un a;
    KLUIS_TRY(address(&a, path, err));
    KLUIS_AUTO_BUF(b, CONTROL_REQUEST_MAX);
    kluis_wire_label(&b, "chatkluis-control-v1");
    for (int i = 0; i < argc; i++) { kluis_wire_str(&b, kluis_str_of(argv[i])); }
    KLUIS_TRY(kluis_buf_ok(&b, err));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot make a socket"); }
    kluis_status rc = KLUIS_E_BUG;
    KLUIS_AUTO_BUF(line, CONTROL_LINE_MAX);
    if (connect(fd, (const struct sockaddr *)&a, sizeof a) != 0) {
        rc = errno == ENOENT || errno == ECONNREFUSED ? KLUIS_E_NOTFOUND : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot reach the vault at '%s'", path);
        goto out;
    }
    uint8_t head[5];
    put32(head, b.len);
    rc = send_all(fd, head, 4, err);
    if (rc == KLUIS_OK) { rc = send_all(fd, b.data, b.len, err); }
    while (rc == KLUIS_OK) {
        rc = receive_all(fd, head, sizeof head, err);
        if (rc != KLUIS_OK) { break; }
        size_t n = get32(head + 1);
        kluis_buf_clear(&line);
        uint8_t *to = kluis_buf_reserve(&line, n);
        if (to == NULL) {
            rc = kluis_buf_ok(&line, err);
            break;
        }
        rc = receive_all(fd, to, n, err);
        if (rc != KLUIS_OK) { break; }
        if (head[0] == 'x' && n == 1) {
            *exit_code = to[0];
            break;
        }
        FILE *f = head[0] == 'o' ? stdout : stderr;
        if (fwrite(to, 1, n, f) != n || fputc('\n', f) == EOF) { rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot write the answer"); }
    }
    if (rc == KLUIS_OK && fflush(stdout) != 0) { rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot write the answer"); }
out:
    kluis_close_quiet(&fd);
    return rc;
}
