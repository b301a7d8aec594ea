/* tests/fault/agent_program.h - the agent's own command line as a function: main.c and every stage, linked into a sweep. */
#ifndef KLUIS_TESTS_FAULT_AGENT_PROGRAM_H
#define KLUIS_TESTS_FAULT_AGENT_PROGRAM_H

int agent_main(int argc, char **argv);
/* agent_main with these words behind the program's name, the last NULL; gives its exit code. */
int agent(const char *word, ...) __attribute__((sentinel));

#endif
