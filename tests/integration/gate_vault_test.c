/* gate_vault_test.c - promises to the vault: queue, enrolment, prekeys, mirror, outbox, time; and the walls. */
#include "server/walls/walls.h"
#include "tests/integration/gate_world.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/tsa/tsa.h"

#define OK(expr) assert_int_equal((expr), KLUIS_OK)

static size_t leaves_of(struct kluis_arena *arena, struct kluis_str *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char text[64];
        int len = snprintf(text, sizeof text, "leaf %zu of a test, not of a vault\n", i);
        out[i] = (struct kluis_str){ kluis_arena_strndup(arena, text, (size_t)len), (size_t)len };
        assert_non_null(out[i].ptr);
    }
    return n;
}

/* Reads one item of `next`; numbers[] of what was seen. */
static size_t next_items(struct world *w, uint64_t after, uint64_t *numbers, size_t max)
{
    struct gate_reply r;
    char path[64];
    size_t n = 0;
    (void)snprintf(path, sizeof path, "/vault/v1/next?after=%llu", (unsigned long long)after);
    gate_client_ask(w->vault, "GET", path, none(), NULL, &r);
    if (r.status == 200) {
        struct kluis_wire wire = kluis_wire_open(kluis_buf_bytes(&r.body));
        assert_true(kluis_wire_is(&wire, "chatkluis-next-v1"));
        while (kluis_wire_more(&wire) && !wire.bad && n < max) {
            numbers[n++] = kluis_wire_get_u64(&wire);
            uint32_t kind = kluis_wire_get_u32(&wire);
            assert_int_equal(kluis_wire_get(&wire, 64).len, 32); /* ticket or device */
            if (kind == 2) {
                assert_int_equal(kluis_wire_get(&wire, 16).len, 16);
                size_t upload = kluis_wire_get(&wire, 16).len;
                assert_true(upload == 0 || upload == 16);
                (void)kluis_wire_get_u64(&wire);
            }
            assert_true(kluis_wire_get(&wire, 1 << 20).len > 0);
        }
        OK(kluis_wire_end(&wire, "next", NULL));
    } else {
        assert_int_equal(r.status, 204);
    }
    gate_reply_free(&r);
    return n;
}

static void done_with(struct world *w, const uint64_t *numbers, size_t n)
{
    KLUIS_AUTO_BUF(body, 1 << 16);
    gate_body_done(&body, numbers, n);
    ASK(w->vault, "POST", "/vault/v1/done", kluis_buf_bytes(&body), 204);
}

static void what_is_done_is_gone_and_what_is_not_is_given_again(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    uint64_t numbers[8];
    assert_int_equal(next_items(w, 0, numbers, 8), 0);
    ASK(w->device, "PUT", "/v1/upload/" UP1 "?offset=0&length=4", bytes_of("abcd"), 204);
    ASK(w->device, "POST", "/v1/message/" MSG1 "?upload=" UP1, bytes_of("one"), 202);
    ASK(w->device, "POST", "/v1/message/" MSG2 "?upload=" UP1, bytes_of("two"), 202);
    ASK(w->other, "POST", "/v1/message/" MSG3, bytes_of("three"), 202);
    assert_int_equal(next_items(w, 0, numbers, 8), 3);
    assert_true(numbers[0] < numbers[1] && numbers[1] < numbers[2]);
    uint64_t again[8];
    assert_int_equal(next_items(w, numbers[0], again, 8), 2);
    assert_int_equal(again[0], numbers[1]);
    done_with(w, numbers, 1);
    assert_int_equal(files_in(w), 1); /* the second message still names the upload */
    done_with(w, numbers, 1);         /* again: changes nothing */
    steps_reset();
    done_with(w, numbers + 1, 1);
    assert_non_null(strstr(steps_seen(), "gate.done.commit"));
    assert_non_null(strstr(steps_seen(), "gate.upload.unlink"));
    assert_int_equal(files_in(w), 0);
    ASK(w->vault, "GET", "/vault/v1/upload/" UP1, none(), 404);
    assert_int_equal(next_items(w, 0, again, 8), 1);
    assert_int_equal(again[0], numbers[2]);
    ASK(w->vault, "POST", "/vault/v1/done", bytes_of("nonsense"), 400);
    world_stop(w);
    world_start(w);
    assert_int_equal(next_items(w, 0, again, 8), 1);
    /* A number is never given to another message. */
    done_with(w, again, 1);
    world_stop(w);
    world_start(w);
    ASK(w->device, "POST", "/v1/message/" MSG1, bytes_of("new"), 202);
    uint64_t newer[8];
    assert_int_equal(next_items(w, 0, newer, 8), 1);
    assert_true(newer[0] > numbers[2]);
    world_free(w);
}

