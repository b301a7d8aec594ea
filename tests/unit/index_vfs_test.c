/* tests/unit/index_vfs_test.c - no plaintext in any file, damage and wrong keys are found, a crash loses nothing committed; the tokenizer. */
#include "tests/unit/index_support.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

static const char CANARY[] = "zwaluwstaartverbinding";
static char other[80];

static size_t each_file(const char *path, int (*fn)(const char *file, void *ctx), void *ctx)
{
    DIR *d = opendir(path);
    struct dirent *e;
    char file[512];
    size_t n = 0;
    while (d != NULL && (e = readdir(d)) != NULL) {
        if (e->d_name[0] == '.') { continue; }
        (void)snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        n += (size_t)fn(file, ctx);
    }
    if (d != NULL) { (void)closedir(d); }
    return n;
}

static int holds(const char *file, void *ctx)
{
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(b, 64 << 20);
    ok(kluis_read_file(file, 64 << 20, &b, &err), &err);
    return memmem(b.data, b.len, ctx, strlen(ctx)) != NULL;
}

static int copy_one(const char *file, void *ctx)
{
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(b, 64 << 20);
    char to[512];
    ok(kluis_read_file(file, 64 << 20, &b, &err), &err);
    (void)snprintf(to, sizeof to, "%s/%s", (const char *)ctx, strrchr(file, '/') + 1);
    ok(kluis_write_file(to, b.data, b.len, 0600, &err), &err);
    return 1;
}

static struct index_row rows[300];
static char text[300][80];
static void fill(struct index *ix, uint8_t from, size_t packages)
{
    for (size_t k = 0; k < packages; k++) {
        for (size_t i = 0; i < 300; i++) {
            (void)snprintf(text[i], sizeof text[i], "%s regel %u", CANARY, (unsigned)i);
            rows[i] = line(i + 1, (uint32_t)(i % 3), 1700000000000000 + (int64_t)(from + k) * 86400000000 * 20 + (int64_t)i, text[i]);
        }
        add(ix, pack((uint8_t)(from + k), "anna", rows, 300));
        commit(ix);
    }
}

static void a_word_is_in_no_file_while_the_index_is_open(KLUIS_UNUSED void **state)
{
    struct index *ix = fresh();
    struct kluis_err err = { 0 };
    fill(ix, 1, 4);
    index_tune(ix, 1, 500);
    for (bool more = true; more;) { ok(index_maintain(ix, &more, &err), &err); }
    fill(ix, 10, 2);
    assert_int_equal(find(ix, CANARY), 200); /* it is in there … */
    char wal[512], hot[IKEYS_NAME];
    struct stat st;
    ikeys_hot(ix->keys, hot);
    (void)snprintf(wal, sizeof wal, "%s/%s-wal", dir, hot);
    assert_int_equal(stat(wal, &st), 0);
    assert_true(st.st_size > 100000);
    char const *const words[] = { CANARY, "zwaluw", "regel", "SQLite format", "CREATE TABLE", "aci-anna", "+31600000001", "Overleg" };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        char w[64];
        (void)snprintf(w, sizeof w, "%s", words[i]);
        assert_int_equal(each_file(dir, holds, w), 0); /* … and nowhere to be read */
    }
    char name[] = "needle-in-a-file";
    char plain[512];
    (void)snprintf(plain, sizeof plain, "%s/plain", dir);
    ok(kluis_write_file(plain, name, sizeof name, 0600, &err), &err);
    assert_int_equal(each_file(dir, holds, name), 1); /* the searcher does find what is there */
    assert_int_equal(kluis_io_unlink(plain), 0);
    /* Every page's nonce and tag differ: equal pages do not look equal; entropy is the cipher's. */
    (void)snprintf(wal, sizeof wal, "%s/%s", dir, hot);
    assert_int_equal(stat(wal, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size % KLUIS_VFS_PAGE, 0);
    index_close(ix);
}

static void another_master_key_opens_nothing(KLUIS_UNUSED void **state)
{
    struct index *ix = fresh();
    fill(ix, 1, 1);
    index_close(ix);
    struct kluis_err err = { 0 };
    const uint8_t wrong[32] = { 9 };
    assert_int_equal(index_open(&ix, dir, wrong, &err), KLUIS_E_CORRUPT);
    assert_null(ix);
}

