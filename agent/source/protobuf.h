/* agent/source/protobuf.h - the protobuf wire format (protobuf.dev/programming-guides/encoding): fields one after the other, nothing else.
 *
 * Knows no schema: a caller asks for the next field and decides by its number what it is.  Groups (wire types 3 and 4) are refused, as nobody
 * writes them any more.  Borrows the bytes; no memory of its own, no recursion.
 */
#ifndef AGENT_SOURCE_PROTOBUF_H
#define AGENT_SOURCE_PROTOBUF_H

#include "kluis/base.h"

enum pb_type { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };

struct pb { /* where a message stands */
    const uint8_t *p, *end;
};

struct pb_field {
    uint32_t number; /* 1 … 2^29-1 */
    enum pb_type type;
    uint64_t value;           /* PB_VARINT, PB_FIXED64, PB_FIXED32 */
    struct kluis_bytes bytes; /* PB_BYTES: its content; ptr is never NULL */
};

struct pb pb_open(struct kluis_bytes message);
/* 1: a field; 0: the message ended where it should; -1: the bytes are no protobuf message from here on. */
int pb_next(struct pb *m, struct pb_field *f);
/* A base-128 number of at most ten bytes within 64 bits; false: none here.  *p moves behind it. */
bool pb_varint(const uint8_t **p, const uint8_t *end, uint64_t *out);

#endif
