/* lib/db/scratch_vfs.c - SQLite over scratch files.  See kluis/scratch.h.
 *
 * One VFS for each connection: its database, log and journal are scratch files handed over, everything else it opens is a new one.  Nothing
 * else can open them, so locks are nothing; the log's index is in memory, which locking_mode=EXCLUSIVE asks for.
 */
#include "kluis/scratch.h"
#include "lib/db/ready.h"

#include <pthread.h>
#include <sqlite3.h>
#include <time.h>

enum { DB, LOG, JOURNAL, PARTS };

struct mount {
    sqlite3_vfs base;
    sqlite3_vfs *real;
    struct kluis_scratch *part[PARTS];
    char name[40];
};
struct file {
    sqlite3_file base;
    struct kluis_scratch *s;
    bool own; /* nobody else's: dies when it is closed */
};
static struct file *of(sqlite3_file *f) { return (struct file *)(void *)f; }

static int x_close(sqlite3_file *f)
{
    if (of(f)->own) { kluis_scratch_free(of(f)->s); }
    of(f)->s = NULL;
    return SQLITE_OK;
}

static int x_read(sqlite3_file *f, void *out, int n, sqlite3_int64 at)
{
    size_t got;
    kluis_status rc = kluis_scratch_read(of(f)->s, out, (size_t)n, (uint64_t)at, &got, NULL);
    if (rc == KLUIS_E_CORRUPT) { return SQLITE_CORRUPT; }
    if (rc != KLUIS_OK) { return SQLITE_IOERR_READ; }
    if (got == (size_t)n) { return SQLITE_OK; }
    memset((uint8_t *)out + got, 0, (size_t)n - got);
    return SQLITE_IOERR_SHORT_READ;
}

static int x_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    return kluis_scratch_write(of(f)->s, p, (size_t)n, (uint64_t)at, NULL) == KLUIS_OK ? SQLITE_OK : SQLITE_FULL;
}
static int x_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    return kluis_scratch_truncate(of(f)->s, (uint64_t)size, NULL) == KLUIS_OK ? SQLITE_OK : SQLITE_IOERR_TRUNCATE;
}
static int x_sync(KLUIS_UNUSED sqlite3_file *f, KLUIS_UNUSED int flags) { return SQLITE_OK; } /* nothing here outlives the process */
static int x_size(sqlite3_file *f, sqlite3_int64 *size)
{
    *size = (sqlite3_int64)kluis_scratch_size(of(f)->s);
    return SQLITE_OK;
}
static int x_lock(KLUIS_UNUSED sqlite3_file *f, KLUIS_UNUSED int level) { return SQLITE_OK; }
static int x_reserved(KLUIS_UNUSED sqlite3_file *f, int *out)
{
    *out = 0;
    return SQLITE_OK;
}
static int x_control(KLUIS_UNUSED sqlite3_file *f, KLUIS_UNUSED int op, KLUIS_UNUSED void *arg) { return SQLITE_NOTFOUND; }
static int x_sector(KLUIS_UNUSED sqlite3_file *f) { return 4096; }
static int x_device(KLUIS_UNUSED sqlite3_file *f) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

static const sqlite3_io_methods METHODS = {
    .iVersion = 1,
    .xClose = x_close,
    .xRead = x_read,
    .xWrite = x_write,
    .xTruncate = x_truncate,
    .xSync = x_sync,
    .xFileSize = x_size,
    .xLock = x_lock,
    .xUnlock = x_lock,
    .xCheckReservedLock = x_reserved,
    .xFileControl = x_control,
    .xSectorSize = x_sector,
    .xDeviceCharacteristics = x_device,
};

