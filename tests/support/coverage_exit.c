/* tests/support/coverage_exit.c - _exit() of a build that counts its lines (KLUIS_COVERAGE): forked children, the opener's among them, end by it,
 * and what they ran counts too.  The linker puts it in the place of _exit (--wrap). */
void __gcov_dump(void);
void __real__exit(int status) __attribute__((noreturn));
void __wrap__exit(int status) __attribute__((noreturn));

void __wrap__exit(int status)
{
    __gcov_dump();
    __real__exit(status);
}
