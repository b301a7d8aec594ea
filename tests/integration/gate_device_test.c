/* gate_device_test.c - promises to devices: only who may, only what was signed, only what is on disk. */
#include "tests/integration/gate_world.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PATH1 "/v1/upload/" UP1
#define PATH2 "/v1/upload/" UP2

static void what_is_no_route_gets_one_line(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    struct gate_reply r;
    gate_client_ask(w->anyone, "GET", "/v1/health", none(), NULL, &r);
    assert_int_equal(r.status, 200);
    assert_int_equal(r.body.len, 3);
    assert_memory_equal(r.body.data, "ok\n", 3);
    gate_reply_free(&r);
    static const struct {
        const char *method, *path;
        long status;
    } BAD[] = { { "GET", "/", 404 },
                { "GET", "/v1/healthy", 404 },
                { "POST", "/v1/health", 405 },
                { "GET", "/v1/health?x=1", 400 },
                { "GET", "/v1/../v1/health", 404 },
                { "GET", "/checkpoint", 404 },
                { "GET", "/tile/0/000", 404 },
                { "OPTIONS", "/v1/health", 405 } };
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        gate_client_ask(w->anyone, BAD[i].method, BAD[i].path, none(), NULL, &r);
        assert_int_equal(r.status, BAD[i].status);
        assert_true(r.body.len > 5 && r.body.data[r.body.len - 1] == '\n');
        assert_ptr_equal(memchr(r.body.data, '\n', r.body.len), r.body.data + r.body.len - 1);
        gate_reply_free(&r);
    }
    world_free(w);
}

static long lied(struct world *w, const char *path, const struct gate_lie *lie)
{
    struct gate_reply r;
    gate_client_ask(w->device, "GET", path, none(), lie, &r);
    if (r.status == 401) { assert_int_equal(strlen(r.nonce), 43); } /* one more try is always possible */
    gate_reply_free(&r);
    return r.status;
}

static void a_login_that_is_not_the_right_one_is_refused(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    clock_stop();
    assert_int_equal(lied(w, "/v1/inbox", NULL), 204);
    assert_int_equal(lied(w, "/v1/inbox", &(struct gate_lie){ .authorization = "Basic YTpi" }), 401);
    assert_int_equal(lied(w, "/v1/inbox", &(struct gate_lie){ .key = w->other_key }), 401);
    assert_int_equal(lied(w, "/v1/inbox", &(struct gate_lie){ .id = OTHER }), 401);
    /* Whom the gate does not know: until the vault has named all devices, which its bundle says, it cannot tell. */
    KLUIS_AUTO_BUF(bundle, 1 << 16);
    struct gate_reply r;
    const struct gate_lie nobody = { .id = UP1 };
    gate_client_ask(w->device, "GET", "/v1/inbox", none(), &nobody, &r);
    assert_int_equal(r.status, 503);
    assert_true(r.retry_after > 0);
    assert_non_null(memmem(r.body.data, r.body.len, "not heard from its vault", 24));
    gate_reply_free(&r);
    gate_body_bundle(&bundle, 1, (uint64_t)kluis_now_us() + UINT64_C(86400000000), 1, 3);
    ASK(w->vault, "PUT", "/vault/v1/bundle", kluis_buf_bytes(&bundle), 204);
    assert_int_equal(lied(w, "/v1/inbox", &nobody), 401);
    assert_int_equal(lied(w, "/v1/inbox", &(struct gate_lie){ .gate = "elsewhere:443" }), 401);
    assert_int_equal(lied(w, "/v1/inbox", &(struct gate_lie){ .path = "/v1/bundle" }), 401);
    assert_int_equal(lied(w, "/v1/inbox", &(struct gate_lie){ .path = "/v1/inbox?wait=1" }), 401);
    assert_int_equal(lied(w, "/v1/inbox", &(struct gate_lie){ .time_shift_s = 301 }), 401);
    assert_int_equal(lied(w, "/v1/inbox", &(struct gate_lie){ .time_shift_s = -301 }), 401);
    assert_int_equal(lied(w, "/v1/inbox", &(struct gate_lie){ .time_shift_s = 300 }), 204);
    assert_int_equal(lied(w, "/v1/inbox", &(struct gate_lie){ .time_shift_s = -300 }), 204);
    assert_int_equal(lied(w, "/v1/inbox", &(struct gate_lie){ .nonce = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }), 401);
    /* Each side has its own routes. */
    assert_int_equal(lied(w, "/vault/v1/next?after=0", NULL), 401);
    assert_int_equal(lied(w, "/vault/v1/next?after=0", &(struct gate_lie){ .id = "vault" }), 401);
    ASK(w->vault, "GET", "/v1/inbox", none(), 401);
    ASK(w->anyone, "GET", "/v1/inbox", none(), 401);
    ASK(w->anyone, "GET", "/vault/v1/next?after=0", none(), 401);
    world_free(w);
}

