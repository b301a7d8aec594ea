/* agent/journal/home.c - the home folder: layout, lock, database, configuration.  See home.h. */
#include "agent/journal/home.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const schema[] = {
    "CREATE TABLE config(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE source(id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, path TEXT NOT NULL, options BLOB NOT NULL,"
    " removed INTEGER NOT NULL DEFAULT 0, last_ok INTEGER, last_error_at INTEGER, last_error TEXT, UNIQUE(kind, path));"
    /* key: keyed hash of source kind and conversation id.  No name, no id. */
    "CREATE TABLE conversation(id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, parts INTEGER NOT NULL DEFAULT 0);"
    "CREATE TABLE seen(id INTEGER PRIMARY KEY, conversation INTEGER NOT NULL REFERENCES conversation(id), package BLOB NOT NULL,"
    " first INTEGER NOT NULL, last INTEGER NOT NULL, precision INTEGER NOT NULL, n INTEGER NOT NULL, entries BLOB NOT NULL);"
    "CREATE INDEX seen_conversation ON seen(conversation, id);"
    "CREATE INDEX seen_package ON seen(package);"
    "CREATE TABLE author(conversation INTEGER NOT NULL, tag INTEGER NOT NULL, PRIMARY KEY(conversation, tag)) WITHOUT ROWID;"
    "CREATE TABLE package(id BLOB PRIMARY KEY, device TEXT NOT NULL, sequence INTEGER NOT NULL, previous BLOB NOT NULL,"
    " root BLOB NOT NULL, records INTEGER NOT NULL, length INTEGER NOT NULL, cipher_length INTEGER NOT NULL, cipher BLOB NOT NULL,"
    " key BLOB NOT NULL, upload BLOB NOT NULL, timed INTEGER NOT NULL, state INTEGER NOT NULL, created INTEGER NOT NULL,"
    " handed INTEGER, acknowledged INTEGER, stamped INTEGER NOT NULL DEFAULT 0, backed_up INTEGER, removed INTEGER, reason TEXT,"
    " UNIQUE(device, sequence));"
    "CREATE INDEX package_state ON package(state, sequence);"
    "CREATE TABLE outbox(message BLOB PRIMARY KEY, package BLOB NOT NULL UNIQUE REFERENCES package(id), body BLOB NOT NULL);"
    "CREATE TABLE session(tbl INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY(tbl, key)) WITHOUT ROWID;"
    "CREATE TABLE answer(message BLOB PRIMARY KEY, kind INTEGER NOT NULL, package BLOB, at INTEGER NOT NULL, accepted INTEGER NOT NULL,"
    " body BLOB, reason TEXT);"
    "CREATE INDEX answer_package ON answer(package);"
    "CREATE TABLE run(id INTEGER PRIMARY KEY, started INTEGER NOT NULL, ended INTEGER, outcome INTEGER, packages INTEGER, records INTEGER);"
    "CREATE TABLE gap(id INTEGER PRIMARY KEY, source INTEGER NOT NULL, since INTEGER NOT NULL, until INTEGER, reason TEXT NOT NULL);",
    /* header: what a conversation was called when it was last read, in a box.  source: whose records a chunk holds (0: the journal's own
     * statements; NULL: taken before it was noted), settings: under which options they were read.  mark: what was said of one of them, in which
     * chunk that stands (NULL: in none). */
    "ALTER TABLE conversation ADD COLUMN header BLOB;"
    "ALTER TABLE seen ADD COLUMN source INTEGER;"
    "ALTER TABLE seen ADD COLUMN settings INTEGER;"
    "CREATE INDEX seen_source ON seen(source, settings, conversation);"
    "CREATE TABLE mark(seen INTEGER NOT NULL, at INTEGER NOT NULL, says INTEGER NOT NULL, said_in INTEGER, PRIMARY KEY(seen, at, says))"
    " WITHOUT ROWID;",
};

kluis_status home_path(const struct home *h, const char *name, char out[KLUIS_PATH_MAX], struct kluis_err *err)
{
    return kluis_path(out, KLUIS_PATH_MAX, h->dir, name, err);
}

