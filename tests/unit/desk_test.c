/* Promises of server/desk, over its real socket with a real index and trail: nothing is looked up for who does not bring the key of this run, what is
 * no request ends its connection and no other, connections are counted, and a vault that was started anew is found again. */
#include "server/desk/desk.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/local/local.h"
#include "tests/support/test_dir.h"

static char dir[64], path[KLUIS_PATH_MAX], key[ACCESS_KEY_LEN + 1];
static struct reg *reg;
static struct index *ix;
static struct api api;
static struct desk *desk;
static unsigned asked;
static const uint8_t PACKAGE[32] = { 7 };

static struct index *borrow(KLUIS_UNUSED void *ctx)
{
    asked++;
    return ix;
}
static void give_back(KLUIS_UNUSED void *ctx, KLUIS_UNUSED struct index *which) {}

static void open_desk(void)
{
    struct kluis_err err = { 0 };
    int fd = -1;
    assert_int_equal(local_listen(path, &fd, &err), KLUIS_OK);
    assert_int_equal(desk_start(&desk, fd, &api, &err), KLUIS_OK);
}

static _Atomic(const char *) fail_op; /* "fdatasync", "write": these of ours fail */

static int fault(const char *op, KLUIS_UNUSED const char *at, KLUIS_UNUSED int fd)
{
    const char *failing = fail_op;
    return failing != NULL && strcmp(op, failing) == 0 ? EIO : 0;
}

static int setup(KLUIS_UNUSED void **state)
{
    static const struct kluis_hooks hooks = { .io_fault = fault };
    static const uint8_t master[32] = { 1 };
    const struct index_row row = {
        .ordinal = 1, .kind = KLUIS_MESSAGE, .author = KLUIS_NO_PARTY, .sent_us = 1, .text = KLUIS_STR_LIT("de vergunning")
    };
    struct index_package p = { .sequence = 1,
                               .official = KLUIS_STR_LIT("anna"),
                               .device = KLUIS_STR_LIT("anna"),
                               .platform = KLUIS_STR_LIT("signal"),
                               .conversation_id = KLUIS_STR_LIT("g"),
                               .self = KLUIS_NO_PARTY,
                               .rows = &row,
                               .n_rows = 1 };
    struct kluis_err err = { 0 };
    char index_dir[KLUIS_PATH_MAX];
    memcpy(p.id, PACKAGE, 32);
    asked = 0;
    fail_op = NULL;
    kluis_hooks_set(&hooks);
    if (kluis_base_init(&err) != KLUIS_OK || !test_dir("desk", dir, sizeof dir) || reg_open(&reg, dir, &err) != KLUIS_OK ||
        kluis_path(index_dir, sizeof index_dir, dir, "index", &err) != KLUIS_OK ||
        kluis_path(path, sizeof path, dir, "page.sock", &err) != KLUIS_OK || index_open(&ix, index_dir, master, &err) != KLUIS_OK ||
        index_add(ix, &p, &err) != KLUIS_OK || index_commit(ix, &err) != KLUIS_OK) {
        print_message("%s\n", err.msg);
        return -1;
    }
    api = (struct api){ NULL, borrow, give_back, reg };
    open_desk();
    return 0;
}

static int teardown(KLUIS_UNUSED void **state)
{
    desk_stop(desk);
    reg_free(reg);
    index_close(ix);
    desk = NULL;
    return 0;
}

static uint64_t entries(void)
{
    uint64_t n = 0;
    struct kluis_err err = { 0 };
    assert_int_equal(reg_audit_check(reg, &n, &err), KLUIS_OK);
    return n;
}

/* A page server, and the key that the vault tells whoever runs it. */
static struct access *page(void)
{
    struct access *a = NULL;
    char url[DESK_URL_MAX];
    struct kluis_err err = { 0 };
    assert_int_equal(access_open(&a, path, "127.0.0.1:8080", 15, &err), KLUIS_OK);
    assert_int_equal(access_greet(a, &err), KLUIS_OK);
    assert_int_equal(desk_url(desk, url, &err), KLUIS_OK);
    assert_memory_equal(url, "http://127.0.0.1:8080/?key=", 27);
    assert_int_equal(strlen(url), 27 + ACCESS_KEY_LEN);
    memcpy(key, url + 27, sizeof key);
    return a;
}

