/* tests/unit/trail_test.c - promises of the audit trail (server/register/trail.h): what is changed, moved, cut off or taken away is named with its
 * entry; what a stop left half written is cut and said so; a decision and its entry come together; no room, no entry, no success. */
#include "server/register/register.h"
#include "server/register/trail.h"

#include "kluis/db.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "tests/support/test_dir.h"

static char dir[64];
static _Atomic(const char *) fail_op, die_at;
static atomic_int fail_with, syncs, slow_us;
static atomic_int hold; /* 1: the next thread that writes beside this one is held, 2: it is, 0: it goes on, or after half a second */
static pthread_t this_one;

static int fault(const char *op, KLUIS_UNUSED const char *path, KLUIS_UNUSED int fd)
{
    if (strcmp(op, "fdatasync") == 0) {
        syncs++;
        if (slow_us > 0) { kluis_sleep_us(slow_us); }
    }
    if (strcmp(op, "write") == 0 && hold == 1 && !pthread_equal(pthread_self(), this_one)) {
        hold = 2;
        for (int i = 0; i < 250 && hold == 2; i++) { kluis_sleep_us(2000); }
    }
    const char *failing = fail_op;
    return failing != NULL && strcmp(op, failing) == 0 ? fail_with : 0;
}

static void step(const char *name)
{
    const char *dying = die_at;
    if (dying != NULL && strcmp(name, dying) == 0) { _exit(42); }
}

static int setup(KLUIS_UNUSED void **state)
{
    static const struct kluis_hooks hooks = { .io_fault = fault, .durable_step = step };
    struct kluis_err err = { 0 };
    fail_op = NULL;
    die_at = NULL;
    slow_us = hold = 0;
    this_one = pthread_self();
    if (!test_dir("trail", dir, sizeof dir)) { return -1; }
    kluis_hooks_set(&hooks);
    return kluis_base_init(&err) == KLUIS_OK ? 0 : -1;
}

static struct reg *open_reg(void)
{
    struct kluis_err err = { 0 };
    struct reg *r = NULL;
    kluis_status rc = reg_open(&r, dir, &err);
    if (rc != KLUIS_OK) { print_error("%s\n", err.msg); }
    assert_int_equal(rc, KLUIS_OK);
    return r;
}

static void search_for(struct reg *r, const char *what)
{
    struct kluis_err err = { 0 };
    assert_int_equal(reg_audit(r, "command", "search", "Woo 2026-17", what, &err), KLUIS_OK);
}

static void five(void)
{
    static const char *const words[] = { "een", "twee", "drie", "vier", "vijf" };
    struct reg *r = open_reg();
    for (int i = 0; i < 5; i++) { search_for(r, words[i]); }
    reg_free(r); /* which notes how far the trail goes */
}

static void path_of(char out[KLUIS_PATH_MAX], const char *name) { (void)snprintf(out, KLUIS_PATH_MAX, "%s/audit/%s", dir, name); }

