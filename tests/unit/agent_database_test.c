/* agent_database_test.c - somebody else's database is read without touching it, from a private copy that nobody can read and that is of one moment.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/source/database/database.h"
#include "tests/support/die.h"
#include "tests/support/test_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[128], source[160], scratch[160], file[192];
static const char CANARY[] = "zwaluwstaartverbinding";

static int set_up(KLUIS_UNUSED void **state)
{
    if (!test_dir("database", dir, sizeof dir)) { return -1; }
    (void)snprintf(source, sizeof source, "%s/source", dir);
    (void)snprintf(scratch, sizeof scratch, "%s/scratch", dir);
    (void)snprintf(file, sizeof file, "%s/db", source);
    return mkdir(source, 0700) != 0 || mkdir(scratch, 0700) != 0 || setenv("TMPDIR", scratch, 1) != 0 ? -1 : 0;
}

static void empty(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;
    char name[512];
    while (d != NULL && (e = readdir(d)) != NULL) {
        (void)snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        if (e->d_name[0] != '.') { (void)unlink(name); }
    }
    if (d != NULL) { (void)closedir(d); }
}

static void ok(kluis_status rc, const struct kluis_err *err)
{
    if (rc != KLUIS_OK) { fail_msg("%s: %s", kluis_status_name(rc), err->msg); }
}
static void sql(sqlite3 *db, const char *text)
{
    char *why = NULL;
    if (sqlite3_exec(db, text, NULL, NULL, &why) != SQLITE_OK) { fail_msg("%s: %s", text, why); }
}
static sqlite3 *writer(void)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    return db;
}

/* Every name, size, time and content of the source's folder. */
static void state_of(uint8_t out[32])
{
    struct dirent **list = NULL;
    struct kluis_sha256 *h = kluis_sha256_new();
    int n = scandir(source, &list, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char name[512];
        struct stat st;
        KLUIS_AUTO_BUF(b, 64 << 20);
        (void)snprintf(name, sizeof name, "%s/%s", source, list[i]->d_name);
        assert_int_equal(stat(name, &st), 0);
        kluis_sha256_add(h, list[i]->d_name, strlen(list[i]->d_name) + 1);
        if (S_ISREG(st.st_mode)) {
            ok(kluis_read_file(name, 64 << 20, &b, NULL), &(struct kluis_err){ 0 });
            kluis_sha256_add(h, b.data, b.len);
        }
        kluis_sha256_add(h, &st.st_mtim, sizeof st.st_mtim);
        kluis_sha256_add(h, &st.st_ctim, sizeof st.st_ctim);
        kluis_sha256_add(h, &st.st_ino, sizeof st.st_ino);
        free(list[i]);
    }
    free((void *)list);
    kluis_sha256_end(h, out);
    kluis_sha256_free(h);
}

