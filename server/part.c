/* server/part.c - see part.h. */
#include "server/part.h"

#include "server/commands.h"
#include "server/desk/desk.h"
#include "server/init.h"
#include "server/local/local.h"
#include "server/log.h"
#include "server/serve.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

kluis_status part_init(const char *home, const char *organisation, const char *name, const char *const *hosts, size_t n_hosts, struct kluis_err *err)
{
    const struct vault_init_config c = { .home = home, .organisation = organisation, .name = name, .hosts = hosts, .n_hosts = n_hosts };
    kluis_status rc = vault_init(&c, err);
    return rc == KLUIS_E_EXISTS ? KLUIS_E_REJECT : rc; /* a home that is there stays as it is, and whoever asked should know */
}

struct waiting {
    int ready_fd;
    unsigned asked;
};

/* Ten times a second: nobody who asked this vault to stop waits long. */
static bool go_on(void *ctx)
{
    struct waiting *w = ctx;
    if (w->asked++ % 50 == 0) { serve_beat(w->ready_fd); }
    return !serve_stop_asked();
}

/* Without its opener it would stand there and take nothing in: then it ends, and whoever started it starts it again. */
static kluis_status until_asked(const struct vault *v, struct kluis_err *err)
{
    while (!serve_wait_ms(1000)) {
        if (vault_lost_opener(v)) {
            return KLUIS_FAIL(err, KLUIS_E_BUSY, "the process that opens packages has ended, and so the vault must be started again");
        }
    }
    return KLUIS_OK;
}

kluis_status part_vault(const char *home, const char *gate_url, const char *name, int page_fd, const struct vault_users *as, int ready_fd,
                        struct kluis_err *err)
{
    KLUIS_AUTO(vault) v = NULL;
    char control_path[KLUIS_PATH_MAX], page_path[KLUIS_PATH_MAX];
    bool own_socket = page_fd < 0;
    int control_fd = -1;
    struct waiting w = { .ready_fd = ready_fd };
    const struct vault_turn turn = { &w, go_on };
    struct control *control = NULL;
    struct desk *desk = NULL;
    KLUIS_TRY(kluis_path(control_path, sizeof control_path, home, "vault/control.sock", err));
    KLUIS_TRY(kluis_path(page_path, sizeof page_path, home, "vault/page.sock", err));
    kluis_status opened = vault_open(&v, home, as, &turn, err);
    if (opened == KLUIS_E_BUSY && serve_stop_asked()) { return KLUIS_OK; }
    KLUIS_TRY(opened);
    /* Both sockets listen before the walls go up: behind them nothing can be made to. */
    kluis_status rc = local_listen(control_path, &control_fd, err);
    if (rc == KLUIS_OK && own_socket) { rc = local_listen(page_path, &page_fd, err); }
    if (rc == KLUIS_OK) { rc = vault_confine(v, gate_url, err); }
    if (rc == KLUIS_OK) { rc = vault_start(v, gate_url, name, err); }
    const struct api api = { v, commands_borrow, commands_give_back, vault_register(v) };
    if (rc == KLUIS_OK) {
        rc = desk_start(&desk, page_fd, &api, err);
        page_fd = -1;
    }
    struct commands commands = { v, desk };
    if (rc == KLUIS_OK) {
        rc = control_start(&control, control_fd, commands_run, &commands, err);
        control_fd = -1;
    }
    if (rc == KLUIS_OK) { rc = serve_ready(ready_fd, "vault ready", err); }
    if (rc == KLUIS_OK) { rc = until_asked(v, err); }
    if (own_socket) { (void)unlink(page_path); } /* a leftover is replaced at the next start */
    (void)unlink(control_path);
    control_stop(control); /* its commands ask the desk */
    desk_stop(desk);
    vault_stop(v);
    kluis_close_quiet(&page_fd);
    kluis_close_quiet(&control_fd);
    return rc;
}

static kluis_status print_line(KLUIS_UNUSED void *ctx, char kind, struct kluis_str line, struct kluis_err *err)
{
    FILE *f = kind == 'o' ? stdout : stderr;
    if (fwrite(line.ptr, 1, line.len, f) != line.len || fputc('\n', f) == EOF || fflush(f) != 0) {
        return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot write the answer");
    }
    return KLUIS_OK;
}

kluis_status part_command(const char *home, int argc, const char *const *argv, struct kluis_err *err)
{
    KLUIS_AUTO(vault) v = NULL;
    struct walls_user owner;
    KLUIS_TRY(walls_user_owner(home, &owner, err));
    KLUIS_TRY(walls_user_files(&owner, err));         /* root's command leaves nothing that the vault's own user cannot open */
    KLUIS_TRY(vault_open(&v, home, NULL, NULL, err)); /* holds the home's lock: a vault that starts meanwhile waits for its turn */
    KLUIS_TRY(vault_confine(v, NULL, err));
    const struct control_output out = { NULL, print_line };
    struct commands commands = { v, NULL };
    return commands_run(&commands, argc, argv, &out, err);
}

/* Opening the vault raises its walls for good: who has something to do outside of them has it done by a child. */
static kluis_status in_a_child(const char *home, int argc, const char *const *argv, int *exit_code, struct kluis_err *err)
{
    int status = 0;
    (void)fflush(stdout);
    pid_t child = fork();
    if (child < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_NOMEM, "cannot start a process"); }
    if (child == 0) {
        struct kluis_err why = { 0 };
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody waits for it any more */
        kluis_status rc = part_command(home, argc, argv, &why);
        if (rc != KLUIS_OK) { fprintf(stderr, "chatkluis-server: %s\n", why.msg); }
        _exit(fflush(stdout) == 0 ? kluis_exit_code(rc) : kluis_exit_code(KLUIS_E_IO));
    }
    while (waitpid(child, &status, 0) != child) {
        if (errno != EINTR) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot wait for a process"); }
    }
    if (!WIFEXITED(status)) { return KLUIS_FAIL(err, KLUIS_E_IO, "the process that opened the vault was killed: try again"); }
    *exit_code = WEXITSTATUS(status);
    return KLUIS_OK;
}

static kluis_status ask(const char *home, int argc, const char *const *argv, bool apart, int *exit_code, struct kluis_err *err)
{
    char socket_path[KLUIS_PATH_MAX];
    KLUIS_TRY(kluis_path(socket_path, sizeof socket_path, home, "vault/control.sock", err));
    kluis_status rc = control_call(socket_path, argc, argv, exit_code, err);
    if (rc != KLUIS_E_NOTFOUND) { return rc; }
    kluis_err_clear(err);
    return apart ? in_a_child(home, argc, argv, exit_code, err) : part_command(home, argc, argv, err);
}

kluis_status part_ask(const char *home, int argc, const char *const *argv, int *exit_code, struct kluis_err *err)
{
    return ask(home, argc, argv, false, exit_code, err);
}

kluis_status part_ask_apart(const char *home, int argc, const char *const *argv, int *exit_code, struct kluis_err *err)
{
    return ask(home, argc, argv, true, exit_code, err);
}