/* Flips one byte of a file at a time, everywhere in steps; each is noticed on opening or by the digest, or was in bytes no longer used. */
static void a_flipped_byte_is_noticed(KLUIS_UNUSED void **state)
{
    struct index *ix = fresh();
    struct kluis_err err = { 0 };
    uint8_t want[32], d[32];
    fill(ix, 1, 3);
    index_tune(ix, 1, 500);
    for (bool more = true; more;) { ok(index_maintain(ix, &more, &err), &err); }
    fill(ix, 9, 1);
    ok(index_groups_digest(ix, want, &err), &err);
    index_close(ix);
    DIR *list = opendir(dir);
    struct dirent *e;
    size_t flips = 0, noticed = 0, changed = 0;
    while ((e = readdir(list)) != NULL) {
        if (e->d_name[0] == '.' || strstr(e->d_name, "-shm") != NULL) { continue; }
        char path[512];
        (void)snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        int fd = open(path, O_RDWR | O_CLOEXEC);
        struct stat st;
        assert_int_equal(fstat(fd, &st), 0);
        for (off_t at = 17; at < st.st_size; at += st.st_size / 25 + 1) {
            uint8_t b = 0, was = 0;
            assert_int_equal(pread(fd, &b, 1, at), 1);
            was = b;
            b ^= 0x10;
            if (at % KLUIS_VFS_PAGE >= KLUIS_VFS_PAGE - 4 && strcmp(e->d_name, "keys") != 0) { continue; } /* the four bytes beyond the tag */
            assert_int_equal(pwrite(fd, &b, 1, at), 1);
            kluis_err_clear(&err);
            kluis_status rc = index_open(&ix, dir, MASTER, &err);
            if (rc == KLUIS_OK) { rc = index_groups_digest(ix, d, &err); }
            if (rc == KLUIS_OK) {
                changed += memcmp(d, want, 32) != 0;
                n_hits = 0;
                struct index_query q = query(CANARY);
                struct index_result r;
                rc = index_search(ix, &q, &SINK, &r, &err);
            }
            noticed += rc == KLUIS_E_CORRUPT;
            assert_true(rc == KLUIS_OK || rc == KLUIS_E_CORRUPT);
            index_close(ix);
            ix = NULL;
            assert_int_equal(pwrite(fd, &was, 1, at), 1);
            flips++;
        }
        (void)close(fd);
    }
    (void)closedir(list);
    assert_true(flips > 60);
    assert_true(noticed * 3 > flips); /* a page that neither asks for is not read */
    assert_int_equal(changed, 0);     /* but never is anything else read instead */
}

static void a_page_in_another_place_or_file_does_not_open(KLUIS_UNUSED void **state)
{
    struct index *ix = fresh();
    struct kluis_err err = { 0 };
    fill(ix, 1, 2);
    char path[512], hot[IKEYS_NAME];
    ikeys_hot(ix->keys, hot);
    index_close(ix);
    (void)snprintf(path, sizeof path, "%s/%s", dir, hot);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    uint8_t a[KLUIS_VFS_PAGE];
    assert_int_equal(pread(fd, a, sizeof a, 2 * KLUIS_VFS_PAGE), KLUIS_VFS_PAGE);
    assert_int_equal(pwrite(fd, a, sizeof a, 0), KLUIS_VFS_PAGE);
    (void)close(fd);
    assert_int_equal(index_open(&ix, dir, MASTER, &err), KLUIS_E_CORRUPT);
}