static void a_batch_of_the_queue_is_bounded(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    uint64_t numbers[128];
    for (int i = 0; i < 70; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "/v1/message/%032x", (unsigned)i);
        ASK(w->device, "POST", path, bytes_of("m"), 202);
    }
    assert_int_equal(next_items(w, 0, numbers, 128), 64);
    assert_int_equal(next_items(w, numbers[63], numbers, 128), 6);
    world_free(w);
}

static void enrolment_is_relayed_unread(void **state)
{
    (void)state;
    struct gate_config c = { .limits = { .enrol_waiting = 2 } };
    struct world *w = world_new(&c);
    struct gate_reply r;
    KLUIS_AUTO_BUF(request, 4096);
    kluis_wire_label(&request, "chatkluis-enrol-request-v1");
    kluis_wire_str(&request, KLUIS_STR_LIT("opaque"));
    char ticket[33];
    char path[96];
    gate_client_ask(w->anyone, "POST", "/v1/enrol", kluis_buf_bytes(&request), NULL, &r);
    assert_int_equal(r.status, 202);
    assert_int_equal(r.body.len, 32);
    memcpy(ticket, r.body.data, 32);
    ticket[32] = '\0';
    gate_reply_free(&r);
    gate_client_ask(w->anyone, "POST", "/v1/enrol", kluis_buf_bytes(&request), NULL, &r); /* the answer was lost */
    assert_int_equal(r.status, 202);
    assert_memory_equal(r.body.data, ticket, 32);
    gate_reply_free(&r);
    ASK(w->anyone, "POST", "/v1/enrol", bytes_of("hello"), 400);
    (void)snprintf(path, sizeof path, "/v1/enrol/%s", ticket);
    ASK(w->anyone, "GET", path, none(), 204);
    ASK(w->anyone, "GET", "/v1/enrol/" UP1, none(), 404);

    gate_client_ask(w->vault, "GET", "/vault/v1/next?after=0", none(), NULL, &r);
    assert_int_equal(r.status, 200);
    struct kluis_wire wire = kluis_wire_open(kluis_buf_bytes(&r.body));
    assert_true(kluis_wire_is(&wire, "chatkluis-next-v1"));
    uint64_t number = kluis_wire_get_u64(&wire);
    assert_int_equal(kluis_wire_get_u32(&wire), 1);
    struct kluis_bytes got = kluis_wire_get(&wire, 64);
    assert_int_equal(got.len, 32);
    assert_memory_equal(got.ptr, ticket, 32);
    got = kluis_wire_get(&wire, 1 << 16);
    assert_int_equal(got.len, request.len);
    assert_memory_equal(got.ptr, request.data, request.len);
    OK(kluis_wire_end(&wire, "next", NULL));
    gate_reply_free(&r);

    kluis_buf_byte(&request, 0); /* two more of others: the third waits too long */
    ASK(w->anyone, "POST", "/v1/enrol", kluis_buf_bytes(&request), 202);
    kluis_buf_byte(&request, 0);
    ASK(w->anyone, "POST", "/v1/enrol", kluis_buf_bytes(&request), 429);

    char answer[96];
    (void)snprintf(answer, sizeof answer, "/vault/v1/enrolled/%s", ticket);
    ASK(w->vault, "POST", answer, bytes_of("reply"), 204);
    ASK(w->vault, "POST", answer, bytes_of("reply"), 204);
    ASK(w->vault, "POST", answer, bytes_of("other"), 409);
    ASK(w->vault, "POST", "/vault/v1/enrolled/" UP1, bytes_of("reply"), 404);
    done_with(w, &number, 1);
    world_stop(w);
    world_start(w);
    (void)snprintf(path, sizeof path, "/v1/enrol/%s?wait=5", ticket);
    for (int i = 0; i < 2; i++) { /* a reply may be fetched again */
        gate_client_ask(w->anyone, "GET", path, none(), NULL, &r);
        assert_int_equal(r.status, 200);
        assert_int_equal(r.body.len, 5);
        assert_memory_equal(r.body.data, "reply", 5);
        gate_reply_free(&r);
    }
    clock_shift(INT64_C(3) * 86400 * 1000000);
    world_stop(w);
    world_start(w);
    ASK(w->anyone, "GET", path, none(), 404);
    world_free(w);
}

