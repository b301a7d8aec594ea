/* Promise: the server's small commands - a home made, an official added, a code given out, a search noted in the audit trail - are done or not done
 * when memory, disk or power fail at any point of them, and it is said which; a home that was made in part is no vault, and its keys are never
 * replaced.  The commands' own calls, in their order (server/commands.c, server/api), without the socket between them. */
#include "tests/fault/vault_state.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "server/init.h"
#include "tests/fault/tree.h"

#define OK(expr) assert_int_equal((expr), KLUIS_OK)

/* ---- init ---- */

static kluis_status init(const char *dir, struct kluis_err *err)
{
    char home[64];
    (void)snprintf(home, sizeof home, "%.50s/home", dir);
    const struct vault_init_config c = { .home = home, .organisation = "Testministerie" };
    return vault_init(&c, err);
}

static void nothing(void *ctx, const char *dir) { (void)ctx, (void)dir; }

static int act_init(void *ctx, const char *dir)
{
    struct kluis_err err = { 0 };
    (void)ctx;
    kluis_status rc = init(dir, &err);
    return rc == KLUIS_OK ? 0 : state_code(rc, &err);
}

static bool there(const char *dir, const char *name)
{
    char path[KLUIS_PATH_MAX];
    OK(kluis_path(path, sizeof path, dir, name, NULL));
    return access(path, F_OK) == 0;
}

/* Every key and certificate of it serves: time authority, gate and vault start, and a device enrols. */
static void serves(const char *dir)
{
    static struct world w;
    static struct device d;
    struct kluis_err err = { 0 };
    char refusal[16];
    const struct reg_official f = { .id = "jansen", .name = "J. Jansen", .function = "beleid", .from = "2020-01-01", .grace_days = -1 };
    memset(&w, 0, sizeof w);
    (void)snprintf(w.home, sizeof w.home, "%.50s/home", dir);
    world_read(&w);
    world_start_tsa(&w);
    world_start_gate(&w);
    OK(vault_open(&w.vault, w.home, NULL, NULL, &err));
    OK(reg_official_add(vault_register(w.vault), &f, &err));
    world_start(&w);
    device_enrol(&d, &w, "jansen", refusal);
    assert_string_equal(refusal, "");
    device_close(&d);
    world_close(&w);
}

static void is_made(void *ctx, const char *dir, const struct fault_outcome *o)
{
    struct kluis_err err = { 0 }, again = { 0 };
    struct vault *v = NULL;
    char home[64], old[64];
    const bool whole = there(dir, "home/trust.json");
    (void)ctx;
    (void)snprintf(home, sizeof home, "%.50s/home", dir);
    (void)snprintf(old, sizeof old, "%.50s/old", dir);
    if (!o->died && o->code == 0) { assert_true(whole); }
    if (!whole) { /* whoever starts it is told, and nothing is made up in place of what is missing */
        assert_int_not_equal(vault_open(&v, home, NULL, NULL, &err), KLUIS_OK);
        assert_null(v);
        assert_true(err.msg[0] != '\0' && err.code != KLUIS_E_BUG);
    }
    kluis_status rc = init(dir, &again);
    assert_true(rc == KLUIS_E_EXISTS || (!whole && rc == KLUIS_OK));
    if (rc == KLUIS_E_EXISTS && !whole) { /* as its line says: removed, then made */
        assert_non_null(strstr(again.msg, "remove it"));
        assert_int_equal(rename(home, old), 0);
        OK(init(dir, &again));
    }
    serves(dir);
}

/* Of the key files that are there. */
static size_t made_secrets(void *ctx, const char *dir, uint8_t *out, size_t room)
{
    static const char *const name[] = { "wrapping.key", "log.seed" };
    size_t n = 0;
    (void)ctx;
    for (size_t i = 0; i < sizeof name / sizeof *name && n < room; i++) {
        char path[KLUIS_PATH_MAX];
        (void)snprintf(path, sizeof path, "%s/home/vault/keys/%s", dir, name[i]);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) { continue; } /* the act ended before it was made */
        n += pread(fd, out + n * FAULT_SECRET, FAULT_SECRET, 0) == FAULT_SECRET;
        (void)close(fd);
    }
    return n;
}

/* ---- official add, enrol, and the audit trail ---- */

static const struct reg_official piet = { .id = "piet", .name = "P. de Vries", .function = "beleid", .from = "2024-01-01", .grace_days = -1 };
static const uint8_t code_id[16] = { 'c', 'o', 'd', 'e' }, code_secret[16] = { 7, 7, 7 };