static void fresh_nonce(struct world *w, char nonce[44])
{
    struct gate_reply r;
    gate_client_ask(w->anyone, "GET", "/v1/nonce", none(), NULL, &r);
    assert_int_equal(r.body.len, 43);
    memcpy(nonce, r.body.data, 43);
    nonce[43] = '\0';
    gate_reply_free(&r);
}

/* Refused for this reason and no other. */
static void refused_nonce(struct world *w, const char *nonce, const char *because)
{
    struct gate_reply r;
    gate_client_ask(w->device, "GET", "/v1/inbox", none(), &(struct gate_lie){ .nonce = nonce }, &r);
    assert_int_equal(r.status, 401);
    assert_int_equal(strlen(r.nonce), 43);
    assert_non_null(memmem(r.body.data, r.body.len, because, strlen(because)));
    gate_reply_free(&r);
}

static void a_nonce_serves_one_request_and_not_for_long(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    char nonce[44];
    fresh_nonce(w, nonce);
    assert_int_equal(lied(w, "/v1/inbox", &(struct gate_lie){ .nonce = nonce }), 204);
    refused_nonce(w, nonce, "used before");
    assert_int_equal(lied(w, "/v1/inbox", NULL), 204); /* with the nonce that came with the refusal */
    /* A nonce of the run before is none. */
    fresh_nonce(w, nonce);
    world_stop(w);
    w->config.limits.nonce_s = 1;
    world_start(w);
    refused_nonce(w, nonce, "present run");
    fresh_nonce(w, nonce);
    kluis_sleep_us(2000000); /* whole seconds count: a life of one is over after two at the latest */
    refused_nonce(w, nonce, "stale");
    world_free(w);
}

static void a_suspended_device_is_refused_until_it_is_active_again(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    world_device(w, DEVICE, w->device_key, 2);
    ASK(w->device, "GET", "/v1/inbox", none(), 403);
    ASK(w->device, "PUT", PATH1 "?offset=0&length=1", bytes_of("x"), 403);
    ASK(w->other, "GET", "/v1/inbox", none(), 204);
    world_stop(w);
    world_start(w);
    ASK(w->device, "GET", "/v1/inbox", none(), 403);
    world_device(w, DEVICE, w->device_key, 1);
    ASK(w->device, "GET", "/v1/inbox", none(), 204);
    world_free(w);
}

static int64_t offset_of(struct world *w, const char *path)
{
    struct gate_reply r;
    gate_client_ask(w->device, "GET", path, none(), NULL, &r);
    assert_true(r.status == 200 || r.status == 404);
    gate_reply_free(&r);
    return r.status == 200 ? r.offset : -1;
}

