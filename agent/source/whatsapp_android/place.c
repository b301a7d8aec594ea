/* place.c - where WhatsApp's database, names and media lie, and opening the database in any of its forms.  See android.h. */
#include "agent/source/whatsapp_android/android.h"
#include "agent/source/whatsapp_android/crypt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static const char *const FORMS[] = { "", ".crypt15", ".crypt14", ".crypt12" };

/* dir/sub/name with the first of the forms that is there; "": none. */
static kluis_status any_form(const char *dir, const char *sub, const char *name, char out[KLUIS_PATH_MAX], struct kluis_err *err)
{
    for (size_t i = 0; i < sizeof FORMS / sizeof *FORMS; i++) {
        enum kluis_at what = KLUIS_AT_NOTHING;
        int n = snprintf(out, KLUIS_PATH_MAX, "%s/%s%s%s%s", dir, sub, sub[0] == '\0' ? "" : "/", name, FORMS[i]);
        if (n > 0 && n < KLUIS_PATH_MAX) { KLUIS_TRY(kluis_what_at(out, &what, err)); }
        if (what == KLUIS_AT_FILE) { return KLUIS_OK; }
    }
    out[0] = '\0';
    return KLUIS_OK;
}

static kluis_status add_root(struct android_place *p, const char *dir, const char *sub, struct kluis_err *err)
{
    char media[KLUIS_PATH_MAX];
    enum kluis_at what;
    if (p->n_roots == 3) { return KLUIS_OK; }
    int n = snprintf(p->root[p->n_roots], KLUIS_PATH_MAX, "%s%s", dir, sub);
    if (n <= 0 || n >= KLUIS_PATH_MAX || kluis_path(media, sizeof media, p->root[p->n_roots], "Media", NULL) != KLUIS_OK) { return KLUIS_OK; }
    KLUIS_TRY(kluis_what_at(media, &what, err));
    if (what == KLUIS_AT_FOLDER) { p->n_roots++; }
    return KLUIS_OK;
}

/* A backup in several files: the later pieces hold changes in a form of their own. */
static kluis_status find_increment(struct android_place *p, const char *dir, struct kluis_err *err)
{
    DIR *d = opendir(dir);
    kluis_status rc = KLUIS_OK;
    if (d == NULL) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: the folder cannot be read", dir); }
    for (const char *name; kluis_dir_next(d, dir, &name, &rc, err);) {
        if (strncmp(name, "msgstore-increment-", 19) == 0 && p->increment[0] == '\0') {
            (void)snprintf(p->increment, sizeof p->increment, "%s", name);
        }
    }
    (void)closedir(d); /* only read */
    return rc;
}

kluis_status android_locate(struct android_place *p, const char *path, struct kluis_err *err)
{
    char dir[KLUIS_PATH_MAX];
    static const char *const subs[] = {
        "", "Databases", "WhatsApp/Databases", "com.whatsapp/WhatsApp/Databases", "databases", "com.whatsapp/databases"
    };
    struct stat st;
    memset(p, 0, sizeof *p);
    if (strlen(path) + 64 > sizeof dir) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "the path is too long"); }
    if (stat(path, &st) != 0) {
        return errno == ENOENT || errno == ENOTDIR
                   ? KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: not there; give msgstore.db, its backup, or the folder WhatsApp", path)
                   : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot be opened", path);
    }
    if (S_ISDIR(st.st_mode)) {
        bool found = false;
        for (size_t i = 0; i < sizeof subs / sizeof *subs && !found; i++) {
            KLUIS_TRY(any_form(path, subs[i], "msgstore.db", p->path, err));
            found = p->path[0] != '\0';
            int n = snprintf(dir, sizeof dir, "%s%s%s", path, subs[i][0] == '\0' ? "" : "/", subs[i]);
            if (n <= 0 || (size_t)n >= sizeof dir) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "the path is too long"); }
        }
        if (!found) {
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: no msgstore.db in it, plain or crypt12, 14 or 15; give the phone's folder WhatsApp", path);
        }
    } else {
        (void)snprintf(p->path, sizeof p->path, "%s", path);
        const char *slash = strrchr(path, '/');
        (void)snprintf(dir, sizeof dir, "%.*s", slash == NULL ? 1 : slash == path ? 1 : (int)(slash - path), slash == NULL ? "." : path);
    }
    char up[KLUIS_PATH_MAX + 8];
    (void)snprintf(up, sizeof up, "%s/..", dir);
    KLUIS_TRY(any_form(dir, "", "wa.db", p->contacts, err));
    if (p->contacts[0] == '\0') { KLUIS_TRY(any_form(up, "Backups", "wa.db", p->contacts, err)); }
    if (p->contacts[0] == '\0') { KLUIS_TRY(any_form(dir, "Backups", "wa.db", p->contacts, err)); }
    KLUIS_TRY(add_root(p, dir, "", err));
    KLUIS_TRY(add_root(p, dir, "/..", err));
    if (S_ISDIR(st.st_mode)) { KLUIS_TRY(add_root(p, path, "", err)); }
    return find_increment(p, dir, err);
}

