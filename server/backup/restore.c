/* server/backup/restore.c - a backup put back into a home that has keys and nothing else. */
#include "server/backup/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "server/backup/files.h"

enum { LINE = 256, SHELVES = 256 };
static const char BEGUN[] = "restore.begun";

struct restoring {
    char from[KLUIS_PATH_MAX], vault[KLUIS_PATH_MAX];
    bool shelf[SHELVES];
    const struct backup_report *report;
    struct backup_result *out;
    bool databases[2]; /* custody.db, register.db: both must have been named */
};

static kluis_status folder(const struct restoring *r, const char *name, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    KLUIS_TRY(kluis_path(path, sizeof path, r->vault, name, err));
    return kluis_make_dir(path, err);
}

/* "../storage/ab/<64 hex>.ckc" as "storage/ab/….ckc"; false: not that. */
static bool ciphertext(struct kluis_str name, char out[LINE], uint8_t id[32])
{
    static const char head[] = "../storage/";
    size_t n = sizeof head - 1;
    if (name.len != n + 3 + 64 + 4 || memcmp(name.ptr, head, n) != 0 || name.ptr[n + 2] != '/' || memcmp(name.ptr + n + 67, ".ckc", 4) != 0 ||
        !kluis_unhex((struct kluis_str){ name.ptr + n + 3, 64 }, id, 32) || memcmp(name.ptr + n, name.ptr + n + 3, 2) != 0) {
        return false;
    }
    (void)snprintf(out, LINE, "%.*s", (int)(name.len - 3), name.ptr + 3);
    return true;
}

/* A file of the trail: letters, digits, '.' and '-' behind "audit/". */
static bool of_trail(struct kluis_str name)
{
    if (name.len <= 6 || name.len > 80 || memcmp(name.ptr, "audit/", 6) != 0 || name.ptr[6] == '.') { return false; }
    for (size_t i = 6; i < name.len; i++) {
        char c = name.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-')) { return false; }
    }
    return true;
}

static kluis_status put(struct restoring *r, struct kluis_str name, const uint8_t want[32], struct kluis_err *err)
{
    char text[LINE], target[LINE], from[KLUIS_PATH_MAX], to[KLUIS_PATH_MAX];
    uint8_t id[32], got[32];
    uint64_t size = 0;
    (void)snprintf(text, sizeof text, "%.*s", (int)name.len, name.ptr);
    KLUIS_TRY(kluis_path(from, sizeof from, r->from, text, err));
    bool custody = kluis_str_is(name, "custody.db"), reg = kluis_str_is(name, "register.db"), cipher = ciphertext(name, target, id);
    if (cipher) {
        char shelf[16];
        (void)snprintf(shelf, sizeof shelf, "storage/%02x", id[0]);
        if (!r->shelf[id[0]]) { KLUIS_TRY(folder(r, shelf, err)); }
        r->shelf[id[0]] = true;
        r->out->files++;
    } else if (custody || reg) {
        r->databases[custody ? 0 : 1] = true;
        (void)snprintf(target, sizeof target, "%s", custody ? "custody.db.restored" : "register.db");
    } else if (of_trail(name)) {
        (void)snprintf(target, sizeof target, "%s", text);
    } else if (kluis_str_is(name, "backup.json") || kluis_str_is(name, "trust.json")) {
        KLUIS_TRY(file_digest(from, got, &size, err)); /* for people, and for a home that has lost its own: compared, not put anywhere */
        target[0] = '\0';
    } else {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "SHA256SUMS names '%s', which belongs to no backup", text);
    }
    if (target[0] != '\0') {
        KLUIS_TRY(kluis_path(to, sizeof to, r->vault, target, err));
        kluis_status rc = cipher ? file_digest(to, got, &size, NULL) : KLUIS_E_NOTFOUND;
        if (rc != KLUIS_OK || memcmp(got, want, 32) != 0) {
            KLUIS_TRY(file_copy(from, to, want, got, &size, err));
            r->out->copied += cipher ? 1 : 0;
        }
    }
    if (memcmp(got, want, 32) != 0) { return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "'%s' is not what SHA256SUMS says", from); }
    r->out->bytes += size;
    if (r->report != NULL) { r->report->done(r->report->ctx, r->out->files, 0, r->out->bytes); }
    return KLUIS_OK;
}

static kluis_status put_all(struct restoring *r, FILE *f, struct kluis_err *err)
{
    char line[LINE];
    while (fgets(line, sizeof line, f) != NULL) {
        uint8_t want[32];
        struct kluis_str s = kluis_str_of(line);
        if (s.len < 68 || s.ptr[s.len - 1] != '\n' || s.ptr[64] != ' ' || s.ptr[65] != ' ' ||
            !kluis_unhex((struct kluis_str){ s.ptr, 64 }, want, 32)) {
            return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a line of SHA256SUMS in '%s' is damaged", r->from);
        }
        KLUIS_TRY(put(r, (struct kluis_str){ s.ptr + 66, s.len - 67 }, want, err));
    }
    if (ferror(f) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot read SHA256SUMS in '%s'", r->from); }
    return r->databases[0] && r->databases[1] ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_CORRUPT, "SHA256SUMS in '%s' is cut off", r->from);
}

