/* tests/unit/audit_order_test.c - promise of server/api/api.h: no hit is given before its search stands in the audit trail, on disk.
 * One by one (api_search): when the index is asked for, the entry has been written and synced and can be read back from the file; when it cannot be
 * written the index is never asked for; a process that ends right after the sync gave nothing and has its entry.
 * As a page (api_search_page, api_around_page): the index is asked meanwhile, but the call comes back only when the sync has; when the entry
 * cannot be written nothing of the page is left; a process that ends anywhere in between gave nothing. */
#include "server/api/api.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "tests/support/test_dir.h"

static char dir[64];
static struct reg *reg;
static struct index *ix; /* NULL: being rebuilt */
static const uint8_t PACKAGE[32] = { 7 };
static atomic_uint writes, synced_writes;
static atomic_uint asked, given_back;
static atomic_bool fail_sync, together;
static bool entry_was_there;
static enum { NOWHERE, AFTER_SYNC, PAGE_IN_SYNC, PAGE_AFTER_SYNC } die;
static atomic_bool in_sync, synced, returned;

static void wait_until(const atomic_uint *n)
{
    for (int i = 0; i < 5000 && atomic_load(n) == 0; i++) { (void)usleep(1000); }
}

static int fault(const char *op, KLUIS_UNUSED const char *path, KLUIS_UNUSED int fd)
{
    if (strcmp(op, "write") == 0) { writes++; }
    if (strcmp(op, "fdatasync") != 0) { return 0; }
    atomic_store(&in_sync, true);
    if (together) {
        /* The disk is slow: the search is through long before, and whoever asked must still be waiting. */
        wait_until(&given_back);
        if (die == PAGE_IN_SYNC) { _exit(atomic_load(&given_back) > 0 ? 42 : 43); }
        (void)usleep(50000);
        if (atomic_load(&returned)) { return 0; }
        atomic_store(&synced, true);
    }
    if (fail_sync) { return EIO; }
    synced_writes = writes;
    return 0;
}

static void step(const char *name)
{
    if (die == NOWHERE || strcmp(name, "register.trail") != 0) { return; }
    _exit(die == AFTER_SYNC ? (atomic_load(&asked) == 0 ? 42 : 43) : (atomic_load(&given_back) > 0 ? 42 : 43));
}

static int setup(KLUIS_UNUSED void **state)
{
    static const struct kluis_hooks hooks = { .io_fault = fault, .durable_step = step };
    struct kluis_err err = { 0 };
    writes = synced_writes = 0;
    atomic_store(&asked, 0);
    atomic_store(&given_back, 0);
    atomic_store(&in_sync, false);
    atomic_store(&synced, false);
    atomic_store(&returned, false);
    entry_was_there = false;
    fail_sync = together = false;
    die = NOWHERE;
    kluis_hooks_set(&hooks);
    return kluis_base_init(&err) == KLUIS_OK && test_dir("audit-order", dir, sizeof dir) && reg_open(&reg, dir, &err) == KLUIS_OK ? 0 : -1;
}

static kluis_status open_index(struct kluis_err *err)
{
    static const uint8_t master[32] = { 1 };
    char path[KLUIS_PATH_MAX];
    KLUIS_TRY(kluis_path(path, sizeof path, dir, "index", err));
    return index_open(&ix, path, master, err);
}

/* The same with an index of two messages. */
static int setup_index(void **state)
{
    const struct index_row rows[] = {
        { .ordinal = 1, .kind = KLUIS_MESSAGE, .author = KLUIS_NO_PARTY, .sent_us = 1000000, .text = KLUIS_STR_LIT("over de vergunning") },
        { .ordinal = 2, .kind = KLUIS_MESSAGE, .author = KLUIS_NO_PARTY, .sent_us = 2000000, .text = KLUIS_STR_LIT("de vergunning is er") },
    };
    struct index_package p = { .sequence = 1,
                               .official = KLUIS_STR_LIT("anna"),
                               .device = KLUIS_STR_LIT("anna"),
                               .platform = KLUIS_STR_LIT("signal"),
                               .conversation_id = KLUIS_STR_LIT("g"),
                               .conversation_type = KLUIS_GROUP,
                               .precision = KLUIS_PRECISION_MILLISECOND,
                               .self = KLUIS_NO_PARTY,
                               .rows = rows,
                               .n_rows = 2 };
    struct kluis_err err = { 0 };
    memcpy(p.id, PACKAGE, 32);
    if (setup(state) != 0 || open_index(&err) != KLUIS_OK || index_add(ix, &p, &err) != KLUIS_OK || index_commit(ix, &err) != KLUIS_OK) {
        print_message("%s\n", err.msg);
        return -1;
    }
    atomic_store(&in_sync, false);
    return 0;
}

