/* signal_export.c - Signal's own plaintext "export chat history": main.jsonl, metadata.json and files/, or the .jsonl alone.
 *
 * Frames are one JSON object a line: people and chats before the items that name them, items in the order of all chats together.  Records
 * come out chat by chat.  A message is named "<account id of its author>:<milliseconds>", which is how Signal itself names one.
 */
#include "agent/source/signal_export/export.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define KIND "signal-export"

static const char *const tells[] = { "text",          "edits",  "deletions",   "reactions",   "quotes",  "polls",    "calls",
                                     "group-changes", "timers", "attachments", "account-ids", "numbers", "delivery", NULL };
static const char *const loss[] = { "disappearing-messages", "view-once-content", "deleted-content", "time-of-vote", NULL };
static const char *const everywhere[] = { "disappearing-messages", NULL }; /* Signal leaves them out of an export without a trace */

struct reading {
    char path[KLUIS_PATH_MAX];
    int fd;
    struct folder folder;
    bool has_files;
    struct lines lines;
    struct model m;
};

/* ---- where the export is ---------------------------------------------------------------------------- */

static bool is_dir(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

static kluis_status cannot_open(const char *path, struct kluis_err *err)
{
    return errno == ENOENT || errno == ENOTDIR
               ? KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: not there; give the folder or main.jsonl of a Signal export", path)
               : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot open", path);
}

/* Opens the lines and the folder they lie in. */
static kluis_status locate(struct reading *r, const char *path, struct kluis_err *err)
{
    struct stat st;
    if (strlen(path) >= sizeof r->path - 16) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "the path is too long"); }
    (void)snprintf(r->path, sizeof r->path, "%s", path);
    int fd = kluis_io_open(path, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0) { return cannot_open(path, err); }
    if (is_dir(fd)) {
        r->folder.dir = fd;
        KLUIS_TRY(kluis_path(r->path, sizeof r->path, path, "main.jsonl", err));
        r->fd = kluis_io_openat(fd, "main.jsonl", O_RDONLY | O_NONBLOCK, 0);
        if (r->fd < 0 && errno == ENOENT) {
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: no main.jsonl in it; give the folder that Signal's \"export chat history\" made", path);
        }
        if (r->fd < 0) { return cannot_open(r->path, err); }
    } else {
        char folder[KLUIS_PATH_MAX];
        r->fd = fd;
        const char *slash = strrchr(path, '/');
        size_t n = slash == NULL ? 0 : (size_t)(slash - path);
        (void)snprintf(folder, sizeof folder, "%.*s", n > 0 ? (int)n : 1, n > 0 ? path : slash != NULL ? "/" : ".");
        r->folder.dir = kluis_io_open(folder, O_RDONLY | O_DIRECTORY, 0); /* without it there are only no attachments */
    }
    if (fstat(r->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: not a file; give main.jsonl of a Signal export", r->path);
    }
    int files = r->folder.dir >= 0 ? kluis_io_openat(r->folder.dir, "files", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0) : -1;
    r->has_files = files >= 0;
    kluis_close_quiet(&files);
    return KLUIS_OK;
}

static kluis_status options(struct model *m, const struct source_request *q, struct kluis_err *err)
{
    for (size_t i = 0; i < q->n_options; i++) {
        if (model_option(m, &q->options[i])) { continue; }
        return KLUIS_FAIL(err, KLUIS_E_USAGE,
                          KIND ": options are number=+31… (your own) and account=<your account id, a UUID in lower case>; \"%.40s\" is not one",
                          q->options[i].key);
    }
    return KLUIS_OK;
}

/* ---- lines as frames ------------------------------------------------------------------------------------ */

static kluis_status raw(void *ctx, struct frame *out, struct kluis_err *err)
{
    struct reading *r = ctx;
    size_t blank;
    memset(out, 0, sizeof *out);
    do { /* an empty line says nothing, unless it is the first */
        KLUIS_TRY(lines_next(&r->lines, &out->raw, &out->at, err));
        for (blank = 0; blank < out->raw.len && strchr(" \r\t", out->raw.ptr[blank]) != NULL && out->raw.ptr[blank] != '\0';) { blank++; }
    } while (blank == out->raw.len && out->at > 0);
    out->number = r->lines.number;
    return KLUIS_OK;
}

