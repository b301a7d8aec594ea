/* Promise: a backup that has its name is whole, and only such a one is told to anybody; a restore puts all of it back or is begun again, and a home
 * that was put back in part is no vault.  So when memory, disk or power fail at any point of either.  The commands' own calls, in their order
 * (server/backup_command.c), without the socket between them. */
#include "tests/fault/vault_state.h"

#include <dirent.h>
#include <sys/stat.h>

#include "server/backup/backup.h"
#include "tests/fault/tree.h"

static void below(char out[KLUIS_PATH_MAX], const char *dir, const char *name)
{
    assert_int_equal(kluis_path(out, KLUIS_PATH_MAX, dir, name, NULL), KLUIS_OK);
}

/* ---- backup ---- */

static kluis_status back_up(struct vault *v, const char *home, const char *to, struct kluis_err *err)
{
    struct backup_result r;
    KLUIS_TRY(vault_snapshot(v, err));
    KLUIS_TRY(backup_run(home, to, false, NULL, &r, err));
    return vault_backed_up(v, r.packages, r.made_us, "name=eigen", err);
}

static int act_backup(void *ctx, const char *dir)
{
    static struct world w;
    struct kluis_err err = { 0 };
    char to[KLUIS_PATH_MAX];
    fault_aside(true);
    below(to, dir, "backups");
    state_world(&w, ctx, dir);
    assert_int_equal(vault_open(&w.vault, w.home, NULL, NULL, &err), KLUIS_OK);
    fault_aside(false);
    kluis_status rc = back_up(w.vault, w.home, to, &err);
    int code = rc == KLUIS_OK ? 0 : state_code(rc, &err);
    state_world_close(&w);
    return code;
}

/* A home that has the keys of dir/home and nothing else. */
static void bare_home(const char *dir, const char *name)
{
    static const char *const part[] = { "vault", "vault/keys" };
    char home[KLUIS_PATH_MAX], from[KLUIS_PATH_MAX], to[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(trust, 1 << 20);
    below(home, dir, name);
    assert_int_equal(kluis_make_dir(home, &err), KLUIS_OK);
    for (size_t i = 0; i < 2; i++) {
        below(to, home, part[i]);
        assert_int_equal(kluis_make_dir(to, &err), KLUIS_OK);
    }
    below(from, dir, "home/vault/keys");
    tree_restore(from, to);
    below(from, dir, "home/root");
    below(to, home, "root");
    tree_restore(from, to);
    below(from, dir, "home/trust.json");
    below(to, home, "trust.json");
    assert_int_equal(kluis_read_file(from, 1 << 20, &trust, &err), KLUIS_OK);
    assert_int_equal(kluis_write_file(to, trust.data, trust.len, 0644, &err), KLUIS_OK);
}

/* The vault that was put back into dir/name is the whole archive. */
static void comes_back(struct state *s, const char *dir, const char *name)
{
    static struct world w;
    struct kluis_err err = { 0 };
    state_world(&w, s, dir);
    (void)snprintf(w.home, sizeof w.home, "%.50s/%.12s", dir, name);
    assert_int_equal(vault_open(&w.vault, w.home, NULL, NULL, &err), KLUIS_OK);
    assert_int_equal(vault_rebuild_index(w.vault, NULL, &err), KLUIS_OK);
    state_is_whole(&w, STATE_OLD, 0, STATE_OLD);
    state_world_close(&w);
}

static kluis_status restore_to(const char *dir, const char *backup, const char *name, struct kluis_err *err)
{
    struct backup_result r;
    char home[KLUIS_PATH_MAX], from[KLUIS_PATH_MAX];
    below(home, dir, name);
    below(from, dir, backup);
    return backup_restore(from, home, NULL, &r, err);
}

/* Every backup below dir/backups that has a name comes back; how many. */
static unsigned named(struct state *s, const char *dir)
{
    unsigned n = 0;
    char to[KLUIS_PATH_MAX];
    below(to, dir, "backups");
    DIR *d = opendir(to);
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        char home[16], backup[300];
        struct kluis_err err = { 0 };
        size_t len = strlen(e->d_name);
        if (len != 16 || e->d_name[len - 1] != 'Z') { continue; }
        (void)snprintf(home, sizeof home, "back-%u", n++);
        (void)snprintf(backup, sizeof backup, "backups/%s", e->d_name);
        bare_home(dir, home);
        kluis_status rc = restore_to(dir, backup, home, &err);
        if (rc != KLUIS_OK) { print_error("%s\n", err.msg); }
        assert_int_equal(rc, KLUIS_OK);
        comes_back(s, dir, home);
    }
    if (d != NULL) { (void)closedir(d); }
    return n;
}

static int64_t tomorrow(void)
{
    struct timespec t;
    if (clock_gettime(CLOCK_REALTIME, &t) != 0) { abort(); }
    return ((int64_t)t.tv_sec + 86400) * 1000000;
}