static void chunks_go_on_where_the_last_counted(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    KLUIS_AUTO_BUF(data, 1 << 20);
    struct kluis_bytes all = pattern(&data, 300000, 1);
    struct kluis_bytes first = { all.ptr, 100000 };
    struct kluis_bytes rest = { all.ptr + 100000, 200000 };
    struct gate_reply r;
    assert_int_equal(offset_of(w, PATH1), -1);
    steps_reset();
    gate_client_ask(w->device, "PUT", PATH1 "?offset=0&length=300000", first, NULL, &r);
    assert_int_equal(r.status, 204);
    assert_int_equal(r.offset, 100000);
    gate_reply_free(&r);
    /* On disk before it is said: name, bytes, row. */
    const char *create = strstr(steps_seen(), "gate.upload.create");
    const char *chunk = strstr(steps_seen(), "gate.upload.chunk");
    const char *row = strstr(steps_seen(), "gate.upload.offset");
    assert_non_null(create);
    assert_non_null(chunk);
    assert_non_null(row);
    assert_true(create < chunk && chunk < row);
    assert_int_equal(offset_of(w, PATH1), 100000);
    /* Not where it stands: told where. */
    static const char *const WRONG[] = { PATH1 "?offset=0&length=300000", PATH1 "?offset=100001&length=300001", PATH1 "?offset=99999&length=300000",
                                         PATH1 "?offset=100000&length=300001" };
    for (size_t i = 0; i < 4; i++) {
        gate_client_ask(w->device, "PUT", WRONG[i], first, NULL, &r);
        assert_int_equal(r.status, 409);
        assert_int_equal(r.offset, 100000);
        gate_reply_free(&r);
    }
    /* Past its declared end. */
    gate_client_ask(w->device, "PUT", PATH1 "?offset=100000&length=300000", all, NULL, &r);
    assert_int_equal(r.status, 413);
    gate_reply_free(&r);
    /* Across a restart. */
    world_stop(w);
    world_start(w);
    assert_int_equal(offset_of(w, PATH1), 100000);
    gate_client_ask(w->device, "PUT", PATH1 "?offset=100000&length=300000", rest, NULL, &r);
    assert_int_equal(r.status, 204);
    assert_int_equal(r.offset, 300000);
    gate_reply_free(&r);
    ASK(w->device, "PUT", PATH1 "?offset=300000&length=300000", bytes_of("x"), 413);
    ASK(w->device, "PUT", PATH1 "?offset=300000&length=300001", bytes_of("x"), 409);
    gate_client_ask(w->vault, "GET", "/vault/v1/upload/" UP1, none(), NULL, &r);
    assert_int_equal(r.status, 200);
    assert_int_equal(r.body.len, all.len);
    assert_memory_equal(r.body.data, all.ptr, all.len);
    gate_reply_free(&r);
    gate_client_ask(w->vault, "GET", "/vault/v1/upload/" UP1, none(), &(struct gate_lie){ .range = "bytes=250000-" }, &r);
    assert_int_equal(r.status, 206);
    assert_int_equal(r.body.len, 50000);
    assert_memory_equal(r.body.data, all.ptr + 250000, 50000);
    assert_string_equal(r.content_range, "bytes 250000-299999/300000");
    gate_reply_free(&r);
    gate_client_ask(w->vault, "GET", "/vault/v1/upload/" UP1, none(), &(struct gate_lie){ .range = "bytes=300000-" }, &r);
    assert_int_equal(r.status, 416);
    gate_reply_free(&r);
    world_free(w);
}

static void fetch_body(struct kluis_buf *b, const char *const *ids, size_t n)
{
    kluis_wire_label(b, "chatkluis-fetch-v1");
    for (size_t i = 0; i < n; i++) {
        uint8_t id[16];
        assert_true(kluis_unhex(kluis_str_of(ids[i]), id, sizeof id));
        kluis_wire_field(b, id, sizeof id);
    }
}

/* One part of an answer at *at: its bytes, or none. */
static struct kluis_bytes fetched(const struct kluis_buf *b, size_t *at)
{
    uint64_t n = 0;
    assert_true(b->len - *at >= 8);
    for (int i = 0; i < 8; i++) { n = n << 8 | b->data[(*at)++]; }
    assert_true(n <= b->len - *at);
    struct kluis_bytes part = { b->data + *at, (size_t)n };
    *at += (size_t)n;
    return part;
}

static void many_uploads_come_in_one_answer_in_the_order_asked(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    struct gate_reply r = { 0 };
    size_t at = 0;
    KLUIS_AUTO_BUF(data, 1 << 20);
    KLUIS_AUTO_BUF(ask, 1 << 16);
    struct kluis_bytes all = pattern(&data, 300000, 7); /* more than one block */
    const char *const ids[] = { UP2, "cccccccccccccccccccccccccccccccc", UP1, UP1 };
    ASK(w->device, "PUT", "/v1/upload/" UP1 "?offset=0&length=300000", all, 204);
    ASK(w->device, "PUT", "/v1/upload/" UP2 "?offset=0&length=5", bytes_of("small"), 204);
    fetch_body(&ask, ids, 4);
    gate_client_ask(w->vault, "POST", "/vault/v1/fetch", kluis_buf_bytes(&ask), NULL, &r);
    assert_int_equal(r.status, 200);
    struct kluis_bytes p = fetched(&r.body, &at);
    assert_int_equal(p.len, 5);
    assert_memory_equal(p.ptr, "small", 5);
    assert_int_equal(fetched(&r.body, &at).len, 0); /* there is no such upload */
    for (int i = 0; i < 2; i++) {
        p = fetched(&r.body, &at);
        assert_int_equal(p.len, all.len);
        assert_memory_equal(p.ptr, all.ptr, all.len);
    }
    assert_int_equal(at, r.body.len);
    gate_reply_free(&r);
    ASK(w->device, "POST", "/vault/v1/fetch", kluis_buf_bytes(&ask), 401); /* the vault's alone */
    ASK(w->vault, "POST", "/vault/v1/fetch", bytes_of("nonsense"), 400);
    world_free(w);
}

