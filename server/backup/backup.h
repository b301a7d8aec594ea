/* server/backup/backup.h - a copy of the archive from which it can come back: made, verified, put back.
 *
 * custody, register -> [backup].  Two halves.  In the vault process: a snapshot, <vault>/snapshot/, of what only it may read while it is being
 * written (custody.db without sessions, register.db with audit/).  Outside its walls, in the command: snapshot and ciphertext go to a folder of the
 * operator's choice, are synced, read again and compared, and only then does the backup get its name:
 *
 *   DIR/storage/ab/<package id>.ckc      ciphertext, shared by all backups in DIR; a file has this name only after it was verified
 *   DIR/20260305T090000Z/                one backup, complete because it has this name: custody.db register.db audit/ trust.json backup.json
 *                        SHA256SUMS      of all these and of every ciphertext (../storage/…), as sha256sum -c reads it
 *   DIR/lock                             one backup at a time
 *
 * Keys are not in it: ciphertext and wrapped content keys are worthless without keys/, which is kept elsewhere.
 */
#ifndef SERVER_BACKUP_H
#define SERVER_BACKUP_H

#include "server/custody/custody.h"
#include "server/register/register.h"

/* Makes <vault_dir>/snapshot anew.  On disk when it returns OK. */
KLUIS_MUSTUSE kluis_status snapshot_make(const char *vault_dir, struct custody *c, struct reg *r, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status snapshot_remove(const char *vault_dir, struct kluis_err *err); /* none: OK */

enum { BACKUP_NAME = 32 };
struct backup_result {
    char name[BACKUP_NAME];
    int64_t made_us;
    uint64_t packages;      /* accepted ones that stand in it: the first so many of custody  */
    uint64_t files, copied; /* ciphertexts in it, and how many were not in DIR before        */
    uint64_t bytes;         /* read again and compared, of all files                         */
    uint8_t sums[32];       /* SHA-256 of SHA256SUMS                                         */
};
/* Progress for people; may be NULL. */
struct backup_report {
    void *ctx;
    void (*done)(void *ctx, uint64_t files, uint64_t of, uint64_t bytes);
};
/* From the snapshot and the store below `home` to `to`, which is made when it is not there.  read_data: ciphertexts of earlier backups are read
 * and compared again too.  E_CORRUPT: the store's or the copy's bytes are not what custody says; E_BUSY: another backup goes to `to`.  After a
 * failure no new name stands in `to`. */
KLUIS_MUSTUSE kluis_status backup_run(const char *home, const char *to, bool read_data, const struct backup_report *report, struct backup_result *out,
                                      struct kluis_err *err);
/* Puts a backup (its folder: DIR/20260305T090000Z) into `home`, whose vault/keys are there and whose vault holds neither custody.db nor register.db
 * nor audit/.  Everything is compared with SHA256SUMS; custody.db gets its name last, so an interrupted restore is begun again.  A stale index is
 * removed.  Files belong to the owner of home's vault folder.  E_REJECT: the home is not empty, or the backup names what is none; E_CORRUPT: damage.
 */
KLUIS_MUSTUSE kluis_status backup_restore(const char *from, const char *home, const struct backup_report *report, struct backup_result *out,
                                          struct kluis_err *err);
/* Asked before a vault is opened.  OK: no restore was begun in vault_dir, or one that has put custody.db there, and its mark is gone now.  E_REJECT:
 * one that did not come to its end; opened now it would be an archive without its packages. */
KLUIS_MUSTUSE kluis_status backup_restored(const char *vault_dir, struct kluis_err *err);

#endif