static void a_copy_taken_in_the_middle_of_a_transaction_opens_at_the_last_commit(KLUIS_UNUSED void **state)
{
    struct index *ix = fresh();
    struct kluis_err err = { 0 };
    uint8_t want[32], d[32];
    fill(ix, 1, 2);
    ok(index_groups_digest(ix, want, &err), &err);
    for (size_t i = 0; i < 300; i++) { rows[i].sent_us += 1; }
    add(ix, pack(77, "anna", rows, 300));
    ok(ibatch_fts(ix, &err), &err);
    ok(kluis_db_exec(ix->w.hot, "PRAGMA cache_size=10; PRAGMA cache_spill=1;", &err), &err);
    add(ix, pack(78, "anna", rows, 300)); /* pages of it go to the log before it is committed */
    char keep[64];
    memcpy(keep, dir, sizeof keep);
    (void)snprintf(other, sizeof other, "%s-copy", dir);
    assert_int_equal(kluis_io_mkdir(other, 0700), 0);
    assert_true(each_file(dir, copy_one, other) >= 3);
    index_close(ix);
    memcpy(dir, other, sizeof dir);
    char cut[160], hot[IKEYS_NAME];
    for (int torn = 0; torn < 3; torn++) { /* whole, then with the log's last bytes missing, then with noise in it */
        ix = open_index();
        assert_int_equal(index_watermark(ix), torn == 0 ? 2 : index_watermark(ix));
        ok(index_groups_digest(ix, d, &err), &err);
        if (torn == 0) { assert_memory_equal(d, want, 32); }
        assert_true(index_watermark(ix) <= 2);
        assert_true(find(ix, CANARY) > 0 || index_watermark(ix) == 0);
        ikeys_hot(ix->keys, hot);
        if (torn == 0) {
            add(ix, pack(79, "anna", rows, 300)); /* and goes on from there */
            commit(ix);
            assert_int_equal(index_watermark(ix), 3);
        }
        index_close(ix);
        if (torn == 2) { break; }
        empty(dir);
        memcpy(dir, keep, sizeof dir);
        assert_true(each_file(dir, copy_one, other) >= 2);
        memcpy(dir, other, sizeof dir);
        (void)snprintf(cut, sizeof cut, "%s/%s-wal", dir, hot);
        struct stat st;
        if (stat(cut, &st) == 0) { assert_int_equal(truncate(cut, torn == 0 ? st.st_size * 2 / 3 : st.st_size / 2 + 100), 0); }
    }
    empty(dir);
    assert_int_equal(rmdir(dir), 0);
    memcpy(dir, keep, sizeof dir);
}

static void the_hash_of_fts5_is_as_large_as_we_ask(KLUIS_UNUSED void **state)
{
    struct index *ix = fresh();
    struct kluis_err err = { 0 };
    struct sqlite3_stmt *q = NULL;
    ok(kluis_db_query(ix->w.hot, &q, &err, "SELECT v FROM fts_config WHERE k='hashsize'", ""), &err);
    ok(kluis_db_step(ix->w.hot, q, &err), &err);
    assert_int_equal(kluis_db_int(q, 0), 64 << 20);
    kluis_db_done(q);
    /* And that it means something: 3,000 texts in one transaction are one segment with it, several with a small one. */
    int64_t segments[2];
    for (int small = 0; small < 2; small++) {
        ok(kluis_db_exec(ix->w.hot,
                         "DROP TABLE IF EXISTS temp.t; CREATE VIRTUAL TABLE temp.t USING fts5(a, content='', columnsize=0, tokenize='kluis')", &err),
           &err);
        ok(kluis_db_exec(ix->w.hot,
                         small != 0 ? "INSERT INTO temp.t(t, rank) VALUES('hashsize', 20000)"
                                    : "INSERT INTO temp.t(t, rank) VALUES('hashsize', 67108864)",
                         &err),
           &err);
        ok(kluis_db_exec(ix->w.hot, "INSERT INTO temp.t(t, rank) VALUES('automerge', 0); INSERT INTO temp.t(t, rank) VALUES('crisismerge', 1999)",
                         &err),
           &err);
        ok(kluis_db_exec(ix->w.hot,
                         "BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<3000) INSERT INTO temp.t(rowid, a) SELECT i, "
                         "'woord' || i || ' en nog ' || (i*7) FROM n; COMMIT",
                         &err),
           &err);
        ok(kluis_db_query(ix->w.hot, &q, &err,
                          small != 0 ? "SELECT count(DISTINCT id >> 37), 1 FROM temp.t_data WHERE id > 1000"
                                     : "SELECT count(DISTINCT id >> 37) FROM temp.t_data WHERE id > 1000",
                          ""),
           &err);
        ok(kluis_db_step(ix->w.hot, q, &err), &err);
        segments[small] = kluis_db_int(q, 0);
        kluis_db_done(q);
    }
    assert_int_equal(segments[0], 1);
    assert_true(segments[1] > 3);
    index_close(ix);
}

