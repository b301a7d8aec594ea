/* backup.h - the parts of signal-android: keys, frames one after the other, their statements as a private database, its rows as frames of the model.
 *
 * key -> stream (frames and what lies between them) -> sql, replay (a database in a scratch file) -> rows -> item, update (trees); files
 * (attachments)
 */
#ifndef SIGNAL_ANDROID_BACKUP_H
#define SIGNAL_ANDROID_BACKUP_H

#include "agent/source/database/database.h"
#include "agent/source/protobuf.h"
#include "agent/source/signal_model/make.h"
#include "agent/source/signal_model/window.h"

/* ---- key.c -------------------------------------------------------------------------------------------------------- */
enum { SA_KEY = 32, SA_IV = 16, SA_MAC = 10, SA_SALT_MAX = 64, SA_DIGITS = 30 };
struct sa_keys { /* in secret memory */
    uint8_t cipher[SA_KEY], mac[SA_KEY];
};
/* From the passphrase as people write it (30 digits, spaces between); E_REJECT: it is not 30 digits. */
KLUIS_MUSTUSE kluis_status sa_keys_from(struct sa_keys *k, const char *typed, struct kluis_bytes salt, struct kluis_err *err);

/* ---- stream.c: a header in the clear, then frames: length, AES-256-CTR under a counter that rises, ten bytes of HMAC-SHA-256 ----------- */
struct sa_header {
    uint8_t iv[SA_IV], salt[SA_SALT_MAX];
    size_t salt_len;
    uint64_t version; /* 0; 1: the lengths are enciphered too */
    uint64_t end;     /* where the first frame begins */
};
enum { SA_HEAD_MAX = 512 };
bool sa_header_read(struct kluis_bytes head, struct sa_header *out); /* false: no such file begins so */

enum { SA_FRAME_MAX = LINE_MAX_BYTES, SA_FRAME_MIN = 1 };
struct sa_stream {
    int fd;
    const char *path;
    uint64_t size, at; /* at: of the next frame */
    struct sa_header head;
    const struct sa_keys *keys;
    uint32_t counter;
    struct window w;
    struct kluis_input_fd input;
    void *cipher, *hmac; /* gcry handles */
    uint64_t number, budget;
};
KLUIS_MUSTUSE kluis_status sa_stream_open(struct sa_stream *s, int fd, const char *path, const struct sa_header *h, const struct sa_keys *keys,
                                          struct kluis_err *err);
void sa_stream_close(struct sa_stream *s);    /* not fd */
enum sa_got { SA_FRAME, SA_DAMAGED, SA_END }; /* SA_DAMAGED: frames were passed over; *lost says from where */
/* The next frame in the clear, borrowed until the next call. */
KLUIS_MUSTUSE kluis_status sa_stream_next(struct sa_stream *s, enum sa_got *got, struct kluis_bytes *frame, uint64_t *lost, struct kluis_err *err);

struct sa_blob { /* bytes behind a frame */
    uint64_t at, length;
    uint32_t counter;
};
void sa_stream_skip(struct sa_stream *s, uint64_t length, struct sa_blob *out); /* the bytes that belong to the frame just given */
/* Whether a blob's MAC is right; what ends early is not. */
KLUIS_MUSTUSE kluis_status sa_blob_prove(const struct sa_stream *s, const struct sa_blob *b, bool *right, struct kluis_err *err);
struct sa_content; /* a blob in the clear, as a stream */
KLUIS_MUSTUSE kluis_status sa_content_open(const struct sa_stream *s, const struct sa_blob *b, struct sa_content **out, struct kluis_err *err);
void sa_content_free(struct sa_content *c);
KLUIS_DEFINE_CLEANUP(sa_content)
struct kluis_input sa_content_input(struct sa_content *c);

/* ---- sql.c: the statements that such a backup holds, and no others ----------------------------------------------------------------------- */
enum { SA_NAME_MAX = 64, SA_COLUMNS_MAX = 160 };
enum sa_sql { SA_SQL_OTHER, SA_SQL_TABLE, SA_SQL_INDEX, SA_SQL_INSERT }; /* OTHER: no backup holds it */
struct sa_statement {
    enum sa_sql kind; /* INDEX: an index, trigger, view or virtual table: nothing of theirs is wanted */
    char name[SA_NAME_MAX];
    unsigned n; /* columns, or values of INSERT */
    char column[SA_COLUMNS_MAX][SA_NAME_MAX];
};
void sa_sql_read(struct kluis_str sql, struct sa_statement *out);

/* ---- replay.c -------------------------------------------------------------------------------------------------------------------------------- */
enum { SA_TABLES = 20, SA_SELF_KEY = 64 };
enum sa_lost { SA_LOST_FRAMES, SA_LOST_END, SA_LOST_ROW, SA_LOST_STATEMENT };
struct sa_replay {
    struct kluis_db *db; /* every row of the tables that are read, under their own names; k_blob, k_damage */
    uint64_t version;    /* of the schema */
    bool ended;
    char self_aci[64], self_number[32];
    uint8_t self_key[SA_SELF_KEY];
    size_t self_key_len;
};
KLUIS_MUSTUSE kluis_status sa_replay(struct sa_replay *r, struct sa_stream *s, struct kluis_err *err);

/* ---- rows.c ------------------------------------------------------------------------------------------------------------------------------------ */
struct sa_rows {
    const char *path;
    struct kluis_db *db;
    uint64_t version;
    bool message, attachment; /* tables of today, not sms and mms, not part */
    bool reaction, reaction_mms, mention, receipts, poll, call, membership;
    int64_t self; /* recipient; one of no row where it is not known */
    bool self_known;
    int phase;
    int64_t last, place;
    uint64_t number;
    struct kluis_buf evidence;
    struct kluis_arena *json;
    struct make make;
    const struct sa_replay *replay;
};
KLUIS_MUSTUSE kluis_status sa_rows_begin(struct sa_rows *r, struct kluis_err *err);
void sa_rows_end(struct sa_rows *r);
struct frames sa_rows_frames(struct sa_rows *r);
/* The account id of a recipient's row as 16 bytes; false: none. */
bool sa_account(struct sa_rows *r, int64_t recipient, uint8_t out[16]);
void sa_number(struct sa_rows *r, int64_t recipient, char *out, size_t cap);     /* "+31…", or nothing */
void sa_evidence(struct sa_rows *r, const char *table, struct sqlite3_stmt *st); /* one row more */

/* ---- item.c, update.c ----------------------------------------------------------------------------------------------------------------------------
 */
KLUIS_MUSTUSE kluis_status sa_item(struct sa_rows *r, bool sms, struct sqlite3_stmt *st, struct json *frame, struct kluis_err *err);
/* What a row tells that is no message: false: it is one. */
bool sa_update(struct sa_rows *r, struct sqlite3_stmt *st, int64_t type, struct json *item);

/* ---- files.c
 * ---------------------------------------------------------------------------------------------------------------------------------------- */
struct sa_files {
    struct sa_stream *stream;
    struct kluis_db *db;
};
struct media sa_media(struct sa_files *f);
bool sa_ref_read(struct kluis_str ref, struct sa_blob *out);

#endif