static void an_answer_of_many_uploads_has_a_ceiling(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    const char *ids[65];
    KLUIS_AUTO_BUF(data, 8 << 20);
    KLUIS_AUTO_BUF(ask, 1 << 16);
    for (size_t i = 0; i < 65; i++) { ids[i] = UP1; }
    fetch_body(&ask, ids, 65);
    ASK(w->vault, "POST", "/vault/v1/fetch", kluis_buf_bytes(&ask), 413);
    kluis_buf_clear(&ask);
    fetch_body(&ask, ids, 64);
    ASK(w->vault, "POST", "/vault/v1/fetch", kluis_buf_bytes(&ask), 200); /* 64 times nothing */
    ASK(w->device, "PUT", "/v1/upload/" UP1 "?offset=0&length=4000000", pattern(&data, 4000000, 1), 204);
    kluis_buf_clear(&ask);
    fetch_body(&ask, ids, 4);
    ASK(w->vault, "POST", "/vault/v1/fetch", kluis_buf_bytes(&ask), 200);
    kluis_buf_clear(&ask);
    fetch_body(&ask, ids, 5);
    ASK(w->vault, "POST", "/vault/v1/fetch", kluis_buf_bytes(&ask), 413);
    kluis_buf_clear(&ask);
    fetch_body(&ask, ids, 0);
    ASK(w->vault, "POST", "/vault/v1/fetch", kluis_buf_bytes(&ask), 400);
    world_free(w);
}

