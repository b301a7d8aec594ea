/* matrix.h - parts of the matrix-export source, private to this folder.
 *
 * One export is one room: what it is called, then its events.  They are gone through twice: for who is in it under which name and what polls ask
 * (matrix.c), then to make records (event.c: messages; state.c: what happened to the room).  Memory: people, polls, one event.
 */
#ifndef SOURCE_MATRIX_H
#define SOURCE_MATRIX_H

#include "agent/source/build.h"
#include "agent/source/fileset.h"
#include "agent/source/html.h"
#include "agent/source/json_items.h"
#include "agent/source/roster.h"

enum { MESSAGE_MAX = 4 << 20, TREE_MAX = 20 << 20, PEOPLE_BYTES = 2 << 20, POLLS_BYTES = 4 << 20, ANSWER_SLOTS = 16384 };

struct answer { /* of a poll */
    struct kluis_str poll, id, text;
};
struct matrix {
    struct fileset files;
    uint32_t file;  /* the export under way */
    const char *in; /* its folder among the files, with '/' behind, or "" */
    const struct source_sink *sink;
    const char *self_option;
    struct kluis_arena *kept; /* of this export: room, polls */
    struct kluis_str room_id, room_name, topic, exported_by, export_date;
    struct roster users;               /* everybody once, by id */
    struct roster people;              /* once for each name */
    uint32_t first[KLUIS_PARTIES_MAX]; /* of users: under which name they are first known */
    uint32_t now[KLUIS_PARTIES_MAX];   /* and under which just now: index in people */
    struct answer answers[ANSWER_SLOTS];
    uint32_t n_answers;
    uint64_t messages_at, n_events, damaged, rooms;
    bool has_messages, direct, media_there;
    struct kluis_header header;
    struct kluis_str loss[8];
    struct kluis_arena *tree, *scratch;
    struct build build;
    struct kluis_buf text;
};

/* ---- matrix.c ---- */
/* The party of this user under the name of just now. */
uint32_t matrix_party(struct matrix *x, struct kluis_str user);
/* A member event says how somebody is called from now on. */
void matrix_called(struct matrix *x, struct json *e);
const struct answer *matrix_answer(const struct matrix *x, struct kluis_str poll, struct kluis_str id);
struct json *matrix_poll(struct json *content); /* the poll that an event begins, or NULL */
struct kluis_str matrix_words(struct json *o);  /* the text of an extensible event */

/* ---- event.c ---- */
KLUIS_MUSTUSE kluis_status matrix_send(struct matrix *x, struct json *e, struct kluis_str raw, struct kluis_err *err);
/* sent, from an event's origin_server_ts. */
void matrix_when(struct build *b, struct json *e);
/* ---- state.c: what an event that is no message says; false: it is not known ---- */
bool matrix_state(struct matrix *x, struct build *b, struct json *e, struct kluis_str type, struct json *content);
/* ---- media.c: the file that content describes, among those of the export ---- */
void matrix_file(struct matrix *x, struct build *b, struct json *content, const char *kind, struct kluis_str name, int64_t sent_us);

#endif
