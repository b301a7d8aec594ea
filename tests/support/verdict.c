/* tests/support/verdict.c - what cmocka said of failures, said again when the program ends: in a log a failed case and its reason are the last words,
 * however much stands before them.  The program's own vprint_error comes before the library's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char said[8192];
static size_t said_len;
static pid_t owner;

__attribute__((constructor)) static void begin(void) { owner = getpid(); }

__attribute__((visibility("default"))) void vprint_error(const char *const format, va_list args)
{
    size_t room = sizeof said - said_len;
    va_list again;
    va_copy(again, args);
    (void)vfprintf(stderr, format, args);
    int n = vsnprintf(said + said_len, room, format, again);
    va_end(again);
    if (strstr(format, "PASSED") != NULL) { return; }      /* the library calls that an error too */
    said_len += n > 0 && (size_t)n < room ? (size_t)n : 0; /* what does not fit any more is said once */
}

/* Not what a child says when it ends: it has its parent's words. */
__attribute__((destructor)) static void end(void)
{
    if (said_len == 0 || getpid() != owner) { return; }
    (void)fflush(stdout);
    (void)fprintf(stderr, "---- what failed, once more ----\n%.*s", (int)said_len, said);
}
