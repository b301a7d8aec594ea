/* server/storage/files.c - the file backend: incoming/<upload id>.part, then ab/<package id>.ckc. */
#include "server/storage/storage_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

struct files {
    struct storage head;
    char dir[KLUIS_PATH_MAX], incoming[KLUIS_PATH_MAX];
    pthread_mutex_t lock; /* over unsettled */
    bool unsettled[256];  /* a name was put into ab/ since it was last synced */
};
struct file_writer {
    struct storage_writer head;
    struct files *store;
    int fd;
    char path[KLUIS_PATH_MAX];
    struct kluis_sha256 *hash;
    uint8_t digest[32];
    uint64_t size;
    bool ended, synced;
};

static kluis_status place(const struct files *f, const uint8_t package[32], char dir[KLUIS_PATH_MAX], char path[KLUIS_PATH_MAX],
                          struct kluis_err *err)
{
    char hex[65], name[80];
    kluis_hex(package, 32, hex);
    (void)snprintf(name, sizeof name, "%.2s", hex);
    KLUIS_TRY(kluis_path(dir, KLUIS_PATH_MAX, f->dir, name, err));
    (void)snprintf(name, sizeof name, "%s.ckc", hex);
    return kluis_path(path, KLUIS_PATH_MAX, dir, name, err);
}

static void files_free(struct storage *s)
{
    struct files *f = (struct files *)(void *)s;
    pthread_mutex_destroy(&f->lock);
    kluis_free(f);
}

static void files_abandon(struct storage_writer *sw)
{
    struct file_writer *w = (struct file_writer *)(void *)sw;
    kluis_close_quiet(&w->fd);
    if (w->path[0] != 0 && kluis_io_unlink(w->path) != 0) { /* what stays behind is removed at the next start */
    }
    kluis_sha256_free(w->hash);
    kluis_free(w);
}

static kluis_status files_begin(struct storage *s, const uint8_t upload[16], struct storage_writer **out, struct kluis_err *err)
{
    struct files *f = (struct files *)(void *)s;
    struct file_writer *w = kluis_calloc(1, sizeof *w);
    if (w == NULL || (w->hash = kluis_sha256_new()) == NULL) {
        kluis_free(w);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot take in a package: out of memory");
    }
    w->head.backend = s->backend;
    w->store = f;
    char hex[33], name[48];
    kluis_hex(upload, 16, hex);
    (void)snprintf(name, sizeof name, "%s.part", hex);
    kluis_status rc = kluis_path(w->path, sizeof w->path, f->incoming, name, err);
    w->fd = -1;
    if (rc == KLUIS_OK && (w->fd = kluis_io_open(w->path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600)) < 0) {
        rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot create '%s'", w->path);
    }
    if (rc != KLUIS_OK) {
        kluis_sha256_free(w->hash);
        kluis_free(w);
        return rc;
    }
    *out = &w->head;
    return KLUIS_OK;
}

static kluis_status files_write(struct storage_writer *sw, const void *p, size_t n, struct kluis_err *err)
{
    struct file_writer *w = (struct file_writer *)(void *)sw;
    KLUIS_TRY(kluis_write_all(w->fd, p, n, w->path, err));
    kluis_sha256_add(w->hash, p, n);
    w->size += n;
    return KLUIS_OK;
}

