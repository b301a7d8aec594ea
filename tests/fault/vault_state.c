/* tests/fault/vault_state.c - see vault_state.h. */
#include "tests/fault/vault_state.h"

#include "server/ingest/keys.h"
#include "server/ingest/opener.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define OK(expr) assert_int_equal((expr), KLUIS_OK)

enum { KEPT_MAX = 4 << 20, PATIENCE_MS = 15000, LASTING_MS = 120, STEP_MS = 4, INDEXED_MS = 40000 };

/* ---- the device: what it keeps between processes ---- */

static void put_key(struct kluis_buf *b, const struct kluis_key *k)
{
    KLUIS_AUTO_BUF(pem, 8192);
    OK(kluis_key_to_pem(k, &pem, NULL));
    kluis_wire_field(b, pem.data, pem.len);
}

static struct kluis_key *get_key(struct kluis_wire *w)
{
    struct kluis_key *k = NULL;
    OK(kluis_key_from_pem(kluis_wire_get(w, 8192), &k, NULL));
    return k;
}

static void device_path(char out[KLUIS_PATH_MAX], const char *dir) { OK(kluis_path(out, KLUIS_PATH_MAX, dir, "device", NULL)); }

void state_device_put(struct kluis_buf *b, const struct device *d)
{
    kluis_wire_label(b, d->id);
    put_key(b, d->login);
    kluis_wire_field(b, &d->identity, sizeof d->identity);
    kluis_wire_field(b, d->vault_identity, sizeof d->vault_identity);
    kluis_wire_field(b, d->pki.device.cert.data, d->pki.device.cert.len);
    kluis_wire_u64(b, d->rows);
    for (size_t i = 0; i < d->rows; i++) {
        kluis_wire_u32(b, (uint32_t)d->row[i].table);
        kluis_wire_str(b, kluis_str_of(d->row[i].key));
        kluis_wire_field(b, d->row[i].value.data, d->row[i].value.len);
    }
}

void state_device_get(struct kluis_wire *r, struct device *d, struct world *w)
{
    memset(d, 0, sizeof *d);
    struct kluis_bytes id = kluis_wire_get(r, 32);
    memcpy(d->id, id.ptr, id.len);
    d->w = w;
    d->login = get_key(r);
    assert_true(kluis_wire_fixed(r, &d->identity, sizeof d->identity));
    assert_true(kluis_wire_fixed(r, d->vault_identity, sizeof d->vault_identity));
    struct kluis_bytes cert = kluis_wire_get(r, KLUIS_CERT_MAX);
    kluis_buf_init(&d->pki.device.cert, KLUIS_CERT_MAX);
    kluis_buf_add(&d->pki.device.cert, cert.ptr, cert.len);
    device_store(d);
    for (uint64_t n = kluis_wire_get_u64(r); n > 0; n--) {
        uint32_t table = kluis_wire_get_u32(r);
        struct kluis_bytes key = kluis_wire_get(r, sizeof d->row->key - 1);
        char name[sizeof d->row->key] = "";
        memcpy(name, key.ptr, key.len);
        OK(d->store.put(d, (enum kluis_store_table)table, name, kluis_wire_get(r, 1 << 20), NULL));
    }
    if (d->id[0] != '\0') { OK(kluis_session_open(&d->session, &d->store, &d->identity, "vault", d->vault_identity, NULL)); }
    d->client = gate_client_new(w->address, kluis_buf_bytes(&w->root_der), d->id, d->login);
}

static void device_keep(const struct state_told *k, const char *dir)
{
    char path[KLUIS_PATH_MAX];
    KLUIS_AUTO_BUF(b, KEPT_MAX);
    state_device_put(&b, &k->d);
    kluis_wire_field(&b, k->sent, sizeof k->sent);
    OK(kluis_buf_ok(&b, NULL));
    device_path(path, dir);
    OK(kluis_write_file(path, b.data, b.len, 0600, NULL));
}

void state_told_open(struct state_told *k, struct world *w, const char *dir)
{
    char path[KLUIS_PATH_MAX];
    KLUIS_AUTO_BUF(b, KEPT_MAX);
    device_path(path, dir);
    OK(kluis_read_file(path, KEPT_MAX, &b, NULL));
    memset(k, 0, sizeof *k);
    k->w = w;
    struct kluis_wire r = kluis_wire_open(kluis_buf_bytes(&b));
    state_device_get(&r, &k->d, w);
    assert_true(kluis_wire_fixed(&r, k->sent, sizeof k->sent));
    OK(kluis_wire_end(&r, "device", NULL));
}

