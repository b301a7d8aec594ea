/* Promises of server/walls: behind them a process reaches its own directory and the ports it was given, and nothing else.  Each try is made in
 * a process of its own; what must work behind the walls is tried beside what must not, so that a process that simply broke does not pass. */
#include "server/walls/walls.h"
#include "server/local/local.h"
#include "tests/support/test_dir.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct place {
    const char *dir;
    uint16_t own, other; /* ports that are listened on */
    const char *socket;  /* a Unix socket that is      */
};

static int listener(uint16_t *port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    *port = ntohs(a.sin_port);
    return fd;
}

static bool reaches(uint16_t port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
    if (fd >= 0) { (void)close(fd); }
    return ok;
}

static bool binds(uint16_t port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 1) == 0;
    if (fd >= 0) { (void)close(fd); }
    return ok;
}

static bool calls(const char *path)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
    if (fd >= 0) { (void)close(fd); }
    return ok;
}

static bool writes(const char *dir, const char *name)
{
    char path[KLUIS_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && write(fd, "x", 1) == 1;
    if (fd >= 0) { (void)close(fd); }
    return ok;
}

static bool reads(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) { (void)close(fd); }
    return fd >= 0;
}

/* Runs fn behind the walls; fn gives 0 or the number of the line that did not hold.  How the process ended. */
static int behind(const struct walls *w, int (*fn)(const struct place *p), const struct place *p)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        unsigned standing;
        struct kluis_err err = { 0 };
        if (walls_raise(w, &standing, &err) != KLUIS_OK) { _exit(254); }
        if ((standing & (WALL_PRIVILEGES | WALL_CALLS)) != (WALL_PRIVILEGES | WALL_CALLS)) { _exit(253); }
        if ((standing & WALL_FILES) == 0 || (standing & WALL_PORTS) == 0) { _exit(252); }
        _exit(fn(p));
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static bool skipped(int status)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 252) {
        print_message("this kernel lacks Landlock, or Landlock for ports: what it would refuse is not tried\n");
        return true;
    }
    return false;
}

#define MUST(n, condition)                                                                                                                           \
    do {                                                                                                                                             \
        if (!(condition)) { return n; }                                                                                                              \
    } while (0)

static int as_the_vault(const struct place *p)
{
    char sub[KLUIS_PATH_MAX], from[KLUIS_PATH_MAX], to[KLUIS_PATH_MAX];
    (void)snprintf(sub, sizeof sub, "%s/folder", p->dir);
    (void)snprintf(from, sizeof from, "%s/a", p->dir);
    (void)snprintf(to, sizeof to, "%s/folder/a", p->dir);
    MUST(1, writes(p->dir, "a") && mkdir(sub, 0700) == 0 && rename(from, to) == 0 && reads(to) && unlink(to) == 0 && rmdir(sub) == 0);
    MUST(2, reaches(p->own));
    MUST(3, !binds(0));
    MUST(4, !reads("/etc/passwd") && errno == EACCES);
    MUST(5, !writes("/tmp", "kluis-walls-test") && errno == EACCES);
    MUST(6, !reaches(p->other));
    MUST(7, !binds(18081));
    MUST(8, fork() < 0 && errno == EPERM);
    MUST(9, getpgid(0) < 0 && errno == EPERM);
    MUST(10, socket(AF_NETLINK, SOCK_RAW, 0) < 0 || !reads("/proc/net/tcp")); /* nothing to look around with */
    return 0;
}

static int as_the_time_authority(const struct place *p)
{
    MUST(1, binds(0));
    MUST(2, !reads(p->dir) && !reads("/etc/passwd") && !writes(p->dir, "b"));
    MUST(3, !reaches(p->own));
    MUST(4, kill(getpid(), 0) < 0 && errno == EPERM);
    return 0;
}

static int as_the_page(const struct place *p)
{
    MUST(1, calls(p->socket));
    MUST(2, !reads(p->dir) && errno == EPERM && !writes(p->dir, "b") && errno == EPERM && !reads("/etc/passwd") && !reads("/dev/null"));
    MUST(3, socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM && socket(AF_INET6, SOCK_DGRAM, 0) < 0 && errno == EPERM);
    MUST(4, socket(AF_NETLINK, SOCK_RAW, 0) < 0 && errno == EPERM && !binds(0));
    MUST(5, fork() < 0 && errno == EPERM && kill(getpid(), 0) < 0 && errno == EPERM);
    MUST(6, unlink(p->socket) < 0 && errno == EPERM && mkdir("/tmp/kluis-walls-test", 0700) < 0 && errno == EPERM);
    return 0;
}