static int64_t bytes_of_upload(const struct world *w, const char *id)
{
    char path[160];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/uploads/%s", w->dir, id);
    return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

static void a_chunk_counts_only_whole_and_as_signed(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    KLUIS_AUTO_BUF(data, 1 << 20);
    struct kluis_bytes all = pattern(&data, 200000, 2);
    struct gate_reply r;
    uint8_t sha[32];
    kluis_sha256_of("other", 5, sha);
    gate_client_ask(w->device, "PUT", PATH1 "?offset=0&length=200000", all, &(struct gate_lie){ .body_sha256 = sha }, &r);
    assert_int_equal(r.status, 400);
    gate_reply_free(&r);
    assert_int_equal(offset_of(w, PATH1), -1);
    assert_int_equal(files_in(w), 0);
    ASK(w->device, "PUT", PATH1 "?offset=0&length=200000", part(all.ptr, 1000), 204);
    gate_client_ask(w->device, "PUT", PATH1 "?offset=1000&length=200000", all, &(struct gate_lie){ .body_sha256 = sha }, &r);
    assert_true(r.status == 413);
    gate_reply_free(&r);
    gate_client_ask(w->device, "PUT", PATH1 "?offset=1000&length=200000", (struct kluis_bytes){ all.ptr + 1000, 1000 },
                    &(struct gate_lie){ .body_sha256 = sha }, &r);
    assert_int_equal(r.status, 400);
    gate_reply_free(&r);
    assert_int_equal(offset_of(w, PATH1), 1000);
    /* Cut in the middle of the chunk, when the gate has the first half of it: nothing of that counts, and the next try is taken at once. */
    KLUIS_AUTO_BUF(login, 2048);
    KLUIS_AUTO_BUF(request, 1 << 20);
    kluis_sha256_of(all.ptr + 1000, 199000, sha);
    gate_client_sign(w->device, "PUT", PATH1 "?offset=1000&length=200000", sha, &login);
    kluis_buf_fmt(&request, "PUT " PATH1 "?offset=1000&length=200000 HTTP/1.1\r\nHost: %s\r\nContent-Length: 199000\r\nAuthorization: %s\r\n\r\n",
                  w->address, (const char *)login.data);
    kluis_buf_add(&request, all.ptr + 1000, 100000);
    struct gate_line *line = gate_line_open(w->device);
    assert_non_null(line);
    assert_true(gate_line_send(line, request.data, request.len));
    UNTIL(bytes_of_upload(w, UP1) == 101000);
    gate_line_close(line);
    assert_int_equal(offset_of(w, PATH1), 1000);
    ASK(w->device, "PUT", PATH1 "?offset=1000&length=200000", part(all.ptr + 1000, 199000), 204);
    gate_client_ask(w->vault, "GET", "/vault/v1/upload/" UP1, none(), NULL, &r);
    assert_int_equal(r.body.len, all.len);
    assert_memory_equal(r.body.data, all.ptr, all.len);
    gate_reply_free(&r);
    world_free(w);
}

static void an_id_belongs_to_the_device_that_used_it_first(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    ASK(w->device, "PUT", PATH1 "?offset=0&length=4", bytes_of("ab"), 204);
    ASK(w->other, "GET", PATH1, none(), 404);
    ASK(w->other, "PUT", PATH1 "?offset=2&length=4", bytes_of("cd"), 403);
    ASK(w->other, "PUT", PATH1 "?offset=0&length=4", bytes_of("cd"), 403);
    ASK(w->device, "PUT", PATH1 "?offset=2&length=4", bytes_of("cd"), 204);
    ASK(w->other, "POST", "/v1/message/" MSG1 "?upload=" UP1, bytes_of("m"), 409);
    ASK(w->device, "POST", "/v1/message/" MSG1 "?upload=" UP1, bytes_of("m"), 202);
    ASK(w->other, "POST", "/v1/message/" MSG1, bytes_of("m"), 409);
    world_free(w);
}

static void a_message_is_stored_once(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    ASK(w->device, "POST", "/v1/message/" MSG1 "?upload=" UP1, bytes_of("one"), 409); /* no such upload */
    ASK(w->device, "PUT", PATH1 "?offset=0&length=4", bytes_of("ab"), 204);
    ASK(w->device, "POST", "/v1/message/" MSG1 "?upload=" UP1, bytes_of("one"), 409); /* incomplete */
    ASK(w->vault, "GET", "/vault/v1/upload/" UP1, none(), 404);
    ASK(w->device, "PUT", PATH1 "?offset=2&length=4", bytes_of("cd"), 204);
    steps_reset();
    ASK(w->device, "POST", "/v1/message/" MSG1 "?upload=" UP1, bytes_of("one"), 202);
    assert_non_null(strstr(steps_seen(), "gate.message.commit"));
    ASK(w->device, "POST", "/v1/message/" MSG1 "?upload=" UP1, bytes_of("one"), 200);
    ASK(w->device, "POST", "/v1/message/" MSG1 "?upload=" UP1, bytes_of("two"), 409);
    ASK(w->device, "POST", "/v1/message/" MSG1, bytes_of("one"), 409);
    ASK(w->device, "POST", "/v1/message/" MSG2, none(), 400);
    world_stop(w);
    world_start(w);
    ASK(w->device, "POST", "/v1/message/" MSG1 "?upload=" UP1, bytes_of("one"), 200);
    struct gate_status s;
    assert_int_equal(gate_status_read(w->gate, &s, NULL), KLUIS_OK);
    assert_int_equal(s.queued, 1);
    assert_int_equal(s.uploads, 1);
    world_free(w);
}

static void every_ceiling_says_try_later_or_too_large(void **state)
{
    (void)state;
    struct gate_config c = { .limits = { .queue = 3, .queue_per_device = 2, .uploads_per_device = 2, .upload_bytes = 1000000 } };
    struct world *w = world_new(&c);
    struct gate_reply r;
    KLUIS_AUTO_BUF(data, 16 << 20);
    struct kluis_bytes big = pattern(&data, (8 << 20) + 1, 3);
    ASK(w->device, "PUT", PATH1 "?offset=0&length=1000001", bytes_of("x"), 413);
    ASK(w->device, "PUT", PATH1 "?offset=0&length=1000", none(), 400);
    gate_client_ask(w->device, "PUT", PATH1 "?offset=0&length=900000", big, NULL, &r);
    assert_true(r.status == 413 || r.status == 0); /* past 8 MiB the gate need not hear the body out */
    gate_reply_free(&r);
    ASK(w->device, "POST", "/v1/message/" MSG1, part(big.ptr, (64 << 10) + 1), 413);
    ASK(w->device, "POST", "/v1/message/" MSG1, part(big.ptr, 64 << 10), 202);
    ASK(w->device, "POST", "/v1/message/" MSG2, bytes_of("2"), 202);
    gate_client_ask(w->device, "POST", "/v1/message/" MSG3, bytes_of("3"), NULL, &r);
    assert_int_equal(r.status, 429); /* its own share */
    assert_true(r.retry_after > 0);
    gate_reply_free(&r);
    ASK(w->other, "POST", "/v1/message/" MSG3, bytes_of("3"), 202);
    ASK(w->other, "POST", "/v1/message/" UP1, bytes_of("4"), 429); /* everybody's */
    ASK(w->device, "PUT", PATH1 "?offset=0&length=10", bytes_of("x"), 204);
    ASK(w->device, "PUT", PATH2 "?offset=0&length=1", bytes_of("x"), 204);
    gate_client_ask(w->device, "PUT", "/v1/upload/" MSG1 "?offset=0&length=10", bytes_of("x"), NULL, &r);
    assert_int_equal(r.status, 429);
    assert_true(r.retry_after > 0);
    gate_reply_free(&r);
    ASK(w->device, "PUT", PATH1 "?offset=1&length=10", bytes_of("y"), 204); /* what is begun goes on */
    ASK(w->other, "PUT", "/v1/upload/" MSG2 "?offset=0&length=10", bytes_of("x"), 204);
    world_free(w);
}

static void a_full_disk_says_507_and_loses_nothing(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    struct gate_reply r;
    ASK(w->device, "PUT", PATH1 "?offset=0&length=4", bytes_of("ab"), 204);
    world_stop(w);
    w->config.disk_reserve = (uint64_t)1 << 60;
    world_start(w);
    gate_client_ask(w->device, "PUT", PATH1 "?offset=2&length=4", bytes_of("cd"), NULL, &r);
    assert_int_equal(r.status, 507);
    assert_true(r.retry_after > 0);
    gate_reply_free(&r);
    ASK(w->device, "POST", "/v1/message/" MSG1, bytes_of("m"), 507);
    ASK(w->anyone, "POST", "/v1/enrol",
        part("\0\0\0\x1a"
             "chatkluis-enrol-request-v1",
             30),
        507);
    assert_int_equal(offset_of(w, PATH1), 2);
    world_stop(w);
    w->config.disk_reserve = 1 << 20;
    world_start(w);
    ASK(w->device, "PUT", PATH1 "?offset=2&length=4", bytes_of("cd"), 204);
    ASK(w->device, "POST", "/v1/message/" MSG1 "?upload=" UP1, bytes_of("m"), 202);
    world_free(w);
}

static void an_unfinished_upload_goes_after_seven_days_and_a_queued_one_stays(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    ASK(w->device, "PUT", PATH1 "?offset=0&length=4", bytes_of("ab"), 204);
    ASK(w->device, "PUT", PATH2 "?offset=0&length=2", bytes_of("ab"), 204);
    ASK(w->device, "POST", "/v1/message/" MSG1 "?upload=" UP2, bytes_of("m"), 202);
    assert_int_equal(files_in(w), 2);
    clock_shift(INT64_C(6) * 86400 * 1000000);
    world_stop(w);
    world_start(w);
    assert_int_equal(offset_of(w, PATH1), 2);
    clock_shift(INT64_C(8) * 86400 * 1000000);
    world_stop(w);
    world_start(w);
    assert_int_equal(offset_of(w, PATH1), -1);
    assert_int_equal(offset_of(w, PATH2), 2);
    assert_int_equal(files_in(w), 1);
    world_free(w);
}

/* A commit that failed was told as not done, its file went, and then the machine died with the row in the journal. */
static void an_upload_whose_bytes_are_gone_begins_anew(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    char path[160];
    ASK(w->device, "PUT", PATH1 "?offset=0&length=4", bytes_of("ab"), 204);
    ASK(w->device, "PUT", "/v1/upload/" UP2 "?offset=0&length=4", bytes_of("abcd"), 204);
    ASK(w->device, "POST", "/v1/message/" MSG2 "?upload=" UP2, bytes_of("m"), 202);
    world_stop(w);
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%s/uploads/%s", w->dir, i == 0 ? UP1 : UP2);
        assert_int_equal(truncate(path, 1), 0);
    }
    world_start(w);
    assert_int_equal(offset_of(w, PATH1), -1);
    ASK(w->device, "PUT", PATH1 "?offset=0&length=4", bytes_of("abcd"), 204);
    /* One that a message names was acknowledged as complete: it is not forgotten, and its loss is an alarm. */
    assert_int_equal(offset_of(w, "/v1/upload/" UP2), 4);
    ASK(w->vault, "GET", "/vault/v1/upload/" UP2, none(), 500);
    world_free(w);
}