static kluis_status take_lock(struct home *h, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    KLUIS_TRY(home_path(h, "lock", path, err));
    h->lock_fd = kluis_io_open(path, O_RDWR | O_CREAT, 0600);
    if (h->lock_fd < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot open '%s'", path); }
    if (flock(h->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) { return KLUIS_FAIL(err, KLUIS_E_BUSY, "another agent is working in '%s': wait for it or stop it", h->dir); }
        return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot lock '%s'", path);
    }
    return KLUIS_OK;
}

/* The home key is made once; two keys are derived, so that a box never shares a key with a fingerprint. */
static kluis_status load_secret(struct home *h, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(key, 4096);
    kluis_status rc = keystore_get(h->dir, "home", &key, err);
    if (rc == KLUIS_E_NOTFOUND) {
        /* The database is made after its key: where it stands, the key is somewhere else, and a second one would open nothing. */
        char db[KLUIS_PATH_MAX];
        bool there;
        kluis_err_clear(err);
        KLUIS_TRY(home_path(h, "agent.db", db, err));
        KLUIS_TRY(kluis_exists(db, &there, err));
        if (there) {
            kluis_err_clear(err);
            return KLUIS_FAIL(err, KLUIS_E_BUSY, "the home key of '%s' is in a keyring that cannot be reached: log in or unlock it, then try again",
                              h->dir);
        }
        uint8_t fresh[HOME_KEY];
        kluis_err_clear(err);
        kluis_random(fresh, sizeof fresh);
        rc = keystore_put(h->dir, "home", (struct kluis_bytes){ fresh, sizeof fresh }, err);
        if (rc == KLUIS_E_EXISTS) { /* another process of ours was faster */
            kluis_err_clear(err);
            rc = keystore_get(h->dir, "home", &key, err);
        } else if (rc == KLUIS_OK) {
            kluis_buf_add(&key, fresh, sizeof fresh);
            rc = kluis_buf_ok(&key, err);
        }
        kluis_wipe(fresh, sizeof fresh);
    }
    if (rc == KLUIS_OK && key.len != HOME_KEY) {
        rc = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the home key of '%s' is not %d bytes: restore it from a backup", h->dir, HOME_KEY);
    }
    if (rc == KLUIS_OK) {
        h->secret = kluis_secret_new((size_t)2 * HOME_KEY);
        if (h->secret == NULL) { rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for the home key"); }
    }
    if (rc == KLUIS_OK) {
        static const char info[] = "chatkluis-agent-home-v1";
        rc = kluis_hkdf_sha256(kluis_buf_bytes(&key), (struct kluis_bytes){ NULL, 0 }, (struct kluis_bytes){ (const uint8_t *)info, sizeof info - 1 },
                               h->secret, (size_t)2 * HOME_KEY, err);
    }
    if (key.data != NULL) { kluis_wipe(key.data, key.cap); }
    return rc;
}

kluis_status home_open(struct home **out, const char *dir, enum home_lock lock, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    kluis_status rc = KLUIS_E_BUG;
    *out = NULL;
    struct home *h = kluis_calloc(1, sizeof *h);
    if (h == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    h->lock_fd = -1;
    size_t n = strlen(dir);
    if (n == 0 || n >= sizeof h->dir) {
        rc = KLUIS_FAIL(err, KLUIS_E_USAGE, "the home folder's path is empty or too long");
        goto fail;
    }
    memcpy(h->dir, dir, n + 1);
    if ((rc = kluis_make_dir(h->dir, err)) != KLUIS_OK) { goto fail; }
    static const char *const folders[] = { "keys", "packages" };
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        if ((rc = home_path(h, folders[i], path, err)) != KLUIS_OK || (rc = kluis_make_dir(path, err)) != KLUIS_OK) { goto fail; }
    }
    if (lock == HOME_LOCKED && (rc = take_lock(h, err)) != KLUIS_OK) { goto fail; }
    if ((rc = load_secret(h, err)) != KLUIS_OK) { goto fail; }
    if ((rc = home_path(h, "agent.db", path, err)) != KLUIS_OK) { goto fail; }
    if ((rc = kluis_db_open(&h->db, path, KLUIS_DB_FULL, schema, sizeof schema / sizeof *schema, err)) != KLUIS_OK) { goto fail; }
    *out = h;
    return KLUIS_OK;
fail:
    home_free(h);
    return rc;
}

void home_free(struct home *h)
{
    if (h == NULL) { return; }
    kluis_db_free(h->db);
    kluis_secret_free(h->secret, (size_t)2 * HOME_KEY);
    kluis_close_quiet(&h->lock_fd);
    kluis_free(h);
}

/* Is packages/<name> of no row, or of one that was released?  (A power cut may bring back a name that was removed: its row says for good that it
 * went.)  Names that are not ours are left alone. */
static kluis_status is_orphan(struct home *h, const char *name, bool *orphan, struct kluis_err *err)
{
    uint8_t id[32];
    size_t n = strlen(name);
    *orphan = false;
    if (n < 64 || !kluis_unhex((struct kluis_str){ name, 64 }, id, sizeof id)) { return KLUIS_OK; }
    if (strcmp(name + 64, ".ckc") != 0) {
        *orphan = strncmp(name + 64, ".ckc.", 5) == 0;
        return KLUIS_OK;
    }
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(h->db, &st, err, "SELECT 1 FROM package WHERE id=?1 AND removed IS NULL", "h", id));
    kluis_status rc = kluis_db_step(h->db, st, err);
    kluis_db_done(st);
    if (rc == KLUIS_END) {
        *orphan = true;
        return KLUIS_OK;
    }
    return rc;
}

void home_key_name(const char *what, const char *device, char out[HOME_KEY_NAME]) { (void)snprintf(out, HOME_KEY_NAME, "%s-%.40s", what, device); }

/* A row a device id: written before its keys are, and with the commit that makes another device this home's. */
kluis_status home_keys_stray(struct home *h, const char *device, struct kluis_err *err)
{
    char key[80];
    (void)snprintf(key, sizeof key, "stray/%.40s", device);
    return home_set_text(h, key, device, err);
}

static kluis_status next_stray(struct home *h, char device[64], struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(h->db, &st, err, "SELECT substr(key,7) FROM config WHERE key>='stray/' AND key<'stray0' LIMIT 1", ""));
    kluis_status rc = kluis_db_step(h->db, st, err);
    if (rc == KLUIS_OK && !kluis_db_copy(st, 0, device, 64)) {
        rc = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a row of agent.db in '%s' is damaged: restore the home folder", h->dir);
    }
    kluis_db_done(st);
    return rc;
}

