/* tests/fault/vfs.c - the test VFS: stands over SQLite's own under its name and as the default.  See fault.h.
 *
 * kluis_db opens by default, the encrypting VFS asks for "unix": both get this one, and below it the real one, whose system calls are
 * points of their own (calls.c).  What only SQLite's interface can say is a point here: that a lock, a mapping or a sync failed. */
#include "tests/fault/internal.h"

#include <errno.h>
#include <sqlite3.h>

struct file {
    sqlite3_file base;
    /* the real file follows */
};
static sqlite3_vfs *real, shim;
#define REAL(f) ((sqlite3_file *)(void *)((char *)(f) + ((sizeof(struct file) + 15) & ~(size_t)15)))

/* 0, or the result to fail with */
static int bad(const char *op, bool needs_room, int code)
{
    bool shorter;
    int e = fault_io_point(op, needs_room, false, false, &shorter);
    return e == 0 ? SQLITE_OK : e == ENOSPC ? SQLITE_FULL : code;
}
#define OR_BAD(op, room, code, call)                                                                                                                 \
    do {                                                                                                                                             \
        int rc_ = bad((op), (room), (code));                                                                                                         \
        return rc_ != SQLITE_OK ? rc_ : (call);                                                                                                      \
    } while (0)

static int x_close(sqlite3_file *f) { return REAL(f)->pMethods->xClose(REAL(f)); }
static int x_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    OR_BAD("xRead", false, SQLITE_IOERR_READ, REAL(f)->pMethods->xRead(REAL(f), p, n, at));
}
static int x_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    OR_BAD("xWrite", true, SQLITE_IOERR_WRITE, REAL(f)->pMethods->xWrite(REAL(f), p, n, at));
}
static int x_truncate(sqlite3_file *f, sqlite3_int64 n)
{
    OR_BAD("xTruncate", false, SQLITE_IOERR_TRUNCATE, REAL(f)->pMethods->xTruncate(REAL(f), n));
}
static int x_sync(sqlite3_file *f, int flags) { OR_BAD("xSync", false, SQLITE_IOERR_FSYNC, REAL(f)->pMethods->xSync(REAL(f), flags)); }
static int x_size(sqlite3_file *f, sqlite3_int64 *n) { OR_BAD("xFileSize", false, SQLITE_IOERR_FSTAT, REAL(f)->pMethods->xFileSize(REAL(f), n)); }
static int x_lock(sqlite3_file *f, int level) { OR_BAD("xLock", false, SQLITE_IOERR_LOCK, REAL(f)->pMethods->xLock(REAL(f), level)); }
static int x_unlock(sqlite3_file *f, int level) { return REAL(f)->pMethods->xUnlock(REAL(f), level); }
static int x_reserved(sqlite3_file *f, int *out) { return REAL(f)->pMethods->xCheckReservedLock(REAL(f), out); }
static int x_control(sqlite3_file *f, int op, void *arg) { return REAL(f)->pMethods->xFileControl(REAL(f), op, arg); }
static int x_sector(sqlite3_file *f) { return REAL(f)->pMethods->xSectorSize(REAL(f)); }
static int x_device(sqlite3_file *f) { return REAL(f)->pMethods->xDeviceCharacteristics(REAL(f)); }
static int x_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    OR_BAD("xShmMap", true, SQLITE_IOERR_SHMMAP, REAL(f)->pMethods->xShmMap(REAL(f), page, size, extend, out));
}
static int x_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
    if ((flags & SQLITE_SHM_UNLOCK) != 0) { return REAL(f)->pMethods->xShmLock(REAL(f), at, n, flags); }
    OR_BAD("xShmLock", false, SQLITE_IOERR_SHMLOCK, REAL(f)->pMethods->xShmLock(REAL(f), at, n, flags));
}
static void x_shm_barrier(sqlite3_file *f) { REAL(f)->pMethods->xShmBarrier(REAL(f)); }
static int x_shm_unmap(sqlite3_file *f, int del) { return REAL(f)->pMethods->xShmUnmap(REAL(f), del); }

static const sqlite3_io_methods METHODS = { 2,          x_close,       x_read,      x_write,   x_truncate, x_sync,   x_size,
                                            x_lock,     x_unlock,      x_reserved,  x_control, x_sector,   x_device, x_shm_map,
                                            x_shm_lock, x_shm_barrier, x_shm_unmap, NULL,      NULL };

static int x_open(sqlite3_vfs *v, const char *path, sqlite3_file *f, int flags, int *out_flags)
{
    (void)v;
    f->pMethods = NULL;
    int rc = bad("xOpen", (flags & SQLITE_OPEN_CREATE) != 0, SQLITE_CANTOPEN);
    if (rc != SQLITE_OK) { return rc == SQLITE_FULL ? SQLITE_CANTOPEN : rc; }
    memset(REAL(f), 0, (size_t)real->szOsFile);
    rc = real->xOpen(real, path, REAL(f), flags, out_flags);
    if (rc == SQLITE_OK) {
        f->pMethods = &METHODS;
    } else if (REAL(f)->pMethods != NULL) {
        (void)REAL(f)->pMethods->xClose(REAL(f));
    }
    return rc;
}
static int x_delete(sqlite3_vfs *v, const char *path, int sync)
{
    (void)v;
    OR_BAD("xDelete", false, SQLITE_IOERR_DELETE, real->xDelete(real, path, sync));
}
static int x_access(sqlite3_vfs *v, const char *path, int flags, int *out)
{
    (void)v;
    OR_BAD("xAccess", false, SQLITE_IOERR_ACCESS, real->xAccess(real, path, flags, out));
}

void vfs_over_sqlite(void)
{
    if (real != NULL) { return; }
    real = sqlite3_vfs_find(NULL);
    if (real == NULL) { abort(); }
    shim = *real; /* names, randomness, sleep and time are the real one's */
    shim.iVersion = 2;
    shim.pNext = NULL;
    shim.szOsFile = (int)((sizeof(struct file) + 15) & ~(size_t)15) + real->szOsFile;
    shim.xOpen = x_open;
    shim.xDelete = x_delete;
    shim.xAccess = x_access;
    if (sqlite3_vfs_register(&shim, 1) != SQLITE_OK) { abort(); }
}
