/* server/control/control.c - the vault's command socket.  See control.h. */
#include "server/control/control.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/local/local.h"

/* ---- serving ---- */

struct control {
    struct local *local;
    control_handler *handler;
    void *ctx;
};

struct job {
    struct control *c;
    int fd;
};

static kluis_status job_line(void *ctx, char kind, struct kluis_str line, struct kluis_err *err)
{
    const struct job *j = ctx;
    if (line.len > CONTROL_LINE_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "a command's output line is too long"); }
    return local_frame(j->fd, kind, line.ptr == NULL ? "" : line.ptr, line.len, err);
}

static kluis_status job_run(struct job *j, struct kluis_err *err)
{
    uint8_t head[4];
    KLUIS_TRY(local_receive(j->fd, head, 4, err));
    size_t n = local_get32(head);
    KLUIS_AUTO_BUF(b, CONTROL_REQUEST_MAX);
    uint8_t *to = kluis_buf_reserve(&b, n);
    if (to == NULL) { return kluis_buf_ok(&b, err); }
    KLUIS_TRY(local_receive(j->fd, to, n, err));
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

static bool peer_allowed(int fd)
{
    struct ucred who;
    socklen_t n = sizeof who;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 && (who.uid == 0 || who.uid == geteuid());
}

static void refuse(KLUIS_UNUSED void *ctx, int fd)
{
    static const char busy[] = "refused: too many commands at once, or not your vault";
    static const uint8_t code = 75;
    (void)local_frame(fd, 'e', busy, sizeof busy - 1, NULL);
    (void)local_frame(fd, 'x', &code, 1, NULL);
}

static void serve(void *ctx, int fd)
{
    struct job j = { ctx, fd };
    struct kluis_err err = { 0 };
    if (!peer_allowed(fd)) {
        refuse(ctx, fd);
        return;
    }
    kluis_status rc = job_run(&j, &err);
    if (rc != KLUIS_OK) { (void)local_frame(fd, 'e', err.msg, strlen(err.msg), NULL); } /* the caller may be gone */
    uint8_t code = (uint8_t)kluis_exit_code(rc);
    (void)local_frame(fd, 'x', &code, 1, NULL);
}

kluis_status control_start(struct control **out, int fd, control_handler *handler, void *ctx, struct kluis_err *err)
{
    *out = NULL;
    struct control *c = kluis_calloc(1, sizeof *c);
    if (c == NULL) {
        kluis_close_quiet(&fd);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory");
    }
    c->handler = handler;
    c->ctx = ctx;
    const struct local_config lc = { .fd = fd, .at_once = CONTROL_AT_ONCE, .seconds = LOCAL_SECONDS, .handle = serve, .full = refuse, .ctx = c };
    kluis_status rc = local_start(&c->local, &lc, err);
    if (rc != KLUIS_OK) {
        kluis_free(c);
        return rc;
    }
    *out = c;
    return KLUIS_OK;
}

void control_stop(struct control *c)
{
    if (c == NULL) { return; }
    local_stop(c->local);
    kluis_free(c);
}

/* ---- calling ---- */

kluis_status control_call(const char *path, int argc, const char *const *argv, int *exit_code, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(b, CONTROL_REQUEST_MAX);
    kluis_wire_label(&b, "chatkluis-control-v1");
    for (int i = 0; i < argc; i++) { kluis_wire_str(&b, kluis_str_of(argv[i])); }
    KLUIS_TRY(kluis_buf_ok(&b, err));
    KLUIS_AUTO_BUF(line, CONTROL_LINE_MAX);
    int fd = -1;
    kluis_status rc = local_connect(path, 0, &fd, err);
    if (rc != KLUIS_OK) { return rc; }
    uint8_t length[4];
    local_put32(length, b.len);
    rc = local_send(fd, length, sizeof length, err);
    if (rc == KLUIS_OK) { rc = local_send(fd, b.data, b.len, err); }
    while (rc == KLUIS_OK) {
        char kind = 0;
        kluis_buf_clear(&line);
        rc = local_unframe(fd, &kind, &line, err);
        if (rc != KLUIS_OK) { break; }
        if (kind == 'x' && line.len == 1) {
            *exit_code = line.data[0];
            break;
        }
        FILE *f = kind == 'o' ? stdout : stderr;
        if ((line.len > 0 && fwrite(line.data, 1, line.len, f) != line.len) || fputc('\n', f) == EOF) {
            rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot write the answer");
        }
    }
    if (rc == KLUIS_OK && fflush(stdout) != 0) { rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot write the answer"); }
    kluis_close_quiet(&fd);
    return rc;
}