/* ---- opening ---- */

struct sealed {
    const char *path;
    struct kluis_bytes given;
    char *app_version;
};

static kluis_status read_head(int fd, const char *path, uint64_t *size, struct crypt_head *h, struct kluis_err *err)
{
    uint8_t head[CRYPT_HEAD];
    struct stat st;
    if (fstat(fd, &st) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot be read", path); }
    *size = (uint64_t)st.st_size;
    ssize_t n = kluis_io_pread(fd, head, sizeof head, 0);
    if (n < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot be read", path); }
    return crypt_head_read((struct kluis_bytes){ head, (size_t)n }, *size, path, h, err);
}

struct scratch_input {
    struct kluis_scratch *s;
    uint64_t at;
};
static ssize_t scratch_read(void *ctx, void *p, size_t n, struct kluis_err *err)
{
    struct scratch_input *i = ctx;
    size_t got = 0;
    if (kluis_scratch_read(i->s, p, n, i->at, &got, err) != KLUIS_OK) { return -1; }
    i->at += got;
    return (ssize_t)got;
}

static kluis_status open_sealed(const struct sealed *s, int fd, struct kluis_scratch *file, struct kluis_err *err)
{
    struct crypt_head h;
    uint64_t size;
    uint8_t key[32];
    KLUIS_AUTO(kluis_scratch) packed = NULL;
    KLUIS_TRY(read_head(fd, s->path, &size, &h, err));
    KLUIS_TRY(kluis_scratch_new(&packed, err));
    const struct kluis_output to = kluis_scratch_output(packed), out = kluis_scratch_output(file);
    kluis_status rc = crypt_key(&h, s->given, s->path, key, err);
    if (rc == KLUIS_OK) { rc = crypt_open(&h, fd, size, s->path, key, &to, err); }
    kluis_wipe(key, sizeof key);
    KLUIS_TRY(rc);
    struct scratch_input state = { packed, 0 };
    const struct kluis_input in = { &state, scratch_read };
    return crypt_unpack(&in, s->path, &out, err);
}

static kluis_status fill_sealed(void *ctx, struct kluis_scratch *file, KLUIS_UNUSED struct kluis_scratch *log, struct kluis_err *err)
{
    const struct sealed *s = ctx;
    int fd = kluis_io_open(s->path, O_RDONLY | O_NOCTTY, 0);
    if (fd < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot be opened", s->path); }
    kluis_status rc = open_sealed(s, fd, file, err);
    kluis_close_quiet(&fd);
    return rc;
}

kluis_status android_open(const struct source_request *q, const char *path, struct kluis_db **out, char app_version[32], struct kluis_err *err)
{
    char head[16] = { 0 };
    *out = NULL;
    int fd = kluis_io_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot be opened", path); }
    ssize_t n = kluis_io_pread(fd, head, sizeof head, 0);
    kluis_status rc = KLUIS_OK;
    bool plain = n == sizeof head && memcmp(head, "SQLite format 3", 16) == 0;
    if (n < 0) {
        rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot be read", path);
    } else if (!plain) {
        struct crypt_head h;
        uint64_t size;
        rc = read_head(fd, path, &size, &h, err);
        if (rc == KLUIS_OK) { memcpy(app_version, h.app_version, sizeof h.app_version); }
    }
    kluis_close_quiet(&fd);
    KLUIS_TRY(rc);
    if (plain) { return database_open_plain(out, path, err); }
    const char *typed = NULL; /* the 64 digits as text; a key file is read as the bytes it is */
    KLUIS_TRY(source_secret(q, "key", &typed, err));
    struct sealed s = { .path = path, .given = source_option_bytes(q, "key") };
    const struct database_form form = { .name = "whatsapp-crypt", .files = { path }, .secret = s.given, .ctx = &s, .fill = fill_sealed };
    return database_open(out, &form, err);
}

enum source_sure android_probe(const struct source_file *f)
{
    struct crypt_head h;
    const char *name = strrchr(f->name, '/') != NULL ? strrchr(f->name, '/') + 1 : f->name;
    if (f->path == NULL || strncmp(name, "wa.db", 5) == 0) { return SOURCE_NO; } /* read from a folder, not from a zip */
    if (f->head.len >= 100 && memcmp(f->head.ptr, "SQLite format 3", 16) == 0) {
        struct kluis_db *db = NULL;
        if (name[0] != '\0' && strncmp(name, "msgstore", 8) != 0) { return SOURCE_NO; } /* others are not copied to look */
        if (database_open_plain(&db, f->path, NULL) != KLUIS_OK) { return SOURCE_NO; }
        bool ours = database_has_column(db, "messages", "key_remote_jid") ||
                    (database_has_column(db, "message", "chat_row_id") && database_has_table(db, "jid"));
        database_close(db);
        return ours ? SOURCE_CERTAIN : SOURCE_NO;
    }
    if (f->size < 256 || crypt_head_read(f->head, f->size, "", &h, NULL) != KLUIS_OK) { return SOURCE_NO; }
    return h.form == 12 ? SOURCE_PERHAPS : SOURCE_CERTAIN;
}
