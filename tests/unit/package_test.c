/* package_test.c - what the writer makes, judged by tools that are not ours. */
#include "package_sample.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include "tests/support/test_dir.h"

static const struct sample_options FULL = { .attachments = true, .evidence = true, .waardering = 'V' };

/* Runs a shell command in dir; its exit code. */
static int run(const char *dir, const char *command)
{
    char line[2048];
    int n = snprintf(line, sizeof line, "cd '%s' && { %s; } >/dev/null 2>&1", dir, command);
    assert_true(n > 0 && (size_t)n < sizeof line);
    int rc = system(line);
    return WIFEXITED(rc) ? WEXITSTATUS(rc) : -1;
}

static void a_package_starts_with_a_stored_mimetype(void **state)
{
    (void)state;
    uint8_t id[32], root[32], digest[32];
    KLUIS_AUTO_BUF(b, 1 << 20);
    int fd = sample_package(&FULL, id, root, &b);
    kluis_close_quiet(&fd);
    assert_memory_equal(b.data, "PK\x03\x04\x0a\x00\x00\x00\x00\x00", 10);
    assert_memory_equal(b.data + 30, "mimetypeapplication/vnd.etsi.asic-e+zipPK\x03\x04", 43);
    kluis_sha256_of(b.data, b.len, digest);
    assert_memory_equal(digest, id, 32);
}

static void the_same_slice_gives_the_same_bytes(void **state)
{
    (void)state;
    uint8_t id[32], root[32], again[32], root2[32];
    int fd = sample_package(&FULL, id, root, NULL);
    kluis_close_quiet(&fd);
    fd = sample_package(&FULL, again, root2, NULL);
    kluis_close_quiet(&fd);
    assert_memory_equal(id, again, 32);
    assert_memory_equal(root, root2, 32);
    struct sample_options twice = FULL;
    twice.attachment_twice = true;
    fd = sample_package(&twice, again, root2, NULL);
    kluis_close_quiet(&fd);
    assert_memory_equal(id, again, 32); /* equal content is stored once */
}

static void other_tools_agree_about_a_package(void **state)
{
    (void)state;
    char dir[48], path[64];
    assert_true(test_dir("tools", dir, sizeof dir));
    uint8_t id[32], root[32];
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(b, 1 << 20);
    int fd = sample_package(&FULL, id, root, &b);
    kluis_close_quiet(&fd);
    (void)snprintf(path, sizeof path, "%s/p.asice", dir);
    assert_int_equal(kluis_write_file(path, b.data, b.len, 0600, &err), KLUIS_OK);
    if (run(dir, "command -v unzip && command -v sha256sum") != 0) {
        print_message("skipped: unzip or sha256sum is not installed\n");
    } else {
        assert_int_equal(run(dir, "unzip -t p.asice"), 0);
        assert_int_equal(run(dir, "mkdir x && cd x && unzip -q ../p.asice"), 0);
        assert_int_equal(run(dir, "cd x && sha256sum --strict -c manifest-sha256.txt && sha256sum --strict -c tagmanifest-sha256.txt"), 0);
        assert_int_equal(run(dir, "cd x && test \"$(find data -type f | wc -l)\" = \"$(wc -l <manifest-sha256.txt)\""), 0);
        assert_int_equal(run(dir, "cd x && test \"$(sed -n 's/^Payload-Oxum: //p' bag-info.txt)\" = \"$(find data -type f -printf '%s\\n' | awk "
                                  "'{s+=$1;n++} END{print s\".\"n}')\""),
                         0);
        assert_int_equal(run(dir, "cd x && echo tampered >>bagit.txt && ! sha256sum --strict -c tagmanifest-sha256.txt"), 0);
    }
    if (run(dir, "command -v file") == 0) {
        assert_int_equal(run(dir, "file p.asice | grep -F application/vnd.etsi.asic-e+zip"), 0);
    } else {
        print_message("skipped: file is not installed\n");
    }
    const char *xsd = "../shared/standards/mdto/xsd/MDTO-XML1.0.1.xsd";
    char *schema = realpath(xsd, NULL);
    if (schema != NULL && run(dir, "command -v xmllint") == 0) {
        char command[1024];
        (void)snprintf(command, sizeof command,
                       "test $(find x -name '*.mdto.xml' | wc -l) = 7 && find x -name '*.mdto.xml' -exec xmllint --nonet --noout --schema '%s' {} +",
                       schema);
        assert_int_equal(run(dir, command), 0);
        assert_int_equal(run(dir, "xmllint --nonet --noout x/META-INF/ASiCManifest001.xml"), 0);
    } else {
        print_message("skipped: no xmllint, or no MDTO schema at %s\n", xsd);
    }
    free(schema);
    char clean[96];
    (void)snprintf(clean, sizeof clean, "rm -rf '%s'", dir);
    assert_int_equal(run("/tmp", clean), 0);
}

