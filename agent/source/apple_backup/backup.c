/* backup.c - finding, decrypting and streaming files of a backup.  See backup.h. */
#include "agent/source/apple_backup/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <gcrypt.h>
#include <plist/plist.h>
#include <sqlite3.h>
#include <sys/stat.h>

enum { PLIST_MAX = 16 << 20, ABOUT_MAX = 256 << 10, CHUNK = 128 << 10 };

struct apple_backup {
    char path[KLUIS_PATH_MAX], manifest[KLUIS_PATH_MAX], version[32];
    struct kluis_bytes password;
    bool encrypted;
    struct class_keys *keys; /* secret memory; NULL: unencrypted */
    uint8_t manifest_key[40];
    uint32_t manifest_class;
    struct kluis_db *files;
};

/* The rounds take seconds: class keys of the last backup stay in secret memory for the next reading of the same. */
static struct {
    uint8_t identity[32];
    struct class_keys *keys;
} last;

/* ---- property lists ---- */

static plist_t parse(const void *p, size_t n)
{
    plist_t out = NULL;
    plist_from_memory(p, (uint32_t)n, &out);
    return out;
}

static struct kluis_bytes data_of(plist_t node)
{
    uint64_t n = 0;
    if (node == NULL || plist_get_node_type(node) != PLIST_DATA) { return (struct kluis_bytes){ NULL, 0 }; }
    const char *p = plist_get_data_ptr(node, &n);
    return (struct kluis_bytes){ (const uint8_t *)p, (size_t)n };
}

static plist_t item(plist_t dict, const char *key)
{
    return dict != NULL && plist_get_node_type(dict) == PLIST_DICT ? plist_dict_get_item(dict, key) : NULL;
}

static uint64_t number_of(plist_t node)
{
    uint64_t v = 0;
    if (node != NULL && plist_get_node_type(node) == PLIST_UINT) { plist_get_uint_val(node, &v); }
    return v;
}

/* An object of a keyed archive by its UID. */
static plist_t object(plist_t objects, plist_t uid)
{
    uint64_t v = 0;
    if (objects == NULL || uid == NULL || plist_get_node_type(objects) != PLIST_ARRAY || plist_get_node_type(uid) != PLIST_UID) { return NULL; }
    plist_get_uid_val(uid, &v);
    return v < plist_array_get_size(objects) ? plist_array_get_item(objects, (uint32_t)v) : NULL;
}

/* ---- opening ---- */

kluis_status apple_backup_is(const char *path, bool *is, struct kluis_err *err)
{
    static const char *const manifests[] = { "Manifest.plist", "Manifest.db" };
    *is = true;
    for (size_t i = 0; i < 2 && *is; i++) {
        char p[KLUIS_PATH_MAX];
        KLUIS_TRY(kluis_path(p, sizeof p, path, manifests[i], err));
        KLUIS_TRY(kluis_exists(p, is, err));
    }
    return KLUIS_OK;
}

