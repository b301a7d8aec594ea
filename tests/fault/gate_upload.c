/* Promise: what the gate said it has is there afterwards - an upload up to its offset, a message, a mirrored leaf, an answer, a device, an
 * enrolment, the vault's bundle, its register's journal - once and whole, and a prekey that was handed out is never handed out again, when memory,
 * disk or power fail at any point of its work; a half upload goes on from where it stood; nothing leaks; and nobody hears of the gate's own want of
 * memory or disk as a fault of theirs: 503 or 507, never a 4xx.
 *
 * The gate is the real one, from its start to its stop, behind TLS.  Who speaks to it is another process (devices and the vault are other machines):
 * it asks again as an agent does, and notes in shared memory what was acknowledged the moment it hears it. */
#include "tests/fault/internal.h"
#include "tests/support/gate_bodies.h"
#include "tests/support/gate_client.h"
#include "tests/support/pki.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <curl/curl.h>

#include "server/gate/gate.h"

#define OK(expr) assert_int_equal((expr), KLUIS_OK)
#define DEVICE "00112233445566778899aabbccddeeff"
#define OTHER "0f0e0d0c0b0a09080706050403020100"
#define UP(n) "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" #n
#define MSG(n) "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb" #n
#define ANSWER "ccccccccccccccccccccccccccccccc1"
enum { UPLOADS = 3, LENGTH = 7000, CHUNK = 3000, LEAVES = 5, LEAVES_BEFORE = 2, TRIES = 5, AWAY = 75, WRONG = 1, STEP_MS = 2, IN_VAIN = 50000 };

/* 0: half of it is there before; 1: complete, its message waits, the vault takes it; 2: all of it is sent now. */
static const char *const UPLOAD[UPLOADS] = { UP(0), UP(1), UP(2) }, *const MESSAGE[UPLOADS] = { MSG(0), MSG(1), MSG(2) };
static const char *const ENTRY[] = { "one decision", "another" };
enum { EPOCH = 5, EXPIRY = 1000, PREKEYS = 24, ENTRIES = 2, HELD = 3 };
static const struct kluis_str LEAF[LEAVES] = { { "leaf 0", 6 }, { "leaf 1", 6 }, { "leaf 2", 6 }, { "leaf 3", 6 }, { "leaf 4", 6 } };

/* What was acknowledged to somebody, and how else the gate answered. */
struct acknowledged {
    uint64_t offset[UPLOADS], mirror;
    bool message[UPLOADS], device, enrolment, reply, done, answer, taking, taken; /* taking: asked, the answer not heard yet */
    char ticket[33];
    bool published;
    uint32_t handed; /* a bit a prekey that somebody has */
    uint64_t journal;
    bool disk_full; /* the trial is one of a full disk */
    unsigned full, trouble, broken;
};
static struct acknowledged *acks;

/* ---- who is there: keys made once, before the sweep forks ---- */

static struct pki *pki;
static struct kluis_key *pull, *device_key, *other_key;
static struct kluis_buf cert, key, spki;

static struct kluis_key *new_key(void)
{
    struct kluis_key *k = NULL;
    OK(kluis_key_generate(&k, NULL));
    return k;
}

static void make_keys(void)
{
    OK(kluis_base_init(NULL));
    pki = pki_new(10);
    pull = new_key();
    device_key = new_key();
    other_key = new_key();
    kluis_buf_init(&cert, 1 << 16);
    kluis_buf_init(&key, 1 << 16);
    kluis_buf_init(&spki, 1024);
    OK(kluis_cert_pem(kluis_buf_bytes(&pki->tls.cert), &cert, NULL));
    OK(kluis_key_to_pem(pki->tls.key, &key, NULL));
    OK(kluis_key_public(pull, &spki, NULL));
}

static kluis_status start(struct gate **out, const char *dir, struct kluis_err *err)
{
    const struct gate_config c = { .dir = dir,
                                   .listen = "127.0.0.1:0",
                                   .tls_cert_pem = kluis_buf_bytes(&cert),
                                   .tls_key_pem = kluis_buf_bytes(&key),
                                   .vault_spki = kluis_buf_bytes(&spki),
                                   .log_vkey = pki->log_vkey,
                                   .disk_reserve = 1 << 20,
                                   .limits = { .threads = 1, .timeout_s = 5 } };
    return gate_start(out, &c, err);
}

