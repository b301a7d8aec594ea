/* whatsapp_conformance.c - the whatsapp-text reader on exports that nobody in this project made.
 *
 * Reads ../shared/fixtures/whatsapp-txt (or $KLUIS_FIXTURES/whatsapp-txt); exits 77, saying so, where it does not exist.
 * Counts and contents are those that the files' own projects state.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "agent/source/source.h"

enum { MAX = 4096 };
struct one {
    enum kluis_kind kind;
    uint32_t author;
    int64_t us;
    char text[600];
    size_t n_attachments;
    char event[40];
    bool flagged;
};
struct chat {
    kluis_status rc;
    struct kluis_err err;
    struct kluis_header h;
    char people[32][64];
    size_t n, kinds[KLUIS_KINDS], conversations;
    struct one r[MAX];
    size_t raw;
    struct kluis_buf line, head;
};
static struct chat *c, *d;
static char root[2048];

static kluis_status on_begin(void *ctx, const struct kluis_header *h, struct kluis_err *err)
{
    struct chat *x = ctx;
    x->h = *h;
    x->conversations++;
    for (uint32_t i = 0; i < h->n_parties && i < 32; i++) { snprintf(x->people[i], 64, "%.*s", (int)h->parties[i].name.len, h->parties[i].name.ptr); }
    return kluis_header_write(h, &x->head, err);
}

static kluis_status on_record(void *ctx, const struct kluis_record *r, struct kluis_bytes raw, struct kluis_err *err)
{
    struct chat *x = ctx;
    assert_true(x->n < MAX);
    struct one *o = &x->r[x->n++];
    *o = (struct one){ .kind = r->kind, .author = r->author, .us = r->sent.us, .n_attachments = r->n_attachments };
    snprintf(o->text, sizeof o->text, "%.*s", (int)r->text.len, r->text.ptr == NULL ? "" : r->text.ptr);
    snprintf(o->event, sizeof o->event, "%.*s", (int)r->event.len, r->event.ptr == NULL ? "" : r->event.ptr);
    for (size_t i = 0; i < r->n_fields; i++) { o->flagged |= kluis_str_is(r->fields[i].name, "suspect"); }
    x->kinds[r->kind]++;
    x->raw += raw.len;
    /* What is read must be writable, and readable again as the same bytes. */
    kluis_buf_clear(&x->line);
    kluis_status rc = kluis_record_write(r, &x->h, &x->line, err);
    if (rc != KLUIS_OK) { return rc; }
    KLUIS_AUTO(kluis_arena) a = kluis_arena_new(8 << 20);
    struct kluis_record back;
    rc = kluis_record_read((struct kluis_str){ (const char *)x->line.data, x->line.len - 1 }, &x->h, a, &back, err);
    if (rc != KLUIS_OK) { return rc; }
    KLUIS_AUTO_BUF(again, 8 << 20);
    rc = kluis_record_write(&back, &x->h, &again, err);
    assert_int_equal(again.len, x->line.len);
    assert_memory_equal(again.data, x->line.data, again.len);
    return rc;
}
static kluis_status on_end(void *ctx, struct kluis_err *err)
{
    (void)ctx;
    (void)err;
    return KLUIS_OK;
}
static kluis_status on_skipped(void *ctx, const struct source_skip *s, struct kluis_err *err)
{
    (void)ctx;
    (void)s;
    (void)err;
    return KLUIS_OK;
}

static void read_path(struct chat *x, const char *path)
{
    struct kluis_buf line = x->line, head = x->head;
    memset(x, 0, sizeof *x);
    x->line = line;
    x->head = head;
    kluis_buf_clear(&x->head);
    struct source_request q = { path, NULL, 0 };
    struct source_sink sink = { x, on_begin, on_record, on_end, on_skipped };
    const struct source_kind *kind = source_find("whatsapp-text");
    assert_non_null(kind);
    x->rc = kind->read(&q, &sink, &x->err);
}

static void read_file(struct chat *x, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", root, name);
    read_path(x, path);
    if (x->rc != KLUIS_OK) { print_message("%s: %s\n", name, x->err.msg); }
    assert_int_equal(x->rc, KLUIS_OK);
    assert_int_equal(x->conversations, 1);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    if (strstr(name, ".zip") == NULL) { assert_int_equal(x->raw, (size_t)st.st_size); } /* every byte is some record's */
}

static int64_t local(int y, int m, int day, int h, int min, int s, int offset)
{
    int64_t days;
    assert_true(kluis_days_from_civil(y, m, day, &days));
    return (days * 86400 + h * 3600 + min * 60 + s - offset * 3600) * 1000000;
}

