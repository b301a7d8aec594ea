/* tests/fault/disk.c - what of the files below one directory would survive a power cut.  See fault.h.
 *
 * Data: every write and truncation since the file's last fsync, with the bytes that it replaced.  Names: every create, rename, link, unlink,
 * mkdir since the last fsync of their directory; of each directory a beginning of that list survives (file systems journal names in order),
 * directories are independent of each other.  fsync of a file does not make its name durable (POSIX), as strict as it can be meant.
 * -shm files are mapped, not written: SQLite makes them anew after a crash.  Memory is mapped and never given back: a trial is short.
 */
#include "tests/fault/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { INODES = 512, NAMES = 4096, SECTOR = 512 };

struct disk_change {
    struct disk_change *next, *before;
    struct inode *file;
    uint8_t *old, *new;
    size_t n_old, n;
    uint64_t at, old_size;
    bool truncation;
};
struct inode {
    dev_t dev;
    ino_t ino;
    int fd;
    struct disk_change *first, *last;
};
enum name_kind { NAME_CREATE, NAME_FOLDER, NAME_RENAME, NAME_REMOVE };
struct name {
    enum name_kind kind;
    bool durable;
    dev_t dev;
    ino_t dir; /* of the directory that must be synced */
    char *path, *from, *stash;
};

static char root[KLUIS_PATH_MAX], stashes[KLUIS_PATH_MAX];
static size_t root_len;
static dev_t root_dev;
static struct inode inodes[INODES];
static size_t n_inodes;
static struct name names[NAMES];
static size_t n_names;
static unsigned n_stashes;
static uint8_t *pool;
static size_t pool_used, pool_size;
static uint64_t dice;

static _Noreturn void give_up(const char *what)
{
    (void)dprintf(2, "fault: the model of the disk cannot go on: %s (errno %d)\n", what, errno);
    _exit(99);
}

static void *take(size_t n)
{
    if (pool == NULL) {
        pool_size = (size_t)1 << 32;
        pool = (uint8_t *)syscall(SYS_mmap, NULL, pool_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0L);
        if (pool == MAP_FAILED) { give_up("no memory"); }
    }
    n = (n + 15) & ~(size_t)15;
    if (n > pool_size - pool_used) { give_up("too much was written"); }
    uint8_t *p = pool + pool_used;
    pool_used += n;
    return p;
}

static char *copy(const char *s)
{
    size_t n = strlen(s) + 1;
    return memcpy(take(n), s, n);
}

void disk_watch(const char *dir)
{
    struct stat st;
    root_len = strlen(dir);
    memcpy(root, dir, root_len + 1);
    (void)snprintf(stashes, sizeof stashes, "%s.stash", dir);
    if (syscall(SYS_newfstatat, AT_FDCWD, dir, &st, 0) != 0) { give_up("no directory"); }
    root_dev = st.st_dev;
    n_inodes = n_names = n_stashes = 0;
    pool_used = 0;
}

bool disk_knows(const char *path) { return root_len > 0 && strncmp(path, root, root_len) == 0 && path[root_len] == '/'; }

static bool fd_path(int fd, char out[KLUIS_PATH_MAX])
{
    char link[40];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long n = syscall(SYS_readlinkat, AT_FDCWD, link, out, (size_t)KLUIS_PATH_MAX - 1);
    if (n <= 0) { return false; }
    out[n] = '\0';
    return true;
}

bool disk_holds(int fd)
{
    char path[KLUIS_PATH_MAX];
    struct stat st;
    if (root_len == 0 || syscall(SYS_fstat, fd, &st) != 0 || st.st_dev != root_dev || st.st_nlink == 0 || !fd_path(fd, path)) { return false; }
    return disk_knows(path) || strcmp(path, root) == 0;
}