/* Not being able to open a file is not its absence: the vault would take the upload for lost. */
static void an_upload_that_cannot_be_opened_is_not_told_as_absent(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    KLUIS_AUTO_BUF(body, 4096);
    char path[160], link[160];
    uint8_t id[16];
    ASK(w->device, "PUT", PATH1 "?offset=0&length=4", bytes_of("abcd"), 204);
    (void)snprintf(path, sizeof path, "%s/uploads/%s", w->dir, UP1);
    (void)snprintf(link, sizeof link, "%s/aside", w->dir);
    assert_int_equal(rename(path, link), 0);
    assert_int_equal(symlink(link, path), 0); /* O_NOFOLLOW: ELOOP */
    assert_true(kluis_unhex(kluis_str_of(UP1), id, sizeof id));
    kluis_wire_label(&body, "chatkluis-fetch-v1");
    kluis_wire_field(&body, id, sizeof id);
    ASK(w->vault, "GET", "/vault/v1/upload/" UP1, none(), 503);
    ASK(w->vault, "POST", "/vault/v1/fetch", kluis_buf_bytes(&body), 503);
    world_free(w);
}

static void a_file_without_a_row_is_swept_at_the_start(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    char path[160];
    ASK(w->device, "PUT", PATH1 "?offset=0&length=4", bytes_of("ab"), 204);
    world_stop(w);
    (void)snprintf(path, sizeof path, "%s/uploads/" UP2, w->dir);
    assert_int_equal(kluis_write_file(path, "left", 4, 0600, NULL), KLUIS_OK);
    assert_int_equal(files_in(w), 2);
    world_start(w);
    assert_int_equal(files_in(w), 1);
    assert_int_equal(offset_of(w, PATH1), 2);
    world_free(w);
}

