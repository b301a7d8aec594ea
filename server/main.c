/* server/main.c - the command line; wires the parts of the server.  Exit codes: 0, 1, 64, 74, 75 as kluis_exit_code says. */
#include "server/backup_command.h"
#include "server/gate/gate.h"
#include "server/options.h"
#include "server/page.h"
#include "server/part.h"
#include "server/serve.h"
#include "server/tsa/tsa.h"

#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

static const char HELP[] =
    "chatkluis-server " KLUIS_VERSION " - safeguards chats as public records\n"
    "\n"
    "  init --home H --organisation NAME [--name HOST:PORT] [--host NAME]…\n"
    "                              keys, register, embedded CA and time authority, trust.json\n"
    "  serve --home H --listen ADDR:PORT [--name HOST:PORT] [--page ADDR:PORT]\n"
    "                              gate, vault, page and time authority as processes of their own; SIGTERM ends them\n"
    "                              (of users of their own, where root starts it and they exist: kluis-gate, -vault, -opener, -page, -tsa)\n"
    "  gate --dir D --listen ADDR:PORT [--name HOST:PORT] [--time-authority URL]…    the half that faces the network\n"
    "  vault --home H --gate URL [--name HOST:PORT] [--page-fd N]                    the reading zone\n"
    "  page --vault SOCKET --listen ADDR:PORT                         the page, on loopback; asks the vault by its socket, H/vault/page.sock\n"
    "  tsa --dir D [--port N]                                         the embedded time authority, on loopback\n"
    "  official add --home H --id ID --name NAME --function CODE --from DATE [--to DATE] [--grace-days N]\n"
    "  official list --home H\n"
    "  enrol --home H --official ID                                   prints a one-time code, good for 24 hours\n"
    "  status --home H [--json]\n"
    "  page-address --home H                                          what to open in a browser, with the key of this run\n"
    "  search --home H --purpose TEXT QUERY [--json] [--conversation ID] [--official ID] [--from DATE] [--to DATE] [--limit N]\n"
    "  audit --home H [--json]                                        the audit trail: who searched, read or decided what, and what for\n"
    "  check --home H [--read-data]                                   every package against store, ledger and index\n"
    "  rebuild-index --home H\n"
    "  backup --home H --to DIR [--read-data]                         a verified copy beside those in DIR; the vault goes on meanwhile\n"
    "  restore --from DIR/BACKUP --home H                             puts one back into a home that has its keys and nothing else\n"
    "  help · version\n"
    "\n"
    "--name: what stands behind https:// where devices enrol, when that is not the address listened on; init notes it and puts it\n"
    "into the gate's certificate. The page listens on loopback only. Errors are one line: what, where, what to do.\n"
    "Exit codes: 0 done, 1 refused or invalid, 64 usage, 74 input/output, 75 try again.\n";

/* A descriptor that whoever started this program left open; -1: none. */
static kluis_status given_fd(const char *option, const char *text, int *fd, struct kluis_err *err)
{
    int64_t v = -1;
    KLUIS_TRY(kluis_options_number("serve", option, text, 0, 1 << 20, -1, &v, err));
    *fd = (int)v;
    return KLUIS_OK;
}

static kluis_status cmd_init(int argc, const char *const *argv, struct kluis_err *err)
{
    const char *home = NULL, *organisation = NULL, *name = NULL, *hosts[16];
    size_t n_hosts = 0, words;
    const struct kluis_option spec[] = { { .name = "home", .required = true, .value = &home },
                                         { .name = "organisation", .required = true, .value = &organisation },
                                         { .name = "name", .value = &name },
                                         { .name = "host", .values = hosts, .max = 16, .count = &n_hosts } };
    KLUIS_TRY(options_parse("init", argc, argv, spec, 4, NULL, 0, &words, err));
    if (name != NULL) { KLUIS_TRY(gate_name_check("127.0.0.1:0", name, err)); }
    KLUIS_TRY(part_init(home, organisation, name, hosts, n_hosts, err));
    if (printf("initialised %s\ntrust file: %s/trust.json\n", home, home) < 0 || fflush(stdout) != 0) {
        return KLUIS_FAIL(err, KLUIS_E_IO, "cannot write to stdout");
    }
    return KLUIS_OK;
}

