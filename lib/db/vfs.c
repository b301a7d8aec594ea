/* lib/db/vfs.c - an SQLite VFS over the system's own whose files hold ciphertext only.  See kluis/vfs.h.
 *
 * Database page (4,096 bytes, of which SQLite leaves the last 32 alone): AES-256-GCM of the first 4,064, then nonce[12], tag[16],
 * zero[4].  Associated data: 'd' and the page number; the key is the file's own, so a page of another file or place does not open.
 * Write-ahead log: the page in a frame likewise, with 'w' and its offset.  The log's header and the frames' headers hold checksums of the
 * plaintext, by which a guess at a page could be tested, so they are encrypted too: AES-256-XTS with the offset as tweak, since they
 * have no room for a tag and are rewritten in place (a stream cipher would repeat itself).  That a header was not altered follows from what SQLite
 * checks: salts and a running checksum over every frame before.
 * A frame that recovery reads and that does not open reads as zeros: the end of the log, which is what a torn write is.
 * -shm: the system's; page numbers, and one running checksum over the whole log, which tells nothing without the rest.
 * No other file is opened: journals and temporaries would be plaintext; every connection keeps them in memory.
 * Nonces are random: a key is good for 2^32 page writes (16 TiB), far beyond the life of a file.
 */
#include "kluis/vfs.h"
#include "lib/db/ready.h"

#include <gcrypt.h>
#include <pthread.h>
#include <sqlite3.h>

enum { BODY = KLUIS_VFS_PAGE - KLUIS_VFS_RESERVE, NONCE = 12, TAG = 16, WAL_HEAD = 32, FRAME_HEAD = 24, FRAME = FRAME_HEAD + KLUIS_VFS_PAGE };

struct kluis_vfs {
    sqlite3_vfs base;
    sqlite3_vfs *real;
    struct kluis_vfs_keys keys;
    char name[40];
};
struct file {
    sqlite3_file base;
    gcry_cipher_hd_t gcm, xts;
    const char *step;
    bool wal;
    uint8_t page[KLUIS_VFS_PAGE], plain[KLUIS_VFS_PAGE];
    /* the real file follows */
};

#define REAL(f) ((sqlite3_file *)(void *)((char *)(f) + ((sizeof(struct file) + 15) & ~(size_t)15)))
static struct file *of(sqlite3_file *f) { return (struct file *)(void *)f; }

static void aad_of(const struct file *f, uint64_t place, uint8_t aad[9])
{
    aad[0] = f->wal ? 'w' : 'd';
    for (int i = 0; i < 8; i++) { aad[1 + i] = (uint8_t)(place >> (56 - 8 * i)); }
}

/* f->page -> f->plain */
static bool open_page(struct file *f, uint64_t place)
{
    uint8_t aad[9];
    aad_of(f, place, aad);
    gcry_error_t e = gcry_cipher_setiv(f->gcm, f->page + BODY, NONCE);
    if (e == 0) { e = gcry_cipher_authenticate(f->gcm, aad, sizeof aad); }
    if (e == 0) { e = gcry_cipher_decrypt(f->gcm, f->plain, BODY, f->page, BODY); }
    if (e == 0) { e = gcry_cipher_checktag(f->gcm, f->page + BODY + NONCE, TAG); }
    memset(f->plain + BODY, 0, KLUIS_VFS_RESERVE);
    if (e != 0) { memset(f->plain, 0, BODY); }
    return e == 0;
}

/* plain -> f->page.  SQLite's reserved bytes must be zero: that is how they come back. */
static bool seal_page(struct file *f, uint64_t place, const uint8_t *plain)
{
    static const uint8_t zero[KLUIS_VFS_RESERVE];
    uint8_t aad[9];
    if (memcmp(plain + BODY, zero, KLUIS_VFS_RESERVE) != 0) { return false; }
    aad_of(f, place, aad);
    memset(f->page + BODY, 0, KLUIS_VFS_RESERVE);
    kluis_random(f->page + BODY, NONCE);
    gcry_error_t e = gcry_cipher_setiv(f->gcm, f->page + BODY, NONCE);
    if (e == 0) { e = gcry_cipher_authenticate(f->gcm, aad, sizeof aad); }
    if (e == 0) { e = gcry_cipher_encrypt(f->gcm, f->page, BODY, plain, BODY); }
    if (e == 0) { e = gcry_cipher_gettag(f->gcm, f->page + BODY + NONCE, TAG); }
    return e == 0;
}