/* ---- asking ---- */

enum who { VAULT, THE_DEVICE, NEW_DEVICE, ANYONE, CALLERS };
struct session {
    struct gate_client *by[CALLERS];
    char nonce[CALLERS][64];
    bool calm; /* no fault is put in: every answer is the one wanted at once */
};

static void session_begin(struct session *s, const char *address, bool calm)
{
    *s = (struct session){ .calm = calm };
    s->by[VAULT] = gate_client_new(address, pki->root_anchor, "vault", pull);
    s->by[THE_DEVICE] = gate_client_new(address, pki->root_anchor, DEVICE, device_key);
    s->by[NEW_DEVICE] = gate_client_new(address, pki->root_anchor, OTHER, other_key);
    s->by[ANYONE] = gate_client_new(address, pki->root_anchor, NULL, NULL);
}

static void session_end(struct session *s)
{
    for (size_t i = 0; i < CALLERS; i++) { gate_client_free(s->by[i]); }
}

/* The gate's own trouble, which is nobody's fault: noted.  Anything else ends the process. */
static void trouble(const struct session *s, const char *method, const char *path, const struct gate_reply *r)
{
    if (!s->calm && (r->status == 0 || r->status == 503 || r->status == 507)) {
        acks->full += r->status == 507;
        acks->trouble += r->status == 503;
        acks->broken += r->status == 0;
        return;
    }
    (void)dprintf(2, "%s %s was answered with %ld: %.*s\n", method, path, r->status, (int)r->body.len, (const char *)r->body.data);
    _exit(WRONG);
}

/* Once, with a login of its own; true: status is `want` or `or_else`. */
static bool ask_once(struct session *s, enum who who, const char *method, const char *path, struct kluis_bytes body, long want, long or_else,
                     struct gate_reply *r)
{
    if (who != ANYONE && s->nonce[who][0] == '\0') {
        gate_client_ask(s->by[ANYONE], "GET", "/v1/nonce", (struct kluis_bytes){ NULL, 0 }, NULL, r);
        bool got = r->status == 200 && r->body.len == 43;
        if (got) { (void)snprintf(s->nonce[who], sizeof s->nonce[who], "%.43s", (const char *)r->body.data); }
        if (!got) {
            trouble(s, "GET", "/v1/nonce", r);
            return false;
        }
        gate_reply_free(r);
    }
    const struct gate_lie fresh = { .nonce = s->nonce[who] };
    gate_client_ask(s->by[who], method, path, body, who == ANYONE ? NULL : &fresh, r);
    (void)snprintf(s->nonce[who], sizeof s->nonce[who], "%s", r->nonce);
    if (r->status == want || (or_else != 0 && r->status == or_else)) { return true; }
    /* The connection broke after the gate had taken the request: sent again with its nonce it is refused, and asked anew with the one that came. */
    if (r->status == 401 && r->sent > 1) { return false; }
    trouble(s, method, path, r);
    return false;
}

static bool ask(struct session *s, enum who who, const char *method, const char *path, struct kluis_bytes body, long want, long or_else,
                struct gate_reply *r)
{
    for (int i = 0; i < TRIES; i++) {
        if (ask_once(s, who, method, path, body, want, or_else, r)) { return true; }
        gate_reply_free(r);
    }
    return false;
}

/* Where only the status matters. */
static bool told(struct session *s, enum who who, const char *method, const char *path, struct kluis_bytes body, long want, long or_else)
{
    struct gate_reply r;
    bool ok = ask(s, who, method, path, body, want, or_else, &r);
    if (ok) { gate_reply_free(&r); }
    return ok;
}

#define PATH(...)                                                                                                                                    \
    char path[160];                                                                                                                                  \
    (void)snprintf(path, sizeof path, __VA_ARGS__)

static struct kluis_bytes none(void) { return (struct kluis_bytes){ (const uint8_t *)"", 0 }; }

/* ---- what is in the queue ---- */

struct queue {
    size_t messages[UPLOADS], enrolments;
    uint64_t number[UPLOADS];
};

