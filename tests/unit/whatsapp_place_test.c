/* whatsapp_place_test.c - texts, folders and zips of WhatsApp exports, good and hostile ones; all made here. */
#include "whatsapp_support.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tests/support/test_dir.h"

static struct chat_read c;
static char dir[64];
static const char own[] = "tests/fixtures/eigen-whatsapp/WhatsApp Chat - Overleg Waterkering";
static const char chat[] = "13-03-2026, 14:32 - Jan: hoi\n13-03-2026, 14:33 - Piet: IMG-20260313-WA0001.jpg (bestand bijgevoegd)\n13-03-2026, 14:34 "
                           "- Jan: IMG-20260313-WA0001.jpg (bestand bijgevoegd)\n";

static const char *in_dir(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

struct part {
    const char *name;
    const char *data;
    size_t n;
    bool zeros;
};

static void make_zip(const char *path, const struct part *parts, size_t n, const char *password)
{
    struct archive *a = archive_write_new();
    archive_write_set_format_zip(a);
    if (password != NULL) {
        assert_int_equal(archive_write_set_options(a, "zip:encryption=traditional"), ARCHIVE_OK);
        archive_write_set_passphrase(a, password);
    }
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    static const char zeros[65536];
    for (size_t i = 0; i < n; i++) {
        struct archive_entry *e = archive_entry_new();
        archive_entry_set_pathname(e, parts[i].name);
        archive_entry_set_size(e, (la_int64_t)parts[i].n);
        archive_entry_set_filetype(e, AE_IFREG);
        archive_entry_set_perm(e, 0644);
        assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
        for (size_t at = 0; at < parts[i].n;) {
            size_t k = parts[i].zeros ? (parts[i].n - at < sizeof zeros ? parts[i].n - at : sizeof zeros) : parts[i].n;
            assert_int_equal(archive_write_data(a, parts[i].zeros ? zeros : parts[i].data, k), (la_ssize_t)k);
            at += k;
        }
        archive_entry_free(e);
    }
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
}

static void put(const char *path, const char *data, size_t n)
{
    struct kluis_err err = { .code = KLUIS_OK };
    assert_int_equal(kluis_write_file(path, data, n, 0600, &err), KLUIS_OK);
}

struct got {
    size_t n;
    size_t index[8];
    char data[8][64];
    size_t len[8];
};

static kluis_status take(void *ctx, size_t index, const struct kluis_input *in, struct kluis_err *err)
{
    struct got *g = ctx;
    assert_true(g->n < 8);
    g->index[g->n] = index;
    ssize_t k;
    while ((k = in->read(in->ctx, g->data[g->n] + g->len[g->n], sizeof g->data[0] - g->len[g->n], err)) > 0) { g->len[g->n] += (size_t)k; }
    assert_true(k == 0);
    g->n++;
    return KLUIS_OK;
}

static kluis_status attachments_of(const char *path, struct kluis_str id, const struct kluis_str *wanted, size_t n, struct got *g)
{
    struct kluis_err err = { .code = KLUIS_OK };
    memset(g, 0, sizeof *g);
    struct source_request q = { path, NULL, 0 };
    struct source_attachment_sink sink = { g, take };
    kluis_status rc = source_whatsapp_text.attachments(&q, id, wanted, n, &sink, &err);
    if (rc != KLUIS_OK) { print_message("%s\n", err.msg); }
    return rc;
}

static kluis_status attachments(const char *path, const struct kluis_str *wanted, size_t n, struct got *g)
{
    return attachments_of(path, KLUIS_STR_LIT("-"), wanted, n, g);
}

static void a_folder_and_a_text_and_a_zip_of_one_chat_are_the_same(void **state)
{
    (void)state;
    char text[1024];
    snprintf(text, sizeof text, "%s/_chat.txt", own);
    struct chat_read t, z;
    chat_read_path(&c, own, (char *)NULL);
    chat_read_path(&t, text, (char *)NULL);
    assert_int_equal(c.rc, KLUIS_OK);
    assert_int_equal(t.rc, KLUIS_OK);
    assert_int_equal(c.n, 6);
    assert_non_null(strstr((char *)c.header.data, "\"name\":\"Overleg Waterkering\",\"type\":\"group\""));
    assert_true(chat_has(&c, 3, "\"name\":\"00000004-Nota.txt\",\"type\":\"text/plain\",\"size\":35}"));
    assert_true(chat_has(&c, 4, "\"loss\":\"missing\""));
    KLUIS_AUTO_BUF(body, 1 << 20);
    struct kluis_err err = { .code = KLUIS_OK };
    assert_int_equal(kluis_read_file(text, 1 << 20, &body, &err), KLUIS_OK);
    const struct part parts[] = { { "_chat.txt", (char *)body.data, body.len, false },
                                  { "00000004-Nota.txt", "Nota over de waterkering, versie 1\n", 35, false } };
    make_zip(in_dir("WhatsApp Chat - Overleg Waterkering.zip"), parts, 2, NULL);
    chat_read_path(&z, in_dir("WhatsApp Chat - Overleg Waterkering.zip"), (char *)NULL);
    assert_int_equal(z.rc, KLUIS_OK);
    const struct chat_read *same[] = { &t, &z };
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(same[i]->lines.len, c.lines.len);
        assert_memory_equal(same[i]->lines.data, c.lines.data, c.lines.len);
        assert_int_equal(same[i]->header.len, c.header.len);
        assert_memory_equal(same[i]->header.data, c.header.data, c.header.len);
        assert_memory_equal(same[i]->raw.data, c.raw.data, c.raw.len);
    }
    chat_free(&c);
    chat_free(&t);
    chat_free(&z);
    const struct kluis_str wanted[] = { KLUIS_STR_LIT("00000005-PHOTO-2026-03-13-09-02-00.jpg"), KLUIS_STR_LIT("00000004-Nota.txt") };
    const char *paths[] = { own, text, in_dir("WhatsApp Chat - Overleg Waterkering.zip") };
    for (size_t i = 0; i < 3; i++) {
        struct got g;
        assert_int_equal(attachments(paths[i], wanted, 2, &g), KLUIS_OK);
        assert_int_equal(g.n, 1);
        assert_int_equal(g.index[0], 1);
        assert_memory_equal(g.data[0], "Nota over de waterkering, versie 1\n", 35);
    }
}

