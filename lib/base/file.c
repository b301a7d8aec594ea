/* lib/base/file.c - checked, injectable file access and the one durable write. */
#include "lib/base/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* A test may make any of these fail: asks the hook, sets errno, says whether to fail. */
static bool fault(const char *op, const char *path, int fd)
{
    if (kluis_hooks_ == NULL || kluis_hooks_->io_fault == NULL) { return false; }
    int e = kluis_hooks_->io_fault(op, path, fd);
    if (e == 0) { return false; }
    errno = e;
    return true;
}

#define RETRY(expr)                                                                                                                                  \
    ({                                                                                                                                               \
        __typeof__(expr) r_;                                                                                                                         \
        do {                                                                                                                                         \
            r_ = (expr);                                                                                                                             \
        } while (r_ == -1 && errno == EINTR);                                                                                                        \
        r_;                                                                                                                                          \
    })

#pragma GCC diagnostic ignored "-Wpedantic" /* the statement expression above: GNU C, which both our compilers speak */

int kluis_io_open(const char *path, int flags, unsigned mode)
{
    return fault("open", path, -1) ? -1 : RETRY(open(path, flags | O_CLOEXEC, (mode_t)mode));
}

int kluis_io_openat(int dirfd, const char *path, int flags, unsigned mode)
{
    return fault("open", path, -1) ? -1 : RETRY(openat(dirfd, path, flags | O_CLOEXEC, (mode_t)mode));
}

ssize_t kluis_io_read(int fd, void *p, size_t n) { return fault("read", NULL, fd) ? -1 : RETRY(read(fd, p, n)); }

ssize_t kluis_io_pread(int fd, void *p, size_t n, uint64_t at)
{
    if (at > INT64_MAX) {
        errno = EOVERFLOW;
        return -1;
    }
    return fault("read", NULL, fd) ? -1 : RETRY(pread(fd, p, n, (off_t)at));
}

ssize_t kluis_io_write(int fd, const void *p, size_t n) { return fault("write", NULL, fd) ? -1 : RETRY(write(fd, p, n)); }

ssize_t kluis_io_pwrite(int fd, const void *p, size_t n, uint64_t at)
{
    if (at > INT64_MAX) {
        errno = EOVERFLOW;
        return -1;
    }
    return fault("write", NULL, fd) ? -1 : RETRY(pwrite(fd, p, n, (off_t)at));
}

int kluis_io_fsync(int fd) { return fault("fsync", NULL, fd) ? -1 : RETRY(fsync(fd)); }
int kluis_io_fdatasync(int fd) { return fault("fdatasync", NULL, fd) ? -1 : RETRY(fdatasync(fd)); }

int kluis_io_close(int fd)
{
    bool bad = fault("close", NULL, fd);
    int e = errno;
    int r = close(fd); /* never retried: on Linux the descriptor is gone even after EINTR */
    if (bad) {
        errno = e;
        return -1;
    }
    return r;
}

int kluis_io_rename(const char *from, const char *to) { return fault("rename", to, -1) ? -1 : rename(from, to); }
int kluis_io_link(const char *from, const char *to) { return fault("link", to, -1) ? -1 : link(from, to); }
int kluis_io_unlink(const char *path) { return fault("unlink", path, -1) ? -1 : unlink(path); }
int kluis_io_mkdir(const char *path, unsigned mode) { return fault("mkdir", path, -1) ? -1 : mkdir(path, (mode_t)mode); }

int kluis_io_ftruncate(int fd, uint64_t size)
{
    if (size > INT64_MAX) {
        errno = EFBIG;
        return -1;
    }
    return fault("ftruncate", NULL, fd) ? -1 : RETRY(ftruncate(fd, (off_t)size));
}

kluis_status kluis_write_all(int fd, const void *p, size_t n, const char *what, struct kluis_err *err)
{
    const uint8_t *at = p;
    while (n > 0) {
        ssize_t w = kluis_io_write(fd, at, n);
        if (w < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot write '%s'", what); }
        if (w == 0) { return KLUIS_FAIL(err, KLUIS_E_IO, "cannot write '%s': nothing was taken", what); }
        at += w;
        n -= (size_t)w;
    }
    return KLUIS_OK;
}

kluis_status kluis_pread_all(int fd, void *p, size_t n, uint64_t at, const char *what, struct kluis_err *err)
{
    uint8_t *to = p;
    while (n > 0) {
        ssize_t r = kluis_io_pread(fd, to, n, at);
        if (r < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot read '%s'", what); }
        if (r == 0) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "'%s' ends too early", what); }
        to += r;
        at += (uint64_t)r;
        n -= (size_t)r;
    }
    return KLUIS_OK;
}

