/* kluis/record.h - the one form every chat takes: a header and lean records (docs/FORMAT.md §3).
 *
 * source -> [record] -> package; opener -> [record] -> index.  Writer and reader are ours and strict: this is
 * evidence.  Depends on base and, for the head over the lines, on ledger.
 */
#ifndef KLUIS_RECORD_H
#define KLUIS_RECORD_H

#include "kluis/base.h"

enum {
    KLUIS_RECORD_SCHEMA = 1,         /* major version; a reader refuses any other        */
    KLUIS_RECORD_LINE_MAX = 4 << 20, /* bytes of one records.jsonl line                  */
    KLUIS_TEXT_MAX = 1 << 20,        /* bytes of one text; longer input is refused by the source */
    KLUIS_PARTIES_MAX = 4096,        /* people in one conversation, authors included     */
    KLUIS_ATTACHMENTS_MAX = 256,     /* of one record                                    */
    KLUIS_FIELDS_MAX = 256           /* extra fields, options, losses, times: of one record each */
};
#define KLUIS_NO_PARTY UINT32_MAX                      /* nobody, or nobody stated */
#define KLUIS_INT_MAX_JSON ((int64_t)9007199254740991) /* 2^53-1: integers beyond it are refused */

enum kluis_kind {
    KLUIS_MESSAGE,
    KLUIS_EDIT,
    KLUIS_DELETION,
    KLUIS_REACTION,
    KLUIS_EVENT,
    KLUIS_CALL,
    KLUIS_POLL,
    KLUIS_VOTE,
    KLUIS_GAP,
    KLUIS_KINDS
};
const char *kluis_kind_name(enum kluis_kind k); /* "message" … "gap" */
bool kluis_kind_parse(struct kluis_str s, enum kluis_kind *k);

enum kluis_zone { KLUIS_ZONE_STATED, KLUIS_ZONE_ASSUMED }; /* does the source state the offset? */
enum kluis_precision { KLUIS_PRECISION_MINUTE, KLUIS_PRECISION_SECOND, KLUIS_PRECISION_MILLISECOND };

struct kluis_when {
    int64_t us;         /* instant, or KLUIS_TIME_ABSENT                             */
    int16_t offset_min; /* minutes east of UTC, -1439…1439, as stated or assumed     */
};

/* One person (or group, or account) as the source knew it then.  All fields may be absent; not all at once. */
struct kluis_party {
    struct kluis_str id;     /* the platform's own id: JID, ACI, handle…                  */
    struct kluis_str name;   /* as shown in the source                                    */
    struct kluis_str number; /* E.164 with '+', only where the source states a number     */
};

enum kluis_conversation_type { KLUIS_DIRECT, KLUIS_GROUP, KLUIS_CHANNEL, KLUIS_SELF, KLUIS_UNKNOWN_TYPE };
const char *kluis_conversation_type_name(enum kluis_conversation_type t); /* direct group channel self unknown */

struct kluis_provenance {
    struct kluis_str source;                       /* source kind: "whatsapp-text"                       */
    struct kluis_str app, app_version, os, device; /* as far as the source tells           */
    struct kluis_str reader;                       /* "chatkluis 0.1.0 whatsapp-text"                    */
};

/* What a whole conversation shares.  Borrowed strings; lives as long as its owner says. */
struct kluis_header {
    struct kluis_str platform;        /* "whatsapp", "signal", …               */
    struct kluis_str conversation_id; /* platform's id, or derived by the source (documented there) */
    struct kluis_str conversation_name;
    enum kluis_conversation_type type;
    const struct kluis_party *parties; /* table; records point into it          */
    uint32_t n_parties;
    const uint32_t *participants; /* indexes of the members, sorted by table order */
    uint32_t n_participants;
    uint32_t self; /* the official's own party, or KLUIS_NO_PARTY */
    struct kluis_provenance provenance;
    enum kluis_zone zone;           /* default of the records                */
    struct kluis_str zone_name;     /* IANA name assumed or stated, or absent */
    enum kluis_precision precision; /* of `sent` throughout the file          */
    const struct kluis_str *loss;
    size_t n_loss;    /* what this source never tells: tokens of 1..64 [A-Za-z0-9._:-], FORMAT.md §3.6 */
    uint8_t salt[32]; /* package salt; zero until packed        */
};

struct kluis_attachment {
    struct kluis_str name; /* as in the source; only the last path component           */
    struct kluis_str type; /* media type, or absent                                    */
    int64_t size;          /* bytes, -1 unknown                                        */
    bool has_sha256;
    uint8_t sha256[32];
    struct kluis_str source_ref; /* the source's own handle to fetch the bytes with: never serialised */
    struct kluis_str loss; /* why the bytes are not here: "omitted", "missing", …; absent if they are.  A sha256 beside it is the source's word */
};

/* What the source states and no field of ours holds.  is_int tells which member counts. */
struct kluis_field {
    struct kluis_str name;
    struct kluis_str value;
    int64_t number;
    bool is_int;
};
/* A further time of the record ("received", "server", "edited", "expires"…). */
struct kluis_time_field {
    struct kluis_str name;
    struct kluis_when when;
};

