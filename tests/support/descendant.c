/* tests/support/descendant.c - see descendant.h. */
#include "tests/support/descendant.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Name, state and parent of a process; false: it is gone. */
static bool look(pid_t pid, char name[32], char *state, pid_t *parent)
{
    char path[64], text[256];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    bool ok = f != NULL && fgets(text, sizeof text, f) != NULL;
    if (f != NULL) { (void)fclose(f); }
    char *open = ok ? strchr(text, '(') : NULL, *close = ok ? strrchr(text, ')') : NULL;
    if (open == NULL || close == NULL || strlen(close) < 5) { return false; }
    *close = '\0';
    (void)snprintf(name, 32, "%.31s", open + 1);
    *state = close[2];
    *parent = (pid_t)strtol(close + 4, NULL, 10);
    return true;
}

pid_t descendant(const char *name)
{
    DIR *d = opendir("/proc");
    pid_t found = 0;
    if (d == NULL) { return -1; }
    for (const struct dirent *e; found == 0 && (e = readdir(d)) != NULL;) {
        char called[32], above[32], state;
        pid_t pid = (pid_t)strtol(e->d_name, NULL, 10), parent, grandparent;
        if (pid <= 0 || !look(pid, called, &state, &parent) || strcmp(called, name) != 0 || state == 'Z') { continue; }
        if (look(parent, above, &state, &grandparent) && grandparent == getpid()) { found = pid; }
    }
    (void)closedir(d);
    return found;
}
