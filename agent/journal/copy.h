/* agent/journal/copy.h - headers and records outlive a source's callback only as copies in an arena. */
#ifndef AGENT_COPY_H
#define AGENT_COPY_H

#include "kluis/record.h"

enum { COPY_HEADER_MAX = 8 << 20 }; /* bytes of one conversation's header: 4,096 people with long names */

/* E_LIMIT or E_NOMEM: the arena is full; *out is worthless then. */
KLUIS_MUSTUSE kluis_status copy_header(struct kluis_arena *a, const struct kluis_header *h, struct kluis_header *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status copy_record(struct kluis_arena *a, const struct kluis_record *r, struct kluis_record *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status copy_bytes(struct kluis_arena *a, struct kluis_bytes b, struct kluis_bytes *out, struct kluis_err *err);

#endif