void kluis_close_quiet(int *fd)
{
    if (*fd >= 0) { (void)close(*fd); } /* nothing was written through it, or its content is given up */
    *fd = -1;
}

kluis_status kluis_close_durable(int *fd, const char *what, struct kluis_err *err)
{
    int f = *fd;
    *fd = -1;
    /* A failed fsync is final: the kernel may have dropped the pages, so asking again would lie. */
    if (kluis_io_fsync(f) != 0) {
        kluis_status rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot sync '%s' to disk", what);
        (void)close(f); /* the error is told already */
        return rc;
    }
    if (kluis_io_close(f) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot close '%s'", what); }
    kluis_durable_step("file.synced");
    return KLUIS_OK;
}

kluis_status kluis_fsync_dir(const char *dir, struct kluis_err *err)
{
    int fd = kluis_io_open(dir, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot open directory '%s'", dir); }
    return kluis_close_durable(&fd, dir, err);
}

bool kluis_dir_next(DIR *d, const char *what, const char **name, kluis_status *rc, struct kluis_err *err)
{
    if (*rc != KLUIS_OK) { return false; }
    for (;;) {
        errno = 0;                                                                     /* the end leaves it alone */
        const struct dirent *e = fault("readdir", what, dirfd(d)) ? NULL : readdir(d); /* NOLINT(concurrency-mt-unsafe): the caller's own stream */
        if (e == NULL) {
            if (errno != 0) { *rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot read the folder '%s' to its end", what); }
            return false;
        }
        *name = e->d_name;
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) { return true; }
    }
}

/* errno says that there is nothing to be had there, rather than that it failed. */
static bool not_to_be_had(void)
{
    return errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EACCES || errno == EPERM || errno == ENAMETOOLONG;
}

bool kluis_dir_look(DIR *d, const char *what, const char *name, int flags, struct stat *st, kluis_status *rc, struct kluis_err *err)
{
    if (!fault("stat", name, dirfd(d)) && fstatat(dirfd(d), name, st, flags) == 0) { return true; }
    if (!not_to_be_had()) { *rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot look at '%s' in the folder '%s'", name, what); }
    return false;
}

bool kluis_dir_down(DIR *d, const char *what, const char *name, int *fd, kluis_status *rc, struct kluis_err *err)
{
    *fd = kluis_io_openat(dirfd(d), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (*fd >= 0) { return true; }
    if (!not_to_be_had()) { *rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot open '%s' in the folder '%s'", name, what); }
    return false;
}

static kluis_status parent_of(char *out, size_t cap, const char *path, struct kluis_err *err)
{
    const char *slash = strrchr(path, '/');
    size_t n = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);
    if (n >= cap) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "path too long: '%s'", path); }
    memcpy(out, slash == NULL ? "." : path, n);
    out[n] = '\0';
    return KLUIS_OK;
}

kluis_status kluis_exists(const char *path, bool *there, struct kluis_err *err)
{
    *there = false;
    if (fault("access", path, -1) || access(path, F_OK) != 0) {
        return errno == ENOENT || errno == ENOTDIR ? KLUIS_OK : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot look for '%s'", path);
    }
    *there = true;
    return KLUIS_OK;
}

kluis_status kluis_what_at(const char *path, enum kluis_at *what, struct kluis_err *err)
{
    struct stat st;
    *what = KLUIS_AT_NOTHING;
    if (fault("stat", path, -1) || stat(path, &st) != 0) {
        return errno == ENOENT || errno == ENOTDIR ? KLUIS_OK : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot look at '%s'", path);
    }
    *what = S_ISREG(st.st_mode) ? KLUIS_AT_FILE : S_ISDIR(st.st_mode) ? KLUIS_AT_FOLDER : KLUIS_AT_OTHER;
    return KLUIS_OK;
}

kluis_status kluis_make_dir(const char *dir, struct kluis_err *err)
{
    if (kluis_io_mkdir(dir, 0700) != 0) {
        if (errno != EEXIST) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot create directory '%s'", dir); }
        struct stat st;
        if (stat(dir, &st) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot look at '%s'", dir); }
        if (!S_ISDIR(st.st_mode)) { return KLUIS_FAIL(err, KLUIS_E_IO, "'%s' is there but is not a directory", dir); }
        return KLUIS_OK;
    }
    char parent[KLUIS_PATH_MAX];
    KLUIS_TRY(parent_of(parent, sizeof parent, dir, err));
    return kluis_fsync_dir(parent, err);
}

kluis_status kluis_read_file(const char *path, size_t max, struct kluis_buf *out, struct kluis_err *err)
{
    int fd = kluis_io_open(path, O_RDONLY | O_NOCTTY, 0);
    if (fd < 0) { return KLUIS_FAIL_SYS(err, errno == ENOENT ? KLUIS_E_NOTFOUND : KLUIS_E_IO, "cannot open '%s'", path); }
    kluis_status rc = KLUIS_E_BUG;
    size_t had = out->len;
    struct stat st;
    if (fstat(fd, &st) != 0) {
        rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot look at '%s'", path);
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "'%s' is not a file", path);
        goto out;
    }
    for (;;) {
        uint8_t *to = kluis_buf_reserve(out, 65536);
        uint8_t last[1];
        size_t room = 65536;
        if (to == NULL) { /* near the ceiling: one byte tells whether the file is over */
            if (out->status != KLUIS_E_LIMIT) {
                rc = kluis_buf_ok(out, err);
                goto out;
            }
            out->status = KLUIS_OK;
            room = out->max - out->len;
            to = room > 0 ? kluis_buf_reserve(out, room) : last;
            if (to == NULL) {
                rc = kluis_buf_ok(out, err);
                goto out;
            }
            if (room == 0) { room = 1; }
        }
        ssize_t n = kluis_io_read(fd, to, room);
        if (n < 0) {
            rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot read '%s'", path);
            goto out;
        }
        if (n == 0) { break; }
        if (to == last || out->len + (size_t)n - had > max) {
            rc = KLUIS_FAIL(err, KLUIS_E_LIMIT, "'%s' is larger than the %zu bytes allowed", path, max);
            goto out;
        }
        out->len += (size_t)n;
    }
    rc = KLUIS_OK;
out:
    kluis_close_quiet(&fd);
    return rc;
}

kluis_status kluis_publish_file(const char *tmp, const char *path, const char *step, struct kluis_err *err)
{
    char dir[KLUIS_PATH_MAX];
    KLUIS_TRY(parent_of(dir, sizeof dir, path, err));
    if (kluis_io_rename(tmp, path) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot rename '%s' to '%s'", tmp, path); }
    kluis_durable_step(step);
    return kluis_fsync_dir(dir, err);
}

kluis_status kluis_write_file(const char *path, const void *p, size_t n, unsigned mode, struct kluis_err *err)
{
    char tmp[KLUIS_PATH_MAX];
    uint8_t salt[6];
    char hex[13];
    kluis_random(salt, sizeof salt);
    kluis_hex(salt, sizeof salt, hex);
    int len = snprintf(tmp, sizeof tmp, "%s.tmp-%s", path, hex);
    if (len < 0 || (size_t)len >= sizeof tmp) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "path too long: '%s'", path); }
    int fd = kluis_io_open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
    if (fd < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot create '%s'", tmp); }
    kluis_status rc = kluis_write_all(fd, p, n, tmp, err);
    if (rc == KLUIS_OK) {
        rc = kluis_close_durable(&fd, tmp, err);
    } else {
        kluis_close_quiet(&fd);
    }
    if (rc == KLUIS_OK) { rc = kluis_publish_file(tmp, path, "file.renamed", err); }
    if (rc != KLUIS_OK) {
        (void)unlink(tmp); /* worthless either way; after a failed directory sync it is already renamed */
        return rc;
    }
    kluis_durable_step("file");
    return KLUIS_OK;
}

kluis_status kluis_path(char *out, size_t cap, const char *dir, const char *name, struct kluis_err *err)
{
    int n = snprintf(out, cap, "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= cap) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "path too long: '%s/%s'", dir, name); }
    return KLUIS_OK;
}

static ssize_t read_fd(void *ctx, void *p, size_t n, struct kluis_err *err)
{
    struct kluis_input_fd *s = ctx;
    ssize_t r = kluis_io_pread(s->fd, p, n, s->at);
    if (r < 0) {
        (void)KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot read '%s'", s->what);
        return -1;
    }
    s->at += (uint64_t)r;
    return r;
}

struct kluis_input kluis_input_from_fd(struct kluis_input_fd *state) { return (struct kluis_input){ state, read_fd }; }

static ssize_t read_mem(void *ctx, void *p, size_t n, KLUIS_UNUSED struct kluis_err *err)
{
    struct kluis_input_mem *s = ctx;
    size_t left = s->data.len - s->at;
    if (n > left) { n = left; }
    if (n > 0) { memcpy(p, s->data.ptr + s->at, n); }
    s->at += n;
    return (ssize_t)n;
}

struct kluis_input kluis_input_from_mem(struct kluis_input_mem *state) { return (struct kluis_input){ state, read_mem }; }
