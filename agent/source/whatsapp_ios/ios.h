/* ios.h - what the files of the reader of WhatsApp on iPhone and Mac share.
 *
 * store (where things are: a folder, or a backup of the phone) -> ios (conversations, people) -> message (records), info (protobuf in the rows)
 */
#ifndef WHATSAPP_IOS_H
#define WHATSAPP_IOS_H

#include "agent/source/apple_backup/backup.h"
#include "agent/source/whatsapp_db/wdb.h"

#define IOS_KIND "whatsapp-ios"
#define IOS_DOMAIN "AppDomainGroup-group.net.whatsapp.WhatsApp.shared"

enum { IOS_HOLES = 16 };

/* ---- store.c ---- */
struct ios_store {
    char dir[KLUIS_PATH_MAX];    /* folder with ChatStorage.sqlite */
    char file[KLUIS_PATH_MAX];   /* that database, where not in a backup */
    struct apple_backup *backup; /* or a backup */
    struct wdb_media *media;     /* of the folder */
};
KLUIS_MUSTUSE kluis_status ios_store_open(struct ios_store *s, const struct source_request *q, struct kluis_err *err);
void ios_store_close(struct ios_store *s);
/* "ChatStorage.sqlite", …  E_NOTFOUND. */
KLUIS_MUSTUSE kluis_status ios_store_database(struct ios_store *s, const char *name, struct kluis_db **out, struct kluis_err *err);
/* A media file by the path in the database ("Media/…", below Message/) or by its hash: as wdb_media_find. */
KLUIS_MUSTUSE kluis_status ios_store_media(struct ios_store *s, struct kluis_str path, int64_t size, const uint8_t *sha256, struct kluis_arena *arena,
                                           struct kluis_attachment *a, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status ios_store_deliver(struct ios_store *s, struct kluis_str ref, size_t index, const struct source_attachment_sink *sink,
                                             struct kluis_err *err);
enum source_sure ios_probe(const struct source_file *f);

/* ---- info.c: what stands in the blobs of rows (protobuf; numbers as seen in real databases) ---- */
struct ios_reaction {
    struct kluis_str key, jid, emoji; /* jid absent: the row does not say who */
    int64_t ms;
};
/* ZWAMESSAGEINFO.ZRECEIPTINFO, field 7: calls fn for each.  false: the bytes are no such message (from somewhere on). */
bool ios_reactions(struct kluis_bytes blob, void (*fn)(void *ctx, const struct ios_reaction *r), void *ctx);
struct ios_quote {
    struct kluis_str key, jid, text;
};
/* ZWAMEDIAITEM.ZMETADATA: fields 5 (message), 6 (who), 19.1 (text).  false: nothing quoted. */
bool ios_quote(struct kluis_bytes blob, struct ios_quote *out);

/* ---- ios.c, message.c ---- */
struct ios {
    const struct source_request *q;
    const struct source_sink *sink;
    struct ios_store store;
    struct kluis_db *db, *work;
    struct wdb_book *book;
    struct wdb_names *names, *numbers; /* numbers: of hidden JIDs */
    struct wdb_draft d;
    char self_jid[WDB_JID_MAX];
    struct {
        int64_t after, before;
    } hole[IOS_HOLES];
    size_t n_holes;
    int64_t chat;
    uint32_t self, peer;
    bool group;
    bool has_info, has_members; /* the database has ZWAMESSAGEINFO.ZRECEIPTINFO, ZWAGROUPMEMBER.ZMEMBERJID */
};
/* Plain, a hidden one replaced by its number where that is known. */
struct kluis_str ios_jid(struct ios *s, struct kluis_str jid, char out[WDB_JID_MAX]);
uint32_t ios_who(struct ios *s, struct kluis_str jid); /* KLUIS_NO_PARTY: not in the book */
KLUIS_MUSTUSE kluis_status ios_message(struct ios *s, int64_t id, struct kluis_err *err);

#endif
