/* sms.h - parts of the sms source, private to this folder.
 *
 * slice (a file's elements, one by one) -> element (attributes) -> item -> index (which conversation) -> emit (records).
 * The database of a telephone (telephony.c) gives the same items.  Nothing here holds more than one element; base64 of attachments is
 * never held at all.
 */
#ifndef SOURCE_SMS_H
#define SOURCE_SMS_H

#include "agent/source/build.h"
#include "agent/source/source.h"

/* ---- slice.c: top-level elements of <smses> and <calls>, tolerant of what real files hold --------------------------- */
enum { SLICE_MAX = 2 << 20, SLICE_DATA_MAX = 256, SLICE_DEPTH_MAX = 16 };
enum slice_what { SLICE_SMS, SLICE_MMS, SLICE_CALL, SLICE_OTHER, SLICE_DAMAGED };
/* A value of an attribute named data: left out of the text, to be read from the file when wanted. */
struct slice_data {
    uint64_t at, chars; /* of its base64 in the file */
    char head[64];      /* first characters */
};
struct slice {
    enum slice_what what;
    uint64_t at, bytes;    /* in the file */
    struct kluis_str text; /* without the values of data; borrowed until the next call */
    struct slice_data data[SLICE_DATA_MAX];
    size_t n_data;
    const char *why; /* of damage */
};
struct slicer {
    int fd;
    const char *name;
    char *buf;
    size_t cap, pos, end, step;
    uint64_t at; /* of buf[pos] */
    bool ended, began, after_damage;
    bool marking, too_large; /* of the element under way: buf[mark..pos) belongs to its text */
    size_t mark;
    int64_t count; /* what the root says it holds, -1: nothing */
    struct kluis_buf text;
};
/* cap: bytes of its buffer, at least 64.  E_NOMEM. */
KLUIS_MUSTUSE kluis_status slicer_open(struct slicer *s, int fd, const char *name, size_t cap, struct kluis_err *err);
void slicer_close(struct slicer *s);
void slicer_seek(struct slicer *s, uint64_t at); /* to where a slice began */
/* KLUIS_END; E_REJECT: no SMS Backup & Restore file (only before the first element); E_IO. */
KLUIS_MUSTUSE kluis_status slicer_next(struct slicer *s, struct slice *out, struct kluis_err *err);
/* The same in two steps, for whoever can tell an element from what is buffered: to where the next one begins, *ahead being what is there of it
 * and what follows (borrowed until the next call); then either n bytes of that were one, or slicer_next. */
KLUIS_MUSTUSE kluis_status slicer_find(struct slicer *s, struct kluis_str *ahead, struct kluis_err *err);
void slicer_pass(struct slicer *s, size_t n);
/* Decodes base64 of the file as it is read. */
struct slice_input {
    int fd;
    uint64_t at, left;
    unsigned bits, n_bits;
    bool done;
};
struct kluis_input slice_input(struct slice_input *state, int fd, uint64_t at, uint64_t chars);
size_t slice_head(const struct slice_data *d, uint8_t out[48]);  /* the first decoded bytes */
int64_t slice_decoded_size(int fd, uint64_t at, uint64_t chars); /* -1: not known */

/* ---- element.c: one slice as an item ---------------------------------------------------------------------------------- */
enum { ITEM_ATTRS_MAX = 1024, ITEM_PARTS_MAX = 256, ITEM_ADDRS_MAX = 256 };
struct attr {
    struct kluis_str name, value;
};
struct item_group { /* a part or an addr: attrs[first..first+n) */
    size_t first, n;
    bool has_data;
    uint64_t data_at, data_chars; /* XML: base64 in the file                                 */
    struct kluis_str file;        /* database: name of the file with the bytes               */
    const char *type;             /* what its first bytes say, or NULL */
    int64_t size;
};
struct item {
    enum slice_what what;
    struct attr attrs[ITEM_ATTRS_MAX];
    size_t n_own, n_attrs; /* own come first */
    struct item_group parts[ITEM_PARTS_MAX], addrs[ITEM_ADDRS_MAX];
    size_t n_parts, n_addrs;
    bool exact;    /* "null" is a word and not the absence of one: from a database */
    bool repaired; /* held bytes or references that are no text */
    bool partly;   /* of a database: rows beside it lie on damaged pages */
    struct kluis_bytes raw;
    uint64_t at;
    const char *why;
};
/* Values live in the slice or the arena.  survey: only what talks_note looks at is decoded.  false: not readable: out->what becomes SLICE_DAMAGED. */
bool element_read(const struct slice *s, bool survey, struct kluis_arena *arena, struct item *out);
/* The element at the beginning of `ahead`, if it is what most are: <sms …/> or <call …/>, whole, with no line end in a value.  The very item that
 * slicer_next and element_read would give.  false: it is not, and *out says nothing. */