/* The file behind a descriptor, when it is one below the root that has a name. */
static struct inode *inode_of(int fd, bool make)
{
    struct stat st;
    char path[KLUIS_PATH_MAX], link[40];
    if (root_len == 0 || syscall(SYS_fstat, fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_dev != root_dev || st.st_nlink == 0) { return NULL; }
    for (size_t i = 0; i < n_inodes; i++) {
        if (inodes[i].ino == st.st_ino && inodes[i].dev == st.st_dev) { return &inodes[i]; }
    }
    if (!make || !fd_path(fd, path) || !disk_knows(path)) { return NULL; }
    if (n_inodes == INODES) { give_up("too many files"); }
    /* Held open until the end: the number stays its own, and closing it would drop the process's locks on the file. */
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long own = syscall(SYS_openat, AT_FDCWD, link, O_RDWR | O_CLOEXEC, 0);
    if (own < 0) { give_up("cannot open a file a second time"); }
    long high = syscall(SYS_fcntl, own, F_DUPFD_CLOEXEC, (long)OWN_FD);
    if (high < 0 || syscall(SYS_close, own) != 0) { give_up("no descriptor"); }
    inodes[n_inodes] = (struct inode){ .dev = st.st_dev, .ino = st.st_ino, .fd = (int)high };
    return &inodes[n_inodes++];
}

static struct disk_change *change(struct inode *f, uint64_t at, size_t replaced)
{
    struct stat st;
    if (syscall(SYS_fstat, f->fd, &st) != 0) { give_up("fstat"); }
    uint64_t size = (uint64_t)st.st_size;
    struct disk_change *c = take(sizeof *c);
    *c = (struct disk_change){ .file = f, .at = at, .old_size = size };
    c->n_old = at >= size ? 0 : size - at < replaced ? (size_t)(size - at) : replaced;
    c->old = c->n_old == 0 ? NULL : take(c->n_old);
    if (c->n_old > 0 && syscall(SYS_pread64, f->fd, c->old, c->n_old, at) != (long)c->n_old) { give_up("cannot read what is replaced"); }
    return c;
}

struct disk_change *disk_will_write(int fd, uint64_t at, const void *p, size_t n)
{
    struct inode *f = inode_of(fd, true);
    if (f == NULL || n == 0) { return NULL; }
    struct disk_change *c = change(f, at, n);
    c->new = memcpy(take(n), p, n);
    c->n = n;
    return c;
}

struct disk_change *disk_will_truncate(int fd, uint64_t size)
{
    struct inode *f = inode_of(fd, true);
    if (f == NULL) { return NULL; }
    struct disk_change *c = change(f, size, SIZE_MAX);
    c->truncation = true;
    return c;
}

void disk_did(struct disk_change *c, int64_t n)
{
    if (c == NULL || n < 0) { return; }
    if (!c->truncation) {
        if ((size_t)n < c->n) { c->n = (size_t)n; }
        if (c->n_old > c->n) { c->n_old = c->n; }
    }
    c->before = c->file->last;
    if (c->file->last == NULL) {
        c->file->first = c;
    } else {
        c->file->last->next = c;
    }
    c->file->last = c;
}

void disk_synced(int fd)
{
    struct stat st;
    if (root_len == 0 || syscall(SYS_fstat, fd, &st) != 0) { return; }
    if (S_ISDIR(st.st_mode)) {
        for (size_t i = 0; i < n_names; i++) {
            if (names[i].dir == st.st_ino && names[i].dev == st.st_dev) { names[i].durable = true; }
        }
        return;
    }
    struct inode *f = inode_of(fd, false);
    if (f != NULL) { f->first = f->last = NULL; }
}

static struct name *note(enum name_kind kind, const char *path)
{
    char dir[KLUIS_PATH_MAX];
    struct stat st;
    size_t n = (size_t)(strrchr(path, '/') - path);
    if (n_names == NAMES) { give_up("too many names"); }
    memcpy(dir, path, n);
    dir[n] = '\0';
    if (syscall(SYS_newfstatat, AT_FDCWD, dir, &st, 0) != 0) { give_up("no directory of a name"); }
    struct name *e = &names[n_names++];
    *e = (struct name){ .kind = kind, .dev = st.st_dev, .dir = st.st_ino, .path = copy(path) };
    return e;
}

void disk_created(const char *path, bool folder)
{
    if (disk_knows(path)) { (void)note(folder ? NAME_FOLDER : NAME_CREATE, path); }
}

void disk_will_replace(const char *path, char stash[KLUIS_PATH_MAX])
{
    stash[0] = '\0';
    if (!disk_knows(path)) { return; }
    char to[KLUIS_PATH_MAX];
    int n = snprintf(to, sizeof to, "%s/%u", stashes, n_stashes++);
    if (n < 0 || (size_t)n >= sizeof to) { give_up("long path"); }
    if (syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, to, 0) != 0) {
        if (errno == ENOENT) { return; }
        give_up("cannot keep a name that goes");
    }
    memcpy(stash, to, (size_t)n + 1);
}

void disk_renamed(const char *from, const char *to, const char *stash)
{
    if (!disk_knows(from) || !disk_knows(to)) { return; }
    struct name *e = note(NAME_RENAME, to);
    e->from = copy(from);
    e->stash = stash[0] == '\0' ? NULL : copy(stash);
}

void disk_removed(const char *path, const char *stash)
{
    if (!disk_knows(path) || stash[0] == '\0') { return; }
    note(NAME_REMOVE, path)->stash = copy(stash);
}

