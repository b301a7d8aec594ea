/* agent/source/roster.h - the people of one conversation, as a header's table of parties.
 *
 * Everybody once for each name under which the source shows him: a name that changed, or a name that two people have, is told apart.  Holds
 * its own copies; pointers live until it is cleared or closed.  One thread.
 */
#ifndef SOURCE_ROSTER_H
#define SOURCE_ROSTER_H

#include "kluis/record.h"

struct roster {
    struct kluis_party *list; /* of KLUIS_PARTIES_MAX */
    uint32_t *members;        /* 0, 1, 2 …: of a header that lists everybody */
    uint32_t n;
    uint32_t slots[2 * KLUIS_PARTIES_MAX]; /* hash of id and name: index + 1 */
    uint32_t slot_of[KLUIS_PARTIES_MAX];   /* so that clearing costs what was in it */
    struct kluis_arena *arena;             /* of the strings; whoever holds the roster may keep more in it */
    bool several_names;                    /* one id under two names */
    bool overflow;                         /* more people, or longer names, than it holds: those have no party */
};

/* bytes: of all strings.  E_NOMEM. */
KLUIS_MUSTUSE kluis_status roster_open(struct roster *r, size_t bytes, struct kluis_err *err);
void roster_close(struct roster *r); /* a zeroed one: no-op */
void roster_clear(struct roster *r);
/* The party with this id and name, made when new; an empty string is an absent one.  KLUIS_NO_PARTY: neither is told, or no more room. */
uint32_t roster_note(struct roster *r, struct kluis_str id, struct kluis_str name, struct kluis_str number);
/* The same without making one. */
uint32_t roster_find(const struct roster *r, struct kluis_str id, struct kluis_str name);
/* The first with this id; else the first with this name. */
uint32_t roster_called(const struct roster *r, struct kluis_str id_or_name);

#endif