static int64_t number(struct kluis_db *db, const char *text)
{
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_prepare_v2(kluis_db_handle(db), text, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int64_t v = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return v;
}

static void fresh_source(void)
{
    database_forget();
    empty(source);
}

static void a_live_database_with_its_log_is_read_and_not_a_byte_beside_it_changes(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    struct kluis_db *db = NULL;
    uint8_t before[32], after[32];
    fresh_source();
    sqlite3 *w = writer();
    sql(w, "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1,'een');");
    sql(w, "PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO t VALUES(2,'twee');"); /* only in the log */
    state_of(before);
    ok(database_open_plain(&db, file, &err), &err);
    assert_int_equal(number(db, "SELECT count(*) FROM t"), 2);
    assert_int_equal(sqlite3_exec(kluis_db_handle(db), "INSERT INTO t VALUES(3,'drie')", NULL, NULL, NULL), SQLITE_READONLY);
    database_close(db);
    state_of(after);
    assert_memory_equal(before, after, 32);
    /* without its writer, log and shared memory left behind, as a phone's backup has it */
    char shm[256];
    (void)snprintf(shm, sizeof shm, "%s-shm", file);
    assert_int_equal(unlink(shm), 0);
    state_of(before);
    ok(database_open_plain(&db, file, &err), &err);
    assert_int_equal(number(db, "SELECT count(*) FROM t"), 2);
    database_close(db);
    state_of(after);
    assert_memory_equal(before, after, 32);
    (void)sqlite3_close(w);
}

static void a_transaction_that_was_under_way_is_rolled_back_in_the_copy_alone(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    struct kluis_db *db = NULL;
    uint8_t before[32], after[32];
    fresh_source();
    pid_t pid = fork();
    if (pid == 0) { /* dies inside a transaction, its pages already in the file */
        sqlite3 *w = writer();
        sql(w, "PRAGMA journal_mode=DELETE; PRAGMA cache_size=5; CREATE TABLE t(a INTEGER PRIMARY KEY, b);");
        sql(w, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<500) INSERT INTO t SELECT i, hex(zeroblob(200)) FROM n;");
        sql(w, "BEGIN; UPDATE t SET b = 'half';");
        die();
    }
    int how = 0;
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_true(WIFSIGNALED(how));
    state_of(before);
    ok(database_open_plain(&db, file, &err), &err);
    assert_int_equal(number(db, "SELECT count(*) FROM t WHERE b='half'"), 0);
    assert_int_equal(number(db, "SELECT count(*) FROM t WHERE length(b)=400"), 500);
    database_close(db);
    state_of(after);
    assert_memory_equal(before, after, 32);
}

/* How many open files of this process without a name lie in the scratch folder; each is searched for the word. */
static unsigned scratch_files(const char *word, unsigned *holding, uint64_t *bytes)
{
    unsigned n = 0;
    *holding = 0;
    *bytes = 0;
    for (int fd = 0; fd < 256; fd++) {
        char link[64], target[512];
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t len = readlink(link, target, sizeof target - 1);
        if (len <= 0) { continue; }
        target[len] = '\0';
        if (strncmp(target, scratch, strlen(scratch)) != 0) { continue; }
        struct stat st;
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_nlink, 0);
        n++;
        *bytes += (uint64_t)st.st_size;
        char *all = kluis_calloc(1, (size_t)st.st_size + 1);
        assert_int_equal(pread(fd, all, (size_t)st.st_size, 0), st.st_size);
        *holding += memmem(all, (size_t)st.st_size, word, strlen(word)) != NULL;
        kluis_free(all);
    }
    return n;
}

static void plant(unsigned rows)
{
    char text[512];
    sqlite3 *w = writer();
    (void)snprintf(text, sizeof text,
                   "PRAGMA journal_mode=WAL; CREATE TABLE t(a INTEGER PRIMARY KEY, b);"
                   "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%u) INSERT INTO t SELECT i, '%s regel '||i FROM n;",
                   rows, CANARY);
    sql(w, text);
    (void)sqlite3_close(w);
}

static void the_copy_has_no_name_and_no_word_of_it_can_be_read(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    struct kluis_db *db = NULL;
    unsigned holding;
    uint64_t bytes;
    fresh_source();
    plant(20000);
    ok(database_open_plain(&db, file, &err), &err);
    /* a sort that does not fit the cache goes to a file too */
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_prepare_v2(kluis_db_handle(db), "SELECT b, hex(zeroblob(800))||b FROM t ORDER BY b DESC, a", -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    unsigned n = scratch_files(CANARY, &holding, &bytes);
    assert_in_range(n, 3, 8); /* database, log or journal, the sort's */
    assert_true(bytes > 10000000);
    assert_int_equal(holding, 0);
    unsigned magic;
    (void)scratch_files("SQLite format", &magic, &bytes);
    assert_int_equal(magic, 0);
    sqlite3_finalize(st);
    database_close(db);
    struct dirent *e;
    DIR *d = opendir(scratch);
    while ((e = readdir(d)) != NULL) { assert_int_equal(e->d_name[0], '.'); }
    (void)closedir(d);
}

static void killed_in_the_middle_it_leaves_nothing(KLUIS_UNUSED void **state)
{
    fresh_source();
    plant(5000);
    int ready[2];
    char c = 0;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct kluis_db *db = NULL;
        struct kluis_err err = { 0 };
        c = database_open_plain(&db, file, &err) == KLUIS_OK && number(db, "SELECT count(*) FROM t") == 5000 ? 'y' : 'n';
        (void)!write(ready[1], &c, 1);
        for (;;) { (void)pause(); }
    }
    assert_int_equal(read(ready[0], &c, 1), 1);
    assert_int_equal(c, 'y');
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    DIR *d = opendir(scratch);
    struct dirent *e;
    while ((e = readdir(d)) != NULL) { assert_int_equal(e->d_name[0], '.'); }
    (void)closedir(d);
    (void)close(ready[0]);
    (void)close(ready[1]);
}

/* ---- changes ---- */

