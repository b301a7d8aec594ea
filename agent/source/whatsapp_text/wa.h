/* wa.h - parts of the whatsapp-text reader, private to this folder.
 *
 * place (file, zip, folder) -> entry (header lines, messages of many lines) -> classify (what a body says) ->
 * survey (pass 1: date order, people, what kind of chat) -> emit (pass 2: records).  Nothing here keeps a file in
 * memory: the largest thing held is one message and the names of the attachments beside the chat.
 */
#ifndef WHATSAPP_TEXT_WA_H
#define WHATSAPP_TEXT_WA_H

#include "agent/source/source.h"
#include "agent/source/zone.h"

/* ---- characters (text.c) --------------------------------------------------------------------- */
size_t wa_cp(const char *p, size_t n, uint32_t *cp); /* bytes of the character at p, 0: none or not UTF-8 */
bool wa_is_mark(uint32_t cp);                        /* direction marks, isolates, zero width, BOM */
bool wa_is_space(uint32_t cp);                       /* any space of one line */
int wa_digit(uint32_t cp);                           /* value of a decimal digit of any script, or -1 */
struct kluis_str wa_sub(struct kluis_str s, size_t from, size_t to);
struct kluis_str wa_trim(struct kluis_str s); /* marks and spaces off both ends */
size_t wa_lead_marks(struct kluis_str s);     /* bytes of direction marks at the beginning */
bool wa_starts(struct kluis_str s, const char *z);
bool wa_ends(struct kluis_str s, const char *z);
/* Folds for comparing: no marks, any space is ' ', curly quotes straight, no final dot.  Case stays.
 * Returns the length, 0 when it does not fit. */
size_t wa_fold(struct kluis_str s, char *out, size_t cap);

/* ---- date and time of a header line (stamp.c) -------------------------------------------------- */
enum { WA_STAMP_MAX = 128 }; /* bytes a header's date and time may take                 */
enum wa_half { WA_HALF_NONE, WA_AM, WA_PM, WA_NOON };
enum wa_era { WA_ERA_NONE, WA_ERA_CE, WA_ERA_BUDDHIST, WA_ERA_REIWA, WA_ERA_HEISEI, WA_ERA_MINGUO, WA_ERA_PERSIAN, WA_ERA_ISLAMIC };

struct wa_stamp {
    int date[3];              /* the three numbers of the date as they stand              */
    uint8_t digits[3];        /* how many digits each was written with                    */
    int hour, minute, second; /* second -1: not written                                   */
    uint8_t half, era;
    bool era_first; /* the era stands before the first number: a year           */
    bool bracket;   /* [iOS]; otherwise Android, " - "                          */
    bool time_first;
    bool mark;  /* a direction mark stands before the header                */
    bool slash; /* the date's separator is '/'                              */
    size_t len; /* bytes up to the sender or system text                    */
};
bool wa_stamp_scan(const char *p, size_t n, struct wa_stamp *out);
/* The same without the short way for the commonest headers (a test compares them). */
bool wa_stamp_tokens(const char *p, size_t n, struct wa_stamp *out);

enum wa_order { WA_DMY, WA_MDY, WA_YMD, WA_ORDERS };
const char *wa_order_name(enum wa_order o);
/* Days since 1970-01-01, or false: no such day. *islamic: a year of a calendar that is not read. */
bool wa_stamp_days(const struct wa_stamp *s, enum wa_order o, int64_t *days, bool *islamic);
bool wa_stamp_seconds(const struct wa_stamp *s, int32_t *seconds); /* of the day; false: no such time */

/* ---- messages out of bytes (entry.c) ------------------------------------------------------------ */
/* order -1: any numbers are taken for a header; else only dates and times that exist in that order (pass 2). */
struct wa_layout {
    bool bracket, time_first, seconds, half;
    int order;
};
bool wa_layout_fits(const struct wa_layout *l, const struct wa_stamp *s);
bool wa_stamp_exists(const struct wa_stamp *s, enum wa_order o);

struct wa_entry {
    struct kluis_bytes raw; /* every byte of it, line ends included                     */
    struct wa_stamp stamp;
    struct kluis_str rest; /* after the stamp, without the last line end               */
    uint64_t line;         /* of its first line, from 1                                */
    bool after_crlf;       /* the line before ended in CR LF (or there is none)        */
    bool after_lf;         /* the line before ended in a lone LF                       */
    bool header_inside;    /* a line of it looks like a header, with a date that is none here */
};
struct wa_reader {
    struct kluis_input in;
    char *buf;
    size_t cap, len, at; /* unread: buf[at..len)                                     */
    bool eof, layout_known, started;
    struct wa_layout layout;
    uint64_t line;  /* number of the line at `at`                               */
    uint64_t total; /* bytes taken from the input                               */
    char head[2];   /* the first of them                                        */
    bool prev_crlf, prev_lf;
    uint64_t preamble; /* bytes before the first header                            */
    const char *name;  /* for messages                                             */
};
KLUIS_MUSTUSE kluis_status wa_reader_open(struct wa_reader *r, const struct kluis_input *in, const struct wa_layout *l, const char *name,
                                          struct kluis_err *err);
