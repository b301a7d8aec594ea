/* signal_android.c - signal-YYYY-MM-DD-HH-MM-SS.backup: the file that Signal on Android writes, with its passphrase; or the folder it stands in.
 *
 * What its tables say is what signal_model makes of them; here is where it lies and what opens it.
 */
#include "agent/source/signal_android/backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define KIND "signal-android"

static const char *const tells[] = { "text",          "edits",  "deletions",   "reactions",   "quotes",  "polls",    "calls",
                                     "group-changes", "timers", "attachments", "account-ids", "numbers", "delivery", NULL };
static const char *const loss[] = { "disappearing-messages", "expired-messages", "view-once-content", "deleted-content", "time-of-vote", NULL };
/* Signal leaves messages that disappear, and what is to be seen once, out of this file. */
static const char *const everywhere[] = { "disappearing-messages", "expired-messages", NULL };

struct reading {
    char path[KLUIS_PATH_MAX];
    int fd;
    struct sa_keys *keys;
    struct sa_stream stream;
    struct sa_replay replay;
    struct sa_rows rows;
    struct sa_files files;
    struct model m;
};

/* ---- where it lies ---------------------------------------------------------------------------------------------------- */

static bool is_backup_name(const char *name)
{
    const size_t n = strlen(name);
    return n > 14 && strncmp(name, "signal-", 7) == 0 && strcmp(name + n - 7, ".backup") == 0;
}

/* The newest in a folder: names hold the time. */
static kluis_status newest(struct reading *r, int dir, const char *path, struct kluis_err *err)
{
    char name[256] = "";
    DIR *d = fdopendir(dir);
    if (d == NULL) {
        kluis_close_quiet(&dir);
        return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot read the folder", path);
    }
    kluis_status rc = KLUIS_OK;
    for (const char *entry; kluis_dir_next(d, path, &entry, &rc, err);) {
        if (!is_backup_name(entry) || strlen(entry) >= sizeof name || strcmp(entry, name) < 0) { continue; }
        (void)snprintf(name, sizeof name, "%s", entry);
    }
    if (rc == KLUIS_OK && name[0] != '\0') { r->fd = kluis_io_openat(dir, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, 0); }
    (void)closedir(d);
    KLUIS_TRY(rc);
    if (name[0] == '\0') { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: no signal-….backup in it; give the file that Signal made", path); }
    KLUIS_TRY(kluis_path(r->path, sizeof r->path, path, name, err));
    return r->fd < 0 ? KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot open", r->path) : KLUIS_OK;
}

static kluis_status locate(struct reading *r, const char *path, struct kluis_err *err)
{
    struct stat st;
    if (strlen(path) >= sizeof r->path - 300) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "the path is too long"); }
    (void)snprintf(r->path, sizeof r->path, "%s", path);
    int fd = kluis_io_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: not there; give the file signal-….backup, or its folder", path);
    }
    if (fd < 0 || fstat(fd, &st) != 0) {
        kluis_close_quiet(&fd);
        return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot open", path);
    }
    if (S_ISDIR(st.st_mode)) {
        KLUIS_TRY(newest(r, fd, path, err));
        if (fstat(r->fd, &st) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot open", r->path); }
    } else {
        r->fd = fd;
    }
    return S_ISREG(st.st_mode) ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: not a file; give the file signal-….backup", r->path);
}

/* ---- what opens it ------------------------------------------------------------------------------------------------------- */

static kluis_status open_stream(struct reading *r, const struct source_request *q, struct kluis_err *err)
{
    uint8_t head[SA_HEAD_MAX];
    struct sa_header h;
    const char *passphrase;
    const ssize_t n = kluis_io_pread(r->fd, head, sizeof head, 0);
    if (n < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot read", r->path); }
    if (!sa_header_read((struct kluis_bytes){ head, (size_t)n }, &h)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: no backup of Signal on Android: it does not begin as one; give the file signal-….backup",
                          r->path);
    }
    if (h.version > 1) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: version %llu of such a file is not known to this reader; update Chatkluis", r->path,
                          (unsigned long long)h.version);
    }
    KLUIS_TRY(source_secret(q, "passphrase", &passphrase, err));
    if (passphrase == NULL) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "%s: it is encrypted: give the 30 digits that Signal showed, as --option passphrase=@FILE", r->path);
    }
    r->keys = kluis_secret_new(sizeof *r->keys);
    if (r->keys == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    KLUIS_TRY(sa_keys_from(r->keys, passphrase, (struct kluis_bytes){ h.salt, h.salt_len }, err));
    return sa_stream_open(&r->stream, r->fd, r->path, &h, r->keys, err);
}

/* ---- the source ------------------------------------------------------------------------------------------------------------ */

static kluis_status options(struct model *m, const struct source_request *q, struct kluis_err *err)
{
    for (size_t i = 0; i < q->n_options; i++) {
        const char *k = q->options[i].key;
        if (model_option(m, &q->options[i]) || strcmp(k, "passphrase") == 0) { continue; }
        return KLUIS_FAIL(err, KLUIS_E_USAGE, KIND ": options are passphrase=@FILE, number=+31… and account=UUID; \"%.40s\" is not one", k);
    }
    return KLUIS_OK;
}

static struct reading *reading_new(void)
{
    struct reading *r = kluis_calloc(1, sizeof *r);
    if (r != NULL) { r->fd = -1; }
    return r;
}

