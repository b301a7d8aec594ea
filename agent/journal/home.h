/* agent/journal/home.h - the agent's own folder: lock, keys, agent.db, configuration, sealed boxes.
 *
 * journal, pack and courier stand on it.  One process at a time holds the lock (archive, run, enrol); status and the
 * source list read and write through the database alone.  One thread.
 *
 *   agent.db        everything that is known, certificates and trust file of the enrolment included (SQLite, WAL, synchronous=FULL)
 *   keys/           home.key, device-<device id>.key, login-<device id>.key (0600), unless the session's secret service holds them
 *   packages/       <package id>.ckc: each package under its own content key, that key boxed in agent.db
 *   lock            held while an agent works here
 */
#ifndef AGENT_HOME_H
#define AGENT_HOME_H

#include "kluis/base.h"
#include "kluis/db.h"

enum home_lock { HOME_LOCKED, HOME_SHARED };
enum { HOME_KEY = 32, HOME_BOX_EXTRA = 12 + 16, HOME_VALUE_MAX = 1 << 20 };

struct home {
    char dir[KLUIS_PATH_MAX];
    struct kluis_db *db;
    int lock_fd;     /* -1: shared                                             */
    uint8_t *secret; /* 64 bytes: box key, fingerprint key (derived from home.key) */
};

/* Opens, creating what is missing (mode 0700).  E_BUSY: another agent holds it. */
KLUIS_MUSTUSE kluis_status home_open(struct home **out, const char *dir, enum home_lock lock, struct kluis_err *err);
void home_free(struct home *h);
KLUIS_DEFINE_CLEANUP(home)
KLUIS_MUSTUSE kluis_status home_path(const struct home *h, const char *name, char out[KLUIS_PATH_MAX], struct kluis_err *err);
/* Removes what a killed run left: package files without a row, or of a row that was released, unfinished temporaries, keys of an enrolment that is
 * not (or no longer) this home's.  Needs the lock. */
KLUIS_MUSTUSE kluis_status home_tidy(struct home *h, struct kluis_err *err);

/* Configuration.  get: E_NOTFOUND (without an error text) when it was never set. */
KLUIS_MUSTUSE kluis_status home_set_int(struct home *h, const char *key, int64_t v, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status home_set_bytes(struct home *h, const char *key, struct kluis_bytes v, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status home_set_text(struct home *h, const char *key, const char *v, struct kluis_err *err);
/* `otherwise` when it was never set: a row that cannot be read is an error, never a default. */
KLUIS_MUSTUSE kluis_status home_int(struct home *h, const char *key, int64_t otherwise, int64_t *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status home_bytes(struct home *h, const char *key, struct kluis_buf *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status home_text(struct home *h, const char *key, char *out, size_t cap, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status home_enrolled(struct home *h, bool *enrolled, struct kluis_err *err);

/* Boxes: AES-256-GCM under the home key, a random nonce each, bound to `label`.  E_CORRUPT: damaged or another label. */
KLUIS_MUSTUSE kluis_status home_box(const struct home *h, const char *label, struct kluis_bytes plain, struct kluis_buf *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status home_unbox(const struct home *h, const char *label, struct kluis_bytes box, struct kluis_buf *plain,
                                      struct kluis_err *err);

/* Keys by name: "home", and with home_key_name "device-<id>" and "login-<id>", so that a new enrolment never overwrites the keys of the
 * one that still counts.  The secret service of the session where there is one, else keys/<name>.key.
 * CHATKLUIS_KEYSTORE=file chooses the file.  get: E_NOTFOUND.  The buffer holds a secret: wipe it. */
KLUIS_MUSTUSE kluis_status keystore_get(const char *dir, const char *name, struct kluis_buf *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status keystore_put(const char *dir, const char *name, struct kluis_bytes value, struct kluis_err *err);
/* Both places; a key that is not there is none to remove. */
KLUIS_MUSTUSE kluis_status keystore_remove(const char *dir, const char *name, struct kluis_err *err);
enum { HOME_KEY_NAME = 64 };
/* "device" or "login" of a device id (32 hex digits). */
void home_key_name(const char *what, const char *device, char out[HOME_KEY_NAME]);
/* The keys of this device id are to be removed by the next home_tidy unless it is the enrolled one.  On disk when it returns. */
KLUIS_MUSTUSE kluis_status home_keys_stray(struct home *h, const char *device, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status home_tidy_keys(struct home *h, struct kluis_err *err);
/* "file" or "secret-service": where the home key is. */
const char *keystore_kind(const char *dir);

/* ---- sources of this home ---- */
struct home_source {
    int64_t id;
    char kind[64];
    char path[KLUIS_PATH_MAX];
    struct kluis_buf options;          /* key NUL value NUL …, as typed: "@file" is not replaced here */
    int64_t last_ok_us, last_error_us; /* KLUIS_TIME_ABSENT: never */
    char last_error[KLUIS_ERR_MSG];
};
void home_source_clear(struct home_source *s);
KLUIS_MUSTUSE kluis_status home_source_add(struct home *h, const char *kind, const char *path, struct kluis_bytes options, int64_t *id,
                                           struct kluis_err *err);
KLUIS_MUSTUSE kluis_status home_source_remove(struct home *h, int64_t id, struct kluis_err *err); /* E_NOTFOUND */
/* The next source with an id above `after`.  KLUIS_END: no more. */
KLUIS_MUSTUSE kluis_status home_source_next(struct home *h, int64_t after, struct home_source *out, struct kluis_err *err);
/* Notes how a reading of the source went: ok closes an open gap, an error opens one. */
KLUIS_MUSTUSE kluis_status home_source_note(struct home *h, int64_t id, const struct kluis_err *failure, struct kluis_err *err);

#endif