static int teardown(KLUIS_UNUSED void **state)
{
    reg_free(reg);
    index_close(ix);
    reg = NULL;
    ix = NULL;
    return 0;
}

/* In the file itself, not in what the process remembers. */
static bool in_file(const char *words)
{
    char path[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(b, 16 << 20);
    (void)snprintf(path, sizeof path, "%s/audit/000001.log", dir);
    return kluis_read_file(path, 16 << 20, &b, &err) == KLUIS_OK && memmem(b.data, b.len, words, strlen(words)) != NULL;
}

static struct index *borrow(KLUIS_UNUSED void *ctx)
{
    asked++;
    if (together) { /* the entry is on its way while the index is asked */
        for (int i = 0; i < 5000 && !atomic_load(&in_sync); i++) { (void)usleep(1000); }
    } else {
        entry_was_there = in_file("zaak 17") && in_file("vergunning") && writes > 0 && synced_writes == writes;
    }
    return ix;
}
static void give_back(KLUIS_UNUSED void *ctx, KLUIS_UNUSED struct index *which) { given_back++; }

static kluis_status no_hit(KLUIS_UNUSED void *ctx, KLUIS_UNUSED const struct index_hit *h, KLUIS_UNUSED struct kluis_err *err) { return KLUIS_E_BUG; }

static kluis_status ask(void)
{
    const struct api api = { NULL, borrow, give_back, reg };
    const struct api_actor who = { "page", "zaak 17" };
    const struct index_sink sink = { NULL, no_hit };
    const struct index_query q = { .text = KLUIS_STR_LIT("vergunning"), .from_us = KLUIS_TIME_ABSENT, .to_us = KLUIS_TIME_ABSENT, .limit = 10 };
    struct index_result r = { 0 };
    struct kluis_err err = { 0 };
    return api_search(&api, &who, &q, &sink, &r, &err);
}

static void the_entry_is_on_disk_before_the_index_is_asked(KLUIS_UNUSED void **state)
{
    assert_int_equal(ask(), KLUIS_E_BUSY);
    assert_int_equal(asked, 1);
    assert_true(entry_was_there);
}

static void without_its_entry_the_index_is_not_asked(KLUIS_UNUSED void **state)
{
    fail_sync = true;
    assert_int_equal(ask(), KLUIS_E_IO);
    assert_int_equal(asked, 0);
    fail_sync = false;
    assert_int_equal(ask(), KLUIS_E_BUSY);
    assert_int_equal(asked, 1);
}

/* The child's way to end: 42.  Gives how many entries the trail has after it. */
static uint64_t entries_after(pid_t pid)
{
    int status = 0;
    struct kluis_err err = { 0 };
    uint64_t n = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
    assert_int_equal(reg_open(&reg, dir, &err), KLUIS_OK);
    assert_int_equal(reg_audit_check(reg, &n, &err), KLUIS_OK);
    return n;
}

static void who_is_killed_in_between_has_the_entry_and_no_hit(KLUIS_UNUSED void **state)
{
    reg_free(reg);
    reg = NULL;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct kluis_err err = { 0 };
        if (reg_open(&reg, dir, &err) != KLUIS_OK) { _exit(1); }
        die = AFTER_SYNC;
        _exit(ask() == KLUIS_OK ? 2 : 3);
    }
    assert_int_equal(entries_after(pid), 1);
    assert_true(in_file("vergunning"));
}

/* ---- pages ---- */

static kluis_status ask_page(bool around, struct kluis_buf *json, struct index_result *r)
{
    const struct api api = { NULL, borrow, give_back, reg };
    const struct api_actor who = { "page", around ? "zaak 17, vergunning" : "zaak 17" };
    const struct index_query q = { .text = KLUIS_STR_LIT("vergunning"), .from_us = KLUIS_TIME_ABSENT, .to_us = KLUIS_TIME_ABSENT, .limit = 1 };
    struct kluis_err err = { 0 };
    kluis_status rc = around ? api_around_page(&api, &who, PACKAGE, 1, 20, 20, json, &err) : api_search_page(&api, &who, &q, json, r, &err);
    assert_int_equal(rc, err.code);
    return rc;
}

static void a_page_comes_back_only_when_its_entry_is_on_disk(void **state)
{
    bool around = *(const bool *)*state;
    struct index_result r = { 0 };
    KLUIS_AUTO_BUF(json, 1 << 20);
    together = true;
    kluis_status rc = ask_page(around, &json, &r);
    atomic_store(&returned, true);
    assert_int_equal(rc, KLUIS_OK);
    assert_int_equal(asked, 1);
    assert_int_equal(given_back, 1);
    assert_true(synced); /* by a sync that began before and ended after the search */
    assert_int_equal(synced_writes, writes);
    assert_true(in_file("zaak 17") && in_file(around ? "ordinal=1" : "vergunning"));
    assert_non_null(memmem(json.data, json.len, "de vergunning is er", 19));
    assert_true(around || r.next[0] != '\0');
}

