/* signal_desktop.c - the folder of Signal Desktop: config.json, sql/db.sqlite with its log, attachments.noindex; or the database alone.
 *
 * Read while Signal runs or not: the database is deciphered into nameless, encrypted scratch files of one moment, and read there.
 */
#include "agent/source/signal_desktop/desktop.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define KIND "signal-desktop"

static const char *const tells[] = { "text",          "edits",  "deletions",   "reactions",   "quotes",  "polls",    "calls",
                                     "group-changes", "timers", "attachments", "account-ids", "numbers", "delivery", NULL };
static const char *const loss[] = { "expired-messages", "before-linking", "view-once-content", "deleted-content", "time-of-vote", NULL };
static const char *const everywhere[] = { "expired-messages", "before-linking", NULL };

struct reading {
    struct desktop d;
    char wal[KLUIS_PATH_MAX], folder[KLUIS_PATH_MAX];
    bool whole; /* a folder was given */
    struct desktop_files files;
    uint8_t *key;
    struct model m;
};

/* The folder itself, or what is around <folder>/sql/db.sqlite. */
static kluis_status locate(struct reading *r, const char *path, struct kluis_err *err)
{
    char attachments[KLUIS_PATH_MAX];
    struct stat st;
    enum kluis_at what;
    if (strlen(path) >= KLUIS_PATH_MAX - 64) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "the path is too long"); }
    if (stat(path, &st) != 0) {
        return errno == ENOENT || errno == ENOTDIR ? KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: not there; give the folder of Signal Desktop", path)
                                                   : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot open", path);
    }
    if (S_ISDIR(st.st_mode)) {
        r->whole = true;
        (void)snprintf(r->folder, sizeof r->folder, "%s", path);
        KLUIS_TRY(kluis_path(r->d.path, sizeof r->d.path, path, "sql/db.sqlite", err));
        KLUIS_TRY(kluis_what_at(r->d.path, &what, err));
        if (what == KLUIS_AT_NOTHING) {
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: no sql/db.sqlite in it; give the folder of Signal Desktop", path);
        }
    } else {
        (void)snprintf(r->d.path, sizeof r->d.path, "%s", path);
        (void)snprintf(r->folder, sizeof r->folder, "%s", path);
        char *slash = strrchr(r->folder, '/');
        if (slash != NULL && slash - r->folder >= 4 && memcmp(slash - 4, "/sql", 4) == 0) {
            slash[-4] = '\0';
            KLUIS_TRY(kluis_what_at(r->folder, &what, err));
            r->whole = what == KLUIS_AT_FOLDER;
        }
    }
    KLUIS_TRY(kluis_what_at(r->d.path, &what, err));
    if (what != KLUIS_AT_FILE) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: not a file", r->d.path); }
    (void)snprintf(r->wal, sizeof r->wal, "%.*s-wal", KLUIS_PATH_MAX - 8, r->d.path);
    if (r->whole && kluis_path(attachments, sizeof attachments, r->folder, "attachments.noindex", err) == KLUIS_OK) {
        r->files.dir = kluis_io_open(attachments, O_RDONLY | O_DIRECTORY, 0);
    }
    return KLUIS_OK;
}

static kluis_status options(struct model *m, const struct source_request *q, struct kluis_err *err)
{
    for (size_t i = 0; i < q->n_options; i++) {
        const char *k = q->options[i].key;
        if (model_option(m, &q->options[i]) || strcmp(k, "key") == 0 || strcmp(k, "secret") == 0) { continue; }
        return KLUIS_FAIL(err, KLUIS_E_USAGE, KIND ": options are key=@FILE, secret=@FILE, number=+31… and account=UUID; \"%.40s\" is not one", k);
    }
    return KLUIS_OK;
}

static struct reading *reading_new(void)
{
    struct reading *r = kluis_calloc(1, sizeof *r);
    if (r == NULL) { return NULL; }
    r->files.dir = -1;
    r->key = kluis_secret_new(DESKTOP_KEY);
    if (r->key == NULL) {
        kluis_free(r);
        return NULL;
    }
    return r;
}

