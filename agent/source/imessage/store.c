/* store.c - where Messages keeps its database and attachments: a folder of a Mac, a copy of the phone's, or a backup of the phone.  See imessage.h.
 */
#include "agent/source/imessage/imessage.h"

#include <errno.h>
#include <sys/stat.h>

#define DATABASE_DOMAIN "HomeDomain"
#define MEDIA_DOMAIN "MediaDomain"
#define DATABASE "Library/SMS/sms.db"
#define DATABASE_ID "3d0d7e5fb2ce288813306e4d4636395e047a3d28" /* SHA-1 of HomeDomain-Library/SMS/sms.db */

static kluis_status open_folder(struct im_store *s, struct kluis_err *err)
{
    const char *roots[1] = { s->dir };
    return wdb_media_open(&s->media, roots, 1, err);
}

kluis_status im_store_open(struct im_store *s, const struct source_request *q, struct kluis_err *err)
{
    static const char *const names[] = { "chat.db", "sms.db" };
    struct stat st;
    enum kluis_at what;
    bool backup;
    const char *path = q->path;
    memset(s, 0, sizeof *s);
    if (strlen(path) + 64 > sizeof s->dir) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "the path is too long"); }
    if (stat(path, &st) != 0) {
        return errno == ENOENT || errno == ENOTDIR
                   ? KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: not there; give chat.db, sms.db, its folder, or the folder of a backup of the phone", path)
               : errno == EACCES || errno == EPERM ? KLUIS_FAIL(err, KLUIS_E_IO, "%s: may not be read; on a Mac, allow Full Disk Access", path)
                                                   : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot be opened", path);
    }
    if (!S_ISDIR(st.st_mode)) {
        const char *slash = strrchr(path, '/');
        (void)snprintf(s->file, sizeof s->file, "%s", path);
        (void)snprintf(s->dir, sizeof s->dir, "%.*s", slash == NULL || slash == path ? 1 : (int)(slash - path), slash == NULL ? "." : path);
        return open_folder(s, err);
    }
    KLUIS_TRY(apple_backup_is(path, &backup, err));
    if (backup) {
        const char *typed = NULL;
        KLUIS_TRY(source_secret(q, "password", &typed, err));
        return apple_backup_open(&s->backup, path, source_option_bytes(q, "password"), err);
    }
    (void)snprintf(s->dir, sizeof s->dir, "%s", path);
    for (size_t i = 0; i < 2; i++) {
        KLUIS_TRY(kluis_path(s->file, sizeof s->file, path, names[i], err));
        KLUIS_TRY(kluis_what_at(s->file, &what, err));
        if (what == KLUIS_AT_FILE) { return open_folder(s, err); }
    }
    return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: neither chat.db nor sms.db nor a backup of a phone (Manifest.db) in it", path);
}

void im_store_close(struct im_store *s)
{
    wdb_media_free(s->media);
    apple_backup_free(s->backup);
    s->media = NULL;
    s->backup = NULL;
}

kluis_status im_store_database(struct im_store *s, struct kluis_db **out, struct kluis_err *err)
{
    *out = NULL;
    return s->backup != NULL ? apple_backup_database(s->backup, DATABASE_DOMAIN, DATABASE, out, err) : database_open_plain(out, s->file, err);
}

/* What a path in the database says below the folder of the database: from "Attachments" or "StickerCache" on. */
static struct kluis_str below(struct kluis_str path)
{
    static const char *const folders[] = { "/Library/Messages/", "/Library/SMS/" };
    for (size_t i = 0; path.ptr != NULL && i < 2; i++) {
        const char *at = memmem(path.ptr, path.len, folders[i], strlen(folders[i]));
        if (at == NULL) { continue; }
        at += strlen(folders[i]);
        return (struct kluis_str){ at, (size_t)(path.ptr + path.len - at) };
    }
    return (struct kluis_str){ NULL, 0 };
}

