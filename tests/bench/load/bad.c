/* bad.c - what the other kinds do before they go on as honest ones, and what the gate has to say to it (docs/PROTOCOL.md §5.2). */
#include <fcntl.h>

#include "tests/bench/load/load.h"

enum { BODY_MAX = 64 << 20, ANSWER_MS = 60000, UPLOADS_BEGUN = 8 };

struct said {
    long status;
    int64_t offset;
};

static bool not_now(long status) { return status == 0 || status == 429 || status == 503 || status == 507; }

/* One request; waits out "not now" unless that is what is hoped for. */
static kluis_status ask(struct load_agent *a, const char *method, const char *path, struct kluis_bytes body, bool once, struct said *out)
{
    for (;;) {
        struct gate_reply r;
        gate_client_ask(a->client, method, path, body, NULL, &r);
        *out = (struct said){ r.status, r.offset };
        int64_t retry = r.retry_after;
        gate_reply_free(&r);
        if ((out->status == 429 || out->status == 503 || out->status == 507) && retry <= 0) {
            return load_wrong(a, "%ld without Retry-After", out->status);
        }
        if (once || !not_now(out->status)) { return KLUIS_OK; }
        if (load_over(a)) { return load_wrong(a, "time is over: %s %s is still answered %ld", method, path, out->status); }
        load_wait(a, retry);
    }
}

static kluis_status hope(struct load_agent *a, const char *what, const struct said *s, long one, long other)
{
    return s->status == one || s->status == other ? KLUIS_OK : load_wrong(a, "%s: %ld, neither %ld nor %ld", what, s->status, one, other);
}

static void put_path(const uint8_t upload[16], uint64_t offset, uint64_t length, char out[160])
{
    char id[33];
    courier_hex16(upload, id);
    (void)snprintf(out, 160, "/v1/upload/%s?offset=%llu&length=%llu", id, (unsigned long long)offset, (unsigned long long)length);
}

static kluis_status put(struct load_agent *a, const uint8_t upload[16], struct kluis_bytes all, uint64_t from, uint64_t to, bool once,
                        struct said *out)
{
    char path[160];
    put_path(upload, from, all.len, path);
    return ask(a, "PUT", path, (struct kluis_bytes){ all.ptr + from, (size_t)(to - from) }, once, out);
}

static kluis_status stands_at(struct load_agent *a, const uint8_t upload[16], struct said *out)
{
    char id[33], path[64];
    courier_hex16(upload, id);
    (void)snprintf(path, sizeof path, "/v1/upload/%s", id);
    return ask(a, "GET", path, (struct kluis_bytes){ NULL, 0 }, false, out);
}

struct message {
    char path[160];
    struct kluis_buf body;
};

static kluis_status message_of(struct load_agent *a, size_t i, struct message *m)
{
    struct kluis_err err = { 0 };
    uint8_t id[16];
    char message[33], upload[33];
    kluis_buf_init(&m->body, 65536);
    kluis_status rc = courier_message(a->c, &a->package[i], id, &m->body, &err);
    if (rc != KLUIS_OK) { return load_wrong(a, "message: %s", err.msg); }
    courier_hex16(id, message);
    courier_hex16(a->package[i].upload, upload);
    (void)snprintf(m->path, sizeof m->path, "/v1/message/%s?upload=%s", message, upload);
    return KLUIS_OK;
}

static kluis_status post(struct load_agent *a, size_t i, struct said *out)
{
    struct message m;
    kluis_status rc = message_of(a, i, &m);
    if (rc == KLUIS_OK) { rc = ask(a, "POST", m.path, kluis_buf_bytes(&m.body), false, out); }
    kluis_buf_free(&m.body);
    return rc;
}

static kluis_status begin_session(struct load_agent *a)
{
    for (;;) {
        struct kluis_err err = { 0 };
        kluis_status rc = courier_ensure_session(a->c, &err);
        if (rc == KLUIS_OK) { return rc; }
        if (rc != KLUIS_E_BUSY || load_over(a)) { return load_wrong(a, "session: %s", err.msg); }
        load_wait(a, courier_retry_after(a->c));
    }
}

/* ---- a line, and what is sent on it in pieces ---- */