void wa_reader_close(struct wa_reader *r);
/* KLUIS_OK and *e (borrowed until the next call), KLUIS_END, or E_LIMIT / E_REJECT / E_IO. */
KLUIS_MUSTUSE kluis_status wa_reader_next(struct wa_reader *r, struct wa_entry *e, struct kluis_err *err);
/* Decides the layout on the beginning of the text. E_REJECT: not a chat. */
KLUIS_MUSTUSE kluis_status wa_layout_of(const struct kluis_input *in, const char *name, struct wa_layout *out, struct kluis_err *err);

/* ---- what a body says (phrases.c, classify.c) ----------------------------------------------------- */
enum wa_says { WA_TEXT, WA_EDITED, WA_ATTACHED, WA_OMITTED, WA_DELETED, WA_EVENT, WA_CALL, WA_POLL, WA_LOCATION, WA_WAITING, WA_VIEW_ONCE, WA_NULL };
struct wa_body {
    enum wa_says says;
    bool has_sender;
    struct kluis_str sender;                       /* as shown, trimmed of direction marks                      */
    struct kluis_str body;                         /* what stands after "sender: ", or the whole system line    */
    struct kluis_str text;                         /* message text or caption: no markers of the export in it   */
    struct kluis_str file;                         /* attachment's name                                         */
    struct kluis_str detail;                       /* location, or what was omitted                             */
    const char *event;                             /* event, gap and call names                                 */
    const char *call;                              /* "audio" or "video"                                        */
    struct kluis_str actor, member, before, after; /* of an event, where the phrase states them     */
    const char *media;                             /* image video audio sticker gif document contact, or NULL    */
    bool edited;
    bool by_self; /* the phrase says "you"                                     */
};
enum { WA_FOLD_MAX = 2048 };
struct wa_phrases;                       /* tables, built once a read                                */
struct wa_phrases *wa_phrases_new(void); /* NULL: no memory */
void wa_phrases_free(struct wa_phrases *t);
KLUIS_DEFINE_CLEANUP(wa_phrases)
/* A quick no: bodies that begin so are none of the fixed ones. */
bool wa_phrase_may(const struct wa_phrases *t, struct kluis_str body);
/* One row of phrases_table.c.  WA_EDITED and WA_ATTACHED rows are words inside <> or (); all others are whole bodies. */
struct wa_phrase_row {
    const char *language; /* BCP 47, "*": any                                            */
    enum wa_says says;
    const char *word;  /* call's kind, omitted medium, "live"                             */
    bool self;         /* the phrase says "you"                                           */
    const char *texts; /* phrasings, separated by '|'                                    */
};
extern const struct wa_phrase_row wa_phrase_rows[];
extern const size_t wa_phrase_n_rows;
/* Fixed words of any language; NULL: none of them. */
const struct wa_phrase_row *wa_phrase_find(const struct wa_phrases *t, const char *folded, size_t n);
bool wa_phrase_says(const struct wa_phrases *t, const char *folded, size_t n, enum wa_says says); /* is it one of these? */
/* Dutch and English system lines; captures point into `folded`. */
bool wa_phrase_event(const char *folded, size_t n, struct wa_body *out);
bool wa_phrase_encryption(const char *folded, size_t n);

struct wa_classifier {
    const struct wa_phrases *phrases;
    char folded[WA_FOLD_MAX]; /* captures of the last body point here                      */
    bool bracket;
};
void wa_classify(struct wa_classifier *c, const struct wa_entry *e, bool first, struct wa_body *out);
const char *wa_media_type(struct kluis_str file, const char **media); /* NULL: unknown ending */

