/* server/vault.h - the reading zone as one object: opened, run against a gate, asked, checked, rebuilt.
 *
 * main -> [vault] -> ingest, custody, storage, ledger, register, index.  One process owns a home's vault (vault/vault.lock).
 * Layout below H/vault: keys/ (see server/ingest/keys.h), custody.db, register.db, storage/ab/<package id>.ckc, storage/incoming,
 * index/, control.sock (main's), vault.lock.  A refused package's ciphertext stays where it was stored, under its inbox row.
 */
#ifndef SERVER_VAULT_H
#define SERVER_VAULT_H

#include <pthread.h>

#include "server/index/index.h"
#include "server/register/register.h"
#include "server/walls/user.h"

struct vault;
/* Of a vault that serves: while a command has the vault go_on is asked ten times a second; false gives up. */
struct vault_turn {
    void *ctx;
    bool (*go_on)(void *ctx);
};
/* Who the parts become when root starts them; uid 0: they stay. */
struct vault_users {
    struct walls_user keeper, opener;
};
/* Starts the opener's zygote first, becomes the keeper, then loads keys and opens everything.  Call it before any thread is started and before
 * anything secret is loaded.  turn NULL: a command, which does not wait.  E_BUSY: another process has this vault (with a
 * turn: one that serves, or go_on gave up); E_NOTFOUND: no home; E_CORRUPT.  A damaged index is put aside and built anew by
 * vault_start or vault_rebuild_index.  as: NULL: nobody becomes anybody. */
KLUIS_MUSTUSE kluis_status vault_open(struct vault **out, const char *home, const struct vault_users *as, const struct vault_turn *turn,
                                      struct kluis_err *err);
/* Raises the walls of this process, for good: from here on it reaches its own directory and, when url is not NULL, the port of the gate
 * there, and no socket can be made to listen any more.  After vault_open, before any thread.  E_IO: the kernel has no seccomp; E_USAGE: the url names
 * no port. */
KLUIS_MUSTUSE kluis_status vault_confine(struct vault *v, const char *url, struct kluis_err *err);
void vault_close(struct vault *v); /* stops first; NULL: no-op */
static inline void vault_free(struct vault *v) { vault_close(v); }
KLUIS_DEFINE_CLEANUP(vault)

/* Pulls from the gate at `url` ("https://host:port"); `name`: the authority devices use for it, NULL: host:port of the url.  Returns at
 * once, threads work.  A gate that is away is waited for. */
KLUIS_MUSTUSE kluis_status vault_start(struct vault *v, const char *url, const char *name, struct kluis_err *err);
void vault_stop(struct vault *v);
/* NULL, or why ingest stands still (damage of our own data): the operator must act. */
const char *vault_halted(struct vault *v);
/* The process that packages are opened by has ended: only a vault that is started anew has another. */
bool vault_lost_opener(const struct vault *v);

/* The index, any thread; between hold and release it is not rebuilt.  NULL, and nothing to release: a rebuild could not open a new one. */
struct index *vault_index_hold(struct vault *v);
void vault_index_release(struct vault *v);
struct reg *vault_register(struct vault *v); /* only between these two: */
void vault_register_lock(struct vault *v);
void vault_register_unlock(struct vault *v);
/* The second half of every enrolment code: the first 16 bytes of SHA-256 of the root's SubjectPublicKeyInfo. */
void vault_root_fingerprint(const struct vault *v, uint8_t out[16]);

enum { VAULT_GRACE_DAYS = 14 }; /* of an official for whom the register says -1 */
/* Something was decided in the register: the gate gets it at once, not at the next occasion. */
void vault_register_changed(struct vault *v);
/* One JSON object, one line: packages, missing (in the ledger, not here since the vault was set back), records, ledger {size, root, checkpoint,
 * stamped, since, no_stamp: why there is none yet}, overdue [official ids and why], register {entries, mirrored: null while no gate was asked},
 * backup {packages, at}, index {watermark, records}, waiting, refused, answers, walls {opener, vault, page}, trouble
 * (what is tried again, null: nothing), halted.  page: what is known of the page
 * server, or NULL. */
struct vault_page {
    bool connected;       /* it is there; else the rest is not known           */
    unsigned walls, user; /* bits of walls.h as it says them; its user, as the kernel says it */
};
KLUIS_MUSTUSE kluis_status vault_status_json(struct vault *v, const struct vault_page *page, struct kluis_buf *out, struct kluis_err *err);

/* For `backup`: makes <vault>/snapshot (server/backup/backup.h); then, when the copy outside was verified, notes that the first `packages`
 * packages stand in a completed backup, `detail` in the audit trail, and removes the snapshot: their devices are told.  E_REJECT: there are not so
 * many. */
KLUIS_MUSTUSE kluis_status vault_snapshot(struct vault *v, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status vault_backed_up(struct vault *v, uint64_t packages, int64_t made_us, const char *detail, struct kluis_err *err);

/* What check reports to: one line each, progress and findings. */
struct vault_report {
    void *ctx;
    void (*line)(void *ctx, const char *text);
};
struct vault_check_result {
    uint64_t packages, records, leaves, problems;
};
/* Every package against store, ledger and index; with read_data each is also decrypted and read again.  OK: nothing found; E_CORRUPT:
 * *out and the report say what; others: the check could not be done. */
KLUIS_MUSTUSE kluis_status vault_check(struct vault *v, bool read_data, const struct vault_report *report, struct vault_check_result *out,
                                       struct kluis_err *err);
/* Deletes the index and builds it from the packages.  A running vault pauses ingest for it and goes on afterwards; searches wait.  After a failure
 * the index is behind, and ingest indexes what it lacks; when none could be opened there is none, ingest stands still (vault_halted) and the next
 * call tries again. */
KLUIS_MUSTUSE kluis_status vault_rebuild_index(struct vault *v, const struct vault_report *report, struct kluis_err *err);

#endif
