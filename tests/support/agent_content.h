/* tests/support/agent_content.h - what the packages of an agent's home hold, read as a verifier would. */
#ifndef KLUIS_TESTS_AGENT_CONTENT_H
#define KLUIS_TESTS_AGENT_CONTENT_H

#include "agent/journal/home.h"

enum { CONTENT_TEXTS = 512 };
struct content {
    char texts[CONTENT_TEXTS][128]; /* of the messages, in order */
    size_t n;
    size_t gone, back, edits; /* what the journal said, and edits whose original it found; each names a record of an earlier package */
    size_t packages;
    uint8_t last[32];
    uint64_t sequence;
};

/* Opens every package of the home with its own key; asserts that each is what its row says, sealed by the device under the home's trust,
 * and that numbers and links run from 1 without a hole. */
void content_read(const char *home, struct content *c);
size_t content_times(const struct content *c, const char *text);

#endif
