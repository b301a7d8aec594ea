/* imessage.h - what the files of the reader of Messages on Mac and iPhone share.
 *
 * store (where things are: a folder, or a backup of the phone) -> imessage (conversations), people (handles) -> message (records);
 * typedstream and summary: what stands in the cells of a row.
 */
#ifndef IMESSAGE_IMESSAGE_H
#define IMESSAGE_IMESSAGE_H

#include "agent/source/apple_backup/backup.h"
#include "agent/source/imessage/typedstream.h"
#include "agent/source/whatsapp_db/wdb.h"

#define IM_KIND "imessage"

/* ---- store.c ----------------------------------------------------------------------------------------------- */
struct im_store {
    char dir[KLUIS_PATH_MAX];    /* folder with the database         */
    char file[KLUIS_PATH_MAX];   /* the database, where not in a backup */
    struct apple_backup *backup; /* or a backup                      */
    struct wdb_media *media;     /* of the folder                    */
};
KLUIS_MUSTUSE kluis_status im_store_open(struct im_store *s, const struct source_request *q, struct kluis_err *err);
void im_store_close(struct im_store *s);
KLUIS_MUSTUSE kluis_status im_store_database(struct im_store *s, struct kluis_db **out, struct kluis_err *err); /* E_NOTFOUND */
/* By the path in the database ("~/Library/Messages/Attachments/…", "~/Library/SMS/Attachments/…"): a->source_ref and size, or a->loss. */
KLUIS_MUSTUSE kluis_status im_store_media(struct im_store *s, struct kluis_str path, int64_t size, struct kluis_arena *arena,
                                          struct kluis_attachment *a, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status im_store_deliver(struct im_store *s, struct kluis_str ref, size_t index, const struct source_attachment_sink *sink,
                                            struct kluis_err *err);
enum source_sure im_probe(const struct source_file *f);

/* ---- summary.c: message_summary_info, a binary property list ----------------------------------------------------- */
enum { IM_PARTS = 64, IM_VERSIONS = 32, IM_SUMMARY_MAX = 64 << 10 };
struct im_version { /* one text of a part: the first is the one that was sent */
    int64_t us;
    struct kluis_bytes body; /* typedstream */
};
struct im_part {
    int64_t number;
    size_t n;
    struct im_version version[IM_VERSIONS];
};
struct im_summary {
    size_t n_parts, n_unsent;
    struct im_part part[IM_PARTS];
    int64_t unsent[IM_PARTS];
    int64_t parts; /* that the message had at first; 0: not said */
    bool more;     /* than this holds */
    void *plist;   /* what the bytes are borrowed from */
};
/* false: no such list (absent, damaged, too large).  Freed by im_summary_free also then. */
bool im_summary_read(struct kluis_bytes bytes, struct im_summary *out);
void im_summary_free(struct im_summary *s);

/* ---- people.c: handles of a conversation as parties ---------------------------------------------------------------- */
struct im_people {
    struct kluis_arena *arena;
    struct kluis_party *party; /* of KLUIS_PARTIES_MAX */
    uint32_t *members;
    uint32_t n, n_members;
    bool full;
};
KLUIS_MUSTUSE kluis_status im_people_new(struct im_people *p, struct kluis_err *err);
void im_people_free(struct im_people *p);
void im_people_clear(struct im_people *p);
/* The party with this address (number or mail, as Messages writes it); KLUIS_NO_PARTY: absent, or too many. */
uint32_t im_party(struct im_people *p, struct kluis_str address, bool member);
uint32_t im_party_named(struct im_people *p, const char *name, bool member);
uint32_t im_party_find(const struct im_people *p, struct kluis_str address);

/* ---- imessage.c, message.c ---------------------------------------------------------------------------------------------- */
enum { IM_HOLES = 16, IM_ADDRESS = 256, IM_TYPED_ARENA = 4 << 20, IM_HANDLES = 512, IM_CHATS = 1024, IM_HAS = 1 << 20 };
struct im_handle { /* one that was looked up */
    int64_t id;
    size_t len;
    char address[IM_ADDRESS];
};
struct im {
    const struct source_request *q;
    const struct source_sink *sink;
    struct im_store store;
    struct kluis_db *db, *work;
    struct im_people people;
    struct wdb_draft d;
    struct kluis_arena *typed; /* of the text under way */
    struct im_summary *summary;
    struct typed_text *text, *old;
    char self_address[IM_ADDRESS];
    struct {
        int64_t after, before;
    } hole[IM_HOLES];
    size_t n_holes;
    struct im_handle *handles; /* IM_HANDLES, by the low bits of their row */
    uint8_t *has_attachment;   /* bits, by the low IM_HAS of a message's row: it may have one */
    uint32_t self, peer;
};
/* A message, and what hangs on it; deleted_us: when it was moved to "recently deleted", KLUIS_TIME_ABSENT: it was not. */
KLUIS_MUSTUSE kluis_status im_message(struct im *s, int64_t id, int64_t deleted_us, struct kluis_err *err);
/* The address of a handle's row; absent: none.  Lives until another one is asked for. */
struct kluis_str im_address(struct im *s, int64_t handle);

#endif
