/* agent/main.c - chatkluis-agent: the command line.  source -> select -> journal -> pack -> courier are wired in archive.c. */
#include "agent/command.h"
#include "agent/source/database/database.h"
#include "agent/source/derived.h"

#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>

static const char HELP[] =
    "chatkluis-agent " KLUIS_VERSION " - archives business chats by itself\n"
    "\n"
    "  enrol --home A --server URL [--code @FILE | --code -]   with a one-time code; without --code it asks for it\n"
    "  source kinds [--json]                                   what can be read, and what each source cannot tell\n"
    "  source list --home A [--json]\n"
    "  source add --home A KIND PATH [--option K=V]…           include=PATTERN and exclude=PATTERN choose conversations\n"
    "  source remove --home A ID\n"
    "  read KIND PATH [--option K=V]… [--json]                 dry run: stores and sends nothing\n"
    "                                                          (KIND auto, here and with add: recognises it, says how sure)\n"
    "  archive --home A [--grace-days N] [--wait SECONDS]      one pass: packs and sends what is new, waits for receipts (60 s)\n"
    "  run --home A [--interval SECONDS]                       unattended: watches, archives, tries again; SIGTERM ends it\n"
    "                                                          both: --keep-days N keeps packages that stand in a completed\n"
    "                                                          backup so long (30 or more; 30 when not given)\n"
    "  status --home A [--json]                                sources, waiting, sent, acknowledged, last run, gaps\n"
    "                                                          (sent: everything the gate took, acknowledged or not yet)\n"
    "  packages --home A --export DIR                          each package as .asice with its receipt beside it\n"
    "  help · version\n"
    "\n"
    "--home is $XDG_DATA_HOME/chatkluis when not given. No secret is ever an argument: a value @FILE of an option is\n"
    "read from that file, ? is asked, keyring:NAME is looked up in the session's keyring.\n"
    "Errors are one line: what, where, what to do.\n"
    "Exit codes: 0 done, 1 refused or invalid, 64 usage, 74 input/output, 75 try again.\n";

struct command {
    const char *name;
    const char *allowed;
    size_t min_words, max_words;
    kluis_status (*run)(const struct args *a, int *exit_code, struct kluis_err *err);
};

static const struct command COMMANDS[] = {
    { "enrol", "home server code", 0, 0, command_enrol },
    { "source", "home option json", 1, 3, command_source },
    { "read", "option json", 2, 2, command_read },
    { "archive", "home grace-days keep-days wait", 0, 0, command_archive },
    { "run", "home interval grace-days keep-days wait", 0, 0, command_run },
    { "status", "home json", 0, 0, command_status },
    { "packages", "home export", 0, 0, command_packages },
};

void complain(const char *fmt, ...)
{
    va_list ap;
    char line[2 * KLUIS_ERR_MSG + KLUIS_PATH_MAX];
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n < 0) { return; }
    for (char *p = line; *p != '\0'; p++) { /* a file name may hold anything; the terminal gets one clean line */
        if ((unsigned char)*p < ' ' || *p == 0x7f) { *p = '?'; }
    }
    (void)fprintf(stderr, "chatkluis-agent: %s\n", line); /* nobody is left to tell */
}

kluis_status put(const struct kluis_buf *b, struct kluis_err *err)
{
    KLUIS_TRY(kluis_buf_ok(b, err));
    return b->len == 0 || fwrite(b->data, 1, b->len, stdout) == b->len ? KLUIS_OK
                                                                       : KLUIS_FAIL(err, KLUIS_E_IO, "cannot write to the standard output");
}

kluis_status put_line(struct kluis_err *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vprintf(fmt, ap);
    va_end(ap);
    return n >= 0 && putchar('\n') != EOF ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_IO, "cannot write to the standard output");
}

static int finish(int code)
{
    if (fflush(stdout) != 0 && code == 0) {
        complain("cannot write to the standard output: is the disk full?");
        return 74;
    }
    return code;
}

static int run(const struct command *c, int argc, char *const *argv)
{
    struct args a;
    struct kluis_err err = { 0 };
    int code = 0;
    kluis_status rc = args_read(c->name, argc, argv, c->allowed, &a, &err);
    if (rc == KLUIS_OK && a.help) { return fputs(HELP, stdout) == EOF ? 74 : finish(0); }
    if (rc == KLUIS_OK && (a.n_words < c->min_words || a.n_words > c->max_words)) {
        rc = KLUIS_FAIL(&err, KLUIS_E_USAGE, "%s: %s arguments: see 'chatkluis-agent help'", c->name,
                        a.n_words < c->min_words ? "too few" : "too many");
    }
    if (rc == KLUIS_OK) { rc = c->run(&a, &code, &err); }
    database_forget(); /* copies, and their keys, end here and not with the process */
    derived_forget();
    if (rc != KLUIS_OK) {
        complain("%s", err.msg[0] != '\0' ? err.msg : kluis_status_name(rc));
        code = kluis_exit_code(rc);
    }
    return finish(code);
}

int main(int argc, char **argv)
{
    struct kluis_err err = { 0 };
    (void)umask(077);
    (void)signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of that write */
    kluis_memory_keep();
    if (kluis_base_init(&err) != KLUIS_OK) {
        complain("%s", err.msg);
        return 74;
    }
    const char *name = argc > 1 ? argv[1] : "help";
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        if (fputs(HELP, stdout) == EOF) { return 74; }
        return finish(argc > 1 ? 0 : 64);
    }
    if (strcmp(name, "version") == 0 || strcmp(name, "--version") == 0) { return puts("chatkluis-agent " KLUIS_VERSION) == EOF ? 74 : finish(0); }
    for (size_t i = 0; i < sizeof COMMANDS / sizeof *COMMANDS; i++) {
        if (strcmp(name, COMMANDS[i].name) == 0) { return run(&COMMANDS[i], argc - 2, argv + 2); }
    }
    complain("there is no command '%.60s': see 'chatkluis-agent help'", name);
    return 64;
}
