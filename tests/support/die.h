/* tests/support/die.h - how a process of a test kills itself, as kill -9 from outside would.
 *
 * Valgrind lets no process kill itself unseen: it ends the threads, forgets their registers and looks for leaks.  What another thread held in a
 * register alone, in the middle of a call, is a leak to it (2,432 bytes of SQLite's parser, now and then), and what is open was left open.  So the
 * process says first what it does, in the words by which tests/support/memcheck.sh knows whoever was ended by a signal. */
#ifndef KLUIS_TEST_DIE_H
#define KLUIS_TEST_DIE_H

#include <signal.h>
#include <unistd.h>

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif

static inline _Noreturn void die(void)
{
#ifdef __VALGRIND_MAJOR__ /* a few instructions without effect where no valgrind runs */
    (void)VALGRIND_PRINTF("Process terminating with default action of signal 9 (SIGKILL), its own\n");
#endif
    (void)kill(getpid(), SIGKILL);
    __builtin_trap(); /* where the walls forbid kill */
}

#endif
