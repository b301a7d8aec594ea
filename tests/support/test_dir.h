/* tests/support/test_dir.h - a temporary directory of a test, gone when its process ends. */
#ifndef KLUIS_TESTS_TEST_DIR_H
#define KLUIS_TESTS_TEST_DIR_H

#include <stdbool.h>
#include <stddef.h>

/* Makes /tmp/kluis-<name>-XXXXXX and writes its path to out.  Everything in it is removed when this process exits, failed tests
 * included; a process that was forked from it removes nothing.  false: it could not be made. */
bool test_dir(const char *name, char *out, size_t cap);

#endif
