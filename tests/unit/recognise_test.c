/* Promise: what lies at a path is recognised by what is in it, under any name, in a folder or a zip, and how sure that is is said; what is
 * nothing is not taken for something; nothing is created where it looks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/source/source.h"
#include "tests/support/test_dir.h"

#include <dirent.h>
#include <errno.h>

static char dir[KLUIS_PATH_MAX];

static void put_file(const char *name, const char *text)
{
    char path[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    assert_int_equal(kluis_path(path, sizeof path, dir, name, &err), KLUIS_OK);
    assert_int_equal(kluis_write_file(path, text, strlen(text), 0600, &err), KLUIS_OK);
}

static size_t ask(const char *name, struct source_guess g[SOURCE_GUESSES_MAX])
{
    char path[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    size_t n = 99;
    assert_int_equal(kluis_path(path, sizeof path, dir, name, &err), KLUIS_OK);
    assert_int_equal(source_recognise(path, g, &n, &err), KLUIS_OK);
    return n;
}

static void is(const char *name, const char *kind, enum source_sure sure)
{
    struct source_guess g[SOURCE_GUESSES_MAX];
    size_t n = ask(name, g);
    if (n < 1) { fail_msg("%s is nothing, not %s", name, kind); }
    assert_string_equal(g[0].kind->name, kind);
    assert_string_equal(source_sure_name(g[0].sure), source_sure_name(sure));
    assert_true(n == 1 || g[1].sure < g[0].sure);
}

static void is_nothing(const char *name)
{
    struct source_guess g[SOURCE_GUESSES_MAX];
    if (ask(name, g) != 0) { fail_msg("%s is no source, yet %s takes it (%s)", name, g[0].kind->name, source_sure_name(g[0].sure)); }
}

static const char chat[] = "[16-03-2022 15:10:17] Anna: een\r\n[16-03-2022 15:10:18] Bram: twee\r\n";
static const char notice[] = "12-03-2026, 14:32 - Messages and calls are end-to-end encrypted. Only people in this chat can read, listen to, or "
                             "share them. Learn more.\n12-03-2026, 14:33 - Anna: dag\n";

static void by_content(void **state)
{
    (void)state;
    put_file("a.bin", chat);
    is("a.bin", "whatsapp-text", SOURCE_LIKELY);
    put_file("b", notice);
    is("b", "whatsapp-text", SOURCE_CERTAIN);
    put_file("c.txt", "{\"version\":\"1\",\"backupTimeMs\":\"1700000000000\",\"mediaRootBackupKey\":\"\"}\n{\"account\":{}}\n");
    is("c.txt", "signal-export", SOURCE_CERTAIN);
}

static void what_is_nothing(void **state)
{
    (void)state;
    put_file("WhatsApp Chat with X.txt", "Dear diary,\nnothing happened at 12:30 on 3-4-2020.\n");
    is_nothing("WhatsApp Chat with X.txt");
    put_file("main.jsonl", "{\"a\":1}\n");
    is_nothing("main.jsonl");
    put_file("empty", "");
    is_nothing("empty");
    put_file("broken.zip", "PK\x03\x04 and then nothing");
    is_nothing("broken.zip");
}

/* The chat is found among other files, also below. */
static void in_folders(void **state)
{
    (void)state;
    char sub[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    assert_int_equal(kluis_path(sub, sizeof sub, dir, "export", &err), KLUIS_OK);
    assert_int_equal(kluis_make_dir(sub, &err), KLUIS_OK);
    put_file("export/notes", "a list\n");
    is_nothing("export");
    put_file("export/photo.jpg", chat);
    is("export", "whatsapp-text", SOURCE_LIKELY);
    size_t n = 0;
    DIR *d = opendir(sub);
    assert_non_null(d);
    while (readdir(d) != NULL) { n++; }
    assert_int_equal(closedir(d), 0);
    assert_int_equal(n, 4); /* . and .., and the two files: nothing was left beside them */
}

static void not_there(void **state)
{
    (void)state;
    struct source_guess g[SOURCE_GUESSES_MAX];
    struct kluis_err err = { 0 };
    size_t n = 0;
    assert_int_equal(source_recognise("/nowhere/at/all", g, &n, &err), KLUIS_E_NOTFOUND);
}

/* A kind that cannot recognise its own files would make "auto" lie. */
static void every_kind_looks(void **state)
{
    (void)state;
    size_t n = 0;
    const struct source_kind *const *k = source_kinds(&n);
    assert_true(n <= SOURCE_GUESSES_MAX);
    for (size_t i = 0; i < n; i++) {
        if (k[i]->probe == NULL) { fail_msg("%s recognises nothing", k[i]->name); }
    }
}

/* What a source tells and what not is said in words, in both languages: a new token without words would be shown bare. */
static void every_ability_has_words(void **state)
{
    (void)state;
    size_t n = 0;
    const struct source_kind *const *k = source_kinds(&n);
    for (size_t i = 0; i < n; i++) {
        assert_true(k[i]->about_nl != NULL && k[i]->about_en != NULL && strcmp(k[i]->about_nl, k[i]->about_en) != 0);
        for (int list = 0; list < 2; list++) {
            for (const char *const *t = list == 0 ? k[i]->tells : k[i]->loss; t != NULL && *t != NULL; t++) {
                if (source_ability(*t, true) == NULL || source_ability(*t, false) == NULL) {
                    fail_msg("%s: '%s' has no words (abilities.c)", k[i]->name, *t);
                }
            }
        }
    }
}

static int fail_at, looks;
static int not_that_one(const char *op, KLUIS_UNUSED const char *path, KLUIS_UNUSED int fd)
{
    return (strcmp(op, "stat") == 0 || strcmp(op, "access") == 0) && looks++ == fail_at ? EIO : 0;
}

/* A folder in which nothing can be found is refused; one in which something could not be looked for is not: that is tried again. */
static void what_cannot_be_looked_at_is_not_absent(void **state)
{
    static const char *const kinds[] = { "whatsapp-android", "whatsapp-ios", "imessage", "signal-desktop" };
    static const struct kluis_hooks hooks = { .io_fault = not_that_one };
    static const struct source_sink sink = { NULL, NULL, NULL, NULL, NULL }; /* nothing is read that could be given */
    char path[KLUIS_PATH_MAX];
    (void)state;
    assert_int_equal(kluis_path(path, sizeof path, dir, "a folder with nothing", NULL), KLUIS_OK);
    assert_int_equal(kluis_make_dir(path, NULL), KLUIS_OK);
    const struct source_request q = { .path = path };
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        const struct source_kind *kind = source_find(kinds[k]);
        assert_non_null(kind);
        for (fail_at = 0;; fail_at++) {
            struct kluis_err err = { 0 };
            looks = 0;
            kluis_hooks_set(&hooks);
            kluis_status rc = kind->read(&q, &sink, &err);
            kluis_hooks_set(NULL);
            if (looks <= fail_at) {
                assert_int_equal(rc, KLUIS_E_REJECT);
                break;
            }
            if (rc != KLUIS_E_IO || err.sys != EIO) { fail_msg("%s, look %d: %d, %s", kinds[k], fail_at, (int)rc, err.msg); }
        }
        assert_true(fail_at > 0); /* it looked for something */
    }
}

int main(void)
{
    struct kluis_err err = { 0 };
    if (kluis_base_init(&err) != KLUIS_OK || !test_dir("recognise", dir, sizeof dir)) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_content),
        cmocka_unit_test(what_is_nothing),
        cmocka_unit_test(in_folders),
        cmocka_unit_test(not_there),
        cmocka_unit_test(every_kind_looks),
        cmocka_unit_test(every_ability_has_words),
        cmocka_unit_test(what_cannot_be_looked_at_is_not_absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