/* ---- every allocation and every write that may fail ------------------------------------------- */

static unsigned long calls, failing;

static void *one_allocation_fails(size_t n)
{
    (void)n;
    return ++calls == failing ? NULL : aligned_alloc(16, 16); /* base frees it */
}

static int one_write_fails(const char *op, const char *path, int fd)
{
    (void)path;
    (void)fd;
    if (strcmp(op, "write") != 0 && strcmp(op, "ftruncate") != 0 && strcmp(op, "read") != 0) { return 0; }
    return ++calls == failing ? ENOSPC : 0;
}

static kluis_status write_small(int fd, uint8_t id[32], struct kluis_err *err)
{
    static const struct kluis_header h = {
        .platform = { "whatsapp", 8 }, .conversation_id = { "c-1", 3 }, .self = KLUIS_NO_PARTY, .provenance = { .source = { "whatsapp-text", 13 } }
    };
    struct kluis_package_meta m = { .header = &h,
                                    .organisation = KLUIS_STR_LIT("Proef"),
                                    .device = KLUIS_STR_LIT("d1"),
                                    .sequence = 1,
                                    .waardering = 'N',
                                    .first_us = KLUIS_TIME_ABSENT,
                                    .last_us = KLUIS_TIME_ABSENT,
                                    .closed_us = 1743458400000000,
                                    .part = 1 };
    struct kluis_attachment a = { .name = KLUIS_STR_LIT("a.txt"), .size = 5, .has_sha256 = true };
    struct kluis_record r = { .author = KLUIS_NO_PARTY,
                              .sent = { KLUIS_TIME_ABSENT, 0 },
                              .text = KLUIS_STR_LIT("hoi"),
                              .attachments = &a,
                              .n_attachments = 1,
                              .target_author = KLUIS_NO_PARTY,
                              .target_sent = { KLUIS_TIME_ABSENT, 0 } };
    struct kluis_input_mem mem = { { (const uint8_t *)"bytes", 5 }, 0 };
    struct kluis_input in = kluis_input_from_mem(&mem);
    KLUIS_AUTO(kluis_package_writer) w = NULL;
    KLUIS_AUTO_BUF(manifest, KLUIS_MANIFEST_MAX);
    uint8_t root[32];
    uint64_t size = 0;
    KLUIS_TRY(kluis_package_begin(&w, fd, 6, &m, err));
    KLUIS_TRY(kluis_package_attachment(w, a.name, a.type, &in, a.sha256, &size, err));
    KLUIS_TRY(kluis_package_records_begin(w, err));
    KLUIS_TRY(kluis_package_record(w, &r, mem.data, err));
    KLUIS_TRY(kluis_package_records_end(w, root, err));
    KLUIS_TRY(kluis_package_manifest(w, &manifest, err));
    return kluis_package_finish(w, mem.data, id, &size, err);
}

