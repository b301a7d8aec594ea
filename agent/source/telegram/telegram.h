/* telegram.h - parts of the telegram source, private to this folder.
 *
 * telegram.c goes through result.json chat by chat; each chat's messages twice: people.c learns who is in it, message.c makes records.  Memory:
 * one message, the people of one chat, the owner's contacts.
 */
#ifndef SOURCE_TELEGRAM_H
#define SOURCE_TELEGRAM_H

#include "agent/source/build.h"
#include "agent/source/json.h"
#include "agent/source/json_items.h"
#include "agent/source/roster.h"
#include "agent/source/source.h"
#include "agent/source/zone.h"

enum { MESSAGE_MAX = 4 << 20, TREE_MAX = 24 << 20, CONTACTS_BYTES = 6 << 20, PEOPLE_BYTES = 2 << 20 };

struct contact {
    uint64_t id; /* of the user */
    struct kluis_str number;
};
struct chat {
    struct kluis_str name, type, own_id; /* as the export has them; own_id: decimal */
    char id[80];                         /* of the conversation: "user123", "chat123", "channel123" */
    uint64_t messages_at;                /* where the list's first byte after '[' stands */
    bool has_messages, left;
    struct roster people; /* its arena holds the chat's strings, too */
    uint32_t self;
    uint64_t n_messages, damaged;
    bool group, undecided_zone;
};
struct telegram {
    const char *path;  /* of result.json */
    const char *below; /* its folder below the one given, with '/' behind it, or "": begins every source_ref */
    int fd, dir;
    const struct source_sink *sink;
    struct zone *zone;
    const char *zone_name, *self_option;
    struct kluis_arena *contacts_arena;
    struct contact *contacts;
    size_t n_contacts, cap_contacts;
    char self_id[32];
    struct kluis_str self_name, self_number;
    struct chat chat;
    struct kluis_arena *tree;    /* one message */
    struct kluis_arena *scratch; /* its records */
    struct kluis_header header;
    struct kluis_str loss[16];
    struct build build;
    struct kluis_buf text;
    uint64_t chats;
};

/* ---- people.c ---- */
struct kluis_str telegram_number(const struct telegram *t, struct kluis_str from_id);
void people_of_message(struct telegram *t, struct json *m);
void chat_start(struct telegram *t);
/* After all messages were noted: the conversation's id, who the owner is. */
void chat_conclude(struct telegram *t);
KLUIS_MUSTUSE kluis_status chat_begin(struct telegram *t, struct kluis_err *err);

/* ---- message.c ---- */
KLUIS_MUSTUSE kluis_status message_send(struct telegram *t, struct json *m, struct kluis_str raw, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status message_gap(struct telegram *t, uint64_t at, const char *why, struct kluis_err *err);
/* A file of the export by its path in it; -1: not there, or no path below it. */
int telegram_open(int dir, struct kluis_str path, int64_t *size);

#endif
