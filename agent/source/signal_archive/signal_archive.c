/* signal_archive.c - Signal's backup since 2025: a folder SignalBackups, one snapshot of it, its file alone, or its frames in the clear.
 *
 * What a backup says is what signal_model makes of its frames; here is where it lies and what opens it.
 */
#include "agent/source/signal_archive/archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define KIND "signal-archive"
#define SNAPSHOT "signal-backup-"

enum { METADATA_MAX = 64 << 10, TOKEN = 32 };

static const char *const tells[] = { "text",          "edits",  "deletions",   "reactions",   "quotes",  "polls",    "calls",
                                     "group-changes", "timers", "attachments", "account-ids", "numbers", "delivery", NULL };
static const char *const loss[] = { "expired-messages", "view-once-content", "deleted-content", "time-of-vote", NULL };
static const char *const everywhere[] = { "expired-messages", NULL }; /* what had disappeared when the backup was made left no trace */

struct reading {
    char path[KLUIS_PATH_MAX]; /* of the file with the frames */
    int fd, snapshot;          /* that file; the folder it lies in, or -1 */
    struct archive_files files;
    struct archive_frames frames;
    struct archive_keys *keys;
    struct model m;
};

/* ---- where it lies -------------------------------------------------------------------------------------------- */

static int folder(int dir, const char *name) { return kluis_io_openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0); }

static bool holds_main(int dir)
{
    struct stat st;
    return fstatat(dir, "main", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

/* The newest whole snapshot in a folder: names hold the time, and one that ends in -tmp was never finished. */
static kluis_status newest_snapshot(int dir, const char *path, char name[256], struct kluis_err *err)
{
    int copy = kluis_io_openat(dir, ".", O_RDONLY | O_DIRECTORY, 0);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    name[0] = '\0';
    if (d == NULL) {
        kluis_close_quiet(&copy);
        return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot read the folder", path);
    }
    kluis_status rc = KLUIS_OK;
    for (const char *entry; kluis_dir_next(d, path, &entry, &rc, err);) {
        size_t n = strlen(entry);
        if (n >= 256 || strncmp(entry, SNAPSHOT, sizeof SNAPSHOT - 1) != 0 || strcmp(entry + n - 4, "-tmp") == 0) { continue; }
        if (name[0] != '\0' && strcmp(entry, name) < 0) { continue; }
        int inner = folder(dir, entry);
        if (inner >= 0 && holds_main(inner)) { memcpy(name, entry, n + 1); }
        kluis_close_quiet(&inner);
    }
    (void)closedir(d); /* only read */
    return rc;
}

static kluis_status locate_folder(struct reading *r, int dir, const char *path, struct kluis_err *err)
{
    char name[256];
    int inner = folder(dir, "SignalBackups");
    (void)snprintf(r->path, sizeof r->path, "%s", path);
    if (inner >= 0) {
        kluis_close_quiet(&dir);
        dir = inner;
        KLUIS_TRY(kluis_path(r->path, sizeof r->path, path, "SignalBackups", err));
    }
    r->snapshot = dir;
    if (!holds_main(dir)) {
        char above[KLUIS_PATH_MAX];
        KLUIS_TRY(newest_snapshot(dir, path, name, err));
        if (name[0] == '\0') {
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: no " SNAPSHOT "… with a file main in it; give the folder SignalBackups of the phone", path);
        }
        r->snapshot = folder(dir, name);
        kluis_close_quiet(&dir);
        memcpy(above, r->path, sizeof above);
        KLUIS_TRY(kluis_path(r->path, sizeof r->path, above, name, err));
    }
    char above[KLUIS_PATH_MAX];
    memcpy(above, r->path, sizeof above);
    KLUIS_TRY(kluis_path(r->path, sizeof r->path, above, "main", err));
    r->fd = r->snapshot < 0 ? -1 : kluis_io_openat(r->snapshot, "main", O_RDONLY | O_NONBLOCK | O_NOFOLLOW, 0);
    r->files.dir = r->snapshot < 0 ? -1 : folder(r->snapshot, "../files");
    return r->fd < 0 ? KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot open", r->path) : KLUIS_OK;
}

/* A file alone: as main, its snapshot lies around it; else attachments may lie in files/ beside it. */
static void locate_beside(struct reading *r, const char *path)
{
    char above[KLUIS_PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash == NULL ? 0 : (size_t)(slash - path);
    (void)snprintf(above, sizeof above, "%.*s", n > 0 ? (int)n : 1, n > 0 ? path : slash != NULL ? "/" : ".");
    const bool is_main = strcmp(slash != NULL ? slash + 1 : path, "main") == 0;
    int dir = kluis_io_open(above, O_RDONLY | O_DIRECTORY, 0);
    if (dir < 0) { return; }
    r->files.dir = folder(dir, is_main ? "../files" : "files");
    if (is_main) {
        r->snapshot = dir;
    } else {
        kluis_close_quiet(&dir);
    }
}

static kluis_status locate(struct reading *r, const char *path, struct kluis_err *err)
{
    struct stat st;
    if (strlen(path) >= sizeof r->path - 300) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "the path is too long"); }
    int fd = kluis_io_open(path, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: not there; give the folder SignalBackups or the file of a Signal backup", path);
    }
    if (fd < 0 || fstat(fd, &st) != 0) {
        kluis_close_quiet(&fd);
        return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot open", path);
    }
    if (S_ISDIR(st.st_mode)) { return locate_folder(r, fd, path, err); }
    r->fd = fd;
    (void)snprintf(r->path, sizeof r->path, "%s", path);
    if (!S_ISREG(st.st_mode)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: not a file; give the file of a Signal backup", path); }
    locate_beside(r, path);
    return KLUIS_OK;
}

/* ---- what opens it ---------------------------------------------------------------------------------------------- */

static kluis_status id_from_metadata(struct reading *r, bool *found, struct kluis_err *err)
{
    uint8_t bytes[4096];
    int fd = r->snapshot < 0 ? -1 : kluis_io_openat(r->snapshot, "metadata", O_RDONLY | O_NONBLOCK | O_NOFOLLOW, 0);
    *found = false;
    if (fd < 0) { return KLUIS_OK; }
    ssize_t n = kluis_io_pread(fd, bytes, sizeof bytes, 0);
    kluis_close_quiet(&fd);
    if (n < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: the metadata beside it cannot be read", r->path); }
    *found = true;
    kluis_status rc = archive_key_id_of_metadata(r->keys, (struct kluis_bytes){ bytes, (size_t)n }, err);
    if (rc != KLUIS_OK) { kluis_err_prefix(err, "%s: the file metadata beside it", r->path); }
    return rc;
}

/* The account id as its 16 bytes; false: model_option let only such through. */
static bool uuid_bytes(struct kluis_str s, uint8_t out[16])
{
    char hex[33];
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] != '-' && n < 32) { hex[n++] = s.ptr[i]; }
    }
    hex[n] = '\0';
    return kluis_unhex((struct kluis_str){ hex, n }, out, 16);
}