static int fills, disturb;
static kluis_status disturbed(void *ctx, struct kluis_scratch *to, KLUIS_UNUSED struct kluis_scratch *log, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(b, 1 << 20);
    fills++;
    KLUIS_TRY(kluis_read_file(ctx, 1 << 20, &b, err));
    size_t half = b.len / 2;
    KLUIS_TRY(kluis_scratch_write(to, b.data, half, 0, err));
    if (disturb != 0) { /* a writer between the two halves */
        disturb--;
        sqlite3 *w = writer();
        sql(w, "UPDATE t SET b=b+1");
        (void)sqlite3_close(w);
    }
    kluis_buf_clear(&b);
    KLUIS_TRY(kluis_read_file(ctx, 1 << 20, &b, err));
    return kluis_scratch_write(to, b.data + half, b.len - half, half, err);
}

static void a_copy_torn_by_a_writer_is_taken_again_and_one_that_never_settles_is_not_given_out(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    struct kluis_db *db = NULL;
    fresh_source();
    sqlite3 *w = writer();
    sql(w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<3000) INSERT INTO t "
           "SELECT i, 7 "
           "FROM n;");
    (void)sqlite3_close(w);
    struct database_form form = { .name = "test", .files = { file }, .ctx = file, .fill = disturbed };
    fills = 0;
    disturb = 2;
    ok(database_open(&db, &form, &err), &err);
    assert_int_equal(fills, 3);
    assert_int_equal(number(db, "SELECT count(DISTINCT b) FROM t"), 1);
    assert_int_equal(number(db, "SELECT min(b) FROM t"), 9);
    database_close(db);
    disturb = -1;
    assert_int_equal(database_open(&db, &form, &err), KLUIS_OK); /* unchanged since: nothing is copied */
    assert_int_equal(fills, 3);
    database_close(db);
    database_forget();
    assert_int_equal(database_open(&db, &form, &err), KLUIS_E_BUSY);
    assert_null(db);
    assert_non_null(strstr(err.msg, "kept changing"));
}

static void nothing_is_copied_when_nothing_changed_and_a_change_in_the_log_alone_is_seen(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    struct kluis_db *db = NULL;
    fresh_source();
    sqlite3 *w = writer();
    sql(w, "PRAGMA journal_mode=WAL; CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1,'een');");
    uint64_t before = database_copies_made();
    for (int i = 0; i < 5; i++) {
        ok(database_open_plain(&db, file, &err), &err);
        assert_int_equal(number(db, "SELECT count(*) FROM t"), 1);
        database_close(db);
    }
    assert_int_equal(database_copies_made(), before + 1);
    sql(w, "INSERT INTO t VALUES(2,'twee');");
    ok(database_open_plain(&db, file, &err), &err);
    assert_int_equal(number(db, "SELECT count(*) FROM t"), 2);
    database_close(db);
    assert_int_equal(database_copies_made(), before + 2);
    (void)sqlite3_close(w);
}

/* ---- damage ---- */

struct walked {
    unsigned rows, holes;
    int64_t last, from[64], to[64];
};
static kluis_status on_row(void *ctx, struct sqlite3_stmt *st, KLUIS_UNUSED struct kluis_err *err)
{
    struct walked *w = ctx;
    assert_true(kluis_db_int(st, 0) > w->last);
    w->last = kluis_db_int(st, 0);
    w->rows++;
    return KLUIS_OK;
}
static kluis_status on_hole(void *ctx, int64_t after, int64_t before, KLUIS_UNUSED struct kluis_err *err)
{
    struct walked *w = ctx;
    assert_true(w->holes < 64);
    w->from[w->holes] = after;
    w->to[w->holes++] = before;
    return KLUIS_OK;
}