static void reading_free(struct reading *r)
{
    desktop_end(&r->d);
    database_close(r->d.db);
    kluis_close_quiet(&r->files.dir);
    kluis_secret_free(r->key, DESKTOP_KEY);
    kluis_free(r);
}

static kluis_status read_it(struct reading *r, const struct source_request *q, const struct source_sink *sink, struct kluis_err *err)
{
    static const struct signal_form form = { .kind = KIND, .app = "Signal Desktop", .loss = everywhere };
    struct sqlcipher s = { .path = r->d.path, .wal = r->wal, .key = r->key };
    const struct database_form f = {
        .name = "sqlcipher4", .files = { r->d.path, r->wal }, .secret = { r->key, DESKTOP_KEY }, .ctx = &s, .fill = sqlcipher_fill
    };
    model_init(&r->m, r->d.path, "database of Signal Desktop");
    KLUIS_TRY(options(&r->m, q, err));
    KLUIS_TRY(locate(r, q->path, err));
    KLUIS_TRY(desktop_key(q, r->whole ? r->folder : NULL, r->key, err));
    KLUIS_TRY(database_open(&r->d.db, &f, err));
    KLUIS_TRY(desktop_begin(&r->d, err));
    if (r->m.self_aci.ptr == NULL && r->d.self[0] != '\0') { r->m.self_aci = kluis_str_of(r->d.self); }
    if (r->m.self_number.ptr == NULL && r->d.self_number[0] == '+') { r->m.self_number = kluis_str_of(r->d.self_number); }
    r->m.frames = desktop_frames(&r->d);
    if (r->files.dir >= 0) { r->m.media = desktop_media(&r->files); }
    return model_read(&r->m, &form, sink, err);
}

static kluis_status read_desktop(const struct source_request *q, const struct source_sink *sink, struct kluis_err *err)
{
    struct reading *r = reading_new();
    if (r == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    kluis_status rc = read_it(r, q, sink, err);
    reading_free(r);
    return rc;
}

struct delivery {
    const struct source_attachment_sink *sink;
    size_t index;
};
static kluis_status deliver(void *ctx, const struct kluis_input *in, struct kluis_err *err)
{
    const struct delivery *d = ctx;
    return d->sink->attachment(d->sink->ctx, d->index, in, err);
}

static kluis_status attachments(const struct source_request *q, KLUIS_UNUSED struct kluis_str conversation_id, const struct kluis_str *wanted,
                                size_t n, const struct source_attachment_sink *sink, struct kluis_err *err)
{
    struct reading *r = reading_new();
    if (r == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    kluis_status rc = locate(r, q->path, err);
    for (size_t i = 0; rc == KLUIS_OK && i < n; i++) {
        struct delivery d = { sink, i };
        rc = desktop_file(&r->files, wanted[i], deliver, &d, err);
    }
    reading_free(r);
    return rc;
}

static enum source_sure probe(const struct source_file *f)
{
    static const char magic[] = "SQLite format 3";
    const char *path = f->name[0] != '\0' ? f->name : f->path;
    if (f->path == NULL || f->size < 4096 || f->size % 4096 != 0 || f->head.len < sizeof magic || memcmp(f->head.ptr, magic, sizeof magic) == 0) {
        return SOURCE_NO;
    }
    const size_t n = strlen(path);
    if (strcmp(path, "sql/db.sqlite") == 0) { return SOURCE_CERTAIN; }
    return n > 13 && strcmp(path + n - 14, "/sql/db.sqlite") == 0 ? SOURCE_LIKELY : SOURCE_NO;
}

const struct source_kind source_signal_desktop = {
    .name = KIND,
    .platform = "signal",
    .about_nl = "Signal Desktop: de map van het programma (config.json, sql/db.sqlite, attachments.noindex)",
    .about_en = "Signal Desktop: the program's folder (config.json, sql/db.sqlite, attachments.noindex)",
    .tells = tells,
    .loss = loss,
    .extent = SOURCE_WHOLE,
    .probe = probe,
    .read = read_desktop,
    .attachments = attachments,
};