static int64_t in_a_minute(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return ((int64_t)t.tv_sec + 60) * 1000000;
}

static void id_of_chat(const char *path, char id[64])
{
    chat_read_path(&c, path, (char *)NULL);
    assert_int_equal(c.rc, KLUIS_OK);
    kluis_buf_byte(&c.header, 0);
    const char *at = strstr((const char *)c.header.data, "\"conversation\":{\"id\":\"");
    assert_non_null(at);
    assert_int_equal(sscanf(at + 22, "%63[^\"]", id), 1);
    chat_free(&c);
}

/* Of the chats of a folder, the one that was asked for: also when it is asked again, when folders were renamed, when a file is another chat now. */
static void attachments_come_from_the_chat_that_has_the_id(void **state)
{
    static const struct kluis_hooks later = { .now_us = in_a_minute }; /* what was written is settled */
    static const char *const of[] = { "Jan", "Piet" };
    const struct kluis_str wanted[] = { KLUIS_STR_LIT("IMG-20260313-WA0001.jpg") };
    char top[KLUIS_PATH_MAX], sub[2][KLUIS_PATH_MAX], path[KLUIS_PATH_MAX], name[64], id[2][64];
    struct got g;
    (void)state;
    assert_int_equal(kluis_path(top, sizeof top, in_dir(""), "two", NULL), KLUIS_OK);
    assert_int_equal(kluis_make_dir(top, NULL), KLUIS_OK);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(kluis_path(sub[i], sizeof sub[i], top, i == 0 ? "0" : "1", NULL), KLUIS_OK);
        assert_int_equal(kluis_make_dir(sub[i], NULL), KLUIS_OK);
        (void)snprintf(name, sizeof name, "WhatsApp-chat met %s.txt", of[i]);
        assert_int_equal(kluis_path(path, sizeof path, sub[i], name, NULL), KLUIS_OK);
        put(path, chat, sizeof chat - 1);
        assert_int_equal(kluis_path(path, sizeof path, sub[i], "IMG-20260313-WA0001.jpg", NULL), KLUIS_OK);
        put(path, of[i], strlen(of[i]));
        id_of_chat(sub[i], id[i]);
    }
    assert_string_not_equal(id[0], id[1]);
    for (int round = 0; round < 4; round++) { /* at once, and three times when ids may be remembered */
        if (round == 1) { kluis_hooks_set(&later); }
        if (round == 3) { /* the two change places */
            assert_int_equal(kluis_path(path, sizeof path, top, "x", NULL), KLUIS_OK);
            assert_int_equal(rename(sub[0], path), 0);
            assert_int_equal(rename(sub[1], sub[0]), 0);
            assert_int_equal(rename(path, sub[1]), 0);
        }
        for (size_t i = 0; i < 2; i++) {
            assert_int_equal(attachments_of(top, kluis_str_of(id[i]), wanted, 1, &g), KLUIS_OK);
            assert_int_equal(g.n, 1);
            assert_int_equal(g.len[0], strlen(of[i]));
            assert_memory_equal(g.data[0], of[i], strlen(of[i]));
        }
    }
    char other[KLUIS_PATH_MAX];
    assert_int_equal(kluis_path(path, sizeof path, sub[1], "WhatsApp-chat met Jan.txt", NULL), KLUIS_OK);
    assert_int_equal(kluis_path(other, sizeof other, sub[1], "WhatsApp-chat met Kees.txt", NULL), KLUIS_OK);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(attachments_of(top, kluis_str_of(id[0]), wanted, 1, &g), KLUIS_OK);
    kluis_hooks_set(NULL);
    assert_int_equal(g.n, 0);
}