static void publish(struct world *w, uint64_t epoch, uint64_t expiry, uint32_t first, uint32_t count, long status, int64_t left)
{
    KLUIS_AUTO_BUF(body, 1 << 16);
    gate_body_bundle(&body, epoch, expiry, first, count);
    struct gate_reply r;
    gate_client_ask(w->vault, "PUT", "/vault/v1/bundle", kluis_buf_bytes(&body), NULL, &r);
    assert_int_equal(r.status, status);
    if (status == 204) { assert_int_equal(r.prekeys, left); }
    gate_reply_free(&r);
}

static uint32_t taken(struct world *w, struct gate_client *by)
{
    (void)w;
    struct gate_reply r;
    gate_client_ask(by, "GET", "/v1/bundle", none(), NULL, &r);
    assert_int_equal(r.status, 200);
    uint32_t id = gate_body_prekey(kluis_buf_bytes(&r.body));
    gate_reply_free(&r);
    return id;
}

static void a_one_time_prekey_is_handed_out_once(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    ASK(w->device, "GET", "/v1/bundle", none(), 503);
    ASK(w->vault, "PUT", "/vault/v1/bundle", bytes_of("nonsense"), 400);
    publish(w, 5, 1000, 1, 3, 204, 3);
    steps_reset();
    assert_int_equal(taken(w, w->device), 1);
    assert_non_null(strstr(steps_seen(), "gate.prekey.handout"));
    publish(w, 5, 1000, 1, 3, 204, 2); /* a repeat brings nothing back */
    world_stop(w);
    world_start(w);
    assert_int_equal(taken(w, w->other), 2);
    assert_int_equal(taken(w, w->device), 3);
    assert_int_equal(taken(w, w->device), 0);
    publish(w, 4, 1001, 10, 1, 409, 0); /* the epoch never goes backwards, nor the expiry within one */
    publish(w, 5, 999, 10, 1, 409, 0);
    assert_int_equal(taken(w, w->device), 0);
    publish(w, 5, 1001, 20, 2, 204, 2);
    publish(w, 6, 900, 1, 1, 204, 1); /* a new epoch, also of a clock that was ahead before: the old ones' private halves are lost */
    assert_int_equal(taken(w, w->device), 1);
    assert_int_equal(taken(w, w->device), 0);
    struct gate_reply r;
    clock_stop(); /* no midnight in between */
    publish(w, 6, 1002, 100, 40, 204, 40);
    size_t got = 0;
    for (int i = 0; i < 40; i++) { got += taken(w, w->device) != 0 ? 1 : 0; } /* one device has its share of a day */
    assert_true(got > 0 && got < 40);
    assert_true(taken(w, w->other) != 0);
    gate_client_ask(w->vault, "GET", "/vault/v1/bundle", none(), NULL, &r);
    assert_int_equal(r.status, 204);
    assert_int_equal(r.prekeys, (int64_t)(40 - got - 1));
    gate_reply_free(&r);
    world_free(w);
}

static long mirror(struct world *w, uint64_t from, const struct kluis_str *leaves, size_t to, size_t covered, int64_t *size)
{
    KLUIS_AUTO_BUF(body, 8 << 20);
    struct gate_reply r;
    mirror_body(w, from, leaves, to, covered, &body);
    gate_client_ask(w->vault, "POST", "/vault/v1/mirror", kluis_buf_bytes(&body), NULL, &r);
    if (size != NULL) { *size = r.size; }
    gate_reply_free(&r);
    return r.status;
}