static bool queue_of(struct session *s, struct queue *q)
{
    struct gate_reply r;
    *q = (struct queue){ 0 };
    if (!ask(s, VAULT, "GET", "/vault/v1/next?after=0", none(), 200, 204, &r)) { return false; }
    struct kluis_wire w = kluis_wire_open(kluis_buf_bytes(&r.body));
    if (r.status == 200) { assert_true(kluis_wire_is(&w, "chatkluis-next-v1")); }
    while (r.status == 200 && kluis_wire_more(&w)) {
        uint8_t message[16] = { 0 };
        char hex[33];
        uint64_t number = kluis_wire_get_u64(&w);
        uint32_t kind = kluis_wire_get_u32(&w);
        (void)kluis_wire_get(&w, 64);
        if (kind == 2) {
            (void)kluis_wire_fixed(&w, message, sizeof message);
            (void)kluis_wire_get(&w, 16);
            assert_int_equal(kluis_wire_get_u64(&w), LENGTH);
        }
        (void)kluis_wire_get(&w, 1 << 20);
        kluis_hex(message, sizeof message, hex);
        q->enrolments += kind == 1;
        for (size_t i = 0; i < UPLOADS; i++) {
            if (strcmp(hex, MESSAGE[i]) != 0) { continue; }
            q->messages[i]++;
            q->number[i] = number;
        }
    }
    if (r.status == 200) { OK(kluis_wire_end(&w, "next", NULL)); }
    gate_reply_free(&r);
    return true;
}

/* ---- the work: each part can be done again after it was cut anywhere ---- */

static bool upload(struct session *s, size_t n, uint64_t until)
{
    KLUIS_AUTO_BUF(b, 1 << 20);
    struct kluis_bytes all = gate_body_pattern(&b, LENGTH, (uint32_t)n);
    for (int i = 0; i < TRIES; i++) {
        struct gate_reply r;
        uint64_t at = 0;
        PATH("/v1/upload/%s", UPLOAD[n]);
        if (!ask_once(s, THE_DEVICE, "GET", path, none(), 200, 404, &r)) {
            gate_reply_free(&r);
            continue;
        }
        if (r.status == 200) { at = (uint64_t)r.offset; }
        gate_reply_free(&r);
        assert_true(at >= acks->offset[n] && at <= LENGTH); /* what was acknowledged need not be sent again */
        for (bool went = true; went && at < until;) {
            uint64_t size = until - at < CHUNK ? until - at : CHUNK;
            (void)snprintf(path, sizeof path, "/v1/upload/%s?offset=%llu&length=%d", UPLOAD[n], (unsigned long long)at, (int)LENGTH);
            went = ask_once(s, THE_DEVICE, "PUT", path, (struct kluis_bytes){ all.ptr + at, (size_t)size }, 204, 0, &r);
            if (went) {
                at += size;
                assert_int_equal(r.offset, at);
                acks->offset[n] = at;
            }
            gate_reply_free(&r);
        }
        if (at >= until) { return true; }
    }
    return false;
}

static bool send_message(struct session *s, size_t n)
{
    PATH("/v1/message/%s?upload=%s", MESSAGE[n], UPLOAD[n]);
    if (!told(s, THE_DEVICE, "POST", path, (struct kluis_bytes){ (const uint8_t *)MESSAGE[n], 32 }, 202, 200)) { return false; }
    acks->message[n] = true;
    return true;
}

/* The vault takes a complete upload in both ways, and is done with it. */
static bool collect(struct session *s, size_t n)
{
    struct queue q;
    struct gate_reply r;
    KLUIS_AUTO_BUF(want, 1 << 20);
    KLUIS_AUTO_BUF(body, 4096);
    (void)gate_body_pattern(&want, LENGTH, (uint32_t)n);
    if (!queue_of(s, &q)) { return false; }
    if (q.messages[n] == 0) { return true; } /* it was: an answer got lost */
    PATH("/vault/v1/upload/%s", UPLOAD[n]);
    if (!ask(s, VAULT, "GET", path, none(), 200, 0, &r)) { return false; }
    bool whole = r.body.len == LENGTH && memcmp(r.body.data, want.data, LENGTH) == 0;
    gate_reply_free(&r);
    uint8_t id[16];
    assert_true(kluis_unhex(kluis_str_of(UPLOAD[n]), id, sizeof id));
    kluis_wire_label(&body, "chatkluis-fetch-v1");
    kluis_wire_field(&body, id, sizeof id);
    if (!ask(s, VAULT, "POST", "/vault/v1/fetch", kluis_buf_bytes(&body), 200, 0, &r)) { return false; }
    whole = whole && r.body.len == 8 + LENGTH && memcmp(r.body.data + 8, want.data, LENGTH) == 0;
    gate_reply_free(&r);
    assert_true(whole);
    KLUIS_AUTO_BUF(done, 4096);
    gate_body_done(&done, &q.number[n], 1);
    if (!told(s, VAULT, "POST", "/vault/v1/done", kluis_buf_bytes(&done), 204, 0)) { return false; }
    acks->done = true;
    return true;
}