static kluis_status unlock(struct apple_backup *b, struct kluis_bytes bag, struct kluis_err *err)
{
    struct keybag k;
    uint8_t identity[32];
    KLUIS_TRY(keybag_read(bag, &k, err));
    if (b->password.len == 0) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: an encrypted backup; give its password with --option password=@FILE", b->path);
    }
    KLUIS_AUTO(kluis_sha256) h = kluis_sha256_new();
    if (h == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    kluis_sha256_add(h, bag.ptr, bag.len);
    kluis_sha256_add(h, b->password.ptr, b->password.len);
    kluis_sha256_end(h, identity);
    b->keys = kluis_secret_new(sizeof *b->keys);
    if (last.keys == NULL) { last.keys = kluis_secret_new(sizeof *last.keys); }
    if (b->keys == NULL || last.keys == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    if (last.keys->n == 0 || memcmp(last.identity, identity, 32) != 0) {
        kluis_status rc = keybag_open(&k, b->password, b->keys, err);
        if (rc != KLUIS_OK) {
            kluis_err_prefix(err, "%s", b->path);
            return rc;
        }
        memcpy(last.keys, b->keys, sizeof *b->keys);
        memcpy(last.identity, identity, 32);
    }
    memcpy(b->keys, last.keys, sizeof *b->keys);
    return KLUIS_OK;
}

static bool class_key(const struct apple_backup *b, uint32_t number, const uint8_t wrapped[40], uint8_t out[32])
{
    for (size_t i = 0; b->keys != NULL && i < b->keys->n; i++) {
        if (b->keys->number[i] == number) { return key_unwrap(b->keys->key[i], wrapped, out); }
    }
    return false;
}

static kluis_status read_plist(struct apple_backup *b, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    KLUIS_AUTO_BUF(file, PLIST_MAX);
    KLUIS_TRY(kluis_path(path, sizeof path, b->path, "Manifest.plist", err));
    KLUIS_TRY(kluis_read_file(path, PLIST_MAX, &file, err));
    plist_t root = parse(file.data, file.len), lockdown = item(root, "Lockdown"), version = item(lockdown, "ProductVersion");
    kluis_status rc = KLUIS_OK;
    uint8_t yes = 0;
    if (root == NULL || plist_get_node_type(root) != PLIST_DICT) {
        rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: damaged, no property list", path);
    } else {
        plist_t flag = item(root, "IsEncrypted");
        if (flag != NULL && plist_get_node_type(flag) == PLIST_BOOLEAN) { plist_get_bool_val(flag, &yes); }
        b->encrypted = yes != 0;
        if (version != NULL && plist_get_node_type(version) == PLIST_STRING) {
            uint64_t n = 0;
            const char *s = plist_get_string_ptr(version, &n);
            if (s != NULL && n < sizeof b->version) { (void)snprintf(b->version, sizeof b->version, "%s", s); }
        }
    }
    if (rc == KLUIS_OK && b->encrypted) {
        struct kluis_bytes bag = data_of(item(root, "BackupKeyBag")), key = data_of(item(root, "ManifestKey"));
        if (bag.ptr == NULL || bag.len > KEYBAG_MAX || key.len != 44) {
            rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: encrypted, but without the keys that backups since iOS 10 carry", path);
        } else {
            b->manifest_class = (uint32_t)key.ptr[0] | (uint32_t)key.ptr[1] << 8 | (uint32_t)key.ptr[2] << 16 | (uint32_t)key.ptr[3] << 24;
            memcpy(b->manifest_key, key.ptr + 4, 40);
            rc = unlock(b, bag, err);
        }
    }
    plist_free(root);
    return rc;
}

/* ---- streams ---- */

struct backup_stream {
    int fd;
    gcry_cipher_hd_t cipher;
    uint64_t at, size;
    uint8_t block[CHUNK];
    size_t from, have;
};

static ssize_t stream_read(void *ctx, void *p, size_t n, struct kluis_err *err)
{
    struct backup_stream *s = ctx;
    if (s->from == s->have) {
        size_t got = 0;
        while (got < sizeof s->block) { /* whole cipher blocks */
            ssize_t r = kluis_io_pread(s->fd, s->block + got, sizeof s->block - got, s->at + got);
            if (r < 0) {
                (void)KLUIS_FAIL_SYS(err, KLUIS_E_IO, "a file of the backup cannot be read");
                return -1;
            }
            if (r == 0) { break; }
            got += (size_t)r;
        }
        if (s->cipher != NULL) {
            got -= got % 16; /* a file that was cut ends with the last whole block */
            if (got > 0 && gcry_cipher_decrypt(s->cipher, s->block, got, NULL, 0) != 0) {
                (void)KLUIS_FAIL(err, KLUIS_E_BUG, "a file of the backup cannot be decrypted");
                return -1;
            }
        }
        if (s->at >= s->size) { got = 0; }
        s->have = got > s->size - s->at && s->at < s->size ? (size_t)(s->size - s->at) : got;
        s->from = 0;
        s->at += got;
    }
    size_t give = s->have - s->from < n ? s->have - s->from : n;
    if (give > 0) { memcpy(p, s->block + s->from, give); }
    s->from += give;
    return (ssize_t)give;
}

static kluis_status stream_open(const char *path, uint64_t size, const uint8_t *key, struct backup_stream **out, struct kluis_input *in,
                                struct kluis_err *err)
{
    static const uint8_t zero[16];
    struct backup_stream *s = kluis_calloc(1, sizeof *s);
    *out = NULL;
    if (s == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    s->size = size;
    s->fd = kluis_io_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    kluis_status rc = KLUIS_OK;
    if (s->fd < 0) {
        rc = errno == ENOENT ? KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "%s: listed in the backup, but not there", path)
                             : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot be opened", path);
    } else if (key != NULL && (gcry_cipher_open(&s->cipher, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_CBC, 0) != 0 ||
                               gcry_cipher_setkey(s->cipher, key, 32) != 0 || gcry_cipher_setiv(s->cipher, zero, sizeof zero) != 0)) {
        rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again");
    }
    if (rc != KLUIS_OK) {
        backup_stream_free(s);
        return rc;
    }
    *in = (struct kluis_input){ s, stream_read };
    *out = s;
    return KLUIS_OK;
}

void backup_stream_free(struct backup_stream *s)
{
    if (s == NULL) { return; }
    gcry_cipher_close(s->cipher);
    kluis_close_quiet(&s->fd);
    kluis_wipe(s->block, sizeof s->block);
    kluis_free(s);
}

/* ---- databases ---- */

struct filling {
    struct apple_backup *b;
    const char *path, *log_path; /* on this disk; log_path NULL: none */
    struct backup_file file, log;
};

static kluis_status pour(const char *path, uint64_t size, const uint8_t *key, struct kluis_scratch *to, struct kluis_err *err)
{
    struct backup_stream *s = NULL;
    struct kluis_input in;
    KLUIS_TRY(stream_open(path, size, key, &s, &in, err));
    uint8_t *chunk = kluis_malloc(CHUNK);
    kluis_status rc = chunk == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again") : KLUIS_OK;
    for (uint64_t at = 0; rc == KLUIS_OK;) {
        ssize_t n = in.read(in.ctx, chunk, CHUNK, err);
        if (n < 0) { rc = KLUIS_E_IO; }
        if (n <= 0) { break; }
        rc = kluis_scratch_write(to, chunk, (size_t)n, at, err);
        at += (uint64_t)n;
    }
    if (chunk != NULL) { kluis_wipe(chunk, CHUNK); }
    kluis_free(chunk);
    backup_stream_free(s);
    return rc;
}

static kluis_status fill(void *ctx, struct kluis_scratch *file, struct kluis_scratch *log, struct kluis_err *err)
{
    const struct filling *f = ctx;
    KLUIS_TRY(pour(f->path, f->file.size, f->file.encrypted ? f->file.key : NULL, file, err));
    return f->log_path == NULL ? KLUIS_OK : pour(f->log_path, f->log.size, f->log.encrypted ? f->log.key : NULL, log, err);
}

static kluis_status open_manifest(struct apple_backup *b, struct kluis_err *err)
{
    KLUIS_TRY(kluis_path(b->manifest, sizeof b->manifest, b->path, "Manifest.db", err));
    if (!b->encrypted) { return database_open_plain(&b->files, b->manifest, err); }
    struct filling f = { .b = b, .path = b->manifest, .file = { .size = UINT64_MAX, .encrypted = true } };
    if (!class_key(b, b->manifest_class, b->manifest_key, f.file.key)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: its list of files is under a key that the password does not open", b->path);
    }
    const struct database_form form = { .name = "apple-manifest", .files = { b->manifest }, .secret = { f.file.key, 32 }, .ctx = &f, .fill = fill };
    kluis_status rc = database_open(&b->files, &form, err);
    kluis_wipe(f.file.key, sizeof f.file.key);
    return rc;
}

kluis_status apple_backup_open(struct apple_backup **out, const char *path, struct kluis_bytes password, struct kluis_err *err)
{
    struct apple_backup *b = kluis_calloc(1, sizeof *b);
    *out = NULL;
    if (b == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    kluis_status rc = strlen(path) + 64 < sizeof b->path ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_USAGE, "the path is too long");
    if (rc == KLUIS_OK) { (void)snprintf(b->path, sizeof b->path, "%s", path); }
    /* Line ends after a password that was read from a file are not part of it. */
    while (password.len > 0 && (password.ptr[password.len - 1] == '\n' || password.ptr[password.len - 1] == '\r')) { password.len--; }
    b->password = password;
    if (rc == KLUIS_OK) { rc = read_plist(b, err); }
    if (rc == KLUIS_OK) { rc = open_manifest(b, err); }
    if (rc == KLUIS_OK && !database_has_column(b->files, "Files", "relativePath")) {
        rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: its Manifest.db has no list of files", path);
    }
    if (rc != KLUIS_OK) {
        apple_backup_free(b);
        return rc;
    }
    *out = b;
    return KLUIS_OK;
}

void apple_backup_free(struct apple_backup *b)
{
    if (b == NULL) { return; }
    database_close(b->files);
    kluis_secret_free(b->keys, sizeof *b->keys);
    kluis_free(b);
}

bool apple_backup_encrypted(const struct apple_backup *b) { return b->encrypted; }
const char *apple_backup_version(const struct apple_backup *b) { return b->version; }

/* ---- files ---- */

/* What is said about a file: a keyed archive with its size, and its key under its class. */
static kluis_status about(struct apple_backup *b, struct kluis_bytes blob, struct backup_file *f, struct kluis_err *err)
{
    if (blob.len == 0 || blob.len > ABOUT_MAX) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "a file of the backup is listed without its properties"); }
    plist_t root = parse(blob.ptr, blob.len), objects = item(root, "$objects");
    plist_t file = object(objects, item(item(root, "$top"), "root"));
    plist_t key = object(objects, item(file, "EncryptionKey"));
    struct kluis_bytes wrapped = data_of(item(key, "NS.data"));
    kluis_status rc = KLUIS_OK;
    if (wrapped.ptr == NULL) { wrapped = data_of(key); }
    f->size = number_of(item(file, "Size"));
    if (file == NULL) {
        rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "the properties of a file of the backup are damaged");
    } else if (wrapped.len == 44) {
        f->encrypted = true;
        if (!class_key(b, (uint32_t)number_of(item(file, "ProtectionClass")), wrapped.ptr + 4, f->key)) {
            rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "a file of the backup is under a key that the password does not open");
        }
    } else if (b->encrypted) {
        rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "a file of an encrypted backup is listed without its key");
    }
    plist_free(root);
    return rc;
}

