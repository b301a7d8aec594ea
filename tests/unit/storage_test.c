/* Promises of server/storage/storage.h: durable, unchanging, keys bound to their package. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "server/storage/storage.h"
#include "tests/support/test_dir.h"

static char dir[64];
static int steps;
static int fail_fsync;

static void count_step(const char *name)
{
    if (strcmp(name, "vault.t1.storage.file") == 0 || strcmp(name, "vault.t1.storage.directory") == 0) { steps++; } /* what was synced */
}

static int fault(const char *op, const char *path, int fd)
{
    (void)path;
    (void)fd;
    return fail_fsync && strcmp(op, "fsync") == 0 ? ENOSPC : 0;
}

static int setup(void **state)
{
    static const struct kluis_hooks hooks = { .durable_step = count_step, .io_fault = fault };
    struct kluis_err err = { 0 };
    (void)state;
    kluis_hooks_set(&hooks);
    return kluis_base_init(&err) == KLUIS_OK && test_dir("storage", dir, sizeof dir) ? 0 : 1;
}

static kluis_status put(struct storage *s, uint8_t name, const char *bytes, uint8_t sha[32], struct kluis_err *err)
{
    struct storage_writer *w = NULL;
    uint64_t size = 0;
    uint8_t upload[16] = { name }, package[32] = { name };
    kluis_status rc = storage_begin(s, upload, &w, err);
    if (rc == KLUIS_OK && (rc = storage_write(w, bytes, strlen(bytes), err)) == KLUIS_OK) {
        storage_end(w, sha, &size);
        assert_int_equal(size, strlen(bytes));
        if ((rc = storage_sync(w, err)) == KLUIS_OK) {
            rc = storage_publish(&w, package, err);
            return rc == KLUIS_OK ? storage_settle(s, err) : rc;
        }
    }
    storage_abandon(&w);
    return rc;
}

static void one_settling_serves_a_group_and_syncs_each_directory_once(void **state)
{
    (void)state;
    struct kluis_err err = { 0 };
    uint8_t sha[32];
    uint64_t size = 0;
    struct storage *s = NULL;
    struct storage_writer *w[6];
    assert_int_equal(storage_open_files(&s, dir, &err), KLUIS_OK);
    for (uint8_t i = 0; i < 6; i++) {
        const uint8_t upload[16] = { 0x40, i };
        assert_int_equal(storage_begin(s, upload, &w[i], &err), KLUIS_OK);
        assert_int_equal(storage_write(w[i], &i, 1, &err), KLUIS_OK);
        storage_end(w[i], sha, &size);
    }
    steps = 0;
    for (uint8_t i = 0; i < 6; i++) {
        const uint8_t package[32] = { i < 4 ? 0x40 : 0x41, i };
        assert_int_equal(storage_sync(w[i], &err), KLUIS_OK);
        assert_int_equal(storage_publish(&w[i], package, &err), KLUIS_OK);
    }
    assert_int_equal(steps, 6);
    fail_fsync = 1;
    assert_int_equal(storage_settle(s, &err), KLUIS_E_IO);
    fail_fsync = 0;
    kluis_err_clear(&err);
    assert_int_equal(steps, 6);
    assert_int_equal(storage_settle(s, &err), KLUIS_OK); /* the failed one is still to be done */
    assert_int_equal(steps, 8);
    assert_int_equal(storage_settle(s, &err), KLUIS_OK);
    assert_int_equal(steps, 8);
    storage_free(s);
}

static void a_package_is_not_named_before_its_bytes_are_on_disk(void **state)
{
    (void)state;
    struct kluis_err err = { 0 };
    uint8_t sha[32], upload[16] = { 0x50 }, package[32] = { 0x50 };
    uint64_t size = 0;
    int fd;
    struct storage *s = NULL;
    struct storage_writer *w = NULL;
    assert_int_equal(storage_open_files(&s, dir, &err), KLUIS_OK);
    assert_int_equal(storage_begin(s, upload, &w, &err), KLUIS_OK);
    assert_int_equal(storage_write(w, "x", 1, &err), KLUIS_OK);
    storage_end(w, sha, &size);
    assert_int_equal(storage_publish(&w, package, &err), KLUIS_E_BUG);
    kluis_err_clear(&err);
    assert_int_equal(storage_fetch(s, package, &fd, &size, &err), KLUIS_E_NOTFOUND);
    storage_free(s);
}

