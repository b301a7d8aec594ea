/* listen.c - see listen.h. */
#include "server/gate/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "server/log.h"

enum { BACKLOG = 256 };

#ifdef KLUIS_UNWALLED
/* A build for the sanitizers has no walls: nobody outside this machine may reach it. */
static kluis_status only_here(const struct sockaddr *a, struct kluis_err *err)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    bool here = false;
    if (a->sa_family == AF_INET) {
        memcpy(&v4, a, sizeof v4);
        here = ntohl(v4.sin_addr.s_addr) >> 24 == 127;
    } else if (a->sa_family == AF_INET6) {
        memcpy(&v6, a, sizeof v6);
        here = IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
    }
    if (!here) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "this build has no walls (made for the sanitizers): it listens on 127.0.0.1 or [::1] only"); }
    kluis_log(KLUIS_LOG_WARN, "walls.none", "build=sanitizers");
    return KLUIS_OK;
}
#else
static kluis_status only_here(const struct sockaddr *a, struct kluis_err *err)
{
    (void)a;
    (void)err;
    return KLUIS_OK;
}
#endif

static kluis_status resolve(const char *text, struct addrinfo **found, struct kluis_err *err)
{
    char host[GATE_ADDRESS_MAX];
    const char *colon = text == NULL ? NULL : strrchr(text, ':');
    if (colon == NULL || colon == text || (size_t)(colon - text) >= sizeof host) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "the listen address is not ADDR:PORT");
    }
    /* getaddrinfo takes 70000 for 4464. */
    size_t digits = strspn(colon + 1, "0123456789");
    if (digits == 0 || digits > 5 || colon[1 + digits] != '\0' || strtoul(colon + 1, NULL, 10) > UINT16_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "the port of the listen address '%.100s' is not a number up to 65535", text);
    }
    (void)snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
    size_t n = strlen(host);
    char *name = host;
    if (host[0] == '[' && host[n - 1] == ']') {
        host[n - 1] = '\0';
        name = host + 1;
    }
    struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
    *found = NULL;
    int rc = getaddrinfo(strcmp(name, "localhost") == 0 ? "127.0.0.1" : name, colon + 1, &hints, found);
    if (rc == EAI_MEMORY) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory to read the listen address: try again"); }
    if (rc == EAI_SYSTEM) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot read the listen address '%.100s'", text); }
    if (rc != 0 || *found == NULL) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "the listen address '%.100s' is not a numeric ADDR:PORT", text); }
    return KLUIS_OK;
}

/* Devices sign the name they were given; nobody is given 0.0.0.0, so without a name every login would fail. */
kluis_status gate_name_check(const char *listen_on, const char *name, struct kluis_err *err)
{
    struct addrinfo *found = NULL;
    KLUIS_TRY(resolve(listen_on, &found, err));
    bool every = false;
    if (found->ai_family == AF_INET) {
        struct sockaddr_in a;
        memcpy(&a, found->ai_addr, sizeof a);
        every = a.sin_addr.s_addr == htonl(INADDR_ANY);
    } else if (found->ai_family == AF_INET6) {
        struct sockaddr_in6 a;
        memcpy(&a, found->ai_addr, sizeof a);
        every = IN6_IS_ADDR_UNSPECIFIED(&a.sin6_addr);
    }
    freeaddrinfo(found);
    if (name == NULL) {
        return !every ? KLUIS_OK
                      : KLUIS_FAIL(err, KLUIS_E_USAGE,
                                   "'%.100s' is every address of this machine: say by which name devices reach the gate, with --name HOST:PORT",
                                   listen_on);
    }
    size_t n = strlen(name);
    bool ok = n > 0 && n < GATE_NAME_MAX && name[0] != ':';
    for (size_t i = 0; i < n && ok; i++) { ok = name[i] > ' ' && name[i] <= '~' && strchr("/@?#\\\"", name[i]) == NULL; }
    return ok ? KLUIS_OK
              : KLUIS_FAIL(err, KLUIS_E_USAGE, "the gate's name '%.100s' is not HOST or HOST:PORT, as it stands behind https:// where devices enrol",
                           name);
}

static kluis_status bind_socket(const char *text, int *out, struct kluis_err *err)
{
    struct addrinfo *found = NULL;
    KLUIS_TRY(resolve(text, &found, err));
    int one = 1;
    *out = -1;
    kluis_status rc = only_here(found->ai_addr, err);
    if (rc != KLUIS_OK) {
        freeaddrinfo(found);
        return rc;
    }
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 || bind(fd, found->ai_addr, found->ai_addrlen) != 0 ||
        listen(fd, BACKLOG) != 0) {
        rc = KLUIS_FAIL_SYS(err, errno == EADDRINUSE ? KLUIS_E_BUSY : KLUIS_E_IO, "cannot listen on '%.100s'", text);
        kluis_close_quiet(&fd);
    }
    freeaddrinfo(found);
    *out = fd;
    return rc;
}

static kluis_status bound_address(int fd, char out[GATE_ADDRESS_MAX], struct kluis_err *err)
{
    struct sockaddr_storage a = { 0 };
    socklen_t len = sizeof a;
    char host[48];
    char port[8];
    if (getsockname(fd, (struct sockaddr *)&a, &len) != 0 ||
        getnameinfo((struct sockaddr *)&a, len, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot tell the bound address");
    }
    (void)snprintf(out, GATE_ADDRESS_MAX, a.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    return KLUIS_OK;
}

kluis_status gate_listen(const char *address, int *fd, char bound[GATE_ADDRESS_MAX], struct kluis_err *err)
{
    KLUIS_TRY(bind_socket(address, fd, err));
    kluis_status rc = bound_address(*fd, bound, err);
    if (rc != KLUIS_OK) { kluis_close_quiet(fd); }
    return rc;
}