kluis_status apple_backup_find(struct apple_backup *b, const char *domain, const char *path, struct backup_file *out, struct kluis_err *err)
{
    char name[KLUIS_PATH_MAX];
    uint8_t sha1[20];
    struct sqlite3_stmt *st = NULL;
    memset(out, 0, sizeof *out);
    int n = snprintf(name, sizeof name, "%s-%s", domain, path);
    if (n < 0 || (size_t)n >= sizeof name) { return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "a path of more than 4,096 bytes"); }
    gcry_md_hash_buffer(GCRY_MD_SHA1, sha1, name, (size_t)n);
    kluis_hex(sha1, sizeof sha1, out->id);
    kluis_status rc = kluis_db_query(b->files, &st, err, "SELECT file FROM Files WHERE fileID=?1 AND flags=1", "s", out->id);
    if (rc == KLUIS_OK) { rc = kluis_db_step(b->files, st, err); }
    if (rc == KLUIS_OK) { rc = about(b, kluis_db_blob(st, 0), out, err); }
    kluis_db_done(st);
    if (rc == KLUIS_E_CORRUPT) { /* the source's fault, not a store of ours */
        if (err != NULL) { kluis_err_clear(err); }
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: damaged where it says where %s is: make the backup again", b->manifest, path);
    }
    return rc == KLUIS_END ? KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "%s: not in the backup", path) : rc;
}