static void a_published_package_reads_back_and_survives_reopening(void **state)
{
    (void)state;
    struct kluis_err err = { 0 };
    uint8_t sha[32], again[32], package[32] = { 7 };
    uint64_t size = 0;
    struct storage *s = NULL;
    assert_int_equal(storage_open_files(&s, dir, &err), KLUIS_OK);
    steps = 0;
    assert_int_equal(put(s, 7, "ciphertext", sha, &err), KLUIS_OK);
    assert_int_equal(steps, 2);
    storage_free(s);
    assert_int_equal(storage_open_files(&s, dir, &err), KLUIS_OK);
    assert_int_equal(storage_digest(s, package, again, &size, &err), KLUIS_OK);
    assert_memory_equal(sha, again, 32);
    assert_int_equal(size, 10);
    storage_free(s);
}

static void the_same_bytes_may_come_again_other_bytes_may_not(void **state)
{
    (void)state;
    struct kluis_err err = { 0 };
    uint8_t sha[32], now[32], package[32] = { 8 };
    uint64_t size;
    struct storage *s = NULL;
    assert_int_equal(storage_open_files(&s, dir, &err), KLUIS_OK);
    assert_int_equal(put(s, 8, "first", sha, &err), KLUIS_OK);
    assert_int_equal(put(s, 8, "first", now, &err), KLUIS_OK);
    assert_int_equal(put(s, 8, "other", now, &err), KLUIS_E_EXISTS);
    kluis_err_clear(&err);
    assert_int_equal(storage_digest(s, package, now, &size, &err), KLUIS_OK);
    assert_memory_equal(sha, now, 32);
    storage_free(s);
}

static void a_full_disk_leaves_nothing_behind_and_work_goes_on_after(void **state)
{
    (void)state;
    struct kluis_err err = { 0 };
    uint8_t sha[32], package[32] = { 9 };
    uint64_t size;
    int fd;
    struct storage *s = NULL;
    assert_int_equal(storage_open_files(&s, dir, &err), KLUIS_OK);
    fail_fsync = 1;
    assert_int_equal(put(s, 9, "lost", sha, &err), KLUIS_E_IO);
    fail_fsync = 0;
    kluis_err_clear(&err);
    assert_int_equal(storage_fetch(s, package, &fd, &size, &err), KLUIS_E_NOTFOUND);
    kluis_err_clear(&err);
    assert_int_equal(put(s, 9, "kept", sha, &err), KLUIS_OK);
    storage_free(s);
}

static void an_interrupted_upload_is_swept_at_the_next_start(void **state)
{
    (void)state;
    struct kluis_err err = { 0 };
    struct storage *s = NULL;
    char path[160];
    struct stat st;
    assert_int_equal(storage_open_files(&s, dir, &err), KLUIS_OK);
    storage_free(s);
    (void)snprintf(path, sizeof path, "%s/storage/incoming/00ff.part", dir);
    assert_int_equal(kluis_write_file(path, "x", 1, 0600, &err), KLUIS_OK);
    assert_int_equal(storage_open_files(&s, dir, &err), KLUIS_OK);
    assert_int_not_equal(stat(path, &st), 0);
    storage_free(s);
}

static void a_wrapped_key_opens_for_its_own_package_and_key_alone(void **state)
{
    (void)state;
    struct kluis_err err = { 0 };
    uint8_t wrapping[32] = { 1 }, other[32] = { 2 }, package[32] = { 3 }, key[32] = { 4, 5, 6 }, out[32];
    uint8_t wrapped[STORAGE_WRAPPED_LEN];
    assert_int_equal(storage_wrap(wrapping, package, key, wrapped, &err), KLUIS_OK);
    assert_int_equal(storage_unwrap(wrapping, package, wrapped, sizeof wrapped, out, &err), KLUIS_OK);
    assert_memory_equal(out, key, 32);
    assert_int_equal(storage_unwrap(other, package, wrapped, sizeof wrapped, out, &err), KLUIS_E_CORRUPT);
    kluis_err_clear(&err);
    assert_int_equal(storage_unwrap(wrapping, other, wrapped, sizeof wrapped, out, &err), KLUIS_E_CORRUPT);
    for (size_t i = 0; i < sizeof wrapped; i++) {
        kluis_err_clear(&err);
        wrapped[i] ^= 0x10;
        assert_int_equal(storage_unwrap(wrapping, package, wrapped, sizeof wrapped, out, &err), KLUIS_E_CORRUPT);
        wrapped[i] ^= 0x10;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_settling_serves_a_group_and_syncs_each_directory_once),
        cmocka_unit_test(a_package_is_not_named_before_its_bytes_are_on_disk),
        cmocka_unit_test(a_published_package_reads_back_and_survives_reopening),
        cmocka_unit_test(the_same_bytes_may_come_again_other_bytes_may_not),
        cmocka_unit_test(a_full_disk_leaves_nothing_behind_and_work_goes_on_after),
        cmocka_unit_test(an_interrupted_upload_is_swept_at_the_next_start),
        cmocka_unit_test(a_wrapped_key_opens_for_its_own_package_and_key_alone),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