/* Opens a line and sends the head of a request with that body.  A gate that has no place for one more is tried again. */
static kluis_status begin_line(struct load_agent *a, const char *method, const char *path, struct kluis_bytes body, struct gate_line **out)
{
    uint8_t sha[32];
    kluis_sha256_of(body.ptr, body.len, sha);
    for (;;) {
        KLUIS_AUTO_BUF(head, 4096);
        KLUIS_AUTO_BUF(login, KLUIS_LOGIN_HEADER_MAX + 1);
        *out = gate_line_open(a->client);
        if (*out != NULL) {
            gate_client_sign(a->client, method, path, sha, &login);
            kluis_buf_fmt(&head, "%s %s HTTP/1.1\r\nHost: gate\r\nAuthorization: %s\r\nContent-Length: %zu\r\n\r\n", method, path,
                          (const char *)login.data, body.len);
            if (gate_line_send(*out, head.data, head.len)) { return KLUIS_OK; }
            gate_line_close(*out);
            *out = NULL;
        }
        if (load_over(a)) { return load_wrong(a, "time is over, and the gate gives no connection"); }
        load_wait(a, 1);
    }
}

/* The status of the answer on a line; 0: it ended without one. */
static long line_status(struct gate_line *l)
{
    KLUIS_AUTO_BUF(got, 1 << 16);
    int64_t until = kluis_monotonic_us() + (int64_t)ANSWER_MS * 1000;
    bool open = true;
    while (open && got.len < 12 && kluis_monotonic_us() < until) { open = gate_line_read(l, 1000, &got); }
    if (got.len < 12 || memcmp(got.data, "HTTP/1.1 ", 9) != 0) { return 0; }
    char digits[4] = { 0 };
    memcpy(digits, got.data + 9, 3);
    return strtol(digits, NULL, 10);
}

/* ---- the kinds ---- */

static kluis_status slow(struct load_agent *a, size_t i, struct kluis_bytes all)
{
    for (;;) {
        char path[160];
        struct gate_line *l = NULL;
        put_path(a->package[i].upload, 0, all.len, path);
        KLUIS_TRY(begin_line(a, "PUT", path, all, &l));
        size_t pieces = 4 + (size_t)load_draw(a, 16), sent = 0;
        bool open = true;
        for (size_t k = 0; k < pieces && open && sent < all.len; k++) {
            size_t n = k + 1 == pieces ? all.len - sent : all.len / pieces;
            open = gate_line_send(l, all.ptr + sent, n);
            sent += n;
            kluis_sleep_us(20000 + (int64_t)load_draw(a, 200000));
        }
        long status = line_status(l);
        gate_line_close(l);
        if (status == 204) { return KLUIS_OK; }
        if (!not_now(status)) { return load_wrong(a, "a slow upload: %ld", status); }
        if (load_over(a)) { return load_wrong(a, "time is over: a slow upload is still answered %ld", status); }
        load_wait(a, 1);
    }
}

/* Sends a part of a request's body, none or all but a byte at most, and hangs up. */
static kluis_status hang_up(struct load_agent *a, const char *method, const char *path, struct kluis_bytes body, size_t part)
{
    struct gate_line *l = NULL;
    KLUIS_TRY(begin_line(a, method, path, body, &l));
    (void)gate_line_send(l, body.ptr, part);
    gate_line_close(l);
    return KLUIS_OK;
}

static kluis_status cut(struct load_agent *a, size_t i, struct kluis_bytes all)
{
    const uint8_t *up = a->package[i].upload;
    uint64_t middle = 1 + load_draw(a, all.len - 1);
    struct said s;
    char path[160];
    put_path(up, 0, all.len, path);
    KLUIS_TRY(hang_up(a, "PUT", path, all, (size_t)load_draw(a, all.len)));
    KLUIS_TRY(stands_at(a, up, &s));
    KLUIS_TRY(hope(a, "the offset of an upload whose first chunk was cut", &s, 404, 404));
    KLUIS_TRY(put(a, up, all, 0, middle, false, &s));
    KLUIS_TRY(hope(a, "the first chunk after a cut", &s, 204, 204));
    put_path(up, middle, all.len, path);
    struct kluis_bytes rest = { all.ptr + middle, all.len - (size_t)middle };
    for (uint64_t cuts = 1 + load_draw(a, 3); cuts > 0; cuts--) {
        KLUIS_TRY(hang_up(a, "PUT", path, rest, (size_t)load_draw(a, rest.len)));
        KLUIS_TRY(stands_at(a, up, &s));
        if (s.status != 200 || s.offset != (int64_t)middle) {
            return load_wrong(a, "after a cut the upload stands at %lld (%ld), not at %llu", (long long)s.offset, s.status,
                              (unsigned long long)middle);
        }
    }
    KLUIS_TRY(put(a, up, all, middle, all.len, false, &s));
    KLUIS_TRY(hope(a, "the rest after cuts", &s, 204, 204));
    /* The message goes, its answer is never read: the agent does not know whether it was taken. */
    struct message m;
    kluis_status rc = message_of(a, i, &m);
    if (rc == KLUIS_OK) { rc = hang_up(a, "POST", m.path, kluis_buf_bytes(&m.body), m.body.len); }
    kluis_buf_free(&m.body);
    return rc;
}