static bool is_owner(void *ctx, const uint8_t aci[16])
{
    struct archive_keys *k = ctx;
    uint8_t id[ARCHIVE_ID];
    return archive_key_id_of_account(k, aci, id, NULL) == KLUIS_OK && memcmp(id, k->id, sizeof id) == 0;
}

static kluis_status open_keys(struct reading *r, const struct source_request *q, bool token_needed, struct kluis_err *err)
{
    const char *recovery, *token;
    uint8_t aci[16], secret[TOKEN];
    bool found;
    KLUIS_TRY(source_secret(q, "key", &recovery, err));
    KLUIS_TRY(source_secret(q, "token", &token, err));
    if (recovery == NULL) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "%s: it is encrypted: give the recovery key that Signal shows under backups, as --option key=@FILE",
                          r->path);
    }
    if (token_needed && (token == NULL || !kluis_unhex(kluis_str_of(token), secret, TOKEN))) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE,
                          "%s: made for Signal's own servers: it needs their token too (64 hexadecimal digits), as --option token=@FILE", r->path);
    }
    r->keys = kluis_secret_new(sizeof *r->keys);
    if (r->keys == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    kluis_status rc = archive_key_recovery(r->keys, recovery, err);
    if (rc == KLUIS_OK) { rc = id_from_metadata(r, &found, err); }
    if (rc == KLUIS_OK && !found) {
        if (r->m.self_aci.ptr == NULL || !uuid_bytes(r->m.self_aci, aci)) {
            rc = KLUIS_FAIL(err, KLUIS_E_USAGE,
                            "%s: without the file metadata beside it the owner's account id is needed too, as --option account=UUID", r->path);
        } else {
            rc = archive_key_id_of_account(r->keys, aci, r->keys->id, err);
        }
    }
    if (rc == KLUIS_OK) { rc = archive_key_messages(r->keys, token_needed ? secret : NULL, err); }
    kluis_wipe(secret, sizeof secret);
    return rc;
}