static bool enrol(struct session *s)
{
    struct gate_reply r;
    KLUIS_AUTO_BUF(body, 4096);
    kluis_wire_label(&body, "chatkluis-enrol-request-v1");
    kluis_wire_str(&body, KLUIS_STR_LIT("opaque"));
    if (!ask(s, ANYONE, "POST", "/v1/enrol", kluis_buf_bytes(&body), 202, 0, &r)) { return false; }
    char ticket[33];
    (void)snprintf(ticket, sizeof ticket, "%.*s", (int)r.body.len, (const char *)r.body.data);
    gate_reply_free(&r);
    if (acks->enrolment) { assert_string_equal(ticket, acks->ticket); } /* the same request is not two */
    memcpy(acks->ticket, ticket, sizeof ticket);
    acks->enrolment = true;
    PATH("/vault/v1/enrolled/%s", ticket);
    if (!told(s, VAULT, "POST", path, (struct kluis_bytes){ (const uint8_t *)"answer", 6 }, 204, 0)) { return false; }
    acks->reply = true;
    (void)snprintf(path, sizeof path, "/v1/enrol/%s", ticket);
    if (!ask(s, ANYONE, "GET", path, none(), 200, 0, &r)) { return false; }
    bool same = r.body.len == 6 && memcmp(r.body.data, "answer", 6) == 0;
    gate_reply_free(&r);
    assert_true(same);
    return true;
}

static bool add_device(struct session *s, const char *id, const struct kluis_key *k)
{
    KLUIS_AUTO_BUF(public, 1024);
    KLUIS_AUTO_BUF(body, 2048);
    OK(kluis_key_public(k, &public, NULL));
    gate_body_device(&body, kluis_buf_bytes(&public), 1);
    PATH("/vault/v1/device/%s", id);
    return told(s, VAULT, "PUT", path, kluis_buf_bytes(&body), 204, 0);
}

/* Mirrored leaves: their number when `from` is asked, and that they are the ones. */
static bool mirrored(struct session *s, uint64_t *size)
{
    struct gate_reply r;
    uint64_t n = 0;
    if (!ask(s, VAULT, "GET", "/vault/v1/mirror?from=0", none(), 200, 204, &r)) { return false; }
    *size = (uint64_t)r.size;
    struct kluis_wire w = kluis_wire_open(kluis_buf_bytes(&r.body));
    if (r.status == 200) {
        assert_true(kluis_wire_is(&w, "chatkluis-mirror-v1"));
        assert_int_equal(kluis_wire_get_u64(&w), 0);
        assert_true(kluis_wire_get(&w, 1 << 16).len > 0 && kluis_wire_get(&w, 1 << 16).len == 4);
    }
    for (; r.status == 200 && kluis_wire_more(&w); n++) {
        struct kluis_bytes leaf = kluis_wire_get(&w, 1 << 16);
        assert_true(n < LEAVES && leaf.len == LEAF[n].len && memcmp(leaf.ptr, LEAF[n].ptr, leaf.len) == 0);
    }
    gate_reply_free(&r);
    assert_int_equal(n, *size);
    return true;
}

static bool mirror(struct session *s, size_t to)
{
    for (int i = 0; i < TRIES; i++) {
        struct gate_reply r;
        uint64_t from = 0;
        KLUIS_AUTO_BUF(body, 1 << 16);
        if (!mirrored(s, &from)) { return false; }
        if (from >= to) { return true; }
        gate_body_mirror(pki->log_seed, from, LEAF, to, to, &body);
        bool went = ask_once(s, VAULT, "POST", "/vault/v1/mirror", kluis_buf_bytes(&body), 204, 0, &r);
        gate_reply_free(&r);
        if (went) {
            acks->mirror = to;
            return true;
        }
    }
    return false;
}