static void load(struct kluis_buf *b)
{
    char path[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    path_of(path, "000001.log");
    kluis_buf_clear(b);
    assert_int_equal(kluis_read_file(path, 16 << 20, b, &err), KLUIS_OK);
}

static void save(const struct kluis_buf *b)
{
    char path[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    path_of(path, "000001.log");
    assert_int_equal(kluis_write_file(path, b->data, b->len, 0600, &err), KLUIS_OK);
}

/* Where entry n begins; one past the last gives the end. */
static size_t entry_at(const struct kluis_buf *b, unsigned n)
{
    size_t at = TRAIL_HEAD;
    for (unsigned i = 1; i < n; i++) {
        const uint8_t *p = b->data + at;
        at += 4 + ((size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]) + 32;
    }
    return at;
}

static void names(unsigned entry)
{
    struct kluis_err err = { 0 };
    uint64_t n = 99;
    char text[32];
    struct reg *r = open_reg();
    assert_int_equal(reg_audit_check(r, &n, &err), KLUIS_E_CORRUPT);
    (void)snprintf(text, sizeof text, "at entry %u (", entry);
    if (strstr(err.msg, text) == NULL) { print_error("%s\n", err.msg); }
    assert_non_null(strstr(err.msg, text));
    assert_int_equal(n, entry - 1);
    search_for(r, "het werk gaat door");
    reg_free(r);
    /* Neither a new start nor new entries make it whole. */
    r = open_reg();
    assert_int_equal(reg_audit_check(r, &n, &err), KLUIS_E_CORRUPT);
    assert_int_equal(n, entry - 1);
    reg_free(r);
}

static bool has(struct reg *r, const char *action, const char *detail, unsigned times);

static void a_changed_entry_is_named(KLUIS_UNUSED void **state)
{
    KLUIS_AUTO_BUF(b, 16 << 20);
    for (unsigned entry = 1; entry <= 5; entry++) {
        assert_int_equal(setup(NULL), 0);
        five();
        load(&b);
        b.data[entry_at(&b, entry + 1) - 34] ^= 1; /* in its detail */
        save(&b);
        names(entry);
    }
}

static void a_changed_length_is_named(KLUIS_UNUSED void **state)
{
    KLUIS_AUTO_BUF(b, 16 << 20);
    five();
    load(&b);
    b.data[entry_at(&b, 4) + 2] ^= 1;
    save(&b);
    names(4);
}

static void entries_in_another_order_are_named(KLUIS_UNUSED void **state)
{
    KLUIS_AUTO_BUF(b, 16 << 20);
    KLUIS_AUTO_BUF(other, 16 << 20);
    five();
    load(&b);
    size_t two = entry_at(&b, 2), three = entry_at(&b, 3), four = entry_at(&b, 4);
    kluis_buf_add(&other, b.data, two);
    kluis_buf_add(&other, b.data + three, four - three);
    kluis_buf_add(&other, b.data + two, three - two);
    kluis_buf_add(&other, b.data + four, b.len - four);
    assert_int_equal(other.len, b.len);
    save(&other);
    names(2);
}

static void an_entry_that_was_taken_out_is_named(KLUIS_UNUSED void **state)
{
    KLUIS_AUTO_BUF(b, 16 << 20);
    five();
    load(&b);
    size_t three = entry_at(&b, 3), four = entry_at(&b, 4);
    memmove(b.data + three, b.data + four, b.len - four);
    memset(b.data + b.len - (four - three), 0, four - three);
    save(&b);
    names(3);
}

static void a_shorter_trail_is_named(KLUIS_UNUSED void **state)
{
    KLUIS_AUTO_BUF(b, 16 << 20);
    five();
    load(&b);
    size_t four = entry_at(&b, 4);
    memset(b.data + four, 0, b.len - four); /* a chain that is whole in itself: the register knows better */
    save(&b);
    names(4);
    assert_int_equal(setup(NULL), 0);
    five();
    load(&b);
    b.len = entry_at(&b, 3);
    save(&b);
    names(3);
    assert_int_equal(setup(NULL), 0);
    five();
    char path[KLUIS_PATH_MAX];
    path_of(path, "000001.log");
    assert_int_equal(unlink(path), 0);
    names(1);
}

static void what_a_stop_left_half_written_is_cut_and_said_so(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    uint64_t n = 0;
    KLUIS_AUTO_BUF(b, 16 << 20);
    five();
    load(&b);
    size_t end = entry_at(&b, 6), five_at = entry_at(&b, 5);
    memcpy(b.data + end, b.data + five_at, (end - five_at) / 2);
    save(&b);
    struct reg *r = open_reg();
    assert_int_equal(reg_audit_check(r, &n, &err), KLUIS_OK);
    assert_int_equal(n, 6);
    assert_true(has(r, "audit.cut", "entry=6 ", 1));
    reg_free(r);
    r = open_reg(); /* once */
    assert_int_equal(reg_audit_check(r, &n, &err), KLUIS_OK);
    assert_int_equal(n, 6);
    reg_free(r);
    char path[KLUIS_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/audit", dir);
    DIR *d = opendir(path);
    assert_non_null(d);
    unsigned aside = 0;
    for (const struct dirent *e; (e = readdir(d)) != NULL;) { aside += strncmp(e->d_name, "cut-6-", 6) == 0; }
    (void)closedir(d);
    assert_int_equal(aside, 1);
}

static void a_failed_sync_fails_the_entry_and_leaves_none(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    uint64_t n = 0;
    static const struct {
        const char *op;
        int error;
    } ways[] = { { "fdatasync", EIO }, { "write", ENOSPC } };
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(setup(NULL), 0);
        struct reg *r = open_reg();
        search_for(r, "een");
        fail_op = ways[i].op;
        fail_with = ways[i].error;
        assert_int_equal(reg_audit(r, "command", "search", "Woo", "een veel langere vraag die niet op schijf komt", &err), KLUIS_E_IO);
        assert_non_null(strstr(err.msg, "nothing is shown"));
        fail_op = NULL;
        search_for(r, "twee");
        assert_int_equal(reg_audit_check(r, &n, &err), KLUIS_OK);
        assert_int_equal(n, 2);
        assert_true(has(r, "search", "veel langere", 0));
        reg_free(r);
        r = open_reg();
        assert_int_equal(reg_audit_check(r, &n, &err), KLUIS_OK);
        assert_int_equal(n, 2);
        reg_free(r);
    }
}

static void segments_follow_each_other_and_without_room_nothing_is_entered(KLUIS_UNUSED void **state)
{
    static char much[16001];
    struct kluis_err err = { 0 };
    uint64_t n = 0, entered = 0;
    memset(much, 'x', sizeof much - 1);
    struct reg *r = open_reg();
    fail_with = ENOSPC;
    fail_op = "open"; /* no new file can be made */
    kluis_status rc = KLUIS_OK;
    while (rc == KLUIS_OK && entered < 2000) {
        rc = reg_audit(r, "command", "search", "Woo", much, &err);
        entered += rc == KLUIS_OK;
    }
    assert_int_equal(rc, KLUIS_E_IO);
    assert_in_range(entered, TRAIL_SEGMENT / 16400, TRAIL_SEGMENT / 16000);
    assert_int_equal(reg_audit(r, "command", "search", "Woo", much, NULL), KLUIS_E_IO);
    fail_op = NULL;
    for (int i = 0; i < 600; i++) {
        assert_int_equal(reg_audit(r, "command", "search", "Woo", much, &err), KLUIS_OK);
        entered++;
    }
    assert_int_equal(reg_audit_check(r, &n, &err), KLUIS_OK);
    assert_int_equal(n, entered);
    reg_free(r);
    char path[KLUIS_PATH_MAX];
    path_of(path, "000003.log");
    assert_int_equal(access(path, F_OK), 0); /* else this shows nothing of segments */
    r = open_reg();
    assert_int_equal(reg_audit_check(r, &n, &err), KLUIS_OK);
    assert_int_equal(n, entered);
    reg_free(r);
    path_of(path, "000002.log");
    assert_int_equal(unlink(path), 0);
    r = open_reg();
    assert_int_equal(reg_audit_check(r, &n, &err), KLUIS_E_CORRUPT);
    assert_in_range(n, TRAIL_SEGMENT / 16400, TRAIL_SEGMENT / 16000);
    reg_free(r);
}

static void the_next_segment_waits_for_whoever_is_making_it(KLUIS_UNUSED void **state)
{
    static char much[16001];
    struct kluis_err err = { 0 };
    uint64_t n = 0, entered = 0;
    char path[KLUIS_PATH_MAX];
    memset(much, 'x', sizeof much - 1);
    path_of(path, "000002.log");
    struct reg *r = open_reg();
    hold = 1; /* the helper stops between opening the file and its first zeros */
    for (; entered < 70; entered++) {
        assert_int_equal(reg_audit(r, "command", "search", "Woo", much, &err), KLUIS_OK);
        if (entered == 50) { assert_int_not_equal(hold, 1); } /* else this shows nothing of a helper */
    }
    assert_int_equal(access(path, F_OK), 0);
    hold = 0;
    reg_free(r); /* who makes the file has ended */
    r = open_reg();
    assert_int_equal(reg_audit_check(r, &n, &err), KLUIS_OK);
    assert_int_equal(n, entered);
    reg_free(r);
}

static void *many(void *arg)
{
    struct reg *r = arg;
    struct kluis_err err = { 0 };
    for (int i = 0; i < 20; i++) {
        if (reg_audit(r, "command", "search", "Woo", "samen", &err) != KLUIS_OK) { return arg; }
    }
    return NULL;
}

static void those_who_wait_at_the_same_time_share_one_sync(KLUIS_UNUSED void **state)
{
    pthread_t t[8];
    struct kluis_err err = { 0 };
    uint64_t n = 0;
    struct reg *r = open_reg();
    syncs = 0;
    slow_us = 3000; /* a slow disk */
    for (int i = 0; i < 8; i++) { assert_int_equal(pthread_create(&t[i], NULL, many, r), 0); }
    for (int i = 0; i < 8; i++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(t[i], &failed), 0);
        assert_null(failed);
    }
    slow_us = 0;
    int used = syncs;
    assert_int_equal(reg_audit_check(r, &n, &err), KLUIS_OK);
    assert_int_equal(n, 160);
    assert_in_range(used, 20, 120);
    reg_free(r);
}

/* Runs `what` in a process that ends at a durable step as kill -9 would. */
static void killed_at(const char *name, void (*what)(struct reg *r))
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct reg *r = NULL;
        struct kluis_err err = { 0 };
        if (reg_open(&r, dir, &err) != KLUIS_OK) { _exit(1); }
        die_at = name;
        what(r);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
}