static bool crypt_head(struct file *f, uint64_t offset, uint8_t *out, const uint8_t *in, size_t n, bool seal)
{
    uint8_t tweak[16] = { 0 };
    for (int i = 0; i < 8; i++) { tweak[i] = (uint8_t)(offset >> (8 * i)); }
    gcry_error_t e = gcry_cipher_setiv(f->xts, tweak, sizeof tweak);
    if (e == 0) { e = seal ? gcry_cipher_encrypt(f->xts, out, n, in, n) : gcry_cipher_decrypt(f->xts, out, n, in, n); }
    return e == 0;
}

/* The piece of the file that `at` lies in: a database page, the log's header, a frame's header or page. */
struct piece {
    uint64_t start;
    size_t len;
    bool head;
};
static struct piece piece_at(const struct file *f, uint64_t at)
{
    if (!f->wal) { return (struct piece){ at - at % KLUIS_VFS_PAGE, KLUIS_VFS_PAGE, false }; }
    if (at < WAL_HEAD) { return (struct piece){ 0, WAL_HEAD, true }; }
    uint64_t frame = at - (at - WAL_HEAD) % FRAME;
    return at - frame < FRAME_HEAD ? (struct piece){ frame, FRAME_HEAD, true } : (struct piece){ frame + FRAME_HEAD, KLUIS_VFS_PAGE, false };
}

static uint64_t place_of(const struct file *f, const struct piece *p) { return f->wal ? p->start : p->start / KLUIS_VFS_PAGE + 1; }

static int x_read(sqlite3_file *file, void *out, int amount, sqlite3_int64 offset)
{
    struct file *f = of(file);
    uint8_t *o = out;
    uint64_t at = (uint64_t)offset, end = at + (uint64_t)amount;
    bool recovery = f->wal && amount == FRAME;
    while (at < end) {
        struct piece p = piece_at(f, at);
        int rc = REAL(f)->pMethods->xRead(REAL(f), f->page, (int)p.len, (sqlite3_int64)p.start);
        if (rc == SQLITE_IOERR_SHORT_READ) {
            memset(o, 0, end - at);
            return rc;
        }
        if (rc != SQLITE_OK) { return rc; }
        if (p.head) {
            if (!crypt_head(f, p.start, f->plain, f->page, p.len, false)) { return SQLITE_IOERR_READ; }
        } else if (!open_page(f, place_of(f, &p))) {
            if (!recovery) { return SQLITE_CORRUPT; }
            memset(out, 0, (size_t)amount);
            return SQLITE_OK;
        }
        size_t skip = (size_t)(at - p.start), n = p.len - skip;
        if (n > end - at) { n = (size_t)(end - at); }
        memcpy(o, f->plain + skip, n);
        o += n;
        at += n;
    }
    return SQLITE_OK;
}

static int x_write(sqlite3_file *file, const void *in, int amount, sqlite3_int64 offset)
{
    struct file *f = of(file);
    const uint8_t *i = in;
    uint64_t at = (uint64_t)offset, end = at + (uint64_t)amount;
    while (at < end) {
        struct piece p = piece_at(f, at);
        /* Whole pieces only: SQLite writes no others with this page size and synchronous below FULL or a safe overwrite. */
        if (p.start != at || p.len > end - at) { return SQLITE_IOERR_WRITE; }
        bool ok = p.head ? crypt_head(f, p.start, f->page, i, p.len, true) : seal_page(f, place_of(f, &p), i);
        if (!ok) { return SQLITE_IOERR_WRITE; }
        int rc = REAL(f)->pMethods->xWrite(REAL(f), f->page, (int)p.len, (sqlite3_int64)at);
        if (rc != SQLITE_OK) { return rc; }
        i += p.len;
        at += p.len;
    }
    return SQLITE_OK;
}

static int x_close(sqlite3_file *file)
{
    struct file *f = of(file);
    int rc = REAL(f)->pMethods->xClose(REAL(f));
    gcry_cipher_close(f->gcm);
    gcry_cipher_close(f->xts);
    kluis_wipe(f->plain, sizeof f->plain);
    return rc;
}