kluis_status home_tidy_keys(struct home *h, struct kluis_err *err)
{
    for (;;) {
        char stray[64], device[64], name[HOME_KEY_NAME], key[80];
        kluis_status rc = next_stray(h, stray, err);
        if (rc == KLUIS_END) { return KLUIS_OK; }
        KLUIS_TRY(rc);
        rc = home_text(h, "device", device, sizeof device, err);
        if (rc != KLUIS_OK && rc != KLUIS_E_NOTFOUND) { return rc; }
        if (rc == KLUIS_E_NOTFOUND || strcmp(stray, device) != 0) {
            static const char *const whats[] = { "device", "login" };
            for (size_t i = 0; i < 2; i++) {
                home_key_name(whats[i], stray, name);
                KLUIS_TRY(keystore_remove(h->dir, name, err));
            }
        }
        (void)snprintf(key, sizeof key, "stray/%.40s", stray);
        KLUIS_TRY(kluis_db_run(h->db, NULL, err, "DELETE FROM config WHERE key=?1", "s", key));
        kluis_durable_step("agent.keys.tidied");
    }
}

/* What kluis_write_file and keystore_put write before a file has its name. */
static kluis_status is_unfinished(KLUIS_UNUSED struct home *h, const char *name, bool *unfinished, KLUIS_UNUSED struct kluis_err *err)
{
    *unfinished = strstr(name, ".tmp-") != NULL;
    return KLUIS_OK;
}

