/* desktop.h - the parts of signal-desktop: where it lies, what opens it, its rows as frames, its attachments.
 */
#ifndef SIGNAL_DESKTOP_H
#define SIGNAL_DESKTOP_H

#include "agent/source/database/database.h"
#include "agent/source/signal_model/make.h"
#include "agent/source/signal_model/sealed.h"

/* Schemas (PRAGMA user_version) whose tables and JSON this reader knows; another one is refused by its number. */
enum { DESKTOP_OLDEST = 88, DESKTOP_NORMALISED = 1270, DESKTOP_ATTACHMENTS = 1360, DESKTOP_NEWEST = 1830 };
enum { DESKTOP_KEY = 32 };

/* ---- key.c ------------------------------------------------------------------------------------------------ */
/* The database's key: option key=@FILE, else config.json in `folder` (NULL: none) as it is, or opened with the secret of the desktop's keystore (or
 * of option secret=@FILE).  E_USAGE: a key is needed; E_REJECT: what is there opens nothing. */
KLUIS_MUSTUSE kluis_status desktop_key(const struct source_request *q, const char *folder, uint8_t key[DESKTOP_KEY], struct kluis_err *err);

/* ---- sqlcipher.c: pages of SQLCipher 4 under a raw key, and its write-ahead log ------------------------------- */
struct sqlcipher {
    const char *path, *wal; /* wal: may not be there */
    const uint8_t *key;     /* of DESKTOP_KEY */
};
/* For struct database_form: ctx is a struct sqlcipher.  The first page proves the key (E_REJECT: another one); a page further on whose MAC is wrong
 * becomes one that SQLite finds damaged.  Nothing in the clear reaches the disk. */
KLUIS_MUSTUSE kluis_status sqlcipher_fill(void *ctx, struct kluis_scratch *file, struct kluis_scratch *log, struct kluis_err *err);

/* People that were asked for: each message names two or three, mostly those of the one before. */
enum { DESKTOP_KNOWN = 1024 };
struct desktop_known {
    int64_t row; /* 0: nobody */
    size_t len;  /* 0: nothing */
    char id[48];
};

/* ---- rows.c, item.c: rows as frames ----------------------------------------------------------------------------- */
struct desktop {
    char path[KLUIS_PATH_MAX]; /* of the database */
    struct kluis_db *db;
    int64_t version;
    bool attachments_table, calls_table;
    struct sqlite3_stmt *all, *one, *people, *by_id, *by_service, *by_number, *files, *call;
    int phase;
    int64_t row; /* the message to give next by place; 0: go on through all */
    int64_t last;
    uint64_t number;
    char self[64]; /* the owner's account id, number and conversation */
    char self_number[32];
    int64_t self_row;
    struct desktop_known known[DESKTOP_KNOWN];
    struct kluis_buf evidence;
    struct kluis_arena *json; /* the row's own JSON */
    struct make make;
};
KLUIS_MUSTUSE kluis_status desktop_begin(struct desktop *d, struct kluis_err *err); /* db is open */
void desktop_end(struct desktop *d);                                                /* not db */
struct frames desktop_frames(struct desktop *d);
int64_t desktop_person(struct desktop *d, struct kluis_str id); /* a conversation's id, account id or number as its row; 0: none */
/* The row that st stands on as a frame's chatItem below `frame`. */
void desktop_item(struct desktop *d, struct sqlite3_stmt *st, struct json *frame);
struct kluis_str desktop_column(struct sqlite3_stmt *st, const char *name);        /* text; absent: no such column, or NULL */
bool desktop_column_u64(struct sqlite3_stmt *st, const char *name, uint64_t *out); /* false: not there, NULL, negative */

/* ---- files.c ------------------------------------------------------------------------------------------------------ */
struct desktop_files {
    int dir; /* attachments.noindex, or -1 */
};
struct media desktop_media(struct desktop_files *f);
/* Delivers what a source_ref names to fn, if it is there and whole. */
KLUIS_MUSTUSE kluis_status desktop_file(const struct desktop_files *f, struct kluis_str ref,
                                        kluis_status (*fn)(void *ctx, const struct kluis_input *in, struct kluis_err *err), void *ctx,
                                        struct kluis_err *err);

#endif
