/* android.h - what the files of the reader of WhatsApp on Android share.
 *
 * place (where things are, opening) -> prepare (order, who takes part) -> chat (conversations) -> message, side (records) | legacy (before 2022)
 * Backups come without indexes, so the order of messages and the rows that belong to one are put into tables of the private copy.
 */
#ifndef WHATSAPP_ANDROID_H
#define WHATSAPP_ANDROID_H

#include "agent/source/whatsapp_db/wdb.h"

#define ANDROID_KIND "whatsapp-android"

enum { ANDROID_HOLES = 16, ANDROID_WHO = 1024, ANDROID_HAS = 1 << 22 };

/* Tables with a row for a message, or several: a bit each, so that only messages that have one are looked up. */
enum android_side {
    SIDE_MEDIA,
    SIDE_QUOTED,
    SIDE_SYSTEM,
    SIDE_REVOKED,
    SIDE_EDIT,
    SIDE_EPHEMERAL,
    SIDE_VIEW_ONCE,
    SIDE_LOCATION,
    SIDE_FORWARDED,
    SIDE_POLL,
    SIDE_CALL,
    SIDE_TEXT,    /* link preview */
    SIDE_SEVERAL, /* any of the tables with several rows: cards, mentions, members, poll options */
    SIDE_RARE,    /* any of the rare ones */
    SIDE_ADDON,   /* reactions, votes, pins */
    SIDES
};

struct android_place {
    char path[KLUIS_PATH_MAX];     /* the database, plain or encrypted */
    char contacts[KLUIS_PATH_MAX]; /* wa.db or its backup; "": none */
    char root[3][KLUIS_PATH_MAX];  /* folders that hold Media/ */
    size_t n_roots;
    char increment[KLUIS_PATH_MAX]; /* a later piece of a backup in several files that lies beside it; "": none */
};

struct android {
    const struct source_request *q;
    const struct source_sink *sink;
    struct android_place place;
    struct kluis_db *db, *wa, *work; /* work: our own tables, see prepare.c */
    struct wdb_media *media;
    struct wdb_book *book;
    struct wdb_draft d;
    struct wdb_names *names;
    uint16_t *has; /* ANDROID_HAS entries, by the low bits of a message's row id */
    struct {
        int64_t row;
        uint32_t party;
    } who[ANDROID_WHO];
    struct {
        int64_t after, before;
    } hole[ANDROID_HOLES];
    size_t n_holes;
    char app_version[32], self_jid[WDB_JID_MAX], self_name[128];
    /* the conversation under way */
    int64_t chat, chat_jid;
    uint32_t self, peer; /* parties; peer: the other one of a direct chat */
    bool group;
};

/* ---- place.c ---- */
KLUIS_MUSTUSE kluis_status android_locate(struct android_place *p, const char *path, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status android_open(const struct source_request *q, const char *path, struct kluis_db **out, char app_version[32],
                                        struct kluis_err *err);
enum source_sure android_probe(const struct source_file *f);

/* ---- prepare.c ---- */
KLUIS_MUSTUSE kluis_status android_prepare(struct android *a, struct kluis_err *err);
bool android_has(const struct android *a, int64_t message, enum android_side side);

/* ---- people.c ---- */
KLUIS_MUSTUSE kluis_status android_names(struct android *a, struct kluis_err *err);
/* The plain JID of a row of jid, a hidden one's number where it is known. */
KLUIS_MUSTUSE kluis_status android_jid(struct android *a, int64_t row, char out[WDB_JID_MAX], struct kluis_str *jid, struct kluis_err *err);
struct kluis_str android_name(struct android *a, struct kluis_str jid, int64_t row); /* as the phone shows it; absent; lives until the next call */
/* The party of a row of jid; `add`: made when it is not there.  KLUIS_NO_PARTY: row 0, or none such. */
KLUIS_MUSTUSE kluis_status android_who(struct android *a, int64_t row, bool add, bool member, uint32_t *party, struct kluis_err *err);

/* ---- chat.c, message.c, side.c, legacy.c ---- */
KLUIS_MUSTUSE kluis_status android_chats(struct android *a, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status android_message(struct android *a, int64_t id, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status android_media(struct android *a, struct sqlite3_stmt *st, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status android_system(struct android *a, int64_t id, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status android_rare(struct android *a, int64_t id, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status android_calls(struct android *a, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status android_addons(struct android *a, int64_t message, struct kluis_str parent, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status android_orphans(struct android *a, struct kluis_err *err);
void android_call_event(struct android *a, struct sqlite3_stmt *st);
KLUIS_MUSTUSE kluis_status android_header(struct android *a, struct kluis_str id, struct kluis_str name, enum kluis_conversation_type type,
                                          bool timer, struct kluis_header *h, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status android_damage(struct android *a, struct kluis_err *err); /* gap records of the holes */
KLUIS_MUSTUSE kluis_status legacy_chats(struct android *a, struct kluis_err *err);

#endif