kluis_status im_store_media(struct im_store *s, struct kluis_str path, int64_t size, struct kluis_arena *arena, struct kluis_attachment *a,
                            struct kluis_err *err)
{
    char text[KLUIS_PATH_MAX];
    struct backup_file f;
    const struct kluis_str inside = below(path);
    a->size = size > 0 ? size : -1;
    if (s->backup == NULL) {
        const int64_t stated = a->size;
        KLUIS_TRY(wdb_media_find(s->media, inside, stated, NULL, arena, a, err));
        return KLUIS_OK;
    }
    a->source_ref = a->loss = (struct kluis_str){ NULL, 0 };
    const int n = inside.len > 0 && memchr(inside.ptr, 0, inside.len) == NULL
                      ? snprintf(text, sizeof text, "b/Library/SMS/%.*s", (int)inside.len, inside.ptr)
                      : 0;
    kluis_status rc = n > 0 && (size_t)n < sizeof text ? apple_backup_find(s->backup, MEDIA_DOMAIN, text + 2, &f, NULL) : KLUIS_E_NOTFOUND;
    kluis_wipe(f.key, sizeof f.key);
    if (rc == KLUIS_E_NOMEM) { return KLUIS_FAIL(err, rc, "out of memory; try again"); }
    if (rc != KLUIS_OK) {
        a->loss = KLUIS_STR_LIT("missing");
        return KLUIS_OK;
    }
    a->source_ref = kluis_arena_str(arena, kluis_str_of(text));
    a->size = f.size <= (uint64_t)KLUIS_INT_MAX_JSON ? (int64_t)f.size : -1;
    return KLUIS_OK;
}

kluis_status im_store_deliver(struct im_store *s, struct kluis_str ref, size_t index, const struct source_attachment_sink *sink,
                              struct kluis_err *err)
{
    struct kluis_input in;
    if (s->backup == NULL) {
        int fd = wdb_media_get(s->media, ref);
        if (fd < 0) { return KLUIS_OK; }
        struct kluis_input_fd state = { .fd = fd, .what = "attachment" };
        in = kluis_input_from_fd(&state);
        kluis_status rc = sink->attachment(sink->ctx, index, &in, err);
        kluis_close_quiet(&fd);
        return rc;
    }
    char path[KLUIS_PATH_MAX];
    struct backup_file f;
    struct backup_stream *stream = NULL;
    if (ref.len < 3 || ref.len >= sizeof path || ref.ptr[0] != 'b') { return KLUIS_OK; }
    memcpy(path, ref.ptr + 2, ref.len - 2);
    path[ref.len - 2] = '\0';
    kluis_status rc = apple_backup_find(s->backup, MEDIA_DOMAIN, path, &f, NULL);
    if (rc == KLUIS_OK) { rc = apple_backup_stream(s->backup, &f, &stream, &in, NULL); }
    kluis_wipe(f.key, sizeof f.key);
    if (rc != KLUIS_OK) { return rc == KLUIS_E_NOMEM ? KLUIS_FAIL(err, rc, "out of memory; try again") : KLUIS_OK; }
    rc = sink->attachment(sink->ctx, index, &in, err);
    backup_stream_free(stream);
    return rc;
}

enum source_sure im_probe(const struct source_file *f)
{
    struct kluis_db *db = NULL;
    const bool manifest = strcmp(f->name, "Manifest.db") == 0;
    enum source_sure sure = SOURCE_NO;
    /* What an encrypted backup holds, only its password shows. */
    if (strcmp(f->name, "Manifest.plist") == 0 && f->path != NULL && memmem(f->head.ptr, f->head.len, "BackupKeyBag", 12) != NULL) {
        return SOURCE_PERHAPS;
    }
    if (f->path == NULL || f->head.len < 100 || memcmp(f->head.ptr, "SQLite format 3", 16) != 0) { return SOURCE_NO; }
    if (f->name[0] != '\0' && strcmp(f->name, "chat.db") != 0 && strcmp(f->name, "sms.db") != 0 && !manifest) { return SOURCE_NO; }
    if (database_open_plain(&db, f->path, NULL) != KLUIS_OK) { return SOURCE_NO; }
    if (manifest) {
        struct sqlite3_stmt *st = NULL;
        if (kluis_db_query(db, &st, NULL, "SELECT 1 FROM Files WHERE fileID='" DATABASE_ID "'", "") == KLUIS_OK) {
            if (kluis_db_step(db, st, NULL) == KLUIS_OK) { sure = SOURCE_CERTAIN; }
            kluis_db_done(st);
        }
    } else if (database_has_column(db, "message", "handle_id") && database_has_column(db, "handle", "id") &&
               database_has_table(db, "chat_message_join")) {
        sure = SOURCE_CERTAIN;
    }
    database_close(db);
    return sure;
}