static void what_is_at_or_below_the_watermark_is_not_added_again(KLUIS_UNUSED void **state)
{
    struct index *ix = fresh();
    struct kluis_err err = { 0 };
    fill(ix, 1, 2);
    struct index_package p = pack(1, "anna", rows, 300);
    p.sequence = 2;
    assert_int_equal(index_add(ix, &p, &err), KLUIS_E_EXISTS);
    kluis_err_clear(&err);
    p.sequence = 4;
    p.id[0] = 9;
    assert_int_equal(index_add(ix, &p, &err), KLUIS_E_REJECT);
    kluis_err_clear(&err);
    ok(index_skip(ix, 3, &err), &err);
    ok(index_add(ix, &p, &err), &err);
    commit(ix);
    assert_int_equal(index_watermark(ix), 4);
    index_close(ix);
    ix = open_index();
    assert_int_equal(index_watermark(ix), 4);
    assert_int_equal(index_skip(ix, 4, &err), KLUIS_E_EXISTS);
    index_close(ix);
}

struct words {
    char text[400];
};
static int join(void *ctx, const char *word, int n, KLUIS_UNUSED int start, KLUIS_UNUSED int end)
{
    struct words *w = ctx;
    size_t at = strlen(w->text);
    (void)snprintf(w->text + at, sizeof w->text - at, "%s%.*s", at == 0 ? "" : "|", n, word);
    return 0;
}

static void text_is_cut_and_folded_into_words(KLUIS_UNUSED void **state)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        { "De Wet open overheid", "de|wet|open|overheid" },
        { "Caf\xc3\xa9 cafe\xcc\x81", "cafe|cafe" },
        { "Stra\xc3\x9f"
          "e \xc3\x86sir \xc5\x93uvre \xc3\x98re",
          "strasse|aesir|oeuvre|ore" },
        { "\xce\x91\xce\xb8\xce\xae\xce\xbd\xce\xb1 \xce\x9f\xce\x94\xce\x9f\xce\xa3",
          "\xce\xb1\xce\xb8\xce\xb7\xce\xbd\xce\xb1|\xce\xbf\xce\xb4\xce\xbf\xcf\x83" },
        { "\xd0\x81\xd0\xbb\xd0\xba\xd0\xb0 \xd0\xb9", "\xd0\xb5\xd0\xbb\xd0\xba\xd0\xb0|\xd0\xb8" },
        { "\xd0\xb8\xcc\x86", "\xd0\xb8" },
        { "foto's e-mail", "foto|s|e|mail" },
        { "\xf0\x9f\x91\x8d\xf0\x9f\x8f\xbd!", "\xf0\x9f\x91\x8d" },
        { "\xf0\x9f\x87\xb3\xf0\x9f\x87\xb1\xf0\x9f\x87\xa7\xf0\x9f\x87\xaa", "\xf0\x9f\x87\xb3\xf0\x9f\x87\xb1|\xf0\x9f\x87\xa7\xf0\x9f\x87\xaa" },
        { "\xe6\x9d\xb1\xe4\xba\xac", "\xe6\x9d\xb1|\xe4\xba\xac" },
        { "\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", "\xed\x95\x9c" },
        { "\xed\x95\x9c", "\xed\x95\x9c" },
        { "\xef\xbc\xa1\xef\xbc\xa2\xef\xbc\xa3", "abc" },
        { "12,5 \xd9\xa1\xd9\xa2", "12|5|12" },
        { "\xe2\x80\x8e+31 6", "31|6" },
        { "a\xff"
          "b",
          "a|b" },
        { "", "" },
        { "...", "" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct words w = { "" };
        assert_int_equal(itoken_each(cases[i].text, strlen(cases[i].text), &w, join), 0);
        assert_string_equal(w.text, cases[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_cut_and_folded_into_words),
        cmocka_unit_test(a_word_is_in_no_file_while_the_index_is_open),
        cmocka_unit_test(another_master_key_opens_nothing),
        cmocka_unit_test(a_flipped_byte_is_noticed),
        cmocka_unit_test(a_page_in_another_place_or_file_does_not_open),
        cmocka_unit_test(a_copy_taken_in_the_middle_of_a_transaction_opens_at_the_last_commit),
        cmocka_unit_test(the_hash_of_fts5_is_as_large_as_we_ask),
        cmocka_unit_test(what_is_at_or_below_the_watermark_is_not_added_again),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
