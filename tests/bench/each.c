/* tests/bench/each.c - what a program takes for each of many files, a process a file, as long as a process really takes.
 *
 * each OUT PROGRAM ARGUMENT… -- FILE…: runs PROGRAM ARGUMENT… FILE for each file in turn, its output appended to OUT.  Prints "SECONDS MEDIAN":
 * seconds of the clock from before each start to its end, added up, and the median in milliseconds.  A shell would do, but copies itself for each
 * start, which is not the program's time.  Exit 1: a run did not end with 0. */
#include "kluis/base.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>

enum { FILES_MAX = 100000, ARGUMENTS_MAX = 32 };

static void fail(const char *what)
{
    fprintf(stderr, "each: %s\n", what);
    exit(74);
}

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    char *args[ARGUMENTS_MAX + 2];
    int first = 2;
    while (first < argc && strcmp(argv[first], "--") != 0) { first++; }
    int n_args = first - 2, n = argc - first - 1;
    if (n_args < 1 || n_args > ARGUMENTS_MAX || n < 1 || n > FILES_MAX) {
        fprintf(stderr, "each: OUT PROGRAM ARGUMENT... -- FILE...\n");
        return 64;
    }
    for (int i = 0; i < n_args; i++) { args[i] = argv[2 + i]; }
    args[n_args + 1] = NULL;
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0 ||
        posix_spawn_file_actions_addopen(&actions, 1, argv[1], O_WRONLY | O_CREAT | O_APPEND, 0600) != 0) {
        fail("cannot prepare a process");
    }
    double *took = kluis_malloc((size_t)n * sizeof *took), all = 0;
    if (took == NULL) { fail("out of memory"); }
    for (int i = 0; i < n; i++) {
        pid_t pid;
        int status;
        args[n_args] = argv[first + 1 + i];
        double from = seconds();
        if (posix_spawn(&pid, args[0], &actions, NULL, args, environ) != 0) { fail("cannot start the program"); }
        if (waitpid(pid, &status, 0) != pid) { fail("cannot wait for the program"); }
        took[i] = seconds() - from;
        all += took[i];
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            fprintf(stderr, "each: %s: it did not end with 0\n", args[n_args]);
            return 1;
        }
    }
    qsort(took, (size_t)n, sizeof *took, by_size);
    printf("%.6f %.3f\n", all, 1000 * (n % 2 ? took[n / 2] : (took[n / 2 - 1] + took[n / 2]) / 2));
    (void)posix_spawn_file_actions_destroy(&actions);
    kluis_free(took);
    return fflush(stdout) == 0 ? 0 : 74;
}
