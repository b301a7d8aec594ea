/* agent/source/cast.h - the conversations of a whole download and who appears in each, while it is gone through once in any order.
 *
 * For sources that mix conversations: each gets a number when first met, the people met in it are noted, and when its turn comes they are put
 * into its roster, in the order in which they were met.  Ceilings: CAST_CONVERSATIONS, CAST_PEOPLE, CAST_PAIRS, CAST_BYTES of all words.
 * One thread.
 */
#ifndef SOURCE_CAST_H
#define SOURCE_CAST_H

#include "agent/source/roster.h"

enum { CAST_CONVERSATIONS = 1 << 16, CAST_PEOPLE = 1 << 16, CAST_PAIRS = 1 << 19, CAST_BYTES = 8 << 20 };
#define CAST_NONE UINT32_MAX

struct cast;
KLUIS_MUSTUSE kluis_status cast_new(struct cast **out, struct kluis_err *err); /* E_NOMEM */
void cast_free(struct cast *c);
KLUIS_DEFINE_CLEANUP(cast)
/* Its number, from 0 on; CAST_NONE: no room. */
uint32_t cast_conversation(struct cast *c, struct kluis_str id);
uint32_t cast_conversations(const struct cast *c);
struct kluis_str cast_id(const struct cast *c, uint32_t conversation);
/* Somebody with this id and name (either may be absent, not both) appears in it.  What finds no room is left out: cast_full. */
void cast_note(struct cast *c, uint32_t conversation, struct kluis_str id, struct kluis_str name);
bool cast_full(const struct cast *c);
/* After the last note: once, before the first cast_fill. */
void cast_done(struct cast *c);
/* The people of this conversation, added to the roster. */
void cast_fill(const struct cast *c, uint32_t conversation, struct roster *r);
/* Who appears in more conversations than anybody else, in at least two and more than half of all: the owner, most likely.  false: nobody. */
bool cast_everywhere(const struct cast *c, struct kluis_str *id, struct kluis_str *name);

#endif