/* Fails call 1, 2, 3 … until there is no such call any more; returns how many there were. */
static unsigned long sweep(const struct kluis_hooks *hooks, kluis_status want)
{
    uint8_t id[32], good[32];
    struct kluis_err err = { 0 };
    int fd = sample_file();
    assert_int_equal(write_small(fd, good, &err), KLUIS_OK);
    kluis_close_quiet(&fd);
    for (failing = 1;; failing++) {
        kluis_err_clear(&err);
        calls = 0;
        fd = sample_file();
        kluis_hooks_set(hooks);
        kluis_status rc = write_small(fd, id, &err);
        kluis_hooks_set(NULL);
        kluis_close_quiet(&fd);
        if (calls < failing) {
            assert_int_equal(rc, KLUIS_OK);
            assert_memory_equal(id, good, 32);
            return failing - 1;
        }
        /* A trial compression that finds no memory only decides to deflate. */
        if (rc == KLUIS_OK) {
            assert_int_equal(want, KLUIS_E_NOMEM);
            continue;
        }
        assert_int_equal(rc, want);
        assert_true(err.msg[0] != '\0');
    }
}

static void a_failed_allocation_or_write_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    static const struct kluis_hooks memory = { .alloc = one_allocation_fails }, disk = { .io_fault = one_write_fails };
    assert_in_range(sweep(&memory, KLUIS_E_NOMEM), 20, 1000);
    assert_in_range(sweep(&disk, KLUIS_E_IO), 30, 1000);
}

static void a_slice_that_cannot_be_described_is_not_begun(void **state)
{
    (void)state;
    static const struct kluis_header h = {
        .platform = { "whatsapp", 8 }, .conversation_id = { "c-1", 3 }, .self = KLUIS_NO_PARTY, .provenance = { .source = { "whatsapp-text", 13 } }
    };
    const struct kluis_package_meta good = { .header = &h,
                                             .organisation = KLUIS_STR_LIT("Proef"),
                                             .device = KLUIS_STR_LIT("d1"),
                                             .sequence = 1,
                                             .waardering = 'N',
                                             .first_us = KLUIS_TIME_ABSENT,
                                             .last_us = KLUIS_TIME_ABSENT,
                                             .closed_us = 1743458400000000,
                                             .part = 1 };
    struct kluis_package_meta bad[12];
    for (size_t i = 0; i < 12; i++) { bad[i] = good; }
    bad[0].organisation = KLUIS_STR_LIT("");
    bad[1].organisation = KLUIS_STR_LIT("twee\nregels");
    bad[2].device = KLUIS_STR_LIT("Jan de Vries");
    bad[3].sequence = 0;
    bad[4].waardering = 'X';
    bad[5].bewaartermijn = KLUIS_STR_LIT("P10Y"); /* without V */
    bad[6].closed_us++;
    bad[7].closed_us = 0;
    bad[8].first_us = 1;
    bad[9].part = 0;
    bad[10].retention_label = KLUIS_STR_LIT("\xff");
    bad[11].waardering = 'V';
    bad[11].bewaartermijn = KLUIS_STR_LIT("10 jaar");
    struct kluis_package_writer *w = NULL;
    struct kluis_err err = { 0 };
    int fd = sample_file();
    for (size_t i = 0; i < 12; i++) {
        kluis_err_clear(&err);
        assert_int_equal(kluis_package_begin(&w, fd, 6, &bad[i], &err), KLUIS_E_REJECT);
        assert_null(w);
    }
    kluis_err_clear(&err);
    assert_int_equal(kluis_package_begin(&w, fd, 6, &good, &err), KLUIS_OK);
    kluis_package_writer_free(w);
    kluis_close_quiet(&fd);
}

int main(void)
{
    struct kluis_err err = { 0 };
    if (kluis_base_init(&err) != KLUIS_OK) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_package_starts_with_a_stored_mimetype),
        cmocka_unit_test(the_same_slice_gives_the_same_bytes),
        cmocka_unit_test(a_failed_allocation_or_write_is_an_error_and_leaks_nothing),
        cmocka_unit_test(a_slice_that_cannot_be_described_is_not_begun),
        cmocka_unit_test(other_tools_agree_about_a_package),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