static size_t by(const struct chat *x, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < x->n; i++) {
        n += x->r[i].kind == KLUIS_MESSAGE && x->r[i].author != KLUIS_NO_PARTY && strcmp(x->people[x->r[i].author], name) == 0;
    }
    return n;
}

static void sodascience_files_have_nine_messages_of_four_people(void **state)
{
    (void)state;
    static const char *const files[] = {
        "_chat.txt", "_chat_file1.txt", "_chat_file2.txt", "_chat_file3.txt", "_chat_file4.txt", "whatsapp_chat.zip"
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char name[128];
        snprintf(name, sizeof name, "sodascience/%s", files[i]);
        read_file(c, name);
        assert_int_equal(c->n, 10);
        assert_int_equal(c->kinds[KLUIS_MESSAGE], 9);
        assert_int_equal(c->kinds[KLUIS_EVENT], 1);
        assert_int_equal(by(c, "person1"), 3);
        assert_int_equal(by(c, "person2"), 3);
        assert_int_equal(by(c, "person3"), 1);
        assert_int_equal(by(c, "person4"), 2);
        assert_string_equal(c->r[0].event, "encryption-notice");
        bool second = c->h.precision == KLUIS_PRECISION_SECOND;
        assert_int_equal(c->r[1].us, local(2022, 3, 16, 15, 20, second ? 25 : 0, 1));
        assert_int_equal(c->r[9].us, local(2020, 7, 14, 22, 5, second ? 54 : 0, 2));
        assert_true(c->r[9].flagged); /* the last line goes back two years */
        assert_string_equal(c->r[9].text, "\xF0\x9F\x91\x8D"
                                          "Bedankt");
        assert_string_equal(c->r[5].text, "Location: https://maps.google.com/?q=52.089451,5.108469");
        assert_string_equal(c->r[1].text, i >= 2 && i <= 4 ? "Hi \n\nshiva!" : "Hi shiva!");
    }
}

static void chat_miner_layouts_give_the_target(void **state)
{
    (void)state;
    static const char *const files[] = { "test_[mmddyy]_24hrs.txt", "test_ddmmyy_24hrs.txt", "test_mmddyy_24hrs.txt", "test_mmddyyyy_12hrs.txt",
                                         "test_yyyymmdd_24hrs.txt" };
    const struct {
        int64_t us;
        const char *author, *text;
    } target[] = { { local(2019, 1, 1, 11, 25, 0, 1), "John Doe", "Lorem ipsum dolor sit amet." },
                   { local(2019, 1, 30, 20, 49, 0, 1), "Jahn Doe", "Lorem ipsum dolor sit amet,\nconsectetur adipiscing elit. Duis libero." },
                   { local(2020, 6, 10, 15, 55, 0, 2), "John-John Doe", "Lorem ipsum : dolor sit amet." },
                   { local(2021, 12, 10, 10, 10, 0, 1), "John Doe \xF0\x9F\xA4\x93", "Lorem ipsum \xF0\x9F\xA4\x93" },
                   { local(2021, 12, 20, 12, 10, 0, 1), "\xF0\x9F\xA4\x93", "Lorem ipsum \xF0\x9F\xA4\x93" },
                   { local(2021, 12, 30, 22, 1, 0, 1), "John Doe", "Lorem ipsum dolor sit amet,\nconsectetur adipiscing elit. Duis libero." } };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char name[128];
        snprintf(name, sizeof name, "chat-miner/%s", files[i]);
        read_file(c, name);
        assert_int_equal(c->kinds[KLUIS_MESSAGE], 6);
        assert_int_equal(c->kinds[KLUIS_EVENT], 3);
        size_t k = 0;
        for (size_t j = 0; j < c->n; j++) {
            if (c->r[j].kind != KLUIS_MESSAGE) { continue; }
            assert_int_equal(c->r[j].us, target[k].us);
            assert_string_equal(c->people[c->r[j].author], target[k].author);
            assert_string_equal(c->r[j].text, target[k].text);
            k++;
        }
    }
}

static void chat_analytics_files_have_their_messages(void **state)
{
    (void)state;
    read_file(c, "chat-analytics/2A_5M.txt");
    assert_int_equal(c->n, 5);
    assert_int_equal(c->kinds[KLUIS_MESSAGE], 5);
    assert_int_equal(c->h.n_parties, 2);
    assert_int_equal(c->r[3].n_attachments, 1);
    assert_true(c->r[4].flagged && c->r[4].us < c->r[3].us);
    static const char *const files[] = { "chat-analytics/4A_11M.txt", "chat-analytics/4A_11M.zip" };
    for (size_t i = 0; i < 2; i++) {
        read_file(c, files[i]);
        assert_int_equal(c->n, 14);
        assert_int_equal(c->kinds[KLUIS_MESSAGE], 11);
        assert_int_equal(c->kinds[KLUIS_EVENT], 3);
        assert_string_equal(c->r[1].event, "group-created");
        assert_string_equal(c->r[2].event, "member-added");
        assert_int_equal(c->h.type, KLUIS_GROUP);
        assert_string_equal(c->r[3].text, "hello");
        assert_string_equal(c->r[13].text, "heh");
        /* 12/9/20 says nothing about its order: flagged, never silent. */
        kluis_buf_byte(&c->head, 0);
        assert_non_null(strstr((char *)c->head.data, "date-order-undecided"));
    }
}

