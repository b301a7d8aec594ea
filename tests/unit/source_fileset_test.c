/* Promise: what lies in a folder, a zip (plain, zip64's many, WinZip's AES), a tar or beside a file is found and read by name, the same bytes
 * whatever it lies in; a wrong password, a bomb and names that leave the folder are refused; a cut archive gives what came before; nothing is
 * changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

#include "agent/source/fileset.h"
#include "source_support.h"
#include "tests/support/test_dir.h"

static char dir[KLUIS_PATH_MAX];

static void add(struct archive *a, const char *name, const void *p, size_t n)
{
    struct archive_entry *e = archive_entry_new();
    archive_entry_set_pathname(e, name);
    archive_entry_set_size(e, (int64_t)n);
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_perm(e, 0600);
    assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
    assert_int_equal(archive_write_data(a, p, n), (la_ssize_t)n);
    archive_entry_free(e);
}

static struct archive *begin(const char *name, bool zip, const char *passphrase, char path[KLUIS_PATH_MAX])
{
    struct archive *a = archive_write_new();
    assert_int_equal(kluis_path(path, KLUIS_PATH_MAX, dir, name, NULL), KLUIS_OK);
    assert_int_equal(zip ? archive_write_set_format_zip(a) : archive_write_set_format_pax_restricted(a), ARCHIVE_OK);
    if (!zip) { assert_int_equal(archive_write_add_filter_gzip(a), ARCHIVE_OK); }
    if (passphrase != NULL) {
        assert_int_equal(archive_write_set_options(a, "zip:encryption=aes256"), ARCHIVE_OK);
        assert_int_equal(archive_write_set_passphrase(a, passphrase), ARCHIVE_OK);
    }
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    return a;
}

static bool is_json(const char *name) { return strstr(name, ".json") != NULL; }

static void expect(const char *path, const char *passphrase)
{
    struct fileset f;
    struct kluis_err err = { 0 };
    const struct fileset_how how = { "test", passphrase, is_json };
    uint8_t got[64];
    size_t n = 0;
    bool several;
    if (fileset_open(&f, path, &how, &err) != KLUIS_OK) { fail_msg("%s", err.msg); }
    uint32_t i = fileset_find(&f, KLUIS_STR_LIT("b/messages.json"));
    assert_int_not_equal(i, FILESET_NONE);
    assert_int_equal(fileset_read_at(&f, i, got, sizeof got, 1, &n, &err), KLUIS_OK);
    assert_int_equal(n, 4);
    assert_memory_equal(got, "\"a\":", 4);
    assert_int_equal(fileset_named(&f, KLUIS_STR_LIT("foto.jpg"), &several), FILESET_NONE);
    assert_true(several);
    assert_int_not_equal(fileset_named(&f, KLUIS_STR_LIT("een.jpg"), &several), FILESET_NONE);
    assert_int_equal(fileset_find(&f, KLUIS_STR_LIT("b")), FILESET_NONE);
    i = fileset_from(&f, KLUIS_STR_LIT("b/"));
    assert_string_equal(f.list[i].name, "b/een.jpg");
    fileset_close(&f);
}

struct taken {
    unsigned given[4];
};
static kluis_status on_given(void *ctx, size_t index, const struct kluis_input *in, struct kluis_err *err)
{
    struct taken *t = ctx;
    char got[16];
    ssize_t n = in->read(in->ctx, got, sizeof got, err);
    assert_int_equal(n, 5);
    assert_memory_equal(got, "FOTO2", 5);
    t->given[index]++;
    return KLUIS_OK;
}
static void gives(const char *path, const char *passphrase)
{
    const struct kluis_str wanted[] = { KLUIS_STR_LIT("b/foto.jpg"), KLUIS_STR_LIT("../x"), KLUIS_STR_LIT("b/foto.jpg"), KLUIS_STR_LIT("weg") };
    const struct fileset_how how = { "test", passphrase, NULL };
    struct taken t = { { 0 } };
    struct source_attachment_sink sink = { &t, on_given };
    struct kluis_err err = { 0 };
    if (fileset_give(path, &how, wanted, 4, &sink, &err) != KLUIS_OK) { fail_msg("%s", err.msg); }
    assert_true(t.given[0] == 1 && t.given[1] == 0 && t.given[2] == 1 && t.given[3] == 0);
}

static void the_same_whatever_it_lies_in(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
    } all[] = { { "a/foto.jpg", "FOTO1" }, { "b/foto.jpg", "FOTO2" }, { "b/een.jpg", "x" }, { "b/messages.json", "{\"a\":" }, { "z.json", "{}" } };
    char folder[KLUIS_PATH_MAX], sub[KLUIS_PATH_MAX], path[KLUIS_PATH_MAX];
    uint8_t before[32], after[32];
    assert_int_equal(kluis_path(folder, sizeof folder, dir, "folder", NULL), KLUIS_OK);
    assert_int_equal(mkdir(folder, 0700), 0);
    for (const char *s = "a\0b\0"; *s != '\0'; s += 2) {
        assert_int_equal(kluis_path(sub, sizeof sub, folder, s, NULL), KLUIS_OK);
        assert_int_equal(mkdir(sub, 0700), 0);
    }
    for (size_t i = 0; i < 5; i++) { source_put(folder, all[i].name, all[i].text, strlen(all[i].text), path); }
    source_folder_sum(folder, before);
    expect(folder, NULL);
    gives(folder, NULL);
    expect(path, NULL); /* z.json, the rest beside it */
    gives(path, NULL);
    source_folder_sum(folder, after);
    assert_memory_equal(before, after, 32);
    for (int form = 0; form < 3; form++) {
        const char *pass = form == 1 ? "geheim geheim" : NULL;
        struct archive *a = begin(form == 2 ? "a.tar.gz" : form == 1 ? "locked.zip" : "a.zip", form != 2, pass, path);
        for (size_t i = 0; i < 5; i++) { add(a, all[i].name, all[i].text, strlen(all[i].text)); }
        assert_int_equal(archive_write_free(a), ARCHIVE_OK);
        expect(path, pass);
        gives(path, pass);
    }
    struct fileset f;
    for (int with = 0; with < 2; with++) {
        struct kluis_err err = { 0 };
        const struct fileset_how how = { "test", with ? "ander woord" : NULL, is_json };
        assert_int_equal(kluis_path(path, sizeof path, dir, "locked.zip", NULL), KLUIS_OK);
        assert_int_equal(fileset_open(&f, path, &how, &err), KLUIS_E_REJECT);
        assert_non_null(strstr(err.msg, with ? "this password" : "password=@FILE"));
    }
}