static kluis_status duplicated(struct load_agent *a, size_t i, struct kluis_bytes all)
{
    const uint8_t *up = a->package[i].upload;
    struct gate_line *l = NULL;
    struct said s;
    char path[160];
    put_path(up, 0, all.len, path);
    KLUIS_TRY(begin_line(a, "PUT", path, all, &l));
    bool open = gate_line_send(l, all.ptr, all.len / 2);
    kluis_status rc = put(a, up, all, 0, all.len, false, &s);
    if (rc == KLUIS_OK) { rc = hope(a, "one of two uploads at once", &s, 204, 409); } /* 409: the other's half came first and counted none */
    if (rc == KLUIS_OK && open && gate_line_send(l, all.ptr + all.len / 2, all.len - all.len / 2)) {
        long status = line_status(l);
        if (!not_now(status) && status != 409) { rc = load_wrong(a, "the other of two uploads at once: %ld", status); }
    }
    gate_line_close(l);
    KLUIS_TRY(rc);
    KLUIS_TRY(put(a, up, all, 0, all.len, false, &s));
    KLUIS_TRY(hope(a, "the same chunk again", &s, 409, 409));
    if (s.offset != (int64_t)all.len) { return load_wrong(a, "the same chunk again: the upload stands at %lld", (long long)s.offset); }
    KLUIS_TRY(post(a, i, &s));
    KLUIS_TRY(hope(a, "a message", &s, 202, 202));
    KLUIS_TRY(post(a, i, &s));
    return hope(a, "the same message again", &s, 200, 409); /* 409: the vault has it, and the gate forgot the upload */
}

/* All was acknowledged, and the device has forgotten that: the vault has to answer as before. */
static kluis_status again(struct load_agent *a, size_t i, struct kluis_bytes all)
{
    struct said s;
    for (int tries = 0;; tries++) {
        KLUIS_TRY(put(a, a->package[i].upload, all, 0, all.len, false, &s));
        KLUIS_TRY(hope(a, "an upload after its receipt", &s, 204, 409)); /* 409: the gate is about to forget the one before */
        KLUIS_TRY(post(a, i, &s));
        if (s.status != 409 || tries == 5) { return hope(a, "a message after its receipt", &s, 202, 200); }
        kluis_sleep_us(200000);
    }
}

static kluis_status reordered(struct load_agent *a, size_t i, struct kluis_bytes all)
{
    const uint8_t *up = a->package[i].upload;
    uint64_t middle = 1 + load_draw(a, all.len - 1);
    struct said s;
    KLUIS_TRY(post(a, i, &s));
    KLUIS_TRY(hope(a, "a message before its upload", &s, 409, 409));
    KLUIS_TRY(put(a, up, all, middle, all.len, false, &s));
    KLUIS_TRY(hope(a, "the second chunk first", &s, 409, 409));
    if (s.offset != 0) { return load_wrong(a, "the second chunk first: the upload stands at %lld", (long long)s.offset); }
    KLUIS_TRY(put(a, up, all, 0, middle, false, &s));
    KLUIS_TRY(hope(a, "then the first", &s, 204, 204));
    KLUIS_TRY(post(a, i, &s));
    KLUIS_TRY(hope(a, "a message before the end of its upload", &s, 409, 409));
    KLUIS_TRY(put(a, up, all, middle, all.len, false, &s));
    KLUIS_TRY(hope(a, "then the second", &s, 204, 204));
    KLUIS_TRY(post(a, i, &s));
    return hope(a, "the last package's message first", &s, 202, 202);
}

