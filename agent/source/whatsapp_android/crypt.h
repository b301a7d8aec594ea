/* crypt.h - WhatsApp's encrypted backups on Android: .crypt12, .crypt14, .crypt15.
 *
 * AES-256-GCM with a 16-byte IV over a zlib stream, a zip or the database itself.  Which of the forms a file has, its content says.
 *   crypt12  version[3] salt[32] id[16] IV[16] | sealed | tag[16] MD5[16] "--NN" (end of the account's number)
 *   14, 15   length L, optionally 0x01, BackupPrefix (protobuf, L bytes) | sealed | tag[16], MD5[16] unless it is part of a backup in several files
 */
#ifndef WHATSAPP_CRYPT_H
#define WHATSAPP_CRYPT_H

#include "kluis/base.h"

enum { CRYPT_HEAD = 512, CRYPT_KEY_MAX = 4096 };

struct crypt_head {
    int form;      /* 12, 14, 15                                                           */
    size_t length; /* bytes before the sealed part                                         */
    uint8_t iv[16], salt[32], id[16];
    uint8_t key_version;
    char app_version[32], suffix[8]; /* "" where not stated; suffix: last digits of the account's number */
};
/* head: the file's first bytes, up to CRYPT_HEAD of them.  E_REJECT: not such a file (what: its name for messages). */
KLUIS_MUSTUSE kluis_status crypt_head_read(struct kluis_bytes head, uint64_t file_size, const char *what, struct crypt_head *out,
                                           struct kluis_err *err);

/* The AES key from what the user gave: 64 hexadecimal digits (spaces allowed), 32 bytes, or a key file (a serialised Java byte array: `key` of
 * crypt12 and 14, `encrypted_backup.key` of 15).  E_REJECT: none of these, for another form, or of another account (salts differ). */
KLUIS_MUSTUSE kluis_status crypt_key(const struct crypt_head *h, struct kluis_bytes given, const char *what, uint8_t key[32], struct kluis_err *err);

/* Writes the opened, still compressed content to `out`.  E_REJECT: wrong key, which shows in the first bytes, or damaged: what went to `out` is
 * worthless then.  Nothing is to be believed before this returned OK. */
KLUIS_MUSTUSE kluis_status crypt_open(const struct crypt_head *h, int fd, uint64_t file_size, const char *what, const uint8_t key[32],
                                      const struct kluis_output *out, struct kluis_err *err);

/* What an opened content holds: inflated, or the database within the zip.  E_REJECT: damaged, or no database in it; E_LIMIT: more than 200 times
 * its size (from 64 MiB on). */
KLUIS_MUSTUSE kluis_status crypt_unpack(const struct kluis_input *in, const char *what, const struct kluis_output *out, struct kluis_err *err);

#endif
