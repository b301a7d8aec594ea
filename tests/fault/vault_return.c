/* Promise: a vault that was put back from a backup takes its log and its register's decisions back from the gate, and packages of an earlier
 * enrolment from the present one, and when memory, disk or power fail at any point of it the log is the same tree, what was decided after the backup
 * is decided, what comes back stands under the leaf that it had, who forked is suspended and on the list, who enrols is enrolled once, and a restart
 * finishes.
 *
 * Two halves: the vault finds its gate ahead of it, with an enrolment waiting; and what the devices bring then. */
#include "tests/fault/vault_state.h"

#include "server/backup/backup.h"
#include "tests/fault/tree.h"

#include <unistd.h>

#define OK(expr) assert_int_equal((expr), KLUIS_OK)
enum { BEFORE = 2, AFTER = 2, FORKED = 1, ALL = BEFORE + AFTER + FORKED, KNOWN_MAX = 4 << 20 };

/* What is kept of the time before: dir/known. */
struct known {
    uint64_t entries; /* of the register's journal, when the vault was lost */
    char root[65];    /* of the log */
    char suspended[33];
    uint8_t secret[16];
    uint8_t returned[AFTER][32];
    struct kluis_buf request;
    struct device newcomer, bringer, forker;
};

static void below(char out[KLUIS_PATH_MAX], const char *dir, const char *name) { OK(kluis_path(out, KLUIS_PATH_MAX, dir, name, NULL)); }

static void known_keep(const struct known *k, const char *dir)
{
    char path[KLUIS_PATH_MAX];
    KLUIS_AUTO_BUF(b, KNOWN_MAX);
    kluis_wire_u64(&b, k->entries);
    kluis_wire_field(&b, k->root, sizeof k->root);
    kluis_wire_field(&b, k->suspended, sizeof k->suspended);
    kluis_wire_field(&b, k->secret, sizeof k->secret);
    kluis_wire_field(&b, k->returned, sizeof k->returned);
    kluis_wire_field(&b, k->request.data, k->request.len);
    state_device_put(&b, &k->newcomer);
    state_device_put(&b, &k->bringer);
    state_device_put(&b, &k->forker);
    OK(kluis_buf_ok(&b, NULL));
    below(path, dir, "known");
    OK(kluis_write_file(path, b.data, b.len, 0600, NULL));
}

static void known_open(struct known *k, struct world *w, const char *dir)
{
    char path[KLUIS_PATH_MAX];
    KLUIS_AUTO_BUF(b, KNOWN_MAX);
    below(path, dir, "known");
    OK(kluis_read_file(path, KNOWN_MAX, &b, NULL));
    struct kluis_wire r = kluis_wire_open(kluis_buf_bytes(&b));
    k->entries = kluis_wire_get_u64(&r);
    assert_true(kluis_wire_fixed(&r, k->root, sizeof k->root) && kluis_wire_fixed(&r, k->suspended, sizeof k->suspended));
    assert_true(kluis_wire_fixed(&r, k->secret, sizeof k->secret) && kluis_wire_fixed(&r, k->returned, sizeof k->returned));
    struct kluis_bytes request = kluis_wire_get(&r, 16 << 10);
    kluis_buf_init(&k->request, 16 << 10);
    kluis_buf_add(&k->request, request.ptr, request.len);
    state_device_get(&r, &k->newcomer, w);
    state_device_get(&r, &k->bringer, w);
    state_device_get(&r, &k->forker, w);
    OK(kluis_wire_end(&r, "known", NULL));
}

static void known_close(struct known *k)
{
    kluis_buf_free(&k->request);
    device_close(&k->newcomer);
    device_close(&k->bringer);
    device_close(&k->forker);
}

/* ---- before: a vault, a backup of it, what came after, and the backup put back ---- */

static void enrolled(struct device *d, struct world *w)
{
    char refusal[16];
    device_enrol(d, w, "jansen", refusal);
    assert_string_equal(refusal, "");
}

