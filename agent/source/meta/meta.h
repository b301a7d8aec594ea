/* meta.h - parts of the meta source, private to this folder.
 *
 * meta.c finds the files and says which belong to one conversation; threads.c goes through the files of one, notes where each message stands
 * and who is in it, and gives them in the order of time; message.c makes records; repair.c makes text of what Meta wrote instead of it.
 * Memory: one message, the people of one conversation, 32 bytes for each of its messages (order.h).
 */
#ifndef SOURCE_META_H
#define SOURCE_META_H

#include "agent/source/build.h"
#include "agent/source/download.h"
#include "agent/source/json_items.h"
#include "agent/source/order.h"
#include "agent/source/roster.h"

enum { MESSAGE_MAX = 2 << 20, TREE_MAX = 16 << 20, WORDS_MAX = 6 << 20, PEOPLE_BYTES = 2 << 20 };

/* One message_N.json, or one file of the end-to-end encrypted download. */
struct part {
    const struct download_file *file;
    struct kluis_str thread; /* name of its folder, or of the file */
    const char *platform;    /* facebook instagram threads meta */
    bool sealed;             /* of the end-to-end encrypted download: members have other names */
};
struct conversation {
    struct kluis_str title, path, type; /* as the files have them, repaired */
    char id[64];
    struct roster people;
    bool *member; /* of people: is told among the participants */
    uint32_t *members;
    bool joinable, left;
    uint64_t n_messages, n_damaged;
    const char *platform;
};
struct meta {
    struct download d;
    const struct source_sink *sink;
    struct part *parts;
    size_t n_parts;
    struct kluis_str self_name;
    const char *self_option, *platform_option;
    struct conversation c;
    struct order *order;
    struct kluis_arena *tree;  /* one message as JSON    */
    struct kluis_arena *words; /* its records' own words */
    struct kluis_header header;
    struct kluis_str loss[16];
    struct build build;
    uint64_t conversations;
};

/* ---- repair.c ---- */
enum repair { REPAIR_NONE, REPAIR_LATIN1, REPAIR_WINDOWS };
/* Text whose UTF-8 bytes were each taken for a character of Latin-1 (\u00c3\u00a9 for é) or Windows-1252: once, if every character is one of
 * that set and the bytes are UTF-8 with at least one longer sequence.  Else, and without room, s itself and REPAIR_NONE. */
struct kluis_str meta_repair(struct kluis_str s, struct kluis_arena *a, enum repair *how);
struct kluis_str meta_words(struct kluis_str s, struct kluis_arena *a); /* the same, without asking how */

/* ---- threads.c ---- */
KLUIS_MUSTUSE kluis_status meta_conversation(struct meta *t, const struct part *first, size_t n, struct kluis_err *err);
/* The names among the participants of this file; fewer than 64 KiB before its messages, else none. */
KLUIS_MUSTUSE kluis_status meta_participants(struct meta *t, const struct part *p, void (*each)(void *ctx, struct kluis_str name), void *ctx,
                                             struct kluis_err *err);

/* ---- message.c ---- */
/* Milliseconds since 1970; false: the message states no time. */
bool meta_when(struct json *m, int64_t *ms);
struct kluis_str meta_sender(struct json *m);
KLUIS_MUSTUSE kluis_status meta_message(struct meta *t, const struct part *p, struct json *m, struct kluis_str raw, struct kluis_err *err);

#endif
