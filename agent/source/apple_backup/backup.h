/* backup.h - files of a phone in a Finder or iTunes backup, unencrypted or encrypted.
 *
 * Manifest.plist says whether it is encrypted and holds the keybag; Manifest.db lists every file (SHA-1 of "domain-path" is its name) with a
 * property list about it.  Encrypted, Manifest.db and every file are AES-256-CBC under keys wrapped (RFC 3394) with class keys, which the password
 * opens: PBKDF2-SHA1(PBKDF2-SHA256(password, DPSL, DPIC), SALT, ITER).  One thread.
 */
#ifndef SOURCE_APPLE_BACKUP_H
#define SOURCE_APPLE_BACKUP_H

#include "agent/source/database/database.h"

enum { BACKUP_FILE_ID = 41, BACKUP_CLASSES = 16, KEYBAG_MAX = 1 << 20 };

/* ---- keybag.c: the keybag's bytes ---- */
struct keybag {
    struct kluis_bytes salt, double_salt; /* borrowed from the bytes */
    uint32_t iterations, double_iterations;
    struct {
        uint32_t number, wrap;
        struct kluis_bytes wrapped; /* 40 bytes */
    } classes[BACKUP_CLASSES];
    size_t n;
};
/* E_REJECT: not one.  E_LIMIT: more than 100,000,000 rounds. */
KLUIS_MUSTUSE kluis_status keybag_read(struct kluis_bytes tlv, struct keybag *out, struct kluis_err *err);
struct class_keys {
    uint32_t number[BACKUP_CLASSES];
    uint8_t key[BACKUP_CLASSES][32];
    size_t n;
};
/* Fills keys (secret memory of the caller's).  E_REJECT: wrong password. */
KLUIS_MUSTUSE kluis_status keybag_open(const struct keybag *b, struct kluis_bytes password, struct class_keys *keys, struct kluis_err *err);
bool key_unwrap(const uint8_t kek[32], const uint8_t wrapped[40], uint8_t out[32]); /* false: not under this key */

/* ---- backup.c ---- */
struct apple_backup;
/* Is it a folder with Manifest.db and Manifest.plist?  E_IO: that cannot be known. */
KLUIS_MUSTUSE kluis_status apple_backup_is(const char *path, bool *is, struct kluis_err *err);
/* E_REJECT: no backup, encrypted without or with a wrong password; E_IO, E_NOMEM.  password: absent where none was given. */
KLUIS_MUSTUSE kluis_status apple_backup_open(struct apple_backup **out, const char *path, struct kluis_bytes password, struct kluis_err *err);
void apple_backup_free(struct apple_backup *b);
bool apple_backup_encrypted(const struct apple_backup *b);
const char *apple_backup_version(const struct apple_backup *b); /* of iOS; "" */

struct backup_file {
    char id[BACKUP_FILE_ID];
    uint64_t size;
    bool encrypted;
    uint8_t key[32]; /* where encrypted: wipe it */
};
/* E_NOTFOUND: no such file in the backup (or listed, but its content is not there). */
KLUIS_MUSTUSE kluis_status apple_backup_find(struct apple_backup *b, const char *domain, const char *path, struct backup_file *out,
                                             struct kluis_err *err);
/* A file's content as a stream, decrypted, of exactly the stated size or less where it is cut. */
struct backup_stream;
KLUIS_MUSTUSE kluis_status apple_backup_stream(struct apple_backup *b, const struct backup_file *f, struct backup_stream **out,
                                               struct kluis_input *in, struct kluis_err *err);
void backup_stream_free(struct backup_stream *s);
/* A database of the phone, with its log where that is in the backup. E_NOTFOUND. */
KLUIS_MUSTUSE kluis_status apple_backup_database(struct apple_backup *b, const char *domain, const char *path, struct kluis_db **out,
                                                 struct kluis_err *err);

#endif