static struct access_request question(enum access_what what)
{
    struct access_request r = { .what = what, .key = kluis_str_of(key), .purpose = KLUIS_STR_LIT("zaak 17"), .text = KLUIS_STR_LIT("vergunning") };
    r.from_us = r.to_us = KLUIS_TIME_ABSENT;
    r.limit = 10;
    r.ordinal = 1;
    memcpy(r.package, PACKAGE, 32);
    return r;
}

static kluis_status ask(struct access *a, const struct access_request *r, bool *admitted, char answer[4096])
{
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(b, ACCESS_ANSWER_MAX);
    kluis_status rc = access_ask(a, r, admitted, &b, &err);
    assert_int_equal(rc, err.code);
    assert_true(b.len < 4096);
    if (b.len > 0) { memcpy(answer, b.data, b.len); }
    answer[b.len] = '\0';
    if (rc != KLUIS_OK) { (void)snprintf(answer, 4096, "%s", err.msg); }
    return rc;
}

static const enum access_what KINDS[] = { ACCESS_KEY, ACCESS_SEARCH, ACCESS_AROUND, ACCESS_STATUS };

static void without_the_key_nothing_is_looked_up(KLUIS_UNUSED void **state)
{
    struct access *a = page();
    static const char *const wrong[] = { NULL, "", "0000000000000000000000000000000000000000000" };
    char answer[4096], cased[ACCESS_KEY_LEN + 1];
    bool admitted = true;
    memcpy(cased, key, sizeof cased);
    cased[ACCESS_KEY_LEN - 1] = (char)(cased[ACCESS_KEY_LEN - 1] == 'A' ? 'E' : 'A');
    for (size_t k = 0; k < sizeof KINDS / sizeof *KINDS; k++) {
        struct access_request r = question(KINDS[k]);
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong + 1; i++) {
            r.key = kluis_str_of(i < sizeof wrong / sizeof *wrong ? wrong[i] : cased);
            assert_int_equal(ask(a, &r, &admitted, answer), KLUIS_OK);
            assert_false(admitted);
            assert_string_equal(answer, "");
        }
    }
    assert_int_equal(asked, 0);
    assert_int_equal(entries(), 0);
    access_close(a);
}

static void with_it_everything_comes_and_stands_in_the_trail(KLUIS_UNUSED void **state)
{
    struct access *a = page();
    char answer[4096];
    for (size_t k = 0; k < sizeof KINDS / sizeof *KINDS; k++) {
        const struct access_request r = question(KINDS[k]);
        bool admitted = false;
        assert_int_equal(ask(a, &r, &admitted, answer), KLUIS_OK);
        assert_true(admitted);
        if (KINDS[k] == ACCESS_KEY) { assert_string_equal(answer, ""); }
        if (KINDS[k] == ACCESS_SEARCH) { assert_memory_equal(answer, "{\"hits\":[{", 10); }
        if (KINDS[k] == ACCESS_AROUND) { assert_memory_equal(answer, "{\"messages\":[{", 14); }
        if (KINDS[k] == ACCESS_STATUS) { assert_non_null(strstr(answer, "\"records\":1,")); }
    }
    assert_int_equal(asked, 3);
    assert_int_equal(entries(), 2);
    struct desk_page p;
    desk_page(desk, &p);
    assert_true(p.connected && p.walls == 15 && p.user == geteuid());
    access_close(a);
}

/* Somebody who may look is still given nothing that the trail could not take: E_IO, which the page gives out as 503.  What needs no entry is
 * answered, and when the disk takes entries again so is the rest, with an entry for each answer. */
static void what_cannot_be_noted_is_not_answered(KLUIS_UNUSED void **state)
{
    static const char *const ops[] = { "fdatasync", "write" };
    struct access *a = page();
    char answer[4096];
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        uint64_t before = entries();
        for (size_t k = 0; k < sizeof KINDS / sizeof *KINDS; k++) {
            const bool noted = KINDS[k] == ACCESS_SEARCH || KINDS[k] == ACCESS_AROUND;
            const struct access_request r = question(KINDS[k]);
            bool admitted = false;
            fail_op = ops[i];
            assert_int_equal(ask(a, &r, &admitted, answer), noted ? KLUIS_E_IO : KLUIS_OK);
            assert_null(strstr(answer, "vergunning"));
            fail_op = NULL;
        }
        const struct access_request r = question(ACCESS_SEARCH);
        bool admitted = false;
        assert_int_equal(ask(a, &r, &admitted, answer), KLUIS_OK);
        assert_non_null(strstr(answer, "vergunning"));
        assert_true(entries() > before);
    }
    access_close(a);
}

