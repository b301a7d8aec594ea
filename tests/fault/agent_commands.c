/* Promise: the agent's small commands - a source added to a home that is not there yet, a source removed, packages exported - are done or
 * not done when memory, disk or power fail at any point of them, and can simply be given again.  So is what every pass tidies: keys of an enrolment
 * that is over, what a killed pass left, and packages whose time here has come, of which nothing stays behind. */
#include "tests/fault/agent_state.h"

#include "agent/journal/stock.h"
#include "kluis/db.h"

#include <dirent.h>

static void count_sources(const char *dir, size_t *n)
{
    char home[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    struct home_source s;
    KLUIS_AUTO(home) h = NULL;
    in_dir(home, dir, "home");
    assert_int_equal(home_open(&h, home, HOME_SHARED, &err), KLUIS_OK);
    int64_t after = 0;
    kluis_status rc;
    for (*n = 0; (rc = home_source_next(h, after, &s, &err)) == KLUIS_OK; (*n)++) {
        after = s.id;
        home_source_clear(&s);
    }
    assert_int_equal(rc, KLUIS_END);
}

static int source(const char *dir, const char *what, const char *kind, const char *name)
{
    char home[KLUIS_PATH_MAX], path[KLUIS_PATH_MAX];
    in_dir(home, dir, "home");
    if (name == NULL) { return agent("source", what, "--home", home, kind, NULL); }
    in_dir(path, dir, name);
    return agent("source", what, "--home", home, kind, path, NULL);
}

/* ---- source add, the first thing a home sees ---- */

static void nothing(void *ctx, const char *dir)
{
    char path[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    static const char empty[] = "<?xml version='1.0' encoding='UTF-8' standalone='yes' ?>\n<smses count=\"0\">\n</smses>\n";
    (void)ctx;
    in_dir(path, dir, "sms.xml");
    assert_int_equal(kluis_write_file(path, empty, sizeof empty - 1, 0600, &err), KLUIS_OK);
}

static int add(void *ctx, const char *dir)
{
    (void)ctx;
    return source(dir, "add", "sms", "sms.xml");
}

static void is_added(void *ctx, const char *dir, const struct fault_outcome *o)
{
    size_t n = 0;
    (void)ctx;
    if (!o->died && o->code == 0) {
        count_sources(dir, &n);
        assert_int_equal(n, 1);
    }
    assert_int_equal(source(dir, "add", "sms", "sms.xml"), 0);
    count_sources(dir, &n);
    assert_int_equal(n, 1);
    char home[KLUIS_PATH_MAX];
    in_dir(home, dir, "home");
    assert_int_equal(state_files(home, "keys", "home.key"), 1);
}

/* ---- source remove ---- */

static void with_sources(void *ctx, const char *dir)
{
    (void)ctx;
    state_enrolled(dir);
    state_sources(dir);
}

static int take_away(void *ctx, const char *dir)
{
    (void)ctx;
    return source(dir, "remove", "2", NULL);
}

static void is_removed(void *ctx, const char *dir, const struct fault_outcome *o)
{
    size_t n = 0;
    (void)ctx;
    count_sources(dir, &n);
    assert_true(n == 1 || n == 2);
    if (!o->died && o->code == 0) { assert_int_equal(n, 1); }
    assert_int_equal(source(dir, "remove", "2", NULL), n == 2 ? 0 : 1);
    count_sources(dir, &n);
    assert_int_equal(n, 1);
}

/* ---- packages --export ---- */

static void with_packages(void *ctx, const char *dir)
{
    char home[KLUIS_PATH_MAX];
    with_sources(ctx, dir);
    in_dir(home, dir, "home");
    assert_int_equal(agent("archive", "--home", home, "--wait", "0", NULL), AGENT_AWAY);
}

static int export_all(void *ctx, const char *dir)
{
    char home[KLUIS_PATH_MAX], out[KLUIS_PATH_MAX];
    (void)ctx;
    in_dir(home, dir, "home");
    in_dir(out, dir, "out");
    return agent("packages", "--home", home, "--export", out, NULL);
}

static void exported_hash(const char *dir, const uint8_t id[32])
{
    char hex[65], name[96], path[KLUIS_PATH_MAX];
    uint8_t sha[32];
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(b, 64 << 20);
    kluis_hex(id, 32, hex);
    (void)snprintf(name, sizeof name, "out/%s.asice", hex);
    in_dir(path, dir, name);
    assert_int_equal(kluis_read_file(path, 64 << 20, &b, &err), KLUIS_OK);
    kluis_sha256_of(b.data, b.len, sha);
    assert_memory_equal(sha, id, 32);
}

static void exported_whole(const char *dir)
{
    char home[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    struct stock_package p;
    uint64_t n = 0;
    KLUIS_AUTO(home) h = NULL;
    in_dir(home, dir, "home");
    assert_int_equal(home_open(&h, home, HOME_SHARED, &err), KLUIS_OK);
    for (; stock_at(h, n, &p, &err) == KLUIS_OK; n++) { exported_hash(dir, p.id); }
    assert_true(n > 0);
    assert_int_equal(state_files(dir, "out", ".asice"), n);
    assert_int_equal(state_files(dir, "out", "trust.json"), 1);
}

static void is_exported(void *ctx, const char *dir, const struct fault_outcome *o)
{
    static struct content c;
    char home[KLUIS_PATH_MAX];
    if (!o->died && o->code == 0) { exported_whole(dir); }
    assert_int_equal(export_all(ctx, dir), 0);
    exported_whole(dir);
    assert_int_equal(state_files(dir, "out", ".part"), 0);
    in_dir(home, dir, "home");
    content_read(home, &c);
    state_is_whole(&c);
}

/* ---- what a pass tidies and releases ---- */

#define OLD_DEVICE "00112233445566778899aabbccddeeff"
enum { OVER = 40, KEPT_DAYS = 30, BOX_MAX = 256 };
static const char *const STRAY[] = { "device-" OLD_DEVICE, "login-" OLD_DEVICE };

static struct home *locked(const char *dir)
{
    char home[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    struct home *h = NULL;
    in_dir(home, dir, "home");
    assert_int_equal(home_open(&h, home, HOME_LOCKED, &err), KLUIS_OK);
    return h;
}

/* All packages but the last one are old, acknowledged and backed up; their boxed keys stand in dir/boxes, for whoever looks for them. */
static void with_what_is_over(void *ctx, const char *dir)
{
    struct kluis_err err = { 0 };
    struct sqlite3_stmt *st = NULL;
    char path[KLUIS_PATH_MAX];
    KLUIS_AUTO_BUF(boxes, 1 << 16);
    static const uint8_t nothing_much[4] = { 1, 2, 3, 4 };
    const struct kluis_bytes any = { nothing_much, sizeof nothing_much };
    with_packages(ctx, dir);
    struct home *h = locked(dir);
    assert_int_equal(kluis_db_run(h->db, NULL, &err,
                                  "UPDATE package SET state=3, acknowledged=?1, backed_up=?1 WHERE sequence<(SELECT max(sequence) FROM package)", "i",
                                  kluis_now_us() - (int64_t)OVER * 86400 * 1000000),
                     KLUIS_OK);
    assert_int_equal(kluis_db_query(h->db, &st, &err, "SELECT key FROM package WHERE state=3", ""), KLUIS_OK);
    while (kluis_db_step(h->db, st, &err) == KLUIS_OK) {
        struct kluis_bytes box = kluis_db_blob(st, 0);
        kluis_wire_field(&boxes, box.ptr, box.len);
    }
    kluis_db_done(st);
    for (size_t i = 0; i < 2; i++) { assert_int_equal(keystore_put(h->dir, STRAY[i], any, &err), KLUIS_OK); }
    assert_int_equal(home_keys_stray(h, OLD_DEVICE, &err), KLUIS_OK);
    assert_int_equal(home_path(h, "packages/" OLD_DEVICE OLD_DEVICE ".ckc.part", path, &err), KLUIS_OK);
    assert_int_equal(kluis_write_file(path, nothing_much, sizeof nothing_much, 0600, &err), KLUIS_OK);
    home_free(h);
    in_dir(path, dir, "boxes");
    assert_true(boxes.len > 0);
    assert_int_equal(kluis_write_file(path, boxes.data, boxes.len, 0600, &err), KLUIS_OK);
}

/* archive_pass's own calls for it, in their order (agent/archive.c), without the gate that must agree with the clock. */
static kluis_status tidy(const char *home, uint64_t *released, struct kluis_err *err)
{
    KLUIS_AUTO(home) h = NULL;
    KLUIS_TRY(home_open(&h, home, HOME_LOCKED, err));
    KLUIS_TRY(home_tidy(h, err));
    return stock_release(h, KEPT_DAYS, released, err);
}

static int act_tidy(void *ctx, const char *dir)
{
    char home[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    uint64_t released = 0;
    (void)ctx;
    in_dir(home, dir, "home");
    kluis_status rc = tidy(home, &released, &err);
    if (rc != KLUIS_OK) { (void)fprintf(stderr, "%s\n", err.msg); }
    return kluis_exit_code(rc);
}

static bool stands_in(const char *path, struct kluis_bytes what)
{
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(b, 64 << 20);
    assert_int_equal(kluis_read_file(path, 64 << 20, &b, &err), KLUIS_OK);
    return b.len >= what.len && memmem(b.data, b.len, what.ptr, what.len) != NULL;
}

/* In no file of the home, the database's log included. */
static bool stands_anywhere(const char *home, struct kluis_bytes what)
{
    bool found = false;
    DIR *d = opendir(home);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[KLUIS_PATH_MAX];
        if (e->d_type != DT_REG) { continue; }
        in_dir(path, home, e->d_name);
        found = found || stands_in(path, what);
    }
    (void)closedir(d);
    return found;
}

static void is_tidied(void *ctx, const char *dir, const struct fault_outcome *o)
{
    char home[KLUIS_PATH_MAX], path[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(boxes, 1 << 16);
    in_dir(home, dir, "home");
    in_dir(path, dir, "boxes");
    assert_int_equal(kluis_read_file(path, 1 << 16, &boxes, &err), KLUIS_OK);
    if (!o->died && o->code == 0) { assert_int_equal(state_files(home, "packages", ".ckc"), 1); }
    assert_int_equal(act_tidy(ctx, dir), 0);
    assert_int_equal(state_files(home, "packages", ""), 1);
    assert_int_equal(state_files(home, "keys", ""), 3);
    size_t n = 0;
    for (struct kluis_wire w = kluis_wire_open(kluis_buf_bytes(&boxes)); kluis_wire_more(&w); n++) {
        assert_false(stands_anywhere(home, kluis_wire_get(&w, BOX_MAX)));
    }
    assert_true(n > 0);
    /* What was not to go is whole, and what went is known. */
    struct stock_package p;
    size_t gone = 0, at = 0;
    struct home *h = locked(dir);
    for (; stock_at(h, at, &p, &err) == KLUIS_OK; at++) { gone += p.released; }
    assert_true(gone == n && at == n + 1);
    home_free(h);
    assert_int_equal(export_all(ctx, dir), 0);
    assert_int_equal(state_files(dir, "out", ".asice"), 1);
}

int main(int argc, char **argv)
{
    const struct fault_subject s[] = {
        { .name = "agent source remove",
          .prepare = with_sources,
          .act = take_away,
          .judge = is_removed,
          .secrets = state_secrets,
          .minimum = { 100, 50, 12 },
          .budget = { 120, 100, 0 },
          .warm = 1 },
        { .name = "agent source add",
          .prepare = nothing,
          .act = add,
          .judge = is_added,
          .secrets = state_secrets,
          .minimum = { 100, 100, 20 },
          .budget = { 200, 260, 0 },
          .warm = 1 },
        { .name = "agent packages --export",
          .prepare = with_packages,
          .act = export_all,
          .judge = is_exported,
          .secrets = state_secrets,
          .minimum = { 100, 100, 60 },
          .budget = { 200, 260, 100 },
          .warm = 1 },
        { .name = "agent tidy and release",
          .prepare = with_what_is_over,
          .act = act_tidy,
          .judge = is_tidied,
          .secrets = state_secrets,
          .minimum = { 60, 60, 60 },
          .budget = { 90, 120, 100 },
          .warm = 1 },
    };
    return fault_main(argc, argv, s, sizeof s / sizeof *s);
}
