/* gate.c - puts the gate's parts together, in the order in which they must stand and fall. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <curl/curl.h>

#include "server/gate/gate_internal.h"
#include "server/gate/listen.h"
#include "server/walls/walls.h"
#include "server/log.h"

enum { NONCES_REMEMBERED = 1 << 17, CONNECTION_MEMORY = 16 << 10, TICK_MS = 250, EXPIRE_S = 600 };

static uint32_t or_default(uint32_t value, uint32_t otherwise) { return value == 0 ? otherwise : value; }

static void fill_limits(struct gate_limits *l)
{
    l->threads = or_default(l->threads, 2);
    l->connections = or_default(l->connections, 1000);
    l->connections_per_ip = or_default(l->connections_per_ip, 500);
    l->timeout_s = or_default(l->timeout_s, 30);
    l->request_s = or_default(l->request_s, 600);
    l->nonce_s = or_default(l->nonce_s, 120);
    l->waiters = or_default(l->waiters, 2000);
    l->refused_per_minute = or_default(l->refused_per_minute, 600);
    l->uploads_per_device = or_default(l->uploads_per_device, 8);
    l->upload_days = or_default(l->upload_days, 7);
    l->enrol_waiting = or_default(l->enrol_waiting, 64);
    l->relay_workers = or_default(l->relay_workers, 2);
    l->queue = or_default(l->queue, 100000);
    l->queue_per_device = or_default(l->queue_per_device, 10000);
    l->outbox = or_default(l->outbox, 100000);
    if (l->upload_bytes == 0) { l->upload_bytes = (uint64_t)4 << 30; }
}

/* ---- time passes ------------------------------------------------------------------------------ */

static void expire(struct gate *g)
{
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(freed, 1 << 16);
    kluis_status rc = gate_store_expire(g->store, kluis_now_us(), &freed, &err);
    if (rc == KLUIS_OK) { rc = gate_store_sync(g->store, &err); } /* no file goes before the rows are gone for good */
    if (rc == KLUIS_OK) { rc = gate_uploads_drop(g->uploads, kluis_buf_bytes(&freed), &err); }
    if (rc == KLUIS_OK) { rc = gate_uploads_sweep(g->uploads, &err); } /* what trouble kept from being removed in its time */
    if (rc != KLUIS_OK) {
        kluis_log_err(KLUIS_LOG_ERROR, "expire", &err);
    } else if (freed.len > 0) {
        kluis_log(KLUIS_LOG_INFO, "expire", "uploads=%zu", freed.len / GATE_ID);
    }
}

static void *keep_house(void *ctx)
{
    struct gate *g = ctx;
    int64_t expire_us = kluis_monotonic_us() + (int64_t)EXPIRE_S * 1000000;
    (void)pthread_mutex_lock(&g->sleep_lock);
    while (!g->stopping) {
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += (long)TICK_MS * 1000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&g->sleep, &g->sleep_lock, &until);
        (void)pthread_mutex_unlock(&g->sleep_lock);
        int64_t now_us = kluis_monotonic_us();
        gate_waits_tick(g->waits, now_us);
        if (now_us >= expire_us) {
            expire(g);
            expire_us = now_us + (int64_t)EXPIRE_S * 1000000;
        }
        (void)pthread_mutex_lock(&g->sleep_lock);
    }
    (void)pthread_mutex_unlock(&g->sleep_lock);
    return NULL;
}

/* ---- start and stop --------------------------------------------------------------------------- */