static void the_mirror_grows_only_at_its_end_and_under_its_checkpoint(void **state)
{
    (void)state;
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(8 << 20);
    static struct kluis_str leaves[1400];
    static struct kluis_str wrong[1400];
    size_t n = leaves_of(arena, leaves, 1400);
    memcpy(wrong, leaves, sizeof leaves);
    wrong[2] = KLUIS_STR_LIT("another");
    struct gate_config c = { .log_vkey = NULL };
    struct world *w = world_new(&c);
    w->config.log_vkey = w->pki->log_vkey;
    world_stop(w);
    world_start(w);
    int64_t size = -1;
    struct gate_reply r;
    gate_client_ask(w->vault, "GET", "/vault/v1/mirror?from=0", none(), NULL, &r);
    assert_int_equal(r.status, 204);
    assert_int_equal(r.size, 0);
    gate_reply_free(&r);
    assert_int_equal(mirror(w, 1, leaves, 3, 3, &size), 409);
    assert_int_equal(size, 0);
    steps_reset();
    assert_int_equal(mirror(w, 0, leaves, 3, 3, &size), 204);
    assert_non_null(strstr(steps_seen(), "gate.mirror.commit"));
    assert_int_equal(size, 3);
    assert_int_equal(mirror(w, 0, leaves, 3, 3, &size), 409); /* a repeat learns where it stands */
    assert_int_equal(size, 3);
    assert_int_equal(mirror(w, 3, leaves, 3, 3, &size), 204); /* the same tree under a newer seal */
    assert_int_equal(mirror(w, 3, wrong, 5, 5, &size), 400);  /* head over other leaves */
    assert_int_equal(mirror(w, 3, leaves, 5, 4, &size), 400); /* checkpoint of a smaller tree */
    /* In pieces: not handed out before the checkpoint covers them. */
    assert_int_equal(mirror(w, 3, leaves, 600, n, &size), 204);
    assert_int_equal(size, 600);
    ASK(w->anyone, "GET", "/tile/0/001", none(), 404);
    world_stop(w);
    world_start(w);
    assert_int_equal(mirror(w, 600, leaves, n, n, &size), 204);
    assert_int_equal(size, (int64_t)n);
    /* Wrong pieces can be sent anew from the last checkpoint. */
    gate_client_ask(w->anyone, "GET", "/checkpoint", none(), NULL, &r);
    assert_int_equal(r.status, 200);
    struct kluis_checkpoint seen;
    OK(kluis_checkpoint_open((struct kluis_str){ (const char *)r.body.data, r.body.len }, w->pki->log_vkey, &seen, NULL));
    assert_int_equal(seen.size, n);
    gate_reply_free(&r);

    /* Tiles against the tree that we grow ourselves. */
    struct kluis_tree tree;
    kluis_tree_init(&tree);
    kluis_hash first[1400];
    for (size_t i = 0; i < n; i++) {
        kluis_leaf_hash(leaves[i].ptr, leaves[i].len, &first[i]);
        kluis_tree_append(&tree, &first[i], NULL, NULL);
    }
    gate_client_ask(w->anyone, "GET", "/tile/0/004", none(), NULL, &r);
    assert_int_equal(r.status, 200);
    assert_int_equal(r.body.len, 256 * 32);
    assert_memory_equal(r.body.data, first[1024].b, 256 * 32);
    gate_reply_free(&r);
    gate_client_ask(w->anyone, "GET", "/tile/0/005.p/120", none(), NULL, &r);
    assert_int_equal(r.body.len, 120 * 32);
    assert_memory_equal(r.body.data, first[1280].b, 120 * 32);
    gate_reply_free(&r);
    ASK(w->anyone, "GET", "/tile/0/005.p/121", none(), 404);
    ASK(w->anyone, "GET", "/tile/0/005", none(), 404);
    ASK(w->anyone, "GET", "/tile/1/000", none(), 404);
    gate_client_ask(w->anyone, "GET", "/tile/1/000.p/5", none(), NULL, &r);
    assert_int_equal(r.status, 200);
    assert_int_equal(r.body.len, 5 * 32);
    for (size_t t = 0; t < 5; t++) {
        struct kluis_tree part;
        kluis_hash head;
        kluis_tree_init(&part);
        for (size_t i = 0; i < 256; i++) { kluis_tree_append(&part, &first[256 * t + i], NULL, NULL); }
        kluis_tree_head(&part, &head);
        assert_memory_equal(r.body.data + 32 * t, head.b, 32);
    }
    gate_reply_free(&r);
    gate_client_ask(w->anyone, "GET", "/tile/entries/005.p/2", none(), NULL, &r);
    assert_int_equal(r.body.len, 4 + leaves[1280].len + leaves[1281].len);
    assert_int_equal(r.body.data[1], leaves[1280].len);
    assert_memory_equal(r.body.data + 2, leaves[1280].ptr, leaves[1280].len);
    gate_reply_free(&r);

    /* The vault gets it back, at most 1,000 leaves at a time. */
    gate_client_ask(w->vault, "GET", "/vault/v1/mirror?from=0", none(), NULL, &r);
    assert_int_equal(r.status, 200);
    assert_int_equal(r.size, (int64_t)n);
    struct kluis_wire wire = kluis_wire_open(kluis_buf_bytes(&r.body));
    assert_true(kluis_wire_is(&wire, "chatkluis-mirror-v1"));
    assert_int_equal(kluis_wire_get_u64(&wire), 0);
    (void)kluis_wire_get(&wire, KLUIS_CHECKPOINT_MAX);
    assert_int_equal(kluis_wire_get(&wire, 64).len, 4);
    size_t back = 0;
    while (kluis_wire_more(&wire) && !wire.bad) {
        struct kluis_bytes leaf = kluis_wire_get(&wire, KLUIS_LEAF_MAX);
        assert_int_equal(leaf.len, leaves[back].len);
        assert_memory_equal(leaf.ptr, leaves[back].ptr, leaf.len);
        back++;
    }
    assert_int_equal(back, 1000);
    gate_reply_free(&r);
    world_free(w);
}

