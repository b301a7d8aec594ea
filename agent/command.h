/* agent/command.h - what the command line's parts share.  main.c wires; one file a command.  One thread. */
#ifndef AGENT_COMMAND_H
#define AGENT_COMMAND_H

#include "agent/journal/home.h"
#include "agent/source/source.h"
#include "kluis/options.h"

enum { ARGS_MAX = 64, OPTIONS_MAX = 64 };

/* A parsed command line.  Everything points into argv. */
struct args {
    const char *words[ARGS_MAX];
    size_t n_words; /* without options */
    const char *options[OPTIONS_MAX];
    size_t n_options; /* --option K=V, in order */
    const char *home, *server, *code, *export_dir, *grace_days, *keep_days, *wait_s, *interval_s;
    bool json, help;
};
/* E_USAGE: an unknown option, a missing value, one this command does not know (allowed: names separated by spaces). */
KLUIS_MUSTUSE kluis_status args_read(const char *command, int argc, char *const *argv, const char *allowed, struct args *out, struct kluis_err *err);
/* --home, or $XDG_DATA_HOME/chatkluis, or ~/.local/share/chatkluis.  make: folders above it too. */
KLUIS_MUSTUSE kluis_status args_home(const struct args *a, bool make, char out[KLUIS_PATH_MAX], struct kluis_err *err);

/* ---- settings.c: options of a source --------------------------------------------------------------
 * As typed, KEY=VALUE.  A VALUE that may be a secret does not stand in the command line, nor in agent.db:
 *   @FILE           the content of the file, read at each pass
 *   ?               asked on the terminal, once; for a source of a home it is kept where the home's keys are (keystore_put)
 *   keyring:NAME    the item of the session's secret service with the attribute chatkluis=NAME, looked up at each pass
 * Options of select (include, exclude) are patterns: ? and keyring: mean nothing there. */
enum { SECRET_TEXT_MAX = 4000 }; /* bytes typed, or in a keyring; a file may hold 64 KiB */
/* Options of a source, ready for it.  Those that belong to select stay apart. */
struct source_settings {
    struct source_option all[OPTIONS_MAX], own[OPTIONS_MAX];
    size_t n_all, n_own;
    struct kluis_arena *arena;
};
/* Where they are options of.  home NULL: of no home (`read`), so what is asked is asked now. */
struct settings_of {
    const char *home, *kind, *path;
};
/* typed: key NUL value NUL …  E_NOTFOUND: the keyring holds no such item; E_BUSY: it cannot be asked; E_USAGE: no terminal. */
KLUIS_MUSTUSE kluis_status settings_read(struct source_settings *s, struct kluis_bytes typed, const struct settings_of *of, struct kluis_err *err);
/* Wipes what was secret. */
void settings_clear(struct source_settings *s);
/* --option words as they are kept: key NUL value NUL … */
KLUIS_MUSTUSE kluis_status settings_typed(const struct args *a, struct kluis_buf *out, struct kluis_err *err);
/* Asks for every `?` and keeps the answers; of->home is set. */
KLUIS_MUSTUSE kluis_status settings_ask(struct kluis_bytes typed, const struct settings_of *of, struct kluis_err *err);
/* Removes the answers to those of `typed` that are no question in `still` (absent: all). */
KLUIS_MUSTUSE kluis_status settings_forget(struct kluis_bytes typed, struct kluis_bytes still, const struct settings_of *of, struct kluis_err *err);

/* terminal.c: asks on /dev/tty without echo; one line, not empty, without its end, appended to out (its room is its max; wipe it, also after an
 * error).  E_USAGE: there is no terminal (`otherwise` says what to do), or nothing was typed. */
KLUIS_MUSTUSE kluis_status terminal_ask(const char *what, const char *otherwise, struct kluis_buf *out, struct kluis_err *err);

KLUIS_MUSTUSE kluis_status kind_find(const char *name, const struct source_kind **out, struct kluis_err *err);
/* The same, where "auto" asks what lies at path: says on stderr what it is and how sure, E_REJECT when nothing or two kinds alike.
 * sure: SOURCE_NO when the kind was named. */
KLUIS_MUSTUSE kluis_status kind_of(const char *name, const char *path, const struct source_kind **out, enum source_sure *sure, struct kluis_err *err);

/* Output.  Both end the program's duty: a full disk or closed pipe on stdout is E_IO. */
KLUIS_MUSTUSE kluis_status put(const struct kluis_buf *b, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status put_line(struct kluis_err *err, const char *fmt, ...) KLUIS_PRINTF(2, 3);
/* One line on stderr: "chatkluis-agent: …". */
void complain(const char *fmt, ...) KLUIS_PRINTF(1, 2);

/* Progress on stderr, when that is a terminal: what is done, of how much (0: unknown), rate and time left. */
struct progress {
    bool on, shown;
    int64_t started_us, last_us;
    const char *what, *unit;
};
void progress_start(struct progress *p, const char *what, const char *unit);
void progress_show(struct progress *p, uint64_t done, uint64_t of);
void progress_end(struct progress *p);

enum { KEEP_DAYS = 30, KEEP_DAYS_MAX = 3650 };
/* One pass of archiving, for archive and run. */
struct pass {
    int grace_days;           /* -1: as the regime says */
    int keep_days;            /* of a package that stands in a completed backup */
    int wait_s;               /* for answers */
    const volatile int *stop; /* may be NULL */
    bool quiet;
    /* out */
    uint64_t packages, records, handed, acknowledged, refused, unanswered;
    int64_t retry_after_s;
    int exit_code;
};
/* Problems of single sources are told on stderr and end in exit_code; a status other than OK is about the home itself. */
KLUIS_MUSTUSE kluis_status archive_pass(struct home *h, struct pass *p, struct kluis_err *err);

kluis_status command_enrol(const struct args *a, int *exit_code, struct kluis_err *err);
kluis_status command_source(const struct args *a, int *exit_code, struct kluis_err *err);
kluis_status command_read(const struct args *a, int *exit_code, struct kluis_err *err);
kluis_status command_archive(const struct args *a, int *exit_code, struct kluis_err *err);
kluis_status command_run(const struct args *a, int *exit_code, struct kluis_err *err);
kluis_status command_status(const struct args *a, int *exit_code, struct kluis_err *err);
kluis_status command_packages(const struct args *a, int *exit_code, struct kluis_err *err);

#endif