struct kluis_record {
    enum kluis_kind kind;
    struct kluis_str id; /* platform id; absent where the source has none (derived by readers of ours) */
    uint32_t author;     /* index in header.parties or KLUIS_NO_PARTY              */
    struct kluis_when sent;
    enum kluis_zone zone; /* written only where it differs from the header's        */
    const struct kluis_time_field *times;
    size_t n_times;              /* sorted by name, unique                   */
    struct kluis_str text;       /* valid UTF-8; where the source's bytes are not, U+FFFD here and … */
    struct kluis_bytes text_raw; /* … the very bytes here (base64 in the file)             */
    const struct kluis_attachment *attachments;
    size_t n_attachments;
    struct kluis_str target;       /* id an edit, deletion, reaction, vote or reply points at */
    uint32_t target_author;        /* party who wrote the target, where stated               */
    struct kluis_when target_sent; /* where that is what the source states                   */
    struct kluis_str quote;        /* quoted text as this record shows it                    */
    struct kluis_str value;        /* reaction: the emoji; call: "audio" | "video"           */
    struct kluis_str event;        /* event, gap and call: a name of docs/FORMAT.md §3.5, e.g. "member-added", "missed" */
    const struct kluis_str *options;
    size_t n_options; /* poll options; vote: chosen ones          */
    const struct kluis_field *fields;
    size_t n_fields; /* sorted by name, unique                   */
    const struct kluis_str *loss;
    size_t n_loss;     /* beyond the header's                      */
    uint64_t evidence; /* bytes of its own in the package's evidence file, 0: none; the package writer sets it */
};

/* ---- writing ---------------------------------------------------------------------------------
 * Canonical: FORMAT.md §3.2.  Both refuse (E_REJECT) what the reader would refuse, E_LIMIT beyond the
 * ceilings, and leave `out` as it was.  A line ends in '\n'. */
KLUIS_MUSTUSE kluis_status kluis_header_write(const struct kluis_header *h, struct kluis_buf *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_record_write(const struct kluis_record *r, const struct kluis_header *h, struct kluis_buf *out,
                                              struct kluis_err *err);
/* The expanded form that `read --json` and the API print: names of DESIGN: kind, id, platform, conversation{}, author{},
 * sent, zone, text, attachments[], target, loss[], provenance{}, then the rest.  One line. */
KLUIS_MUSTUSE kluis_status kluis_record_write_expanded(const struct kluis_record *r, const struct kluis_header *h, struct kluis_buf *out,
                                                       struct kluis_err *err);

/* ---- reading ---------------------------------------------------------------------------------
 * `line` is without its '\n'.  Everything read is copied into `arena`.  E_REJECT: not canonical records of
 * this schema (duplicate or unknown or misplaced key, bad UTF-8, float, integer out of range, wrong type,
 * unknown major version, party index past the table, a form the writer would not have written);
 * E_LIMIT; E_NOMEM. Re-writing what was read gives the same bytes. */
KLUIS_MUSTUSE kluis_status kluis_header_read(struct kluis_str line, struct kluis_arena *arena, struct kluis_header *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_record_read(struct kluis_str line, const struct kluis_header *h, struct kluis_arena *arena, struct kluis_record *out,
                                             struct kluis_err *err);

/* ---- records.root ----------------------------------------------------------------------------
 * leaf_i = SHA-256(0x00 || salt_i || line_i without '\n'), salt_i = HMAC-SHA-256(package salt, u64be(i));
 * line 0 is the header line.  The root is the RFC 6962 §2.1 head over these leaf hashes. */
struct kluis_tree;                                         /* kluis/ledger.h */
struct kluis_root;                                         /* incremental; O(log n) memory */
struct kluis_root *kluis_root_new(const uint8_t salt[32]); /* NULL: no memory */
KLUIS_MUSTUSE kluis_status kluis_root_add(struct kluis_root *r, struct kluis_str line, struct kluis_err *err);
/* In parts, which need not be made one after another: the leaves of these lines, each with its '\n', of which the first is line `first` of
 * the file, as a tree (kluis/ledger.h).  All parts but the last have the same power of two of lines.  E_LIMIT: a line is too long; E_NOMEM. */
KLUIS_MUSTUSE kluis_status kluis_root_part(const uint8_t salt[32], uint64_t first, struct kluis_str lines, struct kluis_tree *out,
                                           struct kluis_err *err);
void kluis_root_join(struct kluis_root *r, const struct kluis_tree *part); /* all lines before it are there */
void kluis_root_end(const struct kluis_root *r, uint8_t out[32]);
void kluis_root_free(struct kluis_root *r);
KLUIS_DEFINE_CLEANUP(kluis_root)
/* Leaf hash of line `ordinal`, for extract proofs (made and checked with kluis/ledger.h over these hashes). */
KLUIS_MUSTUSE kluis_status kluis_record_leaf(const uint8_t salt[32], uint64_t ordinal, struct kluis_str line, uint8_t out[32], struct kluis_err *err);

/* The id of a record without a platform id, recomputed by every reader, never stored:
 * "d-" + base32(first 16 bytes of SHA-256("chatkluis-derived-id-v1\0" || package id || u64be(ordinal))). */
enum { KLUIS_DERIVED_ID = 29 };
void kluis_derived_id(const uint8_t package_id[32], uint64_t ordinal, char out[KLUIS_DERIVED_ID]);

#endif
