/* An unencrypted backup of an iPhone: its property list, what it says about a file, its list of files, each in turn a stranger's. */
#include <fcntl.h>
#include <gcrypt.h>
#include <sqlite3.h>
#include <unistd.h>

#include "agent/source/apple_backup/backup.h"
#include "tests/fuzz/fuzz.h"

#define DOMAIN "AppDomainGroup-fuzz"
static const char LIST[] =
    "<?xml version=\"1.0\"?><plist version=\"1.0\"><dict><key>IsEncrypted</key><false/><key>Lockdown</key><dict><key>ProductVersion</key>"
    "<string>17.1</string></dict></dict></plist>";
static char manifest[KLUIS_PATH_MAX], list[KLUIS_PATH_MAX], content[KLUIS_PATH_MAX];
static char id[BACKUP_FILE_ID];
static sqlite3 *db;

static void put(const char *path, const void *p, size_t n)
{
    int fd = kluis_io_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    MUST(fd >= 0 && kluis_io_pwrite(fd, p, n, 0) == (ssize_t)n);
    kluis_close_quiet(&fd);
}

static void shut(void) { (void)sqlite3_close(db); }

/* A list with the one file that is asked for, and what it says about it. */
static void put_manifest(const void *about, size_t n)
{
    sqlite3_stmt *st;
    sqlite3_int64 size = 0;
    MUST(sqlite3_exec(db, "DELETE FROM Files", NULL, NULL, NULL) == SQLITE_OK);
    MUST(sqlite3_prepare_v2(db, "INSERT INTO Files VALUES(?1, '" DOMAIN "', 'it.db', 1, ?2)", -1, &st, NULL) == SQLITE_OK);
    MUST(sqlite3_bind_text(st, 1, id, -1, SQLITE_STATIC) == SQLITE_OK && sqlite3_bind_blob(st, 2, about, (int)n, SQLITE_STATIC) == SQLITE_OK);
    MUST(sqlite3_step(st) == SQLITE_DONE && sqlite3_finalize(st) == SQLITE_OK);
    unsigned char *bytes = sqlite3_serialize(db, "main", &size, 0);
    MUST(bytes != NULL);
    put(manifest, bytes, (size_t)size);
    sqlite3_free(bytes);
}

void fuzz_setup(void)
{
    static const char name[] = DOMAIN "-it.db";
    char folder[KLUIS_PATH_MAX];
    uint8_t sha1[20];
    MUST(setenv("TMPDIR", fuzz_dir(), 1) == 0);
    gcry_md_hash_buffer(GCRY_MD_SHA1, sha1, name, sizeof name - 1);
    kluis_hex(sha1, sizeof sha1, id);
    MUST((size_t)snprintf(folder, sizeof folder, "%s/%.2s", fuzz_dir(), id) < sizeof folder && kluis_io_mkdir(folder, 0700) == 0);
    MUST(kluis_path(content, sizeof content, folder, id, NULL) == KLUIS_OK);
    MUST(kluis_path(list, sizeof list, fuzz_dir(), "Manifest.plist", NULL) == KLUIS_OK);
    MUST(kluis_path(manifest, sizeof manifest, fuzz_dir(), "Manifest.db", NULL) == KLUIS_OK);
    MUST(sqlite3_open(":memory:", &db) == SQLITE_OK && atexit(shut) == 0);
    MUST(sqlite3_exec(db, "CREATE TABLE Files(fileID TEXT PRIMARY KEY, domain TEXT, relativePath TEXT, flags INTEGER, file BLOB)", NULL, NULL,
                      NULL) == SQLITE_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    unsigned which = fuzz_which(&p, &n, 3);
    struct apple_backup *b = NULL;
    struct backup_file f;
    struct kluis_err err = { 0 };
    database_forget();
    put(list, which == 0 ? (const void *)p : LIST, which == 0 ? n : sizeof LIST - 1);
    put(content, p, n);
    if (which == 2) {
        put(manifest, p, n);
    } else {
        put_manifest(p, n);
    }
    bool is;
    MUST(apple_backup_is(fuzz_dir(), &is, &err) == KLUIS_OK && is);
    kluis_status rc = apple_backup_open(&b, fuzz_dir(), (struct kluis_bytes){ NULL, 0 }, &err);
    MUST(rc == err.code && rc != KLUIS_E_BUG && rc != KLUIS_E_USAGE && (rc == KLUIS_OK) == (b != NULL));
    if (rc != KLUIS_OK) { return 0; }
    MUST(!apple_backup_encrypted(b) && strlen(apple_backup_version(b)) < 32);
    rc = apple_backup_find(b, DOMAIN, "it.db", &f, &err);
    MUST(rc != KLUIS_E_BUG && rc != KLUIS_E_USAGE);
    if (rc == KLUIS_OK) {
        struct backup_stream *s = NULL;
        struct kluis_input in;
        struct kluis_db *inner = NULL;
        uint8_t piece[1000];
        uint64_t got = 0;
        ssize_t some;
        MUST(apple_backup_stream(b, &f, &s, &in, &err) == KLUIS_OK);
        while ((some = in.read(in.ctx, piece, sizeof piece, &err)) > 0) { got += (uint64_t)some; }
        MUST(some == 0 && got <= n && got <= f.size);
        backup_stream_free(s);
        kluis_err_clear(&err);
        rc = apple_backup_database(b, DOMAIN, "it.db", &inner, &err);
        MUST(rc != KLUIS_E_BUG && rc != KLUIS_E_USAGE);
        database_close(inner);
    }
    apple_backup_free(b);
    return 0;
}