static void what_is_wrong_with_a_question_is_said(KLUIS_UNUSED void **state)
{
    struct access *a = page();
    char answer[4096], much[API_PURPOSE_MAX + 2];
    bool admitted;
    struct access_request r = question(ACCESS_SEARCH);
    r.purpose = (struct kluis_str){ NULL, 0 };
    assert_int_equal(ask(a, &r, &admitted, answer), KLUIS_E_USAGE);
    assert_non_null(strstr(answer, "purpose"));
    memset(much, 'a', sizeof much);
    r.purpose = (struct kluis_str){ much, sizeof much };
    assert_int_equal(ask(a, &r, &admitted, answer), KLUIS_E_USAGE);
    r = question(ACCESS_SEARCH);
    r.text = KLUIS_STR_LIT("\"open");
    assert_int_equal(ask(a, &r, &admitted, answer), KLUIS_E_REJECT);
    assert_non_null(strstr(answer, "never closed"));
    r = question(ACCESS_AROUND);
    r.package[0] = 8;
    assert_int_equal(ask(a, &r, &admitted, answer), KLUIS_E_NOTFOUND);
    r = question(ACCESS_SEARCH);
    assert_int_equal(ask(a, &r, &admitted, answer), KLUIS_OK); /* by the same connection */
    access_close(a);
}

/* A connection of somebody who does as he likes. */
static int raw(bool hello)
{
    struct kluis_err err = { 0 };
    int fd = -1;
    assert_int_equal(local_connect(path, 20, &fd, &err), KLUIS_OK);
    if (!hello) { return fd; }
    const struct access_request h = { .what = ACCESS_HELLO, .walls = 1, .address = KLUIS_STR_LIT("127.0.0.1:1") };
    KLUIS_AUTO_BUF(b, 256);
    char kind = 0;
    assert_int_equal(access_request_write(&h, &b, &err), KLUIS_OK);
    assert_int_equal(local_frame(fd, ACCESS_HELLO, b.data, b.len, &err), KLUIS_OK);
    kluis_buf_clear(&b);
    assert_int_equal(local_unframe(fd, &kind, &b, &err), KLUIS_OK);
    assert_true(kind == ACCESS_YES && b.len == 0);
    return fd;
}

static bool is_closed(int *fd)
{
    char c;
    ssize_t n = recv(*fd, &c, 1, 0);
    kluis_close_quiet(fd);
    return n == 0 || (n < 0 && (errno == ECONNRESET || errno == EPIPE));
}

static void what_is_no_request_ends_its_connection(KLUIS_UNUSED void **state)
{
    struct access *a = page();
    const struct access_request good = question(ACCESS_SEARCH), hello = { .what = ACCESS_HELLO, .address = KLUIS_STR_LIT("127.0.0.1:1") };
    KLUIS_AUTO_BUF(search, ACCESS_REQUEST_MAX);
    KLUIS_AUTO_BUF(again, ACCESS_REQUEST_MAX);
    assert_int_equal(access_request_write(&good, &search, NULL), KLUIS_OK);
    assert_int_equal(access_request_write(&hello, &again, NULL), KLUIS_OK);
    static const uint8_t endless[LOCAL_HEAD] = { ACCESS_SEARCH, 0xff, 0xff, 0xff, 0xff };
    for (int i = 0; i < 6; i++) {
        int fd = raw(i > 0);
        switch (i) {
        case 0: (void)local_frame(fd, ACCESS_SEARCH, search.data, search.len, NULL); break; /* no hello, and the right key */
        case 1: (void)local_frame(fd, 'x', search.data, search.len, NULL); break;
        case 2: (void)local_frame(fd, ACCESS_SEARCH, search.data, search.len - 1, NULL); break;
        case 3: (void)local_frame(fd, ACCESS_HELLO, again.data, again.len, NULL); break;
        case 4: assert_int_equal(local_send(fd, endless, sizeof endless, NULL), KLUIS_OK); break;
        default: (void)local_frame(fd, ACCESS_AROUND, search.data, search.len, NULL); break;
        }
        assert_true(is_closed(&fd));
    }
    assert_int_equal(asked, 0);
    assert_int_equal(entries(), 0);
    char answer[4096];
    bool admitted = false;
    assert_int_equal(ask(a, &good, &admitted, answer), KLUIS_OK); /* control: the same bytes, properly */
    assert_true(admitted);
    access_close(a);
}