static void wrong_pieces_of_the_mirror_are_dropped(void **state)
{
    (void)state;
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(1 << 20);
    struct kluis_str leaves[20];
    struct kluis_str wrong[20];
    (void)leaves_of(arena, leaves, 20);
    memcpy(wrong, leaves, sizeof leaves);
    wrong[7] = KLUIS_STR_LIT("another");
    struct world *w = world_new(NULL);
    int64_t size = -1;
    KLUIS_AUTO_BUF(body, 1 << 16);
    KLUIS_AUTO_BUF(checkpoint, KLUIS_CHECKPOINT_MAX);
    assert_int_equal(mirror(w, 0, leaves, 5, 5, &size), 204);
    /* A wrong piece under the right checkpoint shows only when the checkpoint's last leaf is there. */
    checkpoint_of(w, leaves, 20, &checkpoint);
    kluis_wire_label(&body, "chatkluis-mirror-v1");
    kluis_wire_u64(&body, 5);
    kluis_wire_field(&body, checkpoint.data, checkpoint.len);
    kluis_wire_str(&body, KLUIS_STR_LIT("seal"));
    for (size_t i = 5; i < 10; i++) { kluis_wire_str(&body, wrong[i]); }
    ASK(w->vault, "POST", "/vault/v1/mirror", kluis_buf_bytes(&body), 204);
    assert_int_equal(mirror(w, 10, leaves, 20, 20, &size), 400);
    assert_int_equal(size, 5);
    assert_int_equal(mirror(w, 5, leaves, 20, 20, &size), 204);
    assert_int_equal(size, 20);
    world_free(w);
}

static long journal(struct world *w, uint64_t from, const char *const *entries, size_t n, int64_t *size)
{
    KLUIS_AUTO_BUF(body, 1 << 16);
    struct gate_reply r;
    gate_body_journal(&body, from, entries, n);
    gate_client_ask(w->vault, "POST", "/vault/v1/register", kluis_buf_bytes(&body), NULL, &r);
    *size = r.size;
    gate_reply_free(&r);
    return r.status;
}

static void the_registers_journal_grows_only_at_its_end(void **state)
{
    (void)state;
    static const char *const some[] = { "one", "two", "three", "" };
    struct world *w = world_new(NULL);
    int64_t size = -1;
    struct gate_reply r;
    ASK(w->vault, "GET", "/vault/v1/register?from=0", none(), 204);
    ASK(w->device, "GET", "/vault/v1/register?from=0", none(), 401);
    steps_reset();
    assert_int_equal(journal(w, 0, some, 2, &size), 204);
    assert_int_equal(size, 2);
    assert_non_null(strstr(steps_seen(), "gate.journal.commit"));
    assert_int_equal(journal(w, 0, some + 2, 1, &size), 409); /* what is there is not written over */
    assert_int_equal(size, 2);
    assert_int_equal(journal(w, 3, some + 2, 1, &size), 409); /* nor is anything left open */
    assert_int_equal(journal(w, 2, some + 2, 2, &size), 400);
    ASK(w->vault, "POST", "/vault/v1/register", bytes_of("nonsense"), 400);
    world_stop(w);
    world_start(w);
    assert_int_equal(journal(w, 2, some + 2, 1, &size), 204);
    assert_int_equal(size, 3);
    gate_client_ask(w->vault, "GET", "/vault/v1/register?from=1", none(), NULL, &r);
    assert_int_equal(r.status, 200);
    assert_int_equal(r.size, 3);
    struct kluis_wire wire = kluis_wire_open(kluis_buf_bytes(&r.body));
    assert_true(kluis_wire_is(&wire, "chatkluis-register-v1"));
    assert_int_equal(kluis_wire_get_u64(&wire), 1);
    struct kluis_bytes two = kluis_wire_get(&wire, 100), three = kluis_wire_get(&wire, 100);
    OK(kluis_wire_end(&wire, "register", NULL));
    assert_memory_equal(two.ptr, "two", 3);
    assert_memory_equal(three.ptr, "three", 5);
    gate_reply_free(&r);
    world_free(w);
}

