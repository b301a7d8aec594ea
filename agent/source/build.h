/* agent/source/build.h - one record being put together: lists kept within their ceilings, sorted and unique when it is sent.
 *
 * Strings are borrowed until the record is sent; what is made here lives in the arena given.  One thread.
 */
#ifndef SOURCE_BUILD_H
#define SOURCE_BUILD_H

#include "agent/source/json.h"
#include "agent/source/source.h"

enum { BUILD_TIMES = 16, BUILD_LOSSES = 16, BUILD_ATTACHMENTS = 64 };

struct build {
    struct kluis_record r;
    struct kluis_time_field times[BUILD_TIMES];
    struct kluis_field fields[KLUIS_FIELDS_MAX];
    struct kluis_str loss[BUILD_LOSSES];
    struct kluis_attachment attachments[BUILD_ATTACHMENTS];
    struct kluis_str options[KLUIS_FIELDS_MAX];
    struct kluis_arena *arena;
};

/* An empty record of this kind, by nobody, at no time. */
void build_new(struct build *b, struct kluis_arena *arena, enum kluis_kind kind);
/* Fields: an absent value adds nothing; past the ceiling, longer than a text may be, or not valid UTF-8, it is a loss. */
void build_text(struct build *b, const char *name, struct kluis_str value);
/* One of several of a name, the i-th from 1 on: "link", "link-02" … */
void build_nth(struct build *b, const char *name, unsigned i, struct kluis_str value);
void build_number(struct build *b, const char *name, int64_t n); /* beyond 2^53: as text */
void build_time(struct build *b, const char *name, int64_t us);  /* KLUIS_TIME_ABSENT: nothing */
void build_loss(struct build *b, const char *token);             /* once */
void build_option(struct build *b, struct kluis_str text);
struct kluis_attachment *build_attachment(struct build *b); /* zeroed, size -1; NULL: too many, which is a loss */
/* The text; what is longer than KLUIS_TEXT_MAX is cut at a character, which is a loss. */
void build_body(struct build *b, struct kluis_str text);
/* Hands it over. */
KLUIS_MUSTUSE kluis_status build_send(struct build *b, const struct source_sink *sink, struct kluis_bytes raw, struct kluis_err *err);

/* Members and elements that nobody looked at (json.h: used), as fields "path.member.…"; deeper than 240 bytes of name is a loss. */
void build_rest(struct build *b, const char *path, struct json *v);

struct kluis_str build_fmt(struct kluis_arena *a, const char *fmt, ...) KLUIS_PRINTF(2, 3); /* absent: no room */
/* Instants: milliseconds or seconds since 1970 to microseconds; KLUIS_TIME_ABSENT outside the years 1 to 9999. */
int64_t build_ms(int64_t ms);
/* An instant as ISO 8601 writes it: "2026-03-12T10:00:00", any fraction of a second, then Z or an offset.  false: not one. */
bool build_iso(struct kluis_str s, struct kluis_when *out);

/* "2018-12-05 10:39:10 UTC": microseconds; KLUIS_TIME_ABSENT: it is no such time. */
int64_t build_utc(struct kluis_str s);
/* Tells the sink, if it wants to know. */
KLUIS_MUSTUSE kluis_status build_skip(const struct source_sink *sink, const char *what, const char *where, const char *why, bool refused,
                                      struct kluis_err *err);
/* The record of a place in the source that cannot be read: bytes of it from byte `at` on. */
KLUIS_MUSTUSE kluis_status build_gap(struct build *b, struct kluis_arena *arena, const struct source_sink *sink, uint64_t at, uint64_t bytes,
                                     enum kluis_zone zone, struct kluis_err *err);

/* The media type that the first bytes state, or NULL.  For "image/jpeg" that is a PNG. */
const char *build_type_of(const uint8_t *head, size_t n);
/* The media type that a name's ending stands for, or NULL. */
const char *build_type_of_name(struct kluis_str name);
/* The last component of a path of either kind of slash. */
struct kluis_str build_base_name(struct kluis_str path);

#endif