static void decide(struct reg *r)
{
    const struct reg_official o = { .id = "jansen", .name = "A. Jansen", .function = "DG-01", .from = "2024-02-29", .grace_days = -1 };
    struct kluis_err err = { 0 };
    if (reg_official_add(r, &o, &err) != KLUIS_OK) { _exit(2); }
}

static void a_decision_and_its_entry_come_together_and_once(KLUIS_UNUSED void **state)
{
    static const char *const steps[] = { "register.official", "register.trail" };
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(setup(NULL), 0);
        struct kluis_err err = { 0 };
        struct reg_official back;
        uint64_t n = 0;
        five();
        killed_at(steps[i], decide);
        for (int again = 0; again < 2; again++) {
            struct reg *r = open_reg();
            assert_int_equal(reg_official_get(r, "jansen", &back, &err), KLUIS_OK);
            assert_true(has(r, "official.add", "jansen", 1));
            assert_int_equal(reg_audit_check(r, &n, &err), KLUIS_OK);
            assert_int_equal(n, 6);
            reg_free(r);
        }
    }
}

static void a_decision_stands_when_the_trail_has_no_room_and_is_entered_later(KLUIS_UNUSED void **state)
{
    struct reg *r = open_reg();
    struct kluis_err err = { 0 };
    uint64_t n = 0;
    fail_op = "fdatasync";
    fail_with = EIO;
    decide(r);
    assert_int_equal(reg_audit_check(r, &n, &err), KLUIS_E_IO);
    fail_op = NULL;
    assert_int_equal(reg_audit_check(r, &n, &err), KLUIS_OK);
    assert_true(has(r, "official.add", "jansen", 1));
    reg_free(r);
}