static void what_a_clock_that_was_ahead_noted_ends_all_the_same(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    const int64_t day = INT64_C(86400) * 1000000;
    clock_shift(3650 * day);
    ASK(w->device, "PUT", "/v1/upload/" UP1 "?offset=0&length=4", bytes_of("ab"), 204);
    clock_shift(0);
    world_stop(w);
    world_start(w); /* looks through what may end */
    ASK(w->device, "GET", "/v1/upload/" UP1, none(), 200);
    clock_shift(8 * day);
    world_stop(w);
    world_start(w);
    ASK(w->device, "GET", "/v1/upload/" UP1, none(), 404);
    clock_shift(0);
    world_free(w);
}

/* How many answers the device is given; the first one's text. */
static size_t inbox_of(struct gate_client *by, const char *path, char first[64])
{
    struct gate_reply r;
    size_t n = 0;
    gate_client_ask(by, "GET", path, none(), NULL, &r);
    assert_true(r.status == 200 || r.status == 204);
    if (r.status == 200) {
        struct kluis_wire wire = kluis_wire_open(kluis_buf_bytes(&r.body));
        assert_true(kluis_wire_is(&wire, "chatkluis-inbox-v1"));
        while (kluis_wire_more(&wire) && !wire.bad) {
            assert_int_equal(kluis_wire_get(&wire, 16).len, 16);
            struct kluis_bytes text = kluis_wire_get(&wire, 63);
            if (n++ == 0 && first != NULL) { (void)snprintf(first, 64, "%.*s", (int)text.len, (const char *)text.ptr); }
        }
        OK(kluis_wire_end(&wire, "inbox", NULL));
        assert_true(n > 0);
    }
    gate_reply_free(&r);
    return n;
}

struct waiting {
    struct gate_client *client;
    char first[64];
    size_t n;
};
static void *wait_for_inbox(void *ctx)
{
    struct waiting *a = ctx;
    a->n = inbox_of(a->client, "/v1/inbox?wait=20", a->first);
    return NULL;
}

static void an_answer_is_handed_out_only_when_the_mirror_holds_its_leaf(void **state)
{
    (void)state;
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(1 << 20);
    struct kluis_str leaves[10];
    (void)leaves_of(arena, leaves, 10);
    struct world *w = world_new(NULL);
    KLUIS_AUTO_BUF(body, 1 << 16);
    char first[64] = "";
    gate_body_outbox(&body, 0, DEVICE, MSG1, "free");
    gate_body_outbox(&body, 4, DEVICE, MSG2, "bound");
    gate_body_outbox(&body, 4, OTHER, MSG3, "of another");
    ASK(w->vault, "POST", "/vault/v1/outbox", kluis_buf_bytes(&body), 204);
    ASK(w->vault, "POST", "/vault/v1/outbox", kluis_buf_bytes(&body), 204); /* idempotent by message id */
    assert_int_equal(inbox_of(w->device, "/v1/inbox", first), 1);
    assert_string_equal(first, "free");
    assert_int_equal(inbox_of(w->other, "/v1/inbox", NULL), 0);
    ASK(w->other, "DELETE", "/v1/inbox/" MSG1, none(), 204); /* not its own: nothing happens */
    assert_int_equal(inbox_of(w->device, "/v1/inbox", NULL), 1);
    ASK(w->device, "DELETE", "/v1/inbox/" MSG1, none(), 204);
    ASK(w->device, "DELETE", "/v1/inbox/" MSG1, none(), 204);
    assert_int_equal(inbox_of(w->device, "/v1/inbox", NULL), 0);
    ASK(w->vault, "POST", "/vault/v1/outbox", kluis_buf_bytes(&body), 204); /* a repeat does not bring a taken one back */
    assert_int_equal(inbox_of(w->device, "/v1/inbox", NULL), 0);
    int64_t size = 0;
    assert_int_equal(mirror(w, 0, leaves, 3, 3, &size), 204);
    assert_int_equal(inbox_of(w->device, "/v1/inbox", NULL), 0);
    /* Leaves without their checkpoint free nothing. */
    assert_int_equal(mirror(w, 3, leaves, 5, 6, &size), 204);
    assert_int_equal(inbox_of(w->device, "/v1/inbox", NULL), 0);
    struct waiting a = { .client = w->device };
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, wait_for_inbox, &a), 0);
    UNTIL(waiting(w) == 1);
    assert_int_equal(mirror(w, 5, leaves, 6, 6, &size), 204);
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_int_equal(a.n, 1);
    assert_string_equal(a.first, "bound");
    world_stop(w);
    world_start(w);
    assert_int_equal(inbox_of(w->other, "/v1/inbox", first), 1);
    assert_string_equal(first, "of another");
    struct gate_status s;
    OK(gate_status_read(w->gate, &s, NULL));
    assert_int_equal(s.outbox, 2);
    assert_int_equal(s.mirror, 6);
    ASK(w->vault, "POST", "/vault/v1/outbox", bytes_of("nonsense"), 400);
    world_free(w);
}

