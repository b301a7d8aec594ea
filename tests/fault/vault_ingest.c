/* Promise: the vault takes packages in - from the gate, through session, store, opener and judge, into custody, ledger and index, to the receipt -
 * and when memory, disk or power fail at any point of it nothing that was acknowledged is missing, nothing is there twice, the log does not fork, no
 * failure of a disk is taken for damage or for a bad package, no key stays in memory, and a restart finishes.
 *
 * The vault is the whole one, with its threads and its walled openers; gate, time authority and device are real and live on.  The nth call differs
 * from run to run. */
#include "tests/fault/vault_state.h"

static int act(void *ctx, const char *dir)
{
    static struct world w;
    fault_hurry(STATE_HURRY);
    fault_aside(true);
    state_world(&w, ctx, dir);
    fault_aside(false);
    int code = state_take(&w, STATE_GOOD, STATE_BAD);
    state_world_close(&w);
    return code;
}

static bool all_told(const struct state_told *t)
{
    bool all = true;
    for (size_t i = 0; i < STATE_SENT; i++) { all = all && (i < STATE_OLD || t->receipts[i] + t->refusals[i] > 0); }
    return all;
}

static void judge(void *ctx, const char *dir, const struct fault_outcome *o)
{
    state_code_true(o);
    static struct world w;
    static struct state_told told;
    state_world(&w, ctx, dir);
    state_told_open(&told, &w, dir);
    /* What the device was told before the recovery; what is told after it must agree. */
    state_listen(&told);
    if (!o->died && o->code == 0) { assert_true(all_told(&told)); }
    fault_hurry(STATE_HURRY);
    assert_int_equal(state_take(&w, STATE_GOOD, STATE_BAD), 0);
    state_listen(&told);
    assert_true(all_told(&told));
    state_is_whole(&w, STATE_GOOD, STATE_BAD, STATE_SENT);
    state_told_close(&told);
    state_world_close(&w);
}

int main(int argc, char **argv)
{
    static struct state state = { .waiting = true };
    const struct fault_subject s = { .name = "vault ingest",
                                     .prepare = state_prepare,
                                     .before = state_up,
                                     .act = act,
                                     .after = state_down,
                                     .judge = judge,
                                     .secrets = state_secrets,
                                     .ctx = &state,
                                     .minimum = { 500, 300, 150 },
                                     .code_ok = state_code_ok,
                                     .budget = { 540, 600, 190 },
                                     .warm = 2 };
    state_warm();
    return fault_main(argc, argv, &s, 1);
}
