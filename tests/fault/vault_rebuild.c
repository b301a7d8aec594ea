/* Promise: rebuild-index makes the index anew from the packages; when memory, disk or power fail at any point of it, the archive is as it was, and
 * the vault by itself goes on indexing behind what is there, or a second rebuild does it: every record is found, once. */
#include "tests/fault/vault_state.h"

static int act(void *ctx, const char *dir)
{
    static struct world w;
    struct kluis_err err = { 0 };
    fault_hurry(STATE_HURRY);
    fault_aside(true);
    state_world(&w, ctx, dir);
    assert_int_equal(vault_open(&w.vault, w.home, NULL, NULL, &err), KLUIS_OK);
    fault_aside(false);
    kluis_status rc = vault_rebuild_index(w.vault, NULL, &err);
    int code = rc == KLUIS_OK ? 0 : state_code(rc, &err);
    state_world_close(&w);
    return code;
}

static void judge(void *ctx, const char *dir, const struct fault_outcome *o)
{
    state_code_true(o);
    static struct world w;
    struct kluis_err err = { 0 };
    fault_hurry(STATE_HURRY);
    state_world(&w, ctx, dir);
    assert_int_equal(vault_open(&w.vault, w.home, NULL, NULL, &err), KLUIS_OK);
    if (o->died || o->code != 0) { /* its feeder goes on where the index stands; no gate is needed for that */
        assert_int_equal(vault_start(w.vault, "https://127.0.0.1:9", NULL, &err), KLUIS_OK);
        state_until_indexed(&w, STATE_OLD);
        vault_stop(w.vault);
    }
    state_is_whole(&w, STATE_OLD, 0, STATE_OLD);
    if (o->died || o->code != 0) {
        assert_int_equal(vault_rebuild_index(w.vault, NULL, &err), KLUIS_OK);
        state_is_whole(&w, STATE_OLD, 0, STATE_OLD);
    }
    state_world_close(&w);
}

int main(int argc, char **argv)
{
    static struct state state;
    const struct fault_subject s = { .name = "vault rebuild-index",
                                     .prepare = state_prepare,
                                     .act = act,
                                     .judge = judge,
                                     .ctx = &state,
                                     .minimum = { 100, 80, 60 },
                                     .code_ok = state_code_ok,
                                     .budget = { 110, 160, 110 },
                                     .warm = 2 };
    state_warm();
    return fault_main(argc, argv, &s, 1);
}