static int runs_a_program(const struct place *p)
{
    (void)p;
    char *const argv[] = { (char *)(uintptr_t) "true", NULL };
    (void)execv("/bin/true", argv);
    return 0; /* a program that does not start is no answer: the process must be gone */
}

static void the_walls_hold_against_files_ports_processes_and_foreign_calls(void **state)
{
    (void)state;
#ifdef KLUIS_UNWALLED
    skip();
#endif
    char dir[KLUIS_PATH_MAX];
    assert_true(test_dir("walls", dir, sizeof dir));
    struct place p = { .dir = dir };
    char path[KLUIS_PATH_MAX];
    assert_int_equal(kluis_path(path, sizeof path, dir, "socket", NULL), KLUIS_OK);
    p.socket = path;
    int c = -1, a = listener(&p.own), b = listener(&p.other);
    assert_int_equal(local_listen(path, &c, NULL), KLUIS_OK);
    const struct walls vault = { .dir = p.dir, .folders = true, .children = true, .outward = true, .port = { p.own }, .n_ports = 1 };
    /* Without walls everything that is refused below works: the tries themselves are sound. */
    assert_true(reads("/etc/passwd") && reaches(p.other) && binds(18081) && binds(0) && writes(p.dir, "c") && calls(p.socket));
    int status = behind(&vault, as_the_vault, &p);
    if (!skipped(status)) { assert_int_equal(status, 0); }
    const struct walls tsa = { .binds = true };
    status = behind(&tsa, as_the_time_authority, &p);
    if (!skipped(status)) { assert_int_equal(status, 0); }
    const struct walls page = { .local = true };
    status = behind(&page, as_the_page, &p);
    if (!skipped(status)) { assert_int_equal(status, 0); }
    (void)close(a);
    (void)close(b);
    (void)close(c);
}

static void a_new_program_ends_the_process(void **state)
{
    (void)state;
#ifdef KLUIS_UNWALLED
    skip();
#endif
    char dir[KLUIS_PATH_MAX];
    assert_true(test_dir("walls", dir, sizeof dir));
    struct place p = { .dir = dir };
    const struct walls vault = { .dir = p.dir, .folders = true };
    int status = behind(&vault, runs_a_program, &p);
    if (!skipped(status)) { assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS); }
}

static void a_url_names_its_port(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        uint16_t port;
        bool named;
    } table[] = { { "https://archief.example.nl", 443, true },
                  { "https://archief.example.nl:8443/x", 8443, true },
                  { "http://127.0.0.1:3161/", 3161, false },
                  { "http://127.0.0.1", 80, false },
                  { "https://[::1]:8443", 8443, false },
                  { "https://[::1]", 443, false },
                  { "https://10.0.0.1?a:9", 443, false },
                  { "https://[::1", 0, false },
                  { "https://a:b", 0, true },
                  { "https://a:70000", 0, true },
                  { "https://:1", 0, false },
                  { "ftp://a", 0, false },
                  { "", 0, false } };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        bool named = false;
        assert_int_equal(walls_port_of(table[i].url, &named), table[i].port);
        if (table[i].port != 0) { assert_int_equal(named, table[i].named); }
    }
}

static void what_a_part_tells_of_its_walls_is_read_as_it_was_written(void **state)
{
    (void)state;
    static const char *const BAD[] = { "",
                                       "/",
                                       "15",
                                       "15/",
                                       "/7",
                                       "16/1",
                                       "015/1",
                                       "15/01",
                                       " 15/1",
                                       "15/1 ",
                                       "+15/1",
                                       "15/-1",
                                       "15/4294967296",
                                       "15/1/2",
                                       "15/1x",
                                       "99999999999999999999/1" };
    char text[WALLS_TEXT];
    struct walls_told out;
    for (unsigned walls = 0; walls < 16; walls++) {
        walls_text(&(struct walls_told){ true, walls, walls == 3 ? UINT32_MAX : 65534 }, text);
        assert_true(walls_text_read(kluis_str_of(text), &out));
        assert_true(out.told && out.walls == walls && out.user == (walls == 3 ? UINT32_MAX : 65534));
    }
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        assert_false(walls_text_read(kluis_str_of(BAD[i]), &out));
        assert_false(out.told);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_walls_hold_against_files_ports_processes_and_foreign_calls),
                                        cmocka_unit_test(a_new_program_ends_the_process), cmocka_unit_test(a_url_names_its_port),
                                        cmocka_unit_test(what_a_part_tells_of_its_walls_is_read_as_it_was_written) };
    return cmocka_run_group_tests_name("walls", tests, NULL, NULL);
}