static void hostile_requests_are_refused_and_the_gate_goes_on(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    static const char *const BAD[] = {
        "GARBAGE\r\n\r\n",
        "GET\r\n\r\n",
        "GET /v1/health\r\n\r\n",
        "GET http://a/v1/health HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /v1/health HTTP/9.9\r\nHost: a\r\n\r\n",
        "POST /v1/enrol HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "POST /v1/enrol HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "POST /v1/enrol HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "POST /v1/enrol HTTP/1.1\r\nHost: a\r\nContent-Length: 5x\r\n\r\nhello",
        "POST /v1/enrol HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "GET /v1/health%00 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /v1/inbox HTTP/1.1\r\nHost: a\r\nAuthorization: Chatkluis-Login id=\"\r\n\r\n",
        "POST /v1/enrol HTTP/1.1\r\nHost: a\r\nContent-Length: 17000\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        KLUIS_AUTO_BUF(out, 1 << 20);
        gate_client_raw(w->anyone, BAD[i], strlen(BAD[i]), &out);
        kluis_buf_byte(&out, 0);
        if (out.len > 13) { assert_null(strstr((const char *)out.data, " 200 ")); }
    }
    /* Headers past the connection's memory. */
    KLUIS_AUTO_BUF(huge, 1 << 20);
    KLUIS_AUTO_BUF(out, 1 << 20);
    kluis_buf_cstr(&huge, "GET /v1/health HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 2000; i++) { kluis_buf_fmt(&huge, "X-%d: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", i); }
    kluis_buf_cstr(&huge, "\r\n");
    gate_client_raw(w->anyone, huge.data, huge.len, &out);
    kluis_buf_byte(&out, 0);
    assert_null(strstr((const char *)out.data, " 200 "));
    /* Every truncation of a good request, then silence. */
    static const char GOOD[] = "GET /v1/nonce HTTP/1.1\r\nHost: a\r\n\r\n";
    for (size_t n = 0; n < sizeof GOOD - 1; n += 3) { gate_client_raw(w->anyone, GOOD, n, NULL); }
    ASK(w->anyone, "GET", "/v1/health", none(), 200);
    ASK(w->device, "GET", "/v1/inbox", none(), 204);
    world_free(w);
}

static int64_t cpu_us(void)
{
    struct timespec t;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Half a greeting: its head promises 512 bytes, one comes.  No thread may turn in circles for the rest, or one connection costs a processor. */
static void who_stops_in_the_middle_of_its_greeting_costs_no_work(void **state)
{
    (void)state;
    static const uint8_t HALF[] = { 0x16, 3, 1, 2, 0, 1 };
    struct world *w = world_new(NULL);
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    to.sin_port = htons((uint16_t)strtoul(strrchr(w->address, ':') + 1, NULL, 10));
    int fd[4];
    for (size_t i = 0; i < 4; i++) {
        fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd[i], (const struct sockaddr *)(const void *)&to, sizeof to), 0);
        assert_int_equal(write(fd[i], HALF, sizeof HALF), sizeof HALF);
    }
    ASK(w->device, "GET", "/v1/inbox", none(), 204); /* and it goes on serving */
    int64_t began = cpu_us();
    kluis_sleep_us(1000000);
    assert_true(cpu_us() - began < 50000);
    ASK(w->device, "GET", "/v1/inbox", none(), 204);
    for (size_t i = 0; i < 4; i++) { assert_int_equal(close(fd[i]), 0); }
    world_free(w);
}

