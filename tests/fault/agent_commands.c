/* Promise: the agent's small commands - a source added to a home that is not there yet, a source removed, packages exported - are done or
 * not done when memory, disk or power fail at any point of them, and can simply be given again. */
#include "tests/fault/agent_state.h"

#include "agent/journal/stock.h"

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
    };
    return fault_main(argc, argv, s, sizeof s / sizeof *s);
}
