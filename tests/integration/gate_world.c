/* gate_world.c - sets a gate up, takes it down, and keeps the book of durable steps. */
#include "tests/integration/gate_world.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include <curl/curl.h>
#include "tests/support/test_dir.h"

#define OK(expr) assert_int_equal((expr), KLUIS_OK)

/* ---- hooks ---- */

static _Atomic int64_t shift_us, stopped_us;
static pthread_mutex_t step_lock = PTHREAD_MUTEX_INITIALIZER;
static char steps[4096];
static char distinct[64][48];
static size_t n_distinct;

static int64_t now_us(void)
{
    struct timespec t;
    int64_t stopped = atomic_load(&stopped_us);
    if (stopped != 0) { return stopped; }
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000 + atomic_load(&shift_us);
}

static void on_step(const char *name)
{
    (void)pthread_mutex_lock(&step_lock);
    size_t n = strlen(steps);
    (void)snprintf(steps + n, sizeof steps - n, "%s ", name);
    bool known = strncmp(name, "gate.", 5) != 0;
    for (size_t i = 0; i < n_distinct && !known; i++) { known = strcmp(distinct[i], name) == 0; }
    if (!known && n_distinct < 64) { (void)snprintf(distinct[n_distinct++], sizeof distinct[0], "%s", name); }
    (void)pthread_mutex_unlock(&step_lock);
}

static _Atomic bool failing;
static int on_io(const char *op, KLUIS_UNUSED const char *path, KLUIS_UNUSED int fd)
{
    return atomic_load(&failing) && strcmp(op, "fsync") == 0 ? EIO : 0;
}

void syncs_fail(bool on) { atomic_store(&failing, on); }

void steps_reset(void)
{
    (void)pthread_mutex_lock(&step_lock);
    steps[0] = '\0';
    (void)pthread_mutex_unlock(&step_lock);
}

const char *steps_seen(void) { return steps; }

size_t steps_distinct(void) { return n_distinct; }

void clock_shift(int64_t us)
{
    atomic_store(&stopped_us, 0);
    atomic_store(&shift_us, us);
}

void clock_stop(void) { atomic_store(&stopped_us, now_us()); }

/* ---- the world ---- */

static struct kluis_key *new_key(void)
{
    struct kluis_key *k = NULL;
    OK(kluis_key_generate(&k, NULL));
    return k;
}

void world_start(struct world *w)
{
    struct kluis_err err = { 0 };
    w->config.listen = w->address;
    kluis_status rc = gate_start(&w->gate, &w->config, &err);
    if (rc != KLUIS_OK) { fail_msg("gate_start: %s", err.msg); }
    gate_address(w->gate, w->address);
}

void world_stop(struct world *w)
{
    gate_stop(w->gate);
    w->gate = NULL;
}

void world_device(struct world *w, const char *id, const struct kluis_key *key, uint32_t state)
{
    char path[80];
    KLUIS_AUTO_BUF(spki, 1024);
    KLUIS_AUTO_BUF(body, 2048);
    OK(kluis_key_public(key, &spki, NULL));
    gate_body_device(&body, kluis_buf_bytes(&spki), state);
    (void)snprintf(path, sizeof path, "/vault/v1/device/%s", id);
    ASK(w->vault, "PUT", path, kluis_buf_bytes(&body), 204);
}

struct world *world_new(const struct gate_config *with)
{
    static const struct kluis_hooks hooks = { .now_us = now_us, .io_fault = on_io, .durable_step = on_step };
    kluis_hooks_set(&hooks);
    clock_shift(0); /* what failed before may have left it elsewhere */
    syncs_fail(false);
    OK(kluis_base_init(NULL));
    struct world *w = kluis_calloc(1, sizeof *w);
    assert_non_null(w);
    w->pki = pki_new(10);
    w->pull = new_key();
    w->device_key = new_key();
    w->other_key = new_key();
    kluis_buf_init(&w->cert, 1 << 16);
    kluis_buf_init(&w->key, 1 << 16);
    kluis_buf_init(&w->spki, 1024);
    OK(kluis_cert_pem(kluis_buf_bytes(&w->pki->tls.cert), &w->cert, NULL));
    OK(kluis_key_to_pem(w->pki->tls.key, &w->key, NULL));
    OK(kluis_key_public(w->pull, &w->spki, NULL));
    assert_true(test_dir("gate", w->dir, sizeof w->dir));
    if (with != NULL) { w->config = *with; }
    w->config.dir = w->dir;
    w->config.tls_cert_pem = kluis_buf_bytes(&w->cert);
    w->config.tls_key_pem = kluis_buf_bytes(&w->key);
    w->config.vault_spki = kluis_buf_bytes(&w->spki);
    if (w->config.disk_reserve == 0) { w->config.disk_reserve = 1 << 20; }
    w->port = gate_port_keep(w->address);
    world_start(w);
    w->vault = gate_client_new(w->address, w->pki->root_anchor, "vault", w->pull);
    w->device = gate_client_new(w->address, w->pki->root_anchor, DEVICE, w->device_key);
    w->other = gate_client_new(w->address, w->pki->root_anchor, OTHER, w->other_key);
    w->anyone = gate_client_new(w->address, w->pki->root_anchor, NULL, NULL);
    world_device(w, DEVICE, w->device_key, 1);
    world_device(w, OTHER, w->other_key, 1);
    return w;
}

void world_free(struct world *w)
{
    clock_shift(0);
    gate_client_free(w->vault);
    gate_client_free(w->device);
    gate_client_free(w->other);
    gate_client_free(w->anyone);
    gate_stop(w->gate);
    assert_int_equal(close(w->port), 0);
    kluis_key_free(w->pull);
    kluis_key_free(w->device_key);
    kluis_key_free(w->other_key);
    kluis_buf_free(&w->cert);
    kluis_buf_free(&w->key);
    kluis_buf_free(&w->spki);
    pki_free(w->pki);
    kluis_free(w);
}

/* ---- small things ---- */

uint32_t waiting(struct world *w)
{
    struct gate_status s = { 0 };
    OK(gate_status_read(w->gate, &s, NULL));
    return s.waiting;
}

struct kluis_bytes bytes_of(const char *text) { return (struct kluis_bytes){ (const uint8_t *)text, strlen(text) }; }

struct kluis_bytes part(const void *p, size_t n) { return (struct kluis_bytes){ p, n }; }

struct kluis_bytes none(void) { return (struct kluis_bytes){ (const uint8_t *)"", 0 }; }

struct kluis_bytes pattern(struct kluis_buf *b, size_t n, uint32_t seed) { return gate_body_pattern(b, n, seed); }

size_t files_in(const struct world *w)
{
    char path[128];
    size_t n = 0;
    (void)snprintf(path, sizeof path, "%s/uploads", w->dir);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) { n += e->d_name[0] != '.' ? 1 : 0; }
    (void)closedir(d);
    return n;
}

void checkpoint_of(const struct world *w, const struct kluis_str *leaves, size_t n, struct kluis_buf *out)
{
    gate_body_checkpoint(w->pki->log_seed, leaves, n, out);
}

void mirror_body(const struct world *w, uint64_t from, const struct kluis_str *leaves, size_t to, size_t covered, struct kluis_buf *out)
{
    gate_body_mirror(w->pki->log_seed, from, leaves, to, covered, out);
}

int main(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0) { return 74; }
    int failed = world_run_device_tests() + world_run_vault_tests() + world_run_trouble_tests();
    curl_global_cleanup();
    return failed == 0 ? 0 : 1;
}
