/* Promise: enrolment, and the pass that delivers and takes receipts, against a real server: when memory, disk or power fail at any point
 * on the agent's side, a next run finishes, nothing that was acknowledged is missing and nothing is a fork.  Each trial is a device of its own. */
#include "tests/fault/agent_state.h"

#include "agent/journal/stock.h"
#include "tests/support/test_dir.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_S "90" /* for answers that come within a second, unless the machine is busy */

static char world[64], server_home[96], listening[96], program_says[96], url[128];
static pid_t server_pid;

/* Starts a program with its output in a file, what it has to say in another. */
static pid_t start(const char *out, const char *const *argv)
{
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        int said = open(program_says, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (fd < 0 || said < 0 || dup2(fd, 1) < 0 || dup2(said, 2) < 0) { _exit(126); }
        execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    return pid;
}

static void run(const char *out, const char *const *argv)
{
    int status = 0;
    pid_t pid = start(out, argv);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        (void)fprintf(stderr, "'%s %s' failed\n", argv[0], argv[1]);
        exit(1);
    }
}

static void stop_server(void)
{
    if (server_pid > 0 && kill(server_pid, SIGTERM) == 0) { (void)waitpid(server_pid, NULL, 0); }
    server_pid = 0;
}

static void start_server(void)
{
    if (!test_dir("fault-server", world, sizeof world)) { exit(1); }
    (void)snprintf(server_home, sizeof server_home, "%s/server", world);
    (void)snprintf(listening, sizeof listening, "%s/serve", world);
    (void)snprintf(program_says, sizeof program_says, "%s/said", world);
    const char *init[] = { SERVER, "init", "--home", server_home, "--organisation", "Provincie Voorbeeld", NULL };
    const char *add[] = { SERVER,   "official",  "add",        "--home", server_home, "--id",       "jansen",
                          "--name", "J. Jansen", "--function", "beleid", "--from",    "2020-01-01", NULL };
    const char *serve[] = { SERVER, "serve", "--home", server_home, "--listen", "127.0.0.1:0", NULL };
    run("/dev/null", init);
    run("/dev/null", add);
    server_pid = start(listening, serve);
    for (int i = 0; i < 600; i++) {
        KLUIS_AUTO_BUF(b, 4096);
        unsigned port = 0;
        const char *line;
        kluis_status rc = kluis_read_file(listening, 4096, &b, NULL);
        kluis_buf_byte(&b, 0);
        if (rc == KLUIS_OK && b.len > 1 && b.data != NULL && (line = strstr((const char *)b.data, "listening on ")) != NULL &&
            sscanf(line, "listening on 127.0.0.1:%u", &port) == 1 && memchr(b.data, '\n', b.len) != NULL) {
            (void)snprintf(url, sizeof url, "https://127.0.0.1:%u", port);
            return;
        }
        kluis_sleep_us(50000);
    }
    (void)fprintf(stderr, "the server does not listen\n");
    stop_server();
    exit(1);
}

static void code(void *ctx, const char *dir)
{
    char path[KLUIS_PATH_MAX];
    (void)ctx;
    in_dir(path, dir, "code");
    const char *enrol[] = { SERVER, "enrol", "--home", server_home, "--official", "jansen", NULL };
    run(path, enrol);
}

static int enrol(void *ctx, const char *dir)
{
    char home[KLUIS_PATH_MAX], at[KLUIS_PATH_MAX + 1], path[KLUIS_PATH_MAX];
    (void)ctx;
    in_dir(home, dir, "home");
    in_dir(path, dir, "code");
    (void)snprintf(at, sizeof at, "@%s", path);
    return agent("enrol", "--home", home, "--server", url, "--code", at, NULL);
}

static void nothing(void *ctx, const char *dir)
{
    (void)ctx;
    (void)dir;
}

static bool enrolled(const char *dir)
{
    char home[KLUIS_PATH_MAX];
    bool is = false;
    struct kluis_err err = { 0 };
    KLUIS_AUTO(home) h = NULL;
    in_dir(home, dir, "home");
    assert_int_equal(home_open(&h, home, HOME_SHARED, &err), KLUIS_OK);
    assert_int_equal(home_enrolled(h, &is, &err), KLUIS_OK);
    return is;
}

/* One pass with an answer; the state of every package afterwards. */
static void all_acknowledged(const char *dir)
{
    char home[KLUIS_PATH_MAX];
    static struct content c;
    struct kluis_err err = { 0 };
    struct stock_package p;
    in_dir(home, dir, "home");
    assert_int_equal(agent("archive", "--home", home, "--wait", WAIT_S, NULL), 0);
    content_read(home, &c);
    state_is_whole(&c);
    KLUIS_AUTO(home) h = NULL;
    assert_int_equal(home_open(&h, home, HOME_SHARED, &err), KLUIS_OK);
    for (uint64_t n = 0; stock_at(h, n, &p, &err) == KLUIS_OK; n++) { assert_int_equal(p.state, STOCK_ACKNOWLEDGED); }
}

static void is_enrolled(void *ctx, const char *dir, const struct fault_outcome *o)
{
    if (!o->died && o->code == 0) { assert_true(enrolled(dir)); }
    if (!enrolled(dir)) { /* the code may be used up: a new one does */
        code(ctx, dir);
        assert_int_equal(enrol(ctx, dir), 0);
    }
    assert_true(enrolled(dir));
    char home[KLUIS_PATH_MAX];
    in_dir(home, dir, "home");
    assert_int_equal(agent("archive", "--home", home, "--wait", "0", NULL), 0);
    assert_int_equal(state_files(home, "keys", ""), 3);
}

/* ---- delivery ---- */

static void sources(void *ctx, const char *dir)
{
    (void)ctx;
    state_sources(dir);
}

static void device(void *ctx, const char *dir)
{
    code(ctx, dir);
    char home[KLUIS_PATH_MAX], at[KLUIS_PATH_MAX + 1], path[KLUIS_PATH_MAX];
    in_dir(home, dir, "home");
    in_dir(path, dir, "code");
    (void)snprintf(at, sizeof at, "@%s", path);
    const char *argv[] = { AGENT, "enrol", "--home", home, "--server", url, "--code", at, NULL };
    run("/dev/null", argv);
}

static int deliver(void *ctx, const char *dir)
{
    char home[KLUIS_PATH_MAX];
    (void)ctx;
    in_dir(home, dir, "home");
    return agent("archive", "--home", home, "--wait", WAIT_S, NULL);
}

static void is_delivered(void *ctx, const char *dir, const struct fault_outcome *o)
{
    (void)ctx;
    (void)o;
    all_acknowledged(dir);
}

int main(int argc, char **argv)
{
    const struct fault_subject s[] = {
        { .name = "agent delivery",
          .prepare = sources,
          .before = device,
          .act = deliver,
          .judge = is_delivered,
          .minimum = { 10, 8, 25 },
          .budget = { 12, 18, 34 },
          .warm = 2 },
        { .name = "agent enrol",
          .prepare = nothing,
          .before = code,
          .act = enrol,
          .judge = is_enrolled,
          .minimum = { 6, 5, 10 },
          .budget = { 8, 10, 12 },
          .warm = 2 },
    };
    struct kluis_err err = { 0 };
    if (kluis_base_init(&err) != KLUIS_OK) { return 1; }
    start_server();
    int rc = fault_main(argc, argv, s, sizeof s / sizeof *s);
    stop_server();
    const char *check[] = { SERVER, "check", "--home", server_home, "--read-data", NULL }; /* all that any device was told is there */
    run("/dev/null", check);
    return rc;
}
