/* Promise: what archive takes is packed once, whole and provable, and nothing of it stands readable in the home folder. The agent
 * here is the real program; its gate is an address where nobody listens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/journal/stock.h"
#include "kluis/envelope.h"
#include "kluis/package.h"
#include "tests/support/agent_content.h"
#include "tests/support/agent_home.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/support/test_dir.h"

static char top[64];
static struct pki *pki;

static void in_top(char out[KLUIS_PATH_MAX], const char *name)
{
    struct kluis_err err = { 0 };
    assert_int_equal(kluis_path(out, KLUIS_PATH_MAX, top, name, &err), KLUIS_OK);
}

static void put_file(const char *name, const char *text)
{
    char path[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    in_top(path, name);
    assert_int_equal(kluis_write_file(path, text, strlen(text), 0600, &err), KLUIS_OK);
}

/* Runs the agent; its output goes to <top>/out. */
static int agent(const char *const *argv)
{
    char out[KLUIS_PATH_MAX];
    in_top(out, "out");
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0) { _exit(126); }
        execv(AGENT, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* The same in a session of its own: with a terminal at which `answer` is typed, or (NULL) with none. */
static int agent_typed(const char *const *argv, const char *answer)
{
    char out[KLUIS_PATH_MAX], seen[256] = "", name[64];
    in_top(out, "out");
    int tty = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(tty >= 0);
    assert_int_equal(grantpt(tty), 0);
    assert_int_equal(unlockpt(tty), 0);
    assert_int_equal(ptsname_r(tty, name, sizeof name), 0);
    int keep = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(keep >= 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (setsid() < 0 || (answer != NULL && ioctl(keep, TIOCSCTTY, 0) != 0)) { _exit(125); }
        if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0) { _exit(126); }
        execv(AGENT, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    for (size_t n = 0; answer != NULL && strstr(seen, ": ") == NULL;) { /* until it asks: the echo is off by then */
        ssize_t got = read(tty, seen + n, sizeof seen - 1 - n);
        assert_true(got > 0);
        n += (size_t)got;
        seen[n] = '\0';
    }
    if (answer != NULL) { assert_int_equal(write(tty, answer, strlen(answer)), (ssize_t)strlen(answer)); }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    (void)close(keep);
    (void)close(tty);
    return WEXITSTATUS(status);
}

static bool output_has(const char *needle)
{
    char path[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(b, 1 << 20);
    in_top(path, "out");
    assert_int_equal(kluis_read_file(path, 1 << 20, &b, &err), KLUIS_OK);
    return memmem(b.data, b.len, needle, strlen(needle)) != NULL;
}

/* Files below dir that hold the needle. */
static size_t files_with(const char *dir, const char *needle, size_t *seen)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e = NULL; (e = readdir(d)) != NULL;) {
        char path[KLUIS_PATH_MAX];
        struct stat st;
        struct kluis_err err = { 0 };
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) { continue; }
        assert_int_equal(kluis_path(path, sizeof path, dir, e->d_name, &err), KLUIS_OK);
        assert_int_equal(lstat(path, &st), 0);
        if (S_ISDIR(st.st_mode)) {
            n += files_with(path, needle, seen);
            continue;
        }
        KLUIS_AUTO_BUF(b, 64 << 20);
        assert_int_equal(kluis_read_file(path, 64 << 20, &b, &err), KLUIS_OK);
        (*seen)++;
        if (b.len > 0 && memmem(b.data, b.len, needle, strlen(needle)) != NULL) { n++; }
    }
    (void)closedir(d);
    return n;
}

/* ---- the tests ---- */

#define FIRST                                                                                                                                        \
    "12-01-2025 10:00 - Anna: kanarievogel een\n"                                                                                                    \
    "12-01-2025 10:00 - Bram: ok\n"                                                                                                                  \
    "12-01-2025 10:00 - Bram: ok\n"                                                                                                                  \
    "28-01-2025 23:59 - Anna: laatste van januari\n"                                                                                                 \
    "03-02-2025 09:15 - Bram: kanarievogel twee\n"