static void an_attachment_named_twice_is_given_twice(void **state)
{
    (void)state;
    const struct part parts[] = { { "WhatsApp-chat met Jan.txt", chat, sizeof chat - 1, false }, { "IMG-20260313-WA0001.jpg", "beeld", 5, false } };
    make_zip(in_dir("a.zip"), parts, 2, NULL);
    chat_read_path(&c, in_dir("a.zip"), (char *)NULL);
    assert_int_equal(c.rc, KLUIS_OK);
    assert_int_equal(c.n, 3);
    assert_true(chat_has(&c, 1, "\"size\":5}"));
    assert_non_null(strstr((char *)c.header.data, "\"name\":\"Jan\",\"type\":\"direct\""));
    chat_free(&c);
    const struct kluis_str wanted[] = { KLUIS_STR_LIT("IMG-20260313-WA0001.jpg"), KLUIS_STR_LIT("IMG-20260313-WA0001.jpg") };
    struct got g;
    assert_int_equal(attachments(in_dir("a.zip"), wanted, 2, &g), KLUIS_OK);
    assert_int_equal(g.n, 2);
    assert_memory_equal(g.data[1], "beeld", 5);
    const struct kluis_str outside[] = { KLUIS_STR_LIT("../a.zip"), KLUIS_STR_LIT("/etc/passwd") };
    put(in_dir("WhatsApp Chat with Jan.txt"), chat, sizeof chat - 1);
    assert_int_equal(attachments(in_dir("WhatsApp Chat with Jan.txt"), outside, 2, &g), KLUIS_OK);
    assert_int_equal(g.n, 0);
}

static void refuse(const char *path, const char *part)
{
    chat_read_path(&c, path, (char *)NULL);
    if (c.rc == KLUIS_OK || strstr(c.err.msg, part) == NULL) { print_message("%s\n", c.err.msg); }
    assert_int_equal(kluis_exit_code(c.rc), 1);
    assert_int_equal(c.n, 0);
    assert_non_null(strstr(c.err.msg, part));
    assert_null(strchr(c.err.msg, '\n'));
    chat_free(&c);
}

static void hostile_zips_are_refused_in_one_line(void **state)
{
    (void)state;
    const struct part good = { "_chat.txt", chat, sizeof chat - 1, false };
    static const char *const bad[] = { "/etc/evil.txt", "../evil.txt", "media/../../evil.txt", "..\\evil.txt", "C:\\evil.txt", "\\evil.txt" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct part parts[] = { good, { bad[i], "x", 1, false } };
        make_zip(in_dir("bad.zip"), parts, 2, NULL);
        refuse(in_dir("bad.zip"), "absolute path or '..'");
    }
    const struct part fine[] = { good, { "a..b/..c.txt", "x", 1, false } };
    make_zip(in_dir("fine.zip"), fine, 2, NULL);
    chat_read_path(&c, in_dir("fine.zip"), (char *)NULL);
    assert_int_equal(c.rc, KLUIS_OK);
    chat_free(&c);
    const struct part bomb[] = { good, { "bom.bin", NULL, 100 << 20, true } };
    make_zip(in_dir("bomb.zip"), bomb, 2, NULL);
    refuse(in_dir("bomb.zip"), "zip bomb");
    const struct part text_bomb[] = { { "_chat.txt", NULL, 60 << 20, true } };
    make_zip(in_dir("bomb2.zip"), text_bomb, 1, NULL);
    refuse(in_dir("bomb2.zip"), "not a WhatsApp chat export");
    make_zip(in_dir("locked.zip"), &good, 1, "geheim");
    refuse(in_dir("locked.zip"), "encrypted");
    const struct part none[] = { { "foto.jpg", "x", 1, false } };
    make_zip(in_dir("none.zip"), none, 1, NULL);
    refuse(in_dir("none.zip"), "no chat text");
    put(in_dir("short.zip"), "PK\003\004abc", 7);
    refuse(in_dir("short.zip"), "zip");
    make_zip(in_dir("cut.zip"), fine, 2, NULL);
    assert_int_equal(truncate(in_dir("cut.zip"), 100), 0);
    refuse(in_dir("cut.zip"), "zip");
    const struct part mac[] = { { "__MACOSX/._chat.txt", "x", 1, false }, good };
    make_zip(in_dir("mac.zip"), mac, 2, NULL);
    chat_read_path(&c, in_dir("mac.zip"), (char *)NULL);
    assert_int_equal(c.rc, KLUIS_OK);
    assert_int_equal(c.n, 3);
    chat_free(&c);
}