static void everything_around_a_damaged_page_is_read_and_the_hole_is_told(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    struct kluis_db *db = NULL;
    for (int page = 4; page < 40; page += 5) {
        fresh_source();
        sqlite3 *w = writer();
        sql(w, "PRAGMA page_size=4096; CREATE TABLE t(a INTEGER PRIMARY KEY, b); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE "
               "i<3000) "
               "INSERT INTO t SELECT i*3, hex(zeroblob(30)) FROM n;");
        (void)sqlite3_close(w);
        int fd = open(file, O_WRONLY | O_CLOEXEC);
        uint8_t bad[4096];
        memset(bad, 0xa5, sizeof bad);
        assert_int_equal(pwrite(fd, bad, sizeof bad, (off_t)4096 * (page - 1)), 4096);
        assert_int_equal(close(fd), 0);
        struct walked seen = { .last = INT64_MIN };
        const struct database_walk walk = { &seen, "SELECT a, b FROM t WHERE a > ?1 ORDER BY a", on_row, on_hole };
        ok(database_open_plain(&db, file, &err), &err);
        ok(database_walk(db, &walk, &err), &err);
        database_close(db);
        assert_int_equal(seen.holes, 1);
        assert_in_range(seen.rows, 2900, 2999);
        /* the hole is as wide as what is missing: rows are three apart */
        int64_t before = seen.to[0] == INT64_MAX ? 9003 : seen.to[0], after = seen.from[0] == INT64_MIN ? 0 : seen.from[0];
        assert_int_equal((before - after) / 3 - 1, 3000 - seen.rows);
    }
}

/* A copy that was broken off, at a page and within one: what is before the cut is read, and that the rest is missing is told. */
static void of_a_database_that_was_cut_what_is_there_is_read_and_the_rest_is_told_to_be_missing(KLUIS_UNUSED void **state)
{
    enum { ROWS = 3000, PAGE = 4096 };
    struct kluis_err err = { 0 };
    struct kluis_db *db = NULL;
    unsigned before = 0;
    for (int page = 5; page < 50; page += 4) {
        for (int more = 0; more < PAGE; more += 1365) {
            fresh_source();
            sqlite3 *w = writer();
            sql(w, "PRAGMA page_size=4096; CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE TABLE u(a INTEGER PRIMARY KEY, b);"
                   "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<3000) INSERT INTO t SELECT i*3, hex(zeroblob(30)) FROM n;"
                   "INSERT INTO u VALUES(1, hex(randomblob(3000)));");
            (void)sqlite3_close(w);
            assert_int_equal(truncate(file, (off_t)PAGE * page + more), 0);
            struct walked seen = { .last = INT64_MIN };
            const struct database_walk walk = { &seen, "SELECT a, b FROM t WHERE a > ?1 ORDER BY a", on_row, on_hole };
            ok(database_open_plain(&db, file, &err), &err);
            ok(database_walk(db, &walk, &err), &err);
            database_close(db);
            int64_t missing = 0, from = INT64_MIN;
            for (unsigned i = 0; i < seen.holes; i++) { /* of a page that was cut, the end holds its first rows */
                assert_true(seen.from[i] >= from && seen.to[i] > seen.from[i]);
                from = seen.to[i];
                missing += ((i + 1 == seen.holes ? 3 * (ROWS + 1) : seen.to[i]) - seen.from[i]) / 3 - 1;
            }
            assert_int_equal(from, INT64_MAX);
            assert_int_equal(missing, ROWS - seen.rows);
            assert_in_range(seen.rows, before, ROWS - 1);
            before = seen.rows;
        }
    }
    assert_in_range(before, 2000, ROWS - 1);
    assert_int_equal(truncate(file, PAGE / 2), 0); /* not even its first page: without definitions, or refused */
    kluis_status rc = database_open_plain(&db, file, &err);
    assert_true(rc == KLUIS_E_REJECT || (rc == KLUIS_OK && !database_has_table(db, "t")));
    if (rc == KLUIS_OK) { database_close(db); }
    assert_int_equal(truncate(file, 90), 0);
    assert_int_equal(database_open_plain(&db, file, &err), KLUIS_E_REJECT);
}

/* A definition that does not read costs its own table. */
static void a_damaged_definition_costs_what_it_defines(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    struct kluis_db *db = NULL;
    fresh_source();
    sqlite3 *w = writer();
    sql(w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(7, 'blijft'); CREATE TABLE u(a); CREATE INDEX ub ON u(a);"
           "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql='CREATE INDEX ub ON u(niet' WHERE name='ub';");
    (void)sqlite3_close(w);
    struct walked seen = { .last = INT64_MIN };
    const struct database_walk walk = { &seen, "SELECT a, b FROM t WHERE a > ?1 ORDER BY a", on_row, on_hole };
    ok(database_open_plain(&db, file, &err), &err);
    ok(database_walk(db, &walk, &err), &err);
    assert_int_equal(seen.rows, 1);
    assert_int_equal(seen.holes, 0);
    assert_int_not_equal(kluis_db_exec(db, "CREATE TABLE nieuw(a)", NULL), KLUIS_OK); /* nothing is written, here neither */
    assert_int_not_equal(kluis_db_exec(db, "UPDATE sqlite_schema SET sql='x'", NULL), KLUIS_OK);
    database_close(db);
}