static int x_open(sqlite3_vfs *vfs, KLUIS_UNUSED const char *path, sqlite3_file *f, int flags, int *out_flags)
{
    struct mount *m = vfs->pAppData;
    int part = (flags & SQLITE_OPEN_MAIN_DB) != 0        ? DB
               : (flags & SQLITE_OPEN_WAL) != 0          ? LOG
               : (flags & SQLITE_OPEN_MAIN_JOURNAL) != 0 ? JOURNAL
                                                         : PARTS;
    *of(f) = (struct file){ .own = part == PARTS };
    if (part < PARTS) { of(f)->s = m->part[part]; }
    if (of(f)->s == NULL) {
        if ((flags & SQLITE_OPEN_CREATE) == 0 || kluis_scratch_new(&of(f)->s, NULL) != KLUIS_OK) { return SQLITE_CANTOPEN; }
        if (part < PARTS) { m->part[part] = of(f)->s; }
    }
    if (out_flags != NULL) { *out_flags = flags; }
    f->pMethods = &METHODS;
    return SQLITE_OK;
}

static int part_of(const char *path)
{
    size_t n = path == NULL ? 0 : strlen(path);
    if (n > 4 && strcmp(path + n - 4, "-wal") == 0) { return LOG; }
    if (n > 8 && strcmp(path + n - 8, "-journal") == 0) { return JOURNAL; }
    return n == 2 && strcmp(path, "db") == 0 ? DB : PARTS;
}
/* A log or journal is deleted only after it was closed. */
static int x_delete(sqlite3_vfs *vfs, const char *path, KLUIS_UNUSED int sync)
{
    struct mount *m = vfs->pAppData;
    int part = part_of(path);
    if (part != LOG && part != JOURNAL) { return SQLITE_OK; }
    kluis_scratch_free(m->part[part]);
    m->part[part] = NULL;
    return SQLITE_OK;
}
static int x_access(sqlite3_vfs *vfs, const char *path, KLUIS_UNUSED int flags, int *out)
{
    const struct mount *m = vfs->pAppData;
    int part = part_of(path);
    *out = part < PARTS && m->part[part] != NULL;
    return SQLITE_OK;
}
static int x_full(KLUIS_UNUSED sqlite3_vfs *v, const char *path, int n, char *out)
{
    (void)snprintf(out, (size_t)n, "%s", path);
    return SQLITE_OK;
}
static sqlite3_vfs *real_of(sqlite3_vfs *vfs) { return ((struct mount *)vfs->pAppData)->real; }
static int x_random(sqlite3_vfs *v, int n, char *out) { return real_of(v)->xRandomness(real_of(v), n, out); }
static int x_sleep(sqlite3_vfs *v, int us) { return real_of(v)->xSleep(real_of(v), us); }
static int x_time(sqlite3_vfs *v, double *out) { return real_of(v)->xCurrentTime(real_of(v), out); }
static int x_error(KLUIS_UNUSED sqlite3_vfs *v, KLUIS_UNUSED int n, KLUIS_UNUSED char *out) { return 0; }

static void unmount(struct mount *m)
{
    if (m == NULL) { return; }
    (void)sqlite3_vfs_unregister(&m->base);
    for (int i = 0; i < PARTS; i++) { kluis_scratch_free(m->part[i]); }
    kluis_free(m);
}

static struct mount *mount(struct kluis_scratch *file, struct kluis_scratch *log, struct kluis_scratch *journal)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static unsigned number;
    struct mount *m = kluis_calloc(1, sizeof *m);
    db_ready();
    sqlite3_vfs *real = sqlite3_vfs_find("unix");
    if (m == NULL || real == NULL) { goto fail; }
    (void)pthread_mutex_lock(&lock);
    (void)snprintf(m->name, sizeof m->name, "kluis-scratch-%u", number++);
    (void)pthread_mutex_unlock(&lock);
    m->real = real;
    m->base = (sqlite3_vfs){ .iVersion = 1,
                             .szOsFile = (int)sizeof(struct file),
                             .mxPathname = 64,
                             .zName = m->name,
                             .pAppData = m,
                             .xOpen = x_open,
                             .xDelete = x_delete,
                             .xAccess = x_access,
                             .xFullPathname = x_full,
                             .xRandomness = x_random,
                             .xSleep = x_sleep,
                             .xCurrentTime = x_time,
                             .xGetLastError = x_error };
    if (sqlite3_vfs_register(&m->base, 0) != SQLITE_OK) { goto fail; }
    m->part[DB] = file;
    m->part[LOG] = log;
    m->part[JOURNAL] = journal;
    return m;
fail:
    kluis_free(m);
    return NULL;
}