static bool inbox(struct session *s, size_t *n)
{
    struct gate_reply r;
    *n = 0;
    if (!ask(s, THE_DEVICE, "GET", "/v1/inbox", none(), 200, 204, &r)) { return false; }
    struct kluis_wire w = kluis_wire_open(kluis_buf_bytes(&r.body));
    if (r.status == 200) { assert_true(kluis_wire_is(&w, "chatkluis-inbox-v1")); }
    for (; r.status == 200 && kluis_wire_more(&w); (*n)++) {
        (void)kluis_wire_get(&w, 16);
        struct kluis_bytes text = kluis_wire_get(&w, 1 << 16);
        assert_true(text.len == 7 && memcmp(text.ptr, "receipt", 7) == 0);
    }
    gate_reply_free(&r);
    return true;
}

/* An answer that waits for the mirror, taken once. */
static bool answer(struct session *s)
{
    size_t n = 0;
    KLUIS_AUTO_BUF(body, 4096);
    gate_body_outbox(&body, LEAVES, DEVICE, ANSWER, "receipt");
    if (!told(s, VAULT, "POST", "/vault/v1/outbox", kluis_buf_bytes(&body), 204, 0)) { return false; }
    acks->answer = true;
    if (!mirror(s, LEAVES) || !inbox(s, &n)) { return false; }
    assert_true(n <= 1 && (!acks->taken || n == 0));
    acks->taking = true;
    if (!told(s, THE_DEVICE, "DELETE", "/v1/inbox/" ANSWER, none(), 204, 0)) { return false; }
    acks->taken = true;
    return true;
}

/* The vault's bundle, of which devices get a prekey each, and one that they had never again. */
static bool hand_out(struct session *s)
{
    struct gate_reply r;
    KLUIS_AUTO_BUF(body, 1 << 16);
    gate_body_bundle(&body, EPOCH, EXPIRY, 1, PREKEYS);
    if (!told(s, VAULT, "PUT", "/vault/v1/bundle", kluis_buf_bytes(&body), 204, 0)) { return false; }
    acks->published = true;
    for (int i = 0; i < HELD; i++) {
        if (!ask(s, THE_DEVICE, "GET", "/v1/bundle", none(), 200, 0, &r)) { return false; }
        uint32_t id = gate_body_prekey(kluis_buf_bytes(&r.body));
        gate_reply_free(&r);
        assert_true(id > 0 && id <= PREKEYS && (acks->handed & 1U << id) == 0);
        acks->handed |= 1U << id;
    }
    return true;
}

/* Entries of the register's journal that the gate has, and that they are the ones. */
static bool journalled(struct session *s, uint64_t *size)
{
    struct gate_reply r;
    if (!ask(s, VAULT, "GET", "/vault/v1/register?from=0", none(), 200, 204, &r)) { return false; }
    *size = (uint64_t)r.size;
    struct kluis_wire w = kluis_wire_open(kluis_buf_bytes(&r.body));
    uint64_t n = 0;
    if (r.status == 200) { assert_true(kluis_wire_is(&w, "chatkluis-register-v1") && kluis_wire_get_u64(&w) == 0); }
    for (; r.status == 200 && kluis_wire_more(&w); n++) {
        struct kluis_bytes entry = kluis_wire_get(&w, 64);
        assert_true(n < ENTRIES && entry.len == strlen(ENTRY[n]) && memcmp(entry.ptr, ENTRY[n], entry.len) == 0);
    }
    gate_reply_free(&r);
    assert_int_equal(n, *size);
    return true;
}

static bool journal(struct session *s)
{
    for (int i = 0; i < TRIES; i++) {
        struct gate_reply r;
        uint64_t from = 0;
        KLUIS_AUTO_BUF(body, 4096);
        if (!journalled(s, &from)) { return false; }
        if (from == ENTRIES) { return true; }
        gate_body_journal(&body, from, ENTRY + from, 1);
        bool went = ask_once(s, VAULT, "POST", "/vault/v1/register", kluis_buf_bytes(&body), 204, 0, &r);
        gate_reply_free(&r);
        if (went) { acks->journal = from + 1; }
    }
    return false;
}