static void what_is_no_database_is_refused_in_one_line(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    struct kluis_db *db = NULL;
    fresh_source();
    assert_int_equal(database_open_plain(&db, file, &err), KLUIS_E_NOTFOUND);
    kluis_err_clear(&err);
    ok(kluis_write_file(file, "geen database, wel bytes", 24, 0600, &err), &err);
    assert_int_equal(database_open_plain(&db, file, &err), KLUIS_E_REJECT);
    assert_non_null(strstr(err.msg, "not an SQLite database"));
    kluis_err_clear(&err);
    assert_int_equal(database_open_plain(&db, source, &err), KLUIS_E_REJECT);
}

static void scratch_files_keep_what_was_written_where_it_was_written(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    KLUIS_AUTO(kluis_scratch) s = NULL;
    enum { N = 300000 };
    uint8_t *model = kluis_calloc(1, N), *back = kluis_calloc(1, N), chunk[9000];
    uint64_t size = 0, x = 88172645463325252u;
    ok(kluis_scratch_new(&s, &err), &err);
    for (int i = 0; i < 3000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        size_t at = (size_t)(x % (N - sizeof chunk)), n = (size_t)((x >> 32) % sizeof chunk), got;
        if (i % 7 == 6) {
            ok(kluis_scratch_read(s, back, n, at, &got, &err), &err);
            assert_int_equal(got, at >= size ? 0 : size - at < n ? size - at : n);
            assert_memory_equal(back, model + at, got);
        } else if (i % 101 == 100) {
            ok(kluis_scratch_truncate(s, at, &err), &err);
            if (at < N) { memset(model + at, 0, N - at); }
            size = at;
        } else {
            memset(chunk, (int)(x >> 24), n);
            ok(kluis_scratch_write(s, chunk, n, at, &err), &err);
            memcpy(model + at, chunk, n);
            if (n > 0 && at + n > size) { size = at + n; }
        }
        assert_int_equal(kluis_scratch_size(s), size);
    }
    size_t got;
    ok(kluis_scratch_read(s, back, N, 0, &got, &err), &err);
    assert_int_equal(got, size);
    assert_memory_equal(back, model, got);
    kluis_free(model);
    kluis_free(back);
}

static void apples_and_googles_clocks_are_told_right(KLUIS_UNUSED void **state)
{
    assert_int_equal(apple_seconds_us(0), INT64_C(978307200000000));
    assert_int_equal(apple_seconds_us(704735869.5), INT64_C(1683043069500000));
    assert_int_equal(apple_seconds_us(-978307200.25), -250000);
    assert_int_equal(apple_seconds_us(NAN), KLUIS_TIME_ABSENT);
    assert_int_equal(apple_seconds_us(1e300), KLUIS_TIME_ABSENT);
    assert_int_equal(apple_either_us(704735869), INT64_C(1683043069000000));
    assert_int_equal(apple_either_us(INT64_C(704735869000000000)), INT64_C(1683043069000000));
    assert_int_equal(webkit_us(INT64_C(11644473600000000)), 0);
    assert_int_equal(webkit_us(INT64_MAX), KLUIS_TIME_ABSENT);
    assert_int_equal(webkit_us(INT64_MIN), KLUIS_TIME_ABSENT);
}

/* ---- tables of our own ---- */

static int64_t number_of(struct kluis_db *db, const char *literal)
{
    struct kluis_err err = { 0 };
    struct sqlite3_stmt *st = NULL;
    ok(kluis_db_query(db, &st, &err, literal, ""), &err);
    ok(kluis_db_step(db, st, &err), &err);
    const int64_t n = kluis_db_int(st, 0);
    kluis_db_done(st);
    return n;
}