void state_told_close(struct state_told *k) { device_close(&k->d); }

/* ---- before and after ---- */

void state_until_indexed(struct world *w, uint64_t packages)
{
    for (int left = INDEXED_MS; world_number(w, "\"watermark\":") < packages; left -= STEP_MS) {
        assert_true(left > 0);
        kluis_sleep_us(STEP_MS * 1000);
    }
}

static void home_path(char out[64], const char *dir) { (void)snprintf(out, 64, "%.50s/home", dir); }

static void send_one(struct state_told *k, size_t at, const struct sealed_options *o)
{
    struct sending s;
    device_pack(&k->d, &s, o);
    assert_int_equal(device_send(&k->d, &s), 202);
    memcpy(k->sent[at].id, s.s.id, 32);
    memcpy(k->sent[at].root, s.s.root, 32);
    sending_close(&s);
}

void state_warm(void)
{
    OK(kluis_base_init(NULL));
    children_warm();
}

void state_prepare(void *ctx, const char *dir)
{
    const struct state *s = ctx;
    static struct world w;
    static struct state_told k;
    char home[64], refusal[16];
    const struct sealed_options good = { .records = STATE_RECORDS }, bad = { .sign_instead = { (const uint8_t *)"something else", 14 } };
    KLUIS_AUTO_BUF(body, 1 << 20);
    home_path(home, dir);
    world_open_at(&w, home);
    world_start(&w);
    device_enrol(&k.d, &w, "jansen", refusal);
    assert_string_equal(refusal, "");
    device_session(&k.d);
    for (size_t i = 0; i < STATE_OLD; i++) {
        send_one(&k, i, &good);
        assert_int_equal(device_answer(&k.d, k.sent[i].id, 60, &body), KLUIS_ANSWER_RECEIPT);
    }
    state_until_indexed(&w, STATE_OLD);
    vault_close(w.vault);
    w.vault = NULL;
    for (size_t i = STATE_OLD; s->waiting && i < STATE_SENT; i++) {
        k.sent[i].bad = i == STATE_SENT - 1;
        send_one(&k, i, k.sent[i].bad ? &bad : &good);
    }
    device_keep(&k, dir);
    device_close(&k.d);
    world_close(&w);
}

static _Noreturn void serve(const char *dir, int tell)
{
    static struct world w;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) { _exit(1); }
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null < 0 || dup2(null, 2) < 0) { _exit(1); } /* its log is not looked at */
    home_path(w.home, dir);
    world_start_tsa(&w);
    world_start_gate(&w);
    if (write(tell, w.address, sizeof w.address) != (ssize_t)sizeof w.address) { _exit(1); }
    for (;;) { (void)pause(); }
}

static bool up(struct state *s, const char *dir)
{
    int heard[2];
    if (pipe(heard) != 0) { abort(); }
    s->gate = fork();
    if (s->gate == 0) { serve(dir, heard[1]); }
    if (s->gate < 0 || close(heard[1]) != 0) { abort(); }
    bool there = read(heard[0], s->address, sizeof s->address) == (ssize_t)sizeof s->address;
    if (close(heard[0]) != 0) { abort(); }
    return there;
}

void state_up(void *ctx, const char *dir)
{
    struct state *s = ctx;
    for (int i = 0; i < 200; i++) { /* one that was killed a moment ago may have the directory still */
        if (up(s, dir)) { return; }
        state_down(s);
        kluis_sleep_us(10000);
    }
    (void)fprintf(stderr, "fault: no gate\n");
    exit(97);
}

void state_down(void *ctx)
{
    struct state *s = ctx;
    if (s->gate <= 0) { return; }
    (void)kill(s->gate, SIGKILL);
    while (waitpid(s->gate, NULL, 0) < 0 && errno == EINTR) {} /* no child of ours in a process that looks for leaks */
    s->gate = 0;
}

void state_world(struct world *w, const struct state *s, const char *dir)
{
    memset(w, 0, sizeof *w);
    home_path(w->home, dir);
    memcpy(w->address, s->address, sizeof w->address);
    (void)snprintf(w->url, sizeof w->url, "https://%s", w->address);
    world_read(w);
}

void state_world_close(struct world *w)
{
    vault_close(w->vault);
    kluis_arena_free(w->arena);
    kluis_buf_free(&w->root_pem);
    kluis_buf_free(&w->root_der);
    kluis_buf_free(&w->trust_json);
}

/* ---- taking in ---- */

