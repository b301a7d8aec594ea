/* Promise: what is no longer in a source is said once, and an edited line points at what it was once, when memory, disk or power fail at any
 * point of the pass that finds it out.  agent_archive.c sweeps the pass itself. */
#include "tests/fault/agent_state.h"

static void rewrite(const char *dir)
{
    char chats[KLUIS_PATH_MAX], path[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(b, 1 << 16);
    KLUIS_AUTO_BUF(out, 1 << 16);
    in_dir(chats, dir, "chats");
    in_dir(path, chats, "WhatsApp Chat with Anna1.txt");
    assert_int_equal(kluis_read_file(path, 1 << 16, &b, &err), KLUIS_OK);
    size_t gone = 0, edited = 0;
    for (size_t at = 0; at < b.len;) { /* one line goes, another is marked as edited */
        const char *line = (const char *)b.data + at, *end = memchr(line, '\n', b.len - at);
        assert_non_null(end);
        size_t n = (size_t)(end - line) + 1;
        at += n;
        if (memmem(line, n, "bericht 1-2-2", 13) != NULL) {
            gone++;
            continue;
        }
        bool edit = memmem(line, n, "bericht 1-3-1", 13) != NULL;
        edited += edit;
        kluis_buf_add(&out, line, edit ? n - 14 : n); /* without "bericht 1-3-1\n" */
        if (edit) { kluis_buf_cstr(&out, "verbeterd <This message was edited>\n"); }
    }
    assert_true(gone == 1 && edited == 1 && kluis_buf_ok(&out, &err) == KLUIS_OK);
    assert_int_equal(kluis_write_file(path, out.data, out.len, 0600, &err), KLUIS_OK);
}

static void prepare(void *ctx, const char *dir)
{
    (void)ctx;
    state_enrolled(dir);
    state_sources(dir);
    assert_int_equal(state_pass(NULL, dir), AGENT_AWAY);
    rewrite(dir);
}

static void judge(void *ctx, const char *dir, const struct fault_outcome *o)
{
    char home[KLUIS_PATH_MAX];
    static struct content c;
    (void)ctx;
    in_dir(home, dir, "home");
    content_read(home, &c);
    size_t before = c.packages;
    assert_true(c.gone <= 1 && c.edits <= 1);
    if (o->clean) { assert_true(c.gone == 1 && c.edits == 1); }
    assert_int_equal(state_pass(NULL, dir), AGENT_AWAY);
    content_read(home, &c);
    assert_true(c.gone == 1 && c.edits == 1 && c.back == 0);
    if (o->clean) { assert_int_equal(c.packages, before); }
    assert_int_equal(state_files(home, "packages", ""), c.packages);
    state_is_whole(&c);
}

int main(int argc, char **argv)
{
    const struct fault_subject s = { .name = "agent archive, what is gone",
                                     .prepare = prepare,
                                     .act = state_pass,
                                     .judge = judge,
                                     .secrets = state_secrets,
                                     .clean_code = AGENT_AWAY,
                                     .minimum = { 60, 40, 40 },
                                     .budget = { 80, 80, 60 },
                                     .warm = 2 };
    return fault_main(argc, argv, &s, 1);
}