static kluis_status own_directory(struct gate *g, const char *dir, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    KLUIS_TRY(kluis_path(path, sizeof path, dir, "gate.lock", err));
    g->lock_fd = kluis_io_open(path, O_RDWR | O_CREAT, 0600);
    if (g->lock_fd < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot open gate.lock in '%.200s'", dir); }
    if (flock(g->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK ? KLUIS_FAIL(err, KLUIS_E_BUSY, "another gate runs in '%.200s': stop it first", dir)
                                    : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot lock gate.lock in '%.200s'", dir);
    }
    KLUIS_TRY(kluis_path(path, sizeof path, dir, "gate.db", err));
    return KLUIS_OK;
}

/* A PEM as the NUL-terminated text that libmicrohttpd wants; secret memory, wiped by the caller. */
static char *pem_text(struct kluis_bytes pem)
{
    char *text = kluis_secret_new(pem.len + 1);
    if (text != NULL) {
        memcpy(text, pem.ptr, pem.len);
        text[pem.len] = '\0';
    }
    return text;
}

/* libmicrohttpd says that it failed, not of what; of memory and descriptors that ran out errno still tells. */
static kluis_status not_started(int e, struct kluis_err *err)
{
    switch (e) {
    case ENOMEM:
    case EAGAIN: return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory or threads to start serving: try again");
    case EMFILE:
    case ENFILE:
    case EIO: errno = e; return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot start serving");
    default: return KLUIS_FAIL(err, KLUIS_E_USAGE, "cannot start serving: check the TLS certificate and key");
    }
}

static kluis_status start_daemon(struct gate *g, const struct gate_config *c, int fd, struct kluis_err *err)
{
    const struct gate_limits *l = &g->limits;
    char *key = pem_text(c->tls_key_pem);
    char *cert = pem_text(c->tls_cert_pem);
    int e = ENOMEM;
    if (key != NULL && cert != NULL) {
        errno = 0;
        /* poll, not epoll: with that, libmicrohttpd 0.9.75 turns in circles while a peer is silent in its handshake (docs/decisions/0017). */
        g->daemon = MHD_start_daemon(
            MHD_USE_TLS | MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, gate_http_handle, g, MHD_OPTION_LISTEN_SOCKET, fd,
            MHD_OPTION_HTTPS_MEM_KEY, key, MHD_OPTION_HTTPS_MEM_CERT, cert, MHD_OPTION_HTTPS_PRIORITIES, "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2",
            MHD_OPTION_URI_LOG_CALLBACK, gate_http_begin, g, MHD_OPTION_NOTIFY_COMPLETED, gate_http_end, g, MHD_OPTION_CONNECTION_LIMIT,
            (unsigned)l->connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)l->connections_per_ip, MHD_OPTION_CONNECTION_TIMEOUT,
            (unsigned)l->timeout_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)l->threads,
            MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_TLS_NO_ALPN, 1, MHD_OPTION_END);
        e = errno;
    }
    kluis_secret_free(key, c->tls_key_pem.len + 1);
    kluis_secret_free(cert, c->tls_cert_pem.len + 1);
    return g->daemon != NULL ? KLUIS_OK : not_started(e, err);
}

/* A gate without a time authority to ask opens no connection itself. */
static kluis_status confine(struct gate *g, const struct gate_config *c, struct kluis_err *err)
{
    struct walls w = { .dir = c->dir, .outward = c->n_tsa > 0, .names = c->n_tsa > 0 };
    for (size_t i = 0; i < c->n_tsa && w.n_ports < WALLS_PORTS_MAX; i++) {
        bool named = false;
        w.port[w.n_ports] = walls_port_of(c->tsa_urls[i], &named);
        w.n_ports += w.port[w.n_ports] != 0;
    }
    g->walls = (struct walls_told){ .told = true, .user = (unsigned)geteuid() };
    return walls_raise(&w, &g->walls.walls, err);
}