static void reading_free(struct reading *r)
{
    sa_rows_end(&r->rows);
    kluis_scratch_sqlite_close(r->replay.db);
    sa_stream_close(&r->stream);
    kluis_secret_free(r->keys, sizeof *r->keys);
    kluis_close_quiet(&r->fd);
    kluis_free(r);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static kluis_status replayed(struct reading *r, struct kluis_err *err)
{
    struct stat before, after;
    if (fstat(r->fd, &before) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot read", r->path); }
    KLUIS_TRY(sa_replay(&r->replay, &r->stream, err));
    if (fstat(r->fd, &after) != 0 || !same_file(&before, &after)) {
        return KLUIS_FAIL(err, KLUIS_E_BUSY, "%s: it changed while it was read; try again", r->path);
    }
    r->rows.path = r->path;
    r->rows.db = r->replay.db;
    r->rows.version = r->replay.version;
    r->rows.replay = &r->replay;
    return sa_rows_begin(&r->rows, err);
}

/* The owner's own row, where one is known, states what the model would else have to be told. */
static kluis_status owner(struct reading *r, struct kluis_err *err)
{
    uint8_t id[16];
    KLUIS_AUTO(kluis_arena) a = kluis_arena_new(4096);
    if (a == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    if (r->m.self_aci.ptr == NULL && sa_account(&r->rows, r->rows.self, id)) {
        const struct kluis_str text = uuid_text(a, id);
        if (text.len < sizeof r->replay.self_aci) {
            memcpy(r->replay.self_aci, text.ptr, text.len + 1);
            r->m.self_aci = kluis_str_of(r->replay.self_aci);
        }
    }
    if (r->m.self_number.ptr == NULL) {
        if (r->replay.self_number[0] == '\0') { sa_number(&r->rows, r->rows.self, r->replay.self_number, sizeof r->replay.self_number); }
        if (r->replay.self_number[0] == '+') { r->m.self_number = kluis_str_of(r->replay.self_number); }
    }
    return KLUIS_OK;
}

static kluis_status read_it(struct reading *r, const struct source_request *q, const struct source_sink *sink, struct kluis_err *err)
{
    static const struct signal_form form = { .kind = KIND, .app = "Signal for Android", .loss = everywhere };
    model_init(&r->m, r->path, "backup of Signal on Android");
    KLUIS_TRY(options(&r->m, q, err));
    KLUIS_TRY(locate(r, q->path, err));
    KLUIS_TRY(open_stream(r, q, err));
    KLUIS_TRY(replayed(r, err));
    KLUIS_TRY(owner(r, err));
    r->files = (struct sa_files){ &r->stream, r->replay.db };
    r->m.frames = sa_rows_frames(&r->rows);
    r->m.media = sa_media(&r->files);
    return model_read(&r->m, &form, sink, err);
}

static kluis_status read_android(const struct source_request *q, const struct source_sink *sink, struct kluis_err *err)
{
    struct reading *r = reading_new();
    if (r == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    kluis_status rc = read_it(r, q, sink, err);
    reading_free(r);
    return rc;
}

static kluis_status deliver(const struct reading *r, struct kluis_str ref, size_t index, const struct source_attachment_sink *sink,
                            struct kluis_err *err)
{
    struct sa_blob b;
    bool right = false;
    KLUIS_AUTO(sa_content) c = NULL;
    if (!sa_ref_read(ref, &b)) { return KLUIS_OK; }
    KLUIS_TRY(sa_blob_prove(&r->stream, &b, &right, err));
    if (!right) { return KLUIS_OK; }
    KLUIS_TRY(sa_content_open(&r->stream, &b, &c, err));
    const struct kluis_input in = sa_content_input(c);
    return sink->attachment(sink->ctx, index, &in, err);
}

static kluis_status attachments(const struct source_request *q, KLUIS_UNUSED struct kluis_str conversation_id, const struct kluis_str *wanted,
                                size_t n, const struct source_attachment_sink *sink, struct kluis_err *err)
{
    struct reading *r = reading_new();
    if (r == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    kluis_status rc = locate(r, q->path, err);
    if (rc == KLUIS_OK) { rc = open_stream(r, q, err); }
    for (size_t i = 0; rc == KLUIS_OK && i < n; i++) { rc = deliver(r, wanted[i], i, sink, err); }
    reading_free(r);
    return rc;
}

static enum source_sure probe(const struct source_file *f)
{
    struct sa_header h;
    const char *base = strrchr(f->name, '/');
    base = base != NULL ? base + 1 : f->name;
    if (f->path == NULL || !sa_header_read(f->head, &h) || h.salt_len != 32) { return SOURCE_NO; }
    if (f->name[0] == '\0') { return SOURCE_CERTAIN; }
    /* In a folder, `read` finds those that stand in it by the name that Signal gives. */
    return base == f->name && is_backup_name(base) ? SOURCE_CERTAIN : SOURCE_NO;
}

const struct source_kind source_signal_android = {
    .name = KIND,
    .platform = "signal",
    .about_nl = "Signal op Android: het reservebestand (signal-….backup) met de 30 cijfers",
    .about_en = "Signal on Android: the backup file (signal-….backup) with its 30 digits",
    .tells = tells,
    .loss = loss,
    .extent = SOURCE_WHOLE,
    .probe = probe,
    .read = read_android,
    .attachments = attachments,
};