static void whatstk_files_have_their_lines(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t n;
    } files[] = { { "lorem.txt", 500 }, { "lorem-2000.txt", 2000 }, { "lorem-merge-part1.txt", 300 }, { "lorem-merge-part2.txt", 300 } };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char name[128];
        snprintf(name, sizeof name, "whatstk/%s", files[i].name);
        read_file(c, name);
        assert_int_equal(c->n, files[i].n);
        assert_int_equal(c->kinds[KLUIS_MESSAGE], files[i].n);
        for (size_t j = 1; j < c->n; j++) { assert_true(c->r[j].us >= c->r[j - 1].us); }
        kluis_buf_byte(&c->head, 0);
        assert_non_null(strstr((char *)c->head.data, "\"number\":\"+1123456789\""));
    }
    read_file(c, "whatstk/lorem.txt");
    assert_int_equal(c->r[0].us, local(2020, 1, 15, 2, 22, 56, 1));
    read_file(c, "whatstk/pokemon.txt");
    assert_int_equal(c->n, 20);
    assert_int_equal(c->kinds[KLUIS_MESSAGE], 18);
    assert_int_equal(c->h.n_parties, 8);
}

static bool ends_in(const char *s, const char *e)
{
    size_t n = strlen(s), k = strlen(e);
    return n >= k && strcmp(s + n - k, e) == 0;
}

/* The same chat exported under many regions and languages: same sequence, times within a second, texts of people equal. */
static void the_same_chat_in_every_language_is_the_same_chat(void **state)
{
    (void)state;
    read_file(d, "whats_json/ios/WhatsApp Chat - Elon Musk (EN).txt");
    assert_int_equal(d->n, 25);
    assert_int_equal(d->r[0].us, local(2022, 3, 18, 14, 56, 1, 1));
    assert_int_equal(d->kinds[KLUIS_DELETION], 2);
    assert_int_equal(d->kinds[KLUIS_EVENT], 3);
    char folder[4096];
    snprintf(folder, sizeof folder, "%s/whats_json/ios", root);
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    size_t files = 0;
    struct dirent *e;
    while ((e = readdir(dir)) != NULL) {
        if (!ends_in(e->d_name, ".txt") && !ends_in(e->d_name, ".zip")) { continue; }
        char name[512];
        snprintf(name, sizeof name, "whats_json/ios/%s", e->d_name);
        read_file(c, name);
        files++;
        assert_in_range(c->n, 25, 28);
        for (size_t i = 0; i < d->n; i++) {
            if (c->r[i].kind != d->r[i].kind) { print_message("%s, record %zu: %s\n", e->d_name, i, c->r[i].text); }
            assert_int_equal(c->r[i].kind, d->r[i].kind);
            assert_int_equal(c->r[i].n_attachments, d->r[i].n_attachments);
            int64_t apart = c->r[i].us - d->r[i].us;
            assert_true(apart >= -1000000 && apart <= 1000000);
            if (d->r[i].kind == KLUIS_EVENT) { continue; }
            assert_int_equal(c->r[i].author, d->r[i].author); /* by order of appearance: names follow the language */
            if (strstr(d->r[i].text, "foursquare") != NULL) {
                assert_non_null(strstr(c->r[i].text, "https://foursquare.com/v/"));
            } /* another place in some */
            else if (strstr(d->r[i].text, "maps.google") == NULL) {
                assert_string_equal(c->r[i].text, d->r[i].text);
            } else {
                assert_non_null(strstr(c->r[i].text, "https://maps.google.com/?q="));
            }
        }
    }
    (void)closedir(dir);
    assert_int_equal(files, 17);
}

