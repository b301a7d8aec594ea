/* snapchat.h - parts of the snapchat source, private to this folder.
 *
 * snapchat.c goes through the files once, notes where each entry stands and who is in which conversation, and takes them conversation by
 * conversation in the order of time; message.c makes records.  Memory: one entry, the people of one conversation, 32 bytes for each entry
 * (order.h), the ids of all conversations and people (cast.h), the names of the files of media.
 */
#ifndef SOURCE_SNAPCHAT_H
#define SOURCE_SNAPCHAT_H

#include "agent/source/build.h"
#include "agent/source/download.h"
#include "agent/source/json_items.h"
#include "agent/source/turns.h"

enum { ENTRY_MAX = 2 << 20, TREE_MAX = 16 << 20, WORDS_MAX = 4 << 20, PEOPLE_BYTES = 2 << 20 };

struct part {
    const struct download_file *file;
    bool snaps; /* snap_history.json: pictures that were seen once */
};
struct media {
    struct kluis_str id; /* "b~…" as it stands in the file's name */
    const struct download_file *file;
};
/* What is known of a conversation before its turn. */
enum { TALK_SECONDS = 1, TALK_OLD = 2 }; /* some times are whole seconds; of the older shape */

struct snapchat {
    struct download d;
    const struct source_sink *sink;
    const char *self_option;
    struct part *parts;
    size_t n_parts;
    struct media *media; /* by id */
    size_t n_media;
    struct cast *cast;
    uint8_t talk[CAST_CONVERSATIONS];
    struct order *order;
    struct roster people;
    struct kluis_str self, title;
    struct kluis_arena *tree, *words;
    struct kluis_buf text;
    struct kluis_header header;
    struct kluis_str loss[12];
    struct build build;
};

/* ---- message.c ---- */
int64_t snapchat_when(struct json *m, bool *seconds); /* microseconds or KLUIS_TIME_ABSENT */
/* An entry of the older shape that the owner sent names only whom he sent it to. */
struct kluis_str snapchat_from(const struct snapchat *t, struct json *m, bool *own);
KLUIS_MUSTUSE kluis_status snapchat_entry(struct snapchat *t, const struct part *p, struct json *m, struct kluis_str raw, struct kluis_err *err);

#endif
