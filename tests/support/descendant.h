/* tests/support/descendant.h - a living process below this one, found by its name. */
#ifndef TESTS_SUPPORT_DESCENDANT_H
#define TESTS_SUPPORT_DESCENDANT_H

#include <sys/types.h>

/* A grandchild of this process that is called `name` (prctl(2), PR_SET_NAME) and no zombie; 0: there is none. */
pid_t descendant(const char *name);

#endif
