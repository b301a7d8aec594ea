/* package_test.c - what the writer makes, judged by tools that are not ours. */
#include "package_sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

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
    char dir[] = "/tmp/kluis-tools-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
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
        assert_int_equal(run(dir, "cd x && test \"$(sed -n 's/^Payload-Oxum: //p' bag-info.txt)\" = \"$(find data -type f -printf '%s\\n' | awk '{s+=$1;n++} END{print s\".\"n}')\""), 0);
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
        (void)snprintf(command, sizeof command, "test $(find x -name '*.mdto.xml' | wc -l) = 7 && find x -name '*.mdto.xml' -exec xmllint --nonet --noout --schema '%s' {} +", schema);
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

int main(void)
{
    struct kluis_err err = { 0 };
    if (kluis_base_init(&err) != KLUIS_OK) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_package_starts_with_a_stored_mimetype),
        cmocka_unit_test(the_same_slice_gives_the_same_bytes),
        cmocka_unit_test(other_tools_agree_about_a_package),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