/* Sent and receipted; the package stays open in `keep`, when somebody will bring it back. */
static void delivered(struct device *d, struct sealed *keep)
{
    struct sending s;
    KLUIS_AUTO_BUF(body, 1 << 20);
    device_pack(d, &s, &(struct sealed_options){ .records = STATE_RECORDS });
    assert_int_equal(device_send(d, &s), 202);
    assert_int_equal(device_answer(d, s.s.id, 60, &body), KLUIS_ANSWER_RECEIPT);
    if (keep != NULL) {
        *keep = s.s;
        s.s.fd = -1;
    }
    sending_close(&s);
}

static void root_of(struct vault *v, char root[65])
{
    KLUIS_AUTO_BUF(json, 1 << 20);
    OK(vault_status_json(v, NULL, &json, NULL));
    kluis_buf_byte(&json, 0);
    const char *at = strstr((const char *)json.data, "\"root\":\"");
    assert_non_null(at);
    memcpy(root, at + 8, 64);
    root[64] = '\0';
}

/* The vault's folder is lost but for its keys, and the backup is put in its place. */
static void put_back(const struct world *w, const char *dir, const char *backup)
{
    char vault[KLUIS_PATH_MAX], lost[KLUIS_PATH_MAX], keys[KLUIS_PATH_MAX], kept[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    struct backup_result r;
    below(vault, w->home, "vault");
    below(lost, dir, "lost");
    below(keys, vault, "keys");
    below(kept, lost, "keys");
    assert_int_equal(rename(vault, lost), 0);
    OK(kluis_make_dir(vault, &err));
    OK(kluis_make_dir(keys, &err));
    tree_restore(kept, keys);
    OK(backup_restore(backup, w->home, NULL, &r, &err));
    tree_remove(lost);
}

struct making {
    struct world w;
    struct device maker, suspended;
    struct sealed later[AFTER];
    uint8_t before_it[32]; /* the package before the first of these */
    struct known k;
};

static void lose_and_put_back(struct making *m, const char *dir)
{
    static const struct reg_official piet = { .id = "piet", .name = "P. de Vries", .function = "beleid", .from = "2024-01-01", .grace_days = -1 };
    struct world *w = &m->w;
    struct known *k = &m->k;
    struct kluis_err err = { 0 };
    struct backup_result r;
    struct kluis_code_keys keys;
    char home[64], to[KLUIS_PATH_MAX], backup[KLUIS_PATH_MAX];
    (void)snprintf(home, sizeof home, "%.50s/home", dir);
    world_open_at(w, home);
    world_start(w);
    enrolled(&m->maker, w);
    enrolled(&k->forker, w);
    device_session(&m->maker);
    device_session(&k->forker);
    for (int i = 0; i < BEFORE; i++) { delivered(&m->maker, NULL); }
    delivered(&k->forker, NULL);
    kluis_random(k->secret, sizeof k->secret);
    OK(kluis_code_derive(k->secret, &keys, &err));
    vault_register_lock(w->vault);
    OK(reg_code_add(vault_register(w->vault), "jansen", keys.id, k->secret, kluis_now_us() + (int64_t)REG_CODE_SECONDS * 1000000, &err));
    vault_register_unlock(w->vault);
    state_until_indexed(w, BEFORE + FORKED);
    below(to, dir, "backups");
    OK(vault_snapshot(w->vault, &err));
    OK(backup_run(w->home, to, false, NULL, &r, &err));
    below(backup, to, r.name);
    /* What the backup does not have. */
    memcpy(m->before_it, m->maker.previous, 32);
    for (int i = 0; i < AFTER; i++) {
        delivered(&m->maker, &m->later[i]);
        memcpy(k->returned[i], m->later[i].id, 32);
    }
    enrolled(&k->bringer, w);
    enrolled(&m->suspended, w);
    (void)snprintf(k->suspended, sizeof k->suspended, "%s", m->suspended.id);
    vault_register_lock(w->vault);
    OK(reg_official_add(vault_register(w->vault), &piet, &err));
    OK(reg_device_suspend(vault_register(w->vault), k->suspended, "eigen", 0, &err));
    vault_register_unlock(w->vault);
    vault_register_changed(w->vault);
    k->entries = world_number(w, "\"entries\":");
    for (int left = 10000; world_number(w, "\"mirrored\":") < k->entries; left--) {
        assert_true(left > 0);
        kluis_sleep_us(1000);
    }
    root_of(w->vault, k->root);
    vault_close(w->vault);
    w->vault = NULL;
    put_back(w, dir, backup);
    tree_remove(to);
    /* Somebody asks to be enrolled meanwhile; the code is the backup's. */
    device_new(&k->newcomer, w);
    kluis_buf_init(&k->request, 16 << 10);
    device_request(&k->newcomer, k->secret, &k->request);
}

static void ask_to_enrol(struct making *m)
{
    struct gate_reply r;
    struct gate_client *c = gate_client_new(m->w.address, kluis_buf_bytes(&m->w.root_der), NULL, NULL);
    gate_client_ask(c, "POST", "/v1/enrol", kluis_buf_bytes(&m->k.request), NULL, &r);
    assert_int_equal(r.status, 202);
    gate_reply_free(&r);
    gate_client_free(c);
}

static void made(struct making *m, const char *dir)
{
    known_keep(&m->k, dir);
    known_close(&m->k);
    device_close(&m->maker);
    device_close(&m->suspended);
    for (int i = 0; i < AFTER; i++) { kluis_close_quiet(&m->later[i].fd); }
    world_close(&m->w);
}

static void prepare_ahead(void *ctx, const char *dir)
{
    static struct making m;
    (void)ctx;
    lose_and_put_back(&m, dir);
    ask_to_enrol(&m);
    made(&m, dir);
}

/* The newcomer's answer says that the vault took everything back and published prekeys of its own. */
static void took_back(struct making *m)
{
    char refusal[16];
    OK(vault_open(&m->w.vault, m->w.home, NULL, NULL, NULL));
    world_start(&m->w);
    device_reply(&m->k.newcomer, m->k.secret, &m->k.request, refusal);
    assert_string_equal(refusal, "");
    assert_int_equal(world_number(&m->w, "\"missing\":"), AFTER);
}

static void prepare_returns(void *ctx, const char *dir)
{
    static struct making m;
    struct sending s;
    struct known *k = &m.k;
    (void)ctx;
    lose_and_put_back(&m, dir);
    took_back(&m);
    device_session(&k->bringer);
    device_session(&k->forker);
    vault_close(m.w.vault);
    m.w.vault = NULL;
    for (uint64_t i = 0; i < AFTER; i++) {
        device_return(&k->bringer, &s, m.later[i], m.maker.id, BEFORE + 1 + i, i == 0 ? m.before_it : m.later[i - 1].id);
        s.s.fd = -1;
        assert_int_equal(device_send(&k->bringer, &s), 202);
        sending_close(&s);
    }
    k->forker.sequence = 0; /* other content under its first number */
    memset(k->forker.previous, 0, 32);
    device_pack(&k->forker, &s, &(struct sealed_options){ .records = STATE_RECORDS, .salt = 77 });
    assert_int_equal(device_send(&k->forker, &s), 202);
    sending_close(&s);
    made(&m, dir);
}

/* ---- the vault finds its gate ahead ---- */

static uint64_t entries_at(const char *dir)
{
    char path[KLUIS_PATH_MAX];
    KLUIS_AUTO_BUF(b, KNOWN_MAX);
    below(path, dir, "known");
    OK(kluis_read_file(path, KNOWN_MAX, &b, NULL));
    struct kluis_wire r = kluis_wire_open(kluis_buf_bytes(&b));
    return kluis_wire_get_u64(&r);
}

/* With the one who enrols. */
static int take_back(struct world *w, uint64_t entries)
{
    const struct state_goal goals[] = { { "\"packages\":", BEFORE + FORKED }, { "\"missing\":", AFTER },
                                        { "\"ledger\":{\"size\":", ALL },     { "\"waiting\":", 0 },
                                        { "\"entries\":", entries + 1 },      { "\"mirrored\":", entries + 1 } };
    return state_reach(w, goals, sizeof goals / sizeof *goals, 2);
}

static int act(void *ctx, const char *dir, int (*reach)(struct world *, uint64_t))
{
    static struct world w;
    fault_hurry(STATE_HURRY);
    fault_aside(true);
    state_world(&w, ctx, dir);
    uint64_t entries = entries_at(dir);
    fault_aside(false);
    int code = reach(&w, entries);
    state_world_close(&w);
    return code;
}

static int act_ahead(void *ctx, const char *dir) { return act(ctx, dir, take_back); }

/* And stands on the list that is given out. */
static bool is_suspended(struct world *w, const char *device)
{
    struct reg_device dev;
    struct kluis_err err = { 0 };
    struct kluis_revocation_verdict r = { .state = KLUIS_UNCHECKED };
    char path[KLUIS_PATH_MAX];
    KLUIS_AUTO_BUF(crl, KLUIS_CRL_MAX);
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(1 << 20);
    vault_register_lock(w->vault);
    OK(reg_device_get(vault_register(w->vault), device, arena, &dev, &err));
    vault_register_unlock(w->vault);
    if (dev.state != REG_DEVICE_SUSPENDED) { return false; }
    below(path, w->home, "vault/device-ca.crl");
    OK(kluis_read_file(path, KLUIS_CRL_MAX, &crl, &err));
    struct kluis_bytes list = kluis_buf_bytes(&crl);
    OK(kluis_revocation_judge(dev.cert, w->trust.device_cas, w->trust.n_device_cas, &list, 1, dev.suspended_us, &r, &err));
    return r.state == KLUIS_REVOKED;
}

struct counted {
    unsigned officials, devices;
};
static kluis_status count_official(void *ctx, const struct reg_official *o, struct kluis_err *err)
{
    (void)err;
    ((struct counted *)ctx)->officials += strcmp(o->id, "piet") == 0;
    return KLUIS_OK;
}
static kluis_status count_device(void *ctx, const struct reg_device *d, struct kluis_err *err)
{
    (void)d, (void)err;
    ((struct counted *)ctx)->devices++;
    return KLUIS_OK;
}

/* Of an open vault that stands still: the log is the one that was lost, and so is what was decided. */
static void is_as_it_was(struct world *w, const struct known *k, unsigned devices)
{
    char root[65];
    struct counted n = { 0 };
    uint64_t audit = 0;
    struct kluis_err err = { 0 };
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(1 << 20);
    root_of(w->vault, root);
    assert_string_equal(root, k->root);
    OK(reg_officials(vault_register(w->vault), &n, count_official, &err));
    OK(reg_devices(vault_register(w->vault), arena, &n, count_device, &err));
    assert_true(n.officials == 1 && n.devices == devices);
    assert_true(is_suspended(w, k->suspended));
    OK(reg_audit_check(vault_register(w->vault), &audit, &err));
}

enum { DEVICES = 4 }; /* maker, forker, bringer and the suspended one */

static void judge_ahead(void *ctx, const char *dir, const struct fault_outcome *o)
{
    state_code_true(o);
    static struct world w;
    static struct known k;
    char refusal[16];
    fault_hurry(STATE_HURRY);
    state_world(&w, ctx, dir);
    known_open(&k, &w, dir);
    assert_int_equal(take_back(&w, k.entries), 0);
    world_start(&w); /* it may have stopped before it had answered who enrols */
    device_reply(&k.newcomer, k.secret, &k.request, refusal);
    assert_string_equal(refusal, "");
    vault_stop(w.vault);
    is_as_it_was(&w, &k, DEVICES + 1);
    assert_true(world_number(&w, "\"entries\":") == k.entries + 1);
    device_session(&k.newcomer); /* the gate knows it, and has prekeys of this vault */
    device_session(&k.bringer);
    known_close(&k);
    state_world_close(&w);
}

/* ---- what the devices bring ---- */

/* The register's journal has two entries more than when the vault was lost: the newcomer, and now who forked. */
static int take_returns(struct world *w, uint64_t entries)
{
    const struct state_goal goals[] = { { "\"packages\":", ALL },        { "\"missing\":", 0 },           { "\"ledger\":{\"size\":", ALL },
                                        { "\"waiting\":", 0 },           { "\"answers\":", 0 },           { "\"watermark\":", ALL },
                                        { "\"entries\":", entries + 2 }, { "\"mirrored\":", entries + 2 } };
    return state_reach(w, goals, sizeof goals / sizeof *goals, 2);
}

static int act_returns(void *ctx, const char *dir) { return act(ctx, dir, take_returns); }

/* The bringer has a receipt of each, and hears of nothing else. */
static void bringer_listens(struct known *k)
{
    unsigned receipts[AFTER] = { 0 };
    KLUIS_AUTO_BUF(body, 1 << 20);
    for (int quiet = 0; quiet < 3;) { /* an answer that is no news counts as silence */
        struct kluis_answer a;
        if (!device_any_answer(&k->bringer, 0, &a, &body)) {
            quiet++;
            continue;
        }
        quiet = 0;
        assert_int_equal(a.kind, KLUIS_ANSWER_RECEIPT);
        size_t i = 0;
        while (i < AFTER && memcmp(a.package, k->returned[i], 32) != 0) { i++; }
        assert_true(i < AFTER);
        receipts[i]++;
    }
    for (size_t i = 0; i < AFTER; i++) { assert_true(receipts[i] > 0); }
}

static void judge_returns(void *ctx, const char *dir, const struct fault_outcome *o)
{
    state_code_true(o);
    static struct world w;
    static struct known k;
    fault_hurry(STATE_HURRY);
    state_world(&w, ctx, dir);
    known_open(&k, &w, dir);
    assert_int_equal(take_returns(&w, k.entries), 0);
    world_start(&w);
    for (int left = 10000; !is_suspended(&w, k.forker.id); left--) { /* the list is made anew at the start, if it could not be before */
        assert_true(left > 0);
        kluis_sleep_us(20000);
    }
    vault_stop(w.vault);
    is_as_it_was(&w, &k, DEVICES + 1);
    assert_true(world_number(&w, "\"entries\":") == k.entries + 2);
    bringer_listens(&k);
    state_is_whole(&w, ALL, 0, ALL);
    known_close(&k);
    state_world_close(&w);
}

int main(int argc, char **argv)
{
    static struct state state;
    const struct fault_subject s[] = {
        { .name = "vault set back",
          .prepare = prepare_ahead,
          .before = state_up,
          .act = act_ahead,
          .after = state_down,
          .judge = judge_ahead,
          .secrets = state_secrets,
          .ctx = &state,
          .minimum = { 20, 20, 24 },
          .code_ok = state_code_ok,
          .budget = { 24, 34, 30 },
          .warm = 2 },
        { .name = "vault returns",
          .prepare = prepare_returns,
          .before = state_up,
          .act = act_returns,
          .after = state_down,
          .judge = judge_returns,
          .secrets = state_secrets,
          .ctx = &state,
          .minimum = { 20, 20, 24 },
          .code_ok = state_code_ok,
          .budget = { 24, 34, 30 },
          .warm = 2 },
    };
    state_warm();
    return fault_main(argc, argv, s, sizeof s / sizeof *s);
}
