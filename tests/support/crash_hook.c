/* tests/support/crash_hook.c - linked into the test builds of the programs only: writes every durable step's name to KLUIS_STEP_LOG and
 * kills the process at one of them.
 *
 * KLUIS_STEP_LOG=FILE         appends "name\n" after each durable step (any process)
 * KLUIS_KILL_STEP=NAME:N      SIGKILL at the Nth time (from 1) this process passes the step NAME
 * KLUIS_KILL_ONCE=FILE        … only if this file exists: it is removed just before, so that a restarted part lives on
 */
#include "kluis/base.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static const char *kill_step, *log_file, *once_file;
static size_t kill_name_len;
static long kill_count;

static void step(const char *name)
{
    if (log_file != NULL) {
        int fd = open(log_file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
        if (fd >= 0) {
            char line[128];
            int n = snprintf(line, sizeof line, "%s\n", name);
            if (n > 0 && (size_t)n < sizeof line && write(fd, line, (size_t)n) != n) { abort(); }
            (void)close(fd);
        }
    }
    if (kill_step == NULL || strlen(name) != kill_name_len || strncmp(name, kill_step, kill_name_len) != 0) { return; }
    if (__atomic_sub_fetch(&kill_count, 1, __ATOMIC_SEQ_CST) != 0) { return; }
    if (once_file != NULL && unlink(once_file) != 0) { return; }
    (void)kill(getpid(), SIGKILL);
}

__attribute__((constructor)) static void install(void)
{
    static const struct kluis_hooks hooks = { .durable_step = step };
    log_file = getenv("KLUIS_STEP_LOG");
    once_file = getenv("KLUIS_KILL_ONCE");
    kill_step = getenv("KLUIS_KILL_STEP");
    const char *colon = kill_step == NULL ? NULL : strrchr(kill_step, ':');
    if (colon != NULL) {
        kill_name_len = (size_t)(colon - kill_step);
        kill_count = strtol(colon + 1, NULL, 10);
    } else {
        kill_step = NULL;
    }
    kluis_hooks_set(&hooks);
}