/* More than are kept at a time, in no order, some of them twice: each is there once, of two with one key the first in order. */
static void rows_put_in_together_are_all_there_and_once(KLUIS_UNUSED void **state)
{
    enum { N = 150001 };
    struct kluis_err err = { 0 };
    struct kluis_db *db = NULL;
    struct database_batch *b = NULL;
    ok(kluis_scratch_work(&db, &err), &err);
    ok(kluis_db_exec(db, "CREATE TABLE t(a INTEGER, b INTEGER, c INTEGER, PRIMARY KEY(a, b)) WITHOUT ROWID; BEGIN", &err), &err);
    ok(database_batch_new(&b, db, 3, "INSERT OR IGNORE INTO t(a, b, c) VALUES(?,?,?)",
                          "INSERT OR IGNORE INTO t(a, b, c) VALUES" DATABASE_BATCH_MANY("(?,?,?)"), &err),
       &err);
    for (int64_t i = 0; i < N; i++) { /* 100,003 has no divisor in common with N */
        const int64_t at = i * 100003 % N, row[DATABASE_BATCH_COLUMNS] = { at % 7 - 3, at, at * 2, -1 };
        ok(database_batch_add(b, row, &err), &err);
    }
    const int64_t twice[2][DATABASE_BATCH_COLUMNS] = { { 9, 9, 5 }, { 9, 9, 4 } };
    for (int i = 0; i < 2; i++) { ok(database_batch_add(b, twice[i], &err), &err); }
    ok(database_batch_put(b, &err), &err);
    assert_int_equal(number_of(db, "SELECT count(*) FROM t"), N + 1);
    assert_int_equal(number_of(db, "SELECT count(*) FROM t WHERE a=b%7-3 AND c=2*b AND b BETWEEN 0 AND 150000"), N);
    assert_int_equal(number_of(db, "SELECT c FROM t WHERE a=9"), 4);
    const int64_t later[DATABASE_BATCH_COLUMNS] = { 9, 9, 3 }; /* what stands already stays */
    ok(database_batch_add(b, later, &err), &err);
    ok(database_batch_put(b, &err), &err);
    assert_int_equal(number_of(db, "SELECT c FROM t WHERE a=9"), 4);
    database_batch_free(b);
    kluis_scratch_sqlite_close(db);
}

static void what_was_seen_is_known_only_of_whom_it_was_said(KLUIS_UNUSED void **state)
{
    static const char longer[] = "+31600000001@een.heel.lange.naam.van.een.dienst.voorbeeld.example";
    struct database_seen *s = database_seen_new();
    assert_non_null(s);
    assert_false(database_seen(s, 1, KLUIS_STR_LIT("+31600000001")));
    assert_true(database_seen(s, 1, KLUIS_STR_LIT("+31600000001")));
    assert_false(database_seen(s, 2, KLUIS_STR_LIT("+31600000001")));
    assert_false(database_seen(s, 1, KLUIS_STR_LIT("+3160000000")));
    for (int i = 0; i < 2; i++) { assert_false(database_seen(s, 1, kluis_str_of(longer))); } /* too long to be sure of */
    for (int i = 0; i < 2; i++) { assert_false(database_seen(s, 1, KLUIS_STR_LIT(""))); }
    unsigned wrong = 0;
    for (int64_t i = 0; i < 20000; i++) { /* many fall on one place: none is ever taken for another */
        char text[32];
        (void)snprintf(text, sizeof text, "%lld", (long long)i);
        wrong += database_seen(s, 3, kluis_str_of(text));
    }
    assert_int_equal(wrong, 0);
    database_seen_free(s);
}

static void a_tally_counts_each_text_as_often_as_it_came(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    struct kluis_db *db = NULL;
    struct database_tally t = { .sql = "INSERT INTO k(x, n) VALUES(?1, ?2) ON CONFLICT(x) DO UPDATE SET n=n+?2" };
    ok(kluis_scratch_work(&db, &err), &err);
    ok(kluis_db_exec(db, "CREATE TABLE k(x TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID", &err), &err);
    for (int i = 0; i < 100; i++) { ok(database_tally(&t, db, i % 10 < 7 ? KLUIS_STR_LIT("een") : KLUIS_STR_LIT("twee"), &err), &err); }
    ok(database_tally(&t, db, KLUIS_STR_LIT(""), &err), &err);
    ok(database_tally(&t, db, (struct kluis_str){ NULL, 0 }, &err), &err);
    assert_int_equal(number_of(db, "SELECT n FROM k WHERE x='een'"), 70);
    assert_int_equal(number_of(db, "SELECT n FROM k WHERE x='twee'"), 30);
    assert_int_equal(number_of(db, "SELECT count(*) FROM k"), 2);
    kluis_scratch_sqlite_close(db);
}

/* What rows share is remembered by their statement: another table under it, another statement at its place, names that need escapes, and more columns
 * than are remembered give what they are. */