static void archive_packs_what_is_new_once_and_leaves_nothing_readable(void **state)
{
    char home[KLUIS_PATH_MAX], chat[KLUIS_PATH_MAX], other[KLUIS_PATH_MAX], folder[KLUIS_PATH_MAX];
    struct content c;
    size_t seen = 0;
    (void)state;
    in_top(home, "home");
    in_top(folder, "chats");
    assert_int_equal(kluis_io_mkdir(folder, 0700), 0);
    in_top(chat, "chats/WhatsApp Chat with Anna.txt");
    in_top(other, "WhatsApp Chat with Anna.txt");
    put_file("chats/WhatsApp Chat with Anna.txt", FIRST);
    agent_home_enrol(home, "https://127.0.0.1:9", pki);
    const char *add[] = { AGENT, "source", "add", "--home", home, "whatsapp-text", folder, NULL };
    const char *archive[] = { AGENT, "archive", "--home", home, "--wait", "0", NULL };
    assert_int_equal(agent(add), 0);

    /* Nobody listens: packed, kept, tried again later. */
    assert_int_equal(agent(archive), 75);
    content_read(home, &c);
    assert_int_equal(c.packages, 2); /* January, February */
    assert_int_equal(c.n, 5);
    assert_int_equal(content_times(&c, "kanarievogel een"), 1);
    assert_int_equal(content_times(&c, "ok"), 2);

    /* The searcher finds the word where it must be, and nowhere in the home folder. */
    assert_int_equal(files_with(folder, "kanarievogel", &seen), 1);
    seen = 0;
    assert_int_equal(files_with(home, "kanarievogel", &seen), 0);
    assert_int_equal(files_with(home, "Anna: ", &seen), 0);
    assert_true(seen > 10);

    /* Again: nothing new. */
    assert_int_equal(agent(archive), 75);
    content_read(home, &c);
    assert_int_equal(c.packages, 2);

    /* A longer export without its head, beside the first: only the tail is new. */
    put_file(
        "chats/WhatsApp Chat with Anna.txt",
        "28-01-2025 23:59 - Anna: laatste van januari\n03-02-2025 09:15 - Bram: kanarievogel twee\n03-02-2025 09:16 - Anna: kanarievogel drie\n");
    assert_int_equal(agent(archive), 75);
    content_read(home, &c);
    assert_int_equal(c.packages, 3);
    assert_int_equal(c.n, 6);
    assert_int_equal(content_times(&c, "kanarievogel drie"), 1);
    assert_int_equal(content_times(&c, "laatste van januari"), 1);
    seen = 0;
    assert_int_equal(files_with(home, "kanarievogel", &seen), 0);
}

static void a_bad_file_is_one_line_and_the_others_go_on(void **state)
{
    char home[KLUIS_PATH_MAX], good[KLUIS_PATH_MAX], bad[KLUIS_PATH_MAX];
    struct content c;
    (void)state;
    in_top(home, "home2");
    put_file("geen chat.txt", "dit is geen chat\nmaar gewone tekst\n");
    put_file("WhatsApp Chat with Bram.txt", FIRST);
    in_top(good, "WhatsApp Chat with Bram.txt");
    in_top(bad, "geen chat.txt");
    agent_home_enrol(home, "https://127.0.0.1:9", pki);
    const char *add_bad[] = { AGENT, "source", "add", "--home", home, "whatsapp-text", bad, NULL };
    const char *add_good[] = { AGENT, "source", "add", "--home", home, "whatsapp-text", good, NULL };
    const char *archive[] = { AGENT, "archive", "--home", home, "--wait", "0", NULL };
    const char *status[] = { AGENT, "status", "--home", home, "--json", NULL };
    assert_int_equal(agent(add_bad), 0);
    assert_int_equal(agent(add_good), 0);
    assert_int_equal(agent(archive), 75); /* the gate is away: trying again comes before the refusal */
    assert_true(output_has("source 1"));
    assert_false(output_has("source 2 ("));
    content_read(home, &c);
    assert_int_equal(c.n, 5);
    assert_int_equal(agent(status), 0);
    assert_true(output_has("\"waiting\":2"));
    assert_true(output_has("\"gaps\":[{\"source\":1"));
}

static void what_a_killed_run_left_is_removed_and_packed_again(void **state)
{
    char home[KLUIS_PATH_MAX], orphan[KLUIS_PATH_MAX], stranger[KLUIS_PATH_MAX];
    struct stat st;
    struct content before, after;
    (void)state;
    in_top(home, "home2");
    in_top(orphan, "home2/packages/00000000000000000000000000000000000000000000000000000000000000ff.ckc");
    in_top(stranger, "home2/packages/notes");
    put_file("home2/packages/00000000000000000000000000000000000000000000000000000000000000ff.ckc", "x");
    put_file("home2/packages/00000000000000000000000000000000000000000000000000000000000000fe.ckc.part", "x");
    put_file("home2/packages/notes", "x");
    content_read(home, &before);
    const char *archive[] = { AGENT, "archive", "--home", home, "--wait", "0", NULL };
    assert_int_equal(agent(archive), 75);
    assert_int_not_equal(stat(orphan, &st), 0);
    assert_int_equal(stat(stranger, &st), 0); /* not ours: left alone */
    content_read(home, &after);
    assert_int_equal(before.packages, after.packages);
}

static void packages_exports_what_any_zip_tool_opens(void **state)
{
    char home[KLUIS_PATH_MAX], out[KLUIS_PATH_MAX];
    size_t seen = 0;
    (void)state;
    in_top(home, "home2");
    in_top(out, "export");
    const char *export[] = { AGENT, "packages", "--home", home, "--export", out, NULL };
    assert_int_equal(agent(export), 0);
    (void)files_with(out, "x", &seen);
    assert_int_equal(seen, 3); /* two packages and trust.json: nothing has a receipt yet */
}