static void without_its_entry_nothing_of_a_page_is_left(void **state)
{
    bool around = *(const bool *)*state;
    struct index_result r = { 0 };
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(json, 1 << 20);
    kluis_buf_cstr(&json, "{");
    uint8_t *room = kluis_buf_reserve(&json, (1 << 20) - 1); /* all it may have: it stays where it is, and every byte of it is looked at */
    assert_non_null(room);
    memset(room, '.', (1 << 20) - 1);
    fail_sync = together = true;
    assert_int_equal(ask_page(around, &json, &r), KLUIS_E_IO);
    assert_int_equal(given_back, 1); /* it was there */
    assert_int_equal(json.len, 1);
    assert_null(memmem(json.data, json.cap, "vergunning", 10));
    assert_int_equal(r.next[0], '\0');
    fail_sync = together = false;
    assert_int_equal(ask_page(around, &json, &r), KLUIS_OK);
    assert_non_null(memmem(json.data, json.len, "de vergunning is er", 19));
    uint64_t n = 0;
    assert_int_equal(reg_audit_check(reg, &n, &err), KLUIS_OK);
    assert_int_equal(n, 1);
}

static void a_search_that_fails_leaves_its_entry_and_no_page(void **state)
{
    bool around = *(const bool *)*state;
    struct index *held = ix;
    struct index_result r = { 0 };
    KLUIS_AUTO_BUF(json, 1 << 20);
    ix = NULL;
    kluis_status rc = ask_page(around, &json, &r);
    ix = held;
    assert_int_equal(rc, KLUIS_E_BUSY);
    assert_int_equal(json.len, 0);
    assert_true(in_file("zaak 17"));
}

/* In the sync, when the search is through, or right after it. */
static void killed(bool around, bool in)
{
    int ends[2];
    char byte;
    assert_int_equal(pipe(ends), 0);
    reg_free(reg);
    index_close(ix);
    reg = NULL;
    ix = NULL;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct kluis_err err = { 0 };
        struct index_result r = { 0 };
        KLUIS_AUTO_BUF(json, 1 << 20);
        if (reg_open(&reg, dir, &err) != KLUIS_OK || open_index(&err) != KLUIS_OK) { _exit(1); }
        atomic_store(&in_sync, false);
        together = true;
        die = in ? PAGE_IN_SYNC : PAGE_AFTER_SYNC;
        kluis_status rc = ask_page(around, &json, &r);
        _exit(write(ends[1], json.data, json.len) == (ssize_t)json.len && rc == KLUIS_OK ? 2 : 3);
    }
    (void)close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 0); /* the end, and nothing before it */
    (void)close(ends[0]);
    uint64_t n = entries_after(pid);
    assert_true(in ? n <= 1 : n == 1);
}

static void who_is_killed_before_the_entry_is_on_disk_gave_no_page(void **state) { killed(*(const bool *)*state, true); }
static void who_is_killed_after_it_has_the_entry_and_gave_no_page(void **state) { killed(*(const bool *)*state, false); }

int main(void)
{
    static bool search = false, around = true;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_entry_is_on_disk_before_the_index_is_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(without_its_entry_the_index_is_not_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(who_is_killed_in_between_has_the_entry_and_no_hit, setup, teardown),
        cmocka_unit_test_prestate_setup_teardown(a_page_comes_back_only_when_its_entry_is_on_disk, setup_index, teardown, &search),
        cmocka_unit_test_prestate_setup_teardown(a_page_comes_back_only_when_its_entry_is_on_disk, setup_index, teardown, &around),
        cmocka_unit_test_prestate_setup_teardown(without_its_entry_nothing_of_a_page_is_left, setup_index, teardown, &search),
        cmocka_unit_test_prestate_setup_teardown(without_its_entry_nothing_of_a_page_is_left, setup_index, teardown, &around),
        cmocka_unit_test_prestate_setup_teardown(a_search_that_fails_leaves_its_entry_and_no_page, setup_index, teardown, &search),
        cmocka_unit_test_prestate_setup_teardown(a_search_that_fails_leaves_its_entry_and_no_page, setup_index, teardown, &around),
        cmocka_unit_test_prestate_setup_teardown(who_is_killed_before_the_entry_is_on_disk_gave_no_page, setup_index, teardown, &search),
        cmocka_unit_test_prestate_setup_teardown(who_is_killed_before_the_entry_is_on_disk_gave_no_page, setup_index, teardown, &around),
        cmocka_unit_test_prestate_setup_teardown(who_is_killed_after_it_has_the_entry_and_gave_no_page, setup_index, teardown, &search),
        cmocka_unit_test_prestate_setup_teardown(who_is_killed_after_it_has_the_entry_and_gave_no_page, setup_index, teardown, &around),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