static int x_truncate(sqlite3_file *f, sqlite3_int64 size) { return REAL(f)->pMethods->xTruncate(REAL(f), size); }
static int x_sync(sqlite3_file *f, int flags)
{
    int rc = REAL(f)->pMethods->xSync(REAL(f), flags);
    if (rc == SQLITE_OK) { kluis_durable_step(of(f)->step); }
    return rc;
}
static int x_size(sqlite3_file *f, sqlite3_int64 *size) { return REAL(f)->pMethods->xFileSize(REAL(f), size); }
static int x_lock(sqlite3_file *f, int level) { return REAL(f)->pMethods->xLock(REAL(f), level); }
static int x_unlock(sqlite3_file *f, int level) { return REAL(f)->pMethods->xUnlock(REAL(f), level); }
static int x_reserved(sqlite3_file *f, int *out) { return REAL(f)->pMethods->xCheckReservedLock(REAL(f), out); }
static int x_control(sqlite3_file *f, int op, void *arg) { return REAL(f)->pMethods->xFileControl(REAL(f), op, arg); }
static int x_sector(sqlite3_file *f) { return REAL(f)->pMethods->xSectorSize(REAL(f)); }
/* Safe overwrite: SQLite then neither pads nor splits what it writes to the log; a frame that was torn is found by its tag. */
static int x_device(KLUIS_UNUSED sqlite3_file *f) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }
static int x_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    return REAL(f)->pMethods->xShmMap(REAL(f), page, size, extend, out);
}
static int x_shm_lock(sqlite3_file *f, int offset, int n, int flags) { return REAL(f)->pMethods->xShmLock(REAL(f), offset, n, flags); }
static void x_shm_barrier(sqlite3_file *f) { REAL(f)->pMethods->xShmBarrier(REAL(f)); }
static int x_shm_unmap(sqlite3_file *f, int del) { return REAL(f)->pMethods->xShmUnmap(REAL(f), del); }

/* Version 2: no xFetch, so nothing is ever mapped past the cipher. */
static const sqlite3_io_methods METHODS = {
    .iVersion = 2,
    .xClose = x_close,
    .xRead = x_read,
    .xWrite = x_write,
    .xTruncate = x_truncate,
    .xSync = x_sync,
    .xFileSize = x_size,
    .xLock = x_lock,
    .xUnlock = x_unlock,
    .xCheckReservedLock = x_reserved,
    .xFileControl = x_control,
    .xSectorSize = x_sector,
    .xDeviceCharacteristics = x_device,
    .xShmMap = x_shm_map,
    .xShmLock = x_shm_lock,
    .xShmBarrier = x_shm_barrier,
    .xShmUnmap = x_shm_unmap,
};

static bool set_keys(struct file *f, const struct kluis_vfs *v, const char *path)
{
    const char *name = strrchr(path, '/') == NULL ? path : strrchr(path, '/') + 1;
    size_t len = strlen(name);
    if (f->wal && len > 4 && strcmp(name + len - 4, "-wal") == 0) { len -= 4; }
    uint8_t key[32], page[32], log[64];
    if (!v->keys.find(v->keys.ctx, name, len, key)) { return false; }
    const struct kluis_bytes ikm = { key, sizeof key }, none = { NULL, 0 };
    /* The labels that the first files were made with; they tell page and log keys apart and say nothing of who uses them. */
    static const char page_info[] = "chatkluis-index-page-v1", log_info[] = "chatkluis-index-log-v1";
    bool ok =
        kluis_hkdf_sha256(ikm, none, (struct kluis_bytes){ (const uint8_t *)page_info, sizeof page_info - 1 }, page, sizeof page, NULL) == KLUIS_OK &&
        kluis_hkdf_sha256(ikm, none, (struct kluis_bytes){ (const uint8_t *)log_info, sizeof log_info - 1 }, log, sizeof log, NULL) == KLUIS_OK &&
        gcry_cipher_open(&f->gcm, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_GCM, 0) == 0 && gcry_cipher_setkey(f->gcm, page, sizeof page) == 0 &&
        gcry_cipher_open(&f->xts, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_XTS, 0) == 0 && gcry_cipher_setkey(f->xts, log, sizeof log) == 0;
    kluis_wipe(key, sizeof key);
    kluis_wipe(page, sizeof page);
    kluis_wipe(log, sizeof log);
    return ok;
}

