/* server/backup_command.c - see backup_command.h. */
#include "server/backup_command.h"

#include "server/backup/backup.h"
#include "server/options.h"
#include "server/part.h"
#include "server/walls/user.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct progress {
    int64_t begun_us, told_us;
    bool terminal;
};

/* Twice a second, where somebody looks. */
static void show(void *ctx, uint64_t files, uint64_t of, uint64_t bytes)
{
    struct progress *p = ctx;
    int64_t now = kluis_monotonic_us(), took = now - p->begun_us;
    if (!p->terminal || now - p->told_us < 500000 || took <= 0) { return; }
    p->told_us = now;
    fprintf(stderr, "\r%llu", (unsigned long long)files);
    if (of > 0) { fprintf(stderr, " of %llu", (unsigned long long)of); }
    fprintf(stderr, " packages, %llu MiB, %llu MiB/s", (unsigned long long)(bytes >> 20), (unsigned long long)(bytes / (uint64_t)took));
    if (of > files && files > 0) { fprintf(stderr, ", %llu s left", (unsigned long long)((uint64_t)took / files * (of - files) / 1000000)); }
    fprintf(stderr, "   ");
}

static struct progress progress_new(void) { return (struct progress){ .begun_us = kluis_monotonic_us(), .terminal = isatty(STDERR_FILENO) == 1 }; }

static kluis_status carry(const char *home, const char *to, bool read_data, int *exit_code, struct kluis_err *err)
{
    struct backup_result r;
    struct progress p = progress_new();
    const struct backup_report report = { &p, show };
    char packages[24], made[24], sums[65], detail[256];
    const char *const snapshot[] = { "snapshot", "--home", home };
    KLUIS_TRY(part_ask_apart(home, 3, snapshot, exit_code, err));
    if (*exit_code != 0) { return KLUIS_OK; }
    kluis_status rc = backup_run(home, to, read_data, &report, &r, err);
    if (p.told_us != 0) { fprintf(stderr, "\n"); }
    KLUIS_TRY(rc);
    kluis_hex(r.sums, 32, sums);
    (void)snprintf(packages, sizeof packages, "%llu", (unsigned long long)r.packages);
    (void)snprintf(made, sizeof made, "%lld", (long long)r.made_us);
    (void)snprintf(detail, sizeof detail, "name=%s packages=%s sums=%s", r.name, packages, sums);
    const char *const done[] = { "backed-up", "--home", home, "--packages", packages, "--made", made, "--detail", detail };
    KLUIS_TRY(part_ask_apart(home, 9, done, exit_code, err));
    if (*exit_code != 0) { return KLUIS_OK; }
    if (printf("backup %s/%s: %llu packages, %llu ciphertexts (%llu new), %llu bytes verified\n", to, r.name, (unsigned long long)r.packages,
               (unsigned long long)r.files, (unsigned long long)r.copied, (unsigned long long)r.bytes) < 0 ||
        fflush(stdout) != 0) {
        return KLUIS_FAIL(err, KLUIS_E_IO, "cannot write to stdout");
    }
    return KLUIS_OK;
}

kluis_status cmd_backup(int argc, const char *const *argv, int *exit_code, struct kluis_err *err)
{
    const char *home = NULL, *to = NULL, *read_data = NULL;
    char path[KLUIS_PATH_MAX];
    size_t words;
    const struct kluis_option spec[] = { { .name = "home", .required = true, .value = &home },
                                         { .name = "to", .required = true, .value = &to },
                                         { .name = "read-data", .flag = true, .value = &read_data } };
    KLUIS_TRY(options_parse("backup", argc, argv, spec, 3, NULL, 0, &words, err));
    /* One snapshot at a time: two backups to different folders must not share one. */
    KLUIS_TRY(kluis_path(path, sizeof path, home, "vault/backup.lock", err));
    int lock = kluis_io_open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
    if (lock < 0) { return KLUIS_FAIL_SYS(err, errno == ENOENT ? KLUIS_E_NOTFOUND : KLUIS_E_IO, "cannot open '%s': is this a home?", path); }
    kluis_status rc = flock(lock, LOCK_EX | LOCK_NB) != 0 ? KLUIS_FAIL(err, KLUIS_E_BUSY, "another backup of '%s' is under way", home)
                                                          : carry(home, to, read_data != NULL, exit_code, err);
    kluis_close_quiet(&lock);
    return rc;
}

/* Root puts back what is the vault's user's: the keys that lie there, and what comes. */
static kluis_status for_owner(const char *home, struct kluis_err *err)
{
    struct walls_user owner;
    struct stat st;
    char vault[KLUIS_PATH_MAX];
    KLUIS_TRY(walls_user_owner(home, &owner, err));
    if (owner.uid == 0 || geteuid() != 0) { return KLUIS_OK; }
    KLUIS_TRY(kluis_path(vault, sizeof vault, home, "vault", err));
    /* A home that is the vault's alone (a unit's StateDirectory), with trust.json, or a part of one that `serve` shares out. */
    bool alone = stat(home, &st) == 0 && st.st_uid == owner.uid;
    KLUIS_TRY(walls_user_give(alone ? home : vault, &owner, err));
    return walls_user_files(&owner, err);
}

kluis_status cmd_restore(int argc, const char *const *argv, struct kluis_err *err)
{
    const char *home = NULL, *from = NULL;
    size_t words;
    struct backup_result r;
    struct progress p = progress_new();
    const struct backup_report report = { &p, show };
    const struct kluis_option spec[] = { { .name = "home", .required = true, .value = &home }, { .name = "from", .required = true, .value = &from } };
    KLUIS_TRY(options_parse("restore", argc, argv, spec, 2, NULL, 0, &words, err));
    KLUIS_TRY(for_owner(home, err));
    kluis_status rc = backup_restore(from, home, &report, &r, err);
    if (p.told_us != 0) { fprintf(stderr, "\n"); }
    KLUIS_TRY(rc);
    if (printf("restored %llu ciphertexts, %llu bytes verified; start the server: it asks the gate's mirror, and devices for what is missing\n",
               (unsigned long long)r.files, (unsigned long long)r.bytes) < 0 ||
        fflush(stdout) != 0) {
        return KLUIS_FAIL(err, KLUIS_E_IO, "cannot write to stdout");
    }
    return KLUIS_OK;
}
