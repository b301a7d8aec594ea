/* wdb.h - what the readers of WhatsApp's databases share: who a JID is, a record being put together, where media lie.
 *
 * A JID is user[.agent][:device]@server.  Device and agent name an app of a person, not another person, and are left off.  A person's id is the JID
 * with the phone number where it is known (the same in every source of WhatsApp), a hidden one (@lid) where it is not.
 * One thread.
 */
#ifndef WHATSAPP_DB_H
#define WHATSAPP_DB_H

#include "agent/source/database/database.h"
#include "agent/source/source.h"

/* ---- jid.c ------------------------------------------------------------------------------------------------- */
enum wdb_server { WDB_OTHER, WDB_PERSON, WDB_HIDDEN, WDB_GROUP, WDB_BROADCAST, WDB_STATUS, WDB_CHANNEL };
enum wdb_server wdb_server_of(struct kluis_str jid);
/* Without device and agent; absent when it does not fit, holds no '@', or is empty. */
enum { WDB_JID_MAX = 256 };
struct kluis_str wdb_jid_plain(struct kluis_str jid, char out[WDB_JID_MAX]);
/* "+31612345678" of 31612345678@s.whatsapp.net; absent where the JID has no number. */
struct kluis_str wdb_number(struct kluis_str jid, char out[32]);
/* The same characters with U+FFFD for what is no UTF-8; s itself where it all is. absent: no memory. */
struct kluis_str wdb_utf8(struct kluis_arena *a, struct kluis_str s);

/* What people are called, by plain JID: the first name learnt for one stands.  At most 16 MiB of them; others are shown by number. */
struct wdb_names;
KLUIS_MUSTUSE kluis_status wdb_names_new(struct wdb_names **out, struct kluis_err *err);
void wdb_names_free(struct wdb_names *n);
void wdb_learn(struct wdb_names *n, struct kluis_str jid, struct kluis_str shown);
struct kluis_str wdb_name(const struct wdb_names *n, struct kluis_str jid); /* absent: not known */

/* People of one conversation, in the order they were met. */
struct wdb_book;
KLUIS_MUSTUSE kluis_status wdb_book_new(struct wdb_book **out, struct kluis_err *err);
void wdb_book_free(struct wdb_book *b);
void wdb_book_clear(struct wdb_book *b);
/* The party of a JID (already plain, a hidden one already replaced by its number where that is known); made when it is new, with `name` (may be
 * absent).  KLUIS_NO_PARTY: absent JID, or more than KLUIS_PARTIES_MAX people, which wdb_book_full tells.  member: takes part. */
uint32_t wdb_party(struct wdb_book *b, struct kluis_str jid, struct kluis_str name, bool member);
uint32_t wdb_find(const struct wdb_book *b, struct kluis_str jid);
/* A party known by a name alone. */
uint32_t wdb_party_named(struct wdb_book *b, struct kluis_str name, bool member);
bool wdb_book_full(const struct wdb_book *b);
struct kluis_str wdb_book_keep(struct wdb_book *b, struct kluis_str s); /* a copy that lives until the next clear */
/* Fills parties and participants of a header; they live until the next clear. */
KLUIS_MUSTUSE kluis_status wdb_book_header(struct wdb_book *b, struct kluis_header *h, struct kluis_err *err);

/* ---- draft.c ----------------------------------------------------------------------------------------------- */
enum { WDB_TIMES = 12, WDB_LOSS = 12, WDB_ARENA = 12 << 20, WDB_RAW_MAX = 16 << 20 };
struct wdb_draft { /* the record being put together; one at a time */
    struct kluis_record r;
    struct kluis_time_field times[WDB_TIMES];
    struct kluis_field fields[KLUIS_FIELDS_MAX];
    struct kluis_str loss[WDB_LOSS], options[KLUIS_FIELDS_MAX];
    struct kluis_attachment attachments[KLUIS_ATTACHMENTS_MAX];
    struct kluis_arena *arena; /* emptied with each record */
    struct kluis_buf raw;      /* its rows, one JSON object a line: the evidence */
    const struct source_sink *sink;
    uint64_t sent;
};
KLUIS_MUSTUSE kluis_status wdb_draft_init(struct wdb_draft *d, const struct source_sink *sink, struct kluis_err *err);
void wdb_draft_free(struct wdb_draft *d);
void wdb_new(struct wdb_draft *d, enum kluis_kind kind);
void wdb_row(struct wdb_draft *d, const char *table, struct sqlite3_stmt *st, int first, int n); /* one more row of evidence */
struct kluis_str wdb_keep(struct wdb_draft *d, struct kluis_str s); /* a copy as valid UTF-8 that lives as long as the record */
struct kluis_str wdb_fmt(struct wdb_draft *d, const char *fmt, ...) KLUIS_PRINTF(2, 3);
void wdb_text(struct wdb_draft *d, struct kluis_str text); /* text, and text_raw where it is no UTF-8 */
void wdb_sent(struct wdb_draft *d, int64_t us);            /* out of range: loss, and as it stood in fields.sent-raw */
void wdb_time(struct wdb_draft *d, const char *name, int64_t us);
void wdb_field(struct wdb_draft *d, const char *name, struct kluis_str value); /* absent or empty: nothing */
void wdb_number_field(struct wdb_draft *d, const char *name, int64_t n);
void wdb_loss(struct wdb_draft *d, const char *token);
void wdb_option(struct wdb_draft *d, struct kluis_str option);
struct kluis_attachment *wdb_attach(struct wdb_draft *d); /* NULL: KLUIS_ATTACHMENTS_MAX reached, said in loss */
KLUIS_MUSTUSE kluis_status wdb_send(struct wdb_draft *d, struct kluis_err *err);
int64_t wdb_ms(int64_t ms); /* milliseconds since 1970 as an instant; KLUIS_TIME_ABSENT: 0, negative -1 or out of range */

/* ---- row.c --------------------------------------------------------------------------------------------------- */
void wdb_evidence(struct wdb_draft *d, const char *table, struct sqlite3_stmt *st); /* the whole row */
/* The row of a table that belongs to the record under way, added to its evidence: KLUIS_OK, KLUIS_END (none, no such table, or unreadable: then
 * the draft says so). */
KLUIS_MUSTUSE kluis_status wdb_side(struct kluis_db *db, struct wdb_draft *d, struct sqlite3_stmt **st, const char *sql, const char *table,
                                    int64_t id, struct kluis_err *err);

/* ---- media.c ----------------------------------------------------------------------------------------------- */
struct wdb_media;
/* roots: folders below which paths are looked for, in order; hashes: folder whose files can be found by content.  NULL roots are passed over. */
KLUIS_MUSTUSE kluis_status wdb_media_open(struct wdb_media **out, const char *const *roots, size_t n, struct kluis_err *err);
void wdb_media_free(struct wdb_media *m);
/* Looks for the file: by its path below a root, else by size and SHA-256 (NULL: not stated) among all files there.  Found: a->source_ref and size are
 * set.  Not: a->loss = "missing", and the stated hash is kept as the source's word. */
KLUIS_MUSTUSE kluis_status wdb_media_find(struct wdb_media *m, struct kluis_str path, int64_t size, const uint8_t *sha256, struct kluis_arena *arena,
                                          struct kluis_attachment *a, struct kluis_err *err);
/* Opens what a source_ref names; -1: not there. */
int wdb_media_get(const struct wdb_media *m, struct kluis_str ref);

#endif
