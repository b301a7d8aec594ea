/* model.h - one model for everything Signal writes: people, chats and where their items stand, and how an item becomes records.
 *
 * Signal's own content model is that of its backups: frames, of which its export shows the same as JSON.  Every source of Signal gives its
 * frames as trees in that JSON form (signal_export: lines; signal_archive: protobuf), whatever they were before.
 * Pass 1 (index.c) goes through the frames once, refuses what is no such source, and fills this.  Pass 2 (reading.c) takes one chat after
 * the other and reads its frames again: of several chats at once, where that is one reading of the source instead of one a frame (gather.c).
 * Memory: people and chats; two or three bytes an item and frames that were gathered, together 12 MiB; one frame.
 */
#ifndef SIGNAL_MODEL_H
#define SIGNAL_MODEL_H

#include "agent/source/json.h"
#include "agent/source/source.h"

#ifndef SIGNAL_OFFSETS_MAX
#define SIGNAL_OFFSETS_MAX (12 << 20)
#endif

enum {
    LINE_MAX_BYTES = 4 << 20,         /* of one frame in the source                           */
    TREE_MAX = 20 << 20,              /* its tree                                             */
    PEOPLE_MAX = 10 << 20,            /* people, chats and their names together               */
    OFFSETS_MAX = SIGNAL_OFFSETS_MAX, /* offsets of items, and gathered frames, held at once: a test makes it small */
    RECORD_MAX = 12 << 20,            /* one item's records                                   */
    FRAME_KINDS_MAX = 64,
    DAMAGES_MAX = 16 /* kept apart; all further ones are told as one */
};

/* ---- where frames come from --------------------------------------------------------------------------- */
struct frame {
    struct json *tree;    /* NULL: what stands here cannot be read */
    struct kluis_str raw; /* its own bytes in the source: the evidence */
    uint64_t at, number;  /* its place, for seek; counted from 1 */
    const char *damage;   /* tree NULL: why; static */
};
struct frames { /* the source behind it belongs to the reader */
    void *ctx;
    const char *unit; /* "line", "frame": what number counts */
    /* The next frame, its tree in `arena` (emptied first); lives until the next call.  KLUIS_END after the last.  E_REJECT: no such source. */
    kluis_status (*next)(void *ctx, struct kluis_arena *arena, struct frame *out, struct kluis_err *err);
    /* In place of next, where frames are bytes one after the other: a frame without its tree, which lives until the next call of raw; and the tree
     * of such a frame, of which at (0: the first one) and number are looked at besides its bytes.  A frame with damage stays as it is. */
    kluis_status (*raw)(void *ctx, struct frame *out, struct kluis_err *err);
    kluis_status (*tree)(void *ctx, struct frame *f, struct kluis_arena *arena, struct kluis_err *err);
    kluis_status (*seek)(void *ctx, uint64_t at, struct kluis_err *err); /* 0, or a place that next gave */
};

/* ---- where attachments lie ------------------------------------------------------------------------------ */
struct model;
struct media { /* NULL members: the source holds no attachments at all */
    void *ctx;
    /* Looks for the bytes that a locator describes (hash: stated digest of the plaintext, NULL: none).  Found and right: a->source_ref, size and
     * sha256 of the bytes that were read are set and a->loss is cleared; else a->loss says what is wrong with them. */
    kluis_status (*find)(void *ctx, struct json *locator, const uint8_t *hash, struct kluis_arena *arena, struct kluis_attachment *a,
                         struct kluis_err *err);
    /* A located file's bytes as text, if it is no longer than max and valid UTF-8; absent otherwise. */
    struct kluis_str (*text)(void *ctx, struct kluis_str ref, struct kluis_arena *arena, size_t max);
};

enum who_kind { WHO_MISSING, WHO_CONTACT, WHO_GROUP, WHO_SELF, WHO_RELEASE, WHO_LIST, WHO_LINK, WHO_OTHER };

struct who { /* one recipient of the export */
    uint64_t id;
    enum who_kind kind;
    struct kluis_party party; /* id: ACI, else PNI; of a group its group id */
    struct kluis_str key;     /* what ids of messages begin with: party.id, else number, else username, else "recipient-N" */
    uint8_t aci[16];
    bool has_aci;
    const uint8_t (*members)[16];
    uint32_t n_members; /* of a group: ACIs */
};

struct chat {
    uint64_t id;
    uint32_t who; /* index, UINT32_MAX: not stated */
    bool defined; /* its own frame was there */
    bool link;    /* stands for a call link: its items are adHocCalls */
    uint64_t timer_ms;
    uint64_t items, last;        /* last: offset of the item before, for the differences */
    uint64_t index_bytes, bytes; /* of its offsets, of its frames */
    uint8_t *offsets;
    size_t used; /* while this chat's group is read */
    uint32_t *refs;
    uint32_t n_refs, cap_refs; /* recipients that occur in it, ascending */
};

