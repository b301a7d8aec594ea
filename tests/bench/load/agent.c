/* agent.c - one agent of the load: opens its home, hands over, waits out what the gate cannot take now, collects its receipts. */
#include "tests/bench/load/load.h"

#include <stdarg.h>

uint64_t load_draw(struct load_agent *a, uint64_t below) /* xorshift64* */
{
    a->random ^= a->random >> 12;
    a->random ^= a->random << 25;
    a->random ^= a->random >> 27;
    return (a->random * UINT64_C(2685821657736338717) >> 16) % below;
}

kluis_status load_wrong(struct load_agent *a, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (a->r->why[0] == '\0') { (void)vsnprintf(a->r->why, sizeof a->r->why, fmt, args); }
    va_end(args);
    return KLUIS_E_REJECT;
}

bool load_over(const struct load_agent *a) { return kluis_monotonic_us() >= a->shared->until_us; }

void load_wait(struct load_agent *a, int64_t retry_after_s)
{
    int64_t s = retry_after_s <= 0 ? 1 : retry_after_s < a->setup->wait_cap_s ? retry_after_s : a->setup->wait_cap_s;
    a->r->refused_now++;
    kluis_sleep_us(s * 1000 * (800 + (int64_t)load_draw(a, 401)));
}

void load_take(struct load_agent *a)
{
    while (sem_wait(&a->shared->uploads) != 0) {}
    if (a->r->began_us == 0) { a->r->began_us = kluis_monotonic_us(); }
    unsigned now = atomic_fetch_add(&a->shared->uploading, 1) + 1;
    unsigned most = atomic_load(&a->shared->most_uploading);
    while (now > most && !atomic_compare_exchange_weak(&a->shared->most_uploading, &most, now)) {}
}

void load_give(struct load_agent *a)
{
    (void)atomic_fetch_sub(&a->shared->uploading, 1);
    (void)sem_post(&a->shared->uploads);
}

/* ---- honest ---- */

/* The watch tells after each package: the next one begins. */
static void on_sent(void *ctx, uint64_t bytes, uint64_t packages)
{
    struct load_agent *a = ctx;
    (void)bytes;
    if (packages == 0) { return; }
    if (a->at + 1 < a->r->packages) {
        a->at++;
        if (a->began_us[a->at] == 0) { a->began_us[a->at] = kluis_monotonic_us(); }
    }
}

static kluis_status hand_over(struct load_agent *a, struct courier_counts *n)
{
    for (;;) {
        struct kluis_err err = { 0 };
        struct courier_watch w = { a, on_sent, NULL };
        load_take(a);
        if (a->began_us[a->at] == 0) { a->began_us[a->at] = kluis_monotonic_us(); }
        kluis_status rc = courier_deliver(a->c, &w, n, &err);
        load_give(a);
        if (rc == KLUIS_OK) { return rc; }
        if (rc != KLUIS_E_BUSY) { return load_wrong(a, "delivery: %s", err.msg); }
        if (load_over(a)) { return load_wrong(a, "time is over, and the gate still says: %s", err.msg); }
        load_wait(a, courier_retry_after(a->c));
    }
}

static kluis_status note_receipts(struct load_agent *a)
{
    for (size_t i = 0; i < a->r->packages; i++) {
        struct stock_package p;
        struct kluis_err err = { 0 };
        if (a->r->took_us[i] != 0) { continue; }
        if (stock_find(a->h, a->package[i].id, &p, &err) != KLUIS_OK) { return load_wrong(a, "%s", err.msg); }
        if (p.state == STOCK_ACKNOWLEDGED) {
            a->r->took_us[i] = kluis_monotonic_us() - a->began_us[i];
            a->r->acknowledged++;
        }
    }
    return KLUIS_OK;
}