static kluis_status unfinished(struct load_agent *a, struct kluis_bytes all)
{
    uint8_t id[UPLOADS_BEGUN + 1][16];
    struct gate_line *line[UPLOADS_BEGUN] = { NULL };
    uint64_t half = all.len / 2;
    struct said s;
    kluis_random(id, sizeof id);
    kluis_status rc = KLUIS_OK;
    for (size_t k = 0; k < UPLOADS_BEGUN && rc == KLUIS_OK; k++) {
        rc = put(a, id[k], all, 0, half, false, &s);
        if (rc == KLUIS_OK) { rc = hope(a, "an upload that will not be finished", &s, 204, 204); }
    }
    s.status = 0;
    while (rc == KLUIS_OK && s.status == 0 && !load_over(a)) { rc = put(a, id[UPLOADS_BEGUN], all, 0, half, true, &s); }
    if (rc == KLUIS_OK) { rc = hope(a, "one upload more than a device may begin", &s, 429, 507); }
    struct kluis_bytes rest = { all.ptr + half, all.len - (size_t)half };
    for (size_t k = 0; k < UPLOADS_BEGUN && rc == KLUIS_OK; k++) {
        char path[160];
        put_path(id[k], half, all.len, path);
        rc = begin_line(a, "PUT", path, rest, &line[k]);
    }
    int64_t until = kluis_monotonic_us() + a->setup->hold_s * 1000000;
    for (size_t sent = 0; rc == KLUIS_OK && kluis_monotonic_us() < until && !load_over(a); sent++) {
        kluis_sleep_us(500000);
        for (size_t k = 0; k < UPLOADS_BEGUN; k += 2) { /* half of them trickle, half are silent */
            if (sent + 1 < rest.len) { (void)gate_line_send(line[k], rest.ptr + sent, 1); }
        }
    }
    for (size_t k = 0; k < UPLOADS_BEGUN; k++) { gate_line_close(line[k]); }
    return rc;
}

/* ---- ---- */

static kluis_status read_package(struct load_agent *a, size_t i, struct kluis_buf *out)
{
    char path[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    kluis_status rc = stock_file(a->h, a->package[i].id, path, &err);
    if (rc == KLUIS_OK) { rc = kluis_read_file(path, BODY_MAX, out, &err); }
    return rc == KLUIS_OK ? rc : load_wrong(a, "%s", err.msg);
}

static kluis_status one_package(struct load_agent *a, size_t i, kluis_status (*how)(struct load_agent *, size_t, struct kluis_bytes))
{
    KLUIS_AUTO_BUF(all, BODY_MAX);
    KLUIS_TRY(read_package(a, i, &all));
    if (a->began_us[i] == 0) { a->began_us[i] = kluis_monotonic_us(); }
    return how(a, i, kluis_buf_bytes(&all));
}

static kluis_status each(struct load_agent *a, kluis_status (*how)(struct load_agent *, size_t, struct kluis_bytes), bool backwards)
{
    for (size_t n = a->r->packages, k = 0; k < n; k++) { KLUIS_TRY(one_package(a, backwards ? n - 1 - k : k, how)); }
    return KLUIS_OK;
}

static kluis_status unfinished_all(struct load_agent *a)
{
    KLUIS_AUTO_BUF(all, BODY_MAX);
    KLUIS_TRY(read_package(a, 0, &all));
    return unfinished(a, kluis_buf_bytes(&all));
}

static kluis_status misbehave(struct load_agent *a)
{
    switch (a->r->kind) {
    case LOAD_SLOW: return each(a, slow, false);
    case LOAD_CUT: KLUIS_TRY(begin_session(a)); return each(a, cut, false);
    case LOAD_DUPLICATED: KLUIS_TRY(begin_session(a)); return each(a, duplicated, false);
    case LOAD_REORDERED: KLUIS_TRY(begin_session(a)); return each(a, reordered, true);
    case LOAD_UNFINISHED: return unfinished_all(a);
    case LOAD_HONEST:
    case LOAD_KINDS: break;
    }
    return KLUIS_OK;
}

kluis_status load_bad(struct load_agent *a)
{
    load_take(a);
    kluis_status rc = misbehave(a);
    load_give(a);
    if (rc != KLUIS_OK || a->r->kind != LOAD_DUPLICATED) { return rc; }
    KLUIS_TRY(load_honest(a));
    load_take(a);
    rc = each(a, again, false);
    load_give(a);
    return rc;
}
