/* agent/source/json.h - one JSON value as a tree in an arena: keeps where every value stood, and remembers what was asked for.
 *
 * Strict is RFC 8259 without liberties: no duplicate members, no comments, nothing after the value, valid UTF-8.  Loose takes what real
 * exporters write against it (below).  Integers stay text, for they may be 64 bits wide.  `used` marks what a caller looked at, so that
 * the rest can be kept instead of dropped.  For documents larger than memory: json_stream.h.
 */
#ifndef SOURCE_JSON_H
#define SOURCE_JSON_H

#include "kluis/base.h"

enum json_type { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };
enum { JSON_DEPTH_MAX = 64, JSON_MEMBERS_MAX = 4096 /* of one object: each is compared with all before it */ };

struct json {
    enum json_type type;
    uint8_t used;          /* 0 nobody looked; 1 looked at, its members may be left; 2 taken whole */
    bool damaged;          /* string: held half a surrogate pair or bytes that are no text, shown as U+FFFD */
    bool wire;             /* made from another encoding: raw is that encoding's bytes, not JSON */
    bool foreign;          /* of an encoding whose tables do not know it: key says its number */
    struct kluis_str key;  /* in an object */
    struct kluis_str text; /* string: decoded; number: as written  */
    struct kluis_str raw;  /* the value's own bytes in the line */
    struct json *child, *next;
};

/* E_REJECT: not one JSON value (says at which byte); E_LIMIT: deeper or wider than the above, or more than the arena holds.  Borrows line. */
KLUIS_MUSTUSE kluis_status json_read(struct kluis_str line, struct kluis_arena *arena, struct json **out, struct kluis_err *err);
/* The same, but: \xNN is the character U+00NN (Telegram writes it), control characters and bytes that are no UTF-8 may stand in a string
 * (the latter make it damaged), of a member given twice the first counts and the second is another child. */
KLUIS_MUSTUSE kluis_status json_read_loose(struct kluis_str text, struct kluis_arena *arena, struct json **out, struct kluis_err *err);
/* The same of a value that more may follow: *used bytes of the text are it. */
KLUIS_MUSTUSE kluis_status json_read_first(struct kluis_str text, struct kluis_arena *arena, struct json **out, size_t *used, struct kluis_err *err);

/* The first byte of a document that begins so, past a byte order mark and white space; 0: nothing but those. */
char json_begins(struct kluis_bytes head);
/* Where the string that begins at p (behind its opening quote) is closed; NULL: not before end. */
const char *json_string_end(const char *p, const char *end);

/* All take NULL for an absent value and give absent back; what they find is marked used.  Those that end in _n take the length of the name too:
 * the others are here so that nobody measures a name that is known when this is compiled. */
struct json *json_get_n(struct json *object, const char *name, size_t n);
struct json *json_typed_n(struct json *object, const char *name, size_t n, enum json_type t);
struct kluis_str json_string_n(struct json *object, const char *name, size_t n);
struct kluis_str json_text_n(struct json *object, const char *name, size_t n);
bool json_u64_n(struct json *object, const char *name, size_t n, uint64_t *out);
bool json_i64_n(struct json *object, const char *name, size_t n, int64_t *out);
bool json_true_n(struct json *object, const char *name, size_t n);
/* A member, of any type but null. */
static inline struct json *json_get(struct json *object, const char *name) { return json_get_n(object, name, strlen(name)); }
/* Only an object; only an array. */
static inline struct json *json_object(struct json *object, const char *name) { return json_typed_n(object, name, strlen(name), JSON_OBJECT); }
static inline struct json *json_array(struct json *object, const char *name) { return json_typed_n(object, name, strlen(name), JSON_ARRAY); }
/* Only a string, not empty; a string that is not empty, or a number as written. */
static inline struct kluis_str json_string(struct json *object, const char *name) { return json_string_n(object, name, strlen(name)); }
static inline struct kluis_str json_text(struct json *object, const char *name) { return json_text_n(object, name, strlen(name)); }
/* Number or decimal string; false: absent or not one.  The same with a sign. */
static inline bool json_u64(struct json *object, const char *name, uint64_t *out) { return json_u64_n(object, name, strlen(name), out); }
static inline bool json_i64(struct json *object, const char *name, int64_t *out) { return json_i64_n(object, name, strlen(name), out); }
static inline bool json_true(struct json *object, const char *name) { return json_true_n(object, name, strlen(name)); }
bool json_value_u64(const struct json *v, uint64_t *out);
struct json *json_whole(struct json *v); /* marks v and everything below as taken; gives v */
/* The value as JSON text: as it was written, or as its encoding's JSON form would be.  Absent: no memory. */
struct kluis_str json_shown(const struct json *v, struct kluis_arena *arena);
void json_ignore(struct json *object, const char *name); /* known and without meaning for a record */

#endif
