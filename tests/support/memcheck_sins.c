/* tests/support/memcheck_sins.c - what memcheck.sh has to find, one sin a start, and what it must not take for one.
 *
 *   memcheck_sins leak | unset | freed | open | ended | child | nothing
 *
 * Made without the flags of the other programs: under a sanitizer it would end before valgrind saw it.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int *volatile kept; /* volatile: the compiler may not do without the block, nor know what is in it */

int main(int argc, char **argv)
{
    const char *sin = argc == 2 ? argv[1] : "";
    if (strcmp(sin, "nothing") == 0) { return 0; }
    if (strcmp(sin, "leak") == 0) {
        kept = malloc(sizeof *kept);
        kept = NULL;
        return 0;
    }
    if (strcmp(sin, "unset") == 0 || strcmp(sin, "freed") == 0) {
        kept = malloc(sizeof *kept);
        int *seen = kept;
        if (sin[0] == 'f') { free(kept); }
        if (*seen == 3) { (void)puts("three"); } /* NOLINT(clang-analyzer-unix.Malloc,clang-analyzer-core.UndefinedBinaryOperatorResult): the sin */
        if (sin[0] == 'u') { free(kept); }
        return 0;
    }
    int fd = open("/dev/null", O_RDONLY);
    if (fd < 0) { return 74; }
    if (strcmp(sin, "open") == 0) { return 0; }
    if (strcmp(sin, "ended") == 0) { return raise(SIGTERM); } /* by somebody's signal: what it held is the kernel's to close */
    if (strcmp(sin, "child") == 0) {                          /* ... and so is what a child that only _exits holds */
        pid_t child = fork();
        if (child == 0) { _exit(0); }
        return child < 0 || waitpid(child, NULL, 0) != child || close(fd) != 0;
    }
    return 64;
}