static void connections_are_counted(KLUIS_UNUSED void **state)
{
    int fd[DESK_CHANNELS];
    for (size_t i = 0; i < DESK_CHANNELS; i++) { fd[i] = raw(true); }
    int more = raw(false);
    assert_true(is_closed(&more));
    kluis_close_quiet(&fd[0]);
    bool admitted = true;
    struct kluis_err err = { 0 };
    const struct access_request r = { .what = ACCESS_STATUS };
    KLUIS_AUTO_BUF(b, 4096);
    struct access *a = NULL;
    assert_int_equal(access_open(&a, path, "127.0.0.1:8080", 0, &err), KLUIS_OK);
    kluis_status rc = KLUIS_E_BUSY;
    for (int i = 0; i < 500 && rc == KLUIS_E_BUSY; i++) { /* until the vault has seen that one left */
        struct kluis_err why = { 0 };
        rc = access_ask(a, &r, &admitted, &b, &why);
        if (rc != KLUIS_OK) { kluis_sleep_us(10000); }
    }
    assert_int_equal(rc, KLUIS_OK);
    assert_false(admitted);
    access_close(a);
    for (size_t i = 1; i < DESK_CHANNELS; i++) { kluis_close_quiet(&fd[i]); }
}

static void a_vault_that_was_started_anew_is_found_again(KLUIS_UNUSED void **state)
{
    struct access *a = page();
    char answer[4096], url[DESK_URL_MAX], old[sizeof key];
    struct kluis_err err = { 0 };
    bool admitted = false;
    struct access_request r = question(ACCESS_STATUS);
    assert_int_equal(ask(a, &r, &admitted, answer), KLUIS_OK);
    memcpy(old, key, sizeof old);
    desk_stop(desk);
    assert_int_equal(ask(a, &r, &admitted, answer), KLUIS_E_BUSY);
    assert_false(admitted);
    open_desk();
    assert_int_equal(desk_url(desk, url, &err), KLUIS_E_BUSY); /* no page server came yet */
    assert_int_equal(ask(a, &r, &admitted, answer), KLUIS_OK);
    assert_false(admitted); /* another run, another key */
    kluis_err_clear(&err);
    assert_int_equal(desk_url(desk, url, &err), KLUIS_OK);
    assert_string_not_equal(url + 27, old);
    r.key = kluis_str_of(url + 27);
    assert_int_equal(ask(a, &r, &admitted, answer), KLUIS_OK);
    assert_true(admitted);
    access_close(a);
}

/* Nobody asks, and yet the vault is told who runs the page: else nobody could be told its address. */
static void a_greeting_tells_a_vault_that_was_started_anew_who_is_there(KLUIS_UNUSED void **state)
{
    struct access *a = page();
    char url[DESK_URL_MAX], again[DESK_URL_MAX];
    struct kluis_err err = { 0 };
    desk_stop(desk);
    assert_int_equal(access_greet(a, &err), KLUIS_E_BUSY);
    kluis_err_clear(&err);
    open_desk();
    assert_int_equal(access_greet(a, &err), KLUIS_OK);
    assert_int_equal(desk_url(desk, url, &err), KLUIS_OK);
    desk_stop(desk); /* the next one is there before anybody looked */
    open_desk();
    assert_int_equal(access_greet(a, &err), KLUIS_OK);
    assert_int_equal(desk_url(desk, again, &err), KLUIS_OK);
    assert_string_not_equal(again, url);
    assert_int_equal(access_greet(a, &err), KLUIS_OK); /* a connection that lives stays */
    access_close(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(without_the_key_nothing_is_looked_up, setup, teardown),
                                        cmocka_unit_test_setup_teardown(with_it_everything_comes_and_stands_in_the_trail, setup, teardown),
                                        cmocka_unit_test_setup_teardown(what_cannot_be_noted_is_not_answered, setup, teardown),
                                        cmocka_unit_test_setup_teardown(what_is_wrong_with_a_question_is_said, setup, teardown),
                                        cmocka_unit_test_setup_teardown(what_is_no_request_ends_its_connection, setup, teardown),
                                        cmocka_unit_test_setup_teardown(connections_are_counted, setup, teardown),
                                        cmocka_unit_test_setup_teardown(a_vault_that_was_started_anew_is_found_again, setup, teardown),
                                        cmocka_unit_test_setup_teardown(a_greeting_tells_a_vault_that_was_started_anew_who_is_there, setup,
                                                                        teardown) };
    return cmocka_run_group_tests_name("desk", tests, NULL, NULL);
}