static kluis_status place_of(const struct apple_backup *b, const struct backup_file *f, char out[KLUIS_PATH_MAX])
{
    int n = snprintf(out, KLUIS_PATH_MAX, "%s/%.2s/%s", b->path, f->id, f->id);
    return n > 0 && n < KLUIS_PATH_MAX ? KLUIS_OK : KLUIS_E_LIMIT;
}

kluis_status apple_backup_stream(struct apple_backup *b, const struct backup_file *f, struct backup_stream **out, struct kluis_input *in,
                                 struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    KLUIS_TRY(place_of(b, f, path));
    return stream_open(path, f->size, f->encrypted ? f->key : NULL, out, in, err);
}

kluis_status apple_backup_database(struct apple_backup *b, const char *domain, const char *path, struct kluis_db **out, struct kluis_err *err)
{
    char log[KLUIS_PATH_MAX], place[KLUIS_PATH_MAX], log_place[KLUIS_PATH_MAX];
    struct filling f = { .b = b, .path = place };
    *out = NULL;
    KLUIS_TRY(apple_backup_find(b, domain, path, &f.file, err));
    KLUIS_TRY(place_of(b, &f.file, place));
    (void)snprintf(log, sizeof log, "%s-wal", path);
    if (apple_backup_find(b, domain, log, &f.log, NULL) == KLUIS_OK && place_of(b, &f.log, log_place) == KLUIS_OK) { f.log_path = log_place; }
    const struct database_form form = { .name = "apple-backup",
                                        .files = { place, f.log_path != NULL ? log_place : b->manifest, b->manifest },
                                        .secret = { f.file.key, sizeof f.file.key },
                                        .ctx = &f,
                                        .fill = fill };
    kluis_status rc = database_open(out, &form, err);
    kluis_wipe(&f.file, sizeof f.file);
    kluis_wipe(&f.log, sizeof f.log);
    return rc;
}