static void files_end(struct storage_writer *sw, uint8_t sha256[32], uint64_t *size)
{
    struct file_writer *w = (struct file_writer *)(void *)sw;
    kluis_sha256_end(w->hash, w->digest);
    memcpy(sha256, w->digest, 32);
    *size = w->size;
    w->ended = true;
    /* So that the disk works while the next one comes in.  Only sync tells whether it did. */
    (void)sync_file_range(w->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

static kluis_status files_sync(struct storage_writer *sw, struct kluis_err *err)
{
    struct file_writer *w = (struct file_writer *)(void *)sw;
    if (!w->ended || w->fd < 0) { return KLUIS_FAIL(err, KLUIS_E_BUG, "a package was synced twice, or before its end"); }
    KLUIS_TRY(kluis_close_durable(&w->fd, w->path, err));
    kluis_durable_step("vault.t1.storage.file");
    w->synced = true;
    return KLUIS_OK;
}

static kluis_status digest_of(const char *path, uint8_t out[32], uint64_t *size, struct kluis_err *err)
{
    int fd = kluis_io_open(path, O_RDONLY, 0);
    if (fd < 0) { return errno == ENOENT ? KLUIS_E_NOTFOUND : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot open '%s'", path); }
    KLUIS_AUTO(kluis_sha256) h = kluis_sha256_new();
    uint8_t block[65536];
    ssize_t n = 0;
    kluis_status rc = h == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot read '%s': out of memory", path) : KLUIS_OK;
    *size = 0;
    while (rc == KLUIS_OK && (n = kluis_io_read(fd, block, sizeof block)) > 0) {
        kluis_sha256_add(h, block, (size_t)n);
        *size += (uint64_t)n;
    }
    if (rc == KLUIS_OK && n < 0) { rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot read '%s'", path); }
    if (rc == KLUIS_OK) { kluis_sha256_end(h, out); }
    kluis_close_quiet(&fd);
    return rc;
}

static kluis_status files_publish(struct storage_writer *sw, const uint8_t package[32], struct kluis_err *err)
{
    struct file_writer *w = (struct file_writer *)(void *)sw;
    struct files *f = w->store;
    char dir[KLUIS_PATH_MAX], path[KLUIS_PATH_MAX];
    kluis_status rc = w->synced ? place(f, package, dir, path, err) : KLUIS_FAIL(err, KLUIS_E_BUG, "a package was published before it was synced");
    if (rc == KLUIS_OK) {
        uint8_t there[32];
        uint64_t size = 0;
        rc = digest_of(path, there, &size, err);
        bool same = rc == KLUIS_OK && size == w->size && memcmp(there, w->digest, 32) == 0;
        if (rc == KLUIS_OK && !same) {
            rc = KLUIS_FAIL(err, KLUIS_E_EXISTS, "'%s' is stored already, with other bytes", path);
        } else if (rc == KLUIS_E_NOTFOUND) {
            rc = kluis_io_rename(w->path, path) == 0 ? KLUIS_OK : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot rename '%s' to '%s'", w->path, path);
            if (rc == KLUIS_OK) {
                w->path[0] = 0;
                kluis_durable_step("vault.t1.storage.renamed");
            }
        }
    }
    if (rc == KLUIS_OK) { /* also for the same bytes: an interrupted run may have named them without syncing the name */
        pthread_mutex_lock(&f->lock);
        f->unsettled[package[0]] = true;
        pthread_mutex_unlock(&f->lock);
    }
    files_abandon(sw);
    return rc;
}

static kluis_status files_settle(struct storage *s, struct kluis_err *err)
{
    struct files *f = (struct files *)(void *)s;
    for (unsigned i = 0; i < 256; i++) {
        char name[3], dir[KLUIS_PATH_MAX];
        pthread_mutex_lock(&f->lock);
        bool any = f->unsettled[i];
        f->unsettled[i] = false;
        pthread_mutex_unlock(&f->lock);
        if (!any) { continue; }
        (void)snprintf(name, sizeof name, "%02x", i);
        kluis_status rc = kluis_path(dir, sizeof dir, f->dir, name, err);
        if (rc == KLUIS_OK) { rc = kluis_fsync_dir(dir, err); }
        if (rc != KLUIS_OK) {
            pthread_mutex_lock(&f->lock);
            f->unsettled[i] = true;
            pthread_mutex_unlock(&f->lock);
            return rc;
        }
        kluis_durable_step("vault.t1.storage.directory");
    }
    return KLUIS_OK;
}

static kluis_status files_fetch(struct storage *s, const uint8_t package[32], int *fd, uint64_t *size, struct kluis_err *err)
{
    struct files *f = (struct files *)(void *)s;
    char dir[KLUIS_PATH_MAX], path[KLUIS_PATH_MAX];
    struct stat st;
    KLUIS_TRY(place(f, package, dir, path, err));
    *fd = kluis_io_open(path, O_RDONLY | O_NOFOLLOW, 0);
    if (*fd < 0) {
        return errno == ENOENT ? KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "'%s' is missing from the store", path)
                               : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot open '%s'", path);
    }
    kluis_status rc = fstat(*fd, &st) != 0  ? KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot look at '%s'", path)
                      : S_ISREG(st.st_mode) ? KLUIS_OK
                                            : KLUIS_FAIL(err, KLUIS_E_CORRUPT, "'%s' is no regular file", path);
    if (rc != KLUIS_OK) {
        kluis_close_quiet(fd);
        return rc;
    }
    *size = (uint64_t)st.st_size;
    return KLUIS_OK;
}

static const struct storage_backend backend = { .free = files_free,
                                                .begin = files_begin,
                                                .write = files_write,
                                                .end = files_end,
                                                .sync = files_sync,
                                                .publish = files_publish,
                                                .settle = files_settle,
                                                .abandon = files_abandon,
                                                .fetch = files_fetch };

static kluis_status sweep(const char *dir, struct kluis_err *err)
{
    DIR *d = opendir(dir);
    if (d == NULL) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot read '%s'", dir); }
    kluis_status rc = KLUIS_OK;
    for (const char *name; kluis_dir_next(d, dir, &name, &rc, err);) {
        char path[KLUIS_PATH_MAX];
        size_t n = strlen(name);
        if (n > 5 && strcmp(name + n - 5, ".part") == 0 && (rc = kluis_path(path, sizeof path, dir, name, err)) == KLUIS_OK &&
            kluis_io_unlink(path) != 0) {
            rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot remove '%s'", path);
        }
    }
    (void)closedir(d);
    return rc;
}

/* All of ab/ at once: one sync of the directory above them instead of one for each that is used first. */
static kluis_status make_shelves(const struct files *f, struct kluis_err *err)
{
    bool any = false;
    for (unsigned i = 0; i < 256; i++) {
        char name[3], path[KLUIS_PATH_MAX];
        (void)snprintf(name, sizeof name, "%02x", i);
        KLUIS_TRY(kluis_path(path, sizeof path, f->dir, name, err));
        if (kluis_io_mkdir(path, 0700) == 0) {
            any = true;
        } else if (errno != EEXIST) {
            return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot create directory '%s'", path);
        }
    }
    return any ? kluis_fsync_dir(f->dir, err) : KLUIS_OK;
}

kluis_status storage_open_files(struct storage **out, const char *vault_dir, struct kluis_err *err)
{
    *out = NULL;
    struct files *f = kluis_calloc(1, sizeof *f);
    if (f == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot open the store: out of memory"); }
    f->head.backend = &backend;
    pthread_mutex_init(&f->lock, NULL);
    kluis_status rc = kluis_path(f->dir, sizeof f->dir, vault_dir, "storage", err);
    if (rc == KLUIS_OK && (rc = kluis_path(f->incoming, sizeof f->incoming, f->dir, "incoming", err)) == KLUIS_OK &&
        (rc = kluis_make_dir(f->dir, err)) == KLUIS_OK && (rc = kluis_make_dir(f->incoming, err)) == KLUIS_OK) {
        rc = sweep(f->incoming, err);
    }
    if (rc == KLUIS_OK) { rc = make_shelves(f, err); }
    if (rc != KLUIS_OK) {
        files_free(&f->head);
        return rc;
    }
    *out = &f->head;
    return KLUIS_OK;
}
