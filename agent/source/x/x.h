/* x.h - parts of the x source, private to this folder.
 *
 * x.c goes through the files once, notes where each message stands and who is in which conversation, and then takes them conversation by
 * conversation in the order of time; message.c makes records.  Memory: one message, the people of one conversation, 32 bytes for each message
 * (order.h), the ids of all conversations and people (cast.h).
 */
#ifndef SOURCE_X_H
#define SOURCE_X_H

#include "agent/source/build.h"
#include "agent/source/download.h"
#include "agent/source/json_items.h"
#include "agent/source/turns.h"

enum { MESSAGE_MAX = 2 << 20, TREE_MAX = 16 << 20, WORDS_MAX = 4 << 20, PEOPLE_BYTES = 2 << 20 };

struct part {
    const struct download_file *file;
    bool group;   /* direct-messages-group*.js */
    bool headers; /* direct-message-headers*.js: no text */
};
struct x {
    struct download d;
    const struct source_sink *sink;
    struct part *parts;
    size_t n_parts;
    struct kluis_str self_id, self_name;
    const char *self_option;
    bool has_media; /* some file lies in a folder of media */
    struct cast *cast;
    uint8_t group[CAST_CONVERSATIONS / 8]; /* a bit for each conversation */
    struct order *order;
    struct roster people;
    struct kluis_str name; /* of the conversation under way, as it was called last */
    struct kluis_arena *tree;
    struct kluis_arena *words;
    struct kluis_header header;
    struct kluis_str loss[8];
    struct build build;
};

/* ---- message.c ---- */
/* m: the object around messageCreate and the like.  *what: that member, NULL: there is none. */
struct json *x_inner(struct json *m, const char **what);
int64_t x_when(struct json *inner); /* microseconds or KLUIS_TIME_ABSENT */
/* Everybody whose id stands in it. */
void x_people(struct json *inner, void (*each)(void *ctx, struct kluis_str id), void *ctx);
KLUIS_MUSTUSE kluis_status x_message(struct x *t, const struct part *p, struct json *m, struct kluis_str raw, struct kluis_err *err);

#endif