struct frame_count {
    char name[48];
    uint64_t n, first;
};

struct map; /* 64-bit id -> index */

struct damage {
    uint64_t at, number; /* in all: how many frames, where DAMAGES_MAX was not enough */
    const char *why;
    uint64_t n;
};

struct model {
    const char *path, *what; /* what is read; "Signal export": what it is called in messages */
    struct frames frames;
    struct media media;
    bool strict; /* a rule of Signal's backups that the source breaks is a refusal, not a name less */
    unsigned accounts;
    struct damage damage[DAMAGES_MAX];
    unsigned n_damage;
    /* The owner's account id is looked for among members of groups; a source that can tell it says so. */
    bool (*is_self)(void *ctx, const uint8_t aci[16]);
    void *is_self_ctx;
    struct kluis_arena *people; /* who, names */
    struct who *who;
    uint32_t n_who, cap_who;
    struct chat *chat;
    uint32_t n_chat, cap_chat;
    struct map *who_by_id, *who_by_aci, *chat_by_id, *link_by_id, *pins;
    uint32_t self; /* index in who, UINT32_MAX: none */
    struct kluis_str self_name, self_username, self_aci, self_number, app_version;
    uint8_t self_key[32];
    bool has_self_key;
    struct frame_count others[FRAME_KINDS_MAX]; /* frames that are in no conversation */
    unsigned n_others;
    size_t room;         /* bytes people and chats may still take outside the arena */
    size_t offsets_held; /* bytes of offsets kept by pass 1 */
    bool overflow;       /* too many: they are made again for some chats at a time */
    uint64_t exported_ms;
    struct kluis_arena *tree; /* of the line under way */
};

#define NOBODY UINT32_MAX

/* ---- reading.c ----------------------------------------------------------------------------------- */
/* What differs between the sources that share this model. */
struct signal_form {
    const char *kind;        /* provenance.source */
    const char *app;         /* provenance.app */
    const char *const *loss; /* NULL-ended: what every conversation from it lacks */
};
/* Everything to nothing; path and what are borrowed. */
void model_init(struct model *m, const char *path, const char *what);
/* number=+31…, account=UUID: the owner's own, which no source of Signal states.  false: another option, or another value. */
bool model_option(struct model *m, const struct source_option *o);
/* Reads everything: m->frames (and media) are set by the caller, who owns what is behind them.  Frees what m holds. */
KLUIS_MUSTUSE kluis_status model_read(struct model *m, const struct signal_form *form, const struct source_sink *sink, struct kluis_err *err);

/* ---- index.c ------------------------------------------------------------------------------------- */
KLUIS_MUSTUSE kluis_status model_index(struct model *m, struct kluis_err *err);
/* Offsets of the chats first … first+n-1, filled anew from the source. */
KLUIS_MUSTUSE kluis_status model_offsets(struct model *m, uint32_t first, uint32_t n, struct kluis_err *err);
/* Pass 2: a frame that was there in pass 1.  KLUIS_END after the last; whatever is wrong now is a change while it was read. */
KLUIS_MUSTUSE kluis_status model_again(struct model *m, struct frame *f, struct kluis_err *err);
/* Offsets of a chat one after the other: *next and *at begin as 0.  false: that was the last. */
bool chat_offset(const struct chat *c, size_t *next, uint64_t *at);
void model_free(struct model *m);
uint32_t model_who(const struct model *m, uint64_t id); /* NOBODY */
uint32_t model_who_aci(const struct model *m, const uint8_t aci[16]);
KLUIS_MUSTUSE kluis_status model_wrong(const struct model *m, uint64_t number, struct kluis_err *err, const char *what);
/* check.c: the rules of Signal's backups that its own readers refuse an item for. */
KLUIS_MUSTUSE kluis_status model_check_item(const struct model *m, struct json *item, uint64_t number, struct kluis_err *err);
/* Which chat a frame's item belongs to; NOBODY: none. */
uint32_t model_chat_of(const struct model *m, struct json *frame, struct json **item);
/* Calls fn for every recipient a chat item names: author, reactors, voters, quoted, ringing. */
void item_people(const struct model *m, struct json *item, void (*fn)(void *ctx, uint32_t who), void *ctx);

