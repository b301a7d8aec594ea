/* gate_trouble_test.c - promises that are kept when the disk fails under the gate, and when devices do not read what they asked for. */
#include "tests/integration/gate_world.h"

#include <stdatomic.h>
#include <unistd.h>

#include "server/gate/gate_internal.h" /* GATE_SENDING_MAX: the ceiling that is promised */

#define OK(expr) assert_int_equal((expr), KLUIS_OK)
#define MESSAGE(id) "/v1/message/" id

/* What waits for the log says 503 as long as it cannot be synced, also to who asks for what is there already; nothing of it is lost, and once the
 * disk takes it again the gate goes on by itself. */
static void a_log_that_cannot_be_synced_is_told_and_acknowledges_nothing(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    struct gate_reply r;
    ASK(w->device, "POST", MESSAGE(MSG1), bytes_of("before"), 202);
    syncs_fail(true);
    steps_reset();
    gate_client_ask(w->device, "POST", MESSAGE(MSG2), bytes_of("at a bad moment"), NULL, &r);
    assert_int_equal(r.status, 503);
    assert_true(r.retry_after > 0);
    gate_reply_free(&r);
    ASK(w->device, "POST", MESSAGE(MSG2), bytes_of("at a bad moment"), 503);
    ASK(w->device, "POST", MESSAGE(MSG1), bytes_of("before"), 503); /* on disk for long, but that is not known again before the log is */
    ASK(w->device, "PUT", "/v1/upload/" UP1 "?offset=0&length=4", bytes_of("abcd"), 503);
    assert_null(strstr(steps_seen(), "gate.message.commit"));
    ASK(w->anyone, "GET", "/v1/health", none(), 200); /* it serves */
    syncs_fail(false);
    /* Both are asked again with the same answer, whether their rows stayed or went. */
    gate_client_ask(w->device, "POST", MESSAGE(MSG2), bytes_of("at a bad moment"), NULL, &r);
    assert_true(r.status == 202 || r.status == 200);
    gate_reply_free(&r);
    ASK(w->device, "POST", MESSAGE(MSG1), bytes_of("before"), 200);
    ASK(w->device, "PUT", "/v1/upload/" UP1 "?offset=0&length=4", bytes_of("abcd"), 204);
    ASK(w->device, "POST", MESSAGE(MSG3) "?upload=" UP1, bytes_of("after"), 202);
    world_stop(w);
    world_start(w);
    struct gate_status s;
    OK(gate_status_read(w->gate, &s, NULL));
    assert_int_equal(s.queued, 3);
    ASK(w->device, "POST", MESSAGE(MSG2), bytes_of("at a bad moment"), 200);
    ASK(w->vault, "GET", "/vault/v1/upload/" UP1, none(), 200);
    world_free(w);
}

/* Sends a signed request for the inbox and reads no further than the status. */
static long inbox_unread(struct world *w, struct gate_line **line)
{
    uint8_t sha[32];
    KLUIS_AUTO_BUF(login, 2048);
    KLUIS_AUTO_BUF(request, 4096);
    KLUIS_AUTO_BUF(head, 1 << 16);
    kluis_sha256_of("", 0, sha);
    gate_client_sign(w->device, "GET", "/v1/inbox", sha, &login);
    kluis_buf_fmt(&request, "GET /v1/inbox HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\n\r\n", w->address, (const char *)login.data);
    *line = gate_line_open(w->device);
    assert_non_null(*line);
    assert_true(gate_line_send(*line, request.data, request.len));
    while (head.len < 12) { assert_true(gate_line_read(*line, 60000, &head)); }
    kluis_buf_byte(&head, 0);
    assert_memory_equal(head.data, "HTTP/1.1 ", 9);
    if (strncmp((const char *)head.data + 9, "503", 3) == 0) { assert_non_null(strcasestr((const char *)head.data, "\r\nRetry-After: ")); }
    return strtol((const char *)head.data + 9, NULL, 10);
}

static void answers_that_nobody_reads_take_no_more_memory_than_is_said(void **state)
{
    (void)state;
    enum { ANSWERS = 5, TEXT = 1000000, LINES = 40 };
    struct gate_config c = { .limits = { .timeout_s = 600 } };
    struct world *w = world_new(&c);
    struct gate_line *line[LINES] = { NULL };
    struct gate_reply r;
    KLUIS_AUTO_BUF(outbox, 8 << 20);
    KLUIS_AUTO_BUF(text, 2 << 20);
    for (size_t i = 0; i < TEXT; i++) { kluis_buf_byte(&text, 'x'); }
    kluis_buf_byte(&text, 0);
    for (int i = 0; i < ANSWERS; i++) {
        char id[33];
        (void)snprintf(id, sizeof id, "%032x", (unsigned)i + 1);
        gate_body_outbox(&outbox, 0, DEVICE, id, (const char *)text.data);
    }
    gate_body_outbox(&outbox, 0, OTHER, MSG1, "small");
    ASK(w->vault, "POST", "/vault/v1/outbox", kluis_buf_bytes(&outbox), 204);
    gate_client_ask(w->device, "GET", "/v1/inbox", none(), NULL, &r);
    assert_int_equal(r.status, 200);
    const size_t size = r.body.len, fit = GATE_SENDING_MAX / size;
    assert_true(size > 4000000 && fit < LINES);
    gate_reply_free(&r);
    for (size_t i = 0; i < fit; i++) { assert_int_equal(inbox_unread(w, &line[i]), 200); }
    assert_int_equal(inbox_unread(w, &line[fit]), 503);
    gate_line_close(line[fit]);
    ASK(w->device, "GET", "/v1/inbox", none(), 503);
    ASK(w->other, "GET", "/v1/inbox", none(), 200); /* a small one has room still */
    ASK(w->device, "POST", MESSAGE(MSG1), bytes_of("m"), 202);
    /* One reader less, and the next is served. */
    gate_line_close(line[0]);
    UNTIL(gate_client_status(w->device, "GET", "/v1/inbox", none()) == 200);
    for (size_t i = 1; i < fit; i++) { gate_line_close(line[i]); }
    world_free(w);
}

int world_run_trouble_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_that_cannot_be_synced_is_told_and_acknowledges_nothing),
        cmocka_unit_test(answers_that_nobody_reads_take_no_more_memory_than_is_said),
    };
    return cmocka_run_group_tests_name("gate, trouble", tests, NULL, NULL);
}
