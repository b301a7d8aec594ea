/* tests/support/test_dir.c - see test_dir.h. */
#include "tests/support/test_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DIRS = 256, PATH = 96, DEPTH = 32 };

static char made[DIRS][PATH];
static size_t n_made;
static pid_t owner;

/* By descriptors: no symbolic link leads out of the directory, no path grows too long. */
static void remove_in(int parent, const char *name, int depth)
{
    int fd = depth > DEPTH ? -1 : openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (d == NULL) {
        if (fd >= 0) { (void)close(fd); }
        return;
    }
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) { continue; }
        if (unlinkat(dirfd(d), e->d_name, 0) != 0) { remove_in(dirfd(d), e->d_name, depth + 1); }
    }
    (void)closedir(d);
    (void)unlinkat(parent, name, AT_REMOVEDIR);
}

static void remove_all(void)
{
    if (getpid() != owner) { return; }
    for (size_t i = 0; i < n_made; i++) { remove_in(AT_FDCWD, made[i], 0); }
    n_made = 0;
}

bool test_dir(const char *name, char *out, size_t cap)
{
    if (owner != getpid()) {
        if (atexit(remove_all) != 0) { return false; }
        owner = getpid();
        n_made = 0; /* what a parent made is the parent's to remove */
    }
    if (n_made == DIRS) { return false; }
    char path[PATH];
    int n = snprintf(path, sizeof path, "/tmp/kluis-%s-XXXXXX", name);
    if (n < 0 || (size_t)n >= sizeof path || (size_t)n >= cap || mkdtemp(path) == NULL) { return false; }
    memcpy(made[n_made++], path, (size_t)n + 1);
    memcpy(out, path, (size_t)n + 1);
    return true;
}