static bool all(struct session *s)
{
    if (!add_device(s, OTHER, other_key)) { return false; }
    acks->device = true;
    return upload(s, 0, LENGTH) && send_message(s, 0) && upload(s, 2, LENGTH) && send_message(s, 2) && collect(s, 1) && enrol(s) && answer(s) &&
           hand_out(s) && journal(s);
}

/* ---- before, the work, afterwards ---- */

static void with_gate(const char *dir, void (*work)(struct session *s))
{
    struct gate *g = NULL;
    struct kluis_err err = { 0 };
    struct session s;
    char address[GATE_ADDRESS_MAX];
    if (start(&g, dir, &err) != KLUIS_OK) { fail_msg("the gate does not start: %s", err.msg); }
    gate_address(g, address);
    session_begin(&s, address, true);
    work(&s);
    session_end(&s);
    gate_stop(g);
}

static void make_before(struct session *s)
{
    assert_true(add_device(s, DEVICE, device_key));
    assert_true(upload(s, 0, CHUNK));
    assert_true(upload(s, 1, LENGTH));
    assert_true(send_message(s, 1));
    assert_true(mirror(s, LEAVES_BEFORE));
}

static void begin_acks(void)
{
    *acks = (struct acknowledged){ .offset = { CHUNK, LENGTH, 0 }, .mirror = LEAVES_BEFORE, .message = { false, true, false } };
}

static void prepare(void *ctx, const char *dir)
{
    char path[KLUIS_PATH_MAX], uploads[KLUIS_PATH_MAX];
    (void)ctx;
    *acks = (struct acknowledged){ 0 };
    with_gate(dir, make_before);
    /* Bytes whose row is gone, as a gate leaves them that died in between: swept at the next start. */
    OK(kluis_path(uploads, sizeof uploads, dir, "uploads", NULL));
    OK(kluis_path(path, sizeof path, uploads, UP(9), NULL));
    OK(kluis_write_file(path, "orphan", 6, 0600, NULL));
}

/* Another machine: hears where the gate is, does its work, dies with the gate. */
static _Noreturn void others(const int pipe[2], pid_t gate)
{
    char address[GATE_ADDRESS_MAX] = "";
    struct session s;
    calls_disarm();
    (void)close(pipe[1]); /* its end is the gate's */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != gate || read(pipe[0], address, sizeof address) != sizeof address) { _exit(AWAY); }
    session_begin(&s, address, false);
    _exit(all(&s) ? 0 : AWAY);
}

/* Without any memory a gate answers nobody: it asks again and again, more often than all its work needs.  Nobody waits for that. */
static bool mute(void) { return fault_lasts() && fault_trial->class == FAULT_ALLOC && atomic_load(&fault_trial->points) > fault_trial->at + IN_VAIN; }

/* Of this process the gate alone meets faults: how it is told and waited for passes them by. */
static int act(void *ctx, const char *dir)
{
    struct gate *g = NULL;
    struct kluis_err err = { 0 };
    int to[2], status = 0;
    (void)ctx;
    begin_acks();
    acks->disk_full = fault_trial != NULL && fault_trial->class == FAULT_IO && fault_trial->kind == IO_ENOSPC;
    if (syscall(SYS_pipe2, to, 0) != 0) { abort(); }
    pid_t self = getpid(), child = fork();
    if (child == 0) { others(to, self); }
    (void)syscall(SYS_close, to[0]);
    kluis_status rc = start(&g, dir, &err);
    if (rc != KLUIS_OK) { (void)dprintf(2, "gate: %s\n", err.msg); }
    if (rc == KLUIS_OK) {
        char address[GATE_ADDRESS_MAX] = "";
        gate_address(g, address);
        if (syscall(SYS_write, to[1], address, sizeof address) != (long)sizeof address) { abort(); }
    }
    (void)syscall(SYS_close, to[1]);
    if (child < 0) { abort(); }
    bool gone = false; /* the one that asks was sent away */
    while (waitpid(child, &status, WNOHANG) != child) {
        (void)syscall(SYS_poll, NULL, 0, STEP_MS);
        if (!gone && mute()) { gone = kill(child, SIGKILL) == 0; }
    }
    gate_stop(g);
    if (rc != KLUIS_OK) { return kluis_exit_code(rc); }
    if (gone && WIFSIGNALED(status)) { return AWAY; }
    return WIFEXITED(status) ? WEXITSTATUS(status) : WRONG;
}