static kluis_status start(struct gate *g, const struct gate_config *c, int *fd, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    g->limits = c->limits;
    fill_limits(&g->limits);
    if (c->dir == NULL || c->vault_spki.len == 0 || c->vault_spki.len > GATE_SPKI_MAX || c->tls_cert_pem.len == 0 || c->tls_key_pem.len == 0) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "a gate needs a directory, the vault's key, a TLS certificate and its key");
    }
    kluis_buf_add(&g->vault_spki, c->vault_spki.ptr, c->vault_spki.len);
    KLUIS_TRY(kluis_buf_ok(&g->vault_spki, err));
    KLUIS_TRY(gate_name_check(c->listen, c->name, err));
    KLUIS_TRY(own_directory(g, c->dir, err));
    KLUIS_TRY(gate_listen(c->listen, fd, g->address, err));
    if ((size_t)snprintf(g->name, sizeof g->name, "%s", c->name != NULL ? c->name : g->address) >= sizeof g->name) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "the gate's name is too long");
    }
    KLUIS_TRY(kluis_path(path, sizeof path, c->dir, "gate.db", err));
    KLUIS_TRY(gate_store_open(&g->store, path, &g->limits, c->log_vkey, err));
    KLUIS_TRY(gate_uploads_open(&g->uploads, c->dir, g->store, c->disk_reserve != 0 ? c->disk_reserve : (uint64_t)256 << 20, err));
    KLUIS_TRY(gate_nonces_new(&g->nonces, g->limits.nonce_s, NONCES_REMEMBERED, err));
    KLUIS_TRY(gate_waits_new(&g->waits, g->limits.waiters, err));
    KLUIS_TRY(gate_strangers_new(&g->strangers, g->limits.refused_per_minute, err));

    /* Everything that reads a file of the system does it once before the walls stand: OpenSSL's and libcurl's configuration. */
    if (kluis_key_check(c->vault_spki, (struct kluis_bytes){ (const uint8_t *)"x", 1 }, (struct kluis_bytes){ (const uint8_t *)"x", 1 }, NULL) ==
        KLUIS_OK) {
        return KLUIS_FAIL(err, KLUIS_E_BUG, "the vault's key accepts anything");
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot start libcurl"); }
    (void)signal(SIGPIPE, SIG_IGN);
    if (c->confine) { KLUIS_TRY(confine(g, c, err)); }

    expire(g);
    KLUIS_TRY(gate_changes_start(&g->changes, g->store, g->uploads, err));
    KLUIS_TRY(gate_relay_start(&g->relay, c->tsa_urls, c->n_tsa, g->limits.relay_workers, err));
    if (pthread_create(&g->housekeeper, NULL, keep_house, g) != 0) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot start the gate's housekeeper"); }
    g->housekeeping = true;
    KLUIS_TRY(start_daemon(g, c, *fd, err));
    *fd = -1; /* the daemon's now */
    return KLUIS_OK;
}

kluis_status gate_start(struct gate **out, const struct gate_config *config, struct kluis_err *err)
{
    *out = NULL;
    struct gate *g = kluis_calloc(1, sizeof *g);
    if (g == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory for the gate"); }
    g->lock_fd = -1;
    kluis_buf_init(&g->vault_spki, GATE_SPKI_MAX);
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&g->sleep_lock, NULL);
    (void)pthread_cond_init(&g->sleep, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    int fd = -1;
    kluis_status rc = start(g, config, &fd, err);
    if (rc != KLUIS_OK) {
        kluis_close_quiet(&fd);
        gate_stop(g);
        return rc;
    }
    kluis_log(KLUIS_LOG_INFO, "gate.start", "address=%s authorities=%zu", g->address, config->n_tsa);
    *out = g;
    return KLUIS_OK;
}

void gate_address(const struct gate *g, char out[GATE_ADDRESS_MAX]) { memcpy(out, g->address, GATE_ADDRESS_MAX); }

unsigned gate_walls(const struct gate *g) { return g->walls.walls; }

kluis_status gate_status_read(struct gate *g, struct gate_status *out, struct kluis_err *err)
{
    memset(out, 0, sizeof *out);
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(g->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
    out->connections = info != NULL ? info->num_connections : 0;
    out->waiting = gate_waits_count(g->waits);
    out->walls = g->walls.walls;
    return gate_store_status(g->store, out, err);
}

void gate_stop(struct gate *g)
{
    if (g == NULL) { return; }
    /* A daemon may not be stopped while a connection is suspended: first whoever waits goes on, and nobody waits any more. */
    if (g->waits != NULL) { gate_waits_stop(g->waits); }
    if (g->relay != NULL) { gate_relay_halt(g->relay); }
    gate_changes_halt(g->changes);
    if (g->daemon != NULL) { MHD_stop_daemon(g->daemon); }
    if (g->housekeeping) {
        (void)pthread_mutex_lock(&g->sleep_lock);
        g->stopping = true;
        (void)pthread_cond_signal(&g->sleep);
        (void)pthread_mutex_unlock(&g->sleep_lock);
        (void)pthread_join(g->housekeeper, NULL);
    }
    gate_relay_free(g->relay);
    gate_changes_free(g->changes);
    gate_waits_free(g->waits);
    gate_strangers_free(g->strangers);
    gate_nonces_free(g->nonces);
    gate_uploads_free(g->uploads);
    gate_store_free(g->store);
    kluis_buf_free(&g->vault_spki);
    kluis_close_quiet(&g->lock_fd);
    (void)pthread_cond_destroy(&g->sleep);
    (void)pthread_mutex_destroy(&g->sleep_lock);
    kluis_free(g);
}