static kluis_status cmd_serve(int argc, const char *const *argv, struct kluis_err *err)
{
    const char *home = NULL, *listen = NULL, *name = NULL, *page = NULL;
    char dir[KLUIS_PATH_MAX], noted[GATE_NAME_MAX];
    size_t words;
    const struct kluis_option spec[] = { { .name = "home", .required = true, .value = &home },
                                         { .name = "listen", .required = true, .value = &listen },
                                         { .name = "name", .value = &name },
                                         { .name = "page", .value = &page } };
    KLUIS_TRY(options_parse("serve", argc, argv, spec, 4, NULL, 0, &words, err));
    KLUIS_TRY(kluis_path(dir, sizeof dir, home, "gate", err));
    KLUIS_TRY(gate_config_name(dir, noted, err));
    if (name == NULL && noted[0] != '\0') { name = noted; }
    KLUIS_TRY(gate_name_check(listen, name, err));
    const struct serve_config c = { home, listen, name, page == NULL ? "127.0.0.1:0" : page };
    return serve_run(&c, err);
}

static kluis_status cmd_gate(int argc, const char *const *argv, struct kluis_err *err)
{
    const char *dir = NULL, *listen = NULL, *name = NULL, *ready = NULL, *tsa[8];
    size_t n_tsa = 0, words;
    int fd;
    const struct kluis_option spec[] = { { .name = "dir", .required = true, .value = &dir },
                                         { .name = "listen", .value = &listen },
                                         { .name = "name", .value = &name },
                                         { .name = "ready-fd", .value = &ready },
                                         { .name = "time-authority", .values = tsa, .max = 8, .count = &n_tsa } };
    KLUIS_TRY(options_parse("gate", argc, argv, spec, 5, NULL, 0, &words, err));
    KLUIS_TRY(given_fd("--ready-fd", ready, &fd, err));
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(1 << 20);
    if (arena == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    struct gate_config c;
    KLUIS_TRY(gate_config_read(dir, arena, &c, err));
    if (listen != NULL) { c.listen = listen; }
    if (name != NULL) { c.name = name; }
    if (c.listen == NULL) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "gate: say where to listen, with --listen or in gate.json"); }
    const char **urls = kluis_arena_alloc(arena, (c.n_tsa + n_tsa) * sizeof *urls);
    if (urls == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    for (size_t i = 0; i < c.n_tsa; i++) { urls[i] = c.tsa_urls[i]; } /* configured ones first: the embedded one is the last resort */
    for (size_t i = 0; i < n_tsa; i++) { urls[c.n_tsa + i] = tsa[i]; }
    c.tsa_urls = urls;
    c.n_tsa += n_tsa;
    c.confine = true;
    struct gate *g = NULL;
    KLUIS_TRY(gate_start(&g, &c, err));
    char line[GATE_ADDRESS_MAX + 16], where[GATE_ADDRESS_MAX];
    gate_address(g, where);
    (void)snprintf(line, sizeof line, "listening on %s", where);
    kluis_status rc = serve_ready(fd, line, err);
    if (rc == KLUIS_OK) { serve_wait(); }
    gate_stop(g);
    return rc;
}

static kluis_status cmd_tsa(int argc, const char *const *argv, struct kluis_err *err)
{
    const char *dir = NULL, *ready = NULL, *port_text = NULL;
    size_t words;
    int64_t port_number = 0;
    int fd;
    const struct kluis_option spec[] = { { .name = "dir", .required = true, .value = &dir },
                                         { .name = "port", .value = &port_text },
                                         { .name = "ready-fd", .value = &ready } };
    KLUIS_TRY(options_parse("tsa", argc, argv, spec, 3, NULL, 0, &words, err));
    KLUIS_TRY(kluis_options_number("tsa", "--port", port_text, 0, UINT16_MAX, 0, &port_number, err));
    KLUIS_TRY(given_fd("--ready-fd", ready, &fd, err));
    struct tsa_server *t = NULL;
    uint16_t port = (uint16_t)port_number;
    KLUIS_TRY(tsa_start(&t, dir, true, &port, err));
    char line[64];
    (void)snprintf(line, sizeof line, "time authority on http://127.0.0.1:%u/", (unsigned)port);
    kluis_status rc = serve_ready(fd, line, err);
    if (rc == KLUIS_OK) { serve_wait(); }
    tsa_stop(t);
    return rc;
}

