/* server/backup/files.c - see files.h. */
#include "server/backup/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 1 << 20 };

static kluis_status stream(int from, int to, const char *what, const char *target, uint8_t sha256[32], uint64_t *size, struct kluis_err *err)
{
    KLUIS_AUTO(kluis_sha256) h = kluis_sha256_new();
    uint8_t *block = kluis_malloc(BLOCK);
    kluis_status rc = h == NULL || block == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot read '%s': out of memory", what) : KLUIS_OK;
    ssize_t n = 0;
    *size = 0;
    while (rc == KLUIS_OK && (n = kluis_io_read(from, block, BLOCK)) > 0) {
        kluis_sha256_add(h, block, (size_t)n);
        *size += (uint64_t)n;
        if (to >= 0) { rc = kluis_write_all(to, block, (size_t)n, target, err); }
    }
    if (rc == KLUIS_OK && n < 0) { rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot read '%s'", what); }
    if (rc == KLUIS_OK) { kluis_sha256_end(h, sha256); }
    kluis_free(block);
    return rc;
}

static kluis_status open_plain(const char *path, int *fd, struct kluis_err *err)
{
    struct stat st;
    *fd = kluis_io_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (*fd < 0) { return KLUIS_FAIL_SYS(err, errno == ENOENT ? KLUIS_E_NOTFOUND : KLUIS_E_IO, "cannot open '%s'", path); }
    kluis_status rc = fstat(*fd, &st) != 0  ? KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot look at '%s'", path)
                      : S_ISREG(st.st_mode) ? KLUIS_OK
                                            : KLUIS_FAIL(err, KLUIS_E_REJECT, "'%s' is no regular file", path);
    if (rc != KLUIS_OK) { kluis_close_quiet(fd); }
    return rc;
}

kluis_status file_digest(const char *path, uint8_t sha256[32], uint64_t *size, struct kluis_err *err)
{
    int fd = -1;
    KLUIS_TRY(open_plain(path, &fd, err));
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); /* a kernel that keeps it all the same compares its own memory */
    kluis_status rc = stream(fd, -1, path, "", sha256, size, err);
    kluis_close_quiet(&fd);
    return rc;
}

kluis_status file_copy(const char *from, const char *to, const uint8_t *want, uint8_t sha256[32], uint64_t *size, struct kluis_err *err)
{
    char part[KLUIS_PATH_MAX];
    uint8_t there[32];
    uint64_t there_size = 0;
    int in = -1;
    int n = snprintf(part, sizeof part, "%s.part", to);
    if (n < 0 || (size_t)n >= sizeof part) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "path too long: '%s'", to); }
    KLUIS_TRY(open_plain(from, &in, err));
    int out = kluis_io_open(part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
    kluis_status rc = out < 0 ? KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot create '%s'", part) : KLUIS_OK;
    if (rc == KLUIS_OK) { rc = stream(in, out, from, part, sha256, size, err); }
    kluis_close_quiet(&in);
    if (rc == KLUIS_OK) {
        rc = kluis_close_durable(&out, part, err);
    } else {
        kluis_close_quiet(&out);
    }
    if (rc == KLUIS_OK && want != NULL && memcmp(want, sha256, 32) != 0) {
        rc = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "'%s' holds other bytes than were noted of it: run check", from);
    }
    if (rc == KLUIS_OK) { rc = file_digest(part, there, &there_size, err); }
    if (rc == KLUIS_OK && (there_size != *size || memcmp(there, sha256, 32) != 0)) {
        rc = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "'%s' does not read back as it was written: this medium cannot be trusted", part);
    }
    if (rc == KLUIS_OK && kluis_io_rename(part, to) != 0) { rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot rename '%s' to '%s'", part, to); }
    if (rc == KLUIS_OK) {
        kluis_durable_step("backup.file");
    } else if (kluis_io_unlink(part) != 0) { /* what stays behind is written over by the next attempt */
    }
    return rc;
}

kluis_status folder_each(const char *dir, void *ctx, kluis_status (*each)(void *, const char *, struct kluis_err *), struct kluis_err *err)
{
    DIR *d = opendir(dir);
    if (d == NULL) { return KLUIS_FAIL_SYS(err, errno == ENOENT ? KLUIS_E_NOTFOUND : KLUIS_E_IO, "cannot read '%s'", dir); }
    kluis_status rc = KLUIS_OK;
    for (const char *name; kluis_dir_next(d, dir, &name, &rc, err);) { rc = each(ctx, name, err); }
    (void)closedir(d);
    return rc;
}

struct removing {
    const char *dir;
    bool deeper;
};

static kluis_status remove_one(void *ctx, const char *name, struct kluis_err *err);

static kluis_status remove_level(const char *dir, bool deeper, struct kluis_err *err)
{
    struct removing r = { dir, deeper };
    struct kluis_err why = { 0 };
    kluis_status rc = folder_each(dir, &r, remove_one, &why);
    if (rc == KLUIS_E_NOTFOUND) { return KLUIS_OK; }
    if (rc != KLUIS_OK) { return KLUIS_FAIL(err, rc, "%s", why.msg); }
    return rmdir(dir) == 0 ? KLUIS_OK : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot remove '%s'", dir);
}

static kluis_status remove_one(void *ctx, const char *name, struct kluis_err *err)
{
    const struct removing *r = ctx;
    char path[KLUIS_PATH_MAX];
    struct stat st;
    KLUIS_TRY(kluis_path(path, sizeof path, r->dir, name, err));
    if (lstat(path, &st) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot look at '%s'", path); }
    if (S_ISDIR(st.st_mode) && r->deeper) { return remove_level(path, false, err); }
    return kluis_io_unlink(path) == 0 ? KLUIS_OK : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot remove '%s'", path);
}

kluis_status folder_remove(const char *dir, struct kluis_err *err) { return remove_level(dir, true, err); }