/* cell_size_check: a damaged page is found when it is read, not when it is followed. */
static const char setup[] = "PRAGMA locking_mode=EXCLUSIVE; PRAGMA temp_store=FILE; PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;"
                            "PRAGMA cache_size=-8000; PRAGMA synchronous=OFF; PRAGMA query_only=ON; SELECT count(*) FROM sqlite_schema;";

/* A file that is shorter than its first page says, because it was cut, is no database to SQLite, and a definition that does not read ends
 * everything: unless the schema may be written.  Then they cost what they hit.  Nothing is written all the same (query_only).  rc: what it was,
 * which it stays where this does not help. */
static int around_damage(sqlite3 *raw, int rc)
{
    bool may = sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 0, (int *)NULL) == SQLITE_OK &&
               sqlite3_db_config(raw, SQLITE_DBCONFIG_WRITABLE_SCHEMA, 1, (int *)NULL) == SQLITE_OK;
    int again = may ? sqlite3_exec(raw, setup, NULL, NULL, NULL) : rc; /* all of it: the first statement may have been the one that failed */
    return again == SQLITE_OK || again == SQLITE_NOMEM ? again : rc;
}

kluis_status kluis_scratch_sqlite(struct kluis_db **out, struct kluis_scratch *file, struct kluis_scratch *log, struct kluis_scratch *journal,
                                  struct kluis_err *err)
{
    *out = NULL;
    struct mount *m = mount(file, log, journal);
    if (m == NULL) {
        kluis_scratch_free(file);
        kluis_scratch_free(log);
        kluis_scratch_free(journal);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again");
    }
    sqlite3 *raw = NULL;
    int rc = sqlite3_open_v2("db", &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, m->name);
    if (rc == SQLITE_OK) { rc = sqlite3_db_config(raw, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL); }
    if (rc == SQLITE_OK) { rc = sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL); }
    if (rc == SQLITE_OK) { rc = sqlite3_db_config(raw, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, (int *)NULL); }
    if (rc == SQLITE_OK) {
        rc = sqlite3_exec(raw, setup, NULL, NULL, NULL);
        if ((rc & 0xff) == SQLITE_CORRUPT || rc == SQLITE_ERROR) { rc = around_damage(raw, rc); }
    }
    if (rc == SQLITE_OK && kluis_db_adopt(out, raw, err) == KLUIS_OK) { return KLUIS_OK; }
    if (rc != SQLITE_OK) { (void)sqlite3_close_v2(raw); }
    unmount(m);
    if (rc == SQLITE_OK) { return KLUIS_E_NOMEM; }
    if (rc == SQLITE_ERROR) { rc = SQLITE_CORRUPT; } /* a schema that does not parse */
    return kluis_fail_at(err, KLUIS_WHERE, kluis_db_status(rc), 0, "%s (%s)",
                         kluis_db_status(rc) == KLUIS_E_CORRUPT ? "not an SQLite database, or its first pages are damaged"
                                                                : "cannot open the private copy",
                         sqlite3_errstr(rc));
}

kluis_status kluis_scratch_work(struct kluis_db **out, struct kluis_err *err)
{
    struct kluis_scratch *s = NULL;
    *out = NULL;
    KLUIS_TRY(kluis_scratch_new(&s, err));
    KLUIS_TRY(kluis_scratch_sqlite(out, s, NULL, NULL, err));
    /* No journal: whoever fails in the middle throws all of it away. */
    kluis_status rc = kluis_db_exec(*out, "PRAGMA query_only=OFF; PRAGMA journal_mode=OFF; PRAGMA cache_size=-12000", err);
    if (rc == KLUIS_OK) { return KLUIS_OK; }
    kluis_scratch_sqlite_close(*out);
    *out = NULL;
    return rc;
}

void kluis_scratch_sqlite_close(struct kluis_db *db)
{
    if (db == NULL) { return; }
    sqlite3_vfs *vfs = NULL;
    (void)sqlite3_file_control(kluis_db_handle(db), "main", SQLITE_FCNTL_VFS_POINTER, &vfs);
    kluis_db_free(db);
    if (vfs != NULL) { unmount(vfs->pAppData); }
}
