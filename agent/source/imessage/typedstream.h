/* typedstream.h - an attributed text as Apple's archiver wrote it before 2005 and Messages still does (attributedBody).
 *
 * "\x04\x0bstreamtyped", then values by their encoded types (as Objective-C names them: i, I, @, *, +, …).  Strings, and objects and classes
 * together, are numbered as they appear and referred to by number.  There is no published standard; peers agree on this much.  Borrows the bytes.
 */
#ifndef IMESSAGE_TYPEDSTREAM_H
#define IMESSAGE_TYPEDSTREAM_H

#include "kluis/base.h"

enum { TYPED_RUNS_MAX = 512, TYPED_VALUES_MAX = 32768, TYPED_DEPTH_MAX = 32 };
struct typed_run {
    uint64_t start, length;   /* in UTF-16 units  */
    int64_t part;             /* -1: not said     */
    struct kluis_str file;    /* an attachment's id that stands here; absent: none */
    struct kluis_str mention; /* whom it mentions; absent: nobody */
};
struct typed_text {
    struct kluis_str text; /* as it stands, which may be no UTF-8 */
    bool whole;            /* false: from somewhere on it could not be read; what came before is here */
    size_t n;
    struct typed_run run[TYPED_RUNS_MAX];
};
/* false: no such bytes, or no text in them.  The arena holds what is looked at while reading: 4 MiB are enough for all within the ceilings. */
bool typed_read(struct kluis_bytes bytes, struct kluis_arena *arena, struct typed_text *out);

#endif