static void a_lie_about_a_texts_size_is_caught_while_reading(void **state)
{
    (void)state;
    /* A directory that promises little, data that is much: patch the declared sizes of a bomb. */
    const struct part parts[] = { { "_chat.txt", NULL, 80 << 20, true } };
    make_zip(in_dir("lie.zip"), parts, 1, NULL);
    KLUIS_AUTO_BUF(z, 4 << 20);
    struct kluis_err err = { .code = KLUIS_OK };
    assert_int_equal(kluis_read_file(in_dir("lie.zip"), 4 << 20, &z, &err), KLUIS_OK);
    for (size_t i = 0; i + 46 < z.len; i++) {
        if (memcmp(z.data + i, "PK\001\002", 4) == 0) { memcpy(z.data + i + 24, "\x00\x10\x00\x00", 4); }
    }
    put(in_dir("lie.zip"), (char *)z.data, z.len);
    chat_read_path(&c, in_dir("lie.zip"), (char *)NULL);
    assert_int_equal(kluis_exit_code(c.rc), 1);
    assert_int_equal(c.n, 0);
    chat_free(&c);
}

static void one_bad_chat_in_a_folder_keeps_no_other_out(void **state)
{
    (void)state;
    char sub[512], path[1024];
    snprintf(sub, sizeof sub, "%s/map", dir);
    assert_int_equal(mkdir(sub, 0700), 0);
    snprintf(path, sizeof path, "%s/WhatsApp Chat with Jan.txt", sub);
    put(path, chat, sizeof chat - 1);
    snprintf(path, sizeof path, "%s/WhatsApp Chat with Leeg.txt", sub);
    put(path, "", 0);
    snprintf(path, sizeof path, "%s/notitie.txt", sub);
    put(path, "geen chat\n", 10);
    snprintf(path, sizeof path, "%s/WhatsApp Chat - Piet.zip", sub);
    const struct part parts[] = { { "_chat.txt", chat, sizeof chat - 1, false } };
    make_zip(path, parts, 1, NULL);
    chat_read_path(&c, sub, (char *)NULL);
    assert_int_equal(c.rc, KLUIS_OK);
    assert_int_equal(c.n, 6);
    kluis_buf_byte(&c.skipped, 0);
    assert_non_null(strstr((char *)c.skipped.data, "WhatsApp Chat with Leeg.txt"));
    assert_null(strstr((char *)c.skipped.data, "notitie"));
    chat_free(&c);
    char empty[512];
    snprintf(empty, sizeof empty, "%s/leeg", dir);
    assert_int_equal(mkdir(empty, 0700), 0);
    refuse(empty, "no chat export");
    chat_read_path(&c, in_dir("bestaat-niet.txt"), (char *)NULL);
    assert_int_equal(c.rc, KLUIS_E_NOTFOUND);
    chat_free(&c);
}

static void nothing_is_left_beside_what_is_read(void **state)
{
    (void)state;
    size_t before = 0, after = 0;
    for (int pass = 0; pass < 2; pass++) {
        char cmd[600];
        snprintf(cmd, sizeof cmd, "ls -lan --time-style=full-iso '%s' | cksum", own);
        FILE *f = popen(cmd, "r");
        assert_non_null(f);
        assert_int_equal(fscanf(f, "%zu", pass == 0 ? &before : &after), 1);
        (void)pclose(f);
        if (pass == 0) {
            chat_read_path(&c, own, (char *)NULL);
            chat_free(&c);
        }
    }
    assert_int_equal(before, after);
}

static int set_up(void **state)
{
    (void)state;
    struct kluis_err err = { .code = KLUIS_OK };
    return !test_dir("whatsapp", dir, sizeof dir) ? -1 : kluis_base_init(&err);
}

static int tear_down(void **state)
{
    (void)state;
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
    return system(cmd);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_folder_and_a_text_and_a_zip_of_one_chat_are_the_same),
                                        cmocka_unit_test(attachments_come_from_the_chat_that_has_the_id),
                                        cmocka_unit_test(an_attachment_named_twice_is_given_twice),
                                        cmocka_unit_test(hostile_zips_are_refused_in_one_line),
                                        cmocka_unit_test(a_lie_about_a_texts_size_is_caught_while_reading),
                                        cmocka_unit_test(one_bad_chat_in_a_folder_keeps_no_other_out),
                                        cmocka_unit_test(nothing_is_left_beside_what_is_read) };
    return cmocka_run_group_tests_name("whatsapp-text, places", tests, set_up, tear_down);
}
