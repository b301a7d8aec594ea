/* tests/fault/tree.c - see tree.h. */
#include "tests/fault/tree.h"

#include "kluis/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static _Noreturn void give_up(const char *what, const char *path)
{
    (void)fprintf(stderr, "fault: cannot %s '%s': %s\n", what, path, strerrordesc_np(errno));
    _exit(97);
}

static void join(char out[KLUIS_PATH_MAX], const char *dir, const char *name)
{
    if (kluis_path(out, KLUIS_PATH_MAX, dir, name, NULL) != KLUIS_OK) { give_up("name", name); }
}

static bool dots(const char *name) { return strcmp(name, ".") == 0 || strcmp(name, "..") == 0; }

static void copy_file(const char *from, const char *to, mode_t mode)
{
    static uint8_t block[1 << 16];
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (in < 0 || out < 0) { give_up("copy", from); }
    for (ssize_t n = 1; n > 0;) {
        n = read(in, block, sizeof block);
        if (n < 0 || (n > 0 && write(out, block, (size_t)n) != n)) { give_up("copy", from); }
    }
    kluis_wipe(block, sizeof block); /* a key may have been copied, and trials look for keys in memory */
    if (fchmod(out, mode) != 0 || close(in) != 0 || close(out) != 0) { give_up("copy", from); }
}

void tree_copy(const char *from, const char *to)
{
    char a[KLUIS_PATH_MAX], b[KLUIS_PATH_MAX];
    struct stat st;
    DIR *d = opendir(from);
    if (d == NULL || stat(from, &st) != 0 || mkdir(to, st.st_mode & 07777) != 0) { give_up("copy", from); }
    for (struct dirent *e = NULL; (e = readdir(d)) != NULL;) {
        if (dots(e->d_name)) { continue; }
        join(a, from, e->d_name);
        join(b, to, e->d_name);
        if (lstat(a, &st) != 0) { give_up("look at", a); }
        if (S_ISDIR(st.st_mode)) { tree_copy(a, b); }
        if (S_ISREG(st.st_mode)) { copy_file(a, b, st.st_mode & 07777); }
    }
    (void)closedir(d);
}

void tree_remove(const char *path)
{
    char a[KLUIS_PATH_MAX];
    if (unlink(path) == 0 || errno == ENOENT) { return; }
    DIR *d = opendir(path);
    if (d == NULL) { give_up("remove", path); }
    for (struct dirent *e = NULL; (e = readdir(d)) != NULL;) {
        if (dots(e->d_name)) { continue; }
        join(a, path, e->d_name);
        tree_remove(a);
    }
    (void)closedir(d);
    if (rmdir(path) != 0) { give_up("remove", path); }
}
