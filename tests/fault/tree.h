/* tests/fault/tree.h - whole directories: copied, removed.  Every step that fails ends the process with a line on stderr. */
#ifndef KLUIS_TESTS_FAULT_TREE_H
#define KLUIS_TESTS_FAULT_TREE_H

void tree_copy(const char *from, const char *to); /* to must not exist; files and directories, with their modes */
void tree_remove(const char *path);               /* what is not there is fine */

#endif
