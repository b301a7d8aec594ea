/* tests/support/agent_home.h - an agent's home that looks enrolled, with keys and certificates of our own making. */
#ifndef KLUIS_TESTS_AGENT_HOME_H
#define KLUIS_TESTS_AGENT_HOME_H

#include "agent/journal/home.h"
#include "tests/support/pki.h"

#define AGENT_DEVICE "0123456789abcdef0123456789abcdef"

/* Makes dir a home enrolled at `server` under p; every step is asserted. */
void agent_home_enrol(const char *dir, const char *server, struct pki *p);

#endif