static void excluded_conversations_and_records_in_their_grace_are_not_stored(void **state)
{
    char home[KLUIS_PATH_MAX], chat[KLUIS_PATH_MAX];
    struct content c;
    (void)state;
    in_top(home, "home3");
    in_top(chat, "WhatsApp Chat with Bram.txt");
    agent_home_enrol(home, "https://127.0.0.1:9", pki);
    const char *add[] = { AGENT, "source", "add", "--home", home, "whatsapp-text", chat, "--option", "exclude=*Bram*", NULL };
    const char *again[] = { AGENT, "source", "add", "--home", home, "whatsapp-text", chat, NULL };
    const char *archive[] = { AGENT, "archive", "--home", home, "--wait", "0", NULL };
    const char *grace[] = { AGENT, "archive", "--home", home, "--wait", "0", "--grace-days", "3650", NULL };
    assert_int_equal(agent(add), 0);
    (void)agent(archive);
    content_read(home, &c);
    assert_int_equal(c.packages, 0);
    assert_int_equal(agent(again), 0);
    (void)agent(grace);
    content_read(home, &c);
    assert_int_equal(c.packages, 0);
    (void)agent(archive); /* the control */
    content_read(home, &c);
    assert_int_equal(c.n, 5);
}

static void usage_errors_have_their_code_and_secrets_are_no_arguments(void **state)
{
    char home[KLUIS_PATH_MAX];
    (void)state;
    in_top(home, "home2");
    const char *code[] = { AGENT, "enrol", "--home", home, "--server", "https://127.0.0.1:9", "--code", "abcdefg-abcdefg", NULL };
    const char *unknown[] = { AGENT, "archive", "--home", home, "--fast", NULL };
    const char *kind[] = { AGENT, "read", "no-such-kind", home, "--json", NULL };
    const char *nowhere[] = { AGENT, "status", "--home", "/nonexistent/home", NULL };
    assert_int_equal(agent(code), 64);
    assert_false(output_has("abcdefg"));
    assert_int_equal(agent(unknown), 64);
    assert_int_equal(agent(kind), 64);
    assert_int_not_equal(agent(nowhere), 0);
}

static void a_secret_is_typed_once_and_goes_with_its_source(void **state)
{
    char home[KLUIS_PATH_MAX], keys[KLUIS_PATH_MAX], chat[KLUIS_PATH_MAX];
    size_t seen = 0;
    (void)state;
    in_top(home, "home4");
    in_top(keys, "home4/keys");
    in_top(chat, "WhatsApp Chat with Bram.txt");
    const char *add[] = { AGENT, "source", "add", "--home", home, "whatsapp-text", chat, "--option", "key=?", "--option", "include=?", NULL };
    const char *plain[] = { AGENT, "source", "add", "--home", home, "whatsapp-text", chat, "--option", "zone=Europe/Amsterdam", NULL };
    const char *unnamed[] = { AGENT, "source", "add", "--home", home, "whatsapp-text", chat, "--option", "key=keyring:", NULL };
    const char *drop[] = { AGENT, "source", "remove", "--home", home, "1", NULL };
    const char *ask[] = { AGENT, "read", "signal-android", chat, "--option", "passphrase=?", NULL };
    assert_int_equal(agent_typed(add, NULL), 64);
    assert_true(output_has("no terminal"));
    assert_true(output_has("key=@FILE"));
    assert_int_equal(agent_typed(add, "\n"), 64);
    assert_int_equal(agent_typed(add, "kanariegeel\n"), 0);
    assert_int_equal(files_with(keys, "kanariegeel", &seen), 1);
    assert_int_equal(files_with(home, "kanariegeel", &seen), 1); /* there and nowhere else */
    assert_int_equal(agent_typed(add, "kanariegroen\n"), 0);
    assert_int_equal(files_with(home, "kanariegeel", &seen), 0);
    assert_int_equal(files_with(home, "kanariegroen", &seen), 1);
    assert_int_equal(agent(unnamed), 64);
    assert_int_equal(agent(plain), 0);
    assert_int_equal(files_with(home, "kanariegroen", &seen), 0);
    assert_int_equal(agent_typed(add, "kanariewit\n"), 0);
    assert_int_equal(agent(drop), 0);
    assert_int_equal(files_with(home, "kanariewit", &seen), 0);
    assert_int_equal(agent_typed(ask, "123\n"), 1); /* typed, and no passphrase */
    assert_false(output_has("123"));
}

static int set_up(void **state)
{
    (void)state;
    if (!test_dir("agent", top, sizeof top)) { return -1; }
    pki = pki_new(10);
    return pki == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    pki_free(pki);
    return 0;
}

int main(void)
{
    struct kluis_err err = { 0 };
    if (kluis_base_init(&err) != KLUIS_OK) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(archive_packs_what_is_new_once_and_leaves_nothing_readable),
        cmocka_unit_test(a_bad_file_is_one_line_and_the_others_go_on),
        cmocka_unit_test(what_a_killed_run_left_is_removed_and_packed_again),
        cmocka_unit_test(packages_exports_what_any_zip_tool_opens),
        cmocka_unit_test(excluded_conversations_and_records_in_their_grace_are_not_stored),
        cmocka_unit_test(a_secret_is_typed_once_and_goes_with_its_source),
        cmocka_unit_test(usage_errors_have_their_code_and_secrets_are_no_arguments),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
