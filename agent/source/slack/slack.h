/* slack.h - parts of the slack source, private to this folder.
 *
 * An export has lists of users and of channels, and a folder for each channel with a file a day.  lists.c keeps the lists; slack.c goes through each
 * channel's days twice, for who is in it and to make records (message.c; text.c: Slack's own mark-up).  Memory: the lists, one message, and a
 * channel's first 2 MiB, so that its small files are opened once.
 */
#ifndef SOURCE_SLACK_H
#define SOURCE_SLACK_H

#include "agent/source/build.h"
#include "agent/source/fileset.h"
#include "agent/source/json_items.h"
#include "agent/source/roster.h"

enum {
    MESSAGE_MAX = 4 << 20,
    TREE_MAX = 20 << 20,
    PEOPLE_BYTES = 2 << 20,
    LISTS_BYTES = 14 << 20,
    LIST_MAX = 1 << 17,
    MEMBERS_MAX = 256,
    HELD_MAX = 2 << 20,
    HELD_FILES = 4096
};

struct entry { /* a user or a channel */
    struct kluis_str id, name;
    uint8_t type;             /* channel: enum kluis_conversation_type */
    struct kluis_str members; /* of a channel: ids with ' ' between, MEMBERS_MAX at most */
    bool more_members;
};
struct list { /* found by id, a channel by name, too */
    struct entry *at;
    uint32_t *slots;
    uint32_t n, cap, n_slots;
};
struct slack_file { /* of the channel under way: held[at … at+len) is its content, which is read twice */
    size_t at, len;
};
struct slack {
    struct fileset files;
    const char *root; /* the folder of the lists among the files, with '/' behind, or "" */
    size_t n_root;
    const struct source_sink *sink;
    const char *self_option;
    struct kluis_arena *kept;
    struct list users, channels;
    uint64_t conversations;
    /* the channel under way */
    struct entry channel;
    const char *folder;
    uint8_t *held; /* of HELD_MAX */
    struct slack_file held_files[HELD_FILES];
    uint32_t held_first, n_held; /* they are the files held_first … held_first+n_held-1 of the list */
    size_t held_bytes;
    bool known, stopped; /* stopped: whoever takes the records does not go on */
    struct roster people;
    uint64_t n_messages, damaged;
    struct kluis_header header;
    struct kluis_str loss[10];
    struct kluis_arena *tree, *scratch;
    struct build build;
    struct kluis_buf text, other;
};

/* ---- lists.c ---- */
KLUIS_MUSTUSE kluis_status slack_lists(struct slack *s, struct kluis_err *err);
const struct entry *slack_user(const struct slack *s, struct kluis_str id);
const struct entry *slack_channel(const struct slack *s, struct kluis_str id_or_name);
void slack_lists_free(struct slack *s);

/* ---- text.c: appended to out ---- */
void slack_text(const struct slack *s, struct kluis_str marked, struct kluis_buf *out); /* <@U1>, <https://a.nl|a>, &lt; */
void slack_blocks(const struct slack *s, struct json *blocks, struct kluis_buf *out);
bool slack_blocks_say_more(struct json *blocks); /* other than rich text, which says what the text says */
void slack_unfurl(const struct slack *s, struct json *attachment, struct kluis_buf *out);

/* ---- message.c ---- */
bool slack_is_message(struct json *m);
void slack_people(struct slack *s, struct json *m);
KLUIS_MUSTUSE kluis_status slack_send(struct slack *s, struct json *m, struct kluis_str raw, struct kluis_err *err);

#endif
