/* tests/fault/tree.h - whole directories: put back, removed.  Every step that fails ends the process with a line on stderr. */
#ifndef KLUIS_TESTS_FAULT_TREE_H
#define KLUIS_TESTS_FAULT_TREE_H

/* to, which may be there and changed, becomes what `from` is, files and directories with their modes: what has size, time and mode of a copy made
 * here is left as it is.  Changes through a mapping alone go unseen. */
void tree_restore(const char *from, const char *to);
void tree_remove(const char *path); /* what is not there is fine */

#endif