int state_code(kluis_status rc, const struct kluis_err *err)
{
    (void)fprintf(stderr, "vault: %s\n", err->msg);
    return rc == KLUIS_E_CORRUPT ? STATE_DAMAGE : rc == KLUIS_E_BUG ? 1 : kluis_exit_code(rc);
}

bool state_code_ok(int code) { return code == 0 || code == 74 || code == 75 || code == STATE_DAMAGE; }

void state_code_true(const struct fault_outcome *o)
{
    if (!o->died && o->code == STATE_DAMAGE) { assert_true(strcmp(o->op, "pread") == 0 || strcmp(o->op, "xRead") == 0); }
}

/* Looked at from outside: none of this is the vault's own work. */
static bool reached(struct vault *v, const struct state_goal *goals, size_t n, size_t n_least, bool *halted)
{
    bool all = false;
    fault_aside(true);
    {
        KLUIS_AUTO_BUF(json, 1 << 20);
        all = vault_status_json(v, NULL, &json, NULL) == KLUIS_OK;
        kluis_buf_byte(&json, 0);
        for (size_t i = 0; all && i < n; i++) {
            const char *at = strstr((const char *)json.data, goals[i].key);
            uint64_t seen = at == NULL ? UINT64_MAX : strtoull(at + strlen(goals[i].key), NULL, 10);
            all = at != NULL && (i + n_least < n ? seen == goals[i].value : seen >= goals[i].value);
        }
    }
    *halted = vault_halted(v) != NULL;
    fault_aside(false);
    return all;
}

static void tell_status(struct vault *v)
{
    fault_aside(true);
    {
        KLUIS_AUTO_BUF(json, 1 << 20);
        if (vault_status_json(v, NULL, &json, NULL) == KLUIS_OK) {
            (void)fprintf(stderr, "vault: stuck: %.*s\n", (int)json.len, (const char *)json.data);
        }
    }
    fault_aside(false);
}

int state_reach(struct world *w, const struct state_goal *goals, size_t n, size_t n_least)
{
    struct kluis_err err = { 0 };
    struct vault *v = NULL;
    kluis_status rc = vault_open(&v, w->home, NULL, NULL, &err);
    if (rc == KLUIS_OK) { rc = vault_start(v, w->url, NULL, &err); }
    if (rc != KLUIS_OK) {
        vault_close(v);
        return state_code(rc, &err);
    }
    int patience = PATIENCE_MS, lasting = LASTING_MS, code = STATE_STUCK;
    bool halted = false;
    while (patience > 0 && !halted) {
        if (reached(v, goals, n, n_least, &halted)) {
            code = 0;
            break;
        }
        kluis_sleep_us(STATE_HURRY * STEP_MS * 1000);
        patience -= STEP_MS;
        if (fault_lasts() && (lasting -= STEP_MS) <= 0) { fault_over(); }
    }
    if (halted) {
        (void)fprintf(stderr, "vault: halted: %s\n", vault_halted(v));
        code = STATE_DAMAGE;
    }
    if (code == STATE_STUCK) { tell_status(v); }
    vault_stop(v);
    w->vault = v;
    return code;
}

int state_take(struct world *w, uint64_t packages, uint64_t refused)
{
    const struct state_goal goals[] = {
        { "\"packages\":", packages }, { "\"refused\":", refused }, { "\"waiting\":", 0 }, { "\"answers\":", 0 }, { "\"watermark\":", packages }
    };
    return state_reach(w, goals, sizeof goals / sizeof *goals, 0);
}

/* ---- what the device was told ---- */

static size_t which(const struct state_told *k, const uint8_t id[32])
{
    for (size_t i = 0; i < STATE_SENT; i++) {
        if (memcmp(k->sent[i].id, id, 32) == 0) { return i; }
    }
    fail_msg("an answer about a package that was never sent");
    return 0;
}