static int x_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *out_flags)
{
    struct kluis_vfs *v = vfs->pAppData;
    struct file *f = of(file);
    *f = (struct file){ 0 };
    REAL(f)->pMethods = NULL;
    if (path == NULL || (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) == 0) { return SQLITE_CANTOPEN; }
    f->wal = (flags & SQLITE_OPEN_WAL) != 0;
    f->step = v->keys.step;
    int got = flags;
    int rc = set_keys(f, v, path) ? v->real->xOpen(v->real, path, REAL(f), flags, &got) : SQLITE_CANTOPEN;
    /* The real one opens for reading what it cannot open for writing; a handle that never writes again is worse than none. */
    if (rc == SQLITE_OK && (flags & SQLITE_OPEN_READWRITE) != 0 && (got & SQLITE_OPEN_READONLY) != 0) { rc = SQLITE_CANTOPEN; }
    if (out_flags != NULL) { *out_flags = got; }
    if (rc != SQLITE_OK) {
        if (REAL(f)->pMethods != NULL) { (void)REAL(f)->pMethods->xClose(REAL(f)); }
        gcry_cipher_close(f->gcm);
        gcry_cipher_close(f->xts);
        return rc;
    }
    f->base.pMethods = &METHODS;
    return SQLITE_OK;
}

static sqlite3_vfs *real_of(sqlite3_vfs *vfs) { return ((struct kluis_vfs *)vfs->pAppData)->real; }
static int x_delete(sqlite3_vfs *v, const char *path, int sync) { return real_of(v)->xDelete(real_of(v), path, sync); }
static int x_access(sqlite3_vfs *v, const char *path, int flags, int *out) { return real_of(v)->xAccess(real_of(v), path, flags, out); }
static int x_full(sqlite3_vfs *v, const char *path, int n, char *out) { return real_of(v)->xFullPathname(real_of(v), path, n, out); }
static int x_random(sqlite3_vfs *v, int n, char *out) { return real_of(v)->xRandomness(real_of(v), n, out); }
static int x_sleep(sqlite3_vfs *v, int us) { return real_of(v)->xSleep(real_of(v), us); }
static int x_time(sqlite3_vfs *v, double *out) { return real_of(v)->xCurrentTime(real_of(v), out); }
static int x_error(sqlite3_vfs *v, int n, char *out) { return real_of(v)->xGetLastError(real_of(v), n, out); }
static int x_time64(sqlite3_vfs *v, sqlite3_int64 *out) { return real_of(v)->xCurrentTimeInt64(real_of(v), out); }

kluis_status kluis_vfs_new(struct kluis_vfs **out, const struct kluis_vfs_keys *keys, struct kluis_err *err)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static unsigned number;
    *out = NULL;
    db_ready();
    sqlite3_vfs *real = sqlite3_vfs_find("unix");
    struct kluis_vfs *v = kluis_calloc(1, sizeof *v);
    if (real == NULL || v == NULL) {
        kluis_free(v);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot set up encrypted database files");
    }
    (void)pthread_mutex_lock(&lock);
    (void)snprintf(v->name, sizeof v->name, "kluis-vfs-%u", number++);
    (void)pthread_mutex_unlock(&lock);
    v->real = real;
    v->keys = *keys;
    v->base = (sqlite3_vfs){ .iVersion = 2,
                             .szOsFile = (int)((sizeof(struct file) + 15) & ~(size_t)15) + real->szOsFile,
                             .mxPathname = real->mxPathname,
                             .zName = v->name,
                             .pAppData = v,
                             .xOpen = x_open,
                             .xDelete = x_delete,
                             .xAccess = x_access,
                             .xFullPathname = x_full,
                             .xRandomness = x_random,
                             .xSleep = x_sleep,
                             .xCurrentTime = x_time,
                             .xGetLastError = x_error,
                             .xCurrentTimeInt64 = x_time64 };
    if (sqlite3_vfs_register(&v->base, 0) != SQLITE_OK) {
        kluis_free(v);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot set up encrypted database files");
    }
    *out = v;
    return KLUIS_OK;
}

void kluis_vfs_free(struct kluis_vfs *v)
{
    if (v == NULL) { return; }
    (void)sqlite3_vfs_unregister(&v->base);
    kluis_free(v);
}

const char *kluis_vfs_name(const struct kluis_vfs *v) { return v->name; }
