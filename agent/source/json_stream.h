/* agent/source/json_stream.h - going through a JSON document of any size, one level at a time, in bounded memory.
 *
 * The caller says how the document is built: enters the containers it knows, asks for the next member or element, and takes a whole
 * value's bytes (for json_read_loose) or passes over it.  Never builds more than one value, and does not judge what it passes over beyond
 * its brackets and quotes.  One thread.
 */
#ifndef SOURCE_JSON_STREAM_H
#define SOURCE_JSON_STREAM_H

#include "kluis/base.h"

enum { JSON_STREAM_DEPTH_MAX = 64, JSON_STREAM_PIECE = 256 << 10 };

struct json_stream {
    struct kluis_input in;
    const char *name; /* for messages */
    size_t value_max;
    char *data;
    size_t cap, start, end; /* unread: data[start..end) */
    uint64_t at;            /* of data[start] in the document */
    uint64_t work;          /* bytes looked at to find where values end, ever */
    bool ended;
    unsigned depth;
    char closes[JSON_STREAM_DEPTH_MAX];
    bool first[JSON_STREAM_DEPTH_MAX];
    struct kluis_arena *keys;
};

/* at: where in the document `in` begins (a part of it may be read again).  value_max: bytes of the largest value that can be taken.
 * E_NOMEM. */
KLUIS_MUSTUSE kluis_status json_stream_open(struct json_stream *s, const struct kluis_input *in, uint64_t at, const char *name, size_t value_max,
                                            struct kluis_err *err);
void json_stream_close(struct json_stream *s); /* a zeroed one: no-op */

/* The first byte of the value that comes: '{' '[' '"' 't' 'f' 'n' '-' '0'…'9'; KLUIS_END where the document ends.  A byte order mark before
 * the document is passed over. */
KLUIS_MUSTUSE kluis_status json_stream_peek(struct json_stream *s, char *c, struct kluis_err *err);
/* Into the object or array that comes.  E_REJECT: another thing comes; E_LIMIT: too deep. */
KLUIS_MUSTUSE kluis_status json_stream_enter(struct json_stream *s, char open, struct kluis_err *err);
/* Re-enters a container of which a part is read again: as if `open` had just been read, before its element or member. */
void json_stream_inside(struct json_stream *s, char open);
/* To the next member (key: decoded, borrowed until the next call) or element (key absent).  KLUIS_END: the container was closed and left.
 * E_REJECT: damage (says at which byte). */
KLUIS_MUSTUSE kluis_status json_stream_next(struct json_stream *s, struct kluis_str *key, struct kluis_err *err);
/* The value's bytes, borrowed until the next call; at: where it begins.  E_REJECT: it does not end; E_LIMIT: larger than value_max.  After
 * either the stream still stands before it. */
KLUIS_MUSTUSE kluis_status json_stream_take(struct json_stream *s, struct kluis_str *value, uint64_t *at, struct kluis_err *err);
/* What is buffered of the rest, from where it stands on; borrowed until the next call. */
struct kluis_str json_stream_ahead(const struct json_stream *s);
/* Back to before the value just taken, because it is none after all; only right after json_stream_take gave n bytes. */
void json_stream_untake(struct json_stream *s, size_t n);
/* Passes over the value, of any size. */
KLUIS_MUSTUSE kluis_status json_stream_skip(struct json_stream *s, struct kluis_err *err);
/* After damage inside an array of objects that begin with one of the members `keys` (NULL-ended): to the next place that looks like such an
 * element, but not the one it stands at.  The stream then stands as if json_stream_next had found it.  outer (may be NULL): the first member of
 * the objects in which such arrays stand; when one of those comes first, *at_outer, and the stream stands at it as if json_stream_next had found
 * that one: array and object are left.  KLUIS_END: there is none; the stream is at its end. */
KLUIS_MUSTUSE kluis_status json_stream_resync(struct json_stream *s, const char *const *keys, const char *outer, bool *at_outer,
                                              struct kluis_err *err);
/* n bytes further, whatever they are; KLUIS_END: there are not so many. */
KLUIS_MUSTUSE kluis_status json_stream_drop(struct json_stream *s, uint64_t n, struct kluis_err *err);
uint64_t json_stream_at(const struct json_stream *s);

#endif
