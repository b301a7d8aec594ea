/* tests/unit/audit_order_test.c - promise of server/api/api.h: a search stands in the audit trail, on disk, before its first hit is given.
 * Shown by order: when the index is asked for, the entry has been written and synced and can be read back from the file; when it cannot be
 * written the index is never asked for; a process that ends right after the sync gave nothing and has its entry. */
#include "server/api/api.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "tests/support/test_dir.h"

static char dir[64];
static struct reg *reg;
static unsigned asked, writes, synced_writes;
static bool fail_sync, die, entry_was_there;

static int fault(const char *op, KLUIS_UNUSED const char *path, KLUIS_UNUSED int fd)
{
    if (strcmp(op, "write") == 0) { writes++; }
    if (strcmp(op, "fdatasync") == 0) {
        if (fail_sync) { return EIO; }
        synced_writes = writes;
    }
    return 0;
}

static void step(const char *name)
{
    if (die && strcmp(name, "register.trail") == 0) { _exit(asked == 0 ? 42 : 43); }
}

static int setup(KLUIS_UNUSED void **state)
{
    static const struct kluis_hooks hooks = { .io_fault = fault, .durable_step = step };
    struct kluis_err err = { 0 };
    asked = writes = synced_writes = 0;
    fail_sync = die = entry_was_there = false;
    kluis_hooks_set(&hooks);
    return kluis_base_init(&err) == KLUIS_OK && test_dir("audit-order", dir, sizeof dir) && reg_open(&reg, dir, &err) == KLUIS_OK ? 0 : -1;
}

static int teardown(KLUIS_UNUSED void **state)
{
    reg_free(reg);
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
    entry_was_there = in_file("zaak 17") && in_file("vergunning") && writes > 0 && synced_writes == writes;
    return NULL; /* which api takes for an index that is being rebuilt */
}
static void give_back(KLUIS_UNUSED void *ctx, KLUIS_UNUSED struct index *ix) {}

static kluis_status no_hit(KLUIS_UNUSED void *ctx, KLUIS_UNUSED const struct index_hit *h, KLUIS_UNUSED struct kluis_err *err) { return KLUIS_E_BUG; }

static kluis_status ask(bool around)
{
    const struct api api = { NULL, borrow, give_back, reg };
    const struct api_actor who = { "page", around ? "zaak 17, vergunning" : "zaak 17" };
    const struct index_sink sink = { NULL, no_hit };
    const struct index_query q = { .text = KLUIS_STR_LIT("vergunning"), .from_us = KLUIS_TIME_ABSENT, .to_us = KLUIS_TIME_ABSENT, .limit = 10 };
    static const uint8_t package[32] = { 7 };
    struct index_result r = { 0 };
    struct kluis_err err = { 0 };
    return around ? api_around(&api, &who, package, 1, 20, 20, &sink, &err) : api_search(&api, &who, &q, &sink, &r, &err);
}

static void the_entry_is_on_disk_before_the_index_is_asked(KLUIS_UNUSED void **state)
{
    for (int around = 0; around < 2; around++) {
        entry_was_there = false;
        assert_int_equal(ask(around != 0), KLUIS_E_BUSY);
        assert_int_equal(asked, around + 1);
        assert_true(entry_was_there);
    }
}

static void without_its_entry_the_index_is_not_asked(KLUIS_UNUSED void **state)
{
    fail_sync = true;
    assert_int_equal(ask(false), KLUIS_E_IO);
    assert_int_equal(ask(true), KLUIS_E_IO);
    assert_int_equal(asked, 0);
    fail_sync = false;
    assert_int_equal(ask(false), KLUIS_E_BUSY);
    assert_int_equal(asked, 1);
}

static void who_is_killed_in_between_has_the_entry_and_no_hit(KLUIS_UNUSED void **state)
{
    int status = 0;
    reg_free(reg);
    reg = NULL;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct kluis_err err = { 0 };
        if (reg_open(&reg, dir, &err) != KLUIS_OK) { _exit(1); }
        die = true;
        _exit(ask(false) == KLUIS_OK ? 2 : 3);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
    struct kluis_err err = { 0 };
    uint64_t n = 0;
    assert_int_equal(reg_open(&reg, dir, &err), KLUIS_OK);
    assert_int_equal(reg_audit_check(reg, &n, &err), KLUIS_OK);
    assert_int_equal(n, 1);
    assert_true(in_file("vergunning"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_entry_is_on_disk_before_the_index_is_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(without_its_entry_the_index_is_not_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(who_is_killed_in_between_has_the_entry_and_no_hit, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