/* ---- where the chat stands (place.c) --------------------------------------------------------------- */
enum { WA_MEMBERS_MAX = 65536, WA_MEMBER_NAMES_MAX = 6 << 20 };
struct wa_member {
    const char *name, *base;
    int64_t size;
}; /* file beside the chat: path, last component */
struct wa_place {
    char path[KLUIS_PATH_MAX]; /* the file given; for a folder: its chat                     */
    bool is_zip;
    char dir[KLUIS_PATH_MAX]; /* folder of the chat and its media; "" in a zip or when there is none */
    char entry[1024];         /* zip: name of the chat in it                                */
    struct kluis_arena *arena;
    struct wa_member *members;
    size_t n_members;
    uint32_t *slots;
    size_t n_slots; /* hash of base names: index + 1                              */
    int64_t packed; /* size of the zip                                           */
    uint64_t chat_limit;
};
/* A chat text or a zip.  E_REJECT: a zip that is none of ours (absolute or ".." paths, encrypted, a bomb, no chat in it). */
KLUIS_MUSTUSE kluis_status wa_place_open(const char *path, struct wa_place *p, struct kluis_err *err);
void wa_place_close(struct wa_place *p);
/* Size of the file beside the chat, -1: not there. */
int64_t wa_place_size(const struct wa_place *p, struct kluis_str base);
/* The chats of a folder (texts, zips, folders with a chat in them) in order of name; `path` itself when it is a file. */
enum { WA_CHATS_MAX = 1024 };
KLUIS_MUSTUSE kluis_status wa_place_list(const char *path, struct kluis_arena *arena, const char ***chats, size_t *n, struct kluis_err *err);

/* The chat's text, to be opened as often as needed. */
struct wa_stream {
    const struct wa_place *place;
    int fd;
    struct kluis_input_fd fd_state;
    void *archive;
    uint64_t out;
};
kluis_status wa_stream_open(void *stream, struct kluis_input *in, struct kluis_err *err);
void wa_stream_close(void *stream);
/* The name of the chat as file names tell it, or "". */
void wa_chat_name(const char *path, char *out, size_t cap);
KLUIS_MUSTUSE kluis_status wa_place_attachments(const struct wa_place *p, const struct kluis_str *wanted, size_t n, bool *done,
                                                const struct source_attachment_sink *sink, struct kluis_err *err);

/* ---- pass 1 and 2 (survey.c, emit.c) ----------------------------------------------------------------- */
struct wa_settings {
    const char *zone_name;
    struct zone *zone;
    int order; /* enum wa_order, -1: decide                                  */
    bool order_must_be_certain, bad_date_is_text;
    const char *conversation, *self;
};
struct wa_person {
    struct kluis_str shown;
    uint32_t hash, messages;
    bool unsaved, mentioned;
};
struct wa_survey {
    struct wa_layout layout;
    enum wa_order order;
    int other; /* other: runner-up that the text does not rule out, or -1     */
    struct kluis_arena *arena;
    struct kluis_party *parties;
    struct wa_person *people;
    uint32_t n_people;
    uint32_t slots[16384];   /* hash of shown names: index + 1                              */
    uint64_t entries, total; /* messages, bytes                                             */
    uint64_t preamble;       /* bytes before the first message                              */
    bool group, crlf, first_is_notice, any_media, any_sender, any_known_system;
    uint32_t self;               /* party, or KLUIS_NO_PARTY                                    */
    struct kluis_str shown_chat; /* iOS: the name that system lines carry                      */
    struct wa_stamp first_stamp;
};
KLUIS_MUSTUSE kluis_status wa_survey_run(const struct kluis_input *in, const char *name, const struct wa_settings *q, struct wa_classifier *c,
                                         struct wa_survey *s, struct kluis_err *err);
uint32_t wa_survey_person(const struct wa_survey *s, struct kluis_str shown); /* or KLUIS_NO_PARTY */
KLUIS_MUSTUSE kluis_status wa_emit_run(const struct kluis_input *in, const char *name, const char *chat_name, const struct wa_settings *q,
                                       struct wa_classifier *c, const struct wa_survey *s, const struct wa_place *p, const struct source_sink *sink,
                                       struct kluis_err *err);
/* The same from any stream; what is beside it is in p (may be empty). Tests feed single bytes here. */
struct wa_opener {
    void *ctx;
    kluis_status (*open)(void *ctx, struct kluis_input *in, struct kluis_err *err);
    void (*close)(void *ctx);
};
KLUIS_MUSTUSE kluis_status wa_read_chat(const struct wa_opener *open, const char *name, const char *chat_name, const struct wa_settings *q,
                                        const struct wa_place *p, const struct source_sink *sink, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status wa_settings_of(const struct source_request *q, struct wa_settings *out, struct kluis_err *err);
void wa_settings_close(struct wa_settings *s);
KLUIS_MUSTUSE kluis_status wa_conversation_id(const struct wa_settings *q, const struct wa_survey *s, const char *chat_name, char id[64],
                                              struct kluis_str *name, struct kluis_err *err);
/* Valid UTF-8, CR LF as LF: s itself when it is both; else a copy in buf with U+FFFD for what is not text (*bad). */
struct kluis_str wa_clean(struct kluis_str s, struct kluis_buf *buf, bool *bad);

#endif