/* The names of what was put, then custody.db itself: a home without it is no vault yet. */
static kluis_status settle(const struct restoring *r, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX], name[16], from[KLUIS_PATH_MAX];
    for (unsigned i = 0; i < SHELVES; i++) {
        if (!r->shelf[i]) { continue; }
        (void)snprintf(name, sizeof name, "storage/%02x", i);
        KLUIS_TRY(kluis_path(path, sizeof path, r->vault, name, err));
        KLUIS_TRY(kluis_fsync_dir(path, err));
    }
    KLUIS_TRY(kluis_path(path, sizeof path, r->vault, "audit", err));
    KLUIS_TRY(kluis_fsync_dir(path, err));
    KLUIS_TRY(kluis_path(path, sizeof path, r->vault, "index", err));
    KLUIS_TRY(folder_remove(path, err));
    KLUIS_TRY(snapshot_remove(r->vault, err));
    KLUIS_TRY(kluis_fsync_dir(r->vault, err));
    KLUIS_TRY(kluis_path(from, sizeof from, r->vault, "custody.db.restored", err));
    KLUIS_TRY(kluis_path(path, sizeof path, r->vault, "custody.db", err));
    return kluis_publish_file(from, path, "backup.restored", err);
}

static kluis_status must_not_be(const struct restoring *r, const char *name, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    bool there;
    KLUIS_TRY(kluis_path(path, sizeof path, r->vault, name, err));
    KLUIS_TRY(kluis_exists(path, &there, err));
    if (!there) { return KLUIS_OK; }
    return KLUIS_FAIL(err, KLUIS_E_REJECT, "'%s' is there: move custody.db*, register.db* and audit away first, nothing is written over", path);
}

static kluis_status restore(struct restoring *r, const char *from, const char *home, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX], mark[KLUIS_PATH_MAX];
    bool begun, there;
    KLUIS_TRY(kluis_path(r->vault, sizeof r->vault, home, "vault", err));
    if ((size_t)snprintf(r->from, sizeof r->from, "%s", from) >= sizeof r->from) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "path too long: '%s'", from);
    }
    KLUIS_TRY(kluis_path(path, sizeof path, r->vault, "keys/wrapping.key", err));
    KLUIS_TRY(kluis_exists(path, &there, err));
    if (!there) { return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "'%s' has no keys: put vault/keys and trust.json of this archive there first", home); }
    KLUIS_TRY(must_not_be(r, "custody.db", err));
    /* An attempt that was interrupted left these two behind this mark: they are its own, and are written anew. */
    KLUIS_TRY(kluis_path(mark, sizeof mark, r->vault, BEGUN, err));
    KLUIS_TRY(kluis_exists(mark, &begun, err));
    if (!begun) {
        KLUIS_TRY(must_not_be(r, "register.db", err));
        KLUIS_TRY(must_not_be(r, "audit", err));
        KLUIS_TRY(kluis_write_file(mark, "", 0, 0600, err));
    }
    KLUIS_TRY(folder(r, "storage", err));
    KLUIS_TRY(folder(r, "audit", err));
    KLUIS_TRY(kluis_path(path, sizeof path, r->from, "SHA256SUMS", err));
    FILE *f = fopen(path, "re");
    if (f == NULL) { return KLUIS_FAIL_SYS(err, errno == ENOENT ? KLUIS_E_NOTFOUND : KLUIS_E_IO, "cannot open '%s'", path); }
    kluis_status rc = put_all(r, f, err);
    (void)fclose(f); /* only read from */
    if (rc == KLUIS_OK) { rc = settle(r, err); }
    return rc == KLUIS_OK ? backup_restored(r->vault, err) : rc; /* the mark goes last: until custody.db stands there, a next attempt needs it */
}

kluis_status backup_restored(const char *vault_dir, struct kluis_err *err)
{
    char mark[KLUIS_PATH_MAX], custody[KLUIS_PATH_MAX];
    bool there;
    KLUIS_TRY(kluis_path(mark, sizeof mark, vault_dir, BEGUN, err));
    KLUIS_TRY(kluis_exists(mark, &there, err));
    if (!there) { return KLUIS_OK; }
    KLUIS_TRY(kluis_path(custody, sizeof custody, vault_dir, "custody.db", err));
    KLUIS_TRY(kluis_exists(custody, &there, err));
    if (!there) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "a restore into '%s' did not come to its end: run it again", vault_dir); }
    if (kluis_io_unlink(mark) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot remove '%s'", mark); }
    return kluis_fsync_dir(vault_dir, err);
}

kluis_status backup_restore(const char *from, const char *home, const struct backup_report *report, struct backup_result *out, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    memset(out, 0, sizeof *out);
    struct restoring *r = kluis_calloc(1, sizeof *r);
    if (r == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot restore: out of memory"); }
    r->report = report;
    r->out = out;
    int lock = -1;
    kluis_status rc = kluis_path(path, sizeof path, home, "vault/vault.lock", err);
    if (rc == KLUIS_OK && (lock = kluis_io_open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600)) < 0) {
        rc = KLUIS_FAIL_SYS(err, errno == ENOENT ? KLUIS_E_NOTFOUND : KLUIS_E_IO, "cannot open '%s'", path);
    }
    if (rc == KLUIS_OK && flock(lock, LOCK_EX | LOCK_NB) != 0) {
        rc = KLUIS_FAIL(err, KLUIS_E_BUSY, "another process has the vault in '%s': stop it first", home);
    }
    if (rc == KLUIS_OK) { rc = restore(r, from, home, err); }
    kluis_close_quiet(&lock);
    kluis_free(r);
    return rc;
}