/* One request in a thread of its own. */
struct asking {
    struct gate_client *client;
    const char *path;
    struct gate_reply reply;
    int64_t took_us;
};
static void *ask_in_thread(void *ctx)
{
    struct asking *a = ctx;
    int64_t began = kluis_monotonic_us();
    gate_client_ask(a->client, "GET", a->path, none(), NULL, &a->reply);
    a->took_us = kluis_monotonic_us() - began;
    return NULL;
}

/* "Woken" and "let go" are before the 20 seconds that were asked for, on a slow machine too. */
enum { WOKEN_US = 15000000 };

static void who_waits_is_woken_or_told_that_time_is_over(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    struct asking a = { .client = w->vault, .path = "/vault/v1/next?after=0&wait=20" };
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, ask_in_thread, &a), 0);
    UNTIL(waiting(w) == 1);
    ASK(w->device, "POST", "/v1/message/" MSG1, bytes_of("m"), 202);
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_int_equal(a.reply.status, 200);
    assert_true(a.took_us < WOKEN_US);
    gate_reply_free(&a.reply);
    struct asking b = { .client = w->device, .path = "/v1/inbox?wait=1" };
    (void)ask_in_thread(&b);
    assert_int_equal(b.reply.status, 204);
    assert_true(b.took_us > 900000 && b.took_us < WOKEN_US);
    gate_reply_free(&b.reply);
    /* A fifth waiter of one device is one too many; all are let go when the gate stops. */
    struct asking many[5];
    pthread_t threads[5];
    for (size_t i = 0; i < 5; i++) {
        many[i] = (struct asking){ .client = gate_client_new(w->address, w->pki->root_anchor, DEVICE, w->device_key), .path = "/v1/inbox?wait=20" };
        assert_int_equal(pthread_create(&threads[i], NULL, ask_in_thread, &many[i]), 0);
        if (i < 4) { UNTIL(waiting(w) == i + 1); }
    }
    assert_int_equal(pthread_join(threads[4], NULL), 0);
    assert_int_equal(many[4].reply.status, 429);
    UNTIL(waiting(w) == 4);
    int64_t began = kluis_monotonic_us();
    world_stop(w);
    assert_true(kluis_monotonic_us() - began < WOKEN_US);
    for (size_t i = 0; i < 5; i++) {
        if (i < 4) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
            assert_true(many[i].reply.status == 204 || many[i].reply.status == 0);
        }
        gate_reply_free(&many[i].reply);
        gate_client_free(many[i].client);
    }
    world_free(w);
}

int world_run_device_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_route_gets_one_line),
        cmocka_unit_test(a_login_that_is_not_the_right_one_is_refused),
        cmocka_unit_test(a_nonce_serves_one_request_and_not_for_long),
        cmocka_unit_test(a_suspended_device_is_refused_until_it_is_active_again),
        cmocka_unit_test(chunks_go_on_where_the_last_counted),
        cmocka_unit_test(many_uploads_come_in_one_answer_in_the_order_asked),
        cmocka_unit_test(an_answer_of_many_uploads_has_a_ceiling),
        cmocka_unit_test(a_chunk_counts_only_whole_and_as_signed),
        cmocka_unit_test(an_id_belongs_to_the_device_that_used_it_first),
        cmocka_unit_test(a_message_is_stored_once),
        cmocka_unit_test(every_ceiling_says_try_later_or_too_large),
        cmocka_unit_test(a_full_disk_says_507_and_loses_nothing),
        cmocka_unit_test(an_unfinished_upload_goes_after_seven_days_and_a_queued_one_stays),
        cmocka_unit_test(a_file_without_a_row_is_swept_at_the_start),
        cmocka_unit_test(an_upload_whose_bytes_are_gone_begins_anew),
        cmocka_unit_test(an_upload_that_cannot_be_opened_is_not_told_as_absent),
        cmocka_unit_test(hostile_requests_are_refused_and_the_gate_goes_on),
        cmocka_unit_test(who_stops_in_the_middle_of_its_greeting_costs_no_work),
        cmocka_unit_test(who_waits_is_woken_or_told_that_time_is_over),
    };
    return cmocka_run_group_tests_name("gate, devices", tests, NULL, NULL);
}