static void many_and_cut(void **state)
{
    (void)state;
    enum { MANY = 70000 };
    char path[KLUIS_PATH_MAX], name[64], cut[KLUIS_PATH_MAX];
    struct fileset f;
    struct kluis_err err = { 0 };
    const struct fileset_how how = { "test", NULL, is_json };
    struct archive *a = begin("many.zip", true, NULL, path);
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "k/%06d.json", i);
        add(a, name, name, strlen(name));
    }
    assert_int_equal(archive_write_free(a), ARCHIVE_OK);
    if (fileset_open(&f, path, &how, &err) != KLUIS_OK) { fail_msg("%s", err.msg); }
    assert_int_equal(f.n, MANY);
    uint8_t got[64];
    size_t n = 0;
    assert_int_equal(fileset_read_at(&f, fileset_find(&f, KLUIS_STR_LIT("k/069999.json")), got, sizeof got, 0, &n, &err), KLUIS_OK);
    assert_int_equal(n, 13);
    fileset_close(&f);
    KLUIS_AUTO_BUF(b, 64 << 20);
    assert_int_equal(kluis_read_file(path, 64 << 20, &b, &err), KLUIS_OK);
    source_put(dir, "cut.zip", b.data, b.len / 2, cut);
    if (fileset_open(&f, cut, &how, &err) != KLUIS_OK) { fail_msg("%s", err.msg); }
    assert_true(f.ended_early && f.n > MANY / 4 && f.n < MANY);
    fileset_close(&f);
    for (size_t k = 0; k < 4096; k += 97) { /* whatever its bytes are */
        source_put(dir, "cut.zip", b.data, k, cut);
        struct kluis_err e = { 0 };
        kluis_status rc = fileset_open(&f, cut, &how, &e);
        assert_true(rc == KLUIS_OK || rc == KLUIS_E_REJECT);
        fileset_close(&f);
    }
}

static void hostile_archives_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { "/etc/x.json", "../x.json", "a/../../x.json", "C:\\x.json", "..\\x.json" };
    char path[KLUIS_PATH_MAX];
    struct fileset f;
    const struct fileset_how how = { "test", NULL, is_json };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct kluis_err err = { 0 };
        struct archive *a = begin("bad.zip", true, NULL, path);
        add(a, bad[i], "{}", 2);
        assert_int_equal(archive_write_free(a), ARCHIVE_OK);
        assert_int_equal(fileset_open(&f, path, &how, &err), KLUIS_E_REJECT);
        assert_true(strchr(err.msg, '\n') == NULL && strlen(err.msg) > 20);
    }
    struct kluis_err err = { 0 };
    struct archive *a = begin("bomb.zip", true, NULL, path);
    enum { BOMB = 100 << 20 };
    uint8_t *zeros = kluis_calloc(1, BOMB);
    assert_non_null(zeros);
    add(a, "bomb.json", zeros, BOMB);
    kluis_free(zeros);
    assert_int_equal(archive_write_free(a), ARCHIVE_OK);
    assert_int_equal(fileset_open(&f, path, &how, &err), KLUIS_E_LIMIT);
    kluis_err_clear(&err);
    assert_int_equal(fileset_open(&f, "/nergens/iets", &how, &err), KLUIS_E_NOTFOUND);
}

int main(void)
{
    struct kluis_err err = { 0 };
    if (kluis_base_init(&err) != KLUIS_OK || !test_dir("source_fileset", dir, sizeof dir)) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_whatever_it_lies_in),
        cmocka_unit_test(many_and_cut),
        cmocka_unit_test(hostile_archives_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