static void judge_backup(void *ctx, const char *dir, const struct fault_outcome *o)
{
    state_code_true(o);
    static struct world w;
    static const struct kluis_hooks later = { .now_us = tomorrow };
    struct kluis_err err = { 0 };
    char to[KLUIS_PATH_MAX], path[KLUIS_PATH_MAX];
    bool there;
    unsigned before = named(ctx, dir);
    below(to, dir, "backups");
    state_world(&w, ctx, dir);
    assert_int_equal(vault_open(&w.vault, w.home, NULL, NULL, &err), KLUIS_OK);
    uint64_t told = world_number(&w, "\"backup\":{\"packages\":");
    assert_true(told == 0 || (told == STATE_OLD && before == 1)); /* nobody was told of what is not there */
    if (!o->died && o->code == 0) { assert_int_equal(told, STATE_OLD); }
    state_is_whole(&w, STATE_OLD, 0, STATE_OLD);
    kluis_hooks_set(&later); /* names have a second */
    kluis_status rc = back_up(w.vault, w.home, to, &err);
    if (rc != KLUIS_OK) { print_error("%s\n", err.msg); }
    assert_int_equal(rc, KLUIS_OK);
    kluis_hooks_set(NULL);
    assert_int_equal(world_number(&w, "\"backup\":{\"packages\":"), STATE_OLD);
    below(path, w.home, "vault/snapshot");
    assert_int_equal(kluis_exists(path, &there, &err), KLUIS_OK);
    assert_false(there);
    state_world_close(&w);
    DIR *d = opendir(to);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d)) != NULL;) { assert_null(strstr(e->d_name, ".part")); }
    (void)closedir(d);
}

/* ---- restore ---- */

static void prepare_restore(void *ctx, const char *dir)
{
    static struct world w;
    struct kluis_err err = { 0 };
    struct backup_result r;
    char to[KLUIS_PATH_MAX], named_so[KLUIS_PATH_MAX], fixed[KLUIS_PATH_MAX];
    state_prepare(ctx, dir);
    below(to, dir, "backups");
    state_world(&w, ctx, dir);
    assert_int_equal(vault_open(&w.vault, w.home, NULL, NULL, &err), KLUIS_OK);
    assert_int_equal(vault_snapshot(w.vault, &err), KLUIS_OK);
    assert_int_equal(backup_run(w.home, to, false, NULL, &r, &err), KLUIS_OK);
    state_world_close(&w);
    below(named_so, to, r.name);
    below(fixed, to, "this");
    assert_int_equal(rename(named_so, fixed), 0);
    bare_home(dir, "again");
}

static int act_restore(void *ctx, const char *dir)
{
    struct kluis_err err = { 0 };
    (void)ctx;
    kluis_status rc = restore_to(dir, "backups/this", "again", &err);
    return rc == KLUIS_OK ? 0 : state_code(rc, &err);
}

static void judge_restore(void *ctx, const char *dir, const struct fault_outcome *o)
{
    state_code_true(o);
    struct kluis_err err = { 0 };
    char home[KLUIS_PATH_MAX], custody[KLUIS_PATH_MAX];
    bool there;
    below(home, dir, "again");
    below(custody, home, "vault/custody.db");
    assert_int_equal(kluis_exists(custody, &there, &err), KLUIS_OK);
    if (!o->died && o->code == 0) { assert_true(there); }
    if (!there) { /* what stands there in part is no vault; and it is begun again */
        char mark[KLUIS_PATH_MAX];
        bool begun;
        below(mark, home, "vault/restore.begun");
        assert_int_equal(kluis_exists(mark, &begun, &err), KLUIS_OK);
        if (begun) {
            struct vault *v = NULL;
            assert_int_equal(vault_open(&v, home, NULL, NULL, &err), KLUIS_E_REJECT);
            kluis_err_clear(&err);
        }
        kluis_status rc = restore_to(dir, "backups/this", "again", &err);
        if (rc != KLUIS_OK) { print_error("%s\n", err.msg); }
        assert_int_equal(rc, KLUIS_OK);
    }
    comes_back(ctx, dir, "again");
    assert_int_equal(restore_to(dir, "backups/this", "again", &err), KLUIS_E_REJECT); /* nothing is written over */
}

int main(int argc, char **argv)
{
    static struct state state;
    const struct fault_subject s[] = {
        { .name = "vault backup",
          .prepare = state_prepare,
          .act = act_backup,
          .judge = judge_backup,
          .secrets = state_secrets,
          .ctx = &state,
          .minimum = { 50, 40, 40 },
          .code_ok = state_code_ok,
          .budget = { 55, 80, 60 },
          .warm = 2 },
        { .name = "vault restore",
          .prepare = prepare_restore,
          .act = act_restore,
          .judge = judge_restore,
          .ctx = &state,
          .minimum = { 20, 40, 40 },
          .code_ok = state_code_ok,
          .budget = { 40, 80, 60 },
          .warm = 2 },
    };
    state_warm();
    return fault_main(argc, argv, s, sizeof s / sizeof *s);
}