static kluis_status cmd_vault(int argc, const char *const *argv, struct kluis_err *err)
{
    const char *home = NULL, *gate = NULL, *name = NULL, *page = NULL, *ready = NULL, *keeper = NULL, *opener = NULL;
    struct vault_users as = { 0 };
    size_t words;
    int fd, page_fd;
    const struct kluis_option spec[] = { { .name = "home", .required = true, .value = &home },
                                         { .name = "gate", .required = true, .value = &gate },
                                         { .name = "name", .value = &name },
                                         { .name = "page-fd", .value = &page },
                                         { .name = "as", .value = &keeper },
                                         { .name = "opener-as", .value = &opener },
                                         { .name = "ready-fd", .value = &ready } };
    KLUIS_TRY(options_parse("vault", argc, argv, spec, 7, NULL, 0, &words, err));
    if (keeper != NULL) { KLUIS_TRY(walls_user_find(keeper, &as.keeper, err)); }
    if (opener != NULL) { KLUIS_TRY(walls_user_find(opener, &as.opener, err)); }
    KLUIS_TRY(given_fd("--ready-fd", ready, &fd, err));
    KLUIS_TRY(given_fd("--page-fd", page, &page_fd, err));
    return part_vault(home, gate, name, page_fd, &as, fd, err);
}

static kluis_status cmd_page(int argc, const char *const *argv, struct kluis_err *err)
{
    const char *vault = NULL, *listen = NULL, *ready = NULL;
    size_t words;
    int fd;
    const struct kluis_option spec[] = { { .name = "vault", .required = true, .value = &vault },
                                         { .name = "listen", .required = true, .value = &listen },
                                         { .name = "ready-fd", .value = &ready } };
    KLUIS_TRY(options_parse("page", argc, argv, spec, 3, NULL, 0, &words, err));
    KLUIS_TRY(given_fd("--ready-fd", ready, &fd, err));
    return page_run(vault, listen, fd, err);
}

/* Everything else goes to the vault process, or is done here under the home's lock when none runs. */
static kluis_status cmd_home(int argc, const char *const *argv, int *exit_code, struct kluis_err *err)
{
    const char *home = NULL;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--home") == 0 && i + 1 < argc) { home = argv[i + 1]; }
        if (strncmp(argv[i], "--home=", 7) == 0) { home = argv[i] + 7; }
    }
    if (home == NULL) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "%s: --home is missing: see 'chatkluis-server help'", argv[0]); }
    return part_ask(home, argc, argv, exit_code, err);
}

int main(int argc, char **argv_main)
{
    const char *const *argv = (const char *const *)(uintptr_t)argv_main;
    struct kluis_err err = { 0 };
    int exit_code = 0;
    kluis_status rc = KLUIS_E_USAGE;
    const char *command = argc > 1 ? argv[1] : "";
    static const char *const home_commands[] = { "official", "enrol", "status", "search", "audit", "check", "rebuild-index", "page-address" };
    kluis_memory_keep();
    serve_block_signals();
    (void)signal(SIGPIPE, SIG_IGN);
    if (kluis_base_init(&err) != KLUIS_OK) {
        rc = err.code;
    } else if (strcmp(command, "help") == 0 || strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0) {
        rc = fputs(HELP, stdout) == EOF ? KLUIS_E_IO : KLUIS_OK;
    } else if (strcmp(command, "version") == 0 || strcmp(command, "--version") == 0) {
        rc = puts("chatkluis-server " KLUIS_VERSION) == EOF ? KLUIS_E_IO : KLUIS_OK;
    } else if (strcmp(command, "init") == 0) {
        rc = cmd_init(argc - 2, argv + 2, &err);
    } else if (strcmp(command, "serve") == 0) {
        rc = cmd_serve(argc - 2, argv + 2, &err);
    } else if (strcmp(command, "gate") == 0) {
        rc = cmd_gate(argc - 2, argv + 2, &err);
    } else if (strcmp(command, "vault") == 0) {
        rc = cmd_vault(argc - 2, argv + 2, &err);
    } else if (strcmp(command, "page") == 0) {
        rc = cmd_page(argc - 2, argv + 2, &err);
    } else if (strcmp(command, "tsa") == 0) {
        rc = cmd_tsa(argc - 2, argv + 2, &err);
    } else if (strcmp(command, "backup") == 0) {
        rc = cmd_backup(argc - 2, argv + 2, &exit_code, &err);
    } else if (strcmp(command, "restore") == 0) {
        rc = cmd_restore(argc - 2, argv + 2, &err);
    } else {
        for (size_t i = 0; i < sizeof home_commands / sizeof *home_commands; i++) {
            if (strcmp(command, home_commands[i]) == 0) {
                rc = cmd_home(argc - 1, argv + 1, &exit_code, &err);
                command = NULL;
                break;
            }
        }
        if (command != NULL) { rc = KLUIS_FAIL(&err, KLUIS_E_USAGE, "unknown command '%s': see 'chatkluis-server help'", command); }
    }
    if (rc == KLUIS_OK) { return exit_code; }
    fprintf(stderr, "chatkluis-server: %s\n", err.code == KLUIS_OK ? kluis_status_name(rc) : err.msg);
    return kluis_exit_code(rc);
}