static void a_row_as_evidence_says_what_stands_in_it(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    for (int round = 0; round < 3; round++) {
        struct kluis_db *db = NULL;
        struct sqlite3_stmt *st = NULL;
        KLUIS_AUTO_BUF(out, 1 << 20);
        ok(kluis_scratch_work(&db, &err), &err);
        ok(kluis_db_query(db, &st, &err,
                          round == 1 ? "SELECT 7 AS id, 'x' AS other"
                                     : "SELECT 1 AS id, NULL AS none, -9223372036854775807-1 AS \"a\"\"b\", 2.5 AS r, x'00ff' AS b, 'é' AS t",
                          ""),
           &err);
        ok(kluis_db_step(db, st, &err), &err);
        for (int again = 0; again < 2; again++) {
            kluis_buf_clear(&out);
            database_row_json(&out, "message", st, 0, sqlite3_column_count(st));
            kluis_buf_byte(&out, 0);
            assert_string_equal((char *)out.data, round == 1 ? "{\"table\":\"message\",\"cells\":{\"id\":7,\"other\":\"x\"}}"
                                                             : "{\"table\":\"message\",\"cells\":{\"id\":1,\"a\\\"b\":-9223372036854775808,"
                                                               "\"r\":{\"real\":\"2.5\"},\"b\":{\"base64\":\"AP8=\"},\"t\":\"é\"}}");
        }
        kluis_buf_clear(&out);
        database_row_json(&out, "attachment", st, 1, 1);
        kluis_buf_byte(&out, 0);
        assert_string_equal((char *)out.data,
                            round == 1 ? "{\"table\":\"attachment\",\"cells\":{\"other\":\"x\"}}" : "{\"table\":\"attachment\",\"cells\":{}}");
        kluis_db_done(st);
        kluis_scratch_sqlite_close(db);
    }
    enum { WIDE = 300 };
    char text[WIDE * 16] = "SELECT 0 AS c0";
    size_t n = strlen(text);
    for (int i = 1; i < WIDE; i++) { n += (size_t)snprintf(text + n, sizeof text - n, ",%d AS c%d", i, i); }
    struct kluis_db *db = NULL;
    struct sqlite3_stmt *st = NULL;
    KLUIS_AUTO_BUF(out, 1 << 20);
    ok(kluis_scratch_work(&db, &err), &err);
    ok(kluis_db_query(db, &st, &err, text, ""), &err);
    ok(kluis_db_step(db, st, &err), &err);
    database_row_json(&out, "t", st, 298, 2);
    kluis_buf_byte(&out, 0);
    assert_string_equal((char *)out.data, "{\"table\":\"t\",\"cells\":{\"c298\":298,\"c299\":299}}");
    kluis_scratch_sqlite_close(db);
}

int main(void)
{
    struct kluis_err err = { 0 };
    if (kluis_base_init(&err) != KLUIS_OK) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scratch_files_keep_what_was_written_where_it_was_written),
        cmocka_unit_test(a_live_database_with_its_log_is_read_and_not_a_byte_beside_it_changes),
        cmocka_unit_test(a_transaction_that_was_under_way_is_rolled_back_in_the_copy_alone),
        cmocka_unit_test(the_copy_has_no_name_and_no_word_of_it_can_be_read),
        cmocka_unit_test(killed_in_the_middle_it_leaves_nothing),
        cmocka_unit_test(a_copy_torn_by_a_writer_is_taken_again_and_one_that_never_settles_is_not_given_out),
        cmocka_unit_test(nothing_is_copied_when_nothing_changed_and_a_change_in_the_log_alone_is_seen),
        cmocka_unit_test(everything_around_a_damaged_page_is_read_and_the_hole_is_told),
        cmocka_unit_test(of_a_database_that_was_cut_what_is_there_is_read_and_the_rest_is_told_to_be_missing),
        cmocka_unit_test(a_damaged_definition_costs_what_it_defines),
        cmocka_unit_test(what_is_no_database_is_refused_in_one_line),
        cmocka_unit_test(rows_put_in_together_are_all_there_and_once),
        cmocka_unit_test(what_was_seen_is_known_only_of_whom_it_was_said),
        cmocka_unit_test(a_tally_counts_each_text_as_often_as_it_came),
        cmocka_unit_test(a_row_as_evidence_says_what_stands_in_it),
        cmocka_unit_test(apples_and_googles_clocks_are_told_right),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
