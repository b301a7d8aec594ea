/* tests/fault/agent_program.c - see agent_program.h. */
#include "tests/fault/agent_program.h"

#include <stdarg.h>
#include <stdint.h>

int agent(const char *word, ...)
{
    enum { WORDS = 16 };
    const char *argv[WORDS] = { "chatkluis-agent", word };
    int argc = 2;
    va_list ap;
    va_start(ap, word);
    for (const char *w = va_arg(ap, const char *); w != NULL && argc < WORDS - 1; w = va_arg(ap, const char *)) { argv[argc++] = w; }
    va_end(ap);
    return agent_main(argc, (char **)(uintptr_t)argv);
}