/* ---- entries of before ---- */

static void former(struct kluis_db *db, unsigned n, uint8_t previous[32])
{
    struct kluis_err err = { 0 };
    for (unsigned i = 1; i <= n; i++) {
        KLUIS_AUTO_BUF(b, 4096);
        int64_t time = INT64_C(1700000000000000) + i;
        kluis_wire_label(&b, "chatkluis-audit-v1");
        kluis_wire_field(&b, previous, 32);
        kluis_wire_u64(&b, i);
        kluis_wire_u64(&b, (uint64_t)time);
        kluis_wire_str(&b, KLUIS_STR_LIT("page"));
        kluis_wire_str(&b, KLUIS_STR_LIT("search"));
        kluis_wire_str(&b, KLUIS_STR_LIT("Woo"));
        kluis_wire_str(&b, KLUIS_STR_LIT("q=\"vroeger\""));
        kluis_sha256_of(b.data, b.len, previous);
        assert_int_equal(
            kluis_db_run(db, NULL, &err, "INSERT INTO audit VALUES(?,?,'page','search','Woo','q=\"vroeger\"',?)", "iih", (int64_t)i, time, previous),
            KLUIS_OK);
    }
}

/* register.db as 0.1.0 made it. */
static void before_the_trail(unsigned n, bool change)
{
    static const char *const schema[] = {
        "CREATE TABLE official(id TEXT PRIMARY KEY, name TEXT NOT NULL, function TEXT NOT NULL, starts TEXT NOT NULL, ends TEXT NOT NULL DEFAULT '',"
        " grace_days INTEGER NOT NULL DEFAULT -1) STRICT, WITHOUT ROWID;"
        "CREATE TABLE code(id BLOB PRIMARY KEY, official TEXT NOT NULL REFERENCES official(id), secret BLOB, expires_us INTEGER NOT NULL,"
        " used INTEGER NOT NULL DEFAULT 0, reply BLOB) STRICT, WITHOUT ROWID;"
        "CREATE TABLE device(id TEXT PRIMARY KEY, official TEXT NOT NULL REFERENCES official(id), state INTEGER NOT NULL, identity BLOB NOT NULL,"
        " cert BLOB NOT NULL, login_spki BLOB NOT NULL, enrolled_us INTEGER NOT NULL, suspended_why TEXT NOT NULL DEFAULT '') STRICT, WITHOUT "
        "ROWID;"
        "CREATE INDEX device_official ON device(official);"
        "CREATE TABLE audit(seq INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, purpose TEXT NOT NULL,"
        " detail TEXT NOT NULL, hash BLOB NOT NULL) STRICT;",
    };
    char path[KLUIS_PATH_MAX];
    struct kluis_db *db = NULL;
    struct kluis_err err = { 0 };
    uint8_t previous[32] = { 0 };
    assert_int_equal(kluis_path(path, sizeof path, dir, "register.db", &err), KLUIS_OK);
    assert_int_equal(kluis_db_open(&db, path, KLUIS_DB_FULL, schema, 1, &err), KLUIS_OK);
    former(db, n, previous);
    if (change) { assert_int_equal(kluis_db_exec(db, "UPDATE audit SET purpose='other' WHERE seq=3", &err), KLUIS_OK); }
    kluis_db_free(db);
}