bool element_at_once(struct kluis_str ahead, uint64_t at, bool survey, struct kluis_arena *arena, struct item *out);
/* Of the attributes from the first on, n of them; absent where it is not there or says "null". */
struct kluis_str sms_find(const struct item *i, size_t first, size_t n, struct kluis_str name);
/* Of the element itself; of a part or an addr. */
static inline struct kluis_str sms_get(const struct item *i, const char *name) { return sms_find(i, 0, i->n_own, kluis_str_of(name)); }
static inline struct kluis_str sms_group_get(const struct item *i, const struct item_group *g, const char *name)
{
    return sms_find(i, g->first, g->n, kluis_str_of(name));
}
bool sms_i64(struct kluis_str s, int64_t *out);

/* ---- talk.c: conversations and the people in them --------------------------------------------------------------------- */
enum { TALK_MEMBERS_MAX = 64, TALKS_BYTES = 12 << 20 };
struct person {
    struct kluis_str address; /* as identity.c makes it: E.164 with '+', else as written */
    struct kluis_str name;
};
struct talk {
    struct kluis_str key;  /* addresses, sorted, with '~' between; "": nobody stated */
    struct kluis_str name; /* as the first item with one shows it */
    struct person *people;
    uint32_t n_people, cap_people, n_members; /* members come first */
    uint64_t items, placed;
    bool several_names, local_number, name_shared;
};
struct talks {
    struct kluis_arena *arena;
    struct talk *list;
    uint32_t n, cap;
    uint32_t *slots;
    uint32_t n_slots;
    struct kluis_str members[TALK_MEMBERS_MAX]; /* of the item at hand */
    const char *country;                        /* option: calling code without '+', or NULL */
};
KLUIS_MUSTUSE kluis_status talks_init(struct talks *t, struct kluis_err *err);
void talks_free(struct talks *t);
/* The conversation of an item, made when new; its people are noted. */
KLUIS_MUSTUSE kluis_status talks_note(struct talks *t, const struct item *i, struct kluis_arena *scratch, uint32_t *out, struct kluis_err *err);
void talks_conclude(struct talks *t); /* after the last item: names that several numbers have */
/* Index of a party in the header that emit makes: person + 1, self is 0. */
uint32_t talk_party(const struct talk *t, struct kluis_str address, struct kluis_str name);
/* "+31612345678", "0031…", "(06) 12-34" to one spelling, in the arena. */
struct kluis_str sms_address(const struct talks *t, struct kluis_str written, struct kluis_arena *arena);
struct kluis_str name_of_contact(const struct item *i);

/* ---- emit.c ------------------------------------------------------------------------------------------------------------- */
struct sms_emit {
    const struct source_sink *sink;
    const struct talks *talks;
    const char *number;         /* option: the owner's own, or NULL */
    const char *file;           /* base name, part of an attachment's source_ref: "AT:CHARS:FILE" */
    struct kluis_header header; /* of the conversation under way, its lists in tables */
    struct kluis_arena *tables;
    struct kluis_arena *arena;
    struct build build;
    bool is_database;
};
KLUIS_MUSTUSE kluis_status sms_emit_begin(struct sms_emit *e, const struct talk *t, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status sms_emit_item(struct sms_emit *e, const struct talk *t, const struct item *i, struct kluis_err *err);
void talk_id(const struct talk *t, char id[64]);

/* ---- telephony.c: mmssms.db ---------------------------------------------------------------------------------------------- */
bool telephony_is(const char *path); /* an SQLite database at all */
enum source_sure telephony_probe(const char *path);
KLUIS_MUSTUSE kluis_status telephony_read(const char *path, const char *number, const char *country, const struct source_sink *sink,
                                          struct kluis_err *err);
/* Opens a part's file beside the database (there, in app_parts/ or parts/); -1: it is not there. */
int telephony_part(const char *path, struct kluis_str file);

#endif
