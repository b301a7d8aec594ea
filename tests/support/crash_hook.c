/* tests/support/crash_hook.c - linked into the test builds of the programs only: writes every durable step's name to KLUIS_STEP_LOG and
 * kills the process at one of them; sets the clock it sees.
 *
 * KLUIS_STEP_LOG=FILE         appends "name\n" after each durable step (any process)
 * KLUIS_KILL_STEP=NAME:N      SIGKILL at the Nth time (from 1) this process passes the step NAME
 * KLUIS_KILL_ONCE=FILE        … only if this file exists: it is removed just before, so that a restarted part lives on
 * KLUIS_KILL_FILE=FILE        the same, told to running processes: a file of 192 bytes shared by all of them: count (u32le), from byte 4 the
 *                             name, ended by zero. Counted down at each such step; who reaches zero leaves 'K' in byte 128 and dies
 * KLUIS_SLOW_STEP=START:MS    every durable step whose name begins with START takes so much longer: a slow disk
 * KLUIS_CLOCK_SHIFT=SECONDS    the program believes that it is so much later (earlier: negative)
 * Files are opened before main: the gate's walls, which close later, would forbid it.
 */
#include "kluis/base.h"
#include "tests/support/die.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { ORDER_SIZE = 192, ORDER_NAME = 4, ORDER_DONE = 128 };

static const char *kill_step, *once_file;
static size_t kill_name_len;
static long kill_count;
static int log_fd = -1;
static char *order;
static int64_t clock_shift_us;
static const char *slow_step;
static size_t slow_name_len;
static int64_t slow_us;

static void step(const char *name)
{
    size_t len = strlen(name);
    if (log_fd >= 0) {
        char line[128];
        int n = snprintf(line, sizeof line, "%s\n", name);
        if (n > 0 && (size_t)n < sizeof line && write(log_fd, line, (size_t)n) != n) { abort(); }
    }
    if (order != NULL && len < ORDER_DONE - ORDER_NAME && strncmp(order + ORDER_NAME, name, len + 1) == 0) {
        int32_t *left = (int32_t *)(void *)order;
        if (__atomic_load_n(left, __ATOMIC_SEQ_CST) > 0 && __atomic_sub_fetch(left, 1, __ATOMIC_SEQ_CST) == 0) {
            order[ORDER_DONE] = 'K';
            die();
        }
    }
    if (slow_step != NULL && strncmp(name, slow_step, slow_name_len) == 0) { kluis_sleep_us(slow_us); }
    if (kill_step == NULL || len != kill_name_len || strncmp(name, kill_step, kill_name_len) != 0) { return; }
    if (__atomic_sub_fetch(&kill_count, 1, __ATOMIC_SEQ_CST) != 0) { return; }
    if (once_file != NULL && unlink(once_file) != 0) { return; }
    die();
}

static int64_t shifted_now(void)
{
    struct timespec t;
    if (clock_gettime(CLOCK_REALTIME, &t) != 0) { abort(); }
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000 + clock_shift_us;
}

__attribute__((constructor)) static void install(void)
{
    static struct kluis_hooks hooks = { .durable_step = step };
    const char *shift = getenv("KLUIS_CLOCK_SHIFT");
    if (shift != NULL) {
        clock_shift_us = strtoll(shift, NULL, 10) * 1000000;
        hooks.now_us = shifted_now;
    }
    const char *log_file = getenv("KLUIS_STEP_LOG"), *order_file = getenv("KLUIS_KILL_FILE");
    if (log_file != NULL && (log_fd = open(log_file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)) < 0) { abort(); }
    if (order_file != NULL) {
        int fd = open(order_file, O_RDWR | O_CLOEXEC);
        void *p = fd < 0 ? MAP_FAILED : mmap(NULL, ORDER_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED) { abort(); }
        order = p;
        (void)close(fd);
    }
    once_file = getenv("KLUIS_KILL_ONCE");
    kill_step = getenv("KLUIS_KILL_STEP");
    const char *colon = kill_step == NULL ? NULL : strrchr(kill_step, ':');
    if (colon != NULL) {
        kill_name_len = (size_t)(colon - kill_step);
        kill_count = strtol(colon + 1, NULL, 10);
    } else {
        kill_step = NULL;
    }
    slow_step = getenv("KLUIS_SLOW_STEP");
    const char *slow_ms = slow_step == NULL ? NULL : strrchr(slow_step, ':');
    slow_step = slow_ms == NULL ? NULL : slow_step;
    if (slow_ms != NULL) {
        slow_name_len = (size_t)(slow_ms - slow_step);
        slow_us = strtoll(slow_ms + 1, NULL, 10) * 1000;
    }
    kluis_hooks_set(&hooks);
}
