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

static void copy_file(const char *from, const char *to, const struct stat *st)
{
    static uint8_t block[1 << 16];
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, st->st_mode & 07777);
    if (in < 0 || out < 0) { give_up("copy", from); }
    size_t most = 0;
    for (ssize_t n = 1; n > 0;) {
        n = read(in, block, sizeof block);
        if (n < 0 || (n > 0 && write(out, block, (size_t)n) != n)) { give_up("copy", from); }
        most = (size_t)n > most ? (size_t)n : most;
    }
    kluis_wipe(block, most); /* a key may have been copied, and trials look for keys in memory */
    const struct timespec when[2] = { st->st_atim, st->st_mtim };
    if (fchmod(out, st->st_mode & 07777) != 0 || futimens(out, when) != 0 || close(in) != 0 || close(out) != 0) { give_up("copy", from); }
}

static bool as_copied(const struct stat *from, const struct stat *to)
{
    return from->st_mode == to->st_mode && from->st_size == to->st_size && from->st_mtim.tv_sec == to->st_mtim.tv_sec &&
           from->st_mtim.tv_nsec == to->st_mtim.tv_nsec;
}

static void put_back(const char *from, const char *to, const struct stat *st)
{
    struct stat is;
    bool there = lstat(to, &is) == 0;
    if (S_ISDIR(st->st_mode) && (!there || is.st_mode == st->st_mode)) {
        tree_restore(from, to);
    } else if (S_ISREG(st->st_mode) && !(there && as_copied(st, &is))) {
        tree_remove(to);
        copy_file(from, to, st);
    } else if (S_ISDIR(st->st_mode)) {
        tree_remove(to);
        tree_restore(from, to);
    }
}

/* What `from` does not have goes. */
static void take_away(const char *from, const char *to)
{
    char a[KLUIS_PATH_MAX], b[KLUIS_PATH_MAX];
    struct stat st;
    DIR *d = opendir(to);
    if (d == NULL) { give_up("look into", to); }
    for (struct dirent *e = NULL; (e = readdir(d)) != NULL;) {
        if (dots(e->d_name)) { continue; }
        join(a, from, e->d_name);
        join(b, to, e->d_name);
        if (lstat(a, &st) != 0) { tree_remove(b); }
    }
    (void)closedir(d);
}

void tree_restore(const char *from, const char *to)
{
    char a[KLUIS_PATH_MAX], b[KLUIS_PATH_MAX];
    struct stat st;
    DIR *d = opendir(from);
    if (d == NULL || stat(from, &st) != 0) { give_up("copy", from); }
    if (mkdir(to, st.st_mode & 07777) != 0) {
        if (errno != EEXIST) { give_up("make", to); }
        take_away(from, to);
    }
    for (struct dirent *e = NULL; (e = readdir(d)) != NULL;) {
        if (dots(e->d_name)) { continue; }
        join(a, from, e->d_name);
        join(b, to, e->d_name);
        if (lstat(a, &st) != 0) { give_up("look at", a); }
        put_back(a, b, &st);
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
