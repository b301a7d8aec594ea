/* teams.h - parts of the teams source, private to this folder.
 *
 * Pages of Microsoft Graph hold the messages of many chats mixed.  Pass 1 (teams.c) goes through every file once and notes, in an encrypted
 * scratch database, which chat each message is of, where it stands, and who is in the chat; pass 2 takes one chat after the other and reads its
 * messages again (graph.c, personal.c).  Memory: names of chats, the people of one chat, one message.
 */
#ifndef SOURCE_TEAMS_H
#define SOURCE_TEAMS_H

#include "agent/source/build.h"
#include "agent/source/fileset.h"
#include "agent/source/html.h"
#include "agent/source/json_items.h"
#include "agent/source/roster.h"
#include "kluis/scratch.h"

enum {
    MESSAGE_MAX = 4 << 20,
    TREE_MAX = 20 << 20,
    PEOPLE_BYTES = 2 << 20,
    CHATS_BYTES = 8 << 20,
    CHATS_MAX = 65536,
    NOTED_SLOTS = 8192,
    WINDOW = 256 << 10,
    WINDOW_STEP = 4 << 10
};
enum form { FORM_NONE, FORM_GRAPH, FORM_PERSONAL };

struct chat {
    struct kluis_str id, name;
    uint8_t type; /* enum kluis_conversation_type */
    bool named;   /* the source says how it is called or of which kind it is; else its id is all there is */
};
struct teams {
    struct fileset files;
    const struct source_sink *sink;
    const char *self_option;
    struct kluis_str self; /* as far as the source says whose account this is */
    struct kluis_db *work;
    struct kluis_arena *kept; /* of chats, and of self */
    struct chat *chats;
    uint32_t *slots; /* hash of id: index + 1 */
    uint32_t n_chats, cap_chats, n_slots;
    uint64_t noted[NOTED_SLOTS]; /* people noted of late, by hash */
    uint64_t n_messages;
    /* the file under way in pass 1 */
    uint32_t file;
    enum form form;
    uint32_t chat; /* of the message before, of the conversation under way; UINT32_MAX: none yet */
    /* pass 2 */
    struct roster people;
    struct kluis_header header;
    struct kluis_str loss[8];
    struct kluis_arena *tree, *scratch;
    struct build build;
    struct kluis_buf text, quote, window;
    uint32_t window_file;
    uint64_t window_at;
    size_t window_step;
    struct kluis_err *err;
};

/* ---- chats.c: which chats there are, where their messages stand, who is in them ---- */
/* The chat with this id, made when new. */
KLUIS_MUSTUSE kluis_status teams_chat_find(struct teams *t, struct kluis_str id, uint32_t *out, struct kluis_err *err);
void teams_chat_call(struct teams *t, uint32_t chat, struct kluis_str name, int type); /* type -1: as it is */
KLUIS_MUSTUSE kluis_status teams_chat_put(struct teams *t, uint32_t chat, uint64_t at, uint64_t bytes, bool damaged, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status teams_chat_person(struct teams *t, uint32_t chat, struct kluis_str id, struct kluis_str name, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status teams_chat_give(struct teams *t, const uint8_t *forms, struct kluis_err *err);

/* ---- body.c: what both forms share ---- */
/* "8:orgid:0b4f…" as "0b4f…", ".../contacts/8:live:x" as "8:live:x". */
struct kluis_str teams_id(struct kluis_str id);
/* Who this is: under this name, else under any. */
uint32_t teams_party(const struct teams *t, struct kluis_str id, struct kluis_str name);
struct kluis_str teams_message_id(struct teams *t, const struct chat *c, struct kluis_str id);
/* The body in HTML (html) or as Skype marks it up: text, quote, images as attachments. */
void teams_body_html(struct teams *t, struct build *b, struct kluis_str content, bool html);
/* Text that a card shows, added to t->text. */
void teams_body_card(struct teams *t, struct kluis_str json);
/* An attachment by the name of its file; url may be absent. */
void teams_body_file(struct teams *t, struct build *b, struct kluis_str name, struct kluis_str type, struct kluis_str url);
/* The emoji of a reaction; its own word where it is none of the six that have one. */
struct kluis_str teams_body_reaction(struct kluis_str word);
void teams_body_when(struct build *b, const char *field, struct kluis_str stated); /* sent, or its text and a loss */

/* ---- graph.c, personal.c ---- */
bool teams_graph_is_one(struct json *m);
KLUIS_MUSTUSE kluis_status teams_graph_note(struct teams *t, struct json *m, uint64_t at, uint64_t bytes, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status teams_graph_send(struct teams *t, const struct chat *c, struct json *m, struct kluis_str raw, struct kluis_err *err);
bool teams_personal_is_one(struct json *m);
KLUIS_MUSTUSE kluis_status teams_personal_note(struct teams *t, struct json *m, uint64_t at, uint64_t bytes, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status teams_personal_send(struct teams *t, const struct chat *c, struct json *m, struct kluis_str raw, struct kluis_err *err);

#endif