static void android_exports_of_one_chat_agree(void **state)
{
    (void)state;
    read_file(d, "whats_json/android/WhatsApp Chat with Dmitry S EN Android.txt");
    assert_int_equal(d->n, 60); /* 62 lines: one message has three */
    assert_int_equal(d->kinds[KLUIS_DELETION], 8);
    assert_int_equal(d->kinds[KLUIS_CALL], 2);
    assert_int_equal(d->kinds[KLUIS_EVENT], 1);
    char folder[4096];
    snprintf(folder, sizeof folder, "%s/whats_json/android", root);
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    size_t files = 0;
    struct dirent *e;
    while ((e = readdir(dir)) != NULL) {
        if (!ends_in(e->d_name, ".txt") || strstr(e->d_name, "Group") != NULL) { continue; }
        files++;
        char name[512];
        snprintf(name, sizeof name, "whats_json/android/%s", e->d_name);
        read_file(c, name);
        assert_int_equal(c->n, d->n);
        for (size_t i = 0; i < d->n; i++) {
            assert_int_equal(c->r[i].kind, d->r[i].kind);
            assert_int_equal(c->r[i].us, d->r[i].us);
            assert_int_equal(c->r[i].n_attachments, d->r[i].n_attachments);
            if (d->r[i].kind != KLUIS_EVENT) { assert_string_equal(c->people[c->r[i].author], d->people[d->r[i].author]); }
        }
    }
    (void)closedir(dir);
    assert_int_equal(files, 4);
    read_file(c, "whats_json/android/WhatsApp Chat with Group Chat XXX Android.txt");
    assert_int_equal(c->n, 20);
    assert_int_equal(c->kinds[KLUIS_EVENT], 16);
    assert_int_equal(c->kinds[KLUIS_DELETION], 1);
    static const char *const events[] = { "encryption-notice",   "group-created",       "member-added",   "settings-changed",
                                          "description-changed", "settings-changed",    "admin-changed",  "settings-changed",
                                          "subject-changed",     "timer-changed",       "timer-changed",  "timer-changed",
                                          "timer-changed",       "description-changed", "joined-by-link", "member-removed" };
    for (size_t i = 0; i < 16; i++) { assert_string_equal(c->r[i].event, events[i]); }
}

static void zips_that_are_no_chat_export_are_refused(void **state)
{
    (void)state;
    char path[4096];
    snprintf(path, sizeof path, "%s/../whatsapp-ios", root);
    DIR *dir = opendir(path);
    if (dir == NULL) { skip(); }
    struct dirent *e;
    size_t found = 0;
    while (dir != NULL && (e = readdir(dir)) != NULL) {
        if (!ends_in(e->d_name, ".zip")) { continue; }
        char file[5000];
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        read_path(c, file);
        assert_int_equal(c->rc, KLUIS_E_REJECT); /* phone databases, some with absolute paths */
        assert_int_equal(c->n, 0);
        found++;
    }
    if (dir != NULL) { (void)closedir(dir); }
    assert_true(found > 0);
}

static void other_chats_are_no_whatsapp_chats(void **state)
{
    (void)state;
    char path[4096];
    snprintf(path, sizeof path, "%s/chat-miner/target.json", root);
    read_path(c, path);
    assert_int_equal(c->rc, KLUIS_E_REJECT);
    snprintf(path, sizeof path, "%s/../README.md", root);
    read_path(c, path);
    assert_int_equal(c->rc, KLUIS_E_REJECT);
    snprintf(path, sizeof path, "%s/../SHA256SUMS", root);
    read_path(c, path);
    assert_int_equal(c->rc, KLUIS_E_REJECT);
}

int main(void)
{
    const char *given = getenv("KLUIS_FIXTURES");
    snprintf(root, sizeof root, "%s/whatsapp-txt", given != NULL ? given : "../shared/fixtures");
    struct stat st;
    if (stat(root, &st) != 0) {
        printf("skipped: %s does not exist\n", root);
        return 77;
    }
    struct kluis_err err = { .code = KLUIS_OK };
    if (kluis_base_init(&err) != KLUIS_OK) { return 1; }
    c = kluis_calloc(1, sizeof *c);
    d = kluis_calloc(1, sizeof *d);
    kluis_buf_init(&c->line, 8 << 20);
    kluis_buf_init(&d->line, 8 << 20);
    kluis_buf_init(&c->head, 1 << 20);
    kluis_buf_init(&d->head, 1 << 20);
    const struct CMUnitTest tests[] = { cmocka_unit_test(sodascience_files_have_nine_messages_of_four_people),
                                        cmocka_unit_test(chat_miner_layouts_give_the_target),
                                        cmocka_unit_test(chat_analytics_files_have_their_messages),
                                        cmocka_unit_test(whatstk_files_have_their_lines),
                                        cmocka_unit_test(the_same_chat_in_every_language_is_the_same_chat),
                                        cmocka_unit_test(android_exports_of_one_chat_agree),
                                        cmocka_unit_test(zips_that_are_no_chat_export_are_refused),
                                        cmocka_unit_test(other_chats_are_no_whatsapp_chats) };
    return cmocka_run_group_tests_name("whatsapp-text, real exports", tests, NULL, NULL);
}