/* ---- the crash ---- */

static uint64_t roll(void)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return dice;
}

static void put_bytes(const struct inode *f, const uint8_t *p, size_t n, uint64_t at)
{
    if (n > 0 && syscall(SYS_pwrite64, f->fd, p, n, at) != (long)n) { give_up("cannot write what the crash leaves"); }
}

static void put_garbage(const struct inode *f, size_t n, uint64_t at)
{
    uint8_t junk[SECTOR];
    for (size_t done = 0; done < n;) {
        size_t part = n - done < sizeof junk ? n - done : sizeof junk;
        for (size_t i = 0; i < part; i++) { junk[i] = (uint8_t)(roll() >> 32); }
        put_bytes(f, junk, part, at + done);
        done += part;
    }
}

static void data_crash(const struct inode *f, enum fault_disk how)
{
    if (how == DISK_KEPT || how == DISK_DATA_ONLY) { return; }
    for (const struct disk_change *c = f->last; c != NULL; c = c->before) { /* back to what was synced */
        put_bytes(f, c->old, c->n_old, c->at);
        if (syscall(SYS_ftruncate, f->fd, c->old_size) != 0) { give_up("cannot shorten"); }
    }
    if (how == DISK_DROPPED || how == DISK_NAMES_ONLY) { return; }
    for (const struct disk_change *c = f->first; c != NULL; c = c->next) {
        if (c->truncation) {
            if ((how == DISK_GARBLED || roll() % 2 == 0) && syscall(SYS_ftruncate, f->fd, c->at) != 0) { give_up("cannot shorten"); }
            continue;
        }
        if (how == DISK_GARBLED) {
            put_garbage(f, c->n, c->at);
            continue;
        }
        for (size_t done = 0; done < c->n;) {
            size_t part = SECTOR - (size_t)((c->at + done) % SECTOR);
            if (part > c->n - done) { part = c->n - done; }
            uint64_t face = roll() % 3;
            if (face == 0) { put_bytes(f, c->new + done, part, c->at + done); }
            if (face == 1) { put_garbage(f, part, c->at + done); }
            done += part;
        }
    }
}

static void undo(const struct name *e)
{
    char to[KLUIS_PATH_MAX];
    long rc = 0;
    switch (e->kind) {
    case NAME_CREATE: rc = syscall(SYS_unlinkat, AT_FDCWD, e->path, 0); break;
    case NAME_FOLDER:
        (void)snprintf(to, sizeof to, "%.4000s/%u", stashes, n_stashes++);
        rc = syscall(SYS_renameat, AT_FDCWD, e->path, AT_FDCWD, to);
        break;
    case NAME_RENAME:
        rc = syscall(SYS_renameat, AT_FDCWD, e->path, AT_FDCWD, e->from);
        if (rc == 0 && e->stash != NULL) { rc = syscall(SYS_renameat, AT_FDCWD, e->stash, AT_FDCWD, e->path); }
        break;
    case NAME_REMOVE: rc = syscall(SYS_renameat, AT_FDCWD, e->stash, AT_FDCWD, e->path); break;
    }
    /* Gone with its directory (a removed one counts as synced), or renamed into another directory, which was synced. */
    if (rc != 0 && errno != ENOENT) {
        (void)dprintf(2, "fault: cannot take back '%s' (%d)\n", e->path, (int)e->kind);
        give_up("a name");
    }
}

/* Of every directory's unsynced names a beginning stays: all, none, or by chance. */
static void names_crash(enum fault_disk how)
{
    if (how == DISK_KEPT || how == DISK_GARBLED || how == DISK_NAMES_ONLY) { return; }
    for (size_t i = n_names; i-- > 0;) {
        if (names[i].durable) { continue; }
        if (how == DISK_MIXED) {
            /* One throw for each directory, the same for all its names: how many of the last ones go. */
            uint64_t behind = 0, all = 0, h = (dice ^ (names[i].dir * 0x9e3779b97f4a7c15u)) >> 33;
            for (size_t j = 0; j < n_names; j++) {
                bool same = !names[j].durable && names[j].dir == names[i].dir && names[j].dev == names[i].dev;
                all += same;
                behind += same && j > i;
            }
            if (behind >= h % (all + 1)) { continue; }
        }
        undo(&names[i]);
    }
}

void disk_crash(enum fault_disk how, uint64_t seed)
{
    dice = seed * 0x9e3779b97f4a7c15u + 0x1234567u;
    names_crash(how);
    for (size_t i = 0; i < n_inodes; i++) { data_crash(&inodes[i], how); }
}
