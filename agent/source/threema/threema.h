/* threema.h - parts of the threema source, private to this folder.
 *
 * A backup is a zip of CSV files: lists (contacts, groups, polls) and a file of messages for each chat.  threema.c keeps the lists and goes through
 * each chat twice, for who is in it and to make records (message.c).  What the backup also holds and no record needs is never read: the identity with
 * its key, nonces.
 */
#ifndef SOURCE_THREEMA_H
#define SOURCE_THREEMA_H

#include "agent/source/build.h"
#include "agent/source/fileset.h"
#include "agent/source/json.h"
#include "agent/source/roster.h"
#include "agent/source/threema/csv.h"

enum { LISTS_BYTES = 12 << 20, LIST_MAX = 65536, PEOPLE_BYTES = 2 << 20, SCRATCH_MAX = 20 << 20 };
enum chat_kind { CHAT_DIRECT, CHAT_GROUP, CHAT_LIST };

struct person {
    struct kluis_str identity, name, file_id;
};
struct group { /* and distribution list */
    struct kluis_str uid, name, members;
    bool list;
};
struct ballot {
    struct kluis_str id, uid, name, creator;
    struct kluis_str message; /* id of the record that shows it, of the chat under way */
};
struct choice {
    struct kluis_str ballot, id, name;
};
struct threema {
    struct fileset files;
    const struct source_sink *sink;
    struct kluis_str self; /* the owner's identity, where known */
    struct kluis_arena *kept;
    struct person *people;
    struct group *groups;
    struct ballot *ballots;
    struct choice *choices;
    size_t n_people, n_groups, n_ballots, n_choices;
    bool has_reactions;
    uint64_t conversations;
    /* the chat under way */
    enum chat_kind kind;
    struct kluis_str chat, name; /* identity, group's uid, list's id */
    struct roster roster;
    uint32_t me;
    uint64_t n_rows, damaged;
    struct kluis_header header;
    struct kluis_str loss[8];
    struct kluis_arena *scratch;
    struct build build;
};

const struct person *threema_person(const struct threema *t, struct kluis_str identity);
uint32_t threema_party(const struct threema *t, struct kluis_str identity);
/* message.c: one row of a chat's file; of a list of reactions or votes. */
KLUIS_MUSTUSE kluis_status threema_send(struct threema *t, const struct csv *c, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status threema_reaction(struct threema *t, const struct csv *c, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status threema_vote(struct threema *t, const struct csv *c, struct kluis_err *err);

#endif
