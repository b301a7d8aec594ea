/* Promise: a vault that is killed at any durable step loses nothing it acknowledged, takes nothing twice, and finishes after a restart.
 *
 * The vault runs in a process of its own that ends at a named durable step as kill -9 would; gate, time authority and device live on. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/integration/vault_world.h"
#include "tests/support/die.h"

enum { NAME = 48 };
static const char *const steps[] = { "vault.bundle",        "vault.t1.storage.file",    "vault.t1.storage.directory", "vault.t1.commit",
                                     "vault.t2.commit",     "vault.checkpoint.stamped", "vault.answer.commit",        "vault.mirrored",
                                     "vault.outbox.posted", "vault.index.commit" };
struct order {
    char die_at[NAME], home[64], url[128];
}; /* die_at "": never */
struct result {
    bool died;
    char step[NAME];
};

static int to_spawner = -1, from_spawner = -1;

/* ---- the spawner: forked before any thread, forks vaults when told ---- */

static char die_at[NAME];
static atomic_flag dying = ATOMIC_FLAG_INIT;
static int tell = -1;

static void maybe_die(const char *name)
{
    if (strcmp(name, die_at) == 0 && !atomic_flag_test_and_set(&dying)) {
        char step[NAME] = { 0 };
        (void)snprintf(step, sizeof step, "%s", name);
        if (write(tell, step, sizeof step) != (ssize_t)sizeof step) { _exit(3); }
        die();
    }
}

static void run_vault(const struct order *o) __attribute__((noreturn));
static void run_vault(const struct order *o)
{
    static const struct kluis_hooks hooks = { .durable_step = maybe_die };
    struct kluis_err err = { 0 };
    struct vault *v = NULL;
    sigset_t set;
    int got;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    memcpy(die_at, o->die_at, sizeof die_at);
    kluis_hooks_set(&hooks);
    if (vault_open(&v, o->home, NULL, NULL, &err) != KLUIS_OK || vault_start(v, o->url, NULL, &err) != KLUIS_OK) {
        fprintf(stderr, "vault: %s\n", err.msg);
        _exit(2);
    }
    (void)sigwait(&set, &got);
    vault_close(v);
    _exit(0);
}

static void spawner(int in, int out) __attribute__((noreturn));
static void spawner(int in, int out)
{
    struct order o;
    (void)signal(SIGPIPE, SIG_IGN);
    while (read(in, &o, sizeof o) == (ssize_t)sizeof o) {
        int names[2], status = 0;
        struct result r = { 0 };
        if (pipe(names) != 0) { _exit(1); }
        pid_t pid = fork();
        if (pid == 0) {
            tell = names[1];
            run_vault(&o);
        }
        (void)close(names[1]);
        if (write(out, &pid, sizeof pid) != (ssize_t)sizeof pid) { _exit(1); }
        if (waitpid(pid, &status, 0) != pid) { _exit(1); }
        r.died = WIFSIGNALED(status);
        if (r.died && read(names[0], r.step, sizeof r.step) != (ssize_t)sizeof r.step) { r.step[0] = 0; }
        (void)close(names[0]);
        if (write(out, &r, sizeof r) != (ssize_t)sizeof r) { _exit(1); }
    }
    _exit(0);
}

static pid_t vault_up(const struct world *w, const char *step)
{
    struct order o = { 0 };
    pid_t pid;
    (void)snprintf(o.die_at, sizeof o.die_at, "%s", step);
    (void)snprintf(o.home, sizeof o.home, "%s", w->home);
    (void)snprintf(o.url, sizeof o.url, "%s", w->url);
    assert_int_equal(write(to_spawner, &o, sizeof o), sizeof o);
    assert_int_equal(read(from_spawner, &pid, sizeof pid), sizeof pid);
    return pid;
}

static struct result vault_result(void)
{
    struct result r;
    assert_int_equal(read(from_spawner, &r, sizeof r), sizeof r);
    return r;
}

static void a_kill_at_any_durable_step_loses_nothing_and_takes_nothing_twice(void **state)
{
    (void)state;
    static struct world w;
    static struct device d;
    size_t sent = 0;
    char refusal[16];
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(body, 1 << 20);
    world_open(&w);
    world_start(&w);
    device_enrol(&d, &w, "jansen", refusal);
    assert_string_equal(refusal, "");
    device_session(&d);
    vault_close(w.vault);
    w.vault = NULL;
    for (size_t n = 0; n < sizeof steps / sizeof *steps; n++) {
        struct sending s;
        device_pack(&d, &s, &(struct sealed_options){ .records = 3 });
        assert_int_equal(device_send(&d, &s), 202);
        sent++;
        (void)vault_up(&w, steps[n]);
        struct result r = vault_result();
        assert_true(r.died);
        assert_string_equal(r.step, steps[n]);
        pid_t pid = vault_up(&w, "");
        bool answered = false;
        for (int i = 0; i < 30 * world_patience() && !answered; i++) {
            struct kluis_answer a;
            answered = device_any_answer(&d, 1, &a, &body) && memcmp(a.package, s.s.id, 32) == 0 && a.kind == KLUIS_ANSWER_RECEIPT;
        }
        if (!answered) { print_error("no receipt after a stop at %s\n", steps[n]); }
        (void)kill(pid, SIGTERM);
        r = vault_result();
        assert_false(r.died);
        assert_true(answered);
        sending_close(&s);
    }
    /* Everything that was sent is there once, and all of it agrees. */
    struct vault_check_result c;
    assert_int_equal(vault_open(&w.vault, w.home, NULL, NULL, &err), KLUIS_OK);
    world_start(&w);
    for (int i = 0; i < 100 * world_patience(); i++) {
        struct index *ix = vault_index_hold(w.vault);
        uint64_t mark = index_watermark(ix);
        vault_index_release(w.vault);
        if (mark >= sent) { break; }
        kluis_sleep_us(50000);
    }
    vault_stop(w.vault);
    kluis_status rc = vault_check(w.vault, true, NULL, &c, &err);
    if (rc != KLUIS_OK) { print_error("%s\n", err.msg); }
    assert_int_equal(rc, KLUIS_OK);
    assert_int_equal(c.packages, sent);
    assert_int_equal(c.leaves, sent);
    assert_int_equal(c.records, 3 * sent);
    device_close(&d);
    world_close(&w);
}

int main(void)
{
    int a[2], b[2];
    struct kluis_err err = { 0 };
    if (kluis_base_init(&err) != KLUIS_OK || pipe(a) != 0 || pipe(b) != 0) { return 1; }
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(a[1]);
        (void)close(b[0]);
        spawner(a[0], b[1]);
    }
    (void)close(a[0]);
    (void)close(b[1]);
    to_spawner = a[1];
    from_spawner = b[0];
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_kill_at_any_durable_step_loses_nothing_and_takes_nothing_twice) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)close(to_spawner);
    (void)close(from_spawner);
    (void)waitpid(pid, NULL, 0);
    return failed;
}
