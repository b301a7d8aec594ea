/* server/ingest/children.h - what opener and judge share inside the walls.  Stays in this folder. */
#ifndef SERVER_INGEST_CHILDREN_H
#define SERVER_INGEST_CHILDREN_H

#include "server/ingest/opener.h"

/* Writes everything, or gives up in silence: a keeper that went away needs no answer. */
void child_say(int fd, struct kluis_bytes b);
/* Reads a request to its end. */
bool child_hear(int fd, struct kluis_buf *out);

#endif