static void note_receipt(struct state_told *k, size_t at, const struct kluis_buf *body)
{
    struct kluis_receipt r;
    struct kluis_checkpoint c;
    enum kluis_layer layer;
    struct kluis_err err = { 0 };
    uint8_t cert[32];
    unsigned long long leaf = 0;
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(4 << 20);
    OK(kluis_receipt_read((struct kluis_str){ (const char *)body->data, body->len }, arena, &r, &err));
    kluis_sha256_of(k->d.pki.device.cert.data, k->d.pki.device.cert.len, cert);
    kluis_status rc = kluis_receipt_check(&r, &k->w->trust, k->sent[at].id, k->sent[at].root, cert, kluis_now_us(), &c, &layer, &err);
    if (rc != KLUIS_OK) { print_error("receipt of package %zu: %s\n", at, err.msg); }
    OK(rc);
    KLUIS_AUTO_BUF(proof, 1 << 20);
    kluis_buf_str(&proof, r.proof);
    kluis_buf_byte(&proof, 0);
    const char *index = strstr((const char *)proof.data, "\nindex ");
    assert_non_null(index);
    assert_int_equal(sscanf(index, "\nindex %llu", &leaf), 1);
    for (size_t i = 0; i < STATE_SENT; i++) {
        if (k->receipts[i] > 0) { assert_int_equal(k->leaf[i] == leaf, i == at); }
    }
    k->leaf[at] = leaf;
    k->receipts[at]++;
    for (size_t i = 0; i < k->n; i++) {
        if (k->checkpoint[i].size == c.size) { assert_memory_equal(k->checkpoint[i].head.b, c.head.b, 32); }
    }
    assert_true(k->n < sizeof k->checkpoint / sizeof *k->checkpoint);
    k->checkpoint[k->n].size = c.size;
    k->checkpoint[k->n++].head = c.head;
}

void state_listen(struct state_told *k)
{
    KLUIS_AUTO_BUF(body, 1 << 20);
    for (int quiet = 0; quiet < 3;) { /* an answer that is no news counts as silence */
        struct kluis_answer a;
        if (!device_any_answer(&k->d, 0, &a, &body)) {
            quiet++;
            continue;
        }
        quiet = 0;
        size_t at = which(k, a.package);
        if (a.kind == KLUIS_ANSWER_RECEIPT) {
            assert_false(k->sent[at].bad);
            note_receipt(k, at, &body);
        } else {
            assert_int_equal(a.kind, KLUIS_ANSWER_REFUSAL);
            assert_true(k->sent[at].bad);
            k->refusals[at]++;
        }
    }
}

/* ---- what stands ---- */

static size_t files_below(const char *path)
{
    size_t n = 0;
    DIR *d = opendir(path);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        char deeper[KLUIS_PATH_MAX];
        if (e->d_name[0] == '.') { continue; }
        (void)snprintf(deeper, sizeof deeper, "%s/%s", path, e->d_name);
        n += e->d_type == DT_DIR ? files_below(deeper) : 1;
    }
    (void)closedir(d);
    return n;
}

/* Every sighting that a search shows. */
static kluis_status count_hit(void *ctx, const struct index_hit *h, struct kluis_err *err)
{
    (void)err;
    *(uint64_t *)ctx += h->n_sightings;
    return KLUIS_OK;
}

void state_is_whole(struct world *w, uint64_t packages, uint64_t refused, uint64_t stored)
{
    struct kluis_err err = { 0 };
    uint64_t found = 0;
    char path[128];
    const struct index_query q = { .text = KLUIS_STR_LIT("dijk"), .from_us = KLUIS_TIME_ABSENT, .to_us = KLUIS_TIME_ABSENT, .limit = 100 };
    const struct index_sink sink = { &found, count_hit };
    struct index_result r;
    world_check(w, true);
    assert_int_equal(world_number(w, "\"packages\":"), packages);
    assert_int_equal(world_number(w, "\"records\":"), packages * STATE_RECORDS);
    assert_int_equal(world_number(w, "\"ledger\":{\"size\":"), packages);
    assert_int_equal(world_number(w, "\"refused\":"), refused);
    assert_int_equal(world_number(w, "\"missing\":"), 0);
    OK(index_search(vault_index_hold(w->vault), &q, &sink, &r, &err));
    vault_index_release(w->vault);
    assert_int_equal(found, packages * STATE_RECORDS);
    (void)snprintf(path, sizeof path, "%s/vault/storage", w->home);
    assert_int_equal(files_below(path), stored);
}

/* ---- secrets ---- */

size_t state_secrets(void *ctx, const char *dir, uint8_t *out, size_t room)
{
    static const struct {
        const char *name;
        off_t at;
    } secret[] = { { "wrapping.key", 0 }, { "log.seed", 0 }, { "session.identity", 4 + 21 + 4 + 33 + 4 } };
    size_t n = 0;
    (void)ctx;
    for (size_t i = 0; i < sizeof secret / sizeof *secret && n < room; i++) {
        char path[KLUIS_PATH_MAX];
        (void)snprintf(path, sizeof path, "%s/home/vault/keys/%s", dir, secret[i].name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || pread(fd, out + n * FAULT_SECRET, FAULT_SECRET, secret[i].at) != FAULT_SECRET || close(fd) != 0) { abort(); }
        n++;
    }
    return n;
}
