/* tests/fault/agent_state.h - what the agent's sweeps start from and look for: a home with two sources, chats of our own making. */
#ifndef KLUIS_TESTS_FAULT_AGENT_STATE_H
#define KLUIS_TESTS_FAULT_AGENT_STATE_H

#include "tests/fault/agent_program.h"
#include "tests/fault/fault.h"
#include "tests/support/agent_content.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { AGENT_AWAY = 75 }; /* the exit code of a pass whose gate does not answer */

void in_dir(char out[KLUIS_PATH_MAX], const char *dir, const char *name);
void state_sources(const char *dir);        /* chats/ and sms.xml below dir, added to the home below it */
void state_enrolled(const char *dir);       /* a home below dir, enrolled where nobody listens */
int state_pass(void *ctx, const char *dir); /* for fault_subject.act: one pass of the home below dir */
/* Every message of the sources stands in the packages once, and nothing else. */
void state_is_whole(const struct content *c);
size_t state_files(const char *dir, const char *name, const char *end); /* of dir/name, whose name ends so; none when there is no folder */
/* For fault_subject.secrets: the home key, and the private numbers of the device's keys, as they are and as text. */
size_t state_secrets(void *ctx, const char *dir, uint8_t *out, size_t room);

#endif