kluis_status load_honest(struct load_agent *a)
{
    struct courier_counts n = { 0 };
    KLUIS_TRY(hand_over(a, &n));
    while (a->r->acknowledged < a->r->packages) {
        struct kluis_err err = { 0 };
        uint64_t resend = n.resend;
        kluis_status rc = courier_receive(a->c, 5, &n, &err);
        KLUIS_TRY(note_receipts(a));
        if (rc != KLUIS_OK && rc != KLUIS_END && rc != KLUIS_E_BUSY) { return load_wrong(a, "answers: %s", err.msg); }
        if (n.suspended || n.refused > 0 || n.hostile > 0) {
            return load_wrong(a, "suspended %d, refused %llu, not believed %llu", n.suspended, (unsigned long long)n.refused,
                              (unsigned long long)n.hostile);
        }
        if (load_over(a)) { return load_wrong(a, "time is over with %u of %u receipts", a->r->acknowledged, a->r->packages); }
        if (rc == KLUIS_E_BUSY) { load_wait(a, courier_retry_after(a->c)); }
        if (n.resend > resend || n.anew) {
            n.anew = false;
            KLUIS_TRY(hand_over(a, &n));
        }
    }
    a->r->ended_us = kluis_monotonic_us();
    return KLUIS_OK;
}

/* ---- from home to result ---- */

static kluis_status load_packages(struct load_agent *a, struct kluis_err *err)
{
    uint64_t after = 0;
    for (;;) {
        struct stock_package p;
        kluis_status rc = stock_next(a->h, a->id.device, STOCK_WAITING, after, &p, err);
        if (rc == KLUIS_END) { return a->r->packages > 0 ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "nothing waits in '%s'", a->h->dir); }
        KLUIS_TRY(rc);
        if (a->r->packages == LOAD_PACKAGES) {
            return KLUIS_FAIL(err, KLUIS_E_LIMIT, "more than %d packages wait in '%s'", LOAD_PACKAGES, a->h->dir);
        }
        a->package[a->r->packages++] = p;
        after = p.sequence;
    }
}

/* A client under this home's own login, for what the courier would never send. */
static kluis_status load_client(struct load_agent *a, struct kluis_err *err)
{
    char name[HOME_KEY_NAME], server[HTTP_HOST_MAX + 16];
    KLUIS_AUTO_BUF(pem, 8192);
    KLUIS_AUTO_BUF(root, KLUIS_CERT_MAX);
    home_key_name("login", a->id.device, name);
    KLUIS_TRY(keystore_get(a->h->dir, name, &pem, err));
    KLUIS_TRY(kluis_key_from_pem(kluis_buf_bytes(&pem), &a->login, err));
    KLUIS_TRY(home_text(a->h, "server", server, sizeof server, err));
    KLUIS_TRY(home_bytes(a->h, "certificate/root", &root, err));
    a->client = gate_client_new(server + sizeof "https://" - 1, kluis_buf_bytes(&root), a->id.device, a->login);
    return KLUIS_OK;
}

static kluis_status open_agent(struct load_agent *a, uint32_t number, struct kluis_err *err)
{
    char dir[KLUIS_PATH_MAX];
    if ((size_t)snprintf(dir, sizeof dir, "%s/%04u", a->setup->homes, number) >= sizeof dir) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "too long a path");
    }
    KLUIS_TRY(home_open(&a->h, dir, HOME_LOCKED, err));
    KLUIS_TRY(pack_identity_load(a->h, &a->id, err));
    KLUIS_TRY(courier_open(&a->c, a->h, &a->id.trust, kluis_buf_bytes(&a->id.certificate), err));
    KLUIS_TRY(load_packages(a, err));
    return a->r->kind == LOAD_HONEST ? KLUIS_OK : load_client(a, err);
}

void load_one(const struct load_setup *setup, struct load_shared *shared, uint32_t number)
{
    struct kluis_err err = { 0 };
    struct load_agent a = { .setup = setup, .shared = shared, .r = &shared->result[number - 1] };
    a.random = setup->seed * UINT64_C(0x9E3779B97F4A7C15) + number;
    a.random = a.random == 0 ? 1 : a.random;
    (void)load_draw(&a, 2);
    a.r->kind = load_draw(&a, 100) < setup->bad_percent ? (enum load_kind)(1 + load_draw(&a, LOAD_KINDS - 1)) : LOAD_HONEST;
    if (open_agent(&a, number, &err) != KLUIS_OK) {
        (void)load_wrong(&a, "%s", err.msg);
    } else {
        kluis_status rc = a.r->kind == LOAD_HONEST ? KLUIS_OK : load_bad(&a);
        if (rc == KLUIS_OK && a.r->kind != LOAD_UNFINISHED) { (void)load_honest(&a); }
    }
    if (a.client != NULL) { gate_client_free(a.client); }
    kluis_key_free(a.login);
    courier_free(a.c);
    pack_identity_clear(&a.id);
    home_free(a.h);
}