static kluis_status decide(struct reg *r, struct kluis_err *err)
{
    KLUIS_TRY(reg_official_add(r, &piet, err));
    KLUIS_TRY(reg_code_add(r, piet.id, code_id, code_secret, kluis_now_us() + (int64_t)REG_CODE_SECONDS * 1000000, err));
    return reg_audit(r, "local", "search", "eigen onderzoek", "hits=0", err);
}

static int act_decide(void *ctx, const char *dir)
{
    static struct world w;
    struct kluis_err err = { 0 };
    fault_aside(true);
    state_world(&w, ctx, dir);
    OK(vault_open(&w.vault, w.home, NULL, NULL, &err));
    fault_aside(false);
    kluis_status rc = decide(vault_register(w.vault), &err);
    int code = rc == KLUIS_OK ? 0 : state_code(rc, &err);
    state_world_close(&w);
    return code;
}

struct counted {
    unsigned official, codes, searches;
};

static kluis_status count_official(void *ctx, const struct reg_official *o, struct kluis_err *err)
{
    (void)err;
    ((struct counted *)ctx)->official += strcmp(o->id, piet.id) == 0;
    return KLUIS_OK;
}

static kluis_status count_entry(void *ctx, const struct reg_audit_entry *e, struct kluis_err *err)
{
    (void)err;
    ((struct counted *)ctx)->searches += e->action.len == 6 && memcmp(e->action.ptr, "search", 6) == 0;
    return KLUIS_OK;
}

static void count(struct reg *r, struct counted *n)
{
    struct kluis_err err = { 0 };
    uint64_t entries = 0;
    char official[64];
    uint8_t secret[16];
    memset(n, 0, sizeof *n);
    OK(reg_officials(r, n, count_official, &err));
    OK(reg_audit_each(r, n, count_entry, &entries, &err)); /* the chain holds */
    kluis_status rc = reg_code_find(r, code_id, kluis_now_us(), official, secret, &err);
    assert_true(rc == KLUIS_OK || rc == KLUIS_E_NOTFOUND);
    n->codes = rc == KLUIS_OK;
    if (rc == KLUIS_OK) { assert_memory_equal(secret, code_secret, sizeof secret); }
}

static void is_decided(void *ctx, const char *dir, const struct fault_outcome *o)
{
    static struct world w;
    struct counted n;
    struct kluis_err err = { 0 };
    state_code_true(o);
    state_world(&w, ctx, dir);
    OK(vault_open(&w.vault, w.home, NULL, NULL, &err));
    struct reg *r = vault_register(w.vault);
    count(r, &n);
    assert_true(n.official <= 1 && n.searches <= 1 && n.official >= n.codes && n.codes >= n.searches); /* in their order */
    if (!o->died && o->code == 0) { assert_true(n.searches == 1); }
    kluis_status rc = reg_official_add(r, &piet, &err);
    assert_int_equal(rc, n.official == 1 ? KLUIS_E_EXISTS : KLUIS_OK);
    if (n.codes == 0) { OK(reg_code_add(r, piet.id, code_id, code_secret, kluis_now_us() + (int64_t)REG_CODE_SECONDS * 1000000, &err)); }
    if (n.searches == 0) { OK(reg_audit(r, "local", "search", "eigen onderzoek", "hits=0", &err)); }
    count(r, &n);
    assert_true(n.official == 1 && n.codes == 1 && n.searches == 1);
    state_world_close(&w);
}

int main(int argc, char **argv)
{
    static struct state state = { .waiting = false };
    const struct fault_subject s[] = {
        { .name = "server init",
          .prepare = nothing,
          .act = act_init,
          .judge = is_made,
          .secrets = made_secrets,
          .minimum = { 20, 20, 30 },
          .budget = { 24, 40, 36 },
          .code_ok = state_code_ok,
          .warm = 0 },
        { .name = "server official, enrol, audit",
          .prepare = state_prepare,
          .act = act_decide,
          .judge = is_decided,
          .secrets = state_secrets,
          .ctx = &state,
          .minimum = { 50, 30, 60 },
          .budget = { 60, 60, 70 },
          .code_ok = state_code_ok,
          .warm = 1 },
    };
    state_warm();
    return fault_main(argc, argv, s, sizeof s / sizeof *s);
}