static kluis_status tree(void *ctx, struct frame *f, struct kluis_arena *arena, struct kluis_err *err)
{
    const struct reading *r = ctx;
    kluis_arena_clear(arena);
    kluis_status rc = json_read(f->raw, arena, &f->tree, err);
    if (rc == KLUIS_OK && f->tree->type != JSON_OBJECT) { rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "not an object"); }
    if (rc != KLUIS_OK && err != NULL) { kluis_err_prefix(err, "%s: no Signal export: line %llu", r->path, (unsigned long long)f->number); }
    return rc;
}

static kluis_status seek(void *ctx, uint64_t at, KLUIS_UNUSED struct kluis_err *err)
{
    lines_seek(&((struct reading *)ctx)->lines, at);
    return KLUIS_OK;
}

static struct reading *reading_new(void)
{
    struct reading *r = kluis_calloc(1, sizeof *r);
    if (r != NULL) { r->fd = r->folder.dir = -1; }
    return r;
}

static void reading_free(struct reading *r)
{
    lines_close(&r->lines);
    kluis_close_quiet(&r->fd);
    kluis_close_quiet(&r->folder.dir);
    kluis_free(r);
}

static kluis_status read_it(struct reading *r, const struct source_request *q, const struct source_sink *sink, struct kluis_err *err)
{
    static const struct signal_form form = { .kind = KIND, .app = "Signal", .loss = everywhere };
    model_init(&r->m, r->path, "Signal export");
    KLUIS_TRY(options(&r->m, q, err));
    KLUIS_TRY(locate(r, q->path, err));
    KLUIS_TRY(lines_open(&r->lines, r->fd, r->path, err));
    r->m.frames = (struct frames){ .ctx = r, .unit = "line", .raw = raw, .tree = tree, .seek = seek };
    if (r->has_files) { r->m.media = folder_media(&r->folder); }
    return model_read(&r->m, &form, sink, err);
}

static kluis_status read_export(const struct source_request *q, const struct source_sink *sink, struct kluis_err *err)
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
        int fd = folder_open(r->folder.dir, wanted[i]);
        if (fd < 0) { continue; }
        struct kluis_input_fd state = { .fd = fd, .what = "attachment" };
        struct kluis_input in = kluis_input_from_fd(&state);
        rc = sink->attachment(sink->ctx, i, &in, err);
        kluis_close_quiet(&fd);
    }
    reading_free(r);
    return rc;
}

/* The first line is a whole object that says which version of a backup this is, or a frame. */
static enum source_sure probe(const struct source_file *f)
{
    static const char *const frames[] = { "account", "recipient", "chat", "chatItem", "adHocCall", "stickerPack", "chatFolder" };
    if (f->path == NULL || (f->name[0] != '\0' && strcmp(f->name, "main.jsonl") != 0)) { return SOURCE_NO; }
    const char *p = (const char *)f->head.ptr, *nl = f->head.len == 0 ? NULL : memchr(p, '\n', f->head.len);
    if (f->head.len == 0 || p[0] != '{' || (nl == NULL && f->head.len == SOURCE_HEAD_MAX)) { return SOURCE_NO; }
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(TREE_MAX);
    struct json *v = NULL;
    struct kluis_err unread = { 0 };
    uint64_t n;
    if (arena == NULL || json_read((struct kluis_str){ p, nl == NULL ? f->head.len : (size_t)(nl - p) }, arena, &v, &unread) != KLUIS_OK) {
        return SOURCE_NO;
    }
    if (json_u64(v, "version", &n) && json_u64(v, "backupTimeMs", &n)) { return SOURCE_CERTAIN; }
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
        if (json_object(v, frames[i]) != NULL && v->child->next == NULL) { return SOURCE_LIKELY; }
    }
    return SOURCE_NO;
}

const struct source_kind source_signal_export = {
    .name = KIND,
    .platform = "signal",
    .about_nl = "Signal: \"chatgeschiedenis exporteren\" (map met main.jsonl en files)",
    .about_en = "Signal: \"export chat history\" (folder with main.jsonl and files)",
    .tells = tells,
    .loss = loss,
    .probe = probe,
    .read = read_export,
    .attachments = attachments,
};