static void time_comes_from_the_first_authority_that_answers(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    struct gate_reply r;
    uint8_t imprint[32] = { 1, 2, 3 };
    KLUIS_AUTO_BUF(request, 256);
    OK(kluis_time_request(imprint, 77, &request, NULL));
    gate_client_ask(w->device, "POST", "/v1/timestamp", kluis_buf_bytes(&request), NULL, &r);
    assert_int_equal(r.status, 503); /* none configured */
    assert_true(r.retry_after > 0);
    gate_reply_free(&r);

    char path[128];
    KLUIS_AUTO_BUF(pem, 1 << 16);
    (void)snprintf(path, sizeof path, "%s/tsa.key", w->dir);
    OK(kluis_key_save_new(w->pki->tsa.key, path, NULL));
    OK(kluis_cert_pem(kluis_buf_bytes(&w->pki->tsa.cert), &pem, NULL));
    (void)snprintf(path, sizeof path, "%s/tsa.crt", w->dir);
    OK(kluis_write_file(path, pem.data, pem.len, 0600, NULL));
    struct tsa_server *tsa = NULL;
    uint16_t port = 0;
    OK(tsa_start(&tsa, w->dir, false, &port, NULL));
    char nobody[32], dead[64], live[64];
    int kept = gate_port_keep(nobody);
    (void)snprintf(dead, sizeof dead, "http://%s/", nobody);
    (void)snprintf(live, sizeof live, "http://127.0.0.1:%u/", port);
    const char *urls[] = { dead, live };
    world_stop(w);
    w->config.tsa_urls = urls;
    w->config.n_tsa = 2;
    world_start(w);
    struct gate_client *const askers[] = { w->device, w->vault, w->device };
    static const char *const paths[] = { "/v1/timestamp", "/vault/v1/timestamp", "/v1/timestamp" };
    for (size_t i = 0; i < 3; i++) {
        gate_client_ask(askers[i], "POST", paths[i], kluis_buf_bytes(&request), NULL, &r);
        assert_int_equal(r.status, 200);
        KLUIS_AUTO_BUF(token, KLUIS_TOKEN_MAX);
        int64_t when = 0;
        OK(kluis_time_accept(kluis_buf_bytes(&r.body), imprint, 77, &w->pki->root_anchor, 1, &token, &when, NULL));
        gate_reply_free(&r);
    }
    ASK(w->device, "POST", "/v1/timestamp", bytes_of("0nonsense"), 400);
    ASK(w->device, "POST", "/v1/timestamp", none(), 400);
    ASK(w->anyone, "POST", "/v1/timestamp", kluis_buf_bytes(&request), 401);
    tsa_stop(tsa);
    gate_client_ask(w->device, "POST", "/v1/timestamp", kluis_buf_bytes(&request), NULL, &r);
    assert_int_equal(r.status, 503);
    gate_reply_free(&r);
    gate_client_ask(w->device, "POST", "/v1/timestamp", kluis_buf_bytes(&request), NULL, &r); /* both rest now */
    assert_int_equal(r.status, 503);
    assert_true(r.retry_after > 0);
    gate_reply_free(&r);
    assert_int_equal(close(kept), 0);
    world_free(w);
}

static void a_directory_has_one_gate(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    struct gate *second = NULL;
    struct gate_config c = w->config;
    c.listen = "127.0.0.1:0";
    assert_int_equal(gate_start(&second, &c, NULL), KLUIS_E_BUSY);
    assert_null(second);
    c.listen = "nowhere";
    world_stop(w);
    assert_int_equal(gate_start(&second, &c, NULL), KLUIS_E_USAGE);
    c.listen = "127.0.0.1:0";
    c.tls_key_pem = bytes_of("no key");
    assert_int_equal(gate_start(&second, &c, NULL), KLUIS_E_USAGE);
    world_start(w);
    world_free(w);
}