/* ---- gather.c ------------------------------------------------------------------------------------ */
struct gather {
    uint8_t *bytes;
    struct kept *frames;
    uint32_t n, first, end;           /* frames; of the chats first … end-1: none where they are equal */
    uint32_t chat, start, next, stop; /* the chat under way, the first of its frames, the next one and where they end */
};
/* Reads the frames of as many chats from first on (below end) as fit, in the order in which they stand, if that is of use.  What was kept goes. */
KLUIS_MUSTUSE kluis_status gather_fill(struct gather *g, struct model *m, uint32_t first, uint32_t end, struct kluis_err *err);
bool gather_holds(const struct gather *g, uint32_t chat);
/* Before the frames of a chat that it holds: chats come in their order. */
void gather_turn(struct gather *g, const struct model *m, uint32_t chat);
/* KLUIS_END after the last of the chat.  The tree is in m->tree. */
KLUIS_MUSTUSE kluis_status gather_next(struct gather *g, struct model *m, struct frame *f, struct kluis_err *err);
void gather_free(struct gather *g);

/* ---- people.c ------------------------------------------------------------------------------------ */
KLUIS_MUSTUSE kluis_status people_account(struct model *m, struct json *account, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status people_recipient(struct model *m, struct json *r, struct who *w, struct kluis_err *err);
void people_find_self(struct model *m);                                  /* after pass 1: who the export's owner is */
bool json_bytes(const struct json *v, uint8_t *out, size_t n);           /* base64 of exactly n bytes */
struct kluis_str uuid_text(struct kluis_arena *a, const uint8_t id[16]); /* absent: no memory */
struct kluis_str arena_fmt(struct kluis_arena *a, const char *fmt, ...) KLUIS_PRINTF(2, 3);

/* ---- media.c ------------------------------------------------------------------------------------- */
enum { MEDIA_HASH = 32, MEDIA_LOCAL_KEY_MAX = 256, MEDIA_STEM = 2 * MEDIA_HASH };
/* The attachment a FilePointer describes, looked for where the source has its files. */
KLUIS_MUSTUSE kluis_status media_attachment(struct model *m, struct json *pointer, struct kluis_arena *arena, struct kluis_attachment *a,
                                            struct kluis_err *err);
/* hex(SHA-256(hash ‖ local key)), the name that Signal gives to a file; false: the locator says too little.  key: of MEDIA_LOCAL_KEY_MAX, or NULL. */
bool media_stem(struct json *locator, const uint8_t hash[MEDIA_HASH], char stem[MEDIA_STEM + 1], uint8_t *key, size_t *key_len);

/* ---- item.c, update.c ---------------------------------------------------------------------------- */
enum { DRAFT_TIMES = 16, DRAFT_LOSS = 16 };
struct draft { /* the record being put together; one at a time */
    struct kluis_record r;
    struct kluis_time_field times[DRAFT_TIMES];
    struct kluis_field fields[KLUIS_FIELDS_MAX];
    struct kluis_str loss[DRAFT_LOSS];
    struct kluis_attachment attachments[KLUIS_ATTACHMENTS_MAX];
};
struct emit { /* one item on its way to the sink */
    struct model *m;
    const struct source_sink *sink;
    const struct chat *chat;
    const uint32_t *party_of;  /* recipient index -> party index, of m->n_who entries */
    struct kluis_arena *arena; /* records of this item */
    struct kluis_str line;     /* the frame's own bytes */
    struct draft draft;
    struct kluis_err *err;
    kluis_status rc; /* first failure */
};

struct draft *draft_new(struct emit *e, enum kluis_kind kind); /* the one draft, emptied */
void draft_time(struct draft *d, const char *name, uint64_t ms);
/* name: lives as long as the record; NULL: there was no room to make it.  An absent value: nothing. */
void draft_text(struct emit *e, struct draft *d, const char *name, struct kluis_str value);
void draft_number(struct emit *e, struct draft *d, const char *name, uint64_t n);
void draft_loss(struct draft *d, const char *token);
/* Everything below v that nobody asked for, as fields "signal.<path>" with its raw JSON. */
void draft_rest(struct emit *e, struct draft *d, const char *path, struct json *v);
void draft_send(struct emit *e, struct draft *d, struct kluis_str raw);
struct kluis_str message_id(struct emit *e, uint32_t who, uint64_t ms, const char *suffix);
uint32_t party_index(const struct emit *e, uint32_t who);
uint32_t who_member(struct emit *e, struct json *object, const char *name); /* the recipient a member names; NOBODY */
struct kluis_when when_ms(uint64_t ms);
/* "GROUP_CALL" and "groupCall" alike as "group-call". */
struct kluis_str kebab(struct kluis_arena *a, struct kluis_str s);

void emit_item(struct emit *e, struct json *item);  /* a chatItem */
void emit_adhoc(struct emit *e, struct json *call); /* an adHocCall */
void emit_update(struct emit *e, struct json *item, struct json *update, uint32_t author, uint64_t sent);
struct draft *item_draft(struct emit *e, struct json *item, enum kluis_kind kind, uint32_t author, uint64_t sent, const char *suffix);

#endif
