/* wire.h - frames of a Signal backup from protobuf to the tree that the model reads.
 *
 * The tree is what the JSON form of the same message is (proto3's mapping): 64-bit integers and bytes (base64) as strings, enumerations by
 * name, a field without presence only when it is not its default.  What the tables do not know stays as "field-<number>": integers as
 * numbers, bytes as base64.  Strings and raw bytes are borrowed from the message.
 */
#ifndef SIGNAL_ARCHIVE_WIRE_H
#define SIGNAL_ARCHIVE_WIRE_H

#include "agent/source/protobuf.h"
#include "agent/source/signal_model/model.h"

enum wire_kind { WIRE_U64, WIRE_U32, WIRE_BOOL, WIRE_STRING, WIRE_BYTES, WIRE_FIXED32, WIRE_ENUM, WIRE_MESSAGE };
/* Whether a field's default value counts as said: never, always (optional, or one of several), or it is a list. */
enum wire_presence { WIRE_PLAIN, WIRE_SEEN, WIRE_MANY };

struct wire_message;
struct wire_field {
    const char *name;
    const struct wire_message *of;       /* WIRE_MESSAGE */
    const char *values;                  /* WIRE_ENUM: names of 0, 1, … with a space between */
    uint8_t number, kind, presence, len; /* len: of name */
};
struct wire_message {
    const struct wire_field *fields; /* ascending */
    unsigned n;
};
extern const struct wire_message *const wire_backup_info, *const wire_frame, *const wire_group_change;

/* NULL in *damage: *out is the message's tree.  Else what is wrong with it (static text) and *out is NULL. */
void wire_tree(struct kluis_bytes message, const struct wire_message *type, struct kluis_arena *arena, struct json **out, const char **damage);

#endif