static kluis_status tidy_folder(struct home *h, const char *folder, kluis_status (*is_left)(struct home *, const char *, bool *, struct kluis_err *),
                                struct kluis_err *err)
{
    char dir[KLUIS_PATH_MAX], path[KLUIS_PATH_MAX];
    KLUIS_TRY(home_path(h, folder, dir, err));
    DIR *d = opendir(dir);
    if (d == NULL) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot read '%s'", dir); }
    kluis_status rc = KLUIS_OK;
    bool removed = false;
    for (const char *name; kluis_dir_next(d, dir, &name, &rc, err);) {
        bool left = false;
        rc = is_left(h, name, &left, err);
        if (rc != KLUIS_OK || !left) { continue; }
        rc = kluis_path(path, sizeof path, dir, name, err);
        if (rc == KLUIS_OK && kluis_io_unlink(path) != 0) { rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot remove the unfinished '%s'", path); }
        removed = true;
    }
    (void)closedir(d); /* read-only */
    if (rc != KLUIS_OK || !removed) { return rc; }
    KLUIS_TRY(kluis_fsync_dir(dir, err));
    kluis_durable_step("agent.stock.tidied");
    return KLUIS_OK;
}

kluis_status home_tidy(struct home *h, struct kluis_err *err)
{
    KLUIS_TRY(home_tidy_keys(h, err));
    KLUIS_TRY(tidy_folder(h, "keys", is_unfinished, err));
    return tidy_folder(h, "packages", is_orphan, err);
}

/* ---- configuration ---- */

kluis_status home_set_int(struct home *h, const char *key, int64_t v, struct kluis_err *err)
{
    return kluis_db_run(h->db, NULL, err, "INSERT INTO config(key,value) VALUES(?1,?2) ON CONFLICT(key) DO UPDATE SET value=excluded.value", "si",
                        key, v);
}

kluis_status home_set_bytes(struct home *h, const char *key, struct kluis_bytes v, struct kluis_err *err)
{
    return kluis_db_run(h->db, NULL, err, "INSERT INTO config(key,value) VALUES(?1,?2) ON CONFLICT(key) DO UPDATE SET value=excluded.value ", "sb",
                        key, v);
}

kluis_status home_set_text(struct home *h, const char *key, const char *v, struct kluis_err *err)
{
    return home_set_bytes(h, key, (struct kluis_bytes){ (const uint8_t *)v, strlen(v) }, err);
}

static kluis_status look_up(struct home *h, const char *key, struct sqlite3_stmt **st, struct kluis_err *err)
{
    KLUIS_TRY(kluis_db_query(h->db, st, err, "SELECT value FROM config WHERE key=?1", "s", key));
    kluis_status rc = kluis_db_step(h->db, *st, err);
    return rc == KLUIS_END ? KLUIS_E_NOTFOUND : rc;
}

kluis_status home_int(struct home *h, const char *key, int64_t otherwise, int64_t *out, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    kluis_status rc = look_up(h, key, &st, err);
    *out = rc == KLUIS_OK ? kluis_db_int(st, 0) : otherwise;
    kluis_db_done(st);
    return rc == KLUIS_E_NOTFOUND ? KLUIS_OK : rc;
}

kluis_status home_bytes(struct home *h, const char *key, struct kluis_buf *out, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    kluis_status rc = look_up(h, key, &st, err);
    return kluis_db_take(st, rc, out, err);
}

kluis_status home_text(struct home *h, const char *key, char *out, size_t cap, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(b, cap - 1);
    kluis_status rc = home_bytes(h, key, &b, err);
    out[0] = '\0';
    if (rc == KLUIS_OK) {
        if (b.len > 0) { memcpy(out, b.data, b.len); }
        out[b.len] = '\0';
    }
    return rc;
}

kluis_status home_enrolled(struct home *h, bool *enrolled, struct kluis_err *err)
{
    char device[64];
    kluis_status rc = home_text(h, "device", device, sizeof device, err);
    *enrolled = rc == KLUIS_OK;
    return rc == KLUIS_E_NOTFOUND ? KLUIS_OK : rc;
}