static kluis_status open_frames(struct reading *r, const struct source_request *q, struct kluis_err *err)
{
    uint8_t head[4096];
    struct stat st;
    bool token;
    uint64_t from;
    ssize_t n = kluis_io_pread(r->fd, head, sizeof head, 0);
    if (n < 0 || fstat(r->fd, &st) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot read", r->path); }
    if (n == 0) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: the file is empty; let Signal make the backup again", r->path); }
    if (archive_is_plain((struct kluis_bytes){ head, (size_t)n })) {
        r->frames.file = (struct kluis_input_fd){ .fd = r->fd, .what = r->path };
        r->frames.size = (uint64_t)st.st_size;
        return frames_open(&r->frames, err);
    }
    KLUIS_TRY(archive_sealed_from(r->fd, r->path, &from, &token, err));
    KLUIS_TRY(open_keys(r, q, token, err));
    KLUIS_TRY(archive_unseal(r->fd, r->path, r->keys, &r->frames.scratch, err));
    r->frames.size = kluis_scratch_size(r->frames.scratch);
    r->m.is_self = is_owner;
    r->m.is_self_ctx = r->keys;
    return frames_open(&r->frames, err);
}

/* ---- the source ------------------------------------------------------------------------------------------------- */

static kluis_status options(struct model *m, const struct source_request *q, struct kluis_err *err)
{
    for (size_t i = 0; i < q->n_options; i++) {
        const char *k = q->options[i].key;
        if (model_option(m, &q->options[i]) || strcmp(k, "key") == 0 || strcmp(k, "token") == 0) { continue; }
        return KLUIS_FAIL(err, KLUIS_E_USAGE,
                          KIND ": options are key=@FILE (recovery key), token=@FILE, number=+31… and account=UUID; \"%.40s\" is not one", k);
    }
    return KLUIS_OK;
}

static struct reading *reading_new(void)
{
    struct reading *r = kluis_calloc(1, sizeof *r);
    if (r != NULL) { r->fd = r->snapshot = r->files.dir = -1; }
    return r;
}

static void reading_free(struct reading *r)
{
    frames_close(&r->frames);
    kluis_scratch_free(r->frames.scratch);
    kluis_secret_free(r->keys, sizeof *r->keys);
    kluis_close_quiet(&r->fd);
    kluis_close_quiet(&r->snapshot);
    kluis_close_quiet(&r->files.dir);
    kluis_free(r);
}

static kluis_status read_it(struct reading *r, const struct source_request *q, const struct source_sink *sink, struct kluis_err *err)
{
    static const struct signal_form form = { .kind = KIND, .app = "Signal", .loss = everywhere };
    model_init(&r->m, r->path, "Signal backup");
    r->m.strict = true;
    KLUIS_TRY(options(&r->m, q, err));
    KLUIS_TRY(locate(r, q->path, err));
    KLUIS_TRY(open_frames(r, q, err));
    r->m.frames = frames_of(&r->frames);
    if (r->files.dir >= 0) { r->m.media = files_media(&r->files); }
    return model_read(&r->m, &form, sink, err);
}

static kluis_status read_archive(const struct source_request *q, const struct source_sink *sink, struct kluis_err *err)
{
    struct reading *r = reading_new();
    if (r == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    kluis_status rc = read_it(r, q, sink, err);
    reading_free(r);
    return rc;
}

static kluis_status attachments(const struct source_request *q, KLUIS_UNUSED struct kluis_str conversation_id, const struct kluis_str *wanted,
                                size_t n, const struct source_attachment_sink *sink, struct kluis_err *err)
{
    struct reading *r = reading_new();
    if (r == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    kluis_status rc = locate(r, q->path, err);
    for (size_t i = 0; rc == KLUIS_OK && i < n; i++) {
        KLUIS_AUTO(sealed) s = NULL;
        rc = files_open(r->files.dir, wanted[i], &s, err);
        if (s == NULL) { continue; }
        const struct kluis_input in = sealed_input(s);
        rc = sink->attachment(sink->ctx, i, &in, err);
    }
    reading_free(r);
    return rc;
}

static enum source_sure probe(const struct source_file *f)
{
    const char *base = strrchr(f->name, '/');
    const bool is_main = strcmp(base != NULL ? base + 1 : f->name, "main") == 0 && strstr(f->name, SNAPSHOT) != NULL;
    if (f->path == NULL) { return SOURCE_NO; }
    if (f->name[0] != '\0' && !is_main) { return strcmp(f->name, "main") == 0 && f->size % 16 == 0 ? SOURCE_PERHAPS : SOURCE_NO; }
    if (archive_is_plain(f->head)) { return SOURCE_CERTAIN; }
    if (f->head.len >= 8 && memcmp(f->head.ptr, "SBACKUP\1", 8) == 0) { return SOURCE_CERTAIN; }
    return is_main && f->size % 16 == 0 ? SOURCE_CERTAIN : SOURCE_NO;
}

const struct source_kind source_signal_archive = {
    .name = KIND,
    .platform = "signal",
    .about_nl = "Signal: back-up met herstelsleutel (map SignalBackups, of het bestand alleen)",
    .about_en = "Signal: backup with a recovery key (folder SignalBackups, or its file alone)",
    .tells = tells,
    .loss = loss,
    .extent = SOURCE_WHOLE,
    .probe = probe,
    .read = read_archive,
    .attachments = attachments,
};