static void behind_its_walls_the_gate_serves_and_reaches_no_other_file(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    world_stop(w);
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    w->config.confine = true;
    w->config.listen = w->address;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct gate *g = NULL;
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || gate_start(&g, &w->config, NULL) != KLUIS_OK) { _exit(9); }
        int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
        bool files = (gate_walls(g) & WALL_FILES) != 0;
        bool calls = (gate_walls(g) & WALL_CALLS) != 0;
        errno = 0;
        bool denied = getpgid(0) < 0 && errno == EPERM; /* a call that the gate never needs */
        char report[4] = { (char)gate_walls(g), fd < 0, (char)denied, (char)((!files || fd < 0) && (!calls || denied)) };
        if (write(pipes[1], report, sizeof report) != sizeof report) { _exit(8); }
        for (;;) { kluis_sleep_us(1000000); }
    }
    char report[4] = { 0 };
    (void)close(pipes[1]);
    assert_int_equal(read(pipes[0], report, sizeof report), sizeof report);
    assert_true((report[0] & WALL_PRIVILEGES) != 0);
    assert_true(report[3]);
    print_message("walls: %d, /etc/passwd refused: %d, foreign call refused: %d\n", report[0], report[1], report[2]);
    /* Everything that needs the disk, the clock, threads and memory works behind them. */
    KLUIS_AUTO_BUF(data, 4 << 20);
    struct kluis_bytes all = pattern(&data, 3000000, 9);
    struct gate_reply r;
    uint64_t numbers[4];
    ASK(w->device, "PUT", "/v1/upload/" UP1 "?offset=0&length=3000000", all, 204);
    ASK(w->device, "POST", "/v1/message/" MSG1 "?upload=" UP1, bytes_of("m"), 202);
    assert_int_equal(next_items(w, 0, numbers, 4), 1);
    gate_client_ask(w->vault, "GET", "/vault/v1/upload/" UP1, none(), NULL, &r);
    assert_int_equal(r.body.len, all.len);
    gate_reply_free(&r);
    publish(w, 1, 1000, 1, 2, 204, 2);
    assert_int_equal(taken(w, w->device), 1);
    assert_int_equal(inbox_of(w->device, "/v1/inbox?wait=1", NULL), 0);
    /* The vault is told which they are, and nobody else. */
    char told[24];
    (void)snprintf(told, sizeof told, "%d/%u", report[0], (unsigned)geteuid());
    gate_client_ask(w->vault, "GET", "/vault/v1/bundle", none(), NULL, &r);
    assert_string_equal(r.walls, told);
    gate_reply_free(&r);
    gate_client_ask(w->device, "GET", "/v1/inbox", none(), NULL, &r);
    assert_string_equal(r.walls, "");
    gate_reply_free(&r);
    done_with(w, numbers, 1);
    assert_int_equal(files_in(w), 0);
    assert_int_equal(kill(child, SIGKILL), 0);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* not by its own walls before */
    (void)close(pipes[0]);
    /* What was acknowledged before the kill is there. */
    w->config.confine = false;
    world_start(w);
    assert_int_equal(taken(w, w->device), 2);
    world_free(w);
}

static void durable_steps_have_names_of_their_own(void **state)
{
    (void)state;
    assert_true(steps_distinct() >= 14);
}

int world_run_vault_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_done_is_gone_and_what_is_not_is_given_again),
        cmocka_unit_test(a_batch_of_the_queue_is_bounded),
        cmocka_unit_test(enrolment_is_relayed_unread),
        cmocka_unit_test(a_one_time_prekey_is_handed_out_once),
        cmocka_unit_test(the_mirror_grows_only_at_its_end_and_under_its_checkpoint),
        cmocka_unit_test(wrong_pieces_of_the_mirror_are_dropped),
        cmocka_unit_test(the_registers_journal_grows_only_at_its_end),
        cmocka_unit_test(what_a_clock_that_was_ahead_noted_ends_all_the_same),
        cmocka_unit_test(an_answer_is_handed_out_only_when_the_mirror_holds_its_leaf),
        cmocka_unit_test(time_comes_from_the_first_authority_that_answers),
        cmocka_unit_test(a_directory_has_one_gate),
        cmocka_unit_test(behind_its_walls_the_gate_serves_and_reaches_no_other_file),
        cmocka_unit_test(durable_steps_have_names_of_their_own),
    };
    return cmocka_run_group_tests_name("gate, vault", tests, NULL, NULL);
}
