/* Promise: the agent's pass - read, select, journal, pack, seal, encrypt - loses nothing and takes nothing twice when memory, disk or
 * power fail at any point of it; it leaks nothing, leaves no key in memory, and says truthfully how it ended.  The agent is the whole
 * program behind its command line; at its gate's address nobody listens. */
#include "tests/fault/agent_state.h"

static void prepare(void *ctx, const char *dir)
{
    (void)ctx;
    state_enrolled(dir);
    state_sources(dir);
}

static void judge(void *ctx, const char *dir, const struct fault_outcome *o)
{
    char home[KLUIS_PATH_MAX];
    static struct content c;
    (void)ctx;
    in_dir(home, dir, "home");
    /* What stands now is whole, with or without the rest. */
    content_read(home, &c);
    size_t before = c.packages;
    uint8_t last[32];
    memcpy(last, c.last, sizeof last);
    if (o->clean) { assert_true(before > 0); }
    /* The next pass takes what is missing and nothing else. */
    assert_int_equal(state_pass(NULL, dir), AGENT_AWAY);
    content_read(home, &c);
    assert_true(c.packages >= before);
    if (o->clean) { assert_int_equal(c.packages, before); }
    if (c.packages == before) { assert_memory_equal(c.last, last, sizeof last); }
    assert_int_equal(state_files(home, "packages", ""), c.packages); /* what a killed pass left is gone */
    state_is_whole(&c);
}

int main(int argc, char **argv)
{
    const struct fault_subject s = { .name = "agent archive",
                                     .prepare = prepare,
                                     .act = state_pass,
                                     .judge = judge,
                                     .secrets = state_secrets,
                                     .clean_code = AGENT_AWAY,
                                     .minimum = { 200, 200, 100 },
                                     .budget = { 300, 300, 200 },
                                     .warm = 2 };
    return fault_main(argc, argv, &s, 1);
}
