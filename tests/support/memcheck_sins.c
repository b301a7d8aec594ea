/* tests/support/memcheck_sins.c - what memcheck.sh has to find, and what it must not take for a sin.
 *
 *   memcheck_sins SIN…           one after another: leak, unset, freed, open, child, held, lost; nothing, ended (by SIGTERM) and killed (by itself)
 * are the end.  child: has a descriptor open; held: is forked while a thread has the only address of a block where nobody looks; lost: loses a block
 * itself
 *
 * Made without the flags of the other programs: under a sanitizer it would end before valgrind saw it.
 */
#include "tests/support/die.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static int *volatile kept; /* volatile: the compiler may not do without the block, nor know what is in it */

static volatile uintptr_t hidden; /* an address as valgrind does not know it again: what a register of a thread is to a forked child */

static void *hold(void *none)
{
    (void)none;
    hidden = ~(uintptr_t)malloc(sizeof *kept);
    return NULL;
}

static int child(const char *sin)
{
    pid_t pid = fork();
    if (pid == 0) {
        if (strcmp(sin, "lost") == 0) { hold(NULL); }
        _exit(0);
    }
    return pid < 0 || waitpid(pid, NULL, 0) != pid;
}

static int commit(const char *sin)
{
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
    if (strcmp(sin, "open") == 0) { return open("/dev/null", O_RDONLY) < 0 ? 74 : 0; }
    if (strcmp(sin, "child") == 0) { /* who only _exits leaves what he holds to the kernel */
        int fd = open("/dev/null", O_RDONLY);
        return child(sin) != 0 || close(fd) != 0;
    }
    if (strcmp(sin, "lost") == 0) { return child(sin); }
    if (strcmp(sin, "held") == 0) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, hold, NULL) != 0 || pthread_join(thread, NULL) != 0) { return 64; }
        int rc = child(sin);
        free((void *)~hidden); /* NOLINT(performance-no-int-to-ptr): it was one */
        return rc;
    }
    if (strcmp(sin, "ended") == 0) { return raise(SIGTERM); } /* by somebody's signal: what it held is the kernel's */
    if (strcmp(sin, "killed") == 0) { die(); }
    return strcmp(sin, "nothing") == 0 ? 0 : 64;
}

int main(int argc, char **argv)
{
    int rc = argc > 1 ? 0 : 64;
    for (int i = 1; i < argc && rc == 0; i++) { rc = commit(argv[i]); }
    return rc;
}
