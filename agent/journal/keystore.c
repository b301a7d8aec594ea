/* agent/journal/keystore.c - where the agent's keys live.  See home.h.
 *
 * The session's secret service keeps a key encrypted under the person's login; a 0600 file is the fallback, and status says so.
 * A key is looked for in both places: a session without its bus must not make a second key. */
#include "agent/journal/home.h"
#include "agent/source/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { KEY_FILE_MAX = 4096 };

static kluis_status key_file(const char *dir, const char *name, char out[KLUIS_PATH_MAX], struct kluis_err *err)
{
    char folder[KLUIS_PATH_MAX], file[HOME_KEY_NAME + 8];
    KLUIS_TRY(kluis_path(folder, sizeof folder, dir, "keys", err));
    (void)snprintf(file, sizeof file, "%s.key", name);
    return kluis_path(out, KLUIS_PATH_MAX, folder, file, err);
}

static bool service_wanted(void)
{
    const char *choice = getenv("CHATKLUIS_KEYSTORE");    // NOLINT(concurrency-mt-unsafe): nothing changes the environment
    const char *bus = getenv("DBUS_SESSION_BUS_ADDRESS"); // NOLINT(concurrency-mt-unsafe): likewise
    return bus != NULL && bus[0] != '\0' && (choice == NULL || strcmp(choice, "file") != 0);
}

static struct keyring_item item_of(const char *dir, const char *name)
{
    return (struct keyring_item){ "nl.chatkluis.agent", false, { { "home", dir }, { "name", name } } };
}

/* Secrets are text there: base64. */
static bool service_get(const char *dir, const char *name, struct kluis_buf *out)
{
    if (!service_wanted()) { return false; }
    const struct keyring_item item = item_of(dir, name);
    KLUIS_AUTO_BUF(text, (size_t)2 * KEY_FILE_MAX);
    bool ok = keyring_get(&item, &text, NULL) == KLUIS_OK;
    size_t n = 0;
    uint8_t *p = ok ? kluis_buf_reserve(out, text.len + 1) : NULL;
    ok = p != NULL && kluis_unbase64((struct kluis_str){ (const char *)text.data, text.len }, p, text.len, &n);
    if (ok) { out->len += n; }
    if (text.data != NULL) { kluis_wipe(text.data, text.cap); }
    return ok;
}

static bool service_put(const char *dir, const char *name, struct kluis_bytes value)
{
    if (!service_wanted()) { return false; }
    const struct keyring_item item = item_of(dir, name);
    char label[96];
    (void)snprintf(label, sizeof label, "Chatkluis %s key", name);
    size_t n = kluis_base64_len(value.len) + 1;
    char *text = kluis_secret_new(n);
    if (text == NULL) { return false; }
    (void)kluis_base64(value.ptr, value.len, text);
    bool ok = keyring_put(&item, label, text);
    kluis_secret_free(text, n);
    return ok;
}

kluis_status keystore_get(const char *dir, const char *name, struct kluis_buf *out, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    KLUIS_TRY(key_file(dir, name, path, err));
    bool there;
    KLUIS_TRY(kluis_exists(path, &there, err));
    if (there) { return kluis_read_file(path, KEY_FILE_MAX, out, err); }
    if (service_get(dir, name, out)) { return KLUIS_OK; }
    return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "no %s key in '%s': unlock your keyring, or enrol this device", name, dir);
}

/* A home key is never replaced, and never half there: written whole under another name, then given its own, which fails when it is taken. A
 * power cut may leave the other name, which home_tidy removes. */
static kluis_status put_home_key(const char *dir, const char *path, struct kluis_bytes value, struct kluis_err *err)
{
    char fresh[KLUIS_PATH_MAX], folder[KLUIS_PATH_MAX];
    uint8_t salt[6];
    char hex[13];
    kluis_random(salt, sizeof salt); /* another process may be making one */
    kluis_hex(salt, sizeof salt, hex);
    int n = snprintf(fresh, sizeof fresh, "%s.tmp-%s", path, hex);
    if (n < 0 || (size_t)n >= sizeof fresh) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "path too long: '%s'", path); }
    KLUIS_TRY(kluis_path(folder, sizeof folder, dir, "keys", err));
    KLUIS_TRY(kluis_write_file(fresh, value.ptr, value.len, 0600, err));
    kluis_status rc = KLUIS_OK;
    if (kluis_io_link(fresh, path) != 0) {
        rc = errno == EEXIST ? KLUIS_FAIL(err, KLUIS_E_EXISTS, "'%s' is there already", path)
                             : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot make '%s'", path);
    }
    if (kluis_io_unlink(fresh) != 0 && rc == KLUIS_OK) { rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot remove '%s'", fresh); }
    KLUIS_TRY(rc);
    KLUIS_TRY(kluis_fsync_dir(folder, err));
    kluis_durable_step("agent.key.home");
    return KLUIS_OK;
}

kluis_status keystore_put(const char *dir, const char *name, struct kluis_bytes value, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    KLUIS_TRY(key_file(dir, name, path, err));
    /* A file that is there stays where the key is: replaced whole, so that both places never disagree. */
    bool there;
    KLUIS_TRY(kluis_exists(path, &there, err));
    if (!there && service_put(dir, name, value)) { return KLUIS_OK; }
    return strcmp(name, "home") != 0 ? kluis_write_file(path, value.ptr, value.len, 0600, err) : put_home_key(dir, path, value, err);
}

kluis_status keystore_remove(const char *dir, const char *name, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX], folder[KLUIS_PATH_MAX];
    KLUIS_TRY(key_file(dir, name, path, err));
    if (service_wanted()) { /* a locked or absent service keeps what it has: a key that nothing uses */
        const struct keyring_item item = item_of(dir, name);
        keyring_remove(&item);
    }
    if (kluis_io_unlink(path) != 0 && errno != ENOENT) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot remove '%s'", path); }
    /* Also of one that an attempt before removed: who heard of OK forgets its name. */
    KLUIS_TRY(kluis_path(folder, sizeof folder, dir, "keys", err));
    return kluis_fsync_dir(folder, err);
}

const char *keystore_kind(const char *dir)
{
    char path[KLUIS_PATH_MAX];
    bool there = false;
    return key_file(dir, "home", path, NULL) == KLUIS_OK && kluis_exists(path, &there, NULL) == KLUIS_OK && there ? "file" : "secret-service";
}