static void reopen(struct reg *r) { reg_free(r); }

static void entries_of_before_stay_verifiable(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    uint64_t n = 0;
    before_the_trail(450, false);
    struct reg *r = open_reg();
    assert_int_equal(reg_audit_check(r, &n, &err), KLUIS_OK);
    assert_int_equal(n, 450);
    search_for(r, "nu");
    assert_int_equal(reg_audit_check(r, &n, &err), KLUIS_OK);
    assert_int_equal(n, 451);
    reg_free(r);
    /* A stop between moving and forgetting the table begins anew. */
    assert_int_equal(setup(NULL), 0);
    before_the_trail(450, false);
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        die_at = "register.trail"; /* some of them are moved */
        struct reg *dead = NULL;
        if (reg_open(&dead, dir, &err) == KLUIS_OK) { reopen(dead); }
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 42);
    r = open_reg();
    assert_int_equal(reg_audit_check(r, &n, &err), KLUIS_OK);
    assert_int_equal(n, 450);
    reg_free(r);
    /* Moving makes nothing good again. */
    assert_int_equal(setup(NULL), 0);
    before_the_trail(5, true);
    names(3);
}

/* ---- reading ---- */

struct look {
    const char *action, *detail;
    unsigned times;
};

static kluis_status look(void *ctx, const struct reg_audit_entry *e, KLUIS_UNUSED struct kluis_err *err)
{
    struct look *l = ctx;
    char detail[256];
    (void)snprintf(detail, sizeof detail, "%.*s", (int)(e->detail.len < 255 ? e->detail.len : 255), e->detail.ptr);
    l->times += kluis_str_is(e->action, l->action) && strstr(detail, l->detail) != NULL;
    return KLUIS_OK;
}

static bool has(struct reg *r, const char *action, const char *detail, unsigned times)
{
    struct look l = { action, detail, 0 };
    struct kluis_err err = { 0 };
    uint64_t n = 0;
    assert_int_equal(reg_audit_each(r, &l, look, &n, &err), KLUIS_OK);
    return l.times == times;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_changed_entry_is_named, setup),
        cmocka_unit_test_setup(a_changed_length_is_named, setup),
        cmocka_unit_test_setup(entries_in_another_order_are_named, setup),
        cmocka_unit_test_setup(an_entry_that_was_taken_out_is_named, setup),
        cmocka_unit_test_setup(a_shorter_trail_is_named, setup),
        cmocka_unit_test_setup(what_a_stop_left_half_written_is_cut_and_said_so, setup),
        cmocka_unit_test_setup(a_failed_sync_fails_the_entry_and_leaves_none, setup),
        cmocka_unit_test_setup(segments_follow_each_other_and_without_room_nothing_is_entered, setup),
        cmocka_unit_test_setup(the_next_segment_waits_for_whoever_is_making_it, setup),
        cmocka_unit_test_setup(those_who_wait_at_the_same_time_share_one_sync, setup),
        cmocka_unit_test_setup(a_decision_and_its_entry_come_together_and_once, setup),
        cmocka_unit_test_setup(a_decision_stands_when_the_trail_has_no_room_and_is_entered_later, setup),
        cmocka_unit_test_setup(entries_of_before_stay_verifiable, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
