/* agent/source/source.h - one interface for every chat source.   [source] -> select -> journal -> pack
 *
 * A source turns the form in which people really have a chat into headers and records, streaming: memory stays bounded
 * whatever the size of the input.  It never writes to, locks, or leaves anything beside what it reads.
 * A source is used by one thread.
 */
#ifndef AGENT_SOURCE_H
#define AGENT_SOURCE_H

#include "kluis/record.h"

/* KEY=VALUE options as given; a value "@file" was replaced by the file's content, "?" by what was typed, "keyring:NAME" by what the keyring holds. */
struct source_option {
    const char *key;
    const char *value;
    struct kluis_bytes
        file; /* where the value did not stand in the open: what the file, the person or the keyring gave, NUL and line ends included */
};

struct source_request {
    const char *path; /* file or folder                                  */
    const struct source_option *options;
    size_t n_options;
};
const char *source_option_get(const struct source_request *q, const char *key); /* NULL: not given */
/* The content of the file an option names, or the value as typed; absent: not given. */
struct kluis_bytes source_option_bytes(const struct source_request *q, const char *key);
/* The value of an option that is a secret (key, passphrase).  *out NULL: not given.  E_USAGE: it was given in the open. */
KLUIS_MUSTUSE kluis_status source_secret(const struct source_request *q, const char *key, const char **out, struct kluis_err *err);

/* Nothing is silently dropped.  refused: a whole chat or file could not be read, which makes the run end with 1; else something that is
 * no part of a conversation, or that the source itself calls passing, was passed over. */
struct source_skip {
    const char *what;
    const char *where;
    const char *why;
    bool refused;
};

/* Conversations come one after the other: begin, record* in the source's order, end.  Everything passed is borrowed for the
 * duration of the call.  A callback's error stops the read and is returned. */
struct source_sink {
    void *ctx;
    kluis_status (*begin)(void *ctx, const struct kluis_header *h, struct kluis_err *err);
    /* raw: this record's own bytes in the source, nothing of its neighbours. */
    kluis_status (*record)(void *ctx, const struct kluis_record *r, struct kluis_bytes raw, struct kluis_err *err);
    kluis_status (*end)(void *ctx, struct kluis_err *err);
    kluis_status (*skipped)(void *ctx, const struct source_skip *s, struct kluis_err *err);
};

/* Attachment bytes: `wanted` are source_refs of records of one conversation; each found one is delivered once, in the source's order;
 * `index` is its place in wanted. A wanted one that is not there is simply not delivered. */
struct source_attachment_sink {
    void *ctx;
    kluis_status (*attachment)(void *ctx, size_t index, const struct kluis_input *in, struct kluis_err *err);
};

/* ---- recognising a source by what is in it ----------------------------------------------------- */
enum source_sure { SOURCE_NO, SOURCE_PERHAPS, SOURCE_LIKELY, SOURCE_CERTAIN };
const char *source_sure_name(enum source_sure s); /* no perhaps likely certain */
enum { SOURCE_HEAD_MAX = 32 << 10 };
/* One plain file: what was given itself, or one in the folder or zip that was given (seven levels at most: those of a Facebook download). */
struct source_file {
    const char *name; /* below what was given, '/' between folders; "": the very file given           */
    const char *path; /* to open it with; NULL: it stands in a zip and there is only its head         */
    uint64_t size;
    struct kluis_bytes head; /* its first bytes: all of it, or SOURCE_HEAD_MAX                        */
};

/* WINDOW: the file holds what its maker chose, or what a limit left (an export of one chat, a range of dates, at most 40,000 messages): a message
 * outside the times of its conversation, or a conversation, that is not in it may be where it was.  WHOLE: the app's own store, or a copy of all of
 * it: what is not in it, the app does not have. */
enum source_extent { SOURCE_WINDOW, SOURCE_WHOLE };

struct source_kind {
    const char *name;                /* "whatsapp-text"                                 */
    const char *platform;            /* "whatsapp"                                      */
    const char *about_nl, *about_en; /* one line                                        */
    const char *const *tells;
    const char *const *loss; /* NULL-ended token lists: what it can and cannot tell */
    /* Members are not told: a header's participants are the people seen in the records, and a package lists those of its own records. */
    bool people_are_writers;
    /* What a reading of it that was whole says of what is not in it. */
    enum source_extent extent;
    /* Is this file (part of) a source of this kind, which `read` would read when given the same path?  Content decides; a name may only
     * make surer.  Creates and changes nothing; what cannot be opened is SOURCE_NO.  Files come one by one, in no order to rely on. */
    enum source_sure (*probe)(const struct source_file *f);
    /* E_REJECT: not such a source (one clear line: what, where, what to do); E_LIMIT; E_IO; E_USAGE: a bad option. */
    kluis_status (*read)(const struct source_request *q, const struct source_sink *sink, struct kluis_err *err);
    kluis_status (*attachments)(const struct source_request *q, struct kluis_str conversation_id, const struct kluis_str *wanted, size_t n,
                                const struct source_attachment_sink *sink, struct kluis_err *err);
};

extern const struct source_kind source_whatsapp_text;    /* agent/source/whatsapp_text/  */
extern const struct source_kind source_signal_export;    /* agent/source/signal_export/  */
extern const struct source_kind source_signal_archive;   /* agent/source/signal_archive/ */
extern const struct source_kind source_signal_android;   /* agent/source/signal_android/ */
extern const struct source_kind source_signal_desktop;   /* agent/source/signal_desktop/ */
extern const struct source_kind source_sms;              /* agent/source/sms/            */
extern const struct source_kind source_teams;            /* agent/source/teams/    */
extern const struct source_kind source_matrix_export;    /* agent/source/matrix_export/ */
extern const struct source_kind source_threema;          /* agent/source/threema/  */
extern const struct source_kind source_slack;            /* agent/source/slack/    */
extern const struct source_kind source_imessage;         /* agent/source/imessage/ */
extern const struct source_kind source_telegram;         /* agent/source/telegram/ */
extern const struct source_kind source_whatsapp_android; /* agent/source/whatsapp_android/ */
extern const struct source_kind source_whatsapp_ios;     /* agent/source/whatsapp_ios/ */
extern const struct source_kind source_meta;             /* agent/source/meta/ */
extern const struct source_kind source_x;                /* agent/source/x/ */
extern const struct source_kind source_linkedin;         /* agent/source/linkedin/ */
extern const struct source_kind source_snapchat;         /* agent/source/snapchat/ */
/* A token of tells or loss in words; NULL: it has none yet. */
const char *source_ability(const char *token, bool dutch);
const struct source_kind *const *source_kinds(size_t *n);
/* kind->read.  E_NOMEM when memory was refused on the way, also when the reader ended well: what its libraries took for damage then (a file passed
 * over, a wrong password) is none. */
KLUIS_MUSTUSE kluis_status source_read(const struct source_kind *kind, const struct source_request *q, const struct source_sink *sink,
                                       struct kluis_err *err);
const struct source_kind *source_find(const char *name); /* NULL: no such kind */

/* What lies at `path`, by asking every kind about every file there (4,096 at most).  E_NOTFOUND; E_IO; E_NOMEM.  found: kinds that are at
 * all sure, the surest first. */
struct source_guess {
    const struct source_kind *kind;
    enum source_sure sure;
};
enum { SOURCE_GUESSES_MAX = 32 };
KLUIS_MUSTUSE kluis_status source_recognise(const char *path, struct source_guess found[SOURCE_GUESSES_MAX], size_t *n, struct kluis_err *err);

#endif
