/* store.c - where WhatsApp's databases and media of an iPhone or Mac lie: the app's folder, or a backup of the phone.  See ios.h. */
#include "agent/source/whatsapp_ios/ios.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static kluis_status open_folder(struct ios_store *s, struct kluis_err *err)
{
    char message[KLUIS_PATH_MAX];
    KLUIS_TRY(kluis_path(message, sizeof message, s->dir, "Message", err));
    const char *roots[2] = { message, s->dir };
    return wdb_media_open(&s->media, roots, 2, err);
}

kluis_status ios_store_open(struct ios_store *s, const struct source_request *q, struct kluis_err *err)
{
    struct stat st;
    enum kluis_at what;
    bool backup;
    const char *path = q->path;
    memset(s, 0, sizeof *s);
    if (strlen(path) + 64 > sizeof s->dir) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "the path is too long"); }
    if (stat(path, &st) != 0) {
        return errno == ENOENT || errno == ENOTDIR
                   ? KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: not there; give ChatStorage.sqlite, its folder, or the folder of a backup of the phone",
                                path)
                   : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot be opened", path);
    }
    if (!S_ISDIR(st.st_mode)) {
        const char *slash = strrchr(path, '/');
        (void)snprintf(s->file, sizeof s->file, "%s", path);
        (void)snprintf(s->dir, sizeof s->dir, "%.*s", slash == NULL ? 1 : slash == path ? 1 : (int)(slash - path), slash == NULL ? "." : path);
        return open_folder(s, err);
    }
    KLUIS_TRY(apple_backup_is(path, &backup, err));
    if (backup) {
        const char *typed = NULL;
        KLUIS_TRY(source_secret(q, "password", &typed, err));
        return apple_backup_open(&s->backup, path, source_option_bytes(q, "password"), err);
    }
    (void)snprintf(s->dir, sizeof s->dir, "%s", path);
    KLUIS_TRY(kluis_path(s->file, sizeof s->file, path, "ChatStorage.sqlite", err));
    KLUIS_TRY(kluis_what_at(s->file, &what, err));
    if (what != KLUIS_AT_FILE) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: neither ChatStorage.sqlite nor a backup of a phone (Manifest.db) in it", path);
    }
    return open_folder(s, err);
}

void ios_store_close(struct ios_store *s)
{
    wdb_media_free(s->media);
    apple_backup_free(s->backup);
    s->media = NULL;
    s->backup = NULL;
}

kluis_status ios_store_database(struct ios_store *s, const char *name, struct kluis_db **out, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    *out = NULL;
    if (s->backup != NULL) { return apple_backup_database(s->backup, IOS_DOMAIN, name, out, err); }
    if (strcmp(name, "ChatStorage.sqlite") == 0) { return database_open_plain(out, s->file, err); }
    KLUIS_TRY(kluis_path(path, sizeof path, s->dir, name, err));
    return database_open_plain(out, path, err);
}

kluis_status ios_store_media(struct ios_store *s, struct kluis_str path, int64_t size, const uint8_t *sha256, struct kluis_arena *arena,
                             struct kluis_attachment *a, struct kluis_err *err)
{
    char text[KLUIS_PATH_MAX];
    struct backup_file f;
    if (s->backup == NULL) { return wdb_media_find(s->media, path, size, sha256, arena, a, err); }
    a->source_ref = a->loss = (struct kluis_str){ NULL, 0 };
    int n = path.len > 0 && memchr(path.ptr, 0, path.len) == NULL ? snprintf(text, sizeof text, "b/Message/%.*s", (int)path.len, path.ptr) : 0;
    kluis_status rc = n > 0 && (size_t)n < sizeof text ? apple_backup_find(s->backup, IOS_DOMAIN, text + 2, &f, NULL) : KLUIS_E_NOTFOUND;
    kluis_wipe(f.key, sizeof f.key);
    if (rc == KLUIS_E_NOMEM) { return KLUIS_FAIL(err, rc, "out of memory; try again"); }
    if (rc == KLUIS_OK) {
        a->source_ref = kluis_arena_str(arena, kluis_str_of(text));
        a->size = f.size <= (uint64_t)KLUIS_INT_MAX_JSON ? (int64_t)f.size : -1;
        return KLUIS_OK;
    }
    a->loss = KLUIS_STR_LIT("missing");
    a->size = size > 0 ? size : -1;
    if (sha256 != NULL && a->size > 0) {
        a->has_sha256 = true;
        memcpy(a->sha256, sha256, 32);
    }
    return KLUIS_OK;
}

kluis_status ios_store_deliver(struct ios_store *s, struct kluis_str ref, size_t index, const struct source_attachment_sink *sink,
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
    kluis_status rc = apple_backup_find(s->backup, IOS_DOMAIN, path, &f, NULL);
    if (rc == KLUIS_OK) { rc = apple_backup_stream(s->backup, &f, &stream, &in, NULL); }
    kluis_wipe(f.key, sizeof f.key);
    if (rc != KLUIS_OK) { return rc == KLUIS_E_NOMEM ? KLUIS_FAIL(err, rc, "out of memory; try again") : KLUIS_OK; }
    rc = sink->attachment(sink->ctx, index, &in, err);
    backup_stream_free(stream);
    return rc;
}

enum source_sure ios_probe(const struct source_file *f)
{
    const char *name = strrchr(f->name, '/') != NULL ? strrchr(f->name, '/') + 1 : f->name;
    struct kluis_db *db = NULL;
    /* What an encrypted backup holds, only its password shows. */
    if (strcmp(f->name, "Manifest.plist") == 0 && f->path != NULL && memmem(f->head.ptr, f->head.len, "BackupKeyBag", 12) != NULL) {
        return SOURCE_PERHAPS;
    }
    if (f->path == NULL || f->head.len < 100 || memcmp(f->head.ptr, "SQLite format 3", 16) != 0) { return SOURCE_NO; }
    /* The folder's own, not one further down, which `read` would not find. */
    bool manifest = strcmp(f->name, "Manifest.db") == 0;
    if (f->name[0] != '\0' && strcmp(f->name, "ChatStorage.sqlite") != 0 && !manifest) { return SOURCE_NO; }
    if (manifest || strcmp(name, "Manifest.db") == 0) {
        enum source_sure sure = SOURCE_NO;
        struct sqlite3_stmt *st = NULL;
        if (!manifest || database_open_plain(&db, f->path, NULL) != KLUIS_OK) { return SOURCE_NO; }
        if (kluis_db_query(db, &st, NULL, "SELECT 1 FROM Files WHERE fileID='7c7fba66680ef796b916b067077cc246adacf01d'", "") == KLUIS_OK &&
            kluis_db_step(db, st, NULL) == KLUIS_OK) {
            sure = SOURCE_CERTAIN;
        }
        kluis_db_done(st);
        database_close(db);
        return sure;
    }
    if (database_open_plain(&db, f->path, NULL) != KLUIS_OK) { return SOURCE_NO; }
    bool ours = database_has_column(db, "ZWAMESSAGE", "ZCHATSESSION");
    database_close(db);
    return ours ? SOURCE_CERTAIN : SOURCE_NO;
}