static void acknowledged_is_there(struct session *s)
{
    struct queue q;
    size_t waiting = 0;
    uint64_t leaves = 0, entries = 0;
    assert_true(queue_of(s, &q));
    for (size_t i = 0; i < UPLOADS; i++) {
        assert_true(q.messages[i] <= 1);
        if (acks->message[i] && i != 1) { assert_int_equal(q.messages[i], 1); }
        if (i == 1) { continue; }
        struct gate_reply r;
        PATH("/v1/upload/%s", UPLOAD[i]);
        assert_true(ask(s, THE_DEVICE, "GET", path, none(), 200, acks->offset[i] == 0 ? 404 : 0, &r));
        if (r.status == 200) { assert_true((uint64_t)r.offset >= acks->offset[i]); }
        gate_reply_free(&r);
    }
    if (acks->done) { assert_int_equal(q.messages[1], 0); }
    if (acks->device) { assert_true(told(s, NEW_DEVICE, "GET", "/v1/inbox", none(), 204, 0)); }
    if (acks->enrolment) {
        PATH("/v1/enrol/%s", acks->ticket);
        assert_true(told(s, ANYONE, "GET", path, none(), 200, acks->reply ? 0 : 204));
    }
    assert_true(q.enrolments <= 1 && (!acks->enrolment || q.enrolments == 1));
    assert_true(mirrored(s, &leaves));
    assert_true(leaves >= acks->mirror);
    assert_true(journalled(s, &entries));
    assert_true(entries >= acks->journal);
    if (acks->published) {
        struct gate_reply r;
        assert_true(ask(s, THE_DEVICE, "GET", "/v1/bundle", none(), 200, 0, &r));
        uint32_t id = gate_body_prekey(kluis_buf_bytes(&r.body));
        gate_reply_free(&r);
        assert_true(id > 0 && (acks->handed & 1U << id) == 0);
        acks->handed |= 1U << id;
    }
    assert_true(inbox(s, &waiting));
    assert_true(waiting <= 1 && (!acks->taken || waiting == 0));
    if (acks->answer && acks->mirror == LEAVES && !acks->taking) { assert_int_equal(waiting, 1); }
    /* The rest is done now, at once and without a word of trouble. */
    assert_true(all(s));
    assert_true(queue_of(s, &q));
    assert_int_equal(q.messages[0], 1);
    assert_int_equal(q.messages[1], 0);
    assert_int_equal(q.messages[2], 1);
    assert_int_equal(q.enrolments, 1);
    assert_true(mirrored(s, &leaves));
    assert_int_equal(leaves, LEAVES);
    assert_true(journalled(s, &entries) && entries == ENTRIES);
    assert_true(collect(s, 0) && collect(s, 2)); /* byte for byte */
}

static void judge(void *ctx, const char *dir, const struct fault_outcome *o)
{
    char path[KLUIS_PATH_MAX];
    (void)ctx;
    if (o->clean) { assert_true(acks->taken && acks->full + acks->trouble + acks->broken == 0); }
    if (acks->disk_full) { assert_int_equal(acks->trouble, 0); } /* a full disk is told as that */
    with_gate(dir, acknowledged_is_there);
    OK(kluis_path(path, sizeof path, dir, "uploads", NULL));
    size_t left = 0;
    DIR *d = opendir(path);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d)) != NULL;) { left += e->d_name[0] != '.'; }
    (void)closedir(d);
    assert_int_equal(left, 0); /* what the vault took is gone from the gate, and nothing else was left there */
}

int main(int argc, char **argv)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0) { return 74; }
    acks = mmap(NULL, sizeof *acks, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (acks == MAP_FAILED) { return 74; }
    make_keys();
    const struct fault_subject s = { .name = "gate upload",
                                     .prepare = prepare,
                                     .act = act,
                                     .judge = judge,
                                     .minimum = { 100, 100, 60 },
                                     .budget = { 116, 200, 100 },
                                     .kept_blocks = 2,
                                     .warm = 2 };
    return fault_main(argc, argv, &s, 1);
}
